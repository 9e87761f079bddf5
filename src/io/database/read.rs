//! Rows as others see them, and the questions that readers ask. None of them waits for the writer.

use std::time::Duration;

use serde_json::Value;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row as _};
use tokio::time::timeout;

use super::append::values;
use super::backend::{Session, from_row, on};
use super::columns::{Word, time, time_if_any};
use super::{Database, DatabaseError};
use crate::engine::call::{OPT_OUT_HEARD, RecordingState};
use crate::engine::consent::{ConsentRecord, ConsentStatus};
use crate::engine::ledger::Position;
use crate::engine::time::WallTime;

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
    /// In whose spool something of it may lie, where gateways have spools of their own.
    pub spool_id: Option<String>,
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
    /// Of one of these clients.
    pub clients: Option<Vec<String>>,
    /// In this phase.
    pub phase: Option<String>,
    /// Begun before this time, or then and of a later id than this: the page after the one that ended there.
    pub before: Option<(WallTime, Option<String>)>,
    /// At most so many.
    pub limit: u32,
}

impl Database {
    /// Where a client stands. A call waits for it, and so not for long.
    ///
    /// # Errors
    /// [`DatabaseError::Query`], or [`DatabaseError::Late`].
    pub async fn standing(&self, org_id: &str, client_id: &str) -> Result<StandingRow, DatabaseError> {
        let asked = async {
            let found: Option<StandingRow> = on!(&self.readers, pool => {
                let query = sqlx::query_as(
                    r#"SELECT "status", "version" FROM "ConsentRecord" WHERE "orgId" = $1 AND "clientId" = $2
                       ORDER BY "version" DESC LIMIT 1"#,
                );
                query.bind(org_id).bind(client_id).fetch_optional(pool).await?
            });
            Ok::<_, DatabaseError>(found)
        };
        let found = timeout(STANDING_WITHIN, asked).await.map_err(|_| DatabaseError::Late(STANDING_WITHIN))??;
        Ok(found.unwrap_or(StandingRow { status: ConsentStatus::Pending, seen: 0 }))
    }

    /// A client's consent history, newest first.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn consent_history(&self, org_id: &str, client_id: &str, limit: u32) -> Result<Vec<HistoryRow>, DatabaseError> {
        let rows = on!(&self.readers, pool => {
            let query = sqlx::query_as(
                r#"SELECT "record", "version", "auditSeq" FROM "ConsentRecord" WHERE "orgId" = $1 AND "clientId" = $2
                   ORDER BY "version" DESC LIMIT $3"#,
            );
            query.bind(org_id).bind(client_id).bind(i64::from(limit)).fetch_all(pool).await?
        });
        Ok(rows)
    }

    /// Whether a chain's entry carries this consent record: whether a spool left by a crash may be kept.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn grant_is_durable(&self, org_id: &str, seq: u64, record_id: &str) -> Result<bool, DatabaseError> {
        let found = on!(&self.readers, pool => {
            let query = sqlx::query(
                r#"SELECT 1 FROM "ConsentRecord" WHERE "orgId" = $1 AND "auditSeq" = $2 AND "id" = $3 AND "status" = 'GRANTED'"#,
            );
            query.bind(org_id).bind(seq.cast_signed()).bind(record_id).fetch_optional(pool).await?.is_some()
        });
        Ok(found)
    }

    /// What a call's chain says of how its recording was to end.
    ///
    /// # Errors
    /// [`DatabaseError::Query`], or [`DatabaseError::Row`].
    pub async fn ruling(&self, org_id: &str, call_id: &str) -> Result<Ruling, DatabaseError> {
        let rows: Vec<(String, String)> = on!(&self.readers, pool => {
            let query = sqlx::query_as(
                r#"SELECT "kind", "entry" FROM "AuditEvent" WHERE "callId" = $1 AND "orgId" = $2
                   AND "kind" IN ('recording.halted', 'recording.discarded', 'consent.revoked') ORDER BY "seq""#,
            );
            query.bind(call_id).bind(org_id).fetch_all(pool).await?
        });
        let mut ruling = Ruling::default();
        for (kind, entry) in rows {
            match kind.as_str() {
                "recording.discarded" => ruling.discarded = true,
                "consent.revoked" => ruling.revoked = true,
                _ => {
                    let entry: Value = serde_json::from_str(&entry).map_err(|_| DatabaseError::Row("AuditEvent"))?;
                    let stream = entry.pointer("/position/streamSid").and_then(Value::as_str);
                    let at = entry.pointer("/detail/cutAtMs").and_then(Value::as_u64);
                    let cut = stream.zip(at).ok_or(DatabaseError::Row("AuditEvent"))?;
                    ruling.cut = Some((cut.0.to_owned(), cut.1));
                }
            }
        }
        Ok(ruling)
    }

    /// Where the recording of a call was cut when its client was last heard to say no: in which stream, and at which millisecond of it.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn objection(&self, org_id: &str, call_id: &str) -> Result<Option<(Position, u64)>, DatabaseError> {
        let entries: Vec<(String,)> = on!(&self.readers, pool => {
            let query = sqlx::query_as(
                r#"SELECT "entry" FROM "AuditEvent" WHERE "callId" = $1 AND "orgId" = $2 AND "kind" = 'recording.paused'
                   ORDER BY "seq" DESC"#,
            );
            query.bind(call_id).bind(org_id).fetch_all(pool).await?
        });
        Ok(entries.iter().find_map(|(entry,)| {
            let mut entry: Value = serde_json::from_str(entry).ok()?;
            let at = entry["detail"]["cutAtMs"].as_u64().filter(|_| entry["detail"]["reason"] == OPT_OUT_HEARD)?;
            Some((serde_json::from_value(entry["position"].take()).ok()?, at))
        }))
    }

    /// One call.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn call(&self, id: &str) -> Result<Option<CallRow>, DatabaseError> {
        let text = AssertSqlSafe(format!(r#"SELECT {CALL} FROM "Call" WHERE "id" = $1"#));
        Ok(on!(&self.readers, pool => sqlx::query_as(text).bind(id).fetch_optional(pool).await?))
    }

    /// Calls, newest first.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn calls(&self, filter: &CallFilter) -> Result<Vec<CallRow>, DatabaseError> {
        let words = [
            (r#""orgId" ="#, filter.org_id.as_ref()),
            (r#""callSid" ="#, filter.call_sid.as_ref()),
            (r#""clientId" ="#, filter.client_id.as_ref()),
            // As text: a phase that there is none of is a question without an answer, and no error.
            (r#"CAST("phase" AS TEXT) ="#, filter.phase.as_ref()),
        ];
        let asked: Vec<_> = words.into_iter().filter_map(|(column, value)| Some((column, value?))).collect();
        let mut terms: Vec<_> = asked.iter().zip(1..).map(|((column, _), n)| format!("{column} ${n}")).collect();
        let mut bound = terms.len();
        if let Some((_, id)) = &filter.before {
            bound += 1;
            let mut term = format!(r#""startedAt" < ${bound}"#);
            if id.is_some() {
                term = format!(r#"({term} OR ("startedAt" = ${bound} AND "id" > ${}))"#, bound + 1);
                bound += 1;
            }
            terms.push(term);
        }
        let clients = filter.clients.as_deref().unwrap_or_default();
        if filter.clients.is_some() {
            let places: Vec<_> = (bound + 1..).take(clients.len()).map(|n| format!("${n}")).collect();
            // PostgreSQL knows no empty list.
            terms.push(if places.is_empty() { "1 = 0".to_owned() } else { format!(r#""clientId" IN ({})"#, places.join(", ")) });
        }
        let terms = if terms.is_empty() { String::new() } else { format!("WHERE {}", terms.join(" AND ")) };
        // Built of our own column names alone; values are bound.
        let limit = filter.limit.min(CALLS_MAX);
        let text = AssertSqlSafe(format!(r#"SELECT {CALL} FROM "Call" {terms} ORDER BY "startedAt" DESC, "id" LIMIT {limit}"#));
        let rows = on!(&self.readers, pool => {
            let mut query = sqlx::query_as(text);
            for (_, value) in asked {
                query = query.bind(value);
            }
            if let Some((time, id)) = &filter.before {
                query = query.bind(*time);
                if let Some(id) = id {
                    query = query.bind(id);
                }
            }
            for client in clients {
                query = query.bind(client);
            }
            query.fetch_all(pool).await?
        });
        Ok(rows)
    }

    /// One recording.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn recording(&self, id: &str) -> Result<Option<RecordingRow>, DatabaseError> {
        let text = AssertSqlSafe(format!(r#"SELECT {RECORDING} FROM "Recording" WHERE "id" = $1"#));
        Ok(on!(&self.readers, pool => sqlx::query_as(text).bind(id).fetch_optional(pool).await?))
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
        let asked: Vec<_> =
            [(r#""clientId""#, client_id), (r#""callId""#, call_id)].into_iter().filter(|(_, value)| value.is_some()).collect();
        // Only what is asked for: a term that may be nothing keeps every index from being used.
        let terms: String = (4..).zip(&asked).map(|(n, (column, _))| format!(" AND {column} = ${n}")).collect();
        let text = AssertSqlSafe(format!(
            r#"SELECT "seq", "hash", "entry" FROM "AuditEvent" WHERE "orgId" = $1 AND "seq" > $2{terms} ORDER BY "seq" LIMIT $3"#
        ));
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let rows: Vec<(i64, String, String)> = on!(&self.readers, pool => {
            let mut query = sqlx::query_as(text).bind(org_id).bind(after).bind(i64::from(limit));
            for (_, value) in asked {
                query = query.bind(value);
            }
            query.fetch_all(pool).await?
        });
        Ok(rows.into_iter().map(|(seq, hash, entry)| (seq.cast_unsigned(), hash, entry)).collect())
    }

    /// Whether it answers, and has taken all that was handed in.
    pub async fn ready(&self) -> bool {
        let asked = async { on!(&self.readers, pool => sqlx::query("SELECT 1").fetch_one(pool).await.is_ok()) };
        self.ledger.waiting() == 0 && timeout(READY_WITHIN, asked).await.unwrap_or(false)
    }
}

/// A page of calls holds no more.
const CALLS_MAX: u32 = 500;
/// A database that does not answer by then is away.
const READY_WITHIN: Duration = Duration::from_secs(2);
/// A new call's socket keeps two seconds of what comes while the database is asked.
const STANDING_WITHIN: Duration = Duration::from_millis(1_500);

/// Columns of a [`CallRow`], by name: a newer gateway may have added some.
pub(super) const CALL: &str = r#""id", "callSid", "clientId", "caseManagerId", "orgId", "direction", "phase", "consentGrantedAt", "consentMethod",
  "isRecorded", "recordingId", "startedAt", "endedAt", "state""#;

/// Columns of a [`RecordingRow`].
pub(super) const RECORDING: &str = r#""id", "callId", "orgId", "clientId", "state", "grantSeq", "objectKey", "format", "sha256", "bytes", "durationMs",
  "reason", "createdAt", "finishedAt", "spoolId""#;

impl CallRow {
    /// Writes rows of different ids.
    /// `node`: the gateway that they are on from here on.
    pub(super) async fn write(session: &mut Session<'_>, rows: &[&Self], node: Option<&str>) -> Result<(), sqlx::Error> {
        for some in session.pieces(rows) {
            let text = format!(
                r#"INSERT INTO "Call" ("id", "callSid", "clientId", "caseManagerId", "orgId", "direction", "phase", "consentGrantedAt",
                     "consentMethod", "isRecorded", "recordingId", "startedAt", "endedAt", "state", "languageCode", "promptVersion",
                     "unrecordedReason", "connectedAt", "durationSeconds", "nodeId") {}
                   ON CONFLICT ("id") DO UPDATE SET "callSid" = excluded."callSid", "phase" = excluded."phase",
                     "consentGrantedAt" = excluded."consentGrantedAt", "consentMethod" = excluded."consentMethod",
                     "isRecorded" = excluded."isRecorded", "recordingId" = excluded."recordingId", "endedAt" = excluded."endedAt",
                     "state" = excluded."state", "languageCode" = excluded."languageCode", "promptVersion" = excluded."promptVersion",
                     "unrecordedReason" = excluded."unrecordedReason", "connectedAt" = excluded."connectedAt",
                     "durationSeconds" = excluded."durationSeconds", "nodeId" = excluded."nodeId""#,
                values(20, some.len())
            );
            on!(session, c => {
                let mut query = sqlx::query(AssertSqlSafe(text));
                for row in some {
                    query = query
                        .bind(&row.id)
                        .bind(&row.call_sid)
                        .bind(&row.client_id)
                        .bind(&row.case_manager_id)
                        .bind(&row.org_id)
                        .bind(Word::from_text(&row.direction))
                        .bind(Word::from_text(&row.phase))
                        .bind(time_if_any(row.consent_granted_at.as_deref())?)
                        .bind(row.consent_method.as_deref().map(Word::from_text))
                        .bind(row.is_recorded)
                        .bind(&row.recording_id)
                        .bind(time(&row.started_at)?)
                        .bind(time_if_any(row.ended_at.as_deref())?)
                        .bind(Json(&row.state))
                        .bind(row.told("/consent/languageCode"))
                        .bind(row.told("/consent/promptVersion"))
                        .bind(row.told("/unrecordedReason").map(Word::from_text))
                        .bind(time_if_any(row.told("/connectedAt"))?)
                        .bind(row.seconds())
                        .bind(node);
                }
                query.execute(&mut **c).await?;
            });
        }
        Ok(())
    }

    /// What the columns repeat, so that the main app may ask for it, stands in the state already.
    pub(super) fn told(&self, pointer: &str) -> Option<&str> {
        self.state.pointer(pointer).and_then(Value::as_str)
    }

    pub(super) fn seconds(&self) -> Option<i64> {
        self.state.pointer("/durationSeconds").and_then(Value::as_i64)
    }
}

impl RecordingRow {
    /// Writes rows of different ids.
    pub(super) async fn write(session: &mut Session<'_>, rows: &[&Self]) -> Result<(), sqlx::Error> {
        for some in session.pieces(rows) {
            let text = format!(
                r#"INSERT INTO "Recording" ("id", "callId", "orgId", "clientId", "state", "grantSeq", "objectKey", "format", "sha256",
                     "bytes", "durationMs", "reason", "createdAt", "finishedAt", "spoolId") {}
                   ON CONFLICT ("id") DO UPDATE SET "state" = excluded."state", "objectKey" = excluded."objectKey",
                     "sha256" = excluded."sha256", "bytes" = excluded."bytes", "durationMs" = excluded."durationMs",
                     "reason" = excluded."reason", "finishedAt" = excluded."finishedAt", "spoolId" = excluded."spoolId""#,
                values(15, some.len())
            );
            on!(session, c => {
                let mut query = sqlx::query(AssertSqlSafe(text));
                for row in some {
                    query = query
                        .bind(&row.id)
                        .bind(&row.call_id)
                        .bind(&row.org_id)
                        .bind(&row.client_id)
                        .bind(Word::of(&row.state)?)
                        .bind(row.grant_seq.cast_signed())
                        .bind(&row.object_key)
                        .bind(&row.format)
                        .bind(&row.sha256)
                        .bind(row.bytes.map(u64::cast_signed))
                        .bind(row.duration_ms.map(u64::cast_signed))
                        .bind(&row.reason)
                        .bind(time(&row.created_at)?)
                        .bind(time_if_any(row.finished_at.as_deref())?)
                        .bind(&row.spool_id);
                }
                query.execute(&mut **c).await?;
            });
        }
        Ok(())
    }
}

from_row!(StandingRow, row => Ok(Self {
    status: row.try_get::<Word, _>("status")?.meant()?,
    seen: row.try_get::<i64, _>("version")?.cast_unsigned(),
}));

from_row!(HistoryRow, row => Ok(Self {
    record: serde_json::from_str(row.try_get("record")?).map_err(|why| sqlx::Error::Decode(Box::new(why)))?,
    version: row.try_get::<i64, _>("version")?.cast_unsigned(),
    seq: row.try_get::<i64, _>("auditSeq")?.cast_unsigned(),
}));

from_row!(CallRow, row => Ok(Self {
    id: row.try_get("id")?,
    call_sid: row.try_get("callSid")?,
    client_id: row.try_get("clientId")?,
    case_manager_id: row.try_get("caseManagerId")?,
    org_id: row.try_get("orgId")?,
    direction: row.try_get::<Word, _>("direction")?.0,
    phase: row.try_get::<Word, _>("phase")?.0,
    consent_granted_at: row.try_get::<Option<WallTime>, _>("consentGrantedAt")?.map(|at| at.to_string()),
    consent_method: row.try_get::<Option<Word>, _>("consentMethod")?.map(|word| word.0),
    is_recorded: row.try_get("isRecorded")?,
    recording_id: row.try_get("recordingId")?,
    started_at: row.try_get::<WallTime, _>("startedAt")?.to_string(),
    ended_at: row.try_get::<Option<WallTime>, _>("endedAt")?.map(|at| at.to_string()),
    state: row.try_get::<Json<Value>, _>("state")?.0,
}));

from_row!(RecordingRow, row => Ok(Self {
    id: row.try_get("id")?,
    call_id: row.try_get("callId")?,
    org_id: row.try_get("orgId")?,
    client_id: row.try_get("clientId")?,
    state: row.try_get::<Word, _>("state")?.meant()?,
    grant_seq: row.try_get::<i64, _>("grantSeq")?.cast_unsigned(),
    object_key: row.try_get("objectKey")?,
    format: row.try_get("format")?,
    sha256: row.try_get("sha256")?,
    bytes: row.try_get::<Option<i64>, _>("bytes")?.map(i64::cast_unsigned),
    duration_ms: row.try_get::<Option<i64>, _>("durationMs")?.map(i64::cast_unsigned),
    reason: row.try_get("reason")?,
    created_at: row.try_get::<WallTime, _>("createdAt")?.to_string(),
    finished_at: row.try_get::<Option<WallTime>, _>("finishedAt")?.map(|at| at.to_string()),
    spool_id: row.try_get("spoolId")?,
}));
