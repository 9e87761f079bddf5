//! The words not yet decided, as far as they are known.

use super::cue::Cue;
use super::token::{Kind, Token};

/// How far apart two words of one speaker may lie and still belong to one number, address or name.
pub const TURN_WINDOW_MS: u64 = 20_000;
/// A speaker who was silent for so long has finished a sentence.
pub(super) const REST_MS: u64 = 600;
/// How many words ahead a decision looks; what goes on for longer is taken to end here.
pub const AHEAD_WORDS_MAX: usize = 256;

/// A word waiting for its decision.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) token: Token,
    /// Its place among all words of the call, both speakers'.
    pub(super) seq: u64,
    pub(super) start_ms: u64,
    pub(super) end_ms: u64,
    /// What it told of things to come.
    pub(super) cue: Option<Cue>,
    /// The speaker had paused.
    pub(super) rested: bool,
    /// The other speaker had asked for something.
    pub(super) asked: bool,
    /// The digits that the other speaker had said last, and this one.
    pub(super) others: Told,
    pub(super) own: Told,
}

/// The last digits that somebody said, whatever stood between them.
#[derive(Clone, Copy)]
pub(super) struct Told {
    digits: [u8; TOLD_DIGITS_MAX],
    count: usize,
    end_ms: u64,
    /// The last one may be a part of the next ("forty" of "forty-one"), or is said so often.
    open: bool,
    times: u8,
}

const TOLD_DIGITS_MAX: usize = 20;
/// What was said longer ago is read back by nobody.
const TOLD_WINDOW_MS: u64 = 12_000;

impl Told {
    pub(super) const NONE: Self = Self { digits: [0; TOLD_DIGITS_MAX], count: 0, end_ms: 0, open: false, times: 0 };

    /// The digits, if they are fresh.
    pub(super) fn recent(&self, at_ms: u64) -> Option<&[u8]> {
        (self.count > 0 && at_ms.saturating_sub(self.end_ms) <= TOLD_WINDOW_MS).then(|| &self.digits[..self.count])
    }

    /// Takes in a word.
    pub(super) fn hear(&mut self, token: &Token, end_ms: u64) {
        let times = std::mem::take(&mut self.times).max(1);
        let open = std::mem::take(&mut self.open);
        match &token.kind {
            Kind::Digits(digits) | Kind::Dated(digits) | Kind::Grouped(digits) => digits.bytes().for_each(|digit| self.push(digit)),
            Kind::Unit(unit) if open && *unit > 0 => {
                self.count = self.count.saturating_sub(1);
                self.push(b'0' + unit);
            }
            Kind::Unit(unit) => (0..times).for_each(|_| self.push(b'0' + unit)),
            Kind::Oh => (0..times).for_each(|_| self.push(b'0')),
            Kind::Teen(value) | Kind::Tens(value) => {
                self.push(b'0' + value / 10);
                self.push(b'0' + value % 10);
                self.open = matches!(token.kind, Kind::Tens(_)) && !token.pauses;
            }
            Kind::Once => (0..2).for_each(|_| self.push(b'1')),
            Kind::Repeat(times) => self.times = *times,
            _other => {
                // "treinta y uno".
                self.open = open && token.is("y");
                return;
            }
        }
        self.end_ms = end_ms;
    }

    fn push(&mut self, digit: u8) {
        if self.count == TOLD_DIGITS_MAX {
            self.digits.copy_within(1.., 0);
            self.count -= 1;
        }
        self.digits[self.count] = digit;
        self.count += 1;
    }
}

/// The answer depends on words that are not there yet.
pub(super) struct More;

/// What a rule finds: a thing, nothing, or that it must wait.
pub(super) type Found<T> = Result<Option<T>, More>;

/// The words from the first undecided one on, to where what is being said must have ended.
#[derive(Clone, Copy)]
pub(super) struct Ahead<'a> {
    words: &'a [Held],
    whole: bool,
}

impl<'a> Ahead<'a> {
    /// `whole`: nothing comes after `words` that could belong to them.
    pub(super) fn new(words: &'a [Held], whole: bool) -> Self {
        let words = &words[..words.len().min(AHEAD_WORDS_MAX)];
        let far = |pair: &[Held]| pair[1].asked || pair[1].start_ms.saturating_sub(pair[0].end_ms) > TURN_WINDOW_MS;
        let whole = whole || words.len() == AHEAD_WORDS_MAX;
        match words.windows(2).position(far) {
            Some(last) => Self { words: &words[..=last], whole: true },
            None => Self { words, whole },
        }
    }

    /// The word `n` places on; `None` where nothing more is said.
    pub(super) fn held(&self, n: usize) -> Found<&'a Held> {
        match self.words.get(n) {
            Some(held) => Ok(Some(held)),
            None if self.whole => Ok(None),
            None => Err(More),
        }
    }

    pub(super) fn at(&self, n: usize) -> Found<&'a Token> {
        Ok(self.held(n)?.map(|held| &held.token))
    }

    /// Whether the word there satisfies `test`.
    pub(super) fn is(&self, n: usize, test: impl FnOnce(&Token) -> bool) -> Result<bool, More> {
        Ok(self.at(n)?.is_some_and(test))
    }

    /// The same from the word `n` on.
    pub(super) fn after(self, n: usize) -> Self {
        Self { words: self.words.get(n..).unwrap_or_default(), whole: self.whole }
    }

    /// The words `from..to`, all of which must have been seen.
    pub(super) fn seen(&self, from: usize, to: usize) -> &'a [Held] {
        self.words.get(from..to).unwrap_or_default()
    }
}
