//! The evidence of real calls, handed out by a gateway, and two verifiers that share no code: callgate's own and one in Python.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::common::{Caller, PERMISSIONS, Rig, claims};
use callgate::engine::evidence::{CHECKPOINT, ENTRIES, EVIDENCE, Files, KEY, MANIFEST, PAGE, RECORDS, proof_of};
use callgate::io::bundle::{pack, unpack};
use callgate::server::Given;
use serde_json::{Value, json};

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/evidence/verify.py");

async fn export_as(rig: &Rig, call: &str, token: &str) -> (u16, Vec<u8>) {
    let url = format!("http://{}/api/calls/{call}/evidence", rig.address());
    let answer = reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap();
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

pub(super) async fn export(rig: &Rig, call: &Value) -> Files {
    let (status, zip) = export_as(rig, call["callId"].as_str().unwrap(), &rig.token).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&zip));
    unpack(&zip).unwrap()
}

fn run(command: &mut Command) -> (i32, String) {
    let ran = command.output().unwrap();
    (ran.status.code().unwrap(), String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap())
}

/// What both verifiers say of a bundle, which must be the same.
fn verdict(folder: &Path, files: &Files, keys: &[&str]) -> (bool, String) {
    let zip = folder.join("bundle.zip");
    std::fs::write(&zip, pack(files).unwrap()).unwrap();
    let mut ours = Command::new(env!("CARGO_BIN_EXE_callgate"));
    ours.args(["evidence", "verify"]).arg(&zip).args(keys.iter().flat_map(|key| ["--key", *key])).current_dir(folder);
    let (code, said) = run(&mut ours);
    let (second, python) = run(Command::new("python3").arg(PYTHON).arg(&zip).args(keys));
    assert_eq!(code, second, "they do not agree: {said} / {python}");
    assert!(code == 0 || code == 1, "{said}");
    assert_eq!(code == 0, said.starts_with("verified ") && python.starts_with("verified "), "{said} / {python}");
    (code == 0, said)
}

fn json_of(files: &Files, name: &str) -> Value {
    serde_json::from_slice(&files[name]).unwrap()
}

fn kinds(evidence: &Value, section: &str) -> Vec<String> {
    let entries = evidence["chain"]["sections"][section].as_array().unwrap();
    entries.iter().map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect()
}

async fn key(rig: &Rig) -> String {
    callgate::server::checkpoint_key(rig.folder.path()).unwrap().unwrap().to_string()
}

/// A client who presses 1, talks through a pause, and hangs up.
async fn granted(rig: &Rig, sid: &str, client: &str) -> Value {
    let mut caller = Caller::talking_as(rig, sid, client).await;
    caller.frames(50).await;
    let call = rig.call(sid, |_| true).await;
    let route = format!("/api/calls/{}", call["callId"].as_str().unwrap());
    let (status, _) = rig.post_as(&format!("{route}/pause"), json!({ "reason": "PAYMENT" }), &rig.token).await;
    assert_eq!(status, 200);
    caller.frames(20).await;
    let (status, _) = rig.post_as(&format!("{route}/resume"), json!({ "reason": "PAYMENT" }), &rig.token).await;
    assert_eq!(status, 200);
    caller.frames(50).await;
    caller.stop().await;
    rig.call(sid, |call| call["recording"]["state"] == "FINISHED" && call["phase"] == "ENDED").await
}

/// A client who presses this key when asked, or hangs up.
async fn asked(rig: &Rig, sid: &str, client: &str, key: Option<&str>, phase: &str) -> Value {
    let mut caller = Caller::connect(rig.address(), sid, json!({ "mode": "stay", "clientId": client })).await;
    caller.frames(250).await;
    if let Some(key) = key {
        caller.key(key).await;
        caller.frames(100).await;
    }
    caller.stop().await;
    rig.call(sid, |call| call["phase"] == phase).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_on_any_call_is_told_and_both_verifiers_agree_on_it() {
    let rig = Rig::start(Given::default()).await;
    let folder = rig.folder.path();

    // Granted, paused, stored, read, revoked, queued, held.
    let call = granted(&rig, "CAgranted", "c1").await;
    let recording = call["recording"]["recordingId"].as_str().unwrap();
    assert_eq!(rig.get(&format!("/api/recordings/{recording}")).await.0, 200);
    let (status, _) = rig.post_as("/api/clients/c1/consent/revoke", json!({ "reason": "changed <her> mind" }), &rig.token).await;
    assert_eq!(status, 200);
    let (status, _) = rig.post_as("/api/clients/c1/legal-hold", json!({ "reason": "a dispute" }), &rig.token).await;
    assert_eq!(status, 200);
    let files = export(&rig, &call).await;
    let key = key(&rig).await;
    let (holds, said) = verdict(folder, &files, &[&key]);
    assert!(holds, "{said}");
    let (holds, said) = verdict(folder, &files, &[]);
    assert!(holds && said.contains(&format!("by the bundle's own word, with {key}")), "{said}");

    let evidence = json_of(&files, EVIDENCE);
    assert_eq!((&evidence["callId"], &evidence["exportedBy"]), (&call["callId"], &json!("tester")));
    assert_eq!((&evidence["call"]["recording"]["recordingId"], &evidence["call"]["endedAt"]), (&json!(recording), &call["endedAt"]));
    assert_eq!(evidence["stored"]["recordings"][0]["recordingId"], recording);
    assert!(evidence["stored"]["recordings"][0]["sha256"].is_string());
    assert_eq!(evidence["stored"]["retention"][0]["recordingId"], recording);
    assert!(evidence["stored"]["retention"][0]["dueAt"].is_string() && evidence["stored"]["holds"][0]["liftedAt"].is_null());
    let prompt = &evidence["chain"]["prompts"][0]["prompt"];
    assert!(prompt["sha256"].as_str().unwrap().len() == 64 && prompt["playedMs"].as_u64().unwrap() > 0, "{prompt}");
    assert!(!evidence["journey"].as_array().unwrap().is_empty());
    for (section, wanted) in [
        ("consent", vec!["consent.granted", "consent.revoked"]),
        ("optOuts", vec!["consent.revoked"]),
        ("pauses", vec!["recording.paused", "recording.resumed"]),
        ("accesses", vec!["recording.read"]),
        ("retention", vec!["recording.queued", "hold.placed"]),
        ("deletions", vec![]),
        ("exceptions", vec![]),
        ("other", vec![]),
    ] {
        assert_eq!(kinds(&evidence, section), wanted, "{section}");
    }
    let records = String::from_utf8(files[RECORDS].clone()).unwrap();
    assert_eq!(records.lines().count(), 2, "both of the client's decisions");
    assert!(records.contains("changed <her> mind"));
    let page = String::from_utf8(files[PAGE].clone()).unwrap();
    assert!(page.contains("changed &lt;her&gt; mind") && !page.contains("<her>"), "escaped");
    assert!(!String::from_utf8(files[ENTRIES].clone()).unwrap().contains("mind"), "no word of a person is in the chain");

    // Refused, halted in mid-call, abandoned: each tells its own.
    let refused = asked(&rig, "CArefused", "c2", Some("2"), "ENDED").await;
    let abandoned = asked(&rig, "CAabandoned", "c3", None, "ABANDONED").await;
    let mut caller = Caller::talking_as(&rig, "CAhalted", "c4").await;
    // Past the question, where a 2 would be its answer and take all of it back.
    caller.frames(600).await;
    caller.key("2").await;
    caller.frames(200).await;
    caller.stop().await;
    let halted = rig.call("CAhalted", |call| call["phase"] == "ENDED" && call["consent"]["status"] == "REVOKED").await;
    for (call, section, wanted) in [
        (&refused, "optOuts", "consent.revoked"),
        (&refused, "journey", "interaction.logged"),
        (&abandoned, "consent", "consent.abandoned"),
        (&halted, "optOuts", "recording.halted"),
    ] {
        let files = export(&rig, call).await;
        let (holds, said) = verdict(folder, &files, &[&key]);
        assert!(holds, "{said}");
        let told = kinds(&json_of(&files, EVIDENCE), section);
        assert!(told.iter().any(|kind| kind == wanted), "{wanted} is not among {told:?}");
    }

    // An earlier export is an access of the next one's.
    let again = export(&rig, &call).await;
    assert_eq!(kinds(&json_of(&again, EVIDENCE), "accesses"), ["recording.read", "evidence.exported"]);
    assert!(verdict(folder, &again, &[&key]).0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_for_those_who_may_and_that_they_had_it_is_written_down() {
    let rig = Rig::start(Given::default()).await;
    let call = asked(&rig, "CAone", "c1", Some("2"), "ENDED").await;
    let id = call["callId"].as_str().unwrap();
    let viewer = rig.token_of("u-view", "View", &["canViewClients", "canViewRecordings"], &["*"]);
    let stranger = rig.token_of("u-far", "Far", &PERMISSIONS, &["c2"]);
    let elsewhere = rig.gateway.tokens().mint(&claims(&PERMISSIONS, &["*"], "other-org")).unwrap();
    assert_eq!(export_as(&rig, id, &viewer).await.0, 403);
    assert_eq!(export_as(&rig, id, &stranger).await.0, 403);
    assert_eq!(export_as(&rig, id, &elsewhere).await.0, 404);
    assert_eq!(export_as(&rig, "none", &rig.token).await.0, 404);
    assert_eq!(export_as(&rig, id, "wrong").await.0, 401);
    let exports = async || rig.chain("c1").await.into_iter().filter(|entry| entry["kind"] == "evidence.exported").collect::<Vec<_>>();
    assert!(exports().await.is_empty(), "nobody had it");

    // Who may read the log and not the client's history gets this call's record, and no other's.
    asked(&rig, "CAtwo", "c1", Some("1"), "ENDED").await;
    let auditor = rig.token_of("u-audit", "Audit", &["canViewAuditLogs"], &["c1"]);
    let (status, zip) = export_as(&rig, id, &auditor).await;
    assert_eq!(status, 200);
    let files = unpack(&zip).unwrap();
    let decisions = kinds(&json_of(&files, EVIDENCE), "consent");
    assert_eq!(decisions, ["consent.revoked", "consent.granted"]);
    assert_eq!(String::from_utf8(files[RECORDS].clone()).unwrap().lines().count(), 1, "the other one's commitment stays shut");
    assert!(verdict(rig.folder.path(), &files, &[]).0);
    let told = exports().await;
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&told["actor"]["id"], &told["action"], &told["severity"]), (&json!("u-audit"), &json!("VIEW"), &json!("LOW")));
    assert_eq!((&told["callId"], &told["detail"]["outcome"]), (&call["callId"], &json!("ALLOWED")));
    let asked = r#"SELECT "orgId", "userId", "outcome" FROM "AccessLog" WHERE "what" = 'evidence' ORDER BY "orgId", "auditSeq""#;
    let log: Vec<[String; 3]> = crate::common::raw(rig.folder.path()).await.texts(asked).await;
    let told = [["default", "u-far", "DENIED"], ["default", "u-audit", "ALLOWED"], ["other-org", "tester", "DENIED"]];
    assert_eq!(log, told.map(|row| row.map(str::to_owned)));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_verifiers_refuse_whatever_is_done_to_a_bundle() {
    let rig = Rig::start(Given::default()).await;
    let folder = rig.folder.path();
    let call = asked(&rig, "CAone", "c1", Some("2"), "ENDED").await;
    let other = asked(&rig, "CAtwo", "c2", Some("2"), "ENDED").await;
    let (files, others) = (export(&rig, &call).await, export(&rig, &other).await);
    let key = key(&rig).await;
    assert!(verdict(folder, &files, &[&key]).0);
    let refused = |what: &str, changed: &Files| {
        let (holds, said) = verdict(folder, changed, &[&key]);
        assert!(!holds, "{what}: {said}");
        said
    };
    let lines: Vec<String> = String::from_utf8(files[ENTRIES].clone()).unwrap().lines().map(str::to_owned).collect();
    let seqs: Vec<u64> = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap()).collect();
    assert!(lines.len() >= 3, "{lines:?}");
    let with = |name: &str, bytes: Vec<u8>| {
        let mut changed = files.clone();
        changed.insert(name.to_owned(), bytes);
        changed
    };
    let with_lines = |lines: &[String]| with(ENTRIES, lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes());

    let mut dropped = with_lines(&lines[1..]);
    dropped.remove(&proof_of(seqs[0]));
    let said = refused("an entry was dropped, and its proof", &dropped);
    assert!(said.contains("which entries there are"), "{said}");
    let doubled: Vec<String> = lines[..1].iter().chain(&lines).cloned().collect();
    assert!(refused("doubled", &with_lines(&doubled)).contains("doubled or swapped"));
    let mut swapped = lines.clone();
    swapped.swap(0, 1);
    refused("swapped", &with_lines(&swapped));
    let mut cut = with_lines(&lines[..lines.len() - 1]);
    cut.remove(&proof_of(*seqs.last().unwrap()));
    assert!(refused("the tail was cut", &cut).contains("the export's own"));
    // Another call's entry with its own proof.
    let foreign = String::from_utf8(others[ENTRIES].clone()).unwrap().lines().next().unwrap().to_owned();
    let foreign_seq = serde_json::from_str::<Value>(&foreign).unwrap()["seq"].as_u64().unwrap();
    let mut mixed: Vec<String> = lines.iter().cloned().chain([foreign]).collect();
    mixed.sort_by_key(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64());
    let mut astray = with_lines(&mixed);
    astray.insert(proof_of(foreign_seq), others[&proof_of(foreign_seq)].clone());
    refused("another call's entry was put in", &astray);
    for name in [CHECKPOINT, EVIDENCE, PAGE, RECORDS, MANIFEST, ENTRIES] {
        refused(&format!("{name} is another bundle's"), &with(name, others[name].clone()));
    }
    for name in [CHECKPOINT, EVIDENCE, PAGE, RECORDS, MANIFEST, ENTRIES, KEY, &proof_of(seqs[0])] {
        let mut gone = files.clone();
        gone.remove(name);
        assert!(refused(name, &gone).contains("missing"), "{name}");
    }
    refused("a file was put in", &with("note.txt", b"by the way".to_vec()));
    let mut evidence = json_of(&files, EVIDENCE);
    evidence["call"]["consent"]["status"] = json!("GRANTED");
    assert!(refused("a value was changed", &with(EVIDENCE, evidence.to_string().into_bytes())).contains("evidence.json was changed"));
    let page = String::from_utf8(files[PAGE].clone()).unwrap().replace("Client opted out", "Consent given");
    assert!(refused("the page was changed", &with(PAGE, page.into_bytes())).contains("index.html was changed"));

    // Another key: of another gateway, and one with which somebody has signed.
    let other_key = callgate::engine::ledger::NoteSigner::new("callgate", &[9; 32]).unwrap().verifier().to_string();
    let (holds, said) = verdict(folder, &files, &[&other_key]);
    assert!(!holds && said.contains("not by a key that was given"), "{said}");
    assert!(verdict(folder, &files, &[&other_key, &key]).0, "of several gateways' keys one has signed");
    refused("the key was changed", &with(KEY, format!("{other_key}\n").into_bytes()));

    // No zip, none at all, and a key that is none.
    let ours = |arguments: &[&str]| {
        run(Command::new(env!("CARGO_BIN_EXE_callgate")).args(["evidence", "verify"]).args(arguments).current_dir(folder))
    };
    std::fs::write(folder.join("none.zip"), "hunter2").unwrap();
    let (code, said) = ours(&["none.zip"]);
    assert!(code == 1 && said.contains("not a whole zip"), "{code} {said}");
    let (code, said) = ours(&["nowhere.zip"]);
    assert!(code == 2 && said.contains("nowhere.zip cannot be read"), "{code} {said}");
    let (code, said) = ours(&["none.zip", "--key", "hunter2"]);
    assert!(code == 2 && said.contains("NAME+HASH+BASE64"), "{code} {said}");
}

/// Every byte, by the second verifier: one process for all, its own signature checked once for each text.
const EVERY_BYTE: &str = r"
import functools, sys
sys.path.insert(0, sys.argv[1])
import verify
files, key = verify.read(sys.argv[2]), sys.argv[3]
verify.is_signed = functools.cache(verify.is_signed)
verify.check(files, key)
flips, kept = 0, []
for name, raw in files.items():
    for at in range(0, len(raw), 97 if name == 'index.html' else 1):
        changed = dict(files)
        changed[name] = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1:]
        flips += 1
        try:
            verify.check(changed, key)
            kept.append((name, at))
        except Exception:
            pass
print(flips, kept)
";

#[tokio::test(flavor = "multi_thread")]
async fn the_second_verifier_misses_no_byte() {
    let rig = Rig::start(Given::default()).await;
    let call = asked(&rig, "CAone", "c1", None, "ABANDONED").await;
    let zip: PathBuf = rig.folder.path().join("bundle.zip");
    std::fs::write(&zip, pack(&export(&rig, &call).await).unwrap()).unwrap();
    let folder = Path::new(PYTHON).parent().unwrap();
    let (code, said) = run(Command::new("python3").args(["-B", "-c", EVERY_BYTE]).arg(folder).arg(&zip).arg(key(&rig).await));
    assert_eq!(code, 0, "{said}");
    let (flips, kept) = said.trim().split_once(' ').unwrap();
    assert!(flips.parse::<u32>().unwrap() > 2_000, "{said}");
    assert_eq!(kept, "[]", "bytes that do not count");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_of_a_long_chain_brings_a_checkpoint_that_covers_it_and_waits_for_none() {
    let rig = Rig::start(Given::default()).await;
    let call = asked(&rig, "CAlong", "c1", Some("2"), "ENDED").await;
    let began = std::time::Instant::now();
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let files = export(&rig, &call).await;
        let note = String::from_utf8(files[CHECKPOINT].clone()).unwrap();
        let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
        let last = String::from_utf8(files[ENTRIES].clone()).unwrap().lines().last().unwrap().to_owned();
        let last: Value = serde_json::from_str(&last).unwrap();
        assert!(last["seq"].as_u64().unwrap() <= size, "the export's own entry is covered");
        let copy = rig.folder.path().join(format!("objects/checkpoints/default/{size}.txt"));
        assert_eq!(std::fs::read_to_string(copy).unwrap(), note, "and so it is in the store, copied out");
        sizes.push(size);
    }
    assert!(sizes.is_sorted_by(|a, b| a < b), "{sizes:?}");
    assert!(began.elapsed() < Duration::from_secs(60), "the notary's five minutes were not waited for");
}
