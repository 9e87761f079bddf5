//! Documentation tasks: what an unrecorded call leaves its case manager to write down (PX-735 US-4).

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::clients::{PageQuery, act, cursor, not_durable};
use super::{App, May, Problem, ViewClients};
use crate::engine::consent::Actor;
use crate::engine::ledger::{Event, EventKind};
use crate::io::clock::wall;
use crate::io::database::{Act, Acted, TaskRow, TaskState};

/// Tasks on one page at most.
const PAGE_MAX: u32 = 100;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/api/tasks", get(tasks)).route("/api/tasks/{id}/complete", post(complete))
}

/// Which tasks are asked for.
#[derive(Deserialize)]
struct TasksQuery {
    status: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
}

/// `GET /api/tasks`: the bearer's own, oldest first.
async fn tasks(State(app): State<App>, may: May<ViewClients>, Query(asked): Query<TasksQuery>) -> Result<Json<Value>, Problem> {
    let state = match asked.status.as_deref() {
        None | Some("OPEN") => TaskState::Open,
        Some("COMPLETED") => TaskState::Completed,
        Some(_) => return Err(Problem::new(StatusCode::BAD_REQUEST, "status: OPEN or COMPLETED")),
    };
    let page = PageQuery { after: asked.after, limit: asked.limit };
    let limit = page.limit(PAGE_MAX);
    app.settled().await;
    let rows = app.world.database.tasks(&may.claims.org, &may.claims.sub, state, page.after()?, limit).await.map_err(Problem::ours)?;
    let next = rows.last().filter(|_| rows.len() == limit as usize).map(|row| cursor(&row.created_at, &row.id));
    Ok(Json(json!({ "tasks": rows.iter().map(task).collect::<Vec<_>>(), "next": next })))
}

/// `POST /api/tasks/{id}/complete`: the first completion counts.
async fn complete(State(app): State<App>, may: May<ViewClients>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let claims = &may.claims;
    let row = app.world.database.task(&id).await.map_err(Problem::ours)?;
    let row = row.filter(|row| row.org_id == claims.org).ok_or_else(|| Problem::not_found("task"))?;
    if row.case_manager_id != claims.sub {
        app.denied(claims, "an own task", "task");
        return Err(Problem::new(StatusCode::FORBIDDEN, "the task is another case manager's"));
    }
    let at = wall();
    let event = Event {
        org_id: row.org_id.clone(),
        kind: EventKind::TaskCompleted,
        actor: Actor::User { id: claims.sub.clone(), name: claims.name.clone() },
        call_id: Some(row.call_id.clone()),
        client_id: Some(row.client_id.clone()),
        at,
        position: None,
        detail: json!({ "taskId": row.id }),
    };
    match act(&app, Act::CompleteTask { id, at, event }).await {
        Some(Acted::Task(Some(row))) => Ok(Json(task(&row))),
        Some(_) | None => Err(not_durable()),
    }
}

fn task(row: &TaskRow) -> Value {
    json!({
        "taskId": row.id,
        "callId": row.call_id,
        "clientId": row.client_id,
        "caseManagerId": row.case_manager_id,
        "title": "This call was not recorded",
        "message": "Please complete your notes and relevant forms",
        "reason": row.reason,
        "status": if row.completed_at.is_some() { "COMPLETED" } else { "OPEN" },
        "createdAt": row.created_at,
        "completedAt": row.completed_at,
    })
}
