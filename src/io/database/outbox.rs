//! The outbox: what is to be posted, written in the commit of the event that it tells of; claimed for a while by whoever
//! posts it, settled when it was taken. Of each call only the oldest post that is not settled may be claimed: so posts of a
//! call arrive in order, and those of different calls do not wait for each other.

use serde_json::Value;
use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use super::append::values;
use super::backend::{Session, on};
use super::columns::Word;
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

/// A post that an event gives.
pub(super) struct PostRow<'w> {
    pub(super) call_id: &'w str,
    /// The event's number.
    pub(super) version: i64,
    /// Its own among the event's posts.
    pub(super) n: i64,
    pub(super) news: News,
}

/// Writes posts.
pub(super) async fn write_posts(session: &mut Session<'_>, posts: &[PostRow<'_>]) -> Result<(), sqlx::Error> {
    for some in session.pieces(posts) {
        let text = format!(r#"INSERT INTO "WebhookPost" ("id", "callId", "version", "place", "kind") {}"#, values(5, some.len()));
        on!(session, c => {
            let mut query = sqlx::query(AssertSqlSafe(text));
            for post in some {
                query = query
                    .bind(format!("evt_{}_{}_{}", post.call_id, post.version, post.n))
                    .bind(post.call_id)
                    .bind(post.version)
                    .bind(post.version * POSTS_AN_EVENT + post.n)
                    .bind(post.news.word());
            }
            query.execute(&mut **c).await?;
        });
    }
    Ok(())
}

pub(super) async fn write(session: &mut Session<'_>, work: &mut OutboxWork) -> Result<Written, sqlx::Error> {
    match work {
        OutboxWork::Claim { by, now, until, limit, then: _ } => claim(session, by, *now, *until, *limit).await.map(Written::Claimed),
        OutboxWork::Settle { id, by, now, verdict, then: _ } => settle(session, id, by, *now, verdict).await.map(|()| Written::Row),
        OutboxWork::Release { by } => {
            on!(session, c => {
                let query = sqlx::query(r#"UPDATE "WebhookPost" SET "claimedUntil" = $2 WHERE "state" = 'PENDING' AND "claimedBy" <> $1"#);
                query.bind(&*by).bind(NEVER).execute(&mut **c).await?;
            });
            Ok(Written::Row)
        }
    }
}

async fn settle(session: &mut Session<'_>, id: &str, by: &str, now: WallTime, verdict: &Verdict) -> Result<(), sqlx::Error> {
    let (state, due, why) = match verdict {
        Verdict::Delivered => ("DELIVERED", None, None),
        Verdict::Again { due, why } => ("PENDING", Some(*due), Some(why)),
        Verdict::Failed { why } => ("FAILED", None, Some(why)),
    };
    let settled = due.is_none().then_some(now);
    on!(session, c => {
        if let Some(due) = due {
            // What waits behind it is not looked at meanwhile.
            let query = sqlx::query(
                r#"UPDATE "WebhookPost" SET "dueAt" = $2 WHERE "state" = 'PENDING' AND "dueAt" < $2
                   AND "callId" = (SELECT "callId" FROM "WebhookPost" WHERE "id" = $1)"#,
            );
            query.bind(id).bind(due).execute(&mut **c).await?;
        }
        let query = sqlx::query(
            r#"UPDATE "WebhookPost" SET "state" = $3, "tries" = "tries" + 1, "claimedBy" = NULL, "claimedUntil" = $4, "why" = $5,
                 "settledAt" = $6
               WHERE "id" = $1 AND "claimedBy" = $2 AND "state" = 'PENDING'"#,
        );
        query.bind(id).bind(by).bind(Word::from_text(state)).bind(NEVER).bind(why).bind(settled).execute(&mut **c).await?;
    });
    Ok(())
}

/// A claim that nobody has.
const NEVER: WallTime = WallTime(0);

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

async fn claim(session: &mut Session<'_>, by: &str, now: WallTime, until: WallTime, limit: u32) -> Result<Vec<Post>, sqlx::Error> {
    let claimed: Vec<(String, String, String, i64, WallTime, i64)> = on!(session, c => {
        sqlx::query_as(CLAIM).bind(by).bind(now).bind(until).bind(i64::from(limit)).fetch_all(&mut **c).await?
    });
    let mut posts = Vec::with_capacity(claimed.len());
    for (id, call_id, kind, tries, at, version) in claimed {
        let (state,): (Json<Value>,) = on!(session, c => {
            let query = sqlx::query_as(r#"SELECT "state" FROM "CallEvent" WHERE "callId" = $1 AND "version" = $2"#);
            query.bind(&call_id).bind(version).fetch_one(&mut **c).await?
        });
        posts.push(Post { id, call_id, kind, tries: u32::try_from(tries).unwrap_or(u32::MAX), at, state: state.0 });
    }
    Ok(posts)
}

impl Database {
    /// Whether anything may be claimed at `now`.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn posts_are_due(&self, now: WallTime) -> Result<bool, DatabaseError> {
        let due = on!(&self.readers, pool => {
            let query = sqlx::query(
                r#"SELECT 1 FROM "WebhookPost" p WHERE p."state" = 'PENDING' AND p."dueAt" <= $1 AND p."claimedUntil" <= $1 AND NOT EXISTS (
                     SELECT 1 FROM "WebhookPost" e WHERE e."callId" = p."callId" AND e."place" < p."place" AND e."state" = 'PENDING') LIMIT 1"#,
            );
            query.bind(now).fetch_optional(pool).await?.is_some()
        });
        Ok(due)
    }

    /// Posts by where they stand: pending, delivered, failed.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn posts(&self) -> Result<[u64; 3], DatabaseError> {
        let rows: Vec<(Word, i64)> = on!(&self.readers, pool => {
            sqlx::query_as(r#"SELECT "state", count(*) FROM "WebhookPost" GROUP BY "state""#).fetch_all(pool).await?
        });
        let mut counts = [0; 3];
        for (state, posts) in rows {
            let place = ["PENDING", "DELIVERED", "FAILED"].iter().position(|known| state.0 == *known);
            if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                *count = posts.cast_unsigned();
            }
        }
        Ok(counts)
    }
}
