//! The spool under a key of AWS KMS: who is asked and when, and what becomes of calls and recordings when KMS is away.
//! The real binary, and a KMS that really encrypts and checks every signature.
#![cfg(feature = "kms")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::common::kms_server::{KmsServer, MAKE, Mood, OPEN};
use crate::common::{Caller, Served, files, frames_in, left, until};
use serde_json::{Value, json};

const KEY: &str = "alias/callgate";
const NO_PROMPT: (&str, &str) = ("CALLGATE_PROMPT_IN_RECORDING", "false");

fn spools(folder: &Path) -> Vec<PathBuf> {
    files(&folder.join("spool")).into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "spool")).collect()
}

fn wavs(folder: &Path) -> Vec<PathBuf> {
    files(&folder.join("objects")).into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "wav")).collect()
}

fn serve(folder: &Path, kms: &KmsServer, more: &[(&str, &str)]) -> Served {
    Served::start(folder, &[kms.environment(KEY).as_slice(), &[NO_PROMPT], more].concat())
}

/// A caller past the question: what is said next is recorded, if anything is.
async fn answered(served: &Served, sid: &str) -> Caller {
    let mut caller = Caller::connect(served.address, sid, json!({ "mode": "stay", "clientId": format!("client-{sid}") })).await;
    caller.frames(250).await;
    caller.key("1").await;
    caller
}

async fn talking(served: &Served, folder: &Path, sid: &str) -> Caller {
    let before = spools(folder).len();
    let caller = answered(served, sid).await;
    until("a spool for the call", async || spools(folder).len() > before).await;
    caller
}

/// Talks a while and dies in the middle of it: what each said.
async fn killed_in_talk(served: Served, folder: &Path, sids: &[&str]) -> Vec<(u64, u64)> {
    let mut callers = Vec::new();
    for sid in sids {
        let mut caller = talking(&served, folder, sid).await;
        let first = caller.chunk + 1;
        caller.frames(200).await;
        callers.push((first, caller));
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    served.signal("-KILL");
    let _ = served.log();
    callers.into_iter().map(|(first, caller)| (first, caller.chunk)).collect()
}

/// Every recording in the store is a beginning of what one of them said.
fn are_stored(folder: &Path, said: &[(u64, u64)]) {
    let wavs = wavs(folder);
    assert_eq!(wavs.len(), said.len());
    for (wav, (first, last)) in wavs.iter().zip(said) {
        let there = frames_in(&left(&std::fs::read(wav).unwrap()), *last);
        assert!(there.len() >= 188, "{} frames", there.len());
        assert_eq!(there, (*first..*first + there.len() as u64).collect::<Vec<_>>());
    }
}

struct Asked {
    served: Served,
    token: String,
}

impl Asked {
    fn new(served: Served, folder: &Path) -> Self {
        let token = Command::new(env!("CARGO_BIN_EXE_callgate"))
            .args(["token", "--sub", "t", "--permissions", "canViewClients"])
            .env("CALLGATE_DATA_DIR", folder)
            .output()
            .unwrap();
        Self { served, token: String::from_utf8(token.stdout).unwrap().trim().to_owned() }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let url = format!("http://{}{path}", self.served.address);
        let answer = reqwest::Client::new().get(url).bearer_auth(&self.token).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    async fn call_is(&self, sid: &str, state: &str) -> Value {
        self.call(sid, |call| call["recording"]["state"] == state).await
    }

    /// The call, once it is as wanted.
    async fn call(&self, sid: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let found = self.get(&format!("/api/calls?callSid={sid}")).await.1["calls"][0].clone();
            if wanted(&found) {
                return found;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{sid} never was as wanted: {found}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_under_kms_survive_a_kill_and_kms_is_asked_once_to_make_and_once_to_open() {
    let kms = KmsServer::start(&[KEY]).await;
    let folder = tempfile::tempdir().unwrap();
    let said = killed_in_talk(serve(folder.path(), &kms, &[]), folder.path(), &["CA1", "CA2", "CA3"]).await;
    assert_eq!((kms.state.made.load(Ordering::SeqCst), kms.state.opened.load(Ordering::SeqCst)), (1, 0), "no recording asks");
    assert!(!folder.path().join("keys/spool.key").exists(), "no key that opens the spool lies on the disk");
    let spooled: Vec<_> = spools(folder.path()).iter().map(|spool| std::fs::read(spool).unwrap()).collect();
    assert!(spooled.len() == 3 && spooled.iter().all(|bytes| bytes.starts_with(b"CGSPOOL2")));

    let again = serve(folder.path(), &kms, &[]);
    until("all are stored", async || spools(folder.path()).is_empty()).await;
    assert_eq!((kms.state.made.load(Ordering::SeqCst), kms.state.opened.load(Ordering::SeqCst)), (2, 1));
    again.signal("-TERM");
    let log = again.log();
    assert!(log.contains("left by a crash") && !log.contains("ERROR"), "{log}");
    are_stored(folder.path(), &said);
    for context in kms.state.contexts.lock().unwrap().iter() {
        assert!(context["purpose"] == "callgate-spool" && context["gateway"].as_str().is_some_and(|name| !name.is_empty()), "{context}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kms_at_the_start_there_is_no_start_and_one_line_says_why() {
    let kms = KmsServer::start(&[KEY]).await;
    let folder = tempfile::tempdir().unwrap();
    let refused = async |key: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_callgate"));
        command.arg("serve").env("CALLGATE_LISTEN", "127.0.0.1:0").env("CALLGATE_DATA_DIR", folder.path()).env("CALLGATE_LOG", "error");
        command.envs(kms.environment(key));
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with(&format!("callgate: CALLGATE_SPOOL_KMS_KEY {key}: no data key: AWS KMS: ")), "{said}");
        assert_eq!(said.matches("AWS KMS: ").count(), 1, "and says it once: {said}");
        said
    };
    assert!(refused("alias/another").await.contains("NotFoundException; check the key, its policy, the credentials and the region"));
    for (mood, why) in [
        (Mood::Denies, "AccessDeniedException; check the key, its policy"),
        (Mood::Ails, "KMSInternalException"),
        (Mood::Hangs, "it did not answer in time"),
    ] {
        kms.set(&[MAKE], mood);
        let said = refused(KEY).await;
        assert!(said.contains(why), "{mood:?}: {said}");
    }
    assert!(!folder.path().join("keys/spool.key").exists(), "nothing is recorded by a weaker key instead");
}

#[tokio::test(flavor = "multi_thread")]
async fn kms_goes_away_and_recordings_go_on_for_a_while_then_fail_closed_and_come_back_with_it() {
    let kms = KmsServer::start(&[KEY]).await;
    let folder = tempfile::tempdir().unwrap();
    let gate = Asked::new(serve(folder.path(), &kms, &[("CALLGATE_SPOOL_KMS_REFRESH_SECONDS", "2")]), folder.path());
    until("the key is replaced", async || kms.state.made.load(Ordering::SeqCst) >= 2).await;
    kms.set(&[MAKE, OPEN], Mood::Hangs);
    let mut early = answered(&gate.served, "CAearly").await;
    gate.call_is("CAearly", "ACTIVE").await;
    let first = early.chunk + 1;
    early.frames(100).await;

    until("the key is too old", async || gate.get("/readyz").await.0 == 503).await;
    let (_, ready) = gate.get("/readyz").await;
    assert!(ready["spool"] == false && ready["why"].to_string().contains("AWS KMS has given no new key for too long"), "{ready}");
    let mut late = answered(&gate.served, "CAlate").await;
    let failed = gate.call("CAlate", |call| call["unrecordedReason"] == "SYSTEM_ERROR").await;
    assert_eq!((failed["phase"].as_str(), failed["recording"]["state"].as_str()), (Some("CONNECTED"), Some("FAILED")), "{failed}");
    late.frames(100).await;
    let on = |call: &Value| call["recording"]["framesWithheld"]["inbound"].as_u64() >= Some(350);
    let later = gate.call("CAlate", on).await;
    assert!(later["phase"] == "CONNECTED" && later["recording"]["framesCaptured"]["inbound"] == 0, "the call goes on, unrecorded: {later}");

    // What was begun before has its key: it is recorded to its end and stored, KMS or no KMS.
    early.frames(100).await;
    early.stop().await;
    let whole = gate.call_is("CAearly", "FINISHED").await;
    assert_eq!(whole["recording"]["framesCaptured"]["inbound"], 200, "{whole}");
    let there = frames_in(&left(&std::fs::read(&wavs(folder.path())[0]).unwrap()), early.chunk);
    assert_eq!(there, (first..first + 200).collect::<Vec<_>>());

    kms.set(&[MAKE, OPEN], Mood::Well);
    until("KMS is back", async || gate.get("/readyz").await.0 == 200).await;
    let _again = answered(&gate.served, "CAagain").await;
    gate.call_is("CAagain", "ACTIVE").await;
    late.stop().await;
    gate.served.signal("-TERM");
    let log = gate.served.log();
    assert!(log.contains("a recording cannot begin") && log.contains("AWS KMS has given no new key for too long"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kms_does_not_open_at_the_start_stays_and_is_stored_when_it_does() {
    let kms = KmsServer::start(&[KEY]).await;
    let folder = tempfile::tempdir().unwrap();
    let said = killed_in_talk(serve(folder.path(), &kms, &[]), folder.path(), &["CA1", "CA2"]).await;
    kms.set(&[OPEN], Mood::Ails);
    let gate = Asked::new(serve(folder.path(), &kms, &[]), folder.path());
    // The start did not wait for it, and calls are recorded meanwhile.
    let mut caller = answered(&gate.served, "CAnew").await;
    gate.call_is("CAnew", "ACTIVE").await;
    caller.frames(50).await;
    caller.stop().await;
    gate.call_is("CAnew", "FINISHED").await;
    // A spool goes after its recording is known to be stored.
    until("its own spool goes", async || spools(folder.path()).len() <= 2).await;
    assert_eq!((spools(folder.path()).len(), wavs(folder.path()).len()), (2, 1), "what is locked stays");
    std::fs::remove_file(&wavs(folder.path())[0]).unwrap();
    kms.set(&[OPEN], Mood::Well);
    until("all are stored", async || spools(folder.path()).is_empty()).await;
    gate.served.signal("-TERM");
    let log = gate.served.log();
    assert!(log.contains("cannot be opened now; it is kept and tried again"), "{log}");
    are_stored(folder.path(), &said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_kms_refuses_is_kept_and_keeps_nobody_else_from_theirs() {
    let kms = KmsServer::start(&[KEY]).await;
    let folder = tempfile::tempdir().unwrap();
    let mut said = killed_in_talk(serve(folder.path(), &kms, &[]), folder.path(), &["CA1", "CA2"]).await;
    // Another gateway's name in the front of the one: KMS binds a key to who asked for it.
    let spool = spools(folder.path()).remove(0);
    let mut bytes = std::fs::read(&spool).unwrap();
    let gateway = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]])) + 60 + 1;
    bytes[gateway] ^= 1;
    std::fs::write(&spool, bytes).unwrap();
    let gate = Asked::new(serve(folder.path(), &kms, &[]), folder.path());
    gate.call_is("CA1", "FAILED").await;
    gate.call_is("CA2", "FINISHED").await;
    until("only the one is left", async || spools(folder.path()) == [spool.clone()]).await;
    gate.served.signal("-TERM");
    let log = gate.served.log();
    assert!(log.contains("kept: its key cannot be opened") && log.contains("InvalidCiphertextException"), "{log}");
    said.remove(0);
    are_stored(folder.path(), &said);
}

#[tokio::test(flavor = "multi_thread")]
async fn spools_outlive_the_way_to_kms_and_back_and_from_one_of_its_keys_to_another() {
    let kms = KmsServer::start(&[KEY, "alias/next"]).await;
    let folder = tempfile::tempdir().unwrap();
    // From a key file to KMS.
    let mut said = killed_in_talk(Served::start(folder.path(), &[NO_PROMPT]), folder.path(), &["CAfile"]).await;
    let served = serve(folder.path(), &kms, &[]);
    until("it is stored", async || spools(folder.path()).is_empty()).await;
    assert_eq!(kms.state.opened.load(Ordering::SeqCst), 0, "KMS has no part in it");
    said.extend(killed_in_talk(served, folder.path(), &["CAkms"]).await);
    // Without KMS it stays, and says what is missing.
    let without = Asked::new(Served::start(folder.path(), &[NO_PROMPT]), folder.path());
    without.call_is("CAkms", "FAILED").await;
    without.served.signal("-TERM");
    let log = without.served.log();
    assert!(log.contains("it was written with AWS KMS; set CALLGATE_SPOOL_KMS_KEY"), "{log}");
    assert_eq!(spools(folder.path()).len(), 1);
    // With another key of the same KMS it opens: KMS knows which it was.
    let next = Asked::new(serve(folder.path(), &kms, &[("CALLGATE_SPOOL_KMS_KEY", "alias/next")]), folder.path());
    next.call_is("CAkms", "FINISHED").await;
    until("its spool goes", async || spools(folder.path()).is_empty()).await;
    next.served.signal("-TERM");
    assert!(next.served.log().contains("draining"));
    are_stored(folder.path(), &said);
}
