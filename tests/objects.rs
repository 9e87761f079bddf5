//! One contract for both stores: a folder, and a real S3 server that checks every signature.

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use callgate::io::objects::{ObjectError, ObjectStore, ObjectsSpec, Sse};
use callgate::server::Given;
use common::s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use common::{Caller, Rig, files, frames_in, left};
use tokio::sync::mpsc;

/// The SDK reads its credentials from the environment, which is one for the whole process: every test is run in one.
fn with_credentials(secret: &str) {
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ] {
        // SAFETY: nextest and cargo run this before any other thread reads the environment; see `main` below.
        unsafe { std::env::set_var(name, value) };
    }
}

fn bytes(length: usize) -> Bytes {
    let mut seed = 7u64;
    (0..length)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        })
        .collect()
}

async fn put(store: &ObjectStore, key: &str, bytes: &Bytes) -> Result<callgate::io::objects::Stored, ObjectError> {
    let (to, source) = mpsc::channel(2);
    let pieces: Vec<Bytes> = bytes.chunks(256 * 1024).map(Bytes::copy_from_slice).collect();
    tokio::spawn(async move {
        for piece in pieces {
            if to.send(Ok(piece)).await.is_err() {
                break;
            }
        }
    });
    store.put(key, "audio/wav", source).await
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
        assert!(matches!(other, Err(ObjectError::Exists(_) | ObjectError::Unproven(_))), "another object is never overwritten");
        assert_eq!(get(store, key, None).await.unwrap(), bytes.as_ref());
    }
    assert_eq!(get(store, "recordings/org/none.wav", None).await, None);
    for key in ["../up", "/abs", "a//b", "a/./b", ""] {
        assert!(matches!(put(store, key, &short).await, Err(ObjectError::Key(_))), "{key:?}");
    }
    let (to, source) = mpsc::channel(2);
    to.send(Ok(Bytes::from_static(b"half"))).await.unwrap();
    to.send(Err(std::io::Error::other("the spool broke"))).await.unwrap();
    drop(to);
    assert!(matches!(store.put("broken.wav", "audio/wav", source).await, Err(ObjectError::Source { .. })));
    assert_eq!(get(store, "broken.wav", None).await, None, "no half object");
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
        let half = folder.path().join("recordings/.partial-1-1");
        std::fs::create_dir_all(half.parent().unwrap()).unwrap();
        std::fs::write(&half, b"half").unwrap();
        let spec = ObjectsSpec { url: format!("file://{}", folder.path().display()), endpoint: None, sse: None };
        let store = ObjectStore::open(&spec).await.unwrap();
        assert!(!half.exists(), "what a crash left half written is swept");
        contract(&store).await;
        assert!(files(folder.path()).iter().all(|file| !file.to_string_lossy().contains(".partial")));
    });
}

#[test]
fn s3_keeps_the_contract_and_rides_out_what_passes() {
    with_credentials(SECRET_KEY);
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

        let encrypted = ObjectStore::open(&ObjectsSpec { sse: Sse::parse("AES256"), ..spec(&server) }).await.unwrap();
        put(&encrypted, "encrypted.wav", &bytes(1_000)).await.unwrap();
        assert_eq!(*server.state.encrypted.lock().unwrap(), ["AES256"]);
        assert_eq!(Sse::parse("aws:kms:key-1"), Some(Sse::Kms(Some("key-1".into()))));
        assert_eq!(Sse::parse("rot13"), None);

        with_credentials("not-the-secret");
        let stranger = ObjectStore::open(&spec(&server)).await.unwrap();
        let refused = put(&stranger, "stranger.wav", &bytes(1_000)).await.unwrap_err().to_string();
        assert!(refused.contains("check the store's credentials") && !refused.contains("not-the-secret"), "{refused}");
        assert!(!format!("{stranger:?}").contains("not-the-secret"));

        with_credentials(SECRET_KEY);
        a_call_is_recorded_into_s3(&server).await;
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
