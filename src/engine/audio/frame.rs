//! A frame: up to 20 ms of one channel of one stream, whose samples only the engine may read.
//!
//! Twilio does not promise a frame size. A longer message is cut into frames of [`FRAME_SAMPLES`], a shorter one
//! stays as it is, so that everything behind this door has one bounded size and no heap.

use std::fmt;

use super::g711;
use crate::engine::time::{MediaTime, SAMPLES_PER_MS};

/// Samples, and bytes of mu-law, in a full frame: 20 ms.
pub const FRAME_SAMPLES: usize = 160;

/// Whose voice it is. Fixed when the stream's TwiML is minted, never guessed from the direction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Channel {
    /// The client of the organisation: the left channel, and the one whose keys count.
    Client,
    /// The other party, or what we play: the right channel.
    Other,
}

impl Channel {
    /// Both, left first.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Other];

    /// 0 for left, 1 for right.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Other => 1,
        }
    }
}

/// Where on a stream's own time line: samples since that stream began, by the media's clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Place(pub u64);

impl Place {
    /// Where the media clock showed `at`.
    #[must_use]
    pub const fn of(at: MediaTime) -> Self {
        Self(at.0 * SAMPLES_PER_MS)
    }

    /// The millisecond of the media clock this place falls in.
    #[must_use]
    pub const fn media_time(self) -> MediaTime {
        MediaTime(self.0 / SAMPLES_PER_MS)
    }

    /// The place `samples` later.
    #[must_use]
    pub const fn plus(self, samples: u64) -> Self {
        Self(self.0 + samples)
    }

    /// The place `samples` earlier, not before the stream's start.
    #[must_use]
    pub const fn minus(self, samples: u64) -> Self {
        Self(self.0.saturating_sub(samples))
    }

    /// The place `ms` earlier, not before the stream's start.
    #[must_use]
    pub const fn minus_ms(self, ms: u64) -> Self {
        self.minus(ms * SAMPLES_PER_MS)
    }

    /// The place `ms` later.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        self.plus(ms * SAMPLES_PER_MS)
    }
}

/// Which of a call's streams, in the order in which they began.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Default)]
pub struct StreamNo(pub u8);

/// Up to 20 ms of one channel. Opaque outside the engine: no accessor shows its samples.
#[derive(Clone)]
pub struct Frame {
    /// Whose voice.
    pub channel: Channel,
    /// The stream it came on.
    pub stream: StreamNo,
    /// Place of its first sample on the stream's time line, holes counted.
    pub at: Place,
    /// Twilio's own timestamp of the message it came in, plus its offset within that message.
    pub timestamp: MediaTime,
    len: u8,
    samples: [u8; FRAME_SAMPLES],
}

impl Frame {
    /// A frame of at most [`FRAME_SAMPLES`] mu-law codes; what is longer is the caller's bug.
    #[must_use]
    pub(in crate::engine) fn new(channel: Channel, stream: StreamNo, at: Place, timestamp: MediaTime, codes: &[u8]) -> Self {
        assert!(codes.len() <= FRAME_SAMPLES, "a frame is cut before it is made");
        let mut samples = [g711::SILENCE; FRAME_SAMPLES];
        samples[..codes.len()].copy_from_slice(codes);
        #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
        let len = codes.len() as u8;
        Self { channel, stream, at, timestamp, len, samples }
    }

    /// How many samples it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it holds nothing at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The place just past its last sample.
    #[must_use]
    pub const fn end(&self) -> Place {
        self.at.plus(self.len as u64)
    }

    pub(in crate::engine) fn codes(&self) -> &[u8] {
        &self.samples[..self.len()]
    }

    pub(in crate::engine) fn codes_mut(&mut self) -> &mut [u8] {
        &mut self.samples[..self.len as usize]
    }
}

impl fmt::Debug for Frame {
    /// Says where it is, never what is in it (P11).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:?} {:?} at {} len {})", self.channel, self.stream, self.at.0, self.len)
    }
}
