//! Scripted calls and the traces they leave, kept in `fixtures/traces`: a change of behaviour is a change of those files,
//! to be read in a diff. `BLESS=1 cargo test --lib traces` writes them anew; nothing else does.
//!
//! A script is a line a step: `call DIRECTION STATUS [discard]`, `ledger prompt|slow MS|fails|silent`,
//! `start MODE [both] [answered-by WORD]`, `quiet MS`, `talk MS` (both tracks), `other MS` (theirs alone), `silence MS` (exact),
//! `tone KEY MS LEAD_SAMPLES`, `key KEY`, `lose MS`, `pass MS` (on the wall alone), `opt-out`, `machine`, `sink-fails`, `hung-up`, `shutdown`, `stop`.

use std::fs;
use std::path::Path;

use super::rig::{LedgerMood, Rig};
use super::stories::tone;
use crate::engine::call::{Input, Mode, OnOptOut, Settings};
use crate::engine::consent::{Actor, ConsentStatus, Direction};
use crate::engine::time::MediaTime;
use crate::engine::twilio::message::Track;

fn played(script: &str) -> String {
    let mut lines = script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut rig = called(lines.next().unwrap());
    for line in lines {
        rig.golden.input(line);
        let words: Vec<_> = line.split_whitespace().collect();
        let ms = |n: usize| words[n].parse::<u64>().unwrap_or_else(|_| panic!("{line}"));
        match words[0] {
            "ledger" => {
                rig.mood = match words[1] {
                    "prompt" => LedgerMood::Prompt,
                    "slow" => LedgerMood::SlowMs(ms(2)),
                    "fails" => LedgerMood::Fails,
                    "silent" => LedgerMood::Silent,
                    other => panic!("no ledger is {other}"),
                }
            }
            "start" => {
                let mode = match words[1] {
                    "consent" => Mode::Consent,
                    "stay" => Mode::Stay,
                    "capture" => Mode::Capture,
                    other => panic!("no mode is {other}"),
                };
                let answered_by = words.iter().position(|word| *word == "answered-by").map(|at| words[at + 1]);
                rig.start_with(mode, [true, words.contains(&"both")], answered_by);
            }
            "quiet" => drop(rig.quiet(ms(1))),
            "talk" => {
                for _ in 0..ms(1) / 20 {
                    let (client, other) = (rig.floor(), rig.floor());
                    let timestamp = MediaTime(rig.media_ms);
                    rig.frame(&client);
                    rig.raw(rig.sequence, rig.chunk(), timestamp, &other, Track::Outbound);
                }
            }
            // The client's track stops, the other party's goes on.
            "other" => {
                let (clock, chunk) = (rig.media_ms, rig.chunk());
                for n in 0..ms(1) / 20 {
                    rig.pass(20);
                    let other = rig.floor();
                    rig.raw(rig.sequence, chunk + 1 + n, MediaTime(clock + n * 20), &other, Track::Outbound);
                }
            }
            "silence" => drop(rig.say(&vec![0xFF; 8 * ms(1) as usize])),
            "tone" => drop(rig.say(&tone(words[1].chars().next().unwrap(), ms(2) as usize, ms(3) as usize))),
            "key" => drop(rig.key(words[1].chars().next().unwrap())),
            "lose" => drop(rig.lose(ms(1))),
            "pass" => drop(rig.pass(ms(1))),
            "stop" => drop(rig.stop()),
            "opt-out" => {
                rig.step(Input::OptOut { actor: Actor::User { id: "cm".into(), name: "Case Manager".into() }, reason: None, since: None })
            }
            "machine" => rig.step(Input::AnsweredBy("machine_start")),
            "sink-fails" => rig.step(Input::SinkFailed),
            "hung-up" => drop(rig.hang_up()),
            "shutdown" => rig.step(Input::Shutdown),
            other => panic!("no step is called {other}"),
        }
    }
    rig.golden.told(&rig.call)
}

fn called(line: &str) -> Rig {
    let words: Vec<_> = line.split_whitespace().collect();
    let direction = match words[1] {
        "inbound" => Direction::Inbound,
        "outbound" => Direction::Outbound,
        other => panic!("no direction is {other}"),
    };
    let status = match words[2] {
        "pending" => ConsentStatus::Pending,
        "granted" => ConsentStatus::Granted,
        "revoked" => ConsentStatus::Revoked,
        other => panic!("no consent is {other}"),
    };
    let on_opt_out = if words.contains(&"discard") { OnOptOut::DiscardCall } else { OnOptOut::KeepConsented };
    Rig::new(Settings { on_opt_out, ..Settings::default() }, direction, status)
}

#[test]
fn every_scripted_call_leaves_the_trace_that_is_kept() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/traces");
    let mut scripts: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|ending| ending == "call"));
    scripts.sort();
    assert!(scripts.len() >= 15, "the scripts are there");
    let bless = std::env::var_os("BLESS").is_some_and(|value| value == "1");
    let mut changed = Vec::new();
    for script in scripts {
        let told = played(&fs::read_to_string(&script).unwrap());
        let kept = script.with_extension("trace");
        if bless {
            fs::write(&kept, &told).unwrap();
        } else if let Some(difference) = difference(&fs::read_to_string(&kept).unwrap_or_default(), &told) {
            changed.push(format!("{}: {difference}", kept.display()));
        }
    }
    assert!(changed.is_empty(), "if it is meant, BLESS=1 writes it down:\n{}", changed.join("\n"));
}

/// The first line that is another.
fn difference(kept: &str, told: &str) -> Option<String> {
    if kept == told {
        return None;
    }
    let (mut kept, mut told) = (kept.lines(), told.lines());
    for number in 1.. {
        match (kept.next(), told.next()) {
            (None, None) => break,
            (one, other) if one == other => {}
            (one, other) => {
                return Some(format!("line {number}\n  kept {}\n  told {}", one.unwrap_or("nothing"), other.unwrap_or("nothing")));
            }
        }
    }
    Some("the ends of lines differ".to_owned())
}
