//! Reading a spool: for sealing, and for what a crash left behind.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::AeadInOut as _;

use super::format::{self, CHUNK_MAX, FRONT, Record, RecordingHead, SPOOL, TAG};
use super::header::{Header, NoHeader};
use super::keys::SpoolKeys;
use super::noes::UNFINISHED;
use super::shed::FRESH;
use super::write::{READY, destroy, nonce_and_aad};

/// A file that is shorter, and ends before its head does, was torn there: it has no room for what makes a recording.
const HEAD_MAX: u64 = 16 * 1024;

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
    over: bool,
}

/// Why a spool that lies in the folder cannot be read from its beginning.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The process ended before its head was written: no frame can be in it.
    #[error("it was torn before its first frame")]
    Empty,
    /// Its key is zeroed: it was being destroyed when the process ended.
    #[error("its key is destroyed")]
    Shredded,
    /// Not written by this program, or its first bytes are damaged.
    #[error("it is no spool of this program")]
    Foreign,
    /// Its key does not unwrap.
    #[error("its key cannot be opened: the key is another one, or the file is damaged ({0})")]
    Locked(io::Error),
    /// Its first chunk does not decrypt.
    #[error("it is damaged in its head")]
    Damaged,
    /// The file system failed.
    #[error("it cannot be read: {0}")]
    Disk(io::Error),
}

/// The spools in a folder, in the order of their names. What a crash left of a rewriting is removed: the spool it was
/// made of is still there.
///
/// # Errors
/// What the file system says.
pub fn left_behind(folder: &Path) -> io::Result<Vec<SpoolFile>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == SPOOL) {
            found.push(SpoolFile { path });
        } else if path.extension().is_some_and(|ending| ending == FRESH || ending == UNFINISHED)
            && let Err(why) = destroy(&path)
        {
            tracing::warn!(error = %why, "spool: what is left of a rewriting cannot be removed");
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(READY)) {
            let _ = fs::remove_file(&path);
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// What a damaged spool's name ends in.
const DAMAGED: &str = "damaged";

/// What there is of a recording in a folder: its spool, a rewriting of it, one that was set aside.
#[must_use]
pub fn files_of(folder: &Path, recording_id: &str) -> Vec<PathBuf> {
    let all = [SPOOL, FRESH, DAMAGED].map(|ending| folder.join(format!("{recording_id}.{ending}")));
    // What cannot be looked at is taken to be there.
    all.into_iter().filter(|path| path.try_exists().unwrap_or(true)).collect()
}

/// Destroys all of that, key first. How many files there were.
///
/// # Errors
/// What the file system says; what was not destroyed is still there.
pub fn destroy_all_of(folder: &Path, recording_id: &str) -> io::Result<u32> {
    let mut destroyed = 0;
    for path in files_of(folder, recording_id) {
        destroy(&path)?;
        destroyed += 1;
    }
    Ok(destroyed)
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
    pub fn records(&self, keys: &SpoolKeys) -> io::Result<Records> {
        let mut file = File::open(&self.path)?;
        let header = Header::read(&mut file)?;
        let cipher = keys.unwrap(&header)?;
        let name = self.path.display().to_string();
        Ok(Records {
            file: BufReader::with_capacity(64 * 1024, file),
            cipher,
            id: header.id,
            next_counter: 0,
            plain: Vec::new(),
            at: 0,
            name,
            over: false,
        })
    }

    /// What the recording is, or why nobody can say.
    ///
    /// # Errors
    /// [`Unreadable`], each with its own consequence.
    pub fn look(&self, keys: &SpoolKeys) -> Result<RecordingHead, Unreadable> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Err(Unreadable::Empty),
            Err(why) => return Err(Unreadable::Disk(why)),
        };
        let length = file.metadata().map_err(Unreadable::Disk)?.len();
        let header = match Header::read(&mut file) {
            Ok(header) => header,
            Err(NoHeader::Torn) if length < HEAD_MAX => return Err(Unreadable::Empty),
            Err(NoHeader::Torn | NoHeader::Foreign) => return Err(Unreadable::Foreign),
            Err(NoHeader::Disk(why)) => return Err(Unreadable::Disk(why)),
        };
        if header.is_shredded() {
            return Err(Unreadable::Shredded);
        }
        match self.records(keys).map_err(Unreadable::Locked)?.next() {
            Some(Ok(Record::Head(head))) => Ok(*head),
            None if length < HEAD_MAX => Err(Unreadable::Empty),
            Some(_) | None => Err(Unreadable::Damaged),
        }
    }

    /// Its header, if it has one.
    #[cfg(feature = "kms")]
    pub(super) fn header(&self) -> Option<Header> {
        Header::read(&mut File::open(&self.path).ok()?).ok()
    }

    /// The id that its name tells.
    #[must_use]
    pub fn recording_id(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Takes it out of the way of the next start, and keeps it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn set_aside(&self) -> io::Result<PathBuf> {
        let aside = self.path.with_extension(DAMAGED);
        fs::rename(&self.path, &aside)?;
        Ok(aside)
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
    fn record(&mut self) -> Option<io::Result<Record>> {
        while self.at >= self.plain.len() {
            match self.chunk() {
                Ok(Some(())) => {}
                Ok(None) => return None,
                Err(why) => return Some(Err(why)),
            }
        }
        let mut rest = &self.plain[self.at..];
        let record = format::take(&mut rest);
        self.at = self.plain.len() - rest.len();
        Some(record.ok_or_else(|| self.damaged()))
    }

    /// The next chunk; `None` at the end and at a torn tail.
    fn chunk(&mut self) -> io::Result<Option<()>> {
        let mut front = [0u8; FRONT];
        if !read_whole(&mut self.file, &mut front)? {
            return Ok(None);
        }
        let [l0, l1, l2, l3, counter @ ..] = front;
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let counter = u64::from_le_bytes(counter);
        if !(TAG..=CHUNK_MAX).contains(&len) || counter != self.next_counter {
            return Err(self.damaged());
        }
        self.plain.resize(len, 0);
        if !read_whole(&mut self.file, &mut self.plain)? {
            return Ok(None);
        }
        let (nonce, aad) = nonce_and_aad(&self.id, counter);
        let (body, tag) = self.plain.split_at_mut(len - TAG);
        let tag: [u8; TAG] = tag.try_into().map_err(io::Error::other)?;
        if self.cipher.decrypt_inout_detached(&nonce.into(), &aad, body.into(), &tag.into()).is_err() {
            return Err(self.damaged());
        }
        self.plain.truncate(len - TAG);
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

    /// After an error nothing follows: what lies behind it cannot be told from anything else.
    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let found = self.record();
        self.over = !matches!(found, Some(Ok(_)));
        found
    }
}

/// Reads all of `into`; `false` if the file ends before.
fn read_whole(file: &mut BufReader<File>, into: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(into) {
        Ok(()) => Ok(true),
        Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(why) => Err(why),
    }
}
