//! Artifacts that are due: their owner is asked to delete them (`artifact.delete`), until it says that it has; who is late is told of,
//! in the log, in the figures and in the chain.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;

use super::metrics::Metrics;
use crate::engine::consent::Actor;
use crate::engine::ledger::{Event, EventKind};
use crate::engine::time::WallTime;
use crate::engine::webhook::body;
use crate::io::clock::wall;
use crate::io::database::{Act, Acted, ArtifactRow, Database, DatabaseError, Work};
use crate::io::webhook::Webhook;

/// `serve` looks at its start, and then this often.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);
/// An owner that has taken the request and confirmed nothing is asked again after so long.
const ASK_AGAIN_MS: i64 = 24 * 3_600 * 1_000;
/// So long after it is due an artifact that nobody has confirmed gone is overdue.
const OVERDUE_MS: i64 = 24 * 3_600 * 1_000;
/// What the owner is asked by.
const DELETE: &str = "artifact.delete";
/// Rows read at once.
const PAGE: u32 = 500;
/// Artifacts of one pass; the next one goes on.
const ITEMS_MAX: usize = 100_000;

/// What a pass found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ArtifactsDue {
    /// Due, not confirmed gone, and kept by no hold.
    pub due: u64,
    /// Their owner took the request in this pass.
    pub asked: u64,
    /// Their owner could not be asked.
    pub not_asked: u64,
    /// Due for more than a day.
    pub overdue: u64,
}

/// Asks.
pub(super) struct Owners {
    database: Database,
    /// None: nobody can be asked but by people.
    webhook: Option<Webhook>,
    metrics: Arc<Metrics>,
}

impl Owners {
    pub(super) fn new(database: Database, webhook: Option<Webhook>, metrics: Arc<Metrics>) -> Self {
        Self { database, webhook, metrics }
    }

    /// Asks for as long as the gateway runs.
    pub(super) async fn run(self) {
        loop {
            match self.pass(wall()).await {
                Ok(found) if found.due == 0 => {}
                Ok(found) => {
                    tracing::info!(
                        due = found.due,
                        asked = found.asked,
                        not_asked = found.not_asked,
                        overdue = found.overdue,
                        "artifacts: owners asked"
                    );
                }
                Err(why) => tracing::error!(error = %why, "artifacts: what is due cannot be read; it is looked at again in an hour"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What a pass would find; nobody is asked.
    pub(super) async fn look(&self, as_of: WallTime) -> Result<ArtifactsDue, DatabaseError> {
        let mut found = ArtifactsDue::default();
        let mut after = String::new();
        while found.due < ITEMS_MAX as u64 {
            let page = self.database.artifacts_due(as_of, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            found.due += page.len() as u64;
            found.overdue += page.iter().filter(|row| is_overdue(row, as_of)).count() as u64;
        }
        Ok(found)
    }

    /// Asks for all that is due as of then.
    pub(super) async fn pass(&self, as_of: WallTime) -> Result<ArtifactsDue, DatabaseError> {
        let mut found = ArtifactsDue::default();
        let mut after = String::new();
        while found.due < ITEMS_MAX as u64 {
            let page = self.database.artifacts_due(as_of, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            for row in &page {
                found.due += 1;
                self.settle(row, as_of, &mut found).await;
            }
        }
        let overdue = i64::try_from(found.overdue).unwrap_or(i64::MAX);
        self.metrics.artifacts_overdue.set(overdue);
        Ok(found)
    }

    async fn settle(&self, row: &ArtifactRow, as_of: WallTime, found: &mut ArtifactsDue) {
        let mut row = row.clone();
        if row.due_at.is_none() {
            // What it was made of was discarded, or is due itself.
            row.due_at = Some(as_of);
            let event = event(&row, EventKind::ArtifactQueued, wall());
            self.act(Act::QueueArtifact { id: row.id.clone(), at: as_of, event }).await;
        }
        let row = &row;
        let waits = row.asked_at.is_some_and(|asked| as_of.0 < asked.0.saturating_add(ASK_AGAIN_MS));
        if !waits {
            if self.ask(row).await {
                found.asked += 1;
            } else {
                found.not_asked += 1;
            }
        }
        if !is_overdue(row, as_of) {
            return;
        }
        found.overdue += 1;
        tracing::error!(
            artifact.id = %row.id, call.id = %row.call_id, asks = row.asks,
            "artifacts: overdue: its owner has not confirmed that it is deleted. Have it deleted, then POST /api/artifacts/{}/deleted", row.id
        );
        if row.alarmed_at.is_none() {
            let at = wall();
            let event = event(row, EventKind::ArtifactOverdue, at);
            self.act(Act::ArtifactAlarmed { id: row.id.clone(), at, event }).await;
        }
    }

    /// Whether its owner has taken the request, and that is written down.
    async fn ask(&self, row: &ArtifactRow) -> bool {
        let Some(webhook) = &self.webhook else {
            tracing::warn!(artifact.id = %row.id, "artifacts: due, and nobody can be asked to delete it: set CALLGATE_WEBHOOK_URL, or delete it by hand and confirm");
            return false;
        };
        let at = wall();
        let data = json!({
            "artifactId": row.id, "ownerId": row.owner_id, "kind": row.kind, "callId": row.call_id, "clientId": row.client_id,
            "orgId": row.org_id, "dueAt": row.due_at,
        });
        // The same at every try until it is taken.
        let id = format!("evt_{}_{}", row.id, row.asks);
        if let Err(why) = webhook.post(&id, at.0 / 1_000, body(DELETE, at, &data)).await {
            tracing::warn!(artifact.id = %row.id, "artifacts: its owner took no request to delete it: {why}; asked again in an hour");
            return false;
        }
        let event = event(row, EventKind::ArtifactAsked, at);
        self.act(Act::ArtifactAsked { id: row.id.clone(), asks: row.asks, at, event }).await
    }

    async fn act(&self, act: Act) -> bool {
        let (done, acted) = oneshot::channel();
        let handed_in = self.database.ledger().append(Work::Act(act, Box::new(move |acted| drop(done.send(acted)))));
        handed_in.is_ok() && matches!(acted.await, Ok(Some(Acted::Done(true))))
    }
}

fn is_overdue(row: &ArtifactRow, as_of: WallTime) -> bool {
    row.due_at.is_some_and(|due| as_of.0 >= due.0.saturating_add(OVERDUE_MS))
}

/// A line about an artifact, by a rule.
fn event(row: &ArtifactRow, kind: EventKind, at: WallTime) -> Event {
    Event {
        org_id: row.org_id.clone(),
        kind,
        actor: Actor::System,
        call_id: Some(row.call_id.clone()),
        client_id: Some(row.client_id.clone()),
        at,
        position: None,
        detail: json!({ "artifactId": row.id, "kind": row.kind, "dueAt": row.due_at, "asks": row.asks }),
    }
}
