//! The load tester, seen from the other end: a small gateway that can be told to do wrong, and what is said of it.

use std::collections::HashMap;
use std::io::Cursor;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use callgate::engine::audio::g711;
use callgate::engine::twilio::signature;
use callgate::replay::{Failure, Scenario, Target, play};
use serde_json::{Value, json};

const STORY: &str = r#"
name = "says yes, talks, says no"

[[step]]
quiet_ms = 1000

[[step]]
key = "1"

[[step]]
until = "closing-heard"

[[step]]
say = "client-es"

[[step]]
key = "2"
by = "both"

[[step]]
say = "canary-en"

[[step]]
hang_up = true

[expect]
consent = "REVOKED"
method = "KEYPRESS"
recording = "FINISHED"
reason = "CLIENT_OPT_OUT"
is_recorded = true
cut_at_key = 2
lost_at_most = 0
must_hear = ["client-es"]
must_not_hear = ["canary-en"]
"#;

/// What the gateway does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// A frame of before the grant lies in the recording.
    ForeignFrame,
    /// So does one, on the other party's channel.
    ForeignFrameOnTheRight,
    /// The recording goes on for four frames after the key, the tone with it.
    LateCut,
    /// It ends four frames too soon.
    EarlyCut,
    /// A frame in the middle is missing, and what follows moves up.
    ClosedHole,
    /// A frame in the middle is silence.
    Hole,
    /// Channels lie the wrong way round.
    WrongChannel,
    /// More is said to be captured than lies there.
    WrongCount,
    /// A segment begins where it did not.
    WrongSegment,
    /// FINISHED, and no recording anywhere.
    NoRecording,
    /// The recording is none.
    NoWav,
    /// It says something Twilio would not take.
    StrangeMessage,
    /// It closes the socket after the prompt.
    Closes,
    /// No word ever comes.
    Mute,
    /// It reads nothing any more.
    Stuck,
}

#[derive(Default)]
struct Kept {
    /// Every frame of the inbound track: its timestamp and codes.
    frames: Vec<(u64, Vec<u8>)>,
    granted_at: Option<usize>,
    cut_at: Option<usize>,
    stream_sid: String,
    ended: bool,
}

#[derive(Clone)]
struct Fake {
    fault: Fault,
    calls: Arc<Mutex<HashMap<String, Kept>>>,
    signed: Option<String>,
}

async fn fake(fault: Fault, signed: Option<String>) -> String {
    let fake = Fake { fault, calls: Arc::default(), signed };
    let router = Router::new()
        .route("/twilio/media", get(media))
        .route("/api/calls", get(calls))
        .route("/api/recordings/{id}", get(async || Json(json!({ "format": "wav", "objectKey": "recordings/x.wav" }))))
        .route("/api/recordings/{id}/audio", get(audio))
        .with_state(fake);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address.to_string()
}

async fn media(State(fake): State<Fake>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> axum::response::Response {
    let signature = headers.get("x-twilio-signature").and_then(|value| value.to_str().ok()).map(str::to_owned);
    if signature != fake.signed {
        return StatusCode::FORBIDDEN.into_response();
    }
    upgrade.on_upgrade(move |socket| call(fake, socket))
}

async fn call(fake: Fake, mut socket: WebSocket) {
    let (mut call_sid, mut expected_sequence) = (String::new(), 1u64);
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Text(text) = message else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        let event = message["event"].as_str().unwrap().to_owned();
        if event != "connected" {
            // One counter for all messages, as a string.
            assert_eq!(message["sequenceNumber"], expected_sequence.to_string());
            expected_sequence += 1;
        }
        let mut answers = Vec::new();
        {
            let mut calls = fake.calls.lock().unwrap();
            match event.as_str() {
                "start" => {
                    call_sid = message["start"]["callSid"].as_str().unwrap().to_owned();
                    let stream_sid = message["streamSid"].as_str().unwrap().to_owned();
                    calls.insert(call_sid.clone(), Kept { stream_sid, ..Kept::default() });
                    answers.extend(line(20, "prompt"));
                }
                "media" => {
                    let kept = calls.get_mut(&call_sid).unwrap();
                    let timestamp = message["media"]["timestamp"].as_str().unwrap().parse().unwrap();
                    let codes = base64_simd::STANDARD.decode_to_vec(message["media"]["payload"].as_str().unwrap()).unwrap();
                    kept.frames.push((timestamp, codes));
                }
                "dtmf" => {
                    let kept = calls.get_mut(&call_sid).unwrap();
                    let here = Some(kept.frames.len());
                    assert_eq!(message["dtmf"]["track"], "inbound_track");
                    match message["dtmf"]["digit"].as_str().unwrap() {
                        "1" => kept.granted_at = here,
                        _ => kept.cut_at = here,
                    }
                    answers.push(json!({ "event": "clear" }));
                    answers.extend(line(4, "closing"));
                }
                "stop" => calls.get_mut(&call_sid).unwrap().ended = true,
                _ => {}
            }
        }
        match (fake.fault, event.as_str()) {
            (Fault::Mute, _) => answers.clear(),
            (Fault::StrangeMessage, "start") => answers.push(json!({ "event": "transcript" })),
            (Fault::Closes, "mark") => break,
            (Fault::Stuck, "dtmf") => std::future::pending().await,
            _ => {}
        }
        for mut answer in answers {
            answer["streamSid"] = message["streamSid"].clone();
            if socket.send(Message::text(answer.to_string())).await.is_err() {
                return;
            }
        }
    }
    if let Some(kept) = fake.calls.lock().unwrap().get_mut(&call_sid) {
        kept.ended = true;
    }
}

/// So many pieces of 100 ms, and a mark.
fn line(pieces: usize, mark: &str) -> Vec<Value> {
    let payload = base64_simd::STANDARD.encode_to_string([0x70; 800]);
    let mut line: Vec<Value> = (0..pieces).map(|_| json!({ "event": "media", "media": { "payload": payload } })).collect();
    line.push(json!({ "event": "mark", "mark": { "name": mark } }));
    line
}

impl Kept {
    /// The frames that the recording holds, as it holds them.
    fn recorded(&self, fault: Fault) -> Vec<(u64, Vec<u8>)> {
        let (Some(from), to) = (self.granted_at, self.cut_at.unwrap_or(self.frames.len())) else { return Vec::new() };
        let to = match fault {
            Fault::LateCut => to + 4,
            Fault::EarlyCut => to - 4,
            _ => to,
        };
        let mut frames = self.frames[from..to].to_vec();
        match fault {
            Fault::ForeignFrame => frames[10].1 = self.frames[from - 1].1.clone(),
            Fault::ClosedHole => drop(frames.drain(50..60)),
            Fault::Hole => frames[50].1.fill(0xFF),
            _ => {}
        }
        frames
    }
}

async fn calls(State(fake): State<Fake>, Query(query): Query<HashMap<String, String>>) -> Json<Value> {
    let calls = fake.calls.lock().unwrap();
    let Some(kept) = calls.get(&query["callSid"]) else { return Json(json!({ "calls": [] })) };
    let frames = kept.recorded(fake.fault);
    let count = frames.len() + if fake.fault == Fault::WrongCount { 30 } else { 0 };
    let late = if fake.fault == Fault::WrongSegment { 100 } else { 0 };
    let segments: Vec<Value> = frames
        .first()
        .zip(frames.last())
        .map(|(first, last)| json!({ "streamSid": kept.stream_sid, "startMs": first.0 + late, "endMs": last.0 + 20 }))
        .into_iter()
        .collect();
    let stored = !frames.is_empty();
    Json(json!({ "calls": [{
        "callSid": query["callSid"], "phase": if kept.ended { "ENDED" } else { "CONNECTED" },
        "endedAt": kept.ended.then_some("2026-01-01T00:00:00.000Z"), "isRecorded": stored,
        "unrecordedReason": kept.cut_at.map(|_| "CLIENT_OPT_OUT"),
        "consent": { "status": if kept.cut_at.is_some() { "REVOKED" } else { "PENDING" }, "method": "KEYPRESS", "languageCode": "en" },
        "recording": {
            "state": if !kept.ended { "ACTIVE" } else if stored { "FINISHED" } else { "NOT_STARTED" },
            "recordingId": (stored && fake.fault != Fault::NoRecording).then_some(&query["callSid"]),
            "framesCaptured": { "inbound": count, "outbound": 0 }, "segments": segments,
        },
    }] }))
}

async fn audio(State(fake): State<Fake>, Path(id): Path<String>) -> Vec<u8> {
    if fake.fault == Fault::NoWav {
        return b"RIFFoops".to_vec();
    }
    let calls = fake.calls.lock().unwrap();
    let kept = &calls[&id];
    let mut sides = [Vec::new(), Vec::new()];
    sides[usize::from(fake.fault == Fault::WrongChannel)] =
        kept.recorded(fake.fault).into_iter().flat_map(|(_, codes)| codes).collect::<Vec<u8>>();
    if fake.fault == Fault::ForeignFrameOnTheRight {
        sides[1] = [vec![0xFF; 777], kept.frames[3].1.clone()].concat();
    }
    let form = hound::WavSpec { channels: 2, sample_rate: 8_000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut bytes = Vec::new();
    let mut writer = hound::WavWriter::new(Cursor::new(&mut bytes), form).unwrap();
    for at in 0..sides[0].len().max(sides[1].len()) {
        for side in &sides {
            writer.write_sample(side.get(at).map_or(0, |code| g711::decode(*code))).unwrap();
        }
    }
    writer.finalize().unwrap();
    bytes
}

fn target(address: &str, token: bool) -> Target {
    Target {
        url: format!("ws://{address}/twilio/media"),
        api: format!("http://{address}"),
        token: token.then(|| "any".to_owned()),
        auth_token: None,
        speed: 20.0,
        seed: 7,
    }
}

/// What is said of a gateway with this fault, playing the story with some words changed.
async fn said_of(fault: Fault, token: bool, change: [&str; 2]) -> Vec<Failure> {
    let address = fake(fault, None).await;
    let scenario = Scenario::read("story.toml", &STORY.replace(change[0], change[1])).unwrap();
    let outcomes = play(&target(&address, token), &[Arc::new(scenario)], 1, 100.0, 1, |_, _| {}).await;
    assert_eq!(outcomes.len(), 1);
    outcomes.into_iter().flat_map(|outcome| outcome.failures).collect()
}

const AS_IT_IS: [&str; 2] = ["", ""];

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_does_right_passes() {
    assert_eq!(said_of(Fault::None, true, AS_IT_IS).await, []);
    assert_eq!(said_of(Fault::None, false, AS_IT_IS).await, [], "without a token");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_recording_is_caught_and_named() {
    let cases = [
        (Fault::ForeignFrame, "in the recording", "frame"),
        (Fault::ForeignFrameOnTheRight, "in the recording", "frame 3, Inbound"),
        (Fault::LateCut, "in the recording", "4 in all"),
        (Fault::LateCut, "key tones in the recording", "1, the first on channel 0"),
        (Fault::EarlyCut, "captured", "4 lost"),
        (Fault::ClosedHole, "places", "200 ms off"),
        (Fault::Hole, "in the recording", "1 missing"),
        (Fault::WrongChannel, "channels", "on the other's"),
        (Fault::WrongCount, "framesCaptured", ""),
        (Fault::WrongSegment, "segments", "startMs"),
        (Fault::NoRecording, "the API", "no recordingId"),
        (Fault::NoWav, "the API", "no WAV"),
    ];
    let played = cases.map(|(fault, what, words)| (tokio::spawn(said_of(fault, true, AS_IT_IS)), what, words));
    for (said, what, words) in played {
        let said = said.await.unwrap();
        assert!(said.iter().any(|failure| failure.what == what && failure.seen.contains(words)), "{what}: {said:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_the_socket_alone_tells() {
    for (fault, what) in
        [(Fault::Mute, "the prompt"), (Fault::Mute, "a reaction"), (Fault::StrangeMessage, "messages"), (Fault::Closes, "the socket")]
    {
        let said = said_of(fault, false, ["quiet_ms = 1000", "quiet_ms = 3000"]).await;
        assert!(said.iter().any(|failure| failure.what == what), "{what}: {said:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn speech_that_must_or_must_not_be_heard_is_counted_in_the_recording() {
    let said = said_of(Fault::None, true, [r#"must_hear = ["client-es"]"#, r#"must_hear = ["canary-en"]"#]).await;
    assert!(said.iter().any(|failure| failure.what == "heard" && failure.seen == "0 of them"), "{said:#?}");
    let said = said_of(Fault::None, true, [r#"must_not_hear = ["canary-en"]"#, r#"must_not_hear = ["client-es"]"#]).await;
    assert_eq!(said.len(), 1, "{said:#?}");
    assert_eq!(said[0].expected, "nothing of client-es");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_is_signed_with_the_public_url() {
    let none: &[(&str, &str)] = &[];
    let address = fake(Fault::None, Some(signature::sign("secret", "wss://gate.example.com/twilio/media", none))).await;
    let with = ["--token", "any", "--auth-token", "secret", "--public-url", "wss://gate.example.com/twilio/media"];
    let (status, out, err) = replay(&address, STORY, &with).await;
    assert_eq!(status, 0, "{out}{err}");
    let (status, _, err) = replay(&address, STORY, &["--auth-token", "secret"]).await;
    assert_eq!(status, 1);
    assert!(err.contains("the call: expected to take place, seen handshake refused: 403"), "{err}");
}

/// `callgate replay` with the story in a file.
async fn replay(address: &str, story: &str, with: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("story.toml");
    std::fs::write(&file, story).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_callgate"));
    command.arg("replay").arg(&file).args(["--url", &format!("ws://{address}/twilio/media"), "--speed", "20"]).args(with);
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_exits_with_1_and_a_line_for_every_expectation_that_failed() {
    let address = fake(Fault::None, None).await;
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    let with = ["--token", "any", "--calls", "2", "--json", "-", "--html", page.to_str().unwrap()];
    let (status, out, err) = replay(&address, STORY, &with).await;
    assert_eq!((status, err.as_str()), (0, ""));
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["calls"], &json["failed"], &json["opened"], &json["failures"]), (&json!(2), &json!(0), &json!(2), &json!([])));
    assert_eq!((&json["latencyMs"]["cut"]["n"], &json["latencyMs"]["cut"]["max"]), (&json!(2), &json!(0.0)));
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("<svg") && html.ends_with("</html>\n") && !html.contains("http"), "nothing from outside");
    let other = folder.path().join("another.toml");
    std::fs::write(&other, STORY).unwrap();
    let (status, out, err) = replay(&address, STORY, &["--token", "any", "--json", "-", other.to_str().unwrap()]).await;
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["calls"], 2, "nobody said how many: one of each");

    let wrong = STORY.replace("REVOKED", "GRANTED");
    let (status, out, err) = replay(&address, &wrong, &["--token", "any", "--seed", "9", "--json", "-"]).await;
    let json: Value = serde_json::from_str(&out).unwrap();
    let sid = json["failures"][0]["callSid"].as_str().unwrap();
    assert_eq!((status, err), (1, format!("says yes, talks, says no ({sid}): consent: expected GRANTED, seen REVOKED\n")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_gets_stuck_is_given_up_in_time() {
    let address = fake(Fault::Stuck, None).await;
    let began = std::time::Instant::now();
    let (status, _, err) = replay(&address, STORY, &["--timeout", "2"]).await;
    assert_eq!(status, 1);
    assert!(err.contains("the call: expected over in time"), "{err}");
    assert!(began.elapsed().as_secs() < 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_scenario_is_explained_and_nothing_is_played() {
    for (story, words) in [
        (STORY.replace("hang_up", "hangs_up"), "unknown field `hangs_up`"),
        (STORY.replace("client-es", "client-fr"), "step 4 says \"client-fr\", which is none of client-en, client-es"),
        (STORY.replace("cut_at_key = 2", "cut_at_key = 3"), "line 32: cut_at_key counts key presses from 1, and the scenario has 2"),
    ] {
        let (status, out, err) = replay("127.0.0.1:9", &story, &[]).await;
        assert_eq!((status, out.as_str()), (2, ""), "{err}");
        assert!(err.contains("story.toml: ") && err.contains(words), "{err}");
    }
}
