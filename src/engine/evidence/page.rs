//! The evidence as a page for people: the questions of an audit in their order, each with its answer, then what the answers
//! rest on. Made of the same data as `evidence.json`; needs nothing but itself, runs no script, prints on paper.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use super::draft::{Evidence, Opened};
use super::{CHECKPOINT, ENTRIES, EVIDENCE, MANIFEST, RECORDS};
use crate::engine::consent::{Actor, ConsentRecord};

const STYLE: &str = include_str!("page.css");
/// A detail deeper than that is shown as JSON.
const DEPTH_MAX: usize = 3;

/// The whole page.
pub(super) fn page(evidence: &Evidence, records: &[Opened]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { "Evidence of call " (evidence.call_id) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Evidence of call " (evidence.call_id) }
                    p.soft {
                        "Organisation " (evidence.org_id) " · client " (evidence.client_id) " · handed out " (evidence.exported_at)
                        " to " (evidence.exported_by)
                    }
                    ul.verdict { @for (class, word) in verdict(evidence) { li class=(class) { (word) } } }
                }
                (answers(evidence))
                (consent(records))
                (journey(evidence))
                (stored(evidence))
                (chain(evidence))
                (checking())
            }
        }
    }
}

/// The call in a few words.
fn verdict(evidence: &Evidence) -> Vec<(&'static str, String)> {
    let call = &evidence.call;
    let recorded = call["isRecorded"] == true;
    let deleted = evidence.chain.under("deletions").iter().any(|entry| entry["kind"] == "recording.deleted");
    let recording = match (recorded, deleted) {
        (_, true) => ("", "The recording was deleted".to_owned()),
        (true, false) => ("good", "Recorded".to_owned()),
        (false, false) => ("", "Not recorded".to_owned()),
    };
    let answer = match word(&call["consent"]["status"]) {
        "GRANTED" => ("good", "Consent given".to_owned()),
        "REVOKED" => ("", "Client opted out".to_owned()),
        _ => ("", "No answer that counts".to_owned()),
    };
    let faults = evidence.chain.under("exceptions").len();
    let exceptions = match faults {
        0 => ("good", "No exceptions".to_owned()),
        1 => ("bad", "1 exception".to_owned()),
        many => ("bad", format!("{many} exceptions")),
    };
    vec![answer, recording, ("", title(word(&call["phase"]))), exceptions]
}

/// The questions by which a recording is audit-ready or not.
fn answers(evidence: &Evidence) -> Markup {
    let (call, chain) = (&evidence.call, &evidence.chain);
    let count = |name: &str, none: &str| match chain.under(name).len() {
        0 => none.to_owned(),
        1 => format!("1 event: {}", says(&chain.under(name)[0])),
        many => format!("{many} events, the last: {}", says(&chain.under(name)[many - 1])),
    };
    let recording = &call["recording"];
    let rows: [(&str, Markup); 14] = [
        (
            "Ids",
            html! { "call " code { (evidence.call_id) } ", at Twilio " code { (word(&call["callSid"])) } ", recording " (coded(&recording["recordingId"])) },
        ),
        (
            "Journey",
            html! { (title(word(&call["direction"]))) ", case manager " (coded(&call["caseManagerId"])) "; " (evidence.journey.len()) " steps, below" },
        ),
        (
            "Start and end",
            html! { (shown(&call["startedAt"])) " to " (shown(&call["endedAt"])) @if let Some(seconds) = call["durationSeconds"].as_u64() { ", " (seconds) " s" } },
        ),
        (
            "Prompt delivered",
            html! {
                @if chain.prompts.is_empty() { "No entry of the chain tells of a prompt" }
                @for told in &chain.prompts { @let prompt = &told["prompt"];
                    p {
                        "Language " (word(&prompt["language"])) ", version " (word(&prompt["version"]))
                        @if let Some(played) = prompt["playedMs"].as_u64() { ", at least " (played / 1_000) "." (format!("{:03}", played % 1_000)) " s of it played" }
                        @if let Some(plays) = prompt["plays"].as_u64() { ", begun " (plays) @if plays == 1 { " time" } @else { " times" } }
                        " (entry " (told["entry"]) @if told["callId"] != *evidence.call_id { ", on another call of the client" } ")" br;
                        span.soft { "SHA-256 of its audio " } code { (word(&prompt["sha256"])) }
                    }
                }
            },
        ),
        (
            "Answer",
            html! {
                (answer(call))
                @for entry in chain.under("consent").iter().filter(|entry| entry["callId"] == *evidence.call_id) { p { (says(entry)) " (entry " (shown(&entry["seq"])) ")" } }
            },
        ),
        ("Opt-outs", html! { (count("optOuts", "None")) }),
        ("Pauses", html! { (count("pauses", "None")) }),
        ("Transfers", html! { (count("transfers", "None")) }),
        ("Transcripts", html! { (count("transcripts", "None was made")) }),
        ("Redaction", html! { (redaction(evidence)) }),
        ("Accesses", html! { (count("accesses", "None before this one")) "; and this export" }),
        ("Retention", html! { (retention(evidence)) }),
        ("Deletion", html! { (count("deletions", "Nothing was deleted")) }),
        ("Exceptions", html! { (count("exceptions", "None")) }),
    ];
    html! {
        h2 { "What an audit asks" }
        table.answers { tbody { @for (question, answer) in &rows { tr { th scope="row" { (question) } td { (answer) } } } } }
    }
}

fn answer(call: &Value) -> String {
    let consent = &call["consent"];
    let how = match word(&consent["method"]) {
        "KEYPRESS" => "by a key",
        "SILENCE_TIMEOUT" => "implied: the client heard the whole prompt and stayed on the line",
        "VERBAL" => "said aloud",
        "WRITTEN" => "in writing, or through the main app",
        _ => "",
    };
    let what = match word(&consent["status"]) {
        "GRANTED" if consent["prior"] == true => "Accepted before this call",
        "GRANTED" => "Accepted",
        "REVOKED" if call["isRecorded"] == true => "Withdrawn in the course of the call",
        "REVOKED" => "Declined",
        _ => "No answer that counts",
    };
    let why = call["unrecordedReason"].as_str().map(|why| format!("; unrecorded: {}", title(why))).unwrap_or_default();
    let at = consent["grantedAt"].as_str().map(|at| format!(" at {at}")).unwrap_or_default();
    if how.is_empty() { format!("{what}{at}{why}") } else { format!("{what}, {how}{at}{why}") }
}

fn redaction(evidence: &Evidence) -> String {
    let told = evidence.chain.under("transcripts").iter().rev().find_map(|entry| entry.pointer("/detail/redaction"));
    match told {
        Some(redaction) => format!("Of the newest transcript: {}", plain(redaction)),
        None if evidence.chain.under("transcripts").is_empty() => {
            "There is no transcript; of the audio only what consent covered was captured".to_owned()
        }
        None => "The chain does not say".to_owned(),
    }
}

fn retention(evidence: &Evidence) -> Markup {
    let rows = evidence.stored.get("retention").map_or(&[][..], Vec::as_slice);
    let held = evidence.stored.get("holds").is_some_and(|holds| holds.iter().any(|hold| hold["liftedAt"].is_null()));
    html! {
        @if rows.is_empty() { "Kept: no revocation has queued anything of this call" }
        @for row in rows {
            p {
                "Queued " (shown(&row["queuedAt"])) " by the revocation in entry " (shown(&row["revocation"])) ", due " (shown(&row["dueAt"]))
                @if row["deletedAt"].is_string() { ", deleted " (shown(&row["deletedAt"])) }
            }
        }
        @if held { p { "A legal hold keeps it past any date" } }
    }
}

/// The consent records that whoever asked may read.
fn consent(records: &[Opened]) -> Markup {
    let read = |opened: &Opened| Some((opened.entry, serde_json::from_str::<ConsentRecord>(&opened.record).ok()?));
    let records: Vec<_> = records.iter().filter_map(read).collect();
    html! {
        @if !records.is_empty() {
            h2 { "Consent records" }
            table {
                thead { tr { th.time { "When" } th.what { "What" } th.who { "By" } th { "How" } th.no { "Entry" } } }
                tbody { @for (entry, record) in &records { tr {
                    td.time { (record.at) }
                    td.what { (title(word(&serde_json::to_value(record.status).unwrap_or_default()))) }
                    td.who { (named(&record.actor)) }
                    td {
                        (title(word(&serde_json::to_value(record.method).unwrap_or_default()))) ", " (record.language_code) " " (record.prompt_version)
                        @if let Some(call) = &record.call_id { ", on call " code { (call) } }
                        @if let Some(reason) = &record.reason { br; "“" (reason) "”" }
                    }
                    td.no { (entry) }
                } } }
            }
        }
    }
}

fn named(actor: &Actor) -> String {
    match actor {
        Actor::Client { .. } => "the client".to_owned(),
        Actor::User { id, name } if name.is_empty() => id.clone(),
        Actor::User { id, name } => format!("{name} ({id})"),
        Actor::System => "callgate".to_owned(),
    }
}

fn journey(evidence: &Evidence) -> Markup {
    html! {
        @if !evidence.journey.is_empty() {
            h2 { "Journey" }
            table {
                thead { tr { th.time { "When" } th.what { "What is new" } th { "Phase" } th.no { "Step" } } }
                tbody { @for step in &evidence.journey { tr {
                    td.time { (shown(&step["at"])) }
                    td.what { (plain(&step["kinds"])) }
                    td { (title(word(&step["phase"]))) }
                    td.no { (shown(&step["version"])) }
                } } }
            }
        }
    }
}

/// Rows of other tables.
fn stored(evidence: &Evidence) -> Markup {
    html! {
        @for (table, rows) in &evidence.stored { @if !rows.is_empty() {
            h2 { "Stored: " (table) }
            @for row in rows { (facts(row)) br; }
        } }
    }
}

/// Every entry under the first heading that is its own, in the chain's order.
fn chain(evidence: &Evidence) -> Markup {
    let mut entries: Vec<&Value> = evidence.chain.sections.values().flatten().collect();
    entries.sort_by_key(|entry| entry["seq"].as_u64());
    entries.dedup_by_key(|entry| entry["seq"].as_u64());
    html! {
        h2 { "The chain's entries about this call and its client's consent" }
        p.soft { "As they stand in the chain. Actors and clients are told by id alone; no audio, no digits, no words of the call enter it." }
        table {
            thead { tr { th.time { "When" } th.what { "What" } th.who { "By" } th { "Detail" } th.no { "Entry" } } }
            tbody { @for entry in entries { tr {
                td.time { (shown(&entry["at"])) }
                td.what { (said(entry)) @if entry["callId"].is_string() && entry["callId"] != *evidence.call_id { br; span.soft { "on another call" } } }
                td.who { (by(&entry["actor"])) }
                td { (facts(&entry["detail"])) }
                td.no { (shown(&entry["seq"])) }
            } } }
        }
    }
}

fn checking() -> Markup {
    html! {
        h2 { "How to check this" }
        ol {
            li { code { "callgate evidence verify FILE.zip --key PUBLIC" } ", with the key that " code { "callgate audit key" } " prints at the gateway, got by another way than this file." }
            li { code { (CHECKPOINT) } " is signed (Ed25519, C2SP signed note) and holds the size and the Merkle root (RFC 6962) of the organisation's chain." }
            li { "Each line of " code { (ENTRIES) } " is one entry; its " code { ".tlog-proof" } " (C2SP) leads from its hash to that root." }
            li { "The last entry is this export's own. It commits to " code { (MANIFEST) } ", which holds the digests of this page, of " code { (EVIDENCE) } " and of " code { (RECORDS) } "." }
        }
        p.soft { "What the chain cannot show is what never entered it. Rows under “Stored” and the journey are the gateway's own word at the time of the export, fixed by its entry." }
    }
}

/// What an entry says, in a line.
fn says(entry: &Value) -> String {
    format!("{}, {}, {}", said(entry), word(&entry["at"]), by(&entry["actor"]))
}

fn said(entry: &Value) -> String {
    let kind = word(&entry["kind"]);
    let text = match kind {
        "consent.granted" => "Consent given",
        "consent.revoked" => "Consent withdrawn",
        "consent.annulled" => "Consent was none: a machine's silence",
        "consent.abandoned" => "Hung up while being asked",
        "consent.viewed" => "Consent looked at",
        "call.placed" => "Call placed",
        "call.unreached" => "Nobody reached",
        "call.unrecorded" => "Goes on unrecorded",
        "recording.started" => "Recording began",
        "recording.finished" => "Recording stored and proven",
        "recording.halted" => "Recording stopped by an opt-out",
        "recording.discarded" => "Recording destroyed",
        "recording.failed" => "Recording not kept",
        "recording.paused" => "Paused",
        "recording.resumed" => "Resumed",
        "recording.pause_expired" => "A pause was forgotten: the recording ended",
        "recording.read" => "Recording read",
        "transcript.redacted" => "More of the transcript masked",
        "recording.queued" => "Queued for deletion",
        "recording.deleted" => "Recording deleted, seen to be gone",
        "hold.placed" => "Legal hold placed",
        "hold.lifted" => "Legal hold lifted",
        "interaction.logged" => "Unrecorded call logged",
        "task.completed" => "Call documented",
        "spool.destroyed" => "Spool without a grant destroyed",
        "access.denied" => "Access denied",
        "artifact.registered" => "Artifact made elsewhere",
        "artifact.queued" => "Artifacts queued for deletion",
        "artifact.asked" => "Owner asked to delete an artifact",
        "artifact.overdue" => "Artifact not confirmed deleted in time",
        "artifact.deleted" => "Artifact deleted, by its owner's word",
        "evidence.exported" => "Evidence handed out",
        other => return other.to_owned(),
    };
    text.to_owned()
}

fn by(actor: &Value) -> String {
    match word(&actor["kind"]) {
        "CLIENT" => "the client".to_owned(),
        "SYSTEM" => "callgate".to_owned(),
        _ => word(&actor["id"]).to_owned(),
    }
}

/// A value's members as a list of terms.
fn facts(value: &Value) -> Markup {
    let mut lines = Vec::new();
    flatten("", value, DEPTH_MAX, &mut lines);
    html! { dl { @for (name, value) in &lines { dt { (name) } dd { (value) } } } }
}

fn flatten(name: &str, value: &Value, depth: usize, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) if depth > 0 => {
            for (member, value) in members {
                let name = if name.is_empty() { member.clone() } else { format!("{name}.{member}") };
                flatten(&name, value, depth - 1, lines);
            }
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            lines.push((name.to_owned(), plain(value)));
        }
    }
}

/// A value for people.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) if values.iter().all(|value| !value.is_object() && !value.is_array()) => {
            values.iter().map(plain).collect::<Vec<_>>().join(", ")
        }
        Value::Null => "none".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn shown(value: &Value) -> String {
    if value.is_null() { "—".to_owned() } else { plain(value) }
}

fn coded(value: &Value) -> Markup {
    match value.as_str().filter(|text| !text.is_empty()) {
        Some(text) => html! { code { (text) } },
        None => html! { "none" },
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `CLIENT_OPT_OUT` as `Client opt out`.
fn title(word: &str) -> String {
    let lower = word.to_lowercase().replace('_', " ");
    let mut letters = lower.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
