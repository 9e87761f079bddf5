//! Calls, live and past.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::{Body, Bytes, Path, Query};
use super::clients::{cursor, reason, said};
use super::{App, Claims, EditClients, May, Permission as _, Problem, ViewClients, own};
use crate::engine::call::Phase;
use crate::engine::consent::Actor;
use crate::engine::ledger::canonical;
use crate::engine::policy::Region;
use crate::engine::time::WallTime;
use crate::engine::twilio::twiml::Route;
use crate::io::clock::wall;
use crate::io::database::CallFilter;
use crate::server::ids;
use crate::server::nodes::{self, Command, NotDone};
use crate::server::placing::{self, InitiateCallResponse, Told, Wish};
use crate::server::registry::{CallState, TAKEN_BACK};
use crate::server::revocation;

/// Calls on one page at most.
const PAGE_MAX: u32 = 100;
/// Clocks of callers may be ahead of ours by this much.
const SKEW_MS: i64 = 2_000;
/// Forms of one call at most.
const FORMS_MAX: usize = 64;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(calls, initiate)).routes(routes!(call)).routes(routes!(opt_out))
}

/// Which calls are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
struct CallsQuery {
    /// Twilio's id of the call.
    call_sid: Option<String>,
    /// Of one client only.
    client_id: Option<String>,
    /// Where they are in their life.
    phase: Option<Phase>,
    /// The `next` of the page before, or a time: what began before it.
    before: Option<String>,
    /// So many, up to 100; 50 if it is not said.
    limit: Option<u32>,
}

/// A page of calls.
#[derive(Serialize, ToSchema)]
struct CallsPage {
    /// Newest first.
    #[schema(value_type = Vec<CallState>)]
    calls: Vec<Value>,
    /// The `before` of the next page; null on the last.
    next: Option<String>,
}

/// The body of an opt-out.
#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OptOutBody {
    /// For people.
    reason: Option<String>,
    /// Since when, if not since now: what was received since leaves the recording.
    #[schema(format = DateTime)]
    effective_at: Option<String>,
}

/// A moment at or before now. Clocks of two machines may differ a little.
fn effective_at(text: &str) -> Result<WallTime, Problem> {
    let at = WallTime::parse(text).ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "effectiveAt is no RFC 3339 time"))?;
    if at.0 > wall().0 + SKEW_MS {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "effectiveAt lies in the future: an opt-out holds from now on, or from earlier"));
    }
    Ok(at)
}

/// PX-735's `InitiateCallRequest`, with where to call and whom to connect to.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InitiateCallRequest {
    /// The client.
    #[schema(min_length = 1, max_length = 128)]
    client_id: String,
    /// Forms that the call is about; written down beside it.
    #[serde(default)]
    #[schema(max_items = 64)]
    form_ids: Vec<String>,
    /// The client's number in E.164, or `client:ID`.
    to: String,
    /// Who talks with the client; without it the call goes where inbound calls go.
    connect_to: Option<String>,
    /// Where the client lives: a country of ISO 3166 (`FR`), or an American state (`US-CA`).
    #[serde(skip_serializing_if = "Option::is_none")]
    client_region: Option<String>,
    /// The warning was seen, and the call is wanted unrecorded.
    #[serde(default)]
    acknowledge_unrecorded: bool,
    /// For the warning's words. Kept nowhere.
    client_name: Option<String>,
}

impl InitiateCallRequest {
    /// What is wrong with it, in words for whoever wrote it.
    fn faults(&self, has_route: bool) -> Vec<String> {
        let unfit = |name: &str| format!("{name} is empty, longer than {} bytes, or has control characters", ids::ID_MAX);
        let fit = |id: &String| !id.is_empty() && ids::is_fit(id);
        let routed = |name: &str, route: &str| {
            let wanted = "a number in E.164, like +16175550123, or client:ID";
            (Route::parse(route).is_none() || !ids::is_fit(route)).then(|| format!("{name} is not {wanted}"))
        };
        let mut faults = Vec::new();
        if !fit(&self.client_id) {
            faults.push(unfit("clientId"));
        }
        if self.form_ids.len() > FORMS_MAX {
            faults.push(format!("formIds has more than {FORMS_MAX} ids"));
        }
        if !self.form_ids.iter().all(fit) {
            faults.push(unfit("an id of formIds"));
        }
        if self.client_name.as_ref().is_some_and(|name| !fit(name)) {
            faults.push(unfit("clientName"));
        }
        if self.client_region.as_ref().is_some_and(|region| Region::parse(region).is_none()) {
            faults.push("clientRegion is no country of ISO 3166, like FR, and no American state, like US-CA".to_owned());
        }
        faults.extend(routed("to", &self.to));
        match &self.connect_to {
            Some(route) => faults.extend(routed("connectTo", route)),
            None if has_route => {}
            None => faults.push("connectTo is missing, and CALLGATE_INBOUND_ROUTE does not say where calls go".to_owned()),
        }
        faults
    }
}

/// Calls a client
///
/// By PX-735 §3.1. A client who has revoked consent is not called without `acknowledgeUnrecorded`: the answer is 200 with a
/// `warning`, and `callId` and `status` null. With an `Idempotency-Key` the same request gets the same answer and makes one call.
#[utoipa::path(post, path = "/api/calls", operation_id = "initiateCall", tag = "calls",
    extensions(("x-permission" = json!(ViewClients::NAME))),
    params(("idempotency-key" = Option<String>, Header, description = "A new one for each call, 128 bytes at most.")),
    request_body = InitiateCallRequest,
    responses((status = 201, description = "The call is placed.", body = InitiateCallResponse),
        (status = 200, description = "No call was placed: the client has revoked consent.", body = InitiateCallResponse),
        (status = 409, description = "The request with this `Idempotency-Key` is still being answered."),
        (status = 415, description = "The body is not `application/json`."),
        (status = 422, description = "The body does not say what it must, or the `Idempotency-Key` was used for another request."),
        (status = 502, description = "Twilio refused the call, or cannot be reached; `detail` says what to mend."),
        (status = 503, description = "No call can be placed now, or on this gateway; `detail` says why."),
        (status = 504, description = "Twilio did not say whether the call was placed; it may ring.")))]
async fn initiate(
    State(app): State<App>,
    may: May<ViewClients>,
    headers: HeaderMap,
    body: Result<Body<InitiateCallRequest>, Problem>,
) -> Result<Told, Problem> {
    let Body(asked) = body?;
    let faults = asked.faults(app.config.inbound_route.is_some());
    if !faults.is_empty() {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, faults.join("; ")));
    }
    let key = match headers.get("idempotency-key").map(|key| key.to_str()) {
        None => None,
        Some(Ok(key)) if !key.is_empty() && ids::is_fit(key) => Some(key.to_owned()),
        Some(_) => {
            let detail = format!("Idempotency-Key is empty, longer than {} bytes, or not plain text", ids::ID_MAX);
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
    };
    let claims = may.claims;
    own(&app, &claims, &claims.org, &asked.client_id, None, "client")?;
    let canonical = canonical(&asked).map_err(Problem::ours)?;
    let InitiateCallRequest { client_id, form_ids, to, connect_to, client_region, acknowledge_unrecorded: acknowledged, client_name } =
        asked;
    let client_region = client_region.as_deref().and_then(Region::parse);
    let wish = Wish { claims, client_id, client_name, form_ids, to, client_region, connect_to, acknowledged, key, canonical };
    // Once begun it is carried through, even if whoever asked has gone.
    tokio::spawn(placing::place(app, wish)).await.map_err(Problem::ours)?
}

/// A call's live state, or its last
#[utoipa::path(get, path = "/api/calls/{callId}", operation_id = "getCall", tag = "calls",
    extensions(("x-permission" = json!(ViewClients::NAME))),
    params(("callId" = String, Path, description = "The call.")),
    responses((status = 200, description = "The call.", body = CallState),
        (status = 404, description = "There is no such call.")))]
async fn call(State(app): State<App>, may: May<ViewClients>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    call_json(&app, &may.claims, &id).await.map(Json)
}

/// Calls by other keys than their id, newest first
///
/// Calls of clients who are not assigned to the token are left out.
#[utoipa::path(get, path = "/api/calls", operation_id = "listCalls", tag = "calls",
    extensions(("x-permission" = json!(ViewClients::NAME))),
    params(CallsQuery),
    responses((status = 200, description = "A page of calls.", body = CallsPage)))]
async fn calls(State(app): State<App>, may: May<ViewClients>, Query(asked): Query<CallsQuery>) -> Result<Json<CallsPage>, Problem> {
    let before = asked.before.as_deref().map(|text| {
        let (time, id) = text.split_once(',').map_or((text, None), |(time, id)| (time, Some(id.to_owned())));
        WallTime::parse(time).map(|time| (time, id)).ok_or_else(|| {
            let detail = "before is the `next` of a page, or an RFC 3339 time such as 2026-11-01T00:00:00Z, its + written as %2B";
            Problem::new(StatusCode::BAD_REQUEST, detail)
        })
    });
    let before = before.transpose()?;
    let limit = asked.limit.unwrap_or(50).clamp(1, PAGE_MAX);
    let phase = asked.phase.and_then(|phase| json!(phase).as_str().map(str::to_owned));
    let filter = CallFilter {
        org_id: Some(may.claims.org.clone()),
        call_sid: asked.call_sid.clone(),
        client_id: asked.client_id.clone(),
        clients: may.claims.assigned().map(<[String]>::to_vec),
        phase: phase.clone(),
        before: before.clone(),
        limit,
    };
    let stored = app.world.database.calls(&filter).await.map_err(Problem::ours)?;
    let live = app.registry.all().into_iter().filter(|call| !call.is_disowned()).map(|call| (call.identity.clone(), call.json())).filter(
        |(identity, state)| {
            let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
            identity.org_id == may.claims.org
                && is(&asked.call_sid, state["callSid"].as_str().unwrap_or_default())
                && is(&asked.client_id, &identity.client_id)
                && is(&phase, state["phase"].as_str().unwrap_or_default())
                && before.as_ref().is_none_or(|(before, id)| {
                    let started = state["startedAt"].as_str().and_then(WallTime::parse);
                    let is_later_id = id.as_ref().is_some_and(|id| identity.call_id > *id);
                    started.is_some_and(|started| started < *before || (started == *before && is_later_id))
                })
        },
    );
    let mut calls: Vec<(String, Value)> = live
        .filter(|(identity, _)| may.claims.is_assigned(&identity.client_id))
        .map(|(identity, state)| (identity.call_id, state))
        .collect();
    for row in stored {
        if app.registry.owned(&row.id).is_none() {
            calls.push((row.id, row.state));
        }
    }
    calls
        .sort_by(|(id, one), (other_id, other)| other["startedAt"].as_str().cmp(&one["startedAt"].as_str()).then_with(|| id.cmp(other_id)));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    calls.truncate(limit);
    let next = calls.last().filter(|_| calls.len() == limit).map(|(id, state)| cursor(state["startedAt"].as_str().unwrap_or_default(), id));
    Ok(Json(CallsPage { calls: calls.into_iter().map(|(_, state)| state).collect(), next }))
}

/// The client said no: capturing stops, consent is revoked
///
/// Answered when the gate is shut and the ledger has the record, with the state then: where the last segment ends, the last captured
/// frame ends. Asked again, the answer is the same and nothing more is written. If the ledger does not take the record within 3 s the
/// answer is a 503 of a type of its own: the gate is shut all the same, and the record is tried until it is written. If the recording had
/// ended already and can be cut no more, all of it is queued for deletion, and `recording.reason` says so. Once the call is over an
/// `effectiveAt` earlier than that of before is refused, since nothing is done for it.
#[utoipa::path(post, path = "/api/calls/{callId}/opt-out", operation_id = "optOutOfCall", tag = "calls",
    extensions(("x-permission" = json!(EditClients::NAME))),
    params(("callId" = String, Path, description = "The call.")),
    request_body = Option<OptOutBody>,
    responses((status = 200, description = "Nothing is captured any more, and the record is in the ledger; the call's state.", body = CallState),
        (status = 404, description = "There is no such call."),
        (status = 409, description = "The call is over, and nothing of it was cut or queued for this no; revoke the client's consent instead."),
        (status = 503, description = "The gate is shut, and the record is not in the ledger yet but is being written: `type` is \
            `urn:callgate:problem:gate-shut-record-pending`. Or else the gateway that has the call does not answer.",
            headers(("gate-shut-at" = String, description = "Since when the gate is shut, if it is; `gateShutAt` in the body as well.")))))]
async fn opt_out(
    State(app): State<App>,
    may: May<EditClients>,
    Path(id): Path<String>,
    Bytes(body): Bytes,
) -> Result<Json<Value>, Problem> {
    let read_at = Some(Instant::now());
    let before = call_json(&app, &may.claims, &id).await?;
    let body: OptOutBody = said(&body, r#"{"reason": "…", "effectiveAt": "…"}, or nothing"#)?;
    let since = body.effective_at.as_deref().map(effective_at).transpose()?;
    let actor = Actor::User { id: may.claims.sub.clone(), name: may.claims.name.clone() };
    let command = Command::OptOut { call_id: id, actor, reason: reason(body.reason)?, since, read_at };
    let state = match nodes::command(&app, command).await {
        Ok(state) => state,
        // A no that was said while it lived may still be on its way into the ledger.
        Err(NotDone::Over) => revocation::told_of(&app, before).await,
        Err(NotDone::Unanswered) => return Err(unanswered()),
    };
    if let Some(since) = state[revocation::GATE_SHUT_AT].as_str().and_then(WallTime::parse) {
        return Err(Problem::gate_shut(since));
    }
    if state["consent"]["status"] != "REVOKED" {
        return Err(Problem::new(StatusCode::CONFLICT, "the call is over; revoke the client's consent instead"));
    }
    if since.is_some_and(|since| !holds_since(&state, since)) {
        let detail = "the call is over, and what was recorded of it after effectiveAt, before the client's no of then, is kept: revoke the client's \
            consent instead, which queues every recording of theirs for deletion";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    Ok(Json(state))
}

/// Whether nothing of after a moment is kept of a call: the no that was said on it holds from then on, or there was nothing to keep.
fn holds_since(state: &Value, since: WallTime) -> bool {
    let from = state["consent"]["effectiveAt"].as_str().and_then(WallTime::parse);
    state["isRecorded"] == false || state["recording"]["reason"] == TAKEN_BACK || from.is_some_and(|from| from <= since)
}

/// The gateway that owns a call does not answer, and holds its lease.
pub(super) fn unanswered() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the gateway that has the call does not answer, or nobody can tell which has it; ask again at once, or hang up",
    )
}

pub(super) async fn call_json(app: &App, claims: &Claims, id: &str) -> Result<Value, Problem> {
    let (org, client, state) = match app.registry.owned(id) {
        Some(live) => (live.identity.org_id.clone(), live.identity.client_id.clone(), live.json()),
        None => match app.world.database.call(id).await.map_err(Problem::ours)? {
            // Live on another gateway: it counts frames that no row tells of yet.
            Some(row) if row.ended_at.is_none() => {
                let state = nodes::command(app, Command::State { call_id: row.id }).await.unwrap_or(row.state);
                (row.org_id, row.client_id, state)
            }
            Some(row) => (row.org_id, row.client_id, row.state),
            // Of one that came to another gateway just now nothing is written yet.
            None => {
                let state = nodes::command(app, Command::State { call_id: id.to_owned() }).await;
                let state = state.map_err(|_| Problem::not_found("call"))?;
                let text = |name: &str| state[name].as_str().unwrap_or_default().to_owned();
                (text("orgId"), text("clientId"), state)
            }
        },
    };
    own(app, claims, &org, &client, Some(id), "call").map(|()| state)
}
