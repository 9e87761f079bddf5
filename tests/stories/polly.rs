//! `callgate prompts synth` through the real binary, against a stand-in for Amazon Polly that speaks: every word a tone of
//! its own length, every mark and pause where its SSML says.
#![cfg(feature = "polly")]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Caller, Rig, files};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use callgate::engine::audio::g711;
use callgate::engine::audio::prompts::{Line, PromptRow, library};
use callgate::server::Given;
use serde_json::{Value, json};

/// It takes a breath before it speaks.
const BREATH_MS: usize = 70;
const WORD_MS: usize = 180;
const BETWEEN_WORDS_MS: usize = 40;

#[derive(Default)]
struct Polly {
    asked: Mutex<Vec<Value>>,
    refuses: bool,
}

async fn polly(refuses: bool) -> (String, Arc<Polly>) {
    let state = Arc::new(Polly { refuses, ..Polly::default() });
    let router = Router::new().route("/v1/speech", post(speech)).with_state(Arc::clone(&state));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (endpoint, state)
}

async fn speech(State(polly): State<Arc<Polly>>, headers: HeaderMap, Json(asked): Json<Value>) -> Response {
    let authorization = headers[header::AUTHORIZATION].to_str().unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDPOLLY/") && authorization.contains("/polly/aws4_request"));
    if polly.refuses {
        let told = json!({ "message": "no such voice for you" }).to_string();
        return (StatusCode::BAD_REQUEST, [("x-amzn-errortype", "EngineNotSupportedException")], told).into_response();
    }
    let (pcm, marks) = spoken(asked["Text"].as_str().unwrap());
    let answer = match asked["OutputFormat"].as_str().unwrap() {
        "pcm" => ([(header::CONTENT_TYPE, "audio/pcm")], pcm).into_response(),
        "json" => ([(header::CONTENT_TYPE, "application/x-json-stream")], marks).into_response(),
        other => panic!("{other}"),
    };
    polly.asked.lock().unwrap().push(asked);
    answer
}

/// Speaks SSML of words, marks and breaks.
fn spoken(ssml: &str) -> (Vec<u8>, String) {
    let mut said = ssml.strip_prefix("<speak>").unwrap().strip_suffix("</speak>").unwrap();
    let (mut samples, mut marks) = (vec![0i16; BREATH_MS * 8], String::new());
    let mut note = |samples: &[i16], kind: &str, value: &str| {
        marks.push_str(&json!({ "time": samples.len() / 8, "type": kind, "start": 0, "end": 1, "value": value }).to_string());
        marks.push('\n');
    };
    while !said.is_empty() {
        if let Some(tag) = said.strip_prefix('<') {
            let (tag, rest) = tag.split_once("/>").unwrap();
            let value = tag.split('"').nth(1).unwrap();
            if tag.starts_with("mark ") {
                note(&samples, "ssml", value);
            } else {
                assert!(tag.starts_with("break "), "{tag}");
                let ms: usize = value.strip_suffix("ms").unwrap().parse().unwrap();
                samples.extend(vec![0; ms * 8]);
            }
            said = rest;
        } else {
            let end = said.find('<').unwrap_or(said.len());
            for word in said[..end].split_whitespace() {
                samples.extend(vec![0; BETWEEN_WORDS_MS * 8]);
                note(&samples, "word", word);
                samples.extend((0..WORD_MS * 8).map(|n| (4_000.0 * (f64::from(n as u32) * 0.31).sin()) as i16));
            }
            said = &said[end..];
        }
    }
    (samples.into_iter().flat_map(i16::to_le_bytes).collect(), marks)
}

async fn synth(endpoint: &str, out: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callgate"));
    command.args(["prompts", "synth", "--voice", "polly", "--out"]).arg(out).env("AWS_ENDPOINT_URL_POLLY", endpoint);
    command.env("AWS_ACCESS_KEY_ID", "AKIDPOLLY").env("AWS_SECRET_ACCESS_KEY", "secret").env("AWS_EC2_METADATA_DISABLED", "true");
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn polly_speaks_every_prompt_and_the_manifest_says_where_each_sentence_begins() {
    let (endpoint, polly) = polly(false).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("mine");
    let output = synth(&endpoint, &out).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("12 prompts in"));
    let rows: Vec<PromptRow> = serde_json::from_slice(&std::fs::read(out.join("prompts.json")).unwrap()).unwrap();
    assert_eq!((rows.len(), files(&out).len()), (12, 13), "and nothing else lies there");
    for row in &rows {
        let codes = std::fs::read(out.join(&row.file)).unwrap();
        let script = library().prompt(row.language, row.line);
        assert_eq!(row.sentences.len(), script.sentences.len());
        for (sentence, scripted) in row.sentences.iter().zip(&script.sentences) {
            assert_eq!((sentence.key, &sentence.text), (scripted.key, &scripted.text), "the words are PX-735's");
            // Where it says that a sentence begins, silence ends: within a millisecond.
            let loud = |codes: &[u8]| codes.iter().any(|code| g711::decode(*code).unsigned_abs() > 100);
            let at = sentence.sample;
            assert!(!loud(&codes[at - 30 * 8..at]) && loud(&codes[at..at + 8]), "{} {}", row.file, sentence.text);
        }
        let silent = |codes: &[u8]| codes.iter().all(|code| g711::decode(*code) == 0);
        assert!(silent(&codes[..800]) && silent(&codes[codes.len() - 1_600..]), "{}", row.file);
    }
    let asked = polly.asked.lock().unwrap();
    assert_eq!(asked.len(), 24, "each once for its audio, once for its marks");
    for asked in asked.iter() {
        let voice = (asked["VoiceId"].as_str().unwrap(), asked["LanguageCode"].as_str().unwrap());
        assert!(matches!(voice, ("Joanna", "en-US") | ("Lupe", "es-US")) && asked["Engine"] == "neural" && asked["TextType"] == "ssml");
        if asked["OutputFormat"] == "pcm" {
            assert_eq!(asked["SampleRate"], "8000");
        } else {
            assert_eq!(asked["SpeechMarkTypes"], json!(["ssml", "word"]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_plays_what_polly_spoke() {
    let (endpoint, _) = polly(false).await;
    let folder = tempfile::tempdir().unwrap();
    assert!(synth(&endpoint, folder.path()).await.status.success());
    let rig = Rig::start(Given { prompts_dir: Some(folder.path().display().to_string()), ..Given::default() }).await;
    let mut caller = Caller::connect(rig.address(), "CApolly", json!({ "mode": "stay" })).await;
    let codes = std::fs::read(folder.path().join("en/v1/consent.ulaw")).unwrap();
    caller.frames(codes.len() as u64 / 160 + 1).await;
    caller.listen(Duration::from_millis(500)).await;
    let media = caller.heard.iter().filter(|message| message["event"] == "media");
    let heard: Vec<u8> =
        media.flat_map(|message| base64_simd::STANDARD.decode_to_vec(message["media"]["payload"].as_str().unwrap()).unwrap()).collect();
    assert!(heard == codes, "to the last sample");
    assert!(library().iter().all(|shipped| shipped.line != Line::Consent || shipped.codes != codes), "and not a shipped one");
    rig.gateway.drain(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_polly_is_told_and_leaves_no_prompts() {
    let (endpoint, _) = polly(true).await;
    let folder = tempfile::tempdir().unwrap();
    let output = synth(&endpoint, folder.path()).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("en/consent is not spoken: Amazon Polly: EngineNotSupportedException: no such voice for you"), "{said}");
    assert!(files(folder.path()).is_empty());
}
