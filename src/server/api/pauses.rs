//! Pauses: a stretch of a call that must not be captured. Every answer carries the state in force, not a bare 200.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::oneshot;

use super::calls::call_json;
use super::{App, EditClients, May, Problem};
use crate::engine::consent::Actor;
use crate::server::media::ToMedia;

/// No reason is longer.
const REASON_MAX: usize = 200;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/api/calls/{callId}/pause", post(pause)).route("/api/calls/{callId}/resume", post(resume))
}

/// The body of a pause.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PauseBody {
    reason: String,
}

/// `POST /api/calls/{callId}/pause`: answered when nothing more is taken in.
async fn pause(
    State(app): State<App>,
    may: May<EditClients>,
    Path(id): Path<String>,
    body: Result<Json<PauseBody>, axum::extract::rejection::JsonRejection>,
) -> Result<Json<Value>, Problem> {
    call_json(&app, &may.claims, &id).await?;
    let reason = body.map(|Json(body)| body.reason.trim().to_owned()).unwrap_or_default();
    if reason.is_empty() || reason.len() > REASON_MAX {
        let allowed =
            format!(r#"the body must be {{"reason": "PAYMENT" | "IDENTITY" | "MEDICAL" | what it is, in at most {REASON_MAX} bytes}}"#);
        return Err(Problem::new(StatusCode::BAD_REQUEST, allowed));
    }
    let by = Actor::User { id: may.claims.sub.clone(), name: may.claims.name.clone() };
    let told = tell(&app, &id, |done| ToMedia::Pause(id.clone(), by, reason, done)).await;
    let state = call_json(&app, &may.claims, &id).await?;
    if told.is_some() && holds(&state, &may.claims.sub) {
        return Ok(Json(state));
    }
    Err(Problem::new(StatusCode::CONFLICT, refusal(&state)))
}

/// `POST /api/calls/{callId}/resume`: capturing goes on once nobody else holds a pause; the state says so.
async fn resume(State(app): State<App>, may: May<EditClients>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let before = call_json(&app, &may.claims, &id).await?;
    if !holds(&before, &may.claims.sub) {
        let held = before["recording"]["pauses"].as_array().is_some_and(|pauses| !pauses.is_empty());
        let why = if held { "somebody else holds the pause, and only they can lift it" } else { refusal(&before) };
        return Err(Problem::new(StatusCode::CONFLICT, why));
    }
    let by = Actor::User { id: may.claims.sub.clone(), name: may.claims.name.clone() };
    let told = tell(&app, &id, |done| ToMedia::Resume(id.clone(), by, done)).await;
    let state = call_json(&app, &may.claims, &id).await?;
    let open = state["phase"] == "CONNECTED" && matches!(state["recording"]["state"].as_str(), Some("ACTIVE" | "PAUSED" | "NOT_STARTED"));
    if told.is_some() && open && !holds(&state, &may.claims.sub) {
        return Ok(Json(state));
    }
    Err(Problem::new(StatusCode::CONFLICT, refusal(&state)))
}

/// Has the call's owner do something, and waits until it is done. `None` if nobody owns it any more.
async fn tell(app: &App, id: &str, message: impl FnOnce(oneshot::Sender<()>) -> ToMedia) -> Option<()> {
    let live = app.registry.get(id)?;
    let (done, wait) = oneshot::channel();
    live.owner.send(message(done));
    wait.await.ok()
}

fn holds(state: &Value, user: &str) -> bool {
    state["recording"]["pauses"].as_array().is_some_and(|pauses| pauses.iter().any(|pause| pause["by"]["id"] == user))
}

/// Why nothing can be paused, or resumed.
fn refusal(state: &Value) -> &'static str {
    match (state["phase"].as_str(), state["consent"]["status"].as_str(), state["recording"]["state"].as_str()) {
        (Some("ENDED" | "ABANDONED"), ..) => "the call is over",
        (_, Some("REVOKED"), _) => "the client opted out: nothing of this call is captured any more, and nothing can resume",
        (_, _, Some("HALTED" | "FAILED" | "DISCARDED")) => "the recording is over: nothing of this call is captured any more",
        (_, Some("PENDING"), _) => "nothing is captured: the client has not consented",
        (_, _, Some("PAUSED")) => "too many people hold a pause already",
        _ => "nothing is paused",
    }
}
