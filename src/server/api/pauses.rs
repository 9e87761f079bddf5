//! Pauses: a stretch of a call that must not be captured. Every answer carries the state in force, not a bare 200.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::{Body, Path};
use super::calls::{call_json, unanswered};
use super::{App, EditClients, May, Permission as _, Problem};
use crate::engine::consent::Actor;
use crate::server::nodes::{self, Command, NotDone};
use crate::server::registry::CallState;

/// No reason is longer.
const REASON_MAX: usize = 200;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(pause)).routes(routes!(resume))
}

/// The body of a pause.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PauseBody {
    /// `PAYMENT`, `IDENTITY`, `MEDICAL`, or what it is, in 200 bytes at most.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

/// Begins a stretch that must not be captured
///
/// Answered when nothing more is taken in. Who asks holds the pause, and only they can lift it. Forgotten for 15 minutes it ends
/// closed: nothing more of the call is captured.
#[utoipa::path(post, path = "/api/calls/{callId}/pause", operation_id = "pauseCall", tag = "calls",
    extensions(("x-permission" = json!(EditClients::NAME))),
    params(("callId" = String, Path, description = "The call.")),
    request_body = PauseBody,
    responses((status = 200, description = "The pause is in force; the call's state.", body = CallState),
        (status = 404, description = "There is no such call."),
        (status = 409, description = "There is nothing to pause: the call or its recording is over, or the client has not consented."),
        (status = 503, description = "The gateway that has the call does not answer.")))]
async fn pause(
    State(app): State<App>,
    may: May<EditClients>,
    Path(id): Path<String>,
    body: Result<Body<PauseBody>, Problem>,
) -> Result<Json<Value>, Problem> {
    call_json(&app, &may.claims, &id).await?;
    let reason = body.map(|Body(body)| body.reason.trim().to_owned()).unwrap_or_default();
    if reason.is_empty() || reason.len() > REASON_MAX {
        let allowed =
            format!(r#"the body must be {{"reason": "PAYMENT" | "IDENTITY" | "MEDICAL" | what it is, in at most {REASON_MAX} bytes}}"#);
        return Err(Problem::new(StatusCode::BAD_REQUEST, allowed));
    }
    let by = Actor::User { id: may.claims.sub.clone(), name: may.claims.name.clone() };
    match nodes::command(&app, Command::Pause { call_id: id.clone(), by, reason }).await {
        Ok(state) if holds(&state, &may.claims.sub) => Ok(Json(state)),
        Ok(state) => Err(Problem::new(StatusCode::CONFLICT, refusal(&state))),
        Err(NotDone::Over) => Err(Problem::new(StatusCode::CONFLICT, refusal(&call_json(&app, &may.claims, &id).await?))),
        Err(NotDone::Unanswered) => Err(unanswered()),
    }
}

/// Lifts the bearer's own pause
///
/// Capturing goes on once nobody else holds one; the state says so.
#[utoipa::path(post, path = "/api/calls/{callId}/resume", operation_id = "resumeCall", tag = "calls",
    extensions(("x-permission" = json!(EditClients::NAME))),
    params(("callId" = String, Path, description = "The call.")),
    responses((status = 200, description = "The bearer's pause is lifted; the call's state.", body = CallState),
        (status = 404, description = "There is no such call."),
        (status = 409, description = "There is nothing to lift: nothing is paused, somebody else holds the pause, or the client opted out."),
        (status = 503, description = "The gateway that has the call does not answer.")))]
async fn resume(State(app): State<App>, may: May<EditClients>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let before = call_json(&app, &may.claims, &id).await?;
    if !holds(&before, &may.claims.sub) && !objected(&before) {
        let held = before["recording"]["pauses"].as_array().is_some_and(|pauses| !pauses.is_empty());
        let why = if held { "somebody else holds the pause, and only they can lift it" } else { refusal(&before) };
        return Err(Problem::new(StatusCode::CONFLICT, why));
    }
    let by = Actor::User { id: may.claims.sub.clone(), name: may.claims.name.clone() };
    let state = match nodes::command(&app, Command::Resume { call_id: id.clone(), by }).await {
        Ok(state) => state,
        Err(NotDone::Over) => call_json(&app, &may.claims, &id).await?,
        Err(NotDone::Unanswered) => return Err(unanswered()),
    };
    let open = state["phase"] == "CONNECTED" && matches!(state["recording"]["state"].as_str(), Some("ACTIVE" | "PAUSED" | "NOT_STARTED"));
    if open && !holds(&state, &may.claims.sub) {
        return Ok(Json(state));
    }
    Err(Problem::new(StatusCode::CONFLICT, refusal(&state)))
}

fn holds(state: &Value, user: &str) -> bool {
    state["recording"]["pauses"].as_array().is_some_and(|pauses| pauses.iter().any(|pause| pause["by"]["id"] == user))
}

/// Whether the client was heard to say no, and nobody has judged yet whether it was one: any case manager may.
fn objected(state: &Value) -> bool {
    let heard = |pause: &Value| pause["by"]["kind"] == "SYSTEM" && pause["reason"] == "OPT_OUT_HEARD";
    state["recording"]["pauses"].as_array().is_some_and(|pauses| pauses.iter().any(heard))
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
