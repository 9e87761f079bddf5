//! One media socket: tungstenite on a non-blocking TCP stream, Twilio's messages in and out.
//!
//! What is no message of a media stream at all (too large, not UTF-8, not a WebSocket) closes it, with the reason in the
//! close frame.
//!
//! Bounds: a message of 64 KiB, a read buffer of 1 KiB (cleared at every read; a frame is 400 bytes, tungstenite's default 128 KiB), a
//! write buffer of 64 KiB. What comes is text; anything else is counted and let pass, as Twilio does with ours.

use std::io::{self, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::metrics::Metrics;
use super::registry::Place;
use crate::engine::audio::key::Key;
use crate::engine::time::{MediaTime, Tick};
use crate::engine::twilio::message::{self, Incoming, Start, Track};
use crate::engine::twilio::outgoing;
use crate::io::clock::Clocks;

/// No message of Twilio's comes near.
const MESSAGE_MAX: usize = 64 * 1024;
const READ_BUFFER: usize = 1024;
/// After our close frame the other side's is awaited for so long.
const CLOSE_WITHIN_MS: u64 = 2_000;
/// A socket whose `start` has not come within this is closed.
const START_WITHIN_MS: u64 = 10_000;
/// Messages of one socket, of whatever kind, before the others get their turn: ten seconds of one track.
const MESSAGES_A_TURN: u32 = 512;
/// Of a stream given up, so many reads are thrown away at a time.
const DRAIN_READS: usize = 64;

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
    /// The other side does not read.
    #[error("the other side does not read")]
    Stuck,
}

impl Gone {
    /// Whether it is we who close.
    pub(super) const fn is_ours(self) -> bool {
        matches!(self, Self::TooLarge | Self::NotText | Self::Protocol)
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
    Mark(u32),
    Clear,
    Close,
}

impl Word {
    pub(super) const fn is_close(&self) -> bool {
        matches!(self, Self::Close)
    }
}

pub(super) struct Socket {
    web: WebSocket<Tcp>,
    stream_sid: String,
    metrics: Arc<Metrics>,
    clocks: Clocks,
    /// By then it must have said `start`, or been closed.
    by: Option<Tick>,
    closing: bool,
    /// Nothing more is understood: what comes is thrown away until the other side has read why.
    given_up: bool,
    /// Messages left of its turn.
    left: u32,
    _place: Place,
}

/// A TCP stream that remembers it has been read dry, so that the last `read` of every frame, which could only say so, is
/// saved (epoll(7): with edge-triggering a short read means the same).
struct Tcp {
    stream: TcpStream,
    dry: bool,
    ends: bool,
}

impl Socket {
    /// A stream whose handshake is done; `rest` was read along with it.
    pub(super) fn new(stream: std::net::TcpStream, rest: Vec<u8>, metrics: Arc<Metrics>, clocks: Clocks, place: Place) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let tcp = Tcp { stream: TcpStream::from_std(stream), dry: false, ends: false };
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(MESSAGE_MAX)
            .max_message_size(Some(MESSAGE_MAX))
            .max_frame_size(Some(MESSAGE_MAX));
        let web = WebSocket::from_partially_read(tcp, rest, Role::Server, Some(config));
        let by = Some(clocks.tick().plus_ms(START_WITHIN_MS));
        Ok(Self { web, stream_sid: String::new(), metrics, clocks, by, closing: false, given_up: false, left: 0, _place: place })
    }

    pub(super) fn source(&mut self) -> &mut TcpStream {
        &mut self.web.get_mut().stream
    }

    /// The poller says that there may be something to read.
    pub(super) fn is_ready(&mut self, ends: bool) {
        let tcp = self.web.get_mut();
        tcp.dry = false;
        tcp.ends |= ends;
    }

    /// It is a call's stream now.
    pub(super) fn is_stream(&mut self, stream_sid: String) {
        self.stream_sid = stream_sid;
        self.by = None;
    }

    pub(super) fn is_expired(&self, now: Tick) -> bool {
        self.by.is_some_and(|by| now >= by)
    }

    /// It may be read again.
    pub(super) fn takes_its_turn(&mut self) {
        self.left = MESSAGES_A_TURN;
    }

    /// Whether its turn was over before it had said everything.
    pub(super) const fn has_more(&self) -> bool {
        self.left == 0
    }

    /// The next thing said, or `None` if there is nothing for now, or its turn is over. Audio is left in `codes`.
    pub(super) fn read(&mut self, codes: &mut Vec<u8>) -> Result<Option<Heard>, Gone> {
        if self.given_up {
            return self.drain();
        }
        while let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            let text = match self.web.read() {
                Ok(Message::Text(text)) => text,
                Ok(Message::Close(_)) => continue,
                Ok(Message::Ping(_)) => {
                    let _ = self.web.flush();
                    continue;
                }
                Ok(Message::Pong(_) | Message::Frame(_)) => continue,
                Ok(Message::Binary(_)) => {
                    self.metrics.malformed.inc();
                    continue;
                }
                Err(Error::Io(why)) if why.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Err(Gone::Closed),
                Err(Error::Io(_) | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return Err(Gone::Broken),
                Err(Error::WriteBufferFull(_)) => return Err(Gone::Stuck),
                Err(Error::Capacity(_)) => return Err(self.give_up(CloseCode::Size, Gone::TooLarge)),
                Err(Error::Utf8(_)) => return Err(self.give_up(CloseCode::Invalid, Gone::NotText)),
                Err(_) => return Err(self.give_up(CloseCode::Protocol, Gone::Protocol)),
            };
            if self.closing {
                continue;
            }
            match heard(&text, &self.stream_sid, codes) {
                Ok(Said::Heard(heard)) => return Ok(Some(heard)),
                Ok(Said::Nothing) => {}
                Ok(Said::Elsewhere) => {
                    self.metrics.malformed.inc();
                    tracing::debug!(stream.sid = %self.stream_sid, "media: message let pass: it names another stream");
                }
                Err(why) => {
                    self.metrics.malformed.inc();
                    tracing::debug!(stream.sid = %self.stream_sid, "media: message let pass: {why}");
                }
            }
        }
        Ok(None)
    }

    /// Tells the other side why, in the close frame.
    fn give_up(&mut self, code: CloseCode, why: Gone) -> Gone {
        self.metrics.malformed.inc();
        self.closing = true;
        self.given_up = true;
        self.by = Some(self.clocks.tick().plus_ms(CLOSE_WITHIN_MS));
        let _ = self.web.close(Some(CloseFrame { code, reason: why.to_string().into() }));
        let _ = self.web.flush();
        why
    }

    /// What still comes is read, or the kernel would answer it with a reset that overtakes our close frame.
    fn drain(&mut self) -> Result<Option<Heard>, Gone> {
        let mut away = [0; READ_BUFFER];
        for _ in 0..DRAIN_READS {
            match self.web.get_mut().stream.read(&mut away) {
                Ok(0) => return Err(Gone::Closed),
                Ok(_) => {}
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(Gone::Broken),
            }
        }
        Ok(None)
    }

    /// Sends; `false` if the other side has stopped reading.
    pub(super) fn say(&mut self, word: &Word) -> bool {
        let text = match word {
            Word::Play(codes) => outgoing::media(&self.stream_sid, codes),
            Word::Mark(play) => outgoing::mark(&self.stream_sid, &format!("{MARK}{play}")),
            Word::Clear => outgoing::clear(&self.stream_sid),
            Word::Close => return true,
        };
        match self.web.send(Message::text(text)) {
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => true,
            Err(Error::Io(why)) => why.kind() == io::ErrorKind::WouldBlock || self.closing,
            Err(_) => false,
        }
    }

    /// The socket takes bytes again.
    pub(super) fn flush(&mut self) {
        let _ = self.web.flush();
    }

    /// Begins to close: our frame goes out, the other side's is awaited for a bounded time.
    pub(super) fn close(&mut self) {
        if !self.closing {
            self.closing = true;
            self.by = Some(self.clocks.tick().plus_ms(CLOSE_WITHIN_MS));
            let _ = self.web.close(None);
            let _ = self.web.flush();
        }
    }
}

/// Our marks carry the number of the play they end.
const MARK: &str = "callgate-";

enum Said {
    Heard(Heard),
    /// Nothing that anybody waits for.
    Nothing,
    Elsewhere,
}

fn heard(text: &str, stream_sid: &str, codes: &mut Vec<u8>) -> Result<Said, message::Malformed> {
    let heard = match message::parse(text, stream_sid)? {
        Incoming::Media(media) => {
            message::decode_payload(&media.payload, codes)?;
            Some(Heard::Media(media.track, media.sequence, media.chunk, MediaTime(media.timestamp_ms)))
        }
        Incoming::Start(start) => Some(Heard::Start(start)),
        Incoming::Dtmf { sequence, key } => key.map(|key| Heard::Dtmf { sequence, key }),
        Incoming::Mark { name } => name.strip_prefix(MARK).and_then(|play| play.parse().ok()).map(Heard::Mark),
        Incoming::Stop => Some(Heard::Stop),
        Incoming::Elsewhere => return Ok(Said::Elsewhere),
        Incoming::Connected | Incoming::Unknown => None,
    };
    Ok(heard.map_or(Said::Nothing, Said::Heard))
}

impl Read for Tcp {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.dry {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.stream.read(into)?;
        self.dry = count < into.len() && !self.ends && count > 0;
        Ok(count)
    }
}

impl Write for Tcp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::server::registry::Registry;

    #[test]
    fn one_that_never_stops_talking_does_not_take_the_others_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut caller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (metrics, place) = (Metrics::new(), Registry::default().take_place(1).unwrap());
        let mut socket = Socket::new(listener.accept().unwrap().0, Vec::new(), Arc::clone(&metrics), Clocks::default(), place).unwrap();
        // Empty binary messages, 6 bytes each: nobody waits for one, and still each is a message.
        let count = 2_000;
        caller.write_all(&[0x82, 0x80, 1, 2, 3, 4].repeat(count)).unwrap();
        let (mut turns, mut codes) = (Vec::new(), Vec::new());
        while (metrics.malformed.get() as usize) < count {
            socket.is_ready(false);
            socket.takes_its_turn();
            let before = metrics.malformed.get();
            assert!(matches!(socket.read(&mut codes), Ok(None)));
            turns.push(metrics.malformed.get() - before);
            assert_eq!(socket.has_more(), turns.last() == Some(&u64::from(MESSAGES_A_TURN)), "{turns:?}");
        }
        assert!(turns.iter().all(|turn| *turn <= u64::from(MESSAGES_A_TURN)) && turns.contains(&u64::from(MESSAGES_A_TURN)), "{turns:?}");
    }
}
