//! What happened to a call, in order: written with the call's row, in its commit; read page by page, from any point on.

use serde_json::Value;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::outbox;
use super::read::CallRow;
use super::{Database, DatabaseError};
use crate::engine::call::News;

/// Something that happened to a call.
#[derive(Clone, PartialEq, Debug)]
pub struct CallEventRow {
    /// Counts the call's events from 1.
    pub version: u64,
    /// What is new, in the words of [`News`].
    pub kinds: Vec<String>,
    /// The call just after it.
    pub state: Value,
}

/// Writes the event that `row` is, if it tells something new.
pub(super) async fn write(connection: &mut SqliteConnection, row: &CallRow, posts: bool) -> Result<(), sqlx::Error> {
    let newest = sqlx::query(r#"SELECT "version", "state" FROM "CallEvent" WHERE "callId" = $1 ORDER BY "version" DESC LIMIT 1"#)
        .bind(&row.id)
        .fetch_optional(&mut *connection)
        .await?;
    let (version, before) = match &newest {
        Some(newest) => {
            let state: Value = serde_json::from_str(newest.try_get(1)?).map_err(|why| sqlx::Error::Decode(Box::new(why)))?;
            (newest.try_get::<i64, _>(0)? + 1, Some(state))
        }
        None => (1, None),
    };
    let news = News::between(before.as_ref(), &row.state);
    if news.is_empty() {
        return Ok(());
    }
    let kinds: Vec<_> = news.iter().map(|news| news.word()).collect();
    sqlx::query(r#"INSERT INTO "CallEvent" ("callId", "version", "orgId", "phase", "kinds", "state") VALUES ($1, $2, $3, $4, $5, $6)"#)
        .bind(&row.id)
        .bind(version)
        .bind(&row.org_id)
        .bind(&row.phase)
        .bind(kinds.join(" "))
        .bind(row.state.to_string())
        .execute(&mut *connection)
        .await?;
    if posts { outbox::write_posts(connection, &row.id, version, &news).await } else { Ok(()) }
}

impl Database {
    /// A call's events after number `after`, oldest first, `limit` at most.
    ///
    /// # Errors
    /// [`DatabaseError::Query`], or [`DatabaseError::Row`].
    pub async fn call_events(&self, call_id: &str, after: u64, limit: u32) -> Result<Vec<CallEventRow>, DatabaseError> {
        let rows = sqlx::query(
            r#"SELECT "version", "kinds", "state" FROM "CallEvent" WHERE "callId" = $1 AND "version" > $2 ORDER BY "version" LIMIT $3"#,
        )
        .bind(call_id)
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        let read = |row: &SqliteRow| {
            Ok(CallEventRow {
                version: row.try_get::<i64, _>(0)?.cast_unsigned(),
                kinds: row.try_get::<&str, _>(1)?.split(' ').map(str::to_owned).collect(),
                state: serde_json::from_str(row.try_get(2)?).map_err(|_| DatabaseError::Row("CallEvent"))?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Calls that have streams and no end: with one process a database, those of a process that died.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn calls_left_open(&self, limit: u32) -> Result<Vec<CallRow>, DatabaseError> {
        let rows = sqlx::query(
            r#"SELECT * FROM "Call" WHERE "endedAt" IS NULL AND "phase" IN ('PROMPTING', 'AWAITING_RESPONSE', 'CONNECTED')
               ORDER BY "startedAt", "id" LIMIT $1"#,
        )
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(CallRow::read).collect()
    }

    /// Whether no other process can be at work on this database.
    #[must_use]
    pub const fn is_ours_alone(&self) -> bool {
        match &self.db {
            super::Db::Sqlite(_) => true,
        }
    }
}
