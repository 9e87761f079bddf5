//! From a finished spool to a stored recording. Nothing local goes before the store has proven that it holds the bytes;
//! everything ends FINISHED, DISCARDED or FAILED, with a line in the chain (P8). What no call has ended is in `recover`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use serde_json::json;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::live::{event, row, submit, write};
use super::metrics::Outcome;
use super::recover::end;
use super::registry::Registry;
use super::scribe::{Fate, LastWords};
use super::world::World;
use crate::engine::audio::frame::Place;
use crate::engine::call::{OnOptOut, RecordingState};
use crate::engine::consent::UnrecordedReason;
use crate::engine::ledger::EventKind;
use crate::engine::time::MediaTime;
use crate::io::clock::wall;
use crate::io::database::{RecordingRow, Ruling, Then, Work};
use crate::io::objects::{Feed, ObjectError, ObjectStore, Stored};
use crate::io::recording::{Format, LateCut, Manifest, Plan, encode, object_key};
use crate::io::spool::{NotFetched, RecordingHead, SpoolEnd, SpoolFile, SpoolKeys};

/// Recordings sealed at once.
const AT_ONCE: usize = 4;
/// Tries to store one, with doubling pauses from [`PAUSE_FIRST`] to [`PAUSE_MAX`], before its state says FAILED.
pub(super) const TRIES: u32 = 8;
pub(super) const PAUSE_FIRST: Duration = Duration::from_millis(500);
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Pieces between encoder and store: bounds a recording's memory to a few of 256 KiB.
const PIECES: usize = 4;

/// Recordings that somebody is sealing, storing or destroying.
#[derive(Clone, Default)]
pub(super) struct InHand(Arc<DashMap<String, ()>>);

/// One of them; dropped when it is settled.
pub(super) struct Held(InHand, String);

impl InHand {
    pub(super) fn take(&self, recording_id: &str) -> Held {
        self.0.insert(recording_id.to_owned(), ());
        Held(self.clone(), recording_id.to_owned())
    }

    pub(super) fn holds(&self, recording_id: &str) -> bool {
        self.0.contains_key(recording_id)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.remove(&self.1);
    }
}

/// Seals and stores.
#[derive(Clone)]
pub struct Sealer {
    pub(super) world: World,
    objects: Arc<ObjectStore>,
    pub(super) keys: Arc<SpoolKeys>,
    pub(super) registry: Arc<Registry>,
    permits: Arc<Semaphore>,
    pub(super) pending: Arc<AtomicUsize>,
    pub(super) in_hand: InHand,
    /// What the spool that it empties is called, where gateways have spools of their own.
    spool_id: Option<Arc<str>>,
}

enum Failure {
    Spool(io::Error),
    Key(NotFetched),
    Store(ObjectError),
    /// The spool was not ended by its call, or is damaged: the ledger must be asked what counts of it.
    Unruled,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Spool(why) => why.fmt(f),
            Self::Key(why) => why.fmt(f),
            Self::Store(why) => why.fmt(f),
            Self::Unruled => f.write_str("the spool is not whole"),
        }
    }
}

impl Failure {
    /// Whether another try may have another outcome.
    fn is_retryable(&self) -> bool {
        match self {
            Self::Store(why) => why.is_retryable(),
            Self::Key(NotFetched::Away(_)) => true,
            Self::Key(NotFetched::Refused(_)) | Self::Spool(_) | Self::Unruled => false,
        }
    }
}

impl Sealer {
    pub(super) fn new(world: World, objects: Arc<ObjectStore>, keys: Arc<SpoolKeys>, registry: Arc<Registry>) -> Self {
        Self {
            spool_id: world.spool_id.clone(),
            world,
            objects,
            keys,
            registry,
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            pending: Arc::default(),
            in_hand: InHand::default(),
        }
    }

    /// For another folder's spool, which other keys open. What it has under way it counts by itself.
    pub(super) fn of_spool(&self, spool_id: &str, keys: Arc<SpoolKeys>) -> Self {
        Self { keys, pending: Arc::default(), spool_id: Some(spool_id.into()), ..self.clone() }
    }

    /// Takes what the spool's writers report, until there are none any more.
    pub(super) async fn run(self, mut ends: mpsc::UnboundedReceiver<(Arc<RecordingHead>, SpoolEnd)>) {
        while let Some((head, end)) = ends.recv().await {
            self.pending.fetch_add(1, Ordering::SeqCst);
            let sealer = self.clone();
            let held = self.in_hand.take(&head.recording_id);
            tokio::spawn(async move {
                sealer.conclude(&head, end).await;
                drop(held);
                sealer.pending.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }

    /// Recordings that are still on their way.
    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::SeqCst)
    }

    async fn conclude(&self, head: &RecordingHead, end: SpoolEnd) {
        let state = match end {
            SpoolEnd::Sealed(path) => {
                let last = self.last_words(head).await;
                if last.cut.is_some() && self.world.settings.on_opt_out == OnOptOut::DiscardCall {
                    self.destroy(head, &SpoolFile::at(path)).await
                } else {
                    self.store(head, path, None, &last).await
                }
            }
            SpoolEnd::Discarded => {
                self.write(head, RecordingState::Discarded, None, None, EventKind::RecordingDiscarded).await;
                RecordingState::Discarded
            }
            // What was captured before is consented audio: it is stored, as what a crash leaves is.
            SpoolEnd::Failed { path, why } => {
                self.write(head, RecordingState::Failed, None, Some(why), EventKind::RecordingFailed).await;
                self.finish_left(head, path).await
            }
            SpoolEnd::Undestroyed { path, why } => {
                self.write(head, RecordingState::Failed, None, Some(format!("not destroyed yet: {why}")), EventKind::RecordingFailed).await;
                self.destroy(head, &SpoolFile::at(path)).await
            }
        };
        // The words of a recording that is kept are told where they lie as soon as it is stored.
        if let Some(scribes) = &self.world.scribes {
            let fate = if state == RecordingState::Discarded { Fate::Discarded } else { Fate::Failed };
            scribes.decided(&head.recording_id, fate);
        }
        self.count(state);
    }

    pub(super) fn count(&self, state: RecordingState) {
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

    /// What the recording must not say, by what its recognisers told last. They are waited for, and not long: the audio is safe
    /// where it is.
    async fn last_words(&self, head: &RecordingHead) -> LastWords {
        match &self.world.scribes {
            Some(scribes) => scribes.last_words(&head.recording_id).await,
            None => LastWords::default(),
        }
    }

    /// Tries until the store has it. The state says FAILED after [`TRIES`], and FINISHED when it was stored after all.
    pub(super) async fn store(&self, head: &RecordingHead, path: PathBuf, ruling: Option<&Ruling>, last: &LastWords) -> RecordingState {
        let spool = SpoolFile::at(path);
        let mut pause = PAUSE_FIRST;
        let mut tried = 0;
        let stored = loop {
            // Due, deleted and recorded as such while this was elsewhere: it is not stored after all (P9).
            if matches!(self.world.database.retention(&head.recording_id).await, Ok(Some(item)) if item.deleted_at.is_some()) {
                tracing::warn!(recording.id = %head.recording_id, "recording: deleted by retention before it was stored; its spool is destroyed");
                return self.destroy(head, &spool).await;
            }
            let outcome = match self.keys.fetch(&spool).await {
                Err(why) => Err(Failure::Key(why)),
                Ok(()) => {
                    let Ok(_permit) = self.permits.acquire().await else { return RecordingState::Failed };
                    self.try_store(head, &spool, ruling, last.clone()).await
                }
            };
            tried += 1;
            match outcome {
                Ok(stored) => break Ok(stored),
                Err(why) if why.is_retryable() => {
                    tracing::warn!(recording.id = %head.recording_id, error = %why, "recording: not stored yet; trying again in {pause:?}");
                    if tried == TRIES {
                        self.write(head, RecordingState::Failed, None, Some(why.to_string()), EventKind::RecordingFailed).await;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(why) => break Err(why),
            }
        };
        match stored {
            Ok((manifest, stored, plan)) => {
                if let Some(scribes) = &self.world.scribes {
                    scribes.decided(&head.recording_id, Fate::Kept(Box::new(plan)));
                }
                let (durable, row) =
                    self.put(head, RecordingState::Finished, Some((&manifest, &stored)), None, EventKind::RecordingFinished, false).await;
                tracing::info!(recording.id = %head.recording_id, key = %stored.key, bytes = stored.bytes, "recording: stored");
                if manifest.redactions_complete == Some(false) {
                    tracing::warn!(recording.id = %head.recording_id, "recording: not all of it was heard by its recogniser; what is secret may be audible");
                }
                let done = if manifest.damage.is_some() {
                    // What lies behind the damage is not in the store.
                    spool
                        .set_aside()
                        .map(|aside| tracing::error!(spool = %aside.display(), "spool: damaged; kept, and stored as far as it is whole"))
                } else if durable {
                    spool.destroy().map(|()| {
                        if row.spool_id.is_some() {
                            // From here on any gateway can delete it.
                            submit(&self.world, Work::Recording(Box::new(RecordingRow { spool_id: None, ..row }), None));
                        }
                    })
                } else {
                    tracing::warn!(recording.id = %head.recording_id, "spool: kept: the database does not say yet that its recording is stored");
                    Ok(())
                };
                if let Err(why) = done {
                    tracing::error!(recording.id = %head.recording_id, error = %why, "spool: stored, but could not be removed");
                }
                RecordingState::Finished
            }
            Err(Failure::Unruled) => Box::pin(self.finish_left(head, spool.path().to_owned())).await,
            Err(why) => {
                tracing::error!(recording.id = %head.recording_id, error = %why, "recording: not stored; its spool is kept and tried again at the next start");
                self.put(head, RecordingState::Failed, None, Some(why.to_string()), EventKind::RecordingFailed, true).await;
                RecordingState::Failed
            }
        }
    }

    async fn try_store(
        &self,
        head: &RecordingHead,
        spool: &SpoolFile,
        ruling: Option<&Ruling>,
        last: LastWords,
    ) -> Result<(Manifest, Stored, Plan), Failure> {
        let (spool, keys, mut told) = (spool.clone(), Arc::clone(&self.keys), head.clone());
        // Which bytes were played, only their digest tells: after a restart other prompts may be in force.
        let prompt = told.lead.as_ref().and_then(|lead| self.world.settings.prompts.of_digest(&lead.sha256));
        if prompt.is_none() && told.lead.take().is_some() {
            tracing::warn!(recording.id = %told.recording_id, "recording: the prompt it began with is not there any more; it begins without");
        }
        let lead = told.lead.as_ref().map_or(0, |lead| lead.samples);
        let late =
            ruling.and_then(|ruling| ruling.cut.clone()).map(|(stream_sid, ms)| LateCut { stream_sid, at: Place::of(MediaTime(ms)) });
        let measuring = (spool.clone(), Arc::clone(&keys));
        let plan = tokio::task::spawn_blocking(move || {
            let (spool, keys) = measuring;
            let plan = Plan::of(|| spool.records(&keys), lead, last.cut)?.silent(&last.silences, last.all_heard);
            if plan.sealed || late.is_none() {
                Ok(plan)
            } else {
                Ok(Plan::of(|| spool.records(&keys), lead, late)?.silent(&last.silences, last.all_heard))
            }
        });
        let plan = plan.await.map_err(io::Error::other).and_then(|plan| plan).map_err(Failure::Spool)?;
        if !plan.sealed && ruling.is_none() {
            return Err(Failure::Unruled);
        }
        let (to, bytes) = mpsc::channel(PIECES);
        let measured = plan.clone();
        let (tell, sha256) = oneshot::channel();
        let encoding = tokio::task::spawn_blocking(move || {
            let encoded = encode(&spool, &keys, &told, prompt, &plan, &to);
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
        Ok((manifest, stored, measured))
    }

    /// Writes what became of a recording: its row, its line in the chain, and its call as others see it. Tells whether the
    /// row is durable.
    pub(super) async fn write(
        &self,
        head: &RecordingHead,
        state: RecordingState,
        stored: Option<(&Manifest, &Stored)>,
        reason: Option<String>,
        kind: EventKind,
    ) -> bool {
        self.put(head, state, stored, reason, kind, false).await.0
    }

    /// The same, with the row. `lost`: nothing of it is stored, nor will be before somebody has mended something.
    async fn put(
        &self,
        head: &RecordingHead,
        state: RecordingState,
        stored: Option<(&Manifest, &Stored)>,
        reason: Option<String>,
        kind: EventKind,
        lost: bool,
    ) -> (bool, RecordingRow) {
        // What is discarded was destroyed before that is said.
        let mut row = row(head, state, self.spool_id.as_deref().filter(|_| state != RecordingState::Discarded));
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
            "redactionsComplete": stored.and_then(|(manifest, _)| manifest.redactions_complete),
            "why": reason,
        });
        submit(&self.world, Work::Audit(event(head, kind, detail), None));
        let (done, durable) = oneshot::channel();
        let then: Then<bool> = Box::new(move |written| {
            let _ = done.send(written);
        });
        submit(&self.world, Work::Recording(Box::new(row.clone()), Some(then)));
        let durable = durable.await == Ok(true);
        self.say(&head.call_id, &head.recording_id, state, reason, lost).await;
        (durable, row)
    }

    /// Nothing of a call that is over is stored, nor will be before somebody has mended something: a call without a recording, for
    /// its case manager as for everybody.
    pub(super) async fn lost(&self, call_id: &str, recording_id: &str, why: String) {
        self.say(call_id, recording_id, RecordingState::Failed, Some(why), true).await;
    }

    pub(super) async fn tell_call(&self, call_id: &str, recording_id: &str, state: RecordingState, reason: Option<String>) {
        self.say(call_id, recording_id, state, reason, false).await;
    }

    async fn say(&self, call_id: &str, recording_id: &str, state: RecordingState, reason: Option<String>, lost: bool) {
        let live = self.registry.get(call_id);
        if let Some(live) = &live {
            if lost {
                live.lose();
            }
            let over = live.conclude(state, reason.clone());
            write(&self.world, live);
            if over {
                self.world.database.ledger().flush().await;
                self.registry.remove(live);
            }
        }
        // One that another gateway has taken over is told of in that one's words, as one of before a restart is.
        if live.is_none_or(|live| live.is_disowned())
            && let Ok(Some(mut row)) = self.world.database.call(call_id).await
        {
            // It is over, whatever it was when the process died.
            let was_lost = row.state["recording"]["state"] == "FAILED" && !row.is_recorded;
            if lost && row.is_recorded {
                row.is_recorded = false;
                if row.state["unrecordedReason"].is_null() {
                    row.state["unrecordedReason"] = json!(UnrecordedReason::SystemError);
                }
            } else if state == RecordingState::Finished && was_lost {
                row.is_recorded = true;
            }
            row.state["isRecorded"] = json!(row.is_recorded);
            row.state["recording"]["state"] = json!(state);
            row.state["recording"]["reason"] = json!(reason);
            row.state["recording"]["recordingId"] = json!(recording_id);
            if row.ended_at.is_none() {
                end(&mut row);
            }
            submit(&self.world, Work::Call(Box::new(row)));
        }
    }
}
