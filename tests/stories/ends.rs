//! How calls end, when Twilio's words do not come in the order in which one would like them: a socket breaks, a stream stops and
//! the people talk on, the call's end is told before the client's last key.

use std::time::Duration;

use crate::common::twilio::{Phone, Twilio, attribute};
use crate::common::{Caller, Rig};
use callgate::engine::call::WORD_WITHIN_MS;
use callgate::server::Given;
use serde_json::{Value, json};

const CLIENT: &str = "client-7";

async fn start(twilio: &Twilio) -> Rig {
    Rig::start(Given { inbound_route: Some("client:desk".into()), ..twilio.given() }).await
}

/// A client calls in and is being asked: the socket, and the TwiML that leads to it.
async fn asked(rig: &Rig, phone: &Phone) -> (Caller, String) {
    let twiml = phone.voice(rig, &[("Direction", "inbound"), ("clientId", CLIENT)]).await;
    let mut caller = phone.stream(rig, &twiml).await;
    caller.frames(100).await;
    rig.call(&phone.sid, |call| call["phase"] == "PROMPTING").await;
    (caller, twiml)
}

/// What Twilio is told to do when the question's stream is over.
async fn led_on(rig: &Rig, phone: &Phone, twiml: &str) -> String {
    phone.ask(rig, &attribute(twiml, "Connect", "action"), &[]).await.1
}

/// The same, the client says yes, and the two talk beside a fork: its socket, and the TwiML that starts it.
async fn talking(rig: &Rig, phone: &Phone) -> (Caller, String) {
    let (mut caller, twiml) = asked(rig, phone).await;
    caller.frames(150).await;
    caller.key("1").await;
    rig.call(&phone.sid, |call| call["consent"]["status"] == "GRANTED").await;
    caller.frames(300).await;
    assert!(!caller.listen(Duration::from_secs(3)).await, "handed back: the socket is closed");
    let twiml = led_on(rig, phone, &twiml).await;
    let mut fork = phone.stream(rig, &twiml).await;
    fork.frames(50).await;
    rig.call(&phone.sid, |call| call["recording"]["state"] == "ACTIVE").await;
    (fork, twiml)
}

fn kinds(chain: &[Value]) -> Vec<&str> {
    chain.iter().map(|entry| entry["kind"].as_str().unwrap()).collect()
}

async fn standing(rig: &Rig) -> Value {
    rig.get(&format!("/api/clients/{CLIENT}/consent")).await.1["recording"]["status"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_breaks_leaves_an_unrecorded_call_that_lasts_until_twilio_says_that_it_is_over() {
    let twilio = Twilio::start().await;
    let rig = start(&twilio).await;
    let phone = Phone::inbound("CA00000000000000000000000000000e11");
    let (fork, twiml) = talking(&rig, &phone).await;
    drop(fork);
    let call = rig.call(&phone.sid, |call| call["recording"]["state"] == "FINISHED").await;
    assert_eq!(
        (&call["phase"], &call["unrecordedReason"], &call["isRecorded"]),
        (&json!("CONNECTED"), &json!("SYSTEM_ERROR"), &json!(true)),
        "two people talk on: {call}"
    );
    let chain = rig.chain_of(&call["callId"]).await;
    assert!(
        chain.iter().any(|entry| entry["kind"] == "call.unrecorded" && entry["detail"]["why"] == "the client's stream broke"),
        "{chain:?}"
    );

    // Another fork is one of the same call, and the rest stays unrecorded.
    let mut again = phone.stream(&rig, &twiml).await;
    again.frames(50).await;
    let found = rig.get(&format!("/api/calls?callSid={}", phone.sid)).await.1;
    let found = found["calls"].as_array().unwrap();
    assert_eq!((found.len(), &found[0]["callId"]), (1, &call["callId"]), "{found:?}");
    let withheld = |call: &Value| call["recording"]["framesWithheld"]["inbound"].as_u64().unwrap();
    // All of it has come through the delay line, but the last of it.
    let now = rig.call(&phone.sid, |now| withheld(now) >= withheld(&call) + 35).await;
    assert_eq!(now["recording"]["framesCaptured"], call["recording"]["framesCaptured"]);
    // Their no is a no, on it as well as by whoever tells it.
    again.key("2").await;
    again.frames(150).await;
    rig.call(&phone.sid, |call| call["consent"]["status"] == "REVOKED").await;
    let path = format!("/api/calls/{}/opt-out", call["callId"].as_str().unwrap());
    assert_eq!(rig.post_as(&path, json!({}), &rig.token).await.0, 200);
    assert_eq!(standing(&rig).await, "REVOKED");
    phone.status(&rig, "completed").await;
    rig.call(&phone.sid, |call| call["phase"] == "ENDED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_stops_ends_nothing_and_the_next_one_goes_on() {
    let twilio = Twilio::start().await;
    let rig = start(&twilio).await;
    let phone = Phone::inbound("CA00000000000000000000000000000e12");
    // New TwiML for the call, of the main app's own: the fork stops, and another begins.
    let (mut fork, twiml) = talking(&rig, &phone).await;
    fork.stop().await;
    drop(fork);
    let mut next = phone.stream(&rig, &twiml).await;
    next.frames(50).await;
    let call = rig.call(&phone.sid, |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(80)).await;
    assert_eq!((&call["phase"], &call["unrecordedReason"]), (&json!("CONNECTED"), &Value::Null), "{call}");
    // And that it stops once more, and nobody says why, is told in time.
    next.stop().await;
    tokio::time::sleep(Duration::from_millis(WORD_WITHIN_MS)).await;
    let call = rig.call(&phone.sid, |call| call["unrecordedReason"] == "SYSTEM_ERROR").await;
    assert_eq!(call["phase"], "CONNECTED", "{call}");
    rig.call(&phone.sid, |call| call["recording"]["state"] == "FINISHED").await;
    phone.status(&rig, "completed").await;
    let call = rig.call(&phone.sid, |call| call["phase"] == "ENDED").await;
    assert_eq!(call["recording"]["framesCaptured"]["inbound"], 100, "{call}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_whose_stream_breaks_is_no_hang_up_but_an_unrecorded_call() {
    let twilio = Twilio::start().await;
    let rig = start(&twilio).await;
    let (_, placed) =
        rig.initiate(&json!({ "clientId": CLIENT, "formIds": [], "to": "+16175550123", "connectTo": "client:maria" }), None).await;
    assert!(placed["callId"].is_string(), "{placed}");
    for (n, (phone, party)) in
        [(Phone::inbound("CA00000000000000000000000000000e13"), "desk"), (twilio.phone(), "maria")].into_iter().enumerate()
    {
        let (caller, twiml) = asked(&rig, &phone).await;
        drop(caller);
        let call = rig.call(&phone.sid, |call| call["unrecordedReason"] == "SYSTEM_ERROR").await;
        assert_eq!((&call["phase"], &call["consent"]["status"]), (&json!("CONNECTED"), &json!("PENDING")), "{call}");
        let next = led_on(&rig, &phone, &twiml).await;
        assert!(next.ends_with(&format!("<Response><Dial><Client>{party}</Client></Dial></Response>")), "{next}");
        // They talk for a while.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        phone.status(&rig, "completed").await;
        let call = rig.call(&phone.sid, |call| call["phase"] == "ENDED").await;
        assert!(call["durationSeconds"].as_u64() >= Some(1) && call["isRecorded"] == false, "{call}");
        let chain = rig.chain_of(&call["callId"]).await;
        assert!(kinds(&chain).contains(&"call.unrecorded") && !kinds(&chain).contains(&"consent.abandoned"), "{chain:?}");
        let told = rig.get(&format!("/api/clients/{CLIENT}/interactions")).await.1;
        assert_eq!(told["interactions"].as_array().unwrap().len(), n + 1, "{told}");
    }
    let tasks = rig.get("/api/tasks").await.1;
    assert_eq!(tasks["tasks"].as_array().unwrap().len(), 1, "who asked for the call writes down what it was about: {tasks}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_question_is_a_hang_up_unless_twilio_connects_the_people() {
    let twilio = Twilio::start().await;
    let rig = start(&twilio).await;
    let phone = Phone::inbound("CA00000000000000000000000000000e14");
    let (mut caller, twiml) = asked(&rig, &phone).await;
    caller.stop().await;
    let next = led_on(&rig, &phone, &twiml).await;
    assert!(next.ends_with("<Response><Dial><Client>desk</Client></Dial></Response>"), "{next}");
    let call = rig.call(&phone.sid, |call| call["unrecordedReason"] == "SYSTEM_ERROR").await;
    assert_eq!(call["phase"], "CONNECTED", "{call}");
    let chain = rig.chain_of(&call["callId"]).await;
    assert!(!kinds(&chain).contains(&"consent.abandoned"), "{chain:?}");
    phone.status(&rig, "completed").await;
    rig.call(&phone.sid, |call| call["phase"] == "ENDED").await;

    let phone = Phone::inbound("CA00000000000000000000000000000e15");
    let (mut caller, _) = asked(&rig, &phone).await;
    caller.stop().await;
    phone.status(&rig, "completed").await;
    let call = rig.call(&phone.sid, |call| call["phase"] == "ABANDONED").await;
    assert_eq!(call["unrecordedReason"], Value::Null, "{call}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_that_twilios_word_overtakes_is_written_and_what_was_said_last_is_kept() {
    let twilio = Twilio::start().await;
    let rig = start(&twilio).await;
    // In the question.
    let phone = Phone::inbound("CA00000000000000000000000000000e16");
    let (mut caller, _) = asked(&rig, &phone).await;
    phone.status(&rig, "completed").await;
    caller.key("2").await;
    caller.stop().await;
    let call = rig.call(&phone.sid, |call| call["endedAt"].is_string()).await;
    assert_eq!((&call["phase"], &call["consent"]["status"]), (&json!("ENDED"), &json!("REVOKED")), "{call}");
    assert_eq!(standing(&rig).await, "REVOKED");
    // In the talk, where the fork never says that it stops.
    let phone = Phone::inbound("CA00000000000000000000000000000e17");
    let (mut fork, _) = talking(&rig, &phone).await;
    phone.status(&rig, "completed").await;
    fork.key("2").await;
    fork.frames(20).await;
    let call = rig.call(&phone.sid, |call| call["endedAt"].is_string()).await;
    assert_eq!((&call["phase"], &call["consent"]["status"]), (&json!("ENDED"), &json!("REVOKED")), "{call}");
    // And without a no the last words are kept.
    let phone = Phone::inbound("CA00000000000000000000000000000e18");
    let (mut fork, _) = talking(&rig, &phone).await;
    phone.status(&rig, "completed").await;
    fork.frames(25).await;
    fork.stop().await;
    let call = rig.call(&phone.sid, |call| call["recording"]["state"] == "FINISHED" && call["endedAt"].is_string()).await;
    assert_eq!((&call["unrecordedReason"], &call["recording"]["framesCaptured"]["inbound"]), (&Value::Null, &json!(75)), "{call}");
}
