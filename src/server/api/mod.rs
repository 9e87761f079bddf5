//! The main app's side: a file a subject, each with its routes. Who may is asked by extractors ([`May`]); whose it is,
//! by [`own`].

mod audit;
mod calls;
mod clients;
mod events;
mod figures;
mod health;
mod pauses;
mod recordings;
mod tasks;

use axum::Router;
use axum::http::StatusCode;

use super::auth::{Claims, EditClients, May, ViewAuditLogs, ViewClients, ViewRecordings};
use super::http::App;
use super::problem::Problem;

/// Everything that the main app and probes ask for.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .merge(calls::routes())
        .merge(pauses::routes())
        .merge(clients::routes())
        .merge(tasks::routes())
        .merge(events::routes())
        .merge(figures::routes())
        .merge(recordings::routes())
        .merge(audit::routes())
        .merge(health::routes())
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
