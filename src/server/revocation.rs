//! Withdrawing a client's consent from outside a call: gates first, then the record, then the answer.
//!
//! The gates of the client's live calls shut before anything is written, and once more after: a call that began between the two
//! may have opened on the old consent. From the commit on the ledger itself refuses whatever rests on it.

use std::time::Duration;

use tokio::sync::oneshot;

use super::http::App;
use super::live::submit;
use super::media::ToMedia;
use super::nodes;
use super::registry::Registry;
use super::world::World;
use crate::engine::consent::{ConsentRecord, GrantSeq, Queues};
use crate::io::database::{Act, Acted, Revocation, Revoked, Work};

/// A no must become durable: tries, [`PAUSE`] apart, while the database is away.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);
/// A media thread shuts a gate within this, or something is badly wrong.
const SHUT_WITHIN: Duration = Duration::from_secs(5);
/// Who revokes waits no longer; what was begun goes on without them.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);

/// Why nobody can say yet that consent is withdrawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum NotRevoked {
    /// A gate did not answer.
    #[error("a live call of the client did not stop in time; opt out on the call itself, then ask again")]
    GateOpen,
    /// The database did not.
    #[error("live calls of the client have stopped capturing, but the revocation could not be made durable yet; ask again")]
    NotDurable,
}

/// Withdraws. What was begun is finished even if nobody waits for it any more.
pub(super) async fn revoke(app: &App, record: ConsentRecord) -> Result<Revoked, NotRevoked> {
    let app = app.clone();
    let work = tokio::spawn(async move {
        let (org, client) = (record.org_id.clone(), record.client_id.clone());
        // A gate that does not answer must not keep the no from being written.
        let first = shut_gates(&app, &org, &client, None).await;
        let revoked = write(&app.world, Revocation { record, queues: Queues::Everything }).await.ok_or(NotRevoked::NotDurable)?;
        shut_gates(&app, &org, &client, Some(GrantSeq(revoked.entry))).await?;
        first.map(|()| revoked)
    });
    match tokio::time::timeout(ANSWER_WITHIN, work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => Err(NotRevoked::NotDurable),
    }
}

/// Writes a revocation until it is written.
pub(super) async fn write(world: &World, revocation: Revocation) -> Option<Revoked> {
    for _ in 0..TRIES {
        let (done, durable) = oneshot::channel();
        let then = Box::new(move |acted| drop(done.send(acted)));
        submit(world, Work::Act(Act::Revoke(Box::new(revocation.clone())), then));
        if let Ok(Some(Acted::Revoked(revoked))) = durable.await {
            return Some(revoked);
        }
        tokio::time::sleep(PAUSE).await;
    }
    tracing::error!(consent.id = %revocation.record.id, "ledger: a revocation could not be made durable; check the database, and revoke again");
    None
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
