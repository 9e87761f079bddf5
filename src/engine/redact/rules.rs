//! The decision on the first undecided word: what it begins, if it begins anything.
//!
//! A rule looks ahead as far as it must and says [`More`] where the words end too soon. So a decision, once made, is the one
//! that the whole call would have led to, and it does not matter in which pieces the words came.

use std::collections::VecDeque;

use super::ahead::{Ahead, More};
use super::cue::{Cue, Cues, Said, Strength};
use super::entity::{Entity, Policy};
use super::lexicon::is_function;
use super::token::{Kind, Token};
use super::{Confidence, Speaker, codes, dates, email, names, numbers, places};

/// Decided words that the rules look back at.
pub(super) const PAST_WORDS_MAX: usize = 40;

/// A decided word.
#[derive(Clone)]
pub(super) struct Past {
    pub(super) token: Token,
    pub(super) masked: Option<Entity>,
    pub(super) seq: u64,
    pub(super) cue: Option<Cue>,
    /// The speaker had paused before it, or had been asked.
    pub(super) rested: bool,
}

/// What a rule sees.
pub(super) struct Scene<'a> {
    /// The newest last.
    pub(super) past: &'a VecDeque<Past>,
    pub(super) ahead: Ahead<'a>,
    /// What either speaker said that tells of things to come.
    pub(super) cues: &'a Cues,
    /// What this speaker's own numbers tell of numbers to come: the rest of one.
    pub(super) begun: &'a Cues,
    /// What this speaker has given in full.
    pub(super) given: &'a Cues,
    /// Names of this call.
    pub(super) names: &'a VecDeque<String>,
    pub(super) speaker: Speaker,
    pub(super) policy: Policy,
}

/// What the first words are.
pub(super) struct Match {
    pub(super) entity: Entity,
    pub(super) confidence: Confidence,
    pub(super) words: usize,
    /// It is a part of something: the rest may follow, after so many digits.
    pub(super) begins: Option<Cue>,
    /// Digits of it that have been told.
    pub(super) told: usize,
    /// It is all of something.
    pub(super) gives: Option<Cue>,
}

impl Match {
    pub(super) const fn new(entity: Entity, confidence: Confidence, words: usize) -> Self {
        Self { entity, confidence, words, begins: None, told: 0, gives: None }
    }
}

/// What becomes of the first undecided words.
pub(super) enum Decision {
    /// So many of them may be read by anybody.
    Clear(usize),
    /// They are sensitive.
    Mask(Match),
}

impl Scene<'_> {
    /// Decides on one word or more.
    pub(super) fn decide(&self) -> Result<Decision, More> {
        for rule in [email::find, names::password, codes::find, names::find] {
            if let Some(found) = rule(self)? {
                return self.settled(found);
            }
        }
        for rule in [places::find, dates::find, numbers::find] {
            if let Some(decision) = rule(self)? {
                return self.judged(decision);
            }
        }
        // The word after a match tells where its silence ends, so each decision has seen one word more.
        Ok(Decision::Clear(1))
    }

    fn judged(&self, decision: Decision) -> Result<Decision, More> {
        match decision {
            Decision::Mask(found) => self.settled(found),
            Decision::Clear(words) => Ok(Decision::Clear(words)),
        }
    }

    fn settled(&self, found: Match) -> Result<Decision, More> {
        self.ahead.held(found.words)?;
        Ok(if self.policy.masks(found.entity) { Decision::Mask(found) } else { Decision::Clear(found.words) })
    }

    /// The `n`th word back, from 1.
    pub(super) fn before(&self, n: usize) -> Option<&Token> {
        Some(&self.past.get(self.past.len().checked_sub(n)?)?.token)
    }

    /// The cues that hold for the first word, the newest first.
    pub(super) fn live(&self) -> Vec<Said> {
        let Some(first) = self.ahead.seen(0, 1).first() else { return Vec::new() };
        let mut live: Vec<Said> =
            self.cues.live(first.seq, first.start_ms).chain(self.begun.live(first.seq, first.start_ms)).copied().collect();
        // What is named tells more than "the number is", however new.
        live.sort_by_key(|said| (said.cue == Cue::Figures, std::cmp::Reverse(said.seq)));
        live.retain(|said| !matches!(said.cue, Cue::Else | Cue::Turned));
        live
    }

    /// Whether nobody has asked for something else since `said`, or gone on to something else.
    fn stands(&self, said: &Said, seq: u64, at_ms: u64) -> bool {
        let since =
            |cue, speaker| self.cues.live(seq, at_ms).any(|other| other.cue == cue && other.speaker == speaker && other.seq > said.seq);
        !since(Cue::Turned, self.speaker.other()) && (said.strength == Strength::Begun || !since(Cue::Else, said.speaker))
    }

    /// The words of this turn before the first one, the last one first.
    pub(super) fn turn(&self) -> impl Iterator<Item = &Past> {
        let mut over = self.ahead.seen(0, 1).first().is_none_or(|first| first.rested || first.asked);
        self.past.iter().rev().take_while(move |past| {
            let go_on = !over;
            over |= past.rested;
            go_on
        })
    }

    /// The words of this turn that tell of something.
    pub(super) fn strange(&self) -> impl Iterator<Item = &Past> {
        self.turn().filter(|past| past.masked.is_none() && past.token.kind == Kind::Plain && !is_function(&past.token.folded))
    }

    /// Whether this turn began with nothing but words that answers begin with.
    pub(super) fn leads_in(&self) -> bool {
        let mut after = "";
        self.turn().all(|past| {
            let token = &past.token;
            let sighs = token.is("a") && after == "ver";
            after = token.folded.as_str();
            let joins = (token.kind == Kind::Bridge || is_function(&token.folded)) && !token.is_any(TO_QUANTITIES);
            past.masked.is_some() || past.cue.is_some() || sighs || joins || opens(token) || token.is("one")
        })
    }

    /// "I wrote it down," and "lo tengo apuntado, es": a word or two, and a joint or a comma.
    pub(super) fn is_announced(&self) -> bool {
        let joint = self.turn().next().is_some_and(|past| past.token.pauses || past.token.is_any(&["is", "es", "its", "thats", "seria"]));
        joint && self.strange().filter(|past| !opens(&past.token)).count() <= 2
    }

    /// Whether the first word comes where `said` must be answered, with so little before it that a single figure counts.
    pub(super) fn is_due(&self, said: &Said) -> bool {
        if self.own_cue_just_ended(&[said.cue]).is_some() && said.speaker == self.speaker {
            return true;
        }
        let since = self.turn().take_while(|past| past.seq > said.seq).count();
        let lead = self.turn().next().map(|past| &past.token);
        let in_turn = self.turn().any(|past| past.seq == said.seq);
        let near = said.speaker == self.speaker && self.turn().nth(NEAR_WORDS_MAX).is_none();
        let joint = near
            || said.speaker != self.speaker && self.turn().nth(ANSWER_WORDS_MAX - 1).is_none()
            || lead.is_none_or(|token| {
                token.pauses || token.contracted || opens(token) || token.kind == Kind::Bridge || is_function(&token.folded)
            });
        let quantity = lead.is_some_and(|token| token.is_any(TO_QUANTITIES));
        if said.speaker == self.speaker && in_turn {
            let away = |token: &Token| token.is_any(&["in", "for", "of", "about", "than", "a", "an", "or", "hasta", "desde", "como"]);
            return since <= NEAR_WORDS_MAX && !lead.is_some_and(away) || joint && !quantity;
        }
        let strange = self.strange().filter(|past| past.cue.is_none() && !opens(&past.token)).count();
        strange <= 2 && joint && (!quantity || near && lead.is_some_and(|token| token.is_any(&["have", "tengo"])))
    }

    /// Whether a number may go on here: in the same turn, or after "and then".
    pub(super) fn goes_on(&self) -> bool {
        let begun = self.turn().any(|past| past.masked.is_some());
        let then = |token: &Token| !token.is_any(TO_QUANTITIES) || token.is_any(&["have", "tengo", "after"]);
        begun || self.turn().nth(THEN_WORDS_MAX).is_none() && self.turn().all(|past| then(&past.token))
    }

    /// Whether nothing just before tells of quantities.
    pub(super) fn turn_joins(&self) -> bool {
        self.turn().take(NEAR_WORDS_MAX).all(|past| !past.token.is_any(TO_QUANTITIES) || past.token.is_any(&["was", "are", "have"]))
    }

    /// The newest that is awaited of these.
    pub(super) fn awaited(&self, cues: &[Cue]) -> Option<Said> {
        let first = self.ahead.seen(0, 1).first()?;
        self.live()
            .into_iter()
            .find(|said| cues.contains(&said.cue) && !self.is_given(said, first.seq, first.start_ms) && self.awaits(said))
    }

    pub(super) fn hears(&self, cues: &[Cue]) -> bool {
        let Some(first) = self.ahead.seen(0, 1).first() else { return false };
        self.cues.live(first.seq, first.start_ms).any(|said| cues.contains(&said.cue))
    }

    /// Whether this speaker has already given in full what `said` asked for.
    pub(super) fn is_given(&self, said: &Said, seq: u64, at_ms: u64) -> bool {
        let mention = said.strength == Strength::Mentioned;
        self.given.live(seq, at_ms).any(|given| given.seq > said.seq && (mention || given.cue == said.cue))
    }

    /// The words of the sentence that the first word goes on with, the last one first.
    pub(super) fn sentence(&self) -> impl Iterator<Item = &Past> {
        let rested = self.ahead.seen(0, 1).first().is_none_or(|first| first.rested || first.asked);
        let mut over = rested;
        self.past.iter().rev().take_while(move |past| {
            let go_on = !over && !past.token.stops;
            over = past.rested;
            go_on
        })
    }

    /// The word before the first one, if it is of the same sentence.
    pub(super) fn lead(&self) -> Option<&Token> {
        self.sentence().next().map(|past| &past.token)
    }

    /// Whether this speaker's own cue ended just before, but for fillers; and if so whether an "is" came after it.
    pub(super) fn own_cue_just_ended(&self, cues: &[Cue]) -> Option<bool> {
        let mut joined = false;
        for past in self.sentence().take(JOINT_WORDS_MAX + 1) {
            joined |= past.token.contracted || past.token.is_any(&["is", "es", "its", "was", "be", "names", "era", "seria", "siendo"]);
            if past.cue.is_some_and(|cue| cues.contains(&cue)) {
                return Some(joined);
            }
            // "el nombre del paciente es": whose it is stands between them.
            let whose = joined && past.token.kind == Kind::Plain && past.masked.is_none() && !past.token.pauses;
            let joint = past.masked.is_none() && matches!(past.token.kind, Kind::Bridge | Kind::Mark);
            if !joint && !whose && !past.token.is_any(&["was", "for", "of", "the", "would", "should", "be", "mi", "on", "usted"]) {
                return None;
            }
        }
        None
    }

    /// Whether the first word stands where `said` awaits something: so few words after it that nothing else was talked of.
    /// Whoever asks is answered after a word or two, and perhaps after a turn in which glasses are looked for; whoever
    /// announces something says it in the same breath or the next; and a number that was begun goes on.
    pub(super) fn awaits(&self, said: &Said) -> bool {
        let Some(first) = self.ahead.seen(0, 1).first() else { return false };
        if !self.stands(said, first.seq, first.start_ms) {
            return false;
        }
        let (mut total, mut turn, mut in_turn) = (0, 0, !(first.rested || first.asked));
        let begun = said.strength == Strength::Begun;
        for (n, past) in self.past.iter().rev().enumerate().take_while(|(_, past)| past.seq > said.seq) {
            // "si mal no recuerdo" denies nothing.
            let first_words = past.rested || self.past.iter().rev().nth(n + 1).is_none_or(|before| before.rested || before.seq <= said.seq);
            total += 1;
            turn += usize::from(in_turn);
            in_turn &= !past.rested;
            let counts = past.masked.is_none() && past.token.is_numeric() && !past.token.is_any(&["one", "un", "uno"]);
            let denies = !begun && past.masked.is_none() && past.token.is_any(DENIALS) && (!past.token.is("no") || first_words);
            if counts || denies {
                return false;
            }
        }
        let (words, turn_words) = if begun {
            (BREATH_WORDS_MAX, BREATH_WORDS_MAX)
        } else if said.speaker == self.speaker {
            (TOLD_WORDS_MAX, LEAD_WORDS_MAX)
        } else {
            (STALL_WORDS_MAX, LEAD_WORDS_MAX)
        };
        total <= words && turn <= turn_words
    }

    /// The other speaker asked for it, and this one has said at most some fillers since.
    pub(super) fn is_first_answer_to(&self, cue: Cue) -> bool {
        let Some(first) = self.ahead.seen(0, 1).first() else { return false };
        let asked = self.cues.live(first.seq, first.start_ms).find(|said| said.speaker != self.speaker);
        let Some(asked) = asked.filter(|said| said.cue == cue && first.start_ms.saturating_sub(said.end_ms) <= ANSWER_WINDOW_MS) else {
            return false;
        };
        let mut since = self.past.iter().rev().take_while(|past| past.seq > asked.seq);
        since.by_ref().take(ANSWER_WORDS_MAX).all(|past| past.masked.is_none() && opens(&past.token)) && since.next().is_none()
    }
}

/// After one of these comes how many, when or where.
#[rustfmt::skip]
pub(super) const TO_QUANTITIES: &[&str] = &[
    "somos", "son", "have", "has", "had", "hay", "tengo", "tiene", "in", "en", "for", "of", "about", "to", "hasta", "desde", "como", "was", "were", "are", "than", "vamos", "tomo", "de", "las", "los", "at", "a", "after", "before", "number", "section", "step", "type", "del", "al", "from", "an", "like", "or",
];
/// An answer that is none begins so.
const DENIALS: &[&str] = &["no", "nope", "never", "dont", "didnt", "not", "cant", "nunca"];
/// Of a turn in which a number goes on: "and the rest is".
pub(super) const THEN_WORDS_MAX: usize = 4;
/// So few words after his own cue the speaker tells it, whatever they are.
const NEAR_WORDS_MAX: usize = 3;
/// Words of one turn before what is told in it.
const LEAD_WORDS_MAX: usize = 8;
/// Words between an announcement and what is told.
const TOLD_WORDS_MAX: usize = 10;
/// Words of the one who is asked before he tells it.
const STALL_WORDS_MAX: usize = 18;
/// Words between two parts of one number.
const BREATH_WORDS_MAX: usize = 14;
/// Words between a cue and what it tells of: "is", "uh", "it's".
const JOINT_WORDS_MAX: usize = 4;
/// An answer comes within so many words: "yes sure it's".
const ANSWER_WORDS_MAX: usize = 5;
/// And within so long.
const ANSWER_WINDOW_MS: u64 = 8_000;

/// What an answer may begin with.
fn opens(token: &Token) -> bool {
    #[rustfmt::skip]
    const OPENINGS: [&str; 53] = [
        "uh", "um", "er", "ah", "eh", "hmm", "mm", "okay", "ok", "yes", "yeah", "yep", "sure", "right", "alright", "well", "so", "its", "is", "thats", "oh",
        "si", "este", "es", "claro", "bueno", "pues", "vale", "this", "im", "soy", "habla", "hi", "hello", "hola", "hey", "good", "morning", "afternoon",
        "ready", "ahi", "aqui", "hang", "hold", "on", "buenas", "buenos", "tardes", "dias", "my", "of", "course", "mi",
    ];
    token.kind == Kind::Mark || token.is_any(&OPENINGS)
}
