//! The writers: plain threads that own the spool files. One write a chunk; an fsync when a recording is sealed.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::AeadInOut as _;

use super::format::{self, MAGIC};
use super::keys::{KeyFile, WRAPPED};
use super::{CHUNK_ROOM, Job, Pool, RecordingHead, SPOOL_QUEUE_CHUNKS, SpoolFeed, SpoolStalled};
use crate::engine::time::Tick;

/// Writers look for work this often: part of what `kill -9` may lose.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Buffers kept for reuse: more than a thousand calls have on their way at once, 4 MiB.
const POOL_MAX: usize = 2_048;

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
}

impl SpoolWriters {
    /// Starts `threads` writers on `folder`. `report` is called on their threads and must not wait.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn start(
        folder: &Path,
        keys: &Arc<KeyFile>,
        threads: usize,
        report: impl Fn(Arc<RecordingHead>, SpoolEnd) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let pool = Pool::default();
        let report: Report = Arc::new(report);
        let mut queues = Vec::new();
        for n in 0..threads.max(1) {
            let (queue, jobs) = sync_channel(SPOOL_QUEUE_CHUNKS);
            let writer = Writer {
                folder: folder.to_owned(),
                keys: Arc::clone(keys),
                report: Arc::clone(&report),
                pool: Arc::clone(&pool),
                open: HashMap::new(),
                out: Vec::with_capacity(CHUNK_ROOM * 4),
            };
            std::thread::Builder::new().name(format!("spool-{n}")).spawn(move || writer.run(&jobs))?;
            queues.push(queue);
        }
        Ok(Self { queues: queues.into(), next: Arc::new(AtomicU64::new(0)), pool, folder: folder.into() })
    }

    /// Begins a recording's spool.
    ///
    /// # Errors
    /// [`SpoolStalled`] if not even that can be handed over.
    pub fn begin(&self, head: impl Into<Arc<RecordingHead>>, now: Tick) -> Result<SpoolFeed, SpoolStalled> {
        let slot = self.next.fetch_add(1, Ordering::Relaxed);
        let queue = &self.queues[usize::try_from(slot).unwrap_or(0) % self.queues.len()];
        let feed = SpoolFeed {
            slot,
            queue: queue.clone(),
            pool: Arc::clone(&self.pool),
            chunk: Vec::with_capacity(CHUNK_ROOM),
            first: None,
            began: now,
        };
        feed.send(Job::Open(slot, head.into()))?;
        Ok(feed)
    }

    /// Whether the folder takes files.
    #[must_use]
    pub fn ready(&self) -> bool {
        let probe = self.folder.join(".ready");
        fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)).is_ok()
    }
}

struct Writer {
    folder: PathBuf,
    keys: Arc<KeyFile>,
    report: Report,
    pool: Pool,
    open: HashMap<u64, Spool>,
    /// A chunk as it goes to disk; reused for every chunk of every recording.
    out: Vec<u8>,
}

struct Spool {
    head: Arc<RecordingHead>,
    path: PathBuf,
    aad: Vec<u8>,
    target: Result<Target, String>,
}

struct Target {
    file: File,
    cipher: Aes256Gcm,
    counter: u64,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let job = match jobs.try_recv() {
                Ok(job) => job,
                // A sender that finds nobody waiting has nobody to wake: at a thousand calls that is a system call and a
                // change of thread saved for every chunk.
                Err(TryRecvError::Empty) => {
                    std::thread::sleep(LOOK_EVERY);
                    continue;
                }
                Err(TryRecvError::Disconnected) => return,
            };
            match job {
                Job::Open(slot, head) => {
                    let path = self.folder.join(format!("{}.spool", head.recording_id));
                    let mut spool =
                        Spool { aad: head.recording_id.clone().into_bytes(), target: Target::create(&path, &head, &self.keys), head, path };
                    let mut chunk = Vec::new();
                    format::put_head(&mut chunk, &spool.head);
                    self.write(&mut spool, &chunk);
                    self.open.insert(slot, spool);
                }
                Job::Chunk(slot, mut chunk) => {
                    if let Some(mut spool) = self.open.remove(&slot) {
                        self.write(&mut spool, &chunk);
                        self.open.insert(slot, spool);
                    }
                    chunk.clear();
                    if let Ok(mut pool) = self.pool.lock()
                        && pool.len() < POOL_MAX
                        && chunk.capacity() <= CHUNK_ROOM
                    {
                        pool.push(chunk);
                    }
                }
                Job::Seal(slot, chunk) => {
                    let Some(mut spool) = self.open.remove(&slot) else { continue };
                    self.write(&mut spool, &chunk);
                    let end = match &spool.target {
                        Ok(target) => match target.file.sync_data() {
                            Ok(()) => SpoolEnd::Sealed(spool.path),
                            Err(why) => SpoolEnd::Failed { path: spool.path, why: why.to_string() },
                        },
                        Err(why) => SpoolEnd::Failed { path: spool.path, why: why.clone() },
                    };
                    (self.report)(spool.head, end);
                }
                Job::Discard(slot) => {
                    let Some(spool) = self.open.remove(&slot) else { continue };
                    let end = match destroy(&spool.path) {
                        Ok(()) => SpoolEnd::Discarded,
                        Err(why) => SpoolEnd::Failed { path: spool.path, why: why.to_string() },
                    };
                    (self.report)(spool.head, end);
                }
            }
        }
    }

    fn write(&mut self, spool: &mut Spool, chunk: &[u8]) {
        if let Ok(target) = &mut spool.target
            && let Err(why) = target.write(&spool.aad, chunk, &mut self.out)
        {
            tracing::error!(recording.id = %spool.head.recording_id, error = %why, "spool: audio cannot be written; check the disk");
            spool.target = Err(why.to_string());
        }
    }
}

impl Target {
    fn create(path: &Path, head: &RecordingHead, keys: &KeyFile) -> Result<Self, String> {
        let make = || -> io::Result<Self> {
            let (cipher, wrapped) = keys.data_key(&head.recording_id)?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            let id = head.recording_id.as_bytes();
            let id_len = u16::try_from(id.len()).map_err(|_| io::Error::other("a recording id is too long"))?;
            file.write_all(&[MAGIC.as_slice(), &id_len.to_le_bytes(), id, &wrapped].concat())?;
            Ok(Self { file, cipher, counter: 0 })
        };
        make().map_err(|why| {
            tracing::error!(recording.id = %head.recording_id, error = %why, "spool: a file cannot be made; check the disk");
            why.to_string()
        })
    }

    /// Encrypts in `out`, the writer's own scratch, and writes it at once.
    fn write(&mut self, id: &[u8], chunk: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        let len = u32::try_from(chunk.len() + 16).map_err(|_| io::Error::other("a chunk is too long"))?;
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&self.counter.to_le_bytes());
        out.extend_from_slice(chunk);
        let (nonce, aad) = nonce_and_aad(id, self.counter);
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

/// Destroys a spool: first the key, durably, then the file.
pub(super) fn destroy(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let id_len = super::read::id_length(&mut file)?;
    file.seek(SeekFrom::Start(10 + u64::from(id_len)))?;
    file.write_all(&[0; WRAPPED])?;
    file.sync_all()?;
    fs::remove_file(path)
}

impl std::fmt::Debug for SpoolWriters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SpoolWriters({})", self.folder.display())
    }
}

// The mutex of the pool is only ever held for a push or a pop.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<SpoolWriters>();
    shared::<Mutex<Vec<u8>>>();
};
