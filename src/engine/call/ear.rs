//! What we hear on one track: its time line, its key tones and, until the decision, the machines on the line.

use super::timeline::{Placed, Timeline};
use crate::engine::audio::frame::{FRAME_SAMPLES, Place};
use crate::engine::audio::g711;
use crate::engine::audio::key::Key;
use crate::engine::audio::keytone::{Detector, Heard};
use crate::engine::audio::line::LineListener;
use crate::engine::time::{MediaTime, SAMPLES_PER_MS};

/// A hole longer than this ends a key in progress: nobody can say whether the finger stayed.
const HOLE_ENDS_KEY_MS: u64 = 100;
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

    /// Listens to a piece of at most a frame that lies at `at`, `hole` samples after the last one. What it hears is
    /// taken with [`Self::tones`].
    pub(super) fn listen(&mut self, at: Place, hole: u64, codes: &[u8]) {
        if hole > HOLE_ENDS_KEY_MS * SAMPLES_PER_MS {
            self.finish();
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
