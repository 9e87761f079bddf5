//! What else is made of a call, by whatever tool: may it be made now; and what was, so that retention and deletion reach it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::{Body, Path};
use super::calls::call_json;
use super::clients::{act, not_durable};
use super::{App, Claims, EditClients, May, Permission as _, Problem, ViewClients, own};
use crate::engine::artifact::{ArtifactKind, Ruling, Since};
use crate::engine::consent::Actor;
use crate::engine::ledger::{Event, EventKind};
use crate::engine::time::WallTime;
use crate::io::clock::wall;
use crate::io::database::{Act, Acted, ArtifactRow, Registered};
use crate::server::ids;

/// Artifacts of one call that are told of at once.
const ROWS_MAX: u32 = 1_000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(artifacts, register)).routes(routes!(deleted))
}

/// What may be made of a call now, and what was registered.
#[derive(Serialize, ToSchema)]
struct Artifacts {
    /// By kind.
    #[serde(flatten)]
    rulings: BTreeMap<&'static str, Ruling>,
    /// What was registered, oldest first.
    registered: Vec<Artifact>,
}

/// An artifact that lies with its owner.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    /// Its id here.
    artifact_id: String,
    /// Its id where it lies.
    owner_id: String,
    /// What it was made of.
    call_id: String,
    /// Whom it is about.
    client_id: String,
    /// What it is.
    kind: ArtifactKind,
    /// Who registered it.
    registered_by: String,
    /// When.
    registered_at: WallTime,
    /// Consent was revoked: it is to be gone by then, and its owner is asked to delete it.
    retention_until: Option<WallTime>,
    /// When its owner last took the request.
    asked_at: Option<WallTime>,
    /// When its owner said that it is gone.
    deleted_at: Option<WallTime>,
}

/// The body of a registration.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RegisterBody {
    /// What it is.
    kind: ArtifactKind,
    /// Its id where it lies: one artifact has one.
    #[schema(min_length = 1, max_length = 128)]
    owner_id: String,
}

/// What may be made of a call now, and what was registered
///
/// For each kind: `{allowed, reason, since}`. What is made of the recording stands and falls with the recording's consent; a person's own notes
/// need none.
#[utoipa::path(get, path = "/api/calls/{callId}/artifacts", operation_id = "listArtifacts", tag = "calls",
    extensions(("x-permission" = json!(ViewClients::NAME))),
    params(("callId" = String, Path, description = "The call.")),
    responses((status = 200, description = "Each kind, and what was registered.", body = Artifacts),
        (status = 404, description = "There is no such call.")))]
async fn artifacts(State(app): State<App>, may: May<ViewClients>, Path(id): Path<String>) -> Result<Json<Artifacts>, Problem> {
    let call = call_json(&app, &may.claims, &id).await?;
    app.settled().await;
    let since = since(&app, &call).await?;
    let rulings = ArtifactKind::ALL.into_iter().map(|kind| (kind.word(), kind.may_be_made(&call, since))).collect();
    let rows = app.world.database.artifacts(&may.claims.org, &id, ROWS_MAX).await.map_err(Problem::ours)?;
    Ok(Json(Artifacts { rulings, registered: rows.iter().map(told).collect() }))
}

/// Registers an artifact made elsewhere
///
/// So that retention and deletion reach it. Refused while it may not be made. The same `ownerId` again is answered as it was.
#[utoipa::path(post, path = "/api/calls/{callId}/artifacts", operation_id = "registerArtifact", tag = "calls",
    extensions(("x-permission" = json!(EditClients::NAME))),
    params(("callId" = String, Path, description = "The call.")),
    request_body = RegisterBody,
    responses((status = 201, description = "It is registered.", body = Artifact),
        (status = 200, description = "It was, under this `ownerId`.", body = Artifact),
        (status = 404, description = "There is no such call."),
        (status = 409, description = "It may not be made now: `reason` and `since` say why. If it was made all the same, it is to be deleted."),
        (status = 422, description = "Under this `ownerId` another artifact is registered.")))]
async fn register(
    State(app): State<App>,
    may: May<EditClients>,
    Path(id): Path<String>,
    body: Result<Body<RegisterBody>, Problem>,
) -> Result<Response, Problem> {
    let claims = &may.claims;
    let call = call_json(&app, claims, &id).await?;
    let kinds = ArtifactKind::ALL.map(ArtifactKind::word).join(" | ");
    let meant = format!(r#"the body must be {{"kind": {kinds}, "ownerId": its id where it lies, in at most {} bytes}}"#, ids::ID_MAX);
    let body = body.ok().map(|Body(body)| body).filter(|body| !body.owner_id.is_empty() && ids::is_fit(&body.owner_id));
    let Some(RegisterBody { kind, owner_id }) = body else { return Err(Problem::new(StatusCode::BAD_REQUEST, meant)) };
    app.settled().await;
    let rows = app.world.database.artifacts(&claims.org, &id, ROWS_MAX).await.map_err(Problem::ours)?;
    if rows.len() >= ROWS_MAX as usize {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("a call has at most {ROWS_MAX} artifacts")));
    }
    // What was registered is answered as it was, also when it could not be any more.
    if !rows.iter().any(|row| row.owner_id == owner_id) {
        let ruling = kind.may_be_made(&call, since(&app, &call).await?);
        if !ruling.allowed {
            return Err(refusal(kind, &ruling));
        }
    }
    let text = |name: &str| call[name].as_str().unwrap_or_default().to_owned();
    let at = wall();
    let row = ArtifactRow {
        id: ids::fresh("art"),
        org_id: text("orgId"),
        call_id: id.clone(),
        client_id: text("clientId"),
        kind,
        owner_id,
        registered_by: claims.sub.clone(),
        registered_at: at,
        queued_at: None,
        due_at: None,
        asks: 0,
        asked_at: None,
        alarmed_at: None,
        deleted_at: None,
    };
    let event = event(claims, &row, EventKind::ArtifactRegistered, at);
    match act(&app, Act::RegisterArtifact(Box::new(row), event)).await {
        Some(Acted::Registered(Registered::New(row))) => Ok((StatusCode::CREATED, Json(told(&row))).into_response()),
        Some(Acted::Registered(Registered::Known(row))) if row.call_id == id && row.kind == kind => Ok(Json(told(&row)).into_response()),
        Some(Acted::Registered(Registered::Known(_))) => {
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "under this ownerId another artifact is registered: give each its own"))
        }
        Some(Acted::Registered(Registered::Refused)) => Err(refusal(kind, &kind.may_be_made(&call, since(&app, &call).await?))),
        Some(_) | None => Err(not_durable()),
    }
}

/// Confirms that an artifact is deleted
///
/// By its owner, after `artifact.delete`, or at any time before. The first word counts.
#[utoipa::path(post, path = "/api/artifacts/{id}/deleted", operation_id = "confirmArtifactDeleted", tag = "calls",
    extensions(("x-permission" = json!(EditClients::NAME))),
    params(("id" = String, Path, description = "The artifact.")),
    responses((status = 200, description = "It is gone, by its owner's word.", body = Artifact),
        (status = 404, description = "There is no such artifact.")))]
async fn deleted(State(app): State<App>, may: May<EditClients>, Path(id): Path<String>) -> Result<Json<Artifact>, Problem> {
    app.settled().await;
    let row = app.world.database.artifact(&id).await.map_err(Problem::ours)?.ok_or_else(|| Problem::not_found("artifact"))?;
    own(&app, &may.claims, &row.org_id, &row.client_id, Some(&row.call_id), "artifact")?;
    let at = wall();
    let event = event(&may.claims, &row, EventKind::ArtifactDeleted, at);
    match act(&app, Act::ArtifactDeleted { id, by: may.claims.sub.clone(), at, event }).await {
        Some(Acted::Artifact(Some(row))) => Ok(Json(told(&row))),
        Some(_) | None => Err(not_durable()),
    }
}

fn refusal(kind: ArtifactKind, ruling: &Ruling) -> Problem {
    Problem::new(StatusCode::CONFLICT, format!("{} may not be made of this call: {}", kind.word(), ruling.reason))
        .with("reason", json!(ruling.reason))
        .with("since", json!(ruling.since))
}

/// What is known of a call's client and recording besides its state.
async fn since(app: &App, call: &serde_json::Value) -> Result<Since, Problem> {
    let text = |pointer: &str| call.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
    let (withdrawn, withdrawn_at) = app.world.withdrawal(text("/orgId"), text("/clientId")).await.map_err(Problem::ours)?;
    let item = app.world.database.retention_of_call(text("/callId")).await.map_err(Problem::ours)?;
    // Queued it is, also where its time could not be read.
    let queued_at = item.as_ref().map(|item| WallTime::parse(&item.queued_at).unwrap_or_default());
    let deleted_at = item.and_then(|item| WallTime::parse(&item.deleted_at?));
    Ok(Since { withdrawn, withdrawn_at, queued_at, deleted_at })
}

fn event(claims: &Claims, row: &ArtifactRow, kind: EventKind, at: WallTime) -> Event {
    Event {
        org_id: row.org_id.clone(),
        kind,
        actor: Actor::User { id: claims.sub.clone(), name: String::new() },
        call_id: Some(row.call_id.clone()),
        client_id: Some(row.client_id.clone()),
        at,
        position: None,
        detail: json!({ "artifactId": row.id, "kind": row.kind, "dueAt": row.due_at }),
    }
}

fn told(row: &ArtifactRow) -> Artifact {
    Artifact {
        artifact_id: row.id.clone(),
        owner_id: row.owner_id.clone(),
        call_id: row.call_id.clone(),
        client_id: row.client_id.clone(),
        kind: row.kind,
        registered_by: row.registered_by.clone(),
        registered_at: row.registered_at,
        retention_until: row.due_at,
        asked_at: row.asked_at,
        deleted_at: row.deleted_at,
    }
}
