//! A client's consent as people of the organisation see and withdraw it, and legal holds.

use serde_json::json;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::append::{Counted, Heads, latest, stands_already, write_record};
use super::retention::{marked, queue};
use super::{Database, DatabaseError};
use crate::engine::consent::{ConsentRecord, ConsentStatus, Queues, due};
use crate::engine::ledger::Event;
use crate::engine::time::WallTime;

/// A withdrawal that queues recordings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// The record. One that comes from no call is not written if the client stands revoked already.
    pub record: ConsentRecord,
    /// What it queues.
    pub queues: Queues,
}

/// A withdrawal that stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revoked {
    /// The chain entry of the revocation that stands.
    pub entry: u64,
    /// Recordings of the client that wait for deletion, all of them.
    pub marked: u64,
    /// Until when they are kept.
    pub until: WallTime,
}

/// A legal hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// Its id.
    pub id: String,
    /// Whose organisation.
    pub org_id: String,
    /// Whose recordings.
    pub client_id: String,
    /// Why. For people: it enters no link of the chain.
    pub reason: String,
    /// Who placed it: id and name.
    pub placed_by: (String, String),
    /// When.
    pub placed_at: String,
    /// Who lifted it: id and name.
    pub lifted_by: Option<(String, String)>,
    /// When.
    pub lifted_at: Option<String>,
}

/// An unrecorded call (PX-735 §4.2): that it was, between whom, when, and why unrecorded; nothing that was said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InteractionRow {
    /// The call's id.
    pub id: String,
    /// The client.
    pub client_id: String,
    /// The case manager.
    pub case_manager_id: String,
    /// The organisation.
    pub org_id: String,
    /// `VOIP_CALL`.
    pub interaction_type: String,
    /// `INBOUND` or `OUTBOUND`.
    pub direction: String,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// How long it was.
    pub duration_seconds: Option<u64>,
    /// PX-735 `UnrecordedReason`.
    pub reason: String,
    /// When it was written.
    pub created_at: String,
}

impl Database {
    /// A client's unrecorded calls, newest first; `after`: start and id of the last one on the page before.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn interactions(
        &self,
        org_id: &str,
        client_id: &str,
        after: Option<(&str, &str)>,
        limit: u32,
    ) -> Result<Vec<InteractionRow>, DatabaseError> {
        // Nothing begins as late as this.
        let (started, id) = after.unwrap_or(("~", ""));
        let rows = sqlx::query(
            r#"SELECT * FROM "InteractionMetadata" WHERE "orgId" = $1 AND "clientId" = $2
                 AND ("startedAt" < $3 OR ("startedAt" = $3 AND "id" > $4))
               ORDER BY "startedAt" DESC, "id" LIMIT $5"#,
        )
        .bind(org_id)
        .bind(client_id)
        .bind(started)
        .bind(id)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(InteractionRow::read).collect()
    }

    /// The legal hold in force on a client's recordings.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn hold(&self, org_id: &str, client_id: &str) -> Result<Option<Hold>, DatabaseError> {
        let row = sqlx::query(HOLD).bind(org_id).bind(client_id).fetch_optional(self.readers()).await?;
        Ok(row.as_ref().map(Hold::read).transpose()?)
    }
}

const HOLD: &str = r#"SELECT * FROM "LegalHold" WHERE "orgId" = $1 AND "clientId" = $2 AND "liftedAt" IS NULL"#;

/// Record, entry and queue by one commit. A client who stands revoked gets no second record.
pub(super) async fn revoke(connection: &mut SqliteConnection, heads: &mut Heads, revocation: &Revocation) -> Result<Revoked, sqlx::Error> {
    let record = &revocation.record;
    let standing = match stands_already(connection, record).await? {
        Some(entry) => Some((record.at, entry)),
        None if record.call_id.is_some() => None,
        None => latest(connection, &record.org_id, &record.client_id)
            .await?
            .filter(|(standing, ..)| standing.status == ConsentStatus::Revoked)
            .map(|(standing, _, entry)| (standing.at, entry)),
    };
    let (revoked_at, entry) = match standing {
        Some(standing) => standing,
        None => {
            let counted = Counted::of(connection, record).await?;
            (record.at, write_record(connection, heads, record, counted.records + 1).await?)
        }
    };
    queue(connection, heads, record, entry, revocation.queues).await?;
    let (marked, latest_due) = marked(connection, &record.org_id, &record.client_id).await?;
    Ok(Revoked { entry, marked, until: latest_due.unwrap_or_else(|| due(revoked_at)) })
}

/// The hold in force: this one, unless there is one already.
pub(super) async fn place_hold(
    connection: &mut SqliteConnection,
    heads: &mut Heads,
    hold: &Hold,
    event: &Event,
) -> Result<Option<Hold>, sqlx::Error> {
    let placed = sqlx::query(
        r#"INSERT INTO "LegalHold" ("id", "orgId", "clientId", "reason", "placedBy", "placedByName", "placedAt")
           VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING"#,
    )
    .bind(&hold.id)
    .bind(&hold.org_id)
    .bind(&hold.client_id)
    .bind(&hold.reason)
    .bind(&hold.placed_by.0)
    .bind(&hold.placed_by.1)
    .bind(&hold.placed_at)
    .execute(&mut *connection)
    .await?;
    if placed.rows_affected() > 0 {
        heads.append(connection, event).await?;
    }
    let row = sqlx::query(HOLD).bind(&hold.org_id).bind(&hold.client_id).fetch_optional(connection).await?;
    row.as_ref().map(Hold::read).transpose()
}

/// The hold that was lifted, if one was in force.
pub(super) async fn lift_hold(
    connection: &mut SqliteConnection,
    heads: &mut Heads,
    hold: &Hold,
    event: &Event,
) -> Result<Option<Hold>, sqlx::Error> {
    let by = hold.lifted_by.as_ref();
    let row = sqlx::query(
        r#"UPDATE "LegalHold" SET "liftedBy" = $1, "liftedByName" = $2, "liftedAt" = $3
           WHERE "orgId" = $4 AND "clientId" = $5 AND "liftedAt" IS NULL RETURNING *"#,
    )
    .bind(by.map(|(id, _)| id))
    .bind(by.map(|(_, name)| name))
    .bind(&hold.lifted_at)
    .bind(&hold.org_id)
    .bind(&hold.client_id)
    .fetch_optional(&mut *connection)
    .await?;
    let lifted = row.as_ref().map(Hold::read).transpose()?;
    if let Some(lifted) = &lifted {
        let event = Event { detail: json!({ "holdId": lifted.id }), ..event.clone() };
        heads.append(connection, &event).await?;
    }
    Ok(lifted)
}

impl Hold {
    fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let lifted_by: Option<String> = row.try_get("liftedBy")?;
        Ok(Self {
            id: row.try_get("id")?,
            org_id: row.try_get("orgId")?,
            client_id: row.try_get("clientId")?,
            reason: row.try_get("reason")?,
            placed_by: (row.try_get("placedBy")?, row.try_get("placedByName")?),
            placed_at: row.try_get("placedAt")?,
            lifted_by: lifted_by.zip(row.try_get("liftedByName")?),
            lifted_at: row.try_get("liftedAt")?,
        })
    }
}

impl InteractionRow {
    fn read(row: &SqliteRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.try_get("id")?,
            client_id: row.try_get("clientId")?,
            case_manager_id: row.try_get("caseManagerId")?,
            org_id: row.try_get("orgId")?,
            interaction_type: row.try_get("interactionType")?,
            direction: row.try_get("direction")?,
            started_at: row.try_get("startedAt")?,
            ended_at: row.try_get("endedAt")?,
            duration_seconds: row.try_get::<Option<i64>, _>("durationSeconds")?.map(i64::cast_unsigned),
            reason: row.try_get("reason")?,
            created_at: row.try_get("createdAt")?,
        })
    }
}
