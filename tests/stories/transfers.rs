//! A live call is handed over: Twilio is asked by its REST API, and consent goes along.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::twilio::{Mood, Phone, Twilio};
use crate::common::{Caller, Rig, databases, files};
use callgate::server::{Given, GivenRelay};
use serde_json::{Value, json};
use tokio::net::TcpListener;

async fn rig(twilio: &Twilio, given: Given) -> Rig {
    let relay = BTreeMap::from([("front".to_owned(), GivenRelay { url: "ws://127.0.0.1:9/".into(), ..GivenRelay::default() })]);
    let ours = Given { inbound_route: Some("client:anna".into()), relay, ..Given::default() };
    Rig::start(given.over(ours).over(twilio.given())).await
}

/// An inbound call whose client pressed this; two people talk, in a fork if it is captured.
async fn talking(rig: &Rig, phone: &Phone, key: &str) -> (Value, Option<Caller>) {
    let twiml = phone.voice(rig, &[("clientId", "client-1")]).await;
    let mut caller = phone.stream(rig, &twiml).await;
    caller.frames(250).await;
    caller.key(key).await;
    let wanted = if key == "1" { "GRANTED" } else { "REVOKED" };
    rig.call(&phone.sid, |call| call["consent"]["status"] == wanted).await;
    caller.frames(400).await;
    assert!(!caller.listen(Duration::from_secs(3)).await, "handed back");
    let next = phone.ask(rig, &crate::common::twilio::attribute(&twiml, "Connect", "action"), &[]).await.1;
    assert!(next.ends_with("<Dial><Client>anna</Client></Dial></Response>"), "{next}");
    let fork = if key == "1" {
        let mut fork = phone.stream(rig, &next).await;
        fork.frames(100).await;
        rig.call(&phone.sid, |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(80)).await;
        Some(fork)
    } else {
        assert!(!next.contains("<Start>"), "{next}");
        None
    };
    let call = rig.call(&phone.sid, |call| call["phase"] == "CONNECTED").await;
    (call, fork)
}

async fn hand(rig: &Rig, call: &Value, body: Value) -> (u16, Value) {
    rig.post_as(&format!("/api/calls/{}/transfer", call["callId"].as_str().unwrap()), body, &rig.token).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_hands_over_to_another_in_one_call_and_one_recording() {
    let twilio = Twilio::start().await;
    let rig = rig(&twilio, Given::default()).await;
    let phone = Phone::inbound("CA00000000000000000000000000000a11");
    let (call, fork) = talking(&rig, &phone, "1").await;
    let mut fork = fork.unwrap();
    let maria = json!({ "to": "client:maria", "kind": "AGENT" });
    let (status, state) = hand(&rig, &call, maria.clone()).await;
    assert_eq!((status, state["recording"]["state"].as_str()), (200, Some("PAUSED")), "nothing is taken in meanwhile: {state}");
    assert_eq!((state["transfers"][0]["kind"].as_str(), state["transfers"][0]["captured"].as_bool()), (Some("AGENT"), Some(true)));
    let updated = twilio.updated();
    assert_eq!((updated.len(), updated[0].0.as_str()), (1, phone.sid.as_str()));
    let twiml = &updated[0].1;
    assert!(twiml.contains("<Start><Stream") && twiml.ends_with("<Dial><Client>maria</Client></Dial></Response>"), "{twiml}");
    assert!(!twiml.contains("<Connect") && !twiml.contains("<Say") && !twiml.contains("<Gather"), "no second question: {twiml}");
    // Asked twice, it is handed over once.
    assert_eq!(hand(&rig, &call, maria).await.0, 200);
    assert_eq!(twilio.updated().len(), 1);
    let captured = rig.call(&phone.sid, |_| true).await["recording"]["framesCaptured"]["inbound"].as_u64().unwrap();
    fork.frames(50).await;
    fork.stop().await;
    let mut next = phone.stream(&rig, twiml).await;
    next.frames(100).await;
    // Twilio's word that the call is over may overtake what a socket still holds.
    rig.call(&phone.sid, |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(captured + 85)).await;
    next.stop().await;
    phone.status(&rig, "completed").await;
    let call = rig.call(&phone.sid, |call| call["recording"]["state"] == "FINISHED" && call["phase"] == "ENDED").await;
    let total = call["recording"]["framesCaptured"]["inbound"].as_u64().unwrap();
    // What waited in the delay line when the call was handed over belongs before it.
    assert!((captured + 100..=captured + 100 + 12).contains(&total), "{total} after {captured}: {call}");
    let manifest = files(&rig.folder.path().join("objects")).into_iter().find(|file| file.extension().is_some_and(|end| end == "json"));
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest.unwrap()).unwrap()).unwrap();
    assert_eq!(
        (manifest["transfers"][0]["to"].as_str(), manifest["transfers"][0]["captured"].as_bool()),
        (Some("AGENT"), Some(true)),
        "{manifest}"
    );
    assert_eq!(
        (manifest["pauses"].as_array().unwrap().len(), manifest["pauses"][0]["reason"].as_str()),
        (1, Some("TRANSFER")),
        "{manifest}"
    );
    assert!(!manifest["pauses"][0]["endMs"].is_null(), "{manifest}");
    let chain = rig.chain_of(&call["callId"]).await;
    let line = chain.iter().find(|entry| entry["kind"] == "call.transferred").unwrap();
    assert_eq!((line["actor"]["id"].as_str(), line["detail"]["kind"].as_str()), (Some("tester"), Some("AGENT")), "{line}");
    assert!(!line.to_string().contains("maria"), "whom, nobody needs to know from the chain: {line}");
    assert_eq!(chain.iter().filter(|entry| entry["kind"] == "recording.started").count(), 1);
    assert_eq!(chain.iter().filter(|entry| entry["kind"] == "consent.granted").count(), 1, "one answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_asked_for_by_mistake_and_answers_is_not_taken_for_who_was_meant() {
    let twilio = Twilio::start().await;
    let rig = rig(&twilio, Given::default()).await;
    let phone = Phone::inbound("CA00000000000000000000000000000a17");
    let (call, fork) = talking(&rig, &phone, "1").await;
    for to in ["client:maria", "client:bob"] {
        let (status, state) = hand(&rig, &call, json!({ "to": to, "kind": "AGENT" })).await;
        assert_eq!((status, state["recording"]["state"].as_str()), (200, Some("PAUSED")), "{state}");
    }
    fork.unwrap().stop().await;
    let twiml: Vec<_> = twilio.updated().into_iter().map(|(_, twiml)| twiml).collect();
    assert!(twiml.len() == 2 && twiml[1].ends_with("<Dial><Client>bob</Client></Dial></Response>"), "{twiml:?}");
    let captured = |call: &Value| call["recording"]["framesCaptured"]["inbound"].as_u64().unwrap();
    let withheld = |call: &Value| call["recording"]["framesWithheld"]["inbound"].as_u64().unwrap();
    // Maria's stream was under way.
    let before = rig.call(&phone.sid, |_| true).await;
    let mut marias = phone.stream(&rig, &twiml[0]).await;
    marias.frames(100).await;
    let state = rig.call(&phone.sid, |call| withheld(call) >= withheld(&before) + 100).await;
    let streams = |call: &Value| call["recording"]["segments"].as_array().unwrap().len();
    assert_eq!((state["recording"]["state"].as_str(), streams(&state)), (Some("PAUSED"), 1), "nothing of it is captured: {state}");
    let before = captured(&state);
    marias.stop().await;
    let mut bobs = phone.stream(&rig, &twiml[1]).await;
    bobs.frames(100).await;
    let state = rig.call(&phone.sid, |call| captured(call) >= before + 85).await;
    assert_eq!((state["phase"].as_str(), state["recording"]["state"].as_str()), (Some("CONNECTED"), Some("ACTIVE")), "{state}");
    assert_eq!(state["transfers"].as_array().unwrap().len(), 2, "both were asked for: {state}");
    bobs.stop().await;
    phone.status(&rig, "completed").await;
    rig.call(&phone.sid, |call| call["recording"]["state"] == "FINISHED" && call["phase"] == "ENDED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_between_two_parties_cuts_at_the_moment_that_it_names() {
    let twilio = Twilio::start().await;
    let rig = rig(&twilio, Given::default()).await;
    let phone = Phone::inbound("CA00000000000000000000000000000a18");
    let (call, fork) = talking(&rig, &phone, "1").await;
    let mut fork = fork.unwrap();
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let mut moment = (String::new(), 0);
    for n in 0..150 {
        pace.tick().await;
        if n == 75 {
            moment = (callgate::io::clock::wall().to_string(), fork.chunk);
        }
        fork.frames(1).await;
    }
    assert_eq!(hand(&rig, &call, json!({ "to": "client:maria", "kind": "AGENT" })).await.0, 200);
    fork.stop().await;
    // The last of them may come after the hold.
    rig.call(&phone.sid, |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(fork.chunk - 5)).await;
    let path = format!("/api/calls/{}/opt-out", call["callId"].as_str().unwrap());
    let (status, state) = rig.post_as(&path, json!({ "effectiveAt": moment.0 }), &rig.token).await;
    assert_eq!((status, state["recording"]["state"].as_str()), (200, Some("HALTED")), "{state}");
    let captured = state["recording"]["framesCaptured"]["inbound"].as_u64().unwrap();
    assert!(captured <= moment.1 + 2 && captured + 25 > moment.1, "{captured} of {}, the moment was at {}", fork.chunk, moment.1);
    let chain = rig.chain_of(&call["callId"]).await;
    let halted = chain.iter().find(|entry| entry["kind"] == "recording.halted").unwrap();
    assert_eq!(halted["position"]["streamSid"], state["recording"]["segments"][0]["streamSid"], "{halted}");
    phone.status(&rig, "completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_goes_along() {
    let twilio = Twilio::start().await;
    let rig = rig(&twilio, Given::default()).await;
    let phone = Phone::inbound("CA00000000000000000000000000000a12");
    let (call, _) = talking(&rig, &phone, "2").await;
    let (status, state) = hand(&rig, &call, json!({ "to": "+16175550123", "kind": "AGENT" })).await;
    assert_eq!(
        (status, state["transfers"][0]["captured"].as_bool(), state["consent"]["status"].as_str()),
        (200, Some(false), Some("REVOKED"))
    );
    let twiml = &twilio.updated()[0].1;
    assert!(twiml.ends_with("<Response><Dial><Number>+16175550123</Number></Dial></Response>"), "no fork, no question: {twiml}");
    phone.status(&rig, "completed").await;
    let call = rig.call(&phone.sid, |call| call["phase"] == "ENDED").await;
    assert_eq!((call["isRecorded"].as_bool(), call["unrecordedReason"].as_str()), (Some(false), Some("CLIENT_OPT_OUT")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_is_handed_a_call_and_told_where_consent_stands() {
    let twilio = Twilio::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let relay = BTreeMap::from([("helper".to_owned(), GivenRelay { url, ..GivenRelay::default() })]);
    let rig = rig(&twilio, Given { relay, transfer_covers: Some("agent".into()), ..Given::default() }).await;
    let phone = Phone::inbound("CA00000000000000000000000000000a13");
    let (call, fork) = talking(&rig, &phone, "1").await;
    let (status, state) = hand(&rig, &call, json!({ "to": "helper", "kind": "BOT" })).await;
    assert_eq!(
        (status, state["transfers"][0]["captured"].as_bool()),
        (200, Some(false)),
        "what the client was told covers agents alone: {state}"
    );
    let twiml = twilio.updated()[0].1.clone();
    assert!(twiml.contains(r#"<Parameter name="relay" value="helper"/>"#) && twiml.contains("relay=helper"), "{twiml}");
    fork.unwrap().stop().await;
    let mut caller = phone.stream(&rig, &twiml).await;
    caller.frames(5).await;
    let (stream, _) = tokio::time::timeout(Duration::from_secs(5), listener.accept()).await.unwrap().unwrap();
    let mut bot = tokio_tungstenite::accept_async(stream).await.unwrap();
    use futures_util::StreamExt as _;
    bot.next().await.unwrap().unwrap();
    let start: Value = serde_json::from_str(bot.next().await.unwrap().unwrap().to_text().unwrap()).unwrap();
    assert_eq!(start["start"]["customParameters"]["consentStatus"], "GRANTED", "{start}");
    let before = rig.call(&phone.sid, |_| true).await["recording"]["framesCaptured"]["inbound"].clone();
    caller.frames(100).await;
    let after = rig.call(&phone.sid, |call| call["recording"]["state"] == "PAUSED").await["recording"]["framesCaptured"]["inbound"].clone();
    assert_eq!(before, after, "it serves, and nothing is captured");
    caller.stop().await;
    phone.status(&rig, "completed").await;
    rig.call(&phone.sid, |call| call["recording"]["state"] == "FINISHED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_twilio_does_not_hand_it_over_the_call_goes_on_as_it_was() {
    let twilio = Twilio::start().await;
    let rig = rig(&twilio, Given::default()).await;
    let phone = Phone::inbound("CA00000000000000000000000000000a14");
    let (call, fork) = talking(&rig, &phone, "1").await;
    let maria = json!({ "to": "client:maria", "kind": "AGENT" });
    twilio.is(Mood::Refuses(400, 21205));
    let (status, problem) = hand(&rig, &call, maria.clone()).await;
    assert_eq!((status, problem["twilioCode"].as_u64()), (502, Some(21205)), "{problem}");
    let state = rig.call(&phone.sid, |call| call["recording"]["state"] == "ACTIVE").await;
    assert_eq!(state["transfers"], json!([]));
    twilio.is(Mood::Refuses(404, 20404));
    assert_eq!(hand(&rig, &call, maria.clone()).await.0, 409, "Twilio knows of no such call any more");
    twilio.is(Mood::Takes);
    assert_eq!(hand(&rig, &call, maria).await.0, 200, "it may be tried again");
    drop(fork);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_handed_over_is_refused_by_name() {
    let twilio = Twilio::start().await;
    let rig = rig(&twilio, Given { unannounced: Some("true".into()), ..Given::default() }).await;
    let phone = Phone::inbound("CA00000000000000000000000000000a15");
    let twiml = phone.voice(&rig, &[("clientId", "client-1")]).await;
    let mut caller = phone.stream(&rig, &twiml).await;
    caller.frames(50).await;
    let call = rig.call(&phone.sid, |_| true).await;
    let maria = json!({ "to": "client:maria", "kind": "AGENT" });
    let (status, problem) = hand(&rig, &call, maria.clone()).await;
    assert!(status == 409 && problem["detail"].as_str().unwrap().contains("still being asked"), "{problem}");
    for (wrong, told) in [
        (json!({ "to": "maria", "kind": "AGENT" }), "client:ID"),
        (json!({ "to": "nobody", "kind": "BOT" }), "[relay.NAME]"),
        (json!({ "to": "client:maria", "kind": "FRIEND" }), "BOT"),
        (json!({}), "BOT"),
    ] {
        let (status, problem) = hand(&rig, &call, wrong).await;
        assert!(status == 400 && problem["detail"].as_str().unwrap().contains(told), "{problem}");
    }
    let path = format!("/api/calls/{}/transfer", call["callId"].as_str().unwrap());
    let viewer = rig.token_of("viewer", "Viewer", &["canViewClients"], &["*"]);
    assert_eq!(rig.post_as(&path, maria.clone(), &viewer).await.0, 403);
    assert_eq!(rig.post_as("/api/calls/call_none/transfer", maria.clone(), &rig.token).await.0, 404);
    caller.stop().await;
    phone.status(&rig, "completed").await;
    rig.call(&phone.sid, |call| call["phase"] == "ABANDONED").await;
    assert_eq!(hand(&rig, &call, maria).await.0, 409, "over");
    assert!(twilio.updated().is_empty(), "Twilio was never asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_another_gateway_has_is_handed_over_by_that_one() {
    let (twilio, url) = (Twilio::start().await, databases::fresh().await);
    let on = || Given { database_url: Some(url.clone()), ..Given::default() };
    let (owner, other) = (rig(&twilio, on()).await, rig(&twilio, on()).await);
    let phone = Phone::inbound("CA00000000000000000000000000000a16");
    let (call, fork) = talking(&owner, &phone, "1").await;
    let nobody = json!({ "to": "nobody", "kind": "BOT" });
    let (status, problem) = hand(&other, &call, nobody).await;
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("[relay.NAME]"), "the owner's own words: {problem}");
    let maria = json!({ "to": "client:maria", "kind": "AGENT" });
    let (status, state) = hand(&other, &call, maria.clone()).await;
    assert_eq!((status, state["recording"]["state"].as_str()), (200, Some("PAUSED")), "the gate is held: {state}");
    assert_eq!((state["transfers"][0]["kind"].as_str(), state["transfers"][0]["captured"].as_bool()), (Some("AGENT"), Some(true)));
    assert_eq!(hand(&other, &call, maria.clone()).await.0, 200, "asked twice, handed over once");
    let updated = twilio.updated();
    assert_eq!(updated.len(), 1);
    assert!(updated[0].1.ends_with("<Dial><Client>maria</Client></Dial></Response>"), "{}", updated[0].1);
    let chain = owner.chain_of(&call["callId"]).await;
    let line = chain.iter().find(|entry| entry["kind"] == "call.transferred").unwrap();
    assert_eq!(line["actor"]["id"], "tester", "who asked, wherever they asked: {line}");
    drop(fork);
    phone.status(&owner, "completed").await;
    owner.call(&phone.sid, |call| call["phase"] == "ENDED").await;
    assert_eq!(hand(&other, &call, maria).await.0, 409, "over");
}
