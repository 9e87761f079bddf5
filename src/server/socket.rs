//! One media socket: Twilio's messages in and out, on WebSocket [`frames`].
//!
//! What is no message of a media stream at all (too large, not UTF-8, not a WebSocket) closes it, with the reason in the
//! close frame. Bounds: a message of 64 KiB in, 64 KiB out that the other side has not taken. What comes is text; anything else is
//! counted and let pass, as Twilio does with ours.

mod frames;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use mio::net::TcpStream;
use tungstenite::protocol::frame::coding::CloseCode;

pub(super) use frames::Desk;
use frames::{Frames, Said};

use super::metrics::Metrics;
use super::registry::Place;
use crate::engine::audio::key::Key;
use crate::engine::call::Speech;
use crate::engine::time::{MediaTime, Tick};
use crate::engine::twilio::message::{self, Incoming, Start, Track};
use crate::engine::twilio::outgoing;
use crate::io::clock::Clocks;

/// After our close frame the other side's is awaited for so long.
const CLOSE_WITHIN_MS: u64 = 2_000;
/// A socket whose `start` has not come within this is closed.
const START_WITHIN_MS: u64 = 10_000;
/// Messages of one socket, of whatever kind, before the others get their turn: ten seconds of one track.
const MESSAGES_A_TURN: u32 = 512;

/// Why a socket is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Gone {
    /// A close frame, or the end of the connection.
    #[error("it was closed")]
    Closed,
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
    /// A message larger than any of Twilio's.
    #[error("a message is larger than 64 KiB")]
    TooLarge,
    /// A text message that is none.
    #[error("a text message is not UTF-8")]
    NotText,
    /// What came was no WebSocket.
    #[error("what came was no WebSocket frame")]
    Protocol,
    /// More keys or marks than any call has.
    #[error("there are more keys and marks than a call has")]
    Flooded,
    /// The other side does not read.
    #[error("the other side does not read")]
    Stuck,
}

impl Gone {
    /// Whether it is we who close.
    pub(super) const fn is_ours(self) -> bool {
        matches!(self, Self::TooLarge | Self::NotText | Self::Protocol | Self::Flooded)
    }
}

/// What a media stream said. Audio lies in the buffer given to `read`.
#[derive(Debug)]
pub(super) enum Heard {
    Start(Box<Start>),
    Media(Track, u64, u64, MediaTime),
    Dtmf { sequence: u64, key: Key },
    Mark(u32),
    Stop,
}

/// What we say to one.
#[derive(Debug)]
pub(super) enum Word {
    Play(&'static [u8]),
    /// Of a voice bot.
    Say(Speech),
    Mark(u32),
    Clear,
    Close,
}

pub(super) struct Socket {
    frames: Frames,
    stream_sid: String,
    metrics: Arc<Metrics>,
    clocks: Clocks,
    /// By then it must have said `start`, or been closed.
    by: Option<Tick>,
    /// Nothing more is understood: what comes is thrown away until the other side has read why.
    given_up: bool,
    /// Messages left of its turn.
    left: u32,
    _place: Place,
}

impl Socket {
    /// A stream whose handshake is done; `rest` was read along with it.
    pub(super) fn new(stream: std::net::TcpStream, rest: Vec<u8>, metrics: Arc<Metrics>, clocks: Clocks, place: Place) -> io::Result<Self> {
        let frames = Frames::new(stream, rest)?;
        let by = Some(clocks.tick().plus_ms(START_WITHIN_MS));
        Ok(Self { frames, stream_sid: String::new(), metrics, clocks, by, given_up: false, left: 0, _place: place })
    }

    pub(super) const fn source(&mut self) -> &mut TcpStream {
        self.frames.tcp()
    }

    /// The poller says that there may be something to read.
    pub(super) const fn is_ready(&mut self, ends: bool) {
        self.frames.is_ready(ends);
    }

    /// It is a call's stream now.
    pub(super) fn is_stream(&mut self, stream_sid: String) {
        self.stream_sid = stream_sid;
        self.by = None;
    }

    /// The other side is gone, and what it said is still to be heard: what is said into it meanwhile is said to nobody.
    pub(super) const fn is_gone(&mut self) {
        self.frames.is_gone();
    }

    pub(super) fn is_expired(&self, now: Tick) -> bool {
        self.by.is_some_and(|by| now >= by)
    }

    /// It may be read again, at this desk.
    pub(super) fn takes_its_turn(&mut self, desk: &mut Desk) {
        self.left = MESSAGES_A_TURN;
        Frames::sit_down(desk);
    }

    /// It goes to another thread in the middle of its turn, with what it has said.
    pub(super) fn moves(&mut self, desk: &mut Desk) {
        self.frames.stand_up(desk);
    }

    /// Whether its turn was over before it had said everything.
    pub(super) const fn has_more(&self) -> bool {
        self.left == 0
    }

    /// The next thing said, or `None` if there is nothing for now, or its turn is over. Audio is left in `codes`.
    pub(super) fn read(&mut self, desk: &mut Desk, codes: &mut Vec<u8>) -> Result<Option<Heard>, Gone> {
        if self.given_up {
            return self.frames.drain(desk).map(|()| None);
        }
        while let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            let text = match self.frames.next(desk) {
                Ok(Some(Said::Text(text))) => text,
                Ok(Some(Said::Nothing)) => continue,
                Ok(Some(Said::Binary)) => {
                    self.metrics.malformed.inc();
                    continue;
                }
                Ok(None) => {
                    // Nothing more for now, however many messages its turn had left.
                    self.left = self.left.max(1);
                    break;
                }
                Err(why) => return Err(self.give_up(why, desk)),
            };
            // Also after our close frame: what the client pressed before the other side has read it is a key like any other.
            match heard(text, &self.stream_sid, codes) {
                Ok(Meant::Heard(heard)) => return Ok(Some(heard)),
                Ok(Meant::Nothing) => {}
                Ok(Meant::Elsewhere) => {
                    self.metrics.malformed.inc();
                    tracing::debug!(stream.sid = %self.stream_sid, "media: message let pass: it names another stream");
                }
                Err(why) => {
                    self.metrics.malformed.inc();
                    tracing::debug!(stream.sid = %self.stream_sid, "media: message let pass: {why}");
                }
            }
        }
        self.frames.stand_up(desk);
        Ok(None)
    }

    /// If it is we who close, the other side is told why, in the close frame.
    pub(super) fn give_up(&mut self, why: Gone, desk: &mut Desk) -> Gone {
        let code = match why {
            Gone::Closed | Gone::Broken | Gone::Stuck => return why,
            Gone::TooLarge => CloseCode::Size,
            Gone::NotText => CloseCode::Invalid,
            Gone::Protocol => CloseCode::Protocol,
            Gone::Flooded => CloseCode::Policy,
        };
        self.metrics.malformed.inc();
        self.given_up = true;
        self.by = Some(self.clocks.tick().plus_ms(CLOSE_WITHIN_MS));
        self.frames.close(Some(code), &why.to_string(), desk);
        why
    }

    /// Sends, all of it in one write; `false` if the other side has stopped reading.
    pub(super) fn say<'a>(&mut self, words: impl Iterator<Item = &'a Word>, desk: &mut Desk) -> bool {
        let mut closes = false;
        let (stream_sid, frames) = (&self.stream_sid, &mut self.frames);
        let texts = words.filter_map(|word| match word {
            Word::Play(codes) => Some(outgoing::media(stream_sid, codes)),
            Word::Say(said) => Some(outgoing::media(stream_sid, &said.0)),
            Word::Mark(play) => Some(outgoing::mark(stream_sid, &format!("{MARK}{play}"))),
            Word::Clear => Some(outgoing::clear(stream_sid)),
            Word::Close => {
                closes = true;
                None
            }
        });
        let is_read = frames.texts(texts, desk);
        if closes {
            self.close(desk);
        }
        is_read || closes
    }

    /// The socket takes bytes again.
    pub(super) fn flush(&mut self) {
        self.frames.flush();
    }

    /// Begins to close: our frame goes out, the other side's is awaited for a bounded time.
    pub(super) fn close(&mut self, desk: &mut Desk) {
        if !self.frames.is_closing() {
            self.by = Some(self.clocks.tick().plus_ms(CLOSE_WITHIN_MS));
            self.frames.close(None, "", desk);
        }
    }
}

/// Our marks carry the number of the play they end.
const MARK: &str = "callgate-";

enum Meant {
    Heard(Heard),
    /// Nothing that anybody waits for.
    Nothing,
    Elsewhere,
}

fn heard(text: &str, stream_sid: &str, codes: &mut Vec<u8>) -> Result<Meant, message::Malformed> {
    let heard = match message::parse(text, stream_sid)? {
        Incoming::Media(media) => {
            message::decode_payload(&media.payload, codes)?;
            Some(Heard::Media(media.track, media.sequence, media.chunk, MediaTime(media.timestamp_ms)))
        }
        Incoming::Start(start) => Some(Heard::Start(start)),
        Incoming::Dtmf { sequence, key } => key.map(|key| Heard::Dtmf { sequence, key }),
        Incoming::Mark { name } => name.strip_prefix(MARK).and_then(|play| play.parse().ok()).map(Heard::Mark),
        Incoming::Stop => Some(Heard::Stop),
        Incoming::Elsewhere => return Ok(Meant::Elsewhere),
        Incoming::Connected | Incoming::Unknown => None,
    };
    Ok(heard.map_or(Meant::Nothing, Meant::Heard))
}
