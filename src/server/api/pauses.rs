//! Pauses: a stretch of a call that must not be captured. Every answer carries the state in force, not a bare 200.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::{Body, Bytes, Path};
use super::calls::{call_json, unanswered};
use super::clients::said;
use super::{App, Claims, EditClients, May, Permission as _, Problem};
use crate::engine::call::{OPT_OUT_HEARD, TRANSFER};
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

/// The body of a resume.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResumeBody {
    /// Of the bearer's own pauses the one for this reason; without it all of them. `OPT_OUT_HEARD` takes back what the client was heard
    /// to say, and nothing else does.
    #[schema(min_length = 1, max_length = 200)]
    reason: Option<String>,
}

/// A reason as it is held: `None` if it is none.
fn fit(reason: &str) -> Option<String> {
    let reason = reason.trim();
    (!reason.is_empty() && reason.len() <= REASON_MAX).then(|| reason.to_owned())
}

/// Begins a stretch that must not be captured
///
/// Answered when nothing more is taken in. Who asks holds the pause for the reason that they give, and only they can lift it; for another
/// reason they hold another. Asked again, nothing more happens. Forgotten for 15 minutes it ends closed: nothing more of the call is
/// captured.
#[utoipa::path(post, path = "/api/calls/{callId}/pause", operation_id = "pauseCall", tag = "calls",
    extensions(("x-permission" = json!(EditClients::NAME))),
    params(("callId" = String, Path, description = "The call.")),
    request_body = PauseBody,
    responses((status = 200, description = "The pause is in force; the call's state.", body = CallState),
        (status = 404, description = "There is no such call."),
        (status = 409, description = "There is nothing to pause: the call or its recording is over, or the client has not consented. Or eight pauses are held."),
        (status = 503, description = "The gateway that has the call does not answer.")))]
async fn pause(
    State(app): State<App>,
    may: May<EditClients>,
    Path(id): Path<String>,
    body: Result<Body<PauseBody>, Problem>,
) -> Result<Json<Value>, Problem> {
    call_json(&app, &may.claims, &id).await?;
    let reason = body.ok().and_then(|Body(body)| fit(&body.reason)).ok_or_else(|| {
        let allowed =
            format!(r#"the body must be {{"reason": "PAYMENT" | "IDENTITY" | "MEDICAL" | what it is, in at most {REASON_MAX} bytes}}"#);
        Problem::new(StatusCode::BAD_REQUEST, allowed)
    })?;
    if [OPT_OUT_HEARD, TRANSFER].contains(&reason.as_str()) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "OPT_OUT_HEARD and TRANSFER are the gateway's own reasons; say what the pause is for",
        ));
    }
    let command = Command::Pause { call_id: id.clone(), by: asks(&may.claims), reason: reason.clone() };
    match nodes::command(&app, command).await {
        Ok(state) if holds(&state, &may.claims.sub, Some(&reason)) => Ok(Json(state)),
        Ok(state) => Err(Problem::new(StatusCode::CONFLICT, refusal(&state))),
        Err(NotDone::Over) => Err(Problem::new(StatusCode::CONFLICT, refusal(&call_json(&app, &may.claims, &id).await?))),
        Err(NotDone::Unanswered) => Err(unanswered()),
    }
}

/// Lifts the bearer's own pause for a reason, or all of them
///
/// Capturing goes on once nothing is held any more; the state says so. Asked again, the answer is the same. Somebody else's pause is never
/// lifted. A no that was heard in the client's words (`OPT_OUT_HEARD`) any bearer may take back, and only by that name.
#[utoipa::path(post, path = "/api/calls/{callId}/resume", operation_id = "resumeCall", tag = "calls",
    extensions(("x-permission" = json!(EditClients::NAME))),
    params(("callId" = String, Path, description = "The call.")),
    request_body = Option<ResumeBody>,
    responses((status = 200, description = "The bearer holds no such pause any more; the call's state.", body = CallState),
        (status = 404, description = "There is no such call."),
        (status = 409, description = "Nothing can resume: the call or its recording is over, or the client opted out. Or what is held is not the bearer's to \
            lift: somebody else's, or a no of the client's that was not named."),
        (status = 503, description = "The gateway that has the call does not answer.")))]
async fn resume(State(app): State<App>, may: May<EditClients>, Path(id): Path<String>, Bytes(body): Bytes) -> Result<Json<Value>, Problem> {
    let before = call_json(&app, &may.claims, &id).await?;
    let meant = format!(r#"{{"reason": of the pause to lift, in at most {REASON_MAX} bytes}}, or nothing for all of your own"#);
    let ResumeBody { reason } = said(&body, &meant)?;
    let unfit = || Problem::new(StatusCode::BAD_REQUEST, format!("the body must be {meant}"));
    let reason = reason.map(|reason| fit(&reason).ok_or_else(unfit)).transpose()?;
    let command = Command::Resume { call_id: id.clone(), by: asks(&may.claims), reason: reason.clone() };
    let state = match nodes::command(&app, command).await {
        Ok(state) => state,
        Err(NotDone::Over) => call_json(&app, &may.claims, &id).await?,
        Err(NotDone::Unanswered) => return Err(unanswered()),
    };
    let open = state["phase"] == "CONNECTED" && matches!(state["recording"]["state"].as_str(), Some("ACTIVE" | "PAUSED" | "NOT_STARTED"));
    if !open || state["consent"]["status"] != "GRANTED" {
        return Err(Problem::new(StatusCode::CONFLICT, refusal(&state)));
    }
    if !holds(&before, &may.claims.sub, reason.as_deref())
        && let Some(why) = not_theirs(&state, reason.as_deref())
    {
        return Err(Problem::new(StatusCode::CONFLICT, why));
    }
    Ok(Json(state))
}

fn asks(claims: &Claims) -> Actor {
    Actor::User { id: claims.sub.clone(), name: claims.name.clone() }
}

fn pauses(state: &Value) -> impl Iterator<Item = &Value> {
    state["recording"]["pauses"].as_array().into_iter().flatten()
}

/// Whether somebody holds a pause, for this reason if one is named, and may let go of it: of what the client was heard to say anybody may
/// who names it.
fn holds(state: &Value, user: &str, reason: Option<&str>) -> bool {
    pauses(state).any(|pause| match pause["by"]["kind"].as_str() {
        Some("SYSTEM") => reason == Some(OPT_OUT_HEARD) && pause["reason"] == OPT_OUT_HEARD,
        _ => pause["by"]["id"] == user && reason.is_none_or(|reason| pause["reason"] == reason),
    })
}

/// Why what is held stays, if it does.
fn not_theirs(state: &Value, reason: Option<&str>) -> Option<&'static str> {
    let held = pauses(state).find(|pause| reason.is_none_or(|reason| pause["reason"] == reason))?;
    Some(match held["reason"].as_str() {
        Some(OPT_OUT_HEARD) => {
            "the client was heard to say no: take that back by {\"reason\": \"OPT_OUT_HEARD\"} if it was none, or confirm it by an opt-out"
        }
        Some(TRANSFER) => "the call is being handed over: capturing goes on with the next party whom consent covers",
        _ => "somebody else holds the pause, and only they can lift it",
    })
}

/// Why nothing can be paused, or resumed.
fn refusal(state: &Value) -> &'static str {
    match (state["phase"].as_str(), state["consent"]["status"].as_str(), state["recording"]["state"].as_str()) {
        (Some("ENDED" | "ABANDONED"), ..) => "the call is over",
        (_, Some("REVOKED"), _) => "the client opted out: nothing of this call is captured any more, and nothing can resume",
        (_, _, Some("HALTED" | "FAILED" | "DISCARDED")) => "the recording is over: nothing of this call is captured any more",
        (_, Some("PENDING"), _) => "nothing is captured: the client has not consented",
        (_, _, Some("PAUSED")) => "too many pauses are held already; nothing is captured",
        _ => "nothing is paused",
    }
}
