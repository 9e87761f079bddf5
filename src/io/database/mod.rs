//! The database: ConsentRecord and AuditEvent, append-only and chained; Call and Recording, as last seen.
//!
//! One writer (`ledger`) commits in groups and answers only after the commit; readers have connections of their
//! own and never wait for it. SQLite serves one gateway, PostgreSQL many. SQL stands once, with `$n` parameters, and is
//! compiled for both (`backend`).

mod append;
mod audience;
mod backend;
mod checkpoints;
mod columns;
mod error;
mod events;
mod figures;
mod ledger;
mod outbox;
mod read;
#[cfg(test)]
mod tests;
mod url;
mod verify;
mod work;

use backend::{Address, Readers};
use url::shown;

pub use audience::{Audience, CallBell};
pub use checkpoints::CheckpointRow;
pub use error::DatabaseError;
pub use events::CallEventRow;
pub use figures::FiguresFilter;
pub use ledger::{LEDGER_QUEUE_MAX, Ledger, LedgerFull};
pub use outbox::{OutboxWork, Post, Verdict};
pub use read::{CallFilter, CallRow, HistoryRow, InteractionRow, RecordingRow, Ruling, StandingRow};
pub use url::DatabaseUrl;
pub use verify::VerifyReport;
pub use work::{Then, Work};

/// An open database.
#[derive(Clone)]
pub struct Database {
    readers: Readers,
    ledger: Ledger,
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
        Ok(Self { readers, ledger: Ledger::start(writer, address) })
    }

    /// The writer.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}
