//! The facts that PX-735 §6 counts, from what calls have left: their rows, their events, the records that recordings rest on.

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Row as _};

use super::{Database, DatabaseError};
use crate::engine::figures::{CallFact, Figures, Share};
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

/// What was asked and answered, by the call's own events: later changes of a row do not undo that it happened.
const FACTS: &str = r#"
  SELECT c."phase", c."startedAt", c."connectedAt",
    CAST(CASE WHEN EXISTS (SELECT 1 FROM "CallEvent" e WHERE e."callId" = c."id" AND e."phase" = 'PROMPTING')
      THEN 1 ELSE 0 END AS BIGINT),
    CAST(CASE WHEN EXISTS (SELECT 1 FROM "CallEvent" e WHERE e."callId" = c."id" AND e."kinds" LIKE '%consent.granted%')
      THEN 1 ELSE 0 END AS BIGINT)
  FROM "Call" c WHERE "#;

/// Recorded calls, and those whose recording names a ledger entry that carries this client's yes.
const RECORDED: &str = r#"
  SELECT count(*), CAST(coalesce(sum(CASE WHEN EXISTS (
      SELECT 1 FROM "ConsentRecord" y WHERE y."orgId" = r."orgId" AND y."auditSeq" = r."grantSeq" AND y."clientId" = r."clientId"
        AND y."status" = 'GRANTED')
    THEN 1 ELSE 0 END), 0) AS BIGINT)
  FROM "Recording" r JOIN "Call" c ON c."id" = r."callId" WHERE r."state" <> 'DISCARDED' AND "#;

/// Documentation tasks, and those of them that are done.
const DOCUMENTED: &str = r#"
  SELECT count(*), CAST(coalesce(sum(CASE WHEN t."completedAt" IS NOT NULL THEN 1 ELSE 0 END), 0) AS BIGINT)
  FROM "DocumentationTask" t JOIN "Call" c ON c."id" = t."callId" WHERE "#;

impl FiguresFilter {
    /// The conditions on a call, and what to bind to them.
    fn terms(&self) -> (String, Vec<String>) {
        let from = self.from.unwrap_or(WallTime(0)).to_string();
        let columns = [
            (r#"c."startedAt" >="#, Some(from)),
            (r#"c."startedAt" <"#, self.to.map(|to| to.to_string())),
            (r#"c."orgId" ="#, self.org_id.clone()),
            (r#"c."languageCode" ="#, self.language.clone()),
            (r#"c."promptVersion" ="#, self.prompt_version.clone()),
        ];
        let asked: Vec<_> = columns.into_iter().filter_map(|(column, value)| value.map(|value| (column, value))).collect();
        let terms: Vec<_> = asked.iter().enumerate().map(|(n, (column, _))| format!("{column} ${}", n + 1)).collect();
        (terms.join(" AND "), asked.into_iter().map(|(_, value)| value).collect())
    }
}

impl Database {
    /// Figures over the calls that `filter` lets in; `None` if they are more than `calls_max`.
    ///
    /// # Errors
    /// [`DatabaseError::Query`], or [`DatabaseError::Row`].
    pub async fn figures(&self, filter: &FiguresFilter, calls_max: usize) -> Result<Option<Figures>, DatabaseError> {
        let (terms, values) = filter.terms();
        let mut figures = Figures::default();
        // Built of our own column names alone; values are bound.
        let mut query = sqlx::query(AssertSqlSafe(format!("{FACTS}{terms}")));
        for value in &values {
            query = query.bind(value);
        }
        let mut rows = query.fetch(self.readers());
        let mut calls = 0;
        while let Some(row) = rows.try_next().await? {
            calls += 1;
            if calls > calls_max {
                return Ok(None);
            }
            let time = |text: &str| WallTime::parse(text).ok_or(DatabaseError::Row("Call"));
            let began = time(row.try_get(1)?)?;
            let connected = row.try_get::<Option<&str>, _>(2)?.map(time).transpose()?;
            figures.add(CallFact {
                prompted: row.try_get::<i64, _>(3)? == 1,
                granted: row.try_get::<i64, _>(4)? == 1,
                abandoned: row.try_get::<&str, _>(0)? == "ABANDONED",
                waited_ms: connected.map(|connected| u64::try_from(connected.0 - began.0).unwrap_or(0)),
            });
        }
        drop(rows);
        figures.recorded = self.share(RECORDED, &terms, &values).await?;
        figures.documented = self.share(DOCUMENTED, &terms, &values).await?;
        Ok(Some(figures))
    }

    async fn share(&self, counts: &str, terms: &str, values: &[String]) -> Result<Share, DatabaseError> {
        let mut query = sqlx::query(AssertSqlSafe(format!("{counts}{terms}")));
        for value in values {
            query = query.bind(value);
        }
        let row = query.fetch_one(self.readers()).await?;
        Ok(Share { part: row.try_get::<i64, _>(1)?.cast_unsigned(), whole: row.try_get::<i64, _>(0)?.cast_unsigned() })
    }
}
