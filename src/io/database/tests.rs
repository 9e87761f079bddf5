//! What needs a hand on the writer's own connection: a full disk, a read-only one, a COMMIT that nobody heard of, an answer
//! that panics; and that what is written is what is read, on both backends.

#[path = "../../../tests/common/databases.rs"]
#[allow(dead_code, reason = "every test binary uses its own part")]
mod databases;

use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};
use tokio::sync::oneshot;

use databases::{Place, on_both};

use super::append::lock_key;
use super::backend::{Address, Connection, on};
use super::ledger::Writer;
use super::{Act, Acted, CallFilter, CallRow, Database, Ledger, RecordingRow, Revocation, VerifyReport, Work};
use crate::engine::call::{NotSealed, RecordingState};
use crate::engine::consent::{Actor, ConsentRecord, ConsentStatus, Grant, Method, Queues, Receipt};
use crate::engine::ledger::{Event, EventKind, Hash, Head};
use crate::engine::time::WallTime;

on_both! {
    an_answer_that_panics_is_one_calls_affair,
    a_commit_that_was_given_up_and_came_through_is_not_written_twice,
    an_unrecorded_call_leaves_its_metadata_and_an_abandoned_one_none,
    a_call_and_a_recording_are_read_as_they_were_written,
    a_yes_that_was_none_is_taken_back_and_an_answer_that_came_after_it_is_not,
}

fn record(id: &str) -> ConsentRecord {
    ConsentRecord {
        id: id.into(),
        org_id: "org".into(),
        client_id: id.into(),
        call_id: None,
        status: ConsentStatus::Granted,
        method: Method::Keypress,
        language_code: "en".into(),
        prompt_version: "v1".into(),
        actor: Actor::Client { id: id.into() },
        at: WallTime(1_790_000_000_000),
        reason: None,
        evidence: serde_json::json!({ "filler": "x".repeat(4_000) }).into(),
        policy_version: None,
        policy_basis: None,
    }
}

fn audit(n: u64) -> Work {
    let event = Event {
        org_id: "org".into(),
        kind: EventKind::CallUnrecorded,
        actor: Actor::System,
        call_id: None,
        client_id: None,
        at: WallTime(0),
        position: None,
        detail: serde_json::json!({ "n": n }),
    };
    Work::Audit(event, None)
}

fn sqlite_options(url: &str) -> SqliteConnectOptions {
    match Address::parse(url).unwrap() {
        Address::Sqlite(options) => options,
        Address::Postgres(_) => panic!("{url}"),
    }
}

async fn grant(ledger: &Ledger, id: &str) -> Result<Receipt<Grant>, NotSealed> {
    let (done, answer) = oneshot::channel();
    ledger.append(Work::Grant(Grant { record: record(id).into(), seen: 0 }, Box::new(move |receipt| drop(done.send(receipt))))).unwrap();
    answer.await.unwrap()
}

#[tokio::test]
async fn a_full_disk_refuses_at_once_and_loses_no_line_when_there_is_space_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/c.db", folder.path().display());
    drop(Database::open(&url).await.unwrap());
    let mut raw = sqlite_options(&url).connect().await.unwrap();
    raw.execute("CREATE TABLE filler AS SELECT zeroblob(2000000) AS bytes").await.unwrap();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut raw).await.unwrap();
    let full = sqlite_options(&url).pragma("max_page_count", pages.to_string());
    let database = Database::open_at(&url, Address::Sqlite(full)).await.unwrap();
    let began = Instant::now();
    let mut refused = 0;
    for n in 0..10 {
        refused += u64::from(grant(database.ledger(), &format!("full{n}")).await.is_err());
    }
    for n in 0..50 {
        database.ledger().append(audit(n)).unwrap();
    }
    database.ledger().flush().await;
    assert!(refused >= 8, "{refused} of 10 were refused");
    assert!(began.elapsed() < Duration::from_secs(5));
    raw.execute("DROP TABLE filler").await.unwrap();
    assert!(grant(database.ledger(), "after").await.is_ok(), "with space it lives again");
    database.ledger().flush().await;
    let report = VerifyReport::of(&url).await.unwrap();
    assert_eq!(report.broken, None);
    let lines: i64 =
        sqlx::query_scalar(r#"SELECT count(*) FROM "AuditEvent" WHERE "kind" = 'call.unrecorded'"#).fetch_one(&mut raw).await.unwrap();
    assert_eq!((lines, report.entries), (50, 50 + 10 - refused + 1));
}

#[tokio::test]
async fn a_read_only_database_answers_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/c.db", folder.path().display());
    let database = Database::open(&url).await.unwrap();
    let options = sqlite_options(&url).read_only(true);
    let ledger = Ledger::start(Connection::Sqlite(options.clone().connect().await.unwrap()), Address::Sqlite(options), None);
    let began = Instant::now();
    assert_eq!(grant(&ledger, "a").await, Err(NotSealed::Unavailable));
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(grant(database.ledger(), "b").await.is_ok());
}

async fn an_answer_that_panics_is_one_calls_affair(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    let grant_of = |id: &str| Grant { record: record(id).into(), seen: 0 };
    database.ledger().append(Work::Grant(grant_of("a"), Box::new(|_| panic!("a bug of whoever waits")))).unwrap();
    assert!(grant(database.ledger(), "b").await.is_ok());
}

async fn a_commit_that_was_given_up_and_came_through_is_not_written_twice(place: &Place) {
    let url = &place.url;
    let database = Database::open(url).await.unwrap();
    for n in 0..3 {
        database.ledger().append(audit(n)).unwrap();
    }
    database.ledger().flush().await;
    // A second writer that believes its last transaction, of the same three lines, was never answered.
    let (_, hash, _) = database.audit("org", None, None, 2, 1).await.unwrap().remove(0);
    let head = Head { seq: 3, hash: Hash::parse(hash.as_bytes()).unwrap() };
    let address = Address::parse(url).unwrap();
    let mut writer = Writer::new(address.writer().await.unwrap(), address);
    for (unsure, expected) in [(Some(("org".to_owned(), head, 3)), 4), (None, 8)] {
        writer.give_up((0..3).map(audit).collect(), unsure);
        assert!(writer.turn(vec![audit(9)]).await);
        let lines: u64 = VerifyReport::of(url).await.unwrap().entries;
        assert_eq!(lines, expected);
    }
    // And the first writer, whose heads are old by then, goes on where the chain ends.
    database.ledger().append(audit(10)).unwrap();
    database.ledger().flush().await;
    let report = VerifyReport::of(url).await.unwrap();
    assert_eq!((report.entries, report.broken), (9, None));
}

#[tokio::test]
async fn the_backlog_keeps_its_order_and_its_bound_through_an_outage() {
    let place = Place::sqlite();
    drop(Database::open(&place.url).await.unwrap());
    let mut holder = place.raw().await;
    let address = Address::Sqlite(sqlite_options(&place.url).busy_timeout(Duration::ZERO));
    // Those that made the tables are still leaving, and this one waits for nobody.
    let connection = loop {
        match address.writer().await {
            Ok(connection) => break connection,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let mut writer = Writer::new(connection, address);
    holder.execute("BEGIN EXCLUSIVE").await.unwrap();
    for turn in 0..10 {
        assert!(!writer.turn((turn * 2_000..(turn + 1) * 2_000).map(audit).collect()).await);
    }
    holder.execute("ROLLBACK").await.unwrap();
    for _ in 0..10 {
        assert!(writer.turn(Vec::new()).await);
    }
    let report = VerifyReport::of(&place.url).await.unwrap();
    assert_eq!((report.entries, report.broken), (16_384, None), "what came first is kept, and no more than the bound");
    let misplaced = r#"SELECT count(*) FROM "AuditEvent" WHERE "entry" NOT LIKE '%"detail":{"n":' || ("seq" - 1) || '}%'"#;
    assert_eq!(holder.number(misplaced).await, 0, "in the order in which it came");
}

/// The connection broke after COMMIT was sent. The server is still at it: asked at once, it would know of no such entry.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_still_under_way_on_a_lost_connection_is_waited_for() {
    let place = Place::postgres().await;
    drop(Database::open(&place.url).await.unwrap());
    let Work::Audit(line, _) = audit(0) else { panic!("a line") };
    let entry = Head::default().follow(&line).unwrap();
    let mut lost = place.raw().await;
    lost.execute(format!(
        r#"BEGIN; SELECT pg_advisory_xact_lock({}); INSERT INTO "AuditEvent" ("orgId", "seq", "hash", "entry", "kind", "at")
           VALUES ('org', 1, '{}', '{}', 'call.unrecorded', '1970-01-01T00:00:00Z')"#,
        lock_key("org"),
        entry.hash,
        entry.canonical
    ))
    .await
    .unwrap();
    let address = Address::parse(&place.url).unwrap();
    let mut writer = Writer::new(address.writer().await.unwrap(), address);
    let unsure = Some(("org".to_owned(), Head { seq: 1, hash: entry.hash }, 1));
    writer.give_up(vec![audit(0)], unsure);
    let mut other = Event { org_id: "other".into(), ..line };
    other.call_id = Some("call".into());
    let turn = tokio::spawn(async move { writer.turn(vec![Work::Audit(other, None)]).await });
    let mut looker = place.raw().await;
    let deadline = Instant::now() + Duration::from_secs(3);
    // It stands at the lock, and not past it.
    while looker.number("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").await == 0 {
        assert!(Instant::now() < deadline && !turn.is_finished(), "nobody waits for the lost transaction");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    lost.execute("COMMIT").await.unwrap();
    assert!(turn.await.unwrap());
    let report = VerifyReport::of(&place.url).await.unwrap();
    assert_eq!((report.entries, report.broken, report.heads.len()), (2, None, 2), "each line once");
}

fn call(id: &str, phase: &str, is_recorded: bool, connected_at: Option<&str>) -> Work {
    Work::Call(Box::new(CallRow {
        id: id.into(),
        call_sid: format!("CA{id}"),
        client_id: "client".into(),
        case_manager_id: "cm".into(),
        org_id: "org".into(),
        direction: "INBOUND".into(),
        phase: phase.into(),
        consent_granted_at: None,
        consent_method: None,
        is_recorded,
        recording_id: None,
        started_at: "2026-11-26T08:00:00.000Z".into(),
        ended_at: Some("2026-11-26T08:01:00.000Z".into()),
        state: serde_json::json!({
            "consent": { "languageCode": "es", "promptVersion": "v1" },
            "unrecordedReason": "CLIENT_OPT_OUT", "connectedAt": connected_at, "durationSeconds": 60,
        }),
    }))
}

async fn an_unrecorded_call_leaves_its_metadata_and_an_abandoned_one_none(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    let connected = Some("2026-11-26T08:00:12.000Z");
    for (id, phase, recorded, connected_at) in [
        ("declined", "CONNECTED", false, connected),
        ("declined", "ENDED", false, connected),
        ("declined", "ENDED", false, connected),
        ("recorded", "ENDED", true, connected),
        ("abandoned", "ABANDONED", false, None),
        ("live", "CONNECTED", false, connected),
    ] {
        database.ledger().append(call(id, phase, recorded, connected_at)).unwrap();
    }
    database.ledger().flush().await;
    let rows = database.interactions("org", "client", None, 10).await.unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((rows[0].id.as_str(), rows[0].reason.as_str(), rows[0].duration_seconds), ("declined", "CLIENT_OPT_OUT", Some(60)));
    let text = r#"SELECT "languageCode", CAST("unrecordedReason" AS TEXT) FROM "Call" WHERE "id" = 'declined'"#;
    let (language, reason): (String, String) = on!(&database.readers, pool => sqlx::query_as(text).fetch_one(pool).await.unwrap());
    assert_eq!((language.as_str(), reason.as_str()), ("es", "CLIENT_OPT_OUT"));
}

/// What takes back the yes with this record.
async fn annul(database: &Database, client: &str, yes: &str) {
    let evidence = serde_json::json!({ "annuls": yes }).into();
    let none = ConsentRecord { id: format!("{yes}-none"), client_id: client.into(), call_id: Some("call".into()), evidence, ..record(yes) };
    let record = ConsentRecord { status: ConsentStatus::Pending, method: Method::SilenceTimeout, actor: Actor::System, ..none };
    let (done, acted) = oneshot::channel();
    let act = Act::Revoke(Box::new(Revocation { record, queues: Queues::Nothing }));
    database.ledger().append(Work::Act(act, Box::new(move |acted| drop(done.send(acted))))).unwrap();
    assert!(matches!(acted.await.unwrap(), Some(Acted::Revoked(_))));
}

async fn a_yes_that_was_none_is_taken_back_and_an_answer_that_came_after_it_is_not(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    let standing = async |client: &str| database.standing("org", client).await.unwrap();
    let recall = async |client: &str| {
        let (done, answer) = oneshot::channel();
        let then = Box::new(move |receipt| drop(done.send(receipt)));
        let (org_id, client_id, call_id) = ("org".into(), client.into(), "next".into());
        database.ledger().append(Work::Recall { org_id, client_id, call_id, then }).unwrap();
        answer.await.unwrap().map(|receipt| receipt.record().id.clone())
    };
    grant(database.ledger(), "silent").await.unwrap();
    assert_eq!(recall("silent").await, Ok("silent".to_owned()));
    annul(&database, "silent", "silent").await;
    annul(&database, "silent", "silent").await;
    assert_eq!((standing("silent").await.status, standing("silent").await.seen), (ConsentStatus::Pending, 2), "once");
    assert_eq!(recall("silent").await, Err(NotSealed::Annulled), "a call that was put through by it is not captured");
    // Asked anew, somebody said yes.
    let (done, answer) = oneshot::channel();
    let again = ConsentRecord { id: "aloud".into(), ..record("silent") };
    let work = Work::Grant(Grant { record: again.into(), seen: 2 }, Box::new(move |receipt| drop(done.send(receipt))));
    database.ledger().append(work).unwrap();
    answer.await.unwrap().unwrap();
    annul(&database, "silent", "silent").await;
    assert_eq!((standing("silent").await.status, standing("silent").await.seen), (ConsentStatus::Granted, 3));
    assert_eq!(recall("silent").await, Ok("aloud".to_owned()));
    database.ledger().flush().await;
    assert_eq!(VerifyReport::of(&place.url).await.unwrap().broken, None);
}

async fn a_call_and_a_recording_are_read_as_they_were_written(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    let Work::Call(row) = call("one", "ENDED", true, Some("2026-11-26T08:00:12.345Z")) else { panic!("a call") };
    let mut row = *row;
    row.consent_granted_at = Some("2026-11-26T08:00:11.001Z".into());
    row.consent_method = Some("SILENCE_TIMEOUT".into());
    row.recording_id = Some("rec".into());
    let recording = RecordingRow {
        id: "rec".into(),
        call_id: "one".into(),
        org_id: "org".into(),
        client_id: "client".into(),
        state: RecordingState::Active,
        grant_seq: 7,
        object_key: None,
        format: "wav".into(),
        sha256: None,
        bytes: None,
        duration_ms: None,
        reason: None,
        created_at: "2026-11-26T08:00:12.345Z".into(),
        finished_at: None,
        spool_id: Some("spool".into()),
    };
    let finished = RecordingRow {
        state: RecordingState::Finished,
        object_key: Some("recordings/org/rec.wav".into()),
        sha256: Some("00ff".into()),
        bytes: Some(1 << 40),
        duration_ms: Some(60_000),
        finished_at: Some("2026-11-26T08:02:00.000Z".into()),
        spool_id: None,
        ..recording.clone()
    };
    // In one transaction, and so the last of each is what stands.
    let works =
        [call("one", "CONNECTED", false, None), Work::Call(Box::new(row.clone())), Work::Recording(Box::new(recording), None)].into_iter();
    for work in works.chain([Work::Recording(Box::new(finished.clone()), None), call("two", "ENDED", false, None)]) {
        database.ledger().append(work).unwrap();
    }
    database.ledger().flush().await;
    assert_eq!(database.call("one").await.unwrap().as_ref(), Some(&row));
    assert_eq!(database.recording("rec").await.unwrap(), Some(finished));
    assert_eq!(database.call("none").await.unwrap(), None);
    let ids = async |filter: CallFilter| -> Vec<String> {
        database.calls(&CallFilter { limit: 10, ..filter }).await.unwrap().into_iter().map(|row| row.id).collect()
    };
    let is = |text: &str| Some(text.to_owned());
    assert_eq!(ids(CallFilter::default()).await, ["one", "two"]);
    assert_eq!(ids(CallFilter { org_id: is("org"), call_sid: is("CAtwo"), ..CallFilter::default() }).await, ["two"]);
    assert_eq!(ids(CallFilter { phase: is("ENDED"), client_id: is("client"), ..CallFilter::default() }).await, ["one", "two"]);
    let of = |clients: &[&str]| Some(clients.iter().map(|client| (*client).to_owned()).collect());
    assert_eq!(ids(CallFilter { clients: of(&["client", "other"]), ..CallFilter::default() }).await.len(), 2);
    assert!(ids(CallFilter { clients: of(&["other"]), ..CallFilter::default() }).await.is_empty());
    assert!(ids(CallFilter { clients: of(&[]), ..CallFilter::default() }).await.is_empty(), "a token of no client sees none");
    assert!(ids(CallFilter { phase: is("NO SUCH PHASE"), ..CallFilter::default() }).await.is_empty());
    let began = WallTime::parse("2026-11-26T08:00:00.000Z").unwrap();
    assert!(ids(CallFilter { before: Some((began, None)), ..CallFilter::default() }).await.is_empty());
    assert_eq!(ids(CallFilter { org_id: is("org"), before: Some((WallTime(began.0 + 1), None)), ..CallFilter::default() }).await.len(), 2);
    assert_eq!(ids(CallFilter { before: Some((began, is("one"))), clients: of(&["client"]), ..CallFilter::default() }).await, ["two"]);
}
