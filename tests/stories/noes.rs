//! A client's no while the database takes nothing: it is in force at once, is never forgotten, and is called written only when it is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::transcripts::{LAST, NO, recorded};
use crate::common::databases::{self, Raw};
use crate::common::recogniser::{Mood, Recogniser};
use crate::common::{Caller, Door, Rig, Served, files, on_postgres, until};
use callgate::io::database::VerifyReport;
use callgate::server::Given;
use serde_json::{Value, json};

const TYPE: &str = "urn:callgate:problem:gate-shut-record-pending";

/// Nothing more is written into the ledger, until [`release`]. It can be read.
async fn hold(raw: &mut Raw) {
    raw.execute(if on_postgres() { r#"BEGIN; LOCK TABLE "AuditEvent""# } else { "BEGIN EXCLUSIVE" }).await.unwrap();
}

async fn release(raw: &mut Raw) {
    raw.execute("ROLLBACK").await.unwrap();
}

/// Noes that lie beside the spool.
fn kept(folder: &Path) -> Vec<PathBuf> {
    files(&folder.join("spool")).into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "no")).collect()
}

/// `POST /api/calls/{id}/opt-out`: status, `Gate-Shut-At`, body.
async fn opt_out(rig: &Rig, id: &str) -> (u16, Option<String>, Value) {
    let request = reqwest::Client::new().post(format!("http://{}/api/calls/{id}/opt-out", rig.address())).bearer_auth(&rig.token);
    let answer = request.send().await.unwrap();
    let shut_at = answer.headers().get("gate-shut-at").map(|at| at.to_str().unwrap().to_owned());
    (answer.status().as_u16(), shut_at, answer.json().await.unwrap())
}

fn captured(call: &Value) -> u64 {
    call["recording"]["framesCaptured"]["inbound"].as_u64().unwrap_or_else(|| panic!("{call}"))
}

/// Whether the ledger has the client's no: until then the answer is the same, and says so.
fn is_written(consent: &Value) -> bool {
    consent["recording"]["status"] == "REVOKED" && consent["recording"].get("pendingRecord").is_none()
}

/// How often the chain says so of a client.
async fn told<'a>(by: impl Into<Door<'a>>, client: &str, kind: &str) -> usize {
    let by: Door<'_> = by.into();
    by.chain(client).await.iter().filter(|entry| entry["kind"] == kind).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_is_done_only_when_the_ledger_has_it_and_until_then_the_answer_says_that_the_gate_is_shut() {
    let rig = Rig::start(Given::default()).await;
    let mut caller = Caller::talking_as(&rig, "CAno", "marked-client").await;
    caller.frames(100).await;
    let call = rig.call("CAno", |call| captured(call) >= 80).await;
    let (id, page) = (call["callId"].as_str().unwrap(), format!("/api/calls/{}", call["callId"].as_str().unwrap()));
    let mut raw = crate::common::raw(rig.folder.path()).await;
    hold(&mut raw).await;
    let began = Instant::now();
    let (status, shut_at, problem) = opt_out(&rig, id).await;
    assert!(began.elapsed() < Duration::from_secs(6), "nobody waits for long: {:?}", began.elapsed());
    assert_eq!((status, problem["type"].as_str(), problem["status"].as_u64()), (503, Some(TYPE), Some(503)), "{problem}");
    assert!(shut_at.is_some() && problem["gateShutAt"].as_str() == shut_at.as_deref(), "{shut_at:?}: {problem}");
    assert!(problem["detail"].as_str().unwrap().contains("nothing is captured any more"), "{problem}");
    // And so it is.
    let (_, state) = rig.get(&page).await;
    assert_eq!(state["consent"]["status"], "REVOKED", "{state}");
    caller.frames(100).await;
    rig.by_id(&json!(id), |call| call["recording"]["framesWithheld"]["inbound"].as_u64() >= Some(100)).await;
    assert_eq!(captured(&rig.get(&page).await.1), captured(&state), "not a frame more");
    // Who watches the gateway is told by name.
    let (status, ready) = rig.get_as("/readyz", None).await;
    assert!(status == 503 && ready["noes"] == false && ready["why"].to_string().contains("noes: 1 "), "{ready}");
    let metrics = reqwest::get(format!("http://{}/metrics", rig.address())).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("callgate_noes_unwritten 1\n"), "{metrics}");
    // It lies where the next process would find it, and nobody else can read it.
    let file = kept(rig.folder.path());
    let bytes = std::fs::read(&file[0]).unwrap();
    assert!(file.len() == 1 && !bytes.windows(13).any(|window| window == b"marked-client"), "{file:?}");
    // Said again it is the same no.
    let (status, again, _) = opt_out(&rig, id).await;
    assert_eq!((status, again), (503, shut_at));
    // The call is over: that changes nothing.
    caller.stop().await;
    rig.by_id(&json!(id), |call| call["phase"] == "ENDED").await;
    assert_eq!(opt_out(&rig, id).await.0, 503);
    release(&mut raw).await;
    until("ready again", async || rig.get_as("/readyz", None).await.0 == 200).await;
    let (status, shut_at, state) = opt_out(&rig, id).await;
    assert_eq!((status, shut_at, &state["consent"]["status"]), (200, None, &json!("REVOKED")), "{state}");
    assert_eq!(told(&rig, "marked-client", "consent.revoked").await, 1, "asked for four times, written once");
    assert_eq!(told(&rig, "marked-client", "consent.revocation_late").await, 1, "and the chain says that it came late");
    assert!(kept(rig.folder.path()).is_empty(), "it is in the ledger, and nowhere else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_that_is_not_written_yet_is_a_no_to_the_clients_next_call() {
    let rig = Rig::start(Given::default()).await;
    // A standing yes, by which an outbound call is captured unasked.
    rig.recorded("CAbefore", "c").await;
    let mut caller = Caller::talking_as(&rig, "CAno", "c").await;
    caller.frames(300).await;
    let mut raw = crate::common::raw(rig.folder.path()).await;
    hold(&mut raw).await;
    caller.key("2").await;
    caller.frames(200).await;
    caller.stop().await;
    until("it is kept", async || !kept(rig.folder.path()).is_empty()).await;
    let outbound = json!({ "mode": "stay", "clientId": "c", "direction": "OUTBOUND" });
    let mut next = Caller::connect(rig.address(), "CAnext", outbound.clone()).await;
    next.frames(50).await;
    // The database can be read, and says that the client's yes stands.
    let refused = |call: &Value| call["unrecordedReason"] == "PRIOR_OPT_OUT" && call["isRecorded"] == false;
    let live = async |sid: &str| {
        let all = rig.get("/api/calls?phase=CONNECTED").await.1["calls"].clone();
        all.as_array().unwrap().iter().find(|call| call["callSid"] == sid).cloned().unwrap_or_default()
    };
    until("the next call is not captured", async || refused(&live("CAnext").await)).await;
    release(&mut raw).await;
    // The database takes everything again, and the no may still wait for its turn: no yes overtakes it.
    let mut last = Caller::connect(rig.address(), "CAlast", outbound).await;
    last.frames(50).await;
    rig.call("CAlast", refused).await;
    until("written", async || is_written(&rig.get("/api/clients/c/consent").await.1)).await;
    assert_eq!(told(&rig, "c", "consent.revoked").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_that_is_withdrawn_while_the_database_takes_nothing_is_said_to_be_in_force_and_not_to_be_written() {
    let rig = Rig::start(Given::default()).await;
    let mut caller = Caller::talking_as(&rig, "CAlive", "c").await;
    let mut raw = crate::common::raw(rig.folder.path()).await;
    hold(&mut raw).await;
    let revoke = async || rig.post_as("/api/clients/c/consent/revoke", json!({ "reason": "by letter" }), &rig.token).await;
    let (status, problem) = revoke().await;
    assert_eq!((status, problem["type"].as_str()), (503, Some(TYPE)), "{problem}");
    assert!(problem["gateShutAt"].is_string(), "{problem}");
    caller.frames(50).await;
    release(&mut raw).await;
    until("it is written without being asked for again", async || is_written(&rig.get("/api/clients/c/consent").await.1)).await;
    let (status, done) = revoke().await;
    assert_eq!((status, &done["success"]), (200, &json!(true)), "{done}");
    assert_eq!(told(&rig, "c", "consent.revoked").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_that_is_not_written_yet_is_a_no_to_whoever_asks_where_the_client_stands() {
    let rig = Rig::start(Given::default()).await;
    rig.recorded("CAbefore", "c").await;
    let call = rig.call("CAbefore", |_| true).await;
    let artifacts = format!("/api/calls/{}/artifacts", call["callId"].as_str().unwrap());
    let consent = async || rig.get("/api/clients/c/consent").await.1;
    let granted = consent().await;
    assert!(granted["recording"]["status"] == "GRANTED" && granted["recording"].get("pendingRecord").is_none(), "{granted}");
    assert_eq!(rig.get(&artifacts).await.1["SUMMARY"]["allowed"], true);
    let mut raw = crate::common::raw(rig.folder.path()).await;
    hold(&mut raw).await;
    let (status, problem) = rig.post_as("/api/clients/c/consent/revoke", json!({}), &rig.token).await;
    assert_eq!((status, problem["type"].as_str()), (503, Some(TYPE)), "{problem}");
    let told = consent().await;
    assert_eq!((&told["recording"]["status"], &told["recording"]["pendingRecord"]), (&json!("REVOKED"), &json!(true)), "{told}");
    assert!(told["recording"]["revokedAt"].is_string() && told["recording"]["method"].is_null(), "no yes is passed off as the no: {told}");
    assert_eq!(told["history"], granted["history"], "which is what the ledger has");
    let (_, told) = rig.get(&artifacts).await;
    assert_eq!((&told["SUMMARY"]["allowed"], &told["SUMMARY"]["reason"]), (&json!(false), &json!("CONSENT_WITHDRAWN")), "{told}");
    let (status, refused) = rig.post_as(&artifacts, json!({ "kind": "SUMMARY", "ownerId": "s" }), &rig.token).await;
    assert_eq!((status, &refused["reason"]), (409, &json!("CONSENT_WITHDRAWN")), "{refused}");
    release(&mut raw).await;
    until("it is written", async || is_written(&consent().await)).await;
    let told = consent().await;
    assert_eq!((&told["recording"]["status"], &told["recording"]["method"]), (&json!("REVOKED"), &json!("WRITTEN")), "{told}");
}

/// However the process ends, by its own drain or by a kill: what it could not write the next one writes, before anything else.
#[tokio::test(flavor = "multi_thread")]
async fn a_no_that_one_process_could_not_write_is_written_by_the_next() {
    for signal in ["-KILL", "-TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let served = Served::start(folder.path(), &[("CALLGATE_DRAIN_SECONDS", "1")]);
        let token = Served::token(folder.path());
        let door = Door { address: served.address, folder: folder.path(), token: &token };
        let mut caller = Caller::connect(served.address, "CAno", json!({ "mode": "stay", "clientId": "c" })).await;
        caller.frames(250).await;
        caller.key("1").await;
        let id = door.call("CAno", |call| call["recording"]["state"] == "ACTIVE").await["callId"].as_str().unwrap().to_owned();
        caller.frames(400).await;
        let mut raw = crate::common::raw(folder.path()).await;
        hold(&mut raw).await;
        caller.key("2").await;
        caller.frames(200).await;
        until("it is kept", async || !kept(folder.path()).is_empty()).await;
        let (_, state) = door.get(&format!("/api/calls/{id}")).await;
        assert_eq!(state["consent"]["status"], "REVOKED", "{state}");
        served.signal(signal);
        let log = served.log();
        if signal == "-TERM" {
            let last = log.lines().rfind(|line| line.contains("is not in the ledger")).unwrap_or_else(|| panic!("it is told: {log}"));
            assert!(last.contains("ERROR") && last.contains("beside the spool") && last.contains(&id), "{last}");
        }
        release(&mut raw).await;
        assert_eq!(kept(folder.path()).len(), 1, "{signal}");
        let served = Served::start(folder.path(), &[]);
        let door = Door { address: served.address, ..door };
        let (_, consent) = door.get("/api/clients/c/consent").await;
        assert!(is_written(&consent), "{signal}: before the first question is answered: {consent}");
        assert!(kept(folder.path()).is_empty(), "{signal}");
        let chain = door.chain("c").await;
        let of = |kind: &str| chain.iter().filter(|entry| entry["kind"] == kind && entry["callId"] == id.as_str()).collect::<Vec<_>>();
        assert_eq!(of("consent.revoked").len(), 1, "{signal}: {chain:?}");
        assert_eq!(of("consent.revocation_late")[0]["detail"]["saidAt"], of("consent.revoked")[0]["at"], "{signal}: {chain:?}");
        // What consent covered is stored, and nothing of after the no.
        let ended = door.call("CAno", |call| call["recording"]["state"] == "FINISHED").await;
        assert_eq!(ended["phase"], "ENDED", "{ended}");
        crate::common::chain_holds(folder.path());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_that_a_dead_gateway_has_left_is_written_by_the_one_that_takes_over_its_spool() {
    let url = databases::fresh().await;
    let objects = tempfile::tempdir().unwrap();
    let store = format!("file://{}", objects.path().display());
    let other = Rig::start(Given { database_url: Some(url.clone()), objects: Some(store.clone()), ..Given::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path(), &[("CALLGATE_DATABASE_URL", &url), ("CALLGATE_OBJECTS", &store)]);
    let mut caller = Caller::connect(served.address, "CAdies", json!({ "mode": "stay", "clientId": "c" })).await;
    caller.frames(250).await;
    caller.key("1").await;
    other.call("CAdies", |call| call["recording"]["state"] == "ACTIVE").await;
    caller.frames(400).await;
    let mut raw = databases::raw(&url).await;
    raw.execute(r#"BEGIN; LOCK TABLE "AuditEvent""#).await.unwrap();
    caller.key("2").await;
    caller.frames(200).await;
    until("it is kept", async || !kept(folder.path()).is_empty()).await;
    served.signal("-KILL");
    release(&mut raw).await;
    until("written by the other", async || is_written(&other.get("/api/clients/c/consent").await.1)).await;
    until("and gone from the disk", async || kept(folder.path()).is_empty()).await;
    assert_eq!(told(&other, "c", "consent.revoked").await, 1);
    assert_eq!(told(&other, "c", "consent.revocation_late").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_kept_while_the_database_is_asked_where_the_client_stands_however_much_came_before_it() {
    let url = databases::fresh().await;
    let rig = Rig::start(Given { database_url: Some(url.clone()), ..Given::default() }).await;
    let mut raw = databases::raw(&url).await;
    raw.execute(r#"BEGIN; LOCK TABLE "ConsentRecord""#).await.unwrap();
    let mut caller = Caller::connect(rig.address(), "CAfast", json!({ "mode": "stay", "clientId": "c" })).await;
    // More than is kept of audio, in far less time than the database is given.
    caller.frames(300).await;
    caller.key("2").await;
    caller.frames(5).await;
    release(&mut raw).await;
    let call = rig.call("CAfast", |call| call["consent"]["status"] == "REVOKED").await;
    assert_eq!((&call["unrecordedReason"], &call["consent"]["method"]), (&json!("CLIENT_OPT_OUT"), &json!("KEYPRESS")), "{call}");
    until("written", async || is_written(&rig.get("/api/clients/c/consent").await.1)).await;
    assert_eq!(told(&rig, "c", "consent.revoked").await, 1);
    caller.stop().await;
    rig.call("CAfast", |call| call["phase"] == "ENDED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_presses_2_and_hangs_up_before_the_database_has_answered_has_said_no() {
    let url = databases::fresh().await;
    let rig = Rig::start(Given { database_url: Some(url.clone()), ..Given::default() }).await;
    let mut raw = databases::raw(&url).await;
    raw.execute(r#"BEGIN; LOCK TABLE "ConsentRecord""#).await.unwrap();
    let mut caller = Caller::connect(rig.address(), "CAquick", json!({ "mode": "stay", "clientId": "c" })).await;
    caller.frames(20).await;
    caller.key("2").await;
    caller.stop().await;
    drop(caller);
    let mut asked = databases::raw(&url).await;
    until("the database is asked, and does not answer", async || {
        !asked.texts::<1>("SELECT 'waits' FROM pg_locks WHERE NOT granted").await.is_empty()
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    release(&mut raw).await;
    until("written", async || is_written(&rig.get("/api/clients/c/consent").await.1)).await;
    // In the chain, and not only known of.
    until("told by the chain", async || told(&rig, "c", "consent.revoked").await == 1).await;
    let call = rig.call("CAquick", |call| call["phase"] == "ENDED").await;
    assert_eq!((&call["consent"]["method"], captured(&call)), (&json!("KEYPRESS"), 0), "{call}");
}

/// Talks until the recogniser has told of the no, which nobody judges.
async fn says_no_in_words<'a>(address: SocketAddr, seen_by: impl Into<Door<'a>>) -> Caller {
    let mut caller = Caller::connect(address, "CAsaid", json!({ "mode": "stay", "clientId": "c" })).await;
    caller.frames(250).await;
    caller.key("1").await;
    let seen_by: Door<'_> = seen_by.into();
    seen_by.call("CAsaid", |call| call["recording"]["state"] == "ACTIVE").await;
    caller.frames(250).await;
    let call = seen_by.call("CAsaid", |call| call["recording"]["state"] == "PAUSED").await;
    assert_eq!((&call["recording"]["pauses"][0]["reason"], &call["consent"]["status"]), (&json!("OPT_OUT_HEARD"), &json!("GRANTED")));
    caller.frames(50).await;
    // A kill loses half a second at most: not what this is about.
    tokio::time::sleep(Duration::from_millis(700)).await;
    caller
}

/// It was a no, on this call and to the next one.
async fn was_a_no(by: &Door<'_>, caller: &Caller, discards: bool) {
    let call = by.call("CAsaid", |call| call["phase"] == "ENDED" && call["recording"]["state"] != "HALTED").await;
    let consent = (&call["consent"]["status"], &call["consent"]["method"], &call["unrecordedReason"]);
    assert_eq!(consent, (&json!("REVOKED"), &json!("VERBAL"), &json!("CLIENT_OPT_OUT")), "{call}");
    assert_eq!(call["recording"]["pauses"], json!([]), "nobody is waited for any more: {call}");
    let standing = by.get("/api/clients/c/consent").await.1;
    assert_eq!((&standing["recording"]["status"], &standing["recording"]["method"]), (&json!("REVOKED"), &json!("VERBAL")), "{standing}");
    let chain = by.chain("c").await;
    let of = |kind: &str| chain.iter().filter(|entry| entry["kind"] == kind).collect::<Vec<_>>();
    assert_eq!(of("consent.revoked").len(), 1, "{chain:?}");
    if discards {
        assert_eq!(call["recording"]["state"], "DISCARDED", "{call}");
    } else {
        assert_eq!(call["recording"]["state"], "FINISHED", "{call}");
        let kept = recorded(*by, &call, caller.chunk).await;
        assert!(kept.last().is_some_and(|last| (LAST - 3..=LAST + 1).contains(last)), "cut where it was heard: {kept:?}");
    }
    let mut next = Caller::connect(by.address, "CAnext", json!({ "mode": "stay", "clientId": "c", "direction": "OUTBOUND" })).await;
    next.frames(100).await;
    let refused = |call: &Value| call["unrecordedReason"] == "PRIOR_OPT_OUT" && call["isRecorded"] == false && captured(call) == 0;
    by.call("CAnext", refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoken_no_that_nobody_had_judged_when_the_gateway_was_killed_is_written_at_the_next_start() {
    for discards in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let recogniser = Recogniser::start(Mood::Faithful, &NO).await;
        let transcriber = recogniser.vosk();
        let then = if discards { "discard-call" } else { "keep-consented" };
        let given = [("CALLGATE_TRANSCRIBER", &*transcriber), ("CALLGATE_ON_OPT_OUT", then), ("CALLGATE_PROMPT_IN_RECORDING", "false")];
        let served = Served::start(folder.path(), &given);
        let token = Served::token(folder.path());
        let door = Door { address: served.address, folder: folder.path(), token: &token };
        let caller = says_no_in_words(served.address, door).await;
        served.signal("-KILL");
        drop(served);
        let served = Served::start(folder.path(), &given);
        let door = Door { address: served.address, ..door };
        was_a_no(&door, &caller, discards).await;
        crate::common::chain_holds(folder.path());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoken_no_that_nobody_had_judged_is_written_by_the_gateway_that_takes_the_call_over() {
    let url = databases::fresh().await;
    let objects = tempfile::tempdir().unwrap();
    let store = format!("file://{}", objects.path().display());
    let other = Rig::start(Given { database_url: Some(url.clone()), objects: Some(store.clone()), ..Given::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let recogniser = Recogniser::start(Mood::Faithful, &NO).await;
    let transcriber = recogniser.vosk();
    let given = [
        ("CALLGATE_DATABASE_URL", &*url),
        ("CALLGATE_OBJECTS", &store),
        ("CALLGATE_TRANSCRIBER", &transcriber),
        ("CALLGATE_PROMPT_IN_RECORDING", "false"),
    ];
    let served = Served::start(folder.path(), &given);
    let caller = says_no_in_words(served.address, &other).await;
    served.signal("-KILL");
    until("taken over", async || other.get("/api/calls?callSid=CAsaid").await.1["calls"][0]["phase"] == "ENDED").await;
    was_a_no(&Door::from(&other), &caller, false).await;
    let report = VerifyReport::of(&url).await.unwrap();
    assert!(report.broken.is_none() && report.entries > 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_that_was_a_machines_is_taken_back_so_that_the_next_call_asks() {
    let rig = Rig::start(Given { inbound_route: Some("client:anna".into()), ..Given::default() }).await;
    let outbound = json!({ "mode": "stay", "clientId": "c", "direction": "OUTBOUND" });
    let mut caller = Caller::connect(rig.address(), "CAmachine", outbound.clone()).await;
    caller.hears_it_out().await;
    caller.frames(520).await;
    rig.call("CAmachine", |call| call["consent"]["method"] == "SILENCE_TIMEOUT" && call["recording"]["state"] == "ACTIVE").await;
    caller.frames(100).await;
    let status = reqwest::Client::new().post(format!("http://{}/api/webhooks/twilio/status", rig.address()));
    let told = status.form(&[("CallSid", "CAmachine"), ("AnsweredBy", "machine_start")]).send().await.unwrap();
    assert!(told.status().is_success(), "{told:?}");
    let call = rig.call("CAmachine", |call| call["unrecordedReason"] == "SYSTEM_ERROR").await;
    assert_eq!((&call["consent"]["status"], &call["consent"]["method"]), (&json!("PENDING"), &Value::Null), "{call}");
    until("taken back", async || rig.get("/api/clients/c/consent").await.1["recording"]["status"] == "PENDING").await;
    let standing = rig.get("/api/clients/c/consent").await.1;
    assert_eq!((&standing["recording"]["method"], &standing["recording"]["grantedAt"]), (&Value::Null, &Value::Null), "{standing}");
    let line = |n: usize| (standing["history"][n]["action"].clone(), standing["history"][n]["actor"].clone());
    assert_eq!(
        (line(0), line(1)),
        ((json!("PENDING"), json!("callgate")), (json!("GRANTED"), json!("Client"))),
        "both are told: {standing}"
    );
    let chain = rig.chain("c").await;
    let of = |kind: &str| chain.iter().find(|entry| entry["kind"] == kind).unwrap_or_else(|| panic!("{kind}: {chain:?}"));
    assert_eq!(of("consent.annulled")["detail"]["evidence"]["annuls"], of("consent.granted")["detail"]["recordId"]);
    assert_eq!(of("consent.annulled")["detail"]["evidence"]["answeredBy"], "machine_start");
    let mut next = Caller::connect(rig.address(), "CAnext", outbound).await;
    next.frames(150).await;
    let asked = rig.call("CAnext", |call| call["phase"] == "PROMPTING").await;
    assert_eq!((&asked["consent"]["prior"], captured(&asked)), (&json!(false), 0), "{asked}");
    // Somebody came to the telephone after all, and says no where nothing is captured.
    caller.key("2").await;
    caller.frames(150).await;
    until("a no is a no", async || is_written(&rig.get("/api/clients/c/consent").await.1)).await;
    caller.stop().await;
    let ended = rig.call("CAmachine", |call| call["phase"] == "ENDED").await;
    assert_eq!((&ended["recording"]["state"], &ended["isRecorded"]), (&json!("DISCARDED"), &json!(false)), "{ended}");
    crate::common::chain_holds(rig.folder.path());
}
