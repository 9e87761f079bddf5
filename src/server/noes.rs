//! A client's no, from the moment at which a gate has shut for it until the ledger has it: it is kept and tried again for as long
//! as the process lives, whatever becomes of its call, and counts as a no meanwhile (P2). One that the database does not take at
//! once lies beside the spool as well, so that the next process writes it if this one cannot. What takes back a yes that was none
//! is kept like it, and counts meanwhile as well.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use futures_util::future::join_all;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::metrics::Metrics;
use crate::engine::consent::{Actor, ConsentRecord};
use crate::engine::ledger::{Event, EventKind};
use crate::engine::time::WallTime;
use crate::io::clock::wall;
use crate::io::database::{Act, Acted, Database, Revocation, Revoked, Work};
use crate::io::spool::{NotFetched, SpoolFile, SpoolKeys, keep_no, noes_left_behind};

/// Noes that wait for the database at once; one more waits on the disk alone, until there is room.
pub(super) const NOES_MAX: usize = 16_384;
/// A database that is well takes one within this; then it lies on the disk as well.
const ASIDE_AFTER: Duration = Duration::from_millis(500);
/// A record that stands so much later than it says has a line of its own beside it.
const LATE_AFTER_MS: i64 = 3_000;
/// Pauses between tries double from the one to the other. When one is taken all others are tried at once.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// What an earlier process left is handed in at the start, and waited for so long.
const RECOVERED_WITHIN: Duration = Duration::from_secs(5);
/// Lines of a client's history that are looked through for a no of before.
const HISTORY_MAX: u32 = 500;

/// Every no that is not in the ledger yet.
pub struct Noes {
    database: Database,
    keys: Arc<SpoolKeys>,
    folder: PathBuf,
    metrics: Arc<Metrics>,
    tokio: Handle,
    /// So many at once.
    room: usize,
    /// By organisation and client.
    kept: DashMap<(String, String), Vec<Kept>>,
    count: AtomicUsize,
    /// More lie in the folder than are kept here.
    spilled: AtomicBool,
    /// One was written.
    written: Notify,
}

/// What is kept of a client's, the stronger last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Held {
    /// Their yes was none: they stand as if never asked.
    NoYes,
    /// A no.
    No,
}

/// One of them.
struct Kept {
    what: Held,
    record_id: String,
    /// The call that it was said on; none if it came from outside every call.
    call_id: Option<String>,
    at: WallTime,
    waiting: Vec<oneshot::Sender<Revoked>>,
}

impl Noes {
    /// `room`: so many at once; on the current runtime.
    pub(super) fn new(database: Database, keys: Arc<SpoolKeys>, folder: &Path, metrics: Arc<Metrics>, room: usize) -> Arc<Self> {
        Arc::new(Self {
            database,
            keys,
            folder: folder.to_owned(),
            metrics,
            tokio: Handle::current(),
            room,
            kept: DashMap::new(),
            count: AtomicUsize::new(0),
            spilled: AtomicBool::new(false),
            written: Notify::new(),
        })
    }

    /// Keeps a no until it is written; answers then. From any thread, and never waits.
    pub(super) fn keep(self: &Arc<Self>, revocation: Revocation) -> oneshot::Receiver<Revoked> {
        self.take(revocation, None)
    }

    /// `file`: where it lies already.
    fn take(self: &Arc<Self>, revocation: Revocation, file: Option<SpoolFile>) -> oneshot::Receiver<Revoked> {
        let (done, written) = oneshot::channel();
        let record = &revocation.record;
        let mut kept = self.kept.entry(client_of(record)).or_default();
        // Handed in twice, or asked for twice from outside every call: one no, and both hear of it.
        let same = |kept: &&mut Kept| kept.record_id == record.id || (kept.call_id.is_none() && record.call_id.is_none());
        if let Some(same) = kept.iter_mut().find(same) {
            same.waiting.push(done);
            return written;
        }
        if self.count.load(Ordering::Relaxed) >= self.room {
            let is_new = kept.is_empty();
            drop(kept);
            if is_new {
                self.kept.remove_if(&client_of(record), |_, kept| kept.is_empty());
            }
            let noes = Arc::clone(self);
            self.tokio.spawn(async move { noes.spill(&revocation).await });
            return written;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let what = if revocation.annuls() { Held::NoYes } else { Held::No };
        kept.push(Kept { what, record_id: record.id.clone(), call_id: record.call_id.clone(), at: record.at, waiting: vec![done] });
        drop(kept);
        let noes = Arc::clone(self);
        self.tokio.spawn(async move { noes.write(revocation, file).await });
        written
    }

    /// What of a client's is not in the ledger yet.
    pub(super) fn holds(&self, org_id: &str, client_id: &str) -> Option<Held> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.kept.get(&(org_id.to_owned(), client_id.to_owned()))?.iter().map(|kept| kept.what).max()
    }

    /// When a client said the no that is not in the ledger yet: on this call, if one of this call is kept.
    pub(super) fn since(&self, org_id: &str, client_id: &str, call_id: Option<&str>) -> Option<WallTime> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let kept = self.kept.get(&(org_id.to_owned(), client_id.to_owned()))?;
        let noes = || kept.iter().filter(|kept| kept.what == Held::No);
        let of_call = noes().find(|kept| call_id.is_some() && kept.call_id.as_deref() == call_id);
        of_call.or(noes().next()).map(|kept| kept.at)
    }

    /// Waits until every no of a client is in the ledger, and no longer than `bound`. If one is not: when it was said.
    pub(super) async fn settled(&self, org_id: &str, client_id: &str, call_id: &str, bound: Duration) -> Result<(), WallTime> {
        let deadline = Instant::now() + bound;
        loop {
            let written = self.written.notified();
            tokio::pin!(written);
            // Registered before the look: one that is written between the two is not missed.
            written.as_mut().enable();
            let Some(since) = self.since(org_id, client_id, Some(call_id)) else { return Ok(()) };
            if timeout_at(deadline, written).await.is_err() {
                return Err(since);
            }
        }
    }

    /// How many the database did not take at once.
    pub(super) fn late(&self) -> i64 {
        self.metrics.noes_unwritten.get()
    }

    /// What an earlier process left in a folder: handed in, and waited for a while. Until it is written it counts.
    pub(super) async fn recover(self: &Arc<Self>, folder: &Path, keys: &Arc<SpoolKeys>) -> io::Result<()> {
        let mut written = Vec::new();
        for file in noes_left_behind(folder)? {
            match keys.fetch(&file).await {
                Ok(()) => written.extend(self.recover_one(file, keys).await),
                Err(NotFetched::Away(why)) => {
                    tracing::error!(file = %file.path().display(), why, "noes: a client's no cannot be opened now; it is kept and tried again");
                    let (noes, keys) = (Arc::clone(self), Arc::clone(keys));
                    self.tokio.spawn(async move {
                        let mut pause = PAUSE_FIRST;
                        while let Err(NotFetched::Away(_)) = keys.fetch(&file).await {
                            tokio::time::sleep(pause).await;
                            pause = (pause * 2).min(PAUSE_MAX);
                        }
                        noes.recover_one(file, &keys).await;
                    });
                }
                Err(why @ NotFetched::Refused(_)) => unreadable(&file, &why),
            }
        }
        if timeout(RECOVERED_WITHIN, join_all(written)).await.is_err() {
            tracing::error!("noes: what an earlier process left is not written yet; it is kept and tried again");
        }
        Ok(())
    }

    async fn recover_one(self: &Arc<Self>, file: SpoolFile, keys: &Arc<SpoolKeys>) -> Option<oneshot::Receiver<Revoked>> {
        let (read, keys) = (file.clone(), Arc::clone(keys));
        let plain = tokio::task::spawn_blocking(move || read.no(&keys)).await.map_err(io::Error::other).and_then(|read| read);
        let revocation: Revocation = match plain.and_then(|plain| plain.map(|plain| Ok(serde_json::from_slice(&plain)?)).transpose()) {
            Ok(Some(revocation)) => revocation,
            Ok(None) => {
                destroy(file).await;
                return None;
            }
            Err(why) => {
                unreadable(&file, &why);
                return None;
            }
        };
        let record = &revocation.record;
        // The COMMIT came through, and the process died before it heard of it.
        let history = self.database.consent_history(&record.org_id, &record.client_id, HISTORY_MAX).await;
        if history.is_ok_and(|history| history.iter().any(|row| row.record.id == record.id)) {
            destroy(file).await;
            return None;
        }
        tracing::warn!(consent.id = %record.id, call.id = record.call_id, "noes: a client's no that an earlier process could not write is being written");
        Some(self.take(revocation, Some(file)))
    }

    /// The gateway stops: what is kept is tried until `deadline`; of what is not written then the log says where it lies.
    pub(super) async fn finish(&self, deadline: Instant) {
        while self.count.load(Ordering::Relaxed) > 0 {
            let written = self.written.notified();
            let look_again = Instant::now() + Duration::from_millis(20);
            let _ = timeout_at(deadline.min(look_again), written).await;
            if Instant::now() >= deadline {
                break;
            }
        }
        for client in &self.kept {
            for kept in client.value() {
                let file = self.folder.join(format!("{}.no", kept.record_id));
                let place =
                    if file.exists() { "it lies beside the spool, and the next start writes it" } else { "IT IS KEPT NOWHERE ELSE" };
                tracing::error!(consent.id = %kept.record_id, call.id = kept.call_id, since = %kept.at, "noes: a client's no is not in the ledger: {place}; look at the database, and start callgate again on this data folder");
            }
        }
    }

    async fn write(self: Arc<Self>, revocation: Revocation, mut file: Option<SpoolFile>) {
        let recovered = file.is_some();
        let (mut aside, mut failed) = (false, false);
        let mut pause = PAUSE_FIRST;
        let revoked = loop {
            let tried = self.try_to_write(&revocation);
            tokio::pin!(tried);
            let first = if aside { Ok(tried.as_mut().await) } else { timeout(ASIDE_AFTER, tried.as_mut()).await };
            if let Ok(Some(revoked)) = first {
                break revoked;
            }
            if !std::mem::replace(&mut aside, true) {
                self.metrics.noes_unwritten.inc();
            }
            if file.is_none() {
                file = self.put_aside(&revocation).await;
            }
            // It may only have been slow.
            if first.is_err()
                && let Some(revoked) = tried.await
            {
                break revoked;
            }
            if !std::mem::replace(&mut failed, true) {
                tracing::error!(consent.id = %revocation.record.id, call.id = revocation.record.call_id, "noes: the database does not take a client's no; the gate is shut, and it is tried until it is written");
            }
            let _ = timeout(pause, self.written.notified()).await;
            pause = (pause * 2).min(PAUSE_MAX);
        };
        if aside {
            self.metrics.noes_unwritten.dec();
        }
        let late = recovered || wall().0 - revocation.record.at.0 >= LATE_AFTER_MS;
        if late && !revocation.annuls() {
            self.tell_late(&revocation.record);
        }
        if let Some(file) = file {
            destroy(file).await;
        }
        for waiting in self.remove(&revocation.record) {
            let _ = waiting.send(revoked.clone()); // nobody waits any more
        }
        self.written.notify_waiters();
        if self.count.load(Ordering::Relaxed) == 0 && self.spilled.swap(false, Ordering::Relaxed) {
            let (folder, keys) = (self.folder.clone(), Arc::clone(&self.keys));
            if let Err(why) = Box::pin(self.recover(&folder, &keys)).await {
                self.spilled.store(true, Ordering::Relaxed);
                tracing::error!(error = %why, "noes: what waits on the disk alone cannot be looked for; it is at the next start");
            }
        }
    }

    async fn try_to_write(&self, revocation: &Revocation) -> Option<Revoked> {
        let (done, acted) = oneshot::channel();
        let then = Box::new(move |acted| drop(done.send(acted)));
        self.database.ledger().append(Work::Act(Act::Revoke(Box::new(revocation.clone())), then)).ok()?;
        if let Ok(Some(Acted::Revoked(revoked))) = acted.await { Some(revoked) } else { None }
    }

    /// On the disk, where the next process finds it.
    async fn put_aside(&self, revocation: &Revocation) -> Option<SpoolFile> {
        let (folder, keys, record_id) = (self.folder.clone(), Arc::clone(&self.keys), revocation.record.id.clone());
        let plain = serde_json::to_vec(revocation).map_err(io::Error::other);
        let kept = tokio::task::spawn_blocking(move || keep_no(&folder, &keys, &record_id, &plain?)).await;
        match kept.map_err(io::Error::other).and_then(|kept| kept) {
            Ok(file) => Some(file),
            Err(why) => {
                tracing::error!(consent.id = %revocation.record.id, error = %why, "noes: a client's no cannot be kept on the disk either; do not end this process before the database is back");
                None
            }
        }
    }

    /// There is no room for it here.
    async fn spill(&self, revocation: &Revocation) {
        if self.put_aside(revocation).await.is_some() {
            self.spilled.store(true, Ordering::Relaxed);
            tracing::error!(consent.id = %revocation.record.id, "noes: {} wait already; this one waits on the disk alone", self.room);
        }
    }

    /// What the chain says of it besides: that it is as old as its record says, and why it stands so late.
    fn tell_late(&self, record: &ConsentRecord) {
        let event = Event {
            org_id: record.org_id.clone(),
            kind: EventKind::RevocationLate,
            actor: Actor::System,
            call_id: record.call_id.clone(),
            client_id: Some(record.client_id.clone()),
            at: wall(),
            position: None,
            detail: json!({ "recordId": record.id, "saidAt": record.at, "why": "the gate was shut, and the record was not written at once, or not by whoever shut it" }),
        };
        if self.database.ledger().append(Work::Audit(event, None)).is_err() {
            tracing::error!(consent.id = %record.id, "noes: written late, and the chain does not say so: the ledger's queue is full");
        }
    }

    fn remove(&self, record: &ConsentRecord) -> Vec<oneshot::Sender<Revoked>> {
        let client = client_of(record);
        let mut waiting = Vec::new();
        if let Some(mut kept) = self.kept.get_mut(&client)
            && let Some(at) = kept.iter().position(|kept| kept.record_id == record.id)
        {
            waiting = kept.swap_remove(at).waiting;
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        self.kept.remove_if(&client, |_, kept| kept.is_empty());
        waiting
    }
}

fn client_of(record: &ConsentRecord) -> (String, String) {
    (record.org_id.clone(), record.client_id.clone())
}

fn unreadable(file: &SpoolFile, why: &dyn std::fmt::Display) {
    tracing::error!(file = %file.path().display(), "noes: a client's no is kept and cannot be read: {why}; bring back its key or the file, and start again");
}

/// The ledger has it.
async fn destroy(file: SpoolFile) {
    let path = file.path().display().to_string();
    let destroyed = tokio::task::spawn_blocking(move || file.destroy()).await.map_err(io::Error::other).and_then(|done| done);
    if let Err(why) = destroyed {
        tracing::error!(file = path, error = %why, "noes: written, and its file could not be removed; the next start does it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::consent::{ConsentStatus, Method, Queues};
    use sqlx::{ConnectOptions as _, Executor as _};

    fn no(n: usize) -> Revocation {
        let record = ConsentRecord {
            id: format!("call_{n}-c1"),
            org_id: "org".into(),
            client_id: format!("client-{n}"),
            call_id: Some(format!("call_{n}")),
            status: ConsentStatus::Revoked,
            method: Method::Keypress,
            language_code: "en".into(),
            prompt_version: "v1".into(),
            actor: Actor::Client { id: format!("client-{n}") },
            at: WallTime(1_790_000_000_000),
            reason: None,
            evidence: json!({ "level": -31.7 }).into(),
            policy_version: None,
            policy_basis: None,
        };
        Revocation { record, queues: Queues::Nothing }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_there_is_no_room_for_waits_on_the_disk_and_is_written_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/callgate.db", folder.path().display());
        let database = Database::open(&url).await.unwrap();
        let keys = Arc::new(SpoolKeys::in_file(&folder.path().join("keys/spool.key")).unwrap());
        let noes = Noes::new(database.clone(), keys, folder.path(), Metrics::new(), 2);
        let mut other = url.parse::<sqlx::sqlite::SqliteConnectOptions>().unwrap().connect().await.unwrap();
        other.execute("BEGIN EXCLUSIVE").await.unwrap();
        for n in 0..4 {
            drop(noes.keep(no(n)));
        }
        assert!(noes.holds("org", "client-0") == Some(Held::No) && noes.holds("org", "client-9").is_none());
        let lie = || noes_left_behind(folder.path()).unwrap().len();
        for _ in 0..400 {
            if lie() == 4 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert_eq!((lie(), noes.count.load(Ordering::Relaxed)), (4, 2), "two of them on the disk alone");
        other.execute("ROLLBACK").await.unwrap();
        for _ in 0..1_200 {
            if lie() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        for n in 0..4 {
            let history = database.consent_history("org", &format!("client-{n}"), 10).await.unwrap();
            assert!(history.len() == 1 && history[0].record == no(n).record, "{n}: {history:?}");
        }
        assert_eq!((lie(), noes.count.load(Ordering::Relaxed), noes.late()), (0, 0, 0));
    }
}
