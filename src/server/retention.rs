//! The retention sweep (P9): what is due is deleted, looked for again, and only then recorded as deleted.
//!
//! Spool and key go first, so that nothing can be stored anew; then every version of the audio, of its manifest and of its transcripts in the
//! object store, which looks again by itself. A hold beats the date. What cannot be deleted stays in the queue with the reason, is told, and
//! is tried again by the next pass. Claims expire, so that many nodes may sweep and a dead one holds nothing up.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;

use super::artifacts::{ArtifactsDue, Owners};
use super::config::Config;
use super::metrics::Metrics;
use super::registry::Registry;
use super::seal::InHand;
use super::{StartError, ids};
use crate::engine::call::RecordingState;
use crate::engine::consent::Actor;
use crate::engine::ledger::{Event, EventKind};
use crate::engine::time::WallTime;
use crate::io::clock::wall;
use crate::io::database::{Act, Acted, Claim, Database, DatabaseError, RecordingRow, RetentionRow, Work};
use crate::io::lock::FolderLock;
use crate::io::objects::{Deleted, ObjectStore};
use crate::io::recording::object_key_of;
use crate::io::spool::{destroy_all_of, files_of, known_spool_id};
use crate::io::webhook::Webhook;

/// `serve` sweeps at its start, and then this often.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);
/// A claim that is older is void: whoever made it is dead.
const CLAIM_FOR_MS: i64 = 15 * 60 * 1_000;
/// One recording is given up for this pass after so long: well before its claim is void.
const DELETE_WITHIN: Duration = Duration::from_secs(10 * 60);
/// Recordings of one pass; the next one goes on.
const ITEMS_MAX: usize = 100_000;
/// A recording that was stored, and of which the store has never heard, may lie in another store.
const NOT_FOUND: &str = "nothing of it was found in the store: is CALLGATE_OBJECTS where it was stored? \
    If it was removed by other means, set its RetentionItem.lastError to NULL and sweep again";
/// What every recording that another disk has is said to be.
const OUT_OF_REACH: &str = "part of it may lie in a spool that cannot be reached from here";
/// Rows of the queue read at once.
const PAGE: u32 = 500;

/// What a pass did.
#[derive(Debug, Default)]
pub struct Swept {
    /// A line a recording that was due, in the order of their ids.
    pub lines: Vec<SweptLine>,
    /// Artifacts that other systems hold.
    pub artifacts: ArtifactsDue,
}

/// What became of one recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SweptLine {
    /// Which.
    pub recording_id: String,
    /// Whose.
    pub client_id: String,
    /// Since when it is due.
    pub due_at: String,
    /// What became of it.
    pub outcome: SweepOutcome,
}

/// What can become of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SweepOutcome {
    /// It is gone, and that is recorded.
    Deleted,
    /// A legal hold keeps it.
    Held,
    /// It would have been deleted; this was a dry run.
    WouldDelete,
    /// It is still there, or nobody can tell.
    Failed(String),
}

impl Swept {
    /// How many ended so.
    #[must_use]
    pub fn count(&self, is: impl Fn(&SweepOutcome) -> bool) -> usize {
        self.lines.iter().filter(|line| is(&line.outcome)).count()
    }

    /// How many were due and could not be deleted.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, SweepOutcome::Failed(_)))
    }
}

/// One pass over the configured database and store, by a process that is no gateway.
///
/// # Errors
/// [`StartError`] says what to mend.
pub async fn sweep(config: &Config, as_of: WallTime, dry_run: bool) -> Result<Swept, StartError> {
    let database = Database::open(config.database_url.as_str()).await?;
    let objects = Arc::new(ObjectStore::open(&config.objects).await?);
    let owners = match &config.webhook {
        Some((url, secret)) if !dry_run => {
            let what = "what is in CALLGATE_WEBHOOK_URL cannot be posted to".to_owned();
            Some(Webhook::new(url.as_str(), secret.clone()).map_err(|source| StartError::Local { what, source })?)
        }
        Some(_) | None => None,
    };
    let owners = Owners::new(database.clone(), owners, Metrics::new());
    let spools = Spools::Anyones(config.data_dir.clone());
    let sweeper = Sweeper::new(database, objects, &config.data_dir, spools).map_err(StartError::spool_id)?;
    if dry_run {
        return Ok(Swept { artifacts: owners.look(as_of).await?, ..sweeper.look(as_of).await? });
    }
    let swept = sweeper.pass(as_of).await?;
    Ok(Swept { artifacts: owners.pass(as_of).await?, ..swept })
}

/// Who deletes.
pub(super) struct Sweeper {
    database: Database,
    objects: Arc<ObjectStore>,
    spool: PathBuf,
    /// What that is called, if it has a name.
    spool_id: Option<String>,
    spools: Spools,
    me: String,
}

/// Whose the local spools are.
pub(super) enum Spools {
    /// This gateway's: what it is capturing or storing is not touched.
    Ours(Arc<Registry>, InHand),
    /// Of whoever holds this data folder; nobody may while one is destroyed.
    Anyones(PathBuf),
}

/// What a deletion saw.
struct Seen {
    keys: Vec<String>,
    objects: Deleted,
    spool_files: u32,
}

impl Sweeper {
    pub(super) fn new(database: Database, objects: Arc<ObjectStore>, data_dir: &Path, spools: Spools) -> io::Result<Self> {
        let spool_id = known_spool_id(data_dir)?;
        Ok(Self { database, objects, spool: data_dir.join("spool"), spool_id, spools, me: ids::fresh("sweep") })
    }

    /// Sweeps for as long as the gateway runs.
    pub(super) async fn run(self) {
        loop {
            match self.pass(wall()).await {
                Ok(swept) if swept.lines.is_empty() => {}
                Ok(swept) => {
                    let deleted = swept.count(|outcome| *outcome == SweepOutcome::Deleted);
                    tracing::info!(deleted, failed = swept.failed(), due = swept.lines.len(), "retention: swept");
                }
                Err(why) => tracing::error!(error = %why, "retention: the queue cannot be read; it is swept again in an hour"),
            }
            tokio::time::sleep(SWEEP_EVERY).await;
        }
    }

    /// What a pass would do.
    async fn look(&self, as_of: WallTime) -> Result<Swept, DatabaseError> {
        let would = |held| if held { SweepOutcome::Held } else { SweepOutcome::WouldDelete };
        let due = self.due(as_of).await?;
        Ok(Swept { lines: due.into_iter().map(|(item, held)| line(item, would(held))).collect(), ..Swept::default() })
    }

    /// Deletes what is due.
    pub(super) async fn pass(&self, as_of: WallTime) -> Result<Swept, DatabaseError> {
        let mut lines: Vec<_> =
            self.due(as_of).await?.into_iter().filter(|(_, held)| *held).map(|(item, _)| line(item, SweepOutcome::Held)).collect();
        let mut after = String::new();
        for _ in 0..ITEMS_MAX {
            let now = wall();
            let until = WallTime(now.0 + CLAIM_FOR_MS);
            let claim = Claim { by: self.me.clone(), as_of, after: after.clone(), now, until };
            let item = match self.act(Act::Claim(claim)).await {
                Some(Acted::Claimed(Some(item))) => item,
                Some(Acted::Claimed(None)) => break,
                Some(_) | None => return Err(DatabaseError::Away("nothing more can be claimed for deletion")),
            };
            after.clone_from(&item.recording_id);
            let outcome = self.settle(&item).await;
            lines.push(line(item, outcome));
        }
        lines.sort_by(|one, other| one.recording_id.cmp(&other.recording_id));
        Ok(Swept { lines, ..Swept::default() })
    }

    async fn due(&self, as_of: WallTime) -> Result<Vec<(RetentionRow, bool)>, DatabaseError> {
        let mut all: Vec<(RetentionRow, bool)> = Vec::new();
        while all.len() < ITEMS_MAX {
            let after = all.last().map_or("", |(item, _)| item.recording_id.as_str());
            let page = self.database.due(as_of, after, PAGE).await?;
            let over = page.len() < PAGE as usize;
            all.extend(page);
            if over {
                break;
            }
        }
        Ok(all)
    }

    /// Deletes one and writes what came of it.
    async fn settle(&self, item: &RetentionRow) -> SweepOutcome {
        let begin =
            Act::BeginDeletion { recording_id: item.recording_id.clone(), org_id: item.org_id.clone(), by: self.me.clone(), at: wall() };
        match self.act(begin).await {
            Some(Acted::Done(true)) => {}
            // It was placed since the claim, and is in force.
            Some(_) => return SweepOutcome::Held,
            None => return SweepOutcome::Failed("the database could not say that no hold keeps it; run the sweep again".to_owned()),
        }
        let deleted = match tokio::time::timeout(DELETE_WITHIN, self.delete(item)).await {
            Ok(deleted) => deleted,
            Err(_) => Err(format!("the object store did not delete it within {DELETE_WITHIN:?}")),
        };
        let recording_id = item.recording_id.clone();
        let seen = match deleted {
            Ok(seen) => seen,
            Err(why) => {
                tracing::error!(recording.id = %recording_id, error = %why, "retention: due and not deleted; tried again by the next sweep");
                self.act(Act::NotDeleted { recording_id, by: self.me.clone(), why: why.clone() }).await;
                return SweepOutcome::Failed(why);
            }
        };
        let at = wall();
        let event = Event {
            org_id: item.org_id.clone(),
            kind: EventKind::RecordingDeleted,
            actor: Actor::System,
            call_id: Some(item.call_id.clone()),
            client_id: Some(item.client_id.clone()),
            at,
            position: None,
            detail: json!({
                "recordingId": recording_id,
                "dueAt": item.due_at,
                "keys": seen.keys,
                "versions": seen.objects.versions,
                "uploads": seen.objects.uploads,
                "spoolFiles": seen.spool_files,
                "gone": seen.objects.gone,
            }),
        };
        match self.act(Act::Deleted { recording_id, by: self.me.clone(), at, event }).await {
            Some(Acted::Done(true)) => {
                tracing::info!(recording.id = %item.recording_id, versions = seen.objects.versions, "retention: deleted");
                SweepOutcome::Deleted
            }
            Some(_) => SweepOutcome::Failed("another sweep took it over; run the sweep again".to_owned()),
            None => SweepOutcome::Failed("it is deleted, and the database could not say so yet; run the sweep again".to_owned()),
        }
    }

    async fn delete(&self, item: &RetentionRow) -> Result<Seen, String> {
        let row = self.database.recording(&item.recording_id).await.map_err(|why| why.to_string())?;
        let row = row.ok_or("its row is gone from the table Recording; delete its objects by hand")?;
        let spool_files = self.destroy_spool(&row).await?;
        let base = match &row.object_key {
            Some(key) => key.rsplit_once('.').map_or(key.as_str(), |(base, _)| base).to_owned(),
            // Nobody has noted that it was stored; it may have been, or half of it.
            None => object_key_of(&row.org_id, &row.created_at, &row.id),
        };
        let mut seen = Seen { keys: Vec::new(), objects: Deleted { gone: true, ..Deleted::default() }, spool_files };
        // What was said in it goes first: of a transcript nobody may read the rest.
        let transcripts = self.database.transcripts(&row.id).await.map_err(|why| why.to_string())?;
        if transcripts.iter().any(|version| version.is_being_stored(wall())) {
            return Err("a version of its transcript is being stored; run the sweep again".to_owned());
        }
        let words = transcripts.into_iter().map(|version| version.object_key);
        for key in words.chain([format!("{base}.{}", row.format), format!("{base}.json")]) {
            let deleted = self.objects.delete(&key).await.map_err(|why| why.to_string())?;
            if !deleted.gone {
                return Err(format!("object {key} is still there after it was deleted; does the store's policy or a lock keep it?"));
            }
            seen.objects.versions += deleted.versions;
            seen.objects.uploads += deleted.uploads;
            seen.keys.push(key);
        }
        // An attempt that died after it had deleted left no reason behind: then nothing is what is to be found.
        let first = item.attempts <= 1 || item.last_error.as_deref().is_some_and(|why| why == NOT_FOUND || why.starts_with(OUT_OF_REACH));
        if row.object_key.is_some() && seen.objects.versions == 0 && first {
            return Err(NOT_FOUND.to_owned());
        }
        Ok(seen)
    }

    /// Destroys what there is of a recording on this machine, unless somebody works on it.
    async fn destroy_spool(&self, row: &RecordingRow) -> Result<u32, String> {
        if let Some(elsewhere) = row.spool_id.as_deref().filter(|id| self.spool_id.as_deref() != Some(id)) {
            return Err(format!(
                "{OUT_OF_REACH}: {elsewhere}, the name in spool.id of its data folder; the gateway on that folder deletes it. \
                 If that disk was destroyed, set this Recording.spoolId to NULL and sweep again"
            ));
        }
        let there = files_of(&self.spool, &row.id);
        let _lock = match &self.spools {
            Spools::Ours(registry, in_hand) => {
                if registry.get(&row.call_id).is_some() || in_hand.holds(&row.id) {
                    return Err("its call is not over, or it is still being stored".to_owned());
                }
                None
            }
            // A recording that begins has a row before it has a file.
            Spools::Anyones(folder) if !there.is_empty() || row.state == RecordingState::Active => {
                let lock = FolderLock::take(folder);
                Some(lock.map_err(|why| format!("its audio is in a gateway's spool, and that gateway deletes it itself: {why}"))?)
            }
            Spools::Anyones(_) => None,
        };
        let (folder, id) = (self.spool.clone(), row.id.clone());
        let destroyed = tokio::task::spawn_blocking(move || destroy_all_of(&folder, &id)).await;
        let destroyed = destroyed.map_err(io::Error::other).and_then(|done| done);
        let count = destroyed.map_err(|why| format!("its spool cannot be destroyed: {why}"))?;
        if files_of(&self.spool, &row.id).is_empty() {
            Ok(count)
        } else {
            Err("its spool is still there after it was destroyed".to_owned())
        }
    }

    async fn act(&self, act: Act) -> Option<Acted> {
        let (done, acted) = oneshot::channel();
        let handed_in = self.database.ledger().append(Work::Act(act, Box::new(move |acted| drop(done.send(acted)))));
        if handed_in.is_err() {
            return None;
        }
        acted.await.ok().flatten()
    }
}

fn line(item: RetentionRow, outcome: SweepOutcome) -> SweptLine {
    SweptLine { recording_id: item.recording_id, client_id: item.client_id, due_at: item.due_at, outcome }
}
