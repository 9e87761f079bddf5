//! Keys of the spool: one random data key a recording, wrapped by a key that outlives the process: one in a file, or one
//! that only AWS KMS opens (`kms`).
//!
//! Destroying the wrapped key destroys the recording, whatever a disk may still hold of it. Nothing here but
//! [`SpoolKeys::open`] and [`SpoolKeys::fetch`] ever asks the network.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use rand::Rng as _;
use zeroize::Zeroizing;

use super::header::{Header, WRAPPED};
#[cfg(feature = "kms")]
use super::kms::Ring;
use super::read::SpoolFile;

/// Which key of AWS KMS wraps (`CALLGATE_SPOOL_KMS_KEY` and what belongs to it).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KmsSpec {
    /// Its id, ARN or alias.
    pub key: String,
    /// A data key is replaced when it is so old.
    pub refresh: Duration,
}

/// The keys that wrap data keys.
pub struct SpoolKeys {
    /// Of a gateway without KMS; beside KMS, of the spools from before it.
    file: Option<Wrapping>,
    #[cfg(feature = "kms")]
    ring: Option<std::sync::Arc<Ring>>,
}

/// Why the keys cannot be opened at the start.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The key file.
    #[error("the spool's key cannot be opened: {0}")]
    File(#[from] io::Error),
    /// AWS KMS gave no data key.
    #[error("CALLGATE_SPOOL_KMS_KEY {key}: no data key: {why}")]
    Kms {
        /// Which key was asked for.
        key: String,
        /// Why there is none.
        why: NotFetched,
    },
}

/// Why a spool's key is not at hand.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotFetched {
    /// Nobody could tell; the next time may be better.
    #[error("AWS KMS: {0}")]
    Away(String),
    /// AWS KMS says that the key is not one it wrapped for this gateway.
    #[error("AWS KMS does not open it: {0}")]
    Refused(String),
}

/// A key that wraps others.
pub(super) struct Wrapping {
    cipher: Aes256Gcm,
}

impl SpoolKeys {
    /// Opens the keys: those of AWS KMS, which is asked for one at once, or else those of the key file, which is made
    /// (0600, fsynced) on first use.
    ///
    /// # Errors
    /// [`KeysError`] says what to mend.
    #[cfg_attr(not(feature = "kms"), expect(clippy::unused_async, reason = "with KMS it asks"))]
    pub async fn open(path: &Path, kms: Option<&KmsSpec>) -> Result<Self, KeysError> {
        let Some(spec) = kms else { return Ok(Self::in_file(path)?) };
        #[cfg(feature = "kms")]
        {
            let ring = Ring::open(spec).await.map_err(|why| KeysError::Kms { key: spec.key.clone(), why })?;
            let file = if path.exists() { Some(Wrapping::open(path)?) } else { None };
            Ok(Self { file, ring: Some(ring) })
        }
        #[cfg(not(feature = "kms"))]
        {
            let why = NotFetched::Refused("this callgate was built without it; build with --features kms".to_owned());
            Err(KeysError::Kms { key: spec.key.clone(), why })
        }
    }

    /// Opens the key file, or makes it.
    ///
    /// # Errors
    /// What the file system says, or that the file is not a key.
    pub fn in_file(path: &Path) -> io::Result<Self> {
        let file = match Wrapping::open(path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Wrapping::make(path)?,
            opened => opened?,
        };
        Ok(Self {
            file: Some(file),
            #[cfg(feature = "kms")]
            ring: None,
        })
    }

    #[cfg(all(test, feature = "kms"))]
    pub(super) fn of(ring: std::sync::Arc<Ring>) -> Self {
        Self { file: None, ring: Some(ring) }
    }

    /// Whether a recording can begin.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> io::Result<()> {
        #[cfg(feature = "kms")]
        if let Some(ring) = &self.ring {
            return ring.ready();
        }
        Ok(())
    }

    /// A new data key, and the header that brings it back. Never waits for the network.
    pub(super) fn data_key(&self, recording_id: &str) -> io::Result<(Aes256Gcm, Header)> {
        #[cfg(feature = "kms")]
        if let Some(ring) = &self.ring {
            let (outer, (cipher, wrapped)) = ring.wrap(|wrapping| wrapping.data_key(recording_id))?;
            return Ok((cipher, Header { id: recording_id.into(), wrapped, outer: Some(outer) }));
        }
        let file = self.file.as_ref().ok_or_else(|| io::Error::other("there is no key file"))?;
        let (cipher, wrapped) = file.data_key(recording_id)?;
        Ok((cipher, Header { id: recording_id.into(), wrapped, outer: None }))
    }

    /// The data key behind a header, if what wraps it is at hand.
    pub(super) fn unwrap(&self, header: &Header) -> io::Result<Aes256Gcm> {
        let id = header.recording_id()?;
        let Some(outer) = &header.outer else {
            let file = self.file.as_ref().ok_or_else(|| bad("it was written with a key file, and keys/spool.key is not there"))?;
            return file.unwrap(id, &header.wrapped);
        };
        #[cfg(feature = "kms")]
        return match &self.ring {
            Some(ring) => ring.find(outer).ok_or_else(|| bad("AWS KMS has not opened it"))?.unwrap(id, &header.wrapped),
            None => Err(bad("it was written with AWS KMS; set CALLGATE_SPOOL_KMS_KEY")),
        };
        #[cfg(not(feature = "kms"))]
        {
            let _ = outer;
            Err(bad("it was written with AWS KMS; run a callgate built with --features kms and set CALLGATE_SPOOL_KMS_KEY"))
        }
    }

    /// Whether [`Self::fetch`] would ask. Blocking, for the length of a header.
    #[must_use]
    pub fn needs_fetching(&self, spool: &SpoolFile) -> bool {
        #[cfg(feature = "kms")]
        if let (Some(ring), Some(Header { outer: Some(outer), .. })) = (&self.ring, spool.header()) {
            return ring.find(&outer).is_none();
        }
        let _ = spool;
        false
    }

    /// Has the key of a spool at hand: asks AWS KMS, if it was wrapped there and not by this process.
    ///
    /// # Errors
    /// [`NotFetched`]. That a spool is none, or of a key file, is no error here: whoever reads it is told.
    #[cfg_attr(not(feature = "kms"), expect(clippy::unused_async, reason = "with KMS it asks"))]
    pub async fn fetch(&self, spool: &SpoolFile) -> Result<(), NotFetched> {
        #[cfg(feature = "kms")]
        if let Some(ring) = &self.ring {
            let spool = spool.clone();
            let header = tokio::task::spawn_blocking(move || spool.header()).await;
            if let Ok(Some(Header { outer: Some(outer), .. })) = header {
                return ring.fetch(&outer).await;
            }
        }
        let _ = spool;
        Ok(())
    }
}

impl Wrapping {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self { cipher: Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)) }
    }

    fn open(path: &Path) -> io::Result<Self> {
        let key = Zeroizing::new(fs::read(path)?);
        let key: &[u8; 32] = key
            .as_slice()
            .try_into()
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{} is not a 32-byte key", path.display())))?;
        Ok(Self::new(key))
    }

    fn make(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut key = Zeroizing::new([0; 32]);
        rand::rng().fill_bytes(&mut *key);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&*key)?;
        file.sync_all()?;
        Ok(Self::new(&key))
    }

    /// A new data key and its wrapped form.
    fn data_key(&self, recording_id: &str) -> io::Result<(Aes256Gcm, [u8; WRAPPED])> {
        let mut key = Zeroizing::new([0u8; 32]);
        let mut wrapped = [0u8; WRAPPED];
        let (nonce, sealed) = wrapped.split_at_mut(12);
        let mut random = rand::rng();
        random.fill_bytes(&mut *key);
        random.fill_bytes(nonce);
        let nonce: [u8; 12] = nonce.try_into().map_err(io::Error::other)?;
        let payload = Payload { msg: &*key, aad: recording_id.as_bytes() };
        let made = self.cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| io::Error::other("a data key cannot be wrapped"))?;
        sealed.copy_from_slice(&made);
        Ok((Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)), wrapped))
    }

    /// The data key behind `wrapped`.
    fn unwrap(&self, recording_id: &str, wrapped: &[u8; WRAPPED]) -> io::Result<Aes256Gcm> {
        let bad = || bad("the spool's key was destroyed, or belongs to another key");
        let (nonce, sealed) = wrapped.split_at(12);
        let nonce: [u8; 12] = nonce.try_into().map_err(|_| bad())?;
        let payload = Payload { msg: sealed, aad: recording_id.as_bytes() };
        let key = Zeroizing::new(self.cipher.decrypt(&Nonce::from(nonce), payload).map_err(|_| bad())?);
        let key: [u8; 32] = key.as_slice().try_into().map_err(|_| bad())?;
        Ok(Aes256Gcm::new(&Key::<Aes256Gcm>::from(key)))
    }
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl std::fmt::Debug for SpoolKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SpoolKeys(•)")
    }
}
