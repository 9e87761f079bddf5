//! What an unrecorded call leaves behind: its metadata, and its case manager's task to write down what was said (US-4).

use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::append::Heads;
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
        after: Option<(&str, &str)>,
        limit: u32,
    ) -> Result<Vec<TaskRow>, DatabaseError> {
        let (created, id) = after.unwrap_or(("", ""));
        let text = match state {
            TaskState::Open => {
                r#"SELECT * FROM "DocumentationTask" WHERE "orgId" = $1 AND "caseManagerId" = $2 AND "completedAt" IS NULL
                     AND ("createdAt" > $3 OR ("createdAt" = $3 AND "id" > $4)) ORDER BY "createdAt", "id" LIMIT $5"#
            }
            TaskState::Completed => {
                r#"SELECT * FROM "DocumentationTask" WHERE "orgId" = $1 AND "caseManagerId" = $2 AND "completedAt" IS NOT NULL
                     AND ("createdAt" > $3 OR ("createdAt" = $3 AND "id" > $4)) ORDER BY "createdAt", "id" LIMIT $5"#
            }
        };
        let rows = sqlx::query(text)
            .bind(org_id)
            .bind(case_manager_id)
            .bind(created)
            .bind(id)
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await?;
        Ok(rows.iter().map(TaskRow::read).collect::<Result<_, _>>()?)
    }

    /// One task.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn task(&self, id: &str) -> Result<Option<TaskRow>, DatabaseError> {
        let row = sqlx::query(TASK).bind(id).fetch_optional(self.readers()).await?;
        Ok(row.as_ref().map(TaskRow::read).transpose()?)
    }
}

const TASK: &str = r#"SELECT * FROM "DocumentationTask" WHERE "id" = $1"#;

/// An unrecorded call that connected and is over leaves its metadata, a task and a line in the chain, by the same commit as
/// its last state; once, however often that state is written.
pub(super) async fn log_interaction(connection: &mut SqliteConnection, heads: &mut Heads, call: &CallRow) -> Result<(), sqlx::Error> {
    let told = |pointer: &str| call.state.pointer(pointer).and_then(Value::as_str);
    if call.phase != "ENDED" || call.is_recorded || told("/connectedAt").is_none() {
        return Ok(());
    }
    let seconds = call.state.pointer("/durationSeconds").and_then(Value::as_i64);
    let reason = told("/unrecordedReason").unwrap_or("SYSTEM_ERROR");
    let ended = call.ended_at.as_deref().unwrap_or(&call.started_at);
    let known =
        sqlx::query(r#"SELECT 1 FROM "InteractionMetadata" WHERE "id" = $1"#).bind(&call.id).fetch_optional(&mut *connection).await?;
    sqlx::query(
        r#"INSERT INTO "InteractionMetadata" ("id", "clientId", "caseManagerId", "orgId", "direction", "startedAt", "endedAt",
             "durationSeconds", "reason", "createdAt")
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
           ON CONFLICT ("id") DO UPDATE SET "endedAt" = $7, "durationSeconds" = $8, "reason" = $9"#,
    )
    .bind(&call.id)
    .bind(&call.client_id)
    .bind(&call.case_manager_id)
    .bind(&call.org_id)
    .bind(&call.direction)
    .bind(&call.started_at)
    .bind(&call.ended_at)
    .bind(seconds)
    .bind(reason)
    .bind(ended)
    .execute(&mut *connection)
    .await?;
    if known.is_some() {
        return Ok(());
    }
    // A call without a case manager is in nobody's queue.
    if !call.case_manager_id.is_empty() {
        sqlx::query(
            r#"INSERT INTO "DocumentationTask" ("id", "orgId", "caseManagerId", "clientId", "callId", "reason", "createdAt")
               VALUES ($1, $2, $3, $4, $1, $5, $6) ON CONFLICT ("id") DO NOTHING"#,
        )
        .bind(&call.id)
        .bind(&call.org_id)
        .bind(&call.case_manager_id)
        .bind(&call.client_id)
        .bind(reason)
        .bind(ended)
        .execute(&mut *connection)
        .await?;
    }
    let event = Event {
        org_id: call.org_id.clone(),
        kind: EventKind::InteractionLogged,
        actor: Actor::System,
        call_id: Some(call.id.clone()),
        client_id: Some(call.client_id.clone()),
        at: WallTime::parse(ended).unwrap_or_default(),
        position: None,
        detail: json!({ "reason": reason, "direction": call.direction, "caseManagerId": call.case_manager_id, "durationSeconds": seconds }),
    };
    heads.append(connection, &event).await.map(|_| ())
}

/// The task as it stands then; the first completion counts.
pub(super) async fn complete(
    connection: &mut SqliteConnection,
    heads: &mut Heads,
    id: &str,
    at: WallTime,
    event: &Event,
) -> Result<Option<TaskRow>, sqlx::Error> {
    let done = sqlx::query(r#"UPDATE "DocumentationTask" SET "completedAt" = $1 WHERE "id" = $2 AND "completedAt" IS NULL"#)
        .bind(at.to_string())
        .bind(id)
        .execute(&mut *connection)
        .await?;
    if done.rows_affected() > 0 {
        heads.append(connection, event).await?;
    }
    let row = sqlx::query(TASK).bind(id).fetch_optional(connection).await?;
    row.as_ref().map(TaskRow::read).transpose()
}

impl TaskRow {
    fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            org_id: row.try_get("orgId")?,
            case_manager_id: row.try_get("caseManagerId")?,
            client_id: row.try_get("clientId")?,
            call_id: row.try_get("callId")?,
            reason: row.try_get("reason")?,
            created_at: row.try_get("createdAt")?,
            completed_at: row.try_get("completedAt")?,
        })
    }
}
