//! Real speech through a real recogniser, offline: what is said is transcribed, what is secret is masked, what is withheld is nowhere.
//!
//! The recogniser is faster-whisper behind vosk-server's protocol; `scripts/recogniser` installs it once. It is often a word off, so what is
//! looked for are stems.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::{Caller, Rig, is_written};
use callgate::server::Given;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::tungstenite::Message;

/// A process that is killed when its test is over.
struct Recogniser {
    process: Child,
    url: String,
}

impl Recogniser {
    fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/recogniser");
        let mut process = Command::new(script).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let port = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("no recogniser: {line:?}; what does scripts/recogniser say?"));
        Self { url: format!("vosk+ws://127.0.0.1:{port}"), process }
    }
}

impl Drop for Recogniser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn speech(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)).unwrap()
}

/// Both parties talk, at twice their pace: a recogniser has to keep up.
async fn talk(caller: &mut Caller, client: &[u8], other: &[u8]) {
    let mut clock = tokio::time::interval(Duration::from_millis(10));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let quiet = vec![0xff; client.len().max(other.len())];
    let part = |codes: &[u8], at: usize| -> Vec<u8> { codes.iter().chain(&quiet).skip(at).take(160).copied().collect() };
    for at in (0..client.len().max(other.len())).step_by(160) {
        clock.tick().await;
        caller.frame(&part(client, at)).await;
        caller.other_frame(&part(other, at)).await;
    }
}

async fn begin(recogniser: &Recogniser, sid: &str) -> (Rig, Caller) {
    let rig = Rig::start(Given { transcriber: Some(recogniser.url.clone()), ..Given::default() }).await;
    let parameters = json!({ "mode": "stay", "clientId": format!("client-{sid}") });
    let mut caller = Caller::with_both_tracks(rig.address(), sid, parameters).await;
    caller.frames(250).await;
    caller.key("1").await;
    rig.call(sid, |call| call["recording"]["state"] == "ACTIVE").await;
    (rig, caller)
}

async fn until(rig: &Rig, sid: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut call = Value::Null;
    for _ in 0..2_400 {
        call = rig.get(&format!("/api/calls?callSid={sid}")).await.1["calls"][0].clone();
        if wanted(&call) {
            return call;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the call never came to be as wanted: {call}");
}

async fn transcript(rig: &Rig, sid: &str) -> (Value, Value) {
    let call = until(rig, sid, |call| matches!(call["transcription"]["state"].as_str(), Some("FINISHED" | "FAILED" | "DISCARDED"))).await;
    assert_eq!(call["transcription"]["state"], "FINISHED", "{call}");
    let (status, document) = rig.get(&format!("/api/recordings/{}/transcript", call["recording"]["recordingId"].as_str().unwrap())).await;
    assert_eq!(status, 200, "{document}");
    (call, document)
}

fn said_by(document: &Value, speaker: &str) -> String {
    let lines = document["utterances"].as_array().unwrap().iter().filter(|line| line["speaker"] == speaker);
    lines.map(|line| line["text"].as_str().unwrap()).collect::<Vec<_>>().join(" ").to_lowercase()
}

/// What the recogniser hears in a stored recording, both channels.
async fn read_back(rig: &Rig, recogniser: &Recogniser, call: &Value) -> String {
    let url = format!("http://{}/api/recordings/{}/audio", rig.address(), call["recording"]["recordingId"].as_str().unwrap());
    let wav = reqwest::Client::new().get(url).bearer_auth(&rig.token).send().await.unwrap().bytes().await.unwrap();
    let samples: Vec<i16> = hound::WavReader::new(std::io::Cursor::new(wav)).unwrap().into_samples().map(Result::unwrap).collect();
    let mut heard = String::new();
    for side in 0..2 {
        let (mut web, _) = tokio_tungstenite::connect_async(recogniser.url.strip_prefix("vosk+").unwrap()).await.unwrap();
        let bytes: Vec<u8> = samples.iter().skip(side).step_by(2).flat_map(|sample| sample.to_le_bytes()).collect();
        for message in bytes.chunks(3_200).map(|pcm| Message::binary(pcm.to_vec())).chain([Message::text(r#"{"eof":1}"#)]) {
            web.send(message).await.unwrap();
            let Some(Ok(Message::Text(answer))) = web.next().await else { panic!("no answer") };
            let answer: Value = serde_json::from_str(&answer).unwrap();
            heard.push_str(answer["text"].as_str().unwrap_or_default());
            heard.push(' ');
        }
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_about_a_bill_is_transcribed_without_its_numbers() {
    let recogniser = Recogniser::start();
    let (rig, mut caller) = begin(&recogniser, "CAbill").await;
    talk(&mut caller, &speech("speech/call-en-client.ulaw"), &speech("speech/call-en-other.ulaw")).await;
    caller.stop().await;
    let (_, document) = transcript(&rig, "CAbill").await;
    let (client, other) = (said_by(&document, "client"), said_by(&document, "other"));
    for stem in ["pay my bill", "phone number", "expire", "goodbye"] {
        assert!(client.contains(stem), "{stem}: {client}");
    }
    for stem in ["card number", "security code", "social security", "payment"] {
        assert!(other.contains(stem), "{stem}: {other}");
    }
    let masks: Vec<&str> = document["utterances"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|line| line["masked"].as_array().unwrap())
        .map(|span| span["entity"].as_str().unwrap())
        .collect();
    for entity in ["PHONE", "CARD_NUMBER", "SSN"] {
        assert!(masks.contains(&entity), "{entity}: {masks:?} {client}");
    }
    // However the recogniser writes them down.
    for secret in ["6011", "9013", "9424", "0123", "555", "737", "987", "4321", "six zero", "nine eight seven", "seven three"] {
        assert!(!client.contains(secret) && !other.contains(secret), "{secret}: {client}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_who_says_no_is_heard_and_what_is_withheld_is_nowhere() {
    let recogniser = Recogniser::start();
    let (rig, mut caller) = begin(&recogniser, "CArefuses").await;
    talk(&mut caller, &speech("audio/client-en.ulaw"), &[]).await;
    talk(&mut caller, &[], &speech("audio/agent-en.ulaw")).await;
    let call = until(&rig, "CArefuses", |call| call["recording"]["framesCaptured"]["inbound"].as_u64() > Some(800)).await;
    let path = format!("/api/calls/{}", call["callId"].as_str().unwrap());
    assert_eq!(rig.post_as(&format!("{path}/pause"), json!({ "reason": "IDENTITY" }), &rig.token).await.0, 200);
    talk(&mut caller, &speech("audio/canary-en.ulaw"), &speech("audio/canary-en.ulaw")).await;
    assert_eq!(rig.post_as(&format!("{path}/resume"), json!({}), &rig.token).await.0, 200);
    talk(&mut caller, &speech("audio/refusal-en.ulaw"), &[]).await;
    talk(&mut caller, &vec![0xff; 8_000 * 2], &[]).await;
    until(&rig, "CArefuses", |call| call["recording"]["state"] == "PAUSED").await;
    talk(&mut caller, &speech("audio/canary-en.ulaw"), &speech("audio/canary-en.ulaw")).await;
    caller.stop().await;
    let (call, document) = transcript(&rig, "CArefuses").await;
    assert_eq!((&call["consent"]["status"], &call["consent"]["method"]), (&json!("REVOKED"), &json!("VERBAL")), "{call}");
    let (client, other) = (said_by(&document, "client"), said_by(&document, "other"));
    assert!(client.contains("appointment") && client.contains("lighthouse"), "{client}");
    // "nine" or "9", as the recogniser likes.
    assert!(other.contains("in the morning"), "{other}");
    let heard = read_back(&rig, &recogniser, &call).await;
    assert!(heard.contains("lighthouse"), "{heard}");
    for never in ["elephant", "nobody may ever", "this recorded", "record this call"] {
        assert!(!is_written(&rig, never) && !heard.contains(never), "{never}: {heard}");
    }
}
