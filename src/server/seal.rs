//! From a finished spool to a stored recording, and what a crash left behind. Nothing local goes before the store has
//! proven that it holds the bytes; everything ends FINISHED, DISCARDED or FAILED, with a line in the chain (P8).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::live::{event, row, submit};
use super::metrics::Outcome;
use super::registry::Registry;
use super::world::World;
use crate::engine::call::RecordingState;
use crate::engine::ledger::EventKind;
use crate::io::clock::wall;
use crate::io::database::{Then, Work};
use crate::io::objects::{Feed, ObjectError, ObjectStore, Stored};
use crate::io::recording::{Format, Manifest, Plan, encode, object_key};
use crate::io::spool::{KeyFile, RecordingHead, SpoolEnd, SpoolFile, left_behind};

/// Recordings sealed at once.
const AT_ONCE: usize = 4;
/// Tries to store one, with doubling pauses from [`PAUSE_FIRST`] to [`PAUSE_MAX`]; then it is FAILED until the next start.
const TRIES: u32 = 8;
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Pieces between encoder and store: bounds a recording's memory to a few of 256 KiB.
const PIECES: usize = 4;

/// Seals and stores.
#[derive(Clone)]
pub struct Sealer {
    world: World,
    objects: Arc<ObjectStore>,
    keys: Arc<KeyFile>,
    registry: Arc<Registry>,
    permits: Arc<Semaphore>,
    pending: Arc<AtomicUsize>,
}

enum Failure {
    Spool(io::Error),
    Store(ObjectError),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Spool(why) => why.fmt(f),
            Self::Store(why) => why.fmt(f),
        }
    }
}

impl Sealer {
    pub(super) fn new(world: World, objects: Arc<ObjectStore>, keys: Arc<KeyFile>, registry: Arc<Registry>) -> Self {
        Self { world, objects, keys, registry, permits: Arc::new(Semaphore::new(AT_ONCE)), pending: Arc::default() }
    }

    /// Takes what the spool's writers report, until there are none any more.
    pub(super) async fn run(self, mut ends: mpsc::UnboundedReceiver<(Arc<RecordingHead>, SpoolEnd)>) {
        while let Some((head, end)) = ends.recv().await {
            self.pending.fetch_add(1, Ordering::SeqCst);
            let sealer = self.clone();
            tokio::spawn(async move {
                sealer.conclude(&head, end).await;
                sealer.pending.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }

    /// Recordings that are still on their way.
    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::SeqCst)
    }

    /// What a crash left: with a durable grant it is finished and stored, without one it is destroyed.
    pub(super) async fn recover(&self, folder: PathBuf) -> io::Result<()> {
        for spool in left_behind(&folder)? {
            let head = match spool.head(&self.keys) {
                Ok(head) => head,
                Err(why) => {
                    // No head, no consented audio: the head is the first thing that is written.
                    tracing::warn!(spool = %spool.path().display(), error = %why, "spool: destroyed: it cannot be read");
                    if let Err(why) = spool.destroy() {
                        let kept = spool.path().with_extension("unreadable");
                        tracing::error!(error = %why, "spool: could not be destroyed; moved aside");
                        std::fs::rename(spool.path(), kept)?;
                    }
                    continue;
                }
            };
            let durable = self.world.database.grant_is_durable(&head.org_id, head.grant_seq, &head.consent.id).await;
            match durable {
                Ok(true) => {
                    tracing::info!(recording.id = %head.recording_id, "spool: left by a crash; being stored");
                    let (sealer, path) = (self.clone(), spool.path().to_owned());
                    self.pending.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(async move {
                        sealer.conclude(&head, SpoolEnd::Sealed(path)).await;
                        sealer.pending.fetch_sub(1, Ordering::SeqCst);
                    });
                }
                Ok(false) => {
                    tracing::warn!(recording.id = %head.recording_id, "spool: destroyed: no durable consent allows it");
                    spool.destroy()?;
                    submit(
                        &self.world,
                        Work::Audit(event(&head, EventKind::SpoolDestroyed, json!({ "recordingId": head.recording_id })), None),
                    );
                }
                Err(why) => return Err(io::Error::other(why)),
            }
        }
        Ok(())
    }

    async fn conclude(&self, head: &RecordingHead, end: SpoolEnd) {
        let state = match end {
            SpoolEnd::Sealed(path) => self.store(head, path).await,
            SpoolEnd::Discarded => {
                self.write(head, RecordingState::Discarded, None, None, EventKind::RecordingDiscarded).await;
                RecordingState::Discarded
            }
            SpoolEnd::Failed { why, .. } => {
                self.write(head, RecordingState::Failed, None, Some(why), EventKind::RecordingFailed).await;
                RecordingState::Failed
            }
        };
        let outcome = match state {
            RecordingState::Finished => "finished",
            RecordingState::Discarded => "discarded",
            RecordingState::NotStarted
            | RecordingState::Active
            | RecordingState::Paused
            | RecordingState::Halted
            | RecordingState::Failed => "failed",
        };
        self.world.metrics.recordings.get_or_create(&Outcome { outcome }).inc();
    }

    async fn store(&self, head: &RecordingHead, path: PathBuf) -> RecordingState {
        let Ok(_permit) = self.permits.acquire().await else { return RecordingState::Failed };
        let spool = SpoolFile::at(path);
        let mut pause = PAUSE_FIRST;
        let mut tried = 0;
        let stored = loop {
            tried += 1;
            match self.try_store(head, &spool).await {
                Ok(stored) => break Ok(stored),
                Err(Failure::Store(why)) if why.is_retryable() && tried < TRIES => {
                    tracing::warn!(recording.id = %head.recording_id, error = %why, "recording: not stored yet; trying again in {pause:?}");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(why) => break Err(why),
            }
        };
        match stored {
            Ok((manifest, stored)) => {
                self.write(head, RecordingState::Finished, Some((&manifest, &stored)), None, EventKind::RecordingFinished).await;
                // The row says FINISHED; only now may the spool go.
                if let Err(why) = spool.destroy() {
                    tracing::error!(recording.id = %head.recording_id, error = %why, "spool: stored, but could not be removed");
                }
                tracing::info!(recording.id = %head.recording_id, key = %stored.key, bytes = stored.bytes, "recording: stored");
                RecordingState::Finished
            }
            Err(why) => {
                tracing::error!(recording.id = %head.recording_id, error = %why, "recording: not stored; its spool is kept and tried again at the next start");
                self.write(head, RecordingState::Failed, None, Some(why.to_string()), EventKind::RecordingFailed).await;
                RecordingState::Failed
            }
        }
    }

    async fn try_store(&self, head: &RecordingHead, spool: &SpoolFile) -> Result<(Manifest, Stored), Failure> {
        let (spool, keys, told) = (spool.clone(), Arc::clone(&self.keys), head.clone());
        let (to, bytes) = mpsc::channel(PIECES);
        let (tell, sha256) = oneshot::channel();
        let encoding = tokio::task::spawn_blocking(move || {
            let lead = told.lead.as_ref().map_or(0, |lead| lead.samples);
            let plan = Plan::of(spool.records(&keys)?, lead);
            let encoded = encode(&spool, &keys, &told, &plan, &to);
            match &encoded {
                Ok(encoded) => drop(tell.send(encoded.sha256.clone())),
                Err(why) => drop(to.blocking_send(Err(io::Error::other(why.to_string())))),
            }
            encoded.map(|encoded| Manifest::of(&told, &plan, &encoded))
        });
        let key = object_key(head);
        let format = Format::parse(&head.format).unwrap_or(Format::Wav);
        let stored = self.objects.put(&format!("{key}.{}", format.word()), format.content_type(), Feed { bytes, sha256 }).await;
        let manifest = encoding.await.map_err(|why| Failure::Spool(io::Error::other(why)))?;
        // A store that fails stops the encoder: its own failure is the one to tell.
        let stored = stored.map_err(Failure::Store)?;
        let manifest = manifest.map_err(Failure::Spool)?;
        self.objects.put_bytes(&format!("{key}.json"), "application/json", manifest.to_json().into()).await.map_err(Failure::Store)?;
        Ok((manifest, stored))
    }

    /// Writes what became of a recording: its row, its line in the chain, and its call as others see it.
    async fn write(
        &self,
        head: &RecordingHead,
        state: RecordingState,
        stored: Option<(&Manifest, &Stored)>,
        reason: Option<String>,
        kind: EventKind,
    ) {
        let mut row = row(head, state);
        row.finished_at = Some(wall().to_string());
        row.reason.clone_from(&reason);
        if let Some((manifest, stored)) = stored {
            row.object_key = Some(stored.key.clone());
            row.sha256 = Some(stored.sha256.clone());
            row.bytes = Some(stored.bytes);
            row.duration_ms = Some(manifest.duration_ms);
        }
        let detail = json!({
            "recordingId": head.recording_id,
            "key": row.object_key,
            "sha256": row.sha256,
            "frames": stored.map(|(manifest, _)| manifest.frames),
            "why": reason,
        });
        submit(&self.world, Work::Audit(event(head, kind, detail), None));
        let (done, durable) = oneshot::channel();
        let then: Then<bool> = Box::new(move |written| {
            let _ = done.send(written);
        });
        submit(&self.world, Work::Recording(Box::new(row), Some(then)));
        let _ = durable.await;
        self.tell_call(head, state, reason).await;
    }

    async fn tell_call(&self, head: &RecordingHead, state: RecordingState, reason: Option<String>) {
        if let Some(live) = self.registry.get(&head.call_id) {
            let over = live.conclude(state, reason);
            let row = live.row();
            submit(&self.world, Work::Call(Box::new(row)));
            if over {
                self.world.database.ledger().flush().await;
                self.registry.remove(&live.identity);
            }
        } else if let Ok(Some(mut row)) = self.world.database.call(&head.call_id).await {
            // A call of before a restart: it is over, whatever it was when the process died.
            row.state["recording"]["state"] = json!(state);
            row.state["recording"]["reason"] = json!(reason);
            row.state["recording"]["recordingId"] = json!(head.recording_id);
            if row.ended_at.is_none() {
                let now = wall().to_string();
                row.state["phase"] = json!("ENDED");
                row.state["endedAt"] = json!(now);
                row.phase = "ENDED".to_owned();
                row.ended_at = Some(now);
            }
            submit(&self.world, Work::Call(Box::new(row)));
        }
    }
}
