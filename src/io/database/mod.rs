//! The database: ConsentRecord and AuditEvent, append-only and chained; Call and Recording, as last seen.
//!
//! One writer (`ledger`) commits in groups and answers only after the commit; readers have connections of their
//! own and never wait for it. SQL stands once, with `$n` parameters, so that a second backend is another variant of
//! [`Db`] and not another program.

mod acts;
mod append;
mod audience;
mod calls;
mod checkpoints;
mod clients;
mod error;
mod events;
mod figures;
mod ledger;
mod outbox;
mod read;
mod retention;
mod tasks;
#[cfg(test)]
mod tests;
mod verify;
mod work;

use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

pub use acts::{Act, Acted};
pub use audience::{Audience, CallBell};
pub use calls::{Answer, KeyClaim, KeyUse, Placed, PlacedRow, Placement};
pub use checkpoints::CheckpointRow;
pub use clients::{Hold, InteractionRow, Revocation, Revoked};
pub use error::DatabaseError;
pub use events::CallEventRow;
pub use figures::FiguresFilter;
pub use ledger::{LEDGER_QUEUE_MAX, Ledger, LedgerFull};
pub use outbox::{OutboxWork, Post, Verdict};
pub use read::{CallFilter, CallRow, HistoryRow, RecordingRow, Ruling, StandingRow};
pub use retention::{Claim, RetentionRow};
pub use tasks::{TaskRow, TaskState};
pub use verify::VerifyReport;
pub use work::{Then, Work};

/// How long a connection waits for a lock before it says so.
const BUSY: Duration = Duration::from_secs(3);
/// Readers at once.
const READERS_MAX: u32 = 8;

/// An open database.
#[derive(Clone)]
pub struct Database {
    db: Db,
    ledger: Ledger,
}

/// The backends. One for now.
#[derive(Clone)]
enum Db {
    Sqlite(SqlitePool),
}

impl Database {
    /// Opens, makes what is missing, and starts the writer on the current tokio runtime.
    ///
    /// # Errors
    /// [`DatabaseError`], which names the URL and what to do.
    pub async fn open(url: &str) -> Result<Self, DatabaseError> {
        let options = sqlite_options(url)?;
        if let Some(folder) = options.get_filename().parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let failed = |why| DatabaseError::Open { url: url.to_owned(), source: sqlx::Error::Io(why) };
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        Self::open_with(url, options).await
    }

    async fn open_with(url: &str, options: SqliteConnectOptions) -> Result<Self, DatabaseError> {
        let failed = |source| DatabaseError::Open { url: url.to_owned(), source };
        let mut writer = options.clone().connect().await.map_err(failed)?;
        sqlx::migrate!("migrations/sqlite")
            .run(&mut writer)
            .await
            .map_err(|source| DatabaseError::Migrate { url: url.to_owned(), source })?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .acquire_timeout(BUSY)
            .connect_with(options.clone().read_only(true))
            .await
            .map_err(failed)?;
        Ok(Self { db: Db::Sqlite(readers), ledger: Ledger::start(writer, options.create_if_missing(false)) })
    }

    /// The writer.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    const fn readers(&self) -> &SqlitePool {
        match &self.db {
            Db::Sqlite(pool) => pool,
        }
    }
}

/// A read-only connection for checking a chain without a gateway.
async fn open_to_read(url: &str) -> Result<SqliteConnection, DatabaseError> {
    let options = sqlite_options(url)?.create_if_missing(false).read_only(true);
    options.connect().await.map_err(|source| DatabaseError::Open { url: url.to_owned(), source })
}

fn sqlite_options(url: &str) -> Result<SqliteConnectOptions, DatabaseError> {
    if !url.starts_with("sqlite://") {
        return Err(DatabaseError::Unsupported(scheme(url)));
    }
    let open = |source| DatabaseError::Open { url: url.to_owned(), source };
    Ok(SqliteConnectOptions::from_str(url)
        .map_err(open)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .statement_cache_capacity(64)
        .disable_statement_logging())
}

/// A URL without its credentials, for an error message.
fn scheme(url: &str) -> String {
    url.split_once("://").map_or_else(|| url.to_owned(), |(scheme, _)| format!("{scheme}://…"))
}
