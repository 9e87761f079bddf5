//! A voice on its way to somebody's ear: sent on as the listener's media clock allows, and known to be heard when that clock has
//! passed it. Twilio plays at one pace whatever was queued, so what is sent too early is delay that never goes away.
//!
//! A line of ours goes the same way. A person's words go on below it unheard, at their own pace, and come to no delay; a bot waits
//! until it is over. Either way what was said is where it was, and the line is nobody's voice.

use std::collections::VecDeque;

use super::outbox::Effect;
use super::relay::Speech;
use crate::engine::audio::frame::{FRAME_SAMPLES, Place, StreamNo};
use crate::engine::audio::g711;
use crate::engine::time::SAMPLES_PER_MS;

/// It is sent in pieces of at most this length.
const PIECE_SAMPLES: usize = 800;
/// Marks that have not come back, at most.
const MARKS_MAX: usize = 1_000;
/// They are numbered from here on, the prompts' plays below.
const MARKS_FROM: u32 = 1 << 16;
/// Lines of ours that wait for each other, at most.
const LINES_MAX: usize = 4;
/// What a person said waits in reserve against jitter. A reserve that was not touched for so long is delay and nothing else, and goes;
/// sooner where it is silence.
const RESERVE_MS: u64 = 100;
const QUIET_RESERVE_MS: u64 = 60;
/// Silence is not louder than this at its peak, of 32,767.
const QUIET_PEAK: u16 = 128;
/// Nobody has said anything for so long: a line needs no voice to go on with.
const STARVED_MS: u64 = 60;

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
    /// People talk in real time: 40 ms at Twilio are all the delay that may stay, and 40 ms here all that there may be in a moment.
    pub(super) const PERSON: Self = Self { ahead: 320, waiting_max: 320, drops_oldest: true, late_ms: 0, stalled_ms: 60 };
}

/// A line of ours on its way to the same ear.
struct Over {
    codes: &'static [u8],
    /// Samples sent on.
    sent: usize,
    /// Just past the last of them, where it is played.
    end: Place,
}

impl Over {
    const fn is_sent(&self) -> bool {
        self.sent == self.codes.len()
    }
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
    /// Lines of ours.
    lines: VecDeque<Over>,
    /// Samples that have waited all the while, and since when.
    reserve: (usize, Place),
    /// Nobody says anything.
    starved: bool,
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
            lines: VecDeque::new(),
            reserve: (0, Place(0)),
            starved: true,
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

    /// Whether nothing waits to be sent on.
    pub(super) fn is_still(&self) -> bool {
        self.says_nothing() && self.lines.iter().all(Over::is_sent)
    }

    /// Whether nothing of the voice does.
    pub(super) fn says_nothing(&self) -> bool {
        self.waiting.is_empty() && self.marks.is_empty()
    }

    /// Whether a line of ours is on its way.
    pub(super) fn is_spoken_over(&self) -> bool {
        !self.lines.is_empty()
    }

    /// A line of ours, from what is sent next on. Tells where that is played; nowhere if too many wait already.
    pub(super) fn speak_over(&mut self, codes: &'static [u8], clock: Place) -> Option<Place> {
        if self.lines.len() >= LINES_MAX {
            return None;
        }
        let at = clock.max(Place(self.from.0 + self.sent.len() as u64));
        self.lines.push_back(Over { codes, sent: 0, end: at });
        Some(at)
    }

    pub(super) fn take(&mut self, codes: &[u8]) {
        self.starved = false;
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
        if !self.manner.drops_oldest && !self.send_lines(stream, clock, effects) {
            return; // the bot waits until they are over
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
            let mut piece: Vec<u8> = self.waiting.drain(..next).collect();
            self.sent.extend(&piece);
            self.passed += next as u64;
            if self.manner.drops_oldest {
                self.cover(&mut piece);
            }
            effects.push(Effect::Say { stream, said: Speech(piece) });
        }
        if self.manner.drops_oldest {
            self.go_on_alone(stream, clock, effects);
            self.shed(clock);
        }
        if self.waiting.is_empty() && self.waiting.capacity() > self.manner.ahead {
            self.waiting.shrink_to(self.manner.ahead);
        }
    }

    /// Sends on what may go of our lines, before a bot that waits for them. Tells whether all of them have gone.
    fn send_lines(&mut self, stream: StreamNo, clock: Place, effects: &mut Vec<Effect>) -> bool {
        while self.lines.pop_front_if(|line| line.is_sent() && line.end <= clock).is_some() {}
        while let Some(at) = self.lines.iter().position(|line| !line.is_sent()) {
            self.send_marks(stream, effects);
            let line = &self.lines[at];
            let next = PIECE_SAMPLES.min(line.codes.len() - line.sent);
            if next > self.manner.ahead.saturating_sub(self.unheard(clock)) {
                return false;
            }
            let said = line.codes[line.sent..line.sent + next].to_vec();
            let end = self.send_nothing(next, clock);
            let line = &mut self.lines[at];
            line.sent += next;
            line.end = end;
            effects.push(Effect::Say { stream, said: Speech(said) });
        }
        true
    }

    /// A stretch in which the voice says nothing. Tells where it ends.
    fn send_nothing(&mut self, samples: usize, clock: Place) -> Place {
        if self.sent.is_empty() && self.from.plus_ms(self.manner.late_ms) < clock {
            self.from = clock;
        }
        self.sent.extend(std::iter::repeat_n(g711::SILENCE, samples));
        Place(self.from.0 + self.sent.len() as u64)
    }

    /// Puts our lines over a piece of a person's voice, as far as they reach.
    fn cover(&mut self, piece: &mut [u8]) {
        let mut at = 0;
        while at < piece.len()
            && let Some(line) = self.lines.front_mut()
        {
            let next = (line.codes.len() - line.sent).min(piece.len() - at);
            piece[at..at + next].copy_from_slice(&line.codes[line.sent..line.sent + next]);
            line.sent += next;
            at += next;
            if line.is_sent() {
                self.lines.pop_front();
            }
        }
    }

    /// A line of ours needs no person below it: where nobody says anything, it goes on as the listener's clock does.
    fn go_on_alone(&mut self, stream: StreamNo, clock: Place, effects: &mut Vec<Effect>) {
        self.starved |= self.sent.is_empty() && self.waiting.is_empty() && self.from.plus_ms(STARVED_MS) < clock;
        if self.starved && !self.lines.is_empty() && self.waiting.is_empty() && self.unheard(clock) == 0 {
            let mut piece = vec![g711::SILENCE; FRAME_SAMPLES];
            self.send_nothing(FRAME_SAMPLES, clock);
            self.cover(&mut piece);
            effects.push(Effect::Say { stream, said: Speech(piece) });
        }
    }

    /// What a person said and could not be sent on: more than fits a moment's bound goes at once, and what of the rest nobody came to
    /// need goes as well.
    fn shed(&mut self, clock: Place) {
        self.drop_oldest(self.waiting.len().saturating_sub(self.manner.waiting_max));
        let (least, since) = &mut self.reserve;
        if self.waiting.is_empty() || *least == 0 {
            (*least, *since) = (self.waiting.len(), clock);
            return;
        }
        *least = self.waiting.len().min(*least);
        let untouched_ms = clock.0.saturating_sub(since.0) / SAMPLES_PER_MS;
        let (least, peak) = (*least, |code: &u8| g711::decode(*code).unsigned_abs());
        let is_quiet = || self.waiting.iter().take(least).map(peak).all(|peak| peak <= QUIET_PEAK);
        if untouched_ms >= RESERVE_MS || (untouched_ms >= QUIET_RESERVE_MS && is_quiet()) {
            self.drop_oldest(least);
            self.reserve = (self.waiting.len(), clock);
        }
    }

    fn drop_oldest(&mut self, samples: usize) {
        self.waiting.drain(..samples);
        self.dropped += samples as u64;
    }

    /// As at Twilio: what is buffered goes, and every mark comes back. Those not sent on yet go there first.
    pub(super) fn clear(&mut self, stream: StreamNo, clock: Place, effects: &mut Vec<Effect>) {
        self.waiting.clear();
        self.passed = self.marks.back().map_or(self.passed, |(after, _)| *after);
        self.send_marks(stream, effects);
        self.sent.clear();
        self.from = clock;
        for line in &mut self.lines {
            // Our own lines are not the bot's to take back: what of them nobody has heard is said again.
            let unheard = usize::try_from(line.end.0.saturating_sub(clock.0)).unwrap_or(usize::MAX);
            line.sent -= unheard.min(line.sent);
        }
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
