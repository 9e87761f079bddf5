//! What an unrecorded call leaves behind: its metadata, and its case manager's task to write down what was said (US-4).

use serde_json::json;
use sqlx::{AssertSqlSafe, Row as _};

use super::backend::{Session, from_row, on};
use super::columns::{Word, time, time_if_any};
use super::read::CallRow;
use super::{Database, DatabaseError};
use crate::engine::consent::Actor;
use crate::engine::ledger::{Event, EventKind};
use crate::engine::time::WallTime;

/// A documentation task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskRow {
    /// Its id, which is the interaction's.
    pub id: String,
    /// The organisation.
    pub org_id: String,
    /// Whose queue it is in.
    pub case_manager_id: String,
    /// With whom the call was.
    pub client_id: String,
    /// Which call.
    pub call_id: String,
    /// PX-735 `UnrecordedReason`.
    pub reason: String,
    /// When the call ended.
    pub created_at: String,
    /// When it was documented.
    pub completed_at: Option<String>,
}

/// Which tasks to list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskState {
    /// What is still to be done.
    Open,
    /// What is done.
    Completed,
}

impl Database {
    /// A case manager's tasks, oldest first; `after`: time and id of the last one on the page before.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn tasks(
        &self,
        org_id: &str,
        case_manager_id: &str,
        state: TaskState,
        after: Option<(WallTime, &str)>,
        limit: u32,
    ) -> Result<Vec<TaskRow>, DatabaseError> {
        let (created, id) = after.unwrap_or((WallTime(0), ""));
        let completed = match state {
            TaskState::Open => "IS NULL",
            TaskState::Completed => "IS NOT NULL",
        };
        let text = AssertSqlSafe(format!(
            r#"SELECT {TASK} FROM "DocumentationTask" WHERE "orgId" = $1 AND "caseManagerId" = $2 AND "completedAt" {completed}
                 AND ("createdAt" > $3 OR ("createdAt" = $3 AND "id" > $4)) ORDER BY "createdAt", "id" LIMIT $5"#
        ));
        let rows = on!(&self.readers, pool => {
            let query = sqlx::query_as(text).bind(org_id).bind(case_manager_id).bind(created).bind(id);
            query.bind(i64::from(limit)).fetch_all(pool).await?
        });
        Ok(rows)
    }

    /// One task.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn task(&self, id: &str) -> Result<Option<TaskRow>, DatabaseError> {
        let text = AssertSqlSafe(format!(r#"SELECT {TASK} FROM "DocumentationTask" WHERE "id" = $1"#));
        Ok(on!(&self.readers, pool => sqlx::query_as(text).bind(id).fetch_optional(pool).await?))
    }
}

/// Columns of a [`TaskRow`].
const TASK: &str = r#""id", "orgId", "caseManagerId", "clientId", "callId", "reason", "createdAt", "completedAt""#;

/// Whether a call is over that connected and of which there is no recording.
pub(super) fn is_to_be_logged(call: &CallRow) -> bool {
    call.phase == "ENDED" && !call.is_recorded && call.told("/connectedAt").is_some()
}

/// An unrecorded call that connected and is over leaves its metadata and a task by the same commit as its last state; once,
/// however often that state is written. The line for the chain, the first time.
pub(super) async fn log_interaction(session: &mut Session<'_>, call: &CallRow) -> Result<Option<Event>, sqlx::Error> {
    if !is_to_be_logged(call) {
        if is_found_again(call) {
            withdraw(session, &call.id).await?;
        }
        return Ok(None);
    }
    let reason = call.told("/unrecordedReason").unwrap_or("SYSTEM_ERROR");
    let started = time(&call.started_at)?;
    let ended = time_if_any(call.ended_at.as_deref())?;
    let at = ended.unwrap_or(started);
    let known = on!(session, c => {
        sqlx::query(r#"SELECT 1 FROM "InteractionMetadata" WHERE "id" = $1"#).bind(&call.id).fetch_optional(&mut **c).await?.is_some()
    });
    on!(session, c => {
        let query = sqlx::query(
            r#"INSERT INTO "InteractionMetadata" ("id", "clientId", "caseManagerId", "orgId", "direction", "startedAt", "endedAt",
                 "durationSeconds", "reason", "createdAt")
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
               ON CONFLICT ("id") DO UPDATE SET "endedAt" = excluded."endedAt", "durationSeconds" = excluded."durationSeconds",
                 "reason" = excluded."reason""#,
        );
        let query = query.bind(&call.id).bind(&call.client_id).bind(&call.case_manager_id).bind(&call.org_id);
        let query = query.bind(Word::from_text(&call.direction)).bind(started).bind(ended).bind(call.seconds());
        query.bind(Word::from_text(reason)).bind(at).execute(&mut **c).await?;
    });
    if known {
        return Ok(None);
    }
    // A call without a case manager is in nobody's queue.
    if !call.case_manager_id.is_empty() {
        on!(session, c => {
            let query = sqlx::query(
                r#"INSERT INTO "DocumentationTask" ("id", "orgId", "caseManagerId", "clientId", "callId", "reason", "createdAt")
                   VALUES ($1, $2, $3, $4, $1, $5, $6) ON CONFLICT ("id") DO NOTHING"#,
            );
            let query = query.bind(&call.id).bind(&call.org_id).bind(&call.case_manager_id).bind(&call.client_id);
            query.bind(Word::from_text(reason)).bind(at).execute(&mut **c).await?;
        });
    }
    let detail =
        json!({ "reason": reason, "direction": call.direction, "caseManagerId": call.case_manager_id, "durationSeconds": call.seconds() });
    Ok(Some(Event {
        org_id: call.org_id.clone(),
        kind: EventKind::InteractionLogged,
        actor: Actor::System,
        call_id: Some(call.id.clone()),
        client_id: Some(call.client_id.clone()),
        at,
        position: None,
        detail,
    }))
}

/// Whether a call is recorded that may have counted as one whose recording was lost.
fn is_found_again(call: &CallRow) -> bool {
    call.is_recorded && call.told("/recording/state") == Some("FINISHED") && call.told("/unrecordedReason") == Some("SYSTEM_ERROR")
}

/// There is a recording after all: nothing is left to document, unless somebody has done it already.
async fn withdraw(session: &mut Session<'_>, id: &str) -> Result<(), sqlx::Error> {
    on!(session, c => {
        sqlx::query(r#"DELETE FROM "DocumentationTask" WHERE "id" = $1 AND "completedAt" IS NULL"#).bind(id).execute(&mut **c).await?;
        let query = sqlx::query(
            r#"DELETE FROM "InteractionMetadata" WHERE "id" = $1 AND NOT EXISTS (SELECT 1 FROM "DocumentationTask" WHERE "id" = $1)"#,
        );
        query.bind(id).execute(&mut **c).await?;
    });
    Ok(())
}

/// Completes a task. `false`: it was complete before, or there is none; the first completion counts.
pub(super) async fn complete(session: &mut Session<'_>, id: &str, at: WallTime) -> Result<bool, sqlx::Error> {
    let done = on!(session, c => {
        let query = sqlx::query(r#"UPDATE "DocumentationTask" SET "completedAt" = $1 WHERE "id" = $2 AND "completedAt" IS NULL"#);
        query.bind(at).bind(id).execute(&mut **c).await?.rows_affected()
    });
    Ok(done > 0)
}

/// A task as this transaction sees it.
pub(super) async fn one(session: &mut Session<'_>, id: &str) -> Result<Option<TaskRow>, sqlx::Error> {
    let text = AssertSqlSafe(format!(r#"SELECT {TASK} FROM "DocumentationTask" WHERE "id" = $1"#));
    Ok(on!(session, c => sqlx::query_as(text).bind(id).fetch_optional(&mut **c).await?))
}

from_row!(TaskRow, row => Ok(Self {
    id: row.try_get("id")?,
    org_id: row.try_get("orgId")?,
    case_manager_id: row.try_get("caseManagerId")?,
    client_id: row.try_get("clientId")?,
    call_id: row.try_get("callId")?,
    reason: row.try_get::<Word, _>("reason")?.0,
    created_at: row.try_get::<WallTime, _>("createdAt")?.to_string(),
    completed_at: row.try_get::<Option<WallTime>, _>("completedAt")?.map(|at| at.to_string()),
}));
