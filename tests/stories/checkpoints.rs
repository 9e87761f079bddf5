//! Checkpoints copied out of the database: what no chain can see of itself, they do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::common::databases::Raw;
use crate::common::{Rig, Served, files};
use crate::common::{database_url as url, on_postgres};
use callgate::engine::consent::Actor;
use callgate::engine::ledger::{Checkpoint, Event, EventKind, Hash, Head, Merkle, NoteSigner};
use callgate::engine::time::WallTime;
use callgate::io::database::{Database, VerifyReport, Work};
use callgate::server::{Gateway, Given, checkpoint_key};

fn event(org: &str, n: u64) -> Event {
    Event {
        org_id: org.into(),
        kind: EventKind::CallUnrecorded,
        actor: Actor::System,
        call_id: Some(format!("call{n}")),
        client_id: Some("client".into()),
        at: WallTime(1_790_000_000_000),
        position: None,
        detail: serde_json::json!({ "n": n }),
    }
}

/// A database with `length` entries of `org`.
async fn chain(folder: &Path, org: &str, length: u64) -> Database {
    let database = Database::open(&url(folder)).await.unwrap();
    let begun = database.chains().await.unwrap().into_iter().find(|(of, _)| of == org).map_or(0, |(_, length)| length);
    for n in begun..length {
        database.ledger().append(Work::Audit(event(org, n), None)).unwrap();
    }
    database.ledger().flush().await;
    database
}

async fn unguarded(folder: &Path) -> Raw {
    let mut raw = crate::common::raw(folder).await;
    if on_postgres() {
        raw.execute(r#"ALTER TABLE "AuditEvent" DISABLE TRIGGER USER"#).await.unwrap();
        return raw;
    }
    for trigger in ["update", "delete", "replace"] {
        raw.execute(format!(r#"DROP TRIGGER IF EXISTS "AuditEvent_no_{trigger}""#)).await.unwrap();
    }
    raw
}

async fn signed(database: &Database, org: &str, size: u64) -> (String, Checkpoint) {
    let mut tree = Merkle::default();
    for (_, leaf) in database.leaves(org, 0, u32::try_from(size).unwrap()).await.unwrap() {
        tree.push(leaf);
    }
    assert_eq!(tree.size(), size);
    (org.to_owned(), Checkpoint::of("gate", org, size, tree.root()))
}

#[tokio::test]
async fn at_every_size_a_cut_tail_and_a_history_written_anew_are_seen() {
    for size in [0, 1, 2, 3, 255, 256, 257] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let database = chain(folder, "org", size).await;
        let checkpoint = signed(&database, "org", size).await;
        let against = async |checkpoint: &(String, Checkpoint)| {
            VerifyReport::against(&url(folder), std::slice::from_ref(checkpoint)).await.unwrap().broken.map(|broken| broken.to_string())
        };
        assert_eq!(against(&checkpoint).await, None, "{size}: it holds");
        let longer = chain(folder, "org", size + 3).await;
        assert_eq!(against(&checkpoint).await, None, "{size}: and when the chain has grown");
        let (nearly, ahead) = (signed(&longer, "org", size + 2).await, signed(&longer, "org", size + 3).await);
        let mut raw = unguarded(folder).await;
        raw.execute(format!(r#"DELETE FROM "AuditEvent" WHERE "seq" > {}"#, size + 2)).await.unwrap();
        assert_eq!(VerifyReport::of(&url(folder)).await.unwrap().broken, None, "the chain itself sees nothing");
        let cut = against(&ahead).await.unwrap();
        assert!(cut.contains(&format!("counts {} entries, and there are {}", size + 3, size + 2)), "{cut}");
        // Somebody who holds the database writes the last entry anew, with all its hashes.
        rewrite(&mut raw, size + 2).await;
        assert_eq!(VerifyReport::of(&url(folder)).await.unwrap().broken, None, "the chain itself sees nothing");
        let anew = against(&nearly).await.unwrap();
        assert!(anew.contains("written anew"), "{size}: {anew}");
        assert_eq!(against(&checkpoint).await, None, "{size}: what was signed before that still holds");
    }
}

/// Entry `seq`, the last, becomes another one that follows the same entry.
async fn rewrite(raw: &mut Raw, seq: u64) {
    let before = raw.texts::<1>(format!(r#"SELECT "hash" FROM "AuditEvent" WHERE "seq" = {}"#, seq - 1)).await;
    let hash = before.first().map_or(Hash::GENESIS, |[hash]| Hash::parse(hash.as_bytes()).unwrap());
    let entry =
        Head { seq: seq - 1, hash }.follow(&Event { detail: serde_json::json!({ "n": "forged" }), ..event("org", seq - 1) }).unwrap();
    let (hash, text) = (entry.hash.to_string(), entry.canonical.replace('\'', "''"));
    let done = raw.execute(format!(r#"UPDATE "AuditEvent" SET "hash" = '{hash}', "entry" = '{text}' WHERE "seq" = {seq}"#)).await;
    assert_eq!(done.unwrap(), 1);
}

#[tokio::test]
async fn a_checkpoint_is_of_one_chain_and_of_that_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    chain(folder, "one", 5).await;
    let database = chain(folder, "other", 7).await;
    let (one, other) = (signed(&database, "one", 5).await, signed(&database, "other", 7).await);
    assert_eq!(VerifyReport::against(&url(folder), &[one.clone(), other]).await.unwrap().broken, None);
    let swapped = VerifyReport::against(&url(folder), &[("other".into(), one.1.clone())]).await.unwrap().broken.unwrap();
    assert!(swapped.to_string().contains("first 5 entries of other"), "{swapped}");
    let gone = VerifyReport::against(&url(folder), &[("nobody".into(), one.1)]).await.unwrap().broken.unwrap();
    assert!(gone.to_string().contains("chain of nobody was cut") && gone.to_string().contains("there are 0"), "{gone}");
}

fn checkpoints(folder: &Path) -> Vec<PathBuf> {
    files(&folder.join("objects/checkpoints"))
}

fn callgate(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_callgate"))
        .args(arguments)
        .env("CALLGATE_DATA_DIR", folder)
        .env("CALLGATE_DATABASE_URL", crate::common::database_url(folder))
        .current_dir(folder)
        .output();
    let ran = ran.unwrap();
    (ran.status.code().unwrap(), String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_signs_when_it_stops_and_the_command_finds_what_was_done_to_its_chain() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let served = Served::start(folder, &[]);
    served.signal("-TERM");
    served.log();
    let files = checkpoints(folder);
    let [file] = files.as_slice() else { panic!("one checkpoint, of the configuration in force: {files:?}") };
    assert!(file.ends_with("checkpoints/%2Fcallgate/1.txt"), "{file:?}");
    let file = file.to_str().unwrap();
    let note = std::fs::read_to_string(file).unwrap();
    let (_, key) = callgate(folder, &["audit", "key"]);
    let key = key.trim();
    assert!(note.starts_with(&format!("{}/%2Fcallgate\n1\n", key.split('+').next().unwrap())), "{note}");

    let (code, said) = callgate(folder, &["audit", "verify", "--checkpoint", file]);
    assert!(code == 0 && said.contains("verified 1 entries") && said.contains("checkpoint of /callgate at 1 entries holds"), "{said}");
    let (code, said) = callgate(folder, &["audit", "verify", "--checkpoint", file, "--key", key]);
    assert_eq!(code, 0, "with a key that was copied out as well: {said}");

    // A key of somebody else, no key at all, a note that was changed, a file that is none.
    let other = NoteSigner::new("callgate-other", &[1; 32]).unwrap().verifier().to_string();
    let (code, said) = callgate(folder, &["audit", "verify", "--checkpoint", file, "--key", &other]);
    assert!(code == 2 && said.contains("not signed by callgate-other"), "{code} {said}");
    let (code, said) = callgate(folder, &["audit", "verify", "--checkpoint", file, "--key", &other, "--key", key]);
    assert!(code == 0 && said.contains("checkpoint of /callgate at 1 entries holds"), "several gateways have a key each: {code} {said}");
    let (code, said) = callgate(folder, &["audit", "verify", "--checkpoint", file, "--key", "hunter2"]);
    assert!(code == 2 && said.contains("NAME+HASH+BASE64"), "{code} {said}");
    let changed = folder.join("changed.txt");
    std::fs::write(&changed, note.replacen("\n1\n", "\n2\n", 1)).unwrap();
    let (code, said) = callgate(folder, &["audit", "verify", "--checkpoint", changed.to_str().unwrap()]);
    assert!(code == 1 && said.contains("does not hold"), "{code} {said}");
    let (code, said) = callgate(folder, &["audit", "verify", "--checkpoint", "nowhere.txt"]);
    assert!(code == 2 && said.contains("nowhere.txt cannot be read"), "{code} {said}");

    // History goes.
    let mut raw = unguarded(folder).await;
    raw.execute(r#"DELETE FROM "AuditEvent""#).await.unwrap();
    let (code, said) = callgate(folder, &["audit", "verify"]);
    assert!(code == 0, "without a checkpoint nothing is seen: {said}");
    let (code, said) = callgate(folder, &["audit", "verify", "--checkpoint", file]);
    assert!(code == 1 && said.contains("was cut"), "{code} {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_chain_is_signed_while_it_grows_and_never_against_what_was_signed() {
    let rig = Rig::start(Given::default()).await;
    let folder = rig.folder.path();
    chain(folder, "a/b", 300).await;
    let wanted = folder.join("objects/checkpoints/a%2Fb/300.txt");
    for _ in 0..800 {
        if wanted.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let key = checkpoint_key(folder).unwrap().unwrap();
    let first = Checkpoint::open(&std::fs::read_to_string(&wanted).unwrap(), &key).unwrap();
    assert_eq!((first.org(key.name()).as_deref(), first.size), (Some("a/b"), 300));

    // A restart goes on from there.
    let Rig { gateway, folder, token: _ } = rig;
    gateway.drain(Duration::from_secs(5)).await;
    chain(folder.path(), "a/b", 310).await;
    let gateway = Gateway::start(crate::common::config(folder.path(), Given::default())).await.unwrap();
    gateway.drain(Duration::from_secs(5)).await;
    let second = folder.path().join("objects/checkpoints/a%2Fb/310.txt");
    let second = Checkpoint::open(&std::fs::read_to_string(second).unwrap(), &key).unwrap();
    let report = VerifyReport::against(&url(folder.path()), &[("a/b".into(), first.clone()), ("a/b".into(), second)]).await.unwrap();
    assert_eq!(report.broken, None);

    // While it was down its last entries were cut, and others written in their place: that is not signed.
    let mut raw = unguarded(folder.path()).await;
    raw.execute(r#"DELETE FROM "AuditEvent" WHERE "orgId" = 'a/b' AND "seq" > 305"#).await.unwrap();
    let database = Database::open(&url(folder.path())).await.unwrap();
    for n in 1_000..1_015 {
        database.ledger().append(Work::Audit(event("a/b", n), None)).unwrap();
    }
    database.ledger().flush().await;
    assert_eq!(VerifyReport::of(&url(folder.path())).await.unwrap().broken, None, "the chain itself sees nothing");
    let gateway = Gateway::start(crate::common::config(folder.path(), Given::default())).await.unwrap();
    gateway.drain(Duration::from_secs(5)).await;
    let names: Vec<_> =
        files(&folder.path().join("objects/checkpoints/a%2Fb")).iter().map(|file| file.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["300.txt", "310.txt"], "nothing is signed that contradicts what was");
    assert!(files(&folder.path().join("objects/checkpoints/%2Fcallgate")).len() >= 3, "other chains go on");
}
