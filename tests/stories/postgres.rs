//! The gateway on PostgreSQL, seen from outside: calls, a server that goes away and comes back, two gateways on one database.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::databases::{self, Cluster};
use crate::common::{Caller, Rig};
use callgate::io::database::VerifyReport;
use callgate::server::Given;
use serde_json::json;

fn on(url: &str) -> Given {
    Given { database_url: Some(url.to_owned()), ..Given::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_comes_out_as_it_says_on_postgres() {
    let url = databases::fresh().await;
    let rig = Rig::start(on(&url)).await;
    let report = crate::common::every_scenario_comes_out(rig, &url).await;
    // The binary's own check.
    let rig_folder = tempfile::tempdir().unwrap();
    let mut verify = Command::new(env!("CARGO_BIN_EXE_callgate"));
    let verify = verify.args(["audit", "verify"]).env("CALLGATE_DATABASE_URL", &url).current_dir(rig_folder.path()).output().unwrap();
    let told = String::from_utf8(verify.stdout).unwrap();
    assert_eq!(told.trim(), format!("verified {} entries, head {}", report.entries, report.head()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_its_server_does_not_start_and_says_why_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("postgres://callgate:hunter2@localhost/calls?host={}", folder.path().display());
    let served = Command::new(env!("CARGO_BIN_EXE_callgate"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path().join("data"))
        .env("CALLGATE_DATABASE_URL", &url)
        .output()
        .unwrap();
    let told = String::from_utf8(served.stderr).unwrap();
    assert_eq!(served.status.code(), Some(2), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("/calls cannot be opened: nothing answers there") && !told.contains("hunter2"), "{told}");
    let config = Command::new(env!("CARGO_BIN_EXE_callgate")).arg("config").env("CALLGATE_DATABASE_URL", &url).output().unwrap();
    let told = String::from_utf8(config.stdout).unwrap();
    assert!(told.contains("CALLGATE_DATABASE_URL") && told.contains("/calls") && !told.contains("hunter2"), "{told}");
}

async fn ready(rig: &Rig, wanted: u16) -> serde_json::Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let (status, told) = rig.get_as("/readyz", None).await;
        if status == wanted {
            return told;
        }
        assert!(Instant::now() < deadline, "readyz is {status}: {told}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_and_starts_again_costs_no_call_and_no_line_of_the_chain() {
    let mut server = Cluster::start(&["fsync=off"]).await;
    let url = server.url("postgres");
    let rig = Rig::start(on(&url)).await;
    let mut recorded = Caller::talking(&rig, "CArecorded").await;
    // Twelve seconds: past the question and its answer, where a 2 would take the whole call back.
    recorded.frames(600).await;
    let stay = |client: &str| json!({ "mode": "stay", "clientId": client });
    let mut unrecorded = Caller::connect(rig.address(), "CAunrecorded", stay("unlucky")).await;
    let page = async |sid: &str| format!("/api/calls/{}", rig.call(sid, |_| true).await["callId"].as_str().unwrap());
    let (recorded_page, unrecorded_page) = (page("CArecorded").await, page("CAunrecorded").await);
    server.stop("QUIT");
    // P6: who says yes now talks on, and is not recorded.
    unrecorded.frames(250).await;
    unrecorded.key("1").await;
    talk_until(&rig, &mut unrecorded, &unrecorded_page, |told| told.contains("SYSTEM_ERROR") && told.contains("CONNECTED")).await;
    // And who calls now is asked.
    let mut late = Caller::connect(rig.address(), "CAlate", stay("late")).await;
    let told = ready(&rig, 503).await;
    assert!(told["database"] == false && told["why"].to_string().contains("database:"), "{told}");
    // P2: who says no now is cut off now, whenever it can be written down.
    recorded.frames(50).await;
    recorded.key("2").await;
    recorded.frames(200).await;
    talk_until(&rig, &mut recorded, &recorded_page, |told| told.contains("REVOKED") && !told.contains("ACTIVE")).await;
    server.run().await;
    ready(&rig, 200).await;
    for caller in [&mut recorded, &mut unrecorded, &mut late] {
        caller.stop().await;
    }
    rig.call("CAlate", |call| call["phase"] == "ABANDONED").await;
    // What consent covered is kept and stored; nothing after the no is.
    let ended = rig.call("CArecorded", |call| call["phase"] == "ENDED" && call["recording"]["state"] == "FINISHED").await;
    assert_eq!(ended["consent"]["status"], "REVOKED");
    assert!(ended["recording"]["framesCaptured"]["inbound"].as_u64().is_some_and(|frames| (600..650).contains(&frames)), "{ended}");
    let ended = rig.call("CAunrecorded", |call| call["phase"] == "ENDED").await;
    assert_eq!((ended["unrecordedReason"].as_str(), ended["isRecorded"].as_bool()), (Some("SYSTEM_ERROR"), Some(false)));
    assert_eq!(ended["recording"]["framesCaptured"]["inbound"], 0);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (_, page) = rig.get("/api/audit?limit=500").await;
        let of = |kind: &str| page["entries"].as_array().unwrap().iter().filter(|row| row["entry"]["kind"] == kind).count();
        // The refusal was handed in again and again, and is written once.
        if (of("consent.revoked"), of("recording.halted")) == (1, 1) && of("call.unrecorded") >= 1 {
            break;
        }
        assert!(Instant::now() < deadline, "the chain never got it all: {page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    rig.gateway.drain(Duration::from_secs(5)).await;
    let report = VerifyReport::of(&url).await.unwrap();
    assert_eq!(report.broken, None);
}

/// Talks on until the gateway is as wanted, by a page that needs no database.
async fn talk_until(rig: &Rig, caller: &mut Caller, page: &str, wanted: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        caller.frames(5).await;
        let request = reqwest::Client::new().get(format!("http://{}{page}", rig.address())).bearer_auth(&rig.token);
        let told = request.send().await.unwrap().text().await.unwrap();
        if wanted(&told) {
            return;
        }
        assert!(Instant::now() < deadline, "{page} never said as wanted: {told}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_know_each_others_clients() {
    let url = databases::fresh().await;
    let (one, other) = (Rig::start(on(&url)).await, Rig::start(on(&url)).await);
    let mut caller = Caller::connect(one.address(), "CAno", json!({ "mode": "stay", "clientId": "somebody" })).await;
    caller.frames(250).await;
    caller.key("2").await;
    one.call("CAno", |call| call["consent"]["status"] == "REVOKED").await;
    caller.stop().await;
    one.call("CAno", |call| call["phase"] == "ENDED").await;
    // The call of one is found through the other, and so is its client's no, by which an outbound call is not asked again.
    other.call("CAno", |call| call["phase"] == "ENDED" && call["consent"]["status"] == "REVOKED").await;
    let outbound = json!({ "mode": "stay", "clientId": "somebody", "direction": "OUTBOUND" });
    let mut again = Caller::connect(other.address(), "CAagain", outbound).await;
    again.frames(50).await;
    let call = other.call("CAagain", |call| call["unrecordedReason"] == "PRIOR_OPT_OUT").await;
    assert_eq!((call["phase"].as_str(), call["isRecorded"].as_bool()), (Some("CONNECTED"), Some(false)), "{call}");
    again.stop().await;
    for rig in [one, other] {
        rig.gateway.drain(Duration::from_secs(5)).await;
    }
    let report = VerifyReport::of(&url).await.unwrap();
    assert_eq!(report.broken, None);
}
