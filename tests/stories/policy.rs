//! Policy by place, from outside: who is held to what, where it is written down, and which policy is refused at the start.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common::twilio::{Phone, Twilio};
use crate::common::{Caller, PERMISSIONS, Rig, claims, files};
use callgate::io::database::Database;
use callgate::server::{Gateway, Given};
use serde_json::{Value, json};

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// A client's newest consent record, as it is kept.
async fn record(rig: &Rig, client: &str) -> Value {
    let database = Database::open(&crate::common::database_url(rig.folder.path())).await.unwrap();
    let history = database.consent_history("default", client, 1).await.unwrap();
    serde_json::to_value(&history[0].record).unwrap()
}

/// The place and the class that each source told.
fn grounds(record: &Value) -> Vec<(&str, Option<&str>, &str)> {
    let grounds = record["policyBasis"]["grounds"].as_array().unwrap().iter();
    grounds.map(|ground| (ground["source"].as_str().unwrap(), ground["region"].as_str(), ground["class"].as_str().unwrap())).collect()
}

/// Somebody calls in, as Twilio and the main app tell of it, and the stream in which the prompt plays.
async fn calls_in(rig: &Rig, sid: &str, client: &str, fields: &[(&str, &str)]) -> (Phone, Caller) {
    let phone = Phone::inbound(sid);
    let told: Vec<_> = [("clientId", client), ("Direction", "inbound")].into_iter().chain(fields.iter().copied()).collect();
    let twiml = phone.voice(rig, &told).await;
    let caller = phone.stream(rig, &twiml).await;
    (phone, caller)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_held_to_the_strictest_of_the_places_and_the_record_says_which_they_were() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(Given { place: text("US-NY"), inbound_route: text("client:desk"), ..twilio.given() }).await;
    // From New York to Massachusetts: ten seconds on the line are a yes.
    let (_, mut caller) = calls_in(&rig, "CAny", "c-ny", &[("From", "+12125550123"), ("To", "+16175550100")]).await;
    caller.hears_it_out().await;
    caller.frames(505).await;
    rig.call("CAny", |call| call["consent"]["method"] == "SILENCE_TIMEOUT").await;
    let kept = record(&rig, "c-ny").await;
    assert_eq!((&kept["policyVersion"], &kept["policyBasis"]["class"]), (&json!("callgate-2026-11"), &json!("all")), "{kept}");
    assert_eq!(
        grounds(&kept),
        [
            ("CLIENT_ADDRESS", None, "all"),
            ("CLIENT_NUMBER", Some("US-NY"), "one"),
            ("OWN_NUMBER", Some("US-MA"), "all"),
            ("CASE_MANAGER_PLACE", Some("US-NY"), "one"),
        ]
    );
    // The same from Paris, and from New York by somebody who lives in Ireland.
    for (sid, client, from, lives) in [("CAfr", "c-fr", "+33123456789", ""), ("CAie", "c-ie", "+12125550123", "IE")] {
        let fields = [("From", from), ("To", "+16175550100"), ("clientRegion", lives)];
        let (_, mut caller) = calls_in(&rig, sid, client, &fields).await;
        caller.hears_it_out().await;
        caller.frames(505).await;
        let asked_again = rig.call(sid, |call| call["phase"] == "PROMPTING").await;
        assert_eq!(asked_again["consent"]["status"], "PENDING", "silence is no consent there: {asked_again}");
        caller.frames(250).await;
        caller.key("1").await;
        rig.call(sid, |call| call["consent"]["status"] == "GRANTED").await;
        let kept = record(&rig, client).await;
        assert_eq!((&kept["method"], &kept["policyBasis"]["class"]), (&json!("KEYPRESS"), &json!("eu")), "{kept}");
    }
    // A no is written with the same.
    let (_, mut caller) = calls_in(&rig, "CAno", "c-no", &[("From", "+18005550123"), ("To", "+16175550100")]).await;
    caller.frames(50).await;
    caller.key("2").await;
    rig.call("CAno", |call| call["consent"]["status"] == "REVOKED").await;
    let mut kept = Value::Null;
    for _ in 0..200 {
        let database = Database::open(&crate::common::database_url(rig.folder.path())).await.unwrap();
        if !database.consent_history("default", "c-no", 1).await.unwrap().is_empty() {
            kept = record(&rig, "c-no").await;
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(grounds(&kept)[1], ("CLIENT_NUMBER", None, "all"), "a toll-free number is nowhere: {kept}");
    // The chain tells policy and class, and no place; no number is kept anywhere.
    let granted = rig.chain("c-fr").await.into_iter().find(|entry| entry["kind"] == "consent.granted").unwrap();
    let detail = &granted["detail"];
    assert_eq!((&detail["policyVersion"], &detail["policyClass"]), (&json!("callgate-2026-11"), &json!("eu")), "{granted}");
    assert!(!granted.to_string().contains("US-MA"), "{granted}");
    let written: Vec<u8> = files(rig.folder.path()).iter().flat_map(|file| std::fs::read(file).unwrap()).collect();
    for number in [&b"2125550123"[..], b"33123456789"] {
        assert!(!written.windows(number.len()).any(|window| window == number), "the client's number is kept nowhere");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_without_a_call_names_the_policy_in_force_and_no_place() {
    let rig = Rig::start(Given::default()).await;
    let (status, answer) = rig.post_as("/api/clients/c-written/consent/revoke", json!({ "reason": "by letter" }), &rig.token).await;
    assert_eq!(status, 200, "{answer}");
    let kept = record(&rig, "c-written").await;
    assert_eq!((&kept["policyVersion"], &kept["policyBasis"]), (&json!("callgate-2026-11"), &Value::Null), "{kept}");
    let revoked = rig.chain("c-written").await.into_iter().find(|entry| entry["kind"] == "consent.revoked").unwrap();
    assert_eq!(revoked["detail"]["policyVersion"], "callgate-2026-11", "{revoked}");
    assert!(revoked["detail"].get("policyClass").is_none(), "nothing was decided from any place: {revoked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_to_a_client_is_held_to_where_the_client_lives_also_after_a_restart() {
    let twilio = Twilio::start().await;
    let rig = Rig::start(twilio.given()).await;
    let wish = json!({ "clientId": "c-de", "formIds": [], "to": "+16175550123", "connectTo": "client:maria", "clientRegion": "DE" });
    let (status, answer) = rig.initiate(&wish, None).await;
    assert_eq!(status, 201, "{answer}");
    let id = &answer["callId"];
    let placed = rig.chain_of(id).await.into_iter().find(|entry| entry["kind"] == "call.placed").unwrap();
    assert_eq!((&placed["detail"]["policyVersion"], &placed["detail"]["policyClass"]), (&json!("callgate-2026-11"), &json!("eu")));

    let Rig { gateway, folder, token: _ } = rig;
    gateway.drain(Duration::ZERO).await;
    // Even a policy that has become milder: what was decided holds.
    let milder = folder.path().join("milder.toml");
    std::fs::write(&milder, "version = \"milder\"\nus = \"none\"\nunknown = \"none\"\n").unwrap();
    let given = Given { policy_file: text(&milder.display().to_string()), ..twilio.given() };
    let gateway = Gateway::start(crate::common::config(folder.path(), given)).await.unwrap();
    let token = gateway.tokens().mint(&claims(&PERMISSIONS, &["*"], "default")).unwrap();
    let rig = Rig { gateway, folder, token };

    let phone = twilio.phone();
    let twiml = phone.voice(&rig, &[("AnsweredBy", "human")]).await;
    let mut caller = phone.stream(&rig, &twiml).await;
    caller.hears_it_out().await;
    caller.frames(505).await;
    rig.by_id(id, |call| call["phase"] == "PROMPTING" && call["consent"]["status"] == "PENDING").await;
    caller.frames(250).await;
    caller.key("1").await;
    rig.by_id(id, |call| call["consent"]["status"] == "GRANTED").await;
    let kept = record(&rig, "c-de").await;
    assert_eq!((&kept["policyVersion"], grounds(&kept)), (&json!("callgate-2026-11"), vec![("PLACED_CALL", None, "eu")]), "{kept}");

    let mut wrong = wish.clone();
    wrong["clientRegion"] = json!("Bavaria");
    let (status, problem) = rig.initiate(&wrong, None).await;
    assert!(status == 422 && problem["detail"].as_str().unwrap().contains("clientRegion is no country"), "{problem}");
    assert_eq!(twilio.placed(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployments_own_policy_is_in_force_and_stands_in_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, "version = \"counsel-7\"\nus = \"all\"\nunknown = \"eu\"\none = [\"US-TX\"]\n").unwrap();
    let rig = Rig::start(Given { policy_file: text(&file.display().to_string()), place: text("US-TX"), ..Given::default() }).await;
    // Read once, at the start.
    std::fs::remove_file(&file).unwrap();
    let mut caller = Caller::connect(rig.address(), "CAmine", json!({ "mode": "stay", "clientId": "c1", "clientRegion": "US-TX" })).await;
    caller.hears_it_out().await;
    caller.frames(505).await;
    rig.call("CAmine", |call| call["phase"] == "PROMPTING").await;
    caller.frames(250).await;
    caller.key("1").await;
    rig.call("CAmine", |call| call["recording"]["state"] == "ACTIVE").await;
    caller.frames(100).await;
    caller.stop().await;
    rig.call("CAmine", |call| call["recording"]["state"] == "FINISHED").await;
    let manifest = files(&rig.folder.path().join("objects")).into_iter().find(|file| file.extension().is_some_and(|end| end == "json"));
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest.unwrap()).unwrap()).unwrap();
    let kept = &manifest["consent"]["record"];
    assert_eq!((&kept["policyVersion"], &kept["policyBasis"]["class"]), (&json!("counsel-7"), &json!("eu")), "{manifest}");
    assert_eq!(grounds(kept)[0], ("CLIENT_ADDRESS", Some("US-TX"), "one"));
    assert_eq!(grounds(kept)[1], ("CLIENT_NUMBER", None, "eu"), "unannounced, and so unknown");
    let (_, log) = rig.get("/api/audit?limit=10").await;
    let own = r#"SELECT "entry" FROM "AuditEvent" WHERE "orgId" = '/callgate'"#;
    let ours: Vec<[String; 1]> = crate::common::raw(rig.folder.path()).await.texts(own).await;
    assert!(ours.iter().any(|[entry]| entry.contains(r#""policyVersion":"counsel-7""#)), "{ours:?} {log}");
}

#[test]
fn a_wrong_policy_is_refused_at_the_start_and_one_line_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |text: Option<&str>| {
        let (data, file) = (tempfile::tempdir().unwrap(), folder.path().join("policy.toml"));
        match text {
            Some(text) => std::fs::write(&file, text).unwrap(),
            None => drop(std::fs::remove_file(&file)),
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_callgate"));
        command.arg("serve").env("CALLGATE_LISTEN", "127.0.0.1:0").env("CALLGATE_DATA_DIR", data.path());
        let output = command.env("CALLGATE_POLICY_FILE", &file).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.starts_with(&format!("callgate: CALLGATE_POLICY_FILE {}", file.display())), "{said}");
        said
    };
    let shipped = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/policy/default.toml")).unwrap();
    let with = |from: &str, to: &str| {
        assert!(shipped.contains(from), "{from}");
        shipped.replacen(from, to, 1)
    };
    assert!(refused(None).contains("No such file"));
    let no_toml = refused(Some(&with("unknown = \"all\"", "unknown = all")));
    assert!(no_toml.contains("line 11: ") && no_toml.contains("docs/policy.md"), "{no_toml}");
    assert!(
        refused(Some(&with("us = \"one\"", "us = \"two\""))).contains("unknown variant `two`, expected one of `none`, `one`, `all`, `eu`")
    );
    assert!(refused(Some(&with("us = \"one\"", "usa = \"one\""))).contains("unknown field `usa`"));
    assert!(refused(Some(&with("version = \"callgate-2026-11\"", ""))).contains("missing field `version`"));
    assert!(refused(Some(&with("callgate-2026-11", ""))).contains("version \"\" must be"));
    assert!(refused(Some(&with("US-VT", "US-VE"))).contains("\"US-VE\" is no place"));
    assert!(refused(Some(&with("one = []", "one = [\"FR\"]"))).contains("FR is named twice"));
    assert!(refused(Some(&"#".repeat(70_000))).contains("longer than 65536 bytes"));
}

#[test]
fn the_configuration_tells_which_policy_and_which_place() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callgate"));
    let output = command.arg("config").env("CALLGATE_POLICY_FILE", "/my/policy.toml").env("CALLGATE_PLACE", "us-ma").output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("/my/policy.toml") && told.contains("US-MA"), "{told}");
}
