//! Whether we are well.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use crate::engine::time::WallTime;
use crate::io::clock::wall;
use crate::io::database::FiguresFilter;
use crate::server::metrics;

/// The spool's disk has so long to take a few bytes.
const SPOOL_WITHIN: Duration = Duration::from_secs(2);

/// The figures of consent are counted at most this often, over so long, within so long, of so many calls.
const FIGURES_EVERY: Duration = Duration::from_secs(60);
const FIGURES_OVER_MS: i64 = 30 * 24 * 3_600 * 1_000;
const FIGURES_WITHIN: Duration = Duration::from_secs(5);
const FIGURES_CALLS_MAX: usize = 1_000_000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics))
}

/// That the process answers.
#[derive(Serialize, ToSchema)]
struct Alive {
    /// True.
    alive: bool,
}

/// What is ready.
#[derive(Serialize, ToSchema)]
struct Ready {
    /// All of it.
    ready: bool,
    /// The database answers.
    database: bool,
    /// The object store answers.
    objects: bool,
    /// The spool takes audio.
    spool: bool,
    /// Every no that a client said is in the ledger, or was handed in just now.
    noes: bool,
    /// It holds its lease among other gateways, or is alone: gates may open.
    lease: bool,
    /// It is stopping, and takes no new calls.
    draining: bool,
    /// Why it is not ready, a sentence each.
    why: Vec<String>,
}

/// Whether the process answers
#[utoipa::path(get, path = "/healthz", operation_id = "getHealth", tag = "gateway",
    responses((status = 200, description = "It does.", body = Alive)))]
async fn healthz() -> Json<Alive> {
    Json(Alive { alive: true })
}

/// Whether calls can be taken and recorded: what is ready, and of what is not, why
#[utoipa::path(get, path = "/readyz", operation_id = "getReadiness", tag = "gateway",
    responses((status = 200, description = "Everything is ready.", body = Ready),
        (status = 503, description = "Something is not ready; `why` says what.", body = Ready)))]
async fn readyz(State(app): State<App>) -> Response {
    let writers = app.world.spool.clone();
    // A stuck disk must not take the threads that answer.
    let spool = async {
        match tokio::time::timeout(SPOOL_WITHIN, tokio::task::spawn_blocking(move || writers.ready())).await {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(why))) => Some(format!("spool: it takes no audio: {why}")),
            Ok(Err(_)) | Err(_) => Some("spool: the disk does not answer".to_owned()),
        }
    };
    let (database, objects, spool_why) = tokio::join!(app.world.database.ready(), app.world_objects().ready(), spool);
    let (spool, draining) = (spool_why.is_none(), app.is_draining());
    let lease = app.world.lease.holds(app.world.clocks.tick());
    let said = [
        (database, "database: it does not answer, or has not taken everything yet"),
        (objects, "objects: the store does not answer"),
        (lease, "lease: the database could not be told that this gateway lives; nothing is recorded until it is"),
        (!draining, "draining"),
    ];
    let late = app.world.noes.late();
    let noes = late == 0;
    let noes_why =
        (!noes).then(|| format!("noes: {late} of clients are not in the ledger yet; their gates are shut, look at the database"));
    let why = said.into_iter().filter(|(fine, _)| !fine).map(|(_, why)| why.to_owned());
    let why: Vec<String> = why.chain(spool_why).chain(noes_why).collect();
    let ready = why.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, database, objects, spool, noes, lease, draining, why })).into_response()
}

/// Figures for Prometheus
#[utoipa::path(get, path = "/metrics", operation_id = "getMetrics", tag = "gateway",
    responses((status = 200, description = "OpenMetrics text.", body = String,
        content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8")))]
async fn metrics(State(app): State<App>) -> Response {
    let figures = figures(&app).await;
    let text = app.world.metrics.text(app.registry.places(), app.registry.all().len(), app.world.database.ledger().commits(), &figures);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

/// PX-735's figures over all organisations, counted at most once a [`FIGURES_EVERY`]; the last ones, if they cannot be counted.
async fn figures(app: &App) -> String {
    let Ok(mut kept) = app.figures.try_lock() else { return String::new() };
    if let Some((counted, text)) = &*kept
        && counted.elapsed() < FIGURES_EVERY
    {
        return text.clone();
    }
    let from = WallTime(wall().0 - FIGURES_OVER_MS);
    let filter = FiguresFilter { from: Some(from), ..FiguresFilter::default() };
    match tokio::time::timeout(FIGURES_WITHIN, app.world.database.figures(&filter, FIGURES_CALLS_MAX)).await {
        Ok(Ok(Some(figures))) => *kept = Some((Instant::now(), metrics::of_consent(&figures))),
        Ok(Ok(None)) => tracing::warn!("metrics: more than {FIGURES_CALLS_MAX} calls in 30 days; ask GET /api/metrics/consent for less"),
        Ok(Err(why)) => tracing::warn!(error = %why, "metrics: the figures of consent cannot be counted"),
        Err(_) => tracing::warn!("metrics: the figures of consent were not counted within {FIGURES_WITHIN:?}"),
    }
    kept.as_ref().map(|(_, text)| text.clone()).unwrap_or_default()
}
