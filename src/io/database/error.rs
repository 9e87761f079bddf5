//! What goes wrong with a database, in words for the person on call: what it is, and what to do.

use sqlx::error::DatabaseError as _;
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A URL we have no backend for.
    #[error("database url must be sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE, not {0}")]
    Unsupported(String),
    /// It cannot be opened.
    #[error("database {url} cannot be opened: {}", advice(source))]
    Open {
        /// Which, without credentials.
        url: String,
        /// Why.
        source: sqlx::Error,
    },
    /// Its folder cannot be made.
    #[error("database {url} cannot be opened: its folder cannot be made ({source}); check the owner and the space of the folder above")]
    Folder {
        /// Which.
        url: String,
        /// Why.
        source: std::io::Error,
    },
    /// Its tables cannot be made.
    #[error("database {url} cannot be brought to this version's tables: {}", migration_advice(source))]
    Migrate {
        /// Which, without credentials.
        url: String,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// A question was not answered.
    #[error("database did not answer: {}", advice(.0))]
    Query(#[from] sqlx::Error),
    /// Nor in time.
    #[error("database did not answer within {0:?}; look for a slow disk or a dead server")]
    Late(std::time::Duration),
    /// The writer did not take it.
    #[error("database does not take work: {0}; the log says why")]
    Away(&'static str),
    /// A row that callgate did not write.
    #[error("database row of {0} cannot be understood: something else wrote it")]
    Row(&'static str),
}

/// Whether a statement failed by what it says, and not by the state that the database is in: others may yet succeed.
pub(super) fn is_its_own_fault(why: &sqlx::Error) -> bool {
    matches!(code(why), Some(TOO_BIG | CONSTRAINT | MISMATCH))
        || sqlstate(why).is_some_and(|state| OWN_FAULTS.iter().any(|class| state.starts_with(class)))
        || matches!(why, sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })
}

const TOO_BIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
/// PostgreSQL's data exceptions, violated constraints, limits exceeded, and what our own triggers raise.
const OWN_FAULTS: [&str; 4] = ["22", "23", "54", "P0001"];

/// SQLite's primary result code: the low byte (sqlite.org/rescode.html).
fn code(why: &sqlx::Error) -> Option<i32> {
    let sqlx::Error::Database(why) = why else { return None };
    let code: i32 = why.try_downcast_ref::<SqliteError>()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// PostgreSQL's five letters (postgresql.org/docs/current/errcodes-appendix.html).
fn sqlstate(why: &sqlx::Error) -> Option<&str> {
    let sqlx::Error::Database(why) = why else { return None };
    why.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::code)
}

/// What to do about it. Never what a row held.
pub(super) fn advice(why: &sqlx::Error) -> &'static str {
    if matches!(why, sqlx::Error::PoolTimedOut) {
        return "all readers are busy, or the server is away; look for a slow disk or a dead server";
    }
    if matches!(why, sqlx::Error::Tls(_)) {
        return "TLS failed; check sslmode and sslrootcert in CALLGATE_DATABASE_URL and the server's certificate";
    }
    if matches!(why, sqlx::Error::Configuration(_)) {
        return "its url cannot be read; check CALLGATE_DATABASE_URL, and percent-encode its password";
    }
    if matches!(why, sqlx::Error::Io(_) | sqlx::Error::Protocol(_)) {
        return "nothing answers there, or not in time; check that it exists, is running and is reachable";
    }
    if let Some(state) = sqlstate(why) {
        return postgres_advice(state);
    }
    match code(why) {
        Some(5 | 6) => "another process holds its lock; stop that process, or wait",
        Some(8) => "it is read-only; check the owner and the mount of its folder",
        Some(10) => "its disk reports errors; check the disk",
        Some(11) => "it is corrupt; stop, keep the file, and restore the last backup",
        Some(13) => "its disk is full; free some space",
        Some(14) => "check that its folder exists and is writable",
        Some(26) => "the file is not a database; check the configured url",
        _ => "check that its folder exists, is writable and is not full",
    }
}

fn postgres_advice(state: &str) -> &'static str {
    match state {
        "28P01" | "28000" => "the server refused the user; check user and password in CALLGATE_DATABASE_URL, and pg_hba.conf",
        "3D000" => "the server has no such database; create it, or check CALLGATE_DATABASE_URL",
        "42501" => "the user may not do this; make it the owner of the schema",
        "42P01" | "42703" => "a table or column is missing; was it made by another version of callgate?",
        "25006" => "it takes no writes; is it a standby? Name the primary in CALLGATE_DATABASE_URL",
        "40P01" => "two writers waited for each other; it is tried again",
        "53100" => "its disk is full; free some space",
        "53300" => "it has no connection left; raise max_connections, or stop what else uses it",
        "55P03" => "another gateway holds a chain's lock for too long; look for a stuck disk or a stuck gateway",
        "57014" => "a statement took too long; look for a slow disk or a blocked table",
        "57P01" | "57P02" | "57P03" => "the server is stopping or starting; wait, or start it",
        state if state.starts_with("58") || state.starts_with("XX") => "the server reports damage or a broken disk; look at its own log",
        _ => "look at the server's own log",
    }
}

fn migration_advice(why: &sqlx::migrate::MigrateError) -> &'static str {
    if let sqlx::migrate::MigrateError::Execute(why) | sqlx::migrate::MigrateError::ExecuteMigration(why, _) = why {
        return advice(why);
    }
    "was it made by another version of callgate?"
}
