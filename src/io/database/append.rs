//! One piece of work inside the writer's transaction: the consent record and the entry that carries it, together.

use std::collections::HashMap;

use rand::Rng as _;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::work::{Work, Written};
use super::{acts, events, outbox, retention, tasks};
use crate::engine::consent::{ConsentRecord, ConsentStatus};
use crate::engine::ledger::{Decision, Event, EventKind, Hash, Head, Salt};

/// Chains followed at once; beyond that their heads are read again.
const HEADS_MAX: usize = 10_000;

/// Heads of the chains as this transaction has left them.
pub(super) struct Heads {
    by_org: HashMap<String, Head>,
    /// The newest entry of the transaction.
    last: Option<(String, Head)>,
}

impl Heads {
    pub(super) fn new() -> Self {
        Self { by_org: HashMap::new(), last: None }
    }

    /// A transaction begins: none of its entries stands yet.
    pub(super) fn begin(&mut self) {
        self.last = None;
    }

    /// Reads them all anew from here on. Tells the newest entry that this transaction has appended, if any.
    pub(super) fn forget(&mut self) -> Option<(String, Head)> {
        self.by_org.clear();
        self.last.take()
    }

    /// Whether the database holds this very entry.
    pub(super) async fn holds(&self, connection: &mut SqliteConnection, org: &str, head: Head) -> Result<bool, sqlx::Error> {
        let row = sqlx::query(r#"SELECT 1 FROM "AuditEvent" WHERE "orgId" = $1 AND "seq" = $2 AND "hash" = $3"#)
            .bind(org)
            .bind(head.seq.cast_signed())
            .bind(head.hash.to_string())
            .fetch_optional(connection)
            .await?;
        Ok(row.is_some())
    }

    async fn of(&self, connection: &mut SqliteConnection, org: &str) -> Result<Head, sqlx::Error> {
        if let Some(head) = self.by_org.get(org) {
            return Ok(*head);
        }
        let row = sqlx::query(r#"SELECT "seq", "hash" FROM "AuditEvent" WHERE "orgId" = $1 ORDER BY "seq" DESC LIMIT 1"#)
            .bind(org)
            .fetch_optional(connection)
            .await?;
        row.map_or(Ok(Head::default()), |row| {
            let hash = Hash::parse(row.try_get::<&str, _>(1)?.as_bytes());
            let hash =
                hash.ok_or_else(|| sqlx::Error::Decode("the chain's last hash is not a hash: run `callgate audit verify`".into()))?;
            Ok(Head { seq: row.try_get::<i64, _>(0)?.cast_unsigned(), hash })
        })
    }

    pub(super) async fn append(&mut self, connection: &mut SqliteConnection, event: &Event) -> Result<u64, sqlx::Error> {
        if event.org_id.is_empty() {
            return Err(sqlx::Error::Encode("an entry belongs to an organisation".into()));
        }
        let entry = self.of(connection, &event.org_id).await?.follow(event).map_err(encode)?;
        sqlx::query(
            r#"INSERT INTO "AuditEvent" ("orgId", "seq", "hash", "entry", "kind", "clientId", "callId", "at")
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"#,
        )
        .bind(&event.org_id)
        .bind(entry.seq.cast_signed())
        .bind(entry.hash.to_string())
        .bind(&entry.canonical)
        .bind(event.kind.word())
        .bind(&event.client_id)
        .bind(&event.call_id)
        .bind(event.at.to_string())
        .execute(connection)
        .await?;
        let head = Head { seq: entry.seq, hash: entry.hash };
        if self.by_org.len() >= HEADS_MAX {
            self.by_org.clear();
        }
        self.by_org.insert(event.org_id.clone(), head);
        self.last = Some((event.org_id.clone(), head));
        Ok(entry.seq)
    }
}

/// `posts`: whether events are to be posted by webhook as well.
pub(super) async fn write_one(
    connection: &mut SqliteConnection,
    heads: &mut Heads,
    posts: bool,
    work: &mut Work,
) -> Result<Written, sqlx::Error> {
    match work {
        Work::Grant(grant, _) => {
            let counted = Counted::of(connection, &grant.record).await?;
            // Whatever was said after that no: a later yes on another call is that call's, and does not revive this one.
            if counted.newest_no > grant.seen {
                return Ok(Written::Superseded);
            }
            write_record(connection, heads, &grant.record, counted.records + 1).await.map(Written::Entry)
        }
        Work::Recall { org_id, client_id, then: _ } => Ok(match latest(connection, org_id, client_id).await? {
            Some((record, version, seq)) if record.status == ConsentStatus::Granted => Written::Standing(Box::new(record), version, seq),
            _ => Written::Superseded,
        }),
        Work::Audit(event, _) if matches!(event.kind, EventKind::ConsentGranted | EventKind::ConsentRevoked) => {
            Err(sqlx::Error::Encode("a decision enters the chain with its record or not at all".into()))
        }
        Work::Audit(event, _) => {
            let seq = heads.append(connection, event).await?;
            retention::log_access(connection, seq, event).await?;
            Ok(Written::Entry(seq))
        }
        Work::Act(act, _) => acts::write(connection, heads, act).await.map(Box::new).map(Written::Acted),
        Work::Call(row) => {
            row.write(connection).await?;
            tasks::log_interaction(connection, heads, row).await?;
            events::write(connection, row, posts).await.map(|()| Written::Row)
        }
        Work::Place(placement, _) => placement.write(connection, heads).await.map(Written::Placed),
        Work::Answer(answer) => answer.write(connection).await.map(|()| Written::Row),
        Work::Checkpoint(row) => row.write(connection).await.map(|()| Written::Row),
        Work::Outbox(work) => outbox::write(connection, work).await,
        Work::Recording(row, _) => {
            row.write(connection).await?;
            retention::queue_late(connection, heads, row).await?;
            Ok(Written::Row)
        }
    }
}

/// A client's records as they stand.
pub(super) struct Counted {
    /// How many there are, which is the newest one's version.
    pub(super) records: u64,
    /// Version of the newest no; 0 if there was none.
    newest_no: u64,
}

impl Counted {
    pub(super) async fn of(connection: &mut SqliteConnection, record: &ConsentRecord) -> Result<Self, sqlx::Error> {
        let row = sqlx::query(
            r#"SELECT coalesce(max("version"), 0), coalesce(max(CASE WHEN "status" = 'REVOKED' THEN "version" END), 0)
               FROM "ConsentRecord" WHERE "orgId" = $1 AND "clientId" = $2"#,
        )
        .bind(&record.org_id)
        .bind(&record.client_id)
        .fetch_one(connection)
        .await?;
        Ok(Self { records: row.try_get::<i64, _>(0)?.cast_unsigned(), newest_no: row.try_get::<i64, _>(1)?.cast_unsigned() })
    }
}

/// The entry of this very record, if it was written before: its answer was lost, or came too late.
pub(super) async fn stands_already(connection: &mut SqliteConnection, record: &ConsentRecord) -> Result<Option<u64>, sqlx::Error> {
    let text = crate::engine::ledger::canonical(record).map_err(encode)?;
    let row = sqlx::query(r#"SELECT "auditSeq" FROM "ConsentRecord" WHERE "id" = $1 AND "record" = $2"#)
        .bind(&record.id)
        .bind(text)
        .fetch_optional(connection)
        .await?;
    row.map(|row| row.try_get::<i64, _>(0).map(i64::cast_unsigned)).transpose()
}

/// Writes a consent record and the entry that carries it. The entry's number.
pub(super) async fn write_record(
    connection: &mut SqliteConnection,
    heads: &mut Heads,
    record: &ConsentRecord,
    version: u64,
) -> Result<u64, sqlx::Error> {
    let mut salt = Salt([0; 16]);
    rand::rng().fill_bytes(&mut salt.0);
    let decision = Decision::of(record, version, salt).map_err(encode)?;
    let seq = heads.append(connection, &decision.event).await?;
    sqlx::query(
        r#"INSERT INTO "ConsentRecord" ("id", "orgId", "clientId", "callId", "version", "status", "method", "languageCode", "promptVersion",
             "at", "auditSeq", "record", "salt")
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"#,
    )
    .bind(&record.id)
    .bind(&record.org_id)
    .bind(&record.client_id)
    .bind(&record.call_id)
    .bind(version.cast_signed())
    .bind(word(&record.status)?)
    .bind(word(&record.method)?)
    .bind(&record.language_code)
    .bind(&record.prompt_version)
    .bind(record.at.to_string())
    .bind(seq.cast_signed())
    .bind(decision.record)
    .bind(salt.to_string())
    .execute(connection)
    .await?;
    Ok(seq)
}

/// A client's newest record, its version, and its entry.
pub(super) async fn latest(
    connection: &mut SqliteConnection,
    org_id: &str,
    client_id: &str,
) -> Result<Option<(ConsentRecord, u64, u64)>, sqlx::Error> {
    let row = sqlx::query(
        r#"SELECT "record", "version", "auditSeq" FROM "ConsentRecord" WHERE "orgId" = $1 AND "clientId" = $2
           ORDER BY "version" DESC LIMIT 1"#,
    )
    .bind(org_id)
    .bind(client_id)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let record = serde_json::from_str(row.try_get(0)?).map_err(|why| sqlx::Error::Decode(Box::new(why)))?;
    Ok(Some((record, row.try_get::<i64, _>(1)?.cast_unsigned(), row.try_get::<i64, _>(2)?.cast_unsigned())))
}

/// The word that stands for one of our enums, in a column as in JSON.
pub(super) fn word<T: serde::Serialize>(value: &T) -> Result<String, sqlx::Error> {
    let value = serde_json::to_value(value).map_err(encode)?;
    value.as_str().map(str::to_owned).ok_or_else(|| sqlx::Error::Encode("a column takes a word".into()))
}

fn encode(why: serde_json::Error) -> sqlx::Error {
    sqlx::Error::Encode(Box::new(why))
}
