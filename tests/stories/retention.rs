//! P9, deleted is gone: what a revocation queued, once it is due, through the real binary, its files, and a real S3 server.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::s3_server::{BUCKET, S3Server, SECRET_KEY, in_a_child};
use crate::common::{Caller, Rig, Served, databases, files, numbered, raw, revoke_elsewhere, until};
use callgate::engine::audio::g711;
use callgate::engine::time::WallTime;
use callgate::io::clock::wall;
use callgate::io::database::VerifyReport;
use callgate::server::Given;
use serde_json::{Value, json};

const NO_PROMPT: (&str, &str) = ("CALLGATE_PROMPT_IN_RECORDING", "false");

/// So many days from now.
fn in_days(days: i64) -> String {
    wall().plus_days(days).to_string()
}

/// `callgate retention sweep …` on a folder.
fn sweep(folder: &Path, arguments: &[&str], more: &[(&str, &str)]) -> Output {
    let mut sweep = Command::new(env!("CARGO_BIN_EXE_callgate"));
    sweep
        .args(["retention", "sweep"])
        .args(arguments)
        .env("CALLGATE_DATA_DIR", folder)
        .env("CALLGATE_DATABASE_URL", crate::common::database_url(folder))
        .envs(more.iter().copied())
        .current_dir(folder);
    sweep.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The sweep's last line.
fn totals(output: &Output) -> String {
    said(output).lines().last().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr))).to_owned()
}

/// The chain's lines of a kind.
async fn lines(folder: &Path, kind: &str) -> Vec<Value> {
    let asked = format!(r#"SELECT "entry" FROM "AuditEvent" WHERE "kind" = '{kind}' ORDER BY "seq""#);
    raw(folder).await.texts(asked).await.iter().map(|[entry]| serde_json::from_str(entry).unwrap()).collect()
}

async fn execute(folder: &Path, text: &'static str) -> u64 {
    raw(folder).await.execute(text).await.unwrap()
}

async fn revoke(rig: &Rig, client: &str) -> Value {
    let (status, answer) = rig.post_as(&format!("/api/clients/{client}/consent/revoke"), json!({}), &rig.token).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

fn spools(folder: &Path) -> Vec<PathBuf> {
    files(&folder.join("spool")).into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "spool")).collect()
}

/// In which files audio of a whole call lies (see `Rig::recorded`: frames 251 to 300), in any form.
fn audio_in(folder: &Path) -> Vec<String> {
    let forms: Vec<Vec<u8>> = (255..=300)
        .step_by(10)
        .map(numbered)
        .flat_map(|frame| {
            let stereo = frame[..24].iter().flat_map(|code| [g711::decode(*code), 0]).flat_map(i16::to_le_bytes).collect();
            [frame[..48].to_vec(), base64_simd::STANDARD.encode_to_string(&frame[..48]).into_bytes(), stereo]
        })
        .collect();
    // A copy, by another process: whoever closes a file of SQLite's takes the locks of all of its process's connections along.
    let copy = tempfile::tempdir().unwrap();
    assert!(Command::new("cp").arg("-r").arg(folder).arg(copy.path()).status().unwrap().success());
    let holds = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap_or_default();
        forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == form))
    };
    files(copy.path()).into_iter().filter(holds).map(|path| path.display().to_string()).collect()
}

/// What the object store holds of recordings. Checkpoints of the chain are kept whatever is deleted.
fn stored(folder: &Path) -> Vec<PathBuf> {
    let mut objects = files(&folder.join("objects"));
    objects.retain(|path| !path.starts_with(folder.join("objects/checkpoints")));
    objects
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_deleted_is_gone() {
    let rig = Rig::start(Given::default()).await;
    let gone = rig.recorded("CAgone1", "c").await;
    let also = rig.recorded("CAgone2", "c").await;
    let answer = revoke(&rig, "c").await;
    assert_eq!(answer["recordingsMarkedForDeletion"], 2);
    let Rig { gateway, folder, .. } = rig;
    gateway.drain(Duration::from_secs(5)).await;
    let folder = folder.path();
    assert_eq!(audio_in(folder).len(), 2, "two recordings hold audio");

    // A day too early, and a dry run: nothing goes.
    let early = sweep(folder, &["--as-of", &in_days(29)], &[]);
    assert_eq!(totals(&early), "due 0: deleted 0, would be deleted 0, held 0, not deleted 0");
    let dry = sweep(folder, &["--as-of", &in_days(31), "--dry-run"], &[]);
    assert_eq!((totals(&dry).as_str(), dry.status.code()), ("due 2: deleted 0, would be deleted 2, held 0, not deleted 0", Some(0)));
    assert_eq!(audio_in(folder).len(), 2);
    assert!(lines(folder, "recording.deleted").await.is_empty());

    // Nor in a store where they never were: that is no proof of anything.
    let elsewhere = tempfile::tempdir().unwrap();
    let store = format!("file://{}", elsewhere.path().display());
    let lost = sweep(folder, &["--as-of", &in_days(31)], &[("CALLGATE_OBJECTS", &store)]);
    assert_eq!((totals(&lost).as_str(), lost.status.code()), ("due 2: deleted 0, would be deleted 0, held 0, not deleted 2", Some(1)));
    assert!(lines(folder, "recording.deleted").await.is_empty());

    let swept = sweep(folder, &["--as-of", &in_days(31)], &[]);
    assert_eq!((totals(&swept).as_str(), swept.status.code()), ("due 2: deleted 2, would be deleted 0, held 0, not deleted 0", Some(0)));
    assert_eq!(audio_in(folder), Vec::<String>::new(), "not in any byte of the data folder");
    assert_eq!(stored(folder), Vec::<PathBuf>::new(), "nor a manifest");
    let deletions = lines(folder, "recording.deleted").await;
    let mut ids: Vec<_> = deletions.iter().map(|entry| entry["detail"]["recordingId"].as_str().unwrap()).collect();
    ids.sort_unstable();
    let mut expected = [gone.as_str(), also.as_str()];
    expected.sort_unstable();
    assert_eq!(ids, expected);
    let first = &deletions[0];
    assert_eq!((first["action"].as_str(), first["severity"].as_str()), (Some("DELETE"), Some("HIGH")));
    assert_eq!((first["detail"]["versions"].as_u64(), first["detail"]["gone"].as_bool()), (Some(2), Some(true)), "{first}");

    // Twice deletes once.
    let again = sweep(folder, &["--as-of", &in_days(40)], &[]);
    assert_eq!(totals(&again), "due 0: deleted 0, would be deleted 0, held 0, not deleted 0");
    assert_eq!(lines(folder, "recording.deleted").await.len(), 2);
    crate::common::chain_holds(folder);

    // And nobody reads it any more, whatever they may.
    let gateway = callgate::server::Gateway::start(crate::common::config(folder, Given::default())).await.unwrap();
    let token = gateway.tokens().mint(&crate::common::claims(&crate::common::PERMISSIONS, &["*"], "default")).unwrap();
    for route in [format!("/api/recordings/{gone}"), format!("/api/recordings/{gone}/audio")] {
        let answer = reqwest::Client::new().get(format!("http://{}{route}", gateway.address())).bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 410);
        assert!(answer.text().await.unwrap().contains("the recording was deleted on"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_beats_the_date_and_a_later_yes_does_not() {
    let rig = Rig::start(Given::default()).await;
    let held = rig.recorded("CAheld", "held").await;
    let old = rig.recorded("CAold", "again").await;
    revoke(&rig, "held").await;
    revoke(&rig, "again").await;
    let new = rig.recorded("CAnew", "again").await;
    assert_eq!(rig.post_as("/api/clients/held/legal-hold", json!({ "reason": "dispute" }), &rig.token).await.0, 200);

    // The gateway runs on: another process may sweep beside it.
    let folder = rig.folder.path().to_owned();
    let swept = sweep(&folder, &["--as-of", &in_days(31)], &[]);
    assert_eq!((totals(&swept).as_str(), swept.status.code()), ("due 2: deleted 1, would be deleted 0, held 1, not deleted 0", Some(0)));
    assert!(said(&swept).contains("legal hold"), "{}", said(&swept));
    let status = async |id: &str| rig.get(&format!("/api/recordings/{id}/audio")).await.0;
    assert_eq!((status(&held).await, status(&old).await, status(&new).await), (200, 410, 200));

    rig.ask(reqwest::Method::DELETE, "/api/clients/held/legal-hold", String::new(), &rig.token).await;
    let swept = sweep(&folder, &["--as-of", &in_days(31)], &[]);
    assert_eq!(totals(&swept), "due 1: deleted 1, would be deleted 0, held 0, not deleted 0");
    assert_eq!((status(&held).await, status(&new).await), (410, 200));
    crate::common::chain_holds(&folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_sweeps_by_itself_and_what_a_dead_sweeper_claimed_is_not_lost() {
    let rig = Rig::start(Given::default()).await;
    rig.recorded("CAa", "c").await;
    rig.recorded("CAb", "c").await;
    revoke(&rig, "c").await;
    let Rig { gateway, folder, .. } = rig;
    gateway.drain(Duration::from_secs(5)).await;
    let folder = folder.path();
    assert_eq!(execute(folder, r#"UPDATE "RetentionItem" SET "dueAt" = '2026-01-01T00:00:00.000Z'"#).await, 2);
    // One is being deleted by somebody else, the other was, by somebody who is dead.
    let claimed = r#"UPDATE "RetentionItem" SET "claimedBy" = 'other', "claimedUntil" = '2026-01-01T00:00:00.000Z'"#;
    assert_eq!(execute(folder, claimed).await, 2);
    let alive = r#"UPDATE "RetentionItem" SET "claimedUntil" = '2999-01-01T00:00:00.000Z'
      WHERE "callId" = (SELECT min("callId") FROM "RetentionItem")"#;
    assert_eq!(execute(folder, alive).await, 1);

    let served = Served::start(folder, &[]);
    until("the free one is deleted", async || lines(folder, "recording.deleted").await.len() == 1).await;
    assert_eq!(stored(folder).len(), 2, "the other one's audio and manifest are somebody else's to delete");
    served.signal("-TERM");
    served.log();
    execute(folder, r#"UPDATE "RetentionItem" SET "claimedUntil" = '2026-01-01T00:00:00.000Z'"#).await;
    let served = Served::start(folder, &[]);
    until("both are", async || lines(folder, "recording.deleted").await.len() == 2).await;
    assert!(stored(folder).is_empty());
    served.signal("-TERM");
    served.log();
    crate::common::chain_holds(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_died_before_it_was_recorded_is_recorded_by_the_next_sweep() {
    let rig = Rig::start(Given::default()).await;
    rig.recorded("CAdied", "c").await;
    revoke(&rig, "c").await;
    let folder = rig.folder.path().to_owned();
    for object in stored(&folder) {
        std::fs::remove_file(object).unwrap();
    }
    let died = r#"UPDATE "RetentionItem" SET "attempts" = 1, "claimedBy" = 'dead', "claimedUntil" = '2026-01-01T00:00:00.000Z'"#;
    assert_eq!(execute(&folder, died).await, 1);
    let swept = sweep(&folder, &["--as-of", &in_days(31)], &[]);
    assert_eq!(totals(&swept), "due 1: deleted 1, would be deleted 0, held 0, not deleted 0");
    let told = &lines(&folder, "recording.deleted").await[0]["detail"];
    assert_eq!((told["versions"].as_u64(), told["gone"].as_bool()), (Some(0), Some(true)), "it says what it saw: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sweeps_at_once_delete_each_recording_once() {
    let rig = Rig::start(Given::default()).await;
    for n in 0..6 {
        rig.recorded(&format!("CAm{n}"), "c").await;
    }
    revoke(&rig, "c").await;
    let folder = rig.folder.path().to_owned();
    let as_of = in_days(31);
    let sweeps: Vec<_> = (0..3)
        .map(|_| {
            let (folder, as_of) = (folder.clone(), as_of.clone());
            tokio::task::spawn_blocking(move || sweep(&folder, &["--as-of", &as_of], &[]))
        })
        .collect();
    for swept in sweeps {
        let swept = swept.await.unwrap();
        assert_eq!(swept.status.code(), Some(0), "{}", said(&swept));
    }
    let mut ids: Vec<_> =
        lines(&folder, "recording.deleted").await.iter().map(|entry| entry["detail"]["recordingId"].to_string()).collect();
    assert_eq!(ids.len(), 6);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6, "each once");
    crate::common::chain_holds(&folder);
}

/// A gateway killed in the middle of this client's talk: a spool with a durable grant is left.
async fn killed_in_talk(folder: &Path, client: &str) -> u64 {
    let served = Served::start(folder, &[NO_PROMPT]);
    let mut caller = Caller::connect(served.address, "CAkilled", json!({ "mode": "stay", "clientId": client })).await;
    caller.frames(250).await;
    caller.key("1").await;
    until("a spool", async || !spools(folder).is_empty()).await;
    caller.frames(200).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    served.signal("-KILL");
    served.log();
    caller.chunk
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_a_crash_left_is_destroyed_with_its_key_and_nothing_stores_it_later() {
    let folder = tempfile::tempdir().unwrap();
    killed_in_talk(folder.path(), "c").await;
    assert_eq!(revoke_elsewhere(folder.path(), "c").await.marked, 1);
    let spool = spools(folder.path()).remove(0);
    let kept = std::fs::File::open(&spool).unwrap();
    let swept = sweep(folder.path(), &["--as-of", &in_days(31)], &[]);
    assert_eq!(totals(&swept), "due 1: deleted 1, would be deleted 0, held 0, not deleted 0");
    assert!(spools(folder.path()).is_empty());
    let mut ghost = Vec::new();
    std::io::Read::read_to_end(&mut &kept, &mut ghost).unwrap();
    let id = usize::from(u16::from_le_bytes([ghost[8], ghost[9]]));
    assert!(ghost[10 + id..10 + id + 60].iter().all(|byte| *byte == 0), "whoever still holds the file has no key to it");
    let told = lines(folder.path(), "recording.deleted").await;
    assert_eq!(told[0]["detail"]["spoolFiles"], 1, "{}", told[0]);
    let again = Served::start(folder.path(), &[]);
    again.signal("-TERM");
    assert!(!again.log().contains("left by a crash"));
    assert!(stored(folder.path()).is_empty());
    crate::common::chain_holds(folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_is_stored_only_after_the_revocation_is_queued_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    killed_in_talk(folder.path(), "c").await;
    // Its row was never written either: the database was away when the recording began.
    assert_eq!(execute(folder.path(), r#"DELETE FROM "Recording""#).await, 1);
    let revoked = revoke_elsewhere(folder.path(), "c").await;
    assert_eq!(revoked.marked, 0);
    let served = Served::start(folder.path(), &[]);
    until("it is stored", async || lines(folder.path(), "recording.finished").await.len() == 1).await;
    until("and queued", async || lines(folder.path(), "recording.queued").await.len() == 1).await;
    served.signal("-TERM");
    served.log();
    let queued = &lines(folder.path(), "recording.queued").await[0];
    assert_eq!((&queued["detail"]["revocation"], &queued["actor"]["kind"]), (&json!(revoked.entry), &json!("SYSTEM")));
    assert_eq!(queued["detail"]["dueAt"], revoked.until.to_string(), "thirty days from the revocation");
    let swept = sweep(folder.path(), &["--as-of", &in_days(31)], &[]);
    assert_eq!(totals(&swept), "due 1: deleted 1, would be deleted 0, held 0, not deleted 0");
    crate::common::chain_holds(folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_comes_back_after_its_recording_was_deleted_is_never_stored() {
    let folder = tempfile::tempdir().unwrap();
    killed_in_talk(folder.path(), "c").await;
    revoke_elsewhere(folder.path(), "c").await;
    // As another node would have it, which has no such spool.
    execute(folder.path(), r#"UPDATE "RetentionItem" SET "deletedAt" = '2026-11-26T00:00:00.000Z'"#).await;
    let again = Served::start(folder.path(), &[]);
    until("the spool goes", async || spools(folder.path()).is_empty()).await;
    again.signal("-TERM");
    let log = again.log();
    assert!(log.contains("deleted by retention before it was stored"), "{log}");
    assert!(stored(folder.path()).is_empty());
    crate::common::chain_holds(folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_running_gateway_is_capturing_is_left_to_that_gateway() {
    let rig = Rig::start(Given::default()).await;
    let mut caller = Caller::talking_as(&rig, "CAbusy", "c").await;
    caller.frames(100).await;
    let folder = rig.folder.path().to_owned();
    until("a spool", async || !spools(&folder).is_empty()).await;
    let queue = r#"INSERT INTO "RetentionItem" ("recordingId", "orgId", "clientId", "callId", "revocationSeq", "queuedAt", "dueAt")
        SELECT "id", "orgId", "clientId", "callId", 1, '2026-01-01T00:00:00.000Z', '2026-01-31T00:00:00.000Z' FROM "Recording""#;
    until("it is queued", async || execute(&folder, queue).await == 1).await;

    let swept = sweep(&folder, &[], &[]);
    assert_eq!((totals(&swept).as_str(), swept.status.code()), ("due 1: deleted 0, would be deleted 0, held 0, not deleted 1", Some(1)));
    caller.frames(10).await;
    caller.stop().await;
    let call = rig.call("CAbusy", |call| call["recording"]["state"] == "FINISHED" && call["phase"] == "ENDED").await;
    assert_eq!(call["recording"]["framesCaptured"]["inbound"], 110, "untouched");
    let id = call["recording"]["recordingId"].as_str().unwrap();
    assert_eq!(rig.get(&format!("/api/recordings/{id}/audio")).await.0, 200);
    until("its spool is gone", async || spools(&folder).is_empty()).await;
    assert_eq!(sweep(&folder, &[], &[]).status.code(), Some(0));
    assert_eq!(lines(&folder, "recording.deleted").await.len(), 1);
    assert_eq!(rig.get(&format!("/api/recordings/{id}/audio")).await.0, 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_on_postgresql_as_well() {
    let url = databases::fresh().await;
    let rig = Rig::start(Given { database_url: Some(url.clone()), ..Given::default() }).await;
    let gone = rig.recorded("CApg", "c").await;
    assert_eq!(revoke(&rig, "c").await["recordingsMarkedForDeletion"], 1);
    let folder = rig.folder.path().to_owned();
    let swept = sweep(&folder, &["--as-of", &in_days(31)], &[("CALLGATE_DATABASE_URL", &url)]);
    assert_eq!((totals(&swept).as_str(), swept.status.code()), ("due 1: deleted 1, would be deleted 0, held 0, not deleted 0", Some(0)));
    assert_eq!(audio_in(&folder), Vec::<String>::new());
    assert_eq!(rig.get(&format!("/api/recordings/{gone}/audio")).await.0, 410);
    let kinds: Vec<_> = rig.chain("c").await.iter().map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "recording.deleted").count(), 1, "{kinds:?}");
    assert_eq!(VerifyReport::of(&url).await.unwrap().broken, None);
}

#[test]
fn a_wrong_time_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = sweep(folder.path(), &["--as-of", "tomorrow"], &[]);
    let why = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert_eq!(wrong.status.code(), Some(2), "{why}");
    assert!(why.contains("--as-of") && why.contains("RFC 3339"), "{why}");
    assert!(WallTime::parse(&in_days(1)).is_some());
}

#[test]
fn p9_in_a_versioned_bucket_every_version_goes_and_a_store_that_keeps_one_is_not_believed() {
    if !in_a_child((module_path!(), "p9_in_a_versioned_bucket_every_version_goes_and_a_store_that_keeps_one_is_not_believed"), SECRET_KEY) {
        return;
    }
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = S3Server::start().await;
        let objects = format!("s3://{BUCKET}/calls");
        let given = Given { objects: Some(objects.clone()), s3_endpoint: Some(server.endpoint.clone()), ..Given::default() };
        let rig = Rig::start(given).await;
        let mine = rig.recorded("CAs3", "c").await;
        rig.recorded("CAs3other", "other").await;
        revoke(&rig, "c").await;
        let key = rig.get(&format!("/api/recordings/{mine}")).await.1["objectKey"].as_str().unwrap().to_owned();
        let (audio, manifest) = (format!("calls/{key}"), format!("calls/{}", key.replace(".wav", ".json")));
        // What a versioned bucket gathers: older versions, delete markers, uploads that nobody finished.
        for _ in 0..3 {
            server.leave_a_version(&audio);
        }
        server.leave_a_version(&manifest);
        server.leave_an_upload(&audio);
        let mut environment = vec![("CALLGATE_OBJECTS", objects.as_str()), ("CALLGATE_S3_ENDPOINT", server.endpoint.as_str())];
        environment.push(("CALLGATE_LOG", "warn"));
        let folder = rig.folder.path().to_owned();
        let as_of = in_days(31);
        let run = || sweep(&folder, &["--as-of", &as_of], &environment);

        server.state.keeps.store(true, Ordering::SeqCst);
        let kept = run();
        assert_eq!((totals(&kept).as_str(), kept.status.code()), ("due 1: deleted 0, would be deleted 0, held 0, not deleted 1", Some(1)));
        assert!(String::from_utf8_lossy(&kept.stderr).contains("due and not deleted"), "{}", String::from_utf8_lossy(&kept.stderr));
        assert!(lines(&folder, "recording.deleted").await.is_empty(), "never recorded as deleted");
        assert_eq!(rig.get(&format!("/api/recordings/{mine}")).await.0, 200, "nor told so");
        let asked = r#"SELECT CAST("attempts" AS TEXT), "lastError", "claimedBy" FROM "RetentionItem""#;
        let [[attempts, why, by]] = &raw(&folder).await.texts(asked).await[..] else { panic!("one recording") };
        assert!(attempts == "1" && why.contains("still there") && by.is_empty(), "{attempts} {why} {by}");

        server.state.keeps.store(false, Ordering::SeqCst);
        let swept = run();
        assert_eq!(
            (totals(&swept).as_str(), swept.status.code()),
            ("due 1: deleted 1, would be deleted 0, held 0, not deleted 0", Some(0))
        );
        {
            let left = server.state.objects.lock().unwrap();
            assert!(left.keys().all(|name| !name.contains(&mine)), "no version, no marker: {:?}", left.keys());
            assert_eq!(left.len(), 2, "the other client's audio and manifest are not touched");
        }
        assert!(server.state.uploads.lock().unwrap().is_empty());
        let told = &lines(&folder, "recording.deleted").await[0]["detail"];
        assert_eq!((told["versions"].as_u64(), told["gone"].as_bool()), (Some(6), Some(true)), "{told}");
        assert_eq!(run().status.code(), Some(0));
        assert_eq!(lines(&folder, "recording.deleted").await.len(), 1);
        crate::common::chain_holds(&folder);
    });
}
