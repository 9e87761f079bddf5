//! The writer: everything that waits goes into one transaction, and nobody is answered before its COMMIT.
//!
//! A thousand calls that decide in one second are a handful of fsyncs. Handing work in never waits (P7): the
//! queue is bounded and a full one is an answer. A dead database answers everybody within [`ANSWER_WITHIN`].

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use tokio::sync::mpsc;

use super::read::{CallRow, RecordingRow};
use crate::engine::call::NotSealed;
use crate::engine::consent::{ConsentRecord, ConsentStatus, Grant, Receipt};
use crate::engine::ledger::{Committed, Event, EventKind, Hash, Head, Position};

/// Pieces of work that may wait; one more is refused.
pub const LEDGER_QUEUE_MAX: usize = 16_384;
/// Pieces of work in one transaction at most.
const GROUP_MAX: usize = 2_048;
/// A transaction that takes longer has failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What to do once it is durable, or will never be. Called off the tokio runtime's hot paths; must not block.
pub type Then<T> = Box<dyn FnOnce(T) + Send>;

/// Something to be made durable.
pub enum Work {
    /// A yes. Refused if the client has revoked since `grant.seen` was counted.
    Grant(Grant, Then<Result<Receipt<Grant>, NotSealed>>),
    /// The standing yes of a client, for a call that need not ask again.
    Recall {
        /// Whose organisation.
        org_id: String,
        /// Whose.
        client_id: String,
        /// The answer.
        then: Then<Result<Receipt<Grant>, NotSealed>>,
    },
    /// A no.
    Refuse(ConsentRecord, Then<bool>),
    /// Lines for the chain.
    Audit(Event, Option<Then<bool>>),
    /// A call as it stands.
    Call(Box<CallRow>),
    /// A recording as it stands.
    Recording(Box<RecordingRow>, Option<Then<bool>>),
}

/// The queue is full: the database cannot keep up.
#[derive(Debug, thiserror::Error)]
#[error("ledger queue is full: the database cannot keep up")]
pub struct LedgerFull(pub Box<Work>);

/// A handle on the writer. Cheap to clone; usable from any thread.
#[derive(Clone)]
pub struct Ledger {
    queue: mpsc::Sender<Work>,
    commits: Arc<AtomicU64>,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Grant(..) => "Grant",
            Self::Recall { .. } => "Recall",
            Self::Refuse(..) => "Refuse",
            Self::Audit(..) => "Audit",
            Self::Call(_) => "Call",
            Self::Recording(..) => "Recording",
        })
    }
}

impl Ledger {
    pub(super) fn start(connection: SqliteConnection) -> Self {
        let (queue, work) = mpsc::channel(LEDGER_QUEUE_MAX);
        let commits = Arc::new(AtomicU64::new(0));
        tokio::spawn(Writer { connection, heads: HashMap::new(), commits: Arc::clone(&commits) }.run(work));
        Self { queue, commits }
    }

    /// Hands work in. Never waits.
    ///
    /// # Errors
    /// [`LedgerFull`] gives it back.
    pub fn append(&self, work: Work) -> Result<(), LedgerFull> {
        self.queue.try_send(work).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(work) | mpsc::error::TrySendError::Closed(work) => LedgerFull(Box::new(work)),
        })
    }

    /// Waits until everything handed in before has been answered.
    pub async fn flush(&self) {
        let (done, wait) = tokio::sync::oneshot::channel::<()>();
        let then: Then<bool> = Box::new(move |_| drop(done));
        let marker = Event {
            org_id: String::new(),
            kind: EventKind::ConfigInForce,
            actor: crate::engine::consent::Actor::System,
            call_id: None,
            client_id: None,
            at: crate::engine::time::WallTime(0),
            position: None,
            detail: serde_json::Value::Null,
        };
        if self.queue.send(Work::Audit(marker, Some(then))).await.is_ok() {
            let _ = wait.await;
        }
    }

    /// Transactions committed so far.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

struct Writer {
    connection: SqliteConnection,
    heads: HashMap<String, Head>,
    commits: Arc<AtomicU64>,
}

/// An answer that is due after the commit.
type Answer = Box<dyn FnOnce(bool) + Send>;

impl Writer {
    async fn run(mut self, mut work: mpsc::Receiver<Work>) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        while work.recv_many(&mut group, GROUP_MAX).await > 0 {
            let mut answers = Vec::with_capacity(group.len());
            let written = tokio::time::timeout(ANSWER_WITHIN, self.write(&mut group, &mut answers)).await;
            let durable = match written {
                Ok(Ok(())) => true,
                Ok(Err(why)) => {
                    tracing::error!(error = %why, "ledger: a transaction failed; check the database's disk");
                    false
                }
                Err(_) => {
                    tracing::error!("ledger: the database did not answer within {ANSWER_WITHIN:?}");
                    false
                }
            };
            if durable {
                self.commits.fetch_add(1, Ordering::Relaxed);
            } else {
                self.heads.clear();
            }
            for answer in answers {
                answer(durable);
            }
            // What a failed transaction never came to is answered as well.
            for work in group.drain(..) {
                refuse(work);
            }
        }
    }

    async fn write(&mut self, group: &mut Vec<Work>, answers: &mut Vec<Answer>) -> Result<(), sqlx::Error> {
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        for work in group.drain(..) {
            // One piece that cannot be written does not sink the others.
            let mut save = transaction.begin().await?;
            let head = HeadOf { heads: &mut self.heads };
            let (result, answer) = write_one(&mut save, head, work).await;
            match result {
                Ok(()) => save.commit().await?,
                Err(why) => {
                    tracing::error!(error = %why, "ledger: a piece of work was refused by the database");
                    self.heads.clear();
                    save.rollback().await?;
                    answer(false);
                    continue;
                }
            }
            answers.push(answer);
        }
        transaction.commit().await
    }
}

/// Heads of the chains, read from the database once and then followed.
struct HeadOf<'a> {
    heads: &'a mut HashMap<String, Head>,
}

impl HeadOf<'_> {
    async fn append(&mut self, connection: &mut SqliteConnection, event: &Event) -> Result<u64, sqlx::Error> {
        let head = match self.heads.get(&event.org_id) {
            Some(head) => *head,
            None => {
                let row = sqlx::query(r#"SELECT "seq", "hash" FROM "AuditEvent" WHERE "orgId" = $1 ORDER BY "seq" DESC LIMIT 1"#)
                    .bind(&event.org_id)
                    .fetch_optional(&mut *connection)
                    .await?;
                match row {
                    None => Head::default(),
                    Some(row) => Head {
                        seq: row.get::<i64, _>(0).cast_unsigned(),
                        hash: Hash::parse(row.get(1)).ok_or_else(|| sqlx::Error::Decode("the chain's last hash is not a hash".into()))?,
                    },
                }
            }
        };
        let entry = head.follow(event).map_err(|why| sqlx::Error::Encode(Box::new(why)))?;
        sqlx::query(r#"INSERT INTO "AuditEvent" ("orgId", "seq", "hash", "entry", "kind", "clientId", "callId", "at") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"#)
            .bind(&event.org_id)
            .bind(entry.seq.cast_signed())
            .bind(entry.hash.to_string())
            .bind(&entry.canonical)
            .bind(event.kind.word())
            .bind(&event.client_id)
            .bind(&event.call_id)
            .bind(event.at.to_string())
            .execute(&mut *connection)
            .await?;
        self.heads.insert(event.org_id.clone(), Head { seq: entry.seq, hash: entry.hash });
        Ok(entry.seq)
    }
}

async fn write_one(connection: &mut SqliteConnection, mut head: HeadOf<'_>, work: Work) -> (Result<(), sqlx::Error>, Answer) {
    match work {
        Work::Grant(grant, then) => {
            let written = write_record(connection, &mut head, &grant.record, Some(grant.seen)).await;
            match written {
                Ok(Some(commit)) => (
                    Ok(()),
                    Box::new(move |durable| {
                        let receipt = if durable {
                            Receipt::of(grant, &commit).map_err(|_| NotSealed::Unavailable)
                        } else {
                            Err(NotSealed::Unavailable)
                        };
                        then(receipt);
                    }),
                ),
                Ok(None) => (Ok(()), Box::new(move |_| then(Err(NotSealed::Superseded)))),
                Err(why) => (Err(why), Box::new(move |_| then(Err(NotSealed::Unavailable)))),
            }
        }
        Work::Recall { org_id, client_id, then } => match latest(connection, &org_id, &client_id).await {
            Ok(Some((record, version, seq))) if record.status == ConsentStatus::Granted => {
                let commit = Committed::after_fsync(seq, Some(record.id.clone()));
                let grant = Grant { record, seen: version };
                (
                    Ok(()),
                    Box::new(move |durable| {
                        let receipt = if durable {
                            Receipt::of(grant, &commit).map_err(|_| NotSealed::Unavailable)
                        } else {
                            Err(NotSealed::Unavailable)
                        };
                        then(receipt);
                    }),
                )
            }
            Ok(_) => (Ok(()), Box::new(move |_| then(Err(NotSealed::Superseded)))),
            Err(why) => (Err(why), Box::new(move |_| then(Err(NotSealed::Unavailable)))),
        },
        Work::Refuse(record, then) => {
            let written = write_record(connection, &mut head, &record, None).await;
            (written.map(|_| ()), Box::new(then))
        }
        Work::Audit(event, then) => {
            let answer: Answer = Box::new(move |durable| {
                if let Some(then) = then {
                    then(durable);
                }
            });
            if event.org_id.is_empty() {
                return (Ok(()), answer); // `flush`
            }
            (head.append(connection, &event).await.map(|_| ()), answer)
        }
        Work::Call(row) => (row.write(connection).await, Box::new(|_| ())),
        Work::Recording(row, then) => {
            let answer: Answer = Box::new(move |durable| {
                if let Some(then) = then {
                    then(durable);
                }
            });
            (row.write(connection).await, answer)
        }
    }
}

/// Writes a consent record and the entry that carries it. `None`: a yes older than a no.
async fn write_record(
    connection: &mut SqliteConnection,
    head: &mut HeadOf<'_>,
    record: &ConsentRecord,
    seen: Option<u64>,
) -> Result<Option<Committed>, sqlx::Error> {
    let latest = latest(connection, &record.org_id, &record.client_id).await?;
    if let (Some(seen), Some((last, version, _))) = (seen, &latest)
        && *version > seen
        && last.status == ConsentStatus::Revoked
    {
        return Ok(None);
    }
    let version = latest.map_or(0, |(_, version, _)| version) + 1;
    let granted = record.status == ConsentStatus::Granted;
    let position = record.evidence.get("position").and_then(|position| serde_json::from_value::<Position>(position.clone()).ok());
    let event = Event {
        org_id: record.org_id.clone(),
        kind: if granted { EventKind::ConsentGranted } else { EventKind::ConsentRevoked },
        actor: record.actor.clone(),
        call_id: record.call_id.clone(),
        client_id: Some(record.client_id.clone()),
        at: record.at,
        position,
        detail: json!({ "record": record, "version": version }),
    };
    let seq = head.append(connection, &event).await?;
    let encode = |why: serde_json::Error| sqlx::Error::Encode(Box::new(why));
    let text = |value: serde_json::Result<serde_json::Value>| value.map(|value| value.as_str().unwrap_or_default().to_owned());
    sqlx::query(
        r#"INSERT INTO "ConsentRecord" ("id", "orgId", "clientId", "callId", "version", "status", "method", "languageCode", "promptVersion", "at", "auditSeq", "record")
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"#,
    )
    .bind(&record.id)
    .bind(&record.org_id)
    .bind(&record.client_id)
    .bind(&record.call_id)
    .bind(version.cast_signed())
    .bind(text(serde_json::to_value(record.status)).map_err(encode)?)
    .bind(text(serde_json::to_value(record.method)).map_err(encode)?)
    .bind(&record.language_code)
    .bind(&record.prompt_version)
    .bind(record.at.to_string())
    .bind(seq.cast_signed())
    .bind(serde_json_canonicalizer::to_string(record).map_err(encode)?)
    .execute(&mut *connection)
    .await?;
    Ok(Some(Committed::after_fsync(seq, Some(record.id.clone()))))
}

async fn latest(
    connection: &mut SqliteConnection,
    org_id: &str,
    client_id: &str,
) -> Result<Option<(ConsentRecord, u64, u64)>, sqlx::Error> {
    let row = sqlx::query(
        r#"SELECT "record", "version", "auditSeq" FROM "ConsentRecord" WHERE "orgId" = $1 AND "clientId" = $2 ORDER BY "version" DESC LIMIT 1"#,
    )
    .bind(org_id)
    .bind(client_id)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let record = serde_json::from_str(row.get(0)).map_err(|why| sqlx::Error::Decode(Box::new(why)))?;
    Ok(Some((record, row.get::<i64, _>(1).cast_unsigned(), row.get::<i64, _>(2).cast_unsigned())))
}

fn refuse(work: Work) {
    match work {
        Work::Grant(_, then) | Work::Recall { then, .. } => then(Err(NotSealed::Unavailable)),
        Work::Refuse(_, then) | Work::Audit(_, Some(then)) | Work::Recording(_, Some(then)) => then(false),
        Work::Audit(_, None) | Work::Recording(_, None) | Work::Call(_) => {}
    }
}
