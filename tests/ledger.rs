//! The ledger: append-only, chained, durable before it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use callgate::engine::call::NotSealed;
use callgate::engine::consent::{Actor, ConsentRecord, ConsentStatus, Grant, Method, Receipt};
use callgate::engine::ledger::{Event, EventKind};
use callgate::engine::time::WallTime;
use callgate::io::database::{Database, VerifyReport, Work};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor as _, Row as _};
use tokio::sync::oneshot;

fn url(folder: &tempfile::TempDir) -> String {
    format!("sqlite://{}/callgate.db", folder.path().display())
}

fn record(id: &str, org: &str, client: &str, status: ConsentStatus) -> ConsentRecord {
    ConsentRecord {
        id: id.into(),
        org_id: org.into(),
        client_id: client.into(),
        call_id: Some(format!("call-{id}")),
        status,
        method: Method::Keypress,
        language_code: "es".into(),
        prompt_version: "v1".into(),
        actor: Actor::Client { id: client.into() },
        at: WallTime(1_790_000_000_000),
        reason: Some("dijo «no», señor".into()),
        evidence: serde_json::json!({ "played": 1.5, "line": [1, null, "\u{7}"] }),
    }
}

fn event(org: &str, n: u64) -> Event {
    Event {
        org_id: org.into(),
        kind: EventKind::CallUnrecorded,
        actor: Actor::System,
        call_id: Some(format!("call{n}")),
        client_id: Some("client".into()),
        // A clock that goes backwards changes nothing: the order is the chain's.
        at: WallTime(1_790_000_000_000 - n as i64 * 1_000),
        position: None,
        detail: serde_json::json!({ "n": n }),
    }
}

async fn grant(database: &Database, record: ConsentRecord, seen: u64) -> Result<Receipt<Grant>, NotSealed> {
    let (done, answer) = oneshot::channel();
    let then = Box::new(move |receipt| drop(done.send(receipt)));
    database.ledger().append(Work::Grant(Grant { record, seen }, then)).unwrap();
    answer.await.unwrap()
}

async fn refuse(database: &Database, record: ConsentRecord) -> bool {
    let (done, answer) = oneshot::channel();
    let then = Box::new(move |written| {
        let _ = done.send(written);
    });
    database.ledger().append(Work::Refuse(record, then)).unwrap();
    answer.await.unwrap()
}

async fn connection(url: &str) -> SqliteConnection {
    url.parse::<SqliteConnectOptions>().unwrap().connect().await.unwrap()
}

/// A small log: grants, a refusal, events, in two organisations.
async fn small_log(folder: &tempfile::TempDir) -> Database {
    let database = Database::open(&url(folder)).await.unwrap();
    grant(&database, record("a", "org1", "client1", ConsentStatus::Granted), 0).await.unwrap();
    assert!(refuse(&database, record("b", "org1", "client1", ConsentStatus::Revoked)).await);
    for n in 0..3 {
        database.ledger().append(Work::Audit(event("org1", n), None)).unwrap();
        database.ledger().append(Work::Audit(event("org2", n), None)).unwrap();
    }
    database.ledger().flush().await;
    database
}

#[tokio::test]
async fn a_grant_is_receipted_only_once_and_only_after_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&url(&folder)).await.unwrap();
    let receipt = grant(&database, record("a", "org", "client", ConsentStatus::Granted), 0).await.unwrap();
    assert_eq!((receipt.seq().0, receipt.record().id.as_str()), (1, "a"));
    assert!(database.grant_is_durable("org", 1, "a").await.unwrap());
    assert!(!database.grant_is_durable("org", 1, "b").await.unwrap() && !database.grant_is_durable("org2", 1, "a").await.unwrap());
    let again = grant(&database, record("a", "org", "client", ConsentStatus::Granted), 1).await;
    assert_eq!(again, Err(NotSealed::Unavailable), "one record, one receipt");
    let after = grant(&database, record("c", "org", "client", ConsentStatus::Granted), 1).await;
    assert_eq!(after.unwrap().seq().0, 2, "one bad piece of work does not sink the next");
}

#[tokio::test]
async fn a_grant_older_than_a_revocation_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&url(&folder)).await.unwrap();
    grant(&database, record("a", "org", "client", ConsentStatus::Granted), 0).await.unwrap();
    let seen = database.standing("org", "client").await.unwrap();
    assert_eq!((seen.status, seen.seen), (ConsentStatus::Granted, 1));
    assert!(refuse(&database, record("b", "org", "client", ConsentStatus::Revoked)).await);
    let late = grant(&database, record("c", "org", "client", ConsentStatus::Granted), seen.seen).await;
    assert_eq!(late, Err(NotSealed::Superseded));
    assert_eq!(database.standing("org", "client").await.unwrap().status, ConsentStatus::Revoked);
    let recall = |client: &str| {
        let (done, answer) = oneshot::channel();
        let then = Box::new(move |receipt| drop(done.send(receipt)));
        database.ledger().append(Work::Recall { org_id: "org".into(), client_id: client.into(), then }).unwrap();
        answer
    };
    assert_eq!(recall("client").await.unwrap(), Err(NotSealed::Superseded), "nor does a standing one that was revoked");
    assert_eq!(recall("nobody").await.unwrap(), Err(NotSealed::Superseded));
    grant(&database, record("d", "org", "client", ConsentStatus::Granted), 2).await.unwrap();
    assert_eq!(recall("client").await.unwrap().unwrap().record().id, "d");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_grants_at_once_are_a_handful_of_transactions() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&url(&folder)).await.unwrap();
    let before = database.ledger().commits();
    let answered = Arc::new(AtomicUsize::new(0));
    for n in 0..1_000 {
        let answered = Arc::clone(&answered);
        let then = Box::new(move |receipt: Result<Receipt<Grant>, NotSealed>| {
            assert!(receipt.is_ok());
            answered.fetch_add(1, Ordering::SeqCst);
        });
        let record = record(&format!("r{n}"), &format!("org{}", n % 3), &format!("client{n}"), ConsentStatus::Granted);
        database.ledger().append(Work::Grant(Grant { record, seen: 0 }, then)).unwrap();
    }
    database.ledger().flush().await;
    assert_eq!(answered.load(Ordering::SeqCst), 1_000);
    let commits = database.ledger().commits() - before;
    assert!(commits <= 20, "{commits} transactions");
    let report = VerifyReport::of(&url(&folder)).await.unwrap();
    assert_eq!((report.entries, report.broken, report.heads.len()), (1_000, None, 3));
}

#[tokio::test]
async fn what_is_written_cannot_be_changed_through_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let _database = small_log(&folder).await;
    let mut raw = connection(&url(&folder)).await;
    for attempt in [
        r#"UPDATE "ConsentRecord" SET "status" = 'GRANTED'"#,
        r#"DELETE FROM "ConsentRecord""#,
        r#"UPDATE "AuditEvent" SET "kind" = 'x'"#,
        r#"DELETE FROM "AuditEvent" WHERE "seq" = 2"#,
        r#"INSERT OR REPLACE INTO "AuditEvent" SELECT "orgId", "seq", 'x', 'x', "kind", "clientId", "callId", "at" FROM "AuditEvent" WHERE "seq" = 1 AND "orgId" = 'org1'"#,
        r#"REPLACE INTO "ConsentRecord" SELECT "id", "orgId", "clientId", "callId", "version", 'GRANTED', "method", "languageCode", "promptVersion", "at", "auditSeq", "record" FROM "ConsentRecord" WHERE "id" = 'b'"#,
    ] {
        let why = raw.execute(attempt).await.unwrap_err().to_string();
        assert!(why.contains("append-only"), "{attempt}: {why}");
    }
    assert_eq!(VerifyReport::of(&url(&folder)).await.unwrap().broken, None);
}

#[tokio::test]
async fn p10_every_edit_of_history_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let database = small_log(&folder).await;
    drop(database);
    let url = url(&folder);
    let whole = VerifyReport::of(&url).await.unwrap();
    assert_eq!((whole.entries, whole.broken.as_ref(), whole.heads.len()), (8, None, 2));
    let mut raw = connection(&url).await;
    for trigger in [
        "ConsentRecord_no_update",
        "ConsentRecord_no_delete",
        "ConsentRecord_no_replace",
        "AuditEvent_no_update",
        "AuditEvent_no_delete",
        "AuditEvent_no_replace",
    ] {
        raw.execute(AssertSqlSafe(format!(r#"DROP TRIGGER "{trigger}""#))).await.unwrap();
    }
    let mut edits = 0;
    // Every byte of every entry, hash and record, one at a time.
    for (table, column) in [("AuditEvent", "entry"), ("AuditEvent", "hash"), ("ConsentRecord", "record")] {
        let rows = sqlx::query(AssertSqlSafe(format!(r#"SELECT rowid, "{column}" FROM "{table}""#))).fetch_all(&mut raw).await.unwrap();
        for row in rows {
            let (rowid, text): (i64, String) = (row.get(0), row.get(1));
            for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= if bytes[at] < 0x80 { 1 } else { continue };
                let Ok(edited) = String::from_utf8(bytes) else { continue };
                let set = || AssertSqlSafe(format!(r#"UPDATE "{table}" SET "{column}" = $1 WHERE rowid = $2"#));
                sqlx::query(set()).bind(&edited).bind(rowid).execute(&mut raw).await.unwrap();
                let report = VerifyReport::of(&url).await.unwrap();
                assert!(report.broken.is_some(), "{table}.{column}, row {rowid}, byte {at}: {edited}");
                sqlx::query(set()).bind(&text).bind(rowid).execute(&mut raw).await.unwrap();
                edits += 1;
            }
        }
    }
    assert!(edits > 3_000, "{edits} edits were tried");
    assert_eq!(VerifyReport::of(&url).await.unwrap(), whole, "put back, it holds again");
    for (edit, named) in [
        (r#"DELETE FROM "AuditEvent" WHERE "orgId" = 'org1' AND "seq" = 3"#, "entry 3 of org1 is missing"),
        (r#"UPDATE "AuditEvent" SET "seq" = 99 WHERE "orgId" = 'org1' AND "seq" = 4"#, "entry 3 of org1 is missing"),
        (r#"DELETE FROM "ConsentRecord" WHERE "id" = 'b'"#, "consent record of entry 2 of org1"),
    ] {
        raw.execute(edit).await.unwrap();
        let broken = VerifyReport::of(&url).await.unwrap().broken.unwrap().to_string();
        assert!(broken.contains(named) || broken.contains("consent record of entry 2"), "{edit}: {broken}");
    }
}

#[tokio::test]
async fn a_dead_database_answers_everybody_within_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&url(&folder)).await.unwrap();
    // Somebody holds the write lock and does not let go.
    let mut holder = connection(&url(&folder)).await;
    holder.execute("BEGIN EXCLUSIVE").await.unwrap();
    let began = tokio::time::Instant::now();
    let answer = grant(&database, record("a", "org", "client", ConsentStatus::Granted), 0).await;
    assert_eq!(answer, Err(NotSealed::Unavailable));
    assert!(began.elapsed() < Duration::from_secs(7));
    holder.execute("ROLLBACK").await.unwrap();
    assert!(grant(&database, record("b", "org", "client", ConsentStatus::Granted), 0).await.is_ok(), "and it lives again");
    assert_eq!(VerifyReport::of(&url(&folder)).await.unwrap().broken, None);
}

#[tokio::test]
async fn what_is_no_database_is_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.db");
    std::fs::write(&path, "this is a text, and long enough to be taken for a page of a database".repeat(100)).unwrap();
    let why = Database::open(&format!("sqlite://{}", path.display())).await.err().unwrap().to_string();
    assert!(why.contains("text.db") && why.contains("cannot be opened"), "{why}");
    let why = Database::open("postgres://user:hunter2@host/db").await.err().unwrap().to_string();
    assert!(why.contains("sqlite://") && !why.contains("hunter2"), "{why}");
}
