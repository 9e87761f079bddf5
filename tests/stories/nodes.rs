//! Gateways on one PostgreSQL database, seen from outside: one owns a call, any answers for it, and what one leaves when it
//! dies another closes.

use std::time::{Duration, Instant};

use crate::common::databases::{self, Cluster};
use crate::common::twilio::{ACCOUNT, FROM, PUBLIC, Phone, TOKEN, Twilio, attribute};
use crate::common::{Caller, Rig, Served, frames_in, left, until};
use callgate::io::clock::wall;
use callgate::io::database::VerifyReport;
use callgate::server::Given;
use serde_json::{Value, json};

fn on(url: &str) -> Given {
    Given { database_url: Some(url.to_owned()), inbound_route: Some("+16175550123".to_owned()), ..Given::default() }
}

/// The same where Twilio's webhooks come, which may come to any gateway.
fn told_by(twilio: &Twilio, url: &str) -> Given {
    Given { database_url: Some(url.to_owned()), inbound_route: Some("client:anna".to_owned()), ..twilio.given() }
}

/// The same of the real binary, to be stopped or killed.
fn served(folder: &std::path::Path, twilio: &Twilio, url: &str) -> Served {
    let env = [
        ("CALLGATE_DATABASE_URL", url),
        ("CALLGATE_INBOUND_ROUTE", "client:anna"),
        ("CALLGATE_TWILIO_ACCOUNT_SID", ACCOUNT),
        ("CALLGATE_TWILIO_AUTH_TOKEN", TOKEN),
        ("CALLGATE_TWILIO_FROM", FROM),
        ("CALLGATE_TWILIO_API_URL", &twilio.url),
        ("CALLGATE_PUBLIC_URL", PUBLIC),
    ];
    Served::start(folder, &env)
}

fn wish(client: &str) -> Value {
    json!({ "clientId": client, "formIds": [], "to": "+16175550123", "connectTo": "client:maria" })
}

/// Has that gateway call the client; the call's id.
async fn initiate(served: &Served, folder: &std::path::Path, client: &str) -> Value {
    let request = reqwest::Client::new().post(format!("http://{}/api/calls", served.address)).bearer_auth(Served::token(folder));
    let answer: Value = request.json(&wish(client)).send().await.unwrap().json().await.unwrap();
    assert!(answer["callId"].is_string(), "{answer}");
    answer["callId"].clone()
}

fn dialled(twiml: &str, who: &str) -> bool {
    twiml.ends_with(&format!("<Response><Dial><Client>{who}</Client></Dial></Response>"))
}

/// Presses 1 and talks.
async fn says_yes(caller: &mut Caller) {
    caller.frames(250).await;
    caller.key("1").await;
    caller.frames(100).await;
}

async fn two(url: &str) -> (Rig, Rig) {
    (Rig::start(on(url)).await, Rig::start(on(url)).await)
}

fn captured(call: &Value) -> u64 {
    call["recording"]["framesCaptured"]["inbound"].as_u64().unwrap_or_else(|| panic!("{call}"))
}

/// The page of a call, by its gateway's own word.
async fn page(rig: &Rig, sid: &str) -> String {
    format!("/api/calls/{}", rig.call(sid, |_| true).await["callId"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_through_another_gateway_is_done_before_it_is_answered() {
    let url = databases::fresh().await;
    let (one, other) = two(&url).await;
    let mut caller = Caller::talking(&one, "CAtalks").await;
    caller.frames(300).await;
    let page = page(&one, "CAtalks").await;
    // The state is the owner's: it counts frames that no row tells of.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let (status, told) = other.get(&page).await;
        assert_eq!(status, 200, "{told}");
        if captured(&told) >= 250 {
            break;
        }
        assert!(Instant::now() < deadline, "{told}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A pause through the other: nothing of what follows.
    let (status, paused) = other.post_as(&format!("{page}/pause"), json!({ "reason": "PAYMENT" }), &other.token).await;
    assert_eq!((status, &paused["recording"]["state"]), (200, &json!("PAUSED")), "{paused}");
    caller.frames(50).await;
    one.call("CAtalks", |call| call["recording"]["framesWithheld"]["inbound"].as_u64() >= Some(300)).await;
    let (status, resumed) = other.post_as(&format!("{page}/resume"), json!({}), &other.token).await;
    assert_eq!((status, captured(&resumed)), (200, 300), "what came before the pause, and no more: {resumed}");
    caller.frames(200).await;
    // And the no, answered when the gate is shut: what comes after the answer is withheld.
    let (status, refused) = other.post_as(&format!("{page}/opt-out"), json!({}), &other.token).await;
    assert_eq!((status, &refused["consent"]["status"]), (200, &json!("REVOKED")), "{refused}");
    let at_the_answer = captured(&refused);
    caller.frames(100).await;
    let after = one.call("CAtalks", |call| call["recording"]["framesWithheld"]["inbound"].as_u64() >= Some(100)).await;
    assert_eq!(captured(&after), at_the_answer, "not a frame after the answer");
    caller.stop().await;
    one.call("CAtalks", |call| call["phase"] == "ENDED").await;
    let (status, again) = other.post_as(&format!("{page}/opt-out"), json!({}), &other.token).await;
    assert_eq!(
        (status, &again["consent"]["status"]),
        (200, &json!("REVOKED")),
        "a no that stands is not refused when it is said again: {again}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_withdrawn_through_one_gateway_shuts_the_gates_of_the_other() {
    let url = databases::fresh().await;
    let (one, other) = two(&url).await;
    let mut caller = Caller::talking_as(&one, "CAlive", "somebody").await;
    caller.frames(100).await;
    let (status, answer) = other.post_as("/api/clients/somebody/consent/revoke", json!({ "reason": "by letter" }), &other.token).await;
    assert_eq!(status, 200, "{answer}");
    let at_the_answer = captured(&one.call("CAlive", |_| true).await);
    caller.frames(150).await;
    let after = one.call("CAlive", |call| call["recording"]["framesWithheld"]["inbound"].as_u64() >= Some(150)).await;
    assert_eq!(captured(&after), at_the_answer, "not a frame after the answer: {after}");
    // P2: a yes that rests on what was before opens nothing, on whatever gateway.
    assert_eq!(other.get("/api/clients/somebody/consent").await.1["recording"]["status"], "REVOKED");
    caller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twilios_word_on_a_call_is_its_owners_to_answer_at_whatever_door_it_comes() {
    let url = databases::fresh().await;
    let (one, other) = two(&url).await;
    let mut caller = Caller::connect(one.address(), "CAdoor", json!({ "mode": "consent", "clientId": "c" })).await;
    caller.frames(250).await;
    caller.key("1").await;
    one.call("CAdoor", |call| call["consent"]["status"] == "GRANTED").await;
    let post = async |rig: &Rig, path: &str, fields: &[(&str, &str)]| {
        let answer = reqwest::Client::new().post(format!("http://{}/api/webhooks/twilio/{path}", rig.address())).form(fields).send().await;
        let answer = answer.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, twiml) = post(&other, "connected", &[("CallSid", "CAdoor")]).await;
    assert_eq!(status, 200);
    assert!(twiml.contains("<Number>+16175550123</Number>"), "{twiml}");
    assert_eq!(twiml, post(&one, "connected", &[("CallSid", "CAdoor")]).await.1, "the same as at its own door");
    // The call is over, says Twilio to the wrong one.
    assert_eq!(post(&other, "status", &[("CallSid", "CAdoor"), ("CallStatus", "completed")]).await.0, 204);
    one.call("CAdoor", |call| call["phase"] == "ENDED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_killed_is_closed_by_another_which_seals_what_was_captured() {
    let url = databases::fresh().await;
    let objects = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = format!("file://{}", objects.path().display());
    let other = Rig::start(Given { objects: Some(store.clone()), ..on(&url) }).await;
    let served = Served::start(
        folder.path(),
        &[("CALLGATE_DATABASE_URL", &url), ("CALLGATE_OBJECTS", &store), ("CALLGATE_PROMPT_IN_RECORDING", "false")],
    );
    let mut caller = Caller::connect(served.address, "CAdies", json!({ "mode": "stay", "clientId": "c" })).await;
    caller.frames(250).await;
    caller.key("1").await;
    other.call("CAdies", |call| call["recording"]["state"] == "ACTIVE").await;
    let first = caller.chunk + 1;
    for _ in 0..40 {
        caller.frames(5).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    served.signal("-KILL");
    let ended = once(&other, "CAdies", |call| call["phase"] == "ENDED" && call["recording"]["state"] == "FINISHED").await;
    assert_eq!(ended["consent"]["status"], "GRANTED");
    let recording = ended["recording"]["recordingId"].as_str().unwrap();
    let audio =
        reqwest::Client::new().get(format!("http://{}/api/recordings/{recording}/audio", other.address())).bearer_auth(&other.token);
    let wav = audio.send().await.unwrap().bytes().await.unwrap();
    let there = frames_in(&left(&wav), caller.chunk);
    // P8: at most half a second of two hundred frames is lost, and the beginning is there.
    assert!(there.len() >= 200 - 26 && there[0] <= first + 1, "{} frames from {:?}", there.len(), there.first());
    assert!(crate::common::files(&folder.path().join("spool")).is_empty(), "stored and proven, the spool is gone");
    assert_eq!(VerifyReport::of(&url).await.unwrap().broken, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_said_to_have_failed_until_its_gateway_is_back() {
    let url = databases::fresh().await;
    let away = tempfile::tempdir().unwrap();
    let folder = away.path().join("disk");
    std::fs::create_dir(&folder).unwrap();
    let other = Rig::start(on(&url)).await;
    let served = Served::start(&folder, &[("CALLGATE_DATABASE_URL", &url)]);
    let mut caller = Caller::connect(served.address, "CAgone", json!({ "mode": "stay", "clientId": "c", "caseManagerId": "tester" })).await;
    caller.frames(250).await;
    caller.key("1").await;
    other.call("CAgone", |call| call["recording"]["state"] == "ACTIVE").await;
    caller.frames(100).await;
    let mut asked = Caller::connect(served.address, "CAasked", json!({ "mode": "stay", "clientId": "d" })).await;
    asked.frames(10).await;
    other.call("CAasked", |_| true).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    served.signal("-KILL");
    // Its disk is not where it was.
    std::fs::rename(&folder, away.path().join("elsewhere")).unwrap();
    let ended = once(&other, "CAgone", |call| call["phase"] == "ENDED" && call["recording"]["state"] == "FAILED").await;
    assert_eq!((&ended["isRecorded"], &ended["unrecordedReason"]), (&json!(false), &json!("SYSTEM_ERROR")), "{ended}");
    let tasks = async || other.get("/api/tasks").await.1["tasks"].as_array().unwrap().clone();
    let of_gone = async || tasks().await.iter().filter(|task| task["callId"] == ended["callId"]).count();
    assert_eq!(of_gone().await, 1, "a call whose recording failed is one without: its case manager is told");
    let why = ended["recording"]["reason"].as_str().unwrap();
    assert!(why.contains("cannot be reached") && why.contains("start it again"), "{ended}");
    let ended = once(&other, "CAasked", |call| call["phase"] == "ENDED").await;
    assert_eq!((&ended["isRecorded"], &ended["unrecordedReason"]), (&json!(false), &json!("SYSTEM_ERROR")), "{ended}");
    // Back on its folder, it finishes what it had begun.
    std::fs::rename(away.path().join("elsewhere"), &folder).unwrap();
    let _again = Served::start(&folder, &[("CALLGATE_DATABASE_URL", &url)]);
    let found = once(&other, "CAgone", |call| call["recording"]["state"] == "FINISHED").await;
    assert_eq!((&found["isRecorded"], of_gone().await), (&json!(true), 0), "there is one after all: {found}");
}

/// The call, once it is as wanted: a lease takes ten seconds to be over.
async fn once(rig: &Rig, sid: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let (_, found) = rig.get(&format!("/api/calls?callSid={sid}")).await;
        if wanted(&found["calls"][0]) {
            return found["calls"][0].clone();
        }
        assert!(Instant::now() < deadline, "never as wanted: {found}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_from_the_database_shuts_its_gates_before_others_stop_waiting_for_it() {
    let mut server = Cluster::start(&["fsync=off"]).await;
    let rig = Rig::start(on(&server.url("postgres"))).await;
    let mut caller = Caller::talking(&rig, "CAcut").await;
    let page = page(&rig, "CAcut").await;
    server.stop("QUIT");
    let began = Instant::now();
    // Somebody talks all the time.
    let halted = loop {
        caller.frames(5).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (_, told) = rig.get(&page).await;
        if told["unrecordedReason"] == "SYSTEM_ERROR" {
            break told;
        }
        assert!(began.elapsed() < Duration::from_secs(9), "a lease of eight seconds is over: {told}");
    };
    assert_eq!(halted["phase"], "CONNECTED", "the people talk on");
    let at_the_end = captured(&halted);
    caller.frames(50).await;
    server.run().await;
    let told = loop {
        caller.frames(5).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (_, told) = rig.get(&page).await;
        if told["recording"]["framesWithheld"]["inbound"].as_u64() >= Some(100) {
            break told;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{told}");
    };
    assert_eq!(captured(&told), at_the_end, "nothing opens again by itself");
    caller.stop().await;
    // What consent covered is kept.
    once(&rig, "CAcut", |call| call["phase"] == "ENDED" && call["recording"]["state"] == "FINISHED").await;
    // And the next call is recorded as ever.
    let deadline = Instant::now() + Duration::from_secs(20);
    while rig.get_as("/readyz", None).await.0 != 200 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Caller::talking(&rig, "CAnext").await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_calls_decide_at_one_moment_on_two_gateways_and_keep_one_chain() {
    let url = databases::fresh().await;
    let (one, other) = two(&url).await;
    let calls = (0..100).map(|n| {
        let address = if n % 2 == 0 { one.address() } else { other.address() };
        async move {
            let sid = format!("CAmany{n}");
            let mut caller = Caller::connect(address, &sid, json!({ "mode": "stay", "clientId": format!("client{}", n % 50) })).await;
            caller.frames(250).await;
            caller
        }
    });
    let mut callers = futures_util::future::join_all(calls).await;
    futures_util::future::join_all(callers.iter_mut().enumerate().map(|(n, caller)| caller.key(if n % 4 < 2 { "1" } else { "2" }))).await;
    for n in 0..100 {
        let (rig, status) = (if n % 2 == 0 { &other } else { &one }, if n % 4 < 2 { "GRANTED" } else { "REVOKED" });
        // Asked of the one that does not have it. Two calls of one client may have overtaken each other: a no wins.
        rig.call(&format!("CAmany{n}"), |call| call["consent"]["status"] == status || call["unrecordedReason"] == "PRIOR_OPT_OUT").await;
    }
    futures_util::future::join_all(callers.iter_mut().map(Caller::stop)).await;
    for rig in [one, other] {
        rig.gateway.drain(Duration::from_secs(10)).await;
    }
    let report = VerifyReport::of(&url).await.unwrap();
    assert_eq!(report.broken, None);
    assert!(report.entries >= 200, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_two_gateways_are_told_of_at_one_moment_gets_one_answer_and_has_one_owner() {
    let (url, twilio) = (databases::fresh().await, Twilio::start().await);
    let (one, other) = (Rig::start(told_by(&twilio, &url)).await, Rig::start(told_by(&twilio, &url)).await);
    for n in 0..20 {
        let phone = Phone::inbound(&format!("CA{n:032x}"));
        let (first, second) = tokio::join!(phone.voice(&one, &[]), phone.voice(&other, &[]));
        assert!(first.contains("<Stream"), "{first}");
        assert_eq!(first, second, "one token, whoever is asked");
        assert_eq!(phone.voice(&other, &[]).await, first, "and whoever is asked again");
        // Its stream has one place to go to.
        let mut takes = 0;
        for rig in [&one, &other] {
            let mut caller = phone.stream(rig, &first).await;
            if caller.was_played_to() {
                takes += 1;
                says_yes(&mut caller).await;
                let page = page(rig, &phone.sid).await;
                let asked = if rig.address() == one.address() { &other } else { &one };
                let (status, refused) = asked.post_as(&format!("{page}/opt-out"), json!({}), &asked.token).await;
                assert_eq!((status, &refused["consent"]["status"]), (200, &json!("REVOKED")), "{refused}");
                let at_the_answer = captured(&refused);
                caller.frames(50).await;
                let later = rig.call(&phone.sid, |call| call["recording"]["framesWithheld"]["inbound"].as_u64() >= Some(290)).await;
                assert_eq!(captured(&later), at_the_answer, "not a frame after the answer");
            }
        }
        assert_eq!(takes, 1, "one gateway has it");
    }
    let mut raw = databases::raw(&url).await;
    assert_eq!(raw.number(r#"SELECT count(*) FROM "Arrival""#).await, 20);
    assert_eq!(raw.number(r#"SELECT count(*) FROM "Call""#).await, 20, "a CallSid is one call");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_through_another_gateway_while_it_rings_is_heard_before_the_stream_comes() {
    let (url, twilio) = (databases::fresh().await, Twilio::start().await);
    let (one, other) = (Rig::start(told_by(&twilio, &url)).await, Rig::start(told_by(&twilio, &url)).await);
    let (status, answer) = one.initiate(&wish("c"), None).await;
    assert_eq!(status, 201, "{answer}");
    let (id, phone) = (answer["callId"].clone(), twilio.phone());
    // Twilio's word on it comes to the other door first: it makes no second owner.
    phone.status(&other, "ringing").await;
    let path = format!("/api/calls/{}/opt-out", id.as_str().unwrap());
    let (status, refused) = other.post_as(&path, json!({ "reason": "by letter" }), &other.token).await;
    assert_eq!((status, &refused["consent"]["status"]), (200, &json!("REVOKED")), "{refused}");
    let twiml = phone.voice(&other, &[]).await;
    for rig in [&one, &other] {
        if twiml.contains("<Stream") {
            says_yes(&mut phone.stream(rig, &twiml).await).await;
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for rig in [&one, &other] {
        let call = rig.by_id(&id, |call| call["consent"]["status"] == "REVOKED").await;
        assert_eq!((captured(&call), &call["recording"]["recordingId"]), (0, &Value::Null), "{call}");
    }
    assert_eq!(databases::raw(&url).await.number(r#"SELECT count(*) FROM "Recording""#).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_cut_off_is_waited_for_and_then_replaced_and_writes_nothing_when_it_is_back() {
    let (url, twilio, folder) = (databases::fresh().await, Twilio::start().await, tempfile::tempdir().unwrap());
    let other = Rig::start(told_by(&twilio, &url)).await;
    let owner = served(folder.path(), &twilio, &url);
    let id = initiate(&owner, folder.path(), "c").await;
    let phone = twilio.phone();
    let (status, before) = phone.ask_at(owner.address, phone.told("Url")[0], &[]).await;
    assert!(status == 200 && before.contains("<Stream"), "{before}");
    owner.signal("-STOP");
    let path = format!("/api/calls/{}/opt-out", id.as_str().unwrap());
    // It holds its lease, and may hold its gate open: nobody says yes for it.
    let (status, problem) = other.post_as(&path, json!({}), &other.token).await;
    assert!(status == 503 && problem["detail"].as_str().unwrap().contains("does not answer"), "{status} {problem}");
    // Once the lease is over another has the call, and asks the client as ever.
    let deadline = Instant::now() + Duration::from_secs(30);
    let after = loop {
        let twiml = phone.voice(&other, &[]).await;
        if twiml.contains("<Stream") {
            break twiml;
        }
        assert!(dialled(&twiml, "maria") && Instant::now() < deadline, "until then people are connected, and nothing is captured: {twiml}");
    };
    assert_ne!(after, before, "a token of its own");
    let mut caller = phone.stream(&other, &after).await;
    assert!(caller.was_played_to());
    says_yes(&mut caller).await;
    other.by_id(&id, |call| call["consent"]["status"] == "GRANTED").await;
    caller.stop().await;
    let connected = format!("{PUBLIC}/api/webhooks/twilio/connected?callId={}", id.as_str().unwrap());
    let forked = phone.ask(&other, &connected, &[]).await.1;
    let mut caller = phone.stream(&other, &forked).await;
    caller.frames(50).await;
    other.by_id(&id, |call| call["recording"]["state"] == "ACTIVE").await;
    // The former owner is back. What it believed in is another's.
    owner.signal("-CONT");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !owner.said().contains("has taken this call over") {
        assert!(Instant::now() < deadline, "{}", owner.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut stray = phone.stream_at(owner.address, &before).await;
    assert!(!stray.was_played_to(), "its token is void");
    says_yes(&mut stray).await;
    // Asked of either, the new owner answers.
    let page = format!("http://{}/api/calls/{}", owner.address, id.as_str().unwrap());
    let told: Value =
        reqwest::Client::new().get(page).bearer_auth(Served::token(folder.path())).send().await.unwrap().json().await.unwrap();
    assert_eq!((&told["recording"]["state"], &told["phase"]), (&json!("ACTIVE"), &json!("CONNECTED")), "{told}");
    // A no through the one that lost it reaches the one that has it.
    let no = reqwest::Client::new().post(format!("http://{}{path}", owner.address)).bearer_auth(Served::token(folder.path()));
    let (status, refused) = {
        let answer = no.header("content-type", "application/json").body("{}").send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    assert_eq!((status, &refused["consent"]["status"]), (200, &json!("REVOKED")), "{refused}");
    let at_the_answer = captured(&refused);
    assert!(at_the_answer > 0, "{refused}");
    caller.frames(100).await;
    let withheld = |call: &Value| call["recording"]["framesWithheld"]["inbound"].as_u64().unwrap();
    let later = other.by_id(&id, |call| withheld(call) >= withheld(&refused) + 100).await;
    assert_eq!(captured(&later), at_the_answer, "not a frame after the answer");
    assert_eq!(phone.ask_at(owner.address, phone.told("StatusCallback")[0], &[("CallStatus", "completed")]).await.0, 204);
    other.by_id(&id, |call| call["phase"] == "ENDED" && call["recording"]["state"] == "FINISHED").await;
    let mut raw = databases::raw(&url).await;
    assert_eq!(raw.number(r#"SELECT count(*) FROM "Recording""#).await, 1, "one gateway captured");
    assert_eq!(VerifyReport::of(&url).await.unwrap().broken, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_lost_a_call_stops_capturing_it_writes_nothing_of_it_and_keeps_what_consent_covered() {
    let url = databases::fresh().await;
    let (one, other) = two(&url).await;
    let mut caller = Caller::talking(&one, "CAlost").await;
    caller.frames(100).await;
    let mut asked = Caller::connect(one.address(), "CAasking", json!({ "mode": "stay", "clientId": "d" })).await;
    asked.frames(100).await;
    let recording = one.call("CAlost", |call| captured(call) >= 100).await["recording"]["recordingId"].clone();
    one.call("CAasking", |call| call["phase"] != "CREATED").await;
    // Somebody else is their owner from here on.
    let mut raw = databases::raw(&url).await;
    let [[mine]] = raw.texts::<1>(r#"SELECT DISTINCT "nodeId" FROM "Call""#).await.try_into().unwrap();
    let took = format!(r#"UPDATE "Call" SET "nodeId" = (SELECT "id" FROM "Node" WHERE "id" <> '{mine}')"#);
    assert_eq!(raw.execute(took).await.unwrap(), 2);
    let rows = r#"SELECT "callSid", "state"::TEXT, "nodeId" FROM "Call" ORDER BY "callSid""#;
    let before = raw.texts::<3>(rows).await;
    let events = raw.number(r#"SELECT count(*) FROM "CallEvent""#).await;
    // A yes that it hears now opens nothing, though nobody has told it yet.
    asked.frames(150).await;
    asked.key("1").await;
    asked.frames(50).await;
    // A renewal later it knows, and what comes then is withheld.
    tokio::time::sleep(Duration::from_secs(3)).await;
    caller.frames(100).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    caller.stop().await;
    asked.stop().await;
    // What consent covered is settled all the same, and honestly.
    let path = format!("/api/recordings/{}", recording.as_str().unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    let stored = loop {
        let (_, told) = other.get(&path).await;
        if told["state"] == "FINISHED" {
            break told;
        }
        assert!(Instant::now() < deadline, "{told}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let audio = reqwest::Client::new().get(format!("http://{}{path}/audio", one.address())).bearer_auth(&one.token);
    let wav = audio.send().await.unwrap().bytes().await.unwrap();
    let last = *frames_in(&left(&wav), caller.chunk).last().unwrap();
    assert!(last <= caller.chunk - 100, "frame {last} of {} came when the call was another's: {stored}", caller.chunk);
    assert_eq!(raw.texts::<3>(rows).await, before, "not a word of it was written");
    assert_eq!(raw.number(r#"SELECT count(*) FROM "CallEvent""#).await, events);
    assert_eq!(
        raw.number(r#"SELECT count(*) FROM "ConsentRecord" WHERE "clientId" = 'd'"#).await,
        0,
        "a yes heard by who has lost the call"
    );
    assert_eq!(VerifyReport::of(&url).await.unwrap().broken, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_owner_is_killed_while_it_rings_is_connected_unrecorded_with_a_record_or_asked_by_another() {
    let (url, twilio, folder) = (databases::fresh().await, Twilio::start().await, tempfile::tempdir().unwrap());
    let other = Rig::start(told_by(&twilio, &url)).await;
    let owner = served(folder.path(), &twilio, &url);
    let placed = initiate(&owner, folder.path(), "c").await;
    let (out, came) = (twilio.phone(), Phone::inbound("CA00000000000000000000000000000042"));
    let gone = Phone::inbound("CA00000000000000000000000000000043");
    for phone in [&came, &gone] {
        let (status, twiml) = phone.ask_at(owner.address, phone.told("Url")[0], &[]).await;
        assert!(status == 200 && twiml.contains("<Stream"), "{twiml}");
    }
    owner.signal("-KILL");
    // Twilio asks again, at once and when nobody waits for the dead one any more.
    let (first, at_once) = (Instant::now(), came.voice(&other, &[]).await);
    assert!(dialled(&at_once, "anna") && first.elapsed() < Duration::from_secs(14), "within Twilio's patience: {at_once}");
    let noted = async |sid: &str| {
        let call = once(&other, sid, |call| call["phase"] == "ENDED").await;
        assert_eq!((&call["isRecorded"], &call["unrecordedReason"]), (&json!(false), &json!("SYSTEM_ERROR")), "{call}");
        let kinds: Vec<_> = other.chain_of(&call["callId"]).await.iter().map(|entry| entry["kind"].clone()).collect();
        assert!(kinds.contains(&json!("call.unrecorded")), "{kinds:?}");
    };
    noted(&came.sid).await;
    assert!(dialled(&came.voice(&other, &[]).await, "anna"), "asked again, the same");
    once(&other, &out.sid, |_| true).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    let twiml = loop {
        let twiml = out.voice(&other, &[]).await;
        if twiml.contains("<Stream") {
            break twiml;
        }
        assert!(dialled(&twiml, "maria") && Instant::now() < deadline, "{twiml}");
    };
    // The dead one's lease is over.
    assert!(dialled(&gone.voice(&other, &[]).await, "anna"));
    noted(&gone.sid).await;
    // And the call that it placed is another's, which asks the client.
    let mut caller = out.stream(&other, &twiml).await;
    says_yes(&mut caller).await;
    other.by_id(&placed, |call| call["consent"]["status"] == "GRANTED").await;
    caller.stop().await;
    let mut raw = databases::raw(&url).await;
    assert_eq!(raw.number(r#"SELECT count(*) FROM "Call""#).await, 3, "one row a call");
    assert!(attribute(&twiml, "Stream", "url").starts_with("wss://"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_announced_has_one_owner_and_a_no_reaches_it_wherever_it_is_said() {
    let url = databases::fresh().await;
    let (one, other) = two(&url).await;
    let stay = || json!({ "mode": "stay", "clientId": "c" });
    let mut caller = Caller::talking_as(&one, "CAsplit", "c").await;
    let mut astray = Caller::connect(other.address(), "CAsplit", stay()).await;
    astray.frames(300).await;
    assert!(!astray.listen(Duration::from_secs(5)).await && !astray.was_played_to(), "closed, and nobody is asked twice");
    caller.frames(100).await;
    let calls = other.get("/api/calls?callSid=CAsplit").await.1["calls"].clone();
    assert_eq!(calls.as_array().unwrap().len(), 1, "one call: {calls}");
    let no = format!("/api/calls/{}/opt-out", calls[0]["callId"].as_str().unwrap());
    let (status, refused) = other.post_as(&no, json!({}), &other.token).await;
    assert_eq!((status, &refused["consent"]["status"]), (200, &json!("REVOKED")), "{refused}");
    caller.frames(100).await;
    let after = one.call("CAsplit", |call| call["recording"]["framesWithheld"]["inbound"].as_u64() >= Some(100)).await;
    assert_eq!(captured(&after), captured(&refused), "not a frame after the answer, on any gateway");
    caller.stop().await;
    // At one moment.
    for n in 0..10 {
        let sid = format!("CArace{n}");
        let (first, second) = tokio::join!(Caller::connect(one.address(), &sid, stay()), Caller::connect(other.address(), &sid, stay()));
        let served = [first, second].iter().filter(|caller| caller.was_played_to()).count();
        assert_eq!(served, 1, "{sid}: one of the two");
    }
    // TwiML of a gateway's own leads to that gateway, whatever the load balancer does with it.
    let twilio = Twilio::start().await;
    let (one, other) =
        (Rig::start(told_by(&twilio, &url)).await, Rig::start(Given { unannounced: Some("true".into()), ..told_by(&twilio, &url) }).await);
    let phone = Phone::inbound("CA00000000000000000000000000000051");
    let twiml = phone.voice(&one, &[]).await;
    assert!(!phone.stream(&other, &twiml).await.was_played_to(), "announced there");
    assert!(phone.stream(&one, &twiml).await.was_played_to());
    one.initiate(&wish("d"), None).await;
    let placed = twilio.phone();
    let twiml = placed.voice(&one, &[]).await;
    assert!(!placed.stream(&other, &twiml).await.was_played_to(), "placed there");
    assert!(placed.stream(&one, &twiml).await.was_played_to());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_a_gateway_that_is_gone_are_had_by_whoever_their_next_stream_comes_to() {
    let (url, folder) = (databases::fresh().await, tempfile::tempdir().unwrap());
    let other = Rig::start(on(&url)).await;
    let served = Served::start(folder.path(), &[("CALLGATE_DATABASE_URL", &url)]);
    let stay = || json!({ "mode": "stay", "clientId": "c" });
    let mut caller = Caller::connect(served.address, "CAorphan", stay()).await;
    caller.frames(50).await;
    assert!(!Caller::connect(other.address(), "CAorphan", stay()).await.was_played_to());
    served.signal("-KILL");
    assert!(!Caller::connect(other.address(), "CAorphan", stay()).await.was_played_to(), "it may still believe in its lease");
    let answered = async || Caller::connect(other.address(), "CAorphan", stay()).await.was_played_to();
    until("a lease is over after ten seconds", answered).await;
}

/// Somebody goes on talking until a call is as wanted: a line on which nothing is heard is a dead one.
async fn talks_until(caller: &mut Caller, rig: &Rig, sid: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        caller.frames(2).await;
        let (_, found) = rig.get(&format!("/api/calls?callSid={sid}")).await;
        if wanted(&found["calls"][0]) {
            return found["calls"][0].clone();
        }
        assert!(Instant::now() < deadline, "{sid} never came to be as wanted: {found}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn until_somebody_tells_whose_a_stream_is_nothing_of_it_is_captured() {
    let url = databases::fresh().await;
    let (one, other) = two(&url).await;
    let stay = |client: &str| json!({ "mode": "stay", "clientId": client });
    // One that the other gateway has.
    let mut theirs = Caller::connect(other.address(), "CAtheirs", stay("a")).await;
    theirs.frames(10).await;
    other.call("CAtheirs", |call| call["phase"] != "CREATED").await;
    // The ledger takes everything; only who has which call cannot be asked, for less than a lease.
    let mut raw = databases::raw(&url).await;
    raw.execute(r#"BEGIN; LOCK TABLE "Arrival""#).await.unwrap();
    let (hasty, patient) =
        tokio::join!(Caller::connect(one.address(), "CAhasty", stay("b")), Caller::connect(one.address(), "CApatient", stay("d")));
    let (mut hasty, mut patient) = (hasty, patient);
    for caller in [&mut hasty, &mut patient] {
        while !caller.was_played_to() {
            assert!(caller.listen(Duration::from_secs(3)).await, "the client is asked all the same");
        }
    }
    says_yes(&mut hasty).await;
    let unrecorded = talks_until(&mut patient, &one, "CAhasty", |call| call["unrecordedReason"] == "SYSTEM_ERROR").await;
    assert_eq!((captured(&unrecorded), &unrecorded["phase"]), (0, &json!("CONNECTED")), "they talk on: {unrecorded}");
    raw.execute("ROLLBACK").await.unwrap();
    // Ours after all: the yes that comes then holds.
    for _ in 0..40 {
        patient.frames(2).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    says_yes(&mut patient).await;
    talks_until(&mut patient, &one, "CApatient", |call| captured(call) >= 50).await;
    hasty.frames(100).await;
    assert_eq!(captured(&one.call("CAhasty", |_| true).await), 0, "nothing opens by itself");
    // Another's after all, told while the client is being asked.
    raw.execute(r#"BEGIN; LOCK TABLE "Arrival""#).await.unwrap();
    let mut late = Caller::connect(one.address(), "CAlate", stay("e")).await;
    while !late.was_played_to() {
        assert!(late.listen(Duration::from_secs(3)).await);
    }
    let told = r#"INSERT INTO "Arrival" ("callSid", "callId", "nodeId") SELECT 'CAlate', 'call_elsewhere', "nodeId" FROM "Call" WHERE "callSid" = 'CAtheirs'"#;
    assert_eq!(raw.execute(told).await.unwrap(), 1);
    raw.execute("COMMIT").await.unwrap();
    let strayed = talks_until(&mut late, &one, "CAlate", |call| call["unrecordedReason"] == "SYSTEM_ERROR").await;
    says_yes(&mut late).await;
    assert_eq!(captured(&strayed), 0, "{strayed}");
    let why: Vec<_> = one.chain("e").await.iter().map(|entry| entry["detail"]["why"].clone()).collect();
    assert!(why.contains(&json!("another gateway has taken this call over")), "{why:?}");
    for caller in [&mut theirs, &mut hasty, &mut patient, &mut late] {
        caller.stop().await;
    }
    let ended = one.call("CAlate", |call| call["phase"] == "ENDED").await;
    assert_eq!((captured(&ended), &ended["isRecorded"]), (0, &json!(false)), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_no_to_a_gateway_that_lost_its_lease_is_told_that_the_gate_is_shut_and_not_that_nobody_knows() {
    let mut server = Cluster::start(&["fsync=off"]).await;
    let rig = Rig::start(on(&server.url("postgres"))).await;
    let mut caller = Caller::talking_as(&rig, "CAcut", "c").await;
    let page = page(&rig, "CAcut").await;
    server.stop("QUIT");
    let deadline = Instant::now() + Duration::from_secs(15);
    while rig.get(&page).await.1["unrecordedReason"] != "SYSTEM_ERROR" {
        caller.frames(5).await;
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let no = async || {
        let request = reqwest::Client::new().post(format!("http://{}{page}/opt-out", rig.address())).bearer_auth(&rig.token);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.headers().contains_key("gate-shut-at"), answer.json::<Value>().await.unwrap())
    };
    let (status, shut, problem) = no().await;
    assert!(status == 503 && shut, "{status}: {problem}");
    assert_eq!(problem["type"], "urn:callgate:problem:gate-shut-record-pending", "{problem}");
    server.run().await;
    let mut state = Value::Null;
    until("it is written", async || {
        let (status, _, told) = no().await;
        state = told;
        status == 200
    })
    .await;
    assert_eq!(state["consent"]["status"], "REVOKED", "{state}");
    assert_eq!(
        rig.chain("c").await.iter().filter(|entry| entry["kind"] == "consent.revoked").count(),
        1,
        "one no, however often it is said"
    );
    caller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_call_that_comes_to_a_stopping_gateway_is_asked_and_recorded_by_another() {
    let (url, twilio, folder) = (databases::fresh().await, Twilio::start().await, tempfile::tempdir().unwrap());
    let other = Rig::start(told_by(&twilio, &url)).await;
    let stopping = served(folder.path(), &twilio, &url);
    let (before, new) = (Phone::inbound("CA00000000000000000000000000000061"), Phone::inbound("CA00000000000000000000000000000062"));
    let voice = async |phone: &Phone| {
        let (status, twiml) = phone.ask_at(stopping.address, phone.told("Url")[0], &[]).await;
        assert_eq!(status, 200, "{twiml}");
        twiml
    };
    // Somebody keeps it from ending at once.
    let mut talking = before.stream_at(stopping.address, &voice(&before).await).await;
    stopping.signal("-TERM");
    until("it stops", async || {
        let ready: Value = reqwest::get(format!("http://{}/readyz", stopping.address)).await.unwrap().json().await.unwrap();
        ready["draining"] == true
    })
    .await;
    let twiml = voice(&new).await;
    assert!(twiml.contains("<Connect"), "asked, and not put past: {twiml}");
    assert_eq!(voice(&new).await, twiml, "asked twice, the same is answered");
    assert_eq!(new.voice(&other, &[]).await, twiml, "by the one that has it");
    let mut caller = new.stream(&other, &twiml).await;
    says_yes(&mut caller).await;
    other.call(&new.sid, |call| call["consent"]["status"] == "GRANTED").await;
    let calls = other.get(&format!("/api/calls?callSid={}", new.sid)).await.1["calls"].clone();
    assert_eq!(calls.as_array().unwrap().len(), 1, "no second one, put past: {calls}");
    caller.stop().await;
    // When there is no other that takes it, the people are connected.
    other.gateway.drain(Duration::from_secs(1)).await;
    assert!(dialled(&voice(&Phone::inbound("CA00000000000000000000000000000063")).await, "anna"));
    talking.stop().await;
    before.ask_at(stopping.address, before.told("StatusCallback")[0], &[("CallStatus", "completed")]).await;
}

fn sweep(folder: &std::path::Path, url: &str, store: &str) -> (bool, String) {
    let mut sweep = std::process::Command::new(env!("CARGO_BIN_EXE_callgate"));
    sweep.args(["retention", "sweep", "--as-of", &wall().plus_days(31).to_string()]).current_dir(folder);
    sweep.env("CALLGATE_DATA_DIR", folder).env("CALLGATE_DATABASE_URL", url).env("CALLGATE_OBJECTS", store);
    let ran = sweep.output().unwrap();
    (ran.status.success(), String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_a_spool_out_of_reach_is_not_said_to_be_gone_and_is_deleted_by_who_can_reach_it() {
    let url = databases::fresh().await;
    let (away, objects) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, folder) = (format!("file://{}", objects.path().display()), away.path().join("disk"));
    std::fs::create_dir(&folder).unwrap();
    let other = Rig::start(Given { objects: Some(store.clone()), ..on(&url) }).await;
    // One that was stored, and whose spool is gone, anybody can delete.
    let stored = {
        let one = Rig::start(Given { objects: Some(store.clone()), ..on(&url) }).await;
        let stored = one.recorded("CAstored", "c").await;
        one.gateway.drain(Duration::from_secs(5)).await;
        stored
    };
    let served = Served::start(&folder, &[("CALLGATE_DATABASE_URL", &url), ("CALLGATE_OBJECTS", &store)]);
    let mut caller = Caller::connect(served.address, "CAaway", json!({ "mode": "stay", "clientId": "c" })).await;
    says_yes(&mut caller).await;
    let call = other.call("CAaway", |call| call["recording"]["state"] == "ACTIVE").await;
    let recording = call["recording"]["recordingId"].as_str().unwrap().to_owned();
    tokio::time::sleep(Duration::from_millis(700)).await;
    served.signal("-KILL");
    std::fs::rename(&folder, away.path().join("elsewhere")).unwrap();
    once(&other, "CAaway", |call| call["recording"]["state"] == "FAILED").await;
    let (status, revoked) = other.post_as("/api/clients/c/consent/revoke", json!({}), &other.token).await;
    assert_eq!((status, &revoked["recordingsMarkedForDeletion"]), (200, &json!(2)), "{revoked}");
    // Swept by one that does not have that disk.
    let (done, said) = sweep(other.folder.path(), &url, &store);
    assert!(!done && said.contains("cannot be reached from here"), "{said}");
    let mut raw = databases::raw(&url).await;
    let open = r#"SELECT "recordingId", "lastError" FROM "RetentionItem" WHERE "deletedAt" IS NULL"#;
    let left = raw.texts::<2>(open).await;
    assert!(left.len() == 1 && left[0][0] == recording && left[0][1].contains("spool.id"), "{left:?}");
    assert!(crate::common::files(objects.path()).iter().all(|file| !file.display().to_string().contains(&stored)), "the other is deleted");
    assert!(!crate::common::files(&away.path().join("elsewhere/spool")).is_empty(), "it is there, wherever that is");
    // And by one that has it.
    let (done, said) = sweep(&away.path().join("elsewhere"), &url, &store);
    assert!(done, "{said}");
    assert!(raw.texts::<2>(open).await.is_empty());
    assert!(crate::common::files(&away.path().join("elsewhere/spool")).is_empty(), "spool and key");
    assert_eq!(VerifyReport::of(&url).await.unwrap().broken, None);
}
