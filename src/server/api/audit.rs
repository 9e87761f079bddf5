//! The organisation's chain.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::Query;
use super::{App, May, Permission as _, Problem, ViewAuditLogs};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(audit))
}

/// A page of the chain.
#[derive(Serialize, ToSchema)]
struct AuditPage {
    /// In the chain's order.
    entries: Vec<AuditEntry>,
    /// `after` of the next page, if there may be one.
    next: Option<u64>,
}

/// A line of the chain.
#[derive(Serialize, ToSchema)]
struct AuditEntry {
    /// SHA-256 of the canonical bytes, which the next line carries as `prev`.
    hash: String,
    /// The line.
    #[schema(value_type = Object)]
    entry: Value,
    /// Its canonical bytes (RFC 8785), which the hash is made of.
    canonical: String,
}

/// The organisation's chain, as far as it is asked for
///
/// In the order in which it was written. `callgate audit verify` checks all of it.
#[utoipa::path(get, path = "/api/audit", operation_id = "readAudit", tag = "audit",
    extensions(("x-permission" = json!(ViewAuditLogs::NAME))),
    params(AuditQuery),
    responses((status = 200, description = "A page of the chain.", body = AuditPage)))]
async fn audit(State(app): State<App>, may: May<ViewAuditLogs>, Query(asked): Query<AuditQuery>) -> Result<Json<AuditPage>, Problem> {
    let limit = asked.limit.unwrap_or(100).clamp(1, 1_000);
    // Whoever was just refused, or just read something, finds the line about it.
    app.settled().await;
    let rows = app
        .world
        .database
        .audit(&may.claims.org, asked.client_id.as_deref(), asked.call_id.as_deref(), asked.after.unwrap_or(0), limit)
        .await
        .map_err(Problem::ours)?;
    let next = rows.last().map(|(seq, _, _)| *seq).filter(|_| rows.len() == limit as usize);
    let told = |(_, hash, canonical): (u64, String, String)| {
        let entry = serde_json::from_str(&canonical).unwrap_or(Value::Null);
        AuditEntry { hash, entry, canonical }
    };
    Ok(Json(AuditPage { entries: rows.into_iter().map(told).collect(), next }))
}

/// Which entries are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
struct AuditQuery {
    /// Of one client only.
    client_id: Option<String>,
    /// Of one call only.
    call_id: Option<String>,
    /// Past the line with this number: the `next` of the page before.
    after: Option<u64>,
    /// So many lines, up to 1,000; 100 if it is not said.
    limit: Option<u32>,
}
