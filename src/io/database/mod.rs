//! The database: ConsentRecord and AuditEvent, append-only and chained; Call and Recording, as last seen.
//!
//! One writer (`ledger`) commits in groups and answers only after the commit; readers have connections of their
//! own and never wait for it. SQL stands once, with `$n` parameters, so that a second backend is another variant of
//! [`Db`] and not another program.

mod ledger;
mod read;
mod verify;

use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

pub use ledger::{LEDGER_QUEUE_MAX, Ledger, LedgerFull, Then, Work};
pub use read::{CallFilter, CallRow, RecordingRow, StandingRow};
pub use verify::VerifyReport;

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

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A URL we have no backend for.
    #[error("database url must begin with sqlite://, not {0:?}: postgres is not built yet")]
    Unsupported(String),
    /// It cannot be opened.
    #[error("database {url} cannot be opened; check that its folder exists, is writable and is not full")]
    Open {
        /// Which.
        url: String,
        /// Why.
        source: sqlx::Error,
    },
    /// Its tables cannot be made.
    #[error("database {url} cannot be brought to this version's tables; was it made by a newer callgate?")]
    Migrate {
        /// Which.
        url: String,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// A question was not answered.
    #[error("database did not answer")]
    Query(#[from] sqlx::Error),
    /// A row that callgate did not write.
    #[error("database row of {0} cannot be understood")]
    Row(&'static str),
}

impl Database {
    /// Opens, makes what is missing, and starts the writer on the current tokio runtime.
    ///
    /// # Errors
    /// [`DatabaseError`], which names the URL and what to do.
    pub async fn open(url: &str) -> Result<Self, DatabaseError> {
        let options = sqlite_options(url)?;
        let failed = |source| DatabaseError::Open { url: url.to_owned(), source };
        let mut writer = options.clone().connect().await.map_err(failed)?;
        sqlx::migrate!("migrations/sqlite")
            .run(&mut writer)
            .await
            .map_err(|source| DatabaseError::Migrate { url: url.to_owned(), source })?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .acquire_timeout(BUSY)
            .connect_with(options.read_only(true))
            .await
            .map_err(failed)?;
        Ok(Self { db: Db::Sqlite(readers), ledger: Ledger::start(writer) })
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
    let path = url.strip_prefix("sqlite://").ok_or_else(|| DatabaseError::Unsupported(scheme(url)))?;
    let open = |source| DatabaseError::Open { url: url.to_owned(), source };
    if let Some(folder) = std::path::Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|why| open(sqlx::Error::Io(why)))?;
    }
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
