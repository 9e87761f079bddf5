//! PX-735's user stories of a call, driven from outside: the main app asks, a stand-in for Twilio places the call and does
//! what Twilio does with it. Each line of acceptance stands in a comment beside the assertion that keeps it.

use std::time::Duration;

use crate::common::twilio::{FROM, Phone, Twilio, attribute};
use crate::common::{Caller, Rig};
use callgate::io::database::{Database, InteractionRow};
use callgate::server::Given;
use serde_json::{Value, json};

const CLIENT: &str = "client-7";
const TO: &str = "+16175550123";
const CASE_MANAGER: &str = "client:maria";

fn wish() -> Value {
    json!({ "clientId": CLIENT, "formIds": ["form-1"], "to": TO, "connectTo": CASE_MANAGER })
}

async fn start(twilio: &Twilio) -> Rig {
    Rig::start(Given { inbound_route: Some("client:desk".into()), ..twilio.given() }).await
}

async fn interactions(rig: &Rig) -> Vec<InteractionRow> {
    rig.chain(CLIENT).await; // what was handed in until now is written
    let database = Database::open(&crate::common::database_url(rig.folder.path())).await.unwrap();
    database.interactions("default", CLIENT, None, 10).await.unwrap()
}

/// A new client's call, as far as the stream in which the prompt plays.
async fn prompted(twilio: &Twilio, rig: &Rig) -> (Value, Phone, Caller) {
    let (status, answer) = rig.initiate(&wish(), None).await;
    assert_eq!(status, 201, "{answer}");
    let phone = twilio.phone();
    let twiml = phone.voice(rig, &[("CallStatus", "in-progress")]).await;
    let caller = phone.stream(rig, &twiml).await;
    (answer["callId"].clone(), phone, caller)
}

/// The same, and the client presses this key as soon as it is named.
async fn pressed(twilio: &Twilio, rig: &Rig, key: &str) -> (Value, Phone) {
    let (id, phone, mut caller) = prompted(twilio, rig).await;
    caller.frames(250).await;
    caller.key(key).await;
    let wanted = if key == "1" { "GRANTED" } else { "REVOKED" };
    rig.by_id(&id, |call| call["consent"]["status"] == wanted).await;
    caller.frames(300).await;
    assert!(!caller.listen(Duration::from_secs(3)).await, "handed back: the socket is closed");
    (id, phone)
}

async fn connected(rig: &Rig, phone: &Phone, id: &Value) -> String {
    let url = format!("{}/api/webhooks/twilio/connected?callId={}", crate::common::twilio::PUBLIC, id.as_str().unwrap());
    let (status, twiml) = phone.ask(rig, &url, &[]).await;
    assert_eq!(status, 200);
    twiml
}

/// A client whose earlier call ended in this answer.
async fn known(twilio: &Twilio, rig: &Rig, key: &str) {
    let (id, phone) = pressed(twilio, rig, key).await;
    phone.status(rig, "completed").await;
    rig.by_id(&id, |call| call["phase"] == "ENDED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn us_1_a_new_client_is_asked_and_recorded_after_a_yes() {
    let twilio = Twilio::start().await;
    let rig = start(&twilio).await;
    let (status, answer) = rig.initiate(&wish(), None).await;
    assert_eq!((status, &answer["status"], &answer["consentStatus"]), (201, &json!("CONSENT_PENDING"), &json!("PENDING")), "{answer}");
    let id = &answer["callId"];
    let (_, call) = rig.get(&format!("/api/calls/{}", id.as_str().unwrap())).await;
    assert_eq!(
        (&call["phase"], &call["direction"], &call["caseManagerId"]),
        (&json!("CREATED"), &json!("OUTBOUND"), &json!("tester")),
        "{call}"
    );
    let made_at = call["startedAt"].clone();

    let phone = twilio.phone();
    assert_eq!((phone.told("To"), phone.told("From"), phone.told("Method")), (vec![TO], vec![FROM], vec!["POST"]));
    assert_eq!(phone.told("StatusCallbackEvent"), ["initiated", "ringing", "answered", "completed"]);
    assert_eq!((phone.told("MachineDetection"), phone.told("AsyncAmd")), (vec!["Enable"], vec!["true"]));
    for event in ["initiated", "ringing", "in-progress"] {
        phone.status(&rig, event).await;
    }
    rig.by_id(id, |call| call["callSid"] == phone.sid && call["phase"] == "CREATED").await;
    let twiml = phone.voice(&rig, &[]).await;
    assert_eq!(phone.voice(&rig, &[]).await, twiml, "asked twice, the same is answered");
    assert!(
        twiml.ends_with("</Connect><Dial><Client>maria</Client></Dial></Response>"),
        "a safe verb follows, which needs us no more: {twiml}"
    );
    assert!(!twiml.contains(TO) && !twiml.contains(CASE_MANAGER), "{twiml}");

    // "When I initiate a call to a client without prior consent, an automated prompt plays"
    let mut caller = phone.stream(&rig, &twiml).await;
    assert!(caller.was_played_to());
    // "I see real-time indication of consent status during the call"
    rig.by_id(id, |call| call["phase"] == "PROMPTING" && call["consent"]["status"] == "PENDING").await;
    // "Prompt is in English with Spanish option (press 9 to hear in Spanish)"
    rig.by_id(id, |call| call["consent"]["languageCode"] == "en").await;
    caller.frames(20).await;
    caller.key("9").await;
    rig.by_id(id, |call| call["consent"]["languageCode"] == "es" && call["phase"] == "PROMPTING").await;
    // "Client pressing 1 or staying on line for 10 seconds grants consent"
    caller.frames(250).await;
    caller.key("1").await;
    rig.by_id(id, |call| call["consent"]["status"] == "GRANTED" && call["consent"]["method"] == "KEYPRESS").await;
    caller.frames(300).await;
    assert!(!caller.listen(Duration::from_secs(3)).await, "handed back: the socket is closed");
    let twiml = phone.ask(&rig, &attribute(&twiml, "Connect", "action"), &[]).await.1;
    let (fork, rest) = twiml.split_once("</Start>").unwrap_or_else(|| panic!("{twiml}"));
    assert!(fork.contains(r#"track="both_tracks""#) && rest == "<Dial><Client>maria</Client></Dial></Response>", "{twiml}");
    let mut fork = phone.stream(&rig, &twiml).await;
    fork.frames(100).await;
    rig.by_id(id, |call| call["recording"]["state"] == "ACTIVE" && call["isRecorded"] == true).await;
    fork.stop().await;
    phone.status(&rig, "completed").await;
    let call = rig.by_id(id, |call| call["recording"]["state"] == "FINISHED").await;
    assert_eq!((&call["phase"], &call["recording"]["framesCaptured"]["inbound"]), (&json!("ENDED"), &json!(100)), "{call}");
    assert_eq!((&call["callSid"], &call["startedAt"]), (&json!(phone.sid), &made_at), "it began when it was asked for");

    // "Consent event is logged to client profile with timestamp and method"
    let chain = rig.chain_of(id).await;
    let granted = chain.iter().find(|entry| entry["kind"] == "consent.granted").unwrap();
    assert_eq!((&granted["clientId"], &granted["detail"]["method"]), (&json!(CLIENT), &json!("KEYPRESS")), "{granted}");
    assert_eq!(granted["at"], call["consent"]["grantedAt"]);
    assert!(chain.iter().any(|entry| entry["kind"] == "call.placed" && entry["actor"]["id"] == "tester"), "{chain:#?}");
    assert!(!chain.iter().any(|entry| entry.to_string().contains(TO)), "no number enters the chain");
    assert!(interactions(&rig).await.is_empty(), "a recorded call leaves no metadata of an unrecorded one");
}

#[tokio::test(flavor = "multi_thread")]
async fn us_1_ten_seconds_on_the_line_grant_if_a_person_is_there() {
    let twilio = Twilio::start().await;
    // (what the voice webhook says, what the screening says later, whether consent is given)
    for (at_once, later, granted) in [
        ("", Some("human"), true),
        ("human", None, true),
        ("machine_start", None, false),
        ("", Some("machine_start"), false),
        ("", Some("fax"), false),
        ("", Some("unknown"), false),
        // Nobody knows that a person listens: silence needs a listener.
        ("", None, false),
    ] {
        let rig = start(&twilio).await;
        let (_, answer) = rig.initiate(&wish(), None).await;
        let phone = twilio.phone();
        let fields = [("AnsweredBy", at_once)];
        let twiml = phone.voice(&rig, if at_once.is_empty() { &[] } else { &fields }).await;
        let mut caller = phone.stream(&rig, &twiml).await;
        if let Some(by) = later {
            phone.screened(&rig, by).await;
        }
        caller.hears_it_out().await;
        rig.by_id(&answer["callId"], |call| call["phase"] == "AWAITING_RESPONSE").await;
        caller.frames(520).await;
        // "Client pressing 1 or staying on line for 10 seconds grants consent"
        let call = rig.by_id(&answer["callId"], |call| call["consent"]["status"] == "GRANTED" || !call["unrecordedReason"].is_null()).await;
        let wanted = if granted {
            (json!("GRANTED"), json!("SILENCE_TIMEOUT"), Value::Null)
        } else {
            (json!("PENDING"), Value::Null, json!("SYSTEM_ERROR"))
        };
        let consent = &call["consent"];
        let found = (consent["status"].clone(), consent["method"].clone(), call["unrecordedReason"].clone());
        assert_eq!(found, wanted, "{at_once:?}, {later:?}");
        let kinds: Vec<_> = rig.chain_of(&answer["callId"]).await.into_iter().map(|entry| entry["kind"].clone()).collect();
        assert_eq!(kinds.contains(&json!("consent.granted")), granted, "{kinds:?}");
        rig.gateway.drain(Duration::ZERO).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn us_1_a_client_who_opts_out_is_connected_unrecorded_and_the_call_lasts_as_long_as_they_talk() {
    let twilio = Twilio::start().await;
    let rig = start(&twilio).await;
    let (id, phone) = pressed(&twilio, &rig, "2").await;
    // "Client pressing 2 opts out - call connects without recording"
    let twiml = connected(&rig, &phone, &id).await;
    assert!(!twiml.contains("Stream") && twiml.ends_with("<Response><Dial><Client>maria</Client></Dial></Response>"), "{twiml}");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let (_, call) = rig.get(&format!("/api/calls/{}", id.as_str().unwrap())).await;
    assert_eq!((&call["phase"], &call["unrecordedReason"]), (&json!("CONNECTED"), &json!("CLIENT_OPT_OUT")), "they talk on: {call}");
    assert!(interactions(&rig).await.is_empty());
    phone.status(&rig, "completed").await;
    let call = rig.by_id(&id, |call| call["phase"] == "ENDED").await;
    assert_eq!((&call["isRecorded"], &call["consent"]["status"]), (&json!(false), &json!("REVOKED")));
    // US-4: "InteractionMetadata record created (date, time, duration, participants - no content)"
    let rows = interactions(&rig).await;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].reason.as_str(), rows[0].case_manager_id.as_str()), ("CLIENT_OPT_OUT", "tester"));
    assert!(rows[0].duration_seconds >= Some(1), "the talk counts, not the prompt alone: {:?}", rows[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn us_2_a_client_who_consented_is_not_asked_again() {
    let twilio = Twilio::start().await;
    let rig = start(&twilio).await;
    known(&twilio, &rig, "1").await;
    // "System checks consent status before connecting"
    let (status, answer) = rig.initiate(&wish(), None).await;
    assert_eq!((status, &answer["status"], &answer["consentStatus"]), (201, &json!("CONNECTING"), &json!("GRANTED")), "{answer}");
    let phone = twilio.phone();
    assert_eq!(phone.told("MachineDetection"), Vec::<&str>::new(), "nobody is asked, so nobody need be there");
    let twiml = phone.voice(&rig, &[]).await;
    assert_eq!(phone.voice(&rig, &[]).await, twiml, "asked twice, the same is answered");
    // "No consent prompt played to client"
    assert!(!twiml.contains("<Connect") && !twiml.contains("<Say"), "{twiml}");
    assert!(twiml.ends_with("</Start><Dial><Client>maria</Client></Dial></Response>"), "{twiml}");
    // "If consent exists and not revoked, recording starts immediately"
    let mut fork = phone.stream(&rig, &twiml).await;
    fork.frames(50).await;
    // "Brief \"Recording Active\" indicator shown to case manager"
    let id = &answer["callId"];
    let call = rig.by_id(id, |call| call["recording"]["state"] == "ACTIVE").await;
    assert_eq!((&call["consent"]["prior"], &call["consent"]["status"]), (&json!(true), &json!("GRANTED")));
    fork.frames(50).await;
    assert!(fork.listen(Duration::from_millis(200)).await && !fork.was_played_to());
    fork.stop().await;
    phone.status(&rig, "completed").await;
    let call = rig.by_id(id, |call| call["recording"]["state"] == "FINISHED").await;
    let frames = |kind: &str| call["recording"][kind]["inbound"].as_u64().unwrap();
    assert_eq!(frames("framesCaptured") + frames("framesWithheld"), 100, "{call}");
    assert!(frames("framesCaptured") >= 50, "{call}");
}

#[tokio::test(flavor = "multi_thread")]
async fn us_2_consent_that_is_withdrawn_while_it_rings_starts_nothing() {
    let twilio = Twilio::start().await;
    let rig = start(&twilio).await;
    known(&twilio, &rig, "1").await;
    let (_, answer) = rig.initiate(&wish(), None).await;
    let phone = twilio.phone();
    let id = answer["callId"].as_str().unwrap();
    let path = format!("http://{}/api/calls/{id}/opt-out", rig.address());
    let state: Value = reqwest::Client::new().post(path).bearer_auth(&rig.token).send().await.unwrap().json().await.unwrap();
    assert_eq!(state["consent"]["status"], "REVOKED", "{state}");
    let twiml = phone.voice(&rig, &[]).await;
    assert_eq!(twiml.split_once("<Response>").unwrap().1, "<Dial><Client>maria</Client></Dial></Response>", "no fork");
    phone.status(&rig, "completed").await;
    rig.by_id(&answer["callId"], |call| call["phase"] == "ENDED" && call["isRecorded"] == false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn us_2_a_fork_that_never_begins_leaves_an_unrecorded_call_and_says_so() {
    let twilio = Twilio::start().await;
    let rig = start(&twilio).await;
    known(&twilio, &rig, "1").await;
    let (_, answer) = rig.initiate(&wish(), None).await;
    let phone = twilio.phone();
    phone.voice(&rig, &[]).await;
    rig.by_id(&answer["callId"], |call| call["phase"] == "CONNECTED").await;
    phone.status(&rig, "completed").await;
    let call = rig.by_id(&answer["callId"], |call| call["phase"] == "ENDED").await;
    assert_eq!((&call["isRecorded"], &call["unrecordedReason"]), (&json!(false), &json!("SYSTEM_ERROR")));
    let id = answer["callId"].as_str().unwrap();
    let reasons: Vec<_> = interactions(&rig).await.into_iter().filter(|row| row.id == id).map(|row| row.reason).collect();
    assert_eq!(reasons, ["SYSTEM_ERROR"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn us_3_a_client_who_opted_out_is_called_only_after_a_warning_and_then_unrecorded() {
    let twilio = Twilio::start().await;
    let rig = start(&twilio).await;
    known(&twilio, &rig, "2").await;
    let placed = twilio.placed();
    let mut asked = wish();
    asked["clientName"] = json!("Ana Ruiz");
    let (status, answer) = rig.initiate(&asked, Some("first")).await;
    // "Warning modal appears: \"[Client Name] has opted out of recording\""
    let warning = &answer["warning"];
    assert_eq!((status, &answer["consentStatus"], &warning["type"]), (200, &json!("REVOKED"), &json!("CONSENT_REVOKED")), "{answer}");
    assert_eq!((&warning["message"], &warning["clientName"]), (&json!("Ana Ruiz has opted out of recording"), &json!("Ana Ruiz")));
    assert!(warning["revokedAt"].as_str().unwrap().ends_with('Z'), "{warning}");
    // "Modal shows options: \"Proceed Unrecorded\" or \"Cancel\"": until somebody proceeds, nothing is placed.
    assert_eq!((twilio.placed(), &answer["callId"]), (placed, &Value::Null));
    assert_eq!(rig.initiate(&asked, Some("first")).await, (200, answer), "asked twice, the same is answered");

    asked["acknowledgeUnrecorded"] = json!(true);
    let (status, answer) = rig.initiate(&asked, Some("second")).await;
    assert_eq!((status, &answer["status"], &answer["consentStatus"]), (201, &json!("CONNECTING"), &json!("REVOKED")), "{answer}");
    assert_eq!((twilio.placed(), &answer["warning"]), (placed + 1, &Value::Null));
    let (id, phone) = (&answer["callId"], twilio.phone());
    let twiml = phone.voice(&rig, &[]).await;
    // "If proceeding, call connects without recording"; "No consent prompt replayed": not even a stream is opened.
    assert_eq!(twiml.split_once("<Response>").unwrap().1, "<Dial><Client>maria</Client></Dial></Response>");
    let call = rig.by_id(id, |call| call["phase"] == "CONNECTED").await;
    assert_eq!((&call["unrecordedReason"], &call["isRecorded"]), (&json!("PRIOR_OPT_OUT"), &json!(false)), "{call}");
    phone.status(&rig, "completed").await;
    let call = rig.by_id(id, |call| call["phase"] == "ENDED").await;
    assert_eq!(call["recording"]["recordingId"], Value::Null);
    let reasons: Vec<_> = interactions(&rig).await.into_iter().map(|row| row.reason).collect();
    assert_eq!(reasons, ["PRIOR_OPT_OUT", "CLIENT_OPT_OUT"]);
    let written: Vec<u8> = crate::common::files(rig.folder.path()).iter().flat_map(|file| std::fs::read(file).unwrap()).collect();
    assert!(!written.windows(8).any(|window| window == b"Ana Ruiz"), "the name is kept nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn us_5_whoever_calls_in_is_asked_whatever_they_said_before() {
    let twilio = Twilio::start().await;
    let rig = start(&twilio).await;
    known(&twilio, &rig, "1").await;
    for (n, (before, key, status)) in [("1", "2", "REVOKED"), ("2", "1", "GRANTED")].into_iter().enumerate() {
        let phone = Phone::inbound(&format!("CAin{n}"));
        let twiml = phone.voice(&rig, &[("Direction", "inbound"), ("From", TO), ("clientId", CLIENT)]).await;
        let mut caller = phone.stream(&rig, &twiml).await;
        // "Consent prompt plays for ALL inbound calls (regardless of prior consent)"
        assert!(caller.was_played_to(), "prior answer {before}");
        // "Same press-1-or-wait/press-2-to-opt-out flow as outbound"
        caller.frames(250).await;
        caller.key(key).await;
        let call = rig.call(&phone.sid, |call| call["consent"]["status"] == status).await;
        assert_eq!((&call["direction"], &call["clientId"]), (&json!("INBOUND"), &json!(CLIENT)));
        caller.frames(300).await;
        assert!(!caller.listen(Duration::from_secs(3)).await);
        let twiml = phone.ask(&rig, &format!("{}/api/webhooks/twilio/connected", crate::common::twilio::PUBLIC), &[]).await.1;
        if key == "1" {
            // "If consent granted, call routes to appropriate case manager with recording"
            assert!(twiml.contains("both_tracks") && twiml.ends_with("</Start><Dial><Client>desk</Client></Dial></Response>"), "{twiml}");
            let mut fork = phone.stream(&rig, &twiml).await;
            fork.frames(50).await;
            rig.call(&phone.sid, |call| call["recording"]["state"] == "ACTIVE").await;
            fork.stop().await;
        } else {
            // "If opted out, call routes without recording"
            assert!(twiml.ends_with("<Response><Dial><Client>desk</Client></Dial></Response>"), "{twiml}");
        }
        phone.status(&rig, "completed").await;
        rig.call(&phone.sid, |call| call["phase"] == "ENDED").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn us_8_a_client_who_hangs_up_in_the_prompt_has_said_nothing() {
    let twilio = Twilio::start().await;
    let rig = start(&twilio).await;
    let (id, phone, mut caller) = prompted(&twilio, &rig).await;
    caller.frames(100).await;
    caller.stop().await;
    phone.status(&rig, "completed").await;
    // "If call disconnects during consent prompt, consent status remains PENDING"
    let call = rig.by_id(&id, |call| call["phase"] == "ABANDONED").await;
    assert_eq!((&call["consent"]["status"], &call["connectedAt"]), (&json!("PENDING"), &Value::Null), "{call}");
    // "No InteractionMetadata created (call never connected)"
    assert!(interactions(&rig).await.is_empty());
    // "Case manager notified that consent wasn't captured if they initiated the call"
    let chain = rig.chain_of(&id).await;
    let told: Vec<_> = chain.iter().filter(|entry| entry["kind"] == "consent.abandoned").collect();
    assert_eq!((told.len(), &told[0]["detail"]["caseManagerId"]), (1, &json!("tester")), "{chain:#?}");
    // "Case manager must call again to complete consent flow"
    let (_, answer) = rig.initiate(&wish(), None).await;
    assert_eq!(answer["status"], "CONSENT_PENDING");
}

#[tokio::test(flavor = "multi_thread")]
async fn us_8_a_call_that_nobody_answers_leaves_its_state_and_nothing_else() {
    let twilio = Twilio::start().await;
    let rig = start(&twilio).await;
    for (status, why) in [("busy", "BUSY"), ("no-answer", "NO_ANSWER"), ("failed", "FAILED"), ("canceled", "CANCELED")] {
        let (_, answer) = rig.initiate(&wish(), None).await;
        let phone = twilio.phone();
        phone.status(&rig, "ringing").await;
        phone.status(&rig, status).await;
        let call = rig.by_id(&answer["callId"], |call| call["phase"] == "ENDED").await;
        assert_eq!((&call["consent"]["status"], &call["connectedAt"]), (&json!("PENDING"), &Value::Null), "{call}");
        assert!(call["endedAt"].is_string() && call["unrecordedReason"].is_null(), "{call}");
        let chain = rig.chain_of(&answer["callId"]).await;
        assert!(chain.iter().any(|entry| entry["kind"] == "call.unreached" && entry["detail"]["why"] == why), "{chain:#?}");
        assert!(!chain.iter().any(|entry| entry["kind"] == "consent.abandoned"), "nobody was asked");
        let twiml = phone.voice(&rig, &[]).await;
        assert!(!twiml.contains("Stream"), "of a call that is over nothing is captured: {twiml}");
    }
    // Answered, and never asked: the stream could not be opened, and the client hung up in Twilio's own question.
    let (_, answer) = rig.initiate(&wish(), None).await;
    let phone = twilio.phone();
    phone.voice(&rig, &[]).await;
    assert!(connected(&rig, &phone, &answer["callId"]).await.contains("<Gather"));
    phone.status(&rig, "completed").await;
    rig.by_id(&answer["callId"], |call| call["phase"] == "ABANDONED").await;
    assert!(interactions(&rig).await.is_empty());
}
