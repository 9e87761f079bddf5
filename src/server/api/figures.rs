//! `GET /api/metrics/consent`: PX-735 §6 for the token's organisation, each figure beside its target.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{App, May, Problem, ViewAuditLogs};
use crate::engine::time::WallTime;
use crate::io::database::FiguresFilter;

/// Calls counted in one answer at most.
const CALLS_MAX: usize = 1_000_000;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/api/metrics/consent", get(consent))
}

/// Which calls count.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FiguresQuery {
    from: Option<String>,
    to: Option<String>,
    language: Option<String>,
    prompt_version: Option<String>,
}

async fn consent(State(app): State<App>, may: May<ViewAuditLogs>, Query(asked): Query<FiguresQuery>) -> Result<Json<Value>, Problem> {
    let time = |name: &str, text: &Option<String>| match text.as_deref().filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => WallTime::parse(text).map(Some).ok_or_else(|| {
            Problem::new(StatusCode::BAD_REQUEST, format!("{name} is an RFC 3339 time such as 2026-11-01T00:00:00Z, its + written as %2B"))
        }),
    };
    let (from, to) = (time("from", &asked.from)?, time("to", &asked.to)?);
    let told = |text: Option<String>| text.filter(|text| !text.is_empty());
    let filter = FiguresFilter {
        org_id: Some(may.claims.org.clone()),
        from,
        to,
        language: told(asked.language),
        prompt_version: told(asked.prompt_version),
    };
    let figures = app.world.database.figures(&filter, CALLS_MAX).await.map_err(Problem::ours)?;
    let too_many =
        || Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("these are more than {CALLS_MAX} calls; ask for a shorter time"));
    let mut answer = figures.ok_or_else(too_many)?.to_json();
    answer["orgId"] = json!(may.claims.org);
    answer["from"] = json!(filter.from);
    answer["to"] = json!(filter.to);
    answer["language"] = json!(filter.language);
    answer["promptVersion"] = json!(filter.prompt_version);
    Ok(Json(answer))
}
