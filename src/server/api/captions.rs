//! `GET /api/calls/{callId}/captions`: what is said in a live call, redacted, as server-sent events for who may read transcripts.
//!
//! Nothing of it is stored for this, so nothing can be asked again: the transcript is what stays. A reader that is behind is told how
//! many lines it missed; what an opt-out took back is taken back on the screen as well.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::Event as Sent;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::timeout;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::Path;
use super::events::{SLOW_AFTER, answer, take_places};
use super::{App, May, Permission as _, Problem, ViewRecordings, own, written_down};
use crate::engine::consent::Actor;
use crate::engine::ledger::{Event, EventKind};
use crate::io::clock::wall;
use crate::server::http::HangUp;
use crate::server::registry::Shown;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(captions))
}

/// One event of the stream, field by field.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `told` writes")]
struct CaptionEvent {
    /// `caption`: somebody said something. `withdrawn`: what was said from `fromMs` on may be shown no more. `missed`: the reader was
    /// too slow for `count` events.
    event: String,
    /// JSON: a `Caption`, or `{"fromMs": …}`, or `{"count": …}`.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// What is said in a live call, as server-sent events
///
/// From now on, redacted, as soon as it is decided what of it is masked; the stream ends with the call. Asking for it stands in the
/// access log. Times are milliseconds of the call.
#[utoipa::path(get, path = "/api/calls/{callId}/captions", operation_id = "followCaptions", tag = "calls",
    extensions(("x-permission" = json!(ViewRecordings::NAME))),
    params(("callId" = String, Path, description = "The call.")),
    responses((status = 200, description = "The stream.", body = CaptionEvent, content_type = "text/event-stream"),
        (status = 204, description = "The call is over; what was said is in its transcript."),
        (status = 404, description = "There is no such call."),
        (status = 409, description = "Nobody transcribes it: no recogniser is configured, or another gateway has the call, and its captions are there alone."),
        (status = 429, description = "Too much is asked by one bearer, or too many of their streams are open."),
        (status = 503, description = "Too many streams are open, or callgate cannot answer this now; ask again.")))]
async fn captions(
    State(app): State<App>,
    may: May<ViewRecordings>,
    Path(id): Path<String>,
    Extension(hang_up): Extension<HangUp>,
) -> Result<Response, Problem> {
    let conflict = |why: &str| Problem::new(StatusCode::CONFLICT, why);
    let Some(live) = app.registry.get(&id) else {
        let row = app.world.database.call(&id).await.map_err(Problem::ours)?.ok_or_else(|| Problem::not_found("call"))?;
        own(&app, &may.claims, &row.org_id, &row.client_id, Some(&id), "captions")?;
        if row.ended_at.is_some() {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        return Err(conflict("another gateway has this call: its captions are there alone"));
    };
    own(&app, &may.claims, &live.identity.org_id, &live.identity.client_id, Some(&id), "captions")?;
    if app.config.transcriber.is_none() {
        return Err(conflict("nobody transcribes: set CALLGATE_TRANSCRIBER, and start callgate again"));
    }
    if live.is_over() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let places = take_places(&app, &may.claims)?;
    let read = Event {
        org_id: live.identity.org_id.clone(),
        kind: EventKind::RecordingRead,
        actor: Actor::User { id: may.claims.sub.clone(), name: String::new() },
        call_id: Some(id.clone()),
        client_id: Some(live.identity.client_id.clone()),
        at: wall(),
        position: None,
        detail: json!({ "recordingId": live.json()["recording"]["recordingId"], "what": "captions", "outcome": "ALLOWED" }),
    };
    written_down(&app, read).await?;
    let mut said = live.captions();
    let valid = Duration::from_secs(may.claims.exp.saturating_sub(u64::try_from(wall().0 / 1_000).unwrap_or(0)));
    let (to, taken) = mpsc::channel(1);
    tokio::spawn(async move {
        let _places = places;
        let void = tokio::time::sleep(valid);
        tokio::pin!(void);
        loop {
            let event = tokio::select! {
                shown = said.recv() => match shown {
                    Ok(shown) => told(shown),
                    Err(RecvError::Lagged(count)) => Sent::default().event("missed").data(json!({ "count": count }).to_string()),
                    Err(RecvError::Closed) => return,
                },
                () = to.closed() => return,
                () = &mut void => return,
            };
            match timeout(SLOW_AFTER, to.send(event)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => {
                    tracing::info!(call.id = %id, "captions: a reader that takes nothing was hung up on");
                    hang_up.now();
                    return;
                }
            }
        }
    });
    Ok(answer(taken))
}

fn told(shown: Shown) -> Sent {
    match shown {
        Shown::Caption(caption) => Sent::default().event("caption").data(json!(caption).to_string()),
        Shown::Withdrawn(from_ms) => Sent::default().event("withdrawn").data(json!({ "fromMs": from_ms }).to_string()),
    }
}
