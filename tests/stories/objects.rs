//! One contract for both stores: a folder, and a real S3 server that checks every signature.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use crate::common::s3_server::{BUCKET, S3Server, SECRET_KEY, in_a_child};
use crate::common::{Caller, Rig, files, frames_in, left};
use bytes::Bytes;
use callgate::io::objects::{Feed, ObjectError, ObjectStore, ObjectsSpec, Sse, Stored};
use callgate::server::Given;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

fn bytes(length: usize) -> Bytes {
    let mut seed = 7u64;
    (0..length)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        })
        .collect()
}

/// A feed of these pieces; what `sha256` says is told at the end.
fn feed(pieces: Vec<std::io::Result<Bytes>>, sha256: Option<String>) -> Feed {
    let (to, source) = mpsc::channel(2);
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        for piece in pieces {
            if to.send(piece).await.is_err() {
                return;
            }
        }
        if let Some(sha256) = sha256 {
            let _ = tell.send(sha256);
        }
    });
    Feed { bytes: source, sha256: told }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn put(store: &ObjectStore, key: &str, bytes: &Bytes) -> Result<Stored, ObjectError> {
    let pieces = bytes.chunks(256 * 1024).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    store.put(key, "audio/wav", feed(pieces, Some(sha256(bytes)))).await
}

async fn get(store: &ObjectStore, key: &str, range: Option<(u64, u64)>) -> Option<Vec<u8>> {
    let mut source = store.get(key, range).await.unwrap()?;
    let mut all = Vec::new();
    while let Some(piece) = source.recv().await {
        all.extend_from_slice(&piece.unwrap());
    }
    Some(all)
}

fn spec(server: &S3Server) -> ObjectsSpec {
    ObjectsSpec { url: format!("s3://{BUCKET}/root"), endpoint: Some(server.endpoint.clone()), sse: None }
}

async fn contract(store: &ObjectStore) {
    let (short, long) = (bytes(100_000), bytes(20 * 1024 * 1024 + 17));
    for (key, bytes) in [("recordings/org/short.wav", &short), ("recordings/org/long.wav", &long)] {
        let stored = put(store, key, bytes).await.unwrap();
        assert_eq!(stored.bytes, bytes.len() as u64);
        assert_eq!(get(store, key, None).await.unwrap(), bytes.as_ref());
        assert_eq!(get(store, key, Some((40, 99))).await.unwrap(), &bytes[40..100]);
        assert_eq!(put(store, key, bytes).await.unwrap(), stored, "the same again is fine: a restart before we noted it");
        let other = put(store, key, &bytes.slice(1..)).await;
        assert!(matches!(other, Err(ObjectError::Exists(_))), "another object is never overwritten");
        let mut other = bytes.to_vec();
        other[50] ^= 1;
        let other = put(store, key, &other.into()).await;
        assert!(matches!(&other, Err(why @ ObjectError::Exists(_)) if !why.is_retryable()), "nor one of the same length");
        assert_eq!(get(store, key, None).await.unwrap(), bytes.as_ref());
    }
    assert_eq!(get(store, "recordings/org/none.wav", None).await, None);
    for key in ["../up", "/abs", "a//b", "a/./b", ""] {
        assert!(matches!(put(store, key, &short).await, Err(ObjectError::Key(_))), "{key:?}");
    }
    // Half of an object is none, however it came to be half: its maker failed, died, or gave other bytes than it meant.
    let (half, begun) = (|| Ok(short.slice(..1_000)), |length: usize| long.slice(..length));
    let failed = feed(vec![half(), Err(std::io::Error::other("the spool broke"))], Some(sha256(&short)));
    let died = feed(vec![half()], None);
    let others = feed(vec![half()], Some(sha256(&short)));
    let died_late = feed(vec![Ok(begun(17 * 1024 * 1024))], None);
    for (key, feed, whole) in
        [("failed.wav", failed, &short), ("died.wav", died, &short), ("others.wav", others, &short), ("late.wav", died_late, &long)]
    {
        let refused = store.put(key, "audio/wav", feed).await;
        assert!(matches!(refused, Err(ObjectError::Source { .. })), "{key}: {refused:?}");
        assert_eq!(get(store, key, None).await, None, "{key}: no half object");
        assert_eq!(put(store, key, whole).await.unwrap().bytes, whole.len() as u64, "{key}: and the whole one is still welcome");
    }
    assert!(store.ready().await);
    let deleted = store.delete("recordings/org/long.wav").await.unwrap();
    assert!(deleted.gone && deleted.versions >= 1);
    assert!(store.delete("recordings/org/long.wav").await.unwrap().gone, "twice is fine");
    assert_eq!(get(store, "recordings/org/long.wav", None).await, None);
}

#[test]
fn a_folder_keeps_the_contract() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let (half, busy) = (folder.path().join("recordings/.partial-1-1"), folder.path().join("recordings/.partial-2-1"));
        std::fs::create_dir_all(half.parent().unwrap()).unwrap();
        std::fs::write(&half, b"half").unwrap();
        std::fs::write(&busy, b"half").unwrap();
        std::fs::File::options().write(true).open(&half).unwrap().set_modified(SystemTime::now() - Duration::from_secs(7_200)).unwrap();
        let spec = ObjectsSpec { url: format!("file://{}", folder.path().display()), endpoint: None, sse: None };
        let store = ObjectStore::open(&spec).await.unwrap();
        assert!(!half.exists(), "what a crash left half written is swept");
        assert!(busy.exists(), "what another gateway is writing is not");
        std::fs::remove_file(busy).unwrap();
        contract(&store).await;
        assert!(files(folder.path()).iter().all(|file| !file.to_string_lossy().contains(".partial")));
    });
}

#[test]
fn s3_keeps_the_contract_and_rides_out_what_passes() {
    if !in_a_child((module_path!(), "s3_keeps_the_contract_and_rides_out_what_passes"), SECRET_KEY) {
        return;
    }
    runtime().block_on(async {
        let server = S3Server::start().await;
        let store = ObjectStore::open(&spec(&server)).await.unwrap();
        contract(&store).await;
        assert!(server.object("root/recordings/org/short.wav").is_some(), "under the prefix");

        server.state.busy.store(2, Ordering::SeqCst);
        put(&store, "busy.wav", &bytes(1_000)).await.unwrap();

        server.state.lies.store(1, Ordering::SeqCst);
        let lied = put(&store, "lied.wav", &bytes(1_000)).await.unwrap_err();
        assert!(matches!(lied, ObjectError::Unproven(_)) && lied.is_retryable(), "{lied}");
        server.state.lies.store(0, Ordering::SeqCst);
        put(&store, "lied.wav", &bytes(1_000)).await.expect("what the store broke does not lie in the way of the next try");

        // Broken in the third part; the next try sends only what is missing.
        let long = bytes(30 * 1024 * 1024);
        let before = server.state.parts_received.load(Ordering::SeqCst);
        server.state.parts_until_broken.store(before + 2, Ordering::SeqCst);
        put(&store, "resumed.wav", &long).await.unwrap_err();
        server.state.parts_until_broken.store(usize::MAX, Ordering::SeqCst);
        let stored = put(&store, "resumed.wav", &long).await.unwrap();
        assert_eq!((stored.bytes, server.state.parts_received.load(Ordering::SeqCst) - before), (30 * 1024 * 1024, 4), "no part twice");

        // A deletion takes an unfinished upload along.
        let before = server.state.parts_received.load(Ordering::SeqCst);
        server.state.parts_until_broken.store(before + 1, Ordering::SeqCst);
        put(&store, "given-up.wav", &long).await.unwrap_err();
        let deleted = store.delete("given-up.wav").await.unwrap();
        assert_eq!((deleted.uploads, deleted.gone), (1, true));
        assert!(server.state.uploads.lock().unwrap().is_empty());
        server.state.parts_until_broken.store(usize::MAX, Ordering::SeqCst);

        // Two tries left two uploads; the one that succeeds leaves none.
        server.leave_an_upload("root/twice.wav");
        server.leave_an_upload("root/twice.wav");
        put(&store, "twice.wav", &long).await.unwrap();
        assert!(server.state.uploads.lock().unwrap().is_empty());

        // Many versions and markers, listed two a page, and a neighbour whose name begins the same.
        for _ in 0..5 {
            server.leave_a_version("root/many.wav");
        }
        put(&store, "many.wav.json", &bytes(10)).await.unwrap();
        let deleted = store.delete("many.wav").await.unwrap();
        assert_eq!((deleted.versions, deleted.gone), (5, true));
        assert!(server.state.objects.lock().unwrap().keys().all(|key| key != "root/many.wav"));
        assert!(get(&store, "many.wav.json", None).await.is_some());
        server.leave_a_version("root/stubborn.wav");
        server.state.keeps.store(true, Ordering::SeqCst);
        let deleted = store.delete("stubborn.wav").await.unwrap();
        assert!(!deleted.gone, "a store that says yes and keeps it is not believed");
        server.state.keeps.store(false, Ordering::SeqCst);

        // Stores that know no conditions.
        server.state.unconditional.store(true, Ordering::SeqCst);
        put(&store, "plain.wav", &bytes(1_000)).await.unwrap();
        put(&store, "plain-long.wav", &long).await.unwrap();
        server.state.unconditional.store(false, Ordering::SeqCst);

        let encrypted = ObjectStore::open(&ObjectsSpec { sse: Sse::parse("AES256"), ..spec(&server) }).await.unwrap();
        put(&encrypted, "encrypted.wav", &bytes(1_000)).await.unwrap();
        put(&encrypted, "encrypted-long.wav", &long).await.unwrap();
        server.state.forgets_encryption.store(true, Ordering::SeqCst);
        let plain = put(&encrypted, "not-encrypted.wav", &bytes(1_000)).await.unwrap_err();
        assert!(matches!(plain, ObjectError::NotEncrypted(_)) && plain.to_string().contains("CALLGATE_S3_SSE"), "{plain}");
        assert!(server.object("root/not-encrypted.wav").is_none(), "and it does not stay there");
        server.state.forgets_encryption.store(false, Ordering::SeqCst);
        assert_eq!(Sse::parse("aws:kms:key-1"), Some(Sse::Kms(Some("key-1".into()))));
        assert_eq!(Sse::parse("rot13"), None);

        a_call_is_recorded_into_s3(&server).await;
    });
}

#[test]
fn a_store_that_knows_us_not_is_told_by_name_and_says_nothing_of_the_secret() {
    if !in_a_child((module_path!(), "a_store_that_knows_us_not_is_told_by_name_and_says_nothing_of_the_secret"), "not-the-secret") {
        return;
    }
    runtime().block_on(async {
        let server = S3Server::start().await;
        let stranger = ObjectStore::open(&spec(&server)).await.unwrap();
        let refused = put(&stranger, "stranger.wav", &bytes(1_000)).await.unwrap_err().to_string();
        assert!(refused.contains("SignatureDoesNotMatch") || refused.contains("HTTP 403"), "{refused}");
        assert!(refused.contains("check the store's credentials") && !refused.contains("not-the-secret"), "{refused}");
        assert!(!format!("{stranger:?}").contains("not-the-secret"));
        assert!(!stranger.ready().await);

        // Nobody there, and somebody who takes the call and says nothing.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = ObjectsSpec { endpoint: Some("http://127.0.0.1:9".into()), ..spec(&server) };
        let mute = ObjectsSpec { endpoint: Some(format!("http://{}", silent.local_addr().unwrap())), ..spec(&server) };
        let away = put(&ObjectStore::open(&nobody).await.unwrap(), "away.wav", &bytes(10)).await.unwrap_err();
        assert!(away.is_retryable() && away.to_string().contains("CALLGATE_S3_ENDPOINT"), "{away}");
        assert!(!ObjectStore::open(&mute).await.unwrap().ready().await, "nor does a question about readiness hang on it");
    });
}

/// A real gateway whose recordings go to S3, which is away when the call ends.
async fn a_call_is_recorded_into_s3(server: &S3Server) {
    let given = Given { objects: Some(format!("s3://{BUCKET}/calls")), s3_endpoint: Some(server.endpoint.clone()), ..Given::default() };
    let rig = Rig::start(given).await;
    let mut caller = Caller::talking(&rig, "CAs3").await;
    caller.frames(100).await;
    server.state.busy.store(8, Ordering::SeqCst);
    caller.stop().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let call = rig.call("CAs3", |call| call["recording"]["state"] == "FINISHED").await;
    let id = call["recording"]["recordingId"].as_str().unwrap();
    let (_, row) = rig.get(&format!("/api/recordings/{id}")).await;
    let key = row["objectKey"].as_str().unwrap();
    let wav = server.object(&format!("calls/{key}")).unwrap();
    assert_eq!(frames_in(&left(&wav), caller.chunk).len(), 100);
    assert!(server.object(&format!("calls/{}", key.replace(".wav", ".json"))).is_some(), "with its manifest beside it");

    // An opt-out that discards: nothing ever reaches the store.
    let before = server.state.objects.lock().unwrap().len();
    let mut caller = Caller::talking(&rig, "CAs3no").await;
    caller.frames(10).await;
    caller.key("2").await;
    caller.frames(50).await;
    caller.stop().await;
    rig.call("CAs3no", |call| call["recording"]["state"] == "DISCARDED" && call["phase"] == "ENDED").await;
    assert_eq!(server.state.objects.lock().unwrap().len(), before);
    for _ in 0..200 {
        if files(&rig.folder.path().join("spool")).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("and the spool is destroyed");
}

#[test]
fn a_store_that_is_none_is_refused_by_name() {
    runtime().block_on(async {
        for url in ["ftp://x", "s3://", "file://"] {
            let spec = ObjectsSpec { url: url.into(), endpoint: None, sse: None };
            assert!(ObjectStore::open(&spec).await.unwrap_err().to_string().contains(url));
        }
    });
}

fn runtime() -> tokio::runtime::Runtime {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}
