//! One media socket: tungstenite on a non-blocking TCP stream, Twilio's messages in and out.
//!
//! Bounds: a message of 64 KiB, a read buffer of 1 KiB (cleared at every read; a frame is 400 bytes, tungstenite's default 128 KiB), a
//! write buffer of 64 KiB. What comes is text; anything else is counted and let pass, as Twilio does with ours.

use std::io::{self, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::media::Gone;
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
        Ok(Self { web, stream_sid: String::new(), metrics, clocks, by, closing: false, _place: place })
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

    /// The next thing said, or `None` if there is nothing for now. Audio is left in `codes`.
    pub(super) fn read(&mut self, codes: &mut Vec<u8>) -> Result<Option<Heard>, Gone> {
        loop {
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
                Err(Error::Io(_)) => return Err(Gone::Broken),
                Err(_) => {
                    self.metrics.malformed.inc();
                    return Err(Gone::Protocol);
                }
            };
            if self.closing {
                continue;
            }
            match heard(&text, codes) {
                Ok(Some(heard)) => return Ok(Some(heard)),
                Ok(None) => {}
                Err(why) => {
                    self.metrics.malformed.inc();
                    tracing::debug!(stream.sid = %self.stream_sid, "media: message let pass: {why}");
                }
            }
        }
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

fn heard(text: &str, codes: &mut Vec<u8>) -> Result<Option<Heard>, message::Malformed> {
    Ok(match message::parse(text)? {
        Incoming::Media(media) => {
            message::decode_payload(&media.payload, codes)?;
            Some(Heard::Media(media.track, media.sequence, media.chunk, MediaTime(media.timestamp_ms)))
        }
        Incoming::Start(start) => Some(Heard::Start(start)),
        Incoming::Dtmf { sequence, key } => key.map(|key| Heard::Dtmf { sequence, key }),
        Incoming::Mark { name } => name.strip_prefix(MARK).and_then(|play| play.parse().ok()).map(Heard::Mark),
        Incoming::Stop => Some(Heard::Stop),
        Incoming::Connected | Incoming::Unknown => None,
    })
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
