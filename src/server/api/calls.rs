//! Calls, live and past.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{App, Claims, EditClients, May, Problem, ViewClients, own};
use crate::engine::consent::Actor;
use crate::engine::ledger::canonical;
use crate::engine::time::WallTime;
use crate::engine::twilio::twiml::Route;
use crate::io::clock::wall;
use crate::io::database::CallFilter;
use crate::server::ids;
use crate::server::media::ToMedia;
use crate::server::placing::{self, Told, Wish};

/// Calls on one page at most.
const PAGE_MAX: u32 = 100;
/// Clocks of callers may be ahead of ours by this much.
const SKEW_MS: i64 = 2_000;
/// Forms of one call at most.
const FORMS_MAX: usize = 64;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/calls", get(calls).post(initiate))
        .route("/api/calls/{callId}", get(call))
        .route("/api/calls/{callId}/opt-out", post(opt_out))
}

/// Which calls are asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallsQuery {
    call_sid: Option<String>,
    client_id: Option<String>,
    phase: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
}

/// The body of an opt-out.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OptOutBody {
    reason: Option<String>,
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
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InitiateCallRequest {
    client_id: String,
    #[serde(default)]
    form_ids: Vec<String>,
    /// The client's number in E.164, or `client:ID`.
    to: String,
    /// Who talks with the client; without it the call goes where inbound calls go.
    connect_to: Option<String>,
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
        faults.extend(routed("to", &self.to));
        match &self.connect_to {
            Some(route) => faults.extend(routed("connectTo", route)),
            None if has_route => {}
            None => faults.push("connectTo is missing, and CALLGATE_INBOUND_ROUTE does not say where calls go".to_owned()),
        }
        faults
    }
}

/// `POST /api/calls`: calls a client, by PX-735 §3.1.
async fn initiate(
    State(app): State<App>,
    may: May<ViewClients>,
    headers: HeaderMap,
    body: Result<Json<InitiateCallRequest>, JsonRejection>,
) -> Result<Told, Problem> {
    let Json(asked) = body.map_err(|why| Problem::new(why.status(), why.body_text()))?;
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
    if !(ids::is_fit(&claims.org) && ids::is_key_part(&claims.org) && ids::is_fit(&claims.sub)) {
        let detail = "the token's org or sub cannot be kept: 128 bytes at most, no control characters, no slash in org";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    own(&app, &claims, &claims.org, &asked.client_id, "client")?;
    let canonical = canonical(&asked).map_err(Problem::ours)?;
    let InitiateCallRequest { client_id, form_ids, to, connect_to, acknowledge_unrecorded, client_name } = asked;
    let wish = Wish { claims, client_id, client_name, form_ids, to, connect_to, acknowledged: acknowledge_unrecorded, key, canonical };
    // Once begun it is carried through, even if whoever asked has gone.
    tokio::spawn(placing::place(app, wish)).await.map_err(Problem::ours)?
}

/// `GET /api/calls/{callId}`
async fn call(State(app): State<App>, may: May<ViewClients>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    call_json(&app, &may.claims, &id).await.map(Json)
}

/// `GET /api/calls`
async fn calls(State(app): State<App>, may: May<ViewClients>, Query(asked): Query<CallsQuery>) -> Result<Json<Value>, Problem> {
    let before = asked
        .before
        .as_deref()
        .map(|text| WallTime::parse(text).ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "before is to be an RFC 3339 time")));
    let before = before.transpose()?;
    let limit = asked.limit.unwrap_or(50).clamp(1, PAGE_MAX);
    let filter = CallFilter {
        org_id: Some(may.claims.org.clone()),
        call_sid: asked.call_sid.clone(),
        client_id: asked.client_id.clone(),
        phase: asked.phase.clone(),
        before,
        limit,
    };
    let stored = app.world.database.calls(&filter).await.map_err(Problem::ours)?;
    let live = app.registry.all().into_iter().map(|call| (call.identity.clone(), call.json())).filter(|(identity, state)| {
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        identity.org_id == may.claims.org
            && is(&asked.call_sid, state["callSid"].as_str().unwrap_or_default())
            && is(&asked.client_id, &identity.client_id)
            && is(&asked.phase, state["phase"].as_str().unwrap_or_default())
            && before.is_none_or(|before| state["startedAt"].as_str().and_then(WallTime::parse).is_some_and(|started| started < before))
    });
    let mut calls: Vec<(String, Value)> = live
        .filter(|(identity, _)| may.claims.is_assigned(&identity.client_id))
        .map(|(identity, state)| (identity.call_id, state))
        .collect();
    for row in stored {
        let newer = app.registry.get(&row.id).is_some();
        if !newer && may.claims.is_assigned(&row.client_id) {
            calls.push((row.id, row.state));
        }
    }
    calls.sort_by(|(_, one), (_, other)| other["startedAt"].as_str().cmp(&one["startedAt"].as_str()));
    calls.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let calls: Vec<Value> = calls.into_iter().map(|(_, state)| state).collect();
    Ok(Json(json!({ "calls": calls })))
}

/// `POST /api/calls/{callId}/opt-out`: answered when the gate is shut, with the state then: where its last segment ends, the last
/// captured frame ends.
async fn opt_out(
    State(app): State<App>,
    may: May<EditClients>,
    Path(id): Path<String>,
    body: Option<Json<OptOutBody>>,
) -> Result<Json<Value>, Problem> {
    call_json(&app, &may.claims, &id).await?;
    let live =
        app.registry.get(&id).ok_or_else(|| Problem::new(StatusCode::CONFLICT, "the call is over; revoke the client's consent instead"))?;
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let since = body.effective_at.as_deref().map(effective_at).transpose()?;
    let actor = Actor::User { id: may.claims.sub.clone(), name: may.claims.name.clone() };
    let (done, shut) = tokio::sync::oneshot::channel();
    live.owner.send(ToMedia::OptOut(id.clone(), actor, body.reason, since, done));
    shut.await.map_err(|_| Problem::new(StatusCode::CONFLICT, "the call is over; revoke the client's consent instead"))?;
    call_json(&app, &may.claims, &id).await.map(Json)
}

pub(super) async fn call_json(app: &App, claims: &Claims, id: &str) -> Result<Value, Problem> {
    let (org, client, state) = match app.registry.get(id) {
        Some(live) => (live.identity.org_id.clone(), live.identity.client_id.clone(), live.json()),
        None => match app.world.database.call(id).await.map_err(Problem::ours)? {
            Some(row) => (row.org_id, row.client_id, row.state),
            None => return Err(Problem::not_found("call")),
        },
    };
    own(app, claims, &org, &client, "call").map(|()| state)
}
