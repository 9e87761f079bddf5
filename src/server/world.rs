//! What a media thread may reach of the world: handles that never make it wait.

use std::sync::Arc;

use super::metrics::Metrics;
use crate::engine::call::Settings;
use crate::io::clock::Clocks;
use crate::io::database::Database;
use crate::io::recording::Format;
use crate::io::spool::SpoolWriters;

/// Handles, cheap to clone.
#[derive(Clone)]
pub struct World {
    /// What every call is told.
    pub settings: Settings,
    /// How recordings are encoded.
    pub format: Format,
    /// Whether streams without an announced call are taken.
    pub unannounced: bool,
    /// Whether a client's own no queues recordings of other calls for deletion.
    pub decline_queues: bool,
    /// The clocks.
    pub clocks: Clocks,
    /// The database; its ledger's queue is bounded.
    pub database: Database,
    /// The spool's writers; their queues are bounded.
    pub spool: SpoolWriters,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where questions are asked that take time.
    pub tokio: tokio::runtime::Handle,
}
