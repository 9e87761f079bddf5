//! What goes wrong with a database, in words for the person on call: what it is, and what to do.

use sqlx::error::DatabaseError as _;
use sqlx::sqlite::SqliteError;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A URL we have no backend for.
    #[error("database url must begin with sqlite://, not {0:?}: postgres is not built yet")]
    Unsupported(String),
    /// It cannot be opened.
    #[error("database {url} cannot be opened: {}", advice(source))]
    Open {
        /// Which.
        url: String,
        /// Why.
        source: sqlx::Error,
    },
    /// Its tables cannot be made.
    #[error("database {url} cannot be brought to this version's tables: {}", migration_advice(source))]
    Migrate {
        /// Which.
        url: String,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// A question was not answered.
    #[error("database did not answer: {}", advice(.0))]
    Query(#[from] sqlx::Error),
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
        || matches!(why, sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })
}

const TOO_BIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;

/// SQLite's primary result code: the low byte (sqlite.org/rescode.html).
fn code(why: &sqlx::Error) -> Option<i32> {
    let sqlx::Error::Database(why) = why else { return None };
    let code: i32 = why.try_downcast_ref::<SqliteError>()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// What to do about it. Never what a row held.
pub(super) fn advice(why: &sqlx::Error) -> &'static str {
    if matches!(why, sqlx::Error::PoolTimedOut) {
        return "all readers are busy; look for a slow disk";
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

fn migration_advice(why: &sqlx::migrate::MigrateError) -> &'static str {
    if let sqlx::migrate::MigrateError::Execute(why) | sqlx::migrate::MigrateError::ExecuteMigration(why, _) = why {
        return advice(why);
    }
    "was it made by another version of callgate?"
}
