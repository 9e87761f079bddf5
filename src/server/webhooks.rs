//! Twilio's webhooks: signed forms in, TwiML out. Asked twice, the same is answered. Capture needs a decision that this
//! gateway heard; whatever is not known leads to an unrecorded call, never to a dropped one (P6).

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::config::InboundRoute;
use super::http::App;
use super::ids;
use super::media::ToMedia;
use super::problem::Problem;
use super::registry::Announced;
use crate::engine::audio::prompts::{Language, Line};
use crate::engine::call::CallIdentity;
use crate::engine::consent::Direction;
use crate::engine::twilio::signature;
use crate::engine::twilio::twiml::{self, Next, Stream};
use crate::engine::twilio::verbs::{NotVerbs, Verbs};

/// Twilio's forms are a few kilobytes.
const FORM_MAX: usize = 64 * 1024;
const CONNECTED: &str = "/api/webhooks/twilio/connected";
const CONSENT: &str = "/api/webhooks/twilio/consent";
const STATUS: &str = "/api/webhooks/twilio/status";

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

/// `POST /api/webhooks/twilio/voice`: a call is answered with the TwiML that connects its consent stream.
pub(super) async fn voice(State(app): State<App>, axum::Extension(form): axum::Extension<Form>) -> Response {
    let call_sid = form.field("CallSid");
    if call_sid.is_empty() {
        return Problem::new(StatusCode::BAD_REQUEST, "the form names no CallSid").into_response();
    }
    let announced = app.registry.id_of(call_sid).and_then(|id| app.registry.announced(&id)).unwrap_or_else(|| {
        // An inbound call: who the client is, the main app may tell as a query parameter; a caller id proves nothing.
        let told = |name: &str, default: String| Some(form.field(name).to_owned()).filter(|value| !value.is_empty()).unwrap_or(default);
        let outbound = form.field("Direction").starts_with("outbound");
        let announced = Announced {
            identity: CallIdentity {
                call_id: ids::fresh("call"),
                call_sid: call_sid.to_owned(),
                client_id: told("clientId", format!("unknown-{call_sid}")),
                case_manager_id: told("caseManagerId", String::new()),
                org_id: told("orgId", "default".to_owned()),
                direction: if outbound { Direction::Outbound } else { Direction::Inbound },
            },
            token: ids::fresh("stream"),
            answered_by: Some(form.field("AnsweredBy").to_owned()).filter(|by| !by.is_empty()),
        };
        app.registry.announce(announced.clone());
        announced
    });
    let socket = socket_url(&app);
    let status = format!("{}{STATUS}", app.public_url);
    let answered_by = announced.answered_by.clone().unwrap_or_default();
    let parameters =
        [("callId", announced.identity.call_id.as_str()), ("token", &announced.token), ("mode", "consent"), ("answeredBy", &answered_by)];
    let stream = Stream { url: &socket, parameters: &parameters, status_url: &status };
    xml(twiml::connect(&stream, &format!("{}{CONNECTED}", app.public_url)))
}

/// `POST /api/webhooks/twilio/connected`: the consent stream is over. With consent the fork is started, then the call goes where it should.
pub(super) async fn connected(State(app): State<App>, axum::Extension(form): axum::Extension<Form>) -> Response {
    if app.config.inbound_route.is_none() {
        return xml(twiml::proceed(None, None, &Next::Nobody));
    }
    let id = app.registry.id_of(form.field("CallSid"));
    let live = id.as_deref().and_then(|id| app.registry.get(id));
    let announced = id.as_deref().and_then(|id| app.registry.announced(id));
    let (Some(live), Some(announced)) = (live, announced) else {
        // The stream was never opened, or its call is over: Twilio asks by keypad, and nothing is captured.
        if id.as_deref().is_some_and(|id| app.registry.announced(id).is_some()) {
            return xml(twiml::gather(
                app.world.settings.prompts.prompt(Language::En, Line::Consent),
                &format!("{}{CONSENT}", app.public_url),
            ));
        }
        let next = next(&app, &form, id.as_deref(), None).await;
        return xml(twiml::proceed(None, None, &next));
    };
    let next = next(&app, &form, id.as_deref(), Some(&live.json())).await;
    // Only now: a no may have come while the main app was asked.
    let state = live.json();
    let granted = state["consent"]["status"] == "GRANTED" && state["unrecordedReason"].is_null();
    let socket = socket_url(&app);
    let status = format!("{}{STATUS}", app.public_url);
    let parameters = [("callId", announced.identity.call_id.as_str()), ("token", &announced.token), ("mode", "capture")];
    let stream = Stream { url: &socket, parameters: &parameters, status_url: &status };
    xml(twiml::proceed(None, granted.then_some(&stream), &next))
}

/// `POST /api/webhooks/twilio/consent`: the keypad fallback. Its answer connects the call; capture stays shut, since the stream
/// that would carry the audio could not be opened.
pub(super) async fn consent(State(app): State<App>, request: Request) -> Response {
    let Some(form) = request.extensions().get::<Form>().cloned() else { return Problem::not_found("route").into_response() };
    let spanish = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "lang=es"));
    let language = if spanish { Language::Es } else { Language::En };
    let line = match form.field("Digits") {
        "9" if !spanish => {
            let question = app.world.settings.prompts.prompt(Language::Es, Line::Consent);
            return xml(twiml::gather(question, &format!("{}{CONSENT}?lang=es", app.public_url)));
        }
        "2" => Line::Declined,
        _ => Line::Granted,
    };
    let id = app.registry.id_of(form.field("CallSid"));
    let next = next(&app, &form, id.as_deref(), None).await;
    xml(twiml::proceed(Some(app.world.settings.prompts.prompt(language, line)), None, &next))
}

/// Where a call goes. If the main app gives no answer that can be followed, Twilio asks it itself: the call lives on (P6).
async fn next(app: &App, form: &Form, call_id: Option<&str>, state: Option<&Value>) -> Next {
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

/// `POST /api/webhooks/twilio/status`: how calls and streams fare.
pub(super) async fn status(State(app): State<App>, axum::Extension(form): axum::Extension<Form>) -> StatusCode {
    let call_sid = form.field("CallSid");
    if form.field("StreamEvent") == "stream-error" {
        tracing::warn!(call.sid = %call_sid, stream.sid = %form.field("StreamSid"), "twilio: stream error; see the account's debugger");
    }
    let over = matches!(form.field("CallStatus"), "completed" | "busy" | "failed" | "no-answer" | "canceled");
    let machine = form.field("AnsweredBy");
    let id = app.registry.id_of(call_sid);
    if let Some(live) = id.as_deref().and_then(|id| app.registry.get(id)) {
        let call_id = live.identity.call_id.clone();
        if over {
            live.owner.send(ToMedia::HungUp(call_id));
        } else if machine.starts_with("machine") || machine == "fax" {
            live.owner.send(ToMedia::Machine(call_id));
        }
    } else if let (true, Some(id)) = (over, id) {
        app.registry.forget(&id, call_sid);
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
