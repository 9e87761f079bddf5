//! Gateways on one PostgreSQL database, seen from outside: one owns a call, any answers for it, and what one leaves when it
//! dies another closes.

use std::time::{Duration, Instant};

use crate::common::databases::{self, Cluster};
use crate::common::{Caller, Rig, Served, frames_in, left};
use callgate::io::database::VerifyReport;
use callgate::server::Given;
use serde_json::{Value, json};

fn on(url: &str) -> Given {
    Given { database_url: Some(url.to_owned()), inbound_route: Some("+16175550123".to_owned()), ..Given::default() }
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
