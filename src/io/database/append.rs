//! What the writer's transaction writes. Pieces of work are worked out one after the other against what stands, read
//! at once for all of them; their rows go out together. So a thousand decisions are a few round trips, on either backend.
//!
//! A further kind of work says in `work` whose chain it writes to, appends its entries by [`Heads::append`], and adds
//! its rows to [`Batch`], which sends them in [`Batch::flush`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rand::Rng as _;
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Row as _};

use super::backend::{Session, on};
use super::calls::Placed;
use super::checkpoints::CheckpointRow;
use super::columns::Word;
use super::nodes::{RING_CALLS, call_bells};
use super::read::{CallRow, RecordingRow};
use super::transcripts::TranscriptRow;
use super::work::{Work, Written};
use super::{acts, events, outbox, retention, tasks};
use crate::engine::consent::{ConsentRecord, ConsentStatus};
use crate::engine::ledger::{Decision, Event, Hash, Head, Salt, canonical};
use crate::engine::time::WallTime;

/// Chains followed at once; beyond that their heads are read again.
const HEADS_MAX: usize = 10_000;

/// The key of a chain's lock on PostgreSQL. It must not change: gateways of two versions must mean the same lock.
pub(super) fn lock_key(org: &str) -> i64 {
    let mut digest = Sha256::new();
    digest.update(b"callgate chain\0");
    digest.update(org);
    let hash: [u8; 32] = digest.finalize().into();
    i64::from_be_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
}

/// Heads of the chains as this transaction leaves them.
#[derive(Default)]
pub(super) struct Heads {
    by_org: HashMap<String, Head>,
    /// The newest entry of the transaction.
    last: Option<(String, Head)>,
}

impl Heads {
    /// A transaction begins: none of its entries stands yet.
    pub(super) fn begin(&mut self) {
        self.last = None;
        if self.by_org.len() > HEADS_MAX {
            self.by_org.clear();
        }
    }

    /// Reads them all anew from here on.
    pub(super) fn forget(&mut self) {
        self.by_org.clear();
    }

    /// The newest entry that this transaction has appended, if any.
    pub(super) fn last(&self) -> Option<(String, Head)> {
        self.last.clone()
    }

    /// A part of the transaction was rolled back, to where `last` was its newest entry.
    pub(super) fn back_to(&mut self, last: Option<(String, Head)>) {
        self.by_org.clear();
        self.last = last;
    }

    /// Whether the database holds this very entry.
    pub(super) async fn holds(&self, session: &mut Session<'_>, org: &str, head: Head) -> Result<bool, sqlx::Error> {
        let found = on!(session, c => {
            let query = sqlx::query(r#"SELECT 1 FROM "AuditEvent" WHERE "orgId" = $1 AND "seq" = $2 AND "hash" = $3"#);
            query.bind(org).bind(head.seq.cast_signed()).bind(head.hash.to_string()).fetch_optional(&mut **c).await?.is_some()
        });
        Ok(found)
    }

    /// Reads the heads of the chains that are to grow and that are not followed yet.
    async fn read(&mut self, session: &mut Session<'_>, orgs: &BTreeSet<String>) -> Result<(), sqlx::Error> {
        let unknown: Vec<&String> = orgs.iter().filter(|org| !self.by_org.contains_key(*org)).collect();
        for some in session.pieces(&unknown) {
            let text = format!(
                r#"SELECT a."orgId", a."seq", a."hash" FROM ({}) AS v JOIN "AuditEvent" a ON a."orgId" = v.column1
                   AND a."seq" = (SELECT max(b."seq") FROM "AuditEvent" b WHERE b."orgId" = v.column1)"#,
                values(1, some.len())
            );
            let found: Vec<(String, i64, String)> = on!(session, c => {
                let mut query = sqlx::query_as(AssertSqlSafe(text));
                for org in some {
                    query = query.bind(org.as_str());
                }
                query.fetch_all(&mut **c).await?
            });
            self.by_org.extend(some.iter().map(|org| ((*org).clone(), Head::default())));
            for (org, seq, hash) in found {
                let hash = Hash::parse(hash.as_bytes())
                    .ok_or_else(|| sqlx::Error::Decode("the chain's last hash is not a hash: run `callgate audit verify`".into()))?;
                self.by_org.insert(org, Head { seq: seq.cast_unsigned(), hash });
            }
        }
        Ok(())
    }

    /// The entry that `event` becomes.
    fn append(&mut self, event: &Event) -> Result<EntryRow, sqlx::Error> {
        if event.org_id.is_empty() {
            return Err(sqlx::Error::Encode("an entry belongs to an organisation".into()));
        }
        let head = self.by_org.get_mut(&event.org_id);
        let head = head.ok_or_else(|| sqlx::Error::Encode("a chain grows only in a piece of work that names it".into()))?;
        let entry = head.follow(event).map_err(encode)?;
        *head = Head { seq: entry.seq, hash: entry.hash };
        self.last = Some((event.org_id.clone(), *head));
        Ok(EntryRow {
            org_id: event.org_id.clone(),
            seq: entry.seq,
            hash: entry.hash,
            canonical: entry.canonical,
            kind: event.kind.word(),
            client_id: event.client_id.clone(),
            call_id: event.call_id.clone(),
            at: event.at,
        })
    }
}

/// What some pieces of work rest on, gathered before anything is asked of the database.
pub(super) struct Needs {
    /// Organisations whose chains grow.
    pub(super) orgs: BTreeSet<String>,
    clients: BTreeSet<(String, String)>,
    /// Records that may stand already.
    records: BTreeSet<String>,
    /// Calls that only their owner may write.
    calls: BTreeSet<String>,
}

impl Needs {
    pub(super) fn of(works: &[Work]) -> Self {
        let orgs = works.iter().filter_map(Work::chain).map(str::to_owned).collect();
        let decisions = works.iter().filter_map(Work::decision);
        let clients = decisions.map(|record| (record.org_id.clone(), record.client_id.clone())).collect();
        let refusals = works.iter().filter_map(Work::refusal).map(|record| record.id.clone());
        let calls = works.iter().filter_map(Work::call_owned).map(str::to_owned).collect();
        Self { orgs, clients, records: refusals.collect(), calls }
    }
}

/// A client's records as they stand.
#[derive(Clone, Copy)]
struct Counted {
    /// How many there are, which is the newest one's version.
    records: u64,
    /// Version of the newest no; 0 if there was none.
    newest_no: u64,
}

struct EntryRow {
    org_id: String,
    seq: u64,
    hash: Hash,
    canonical: String,
    kind: &'static str,
    client_id: Option<String>,
    call_id: Option<String>,
    at: WallTime,
}

struct DecisionRow<'w> {
    record: &'w ConsentRecord,
    status: Word,
    method: Word,
    version: u64,
    seq: u64,
    canonical: String,
    salt: Salt,
}

/// Rows that go out together, and what stands that they rest on.
#[derive(Default)]
pub(super) struct Batch<'w> {
    clients: HashMap<(String, String), Counted>,
    /// Calls that another gateway has, and when they ended.
    elsewhere: HashMap<String, Option<WallTime>>,
    /// Decisions by the record's id: its canonical text, and the entry that carries it.
    decided: HashMap<String, (String, u64)>,
    entries: Vec<EntryRow>,
    decisions: Vec<DecisionRow<'w>>,
    /// By id, and so in one order for every gateway: two that write the same rows do not wait for each other. The last wins.
    calls: BTreeMap<&'w str, &'w CallRow>,
    recordings: BTreeMap<&'w str, &'w RecordingRow>,
    transcripts: BTreeMap<(&'w str, u32), &'w TranscriptRow>,
    /// Every state of every call, in order: each may tell something new.
    states: Vec<&'w CallRow>,
    checkpoints: Vec<&'w CheckpointRow>,
    origin: Origin<'w>,
}

/// Of whoever writes.
#[derive(Clone, Copy, Default)]
pub(super) struct Origin<'w> {
    /// Whether events are to be posted as well.
    pub(super) posts: bool,
    /// Whose calls they are from here on.
    pub(super) node: Option<&'w str>,
}

impl<'w> Batch<'w> {
    /// Reads at once what the pieces rest on.
    pub(super) async fn prepare(
        session: &mut Session<'_>,
        heads: &mut Heads,
        needs: Needs,
        origin: Origin<'w>,
    ) -> Result<Self, sqlx::Error> {
        heads.read(session, &needs.orgs).await?;
        let mut batch = Self { origin, ..Self::default() };
        batch.elsewhere = elsewhere(session, needs.calls, origin.node).await?;
        let clients: Vec<_> = needs.clients.into_iter().collect();
        for some in session.pieces(&clients) {
            let text = format!(
                r#"SELECT v.column1, v.column2,
                     (SELECT max(r."version") FROM "ConsentRecord" r WHERE r."orgId" = v.column1 AND r."clientId" = v.column2),
                     (SELECT max(r."version") FROM "ConsentRecord" r
                      WHERE r."orgId" = v.column1 AND r."clientId" = v.column2 AND r."status" = 'REVOKED')
                   FROM ({}) AS v"#,
                values(2, some.len())
            );
            let found: Vec<(String, String, Option<i64>, Option<i64>)> = on!(session, c => {
                let mut query = sqlx::query_as(AssertSqlSafe(text));
                for (org, client) in some {
                    query = query.bind(org.as_str()).bind(client.as_str());
                }
                query.fetch_all(&mut **c).await?
            });
            batch.clients.extend(found.into_iter().map(|(org, client, records, newest_no)| {
                let count = |version: Option<i64>| version.unwrap_or(0).cast_unsigned();
                ((org, client), Counted { records: count(records), newest_no: count(newest_no) })
            }));
        }
        let records: Vec<_> = needs.records.into_iter().collect();
        for some in session.pieces(&records) {
            let text = format!(r#"SELECT "id", "record", "auditSeq" FROM "ConsentRecord" WHERE "id" IN ({})"#, values(1, some.len()));
            let found: Vec<(String, String, i64)> = on!(session, c => {
                let mut query = sqlx::query_as(AssertSqlSafe(text));
                for id in some {
                    query = query.bind(id.as_str());
                }
                query.fetch_all(&mut **c).await?
            });
            batch.decided.extend(found.into_iter().map(|(id, text, seq)| (id, (text, seq.cast_unsigned()))));
        }
        Ok(batch)
    }

    /// Works one piece out.
    pub(super) async fn add(&mut self, session: &mut Session<'_>, heads: &mut Heads, work: &'w mut Work) -> Result<Written, sqlx::Error> {
        match work {
            Work::Grant(grant, _) => {
                if self.is_elsewhere(grant.record.call_id.as_deref()) {
                    return Ok(Written::NotOurs);
                }
                // Whatever was said after that no: a later yes on another call is that call's, and does not revive this one.
                if self.counted(&grant.record)?.newest_no > grant.seen {
                    return Ok(Written::Superseded);
                }
                self.decide(heads, &grant.record).map(Written::Entry)
            }
            Work::Recall { call_id, .. } if self.is_elsewhere(Some(call_id)) => Ok(Written::NotOurs),
            Work::Recall { org_id, client_id, call_id: _, then: _ } => {
                // What this batch says of the client must be there to be read.
                if self.clients.contains_key(&(org_id.clone(), client_id.clone())) {
                    self.flush(session).await?;
                }
                Ok(match latest(session, org_id, client_id).await? {
                    Some((record, version, seq)) if record.status == ConsentStatus::Granted => {
                        Written::Standing(Box::new(record), version, seq)
                    }
                    Some((record, ..)) if record.status == ConsentStatus::Pending => Written::Annulled,
                    _ => Written::Superseded,
                })
            }
            Work::Audit(event, _) if event.kind.is_decision() => {
                Err(sqlx::Error::Encode("a decision enters the chain with its record or not at all".into()))
            }
            Work::Audit(event, _) => {
                let seq = self.append(heads, event)?;
                retention::log_access(session, seq, event).await?;
                Ok(Written::Entry(seq))
            }
            Work::Act(act, _) => {
                // What an act rests on is asked when its turn comes: what this batch says must be there to be read.
                if act.rests_on_tables() {
                    self.flush(session).await?;
                }
                acts::write(self, session, heads, act).await.map(Box::new).map(Written::Acted)
            }
            Work::Call(row) => {
                let row: &'w CallRow = row;
                // What ended may be added to by whoever read it as it is: a recording is settled later, perhaps by another gateway.
                let ended = row.ended_at.as_deref().and_then(WallTime::parse);
                if self.elsewhere.get(&row.id).is_some_and(|before| before.is_none() || *before != ended) {
                    return Ok(Written::NotOurs);
                }
                self.calls.insert(&row.id, row);
                self.states.push(row);
                if let Some(event) = tasks::log_interaction(session, row).await? {
                    self.append(heads, &event)?;
                }
                Ok(Written::Row)
            }
            Work::Place(placement, _) => {
                // A key of this batch must be there to be found.
                self.flush(session).await?;
                let placed = placement.write(session, self.origin.node).await?;
                if matches!(placed, Placed::New) {
                    self.append(heads, &placement.event)?;
                }
                Ok(Written::Placed(placed))
            }
            Work::Answer(answer) => {
                self.flush(session).await?;
                answer.write(session).await.map(|()| Written::Row)
            }
            Work::Checkpoint(row) => {
                self.checkpoints.push(row);
                Ok(Written::Row)
            }
            Work::Transcript(told) => {
                let (row, event) = &**told;
                self.transcripts.insert((&row.id, row.version), row);
                self.append(heads, event).map(Written::Entry)
            }
            Work::Outbox(work) => {
                // What this batch says of calls must be there to be claimed.
                self.flush(session).await?;
                outbox::write(session, work).await
            }
            Work::Recording(row, _) => {
                let row: &'w RecordingRow = row;
                self.recordings.insert(&row.id, row);
                if retention::may_come_late(row) {
                    self.flush(session).await?;
                    for event in retention::queue_late(session, row).await? {
                        self.append(heads, &event)?;
                    }
                }
                Ok(Written::Row)
            }
        }
    }

    fn is_elsewhere(&self, call_id: Option<&str>) -> bool {
        call_id.is_some_and(|id| self.elsewhere.contains_key(id))
    }

    /// The entry of this very record, if it stands already.
    pub(super) fn stands(&self, record: &ConsentRecord) -> Result<Option<u64>, sqlx::Error> {
        let text = canonical(record).map_err(encode)?;
        Ok(self.decided.get(&record.id).filter(|(stands, _)| *stands == text).map(|(_, seq)| *seq))
    }

    pub(super) fn append(&mut self, heads: &mut Heads, event: &Event) -> Result<u64, sqlx::Error> {
        let entry = heads.append(event)?;
        let seq = entry.seq;
        self.entries.push(entry);
        Ok(seq)
    }

    fn counted(&self, record: &ConsentRecord) -> Result<Counted, sqlx::Error> {
        let counted = self.clients.get(&(record.org_id.clone(), record.client_id.clone())).copied();
        counted.ok_or_else(|| sqlx::Error::Encode("a decision counts only in a piece of work that names it".into()))
    }

    /// A consent record and the entry that carries it. The entry's number.
    pub(super) fn decide(&mut self, heads: &mut Heads, record: &'w ConsentRecord) -> Result<u64, sqlx::Error> {
        let mut counted = self.counted(record)?;
        counted.records += 1;
        if record.status == ConsentStatus::Revoked {
            counted.newest_no = counted.records;
        }
        let mut salt = Salt([0; 16]);
        rand::rng().fill_bytes(&mut salt.0);
        let (status, method) = (Word::of(&record.status)?, Word::of(&record.method)?);
        let decision = Decision::of(record, counted.records, salt).map_err(encode)?;
        let seq = self.append(heads, &decision.event)?;
        self.clients.insert((record.org_id.clone(), record.client_id.clone()), counted);
        self.decided.insert(record.id.clone(), (decision.record.clone(), seq));
        self.decisions.push(DecisionRow { record, status, method, version: counted.records, seq, canonical: decision.record, salt });
        Ok(seq)
    }

    /// Sends what was worked out.
    pub(super) async fn flush(&mut self, session: &mut Session<'_>) -> Result<(), sqlx::Error> {
        for some in session.pieces(&self.entries) {
            let text = format!(
                r#"INSERT INTO "AuditEvent" ("orgId", "seq", "hash", "entry", "kind", "clientId", "callId", "at") {}"#,
                values(8, some.len())
            );
            on!(session, c => {
                let mut query = sqlx::query(AssertSqlSafe(text));
                for row in some {
                    query = query
                        .bind(&row.org_id)
                        .bind(row.seq.cast_signed())
                        .bind(row.hash.to_string())
                        .bind(&row.canonical)
                        .bind(row.kind)
                        .bind(&row.client_id)
                        .bind(&row.call_id)
                        .bind(row.at);
                }
                query.execute(&mut **c).await?;
            });
        }
        self.entries.clear();
        for some in session.pieces(&self.decisions) {
            let text = format!(
                r#"INSERT INTO "ConsentRecord" ("id", "orgId", "clientId", "callId", "version", "status", "method", "languageCode",
                     "promptVersion", "at", "auditSeq", "record", "salt") {}"#,
                values(13, some.len())
            );
            on!(session, c => {
                let mut query = sqlx::query(AssertSqlSafe(text));
                for row in some {
                    query = query
                        .bind(&row.record.id)
                        .bind(&row.record.org_id)
                        .bind(&row.record.client_id)
                        .bind(&row.record.call_id)
                        .bind(row.version.cast_signed())
                        .bind(&row.status)
                        .bind(&row.method)
                        .bind(&row.record.language_code)
                        .bind(&row.record.prompt_version)
                        .bind(row.record.at)
                        .bind(row.seq.cast_signed())
                        .bind(&row.canonical)
                        .bind(row.salt.to_string());
                }
                query.execute(&mut **c).await?;
            });
        }
        self.decisions.clear();
        let calls: Vec<&CallRow> = std::mem::take(&mut self.calls).into_values().collect();
        CallRow::write(session, &calls, self.origin.node).await?;
        if let Session::Postgres(c) = session {
            for payload in call_bells(calls.iter().map(|call| call.id.as_str())) {
                sqlx::query(RING_CALLS).bind(payload).execute(&mut **c).await?;
            }
        }
        let recordings: Vec<&RecordingRow> = std::mem::take(&mut self.recordings).into_values().collect();
        RecordingRow::write(session, &recordings).await?;
        let transcripts: Vec<&TranscriptRow> = std::mem::take(&mut self.transcripts).into_values().collect();
        TranscriptRow::write(session, &transcripts).await?;
        events::write(session, &std::mem::take(&mut self.states), self.origin.posts).await?;
        CheckpointRow::write(session, &std::mem::take(&mut self.checkpoints)).await
    }
}

/// Those of these calls that another gateway has, which alone may write them: whoever it left, or whose calls are ours to close
/// (`takenBy`), has none. The rows stay locked until the COMMIT, so that nobody takes one over meanwhile. SQLite serves one gateway.
async fn elsewhere(
    session: &mut Session<'_>,
    calls: BTreeSet<String>,
    node: Option<&str>,
) -> Result<HashMap<String, Option<WallTime>>, sqlx::Error> {
    let mut theirs: Vec<(String, String, Option<WallTime>)> = Vec::new();
    let (Session::Postgres(_), Some(me)) = (&*session, node) else { return Ok(HashMap::new()) };
    let calls: Vec<_> = calls.into_iter().collect();
    let pieces = session.pieces(&calls);
    let Session::Postgres(c) = session else { return Ok(HashMap::new()) };
    for some in pieces {
        let text =
            format!(r#"SELECT "id", "nodeId", "endedAt" FROM "Call" WHERE "id" IN ({}) ORDER BY "id" FOR UPDATE"#, values(1, some.len()));
        let mut query = sqlx::query_as::<_, (String, Option<String>, Option<WallTime>)>(AssertSqlSafe(text));
        for id in some {
            query = query.bind(id.as_str());
        }
        let found = query.fetch_all(&mut **c).await?;
        theirs.extend(found.into_iter().filter_map(|(id, owner, ended)| Some((id, owner.filter(|owner| owner != me)?, ended))));
    }
    if theirs.is_empty() {
        return Ok(HashMap::new());
    }
    let standing: Vec<(String,)> =
        sqlx::query_as(r#"SELECT "id" FROM "Node" WHERE "takenBy" IS DISTINCT FROM $1"#).bind(me).fetch_all(&mut **c).await?;
    let stands = |owner: &str| standing.iter().any(|(id,)| id == owner);
    Ok(theirs.into_iter().filter(|(_, owner, _)| stands(owner)).map(|(id, _, ended)| (id, ended)).collect())
}

/// A client's newest record, its version, and its entry.
pub(super) async fn latest(
    session: &mut Session<'_>,
    org_id: &str,
    client_id: &str,
) -> Result<Option<(ConsentRecord, u64, u64)>, sqlx::Error> {
    let found: Option<(String, i64, i64)> = on!(session, c => {
        let query = sqlx::query(
            r#"SELECT "record", "version", "auditSeq" FROM "ConsentRecord" WHERE "orgId" = $1 AND "clientId" = $2
               ORDER BY "version" DESC LIMIT 1"#,
        );
        let row = query.bind(org_id).bind(client_id).fetch_optional(&mut **c).await?;
        row.map(|row| Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).transpose()?
    });
    let Some((text, version, seq)) = found else { return Ok(None) };
    let record = serde_json::from_str(&text).map_err(|why| sqlx::Error::Decode(Box::new(why)))?;
    Ok(Some((record, version.cast_unsigned(), seq.cast_unsigned())))
}

/// `VALUES ($1, $2), ($3, $4)`: so many columns, so many rows.
pub(super) fn values(columns: usize, rows: usize) -> String {
    let row = |at: usize| {
        let places: Vec<_> = (1..=columns).map(|column| format!("${}", at * columns + column)).collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<_> = (0..rows).map(row).collect();
    format!("VALUES {}", rows.join(", "))
}

fn encode(why: serde_json::Error) -> sqlx::Error {
    sqlx::Error::Encode(Box::new(why))
}
