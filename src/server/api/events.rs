//! `GET /api/calls/{callId}/events`: a call's states as server-sent events, from its first on, whether it is live, over, or
//! of before a restart.
//!
//! What is sent is what is stored: a reader is led through the call's events by the number of the last one that it has,
//! and a bell says when to look again. So a stream resumes without hole or repeat, on any node, and nobody waits for a reader.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::Path;
use super::{App, Claims, May, Permission as _, Problem, ViewClients, own};
use crate::engine::call::is_over;
use crate::io::clock::wall;
use crate::io::database::{CallEventRow, DatabaseError};
use crate::server::http::HangUp;
use crate::server::limits::StreamPlace;
use crate::server::registry::Place;

/// Readers at once; one more is refused.
const READERS_MAX: usize = 1_024;
/// Events read from the database at once, and kept for a reader that has not taken them.
const PAGE: u32 = 16;
/// A reader that takes nothing for so long is hung up on; it resumes where it was.
pub(super) const SLOW_AFTER: Duration = Duration::from_secs(5);
/// Without a bell it is looked again after this: another node may have written.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A line that carries nothing shows proxies, and the reader, that the stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(events))
}

/// One event of the stream, field by field.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `told` writes")]
struct CallEvent {
    /// Counts the call's events from 1; `Last-Event-ID` of a reader that comes back.
    id: String,
    /// `message`, or left out, which is the same.
    #[schema(nullable = false)]
    event: Option<String>,
    /// The call's state, as JSON, with `events`: what is new about it.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// A call's states as they come, as server-sent events
///
/// From the first event of the call on, or after the one that `Last-Event-ID` names; the stream ends when the call is over. `data`
/// of each event is the call's state as `GET /api/calls/{callId}` tells it, with `events`: what is new about it.
#[utoipa::path(get, path = "/api/calls/{callId}/events", operation_id = "followCall", tag = "calls",
    extensions(("x-permission" = json!(ViewClients::NAME))),
    params(("callId" = String, Path, description = "The call."),
        ("last-event-id" = Option<String>, Header, description = "The `id` of the last event seen, a whole number.")),
    responses((status = 200, description = "The stream.", body = CallEvent, content_type = "text/event-stream"),
        (status = 204, description = "The call is over, and nothing comes after the event that was seen last."),
        (status = 404, description = "There is no such call."),
        (status = 429, description = "Too much is asked by one bearer, or too many of their streams are open."),
        (status = 503, description = "Too many streams are open, or callgate cannot answer this now; ask again.")))]
async fn events(
    State(app): State<App>,
    may: May<ViewClients>,
    Path(id): Path<String>,
    Extension(hang_up): Extension<HangUp>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (org, client) = match app.registry.get(&id) {
        Some(live) => (live.identity.org_id.clone(), live.identity.client_id.clone()),
        None => match app.world.database.call(&id).await.map_err(Problem::ours)? {
            Some(row) => (row.org_id, row.client_id),
            None => return Err(Problem::not_found("call")),
        },
    };
    own(&app, &may.claims, &org, &client, Some(&id), "call")?;
    let after = last_seen(&headers)?;
    let places = take_places(&app, &may.claims)?;
    let mut reader = Reader { app, call_id: id, after, until: may.claims.exp, _places: places };
    let first = reader.page().await.map_err(Problem::ours)?;
    if first.over && first.events.is_empty() {
        // What an EventSource takes for "do not come back".
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let (to, taken) = mpsc::channel(PAGE as usize);
    tokio::spawn(async move {
        if reader.lead(first, &to).await == Left::Slow {
            tracing::info!(call.id = %reader.call_id, "events: a reader that takes nothing was hung up on; it can resume");
            hang_up.now();
        }
    });
    Ok(answer(taken))
}

/// A place among all readers, and among the bearer's own. Dropping them gives them back.
pub(super) fn take_places(app: &App, claims: &Claims) -> Result<(Place, StreamPlace), Problem> {
    let own = app.limits.stream(claims)?;
    let place = app.registry.take_reader(READERS_MAX).ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{READERS_MAX} event streams are open already; close one, or try again"))
    })?;
    Ok((place, own))
}

/// The stream of what is handed over, until nobody hands over any more.
pub(super) fn answer(taken: mpsc::Receiver<Event>) -> Response {
    let stream =
        futures_util::stream::unfold(taken, |mut taken| async move { taken.recv().await.map(|event| (Ok::<_, Infallible>(event), taken)) });
    let mut answer = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // nginx would collect events before it passes them on.
    answer.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    answer
}

/// The number of the last event that the reader has, 0 if it has none.
fn last_seen(headers: &HeaderMap) -> Result<u64, Problem> {
    let Some(told) = headers.get("last-event-id") else { return Ok(0) };
    let number = told.to_str().ok().map(str::trim).and_then(|text| if text.is_empty() { Some(0) } else { text.parse().ok() });
    number.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "Last-Event-ID is the id of an event of this stream, a whole number"))
}

struct Reader {
    app: App,
    call_id: String,
    after: u64,
    /// When its token is void, in seconds since 1970.
    until: u64,
    _places: (Place, StreamPlace),
}

struct Page {
    events: Vec<CallEventRow>,
    /// Nothing more is expected after these.
    over: bool,
}

/// Why a reader is led no further.
#[derive(PartialEq, Eq)]
enum Left {
    /// The call is over, the reader is gone, its token is void, or the database is away.
    Done,
    /// It takes nothing.
    Slow,
}

impl Reader {
    async fn page(&mut self) -> Result<Page, DatabaseError> {
        let database = &self.app.world.database;
        let mut events = database.call_events(&self.call_id, self.after, PAGE).await?;
        if events.is_empty() && self.after > 0 {
            match database.call_events(&self.call_id, self.after - 1, 1).await?.first() {
                Some(last) => return Ok(Page { events, over: is_over(&last.state) }),
                None => {
                    // It has seen more than there is, as after a database was restored: it hears the call from the start.
                    self.after = 0;
                    events = database.call_events(&self.call_id, 0, PAGE).await?;
                }
            }
        }
        let over = events.len() < PAGE as usize && events.last().is_some_and(|last| is_over(&last.state));
        Ok(Page { events, over })
    }

    async fn lead(&mut self, mut page: Page, to: &mpsc::Sender<Event>) -> Left {
        let database = self.app.world.database.clone();
        let mut bell = database.ledger().audience().follow(&self.call_id);
        // What was written before the bell hung is found by the look that follows.
        loop {
            let full = page.events.len() == PAGE as usize;
            for event in page.events {
                self.after = event.version;
                match timeout(SLOW_AFTER, to.send(told(event))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Left::Done,
                    Err(_) => return Left::Slow,
                }
            }
            let void = u64::try_from(wall().0 / 1_000).is_ok_and(|now| now >= self.until);
            if page.over || void || self.app.is_draining() && self.app.registry.get(&self.call_id).is_none() {
                return Left::Done;
            }
            if !full {
                tokio::select! {
                    () = bell.rung() => {}
                    () = to.closed() => return Left::Done,
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
            page = match self.page().await {
                Ok(page) => page,
                Err(why) => {
                    tracing::warn!(call.id = %self.call_id, error = %why, "events: a stream ends early; its reader can resume");
                    return Left::Done;
                }
            };
        }
    }
}

/// The call's JSON, and what is new about it.
fn told(event: CallEventRow) -> Event {
    let mut state = event.state;
    state["events"] = json!(event.kinds);
    Event::default().id(event.version.to_string()).data(state.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_tells_what_it_has_by_number() {
        let headers = |id: &str| HeaderMap::from_iter([(HeaderName::from_static("last-event-id"), HeaderValue::from_str(id).unwrap())]);
        assert_eq!(last_seen(&HeaderMap::new()).unwrap(), 0);
        assert_eq!((last_seen(&headers("7")).unwrap(), last_seen(&headers("")).unwrap()), (7, 0));
        for wrong in ["-1", "seven", "1;2", "99999999999999999999"] {
            assert!(last_seen(&headers(wrong)).is_err(), "{wrong}");
        }
    }
}
