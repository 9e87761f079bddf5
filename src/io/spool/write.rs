//! The writers: plain threads that own the spool files. One write a chunk; an fsync when a recording is sealed,
//! and what [`super::sync`] does meanwhile.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::AeadInOut as _;
use crossbeam_queue::ArrayQueue;

use super::format::{self, CHUNK_MAX, SPOOL, TAG};
use super::header::{WRAPPED, key_at};
use super::keys::SpoolKeys;
use super::read::SpoolFile;
use super::sync::{self, Written};
use super::{Broken, CHUNK_ROOM, Job, Pool, RecordingHead, SPOOL_QUEUE_CHUNKS, SpoolFeed, SpoolStalled};
use crate::engine::time::Tick;
use crate::io::priority::give_way;

/// Writers look for work this often: part of what `kill -9` may lose.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Recordings whose feed is gone are looked for this often.
const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// What readiness is tried with: some chunks.
const PROBE: usize = 64 * 1024;
/// What a probe's name begins with.
pub(super) const READY: &str = ".ready-";
/// Buffers kept for reuse: more than a thousand calls have on their way at once, 4 MiB.
const POOL_MAX: usize = 2_048;
/// Of these there are from the start so many: what a thousand calls have on their way to writers that keep up.
const POOL_MIN: usize = 128;

/// How a recording's spool ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SpoolEnd {
    /// Written and fsynced: it can be sealed into an object.
    Sealed(PathBuf),
    /// Its key and file are destroyed.
    Discarded,
    /// It could not be written on; what there is of it stays where it is.
    Failed {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It must not exist, and could not be destroyed.
    Undestroyed {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Told from a writer's thread, with the recording's head.
type Report = Arc<dyn Fn(Arc<RecordingHead>, SpoolEnd) + Send + Sync>;

/// The writers of one gateway.
#[derive(Clone)]
pub struct SpoolWriters {
    queues: Arc<[SyncSender<Job>]>,
    next: Arc<AtomicU64>,
    pool: Pool,
    folder: Arc<Path>,
    keys: Arc<SpoolKeys>,
}

impl SpoolWriters {
    /// Starts `threads` writers on `folder`. `report` is called on their threads and must not wait.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn start(
        folder: &Path,
        keys: &Arc<SpoolKeys>,
        threads: usize,
        report: impl Fn(Arc<RecordingHead>, SpoolEnd) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let pool = Arc::new(ArrayQueue::new(POOL_MAX));
        for _ in 0..POOL_MIN {
            let _ = pool.push(Vec::with_capacity(CHUNK_ROOM));
        }
        let report: Report = Arc::new(report);
        let written = sync::start(folder)?;
        let mut queues = Vec::new();
        for n in 0..threads.max(1) {
            let (queue, jobs) = sync_channel(SPOOL_QUEUE_CHUNKS);
            let writer = Writer {
                folder: folder.to_owned(),
                keys: Arc::clone(keys),
                report: Arc::clone(&report),
                pool: Arc::clone(&pool),
                written: Arc::clone(&written),
                open: HashMap::new(),
                out: Vec::with_capacity(CHUNK_ROOM * 4),
            };
            std::thread::Builder::new().name(format!("spool-{n}")).spawn(move || {
                give_way();
                writer.run(&jobs);
            })?;
            queues.push(queue);
        }
        Ok(Self { queues: queues.into(), next: Arc::new(AtomicU64::new(0)), pool, folder: folder.into(), keys: Arc::clone(keys) })
    }

    /// Begins a recording's spool.
    ///
    /// # Errors
    /// [`SpoolStalled`] if not even that can be handed over.
    pub fn begin(&self, head: impl Into<Arc<RecordingHead>>, now: Tick) -> Result<SpoolFeed, SpoolStalled> {
        let slot = self.next.fetch_add(1, Ordering::Relaxed);
        let queue = &self.queues[usize::try_from(slot).unwrap_or(0) % self.queues.len()];
        let broken = Broken::default();
        let feed = SpoolFeed {
            slot,
            queue: queue.clone(),
            pool: Arc::clone(&self.pool),
            chunk: Vec::with_capacity(CHUNK_ROOM),
            first: None,
            began: now,
            broken: Arc::clone(&broken),
            cut: false,
            ended: false,
        };
        feed.send(Job::Open(slot, head.into(), broken))?;
        Ok(feed)
    }

    /// Whether there is a key, and the folder takes audio: tried with [`PROBE`] bytes, since a full disk still takes empty
    /// files. Blocking.
    ///
    /// # Errors
    /// What the file system says.
    pub fn ready(&self) -> io::Result<()> {
        self.keys.ready()?;
        let probe = self.folder.join(format!("{READY}{}", self.next.fetch_add(1, Ordering::Relaxed)));
        let written = fs::write(&probe, [0; PROBE]);
        let removed = fs::remove_file(&probe);
        written.and(removed)
    }
}

struct Writer {
    folder: PathBuf,
    keys: Arc<SpoolKeys>,
    report: Report,
    pool: Pool,
    written: Written,
    open: HashMap<u64, Spool>,
    /// A chunk as it goes to disk; reused for every chunk of every recording.
    out: Vec<u8>,
}

struct Spool {
    head: Arc<RecordingHead>,
    path: PathBuf,
    target: Target,
    broken: Broken,
}

/// A spool file that is written on.
pub(super) struct Target {
    file: File,
    cipher: Aes256Gcm,
    id: Vec<u8>,
    counter: u64,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>) {
        let mut swept = Instant::now();
        loop {
            match jobs.try_recv() {
                Ok(job) => self.handle(job),
                Err(TryRecvError::Empty) => {
                    if swept.elapsed() >= SWEEP_EVERY {
                        swept = Instant::now();
                        self.sweep(jobs);
                    }
                    // A sender that finds nobody waiting has nobody to wake: at a thousand calls that is a system call
                    // and a change of thread saved for every chunk.
                    std::thread::sleep(LOOK_EVERY);
                }
                Err(TryRecvError::Disconnected) => return,
            }
        }
    }

    fn handle(&mut self, job: Job) {
        match job {
            Job::Open(slot, head, broken) => self.begin(slot, head, broken),
            Job::Chunk(slot, mut chunk) => {
                self.write(slot, &chunk);
                chunk.clear();
                if chunk.capacity() <= CHUNK_ROOM {
                    let _ = self.pool.push(chunk);
                }
            }
            Job::Seal(slot, chunk, cut) => {
                self.write(slot, &chunk);
                let Some(spool) = self.open.remove(&slot) else { return };
                if cut {
                    self.shed_and_report(spool);
                } else {
                    let end = spool.end();
                    (self.report)(spool.head, end);
                }
            }
            Job::Discard(slot) => {
                let Some(spool) = self.open.remove(&slot) else { return };
                let end = match destroy(&spool.path) {
                    Ok(()) => SpoolEnd::Discarded,
                    Err(why) => SpoolEnd::Undestroyed { path: spool.path, why: why.to_string() },
                };
                (self.report)(spool.head, end);
            }
        }
    }

    fn begin(&mut self, slot: u64, head: Arc<RecordingHead>, broken: Broken) {
        let path = self.folder.join(format!("{}.{SPOOL}", head.recording_id));
        match Target::create(&path, &head.recording_id, &self.keys) {
            Ok(target) => {
                let mut chunk = Vec::new();
                format::put_head(&mut chunk, &head);
                self.open.insert(slot, Spool { head, path, target, broken });
                self.write(slot, &chunk);
            }
            Err(why) => {
                tracing::error!(recording.id = %head.recording_id, error = %why, "spool: a recording cannot begin; check the disk and the keys");
                broken.store(true, Ordering::Release);
                (self.report)(head, SpoolEnd::Failed { path, why: why.to_string() });
            }
        }
    }

    /// A chunk that cannot be written is the end of its recording, and of no other.
    fn write(&mut self, slot: u64, chunk: &[u8]) {
        let Some(spool) = self.open.get_mut(&slot) else { return };
        self.written.store(true, Ordering::Relaxed);
        if let Err(why) = spool.target.write(chunk, &mut self.out) {
            tracing::error!(recording.id = %spool.head.recording_id, error = %why, "spool: audio cannot be written; check the disk");
            spool.broken.store(true, Ordering::Release);
            if let Some(spool) = self.open.remove(&slot) {
                (self.report)(spool.head, SpoolEnd::Failed { path: spool.path, why: why.to_string() });
            }
        }
    }

    /// Ends the recordings whose feed is gone without a word: its queue was full, or its thread died.
    fn sweep(&mut self, jobs: &Receiver<Job>) {
        let gone: Vec<u64> = self.open.iter().filter(|(_, spool)| spool.broken.load(Ordering::Acquire)).map(|(slot, _)| *slot).collect();
        if gone.is_empty() {
            return;
        }
        // What they said before they went is in the queue by now.
        while let Ok(job) = jobs.try_recv() {
            self.handle(job);
        }
        for slot in gone {
            if let Some(spool) = self.open.remove(&slot) {
                let why = "the disk could not keep up with the audio".to_owned();
                (self.report)(spool.head, SpoolEnd::Failed { path: spool.path, why });
            }
        }
    }

    /// Off this thread: other recordings' chunks do not wait while a long one is written anew.
    fn shed_and_report(&self, spool: Spool) {
        let (keys, report) = (Arc::clone(&self.keys), Arc::clone(&self.report));
        let shed = move || {
            let end = spool.end();
            if let SpoolEnd::Sealed(path) = &end
                && let Err(why) = SpoolFile::at(path.clone()).shed_cuts(&keys)
            {
                let id = &spool.head.recording_id;
                tracing::error!(recording.id = %id, error = %why, "spool: what was cut is not published, but lies encrypted until the spool goes");
            }
            report(spool.head, end);
        };
        if let Err(why) = std::thread::Builder::new().name("spool-cut".to_owned()).spawn(shed) {
            tracing::error!(error = %why, "spool: no thread for a cut; its recording is stored at the next start");
        }
    }
}

impl Spool {
    fn end(&self) -> SpoolEnd {
        match self.target.sync() {
            Ok(()) => SpoolEnd::Sealed(self.path.clone()),
            Err(why) => SpoolEnd::Failed { path: self.path.clone(), why: why.to_string() },
        }
    }
}

impl Target {
    pub(super) fn create(path: &Path, recording_id: &str, keys: &SpoolKeys) -> io::Result<Self> {
        let (cipher, header) = keys.data_key(recording_id)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&header.bytes()?)?;
        Ok(Self { file, cipher, id: header.id, counter: 0 })
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Encrypts in `out`, the writer's own scratch, and writes it at once.
    pub(super) fn write(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        let too_long = || io::Error::other("a chunk is too long");
        let len = u32::try_from(chunk.len() + TAG).ok().filter(|len| *len as usize <= CHUNK_MAX).ok_or_else(too_long)?;
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&self.counter.to_le_bytes());
        out.extend_from_slice(chunk);
        let (nonce, aad) = nonce_and_aad(&self.id, self.counter);
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce.into(), &aad, (&mut out[12..]).into())
            .map_err(|_| io::Error::other("a chunk cannot be encrypted"))?;
        out.extend_from_slice(&tag);
        self.counter += 1;
        self.file.write_all(out)
    }
}

/// The nonce of a chunk is its counter, which never repeats under one key; the AAD ties it to its recording and place.
pub(super) fn nonce_and_aad(id: &[u8], counter: u64) -> ([u8; 12], Vec<u8>) {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    (nonce, [id, &counter.to_le_bytes()].concat())
}

/// Destroys a spool: first the key, durably, then the file. One that is gone, or has no key yet, is no error.
pub(super) fn destroy(path: &Path) -> io::Result<()> {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(mut file) => {
            match shred(&mut file) {
                Err(why) if why.kind() != io::ErrorKind::InvalidData => return Err(why),
                Ok(()) | Err(_) => {}
            }
            fs::remove_file(path)
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(why) => Err(why),
    }
}

/// Zeroes a spool's wrapped key, durably.
pub(super) fn shred(file: &mut File) -> io::Result<()> {
    let key_at = key_at(file)?;
    file.seek(SeekFrom::Start(key_at))?;
    file.write_all(&[0; WRAPPED])?;
    file.sync_all()
}

impl std::fmt::Debug for SpoolWriters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SpoolWriters({})", self.folder.display())
    }
}
