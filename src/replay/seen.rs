//! What was seen of a call at its socket, and what was sent into it: the truth that a recording is held against.

use super::line::FRAME;
use crate::engine::twilio::message::Track;

/// A key was pressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Press {
    /// Which.
    pub key: char,
    /// Number of the first frame of its tone, or, told by event alone, of the first frame after the event.
    pub at: usize,
    /// Samples its tone lasted; 0 if there was none.
    pub tone_samples: usize,
}

/// A fixture was said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spoken {
    /// Which.
    pub fixture: String,
    /// By whom.
    pub track: Track,
    /// In these frames.
    pub from: usize,
    /// Just past the last of them.
    pub to: usize,
}

/// One call, seen from Twilio's end.
#[derive(Default)]
pub struct Seen {
    /// Twilio's id of it.
    pub call_sid: String,
    /// Of its stream.
    pub stream_sid: String,
    /// Times real time at which it was played.
    pub speed: f64,
    /// Why it did not take place.
    pub refused: Option<String>,
    /// The handshake took so long.
    pub handshake_ms: Option<f64>,
    /// From `start` to the first audio.
    pub first_audio_ms: Option<f64>,
    /// From the deciding key to the gateway's reaction, in milliseconds of the wall.
    pub decision_ms: Option<f64>,
    /// How late this end of the line was with some of its frames, in milliseconds: what is measured is no better.
    pub late_ms: Vec<f64>,
    /// Whether the gateway closed the socket.
    pub closed_by_gateway: bool,
    /// Whether this end hung up, with a `stop`.
    pub hung_up: bool,
    /// Whether this end broke the socket without a word.
    pub dropped: bool,
    /// Whether the gateway read nothing for seconds.
    pub stuck: bool,
    /// Whether the call outlived its bound.
    pub overdue: bool,
    /// Messages that Twilio would not take.
    pub faults: u64,
    /// Frames of each track in the order sent, if they were kept.
    pub frames: [Vec<[u8; FRAME]>; 2],
    /// The tick of 20 ms in which each was sent; longer than their count where a line was dead.
    pub ticks: Vec<u64>,
    /// How many of the inbound track there were, also where they were not kept.
    pub sent: u64,
    /// Frames lost on the way, by their number in `frames`.
    pub lost: Vec<usize>,
    /// Keys pressed, in order.
    pub presses: Vec<Press>,
    /// Fixtures said, in order.
    pub spoken: Vec<Spoken>,
    /// Frame at which the whole prompt had been played.
    pub prompt_heard_at: Option<usize>,
    /// Frame at which the gateway's closing line, or its close, was first seen.
    pub decided_at: Option<usize>,
    /// Whether there ever was one.
    pub reacted: bool,
    /// Timestamp of the first frame.
    pub first_timestamp_ms: u64,
}

impl Seen {
    /// A frame was sent, or lost.
    pub(super) fn note(&mut self, track: Track, tick: u64, codes: [u8; FRAME], keep: bool) {
        if keep {
            self.frames[track.index()].push(codes);
            if track == Track::Inbound {
                self.ticks.push(tick);
            }
        }
        self.sent += u64::from(track == Track::Inbound);
    }

    /// Twilio's timestamp in a tick: steps are 21, 19, 20, 20 ms.
    pub(super) fn timestamp_of_tick(&self, tick: u64) -> u64 {
        self.first_timestamp_ms + tick * 20 + u64::from(tick % 4 == 1)
    }

    /// Twilio's timestamp of a frame that was kept; of what is past the last, where it would be.
    pub(super) fn timestamp(&self, frame: usize) -> u64 {
        let tick = self.ticks.get(frame).copied().or_else(|| self.ticks.last().map(|last| last + 1)).unwrap_or(0);
        self.timestamp_of_tick(tick)
    }
}
