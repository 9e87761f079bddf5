//! Calls, live and past.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{App, Claims, EditClients, May, Problem, ViewClients, own};
use crate::engine::consent::Actor;
use crate::engine::time::WallTime;
use crate::io::database::CallFilter;
use crate::server::media::ToMedia;

/// Calls on one page at most.
const PAGE_MAX: u32 = 100;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/calls", get(calls))
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
            && is(&asked.call_sid, &identity.call_sid)
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

/// `POST /api/calls/{callId}/opt-out`: answered when the gate is shut.
async fn opt_out(
    State(app): State<App>,
    may: May<EditClients>,
    Path(id): Path<String>,
    body: Option<Json<OptOutBody>>,
) -> Result<Json<Value>, Problem> {
    call_json(&app, &may.claims, &id).await?;
    let live =
        app.registry.get(&id).ok_or_else(|| Problem::new(StatusCode::CONFLICT, "the call is over; revoke the client's consent instead"))?;
    let reason = body.and_then(|Json(body)| body.reason);
    let actor = Actor::User { id: may.claims.sub.clone(), name: may.claims.name.clone() };
    let (done, shut) = tokio::sync::oneshot::channel();
    live.owner.send(ToMedia::OptOut(id.clone(), actor, reason, done));
    shut.await.map_err(|_| Problem::new(StatusCode::CONFLICT, "the call is over; revoke the client's consent instead"))?;
    call_json(&app, &may.claims, &id).await.map(Json)
}

async fn call_json(app: &App, claims: &Claims, id: &str) -> Result<Value, Problem> {
    let (org, client, state) = match app.registry.get(id) {
        Some(live) => (live.identity.org_id.clone(), live.identity.client_id.clone(), live.json()),
        None => match app.world.database.call(id).await.map_err(Problem::ours)? {
            Some(row) => (row.org_id, row.client_id, row.state),
            None => return Err(Problem::not_found("call")),
        },
    };
    own(app, claims, &org, &client, "call").map(|()| state)
}
