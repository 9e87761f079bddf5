//! Prompts of a deployment's own: a folder with a manifest and the files it names.
//!
//! Read once, at the start, checked as the shipped ones are, and kept for good: all calls share the one copy.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};

use crate::engine::audio::prompts::{PROMPT_SAMPLES_MAX, PromptError, PromptLibrary, PromptRow};

/// The manifest's name.
pub const MANIFEST: &str = "prompts.json";
/// No manifest is longer.
const MANIFEST_MAX: u64 = 1024 * 1024;

/// Why a folder's prompts are refused.
#[derive(Debug, thiserror::Error)]
pub enum PromptsError {
    /// The manifest, or a file, cannot be read or written.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// They are not what a call needs.
    #[error("{}: {why}; make them again with `callgate prompts synth`, or correct {MANIFEST}", folder.display())]
    Prompts {
        /// Whose.
        folder: PathBuf,
        /// What is wrong.
        why: PromptError,
    },
}

/// Reads and checks a folder's prompts.
///
/// # Errors
/// [`PromptsError`] names the file and what is wrong with it.
pub fn open(folder: &Path) -> Result<&'static PromptLibrary, PromptsError> {
    let path = folder.join(MANIFEST);
    let manifest = read(&path, MANIFEST_MAX)?;
    let manifest = String::from_utf8_lossy(&manifest);
    let library = PromptLibrary::checked(&manifest, |file| {
        // A manifest names what lies beside it, and nothing else on this machine.
        let inside = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
        let codes = inside.then(|| read(&folder.join(file), PROMPT_SAMPLES_MAX as u64)).and_then(Result::ok)?;
        Some(&*codes.leak())
    });
    match library {
        Ok(library) => Ok(Box::leak(Box::new(library))),
        Err(why) => Err(PromptsError::Prompts { folder: folder.to_owned(), why }),
    }
}

/// Writes prompts to a folder, the manifest last and at once: what was broken off before is no set of prompts.
///
/// # Errors
/// What the file system says.
pub fn write(folder: &Path, prompts: &[(PromptRow, Vec<u8>)]) -> Result<(), PromptsError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |why| PromptsError::File { path, why }
    };
    for (row, codes) in prompts {
        let path = folder.join(&row.file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed(parent))?;
        }
        fs::write(&path, codes).map_err(failed(&path))?;
    }
    let (path, fresh) = (folder.join(MANIFEST), folder.join(".prompts.json.fresh"));
    let rows: Vec<&PromptRow> = prompts.iter().map(|(row, _)| row).collect();
    let written = || {
        let mut json = serde_json::to_vec_pretty(&rows)?;
        json.push(b'\n');
        let mut file = File::create(&fresh)?;
        file.write_all(&json)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)
    };
    written().map_err(failed(&path))
}

/// Reads a file; of one that is longer than it may be, just enough to show that.
fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, PromptsError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|why| PromptsError::File { path: path.to_owned(), why })
}
