//! The fixture audio is what its manifest says, and the listener for machines takes each for what it is.

use std::fs;
use std::path::Path;

use callgate::engine::audio::g711;
use callgate::engine::audio::line::{LineListener, LineTone};
use sha2::{Digest as _, Sha256};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio")
}

fn listened(name: &str) -> LineListener {
    let codes = fs::read(folder().join(format!("{name}.ulaw"))).unwrap();
    let mut listener = LineListener::new();
    listener.feed(&codes.iter().map(|code| g711::decode(*code)).collect::<Vec<_>>());
    listener
}

#[test]
fn every_fixture_is_the_one_its_manifest_names_and_none_is_left_out() {
    let rows: serde_json::Value = serde_json::from_slice(&fs::read(folder().join("fixtures.json")).unwrap()).unwrap();
    let mut named = Vec::new();
    for row in rows.as_array().unwrap() {
        let file = row["file"].as_str().unwrap();
        let bytes = fs::read(folder().join(file)).unwrap();
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(row["sha256"].as_str(), Some(digest.as_str()), "{file}");
        assert_eq!(row["samples"].as_u64(), Some(bytes.len() as u64), "{file}");
        assert!(row["engine"].is_string() && row["licence"].is_string(), "{file}: where it comes from");
        named.push(file.to_owned());
    }
    let mut there: Vec<String> = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    there.retain(|file| file.ends_with(".ulaw"));
    there.sort();
    assert_eq!(named, there);
}

#[test]
fn machines_are_heard_and_people_music_and_rooms_are_not() {
    for (name, machine) in [
        ("voicemail-en", Some(LineTone::Beep)),
        ("fax-calling", Some(LineTone::FaxCalling)),
        ("fax-answer", Some(LineTone::FaxAnswer)),
        ("tty", Some(LineTone::Tty)),
        ("client-en", None),
        ("second-client-en", None),
        ("client-es", None),
        ("agent-en", None),
        ("agent-es", None),
        ("canary-en", None),
        ("refusal-en", None),
        // A screener sounds like a person: only `AnsweredBy` can tell it.
        ("screener-en", None),
        ("hold-music", None),
        ("ringback", None),
        ("room-noise", None),
    ] {
        assert_eq!(listened(name).tone(), machine, "{name}");
    }
}

#[test]
fn a_quiet_room_has_a_noise_floor_and_speech_is_told_from_it() {
    let room = listened("room-noise").window();
    assert!((-63.0..=-57.0).contains(&room.level_dbov), "{room:?}");
    assert!(room.digital_silence_samples * 10 < room.samples && room.speech_samples == 0, "{room:?}");
    let refusal = listened("refusal-en").window();
    assert!(refusal.speech_samples * 2 > refusal.samples, "{refusal:?}");
}
