//! What a recogniser says, and what is left of it. Nothing here prints what was said.

use std::fmt;
use std::ops::Range;

use thiserror::Error;

use super::entity::Entity;

/// Words in one utterance.
pub const UTTERANCE_WORDS_MAX: usize = 2_000;
/// Bytes in one word.
pub const WORD_BYTES_MAX: usize = 512;
/// Alternatives of one utterance.
pub const ALTERNATIVES_MAX: usize = 10;

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Speaker {
    /// The client.
    #[default]
    Client,
    /// The other party: a case manager, an agent, a machine.
    Other,
}

impl Speaker {
    /// Its place where something is kept of each.
    pub const fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Other => 1,
        }
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Other,
            Self::Other => Self::Client,
        }
    }
}

/// A word, and when it was said.
#[derive(Clone, PartialEq, Default)]
pub struct Word {
    /// As the recogniser writes it.
    pub text: String,
    /// In media time.
    pub start_ms: u64,
    /// Not before it began.
    pub end_ms: u64,
    /// 0 to 1.
    pub confidence: f32,
}

/// Another thing that may have been said.
#[derive(Clone, PartialEq, Default)]
pub struct Alternative {
    /// All of it.
    pub text: String,
    /// Its words; may be empty.
    pub words: Vec<Word>,
    /// 0 to 1.
    pub confidence: f32,
}

/// What one speaker said in one go, as far as the recogniser is sure of it.
#[derive(Clone, PartialEq, Default)]
pub struct Utterance {
    /// Whose words.
    pub speaker: Speaker,
    /// All of it, perhaps with punctuation and in digits where the words are not.
    pub text: String,
    /// In media time.
    pub start_ms: u64,
    /// Not before it began.
    pub end_ms: u64,
    /// Its words; without them they are taken from the text, and their times are estimated.
    pub words: Vec<Word>,
    /// What it may have been instead.
    pub alternatives: Vec<Alternative>,
}

/// How sure it is that something is what its entity says. It is masked in any case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Confidence {
    /// It has the shape.
    Shape,
    /// It was asked for, or announced.
    Cue,
    /// Its check digits are right.
    Checksum,
}

/// Something sensitive that was masked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// What it is.
    pub entity: Entity,
    /// How sure that is.
    pub confidence: Confidence,
    /// From here the audio is to be silenced, on both channels: before the first word.
    pub start_ms: u64,
    /// Up to here: to the speaker's next word.
    pub end_ms: u64,
    /// Which of this speaker's words in the call, from 0. They may be of several utterances.
    pub words: Range<u64>,
}

/// An utterance that may be kept.
#[derive(Clone, PartialEq)]
pub struct Redacted {
    /// With a mark such as `[CARD_NUMBER]` where something was masked: once in a text, on every word of a word list.
    pub utterance: Utterance,
    /// What begins in this utterance.
    pub spans: Vec<Span>,
    /// The number of its first word among this speaker's words in the call.
    pub first_word: u64,
}

/// What may be shown for a moment. It has no words and no times: nothing can be made of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Partial {
    /// Whose words.
    pub speaker: Speaker,
    /// Every digit and number word is a bullet.
    pub text: String,
}

/// An utterance that cannot be redacted, and therefore must not be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Unusable {
    /// Too long.
    #[error("{0} words in one utterance: cut it where the speaker pauses, at {UTTERANCE_WORDS_MAX} at most")]
    TooManyWords(usize),
    /// No word is that long.
    #[error("a word of {0} bytes: give words one by one, of {WORD_BYTES_MAX} bytes at most")]
    WordTooLong(usize),
    /// Too many.
    #[error("{0} alternatives: ask the recogniser for {ALTERNATIVES_MAX} at most")]
    TooManyAlternatives(usize),
    /// It would end before it began.
    #[error("word {0} ends before it begins: give times in milliseconds of media time")]
    EndsBeforeItBegins(usize),
}

impl Utterance {
    pub(super) fn check(&self) -> Result<(), Unusable> {
        if self.alternatives.len() > ALTERNATIVES_MAX {
            return Err(Unusable::TooManyAlternatives(self.alternatives.len()));
        }
        if self.start_ms > self.end_ms {
            return Err(Unusable::EndsBeforeItBegins(0));
        }
        check(&self.text, &self.words)?;
        self.alternatives.iter().try_for_each(|other| check(&other.text, &other.words))
    }
}

fn check(text: &str, words: &[Word]) -> Result<(), Unusable> {
    let count = text.split_whitespace().count().max(words.len());
    if count > UTTERANCE_WORDS_MAX {
        return Err(Unusable::TooManyWords(count));
    }
    let bytes = text.split_whitespace().map(str::len).chain(words.iter().map(|word| word.text.len())).max().unwrap_or_default();
    if bytes > WORD_BYTES_MAX {
        return Err(Unusable::WordTooLong(bytes));
    }
    words.iter().position(|word| word.start_ms > word.end_ms).map_or(Ok(()), |n| Err(Unusable::EndsBeforeItBegins(n)))
}

// === Debug: how much, never what ===

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Word({}..{} ms)", self.start_ms, self.end_ms)
    }
}

impl fmt::Debug for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Alternative({} words)", self.words.len())
    }
}

impl fmt::Debug for Utterance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { speaker, words, alternatives, start_ms, end_ms, text: _ } = self;
        write!(f, "Utterance({speaker:?}, {start_ms}..{end_ms} ms, {} words, {} alternatives)", words.len(), alternatives.len())
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redacted")
            .field("utterance", &self.utterance)
            .field("spans", &self.spans)
            .field("first_word", &self.first_word)
            .finish()
    }
}

impl fmt::Debug for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partial({:?})", self.speaker)
    }
}
