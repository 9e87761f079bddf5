//! Rows as others see them, and the questions that readers ask. None of them waits for the writer.

use serde_json::Value;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};

use super::{Database, DatabaseError};
use crate::engine::call::RecordingState;
use crate::engine::consent::{ConsentRecord, ConsentStatus};

/// Where a client stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StandingRow {
    /// Granted, revoked; pending if there is no record.
    pub status: ConsentStatus,
    /// How many records there are.
    pub seen: u64,
}

/// A line of a client's consent history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryRow {
    /// The whole of it.
    pub record: ConsentRecord,
    /// Which of the client's records it is, from 1.
    pub version: u64,
    /// The chain's entry that carries it.
    pub seq: u64,
}

/// A call, as it was last written.
#[derive(Clone, PartialEq, Debug)]
pub struct CallRow {
    /// Ours.
    pub id: String,
    /// Twilio's.
    pub call_sid: String,
    /// The client.
    pub client_id: String,
    /// The case manager.
    pub case_manager_id: String,
    /// The organisation.
    pub org_id: String,
    /// `INBOUND` or `OUTBOUND`.
    pub direction: String,
    /// `phase` of the JSON.
    pub phase: String,
    /// When consent was given on it.
    pub consent_granted_at: Option<String>,
    /// How.
    pub consent_method: Option<String>,
    /// Whether anything of it is recorded.
    pub is_recorded: bool,
    /// Its recording.
    pub recording_id: Option<String>,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// The JSON of `GET /api/calls/{callId}`.
    pub state: Value,
}

/// A recording, as it was last written.
#[derive(Clone, PartialEq, Debug)]
pub struct RecordingRow {
    /// Its id.
    pub id: String,
    /// Its call.
    pub call_id: String,
    /// The organisation.
    pub org_id: String,
    /// The client.
    pub client_id: String,
    /// Where it is.
    pub state: RecordingState,
    /// The ledger entry that allows it.
    pub grant_seq: u64,
    /// Its key in the object store, once it is there.
    pub object_key: Option<String>,
    /// `wav` or `opus`.
    pub format: String,
    /// SHA-256 of the stored audio.
    pub sha256: Option<String>,
    /// Its length.
    pub bytes: Option<u64>,
    /// The same in time.
    pub duration_ms: Option<u64>,
    /// Why it is not finished.
    pub reason: Option<String>,
    /// When it began.
    pub created_at: String,
    /// When it was stored, or given up.
    pub finished_at: Option<String>,
}

/// How a call's recording was to end, for a spool that does not tell.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ruling {
    /// Nothing of it may be kept.
    pub discarded: bool,
    /// The client said no on this call.
    pub revoked: bool,
    /// Nothing of this stream counts past this millisecond of its media.
    pub cut: Option<(String, u64)>,
}

/// Which calls to list.
#[derive(Clone, Default, Debug)]
pub struct CallFilter {
    /// Of this organisation.
    pub org_id: Option<String>,
    /// With Twilio's id.
    pub call_sid: Option<String>,
    /// Of this client.
    pub client_id: Option<String>,
    /// In this phase.
    pub phase: Option<String>,
    /// Before this start time: the page after the one that ended there.
    pub before: Option<String>,
    /// At most so many.
    pub limit: u32,
}

impl Database {
    /// Where a client stands.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn standing(&self, org_id: &str, client_id: &str) -> Result<StandingRow, DatabaseError> {
        let row = sqlx::query(
            r#"SELECT "status", "version" FROM "ConsentRecord" WHERE "orgId" = $1 AND "clientId" = $2 ORDER BY "version" DESC LIMIT 1"#,
        )
        .bind(org_id)
        .bind(client_id)
        .fetch_optional(self.readers())
        .await?;
        Ok(row.map_or(StandingRow { status: ConsentStatus::Pending, seen: 0 }, |row| StandingRow {
            status: if row.get::<&str, _>(0) == "GRANTED" { ConsentStatus::Granted } else { ConsentStatus::Revoked },
            seen: row.get::<i64, _>(1).cast_unsigned(),
        }))
    }

    /// A client's consent history, newest first.
    ///
    /// # Errors
    /// [`DatabaseError::Query`], or [`DatabaseError::Row`].
    pub async fn consent_history(&self, org_id: &str, client_id: &str, limit: u32) -> Result<Vec<HistoryRow>, DatabaseError> {
        let rows = sqlx::query(
            r#"SELECT "record", "version", "auditSeq" FROM "ConsentRecord" WHERE "orgId" = $1 AND "clientId" = $2
               ORDER BY "version" DESC LIMIT $3"#,
        )
        .bind(org_id)
        .bind(client_id)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        let read = |row: &SqliteRow| {
            Ok(HistoryRow {
                record: serde_json::from_str(row.try_get(0)?).map_err(|_| DatabaseError::Row("ConsentRecord"))?,
                version: row.try_get::<i64, _>(1)?.cast_unsigned(),
                seq: row.try_get::<i64, _>(2)?.cast_unsigned(),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Whether a chain's entry carries this consent record: whether a spool left by a crash may be kept.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn grant_is_durable(&self, org_id: &str, seq: u64, record_id: &str) -> Result<bool, DatabaseError> {
        let row =
            sqlx::query(r#"SELECT 1 FROM "ConsentRecord" WHERE "orgId" = $1 AND "auditSeq" = $2 AND "id" = $3 AND "status" = 'GRANTED'"#)
                .bind(org_id)
                .bind(seq.cast_signed())
                .bind(record_id)
                .fetch_optional(self.readers())
                .await?;
        Ok(row.is_some())
    }

    /// What a call's chain says of how its recording was to end.
    ///
    /// # Errors
    /// [`DatabaseError::Query`], or [`DatabaseError::Row`].
    pub async fn ruling(&self, org_id: &str, call_id: &str) -> Result<Ruling, DatabaseError> {
        let rows = sqlx::query(
            r#"SELECT "kind", "entry" FROM "AuditEvent" WHERE "callId" = $1 AND "orgId" = $2
               AND "kind" IN ('recording.halted', 'recording.discarded', 'consent.revoked') ORDER BY "seq""#,
        )
        .bind(call_id)
        .bind(org_id)
        .fetch_all(self.readers())
        .await?;
        let mut ruling = Ruling::default();
        for row in rows {
            match row.try_get(0)? {
                "recording.discarded" => ruling.discarded = true,
                "consent.revoked" => ruling.revoked = true,
                _ => {
                    let entry: Value = serde_json::from_str(row.try_get(1)?).map_err(|_| DatabaseError::Row("AuditEvent"))?;
                    let stream = entry.pointer("/position/streamSid").and_then(Value::as_str);
                    let at = entry.pointer("/detail/cutAtMs").and_then(Value::as_u64);
                    let cut = stream.zip(at).ok_or(DatabaseError::Row("AuditEvent"))?;
                    ruling.cut = Some((cut.0.to_owned(), cut.1));
                }
            }
        }
        Ok(ruling)
    }

    /// One call.
    ///
    /// # Errors
    /// [`DatabaseError::Query`], or [`DatabaseError::Row`].
    pub async fn call(&self, id: &str) -> Result<Option<CallRow>, DatabaseError> {
        let row = sqlx::query(r#"SELECT * FROM "Call" WHERE "id" = $1"#).bind(id).fetch_optional(self.readers()).await?;
        row.as_ref().map(CallRow::read).transpose()
    }

    /// Calls, newest first.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn calls(&self, filter: &CallFilter) -> Result<Vec<CallRow>, DatabaseError> {
        let columns = [
            (r#""orgId" ="#, &filter.org_id),
            (r#""callSid" ="#, &filter.call_sid),
            (r#""clientId" ="#, &filter.client_id),
            (r#""phase" ="#, &filter.phase),
            (r#""startedAt" <"#, &filter.before),
        ];
        let asked: Vec<_> = columns.into_iter().filter_map(|(column, value)| value.as_ref().map(|value| (column, value))).collect();
        let terms: Vec<_> = asked.iter().enumerate().map(|(n, (column, _))| format!("{column} ${}", n + 1)).collect();
        let terms = if terms.is_empty() { String::new() } else { format!("WHERE {}", terms.join(" AND ")) };
        // Built of our own column names alone; values are bound.
        let text = format!(r#"SELECT * FROM "Call" {terms} ORDER BY "startedAt" DESC, "id" LIMIT {}"#, filter.limit.min(500));
        let mut query = sqlx::query(AssertSqlSafe(text));
        for (_, value) in asked {
            query = query.bind(value);
        }
        query.fetch_all(self.readers()).await?.iter().map(CallRow::read).collect()
    }

    /// One recording.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn recording(&self, id: &str) -> Result<Option<RecordingRow>, DatabaseError> {
        let row = sqlx::query(r#"SELECT * FROM "Recording" WHERE "id" = $1"#).bind(id).fetch_optional(self.readers()).await?;
        row.as_ref().map(RecordingRow::read).transpose()
    }

    /// Entries of an organisation's chain after number `after`: number, hash, canonical bytes.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn audit(
        &self,
        org_id: &str,
        client_id: Option<&str>,
        call_id: Option<&str>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, String, String)>, DatabaseError> {
        let rows = sqlx::query(
            r#"SELECT "seq", "hash", "entry" FROM "AuditEvent"
               WHERE "orgId" = $1 AND "seq" > $2 AND ($3 IS NULL OR "clientId" = $3) AND ($4 IS NULL OR "callId" = $4)
               ORDER BY "seq" LIMIT $5"#,
        )
        .bind(org_id)
        .bind(after.cast_signed())
        .bind(client_id)
        .bind(call_id)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(|row| (row.get::<i64, _>(0).cast_unsigned(), row.get(1), row.get(2))).collect())
    }

    /// Whether it answers.
    pub async fn ready(&self) -> bool {
        sqlx::query("SELECT 1").fetch_one(self.readers()).await.is_ok()
    }
}

impl CallRow {
    pub(super) async fn write(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        // What the columns below repeat, so that the main app may ask for it, stands in the state already.
        let told = |pointer: &str| self.state.pointer(pointer).and_then(Value::as_str);
        let seconds = self.state.pointer("/durationSeconds").and_then(Value::as_i64);
        sqlx::query(
            r#"INSERT INTO "Call" ("id", "callSid", "clientId", "caseManagerId", "orgId", "direction", "phase", "consentGrantedAt",
                 "consentMethod", "isRecorded", "recordingId", "startedAt", "endedAt", "state", "languageCode", "promptVersion",
                 "unrecordedReason", "connectedAt", "durationSeconds")
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
               ON CONFLICT ("id") DO UPDATE SET "callSid" = $2, "phase" = $7, "consentGrantedAt" = $8, "consentMethod" = $9,
                 "isRecorded" = $10, "recordingId" = $11, "endedAt" = $13, "state" = $14, "languageCode" = $15, "promptVersion" = $16,
                 "unrecordedReason" = $17, "connectedAt" = $18, "durationSeconds" = $19"#,
        )
        .bind(&self.id)
        .bind(&self.call_sid)
        .bind(&self.client_id)
        .bind(&self.case_manager_id)
        .bind(&self.org_id)
        .bind(&self.direction)
        .bind(&self.phase)
        .bind(&self.consent_granted_at)
        .bind(&self.consent_method)
        .bind(self.is_recorded)
        .bind(&self.recording_id)
        .bind(&self.started_at)
        .bind(&self.ended_at)
        .bind(self.state.to_string())
        .bind(told("/consent/languageCode"))
        .bind(told("/consent/promptVersion"))
        .bind(told("/unrecordedReason"))
        .bind(told("/connectedAt"))
        .bind(seconds)
        .execute(&mut *connection)
        .await?;
        Ok(())
    }

    pub(super) fn read(row: &SqliteRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.try_get("id")?,
            call_sid: row.try_get("callSid")?,
            client_id: row.try_get("clientId")?,
            case_manager_id: row.try_get("caseManagerId")?,
            org_id: row.try_get("orgId")?,
            direction: row.try_get("direction")?,
            phase: row.try_get("phase")?,
            consent_granted_at: row.try_get("consentGrantedAt")?,
            consent_method: row.try_get("consentMethod")?,
            is_recorded: row.try_get("isRecorded")?,
            recording_id: row.try_get("recordingId")?,
            started_at: row.try_get("startedAt")?,
            ended_at: row.try_get("endedAt")?,
            state: serde_json::from_str(row.try_get("state")?).map_err(|_| DatabaseError::Row("Call"))?,
        })
    }
}

impl RecordingRow {
    pub(super) async fn write(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let state = serde_json::to_value(self.state).map_err(|why| sqlx::Error::Encode(Box::new(why)))?;
        sqlx::query(
            r#"INSERT INTO "Recording" ("id", "callId", "orgId", "clientId", "state", "grantSeq", "objectKey", "format", "sha256", "bytes",
                 "durationMs", "reason", "createdAt", "finishedAt")
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
               ON CONFLICT ("id") DO UPDATE SET "state" = $5, "objectKey" = $7, "sha256" = $9, "bytes" = $10, "durationMs" = $11,
                 "reason" = $12, "finishedAt" = $14"#,
        )
        .bind(&self.id)
        .bind(&self.call_id)
        .bind(&self.org_id)
        .bind(&self.client_id)
        .bind(state.as_str())
        .bind(self.grant_seq.cast_signed())
        .bind(&self.object_key)
        .bind(&self.format)
        .bind(&self.sha256)
        .bind(self.bytes.map(u64::cast_signed))
        .bind(self.duration_ms.map(u64::cast_signed))
        .bind(&self.reason)
        .bind(&self.created_at)
        .bind(&self.finished_at)
        .execute(connection)
        .await
        .map(|_| ())
    }

    pub(super) fn read(row: &SqliteRow) -> Result<Self, DatabaseError> {
        let state = Value::String(row.try_get("state")?);
        Ok(Self {
            id: row.try_get("id")?,
            call_id: row.try_get("callId")?,
            org_id: row.try_get("orgId")?,
            client_id: row.try_get("clientId")?,
            state: serde_json::from_value(state).map_err(|_| DatabaseError::Row("Recording"))?,
            grant_seq: row.try_get::<i64, _>("grantSeq")?.cast_unsigned(),
            object_key: row.try_get("objectKey")?,
            format: row.try_get("format")?,
            sha256: row.try_get("sha256")?,
            bytes: row.try_get::<Option<i64>, _>("bytes")?.map(i64::cast_unsigned),
            duration_ms: row.try_get::<Option<i64>, _>("durationMs")?.map(i64::cast_unsigned),
            reason: row.try_get("reason")?,
            created_at: row.try_get("createdAt")?,
            finished_at: row.try_get("finishedAt")?,
        })
    }
}
