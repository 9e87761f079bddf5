//! Who may: every route of `GET /openapi.json`, asked by everybody who must not get in. A new route is walked by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::sse::ask as follow;
use crate::common::{Caller, PERMISSIONS, Rig, claims};
use callgate::server::{Claims, Given, TokenKey, TokenSource};
use serde_json::{Value, json};

const CLIENT: &str = "client-walked";
/// Ids of what is not one client's.
const PUBLIC: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// A route, with ids of things that are there.
#[derive(Debug)]
struct Door {
    method: String,
    template: String,
    path: String,
    body: String,
    permission: Option<String>,
    /// Another that is needed as well.
    besides: Option<String>,
}

impl Door {
    /// Whether it leads to one thing.
    fn leads_to_a_thing(&self) -> bool {
        self.template.contains('{') || self.body.contains(CLIENT)
    }

    /// Whether a client is named, and not a thing of theirs: a client's id means something in each organisation.
    fn names_a_client(&self) -> bool {
        !self.template.contains('{') || self.template.contains("{clientId}")
    }

    /// Whose the thing is that it leads to.
    fn is_about(&self) -> &'static str {
        match self.template.as_str() {
            template if template.starts_with("/api/tasks/") => "client-task",
            template if template.contains('{') => CLIENT,
            _ => "",
        }
    }

    async fn knock(&self, rig: &Rig, token: Option<&str>) -> (u16, String) {
        let request = reqwest::Client::new().request(self.method.parse().unwrap(), format!("http://{}{}", rig.address(), self.path));
        let request =
            if self.body.is_empty() { request } else { request.header("content-type", "application/json").body(self.body.clone()) };
        let answer = token
            .map_or_else(|| request.try_clone().unwrap(), |token| request.try_clone().unwrap().bearer_auth(token))
            .send()
            .await
            .unwrap();
        let (status, kind) = (answer.status().as_u16(), answer.headers().get("content-type").cloned());
        if status >= 400 && !PUBLIC.contains(&self.path.as_str()) {
            assert_eq!(kind.unwrap(), "application/problem+json", "{self:?}");
        }
        (status, String::from_utf8_lossy(&answer.bytes().await.unwrap()).into_owned())
    }
}

/// Every route of the document.
async fn doors(rig: &Rig, ids: &[(&str, &str)]) -> Vec<Door> {
    let document = rig.get_as("/openapi.json", None).await.1;
    let mut doors = Vec::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let path = ids.iter().fold(template.clone(), |path, (name, id)| match name.split_once(' ') {
                Some((under, name)) if template.starts_with(under) => path.replace(name, id),
                Some(_) => path,
                None => path.replace(name, id),
            });
            assert!(!path.contains('{'), "{template}: say an id for it in this test");
            let body = match (method.as_str(), template.as_str()) {
                ("post", "/api/calls") => json!({ "clientId": CLIENT, "to": "+16175550123", "connectTo": "client:maria" }).to_string(),
                ("post", _) if operation["requestBody"].is_object() => json!({ "reason": "because" }).to_string(),
                _ => String::new(),
            };
            let named = |by: &str| operation[by].as_str().map(str::to_owned);
            let (permission, besides) = (named("x-permission"), named("x-permission-besides"));
            doors.push(Door { method: method.to_uppercase(), template: template.clone(), path, body, permission, besides });
        }
    }
    doors
}

fn token(rig: &Rig, sub: &str, permissions: &[&str], clients: &[&str], org: &str) -> String {
    rig.gateway.tokens().mint(&Claims { sub: sub.into(), ..claims(permissions, clients, org) }).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_where_they_may_not() {
    let rig = Rig::start(Given::default()).await;
    // A recorded call that is over, a live one, and an unrecorded one, which leaves a task.
    let recording = rig.recorded("CAwalked", CLIENT).await;
    let call = rig.call("CAwalked", |_| true).await["callId"].as_str().unwrap().to_owned();
    let mut caller =
        Caller::connect(rig.address(), "CAtask", json!({ "mode": "stay", "clientId": "client-task", "caseManagerId": "tester" })).await;
    caller.frames(250).await;
    caller.key("2").await;
    rig.call("CAtask", |call| call["phase"] == "CONNECTED").await;
    caller.stop().await;
    rig.call("CAtask", |call| call["phase"] == "ENDED").await;
    let tasks = rig.get("/api/tasks").await.1;
    let task = tasks["tasks"][0]["taskId"].as_str().unwrap_or_else(|| panic!("{tasks}"));
    let summary = json!({ "kind": "SUMMARY", "ownerId": "summary of a walk" });
    let (status, artifact) = rig.post_as(&format!("/api/calls/{call}/artifacts"), summary, &rig.token).await;
    assert_eq!(status, 201, "{artifact}");
    let artifact = artifact["artifactId"].as_str().unwrap_or_else(|| panic!("{artifact}"));
    let ids = [
        ("{callId}", call.as_str()),
        ("{clientId}", CLIENT),
        ("/api/recordings {id}", &recording),
        ("/api/tasks {id}", task),
        ("/api/artifacts {id}", artifact),
    ];
    let doors = doors(&rig, &ids).await;
    assert!(doors.len() >= 21, "{doors:?}");

    let stranger = {
        let key = TokenKey::open(&TokenSource::Secret("another secret of more than thirty-two bytes".to_owned().into()), rig.folder.path());
        key.unwrap().mint(&claims(&PERMISSIONS, &["*"], "default")).unwrap()
    };
    let expired = rig.gateway.tokens().mint(&Claims { exp: 1_000_000, ..claims(&PERMISSIONS, &["*"], "default") }).unwrap();
    let unsigned = format!("{}.", rig.token.rsplit_once('.').unwrap().0);
    let mut denied: Vec<Denied> = Vec::new();
    for (n, door) in doors.iter().enumerate() {
        let at = format!("{} {}", door.method, door.template);
        let Some(needed) = &door.permission else {
            assert!(PUBLIC.contains(&door.template.as_str()), "{at} asks for no permission");
            assert_eq!(door.knock(&rig, None).await.0, 200, "{at}");
            continue;
        };
        for (whose, wrong) in [
            ("nobody's", None),
            ("garbage", Some("garbage")),
            ("signed by somebody else", Some(stranger.as_str())),
            ("expired", Some(expired.as_str())),
            ("unsigned", Some(unsigned.as_str())),
        ] {
            assert_eq!(door.knock(&rig, wrong).await.0, 401, "{at}, {whose}");
        }
        for permission in PERMISSIONS.iter().filter(|permission| *permission != needed) {
            let sub = format!("{n}-{permission}");
            let (status, told) = door.knock(&rig, Some(&token(&rig, &sub, &[permission], &["*"], "default"))).await;
            assert_eq!(status, 403, "{at} with {permission}: {told}");
            denied.push(Denied { sub, asked: door.path.clone(), org: "default", client: door.is_about() });
        }
        // All permissions, and none of the clients.
        let sub = format!("{n}-other-client");
        let (status, told) = door.knock(&rig, Some(&token(&rig, &sub, &PERMISSIONS, &["client-other"], "default"))).await;
        if door.leads_to_a_thing() {
            assert_eq!(status, 403, "{at}, another client: {told}");
            assert!(!told.contains(CLIENT) && !told.contains(&recording), "{at}: {told}");
            let client = if door.is_about().is_empty() { CLIENT } else { door.is_about() };
            denied.push(Denied { sub, asked: String::new(), org: "default", client });
        } else {
            assert_eq!(status, 200, "{at}, another client: {told}");
            if needed != "canViewAuditLogs" {
                assert!(!told.contains(CLIENT) && !told.contains(&call), "{at}, another client: {told}");
            }
        }
        // All permissions, all clients, another organisation.
        let sub = format!("{n}-other-org");
        let (status, told) = door.knock(&rig, Some(&token(&rig, &sub, &PERMISSIONS, &["*"], "elsewhere"))).await;
        if door.names_a_client() {
            assert_ne!(status, 403, "{at}, another organisation: {told}");
        } else {
            assert_eq!(status, 404, "{at}, another organisation: {told}");
            denied.push(Denied { sub, asked: String::new(), org: "elsewhere", client: "" });
        }
        for secret in [&call, &recording, task, artifact, "MZCAwalked"] {
            assert!(!told.contains(secret), "{at}, another organisation: {told}");
        }
    }
    // Who may gets in, by that one permission, or those two: those who change something last, and a revocation after all else.
    let mut doors: Vec<&Door> = doors.iter().collect();
    doors.sort_by_key(|door| (door.method != "GET", door.template.ends_with("/revoke")));
    for door in doors.into_iter().filter(|door| door.permission.is_some()) {
        let permissions: Vec<&str> = door.permission.iter().chain(&door.besides).map(String::as_str).collect();
        let (status, told) = door.knock(&rig, Some(&token(&rig, "tester", &permissions, &[CLIENT, "client-task"], "default"))).await;
        assert!(status < 500 || door.template == "/api/calls", "{door:?}: {told}");
        assert!(![401, 403].contains(&status) && !told.contains("there is no such"), "{door:?}: {status} {told}");
    }
    // What another organisation revoked was its own.
    let history = rig.get(&format!("/api/clients/{CLIENT}/consent")).await.1["history"].clone();
    assert_eq!(history.as_array().unwrap().len(), 2, "a yes on the line, and the revocation by who may: {history}");
    every_denial_is_kept(&rig, &denied).await;
}

/// What must be known of a denial.
struct Denied {
    sub: String,
    /// The path, if that was all that was looked at.
    asked: String,
    /// In whose log.
    org: &'static str,
    /// About whom; empty if nothing may be told of that, or nobody was named.
    client: &'static str,
}

/// In the chain, and in the access log beside it.
async fn every_denial_is_kept(rig: &Rig, denied: &[Denied]) {
    assert!(denied.len() > 80, "{}", denied.len());
    let mut kept = Vec::new();
    for org in ["default", "elsewhere"] {
        kept.extend(chain_of(rig, &token(rig, "auditor", &["canViewAuditLogs"], &[], org)).await);
    }
    kept.retain(|entry| entry["kind"] == "access.denied");
    let asked = r#"SELECT "userId", "orgId", "clientId", "callId", "recordingId" FROM "AccessLog" WHERE "outcome" = 'DENIED'"#;
    let logged = crate::common::raw(rig.folder.path()).await.texts::<5>(asked).await;
    for Denied { sub, asked, org, client } in denied {
        let lines: Vec<_> = kept.iter().filter(|entry| entry["actor"]["id"] == **sub).collect();
        assert_eq!(lines.len(), 1, "{sub} asked for {asked}: {lines:?}");
        if !asked.is_empty() {
            assert_eq!(lines[0]["detail"]["asked"], **asked, "{sub}");
        }
        assert_eq!(lines[0]["clientId"].as_str().unwrap_or_default(), *client, "{sub}: {lines:?}");
        let [row] =
            logged.iter().filter(|row| row[0] == *sub).collect::<Vec<_>>().try_into().unwrap_or_else(|rows| panic!("{sub}: {rows:?}"));
        assert_eq!([&row[1], &row[2]], [org, client], "{sub}: {row:?}");
        if *org == "elsewhere" {
            assert!(row[3].is_empty() && row[4].is_empty(), "nothing of what another organisation has: {row:?}");
        }
    }
}

/// All of an organisation's chain.
async fn chain_of(rig: &Rig, token: &str) -> Vec<Value> {
    let (mut kept, mut after) = (Vec::new(), 0);
    loop {
        let page = rig.get_as(&format!("/api/audit?limit=1000&after={after}"), Some(token)).await.1;
        kept.extend(page["entries"].as_array().unwrap().iter().map(|entry| entry["entry"].clone()));
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => return kept,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nul_in_any_text_is_refused_at_the_door_and_reaches_no_database() {
    let rig = Rig::start(Given::default()).await;
    let ids = [("{callId}", "call%00"), ("{clientId}", "client%00"), ("{id}", "x%00")];
    for door in doors(&rig, &ids).await.iter().filter(|door| door.path.contains("%00")) {
        assert_eq!(door.knock(&rig, Some(&rig.token)).await.0, 400, "{door:?}");
        let nobody = token(&rig, "nobody", &[], &["*"], "default");
        assert_eq!(door.knock(&rig, Some(&nobody)).await.0, 403, "who may nothing is told nothing more: {door:?}");
    }
    for path in [
        "/api/calls?callSid=CA%00",
        "/api/audit?callId=%00",
        "/api/tasks?after=2026-11-01T00:00:00Z,%00",
        "/api/metrics/consent?language=e%00n",
        "/api/clients/c/interactions?after=2026-11-01T00:00:00Z,%00",
    ] {
        let (status, told) = rig.get(path).await;
        assert!(status == 400 && told["detail"].as_str().unwrap().contains("U+0000"), "{path}: {status} {told}");
    }
    let mut caller = Caller::talking_as(&rig, "CAnul", "c").await;
    let call = rig.call("CAnul", |_| true).await["callId"].as_str().unwrap().to_owned();
    for (path, body) in [
        ("/api/calls", json!({ "clientId": "c", "to": "+16175550123", "connectTo": "client:maria", "clientName": "A\0" })),
        ("/api/clients/c/consent/revoke", json!({ "reason": "a\0" })),
        ("/api/clients/c/legal-hold", json!({ "reason": "a\0" })),
        (&format!("/api/calls/{call}/opt-out"), json!({ "reason": "a\0" })),
        (&format!("/api/calls/{call}/pause"), json!({ "reason": "a\0" })),
        (&format!("/api/calls/{call}/transfer"), json!({ "to": "client:a\0", "kind": "AGENT" })),
        (&format!("/api/calls/{call}/artifacts"), json!({ "kind": "SUMMARY", "ownerId": "a\0" })),
    ] {
        let (status, told) = rig.post_as(path, body, &rig.token).await;
        assert_eq!(status, 400, "{path}: {told}");
    }
    assert_eq!(rig.call("CAnul", |_| true).await["recording"]["state"], "ACTIVE", "and nothing of it was done");
    // What only looks like one is none.
    let (status, told) = rig.post_as(&format!("/api/calls/{call}/opt-out"), json!({ "reason": "C:\\u0000" }), &rig.token).await;
    assert_eq!((status, &told["consent"]["status"]), (200, &json!("REVOKED")), "{told}");
    caller.stop().await;
    assert_eq!(rig.get_as("/api/calls", Some(&token(&rig, "a\0", &PERMISSIONS, &["*"], "default"))).await.0, 401);
    assert_eq!(rig.get_as("/api/calls", Some(&token(&rig, "a", &PERMISSIONS, &["c\0"], "default"))).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_permissions_says_what_the_routes_ask_for() {
    let rig = Rig::start(Given::default()).await;
    let document = rig.get("/openapi.json").await.1;
    let asked: BTreeSet<[String; 3]> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(method, operation)| (path, method, operation)))
        .map(|(path, method, operation)| {
            let permission = operation["x-permission"].as_str().unwrap_or("none");
            [format!("{} {path}", method.to_uppercase()), permission.to_owned(), operation["operationId"].as_str().unwrap().to_owned()]
        })
        .collect();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/permissions.md")).unwrap();
    let told: BTreeSet<[String; 3]> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter(|row| row.contains(" /"))
        .map(|row| {
            let cells: Vec<_> = row.trim_end_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
            cells.try_into().unwrap()
        })
        .collect();
    assert_eq!(told.difference(&asked).collect::<Vec<_>>(), [] as [&[String; 3]; 0], "in docs/permissions.md and not so");
    assert_eq!(asked.difference(&told).collect::<Vec<_>>(), [] as [&[String; 3]; 0], "not in docs/permissions.md");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_who_asks_too_often_is_told_when_to_ask_again() {
    let rig = Rig::start(Given { rate_limit: Some("2/5".into()), ..Given::default() }).await;
    let (busy, calm) = (rig.token_of("busy", "", &["canViewClients"], &["*"]), rig.token_of("calm", "", &["canViewClients"], &["*"]));
    let get = async |path: &str, token: &str| {
        reqwest::Client::new().get(format!("http://{}{path}", rig.address())).bearer_auth(token).send().await.unwrap()
    };
    let mut full = None;
    for _ in 0..100 {
        let answer = get("/api/calls", &busy).await;
        if answer.status().as_u16() == 429 {
            full = Some(answer);
            break;
        }
    }
    let full = full.expect("a limit");
    assert_eq!(full.headers()["content-type"], "application/problem+json");
    let wait: u64 = full.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    assert!(full.json::<Value>().await.unwrap()["detail"].as_str().unwrap().contains("CALLGATE_RATE_LIMIT"));
    // Not to be got around by another token of the same person, also one that lacks the permission.
    let again = rig.token_of("busy", "", &["canViewAuditLogs"], &["*"]);
    let mut denials = 0;
    for _ in 0..20 {
        denials += u32::from(get("/api/calls", &again).await.status().as_u16() == 403);
    }
    assert!(denials <= 5, "{denials} denials went into the chain");
    assert_eq!(get("/api/calls", &calm).await.status().as_u16(), 200, "another person's requests are their own");
    for path in PUBLIC {
        for _ in 0..20 {
            assert_eq!(get(path, &busy).await.status().as_u16(), 200, "{path}");
        }
    }
    for _ in 0..20 {
        let told =
            reqwest::Client::new().post(format!("http://{}/api/webhooks/twilio/status", rig.address())).body("CallSid=CA1").send().await;
        assert_ne!(told.unwrap().status().as_u16(), 429, "Twilio is never told to wait");
    }
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(get("/api/calls", &busy).await.status().as_u16(), 200, "after Retry-After");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_often_can_still_say_no() {
    let rig = Rig::start(Given { rate_limit: Some("2/100".into()), ..Given::default() }).await;
    let mut caller = Caller::talking_as(&rig, "CAbusy", "busy").await;
    let id = rig.call("CAbusy", |_| true).await["callId"].as_str().unwrap().to_owned();
    let app = rig.token_of("app", "", &["canViewClients", "canEditClients"], &["*"]);
    let post = async |path: &str, body: Value, token: &str| {
        reqwest::Client::new().post(format!("http://{}{path}", rig.address())).bearer_auth(token).json(&body).send().await.unwrap()
    };
    let mut refused = 0;
    for _ in 0..150 {
        let asked = reqwest::Client::new().get(format!("http://{}/api/calls", rig.address())).bearer_auth(&app).send().await.unwrap();
        refused += u32::from(asked.status().as_u16() == 429);
    }
    assert!(refused > 5, "it polls too much");
    assert_eq!(post(&format!("/api/calls/{id}/pause"), json!({ "reason": "PAYMENT" }), &app).await.status().as_u16(), 200);
    assert_eq!(post(&format!("/api/calls/{id}/opt-out"), json!({}), &app).await.status().as_u16(), 200);
    assert_eq!(post("/api/clients/other/consent/revoke", json!({}), &app).await.status().as_u16(), 200);
    let endless = post(&format!("/api/calls/{id}/opt-out"), json!({ "reason": "x".repeat(2_001) }), &app).await;
    assert_eq!(endless.status().as_u16(), 400, "a reason has its bound");
    // Without the permission it is a request as any, and not each denial goes into the chain.
    let viewer = rig.token_of("viewer", "", &["canViewClients"], &["*"]);
    let mut told = Vec::new();
    for _ in 0..150 {
        told.push(post(&format!("/api/calls/{id}/opt-out"), json!({}), &viewer).await.status().as_u16());
    }
    assert!(told.contains(&403) && told.iter().filter(|status| **status == 429).count() > 5, "{told:?}");
    caller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_no_organisation_or_nobody_opens_nothing() {
    let rig = Rig::start(Given::default()).await;
    for (org, sub) in [("", "me"), ("..", "me"), ("a/b", "me"), ("a\nb", "me"), ("default", ""), ("default", "a\0b")] {
        let claims = Claims { sub: sub.into(), ..claims(&["canEditClients"], &["*"], org) };
        let token = rig.gateway.tokens().mint(&claims).unwrap();
        let url = format!("http://{}/api/clients/c/consent/revoke", rig.address());
        let answer = reqwest::Client::new().post(url).bearer_auth(token).json(&json!({})).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["www-authenticate"]), (401, &"Bearer".parse().unwrap()), "{org:?} {sub:?}");
    }
    assert_eq!(rig.get_as("/readyz", None).await.0, 200, "no no of theirs waits to be written");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_calls_that_began_together_leave_none_out() {
    let rig = Rig::start(Given::default()).await;
    let callers = (0..24).map(|n| {
        let address = rig.address();
        tokio::spawn(async move {
            let mut caller = Caller::connect(address, &format!("CApage{n}"), json!({ "mode": "stay", "clientId": "c" })).await;
            caller.frames(5).await;
            if n % 2 == 0 {
                caller.stop().await;
            }
            caller
        })
    });
    let mut open = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        open.push(caller.await.unwrap());
    }
    for n in 0..24 {
        rig.call(&format!("CApage{n}"), |call| n % 2 == 1 || call["endedAt"].is_string()).await;
    }
    let (mut seen, mut path) = (std::collections::BTreeSet::new(), "/api/calls?limit=5".to_owned());
    for _ in 0..10 {
        let (status, page) = rig.get(&path).await;
        assert_eq!(status, 200, "{page}");
        for call in page["calls"].as_array().unwrap() {
            assert!(seen.insert(call["callId"].as_str().unwrap().to_owned()), "twice: {call}");
        }
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/calls?limit=5&before={next}");
    }
    assert_eq!(seen.len(), 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_organisation_is_called_as_the_gateways_own_chain_is_and_no_token_reads_what_configuration_was_in_force() {
    let rig = Rig::start(Given::default()).await;
    for org in ["callgate", "/callgate"] {
        let token = rig.gateway.tokens().mint(&claims(&PERMISSIONS, &["*"], org)).unwrap();
        let (status, told) = rig.get_as("/api/audit", Some(&token)).await;
        assert!(status >= 400 && !told.to_string().contains("config.in_force"), "{org}: {status} {told}");
    }
    let (_, told) = rig.get("/api/audit").await;
    assert!(!told.to_string().contains("config.in_force"), "nor does it stand in an organisation's chain: {told}");
    let own = r#"SELECT "kind" FROM "AuditEvent" WHERE "orgId" = '/callgate'"#;
    let kinds: Vec<[String; 1]> = crate::common::raw(rig.folder.path()).await.texts(own).await;
    assert_eq!(kinds, [["config.in_force"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bearer_cannot_take_all_event_streams() {
    let rig = Rig::start(Given::default()).await;
    let _caller = Caller::talking_as(&rig, "CAstream", "client-stream").await;
    let call = rig.call("CAstream", |_| true).await["callId"].as_str().unwrap().to_owned();
    let (greedy, other) = (rig.token_of("greedy", "", &["canViewClients"], &["*"]), rig.token_of("other", "", &["canViewClients"], &["*"]));
    let mut open = Vec::new();
    for _ in 0..64 {
        let answer = follow(&rig, &call, &greedy, None).await;
        assert_eq!(answer.status().as_u16(), 200);
        open.push(answer);
    }
    let refused = follow(&rig, &call, &greedy, None).await;
    assert_eq!((refused.status().as_u16(), refused.headers().contains_key("retry-after")), (429, true));
    assert_eq!(follow(&rig, &call, &other, None).await.status().as_u16(), 200, "another person's streams are their own");
    open.clear();
    for _ in 0..200 {
        if follow(&rig, &call, &greedy, None).await.status().as_u16() == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("closed streams left no place");
}
