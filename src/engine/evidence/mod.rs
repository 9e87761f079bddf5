//! A call's evidence: everything that shows what was asked, answered, captured, kept from capture, read and deleted, as
//! files that anybody can check without this gateway.
//!
//! What holds it together: the chain's entries are proven, each by itself, to be among those that a signed checkpoint
//! counts; the last of them is the export's own, and it commits to the manifest, which names every other file's digest.
//! So there is no byte in a bundle that can be changed, dropped or added unseen ([`verify`]). Start at [`Draft::of`].

mod draft;
mod page;
#[cfg(test)]
mod tests;
mod told;
mod verify;

use std::collections::BTreeMap;

pub use draft::{Draft, Material, Opened, Seal};
pub use verify::{Verified, Wrong, verify};

/// What a bundle's documents call themselves.
pub const FORMAT: &str = "callgate-evidence@v1";
/// A call with more entries than that has no bundle.
pub const ENTRIES_MAX: usize = 10_000;
/// A bundle's files, one for each proof among them.
pub const FILES_MAX: usize = ENTRIES_MAX + 8;
/// Their lengths together.
pub const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What there is to say, for programs.
pub const EVIDENCE: &str = "evidence.json";
/// The same, for people.
pub const PAGE: &str = "index.html";
/// Consent records, with what opens the chain's commitments to them.
pub const RECORDS: &str = "records.jsonl";
/// The digests of the three.
pub const MANIFEST: &str = "manifest.json";
/// The entries: canonical JSON, a line each.
pub const ENTRIES: &str = "chain/entries.jsonl";
/// The signed head that the proofs lead to.
pub const CHECKPOINT: &str = "chain/checkpoint.txt";
/// The public key that verifies it, by the bundle's own word.
pub const KEY: &str = "chain/key.txt";

/// Files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The file with the proof of entry `seq`.
#[must_use]
pub fn proof_of(seq: u64) -> String {
    format!("chain/{seq}.tlog-proof")
}
