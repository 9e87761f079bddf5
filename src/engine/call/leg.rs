//! The other party's leg of a bridged call, as a pure piece beside the call's own machine: what comes on it is placed and handed to the
//! machine, what the client says goes to it. The machine captures; here is only a mouth and an ear.

use super::outbox::Effect;
use super::timeline::{Placed, Timeline};
use super::voice::{Manner, Voice};
use crate::engine::audio::frame::{Place, StreamNo};
use crate::engine::audio::g711;
use crate::engine::time::{MediaTime, Tick};

/// It has no number among the call's streams.
const ELSEWHERE: StreamNo = StreamNo(u8::MAX);
/// Ring-back of the North American plan: two seconds of 440 and 480 Hz, four of nothing.
const RING_HZ: [f64; 2] = [440.0, 480.0];
const RING_SAMPLES: u64 = 16_000;
const RING_PERIOD: u64 = 48_000;
/// Of each of the two, well below speech.
const RING_LEVEL: f64 = 3_000.0;

/// The other party's leg.
pub struct Leg {
    timeline: Timeline,
    clock: Place,
    last_media: Tick,
    to_party: Voice,
    effects: Vec<Effect>,
}

impl Leg {
    /// One that has just begun.
    #[must_use]
    pub fn new(now: Tick) -> Self {
        Self { timeline: Timeline::default(), clock: Place(0), last_media: now, to_party: Voice::new(Manner::PERSON), effects: Vec::new() }
    }

    /// A message of the party. `false` if it was here already, or comes too late to be played.
    pub fn media(&mut self, now: Tick, chunk: u64, timestamp: MediaTime, samples: usize) -> bool {
        self.last_media = now;
        match self.timeline.place(chunk, timestamp, samples as u64) {
            Placed::Next(at) => {
                self.clock = at.plus(samples as u64);
                true
            }
            Placed::Late(_) | Placed::Repeat => false,
        }
    }

    /// The client says something.
    pub fn hear(&mut self, codes: &[u8]) {
        self.to_party.take(codes);
    }

    /// A line of ours, over what the client says.
    pub fn speak_over(&mut self, codes: &'static [u8]) {
        // Where it is heard is told of the client's leg alone.
        self.to_party.speak_over(codes, self.clock);
    }

    /// What is to be played to the party now.
    pub fn due(&mut self, now: Tick, mut play: impl FnMut(super::Speech)) {
        let clock = self.to_party.ear(self.clock, now.ms_since(self.last_media));
        while self.to_party.played(clock).is_some() {}
        self.to_party.send(ELSEWHERE, clock, &mut self.effects);
        for effect in self.effects.drain(..) {
            if let Effect::Say { said, .. } = effect {
                play(said);
            }
        }
    }

    /// Samples of the client that were thrown away.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.to_party.dropped
    }
}

/// Ring-back, from its `at`th sample on.
pub(super) fn ring(at: u64, into: &mut [u8]) {
    for (n, code) in (at..).zip(into) {
        let n = n % RING_PERIOD;
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a few thousand at most")]
        let sample = RING_HZ.iter().map(|hz| (n as f64 * hz * std::f64::consts::TAU / 8_000.0).sin() * RING_LEVEL).sum::<f64>() as i16;
        *code = if n < RING_SAMPLES { g711::encode(sample) } else { g711::SILENCE };
    }
}
