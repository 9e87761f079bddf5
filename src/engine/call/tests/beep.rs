//! The tone that tells of a recording: at the beginning, then at its interval, and never where nobody is recorded or a key is pressed.

use super::rig::Rig;
use crate::engine::call::{Input, Mode, Settings};
use crate::engine::consent::{Actor, ConsentStatus, Direction};

const SETTINGS: fn() -> Settings = || Settings { beep_every_ms: Some(12_000), ..Settings::default() };

fn inbound(settings: Settings) -> Rig {
    Rig::new(settings, Direction::Inbound, ConsentStatus::Pending)
}

/// Where the tones were sent, by the media clock.
fn beeps(rig: &Rig) -> Vec<u64> {
    let lines = rig.trace.lines().filter(|line| line.ends_with(" beeps"));
    lines.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect()
}

/// Asked, answered with 1, and thanked.
fn talking(settings: Settings) -> Rig {
    let mut rig = inbound(settings);
    rig.start(Mode::Stay).quiet(6_000);
    assert!(beeps(&rig).is_empty(), "nobody is recorded yet");
    rig.key('1').quiet(5_000);
    rig
}

#[test]
fn it_sounds_when_the_closing_line_is_over_and_then_every_twelve_seconds() {
    let mut rig = talking(SETTINGS());
    rig.quiet(60_000).stop();
    let beeps = beeps(&rig);
    assert!(beeps.len() >= 5 && (6_000..11_200).contains(&beeps[0]), "{beeps:?}");
    assert!(beeps.windows(2).all(|pair| (12_000..=12_020).contains(&(pair[1] - pair[0]))), "{beeps:?}");
    let mut silent = talking(Settings::default());
    silent.quiet(60_000).stop();
    assert!(self::beeps(&silent).is_empty(), "off unless somebody wants it");
}

#[test]
fn it_does_not_sound_in_a_pause_nor_after_a_no() {
    let by = || Actor::User { id: "u1".into(), name: String::new() };
    let mut rig = talking(SETTINGS());
    let before = beeps(&rig).len();
    rig.step(Input::Pause { by: by(), reason: "PAYMENT".into() });
    rig.quiet(30_000);
    assert_eq!(beeps(&rig).len(), before, "{}", rig.trace);
    rig.step(Input::Resume { by: by(), reason: None });
    rig.quiet(40);
    assert_eq!(beeps(&rig).len(), before + 1, "recorded again, and told so at once: {}", rig.trace);
    rig.quiet(3_000).key('2').quiet(3_000);
    let refused = beeps(&rig).len();
    rig.quiet(30_000).stop();
    assert_eq!(beeps(&rig).len(), refused, "{}", rig.trace);
}

#[test]
fn it_waits_until_it_is_known_what_a_key_means() {
    let mut rig = talking(SETTINGS());
    let first = *beeps(&rig).last().unwrap();
    rig.quiet(first + 11_900 - rig.media_ms).key('2').quiet(1_000);
    assert_eq!(beeps(&rig).len(), 1, "{}", rig.trace);
    rig.key('5').quiet(2_000);
    assert_eq!(beeps(&rig).len(), 2, "no opt-out after all: {}", rig.trace);
}

#[test]
fn a_fork_cannot_be_spoken_into() {
    let mut rig = inbound(SETTINGS());
    rig.start(Mode::Consent).quiet(6_000).key('1').quiet(5_000);
    rig.start(Mode::Capture).quiet(30_000).stop();
    assert!(!rig.captured.is_empty() && beeps(&rig).is_empty(), "{}", rig.trace);
}

#[test]
fn a_short_line_tells_what_has_become_of_the_recording_if_somebody_wants_it() {
    let by = || Actor::User { id: "cm".into(), name: String::new() };
    let told = |announces: bool| {
        let mut rig = talking(Settings { announces, ..Settings::default() });
        rig.step(Input::Pause { by: by(), reason: "PAYMENT".into() });
        rig.quiet(3_000);
        rig.step(Input::Resume { by: by(), reason: None });
        rig.quiet(3_000).key('2').quiet(5_000);
        let lines = rig.trace.lines().filter_map(|line| line.trim_start().split_once(' ')).map(|(_, told)| told.to_owned());
        lines.filter(|told| told.starts_with("plays")).skip(2).collect::<Vec<_>>()
    };
    assert_eq!(told(true), ["plays en Paused", "plays en Resumed", "plays en Stopped"]);
    assert!(told(false).is_empty());
}
