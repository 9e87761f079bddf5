//! What a media thread may reach of the world: handles that never make it wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use secrecy::SecretString;

use super::bridge::Bridging;
use super::config::Relays;
use super::metrics::Metrics;
use super::nodes::Lease;
use super::noes::{Held, Noes};
use super::scribe::Scribes;
use crate::engine::call::{Settings, Standing};
use crate::engine::consent::ConsentStatus;
use crate::engine::policy::{Places, Policy, Region, Ruling};
use crate::engine::time::WallTime;
use crate::io::clock::Clocks;
use crate::io::database::{Database, DatabaseError, Nodes};
use crate::io::recording::Format;
use crate::io::spool::{PauseGaps, SpoolWriters};

/// Handles, cheap to clone.
#[derive(Clone)]
pub struct World {
    /// What every call is told.
    pub settings: Settings,
    /// How recordings are encoded.
    pub format: Format,
    /// What a pause leaves in a recording.
    pub pause_gaps: PauseGaps,
    /// Whether streams without an announced call are taken.
    pub unannounced: bool,
    /// Whether a client's own no queues recordings of other calls for deletion.
    pub decline_queues: bool,
    /// Until when gates may be open.
    pub lease: Lease,
    /// This gateway among those on the same database, if there can be others.
    pub nodes: Option<Nodes>,
    /// The gateway stops: what it has begun it serves, and nothing new.
    pub draining: Arc<AtomicBool>,
    /// What the law of a place is.
    pub policy: Arc<Policy>,
    /// Where the case managers sit.
    pub place: Option<Region>,
    /// The voice bots that calls can be relayed to.
    pub relays: Arc<Relays>,
    /// What bridged calls need, if Twilio's REST API can be asked.
    pub bridging: Option<Arc<Bridging>>,
    /// What handshakes with them are signed by, as Twilio signs its own.
    pub twilio_token: Option<SecretString>,
    /// The clocks.
    pub clocks: Clocks,
    /// What our spool is called among those of other gateways, if there may be others.
    pub spool_id: Option<Arc<str>>,
    /// The database; its ledger's queue is bounded.
    pub database: Database,
    /// What clients have said no to, and the ledger does not have yet.
    pub noes: Arc<Noes>,
    /// The spool's writers; their queues are bounded.
    pub spool: SpoolWriters,
    /// Who makes transcripts, if there is a recogniser; their queues are bounded.
    pub scribes: Option<Scribes>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where questions are asked that take time.
    pub tokio: tokio::runtime::Handle,
}

impl World {
    /// What a call with these places is held to, ours among them.
    pub(super) fn ruling(&self, places: Places<'_>) -> Ruling {
        self.policy.ruling(Places { case_manager: self.place, ..places })
    }

    /// Where a client stands, by the ledger, and by what is on its way into it.
    pub(super) async fn standing(&self, org_id: &str, client_id: &str) -> Result<Standing, DatabaseError> {
        // Looked for before and after: it may be said, or become durable, while the database is asked.
        let before = self.noes.holds(org_id, client_id);
        let row = self.database.standing(org_id, client_id).await;
        match before.max(self.noes.holds(org_id, client_id)) {
            Some(Held::No) => Ok(Standing { status: ConsentStatus::Revoked, seen: row.map_or(0, |row| row.seen) }),
            Some(Held::NoYes) => row.map(|row| {
                let status = if row.status == ConsentStatus::Granted { ConsentStatus::Pending } else { row.status };
                Standing { status, seen: row.seen }
            }),
            None => row.map(|row| Standing { status: row.status, seen: row.seen }),
        }
    }

    /// Whether a client's newest word is a no, and when they said one last, if ever: as [`Self::standing`] looks.
    pub(super) async fn withdrawal(&self, org_id: &str, client_id: &str) -> Result<(bool, Option<WallTime>), DatabaseError> {
        let before = self.noes.since(org_id, client_id, None);
        let written = self.database.withdrawal(org_id, client_id).await;
        match self.noes.since(org_id, client_id, None).or(before) {
            Some(at) => Ok((true, Some(at))),
            None => written,
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
