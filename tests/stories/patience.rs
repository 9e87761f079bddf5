//! Twilio waits fifteen seconds for TwiML, and people wait on the line. A database that neither answers nor refuses (its server stands
//! still) costs them a recording, and never the call.

use std::time::{Duration, Instant};

use crate::common::databases::{self, Cluster};
use crate::common::twilio::{PUBLIC, Phone, Twilio};
use crate::common::{Caller, Rig};
use callgate::server::Given;
use serde_json::{Value, json};

/// Twilio's fifteen seconds, less the way there and back.
const PATIENCE: Duration = Duration::from_secs(14);

/// A call that only the database knows: it was placed, and reached nobody.
async fn over(rig: &Rig, twilio: &Twilio) -> (Phone, String) {
    let wish = json!({ "clientId": "c-7", "formIds": [], "to": "+16175550123", "connectTo": "client:maria" });
    let (status, answer) = rig.initiate(&wish, None).await;
    assert_eq!(status, 201, "{answer}");
    let phone = twilio.phone();
    phone.status(rig, "no-answer").await;
    rig.by_id(&answer["callId"], |call| call["phase"] == "ENDED").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    (phone, answer["callId"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_webhook_is_answered_in_time_while_the_databases_server_stands_still() {
    let (server, twilio) = (Cluster::start(&["fsync=off"]).await, Twilio::start().await);
    let url = server.url("postgres");
    let given = Given { database_url: Some(url), inbound_route: Some("client:anna".into()), ..twilio.given() };
    let rig = Rig::start(given).await;
    let (gone, id) = over(&rig, &twilio).await;
    // A call that lives here, and has been asked.
    let known = Phone::inbound("CA00000000000000000000000000000e01");
    let twiml = known.voice(&rig, &[]).await;
    let mut caller = known.stream(&rig, &twiml).await;
    caller.frames(250).await;
    caller.key("1").await;
    rig.call(&known.sid, |call| call["consent"]["status"] == "GRANTED").await;
    server.freeze();
    let timed = async |what: &'static str, phone: &Phone, path: &str, fields: &[(&str, &str)]| {
        let began = Instant::now();
        let (status, text) = phone.ask(&rig, &format!("{PUBLIC}/api/webhooks/twilio/{path}"), fields).await;
        assert!(began.elapsed() < PATIENCE, "{what}: {:?}: {status} {text}", began.elapsed());
        (status, text)
    };
    let (new, stranger) = (Phone::inbound("CA00000000000000000000000000000e02"), Phone::inbound("CA00000000000000000000000000000e03"));
    let by_id = |path: &str| format!("{path}?callId={id}");
    let (voice, connected, consent, status) = (by_id("voice"), by_id("connected"), by_id("consent"), by_id("status"));
    let (party, party_status) = ("party?callId=call_elsewhere", "party-status?callId=call_elsewhere");
    let ((a, b, c, d), (e, f, g, h), (i, j)) = tokio::join!(
        async {
            tokio::join!(
                timed("a new call", &new, "voice", &[]),
                timed("one that only the database knows", &gone, &voice, &[]),
                timed("its stream is over", &gone, &connected, &[]),
                timed("its keypad", &gone, &consent, &[("Digits", "2")])
            )
        },
        async {
            tokio::join!(
                timed("a status of it", &gone, &status, &[("CallStatus", "completed")]),
                timed("one that lives here", &known, "connected", &[]),
                timed("a party", &stranger, party, &[]),
                timed("a party's status", &stranger, party_status, &[("CallStatus", "busy")])
            )
        },
        async {
            tokio::join!(
                timed("the stream of a call that nobody knows", &stranger, "connected", &[]),
                timed("its keypad", &stranger, "consent", &[("Digits", "1")])
            )
        }
    );
    let anna = "<Dial><Client>anna</Client></Dial></Response>";
    // Of a new call nobody can tell whether another gateway has it already: two must not ask for it.
    for (what, answer) in [("a new call", &a), ("voice", &b), ("connected", &c), ("consent", &d), ("of nobody", &i), ("keys of nobody", &j)]
    {
        assert!(answer.0 == 200 && answer.1.ends_with(anna) && !answer.1.contains("<Stream"), "{what}: {answer:?}");
    }
    assert!(d.1.contains("will not be recorded"), "{d:?}");
    assert_eq!((e.0, h.0), (204, 204));
    assert!(f.0 == 200 && f.1.ends_with(anna), "{f:?}");
    assert!(g.0 == 200 && g.1.contains("</Response>"), "{g:?}");
    server.thaw();
    // And the record comes later.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let told: Vec<Value> = rig.chain_of(&json!(id)).await;
        let late =
            |entry: &Value| entry["kind"] == "call.unrecorded" && entry["detail"]["why"].as_str().unwrap().contains("did not tell in time");
        if told.iter().any(late) {
            break;
        }
        assert!(Instant::now() < deadline, "{told:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_was_under_way_when_the_server_stopped_is_not_waited_for() {
    let server = Cluster::start(&["fsync=off"]).await;
    let url = server.url("postgres");
    let given = || Given { database_url: Some(url.clone()), inbound_route: Some("client:anna".into()), ..Given::default() };
    let (one, other) = (Rig::start(given()).await, Rig::start(given()).await);
    let mut caller = Caller::connect(one.address(), "CAelsewhere", json!({ "mode": "consent", "clientId": "c" })).await;
    caller.frames(50).await;
    other.call("CAelsewhere", |call| call["phase"] == "PROMPTING").await;
    let ask = |path: &'static str, sid: &'static str| {
        let request = reqwest::Client::new().post(format!("http://{}/api/webhooks/twilio/{path}", other.address()));
        tokio::spawn(async move {
            let began = Instant::now();
            let text = request.form(&[("CallSid", sid)]).send().await.unwrap().text().await.unwrap();
            assert!(began.elapsed() < PATIENCE, "{path}: {:?}: {text}", began.elapsed());
            text
        })
    };
    // The one waits until its owner can be asked, the other until somebody tells whose it is; and then nothing answers any more.
    let (mut commands, mut calls) = (databases::raw(&url).await, databases::raw(&url).await);
    commands.execute(r#"BEGIN; LOCK TABLE "Command""#).await.unwrap();
    let elsewhere = ask("connected", "CAelsewhere");
    tokio::time::sleep(Duration::from_millis(500)).await;
    calls.execute(r#"BEGIN; LOCK TABLE "Call""#).await.unwrap();
    let new = ask("voice", "CAnew");
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.freeze();
    let (elsewhere, new) = (elsewhere.await.unwrap(), new.await.unwrap());
    assert!(elsewhere.ends_with("<Response><Dial><Client>anna</Client></Dial></Response>"), "connected, and not captured: {elsewhere}");
    assert!(new.ends_with("<Response><Dial><Client>anna</Client></Dial></Response>"), "it may be another gateway's: {new}");
    server.thaw();
}
