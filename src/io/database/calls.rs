//! Calls that this gateway makes: the row, where the client is connected to, and the key by which a request asked twice
//! makes one call. All of it is committed, with its line in the chain, before Twilio is asked.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::append::Heads;
use super::read::CallRow;
use super::{Database, DatabaseError};
use crate::engine::ledger::Event;

/// Something to be placed, or only to be answered: everything in it is written in one commit, or nothing.
#[derive(Debug)]
pub struct Placement {
    /// The key of the request, if it has one. A key that was used before: nothing is written.
    pub claim: Option<KeyClaim>,
    /// The call, unless none is placed.
    pub call: Option<PlacedRow>,
    /// The line in the chain.
    pub event: Event,
}

/// A request's claim on its key.
#[derive(Clone, Debug)]
pub struct KeyClaim {
    /// Whose key, of which organisation.
    pub org_id: String,
    /// Whose key.
    pub user_id: String,
    /// The key.
    pub key: String,
    /// What it is used for.
    pub used: KeyUse,
}

/// What a key is used for, or was.
#[derive(Clone, Debug)]
pub struct KeyUse {
    /// Beside the commitment.
    pub salt: String,
    /// To the request.
    pub commitment: String,
    /// The call it makes.
    pub call_id: Option<String>,
    /// HTTP's status; none while there is no answer.
    pub status: Option<u16>,
    /// The answer, or what it will be if Twilio takes the call.
    pub answer: String,
    /// When it was first used.
    pub at: String,
}

/// A call of ours.
#[derive(Clone, Debug)]
pub struct PlacedRow {
    /// The call as it stands.
    pub call: CallRow,
    /// Whom the client is connected to.
    pub connect_to: Option<String>,
    /// PX-735's `formIds`.
    pub form_ids: Vec<String>,
}

/// What became of a placement.
#[derive(Clone, Debug)]
pub enum Placed {
    /// It stands.
    New,
    /// The key was used before; nothing was written.
    Known(KeyUse),
}

/// What a key is answered from here on.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Of which organisation.
    pub org_id: String,
    /// Whose key.
    pub user_id: String,
    /// The key.
    pub key: String,
    /// HTTP's status.
    pub status: u16,
    /// The body; none: as it was foreseen.
    pub body: Option<String>,
}

impl Placement {
    pub(super) async fn write(&self, connection: &mut SqliteConnection, heads: &mut Heads) -> Result<Placed, sqlx::Error> {
        if let Some(claim) = &self.claim {
            if let Some(known) = claim.known(connection).await? {
                return Ok(Placed::Known(known));
            }
            claim.write(connection).await?;
        }
        if let Some(placed) = &self.call {
            placed.call.write(connection).await?;
            let form_ids = serde_json::to_string(&placed.form_ids).map_err(|why| sqlx::Error::Encode(Box::new(why)))?;
            sqlx::query(r#"INSERT INTO "PlacedCall" ("callId", "connectTo", "formIds", "createdAt") VALUES ($1, $2, $3, $4)"#)
                .bind(&placed.call.id)
                .bind(&placed.connect_to)
                .bind(form_ids)
                .bind(&placed.call.started_at)
                .execute(&mut *connection)
                .await?;
        }
        heads.append(connection, &self.event).await?;
        Ok(Placed::New)
    }
}

impl KeyClaim {
    async fn known(&self, connection: &mut SqliteConnection) -> Result<Option<KeyUse>, sqlx::Error> {
        let row = sqlx::query(
            r#"SELECT "salt", "commitment", "callId", "status", "answer", "createdAt" FROM "IdempotencyKey"
               WHERE "orgId" = $1 AND "userId" = $2 AND "key" = $3"#,
        )
        .bind(&self.org_id)
        .bind(&self.user_id)
        .bind(&self.key)
        .fetch_optional(connection)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(KeyUse {
            salt: row.try_get(0)?,
            commitment: row.try_get(1)?,
            call_id: row.try_get(2)?,
            status: row.try_get::<Option<i64>, _>(3)?.and_then(|status| u16::try_from(status).ok()),
            answer: row.try_get(4)?,
            at: row.try_get(5)?,
        }))
    }

    async fn write(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        sqlx::query(
            r#"INSERT INTO "IdempotencyKey" ("orgId", "userId", "key", "salt", "commitment", "callId", "status", "answer", "createdAt")
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"#,
        )
        .bind(&self.org_id)
        .bind(&self.user_id)
        .bind(&self.key)
        .bind(&self.used.salt)
        .bind(&self.used.commitment)
        .bind(&self.used.call_id)
        .bind(self.used.status.map(i64::from))
        .bind(&self.used.answer)
        .bind(&self.used.at)
        .execute(connection)
        .await
        .map(|_| ())
    }
}

impl Answer {
    /// The first answer stands.
    pub(super) async fn write(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        sqlx::query(
            r#"UPDATE "IdempotencyKey" SET "status" = $4, "answer" = coalesce($5, "answer")
               WHERE "orgId" = $1 AND "userId" = $2 AND "key" = $3 AND "status" IS NULL"#,
        )
        .bind(&self.org_id)
        .bind(&self.user_id)
        .bind(&self.key)
        .bind(i64::from(self.status))
        .bind(&self.body)
        .execute(connection)
        .await
        .map(|_| ())
    }
}

impl Database {
    /// A call that this gateway made.
    ///
    /// # Errors
    /// [`DatabaseError::Query`], or [`DatabaseError::Row`].
    pub async fn placed(&self, call_id: &str) -> Result<Option<PlacedRow>, DatabaseError> {
        let row = sqlx::query(r#"SELECT "connectTo", "formIds" FROM "PlacedCall" WHERE "callId" = $1"#)
            .bind(call_id)
            .fetch_optional(self.readers())
            .await?;
        let (Some(row), Some(call)) = (row, self.call(call_id).await?) else { return Ok(None) };
        let form_ids = serde_json::from_str(row.try_get(1)?).map_err(|_| DatabaseError::Row("PlacedCall"))?;
        Ok(Some(PlacedRow { call, connect_to: row.try_get(0)?, form_ids }))
    }

    /// Ids of calls that were placed and of which nothing has been heard, newest first.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn placed_unheard(&self, limit: u32) -> Result<Vec<String>, DatabaseError> {
        let rows = sqlx::query(
            r#"SELECT "PlacedCall"."callId" FROM "PlacedCall" JOIN "Call" ON "Call"."id" = "PlacedCall"."callId"
               WHERE "Call"."phase" = 'CREATED' ORDER BY "PlacedCall"."createdAt" DESC LIMIT $1"#,
        )
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}
