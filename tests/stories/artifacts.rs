//! What other systems make of a call: whether they may, what was registered, and how it goes when consent goes.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Caller, PERMISSIONS, Rig, claims};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use callgate::io::clock::wall;
use callgate::server::Given;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const DERIVED: [&str; 5] = ["TRANSCRIPT", "SUMMARY", "SENTIMENT", "QA_SCORE", "CRM_SYNC"];

async fn artifacts(rig: &Rig, call: &Value) -> Value {
    let (status, told) = rig.get(&format!("/api/calls/{}/artifacts", call["callId"].as_str().unwrap())).await;
    assert_eq!(status, 200, "{told}");
    told
}

async fn register(rig: &Rig, call: &Value, kind: &str, owner: &str) -> (u16, Value) {
    let route = format!("/api/calls/{}/artifacts", call["callId"].as_str().unwrap());
    rig.post_as(&route, json!({ "kind": kind, "ownerId": owner }), &rig.token).await
}

/// Every kind but notes is ruled so.
fn ruled(told: &Value, allowed: bool, reason: &str) {
    for kind in DERIVED {
        assert_eq!((&told[kind]["allowed"], &told[kind]["reason"]), (&json!(allowed), &json!(reason)), "{kind}: {told}");
    }
}

async fn finished(rig: &Rig, sid: &str, client: &str) -> Value {
    rig.recorded(sid, client).await;
    rig.call(sid, |call| call["phase"] == "ENDED").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_made_follows_the_gate() {
    let rig = Rig::start(Given::default()).await;
    // While the prompt plays nothing may.
    let mut caller = Caller::connect(rig.address(), "CAone", json!({ "mode": "stay", "clientId": "c1" })).await;
    caller.frames(50).await;
    let call = rig.call("CAone", |call| call["phase"] == "PROMPTING").await;
    let told = artifacts(&rig, &call).await;
    ruled(&told, false, "NO_CONSENT");
    assert_eq!((&told["RECORDING"]["allowed"], &told["AGENT_NOTES"]["reason"]), (&json!(false), &json!("NOT_CONNECTED")));
    let (status, problem) = register(&rig, &call, "SENTIMENT", "s-0").await;
    assert_eq!((status, &problem["reason"]), (409, &json!("NO_CONSENT")), "{problem}");
    assert_eq!(problem["detail"], "SENTIMENT may not be made of this call: the client has not consented to this call being recorded");

    // After a yes all may, since then.
    caller.frames(200).await;
    caller.key("1").await;
    let call = rig.call("CAone", |call| call["recording"]["state"] == "ACTIVE").await;
    let told = artifacts(&rig, &call).await;
    ruled(&told, true, "CONSENT");
    assert_eq!((&told["RECORDING"]["allowed"], &told["SUMMARY"]["since"]), (&json!(true), &call["consent"]["grantedAt"]));
    assert_eq!(told["AGENT_NOTES"]["reason"], "NO_CONSENT_NEEDED");
    assert_eq!(register(&rig, &call, "SENTIMENT", "s-1").await.0, 201);

    // In a pause nothing; after it again.
    let route = format!("/api/calls/{}", call["callId"].as_str().unwrap());
    assert_eq!(rig.post_as(&format!("{route}/pause"), json!({ "reason": "PAYMENT" }), &rig.token).await.0, 200);
    let told = artifacts(&rig, &call).await;
    ruled(&told, false, "PAUSED");
    assert!(told["SUMMARY"]["since"].is_string());
    assert_eq!(register(&rig, &call, "TRANSCRIPT", "t-0").await.1["reason"], "PAUSED");
    assert_eq!(rig.post_as(&format!("{route}/resume"), json!({}), &rig.token).await.0, 200);
    ruled(&artifacts(&rig, &call).await, true, "CONSENT");

    // A no in mid-call: what is captured is kept, and nothing new is made of it. The case manager's notes are the case manager's.
    caller.frames(100).await;
    caller.key("2").await;
    caller.frames(100).await;
    rig.call("CAone", |call| call["consent"]["status"] == "REVOKED").await;
    for _ in 0..200 {
        if artifacts(&rig, &call).await["SUMMARY"]["since"].is_string() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let told = artifacts(&rig, &call).await;
    ruled(&told, false, "CONSENT_WITHDRAWN");
    assert!(told["SUMMARY"]["since"].is_string() && told["AGENT_NOTES"]["allowed"] == true, "{told}");
    let (status, problem) = register(&rig, &call, "SUMMARY", "s-2").await;
    assert_eq!((status, &problem["reason"]), (409, &json!("CONSENT_WITHDRAWN")));
    assert_eq!(register(&rig, &call, "AGENT_NOTES", "n-1").await.0, 201);
    caller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_is_made_once_by_who_may_and_stands_in_the_chain() {
    let rig = Rig::start(Given::default()).await;
    let (call, other) = (finished(&rig, "CAone", "c1").await, finished(&rig, "CAtwo", "c2").await);
    assert_eq!(artifacts(&rig, &call).await["RECORDING"]["reason"], "CALL_OVER");
    let (status, made) = register(&rig, &call, "SUMMARY", "summary-7").await;
    assert_eq!(status, 201, "{made}");
    assert_eq!((&made["kind"], &made["callId"], &made["retentionUntil"]), (&json!("SUMMARY"), &call["callId"], &Value::Null));
    assert_eq!(register(&rig, &call, "SUMMARY", "summary-7").await, (200, made.clone()), "the same again");
    for (call, kind) in [(&call, "QA_SCORE"), (&other, "SUMMARY")] {
        let (status, problem) = register(&rig, call, kind, "summary-7").await;
        assert!(status == 422 && problem["detail"].as_str().unwrap().contains("another artifact"), "{problem}");
    }
    assert_eq!(artifacts(&rig, &call).await["registered"], json!([made]));
    let chain = rig.chain("c1").await;
    let told: Vec<_> = chain.iter().filter(|entry| entry["kind"] == "artifact.registered").collect();
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&told["callId"], &told["detail"]["artifactId"]), (&call["callId"], &made["artifactId"]));
    assert!(!told.to_string().contains("summary-7"), "its owner's id may be anything, and stays out of the chain");

    let route = format!("/api/calls/{}/artifacts", call["callId"].as_str().unwrap());
    let confirm = format!("/api/artifacts/{}/deleted", made["artifactId"].as_str().unwrap());
    let viewer = rig.token_of("u-view", "View", &["canViewClients"], &["*"]);
    let stranger = rig.token_of("u-far", "Far", &PERMISSIONS, &["c9"]);
    let elsewhere = rig.gateway.tokens().mint(&claims(&PERMISSIONS, &["*"], "other-org")).unwrap();
    let body = json!({ "kind": "SUMMARY", "ownerId": "x" });
    for (token, status) in [(&viewer, 403), (&stranger, 403), (&elsewhere, 404)] {
        assert_eq!(rig.post_as(&route, body.clone(), token).await.0, status);
        assert_eq!(rig.post_as(&confirm, json!({}), token).await.0, status);
    }
    assert_eq!(rig.get_as(&route, Some(&viewer)).await.0, 200);
    for wrong in [
        json!({}),
        json!({ "kind": "DREAM", "ownerId": "x" }),
        json!({ "kind": "SUMMARY", "ownerId": "" }),
        json!({ "kind": "SUMMARY", "ownerId": "x".repeat(129) }),
    ] {
        let (status, problem) = rig.post_as(&route, wrong, &rig.token).await;
        assert!(status == 400 && problem["detail"].as_str().unwrap().contains("AGENT_NOTES | CRM_SYNC"), "{problem}");
    }
    assert_eq!(rig.post_as("/api/artifacts/none/deleted", json!({}), &rig.token).await.0, 404);
    assert_eq!(rig.get("/api/calls/none/artifacts").await.0, 404);
}

/// The owner of artifacts, as it hears of them.
#[derive(Clone, Default)]
struct Owner {
    /// It takes nothing.
    shut: Arc<AtomicBool>,
    heard: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Owner {
    async fn start() -> (Self, String) {
        let owner = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        let router = Router::new().route("/events", post(hear)).with_state(owner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (owner, url)
    }

    fn asked(&self) -> Vec<(String, Value)> {
        self.heard.lock().unwrap().iter().filter(|(_, told)| told["type"] == "artifact.delete").cloned().collect()
    }
}

async fn hear(State(owner): State<Owner>, headers: HeaderMap, body: String) -> StatusCode {
    assert!(headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));
    let told: Value = serde_json::from_str(&body).unwrap();
    if told["type"] == "artifact.delete" && owner.shut.load(Ordering::Relaxed) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    owner.heard.lock().unwrap().push((headers["webhook-id"].to_str().unwrap().to_owned(), told));
    StatusCode::NO_CONTENT
}

/// `callgate retention sweep`, so many days from now: its exit code, and the line about artifacts.
fn sweep(rig: &Rig, url: &str, days: i64, more: &[&str]) -> (i32, String) {
    let mut sweep = Command::new(env!("CARGO_BIN_EXE_callgate"));
    sweep.args(["retention", "sweep", "--as-of", &wall().plus_days(days).to_string()]).args(more);
    sweep.env("CALLGATE_DATA_DIR", rig.folder.path()).env("CALLGATE_DATABASE_URL", crate::common::database_url(rig.folder.path()));
    if !url.is_empty() {
        sweep.env("CALLGATE_WEBHOOK_URL", url).env("CALLGATE_WEBHOOK_SECRET", SECRET);
    }
    let ran = sweep.current_dir(rig.folder.path()).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap();
    let line = said.lines().find(|line| line.starts_with("artifacts due")).unwrap_or_default().to_owned();
    (ran.status.code().unwrap(), line)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_reaches_what_others_made_until_they_say_that_it_is_gone() {
    let rig = Rig::start(Given::default()).await;
    let (owner, url) = Owner::start().await;
    let call = finished(&rig, "CAone", "c1").await;
    let (_, summary) = register(&rig, &call, "SUMMARY", "summary-7").await;
    let (_, notes) = register(&rig, &call, "AGENT_NOTES", "notes-7").await;
    assert_eq!(sweep(&rig, &url, 40, &[]), (0, String::new()), "nothing is due while consent stands");
    let (status, revoked) = rig.post_as("/api/clients/c1/consent/revoke", json!({}), &rig.token).await;
    assert_eq!(status, 200);
    let told = artifacts(&rig, &call).await;
    ruled(&told, false, "CONSENT_WITHDRAWN");
    let registered = told["registered"].as_array().unwrap().clone();
    assert_eq!(registered[0]["retentionUntil"], revoked["retentionUntil"], "with the recordings");
    assert_eq!((&registered[1]["artifactId"], &registered[1]["retentionUntil"]), (&notes["artifactId"], &Value::Null), "notes stay");
    assert_eq!(register(&rig, &call, "QA_SCORE", "late").await.1["reason"], "CONSENT_WITHDRAWN");
    assert_eq!(register(&rig, &call, "SUMMARY", "summary-7").await.0, 200, "what was registered is answered as it stands");

    // Not yet due; held; owner away; no owner known.
    assert_eq!(sweep(&rig, &url, 29, &[]).1, "");
    rig.post_as("/api/clients/c1/legal-hold", json!({ "reason": "dispute" }), &rig.token).await;
    assert_eq!(sweep(&rig, &url, 31, &[]).1, "", "a hold beats the date");
    assert_eq!(
        rig.ask(reqwest::Method::DELETE, "/api/clients/c1/legal-hold", json!({ "reason": "over" }).to_string(), &rig.token).await.0,
        200
    );
    assert_eq!(sweep(&rig, &url, 30, &["--dry-run"]).1, "artifacts due 1: asked 0, not asked 0, overdue 0");
    owner.shut.store(true, Ordering::Relaxed);
    assert_eq!(sweep(&rig, &url, 30, &[]), (1, "artifacts due 1: asked 0, not asked 1, overdue 0".to_owned()));
    assert_eq!(sweep(&rig, "", 30, &[]), (1, "artifacts due 1: asked 0, not asked 1, overdue 0".to_owned()));
    assert!(owner.asked().is_empty());

    // Asked once, and not again while the owner works on it; overdue after a day, which is told once in the chain.
    owner.shut.store(false, Ordering::Relaxed);
    assert_eq!(sweep(&rig, &url, 30, &[]), (0, "artifacts due 1: asked 1, not asked 0, overdue 0".to_owned()));
    let asked = owner.asked();
    let [(_, told)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((&told["data"]["artifactId"], &told["data"]["ownerId"]), (&summary["artifactId"], &json!("summary-7")));
    let (code, line) = sweep(&rig, &url, 32, &[]);
    assert_eq!((code, line.as_str()), (1, "artifacts due 1: asked 1, not asked 0, overdue 1"));
    assert_eq!(sweep(&rig, &url, 32, &[]).0, 1);
    let kinds = async || {
        let kind = |entry: Value| entry["kind"].as_str().unwrap().to_owned();
        rig.chain("c1").await.into_iter().map(kind).filter(|kind| kind.starts_with("artifact.")).collect::<Vec<_>>()
    };
    let expected = ["artifact.registered", "artifact.registered", "artifact.queued", "artifact.asked", "artifact.overdue"];
    assert_eq!(kinds().await, expected);

    // Gone, by its owner's word; the first word counts.
    let confirm = format!("/api/artifacts/{}/deleted", summary["artifactId"].as_str().unwrap());
    let (status, gone) = rig.post_as(&confirm, json!({}), &rig.token).await;
    assert!(status == 200 && gone["deletedAt"].is_string(), "{gone}");
    assert_eq!(rig.post_as(&confirm, json!({}), &rig.token).await, (200, gone));
    assert_eq!(sweep(&rig, &url, 60, &[]).1, "", "nothing more to ask for");
    assert_eq!(kinds().await.last().unwrap(), "artifact.deleted");
    assert_eq!(kinds().await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_of_a_recording_that_is_queued_for_deletion_and_nothing_made_of_it_outlives_it() {
    let rig = Rig::start(Given::default()).await;
    let (owner, url) = Owner::start().await;
    let call = finished(&rig, "CAone", "c1").await;
    assert_eq!(register(&rig, &call, "SUMMARY", "before").await.0, 201);
    let (status, revoked) = rig.post_as("/api/clients/c1/consent/revoke", json!({}), &rig.token).await;
    assert_eq!(status, 200, "{revoked}");
    // The client says yes again, on another call: that recording is theirs to allow, and the other one is as good as gone.
    let later = finished(&rig, "CAtwo", "c1").await;
    assert_eq!(rig.get("/api/clients/c1/consent").await.1["recording"]["status"], "GRANTED");
    let told = artifacts(&rig, &call).await;
    ruled(&told, false, "DELETION_QUEUED");
    assert_eq!(told["RECORDING"]["reason"], "DELETION_QUEUED");
    assert!(told["SUMMARY"]["since"].is_string() && told["AGENT_NOTES"]["allowed"] == true, "{told}");
    assert_eq!(told["registered"][0]["retentionUntil"], revoked["retentionUntil"]);
    let (status, problem) = register(&rig, &call, "SUMMARY", "late").await;
    assert_eq!((status, &problem["reason"]), (409, &json!("DELETION_QUEUED")), "{problem}");
    assert_eq!(problem["detail"], "SUMMARY may not be made of this call: the recording is queued for deletion");
    assert_eq!(register(&rig, &call, "AGENT_NOTES", "notes").await.0, 201);
    ruled(&artifacts(&rig, &later).await, true, "CONSENT");
    let (status, kept) = register(&rig, &later, "SUMMARY", "of-the-later").await;
    assert_eq!((status, &kept["retentionUntil"]), (201, &Value::Null), "{kept}");

    // One that came to stand there all the same, without a date: it is due with its recording, and not before.
    let dateless = r#"UPDATE "Artifact" SET "queuedAt" = NULL, "dueAt" = NULL, "revocationSeq" = NULL WHERE "ownerId" = 'before'"#;
    assert_eq!(crate::common::raw(rig.folder.path()).await.execute(dateless).await.unwrap(), 1);
    assert_eq!(sweep(&rig, &url, 29, &[]).1, "");
    assert_eq!(sweep(&rig, &url, 31, &[]).1, "artifacts due 1: asked 1, not asked 0, overdue 0");
    assert_eq!(owner.asked()[0].1["data"]["ownerId"], "before");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_registered_while_consent_is_withdrawn_is_refused_or_goes_with_the_recording() {
    let rig = Rig::start(Given::default()).await;
    let call = finished(&rig, "CAone", "c1").await;
    assert_eq!(register(&rig, &call, "SUMMARY", "before").await.0, 201);
    let owners: Vec<String> = (0..16).map(|n| format!("summary-{n}")).collect();
    let registering = futures_util::future::join_all(owners.iter().map(|owner| register(&rig, &call, "SUMMARY", owner)));
    let revoking = rig.post_as("/api/clients/c1/consent/revoke", json!({}), &rig.token);
    let ((status, revoked), answers) = tokio::join!(revoking, registering);
    assert_eq!(status, 200, "{revoked}");
    for (status, answer) in &answers {
        let refused = *status == 409 && answer["reason"] == "CONSENT_WITHDRAWN";
        assert!(*status == 201 || refused, "{status}: {answer}");
    }
    let registered = artifacts(&rig, &call).await["registered"].as_array().unwrap().clone();
    assert_eq!(registered.len(), 1 + answers.iter().filter(|(status, _)| *status == 201).count());
    for artifact in registered {
        assert_eq!(artifact["retentionUntil"], revoked["retentionUntil"], "none is left without a date");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_of_a_call_that_was_discarded_is_asked_back_at_once() {
    let (owner, url) = Owner::start().await;
    let rig = Rig::start(Given { on_opt_out: Some("discard-call".into()), ..Given::default() }).await;
    let mut caller = Caller::talking_as(&rig, "CAone", "c1").await;
    caller.frames(50).await;
    let call = rig.call("CAone", |call| call["recording"]["state"] == "ACTIVE").await;
    assert_eq!(register(&rig, &call, "SENTIMENT", "s-1").await.0, 201);
    caller.key("2").await;
    caller.frames(100).await;
    caller.stop().await;
    rig.call("CAone", |call| call["recording"]["state"] == "DISCARDED").await;
    let mut line = String::new();
    for _ in 0..100 {
        line = sweep(&rig, &url, 0, &[]).1;
        if !line.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(line, "artifacts due 1: asked 1, not asked 0, overdue 0");
    assert_eq!(owner.asked().len(), 1);
    assert_eq!(owner.asked()[0].1["data"]["ownerId"], "s-1");
}
