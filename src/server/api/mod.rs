//! The main app's side: a file a subject, each with its routes. Who may is asked by extractors ([`May`]); whose it is,
//! by [`own`].
//!
//! A new route: give its handler `#[utoipa::path(…)]` with an `operation_id`, a `tag`, `extensions(("x-permission" =
//! json!(ViewClients::NAME)))` for the permission that its `May` asks for, and a description of each answer of its own;
//! what all routes answer is added by [`document`]. Take the request in by [`asked`], answer with a type that derives
//! `Serialize` and `ToSchema`, and hang it in by `routes!`. It is in `GET /openapi.json` from then on, and
//! `tests/stories/who_may.rs` walks it by itself; its line in `docs/permissions.md` is checked there too.

#![allow(unused_qualifications, reason = "utoipa's macros write them")]

mod artifacts;
pub(super) mod asked;
mod audit;
mod calls;
mod captions;
mod clients;
mod console;
mod document;
mod events;
mod evidence;
mod figures;
mod health;
mod pauses;
mod recordings;
mod tasks;
mod transcripts;
mod transfers;

use axum::Router;
use axum::http::StatusCode;
use tokio::sync::oneshot;
use utoipa_axum::router::OpenApiRouter;

use super::auth::{Claims, EditClients, May, Permission, ViewAuditLogs, ViewClients, ViewRecordings};
use super::denial::Subject;
use super::http::App;
use super::live::submit;
use super::problem::Problem;
use crate::engine::ledger::Event;
use crate::io::database::Work;

/// Everything that the main app and probes ask for, and its description.
pub(super) fn routes() -> Router<App> {
    let (routes, description) = OpenApiRouter::with_openapi(document::frame())
        .merge(calls::routes())
        .merge(pauses::routes())
        .merge(transfers::routes())
        .merge(clients::routes())
        .merge(tasks::routes())
        .merge(events::routes())
        .merge(captions::routes())
        .merge(figures::routes())
        .merge(recordings::routes())
        .merge(transcripts::routes())
        .merge(artifacts::routes())
        .merge(evidence::routes())
        .merge(audit::routes())
        .merge(health::routes())
        .split_for_parts();
    routes.merge(document::routes(&description)).merge(console::routes())
}

/// Writes down that somebody is handed what was said on a call, before any of it is: a reading that no log knows of is none.
async fn written_down(app: &App, read: Event) -> Result<(), Problem> {
    let (done, durable) = oneshot::channel();
    let then = Box::new(move |written| {
        let _ = done.send(written);
    });
    submit(&app.world, Work::Audit(read, Some(then)));
    match durable.await {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => {
            let why = "the access log cannot be written now, so nothing is handed out; try again, and look at the database";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why))
        }
    }
}

/// Other organisations' things do not exist; other people's clients are denied. Either is written down.
fn own(app: &App, claims: &Claims, org: &str, client: &str, call: Option<&str>, what: &str) -> Result<(), Problem> {
    if claims.org != org {
        return Err(app.another_organisations(claims, what));
    }
    if claims.is_assigned(client) {
        return Ok(());
    }
    let about = Subject { client_id: Some(client.to_owned()), call_id: call.map(str::to_owned), ..Subject::default() };
    app.denied(claims, "an assigned client", what, about);
    Err(Problem::new(StatusCode::FORBIDDEN, "the client is not assigned to this token"))
}
