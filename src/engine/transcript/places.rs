//! Three times of one word: in the recogniser's stream, in the call's captured media, in a stream of Twilio's.
//!
//! A recogniser counts the audio that it was sent, and only that: neither pauses nor holes nor what came before it. What it says is
//! worth nothing until it is known where in the call that was.

use crate::engine::audio::frame::{Place, StreamNo};
use crate::engine::time::SAMPLES_PER_MS;

/// Stretches remembered of one recogniser's stream; then it is ended, and another begins.
pub const STRETCHES_MAX: usize = 4_096;
/// A recogniser may tell that a word ends so long after the last audio it was sent; what it tells of later is no word.
const BEYOND_MAX_MS: u64 = 500;

/// Where the streams of one call lie on its one line of captured media, in samples since the recording began.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    streams: Vec<(StreamNo, u64)>,
    newest: u64,
}

impl Origins {
    /// A stream begins, so long after the recording on the wall. It lies behind whatever was captured before.
    pub fn began(&mut self, stream: StreamNo, offset_ms: u64) {
        if !self.streams.iter().any(|(known, _)| *known == stream) {
            let origin = (offset_ms * SAMPLES_PER_MS).max(self.newest);
            self.streams.push((stream, origin));
        }
    }

    /// Where a place of a stream lies in the call.
    #[must_use]
    pub fn in_call(&self, stream: StreamNo, at: Place) -> Option<u64> {
        self.streams.iter().find(|(known, _)| *known == stream).map(|(_, origin)| origin + at.0)
    }

    /// The call's media has come so far.
    pub fn reached(&mut self, in_call: u64) {
        self.newest = self.newest.max(in_call);
    }

    /// How far it has come.
    #[must_use]
    pub const fn newest(&self) -> u64 {
        self.newest
    }

    /// On which stream, and where there, something of the call lies.
    #[must_use]
    pub fn in_stream(&self, in_call: u64) -> Option<(StreamNo, Place)> {
        let (stream, origin) = self.streams.iter().rev().find(|(_, origin)| *origin <= in_call).or_else(|| self.streams.first())?;
        Some((*stream, Place(in_call.saturating_sub(*origin))))
    }
}

/// What one recogniser's stream was sent.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    stretches: Vec<Stretch>,
    samples: u64,
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    sent: u64,
    in_call: u64,
    samples: u64,
}

impl Sent {
    /// So many samples more, which lie there in the call.
    pub fn more(&mut self, in_call: u64, samples: u64) {
        match self.stretches.last_mut() {
            Some(last) if last.in_call + last.samples == in_call => last.samples += samples,
            Some(_) | None => self.stretches.push(Stretch { sent: self.samples, in_call, samples }),
        }
        self.samples += samples;
    }

    /// Whether another stream is to begin: holes without end fill no memory.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.stretches.len() >= STRETCHES_MAX
    }

    /// How many samples that are.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// Where the last audio sent ends in the call.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        self.stretches.last().map(|last| last.in_call + last.samples)
    }

    /// Where in the call something lies that the recogniser puts between these milliseconds of its stream, in milliseconds. `None`: it
    /// was never sent that, or nothing can end before it begins.
    #[must_use]
    pub fn in_call_ms(&self, start_ms: f64, end_ms: f64) -> Option<(u64, u64)> {
        if !(start_ms >= 0.0 && end_ms >= start_ms && end_ms.is_finite()) || self.samples == 0 {
            return None;
        }
        let sent_ms = self.samples / SAMPLES_PER_MS;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and `as` saturates")]
        let (start, end) = (start_ms as u64, end_ms as u64);
        if start > sent_ms || end > sent_ms + BEYOND_MAX_MS {
            return None;
        }
        let from = self.stretch_of((start * SAMPLES_PER_MS).min(self.samples - 1))?;
        // The end is looked for by the last sample that is still of it.
        let last = (end * SAMPLES_PER_MS).saturating_sub(1).clamp(start * SAMPLES_PER_MS, self.samples.max(start * SAMPLES_PER_MS));
        let to = self.stretch_of(last.min(self.samples - 1))?;
        let begins = from.in_call + (start * SAMPLES_PER_MS).min(self.samples - 1) - from.sent;
        let ends = to.in_call + last.min(self.samples - 1) + 1 - to.sent;
        let (begins, ends) = (begins / SAMPLES_PER_MS, ends.div_ceil(SAMPLES_PER_MS));
        Some((begins, ends.max(begins)))
    }

    fn stretch_of(&self, sent: u64) -> Option<Stretch> {
        let after = self.stretches.partition_point(|stretch| stretch.sent <= sent);
        after.checked_sub(1).map(|index| self.stretches[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 8_000;

    #[test]
    fn a_word_after_a_pause_lies_after_the_pause() {
        let mut sent = Sent::default();
        sent.more(10 * SECOND, SECOND);
        sent.more(11 * SECOND, SECOND);
        sent.more(60 * SECOND, 2 * SECOND);
        assert_eq!(sent.stretches.len(), 2);
        assert_eq!(sent.in_call_ms(500.0, 900.0), Some((10_500, 10_900)));
        assert_eq!(sent.in_call_ms(2_000.0, 2_400.0), Some((60_000, 60_400)));
        assert_eq!(sent.in_call_ms(1_900.0, 2_100.0), Some((11_900, 60_100)), "it goes across");
        assert_eq!(sent.in_call_ms(1_500.0, 2_000.0), Some((11_500, 12_000)), "it ends where the pause begins");
    }

    #[test]
    fn what_was_never_sent_has_no_place() {
        let mut sent = Sent::default();
        assert_eq!(sent.in_call_ms(0.0, 100.0), None);
        sent.more(0, SECOND);
        for (start, end) in [(-1.0, 10.0), (5.0, 4.0), (2_000.0, 2_100.0), (900.0, 9_000.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
            assert_eq!(sent.in_call_ms(start, end), None, "{start} to {end}");
        }
        assert_eq!(sent.in_call_ms(900.0, 1_300.0), Some((900, 1_000)), "a little beyond is the end");
    }

    #[test]
    fn streams_lie_one_behind_the_other() {
        let mut origins = Origins::default();
        origins.began(StreamNo(0), 0);
        origins.reached(30 * SECOND);
        // By the wall only a second has passed, as in a replay at thirty times real time.
        origins.began(StreamNo(1), 1_000);
        origins.began(StreamNo(1), 9_000);
        assert_eq!(origins.in_call(StreamNo(1), Place(800)), Some(30 * SECOND + 800));
        assert_eq!(origins.in_stream(29 * SECOND), Some((StreamNo(0), Place(29 * SECOND))));
        assert_eq!(origins.in_stream(31 * SECOND), Some((StreamNo(1), Place(SECOND))));
        assert_eq!(origins.in_call(StreamNo(7), Place(0)), None);
    }
}
