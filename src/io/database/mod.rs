//! The database: ConsentRecord and AuditEvent, append-only and chained; Call and Recording, as last seen.
//!
//! One writer (`ledger`) commits in groups and answers only after the commit; readers have connections of their
//! own and never wait for it. SQLite serves one gateway, PostgreSQL many. SQL stands once, with `$n` parameters, and is
//! compiled for both (`backend`).

mod acts;
mod append;
mod artifacts;
mod audience;
mod backend;
mod calls;
mod checkpoints;
mod clients;
mod columns;
mod error;
mod events;
mod evidence;
mod figures;
mod ledger;
mod nodes;
mod outbox;
mod read;
mod retention;
mod rulings;
mod tasks;
#[cfg(test)]
mod tests;
mod transcripts;
mod url;
mod verify;
mod work;

use std::sync::Arc;

use backend::{Address, Readers};
use rand::RngExt as _;
use url::shown;

pub use acts::{Act, Acted};
pub use artifacts::{ArtifactRow, Registered};
pub use audience::{Audience, CallBell};
pub use calls::{Answer, KeyClaim, KeyUse, Placed, PlacedRow, Placement};
pub use checkpoints::CheckpointRow;
pub use clients::{Hold, InteractionRow, Revocation, Revoked};
pub use error::DatabaseError;
pub use events::CallEventRow;
pub use evidence::OpenedRow;
pub use figures::FiguresFilter;
pub use ledger::{LEDGER_QUEUE_MAX, Ledger, LedgerFull};
pub use nodes::{Arrived, Bell, Bells, CallElsewhere, GoneNode, LEASE, Nodes, Whose};
pub use outbox::{OutboxWork, Post, Verdict};
pub use read::{CallFilter, CallRow, HistoryRow, RecordingRow, Ruling, StandingRow};
pub use retention::{Claim, RetentionRow};
pub use tasks::{TaskRow, TaskState};
pub use transcripts::{Begun, STORED_WITHIN_MS, TranscriptRow};
pub use url::DatabaseUrl;
pub use verify::VerifyReport;
pub use work::{Then, Work};

/// An open database.
#[derive(Clone)]
pub struct Database {
    readers: Readers,
    ledger: Ledger,
    address: Address,
    /// This process, in rows that it writes.
    node: Arc<str>,
}

impl Database {
    /// Opens, makes what is missing, and starts the writer on the current tokio runtime.
    ///
    /// # Errors
    /// [`DatabaseError`], which names the URL without its credentials, and what to do.
    pub async fn open(url: &str) -> Result<Self, DatabaseError> {
        Self::open_at(url, Address::parse(url)?).await
    }

    async fn open_at(url: &str, address: Address) -> Result<Self, DatabaseError> {
        let failed = |source| DatabaseError::Open { url: shown(url), source };
        address.migrate(url).await?;
        let writer = address.writer().await.map_err(failed)?;
        let readers = address.readers().await.map_err(failed)?;
        let node: Arc<str> = format!("node_{:016x}", rand::rng().random::<u64>()).into();
        let ledger = Ledger::start(writer, address.clone(), Some(Arc::clone(&node)));
        Ok(Self { readers, ledger, address, node })
    }

    /// The writer.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}
