//! A client's consent: where it stands, how it came there, how it is withdrawn; legal holds; unrecorded calls.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::{Bytes, Path, Query};
use super::{App, Claims, EditClients, May, Permission as _, Problem, ViewAuditLogs, ViewClients, own};
use crate::engine::audio::prompts::{Language, Line};
use crate::engine::consent::{Actor, ConsentRecord, ConsentStatus, Direction, Method, UnrecordedReason};
use crate::engine::ledger::{Event, EventKind};
use crate::engine::time::WallTime;
use crate::io::clock::wall;
use crate::io::database::{Act, Acted, HistoryRow, Hold, InteractionRow, Work};
use crate::server::ids;
use crate::server::live::submit;
use crate::server::revocation::{self, NotRevoked};

/// Lines of a consent history on one page at most.
const HISTORY_MAX: u32 = 500;
/// Interactions on one page at most.
const PAGE_MAX: u32 = 100;
/// No client's id is longer.
const ID_MAX: usize = 128;
/// No reason is longer.
const REASON_MAX: usize = 2_000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(consent))
        .routes(routes!(revoke))
        .routes(routes!(place_hold, lift_hold))
        .routes(routes!(interactions))
}

/// PX-735 `RevokeConsentRequest`.
#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RevokeConsentRequest {
    /// For people.
    reason: Option<String>,
}

/// PX-735 `RevokeConsentResponse`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RevokeConsentResponse {
    /// True.
    success: bool,
    /// So many recordings of the client are queued.
    recordings_marked_for_deletion: u64,
    /// They are deleted after this time.
    retention_until: WallTime,
}

/// The body of a legal hold.
#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HoldBody {
    /// For people.
    #[schema(required, nullable = false, min_length = 1)]
    reason: Option<String>,
}

/// A legal hold that is in force.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HoldPlaced {
    /// True.
    held: bool,
    /// The hold: the first one, if it was placed before.
    hold: LegalHold,
    /// Recordings that it keeps from deletion now.
    recordings_held: u64,
    /// Recordings that it comes too late for.
    deletions_under_way: u64,
    /// Which those are: their deletion began before the hold was written, and it does not keep them.
    too_late_for: Vec<String>,
}

/// That no legal hold is in force.
#[derive(Serialize, ToSchema)]
struct HoldLifted {
    /// False.
    held: bool,
    /// The hold that was lifted, if there was one.
    hold: Option<LegalHold>,
}

/// A legal hold.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LegalHold {
    /// Its id.
    hold_id: String,
    /// Why.
    reason: String,
    /// Who placed it.
    placed_by: Person,
    /// When.
    #[schema(format = DateTime)]
    placed_at: String,
    /// Who lifted it.
    lifted_by: Option<Person>,
    /// When.
    #[schema(format = DateTime)]
    lifted_at: Option<String>,
}

/// Somebody, as people are shown them.
#[derive(Serialize, ToSchema)]
struct Person {
    /// Their id.
    id: String,
    /// Their name.
    name: String,
}

/// PX-735 `ConsentStatusResponse`.
#[derive(Serialize, ToSchema)]
struct ConsentStatusResponse {
    /// Where the client stands.
    recording: RecordingConsent,
    /// How they came there, newest first.
    history: Vec<ConsentChange>,
}

/// Where a client stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RecordingConsent {
    /// A client who was never asked is `PENDING`, and one whose yes turned out to be none.
    status: ConsentStatus,
    /// When consent was last given.
    granted_at: Option<WallTime>,
    /// How it came to stand so.
    method: Option<Method>,
    /// When consent was withdrawn, if it is.
    revoked_at: Option<WallTime>,
    /// By whom.
    revoked_by: Option<Person>,
    /// True while a no of the client's is in force and waits for the ledger: what rests on its record (by whom, how, the history) comes
    /// with it. Left out otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pending_record: bool,
}

/// A line of a consent history.
#[derive(Serialize, ToSchema)]
struct ConsentChange {
    /// `GRANTED`, `REVOKED`, or `PENDING`: a yes is taken back that was none, such as a machine's silence.
    action: ConsentStatus,
    /// When.
    timestamp: WallTime,
    /// How.
    method: Method,
    /// Who, as people are shown them.
    actor: String,
}

/// A page of calls that no recording keeps.
#[derive(Serialize, ToSchema)]
struct InteractionsPage {
    /// Newest first.
    interactions: Vec<InteractionMetadata>,
    /// `after` of the next page, if there may be one.
    next: Option<String>,
}

/// PX-735 `InteractionMetadata`: that a call was, without any content.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct InteractionMetadata {
    /// The call.
    id: String,
    /// The client.
    client_id: String,
    /// The case manager.
    case_manager_id: String,
    /// The organisation.
    org_id: String,
    /// `VOIP_CALL`.
    interaction_type: String,
    /// Who called whom.
    #[schema(value_type = Direction)]
    direction: String,
    /// When it began.
    #[schema(format = DateTime)]
    started_at: String,
    /// When it ended.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// How long it was.
    duration_seconds: Option<u64>,
    /// Why it was not recorded.
    #[schema(value_type = UnrecordedReason)]
    reason: String,
    /// When this was written.
    #[schema(format = DateTime)]
    created_at: String,
}

/// Which page of a list is asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageQuery {
    /// The `next` of the page before.
    pub(super) after: Option<String>,
    /// So many, up to 100; 50 if it is not said.
    pub(super) limit: Option<u32>,
}

/// Where a client stands, and how it came there
///
/// PX-735 `ConsentStatusResponse`. That somebody looked stands in the chain. callgate knows no list of clients: one that it never
/// heard of is `PENDING`. A no that waits for the ledger counts: `REVOKED`, with `pendingRecord`.
#[utoipa::path(get, path = "/api/clients/{clientId}/consent", operation_id = "getConsent", tag = "clients",
    extensions(("x-permission" = json!(ViewClients::NAME))),
    params(("clientId" = String, Path, description = "The client, 128 bytes at most.")),
    responses((status = 200, description = "Where the client stands.", body = ConsentStatusResponse)))]
async fn consent(State(app): State<App>, may: May<ViewClients>, Path(id): Path<String>) -> Result<Json<ConsentStatusResponse>, Problem> {
    client(&app, &may.claims, &id)?;
    app.settled().await;
    let org = &may.claims.org;
    // Looked for before and after: a no may be said, or become durable, while the database is asked.
    let before = app.world.noes.since(org, &id, None);
    let history = app.world.database.consent_history(org, &id, HISTORY_MAX).await.map_err(Problem::ours)?;
    let pending = app.world.noes.since(org, &id, None).or_else(|| before.filter(|_| !is_revoked(&history)));
    submit(&app.world, Work::Audit(event(&may.claims, &id, EventKind::ConsentViewed), None));
    Ok(Json(status(&history, pending)))
}

fn is_revoked(history: &[HistoryRow]) -> bool {
    history.first().is_some_and(|row| row.record.status == ConsentStatus::Revoked)
}

/// PX-735 `ConsentStatusResponse` of a history, newest first; `pending`: when a no was said that is not in it yet.
fn status(history: &[HistoryRow], pending: Option<WallTime>) -> ConsentStatusResponse {
    // Nothing but that it was said is known here of one that overtakes what is written.
    let overtaken = pending.filter(|_| !is_revoked(history));
    let newest = history.first().map(|row| &row.record).filter(|_| overtaken.is_none());
    // Where the newest says that there was no yes, nothing before it is told as one.
    let counts = newest.filter(|record| record.status != ConsentStatus::Pending);
    let granted = history.iter().map(|row| &row.record).find(|record| record.status == ConsentStatus::Granted);
    let granted = granted.filter(|_| counts.is_some() || overtaken.is_some());
    let revoked = newest.filter(|record| record.status == ConsentStatus::Revoked);
    let change = |row: &HistoryRow| ConsentChange {
        action: row.record.status,
        timestamp: row.record.at,
        method: row.record.method,
        actor: named(&row.record.actor).1.to_owned(),
    };
    let recording = RecordingConsent {
        status: newest.map_or(if overtaken.is_some() { ConsentStatus::Revoked } else { ConsentStatus::Pending }, |record| record.status),
        granted_at: granted.map(|record| record.at),
        method: counts.map(|record| record.method),
        revoked_at: revoked.map(|record| record.at).or(overtaken),
        revoked_by: revoked.map(|record| named(&record.actor)).map(|(id, name)| Person { id: id.to_owned(), name: name.to_owned() }),
        pending_record: pending.is_some(),
    };
    ConsentStatusResponse { recording, history: history.iter().map(change).collect() }
}

/// An actor by id, and as people are shown one.
fn named(actor: &Actor) -> (&str, &str) {
    match actor {
        Actor::Client { id } => (id, "Client"),
        Actor::User { id, name } => (id, if name.is_empty() { id } else { name }),
        Actor::System => ("callgate", "callgate"),
    }
}

/// Withdraws a client's consent
///
/// Live calls stop capturing, and every recording is queued for deletion in 30 days. Answered when every gate of the client is
/// shut and the record is durable.
#[utoipa::path(post, path = "/api/clients/{clientId}/consent/revoke", operation_id = "revokeConsent", tag = "clients",
    extensions(("x-permission" = json!(EditClients::NAME))),
    params(("clientId" = String, Path, description = "The client, 128 bytes at most.")),
    request_body = Option<RevokeConsentRequest>,
    responses((status = 200, description = "Consent is withdrawn.", body = RevokeConsentResponse),
        (status = 503, description = "A live call did not stop in time; or every gate is shut, and the record is not in the ledger yet: then \
            `type` is `urn:callgate:problem:gate-shut-record-pending`, and it is being written. Ask again.",
            headers(("gate-shut-at" = String, description = "Since when every gate is shut, if so.")))))]
async fn revoke(
    State(app): State<App>,
    may: May<EditClients>,
    Path(id): Path<String>,
    Bytes(body): Bytes,
) -> Result<Json<RevokeConsentResponse>, Problem> {
    client(&app, &may.claims, &id)?;
    let said: RevokeConsentRequest = said(&body, r#"{"reason": "…"}, or nothing"#)?;
    let asked = app.world.settings.prompts.prompt(Language::EN, Line::Consent);
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
        evidence: json!({ "through": "API" }).into(),
        // No call, and so no places: the policy that was in force has a version, and no class.
        policy_version: Some(app.world.policy.version().to_owned()),
        policy_basis: None,
    };
    let revoked = revocation::revoke(&app, record).await.map_err(|why| match why {
        NotRevoked::GateOpen => Problem::new(StatusCode::SERVICE_UNAVAILABLE, why.to_string()),
        NotRevoked::NotDurable(since) => Problem::gate_shut(since),
    })?;
    Ok(Json(RevokeConsentResponse { success: true, recordings_marked_for_deletion: revoked.marked, retention_until: revoked.until }))
}

/// Keeps a client's recordings from deletion
///
/// While a dispute runs. The answer is the hold in force, with what it keeps and what it comes too late for.
#[utoipa::path(post, path = "/api/clients/{clientId}/legal-hold", operation_id = "placeLegalHold", tag = "clients",
    extensions(("x-permission" = json!(ViewAuditLogs::NAME))),
    params(("clientId" = String, Path, description = "The client, 128 bytes at most.")),
    request_body = HoldBody,
    responses((status = 200, description = "The hold is in force.", body = HoldPlaced)))]
async fn place_hold(
    State(app): State<App>,
    may: May<ViewAuditLogs>,
    Path(id): Path<String>,
    Bytes(body): Bytes,
) -> Result<Json<HoldPlaced>, Problem> {
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
    let Some(Acted::Held(hold, too_late_for)) = act(&app, Act::PlaceHold(Box::new(hold), event)).await else {
        return Err(not_durable());
    };
    let (held, _) = app.world.database.waiting(&may.claims.org, &id, wall()).await.map_err(Problem::ours)?;
    let deletions_under_way = too_late_for.len() as u64;
    Ok(Json(HoldPlaced { held: true, hold: hold.into(), recordings_held: held, deletions_under_way, too_late_for }))
}

/// Lifts a client's legal hold
///
/// What was due meanwhile is deleted by the next sweep.
#[utoipa::path(delete, path = "/api/clients/{clientId}/legal-hold", operation_id = "liftLegalHold", tag = "clients",
    extensions(("x-permission" = json!(ViewAuditLogs::NAME))),
    params(("clientId" = String, Path, description = "The client, 128 bytes at most.")),
    responses((status = 200, description = "No hold is in force.", body = HoldLifted)))]
async fn lift_hold(State(app): State<App>, may: May<ViewAuditLogs>, Path(id): Path<String>) -> Result<Json<HoldLifted>, Problem> {
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
        Some(Acted::Hold(lifted)) => Ok(Json(HoldLifted { held: false, hold: lifted.map(LegalHold::from) })),
        Some(_) | None => Err(not_durable()),
    }
}

impl From<Hold> for LegalHold {
    fn from(hold: Hold) -> Self {
        let person = |(id, name): (String, String)| Person { id, name };
        Self {
            hold_id: hold.id,
            reason: hold.reason,
            placed_by: person(hold.placed_by),
            placed_at: hold.placed_at,
            lifted_by: hold.lifted_by.map(person),
            lifted_at: hold.lifted_at,
        }
    }
}

/// Calls that no recording keeps, newest first
///
/// PX-735 `InteractionMetadata`: that they were, and why they were not recorded; nothing that was said.
#[utoipa::path(get, path = "/api/clients/{clientId}/interactions", operation_id = "listInteractions", tag = "clients",
    extensions(("x-permission" = json!(ViewClients::NAME))),
    params(("clientId" = String, Path, description = "The client, 128 bytes at most."), PageQuery),
    responses((status = 200, description = "A page of them.", body = InteractionsPage)))]
async fn interactions(
    State(app): State<App>,
    may: May<ViewClients>,
    Path(id): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<InteractionsPage>, Problem> {
    client(&app, &may.claims, &id)?;
    let limit = page.limit(PAGE_MAX);
    app.settled().await;
    let rows = app.world.database.interactions(&may.claims.org, &id, page.after()?, limit).await.map_err(Problem::ours)?;
    let next = rows.last().filter(|_| rows.len() == limit as usize).map(|row| cursor(&row.started_at, &row.id));
    Ok(Json(InteractionsPage { interactions: rows.into_iter().map(InteractionMetadata::from).collect(), next }))
}

impl From<InteractionRow> for InteractionMetadata {
    fn from(row: InteractionRow) -> Self {
        Self {
            id: row.id,
            client_id: row.client_id,
            case_manager_id: row.case_manager_id,
            org_id: row.org_id,
            interaction_type: row.interaction_type,
            direction: row.direction,
            started_at: row.started_at,
            ended_at: row.ended_at,
            duration_seconds: row.duration_seconds,
            reason: row.reason,
            created_at: row.created_at,
        }
    }
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
    own(app, claims, &claims.org, id, None, "client")
}

/// What a body says; `meant` is how it should look.
pub(super) fn said<T: DeserializeOwned + Default>(body: &[u8], meant: &str) -> Result<T, Problem> {
    if body.is_empty() {
        return Ok(T::default());
    }
    // serde's own words would quote the body.
    let said: Result<Option<T>, _> = serde_json::from_slice(body);
    said.map(Option::unwrap_or_default).map_err(|_| Problem::new(StatusCode::BAD_REQUEST, format!("the body must be {meant}")))
}

/// Why, in words that have their bound.
pub(super) fn reason(given: Option<String>) -> Result<Option<String>, Problem> {
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
