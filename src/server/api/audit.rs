//! The organisation's chain.

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{App, May, Problem, ViewAuditLogs};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/api/audit", get(audit))
}

/// `GET /api/audit`: the organisation's chain, as far as it is asked for. Verified offline by `callgate audit verify`.
async fn audit(State(app): State<App>, may: May<ViewAuditLogs>, Query(asked): Query<AuditQuery>) -> Result<Json<Value>, Problem> {
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
    let entries: Vec<Value> = rows
        .into_iter()
        .map(|(_, hash, entry)| json!({ "hash": hash, "entry": serde_json::from_str::<Value>(&entry).unwrap_or(Value::Null), "canonical": entry }))
        .collect();
    Ok(Json(json!({ "entries": entries, "next": next })))
}

/// Which entries are asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditQuery {
    client_id: Option<String>,
    call_id: Option<String>,
    after: Option<u64>,
    limit: Option<u32>,
}
