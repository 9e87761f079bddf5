//! The main app as Twilio's calls find it: a real HTTP server that is asked where a call goes, and every way in which it fails.

use std::sync::{Arc, Mutex};

use crate::common::twilio::{Phone, Twilio, attribute};
use crate::common::{Caller, Rig};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use callgate::engine::twilio::signature;
use callgate::server::Given;
use serde_json::json;
use tokio::net::TcpListener;

const DIAL: &str = r#"<?xml version="1.0"?><Response><Say>One moment.</Say><Dial timeout="20"><Queue>support</Queue></Dial></Response>"#;
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What the main app does when it is asked.
#[derive(Clone)]
enum Answer {
    Twiml(StatusCode, String),
    Elsewhere(String),
    Never,
    Endless,
}

#[derive(Clone)]
struct MainApp {
    answer: Answer,
    asked: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    url: String,
}

impl MainApp {
    async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/route?line=1", listener.local_addr().unwrap());
        let app = Self { answer, asked: Arc::default(), url };
        let router = Router::new().route("/route", post(answer_route)).with_state(app.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        app
    }

    fn asked(&self) -> Vec<(HeaderMap, Vec<(String, String)>)> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(headers, body)| (headers.clone(), serde_urlencoded::from_str(body).unwrap())).collect()
    }
}

async fn answer_route(State(app): State<MainApp>, headers: HeaderMap, body: String) -> Response {
    app.asked.lock().unwrap().push((headers, body));
    match app.answer {
        Answer::Twiml(status, text) => (status, [(header::CONTENT_TYPE, "text/xml")], text).into_response(),
        Answer::Elsewhere(url) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, url)]).into_response(),
        Answer::Never => std::future::pending().await,
        Answer::Endless => {
            let piece = || Ok::<_, std::io::Error>(axum::body::Bytes::from(vec![b' '; 16 * 1024]));
            axum::body::Body::from_stream(futures_util::stream::repeat_with(piece)).into_response()
        }
    }
}

fn field<'a>(form: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    form.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
}

async fn post_form(rig: &Rig, path: &str, fields: &[(&str, &str)]) -> String {
    let url = format!("http://{}{path}", rig.address());
    let answer = reqwest::Client::new().post(url).form(fields).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    answer.text().await.unwrap()
}

async fn gateway(app: &MainApp) -> Rig {
    Rig::start(Given { inbound_route: Some(app.url.clone()), ..Given::default() }).await
}

/// A call whose caller pressed `key`, as far as its `<Connect>` action.
async fn decided(rig: &Rig, sid: &str, key: &str) -> Caller {
    let twiml = post_form(rig, "/api/webhooks/twilio/voice", &[("CallSid", sid), ("Direction", "inbound")]).await;
    let parameter = |name: &str| {
        let rest = twiml.split_once(&format!(r#"name="{name}" value=""#)).unwrap().1;
        rest.split_once('"').unwrap().0.to_owned()
    };
    let mut caller = Caller::connect(rig.address(), sid, json!({ "callId": parameter("callId"), "token": parameter("token") })).await;
    caller.frames(250).await;
    caller.key(key).await;
    let wanted = if key == "1" { "GRANTED" } else { "REVOKED" };
    rig.call(sid, |call| call["consent"]["status"] == wanted).await;
    caller
}

async fn connected(rig: &Rig, sid: &str) -> String {
    post_form(rig, "/api/webhooks/twilio/connected", &[("CallSid", sid), ("From", "+14158675309"), ("consentStatus", "GRANTED")]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_apps_verbs_follow_our_fork_and_it_is_told_where_consent_stands() {
    let app = MainApp::start(Answer::Twiml(StatusCode::OK, DIAL.into())).await;
    let given = Given {
        inbound_route: Some(app.url.clone()),
        twilio_auth_token: Some(TOKEN.into()),
        twilio_validate: Some("false".into()),
        unannounced: Some("true".into()),
        ..Given::default()
    };
    let rig = Rig::start(given).await;
    let _yes = decided(&rig, "CAyes", "1").await;
    let twiml = connected(&rig, "CAyes").await;
    let (fork, rest) = twiml.split_once("</Start>").unwrap_or_else(|| panic!("{twiml}"));
    assert!(fork.contains(r#"track="both_tracks""#) && fork.contains(r#"value="capture""#), "{twiml}");
    assert_eq!(rest, r#"<Say>One moment.</Say><Dial timeout="20"><Queue>support</Queue></Dial></Response>"#);

    let _no = decided(&rig, "CAno", "2").await;
    let twiml = connected(&rig, "CAno").await;
    assert!(!twiml.contains("<Stream") && twiml.contains("<Queue>support</Queue>"), "no fork without consent: {twiml}");

    let asked = app.asked();
    for ((headers, form), (sid, status, reason)) in asked.iter().zip([("CAyes", "GRANTED", ""), ("CAno", "REVOKED", "CLIENT_OPT_OUT")]) {
        let call = rig.call(sid, |_| true).await;
        assert_eq!(field(form, "callId"), [call["callId"].as_str().unwrap()]);
        assert_eq!((field(form, "CallSid"), field(form, "From")), (vec![sid], vec!["+14158675309"]), "what Twilio sent goes along");
        assert_eq!(field(form, "consentStatus"), [status], "ours, and not one that was slipped into the form");
        assert_eq!(field(form, "unrecordedReason"), [reason]);
        let told = headers.get("x-twilio-signature").unwrap().to_str().unwrap();
        assert_eq!(told, signature::sign(TOKEN, &app.url, form), "what checks Twilio's requests checks ours");
    }
    assert_eq!(asked.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_main_app_that_fails_costs_nobody_their_call() {
    let elsewhere = MainApp::start(Answer::Twiml(StatusCode::OK, DIAL.into())).await;
    let long = format!("<Response><Say>{}</Say></Response>", "x".repeat(64 * 1024));
    let failures = [
        ("an error", Answer::Twiml(StatusCode::INTERNAL_SERVER_ERROR, DIAL.into())),
        ("a page", Answer::Twiml(StatusCode::OK, "<html><body>Sign in</body></html>".into())),
        ("half a document", Answer::Twiml(StatusCode::OK, DIAL[..80].into())),
        ("nothing to do", Answer::Twiml(StatusCode::OK, "<Response/>".into())),
        ("nothing at all", Answer::Twiml(StatusCode::OK, String::new())),
        ("too much", Answer::Twiml(StatusCode::OK, long)),
        ("no end", Answer::Endless),
        ("a redirect", Answer::Elsewhere(elsewhere.url.clone())),
        ("silence", Answer::Never),
    ];
    for (n, (what, answer)) in failures.into_iter().enumerate() {
        let app = MainApp::start(answer).await;
        let rig = gateway(&app).await;
        let sid = format!("CAfail{n}");
        let _caller = decided(&rig, &sid, "1").await;
        let twiml = connected(&rig, &sid).await;
        let call = rig.call(&sid, |_| true).await;
        let url = format!("{}&callId={}&consentStatus=GRANTED&unrecordedReason=", app.url, call["callId"].as_str().unwrap());
        let redirect = format!("<Redirect>{}</Redirect></Response>", url.replace('&', "&amp;"));
        assert!(twiml.ends_with(&redirect), "{what}: Twilio asks the main app itself: {twiml}");
        assert!(twiml.contains(r#"track="both_tracks""#), "{what}: consent stands, so its fork starts: {twiml}");
        assert_eq!(app.asked().len(), 1, "{what}");
    }
    assert!(elsewhere.asked().is_empty(), "redirects are not followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_main_app_that_is_not_there_costs_nobody_their_call() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let rig = Rig::start(Given { inbound_route: Some(format!("http://{gone}/route")), ..Given::default() }).await;
    let twiml = connected(&rig, "CAunknown").await;
    assert!(twiml.contains(&format!("<Redirect>http://{gone}/route?callId=&amp;consentStatus=PENDING")), "{twiml}");
    assert!(!twiml.contains("<Stream"), "of a call that nobody knows nothing is captured");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keypad_fallback_asks_the_main_app_as_well() {
    let app = MainApp::start(Answer::Twiml(StatusCode::OK, DIAL.into())).await;
    let rig = gateway(&app).await;
    post_form(&rig, "/api/webhooks/twilio/voice", &[("CallSid", "CApad"), ("Direction", "inbound")]).await;
    assert!(connected(&rig, "CApad").await.contains("<Gather"));
    let twiml = post_form(&rig, "/api/webhooks/twilio/consent", &[("CallSid", "CApad"), ("Digits", "1")]).await;
    assert!(twiml.contains("being connected.</Say><Start><Stream"), "a durable yes may start the fork after all: {twiml}");
    assert!(twiml.contains("</Start><Say>One moment.</Say><Dial"), "{twiml}");
    post_form(&rig, "/api/webhooks/twilio/voice", &[("CallSid", "CAquiet"), ("Direction", "inbound")]).await;
    let twiml = post_form(&rig, "/api/webhooks/twilio/consent", &[("CallSid", "CAquiet"), ("Digits", "")]).await;
    assert!(twiml.contains("being connected.</Say><Say>One moment.</Say><Dial") && !twiml.contains("<Stream"), "{twiml}");
    let told: Vec<_> = app.asked().iter().map(|(_, form)| field(form, "consentStatus").join("")).collect();
    assert_eq!(told, ["GRANTED", "PENDING"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_would_record_or_carry_audio_past_consent_is_followed_without_that() {
    let sly = r#"<Response><Start><Recording/></Start><Dial record="record-from-answer"><Number>+16175550123</Number></Dial></Response>"#;
    let app = MainApp::start(Answer::Twiml(StatusCode::OK, sly.into())).await;
    let rig = gateway(&app).await;
    let _caller = decided(&rig, "CAsly", "2").await;
    let twiml = connected(&rig, "CAsly").await;
    assert!(twiml.ends_with("<Response><Dial><Number>+16175550123</Number></Dial></Response>"), "{twiml}");

    // Nor goes what a client has said no to, or yes, to whoever listens: by a stream, a relay, or Twilio's recogniser.
    let away = concat!(
        r#"<Response><Connect><Stream url="wss://elsewhere.example/listen"/></Connect><Connect><ConversationRelay url="wss://elsewhere.example/bot"/></Connect>"#,
        r#"<Gather input="speech dtmf" action="/x"><Say>Say yes.</Say></Gather></Response>"#
    );
    let app = MainApp::start(Answer::Twiml(StatusCode::OK, away.into())).await;
    let rig = gateway(&app).await;
    for (sid, key) in [("CAaway", "2"), ("CAhere", "1")] {
        let _caller = decided(&rig, sid, key).await;
        let twiml = connected(&rig, sid).await;
        assert!(!twiml.contains("elsewhere") && !twiml.contains("<Connect") && !twiml.contains("speech"), "{key}: {twiml}");
        assert!(twiml.ends_with(r#"<Gather input="dtmf" action="/x"><Say>Say yes.</Say></Gather></Response>"#), "{key}: {twiml}");
        assert_eq!(twiml.contains("<Stream"), key == "1", "a fork of ours, by consent: {twiml}");
    }

    let voicemail = MainApp::start(Answer::Twiml(StatusCode::OK, "<Response><Record/></Response>".into())).await;
    let rig = gateway(&voicemail).await;
    let _caller = decided(&rig, "CAmail", "2").await;
    let twiml = connected(&rig, "CAmail").await;
    assert!(!twiml.contains("Record") && !twiml.contains("Redirect") && twiml.contains("<Hangup/>"), "{twiml}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nul_in_a_form_or_a_url_of_twilios_fails_no_call() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(Given { inbound_route: Some("client:anna".into()), ..twilio.given() }).await;
    let phone = Phone::inbound("CA00000000000000000000000000000a00");
    let fields = [("Direction", "inbound"), ("clientId", "c\0"), ("SomethingNew", "a\0b"), ("a\0", "b"), ("AnsweredBy", "hum\0an")];
    let twiml = phone.voice(&rig, &fields).await;
    assert!(twiml.contains("<Connect") && !twiml.contains('\0'), "{twiml}");
    let url = format!("{}?callId=call%00", phone.told("Url")[0]);
    assert_eq!(phone.ask(&rig, &url, &[]).await, (200, twiml.clone()), "no URL of ours: it is as if it was not there");
    let mut caller = phone.stream(&rig, &twiml).await;
    caller.frames(250).await;
    caller.key("1").await;
    let call = rig.call(&phone.sid, |call| call["consent"]["status"] == "GRANTED").await;
    assert_eq!(call["clientId"], format!("unknown-{}", phone.sid), "a client's id that no row can have is none");
    drop(caller);
    let action = attribute(&twiml, "Connect", "action");
    let (status, next) = phone.ask(&rig, &action, &[("Digits", "\0")]).await;
    assert!(status == 200 && next.contains("<Client>anna</Client>"), "{next}");
    phone.status(&rig, "completed").await;
}
