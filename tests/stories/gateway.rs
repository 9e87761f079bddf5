//! A real gateway, seen from outside: through its WebSocket, its API, its files.

use std::collections::HashSet;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::recogniser::{Mood, Recogniser};
use crate::common::{Caller, PERMISSIONS, Rig, Served, claims, files, frames_in, left};
use callgate::engine::twilio::signature;
use callgate::server::Given;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_comes_out_as_it_says() {
    let rig = Rig::start(Given::default()).await;
    let url = crate::common::database_url(rig.folder.path());
    crate::common::every_scenario_comes_out(rig, &url).await;
}

/// A process' threads, by their names and as `nice` counts them (proc_pid_stat(5), field 19).
fn nice(pid: u32) -> Vec<(String, i32)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).ok())
        .map(|stat| {
            let (name, rest) = stat.split_once('(').unwrap().1.rsplit_once(") ").unwrap();
            (name.to_owned(), rest.split(' ').nth(16).unwrap().parse().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn a_frame_and_a_no_give_way_to_nobody_and_everything_else_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path(), &[]);
    let main = nice(std::process::id())[0].1;
    for (name, behind) in [("media-", 0), ("door", 0), ("spool-", 10), ("tokio-rt-worker", 10)] {
        // A thread has its name, and gives way, a moment after it has begun.
        crate::common::until(&format!("all {name} {behind} behind"), async || {
            let of: Vec<i32> =
                nice(served.id()).iter().filter(|(thread, _)| thread.starts_with(name)).map(|(_, nice)| nice - main).collect();
            !of.is_empty() && of.iter().all(|nice| *nice == behind)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opus_recording_is_ogg_and_as_long_as_the_talk() {
    let rig = Rig::start(Given { capture_format: text("opus"), prompt_in_recording: text("false"), ..Given::default() }).await;
    let mut caller = Caller::talking(&rig, "CAopus").await;
    caller.frames(150).await;
    caller.stop().await;
    let call = rig.call("CAopus", |call| call["recording"]["state"] == "FINISHED").await;
    let id = call["recording"]["recordingId"].as_str().unwrap();
    let (_, row) = rig.get(&format!("/api/recordings/{id}")).await;
    assert_eq!((row["format"].as_str(), row["durationMs"].as_u64()), (Some("opus"), Some(3_000)), "{row}");
    let bytes = reqwest::Client::new()
        .get(format!("http://{}/api/recordings/{id}/audio", rig.address()))
        .bearer_auth(&rig.token)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert!(bytes.starts_with(b"OggS") && bytes.windows(8).any(|window| window == b"OpusHead"));
    let mut pages = ogg::PacketReader::new(std::io::Cursor::new(bytes.as_ref()));
    let (mut packets, mut last) = (0, 0);
    while let Some(packet) = pages.read_packet().unwrap() {
        packets += 1;
        last = packet.absgp_page();
    }
    assert_eq!(
        (packets - 2, last),
        (151, 312 + 24_000 * 6),
        "3 s in packets of 20 ms, one more for the look-ahead, and the end in its place"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_read_from_the_recording_is_what_the_api_says() {
    let rig = Rig::start(Given::default()).await;
    let mut caller = Caller::talking(&rig, "CAtalk").await;
    let first = caller.chunk + 1;
    caller.frames(200).await;
    caller.stop().await;
    let call = rig.call("CAtalk", |call| call["recording"]["state"] == "FINISHED").await;
    assert_eq!(call["phase"], "ENDED");
    assert_eq!(call["recording"]["framesCaptured"]["inbound"], 200);
    let segment = &call["recording"]["segments"][0];
    assert_eq!(
        (segment["startMs"].as_u64(), segment["endMs"].as_u64()),
        (Some(100 + (first - 1) * 20), Some(100 + (first - 1) * 20 + 4_000))
    );
    let id = call["recording"]["recordingId"].as_str().unwrap();
    let client = reqwest::Client::new();
    let get = |range: Option<&str>| {
        let request = client.get(format!("http://{}/api/recordings/{id}/audio", rig.address())).bearer_auth(&rig.token);
        range.map_or(request.try_clone().unwrap(), |range| request.header("range", range)).send()
    };
    let whole = get(None).await.unwrap().bytes().await.unwrap();
    assert_eq!(frames_in(&left(&whole), caller.chunk), (first..first + 200).collect::<Vec<_>>());
    let part = get(Some("bytes=40-43")).await.unwrap();
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap()), (206, whole.slice(40..44)));
    assert_eq!(get(Some("bytes=99999999-")).await.unwrap().status().as_u16(), 416);
    let manifest =
        files(&rig.folder.path().join("objects")).into_iter().find(|file| file.extension().is_some_and(|ending| ending == "json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    assert_eq!((manifest["frames"][0].as_u64(), manifest["consent"]["record"]["method"].as_str()), (Some(200), Some("KEYPRESS")));
    assert_eq!(manifest["prompt"]["leadMs"].as_u64(), Some(4_980), "{manifest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_by_api_is_answered_when_the_gate_is_shut() {
    let rig = Rig::start(Given::default()).await;
    let mut caller = Caller::talking(&rig, "CAapi").await;
    caller.frames(100).await;
    let call = rig.call("CAapi", |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(80)).await;
    let path = format!("http://{}/api/calls/{}/opt-out", rig.address(), call["callId"].as_str().unwrap());
    let answer = reqwest::Client::new().post(path).bearer_auth(&rig.token).json(&json!({ "reason": "said so" })).send().await.unwrap();
    let state: serde_json::Value = answer.json().await.unwrap();
    assert_eq!((state["consent"]["status"].as_str(), state["recording"]["state"].as_str()), (Some("REVOKED"), Some("HALTED")), "{state}");
    let captured = state["recording"]["framesCaptured"]["inbound"].as_u64();
    caller.frames(100).await;
    caller.stop().await;
    let call = rig.call("CAapi", |call| call["recording"]["state"] == "FINISHED" && call["phase"] == "ENDED").await;
    assert_eq!(call["recording"]["framesCaptured"]["inbound"].as_u64(), captured, "not a frame more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_of_a_decided_call_is_captured_and_one_gate_serves_both_streams() {
    let rig = Rig::start(Given::default()).await;
    let mut consent = Caller::connect(rig.address(), "CAfork", json!({ "clientId": "c" })).await;
    consent.frames(250).await;
    consent.key("1").await;
    rig.call("CAfork", |call| call["consent"]["status"] == "GRANTED").await;
    consent.frames(300).await;
    assert!(!consent.listen(Duration::from_secs(3)).await, "handed back: the socket is closed");
    let mut fork = Caller::connect(rig.address(), "CAfork", json!({ "mode": "capture" })).await;
    fork.frames(100).await;
    fork.stop().await;
    let call = rig.call("CAfork", |call| call["recording"]["state"] == "FINISHED").await;
    assert_eq!(call["recording"]["framesCaptured"]["inbound"], 100);
    assert!(call["recording"]["framesWithheld"]["inbound"].as_u64() >= Some(250 + 144), "all that was said while the question was open");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_messages_are_let_pass_and_the_call_goes_on() {
    let rig = Rig::start(Given::default()).await;
    let mut caller = Caller::talking(&rig, "CAbad").await;
    caller.frames(20).await;
    for text in [
        "",
        "{",
        "[]",
        r#"{"event":"media"}"#,
        r#"{"event":"media","media":{"payload":"?"}}"#,
        r#"{"event":"future","x":1}"#,
        r#"{"event":"dtmf","dtmf":{"digit":"☎"}}"#,
    ] {
        caller.raw(Message::text(text)).await;
    }
    caller.raw(Message::binary(vec![1, 2, 3])).await;
    caller.raw(Message::Ping(vec![1].into())).await;
    caller.frames(20).await;
    caller.stop().await;
    let call = rig.call("CAbad", |call| call["recording"]["state"] == "FINISHED").await;
    assert_eq!(call["recording"]["framesCaptured"]["inbound"], 40);
    let metrics = reqwest::get(format!("http://{}/metrics", rig.address())).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("callgate_messages_malformed_total 6") && metrics.ends_with("# EOF\n"), "{metrics}");
    assert!(metrics.contains(r#"callgate_decisions_total{outcome="granted"} 1"#), "{metrics}");

    let mut huge = Caller::talking(&rig, "CAhuge").await;
    huge.frames(50).await;
    huge.raw(Message::text("x".repeat(100_000))).await;
    let call = rig.call("CAhuge", |call| call["recording"]["state"] == "FINISHED").await;
    assert_eq!(call["recording"]["framesCaptured"]["inbound"], 50, "an oversized message ends the stream; what was consented is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_without_the_right_signature_is_refused_before_the_upgrade() {
    let token = "0123456789abcdef0123456789abcdef";
    let given = Given {
        twilio_auth_token: text(token),
        public_url: text("https://gate.example.com"),
        unannounced: text("true"),
        max_calls: text("1"),
        ..Given::default()
    };
    let rig = Rig::start(given).await;
    let none: &[(&str, &str)] = &[];
    let url = format!("ws://{}/twilio/media", rig.address());
    let connect = async |signature: Option<String>| {
        let mut request = url.as_str().into_client_request().unwrap();
        if let Some(signature) = signature {
            request.headers_mut().insert("x-twilio-signature", signature.parse().unwrap());
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((web, _)) => Ok(web),
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(connect(None).await.err(), Some(403));
    assert_eq!(connect(Some(signature::sign("wrong", "wss://gate.example.com/twilio/media", none))).await.err(), Some(403));
    let right = signature::sign(token, "wss://gate.example.com/twilio/media/", none);
    let held = connect(Some(right.clone())).await.unwrap();
    assert_eq!(connect(Some(right.clone())).await.err(), Some(503), "CALLGATE_MAX_CALLS");
    drop(held);
    for _ in 0..100 {
        if connect(Some(right.clone())).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a place that was given back can be taken again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_development_gateway_serves_its_own_machine_only_and_unannounced_streams_can_be_forbidden() {
    let rig = Rig::start(Given { unannounced: text("false"), ..Given::default() }).await;
    let proxied = reqwest::Client::new()
        .get(format!("http://{}/healthz", rig.address()))
        .header("x-forwarded-for", "203.0.113.9")
        .send()
        .await
        .unwrap();
    assert_eq!(proxied.status().as_u16(), 403);
    let mut caller = Caller::connect(rig.address(), "CAunknown", json!({ "callId": "nobody", "token": "x" })).await;
    assert!(!caller.listen(Duration::from_secs(3)).await, "closed");
    assert_eq!(rig.get("/api/calls?callSid=CAunknown").await.1["calls"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_is_asked_on_every_route() {
    let rig = Rig::start(Given::default()).await;
    let mut caller = Caller::talking(&rig, "CAwho").await;
    caller.frames(30).await;
    caller.stop().await;
    let call = rig.call("CAwho", |call| call["recording"]["state"] == "FINISHED").await;
    let (call_id, recording) = (call["callId"].as_str().unwrap(), call["recording"]["recordingId"].as_str().unwrap());
    let routes = [
        (format!("/api/calls/{call_id}"), "canViewClients"),
        ("/api/calls".to_owned(), "canViewClients"),
        (format!("/api/recordings/{recording}"), "canViewRecordings"),
        (format!("/api/recordings/{recording}/audio"), "canViewRecordings"),
        ("/api/audit".to_owned(), "canViewAuditLogs"),
    ];
    let mint = |permissions: &[&str], clients: &[&str], org: &str| rig.gateway.tokens().mint(&claims(permissions, clients, org)).unwrap();
    for (route, needed) in &routes {
        assert_eq!(rig.get_as(route, None).await.0, 401, "{route} without a token");
        assert_eq!(rig.get_as(route, Some("wrong")).await.0, 401, "{route} with a wrong one");
        let mut forged = mint(&PERMISSIONS, &["*"], "default");
        forged.replace_range(forged.len() - 3.., "AAA");
        assert_eq!(rig.get_as(route, Some(&forged)).await.0, 401, "{route} with a forged one");
        for permission in PERMISSIONS {
            let status = rig.get_as(route, Some(&mint(&[permission], &["*"], "default"))).await.0;
            assert_eq!(status, if permission == *needed { 200 } else { 403 }, "{route} with {permission}");
        }
    }
    for route in [&routes[0].0, &routes[2].0, &routes[3].0] {
        assert_eq!(rig.get_as(route, Some(&mint(&PERMISSIONS, &["*"], "other"))).await.0, 404, "{route} of another organisation");
        assert_eq!(rig.get_as(route, Some(&mint(&PERMISSIONS, &["somebody"], "default"))).await.0, 403, "{route} of another's client");
    }
    assert_eq!(rig.get_as("/api/calls", Some(&mint(&PERMISSIONS, &["somebody"], "default"))).await.1["calls"], json!([]));
    let (_, log) = rig.get("/api/audit?limit=1000").await;
    let kinds: Vec<_> = log["entries"].as_array().unwrap().iter().map(|entry| entry["entry"]["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"access.denied") && kinds.contains(&"recording.read"), "{kinds:?}");
    assert_eq!(rig.get_as("/healthz", None).await.0, 200);
    assert_eq!(rig.get_as("/readyz", None).await.1["ready"], true);
    assert_eq!(rig.get_as("/nowhere", None).await.1["status"], 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_key_set_the_main_apps_tokens_open_the_api_and_callgate_mints_none() {
    use aws_lc_rs::signature::Ed25519KeyPair;
    use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let key = EncodingKey::from_ed_der(Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref());
    let mut public = serde_json::to_value(Jwk::from_encoding_key(&key, Algorithm::EdDSA).unwrap()).unwrap();
    public["kid"] = json!("main-app");
    std::fs::write(&path, json!({ "keys": [public] }).to_string()).unwrap();
    let rig = Rig::start(Given { jwks_file: Some(path.display().to_string()), ..Given::default() }).await;
    let header = Header { kid: Some("main-app".into()), ..Header::new(Algorithm::EdDSA) };
    let token = jsonwebtoken::encode(&header, &claims(&["canViewClients"], &["*"], "default"), &key).unwrap();
    assert_eq!(rig.get_as("/api/calls", Some(&token)).await.0, 200);
    assert_eq!(rig.get_as("/api/audit", Some(&token)).await.0, 403);
    let mut callgate = Command::new(env!("CARGO_BIN_EXE_callgate"));
    callgate.args(["token", "--sub", "me", "--permissions", "canViewClients"]).current_dir(&folder).env("CALLGATE_JWKS_FILE", &path);
    let minted = callgate.output().unwrap();
    let said = String::from_utf8_lossy(&minted.stderr);
    assert!(minted.status.code() == Some(2) && minted.stdout.is_empty() && said.contains("cannot mint"), "{said}");
    assert!(!rig.folder.path().join("keys/jwt.secret").exists(), "no secret lies beside a key set");
    let mut callgate = Command::new(env!("CARGO_BIN_EXE_callgate"));
    let minted = callgate.args(["token", "--sub", "me", "--permissions", "canViewClients,canFly"]).current_dir(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&minted.stderr);
    assert!(
        minted.status.code() == Some(2) && minted.stdout.is_empty() && said.contains("canViewRecordings"),
        "what there is, is named: {said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn twilio_is_answered_with_twiml_and_its_stream_with_a_token() {
    let token = "0123456789abcdef0123456789abcdef";
    let base = "https://gate.example.com";
    let given = Given { twilio_auth_token: text(token), public_url: text(base), inbound_route: text("+16175550123"), ..Given::default() };
    let rig = Rig::start(given).await;
    let post = async |path: &str, fields: &[(&str, &str)], signed: bool| {
        let signature = signature::sign(if signed { token } else { "wrong" }, &format!("{base}{path}"), fields);
        let url = format!("http://{}{path}", rig.address());
        let answer = reqwest::Client::new().post(url).header("x-twilio-signature", signature).form(fields).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let call = [("CallSid", "CAvoice"), ("Direction", "inbound"), ("From", "+14158675309"), ("CallStatus", "ringing")];
    assert_eq!(post("/api/webhooks/twilio/voice", &call, false).await.0, 403);
    let (status, twiml) = post("/api/webhooks/twilio/voice", &call, true).await;
    assert_eq!(status, 200);
    assert_eq!(post("/api/webhooks/twilio/voice", &call, true).await.1, twiml, "asked twice, the same is answered");
    assert!(twiml.contains(r#"<Stream url="wss://gate.example.com/twilio/media""#) && !twiml.contains("+14158675309"), "{twiml}");
    let parameter = |name: &str| {
        let rest = twiml.split_once(&format!(r#"name="{name}" value=""#)).unwrap().1;
        rest.split_once('"').unwrap().0.to_owned()
    };
    let connect = async |sid: &str, token_given: &str, mode: &str| {
        let none: &[(&str, &str)] = &[];
        let mut request = format!("ws://{}/twilio/media", rig.address()).into_client_request().unwrap();
        request
            .headers_mut()
            .insert("x-twilio-signature", signature::sign(token, "wss://gate.example.com/twilio/media", none).parse().unwrap());
        Caller::over(request, sid, json!({ "callId": parameter("callId"), "token": token_given, "mode": mode })).await
    };
    let mut stranger = connect("CAvoice", "guessed", "consent").await;
    assert!(!stranger.listen(Duration::from_secs(3)).await, "a wrong token is closed");
    // The stream was never opened: Twilio falls through, and asks by keypad.
    let (_, fallback) = post("/api/webhooks/twilio/connected", &call, true).await;
    assert!(fallback.contains("<Gather") && fallback.contains("Polly.Joanna"), "{fallback}");
    let other = [("CallSid", "CAkeypad"), ("Direction", "inbound")];
    assert_eq!(post("/api/webhooks/twilio/voice", &other, true).await.0, 200);
    let (_, spanish) = post("/api/webhooks/twilio/consent", &[("CallSid", "CAkeypad"), ("Digits", "9")], true).await;
    assert!(spanish.contains("Polly.Lupe") && spanish.contains("consent?lang=es"), "{spanish}");
    let (_, closing) = post("/api/webhooks/twilio/consent?lang=es", &[("CallSid", "CAkeypad"), ("Digits", "2")], true).await;
    assert!(
        closing.contains("no será grabada") && closing.contains("<Number>+16175550123</Number>") && !closing.contains("<Stream"),
        "{closing}"
    );

    let mut caller = connect("CAvoice", &parameter("token"), "consent").await;
    caller.frames(250).await;
    caller.key("1").await;
    rig.call("CAvoice", |call| call["consent"]["status"] == "GRANTED").await;
    let (_, dial) = post("/api/webhooks/twilio/connected", &call, true).await;
    assert!(dial.contains(r#"track="both_tracks""#) && dial.contains(r#"value="capture""#) && dial.contains("<Dial>"), "{dial}");
    drop(caller);
    let mut fork = connect("CAvoice", &parameter("token"), "capture").await;
    fork.frames(50).await;
    rig.call("CAvoice", |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(30)).await;
    assert_eq!(post("/api/webhooks/twilio/status", &[("CallSid", "CAvoice"), ("CallStatus", "completed")], true).await.0, 204);
    let call = rig.call("CAvoice", |call| call["recording"]["state"] == "FINISHED").await;
    assert_eq!((call["phase"].as_str(), call["recording"]["framesCaptured"]["inbound"].as_u64()), (Some("ENDED"), Some(50)));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_takes_no_new_calls_and_seals_the_live_ones() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path(), &[("CALLGATE_DRAIN_SECONDS", "1")]);
    let mut caller = Caller::connect(served.address, "CAterm", json!({ "mode": "stay" })).await;
    caller.frames(250).await;
    caller.key("1").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    caller.frames(50).await;
    served.signal("-TERM");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let new = Caller::connect(served.address, "CAnew", json!({ "mode": "stay" })).await;
    assert!(new.heard.is_empty(), "nobody is asked any more: tests/stories/draining.rs");
    let log = served.log();
    let wav = files(&folder.path().join("objects")).into_iter().find(|file| file.extension().is_some_and(|ending| ending == "wav"));
    let wav = wav.unwrap_or_else(|| panic!("sealed and stored: {log}"));
    assert_eq!(frames_in(&left(&std::fs::read(wav).unwrap()), caller.chunk).len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_log_that_nobody_reads_holds_up_no_call() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new("bash");
    // Its log goes to a reader that sleeps: after 64 KiB the pipe is full.
    command.args(["-c", r#"exec "$0" serve 2> >(exec sleep 120)"#, env!("CARGO_BIN_EXE_callgate")]);
    let served = Served::spawn(&mut command, folder.path(), &[("CALLGATE_LOG", "debug"), ("CALLGATE_DRAIN_SECONDS", "1")]);
    let mut caller = Caller::connect(served.address, "CAunread", json!({ "mode": "stay", "clientId": "c" })).await;
    // Each is a line of the log.
    for _ in 0..3_000 {
        caller.raw(Message::text("no message of Twilio's")).await;
    }
    caller.frames(250).await;
    caller.key("1").await;
    let began = Instant::now();
    while !caller.heard.iter().any(|said| said["event"] == "clear") {
        assert!(began.elapsed() < Duration::from_secs(10), "the key was heard, and stops the prompt");
        caller.listen(Duration::from_millis(100)).await;
    }
    served.signal("-KILL");
}

/// Keys pressed in the conversation, none of which means anything: together they are nobody's number, version, time or id.
const KEYS: [&str; 10] = ["7", "4", "8", "*", "9", "0", "6", "#", "3", "5"];
/// What the client says, as the recogniser hears it.
const PHRASE: [(u64, &str); 4] = [(300, "vermilion"), (301, "ocelots"), (302, "juggle"), (303, "marzipan")];

/// Where an output names a pressed key: by any word for one and whatever stands between, as a text of its own, by its English
/// name, or as the order in which the keys came, whatever stands between them.
fn names_a_key(output: &str) -> Option<String> {
    let lower = output.to_lowercase();
    for key in KEYS.iter().chain(&["1", "2"]) {
        for quoted in [format!("'{key}'"), format!("\"{key}\"")] {
            if let Some(at) = lower.find(&quoted) {
                return Some(around(&lower, at));
            }
        }
        for word in ["digit", "digits", "dtmf", "key", "keys", "pressed", "symbol"] {
            for between in ["=", ":", ": ", "=some(", "\":", "\": ", "(", "_", " ", ""] {
                let form = format!("{word}{between}{key}");
                let stands_alone = |at: usize| {
                    let (before, after) = (lower[..at].chars().next_back(), lower[at + form.len()..].chars().next());
                    !before.is_some_and(char::is_alphanumeric)
                        && !after.is_some_and(|next| next.is_alphanumeric() || next == '-' || next == '_')
                };
                if let Some((at, _)) = lower.match_indices(&form).find(|(at, _)| stands_alone(*at)) {
                    return Some(around(&lower, at));
                }
            }
        }
    }
    let names = ["seven", "eight", "zero", "nine", "star", "pound", "asterisk", "octothorpe"];
    if let Some(name) = lower.split(|c: char| !c.is_alphanumeric()).find(|word| names.contains(word)) {
        return Some(name.to_owned());
    }
    let order = KEYS.concat();
    lower
        .lines()
        .find(|line| line.chars().filter(|c| c.is_ascii_digit() || "*#".contains(*c)).collect::<String>().contains(&order))
        .map(str::to_owned)
}

fn around(text: &str, at: usize) -> String {
    text.chars().skip(text[..at].chars().count().saturating_sub(60)).take(120).collect()
}

/// Everything posted to it, as it came: heads and bodies.
async fn a_receiver() -> (String, Arc<Mutex<String>>) {
    let got = Arc::new(Mutex::new(String::new()));
    let posted = Arc::clone(&got);
    let take = move |headers: axum::http::HeaderMap, body: String| {
        *posted.lock().unwrap() += &format!("{headers:?}\n{body}\n");
        async { "" }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/events", axum::routing::post(take))).await.unwrap() });
    (url, got)
}

#[test]
fn what_looks_for_keys_finds_them() {
    for leak in [
        "dtmf digit=7",
        "key: 7,",
        r#"{"digit":"7"}"#,
        "Some('7')",
        "Digits=7&",
        "pressed 7",
        "Key7",
        "star",
        "7, 4, 8, *, 9, 0, 6, #, 3, 5",
    ] {
        assert!(names_a_key(leak).is_some(), "{leak}");
    }
    for harmless in ["keys/spool.key", "key=7f3a", "2026-11-27T10:48:07.748Z TRACE", "7 frames of 748", "a monkey 7"] {
        assert_eq!(names_a_key(harmless), None, "{harmless}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_no_digit_and_no_audio_in_any_output() {
    let folder = tempfile::tempdir().unwrap();
    let recogniser = Recogniser::start(Mood::Faithful, &PHRASE).await;
    let (receiver, posted) = a_receiver().await;
    let served = Served::start(
        folder.path(),
        &[
            ("CALLGATE_LOG", "trace"),
            ("CALLGATE_DRAIN_SECONDS", "1"),
            ("CALLGATE_TRANSCRIBER", &recogniser.vosk()),
            ("CALLGATE_WEBHOOK_URL", &receiver),
            ("CALLGATE_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ],
    );
    let token = Served::token(folder.path());
    let mut caller = Caller::connect(served.address, "CAlog", json!({ "mode": "stay", "clientId": "c" })).await;
    caller.frames(250).await;
    caller.key("1").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    caller.frames(300).await;
    // Amid other keys a 2 means nothing; after a star it ends the recording.
    for digit in KEYS.iter().chain(&["*", "2"]) {
        caller.key(digit).await;
        caller.frames(20).await;
    }
    let last_consented = caller.chunk;
    caller.frames(100).await;
    caller.raw(Message::text(r#"{"event":"dtmf","dtmf":{"digit":7},"canary":"purple-elephant"}"#)).await;
    caller.stop().await;

    // What the API, the stream of events and the figures say of it, and of requests that bring what they should not.
    let http = reqwest::Client::new();
    let at = |path: &str| format!("http://{}{path}", served.address);
    let ask = async |path: &str| http.get(at(path)).bearer_auth(&token).send().await.unwrap().text().await.unwrap();
    let mut call = serde_json::Value::Null;
    for _ in 0..400 {
        call = serde_json::from_str(&ask("/api/calls?callSid=CAlog").await).unwrap();
        call = call["calls"][0].take();
        let is_over = |what: &str| matches!(call[what]["state"].as_str(), Some("FINISHED" | "FAILED" | "DISCARDED"));
        if is_over("recording") && is_over("transcription") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!((&call["recording"]["state"], &call["transcription"]["state"]), (&json!("FINISHED"), &json!("FINISHED")), "{call}");
    assert_eq!(call["consent"]["status"], "REVOKED", "what comes after is withheld: {call}");
    let id = call["callId"].as_str().unwrap();
    let mut outputs = vec![("the call".to_owned(), call.to_string())];
    for path in [format!("/api/calls/{id}/events").as_str(), "/api/audit?limit=1000", "/api/clients/c/consent", "/metrics", "/readyz"] {
        outputs.push((path.to_owned(), ask(path).await));
    }
    let canary = r#"{"reason": 7, "digits": "748*906#35", "canary": "purple-elephant""#;
    for path in ["/api/clients/c/consent/revoke", "/api/calls", "/api/calls/nobody/opt-out"] {
        let answer = http.post(at(path)).bearer_auth(&token).body(canary).send().await.unwrap();
        assert!(answer.status().is_client_error(), "{path}");
        outputs.push((path.to_owned(), answer.text().await.unwrap()));
    }
    let form = "CallSid=CApad&AccountSid=AC1&From=%2B15550100&To=%2B15550101&Direction=inbound&Digits=7";
    let pressed = http.post(at("/api/webhooks/twilio/consent?lang=en&plays=1"));
    let pressed = pressed.header("content-type", "application/x-www-form-urlencoded").body(form).send().await.unwrap();
    assert!(pressed.status().is_success(), "{pressed:?}");
    for _ in 0..200 {
        if posted.lock().unwrap().contains("transcription.finished") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let webhooks = posted.lock().unwrap().clone();
    assert!(webhooks.contains("recording.finished") && webhooks.contains("transcription.finished"), "{webhooks}");
    outputs.push(("the webhooks".to_owned(), webhooks));
    served.signal("-TERM");
    let log = served.log();
    assert!(log.contains("TRACE") && log.contains("stream begins"), "the log is as talkative as it can be: {log}");
    outputs.push(("the log".to_owned(), log.clone()));

    let consented: Vec<[u8; 160]> = (250..=last_consented).map(crate::common::numbered).collect();
    let said: HashSet<Vec<u8>> =
        (1..=caller.chunk).map(|n| base64_simd::STANDARD.encode_to_string(&crate::common::numbered(n)[..24]).into_bytes()).collect();
    for (name, output) in &outputs {
        assert!(!output.contains("purple-elephant"), "{name} quotes a broken message: {output}");
        assert_eq!(names_a_key(output), None, "a key in {name}");
        assert!(!PHRASE.iter().any(|(_, word)| output.contains(word)), "what was said in {name}");
        assert!(!output.as_bytes().windows(32).any(|piece| said.contains(piece)), "the payload of a message in {name}, consented or not");
    }
    assert!(
        is_in_some(&files(&folder.path().join("objects/transcripts")), b"vermilion"),
        "the recogniser heard it, and it is where it belongs"
    );

    // Audio of after the opt-out, in any form, in any byte that was written.
    let withheld: Vec<[u8; 160]> =
        (last_consented + 1..=caller.chunk).map(crate::common::numbered).chain((1..250).map(crate::common::numbered)).collect();
    let written: Vec<(String, Vec<u8>)> = files(folder.path())
        .into_iter()
        .map(|file| (file.display().to_string(), std::fs::read(file).unwrap()))
        .chain(outputs.into_iter().map(|(name, output)| (name, output.into_bytes())))
        .collect();
    assert!(written.iter().any(|(name, _)| name.ends_with(".wav")), "something was recorded");
    let wav = written.iter().find(|(name, _)| name.ends_with(".wav")).map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
    assert!(consented.iter().any(|frame| memmem(wav, &linear(frame))), "and is found there in the form that is looked for");
    for frame in &withheld {
        let base64 = base64_simd::STANDARD.encode_to_string(&frame[..48]).into_bytes();
        for (name, bytes) in &written {
            for (form, piece) in [("mu-law", &frame[..48]), ("base64", &base64), ("linear", &linear(frame))] {
                assert!(!memmem(bytes, piece), "withheld audio as {form} in {name}");
            }
        }
    }
}

/// As it lies in a WAV whose other channel is silent.
fn linear(frame: &[u8; 160]) -> Vec<u8> {
    frame[..24].iter().flat_map(|code| [callgate::engine::audio::g711::decode(*code), 0]).flat_map(i16::to_le_bytes).collect()
}

fn is_in_some(files: &[std::path::PathBuf], piece: &[u8]) -> bool {
    files.iter().any(|file| memmem(&std::fs::read(file).unwrap(), piece))
}

fn memmem(bytes: &[u8], piece: &[u8]) -> bool {
    bytes.windows(piece.len()).any(|window| window == piece)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_kept_alive_ends_with_the_gateway() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let rig = Rig::start(Given::default()).await;
    let mut kept = tokio::net::TcpStream::connect(rig.address()).await.unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: gate\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 1_024];
    assert!(kept.read(&mut answer).await.unwrap() > 0);
    rig.gateway.drain(Duration::from_secs(5)).await;
    let mut rest = Vec::new();
    let over = tokio::time::timeout(Duration::from_secs(10), kept.read_to_end(&mut rest)).await;
    assert!(over.is_ok_and(|read| read.is_ok()), "or it would hold on to the database, and this test would wait for ever");
}
