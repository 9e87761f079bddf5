//! What the API says of itself, and whether it is so.

use std::collections::BTreeSet;

use crate::common::{Caller, Rig};
use callgate::server::Given;
use serde_json::{Value, json};

/// Every operation of the document: its method, its path, itself.
fn operations(document: &Value) -> impl Iterator<Item = (String, String, &Value)> {
    document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation))
    })
}

/// Every schema that the value holds, at any depth, with where it is.
fn visit<'a>(value: &'a Value, place: &str, to: &mut Vec<(String, &'a Value)>) {
    to.push((place.to_owned(), value));
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| visit(member, &format!("{place}/{name}"), to)),
        Value::Array(members) => members.iter().enumerate().for_each(|(n, member)| visit(member, &format!("{place}/{n}"), to)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_in_the_document_is_described_and_hangs_together() {
    let rig = Rig::start(Given::default()).await;
    let (status, document) = rig.get_as("/openapi.json", None).await;
    assert_eq!(status, 200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    let info = &document["info"];
    assert!(info["title"] == "callgate" && info["version"] == env!("CARGO_PKG_VERSION") && info["license"]["name"].is_string(), "{info}");
    let (mut ids, mut seen) = (BTreeSet::new(), 0);
    for (method, path, operation) in operations(&document) {
        let at = format!("{method} {path}");
        seen += 1;
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{at}: {id} is another route's");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{at}");
        let tag = &operation["tags"][0];
        assert!(document["tags"].as_array().unwrap().iter().any(|known| known["name"] == *tag), "{at}: {tag}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{at}: {parameter}");
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(response["description"].as_str().is_some_and(|text| text.ends_with('.')), "{at} {status}: {response}");
            if status.as_str() >= "400" && !path.starts_with("/readyz") {
                assert!(response["content"]["application/problem+json"].is_object(), "{at} {status}: {response}");
            }
        }
        let permission = &operation["x-permission"];
        assert_eq!(path.starts_with("/api/"), permission.is_string(), "{at}: {permission}");
        if permission.is_string() {
            assert_eq!(operation["security"], json!([{ "bearer": [permission] }]), "{at}");
            for status in ["401", "403", "503"] {
                assert!(operation["responses"][status].is_object(), "{at}: {status}");
            }
        }
        let in_path: BTreeSet<_> = path.split('{').skip(1).map(|part| part.split('}').next().unwrap()).collect();
        let named: BTreeSet<_> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(in_path, named, "{at}");
    }
    assert!(seen >= 21, "{seen}");
    let mut values = Vec::new();
    visit(&document, "", &mut values);
    for (place, value) in values {
        if let Some(reference) = value["$ref"].as_str() {
            assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{place}: {reference}");
        }
        if place.starts_with("/components/schemas/") && place.split('/').rev().nth(1) == Some("properties") {
            let in_a_way = value["oneOf"].as_array().is_some_and(|ways| ways.iter().any(|way| way["description"].is_string()));
            let described = in_a_way || value["description"].is_string() || value["$ref"].is_string() || value["enum"].is_array();
            assert!(described, "{place}: {value}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_has_what_the_document_says_it_has() {
    let rig = Rig::start(Given::default()).await;
    let document = rig.get("/openapi.json").await.1;
    let mut caller = Caller::talking_as(&rig, "CAdoc", "client-doc").await;
    caller.frames(50).await;
    let live = rig.call("CAdoc", |call| call["recording"]["state"] == "ACTIVE").await;
    let id = live["callId"].as_str().unwrap();
    let (status, paused) = rig.post_as(&format!("/api/calls/{id}/pause"), json!({ "reason": "PAYMENT" }), &rig.token).await;
    assert_eq!(status, 200, "{paused}");
    caller.stop().await;
    let past = rig.call("CAdoc", |call| call["phase"] == "ENDED").await;
    for state in [&live, &paused, &past] {
        conforms(&document, &json!({ "$ref": "#/components/schemas/CallState" }), state, "call");
    }
    assert_eq!(paused["recording"]["pauses"][0]["by"]["kind"], "USER");
    let recorded = rig.recorded("CAdoc2", "client-doc").await;
    for (path, schema) in [
        (format!("/api/recordings/{recorded}"), "Recording"),
        ("/api/clients/client-doc/consent".to_owned(), "ConsentStatusResponse"),
        ("/api/metrics/consent".to_owned(), "ConsentFigures"),
        ("/api/audit?limit=3".to_owned(), "AuditPage"),
        ("/api/tasks".to_owned(), "TasksPage"),
        ("/readyz".to_owned(), "Ready"),
    ] {
        let (status, answer) = rig.get(&path).await;
        assert_eq!(status, 200, "{path}: {answer}");
        conforms(&document, &json!({ "$ref": format!("#/components/schemas/{schema}") }), &answer, &path);
    }
}

/// Whether an answer has the members that its schema has, all that are required and none besides, of the types it says.
fn conforms(document: &Value, schema: &Value, answer: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(&reference[1..]).unwrap_or_else(|| panic!("{place}: {reference}"));
        return conforms(document, schema, answer, place);
    }
    if let Some(ways) = schema["oneOf"].as_array() {
        let fits = |way: &&Value| match way["type"].as_str() {
            Some("null") => answer.is_null(),
            Some("object") => answer["kind"].is_null() || way["properties"]["kind"]["enum"][0] == answer["kind"],
            _ => !answer.is_null(),
        };
        let way = ways.iter().find(fits).unwrap_or_else(|| panic!("{place}: {answer} is none of {ways:?}"));
        return conforms(document, way, answer, place);
    }
    let (mut properties, mut required) = (serde_json::Map::new(), Vec::new());
    members(document, schema, &mut properties, &mut required);
    if !properties.is_empty() {
        let object = answer.as_object().unwrap_or_else(|| panic!("{place}: {answer} is no object"));
        for name in required {
            assert!(object.contains_key(&name), "{place}: {name} is required and missing in {answer}");
        }
        for (name, member) in object {
            let schema = properties.get(name).unwrap_or_else(|| panic!("{place}: {name} is not described"));
            conforms(document, schema, member, &format!("{place}.{name}"));
        }
        return;
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let kind = match answer {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() || !kinds.contains(&"integer") => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(kinds.contains(&kind), "{place}: {answer} is not {kinds:?}");
    if let (Some(allowed), false) = (schema["enum"].as_array(), answer.is_null()) {
        assert!(allowed.contains(answer), "{place}: {answer} is none of {allowed:?}");
    }
    for (n, item) in answer.as_array().into_iter().flatten().enumerate() {
        conforms(document, &schema["items"], item, &format!("{place}[{n}]"));
    }
}

/// The members of an object, also of one that is put together.
fn members(document: &Value, schema: &Value, properties: &mut serde_json::Map<String, Value>, required: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return members(document, document.pointer(&reference[1..]).unwrap(), properties, required);
    }
    schema["allOf"].as_array().into_iter().flatten().for_each(|part| members(document, part, properties, required));
    properties.extend(schema["properties"].as_object().cloned().unwrap_or_default());
    required.extend(schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_no_is_a_problem_document() {
    let rig = Rig::start(Given::default()).await;
    let web = reqwest::Client::new();
    let long = "x".repeat(70_000);
    for (method, path, body, status) in [
        ("GET", "/api/calls?limit=many", "", 400),
        ("GET", "/api/audit?after=-1", "", 400),
        ("GET", "/api/calls?phase=ASLEEP", "", 400),
        ("GET", "/api/calls?before=yesterday", "", 400),
        ("GET", "/api/calls/%FF", "", 400),
        ("GET", "/api/nothing", "", 404),
        ("PUT", "/api/calls", "", 405),
        ("POST", "/api/clients/c/consent/revoke", long.as_str(), 413),
        ("POST", "/api/calls", "{}", 415),
        ("GET", "/api/metrics/consent?from=today", "", 400),
    ] {
        let url = format!("http://{}{path}", rig.address());
        let answer = web.request(method.parse().unwrap(), url).bearer_auth(&rig.token).body(body.to_owned()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{method} {path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{method} {path}");
        if status == 405 {
            assert!(answer.headers()["allow"].to_str().unwrap().contains("POST"), "{:?}", answer.headers());
        }
        let problem: Value = answer.json().await.unwrap();
        assert!(problem["status"] == status && problem["detail"].is_string() && problem["title"].is_string(), "{method} {path}: {problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_to_read_it_needs_nobody_else() {
    let rig = Rig::start(Given::default()).await;
    let get = async |path: &str| reqwest::get(format!("http://{}{path}", rig.address())).await.unwrap();
    let page = get("/docs").await;
    assert_eq!(page.status().as_u16(), 200);
    let page = page.text().await.unwrap();
    let links: Vec<&str> =
        ["src=\"", "href=\""].iter().flat_map(|mark| page.split(mark).skip(1)).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(links.len() >= 4, "{page}");
    for link in links {
        assert!(!link.contains("//"), "{link} is somebody else's");
        let part = get(&format!("/docs/{}", link.trim_start_matches("./"))).await;
        assert_eq!(part.status().as_u16(), 200, "{link}");
        assert!(part.content_length().unwrap_or(1) > 0, "{link}");
    }
    let start = get("/docs/swagger-initializer.js").await.text().await.unwrap();
    assert!(start.contains("/openapi.json"), "{start}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_page_may_run_its_own_script_and_ask_this_gateway_and_nothing_else() {
    let rig = Rig::start(Given::default()).await;
    let answer = reqwest::get(format!("http://{}/console", rig.address())).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    for rule in ["default-src 'none'", "script-src 'sha256-", "style-src 'sha256-", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let page = answer.text().await.unwrap();
    for route in page.split("\"/api/").skip(1) {
        assert!(route.starts_with("calls"), "the page asks for {route:.40}: say so in its permission");
    }
}
