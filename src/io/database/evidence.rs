//! What evidence of a call is made of: the chain's entries about it, its client's consent records with their salts, and what
//! other tables say of it.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row as _};

use super::backend::{from_row, on};
use super::columns::Word;
use super::read::{RECORDING, RecordingRow};
use super::{Database, DatabaseError};
use crate::engine::time::WallTime;

/// A consent record as it is stored, and what opens its entry's commitment to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenedRow {
    /// The entry's number.
    pub seq: u64,
    /// The call that it came from.
    pub call_id: Option<String>,
    /// Its canonical bytes.
    pub record: String,
    /// The salt beside them.
    pub salt: String,
}

/// A call's own entries, its client's decisions on whatever call, and what else is about the client and no call: holds, queues.
/// Who looked at where the client stands is about neither.
const ENTRIES: &str = r#"
  SELECT a."seq", a."entry" FROM "AuditEvent" a WHERE a."orgId" = $1 AND a."seq" IN (
      SELECT c."seq" FROM "AuditEvent" c WHERE c."callId" = $2 AND c."orgId" = $1
      UNION SELECT d."seq" FROM "AuditEvent" d WHERE d."orgId" = $1 AND d."clientId" = $3)
    AND (a."callId" = $2 OR a."kind" IN ('consent.granted', 'consent.revoked', 'consent.annulled') OR (a."callId" IS NULL AND a."kind" <> 'consent.viewed'))
  ORDER BY a."seq" LIMIT $4"#;

impl Database {
    /// The entries of an organisation's chain that are about a call or its client's consent: number and canonical bytes.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn evidence_entries(
        &self,
        org_id: &str,
        call_id: &str,
        client_id: &str,
        limit: u32,
    ) -> Result<Vec<(u64, String)>, DatabaseError> {
        let rows: Vec<(i64, String)> = on!(&self.readers, pool => {
            sqlx::query_as(ENTRIES).bind(org_id).bind(call_id).bind(client_id).bind(i64::from(limit)).fetch_all(pool).await?
        });
        Ok(rows.into_iter().map(|(seq, entry)| (seq.cast_unsigned(), entry)).collect())
    }

    /// A client's consent records, oldest first.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn opened_records(&self, org_id: &str, client_id: &str, limit: u32) -> Result<Vec<OpenedRow>, DatabaseError> {
        let rows: Vec<(i64, Option<String>, String, String)> = on!(&self.readers, pool => {
            let query = sqlx::query_as(
                r#"SELECT "auditSeq", "callId", "record", "salt" FROM "ConsentRecord" WHERE "orgId" = $1 AND "clientId" = $2
                   ORDER BY "version" LIMIT $3"#,
            );
            query.bind(org_id).bind(client_id).bind(i64::from(limit)).fetch_all(pool).await?
        });
        Ok(rows.into_iter().map(|(seq, call_id, record, salt)| OpenedRow { seq: seq.cast_unsigned(), call_id, record, salt }).collect())
    }

    /// What happened to a call, in order: which of its events, when, what is new, and the phase it was then in.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn journey(&self, call_id: &str, limit: u32) -> Result<Vec<Value>, DatabaseError> {
        let rows: Vec<Step> = on!(&self.readers, pool => {
            let query = sqlx::query_as(
                r#"SELECT "version", "at", "kinds", "phase" FROM "CallEvent" WHERE "callId" = $1 ORDER BY "version" LIMIT $2"#,
            );
            query.bind(call_id).bind(i64::from(limit)).fetch_all(pool).await?
        });
        Ok(rows.into_iter().map(|Step(told)| told).collect())
    }

    /// A call's recordings.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn recordings_of(&self, call_id: &str, limit: u32) -> Result<Vec<RecordingRow>, DatabaseError> {
        let text = AssertSqlSafe(format!(r#"SELECT {RECORDING} FROM "Recording" WHERE "callId" = $1 ORDER BY "createdAt", "id" LIMIT $2"#));
        Ok(on!(&self.readers, pool => sqlx::query_as(text).bind(call_id).bind(i64::from(limit)).fetch_all(pool).await?))
    }

    /// A call's items in the deletion queue, as evidence tells them.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn retention_of(&self, org_id: &str, client_id: &str, call_id: &str, limit: u32) -> Result<Vec<Value>, DatabaseError> {
        let rows: Vec<Queued> = on!(&self.readers, pool => {
            let query = sqlx::query_as(
                r#"SELECT "recordingId", "revocationSeq", "queuedAt", "dueAt", "attempts", "deletedAt" FROM "RetentionItem"
                   WHERE "orgId" = $1 AND "clientId" = $2 AND "callId" = $3 ORDER BY "recordingId" LIMIT $4"#,
            );
            query.bind(org_id).bind(client_id).bind(call_id).bind(i64::from(limit)).fetch_all(pool).await?
        });
        Ok(rows.into_iter().map(|Queued(told)| told).collect())
    }

    /// A client's legal holds, without their reasons and without names.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn holds_of(&self, org_id: &str, client_id: &str, limit: u32) -> Result<Vec<Value>, DatabaseError> {
        let rows: Vec<Held> = on!(&self.readers, pool => {
            let query = sqlx::query_as(
                r#"SELECT "id", "placedBy", "placedAt", "liftedBy", "liftedAt" FROM "LegalHold" WHERE "orgId" = $1 AND "clientId" = $2
                   ORDER BY "placedAt", "id" LIMIT $3"#,
            );
            query.bind(org_id).bind(client_id).bind(i64::from(limit)).fetch_all(pool).await?
        });
        Ok(rows.into_iter().map(|Held(told)| told).collect())
    }
}

/// Rows as evidence tells them.
struct Step(Value);
struct Queued(Value);
struct Held(Value);

from_row!(Step, row => Ok(Self(json!({
    "version": row.try_get::<i64, _>("version")?,
    "at": row.try_get::<WallTime, _>("at")?,
    "kinds": row.try_get::<String, _>("kinds")?.split(' ').collect::<Vec<_>>(),
    "phase": row.try_get::<Word, _>("phase")?.0,
}))));

from_row!(Queued, row => Ok(Self(json!({
    "recordingId": row.try_get::<String, _>("recordingId")?,
    "revocation": row.try_get::<i64, _>("revocationSeq")?,
    "queuedAt": row.try_get::<WallTime, _>("queuedAt")?,
    "dueAt": row.try_get::<WallTime, _>("dueAt")?,
    "attempts": row.try_get::<i64, _>("attempts")?,
    "deletedAt": row.try_get::<Option<WallTime>, _>("deletedAt")?,
}))));

from_row!(Held, row => Ok(Self(json!({
    "id": row.try_get::<String, _>("id")?,
    "placedBy": row.try_get::<String, _>("placedBy")?,
    "placedAt": row.try_get::<WallTime, _>("placedAt")?,
    "liftedBy": row.try_get::<Option<String>, _>("liftedBy")?,
    "liftedAt": row.try_get::<Option<WallTime>, _>("liftedAt")?,
}))));
