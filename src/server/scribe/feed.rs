//! A media thread's half of a transcript: frames gathered into batches, handed over by `try_send`, never a wait.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use crate::engine::audio::frame::{Place, StreamNo};
use crate::engine::call::RecordingEnd;
use crate::engine::consent::{Admitted, Batch};
use crate::engine::time::Tick;

/// Frames of this many milliseconds go over together.
const BATCH_MS: u64 = 200;
/// Frames of a batch: two channels, as short as 10 ms.
const BATCH_ROOM: usize = 40;
/// Batches and words between a feed and its scribe: twelve seconds of a machine that is too busy.
pub(super) const QUEUE_MAX: usize = 64;
/// Empty batches kept for reuse, 7 KiB each.
const POOL_MAX: usize = 512;

/// What a scribe is told.
pub(super) enum ToScribe {
    /// Frames, in the order in which the gate let them out.
    Audio(Vec<Admitted>),
    /// A stream begins, so long after the recording; Twilio calls it so.
    Stream(StreamNo, u64, String),
    /// Nothing is taken in for a while.
    Paused,
    /// It is again, from there on.
    Resumed(StreamNo, Place),
    /// What lies there or past it must not be kept.
    CutBack(StreamNo, Place),
    /// The recording is over.
    End(RecordingEnd),
}

/// Empty batches on their way back to the feeds.
#[derive(Clone, Default)]
pub(super) struct Pool(Arc<Mutex<Vec<Vec<Admitted>>>>);

/// One live call's way to its scribe. Dropped without an end, its transcript has failed.
pub(in crate::server) struct ScribeFeed {
    queue: mpsc::Sender<ToScribe>,
    pool: Pool,
    batch: Vec<Admitted>,
    first: Option<Tick>,
    began: Tick,
}

/// The scribe takes no more: its transcript is lost, and nothing else.
#[derive(Debug)]
pub(in crate::server) struct ScribeBehind;

impl Pool {
    pub(super) fn give_back(&self, mut batch: Vec<Admitted>) {
        batch.clear();
        if let Ok(mut pool) = self.0.lock()
            && pool.len() < POOL_MAX
        {
            pool.push(batch);
        }
    }

    fn take(&self) -> Vec<Admitted> {
        // Never waits: a new batch is the rare case.
        let spare = self.0.try_lock().ok().and_then(|mut pool| pool.pop());
        spare.unwrap_or_else(|| Vec::with_capacity(BATCH_ROOM))
    }
}

impl ScribeFeed {
    pub(super) fn new(queue: mpsc::Sender<ToScribe>, pool: Pool, began: Tick) -> Self {
        let batch = pool.take();
        Self { queue, pool, batch, first: None, began }
    }

    /// Takes what the gate let out.
    pub(in crate::server) fn push(&mut self, now: Tick, admitted: &Batch) -> Result<(), ScribeBehind> {
        for frame in admitted {
            let first = *self.first.get_or_insert(now);
            self.batch.push(frame.clone());
            if self.batch.len() >= BATCH_ROOM || now.ms_since(first) >= BATCH_MS - 20 {
                self.hand_over()?;
            }
        }
        Ok(())
    }

    /// Hands over what has waited long enough.
    pub(in crate::server) fn tick(&mut self, now: Tick) -> Result<(), ScribeBehind> {
        match self.first {
            Some(first) if now.ms_since(first) >= BATCH_MS - 20 => self.hand_over(),
            Some(_) | None => Ok(()),
        }
    }

    pub(in crate::server) fn stream_began(&mut self, now: Tick, stream: StreamNo, stream_sid: String) -> Result<(), ScribeBehind> {
        let offset_ms = now.ms_since(self.began);
        self.say(ToScribe::Stream(stream, offset_ms, stream_sid))
    }

    pub(in crate::server) fn paused(&mut self) -> Result<(), ScribeBehind> {
        self.say(ToScribe::Paused)
    }

    pub(in crate::server) fn resumed(&mut self, stream: StreamNo, at: Place) -> Result<(), ScribeBehind> {
        self.say(ToScribe::Resumed(stream, at))
    }

    pub(in crate::server) fn cut_back(&mut self, stream: StreamNo, at: Place) -> Result<(), ScribeBehind> {
        self.say(ToScribe::CutBack(stream, at))
    }

    pub(in crate::server) fn end(mut self, end: RecordingEnd) -> Result<(), ScribeBehind> {
        self.say(ToScribe::End(end))
    }

    fn say(&mut self, word: ToScribe) -> Result<(), ScribeBehind> {
        self.hand_over()?;
        self.queue.try_send(word).map_err(|_| ScribeBehind)
    }

    fn hand_over(&mut self) -> Result<(), ScribeBehind> {
        self.first = None;
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.batch, self.pool.take());
        self.queue.try_send(ToScribe::Audio(batch)).map_err(|_| ScribeBehind)
    }
}
