//! Calls that this gateway makes: the row, where the client is connected to, and the key by which a request asked twice
//! makes one call. All of it is committed, with its line in the chain, before Twilio is asked.

use super::backend::{Session, on};
use super::columns::time;
use super::read::CallRow;
use super::{Database, DatabaseError};
use crate::engine::ledger::Event;
use crate::engine::time::WallTime;

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
    pub(super) async fn write(&self, session: &mut Session<'_>, node: Option<&str>) -> Result<Placed, sqlx::Error> {
        if let Some(claim) = &self.claim {
            if let Some(known) = claim.known(session).await? {
                return Ok(Placed::Known(known));
            }
            claim.write(session).await?;
        }
        if let Some(placed) = &self.call {
            CallRow::write(session, &[&placed.call], node).await?;
            let form_ids = serde_json::to_string(&placed.form_ids).map_err(|why| sqlx::Error::Encode(Box::new(why)))?;
            on!(session, c => {
                let query = sqlx::query(r#"INSERT INTO "PlacedCall" ("callId", "connectTo", "formIds", "createdAt") VALUES ($1, $2, $3, $4)"#);
                let query = query.bind(&placed.call.id).bind(&placed.connect_to).bind(form_ids).bind(time(&placed.call.started_at)?);
                query.execute(&mut **c).await?;
            });
        }
        Ok(Placed::New)
    }
}

type Found = (String, String, Option<String>, Option<i64>, String, WallTime);

const USED: &str = r#"SELECT "salt", "commitment", "callId", "status", "answer", "createdAt" FROM "IdempotencyKey"
  WHERE "orgId" = $1 AND "userId" = $2 AND "key" = $3"#;

impl From<Found> for KeyUse {
    fn from((salt, commitment, call_id, status, answer, at): Found) -> Self {
        let status = status.and_then(|status| u16::try_from(status).ok());
        Self { salt, commitment, call_id, status, answer, at: at.to_string() }
    }
}

impl Database {
    /// What a person's key was used for, if it was.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn key_use(&self, org_id: &str, user_id: &str, key: &str) -> Result<Option<KeyUse>, DatabaseError> {
        let found: Option<Found> =
            on!(&self.readers, pool => sqlx::query_as(USED).bind(org_id).bind(user_id).bind(key).fetch_optional(pool).await?);
        Ok(found.map(KeyUse::from))
    }
}

impl KeyClaim {
    async fn known(&self, session: &mut Session<'_>) -> Result<Option<KeyUse>, sqlx::Error> {
        let found: Option<Found> = on!(session, c => {
            sqlx::query_as(USED).bind(&self.org_id).bind(&self.user_id).bind(&self.key).fetch_optional(&mut **c).await?
        });
        Ok(found.map(KeyUse::from))
    }

    async fn write(&self, session: &mut Session<'_>) -> Result<(), sqlx::Error> {
        let used = &self.used;
        on!(session, c => {
            let query = sqlx::query(
                r#"INSERT INTO "IdempotencyKey" ("orgId", "userId", "key", "salt", "commitment", "callId", "status", "answer", "createdAt")
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"#,
            );
            let query = query.bind(&self.org_id).bind(&self.user_id).bind(&self.key).bind(&used.salt).bind(&used.commitment);
            let query = query.bind(&used.call_id).bind(used.status.map(i64::from)).bind(&used.answer).bind(time(&used.at)?);
            query.execute(&mut **c).await?;
        });
        Ok(())
    }
}

impl Answer {
    /// The first answer stands.
    pub(super) async fn write(&self, session: &mut Session<'_>) -> Result<(), sqlx::Error> {
        on!(session, c => {
            let query = sqlx::query(
                r#"UPDATE "IdempotencyKey" SET "status" = $4, "answer" = coalesce($5, "answer")
                   WHERE "orgId" = $1 AND "userId" = $2 AND "key" = $3 AND "status" IS NULL"#,
            );
            let query = query.bind(&self.org_id).bind(&self.user_id).bind(&self.key).bind(i64::from(self.status)).bind(&self.body);
            query.execute(&mut **c).await?;
        });
        Ok(())
    }
}

impl Database {
    /// A call that this gateway made.
    ///
    /// # Errors
    /// [`DatabaseError::Query`], or [`DatabaseError::Row`].
    pub async fn placed(&self, call_id: &str) -> Result<Option<PlacedRow>, DatabaseError> {
        let found: Option<(Option<String>, String)> = on!(&self.readers, pool => {
            let query = sqlx::query_as(r#"SELECT "connectTo", "formIds" FROM "PlacedCall" WHERE "callId" = $1"#);
            query.bind(call_id).fetch_optional(pool).await?
        });
        let (Some((connect_to, form_ids)), Some(call)) = (found, self.call(call_id).await?) else { return Ok(None) };
        let form_ids = serde_json::from_str(&form_ids).map_err(|_| DatabaseError::Row("PlacedCall"))?;
        Ok(Some(PlacedRow { call, connect_to, form_ids }))
    }

    /// Ids of calls that were placed and of which nothing has been heard, newest first.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn placed_unheard(&self, node: Option<&str>, limit: u32) -> Result<Vec<String>, DatabaseError> {
        let rows: Vec<(String,)> = on!(&self.readers, pool => {
            let query = sqlx::query_as(
                r#"SELECT "PlacedCall"."callId" FROM "PlacedCall" JOIN "Call" ON "Call"."id" = "PlacedCall"."callId"
                   WHERE "Call"."phase" = 'CREATED' AND ($2 IS NULL OR "Call"."nodeId" = $2)
                   ORDER BY "PlacedCall"."createdAt" DESC LIMIT $1"#,
            );
            query.bind(i64::from(limit)).bind(node).fetch_all(pool).await?
        });
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }
}
