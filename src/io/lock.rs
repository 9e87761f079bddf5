//! One process a data folder: two would write the same spools and the same chain.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// Holds a folder for as long as it lives. The kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// Why a folder is not ours.
#[derive(Debug, thiserror::Error)]
pub enum NotLocked {
    /// Another process holds it.
    #[error("another callgate uses it (process {0}); stop that one first, or give this one a folder of its own")]
    Taken(String),
    /// The file system failed.
    #[error("its lock file cannot be written: {0}")]
    Disk(#[from] io::Error),
}

impl FolderLock {
    /// Takes a folder.
    ///
    /// # Errors
    /// [`NotLocked`].
    pub fn take(folder: &Path) -> Result<Self, NotLocked> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(folder.join("lock"))?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                write!(file, "{}", std::process::id())?;
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                Err(NotLocked::Taken(if holder.is_empty() { "unknown".to_owned() } else { holder }))
            }
            Err(TryLockError::Error(why)) => Err(why.into()),
        }
    }
}
