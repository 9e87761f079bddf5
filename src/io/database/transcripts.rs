//! Transcripts of recordings, a row a version; each change by the same commit as its line in the chain. A version after the first
//! is begun before its object is stored, and only where the deletion of its recording has not begun: so a deletion finds it.

use sqlx::{AssertSqlSafe, Row as _};

use super::append::values;
use super::backend::{Session, from_row, on};
use super::columns::{Word, time, time_if_any};
use super::{Database, DatabaseError};
use crate::engine::call::RecordingState;
use crate::engine::time::WallTime;
use crate::engine::transcript::Redaction;

/// A version of a transcript.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TranscriptRow {
    /// The transcript's id.
    pub id: String,
    /// 1 is the first.
    pub version: u32,
    /// Of which recording.
    pub recording_id: String,
    /// Of which call.
    pub call_id: String,
    /// Whose organisation.
    pub org_id: String,
    /// Whose words.
    pub client_id: String,
    /// Where it is.
    pub state: RecordingState,
    /// How it came to be masked.
    pub redaction: Redaction,
    /// Who had more masked than in the version before.
    pub redacted_by: Option<String>,
    /// Why.
    pub redacted_for: Option<String>,
    /// The language that was asked for.
    pub language_code: String,
    /// Which protocol the recogniser spoke.
    pub recogniser: String,
    /// Where it lies, or would lie.
    pub object_key: String,
    /// Whether everything captured was transcribed.
    pub is_complete: bool,
    /// Digest of what is stored; nothing is stored without one.
    pub sha256: Option<String>,
    /// Its length.
    pub bytes: Option<u64>,
    /// Why it failed.
    pub reason: Option<String>,
    /// When it began.
    pub created_at: String,
    /// When it came to its end.
    pub finished_at: Option<String>,
}

impl TranscriptRow {
    /// Whether somebody may be storing it at `now`: what a deletion deletes could come after it.
    #[must_use]
    pub fn is_being_stored(&self, now: WallTime) -> bool {
        let began = WallTime::parse(&self.created_at).unwrap_or_default();
        self.version > 1 && self.state == RecordingState::Active && now.0 < began.0 + STORED_WITHIN_MS
    }

    /// Writes rows of different ids or versions.
    pub(super) async fn write(session: &mut Session<'_>, rows: &[&Self]) -> Result<(), sqlx::Error> {
        for some in session.pieces(rows) {
            let text = format!(
                r#"INSERT INTO "Transcript" ("id", "version", "recordingId", "callId", "orgId", "clientId", "state", "redaction",
                     "languageCode", "recogniser", "objectKey", "isComplete", "sha256", "bytes", "reason", "createdAt", "finishedAt",
                     "redactedBy", "redactedFor") {}
                   ON CONFLICT ("id", "version") DO UPDATE SET "state" = excluded."state", "isComplete" = excluded."isComplete",
                     "sha256" = excluded."sha256", "bytes" = excluded."bytes", "reason" = excluded."reason",
                     "createdAt" = excluded."createdAt", "finishedAt" = excluded."finishedAt", "redaction" = excluded."redaction",
                     "redactedBy" = excluded."redactedBy", "redactedFor" = excluded."redactedFor""#,
                values(19, some.len())
            );
            on!(session, c => {
                let mut query = sqlx::query(AssertSqlSafe(text));
                for row in some {
                    query = query
                        .bind(&row.id)
                        .bind(i64::from(row.version))
                        .bind(&row.recording_id)
                        .bind(&row.call_id)
                        .bind(&row.org_id)
                        .bind(&row.client_id)
                        .bind(Word::of(&row.state)?)
                        .bind(row.redaction.word())
                        .bind(&row.language_code)
                        .bind(&row.recogniser)
                        .bind(&row.object_key)
                        .bind(row.is_complete)
                        .bind(&row.sha256)
                        .bind(row.bytes.map(u64::cast_signed))
                        .bind(&row.reason)
                        .bind(time(&row.created_at)?)
                        .bind(time_if_any(row.finished_at.as_deref())?)
                        .bind(&row.redacted_by)
                        .bind(&row.redacted_for);
                }
                query.execute(&mut **c).await?;
            });
        }
        Ok(())
    }
}

/// Transcripts that a process left open, closed by the next at most.
const LEFT_OPEN_MAX: u32 = 100_000;
/// A version that nobody has stored within that time is nobody's: whoever was to store it is dead. Well over what they are given.
pub const STORED_WITHIN_MS: i64 = 120_000;

/// What came of setting out to store a further version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begun {
    /// It is the caller's to store.
    Yes,
    /// Somebody stores one now, or has stored one since: look again.
    NotNewest,
    /// The recording is deleted, or its deletion has begun.
    Deleted,
}

/// Columns of a [`TranscriptRow`].
const TRANSCRIPT: &str = r#""id", "version", "recordingId", "callId", "orgId", "clientId", "state", "redaction", "languageCode",
  "recogniser", "objectKey", "isComplete", "sha256", "bytes", "reason", "createdAt", "finishedAt", "redactedBy", "redactedFor""#;

impl Database {
    /// Every version of a recording's transcripts, the newest first.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn transcripts(&self, recording_id: &str) -> Result<Vec<TranscriptRow>, DatabaseError> {
        let text =
            AssertSqlSafe(format!(r#"SELECT {TRANSCRIPT} FROM "Transcript" WHERE "recordingId" = $1 ORDER BY "version" DESC, "id""#));
        Ok(on!(&self.readers, pool => sqlx::query_as(text).bind(recording_id).fetch_all(pool).await?))
    }

    /// Transcripts of calls that nobody has brought to an end: of one gateway's calls, or of all.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn transcripts_left_open(&self, node: Option<&str>) -> Result<Vec<TranscriptRow>, DatabaseError> {
        let text = AssertSqlSafe(format!(
            r#"SELECT {TRANSCRIPT} FROM "Transcript" WHERE "state" IN ('ACTIVE', 'PAUSED', 'HALTED') AND "version" = 1
               AND ($1 IS NULL OR "callId" IN (SELECT "id" FROM "Call" WHERE "nodeId" = $1)) ORDER BY "id" LIMIT {LEFT_OPEN_MAX}"#
        ));
        Ok(on!(&self.readers, pool => sqlx::query_as(text).bind(node).fetch_all(pool).await?))
    }
}

/// Sets out to store a further version, whose row this is. Whoever asks this and whoever begins a deletion have the organisation's
/// chain in hand: one comes first, and the other sees it.
pub(super) async fn begin(session: &mut Session<'_>, row: &TranscriptRow) -> Result<Begun, sqlx::Error> {
    let gone = on!(session, c => {
        let query = sqlx::query(
            r#"SELECT 1 FROM "RetentionItem" WHERE "recordingId" = $1 AND ("deletedAt" IS NOT NULL OR "begunAt" IS NOT NULL)"#,
        );
        query.bind(&row.recording_id).fetch_optional(&mut **c).await?.is_some()
    });
    if gone {
        return Ok(Begun::Deleted);
    }
    let at = time(&row.created_at)?;
    let versions: Vec<TranscriptRow> = on!(session, c => {
        let text = AssertSqlSafe(format!(r#"SELECT {TRANSCRIPT} FROM "Transcript" WHERE "id" = $1 AND "version" >= $2"#));
        sqlx::query_as(text).bind(&row.id).bind(i64::from(row.version) - 1).fetch_all(&mut **c).await?
    });
    let is_before = |version: &TranscriptRow| version.version + 1 == row.version && version.sha256.is_some();
    let hinders = |version: &TranscriptRow| version.version >= row.version && (version.sha256.is_some() || version.is_being_stored(at));
    if !versions.iter().any(is_before) || versions.iter().any(hinders) {
        return Ok(Begun::NotNewest);
    }
    TranscriptRow::write(session, &[row]).await?;
    Ok(Begun::Yes)
}

/// A further version came to its end. `false`: it is not the caller's any more, and nothing was written.
pub(super) async fn finish(session: &mut Session<'_>, row: &TranscriptRow) -> Result<bool, sqlx::Error> {
    let ours = on!(session, c => {
        let query = sqlx::query(
            r#"SELECT 1 FROM "Transcript" WHERE "id" = $1 AND "version" = $2 AND "state" = 'ACTIVE' AND "createdAt" = $3"#,
        );
        query.bind(&row.id).bind(i64::from(row.version)).bind(time(&row.created_at)?).fetch_optional(&mut **c).await?.is_some()
    });
    if ours {
        TranscriptRow::write(session, &[row]).await?;
    }
    Ok(ours)
}

from_row!(TranscriptRow, row => Ok(Self {
    id: row.try_get("id")?,
    version: u32::try_from(row.try_get::<i64, _>("version")?).map_err(|why| sqlx::Error::Decode(Box::new(why)))?,
    recording_id: row.try_get("recordingId")?,
    call_id: row.try_get("callId")?,
    org_id: row.try_get("orgId")?,
    client_id: row.try_get("clientId")?,
    state: row.try_get::<Word, _>("state")?.meant()?,
    redaction: Word::from_text(row.try_get("redaction")?).meant()?,
    redacted_by: row.try_get("redactedBy")?,
    redacted_for: row.try_get("redactedFor")?,
    language_code: row.try_get("languageCode")?,
    recogniser: row.try_get("recogniser")?,
    object_key: row.try_get("objectKey")?,
    is_complete: row.try_get("isComplete")?,
    sha256: row.try_get("sha256")?,
    bytes: row.try_get::<Option<i64>, _>("bytes")?.map(i64::cast_unsigned),
    reason: row.try_get("reason")?,
    created_at: row.try_get::<WallTime, _>("createdAt")?.to_string(),
    finished_at: row.try_get::<Option<WallTime>, _>("finishedAt")?.map(|at| at.to_string()),
}));
