//! `GET /api/metrics/consent`: PX-735 §6 for the token's organisation, each figure beside its target.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::Query;
use super::{App, May, Permission as _, Problem, ViewAuditLogs};
use crate::engine::figures::BesideTargets;
use crate::engine::time::WallTime;
use crate::io::database::FiguresFilter;

/// Calls counted in one answer at most.
const CALLS_MAX: usize = 1_000_000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(consent))
}

/// Which calls count.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
struct FiguresQuery {
    /// Calls that began at this time or later.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Calls that began before this time.
    #[param(format = DateTime)]
    to: Option<String>,
    /// Asked last in this language: `en` or `es`.
    language: Option<String>,
    /// Asked by this version of the prompt.
    prompt_version: Option<String>,
}

/// Figures, and which calls they are about.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ConsentFigures {
    /// The organisation.
    org_id: String,
    /// As it was asked.
    from: Option<WallTime>,
    /// As it was asked.
    to: Option<WallTime>,
    /// As it was asked.
    language: Option<String>,
    /// As it was asked.
    prompt_version: Option<String>,
    /// The figures.
    #[serde(flatten)]
    figures: BesideTargets,
}

/// PX-735's figures of the organisation, each beside its target
///
/// A figure of nothing is null. More than a million calls are not counted in one answer.
#[utoipa::path(get, path = "/api/metrics/consent", operation_id = "getConsentFigures", tag = "audit",
    extensions(("x-permission" = json!(ViewAuditLogs::NAME))),
    params(FiguresQuery),
    responses((status = 200, description = "The figures.", body = ConsentFigures),
        (status = 422, description = "These are too many calls for one answer; ask for a shorter time.")))]
async fn consent(
    State(app): State<App>,
    may: May<ViewAuditLogs>,
    Query(asked): Query<FiguresQuery>,
) -> Result<Json<ConsentFigures>, Problem> {
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
    let figures = figures.ok_or_else(too_many)?.total().beside_targets();
    let FiguresFilter { language, prompt_version, .. } = filter;
    Ok(Json(ConsentFigures { org_id: may.claims.org, from, to, language, prompt_version, figures }))
}
