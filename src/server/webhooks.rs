//! Twilio's webhooks: signed forms in, TwiML out. Asked twice, the same is answered. Capture needs a decision that this
//! gateway heard; whatever is not known leads to an unrecorded call, never to a dropped one (P6).

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::oneshot;

use super::config::InboundRoute;
use super::http::App;
use super::ids;
use super::media::ToMedia;
use super::placing;
use super::problem::Problem;
use super::registry::{Announced, Made};
use crate::engine::audio::key::Key;
use crate::engine::audio::prompts::{Language, Line, Prompt};
use crate::engine::call::{CallIdentity, PROMPT_PLAYS_MAX, Standing, Unreached};
use crate::engine::consent::keys::{self, Answer};
use crate::engine::consent::{ConsentStatus, Direction};
use crate::engine::twilio::signature;
use crate::engine::twilio::twiml::{self, Next, Stream};
use crate::engine::twilio::verbs::{NotVerbs, Verbs};

/// Twilio's forms are a few kilobytes.
const FORM_MAX: usize = 64 * 1024;
/// What was pressed on the keypad is durable within this, or the call goes on unrecorded without it (P6).
const DURABLE_WITHIN: Duration = Duration::from_secs(3);
pub(super) const VOICE: &str = "/api/webhooks/twilio/voice";
pub(super) const CONNECTED: &str = "/api/webhooks/twilio/connected";
pub(super) const CONSENT: &str = "/api/webhooks/twilio/consent";
pub(super) const STATUS: &str = "/api/webhooks/twilio/status";

/// A form that Twilio signed: only [`signed`] makes one.
#[derive(Clone)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    fn field(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }
}

/// Lets nothing past that Twilio did not sign.
pub(super) async fn signed(State(app): State<App>, request: Request, next: middleware::Next) -> Response {
    let (parts, body) = request.into_parts();
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
    let mut request = Request::from_parts(parts, axum::body::Body::from(Bytes::new()));
    request.extensions_mut().insert(Form(pairs));
    next.run(request).await
}

/// What stands in the URL that Twilio was given.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Asked {
    call_id: String,
    lang: String,
    plays: u32,
}

/// The call that a webhook is about, as far as it is known.
#[derive(Default)]
struct About {
    id: Option<String>,
    announced: Option<Announced>,
}

impl About {
    /// By the id in our URL, or by Twilio's own.
    async fn find(app: &App, asked: &Asked, form: &Form) -> Self {
        let call_sid = form.field("CallSid");
        let told = [asked.call_id.as_str(), form.field("callId")].into_iter().find(|id| !id.is_empty());
        if let Some(id) = told {
            match placing::find(app, id).await {
                Ok(Some(announced)) if app.registry.named(id, call_sid) => {
                    tell(app, id, ToMedia::Named(id.to_owned(), call_sid.to_owned()));
                    return Self { id: Some(id.to_owned()), announced: Some(announced) };
                }
                Ok(Some(_)) => tracing::warn!(call.id = id, call.sid = %call_sid, "webhook: its callId is another call's"),
                Ok(None) => {}
                Err(why) => tracing::error!(call.id = id, error = %why, "webhook: nobody can tell which call it is about"),
            }
        }
        let Some(id) = app.registry.id_of(call_sid) else { return Self::default() };
        Self { announced: app.registry.announced(&id), id: Some(id) }
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
pub(super) async fn voice(State(app): State<App>, Query(asked): Query<Asked>, axum::Extension(form): axum::Extension<Form>) -> Response {
    let call_sid = form.field("CallSid");
    if call_sid.is_empty() {
        return Problem::new(StatusCode::BAD_REQUEST, "the form names no CallSid").into_response();
    }
    let mut about = About::find(&app, &asked, &form).await;
    if about.announced.is_none() && !asked.call_id.is_empty() {
        return Problem::not_found("call").into_response();
    }
    let announced = about.announced.get_or_insert_with(|| inbound(&app, &form)).clone();
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
            tell(&app, &id, ToMedia::PutThrough(id.clone()));
            let next = next(&app, &form, &about).await;
            // Only now: a no may have come while it rang. The machine behind the fork knows in any case.
            let refused = about.state(&app).is_some_and(|state| state["consent"]["status"] == "REVOKED");
            let forks = status == ConsentStatus::Granted && !refused;
            forked(&app, &announced, forks, None, &next)
        }
        Some(ConsentStatus::Pending) | None => {
            let parameters = [("callId", id.as_str()), ("token", &announced.token), ("mode", "consent"), ("answeredBy", answered_by)];
            let (socket, status) = (socket_url(&app), format!("{}{STATUS}", app.public_url));
            let stream = Stream { url: &socket, parameters: &parameters, status_url: &status };
            xml(twiml::connect(&stream, &about.url(&app, CONNECTED, &[])))
        }
    }
}

/// Whether a thread owns the call, and has not let go of it.
fn lives(app: &App, call_id: &str) -> bool {
    app.registry.owner(call_id).is_some() && !app.registry.get(call_id).is_some_and(|live| live.is_over())
}

/// An inbound call: who the client is, the main app may tell as a form field; a caller id proves nothing.
fn inbound(app: &App, form: &Form) -> Announced {
    let call_sid = form.field("CallSid");
    let told = |name: &str, default: String| Some(form.field(name).to_owned()).filter(|value| !value.is_empty()).unwrap_or(default);
    let outbound = form.field("Direction").starts_with("outbound");
    app.registry.announce(Announced {
        identity: CallIdentity {
            call_id: ids::fresh("call"),
            call_sid: call_sid.to_owned(),
            client_id: told("clientId", format!("unknown-{call_sid}")),
            case_manager_id: told("caseManagerId", String::new()),
            org_id: told("orgId", "default".to_owned()),
            direction: if outbound { Direction::Outbound } else { Direction::Inbound },
        },
        token: ids::fresh("stream"),
        made: None,
    })
}

/// What is next, after the capture fork if it is to start.
fn forked(app: &App, announced: &Announced, forks: bool, line: Option<&Prompt>, next: &Next) -> Response {
    let parameters = [("callId", announced.identity.call_id.as_str()), ("token", &announced.token), ("mode", "capture")];
    let (socket, status) = (socket_url(app), format!("{}{STATUS}", app.public_url));
    let stream = Stream { url: &socket, parameters: &parameters, status_url: &status };
    xml(twiml::proceed(line, forks.then_some(&stream), next))
}

/// `POST /api/webhooks/twilio/connected`: the consent stream is over. With consent the fork is started, then the call goes where it should.
pub(super) async fn connected(
    State(app): State<App>,
    Query(asked): Query<Asked>,
    axum::Extension(form): axum::Extension<Form>,
) -> Response {
    let about = About::find(&app, &asked, &form).await;
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
        return gather(&app, &about, Language::En, 1);
    }
    let next = next(&app, &form, &about).await;
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
    xml(twiml::gather(app.world.settings.prompts.prompt(language, Line::Consent), &about.url(app, CONSENT, &query)))
}

/// `POST /api/webhooks/twilio/consent`: the keypad fallback. A 2 is answered when it is durable; a 1 that is durable may start
/// the fork after all. Silence grants nothing here: that a `<Gather>` ran out does not prove that anybody heard it (P4).
pub(super) async fn consent(State(app): State<App>, Query(asked): Query<Asked>, axum::Extension(form): axum::Extension<Form>) -> Response {
    let language = if asked.lang == "es" { Language::Es } else { Language::En };
    let digits = form.field("Digits");
    let key = digits.chars().next().and_then(Key::from_symbol);
    let pressed = key.map_or(Answer::Nothing, |key| keys::answer(key, true));
    let mut about = About::find(&app, &asked, &form).await;
    if asked.plays < PROMPT_PLAYS_MAX {
        match pressed {
            Answer::Spanish => return gather(&app, &about, Language::Es, asked.plays + 1),
            // A key that means nothing is no answer; no key at all is the end of the question.
            Answer::Nothing if !digits.is_empty() => return gather(&app, &about, language, asked.plays + 1),
            Answer::Accept | Answer::Decline | Answer::Nothing => {}
        }
    }
    if about.announced.is_none() {
        let announced = inbound(&app, &form);
        about = About { id: Some(announced.identity.call_id.clone()), announced: Some(announced) };
    }
    let in_time = match &about.announced {
        Some(announced) => tokio::time::timeout(DURABLE_WITHIN, pad(&app, announced, language, pressed)).await.is_ok(),
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
        let standing = match app.world.database.standing(&identity.org_id, &identity.client_id).await {
            Ok(row) => Standing { status: row.status, seen: row.seen },
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

/// Where a call goes. If the main app gives no answer that can be followed, Twilio asks it itself: the call lives on (P6).
async fn next(app: &App, form: &Form, about: &About) -> Next {
    if let Some(route) = about.made().and_then(|made| made.connect_to.clone()) {
        return Next::Dial(route);
    }
    let (call_id, state) = (about.id.as_deref(), about.state(app));
    let state = state.as_ref();
    let main_app = match (&app.config.inbound_route, &app.main_app) {
        (Some(InboundRoute::Dial(route)), _) => return Next::Dial(route.clone()),
        (Some(InboundRoute::Ask(_)), Some(main_app)) => main_app,
        (Some(InboundRoute::Ask(_)) | None, _) => return Next::Nobody,
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let status = state.map_or_else(|| "PENDING".to_owned(), |state| text(Some(&state["consent"]["status"])));
    let reason = text(state.map(|state| &state["unrecordedReason"]));
    let ours = [("callId", call_id.unwrap_or_default()), ("consentStatus", &status), ("unrecordedReason", &reason)];
    let mut fields = form.0.clone();
    fields.retain(|(name, _)| ours.iter().all(|(our, _)| our != name));
    fields.extend(ours.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // Signed as Twilio would sign it: what checks Twilio's requests in the main app checks ours.
    let signature = app.config.twilio_auth_token.as_ref();
    let signature = signature.map(|token| signature::sign(token.expose_secret(), main_app.url().as_str(), &fields));
    let why = match main_app.ask(&fields, signature).await.map(|text| Verbs::parse(&text)) {
        Ok(Ok(verbs)) => {
            if !verbs.taken_out().is_empty() {
                let what = verbs.taken_out().join(", ");
                tracing::warn!(
                    call.id = call_id,
                    "main app: its TwiML would record past consent; taken out: {what}. Leave recording to callgate"
                );
            }
            return Next::Verbs(verbs);
        }
        Ok(Err(why @ NotVerbs::OnlyListens(_))) => {
            tracing::error!(call.id = call_id, "main app: its TwiML is not followed: {why}");
            return Next::Nobody;
        }
        Ok(Err(why)) => why.to_string(),
        Err(why) => why.to_string(),
    };
    tracing::error!(
        call.id = call_id,
        "main app: no TwiML to follow from CALLGATE_INBOUND_ROUTE: {why}. Twilio is told to ask it itself; mend its answer, and give the number a fallback URL"
    );
    Next::Ask(main_app.url().with(&ours))
}

/// `POST /api/webhooks/twilio/status`: how calls and streams fare, and who answered.
pub(super) async fn status(State(app): State<App>, Query(asked): Query<Asked>, axum::Extension(form): axum::Extension<Form>) -> StatusCode {
    let call_sid = form.field("CallSid");
    if form.field("StreamEvent") == "stream-error" {
        tracing::warn!(call.sid = %call_sid, stream.sid = %form.field("StreamSid"), "twilio: stream error; see the account's debugger");
    }
    let about = About::find(&app, &asked, &form).await;
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
    let socket = app.public_url.replacen("http", "ws", 1);
    format!("{socket}/twilio/media")
}

fn xml(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], text).into_response()
}

/// The pairs of a form, decoded.
fn form(bytes: &[u8]) -> Vec<(String, String)> {
    serde_urlencoded::from_bytes(bytes).unwrap_or_default()
}
