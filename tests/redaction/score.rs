//! What a redactor made of a set of calls.

use std::collections::BTreeMap;

use super::talk::Call;
use callgate::engine::redact::{Entity, Policy, Redacted, Redactor, Speaker};

/// Found, all, and rightly named.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    pub all: usize,
    pub masked: usize,
    pub named: usize,
}

impl Tally {
    pub fn recall(&self) -> f64 {
        self.masked as f64 / self.all.max(1) as f64
    }
}

#[derive(Default)]
pub struct Score {
    pub calls: usize,
    pub words: usize,
    pub ordinary: usize,
    pub needless: usize,
    pub by: BTreeMap<(Entity, String), Tally>,
    pub by_tongue: BTreeMap<String, Tally>,
    /// What leaked and what was masked needlessly, in words: for whoever tunes the rules.
    pub told: Vec<String>,
}

/// Masked or not, a word each, of one speaker.
fn masks(redacted: &[Redacted], speaker: Speaker) -> Vec<Option<Entity>> {
    let of: Vec<&Redacted> = redacted.iter().filter(|redacted| redacted.utterance.speaker == speaker).collect();
    let words: usize = of.iter().map(|redacted| redacted.utterance.words.len()).sum();
    let mut masks = vec![None; words];
    for span in of.iter().flat_map(|redacted| &redacted.spans) {
        for word in span.words.clone() {
            masks[word as usize] = Some(span.entity);
        }
    }
    let shown = of.iter().flat_map(|redacted| &redacted.utterance.words);
    for (word, mask) in shown.zip(&masks) {
        assert_eq!(
            mask.map(|entity| format!("[{}]", entity.code())),
            word.text.starts_with('[').then(|| word.text.clone()),
            "spans tell what words show"
        );
    }
    masks
}

pub fn redact(call: &Call) -> Vec<Redacted> {
    let mut redactor = Redactor::new(Policy::default());
    let mut out = Vec::new();
    for utterance in call.utterances() {
        out.extend(redactor.redact(utterance).unwrap());
    }
    out.extend(redactor.finish());
    out
}

impl Score {
    pub fn of(calls: &[Call]) -> Self {
        let mut score = Self::default();
        for call in calls {
            score.add(call, &redact(call));
        }
        score
    }

    pub fn add(&mut self, call: &Call, redacted: &[Redacted]) {
        self.calls += 1;
        // Of each secret: words that carry it and show, and whether one was masked by its name.
        let mut seen = vec![(false, false); call.secrets.len()];
        for speaker in [Speaker::Client, Speaker::Other] {
            let masks = masks(redacted, speaker);
            let said: Vec<_> = call.turns.iter().filter(|turn| turn.speaker == speaker).flat_map(|turn| &turn.words).collect();
            assert_eq!(said.len(), masks.len(), "no word is lost");
            for (n, (said, mask)) in said.iter().zip(&masks).enumerate() {
                self.words += 1;
                let context = || {
                    let from = n.saturating_sub(8);
                    let words: Vec<_> = (from..(n + 6).min(masks.len()))
                        .map(
                            |n| if masks[n].is_some() { format!("<{}>", call_word(call, speaker, n)) } else { call_word(call, speaker, n) },
                        )
                        .collect();
                    format!("({}) {}", heard_before(call, speaker, n), words.join(" "))
                };
                match said.secret {
                    None => {
                        self.ordinary += 1;
                        if mask.is_some() {
                            self.needless += 1;
                            self.told.push(format!("needless {:?}: {}", mask, context()));
                        }
                    }
                    Some((id, carries)) => {
                        if carries && mask.is_none() && !seen[id].0 {
                            seen[id].0 = true;
                            self.told.push(format!("leak {:?} {}: {}", call.secrets[id].entity, call.secrets[id].shape, context()));
                        }
                        seen[id].1 |= *mask == Some(call.secrets[id].entity);
                    }
                }
            }
        }
        for (secret, (leaked, named)) in call.secrets.iter().zip(seen) {
            let tongue = format!("{:?}", secret.tongue);
            for tally in [self.by.entry((secret.entity, secret.shape.clone())).or_default(), self.by_tongue.entry(tongue).or_default()] {
                tally.all += 1;
                tally.masked += usize::from(!leaked);
                tally.named += usize::from(named);
            }
        }
    }

    pub fn entity(&self, entity: Entity) -> Tally {
        self.sum(|(of, _)| *of == entity)
    }

    pub fn shape(&self, shape: &str) -> Tally {
        self.sum(|(_, of)| of == shape)
    }

    pub fn all(&self) -> Tally {
        self.sum(|_| true)
    }

    fn sum(&self, which: impl Fn(&(Entity, String)) -> bool) -> Tally {
        self.by.iter().filter(|(key, _)| which(key)).fold(Tally::default(), |sum, (_, tally)| Tally {
            all: sum.all + tally.all,
            masked: sum.masked + tally.masked,
            named: sum.named + tally.named,
        })
    }

    pub fn leaks_per_call(&self) -> f64 {
        let all = self.all();
        (all.all - all.masked) as f64 / self.calls.max(1) as f64
    }

    pub fn needless_per_thousand(&self) -> f64 {
        self.needless as f64 * 1_000.0 / self.ordinary.max(1) as f64
    }
}

fn call_word(call: &Call, speaker: Speaker, n: usize) -> String {
    call.turns
        .iter()
        .filter(|turn| turn.speaker == speaker)
        .flat_map(|turn| &turn.words)
        .nth(n)
        .map_or_else(String::new, |said| said.text.clone())
}

/// What the other speaker had said last before the `n`th word.
fn heard_before(call: &Call, speaker: Speaker, n: usize) -> String {
    let (mut said, mut heard) = (0, "");
    let texts: Vec<String> =
        call.turns.iter().map(|turn| turn.words.iter().map(|said| said.text.as_str()).collect::<Vec<_>>().join(" ")).collect();
    for (turn, text) in call.turns.iter().zip(&texts) {
        if turn.speaker != speaker {
            heard = text;
        } else if n < said + turn.words.len() {
            break;
        } else {
            said += turn.words.len();
        }
    }
    heard.to_owned()
}
