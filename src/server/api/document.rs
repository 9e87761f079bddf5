//! What the API says of itself: `GET /openapi.json`, made of the very routes, and `GET /docs` to read and try it.
//!
//! A handler says what is its own: its permission, what it asks, each status that it answers by itself and why. What holds for
//! all of them is added here: who is let in, the form of a problem, and that what may be null is there nevertheless.

use axum::Router;
use serde_json::{Map, Value, json};
use utoipa::{OpenApi, ToSchema};
use utoipa_swagger_ui::SwaggerUi;

use super::App;
use crate::engine::time::WallTime;

/// Where a handler names the permission it asks for.
const PERMISSION: &str = "x-permission";
/// The form of every answer that is a no.
const PROBLEM: &str = "application/problem+json";

/// The frame that the routes are put into.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "callgate",
        description = "The main app's side of a consent gate for recorded telephone calls.\n\n\
            Every route asks for a bearer token, and names the permission that the token must have in `x-permission`. \
            Another organisation's things do not exist (404); a client that is not assigned to the token is denied (403), and that is \
            written down. Errors are problem documents (RFC 9457). Times are RFC 3339 in UTC with milliseconds; ids are opaque.\n\n\
            Not described here: `GET /twilio/media` and `POST /api/webhooks/twilio/*`, which are Twilio's and are let in by its signature.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "calls", description = "Live and past calls: their state, as one answer or as a stream, and what may be done to them."),
        (name = "clients", description = "A client's consent, legal holds, and calls that no recording keeps."),
        (name = "recordings", description = "What was recorded. Every read stands in the audit chain."),
        (name = "tasks", description = "What unrecorded calls leave to be written down."),
        (name = "audit", description = "The organisation's hash chain, and its figures."),
        (name = "gateway", description = "Whether it is well."),
    ),
    components(schemas(ProblemDocument))
)]
struct Frame;

/// A problem document (RFC 9457): what is wrong, and what to do about it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what `Problem` writes")]
struct ProblemDocument {
    /// `about:blank`: the status says what kind of problem it is; or the name of a kind of its own.
    #[schema(rename = "type")]
    kind: String,
    /// The status in words.
    title: String,
    /// The status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong, in a sentence.
    detail: String,
    /// The call that it is about, if a call was made.
    #[schema(nullable = false)]
    call_id: Option<String>,
    /// When the gate was shut for a no whose record is not in the ledger yet (`urn:callgate:problem:gate-shut-record-pending`).
    #[schema(nullable = false)]
    gate_shut_at: Option<WallTime>,
    /// Twilio's own code, if Twilio refused.
    #[schema(nullable = false)]
    twilio_code: Option<u64>,
}

/// An empty frame to hang routes in.
pub(super) fn frame() -> utoipa::openapi::OpenApi {
    Frame::openapi()
}

/// Where it is to be had.
pub(super) fn routes(document: &utoipa::openapi::OpenApi) -> Router<App> {
    SwaggerUi::new("/docs").external_url_unchecked("/openapi.json", complete(json!(document))).into()
}

/// Adds what holds for all routes.
fn complete(mut document: Value) -> Value {
    document["components"]["securitySchemes"] = json!({ "bearer": {
        "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
        "description": "Claims `sub`, `name`, `org`, `permissions` and `clients` (ids, or `*`); `callgate token` makes one for development." } });
    let mut answered = Vec::new();
    for operation in members(&mut document["paths"]).flat_map(|(_, path)| members(path)).map(|(_, operation)| operation) {
        complete_operation(operation);
        refer(&operation["responses"], &mut answered);
    }
    // What answers are made of, as far as it hangs together.
    let mut at = 0;
    while let Some(name) = answered.get(at).cloned() {
        let schema = &mut document["components"]["schemas"][name.as_str()];
        require_nullable(schema);
        refer(schema, &mut answered);
        at += 1;
    }
    document
}

fn complete_operation(operation: &mut Value) {
    let mut common = Vec::new();
    if let Some(permission) = operation[PERMISSION].as_str().map(str::to_owned) {
        operation["security"] = json!([{ "bearer": [permission] }]);
        common.push((401, "There is no bearer token, or it is wrong or has expired."));
        common.push((403, "The token lacks the permission, or the client is not assigned to it. The access log keeps it."));
        common.push((429, "Too much is asked by one bearer; `Retry-After` says when to ask again."));
        common.push((503, "callgate cannot answer this now; ask again."));
    }
    if operation["parameters"].is_array() {
        common.push((400, "The request is not as it should be; `detail` says what to mend."));
    }
    if operation["requestBody"].is_object() {
        common.push((400, "The request is not as it should be; `detail` says what to mend."));
        common.push((413, "The body is longer than any body needs to be."));
    }
    for (status, description) in common {
        let responses = &mut operation["responses"][status.to_string()];
        if responses.is_null() {
            *responses = json!({ "description": description });
        }
    }
    for (status, response) in members(&mut operation["responses"]) {
        if status.as_str() >= "400" && response["content"].is_null() {
            response["content"] = json!({ PROBLEM: { "schema": { "$ref": "#/components/schemas/ProblemDocument" } } });
        }
    }
}

fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flat_map(Map::iter_mut)
}

/// Names of schemas that `value` refers to, each once.
fn refer(value: &Value, to: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            if let Some(name) = object.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next())
                && !to.iter().any(|known| known == name)
            {
                to.push(name.to_owned());
            }
            object.values().for_each(|value| refer(value, to));
        }
        Value::Array(values) => values.iter().for_each(|value| refer(value, to)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// In an answer, what may be null is written as null, never left out.
fn require_nullable(schema: &mut Value) {
    for parts in ["allOf", "oneOf"] {
        schema.get_mut(parts).and_then(Value::as_array_mut).into_iter().flatten().for_each(require_nullable);
    }
    let nullable = |(name, property): (&String, &Value)| {
        let may_be = property["type"].as_array().is_some_and(|types| types.iter().any(|one| one == "null"))
            || property["oneOf"].as_array().is_some_and(|ways| ways.iter().any(|way| way["type"] == "null"));
        may_be.then(|| json!(name))
    };
    let names: Vec<Value> = schema["properties"].as_object().into_iter().flat_map(Map::iter).filter_map(nullable).collect();
    if let (false, Some(object)) = (names.is_empty(), schema.as_object_mut()) {
        let required = object.entry("required").or_insert_with(|| json!([]));
        required.as_array_mut().into_iter().for_each(|required| required.extend(names.clone()));
    }
}
