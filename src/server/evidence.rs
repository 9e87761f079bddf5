//! A call's evidence, put together: what is known is read, the export enters the chain, the notary signs, every entry is
//! proven. One pass over the organisation's chain, and so few at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::Rng as _;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};

use super::auth::{Claims, ViewClients};
use super::http::App;
use super::live::submit;
use super::notary::{Desk, Signed};
use crate::engine::consent::Actor;
use crate::engine::evidence::{BYTES_MAX, Draft, ENTRIES_MAX, Material, Opened, Seal};
use crate::engine::ledger::{Event, EventKind, Prover, Salt};
use crate::io::bundle::{self, NotABundle};
use crate::io::clock::wall;
use crate::io::database::{ArtifactRow, CallRow, DatabaseError, RecordingRow, TranscriptRow, Work};

/// Bundles made at once; who comes then waits.
const EXPORTS_MAX: usize = 2;
/// Leaves of a chain read at once.
const PAGE: u32 = 1_000;
/// Rows of any other table in one bundle.
const ROWS_MAX: u32 = 1_000;

/// Where evidence is made.
#[derive(Clone)]
pub(super) struct Exports {
    places: Arc<Semaphore>,
    desk: Desk,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotExported {
    /// There is too much of it.
    #[error("the call and its client have more entries in the chain, or longer ones, than one bundle holds ({ENTRIES_MAX})")]
    TooMuch,
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The export could not be written down, and so nothing is handed out.
    #[error("the export cannot be written into the chain: look for the ledger's own errors")]
    Unwritten,
    /// No checkpoint covers it.
    #[error("no checkpoint of the chain can be signed and stored: look for the notary's own warnings")]
    Unsigned,
    /// The chain is not the one that was signed.
    #[error("the chain contradicts its checkpoint: stop, keep the database, and run `callgate audit verify --checkpoint`")]
    Contradicted,
    /// An entry is no JSON.
    #[error("an entry of the chain cannot be read, run `callgate audit verify`: {0}")]
    Entry(#[from] serde_json::Error),
    /// It cannot be packed.
    #[error(transparent)]
    Packed(#[from] NotABundle),
    /// The gateway is over, or the packing was.
    #[error("the gateway is stopping")]
    Over,
}

impl Exports {
    pub(super) fn new(desk: Desk) -> Self {
        Self { places: Arc::new(Semaphore::new(EXPORTS_MAX)), desk }
    }

    /// The bundle of a call, as a zip. That it was handed out stands in the chain before it is.
    pub(super) async fn bundle(&self, app: &App, claims: &Claims, call: CallRow) -> Result<Vec<u8>, NotExported> {
        let _place = self.places.acquire().await.map_err(|_| NotExported::Over)?;
        let (org_id, call_id, client_id) = (call.org_id.clone(), call.id.clone(), call.client_id.clone());
        let material = material(app, claims, call).await?;
        let seqs: Vec<u64> = material.1;
        let mut salt = Salt([0; 16]);
        rand::rng().fill_bytes(&mut salt.0);
        let draft = Draft::of(material.0, salt)?;
        let event = Event {
            org_id: org_id.clone(),
            kind: EventKind::EvidenceExported,
            actor: Actor::User { id: claims.sub.clone(), name: String::new() },
            call_id: Some(call_id.clone()),
            client_id: Some(client_id),
            at: wall(),
            position: None,
            detail: draft.detail(),
        };
        let (own, entry) = write(app, event, &draft, &org_id, &call_id, seqs.last().copied().unwrap_or(0)).await?;
        let signed = self.desk.sign(&org_id, own).await.ok_or(NotExported::Unsigned)?;
        let seal = prove(app, &org_id, seqs.into_iter().chain([own]), signed).await?;
        let packed = app.world.tokio.spawn_blocking(move || {
            let files = draft.close(entry, &seal);
            let bytes: usize = files.values().map(Vec::len).sum();
            if bytes as u64 > BYTES_MAX { Err(NotExported::TooMuch) } else { Ok(bundle::pack(&files)?) }
        });
        packed.await.map_err(|_| NotExported::Over)?
    }
}

/// What is known of a call, and the numbers of its entries.
async fn material(app: &App, claims: &Claims, call: CallRow) -> Result<(Material, Vec<u64>), NotExported> {
    let database = &app.world.database;
    let limit = u32::try_from(ENTRIES_MAX).unwrap_or(u32::MAX);
    let entries = database.evidence_entries(&call.org_id, &call.id, &call.client_id, limit).await?;
    // One more is the export's own.
    if entries.len() >= ENTRIES_MAX {
        return Err(NotExported::TooMuch);
    }
    let (seqs, entries): (Vec<u64>, Vec<String>) = entries.into_iter().unzip();
    let records = database.opened_records(&call.org_id, &call.client_id, limit).await?;
    // Names and reasons of other calls' decisions are for those who may see the client's history.
    let may_read = |of: &Option<String>| of.as_deref() == Some(call.id.as_str()) || claims.may::<ViewClients>();
    let opened = records
        .into_iter()
        .filter(|row| may_read(&row.call_id) && seqs.binary_search(&row.seq).is_ok())
        .map(|row| Opened { entry: row.seq, record: row.record, salt: row.salt })
        .collect();
    let recordings = database.recordings_of(&call.id, ROWS_MAX).await?;
    let mut transcripts = Vec::new();
    for recording in &recordings {
        transcripts.extend(database.transcripts(&recording.id).await?.iter().map(version));
    }
    let recordings = recordings.iter().map(told).collect();
    let stored = BTreeMap::from([
        ("recordings".to_owned(), recordings),
        ("transcripts".to_owned(), transcripts),
        ("retention".to_owned(), database.retention_of(&call.org_id, &call.client_id, &call.id, ROWS_MAX).await?),
        ("artifacts".to_owned(), database.artifacts(&call.org_id, &call.id, ROWS_MAX).await?.iter().map(made).collect()),
        ("holds".to_owned(), database.holds_of(&call.org_id, &call.client_id, ROWS_MAX).await?),
    ]);
    let journey = database.journey(&call.id, ROWS_MAX).await?;
    let material = Material {
        at: wall(),
        by: claims.sub.clone(),
        org_id: call.org_id,
        call_id: call.id,
        client_id: call.client_id,
        call: call.state,
        journey,
        stored,
        entries,
        records: opened,
    };
    Ok((material, seqs))
}

fn told(row: &RecordingRow) -> Value {
    json!({
        "recordingId": row.id, "state": row.state, "reason": row.reason, "consentEntry": row.grant_seq, "format": row.format,
        "sha256": row.sha256, "bytes": row.bytes, "durationMs": row.duration_ms, "createdAt": row.created_at, "finishedAt": row.finished_at,
    })
}

fn version(row: &TranscriptRow) -> Value {
    json!({
        "transcriptId": row.id, "version": row.version, "recordingId": row.recording_id, "state": row.state, "redaction": row.redaction,
        "redactedBy": row.redacted_by, "redactedFor": row.redacted_for, "complete": row.is_complete, "sha256": row.sha256, "bytes": row.bytes,
        "createdAt": row.created_at, "finishedAt": row.finished_at,
    })
}

fn made(row: &ArtifactRow) -> Value {
    json!({
        "artifactId": row.id, "ownerId": row.owner_id, "kind": row.kind, "registeredBy": row.registered_by, "registeredAt": row.registered_at,
        "queuedAt": row.queued_at, "dueAt": row.due_at, "asks": row.asks, "askedAt": row.asked_at, "deletedAt": row.deleted_at,
    })
}

/// Writes the export's own entry: its number and its canonical bytes.
async fn write(app: &App, event: Event, draft: &Draft, org_id: &str, call_id: &str, after: u64) -> Result<(u64, String), NotExported> {
    let (then, written) = oneshot::channel();
    submit(
        &app.world,
        Work::Audit(
            event,
            Some(Box::new(move |durable| {
                let _ = then.send(durable);
            })),
        ),
    );
    if !written.await.unwrap_or(false) {
        return Err(NotExported::Unwritten);
    }
    let rows = app.world.database.audit(org_id, None, Some(call_id), after, PAGE).await?;
    let own = rows.into_iter().find(|(_, _, entry)| draft.is_own(entry)).ok_or(NotExported::Unwritten)?;
    Ok((own.0, own.2))
}

/// Proves the entries of these numbers to be in the tree that was signed.
async fn prove(app: &App, org_id: &str, seqs: impl Iterator<Item = u64>, signed: Signed) -> Result<Seal, NotExported> {
    let mut prover = Prover::of(seqs.map(|seq| seq - 1));
    let mut read = 0;
    while read < signed.checkpoint.size {
        let leaves = app.world.database.leaves(org_id, read, PAGE).await?;
        let wanted = signed.checkpoint.size - read;
        let before = read;
        for (seq, leaf) in leaves.into_iter().take(usize::try_from(wanted).unwrap_or(usize::MAX)) {
            if seq != read + 1 {
                return Err(NotExported::Contradicted);
            }
            prover.push(leaf);
            read = seq;
        }
        if read == before {
            return Err(NotExported::Contradicted);
        }
    }
    let (root, proofs) = prover.finish().ok_or(NotExported::Contradicted)?;
    if root != signed.checkpoint.root {
        return Err(NotExported::Contradicted);
    }
    Ok(Seal { note: signed.note, key: signed.key, proofs })
}
