//! Reading a spool: for sealing, and for what a crash left behind.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::AeadInOut as _;

use super::format::{self, CHUNK_MAX, MAGIC, Record, RecordingHead};
use super::keys::{KeyFile, WRAPPED};
use super::write::{destroy, nonce_and_aad};

/// One recording's spool on disk.
#[derive(Clone, Debug)]
pub struct SpoolFile {
    path: PathBuf,
}

/// Its records, decrypted one chunk at a time. Nothing decrypted touches a disk.
pub struct Records {
    file: BufReader<File>,
    cipher: Aes256Gcm,
    id: Vec<u8>,
    next_counter: u64,
    plain: Vec<u8>,
    at: usize,
    name: String,
}

/// The spools in a folder, in the order of their names.
///
/// # Errors
/// What the file system says.
pub fn left_behind(folder: &Path) -> io::Result<Vec<SpoolFile>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "spool") {
            found.push(SpoolFile { path });
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

impl SpoolFile {
    /// The spool at `path`.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its records from the first on.
    ///
    /// # Errors
    /// If it is no spool, or its key is destroyed.
    pub fn records(&self, keys: &KeyFile) -> io::Result<Records> {
        let mut file = File::open(&self.path)?;
        let id_len = id_length(&mut file)?;
        let mut id = vec![0; usize::from(id_len)];
        file.read_exact(&mut id)?;
        let mut wrapped = [0; WRAPPED];
        file.read_exact(&mut wrapped)?;
        let recording_id = std::str::from_utf8(&id).map_err(|_| no_spool())?;
        let cipher = keys.unwrap(recording_id, &wrapped)?;
        let name = self.path.display().to_string();
        Ok(Records { file: BufReader::with_capacity(64 * 1024, file), cipher, id, next_counter: 0, plain: Vec::new(), at: 0, name })
    }

    /// What the recording is.
    ///
    /// # Errors
    /// As [`Self::records`], or if the crash came before the head was written.
    pub fn head(&self, keys: &KeyFile) -> io::Result<RecordingHead> {
        match self.records(keys)?.next() {
            Some(Ok(Record::Head(head))) => Ok(*head),
            Some(Err(why)) => Err(why),
            Some(Ok(_)) | None => Err(no_spool()),
        }
    }

    /// Destroys its key, then its file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn destroy(&self) -> io::Result<()> {
        destroy(&self.path)
    }
}

impl Records {
    /// The next chunk; `None` at the end and at a torn tail.
    fn chunk(&mut self) -> io::Result<Option<()>> {
        let mut front = [0u8; 12];
        if !read_whole(&mut self.file, &mut front)? {
            return Ok(None);
        }
        let [l0, l1, l2, l3, counter @ ..] = front;
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let counter = u64::from_le_bytes(counter);
        if !(16..=CHUNK_MAX).contains(&len) || counter != self.next_counter {
            return Err(self.damaged());
        }
        self.plain.resize(len, 0);
        if !read_whole(&mut self.file, &mut self.plain)? {
            self.plain.clear();
            return Ok(None);
        }
        let (nonce, aad) = nonce_and_aad(&self.id, counter);
        let (body, tag) = self.plain.split_at_mut(len - 16);
        let tag: [u8; 16] = tag.try_into().map_err(|_| no_spool())?;
        if self.cipher.decrypt_inout_detached(&nonce.into(), &aad, body.into(), &tag.into()).is_err() {
            self.plain.clear();
            return Err(self.damaged());
        }
        self.plain.truncate(len - 16);
        self.at = 0;
        self.next_counter += 1;
        Ok(Some(()))
    }

    fn damaged(&self) -> io::Error {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{}: chunk {} is damaged; what was before it is whole", self.name, self.next_counter),
        )
    }
}

impl Iterator for Records {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at >= self.plain.len() {
            match self.chunk() {
                Ok(Some(())) => {}
                Ok(None) => return None,
                Err(why) => {
                    self.plain.clear();
                    self.at = 0;
                    return Some(Err(why));
                }
            }
        }
        let mut rest = &self.plain[self.at..];
        let record = format::take(&mut rest);
        self.at = self.plain.len() - rest.len();
        Some(record.ok_or_else(|| self.damaged()))
    }
}

pub(super) fn id_length(file: &mut File) -> io::Result<u16> {
    file.seek(SeekFrom::Start(0))?;
    let mut front = [0; 10];
    file.read_exact(&mut front).map_err(|_| no_spool())?;
    if &front[..8] != MAGIC {
        return Err(no_spool());
    }
    Ok(u16::from_le_bytes([front[8], front[9]]))
}

/// Reads all of `into`; `false` if the file ends before.
fn read_whole(file: &mut BufReader<File>, into: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(into) {
        Ok(()) => Ok(true),
        Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(why) => Err(why),
    }
}

fn no_spool() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a spool, or torn before its head was written")
}
