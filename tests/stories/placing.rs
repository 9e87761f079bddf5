//! Placing a call: the same request twice, Twilio in every mood, a restart while it rings, and Twilio's keypad where no stream
//! could be opened.

use std::time::Duration;

use crate::common::twilio::{Mood, PUBLIC, Phone, Twilio};
use crate::common::{PERMISSIONS, Rig, Served, claims};
use callgate::io::database::Database;
use callgate::server::{Gateway, Given, TokenKey, TokenSource};
use serde_json::{Value, json};

const CLIENT: &str = "client-7";
const TO: &str = "+16175550123";

fn wish() -> Value {
    json!({ "clientId": CLIENT, "formIds": [], "to": TO, "connectTo": "client:maria" })
}

fn detail(answer: &Value) -> &str {
    answer["detail"].as_str().unwrap()
}

/// Stops the gateway as SIGTERM does, and starts another on the same folder.
async fn restarted(rig: Rig, given: Given) -> Rig {
    let Rig { gateway, folder, token: _ } = rig;
    gateway.drain(Duration::ZERO).await;
    let gateway = Gateway::start(crate::common::config(folder.path(), given)).await.unwrap();
    let token = gateway.tokens().mint(&claims(&PERMISSIONS, &["*"], "default")).unwrap();
    Rig { gateway, folder, token }
}

async fn keypad(rig: &Rig, phone: &Phone, id: &Value, query: &str, digits: &str) -> String {
    let url = format!("{PUBLIC}/api/webhooks/twilio/consent?{query}callId={}", id.as_str().unwrap());
    let (status, twiml) = phone.ask(rig, &url, &[("Digits", digits)]).await;
    assert_eq!(status, 200, "{twiml}");
    twiml
}

/// A call whose stream could not be opened: Twilio asks by keypad.
async fn asked_by_keypad(rig: &Rig, twilio: &Twilio) -> (Value, Phone) {
    let (status, answer) = rig.initiate(&wish(), None).await;
    assert_eq!(status, 201, "{answer}");
    let (id, phone) = (answer["callId"].clone(), twilio.phone());
    assert!(phone.voice(rig, &[]).await.contains("<Connect"));
    let url = format!("{PUBLIC}/api/webhooks/twilio/connected?callId={}", id.as_str().unwrap());
    let question = phone.ask(rig, &url, &[]).await.1;
    assert!(question.contains("<Gather") && question.contains("Polly.Joanna"), "{question}");
    (id, phone)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_makes_one_call_also_after_a_restart() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(twilio.given()).await;
    let (status, first) = rig.initiate(&wish(), Some("key-1")).await;
    assert_eq!(status, 201, "{first}");
    // The same in other words: order and space do not matter.
    let same = json!({ "connectTo": "client:maria", "to": TO, "formIds": [], "clientId": CLIENT, "acknowledgeUnrecorded": false });
    assert_eq!(rig.initiate(&same, Some("key-1")).await, (201, first.clone()));
    let mut other = wish();
    other["to"] = json!("+16175550124");
    let (status, problem) = rig.initiate(&other, Some("key-1")).await;
    assert_eq!((status, problem["status"].as_u64()), (422, Some(422)), "{problem}");
    assert!(detail(&problem).contains("use a new one"), "{problem}");
    assert_eq!(twilio.placed(), 1);
    // Another person's key is another key.
    let somebody = callgate::server::Claims { sub: "somebody".into(), ..claims(&PERMISSIONS, &["*"], "default") };
    let somebody = rig.gateway.tokens().mint(&somebody).unwrap();
    assert_ne!(rig.initiate_as(&wish(), Some("key-1"), &somebody).await.1["callId"], first["callId"]);
    assert_eq!(twilio.placed(), 2);
    let rig = restarted(rig, twilio.given()).await;
    assert_eq!(rig.initiate(&wish(), Some("key-1")).await, (201, first.clone()));
    assert_eq!(twilio.placed(), 2);
    // Also where no new call could be placed now.
    let rig = restarted(rig, Given { twilio_from: None, ..twilio.given() }).await;
    assert_eq!(rig.initiate(&wish(), Some("key-2")).await.0, 503);
    assert_eq!(rig.initiate(&wish(), Some("key-1")).await, (201, first));
    let rig = restarted(rig, twilio.given()).await;
    assert_eq!(twilio.placed(), 2);
    // No key, no promise.
    rig.initiate(&wish(), None).await;
    rig.initiate(&wish(), None).await;
    assert_eq!(twilio.placed(), 4);
    let written: Vec<u8> = crate::common::files(rig.folder.path()).iter().flat_map(|file| std::fs::read(file).unwrap()).collect();
    assert!(!written.windows(TO.len()).any(|window| window == TO.as_bytes()), "the client's number is kept nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_twilio_asks_when_it_cannot_ask_us_is_somebody_else_and_knows_whom_to_dial() {
    let twilio = Twilio::start().await;
    let bin = "https://handler.twilio.com/twiml/EH1";
    let rig = Rig::start(Given { fallback_url: Some(bin.into()), ..twilio.given() }).await;
    let (_, answer) = rig.initiate(&wish(), None).await;
    let id = answer["callId"].as_str().unwrap();
    assert_eq!(twilio.phone().told("FallbackUrl"), [format!("{bin}?callId={id}&client=maria")]);
    let mut number = wish();
    number["connectTo"] = json!("+16175550124");
    rig.initiate(&number, None).await;
    assert!(twilio.phone().told("FallbackUrl")[0].ends_with("&number=%2B16175550124"));
    let ours = Given { fallback_url: Some(format!("{PUBLIC}/fallback")), ..twilio.given() };
    let refused = ours.meant().unwrap_err().to_string();
    assert!(refused.starts_with("CALLGATE_FALLBACK_URL") && refused.contains("something else"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_for_a_moment_is_asked_again_and_one_that_stays_away_drops_no_call() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(Given { inbound_route: Some("client:anna".into()), ..twilio.given() }).await;
    let (_, answer) = rig.initiate(&wish(), None).await;
    let phone = twilio.phone();
    phone.status(&rig, "no-answer").await;
    rig.by_id(&answer["callId"], |call| call["phase"] == "ENDED").await;
    // Only the database knows of it from here on.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut raw = crate::common::raw(rig.folder.path()).await;
    raw.execute(r#"ALTER TABLE "PlacedCall" RENAME TO "Away""#).await.unwrap();
    let began = std::time::Instant::now();
    let twiml = phone.voice(&rig, &[]).await;
    assert!(twiml.ends_with("<Response><Dial><Client>anna</Client></Dial></Response>"), "connected, and not captured: {twiml}");
    let url = format!("{PUBLIC}/api/webhooks/twilio/consent?callId={}", answer["callId"].as_str().unwrap());
    let (_, closing) = phone.ask(&rig, &url, &[("Digits", "2")]).await;
    assert!(closing.contains("will not be recorded") && closing.ends_with("<Dial><Client>anna</Client></Dial></Response>"), "{closing}");
    assert!(began.elapsed() < Duration::from_secs(10), "each within Twilio's patience: {:?}", began.elapsed());
    let (twiml, ()) = tokio::join!(phone.voice(&rig, &[]), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        raw.execute(r#"ALTER TABLE "Away" RENAME TO "PlacedCall""#).await.unwrap();
    });
    assert!(twiml.ends_with("<Response><Dial><Client>maria</Client></Dial></Response>"), "{twiml}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_still_being_answered_is_not_begun_again() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(twilio.given()).await;
    twilio.is(Mood::Silent);
    let body = wish();
    let (first, ()) = tokio::join!(rig.initiate(&body, Some("slow")), async {
        while twilio.placed() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (status, problem) = rig.initiate(&body, Some("slow")).await;
        assert_eq!(status, 409, "{problem}");
        assert!(detail(&problem).contains("still being answered"), "{problem}");
    });
    // Twilio took it and never said so: nobody knows, and it is not asked for twice.
    let (status, problem) = &first;
    assert_eq!((*status, twilio.asked()), (504, 1), "{problem}");
    let id = &problem["callId"];
    assert!(detail(problem).contains(&format!("GET /api/calls/{}", id.as_str().unwrap())), "{problem}");
    assert_eq!(rig.initiate(&body, Some("slow")).await, first, "the same answer");
    // It rings all the same, and whoever answers is asked as ever.
    rig.by_id(id, |call| call["phase"] == "CREATED").await;
    let phone = twilio.phone();
    let twiml = phone.voice(&rig, &[]).await;
    let caller = phone.stream(&rig, &twiml).await;
    assert!(caller.was_played_to());
    rig.by_id(id, |call| call["phase"] == "PROMPTING" && call["callSid"] == phone.sid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_while_twilio_is_asked_makes_no_second_call() {
    for told in [false, true] {
        let twilio = Twilio::start().await;
        twilio.is(Mood::Silent);
        let folder = tempfile::tempdir().unwrap();
        let env = [
            ("CALLGATE_TWILIO_ACCOUNT_SID", crate::common::twilio::ACCOUNT),
            ("CALLGATE_TWILIO_AUTH_TOKEN", crate::common::twilio::TOKEN),
            ("CALLGATE_TWILIO_FROM", crate::common::twilio::FROM),
            ("CALLGATE_TWILIO_API_URL", &twilio.url),
            ("CALLGATE_PUBLIC_URL", PUBLIC),
        ];
        let served = Served::start(folder.path(), &env);
        let key = TokenKey::open(&TokenSource::Development, folder.path()).unwrap();
        let token = key.mint(&claims(&PERMISSIONS, &["*"], "default")).unwrap();
        let asking = reqwest::Client::new()
            .post(format!("http://{}/api/calls", served.address))
            .bearer_auth(&token)
            .header("idempotency-key", "dying")
            .json(&wish())
            .send();
        let asking = tokio::spawn(asking);
        while twilio.placed() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        served.signal("-KILL");
        assert!(asking.await.unwrap().is_err(), "nobody was told");
        drop(served.log());

        let gateway = Gateway::start(crate::common::config(folder.path(), twilio.given())).await.unwrap();
        let rig = Rig { gateway, folder, token };
        assert_eq!(rig.initiate(&wish(), Some("dying")).await.0, 409, "it may be another gateway that asks");
        let phone = twilio.phone();
        let id = json!(phone.told("Url")[0].split_once("callId=").unwrap().1);
        if told {
            phone.status(&rig, "ringing").await;
            rig.by_id(&id, |call| call["callSid"] == phone.sid).await;
        }
        // Half a minute later.
        let mut raw = crate::common::raw(rig.folder.path()).await;
        raw.execute(r#"UPDATE "IdempotencyKey" SET "createdAt" = '2026-01-01T00:00:00.000Z'"#).await.unwrap();
        let (status, answer) = rig.initiate(&wish(), Some("dying")).await;
        assert_eq!((status, &answer["callId"]), (if told { 201 } else { 504 }, &id), "{answer}");
        assert_eq!(rig.initiate(&wish(), Some("dying")).await, (status, answer), "and so it stays");
        assert_eq!(twilio.asked(), 1);
        // Whoever answers is asked all the same.
        let twiml = phone.voice(&rig, &[]).await;
        assert!(phone.stream(&rig, &twiml).await.was_played_to());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_twilio_refuses_is_told_and_the_call_is_over() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(twilio.given()).await;
    for (mood, code, asks) in [(Mood::Refuses(400, 21211), 21211, 1), (Mood::Refuses(429, 20429), 20429, 2), (Mood::Refuses(404, 0), 0, 1)]
    {
        twilio.is(mood);
        let before = twilio.asked();
        let (status, problem) = rig.initiate(&wish(), Some(&format!("{mood:?}"))).await;
        assert_eq!((status, problem["twilioCode"].as_u64()), (502, Some(code)), "{problem}");
        assert!(detail(&problem).contains(&format!("what {code} means")), "{problem}");
        assert_eq!(twilio.asked() - before, asks, "{mood:?}");
        let id = &problem["callId"];
        let call = rig.by_id(id, |call| call["phase"] == "ENDED").await;
        assert_eq!((&call["unrecordedReason"], &call["connectedAt"]), (&json!("SYSTEM_ERROR"), &Value::Null), "{call}");
        let chain = rig.chain_of(id).await;
        let told = chain.iter().find(|entry| entry["kind"] == "call.unreached").unwrap();
        assert_eq!((&told["detail"]["why"], told["detail"]["twilioCode"].as_u64()), (&json!("REFUSED"), Some(code)), "{told}");
        twilio.is(Mood::Takes);
        assert_eq!(rig.initiate(&wish(), Some(&format!("{mood:?}"))).await, (502, problem), "the same answer, and no call");
        assert_eq!(twilio.placed(), 0);
    }
    twilio.is(Mood::RefusesOnce(429, 20429));
    assert_eq!(rig.initiate(&wish(), None).await.0, 201, "what Twilio was too busy to take is asked for once more");
    assert_eq!(twilio.placed(), 1);
    for mood in [Mood::Refuses(500, 20500), Mood::Refuses(503, 0), Mood::Garbled] {
        twilio.is(mood);
        let before = twilio.asked();
        assert_eq!(rig.initiate(&wish(), None).await.0, 504, "{mood:?}: it may have been placed");
        assert_eq!(twilio.asked() - before, 1, "{mood:?}: never asked for twice");
    }
    let wrong = Given { twilio_auth_token: Some("another token".into()), ..twilio.given() };
    twilio.is(Mood::Takes);
    let (status, problem) = Rig::start(wrong).await.initiate(&wish(), None).await;
    assert_eq!((status, problem["twilioCode"].as_u64()), (502, Some(20003)), "{problem}");
    assert!(detail(&problem).contains("CALLGATE_TWILIO_AUTH_TOKEN") && !problem.to_string().contains("another token"), "{problem}");
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let rig = Rig::start(Given { twilio_api_url: Some(format!("http://{gone}")), ..twilio.given() }).await;
    let (status, problem) = rig.initiate(&wish(), None).await;
    assert!(status == 502 && detail(&problem).contains("no call was placed"), "{problem}");
    rig.by_id(&problem["callId"], |call| call["phase"] == "ENDED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_named() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(twilio.given()).await;
    let long = "x".repeat(129);
    for (name, value, told) in [
        ("to", json!("6175550123"), "to is not a number in E.164"),
        ("to", json!(format!("client:{long}")), "to is not a number in E.164"),
        ("connectTo", json!("https://x"), "connectTo is not a number in E.164"),
        ("connectTo", Value::Null, "connectTo is missing, and CALLGATE_INBOUND_ROUTE"),
        ("clientId", json!(""), "clientId is empty"),
        ("clientId", json!(long), "longer than 128"),
        ("clientId", json!("a\nb"), "control characters"),
        ("formIds", json!([long]), "an id of formIds"),
        ("formIds", json!(vec!["f"; 65]), "more than 64"),
        ("clientName", json!(long), "clientName"),
        ("formIds", json!("f"), "formIds"),
        ("acknowledge", json!(true), "unknown field"),
    ] {
        let mut body = wish();
        body[name] = value;
        let (status, problem) = rig.initiate(&body, None).await;
        assert!(status == 422 && detail(&problem).contains(told), "{name}: {problem}");
    }
    for key in ["", &long] {
        assert_eq!(rig.initiate(&wish(), Some(key)).await.0, 400);
    }
    let mint = |permissions: &[&str], clients: &[&str]| rig.gateway.tokens().mint(&claims(permissions, clients, "default")).unwrap();
    assert_eq!(rig.initiate_as(&wish(), None, "nobody's").await.0, 401);
    assert_eq!(rig.initiate_as(&wish(), None, &mint(&["canEditClients"], &["*"])).await.0, 403);
    assert_eq!(rig.initiate_as(&wish(), None, &mint(&["canViewClients"], &["another"])).await.0, 403, "not an assigned client");
    assert_eq!(twilio.asked(), 0);
    assert_eq!(rig.initiate_as(&wish(), None, &mint(&["canViewClients"], &[CLIENT])).await.0, 201);

    for (given, key) in [
        (Given { twilio_account_sid: None, ..twilio.given() }, "CALLGATE_TWILIO_ACCOUNT_SID"),
        (Given { twilio_auth_token: None, ..twilio.given() }, "CALLGATE_TWILIO_AUTH_TOKEN"),
        (Given { twilio_from: None, ..twilio.given() }, "CALLGATE_TWILIO_FROM"),
    ] {
        let (status, problem) = Rig::start(given).await.initiate(&wish(), None).await;
        assert!(status == 503 && detail(&problem).contains(key), "{problem}");
    }
    // A warning needs no Twilio: the case manager is told before anything else.
    let rig = Rig::start(Given { twilio_from: None, ..twilio.given() }).await;
    let (status, revoked) = rig.post_as(&format!("/api/clients/{CLIENT}/consent/revoke"), serde_json::json!({}), &rig.token).await;
    assert_eq!(status, 200, "{revoked}");
    let (status, answer) = rig.initiate(&wish(), None).await;
    assert_eq!((status, answer["warning"]["type"].as_str()), (200, Some("CONSENT_REVOKED")), "{answer}");
    assert_eq!(twilio.placed(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_rings_through_a_restart_is_asked_and_connected_by_the_next_gateway() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(twilio.given()).await;
    let (_, answer) = rig.initiate(&wish(), None).await;
    let id = answer["callId"].clone();
    let (_, never) = rig.initiate(&wish(), None).await;
    let rig = restarted(rig, twilio.given()).await;
    let (_, call) = rig.get(&format!("/api/calls/{}", id.as_str().unwrap())).await;
    assert_eq!((&call["phase"], &call["unrecordedReason"]), (&json!("CREATED"), &Value::Null), "it still rings: {call}");
    twilio.phone().status(&rig, "no-answer").await;
    rig.by_id(&never["callId"], |call| call["phase"] == "ENDED").await;
    let phone = Phone::placed(&twilio, 0);
    let twiml = phone.voice(&rig, &[]).await;
    let mut caller = phone.stream(&rig, &twiml).await;
    caller.frames(250).await;
    caller.key("1").await;
    let call = rig.by_id(&id, |call| call["consent"]["status"] == "GRANTED").await;
    assert_eq!((&call["clientId"], &call["caseManagerId"], &call["direction"]), (&json!(CLIENT), &json!("tester"), &json!("OUTBOUND")));
    caller.frames(300).await;
    assert!(!caller.listen(Duration::from_secs(3)).await);
    let url = crate::common::twilio::attribute(&twiml, "Connect", "action");
    // Restarted once more in the middle of it: nobody captures any more, and nobody's call is lost.
    let rig = restarted(rig, twilio.given()).await;
    let twiml = phone.ask(&rig, &url, &[]).await.1;
    assert_eq!(twiml.split_once("<Response>").unwrap().1, "<Dial><Client>maria</Client></Dial></Response>");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_on_twilios_keypad_is_durable_before_it_is_answered() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(twilio.given()).await;
    let database = Database::open(&crate::common::database_url(rig.folder.path())).await.unwrap();

    // 9, then another key that means nothing, then 2.
    let (id, phone) = asked_by_keypad(&rig, &twilio).await;
    let spanish = keypad(&rig, &phone, &id, "lang=en&plays=1&", "9").await;
    assert!(spanish.contains("Polly.Lupe") && spanish.contains("lang=es&amp;plays=2"), "{spanish}");
    assert!(keypad(&rig, &phone, &id, "lang=es&plays=2&", "7").await.contains("plays=3"));
    let closing = keypad(&rig, &phone, &id, "lang=es&plays=3&", "2").await;
    assert!(closing.contains("no será grabada") && closing.ends_with("<Dial><Client>maria</Client></Dial></Response>"), "{closing}");
    assert!(!closing.contains("Stream"), "{closing}");
    let history = database.consent_history("default", CLIENT, 5).await.unwrap();
    let record = &history[0].record;
    let found = serde_json::to_value(record).unwrap();
    assert_eq!((&found["status"], &found["method"], &found["languageCode"]), (&json!("REVOKED"), &json!("KEYPRESS"), &json!("es")));
    assert_eq!(found["callId"], id);
    let again = keypad(&rig, &phone, &id, "lang=es&plays=3&", "2").await;
    assert_eq!(again, closing, "asked twice, the same is answered");
    assert_eq!(database.consent_history("default", CLIENT, 5).await.unwrap().len(), 1, "and written once");
    phone.status(&rig, "completed").await;
    rig.by_id(&id, |call| call["phase"] == "ENDED" && call["unrecordedReason"] == "CLIENT_OPT_OUT").await;

    // 1: durable, and so the fork may start after all.
    let mut body = wish();
    body["clientId"] = json!("client-8");
    let (_, answer) = rig.initiate(&body, None).await;
    let (id, phone) = (&answer["callId"], twilio.phone());
    phone.voice(&rig, &[]).await;
    let closing = keypad(&rig, &phone, id, "lang=en&plays=1&", "1").await;
    assert!(closing.contains("both_tracks") && closing.contains("<Client>maria</Client>"), "{closing}");
    assert_eq!(database.consent_history("default", "client-8", 5).await.unwrap().len(), 1, "durable before the answer");
    let mut fork = phone.stream(&rig, &closing).await;
    fork.frames(50).await;
    let call = rig.by_id(id, |call| call["recording"]["state"] == "ACTIVE").await;
    assert_eq!((&call["consent"]["method"], &call["consent"]["prior"]), (&json!("KEYPRESS"), &json!(false)));
    fork.stop().await;
    phone.status(&rig, "completed").await;
    rig.by_id(id, |call| call["recording"]["state"] == "FINISHED").await;
    let (_, figures) = rig.get("/api/metrics/consent").await;
    assert_eq!((&figures["grantRate"]["prompts"], &figures["grantRate"]["granted"]), (&json!(2), &json!(1)), "both were asked: {figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_on_twilios_keypad_never_grants() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(twilio.given()).await;
    let (id, phone) = asked_by_keypad(&rig, &twilio).await;
    let closing = keypad(&rig, &phone, &id, "lang=en&plays=1&", "").await;
    assert!(closing.contains("being connected.") && closing.contains("<Dial>") && !closing.contains("Stream"), "{closing}");
    let call = rig.by_id(&id, |call| call["phase"] == "CONNECTED").await;
    assert_eq!((&call["consent"]["status"], &call["unrecordedReason"]), (&json!("PENDING"), &json!("SYSTEM_ERROR")), "{call}");
    let chain = rig.chain_of(&id).await;
    assert!(chain.iter().any(|entry| entry["kind"] == "call.unrecorded"), "{chain:#?}");
    assert!(!chain.iter().any(|entry| entry["kind"] == "consent.granted"), "{chain:#?}");
    let (_, figures) = rig.get("/api/metrics/consent").await;
    assert_eq!((&figures["grantRate"]["prompts"], &figures["grantRate"]["granted"]), (&json!(1), &json!(0)), "it was asked: {figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_does_not_answer_costs_nobody_their_call() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(twilio.given()).await;
    let (no, declines) = asked_by_keypad(&rig, &twilio).await;
    let (yes, accepts) = asked_by_keypad(&rig, &twilio).await;
    let mut lock = crate::common::raw(rig.folder.path()).await;
    let begin = if crate::common::on_postgres() { r#"BEGIN; LOCK TABLE "AuditEvent" IN EXCLUSIVE MODE"# } else { "BEGIN IMMEDIATE" };
    lock.execute(begin).await.unwrap();
    let began = std::time::Instant::now();
    let (refused, granted) = tokio::join!(keypad(&rig, &declines, &no, "plays=1&", "2"), keypad(&rig, &accepts, &yes, "plays=1&", "1"));
    assert!(began.elapsed() < Duration::from_secs(5), "nobody waits longer than they can bear: {:?}", began.elapsed());
    for twiml in [&refused, &granted] {
        assert!(twiml.contains("<Dial><Client>maria</Client></Dial>") && !twiml.contains("Stream"), "{twiml}");
    }
    let (status, problem) = rig.initiate(&wish(), Some("locked")).await;
    assert!(status == 503 && detail(&problem).contains("was not placed"), "{problem}");
    assert_eq!(twilio.placed(), 2, "what is not written down is not placed");
    lock.execute("ROLLBACK").await.unwrap();
    // The no is written as soon as it can be.
    let kinds = |chain: Vec<Value>| chain.into_iter().map(|entry| entry["kind"].clone()).collect::<Vec<_>>();
    for _ in 0..400 {
        if kinds(rig.chain_of(&no).await).contains(&json!("consent.revoked")) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the refusal is lost: {:?}", kinds(rig.chain_of(&no).await));
}
