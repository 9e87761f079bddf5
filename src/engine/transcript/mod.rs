//! From what recognisers say to a transcript: words placed in the call, what was withheld left out, everything redacted.
//!
//! A recogniser is believed in nothing but its words: where they lie is reckoned from what it was sent ([`Sent`]), a word that
//! touches a stretch that must not be kept is dropped however late it comes, and no text leaves [`Transcript`] but what the
//! redactor has let out. What the client says is heard for a no on its way ([`Objections`]). Start at [`Transcript::take`]. A version that is
//! stored is masked further by `version`.

mod document;
mod objection;
mod places;
mod version;

pub use document::{Caption, Document, Line, MaskedSpan, Missed, PolicyView, Redaction, SpokenWord, UnsureText};
pub use objection::{Objections, PHRASE_LEAD_MS};
pub use places::{Origins, STRETCHES_MAX, Sent};
pub use version::{NoSuchWords, SpokenSpan};

use crate::engine::redact::{Policy, Redacted, Redactor, Span, Speaker, Utterance, Word};

/// Words of one transcript: four hours of two people who talk fast, twice.
pub const WORDS_MAX: usize = 200_000;
/// Stretches that must not be kept, and stretches that were missed, remembered of one call.
pub const STRETCHES_KEPT_MAX: usize = 4_096;

/// The transcript of one call on its way.
pub struct Transcript {
    policy: Policy,
    redactor: Redactor,
    objections: Objections,
    kept: Vec<Redacted>,
    /// So many of them have been shown.
    shown: usize,
    words: usize,
    /// From where to where, in milliseconds of the call; the last one may be open.
    withheld: Vec<(u64, u64)>,
    missed: Vec<Missed>,
    overflowed: bool,
}

impl Transcript {
    /// Of a call that begins to be recorded.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            redactor: Redactor::new(policy),
            objections: Objections::default(),
            kept: Vec::new(),
            shown: 0,
            words: 0,
            withheld: Vec::new(),
            missed: Vec::new(),
            overflowed: false,
        }
    }

    /// Takes a final utterance, placed in the call. Tells where in the call a "no" of the client begins, if there is one in it.
    pub fn take(&mut self, utterance: Utterance) -> Option<u64> {
        let (speaker, start_ms, end_ms) = (utterance.speaker, utterance.start_ms, utterance.end_ms);
        let utterance = self.without_withheld(utterance)?;
        self.words += utterance.words.len();
        if self.words > WORDS_MAX {
            self.overflowed = true;
            return None;
        }
        let objection = if speaker == Speaker::Client { self.objections.hear(&utterance.words) } else { None };
        match self.redactor.redact(utterance) {
            Ok(redacted) => self.kept.extend(redacted),
            // What cannot be redacted must not be kept.
            Err(_) => self.missed(speaker, start_ms, end_ms),
        }
        objection.map(|at| at.saturating_sub(PHRASE_LEAD_MS))
    }

    /// Nothing from there on may be kept, until [`Self::goes_on`].
    pub fn withhold(&mut self, from_ms: u64) {
        let full = self.withheld.len() >= STRETCHES_KEPT_MAX;
        match self.withheld.last_mut() {
            Some((from, u64::MAX)) => *from = (*from).min(from_ms),
            // A bound that is reached withholds everything from there on.
            Some((from, to)) if full => {
                *to = u64::MAX;
                *from = (*from).min(from_ms);
            }
            Some(_) | None => self.withheld.push((from_ms, u64::MAX)),
        }
    }

    /// What comes from there on may be kept again.
    pub fn goes_on(&mut self, at_ms: u64) {
        if self.withheld.len() < STRETCHES_KEPT_MAX
            && let Some((from, to)) = self.withheld.last_mut()
            && *to == u64::MAX
        {
            *to = at_ms.max(*from);
        }
    }

    /// A recogniser did not transcribe what lies there.
    pub fn missed(&mut self, speaker: Speaker, start_ms: u64, end_ms: u64) {
        let full = self.missed.len() >= STRETCHES_KEPT_MAX;
        match self.missed.iter_mut().rev().find(|missed| missed.speaker == speaker) {
            Some(last) if last.end_ms >= start_ms || full => last.end_ms = last.end_ms.max(end_ms),
            Some(_) | None => self.missed.push(Missed { speaker, start_ms, end_ms }),
        }
    }

    /// All that this speaker began to say before `ms` was told.
    pub fn heard_until(&mut self, speaker: Speaker, ms: u64) {
        let redacted = self.redactor.heard_until(speaker, ms);
        self.kept.extend(redacted);
    }

    /// What has been decided since this was asked last, for who follows the call: redacted, and nothing that is withheld. Times are
    /// the call's.
    pub fn captions(&mut self) -> impl Iterator<Item = Caption> + '_ {
        let from = std::mem::replace(&mut self.shown, self.kept.len());
        self.kept.iter().skip(from).filter_map(|redacted| {
            let Line { speaker, start_ms, end_ms, text, .. } = line(redacted.clone(), &self.withheld, &Some)?;
            Some(Caption { speaker, start_ms, end_ms, text })
        })
    }

    /// Whether a word of it is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.redactor.held_words() == 0
    }

    /// The call is over: everything is decided.
    #[must_use]
    pub fn finish(self) -> Decided {
        let Self { policy, redactor, mut kept, withheld, missed, overflowed, .. } = self;
        kept.extend(redactor.finish());
        Decided { policy, kept, withheld, missed, overflowed }
    }

    fn without_withheld(&self, mut utterance: Utterance) -> Option<Utterance> {
        if utterance.words.is_empty() {
            utterance.words = estimated(&utterance);
        }
        if is_withheld(&self.withheld, utterance.start_ms, utterance.end_ms) {
            utterance.words.retain(|word| !is_withheld(&self.withheld, word.start_ms, word.end_ms));
            utterance.alternatives.clear();
            utterance.text = text_of(utterance.words.iter().map(|word| word.text.as_str()));
            bound(&mut utterance);
        }
        (!utterance.words.is_empty()).then_some(utterance)
    }
}

/// Words of a call that is over, still on the call's own line of time.
pub struct Decided {
    policy: Policy,
    kept: Vec<Redacted>,
    withheld: Vec<(u64, u64)>,
    missed: Vec<Missed>,
    overflowed: bool,
}

impl Decided {
    /// Whether everything that was said was heard.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.missed.is_empty() && !self.overflowed
    }

    /// Where something was masked: what the audio is to be silent of, on both channels, in order and apart.
    #[must_use]
    pub fn silences(&self) -> Vec<(u64, u64)> {
        let mut spans: Vec<_> = self.kept.iter().flat_map(|redacted| &redacted.spans).map(|span| (span.start_ms, span.end_ms)).collect();
        spans.sort_unstable();
        let mut silences: Vec<(u64, u64)> = Vec::with_capacity(spans.len());
        for (start, end) in spans {
            match silences.last_mut() {
                Some((_, last)) if *last >= start => *last = (*last).max(end),
                Some(_) | None => silences.push((start, end)),
            }
        }
        silences
    }

    /// As it is stored. `at` tells where in the recording something of the call lies, if it does.
    #[must_use]
    pub fn placed(self, at: impl Fn(u64) -> Option<u64>) -> Finished {
        let Self { policy, kept, withheld, missed, overflowed } = self;
        let mut lines: Vec<Line> = kept.into_iter().filter_map(|redacted| line(redacted, &withheld, &at)).collect();
        lines.sort_by_key(|line| line.start_ms);
        let missed: Vec<Missed> = missed
            .into_iter()
            .filter_map(|missed| {
                Some(Missed { start_ms: at(missed.start_ms)?, end_ms: at(missed.end_ms).unwrap_or(missed.end_ms), ..missed })
            })
            .collect();
        let complete = missed.is_empty() && !overflowed;
        Finished { policy: PolicyView::of(policy), lines, missed, complete }
    }
}

/// What is left of a call when it is over.
pub struct Finished {
    /// What was masked.
    pub policy: PolicyView,
    /// What was said, in order.
    pub lines: Vec<Line>,
    /// What was not transcribed, though it was captured.
    pub missed: Vec<Missed>,
    /// Whether that is nothing.
    pub complete: bool,
}

fn is_withheld(withheld: &[(u64, u64)], start_ms: u64, end_ms: u64) -> bool {
    withheld.iter().any(|(from, to)| end_ms > *from && start_ms < *to)
}

/// An utterance reaches from its first word to its last.
fn bound(utterance: &mut Utterance) {
    if let (Some(first), Some(last)) = (utterance.words.first(), utterance.words.last()) {
        (utterance.start_ms, utterance.end_ms) = (first.start_ms, last.end_ms.max(first.start_ms));
    }
}

/// The words of a recogniser that tells no times: spread over the utterance.
fn estimated(utterance: &Utterance) -> Vec<Word> {
    let pieces: Vec<&str> = utterance.text.split_whitespace().collect();
    let (count, length) = (pieces.len().max(1) as u64, utterance.end_ms.saturating_sub(utterance.start_ms));
    let at = |n: u64| utterance.start_ms + length * n / count;
    (0..).zip(pieces).map(|(n, text)| Word { text: text.to_owned(), start_ms: at(n), end_ms: at(n + 1), confidence: 0.0 }).collect()
}

/// A mask that stands on several words stands once in a text.
fn text_of<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let mut text = String::new();
    let mut last = "";
    for word in words {
        if word == last && word.starts_with('[') {
            continue;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
        last = word;
    }
    text
}

fn line(redacted: Redacted, withheld: &[(u64, u64)], at: &impl Fn(u64) -> Option<u64>) -> Option<Line> {
    let Redacted { mut utterance, spans, first_word: _ } = redacted;
    // A cut may have come after it was let out.
    if is_withheld(withheld, utterance.start_ms, utterance.end_ms) {
        utterance.words.retain(|word| !is_withheld(withheld, word.start_ms, word.end_ms));
        utterance.alternatives.clear();
        utterance.text = text_of(utterance.words.iter().map(|word| word.text.as_str()));
        bound(&mut utterance);
    }
    if utterance.words.is_empty() {
        return None;
    }
    let start_ms = at(utterance.start_ms)?;
    let placed = |ms: u64| at(ms).unwrap_or_else(|| start_ms + (ms - utterance.start_ms.min(ms)));
    let words = utterance
        .words
        .iter()
        .map(|word| SpokenWord {
            text: word.text.clone(),
            start_ms: placed(word.start_ms),
            end_ms: placed(word.end_ms),
            confidence: word.confidence,
        })
        .collect();
    let masked = |span: Span| {
        let inside = !is_withheld(withheld, span.start_ms, span.start_ms + 1);
        inside.then(|| MaskedSpan::of(&span, placed(span.start_ms), placed(span.end_ms)))
    };
    Some(Line {
        speaker: utterance.speaker,
        start_ms,
        end_ms: placed(utterance.end_ms),
        words,
        alternatives: utterance
            .alternatives
            .into_iter()
            .map(|other| UnsureText { text: other.text, confidence: other.confidence })
            .collect(),
        masked: spans.into_iter().filter_map(masked).collect(),
        text: utterance.text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::redact::Alternative;

    fn said(speaker: Speaker, text: &str, start_ms: u64) -> Utterance {
        let words: Vec<Word> = (0..)
            .zip(text.split_whitespace())
            .map(|(n, text)| Word { text: text.into(), start_ms: start_ms + n * 400, end_ms: start_ms + n * 400 + 350, confidence: 0.9 })
            .collect();
        let end_ms = words.last().map_or(start_ms, |word| word.end_ms);
        Utterance { speaker, text: text.into(), start_ms, end_ms, words, alternatives: Vec::new() }
    }

    fn texts(transcript: Transcript) -> Vec<String> {
        transcript.finish().placed(Some).lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn nothing_leaves_it_unredacted() {
        let mut transcript = Transcript::new(Policy::default());
        transcript.take(said(Speaker::Other, "what is the card number", 0));
        let mut answer = said(Speaker::Client, "it is 6011 0009 9013 9424 thanks", 4_000);
        answer.alternatives.push(Alternative { text: "it is 6011 0009 9013 9424 tanks".into(), ..Alternative::default() });
        transcript.take(answer);
        let finished = transcript.finish().placed(Some);
        let json = serde_json::to_string(&finished.lines).unwrap();
        assert!(json.contains("[CARD_NUMBER]") && json.contains("CARD_NUMBER"), "{json}");
        for digits in ["6011", "0009", "9013", "9424"] {
            assert!(!json.contains(digits), "{json}");
        }
        assert_eq!(finished.lines[1].masked.len(), 1);
        assert!(finished.complete);
    }

    #[test]
    fn the_audio_is_silent_where_something_is_masked() {
        let mut transcript = Transcript::new(Policy::default());
        transcript.take(said(Speaker::Client, "it is 6011 0009 9013 9424 thanks", 4_000));
        transcript.take(said(Speaker::Client, "my name is Alice thanks", 90_000));
        let silences = transcript.finish().silences();
        assert_eq!(silences.len(), 2, "{silences:?}");
        let (start, end) = silences[0];
        assert!(start <= 4_800 && (4_800 + 3 * 400 + 350..=4_800 + 4 * 400).contains(&end), "{silences:?}");
    }

    #[test]
    fn words_of_a_cut_are_dropped_however_late_they_come() {
        let mut transcript = Transcript::new(Policy::default());
        transcript.take(said(Speaker::Client, "one sheep two sheep purple elephant", 1_000));
        transcript.withhold(2_500);
        transcript.take(said(Speaker::Other, "the elephant is late", 2_300));
        transcript.take(said(Speaker::Client, "elephants everywhere", 9_000));
        assert_eq!(texts(transcript), ["one sheep two"], "words that reach into the cut are of the cut");
    }

    #[test]
    fn what_comes_after_it_was_opened_again_is_kept() {
        let mut transcript = Transcript::new(Policy::default());
        transcript.withhold(2_000);
        transcript.withhold(1_500);
        transcript.goes_on(9_000);
        transcript.take(said(Speaker::Client, "purple elephant", 1_600));
        transcript.take(said(Speaker::Client, "green lighthouse", 9_000));
        assert_eq!(texts(transcript), ["green lighthouse"]);
    }

    #[test]
    fn a_text_without_words_is_cut_by_where_its_words_must_lie() {
        let mut transcript = Transcript::new(Policy::default());
        transcript.withhold(3_000);
        let text = Utterance { text: "green lighthouse purple elephant".into(), start_ms: 1_000, end_ms: 5_000, ..Utterance::default() };
        transcript.take(text);
        assert_eq!(texts(transcript), ["green lighthouse"]);
    }

    #[test]
    fn the_clients_no_is_told_and_the_other_partys_is_not() {
        let mut transcript = Transcript::new(Policy::default());
        assert_eq!(transcript.take(said(Speaker::Other, "please stop recording", 4_000)), None);
        assert_eq!(transcript.take(said(Speaker::Client, "oh please stop recording", 8_000)), Some(8_800 - PHRASE_LEAD_MS));
    }

    #[test]
    fn what_is_no_utterance_is_missed_and_not_kept() {
        let mut transcript = Transcript::new(Policy::default());
        transcript.take(said(Speaker::Client, &"x".repeat(5_000), 0));
        transcript.missed(Speaker::Client, 300, 900);
        transcript.missed(Speaker::Client, 2_000, 2_500);
        let finished = transcript.finish().placed(Some);
        assert!(finished.lines.is_empty() && !finished.complete);
        assert_eq!(finished.missed.iter().map(|missed| (missed.start_ms, missed.end_ms)).collect::<Vec<_>>(), [(0, 900), (2_000, 2_500)]);
    }

    #[test]
    fn captions_are_told_once_redacted_and_without_what_is_withheld() {
        let mut transcript = Transcript::new(Policy::default());
        let mut shown = Vec::new();
        for (text, at) in [("what is the card number", 0), ("it is 6011 0009 9013 9424 thanks", 4_000), ("green lighthouse", 90_000)] {
            transcript.take(said(Speaker::Client, text, at));
            transcript.heard_until(Speaker::Client, at + 60_000);
            shown.extend(transcript.captions());
        }
        let shown: Vec<String> = shown.into_iter().map(|caption: Caption| caption.text).collect();
        assert!(shown.concat().contains("[CARD_NUMBER]") && !shown.concat().contains("6011"), "{shown:?}");
        assert_eq!(transcript.captions().count(), 0, "once");
        // Let out, and not shown when the cut came.
        transcript.take(said(Speaker::Client, "one sheep", 100_500));
        transcript.heard_until(Speaker::Client, 200_000);
        transcript.withhold(100_000);
        transcript.take(said(Speaker::Client, "purple elephant", 101_000));
        transcript.heard_until(Speaker::Client, 300_000);
        assert_eq!(transcript.captions().count(), 0);
    }

    #[test]
    fn lines_lie_where_the_recording_has_them() {
        let mut transcript = Transcript::new(Policy::default());
        transcript.take(said(Speaker::Client, "green lighthouse", 1_000));
        transcript.take(said(Speaker::Client, "never stored", 90_000));
        let lines = transcript.finish().placed(|ms| (ms < 50_000).then_some(ms + 12_000)).lines;
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].start_ms, lines[0].words[1].end_ms), (13_000, 13_750));
    }
}
