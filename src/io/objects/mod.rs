//! The object store: a folder, or S3 and what speaks like it.
//!
//! `put` publishes nothing before whoever makes the bytes has told the digest of the whole, and answers only when a
//! fresh look has proven that the store holds it: nothing local may be deleted before that (P8). `delete` looks again
//! as well (P9). Neither ever overwrites a different object in silence.

mod folder;
mod s3;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

pub use folder::Folder;
pub use s3::S3;

/// Bytes on their way. An error among them ends them.
pub type Source = mpsc::Receiver<io::Result<Bytes>>;

/// An object on its way into the store.
///
/// Bytes that merely stop may be half of it: their maker may have died. So the maker tells the digest of the whole when
/// all is given, and nothing is published before.
pub struct Feed {
    /// The bytes.
    pub bytes: Source,
    /// SHA-256 of all of them, in hex.
    pub sha256: oneshot::Receiver<String>,
}

impl Feed {
    /// The next bytes; `None` when all have been given.
    async fn next(&mut self, key: &str, tally: &mut Tally) -> Result<Option<Bytes>, ObjectError> {
        let Some(bytes) = self.bytes.recv().await else { return Ok(None) };
        let bytes = bytes.map_err(|source| ObjectError::Source { key: key.to_owned(), source })?;
        tally.add(&bytes);
        Ok(Some(bytes))
    }

    /// Whether what was given is the whole.
    async fn whole(self, key: &str, tally: Tally) -> Result<Stored, ObjectError> {
        let given = tally.stored(key);
        let why = match self.sha256.await {
            Ok(whole) if whole == given.sha256 => return Ok(given),
            Ok(_) => "the bytes given are not those that were meant",
            Err(_) => "its bytes stopped before the end",
        };
        Err(ObjectError::Source { key: key.to_owned(), source: io::Error::other(why) })
    }
}

/// Who asks whether we are ready does not wait for long.
const READY_WITHIN: Duration = Duration::from_secs(3);

/// Where objects go (`CALLGATE_OBJECTS` and what belongs to it).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectsSpec {
    /// `file://PATH` or `s3://bucket/prefix`.
    pub url: String,
    /// Of an S3-compatible store; path style then.
    pub endpoint: Option<String>,
    /// Server-side encryption.
    pub sse: Option<Sse>,
}

/// Server-side encryption of S3.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sse {
    /// `AES256`
    Aes256,
    /// `aws:kms`, with a key or the account's own.
    Kms(Option<String>),
}

/// What the store has been seen to hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Under which key.
    pub key: String,
    /// How long it is.
    pub bytes: u64,
    /// SHA-256 of what was read back.
    pub sha256: String,
}

/// What a deletion saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Deleted {
    /// Versions and delete markers removed.
    pub versions: u32,
    /// Unfinished uploads aborted.
    pub uploads: u32,
    /// Whether a fresh look found nothing.
    pub gone: bool,
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The configuration names no store.
    #[error("objects: {0:?} is no store; allowed are file://PATH and s3://BUCKET/PREFIX")]
    Spec(String),
    /// The key would leave the store.
    #[error("object key {0:?} is not allowed")]
    Key(String),
    /// The bytes to be stored ended in an error.
    #[error("object {key} could not be produced: {source}")]
    Source {
        /// Which.
        key: String,
        /// Why.
        source: io::Error,
    },
    /// The store refused, or was not there.
    #[error("object store could not {doing} {key}: {why}")]
    Store {
        /// What was tried.
        doing: &'static str,
        /// On which key.
        key: String,
        /// What the store, the disk or the network said.
        why: String,
    },
    /// Another object lies under this key.
    #[error("object {0} exists already and is another one; it was not overwritten")]
    Exists(String),
    /// A fresh look saw something else than what was sent.
    #[error("object {0} is not what was sent: the store does not hold it safely")]
    Unproven(String),
    /// The store took the object and left the encryption out; the object was removed again.
    #[error("object {0} was stored without the encryption asked for, and removed again; the store must honour CALLGATE_S3_SSE")]
    NotEncrypted(String),
}

impl ObjectError {
    /// Whether the same again may succeed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Store { .. } | Self::Unproven(_))
    }
}

/// The store.
#[derive(Clone, Debug)]
pub enum ObjectStore {
    /// A folder on this machine.
    Folder(Folder),
    /// S3.
    S3(S3),
}

impl ObjectStore {
    /// Opens the store that `spec` names.
    ///
    /// # Errors
    /// [`ObjectError::Spec`], or that the folder cannot be made.
    pub async fn open(spec: &ObjectsSpec) -> Result<Self, ObjectError> {
        if let Some(path) = spec.url.strip_prefix("file://").filter(|path| !path.is_empty()) {
            return Folder::open(PathBuf::from(path)).map(Self::Folder);
        }
        let rest = spec.url.strip_prefix("s3://").ok_or_else(|| ObjectError::Spec(spec.url.clone()))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(ObjectError::Spec(spec.url.clone()));
        }
        Ok(Self::S3(S3::open(bucket, prefix.trim_matches('/'), spec.endpoint.as_deref(), spec.sse.clone()).await))
    }

    /// Stores what `feed` gives under `key`, and proves it.
    ///
    /// # Errors
    /// [`ObjectError`]; then the caller keeps what it has.
    pub async fn put(&self, key: &str, content_type: &str, feed: Feed) -> Result<Stored, ObjectError> {
        check_key(key)?;
        match self {
            Self::Folder(folder) => folder.put(key, feed).await,
            Self::S3(s3) => s3.put(key, content_type, feed).await,
        }
    }

    /// The same for bytes at hand.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub async fn put_bytes(&self, key: &str, content_type: &str, bytes: Bytes) -> Result<Stored, ObjectError> {
        let mut tally = Tally::default();
        tally.add(&bytes);
        let (tell, sha256) = oneshot::channel();
        let (to, source) = mpsc::channel(1);
        // Both have room for it; if not, the digest would not fit the bytes.
        let _ = tell.send(tally.stored(key).sha256);
        let _ = to.try_send(Ok(bytes));
        drop(to);
        self.put(key, content_type, Feed { bytes: source, sha256 }).await
    }

    /// Reads an object, or the part of it in `range` (first and last byte).
    ///
    /// # Errors
    /// [`ObjectError::Store`]; `None` if there is no such object.
    pub async fn get(&self, key: &str, range: Option<(u64, u64)>) -> Result<Option<Source>, ObjectError> {
        check_key(key)?;
        match self {
            Self::Folder(folder) => folder.get(key, range).await,
            Self::S3(s3) => s3.get(key, range).await,
        }
    }

    /// Deletes every version of an object and every unfinished upload of it, then looks again. Doing it twice is fine.
    ///
    /// # Errors
    /// [`ObjectError::Store`].
    pub async fn delete(&self, key: &str) -> Result<Deleted, ObjectError> {
        check_key(key)?;
        match self {
            Self::Folder(folder) => folder.delete(key).await,
            Self::S3(s3) => s3.delete(key).await,
        }
    }

    /// Whether it answers, within [`READY_WITHIN`].
    pub async fn ready(&self) -> bool {
        let answer = async {
            match self {
                Self::Folder(folder) => folder.ready().await,
                Self::S3(s3) => s3.ready().await,
            }
        };
        tokio::time::timeout(READY_WITHIN, answer).await.unwrap_or(false)
    }
}

impl Sse {
    /// Reads `AES256` or `aws:kms[:KEY_ID]`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "AES256" => Some(Self::Aes256),
            "aws:kms" => Some(Self::Kms(None)),
            other => other.strip_prefix("aws:kms:").filter(|key| !key.is_empty()).map(|key| Self::Kms(Some(key.to_owned()))),
        }
    }
}

/// Relative, without empty or dotted segments.
fn check_key(key: &str) -> Result<(), ObjectError> {
    let fine = !key.is_empty()
        && key.len() <= 900
        && key.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && !key.contains('\0');
    if fine { Ok(()) } else { Err(ObjectError::Key(key.to_owned())) }
}

/// What a stream of bytes comes to.
#[derive(Default)]
struct Tally {
    digest: Sha256,
    bytes: u64,
}

impl Tally {
    fn add(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn stored(self, key: &str) -> Stored {
        let sha256 = self.digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Stored { key: key.to_owned(), bytes: self.bytes, sha256 }
    }
}

/// What a fresh look sees.
async fn seen(key: &str, mut source: Source) -> Result<Stored, ObjectError> {
    let mut tally = Tally::default();
    while let Some(bytes) = source.recv().await {
        let bytes = bytes.map_err(|why| ObjectError::Store { doing: "read back", key: key.to_owned(), why: why.to_string() })?;
        tally.add(&bytes);
    }
    Ok(tally.stored(key))
}
