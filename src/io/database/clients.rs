//! A client's consent as people of the organisation see and withdraw it, and legal holds.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::Row as _;

use super::append::{Batch, Heads, latest};
use super::artifacts;
use super::backend::{Session, from_row, on};
use super::columns::{Word, time, time_if_any};
use super::retention::{marked, queue, under_way};
use super::{Database, DatabaseError};
use crate::engine::consent::{ConsentRecord, ConsentStatus, Queues, due};
use crate::engine::ledger::Event;
use crate::engine::time::WallTime;

/// Nothing begins as late as the end of the year 9999.
const END_OF_TIME: WallTime = WallTime(253_402_300_799_999);

/// A withdrawal that queues recordings; or, of a record that is pending, what takes back a yes that was none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Revocation {
    /// The record. One that comes from no call is not written if the client stands revoked already.
    pub record: ConsentRecord,
    /// What it queues.
    pub queues: Queues,
}

impl Revocation {
    /// Whether it takes back a yes that was none, and says no for nobody.
    #[must_use]
    pub fn annuls(&self) -> bool {
        self.record.status == ConsentStatus::Pending
    }
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
        after: Option<(WallTime, &str)>,
        limit: u32,
    ) -> Result<Vec<InteractionRow>, DatabaseError> {
        let (started, id) = after.unwrap_or((END_OF_TIME, ""));
        let rows = on!(&self.readers, pool => {
            let query = sqlx::query_as(
                r#"SELECT "id", "clientId", "caseManagerId", "orgId", "interactionType", "direction", "startedAt", "endedAt",
                     "durationSeconds", "reason", "createdAt" FROM "InteractionMetadata"
                   WHERE "orgId" = $1 AND "clientId" = $2 AND ("startedAt" < $3 OR ("startedAt" = $3 AND "id" > $4))
                   ORDER BY "startedAt" DESC, "id" LIMIT $5"#,
            );
            query.bind(org_id).bind(client_id).bind(started).bind(id).bind(i64::from(limit)).fetch_all(pool).await?
        });
        Ok(rows)
    }
}

const HOLD: &str = r#"SELECT "id", "orgId", "clientId", "reason", "placedBy", "placedByName", "placedAt", "liftedBy", "liftedByName", "liftedAt"
  FROM "LegalHold" WHERE "orgId" = $1 AND "clientId" = $2 AND "liftedAt" IS NULL"#;

/// Record, entry and queue by one commit. A client who stands revoked by the same person gets no second record; another's no is an act of
/// its own, with its actor and its reason.
pub(super) async fn revoke<'w>(
    batch: &mut Batch<'w>,
    session: &mut Session<'_>,
    heads: &mut Heads,
    revocation: &'w Revocation,
) -> Result<Revoked, sqlx::Error> {
    let record = &revocation.record;
    let standing = match batch.stands(record)? {
        Some(entry) => Some((record.at, entry)),
        // Whatever the client said since then, yes or no, was said by somebody.
        None if revocation.annuls() => latest(session, &record.org_id, &record.client_id)
            .await?
            .filter(|(newest, ..)| record.evidence.told()["annuls"] != newest.id.as_str())
            .map(|(newest, _, entry)| (newest.at, entry)),
        None if record.call_id.is_some() => None,
        None => latest(session, &record.org_id, &record.client_id)
            .await?
            .filter(|(standing, ..)| standing.status == ConsentStatus::Revoked && standing.actor.is_same(&record.actor))
            .map(|(standing, _, entry)| (standing.at, entry)),
    };
    let (revoked_at, entry) = match standing {
        Some(standing) => standing,
        None => (record.at, batch.decide(heads, record)?),
    };
    if let Some(event) = queue(session, record, entry, revocation.queues).await? {
        batch.append(heads, &event)?;
    }
    if let Some(event) = artifacts::queue(session, record, entry, revocation.queues).await? {
        batch.append(heads, &event)?;
    }
    let (marked, latest_due) = marked(session, &record.org_id, &record.client_id).await?;
    Ok(Revoked { entry, marked, until: latest_due.unwrap_or_else(|| due(revoked_at)) })
}

/// The hold in force: this one, unless there is one already; and recordings that it comes too late for. Who writes holds the
/// organisation's chain, so there is no second, and no deletion begins meanwhile.
pub(super) async fn place_hold(
    batch: &mut Batch<'_>,
    session: &mut Session<'_>,
    heads: &mut Heads,
    hold: &Hold,
    event: &Event,
) -> Result<(Hold, Vec<String>), sqlx::Error> {
    let now = time(&hold.placed_at)?;
    let too_late = under_way(session, &hold.org_id, &hold.client_id, now).await?;
    if let Some(in_force) = in_force(session, hold).await? {
        return Ok((in_force, too_late));
    }
    on!(session, c => {
        let query = sqlx::query(
            r#"INSERT INTO "LegalHold" ("id", "orgId", "clientId", "reason", "placedBy", "placedByName", "placedAt")
               VALUES ($1, $2, $3, $4, $5, $6, $7)"#,
        );
        let query = query.bind(&hold.id).bind(&hold.org_id).bind(&hold.client_id).bind(&hold.reason);
        query.bind(&hold.placed_by.0).bind(&hold.placed_by.1).bind(time(&hold.placed_at)?).execute(&mut **c).await?;
    });
    let mut event = event.clone();
    if !too_late.is_empty() {
        event.detail["tooLateFor"] = json!(too_late);
    }
    batch.append(heads, &event)?;
    Ok((Hold { lifted_by: None, lifted_at: None, ..hold.clone() }, too_late))
}

/// The hold that was lifted, if one was in force.
pub(super) async fn lift_hold(
    batch: &mut Batch<'_>,
    session: &mut Session<'_>,
    heads: &mut Heads,
    lifting: &Hold,
    event: &Event,
) -> Result<Option<Hold>, sqlx::Error> {
    let Some(mut hold) = in_force(session, lifting).await? else { return Ok(None) };
    hold.lifted_by.clone_from(&lifting.lifted_by);
    hold.lifted_at.clone_from(&lifting.lifted_at);
    let by = hold.lifted_by.as_ref();
    on!(session, c => {
        let query = sqlx::query(r#"UPDATE "LegalHold" SET "liftedBy" = $1, "liftedByName" = $2, "liftedAt" = $3 WHERE "id" = $4"#);
        let query = query.bind(by.map(|(id, _)| id)).bind(by.map(|(_, name)| name));
        query.bind(time_if_any(hold.lifted_at.as_deref())?).bind(&hold.id).execute(&mut **c).await?;
    });
    batch.append(heads, &Event { detail: json!({ "holdId": hold.id }), ..event.clone() })?;
    Ok(Some(hold))
}

async fn in_force(session: &mut Session<'_>, hold: &Hold) -> Result<Option<Hold>, sqlx::Error> {
    Ok(on!(session, c => sqlx::query_as(HOLD).bind(&hold.org_id).bind(&hold.client_id).fetch_optional(&mut **c).await?))
}

from_row!(Hold, row => Ok(Self {
    id: row.try_get("id")?,
    org_id: row.try_get("orgId")?,
    client_id: row.try_get("clientId")?,
    reason: row.try_get("reason")?,
    placed_by: (row.try_get("placedBy")?, row.try_get("placedByName")?),
    placed_at: row.try_get::<WallTime, _>("placedAt")?.to_string(),
    lifted_by: row.try_get::<Option<String>, _>("liftedBy")?.zip(row.try_get("liftedByName")?),
    lifted_at: row.try_get::<Option<WallTime>, _>("liftedAt")?.map(|at| at.to_string()),
}));

from_row!(InteractionRow, row => Ok(Self {
    id: row.try_get("id")?,
    client_id: row.try_get("clientId")?,
    case_manager_id: row.try_get("caseManagerId")?,
    org_id: row.try_get("orgId")?,
    interaction_type: row.try_get::<Word, _>("interactionType")?.0,
    direction: row.try_get::<Word, _>("direction")?.0,
    started_at: row.try_get::<WallTime, _>("startedAt")?.to_string(),
    ended_at: row.try_get::<Option<WallTime>, _>("endedAt")?.map(|at| at.to_string()),
    // Of four bytes on PostgreSQL, as PX-735's Int is.
    duration_seconds: row.try_get_unchecked::<Option<i64>, _>("durationSeconds")?.map(i64::cast_unsigned),
    reason: row.try_get::<Word, _>("reason")?.0,
    created_at: row.try_get::<WallTime, _>("createdAt")?.to_string(),
}));
