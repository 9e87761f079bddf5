//! What one bearer may take of the API: requests in a time, and event streams at once. Twilio's side and the probes have no part in it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use dashmap::DashMap;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::auth::Claims;
use super::problem::Problem;

/// Event streams that one bearer may have open at once; one more is refused.
pub const STREAMS_A_BEARER_MAX: usize = 64;
/// Bearers who have been quiet are forgotten once in so many requests.
const FORGET_EVERY: u64 = 4_096;

/// So many requests a second, and so many at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestLimit {
    /// In the long run.
    pub per_second: NonZeroU32,
    /// After a quiet time.
    pub at_once: NonZeroU32,
}

impl RequestLimit {
    /// Reads `RATE/BURST`, such as `50/200`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (per_second, at_once) = text.split_once('/')?;
        Some(Self { per_second: per_second.parse().ok()?, at_once: at_once.parse().ok()? })
    }
}

impl std::fmt::Display for RequestLimit {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{}/{}", self.per_second, self.at_once)
    }
}

/// A person of an organisation, whatever tokens they have.
type Bearer = (String, String);

/// What each bearer has taken.
pub(super) struct Limits {
    /// `None` if there is no limit.
    requests: Option<DefaultKeyedRateLimiter<Bearer>>,
    asked: AtomicU64,
    streams: Arc<DashMap<Bearer, usize>>,
}

impl Limits {
    pub(super) fn new(limit: Option<RequestLimit>) -> Self {
        let requests = limit.map(|limit| RateLimiter::keyed(Quota::per_second(limit.per_second).allow_burst(limit.at_once)));
        Self { requests, asked: AtomicU64::new(0), streams: Arc::default() }
    }

    /// Lets a request in, or says when to ask again.
    pub(super) fn request(&self, claims: &Claims) -> Result<(), Problem> {
        let Some(requests) = &self.requests else { return Ok(()) };
        if self.asked.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            requests.retain_recent();
        }
        requests.check_key(&bearer(claims)).map_err(|full| {
            let wait = full.wait_time_from(DefaultClock::default().now());
            let detail = "too many requests of one bearer; ask again after Retry-After, or raise CALLGATE_RATE_LIMIT";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(wait)
        })
    }

    /// A place for an event stream. Dropping it gives it back.
    pub(super) fn stream(&self, claims: &Claims) -> Result<StreamPlace, Problem> {
        let bearer = bearer(claims);
        let mut open = self.streams.entry(bearer.clone()).or_default();
        if *open >= STREAMS_A_BEARER_MAX {
            let detail = format!("{STREAMS_A_BEARER_MAX} event streams of one bearer are open already; close one first");
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(Duration::from_secs(1)));
        }
        *open += 1;
        Ok(StreamPlace { streams: Arc::clone(&self.streams), bearer })
    }
}

fn bearer(claims: &Claims) -> Bearer {
    (claims.org.clone(), claims.sub.clone())
}

/// A place for an event stream of a bearer.
pub(super) struct StreamPlace {
    streams: Arc<DashMap<Bearer, usize>>,
    bearer: Bearer,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        if let Some(mut open) = self.streams.get_mut(&self.bearer) {
            *open -= 1;
        }
        self.streams.remove_if(&self.bearer, |_, open| *open == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(org: &str, sub: &str) -> Claims {
        Claims { sub: sub.into(), name: String::new(), org: org.into(), permissions: Vec::new(), clients: Vec::new(), exp: 0 }
    }

    #[test]
    fn a_limit_is_a_rate_and_a_burst_of_one_or_more() {
        assert_eq!(RequestLimit::parse("50/200").unwrap().to_string(), "50/200");
        for wrong in ["", "50", "0/1", "1/0", "-1/5", "1/2/3", "many/few"] {
            assert_eq!(RequestLimit::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn one_bearer_does_not_use_up_what_is_anothers() {
        let limits = Limits::new(RequestLimit::parse("1/2"));
        let (ada, bob, other) = (claims("a", "ada"), claims("a", "bob"), claims("b", "ada"));
        assert!(limits.request(&ada).is_ok() && limits.request(&ada).is_ok());
        let full = limits.request(&ada).unwrap_err();
        assert_eq!(full.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(limits.request(&bob).is_ok() && limits.request(&other).is_ok());
        assert!(std::iter::repeat_with(|| Limits::new(None).request(&ada)).take(1_000).all(|asked| asked.is_ok()));
    }

    #[test]
    fn a_stream_that_is_closed_leaves_its_place_and_no_trace() {
        let limits = Limits::new(None);
        let (ada, bob) = (claims("a", "ada"), claims("a", "bob"));
        let mut open: Vec<_> = (0..STREAMS_A_BEARER_MAX).map(|_| limits.stream(&ada).ok().unwrap()).collect();
        assert!(limits.stream(&ada).is_err() && limits.stream(&bob).is_ok());
        open.pop();
        assert!(limits.stream(&ada).is_ok());
        open.clear();
        assert!(limits.streams.is_empty());
    }
}
