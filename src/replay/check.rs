//! The look afterwards: not at what the gateway says of itself, but into the recording.
//!
//! Every frame sent was different, so every frame in the recording can be named. What must not be there is looked for at
//! every sample, not only where a frame would lie.

use std::collections::{HashMap, HashSet};
use std::io::Cursor;
use std::time::Duration;

use serde_json::Value;

use super::Target;
use super::line::FRAME;
use super::scenario::{Expect, Scenario};
use super::twilio::Seen;
use crate::engine::audio::g711;
use crate::engine::audio::keytone::Detector;

/// A recording must be stored this long after its call.
const STORED_WITHIN: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// So many codes name a frame.
const ANCHOR: usize = 40;
/// The ten seconds of silence, in frames, less what a media clock may be off.
const WINDOW_FRAMES: usize = 490;

/// What was found.
#[derive(Default)]
pub struct Found {
    /// The call's JSON at the end.
    pub call: Option<Value>,
    /// The recording's.
    pub recording: Option<Value>,
    /// Why something could not be asked.
    pub trouble: Option<String>,
    /// Numbers of the frames in the recording, in order; `None` if it was not opened.
    pub frames: Option<Vec<usize>>,
    /// Frames of before the decision, or from the key's first sample on, of which a piece lies in the recording.
    pub foreign: Vec<usize>,
    /// Key tones in the recording.
    pub tones: usize,
    /// Bytes of the recording.
    pub bytes: usize,
}

/// Asks, and opens the recording.
pub(super) async fn look(target: &Target, seen: &Seen, inspect: bool) -> Found {
    let mut found = Found::default();
    let Some(token) = target.token.as_deref().filter(|_| seen.refused.is_none()) else { return found };
    let client = reqwest::Client::new();
    let ask = async |path: String| -> Result<reqwest::Response, String> {
        let answer = client.get(format!("{}{path}", target.api)).bearer_auth(token).send().await.map_err(|why| why.to_string())?;
        if answer.status().is_success() { Ok(answer) } else { Err(format!("{path} answers {}", answer.status())) }
    };
    let until = tokio::time::Instant::now() + STORED_WITHIN;
    loop {
        let asked = async {
            let calls: Value = ask(format!("/api/calls?callSid={}", seen.call_sid)).await?.json().await.map_err(|why| why.to_string())?;
            Ok::<_, String>(calls["calls"][0].clone())
        };
        match asked.await {
            Ok(call) => {
                let state = call["recording"]["state"].as_str().unwrap_or_default();
                // A call that was handed back goes on elsewhere, and nobody here sees its end.
                let handed_back = seen.closed_by_gateway && call["phase"] == "CONNECTED" && state == "NOT_STARTED";
                let over = !call["endedAt"].is_null() && !matches!(state, "ACTIVE" | "HALTED" | "PAUSED");
                let settled = over || handed_back;
                found.trouble = None;
                found.call = (!call.is_null()).then_some(call);
                if settled {
                    break;
                }
            }
            Err(why) => found.trouble = Some(why),
        }
        if tokio::time::Instant::now() >= until {
            found.trouble.get_or_insert_with(|| "the call did not settle".into());
            return found;
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
    let id = found.call.as_ref().and_then(|call| call["recording"]["recordingId"].as_str()).map(str::to_owned);
    let stored = found.call.as_ref().is_some_and(|call| call["recording"]["state"] == "FINISHED");
    if let (Some(id), true, true) = (id, stored, inspect) {
        let opened = async {
            let row: Value = ask(format!("/api/recordings/{id}")).await?.json().await.map_err(|why| why.to_string())?;
            let bytes = ask(format!("/api/recordings/{id}/audio")).await?.bytes().await.map_err(|why| why.to_string())?;
            Ok::<_, String>((row, bytes))
        };
        match opened.await {
            Ok((row, bytes)) => {
                found.bytes = bytes.len();
                if row["format"] == "wav" {
                    search(&bytes, seen, &mut found);
                }
                found.recording = Some(row);
            }
            Err(why) => found.trouble = Some(why),
        }
    }
    found
}

/// Names the frames in a recording.
fn search(wav: &[u8], seen: &Seen, found: &mut Found) {
    let Ok(reader) = hound::WavReader::new(Cursor::new(wav)) else {
        found.trouble = Some("the recording is no WAV".into());
        return;
    };
    let samples: Vec<i16> = reader.into_samples::<i16>().map_while(Result::ok).collect();
    let left: Vec<i16> = samples.iter().step_by(2).copied().collect();
    let codes: Vec<u8> = left.iter().map(|sample| g711::encode(*sample)).collect();
    let silent = |piece: &[u8]| piece.iter().all(|code| g711::decode(*code) == 0);
    let normal = |codes: &[u8]| -> Vec<u8> { codes.iter().map(|code| g711::encode(g711::decode(*code))).collect() };
    let mut names: HashMap<Vec<u8>, usize> = HashMap::new();
    for (n, frame) in seen.frames.iter().enumerate() {
        for piece in frame.chunks(ANCHOR) {
            if !silent(piece) {
                names.insert(normal(piece), n);
            }
        }
    }
    // At every sample: which frames have a piece here?
    let mut pieces: HashMap<usize, usize> = HashMap::new();
    for at in 0..codes.len().saturating_sub(ANCHOR - 1) {
        if let Some(n) = names.get(&codes[at..at + ANCHOR]) {
            *pieces.entry(*n).or_default() += 1;
        }
    }
    let mut whole: Vec<usize> = pieces.iter().filter(|(_, count)| **count >= FRAME / ANCHOR).map(|(n, _)| *n).collect();
    whole.sort_unstable();
    let mut any: Vec<usize> = pieces.into_keys().collect();
    any.sort_unstable();
    found.foreign = any;
    found.frames = Some(whole);
    let mut tones = 0;
    let mut detector = Detector::new();
    detector.feed(&left, |heard| tones += usize::from(matches!(heard, crate::engine::audio::keytone::Heard::Began { .. })));
    found.tones = tones;
}

/// What did not come true, a sentence each.
pub(super) fn failures(scenario: &Scenario, seen: &Seen, found: &Found, asked: bool) -> Vec<String> {
    let mut failures = Vec::new();
    if let Some(why) = &seen.refused {
        return vec![format!("the call did not take place: {why}")];
    }
    if !asked {
        if seen.first_audio_ms.is_none() && scenario.direction == "INBOUND" {
            failures.push("no prompt was heard".into());
        }
        return failures;
    }
    if let Some(why) = &found.trouble {
        failures.push(format!("the gateway could not be asked: {why}"));
    }
    let Some(call) = &found.call else {
        failures.push("the gateway knows no such call".into());
        return failures;
    };
    let Expect { consent, method, language, phase, recording, reason, .. } = &scenario.expect;
    for (what, expected, at) in [
        ("consent", consent, &call["consent"]["status"]),
        ("method", method, &call["consent"]["method"]),
        ("language", language, &call["consent"]["languageCode"]),
        ("phase", phase, &call["phase"]),
        ("recording", recording, &call["recording"]["state"]),
        ("reason", reason, &call["unrecordedReason"]),
    ] {
        if let Some(expected) = expected
            && at.as_str().unwrap_or("null") != expected
        {
            failures.push(format!("{what}: expected {expected}, seen {at}"));
        }
    }
    if let Some(frames) = &found.frames {
        recorded(scenario, seen, found, frames, call, &mut failures);
    }
    failures
}

/// Whether exactly the frames that consent covers lie in the recording.
fn recorded(scenario: &Scenario, seen: &Seen, found: &Found, frames: &[usize], call: &Value, failures: &mut Vec<String>) {
    if found.tones > 0 {
        failures.push(format!("{} key tones can be heard in the recording", found.tones));
    }
    let (Some(first), Some(last)) = (frames.first().copied(), frames.last().copied()) else {
        failures.push("none of the caller's frames is in the recording".into());
        return;
    };
    let granting = match scenario.expect.method.as_deref() {
        Some("SILENCE_TIMEOUT") => seen.prompt_heard_at.map_or(0, |at| at + WINDOW_FRAMES),
        _ => seen.presses.iter().rev().nth(seen.presses.len().saturating_sub(1)).map_or(0, |(at, _, _)| *at),
    };
    let granting = if call["consent"]["prior"] == true { 0 } else { granting };
    let cut = scenario.expect.cut_at_key.and_then(|n| seen.presses.get(n - 1)).map(|(at, _, _)| *at);
    let end = cut.unwrap_or(seen.frames.len());
    if let Some(n) = found.foreign.iter().find(|n| **n < granting || **n >= end) {
        let total = found.foreign.iter().filter(|n| **n < granting || **n >= end).count();
        failures.push(format!("frame {n} is in the recording, where only {granting}..{end} may be ({total} such frames)"));
    }
    let toned: HashSet<usize> = seen
        .presses
        .iter()
        .filter(|(_, tone, _)| *tone)
        .flat_map(|(at, _, ms)| at.saturating_sub(1)..at + usize::try_from(ms / 20).unwrap_or(0) + 2)
        .collect();
    let by_event: HashSet<usize> =
        seen.presses.iter().filter(|(_, tone, _)| !tone).flat_map(|(at, _, _)| at.saturating_sub(12)..at + 12).collect();
    let there: HashSet<usize> = frames.iter().copied().collect();
    let missing: Vec<usize> =
        (first..=last).filter(|n| !there.contains(n) && !toned.contains(n) && !by_event.contains(n) && !seen.lost.contains(n)).collect();
    if !missing.is_empty() {
        failures.push(format!("{} consented frames are missing, the first is {}", missing.len(), missing[0]));
    }
    if let Some(cut) = cut {
        let lost = cut.saturating_sub(last + 1) as u64;
        if lost > scenario.expect.lost_at_most {
            failures.push(format!("{lost} consented frames before the cut are missing; {} may be", scenario.expect.lost_at_most));
        }
    } else if last + 1 < seen.frames.len() && !toned.contains(&(last + 1)) && !by_event.contains(&(last + 1)) {
        failures.push(format!("the recording ends at frame {last} of {}", seen.frames.len()));
    }
    let captured = call["recording"]["framesCaptured"]["inbound"].as_u64().unwrap_or(0);
    let most = (last + 1 - first + toned.len() + by_event.len()) as u64;
    if captured < frames.len() as u64 || captured > most {
        failures.push(format!("the gateway says {captured} frames are captured; {} are in the recording", frames.len()));
    }
}
