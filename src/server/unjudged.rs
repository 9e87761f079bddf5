//! A client was heard to say no, and the gateway died before anybody had judged it: it was a no (`engine/call/objection`), and
//! whoever closes the call writes it.

use std::io;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::live::submit;
use super::world::World;
use crate::engine::call::OPT_OUT_HEARD;
use crate::engine::consent::{Actor, ConsentRecord, ConsentStatus, Method, Queues};
use crate::engine::ledger::{Event, EventKind};
use crate::engine::time::WallTime;
use crate::io::clock::wall;
use crate::io::database::{CallRow, Revocation, Work};

/// Lines of a client's history that are looked through.
const HISTORY_MAX: u32 = 500;
/// Noes are waited for so long; until they are written they count, and lie on the disk.
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);

/// Writes the noes of those of these calls in which one stands unjudged: into their rows, and into the ledger, where it is before
/// this returns. So nothing of it is lost if this process dies as well: its rows are not closed yet.
pub(super) async fn write(world: &World, rows: &mut [CallRow]) -> io::Result<()> {
    let mut written = Vec::new();
    for row in rows {
        let Some(since) = heard(row) else { continue };
        let record = record(world, row, since).await?;
        if let Some((halted, record)) = record {
            tracing::warn!(call.id = %row.id, "call: its client was heard to say no, and nobody had judged it when the gateway died: it was a no");
            submit(world, Work::Audit(halted, None));
            let queues = Queues::of(&record, world.decline_queues);
            written.push(world.noes.keep(Revocation { record, queues }));
        }
        stands(row);
    }
    if timeout(WRITTEN_WITHIN, join_all(written)).await.is_err() {
        tracing::error!("calls: noes of calls that a dead gateway left are not written yet; they are kept and tried again");
    }
    Ok(())
}

/// Since when the client's no has waited for somebody's word.
fn heard(row: &CallRow) -> Option<WallTime> {
    let pauses = row.state["recording"]["pauses"].as_array()?;
    // Free text of a person's own may be the same word.
    let heard = |pause: &&Value| pause["reason"] == OPT_OUT_HEARD && pause["by"]["kind"] == "SYSTEM";
    pauses.iter().find(heard)?["since"].as_str().and_then(WallTime::parse)
}

/// Where the recording ends, and the client's record; none if the client's no on this call is in the ledger already.
async fn record(world: &World, row: &CallRow, since: WallTime) -> io::Result<Option<(Event, ConsentRecord)>> {
    let database = &world.database;
    let history = database.consent_history(&row.org_id, &row.client_id, HISTORY_MAX).await.map_err(io::Error::other)?;
    let records = || history.iter().map(|line| &line.record);
    if records().any(|record| record.status == ConsentStatus::Revoked && record.call_id.as_deref() == Some(&*row.id)) {
        return Ok(None);
    }
    let place = database.objection(&row.org_id, &row.id).await.map_err(io::Error::other)?;
    let yes = records().find(|record| record.status == ConsentStatus::Granted);
    let consent = &row.state["consent"];
    let word = |key: &str| consent[key].as_str().unwrap_or_default().to_owned();
    let client = Actor::Client { id: row.client_id.clone() };
    let halted = Event {
        org_id: row.org_id.clone(),
        // Without a line that tells where it was heard, nothing of what was captured counts.
        kind: if place.is_some() { EventKind::RecordingHalted } else { EventKind::RecordingDiscarded },
        actor: Actor::System,
        call_id: Some(row.id.clone()),
        client_id: Some(row.client_id.clone()),
        at: wall(),
        position: place.as_ref().map(|(position, _)| position.clone()),
        detail: json!({ "cutAtMs": place.as_ref().map_or(0, |(_, at)| *at), "why": "the gateway died before anybody had judged what the client was heard to say" }),
    };
    let record = ConsentRecord {
        // As that of a no that a recogniser told after the call.
        id: format!("{}-heard", row.id),
        org_id: row.org_id.clone(),
        client_id: row.client_id.clone(),
        call_id: Some(row.id.clone()),
        status: ConsentStatus::Revoked,
        method: Method::Verbal,
        language_code: word("languageCode"),
        prompt_version: word("promptVersion"),
        actor: client,
        at: since,
        reason: None,
        evidence: json!({ "position": halted.position, "language": word("languageCode"), "judged": false }).into(),
        policy_version: yes.and_then(|yes| yes.policy_version.clone()).or_else(|| Some(world.policy.version().to_owned())),
        policy_basis: yes.and_then(|yes| yes.policy_basis.clone()),
    };
    Ok(Some((halted, record)))
}

/// As others see the call.
fn stands(row: &mut CallRow) {
    row.state["consent"]["status"] = json!(ConsentStatus::Revoked);
    row.state["consent"]["method"] = json!(Method::Verbal);
    row.state["consent"]["grantedAt"] = Value::Null;
    row.state["unrecordedReason"] = json!("CLIENT_OPT_OUT");
    row.state["recording"]["state"] = json!("HALTED");
    (row.consent_granted_at, row.consent_method) = (None, row.state["consent"]["method"].as_str().map(str::to_owned));
}
