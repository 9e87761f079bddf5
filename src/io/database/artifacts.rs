//! What other systems have made of calls: registered, queued with the recordings, asked back from its owner, seen to be gone by the
//! owner's word.

use serde_json::json;
use sqlx::{AssertSqlSafe, Row as _};

use super::append::latest;
use super::backend::{Session, from_row, on};
use super::columns::Word;
use super::read::RecordingRow;
use super::{Database, DatabaseError};
use crate::engine::artifact::ArtifactKind;
use crate::engine::consent::{Actor, ConsentRecord, ConsentStatus, QueuedCalls, Queues, due};
use crate::engine::ledger::{Event, EventKind};
use crate::engine::time::WallTime;

/// An artifact that lies with its owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArtifactRow {
    /// Ours.
    pub id: String,
    /// The organisation.
    pub org_id: String,
    /// What it was made of.
    pub call_id: String,
    /// Whom it is about.
    pub client_id: String,
    /// What it is.
    pub kind: ArtifactKind,
    /// Its id where it lies.
    pub owner_id: String,
    /// Who registered it.
    pub registered_by: String,
    /// When.
    pub registered_at: WallTime,
    /// When a revocation queued it.
    pub queued_at: Option<WallTime>,
    /// When it is to be gone.
    pub due_at: Option<WallTime>,
    /// How often its owner has taken the request to delete it.
    pub asks: u64,
    /// When last.
    pub asked_at: Option<WallTime>,
    /// When it was told that it is overdue.
    pub alarmed_at: Option<WallTime>,
    /// When its owner said that it is gone.
    pub deleted_at: Option<WallTime>,
}

/// What came of a registration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Registered {
    /// It is registered.
    New(ArtifactRow),
    /// It was, under its owner's id: as it stands.
    Known(ArtifactRow),
    /// The client has withdrawn meanwhile, or the recording is queued for deletion: nothing was written.
    Refused,
}

/// Columns of an [`ArtifactRow`].
const ARTIFACT: &str = r#"a."id", a."orgId", a."callId", a."clientId", a."kind", a."ownerId", a."registeredBy", a."registeredAt", a."queuedAt",
  a."dueAt", a."asks", a."askedAt", a."alarmedAt", a."deletedAt""#;

impl Database {
    /// What was registered of a call, oldest first.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn artifacts(&self, org_id: &str, call_id: &str, limit: u32) -> Result<Vec<ArtifactRow>, DatabaseError> {
        let text = AssertSqlSafe(format!(
            r#"SELECT {ARTIFACT} FROM "Artifact" a WHERE a."orgId" = $1 AND a."callId" = $2 ORDER BY a."registeredAt", a."id" LIMIT $3"#
        ));
        Ok(on!(&self.readers, pool => {
            sqlx::query_as(text).bind(org_id).bind(call_id).bind(i64::from(limit)).fetch_all(pool).await?
        }))
    }

    /// One artifact.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn artifact(&self, id: &str) -> Result<Option<ArtifactRow>, DatabaseError> {
        let text = AssertSqlSafe(format!(r#"SELECT {ARTIFACT} FROM "Artifact" a WHERE a."id" = $1"#));
        Ok(on!(&self.readers, pool => sqlx::query_as(text).bind(id).fetch_optional(pool).await?))
    }

    /// What is due by `as_of`, or made of a recording that was discarded or is itself due, so that nothing made of it outlives it; not
    /// gone, and kept by no hold; past artifact `after` in the order of ids.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn artifacts_due(&self, as_of: WallTime, after: &str, limit: u32) -> Result<Vec<ArtifactRow>, DatabaseError> {
        let text = AssertSqlSafe(format!(
            r#"SELECT {ARTIFACT} FROM "Artifact" a
               WHERE a."deletedAt" IS NULL AND a."id" > $2 AND (a."dueAt" <= $1 OR (a."dueAt" IS NULL AND a."kind" <> 'AGENT_NOTES' AND EXISTS (
                 SELECT 1 FROM "Recording" r LEFT JOIN "RetentionItem" i ON i."recordingId" = r."id"
                 WHERE r."callId" = a."callId" AND (r."state" = 'DISCARDED' OR i."dueAt" <= $1))))
               AND NOT EXISTS (SELECT 1 FROM "LegalHold" h
                 WHERE h."orgId" = a."orgId" AND h."clientId" = a."clientId" AND h."liftedAt" IS NULL)
               ORDER BY a."id" LIMIT $3"#
        ));
        Ok(on!(&self.readers, pool => sqlx::query_as(text).bind(as_of).bind(after).bind(i64::from(limit)).fetch_all(pool).await?))
    }

    /// When the client last said no, if ever, and whether that is the newest word.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn withdrawal(&self, org_id: &str, client_id: &str) -> Result<(bool, Option<WallTime>), DatabaseError> {
        let found: Option<(WallTime, i64)> = on!(&self.readers, pool => {
            let query = sqlx::query_as(
                r#"SELECT c."at", (SELECT count(*) FROM "ConsentRecord" l WHERE l."orgId" = $1 AND l."clientId" = $2 AND l."version" > c."version")
                   FROM "ConsentRecord" c WHERE c."orgId" = $1 AND c."clientId" = $2 AND c."status" = 'REVOKED'
                   ORDER BY c."version" DESC LIMIT 1"#,
            );
            query.bind(org_id).bind(client_id).fetch_optional(pool).await?
        });
        Ok(found.map_or((false, None), |(at, later)| (later == 0, Some(at))))
    }
}

/// Registers an artifact, unless its owner's id is known, or what it is made of may not be used any more. Whoever registers and whoever
/// revokes have the organisation's chain in hand: the one that comes second sees what the first has written.
pub(super) async fn register(session: &mut Session<'_>, row: &ArtifactRow) -> Result<Registered, sqlx::Error> {
    let text = AssertSqlSafe(format!(r#"SELECT {ARTIFACT} FROM "Artifact" a WHERE a."orgId" = $1 AND a."ownerId" = $2"#));
    let known: Option<ArtifactRow> =
        on!(session, c => sqlx::query_as(text).bind(&row.org_id).bind(&row.owner_id).fetch_optional(&mut **c).await?);
    if let Some(known) = known {
        return Ok(Registered::Known(known));
    }
    if row.kind.is_derived() {
        let newest = latest(session, &row.org_id, &row.client_id).await?;
        if newest.is_some_and(|(record, ..)| record.status != ConsentStatus::Granted) {
            return Ok(Registered::Refused);
        }
        let queued = on!(session, c => {
            let query = sqlx::query(
                r#"SELECT 1 FROM "Recording" r JOIN "RetentionItem" i ON i."recordingId" = r."id" WHERE r."callId" = $1 LIMIT 1"#,
            );
            query.bind(&row.call_id).fetch_optional(&mut **c).await?.is_some()
        });
        if queued {
            return Ok(Registered::Refused);
        }
    }
    on!(session, c => {
        let query = sqlx::query(
            r#"INSERT INTO "Artifact" ("id", "orgId", "callId", "clientId", "kind", "ownerId", "registeredBy", "registeredAt", "asks")
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)"#,
        );
        let query = query.bind(&row.id).bind(&row.org_id).bind(&row.call_id).bind(&row.client_id).bind(Word::from_text(row.kind.word()));
        query.bind(&row.owner_id).bind(&row.registered_by).bind(row.registered_at).execute(&mut **c).await?;
    });
    Ok(Registered::New(row.clone()))
}

/// Queues what a revocation queues; the line for the chain, if that is anything. A person's own notes rest on no consent, and stay.
pub(super) async fn queue(
    session: &mut Session<'_>,
    record: &ConsentRecord,
    entry: u64,
    queues: Queues,
) -> Result<Option<Event>, sqlx::Error> {
    let Some(QueuedCalls { spared, only }) = queues.calls(record.call_id.as_deref()) else { return Ok(None) };
    let queued = on!(session, c => {
        let query = sqlx::query(
            r#"UPDATE "Artifact" SET "revocationSeq" = $1, "queuedAt" = $2, "dueAt" = $3
               WHERE "orgId" = $4 AND "clientId" = $5 AND "callId" <> $6 AND $7 IN ('', "callId") AND "kind" <> 'AGENT_NOTES' AND "dueAt" IS NULL AND "deletedAt" IS NULL"#,
        );
        let query = query.bind(entry.cast_signed()).bind(record.at).bind(due(record.at));
        query.bind(&record.org_id).bind(&record.client_id).bind(spared).bind(only).execute(&mut **c).await?.rows_affected()
    });
    let event = || queued_event(&record.org_id, &record.client_id, record.actor.clone(), record.at, entry, queued);
    Ok((queued > 0).then(event))
}

/// Queues what was made of a call whose recording the revocation `entry` of then queues late, with that recording's date; the line for
/// the chain, if that is anything.
pub(super) async fn queue_late(
    session: &mut Session<'_>,
    recording: &RecordingRow,
    at: WallTime,
    entry: u64,
) -> Result<Option<Event>, sqlx::Error> {
    let queued = on!(session, c => {
        let query = sqlx::query(
            r#"UPDATE "Artifact" SET "revocationSeq" = $1, "queuedAt" = $2, "dueAt" = $3
               WHERE "orgId" = $4 AND "callId" = $5 AND "kind" <> 'AGENT_NOTES' AND "dueAt" IS NULL AND "deletedAt" IS NULL"#,
        );
        let query = query.bind(entry.cast_signed()).bind(at).bind(due(at)).bind(&recording.org_id).bind(&recording.call_id);
        query.execute(&mut **c).await?.rows_affected()
    });
    let event = || queued_event(&recording.org_id, &recording.client_id, Actor::System, at, entry, queued);
    Ok((queued > 0).then(event))
}

fn queued_event(org_id: &str, client_id: &str, actor: Actor, at: WallTime, entry: u64, artifacts: u64) -> Event {
    Event {
        org_id: org_id.to_owned(),
        kind: EventKind::ArtifactQueued,
        actor,
        call_id: None,
        client_id: Some(client_id.to_owned()),
        at,
        position: None,
        detail: json!({ "artifacts": artifacts, "revocation": entry, "dueAt": due(at) }),
    }
}

/// Its recording was discarded, or is to be gone now: so is it. `false`: it is queued already, or gone.
pub(super) async fn queue_one(session: &mut Session<'_>, id: &str, at: WallTime) -> Result<bool, sqlx::Error> {
    let done = on!(session, c => {
        let query = sqlx::query(
            r#"UPDATE "Artifact" SET "queuedAt" = $1, "dueAt" = $1 WHERE "id" = $2 AND "dueAt" IS NULL AND "deletedAt" IS NULL"#,
        );
        query.bind(at).bind(id).execute(&mut **c).await?.rows_affected()
    });
    Ok(done > 0)
}

/// Its owner has taken the request to delete it. `false`: it is gone, or another gateway has asked since.
pub(super) async fn asked(session: &mut Session<'_>, id: &str, asks: u64, at: WallTime) -> Result<bool, sqlx::Error> {
    let done = on!(session, c => {
        let query = sqlx::query(
            r#"UPDATE "Artifact" SET "askedAt" = $1, "asks" = "asks" + 1 WHERE "id" = $2 AND "asks" = $3 AND "deletedAt" IS NULL"#,
        );
        query.bind(at).bind(id).bind(asks.cast_signed()).execute(&mut **c).await?.rows_affected()
    });
    Ok(done > 0)
}

/// It is overdue, and that is told. `false`: it is gone, or was told before.
pub(super) async fn alarmed(session: &mut Session<'_>, id: &str, at: WallTime) -> Result<bool, sqlx::Error> {
    let done = on!(session, c => {
        let query = sqlx::query(r#"UPDATE "Artifact" SET "alarmedAt" = $1 WHERE "id" = $2 AND "alarmedAt" IS NULL AND "deletedAt" IS NULL"#);
        query.bind(at).bind(id).execute(&mut **c).await?.rows_affected()
    });
    Ok(done > 0)
}

/// Its owner says that it is gone. `false`: it was said before, or there is none; the first word counts.
pub(super) async fn deleted(session: &mut Session<'_>, id: &str, by: &str, at: WallTime) -> Result<bool, sqlx::Error> {
    let done = on!(session, c => {
        let query = sqlx::query(r#"UPDATE "Artifact" SET "deletedAt" = $1, "deletedBy" = $2 WHERE "id" = $3 AND "deletedAt" IS NULL"#);
        query.bind(at).bind(by).bind(id).execute(&mut **c).await?.rows_affected()
    });
    Ok(done > 0)
}

/// An artifact as this transaction sees it.
pub(super) async fn one(session: &mut Session<'_>, id: &str) -> Result<Option<ArtifactRow>, sqlx::Error> {
    let text = AssertSqlSafe(format!(r#"SELECT {ARTIFACT} FROM "Artifact" a WHERE a."id" = $1"#));
    Ok(on!(session, c => sqlx::query_as(text).bind(id).fetch_optional(&mut **c).await?))
}

from_row!(ArtifactRow, row => Ok(Self {
    id: row.try_get("id")?,
    org_id: row.try_get("orgId")?,
    call_id: row.try_get("callId")?,
    client_id: row.try_get("clientId")?,
    kind: row.try_get::<Word, _>("kind")?.meant()?,
    owner_id: row.try_get("ownerId")?,
    registered_by: row.try_get("registeredBy")?,
    registered_at: row.try_get("registeredAt")?,
    queued_at: row.try_get("queuedAt")?,
    due_at: row.try_get("dueAt")?,
    asks: row.try_get::<i64, _>("asks")?.cast_unsigned(),
    asked_at: row.try_get("askedAt")?,
    alarmed_at: row.try_get("alarmedAt")?,
    deleted_at: row.try_get("deletedAt")?,
}));
