//! A secret seed in a file of its own, made on first use, for its owner's eyes only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rand::Rng as _;

/// Reads the seed in `path`; `None` if there is no such file.
///
/// # Errors
/// If the file cannot be read, is no seed, or others may read it.
pub fn read(path: &Path) -> io::Result<Option<[u8; 32]>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(why),
    };
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::other(format!("{} can be read by others: chmod 600 it, or remove it to make a new one", path.display())));
    }
    let seed =
        bytes.try_into().map_err(|_| io::Error::other(format!("{} is not a seed of 32 bytes: bring back the file", path.display())))?;
    Ok(Some(seed))
}

/// The same; one that is not there is made.
///
/// # Errors
/// As [`read`], or if it cannot be written.
pub fn open(path: &Path) -> io::Result<[u8; 32]> {
    if let Some(seed) = read(path)? {
        return Ok(seed);
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder)?;
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    // Written beside and linked: whoever finds the file finds the whole of it, and of two who make it one wins.
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&seed)?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    let _ = fs::remove_file(&draft);
    match linked {
        Ok(()) => {}
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
        Err(why) => return Err(why),
    }
    File::open(folder)?.sync_all()?;
    read(path)?.ok_or_else(|| io::Error::other(format!("{} is gone again", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/a.key");
        assert_eq!(read(&path).unwrap(), None);
        let seed = open(&path).unwrap();
        assert_eq!((open(&path).unwrap(), read(&path).unwrap()), (seed, Some(seed)));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(open(&path).unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert!(open(&path).unwrap_err().to_string().contains("bring back the file"));
    }
}
