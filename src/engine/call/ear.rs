//! What we hear on one track: its time line, its key tones and, until the decision, the machines on the line.
//!
//! A tone is known by what stands together, so a track is heard in order: what follows a hole waits a little for what is missing. A frame
//! that comes later than that cannot be heard any more, and nobody could say whether a key sounds in it: it is no part of the call.

use super::timeline::{Placed, Timeline};
use crate::engine::audio::frame::{FRAME_SAMPLES, Frame, Place};
use crate::engine::audio::g711;
use crate::engine::audio::key::Key;
use crate::engine::audio::keytone::{Detector, Heard};
use crate::engine::audio::line::LineListener;
use crate::engine::time::{MediaTime, SAMPLES_PER_MS};

/// A hole longer than this ends a key in progress: nobody can say whether the finger stayed.
const HOLE_ENDS_KEY_MS: u64 = 100;
/// What follows a hole waits so long for what is missing. A key is known 55 ms after its onset at p95: with this, too, well before its
/// beginning has left the gate's delay line.
pub(super) const WAITS_MS: u64 = 60;
/// Frames that wait at most, however short.
const WAITING_MAX: usize = 3;
/// Holes between which the detector's count and the stream's places are kept apart.
const SPLICES_MAX: usize = 4;

/// A key tone on a track, in the stream's own places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tone {
    /// Known to sound; it began at the place told.
    Began(Key, Place),
    /// Over.
    Ended(Place),
}

/// One track's ears.
pub(super) struct Ear {
    timeline: Timeline,
    detector: Detector,
    line: Option<Box<LineListener>>,
    /// Where the detector's sample count and the stream's places were last told to differ: (count, place).
    splices: [(u64, Place); SPLICES_MAX],
    tones: [Option<Tone>; 4],
    /// How far the track was heard, in order.
    heard_to: Option<Place>,
    /// What came before something that is missing, in order: the first so many.
    waiting: [Option<Frame>; WAITING_MAX],
}

impl Ear {
    /// `listens_for_machines`: only the client's track, and only until the decision.
    pub(super) fn new(listens_for_machines: bool) -> Self {
        Self {
            timeline: Timeline::default(),
            detector: Detector::new(),
            line: listens_for_machines.then(|| Box::new(LineListener::new())),
            splices: [(0, Place(0)); SPLICES_MAX],
            tones: [None; 4],
            heard_to: None,
            waiting: [const { None }; WAITING_MAX],
        }
    }

    pub(super) fn place(&mut self, chunk: u64, timestamp: MediaTime, samples: u64) -> Placed {
        self.timeline.place(chunk, timestamp, samples)
    }

    /// How far the track has come.
    pub(super) fn reached(&self) -> Option<Place> {
        self.timeline.reached()
    }

    /// The machines on the line, while anybody asks.
    pub(super) fn line(&mut self) -> Option<&mut LineListener> {
        self.line.as_deref_mut()
    }

    /// Nobody will ask about machines any more.
    pub(super) fn stop_listening_for_machines(&mut self) {
        self.line = None;
    }

    /// Hears a frame of the track in its order, now or once what is missing before it has come, or is waited for no more. `false` if the
    /// track was heard further than that already. What it hears is taken with [`Self::take_tone`].
    pub(super) fn hear(&mut self, frame: &Frame) -> bool {
        let next = *self.heard_to.get_or_insert(frame.at);
        if frame.at < next {
            return false;
        }
        if frame.at > next {
            let is_full = self.waiting[WAITING_MAX - 1].is_some();
            if is_full && self.waiting[0].as_ref().is_some_and(|first| first.at < frame.at) {
                self.hear_first();
            }
            if self.waits_before(frame) {
                return true;
            }
        }
        self.hear_now(frame);
        self.hear_on();
        true
    }

    /// The stream has come to `now`: what has waited long enough is heard.
    pub(super) fn passed(&mut self, now: Place) {
        while self.waiting[0].as_ref().is_some_and(|first| now >= first.at.plus_ms(WAITS_MS)) {
            self.hear_first();
        }
    }

    /// Nothing more is waited for.
    pub(super) fn hear_out(&mut self) {
        while self.waiting[0].is_some() {
            self.hear_first();
        }
    }

    /// Puts a frame among those that wait; not if it follows what was heard, or would be the first of them without room.
    fn waits_before(&mut self, frame: &Frame) -> bool {
        let at = self.waiting.iter().position(|waiting| waiting.as_ref().is_none_or(|waiting| waiting.at > frame.at));
        match at.filter(|_| self.heard_to != Some(frame.at) && self.waiting[WAITING_MAX - 1].is_none()) {
            Some(at) => {
                self.waiting[at..].rotate_right(1);
                self.waiting[at] = Some(frame.clone());
                true
            }
            None => false,
        }
    }

    /// The first one that waits, with the hole before it, and what follows on it.
    fn hear_first(&mut self) {
        if let Some(first) = self.waiting[0].take() {
            self.waiting.rotate_left(1);
            self.hear_now(&first);
            self.hear_on();
        }
    }

    /// Whatever waits and follows on what was heard.
    fn hear_on(&mut self) {
        while let Some(first) = self.waiting[0].take_if(|first| self.heard_to.is_some_and(|to| first.at <= to)) {
            self.waiting.rotate_left(1);
            self.hear_now(&first);
        }
    }

    fn hear_now(&mut self, frame: &Frame) {
        let hole = self.heard_to.map_or(0, |to| frame.at.0.saturating_sub(to.0));
        self.heard_to = Some(frame.end());
        self.listen(frame.at, hole, frame.codes());
    }

    /// Listens to a piece of at most a frame that lies at `at`, `hole` samples after the last one. What it hears is
    /// taken with [`Self::take_tone`].
    pub(super) fn listen(&mut self, at: Place, hole: u64, codes: &[u8]) {
        if hole > HOLE_ENDS_KEY_MS * SAMPLES_PER_MS {
            self.end_key();
        }
        let count = self.detector.position();
        if self.place_of(count) != at {
            self.splices.rotate_right(1);
            self.splices[0] = (count, at);
        }
        let mut samples = [0i16; FRAME_SAMPLES];
        for (sample, code) in samples.iter_mut().zip(codes) {
            *sample = g711::decode(*code);
        }
        let samples = &samples[..codes.len()];
        let (splices, tones) = (self.splices, &mut self.tones);
        self.detector.feed(samples, |heard| remember(tones, tone(&splices, heard)));
        if let Some(line) = &mut self.line {
            line.feed(samples);
        }
    }

    /// The stream, or a long enough part of it, is over: a key in progress ends.
    pub(super) fn finish(&mut self) {
        self.hear_out();
        self.end_key();
    }

    fn end_key(&mut self) {
        let (splices, tones) = (self.splices, &mut self.tones);
        self.detector.finish(|heard| remember(tones, tone(&splices, heard)));
    }

    /// The next tone heard and not yet taken.
    pub(super) fn take_tone(&mut self) -> Option<Tone> {
        let first = self.tones[0].take();
        if first.is_some() {
            self.tones.rotate_left(1);
        }
        first
    }

    /// The onset of a key tone that is sounding right now.
    pub(super) fn sounding(&self) -> Option<Place> {
        self.detector.active().map(|(_, onset)| self.place_of(onset))
    }

    fn place_of(&self, count: u64) -> Place {
        place_of(&self.splices, count)
    }
}

fn place_of(splices: &[(u64, Place); SPLICES_MAX], count: u64) -> Place {
    let (from, place) = splices.iter().find(|(from, _)| *from <= count).copied().unwrap_or(splices[SPLICES_MAX - 1]);
    Place((place.0 + count).saturating_sub(from))
}

fn tone(splices: &[(u64, Place); SPLICES_MAX], heard: Heard) -> Tone {
    match heard {
        Heard::Began { key, onset } => Tone::Began(key, place_of(splices, onset)),
        Heard::Ended { end, .. } => Tone::Ended(place_of(splices, end)),
    }
}

/// A frame of 20 ms can hold the end of one tone and the beginning of the next, hardly more.
fn remember(tones: &mut [Option<Tone>; 4], tone: Tone) {
    if let Some(free) = tones.iter_mut().find(|slot| slot.is_none()) {
        *free = Some(tone);
    }
}
