//! What checkpoints are made of, the entries of chains in order, and which were made.

use sqlx::AssertSqlSafe;

use super::append::values;
use super::backend::{Session, on};
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
    pub(super) async fn write(session: &mut Session<'_>, rows: &[&Self]) -> Result<(), sqlx::Error> {
        for some in session.pieces(rows) {
            let text = format!(
                r#"INSERT INTO "Checkpoint" ("orgId", "size", "root", "key") {} ON CONFLICT ("orgId", "size") DO NOTHING"#,
                values(4, some.len())
            );
            on!(session, c => {
                let mut query = sqlx::query(AssertSqlSafe(text));
                for row in some {
                    query = query.bind(&row.org_id).bind(row.size.cast_signed()).bind(row.root.to_string()).bind(&row.key);
                }
                query.execute(&mut **c).await?;
            });
        }
        Ok(())
    }
}

impl Database {
    /// Every chain's organisation and length.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn chains(&self) -> Result<Vec<(String, u64)>, DatabaseError> {
        let rows: Vec<(String, i64)> = on!(&self.readers, pool => sqlx::query_as(ORGANISATIONS).fetch_all(pool).await?);
        Ok(rows.into_iter().map(|(org, length)| (org, length.cast_unsigned())).collect())
    }

    /// The hashes of a chain's entries after number `after`, made anew of their bytes, with their numbers.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn leaves(&self, org_id: &str, after: u64, limit: u32) -> Result<Vec<(u64, Hash)>, DatabaseError> {
        let rows: Vec<(i64, String)> = on!(&self.readers, pool => {
            let query = sqlx::query_as(r#"SELECT "seq", "entry" FROM "AuditEvent" WHERE "orgId" = $1 AND "seq" > $2 ORDER BY "seq" LIMIT $3"#);
            query.bind(org_id).bind(after.cast_signed()).bind(i64::from(limit)).fetch_all(pool).await?
        });
        Ok(rows.into_iter().map(|(seq, entry)| (seq.cast_unsigned(), Hash::of_entry(entry.as_bytes()))).collect())
    }

    /// An organisation's newest checkpoint.
    ///
    /// # Errors
    /// [`DatabaseError::Query`], or [`DatabaseError::Row`].
    pub async fn newest_checkpoint(&self, org_id: &str) -> Result<Option<CheckpointRow>, DatabaseError> {
        let found: Option<(i64, String, String)> = on!(&self.readers, pool => {
            let query = sqlx::query_as(r#"SELECT "size", "root", "key" FROM "Checkpoint" WHERE "orgId" = $1 ORDER BY "size" DESC LIMIT 1"#);
            query.bind(org_id).fetch_optional(pool).await?
        });
        let Some((size, root, key)) = found else { return Ok(None) };
        let root = Hash::parse(root.as_bytes()).ok_or(DatabaseError::Row("Checkpoint"))?;
        Ok(Some(CheckpointRow { org_id: org_id.to_owned(), size: size.cast_unsigned(), root, key }))
    }
}
