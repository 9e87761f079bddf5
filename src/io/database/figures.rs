//! The facts that PX-735 §6 counts, from what calls have left: their rows, their events, the records that recordings rest on.

use futures_util::TryStreamExt as _;
use sqlx::AssertSqlSafe;

use super::backend::on;
use super::{Database, DatabaseError};
use crate::engine::figures::{CallFact, Group, GroupedFigures, Share};
use crate::engine::time::WallTime;

/// Which calls count.
#[derive(Clone, Default, Debug)]
pub struct FiguresFilter {
    /// Of this organisation; of all, if none is named.
    pub org_id: Option<String>,
    /// Begun then, or later.
    pub from: Option<WallTime>,
    /// Begun before then.
    pub to: Option<WallTime>,
    /// Last asked in this language.
    pub language: Option<String>,
    /// By this version of the prompt.
    pub prompt_version: Option<String>,
}

/// What was asked and answered, by the call's own events: later changes of a row do not undo that it happened. A question of
/// Twilio's keypad has no phase of its own: what its answer wrote into the chain, or that there was none, tells of it. Who hung
/// up on it is not among them.
const FACTS: &str = r#"
  SELECT c."orgId", coalesce(CAST(c."languageCode" AS TEXT), ''), coalesce(CAST(c."promptVersion" AS TEXT), ''),
    CAST(c."phase" AS TEXT), c."startedAt", c."connectedAt",
    CAST(CASE WHEN EXISTS (SELECT 1 FROM "CallEvent" e WHERE e."callId" = c."id" AND e."phase" = 'PROMPTING')
      THEN 1
      WHEN EXISTS (SELECT 1 FROM "AuditEvent" a WHERE a."callId" = c."id" AND a."entry" LIKE '%"keypad":{%'
        AND a."kind" IN ('consent.granted', 'consent.revoked', 'call.unrecorded'))
      THEN 1 ELSE 0 END AS BIGINT),
    CAST(CASE WHEN EXISTS (SELECT 1 FROM "CallEvent" e WHERE e."callId" = c."id" AND e."kinds" LIKE '%consent.granted%')
      AND NOT EXISTS (SELECT 1 FROM "AuditEvent" a WHERE a."callId" = c."id" AND a."kind" = 'consent.annulled')
      THEN 1 ELSE 0 END AS BIGINT)
  FROM "Call" c WHERE "#;

/// Recorded calls, and those whose recording names a ledger entry that carries this client's yes.
const RECORDED: &str = r#"
  SELECT c."orgId", coalesce(CAST(c."languageCode" AS TEXT), ''), coalesce(CAST(c."promptVersion" AS TEXT), ''), count(*), CAST(coalesce(sum(CASE WHEN EXISTS (
      SELECT 1 FROM "ConsentRecord" y WHERE y."orgId" = r."orgId" AND y."auditSeq" = r."grantSeq" AND y."clientId" = r."clientId"
        AND y."status" = 'GRANTED')
    THEN 1 ELSE 0 END), 0) AS BIGINT)
  FROM "Recording" r JOIN "Call" c ON c."id" = r."callId" WHERE r."state" <> 'DISCARDED' AND "#;

/// Documentation tasks, and those of them that are done.
const DOCUMENTED: &str = r#"
  SELECT c."orgId", coalesce(CAST(c."languageCode" AS TEXT), ''), coalesce(CAST(c."promptVersion" AS TEXT), ''), count(*), CAST(coalesce(sum(CASE WHEN t."completedAt" IS NOT NULL THEN 1 ELSE 0 END), 0) AS BIGINT)
  FROM "DocumentationTask" t JOIN "Call" c ON c."id" = t."callId" WHERE "#;

/// Of both of these, a row a group.
const BY_GROUP: &str = " GROUP BY 1, 2, 3";

impl FiguresFilter {
    /// The conditions on a call, and what to bind to them: times first, then words.
    fn terms(&self) -> (String, [WallTime; 2], Vec<&str>) {
        let times = [self.from.unwrap_or(WallTime(0)), self.to.unwrap_or(END_OF_TIME)];
        let words =
            [(r#"c."orgId" ="#, &self.org_id), (r#"c."languageCode" ="#, &self.language), (r#"c."promptVersion" ="#, &self.prompt_version)];
        let asked: Vec<_> = words.into_iter().filter_map(|(column, value)| Some((column, value.as_deref()?))).collect();
        let columns = [r#"c."startedAt" >="#, r#"c."startedAt" <"#].into_iter().chain(asked.iter().map(|(column, _)| *column));
        let terms: Vec<_> = columns.enumerate().map(|(n, column)| format!("{column} ${}", n + 1)).collect();
        (terms.join(" AND "), times, asked.into_iter().map(|(_, value)| value).collect())
    }
}

/// A row of [`FACTS`], and one of the other two: each begins with its group.
type Fact = (String, String, String, String, WallTime, Option<WallTime>, i64, i64);
type Counted = (String, String, String, i64, i64);

/// 9999-12-31, the last day of RFC 3339.
const END_OF_TIME: WallTime = WallTime(253_402_214_400_000);

impl Database {
    /// Figures over the calls that `filter` lets in, by whose they are; `None` if they are more than `calls_max`.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn figures(&self, filter: &FiguresFilter, calls_max: usize) -> Result<Option<GroupedFigures>, DatabaseError> {
        let (terms, times, words) = filter.terms();
        let mut figures = GroupedFigures::default();
        let group = |(org_id, language, prompt_version): (String, String, String)| Group { org_id, language, prompt_version };
        let mut calls = 0;
        // Built of our own column names alone; values are bound.
        let (facts, recorded) = (AssertSqlSafe(format!("{FACTS}{terms}")), AssertSqlSafe(format!("{RECORDED}{terms}{BY_GROUP}")));
        on!(&self.readers, pool => {
            let mut query = sqlx::query_as(facts).bind(times[0]).bind(times[1]);
            for word in &words {
                query = query.bind(*word);
            }
            let mut rows = query.fetch(pool);
            while let Some(row) = rows.try_next().await? {
                let (org, language, version, phase, began, connected, prompted, granted): Fact = row;
                calls += 1;
                if calls > calls_max {
                    return Ok(None);
                }
                figures.0.entry(group((org, language, version))).or_default().add(CallFact {
                    prompted: prompted == 1,
                    granted: granted == 1,
                    abandoned: phase == "ABANDONED",
                    waited_ms: connected.map(|connected| u64::try_from(connected.0 - began.0).unwrap_or(0)),
                });
            }
        });
        let documented = AssertSqlSafe(format!("{DOCUMENTED}{terms}{BY_GROUP}"));
        let (recorded, documented): (Vec<Counted>, Vec<Counted>) = on!(&self.readers, pool => {
            let (mut whole, mut tasks) = (sqlx::query_as(recorded), sqlx::query_as(documented));
            (whole, tasks) = (whole.bind(times[0]).bind(times[1]), tasks.bind(times[0]).bind(times[1]));
            for word in &words {
                (whole, tasks) = (whole.bind(*word), tasks.bind(*word));
            }
            (whole.fetch_all(pool).await?, tasks.fetch_all(pool).await?)
        });
        let share = |whole: i64, part: i64| Share { part: part.cast_unsigned(), whole: whole.cast_unsigned() };
        for (org, language, version, whole, part) in recorded {
            figures.0.entry(group((org, language, version))).or_default().recorded = share(whole, part);
        }
        for (org, language, version, whole, part) in documented {
            figures.0.entry(group((org, language, version))).or_default().documented = share(whole, part);
        }
        Ok(Some(figures))
    }
}
