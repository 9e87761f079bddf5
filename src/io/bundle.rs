//! Evidence bundles as zip files: the same files, the same bytes. What comes in is bounded before it is unpacked, and holds
//! nothing but what its own directory lists, once.

use std::io::{Cursor, Read as _, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use crate::engine::evidence::{BYTES_MAX, FILES_MAX, Files};

/// The end of a zip file without a comment: its mark, and where in it the number of files stands.
const END: (&[u8], usize, usize) = (b"PK\x05\x06", 22, 10);

/// Why a file is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum NotABundle {
    /// It is no zip, or a broken one.
    #[error("it is not a whole zip file: {0}")]
    Broken(#[from] zip::result::ZipError),
    /// It cannot be unpacked.
    #[error("{name} in it cannot be unpacked: {source}")]
    File {
        /// Which file.
        name: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It is longer, or holds more, than any bundle.
    #[error("it is larger than any bundle that callgate writes")]
    TooLarge,
    /// It holds what its directory does not list, or lists a name twice.
    #[error("it holds more than it lists, or a file twice: something was put in")]
    Doubled,
}

/// Packs files, in the order of their names.
///
/// # Errors
/// If there is no memory left for them.
pub fn pack(files: &Files) -> Result<Vec<u8>, NotABundle> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(name.as_str(), options)?;
        zip.write_all(bytes).map_err(|source| NotABundle::File { name: name.clone(), source })?;
    }
    Ok(zip.finish()?.into_inner())
}

/// Unpacks what [`pack`] has packed.
///
/// # Errors
/// [`NotABundle`].
pub fn unpack(zip: &[u8]) -> Result<Files, NotABundle> {
    if zip.len() as u64 > BYTES_MAX {
        return Err(NotABundle::TooLarge);
    }
    let mut archive = ZipArchive::new(Cursor::new(zip))?;
    let count = archive.len();
    if count > FILES_MAX {
        return Err(NotABundle::TooLarge);
    }
    // The reader keeps the last of two files of one name; who reads the first would see another bundle.
    let (mark, length, at) = END;
    let end = zip.len().checked_sub(length).and_then(|from| zip.get(from..)).filter(|end| end.starts_with(mark));
    let listed = end.and_then(|end| end.get(at..at + 2)).map(|count| usize::from(u16::from_le_bytes([count[0], count[1]])));
    if listed != Some(count) || archive.offset() != 0 {
        return Err(NotABundle::Doubled);
    }
    let mut files = Files::new();
    let mut room = BYTES_MAX;
    for no in 0..count {
        let mut file = archive.by_index(no)?;
        let name = file.name()?.into_owned();
        let mut bytes = Vec::new();
        let read =
            file.by_ref().take(room + 1).read_to_end(&mut bytes).map_err(|source| NotABundle::File { name: name.clone(), source })?;
        room = room.checked_sub(read as u64).ok_or(NotABundle::TooLarge)?;
        if files.insert(name, bytes).is_some() {
            return Err(NotABundle::Doubled);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        [("a.txt", "one\n".repeat(100)), ("chain/b.txt", "two".to_owned()), ("empty", String::new())]
            .into_iter()
            .map(|(name, text)| (name.to_owned(), text.into_bytes()))
            .collect()
    }

    #[test]
    fn files_come_back_as_they_went_in_and_twice_the_same_is_one_zip() {
        let zip = pack(&files()).unwrap();
        assert_eq!(unpack(&zip).unwrap(), files());
        assert_eq!(pack(&files()).unwrap(), zip, "the same bytes");
        assert!(zip.len() < 700, "packed: {}", zip.len());
    }

    #[test]
    fn no_changed_byte_brings_other_files_than_it_says() {
        let zip = pack(&files()).unwrap();
        for at in 0..zip.len() {
            let mut changed = zip.clone();
            changed[at] ^= 1;
            if let Ok(read) = unpack(&changed) {
                // A name is not held by any checksum of a zip: who verifies a bundle misses it.
                let contents = |files: &Files| files.values().cloned().collect::<std::collections::BTreeSet<_>>();
                assert_eq!(contents(&read), contents(&files()), "byte {at}");
            }
            assert!(unpack(&zip[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_zip_with_a_doubled_name_a_head_or_a_tail_is_none() {
        let one = pack(&files()).unwrap();
        // Another file renamed to the first's name, in both of its places.
        let mut doubled = pack(&[("a.txt", "x"), ("b.txt", "y")].map(|(name, text)| (name.to_owned(), text.into())).into()).unwrap();
        for at in 0..doubled.len() - 5 {
            if &doubled[at..at + 5] == b"b.txt" {
                doubled[at] = b'a';
            }
        }
        assert!(matches!(unpack(&doubled), Err(NotABundle::Doubled)), "{:?}", unpack(&doubled));
        assert!(unpack(&[b"head".as_slice(), &one].concat()).is_err());
        assert!(unpack(&[&one, b"tail".as_slice()].concat()).is_err());
        assert!(matches!(unpack(b"hunter2"), Err(NotABundle::Broken(_))));
    }

    #[test]
    fn what_unpacks_to_more_than_any_bundle_is_not_unpacked() {
        let bomb: Files = [("a".to_owned(), vec![0; BYTES_MAX as usize]), ("b".to_owned(), vec![0; 1_000])].into();
        let zip = pack(&bomb).unwrap();
        assert!(zip.len() < 1_000_000, "{}", zip.len());
        assert!(matches!(unpack(&zip), Err(NotABundle::TooLarge)));
    }
}
