//! Whether a bundle is what a gateway handed out, from the signature down: checkpoint, entries, manifest, files, and at last
//! whether what is said of the chain is what the chain says. The first thing wrong is named.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::draft::{Digest, Evidence, Manifest, Opened};
use super::told::Told;
use super::{CHECKPOINT, ENTRIES, EVIDENCE, FORMAT, Files, KEY, MANIFEST, PAGE, RECORDS, proof_of};
use crate::engine::ledger::{Checkpoint, DecisionTold, Hash, Inclusion, NotProven, NoteVerifier, Salt, canonical, commitment};

/// What a bundle is, if nothing is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// The call.
    pub call_id: String,
    /// Whose chain.
    pub org_id: String,
    /// Entries that are proven.
    pub entries: usize,
    /// When it was handed out.
    pub exported_at: String,
    /// The signed head.
    pub checkpoint: Checkpoint,
    /// By whose key.
    pub key: NoteVerifier,
}

/// The first thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Wrong {
    /// A file is not there.
    #[error("{0} is missing from the bundle")]
    Missing(String),
    /// A file is there that does not belong.
    #[error("{0} does not belong into the bundle: it was put in")]
    Foreign(String),
    /// The key is none.
    #[error("{KEY} is not a public key")]
    Key,
    /// It is another's than was given.
    #[error("the bundle is signed by {0}, not by a key that was given")]
    OtherKey(String),
    /// The checkpoint proves nothing.
    #[error("{CHECKPOINT}: {0}")]
    Checkpoint(NotProven),
    /// The checkpoint is of no chain of the key's.
    #[error("{CHECKPOINT} is of {0}, which is no chain of the key's")]
    Origin(String),
    /// A line is no entry.
    #[error("line {0} of {ENTRIES} is not an entry of a chain")]
    Entry(usize),
    /// An entry is of another chain, call or client.
    #[error("entry {0} is not about this call and its client")]
    Astray(u64),
    /// An entry comes twice, or too early.
    #[error("entry {0} stands in a place that is not its own: entries were doubled or swapped")]
    Disorder(u64),
    /// An entry is not among those that were signed for.
    #[error("entry {0} is not proven to be in the chain: it, its proof or the checkpoint was changed")]
    Unproven(u64),
    /// An entry does not follow the one before it.
    #[error("entry {0} does not follow the entry before it")]
    Unlinked(u64),
    /// The last entry is not an export's of this call.
    #[error("the last entry is not the export's own: the end of {ENTRIES} was cut or belongs to another bundle")]
    NoExport,
    /// The manifest is not the one that was exported.
    #[error("{MANIFEST} is not the one that entry {0} commits to: it was changed, or belongs to another export")]
    Manifest(u64),
    /// A file is not the one that was exported.
    #[error("{0} was changed: it is not the file whose digest is in {MANIFEST}")]
    Changed(String),
    /// A document is not to be read.
    #[error("{0} is not a document of the format {FORMAT}")]
    Document(&'static str),
    /// A document says of the chain what it does not say.
    #[error("{EVIDENCE} says of the chain what the chain does not say: {0}")]
    Untold(&'static str),
    /// A record is not what its entry commits to.
    #[error("the consent record of entry {0} is not the one that the entry commits to")]
    Record(u64),
}

/// What of an entry is checked.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    seq: u64,
    prev: String,
    org_id: String,
    kind: String,
    call_id: Option<String>,
    client_id: Option<String>,
    detail: Value,
}

/// Checks a bundle: by the keys given, one of which must have signed it, or, given none, by the one that it brings itself, which proves
/// only that the bundle is whole.
///
/// # Errors
/// [`Wrong`]: the first thing that is.
pub fn verify(files: &Files, keys: &[NoteVerifier]) -> Result<Verified, Wrong> {
    let own = NoteVerifier::parse(text(files, KEY)?).map_err(|_| Wrong::Key)?;
    if text(files, KEY)? != format!("{own}\n") {
        return Err(Wrong::Key);
    }
    if !keys.is_empty() && !keys.contains(&own) {
        return Err(Wrong::OtherKey(own.to_string()));
    }
    let note = text(files, CHECKPOINT)?;
    let checkpoint = Checkpoint::open(note, &own).map_err(Wrong::Checkpoint)?;
    let org_id = checkpoint.org(own.name()).ok_or_else(|| Wrong::Origin(checkpoint.origin.clone()))?;
    let entries = proven(files, note, &checkpoint, &org_id)?;
    only(files, &entries)?;
    let evidence = exported(files, &entries)?;
    let told = evidence.org_id == org_id && evidence.format == FORMAT;
    if !told {
        return Err(Wrong::Untold("its organisation or format"));
    }
    about(&evidence, &entries)?;
    records(files, &entries)?;
    Ok(Verified { call_id: evidence.call_id, org_id, entries: entries.len(), exported_at: evidence.exported_at, checkpoint, key: own })
}

fn bytes<'a>(files: &'a Files, name: &str) -> Result<&'a [u8], Wrong> {
    files.get(name).map(Vec::as_slice).ok_or_else(|| Wrong::Missing(name.to_owned()))
}

fn text<'a>(files: &'a Files, name: &str) -> Result<&'a str, Wrong> {
    std::str::from_utf8(bytes(files, name)?).map_err(|_| Wrong::Changed(name.to_owned()))
}

/// The entries, each proven to be in the chain at its number.
fn proven(files: &Files, note: &str, checkpoint: &Checkpoint, org_id: &str) -> Result<Vec<(Shape, Value)>, Wrong> {
    let lines = text(files, ENTRIES)?;
    let whole = lines.strip_suffix('\n').ok_or(Wrong::NoExport)?;
    let mut entries: Vec<(Shape, Value)> = Vec::new();
    let mut before: Option<(u64, Hash)> = None;
    for (no, line) in whole.split('\n').enumerate() {
        let read = |line: &str| Some((serde_json::from_str::<Shape>(line).ok()?, serde_json::from_str::<Value>(line).ok()?));
        let (shape, value) = read(line).ok_or(Wrong::Entry(no + 1))?;
        let (seq, hash) = (shape.seq, Hash::of_entry(line.as_bytes()));
        if before.is_some_and(|(last, _)| last >= seq) {
            return Err(Wrong::Disorder(seq));
        }
        let (proof, signed) = Inclusion::parse(text(files, &proof_of(seq))?).ok_or(Wrong::Unproven(seq))?;
        let root = proof.root(hash, checkpoint.size);
        if signed != note || proof.index.checked_add(1) != Some(seq) || root != Some(checkpoint.root) {
            return Err(Wrong::Unproven(seq));
        }
        if before.is_some_and(|(last, hash)| last + 1 == seq && shape.prev != hash.to_string()) {
            return Err(Wrong::Unlinked(seq));
        }
        if shape.org_id != org_id {
            return Err(Wrong::Astray(seq));
        }
        before = Some((seq, hash));
        entries.push((shape, value));
    }
    Ok(entries)
}

/// No file is there but those that belong.
fn only(files: &Files, entries: &[(Shape, Value)]) -> Result<(), Wrong> {
    let proofs = entries.iter().map(|(shape, _)| proof_of(shape.seq));
    let named: BTreeSet<String> =
        [EVIDENCE, PAGE, RECORDS, MANIFEST, ENTRIES, CHECKPOINT, KEY].into_iter().map(str::to_owned).chain(proofs).collect();
    if let Some(name) = files.keys().find(|name| !named.contains(*name)) {
        return Err(Wrong::Foreign(name.clone()));
    }
    match named.iter().find(|name| !files.contains_key(*name)) {
        Some(name) => Err(Wrong::Missing(name.clone())),
        None => Ok(()),
    }
}

/// The evidence, if its bytes and those of its companions are the ones that the last entry commits to.
fn exported(files: &Files, entries: &[(Shape, Value)]) -> Result<Evidence, Wrong> {
    let (own, _) = entries.last().ok_or(Wrong::NoExport)?;
    if own.kind != "evidence.exported" {
        return Err(Wrong::NoExport);
    }
    let manifest: Manifest = serde_json::from_slice(bytes(files, MANIFEST)?).map_err(|_| Wrong::Manifest(own.seq))?;
    let salt = Salt::parse(manifest.salt.as_bytes()).ok_or(Wrong::Manifest(own.seq))?;
    let commits_to = own.detail.get("commitment").and_then(Value::as_str).and_then(|text| Hash::parse(text.as_bytes()));
    if commits_to != Some(commitment(salt, bytes(files, MANIFEST)?)) {
        return Err(Wrong::Manifest(own.seq));
    }
    if manifest.files.keys().map(String::as_str).ne([EVIDENCE, PAGE, RECORDS]) || manifest.format != FORMAT {
        return Err(Wrong::Document(MANIFEST));
    }
    for (name, digest) in &manifest.files {
        if *digest != Digest::of(bytes(files, name)?) {
            return Err(Wrong::Changed(name.clone()));
        }
    }
    let evidence: Evidence = serde_json::from_slice(bytes(files, EVIDENCE)?).map_err(|_| Wrong::Document(EVIDENCE))?;
    if own.call_id.as_deref() != Some(evidence.call_id.as_str()) || manifest.call_id != evidence.call_id {
        return Err(Wrong::NoExport);
    }
    Ok(evidence)
}

/// What the evidence says of the chain is what the entries before the export's own say, and all of them are about its call.
fn about(evidence: &Evidence, entries: &[(Shape, Value)]) -> Result<(), Wrong> {
    for (shape, _) in entries {
        let ours = shape.call_id.as_deref() == Some(evidence.call_id.as_str());
        if !ours && shape.client_id.as_deref() != Some(evidence.client_id.as_str()) {
            return Err(Wrong::Astray(shape.seq));
        }
    }
    let values: Vec<Value> = entries.iter().take(entries.len() - 1).map(|(_, value)| value.clone()).collect();
    let (said, made) = (&evidence.chain, Told::of(&values));
    // By their canonical bytes: 1 and 1.0 are one number.
    let same = |a: Result<String, _>, b: Result<String, serde_json::Error>| matches!((a, b), (Ok(a), Ok(b)) if a == b);
    if said.entries != made.entries {
        return Err(Wrong::Untold("which entries there are"));
    }
    if !same(canonical(&said.prompts), canonical(&made.prompts)) {
        return Err(Wrong::Untold("the prompts"));
    }
    if !same(canonical(&said.sections), canonical(&made.sections)) {
        return Err(Wrong::Untold("the entries under their headings"));
    }
    Ok(())
}

/// Every record is the one that its entry commits to.
fn records(files: &Files, entries: &[(Shape, Value)]) -> Result<(), Wrong> {
    for line in text(files, RECORDS)?.lines() {
        let opened: Opened = serde_json::from_str(line).map_err(|_| Wrong::Document(RECORDS))?;
        let entry = entries.binary_search_by_key(&opened.entry, |(shape, _)| shape.seq).ok().and_then(|at| entries.get(at));
        let told = entry.and_then(|(shape, _)| DecisionTold::read(&shape.detail.to_string()));
        if told.and_then(|told| told.record(opened.record.as_bytes(), opened.salt.as_bytes())).is_none() {
            return Err(Wrong::Record(opened.entry));
        }
    }
    Ok(())
}
