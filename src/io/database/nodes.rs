//! Gateways that share a PostgreSQL database: who is alive, whose a call is, and what one asks of another.
//!
//! A lease is kept by the database's clock. A command is a row; NOTIFY only wakes whoever is to look at it, so one that
//! is lost costs a moment and nothing else. SQLite serves one gateway, and has none of this.

use std::time::Duration;

use serde_json::Value;
use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};
use sqlx::types::Json;

use super::backend::{Backend, read_and_write};
use super::{Database, DatabaseError};

/// A lease holds so long after it was renewed.
pub const LEASE: Duration = Duration::from_secs(8);
/// And is taken for lost by others only so much later: clocks of two machines do not run alike.
const GRACE: Duration = Duration::from_secs(2);
/// Who is renewing, asking and answering at once.
const CONNECTIONS_MAX: u32 = 4;
/// A command that nobody took away is of no use to anybody after that.
const COMMAND_LIVES: Duration = Duration::from_secs(60);
/// No call is that long: a CallSid that nobody was told of for so long is not told of again.
const ARRIVAL_LIVES: Duration = Duration::from_secs(24 * 3_600);
/// A postgres NOTIFY carries less than 8,000 bytes.
const NOTIFY_MAX: usize = 7_500;

const COMMANDS: &str = "callgate_commands";
const ANSWERS: &str = "callgate_answers";
const CALLS: &str = "callgate_calls";

/// This gateway among others.
#[derive(Clone, Debug)]
pub struct Nodes {
    pool: PgPool,
    me: String,
}

/// A gateway that is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GoneNode {
    /// Its id.
    pub id: String,
    /// Where it ran.
    pub host: String,
    /// Where its spool lies there.
    pub data_dir: String,
}

/// A live call of a client, on another gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallElsewhere {
    /// The call.
    pub call_id: String,
    /// Whose it is.
    pub node_id: String,
}

/// Who has a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whose {
    /// No gateway has told of it, or whoever did is gone before anything of it was written.
    Nobodys,
    /// We do.
    Ours,
    /// Another gateway does, and holds its lease or may believe so.
    Theirs(CallElsewhere),
    /// Another was the first to be told of it, and nothing is written of it yet.
    Arrived(CallElsewhere),
    /// Nobody does: its gateway is gone, and it rang then. Whoever claims it has it.
    Rings,
    /// Nobody does: its gateway is gone, and so is what it captured.
    Left(String),
    /// It is over.
    Over,
}

/// What came of telling that a call has come in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Arrived {
    /// It is ours to answer, under this id.
    Ours(String),
    /// Another gateway was told first.
    Theirs(CallElsewhere),
    /// Another was told first, under this id, and is gone.
    Left(String),
    /// It was answered, and is over or in other hands.
    Past,
}

/// Something that another gateway did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bell {
    /// A command waits for us.
    Command,
    /// A command of ours has its answer.
    Answer,
    /// Calls were written.
    Calls(Vec<String>),
}

/// Hears of what other gateways do.
pub struct Bells {
    listener: PgListener,
    me: String,
}

impl Bells {
    /// The next one. Those rung while the connection was away are lost: look at the tables now and then.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn next(&mut self) -> Result<Bell, DatabaseError> {
        loop {
            let rung = self.listener.recv().await?;
            let ours = rung.payload() == self.me;
            match rung.channel() {
                COMMANDS if ours => return Ok(Bell::Command),
                ANSWERS if ours => return Ok(Bell::Answer),
                CALLS => return Ok(Bell::Calls(rung.payload().split(' ').map(str::to_owned).collect())),
                _ => {}
            }
        }
    }
}

/// Text that is sent when calls were written.
pub(super) fn call_bells<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut payloads: Vec<String> = Vec::new();
    for id in ids {
        match payloads.last_mut() {
            Some(last) if last.len() + id.len() < NOTIFY_MAX => {
                last.push(' ');
                last.push_str(id);
            }
            _ => payloads.push(id.to_owned()),
        }
    }
    payloads
}

/// What rings them.
pub(super) const RING_CALLS: &str = "SELECT pg_notify('callgate_calls', $1)";

impl Nodes {
    /// This process's name among its like.
    #[must_use]
    pub fn me(&self) -> &str {
        &self.me
    }

    /// Takes the lease, or renews it. Tells whether it had been taken for lost, or was never taken before.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn renew(&self, host: &str, data_dir: &str) -> Result<bool, DatabaseError> {
        let before: Option<(bool,)> = sqlx::query_as(
            r#"WITH before AS (SELECT "takenBy" IS NOT NULL AS "taken" FROM "Node" WHERE "id" = $1)
               INSERT INTO "Node" ("id", "host", "dataDir", "leaseUntil") VALUES ($1, $2, $3, now() + make_interval(secs => $4))
               ON CONFLICT ("id") DO UPDATE SET "leaseUntil" = excluded."leaseUntil", "takenBy" = NULL
               RETURNING coalesce((SELECT "taken" FROM before), true)"#,
        )
        .bind(&self.me)
        .bind(host)
        .bind(data_dir)
        .bind(LEASE.as_secs_f64())
        .fetch_optional(&self.pool)
        .await?;
        sqlx::query(r#"DELETE FROM "Command" WHERE "at" < now() - make_interval(secs => $1)"#)
            .bind(COMMAND_LIVES.as_secs_f64())
            .execute(&self.pool)
            .await?;
        sqlx::query(r#"DELETE FROM "Arrival" WHERE "at" < now() - make_interval(secs => $1)"#)
            .bind(ARRIVAL_LIVES.as_secs_f64())
            .execute(&self.pool)
            .await?;
        Ok(before.is_some_and(|(taken,)| taken))
    }

    /// Those of these calls that another gateway has.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn lost(&self, calls: &[String]) -> Result<Vec<String>, DatabaseError> {
        let rows: Vec<(String,)> = sqlx::query_as(r#"SELECT "id" FROM "Call" WHERE "id" = ANY($1) AND "nodeId" <> $2"#)
            .bind(calls)
            .bind(&self.me)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Gives the lease back: nothing of ours is live any more.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn leave(&self) -> Result<(), DatabaseError> {
        sqlx::query(r#"DELETE FROM "Node" WHERE "id" = $1"#).bind(&self.me).execute(&self.pool).await?;
        Ok(())
    }

    /// Gateways whose leases are over and whose calls nobody alive is closing; and those that had our own folder before us.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn gone(&self, host: &str, data_dir: &str) -> Result<Vec<GoneNode>, DatabaseError> {
        let rows: Vec<(String, String, String)> = sqlx::query_as(
            r#"SELECT n."id", n."host", n."dataDir" FROM "Node" n
               WHERE n."id" <> $1 AND (n."leaseUntil" < now() - make_interval(secs => $2) OR (n."host" = $3 AND n."dataDir" = $4))
                 AND NOT EXISTS (SELECT 1 FROM "Node" t WHERE t."id" = n."takenBy" AND t."id" <> $1 AND t."leaseUntil" > now())
               ORDER BY n."id""#,
        )
        .bind(&self.me)
        .bind(GRACE.as_secs_f64())
        .bind(host)
        .bind(data_dir)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|(id, host, data_dir)| GoneNode { id, host, data_dir }).collect())
    }

    /// Whether it is ours to close the calls of `gone`: one gateway's at a time, and only if it has not come back.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn claim(&self, gone: &GoneNode) -> Result<bool, DatabaseError> {
        let done = sqlx::query(
            r#"UPDATE "Node" SET "takenBy" = $1 WHERE "id" = $2 AND ("leaseUntil" < now() OR ("host" = $3 AND "dataDir" = $4))
                 AND ("takenBy" IS NULL OR "takenBy" = $1
                   OR NOT EXISTS (SELECT 1 FROM "Node" t WHERE t."id" = "Node"."takenBy" AND t."leaseUntil" > now()))"#,
        )
        .bind(&self.me)
        .bind(&gone.id)
        .bind(&gone.host)
        .bind(&gone.data_dir)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// It lives after all, or is closed: nobody is to close it now.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn release(&self, gone: &GoneNode, closed: bool) -> Result<(), DatabaseError> {
        let text = if closed {
            r#"DELETE FROM "Node" WHERE "id" = $1 AND "takenBy" = $2"#
        } else {
            r#"UPDATE "Node" SET "takenBy" = NULL WHERE "id" = $1 AND "takenBy" = $2"#
        };
        sqlx::query(text).bind(&gone.id).bind(&self.me).execute(&self.pool).await?;
        Ok(())
    }

    /// Who has a call: found by our id of it, or by Twilio's.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn whose(&self, call_id: &str, call_sid: &str) -> Result<Whose, DatabaseError> {
        let row: Option<(String, Option<String>, bool, bool, bool)> = sqlx::query_as(
            r#"SELECT c."id", c."nodeId", c."phase" = 'CREATED', c."endedAt" IS NOT NULL,
                 coalesce(n."leaseUntil" > now() - make_interval(secs => $3), false)
               FROM "Call" c LEFT JOIN "Node" n ON n."id" = c."nodeId"
               WHERE c."id" = $1 OR ($2 <> '' AND c."callSid" = $2)
               ORDER BY c."id" = $1 DESC, c."startedAt" DESC LIMIT 1"#,
        )
        .bind(call_id)
        .bind(call_sid)
        .bind(GRACE.as_secs_f64())
        .fetch_optional(&self.pool)
        .await?;
        if let Some((call_id, owner, rings, over, holds)) = row {
            return Ok(match owner {
                _ if over => Whose::Over,
                Some(owner) if owner == self.me => Whose::Ours,
                Some(node_id) if holds => Whose::Theirs(CallElsewhere { call_id, node_id }),
                Some(_) | None if rings => Whose::Rings,
                Some(_) | None => Whose::Left(call_id),
            });
        }
        let told: Option<(String, String)> = sqlx::query_as(
            r#"SELECT a."callId", a."nodeId" FROM "Arrival" a JOIN "Node" n ON n."id" = a."nodeId"
               WHERE (a."callSid" = $1 OR a."callId" = $4) AND n."id" <> $2 AND n."leaseUntil" > now() - make_interval(secs => $3)"#,
        )
        .bind(call_sid)
        .bind(&self.me)
        .bind(GRACE.as_secs_f64())
        .bind(call_id)
        .fetch_optional(&self.pool)
        .await?;
        Ok(told.map_or(Whose::Nobodys, |(call_id, node_id)| Whose::Arrived(CallElsewhere { call_id, node_id })))
    }

    /// A call that rings becomes ours, unless a gateway has it that may live. Tells whether it is.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn claim_call(&self, call_id: &str) -> Result<bool, DatabaseError> {
        let done = sqlx::query(
            r#"UPDATE "Call" SET "nodeId" = $1 WHERE "id" = $2 AND "endedAt" IS NULL AND "phase" = 'CREATED'
                 AND ("nodeId" IS NULL OR "nodeId" = $1
                   OR NOT EXISTS (SELECT 1 FROM "Node" n WHERE n."id" = "Call"."nodeId" AND n."takenBy" IS DISTINCT FROM $1
                                  AND n."leaseUntil" > now() - make_interval(secs => $3)))"#,
        )
        .bind(&self.me)
        .bind(call_id)
        .bind(GRACE.as_secs_f64())
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Twilio tells of a call that came in: who is told first has it, under the id that it gives.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn arrives(&self, call_sid: &str, fresh: &str) -> Result<Arrived, DatabaseError> {
        sqlx::query(r#"INSERT INTO "Arrival" ("callSid", "callId", "nodeId") VALUES ($1, $2, $3) ON CONFLICT ("callSid") DO NOTHING"#)
            .bind(call_sid)
            .bind(fresh)
            .bind(&self.me)
            .execute(&self.pool)
            .await?;
        // A statement of its own: it sees whoever was first.
        let (call_id, node_id, owner, over, holds): (String, String, Option<String>, bool, bool) = sqlx::query_as(
            r#"SELECT a."callId", a."nodeId", c."nodeId", c."endedAt" IS NOT NULL,
                 coalesce(n."leaseUntil" > now() - make_interval(secs => $2), false)
               FROM "Arrival" a LEFT JOIN "Node" n ON n."id" = a."nodeId" LEFT JOIN "Call" c ON c."id" = a."callId"
               WHERE a."callSid" = $1"#,
        )
        .bind(call_sid)
        .bind(GRACE.as_secs_f64())
        .fetch_one(&self.pool)
        .await?;
        Ok(match owner {
            _ if over => Arrived::Past,
            Some(owner) if owner != node_id => Arrived::Past,
            Some(_) | None if node_id == self.me => Arrived::Ours(call_id),
            Some(_) | None if holds => Arrived::Theirs(CallElsewhere { call_id, node_id }),
            // What it captured is closed by whoever closes its calls.
            Some(_) => Arrived::Past,
            None => Arrived::Left(call_id),
        })
    }

    /// A stream came without a word from a webhook: the gateway that saw its CallSid first has its call, for as long as that one holds
    /// its lease or may believe so. Which other one that is; `None` if it is ours. `told` is the id that the stream itself says.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn streams(&self, told: &str, call_sid: &str, fresh: &str) -> Result<Option<String>, DatabaseError> {
        if let Whose::Theirs(owner) | Whose::Arrived(owner) = self.whose(told, call_sid).await? {
            return Ok(Some(owner.node_id));
        }
        // One statement: of two gateways at one moment the later sees the earlier's row, and leaves it.
        sqlx::query(
            r#"INSERT INTO "Arrival" ("callSid", "callId", "nodeId") VALUES ($1, $2, $3)
               ON CONFLICT ("callSid") DO UPDATE SET "callId" = excluded."callId", "nodeId" = excluded."nodeId", "at" = now()
               WHERE NOT EXISTS (SELECT 1 FROM "Node" n WHERE n."id" = "Arrival"."nodeId"
                                 AND n."leaseUntil" > now() - make_interval(secs => $4))"#,
        )
        .bind(call_sid)
        .bind(fresh)
        .bind(&self.me)
        .bind(GRACE.as_secs_f64())
        .execute(&self.pool)
        .await?;
        let (node_id,): (String,) =
            sqlx::query_as(r#"SELECT "nodeId" FROM "Arrival" WHERE "callSid" = $1"#).bind(call_sid).fetch_one(&self.pool).await?;
        Ok((node_id != self.me).then_some(node_id))
    }

    /// Other gateways that hold their leases, the freshest first.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn peers(&self, limit: u32) -> Result<Vec<String>, DatabaseError> {
        let rows: Vec<(String,)> = sqlx::query_as(
            r#"SELECT "id" FROM "Node" WHERE "id" <> $1 AND "leaseUntil" > now() AND "takenBy" IS NULL ORDER BY "leaseUntil" DESC LIMIT $2"#,
        )
        .bind(&self.me)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// A client's live calls on other gateways that hold their leases, or may believe so.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn calls_of(&self, org_id: &str, client_id: &str) -> Result<Vec<CallElsewhere>, DatabaseError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            r#"SELECT c."id", c."nodeId" FROM "Call" c JOIN "Node" n ON n."id" = c."nodeId"
               WHERE c."orgId" = $1 AND c."clientId" = $2 AND c."endedAt" IS NULL AND n."id" <> $3
                 AND n."leaseUntil" > now() - make_interval(secs => $4)"#,
        )
        .bind(org_id)
        .bind(client_id)
        .bind(&self.me)
        .bind(GRACE.as_secs_f64())
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|(call_id, node_id)| CallElsewhere { call_id, node_id }).collect())
    }

    /// Whether a gateway may still hold gates open.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn may_live(&self, node_id: &str) -> Result<bool, DatabaseError> {
        let row = sqlx::query(r#"SELECT 1 FROM "Node" WHERE "id" = $1 AND "leaseUntil" > now() - make_interval(secs => $2)"#);
        Ok(row.bind(node_id).bind(GRACE.as_secs_f64()).fetch_optional(&self.pool).await?.is_some())
    }

    /// Recordings of a gateway's calls that nobody has settled.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn unsettled(&self, node_id: &str) -> Result<Vec<String>, DatabaseError> {
        let rows: Vec<(String,)> = sqlx::query_as(
            r#"SELECT r."id" FROM "Recording" r JOIN "Call" c ON c."id" = r."callId"
               WHERE c."nodeId" = $1 AND r."state" NOT IN ('FINISHED', 'DISCARDED', 'FAILED')"#,
        )
        .bind(node_id)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Asks another gateway for something.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn ask(&self, id: &str, node_id: &str, body: &Value) -> Result<(), DatabaseError> {
        sqlx::query(r#"INSERT INTO "Command" ("id", "nodeId", "fromId", "body") VALUES ($1, $2, $3, $4)"#)
            .bind(id)
            .bind(node_id)
            .bind(&self.me)
            .bind(Json(body))
            .execute(&self.pool)
            .await?;
        self.ring(COMMANDS, node_id).await
    }

    /// The answer, once there is one.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn answer_of(&self, id: &str) -> Result<Option<Value>, DatabaseError> {
        let row: Option<(Json<Value>,)> =
            sqlx::query_as(r#"DELETE FROM "Command" WHERE "id" = $1 AND "answer" IS NOT NULL RETURNING "answer""#)
                .bind(id)
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.map(|(answer,)| answer.0))
    }

    /// What is asked of us, each once.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn commands(&self) -> Result<Vec<(String, String, Value)>, DatabaseError> {
        let rows: Vec<(String, String, Json<Value>)> =
            sqlx::query_as(r#"UPDATE "Command" SET "taken" = true WHERE "nodeId" = $1 AND NOT "taken" RETURNING "id", "fromId", "body""#)
                .bind(&self.me)
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().map(|(id, from, body)| (id, from, body.0)).collect())
    }

    /// Answers.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub async fn answer(&self, id: &str, from: &str, answer: &Value) -> Result<(), DatabaseError> {
        sqlx::query(r#"UPDATE "Command" SET "answer" = $2 WHERE "id" = $1"#).bind(id).bind(Json(answer)).execute(&self.pool).await?;
        self.ring(ANSWERS, from).await
    }

    /// Hears of what others do.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn bells(&self) -> Result<Bells, DatabaseError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen_all([COMMANDS, ANSWERS, CALLS]).await?;
        Ok(Bells { listener, me: self.me.clone() })
    }

    async fn ring(&self, channel: &str, whom: &str) -> Result<(), DatabaseError> {
        sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(whom).execute(&self.pool).await?;
        Ok(())
    }
}

impl Database {
    /// This gateway among those that share the database; none on SQLite, which serves one.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn nodes(&self) -> Result<Option<Nodes>, DatabaseError> {
        let Backend::Postgres(options) = &self.address else { return Ok(None) };
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS_MAX + 1).acquire_timeout(GRACE);
        let pool = pool.connect_with(read_and_write(options)).await?;
        Ok(Some(Nodes { pool, me: self.node.to_string() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bells_of_many_calls_fit_into_what_a_notification_carries() {
        let ids: Vec<String> = (0..2_000).map(|n| format!("call_{n:035}")).collect();
        let payloads = call_bells(ids.iter().map(String::as_str));
        assert!(payloads.iter().all(|payload| payload.len() < 8_000), "no NOTIFY is refused");
        assert_eq!(payloads.iter().flat_map(|payload| payload.split(' ')).collect::<Vec<_>>(), ids);
    }
}
