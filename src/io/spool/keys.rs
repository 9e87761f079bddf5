//! Keys of the spool: one random data key a recording, wrapped by a key that never leaves its file.
//!
//! Destroying the wrapped key destroys the recording, whatever a disk may still hold of it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use rand::Rng as _;
use zeroize::Zeroizing;

/// Bytes of a wrapped data key: nonce, key, tag.
pub(super) const WRAPPED: usize = 12 + 32 + 16;

/// The key that wraps data keys.
pub struct KeyFile {
    cipher: Aes256Gcm,
}

impl KeyFile {
    /// Opens the key file, or makes it (0600, fsynced) on first use.
    ///
    /// # Errors
    /// What the file system says, or that the file is not a key.
    pub fn open(path: &Path) -> io::Result<Self> {
        let key = match fs::read(path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Self::make(path)?,
            Err(why) => return Err(why),
        };
        let key: &[u8; 32] = key
            .as_slice()
            .try_into()
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{} is not a 32-byte key", path.display())))?;
        Ok(Self { cipher: Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)) })
    }

    fn make(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut key = Zeroizing::new(vec![0; 32]);
        rand::rng().fill_bytes(&mut key);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&key)?;
        file.sync_all()?;
        Ok(key)
    }

    /// A new data key and its wrapped form.
    pub(super) fn data_key(&self, recording_id: &str) -> io::Result<(Aes256Gcm, Vec<u8>)> {
        let mut key = Zeroizing::new([0u8; 32]);
        let mut nonce = [0u8; 12];
        let mut random = rand::rng();
        random.fill_bytes(&mut *key);
        random.fill_bytes(&mut nonce);
        let payload = Payload { msg: &*key, aad: recording_id.as_bytes() };
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| io::Error::other("a data key cannot be wrapped"))?;
        let wrapped = [nonce.as_slice(), &sealed].concat();
        Ok((Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)), wrapped))
    }

    /// The data key behind `wrapped`.
    pub(super) fn unwrap(&self, recording_id: &str, wrapped: &[u8]) -> io::Result<Aes256Gcm> {
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "the spool's key was destroyed, or belongs to another key file");
        let (nonce, sealed) = wrapped.split_at_checked(12).ok_or_else(bad)?;
        let nonce: [u8; 12] = nonce.try_into().map_err(|_| bad())?;
        let payload = Payload { msg: sealed, aad: recording_id.as_bytes() };
        let key = Zeroizing::new(self.cipher.decrypt(&Nonce::from(nonce), payload).map_err(|_| bad())?);
        let key: [u8; 32] = key.as_slice().try_into().map_err(|_| bad())?;
        Ok(Aes256Gcm::new(&Key::<Aes256Gcm>::from(key)))
    }
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyFile(•)")
    }
}
