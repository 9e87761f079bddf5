//! From what is known of a call to the files of its bundle, in two steps: what is to be said is written first and its
//! digests go into the chain; then the proofs of all entries, that one among them, are put beside it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::told::Told;
use super::{CHECKPOINT, ENTRIES, EVIDENCE, FORMAT, Files, KEY, MANIFEST, PAGE, RECORDS, page, proof_of};
use crate::engine::ledger::{Hash, Inclusion, NoteVerifier, Salt, canonical, commitment};
use crate::engine::time::WallTime;

/// What is known of a call.
#[derive(Clone, Debug)]
pub struct Material {
    /// When it is handed out.
    pub at: WallTime,
    /// To whom, by id.
    pub by: String,
    /// The organisation, whose chain it is.
    pub org_id: String,
    /// The call.
    pub call_id: String,
    /// The client.
    pub client_id: String,
    /// The call as `GET /api/calls/{callId}` tells it.
    pub call: Value,
    /// What happened to it, in order: version, time, kinds, phase.
    pub journey: Vec<Value>,
    /// Rows of other tables, by table, in the API's words.
    pub stored: BTreeMap<String, Vec<Value>>,
    /// The chain's entries that are about it: canonical bytes, in the chain's order.
    pub entries: Vec<String>,
    /// Consent records that whoever asks may read.
    pub records: Vec<Opened>,
}

/// A consent record, and what shows that an entry commits to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// The entry's number.
    pub entry: u64,
    /// The record's canonical bytes.
    pub record: String,
    /// The salt beside them.
    pub salt: String,
}

/// `evidence.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Evidence {
    pub(super) format: String,
    pub(super) exported_at: String,
    pub(super) exported_by: String,
    pub(super) org_id: String,
    pub(super) call_id: String,
    pub(super) client_id: String,
    pub(super) call: Value,
    pub(super) journey: Vec<Value>,
    pub(super) stored: BTreeMap<String, Vec<Value>>,
    /// Made of the entries alone.
    pub(super) chain: Told,
}

/// `manifest.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format: String,
    pub(super) call_id: String,
    pub(super) salt: String,
    pub(super) files: BTreeMap<String, Digest>,
}

/// What a file is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Digest {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// A bundle that lacks its own entry and the proofs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    files: Files,
    entries: Vec<String>,
    commitment: Hash,
}

/// What proves the entries.
#[derive(Clone, Debug)]
pub struct Seal {
    /// The signed checkpoint.
    pub note: String,
    /// What verifies it.
    pub key: NoteVerifier,
    /// Each entry's proof.
    pub proofs: Vec<Inclusion>,
}

impl Digest {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, sha256: Hash(Sha256::digest(bytes).into()).to_string() }
    }
}

impl Draft {
    /// Says what there is to say.
    ///
    /// # Errors
    /// If an entry is no JSON.
    pub fn of(material: Material, salt: Salt) -> Result<Self, serde_json::Error> {
        let entries: Vec<Value> = material.entries.iter().map(|entry| serde_json::from_str(entry)).collect::<Result<_, _>>()?;
        let records = material.records.iter().map(|record| Ok(canonical(record)? + "\n")).collect::<Result<String, serde_json::Error>>()?;
        let evidence = Evidence {
            format: FORMAT.to_owned(),
            exported_at: material.at.to_string(),
            exported_by: material.by,
            org_id: material.org_id,
            call_id: material.call_id,
            client_id: material.client_id,
            call: material.call,
            journey: material.journey,
            stored: material.stored,
            chain: Told::of(&entries),
        };
        let page = page::page(&evidence, &material.records).into_string();
        let mut files: Files = [(EVIDENCE, canonical(&evidence)?), (PAGE, page), (RECORDS, records)]
            .into_iter()
            .map(|(name, text)| (name.to_owned(), text.into_bytes()))
            .collect();
        let digests = files.iter().map(|(name, bytes)| (name.clone(), Digest::of(bytes))).collect();
        let manifest = Manifest { format: FORMAT.to_owned(), call_id: evidence.call_id, salt: salt.to_string(), files: digests };
        let manifest = canonical(&manifest)?.into_bytes();
        let commitment = commitment(salt, &manifest);
        files.insert(MANIFEST.to_owned(), manifest);
        Ok(Self { files, entries: material.entries, commitment })
    }

    /// What the export's own entry says.
    #[must_use]
    pub fn detail(&self) -> Value {
        json!({ "what": "evidence", "outcome": "ALLOWED", "format": FORMAT, "entries": self.entries.len(), "commitment": self.commitment.to_string() })
    }

    /// Whether this canonical entry is the export's own.
    #[must_use]
    pub fn is_own(&self, entry: &str) -> bool {
        let entry: Value = serde_json::from_str(entry).unwrap_or_default();
        entry["kind"] == "evidence.exported"
            && entry.pointer("/detail/commitment").is_some_and(|told| *told == *self.commitment.to_string())
    }

    /// The whole bundle: with the export's own entry, and what proves it and the others.
    #[must_use]
    pub fn close(self, own: String, seal: &Seal) -> Files {
        let Self { mut files, mut entries, commitment: _ } = self;
        entries.push(own);
        let lines: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
        files.insert(ENTRIES.to_owned(), lines.into_bytes());
        files.insert(CHECKPOINT.to_owned(), seal.note.clone().into_bytes());
        files.insert(KEY.to_owned(), format!("{}\n", seal.key).into_bytes());
        files.extend(seal.proofs.iter().map(|proof| (proof_of(proof.index + 1), proof.text(&seal.note).into_bytes())));
        files
    }
}
