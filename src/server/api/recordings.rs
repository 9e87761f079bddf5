//! Recordings: what they are, and their audio. Every read stands in the chain.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_range_header::{RangeUnsatisfiableError, parse_range_header};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::Path;
use super::{App, Claims, May, Permission as _, Problem, ViewAuditLogs, ViewRecordings, written_down};
use crate::engine::call::RecordingState;
use crate::engine::consent::Actor;
use crate::engine::ledger::{Event, EventKind};
use crate::io::database::{RecordingRow, RetentionRow, Work};
use crate::io::objects::Source;
use crate::io::recording::Format;
use crate::server::live::submit;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(recording)).routes(routes!(audio))
}

/// What a recording is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Recording {
    /// Its id.
    recording_id: String,
    /// Of which call.
    call_id: String,
    /// Of which client.
    client_id: String,
    /// Of which organisation.
    org_id: String,
    /// Where it is.
    state: RecordingState,
    /// Why it is not finished.
    reason: Option<String>,
    /// `wav` or `opus`.
    format: String,
    /// Its key in the object store.
    object_key: Option<String>,
    /// Of the stored audio.
    sha256: Option<String>,
    /// The stored audio's length.
    bytes: Option<u64>,
    /// The same in time.
    duration_ms: Option<u64>,
    /// What it rests on.
    consent: RestsOn,
    /// When it began.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was stored, or given up.
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    /// Consent was revoked: deleted after this time.
    #[schema(format = DateTime)]
    retention_until: Option<String>,
}

/// The line of the chain that allows a recording.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RestsOn {
    /// Its number.
    ledger_seq: u64,
}

/// What a recording is
///
/// Queued for deletion it is shown to `canViewAuditLogs` only.
#[utoipa::path(get, path = "/api/recordings/{id}", operation_id = "getRecording", tag = "recordings",
    extensions(("x-permission" = json!(ViewRecordings::NAME))),
    params(("id" = String, Path, description = "The recording.")),
    responses((status = 200, description = "The recording.", body = Recording),
        (status = 404, description = "There is no such recording."),
        (status = 410, description = "Consent was revoked: it is deleted, or will be, and then needs `canViewAuditLogs` as well.")))]
async fn recording(State(app): State<App>, may: May<ViewRecordings>, Path(id): Path<String>) -> Result<Json<Recording>, Problem> {
    let (row, queued) = readable(&app, &may.claims, &id, "description").await?;
    Ok(Json(Recording {
        recording_id: row.id,
        call_id: row.call_id,
        client_id: row.client_id,
        org_id: row.org_id,
        state: row.state,
        reason: row.reason,
        format: row.format,
        object_key: row.object_key,
        sha256: row.sha256,
        bytes: row.bytes,
        duration_ms: row.duration_ms,
        consent: RestsOn { ledger_seq: row.grant_seq },
        created_at: row.created_at,
        finished_at: row.finished_at,
        retention_until: queued.map(|queued| queued.due_at),
    }))
}

/// A recording's audio, whole or a range of it
///
/// Two channels at 8 kHz: the client left, the other party right.
#[utoipa::path(get, path = "/api/recordings/{id}/audio", operation_id = "getRecordingAudio", tag = "recordings",
    extensions(("x-permission" = json!(ViewRecordings::NAME))),
    params(("id" = String, Path, description = "The recording."),
        ("range" = Option<String>, Header, description = "`bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-COUNT`; one range.")),
    responses((status = 200, description = "All of it.", content((Vec<u8> = "audio/wav"), (Vec<u8> = "audio/ogg"))),
        (status = 206, description = "The range.", content((Vec<u8> = "audio/wav"), (Vec<u8> = "audio/ogg"))),
        (status = 404, description = "There is no such recording."),
        (status = 409, description = "There is no audio: not yet, or nothing of it is kept, or it could not be stored."),
        (status = 410, description = "Consent was revoked: it is deleted, or will be, and then needs `canViewAuditLogs` as well."),
        (status = 416, description = "The range lies outside the recording.")))]
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
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok()).map_or(Ok(None), |text| wanted(text, bytes));
    let Ok(range) = range else {
        let mut answer = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "the range lies outside the recording").into_response();
        if let Ok(value) = header::HeaderValue::from_str(&format!("bytes */{bytes}")) {
            answer.headers_mut().insert(header::CONTENT_RANGE, value);
        }
        return Ok(answer);
    };
    let source = app.world_objects().get(key, range).await.map_err(Problem::ours)?;
    let source = source.ok_or_else(|| Problem::ours(format!("object {key} is not in the store")))?;
    let format = Format::parse(&row.format).unwrap_or(Format::Wav);
    let mut response = handed_out(source, format.content_type());
    let answer = response.headers_mut();
    answer.insert(header::ACCEPT_RANGES, header::HeaderValue::from_static("bytes"));
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

/// An object as an answer, piece by piece, for whoever asked and for no cache.
pub(super) fn handed_out(source: Source, content_type: &'static str) -> Response {
    let stream = futures_util::stream::unfold(source, |mut source| async move { source.recv().await.map(|bytes| (bytes, source)) });
    let mut response = Body::from_stream(stream).into_response();
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    answer.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("private, no-store"));
    response
}

/// Whether the bearer may read a recording, and that it was asked for: the chain and the access log keep either.
pub(super) async fn readable(app: &App, claims: &Claims, id: &str, what: &str) -> Result<(RecordingRow, Option<RetentionRow>), Problem> {
    let (row, queued) = within_reach(app, claims, id, what).await?;
    written_down(app, access(claims, &row, EventKind::RecordingRead, what, "ALLOWED")).await?;
    Ok((row, queued))
}

/// A recording that the bearer may read or change. That they may not is written down.
pub(super) async fn within_reach(
    app: &App,
    claims: &Claims,
    id: &str,
    what: &str,
) -> Result<(RecordingRow, Option<RetentionRow>), Problem> {
    let row = app.world.database.recording(id).await.map_err(Problem::ours)?.ok_or_else(|| Problem::not_found("recording"))?;
    if row.org_id != claims.org {
        return Err(app.another_organisations(claims, "recording"));
    }
    let queued = app.world.database.retention(id).await.map_err(Problem::ours)?;
    let deleted = queued.as_ref().and_then(|queued| queued.deleted_at.as_ref());
    let (outcome, status, why) = if !claims.is_assigned(&row.client_id) {
        ("DENIED", StatusCode::FORBIDDEN, "the client is not assigned to this token".to_owned())
    } else if let Some(at) = deleted {
        ("DELETED", StatusCode::GONE, format!("the recording was deleted on {at}: consent was revoked"))
    } else if let Some(queued) = queued.as_ref().filter(|_| !claims.may::<ViewAuditLogs>()) {
        let why =
            format!("consent was revoked: the recording is deleted after {}, and until then needs canViewAuditLogs as well", queued.due_at);
        ("QUEUED", StatusCode::GONE, why)
    } else {
        return Ok((row, queued));
    };
    submit(&app.world, Work::Audit(access(claims, &row, EventKind::AccessDenied, what, outcome), None));
    Err(Problem::new(status, why))
}

/// That somebody asked for something of a recording, and what came of it.
pub(super) fn access(claims: &Claims, row: &RecordingRow, kind: EventKind, what: &str, outcome: &str) -> Event {
    Event {
        org_id: row.org_id.clone(),
        kind,
        actor: Actor::User { id: claims.sub.clone(), name: String::new() },
        call_id: Some(row.call_id.clone()),
        client_id: Some(row.client_id.clone()),
        at: crate::io::clock::wall(),
        position: None,
        detail: json!({ "recordingId": row.id, "what": what, "outcome": outcome }),
    }
}

/// What a `Range` asks for (RFC 9110 §14): the first and the last byte of one, or all where there is none that is understood, or several,
/// which may be answered so.
///
/// # Errors
/// Nothing that it asks for is there.
fn wanted(text: &str, length: u64) -> Result<Option<(u64, u64)>, RangeUnsatisfiableError> {
    let Ok(ranges) = parse_range_header(text) else { return Ok(None) };
    match ranges.validate(length).as_deref() {
        Ok([range]) => Ok(Some((*range.start(), *range.end()))),
        Err(why @ RangeUnsatisfiableError::Unsatisfiable) => Err(*why),
        Ok(_) | Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::{RangeUnsatisfiableError, wanted};

    #[test]
    fn ranges_are_what_a_player_asks_for_and_what_nobody_understands_is_everything() {
        let part = |text, first, last| assert_eq!(wanted(text, 100), Ok(Some((first, last))), "{text}");
        part("bytes=0-43", 0, 43);
        part("bytes=90-", 90, 99);
        part("bytes=-10", 90, 99);
        part("bytes=-99999999", 0, 99);
        part("bytes=0-1000", 0, 99);
        part("bytes=0-99999999999999999999999", 0, 99);
        for outside in ["bytes=100-", "bytes=100-200", "bytes=-0"] {
            assert_eq!(wanted(outside, 100), Err(RangeUnsatisfiableError::Unsatisfiable), "{outside}");
        }
        for whole in ["words=1-2", "bytes=5-4", "bytes=0-1,5-6", "bytes=a-b", "bytes=", "bytes=-", "bytes=+1-2"] {
            assert_eq!(wanted(whole, 100), Ok(None), "{whole}");
        }
        assert_eq!(wanted("bytes=0-", 0), Err(RangeUnsatisfiableError::Unsatisfiable));
    }
}
