//! Calls that the main app asks for: written down, then placed at Twilio, and found again by Twilio's webhooks, also after
//! a restart. A request asked twice with one key makes one call.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rand::Rng as _;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::auth::Claims;
use super::config::InboundRoute;
use super::http::App;
use super::ids;
use super::live::submit;
use super::media::ToMedia;
use super::nodes;
use super::problem::Problem;
use super::registry::{Announced, Made, row_of};
use super::webhooks::{STATUS, VOICE};
use crate::engine::call::{Call, CallIdentity, Initiation, Standing, Unreached};
use crate::engine::consent::{Actor, ConsentStatus, Direction};
use crate::engine::ledger::{Event, EventKind, Salt, commitment};
use crate::engine::policy::{Class, Places, Region, Ruling};
use crate::engine::time::WallTime;
use crate::engine::twilio::twiml::Route;
use crate::io::clock::wall;
use crate::io::database::{Answer, DatabaseError, KeyClaim, KeyUse, Placed, PlacedRow, Placement, Then, Work};
use crate::io::twilio_rest::{CallError, NewCall, TwilioRest};

/// A request that has no answer after this long never gets one: its process died while Twilio was asked.
const SETTLED_AFTER_MS: i64 = 30_000;

/// Whoever asks a gateway that is stopping asks again after this: then it is another, or has been started again.
pub(super) const STOPPED_WITHIN: Duration = Duration::from_secs(59);

/// What somebody asks for, checked.
pub(super) struct Wish {
    pub(super) claims: Claims,
    pub(super) client_id: String,
    pub(super) client_name: Option<String>,
    pub(super) form_ids: Vec<String>,
    pub(super) to: String,
    /// Where the client lives, if the main app says so.
    pub(super) client_region: Option<Region>,
    pub(super) connect_to: Option<String>,
    pub(super) acknowledged: bool,
    /// The request's `Idempotency-Key`.
    pub(super) key: Option<String>,
    /// The request's canonical bytes.
    pub(super) canonical: String,
}

/// PX-735 `InitiateCallResponse`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct InitiateCallResponse {
    /// The call; null if none was placed.
    call_id: Option<String>,
    /// What the call does; null if none was placed.
    status: Option<PlacedStatus>,
    /// Where the client stands.
    consent_status: ConsentStatus,
    /// Why no call was placed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    warning: Option<ConsentWarning>,
}

/// What a call that was placed does.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum PlacedStatus {
    /// The client is asked first.
    ConsentPending,
    /// People are put through at once.
    Connecting,
}

/// PX-735's warning before an unrecorded call.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ConsentWarning {
    /// What it warns of.
    #[serde(rename = "type")]
    kind: WarningKind,
    /// When consent was revoked.
    revoked_at: Option<WallTime>,
    /// For people.
    message: String,
    /// The `clientName` of the request.
    client_name: String,
}

/// What a warning is about.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum WarningKind {
    /// The client has opted out of recording.
    ConsentRevoked,
}

/// An answer: made just now, or the one that was given before.
pub(super) struct Told {
    status: StatusCode,
    body: Value,
}

impl Told {
    pub(super) const fn done(body: Value) -> Self {
        Self { status: StatusCode::OK, body }
    }

    /// For another gateway to answer with.
    pub(super) fn json(self) -> Value {
        json!({ "status": self.status.as_u16(), "body": self.body })
    }

    /// What another gateway told.
    pub(super) fn read(mut told: Value) -> Option<Self> {
        let status = told["status"].as_u64().and_then(|status| u16::try_from(status).ok())?;
        Some(Self { status: StatusCode::from_u16(status).ok()?, body: told["body"].take() })
    }
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if self.status.is_client_error() || self.status.is_server_error() {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        }
        response
    }
}

impl From<Problem> for Told {
    fn from(problem: Problem) -> Self {
        Self { status: problem.status(), body: problem.json() }
    }
}

/// Places a call, or says why not. Runs to its end whether or not somebody still waits for the answer.
pub(super) async fn place(app: App, wish: Wish) -> Result<Told, Problem> {
    let (org, client) = (&wish.claims.org, &wish.client_id);
    // What was answered is answered again, also where no new call could be placed now.
    if let Some(key) = &wish.key
        && let Some(known) = app.world.database.key_use(org, &wish.claims.sub, key).await.map_err(Problem::ours)?
    {
        return Ok(with_name(again(&app, &wish, known).await?, &wish));
    }
    let standing = app.world.standing(org, client).await.map_err(Problem::ours)?;
    let call = match Initiation::of(standing.status, wish.acknowledged) {
        Initiation::Warn => None,
        Initiation::Ask | Initiation::PutThrough => Some((announced(&app, &wish, standing), may_call(&app)?)),
    };
    let body = match &call {
        Some((call, _)) => {
            let status = if standing.status == ConsentStatus::Pending { PlacedStatus::ConsentPending } else { PlacedStatus::Connecting };
            InitiateCallResponse {
                call_id: Some(call.identity.call_id.clone()),
                status: Some(status),
                consent_status: standing.status,
                warning: None,
            }
        }
        None => {
            let history = app.world.database.consent_history(org, client, 1).await.map_err(Problem::ours)?;
            let revoked_at = app.world.noes.since(org, client, None).or_else(|| history.first().map(|row| row.record.at));
            // The name is put in on the way out: this is what is kept beside the key.
            let warning =
                ConsentWarning { kind: WarningKind::ConsentRevoked, revoked_at, message: String::new(), client_name: String::new() };
            InitiateCallResponse { call_id: None, status: None, consent_status: standing.status, warning: Some(warning) }
        }
    };
    let body = json!(body);
    let (done, placed) = oneshot::channel();
    let then: Then<Option<Placed>> = Box::new(move |placed| drop(done.send(placed)));
    submit(&app.world, Work::Place(Box::new(placement(&app, &wish, standing, call.as_ref().map(|(call, _)| call), &body)), then));
    let unwritten = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the call cannot be written down, so it was not placed; try again");
    let told = match placed.await.ok().flatten().ok_or_else(unwritten)? {
        Placed::Known(known) => again(&app, &wish, known).await?,
        Placed::New => match call {
            None => Told { status: StatusCode::OK, body },
            Some((call, twilio)) => ask_twilio(&app, &twilio, &wish, call, body).await,
        },
    };
    Ok(with_name(told, &wish))
}

/// By whom a call is placed now, if one can be. Who only needs the warning needs none of this.
fn may_call(app: &App) -> Result<TwilioRest, Problem> {
    let refused = |why: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why);
    if app.is_draining() {
        return Err(refused("the gateway is stopping; ask again in a minute".to_owned()).retry_after(STOPPED_WITHIN));
    }
    if app.registry.live() >= app.config.max_calls {
        return Err(refused("CALLGATE_MAX_CALLS calls are live already; try again later".to_owned()));
    }
    app.twilio.clone().map_err(|key| refused(format!("no call can be placed: set {key}, and start callgate again")))
}

/// Calls that were placed before a restart, or by a gateway that is gone, and of which nothing has been heard: somebody must
/// answer for them.
pub(super) async fn reopen(app: &App, node: Option<&str>) -> Result<(), DatabaseError> {
    let limit = u32::try_from(app.config.max_calls).unwrap_or(u32::MAX);
    for call_id in app.world.database.placed_unheard(node, limit).await? {
        find(app, &call_id).await?;
    }
    Ok(())
}

/// A call that this gateway made, by its id. One of before a restart is opened again, unless it has ended.
pub(super) async fn find(app: &App, call_id: &str) -> Result<Option<Announced>, DatabaseError> {
    if let Some(announced) = app.registry.announced(call_id) {
        return Ok(announced.made.is_some().then_some(announced));
    }
    let Some(placed) = app.world.database.placed(call_id).await? else { return Ok(None) };
    let row = placed.call;
    let standing = app.world.standing(&row.org_id, &row.client_id).await?;
    let announced = Announced {
        identity: CallIdentity {
            call_id: row.id,
            call_sid: row.call_sid,
            client_id: row.client_id,
            case_manager_id: row.case_manager_id,
            org_id: row.org_id,
            direction: Direction::Outbound,
        },
        token: ids::fresh("stream"),
        party_token: ids::fresh("party"),
        ruling: app.world.database.placed_under(call_id).await?.map_or_else(
            || Ruling::of_placed(app.world.policy.version().to_owned(), Class::Eu),
            |(version, class)| Ruling::of_placed(version, class),
        ),
        made: Some(Made {
            standing,
            connect_to: placed.connect_to.as_deref().and_then(Route::parse),
            at: WallTime::parse(&row.started_at).unwrap_or_else(wall),
        }),
    };
    if row.phase != "CREATED" {
        return Ok(Some(announced));
    }
    // Another gateway may have it, or open it at this moment: who does not get it puts its people through.
    if !nodes::claim(app, call_id).await? {
        return Ok(Some(announced));
    }
    // Two webhooks at once: the first one's token holds.
    let announced = app.registry.announce(announced);
    open(app, &announced);
    Ok(Some(announced))
}

/// A call that webhooks tell of lives from here on, whether or not a stream of it ever comes.
fn open(app: &App, announced: &Announced) {
    let standing = announced.made.as_ref().map_or(Standing { status: ConsentStatus::Pending, seen: 0 }, |made| made.standing);
    open_standing(app, announced, standing);
}

/// The same, for a client who stands so.
pub(super) fn open_standing(app: &App, announced: &Announced, standing: Standing) {
    let owner = app.registry.claim(&announced.identity, app.media.next());
    owner.send(ToMedia::Open(Box::new((announced.identity.clone(), standing))));
}

fn announced(app: &App, wish: &Wish, standing: Standing) -> Announced {
    let ruling = app.world.ruling(Places {
        client_region: wish.client_region.map(Region::code),
        client_number: Some(&wish.to),
        own_number: app.config.twilio_from.as_deref(),
        case_manager: None,
    });
    Announced {
        ruling,
        identity: CallIdentity {
            call_id: ids::fresh("call"),
            call_sid: String::new(),
            client_id: wish.client_id.clone(),
            case_manager_id: wish.claims.sub.clone(),
            org_id: wish.claims.org.clone(),
            direction: Direction::Outbound,
        },
        token: ids::fresh("stream"),
        party_token: ids::fresh("party"),
        made: Some(Made { standing, connect_to: wish.connect_to.as_deref().and_then(Route::parse), at: wall() }),
    }
}

fn placement(app: &App, wish: &Wish, standing: Standing, call: Option<&Announced>, body: &Value) -> Placement {
    let now = app.world.clocks.now();
    let claim = wish.key.as_ref().map(|key| {
        let mut salt = Salt([0; 16]);
        rand::rng().fill_bytes(&mut salt.0);
        KeyClaim {
            org_id: wish.claims.org.clone(),
            user_id: wish.claims.sub.clone(),
            key: key.clone(),
            used: KeyUse {
                salt: salt.to_string(),
                commitment: commitment(salt, wish.canonical.as_bytes()).to_string(),
                call_id: call.map(|call| call.identity.call_id.clone()),
                status: call.is_none().then_some(StatusCode::OK.as_u16()),
                answer: body.to_string(),
                at: now.wall.to_string(),
            },
        }
    });
    let placed = call.map(|call| {
        let at = call.made.as_ref().map_or(now.wall, |made| made.at);
        let as_made = Call::new(call.identity.clone(), app.world.settings, standing, now).made(at, now);
        PlacedRow { call: row_of(&as_made.snapshot()), connect_to: wish.connect_to.clone(), form_ids: wish.form_ids.clone() }
    });
    let mut detail = json!({ "consentStatus": standing.status, "acknowledgedUnrecorded": wish.acknowledged });
    if let Some(call) = call {
        detail["policyVersion"] = json!(call.ruling.version);
        detail["policyClass"] = json!(call.ruling.basis.class);
    }
    let event = Event {
        org_id: wish.claims.org.clone(),
        kind: if call.is_some() { EventKind::CallPlaced } else { EventKind::ConsentViewed },
        actor: Actor::User { id: wish.claims.sub.clone(), name: String::new() },
        call_id: call.map(|call| call.identity.call_id.clone()),
        client_id: Some(wish.client_id.clone()),
        at: now.wall,
        position: None,
        detail,
    };
    Placement { claim, call: placed, event }
}

async fn ask_twilio(app: &App, twilio: &TwilioRest, wish: &Wish, call: Announced, body: Value) -> Told {
    let call = app.registry.announce(call);
    open(app, &call);
    let id = call.identity.call_id.as_str();
    let tell = |message| {
        if let Some(owner) = app.registry.owner(id) {
            owner.send(message);
        }
    };
    let (voice_url, status_url) = (format!("{}{VOICE}?callId={id}", app.public_url), format!("{}{STATUS}?callId={id}", app.public_url));
    let screened = call.made.as_ref().is_some_and(|made| made.standing.status == ConsentStatus::Pending);
    let fallback = fallback_url(app, &call);
    let asked = NewCall { to: &wish.to, voice_url: &voice_url, fallback_url: fallback.as_deref(), status_url: &status_url, screened };
    let asked = twilio.call(asked).await;
    let problem = match asked {
        Ok(call_sid) => {
            tracing::info!(call.id = id, call.sid = %call_sid, "call: placed");
            app.registry.named(id, &call_sid);
            tell(ToMedia::Named(id.to_owned(), call_sid));
            remember(app, wish, StatusCode::CREATED, None);
            return Told { status: StatusCode::CREATED, body };
        }
        Err(CallError::Refused { status, code, message }) => {
            tracing::warn!(call.id = id, status, twilio.code = code, "call: Twilio did not place it");
            tell(ToMedia::Unreached(id.to_owned(), Unreached::Refused(code)));
            let mend = match status {
                401 | 403 => "check CALLGATE_TWILIO_ACCOUNT_SID and CALLGATE_TWILIO_AUTH_TOKEN",
                429 => "too many calls are placed at once; try again in a while with a new Idempotency-Key",
                _ => "see twilio.com/docs/api/errors for this code, mend it, and try again with a new Idempotency-Key",
            };
            let detail = format!("Twilio refused the call with status {status}, code {code}: {message} — {mend}");
            Problem::new(StatusCode::BAD_GATEWAY, detail).with("twilioCode", json!(code))
        }
        Err(CallError::Unreachable(why)) => {
            tracing::error!(call.id = id, error = %why, "call: Twilio cannot be reached; look at the network, or at CALLGATE_TWILIO_API_URL");
            tell(ToMedia::Unreached(id.to_owned(), Unreached::NotAsked));
            let detail = "Twilio cannot be reached, so no call was placed; try again with a new Idempotency-Key";
            Problem::new(StatusCode::BAD_GATEWAY, detail)
        }
        Err(CallError::Unknown(why)) => {
            tracing::error!(call.id = id, error = %why, "call: nobody knows whether Twilio has placed it; its webhooks will tell");
            unknown(id)
        }
    };
    let told = Told::from(problem.with("callId", json!(id)));
    remember(app, wish, told.status, Some(&told.body));
    told
}

/// What Twilio asks when it cannot ask us. A TwiML Bin knows no calls, so it is told whom to dial.
fn fallback_url(app: &App, call: &Announced) -> Option<String> {
    let connect_to = call.made.as_ref().and_then(|made| made.connect_to.as_ref());
    let inbound = match &app.config.inbound_route {
        Some(InboundRoute::Dial(route)) => Some(route),
        Some(InboundRoute::Ask(_) | InboundRoute::Relay(_)) | None => None,
    };
    let party = connect_to.or(inbound).map(|route| match route {
        Route::Number(number) => ("number", number.as_str()),
        Route::Client(id) => ("client", id.as_str()),
    });
    let told: Vec<_> = [("callId", call.identity.call_id.as_str())].into_iter().chain(party).collect();
    app.config.fallback_url.as_ref().map(|url| url.with(&told))
}

fn unknown(call_id: &str) -> Problem {
    let detail = format!(
        "Twilio did not tell whether the call was placed, so it may ring: look at GET /api/calls/{call_id} before you try again with a new Idempotency-Key"
    );
    Problem::new(StatusCode::GATEWAY_TIMEOUT, detail)
}

/// The answer stands beside its key from here on.
fn remember(app: &App, wish: &Wish, status: StatusCode, body: Option<&Value>) {
    if let Some(key) = &wish.key {
        let (org_id, user_id) = (wish.claims.org.clone(), wish.claims.sub.clone());
        let answer = Answer { org_id, user_id, key: key.clone(), status: status.as_u16(), body: body.map(Value::to_string) };
        submit(&app.world, Work::Answer(Box::new(answer)));
    }
}

/// The key was used before: the same request gets the same answer.
async fn again(app: &App, wish: &Wish, known: KeyUse) -> Result<Told, Problem> {
    let same =
        Salt::parse(known.salt.as_bytes()).is_some_and(|salt| commitment(salt, wish.canonical.as_bytes()).to_string() == known.commitment);
    if !same {
        let detail = "this Idempotency-Key was used for another request; use a new one for each call";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    let body: Value = serde_json::from_str(&known.answer).map_err(Problem::ours)?;
    if let Some(status) = known.status.and_then(|status| StatusCode::from_u16(status).ok()) {
        return Ok(Told { status, body });
    }
    let began = WallTime::parse(&known.at).unwrap_or_default();
    if wall().0 - began.0 < SETTLED_AFTER_MS {
        let detail = "the request with this Idempotency-Key is still being answered; ask again in a few seconds";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    // Its process died while Twilio was asked. If Twilio has told of the call since, it was placed.
    let call_id = known.call_id.unwrap_or_default();
    let live = app.registry.get(&call_id).map(|live| live.call_sid());
    let call_sid = match live {
        Some(call_sid) => call_sid,
        None => app.world.database.call(&call_id).await.map_err(Problem::ours)?.map(|row| row.call_sid).unwrap_or_default(),
    };
    if call_sid.is_empty() {
        let told = Told::from(unknown(&call_id).with("callId", json!(call_id)));
        remember(app, wish, told.status, Some(&told.body));
        return Ok(told);
    }
    remember(app, wish, StatusCode::CREATED, None);
    Ok(Told { status: StatusCode::CREATED, body })
}

/// The client's name is the caller's own; it is said back to them and kept nowhere (P11).
fn with_name(mut told: Told, wish: &Wish) -> Told {
    if let Some(warning) = told.body.get_mut("warning") {
        let name = wish.client_name.as_deref().unwrap_or("This client");
        warning["message"] = json!(format!("{name} has opted out of recording"));
        warning["clientName"] = json!(name);
    }
    told
}
