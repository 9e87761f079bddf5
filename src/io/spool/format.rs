//! What lies in a spool file.
//!
//! ```text
//! "CGSPOOL1" | id length u16 | id | wrapped key (60 bytes) | chunk*                          wrapped by the key file
//! "CGSPOOL2" | id length u16 | id | wrapped key (60 bytes) | gateway length u8 | gateway
//!            | length u16 | the key that wraps it, as AWS KMS wrapped that | chunk*
//! chunk  = length u32 | counter u64 | AES-256-GCM(records)        nonce = counter, AAD = id ‖ counter
//! record = 0 head JSON | 1 frame | 2 stream JSON | 3 cut | 4 sealed | 5 pause JSON | 6 beep | 7 transfer JSON
//! ```
//! All numbers little-endian. A torn last chunk is what a crash leaves; anything else that does not decrypt is damage.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::audio::frame::{Channel, FRAME_SAMPLES, Place, StreamNo};
use crate::engine::call::PartyKind;
use crate::engine::consent::{Admitted, ConsentRecord};

/// No chunk is longer: 200 ms of two channels is 4 KiB, a head a few more.
pub(super) const CHUNK_MAX: usize = 256 * 1024;

/// Bytes of the longest frame's record.
pub(super) const FRAME_MAX: usize = 16 + FRAME_SAMPLES;
/// The ending of a spool's name.
pub(super) const SPOOL: &str = "spool";
/// Of AES-256-GCM.
pub(super) const TAG: usize = 16;
/// Length and counter before each chunk.
pub(super) const FRONT: usize = 12;

const HEAD: u8 = 0;
const FRAME: u8 = 1;
const STREAM: u8 = 2;
const CUT: u8 = 3;
const SEALED: u8 = 4;
const PAUSE: u8 = 5;
const BEEP: u8 = 6;
const TRANSFER: u8 = 7;

/// What a recording is, fixed when it begins.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordingHead {
    /// The recording's id.
    pub recording_id: String,
    /// Its call.
    pub call_id: String,
    /// Twilio's id of the call.
    pub call_sid: String,
    /// The client.
    pub client_id: String,
    /// The organisation.
    pub org_id: String,
    /// The ledger entry that allows it.
    pub grant_seq: u64,
    /// The consent record it rests on; a live call holds it once.
    pub consent: Arc<ConsentRecord>,
    /// `wav` or `opus`.
    pub format: String,
    /// When it began: RFC 3339.
    pub started_at: String,
    /// Our own prompt at its beginning.
    pub lead: Option<Lead>,
    /// What a pause leaves in it.
    #[serde(default)]
    pub pauses: PauseGaps,
}

/// What a pause leaves in a recording (`CALLGATE_PAUSE_GAPS`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PauseGaps {
    /// Silence as long as the pause: times in the recording stay times of the call.
    #[default]
    Silence,
    /// Nothing: the recording is shorter by the pause.
    Cut,
}

/// A pause begins, or is over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpooledPause {
    /// On which stream.
    pub stream: u8,
    /// Where on its time line, in samples.
    pub at: u64,
    /// Why it begins; over, if there is no reason.
    pub reason: Option<String>,
}

/// The call was handed over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpooledTransfer {
    /// On which stream it was captured until then.
    pub stream: u8,
    /// Where on its time line, in samples.
    pub at: u64,
    /// When: RFC 3339.
    pub time: String,
    /// To what.
    pub to: PartyKind,
    /// Whether the new party is captured.
    pub captured: bool,
}

/// Our own prompt at the beginning of a recording.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lead {
    /// Its language.
    pub language: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the whole prompt.
    pub sha256: String,
    /// Samples of it that were played.
    pub samples: u64,
}

/// A stream that was captured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpooledStream {
    /// Its number within the call.
    pub stream: u8,
    /// Twilio's id of it.
    pub stream_sid: String,
    /// Milliseconds between the recording's beginning and this stream's, on the wall.
    pub offset_ms: u64,
}

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// What the recording is.
    Head(Box<RecordingHead>),
    /// A stream begins.
    Stream(SpooledStream),
    /// Audio.
    Frame(SpooledFrame),
    /// Frames of this stream written before this record, at or past the place, do not count.
    Cut(StreamNo, Place),
    /// Nothing was taken in from here on, or is again.
    Pause(SpooledPause),
    /// The tone that tells of the recording was sent into this stream when its clock stood there.
    Beep(StreamNo, Place),
    /// Somebody else came.
    Transfer(SpooledTransfer),
    /// Nothing follows.
    Sealed,
}

/// A frame as it lies in a spool.
#[derive(Clone, PartialEq, Eq)]
pub struct SpooledFrame {
    /// On which stream.
    pub stream: StreamNo,
    /// Whose voice.
    pub channel: Channel,
    /// Place on the stream's time line.
    pub at: Place,
    /// Twilio's timestamp.
    pub timestamp_ms: u32,
    /// mu-law.
    pub codes: Vec<u8>,
}

impl SpooledFrame {
    /// Just past its last sample.
    #[must_use]
    pub fn end(&self) -> Place {
        self.at.plus(self.codes.len() as u64)
    }
}

impl std::fmt::Debug for SpooledFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SpooledFrame({:?} {:?} at {} len {})", self.stream, self.channel, self.at.0, self.codes.len())
    }
}

pub(super) fn put_frame(chunk: &mut Vec<u8>, frame: &Admitted) {
    #[expect(clippy::cast_possible_truncation, reason = "49 days of milliseconds")]
    put_codes(chunk, frame.stream(), frame.channel(), frame.at(), frame.timestamp().0 as u32, frame.codes());
}

pub(super) fn put_spooled(chunk: &mut Vec<u8>, frame: &SpooledFrame) {
    put_codes(chunk, frame.stream, frame.channel, frame.at, frame.timestamp_ms, &frame.codes);
}

fn put_codes(chunk: &mut Vec<u8>, stream: StreamNo, channel: Channel, at: Place, timestamp_ms: u32, codes: &[u8]) {
    #[expect(clippy::cast_possible_truncation, reason = "a frame has at most 160 samples")]
    chunk.extend_from_slice(&[FRAME, stream.0, channel.index() as u8, codes.len() as u8]);
    chunk.extend_from_slice(&timestamp_ms.to_le_bytes());
    chunk.extend_from_slice(&at.0.to_le_bytes());
    chunk.extend_from_slice(codes);
}

pub(super) fn put_head(chunk: &mut Vec<u8>, head: &RecordingHead) {
    put_json(chunk, HEAD, &serde_json::to_vec(head).unwrap_or_default());
}

pub(super) fn put_stream(chunk: &mut Vec<u8>, stream: &SpooledStream) {
    put_json(chunk, STREAM, &serde_json::to_vec(stream).unwrap_or_default());
}

pub(super) fn put_cut(chunk: &mut Vec<u8>, stream: StreamNo, at: Place) {
    chunk.extend_from_slice(&[CUT, stream.0]);
    chunk.extend_from_slice(&at.0.to_le_bytes());
}

pub(super) fn put_transfer(chunk: &mut Vec<u8>, transfer: &SpooledTransfer) {
    put_json(chunk, TRANSFER, &serde_json::to_vec(transfer).unwrap_or_default());
}

pub(super) fn put_pause(chunk: &mut Vec<u8>, pause: &SpooledPause) {
    put_json(chunk, PAUSE, &serde_json::to_vec(pause).unwrap_or_default());
}

pub(super) fn put_beep(chunk: &mut Vec<u8>, stream: StreamNo, at: Place) {
    chunk.extend_from_slice(&[BEEP, stream.0]);
    chunk.extend_from_slice(&at.0.to_le_bytes());
}

pub(super) fn put_sealed(chunk: &mut Vec<u8>) {
    chunk.push(SEALED);
}

fn put_json(chunk: &mut Vec<u8>, tag: u8, json: &[u8]) {
    chunk.push(tag);
    chunk.extend_from_slice(&u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes());
    chunk.extend_from_slice(json);
}

/// The next record of a chunk's plaintext; `None` at its end, and on what is no record.
pub(super) fn take(chunk: &mut &[u8]) -> Option<Record> {
    let tag = *take_bytes(chunk, 1)?.first()?;
    match tag {
        HEAD => Some(Record::Head(Box::new(serde_json::from_slice(take_json(chunk)?).ok()?))),
        STREAM => Some(Record::Stream(serde_json::from_slice(take_json(chunk)?).ok()?)),
        FRAME => {
            let [stream, channel, len] = *take_bytes(chunk, 3)? else { return None };
            let timestamp_ms = u32::from_le_bytes(take_bytes(chunk, 4)?.try_into().ok()?);
            let at = Place(u64::from_le_bytes(take_bytes(chunk, 8)?.try_into().ok()?));
            let channel = *Channel::BOTH.get(usize::from(channel))?;
            let codes = take_bytes(chunk, usize::from(len))?.to_vec();
            Some(Record::Frame(SpooledFrame { stream: StreamNo(stream), channel, at, timestamp_ms, codes }))
        }
        CUT => {
            let stream = StreamNo(*take_bytes(chunk, 1)?.first()?);
            Some(Record::Cut(stream, Place(u64::from_le_bytes(take_bytes(chunk, 8)?.try_into().ok()?))))
        }
        BEEP => {
            let stream = StreamNo(*take_bytes(chunk, 1)?.first()?);
            Some(Record::Beep(stream, Place(u64::from_le_bytes(take_bytes(chunk, 8)?.try_into().ok()?))))
        }
        TRANSFER => Some(Record::Transfer(serde_json::from_slice(take_json(chunk)?).ok()?)),
        PAUSE => Some(Record::Pause(serde_json::from_slice(take_json(chunk)?).ok()?)),
        SEALED => Some(Record::Sealed),
        _ => None,
    }
}

fn take_json<'a>(chunk: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = u32::from_le_bytes(take_bytes(chunk, 4)?.try_into().ok()?);
    take_bytes(chunk, usize::try_from(len).ok()?)
}

fn take_bytes<'a>(chunk: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = chunk.split_at_checked(count)?;
    *chunk = rest;
    Some(taken)
}
