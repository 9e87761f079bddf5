//! SIGTERM in the middle of everything: whoever was answered is served to their end, whoever comes now goes elsewhere, and the
//! process ends as soon as nobody needs it.

use std::time::{Duration, Instant};

use crate::common::twilio::{ACCOUNT, FROM, PUBLIC, Phone, TOKEN, Twilio};
use crate::common::{Caller, Door, Served, files, frames_in, left};
use serde_json::{Value, json};

/// Longer than any of this takes: a drain that only its bound ends is told by the time it took.
const BOUND: &str = "90";

fn serve(folder: &std::path::Path, twilio: &Twilio, more: &[(&str, &str)]) -> Served {
    let ours = [
        ("CALLGATE_TWILIO_ACCOUNT_SID", ACCOUNT),
        ("CALLGATE_TWILIO_AUTH_TOKEN", TOKEN),
        ("CALLGATE_TWILIO_FROM", FROM),
        ("CALLGATE_TWILIO_API_URL", &twilio.url),
        ("CALLGATE_PUBLIC_URL", PUBLIC),
        ("CALLGATE_JWT_SECRET", "a secret of more than thirty-two bytes"),
        ("CALLGATE_PROMPT_IN_RECORDING", "false"),
        ("CALLGATE_DRAIN_SECONDS", BOUND),
    ];
    Served::start(folder, &[&ours[..], more].concat())
}

fn token(folder: &std::path::Path) -> String {
    use callgate::server::{TokenKey, TokenSource};
    let key = TokenKey::open(&TokenSource::Secret("a secret of more than thirty-two bytes".to_owned().into()), folder).unwrap();
    key.mint(&crate::common::claims(&crate::common::PERMISSIONS, &["*"], "default")).unwrap()
}

/// Told to stop, and seen to have heard it.
async fn terminated(served: &Served, door: Door<'_>) -> Instant {
    served.signal("-TERM");
    let began = Instant::now();
    loop {
        let (status, ready) = door.get_as("/readyz", None).await;
        if ready["draining"] == true {
            assert!(status == 503 && ready["why"].to_string().contains("draining"), "{ready}");
            return began;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{ready}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The process has ended by itself, and not by its bound.
fn ends(served: Served, since: Instant) -> String {
    let log = served.log();
    assert!(since.elapsed() < Duration::from_secs(60), "as soon as nobody needs it: {:?}: {log}", since.elapsed());
    log
}

async fn place(door: Door<'_>) -> reqwest::Response {
    let wish = json!({ "clientId": "c-7", "formIds": [], "to": "+16175550123", "connectTo": "client:maria" });
    let request = reqwest::Client::new().post(format!("http://{}/api/calls", door.address)).bearer_auth(door.token).json(&wish);
    request.send().await.unwrap()
}

async fn action(phone: &Phone, door: Door<'_>, call: &str) -> String {
    let url = format!("{PUBLIC}/api/webhooks/twilio/connected{call}");
    let (status, twiml) = phone.ask(door, &url, &[]).await;
    assert_eq!(status, 200, "{twiml}");
    twiml
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_answered_before_is_asked_captured_and_stored_and_a_new_one_goes_elsewhere() {
    let (folder, twilio) = (tempfile::tempdir().unwrap(), Twilio::start().await);
    let served = serve(folder.path(), &twilio, &[("CALLGATE_INBOUND_ROUTE", "client:anna")]);
    let token = token(folder.path());
    let door = Door { address: served.address, folder: folder.path(), token: &token };
    // It has its TwiML, and not a socket.
    let phone = Phone::inbound("CA00000000000000000000000000000d01");
    let twiml = phone.voice(door, &[("clientId", "c")]).await;
    assert!(twiml.contains("<Connect"), "{twiml}");
    let began = terminated(&served, door).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(phone.voice(door, &[("clientId", "c")]).await, twiml, "asked twice, the same is answered");
    let mut caller = phone.stream(door, &twiml).await;
    assert!(caller.was_played_to(), "the client is asked");
    caller.frames(250).await;
    caller.key("1").await;
    door.call(&phone.sid, |call| call["consent"]["status"] == "GRANTED").await;
    // Between its two streams it has no socket again.
    drop(caller);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let twiml = action(&phone, door, "").await;
    assert!(twiml.contains(r#"value="capture""#) && twiml.contains("<Client>anna</Client>"), "{twiml}");

    // Who comes now goes where they would have gone, unrecorded, and that is written.
    let new = Phone::inbound("CA00000000000000000000000000000d02");
    let past = new.voice(door, &[("clientId", "new")]).await;
    assert!(past.ends_with("<Response><Dial><Client>anna</Client></Dial></Response>"), "{past}");
    assert_eq!(new.voice(door, &[("clientId", "new")]).await, past);
    let gone = door.call(&new.sid, |call| call["phase"] == "ENDED").await;
    assert_eq!(
        (&gone["unrecordedReason"], &gone["isRecorded"], &gone["clientId"]),
        (&json!("SYSTEM_ERROR"), &json!(false), &json!("new")),
        "{gone}"
    );
    let chain = door.chain("new").await;
    let told: Vec<&Value> = chain.iter().filter(|entry| entry["kind"] == "call.unrecorded").collect();
    assert!(told.len() == 1 && told[0]["detail"]["why"] == "the gateway was stopping", "{chain:?}");
    let refused = place(door).await;
    assert_eq!(refused.status().as_u16(), 503);
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
    assert!(refused.text().await.unwrap().contains("stopping"));
    // Nor is a stream of no call of ours served.
    let stranger = twiml.replace(&caller_token(&twiml), "guessed");
    assert!(!phone.stream(door, &stranger).await.listen(Duration::from_secs(3)).await, "closed");

    let mut fork = phone.stream(door, &twiml).await;
    fork.frames(50).await;
    door.call(&phone.sid, |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(30)).await;
    fork.stop().await;
    phone.status(door, "completed").await;
    ends(served, began);
    let wav =
        files(&folder.path().join("objects")).into_iter().find(|file| file.extension().is_some_and(|ending| ending == "wav")).unwrap();
    assert_eq!(frames_in(&left(&std::fs::read(wav).unwrap()), 50).len(), 50, "captured and stored to its last frame");
}

fn caller_token(twiml: &str) -> String {
    let rest = twiml.split_once(r#"name="token" value=""#).unwrap().1;
    rest.split_once('"').unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_rings_is_waited_for_and_asked_when_somebody_answers() {
    let (folder, twilio) = (tempfile::tempdir().unwrap(), Twilio::start().await);
    let served = serve(folder.path(), &twilio, &[]);
    let token = token(folder.path());
    let door = Door { address: served.address, folder: folder.path(), token: &token };
    let first: Value = place(door).await.json().await.unwrap();
    let second: Value = place(door).await.json().await.unwrap();
    let (one, other) = (Phone::placed(&twilio, 0), Phone::placed(&twilio, 1));
    let began = terminated(&served, door).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    other.status(door, "no-answer").await;
    let twiml = one.voice(door, &[]).await;
    let mut caller = one.stream(door, &twiml).await;
    assert!(caller.was_played_to());
    caller.frames(250).await;
    caller.key("2").await;
    let id = first["callId"].as_str().unwrap();
    door.call(&one.sid, |call| call["callId"] == id && call["consent"]["status"] == "REVOKED").await;
    drop(caller);
    let twiml = action(&one, door, &format!("?callId={id}")).await;
    assert!(twiml.contains("<Client>maria</Client>") && !twiml.contains("<Stream"), "{twiml}");
    one.status(door, "completed").await;
    ends(served, began);
    // Each was closed by what became of it.
    let served = serve(folder.path(), &twilio, &[]);
    let door = Door { address: served.address, ..door };
    for (sid, id, reason) in [(&one.sid, &first["callId"], json!("CLIENT_OPT_OUT")), (&other.sid, &second["callId"], Value::Null)] {
        let call = door.call(sid, |call| call["phase"] == "ENDED").await;
        assert_eq!((&call["callId"], &call["unrecordedReason"]), (id, &reason), "{call}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_party_of_a_call_that_is_joined_here_may_still_come() {
    let (folder, twilio) = (tempfile::tempdir().unwrap(), Twilio::start().await);
    let bridged = [("CALLGATE_INBOUND_ROUTE", "client:anna"), ("CALLGATE_TOPOLOGY", "bridge")];
    let served = serve(folder.path(), &twilio, &bridged);
    let token = token(folder.path());
    let door = Door { address: served.address, folder: folder.path(), token: &token };
    let phone = Phone::inbound("CA00000000000000000000000000000d05");
    let mut client = phone.stream(door, &phone.voice(door, &[("clientId", "c")]).await).await;
    client.frames(250).await;
    client.key("1").await;
    door.call(&phone.sid, |call| call["recording"]["state"] == "ACTIVE").await;
    client.frames(400).await;
    while twilio.placed() == 0 {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let began = terminated(&served, door).await;
    // Anna's telephone rings, and she answers.
    let anna = twilio.phone();
    let theirs = anna.voice(door, &[]).await;
    let mut party = anna.stream(door, &theirs).await;
    for _ in 0..50 {
        client.frames(1).await;
        party.frames(1).await;
        client.listen(Duration::from_millis(3)).await;
        party.listen(Duration::from_millis(3)).await;
    }
    door.call(&phone.sid, |call| call["recording"]["framesCaptured"]["outbound"].as_u64() >= Some(30)).await;
    client.stop().await;
    assert!(!party.listen(Duration::from_secs(5)).await, "and they hang up together");
    ends(served, began);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_a_new_call_is_turned_away_and_one_with_nowhere_to_go_is_twilios_fallbacks() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path(), &[("CALLGATE_DRAIN_SECONDS", BOUND)]);
    let token = Served::token(folder.path());
    let door = Door { address: served.address, folder: folder.path(), token: &token };
    let mut live = Caller::connect(served.address, "CAlive", json!({ "mode": "stay", "clientId": "c" })).await;
    live.frames(10).await;
    let began = terminated(&served, door).await;
    let mut new = Caller::connect(served.address, "CAnew", json!({ "mode": "stay", "clientId": "d" })).await;
    assert!(!new.listen(Duration::from_secs(5)).await && new.heard.is_empty(), "closed, and nobody is asked");
    assert_eq!(door.get("/api/calls?callSid=CAnew").await.1["calls"], json!([]));
    let voice = reqwest::Client::new().post(format!("http://{}/api/webhooks/twilio/voice", served.address)).form(&[("CallSid", "CAvoice")]);
    let answer = voice.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 503, "there is no route: Twilio asks the number's fallback URL");
    live.frames(240).await;
    live.key("2").await;
    door.call("CAlive", |call| call["consent"]["status"] == "REVOKED").await;
    live.stop().await;
    drop(live);
    ends(served, began);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_its_bound_a_drain_seals_what_is_still_there() {
    let (folder, twilio) = (tempfile::tempdir().unwrap(), Twilio::start().await);
    let served = serve(folder.path(), &twilio, &[("CALLGATE_INBOUND_ROUTE", "client:anna"), ("CALLGATE_DRAIN_SECONDS", "2")]);
    let token = token(folder.path());
    let door = Door { address: served.address, folder: folder.path(), token: &token };
    // One that never comes, and one that never ends.
    Phone::inbound("CA00000000000000000000000000000d03").voice(door, &[]).await;
    let phone = Phone::inbound("CA00000000000000000000000000000d04");
    let twiml = phone.voice(door, &[]).await;
    let mut caller = phone.stream(door, &twiml).await;
    caller.frames(250).await;
    caller.key("1").await;
    door.call(&phone.sid, |call| call["consent"]["status"] == "GRANTED").await;
    let mut fork = phone.stream(door, &action(&phone, door, "").await).await;
    fork.frames(50).await;
    door.call(&phone.sid, |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(30)).await;
    let began = terminated(&served, door).await;
    let log = served.log();
    assert!((Duration::from_millis(1_900)..Duration::from_secs(20)).contains(&began.elapsed()), "{:?}: {log}", began.elapsed());
    let wavs = files(&folder.path().join("objects")).into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "wav"));
    assert_eq!(wavs.count(), 1, "{log}");
}
