//! The receiver of events (`CALLGATE_WEBHOOK_URL`): one bounded, signed post; no redirect is followed, no answer is read.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::http::cause;
use crate::engine::webhook::WebhookSecret;

/// A receiver has so long to say that it has taken a post.
pub const TAKEN_WITHIN: Duration = Duration::from_secs(10);
/// Connections kept for the next post.
const IDLE_MAX: usize = 8;

/// Posts to the receiver.
#[derive(Clone, Debug)]
pub struct Webhook {
    client: Client,
    url: Url,
    secret: WebhookSecret,
}

/// Why a post was not taken. Never quotes an answer or the URL.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// It said no.
    #[error("it answered with status {status}")]
    Status {
        /// Which.
        status: u16,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// It sent us elsewhere.
    #[error("it answered with a redirect ({0}), which is not followed; name the URL that takes events")]
    Redirect(u16),
    /// Not in time.
    #[error("it did not answer within {TAKEN_WITHIN:?}")]
    Late,
    /// Not there.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
}

impl Webhook {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// If the URL is none, or the machine's TLS roots cannot be used.
    pub fn new(url: &str, secret: WebhookSecret) -> std::io::Result<Self> {
        let url = Url::parse(url).map_err(std::io::Error::other)?;
        let client = Client::builder().redirect(Policy::none()).timeout(TAKEN_WITHIN).pool_max_idle_per_host(IDLE_MAX);
        Ok(Self { client: client.build().map_err(std::io::Error::other)?, url, secret })
    }

    /// Posts `body` under `id`, signed at `seconds` since 1970. Answered when the receiver has taken it.
    ///
    /// # Errors
    /// [`NotTaken`]. It may have been taken all the same: an answer can be lost.
    pub async fn post(&self, id: &str, seconds: i64, body: String) -> Result<(), NotTaken> {
        let signature = self.secret.sign(id, seconds, &body);
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", signature)
            .body(body);
        let answer = request.send().await.map_err(NotTaken::of)?;
        let status = answer.status();
        if status.is_redirection() {
            return Err(NotTaken::Redirect(status.as_u16()));
        }
        if !status.is_success() {
            let wanted = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            return Err(NotTaken::Status { status: status.as_u16(), retry_after: wanted.map(Duration::from_secs) });
        }
        Ok(())
    }
}

impl NotTaken {
    fn of(why: reqwest::Error) -> Self {
        if why.is_timeout() {
            return Self::Late;
        }
        Self::Unreachable(cause(why))
    }
}
