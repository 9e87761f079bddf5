//! Events as the main app receives them: a real receiver that fails in every way that receivers do, and checks each
//! signature by another implementation than ours.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::common::{Caller, Rig, Served};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use base64::Engine as _;
use callgate::server::Given;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What the receiver does with its next post.
#[derive(Clone)]
enum Answer {
    Take,
    Say(u16),
    Elsewhere(String),
    Never,
}

/// A post that was taken, or not.
#[derive(Clone, Debug)]
struct Got {
    id: String,
    kind: String,
    call: String,
    data: Value,
    taken: bool,
}

#[derive(Clone, Default)]
struct Receiver {
    /// It never takes a post whose id ends so.
    refuses: Option<&'static str>,
    /// Answers to come, then everything is taken.
    answers: Arc<Mutex<VecDeque<Answer>>>,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Receiver {
    async fn start(answers: impl IntoIterator<Item = Answer>) -> (Self, String) {
        let receiver = Self { refuses: None, answers: Arc::new(Mutex::new(answers.into_iter().collect())), got: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        receiver.clone().serve(listener);
        (receiver, url)
    }

    fn serve(self, listener: TcpListener) {
        let router = Router::new().route("/events", post(take)).with_state(self);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    }

    fn taken(&self) -> Vec<Got> {
        self.got.lock().unwrap().iter().filter(|got| got.taken).cloned().collect()
    }

    /// What was taken, once it is as wanted.
    async fn once(&self, wanted: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        // Six failures in a row pause for half a minute, and one of them for the ten seconds of a receiver that hangs.
        for _ in 0..4_000 {
            let taken = self.taken();
            if wanted(&taken) {
                return taken;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never as wanted: {:#?}", self.got.lock().unwrap());
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> Response {
    let id = check(&headers, &body).to_owned();
    let told: Value = serde_json::from_str(&body).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let answer = match receiver.refuses {
        Some(end) if id.ends_with(end) => Answer::Say(500),
        Some(_) | None => receiver.answers.lock().unwrap().pop_front().unwrap_or(Answer::Take),
    };
    let got = Got {
        id,
        kind: text(&told["type"]),
        call: text(&told["data"]["callId"]),
        data: told["data"].clone(),
        taken: matches!(answer, Answer::Take),
    };
    assert!(told["timestamp"].as_str().unwrap().ends_with('Z'), "{told}");
    receiver.got.lock().unwrap().push(got);
    match answer {
        Answer::Take => StatusCode::NO_CONTENT.into_response(),
        Answer::Say(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Elsewhere(url) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, url)]).into_response(),
        Answer::Never => std::future::pending().await,
    }
}

/// As the scheme's specification says, by aws-lc.
fn check<'a>(headers: &'a HeaderMap, body: &str) -> &'a str {
    let told = |name: &str| headers.get(name).unwrap_or_else(|| panic!("{name} is missing")).to_str().unwrap();
    let (id, at, signature) = (told("webhook-id"), told("webhook-timestamp"), told("webhook-signature"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(at.parse::<u64>().unwrap().abs_diff(now) < 300, "it is of now, at every try");
    let base64 = base64::engine::general_purpose::STANDARD;
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &base64.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap());
    let signature = base64.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
    aws_lc_rs::hmac::verify(&key, format!("{id}.{at}.{body}").as_bytes(), &signature).expect("signed by who knows the secret");
    id
}

fn given(url: &str) -> Given {
    Given { webhook_url: Some(url.to_owned()), webhook_secret: Some(SECRET.to_owned()), ..Given::default() }
}

/// A call that is asked, answered with a key or with none, and over.
async fn call(address: SocketAddr, sid: &str, key: &str) {
    let mut caller =
        Caller::connect(address, sid, json!({ "mode": "stay", "clientId": format!("client-{sid}"), "caseManagerId": "cm" })).await;
    caller.frames(100).await;
    if !key.is_empty() {
        caller.key(key).await;
        caller.frames(100).await;
    }
    caller.stop().await;
    // What the gateway says is taken in until it is gone: a socket dropped with unread words would take our own with it.
    caller.raw(Message::Close(None)).await;
    let closed = async { while caller.listen(Duration::from_millis(250)).await {} };
    tokio::time::timeout(Duration::from_secs(20), closed).await.expect("the gateway closes as well");
}

fn of<'a>(got: &'a [Got], sid: &str) -> Vec<&'a Got> {
    got.iter().filter(|got| got.data["callSid"] == sid).collect()
}

/// Every event of a call once, in the order in which its states were.
fn in_order(posts: &[&Got]) {
    let ids: std::collections::BTreeSet<_> = posts.iter().map(|got| &got.id).collect();
    assert_eq!(ids.len(), posts.len(), "no event twice: {posts:#?}");
    let place = |got: &Got| {
        let (rest, n) = got.id.rsplit_once('_').unwrap();
        (rest.rsplit_once('_').unwrap().1.parse::<u32>().unwrap(), n.parse::<u32>().unwrap())
    };
    let places: Vec<_> = posts.iter().map(|got| place(got)).collect();
    assert!(places.is_sorted(), "{places:?}");
    let versions: std::collections::BTreeSet<_> = places.iter().map(|(version, _)| *version).collect();
    assert!(versions.iter().copied().eq(1..=versions.len() as u32), "no event is left out: {places:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_posted_signed_and_in_its_calls_order() {
    let (receiver, url) = Receiver::start([]).await;
    let rig = Rig::start(given(&url)).await;
    let mut yes = Caller::talking(&rig, "CAyes").await;
    yes.frames(50).await;
    yes.stop().await;
    call(rig.address(), "CAno", "2").await;
    call(rig.address(), "CAgone", "").await;
    let has = |got: &[Got], sid: &str, kind: &str| of(got, sid).iter().any(|got| got.kind == kind);
    let taken = receiver
        .once(|got| {
            has(got, "CAyes", "recording.finished") && has(got, "CAno", "call.unrecorded") && has(got, "CAgone", "consent.abandoned")
        })
        .await;
    for (sid, news) in [
        ("CAyes", &["consent.granted", "recording.finished"][..]),
        ("CAno", &["consent.revoked", "call.unrecorded"]),
        ("CAgone", &["consent.abandoned"]),
    ] {
        let posts = of(&taken, sid);
        in_order(&posts);
        let told: Vec<_> = posts.iter().map(|got| got.kind.as_str()).filter(|kind| *kind != "call.updated").collect();
        assert_eq!(told, news, "{sid}");
    }
    let unrecorded = taken.iter().find(|got| got.kind == "call.unrecorded").unwrap();
    assert_eq!(unrecorded.data["caseManagerId"], "cm", "whose modal it is");
    assert_eq!(unrecorded.data["unrecordedReason"], "CLIENT_OPT_OUT");
    assert!(
        unrecorded.data["startedAt"].is_string() && unrecorded.data["endedAt"].is_string() && unrecorded.data["durationSeconds"].is_u64()
    );
    let text = format!("{taken:?}");
    assert!(!text.contains("digit") && !text.contains("payload"), "what was pressed and said is in no post");
    let metrics = reqwest::get(format!("http://{}/metrics", rig.address())).await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"callgate_webhook_posts_total{outcome="delivered"}"#), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_gets_everything_later_and_still_in_order() {
    let (elsewhere, other) = Receiver::start([]).await;
    let failures = [Answer::Say(500), Answer::Say(503), Answer::Elsewhere(other), Answer::Never, Answer::Say(404), Answer::Say(429)];
    let (receiver, url) = Receiver::start(failures.clone()).await;
    let rig = Rig::start(given(&url)).await;
    call(rig.address(), "CAlater", "2").await;
    let taken = receiver.once(|got| got.iter().any(|got| got.kind == "call.unrecorded")).await;
    in_order(&of(&taken, "CAlater"));
    assert!(elsewhere.taken().is_empty(), "no redirect is followed");
    let got = receiver.got.lock().unwrap().clone();
    assert_eq!(got.len(), taken.len() + failures.len());
    assert!(got[..=failures.len()].iter().all(|got| got.id == taken[0].id), "the same id at every try, and nothing overtakes it: {got:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_call_holds_up_no_other() {
    // All posts of the first call hang, the others' are taken.
    let (receiver, url) = Receiver::start([Answer::Never]).await;
    let rig = Rig::start(given(&url)).await;
    let mut first = Caller::connect(rig.address(), "CAstuck", json!({ "mode": "stay" })).await;
    first.frames(10).await;
    for _ in 0..400 {
        if !receiver.got.lock().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let began = std::time::Instant::now();
    call(rig.address(), "CAfree", "2").await;
    let taken = receiver.once(|got| of(got, "CAfree").iter().any(|got| got.kind == "call.unrecorded")).await;
    assert!(began.elapsed() < Duration::from_secs(9), "before the stuck one was given up: {:?}", began.elapsed());
    assert!(of(&taken, "CAstuck").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_posted_when_the_gateway_was_killed_is_posted_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    // A port where nobody listens yet.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/events");
    let more = [("CALLGATE_WEBHOOK_URL", url.as_str()), ("CALLGATE_WEBHOOK_SECRET", SECRET)];
    let served = Served::start(folder.path(), &more);
    call(served.address, "CAkilled", "2").await;
    let database = callgate::io::database::Database::open(&crate::common::database_url(folder.path())).await.unwrap();
    for _ in 0..400 {
        if database.posts().await.unwrap()[0] >= 4 && database.calls_left_open(None, 1).await.unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(database.posts().await.unwrap()[1], 0, "nobody has taken anything");
    served.signal("-KILL");
    let log = served.log();
    assert!(log.contains("takes no events") && !log.contains("MfKQ9r8GKY"), "{log}");
    let receiver = Receiver::default();
    receiver.clone().serve(TcpListener::bind(address).await.unwrap());
    let served = Served::start(folder.path(), &more);
    let taken = receiver.once(|got| got.iter().any(|got| got.kind == "call.unrecorded")).await;
    in_order(&of(&taken, "CAkilled"));
    served.signal("-TERM");
    served.log();
    assert_eq!(database.posts().await.unwrap()[0], 0, "all is settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_on_one_database_post_everything_once() {
    let (receiver, url) = Receiver::start([]).await;
    let one = Rig::start(given(&url)).await;
    let database_url = Some(crate::common::database_url(one.folder.path()));
    let other = Rig::start(Given { database_url, ..given(&url) }).await;
    let calls: Vec<String> = (0..12).map(|n| format!("CAtwo{n}")).collect();
    let calling = calls.iter().enumerate().map(|(n, sid)| call(if n % 2 == 0 { one.address() } else { other.address() }, sid, "2"));
    futures_util::future::join_all(calling).await;
    let taken = receiver.once(|got| calls.iter().all(|sid| of(got, sid).iter().any(|got| got.kind == "call.unrecorded"))).await;
    let mut by_call: BTreeMap<&str, Vec<&Got>> = BTreeMap::new();
    for got in &taken {
        by_call.entry(got.call.as_str()).or_default().push(got);
    }
    assert_eq!(by_call.len(), calls.len());
    by_call.values().for_each(|posts| in_order(posts));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_nobody_took_for_days_is_given_up_and_what_follows_goes_on() {
    let receiver = Receiver { refuses: Some("_1_0"), ..Receiver::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap());
    receiver.clone().serve(listener);
    let rig = Rig::start(given(&url)).await;
    let mut caller = Caller::connect(rig.address(), "CAold", json!({ "mode": "stay" })).await;
    caller.frames(10).await;
    for _ in 0..400 {
        if !receiver.got.lock().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    // Four days go by.
    let mut raw = crate::common::raw(rig.folder.path()).await;
    let aged = raw.execute(r#"UPDATE "WebhookPost" SET "createdAt" = '2026-01-01T00:00:00.000Z' WHERE "id" LIKE 'evt_%_1_0'"#).await;
    assert_eq!(aged.unwrap(), 1);
    caller.key("2").await;
    caller.frames(20).await;
    caller.stop().await;
    let taken = receiver.once(|got| got.iter().any(|got| got.kind == "call.unrecorded")).await;
    assert!(!taken.iter().any(|got| got.id.ends_with("_1_0")), "the first event was given up");
    let kept = raw.texts::<2>(r#"SELECT CAST("state" AS TEXT), "why" FROM "WebhookPost" WHERE "id" LIKE 'evt_%_1_0'"#).await;
    assert!(kept[0][0] == "FAILED" && kept[0][1].contains("500"), "and is kept, with the reason: {kept:?}");
}
