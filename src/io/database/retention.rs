//! The deletion queue, and who read a recording while it was there.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row as _};

use super::backend::{Session, from_row, on};
use super::read::RecordingRow;
use super::{Database, DatabaseError, artifacts};
use crate::engine::call::RecordingState;
use crate::engine::consent::{Actor, ConsentRecord, QueuedCalls, Queues, due};
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

/// Columns of a [`RetentionRow`].
const ITEM: &str =
    r#"i."recordingId", i."orgId", i."clientId", i."callId", i."queuedAt", i."dueAt", i."attempts", i."lastError", i."deletedAt""#;

impl Database {
    /// Where a recording stands in the deletion queue, if it is in it.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn retention(&self, recording_id: &str) -> Result<Option<RetentionRow>, DatabaseError> {
        let text = AssertSqlSafe(format!(r#"SELECT {ITEM} FROM "RetentionItem" i WHERE i."recordingId" = $1"#));
        Ok(on!(&self.readers, pool => sqlx::query_as(text).bind(recording_id).fetch_optional(pool).await?))
    }

    /// Where the recording of a call stands in the deletion queue, if it is in it.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn retention_of_call(&self, call_id: &str) -> Result<Option<RetentionRow>, DatabaseError> {
        let text = AssertSqlSafe(format!(
            r#"SELECT {ITEM} FROM "Recording" r JOIN "RetentionItem" i ON i."recordingId" = r."id" WHERE r."callId" = $1
               ORDER BY i."recordingId" LIMIT 1"#
        ));
        Ok(on!(&self.readers, pool => sqlx::query_as(text).bind(call_id).fetch_optional(pool).await?))
    }

    /// What is due by `as_of` and not deleted, past recording `after` in the order of ids; and whether a hold keeps it.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn due(&self, as_of: WallTime, after: &str, limit: u32) -> Result<Vec<(RetentionRow, bool)>, DatabaseError> {
        let text = AssertSqlSafe(format!(
            r#"SELECT {ITEM}, h."id" AS "holdId" FROM "RetentionItem" i
               LEFT JOIN "LegalHold" h ON h."orgId" = i."orgId" AND h."clientId" = i."clientId" AND h."liftedAt" IS NULL
               WHERE i."deletedAt" IS NULL AND i."dueAt" <= $1 AND i."recordingId" > $2
               ORDER BY i."recordingId" LIMIT $3"#
        ));
        let rows: Vec<Due> = on!(&self.readers, pool => {
            sqlx::query_as(text).bind(as_of).bind(after).bind(i64::from(limit)).fetch_all(pool).await?
        });
        Ok(rows.into_iter().map(|due| (due.item, due.held)).collect())
    }

    /// A client's recordings that a hold, placed now, keeps: those that wait, and those whose deletion is under way.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn waiting(&self, org_id: &str, client_id: &str, now: WallTime) -> Result<(u64, u64), DatabaseError> {
        let (all, under_way): (i64, i64) = on!(&self.readers, pool => {
            let query = sqlx::query_as(
                r#"SELECT count(*), count(CASE WHEN "begunAt" IS NOT NULL AND "claimedUntil" > $3 THEN 1 END) FROM "RetentionItem"
                   WHERE "orgId" = $1 AND "clientId" = $2 AND "deletedAt" IS NULL"#,
            );
            query.bind(org_id).bind(client_id).bind(now).fetch_one(pool).await?
        });
        Ok(((all - under_way).cast_unsigned(), under_way.cast_unsigned()))
    }
}

/// Queues what a revocation queues; the line for the chain, if that is anything.
pub(super) async fn queue(
    session: &mut Session<'_>,
    record: &ConsentRecord,
    entry: u64,
    queues: Queues,
) -> Result<Option<Event>, sqlx::Error> {
    let Some(QueuedCalls { spared, only }) = queues.calls(record.call_id.as_deref()) else { return Ok(None) };
    let queued = on!(session, c => {
        let query = sqlx::query(
            r#"INSERT INTO "RetentionItem" ("recordingId", "orgId", "clientId", "callId", "revocationSeq", "queuedAt", "dueAt", "attempts")
               SELECT r."id", r."orgId", r."clientId", r."callId", $1, $2, $3, 0 FROM "Recording" r
               WHERE r."orgId" = $4 AND r."clientId" = $5 AND r."callId" <> $6 AND $7 IN ('', r."callId") AND r."state" <> 'DISCARDED'
               ON CONFLICT ("recordingId") DO NOTHING"#,
        );
        let query = query.bind(entry.cast_signed()).bind(record.at).bind(due(record.at));
        query.bind(&record.org_id).bind(&record.client_id).bind(spared).bind(only).execute(&mut **c).await?.rows_affected()
    });
    let event = || queued_event(&record.org_id, &record.client_id, record.actor.clone(), record.at, entry, queued);
    Ok((queued > 0).then(event))
}

/// Whether a recording's row can be the first that is heard of it: the rows of those that begin come before any revocation.
pub(super) const fn may_come_late(row: &RecordingRow) -> bool {
    match row.state {
        RecordingState::Finished | RecordingState::Failed | RecordingState::Halted => true,
        RecordingState::NotStarted | RecordingState::Active | RecordingState::Paused | RecordingState::Discarded => false,
    }
}

/// A recording whose row comes after the revocation that queues it: left by a crash, or by a call that was slow to end. What was made
/// of it goes along. The lines for the chain, if it is one.
pub(super) async fn queue_late(session: &mut Session<'_>, row: &RecordingRow) -> Result<Vec<Event>, sqlx::Error> {
    // A person's, not a key: see `Queues`.
    let revocation: Option<(WallTime, i64)> = on!(session, c => {
        let query = sqlx::query_as(
            r#"SELECT c."at", c."auditSeq" FROM "ConsentRecord" c
               WHERE c."orgId" = $1 AND c."clientId" = $2 AND c."status" = 'REVOKED' AND c."auditSeq" > $3
                 AND (c."callId" IS NULL OR (c."method" <> 'KEYPRESS' AND c."callId" <> $4))
                 AND NOT EXISTS (SELECT 1 FROM "RetentionItem" i WHERE i."recordingId" = $5)
               ORDER BY c."version" LIMIT 1"#,
        );
        let query = query.bind(&row.org_id).bind(&row.client_id).bind(row.grant_seq.cast_signed());
        query.bind(&row.call_id).bind(&row.id).fetch_optional(&mut **c).await?
    });
    let Some((at, entry)) = revocation else { return Ok(Vec::new()) };
    on!(session, c => {
        let query = sqlx::query(
            r#"INSERT INTO "RetentionItem" ("recordingId", "orgId", "clientId", "callId", "revocationSeq", "queuedAt", "dueAt", "attempts")
               VALUES ($1, $2, $3, $4, $5, $6, $7, 0) ON CONFLICT ("recordingId") DO NOTHING"#,
        );
        let query = query.bind(&row.id).bind(&row.org_id).bind(&row.client_id).bind(&row.call_id);
        query.bind(entry).bind(at).bind(due(at)).execute(&mut **c).await?;
    });
    let entry = entry.cast_unsigned();
    let queued = queued_event(&row.org_id, &row.client_id, Actor::System, at, entry, 1);
    Ok(std::iter::once(queued).chain(artifacts::queue_late(session, row, at, entry).await?).collect())
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
pub(super) async fn marked(session: &mut Session<'_>, org_id: &str, client_id: &str) -> Result<(u64, Option<WallTime>), sqlx::Error> {
    let (count, until): (i64, Option<WallTime>) = on!(session, c => {
        let query = sqlx::query_as(
            r#"SELECT count(*), max("dueAt") FROM "RetentionItem" WHERE "orgId" = $1 AND "clientId" = $2 AND "deletedAt" IS NULL"#,
        );
        query.bind(org_id).bind(client_id).fetch_one(&mut **c).await?
    });
    Ok((count.cast_unsigned(), until))
}

/// The next due recording that nobody deletes and no hold keeps. Two who ask at once never get the same: who comes second
/// finds the condition changed.
pub(super) async fn claim(session: &mut Session<'_>, claim: &Claim) -> Result<Option<RetentionRow>, sqlx::Error> {
    let text = AssertSqlSafe(format!(
        r#"UPDATE "RetentionItem" AS i SET "claimedBy" = $1, "claimedUntil" = $2, "begunAt" = NULL, "attempts" = i."attempts" + 1
           WHERE (i."claimedUntil" IS NULL OR i."claimedUntil" <= $5) AND i."deletedAt" IS NULL AND i."recordingId" = (
             SELECT n."recordingId" FROM "RetentionItem" n
             WHERE n."deletedAt" IS NULL AND n."dueAt" <= $3 AND n."recordingId" > $4
               AND (n."claimedUntil" IS NULL OR n."claimedUntil" <= $5)
               AND NOT EXISTS (SELECT 1 FROM "LegalHold" h
                               WHERE h."orgId" = n."orgId" AND h."clientId" = n."clientId" AND h."liftedAt" IS NULL)
             ORDER BY n."recordingId" LIMIT 1)
           RETURNING {}"#,
        ITEM.replace("i.", "")
    ));
    Ok(on!(session, c => {
        let query = sqlx::query_as(text).bind(&claim.by).bind(claim.until).bind(claim.as_of).bind(&claim.after).bind(claim.now);
        query.fetch_optional(&mut **c).await?
    }))
}

/// Begins the deletion of what `by` has claimed, unless a hold was placed meanwhile. Whoever asks this and whoever places a hold have
/// the organisation's chain in hand: one comes first, and the other sees it.
pub(super) async fn begin(session: &mut Session<'_>, recording_id: &str, by: &str, at: WallTime) -> Result<bool, sqlx::Error> {
    let begun = on!(session, c => {
        let query = sqlx::query(
            r#"UPDATE "RetentionItem" SET "begunAt" = $1
               WHERE "recordingId" = $2 AND "claimedBy" = $3 AND "deletedAt" IS NULL
                 AND NOT EXISTS (SELECT 1 FROM "LegalHold" h WHERE h."orgId" = "RetentionItem"."orgId"
                                 AND h."clientId" = "RetentionItem"."clientId" AND h."liftedAt" IS NULL)"#,
        );
        query.bind(at).bind(recording_id).bind(by).execute(&mut **c).await?.rows_affected()
    });
    Ok(begun > 0)
}

/// A hold came before the deletion began: the claim is given back, as if it had not been made.
pub(super) async fn give_back(session: &mut Session<'_>, recording_id: &str, by: &str) -> Result<bool, sqlx::Error> {
    let given = on!(session, c => {
        let query = sqlx::query(
            r#"UPDATE "RetentionItem" SET "claimedBy" = NULL, "claimedUntil" = NULL, "attempts" = "attempts" - 1
               WHERE "recordingId" = $1 AND "claimedBy" = $2 AND "deletedAt" IS NULL"#,
        );
        query.bind(recording_id).bind(by).execute(&mut **c).await?.rows_affected()
    });
    Ok(given > 0)
}

/// Recordings of a client whose deletion is under way: a hold comes too late for them.
pub(super) async fn under_way(session: &mut Session<'_>, org_id: &str, client_id: &str, now: WallTime) -> Result<Vec<String>, sqlx::Error> {
    let rows: Vec<(String,)> = on!(session, c => {
        let query = sqlx::query_as(
            r#"SELECT "recordingId" FROM "RetentionItem" WHERE "orgId" = $1 AND "clientId" = $2 AND "deletedAt" IS NULL
                 AND "begunAt" IS NOT NULL AND "claimedUntil" > $3 ORDER BY "recordingId""#,
        );
        query.bind(org_id).bind(client_id).bind(now).fetch_all(&mut **c).await?
    });
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Marks a recording as deleted. `false`: it is not `by`'s to say, or was said before.
pub(super) async fn deleted(session: &mut Session<'_>, recording_id: &str, by: &str, at: WallTime) -> Result<bool, sqlx::Error> {
    let marked = on!(session, c => {
        let query = sqlx::query(
            r#"UPDATE "RetentionItem" SET "deletedAt" = $1, "claimedBy" = NULL, "claimedUntil" = NULL, "begunAt" = NULL, "lastError" = NULL
               WHERE "recordingId" = $2 AND "claimedBy" = $3 AND "deletedAt" IS NULL"#,
        );
        query.bind(at).bind(recording_id).bind(by).execute(&mut **c).await?.rows_affected()
    });
    Ok(marked > 0)
}

/// Keeps why a recording is not deleted, and lets others try.
pub(super) async fn not_deleted(session: &mut Session<'_>, recording_id: &str, by: &str, why: &str) -> Result<bool, sqlx::Error> {
    let kept = on!(session, c => {
        let query = sqlx::query(
            r#"UPDATE "RetentionItem" SET "lastError" = $1, "claimedBy" = NULL, "claimedUntil" = NULL, "begunAt" = NULL
               WHERE "recordingId" = $2 AND "claimedBy" = $3 AND "deletedAt" IS NULL"#,
        );
        query.bind(why).bind(recording_id).bind(by).execute(&mut **c).await?.rows_affected()
    });
    Ok(kept > 0)
}

/// A read or a denial stands in the access log as well, by the same commit as its entry.
pub(super) async fn log_access(session: &mut Session<'_>, seq: u64, event: &Event) -> Result<(), sqlx::Error> {
    if !matches!(event.kind, EventKind::RecordingRead | EventKind::EvidenceExported | EventKind::AccessDenied) {
        return Ok(());
    }
    let told = |name: &str| event.detail.get(name).and_then(Value::as_str);
    let user = match &event.actor {
        Actor::User { id, .. } | Actor::Client { id } => id,
        Actor::System => "callgate",
    };
    let outcome = told("outcome").unwrap_or(if event.kind == EventKind::AccessDenied { "DENIED" } else { "ALLOWED" });
    on!(session, c => {
        let query = sqlx::query(
            r#"INSERT INTO "AccessLog" ("orgId", "auditSeq", "at", "userId", "what", "outcome", "recordingId", "callId", "clientId")
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"#,
        );
        let query = query.bind(&event.org_id).bind(seq.cast_signed()).bind(event.at).bind(user);
        let query = query.bind(told("what").or_else(|| told("asked")).unwrap_or_default()).bind(outcome);
        query.bind(told("recordingId")).bind(&event.call_id).bind(&event.client_id).execute(&mut **c).await?;
    });
    Ok(())
}

/// A recording in the queue that is due, and whether a hold keeps it there.
struct Due {
    item: RetentionRow,
    held: bool,
}

macro_rules! item {
    ($row:ident) => {
        RetentionRow {
            recording_id: $row.try_get("recordingId")?,
            org_id: $row.try_get("orgId")?,
            client_id: $row.try_get("clientId")?,
            call_id: $row.try_get("callId")?,
            queued_at: $row.try_get::<WallTime, _>("queuedAt")?.to_string(),
            due_at: $row.try_get::<WallTime, _>("dueAt")?.to_string(),
            attempts: $row.try_get::<i64, _>("attempts")?.cast_unsigned(),
            last_error: $row.try_get("lastError")?,
            deleted_at: $row.try_get::<Option<WallTime>, _>("deletedAt")?.map(|at| at.to_string()),
        }
    };
}

from_row!(RetentionRow, row => Ok(item!(row)));
from_row!(Due, row => Ok(Self { item: item!(row), held: row.try_get::<Option<&str>, _>("holdId")?.is_some() }));
