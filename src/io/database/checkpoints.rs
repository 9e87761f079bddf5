//! What checkpoints are made of, the entries of chains in order, and which were made.

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::{Database, DatabaseError};
use crate::engine::ledger::Hash;

/// A checkpoint that the object store holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckpointRow {
    /// Whose chain.
    pub org_id: String,
    /// How many entries.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// Where it lies.
    pub key: String,
}

/// Every organisation, found by skipping from one to the next: the chains themselves are not read.
const ORGANISATIONS: &str = r#"
  WITH RECURSIVE o("orgId") AS (
    SELECT min("orgId") FROM "AuditEvent"
    UNION ALL
    SELECT (SELECT min(a."orgId") FROM "AuditEvent" a WHERE a."orgId" > o."orgId") FROM o WHERE o."orgId" IS NOT NULL)
  SELECT o."orgId", (SELECT max(a."seq") FROM "AuditEvent" a WHERE a."orgId" = o."orgId") FROM o WHERE o."orgId" IS NOT NULL"#;

impl CheckpointRow {
    pub(super) async fn write(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        sqlx::query(r#"INSERT INTO "Checkpoint" ("orgId", "size", "root", "key") VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"#)
            .bind(&self.org_id)
            .bind(self.size.cast_signed())
            .bind(self.root.to_string())
            .bind(&self.key)
            .execute(connection)
            .await
            .map(|_| ())
    }
}

impl Database {
    /// Every chain's organisation and length.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn chains(&self) -> Result<Vec<(String, u64)>, DatabaseError> {
        let rows = sqlx::query(ORGANISATIONS).fetch_all(self.readers()).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)?.cast_unsigned()))).collect()
    }

    /// The hashes of a chain's entries after number `after`, made anew of their bytes, with their numbers.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn leaves(&self, org_id: &str, after: u64, limit: u32) -> Result<Vec<(u64, Hash)>, DatabaseError> {
        let rows = sqlx::query(r#"SELECT "seq", "entry" FROM "AuditEvent" WHERE "orgId" = $1 AND "seq" > $2 ORDER BY "seq" LIMIT $3"#)
            .bind(org_id)
            .bind(after.cast_signed())
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await?;
        let leaf = |row: &sqlx::sqlite::SqliteRow| {
            Ok((row.try_get::<i64, _>(0)?.cast_unsigned(), Hash::of_entry(row.try_get::<&str, _>(1)?.as_bytes())))
        };
        rows.iter().map(leaf).collect()
    }

    /// An organisation's newest checkpoint.
    ///
    /// # Errors
    /// [`DatabaseError::Query`], or [`DatabaseError::Row`].
    pub async fn newest_checkpoint(&self, org_id: &str) -> Result<Option<CheckpointRow>, DatabaseError> {
        let row = sqlx::query(r#"SELECT "size", "root", "key" FROM "Checkpoint" WHERE "orgId" = $1 ORDER BY "size" DESC LIMIT 1"#)
            .bind(org_id)
            .fetch_optional(self.readers())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let root = Hash::parse(row.try_get::<&str, _>(1)?.as_bytes()).ok_or(DatabaseError::Row("Checkpoint"))?;
        Ok(Some(CheckpointRow { org_id: org_id.to_owned(), size: row.try_get::<i64, _>(0)?.cast_unsigned(), root, key: row.try_get(2)? }))
    }
}
