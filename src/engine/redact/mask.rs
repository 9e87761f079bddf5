//! Masking every form in which one utterance was told: its text, its word list, its alternatives.
//!
//! They tell of the same sounds. Where something is masked in one, another keeps only such words as the first shows in the
//! clear; so no form says what another hides.

use std::collections::BTreeSet;

use super::mind::{Decided, silenced};
use super::numbers::is_shown_as_bullets;
use super::token::Token;
use super::{Entity, Redacted, Span, Utterance, Word};

/// What a partial result shows for a digit.
const BULLET: &str = "•";

/// A word of a form.
pub(super) struct Heard {
    pub(super) token: Token,
    pub(super) start_ms: u64,
    pub(super) end_ms: u64,
}

/// One form of an utterance, as the rules read it.
pub(super) struct Form {
    pub(super) tokens: Vec<Heard>,
    /// The text's words, where the tokens were taken from it or agree with it.
    pieces: Vec<String>,
    /// The text, where it says other words than the word list.
    pub(super) text_apart: Option<String>,
    /// What was decided, for a form that is not the one the call goes on with.
    pub(super) decided: Vec<Decided>,
}

impl Form {
    /// The words of the list, with the punctuation and the capitals of the text where it has the same words.
    pub(super) fn of(text: &str, words: &[Word], start_ms: u64, end_ms: u64) -> Self {
        if words.is_empty() {
            return Self::of_text(text, start_ms, end_ms);
        }
        let pieces: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let agree = pieces.len() == words.len() && pieces.iter().zip(words).all(|(piece, word)| bare(piece) == bare(&word.text));
        let spoken = |(n, word): (usize, &Word)| Heard {
            token: Token::new(if agree { pieces.get(n).map_or("", String::as_str) } else { &word.text }),
            start_ms: word.start_ms,
            end_ms: word.end_ms,
        };
        let tokens = words.iter().enumerate().map(spoken).collect();
        let text_apart = (!agree && !pieces.is_empty()).then(|| text.to_owned());
        Self { tokens, pieces: if agree { pieces } else { Vec::new() }, text_apart, decided: Vec::new() }
    }

    /// The words of the text, at times that are estimated.
    pub(super) fn of_text(text: &str, start_ms: u64, end_ms: u64) -> Self {
        let pieces: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let (count, length) = (pieces.len().max(1) as u64, end_ms.saturating_sub(start_ms));
        let at = |n: usize| start_ms + length * n as u64 / count;
        let tokens =
            pieces.iter().enumerate().map(|(n, piece)| Heard { token: Token::new(piece), start_ms: at(n), end_ms: at(n + 1) }).collect();
        Self { tokens, pieces, text_apart: None, decided: Vec::new() }
    }
}

/// A word without case and punctuation.
pub(in crate::engine) fn bare(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The words that a masked form shows.
struct Shown {
    clear: BTreeSet<String>,
    first: Option<Entity>,
}

impl Shown {
    fn by(tokens: &[Heard], masked: &[Option<Entity>]) -> Self {
        let clear = tokens.iter().zip(masked).filter(|(_, masked)| masked.is_none()).map(|(heard, _)| bare(&heard.token.folded)).collect();
        Self { clear, first: masked.iter().copied().flatten().next() }
    }

    /// What masks a word of another form.
    fn hides(&self, folded: &str) -> Option<Entity> {
        self.first.filter(|_| !self.clear.contains(&bare(folded)))
    }
}

/// The utterance, masked in all its forms.
pub(super) fn apply(
    mut utterance: Utterance,
    form: &Form,
    text: Option<&Form>,
    alternatives: &[Form],
    first_word: u64,
    decided: &[Decided],
) -> Redacted {
    let mut masked: Vec<Option<Entity>> = decided.iter().map(|decided| decided.masked).collect();
    let mut spans: Vec<Span> = decided.iter().enumerate().filter_map(|(n, decided)| span(first_word + n as u64, decided)).collect();
    if let Some(text) = text {
        let in_text: Vec<_> = text.decided.iter().map(|decided| decided.masked).collect();
        let told = Shown::by(&text.tokens, &in_text);
        // The text shows what the word list did not: then that is silenced from end to end.
        if masked.iter().all(Option::is_none) && told.first.is_some() {
            masked = form.tokens.iter().map(|heard| told.hides(&heard.token.folded)).collect();
            spans.extend(spans_of(&text.decided, form, first_word, &masked));
        }
        let shown = Shown::by(&form.tokens, &masked);
        let in_text: Vec<_> =
            text.tokens.iter().zip(in_text).map(|(heard, own)| own.or_else(|| shown.hides(&heard.token.folded))).collect();
        utterance.text = write(&text.pieces, &in_text, |n| n == 0);
    } else if !form.pieces.is_empty() {
        utterance.text = write(&form.pieces, &masked, decided_first(decided));
    }
    for (word, masked) in utterance.words.iter_mut().zip(&masked) {
        if let Some(entity) = masked {
            word.text = mark(*entity);
        }
    }
    let shown = Shown::by(&form.tokens, &masked);
    for (alternative, form) in utterance.alternatives.iter_mut().zip(alternatives) {
        let masked: Vec<_> =
            form.tokens.iter().zip(&form.decided).map(|(heard, own)| own.masked.or_else(|| shown.hides(&heard.token.folded))).collect();
        let own = Shown::by(&form.tokens, &masked);
        alternative.text = match &form.text_apart {
            // A text that says other words than its own list is read by both.
            Some(text) => {
                let pieces: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
                let hidden: Vec<_> =
                    pieces.iter().map(|piece| own.hides(piece).or_else(|| shown.hides(piece)).or_else(|| digits_hidden(piece))).collect();
                write(&pieces, &hidden, |n| n == 0)
            }
            None if form.pieces.is_empty() => String::new(),
            None => write(&form.pieces, &masked, |n| n == 0),
        };
        for (word, masked) in alternative.words.iter_mut().zip(&masked) {
            if let Some(entity) = masked {
                word.text = mark(*entity);
            }
        }
    }
    Redacted { utterance, spans, first_word }
}

/// A text of an alternative that its words do not tell: its long numbers go.
fn digits_hidden(piece: &str) -> Option<Entity> {
    (piece.chars().filter(char::is_ascii_digit).count() >= 3).then_some(Entity::Number)
}

fn span(word: u64, decided: &Decided) -> Option<Span> {
    let (entity, begins) = (decided.masked?, decided.begins.as_ref()?);
    Some(Span { entity, confidence: begins.confidence, start_ms: begins.start_ms, end_ms: begins.end_ms, words: word..word + begins.words })
}

/// One span over all words that the text alone gave away.
fn spans_of(decided: &[Decided], form: &Form, first_word: u64, masked: &[Option<Entity>]) -> Option<Span> {
    let first = masked.iter().position(Option::is_some)?;
    let last = masked.iter().rposition(Option::is_some)?;
    let entity = masked.get(first).copied().flatten()?;
    let confidence = decided.iter().find_map(|decided| decided.begins.as_ref())?.confidence;
    let (start_ms, end_ms) = silenced(form.tokens.get(first)?.start_ms, form.tokens.get(last)?.end_ms, None);
    Some(Span { entity, confidence, start_ms, end_ms, words: first_word + first as u64..first_word + last as u64 + 1 })
}

fn decided_first(decided: &[Decided]) -> impl Fn(usize) -> bool {
    move |n| decided.get(n).is_some_and(|decided| decided.begins.is_some())
}

/// The mark that stands for what was masked.
pub(in crate::engine) fn mark(entity: Entity) -> String {
    format!("[{}]", entity.code())
}

/// What a word is such a mark of, if it is one.
pub(in crate::engine) fn marked(word: &str) -> Option<Entity> {
    Entity::from_code(word.strip_prefix('[')?.strip_suffix(']')?)
}

/// Whether a word is such a mark.
pub(in crate::engine) fn is_mark(word: &str) -> bool {
    marked(word).is_some()
}

/// The text again: one mark where something begins, nothing where it goes on.
fn write(pieces: &[String], masked: &[Option<Entity>], begins: impl Fn(usize) -> bool) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut before = None;
    for (n, (piece, masked)) in pieces.iter().zip(masked).enumerate() {
        match masked {
            None => words.push(piece.clone()),
            // What goes on from the utterance before has its mark there.
            Some(entity) if begins(n) || (n > 0 && before != Some(*entity)) => words.push(mark(*entity)),
            Some(_) => {}
        }
        before = *masked;
    }
    words.join(" ")
}

/// For a moment's look.
pub(super) fn with_bullets(form: &Form, decided: &[Decided]) -> String {
    let mut words: Vec<String> = Vec::new();
    for ((n, piece), heard) in form.pieces.iter().enumerate().zip(&form.tokens) {
        let decided = decided.get(n);
        let masked = decided.and_then(|decided| decided.masked);
        if is_shown_as_bullets(&heard.token) || heard.token.letter().is_some_and(|letter| !matches!(letter, 'A' | 'I' | 'Y' | 'O')) {
            words.push(BULLET.to_owned());
        } else if let Some(entity) = masked {
            if decided.is_some_and(|decided| decided.begins.is_some()) || n == 0 {
                words.push(mark(entity));
            }
        } else {
            words.push(piece.clone());
        }
    }
    words.join(" ")
}
