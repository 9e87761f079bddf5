//! What must hold of a spool: nothing in the clear, nothing lost but a torn tail, nobody made to wait.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::time::{Duration, Instant};

use super::*;
use crate::engine::consent::testing;

pub(crate) fn head(id: &str) -> RecordingHead {
    RecordingHead {
        recording_id: id.into(),
        call_id: "call".into(),
        call_sid: "CA1".into(),
        client_id: "client".into(),
        org_id: "org".into(),
        grant_seq: 1,
        consent: testing::record("record"),
        format: "wav".into(),
        started_at: "2026-11-26T08:00:00.000Z".into(),
        lead: None,
    }
}

/// Codes that no other frame has.
pub(crate) fn canary(n: u64) -> Vec<u8> {
    let mut seed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..160)
        .map(|_| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 40) as u8
        })
        .collect()
}

pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) keys: Arc<KeyFile>,
    pub(crate) writers: SpoolWriters,
    ends: Receiver<SpoolEnd>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = Arc::new(KeyFile::open(&folder.path().join("keys/spool.key")).unwrap());
        let (report, ends) = channel();
        let writers = SpoolWriters::start(&folder.path().join("spool"), &keys, 1, move |_, end| drop(report.send(end))).unwrap();
        Self { folder, keys, writers, ends }
    }

    /// A sealed spool of `count` frames.
    pub(crate) fn sealed(&self, id: &str, count: u64) -> SpoolFile {
        let mut feed = self.writers.begin(head(id), Tick(0)).unwrap();
        feed.stream_began(Tick(0), StreamNo(0), "MZ1".into());
        let batch = testing::admitted(1_000, count, canary);
        feed.push(Tick(1_000_000), &batch).unwrap();
        feed.seal().unwrap();
        match self.ends.recv_timeout(Duration::from_secs(5)).unwrap() {
            SpoolEnd::Sealed(path) => SpoolFile::at(path),
            other => panic!("{other:?}"),
        }
    }
}

fn frames(file: &SpoolFile, keys: &KeyFile) -> (Vec<Vec<u8>>, Option<String>) {
    let mut found = Vec::new();
    let Ok(records) = file.records(keys) else { return (found, None) };
    for record in records {
        match record {
            Ok(Record::Frame(frame)) => found.push(frame.codes),
            Ok(_) => {}
            Err(why) => return (found, Some(why.to_string())),
        }
    }
    (found, None)
}

#[test]
fn what_goes_in_comes_out_and_nothing_lies_in_the_clear() {
    let bench = Bench::new();
    let file = bench.sealed("rec1", 200);
    assert_eq!(frames(&file, &bench.keys).0, (0..200).map(canary).collect::<Vec<_>>());
    assert_eq!(file.head(&bench.keys).unwrap(), head("rec1"));
    let bytes = std::fs::read(file.path()).unwrap();
    for n in 0..200 {
        let piece = &canary(n)[..16];
        assert!(!bytes.windows(16).any(|window| window == piece), "frame {n} can be read on the disk");
    }
    assert!(!String::from_utf8_lossy(&bytes).contains("client"), "nor whose it is");
    let other = KeyFile::open(&bench.folder.path().join("other.key")).unwrap();
    assert!(file.records(&other).is_err(), "another key file opens nothing");
}

#[test]
fn a_spool_torn_at_any_byte_keeps_what_was_whole() {
    let bench = Bench::new();
    let file = bench.sealed("rec1", 60);
    let whole = std::fs::read(file.path()).unwrap();
    let all = frames(&file, &bench.keys).0;
    let torn = bench.folder.path().join("torn.spool");
    let mut best = 0;
    for length in 0..whole.len() {
        std::fs::write(&torn, &whole[..length]).unwrap();
        let (found, damage) = frames(&SpoolFile::at(torn.clone()), &bench.keys);
        assert_eq!(found, all[..found.len()], "torn at {length}");
        assert_eq!(damage, None, "a torn tail is no damage");
        assert!(found.len() >= best, "longer files hold no less");
        best = found.len();
    }
}

#[test]
fn every_flipped_byte_is_noticed() {
    let bench = Bench::new();
    let file = bench.sealed("rec1", 25);
    let whole = std::fs::read(file.path()).unwrap();
    let all = frames(&file, &bench.keys).0;
    let flipped = SpoolFile::at(bench.folder.path().join("flipped.spool"));
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(flipped.path(), &bytes).unwrap();
        let opened = flipped.records(&bench.keys).is_ok();
        let (found, damage) = frames(&flipped, &bench.keys);
        // A length made longer looks like a torn tail: then frames are missing.
        assert!(!opened || damage.is_some() || found.len() < all.len(), "byte {at}");
        assert_eq!(found, all[..found.len()], "byte {at}: nothing wrong is ever read");
    }
}

#[test]
fn p7_a_stuck_disk_never_holds_up_the_socket() {
    // A writer that never takes anything: the disk is stuck.
    let (queue, _stuck) = sync_channel(2);
    let mut feed = SpoolFeed { slot: 0, queue, pool: Pool::default(), chunk: Vec::new(), first: None, began: Tick(0) };
    let batch = testing::admitted(0, 10, canary);
    let began = Instant::now();
    let mut taken = 0;
    let stalled = loop {
        taken += 1;
        match feed.push(Tick(taken * 200_000), &batch).and_then(|()| feed.tick(Tick(taken * 200_000 + 190_000))) {
            Ok(()) if taken < 100 => {}
            Ok(()) => panic!("nobody noticed"),
            Err(stalled) => break stalled,
        }
    };
    assert_eq!((stalled, taken), (SpoolStalled, 3), "two chunks may wait, no more");
    assert!(began.elapsed() < Duration::from_millis(500), "and nobody waited");
}

#[test]
fn a_discarded_recording_is_gone_with_its_key() {
    let bench = Bench::new();
    let mut feed = bench.writers.begin(head("rec1"), Tick(0)).unwrap();
    feed.push(Tick(0), &testing::admitted(0, 50, canary)).unwrap();
    feed.discard().unwrap();
    assert_eq!(bench.ends.recv_timeout(Duration::from_secs(5)).unwrap(), SpoolEnd::Discarded);
    assert!(left_behind(&bench.folder.path().join("spool")).unwrap().is_empty());
}

#[test]
fn chunks_leave_in_time_whether_frames_come_or_not() {
    let (queue, jobs) = sync_channel(64);
    let mut feed = SpoolFeed { slot: 0, queue, pool: Pool::default(), chunk: Vec::new(), first: None, began: Tick(0) };
    let batch = testing::admitted(0, 1, canary);
    feed.push(Tick(0), &batch).unwrap();
    feed.tick(Tick(100_000)).unwrap();
    assert!(jobs.try_recv().is_err(), "100 ms: not yet");
    feed.tick(Tick(CHUNK_MS * 1_000)).unwrap();
    assert!(matches!(jobs.try_recv(), Ok(Job::Chunk(..))), "200 ms: on its way");
    for n in 0..=10 {
        feed.push(Tick(n * 20_000), &batch).unwrap();
    }
    assert!(matches!(jobs.try_recv(), Ok(Job::Chunk(..))), "ten frames are a chunk");
}

#[test]
fn a_folder_that_takes_no_files_fails_the_recording_and_says_so() {
    let bench = Bench::new();
    let folder: PathBuf = bench.folder.path().join("spool");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "a file where a folder should be").unwrap();
    let mut feed = bench.writers.begin(head("rec1"), Tick(0)).unwrap();
    feed.push(Tick(0), &testing::admitted(0, 50, canary)).unwrap();
    feed.seal().unwrap();
    assert!(matches!(bench.ends.recv_timeout(Duration::from_secs(5)).unwrap(), SpoolEnd::Failed { .. }));
    assert!(!bench.writers.ready());
}
