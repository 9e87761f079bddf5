//! The ledger: append-only, chained, durable before it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use callgate::engine::call::NotSealed;
use callgate::engine::consent::{Actor, ConsentRecord, ConsentStatus, Grant, Method, Queues, Receipt};
use callgate::engine::ledger::{Event, EventKind};
use callgate::engine::time::WallTime;
use callgate::io::database::{Act, Acted, Database, Revocation, VerifyReport, Work};
use sqlx::AssertSqlSafe;
use tokio::sync::oneshot;

use crate::common::databases::{Cluster, Place, Raw};

on_both! {
    a_grant_is_receipted_only_once_and_only_after_the_commit,
    a_grant_older_than_a_revocation_opens_nothing,
    a_thousand_grants_at_once_are_a_handful_of_transactions,
    what_is_written_cannot_be_changed_through_the_database,
    p10_entries_that_are_dropped_doubled_swapped_or_cut_off_are_named,
    a_database_in_use_verifies_at_every_moment,
    two_writers_keep_one_chain,
    a_hundred_decisions_at_one_moment_through_two_writers_keep_one_chain_per_organisation,
    a_yes_after_a_no_on_another_call_does_not_revive_an_older_call,
    a_no_handed_in_twice_is_written_once_and_answered_twice,
    what_belongs_to_nobody_or_forges_a_decision_is_refused,
    what_the_database_cannot_take_sinks_nothing_else,
    chains_of_every_size_verify,
    killed_at_any_moment_it_has_every_receipt_and_an_unbroken_chain,
    a_dead_database_answers_everybody_within_its_bound_and_loses_no_line,
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
        evidence: serde_json::json!({ "played": 1.5, "line": [1, null, "\u{7}"] }).into(),
        policy_version: None,
        policy_basis: None,
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
    database.ledger().append(Work::Grant(Grant { record: record.into(), seen }, then)).unwrap();
    answer.await.unwrap()
}

async fn refuse(database: &Database, record: ConsentRecord) -> bool {
    let (done, answer) = oneshot::channel();
    let then = Box::new(move |acted| drop(done.send(acted)));
    let revocation = Box::new(Revocation { record, queues: Queues::Nothing });
    database.ledger().append(Work::Act(Act::Revoke(revocation), then)).unwrap();
    matches!(answer.await.unwrap(), Some(Acted::Revoked(_)))
}

/// A small log: grants, a refusal, events, in two organisations.
async fn small_log(place: &Place) -> Database {
    let database = Database::open(&place.url).await.unwrap();
    grant(&database, record("a", "org1", "client1", ConsentStatus::Granted), 0).await.unwrap();
    assert!(refuse(&database, record("b", "org1", "client1", ConsentStatus::Revoked)).await);
    for n in 0..2 {
        database.ledger().append(Work::Audit(event("org1", n), None)).unwrap();
        database.ledger().append(Work::Audit(event("org2", n), None)).unwrap();
    }
    database.ledger().flush().await;
    database
}

async fn a_grant_is_receipted_only_once_and_only_after_the_commit(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    let receipt = grant(&database, record("a", "org", "client", ConsentStatus::Granted), 0).await.unwrap();
    assert_eq!((receipt.seq().0, receipt.record().id.as_str()), (1, "a"));
    assert!(database.grant_is_durable("org", 1, "a").await.unwrap());
    assert!(!database.grant_is_durable("org", 1, "b").await.unwrap() && !database.grant_is_durable("org2", 1, "a").await.unwrap());
    let again = grant(&database, record("a", "org", "client", ConsentStatus::Granted), 1).await;
    assert_eq!(again, Err(NotSealed::Unavailable), "one record, one receipt");
    let after = grant(&database, record("c", "org", "client", ConsentStatus::Granted), 1).await;
    assert_eq!(after.unwrap().seq().0, 2, "one bad piece of work does not sink the next");
}

async fn a_grant_older_than_a_revocation_opens_nothing(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
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
        database.ledger().append(Work::Recall { org_id: "org".into(), client_id: client.into(), call_id: "call".into(), then }).unwrap();
        answer
    };
    assert_eq!(recall("client").await.unwrap(), Err(NotSealed::Superseded), "nor does a standing one that was revoked");
    assert_eq!(recall("nobody").await.unwrap(), Err(NotSealed::Superseded));
    grant(&database, record("d", "org", "client", ConsentStatus::Granted), 2).await.unwrap();
    assert_eq!(recall("client").await.unwrap().unwrap().record().id, "d");
}

async fn a_thousand_grants_at_once_are_a_handful_of_transactions(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    let before = database.ledger().commits();
    let answered = Arc::new(AtomicUsize::new(0));
    for n in 0..1_000 {
        let answered = Arc::clone(&answered);
        let then = Box::new(move |receipt: Result<Receipt<Grant>, NotSealed>| {
            assert!(receipt.is_ok());
            answered.fetch_add(1, Ordering::SeqCst);
        });
        let record = record(&format!("r{n}"), &format!("org{}", n % 3), &format!("client{n}"), ConsentStatus::Granted);
        database.ledger().append(Work::Grant(Grant { record: record.into(), seen: 0 }, then)).unwrap();
    }
    database.ledger().flush().await;
    assert_eq!(answered.load(Ordering::SeqCst), 1_000);
    let commits = database.ledger().commits() - before;
    assert!(commits <= 20, "{commits} transactions");
    let report = VerifyReport::of(&place.url).await.unwrap();
    assert_eq!((report.entries, report.broken, report.heads.len()), (1_000, None, 3));
}

async fn what_is_written_cannot_be_changed_through_the_database(place: &Place) {
    let _database = small_log(place).await;
    let mut raw = place.raw().await;
    let entry = r#"INTO "AuditEvent" SELECT "orgId", "seq", 'x', 'x', "kind", "clientId", "callId", "at" FROM "AuditEvent" WHERE "seq" = 1 AND "orgId" = 'org1'"#;
    // Each of a record's three keys, which REPLACE would take for a reason to delete the row that holds it.
    let record = |id: &str, version: &str, seq: &str| {
        format!(
            r#"INTO "ConsentRecord" SELECT {id}, "orgId", "clientId", "callId", {version}, 'GRANTED', "method", "languageCode", "promptVersion", "at", {seq}, "record", "salt" FROM "ConsentRecord" WHERE "id" = 'b'"#
        )
    };
    let attempts = vec![
        r#"UPDATE "ConsentRecord" SET "status" = 'GRANTED'"#.to_owned(),
        r#"DELETE FROM "ConsentRecord""#.to_owned(),
        r#"UPDATE "AuditEvent" SET "kind" = 'x'"#.to_owned(),
        r#"DELETE FROM "AuditEvent" WHERE "seq" = 2"#.to_owned(),
    ];
    let replacements = vec![
        format!("INSERT OR REPLACE {entry}"),
        format!("REPLACE {entry}"),
        format!(r#"INSERT {entry} ON CONFLICT DO UPDATE SET "hash" = 'x'"#),
        format!("REPLACE {}", record(r#""id""#, "77", "77")),
        format!("REPLACE {}", record("'new'", r#""version""#, "77")),
        format!("REPLACE {}", record("'new'", "77", r#""auditSeq""#)),
        format!(r#"INSERT {} ON CONFLICT DO UPDATE SET "status" = 'GRANTED'"#, record(r#""id""#, "77", "77")),
    ];
    let on_conflict =
        format!(r#"INSERT {entry} ON CONFLICT ("orgId", "seq") DO UPDATE SET "hash" = 'x'"#).replace("'x', 'x'", r#""hash", "entry""#);
    let emptied = [r#"TRUNCATE "AuditEvent""#, r#"TRUNCATE "ConsentRecord" CASCADE"#].map(str::to_owned);
    let ways = if place.is_postgres() { emptied.into_iter().chain([on_conflict]).collect() } else { replacements };
    for attempt in attempts.into_iter().chain(ways) {
        let why = raw.execute(attempt.clone()).await.unwrap_err().to_string();
        assert!(why.contains("append-only"), "{attempt}: {why}");
    }
    assert_eq!(VerifyReport::of(&place.url).await.unwrap().broken, None);
}

/// Takes every guard off, as somebody who holds the database can, and keeps a good copy at hand.
async fn unguarded(place: &Place) -> Raw {
    let mut raw = place.raw().await;
    for table in ["ConsentRecord", "AuditEvent"] {
        if place.is_postgres() {
            raw.execute(format!(r#"ALTER TABLE "{table}" DISABLE TRIGGER USER"#)).await.unwrap();
        } else {
            for rule in ["update", "delete", "replace"] {
                raw.execute(format!(r#"DROP TRIGGER "{table}_no_{rule}""#)).await.unwrap();
            }
        }
        raw.execute(format!(r#"CREATE TEMP TABLE "{table}_good" AS SELECT * FROM "{table}""#)).await.unwrap();
    }
    if !place.is_postgres() {
        raw.execute("PRAGMA ignore_check_constraints = 1; PRAGMA synchronous = OFF").await.unwrap();
    }
    raw
}

async fn put_back(raw: &mut Raw) {
    raw.execute(
        r#"BEGIN; DELETE FROM "AuditEvent"; INSERT INTO "AuditEvent" SELECT * FROM "AuditEvent_good";
           DELETE FROM "ConsentRecord"; INSERT INTO "ConsentRecord" SELECT * FROM "ConsentRecord_good"; COMMIT"#,
    )
    .await
    .unwrap();
}

const COLUMNS: [(&str, &str, &[&str]); 2] = [
    ("AuditEvent", r#""orgId" || "seq""#, &["orgId", "seq", "hash", "entry", "kind", "clientId", "callId", "at"]),
    (
        "ConsentRecord",
        r#""id""#,
        &[
            "id",
            "orgId",
            "clientId",
            "callId",
            "version",
            "status",
            "method",
            "languageCode",
            "promptVersion",
            "at",
            "auditSeq",
            "record",
            "salt",
        ],
    ),
];

#[tokio::test]
async fn p10_every_edit_of_history_is_seen() {
    let place = Place::sqlite();
    drop(small_log(&place).await);
    let url = &place.url;
    let whole = VerifyReport::of(url).await.unwrap();
    assert_eq!((whole.entries, whole.broken.as_ref(), whole.heads.len()), (6, None, 2));
    let mut raw = unguarded(&place).await;
    let mut edits = 0;
    // Every byte of everything stored, one at a time, whatever that makes of the text; a byte more; nothing at all.
    for (table, key, columns) in COLUMNS {
        for column in columns {
            let cells = format!(r#"SELECT {key}, CAST("{column}" AS BLOB) FROM "{table}_good""#);
            let Raw::Sqlite(connection) = &mut raw else { panic!("{url}") };
            let cells: Vec<(String, Option<Vec<u8>>)> = sqlx::query_as(AssertSqlSafe(cells)).fetch_all(connection).await.unwrap();
            for (row, bytes) in cells {
                let mut versions: Vec<Option<Vec<u8>>> = vec![bytes.as_ref().map(|bytes| [bytes, &b"1"[..]].concat())];
                versions.push(if bytes.is_none() { Some(b"x".to_vec()) } else { None });
                let bytes = bytes.unwrap_or_default();
                for at in 0..bytes.len() {
                    let mut flipped = bytes.clone();
                    flipped[at] ^= 1;
                    versions.push(Some(flipped));
                }
                for version in versions {
                    let edit = AssertSqlSafe(format!(r#"UPDATE "{table}" SET "{column}" = CAST($1 AS TEXT) WHERE {key} = $2"#));
                    let Raw::Sqlite(connection) = &mut raw else { panic!("{url}") };
                    match sqlx::query(edit).bind(&version).bind(&row).execute(connection).await {
                        Ok(done) if done.rows_affected() == 1 => edits += 1,
                        _ => continue, // a key that is taken, a NULL that is not allowed: no such forgery can be stored
                    }
                    let report = VerifyReport::of(url).await.unwrap();
                    let broken = report.broken.unwrap_or_else(|| panic!("{table}.{column} of {row} became {version:?} unseen"));
                    if table == "AuditEvent" && ["hash", "entry", "kind", "clientId", "callId", "at"].contains(column) {
                        assert!(broken.to_string().contains(&format!("entry {} of {}", &row[4..], &row[..4])), "{row}: {broken}");
                    }
                    put_back(&mut raw).await;
                }
            }
        }
    }
    assert!(edits > 3_500, "{edits} edits were tried");
    assert_eq!(VerifyReport::of(url).await.unwrap(), whole, "put back, it holds again");
}

/// PostgreSQL stores no text that is none, no word that is none of an enum's and no time that is none: every edit it does store is seen.
#[tokio::test]
async fn p10_every_edit_that_postgres_stores_is_seen() {
    let place = Place::postgres().await;
    drop(small_log(&place).await);
    let whole = VerifyReport::of(&place.url).await.unwrap();
    assert_eq!((whole.entries, whole.broken.as_ref(), whole.heads.len()), (6, None, 2));
    let mut raw = unguarded(&place).await;
    let mut edits = 0;
    for (table, key, columns) in COLUMNS {
        let key = key.replace(r#""seq""#, r#""seq"::text"#);
        for column in columns {
            let Raw::Postgres(connection) = &mut raw else { panic!("{}", place.url) };
            let cells = format!(r#"SELECT {key}, "{column}"::text, pg_typeof("{column}")::text FROM "{table}_good""#);
            let cells: Vec<(String, Option<String>, String)> = sqlx::query_as(AssertSqlSafe(cells)).fetch_all(connection).await.unwrap();
            for (row, value, kind) in cells {
                // Each seventh letter of a text, the last one and one more; the next number, the next millisecond, another word.
                let to = match (kind.as_str(), value) {
                    ("text", None) => vec!["'x'".to_owned()],
                    ("text", Some(value)) => (1..=value.chars().count())
                        .rev()
                        .step_by(7)
                        .map(|at| format!(r#"overlay("{column}" placing chr(ascii(substr("{column}", {at}, 1)) + 1) from {at} for 1)"#))
                        .chain([format!(r#""{column}" || '1'"#), "NULL".to_owned()])
                        .collect(),
                    ("bigint", _) => vec![format!(r#""{column}" + 100"#), "0".to_owned(), "NULL".to_owned()],
                    ("timestamp with time zone", _) => vec![format!(r#""{column}" + interval '1 millisecond'"#), "NULL".to_owned()],
                    _ => ["GRANTED", "REVOKED", "KEYPRESS", "VERBAL"].map(|word| format!("'{word}'")).to_vec(),
                };
                for to in to {
                    let edit =
                        format!(r#"UPDATE "{table}" SET "{column}" = {to} WHERE {key} = '{row}' AND "{column}" IS DISTINCT FROM {to}"#);
                    let Raw::Postgres(connection) = &mut raw else { panic!("{}", place.url) };
                    match sqlx::query(AssertSqlSafe(edit)).execute(connection).await {
                        Ok(done) if done.rows_affected() == 1 => edits += 1,
                        _ => continue, // a key that is taken, a NULL or a word that is not allowed, nothing changed
                    }
                    let report = VerifyReport::of(&place.url).await.unwrap();
                    assert!(report.broken.is_some(), "{table}.{column} of {row} became {to} unseen");
                    put_back(&mut raw).await;
                }
            }
        }
    }
    assert!(edits > 500, "{edits} edits were tried");
    assert_eq!(VerifyReport::of(&place.url).await.unwrap(), whole, "put back, it holds again");
}

async fn p10_entries_that_are_dropped_doubled_swapped_or_cut_off_are_named(place: &Place) {
    drop(small_log(place).await);
    let url = &place.url;
    let mut raw = unguarded(place).await;
    let all = r#""hash", "entry", "kind", "clientId", "callId", "at" FROM "AuditEvent_good" WHERE "orgId" = 'org1' AND "seq""#;
    for (edit, named) in [
        (r#"DELETE FROM "AuditEvent" WHERE "orgId" = 'org1' AND "seq" = 3"#.to_owned(), "entry 3 of org1 is missing: entry 4 stands"),
        (r#"DELETE FROM "AuditEvent" WHERE "orgId" = 'org1' AND "seq" = 1"#.to_owned(), "entry 1 of org1 is missing"),
        (r#"UPDATE "AuditEvent" SET "seq" = 99 WHERE "orgId" = 'org1' AND "seq" = 3"#.to_owned(), "entry 3 of org1 is missing"),
        // Doubled at the end, and in the middle with everything after it moved on.
        (format!(r#"INSERT INTO "AuditEvent" SELECT 'org1', 5, {all} = 4"#), "entry 5 of org1 is not an entry of this chain"),
        (
            format!(
                r#"DELETE FROM "AuditEvent" WHERE "orgId" = 'org1' AND "seq" > 2; INSERT INTO "AuditEvent" SELECT 'org1', "seq" + 1, {all} > 2;
                   INSERT INTO "AuditEvent" SELECT 'org1', 3, {all} = 2"#
            ),
            "entry 3 of org1 is not an entry of this chain",
        ),
        (
            format!(
                r#"DELETE FROM "AuditEvent" WHERE "orgId" = 'org1' AND "seq" > 2; INSERT INTO "AuditEvent" SELECT 'org1', 7 - "seq", {all} > 2"#
            ),
            "entry 3 of org1 is not an entry of this chain",
        ),
        // Into another organisation's chain.
        (r#"UPDATE "AuditEvent" SET "orgId" = 'org2' WHERE "orgId" = 'org1' AND "seq" = 4"#.to_owned(), "entry 3 of org2 is missing"),
        (format!(r#"INSERT INTO "AuditEvent" SELECT 'org2', 3, {all} = 3"#), "entry 3 of org2 is not an entry of this chain"),
        (format!(r#"INSERT INTO "AuditEvent" SELECT 'org3', 1, {all} = 1"#), "entry 1 of org3 is not an entry of this chain"),
        // Cut off at the end, with a record that had been written beyond the cut.
        (r#"DELETE FROM "AuditEvent" WHERE "orgId" = 'org1' AND "seq" > 1"#.to_owned(), "entry 2 of org1 was removed: a consent record"),
        (r#"DELETE FROM "AuditEvent""#.to_owned(), "entry 1 of org1 was removed: a consent record"),
        (r#"DELETE FROM "ConsentRecord" WHERE "id" = 'b'"#.to_owned(), "consent record of entry 2 of org1"),
        // A no made into a yes, where readers look.
        (r#"UPDATE "ConsentRecord" SET "status" = 'GRANTED' WHERE "id" = 'b'"#.to_owned(), "consent record of entry 2 of org1"),
        (
            r#"INSERT INTO "ConsentRecord" SELECT 'forged', "orgId", "clientId", "callId", 9, "status", "method", "languageCode",
               "promptVersion", "at", 3, "record", "salt" FROM "ConsentRecord_good" WHERE "id" = 'a'"#
                .to_owned(),
            "consent record of entry 3 of org1",
        ),
    ] {
        raw.execute(edit.clone()).await.unwrap();
        let broken = VerifyReport::of(url).await.unwrap().broken.map(|broken| broken.to_string()).unwrap_or_default();
        assert!(broken.contains(named), "{edit}: {broken}");
        put_back(&mut raw).await;
    }
    // What no chain can see of itself: its end cut off with all that stood on it. The head that was copied out can.
    let head = VerifyReport::of(url).await.unwrap().head();
    raw.execute(r#"DELETE FROM "AuditEvent" WHERE "orgId" = 'org1' AND "seq" = 4"#).await.unwrap();
    let cut = VerifyReport::of(url).await.unwrap();
    assert!(cut.broken.is_none() && cut.head() != head);
}

async fn a_database_in_use_verifies_at_every_moment(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    let writing = tokio::spawn({
        let database = database.clone();
        async move {
            for n in 0..400 {
                grant(&database, record(&format!("r{n}"), "org", &format!("c{n}"), ConsentStatus::Granted), 0).await.unwrap();
            }
        }
    });
    let mut seen = 0;
    while !writing.is_finished() {
        let report = VerifyReport::of(&place.url).await.unwrap();
        assert_eq!(report.broken, None, "after {} entries", report.entries);
        assert!(report.entries >= seen);
        seen = report.entries;
    }
    writing.await.unwrap();
    assert_eq!(VerifyReport::of(&place.url).await.unwrap().entries, 400);
}

async fn two_writers_keep_one_chain(place: &Place) {
    let one = Database::open(&place.url).await.unwrap();
    let other = Database::open(&place.url).await.unwrap();
    for n in 0..20 {
        let database = if n % 3 == 0 { &one } else { &other };
        grant(database, record(&format!("r{n}"), "org", "client", ConsentStatus::Granted), n).await.unwrap();
    }
    let report = VerifyReport::of(&place.url).await.unwrap();
    assert_eq!((report.entries, report.broken), (20, None));
}

/// Two gateways on one database: every client says yes on one of them and no on the other, in the same moment.
async fn a_hundred_decisions_at_one_moment_through_two_writers_keep_one_chain_per_organisation(place: &Place) {
    let gateways = [Database::open(&place.url).await.unwrap(), Database::open(&place.url).await.unwrap()];
    let (mut yes, mut no) = (Vec::new(), Vec::new());
    for n in 0..100 {
        let (org, client) = (format!("org{}", n % 5), format!("client{n}"));
        let (one, other) = (gateways[n % 2].clone(), gateways[(n + 1) % 2].clone());
        let (given, taken) = (
            record(&format!("yes{n}"), &org, &client, ConsentStatus::Granted),
            record(&format!("no{n}"), &org, &client, ConsentStatus::Revoked),
        );
        yes.push(tokio::spawn(async move { grant(&one, given, 0).await.is_ok() }));
        no.push(tokio::spawn(async move { refuse(&other, taken).await }));
    }
    let mut granted = 0;
    for task in yes {
        granted += u64::from(task.await.unwrap());
    }
    for task in no {
        assert!(task.await.unwrap(), "every no is written");
    }
    for n in 0..100 {
        let standing = gateways[0].standing(&format!("org{}", n % 5), &format!("client{n}")).await.unwrap();
        // P2: a yes that came after the no was superseded, and one before it is.
        assert_eq!(standing.status, ConsentStatus::Revoked, "client{n}");
    }
    let report = VerifyReport::of(&place.url).await.unwrap();
    assert_eq!((report.entries, report.broken, report.heads.len()), (100 + granted, None, 5));
}

async fn what_the_database_cannot_take_sinks_nothing_else(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    grant(&database, record("taken", "org", "somebody", ConsentStatus::Granted), 0).await.unwrap();
    let commits = database.ledger().commits();
    let answers: Vec<_> = (0..200)
        .map(|n| {
            let (done, answer) = oneshot::channel();
            // Every fiftieth has an id that is taken already.
            let id = if n % 50 == 7 { "taken".to_owned() } else { format!("r{n}") };
            let record = record(&id, &format!("org{}", n % 2), &format!("client{n}"), ConsentStatus::Granted);
            let then = Box::new(move |receipt: Result<Receipt<Grant>, NotSealed>| drop(done.send(receipt)));
            database.ledger().append(Work::Grant(Grant { record: record.into(), seen: 0 }, then)).unwrap();
            answer
        })
        .collect();
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap().is_ok(), n % 50 != 7, "piece {n}");
    }
    assert!(database.ledger().commits() - commits <= 10, "{}", database.ledger().commits());
    let report = VerifyReport::of(&place.url).await.unwrap();
    assert_eq!((report.entries, report.broken), (1 + 196, None));
}

async fn a_yes_after_a_no_on_another_call_does_not_revive_an_older_call(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    grant(&database, record("a", "org", "client", ConsentStatus::Granted), 0).await.unwrap();
    assert!(refuse(&database, record("b", "org", "client", ConsentStatus::Revoked)).await);
    grant(&database, record("c", "org", "client", ConsentStatus::Granted), 2).await.unwrap();
    let old = grant(&database, record("d", "org", "client", ConsentStatus::Granted), 1).await;
    assert_eq!(old, Err(NotSealed::Superseded), "its call began before the no");
    let history = database.consent_history("org", "client", 10).await.unwrap();
    let told: Vec<_> = history.iter().map(|row| (row.version, row.record.id.as_str(), row.seq)).collect();
    assert_eq!(told, [(3, "c", 3), (2, "b", 2), (1, "a", 1)]);
}

async fn a_no_handed_in_twice_is_written_once_and_answered_twice(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    let no = record("a", "org", "client", ConsentStatus::Revoked);
    assert!(refuse(&database, no.clone()).await && refuse(&database, no.clone()).await);
    let other = ConsentRecord { reason: None, ..no };
    assert!(!refuse(&database, other).await, "another record by the same id is no retry");
    assert_eq!(VerifyReport::of(&place.url).await.unwrap().entries, 1);
}

async fn what_belongs_to_nobody_or_forges_a_decision_is_refused(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    for event in [event("", 1), Event { kind: EventKind::ConsentGranted, ..event("org", 1) }] {
        let (done, answer) = oneshot::channel();
        let then = Box::new(move |written| {
            let _ = done.send(written);
        });
        database.ledger().append(Work::Audit(event, Some(then))).unwrap();
        assert_eq!(answer.await, Ok(false));
    }
    assert_eq!(VerifyReport::of(&place.url).await.unwrap().entries, 0);
}

async fn chains_of_every_size_verify(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    let mut length = 0;
    for size in [0, 1, 2, 3, 255, 256, 257] {
        while length < size {
            database.ledger().append(Work::Audit(event("org", length), None)).unwrap();
            length += 1;
        }
        database.ledger().flush().await;
        let report = VerifyReport::of(&place.url).await.unwrap();
        assert_eq!((report.entries, report.broken), (size, None));
    }
}

/// The crash test's other half: appends until it is killed, telling each receipt after it has it.
#[tokio::test]
async fn crash_child() {
    let Ok(url) = std::env::var("CALLGATE_CRASH_CHILD") else { return };
    let database = Database::open(&url).await.unwrap();
    for n in 0.. {
        let id = format!("{}-{n}", std::process::id());
        grant(&database, record(&id, "org", &id, ConsentStatus::Granted), 0).await.unwrap();
        println!("receipt {id}");
    }
}

async fn killed_at_any_moment_it_has_every_receipt_and_an_unbroken_chain(place: &Place) {
    use std::io::BufRead as _;
    let url = &place.url;
    let mut receipts = 0;
    for round in 0..12 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ledger::crash_child", "--nocapture"])
            .env("CALLGATE_CRASH_CHILD", url)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut told = Vec::new();
        // The first receipt, then a little longer, not the same each time; the first round dies while the tables are made.
        if round > 0 {
            let first = lines.find_map(|line| line.split_once("receipt ").map(|(_, id)| id.to_owned()));
            told.extend(first.map_or_else(|| panic!("round {round}: no receipt"), Some));
        }
        std::thread::sleep(Duration::from_micros(700 * round * round));
        child.kill().unwrap();
        child.wait().unwrap();
        told.extend(lines.filter_map(|line| line.split_once("receipt ").map(|(_, id)| id.to_owned())));
        receipts += told.len() as u64;
        let database = Database::open(url).await.unwrap();
        for id in told {
            assert_eq!(database.standing("org", &id).await.unwrap().status, ConsentStatus::Granted, "{id} had its receipt");
        }
        let report = VerifyReport::of(url).await.unwrap();
        assert_eq!(report.broken, None, "round {round}");
        assert!(report.entries >= receipts && report.entries <= receipts + round + 1, "{} of {receipts}", report.entries);
    }
    assert!(receipts > 50, "{receipts}");
}

async fn a_dead_database_answers_everybody_within_its_bound_and_loses_no_line(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    // Somebody holds what the writer needs and does not let go.
    let mut holder = place.raw().await;
    let hold = if place.is_postgres() { r#"BEGIN; LOCK TABLE "AuditEvent""# } else { "BEGIN EXCLUSIVE" };
    holder.execute(hold).await.unwrap();
    let began = tokio::time::Instant::now();
    for n in 0..20 {
        database.ledger().append(Work::Audit(event("org", n), None)).unwrap();
    }
    // More than one transaction holds, and some that come while the first is failing.
    let answers: Vec<_> = (0..5_000)
        .map(|n| {
            let (done, answer) = oneshot::channel();
            let record = record(&format!("r{n}"), "org", "client", ConsentStatus::Granted);
            let then = Box::new(move |receipt| drop(done.send(receipt)));
            database.ledger().append(Work::Grant(Grant { record: record.into(), seen: 0 }, then)).unwrap();
            answer
        })
        .collect();
    for answer in answers {
        assert_eq!(answer.await.unwrap(), Err(NotSealed::Unavailable));
    }
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    holder.execute("ROLLBACK").await.unwrap();
    assert!(grant(&database, record("b", "org", "client", ConsentStatus::Granted), 0).await.is_ok(), "and it lives again");
    let report = VerifyReport::of(&place.url).await.unwrap();
    assert_eq!((report.entries, report.broken), (21, None), "the lines that nobody waited for are there");
}

#[tokio::test]
async fn what_is_no_database_is_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.db");
    std::fs::write(&path, "this is a text, and long enough to be taken for a page of a database".repeat(100)).unwrap();
    let nobody = format!("postgres://callgate:hunter2@localhost/calls?host={}", folder.path().display());
    let other = Place::postgres().await.url.replace("/test", "/no_such");
    let stranger = other.replace("callgate@", "stranger:hunter2@");
    for (url, told) in [
        (format!("sqlite://{}", path.display()), "text.db cannot be opened"),
        ("mysql://user:hunter2@host/db".to_owned(), "postgres://USER:PASSWORD@HOST:PORT/DATABASE, not mysql://…"),
        (nobody, "5432/calls cannot be opened: nothing answers there"),
        (other, "the server has no such database"),
        (stranger, "the server refused the user"),
    ] {
        let why = Database::open(&url).await.err().unwrap().to_string();
        assert!(why.contains(told) && !why.contains("hunter2"), "{why}");
        assert!(!why.contains('\n'), "one line: {why}");
    }
}

#[tokio::test]
async fn a_server_that_was_away_is_told_and_gets_every_line_when_it_is_back() {
    let mut server = Cluster::start(&[]).await;
    let url = server.url("postgres");
    let database = Database::open(&url).await.unwrap();
    grant(&database, record("before", "org", "client", ConsentStatus::Granted), 0).await.unwrap();
    assert!(database.ready().await);
    // It goes as a crash does, with a transaction under way for all we know.
    for n in 0..20 {
        database.ledger().append(Work::Audit(event("org", n), None)).unwrap();
    }
    server.stop("QUIT");
    let began = tokio::time::Instant::now();
    assert_eq!(grant(&database, record("away", "org", "client", ConsentStatus::Granted), 1).await, Err(NotSealed::Unavailable));
    assert!(!refuse(&database, record("no", "org", "client", ConsentStatus::Revoked)).await, "no refusal is told durable that is not");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    for n in 20..40 {
        database.ledger().append(Work::Audit(event("org", n), None)).unwrap();
    }
    database.ledger().flush().await;
    assert!(!database.ready().await && database.ledger().waiting() >= 20);
    server.run().await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !database.ready().await {
        assert!(tokio::time::Instant::now() < deadline, "it is not well again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(refuse(&database, record("no", "org", "client", ConsentStatus::Revoked)).await);
    assert!(grant(&database, record("after", "org", "other", ConsentStatus::Granted), 0).await.is_ok());
    let report = VerifyReport::of(&url).await.unwrap();
    assert_eq!((report.entries, report.broken), (1 + 40 + 2, None), "each line once");
}
