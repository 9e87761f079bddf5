//! A stand-in for Twilio: its REST API, which checks what it is asked, and its telephones, which do what Twilio does with a call.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use callgate::engine::twilio::signature;
use callgate::server::Given;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::{Caller, Door, Rig};

pub const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";
pub const FROM: &str = "+16175550100";
/// How Twilio sees the gateway; telephones know where it really listens.
pub const PUBLIC: &str = "https://gate.example.com";

/// What the REST API does with a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    Takes,
    /// HTTP's status and Twilio's code.
    Refuses(u16, u32),
    /// Refuses once, then takes.
    RefusesOnce(u16, u32),
    /// Takes it, and never says so.
    Silent,
    /// Takes it, and says something else.
    Garbled,
}

#[derive(Clone)]
pub struct Twilio {
    pub url: String,
    state: Arc<Mutex<Seen>>,
}

struct Seen {
    mood: Mood,
    asked: u32,
    /// Of each call that Twilio placed: its form, and the id that Twilio gave it.
    placed: Vec<(Vec<(String, String)>, String)>,
    /// Of each live call that was given new TwiML: its id, and the TwiML.
    updated: Vec<(String, String)>,
    /// Live calls that were hung up on.
    ended: Vec<String>,
}

impl Twilio {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(Seen { mood: Mood::Takes, asked: 0, placed: Vec::new(), updated: Vec::new(), ended: Vec::new() }));
        let router = Router::new()
            .route("/2010-04-01/Accounts/{account}/Calls.json", post(create))
            .route("/2010-04-01/Accounts/{account}/Calls/{call}", post(update))
            .with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, state }
    }

    /// A gateway's configuration with this Twilio.
    pub fn given(&self) -> Given {
        let text = |text: &str| Some(text.to_owned());
        Given {
            twilio_account_sid: text(ACCOUNT),
            twilio_auth_token: text(TOKEN),
            twilio_from: text(FROM),
            twilio_api_url: text(&self.url),
            public_url: text(PUBLIC),
            ..Given::default()
        }
    }

    pub fn is(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    /// Requests so far.
    pub fn asked(&self) -> u32 {
        self.state.lock().unwrap().asked
    }

    /// Calls that were placed so far.
    pub fn placed(&self) -> usize {
        self.state.lock().unwrap().placed.len()
    }

    /// Of each live call that was given new TwiML so far: its id, and the TwiML.
    pub fn updated(&self) -> Vec<(String, String)> {
        self.state.lock().unwrap().updated.clone()
    }

    /// Live calls that were hung up on so far.
    pub fn ended(&self) -> Vec<String> {
        self.state.lock().unwrap().ended.clone()
    }

    /// The telephone of the newest call.
    pub fn phone(&self) -> Phone {
        let (form, sid) = self.state.lock().unwrap().placed.last().unwrap().clone();
        Phone { form, sid }
    }
}

/// New TwiML for a live call, as Twilio takes it: inline, and short.
async fn update(State(seen): State<Arc<Mutex<Seen>>>, Path((account, call)): Path<(String, String)>, body: String) -> Response {
    let mood = {
        let mut seen = seen.lock().unwrap();
        seen.asked += 1;
        let form: std::collections::HashMap<String, String> = serde_urlencoded::from_str(&body).unwrap();
        let call = call.strip_suffix(".json").unwrap().to_owned();
        if form.get("Status").is_some_and(|status| status == "completed") {
            seen.ended.push(call);
            return Json(json!({ "sid": "CA", "status": "completed" })).into_response();
        }
        let twiml = form["Twiml"].clone();
        assert!(account == ACCOUNT && twiml.len() <= 4_000 && twiml.starts_with("<?xml"), "{twiml}");
        let mood = seen.mood;
        if mood == Mood::Takes {
            seen.updated.push((call, twiml));
        }
        mood
    };
    match mood {
        Mood::Refuses(status, code) | Mood::RefusesOnce(status, code) => {
            (StatusCode::from_u16(status).unwrap(), Json(json!({ "code": code, "message": format!("what {code} means") }))).into_response()
        }
        Mood::Silent => std::future::pending().await,
        Mood::Garbled => (StatusCode::OK, "<html>Sign in</html>").into_response(),
        Mood::Takes => Json(json!({ "sid": "CA", "status": "in-progress" })).into_response(),
    }
}

async fn create(State(seen): State<Arc<Mutex<Seen>>>, Path(account): Path<String>, headers: HeaderMap, body: String) -> Response {
    let refusal = |status: u16, code: u32| {
        let body = json!({ "code": code, "message": format!("what {code} means"), "more_info": "…", "status": status });
        (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
    };
    let basic = format!("Basic {}", base64_simd::STANDARD.encode_to_string(format!("{ACCOUNT}:{TOKEN}")));
    let mood = {
        let mut seen = seen.lock().unwrap();
        seen.asked += 1;
        if account != ACCOUNT || headers.get("authorization").is_none_or(|told| *told != basic) {
            return refusal(401, 20003);
        }
        match seen.mood {
            Mood::Refuses(status, code) => return refusal(status, code),
            Mood::RefusesOnce(status, code) => {
                seen.mood = Mood::Takes;
                return refusal(status, code);
            }
            Mood::Takes | Mood::Silent | Mood::Garbled => {}
        }
        let form: Vec<(String, String)> = serde_urlencoded::from_str(&body).unwrap();
        let fallback = form.iter().find(|(name, _)| name == "FallbackUrl");
        assert!(fallback.is_none_or(|(_, url)| url.starts_with("https://") && !url.starts_with(PUBLIC)), "it dies with us: {fallback:?}");
        let sid = format!("CA{:032x}", seen.placed.len() + 0xca11);
        seen.placed.push((form, sid.clone()));
        (seen.mood, sid)
    };
    match mood {
        (Mood::Silent, _) => std::future::pending().await,
        (Mood::Garbled, _) => (StatusCode::OK, "<html>Sign in</html>").into_response(),
        (_, sid) => (StatusCode::CREATED, Json(json!({ "sid": sid, "status": "queued", "account_sid": ACCOUNT }))).into_response(),
    }
}

/// A call at Twilio's end.
pub struct Phone {
    form: Vec<(String, String)>,
    pub sid: String,
}

impl Phone {
    /// The telephone of somebody who calls in.
    pub fn inbound(sid: &str) -> Self {
        let form =
            [("Url", format!("{PUBLIC}/api/webhooks/twilio/voice")), ("StatusCallback", format!("{PUBLIC}/api/webhooks/twilio/status"))];
        Self { form: form.map(|(name, value)| (name.to_owned(), value)).to_vec(), sid: sid.to_owned() }
    }

    /// The telephone of the `n`th call that was placed.
    pub fn placed(twilio: &Twilio, n: usize) -> Self {
        let (form, sid) = twilio.state.lock().unwrap().placed[n].clone();
        Self { form, sid }
    }

    /// What the REST API was told under this name.
    pub fn told(&self, name: &str) -> Vec<&str> {
        self.form.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Asks one of the gateway's URLs, as Twilio signs it.
    pub async fn ask<'a>(&self, gateway: impl Into<Door<'a>>, url: &str, fields: &[(&str, &str)]) -> (u16, String) {
        self.ask_at(gateway.into().address, url, fields).await
    }

    /// The same of whatever gateway listens there.
    pub async fn ask_at(&self, address: SocketAddr, url: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let fields: Vec<_> = [("CallSid", self.sid.as_str()), ("AccountSid", ACCOUNT)].into_iter().chain(fields.iter().copied()).collect();
        let path = url.strip_prefix(PUBLIC).unwrap_or_else(|| panic!("{url}: not the gateway's public URL"));
        let request = reqwest::Client::new().post(format!("http://{address}{path}"));
        let answer = request.header("x-twilio-signature", signature::sign(TOKEN, url, &fields)).form(&fields).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Somebody answers, or calls: the voice webhook's TwiML.
    pub async fn voice<'a>(&self, gateway: impl Into<Door<'a>>, fields: &[(&str, &str)]) -> String {
        let (status, twiml) = self.ask(gateway, self.told("Url")[0], fields).await;
        assert_eq!(status, 200, "{twiml}");
        twiml
    }

    pub async fn status<'a>(&self, gateway: impl Into<Door<'a>>, status: &str) {
        assert_eq!(self.ask(gateway, self.told("StatusCallback")[0], &[("CallStatus", status)]).await.0, 204);
    }

    /// Twilio's screening has heard who answered.
    pub async fn screened<'a>(&self, gateway: impl Into<Door<'a>>, answered_by: &str) {
        let url = self.told("AsyncAmdStatusCallback")[0];
        assert_eq!(self.ask(gateway, url, &[("AnsweredBy", answered_by), ("MachineDetectionDuration", "2300")]).await.0, 204);
    }

    /// Opens the stream that this TwiML names, with its parameters.
    pub async fn stream<'a>(&self, gateway: impl Into<Door<'a>>, twiml: &str) -> Caller {
        self.stream_at(gateway.into().address, twiml).await
    }

    /// The same at whatever gateway listens there.
    pub async fn stream_at(&self, address: SocketAddr, twiml: &str) -> Caller {
        let url = attribute(twiml, "Stream", "url");
        let path = url.strip_prefix("wss://gate.example.com").unwrap();
        let none: &[(&str, &str)] = &[];
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        request.headers_mut().insert("x-twilio-signature", signature::sign(TOKEN, &url, none).parse().unwrap());
        let mut parameters = json!({});
        for tag in twiml.split("<Parameter ").skip(1) {
            parameters[value_of(tag, "name")] = json!(value_of(tag, "value"));
        }
        Caller::over(request, &self.sid, parameters).await
    }
}

/// An attribute of the first such tag, as XML means it.
pub fn attribute(twiml: &str, tag: &str, name: &str) -> String {
    value_of(twiml.split_once(&format!("<{tag} ")).unwrap_or_else(|| panic!("no <{tag}> in {twiml}")).1, name)
}

fn value_of(tag: &str, name: &str) -> String {
    let tag = tag.split_once('>').unwrap().0;
    let rest = format!(" {tag}");
    let value = rest.split_once(&format!(" {name}=\"")).unwrap_or_else(|| panic!("no {name} in {tag}")).1;
    value
        .split_once('"')
        .unwrap()
        .0
        .replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

impl Rig {
    /// `POST /api/calls`.
    pub async fn initiate(&self, body: &Value, key: Option<&str>) -> (u16, Value) {
        self.initiate_as(body, key, &self.token).await
    }

    pub async fn initiate_as(&self, body: &Value, key: Option<&str>, token: &str) -> (u16, Value) {
        let mut request = reqwest::Client::new().post(format!("http://{}/api/calls", self.address())).bearer_auth(token).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let kind = answer.headers().get("content-type").unwrap().to_str().unwrap().to_owned();
        assert_eq!(kind.starts_with("application/problem+json"), status >= 400, "{status}: {kind}");
        (status, answer.json().await.unwrap())
    }

    /// A call by its id, once it is as wanted.
    pub async fn by_id(&self, id: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/calls/{}", id.as_str().unwrap());
        let mut last = Value::Null;
        for _ in 0..400 {
            last = self.get(&path).await.1;
            if wanted(&last) {
                return last;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("the call never came to be as wanted: {last}");
    }

    /// What the chain says of a call, kind by kind.
    pub async fn chain_of(&self, id: &Value) -> Vec<Value> {
        let (_, log) = self.get(&format!("/api/audit?limit=1000&callId={}", id.as_str().unwrap())).await;
        log["entries"].as_array().unwrap().iter().map(|entry| entry["entry"].clone()).collect()
    }
}

impl Caller {
    /// Hears the whole prompt out, as Twilio plays it, and says that it was played.
    pub async fn hears_it_out(&mut self) {
        self.frames(640).await;
        self.listen(std::time::Duration::from_millis(400)).await;
        let marks: Vec<Value> = self.heard.iter().filter(|said| said["event"] == "mark").map(|said| said["mark"].clone()).collect();
        assert!(!marks.is_empty(), "the prompt ends with a mark");
        for mark in marks {
            let sid = format!("MZ{}", self.sid);
            self.say(json!({ "event": "mark", "sequenceNumber": "9000", "streamSid": sid, "mark": mark })).await;
        }
        self.frames(5).await;
    }

    /// Whether any audio was played into the stream.
    pub fn was_played_to(&self) -> bool {
        self.heard.iter().any(|said| said["event"] == "media")
    }
}
