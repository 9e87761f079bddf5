//! Recordings: what they are, and their audio. Every read stands in the chain.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{App, Claims, May, Problem, ViewAuditLogs, ViewRecordings};
use crate::engine::call::RecordingState;
use crate::engine::consent::Actor;
use crate::engine::ledger::{Event, EventKind};
use crate::io::database::{RecordingRow, RetentionRow, Work};
use crate::io::recording::Format;
use crate::server::live::submit;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/api/recordings/{id}", get(recording)).route("/api/recordings/{id}/audio", get(audio))
}

/// `GET /api/recordings/{id}`
async fn recording(State(app): State<App>, may: May<ViewRecordings>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let (row, queued) = readable(&app, &may.claims, &id, "description").await?;
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
        "retentionUntil": queued.map(|queued| queued.due_at),
    })))
}

/// `GET /api/recordings/{id}/audio`, whole or a range of it.
async fn audio(State(app): State<App>, may: May<ViewRecordings>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let (row, _) = readable(&app, &may.claims, &id, "audio").await?;
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

/// Whether the bearer may read a recording, and that it was asked for: the chain and the access log keep either.
async fn readable(app: &App, claims: &Claims, id: &str, what: &str) -> Result<(RecordingRow, Option<RetentionRow>), Problem> {
    let row = app.world.database.recording(id).await.map_err(Problem::ours)?;
    // Other organisations' recordings do not exist.
    let row = row.filter(|row| row.org_id == claims.org).ok_or_else(|| Problem::not_found("recording"))?;
    let queued = app.world.database.retention(id).await.map_err(Problem::ours)?;
    let deleted = queued.as_ref().and_then(|queued| queued.deleted_at.as_ref());
    let refusal = if !claims.is_assigned(&row.client_id) {
        Some(("DENIED", StatusCode::FORBIDDEN, "the client is not assigned to this token".to_owned()))
    } else if let Some(at) = deleted {
        Some(("DELETED", StatusCode::GONE, format!("the recording was deleted on {at}: consent was revoked")))
    } else if let Some(queued) = queued.as_ref().filter(|_| !claims.may::<ViewAuditLogs>()) {
        let why =
            format!("consent was revoked: the recording is deleted after {}, and until then needs canViewAuditLogs as well", queued.due_at);
        Some(("QUEUED", StatusCode::GONE, why))
    } else {
        None
    };
    let outcome = refusal.as_ref().map_or("ALLOWED", |(outcome, ..)| outcome);
    let read = Event {
        org_id: row.org_id.clone(),
        kind: if refusal.is_none() { EventKind::RecordingRead } else { EventKind::AccessDenied },
        actor: Actor::User { id: claims.sub.clone(), name: String::new() },
        call_id: Some(row.call_id.clone()),
        client_id: Some(row.client_id.clone()),
        at: crate::io::clock::wall(),
        position: None,
        detail: json!({ "recordingId": row.id, "what": what, "outcome": outcome }),
    };
    submit(&app.world, Work::Audit(read, None));
    match refusal {
        Some((_, status, why)) => Err(Problem::new(status, why)),
        None => Ok((row, queued)),
    }
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
