//! A call's evidence, to be checked without this gateway.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::Path;
use super::{App, May, Permission as _, Problem, ViewAuditLogs, own};
use crate::server::evidence::NotExported;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(evidence))
}

/// A call's evidence, to be checked without this gateway
///
/// What was asked, answered, captured, kept from capture, read and deleted, as a page, as JSON and as the chain's entries, each proven by a
/// signed head of the chain; `callgate evidence verify` checks it offline. That it was handed out stands in the chain before it is.
#[utoipa::path(get, path = "/api/calls/{callId}/evidence", operation_id = "exportEvidence", tag = "audit",
    extensions(("x-permission" = json!(ViewAuditLogs::NAME))),
    params(("callId" = String, Path, description = "The call.")),
    responses((status = 200, description = "The bundle (docs/evidence.md).", content((Vec<u8> = "application/zip"))),
        (status = 404, description = "There is no such call."),
        (status = 422, description = "There is more of it than a bundle holds.")))]
async fn evidence(State(app): State<App>, may: May<ViewAuditLogs>, Path(id): Path<String>) -> Result<Response, Problem> {
    app.settled().await;
    let mut call = app.world.database.call(&id).await.map_err(Problem::ours)?.ok_or_else(|| Problem::not_found("call"))?;
    own(&app, &may.claims, &call.org_id, &call.client_id, Some(&id), "evidence")?;
    // A live call's counters have moved since it was last written.
    if let Some(live) = app.registry.get(&id) {
        call.state = live.json();
    }
    let name = call.id.clone();
    let zip = app.exports.bundle(&app, &may.claims, call).await.map_err(|why| match why {
        NotExported::TooMuch => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{why}; read it from /api/audit?callId={name}")),
        NotExported::Database(_)
        | NotExported::Unwritten
        | NotExported::Unsigned
        | NotExported::Contradicted
        | NotExported::Entry(_)
        | NotExported::Packed(_)
        | NotExported::Over => Problem::ours(why),
    })?;
    let headers = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        // Calls' ids are our own and have no quotes.
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"evidence-{name}.zip\"")),
        (header::CACHE_CONTROL, "private, no-store".to_owned()),
    ];
    Ok((headers, zip).into_response())
}
