//! The main app's side: the state of calls, recordings, and whether we are well.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Claims, EditClients, May, ViewAuditLogs, ViewClients, ViewRecordings};
use super::http::App;
use super::media::ToMedia;
use super::problem::Problem;
use crate::engine::call::RecordingState;
use crate::engine::consent::Actor;
use crate::engine::ledger::{Event, EventKind};
use crate::io::database::{CallFilter, RecordingRow, Work};
use crate::io::recording::Format;

/// Calls on one page at most.
const PAGE_MAX: u32 = 100;

/// What was handed to the ledger before a question has so long to be written; then the answer goes without it.
const FLUSH_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// The spool's disk has so long to take a few bytes.
const SPOOL_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// Which calls are asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallsQuery {
    call_sid: Option<String>,
    client_id: Option<String>,
    phase: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
}

/// The body of an opt-out.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OptOutBody {
    reason: Option<String>,
}

/// `GET /api/calls/{callId}`
pub(super) async fn call(State(app): State<App>, may: May<ViewClients>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    call_json(&app, &may.claims, &id).await.map(Json)
}

/// `GET /api/calls`
pub(super) async fn calls(State(app): State<App>, may: May<ViewClients>, Query(asked): Query<CallsQuery>) -> Result<Json<Value>, Problem> {
    let limit = asked.limit.unwrap_or(50).clamp(1, PAGE_MAX);
    let filter = CallFilter {
        org_id: Some(may.claims.org.clone()),
        call_sid: asked.call_sid.clone(),
        client_id: asked.client_id.clone(),
        phase: asked.phase.clone(),
        before: asked.before.clone(),
        limit,
    };
    let stored = app.world.database.calls(&filter).await.map_err(Problem::ours)?;
    let live = app.registry.all().into_iter().map(|call| (call.identity.clone(), call.json())).filter(|(identity, state)| {
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        identity.org_id == may.claims.org
            && is(&asked.call_sid, &identity.call_sid)
            && is(&asked.client_id, &identity.client_id)
            && is(&asked.phase, state["phase"].as_str().unwrap_or_default())
            && asked.before.as_deref().is_none_or(|before| state["startedAt"].as_str().unwrap_or_default() < before)
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
pub(super) async fn opt_out(
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

/// `GET /api/recordings/{id}`
pub(super) async fn recording(State(app): State<App>, may: May<ViewRecordings>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let row = readable(&app, &may.claims, &id).await?;
    Ok(Json(json!({
        "recordingId": row.id,
        "callId": row.call_id,
        "clientId": row.client_id,
        "orgId": row.org_id,
        "state": row.state,
        "reason": row.reason,
        "format": row.format,
        "objectKey": row.object_key,
        "sha256": row.sha256,
        "bytes": row.bytes,
        "durationMs": row.duration_ms,
        "consent": { "ledgerSeq": row.grant_seq },
        "createdAt": row.created_at,
        "finishedAt": row.finished_at,
    })))
}

/// `GET /api/recordings/{id}/audio`, whole or a range of it.
pub(super) async fn audio(
    State(app): State<App>,
    may: May<ViewRecordings>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = readable(&app, &may.claims, &id).await?;
    let (Some(key), Some(bytes)) = (&row.object_key, row.bytes) else {
        let why = match row.state {
            RecordingState::Discarded => "the recording was discarded: nothing of it is kept",
            RecordingState::Failed => "the recording could not be stored",
            RecordingState::NotStarted
            | RecordingState::Active
            | RecordingState::Paused
            | RecordingState::Halted
            | RecordingState::Finished => "the recording is not stored yet",
        };
        return Err(Problem::new(StatusCode::CONFLICT, why));
    };
    let range = match headers.get(header::RANGE).and_then(|value| value.to_str().ok()) {
        None => None,
        Some(text) => Some(
            range(text, bytes).ok_or_else(|| Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "the range lies outside the recording"))?,
        ),
    };
    let source = app.world_objects().get(key, range).await.map_err(Problem::ours)?;
    let source = source.ok_or_else(|| Problem::ours(format!("object {key} is not in the store")))?;
    let stream = futures_util::stream::unfold(source, |mut source| async move { source.recv().await.map(|bytes| (bytes, source)) });
    let format = Format::parse(&row.format).unwrap_or(Format::Wav);
    let mut response = Body::from_stream(stream).into_response();
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(format.content_type()));
    answer.insert(header::ACCEPT_RANGES, header::HeaderValue::from_static("bytes"));
    answer.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("private, no-store"));
    let length = range.map_or(bytes, |(first, last)| last - first + 1);
    answer.insert(header::CONTENT_LENGTH, length.into());
    if let Some((first, last)) = range {
        if let Ok(value) = header::HeaderValue::from_str(&format!("bytes {first}-{last}/{bytes}")) {
            answer.insert(header::CONTENT_RANGE, value);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// `GET /api/audit`: the organisation's chain, as far as it is asked for. Verified offline by `callgate audit verify`.
pub(super) async fn audit(
    State(app): State<App>,
    may: May<ViewAuditLogs>,
    Query(asked): Query<AuditQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = asked.limit.unwrap_or(100).clamp(1, 1_000);
    // Whoever was just refused, or just read something, finds the line about it.
    let _ = tokio::time::timeout(FLUSH_WITHIN, app.world.database.ledger().flush()).await;
    let rows = app
        .world
        .database
        .audit(&may.claims.org, asked.client_id.as_deref(), asked.call_id.as_deref(), asked.after.unwrap_or(0), limit)
        .await
        .map_err(Problem::ours)?;
    let next = rows.last().map(|(seq, _, _)| *seq).filter(|_| rows.len() == limit as usize);
    let entries: Vec<Value> = rows
        .into_iter()
        .map(|(_, hash, entry)| json!({ "hash": hash, "entry": serde_json::from_str::<Value>(&entry).unwrap_or(Value::Null), "canonical": entry }))
        .collect();
    Ok(Json(json!({ "entries": entries, "next": next })))
}

/// Which entries are asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditQuery {
    client_id: Option<String>,
    call_id: Option<String>,
    after: Option<u64>,
    limit: Option<u32>,
}

/// `GET /healthz`
pub(super) async fn healthz() -> Json<Value> {
    Json(json!({ "alive": true }))
}

/// `GET /readyz`: what is ready, and of what is not, why.
pub(super) async fn readyz(State(app): State<App>) -> Response {
    let writers = app.world.spool.clone();
    // A stuck disk must not take the threads that answer.
    let spool = async {
        match tokio::time::timeout(SPOOL_WITHIN, tokio::task::spawn_blocking(move || writers.ready())).await {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(why))) => Some(format!("spool: it takes no audio: {why}")),
            Ok(Err(_)) | Err(_) => Some("spool: the disk does not answer".to_owned()),
        }
    };
    let (database, objects, spool_why) = tokio::join!(app.world.database.ready(), app.world_objects().ready(), spool);
    let (spool, draining) = (spool_why.is_none(), app.is_draining());
    let said = [(database, "database: it does not answer"), (objects, "objects: the store does not answer"), (!draining, "draining")];
    let why: Vec<String> = said.into_iter().filter(|(fine, _)| !fine).map(|(_, why)| why.to_owned()).chain(spool_why).collect();
    let ready = why.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let told = json!({ "ready": ready, "database": database, "objects": objects, "spool": spool, "draining": draining, "why": why });
    (status, Json(told)).into_response()
}

/// `GET /metrics`
pub(super) async fn metrics(State(app): State<App>) -> Response {
    let text = app.world.metrics.text(app.registry.places(), app.registry.all().len(), app.world.database.ledger().commits());
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
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

/// Other organisations' things do not exist; other people's clients are denied, and that is written down.
fn own(app: &App, claims: &Claims, org: &str, client: &str, what: &str) -> Result<(), Problem> {
    if claims.org != org {
        return Err(Problem::not_found(what));
    }
    if claims.is_assigned(client) {
        return Ok(());
    }
    app.denied(claims, "an assigned client", what);
    Err(Problem::new(StatusCode::FORBIDDEN, "the client is not assigned to this token"))
}

async fn readable(app: &App, claims: &Claims, id: &str) -> Result<RecordingRow, Problem> {
    let row = app.world.database.recording(id).await.map_err(Problem::ours)?.ok_or_else(|| Problem::not_found("recording"))?;
    own(app, claims, &row.org_id, &row.client_id, "recording")?;
    let read = Event {
        org_id: row.org_id.clone(),
        kind: EventKind::RecordingRead,
        actor: Actor::User { id: claims.sub.clone(), name: String::new() },
        call_id: Some(row.call_id.clone()),
        client_id: Some(row.client_id.clone()),
        at: crate::io::clock::wall(),
        position: None,
        detail: json!({ "recordingId": row.id }),
    };
    super::live::submit(&app.world, Work::Audit(read, None));
    Ok(row)
}

/// The first and last byte of `bytes=a-b`, `bytes=a-` or `bytes=-n`.
fn range(text: &str, length: u64) -> Option<(u64, u64)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = match (first.trim(), last.trim()) {
        ("", count) => (length.checked_sub(count.parse().ok()?)?, length.checked_sub(1)?),
        (first, "") => (first.parse().ok()?, length.checked_sub(1)?),
        (first, last) => (first.parse().ok()?, last.parse::<u64>().ok()?.min(length.checked_sub(1)?)),
    };
    (first <= last && last < length).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_are_what_a_player_asks_for() {
        assert_eq!(range("bytes=0-43", 100), Some((0, 43)));
        assert_eq!(range("bytes=90-", 100), Some((90, 99)));
        assert_eq!(range("bytes=-10", 100), Some((90, 99)));
        assert_eq!(range("bytes=0-1000", 100), Some((0, 99)));
        assert_eq!(range("bytes=100-", 100), None);
        assert_eq!(range("bytes=5-4", 100), None);
        assert_eq!(range("words=1-2", 100), None);
    }
}
