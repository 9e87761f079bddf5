//! What becomes of consented audio when the process is killed, the disk is full, or a spool is not what it was: through
//! the real binary, its files and its log.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Caller, Served, files, frames_in, left, until};
use callgate::engine::consent::Actor;
use callgate::engine::ledger::{Event, EventKind, Position};
use callgate::engine::time::WallTime;
use callgate::io::database::{Database, Work};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

const NO_PROMPT: (&str, &str) = ("CALLGATE_PROMPT_IN_RECORDING", "false");

fn spools(folder: &Path) -> Vec<PathBuf> {
    files(&folder.join("spool")).into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "spool")).collect()
}

/// A stored recording, by its manifest and its audio.
struct Stored {
    manifest: Value,
    wav: Vec<u8>,
}

fn stored(folder: &Path) -> Vec<Stored> {
    let manifests = files(&folder.join("objects")).into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "json"));
    manifests
        .map(|file| Stored {
            manifest: serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap(),
            wav: std::fs::read(file.with_extension("wav")).unwrap(),
        })
        .collect()
}

/// A caller past the question: what is said next is recorded.
async fn talking(served: &Served, folder: &Path, sid: &str) -> Caller {
    let before = spools(folder).len();
    let mut caller = Caller::connect(served.address, sid, json!({ "mode": "stay", "clientId": format!("client-{sid}") })).await;
    caller.frames(250).await;
    caller.key("1").await;
    until("a spool for the call", async || spools(folder).len() > before).await;
    caller
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_kill_nine_loses_at_most_half_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for seed in 1..=4u64 {
        let mut random = StdRng::seed_from_u64(seed);
        let served = Served::start(folder.path(), &[NO_PROMPT]);
        until("the last round's recordings are stored", async || spools(folder.path()).is_empty()).await;
        let killed = Arc::new(AtomicBool::new(false));
        let mut callers = Vec::new();
        for n in 0..5 {
            let sid = format!("CAkill{seed}x{n}");
            let mut caller = talking(&served, folder.path(), &sid).await;
            let (killed, pause) = (Arc::clone(&killed), random.random_range(0..200));
            callers.push(tokio::spawn(async move {
                // In real time, each call at another phase of its chunks; a sender that was late does not catch up.
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let first = caller.chunk + 1;
                let mut clock = tokio::time::interval(Duration::from_millis(20));
                clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !killed.load(Ordering::SeqCst) {
                    clock.tick().await;
                    caller.frames(1).await;
                }
                // Its socket stays until the process is gone: a hang-up would end the recording well.
                (sid, first, caller)
            }));
        }
        tokio::time::sleep(Duration::from_millis(900 + random.random_range(0..700))).await;
        killed.store(true, Ordering::SeqCst);
        served.signal("-KILL");
        let _ = served.log();
        for caller in callers {
            let (sid, first, caller) = caller.await.unwrap();
            expected.push((sid, first, caller.chunk));
        }
        assert_eq!(spools(folder.path()).len(), 5, "every spool is there");
    }
    let again = Served::start(folder.path(), &[]);
    until("everything is stored", async || spools(folder.path()).is_empty()).await;
    again.signal("-TERM");
    let log = again.log();
    assert!(log.contains("left by a crash"), "{log}");
    let stored = stored(folder.path());
    let mut worst = 0;
    for (sid, first, last) in expected {
        let recording = stored.iter().find(|stored| stored.manifest["callSid"] == *sid).unwrap_or_else(|| panic!("{sid} is lost"));
        let there = frames_in(&left(&recording.wav), last);
        assert_eq!(there, (first..first + there.len() as u64).collect::<Vec<_>>(), "{sid}: from the first on, without a gap");
        worst = worst.max(last + 1 - first - there.len() as u64);
        assert_eq!(recording.manifest["complete"], false);
    }
    println!("at most {} ms were lost", worst * 20);
    assert!(worst <= 25, "{worst} frames were lost");
    crate::common::chain_holds(folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_recordings_are_being_stored_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    let mut random = StdRng::seed_from_u64(0);
    for round in 0..4 {
        let served = Served::start(folder.path(), &[NO_PROMPT]);
        let mut callers = Vec::new();
        until("the last round's recordings are stored", async || spools(folder.path()).is_empty()).await;
        for n in 0..3 {
            let sid = format!("CAseal{round}x{n}");
            let mut caller = talking(&served, folder.path(), &sid).await;
            let first = caller.chunk + 1;
            caller.frames(400).await;
            expected.push((sid, first, caller.chunk));
            callers.push(caller);
        }
        // Everything said is on the disk half a second later; then they hang up, and the process dies in the middle of it.
        tokio::time::sleep(Duration::from_millis(700)).await;
        for caller in &mut callers {
            caller.stop().await;
        }
        tokio::time::sleep(Duration::from_micros(random.random_range(0..60_000))).await;
        served.signal("-KILL");
        let _ = served.log();
    }
    let again = Served::start(folder.path(), &[]);
    until("everything is stored", async || spools(folder.path()).is_empty()).await;
    again.signal("-TERM");
    let log = again.log();
    let stored = stored(folder.path());
    assert_eq!(stored.len(), expected.len(), "each once: {log}");
    for (sid, first, last) in expected {
        let recording = stored.iter().find(|stored| stored.manifest["callSid"] == *sid).unwrap_or_else(|| panic!("{sid} is lost: {log}"));
        let there = frames_in(&left(&recording.wav), last);
        // A kill before the hang-up was heard takes what was in the delay line.
        assert!(there.len() >= 400 - 12, "{sid}: {} of 400", there.len());
        assert_eq!(there, (first..first + there.len() as u64).collect::<Vec<_>>());
    }
    crate::common::chain_holds(folder.path());
}

/// A gateway killed in the middle of these calls' talk.
async fn killed_in_talk(folder: &Path, sids: &[&str]) -> Vec<(u64, u64)> {
    let served = Served::start(folder, &[NO_PROMPT]);
    let mut said = Vec::new();
    let mut callers = Vec::new();
    for sid in sids {
        let mut caller = talking(&served, folder, sid).await;
        let first = caller.chunk + 1;
        caller.frames(200).await;
        said.push((first, caller.chunk));
        callers.push(caller);
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    served.signal("-KILL");
    let _ = served.log();
    said
}

/// The process is dead, and the chain has this line about the call's recording, as an opt-out leaves it.
async fn add_line(folder: &Path, sid: &str, kind: EventKind, cut_at_ms: u64) {
    let database = Database::open(&crate::common::database_url(folder)).await.unwrap();
    let filter = callgate::io::database::CallFilter { call_sid: Some(sid.to_owned()), limit: 1, ..Default::default() };
    let call = database.calls(&filter).await.unwrap().remove(0);
    let line = Event {
        org_id: call.org_id,
        kind,
        actor: Actor::System,
        call_id: Some(call.id),
        client_id: Some(call.client_id),
        at: WallTime(1_790_000_000_000),
        position: Some(Position { stream_sid: format!("MZ{sid}"), sequence: 1, timestamp_ms: cut_at_ms }),
        detail: json!({ "cutAtMs": cut_at_ms }),
    };
    let (done, written) = tokio::sync::oneshot::channel();
    let then: Box<dyn FnOnce(bool) + Send> = Box::new(move |durable| done.send(durable).unwrap());
    assert!(database.ledger().append(Work::Audit(line, Some(then))).is_ok());
    assert!(written.await.unwrap());
}

async fn call_of(folder: &Path, sid: &str) -> Value {
    let database = Database::open(&crate::common::database_url(folder)).await.unwrap();
    let filter = callgate::io::database::CallFilter { call_sid: Some(sid.to_owned()), limit: 1, ..Default::default() };
    database.calls(&filter).await.unwrap().remove(0).state
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_that_was_durable_when_the_process_died_counts_although_the_spool_never_heard_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let said = killed_in_talk(folder.path(), &["CAkeep", "CAcut", "CAgone"]).await;
    let (first, _) = said[1];
    add_line(folder.path(), "CAcut", EventKind::RecordingHalted, 100 + (first - 1) * 20 + 2_010).await;
    add_line(folder.path(), "CAgone", EventKind::RecordingDiscarded, 0).await;

    let again = Served::start(folder.path(), &[]);
    until("all three are settled", async || spools(folder.path()).is_empty()).await;
    again.signal("-TERM");
    let log = again.log();
    let stored = stored(folder.path());
    let of = |sid: &str| stored.iter().find(|stored| stored.manifest["callSid"] == *sid);
    let there = frames_in(&left(&of("CAkeep").unwrap().wav), said[0].1);
    assert!(there.len() >= 188, "consent stood: {} frames", there.len());
    let there = frames_in(&left(&of("CAcut").unwrap().wav), said[1].1);
    assert_eq!(there, (first..first + 100).collect::<Vec<_>>(), "up to the frame before the cut, and not the one it falls into");
    assert!(of("CAgone").is_none(), "a recording that was to be discarded is never stored: {log}");
    assert_eq!(call_of(folder.path(), "CAgone").await["recording"]["state"], "DISCARDED");
    crate::common::chain_holds(folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_spool_that_cannot_be_read_has_its_own_outcome_and_keeps_nobody_from_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let said = killed_in_talk(folder.path(), &["CAwhole", "CAhead", "CAmiddle"]).await;
    let spool_of = async |sid: &str| {
        let id = call_of(folder.path(), sid).await["recording"]["recordingId"].as_str().unwrap().to_owned();
        folder.path().join(format!("spool/{id}.spool"))
    };
    let (head, middle) = (spool_of("CAhead").await, spool_of("CAmiddle").await);
    let mut bytes = std::fs::read(&head).unwrap();
    bytes[200] ^= 1; // its first chunk
    std::fs::write(&head, &bytes).unwrap();
    let mut bytes = std::fs::read(&middle).unwrap();
    let half = bytes.len() / 2;
    bytes[half] ^= 1;
    std::fs::write(&middle, &bytes).unwrap();
    std::fs::write(folder.path().join("spool/foreign.spool"), "somebody else's file, longer than a header would be").unwrap();
    std::fs::write(folder.path().join("spool/empty.spool"), "").unwrap();
    let locked = std::fs::read(spool_of("CAwhole").await).unwrap();
    let mut other_key = locked.clone();
    other_key[60] ^= 1; // its wrapped key
    std::fs::write(folder.path().join("spool/locked.spool"), &other_key).unwrap();

    let again = Served::start(folder.path(), &[]);
    until("the whole one is stored", async || stored(folder.path()).len() == 2).await;
    until("and settled", async || spools(folder.path()).len() == 3).await;
    again.signal("-TERM");
    let log = again.log();
    for told in [
        "foreign.spool: kept: it is no spool of this program",
        "locked.spool: kept: its key cannot be opened",
        "kept: it is damaged in its head",
        "empty.spool: removed: it was torn before its first frame",
        "damaged; kept, and stored as far as it is whole",
    ] {
        let (file, what) = told.split_once(": ").map_or(("", told), |(file, what)| (file, what));
        let found = log.lines().any(|line| line.contains(what) && (!file.ends_with(".spool") || line.contains(file)));
        assert!(found, "{told}: {log}");
    }
    assert!(head.exists() && middle.with_extension("damaged").exists(), "nothing that may hold audio is thrown away");
    let stored = stored(folder.path());
    for (sid, (first, last)) in [("CAwhole", said[0]), ("CAmiddle", said[2])] {
        let recording = stored.iter().find(|stored| stored.manifest["callSid"] == *sid).unwrap();
        let there = frames_in(&left(&recording.wav), last);
        assert_eq!(there, (first..first + there.len() as u64).collect::<Vec<_>>(), "{sid}: a beginning of what was said");
        assert_eq!(recording.manifest["damage"].is_null(), sid == "CAwhole");
    }
    let failed = call_of(folder.path(), "CAhead").await;
    assert_eq!(failed["recording"]["state"], "FAILED", "{failed}");
    assert_eq!(
        (&failed["isRecorded"], &failed["unrecordedReason"]),
        (&json!(false), &json!("SYSTEM_ERROR")),
        "nothing of it can be heard: {failed}"
    );
    crate::common::chain_holds(folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_its_recording_and_no_other_and_what_was_captured_is_stored_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    // The limit of a file's length stands in for the end of a disk; its signal is ignored, so that writing fails.
    command.args(["-c", r#"trap '' XFSZ; exec "$0" serve"#, env!("CARGO_BIN_EXE_callgate")]);
    let served = Served::spawn(&mut command, folder.path(), &[NO_PROMPT]);
    let limit = |bytes: &str| {
        let pid = served.id().to_string();
        assert!(Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:unlimited")]).status().unwrap().success());
    };
    let token = Command::new(env!("CARGO_BIN_EXE_callgate"))
        .args(["token", "--sub", "t", "--permissions", "canViewClients"])
        .env("CALLGATE_DATA_DIR", folder.path())
        .output()
        .unwrap();
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    let call = async |sid: &str| -> Value {
        let url = format!("http://{}/api/calls?callSid={sid}", served.address);
        let answer = reqwest::Client::new().get(url).bearer_auth(&token).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["calls"][0].clone()
    };
    let call_is = async |sid: &str, state: &str| {
        let began = Instant::now();
        loop {
            let found = call(sid).await;
            if found["recording"]["state"] == state {
                return found;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{sid} never was {state}: {found}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };

    let mut long = talking(&served, folder.path(), "CAlong").await;
    let first = long.chunk + 1;
    let size = |folder: &Path| spools(folder).iter().map(|file| file.metadata().unwrap().len()).max().unwrap();
    // Longer than the database's own files ever are, so that the limit meets the spool alone.
    while size(folder.path()) < 6 << 20 {
        long.frames(2_000).await;
    }
    let mut short = talking(&served, folder.path(), "CAshort").await;
    let short_first = short.chunk + 1;
    short.frames(100).await;
    limit(&((6 << 20) + 300_000).to_string());
    for _ in 0..10 {
        long.frames(500).await;
    }
    let failed = call_is("CAlong", "FAILED").await;
    assert_eq!((failed["phase"].as_str(), failed["unrecordedReason"].as_str()), (Some("CONNECTED"), Some("SYSTEM_ERROR")), "{failed}");
    let captured = failed["recording"]["framesCaptured"]["inbound"].as_u64().unwrap();
    long.frames(100).await;
    let later = call("CAlong").await;
    assert_eq!(later["recording"]["framesCaptured"]["inbound"], captured, "nothing more is captured");
    assert!(later["recording"]["framesWithheld"]["inbound"].as_u64() > failed["recording"]["framesWithheld"]["inbound"].as_u64());
    assert!(spools(folder.path()).len() == 2, "what was captured is kept");
    // The other call has room, and does not notice.
    short.frames(100).await;
    short.stop().await;
    let whole = call_is("CAshort", "FINISHED").await;
    assert_eq!(whole["recording"]["framesCaptured"]["inbound"], 200, "{whole}");
    // The long one hangs up. Its WAV has no room either: the store is full too, and its spool waits.
    long.stop().await;
    let told = |folder: &Path| stored(folder).iter().map(|one| one.manifest["callSid"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    until("the store is tried, and given up for now", async || served.said().contains("not stored yet; trying again")).await;
    assert_eq!((told(folder.path()), spools(folder.path()).len()), (vec!["CAshort".to_owned()], 1));
    limit("unlimited");
    let finished = call_is("CAlong", "FINISHED").await;
    assert_eq!((finished["phase"].as_str(), finished["unrecordedReason"].as_str()), (Some("ENDED"), Some("SYSTEM_ERROR")), "{finished}");
    until("its spool goes", async || spools(folder.path()).is_empty()).await;
    let torn = |file: &PathBuf| file.to_string_lossy().contains(".partial-");
    assert!(!files(&folder.path().join("objects")).iter().any(torn), "nothing half written stays in the store");
    served.signal("-TERM");
    let log = served.log();
    assert!(log.contains("audio cannot be written; check the disk"), "{log}");
    for recording in stored(folder.path()) {
        let codes = left(&recording.wav);
        let (from, count) = if recording.manifest["callSid"] == "CAshort" { (short_first, 200) } else { (first, 200) };
        let head = &codes[..codes.len().min(count * 160)];
        assert_eq!(frames_in(head, from + count as u64 - 1), (from..from + count as u64).collect::<Vec<_>>());
    }
    crate::common::chain_holds(folder.path());
}

#[test]
fn two_gateways_on_one_folder_are_one_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let first = Served::start(folder.path(), &[]);
    let second = Command::new(env!("CARGO_BIN_EXE_callgate"))
        .arg("serve")
        .env("CALLGATE_LISTEN", "127.0.0.1:0")
        .env("CALLGATE_DATA_DIR", folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("another callgate uses it (process {})", first.id())) && said.contains("CALLGATE_DATA_DIR"), "{said}");
    first.signal("-KILL");
    let _ = first.log();
    let third = Served::start(folder.path(), &[]);
    third.signal("-TERM");
    assert!(third.log().contains("draining"), "a process that is dead holds nothing");
}
