//! A no that the database has not taken yet: kept beside the spools, encrypted as they are, until it has. It is the only thing
//! of a call that must outlive a process and has nowhere else to be.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aes_gcm::aead::{Aead as _, Payload};

use super::header::Header;
use super::keys::SpoolKeys;
use super::read::SpoolFile;
use super::write::nonce_and_aad;

/// What its name ends in.
const NO: &str = "no";
/// And while it is being written: one that a crash left so is none, and is removed at the start, when nobody writes.
pub(super) const UNFINISHED: &str = "no-unfinished";
/// A record with a person's reason is a few kilobytes.
const NO_MAX: u64 = 256 * 1024;

/// Keeps `plain`, durably, under the id of its record. Kept twice, the newer stays. Blocking.
///
/// # Errors
/// What the file system says, or that there is no key.
pub fn keep_no(folder: &Path, keys: &SpoolKeys, record_id: &str, plain: &[u8]) -> io::Result<SpoolFile> {
    let (cipher, header) = keys.data_key(record_id)?;
    let (nonce, aad) = nonce_and_aad(record_id.as_bytes(), 0);
    let sealed =
        cipher.encrypt(&nonce.into(), Payload { msg: plain, aad: &aad }).map_err(|_| io::Error::other("it cannot be encrypted"))?;
    let (path, unfinished) = (folder.join(format!("{record_id}.{NO}")), folder.join(format!("{record_id}.{UNFINISHED}")));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(&header.bytes()?)?;
    file.write_all(&sealed)?;
    file.sync_all()?;
    fs::rename(&unfinished, &path)?;
    File::open(folder)?.sync_all()?;
    Ok(SpoolFile::at(path))
}

/// Those that lie in a folder, in the order of their names.
///
/// # Errors
/// What the file system says.
pub fn noes_left_behind(folder: &Path) -> io::Result<Vec<SpoolFile>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == NO) {
            found.push(SpoolFile::at(path));
        }
    }
    found.sort_by(|one, other| one.path().cmp(other.path()));
    Ok(found)
}

impl SpoolFile {
    /// The no that it keeps; none if its key is destroyed, which is done when the database has it. Blocking.
    ///
    /// # Errors
    /// What the file system says, or that its key does not open it.
    pub fn no(&self, keys: &SpoolKeys) -> io::Result<Option<Vec<u8>>> {
        let mut file = File::open(self.path())?;
        let header = Header::read(&mut file)?;
        if header.is_shredded() {
            return Ok(None);
        }
        let (nonce, aad) = nonce_and_aad(&header.id, 0);
        let cipher = keys.unwrap(&header)?;
        let mut sealed = Vec::new();
        file.take(NO_MAX).read_to_end(&mut sealed)?;
        let plain = cipher.decrypt(&nonce.into(), Payload { msg: &sealed, aad: &aad });
        plain.map(Some).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is damaged"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_that_is_kept_can_be_read_by_its_key_alone_and_is_gone_when_it_is_destroyed() {
        let folder = tempfile::tempdir().unwrap();
        let keys = SpoolKeys::in_file(&folder.path().join("keys/spool.key")).unwrap();
        let other = SpoolKeys::in_file(&folder.path().join("keys/other.key")).unwrap();
        let kept = keep_no(folder.path(), &keys, "call_1-c1", b"a client said no").unwrap();
        keep_no(folder.path(), &keys, "call_1-c1", b"said no").unwrap();
        fs::write(folder.path().join("call_2-c1.no-unfinished"), b"CGSP").unwrap();
        assert!(!fs::read(kept.path()).unwrap().windows(7).any(|bytes| bytes == b"said no"), "encrypted");
        let found = noes_left_behind(folder.path()).unwrap();
        assert_eq!(found.len(), 1, "kept twice it is one, and one that was never finished is none: {found:?}");
        assert!(crate::io::spool::left_behind(folder.path()).unwrap().is_empty());
        assert!(!folder.path().join("call_2-c1.no-unfinished").exists(), "the start removes it");
        assert_eq!(found[0].no(&keys).unwrap().as_deref(), Some(&b"said no"[..]));
        assert!(found[0].no(&other).is_err());
        let mut bytes = fs::read(kept.path()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(kept.path(), &bytes).unwrap();
        assert!(found[0].no(&keys).unwrap_err().to_string().contains("damaged"));
        found[0].destroy().unwrap();
        assert!(noes_left_behind(folder.path()).unwrap().is_empty());
    }
}
