//! WebSocket frames (RFC 6455) of one connection, read on the [`Desk`] that all of a thread's connections share.
//!
//! Why not `tungstenite::WebSocket`: it keeps buffers of its own for each connection, 5 KiB, and with a thousand of them every frame is
//! copied into memory that no cache holds any more. A desk is always warm, and what a connection keeps between two turns is only what
//! came of a frame in part, or could not leave. Headers, codes and what we send are tungstenite's.

use std::io::{self, Cursor, Read, Write};
use std::ops::Range;

use mio::net::TcpStream;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::Gone;

/// No message of Twilio's comes near.
pub(super) const MESSAGE_MAX: usize = 64 * 1024;
/// What is asked of the kernel at once: a frame of 20 ms is 400 bytes.
const READ: usize = 4 * 1024;
/// The longest header.
const HEADER_MAX: usize = 14;
/// A control frame carries no more.
const CONTROL_MAX: usize = 125;
/// Room kept for what comes in part: a frame of 20 ms.
const REST_KEPT: usize = 512;
/// Of a connection given up, so many reads are thrown away at a time.
const DRAIN_READS: usize = 64;

/// Where a thread reads and writes, one connection at a time.
pub(in crate::server) struct Desk {
    bytes: Box<[u8]>,
    /// What was read and not yet taken.
    unread: Range<usize>,
    /// A message that came in parts, whole.
    joined: Vec<u8>,
    /// A frame on its way out.
    out: Vec<u8>,
}

impl Desk {
    pub(in crate::server) fn new() -> Self {
        Self { bytes: vec![0; HEADER_MAX + MESSAGE_MAX + READ].into(), unread: 0..0, joined: Vec::new(), out: Vec::new() }
    }

    /// Takes the next frame's header and the place of its payload, if all of it is there.
    fn frame(&mut self) -> Result<Option<(FrameHeader, Range<usize>)>, Gone> {
        let mut cursor = Cursor::new(&self.bytes[self.unread.clone()]);
        let Some((header, length)) = FrameHeader::parse(&mut cursor).map_err(|_| Gone::Protocol)? else { return Ok(None) };
        // RFC 6455, 5.1: a client that does not mask is to be hung up on.
        if header.mask.is_none() || header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Gone::Protocol);
        }
        let length = usize::try_from(length).ok().filter(|length| *length <= MESSAGE_MAX).ok_or(Gone::TooLarge)?;
        if matches!(header.opcode, OpCode::Control(_)) && (!header.is_final || length > CONTROL_MAX) {
            return Err(Gone::Protocol);
        }
        let from = self.unread.start + usize::try_from(cursor.position()).map_err(|_| Gone::Protocol)?;
        let payload = from..from + length;
        if payload.end > self.unread.end {
            return Ok(None);
        }
        self.unread.start = payload.end;
        if let Some(mask) = header.mask {
            unmask(&mut self.bytes[payload.clone()], mask);
        }
        Ok(Some((header, payload)))
    }

    /// Room for a read behind what is there: it moves to the front when it must.
    fn room(&mut self) -> &mut [u8] {
        if self.unread.is_empty() {
            self.unread = 0..0;
        } else if self.unread.end + READ > self.bytes.len() {
            self.bytes.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        let end = self.unread.end;
        &mut self.bytes[end..end + READ]
    }
}

/// Words of four bytes at a time, which compilers make wider.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let (words, tail) = payload.as_chunks_mut::<4>();
    let wide = u32::from_ne_bytes(mask);
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in tail.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// What a message is. A text lies on the desk.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Said<'a> {
    Text(&'a str),
    Binary,
    /// A ping, a pong: a message of its own kind, and nobody's business.
    Nothing,
}

/// Where the text of a message lies.
enum Lies {
    On(Range<usize>),
    Joined,
}

/// A message that comes in parts.
struct Parts {
    is_text: bool,
    bytes: Vec<u8>,
}

pub(super) struct Frames {
    tcp: TcpStream,
    /// Read dry: the last `read` of every frame, which could only say so, is saved (epoll(7): with edge-triggering a
    /// short read means the same).
    dry: bool,
    ends: bool,
    /// What was read and not taken in its last turn: a frame in part, or what its turn was too short for.
    rest: Vec<u8>,
    parts: Option<Parts>,
    /// What the other side has not taken yet.
    unsent: Vec<u8>,
    /// Our close frame is on its way, or there.
    closing: bool,
}

impl Frames {
    /// A stream whose handshake is done; `rest` was read along with it.
    pub(super) fn new(stream: std::net::TcpStream, rest: Vec<u8>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let tcp = TcpStream::from_std(stream);
        Ok(Self { tcp, dry: false, ends: false, rest, parts: None, unsent: Vec::new(), closing: false })
    }

    pub(super) const fn tcp(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    /// The poller says that there may be something to read.
    pub(super) const fn is_ready(&mut self, ends: bool) {
        self.dry = false;
        self.ends |= ends;
    }

    /// Sits down at the desk. What another has left there is gone.
    pub(super) const fn sit_down(desk: &mut Desk) {
        desk.unread = 0..0;
    }

    /// Stands up, and leaves nothing.
    pub(super) fn stand_up(&mut self, desk: &mut Desk) {
        let unread = std::mem::take(&mut desk.unread);
        self.rest.splice(0..0, desk.bytes[unread].iter().copied());
        if self.rest.is_empty() {
            self.rest.shrink_to(REST_KEPT);
        }
    }

    /// The next message, or `None` if there is none for now.
    pub(super) fn next<'a>(&mut self, desk: &'a mut Desk) -> Result<Option<Said<'a>>, Gone> {
        loop {
            let Some((header, payload)) = desk.frame()? else {
                if self.fill(desk)? {
                    continue;
                }
                return Ok(None);
            };
            let lies = match header.opcode {
                OpCode::Control(Control::Ping) => {
                    let Range { start, end } = payload;
                    if !self.closing && !self.send(OpCode::Control(Control::Pong), &desk.bytes[start..end], &mut desk.out) {
                        return Err(Gone::Stuck);
                    }
                    return Ok(Some(Said::Nothing));
                }
                OpCode::Control(Control::Pong) => return Ok(Some(Said::Nothing)),
                OpCode::Control(Control::Close) => return Err(self.closed(payload, desk)),
                OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)) => return Err(Gone::Protocol),
                OpCode::Data(Data::Text | Data::Binary) if self.parts.is_some() => return Err(Gone::Protocol),
                OpCode::Data(kind @ (Data::Text | Data::Binary)) if header.is_final => {
                    if kind == Data::Binary {
                        return Ok(Some(Said::Binary));
                    }
                    Lies::On(payload)
                }
                OpCode::Data(kind @ (Data::Text | Data::Binary)) => {
                    self.parts = Some(Parts { is_text: kind == Data::Text, bytes: desk.bytes[payload].to_vec() });
                    continue;
                }
                OpCode::Data(Data::Continue) => {
                    let Some(parts) = &mut self.parts else { return Err(Gone::Protocol) };
                    if parts.bytes.len() + payload.len() > MESSAGE_MAX {
                        return Err(Gone::TooLarge);
                    }
                    parts.bytes.extend_from_slice(&desk.bytes[payload]);
                    let Some(parts) = self.parts.take_if(|_| header.is_final) else { continue };
                    if !parts.is_text {
                        return Ok(Some(Said::Binary));
                    }
                    desk.joined = parts.bytes;
                    Lies::Joined
                }
            };
            let bytes = match lies {
                Lies::On(place) => &desk.bytes[place],
                Lies::Joined => &desk.joined,
            };
            return std::str::from_utf8(bytes).map(|text| Some(Said::Text(text))).map_err(|_| Gone::NotText);
        }
    }

    /// Reads on. `false`: there is nothing for now.
    fn fill(&mut self, desk: &mut Desk) -> Result<bool, Gone> {
        let room = desk.room();
        if !self.rest.is_empty() {
            let count = self.rest.len().min(room.len());
            room[..count].copy_from_slice(&self.rest[..count]);
            self.rest.drain(..count);
            desk.unread.end += count;
            return Ok(true);
        }
        if self.dry {
            return Ok(false);
        }
        let asked = room.len();
        match self.tcp.read(room) {
            Ok(0) if self.closing => Err(Gone::Closed),
            Ok(0) => Err(Gone::Broken),
            Ok(count) => {
                self.dry = count < asked && !self.ends;
                desk.unread.end += count;
                Ok(true)
            }
            Err(why) if why.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(_) => Err(Gone::Broken),
        }
    }

    /// The other side's close frame: answered, if it is not an answer.
    fn closed(&mut self, payload: Range<usize>, desk: &mut Desk) -> Gone {
        let code = match desk.bytes[payload] {
            [] => None,
            [high, low, ref reason @ ..] if std::str::from_utf8(reason).is_ok() => Some(CloseCode::from(u16::from_be_bytes([high, low]))),
            _ => return Gone::Protocol,
        };
        if code.is_some_and(|code| !code.is_allowed()) {
            return Gone::Protocol;
        }
        if !self.closing {
            self.close(code, "", desk);
        }
        Gone::Closed
    }

    /// Says them in one write, or keeps what the other side does not take yet; `false` if it has stopped reading.
    pub(super) fn texts(&mut self, texts: impl Iterator<Item = String>, desk: &mut Desk) -> bool {
        desk.out.clear();
        for text in texts {
            if !append(OpCode::Data(Data::Text), text.as_bytes(), &mut desk.out) {
                return false;
            }
        }
        self.closing || desk.out.is_empty() || self.put(&desk.out)
    }

    /// Begins to close: our frame goes out.
    pub(super) fn close(&mut self, code: Option<CloseCode>, reason: &str, desk: &mut Desk) {
        let mut payload = Vec::with_capacity(2 + reason.len());
        if let Some(code) = code {
            payload.extend_from_slice(&u16::from(code).to_be_bytes());
            payload.extend_from_slice(reason.as_bytes());
        }
        let _ = self.send(OpCode::Control(Control::Close), &payload, &mut desk.out);
        self.closing = true;
    }

    /// The other side is gone: nothing need be said to it any more.
    pub(super) const fn is_gone(&mut self) {
        self.closing = true;
    }

    pub(super) const fn is_closing(&self) -> bool {
        self.closing
    }

    fn send(&mut self, opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        append(opcode, payload, out) && self.put(out)
    }

    fn put(&mut self, out: &[u8]) -> bool {
        let mut sent = 0;
        if self.unsent.is_empty() {
            match write(&mut self.tcp, out) {
                Ok(count) => sent = count,
                Err(_) => return false,
            }
        }
        let left = &out[sent..];
        if self.unsent.len() + left.len() > MESSAGE_MAX {
            return false;
        }
        self.unsent.extend_from_slice(left);
        true
    }

    /// The other side takes bytes again.
    pub(super) fn flush(&mut self) {
        if self.unsent.is_empty() {
            return;
        }
        // One that is broken is found so by its next read.
        if let Ok(count) = write(&mut self.tcp, &self.unsent) {
            self.unsent.drain(..count);
        }
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
        }
    }

    /// What still comes is read, or the kernel would answer it with a reset that overtakes our close frame.
    pub(super) fn drain(&mut self, desk: &mut Desk) -> Result<(), Gone> {
        for _ in 0..DRAIN_READS {
            desk.unread = 0..0;
            match self.tcp.read(desk.room()) {
                Ok(0) => return Err(Gone::Closed),
                Ok(_) => {}
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(Gone::Broken),
            }
        }
        Ok(())
    }
}

/// A frame of its own behind what is there.
fn append(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) -> bool {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    let is_written = header.format(payload.len() as u64, out).is_ok();
    out.extend_from_slice(payload);
    is_written
}

/// Writes as much as is taken now.
fn write(tcp: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match tcp.write(&bytes[sent..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => sent += count,
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => break,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    Ok(sent)
}
