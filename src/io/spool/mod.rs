//! The spool: consented audio on local disk, encrypted from the first byte, until the store has proven that it holds it.
//!
//! Two halves. [`SpoolFeed`] lives on the media thread, gathers [`CHUNK_MS`] of frames and hands them over a bounded
//! queue: it never waits, and a full queue is an answer (P7). [`SpoolWriters`] are plain threads that own the files.
//! Chunks leave 200 ms after their first frame, so that `kill -9` loses, delay line included, less than half a second (P8):
//! what was written survives the process in the kernel's cache. A machine that loses power is another matter; see
//! `docs/spool.md` and [`SYNC_EVERY`].

mod format;
mod header;
mod keys;
#[cfg(feature = "kms")]
mod kms;
mod noes;
mod place;
mod read;
mod shed;
mod sync;
#[cfg(test)]
pub(crate) mod tests;
mod write;

pub use format::{Lead, PauseGaps, Record, RecordingHead, SpooledFrame, SpooledPause, SpooledStream, SpooledTransfer};
pub use keys::{KeysError, KmsSpec, NotFetched, SpoolKeys};
pub use noes::{keep_no, noes_left_behind};
pub use place::{known_spool_id, spool_id};
pub use read::{SpoolFile, Unreadable, destroy_all_of, files_of, left_behind};
pub use sync::SYNC_EVERY;
pub use write::{SpoolEnd, SpoolWriters};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};

use crossbeam_queue::ArrayQueue;

use crate::engine::audio::frame::{Place, StreamNo};
use crate::engine::consent::{Admitted, Batch};
use crate::engine::time::Tick;

/// Audio gathered before it is handed to a writer.
pub const CHUNK_MS: u64 = 200;
/// Chunks that may wait for a writer: at a thousand calls, three seconds of a stuck disk.
pub const SPOOL_QUEUE_CHUNKS: usize = 16_384;
/// Room of a chunk: 200 ms of one channel. Two channels fill two chunks; none ever grows by a frame.
const CHUNK_ROOM: usize = 2_048;

/// The disk cannot keep up, or is gone: stop the recording, never the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("spool cannot take more audio: the disk is full, stuck or gone")]
pub struct SpoolStalled;

/// Empty chunks on their way back to the feeds. Without a lock: a writer that gives way to everybody may be held up while it has
/// one.
type Pool = Arc<ArrayQueue<Vec<u8>>>;

/// Between a feed and its writer: set by the writer when the disk failed, by the feed when it was dropped without an end.
type Broken = Arc<AtomicBool>;

enum Job {
    Open(u64, Arc<RecordingHead>, Broken),
    Chunk(u64, Vec<u8>),
    /// The last chunk, and whether there is a cut among the records.
    Seal(u64, Vec<u8>, bool),
    Discard(u64),
}

/// One live recording's half of the spool.
pub struct SpoolFeed {
    slot: u64,
    queue: SyncSender<Job>,
    pool: Pool,
    chunk: Vec<u8>,
    first: Option<Tick>,
    began: Tick,
    broken: Broken,
    cut: bool,
    ended: bool,
}

impl SpoolFeed {
    /// Takes what the gate let out.
    ///
    /// # Errors
    /// [`SpoolStalled`] when a full chunk cannot be handed over, or one before it could not be written.
    pub fn push(&mut self, now: Tick, batch: &Batch) -> Result<(), SpoolStalled> {
        self.is_whole()?;
        for frame in batch {
            self.push_one(now, frame)?;
        }
        Ok(())
    }

    fn push_one(&mut self, now: Tick, frame: &Admitted) -> Result<(), SpoolStalled> {
        let first = *self.first.get_or_insert(now);
        format::put_frame(&mut self.chunk, frame);
        let full = self.chunk.len() + format::FRAME_MAX > CHUNK_ROOM;
        if now.ms_since(first) >= CHUNK_MS - 20 || full { self.hand_over() } else { Ok(()) }
    }

    /// A stream begins.
    pub fn stream_began(&mut self, now: Tick, stream: StreamNo, stream_sid: String) {
        let offset_ms = now.ms_since(self.began);
        format::put_stream(&mut self.chunk, &SpooledStream { stream: stream.0, stream_sid, offset_ms });
        self.first.get_or_insert(now);
    }

    /// Nothing is taken of this stream from `at` on, for this reason; or is again, if there is none.
    pub fn paused(&mut self, now: Tick, stream: StreamNo, at: Place, reason: Option<&str>) {
        format::put_pause(&mut self.chunk, &SpooledPause { stream: stream.0, at: at.0, reason: reason.map(str::to_owned) });
        self.first.get_or_insert(now);
    }

    /// The tone that tells of the recording was sent into this stream at `at`.
    pub fn beeped(&mut self, now: Tick, stream: StreamNo, at: Place) {
        format::put_beep(&mut self.chunk, stream, at);
        self.first.get_or_insert(now);
    }

    /// The call was handed over.
    pub fn transferred(&mut self, now: Tick, transfer: &SpooledTransfer) {
        format::put_transfer(&mut self.chunk, transfer);
        self.first.get_or_insert(now);
    }

    /// What was taken of this stream at or past this place does not count.
    ///
    /// # Errors
    /// [`SpoolStalled`].
    pub fn cut_back(&mut self, stream: StreamNo, at: Place) -> Result<(), SpoolStalled> {
        self.cut = true;
        format::put_cut(&mut self.chunk, stream, at);
        self.hand_over()
    }

    /// Hands over what has waited long enough, frames or no frames.
    ///
    /// # Errors
    /// [`SpoolStalled`].
    pub fn tick(&mut self, now: Tick) -> Result<(), SpoolStalled> {
        self.is_whole()?;
        match self.first {
            Some(first) if now.ms_since(first) >= CHUNK_MS - 20 => self.hand_over(),
            _ => Ok(()),
        }
    }

    /// The recording is over: everything is written and fsynced, then the writers report it.
    ///
    /// # Errors
    /// [`SpoolStalled`]: the writers report it as failed once they have caught up.
    pub fn seal(mut self) -> Result<(), SpoolStalled> {
        format::put_sealed(&mut self.chunk);
        let chunk = std::mem::take(&mut self.chunk);
        self.send(Job::Seal(self.slot, chunk, self.cut))?;
        self.ended = true;
        Ok(())
    }

    /// The recording must not exist: its key is destroyed, then its file.
    ///
    /// # Errors
    /// [`SpoolStalled`]: the writers report it as failed; that it must go stands in the ledger.
    pub fn discard(mut self) -> Result<(), SpoolStalled> {
        self.send(Job::Discard(self.slot))?;
        self.ended = true;
        Ok(())
    }

    fn is_whole(&self) -> Result<(), SpoolStalled> {
        if self.broken.load(Ordering::Acquire) { Err(SpoolStalled) } else { Ok(()) }
    }

    fn hand_over(&mut self) -> Result<(), SpoolStalled> {
        self.first = None;
        if self.chunk.is_empty() {
            return Ok(());
        }
        // A new one only if the writers have not come to any for longer than there are buffers.
        let empty = self.pool.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK_ROOM));
        let chunk = std::mem::replace(&mut self.chunk, empty);
        self.send(Job::Chunk(self.slot, chunk))
    }

    fn send(&self, job: Job) -> Result<(), SpoolStalled> {
        self.queue.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => SpoolStalled,
        })
    }
}

impl Drop for SpoolFeed {
    /// A recording that nobody ended is over all the same: its file is closed, and what is in it is reported.
    fn drop(&mut self) {
        if !self.ended {
            self.broken.store(true, Ordering::Release);
        }
    }
}
