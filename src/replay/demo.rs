//! The demo: every built-in scenario once, and a table of what came of it that a person enjoys reading.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

use super::report::{cut_ms, table};
use super::{CallOutcome, Failure, ReplayError, Scenario, Target, disk, play};

/// Times real time: the longest scenario, digital silence asked twice, is a minute of media.
const SPEED: f64 = 4.0;

/// Plays the demo against a gateway whose data lie in `folder`; `true` if every call came out as its scenario says.
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
    let mut outcomes = play(&target, &scenarios, scenarios.len(), 50.0, usize::MAX, |_, _| {}).await;
    // Of a call without a recording the API can only say that there is none.
    let on_disk = tokio::task::block_in_place(|| disk::look(folder, &outcomes))
        .map_err(|why| ReplayError::Look { path: folder.display().to_string(), source: why })?;
    let mut strays = Vec::new();
    for (call, failure) in on_disk.failures {
        match call.and_then(|call| outcomes.get_mut(call)) {
            Some(outcome) => outcome.failures.push(failure),
            None => strays.push(failure),
        }
    }
    let mut rows = table(["call", "asked", "answered", "decided", "captured", "withheld", "cut", "stored", ""]);
    for outcome in &outcomes {
        rows.add_row(row(outcome));
    }
    println!("{rows}");
    println!("♪ by its tone alone; recordings lie under {}", folder.join("objects/recordings").display());
    for limit in limits(&outcomes) {
        println!("† as things are, {limit}");
    }
    let of_calls = outcomes.iter().flat_map(|outcome| outcome.failures.iter().map(|why| format!("  {}: {why}", outcome.scenario.name)));
    let failures: Vec<String> = of_calls.chain(strays.iter().map(|why: &Failure| format!("  of no call: {why}"))).collect();
    if failures.is_empty() {
        println!("\nevery call came out as its scenario says: in the recordings lie exactly the frames that consent covers");
        println!(
            "looked for on the disk, in {} files: nothing of the {} calls without a recording, and of no call anything that was withheld",
            on_disk.files, on_disk.unrecorded
        );
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
