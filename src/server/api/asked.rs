//! What a request asks, as axum takes it in; what is wrong with it is answered by a problem document, as everything is. None of it has
//! U+0000: PostgreSQL's text has no such character, and what one database takes the other does not.

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::Problem;

/// The ids in a path.
pub(super) struct Path<T>(pub(super) T);

/// The query.
pub(super) struct Query<T>(pub(super) T);

/// The body, as it came.
pub(super) struct Bytes(pub(super) axum::body::Bytes);

/// The body, which must be JSON.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        without_nul(!parts.uri.path().contains(NUL_IN_URL))?;
        Ok(Self(axum::extract::Path::from_request_parts(parts, state).await?.0))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        without_nul(!parts.uri.query().is_some_and(|query| query.contains(NUL_IN_URL)))?;
        Ok(Self(axum::extract::Query::from_request_parts(parts, state).await?.0))
    }
}

impl<S: Send + Sync> FromRequest<S> for Bytes {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = axum::body::Bytes::from_request(request, state).await?;
        without_nul(!has_nul(&bytes))?;
        Ok(Self(bytes))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let Bytes(bytes) = Bytes::from_request(Request::from_parts(parts.clone(), body), state).await?;
        Ok(Self(Json::from_request(Request::from_parts(parts, bytes.into()), state).await?.0))
    }
}

/// U+0000 in a path or a query. Nothing decodes one twice.
pub(in crate::server) const NUL_IN_URL: &str = "%00";

fn without_nul(is_so: bool) -> Result<(), Problem> {
    is_so.then_some(()).ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "it contains U+0000, which no text here may contain"))
}

/// Whether a string of this JSON has U+0000, which JSON can only write as an escape.
fn has_nul(mut json: &[u8]) -> bool {
    while let Some(at) = json.iter().position(|byte| *byte == b'\\') {
        json = &json[at + 1..];
        if json.starts_with(b"u0000") {
            return true;
        }
        // What is escaped is no escape.
        json = json.get(1..).unwrap_or_default();
    }
    false
}

macro_rules! problems {
    ($($rejection:ty),*) => { $(
        impl From<$rejection> for Problem {
            fn from(why: $rejection) -> Self {
                Self::new(why.status(), why.body_text())
            }
        }
    )* };
}

problems!(PathRejection, QueryRejection, BytesRejection, JsonRejection);

#[cfg(test)]
mod tests {
    use super::has_nul;

    #[test]
    fn a_nul_is_seen_however_it_is_escaped_and_a_backslash_before_a_u_is_none() {
        for json in [r#"{"a":"\u0000"}"#, r#"{"a\u0000":1}"#, r#"["\\\u0000"]"#, r#"["\"\u0000"]"#] {
            assert!(has_nul(json.as_bytes()), "{json}");
            assert!(serde_json::from_str::<serde_json::Value>(json).unwrap().to_string().contains(r"\u0000"), "{json}");
        }
        for json in [r#"{"a":"\\u0000"}"#, r#"["\u0001", "u0000"]"#, "", "\\"] {
            assert!(!has_nul(json.as_bytes()), "{json}");
        }
        assert!(serde_json::from_slice::<serde_json::Value>(b"\"\0\"").is_err(), "as it is, it is no JSON");
    }
}
