//! Pauses and opt-outs in the middle of a call, from outside: the API as the main app, the stream as Twilio.

use std::time::Duration;

use crate::common::{Caller, Rig, frames_in, left};
use callgate::engine::time::WallTime;
use callgate::io::clock::wall;
use callgate::server::Given;
use serde_json::{Value, json};

/// The recording of a call that is over, as frames of the client by their numbers.
async fn recorded(rig: &Rig, sid: &str, of: u64) -> (Vec<u64>, Value) {
    let call = rig.call(sid, |call| call["recording"]["state"] == "FINISHED" && call["phase"] == "ENDED").await;
    let id = call["recording"]["recordingId"].as_str().unwrap();
    let url = format!("http://{}/api/recordings/{id}/audio", rig.address());
    let wav = reqwest::Client::new().get(url).bearer_auth(&rig.token).send().await.unwrap().bytes().await.unwrap();
    let (_, told) = rig.get(&format!("/api/recordings/{id}")).await;
    let manifest = told["objectKey"].as_str().unwrap().replace(".wav", ".json");
    let manifest = std::fs::read(rig.folder.path().join("objects").join(manifest)).unwrap();
    (frames_in(&left(&wav), of), serde_json::from_slice(&manifest).unwrap())
}

async fn post(rig: &Rig, call: &Value, what: &str, body: Value, token: &str) -> (u16, Value) {
    rig.post_as(&format!("/api/calls/{}/{what}", call["callId"].as_str().unwrap()), body, token).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_in_a_pause_is_in_no_recording_and_a_pause_is_its_holders() {
    for gaps in ["silence", "cut"] {
        let rig = Rig::start(Given { pause_gaps: Some(gaps.into()), ..Given::default() }).await;
        let maria = rig.token_of("u-maria", "Maria", &["canEditClients", "canViewClients"], &["*"]);
        let paul = rig.token_of("u-paul", "Paul", &["canEditClients", "canViewClients"], &["*"]);
        let mut caller = Caller::talking(&rig, "CApause").await;
        caller.frames(100).await;
        let call = rig.call("CApause", |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(88)).await;
        assert_eq!(post(&rig, &call, "pause", json!({}), &maria).await.0, 400, "a pause has a reason");
        let (status, state) = post(&rig, &call, "resume", json!({}), &maria).await;
        assert_eq!(
            (status, state["recording"]["state"].as_str()),
            (200, Some("ACTIVE")),
            "nothing is paused, and nothing changes: {state}"
        );
        let (status, state) = post(&rig, &call, "pause", json!({ "reason": "PAYMENT" }), &maria).await;
        assert_eq!((status, state["recording"]["state"].as_str()), (200, Some("PAUSED")), "{state}");
        assert_eq!(state["recording"]["pauses"][0]["by"]["id"], "u-maria");
        let last_before = caller.chunk;
        let withheld = |call: &Value| call["recording"]["framesWithheld"]["inbound"].as_u64().unwrap();
        let before = withheld(&state);
        caller.frames(200).await;
        let secret = caller.chunk;
        rig.call("CApause", |call| withheld(call) >= before + 200).await;
        assert_eq!(post(&rig, &call, "resume", json!({}), &paul).await.0, 409, "it is Maria's");
        let (status, state) = post(&rig, &call, "pause", json!({ "reason": "reads a letter aloud" }), &paul).await;
        assert_eq!((status, state["recording"]["pauses"].as_array().map(Vec::len)), (200, Some(2)), "{state}");
        let (status, state) = post(&rig, &call, "resume", json!({}), &maria).await;
        assert_eq!((status, state["recording"]["state"].as_str()), (200, Some("PAUSED")), "Paul still holds it: {state}");
        let (status, state) = post(&rig, &call, "resume", json!({}), &paul).await;
        assert_eq!((status, state["recording"]["state"].as_str()), (200, Some("ACTIVE")), "{state}");
        caller.frames(100).await;
        rig.call("CApause", |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(180)).await;
        let (status, state) = post(&rig, &call, "opt-out", json!({}), &maria).await;
        assert_eq!((status, state["recording"]["state"].as_str()), (200, Some("HALTED")), "{state}");
        for what in ["pause", "resume"] {
            let (status, problem) = post(&rig, &call, what, json!({ "reason": "PAYMENT" }), &maria).await;
            assert_eq!(status, 409, "{what} after an opt-out: {problem}");
            assert!(problem["detail"].as_str().is_some_and(|why| why.contains("opted out")), "{problem}");
        }
        caller.stop().await;

        let all = caller.chunk;
        let (frames, manifest) = recorded(&rig, "CApause", all).await;
        assert!(frames.contains(&last_before), "what was said before the pause is there: {frames:?}");
        assert!(!frames.iter().any(|frame| (last_before + 1..=secret).contains(frame)), "nothing of the pause: {frames:?}");
        assert!(frames.iter().any(|frame| *frame > secret), "and what came after it: {frames:?}");
        let pause = &manifest["pauses"][0];
        assert_eq!((pause["reason"].as_str(), manifest["pauseGaps"].as_str()), (Some("PAYMENT"), Some(gaps)), "{manifest}");
        assert!(pause["endMs"].as_u64().unwrap() - pause["startMs"].as_u64().unwrap() >= 3_900, "{pause}");
        let audio_ms = frames.len() as u64 * 20;
        let length_ms = manifest["durationMs"].as_u64().unwrap() - manifest["prompt"]["leadMs"].as_u64().unwrap_or(0);
        assert_eq!(length_ms > audio_ms + 3_500, gaps == "silence", "{length_ms} ms hold {audio_ms} ms of frames: {manifest}");
        assert!(!manifest.to_string().contains("letter"));
        let chain = rig.chain("client-CApause").await;
        let kinds: Vec<_> = chain
            .iter()
            .filter_map(|entry| entry["kind"].as_str())
            .filter(|kind| kind.contains("pause") || kind.contains("resume"))
            .collect();
        assert_eq!(kinds, ["recording.paused", "recording.paused", "recording.resumed", "recording.resumed"]);
        assert!(!serde_json::to_string(&chain).unwrap().contains("letter"), "free text enters no link");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_holds_as_many_pauses_as_it_has_reasons_and_lifts_each_by_its_name() {
    let rig = Rig::start(Given::default()).await;
    let mut caller = Caller::talking(&rig, "CAnested").await;
    caller.frames(100).await;
    let call = rig.call("CAnested", |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(88)).await;
    let ask = async |what: &str, body: Value| post(&rig, &call, what, body, &rig.token).await;
    let reasons = |state: &Value| -> Vec<String> {
        state["recording"]["pauses"].as_array().unwrap().iter().map(|pause| pause["reason"].as_str().unwrap().to_owned()).collect()
    };
    for (what, reason, left) in [
        ("pause", "PAYMENT", vec!["PAYMENT"]),
        ("pause", "PAYMENT", vec!["PAYMENT"]),
        ("pause", "MEDICAL", vec!["PAYMENT", "MEDICAL"]),
        ("pause", "reads a letter aloud", vec!["PAYMENT", "MEDICAL", "reads a letter aloud"]),
        ("resume", "MEDICAL", vec!["PAYMENT", "reads a letter aloud"]),
        ("resume", "MEDICAL", vec!["PAYMENT", "reads a letter aloud"]),
        ("resume", "reads a letter aloud", vec!["PAYMENT"]),
        ("resume", "IDENTITY", vec!["PAYMENT"]),
    ] {
        let (status, state) = ask(what, json!({ "reason": reason })).await;
        assert_eq!((status, state["recording"]["state"].as_str()), (200, Some("PAUSED")), "{what} {reason}: {state}");
        assert_eq!(reasons(&state), left, "{what} {reason}");
    }
    for (what, body) in [
        ("pause", json!({ "reason": "OPT_OUT_HEARD" })),
        ("pause", json!({ "reason": "TRANSFER" })),
        ("resume", json!({ "reason": " " })),
        ("resume", json!({ "reason": 5 })),
        ("resume", json!({ "why": "PAYMENT" })),
    ] {
        assert_eq!(ask(what, body.clone()).await.0, 400, "{what} {body}");
    }
    let (status, state) = ask("resume", json!({ "reason": "PAYMENT" })).await;
    assert_eq!((status, state["recording"]["state"].as_str()), (200, Some("ACTIVE")), "{state}");
    // Without a reason, all of one's own.
    ask("pause", json!({ "reason": "PAYMENT" })).await;
    ask("pause", json!({ "reason": "MEDICAL" })).await;
    let url = format!("http://{}/api/calls/{}/resume", rig.address(), call["callId"].as_str().unwrap());
    let answer = reqwest::Client::new().post(url).bearer_auth(&rig.token).send().await.unwrap();
    let (status, state) = (answer.status(), answer.json::<Value>().await.unwrap());
    assert_eq!((status.as_u16(), state["recording"]["state"].as_str()), (200, Some("ACTIVE")), "a resume without a body: {state}");
    caller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_is_recorded_by_when_it_was_said_and_not_by_when_it_comes() {
    let rig = Rig::start(Given::default()).await;
    let mut caller = Caller::connect(rig.address(), "CAlate", json!({ "mode": "stay", "clientId": "client-CAlate" })).await;
    caller.frames(248).await;
    let before_yes = caller.overtaken();
    caller.frames(1).await;
    caller.key("1").await;
    rig.call("CAlate", |call| call["recording"]["state"] == "ACTIVE").await;
    caller.comes_late(before_yes).await;
    caller.frames(100).await;
    let captured = |call: &Value| call["recording"]["framesCaptured"]["inbound"].as_u64().unwrap();
    let call = rig.call("CAlate", |call| captured(call) >= 80).await;
    let (status, state) = post(&rig, &call, "pause", json!({ "reason": "PAYMENT" }), &rig.token).await;
    assert_eq!(status, 200, "{state}");
    let withheld = |call: &Value| call["recording"]["framesWithheld"]["inbound"].as_u64().unwrap();
    let before = withheld(&state);
    caller.frames(50).await;
    let in_pause = caller.overtaken();
    caller.frames(1).await;
    rig.call("CAlate", |call| withheld(call) >= before + 51).await;
    assert_eq!(post(&rig, &call, "resume", json!({}), &rig.token).await.0, 200);
    caller.comes_late(in_pause).await;
    caller.frames(100).await;
    let in_talk = caller.overtaken();
    caller.frames(2).await;
    caller.comes_late(in_talk).await;
    // A timestamp that leaps by hours is none: nothing that follows it is lost.
    caller.frame_at(30_000_000).await;
    let leapt = caller.chunk;
    caller.frames(100).await;
    caller.stop().await;

    let (frames, manifest) = recorded(&rig, "CAlate", caller.chunk).await;
    assert!(!frames.contains(&before_yes) && !frames.contains(&in_pause), "{before_yes} or {in_pause} is there: {frames:?}");
    let talk: Vec<_> = (in_pause + 2..=caller.chunk).collect();
    assert!(frames.ends_with(&talk), "{in_talk}, {leapt} and all that came after: {frames:?}");
    let call = rig.call("CAlate", |_| true).await;
    assert_eq!((captured(&call), withheld(&call)), (frames.len() as u64, caller.chunk - frames.len() as u64), "{call}");
    assert_eq!((manifest["frames"][0].as_u64(), &manifest["damage"]), (Some(frames.len() as u64), &Value::Null), "{manifest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_that_names_an_earlier_moment_ends_the_recording_there() {
    let rig = Rig::start(Given::default()).await;
    let mut caller = Caller::talking(&rig, "CAsince").await;
    // In real time, since a moment on the wall is to be found in the audio.
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let mut moment = (WallTime(0), 0);
    for n in 0..150 {
        pace.tick().await;
        if n == 75 {
            moment = (wall(), caller.chunk);
        }
        caller.frames(1).await;
    }
    let call = rig.call("CAsince", |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(120)).await;
    let future = WallTime(wall().0 + 60_000).to_string();
    assert_eq!(post(&rig, &call, "opt-out", json!({ "effectiveAt": future }), &rig.token).await.0, 400);
    assert_eq!(post(&rig, &call, "opt-out", json!({ "effectiveAt": "yesterday" }), &rig.token).await.0, 400);
    let (status, state) = post(&rig, &call, "opt-out", json!({ "effectiveAt": moment.0.to_string() }), &rig.token).await;
    assert_eq!((status, state["recording"]["state"].as_str()), (200, Some("HALTED")), "{state}");
    caller.stop().await;
    let (frames, _) = recorded(&rig, "CAsince", caller.chunk).await;
    let last = *frames.last().unwrap();
    assert!(last <= moment.1 + 2, "nothing of after that moment: {last}, the moment was at {}", moment.1);
    assert!(last + 25 > moment.1, "and what was consented to before it is there: {last}, the moment was at {}", moment.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_that_is_told_to_have_held_earlier_is_carried_out_or_refused_and_never_waved_through() {
    let rig = Rig::start(Given::default()).await;
    let mut caller = Caller::talking(&rig, "CAearlier").await;
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..150 {
        pace.tick().await;
        caller.frames(1).await;
    }
    let call = rig.call("CAearlier", |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(120)).await;
    let now = wall();
    let at = |ago_ms: i64| json!({ "effectiveAt": WallTime(now.0 - ago_ms).to_string() });
    let (status, state) = post(&rig, &call, "opt-out", at(0), &rig.token).await;
    assert_eq!((status, &state["recording"]["reason"]), (200, &Value::Null), "{state}");
    let (status, again) = post(&rig, &call, "opt-out", at(0), &rig.token).await;
    assert_eq!((status, &again["recording"]["segments"]), (200, &state["recording"]["segments"]), "asked again, the same: {again}");
    assert_eq!(&again["recording"]["reason"], &Value::Null, "{again}");
    rig.call("CAearlier", |call| call["recording"]["state"] == "FINISHED").await;
    let (status, state) = post(&rig, &call, "opt-out", at(2_000), &rig.token).await;
    assert_eq!((status, &state["consent"]["effectiveAt"]), (200, &at(2_000)["effectiveAt"]), "{state}");
    assert!(state["recording"]["reason"].as_str().is_some_and(|why| why.contains("queued for deletion")), "{state}");
    let listener = rig.token_of("listener", "Listener", &["canViewRecordings"], &["*"]);
    let recording = format!("/api/recordings/{}/audio", state["recording"]["recordingId"].as_str().unwrap());
    assert_ne!(rig.ask(reqwest::Method::GET, &recording, String::new(), &listener).await.0, 200);
    caller.stop().await;

    // Once a call is over nothing is done for such a moment, and the answer says what is to be done.
    let mut caller = Caller::talking(&rig, "CAover").await;
    caller.frames(150).await;
    let call = rig.call("CAover", |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(120)).await;
    let now = wall();
    let at = |ago_ms: i64| json!({ "effectiveAt": WallTime(now.0 - ago_ms).to_string() });
    assert_eq!(post(&rig, &call, "opt-out", at(0), &rig.token).await.0, 200);
    caller.stop().await;
    rig.call("CAover", |call| call["recording"]["state"] == "FINISHED" && call["phase"] == "ENDED").await;
    assert_eq!(post(&rig, &call, "opt-out", at(0), &rig.token).await.0, 200, "done then");
    let (status, problem) = post(&rig, &call, "opt-out", at(60_000), &rig.token).await;
    assert!(status == 409 && problem["detail"].as_str().unwrap().contains("revoke the client's consent"), "{problem}");
}
