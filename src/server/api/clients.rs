//! A client's consent: where it stands, how it came there, how it is withdrawn; legal holds; unrecorded calls.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{App, Claims, EditClients, May, Problem, ViewAuditLogs, ViewClients, own};
use crate::engine::audio::prompts::{Language, Line};
use crate::engine::consent::{Actor, ConsentRecord, ConsentStatus, Method};
use crate::engine::ledger::{Event, EventKind};
use crate::engine::time::WallTime;
use crate::io::clock::wall;
use crate::io::database::{Act, Acted, HistoryRow, Hold, InteractionRow, Work};
use crate::server::ids;
use crate::server::live::submit;
use crate::server::revocation;

/// Lines of a consent history on one page at most.
const HISTORY_MAX: u32 = 500;
/// Interactions on one page at most.
const PAGE_MAX: u32 = 100;
/// No client's id is longer.
const ID_MAX: usize = 128;
/// No reason is longer.
const REASON_MAX: usize = 2_000;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/clients/{clientId}/consent", get(consent))
        .route("/api/clients/{clientId}/consent/revoke", post(revoke))
        .route("/api/clients/{clientId}/legal-hold", post(place_hold).delete(lift_hold))
        .route("/api/clients/{clientId}/interactions", get(interactions))
}

/// The body of a revocation.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RevokeBody {
    reason: Option<String>,
}

/// The body of a legal hold.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HoldBody {
    reason: Option<String>,
}

/// Which page of a list is asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageQuery {
    pub(super) after: Option<String>,
    pub(super) limit: Option<u32>,
}

/// `GET /api/clients/{clientId}/consent`: PX-735 `ConsentStatusResponse`. That somebody looked stands in the chain.
async fn consent(State(app): State<App>, may: May<ViewClients>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    client(&app, &may.claims, &id)?;
    app.settled().await;
    let history = app.world.database.consent_history(&may.claims.org, &id, HISTORY_MAX).await.map_err(Problem::ours)?;
    submit(&app.world, Work::Audit(event(&may.claims, &id, EventKind::ConsentViewed), None));
    Ok(Json(status(&history)))
}

/// PX-735 `ConsentStatusResponse` of a history, newest first.
fn status(history: &[HistoryRow]) -> Value {
    let newest = history.first().map(|row| &row.record);
    let granted = history.iter().map(|row| &row.record).find(|record| record.status == ConsentStatus::Granted);
    let revoked = newest.filter(|record| record.status == ConsentStatus::Revoked);
    let told = |row: &HistoryRow| json!({ "action": row.record.status, "timestamp": row.record.at, "method": row.record.method, "actor": named(&row.record.actor).1 });
    json!({
        "recording": {
            "status": newest.map_or(ConsentStatus::Pending, |record| record.status),
            "grantedAt": granted.map(|record| record.at),
            "method": newest.map(|record| record.method),
            "revokedAt": revoked.map(|record| record.at),
            "revokedBy": revoked.map(|record| named(&record.actor)).map(|(id, name)| json!({ "id": id, "name": name })),
        },
        "history": history.iter().map(told).collect::<Vec<_>>(),
    })
}

/// An actor by id, and as people are shown one.
fn named(actor: &Actor) -> (&str, &str) {
    match actor {
        Actor::Client { id } => (id, "Client"),
        Actor::User { id, name } => (id, if name.is_empty() { id } else { name }),
        Actor::System => ("callgate", "callgate"),
    }
}

/// `POST /api/clients/{clientId}/consent/revoke`: answered when every gate of the client is shut and the record is durable.
async fn revoke(State(app): State<App>, may: May<EditClients>, Path(id): Path<String>, body: Bytes) -> Result<Json<Value>, Problem> {
    client(&app, &may.claims, &id)?;
    let said: RevokeBody = said(&body, r#"{"reason": "…"}, or nothing"#)?;
    let asked = app.world.settings.prompts.prompt(Language::En, Line::Consent);
    let record = ConsentRecord {
        id: ids::fresh("consent"),
        org_id: may.claims.org.clone(),
        client_id: id.clone(),
        call_id: None,
        status: ConsentStatus::Revoked,
        method: Method::Written,
        language_code: asked.language.code().to_owned(),
        prompt_version: asked.version.clone(),
        actor: actor(&may.claims),
        at: wall(),
        reason: reason(said.reason)?,
        evidence: json!({ "through": "API" }),
    };
    let revoked = revocation::revoke(&app, record).await.map_err(|why| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why.to_string()))?;
    Ok(Json(json!({ "success": true, "recordingsMarkedForDeletion": revoked.marked, "retentionUntil": revoked.until })))
}

/// `POST /api/clients/{clientId}/legal-hold`: the hold in force, with what it keeps and what it comes too late for.
async fn place_hold(State(app): State<App>, may: May<ViewAuditLogs>, Path(id): Path<String>, body: Bytes) -> Result<Json<Value>, Problem> {
    client(&app, &may.claims, &id)?;
    let said: HoldBody = said(&body, r#"{"reason": "…"}"#)?;
    let reason = reason(said.reason)?.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "a legal hold needs a reason"))?;
    let hold = Hold {
        id: ids::fresh("hold"),
        org_id: may.claims.org.clone(),
        client_id: id.clone(),
        reason,
        placed_by: (may.claims.sub.clone(), may.claims.name.clone()),
        placed_at: wall().to_string(),
        lifted_by: None,
        lifted_at: None,
    };
    let mut event = event(&may.claims, &id, EventKind::HoldPlaced);
    event.detail = json!({ "holdId": hold.id });
    let Some(Acted::Hold(Some(hold))) = act(&app, Act::PlaceHold(Box::new(hold), event)).await else {
        return Err(not_durable());
    };
    let (held, under_way) = app.world.database.waiting(&may.claims.org, &id, wall()).await.map_err(Problem::ours)?;
    let mut told = hold_json(true, Some(&hold));
    told["recordingsHeld"] = json!(held);
    told["deletionsUnderWay"] = json!(under_way);
    Ok(Json(told))
}

/// `DELETE /api/clients/{clientId}/legal-hold`: what was due meanwhile is deleted by the next sweep.
async fn lift_hold(State(app): State<App>, may: May<ViewAuditLogs>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    client(&app, &may.claims, &id)?;
    let lifted = Hold {
        id: String::new(),
        org_id: may.claims.org.clone(),
        client_id: id.clone(),
        reason: String::new(),
        placed_by: <(String, String)>::default(),
        placed_at: String::new(),
        lifted_by: Some((may.claims.sub.clone(), may.claims.name.clone())),
        lifted_at: Some(wall().to_string()),
    };
    let event = event(&may.claims, &id, EventKind::HoldLifted);
    match act(&app, Act::LiftHold(Box::new(lifted), event)).await {
        Some(Acted::Hold(lifted)) => Ok(Json(hold_json(false, lifted.as_ref()))),
        Some(_) | None => Err(not_durable()),
    }
}

fn hold_json(held: bool, hold: Option<&Hold>) -> Value {
    let person = |(id, name): &(String, String)| json!({ "id": id, "name": name });
    let hold = hold.map(|hold| {
        json!({
            "holdId": hold.id,
            "reason": hold.reason,
            "placedBy": person(&hold.placed_by),
            "placedAt": hold.placed_at,
            "liftedBy": hold.lifted_by.as_ref().map(person),
            "liftedAt": hold.lifted_at,
        })
    });
    json!({ "held": held, "hold": hold })
}

/// `GET /api/clients/{clientId}/interactions`: calls that no recording keeps, newest first.
async fn interactions(
    State(app): State<App>,
    may: May<ViewClients>,
    Path(id): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    client(&app, &may.claims, &id)?;
    let limit = page.limit(PAGE_MAX);
    app.settled().await;
    let rows = app.world.database.interactions(&may.claims.org, &id, page.after()?, limit).await.map_err(Problem::ours)?;
    let next = rows.last().filter(|_| rows.len() == limit as usize).map(|row| cursor(&row.started_at, &row.id));
    Ok(Json(json!({ "interactions": rows.iter().map(interaction).collect::<Vec<_>>(), "next": next })))
}

fn interaction(row: &InteractionRow) -> Value {
    json!({
        "id": row.id,
        "clientId": row.client_id,
        "caseManagerId": row.case_manager_id,
        "orgId": row.org_id,
        "interactionType": row.interaction_type,
        "direction": row.direction,
        "startedAt": row.started_at,
        "endedAt": row.ended_at,
        "durationSeconds": row.duration_seconds,
        "reason": row.reason,
        "createdAt": row.created_at,
    })
}

impl PageQuery {
    pub(super) fn limit(&self, most: u32) -> u32 {
        self.limit.unwrap_or(50).clamp(1, most)
    }

    /// Time and id of the last row on the page before.
    pub(super) fn after(&self) -> Result<Option<(WallTime, &str)>, Problem> {
        let Some(after) = &self.after else { return Ok(None) };
        let parts = after.split_once(',').and_then(|(at, id)| Some((WallTime::parse(at)?, id))).filter(|(_, id)| !id.is_empty());
        parts.map(Some).ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "after: give the `next` of the page before"))
    }
}

/// Where the next page begins.
pub(super) fn cursor(at: &str, id: &str) -> String {
    format!("{at},{id}")
}

/// Whether the client is one that the bearer may see. callgate knows no list of clients: one without records is PENDING.
fn client(app: &App, claims: &Claims, id: &str) -> Result<(), Problem> {
    if id.is_empty() || id.len() > ID_MAX || id.chars().any(char::is_control) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, format!("a client's id has 1 to {ID_MAX} bytes and no control characters")));
    }
    own(app, claims, &claims.org, id, "client")
}

/// What a body says; `meant` is how it should look.
fn said<T: DeserializeOwned + Default>(body: &Bytes, meant: &str) -> Result<T, Problem> {
    if body.is_empty() {
        return Ok(T::default());
    }
    // serde's own words would quote the body.
    serde_json::from_slice(body).map_err(|_| Problem::new(StatusCode::BAD_REQUEST, format!("the body must be {meant}")))
}

fn reason(given: Option<String>) -> Result<Option<String>, Problem> {
    let given = given.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    if given.as_ref().is_some_and(|reason| reason.len() > REASON_MAX) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, format!("reason: at most {REASON_MAX} bytes")));
    }
    Ok(given)
}

fn actor(claims: &Claims) -> Actor {
    Actor::User { id: claims.sub.clone(), name: claims.name.clone() }
}

fn event(claims: &Claims, client_id: &str, kind: EventKind) -> Event {
    Event {
        org_id: claims.org.clone(),
        kind,
        actor: actor(claims),
        call_id: None,
        client_id: Some(client_id.to_owned()),
        at: wall(),
        position: None,
        detail: json!({}),
    }
}

/// Has something done, durably.
pub(super) async fn act(app: &App, act: Act) -> Option<Acted> {
    let (done, acted) = tokio::sync::oneshot::channel();
    submit(&app.world, Work::Act(act, Box::new(move |acted| drop(done.send(acted)))));
    acted.await.ok().flatten()
}

pub(super) fn not_durable() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the database did not take it; ask again")
}
