//! The deletion queue, and who read a recording while it was there.

use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::append::Heads;
use super::read::RecordingRow;
use super::{Database, DatabaseError};
use crate::engine::call::RecordingState;
use crate::engine::consent::{Actor, ConsentRecord, Queues, due};
use crate::engine::ledger::{Event, EventKind};
use crate::engine::time::WallTime;

/// A recording in the deletion queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetentionRow {
    /// Which.
    pub recording_id: String,
    /// Its organisation.
    pub org_id: String,
    /// Its client.
    pub client_id: String,
    /// Its call.
    pub call_id: String,
    /// When it was queued.
    pub queued_at: String,
    /// When it is due.
    pub due_at: String,
    /// How often somebody set out to delete it.
    pub attempts: u64,
    /// Why the last attempt did not.
    pub last_error: Option<String>,
    /// When it was deleted, and seen to be.
    pub deleted_at: Option<String>,
}

/// Somebody looks for the next recording to delete.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// Who.
    pub by: String,
    /// Due by then.
    pub as_of: WallTime,
    /// Past this id: every recording comes once a pass.
    pub after: String,
    /// By this clock other claims have expired or not.
    pub now: WallTime,
    /// Until when nobody else may have it.
    pub until: WallTime,
}

impl Database {
    /// Where a recording stands in the deletion queue, if it is in it.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn retention(&self, recording_id: &str) -> Result<Option<RetentionRow>, DatabaseError> {
        let row = sqlx::query(r#"SELECT * FROM "RetentionItem" WHERE "recordingId" = $1"#)
            .bind(recording_id)
            .fetch_optional(self.readers())
            .await?;
        Ok(row.as_ref().map(RetentionRow::read).transpose()?)
    }

    /// What is due by `as_of` and not deleted, past recording `after` in the order of ids; and whether a hold keeps it.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn due(&self, as_of: WallTime, after: &str, limit: u32) -> Result<Vec<(RetentionRow, bool)>, DatabaseError> {
        let rows = sqlx::query(
            r#"SELECT i.*, h."id" AS "holdId" FROM "RetentionItem" i
               LEFT JOIN "LegalHold" h ON h."orgId" = i."orgId" AND h."clientId" = i."clientId" AND h."liftedAt" IS NULL
               WHERE i."deletedAt" IS NULL AND i."dueAt" <= $1 AND i."recordingId" > $2
               ORDER BY i."recordingId" LIMIT $3"#,
        )
        .bind(as_of.to_string())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        let read = |row: &SqliteRow| Ok((RetentionRow::read(row)?, row.try_get::<Option<&str>, _>("holdId")?.is_some()));
        rows.iter().map(read).collect()
    }

    /// A client's recordings that a hold, placed now, keeps: those that wait, and those whose deletion is under way.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn waiting(&self, org_id: &str, client_id: &str, now: WallTime) -> Result<(u64, u64), DatabaseError> {
        let row = sqlx::query(
            r#"SELECT count(*), count(CASE WHEN "claimedUntil" > $3 THEN 1 END) FROM "RetentionItem"
               WHERE "orgId" = $1 AND "clientId" = $2 AND "deletedAt" IS NULL"#,
        )
        .bind(org_id)
        .bind(client_id)
        .bind(now.to_string())
        .fetch_one(self.readers())
        .await?;
        let (all, under_way) = (row.try_get::<i64, _>(0)?.cast_unsigned(), row.try_get::<i64, _>(1)?.cast_unsigned());
        Ok((all - under_way, under_way))
    }
}

/// Queues what a revocation queues, and says so in the chain if that is anything.
pub(super) async fn queue(
    connection: &mut SqliteConnection,
    heads: &mut Heads,
    record: &ConsentRecord,
    entry: u64,
    queues: Queues,
) -> Result<(), sqlx::Error> {
    let spared = match (queues, &record.call_id) {
        (Queues::Nothing, _) => return Ok(()),
        (Queues::OtherCalls, Some(call_id)) => call_id.as_str(),
        // No call has an empty id.
        (Queues::OtherCalls, None) | (Queues::Everything, _) => "",
    };
    let until = due(record.at);
    let queued = sqlx::query(
        r#"INSERT INTO "RetentionItem" ("recordingId", "orgId", "clientId", "callId", "revocationSeq", "queuedAt", "dueAt", "attempts")
           SELECT r."id", r."orgId", r."clientId", r."callId", $1, $2, $3, 0 FROM "Recording" r
           WHERE r."orgId" = $4 AND r."clientId" = $5 AND r."callId" <> $6 AND r."state" <> 'DISCARDED'
           ON CONFLICT ("recordingId") DO NOTHING"#,
    )
    .bind(entry.cast_signed())
    .bind(record.at.to_string())
    .bind(until.to_string())
    .bind(&record.org_id)
    .bind(&record.client_id)
    .bind(spared)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if queued > 0 {
        let event = queued_event(&record.org_id, &record.client_id, record.actor.clone(), record.at, entry, queued);
        heads.append(connection, &event).await?;
    }
    Ok(())
}

/// A recording whose row comes after the revocation that queues it: left by a crash, or by a call that was slow to end.
pub(super) async fn queue_late(connection: &mut SqliteConnection, heads: &mut Heads, row: &RecordingRow) -> Result<(), sqlx::Error> {
    if row.state == RecordingState::Discarded {
        return Ok(());
    }
    // A person's, not a key: see `Queues`.
    let revocation = sqlx::query(
        r#"SELECT c."at", c."auditSeq" FROM "ConsentRecord" c
           WHERE c."orgId" = $1 AND c."clientId" = $2 AND c."status" = 'REVOKED' AND c."auditSeq" > $3
             AND (c."callId" IS NULL OR (c."method" <> 'KEYPRESS' AND c."callId" <> $4))
             AND NOT EXISTS (SELECT 1 FROM "RetentionItem" i WHERE i."recordingId" = $5)
           ORDER BY c."version" LIMIT 1"#,
    )
    .bind(&row.org_id)
    .bind(&row.client_id)
    .bind(row.grant_seq.cast_signed())
    .bind(&row.call_id)
    .bind(&row.id)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(revocation) = revocation else { return Ok(()) };
    let (at, entry): (String, i64) = (revocation.try_get(0)?, revocation.try_get(1)?);
    let at = WallTime::parse(&at).ok_or_else(|| sqlx::Error::Decode("a consent record's time is no time".into()))?;
    sqlx::query(
        r#"INSERT INTO "RetentionItem" ("recordingId", "orgId", "clientId", "callId", "revocationSeq", "queuedAt", "dueAt", "attempts")
           VALUES ($1, $2, $3, $4, $5, $6, $7, 0) ON CONFLICT ("recordingId") DO NOTHING"#,
    )
    .bind(&row.id)
    .bind(&row.org_id)
    .bind(&row.client_id)
    .bind(&row.call_id)
    .bind(entry)
    .bind(at.to_string())
    .bind(due(at).to_string())
    .execute(&mut *connection)
    .await?;
    let event = queued_event(&row.org_id, &row.client_id, Actor::System, at, entry.cast_unsigned(), 1);
    heads.append(connection, &event).await.map(|_| ())
}

fn queued_event(org_id: &str, client_id: &str, actor: Actor, at: WallTime, entry: u64, recordings: u64) -> Event {
    Event {
        org_id: org_id.to_owned(),
        kind: EventKind::RecordingQueued,
        actor,
        call_id: None,
        client_id: Some(client_id.to_owned()),
        at,
        position: None,
        detail: json!({ "recordings": recordings, "revocation": entry, "dueAt": due(at).to_string() }),
    }
}

/// How many recordings of a client wait, and when the last of them is due.
pub(super) async fn marked(
    connection: &mut SqliteConnection,
    org_id: &str,
    client_id: &str,
) -> Result<(u64, Option<WallTime>), sqlx::Error> {
    let row =
        sqlx::query(r#"SELECT count(*), max("dueAt") FROM "RetentionItem" WHERE "orgId" = $1 AND "clientId" = $2 AND "deletedAt" IS NULL"#)
            .bind(org_id)
            .bind(client_id)
            .fetch_one(connection)
            .await?;
    let until = row.try_get::<Option<String>, _>(1)?.and_then(|at| WallTime::parse(&at));
    Ok((row.try_get::<i64, _>(0)?.cast_unsigned(), until))
}

/// The next due recording that nobody deletes and no hold keeps. Two who ask at once never get the same: who comes second
/// finds the condition changed.
pub(super) async fn claim(connection: &mut SqliteConnection, claim: &Claim) -> Result<Option<RetentionRow>, sqlx::Error> {
    let row = sqlx::query(
        r#"UPDATE "RetentionItem" SET "claimedBy" = $1, "claimedUntil" = $2, "attempts" = "attempts" + 1
           WHERE ("claimedUntil" IS NULL OR "claimedUntil" <= $5) AND "deletedAt" IS NULL AND "recordingId" = (
             SELECT i."recordingId" FROM "RetentionItem" i
             WHERE i."deletedAt" IS NULL AND i."dueAt" <= $3 AND i."recordingId" > $4
               AND (i."claimedUntil" IS NULL OR i."claimedUntil" <= $5)
               AND NOT EXISTS (SELECT 1 FROM "LegalHold" h
                               WHERE h."orgId" = i."orgId" AND h."clientId" = i."clientId" AND h."liftedAt" IS NULL)
             ORDER BY i."recordingId" LIMIT 1)
           RETURNING *"#,
    )
    .bind(&claim.by)
    .bind(claim.until.to_string())
    .bind(claim.as_of.to_string())
    .bind(&claim.after)
    .bind(claim.now.to_string())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(RetentionRow::read).transpose()
}

/// Marks a recording as deleted, and says so in the chain. `false`: it is not `by`'s to say, or was said before.
pub(super) async fn deleted(
    connection: &mut SqliteConnection,
    heads: &mut Heads,
    recording_id: &str,
    by: &str,
    at: WallTime,
    event: &Event,
) -> Result<bool, sqlx::Error> {
    let marked = sqlx::query(
        r#"UPDATE "RetentionItem" SET "deletedAt" = $1, "claimedBy" = NULL, "claimedUntil" = NULL, "lastError" = NULL
           WHERE "recordingId" = $2 AND "claimedBy" = $3 AND "deletedAt" IS NULL"#,
    )
    .bind(at.to_string())
    .bind(recording_id)
    .bind(by)
    .execute(&mut *connection)
    .await?;
    if marked.rows_affected() == 0 {
        return Ok(false);
    }
    heads.append(connection, event).await.map(|_| true)
}

/// Keeps why a recording is not deleted, and lets others try.
pub(super) async fn not_deleted(connection: &mut SqliteConnection, recording_id: &str, by: &str, why: &str) -> Result<bool, sqlx::Error> {
    let kept = sqlx::query(
        r#"UPDATE "RetentionItem" SET "lastError" = $1, "claimedBy" = NULL, "claimedUntil" = NULL
           WHERE "recordingId" = $2 AND "claimedBy" = $3 AND "deletedAt" IS NULL"#,
    )
    .bind(why)
    .bind(recording_id)
    .bind(by)
    .execute(connection)
    .await?;
    Ok(kept.rows_affected() > 0)
}

/// A read or a denial stands in the access log as well, by the same commit as its entry.
pub(super) async fn log_access(connection: &mut SqliteConnection, seq: u64, event: &Event) -> Result<(), sqlx::Error> {
    if !matches!(event.kind, EventKind::RecordingRead | EventKind::AccessDenied) {
        return Ok(());
    }
    let told = |name: &str| event.detail.get(name).and_then(Value::as_str);
    let user = match &event.actor {
        Actor::User { id, .. } | Actor::Client { id } => id,
        Actor::System => "callgate",
    };
    sqlx::query(
        r#"INSERT INTO "AccessLog" ("orgId", "auditSeq", "at", "userId", "what", "outcome", "recordingId", "callId", "clientId")
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"#,
    )
    .bind(&event.org_id)
    .bind(seq.cast_signed())
    .bind(event.at.to_string())
    .bind(user)
    .bind(told("what").or_else(|| told("asked")).unwrap_or_default())
    .bind(told("outcome").unwrap_or(if event.kind == EventKind::RecordingRead { "ALLOWED" } else { "DENIED" }))
    .bind(told("recordingId"))
    .bind(&event.call_id)
    .bind(&event.client_id)
    .execute(connection)
    .await
    .map(|_| ())
}

impl RetentionRow {
    fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            recording_id: row.try_get("recordingId")?,
            org_id: row.try_get("orgId")?,
            client_id: row.try_get("clientId")?,
            call_id: row.try_get("callId")?,
            queued_at: row.try_get("queuedAt")?,
            due_at: row.try_get("dueAt")?,
            attempts: row.try_get::<i64, _>("attempts")?.cast_unsigned(),
            last_error: row.try_get("lastError")?,
            deleted_at: row.try_get("deletedAt")?,
        })
    }
}
