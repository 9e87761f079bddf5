//! What happened to a call, in order: written with the call's row, in its commit; read page by page, from any point on.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row as _};

use super::append::values;
use super::backend::{Backend, Session, from_row, on};
use super::columns::Word;
use super::outbox::{self, PostRow};
use super::read::{CALL, CallRow};
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

struct NewEvent<'w> {
    row: &'w CallRow,
    version: i64,
    kinds: String,
}

/// Writes the events that `rows` are, in their order: those that tell something new.
pub(super) async fn write(session: &mut Session<'_>, rows: &[&CallRow], posts: bool) -> Result<(), sqlx::Error> {
    let stored = newest(session, rows).await?;
    let mut newest: HashMap<&str, (i64, &Value)> = stored.iter().map(|(id, (version, state))| (id.as_str(), (*version, state))).collect();
    let (mut events, mut to_post) = (Vec::new(), Vec::new());
    for row in rows {
        let before = newest.get(row.id.as_str()).copied();
        let news = News::between(before.map(|(_, state)| state), &row.state);
        if news.is_empty() {
            continue;
        }
        let version = before.map_or(1, |(version, _)| version + 1);
        let kinds: Vec<_> = news.iter().map(|news| news.word()).collect();
        events.push(NewEvent { row, version, kinds: kinds.join(" ") });
        to_post.extend((0_i64..).zip(news).map(|(n, news)| PostRow { call_id: &row.id, version, n, news }));
        newest.insert(&row.id, (version, &row.state));
    }
    for some in session.pieces(&events) {
        let text =
            format!(r#"INSERT INTO "CallEvent" ("callId", "version", "orgId", "phase", "kinds", "state") {}"#, values(6, some.len()));
        on!(session, c => {
            let mut query = sqlx::query(AssertSqlSafe(text));
            for event in some {
                query = query
                    .bind(&event.row.id)
                    .bind(event.version)
                    .bind(&event.row.org_id)
                    .bind(Word::from_text(&event.row.phase))
                    .bind(&event.kinds)
                    .bind(Json(&event.row.state));
            }
            query.execute(&mut **c).await?;
        });
    }
    if posts { outbox::write_posts(session, &to_post).await } else { Ok(()) }
}

/// The newest event of each call.
async fn newest(session: &mut Session<'_>, rows: &[&CallRow]) -> Result<HashMap<String, (i64, Value)>, sqlx::Error> {
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
    let mut newest = HashMap::new();
    for some in session.pieces(&ids) {
        let text = format!(
            r#"SELECT e."callId", e."version", e."state" FROM ({}) AS v JOIN "CallEvent" e ON e."callId" = v.column1
               AND e."version" = (SELECT max(b."version") FROM "CallEvent" b WHERE b."callId" = v.column1)"#,
            values(1, some.len())
        );
        let found: Vec<(String, i64, Json<Value>)> = on!(session, c => {
            let mut query = sqlx::query_as(AssertSqlSafe(text));
            for id in some {
                query = query.bind(*id);
            }
            query.fetch_all(&mut **c).await?
        });
        newest.extend(found.into_iter().map(|(id, version, state)| (id, (version, state.0))));
    }
    Ok(newest)
}

from_row!(CallEventRow, row => Ok(Self {
    version: row.try_get::<i64, _>("version")?.cast_unsigned(),
    kinds: row.try_get::<&str, _>("kinds")?.split(' ').map(str::to_owned).collect(),
    state: row.try_get::<Json<Value>, _>("state")?.0,
}));

impl Database {
    /// A call's events after number `after`, oldest first, `limit` at most.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn call_events(&self, call_id: &str, after: u64, limit: u32) -> Result<Vec<CallEventRow>, DatabaseError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let rows = on!(&self.readers, pool => {
            let query = sqlx::query_as(
                r#"SELECT "version", "kinds", "state" FROM "CallEvent" WHERE "callId" = $1 AND "version" > $2 ORDER BY "version" LIMIT $3"#,
            );
            query.bind(call_id).bind(after).bind(i64::from(limit)).fetch_all(pool).await?
        });
        Ok(rows)
    }

    /// Calls that have streams and no end: of one gateway, or of all. If it is no more, so are they.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn calls_left_open(&self, node: Option<&str>, limit: u32) -> Result<Vec<CallRow>, DatabaseError> {
        let text = AssertSqlSafe(format!(
            r#"SELECT {CALL} FROM "Call" WHERE "endedAt" IS NULL AND "phase" IN ('PROMPTING', 'AWAITING_RESPONSE', 'CONNECTED')
               AND ($1 IS NULL OR "nodeId" = $1)
               ORDER BY "startedAt", "id" LIMIT {limit}"#
        ));
        Ok(on!(&self.readers, pool => sqlx::query_as(text).bind(node).fetch_all(pool).await?))
    }

    /// Whether no other process can be at work on this database.
    #[must_use]
    pub const fn is_ours_alone(&self) -> bool {
        matches!(self.readers, Backend::Sqlite(_))
    }
}
