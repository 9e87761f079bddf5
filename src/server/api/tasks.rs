//! Documentation tasks: what an unrecorded call leaves its case manager to write down (PX-735 US-4).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::{Path, Query};
use super::clients::{PageQuery, act, cursor, not_durable};
use super::{App, May, Permission as _, Problem, Subject, ViewClients};
use crate::engine::consent::{Actor, UnrecordedReason};
use crate::engine::ledger::{Event, EventKind};
use crate::io::clock::wall;
use crate::io::database::{Act, Acted, TaskRow, TaskState};

/// Tasks on one page at most.
const PAGE_MAX: u32 = 100;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(tasks)).routes(routes!(complete))
}

/// Which tasks are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TasksQuery {
    /// `OPEN`, which it is if it is not said, or `COMPLETED`.
    #[param(value_type = Option<TaskStatus>)]
    status: Option<String>,
    /// The `next` of the page before.
    after: Option<String>,
    /// So many, up to 100; 50 if it is not said.
    limit: Option<u32>,
}

/// Where a task stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum TaskStatus {
    /// Still to be done.
    Open,
    /// Done.
    Completed,
}

/// A page of tasks.
#[derive(Serialize, ToSchema)]
struct TasksPage {
    /// Oldest first.
    tasks: Vec<Task>,
    /// `after` of the next page, if there may be one.
    next: Option<String>,
}

/// What an unrecorded call leaves to be written down.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Task {
    /// Its id.
    task_id: String,
    /// The call.
    call_id: String,
    /// Who was on the line.
    client_id: String,
    /// Whose task it is.
    case_manager_id: String,
    /// For people.
    title: &'static str,
    /// For people.
    message: &'static str,
    /// Why the call was not recorded.
    #[schema(value_type = UnrecordedReason)]
    reason: String,
    /// Where it stands.
    status: TaskStatus,
    /// When the call ended.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was done.
    #[schema(format = DateTime)]
    completed_at: Option<String>,
}

/// The bearer's own documentation tasks, oldest first
#[utoipa::path(get, path = "/api/tasks", operation_id = "listTasks", tag = "tasks",
    extensions(("x-permission" = json!(ViewClients::NAME))),
    params(TasksQuery),
    responses((status = 200, description = "A page of tasks.", body = TasksPage)))]
async fn tasks(State(app): State<App>, may: May<ViewClients>, Query(asked): Query<TasksQuery>) -> Result<Json<TasksPage>, Problem> {
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
    Ok(Json(TasksPage { tasks: rows.into_iter().map(Task::from).collect(), next }))
}

/// Completes a task of the bearer's own
///
/// The first completion counts.
#[utoipa::path(post, path = "/api/tasks/{id}/complete", operation_id = "completeTask", tag = "tasks",
    extensions(("x-permission" = json!(ViewClients::NAME))),
    params(("id" = String, Path, description = "The task.")),
    responses((status = 200, description = "It is done.", body = Task),
        (status = 403, description = "The token lacks the permission, or the task is another case manager's. The access log keeps it."),
        (status = 404, description = "There is no such task.")))]
async fn complete(State(app): State<App>, may: May<ViewClients>, Path(id): Path<String>) -> Result<Json<Task>, Problem> {
    let claims = &may.claims;
    let row = app.world.database.task(&id).await.map_err(Problem::ours)?.ok_or_else(|| Problem::not_found("task"))?;
    if row.org_id != claims.org {
        return Err(app.another_organisations(claims, "task"));
    }
    if row.case_manager_id != claims.sub {
        app.denied(claims, "an own task", "task", Subject::of_call(&row.client_id, &row.call_id));
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
        Some(Acted::Task(Some(row))) => Ok(Json(Task::from(row))),
        Some(_) | None => Err(not_durable()),
    }
}

impl From<TaskRow> for Task {
    fn from(row: TaskRow) -> Self {
        Self {
            task_id: row.id,
            call_id: row.call_id,
            client_id: row.client_id,
            case_manager_id: row.case_manager_id,
            title: "This call was not recorded",
            message: "Please complete your notes and relevant forms",
            reason: row.reason,
            status: if row.completed_at.is_some() { TaskStatus::Completed } else { TaskStatus::Open },
            created_at: row.created_at,
            completed_at: row.completed_at,
        }
    }
}
