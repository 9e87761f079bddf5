//! Sealing: a spool becomes a recording. Two channels on one grid by media time, WAV or Ogg/Opus, a manifest.
//!
//! Two passes over the spool: the first measures (`layout::Plan`), the second encodes and lets the bytes out in order,
//! so that they can be streamed to an object store. Nothing decrypted touches a disk, and the same spool gives the
//! same bytes every time (P12).

mod layout;
mod manifest;
mod opus;
#[cfg(test)]
mod tests;
mod wav;

use std::io;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

pub use layout::{LateCut, Plan, Silence};
pub use manifest::Manifest;

use crate::engine::audio::prompts::Prompt;
use crate::io::spool::{RecordingHead, SpoolFile, SpoolKeys};

/// Bytes handed on at a time.
const PIECE: usize = 256 * 1024;

/// What a recording is encoded as (`CALLGATE_CAPTURE_FORMAT`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// 16-bit PCM, by hound.
    Wav,
    /// Ogg/Opus, by audiopus.
    Opus,
}

impl Format {
    /// The word in configuration, rows and keys.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Opus => "opus",
        }
    }

    /// By its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Wav, Self::Opus].into_iter().find(|format| format.word() == word)
    }

    /// For the object store and for HTTP.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Wav => "audio/wav",
            Self::Opus => "audio/ogg",
        }
    }
}

/// What came out of an encoding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encoded {
    /// SHA-256 of all bytes, in hex.
    pub sha256: String,
    /// How many there were.
    pub bytes: u64,
}

/// Encodes a spool, handing pieces to `to`. `lead` is the prompt of its beginning; where nobody has it any more the
/// recording begins without. Blocking: run it where that is allowed.
///
/// # Errors
/// If the spool cannot be read, or nobody takes the bytes any more.
pub fn encode(
    spool: &SpoolFile,
    keys: &SpoolKeys,
    head: &RecordingHead,
    lead: Option<&'static Prompt>,
    plan: &Plan,
    to: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<Encoded> {
    let mut out = Out { to, piece: Vec::with_capacity(PIECE), digest: Sha256::new(), bytes: 0 };
    let lead = lead_codes(head, lead);
    match Format::parse(&head.format) {
        Some(Format::Opus) => opus::encode(&head.recording_id, plan, lead, spool.records(keys)?, &mut out)?,
        Some(Format::Wav) | None => wav::encode(plan, lead, spool.records(keys)?, &mut out)?,
    }
    out.finish()
}

/// The key of a recording in the object store, without its ending.
#[must_use]
pub fn object_key(head: &RecordingHead) -> String {
    object_key_of(&head.org_id, &head.started_at, &head.recording_id)
}

/// The same of what is known without its head.
#[must_use]
pub fn object_key_of(org_id: &str, started_at: &str, recording_id: &str) -> String {
    let at = crate::engine::time::WallTime::parse(started_at).unwrap_or_default();
    let (year, month, day) = at.date();
    format!("recordings/{org_id}/{year:04}/{month:02}/{day:02}/{recording_id}")
}

/// Our own prompt at the recording's beginning: what of it was played.
fn lead_codes(head: &RecordingHead, prompt: Option<&'static Prompt>) -> &'static [u8] {
    let Some(lead) = &head.lead else { return &[] };
    prompt.filter(|prompt| prompt.sha256 == lead.sha256).map_or(&[], |prompt| {
        let played = usize::try_from(lead.samples).unwrap_or(usize::MAX).min(prompt.codes.len());
        &prompt.codes[..played]
    })
}

/// Where encoders put their bytes: digested, gathered, handed on.
struct Out<'a> {
    to: &'a mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
    digest: Sha256,
    bytes: u64,
}

impl Out<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE { self.hand_on() } else { Ok(()) }
    }

    fn hand_on(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.to.blocking_send(Ok(piece.into())).map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes the recording's bytes"))
    }

    fn finish(mut self) -> io::Result<Encoded> {
        if !self.piece.is_empty() {
            self.hand_on()?;
        }
        let sha256 = self.digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Encoded { sha256, bytes: self.bytes })
    }
}
