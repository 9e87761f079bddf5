//! The outbox: what is to be posted, written in the commit of the event that it tells of; claimed for a while by whoever
//! posts it, settled when it was taken. Of each call only the oldest post that is not settled may be claimed: so posts of a
//! call arrive in order, and those of different calls do not wait for each other.

use serde_json::Value;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::work::{Then, Written};
use super::{Database, DatabaseError};
use crate::engine::call::News;
use crate::engine::time::WallTime;

/// An event gives at most so many posts: its place among its call's is its version times this, and its own number.
const POSTS_AN_EVENT: i64 = News::ALL.len() as i64;

/// Something to be posted.
#[derive(Clone, PartialEq, Debug)]
pub struct Post {
    /// The same at every try.
    pub id: String,
    /// Of which call.
    pub call_id: String,
    /// In the word of [`News`].
    pub kind: String,
    /// How often it was tried before.
    pub tries: u32,
    /// When what it tells of was written.
    pub at: WallTime,
    /// The call just after it.
    pub state: Value,
}

/// What became of a try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It was taken.
    Delivered,
    /// It was not; to be tried again at that time.
    Again {
        /// Not before.
        due: WallTime,
        /// How it failed.
        why: String,
    },
    /// It was not, and is not tried again.
    Failed {
        /// How it failed.
        why: String,
    },
}

/// Something to be done to the outbox.
pub enum OutboxWork {
    /// Claims what is due.
    Claim {
        /// For whom.
        by: String,
        /// At what time.
        now: WallTime,
        /// Until when.
        until: WallTime,
        /// So many at most.
        limit: u32,
        /// The answer; empty if there is nothing, or the database is away.
        then: Then<Vec<Post>>,
    },
    /// Says what became of a post that was claimed.
    Settle {
        /// Which.
        id: String,
        /// Who had claimed it.
        by: String,
        /// At what time.
        now: WallTime,
        /// What became of it.
        verdict: Verdict,
        /// Whether that is written.
        then: Then<bool>,
    },
    /// Lets go of all claims but those of `by`: of processes that are no more.
    Release {
        /// Whose claims stay.
        by: String,
    },
}

impl OutboxWork {
    pub(super) fn answer(self, written: Written) {
        match (self, written) {
            (Self::Claim { then, .. }, Written::Claimed(posts)) => then(posts),
            (Self::Settle { then, .. }, written) => then(matches!(written, Written::Row)),
            (work, _) => work.refuse(),
        }
    }

    /// Tells whoever waits that nothing was done.
    pub fn refuse(self) {
        match self {
            Self::Claim { then, .. } => then(Vec::new()),
            Self::Settle { then, .. } => then(false),
            Self::Release { .. } => {}
        }
    }
}

/// Writes one post for each piece of news.
pub(super) async fn write_posts(connection: &mut SqliteConnection, call_id: &str, version: i64, news: &[News]) -> Result<(), sqlx::Error> {
    for (n, news) in (0_i64..).zip(news) {
        sqlx::query(r#"INSERT INTO "WebhookPost" ("id", "callId", "version", "place", "kind") VALUES ($1, $2, $3, $4, $5)"#)
            .bind(format!("evt_{call_id}_{version}_{n}"))
            .bind(call_id)
            .bind(version)
            .bind(version * POSTS_AN_EVENT + n)
            .bind(news.word())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn write(connection: &mut SqliteConnection, work: &mut OutboxWork) -> Result<Written, sqlx::Error> {
    match work {
        OutboxWork::Claim { by, now, until, limit, then: _ } => claim(connection, by, *now, *until, *limit).await.map(Written::Claimed),
        OutboxWork::Settle { id, by, now, verdict, then: _ } => {
            let (state, due, why) = match verdict {
                Verdict::Delivered => ("DELIVERED", None, None),
                Verdict::Again { due, why } => ("PENDING", Some(due.to_string()), Some(&*why)),
                Verdict::Failed { why } => ("FAILED", None, Some(&*why)),
            };
            let settled = due.is_none().then(|| now.to_string());
            if let Some(due) = &due {
                // What waits behind it is not looked at meanwhile.
                sqlx::query(
                    r#"UPDATE "WebhookPost" SET "dueAt" = $2 WHERE "state" = 'PENDING' AND "dueAt" < $2
                       AND "callId" = (SELECT "callId" FROM "WebhookPost" WHERE "id" = $1)"#,
                )
                .bind(&*id)
                .bind(due)
                .execute(&mut *connection)
                .await?;
            }
            sqlx::query(
                r#"UPDATE "WebhookPost" SET "state" = $3, "tries" = "tries" + 1, "dueAt" = coalesce($4, "dueAt"), "claimedBy" = NULL,
                     "claimedUntil" = '', "why" = $5, "settledAt" = $6
                   WHERE "id" = $1 AND "claimedBy" = $2 AND "state" = 'PENDING'"#,
            )
            .bind(&*id)
            .bind(&*by)
            .bind(state)
            .bind(due)
            .bind(why)
            .bind(settled)
            .execute(connection)
            .await?;
            Ok(Written::Row)
        }
        OutboxWork::Release { by } => {
            sqlx::query(r#"UPDATE "WebhookPost" SET "claimedUntil" = '' WHERE "state" = 'PENDING' AND "claimedBy" <> $1"#)
                .bind(&*by)
                .execute(connection)
                .await?;
            Ok(Written::Row)
        }
    }
}

/// The oldest pending post of each call, if it is due and nobody's. The outer conditions are asked again of a row that
/// another process has changed meanwhile.
const CLAIM: &str = r#"
  UPDATE "WebhookPost" SET "claimedBy" = $1, "claimedUntil" = $3
  WHERE "state" = 'PENDING' AND "claimedUntil" <= $2 AND "id" IN (
    SELECT p."id" FROM "WebhookPost" p
    WHERE p."state" = 'PENDING' AND p."dueAt" <= $2 AND p."claimedUntil" <= $2 AND NOT EXISTS (
      SELECT 1 FROM "WebhookPost" e WHERE e."callId" = p."callId" AND e."place" < p."place" AND e."state" = 'PENDING')
    ORDER BY p."dueAt", p."createdAt", p."id" LIMIT $4)
  RETURNING "id", "callId", "kind", "tries", "createdAt", "version""#;

async fn claim(connection: &mut SqliteConnection, by: &str, now: WallTime, until: WallTime, limit: u32) -> Result<Vec<Post>, sqlx::Error> {
    let rows = sqlx::query(CLAIM)
        .bind(by)
        .bind(now.to_string())
        .bind(until.to_string())
        .bind(i64::from(limit))
        .fetch_all(&mut *connection)
        .await?;
    let mut posts = Vec::with_capacity(rows.len());
    for row in rows {
        let call_id: String = row.try_get(1)?;
        let state = sqlx::query(r#"SELECT "state" FROM "CallEvent" WHERE "callId" = $1 AND "version" = $2"#)
            .bind(&call_id)
            .bind(row.try_get::<i64, _>(5)?)
            .fetch_one(&mut *connection)
            .await?;
        posts.push(Post {
            id: row.try_get(0)?,
            call_id,
            kind: row.try_get(2)?,
            tries: u32::try_from(row.try_get::<i64, _>(3)?).unwrap_or(u32::MAX),
            at: WallTime::parse(row.try_get(4)?).ok_or_else(|| sqlx::Error::Decode("a post's time is no time".into()))?,
            state: serde_json::from_str(state.try_get(0)?).map_err(|why| sqlx::Error::Decode(Box::new(why)))?,
        });
    }
    Ok(posts)
}

impl Database {
    /// Whether anything may be claimed at `now`.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn posts_are_due(&self, now: WallTime) -> Result<bool, DatabaseError> {
        let row = sqlx::query(
            r#"SELECT 1 FROM "WebhookPost" p WHERE p."state" = 'PENDING' AND p."dueAt" <= $1 AND p."claimedUntil" <= $1 AND NOT EXISTS (
                 SELECT 1 FROM "WebhookPost" e WHERE e."callId" = p."callId" AND e."place" < p."place" AND e."state" = 'PENDING') LIMIT 1"#,
        )
        .bind(now.to_string())
        .fetch_optional(self.readers())
        .await?;
        Ok(row.is_some())
    }

    /// Posts by where they stand: pending, delivered, failed.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn posts(&self) -> Result<[u64; 3], DatabaseError> {
        let rows = sqlx::query(r#"SELECT "state", count(*) FROM "WebhookPost" GROUP BY "state""#).fetch_all(self.readers()).await?;
        let mut counts = [0; 3];
        for row in rows {
            let place = ["PENDING", "DELIVERED", "FAILED"].iter().position(|state| row.get::<&str, _>(0) == *state);
            if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                *count = row.get::<i64, _>(1).cast_unsigned();
            }
        }
        Ok(counts)
    }
}
