//! The policy by place: a deployment's own file, or the shipped one. Read once, at the start.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::engine::policy::{Policy, PolicyError, PolicyText};

/// No policy is longer.
const BYTES_MAX: u64 = 64 * 1024;

const SHIPPED: &str = include_str!("../../assets/policy/default.toml");

/// Why a policy is refused.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// It cannot be read.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// It is no policy.
    #[error("{}: {why}; docs/policy.md tells what stands in a policy", path.display())]
    Text {
        /// Which.
        path: PathBuf,
        /// Why, on one line.
        why: String,
    },
    /// What it says makes no sense.
    #[error("{}: {why}", path.display())]
    Policy {
        /// Which.
        path: PathBuf,
        /// Why.
        why: PolicyError,
    },
}

/// Reads and checks a policy.
///
/// # Errors
/// [`PolicyFileError`] names the file and what is wrong with it.
pub fn open(path: &Path) -> Result<Policy, PolicyFileError> {
    let failed = |why| PolicyFileError::File { path: path.to_owned(), why };
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_string(&mut text)).map_err(failed)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(failed(io::Error::other(format!("it is longer than {BYTES_MAX} bytes; no policy is"))));
    }
    parse(path, &text)
}

/// The policy that is part of the program.
///
/// # Errors
/// None: a test reads it.
pub fn shipped() -> Result<Policy, PolicyFileError> {
    parse(Path::new("assets/policy/default.toml"), SHIPPED)
}

fn parse(path: &Path, text: &str) -> Result<Policy, PolicyFileError> {
    let text: PolicyText = toml::from_str(text).map_err(|why| {
        let line = why.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
        PolicyFileError::Text { path: path.to_owned(), why: format!("line {line}: {}", why.message()) }
    })?;
    Policy::checked(text).map_err(|why| PolicyFileError::Policy { path: path.to_owned(), why })
}
