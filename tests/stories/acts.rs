//! What people and rules do about a client's data, as the database keeps it: the same on SQLite and on PostgreSQL.

use crate::common::databases::Place;
use callgate::engine::call::RecordingState;
use callgate::engine::consent::{Actor, ConsentRecord, ConsentStatus, Grant, Method, Queues, due};
use callgate::engine::ledger::{Event, EventKind};
use callgate::engine::time::WallTime;
use callgate::io::database::{
    Act, Acted, CallRow, Claim, Database, Hold, RecordingRow, Revocation, Revoked, TaskState, VerifyReport, Work,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

on_both! {
    a_revocation_is_one_record_and_queues_each_recording_once,
    a_due_recording_is_one_sweepers_and_a_hold_beats_the_date,
    a_hold_wins_unless_the_deletion_has_begun_and_then_it_says_what_it_came_too_late_for,
    an_unrecorded_call_leaves_one_task_and_one_line,
    reads_and_denials_stand_in_the_access_log_beside_their_entries,
}

/// 2026-09-21.
const NOW: WallTime = WallTime(1_790_000_000_000);

fn record(id: &str, status: ConsentStatus, call: Option<&str>) -> ConsentRecord {
    ConsentRecord {
        id: id.into(),
        org_id: "org".into(),
        client_id: "client".into(),
        call_id: call.map(str::to_owned),
        status,
        method: if call.is_some() { Method::Keypress } else { Method::Written },
        language_code: "en".into(),
        prompt_version: "v1".into(),
        actor: if call.is_some() { Actor::Client { id: "client".into() } } else { Actor::User { id: "u".into(), name: "U".into() } },
        at: NOW,
        reason: None,
        evidence: json!({}).into(),
        policy_version: None,
        policy_basis: None,
    }
}

fn recording(id: &str, call: &str, state: RecordingState, grant_seq: u64) -> RecordingRow {
    RecordingRow {
        id: id.into(),
        call_id: call.into(),
        org_id: "org".into(),
        client_id: "client".into(),
        state,
        grant_seq,
        object_key: None,
        format: "wav".into(),
        sha256: None,
        bytes: None,
        duration_ms: None,
        reason: None,
        created_at: NOW.to_string(),
        finished_at: None,
        spool_id: None,
    }
}

fn event(kind: EventKind, detail: Value) -> Event {
    Event {
        org_id: "org".into(),
        kind,
        actor: Actor::User { id: "u".into(), name: String::new() },
        call_id: None,
        client_id: Some("client".into()),
        at: NOW,
        position: None,
        detail,
    }
}

async fn act(database: &Database, act: Act) -> Acted {
    let (done, acted) = oneshot::channel();
    let then: Box<dyn FnOnce(Option<Acted>) + Send> = Box::new(move |acted| done.send(acted).unwrap());
    assert!(database.ledger().append(Work::Act(act, then)).is_ok());
    acted.await.unwrap().unwrap()
}

async fn grant(database: &Database, id: &str, call: &str, seen: u64) -> u64 {
    let (done, answer) = oneshot::channel();
    let grant = Grant { record: record(id, ConsentStatus::Granted, Some(call)).into(), seen };
    assert!(database.ledger().append(Work::Grant(grant, Box::new(move |receipt| drop(done.send(receipt))))).is_ok());
    answer.await.unwrap().unwrap().seq().0
}

fn write(database: &Database, row: RecordingRow) {
    assert!(database.ledger().append(Work::Recording(Box::new(row), None)).is_ok());
}

async fn revoke(database: &Database, id: &str) -> Revoked {
    let revocation = Revocation { record: record(id, ConsentStatus::Revoked, None), queues: Queues::Everything };
    let Acted::Revoked(revoked) = act(database, Act::Revoke(Box::new(revocation))).await else { panic!("revoked") };
    revoked
}

async fn lines(database: &Database, kind: &str) -> Vec<Value> {
    database.ledger().flush().await;
    let all = database.audit("org", None, None, 0, 1_000).await.unwrap();
    all.into_iter().map(|(_, _, entry)| serde_json::from_str::<Value>(&entry).unwrap()).filter(|entry| entry["kind"] == kind).collect()
}

async fn a_revocation_is_one_record_and_queues_each_recording_once(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    let seq = grant(&database, "g1", "call1", 0).await;
    write(&database, recording("one", "call1", RecordingState::Active, seq));
    write(&database, recording("gone", "call2", RecordingState::Discarded, seq));
    let first = revoke(&database, "r1").await;
    assert_eq!((first.marked, first.until), (1, due(NOW)));
    assert_eq!(revoke(&database, "r1").await, first, "the same again");
    assert_eq!(revoke(&database, "r2").await, first, "and by another who asks");
    assert_eq!(database.consent_history("org", "client", 10).await.unwrap().len(), 2, "a yes and one no");

    // A recording of before that is stored only now, and whose row was never written.
    write(&database, recording("late", "call0", RecordingState::Finished, seq));
    database.ledger().flush().await;
    let late = database.retention("late").await.unwrap().unwrap();
    assert_eq!((late.due_at, late.deleted_at), (due(NOW).to_string(), None));
    // And one of after, which the client agreed to anew.
    let newer = grant(&database, "g2", "call3", 2).await;
    write(&database, recording("new", "call3", RecordingState::Finished, newer));
    database.ledger().flush().await;
    assert_eq!(database.retention("new").await.unwrap(), None);
    assert_eq!(database.retention("gone").await.unwrap(), None);
    let again = revoke(&database, "r3").await;
    assert!(again.entry > first.entry && again.marked == 3, "{again:?}");
    let queued: Vec<_> = lines(&database, "recording.queued").await.iter().map(|line| line["detail"]["recordings"].as_u64()).collect();
    assert_eq!(queued, [Some(1), Some(1), Some(1)]);

    // A no of this call spares this call's recording.
    let by_user =
        ConsentRecord { actor: Actor::User { id: "u".into(), name: String::new() }, ..record("r4", ConsentStatus::Revoked, Some("call3")) };
    let seq = grant(&database, "g3", "call5", 4).await;
    write(&database, recording("five", "call5", RecordingState::Active, seq));
    write(&database, recording("three", "call3", RecordingState::Active, seq));
    act(&database, Act::Revoke(Box::new(Revocation { record: by_user, queues: Queues::OtherCalls }))).await;
    assert!(database.retention("five").await.unwrap().is_some() && database.retention("three").await.unwrap().is_none());

    // A client's own, which came too late to cut this call's recording, takes that along and no other.
    let seq = grant(&database, "g4", "call6", 6).await;
    write(&database, recording("six", "call6", RecordingState::Finished, seq));
    write(&database, recording("seven", "call7", RecordingState::Active, seq));
    let revocation = Revocation { record: record("r5", ConsentStatus::Revoked, Some("call6")), queues: Queues::ThisCall };
    act(&database, Act::Revoke(Box::new(revocation))).await;
    assert!(database.retention("six").await.unwrap().is_some() && database.retention("seven").await.unwrap().is_none());
    assert_eq!(VerifyReport::of(&place.url).await.unwrap().broken, None);
}

fn claim(by: &str, now: WallTime, until: WallTime) -> Claim {
    Claim { by: by.into(), as_of: NOW.plus_days(31), after: String::new(), now, until }
}

async fn claimed(database: &Database, claim: Claim) -> Option<String> {
    let Acted::Claimed(item) = act(database, Act::Claim(claim)).await else { panic!("claimed") };
    item.map(|item| item.recording_id)
}

async fn deleted(database: &Database, by: &str) -> bool {
    let event = event(EventKind::RecordingDeleted, json!({ "recordingId": "one" }));
    let done = act(database, Act::Deleted { recording_id: "one".into(), by: by.into(), at: NOW, event }).await;
    matches!(done, Acted::Done(true))
}

async fn begun(database: &Database, by: &str) -> bool {
    let act = act(database, Act::BeginDeletion { recording_id: "one".into(), org_id: "org".into(), by: by.into(), at: NOW }).await;
    matches!(act, Acted::Done(true))
}

async fn a_hold_wins_unless_the_deletion_has_begun_and_then_it_says_what_it_came_too_late_for(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    // A second gateway, with a writer of its own: the two do nothing at one moment.
    let other = Database::open(&place.url).await.unwrap();
    let seq = grant(&database, "g1", "call1", 0).await;
    write(&database, recording("one", "call1", RecordingState::Finished, seq));
    revoke(&database, "r1").await;
    let hour = WallTime(NOW.0 + 3_600_000);
    let hold = |id: &str| {
        let (id, at) = (id.to_owned(), NOW.to_string());
        let (org_id, client_id, reason) = ("org".into(), "client".into(), "dispute".into());
        let placed_by = ("u".into(), "U".into());
        Box::new(Hold { id, org_id, client_id, reason, placed_by, placed_at: at, lifted_by: None, lifted_at: None })
    };
    let place_hold = async |id: &str| match act(&other, Act::PlaceHold(hold(id), event(EventKind::HoldPlaced, json!({})))).await {
        Acted::Held(_, too_late) => too_late,
        acted => panic!("{acted:?}"),
    };
    let lift = async || {
        let lifted = Hold { lifted_by: Some(("u".into(), "U".into())), lifted_at: Some(NOW.to_string()), ..*hold("") };
        drop(act(&other, Act::LiftHold(Box::new(lifted), event(EventKind::HoldLifted, json!({})))).await);
    };

    // Between claim and beginning: the hold wins, and the claim is as if it had not been made.
    assert_eq!(claimed(&database, claim("a", NOW, hour)).await.as_deref(), Some("one"));
    assert!(place_hold("h1").await.is_empty(), "in time");
    assert!(!begun(&database, "a").await, "the hold came first");
    let kept = database.retention("one").await.unwrap().unwrap();
    assert_eq!((kept.attempts, kept.deleted_at), (0, None));
    assert_eq!(claimed(&database, claim("a", NOW, hour)).await, None, "held");
    lift().await;
    // After the beginning: it is told by name what it does not keep.
    assert_eq!(claimed(&database, claim("a", NOW, hour)).await.as_deref(), Some("one"));
    assert!(begun(&database, "a").await);
    assert_eq!(place_hold("h2").await, ["one"]);
    assert_eq!(lines(&database, "hold.placed").await.last().unwrap()["detail"]["tooLateFor"], json!(["one"]));
    lift().await;
    // What was not deleted after all is kept by the next one.
    act(&database, Act::NotDeleted { recording_id: "one".into(), by: "a".into(), why: "the store keeps it".into() }).await;
    assert!(place_hold("h3").await.is_empty());
    lift().await;
    // At one moment, again and again: never both.
    for round in 0..30 {
        let by = format!("sweep{round}");
        assert_eq!(claimed(&database, claim(&by, NOW, hour)).await.as_deref(), Some("one"));
        let id = format!("race{round}");
        let (begun, too_late) = tokio::join!(begun(&database, &by), place_hold(&id));
        assert_eq!(begun, too_late == ["one"], "round {round}: begun {begun}, too late for {too_late:?}");
        act(&database, Act::NotDeleted { recording_id: "one".into(), by, why: "the store keeps it".into() }).await;
        lift().await;
    }
}

async fn a_due_recording_is_one_sweepers_and_a_hold_beats_the_date(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    let seq = grant(&database, "g1", "call1", 0).await;
    write(&database, recording("one", "call1", RecordingState::Finished, seq));
    revoke(&database, "r1").await;
    let hold = |id: &str| {
        Box::new(Hold {
            id: id.into(),
            org_id: "org".into(),
            client_id: "client".into(),
            reason: "dispute".into(),
            placed_by: ("u".into(), "U".into()),
            placed_at: NOW.to_string(),
            lifted_by: Some(("v".into(), "V".into())),
            lifted_at: Some(NOW.to_string()),
        })
    };
    let (minute, hour) = (WallTime(NOW.0 + 60_000), WallTime(NOW.0 + 3_600_000));
    let early = Claim { as_of: NOW.plus_days(29), ..claim("a", NOW, hour) };
    assert_eq!(claimed(&database, early).await, None, "not due");
    for id in ["h1", "h2"] {
        let Acted::Held(held, too_late) = act(&database, Act::PlaceHold(hold(id), event(EventKind::HoldPlaced, json!({})))).await else {
            panic!("held")
        };
        assert_eq!((held.id.as_str(), held.lifted_by, too_late.len()), ("h1", None, 0), "one in force");
    }
    assert_eq!(claimed(&database, claim("a", NOW, hour)).await, None, "held");
    let all = database.due(NOW.plus_days(31), "", 10).await.unwrap();
    assert_eq!(all.iter().map(|(item, held)| (item.recording_id.as_str(), *held)).collect::<Vec<_>>(), [("one", true)]);
    for lifted in [Some("h1".to_owned()), None] {
        let Acted::Hold(hold) = act(&database, Act::LiftHold(hold(""), event(EventKind::HoldLifted, json!({})))).await else { panic!() };
        assert_eq!(hold.map(|hold| hold.id), lifted);
    }

    assert_eq!(claimed(&database, claim("a", NOW, hour)).await.as_deref(), Some("one"));
    assert_eq!(claimed(&database, claim("b", minute, hour)).await, None, "somebody has it");
    assert!(begun(&database, "a").await && !begun(&database, "b").await, "begun by who has claimed it");
    assert_eq!(database.waiting("org", "client", minute).await.unwrap(), (0, 1), "and a hold would come too late");
    assert!(!deleted(&database, "b").await, "not b's to say");
    // a is dead: its claim expires.
    assert_eq!(claimed(&database, claim("b", hour, WallTime(hour.0 + 1))).await.as_deref(), Some("one"));
    assert!(!deleted(&database, "a").await);
    act(&database, Act::NotDeleted { recording_id: "one".into(), by: "b".into(), why: "the store keeps it".into() }).await;
    let kept = database.retention("one").await.unwrap().unwrap();
    assert_eq!((kept.attempts, kept.last_error.as_deref(), kept.deleted_at), (2, Some("the store keeps it"), None));
    assert_eq!(claimed(&database, claim("c", NOW, hour)).await.as_deref(), Some("one"), "given back");
    assert!(deleted(&database, "c").await && !deleted(&database, "c").await);
    assert_eq!(claimed(&database, claim("d", hour, hour)).await, None);
    assert_eq!(lines(&database, "recording.deleted").await.len(), 1, "once");
    let gone = database.retention("one").await.unwrap().unwrap();
    assert_eq!((gone.deleted_at, gone.last_error), (Some(NOW.to_string()), None));
    assert_eq!(lines(&database, "hold.lifted").await[0]["detail"]["holdId"], "h1");
    assert_eq!(VerifyReport::of(&place.url).await.unwrap().broken, None);
}

fn call(id: &str, case_manager: &str) -> Work {
    Work::Call(Box::new(CallRow {
        id: id.into(),
        call_sid: format!("CA{id}"),
        client_id: "client".into(),
        case_manager_id: case_manager.into(),
        org_id: "org".into(),
        direction: "OUTBOUND".into(),
        phase: "ENDED".into(),
        consent_granted_at: None,
        consent_method: None,
        is_recorded: false,
        recording_id: None,
        started_at: format!("2026-11-26T08:0{}:00.000Z", id.len()),
        ended_at: Some("2026-11-26T08:10:00.000Z".into()),
        state: json!({ "unrecordedReason": "PRIOR_OPT_OUT", "connectedAt": "2026-11-26T08:05:00.000Z", "durationSeconds": 300 }),
    }))
}

async fn an_unrecorded_call_leaves_one_task_and_one_line(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    for work in [call("a", "cm"), call("bb", "cm"), call("a", "cm"), call("ccc", "")] {
        assert!(database.ledger().append(work).is_ok());
    }
    database.ledger().flush().await;
    let tasks = database.tasks("org", "cm", TaskState::Open, None, 10).await.unwrap();
    assert_eq!(
        tasks.iter().map(|task| (task.id.as_str(), task.reason.as_str())).collect::<Vec<_>>(),
        [("a", "PRIOR_OPT_OUT"), ("bb", "PRIOR_OPT_OUT")]
    );
    let ended = WallTime::parse(&tasks[0].created_at).unwrap();
    assert_eq!(database.tasks("org", "cm", TaskState::Open, Some((ended, "a")), 10).await.unwrap().len(), 1, "the next page");
    assert_eq!(lines(&database, "interaction.logged").await.len(), 3, "one a call");
    let page = database.interactions("org", "client", None, 2).await.unwrap();
    assert_eq!(page.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["ccc", "bb"], "newest first");
    let after = Some((WallTime::parse(&page[1].started_at).unwrap(), page[1].id.as_str()));
    assert_eq!(database.interactions("org", "client", after, 2).await.unwrap()[0].id, "a");

    for at in [NOW, WallTime(NOW.0 + 1)] {
        let event = event(EventKind::TaskCompleted, json!({ "taskId": "a" }));
        let Acted::Task(Some(task)) = act(&database, Act::CompleteTask { id: "a".into(), at, event }).await else { panic!("a task") };
        assert_eq!(task.completed_at, Some(NOW.to_string()), "the first counts");
    }
    assert_eq!(lines(&database, "task.completed").await.len(), 1);
    assert_eq!(database.tasks("org", "cm", TaskState::Completed, None, 10).await.unwrap().len(), 1);
    assert_eq!(database.task("none").await.unwrap(), None);
}

async fn reads_and_denials_stand_in_the_access_log_beside_their_entries(place: &Place) {
    let database = Database::open(&place.url).await.unwrap();
    let told = json!({ "recordingId": "rec", "what": "audio", "outcome": "ALLOWED" });
    for (kind, detail) in [
        (EventKind::RecordingRead, told),
        (EventKind::AccessDenied, json!({ "needed": "canViewClients", "asked": "/api/calls" })),
        (EventKind::ConsentViewed, json!({})),
    ] {
        assert!(database.ledger().append(Work::Audit(event(kind, detail), None)).is_ok());
    }
    database.ledger().flush().await;
    let mut raw = place.raw().await;
    let beside = r#"SELECT count(*) FROM "AccessLog" l JOIN "AuditEvent" a ON a."orgId" = l."orgId" AND a."seq" = l."auditSeq"
        WHERE (a."kind" = 'recording.read' AND l."outcome" = 'ALLOWED' AND l."recordingId" = 'rec')
           OR (a."kind" = 'access.denied' AND l."outcome" = 'DENIED' AND l."what" = '/api/calls')"#;
    assert_eq!((raw.number(beside).await, raw.number(r#"SELECT count(*) FROM "AccessLog""#).await), (2, 2));
}
