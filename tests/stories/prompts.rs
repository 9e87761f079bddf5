//! Prompts of a deployment's own: what a caller hears is what lies in the folder, in its languages, and a folder that is not whole is
//! refused. And the tone that tells of a recording.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common::{Caller, Rig, files, numbered};
use callgate::engine::audio::prompts::{Language, Line, PromptRow, Sentence, sha256};
use callgate::engine::audio::{beep, g711};
use callgate::server::Given;
use serde_json::json;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/prompts");

fn copy_of_the_shipped(folder: &Path) {
    for file in files(Path::new(SHIPPED)) {
        let to = folder.join(file.strip_prefix(SHIPPED).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(file, to).unwrap();
    }
}

fn rows(folder: &Path) -> Vec<PromptRow> {
    serde_json::from_slice(&std::fs::read(folder.join("prompts.json")).unwrap()).unwrap()
}

fn write(folder: &Path, rows: &[PromptRow]) {
    std::fs::write(folder.join("prompts.json"), serde_json::to_vec(rows).unwrap()).unwrap();
}

/// A question of three seconds by hand: numbered frames, its keys named at 1, 1.5 and 2 s.
fn question_by_hand(folder: &Path) -> Vec<u8> {
    copy_of_the_shipped(folder);
    let codes: Vec<u8> = (1..=150).flat_map(|n| numbered(1_000 + n)).collect();
    std::fs::write(folder.join("en/v1/mine.ulaw"), &codes).unwrap();
    let mut rows = rows(folder);
    let row = rows.iter_mut().find(|row| row.file == "en/v1/consent.ulaw").unwrap();
    let said = |key, sample| Sentence { key, text: "by hand".into(), sample, language: None };
    *row = PromptRow {
        file: "en/v1/mine.ulaw".into(),
        version: "mine".into(),
        line: Line::Consent,
        samples: codes.len(),
        sha256: sha256(&codes),
        sentences: vec![said(None, 0), said(Some('1'), 8_000), said(Some('2'), 12_000), said(Some('9'), 16_000)],
        ..row.clone()
    };
    write(folder, &rows);
    codes
}

fn spoken(caller: &Caller) -> Vec<u8> {
    let media = caller.heard.iter().filter(|message| message["event"] == "media");
    media.flat_map(|message| base64_simd::STANDARD.decode_to_vec(message["media"]["payload"].as_str().unwrap()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_hear_the_folders_prompts_and_recordings_begin_with_them() {
    let prompts = tempfile::tempdir().unwrap();
    let codes = question_by_hand(prompts.path());
    let rig = Rig::start(Given { prompts_dir: Some(prompts.path().display().to_string()), ..Given::default() }).await;
    // Read once, at the start: what becomes of the folder is no matter to calls.
    std::fs::remove_dir_all(prompts.path()).unwrap();
    let mut early = Caller::connect(rig.address(), "CAearly", json!({ "mode": "stay", "clientId": "c1" })).await;
    let mut caller = Caller::connect(rig.address(), "CAmine", json!({ "mode": "stay", "clientId": "c2" })).await;
    // A second and a half in: 1 has been named to the one; the other pressed it before.
    early.frames(40).await;
    early.key("1").await;
    early.frames(35).await;
    caller.frames(75).await;
    caller.key("1").await;
    let granted = rig.call("CAmine", |call| call["recording"]["state"] == "ACTIVE").await;
    assert_eq!((granted["consent"]["promptVersion"].as_str(), granted["consent"]["method"].as_str()), (Some("mine"), Some("KEYPRESS")));
    early.frames(90).await;
    early.listen(Duration::from_millis(300)).await;
    assert!(spoken(&early) == codes, "to the last sample");
    let (_, asked) = rig.get("/api/calls?callSid=CAearly").await;
    let phase = asked["calls"][0]["phase"].as_str().unwrap();
    assert!(matches!(phase, "PROMPTING" | "AWAITING_RESPONSE"), "a 1 before it was named counts for nothing: {phase}");

    caller.frames(50).await;
    caller.stop().await;
    let finished = rig.call("CAmine", |call| call["recording"]["state"] == "FINISHED").await;
    let id = finished["recording"]["recordingId"].as_str().unwrap();
    let url = format!("http://{}/api/recordings/{id}/audio", rig.address());
    let wav = reqwest::Client::new().get(url).bearer_auth(&rig.token).send().await.unwrap().bytes().await.unwrap();
    let right = hound::WavReader::new(std::io::Cursor::new(wav)).unwrap().into_samples::<i16>().map(Result::unwrap).skip(1).step_by(2);
    let wanted: Vec<i16> = codes[..8_000].iter().map(|code| g711::decode(*code)).collect();
    assert!(right.take(8_000).eq(wanted), "the recording begins with the prompt that was played");
    rig.gateway.drain(Duration::from_secs(5)).await;
}

/// The shipped prompts and French ones; the English question ends with an offer of French, by 3.
fn with_french(folder: &Path) {
    const FRENCH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/prompts-fr");
    copy_of_the_shipped(folder);
    let french: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(format!("{FRENCH}/prompts.json")).unwrap()).unwrap();
    let mut rows = rows(folder);
    for mut row in french {
        let codes = std::fs::read(format!("{FRENCH}/{}", row["file"].as_str().unwrap())).unwrap();
        if row["line"] != "choice" {
            row["file"] = json!(format!("fr-{}", row["file"].as_str().unwrap()));
            std::fs::write(folder.join(row["file"].as_str().unwrap()), &codes).unwrap();
            rows.push(serde_json::from_value(row).unwrap());
            continue;
        }
        let question = rows.iter_mut().find(|row| row.file == "en/v1/consent.ulaw").unwrap();
        let english = std::fs::read(folder.join(&question.file)).unwrap();
        let offer = row["sentences"][0].as_object().unwrap();
        let sample = question.samples + usize::try_from(offer["sample"].as_u64().unwrap()).unwrap();
        let text = offer["text"].as_str().unwrap().to_owned();
        question.sentences.push(Sentence { key: Some('3'), text, sample, language: Language::of_code("fr") });
        let whole = [english, codes].concat();
        (question.samples, question.sha256, question.version) = (whole.len(), sha256(&whole), "v1-fr".into());
        std::fs::write(folder.join(&question.file), whole).unwrap();
    }
    write(folder, &rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_language_is_prompts_and_a_key_that_the_question_offers() {
    let prompts = tempfile::tempdir().unwrap();
    with_french(prompts.path());
    let twilio = crate::common::twilio::Twilio::start().await;
    let given = Given {
        prompts_dir: Some(prompts.path().display().to_string()),
        inbound_route: Some("client:desk".into()),
        unannounced: Some("true".into()),
        ..twilio.given()
    };
    let rig = Rig::start(Given { twilio_validate: Some("false".into()), ..given }).await;
    let mut caller = Caller::connect(rig.address(), "CAfr", json!({ "mode": "stay", "clientId": "c-fr" })).await;
    caller.frames(100).await;
    let before = caller.heard.len();
    caller.key("3").await;
    rig.call("CAfr", |call| call["consent"]["languageCode"] == "fr" && call["phase"] == "PROMPTING").await;
    // 1 is named in French 3.95 s in.
    caller.frames(150).await;
    caller.key("1").await;
    caller.frames(80).await;
    caller.key("1").await;
    let granted = rig.call("CAfr", |call| call["recording"]["state"] == "ACTIVE").await;
    assert_eq!((&granted["consent"]["method"], &granted["consent"]["languageCode"]), (&json!("KEYPRESS"), &json!("fr")), "{granted}");
    caller.frames(100).await;
    caller.listen(Duration::from_millis(300)).await;
    let spoken: Vec<u8> = caller.heard[before..]
        .iter()
        .filter(|message| message["event"] == "media")
        .flat_map(|message| base64_simd::STANDARD.decode_to_vec(message["media"]["payload"].as_str().unwrap()).unwrap())
        .collect();
    for (file, played) in [("consent", 32_431), ("granted", 15_000)] {
        let french = std::fs::read(format!("{}/fixtures/prompts-fr/{file}.ulaw", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(spoken.windows(played).any(|window| window == &french[..played]), "{file} was spoken in French");
    }
    caller.frames(50).await;
    caller.stop().await;
    rig.call("CAfr", |call| call["recording"]["state"] == "FINISHED").await;
    let stored = files(&rig.folder.path().join("objects"));
    let manifest = stored.iter().find(|file| file.extension().is_some_and(|ending| ending == "json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    assert_eq!(
        (&manifest["prompt"]["language"], &manifest["consent"]["record"]["languageCode"]),
        (&json!("fr"), &json!("fr")),
        "{manifest}"
    );

    // Where no stream could be opened, Twilio speaks it with the language's own voice.
    let phone = crate::common::twilio::Phone::inbound("CApad");
    phone.voice(&rig, &[("clientId", "c-pad")]).await;
    let url = format!("{}/api/webhooks/twilio/consent?lang=en&plays=1", crate::common::twilio::PUBLIC);
    let french = phone.ask(&rig, &url, &[("Digits", "3")]).await.1;
    assert!(
        french.contains(r#"<Say voice="Polly.Lea" language="fr-FR">Appuyez sur 1, ou restez"#) && french.contains("lang=fr"),
        "{french}"
    );
    let other = phone.ask(&rig, &url, &[("Digits", "4")]).await.1;
    assert!(other.contains("lang=en"), "4 means nothing: {other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tone_tells_of_the_recording_and_its_times_stand_in_the_manifest() {
    let rig = Rig::start(Given { beep_seconds: Some("12".into()), ..Given::default() }).await;
    let mut caller = Caller::talking(&rig, "CAbeep").await;
    let before = caller.heard.len();
    // The closing line's mark comes back.
    caller.frames(200).await;
    caller.listen(Duration::from_millis(300)).await;
    caller.frames(1_250).await;
    caller.listen(Duration::from_millis(300)).await;
    let tones = caller.heard[before..].iter().filter(|message| {
        message["event"] == "media"
            && base64_simd::STANDARD.decode_to_vec(message["media"]["payload"].as_str().unwrap()).unwrap() == beep::codes()
    });
    let tones = tones.count();
    assert!((2..=3).contains(&tones), "every 12 s in 29 s: {tones}");
    caller.stop().await;
    rig.call("CAbeep", |call| call["recording"]["state"] == "FINISHED").await;
    let stored = files(&rig.folder.path().join("objects"));
    let manifest = stored.iter().find(|file| file.extension().is_some_and(|ending| ending == "json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    let times: Vec<u64> = manifest["beeps"].as_array().unwrap().iter().map(|beep| beep["atMs"].as_u64().unwrap()).collect();
    assert_eq!(times.len(), tones, "{manifest}");
    assert!(times.windows(2).all(|pair| (12_000..=12_020).contains(&(pair[1] - pair[0]))), "{times:?}");
    assert_eq!(manifest["beeps"][0]["streamSid"], "MZCAbeep");
}

#[test]
fn a_folder_that_is_not_whole_is_refused_at_the_start_and_one_line_says_what_is_wrong() {
    let refused = |spoil: &dyn Fn(&Path)| {
        let (data, prompts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        copy_of_the_shipped(prompts.path());
        spoil(prompts.path());
        let mut command = Command::new(env!("CARGO_BIN_EXE_callgate"));
        command.arg("serve").env("CALLGATE_LISTEN", "127.0.0.1:0").env("CALLGATE_DATA_DIR", data.path());
        let output = command.env("CALLGATE_PROMPTS_DIR", prompts.path()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.starts_with(&format!("callgate: CALLGATE_PROMPTS_DIR {}", prompts.path().display())), "{said}");
        assert_eq!(said.matches("CALLGATE_PROMPTS_DIR").count() + said.matches(": prompt ").count().saturating_sub(1), 1, "once: {said}");
        said
    };
    let changed = |change: fn(&mut Vec<PromptRow>)| {
        move |folder: &Path| {
            let mut rows = rows(folder);
            change(&mut rows);
            write(folder, &rows);
        }
    };
    let no_manifest = refused(&|folder| std::fs::remove_file(folder.join("prompts.json")).unwrap());
    assert!(no_manifest.contains("prompts.json: No such file"), "{no_manifest}");
    let no_json = refused(&|folder| std::fs::write(folder.join("prompts.json"), "[{}").unwrap());
    assert!(no_json.contains("prompt manifest cannot be read"), "{no_json}");
    let no_file = refused(&|folder| std::fs::remove_file(folder.join("es/v1/stopped.ulaw")).unwrap());
    assert!(no_file.contains("es/v1/stopped.ulaw is missing"), "{no_file}");
    let other_audio =
        refused(&|folder| std::fs::copy(folder.join("en/v1/paused.ulaw"), folder.join("en/v1/resumed.ulaw")).map(|_| ()).unwrap());
    assert!(other_audio.contains("en/v1/resumed.ulaw is not the audio its manifest describes"), "{other_audio}");
    let half = refused(&changed(|rows| rows.retain(|row| row.file != "es/v1/paused.ulaw")));
    assert!(half.contains("prompt es/paused is missing; every language needs"), "{half}");
    let unnamed = refused(&changed(|rows| rows[0].sentences[2].key = None));
    assert!(unnamed.contains("en/v1/consent.ulaw names its keys wrongly"), "{unnamed}");
    let long = refused(&|folder| std::fs::write(folder.join("en/v1/granted.ulaw"), vec![0xFF; 480_001]).unwrap());
    assert!(long.contains("en/v1/granted.ulaw is empty, or longer than 60000 ms"), "{long}");
    for elsewhere in ["/etc/hostname", "../prompts.json", "en/../../x"] {
        let outside = refused(&|folder| {
            let mut rows = rows(folder);
            rows[0].file = elsewhere.to_owned();
            write(folder, &rows);
        });
        assert!(outside.contains(&format!("{elsewhere} is missing")), "{outside}");
    }
}

#[cfg(not(feature = "polly"))]
#[test]
fn without_polly_nobody_speaks_and_it_says_so() {
    let output = Command::new(env!("CARGO_BIN_EXE_callgate")).args(["prompts", "synth"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("build with --features polly"), "{said}");
}

#[test]
fn the_configuration_tells_which_prompts_are_played() {
    let output = Command::new(env!("CARGO_BIN_EXE_callgate")).arg("config").env("CALLGATE_PROMPTS_DIR", "/my/prompts").output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("CALLGATE_PROMPTS_DIR") && told.contains("/my/prompts"), "{told}");
}
