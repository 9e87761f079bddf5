//! The demo: every built-in scenario once, and a table of what came of it that a person enjoys reading.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

use super::report::{cut_ms, table};
use super::{CallOutcome, ReplayError, Scenario, Target, play};

/// Times real time: the longest scenario, digital silence asked twice, is a minute of media.
const SPEED: f64 = 4.0;

/// Plays the demo against a gateway whose objects lie in `folder`; `true` if every call came out as its scenario says.
///
/// # Errors
/// [`ReplayError`].
pub async fn demo(gateway: SocketAddr, token: String, folder: &Path) -> Result<bool, ReplayError> {
    let scenarios = Scenario::built_in()?;
    let target = Target {
        url: format!("ws://{gateway}/twilio/media"),
        api: format!("http://{gateway}"),
        token: Some(token),
        auth_token: None,
        speed: SPEED,
        seed: 735,
    };
    println!("{} calls at {SPEED} times real time; each recording is opened and searched, frame by frame\n", scenarios.len());
    let outcomes = play(&target, &scenarios, scenarios.len(), 50.0, usize::MAX, |_, _| {}).await;
    let mut rows = table(["call", "asked", "answered", "decided", "captured", "withheld", "cut", "stored", ""]);
    for outcome in &outcomes {
        rows.add_row(row(outcome));
    }
    println!("{rows}");
    println!("♪ by its tone alone; recordings lie under {}", folder.join("objects/recordings").display());
    for limit in limits(&outcomes) {
        println!("† as things are, {limit}");
    }
    let failures: Vec<String> =
        outcomes.iter().flat_map(|outcome| outcome.failures.iter().map(|why| format!("  {}: {why}", outcome.scenario.name))).collect();
    if failures.is_empty() {
        println!("\nevery call came out as its scenario says: in the recordings lie exactly the frames that consent covers");
    } else {
        println!("\nnot as the scenario says:\n{}", failures.join("\n"));
    }
    Ok(failures.is_empty())
}

/// What is known to be wanting, so that nobody takes a ✓ for more than it says.
fn limits(outcomes: &[CallOutcome]) -> impl Iterator<Item = &str> {
    outcomes.iter().filter_map(|outcome| outcome.scenario.limit.as_deref())
}

fn row(outcome: &CallOutcome) -> [String; 9] {
    let none = Value::Null;
    let call = outcome.found.call.as_ref().unwrap_or(&none);
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let count = |value: &Value| {
        let frames = value["inbound"].as_u64().unwrap_or(0) + value["outbound"].as_u64().unwrap_or(0);
        if frames == 0 { "-".to_owned() } else { format!("{frames}") }
    };
    let asked = if outcome.seen.first_audio_ms.is_some() { text(&call["consent"]["languageCode"]) } else { "-".into() };
    let keys: Vec<String> = outcome
        .scenario
        .steps
        .iter()
        .filter_map(|step| step.key.map(|key| format!("{key}{}", if step.by.as_deref() == Some("tone") { "♪" } else { "" })))
        .collect();
    let answered = match (keys.len(), text(&call["consent"]["method"]).as_str()) {
        (0, "SILENCE_TIMEOUT") => "stayed".to_owned(),
        (0, _) => "-".to_owned(),
        (1..=3, _) => keys.join(" "),
        (many, _) => format!("{} … ({many} keys)", keys[..2].join(" ")),
    };
    let decided = match text(&call["consent"]["status"]).as_str() {
        "GRANTED" => "granted".to_owned(),
        "REVOKED" => "declined".to_owned(),
        _ if call["phase"] == "ABANDONED" => "hung up".to_owned(),
        _ => "no consent".to_owned(),
    };
    let cut = cut_ms(outcome).map_or("-".into(), |ms| format!("{ms:.0} ms before the key"));
    let stored = outcome.found.recording.as_ref().and_then(|recording| recording["objectKey"].as_str());
    let stored = match (stored, call["recording"]["state"].as_str()) {
        (Some(key), _) => {
            let name = key.rsplit('/').next().unwrap_or(key);
            format!("…{}", name.char_indices().rev().nth(13).map_or(name, |(at, _)| &name[at..]))
        }
        (None, Some("DISCARDED")) => "discarded".into(),
        (None, _) => "nothing".into(),
    };
    let frames = &call["recording"];
    [
        format!("{}{}", outcome.scenario.name, if outcome.scenario.limit.is_some() { " †" } else { "" }),
        asked,
        answered,
        decided,
        count(&frames["framesCaptured"]),
        count(&frames["framesWithheld"]),
        cut,
        stored,
        if outcome.failures.is_empty() { "✓" } else { "✗" }.into(),
    ]
}
