//! The writer: everything that waits goes into one transaction, and nobody is answered before its COMMIT.
//!
//! A thousand calls that decide in one second are a handful of fsyncs. Handing work in never waits (P7): the queue is
//! bounded and a full one is an answer. When a transaction fails, everybody who waits is answered at once, so nobody
//! waits longer than [`ANSWER_WITHIN`]; what nobody waits for is kept and tried again, so that an outage leaves no hole.
//!
//! On PostgreSQL several gateways append to the same chains: a transaction first takes the locks of all chains that it
//! will grow, in one order for everybody, and reads their heads after that.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::Row as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::append::{Batch, Heads, Needs, Origin, lock_key};
use super::audience::Audience;
use super::backend::{Address, Backend, Connection, Session, Transaction};
use super::error::{advice, is_its_own_fault};
use super::work::{Work, Written};
use crate::engine::ledger::{Committed, Head};

/// Pieces of work that may wait; one more is refused.
pub const LEDGER_QUEUE_MAX: usize = 16_384;
/// Pieces of work in one transaction at most.
const GROUP_MAX: usize = 2_048;
/// Pieces kept through an outage at most; what comes then is lost, and that is logged.
const BACKLOG_MAX: usize = 16_384;
/// A transaction that takes longer has failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long a failed database is left alone, unless somebody asks.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The queue is full, or the gateway is over: the database cannot keep up.
#[derive(Debug, thiserror::Error)]
#[error("ledger queue is full: the database cannot keep up")]
pub struct LedgerFull(pub Box<Work>);

/// A handle on the writer. Cheap to clone; usable from any thread.
#[derive(Clone)]
pub struct Ledger {
    queue: mpsc::Sender<Item>,
    commits: Arc<AtomicU64>,
    waiting: Arc<AtomicU64>,
    audience: Arc<Audience>,
}

/// What stands in the queue.
#[expect(clippy::large_enum_variant, reason = "nearly all of it is work, and a box each would be one more allocation")]
enum Item {
    Work(Work),
    Flush(oneshot::Sender<()>),
}

impl Ledger {
    /// `node`: what it writes into calls as their gateway.
    pub(super) fn start(connection: Connection, address: Address, node: Option<Arc<str>>) -> Self {
        let (queue, items) = mpsc::channel(LEDGER_QUEUE_MAX);
        let mut writer = Writer::new(connection, address);
        writer.node = node;
        let (commits, waiting) = (Arc::clone(&writer.commits), Arc::clone(&writer.waiting));
        let audience = Arc::clone(&writer.audience);
        tokio::spawn(writer.run(items));
        Self { queue, commits, waiting, audience }
    }

    /// Hands work in. Never waits; its answer comes within [`ANSWER_WITHIN`] of the transaction that it meets.
    ///
    /// # Errors
    /// [`LedgerFull`] gives it back.
    pub fn append(&self, work: Work) -> Result<(), LedgerFull> {
        match self.queue.try_reserve() {
            Ok(place) => {
                place.send(Item::Work(work));
                Ok(())
            }
            Err(_) => Err(LedgerFull(Box::new(work))),
        }
    }

    /// Waits until everything handed in before has been answered.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.queue.send(Item::Flush(done)).await.is_ok() {
            let _ = wait.await;
        }
    }

    /// Who waits for what commits bring.
    #[must_use]
    pub fn audience(&self) -> &Arc<Audience> {
        &self.audience
    }

    /// Transactions committed so far.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Pieces that the database has not taken yet and that are tried again: 0 while it is well.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }
}

pub(super) struct Writer {
    address: Address,
    /// None after an error: what was rolled back behind sqlx's back, or lost on the way, is not used again.
    connection: Option<Connection>,
    /// Heads of the chains, read once and then followed.
    heads: Heads,
    /// SQLite's word for "another connection has written since": then the heads are read anew.
    data_version: Option<i64>,
    /// What nobody waits for and the database has not taken.
    backlog: VecDeque<Work>,
    /// The end of a transaction that was given up unanswered: it may yet have been committed, and with it the first
    /// so many of the backlog.
    unsure: Option<(String, Head, usize)>,
    /// The last transaction failed; told once.
    failing: bool,
    commits: Arc<AtomicU64>,
    /// How long the backlog is, for others to see.
    waiting: Arc<AtomicU64>,
    audience: Arc<Audience>,
    node: Option<Arc<str>>,
}

impl Writer {
    pub(super) fn new(connection: Connection, address: Address) -> Self {
        Self {
            address,
            connection: Some(connection),
            heads: Heads::default(),
            data_version: None,
            backlog: VecDeque::new(),
            unsure: None,
            failing: false,
            commits: Arc::default(),
            waiting: Arc::default(),
            audience: Arc::default(),
            node: None,
        }
    }

    async fn run(mut self, mut items: mpsc::Receiver<Item>) {
        let mut open = true;
        let mut arrived = Vec::with_capacity(GROUP_MAX);
        while open || !self.backlog.is_empty() {
            let patience = if self.backlog.is_empty() { Duration::MAX } else { RETRY_AFTER };
            if let Ok(0) = timeout(patience, items.recv_many(&mut arrived, GROUP_MAX)).await {
                open = false;
            }
            let mut flushes = Vec::new();
            let group = sort(arrived.drain(..), &mut flushes);
            let taken = self.turn(group).await;
            self.waiting.store(self.backlog.len() as u64, Ordering::Relaxed);
            if !taken {
                // Whoever came meanwhile has waited as well, and would only wait for the same.
                let late: Vec<Item> = std::iter::from_fn(|| items.try_recv().ok()).take(LEDGER_QUEUE_MAX).collect();
                let kept = refuse(sort(late, &mut flushes));
                self.keep(kept);
                self.waiting.store(self.backlog.len() as u64, Ordering::Relaxed);
                if !open {
                    tracing::error!(lost = self.backlog.len(), "ledger: the gateway ends and the database takes nothing");
                    return;
                }
            }
            drop(flushes);
        }
    }

    /// One transaction: the backlog's beginning, then the group. Everybody who waits is answered when it returns.
    pub(super) async fn turn(&mut self, group: Vec<Work>) -> bool {
        let mut kept = self.backlog.len().min(GROUP_MAX);
        let mut group: Vec<Work> = self.backlog.drain(..kept).chain(group).collect();
        if group.is_empty() {
            return true;
        }
        match timeout(ANSWER_WITHIN, self.write(&mut group, &mut kept)).await {
            Ok(Ok(written)) => {
                self.commits.fetch_add(1, Ordering::Relaxed);
                if std::mem::take(&mut self.failing) {
                    tracing::warn!("ledger: the database takes work again");
                }
                for (work, written) in group.into_iter().zip(written) {
                    match (&work, &written) {
                        (Work::Call(row), Written::NotOurs) => self.audience.call_lost(&row.id),
                        (Work::Call(row), _) => self.audience.call_changed(&row.id),
                        _ => {}
                    }
                    guarded(|| work.answer(written, Committed::after_fsync));
                }
                return true;
            }
            Ok(Err(why)) => {
                self.connection = None;
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(error = %why, "ledger: the database fails: {}", advice(&why));
                }
            }
            Err(_) => {
                // SQLite's statement may still be under way; what comes next on this connection queues behind it.
                // A server finishes or ends its own without us, and holds the chains' locks until it has.
                if matches!(self.connection, Some(Backend::Postgres(_))) {
                    self.connection = None;
                }
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!("ledger: the database did not answer within {ANSWER_WITHIN:?}; look for a stuck disk");
                }
            }
        }
        let end = self.heads.last();
        self.heads.forget();
        self.data_version = None;
        // Nobody waits for what comes from the backlog: all of it is given back.
        let mut again = refuse(group);
        match end {
            Some((org, head)) => {
                let count = again.len();
                self.give_up(again, Some((org, head, count)));
            }
            // Nothing was written: what is new goes behind what waits already, of which a part may be unsure.
            None => {
                let new = again.split_off(kept);
                let unsure = self.unsure.take();
                self.give_up(again, unsure);
                self.keep(new);
            }
        }
        false
    }

    /// Puts work before what waits; `unsure` tells of how much of the front it is not known whether it stands.
    pub(super) fn give_up(&mut self, again: Vec<Work>, unsure: Option<(String, Head, usize)>) {
        self.unsure = unsure;
        for work in again.into_iter().rev() {
            self.backlog.push_front(work);
        }
        self.keep(Vec::new());
    }

    /// `kept`: how many of the group come from the backlog.
    async fn write(&mut self, group: &mut Vec<Work>, kept: &mut usize) -> Result<Vec<Written>, sqlx::Error> {
        match self.transaction(group, kept, Manner::Together).await {
            // One piece that cannot be written does not sink the others.
            Err(why) if is_its_own_fault(&why) => {
                self.heads.forget();
                self.transaction(group, kept, Manner::Apart).await
            }
            done => done,
        }
    }

    async fn transaction(&mut self, group: &mut Vec<Work>, kept: &mut usize, manner: Manner) -> Result<Vec<Written>, sqlx::Error> {
        self.heads.begin();
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.address.writer().await?),
        };
        let mut orgs = Needs::of(group).orgs;
        orgs.extend(self.unsure.iter().map(|(org, ..)| org.clone()));
        let mut locks: Vec<i64> = orgs.iter().map(|org| lock_key(org)).collect();
        locks.sort_unstable();
        locks.dedup();
        let mut transaction = connection.begin(&locks).await?;
        let mut session = transaction.session();
        // With the locks in hand nobody else can write: what is read from here on is so until the COMMIT.
        match &mut session {
            Session::Sqlite(c) => {
                let version = Some(sqlx::query("PRAGMA data_version").fetch_one(&mut **c).await?.try_get(0)?);
                if version != self.data_version {
                    self.heads.forget();
                    self.data_version = version;
                }
            }
            Session::Postgres(_) => self.heads.forget(),
        }
        if let Some((org, head, count)) = &self.unsure {
            if self.heads.holds(&mut session, org, *head).await? {
                let here = (*count).min(*kept);
                group.drain(..here);
                *kept -= here;
                self.backlog.drain(..*count - here);
            }
            self.unsure = None;
        }
        let origin = Origin { posts: self.audience.posts(), node: self.node.as_deref() };
        let written = match manner {
            Manner::Together => write_all(&mut session, &mut self.heads, group, origin).await?,
            Manner::Apart => write_apart(&mut transaction, &mut self.heads, group, origin).await?,
        };
        transaction.commit().await?;
        Ok(written)
    }

    /// Puts work behind what waits, within the bound.
    fn keep(&mut self, works: Vec<Work>) {
        self.backlog.extend(works);
        let lost = self.backlog.len().saturating_sub(BACKLOG_MAX);
        if lost > 0 {
            self.backlog.truncate(BACKLOG_MAX);
            tracing::error!(lost, "ledger: the database is away for too long; audit lines and call rows are lost");
        }
    }
}

/// How a group is written.
#[derive(Clone, Copy)]
enum Manner {
    /// All at once, or not at all.
    Together,
    /// In halves of halves, until what cannot be written stands alone.
    Apart,
}

async fn write_all(
    session: &mut Session<'_>,
    heads: &mut Heads,
    works: &mut [Work],
    origin: Origin<'_>,
) -> Result<Vec<Written>, sqlx::Error> {
    let needs = Needs::of(works);
    let mut batch = Batch::prepare(session, heads, needs, origin).await?;
    let mut written = Vec::with_capacity(works.len());
    for work in works {
        written.push(batch.add(session, heads, work).await?);
    }
    batch.flush(session).await?;
    Ok(written)
}

async fn write_apart(
    transaction: &mut Transaction<'_>,
    heads: &mut Heads,
    group: &mut [Work],
    origin: Origin<'_>,
) -> Result<Vec<Written>, sqlx::Error> {
    let mut written = Vec::with_capacity(group.len());
    let mut parts = Vec::from([(0, group.len())]);
    while let Some((from, to)) = parts.pop() {
        let before = heads.last();
        let mut save = transaction.savepoint().await?;
        match write_all(&mut save.session(), heads, &mut group[from..to], origin).await {
            Ok(some) => {
                save.commit().await?;
                written.extend(some);
            }
            Err(why) if is_its_own_fault(&why) => {
                save.rollback().await?;
                heads.back_to(before);
                let half = from + (to - from) / 2;
                if to - from > 1 {
                    parts.extend([(half, to), (from, half)]);
                } else {
                    let work = group.get(from);
                    tracing::error!(error = %why, ?work, "ledger: the database refused a piece of work and takes the others");
                    written.push(Written::Failed);
                }
            }
            Err(why) => return Err(why),
        }
    }
    Ok(written)
}

/// Parts work from flushes.
fn sort(items: impl IntoIterator<Item = Item>, flushes: &mut Vec<oneshot::Sender<()>>) -> Vec<Work> {
    let mut group = Vec::new();
    for item in items {
        match item {
            Item::Work(work) => group.push(work),
            Item::Flush(done) => flushes.push(done),
        }
    }
    group
}

/// Tells everybody who waits that it is not durable; gives back what is worth trying again.
fn refuse(works: Vec<Work>) -> Vec<Work> {
    works.into_iter().filter_map(|work| guarded(|| work.refuse()).flatten()).collect()
}

/// An answer that panics is one call's bug, and must not end the ledger of all.
fn guarded<T>(answer: impl FnOnce() -> T) -> Option<T> {
    let told = std::panic::catch_unwind(AssertUnwindSafe(answer));
    if told.is_err() {
        tracing::error!("ledger: whoever waited for an answer panicked on it; this is a bug");
    }
    told.ok()
}
