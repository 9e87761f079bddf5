//! A stored transcript with more masked in it: what somebody saw, or what the rules of a later day find.
//!
//! Masks only grow, and words keep their places: a stretch of words that is meant for one version means the same in each. Where
//! something more is masked, no other form of what was said is left: the text is written anew from the words, and the
//! alternatives go.

use std::collections::VecDeque;

use super::document::{Document, Line, MaskedSpan, PolicyView, sure};
use super::text_of;
use crate::engine::redact::{
    Alternative, Entities, Entity, Policy, Redacted, Redactor, Speaker, Unusable, Utterance, Word, bare, is_mark, mark, marked, silenced,
};

/// What masks more makes rules see less: so often they are run at most, until they find nothing more.
const ROUNDS_MAX: u32 = 8;
/// How sure a person is.
const REVIEWED: &str = "REVIEWED";
/// Stands for a masked word where rules read: it is no word to them.
const NO_WORD: &str = "…";

/// Words of one utterance that are to be masked, counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpokenSpan {
    /// Which utterance.
    pub utterance: usize,
    /// Its first word.
    pub from_word: usize,
    /// Its last word.
    pub to_word: usize,
    /// What they are.
    pub entity: Entity,
}

/// Words that a transcript does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoSuchWords {
    /// It is shorter.
    #[error("there is no utterance {0}: the transcript has {1}, counted from 0")]
    Utterance(usize, usize),
    /// So is the utterance.
    #[error("utterance {0} has no words {1} to {2}: it has {3}, counted from 0, and the last comes not before the first")]
    Words(usize, usize, usize, usize),
}

/// What masks a word from here on, and how sure that is.
type More = Option<(Entity, &'static str)>;

impl Document {
    /// Masks what somebody saw. Tells whether that is more than was masked before.
    ///
    /// # Errors
    /// [`NoSuchWords`]; then nothing is masked.
    pub fn mask(&mut self, spans: &[SpokenSpan]) -> Result<bool, NoSuchWords> {
        let count = self.utterances.len();
        let mut more: Vec<Vec<More>> = self.utterances.iter().map(|line| vec![None; line.words.len()]).collect();
        for span in spans {
            let SpokenSpan { utterance, from_word, to_word, entity } = *span;
            let words = more.get_mut(utterance).ok_or(NoSuchWords::Utterance(utterance, count))?;
            let has = words.len();
            let meant = if from_word <= to_word { words.get_mut(from_word..=to_word) } else { None };
            meant.ok_or(NoSuchWords::Words(utterance, from_word, to_word, has))?.fill(Some((entity, REVIEWED)));
        }
        let mut grown = false;
        for (line, more) in self.utterances.iter_mut().zip(&more) {
            grown |= line.mask(more);
        }
        Ok(grown)
    }

    /// Masks what the rules find by `policy` and by the policy that the transcript was made by. Tells whether that is more than
    /// was masked before.
    ///
    /// # Errors
    /// [`Unusable`]: it holds what was never let out by a redactor.
    pub fn redact_again(&mut self, policy: Policy) -> Result<bool, Unusable> {
        let policy = policy.with(self.policy.meant());
        self.policy = PolicyView::of(policy);
        let mut grown = false;
        for _ in 0..ROUNDS_MAX {
            if !self.round(policy)? {
                break;
            }
            grown = true;
        }
        Ok(grown)
    }

    fn round(&mut self, policy: Policy) -> Result<bool, Unusable> {
        let mut redactor = Redactor::new(policy);
        // Each speaker's come out in their order.
        let mut waiting = [VecDeque::new(), VecDeque::new()];
        let mut found: Vec<(usize, Redacted)> = Vec::new();
        let mut released = |waiting: &mut [VecDeque<usize>; 2], out: Vec<Redacted>| {
            let placed = out.into_iter().filter_map(|redacted| Some((waiting[redacted.utterance.speaker.index()].pop_front()?, redacted)));
            found.extend(placed);
        };
        for (n, line) in self.utterances.iter().enumerate() {
            for speaker in [Speaker::Client, Speaker::Other] {
                let out = redactor.heard_until(speaker, line.start_ms);
                released(&mut waiting, out);
            }
            waiting[line.speaker.index()].push_back(n);
            let out = redactor.redact(line.as_heard())?;
            released(&mut waiting, out);
        }
        released(&mut waiting, redactor.finish());
        // What began in one utterance may go on in the next: how sure it is stands where it began.
        let spans: Vec<_> =
            found.iter().flat_map(|(_, redacted)| redacted.spans.iter().map(|span| (redacted.utterance.speaker, span))).collect();
        let mut more: Vec<(usize, Vec<More>, bool)> = Vec::with_capacity(found.len());
        for (n, redacted) in &found {
            let line = &self.utterances[*n];
            let confidence = |at: u64| {
                let of = spans.iter().find(|(speaker, span)| *speaker == redacted.utterance.speaker && span.words.contains(&at));
                of.map_or("SHAPE", |(_, span)| sure(span.confidence))
            };
            let masked = (redacted.first_word..)
                .zip(redacted.utterance.words.iter().zip(&line.words))
                .map(|(at, (word, before))| Some((marked(&word.text).filter(|_| word.text != before.text)?, confidence(at))));
            let unsure = redacted.utterance.alternatives.iter().map(|other| other.text.as_str());
            let told_apart = unsure.ne(line.as_heard().alternatives.iter().map(|other| other.text.as_str()));
            more.push((*n, masked.collect(), told_apart));
        }
        let mut grown = false;
        for (n, more, told_apart) in more {
            let line = &mut self.utterances[n];
            grown |= line.mask(&more);
            // The words hide nothing more, another form of them does: it goes.
            if told_apart && !line.alternatives.is_empty() {
                line.alternatives.clear();
                grown = true;
            }
        }
        Ok(grown)
    }
}

impl Line {
    /// Masks these of its words, if they are not masked yet. Tells whether there were any.
    fn mask(&mut self, more: &[More]) -> bool {
        let more: Vec<More> = self.words.iter().zip(more).map(|(word, more)| more.filter(|_| !is_mark(&word.text))).collect();
        if more.iter().all(Option::is_none) {
            return false;
        }
        let mut shown = self.pieces();
        let mut at = 0;
        while let Some(from) = more[at..].iter().position(Option::is_some).map(|n| at + n) {
            let Some((entity, confidence)) = more[from] else { break };
            let length = more[from..].iter().take_while(|next| **next == more[from]).count();
            at = from + length;
            let (first, last) = (&self.words[from], &self.words[at - 1]);
            let (start_ms, end_ms) = silenced(first.start_ms, last.end_ms, self.words.get(at).map(|next| next.start_ms));
            self.masked.push(MaskedSpan { entity: entity.code().to_owned(), confidence: confidence.to_owned(), start_ms, end_ms });
        }
        self.masked.sort_by_key(|span| (span.start_ms, span.end_ms));
        for (n, more) in more.iter().enumerate() {
            if let Some((entity, _)) = more {
                self.words[n].text = mark(*entity);
                shown[n] = mark(*entity);
            }
        }
        self.text = text_of(shown.iter().map(String::as_str));
        self.alternatives.clear();
        true
    }

    /// Its words, with the punctuation and the capitals of the text where that says the same.
    fn pieces(&self) -> Vec<String> {
        let clear = || self.words.iter().filter(|word| !is_mark(&word.text));
        let said: Vec<&str> = self.text.split_whitespace().filter(|piece| !is_mark(piece)).collect();
        let agree = said.len() == clear().count() && said.iter().zip(clear()).all(|(piece, word)| bare(piece) == bare(&word.text));
        let mut said = said.into_iter();
        let shown = self.words.iter().map(|word| match is_mark(&word.text) {
            false if agree => said.next().unwrap_or(&word.text).to_owned(),
            _ => word.text.clone(),
        });
        shown.collect()
    }

    /// As a redactor may hear it again: what is masked is no word.
    fn as_heard(&self) -> Utterance {
        let clear = |text: &str| if is_mark(text) { NO_WORD.to_owned() } else { text.to_owned() };
        let pieces: Vec<String> = self.pieces().iter().map(|piece| clear(piece)).collect();
        let words = self.words.iter().map(|word| Word {
            text: clear(&word.text),
            start_ms: word.start_ms,
            end_ms: word.end_ms.max(word.start_ms),
            confidence: word.confidence,
        });
        let other = |text: &str| text.split_whitespace().map(clear).collect::<Vec<_>>().join(" ");
        Utterance {
            speaker: self.speaker,
            text: pieces.join(" "),
            start_ms: self.start_ms,
            end_ms: self.end_ms.max(self.start_ms),
            words: words.collect(),
            alternatives: self
                .alternatives
                .iter()
                .map(|unsure| Alternative { text: other(&unsure.text), words: Vec::new(), confidence: unsure.confidence })
                .collect(),
        }
    }
}

impl PolicyView {
    fn meant(&self) -> Policy {
        let entities = self.entities.iter().filter_map(|code| Entity::from_code(code)).fold(Entities::NONE, Entities::with);
        Policy { entities, strict: self.strict }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::transcript::{Redaction, SpokenWord, UnsureText};

    fn line(speaker: Speaker, text: &str, start_ms: u64) -> Line {
        let words: Vec<SpokenWord> = (0..)
            .zip(text.split_whitespace())
            .map(|(n, text)| SpokenWord {
                text: bare(text),
                start_ms: start_ms + n * 400,
                end_ms: start_ms + n * 400 + 350,
                confidence: 0.9,
            })
            .collect();
        let end_ms = words.last().map_or(start_ms, |word| word.end_ms);
        let alternatives = vec![UnsureText { text: text.to_owned(), confidence: 0.4 }];
        Line { speaker, start_ms, end_ms, text: text.to_owned(), words, alternatives, masked: Vec::new() }
    }

    fn document(utterances: Vec<Line>) -> Document {
        Document {
            transcript_id: "tr_1".into(),
            version: 1,
            redaction: Redaction::Redacted,
            policy: PolicyView { entities: vec!["CARD_NUMBER".into()], strict: false },
            recording_id: "rec_1".into(),
            call_id: "call_1".into(),
            client_id: "client_1".into(),
            org_id: "default".into(),
            ledger_seq: 7,
            language_code: "en".into(),
            recogniser: "vosk".into(),
            created_at: "2026-01-01T00:00:00.000Z".into(),
            complete: true,
            missed: Vec::new(),
            utterances,
        }
    }

    fn span(utterance: usize, from_word: usize, to_word: usize, entity: Entity) -> SpokenSpan {
        SpokenSpan { utterance, from_word, to_word, entity }
    }

    #[test]
    fn what_somebody_saw_is_in_no_form_of_the_utterance_any_more() {
        let mut told =
            document(vec![line(Speaker::Client, "Well, ask Zebedee Quux, please.", 1_000), line(Speaker::Other, "Sure.", 9_000)]);
        assert_eq!(told.mask(&[span(0, 2, 3, Entity::Name)]), Ok(true));
        let json = String::from_utf8(told.to_json()).unwrap();
        assert!(!json.to_lowercase().contains("zebedee") && !json.to_lowercase().contains("quux"), "{json}");
        let line = &told.utterances[0];
        assert_eq!(line.text, "Well, ask [NAME] please.", "the rest as it was, with its punctuation");
        assert_eq!(line.words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>(), ["well", "ask", "[NAME]", "[NAME]", "please"]);
        assert!(line.alternatives.is_empty());
        let [masked] = &line.masked[..] else { panic!("{}", line.masked.len()) };
        assert_eq!((masked.start_ms, masked.end_ms, &*masked.confidence), (1_650, 2_600, "REVIEWED"), "from before it to the next word");
        assert_eq!(told.utterances[1].alternatives.len(), 1, "what nothing was masked in is as it was");
    }

    #[test]
    fn masks_only_grow_and_a_word_keeps_its_place() {
        let mut told = document(vec![line(Speaker::Client, "ask Zebedee Quux or Bob", 1_000)]);
        assert_eq!(told.mask(&[span(0, 1, 1, Entity::Name)]), Ok(true));
        let before = told.clone();
        assert_eq!(told.mask(&[span(0, 1, 1, Entity::Password)]), Ok(false), "it is masked already, whatever it is called");
        assert!(told == before);
        // The same words by the same numbers, over what is masked between.
        assert_eq!(told.mask(&[span(0, 0, 2, Entity::Address), span(0, 4, 4, Entity::Name)]), Ok(true));
        assert_eq!(told.utterances[0].text, "[ADDRESS] [NAME] [ADDRESS] or [NAME]");
    }

    #[test]
    fn words_that_are_not_there_mask_nothing() {
        let mut told = document(vec![line(Speaker::Client, "ask Zebedee", 1_000)]);
        let before = told.clone();
        for wrong in [
            span(1, 0, 0, Entity::Name),
            span(0, 1, 2, Entity::Name),
            span(0, 1, 0, Entity::Name),
            span(0, usize::MAX, usize::MAX, Entity::Name),
        ] {
            assert!(told.mask(&[span(0, 1, 1, Entity::Name), wrong]).is_err(), "{wrong:?}");
            assert!(told == before, "{wrong:?}");
        }
    }

    #[test]
    fn a_text_that_says_other_words_than_its_list_goes_with_what_is_masked() {
        let mut heard = line(Speaker::Client, "my pin is four two four two", 1_000);
        heard.text = "My PIN is 4242.".to_owned();
        let mut told = document(vec![heard]);
        assert_eq!(told.mask(&[span(0, 3, 6, Entity::Pin)]), Ok(true));
        assert_eq!(told.utterances[0].text, "my pin is [PIN]");
    }

    #[test]
    fn the_rules_of_a_later_day_mask_more_and_never_less() {
        let said = [
            (Speaker::Other, "What is your phone number?", 0),
            (Speaker::Client, "It is 617 555 0123, thanks.", 4_000),
            (Speaker::Other, "Thank you, I have it.", 9_000),
            (Speaker::Client, "Then room 4471 is open.", 60_000),
        ];
        let mut told = document(said.map(|(speaker, text, at)| line(speaker, text, at)).into());
        assert_eq!(told.mask(&[span(3, 0, 0, Entity::Name)]), Ok(true));
        assert_eq!(told.redact_again(Policy::default()), Ok(true));
        assert_eq!(told.utterances[1].text, "It is [PHONE] thanks.");
        assert_eq!(told.utterances[3].text, "[NAME] room 4471 is open.", "what was masked stays so; a number of no meaning is not masked");
        assert!(!String::from_utf8(told.to_json()).unwrap().contains("0123"));
        let before = told.clone();
        assert_eq!(told.redact_again(Policy { entities: Entities::NONE, strict: false }), Ok(false), "a laxer policy takes no mask away");
        assert!(told == before);
        let strict = Policy { strict: true, ..Policy::default() };
        assert_eq!(told.redact_again(strict), Ok(true));
        assert_eq!(told.utterances[3].text, "[NAME] room [NUMBER] is open.");
        assert_eq!(told.redact_again(strict), Ok(false), "once is enough");
        assert!(told.policy.strict && told.policy.entities.len() == Entity::ALL.len() - 1);
    }

    #[test]
    fn it_is_read_as_it_was_stored() {
        let mut told = document(vec![line(Speaker::Client, "ask Zebedee", 1_000), line(Speaker::Other, "Sure.", 9_000)]);
        told.mask(&[span(0, 1, 1, Entity::Name)]).unwrap();
        assert!(Document::parse(&told.to_json()).unwrap() == told);
        assert!(Document::parse(b"{}").is_err());
    }
}
