//! Versions of a transcript from outside: somebody sees what one still shows, and from then on nobody does but an auditor.

use super::evidence::export;
use super::transcripts::{given, settled, transcript, words};
use crate::common::recogniser::{Mood, Recogniser};
use crate::common::{Caller, Rig, claims, files, is_written, raw};
use callgate::engine::evidence::EVIDENCE;
use callgate::server::{Claims, Given};
use reqwest::Method;
use serde_json::{Value, json};

/// What the rules let through: words that they do not know.
const SECRETS: [(u64, &str); 3] = [(300, "zebedee"), (301, "quux"), (320, "plugh")];
/// Sees what is going on, and nothing else.
const READER: [&str; 1] = ["canViewRecordings"];
/// Has more masked.
const REVIEWER: [&str; 2] = ["canEditClients", "canViewRecordings"];
/// Sees older versions.
const AUDITOR: [&str; 2] = ["canViewRecordings", "canViewAuditLogs"];

/// A call in which the secrets were said, over and stored.
async fn told(rig: &Rig, sid: &str, client: &str) -> (Value, String) {
    let mut caller = Caller::talking_as(rig, sid, client).await;
    caller.frames(120).await;
    caller.stop().await;
    let call = settled(rig, sid).await;
    assert_eq!(call["transcription"]["state"], "FINISHED", "{call}");
    let id = call["recording"]["recordingId"].as_str().unwrap().to_owned();
    (call, id)
}

/// Where a word stands in a transcript, as a span of a redaction.
fn span(document: &Value, word: &str, entity: &str) -> Value {
    for (utterance, line) in document["utterances"].as_array().unwrap().iter().enumerate() {
        if let Some(at) = line["words"].as_array().unwrap().iter().position(|said| said["text"] == word) {
            return json!({ "utterance": utterance, "fromWord": at, "toWord": at, "entity": entity });
        }
    }
    panic!("{word} is not in {document}");
}

async fn redact(rig: &Rig, recording: &str, body: Value, token: &str) -> (u16, Value) {
    rig.post_as(&format!("/api/recordings/{recording}/transcript/redactions"), body, token).await
}

async fn version(rig: &Rig, recording: &str, n: u64, token: &str) -> (u16, Value) {
    rig.get_as(&format!("/api/recordings/{recording}/transcript?version={n}"), Some(token)).await
}

/// The files of transcripts in the store, by what their names end with.
fn stored(rig: &Rig) -> Vec<String> {
    let name = |path: std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().split_once('.').unwrap().1.to_owned();
    let mut names: Vec<_> = files(&rig.folder.path().join("objects/transcripts")).into_iter().map(name).collect();
    names.sort_unstable();
    names
}

/// Somebody has begun a version at this time, and not made it.
async fn begun(rig: &Rig, version: u64, at: &str) {
    let before = version - 1;
    let row = format!(
        r#"INSERT INTO "Transcript" ("id", "version", "recordingId", "callId", "orgId", "clientId", "state", "redaction", "languageCode",
        "recogniser", "objectKey", "isComplete", "createdAt") SELECT "id", {version}, "recordingId", "callId", "orgId", "clientId", 'ACTIVE',
        'REVIEWED', "languageCode", "recogniser", replace("objectKey", '.v{before}.', '.v{version}.'), "isComplete", '{at}' FROM "Transcript"
        WHERE "version" = {before}"#
    );
    assert_eq!(raw(rig.folder.path()).await.execute(row).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_saw_is_masked_in_a_version_of_its_own_and_shown_by_no_older_one() {
    let recogniser = Recogniser::start(Mood::Faithful, &SECRETS).await;
    let rig = Rig::start(given(&recogniser.vosk())).await;
    let (call, id) = told(&rig, "CAseen", "client-1").await;
    let reader = rig.token_of("u-reader", "Reader", &READER, &["client-1"]);
    let reviewer = rig.token_of("u-reviewer", "Reviewer", &REVIEWER, &["client-1"]);
    let auditor = rig.token_of("u-auditor", "Auditor", &AUDITOR, &["client-1"]);
    let first = transcript(&rig, &call).await.1;
    assert!(words(&first).contains(&"zebedee".to_owned()), "the rules do not know it");

    let body = json!({ "spans": [span(&first, "zebedee", "NAME"), span(&first, "quux", "NAME")], "reason": "MISSED_BY_RULES" });
    let (status, made) = redact(&rig, &id, body.clone(), &reviewer).await;
    assert_eq!((status, made["version"].as_u64(), made["redaction"].as_str()), (201, Some(2), Some("REVIEWED")), "{made}");
    assert_eq!((made["redactedBy"].as_str(), made["redactedFor"].as_str()), (Some("u-reviewer"), Some("MISSED_BY_RULES")), "{made}");

    // Whoever reads it reads the newest, in which they are in no form; the rest is word for word as it was.
    let (status, second) = rig.get_as(&format!("/api/recordings/{id}/transcript"), Some(&reader)).await;
    assert_eq!((status, second["version"].as_u64(), second["redaction"].as_str()), (200, Some(2), Some("REVIEWED")), "{second}");
    assert!(!second.to_string().contains("zebedee") && !second.to_string().contains("quux"), "{second}");
    let (before, after) = (words(&first), words(&second));
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        let masked = before == "zebedee" || before == "quux";
        assert_eq!(after, if masked { "[NAME]" } else { before.as_str() });
    }
    assert!(second["utterances"].to_string().contains("REVIEWED"), "where it sounds: {second}");

    // The older one is an auditor's.
    assert_eq!(version(&rig, &id, 2, &reader).await.0, 200);
    for token in [&reader, &reviewer] {
        let (status, problem) = version(&rig, &id, 1, token).await;
        assert_eq!(status, 403, "{problem}");
        assert!(!problem.to_string().contains("zebedee"), "{problem}");
    }
    let (status, older) = version(&rig, &id, 1, &auditor).await;
    assert_eq!((status, &older), (200, &first), "word for word");
    for token in [&reader, &auditor] {
        assert_eq!(version(&rig, &id, 3, token).await.0, 404);
    }
    assert_eq!(version(&rig, &id, 0, &auditor).await.0, 404, "there is none of that number");
    let (status, listed) = rig.get_as(&format!("/api/recordings/{id}/transcript/versions"), Some(&reader)).await;
    let list = listed["versions"].as_array().unwrap();
    assert_eq!(
        (status, list.iter().map(|version| version["version"].as_u64().unwrap()).collect::<Vec<_>>()),
        (200, vec![2, 1]),
        "{listed}"
    );
    assert_eq!((&list[0], &list[1]["redaction"], &list[1]["redactedBy"]), (&made, &json!("REDACTED"), &Value::Null));

    // Asked for again it is there already.
    let (status, again) = redact(&rig, &id, body, &reviewer).await;
    assert_eq!((status, &again), (200, &made));
    assert_eq!(stored(&rig), ["v1.json", "v2.json"]);

    let chain = rig.chain("client-1").await;
    let of = |kind: &str| chain.iter().filter(|entry| entry["kind"] == kind).collect::<Vec<_>>();
    let [written] = of("transcript.redacted")[..] else { panic!("{chain:?}") };
    assert_eq!(
        (&written["actor"]["id"], &written["detail"]["version"], &written["detail"]["why"]),
        (&json!("u-reviewer"), &json!(2), &json!("MISSED_BY_RULES"))
    );
    assert_eq!((&written["detail"]["sha256"], &written["detail"]["redaction"]), (&made["sha256"], &json!("REVIEWED")));
    assert_eq!(of("access.denied").len(), 2, "{chain:?}");
    assert!(of("recording.read").iter().any(|entry| entry["actor"]["id"] == "u-auditor" && entry["detail"]["version"] == 1), "{chain:?}");
    let told = format!("{chain:?}");
    assert!(!told.contains("zebedee") && !told.contains("quux"), "no word of the call enters the chain");
    let evidence: Value = serde_json::from_slice(&export(&rig, &call).await[EVIDENCE]).unwrap();
    let rows = evidence["stored"]["transcripts"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["version"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 1], "{evidence}");
    assert_eq!(rows[0]["redactedBy"], "u-reviewer");
    crate::common::chain_holds(rig.folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn redactions_at_the_same_time_are_all_in_the_newest_version() {
    let recogniser = Recogniser::start(Mood::Faithful, &SECRETS).await;
    let rig = Rig::start(given(&recogniser.vosk())).await;
    let (call, id) = told(&rig, "CAtwo", "client-1").await;
    let first = transcript(&rig, &call).await.1;
    let body = |word: &str| json!({ "spans": [span(&first, word, "NAME")] });
    let ask = |word: &str| redact(&rig, &id, body(word), &rig.token);
    let (one, other, third, twice) = tokio::join!(ask("zebedee"), ask("quux"), ask("plugh"), ask("plugh"));
    let mut made: Vec<u64> = [&one, &other, &third, &twice]
        .into_iter()
        .filter(|(status, _)| *status == 201)
        .map(|(_, made)| made["version"].as_u64().unwrap_or_else(|| panic!("{made}")))
        .collect();
    made.sort_unstable();
    assert_eq!(made, [2, 3, 4], "one of those who asked for the same found it done: {one:?} {other:?} {third:?} {twice:?}");
    assert_eq!([one.0, other.0, third.0, twice.0].iter().filter(|status| **status == 200).count(), 1);
    let newest = transcript(&rig, &call).await.1;
    for (_, secret) in SECRETS {
        assert!(!newest.to_string().contains(secret), "{secret}: {newest}");
    }
    assert_eq!(stored(&rig), ["v1.json", "v2.json", "v3.json", "v4.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn better_rules_run_over_what_is_stored_and_unmask_nothing() {
    let said = [(300, "zebedee"), (310, "ticket"), (311, "4471"), (312, "please")];
    let recogniser = Recogniser::start(Mood::Faithful, &said).await;
    let rig = Rig::start(given(&recogniser.vosk())).await;
    let (call, id) = told(&rig, "CArules", "client-1").await;
    let first = transcript(&rig, &call).await.1;
    assert!(words(&first).contains(&"4471".to_owned()), "a number of no meaning: {first}");
    assert_eq!(redact(&rig, &id, json!({ "spans": [span(&first, "zebedee", "NAME")] }), &rig.token).await.0, 201);
    let (status, made) = redact(&rig, &id, json!({ "rules": "strict" }), &rig.token).await;
    assert_eq!((status, made["version"].as_u64(), made["redaction"].as_str()), (201, Some(3), Some("REDACTED_AGAIN")), "{made}");
    let third = transcript(&rig, &call).await.1;
    assert!(!third.to_string().contains("4471") && !third.to_string().contains("zebedee"), "{third}");
    assert_eq!(third["policy"]["strict"], true);
    for rules in ["strict", "all", "none"] {
        let (status, kept) = redact(&rig, &id, json!({ "rules": rules }), &rig.token).await;
        assert_eq!((status, kept["version"].as_u64()), (200, Some(3)), "{rules} masks nothing more and unmasks nothing: {kept}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_and_whatever_is_no_redaction_makes_no_version() {
    let recogniser = Recogniser::start(Mood::Faithful, &SECRETS).await;
    let rig = Rig::start(given(&recogniser.vosk())).await;
    let (call, id) = told(&rig, "CAnot", "client-1").await;
    let first = transcript(&rig, &call).await.1;
    let body = json!({ "spans": [span(&first, "zebedee", "NAME")] });
    let elsewhere = Claims { sub: "u-far".into(), ..claims(&REVIEWER, &["*"], "elsewhere") };
    let elsewhere = rig.gateway.tokens().mint(&elsewhere).unwrap();
    for (whose, token, status) in [
        ("another client's", rig.token_of("u-other", "", &REVIEWER, &["client-2"]), 403),
        ("one who may not change", rig.token_of("u-reads", "", &AUDITOR, &["*"]), 403),
        ("one who may not read", rig.token_of("u-edits", "", &["canEditClients"], &["*"]), 403),
        ("another organisation's", elsewhere, 404),
    ] {
        let (got, problem) = redact(&rig, &id, body.clone(), &token).await;
        assert_eq!(got, status, "{whose}: {problem}");
    }
    let denied: Vec<_> = rig.chain("client-1").await.into_iter().filter(|entry| entry["kind"] == "access.denied").collect();
    assert!(denied.iter().any(|entry| entry["actor"]["id"] == "u-other" && entry["detail"]["what"] == "redaction"), "{denied:?}");
    let one = |utterance: u64, from: u64, to: u64, entity: &str| json!({ "utterance": utterance, "fromWord": from, "toWord": to, "entity": entity });
    for (wrong, status) in [
        (json!({}), 400),
        (json!({ "spans": [] }), 400),
        (json!({ "spans": [one(0, 0, 0, "SECRET")] }), 400),
        (json!({ "spans": [one(0, 0, 0, "NAME")], "rules": "strict" }), 400),
        (json!({ "rules": "everything" }), 400),
        (json!({ "rules": "strict", "reason": "because zebedee" }), 400),
        (json!({ "rules": "strict", "text": "zebedee" }), 400),
        (json!({ "spans": [one(99_999, 0, 0, "NAME")] }), 422),
        (json!({ "spans": [one(0, 1, 0, "NAME")] }), 422),
        (json!({ "spans": [one(0, 0, 99_999, "NAME")] }), 422),
    ] {
        let (got, problem) = redact(&rig, &id, wrong.clone(), &rig.token).await;
        assert_eq!(got, status, "{wrong}: {problem}");
    }
    assert_eq!(stored(&rig), ["v1.json"]);
    assert_eq!(transcript(&rig, &call).await.1, first);

    // While the call goes on there is nothing yet.
    let mut caller = Caller::talking_as(&rig, "CAlive", "client-1").await;
    caller.frames(50).await;
    let live = rig.call("CAlive", |call| call["recording"]["recordingId"].is_string()).await;
    let live = live["recording"]["recordingId"].as_str().unwrap();
    assert_eq!(redact(&rig, live, json!({ "rules": "strict" }), &rig.token).await.0, 409);
    caller.stop().await;
    settled(&rig, "CAlive").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_call_that_was_cut_discarded_or_not_transcribed_only_what_is_kept_has_versions() {
    let recogniser = Recogniser::start(Mood::Faithful, &[(300, "zebedee"), (720, "plugh")]).await;
    for (given, state, status) in [
        (given(&recogniser.vosk()), "FINISHED", 201),
        (Given { on_opt_out: Some("discard-call".into()), ..given(&recogniser.vosk()) }, "DISCARDED", 409),
    ] {
        let rig = Rig::start(given).await;
        let mut caller = Caller::talking_as(&rig, "CAcut", "client-1").await;
        // Well past the closing line, in which a 2 still answers the question.
        caller.frames(400).await;
        rig.call("CAcut", |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(380)).await;
        caller.key("2").await;
        caller.frames(150).await;
        caller.stop().await;
        let call = settled(&rig, "CAcut").await;
        let id = call["recording"]["recordingId"].as_str().unwrap();
        assert_eq!(call["transcription"]["state"], state, "{call}");
        let body = json!({ "spans": [{ "utterance": 0, "fromWord": 0, "toWord": 0, "entity": "NAME" }] });
        let (got, made) = redact(&rig, id, body, &rig.token).await;
        assert_eq!(got, status, "{made}");
        if status == 201 {
            let kept = transcript(&rig, &call).await.1;
            assert!(!kept.to_string().contains("plugh") && !is_written(&rig, "plugh"), "what was cut comes back in no version: {kept}");
        }
        assert_eq!(stored(&rig).len(), if status == 201 { 2 } else { 0 });
    }
    // A recogniser that fails, and none at all.
    let mad = Recogniser::start(Mood::Babbles, &[]).await;
    for (given, status) in [(given(&mad.vosk()), 409), (Given::default(), 404)] {
        let rig = Rig::start(given).await;
        let id = rig.recorded("CAnone", "client-1").await;
        if status == 409 {
            settled(&rig, "CAnone").await;
        }
        let (got, problem) = redact(&rig, &id, json!({ "rules": "strict" }), &rig.token).await;
        assert_eq!(got, status, "{problem}");
        assert_eq!(stored(&rig), [] as [&str; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_take_a_version_leaves_the_one_before_and_the_next_try_makes_it() {
    let recogniser = Recogniser::start(Mood::Faithful, &SECRETS).await;
    let rig = Rig::start(given(&recogniser.vosk())).await;
    let (call, id) = told(&rig, "CAstuck", "client-1").await;
    let first = transcript(&rig, &call).await.1;
    // A folder lies where the object is to be.
    let object = files(&rig.folder.path().join("objects/transcripts")).remove(0);
    let hindrance = object.with_file_name(object.file_name().unwrap().to_str().unwrap().replace(".v1.", ".v2."));
    std::fs::create_dir_all(hindrance.join("full")).unwrap();
    let body = json!({ "spans": [span(&first, "zebedee", "NAME")] });
    let (status, problem) = redact(&rig, &id, body.clone(), &rig.token).await;
    assert_eq!(status, 503, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("still shown"), "{problem}");
    assert_eq!(transcript(&rig, &call).await.1, first);
    assert!(
        !rig.chain("client-1").await.iter().any(|entry| entry["kind"] == "transcript.redacted"),
        "what is not stored is not said to be"
    );
    std::fs::remove_dir_all(&hindrance).unwrap();
    let (status, made) = redact(&rig, &id, body, &rig.token).await;
    assert_eq!((status, made["version"].as_u64()), (201, Some(2)), "{made}");

    // A gateway that died over a version: after two minutes somebody else makes it.
    begun(&rig, 3, "2020-01-01T00:00:00.000Z").await;
    let (status, made) = redact(&rig, &id, json!({ "spans": [span(&first, "quux", "NAME")] }), &rig.token).await;
    assert_eq!((status, made["version"].as_u64()), (201, Some(3)), "{made}");
    let newest = transcript(&rig, &call).await.1;
    assert!(!newest.to_string().contains("zebedee") && !newest.to_string().contains("quux"), "{newest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_is_held_and_deleted_with_its_recording() {
    let recogniser = Recogniser::start(Mood::Faithful, &SECRETS).await;
    let rig = Rig::start(given(&recogniser.vosk())).await;
    let (call, id) = told(&rig, "CAheld", "client-1").await;
    let first = transcript(&rig, &call).await.1;
    assert_eq!(redact(&rig, &id, json!({ "spans": [span(&first, "zebedee", "NAME")] }), &rig.token).await.0, 201);
    assert_eq!(rig.post_as("/api/clients/client-1/consent/revoke", json!({}), &rig.token).await.0, 200);
    assert_eq!(rig.post_as("/api/clients/client-1/legal-hold", json!({ "reason": "dispute" }), &rig.token).await.0, 200);
    // Queued for deletion it is an auditor's, to have masked as well as to read.
    let body = json!({ "spans": [span(&first, "quux", "NAME")] });
    let reviewer = rig.token_of("u-reviewer", "Reviewer", &REVIEWER, &["client-1"]);
    assert_eq!(redact(&rig, &id, body.clone(), &reviewer).await.0, 410);
    let (status, made) = redact(&rig, &id, body, &rig.token).await;
    assert_eq!((status, made["version"].as_u64()), (201, Some(3)), "{made}");
    let as_of = callgate::engine::time::WallTime(callgate::io::clock::wall().0 + 40 * 24 * 3_600 * 1_000);
    let config = crate::common::config(rig.folder.path(), given(&recogniser.vosk()));
    let swept = async || callgate::server::sweep(&config, as_of, false).await.unwrap();
    assert_eq!((swept().await.lines.len(), stored(&rig).len()), (1, 3), "held");
    let lifted = rig.ask(Method::DELETE, "/api/clients/client-1/legal-hold", json!({ "reason": "settled" }).to_string(), &rig.token).await;
    assert_eq!(lifted.0, 200, "{lifted:?}");

    // One that is on its way into the store would outlive the deletion: that waits.
    begun(&rig, 4, "2099-01-01T00:00:00.000Z").await;
    let waits = swept().await;
    assert_eq!((waits.lines.len(), waits.failed(), stored(&rig).len()), (1, 1, 3), "{waits:?}");
    let left = r#"UPDATE "Transcript" SET "createdAt" = '2020-01-01T00:00:00.000Z' WHERE "version" = 4"#;
    assert_eq!(raw(rig.folder.path()).await.execute(left).await.unwrap(), 1);
    // What whoever died over it left behind goes too.
    let object = files(&rig.folder.path().join("objects/transcripts")).remove(0);
    let name = object.file_name().unwrap().to_str().unwrap().split_once('.').unwrap().0.to_owned();
    std::fs::write(object.with_file_name(format!("{name}.v4.json")), "half a version").unwrap();
    let gone = swept().await;
    assert_eq!((gone.lines.len(), gone.failed()), (1, 0), "{gone:?}");
    assert_eq!(stored(&rig), [] as [&str; 0], "deleted is gone");
    for (_, secret) in SECRETS {
        assert!(!is_written(&rig, secret), "{secret}");
    }
    let chain = rig.chain("client-1").await;
    let deleted = chain.iter().find(|entry| entry["kind"] == "recording.deleted").unwrap();
    for n in 1..=4 {
        assert!(deleted["detail"]["keys"].to_string().contains(&format!(".v{n}.json")), "{deleted}");
    }
    for path in ["transcript", "transcript?version=1", "transcript/versions"] {
        assert_eq!(rig.get(&format!("/api/recordings/{id}/{path}")).await.0, 410, "{path}");
    }
    assert_eq!(redact(&rig, &id, json!({ "rules": "strict" }), &rig.token).await.0, 410);
}
