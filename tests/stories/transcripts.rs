//! Transcripts from outside: a recogniser that hears every frame exactly, or is slow, dead or a liar.

use std::time::Duration;

use crate::common::recogniser::{Mood, Recogniser, word};
use crate::common::{Caller, Door, Rig, files, frames_in, is_written, left, tells, until};
use callgate::server::Given;
use serde_json::{Value, json};

pub(super) fn given(transcriber: &str) -> Given {
    Given {
        transcriber: Some(transcriber.into()),
        deepgram_key: Some("dg-secret".into()),
        prompt_in_recording: Some("false".into()),
        ..Given::default()
    }
}

/// The call, once its transcript and its recording have come to an end.
pub(super) async fn settled<'a>(at: impl Into<Door<'a>>, sid: &str) -> Value {
    let at: Door<'_> = at.into();
    let is_over = |call: &Value| {
        let over = |what: &str| matches!(call[what]["state"].as_str(), Some("FINISHED" | "FAILED" | "DISCARDED"));
        call["phase"] == "ENDED" && over("recording") && over("transcription")
    };
    for _ in 0..1_600 {
        let found = at.get(&format!("/api/calls?callSid={sid}")).await.1["calls"][0].clone();
        if is_over(&found) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never settled: {}", at.get(&format!("/api/calls?callSid={sid}")).await.1);
}

pub(super) async fn transcript<'a>(at: impl Into<Door<'a>>, call: &Value) -> (u16, Value) {
    let at: Door<'_> = at.into();
    at.get(&format!("/api/recordings/{}/transcript", call["recording"]["recordingId"].as_str().unwrap())).await
}

/// What the transcript says, word for word.
pub(super) fn words(document: &Value) -> Vec<String> {
    let lines = document["utterances"].as_array().unwrap_or_else(|| panic!("{document}")).iter();
    lines.flat_map(|line| line["words"].as_array().unwrap().iter().map(|word| word["text"].as_str().unwrap().to_owned())).collect()
}

/// Which frames of a recording are the client's.
pub(super) async fn recorded<'a>(at: impl Into<Door<'a>>, call: &Value, of: u64) -> Vec<u64> {
    let at: Door<'_> = at.into();
    let url = format!("http://{}/api/recordings/{}/audio", at.address, call["recording"]["recordingId"].as_str().unwrap());
    frames_in(&left(&reqwest::Client::new().get(url).bearer_auth(at.token).send().await.unwrap().bytes().await.unwrap()), of)
}

async fn captured(rig: &Rig, sid: &str, frames: u64) -> Value {
    rig.call(sid, |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(frames)).await
}

/// Waits until the recogniser has been sent this frame.
async fn is_heard(recogniser: &Recogniser, n: u64) {
    for _ in 0..400 {
        if recogniser.heard.lock().unwrap().contains(&n) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("frame {n} was never sent to the recogniser");
}

/// Of a card number only the mask may be anywhere.
const CARD: [(u64, &str); 8] =
    [(400, "my"), (401, "card"), (402, "number"), (403, "is"), (404, "6011"), (405, "0009"), (406, "9013"), (407, "9424")];

#[tokio::test(flavor = "multi_thread")]
async fn a_transcript_says_what_the_recording_holds_and_when() {
    for protocol in ["vosk", "deepgram"] {
        let recogniser = Recogniser::start(Mood::Faithful, &CARD).await;
        let rig = Rig::start(given(&if protocol == "vosk" { recogniser.vosk() } else { recogniser.deepgram() })).await;
        says_what_the_recording_holds((&rig).into(), protocol).await;
        let handshakes = recogniser.handshakes.lock().unwrap().clone();
        assert_eq!(handshakes.len(), 2, "one stream a party: {handshakes:?}");
        if protocol == "deepgram" {
            assert!(
                handshakes.iter().all(|(path, key)| path.contains("encoding=mulaw&sample_rate=8000") && key == "Token dg-secret"),
                "{handshakes:?}"
            );
        }
    }
}

/// A call of two, transcribed to its end.
async fn says_what_the_recording_holds(at: Door<'_>, protocol: &str) {
    let mut caller = Caller::with_both_tracks(at.address, "CAwords", json!({ "mode": "stay", "clientId": "client-1" })).await;
    caller.frames(250).await;
    caller.key("1").await;
    let live = at.call("CAwords", |call| call["transcription"]["state"] == "ACTIVE").await;
    assert!(live["transcription"]["transcriptId"].as_str().unwrap().starts_with("tr_"), "{live}");
    for n in 251..=500 {
        caller.frames(1).await;
        caller.other_frame(&crate::common::numbered(3_000 + n)).await;
    }
    caller.stop().await;
    let call = settled(at, "CAwords").await;
    assert_eq!(call["transcription"]["state"], "FINISHED", "{call}");
    let (status, document) = transcript(at, &call).await;
    assert_eq!((status, document["complete"].as_bool(), document["redaction"].as_str()), (200, Some(true), Some("REDACTED")), "{document}");
    assert_eq!(document["recogniser"], protocol);
    let said = words(&document);
    let kept = recorded(at, &call, 500).await;
    assert!(kept.len() >= 240, "{kept:?}");
    for n in (1..=500).filter(|n| !(400..=407).contains(n)) {
        assert_eq!(said.contains(&word(n)), kept.contains(&n), "{protocol}: frame {n}");
        assert_eq!(said.contains(&word(3_000 + n)), kept.contains(&n), "{protocol}: the other's frame {n}");
    }
    for group in ["6011", "0009", "9013", "9424", "dg-secret"] {
        assert!(!tells(document.to_string().as_bytes(), group), "{document}");
        assert!(!is_written(at, group), "{group}");
    }
    assert!(said.contains(&"[CARD_NUMBER]".to_owned()), "{said:?}");
    // Times are the recording's: its first frame is its beginning.
    let lines = document["utterances"].as_array().unwrap();
    let begins = |n: u64| {
        let all = lines.iter().flat_map(|line| line["words"].as_array().unwrap());
        all.into_iter().find(|said| said["text"] == word(n)).unwrap()["startMs"].as_u64().unwrap()
    };
    assert_eq!((begins(kept[0]), begins(kept[0] + 50)), (0, 1_000), "{protocol}");
    let key = files(&at.folder.join("objects/transcripts"));
    let id = call["transcription"]["transcriptId"].as_str().unwrap();
    assert!(key.len() == 1 && key[0].display().to_string().ends_with(&format!("{id}.v1.json")), "{key:?}");
}

/// Amazon Transcribe, which is found by the environment: the gateway is a process of its own.
#[cfg(feature = "transcribe")]
mod amazon {
    use super::*;
    use crate::common::Served;
    use crate::common::transcribe_server::{Mood, TranscribeServer};

    fn serve(folder: &std::path::Path, amazon: &TranscribeServer) -> (Served, String) {
        let more = [("CALLGATE_PROMPT_IN_RECORDING", "false"), ("CALLGATE_LOG", "trace")];
        let served = Served::start(folder, &[amazon.environment().as_slice(), &more].concat());
        (served, Served::token(folder))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_transcript_says_what_the_recording_holds_and_when() {
        let amazon = TranscribeServer::start(Mood::Faithful, &CARD).await;
        let folder = tempfile::tempdir().unwrap();
        let (served, token) = serve(folder.path(), &amazon);
        says_what_the_recording_holds(Door { address: served.address, folder: folder.path(), token: &token }, "aws").await;
        assert!(!is_written(Door { address: served.address, folder: folder.path(), token: &token }, "partialguess"));
        let (asked, wrong) = (amazon.state.asked.lock().unwrap().clone(), amazon.state.wrong.lock().unwrap().clone());
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!((asked.len(), *amazon.state.ended.lock().unwrap()), (2, 2), "one stream a party, and each is ended");
        for headers in asked {
            let of_transcribe: Vec<_> = headers
                .iter()
                .filter_map(|(name, value)| Some((name.as_str().strip_prefix("x-amzn-transcribe-")?, value.to_str().unwrap())))
                .collect();
            // Nothing besides: no session to take up again, no vocabulary, no filter.
            let wanted = [("language-code", "en-US"), ("sample-rate", "8000"), ("media-encoding", "pcm")];
            assert!(of_transcribe.len() == 3 && wanted.iter().all(|header| of_transcribe.contains(header)), "{of_transcribe:?}");
            assert!(headers["authorization"].to_str().unwrap().contains("/eu-west-1/transcribe/"), "{headers:?}");
        }
        served.signal("-TERM");
        let log = served.log();
        assert!(log.contains("TRACE") && !log.contains(&word(300)) && !log.contains("partialguess"), "no word is in the log");
        assert!(!log.contains("AudioEvent") && !log.contains("chunk-signature"), "no audio is in the log");
    }

    /// A call in which 300 frames are said, once it is over.
    async fn talked(at: Door<'_>, sid: &str) -> (Value, u64, u64) {
        let mut caller = Caller::connect(at.address, sid, json!({ "mode": "stay", "clientId": "client-1" })).await;
        caller.frames(250).await;
        caller.key("1").await;
        at.call(sid, |call| call["recording"]["state"] == "ACTIVE").await;
        let first = caller.chunk + 1;
        for _ in 0..15 {
            caller.frames(20).await;
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        caller.stop().await;
        let call = at.call(sid, |call| call["recording"]["state"] == "FINISHED").await;
        assert_eq!(recorded(at, &call, caller.chunk).await, (first..=caller.chunk).collect::<Vec<_>>(), "nothing of the recording is lost");
        (settled(at, sid).await, first, caller.chunk)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_refusal_or_a_failure_without_end_costs_the_transcript_and_nothing_else() {
        let mut running = tokio::task::JoinSet::new();
        for (mood, reason) in [(Mood::Denies, "AccessDeniedException"), (Mood::Fails, "LimitExceededException")] {
            running.spawn(async move {
                let amazon = TranscribeServer::start(mood, &[]).await;
                let folder = tempfile::tempdir().unwrap();
                let (served, token) = serve(folder.path(), &amazon);
                let at = Door { address: served.address, folder: folder.path(), token: &token };
                let (call, ..) = talked(at, "CAmad").await;
                assert_eq!(call["transcription"]["state"], "FAILED", "{mood:?}: {call}");
                assert_eq!(transcript(at, &call).await.0, 409);
                let chain = at.chain("client-1").await;
                let failed =
                    chain.iter().find(|entry| entry["kind"] == "transcription.failed").unwrap_or_else(|| panic!("{mood:?}: {chain:?}"));
                let why = failed["detail"]["why"].as_str().unwrap();
                // A call that is over waits 20 s for its last words, which is about as long as eight tries take.
                let in_time = !why.contains("did not tell its last words in time");
                assert!(why.contains(reason) || !in_time, "{why}");
                assert!(!why.contains("one too many") && !why.contains("as the test wants it"), "{why}");
                if mood == Mood::Denies && in_time {
                    assert!(why.contains("transcribe:StartStreamTranscription") && why.contains("region"), "{why}");
                }
            });
        }
        while let Some(done) = running.join_next().await {
            done.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stream_that_breaks_off_is_begun_anew_and_what_it_lost_is_said_to_be_missed() {
        let amazon = TranscribeServer::start(Mood::BreaksOnceAfter(1), &[]).await;
        let folder = tempfile::tempdir().unwrap();
        let (served, token) = serve(folder.path(), &amazon);
        let at = Door { address: served.address, folder: folder.path(), token: &token };
        let (call, first, last) = talked(at, "CAback").await;
        assert_eq!(call["transcription"]["state"], "FINISHED", "{call}");
        let (_, document) = transcript(at, &call).await;
        let said = words(&document);
        assert!(said.contains(&word(last)) && !said.contains(&word(first)), "{said:?}");
        assert_eq!(
            (document["complete"].as_bool(), document["missed"][0]["speaker"].as_str()),
            (Some(false), Some("client")),
            "{document}"
        );
        // Where the new stream's words lie is not where they lie in it.
        let lines = document["utterances"].as_array().unwrap();
        let begins = |n: u64| {
            let all = lines.iter().flat_map(|line| line["words"].as_array().unwrap());
            all.into_iter().find(|said| said["text"] == word(n)).unwrap()["startMs"].as_u64().unwrap()
        };
        assert!(begins(last).abs_diff((last - first) * 20) <= 1, "{}", begins(last));
        assert_eq!(amazon.state.asked.lock().unwrap().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_withheld_reaches_no_recogniser_and_no_transcript() {
    let recogniser = Recogniser::start(Mood::Faithful, &[]).await;
    let rig = Rig::start(given(&recogniser.vosk())).await;
    let mut caller = Caller::talking(&rig, "CApaused").await;
    caller.frames(100).await;
    let call = captured(&rig, "CApaused", 88).await;
    let path = format!("/api/calls/{}", call["callId"].as_str().unwrap());
    let (status, state) = rig.post_as(&format!("{path}/pause"), json!({ "reason": "PAYMENT" }), &rig.token).await;
    assert_eq!(status, 200, "{state}");
    rig.call("CApaused", |call| call["transcription"]["state"] == "PAUSED").await;
    let secret = caller.chunk + 1;
    caller.frames(200).await;
    rig.call("CApaused", |call| call["recording"]["framesWithheld"]["inbound"].as_u64() >= Some(440)).await;
    let (status, state) = rig.post_as(&format!("{path}/resume"), json!({}), &rig.token).await;
    assert_eq!(status, 200, "{state}");
    let after = caller.chunk + 1;
    caller.frames(100).await;
    captured(&rig, "CApaused", 180).await;
    caller.stop().await;
    let call = settled(&rig, "CApaused").await;
    let (_, document) = transcript(&rig, &call).await;
    let said = words(&document);
    let kept = recorded(&rig, &call, caller.chunk).await;
    let heard = recogniser.heard.lock().unwrap().clone();
    for n in (1..=250).chain(secret..after) {
        assert!(!heard.contains(&n) && !said.contains(&word(n)) && !is_written(&rig, &word(n)), "frame {n} was withheld");
    }
    for n in kept {
        assert!(said.contains(&word(n)), "frame {n} was captured");
    }
    assert_eq!(document["complete"], true, "{document}");
    let ends = recogniser.told.lock().unwrap().iter().filter(|told| told.contains("eof")).count();
    assert_eq!(ends, 2, "its stream ended at the pause and at the end");
    // A word before the pause and one after it are as far apart as they were said.
    let line = |n: u64| {
        document["utterances"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|line| line["words"].as_array().unwrap())
            .find(|said| said["text"] == word(n))
            .unwrap()["startMs"]
            .as_u64()
            .unwrap()
    };
    assert!((line(after + 10) - line(300)).abs_diff((after + 10 - 300) * 20) <= 1);
}

/// Mu-law of a recording's channel.
fn channel(wav: &[u8], side: usize) -> Vec<u8> {
    let samples = hound::WavReader::new(std::io::Cursor::new(wav)).unwrap().into_samples::<i16>();
    samples.map(Result::unwrap).skip(side).step_by(2).map(callgate::engine::audio::g711::encode).collect()
}

/// A recorded call in which a card's number is said, and its recording is silenced: what is stored of it.
async fn silenced(mood: Mood) -> (Rig, Value, Value) {
    let recogniser = Recogniser::start(mood, &CARD).await;
    let rig = Rig::start(Given { redact_audio: Some("true".into()), ..given(&recogniser.vosk()) }).await;
    let mut caller = Caller::with_both_tracks(rig.address(), "CAsilent", json!({ "mode": "stay", "clientId": "client-1" })).await;
    caller.frames(250).await;
    caller.key("1").await;
    rig.call("CAsilent", |call| call["recording"]["state"] == "ACTIVE").await;
    for n in 251..=500 {
        caller.frames(1).await;
        caller.other_frame(&crate::common::numbered(3_000 + n)).await;
    }
    caller.stop().await;
    rig.call("CAsilent", |call| call["recording"]["state"] == "FINISHED").await;
    let call = settled(&rig, "CAsilent").await;
    let manifests =
        files(&rig.folder.path().join("objects/recordings")).into_iter().find(|file| file.extension().is_some_and(|end| end == "json"));
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifests.unwrap()).unwrap()).unwrap();
    (rig, call, manifest)
}

/// It is silent where the number was said, and only there.
async fn is_silent_of_the_number(rig: &Rig, call: &Value) {
    let id = call["recording"]["recordingId"].as_str().unwrap();
    let url = format!("http://{}/api/recordings/{id}/audio", rig.address());
    let wav = reqwest::Client::new().get(url).bearer_auth(&rig.token).send().await.unwrap().bytes().await.unwrap();
    for (side, from) in [(0, 0), (1, 3_000)] {
        let there = frames_in(&channel(&wav, side), from + 500);
        for n in 404..=407 {
            assert!(!there.contains(&(from + n)), "channel {side}: frame {n}");
        }
        for n in (260..=385).chain(435..=480) {
            assert!(there.contains(&(from + n)), "channel {side}: frame {n} is silent without need");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recogniser_that_never_says_that_it_is_done_costs_no_silence() {
    let (rig, call, manifest) = silenced(Mood::NeverEnds).await;
    is_silent_of_the_number(&rig, &call).await;
    assert_eq!(manifest["redactions"].as_array().unwrap().len(), 1, "{manifest}");
    assert_eq!(manifest["redactionsComplete"], false, "what it may have heard besides nobody knows");
    let chain = rig.chain("client-1").await;
    let finished = chain.iter().find(|entry| entry["kind"] == "recording.finished").unwrap();
    assert_eq!(finished["detail"]["redactionsComplete"], false, "{finished}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_number_is_masked_the_recording_is_silent_on_both_channels() {
    let (rig, call, manifest) = silenced(Mood::Faithful).await;
    is_silent_of_the_number(&rig, &call).await;
    assert_eq!(manifest["redactionsComplete"], true, "{manifest}");
    let redactions = manifest["redactions"].as_array().unwrap();
    let (_, document) = transcript(&rig, &call).await;
    let masked =
        document["utterances"].as_array().unwrap().iter().flat_map(|line| line["masked"].as_array().unwrap()).next().unwrap().clone();
    assert_eq!(redactions.len(), 1, "{manifest}");
    assert!(redactions[0]["startMs"].as_u64().unwrap().abs_diff(masked["startMs"].as_u64().unwrap()) <= 1, "{redactions:?} {masked}");
}

/// A call in which the client says no in words from frame 400 on, and goes on talking.
async fn says_no(recogniser: &Recogniser, given: Given) -> (Rig, Caller, Value) {
    let rig = Rig::start(given).await;
    let mut caller = Caller::talking(&rig, "CAno").await;
    caller.frames(250).await;
    is_heard(recogniser, 403).await;
    let call = rig.call("CAno", |call| call["recording"]["state"] == "PAUSED").await;
    caller.frames(100).await;
    rig.call("CAno", |call| call["recording"]["framesWithheld"]["inbound"].as_u64() >= Some(300)).await;
    (rig, caller, call)
}

pub(super) const NO: [(u64, &str); 4] = [(400, "please"), (401, "stop"), (402, "recording"), (403, "me")];
/// The last frame that may be anywhere: half a second before the phrase.
pub(super) const LAST: u64 = 400 - 25;

#[tokio::test(flavor = "multi_thread")]
async fn a_spoken_no_closes_first_and_is_nowhere() {
    let recogniser = Recogniser::start(Mood::Faithful, &NO).await;
    let (rig, mut caller, call) = says_no(&recogniser, given(&recogniser.vosk())).await;
    assert_eq!(
        (&call["recording"]["pauses"][0]["reason"], &call["consent"]["status"]),
        (&json!("OPT_OUT_HEARD"), &json!("GRANTED")),
        "{call}"
    );
    caller.stop().await;
    // Nobody took it back: it was a no.
    let call = settled(&rig, "CAno").await;
    assert_eq!((&call["consent"]["status"], &call["consent"]["method"]), (&json!("REVOKED"), &json!("VERBAL")), "{call}");
    assert_eq!(call["unrecordedReason"], "CLIENT_OPT_OUT");
    let kept = recorded(&rig, &call, caller.chunk).await;
    let said = words(&transcript(&rig, &call).await.1);
    assert!(kept.last().is_some_and(|last| (LAST - 3..=LAST + 1).contains(last)), "{kept:?}");
    for n in 1..=caller.chunk {
        assert_eq!(said.contains(&word(n)), kept.contains(&n), "frame {n}");
        assert!(kept.contains(&n) || !is_written(&rig, &word(n)), "frame {n}");
    }
    assert!(!is_written(&rig, "recording me"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_with_the_last_breath_is_heard_too() {
    for discards in [false, true] {
        let recogniser = Recogniser::start(Mood::Mumbles, &NO).await;
        let on_opt_out = Some(if discards { "discard-call" } else { "keep-consented" }.to_owned());
        let rig = Rig::start(Given { on_opt_out, ..given(&recogniser.vosk()) }).await;
        let mut caller = Caller::talking(&rig, "CAlast").await;
        caller.frames(160).await;
        caller.stop().await;
        let call = settled(&rig, "CAlast").await;
        assert_eq!((&call["consent"]["status"], &call["consent"]["method"]), (&json!("REVOKED"), &json!("VERBAL")), "{call}");
        let standing = rig.get("/api/clients/client-CAlast/consent").await.1;
        assert!(standing.to_string().contains("REVOKED"), "{standing}");
        if discards {
            assert_eq!(
                (&call["recording"]["state"], &call["transcription"]["state"]),
                (&json!("DISCARDED"), &json!("DISCARDED")),
                "{call}"
            );
            continue;
        }
        let kept = recorded(&rig, &call, caller.chunk).await;
        let said = words(&transcript(&rig, &call).await.1);
        assert!(kept.last().is_some_and(|last| (LAST - 3..=LAST + 1).contains(last)), "{kept:?}");
        for n in 1..=caller.chunk {
            assert_eq!(said.contains(&word(n)), kept.contains(&n), "frame {n}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_manager_confirms_a_spoken_no_or_reopens() {
    for reopens in [false, true] {
        let recogniser = Recogniser::start(Mood::Faithful, &NO).await;
        let (rig, mut caller, call) = says_no(&recogniser, given(&recogniser.deepgram())).await;
        let path = format!("/api/calls/{}", call["callId"].as_str().unwrap());
        let (what, body) = if reopens { ("resume", json!({ "reason": "OPT_OUT_HEARD" })) } else { ("opt-out", json!({})) };
        if reopens {
            // A double click of whoever ends a pause of their own judges nothing.
            let payment = json!({ "reason": "PAYMENT" });
            assert_eq!(rig.post_as(&format!("{path}/pause"), payment.clone(), &rig.token).await.0, 200);
            for body in [payment.clone(), payment, json!({}), json!({})] {
                let (status, state) = rig.post_as(&format!("{path}/resume"), body.clone(), &rig.token).await;
                let named = body != json!({});
                assert_eq!(status, if named { 200 } else { 409 }, "{body}: {state}");
                assert!(named || state["detail"].as_str().unwrap().contains("OPT_OUT_HEARD"), "it says what to name: {state}");
                rig.call("CAno", |call| call["recording"]["pauses"][0]["reason"] == "OPT_OUT_HEARD").await;
            }
        }
        let (status, state) = rig.post_as(&format!("{path}/{what}"), body, &rig.token).await;
        assert_eq!((status, state["recording"]["state"].as_str()), (200, Some(if reopens { "ACTIVE" } else { "HALTED" })), "{state}");
        let from = caller.chunk + 1;
        caller.frames(100).await;
        caller.stop().await;
        let call = settled(&rig, "CAno").await;
        assert_eq!(call["consent"]["status"], if reopens { "GRANTED" } else { "REVOKED" }, "{call}");
        let kept = recorded(&rig, &call, caller.chunk).await;
        let said = words(&transcript(&rig, &call).await.1);
        for n in 1..=caller.chunk {
            let may_be_kept = n <= LAST + 1 || (reopens && n >= from);
            assert!(may_be_kept || !kept.contains(&n), "{what}: frame {n}");
            assert_eq!(said.contains(&word(n)), kept.contains(&n), "{what}: frame {n}, in the transcript and in the recording");
        }
        assert_eq!(kept.iter().any(|n| *n >= from), reopens, "{what}: {kept:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_opt_out_discards_the_call_its_words_go_too() {
    let recogniser = Recogniser::start(Mood::Faithful, &[]).await;
    let rig = Rig::start(Given { on_opt_out: Some("discard-call".into()), ..given(&recogniser.vosk()) }).await;
    let mut caller = Caller::talking(&rig, "CAdiscard").await;
    caller.frames(200).await;
    is_heard(&recogniser, 400).await;
    caller.key("2").await;
    caller.frames(200).await;
    caller.stop().await;
    let call = settled(&rig, "CAdiscard").await;
    assert_eq!((&call["recording"]["state"], &call["transcription"]["state"]), (&json!("DISCARDED"), &json!("DISCARDED")), "{call}");
    assert_eq!(transcript(&rig, &call).await.0, 409);
    assert!(!is_written(&rig, &word(400)) && files(&rig.folder.path().join("objects/transcripts")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recogniser_that_is_slow_dead_or_mad_costs_its_transcript_and_nothing_else() {
    let dead = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("vosk+ws://{}", listener.local_addr().unwrap())
    };
    let mut running = tokio::task::JoinSet::new();
    for mood in [None, Some(Mood::Stuck), Some(Mood::Babbles), Some(Mood::Floods)] {
        let dead = dead.clone();
        running.spawn(async move {
            let recogniser = if let Some(mood) = mood { Some(Recogniser::start(mood, &[]).await) } else { None };
            let rig = Rig::start(given(&recogniser.as_ref().map_or(dead, Recogniser::vosk))).await;
            let mut caller = Caller::talking(&rig, "CAmad").await;
            let first = caller.chunk + 1;
            caller.frames(300).await;
            caller.stop().await;
            // The recording is stored while the recogniser is still waited for.
            let call = rig.call("CAmad", |call| call["recording"]["state"] == "FINISHED").await;
            let kept = recorded(&rig, &call, caller.chunk).await;
            assert_eq!(kept, (first..=caller.chunk).collect::<Vec<_>>(), "{mood:?}: nothing of the recording is lost");
            let call = settled(&rig, "CAmad").await;
            assert_eq!(
                (&call["recording"]["state"], &call["transcription"]["state"]),
                (&json!("FINISHED"), &json!("FAILED")),
                "{mood:?}: {call}"
            );
            let (status, problem) = transcript(&rig, &call).await;
            assert_eq!(status, 409, "{mood:?}: {problem}");
            let chain = rig.chain("client-CAmad").await;
            let failed =
                chain.iter().find(|entry| entry["kind"] == "transcription.failed").unwrap_or_else(|| panic!("{mood:?}: {chain:?}"));
            assert!(failed["detail"]["why"].as_str().is_some_and(|why| why.contains("recogniser")), "{failed}");
            assert!(!is_written(&rig, "flood flood"));
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_dies_keeps_the_recording_and_says_that_its_words_are_lost() {
    let recogniser = Recogniser::start(Mood::Faithful, &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = [("CALLGATE_TRANSCRIBER", recogniser.vosk()), ("CALLGATE_LOG", "trace".to_owned())];
    let settings = settings.each_ref().map(|(key, value)| (*key, value.as_str()));
    let served = crate::common::Served::start(folder.path(), &settings);
    let mut caller = Caller::connect(served.address, "CAdies", json!({ "mode": "stay", "clientId": "client-1" })).await;
    caller.frames(250).await;
    caller.key("1").await;
    for _ in 0..20 {
        caller.frames(20).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    is_heard(&recogniser, 500).await;
    // What dies before anything of it is written is another story.
    let mut raw = crate::common::raw(folder.path()).await;
    until("the database has the recording", async || !raw.texts::<1>(r#"SELECT "id" FROM "Recording""#).await.is_empty()).await;
    drop(raw);
    served.signal("-KILL");
    let log = served.log();
    assert!(log.contains("TRACE") && !log.contains(&word(500)), "no word is in the log");
    for file in files(folder.path()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(9).any(|window| window == word(500).as_bytes()), "{}: nothing of it is on a disk", file.display());
    }
    let again = crate::common::Served::start(folder.path(), &settings);
    let database = callgate::io::database::Database::open(&crate::common::database_url(folder.path())).await.unwrap();
    let filter = callgate::io::database::CallFilter { call_sid: Some("CAdies".into()), limit: 1, ..Default::default() };
    let mut call = Value::Null;
    for _ in 0..400 {
        call = database.calls(&filter).await.unwrap().remove(0).state;
        if call["recording"]["state"] == "FINISHED" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!((&call["recording"]["state"], &call["transcription"]["state"]), (&json!("FINISHED"), &json!("FAILED")), "{call}");
    let rows = database.transcripts(call["recording"]["recordingId"].as_str().unwrap()).await.unwrap();
    assert!(rows[0].reason.as_deref().is_some_and(|why| why.contains("died")) && rows[0].sha256.is_none(), "{rows:?}");
    drop(again);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_were_never_sent_are_no_words() {
    let recogniser = Recogniser::start(Mood::Lies, &[]).await;
    let rig = Rig::start(given(&recogniser.vosk())).await;
    let mut caller = Caller::talking(&rig, "CAlies").await;
    caller.frames(100).await;
    caller.stop().await;
    let call = settled(&rig, "CAlies").await;
    let (status, document) = transcript(&rig, &call).await;
    assert_eq!((status, words(&document).len()), (200, 0), "{document}");
    assert!(!is_written(&rig, "lieframe"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recogniser_that_comes_back_goes_on_where_it_can() {
    // The first connection fails at its first word: what it was sent is missed, and said to be.
    let recogniser = Recogniser::start(Mood::SobersUpAfter(1), &[]).await;
    let rig = Rig::start(given(&recogniser.vosk())).await;
    let mut caller = Caller::talking(&rig, "CAback").await;
    caller.frames(40).await;
    for _ in 0..400 {
        if recogniser.handshakes.lock().unwrap().len() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    caller.frames(200).await;
    is_heard(&recogniser, 450).await;
    caller.stop().await;
    let call = settled(&rig, "CAback").await;
    assert_eq!(call["transcription"]["state"], "FINISHED", "{call}");
    let (_, document) = transcript(&rig, &call).await;
    let said = words(&document);
    assert!(said.contains(&word(450)) && !said.contains(&word(251)), "{said:?}");
    assert_eq!((document["complete"].as_bool(), document["missed"][0]["speaker"].as_str()), (Some(false), Some("client")), "{document}");
    assert_eq!(recogniser.handshakes.lock().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transcript_is_read_by_who_may_and_deleted_with_its_recording() {
    let recogniser = Recogniser::start(Mood::Faithful, &[]).await;
    let rig = Rig::start(given(&recogniser.vosk())).await;
    let mut caller = Caller::talking_as(&rig, "CAgone", "client-7").await;
    caller.frames(100).await;
    caller.stop().await;
    let call = settled(&rig, "CAgone").await;
    let id = call["recording"]["recordingId"].as_str().unwrap().to_owned();
    let path = format!("/api/recordings/{id}/transcript");
    let reader = rig.token_of("u-reader", "Reader", &["canViewRecordings"], &["client-7"]);
    let stranger = rig.token_of("u-stranger", "Stranger", &["canViewRecordings"], &["client-8"]);
    let nobody = rig.token_of("u-nobody", "Nobody", &["canViewClients"], &["*"]);
    assert_eq!(rig.get_as(&path, Some(&reader)).await.0, 200);
    assert_eq!(rig.get_as(&path, Some(&stranger)).await.0, 403);
    assert_eq!(rig.get_as(&path, Some(&nobody)).await.0, 403);
    let reads =
        |chain: &[Value], kind: &str| chain.iter().filter(|entry| entry["kind"] == kind && entry["detail"]["what"] == "transcript").count();
    let chain = rig.chain("client-7").await;
    assert_eq!((reads(&chain, "recording.read"), reads(&chain, "access.denied")), (1, 1), "{chain:?}");

    let (status, answer) = rig.post_as("/api/clients/client-7/consent/revoke", json!({ "reason": "asked to" }), &rig.token).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(rig.get_as(&path, Some(&reader)).await.0, 410, "queued");
    assert_eq!(files(&rig.folder.path().join("objects/transcripts")).len(), 1);
    let as_of = callgate::engine::time::WallTime(callgate::io::clock::wall().0 + 40 * 24 * 3_600 * 1_000);
    let config = crate::common::config(rig.folder.path(), given(&recogniser.vosk()));
    let swept = callgate::server::sweep(&config, as_of, false).await.unwrap();
    assert_eq!((swept.lines.len(), swept.failed()), (1, 0), "{swept:?}");
    assert!(files(&rig.folder.path().join("objects/transcripts")).is_empty(), "deleted is gone");
    assert_eq!(rig.get(&path).await.0, 410);
    let chain = rig.chain("client-7").await;
    let deleted = chain.iter().find(|entry| entry["kind"] == "recording.deleted").unwrap();
    assert!(deleted["detail"]["keys"].to_string().contains("transcripts/default/"), "{deleted}");
}

/// Everything that a call's captions tell until the stream ends.
fn captions(rig: &Rig, call: &Value, token: &str) -> impl Future<Output = (u16, String)> + use<> {
    let url = format!("http://{}/api/calls/{}/captions", rig.address(), call["callId"].as_str().unwrap());
    let request = reqwest::Client::new().get(url).bearer_auth(token);
    async move {
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

/// Waits until somebody follows what is said: that stands in the chain.
async fn is_followed(rig: &Rig, call: &Value) {
    for _ in 0..400 {
        if rig.chain_of(&call["callId"]).await.iter().any(|entry| entry["detail"]["what"] == "captions") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("nobody follows it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_shown_while_it_is_said_to_who_may_read_it_and_without_what_is_secret() {
    let recogniser = Recogniser::start(Mood::Faithful, &CARD).await;
    let rig = Rig::start(given(&recogniser.vosk())).await;
    let mut caller = Caller::talking(&rig, "CAshown").await;
    let call = rig.call("CAshown", |call| call["transcription"]["state"] == "ACTIVE").await;
    // Asked for before the first of it is said.
    let shown = tokio::spawn(captions(&rig, &call, &rig.token));
    is_followed(&rig, &call).await;
    caller.frames(400).await;
    is_heard(&recogniser, 600).await;
    caller.stop().await;
    let call = settled(&rig, "CAshown").await;
    let (status, shown) = tokio::time::timeout(Duration::from_secs(20), shown).await.expect("it ends with the call").unwrap();
    assert_eq!(status, 200);
    let said = words(&transcript(&rig, &call).await.1);
    assert!(said.len() > 300 && shown.contains("event: caption") && shown.contains("[CARD_NUMBER]"), "{shown}");
    let missing: Vec<_> = said.iter().filter(|word| !shown.contains(*word)).collect();
    assert!(missing.len() < 60, "all but the last words, which were decided when the call was over: {missing:?}");
    for group in ["6011", "0009", "9013", "9424"] {
        assert!(!tells(shown.as_bytes(), group), "{shown}");
    }
    assert_eq!(captions(&rig, &call, &rig.token).await.0, 204, "it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_spoken_no_takes_back_is_taken_off_the_screen() {
    let recogniser = Recogniser::start(Mood::Faithful, &NO).await;
    let rig = Rig::start(given(&recogniser.vosk())).await;
    let mut caller = Caller::talking(&rig, "CAback").await;
    let call = rig.call("CAback", |call| call["transcription"]["state"] == "ACTIVE").await;
    let shown = tokio::spawn(captions(&rig, &call, &rig.token));
    is_followed(&rig, &call).await;
    caller.frames(250).await;
    rig.call("CAback", |call| call["recording"]["state"] == "PAUSED").await;
    caller.frames(100).await;
    caller.stop().await;
    settled(&rig, "CAback").await;
    let shown = tokio::time::timeout(Duration::from_secs(20), shown).await.expect("it ends with the call").unwrap().1;
    let (_, after) = shown.split_once("event: withdrawn").unwrap_or_else(|| panic!("{shown}"));
    assert!(after.contains("fromMs") && !shown.contains("recording me"), "{shown}");
    for n in LAST + 2..=caller.chunk {
        assert!(!after.contains(&word(n)), "frame {n}: {after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn captions_are_for_who_may_read_transcripts_of_calls_that_somebody_transcribes() {
    let recogniser = Recogniser::start(Mood::Faithful, &[]).await;
    let rig = Rig::start(given(&recogniser.vosk())).await;
    let mut caller = Caller::talking(&rig, "CAmay").await;
    let call = rig.call("CAmay", |call| call["transcription"]["state"] == "ACTIVE").await;
    let viewer = rig.token_of("viewer", "Viewer", &["canViewClients"], &["*"]);
    assert_eq!(captions(&rig, &call, &viewer).await.0, 403, "a state is not what was said");
    let stranger = rig.token_of("other", "Other", &["canViewRecordings"], &["client-other"]);
    assert_eq!(captions(&rig, &call, &stranger).await.0, 403, "not their client");
    assert_eq!(captions(&rig, &json!({ "callId": "call_none" }), &rig.token).await.0, 404);
    caller.stop().await;
    let rig = Rig::start(Given::default()).await;
    let _caller = Caller::talking(&rig, "CAnobody").await;
    let call = rig.call("CAnobody", |_| true).await;
    let (status, told) = captions(&rig, &call, &rig.token).await;
    assert!(status == 409 && told.contains("CALLGATE_TRANSCRIBER"), "{told}");
}
