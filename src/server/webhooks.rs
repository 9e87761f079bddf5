//! Twilio's webhooks: signed forms in, TwiML out. Asked twice, the same is answered. Capture needs a decision that this
//! gateway heard; whatever is not known leads to an unrecorded call, never to a dropped one (P6).

mod onward;

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use self::onward::{next, next_unowned, otherwise, unowned, without_us};
use super::api::asked::NUL_IN_URL;
use super::config::InboundRoute;
use super::http::App;
use super::ids;
use super::media::ToMedia;
use super::nodes;
use super::placing::{self, STOPPED_WITHIN};
use super::problem::Problem;
use super::registry::{Announced, Made};
use super::unserved;
use crate::engine::audio::key::Key;
use crate::engine::audio::prompts::{Language, Line, Prompt};
use crate::engine::call::{CallIdentity, PROMPT_PLAYS_MAX, Standing, TransferNo, Unreached};
use crate::engine::consent::keys::{self, Answer};
use crate::engine::consent::{ConsentStatus, Direction};
use crate::engine::policy::Places;
use crate::engine::twilio::signature;
use crate::engine::twilio::twiml::{self, After, Connect, Next, Route, Stream};
use crate::io::database::{Arrived, DatabaseError};

/// Twilio's forms are a few kilobytes.
const FORM_MAX: usize = 64 * 1024;
/// What was pressed on the keypad is durable within this, or the call goes on unrecorded without it (P6).
const DURABLE_WITHIN: Duration = Duration::from_secs(3);
/// The database tells within this which call a webhook is about, or the people are connected without: Twilio waits for fifteen
/// seconds in all, and they are listening.
const KNOWN_WITHIN: Duration = Duration::from_secs(3);
/// A webhook is answered within this, whoever hangs: by what is known without asking anybody.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);
/// It is asked again this often.
const ASK_AGAIN: Duration = Duration::from_millis(750);
pub(super) const VOICE: &str = "/api/webhooks/twilio/voice";
pub(super) const CONNECTED: &str = "/api/webhooks/twilio/connected";
pub(super) const CONSENT: &str = "/api/webhooks/twilio/consent";
pub(super) const STATUS: &str = "/api/webhooks/twilio/status";
pub(super) const PARTY: &str = "/api/webhooks/twilio/party";
pub(super) const PARTY_STATUS: &str = "/api/webhooks/twilio/party-status";

/// An id that the main app may name in a form.
struct NamedId {
    field: &'static str,
    is_kept: fn(&str) -> bool,
    /// What can be kept, for the log.
    meant: &'static str,
    /// What the chain says of a call whose form names another: not the id itself.
    unkept: &'static str,
}

const ORG: NamedId =
    NamedId { field: "orgId", is_kept: ids::is_org, meant: ids::ORG_MEANT, unkept: "its form named an orgId that cannot be kept" };
const CLIENT: NamedId =
    NamedId { field: "clientId", is_kept: ids::is_fit, meant: ids::ID_MEANT, unkept: "its form named a clientId that cannot be kept" };
const CASE_MANAGER: NamedId = NamedId {
    field: "caseManagerId",
    is_kept: ids::is_fit,
    meant: ids::ID_MEANT,
    unkept: "its form named a caseManagerId that cannot be kept",
};

/// A form that Twilio signed: only [`signed`] makes one.
#[derive(Clone)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// One whose signature another gateway of ours has checked.
    pub(super) const fn from_elsewhere(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// A pair with U+0000 is left out: Twilio sends none, no row can have it, and no call is to fail because of one.
    fn of(mut pairs: Vec<(String, String)>) -> Self {
        pairs.retain(|(name, value)| !name.contains('\0') && !value.contains('\0'));
        Self(pairs)
    }

    fn field(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }

    /// The id that it names, unless there is none, or none that can be kept.
    fn id(&self, named: &NamedId) -> Option<&str> {
        Some(self.field(named.field)).filter(|id| !id.is_empty() && (named.is_kept)(id))
    }

    /// The first id that it names and that cannot be kept. What was captured in such a name could be stored under none, and no
    /// revocation could ever name its client.
    fn unkept(&self) -> Option<&'static NamedId> {
        [&ORG, &CLIENT, &CASE_MANAGER].into_iter().find(|named| !self.field(named.field).is_empty() && self.id(named).is_none())
    }
}

/// Lets nothing past that Twilio did not sign.
pub(super) async fn signed(State(app): State<App>, request: Request, next: middleware::Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let Ok(bytes) = axum::body::to_bytes(body, FORM_MAX).await else {
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the form is too large").into_response();
    };
    let pairs = form(&bytes);
    if let (true, Some(token)) = (app.config.twilio_validate, &app.config.twilio_auth_token) {
        let told = parts.headers.get("x-twilio-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = token.expose_secret();
        let json = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        let right = if json {
            signature::body_is_signed(token, &app.public_url, &path, &bytes, told)
        } else {
            signature::form_is_signed(token, &app.public_url, &path, &pairs, told)
        };
        if !right {
            app.world.metrics.refused.inc();
            tracing::warn!(
                path = parts.uri.path(),
                "webhook refused: X-Twilio-Signature does not match; is CALLGATE_PUBLIC_URL how Twilio sees this gateway?"
            );
            return Problem::new(StatusCode::FORBIDDEN, "X-Twilio-Signature does not match").into_response();
        }
    }
    parts.uri = without_nul(parts.uri);
    let (uri, form) = (parts.uri.clone(), Form::of(pairs));
    let mut request = Request::from_parts(parts, axum::body::Body::from(Bytes::new()));
    request.extensions_mut().insert(form.clone());
    let answer = async {
        match nodes::answer_elsewhere(&app, &uri, &form.0).await {
            Some(answer) => answer,
            None => next.run(request).await,
        }
    };
    match timeout(ANSWER_WITHIN, answer).await {
        Ok(answer) => answer,
        Err(_) => {
            tracing::error!(
                path = uri.path(),
                call.sid = form.field("CallSid"),
                "webhook: not answered in time; its people are connected, and not captured"
            );
            answer_now(&app, uri.path(), uri.query().unwrap_or_default(), &form)
        }
    }
}

/// The same of the query: no URL that we gave has it.
fn without_nul(uri: Uri) -> Uri {
    let Some(query) = uri.query().filter(|query| query.contains(NUL_IN_URL)) else { return uri };
    let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.contains(NUL_IN_URL)).collect();
    format!("{}?{}", uri.path(), pairs.join("&")).parse().unwrap_or(uri)
}

/// What stands in the URL that Twilio was given. It takes whatever stands there: people are on the line, so Twilio is answered by TwiML.
pub(super) struct Asked {
    call_id: String,
    lang: String,
    plays: u32,
    /// The bot whose stream is over.
    relay: String,
}

impl Asked {
    /// What a query says. What makes no sense is as what is not said.
    pub(super) fn of(query: &str) -> Self {
        let query = Form(form(query.as_bytes()));
        let text = |name: &str| query.field(name).to_owned();
        Self { call_id: text("callId"), lang: text("lang"), plays: query.field("plays").parse().unwrap_or_default(), relay: text("relay") }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts.uri.query().unwrap_or_default()))
    }
}

/// The call that a webhook is about, as far as it is known.
#[derive(Default)]
struct About {
    id: Option<String>,
    announced: Option<Announced>,
}

/// The database is away, and nobody else can tell which call it is.
pub(super) struct NobodyKnows;

/// Asks the database, again while it fails, and no longer than [`KNOWN_WITHIN`].
pub(super) async fn patiently<T, F>(call_id: &str, mut ask: impl FnMut() -> F) -> Result<T, NobodyKnows>
where
    F: Future<Output = Result<T, DatabaseError>>,
{
    let deadline = Instant::now() + KNOWN_WITHIN;
    loop {
        match timeout_at(deadline, ask()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(why)) => {
                tracing::warn!(call.id = call_id, error = %why, "webhook: the database does not tell which call it is about");
                if Instant::now() + ASK_AGAIN < deadline {
                    tokio::time::sleep(ASK_AGAIN).await;
                    continue;
                }
            }
            Err(_) => {}
        }
        tracing::error!(
            call.id = call_id,
            "webhook: nobody can tell which call it is about; its people are connected, and it is not captured"
        );
        return Err(NobodyKnows);
    }
}

impl About {
    /// By the id in our URL, or by Twilio's own.
    async fn find(app: &App, asked: &Asked, form: &Form) -> Result<Self, NobodyKnows> {
        let call_sid = form.field("CallSid");
        let told = [asked.call_id.as_str(), form.field("callId")].into_iter().find(|id| !id.is_empty());
        if let Some(id) = told {
            let found = patiently(id, || placing::find(app, id)).await;
            match found.inspect_err(|NobodyKnows| unserved::tell_later(app, id, call_sid))? {
                Some(announced) if app.registry.named(id, call_sid) => {
                    tell(app, id, ToMedia::Named(id.to_owned(), call_sid.to_owned()));
                    return Ok(Self { id: Some(id.to_owned()), announced: Some(announced) });
                }
                Some(_) => tracing::warn!(call.id = id, call.sid = %call_sid, "webhook: its callId is another call's"),
                None => {}
            }
        }
        let Some(id) = app.registry.id_of(call_sid) else { return Ok(Self::default()) };
        Ok(Self { announced: app.registry.announced(&id), id: Some(id) })
    }

    fn made(&self) -> Option<&Made> {
        self.announced.as_ref().and_then(|announced| announced.made.as_ref())
    }

    /// How the call stands, while it lives.
    fn state(&self, app: &App) -> Option<Value> {
        self.id.as_deref().and_then(|id| app.registry.get(id)).map(|live| live.json())
    }

    /// A URL of ours for this call: one that this gateway made is known by its id, also after a restart.
    fn url(&self, app: &App, path: &str, query: &[(&str, &str)]) -> String {
        let id = self.made().and(self.id.as_deref()).map(|id| ("callId", id));
        let pairs: Vec<String> = query.iter().copied().chain(id).map(|(name, value)| format!("{name}={value}")).collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        format!("{}{path}{mark}{}", app.public_url, pairs.join("&"))
    }
}

/// A word to the thread that owns a call.
fn tell(app: &App, call_id: &str, message: ToMedia) {
    if let Some(owner) = app.registry.owner(call_id) {
        owner.send(message);
    }
}

/// `POST /api/webhooks/twilio/voice`: a call is answered with the TwiML that connects its consent stream. A client who was asked
/// before this gateway made the call is put through at once.
pub(super) async fn voice(State(app): State<App>, asked: Asked, axum::Extension(form): axum::Extension<Form>) -> Response {
    let call_sid = form.field("CallSid");
    if call_sid.is_empty() {
        return Problem::new(StatusCode::BAD_REQUEST, "the form names no CallSid").into_response();
    }
    let Ok(mut about) = About::find(&app, &asked, &form).await else {
        return unowned(&app, &asked.relay, None, None, &form).await;
    };
    if about.announced.is_none() && !asked.call_id.is_empty() {
        return Problem::not_found("call").into_response();
    }
    if about.announced.is_none() && app.is_draining() {
        // Asked twice, the same is answered.
        let by_a_peer = if about.id.is_none() { nodes::taken_by_a_peer(&app, &form.0).await } else { None };
        return match by_a_peer {
            Some(answer) => answer,
            None => put_past(&app, &form).await,
        };
    }
    let announced = match about.announced.take() {
        Some(announced) => announced,
        None => match inbound(&app, VOICE, "", &form).await {
            Ok(announced) => announced,
            Err(answer) => return *answer,
        },
    };
    about.announced = Some(announced.clone());
    let id = announced.identity.call_id.clone();
    about.id = Some(id.clone());
    let answered_by = form.field("AnsweredBy");
    if !answered_by.is_empty() {
        tell(&app, &id, ToMedia::AnsweredBy(id.clone(), answered_by.to_owned()));
    }
    if announced.made.is_some() && !lives(&app, &id) {
        // Over, and somebody is on the line all the same: they are connected, and nothing is captured.
        let next = next(&app, &form, &about).await;
        return xml(twiml::proceed(None, None, &next));
    }
    match announced.made.as_ref().map(|made| made.standing.status) {
        Some(status @ (ConsentStatus::Granted | ConsentStatus::Revoked)) => {
            lead_on(&app, &about).await;
            let next = next(&app, &form, &about).await;
            // Only now: a no may have come while it rang. The machine behind the fork knows in any case.
            let refused = about.state(&app).is_some_and(|state| state["consent"]["status"] == "REVOKED");
            let forks = status == ConsentStatus::Granted && !refused;
            forked(&app, &announced, forks, None, &next)
        }
        Some(ConsentStatus::Pending) | None if let Some(bot) = inbound_bot(&app, &about) => {
            // Asked and served on one stream.
            let mut connect = relayed(&app, &about, &announced, bot);
            connect.parameters.push(("answeredBy", answered_by.to_owned()));
            xml(twiml::proceed(None, None, &Next::Connect(Box::new(connect))))
        }
        Some(ConsentStatus::Pending) | None if bridges(&app, &about) => {
            // Asked and joined on one stream.
            let mut connect = bridged(&app, &announced);
            connect.parameters.push(("answeredBy", answered_by.to_owned()));
            xml(twiml::proceed(None, None, &Next::Connect(Box::new(connect))))
        }
        Some(ConsentStatus::Pending) | None => {
            let parameters = [("callId", id.as_str()), ("token", &announced.token), ("mode", "consent"), ("answeredBy", answered_by)];
            let (socket, status) = (socket_url(&app), format!("{}{STATUS}", app.public_url));
            let stream = Stream { url: &socket, parameters: &parameters, status_url: &status };
            let action = about.url(&app, CONNECTED, &[]);
            xml(twiml::connect(&stream, &action, &otherwise(&app, &about, None, &action)))
        }
    }
}

/// The call goes to the other party; over when its thread, if one has it, knows.
async fn lead_on(app: &App, about: &About) {
    let Some(call_id) = about.id.as_deref() else { return };
    let (done, known) = oneshot::channel();
    tell(app, call_id, ToMedia::PutThrough(call_id.to_owned(), done));
    let _ = known.await;
}

/// The call's gateway does not answer: the people are connected, and nothing is captured.
pub(super) async fn put_through(app: &App, path: &str, query: &str, call_id: &str, form: &[(String, String)]) -> Response {
    if let Some(answer) = needs_nobody(path, call_id) {
        return answer;
    }
    let placed = patiently(call_id, || app.world.database.placed(call_id)).await.ok().flatten();
    let connect_to = placed.and_then(|placed| placed.connect_to).as_deref().and_then(Route::parse);
    let (asked, form) = (Asked::of(query), Form(form.to_vec()));
    let (language, pressed) = pressed(app, &asked, &form);
    // Whose no it is nobody can tell, so it cannot be written; nor is anything captured that it would stop.
    let line = (path == CONSENT && pressed == Answer::Decline).then(|| app.world.settings.prompts.prompt(language, Line::Declined));
    unowned(app, &asked.relay, connect_to, line, &form).await
}

/// What Twilio's keypad question brought, and in which language it was asked.
fn pressed(app: &App, asked: &Asked, form: &Form) -> (Language, Answer) {
    let prompts = app.world.settings.prompts;
    let key = form.field("Digits").chars().next().and_then(Key::from_symbol);
    (prompts.language(&asked.lang).unwrap_or(Language::EN), key.map_or(Answer::Nothing, |key| keys::answer(key, true, prompts)))
}

/// What can be answered of a call without knowing anything of it.
fn needs_nobody(path: &str, call_id: &str) -> Option<Response> {
    match path {
        STATUS | PARTY_STATUS => Some(StatusCode::NO_CONTENT.into_response()),
        // Where the client's own TwiML leads when its stream is lost.
        PARTY => Some(xml(twiml::proceed(None, None, &Next::Meet(call_id.to_owned())))),
        _ => None,
    }
}

/// Twilio has waited for long enough: the people are connected by what is known here and now, and nothing is captured.
fn answer_now(app: &App, path: &str, query: &str, form: &Form) -> Response {
    let asked = Asked::of(query);
    let told = [asked.call_id.as_str(), form.field("callId")].into_iter().find(|id| !id.is_empty()).map(str::to_owned);
    let id = told.or_else(|| app.registry.id_of(form.field("CallSid"))).unwrap_or_default();
    needs_nobody(path, &id).unwrap_or_else(|| {
        let made = app.registry.announced(&id).and_then(|announced| announced.made);
        xml(twiml::proceed(None, None, &without_us(app, &id, &asked.relay, made.and_then(|made| made.connect_to))))
    })
}

/// A new call, and the gateway is stopping: it goes where it should, unrecorded, and that is written. If nobody here knows where that
/// is, Twilio asks the number's fallback URL.
async fn put_past(app: &App, form: &Form) -> Response {
    let next = next_unowned(app, "", None, form).await;
    if next == Next::Nobody {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping, and no CALLGATE_INBOUND_ROUTE says where calls go")
            .retry_after(STOPPED_WITHIN)
            .into_response();
    }
    // Asked twice, it is written once.
    let call_sid = form.field("CallSid");
    if app.registry.id_of(call_sid).is_none() {
        let call = inbound_call(app, ids::fresh("call"), form);
        app.registry.name(call_sid, || call.identity.call_id.clone());
        tracing::warn!(call.id = %call.identity.call_id, call.sid = call_sid, "webhook: a new call, and the gateway is stopping; it is put through, and not captured");
        unserved::passed_on(&app.world, &call, "the gateway was stopping");
    }
    xml(twiml::proceed(None, None, &next))
}

/// Whether a thread owns the call, and has not let go of it.
fn lives(app: &App, call_id: &str) -> bool {
    app.registry.owner(call_id).is_some() && !app.registry.get(call_id).is_some_and(|live| live.is_over())
}

/// An inbound call that is ours to answer; else the answer: the very one of the gateway that was told first, or none that records.
async fn inbound(app: &App, path: &str, query: &str, form: &Form) -> Result<Announced, Box<Response>> {
    let call_id = match nodes::arrives(app, form.field("CallSid")).await {
        Some(Arrived::Ours(call_id)) => call_id,
        Some(Arrived::Theirs(owner)) => return Err(Box::new(nodes::ask_owner(app, &owner, path, query, &form.0).await)),
        Some(Arrived::Left(call_id)) => {
            note_unserved(app, &call_id, &form.0).await;
            return Err(Box::new(unowned(app, "", None, None, form).await));
        }
        Some(Arrived::Past) | None => return Err(Box::new(unowned(app, "", None, None, form).await)),
    };
    if let Some(NamedId { field, meant, unkept, .. }) = form.unkept() {
        let call_sid = form.field("CallSid");
        tracing::error!(call.id = %call_id, call.sid = call_sid, "webhook: {unkept}: {field} has {meant}. The call is put through, and not captured; mend what adds the field to the form");
        note_past(app, &call_id, form, unkept).await;
        return Err(Box::new(unowned(app, "", None, None, form).await));
    }
    Ok(app.registry.announce(inbound_call(app, call_id, form)))
}

/// Who the client is the main app may tell as a form field; a caller id proves nothing. An id that cannot be kept is as one that is not
/// told: nothing is captured of such a call.
fn inbound_call(app: &App, call_id: String, form: &Form) -> Announced {
    let call_sid = form.field("CallSid");
    let told = |named: &NamedId, default: &str| form.id(named).unwrap_or(default).to_owned();
    let outbound = form.field("Direction").starts_with("outbound");
    let (client, own) = if outbound { ("To", "From") } else { ("From", "To") };
    let ruling = app.world.ruling(Places {
        client_region: Some(form.field("clientRegion")),
        client_number: Some(form.field(client)),
        own_number: Some(form.field(own)),
        case_manager: None,
    });
    Announced {
        identity: CallIdentity {
            call_id,
            call_sid: call_sid.to_owned(),
            client_id: told(&CLIENT, &format!("unknown-{call_sid}")),
            case_manager_id: told(&CASE_MANAGER, ""),
            org_id: told(&ORG, "default"),
            direction: if outbound { Direction::Outbound } else { Direction::Inbound },
        },
        token: ids::fresh("stream"),
        party_token: ids::fresh("party"),
        ruling,
        made: None,
    }
}

/// A call came in, and the gateway that was told first cannot be asked: its people are connected, and that it went unrecorded is
/// written, unless somebody has written of it.
pub(super) async fn note_unserved(app: &App, call_id: &str, form: &[(String, String)]) {
    note_past(app, call_id, &Form(form.to_vec()), "the gateway that was told of it first cannot be asked any more").await;
}

/// The people of a call are connected past us, and that is written, unless somebody has written of it.
async fn note_past(app: &App, call_id: &str, form: &Form, why: &'static str) {
    if matches!(app.world.database.call(call_id).await, Ok(None)) {
        unserved::passed_on(&app.world, &inbound_call(app, call_id.to_owned(), form), why);
    }
}

/// The bot that serves a call which goes where inbound calls go, if one does.
fn inbound_bot<'a>(app: &'a App, about: &About) -> Option<&'a str> {
    match &app.config.inbound_route {
        Some(InboundRoute::Relay(name)) if about.made().is_none_or(|made| made.connect_to.is_none()) => Some(name),
        Some(InboundRoute::Relay(_) | InboundRoute::Dial(_) | InboundRoute::Ask(_)) | None => None,
    }
}

/// Whether the call is joined here with the other party's leg.
fn bridges(app: &App, about: &About) -> bool {
    let person =
        about.made().is_some_and(|made| made.connect_to.is_some()) || matches!(app.config.inbound_route, Some(InboundRoute::Dial(_)));
    person && app.world.bridging.is_some()
}

/// The client's stream of a bridged call. The conference after it has the name that stands in the other party's TwiML as well.
fn bridged(app: &App, announced: &Announced) -> Connect {
    Connect {
        url: socket_url(app),
        parameters: vec![
            ("callId", announced.identity.call_id.clone()),
            ("token", announced.token.clone()),
            ("mode", "stay".to_owned()),
            ("bridge", "true".to_owned()),
        ],
        status_url: format!("{}{STATUS}", app.public_url),
        after: After::Conference(announced.identity.call_id.clone()),
    }
}

/// `POST /api/webhooks/twilio/party`: the other party of a bridged call has answered.
pub(super) async fn party(State(app): State<App>, asked: Asked) -> Response {
    let Some(announced) = app.registry.announced(&asked.call_id).filter(|_| lives(&app, &asked.call_id)) else {
        return xml(twiml::proceed(None, None, &Next::HangUp)); // the client has hung up meanwhile
    };
    let connect = Connect {
        parameters: vec![
            ("callId", announced.identity.call_id.clone()),
            ("token", announced.party_token.clone()),
            ("mode", "party".to_owned()),
        ],
        ..bridged(&app, &announced)
    };
    xml(twiml::proceed(None, None, &Next::Connect(Box::new(connect))))
}

/// `POST /api/webhooks/twilio/party-status`: how calling the other party fares.
pub(super) async fn party_status(State(app): State<App>, asked: Asked, axum::Extension(form): axum::Extension<Form>) -> StatusCode {
    if matches!(form.field("CallStatus"), "busy" | "no-answer" | "failed" | "canceled") {
        tell(&app, &asked.call_id, ToMedia::PartyGone(asked.call_id.clone(), "it was not reached"));
    }
    StatusCode::NO_CONTENT
}

/// The stream on which a bot serves the call. When it is over, Twilio asks where the call goes then.
fn relayed(app: &App, about: &About, announced: &Announced, bot: &str) -> Connect {
    let action = about.url(app, CONNECTED, &[("relay", bot)]);
    let otherwise = otherwise(app, about, Some(bot), &action);
    Connect {
        url: socket_url(app),
        parameters: vec![
            ("callId", announced.identity.call_id.clone()),
            ("token", announced.token.clone()),
            ("mode", "stay".to_owned()),
            ("relay", bot.to_owned()),
        ],
        status_url: format!("{}{STATUS}", app.public_url),
        after: After::Ask(action, otherwise),
    }
}

/// What is next, after the capture fork if it is to start. A stream that stays is captured itself, and where nobody talks there is nothing to capture.
fn forked(app: &App, announced: &Announced, forks: bool, line: Option<&Prompt>, next: &Next) -> Response {
    xml(forked_twiml(app, announced, forks, None, line, next))
}

/// The TwiML by which a live call is handed over: to a bot on a stream that stays, or to a person, after a fork if they are captured.
pub(super) fn handed_over(app: &App, announced: &Announced, to: Handover<'_>, no: TransferNo, forks: bool) -> String {
    let about = About { id: Some(announced.identity.call_id.clone()), announced: Some(announced.clone()) };
    let next = match to {
        Handover::Bot(name) => {
            let mut connect = relayed(app, &about, announced, name);
            connect.parameters.push(("transfer", no.0.to_string()));
            Next::Connect(Box::new(connect))
        }
        Handover::Agent(route) => Next::Dial(route),
    };
    forked_twiml(app, announced, forks, Some(no), None, &next)
}

/// Whom a live call is handed to.
pub(super) enum Handover<'a> {
    /// A bot of the configuration.
    Bot(&'a str),
    /// Somebody who is dialled.
    Agent(Route),
}

fn forked_twiml(app: &App, announced: &Announced, forks: bool, transfer: Option<TransferNo>, line: Option<&Prompt>, next: &Next) -> String {
    let transfer = transfer.map(|no| no.0.to_string());
    let mut parameters = vec![("callId", announced.identity.call_id.as_str()), ("token", &announced.token), ("mode", "capture")];
    parameters.extend(transfer.as_deref().map(|no| ("transfer", no)));
    let (socket, status) = (socket_url(app), format!("{}{STATUS}", app.public_url));
    let stream = Stream { url: &socket, parameters: &parameters, status_url: &status };
    let has_talk = !matches!(next, Next::Connect(_) | Next::HangUp);
    twiml::proceed(line, (forks && has_talk).then_some(&stream), next)
}

/// `POST /api/webhooks/twilio/connected`: the consent stream is over. With consent the fork is started, then the call goes where it should.
/// Who was still being asked did not hang up: the people are connected, and nothing is captured.
pub(super) async fn connected(State(app): State<App>, asked: Asked, axum::Extension(form): axum::Extension<Form>) -> Response {
    let Ok(about) = About::find(&app, &asked, &form).await else {
        return unowned(&app, &asked.relay, None, None, &form).await;
    };
    if app.config.inbound_route.is_none() && about.made().is_none() {
        return xml(twiml::proceed(None, None, &Next::Nobody));
    }
    let unasked = match (about.state(&app), &about.announced) {
        (Some(state), Some(_)) => state["phase"] == "CREATED",
        // A call of ours that is over has had its question; one that came to us has not, if it never lived.
        (None, Some(announced)) => announced.made.is_none(),
        (_, None) => false,
    };
    if unasked {
        // The stream was never opened: Twilio asks by keypad.
        return gather(&app, &about, Language::EN, 1);
    }
    lead_on(&app, &about).await;
    let next = match app.world.relays.get(&asked.relay) {
        // The bot has hung up, or is lost.
        Some(relay) => relay.then.clone().map_or(Next::HangUp, Next::Dial),
        None => next(&app, &form, &about).await,
    };
    answer(&app, &about, None, &next)
}

/// What is next, after the fork if consent stands: asked only now, since a no may have come while the main app was asked.
fn answer(app: &App, about: &About, line: Option<&Prompt>, next: &Next) -> Response {
    let granted = about.state(app).is_some_and(|state| is_granted(&state));
    match &about.announced {
        Some(announced) => forked(app, announced, granted, line, next),
        None => xml(twiml::proceed(line, None, next)),
    }
}

fn is_granted(state: &Value) -> bool {
    state["consent"]["status"] == "GRANTED" && state["unrecordedReason"].is_null()
}

/// Asks by Twilio's keypad, in this language, for the `plays`th time.
fn gather(app: &App, about: &About, language: Language, plays: u32) -> Response {
    let plays = plays.to_string();
    let query = [("lang", language.code()), ("plays", plays.as_str())];
    let action = about.url(app, CONSENT, &query);
    let question = app.world.settings.prompts.prompt(language, Line::Consent);
    xml(twiml::gather(question, &action, &otherwise(app, about, None, &action)))
}

/// `POST /api/webhooks/twilio/consent`: the keypad fallback. A 2 is answered when it is durable; a 1 that is durable may start
/// the fork after all. Silence grants nothing here: that a `<Gather>` ran out does not prove that anybody heard it (P4).
pub(super) async fn consent(State(app): State<App>, asked: Asked, axum::Extension(form): axum::Extension<Form>) -> Response {
    let (prompts, digits) = (app.world.settings.prompts, form.field("Digits"));
    let (language, pressed) = pressed(&app, &asked, &form);
    let Ok(mut about) = About::find(&app, &asked, &form).await else {
        // Whose no it is nobody can tell, so it cannot be written; nor is anything captured that it would stop.
        let line = (pressed == Answer::Decline).then(|| prompts.prompt(language, Line::Declined));
        return unowned(&app, &asked.relay, None, line, &form).await;
    };
    if asked.plays < PROMPT_PLAYS_MAX {
        match pressed {
            Answer::Speak(language) => return gather(&app, &about, language, asked.plays + 1),
            // A key that means nothing is no answer; no key at all is the end of the question.
            Answer::Nothing if !digits.is_empty() => return gather(&app, &about, language, asked.plays + 1),
            Answer::Accept | Answer::Decline | Answer::Nothing => {}
        }
    }
    if about.announced.is_none() {
        let query = format!("lang={}&plays={}", language.code(), asked.plays);
        let announced = match inbound(&app, CONSENT, &query, &form).await {
            Ok(announced) => announced,
            Err(answer) => return *answer,
        };
        about = About { id: Some(announced.identity.call_id.clone()), announced: Some(announced) };
    }
    let in_time = match &about.announced {
        Some(announced) => timeout(DURABLE_WITHIN, pad(&app, announced, language, pressed)).await.is_ok(),
        None => false,
    };
    if !in_time {
        tracing::error!(call.id = about.id.as_deref(), "webhook: the ledger did not answer; the call goes on unrecorded");
    }
    let line = if pressed == Answer::Decline { Line::Declined } else { Line::Granted };
    let next = next(&app, &form, &about).await;
    let line = Some(app.world.settings.prompts.prompt(language, line));
    if in_time { answer(&app, &about, line, &next) } else { xml(twiml::proceed(line, None, &next)) }
}

/// Tells the call's machine what was pressed; over when that is durable.
async fn pad(app: &App, announced: &Announced, language: Language, pressed: Answer) {
    let identity = &announced.identity;
    let id = identity.call_id.clone();
    if announced.made.is_some() && !lives(app, &id) {
        return; // it is over: they are connected, and nothing of it is asked or captured any more
    }
    if app.registry.owner(&id).is_none() {
        let standing = match app.world.standing(&identity.org_id, &identity.client_id).await {
            Ok(standing) => standing,
            Err(why) => {
                tracing::error!(call.id = %id, error = %why, "webhook: nobody can tell where a client stands");
                // A grant that rests on this would be refused by the ledger if there was a revocation.
                Standing { status: ConsentStatus::Pending, seen: 0 }
            }
        };
        placing::open_standing(app, announced, standing);
    }
    let (done, durable) = oneshot::channel();
    tell(app, &id, ToMedia::Pad(id.clone(), language, pressed, done));
    // Dropped without a word when there is nothing more to wait for.
    let _ = durable.await;
}

/// `POST /api/webhooks/twilio/status`: how calls and streams fare, and who answered.
pub(super) async fn status(State(app): State<App>, asked: Asked, axum::Extension(form): axum::Extension<Form>) -> StatusCode {
    let call_sid = form.field("CallSid");
    if form.field("StreamEvent") == "stream-error" {
        tracing::warn!(call.sid = %call_sid, stream.sid = %form.field("StreamSid"), "twilio: stream error; see the account's debugger");
    }
    let Ok(about) = About::find(&app, &asked, &form).await else { return StatusCode::NO_CONTENT };
    let Some(id) = about.id else { return StatusCode::NO_CONTENT };
    let unreached = match form.field("CallStatus") {
        "completed" => None,
        "busy" => Some(Unreached::Busy),
        "no-answer" => Some(Unreached::NoAnswer),
        "failed" => Some(Unreached::Failed),
        "canceled" => Some(Unreached::Canceled),
        _ => {
            let answered_by = form.field("AnsweredBy");
            if !answered_by.is_empty() {
                tell(&app, &id, ToMedia::AnsweredBy(id.clone(), answered_by.to_owned()));
            }
            return StatusCode::NO_CONTENT;
        }
    };
    match (app.registry.owner(&id), unreached) {
        (Some(owner), Some(why)) => owner.send(ToMedia::Unreached(id, why)),
        (Some(owner), None) => owner.send(ToMedia::HungUp(id)),
        (None, _) => app.registry.forget(&id, call_sid),
    }
    StatusCode::NO_CONTENT
}

fn socket_url(app: &App) -> String {
    let socket = app.stream_url.replacen("http", "ws", 1);
    format!("{socket}/twilio/media")
}

fn xml(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], text).into_response()
}

/// The pairs of a form, decoded.
fn form(bytes: &[u8]) -> Vec<(String, String)> {
    serde_urlencoded::from_bytes(bytes).unwrap_or_default()
}
