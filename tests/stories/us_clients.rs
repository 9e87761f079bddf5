//! PX-735's stories of a client's consent, from outside: US-4 (documenting an unrecorded call), US-6 (where a client stands), US-7
//! (revoking). What PX-735 asks for stands beside the assertion that holds it.

use std::time::Duration;

use crate::common::{Caller, PERMISSIONS, Rig, claims, database_url};
use callgate::engine::time::WallTime;
use callgate::io::clock::wall;
use callgate::io::database::VerifyReport;
use callgate::server::Given;
use reqwest::Method as Http;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

const DAY_MS: i64 = 86_400_000;

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

async fn chain_holds(rig: &Rig) {
    // Asking for the chain waits for everything handed in before.
    rig.chain("nobody").await;
    assert_eq!(VerifyReport::of(&database_url(rig.folder.path())).await.unwrap().broken, None);
}

/// The first line of this kind.
fn line<'a>(chain: &'a [Value], kind: &str) -> &'a Value {
    chain.iter().find(|entry| entry["kind"] == kind).unwrap_or_else(|| panic!("no {kind} in {chain:#?}"))
}

/// A whole call whose client presses 2.
async fn declined(rig: &Rig, sid: &str, client: &str, case_manager: &str) -> Value {
    let parameters = json!({ "mode": "stay", "clientId": client, "caseManagerId": case_manager });
    let mut caller = Caller::connect(rig.address(), sid, parameters).await;
    caller.frames(50).await;
    caller.key("2").await;
    caller.frames(100).await;
    caller.stop().await;
    rig.call(sid, |call| call["phase"] == "ENDED").await
}

async fn revoke(rig: &Rig, client: &str, token: &str) -> Value {
    let (status, answer) =
        rig.post_as(&format!("/api/clients/{client}/consent/revoke"), json!({ "reason": "asked by telephone, 555-0100" }), token).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn us_7_a_case_manager_revokes_and_the_past_the_present_and_the_future_follow() {
    let rig = Rig::start(Given::default()).await;
    let maria = rig.token_of("u-maria", "Maria Ortiz", &PERMISSIONS, &["c7"]);
    let clerk = rig.token_of("u-clerk", "Clerk", &["canViewRecordings"], &["*"]);
    let past = rig.recorded("CApast", "c7").await;
    let mut live = Caller::talking_as(&rig, "CAlive", "c7").await;
    let mut other = Caller::talking_as(&rig, "CAother", "somebody-else").await;
    live.frames(100).await;
    let before = rig.call("CAlive", |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(80)).await;
    let live_recording = before["recording"]["recordingId"].as_str().unwrap().to_owned();
    assert_eq!(rig.get_as(&format!("/api/recordings/{past}"), Some(&clerk)).await.0, 200, "until then readable as any");

    let began = wall();
    let answer = revoke(&rig, "c7", &maria).await;
    // PX-735 §4.3: success, recordingsMarkedForDeletion, retentionUntil (ISO date, 30 days from now)
    assert_eq!((answer["success"].as_bool(), answer["recordingsMarkedForDeletion"].as_u64()), (Some(true), Some(2)), "{answer}");
    let until = WallTime::parse(answer["retentionUntil"].as_str().unwrap()).unwrap();
    assert!((began.0 + 30 * DAY_MS..=wall().0 + 30 * DAY_MS).contains(&until.0), "{answer}");

    // The answer came when the gate was shut: whatever is said from here on is not captured.
    let (_, at_once) = rig.get("/api/calls?callSid=CAlive").await;
    let shut = &at_once["calls"][0];
    let state = shut["recording"]["state"].as_str().unwrap();
    assert!(shut["consent"]["status"] == "REVOKED" && matches!(state, "HALTED" | "FINISHED"), "{shut}");
    assert_eq!(shut["unrecordedReason"], "CLIENT_OPT_OUT");
    live.frames(100).await;
    live.stop().await;
    let ended = rig.call("CAlive", |call| call["recording"]["state"] == "FINISHED" && call["phase"] == "ENDED").await;
    assert_eq!(ended["recording"]["framesCaptured"], shut["recording"]["framesCaptured"], "not a frame more");
    // Nobody else's call is touched.
    other.frames(50).await;
    rig.call("CAother", |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(30)).await;
    other.stop().await;
    rig.call("CAother", |call| call["recording"]["state"] == "FINISHED").await;

    // "Existing recordings enter 30-day retention queue (soft delete)": the live call's too, which was sealed later.
    for recording in [&past, &live_recording] {
        for route in [format!("/api/recordings/{recording}"), format!("/api/recordings/{recording}/audio")] {
            let (status, problem) = rig.get_as(&route, Some(&clerk)).await;
            assert_eq!(status, 410, "{problem}");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("consent was revoked") && detail.contains("canViewAuditLogs"), "{detail}");
        }
        let (status, row) = rig.get_as(&format!("/api/recordings/{recording}"), Some(&maria)).await;
        assert_eq!((status, &row["retentionUntil"]), (200, &answer["retentionUntil"]), "who may see audit logs may still read it");
    }
    assert_eq!(rig.get(&format!("/api/recordings/{past}/audio")).await.0, 200);

    // "All future calls with this client skip recording automatically"
    let outbound = json!({ "mode": "stay", "clientId": "c7", "direction": "OUTBOUND" });
    let mut next = Caller::connect(rig.address(), "CAnext", outbound).await;
    next.frames(200).await;
    assert!(next.heard.iter().all(|message| message["event"] != "media"), "and no prompt is played");
    next.stop().await;
    let next = rig.call("CAnext", |call| call["phase"] == "ENDED").await;
    assert_eq!(
        (next["isRecorded"].as_bool(), next["unrecordedReason"].as_str(), next["recording"]["state"].as_str()),
        (Some(false), Some("PRIOR_OPT_OUT"), Some("NOT_STARTED"))
    );

    // "Revocation event logged to audit trail with actor and timestamp"
    let chain = rig.chain("c7").await;
    let logged = line(&chain, "consent.revoked");
    assert_eq!((logged["action"].as_str(), logged["severity"].as_str()), (Some("DELETE"), Some("HIGH")), "PX-735 §5.1");
    assert_eq!((&logged["actor"], &logged["callId"]), (&json!({ "kind": "USER", "id": "u-maria" }), &Value::Null), "no key press");
    let at = WallTime::parse(logged["at"].as_str().unwrap()).unwrap();
    assert!(at >= began && at <= wall());
    let queued = line(&chain, "recording.queued");
    assert_eq!((queued["detail"]["recordings"].as_u64(), &queued["detail"]["dueAt"]), (Some(2), &answer["retentionUntil"]));
    let told = chain.iter().map(Value::to_string).collect::<String>();
    assert!(!told.contains("Maria") && !told.contains("555-0100"), "names and reasons enter no link");

    // Twice is once.
    let again = revoke(&rig, "c7", &maria).await;
    assert_eq!(again, answer);
    let (_, consent) = rig.get("/api/clients/c7/consent").await;
    let revocations = consent["history"].as_array().unwrap().iter().filter(|record| record["action"] == "REVOKED").count();
    assert_eq!((revocations, rig.chain("c7").await.iter().filter(|entry| entry["kind"] == "consent.revoked").count()), (1, 1));
    chain_holds(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn us_7_a_client_who_pressed_two_can_still_be_revoked_for_and_then_the_past_is_queued() {
    let rig = Rig::start(Given::default()).await;
    let past = rig.recorded("CAyes", "c").await;
    declined(&rig, "CAno", "c", "").await;
    assert_eq!(rig.get(&format!("/api/recordings/{past}")).await.1["retentionUntil"], Value::Null, "one key destroys no past");
    let answer = revoke(&rig, "c", &rig.token).await;
    assert_eq!(answer["recordingsMarkedForDeletion"], 1, "{answer}");
    let (_, consent) = rig.get("/api/clients/c/consent").await;
    let history = consent["history"].as_array().unwrap();
    assert_eq!(
        (&history[0]["method"], &history[1]["method"], history.len()),
        (&json!("WRITTEN"), &json!("KEYPRESS"), 3),
        "an act of its own"
    );
    let logged = rig.chain("c").await.into_iter().rfind(|entry| entry["kind"] == "consent.revoked").unwrap();
    assert_eq!(logged["actor"]["id"], "tester", "with its actor, besides the client's");
    let queued = line(&rig.chain("c").await, "recording.queued").clone();
    assert_eq!(queued["actor"]["id"], "tester", "and yet it is known who queued it");

    // A later yes does not rescue what was queued, and what it records is its own.
    let new = rig.recorded("CAagain", "c").await;
    assert_eq!(rig.get("/api/clients/c/consent").await.1["recording"]["status"], "GRANTED");
    assert!(rig.get(&format!("/api/recordings/{past}")).await.1["retentionUntil"].is_string());
    assert_eq!(rig.get(&format!("/api/recordings/{new}")).await.1["retentionUntil"], Value::Null);
    let answer = revoke(&rig, "c", &rig.token).await;
    assert_eq!(answer["recordingsMarkedForDeletion"], 2);
    chain_holds(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn us_7_a_revocation_while_the_client_is_being_asked_wins() {
    let rig = Rig::start(Given::default()).await;
    let mut caller = Caller::connect(rig.address(), "CAasked", json!({ "mode": "stay", "clientId": "asked" })).await;
    caller.frames(200).await;
    rig.call("CAasked", |call| call["phase"] == "PROMPTING").await;
    let answer = revoke(&rig, "asked", &rig.token).await;
    assert_eq!(answer["recordingsMarkedForDeletion"], 0);
    caller.key("1").await;
    caller.frames(300).await;
    caller.stop().await;
    let call = rig.call("CAasked", |call| call["phase"] == "ENDED").await;
    assert_eq!((call["consent"]["status"].as_str(), call["isRecorded"].as_bool()), (Some("REVOKED"), Some(false)), "{call}");
    assert_eq!(call["recording"]["framesCaptured"]["inbound"], 0);
    assert_eq!(rig.get("/api/clients/asked/consent").await.1["history"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_yes_older_than_a_revocation_opens_nothing_whoever_revoked() {
    let rig = Rig::start(Given::default()).await;
    // Inbound, being asked: the yes comes after the no that its call has not seen.
    let mut asked = Caller::connect(rig.address(), "CAold", json!({ "mode": "stay", "clientId": "old" })).await;
    asked.frames(200).await;
    rig.call("CAold", |call| call["phase"] == "PROMPTING").await;
    crate::common::revoke_elsewhere(rig.folder.path(), "old").await;
    asked.frames(50).await;
    asked.key("1").await;
    let call = rig.call("CAold", |call| !call["unrecordedReason"].is_null()).await;
    assert_eq!((call["unrecordedReason"].as_str(), call["consent"]["status"].as_str()), (Some("PRIOR_OPT_OUT"), Some("REVOKED")));
    asked.frames(100).await;
    asked.stop().await;
    let call = rig.call("CAold", |call| call["phase"] == "ENDED").await;
    assert_eq!((call["isRecorded"].as_bool(), &call["recording"]["framesCaptured"]["inbound"]), (Some(false), &json!(0)), "{call}");
    chain_holds(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_revoked_is_told_why() {
    let rig = Rig::start(Given::default()).await;
    let route = "/api/clients/c/consent/revoke";
    let viewer = rig.token_of("u", "U", &["canViewClients"], &["*"]);
    let stranger = rig.token_of("u", "U", &PERMISSIONS, &["d"]);
    // PX-735 §5.3: "Revoke consent | canEditClients (any assigned client)"
    assert_eq!(rig.post_as(route, json!({}), &viewer).await.0, 403);
    assert_eq!(rig.post_as(route, json!({}), &stranger).await.0, 403);
    assert_eq!(rig.post_as(route, json!({}), "wrong").await.0, 401);
    for body in ["{", "[]", r#"{"why":"x"}"#, r#"{"reason":7}"#] {
        let (status, problem) = rig.ask(Http::POST, route, body.into(), &rig.token).await;
        assert_eq!((status, problem["detail"].as_str()), (400, Some(r#"the body must be {"reason": "…"}, or nothing"#)), "{body}");
    }
    let long = json!({ "reason": "x".repeat(2_001) });
    assert_eq!(rig.post_as(route, long, &rig.token).await.1["detail"], "reason: at most 2000 bytes");
    let (status, _) = rig.post_as(&format!("/api/clients/{}/consent/revoke", "x".repeat(129)), json!({}), &rig.token).await;
    assert_eq!(status, 400);
    assert_eq!(rig.get("/api/clients/c/consent").await.1["recording"]["status"], "PENDING", "nothing of it was written");
    let (status, _) = rig.ask(Http::POST, route, String::new(), &rig.token).await;
    assert_eq!(status, 200, "a reason is not needed, nor a body");
}

#[tokio::test(flavor = "multi_thread")]
async fn us_6_a_case_manager_sees_where_a_client_stands_and_how_it_came_there() {
    let rig = Rig::start(Given::default()).await;
    let viewer = rig.token_of("u-view", "View", &["canViewClients"], &["c6"]);
    let see = async || {
        let (status, consent) = rig.get_as("/api/clients/c6/consent", Some(&viewer)).await;
        assert_eq!(status, 200, "{consent}");
        consent
    };
    // "Badge … 'Not Yet' (gray)"
    let nothing = json!({ "status": "PENDING", "grantedAt": null, "method": null, "revokedAt": null, "revokedBy": null });
    assert_eq!(see().await, json!({ "recording": nothing, "history": [] }));

    // "… 'Granted' (green)"
    rig.recorded("CAone", "c6").await;
    let consent = see().await;
    assert_eq!((consent["recording"]["status"].as_str(), consent["recording"]["method"].as_str()), (Some("GRANTED"), Some("KEYPRESS")));
    let granted_at = consent["recording"]["grantedAt"].clone();
    assert!(granted_at.is_string() && consent["recording"]["revokedAt"].is_null());

    // "… or 'Opted Out' (amber)"; "If revoked, shows who processed the revocation and when"
    let maria = rig.token_of("u-maria", "Maria Ortiz", &["canEditClients"], &["c6"]);
    revoke(&rig, "c6", &maria).await;
    let consent = see().await;
    let recording = &consent["recording"];
    assert_eq!((recording["status"].as_str(), &recording["grantedAt"]), (Some("REVOKED"), &granted_at));
    assert_eq!(recording["revokedBy"], json!({ "id": "u-maria", "name": "Maria Ortiz" }));
    assert!(recording["revokedAt"].as_str() > granted_at.as_str());

    // "Section shows consent history timeline with dates and methods"
    let expected = json!([
        { "action": "REVOKED", "timestamp": recording["revokedAt"], "method": "WRITTEN", "actor": "Maria Ortiz" },
        { "action": "GRANTED", "timestamp": granted_at, "method": "KEYPRESS", "actor": "Client" },
    ]);
    assert_eq!(consent["history"], expected, "newest first");

    // The client's own no is the client's.
    rig.recorded("CAtwo", "c6").await;
    declined(&rig, "CAthree", "c6", "").await;
    let mut consent = see().await;
    for _ in 0..200 {
        if consent["recording"]["status"] == "REVOKED" && consent["recording"].get("pendingRecord").is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
        consent = see().await;
    }
    assert_eq!(consent["recording"]["revokedBy"], json!({ "id": "c6", "name": "Client" }));
    assert_eq!((consent["recording"]["method"].as_str(), consent["history"].as_array().unwrap().len()), (Some("KEYPRESS"), 4));

    // PX-735 §5.1: "Consent status viewed | VIEW | LOW"; §5.3: "canViewClients (any assigned client)"
    let chain = rig.chain("c6").await;
    let viewed = line(&chain, "consent.viewed");
    assert_eq!((viewed["action"].as_str(), viewed["severity"].as_str()), (Some("VIEW"), Some("LOW")));
    assert_eq!(viewed["actor"]["id"], "u-view");
    assert_eq!(rig.get_as("/api/clients/other/consent", Some(&viewer)).await.0, 403);
    assert_eq!(rig.get_as("/api/clients/c6/consent", Some(&maria)).await.0, 403, "canEditClients alone is not enough");
    let elsewhere = rig.gateway.tokens().mint(&claims(&PERMISSIONS, &["*"], "other-org")).unwrap();
    assert_eq!(rig.get_as("/api/clients/c6/consent", Some(&elsewhere)).await.1["history"], json!([]), "another organisation's client");
}

#[tokio::test(flavor = "multi_thread")]
async fn us_4_an_unrecorded_call_leaves_its_metadata_and_a_task_for_its_case_manager() {
    let rig = Rig::start(Given::default()).await;
    let maria = rig.token_of("u-maria", "Maria Ortiz", &["canViewClients"], &["c4"]);
    let paul = rig.token_of("u-paul", "Paul", &["canViewClients"], &["*"]);
    let call = declined(&rig, "CAfour", "c4", "u-maria").await;

    // "InteractionMetadata record created (date, time, duration, participants - no content)"
    let (_, page) = rig.get_as("/api/clients/c4/interactions", Some(&maria)).await;
    let interaction = page["interactions"][0].clone();
    let expected = json!({
        "id": call["callId"], "clientId": "c4", "caseManagerId": "u-maria", "orgId": "default", "interactionType": "VOIP_CALL",
        "direction": "INBOUND", "startedAt": call["startedAt"], "endedAt": call["endedAt"], "durationSeconds": call["durationSeconds"],
        "reason": "CLIENT_OPT_OUT", "createdAt": call["endedAt"],
    });
    assert_eq!((interaction, &page["next"]), (expected, &Value::Null));
    // PX-735 §5.1: "Unrecorded call logged | CREATE | MEDIUM"
    let chain = rig.chain("c4").await;
    let logged = line(&chain, "interaction.logged");
    assert_eq!((logged["action"].as_str(), logged["severity"].as_str()), (Some("CREATE"), Some("MEDIUM")));
    assert_eq!((&logged["callId"], logged["detail"]["reason"].as_str()), (&call["callId"], Some("CLIENT_OPT_OUT")));

    // "A documentation task is created in case manager's queue"
    let (_, tasks) = rig.get_as("/api/tasks", Some(&maria)).await;
    let task = &tasks["tasks"][0];
    assert_eq!((tasks["tasks"].as_array().unwrap().len(), &task["callId"], task["status"].as_str()), (1, &call["callId"], Some("OPEN")));
    // "Blocking modal appears after call ends: 'This call was not recorded'"; "Modal prompts: 'Please complete your notes and relevant forms'"
    assert_eq!(task["title"], "This call was not recorded");
    assert_eq!(task["message"], "Please complete your notes and relevant forms");
    assert_eq!(rig.get_as("/api/tasks", Some(&paul)).await.1["tasks"], json!([]), "in nobody else's");

    // Done is done, once, and only by whose it is.
    let route = format!("/api/tasks/{}/complete", task["taskId"].as_str().unwrap());
    assert_eq!(rig.post_as(&route, json!({}), &paul).await.0, 403);
    assert_eq!(rig.post_as("/api/tasks/none/complete", json!({}), &maria).await.0, 404);
    let (status, done) = rig.post_as(&route, json!({}), &maria).await;
    assert_eq!((status, done["status"].as_str()), (200, Some("COMPLETED")), "{done}");
    assert_eq!(rig.post_as(&route, json!({}), &maria).await, (200, done.clone()), "the first completion counts");
    assert_eq!(rig.get_as("/api/tasks", Some(&maria)).await.1["tasks"], json!([]));
    assert_eq!(rig.get_as("/api/tasks?status=COMPLETED", Some(&maria)).await.1["tasks"], json!([done]));
    assert_eq!(rig.get_as("/api/tasks?status=LATER", Some(&maria)).await.0, 400);
    let completions = rig.chain("c4").await.iter().filter(|entry| entry["kind"] == "task.completed").count();
    assert_eq!(completions, 1);

    // A recorded call leaves neither, nor does one that was abandoned, and one without a case manager is in nobody's queue.
    rig.recorded("CArecorded", "c4").await;
    let mut gone = Caller::connect(rig.address(), "CAgone", json!({ "clientId": "c4", "caseManagerId": "u-maria" })).await;
    gone.frames(50).await;
    gone.stop().await;
    rig.call("CAgone", |call| call["phase"] == "ABANDONED").await;
    let nobodys = declined(&rig, "CAnobodys", "c4", "").await;
    let (_, page) = rig.get_as("/api/clients/c4/interactions?limit=1", Some(&maria)).await;
    assert_eq!(page["interactions"][0]["id"], nobodys["callId"], "newest first");
    assert_eq!(rig.get_as("/api/tasks", Some(&maria)).await.1["tasks"], json!([]));

    // Page by page.
    let next = page["next"].as_str().unwrap();
    let (_, page) = rig.get_as(&format!("/api/clients/c4/interactions?limit=1&after={next}"), Some(&maria)).await;
    assert_eq!(page["interactions"][0]["id"], call["callId"]);
    let next = page["next"].as_str().unwrap();
    let (_, page) = rig.get_as(&format!("/api/clients/c4/interactions?limit=1&after={next}"), Some(&maria)).await;
    assert_eq!(page, json!({ "interactions": [], "next": null }));
    assert_eq!(rig.get_as("/api/clients/c4/interactions?after=then", Some(&maria)).await.0, 400);
    assert_eq!(rig.get_as("/api/clients/other/interactions", Some(&maria)).await.0, 403);
    chain_holds(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn us_4_every_reason_for_which_a_call_goes_unrecorded_is_logged() {
    let rig = Rig::start(Given::default()).await;
    declined(&rig, "CAclient", "cr", "cm").await;
    for _ in 0..400 {
        if rig.get("/api/clients/cr/consent").await.1["recording"]["status"] == "REVOKED" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    // "PRIOR_OPT_OUT // Client had revoked consent"
    let mut prior = Caller::connect(rig.address(), "CAprior", json!({ "mode": "stay", "clientId": "cr", "direction": "OUTBOUND" })).await;
    prior.frames(50).await;
    prior.stop().await;
    rig.call("CAprior", |call| call["phase"] == "ENDED").await;
    // "SYSTEM_ERROR // Recording failed": what came was no media stream.
    let mut broken = Caller::connect(rig.address(), "CAbroken", json!({ "mode": "stay", "clientId": "cr" })).await;
    broken.frames(50).await;
    broken.raw(Message::text("x".repeat(100_000))).await;
    rig.call("CAbroken", |call| call["phase"] == "ENDED").await;
    let (_, page) = rig.get("/api/clients/cr/interactions").await;
    let mut reasons: Vec<_> = page["interactions"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["CLIENT_OPT_OUT", "PRIOR_OPT_OUT", "SYSTEM_ERROR"]);
    let chain = rig.chain("cr").await;
    assert_eq!(chain.iter().filter(|entry| entry["kind"] == "interaction.logged").count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_own_two_queues_earlier_recordings_only_where_it_is_configured_and_a_persons_word_always() {
    for (configured, by_api, queued) in [("false", false, false), ("true", false, true), ("false", true, true)] {
        let rig = Rig::start(Given { decline_queues_recordings: text(configured), ..Given::default() }).await;
        let past = rig.recorded("CAearlier", "c").await;
        let mut caller = Caller::talking_as(&rig, "CAthis", "c").await;
        // Past the closing line: until then a 2 answers the question, and nothing of the call is kept.
        caller.frames(300).await;
        let call = rig.call("CAthis", |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(80)).await;
        if by_api {
            let route = format!("/api/calls/{}/opt-out", call["callId"].as_str().unwrap());
            assert_eq!(rig.post_as(&route, json!({}), &rig.token).await.0, 200);
        } else {
            caller.key("2").await;
            caller.frames(200).await;
        }
        caller.stop().await;
        let call = rig.call("CAthis", |call| call["recording"]["state"] == "FINISHED" && call["phase"] == "ENDED").await;
        rig.chain("c").await;
        let until = rig.get(&format!("/api/recordings/{past}")).await.1["retentionUntil"].clone();
        assert_eq!(until.is_string(), queued, "configured {configured}, by API {by_api}");
        let this = call["recording"]["recordingId"].as_str().unwrap();
        let row = rig.get(&format!("/api/recordings/{this}")).await.1;
        assert_eq!(row["retentionUntil"], Value::Null, "what this call captured follows CALLGATE_ON_OPT_OUT");
        chain_holds(&rig).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_read_of_a_recording_and_every_denial_is_in_the_access_log_beside_its_chain_entry() {
    let rig = Rig::start(Given::default()).await;
    let recording = rig.recorded("CAlog", "c").await;
    let route = format!("/api/recordings/{recording}");
    let clerk = rig.token_of("clerk", "", &["canViewRecordings"], &["*"]);
    let stranger = rig.token_of("stranger", "", &PERMISSIONS, &["d"]);
    let nobody = rig.token_of("nobody", "", &[], &["*"]);
    assert_eq!(rig.get_as(&route, Some(&clerk)).await.0, 200);
    assert_eq!(rig.get_as(&format!("{route}/audio"), Some(&clerk)).await.0, 200);
    assert_eq!(rig.get_as(&route, Some(&stranger)).await.0, 403);
    assert_eq!(rig.get_as(&route, Some(&nobody)).await.0, 403);
    revoke(&rig, "c", &rig.token).await;
    assert_eq!(rig.get_as(&route, Some(&clerk)).await.0, 410);
    rig.chain("c").await;
    let asked = r#"SELECT l."userId", l."what", CAST(l."outcome" AS TEXT), l."recordingId", a."kind" FROM "AccessLog" l
      JOIN "AuditEvent" a ON a."orgId" = l."orgId" AND a."seq" = l."auditSeq" AND a."at" = l."at" ORDER BY l."auditSeq""#;
    let logged = crate::common::raw(rig.folder.path()).await.texts::<5>(asked).await;
    let expected = [
        ["clerk", "description", "ALLOWED", &recording, "recording.read"],
        ["clerk", "audio", "ALLOWED", &recording, "recording.read"],
        ["stranger", "description", "DENIED", &recording, "access.denied"],
        ["nobody", &route, "DENIED", &recording, "access.denied"],
        ["clerk", "description", "QUEUED", &recording, "access.denied"],
    ];
    assert_eq!(logged, expected.map(|row| row.map(str::to_owned)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legal_hold_says_who_and_why_and_is_one_a_client() {
    let rig = Rig::start(Given::default()).await;
    rig.recorded("CAheld", "c").await;
    revoke(&rig, "c", &rig.token).await;
    let route = "/api/clients/c/legal-hold";
    let lawyer = rig.token_of("u-law", "Lena Law", &["canViewAuditLogs"], &["*"]);
    assert_eq!(rig.post_as(route, json!({ "reason": "dispute" }), &rig.token_of("u", "U", &["canEditClients"], &["*"])).await.0, 403);
    assert_eq!(rig.post_as(route, json!({}), &lawyer).await.1["detail"], "a legal hold needs a reason");
    let (status, held) = rig.post_as(route, json!({ "reason": "dispute 4711" }), &lawyer).await;
    assert_eq!((status, held["held"].as_bool(), held["recordingsHeld"].as_u64()), (200, Some(true), Some(1)), "{held}");
    assert_eq!(held["deletionsUnderWay"], 0);
    assert_eq!(held["hold"]["placedBy"], json!({ "id": "u-law", "name": "Lena Law" }));
    let (_, again) = rig.post_as(route, json!({ "reason": "another" }), &rig.token).await;
    assert_eq!(again["hold"], held["hold"], "the one in force stays as it is");
    let (status, lifted) = rig.ask(Http::DELETE, route, String::new(), &lawyer).await;
    assert_eq!((status, lifted["held"].as_bool(), lifted["hold"]["liftedBy"]["id"].as_str()), (200, Some(false), Some("u-law")));
    let (status, none) = rig.ask(Http::DELETE, route, String::new(), &lawyer).await;
    assert_eq!((status, none), (200, json!({ "held": false, "hold": null })), "twice is fine");
    let (_, second) = rig.post_as(route, json!({ "reason": "another" }), &rig.token).await;
    assert_ne!(second["hold"]["holdId"], held["hold"]["holdId"]);
    let chain = rig.chain("c").await;
    let holds: Vec<_> = chain
        .iter()
        .filter(|entry| entry["kind"].as_str().unwrap().starts_with("hold."))
        .map(|entry| entry["kind"].as_str().unwrap())
        .collect();
    assert_eq!(holds, ["hold.placed", "hold.lifted", "hold.placed"]);
    assert_eq!(line(&chain, "hold.lifted")["detail"]["holdId"], held["hold"]["holdId"]);
    assert!(!chain.iter().any(|entry| entry.to_string().contains("4711")), "a reason enters no link");
    chain_holds(&rig).await;
}
