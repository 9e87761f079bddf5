//! Redaction of transcripts: words in, the same words with what is sensitive masked out, and where to silence the audio.
//!
//! A sink gives every final utterance of a recogniser to [`Redactor::redact`] and stores what comes back, and nothing else.
//! What could still grow into something sensitive is held back, so an utterance may come out of a later call, of
//! [`Redactor::heard_until`] or of [`Redactor::finish`]; each speaker's come out in their order. Decisions are taken word by
//! word: in which pieces the recogniser delivers them makes no difference. Partial results go through
//! [`Redactor::preview`], which answers with a [`Partial`]: it shows digits as bullets and can be stored nowhere.
//!
//! It never reads a clock, keeps no text beyond the call and no more than its bounds name, and none of it prints itself.
//! Start at `rules`, which decides; `number` reads numbers as people say them; `cue` knows what was asked for.
//!
//! ```
//! use callgate::engine::redact::{Entity, Policy, Redactor, Speaker, Utterance};
//!
//! let mut redactor = Redactor::new(Policy::default());
//! let said = |speaker, text: &str, start_ms, end_ms| Utterance { speaker, text: text.into(), start_ms, end_ms, ..Utterance::default() };
//!
//! let mut stored = redactor.redact(said(Speaker::Other, "What's the card number?", 0, 1_200))?;
//! // The number may go on: nothing comes out yet.
//! stored.extend(redactor.redact(said(Speaker::Client, "Sure. Forty-one eleven, uh, double one", 2_000, 5_000))?);
//! stored.extend(redactor.redact(said(Speaker::Other, "Okay.", 5_100, 5_300))?);
//! stored.extend(redactor.redact(said(Speaker::Client, "one one, 1111 1111. Is that all?", 5_500, 8_000))?);
//! stored.extend(redactor.finish());
//!
//! let texts: Vec<&str> = stored.iter().filter(|redacted| redacted.utterance.speaker == Speaker::Client).map(|redacted| redacted.utterance.text.as_str()).collect();
//! assert_eq!(texts, ["Sure. [CARD_NUMBER]", "Is that all?"]);
//! let span = stored.iter().flat_map(|redacted| &redacted.spans).next().unwrap();
//! assert_eq!((span.entity, span.words.clone()), (Entity::CardNumber, 1..10));
//! # Ok::<(), callgate::engine::redact::Unusable>(())
//! ```

mod ahead;
mod checksum;
mod codes;
mod cue;
mod dates;
mod email;
mod entity;
mod lexicon;
mod mask;
mod mind;
mod names;
mod number;
mod numbers;
mod places;
mod rules;
mod speech;
#[cfg(test)]
mod tests;
mod token;

use std::collections::VecDeque;
use std::fmt;

pub use ahead::{AHEAD_WORDS_MAX, TURN_WINDOW_MS};
pub use cue::{CUE_WINDOW_MS, CUES_MAX};
pub use entity::{Entities, Entity, Policy};
pub use mind::{SILENCE_PAD_MS, SILENCE_TAIL_MS_MAX};
pub use speech::{
    ALTERNATIVES_MAX, Alternative, Confidence, Partial, Redacted, Span, Speaker, UTTERANCE_WORDS_MAX, Unusable, Utterance, WORD_BYTES_MAX,
    Word,
};

pub(super) use mask::{bare, is_mark, mark, marked};
pub(super) use mind::silenced;
pub(super) use token::plain;

use mask::Form;
use mind::{Decided, Mind, Shared};

/// Redacts one call.
pub struct Redactor {
    shared: Shared,
    client: Lane,
    other: Lane,
}

/// One speaker's utterances on their way through.
struct Lane {
    mind: Mind,
    /// At most one for each word that is held back, and so never more than [`AHEAD_WORDS_MAX`].
    queue: VecDeque<Queued>,
    /// Words heard so far.
    words: u64,
}

/// An utterance whose words are not all decided.
struct Queued {
    utterance: Utterance,
    form: Form,
    /// What was found in the text, where it says other words than the word list; and in each alternative.
    text: Option<Form>,
    alternatives: Vec<Form>,
    first_word: u64,
    decided: Vec<Decided>,
}

impl Redactor {
    /// For a call that begins.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { shared: Shared::new(policy), client: Lane::new(Speaker::Client), other: Lane::new(Speaker::Other) }
    }

    /// Takes a final utterance; gives back all of this speaker that is decided. Utterances of both speakers are to come in the
    /// order in which they began, as far as the recogniser tells them in it: a question tells what its answer is.
    pub fn redact(&mut self, utterance: Utterance) -> Result<Vec<Redacted>, Unusable> {
        utterance.check()?;
        let (shared, lane) = self.lane(utterance.speaker);
        Ok(lane.take(shared, utterance))
    }

    /// The recogniser has told all that `speaker` began to say before `ms`: what was held back for a longer pause comes out.
    pub fn heard_until(&mut self, speaker: Speaker, ms: u64) -> Vec<Redacted> {
        let (shared, lane) = self.lane(speaker);
        if lane.mind.last_end_ms().is_some_and(|end_ms| ms.saturating_sub(end_ms) > TURN_WINDOW_MS) {
            lane.settle(shared, true);
        }
        lane.release()
    }

    /// The call is over: the rest.
    #[must_use]
    pub fn finish(mut self) -> Vec<Redacted> {
        let mut rest = Vec::new();
        for speaker in [Speaker::Client, Speaker::Other] {
            let (shared, lane) = self.lane(speaker);
            lane.settle(shared, true);
            rest.extend(lane.release());
        }
        rest.sort_by_key(|redacted| redacted.utterance.start_ms);
        rest
    }

    /// A result that is not final, to be shown and never to be kept.
    pub fn preview(&self, utterance: &Utterance) -> Result<Partial, Unusable> {
        utterance.check()?;
        let lane = match utterance.speaker {
            Speaker::Client => &self.client,
            Speaker::Other => &self.other,
        };
        let form = Form::of(&utterance.text, &utterance.words, utterance.start_ms, utterance.end_ms);
        let form = match &form.text_apart {
            Some(text) => Form::of_text(text, utterance.start_ms, utterance.end_ms),
            None => form,
        };
        let decided = lane.mind.imagine(&self.shared, &form);
        Ok(Partial { speaker: utterance.speaker, text: mask::with_bullets(&form, &decided) })
    }

    /// Words that are held back.
    #[must_use]
    pub fn held_words(&self) -> usize {
        self.client.mind.held_words() + self.other.mind.held_words()
    }

    const fn lane(&mut self, speaker: Speaker) -> (&mut Shared, &mut Lane) {
        match speaker {
            Speaker::Client => (&mut self.shared, &mut self.client),
            Speaker::Other => (&mut self.shared, &mut self.other),
        }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("held_words", &self.held_words()).finish_non_exhaustive()
    }
}

impl Lane {
    fn new(speaker: Speaker) -> Self {
        Self { mind: Mind::new(speaker), queue: VecDeque::new(), words: 0 }
    }

    fn take(&mut self, shared: &mut Shared, utterance: Utterance) -> Vec<Redacted> {
        let (start_ms, end_ms) = (utterance.start_ms, utterance.end_ms);
        let form = Form::of(&utterance.text, &utterance.words, start_ms, end_ms);
        let imagine = |mut form: Form| {
            form.decided = self.mind.imagine(shared, &form);
            form
        };
        let text = form.text_apart.as_deref().map(|text| imagine(Form::of_text(text, start_ms, end_ms)));
        let alternatives =
            utterance.alternatives.iter().map(|other| imagine(Form::of(&other.text, &other.words, start_ms, end_ms))).collect();
        let first_word = self.words;
        self.words += form.tokens.len() as u64;
        let heard: Vec<_> = form.tokens.iter().map(|heard| (heard.token.clone(), heard.start_ms, heard.end_ms)).collect();
        self.queue.push_back(Queued { utterance, form, text, alternatives, first_word, decided: Vec::new() });
        for (token, start_ms, end_ms) in heard {
            self.mind.hear(shared, token, start_ms, end_ms);
            self.settle(shared, false);
        }
        self.release()
    }

    fn settle(&mut self, shared: &mut Shared, whole: bool) {
        for decided in self.mind.settle(shared, whole) {
            if let Some(queued) = self.queue.iter_mut().find(|queued| queued.decided.len() < queued.form.tokens.len()) {
                queued.decided.push(decided);
            }
        }
    }

    fn release(&mut self) -> Vec<Redacted> {
        let mut released = Vec::new();
        while let Some(queued) = self.queue.pop_front_if(|queued| queued.decided.len() == queued.form.tokens.len()) {
            released.push(mask::apply(
                queued.utterance,
                &queued.form,
                queued.text.as_ref(),
                &queued.alternatives,
                queued.first_word,
                &queued.decided,
            ));
        }
        released
    }
}
