//! Spools that no call has ended: left by a crash, by a full disk, by a writer that could not keep up.
//!
//! Whether such a recording may be kept, and how much of it counts, is what the ledger says, not what the file says: an
//! opt-out is durable there within milliseconds, while its cut may never have reached the spool. What cannot be read has
//! an outcome of its own, and keeps nobody else from theirs.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::live::{event, submit};
use super::scribe::{LastWords, Scribes};
use super::seal::{PAUSE_FIRST, PAUSE_MAX, Sealer, TRIES};
use super::unjudged;
use crate::engine::call::{OnOptOut, RecordingState};
use crate::engine::consent::Actor;
use crate::engine::ledger::{Event, EventKind};
use crate::engine::time::WallTime;
use crate::io::clock::wall;
use crate::io::database::{CallRow, Ruling, Work};
use crate::io::spool::{NotFetched, RecordingHead, SpoolFile, Unreadable, left_behind};

/// Whether a call is over is looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Calls that a process left open, closed at the next start at most.
const LEFT_OPEN_MAX: u32 = 100_000;

/// Writes into a row that its call is over.
pub(super) fn end(row: &mut CallRow) {
    let now = wall();
    let seconds = WallTime::parse(&row.started_at).map(|start| (now.0 - start.0).max(0) / 1_000);
    row.state["phase"] = json!("ENDED");
    row.state["endedAt"] = json!(now);
    row.state["durationSeconds"] = json!(seconds);
    // Nobody holds up what is over.
    row.state["recording"]["pauses"] = json!([]);
    row.phase = "ENDED".to_owned();
    row.ended_at = Some(now.to_string());
}

impl Sealer {
    /// Calls that had streams when their gateway died are over: no media stream ever comes back. `node`: that gateway, where
    /// several share a database.
    pub(super) async fn close_left_open(&self, node: Option<&str>) -> io::Result<()> {
        let database = &self.world.database;
        let mut rows = database.calls_left_open(node, LEFT_OPEN_MAX).await.map_err(io::Error::other)?;
        unjudged::write(&self.world, &mut rows).await?;
        for mut row in rows {
            tracing::warn!(call.id = %row.id, "call: it was live when the gateway died; closed");
            if !row.is_recorded && row.state["unrecordedReason"].is_null() {
                row.state["unrecordedReason"] = json!("SYSTEM_ERROR");
                let died = Event {
                    org_id: row.org_id.clone(),
                    kind: EventKind::CallUnrecorded,
                    actor: Actor::System,
                    call_id: Some(row.id.clone()),
                    client_id: Some(row.client_id.clone()),
                    at: wall(),
                    position: None,
                    detail: json!({ "reason": "SYSTEM_ERROR", "why": "the gateway died during the call" }),
                };
                submit(&self.world, Work::Audit(died, None));
            }
            end(&mut row);
            submit(&self.world, Work::Call(Box::new(row)));
        }
        database.ledger().flush().await;
        Ok(())
    }

    /// What lies in the folder at the start: with a durable grant it is finished and stored, without one it is destroyed.
    /// What only AWS KMS opens, and does not now, is left where it is and tried again later. Noes come first: they may be what
    /// decides of a spool.
    pub(super) async fn recover(&self, folder: PathBuf) -> io::Result<()> {
        self.world.noes.recover(&folder, &self.keys).await?;
        let mut locked = Vec::new();
        for spool in left_behind(&folder)? {
            // Who did not open one would let the start wait for every other.
            if !locked.is_empty() && self.keys.needs_fetching(&spool) {
                locked.push(spool);
                continue;
            }
            match self.keys.fetch(&spool).await {
                Ok(()) => self.recover_one(&spool).await?,
                Err(NotFetched::Away(why)) => {
                    tracing::error!(why, "spool: what was left cannot be opened now; it is kept and tried again");
                    locked.push(spool);
                }
                Err(why @ NotFetched::Refused(_)) => self.unreadable(&spool, &Unreadable::Locked(io::Error::other(why))).await,
            }
        }
        if !locked.is_empty() {
            tokio::spawn(self.clone().recover_later(locked));
        }
        Ok(())
    }

    /// Tries until each has been opened, or never will be. Their rows say FAILED after [`TRIES`] rounds.
    async fn recover_later(self, mut locked: Vec<SpoolFile>) {
        let mut pause = PAUSE_FIRST;
        let mut tried = 0;
        while !locked.is_empty() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
            tried += 1;
            let mut still = Vec::new();
            // What retention deleted meanwhile is settled.
            for spool in locked.into_iter().filter(|spool| spool.path().exists()) {
                let outcome = self.keys.fetch(&spool).await;
                match outcome {
                    Ok(()) => {
                        if let Err(why) = self.recover_one(&spool).await {
                            tracing::error!(spool = %spool.path().display(), error = %why, "spool: kept: nobody can tell what allows it; trying again");
                            still.push(spool);
                        }
                    }
                    Err(NotFetched::Away(why)) => {
                        if tried == TRIES {
                            self.settle(&spool.recording_id(), RecordingState::Failed, why).await;
                        }
                        still.push(spool);
                    }
                    Err(why @ NotFetched::Refused(_)) => self.unreadable(&spool, &Unreadable::Locked(io::Error::other(why))).await,
                }
            }
            locked = still;
        }
    }

    async fn recover_one(&self, spool: &SpoolFile) -> io::Result<()> {
        let head = match spool.look(&self.keys) {
            Ok(head) => head,
            Err(why) => {
                self.unreadable(spool, &why).await;
                return Ok(());
            }
        };
        match self.world.database.grant_is_durable(&head.org_id, head.grant_seq, &head.consent.id).await {
            Ok(true) => {
                tracing::info!(recording.id = %head.recording_id, "spool: left by a crash; being stored");
                let (sealer, path) = (self.clone(), spool.path().to_owned());
                let held = self.in_hand.take(&head.recording_id);
                self.pending.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let state = sealer.finish_left(&head, path).await;
                    sealer.count(state);
                    drop(held);
                    sealer.pending.fetch_sub(1, Ordering::SeqCst);
                });
            }
            Ok(false) => {
                tracing::warn!(recording.id = %head.recording_id, "spool: destroyed: no durable consent allows it");
                if let Err(why) = spool.destroy() {
                    tracing::error!(recording.id = %head.recording_id, error = %why, "spool: could not be destroyed; tried again at the next start");
                    return Ok(());
                }
                let detail = json!({ "recordingId": head.recording_id });
                submit(&self.world, Work::Audit(event(&head, EventKind::SpoolDestroyed, detail), None));
            }
            Err(why) => return Err(io::Error::other(why)),
        }
        Ok(())
    }

    /// Finishes a recording that its call did not: destroyed if the ledger says so, else stored as far as it counts.
    pub(super) async fn finish_left(&self, head: &RecordingHead, path: PathBuf) -> RecordingState {
        // While people still talk, the client may still say no to all of it.
        while self.registry.get(&head.call_id).is_some_and(|live| !live.is_over()) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let spool = SpoolFile::at(path);
        self.fetch(head, &spool).await;
        match spool.look(&self.keys) {
            Ok(_) => {}
            Err(why) => {
                self.unreadable(&spool, &why).await;
                // It may have said FAILED before, when there was still something to store.
                if !matches!(why, Unreadable::Shredded) {
                    self.lost(&head.call_id, &head.recording_id, why.to_string()).await;
                }
                return RecordingState::Failed;
            }
        }
        let ruling = self.ruling(head).await;
        let discards = self.world.settings.on_opt_out == OnOptOut::DiscardCall;
        if ruling.discarded || (ruling.revoked && discards) {
            return self.destroy(head, &spool).await;
        }
        let (shed, keys) = (spool.clone(), std::sync::Arc::clone(&self.keys));
        let shed = tokio::task::spawn_blocking(move || shed.shed_cuts(&keys)).await.map_err(io::Error::other);
        if let Err(why) = shed.and_then(|done| done) {
            tracing::warn!(recording.id = %head.recording_id, error = %why, "spool: not written anew; what was cut is not published");
        }
        let unheard = self.world.scribes.as_ref().map_or_else(LastWords::default, Scribes::unheard);
        self.store(head, spool.path().to_owned(), Some(&ruling), &unheard).await
    }

    /// Has the spool's key at hand, as soon as who keeps it answers. What is refused is told by whoever reads it.
    async fn fetch(&self, head: &RecordingHead, spool: &SpoolFile) {
        let mut pause = PAUSE_FIRST;
        while let Err(NotFetched::Away(why)) = self.keys.fetch(spool).await {
            tracing::warn!(recording.id = %head.recording_id, why, "spool: cannot be opened now; trying again in {pause:?}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// What the chain says, as soon as it answers.
    async fn ruling(&self, head: &RecordingHead) -> Ruling {
        loop {
            self.world.database.ledger().flush().await;
            match self.world.database.ruling(&head.org_id, &head.call_id).await {
                Ok(ruling) => return ruling,
                Err(why) => {
                    tracing::error!(recording.id = %head.recording_id, error = %why, "recording: nobody can tell what counts of it; asking again");
                    tokio::time::sleep(PAUSE_FIRST).await;
                }
            }
        }
    }

    /// Destroys a spool, however long the disk refuses.
    pub(super) async fn destroy(&self, head: &RecordingHead, spool: &SpoolFile) -> RecordingState {
        let mut pause = PAUSE_FIRST;
        while let Err(why) = spool.destroy() {
            tracing::error!(recording.id = %head.recording_id, error = %why, "spool: must be destroyed and cannot be; trying again in {pause:?}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        self.write(head, RecordingState::Discarded, None, None, EventKind::RecordingDiscarded).await;
        RecordingState::Discarded
    }

    async fn unreadable(&self, spool: &SpoolFile, why: &Unreadable) {
        let (file, id) = (spool.path().display(), spool.recording_id());
        match why {
            Unreadable::Empty | Unreadable::Shredded => {
                tracing::warn!(spool = %file, "spool: removed: {why}");
                if let Err(why) = spool.destroy() {
                    tracing::error!(spool = %file, error = %why, "spool: could not be removed");
                }
            }
            Unreadable::Foreign | Unreadable::Locked(_) | Unreadable::Damaged | Unreadable::Disk(_) => {
                tracing::error!(spool = %file, "spool: kept: {why}; bring back its key or the file, and start again");
            }
        }
        let state = match why {
            Unreadable::Shredded => RecordingState::Discarded,
            Unreadable::Empty | Unreadable::Foreign | Unreadable::Locked(_) | Unreadable::Damaged | Unreadable::Disk(_) => {
                RecordingState::Failed
            }
        };
        self.settle(&id, state, why.to_string()).await;
    }

    /// Says that a recording is lost from here.
    pub(super) async fn fail(&self, recording_id: &str, why: String) {
        self.settle(recording_id, RecordingState::Failed, why).await;
    }

    /// Says of a recording whose head is not at hand what became of it, unless that was said before.
    async fn settle(&self, id: &str, state: RecordingState, reason: String) {
        let Ok(Some(mut row)) = self.world.database.recording(id).await else { return };
        if matches!(row.state, RecordingState::Finished | RecordingState::Discarded) || row.state == state {
            return;
        }
        row.state = state;
        if state == RecordingState::Discarded {
            row.spool_id = None; // it was destroyed before that is said
        }
        row.reason = Some(reason.clone());
        row.finished_at = Some(wall().to_string());
        let kind = if state == RecordingState::Discarded { EventKind::RecordingDiscarded } else { EventKind::RecordingFailed };
        let told = Event {
            org_id: row.org_id.clone(),
            kind,
            actor: Actor::System,
            call_id: Some(row.call_id.clone()),
            client_id: Some(row.client_id.clone()),
            at: wall(),
            position: None,
            detail: json!({ "recordingId": id, "why": reason }),
        };
        submit(&self.world, Work::Audit(told, None));
        let call_id = row.call_id.clone();
        submit(&self.world, Work::Recording(Box::new(row), None));
        if state == RecordingState::Failed {
            self.lost(&call_id, id, reason).await;
        } else {
            self.tell_call(&call_id, id, state, Some(reason)).await;
        }
    }
}
