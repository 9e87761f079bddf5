//! A prompt on its way into the call, paced by the media clock.
//!
//! The first second leaves at once; then each arriving frame releases as much as keeps one second ahead. So a
//! `clear` takes back a second at most, a thousand calls that start together do not fill a thousand socket
//! buffers, and a replay at twenty times real time just works. A prompt counts as heard only by the mark of its
//! last chunk, and not before its own length has passed (field notes, trap 2).

use super::outbox::Effect;
use crate::engine::audio::frame::{Place, StreamNo};
use crate::engine::audio::prompts::Prompt;
use crate::engine::time::{SAMPLES_PER_MS, Tick};

/// How far ahead of the media clock audio is sent.
const AHEAD_MS: u64 = 1_000;
/// Audio is sent in pieces of this length.
const PIECE_SAMPLES: usize = 800;
/// A mark that comes back this much before the prompt can have been played was never played.
const MARK_SLACK_MS: u64 = 500;

/// One play of one prompt.
pub(super) struct Playback {
    pub(super) prompt: &'static Prompt,
    pub(super) play: u32,
    stream: StreamNo,
    sent: usize,
    /// Where the media clock stood when the play began; the first frame after `start` tells.
    base: Option<Place>,
    began: Tick,
    heard: Heard,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    NotYet,
    /// The mark came back, in time.
    Marked,
    /// It came back too early: muted, flushed, or never buffered.
    Unbelievable,
}

/// A short line, all of it at once: nobody waits for its end, and nothing comes after it.
pub(super) fn play_at_once(prompt: &'static Prompt, stream: StreamNo, effects: &mut Vec<Effect>) {
    for from in (0..prompt.codes.len()).step_by(PIECE_SAMPLES) {
        effects.push(Effect::Play { stream, prompt, from, to: (from + PIECE_SAMPLES).min(prompt.codes.len()) });
    }
}

impl Playback {
    /// Begins, and sends what may go at once.
    pub(super) fn begin(
        prompt: &'static Prompt,
        play: u32,
        stream: StreamNo,
        clock: Option<Place>,
        now: Tick,
        effects: &mut Vec<Effect>,
    ) -> Self {
        let mut playback = Self { prompt, play, stream, sent: 0, base: clock, began: now, heard: Heard::NotYet };
        playback.send_up_to(AHEAD_MS, effects);
        playback
    }

    /// The media clock has come to `clock`: sends what has become due.
    pub(super) fn advance(&mut self, clock: Place, effects: &mut Vec<Effect>) {
        if self.sent == self.prompt.codes.len() {
            return;
        }
        let ahead_ms = self.played(clock) / SAMPLES_PER_MS + AHEAD_MS;
        self.send_up_to(ahead_ms, effects);
    }

    /// The mark of play `play` came back.
    pub(super) fn marked(&mut self, play: u32, clock: Place) {
        if play != self.play || self.heard != Heard::NotYet {
            return;
        }
        let whole = self.prompt.codes.len() as u64;
        let believable = self.sent == self.prompt.codes.len() && self.played(clock) + MARK_SLACK_MS * SAMPLES_PER_MS >= whole;
        self.heard = if believable { Heard::Marked } else { Heard::Unbelievable };
    }

    /// Whether the whole prompt was heard: marked, and its own length has passed.
    pub(super) fn is_heard(&mut self, clock: Place) -> bool {
        self.heard == Heard::Marked && self.played(clock) >= self.prompt.codes.len() as u64
    }

    /// Whether its mark came back before it can have been played.
    pub(super) fn is_unbelievable(&self) -> bool {
        self.heard == Heard::Unbelievable
    }

    /// Samples that can have been played by the media clock.
    pub(super) fn played(&mut self, clock: Place) -> u64 {
        // A prompt is asked for before the first frame tells the clock's start.
        let base = *self.base.get_or_insert(clock);
        clock.0.saturating_sub(base.0)
    }

    /// What of it was played in the last `samples` before `clock`.
    pub(super) fn played_in(&mut self, clock: Place, samples: usize) -> &'static [u8] {
        let to = usize::try_from(self.played(clock)).unwrap_or(usize::MAX).min(self.sent);
        &self.prompt.codes[to.saturating_sub(samples)..to]
    }

    /// Whether its length and `slack_ms` have passed, mark or no mark.
    pub(super) fn is_overdue(&mut self, clock: Place, slack_ms: u64) -> bool {
        self.played(clock) > self.prompt.codes.len() as u64 + slack_ms * SAMPLES_PER_MS
    }

    /// Milliseconds since it began, by the wall.
    pub(super) fn age_ms(&self, now: Tick) -> u64 {
        now.ms_since(self.began)
    }

    /// Samples of it that were played at most when it was cleared, or all.
    pub(super) fn played_at_most(&self, clock: Place) -> usize {
        let played = self.base.map_or(0, |base| clock.0.saturating_sub(base.0));
        usize::try_from(played).unwrap_or(usize::MAX).min(self.sent)
    }

    fn send_up_to(&mut self, ahead_ms: u64, effects: &mut Vec<Effect>) {
        let whole = self.prompt.codes.len();
        let due = usize::try_from(ahead_ms * SAMPLES_PER_MS).unwrap_or(usize::MAX).min(whole);
        while self.sent + PIECE_SAMPLES <= due || (due == whole && self.sent < whole) {
            let to = (self.sent + PIECE_SAMPLES).min(whole);
            effects.push(Effect::Play { stream: self.stream, prompt: self.prompt, from: self.sent, to });
            self.sent = to;
        }
        if self.sent == whole {
            effects.push(Effect::Mark { stream: self.stream, play: self.play });
        }
    }
}
