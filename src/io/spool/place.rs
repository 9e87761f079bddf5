//! What the spool of a data folder is called among those of other gateways: whoever is to destroy a recording on another's disk
//! can tell that it is not on theirs.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use rand::RngExt as _;

const FILE: &str = "spool.id";

/// The name, made once and kept beside the spool. Whoever makes it holds the folder's lock.
///
/// # Errors
/// What the file system says.
pub fn spool_id(data_dir: &Path) -> io::Result<String> {
    if let Some(known) = known_spool_id(data_dir)? {
        return Ok(known);
    }
    let id = format!("spool_{:016x}", rand::rng().random::<u64>());
    let (fresh, file) = (data_dir.join("spool.id.new"), data_dir.join(FILE));
    let mut written = File::create(&fresh)?;
    written.write_all(id.as_bytes())?;
    // A name that a loss of power took away would leave recordings that nobody believes to have.
    written.sync_all()?;
    fs::rename(&fresh, &file)?;
    File::open(data_dir)?.sync_all()?;
    Ok(id)
}

/// The name, if the folder has one.
///
/// # Errors
/// What the file system says.
pub fn known_spool_id(data_dir: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(data_dir.join(FILE)) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|id| !id.is_empty())),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_keeps_the_name_that_it_was_given_and_no_two_have_one() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(known_spool_id(one.path()).unwrap(), None);
        let id = spool_id(one.path()).unwrap();
        assert_eq!(spool_id(one.path()).unwrap(), id);
        assert_eq!(known_spool_id(one.path()).unwrap().as_deref(), Some(id.as_str()));
        assert_ne!(spool_id(other.path()).unwrap(), id);
    }
}
