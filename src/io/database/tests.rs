//! What needs a hand on the writer's own connection: a full disk, a read-only one, an answer that panics.

use std::time::{Duration, Instant};

use sqlx::{ConnectOptions as _, Executor as _};
use tokio::sync::oneshot;

use super::{CallRow, Database, Db, Ledger, VerifyReport, Work, sqlite_options};
use crate::engine::call::NotSealed;
use crate::engine::consent::{Actor, ConsentRecord, ConsentStatus, Grant, Method, Receipt};
use crate::engine::ledger::{Event, EventKind};
use crate::engine::time::WallTime;

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
        evidence: serde_json::json!({ "filler": "x".repeat(4_000) }),
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

async fn grant(ledger: &Ledger, id: &str) -> Result<Receipt<Grant>, NotSealed> {
    let (done, answer) = oneshot::channel();
    ledger.append(Work::Grant(Grant { record: record(id), seen: 0 }, Box::new(move |receipt| drop(done.send(receipt))))).unwrap();
    answer.await.unwrap()
}

#[tokio::test]
async fn a_full_disk_refuses_at_once_and_loses_no_line_when_there_is_space_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/c.db", folder.path().display());
    drop(Database::open(&url).await.unwrap());
    let mut raw = sqlite_options(&url).unwrap().connect().await.unwrap();
    raw.execute("CREATE TABLE filler AS SELECT zeroblob(2000000) AS bytes").await.unwrap();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut raw).await.unwrap();
    let full = sqlite_options(&url).unwrap().pragma("max_page_count", pages.to_string());
    let database = Database::open_with(&url, full).await.unwrap();
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
    let options = sqlite_options(&url).unwrap().read_only(true);
    let ledger = Ledger::start(options.clone().connect().await.unwrap(), options);
    let began = Instant::now();
    assert_eq!(grant(&ledger, "a").await, Err(NotSealed::Unavailable));
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(grant(database.ledger(), "b").await.is_ok());
}

#[tokio::test]
async fn an_answer_that_panics_is_one_calls_affair() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&format!("sqlite://{}/c.db", folder.path().display())).await.unwrap();
    let grant_of = |id: &str| Grant { record: record(id), seen: 0 };
    database.ledger().append(Work::Grant(grant_of("a"), Box::new(|_| panic!("a bug of whoever waits")))).unwrap();
    assert!(grant(database.ledger(), "b").await.is_ok());
}

#[tokio::test]
async fn a_commit_that_was_given_up_and_came_through_is_not_written_twice() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/c.db", folder.path().display());
    let database = Database::open(&url).await.unwrap();
    for n in 0..3 {
        database.ledger().append(audit(n)).unwrap();
    }
    database.ledger().flush().await;
    // A second writer that believes its last transaction, of the same three lines, was never answered.
    let options = sqlite_options(&url).unwrap();
    let mut raw = options.clone().connect().await.unwrap();
    let hash: String = sqlx::query_scalar(r#"SELECT "hash" FROM "AuditEvent" WHERE "seq" = 3"#).fetch_one(&mut raw).await.unwrap();
    let head = crate::engine::ledger::Head { seq: 3, hash: crate::engine::ledger::Hash::parse(hash.as_bytes()).unwrap() };
    let mut writer = super::ledger::Writer::new(options.connect().await.unwrap(), sqlite_options(&url).unwrap());
    for (unsure, expected) in [(Some(("org".to_owned(), head, 3)), 4), (None, 8)] {
        writer.give_up((0..3).map(audit).collect(), unsure);
        assert!(writer.turn(vec![audit(9)]).await);
        let lines: u64 = VerifyReport::of(&url).await.unwrap().entries;
        assert_eq!(lines, expected);
    }
    // And the first writer, whose heads are old by then, goes on where the chain ends.
    database.ledger().append(audit(10)).unwrap();
    database.ledger().flush().await;
    let report = VerifyReport::of(&url).await.unwrap();
    assert_eq!((report.entries, report.broken), (9, None));
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

#[tokio::test]
async fn an_unrecorded_call_leaves_its_metadata_and_an_abandoned_one_none() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&format!("sqlite://{}/c.db", folder.path().display())).await.unwrap();
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
    let Db::Sqlite(pool) = &database.db;
    let (language, reason): (String, String) =
        sqlx::query_as(r#"SELECT "languageCode", "unrecordedReason" FROM "Call" WHERE "id" = 'declined'"#).fetch_one(pool).await.unwrap();
    assert_eq!((language.as_str(), reason.as_str()), ("es", "CLIENT_OPT_OUT"));
}
