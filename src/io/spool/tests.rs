//! What must hold of a spool: nothing in the clear, nothing lost but a torn tail, nobody made to wait.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::time::{Duration, Instant};

use proptest::prelude::*;

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
        consent: testing::record("record").into(),
        format: "wav".into(),
        started_at: "2026-11-26T08:00:00.000Z".into(),
        lead: None,
        pauses: Default::default(),
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
    pub(crate) keys: Arc<SpoolKeys>,
    pub(crate) writers: SpoolWriters,
    ends: Receiver<SpoolEnd>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = SpoolKeys::in_file(&folder.path().join("keys/spool.key")).unwrap();
        Self::with(folder, keys)
    }

    /// Whose data keys are wrapped by one that AWS KMS wrapped.
    #[cfg(feature = "kms")]
    fn by_kms() -> Self {
        Self::with(tempfile::tempdir().unwrap(), SpoolKeys::of(kms::tests::ring(1, Duration::from_secs(3_600))))
    }

    fn with(folder: tempfile::TempDir, keys: SpoolKeys) -> Self {
        let keys = Arc::new(keys);
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

fn frames(file: &SpoolFile, keys: &SpoolKeys) -> (Vec<Vec<u8>>, Option<String>) {
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

fn feed(queue: SyncSender<Job>) -> SpoolFeed {
    let (pool, broken) = (Pool::new(ArrayQueue::new(4)), Broken::default());
    SpoolFeed { slot: 0, queue, pool, chunk: Vec::new(), first: None, began: Tick(0), broken, cut: false, ended: false }
}

#[test]
fn what_goes_in_comes_out_and_nothing_lies_in_the_clear() {
    let bench = Bench::new();
    let file = bench.sealed("rec1", 200);
    assert_eq!(frames(&file, &bench.keys).0, (0..200).map(canary).collect::<Vec<_>>());
    assert_eq!(file.look(&bench.keys).unwrap(), head("rec1"));
    let bytes = std::fs::read(file.path()).unwrap();
    for n in 0..200 {
        let piece = &canary(n)[..16];
        assert!(!bytes.windows(16).any(|window| window == piece), "frame {n} can be read on the disk");
    }
    assert!(!String::from_utf8_lossy(&bytes).contains("client"), "nor whose it is");
    let other = SpoolKeys::in_file(&bench.folder.path().join("other.key")).unwrap();
    assert!(file.records(&other).is_err(), "another key file opens nothing");
}

/// A spool file with these bytes, and what is found in it.
fn spool_of(bench: &Bench, bytes: &[u8]) -> (SpoolFile, Vec<Vec<u8>>, Option<String>) {
    let file = SpoolFile::at(bench.folder.path().join("changed.spool"));
    std::fs::write(file.path(), bytes).unwrap();
    let (found, damage) = frames(&file, &bench.keys);
    (file, found, damage)
}

#[test]
fn a_spool_torn_at_any_byte_keeps_what_was_whole() {
    torn_at_any_byte(&Bench::new(), usize::MAX);
    // Behind the header, which is longer, it is the same.
    #[cfg(feature = "kms")]
    torn_at_any_byte(&Bench::by_kms(), 1_000);
}

fn torn_at_any_byte(bench: &Bench, up_to: usize) {
    let whole = std::fs::read(bench.sealed("rec1", 60).path()).unwrap();
    let all: Vec<_> = (0..60).map(canary).collect();
    let mut best = 0;
    for length in 0..whole.len().min(up_to) {
        let (file, found, damage) = spool_of(bench, &whole[..length]);
        assert_eq!(found, all[..found.len()], "torn at {length}");
        assert_eq!(damage, None, "a torn tail is no damage");
        assert!(found.len() >= best, "longer files hold no less");
        assert!(matches!(file.look(&bench.keys), Ok(_) | Err(Unreadable::Empty)), "torn at {length}");
        best = found.len();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_spool_holds_a_beginning_of_what_was_said_or_has_an_error_with_a_name(
        frames in 1u64..80, at in any::<prop::sample::Index>(), flip in 1u8.., cut in prop::option::of(any::<prop::sample::Index>())
    ) {
        let bench = Bench::new();
        let mut bytes = std::fs::read(bench.sealed("rec1", frames).path()).unwrap();
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()).max(1));
        }
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let (file, found, damage) = spool_of(&bench, &bytes);
        let all: Vec<_> = (0..frames).map(canary).collect();
        prop_assert!(found.len() <= all.len() && found == all[..found.len()], "byte {} of {}", at, bytes.len());
        match file.look(&bench.keys) {
            Ok(told) => prop_assert_eq!(told, head("rec1")),
            Err(why) => prop_assert!(found.is_empty() && !matches!(why, Unreadable::Disk(_) | Unreadable::Shredded), "{}", why),
        }
        // A length made longer looks like a torn tail: then frames are missing, and nothing says that it was sealed.
        let records = file.records(&bench.keys).map(|records| records.filter_map(Result::ok).collect::<Vec<_>>()).unwrap_or_default();
        prop_assert!(damage.is_some() || !records.contains(&Record::Sealed), "byte {} of {} went unnoticed", at, bytes.len());
    }
}

#[test]
fn a_spool_that_is_none_says_what_it_is() {
    let bench = Bench::new();
    let file = bench.sealed("rec1", 25);
    let whole = std::fs::read(file.path()).unwrap();
    let look = |bytes: &[u8]| spool_of(&bench, bytes).0.look(&bench.keys).unwrap_err();
    let key = 10 + "rec1".len();
    let changed = |at: usize, with: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    assert!(matches!(look(b"RIFF, say: somebody else's file"), Unreadable::Foreign));
    assert!(matches!(look(&changed(8, &[0xFF, 0xFF])), Unreadable::Empty | Unreadable::Foreign));
    assert!(matches!(look(&changed(key + 20, &[0xAA])), Unreadable::Locked(_)));
    assert!(matches!(look(&changed(11, b"x")), Unreadable::Locked(_)), "another recording's key opens nothing");
    assert!(matches!(look(&changed(key, &[0; header::WRAPPED])), Unreadable::Shredded));
    assert!(matches!(look(&changed(key + header::WRAPPED + 40, &[0xAA, 0xAB])), Unreadable::Damaged));
    let gone = SpoolFile::at(bench.folder.path().join("nowhere.spool"));
    assert!(matches!(gone.look(&bench.keys), Err(Unreadable::Empty)));
}

#[test]
fn p7_a_stuck_disk_never_holds_up_the_socket() {
    // A writer that never takes anything: the disk is stuck.
    let (queue, _stuck) = sync_channel(2);
    let mut feed = feed(queue);
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
fn what_an_opt_out_cuts_back_is_in_the_spool_no_more_and_its_key_is_gone() {
    let bench = Bench::new();
    let mut feed = bench.writers.begin(head("rec1"), Tick(0)).unwrap();
    feed.stream_began(Tick(0), StreamNo(0), "MZ1".into());
    let path = bench.folder.path().join("spool/rec1.spool");
    feed.push(Tick(0), &testing::admitted(1_000, 100, canary)).unwrap();
    feed.push(Tick(1_000_000), &testing::admitted(3_000, 100, |n| canary(100 + n))).unwrap();
    feed.tick(Tick(2_000_000)).unwrap();
    until(|| frames(&SpoolFile::at(path.clone()), &bench.keys).0.len() == 200);
    // Somebody has the file open, or finds its blocks on the disk later.
    let mut old = std::fs::File::open(&path).unwrap();
    feed.cut_back(StreamNo(0), Place(3_610 * 8)).unwrap();
    feed.seal().unwrap();
    assert_eq!(bench.ends.recv_timeout(Duration::from_secs(5)).unwrap(), SpoolEnd::Sealed(path.clone()));

    let file = SpoolFile::at(path);
    assert_eq!(frames(&file, &bench.keys).0, (0..130).map(canary).collect::<Vec<_>>(), "up to the frame before the cut");
    let records: Vec<_> = file.records(&bench.keys).unwrap().map(Result::unwrap).collect();
    assert!(records.last() == Some(&Record::Sealed) && !records.iter().any(|record| matches!(record, Record::Cut(..))));
    assert_eq!(records[0], Record::Head(Box::new(head("rec1"))));
    // Every byte that the file holds, decrypted: no piece of what was cut is among them.
    let plain: Vec<u8> =
        records.iter().flat_map(|record| if let Record::Frame(frame) = record { frame.codes.clone() } else { Vec::new() }).collect();
    for n in 130..200 {
        let piece = &canary(n)[..16];
        assert!(!plain.windows(16).any(|window| window == piece), "frame {n} was cut and is there");
    }
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut old, &mut bytes).unwrap();
    let (old, found, _) = spool_of(&bench, &bytes);
    assert!(matches!(old.look(&bench.keys), Err(Unreadable::Shredded)) && found.is_empty(), "the old file opens no more");
    assert_eq!(files_in(&bench), ["rec1.spool"], "and nothing else is left");
}

#[test]
fn a_crash_in_the_middle_of_a_cut_leaves_the_cut_in_force() {
    let bench = Bench::new();
    let mut feed = bench.writers.begin(head("rec1"), Tick(0)).unwrap();
    feed.push(Tick(0), &testing::admitted(0, 50, canary)).unwrap();
    feed.cut_back(StreamNo(0), Place(500 * 8)).unwrap();
    let file = SpoolFile::at(bench.folder.path().join("spool/rec1.spool"));
    until(|| file.records(&bench.keys).is_ok_and(|records| records.filter_map(Result::ok).any(|record| matches!(record, Record::Cut(..)))));
    // The process died while the new file was being written.
    std::fs::write(file.path().with_extension("fresh"), "half of it").unwrap();
    let left = left_behind(&bench.folder.path().join("spool")).unwrap();
    assert_eq!((left.len(), files_in(&bench).len()), (1, 1), "the half is gone, the whole is found");
    left[0].shed_cuts(&bench.keys).unwrap();
    left[0].shed_cuts(&bench.keys).unwrap();
    assert_eq!(frames(&left[0], &bench.keys).0, (0..25).map(canary).collect::<Vec<_>>());
}

fn files_in(bench: &Bench) -> Vec<String> {
    let folder = std::fs::read_dir(bench.folder.path().join("spool")).unwrap();
    folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn until(mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(10), "never came to be");
        std::thread::yield_now();
    }
}

#[test]
fn a_recording_that_cannot_be_written_ends_and_the_others_go_on() {
    let bench = Bench::new();
    std::fs::create_dir(bench.folder.path().join("spool/rec1.spool")).unwrap();
    let mut broken = bench.writers.begin(head("rec1"), Tick(0)).unwrap();
    let mut whole = bench.writers.begin(head("rec2"), Tick(0)).unwrap();
    assert!(matches!(bench.ends.recv_timeout(Duration::from_secs(5)).unwrap(), SpoolEnd::Failed { .. }));
    let batch = testing::admitted(0, 50, canary);
    assert_eq!(broken.push(Tick(0), &batch), Err(SpoolStalled), "its call is told at the next frame");
    assert_eq!(broken.tick(Tick(0)), Err(SpoolStalled), "or without one");
    whole.push(Tick(0), &batch).unwrap();
    whole.seal().unwrap();
    assert!(matches!(bench.ends.recv_timeout(Duration::from_secs(5)).unwrap(), SpoolEnd::Sealed(_)));
}

#[test]
fn a_feed_that_is_dropped_without_a_word_is_reported_with_all_it_said() {
    let bench = Bench::new();
    let mut feed = bench.writers.begin(head("rec1"), Tick(0)).unwrap();
    feed.push(Tick(0), &testing::admitted(0, 50, canary)).unwrap();
    feed.tick(Tick(1_000_000)).unwrap();
    drop(feed);
    let SpoolEnd::Failed { path, .. } = bench.ends.recv_timeout(Duration::from_secs(5)).unwrap() else { panic!() };
    assert_eq!(frames(&SpoolFile::at(path), &bench.keys).0.len(), 50);
}

#[test]
fn a_chunk_that_could_not_be_read_again_is_not_written() {
    let bench = Bench::new();
    let _feed = bench.writers.begin(RecordingHead { client_id: "x".repeat(300_000), ..head("rec1") }, Tick(0)).unwrap();
    assert!(matches!(bench.ends.recv_timeout(Duration::from_secs(5)).unwrap(), SpoolEnd::Failed { .. }));
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
    let mut feed = feed(queue);
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
    assert!(matches!(bench.ends.recv_timeout(Duration::from_secs(5)).unwrap(), SpoolEnd::Failed { .. }));
    assert!(feed.push(Tick(0), &testing::admitted(0, 50, canary)).is_err());
    assert!(bench.writers.ready().is_err());
}

#[cfg(feature = "kms")]
#[test]
fn a_spool_by_kms_opens_with_its_own_key_alone_and_says_whose_it_is() {
    let bench = Bench::by_kms();
    let file = bench.sealed("rec1", 25);
    assert_eq!((frames(&file, &bench.keys).0.len(), file.look(&bench.keys).unwrap()), (25, head("rec1")));
    let whole = std::fs::read(file.path()).unwrap();
    assert!(whole.starts_with(b"CGSPOOL2") && whole.windows(184).any(|window| window == [1; 184]), "what KMS opens is in it");
    let locked = |keys: &SpoolKeys| match file.look(keys) {
        Err(Unreadable::Locked(why)) => why.to_string(),
        other => panic!("{other:?}"),
    };
    let by_file = SpoolKeys::in_file(&bench.folder.path().join("other.key")).unwrap();
    assert!(locked(&by_file).contains("set CALLGATE_SPOOL_KMS_KEY"));
    assert!(locked(&SpoolKeys::of(kms::tests::ring(2, Duration::from_secs(60)))).contains("AWS KMS has not opened it"));
    let key = 10 + "rec1".len();
    let look = |at: usize, with: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        spool_of(&bench, &bytes).0.look(&bench.keys).unwrap_err()
    };
    assert!(matches!(look(11, b"x"), Unreadable::Locked(_)), "another recording's key opens nothing");
    assert!(matches!(look(key, &[0; header::WRAPPED]), Unreadable::Shredded));
    assert!(matches!(look(key + header::WRAPPED + 1, b"x"), Unreadable::Locked(_)), "another gateway's neither");
    assert!(matches!(look(key + header::WRAPPED + 5, &[0xFF, 0xFF]), Unreadable::Foreign), "no answer of KMS is so long");
}

#[cfg(feature = "kms")]
#[test]
fn what_is_cut_of_a_spool_by_kms_is_gone_and_a_discarded_one_is_too() {
    let bench = Bench::by_kms();
    let mut feed = bench.writers.begin(head("rec1"), Tick(0)).unwrap();
    feed.push(Tick(0), &testing::admitted(0, 50, canary)).unwrap();
    feed.cut_back(StreamNo(0), Place(500 * 8)).unwrap();
    feed.seal().unwrap();
    let SpoolEnd::Sealed(path) = bench.ends.recv_timeout(Duration::from_secs(5)).unwrap() else { panic!() };
    assert_eq!(frames(&SpoolFile::at(path.clone()), &bench.keys).0, (0..25).map(canary).collect::<Vec<_>>());
    std::fs::remove_file(path).unwrap();
    let feed = bench.writers.begin(head("rec2"), Tick(0)).unwrap();
    feed.discard().unwrap();
    assert_eq!(bench.ends.recv_timeout(Duration::from_secs(5)).unwrap(), SpoolEnd::Discarded);
    assert!(files_in(&bench).is_empty());
}

#[cfg(feature = "kms")]
#[test]
fn without_a_key_in_force_a_recording_fails_and_its_file_is_not_made() {
    let bench = Bench::with(tempfile::tempdir().unwrap(), SpoolKeys::of(kms::tests::ring(1, Duration::ZERO)));
    let mut feed = bench.writers.begin(head("rec1"), Tick(0)).unwrap();
    let SpoolEnd::Failed { why, .. } = bench.ends.recv_timeout(Duration::from_secs(5)).unwrap() else { panic!() };
    assert!(why.contains("AWS KMS has given no new key for too long"), "{why}");
    assert!(feed.push(Tick(0), &testing::admitted(0, 50, canary)).is_err() && files_in(&bench).is_empty());
    assert!(bench.writers.ready().unwrap_err().to_string().contains("AWS KMS"), "and whoever asks is told");
}
