//! A call's events as a case manager's screen follows them: every state, in order, once, and nothing that was said.

use std::time::Duration;

use crate::common::sse::{Follower, ask, kinds};
use crate::common::{Caller, PERMISSIONS, Rig, Served, claims, files};
use callgate::io::database::{CallRow, Database, Work};
use callgate::server::{Gateway, Given};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn id_of(rig: &Rig, sid: &str) -> String {
    rig.call(sid, |_| true).await["callId"].as_str().unwrap().to_owned()
}

/// The same folder with a new gateway in it.
async fn restarted(rig: Rig) -> Rig {
    let Rig { gateway, folder, token: _ } = rig;
    gateway.drain(Duration::from_secs(5)).await;
    let gateway = Gateway::start(crate::common::config(folder.path(), Given::default())).await.unwrap();
    let token = gateway.tokens().mint(&claims(&PERMISSIONS, &["*"], "default")).unwrap();
    Rig { gateway, folder, token }
}

fn phases(told: &[(u64, Value)]) -> Vec<&str> {
    let mut phases: Vec<_> = told.iter().map(|(_, state)| state["phase"].as_str().unwrap()).collect();
    phases.dedup();
    phases
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_told_from_its_first_state_to_its_last_in_order_and_once() {
    let rig = Rig::start(Given::default()).await;
    let mut caller = Caller::connect(rig.address(), "CAtold", json!({ "mode": "stay", "clientId": "c" })).await;
    let id = id_of(&rig, "CAtold").await;
    let mut screen = Follower::open(&rig, &id, None).await;
    let (first, state) = screen.next().await.unwrap();
    assert_eq!((first, state["phase"].as_str(), state["callId"].as_str()), (1, Some("PROMPTING"), Some(id.as_str())));
    caller.frames(250).await;
    caller.key("1").await;
    let granted = loop {
        let (_, state) = screen.next().await.unwrap();
        if state["events"].as_array().unwrap().contains(&json!("consent.granted")) {
            break state;
        }
    };
    assert_eq!(
        (granted["phase"].as_str(), granted["consent"]["method"].as_str()),
        (Some("CONNECTED"), Some("KEYPRESS")),
        "while it is live"
    );
    caller.frames(100).await;
    caller.stop().await;
    let rest = screen.rest().await;
    let (_, last) = rest.last().unwrap();
    assert_eq!((last["phase"].as_str(), last["recording"]["state"].as_str()), (Some("ENDED"), Some("FINISHED")), "and then it ends");

    let all = Follower::open(&rig, &id, None).await.rest().await;
    assert!(all.iter().map(|(id, _)| *id).eq(1..=all.len() as u64), "no hole and no repeat: {all:?}");
    assert_eq!(all[all.len() - rest.len()..], rest, "who comes later hears the same");
    assert_eq!(phases(&all), ["PROMPTING", "CONNECTED", "ENDED"]);
    let mut newest = last.clone();
    newest.as_object_mut().unwrap().remove("events");
    assert_eq!(rig.get(&format!("/api/calls/{id}")).await.1, newest, "an event is the call's JSON, and what is new about it");
    let mut new = kinds(&all);
    new.retain(|kind| *kind != "call.updated");
    assert_eq!(new, ["consent.granted", "recording.finished"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pause_is_for_in_somebodys_own_words_is_in_no_event_and_on_no_disk() {
    let rig = Rig::start(Given::default()).await;
    let mut caller = Caller::talking(&rig, "CAwords").await;
    caller.frames(50).await;
    let id = id_of(&rig, "CAwords").await;
    let said = json!({ "reason": "card 4111111111111111 cvv 123" });
    let (status, state) = rig.post_as(&format!("/api/calls/{id}/pause"), said.clone(), &rig.token).await;
    assert_eq!((status, &state["recording"]["pauses"][0]["reason"]), (200, &said["reason"]), "who looks on now is told: {state}");
    caller.frames(50).await;
    assert_eq!(rig.post_as(&format!("/api/calls/{id}/resume"), said, &rig.token).await.0, 200);
    caller.stop().await;
    rig.call("CAwords", |call| call["recording"]["state"] == "FINISHED" && call["phase"] == "ENDED").await;
    let told = Follower::open(&rig, &id, None).await.rest().await;
    let reasons: Vec<_> = told.iter().filter_map(|(_, state)| state["recording"]["pauses"][0]["reason"].as_str()).collect();
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| *reason == "OTHER"), "{reasons:?}");
    assert!(!format!("{told:?}").contains("4111"), "{told:?}");
    for file in files(rig.folder.path()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(16).any(|window| window == b"4111111111111111"), "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_cut_off_resumes_without_hole_or_repeat_also_after_a_restart() {
    let rig = Rig::start(Given::default()).await;
    let mut caller = Caller::talking(&rig, "CAresume").await;
    let id = id_of(&rig, "CAresume").await;
    let mut screen = Follower::open(&rig, &id, None).await;
    let (seen, _) = screen.next().await.unwrap();
    drop(screen);
    caller.frames(50).await;
    let mut again = Follower::open(&rig, &id, Some(seen)).await;
    let (next, _) = again.next().await.unwrap();
    assert_eq!(next, seen + 1, "on a live call");
    caller.stop().await;
    rig.call("CAresume", |call| call["recording"]["state"] == "FINISHED").await;
    let all = Follower::open(&rig, &id, None).await.rest().await;
    let rig = restarted(rig).await;
    assert_eq!(Follower::open(&rig, &id, None).await.rest().await, all, "the past is what it was");
    for last in 1..all.len() {
        let rest = Follower::open(&rig, &id, Some(last as u64)).await.rest().await;
        assert_eq!(rest, all[last..], "after event {last}");
    }
    let none = ask(&rig, &id, &rig.token, Some(&all.len().to_string())).await;
    assert_eq!(none.status().as_u16(), 204, "there is nothing to come back for");
    let more = Follower::open(&rig, &id, Some(9_999)).await.rest().await;
    assert_eq!(more, all, "who has seen more than there is hears it from the start");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_died_with_its_gateway_is_told_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path(), &[]);
    let mut asked = Caller::connect(served.address, "CAdied", json!({ "mode": "stay", "clientId": "c" })).await;
    asked.frames(20).await;
    let mut no = Caller::connect(served.address, "CAtalked", json!({ "mode": "stay", "clientId": "d" })).await;
    no.frames(20).await;
    no.key("2").await;
    let url = crate::common::database_url(folder.path());
    let database = Database::open(&url).await.unwrap();
    for _ in 0..400 {
        let calls = database.calls_left_open(None, 10).await.unwrap();
        if calls.len() == 2 && calls.iter().any(|call| call.phase == "CONNECTED") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    served.signal("-KILL");
    served.log();
    let gateway = Gateway::start(crate::common::config(folder.path(), Given::default())).await.unwrap();
    let token = gateway.tokens().mint(&claims(&PERMISSIONS, &["*"], "default")).unwrap();
    let rig = Rig { gateway, folder, token };
    for (sid, reason, told) in [("CAdied", "SYSTEM_ERROR", "call.updated"), ("CAtalked", "CLIENT_OPT_OUT", "call.unrecorded")] {
        let id = id_of(&rig, sid).await;
        let all = Follower::open(&rig, &id, None).await.rest().await;
        let (_, last) = all.last().unwrap();
        assert_eq!((last["phase"].as_str(), last["unrecordedReason"].as_str()), (Some("ENDED"), Some(reason)), "{sid}");
        assert_eq!(kinds(&all).last(), Some(&told), "{sid}");
        assert!(last["durationSeconds"].is_u64(), "{last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_an_opt_out_and_an_unrecorded_call_are_told_by_name() {
    let rig = Rig::start(Given::default()).await;
    let mut gone = Caller::connect(rig.address(), "CAgone", json!({ "mode": "stay", "clientId": "c", "caseManagerId": "cm" })).await;
    gone.frames(50).await;
    gone.stop().await;
    let id = id_of(&rig, "CAgone").await;
    let told = Follower::open(&rig, &id, None).await.rest().await;
    let (_, last) = told.last().unwrap();
    assert_eq!(kinds(&told).last(), Some(&"consent.abandoned"));
    assert_eq!(
        (last["phase"].as_str(), last["consent"]["status"].as_str(), last["caseManagerId"].as_str()),
        (Some("ABANDONED"), Some("PENDING"), Some("cm"))
    );

    let mut no = Caller::connect(rig.address(), "CAno", json!({ "mode": "stay", "clientId": "d" })).await;
    no.frames(50).await;
    no.key("2").await;
    rig.call("CAno", |call| call["consent"]["status"] == "REVOKED").await;
    no.frames(50).await;
    no.stop().await;
    let id = id_of(&rig, "CAno").await;
    let told = Follower::open(&rig, &id, None).await.rest().await;
    let mut new = kinds(&told);
    new.retain(|kind| *kind != "call.updated");
    assert_eq!(new, ["consent.revoked", "call.unrecorded"]);
    let (_, last) = told.last().unwrap();
    assert_eq!(
        (last["unrecordedReason"].as_str(), last["durationSeconds"].is_u64()),
        (Some("CLIENT_OPT_OUT"), true),
        "what the reminder shows"
    );
    let text = format!("{told:?}");
    assert!(!text.contains("digit") && !text.contains("payload"), "what was pressed and said is in no event");

    let mut late = Caller::talking(&rig, "CAlate").await;
    late.frames(100).await;
    let id = id_of(&rig, "CAlate").await;
    let mut screen = Follower::open(&rig, &id, None).await;
    reqwest::Client::new().post(format!("http://{}/api/calls/{id}/opt-out", rig.address())).bearer_auth(&rig.token).send().await.unwrap();
    late.frames(50).await;
    late.stop().await;
    let told = screen.rest().await;
    let mut new = kinds(&told);
    new.retain(|kind| *kind != "call.updated");
    assert_eq!(new, ["consent.granted", "consent.revoked", "recording.finished"], "what was consented to is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_for_who_may_see_the_client() {
    let rig = Rig::start(Given::default()).await;
    let mut caller = Caller::connect(rig.address(), "CAmay", json!({ "mode": "stay", "clientId": "c" })).await;
    caller.frames(20).await;
    let id = id_of(&rig, "CAmay").await;
    let mint = |permissions: &[&str], clients: &[&str], org: &str| rig.gateway.tokens().mint(&claims(permissions, clients, org)).unwrap();
    for (token, wanted) in [
        ("wrong".to_owned(), 401),
        (mint(&["canEditClients", "canViewAuditLogs"], &["*"], "default"), 403),
        (mint(&["canViewClients"], &["somebody"], "default"), 403),
        (mint(&["canViewClients"], &["*"], "other"), 404),
        (mint(&["canViewClients"], &["c"], "default"), 200),
    ] {
        assert_eq!(ask(&rig, &id, &token, None).await.status().as_u16(), wanted);
    }
    assert_eq!(ask(&rig, "call_unknown", &rig.token, None).await.status().as_u16(), 404);
    let wrong = ask(&rig, &id, &rig.token, Some("seven")).await;
    assert_eq!(wrong.status().as_u16(), 400);
    assert!(wrong.text().await.unwrap().contains("Last-Event-ID"));
    let mut short = claims(&["canViewClients"], &["*"], "default");
    short.exp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 1;
    let rig = Rig { token: rig.gateway.tokens().mint(&short).unwrap(), ..rig };
    let mut screen = Follower::open(&rig, &id, None).await;
    assert!(!screen.rest().await.is_empty(), "the stream ends with its token, though the call goes on");
}

/// A call with more to tell than fits any buffer between us and a reader.
async fn long_story(folder: &std::path::Path, events: u64) {
    let database = Database::open(&crate::common::database_url(folder)).await.unwrap();
    for n in 0..events {
        let phase = if n % 2 == 0 { "PROMPTING" } else { "AWAITING_RESPONSE" };
        let row = CallRow {
            id: "call_long".into(),
            call_sid: "CAlong".into(),
            client_id: "c".into(),
            case_manager_id: String::new(),
            org_id: "default".into(),
            direction: "INBOUND".into(),
            phase: phase.into(),
            consent_granted_at: None,
            consent_method: None,
            is_recorded: false,
            recording_id: None,
            started_at: "2026-11-26T08:00:00.000Z".into(),
            ended_at: None,
            state: json!({ "callId": "call_long", "phase": phase, "filler": "x".repeat(16 * 1024) }),
        };
        database.ledger().append(Work::Call(Box::new(row))).unwrap();
    }
    database.ledger().flush().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_nothing_is_hung_up_on_and_holds_nobody_up() {
    let rig = Rig::start(Given::default()).await;
    let events = 1_000;
    long_story(rig.folder.path(), events).await;
    let mut stuck = tokio::net::TcpStream::connect(rig.address()).await.unwrap();
    let ask = format!("GET /api/calls/call_long/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", rig.token);
    stuck.write_all(ask.as_bytes()).await.unwrap();
    // Another reads the whole story meanwhile.
    let mut screen = Follower::open(&rig, "call_long", None).await;
    for n in 1..=events {
        assert_eq!(screen.next().await.unwrap().0, n);
    }
    let mut heard = Vec::new();
    tokio::time::sleep(Duration::from_secs(8)).await; // longer than a reader may take nothing
    let end = tokio::time::timeout(Duration::from_secs(10), stuck.read_to_end(&mut heard)).await;
    assert!(end.is_ok(), "hung up on");
    let told = String::from_utf8_lossy(&heard).matches("\ndata:").count();
    assert!(told > 0 && (told as u64) < events, "{told} of {events} fitted the buffers");
    let resumed = Follower::open(&rig, "call_long", Some(told as u64)).await.next().await.unwrap();
    assert_eq!(resumed.0, told as u64 + 1, "and it resumes where it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_of_the_specification_come_from_what_calls_have_left() {
    let rig = Rig::start(Given::default()).await;
    for (sid, key, direction) in
        [("CAyes", "1", "INBOUND"), ("CAyes2", "1", "OUTBOUND"), ("CAno", "2", "INBOUND"), ("CAgone", "", "INBOUND")]
    {
        let mut caller = Caller::connect(
            rig.address(),
            sid,
            json!({ "mode": "stay", "clientId": format!("c-{sid}"), "direction": direction, "caseManagerId": "tester" }),
        )
        .await;
        caller.frames(250).await;
        if !key.is_empty() {
            caller.key(key).await;
            rig.call(sid, |call| call["phase"] == "CONNECTED" && call["consent"]["status"] != "PENDING").await;
            caller.frames(30).await;
        }
        caller.stop().await;
        rig.call(sid, |call| call["phase"] == "ENDED" || call["phase"] == "ABANDONED").await;
    }
    for sid in ["CAyes", "CAyes2"] {
        rig.call(sid, |call| call["recording"]["state"] == "FINISHED").await;
    }
    // Whom nobody asks: consent of before.
    let mut again =
        Caller::connect(rig.address(), "CAagain", json!({ "mode": "stay", "clientId": "c-CAyes", "direction": "OUTBOUND" })).await;
    rig.call("CAagain", |call| call["recording"]["state"] == "ACTIVE").await;
    again.frames(30).await;
    again.stop().await;
    rig.call("CAagain", |call| call["recording"]["state"] == "FINISHED" && call["consent"]["prior"] == true).await;

    let (status, told) = rig.get("/api/metrics/consent").await;
    assert_eq!(status, 200, "{told}");
    let figure = |name: &str, keys: [&str; 4]| keys.map(|key| told[name][key].clone());
    assert_eq!(figure("grantRate", ["granted", "prompts", "value", "target"]), [json!(2), json!(4), json!(0.5), json!(0.85)], "{told}");
    assert_eq!(figure("abandonment", ["abandoned", "prompts", "value", "target"]), [json!(1), json!(4), json!(0.25), json!(0.1)]);
    assert_eq!(figure("compliance", ["withConsent", "recorded", "value", "target"]), [json!(3), json!(3), json!(1.0), json!(1.0)]);
    assert_eq!(told["timeToConversation"]["calls"], 4);
    assert!(told["timeToConversation"]["meanSeconds"].as_f64() < Some(20.0) && told["timeToConversation"]["targetSeconds"] == 20.0);
    assert_eq!(figure("documentation", ["completed", "created", "value", "target"]), [json!(0), json!(1), json!(0.0), json!(0.9)]);
    for (query, prompts) in [
        ("?language=en&promptVersion=v1", 4),
        ("?language=es", 0),
        ("?promptVersion=v9", 0),
        ("?from=2100-01-01T00:00:00Z", 0),
        ("?to=2100-01-01T00:00:00Z", 4),
        ("?to=2000-01-01T00:00:00.000Z", 0),
    ] {
        assert_eq!(rig.get(&format!("/api/metrics/consent{query}")).await.1["grantRate"]["prompts"], prompts, "{query}");
    }
    let (status, wrong) = rig.get("/api/metrics/consent?from=yesterday").await;
    assert!(status == 400 && wrong["detail"].as_str().unwrap().contains("from is an RFC 3339 time"), "{wrong}");
    let mint = |permissions: &[&str], org: &str| rig.gateway.tokens().mint(&claims(permissions, &["*"], org)).unwrap();
    assert_eq!(rig.get_as("/api/metrics/consent", Some(&mint(&["canViewClients"], "default"))).await.0, 403);
    let other = rig.get_as("/api/metrics/consent", Some(&mint(&["canViewAuditLogs"], "other"))).await.1;
    assert_eq!(
        (&other["grantRate"]["prompts"], &other["grantRate"]["value"]),
        (&json!(0), &Value::Null),
        "of one's own organisation alone"
    );

    // The unrecorded call is documented by its case manager, the bearer.
    let (_, tasks) = rig.get("/api/tasks").await;
    let task = tasks["tasks"][0]["taskId"].as_str().unwrap_or_else(|| panic!("{tasks}"));
    let done = reqwest::Client::new().post(format!("http://{}/api/tasks/{task}/complete", rig.address())).bearer_auth(&rig.token);
    assert_eq!(done.send().await.unwrap().status().as_u16(), 200);
    let told = rig.get("/api/metrics/consent").await.1;
    assert_eq!((&told["documentation"]["completed"], &told["documentation"]["meetsTarget"]), (&json!(1), &json!(true)), "{told}");

    // A recording whose grant is not in the ledger: the figure sees it.
    let forged = r#"UPDATE "Recording" SET "grantSeq" = 9999 WHERE "callId" = (SELECT "id" FROM "Call" WHERE "callSid" = 'CAyes2')"#;
    assert_eq!(crate::common::raw(rig.folder.path()).await.execute(forged).await.unwrap(), 1);
    let told = rig.get("/api/metrics/consent").await.1;
    assert_eq!((&told["compliance"]["withConsent"], &told["compliance"]["meetsTarget"]), (&json!(2), &json!(false)));
    let metrics = reqwest::get(format!("http://{}/metrics", rig.address())).await.unwrap().text().await.unwrap();
    for series in [r#"callgate_consent_target{figure="grant_rate"} 0.85"#, "callgate_time_to_conversation_target_seconds 20"] {
        assert!(metrics.contains(series), "{series}: {metrics}");
    }
    // The same figures as series: of those asked in English by v1, and of all of the organisation, added up.
    let labels = r#"org="default",language="en",prompt_version="v1"}"#;
    let value = |start: &str| -> Option<f64> {
        metrics.lines().find_map(|line| line.strip_prefix(start)?.strip_prefix(labels)?.trim().parse().ok())
    };
    let (_, english) = rig.get("/api/metrics/consent?language=en&promptVersion=v1").await;
    for (figure, told, part, whole) in [
        ("grant_rate", "grantRate", "granted", "prompts"),
        ("abandonment", "abandonment", "abandoned", "prompts"),
        ("compliance", "compliance", "withConsent", "recorded"),
        ("documentation", "documentation", "completed", "created"),
    ] {
        let told_of = &english[told];
        assert_eq!(value(&format!(r#"callgate_consent_ratio{{figure="{figure}","#)), told_of["value"].as_f64(), "{figure}: {metrics}");
        assert_eq!(value(&format!(r#"callgate_consent_part{{figure="{figure}","#)), told_of[part].as_f64(), "{figure}: {metrics}");
        assert_eq!(value(&format!(r#"callgate_consent_whole{{figure="{figure}","#)), told_of[whole].as_f64(), "{figure}: {metrics}");
        let begins = format!(r#"callgate_consent_whole{{figure="{figure}",org="default","#);
        let sum: f64 = metrics
            .lines()
            .filter(|line| line.starts_with(&begins))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum();
        assert_eq!(Some(sum), rig.get("/api/metrics/consent").await.1[told][whole].as_f64(), "{figure}: {metrics}");
    }
    let mean = value(r#"callgate_time_to_conversation_seconds{of="mean","#);
    assert_eq!(mean, english["timeToConversation"]["meanSeconds"].as_f64(), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"));
}
