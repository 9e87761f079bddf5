//! The two backends side by side: one enum for whatever comes in two kinds, one macro that writes a body out for both.
//!
//! A statement stands once. `on!(session, c => sqlx::query(TEXT).bind(..).execute(&mut **c).await)` is compiled against
//! SQLite and against PostgreSQL; `from_row!` does the same for reading a row.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Postgres, Row as _, Sqlite};
use tokio::time::timeout;

use super::DatabaseError;
use super::url::shown;

/// How long SQLite's connections wait for a lock, and readers for a connection, before they say so.
pub(super) const BUSY: Duration = Duration::from_secs(3);
/// Statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 256;
/// Readers at once.
const READERS_MAX: u32 = 8;
/// Pages that a reader keeps, in KiB: their questions are single rows by key.
const READER_CACHE: &str = "-512";
/// A server that does not take a connection by then is away.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// PostgreSQL ends the writer's statements by itself a little before the writer gives them up: its locks are free by then.
const STATEMENT_MAX_MS: &str = "4000";
/// A writer that vanished in the middle of a transaction holds up nobody for longer.
const IDLE_IN_TRANSACTION_MAX_MS: &str = "6000";
/// A page for a person takes no longer.
const READ_MAX_MS: &str = "10000";

/// The same thing of either backend.
#[derive(Clone, Debug)]
pub(super) enum Backend<S, P> {
    Sqlite(S),
    Postgres(P),
}

/// Where a database is.
pub(super) type Address = Backend<SqliteConnectOptions, Box<PgConnectOptions>>;
/// A connection of one's own.
pub(super) type Connection = Backend<SqliteConnection, PgConnection>;
/// A connection with an open transaction.
pub(super) type Transaction<'c> = Backend<sqlx::Transaction<'c, Sqlite>, sqlx::Transaction<'c, Postgres>>;
/// A connection lent for some statements.
pub(super) type Session<'c> = Backend<&'c mut SqliteConnection, &'c mut PgConnection>;
/// Connections that only read.
pub(super) type Readers = Backend<SqlitePool, PgPool>;

/// Writes a body out for both backends.
macro_rules! on {
    ($backend:expr, $it:ident => $body:expr) => {
        match $backend {
            $crate::io::database::backend::Backend::Sqlite($it) => $body,
            $crate::io::database::backend::Backend::Postgres($it) => $body,
        }
    };
}
pub(super) use on;

/// Reads a type from a row of either backend.
macro_rules! from_row {
    ($type:ty, $row:ident => $body:expr) => {
        impl<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> for $type {
            fn from_row($row: &'r sqlx::sqlite::SqliteRow) -> Result<Self, sqlx::Error> {
                $body
            }
        }
        impl<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> for $type {
            fn from_row($row: &'r sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
                $body
            }
        }
    };
}
pub(super) use from_row;

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, DatabaseError> {
        let open = |source| DatabaseError::Open { url: shown(url), source };
        if url.starts_with("sqlite://") {
            let options = SqliteConnectOptions::from_str(url).map_err(open)?;
            return Ok(Self::Sqlite(
                options
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .foreign_keys(true)
                    .busy_timeout(BUSY)
                    .statement_cache_capacity(STATEMENTS_MAX)
                    .disable_statement_logging(),
            ));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url).map_err(open)?;
            return Ok(Self::Postgres(Box::new(options.application_name("callgate").disable_statement_logging())));
        }
        Err(DatabaseError::Unsupported(shown(url)))
    }

    /// Makes what is missing. Several gateways may do so at once.
    pub(super) async fn migrate(&self, url: &str) -> Result<(), DatabaseError> {
        let opened = |source| DatabaseError::Open { url: shown(url), source };
        let migrated = |source| DatabaseError::Migrate { url: shown(url), source };
        match self {
            Self::Sqlite(options) => {
                if let Some(folder) = options.get_filename().parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    std::fs::create_dir_all(folder).map_err(|source| DatabaseError::Folder { url: shown(url), source })?;
                }
                let mut connection = options.connect().await.map_err(opened)?;
                sqlx::migrate!("migrations/sqlite").run(&mut connection).await.map_err(migrated)
            }
            Self::Postgres(options) => {
                let mut connection = connect(options).await.map_err(opened)?;
                if setting(&mut connection, "fsync").await.map_err(opened)? == "off" {
                    tracing::warn!("database: fsync is off on the server: what it calls durable does not survive a loss of power");
                }
                sqlx::migrate!("migrations/postgres").run(&mut connection).await.map_err(migrated)?;
                connection.close().await.map_err(opened)
            }
        }
    }

    /// The writer's connection: a COMMIT that returns is on the disk.
    pub(super) async fn writer(&self) -> Result<Connection, sqlx::Error> {
        match self {
            Self::Sqlite(options) => options.clone().create_if_missing(false).connect().await.map(Connection::Sqlite),
            Self::Postgres(options) => {
                let bounds = [
                    ("statement_timeout", STATEMENT_MAX_MS),
                    ("lock_timeout", STATEMENT_MAX_MS),
                    ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_MAX_MS),
                ];
                let options = options.as_ref().clone().options(bounds).statement_cache_capacity(STATEMENTS_MAX);
                let mut connection = connect(&options).await?;
                // Some set it off for a whole role; then COMMIT returns before anything is on the disk.
                if setting(&mut connection, "synchronous_commit").await? == "off" {
                    sqlx::query("SET synchronous_commit = on").execute(&mut connection).await?;
                }
                Ok(Connection::Postgres(connection))
            }
        }
    }

    pub(super) async fn readers(&self) -> Result<Readers, sqlx::Error> {
        match self {
            Self::Sqlite(options) => {
                let pool = SqlitePoolOptions::new().max_connections(READERS_MAX).acquire_timeout(BUSY);
                let options = options.clone().read_only(true).pragma("cache_size", READER_CACHE);
                pool.connect_with(options).await.map(Readers::Sqlite)
            }
            Self::Postgres(options) => {
                let bounds = [("statement_timeout", READ_MAX_MS), ("default_transaction_read_only", "on")];
                let pool = PgPoolOptions::new().max_connections(READERS_MAX).acquire_timeout(BUSY);
                pool.connect_with(options.as_ref().clone().options(bounds)).await.map(Readers::Postgres)
            }
        }
    }

    /// A connection for checking chains, which may take its time.
    pub(super) async fn verifier(&self) -> Result<Connection, sqlx::Error> {
        match self {
            Self::Sqlite(options) => options.clone().create_if_missing(false).read_only(true).connect().await.map(Connection::Sqlite),
            Self::Postgres(options) => connect(options).await.map(Connection::Postgres),
        }
    }
}

impl Connection {
    /// Begins to write. On PostgreSQL the chains' locks come in the same round trip, in the order of `locks`, which must be
    /// sorted; SQLite has one lock for all.
    pub(super) async fn begin(&mut self, locks: &[i64]) -> Result<Transaction<'_>, sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.begin_with("BEGIN IMMEDIATE").await.map(Transaction::Sqlite),
            Self::Postgres(connection) => {
                let locks: String = locks.iter().map(|key| format!("; SELECT pg_advisory_xact_lock({key})")).collect();
                // Each statement is to see what was committed before it, the locks' former holder's work above all.
                let begin = AssertSqlSafe(format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE{locks}"));
                connection.begin_with(begin).await.map(Transaction::Postgres)
            }
        }
    }
}

impl Session<'_> {
    /// Rows in one statement at most. SQLite looks each `$n` up among all before it, so that long statements cost by the square.
    const fn rows_max(&self) -> usize {
        match self {
            Self::Sqlite(_) => 32,
            Self::Postgres(_) => 256,
        }
    }

    /// Rows in portions of one statement each. Their sizes are powers of two, so that a handful of statements, kept
    /// prepared, serves for every number of rows. (What is not kept prepared may fail on PostgreSQL: sqlx asks for the ids of
    /// our types between its Parse and its Bind, and that ends an unnamed statement.)
    pub(super) fn pieces<'a, T>(&self, mut rows: &'a [T]) -> impl Iterator<Item = &'a [T]> + use<'a, T> {
        let most = self.rows_max();
        std::iter::from_fn(move || {
            let size = 1 << rows.len().min(most).checked_ilog2()?;
            let (piece, rest) = rows.split_at(size);
            rows = rest;
            Some(piece)
        })
    }
}

impl Transaction<'_> {
    pub(super) fn session(&mut self) -> Session<'_> {
        match self {
            Self::Sqlite(transaction) => Session::Sqlite(transaction),
            Self::Postgres(transaction) => Session::Postgres(transaction),
        }
    }

    pub(super) async fn savepoint(&mut self) -> Result<Transaction<'_>, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(transaction) => Transaction::Sqlite(transaction.begin().await?),
            Self::Postgres(transaction) => Transaction::Postgres(transaction.begin().await?),
        })
    }

    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        on!(self, transaction => transaction.commit().await)
    }

    pub(super) async fn rollback(self) -> Result<(), sqlx::Error> {
        on!(self, transaction => transaction.rollback().await)
    }
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let away = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    timeout(CONNECT_WITHIN, options.connect()).await.map_err(away)?
}

/// For gateways' own affairs: short statements on a few connections.
pub(super) fn read_and_write(options: &PgConnectOptions) -> PgConnectOptions {
    options.clone().options([("statement_timeout", STATEMENT_MAX_MS), ("lock_timeout", STATEMENT_MAX_MS)])
}

async fn setting(connection: &mut PgConnection, name: &str) -> Result<String, sqlx::Error> {
    sqlx::query("SELECT current_setting($1)").bind(name).fetch_one(connection).await?.try_get(0)
}
