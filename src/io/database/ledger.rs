//! The writer: everything that waits goes into one transaction, and nobody is answered before its COMMIT.
//!
//! A thousand calls that decide in one second are a handful of fsyncs. Handing work in never waits (P7): the queue is
//! bounded and a full one is an answer. When a transaction fails, everybody who waits is answered at once, so nobody
//! waits longer than [`ANSWER_WITHIN`]; what nobody waits for is kept and tried again, so that an outage leaves no hole.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection, Row};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::append::{Heads, write_one};
use super::audience::Audience;
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
    audience: Arc<Audience>,
}

/// What stands in the queue.
#[expect(clippy::large_enum_variant, reason = "nearly all of it is work, and a box each would be one more allocation")]
enum Item {
    Work(Work),
    Flush(oneshot::Sender<()>),
}

impl Ledger {
    pub(super) fn start(connection: SqliteConnection, options: SqliteConnectOptions) -> Self {
        let (queue, items) = mpsc::channel(LEDGER_QUEUE_MAX);
        let writer = Writer::new(connection, options);
        let (commits, audience) = (Arc::clone(&writer.commits), Arc::clone(&writer.audience));
        tokio::spawn(writer.run(items));
        Self { queue, commits, audience }
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
}

pub(super) struct Writer {
    options: SqliteConnectOptions,
    /// None after an error: what SQLite rolled back by itself, sqlx does not know of, so its connection is not used again.
    connection: Option<SqliteConnection>,
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
    audience: Arc<Audience>,
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection, options: SqliteConnectOptions) -> Self {
        Self {
            options,
            connection: Some(connection),
            heads: Heads::new(),
            data_version: None,
            backlog: VecDeque::new(),
            unsure: None,
            failing: false,
            commits: Arc::default(),
            audience: Arc::default(),
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
            if !self.turn(group).await {
                // Whoever came meanwhile has waited as well, and would only wait for the same.
                let late: Vec<Item> = std::iter::from_fn(|| items.try_recv().ok()).take(LEDGER_QUEUE_MAX).collect();
                let kept = refuse(sort(late, &mut flushes));
                self.keep(kept);
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
        let kept = self.backlog.len().min(GROUP_MAX);
        let mut group: Vec<Work> = self.backlog.drain(..kept).chain(group).collect();
        if group.is_empty() {
            return true;
        }
        match timeout(ANSWER_WITHIN, self.write(&mut group, kept)).await {
            Ok(Ok(written)) => {
                self.commits.fetch_add(1, Ordering::Relaxed);
                if std::mem::take(&mut self.failing) {
                    tracing::warn!("ledger: the database takes work again");
                }
                for (work, written) in group.into_iter().zip(written) {
                    if let Work::Call(row) = &work {
                        self.audience.call_changed(&row.id);
                    }
                    guarded(|| work.answer(written, Committed::after_fsync));
                }
                return true;
            }
            Ok(Err(why)) => {
                // What SQLite has rolled back by itself, sqlx does not know of: its connection is not used again.
                self.connection = None;
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(error = %why, "ledger: the database fails: {}", advice(&why));
                }
            }
            Err(_) => {
                // The statement may still be under way; what comes next on this connection queues behind it.
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!("ledger: the database did not answer within {ANSWER_WITHIN:?}; look for a stuck disk");
                }
            }
        }
        let end = self.heads.forget();
        self.data_version = None;
        let again = refuse(group);
        let unsure = self.unsure.take().or_else(|| end.map(|(org, head)| (org, head, again.len())));
        self.give_up(again, unsure);
        false
    }

    pub(super) fn give_up(&mut self, again: Vec<Work>, unsure: Option<(String, Head, usize)>) {
        self.unsure = unsure;
        for work in again.into_iter().rev() {
            self.backlog.push_front(work);
        }
    }

    /// `kept`: how many of the group come from the backlog.
    async fn write(&mut self, group: &mut Vec<Work>, kept: usize) -> Result<Vec<Written>, sqlx::Error> {
        self.heads.begin();
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.options.clone().connect().await?),
        };
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        // With the lock in hand nobody else can write: what is read from here on is so until the COMMIT.
        let version = Some(sqlx::query("PRAGMA data_version").fetch_one(&mut *transaction).await?.try_get(0)?);
        if version != self.data_version {
            self.heads.forget();
            self.data_version = version;
        }
        if let Some((org, head, count)) = &self.unsure {
            if self.heads.holds(&mut transaction, org, *head).await? {
                let here = (*count).min(kept);
                group.drain(..here);
                self.backlog.drain(..*count - here);
            }
            self.unsure = None;
        }
        let mut written = Vec::with_capacity(group.len());
        for work in group.iter_mut() {
            // One piece that cannot be written does not sink the others.
            let mut save = transaction.begin().await?;
            match write_one(&mut save, &mut self.heads, self.audience.posts(), work).await {
                Ok(outcome) => {
                    save.commit().await?;
                    written.push(outcome);
                }
                Err(why) if is_its_own_fault(&why) => {
                    tracing::error!(error = %why, ?work, "ledger: a piece of work was refused by the database: {}", advice(&why));
                    self.heads.forget();
                    save.rollback().await?;
                    written.push(Written::Failed);
                }
                Err(why) => return Err(why),
            }
        }
        transaction.commit().await?;
        Ok(written)
    }

    fn keep(&mut self, works: Vec<Work>) {
        let room = BACKLOG_MAX.saturating_sub(self.backlog.len());
        if works.len() > room {
            tracing::error!(lost = works.len() - room, "ledger: the database is away for too long; audit lines and call rows are lost");
        }
        self.backlog.extend(works.into_iter().take(room));
    }
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
