//! Two legs of one call, joined by a real gateway: through its webhooks, Twilio's REST API, and two WebSockets.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::twilio::{Phone, Twilio};
use crate::common::{Caller, Rig, numbered, until};
use base64_simd::STANDARD;
use callgate::engine::audio::beep;
use callgate::engine::audio::prompts::{Language, Line, library};
use callgate::server::Given;
use serde_json::{Value, json};

fn given(twilio: &Twilio) -> Given {
    Given {
        inbound_route: Some("client:anna".into()),
        topology: Some("bridge".into()),
        prompt_in_recording: Some("false".into()),
        ..twilio.given()
    }
}

/// The other party's telephone, once Twilio is asked to call it.
async fn called(twilio: &Twilio) -> Phone {
    until("the other party is called", async || twilio.placed() == 1).await;
    twilio.phone()
}

/// The client has answered, and the other party's telephone rings.
async fn ringing(rig: &Rig, twilio: &Twilio, sid: &str) -> (Caller, Phone) {
    let phone = Phone::inbound(sid);
    let twiml = phone.voice(rig, &[("clientId", "client-1")]).await;
    assert!(twiml.contains(r#"<Parameter name="bridge" value="true"/>"#), "{twiml}");
    let mut client = phone.stream(rig, &twiml).await;
    client.frames(250).await;
    client.key("1").await;
    rig.call(&phone.sid, |call| call["recording"]["state"] == "ACTIVE").await;
    client.frames(400).await;
    let party = called(twilio).await;
    assert_eq!(party.told("To"), ["client:anna"]);
    let room = |twiml: &str| twiml.split_once("<Conference").unwrap().1.split_once("</Conference>").unwrap().0.to_owned();
    let theirs = party.voice(rig, &[]).await;
    assert_eq!(room(&twiml), room(&theirs), "both legs fall into one conference");
    assert!(theirs.contains(r#"<Parameter name="mode" value="party"/>"#), "{theirs}");
    (client, party)
}

/// Which of these numbered frames were played into a stream.
fn heard(caller: &Caller, of: std::ops::RangeInclusive<u64>) -> BTreeSet<u64> {
    let payload = |said: &Value| said["media"]["payload"].as_str().map(|payload| STANDARD.decode_to_vec(payload).unwrap());
    let all: Vec<u8> = caller.heard.iter().filter_map(payload).flatten().collect();
    of.filter(|n| all.windows(160).any(|window| window == numbered(*n))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_legs_hear_each_other_and_are_captured_by_one_gate() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(given(&twilio)).await;
    let (mut client, phone) = ringing(&rig, &twilio, "CA00000000000000000000000000000b01").await;
    let theirs = phone.voice(&rig, &[]).await;
    client.listen(Duration::from_millis(300)).await;
    let before = client.heard.len();
    client.frames(20).await;
    client.listen(Duration::from_millis(300)).await;
    assert!(client.heard[before..].iter().filter(|said| said["event"] == "media").count() >= 18, "it rings");
    let mut party = phone.stream(&rig, &theirs).await;
    rig.call("CA00000000000000000000000000000b01", |call| call["phase"] == "CONNECTED").await;
    client.listen(Duration::from_millis(300)).await;
    // Turn by turn, as two telephones: 20 ms of the one, 20 ms of the other.
    let (first, theirs_first) = (client.chunk + 1, 10_001);
    for n in 0..100 {
        client.frames(1).await;
        party.frame(&numbered(theirs_first + n)).await;
        client.listen(Duration::from_millis(3)).await;
        party.listen(Duration::from_millis(3)).await;
    }
    client.key("5").await;
    client.listen(Duration::from_millis(300)).await;
    party.listen(Duration::from_millis(300)).await;
    let (to_client, to_party) = (heard(&client, theirs_first..=theirs_first + 99), heard(&party, first..=first + 99));
    assert!(to_client.len() >= 95 && to_party.len() >= 95, "{} and {} of 100", to_client.len(), to_party.len());
    assert!(party.heard.iter().all(|said| said["event"] == "media"), "nothing but audio goes to the other party");
    party.stop().await;
    assert!(!client.listen(Duration::from_secs(5)).await, "the other party hung up");
    let call = rig.call("CA00000000000000000000000000000b01", |call| call["recording"]["state"] == "FINISHED").await;
    let captured = &call["recording"]["framesCaptured"];
    assert!(captured["outbound"].as_u64() >= Some(95) && captured["inbound"].as_u64() >= Some(100), "{call}");
    // Their hang-up is the client's as well.
    let ended: Vec<_> = twilio.ended();
    assert_eq!(ended, ["CA00000000000000000000000000000b01"]);
    let kinds: Vec<Value> = rig.chain_of(&call["callId"]).await.iter().map(|entry| entry["kind"].clone()).collect();
    assert!(kinds.contains(&json!("call.bridged")) && kinds.contains(&json!("call.bridge_ended")), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_client_hangs_up_so_does_the_other_party() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(given(&twilio)).await;
    let (mut client, phone) = ringing(&rig, &twilio, "CA00000000000000000000000000000b02").await;
    let mut party = phone.stream(&rig, &phone.voice(&rig, &[]).await).await;
    client.frames(5).await;
    party.listen(Duration::from_millis(300)).await;
    client.stop().await;
    assert!(!party.listen(Duration::from_secs(5)).await, "its stream is closed");
    for _ in 0..200 {
        if !twilio.ended().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(twilio.ended(), std::slice::from_ref(&phone.sid));
    rig.call("CA00000000000000000000000000000b02", |call| call["phase"] == "ENDED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_with_another_token_is_not_joined() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(given(&twilio)).await;
    let (mut client, phone) = ringing(&rig, &twilio, "CA00000000000000000000000000000b03").await;
    let theirs = phone.voice(&rig, &[]).await;
    let token = theirs.split_once("name=\"token\" value=\"").unwrap().1.split_once('"').unwrap().0;
    let mut stranger = phone.stream(&rig, &theirs.replace(token, "party_guessed")).await;
    assert!(!stranger.listen(Duration::from_secs(3)).await);
    let mut party = phone.stream(&rig, &theirs).await;
    client.frames(5).await;
    let mut second = phone.stream(&rig, &theirs).await;
    assert!(!second.listen(Duration::from_secs(3)).await, "one other party");
    client.frames(20).await;
    party.listen(Duration::from_millis(300)).await;
    assert!(party.was_played_to());
    client.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_reached_ends_the_call_and_the_chain_says_why() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(given(&twilio)).await;
    let (mut client, party) = ringing(&rig, &twilio, "CA00000000000000000000000000000b04").await;
    party.status(&rig, "no-answer").await;
    while client.listen(Duration::from_secs(3)).await {}
    rig.call("CA00000000000000000000000000000b04", |call| call["phase"] == "ENDED").await;
    for _ in 0..200 {
        if !twilio.ended().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(twilio.ended(), ["CA00000000000000000000000000000b04"]);
    let call = rig.call("CA00000000000000000000000000000b04", |_| true).await;
    let chain = rig.chain_of(&call["callId"]).await;
    let ended = chain.iter().find(|entry| entry["kind"] == "call.bridge_ended").unwrap();
    assert_eq!(ended["detail"]["why"], "it was not reached", "{ended}");
}

/// Twilio hangs up on a leg, because we asked it to.
async fn ended(twilio: &Twilio) -> Vec<String> {
    for _ in 0..200 {
        if !twilio.ended().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    twilio.ended()
}

#[tokio::test(flavor = "multi_thread")]
async fn twilios_word_that_overtakes_the_clients_stop_lets_the_other_party_go_as_well() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(given(&twilio)).await;
    let (mut client, phone) = ringing(&rig, &twilio, "CA00000000000000000000000000000b06").await;
    let mut party = phone.stream(&rig, &phone.voice(&rig, &[]).await).await;
    client.frames(5).await;
    party.listen(Duration::from_millis(300)).await;
    Phone::inbound("CA00000000000000000000000000000b06").status(&rig, "completed").await;
    assert!(!party.listen(Duration::from_secs(5)).await, "its stream is closed, no socket stays in dead air");
    assert_eq!(ended(&twilio).await, std::slice::from_ref(&phone.sid));
    client.stop().await;
    rig.call("CA00000000000000000000000000000b06", |call| call["phase"] == "ENDED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_who_hangs_up_while_it_rings_leaves_no_telephone_ringing() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(given(&twilio)).await;
    let (mut client, phone) = ringing(&rig, &twilio, "CA00000000000000000000000000000b07").await;
    client.stop().await;
    assert_eq!(ended(&twilio).await, std::slice::from_ref(&phone.sid));
    rig.call("CA00000000000000000000000000000b07", |call| call["phase"] == "ENDED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leg_that_breaks_hangs_up_on_nobody_they_meet_in_the_conference() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(given(&twilio)).await;
    let (mut client, phone) = ringing(&rig, &twilio, "CA00000000000000000000000000000b05").await;
    let party = phone.stream(&rig, &phone.voice(&rig, &[]).await).await;
    client.frames(5).await;
    drop(party);
    while client.listen(Duration::from_secs(3)).await {}
    // They talk on where nobody captures them, and the record says why.
    let call = rig.call("CA00000000000000000000000000000b05", |call| call["unrecordedReason"] == "SYSTEM_ERROR").await;
    assert_eq!(call["phase"], "CONNECTED", "{call}");
    let chain = rig.chain_of(&call["callId"]).await;
    let has = |kind: &str| chain.iter().any(|entry| entry["kind"] == kind && entry["detail"]["why"] == "its leg broke");
    assert!(has("call.bridge_ended") && has("call.unrecorded"), "{chain:?}");
    assert!(twilio.ended().is_empty(), "the next verb of both is the same conference");
    let path = format!("/api/calls/{}/opt-out", call["callId"].as_str().unwrap());
    let (status, state) = rig.post_as(&path, json!({}), &rig.token).await;
    assert_eq!((status, &state["consent"]["status"]), (200, &json!("REVOKED")), "a no is still taken: {state}");
    Phone::inbound("CA00000000000000000000000000000b05").status(&rig, "completed").await;
    rig.call("CA00000000000000000000000000000b05", |call| call["phase"] == "ENDED" && call["recording"]["state"] == "FINISHED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_opt_out_discards_one_after_a_broken_leg_has_the_stored_recording_deleted() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(Given { on_opt_out: Some("discard-call".into()), ..given(&twilio) }).await;
    let (mut client, phone) = ringing(&rig, &twilio, "CA00000000000000000000000000000b15").await;
    let party = phone.stream(&rig, &phone.voice(&rig, &[]).await).await;
    client.frames(5).await;
    drop(party);
    while client.listen(Duration::from_secs(3)).await {}
    let call = rig.call("CA00000000000000000000000000000b15", |call| call["recording"]["state"] == "FINISHED").await;
    assert_eq!((&call["phase"], &call["isRecorded"]), (&json!("CONNECTED"), &json!(true)), "stored while they talk on: {call}");
    let recording = format!("/api/recordings/{}", call["recording"]["recordingId"].as_str().unwrap());
    let listener = rig.token_of("listener", "Listener", &["canViewRecordings"], &["*"]);
    let may_hear = async || rig.ask(reqwest::Method::GET, &format!("{recording}/audio"), String::new(), &listener).await.0 == 200;
    assert!(may_hear().await);
    let path = format!("/api/calls/{}/opt-out", call["callId"].as_str().unwrap());
    let (status, state) = rig.post_as(&path, json!({}), &rig.token).await;
    assert_eq!((status, &state["consent"]["status"]), (200, &json!("REVOKED")), "{state}");
    assert!(state["recording"]["reason"].as_str().is_some_and(|why| why.contains("queued for deletion")), "the answer says so: {state}");
    assert!(!may_hear().await, "and it is nobody's to hear any more");
    let chain = rig.chain("client-1").await;
    let halted = chain.iter().find(|entry| entry["kind"] == "recording.halted").expect("the chain says so");
    assert_eq!(halted["detail"]["carriedOut"], false, "{halted}");
    assert!(chain.iter().any(|entry| entry["kind"] == "recording.queued" && entry["detail"]["recordings"] == 1), "{chain:?}");
    Phone::inbound("CA00000000000000000000000000000b15").status(&rig, "completed").await;
    rig.call("CA00000000000000000000000000000b15", |call| call["phase"] == "ENDED").await;
    assert_eq!(rig.post_as(&path, json!({}), &rig.token).await.0, 200, "asked again, the same");
}

/// Turn by turn, as two telephones: 20 ms of the one, 20 ms of the other.
async fn both_talk(client: &mut Caller, party: &mut Caller, frames: u64) {
    for _ in 0..frames {
        client.frames(1).await;
        party.frames(1).await;
        client.listen(Duration::from_millis(3)).await;
        party.listen(Duration::from_millis(3)).await;
    }
}

/// All audio that was played into a stream.
fn played(caller: &Caller) -> Vec<u8> {
    let payload = |said: &Value| said["media"]["payload"].as_str().map(|payload| STANDARD.decode_to_vec(payload).unwrap());
    caller.heard.iter().filter_map(payload).flatten().collect()
}

fn sounds(caller: &Caller, codes: &[u8]) -> usize {
    played(caller).windows(codes.len()).filter(|window| *window == codes).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_are_told_what_becomes_of_the_recording_and_hear_the_tone() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(Given { announce: Some("true".into()), beep_seconds: Some("5".into()), ..given(&twilio) }).await;
    let (mut client, phone) = ringing(&rig, &twilio, "CA00000000000000000000000000000b08").await;
    let mut party = phone.stream(&rig, &phone.voice(&rig, &[]).await).await;
    both_talk(&mut client, &mut party, 600).await;
    let call = rig.call("CA00000000000000000000000000000b08", |call| call["recording"]["state"] == "ACTIVE").await;
    let id = call["callId"].as_str().unwrap();
    for (path, line) in [("pause", Line::Paused), ("resume", Line::Resumed), ("opt-out", Line::Stopped)] {
        let body = if path == "pause" { json!({ "reason": "PAYMENT" }) } else { json!({}) };
        let (status, state) = rig.post_as(&format!("/api/calls/{id}/{path}"), body, &rig.token).await;
        assert_eq!(status, 200, "{path}: {state}");
        both_talk(&mut client, &mut party, 200).await;
        let codes = library().prompt(Language::EN, line).codes;
        assert_eq!((sounds(&client, codes), sounds(&party, codes)), (1, 1), "{path}: each hears it once, in one piece");
    }
    let (to_client, to_party) = (sounds(&client, beep::codes()), sounds(&party, beep::codes()));
    assert!(to_client >= 3 && to_client == to_party, "{to_client} and {to_party} tones");
    client.stop().await;
    let call = rig.call("CA00000000000000000000000000000b08", |call| call["recording"]["state"] == "FINISHED").await;
    let recording = rig.get(&format!("/api/recordings/{}", call["recording"]["recordingId"].as_str().unwrap())).await.1;
    let manifest = recording["objectKey"].as_str().unwrap().replace(".wav", ".json");
    let manifest: Value = serde_json::from_slice(&std::fs::read(rig.folder.path().join("objects").join(manifest)).unwrap()).unwrap();
    assert_eq!(manifest["beeps"].as_array().unwrap().len(), to_client, "its times are in the manifest: {manifest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_stream_breaks_in_the_question_meets_the_other_party_in_the_conference_unrecorded() {
    let twilio = Twilio::start().await;
    let bin = "https://handler.twilio.com/twiml/EH1";
    let rig = Rig::start(Given { fallback_url: Some(bin.into()), ..given(&twilio) }).await;
    let inbound = Phone::inbound("CA00000000000000000000000000000b09");
    let twiml = inbound.voice(&rig, &[("clientId", "client-1")]).await;
    let mut client = inbound.stream(&rig, &twiml).await;
    client.frames(100).await;
    rig.call(&inbound.sid, |call| call["phase"] == "PROMPTING").await;
    drop(client);
    let call = rig.call(&inbound.sid, |call| call["unrecordedReason"] == "SYSTEM_ERROR").await;
    assert_eq!(
        (&call["phase"], &call["isRecorded"], &call["consent"]["status"]),
        (&json!("CONNECTED"), &json!(false), &json!("PENDING")),
        "{call}"
    );
    let chain = rig.chain_of(&call["callId"]).await;
    assert!(!chain.iter().any(|entry| entry["kind"] == "consent.abandoned"), "{chain:?}");
    let party = called(&twilio).await;
    let id = call["callId"].as_str().unwrap();
    assert_eq!(
        party.told("FallbackUrl"),
        [format!("{bin}?callId={id}&conference={id}")],
        "who answers for us knows where the client waits"
    );
    let theirs = party.voice(&rig, &[]).await;
    let room = |twiml: &str| twiml.split_once("<Conference").unwrap().1.split_once("</Conference>").unwrap().0.to_owned();
    assert_eq!(room(&twiml), room(&theirs));
    let mut stream = party.stream(&rig, &theirs).await;
    assert!(!stream.listen(Duration::from_secs(3)).await, "its stream is let go, to the conference behind it");
    assert!(!stream.was_played_to());
    assert_eq!(rig.call(&inbound.sid, |_| true).await["phase"], "CONNECTED");
    inbound.status(&rig, "completed").await;
    let call = rig.call(&inbound.sid, |call| call["phase"] == "ENDED").await;
    assert_eq!((&call["unrecordedReason"], &call["recording"]["state"]), (&json!("SYSTEM_ERROR"), &json!("NOT_STARTED")), "{call}");
    assert!(ended(&twilio).await.contains(&party.sid), "and nobody is left alone on the line");
}
