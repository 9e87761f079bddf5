//! What a caller is told when something is not as it should be: RFC 9457 problem documents.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::engine::time::WallTime;

/// The type of [`Problem::gate_shut`].
pub const GATE_SHUT: &str = "urn:callgate:problem:gate-shut-record-pending";
/// Its header: when the gate was shut.
const GATE_SHUT_AT: &str = "gate-shut-at";

/// A problem document.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    more: Map<String, Value>,
    retry_after: Option<Duration>,
    gate_shut_at: Option<WallTime>,
}

impl Problem {
    /// With a sentence for the caller: what is wrong, never whose data it is about.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), more: Map::new(), retry_after: None, gate_shut_at: None }
    }

    /// With a member of its own, for programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }

    /// With the time after which to ask again, as `Retry-After`.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// A no is in force, its gate shut since `at`, and the database does not take its record. It is being written.
    #[must_use]
    pub fn gate_shut(at: WallTime) -> Self {
        let detail = "nothing is captured any more, and that the client said no is being written into the ledger, which does not take it now: \
                      it is kept and tried until it is written. Ask again to learn whether it is";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with("gateShutAt", json!(at)).retry_after(Duration::from_secs(4));
        Self { gate_shut_at: Some(at), ..problem }
    }

    /// HTTP's status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The document.
    #[must_use]
    pub fn json(&self) -> Value {
        let (kind, title) = match self.gate_shut_at {
            Some(_) => (GATE_SHUT, "The gate is shut; its record is not written yet"),
            None => ("about:blank", self.status.canonical_reason().unwrap_or("problem")),
        };
        let mut body = json!({ "type": kind, "title": title, "status": self.status.as_u16(), "detail": self.detail });
        if let Some(members) = body.as_object_mut() {
            members.extend(self.more.clone());
        }
        body
    }

    /// Nothing there, or nothing that this caller may know of.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no such {what}"))
    }

    /// Ours; the log tells more than the caller.
    pub fn ours(why: impl std::fmt::Display) -> Self {
        tracing::error!(error = %why, "api: a request could not be answered");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "callgate cannot answer this now; try again")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.json())).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after {
            // In whole seconds, and none is no wait.
            response.headers_mut().insert(header::RETRY_AFTER, (wait.as_secs() + 1).into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(at) = self.gate_shut_at.and_then(|at| HeaderValue::from_str(&at.to_string()).ok()) {
            response.headers_mut().insert(GATE_SHUT_AT, at);
        }
        response
    }
}
