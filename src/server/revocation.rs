//! Withdrawing a client's consent from outside a call: gates first, then the record, then the answer.
//!
//! The gates of the client's live calls shut before anything is written, and once more after: a call that began between the two
//! may have opened on the old consent. From the commit on the ledger itself refuses whatever rests on it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::http::App;
use super::media::ToMedia;
use super::nodes;
use super::registry::{LiveCall, Registry};
use crate::engine::consent::{ConsentRecord, GrantSeq, Queues};
use crate::engine::time::WallTime;
use crate::io::clock::wall;
use crate::io::database::{Revocation, Revoked};

/// A media thread shuts a gate within this, or something is badly wrong.
const SHUT_WITHIN: Duration = Duration::from_secs(5);
/// Who revokes waits no longer; what was begun goes on without them.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);
/// Who says that a client said no on a call waits no longer for the ledger: the gate is shut already.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3);
/// Beside the state of a call whose no is not in the ledger: when its gate was shut.
pub(super) const GATE_SHUT_AT: &str = "gateShutAt";

/// Why nobody can say yet that consent is withdrawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum NotRevoked {
    /// A gate did not answer.
    #[error("a live call of the client did not stop in time; opt out on the call itself, then ask again")]
    GateOpen,
    /// The database did not; every gate has been shut since then.
    #[error("nothing of the client's calls is captured any more, and the database does not take the record of it yet")]
    NotDurable(WallTime),
}

/// Withdraws. What was begun is finished even if nobody waits for it any more.
pub(super) async fn revoke(app: &App, record: ConsentRecord) -> Result<Revoked, NotRevoked> {
    let app = app.clone();
    let (shut, mut shut_at) = oneshot::channel();
    let work = tokio::spawn(async move {
        let (org, client) = (record.org_id.clone(), record.client_id.clone());
        // A gate that does not answer must not keep the no from being written.
        let first = shut_gates(&app, &org, &client, None).await;
        if first.is_ok() {
            let _ = shut.send(wall()); // nobody waits any more
        }
        let revoked = app.world.noes.keep(Revocation { record, queues: Queues::Everything }).await;
        let revoked = revoked.map_err(|_| first.map_or_else(|why| why, |()| NotRevoked::NotDurable(wall())))?;
        shut_gates(&app, &org, &client, Some(GrantSeq(revoked.entry))).await?;
        first.map(|()| revoked)
    });
    match tokio::time::timeout(ANSWER_WITHIN, work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => Err(shut_at.try_recv().map_or(NotRevoked::GateOpen, NotRevoked::NotDurable)),
    }
}

/// How a call stands whose gate has just shut for a no: told when the ledger has that, or, with [`GATE_SHUT_AT`], when it does not
/// take it in time.
pub(super) async fn told(app: &App, call: &LiveCall) -> Value {
    told_of(app, call.json()).await
}

/// The same, for a state that nobody changes any more.
pub(super) async fn told_of(app: &App, mut state: Value) -> Value {
    let id = |name: &str| state[name].as_str().unwrap_or_default();
    if let Err(since) = app.world.noes.settled(id("orgId"), id("clientId"), id("callId"), WRITTEN_WITHIN).await {
        state[GATE_SHUT_AT] = json!(since);
    }
    state
}

/// Shuts the gate of every live call of a client, here and on other gateways, and returns when they are shut.
async fn shut_gates(app: &App, org_id: &str, client_id: &str, entry: Option<GrantSeq>) -> Result<(), NotRevoked> {
    let elsewhere = nodes::shut_elsewhere(app, org_id, client_id, entry);
    let (here, elsewhere) = tokio::join!(shut_here(&app.registry, org_id, client_id, entry), elsewhere);
    here.and(elsewhere.map_err(|_| NotRevoked::GateOpen))
}

async fn shut_here(registry: &Registry, org_id: &str, client_id: &str, entry: Option<GrantSeq>) -> Result<(), NotRevoked> {
    let mut waiting = Vec::new();
    for call in registry.all() {
        if call.identity.org_id == org_id && call.identity.client_id == client_id && !call.is_over() {
            let (done, shut) = oneshot::channel();
            call.owner.send(ToMedia::Revoked(call.identity.call_id.clone(), entry, done));
            waiting.push(shut);
        }
    }
    let deadline = tokio::time::Instant::now() + SHUT_WITHIN;
    for shut in waiting {
        // A thread that is gone took its gates with it.
        if tokio::time::timeout_at(deadline, shut).await.is_err() {
            return Err(NotRevoked::GateOpen);
        }
    }
    Ok(())
}
