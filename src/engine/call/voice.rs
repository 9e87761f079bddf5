//! A voice on its way to somebody's ear: sent on as the listener's media clock allows, and known to be heard when that clock has
//! passed it. Twilio plays at one pace whatever was queued, so what is sent too early is delay that never goes away.

use std::collections::VecDeque;

use super::outbox::Effect;
use super::relay::Speech;
use crate::engine::audio::frame::{FRAME_SAMPLES, Place, StreamNo};
use crate::engine::audio::g711;

/// It is sent in pieces of at most this length.
const PIECE_SAMPLES: usize = 800;
/// Marks that have not come back, at most.
const MARKS_MAX: usize = 1_000;
/// They are numbered from here on, the prompts' plays below.
const MARKS_FROM: u32 = 1 << 16;

/// How a voice is passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Manner {
    /// How far ahead of the listener's clock it is sent.
    ahead: usize,
    /// What waits beyond that, at most.
    waiting_max: usize,
    /// Whether the oldest makes room, or the newest finds none.
    drops_oldest: bool,
    /// So late a piece still follows on the one before.
    late_ms: u64,
    /// The listener's line carries nothing for so long: the wall's clock is taken.
    stalled_ms: u64,
}

impl Manner {
    /// A bot may say ten minutes at once, Twilio's own bound, and take it back.
    pub(super) const BOT: Self = Self { ahead: 8_000, waiting_max: 10 * 60 * 8_000, drops_oldest: false, late_ms: 60, stalled_ms: 200 };
    /// People talk in real time: 40 ms at Twilio and 20 ms here are all the delay there may be.
    pub(super) const PERSON: Self = Self { ahead: 320, waiting_max: 160, drops_oldest: true, late_ms: 0, stalled_ms: 60 };
}

/// A voice.
pub(super) struct Voice {
    manner: Manner,
    /// Said, and not sent on.
    waiting: VecDeque<u8>,
    /// Sent on, and not played.
    sent: VecDeque<u8>,
    /// Where the first sample of `sent` is played; without one, where the last was.
    pub(super) from: Place,
    /// Samples sent on in all.
    passed: u64,
    /// Marks, and after how many samples they come.
    marks: VecDeque<(u64, String)>,
    /// Marks that have been sent on, by their numbers.
    pending: VecDeque<(u32, String)>,
    numbered: u32,
    /// Samples that were thrown away.
    pub(super) dropped: u64,
}

impl Voice {
    pub(super) fn new(manner: Manner) -> Self {
        Self {
            manner,
            waiting: VecDeque::new(),
            sent: VecDeque::new(),
            from: Place(0),
            passed: 0,
            marks: VecDeque::new(),
            pending: VecDeque::new(),
            numbered: 0,
            dropped: 0,
        }
    }

    /// Where the listener's ear is when its last media, up to `clock`, is `age_ms` old.
    pub(super) const fn ear(&self, clock: Place, age_ms: u64) -> Place {
        if age_ms >= self.manner.stalled_ms { clock.plus_ms(age_ms) } else { clock }
    }

    /// From when on, after the listener's last media, the wall's clock is taken.
    pub(super) const fn stalled_ms(&self) -> u64 {
        self.manner.stalled_ms
    }

    pub(super) fn is_still(&self) -> bool {
        self.waiting.is_empty() && self.marks.is_empty()
    }

    pub(super) fn take(&mut self, codes: &[u8]) {
        if self.manner.drops_oldest {
            self.waiting.extend(codes);
            return; // what is too much shows when it is sent
        }
        let room = self.manner.waiting_max.saturating_sub(self.waiting.len()).min(codes.len());
        self.waiting.extend(&codes[..room]);
        self.dropped += (codes.len() - room) as u64;
    }

    pub(super) fn mark(&mut self, name: String) {
        if self.marks.len() + self.pending.len() < MARKS_MAX {
            self.marks.push_back((self.passed + self.waiting.len() as u64, name));
        }
    }

    /// The name of the mark with this number.
    pub(super) fn marked(&mut self, number: u32) -> Option<String> {
        let at = self.pending.iter().position(|(mark, _)| *mark == number)?;
        self.pending.remove(at).map(|(_, name)| name)
    }

    /// Sends on what may go, the listener's ear being at `clock`.
    pub(super) fn send(&mut self, stream: StreamNo, clock: Place, effects: &mut Vec<Effect>) {
        // Played while the line carried nothing: it has no place in the call's time, and is not captured.
        if let Some(unplaced) = self.unheard(clock).checked_sub(self.manner.ahead + PIECE_SAMPLES) {
            self.sent.drain(..unplaced.min(self.sent.len()));
            self.from = clock;
        }
        // The line had carried nothing, and goes on where it was: what was sent meanwhile is played from there.
        if self.manner.drops_oldest && self.from > clock {
            self.from = clock;
        }
        loop {
            self.send_marks(stream, effects);
            let to_mark = self.marks.front().map_or(usize::MAX, |(after, _)| usize::try_from(after - self.passed).unwrap_or(usize::MAX));
            let room = self.manner.ahead.saturating_sub(self.unheard(clock));
            let mut next = self.waiting.len().min(PIECE_SAMPLES).min(to_mark);
            if self.manner.drops_oldest {
                next = next.min(room); // whatever fits: what waits may be thrown away
            }
            if next == 0 || next > room {
                break;
            }
            if self.sent.is_empty() && self.from.plus_ms(self.manner.late_ms) < clock {
                self.from = clock;
            }
            let piece: Vec<u8> = self.waiting.drain(..next).collect();
            self.sent.extend(&piece);
            self.passed += next as u64;
            effects.push(Effect::Say { stream, said: Speech(piece) });
        }
        let too_much = self.waiting.len().saturating_sub(self.manner.waiting_max);
        self.waiting.drain(..too_much);
        self.dropped += too_much as u64;
        if self.waiting.is_empty() && self.waiting.capacity() > self.manner.ahead {
            self.waiting.shrink_to(self.manner.ahead);
        }
    }

    /// As at Twilio: what is buffered goes, and every mark comes back. Those not sent on yet go there first.
    pub(super) fn clear(&mut self, stream: StreamNo, clock: Place, effects: &mut Vec<Effect>) {
        self.waiting.clear();
        self.passed = self.marks.back().map_or(self.passed, |(after, _)| *after);
        self.send_marks(stream, effects);
        self.sent.clear();
        self.from = clock;
        effects.push(Effect::Clear { stream });
    }

    /// The next frame of what has been played by `clock`.
    pub(super) fn played(&mut self, clock: Place) -> Option<(Place, usize, [u8; FRAME_SAMPLES])> {
        let heard = usize::try_from(clock.0.saturating_sub(self.from.0)).unwrap_or(usize::MAX).min(self.sent.len());
        let len = if heard >= FRAME_SAMPLES {
            FRAME_SAMPLES
        } else if heard > 0 && heard == self.sent.len() && self.waiting.is_empty() {
            heard
        } else {
            return None;
        };
        let mut codes = [g711::SILENCE; FRAME_SAMPLES];
        for (code, said) in codes.iter_mut().zip(self.sent.drain(..len)) {
            *code = said;
        }
        let at = self.from;
        self.from = at.plus(len as u64);
        Some((at, len, codes))
    }

    /// Samples sent on that are not played when the listener's ear is at `clock`.
    pub(super) fn unheard(&self, clock: Place) -> usize {
        usize::try_from((self.from.0 + self.sent.len() as u64).saturating_sub(clock.0)).unwrap_or(usize::MAX).min(self.sent.len())
    }

    fn send_marks(&mut self, stream: StreamNo, effects: &mut Vec<Effect>) {
        while let Some((_, name)) = self.marks.pop_front_if(|(after, _)| *after <= self.passed) {
            let number = MARKS_FROM.wrapping_add(self.numbered % MARKS_FROM);
            self.numbered = self.numbered.wrapping_add(1);
            self.pending.push_back((number, name));
            effects.push(Effect::Mark { stream, play: number });
        }
    }
}
