//! Whether we are well.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::App;

/// The spool's disk has so long to take a few bytes.
const SPOOL_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

pub(super) fn routes() -> Router<App> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)).route("/metrics", get(metrics))
}

/// `GET /healthz`
async fn healthz() -> Json<Value> {
    Json(json!({ "alive": true }))
}

/// `GET /readyz`: what is ready, and of what is not, why.
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
    let said = [
        (database, "database: it does not answer, or has not taken everything yet"),
        (objects, "objects: the store does not answer"),
        (!draining, "draining"),
    ];
    let why: Vec<String> = said.into_iter().filter(|(fine, _)| !fine).map(|(_, why)| why.to_owned()).chain(spool_why).collect();
    let ready = why.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let told = json!({ "ready": ready, "database": database, "objects": objects, "spool": spool, "draining": draining, "why": why });
    (status, Json(told)).into_response()
}

/// `GET /metrics`
async fn metrics(State(app): State<App>) -> Response {
    let ledger = app.world.database.ledger();
    let text = app.world.metrics.text(app.registry.places(), app.registry.all().len(), (ledger.commits(), ledger.waiting()));
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}
