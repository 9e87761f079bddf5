//! The main app, asked where a call goes (`CALLGATE_INBOUND_ROUTE` as a URL): one bounded question, no redirect.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::http::{cause, shown, url};

/// A caller waits in silence while the main app thinks.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// TwiML of a few verbs; Twilio itself takes no more than this.
pub const ANSWER_MAX: usize = 64 * 1024;

/// Where the main app is asked: `https://`, or `http://` on this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppUrl(Url);

/// Asks the main app.
#[derive(Clone, Debug)]
pub struct MainApp {
    client: Client,
    url: AppUrl,
}

/// Why there is no answer. Never quotes one.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It said no.
    #[error("it answered with status {0}")]
    Status(u16),
    /// It sent us elsewhere.
    #[error("it answered with a redirect ({0}), which is not followed; name the URL that answers")]
    Redirect(u16),
    /// It says too much.
    #[error("its answer is longer than {ANSWER_MAX} bytes")]
    TooLong,
    /// Not in time.
    #[error("it did not answer within {ANSWER_WITHIN:?}")]
    Late,
    /// Not text.
    #[error("its answer is not UTF-8")]
    NotText,
    /// Not there.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
}

impl AppUrl {
    /// Reads `https://…`, or `http://` with a loopback host. No user name, no fragment.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        url(text, "https", "http").map(Self)
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// As it may be shown: a query can be a secret.
    #[must_use]
    pub fn shown(&self) -> String {
        shown(&self.0)
    }

    /// With `fields` in its query, for somebody else to ask.
    #[must_use]
    pub fn with(&self, fields: &[(&str, &str)]) -> String {
        let mut url = self.0.clone();
        url.query_pairs_mut().extend_pairs(fields);
        url.into()
    }
}

impl MainApp {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// If the machine's TLS roots cannot be used.
    pub fn new(url: AppUrl) -> std::io::Result<Self> {
        let client = Client::builder().redirect(Policy::none()).timeout(ANSWER_WITHIN).build().map_err(std::io::Error::other)?;
        Ok(Self { client, url })
    }

    /// Where it is asked.
    #[must_use]
    pub const fn url(&self) -> &AppUrl {
        &self.url
    }

    /// Posts `form` and reads the answer, all within [`ANSWER_WITHIN`].
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(&self, form: &[(String, String)], signature: Option<String>) -> Result<String, AskError> {
        let mut request = self.client.post(self.url.0.clone()).form(form);
        if let Some(signature) = signature {
            request = request.header("x-twilio-signature", signature);
        }
        let mut answer = request.send().await.map_err(AskError::of)?;
        let status = answer.status();
        if status.is_redirection() {
            return Err(AskError::Redirect(status.as_u16()));
        }
        if !status.is_success() {
            return Err(AskError::Status(status.as_u16()));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(AskError::of)? {
            if body.len() + piece.len() > ANSWER_MAX {
                return Err(AskError::TooLong);
            }
            body.extend_from_slice(&piece);
        }
        String::from_utf8(body).map_err(|_| AskError::NotText)
    }
}

impl AskError {
    fn of(why: reqwest::Error) -> Self {
        if why.is_timeout() {
            return Self::Late;
        }
        Self::Unreachable(cause(why))
    }
}

#[cfg(test)]
mod tests {
    use super::AppUrl;

    #[test]
    fn plain_http_stays_on_this_machine() {
        for fine in ["https://app.example.com/route", "http://127.0.0.1:3000/r?x=1", "http://localhost/r", "http://[::1]:9/r"] {
            assert!(AppUrl::parse(fine).is_some(), "{fine}");
        }
        for wrong in [
            "http://app.example.com/r",
            "http://127.0.0.1.evil.com/",
            "ftp://x/",
            "https://u:p@x/",
            "https://x/#f",
            "app.example.com",
            "http://10.0.0.1/",
        ] {
            assert!(AppUrl::parse(wrong).is_none(), "{wrong}");
        }
        let with = AppUrl::parse("https://x/r?a=1").unwrap().with(&[("callId", "a&b")]);
        assert_eq!(with, "https://x/r?a=1&callId=a%26b");
    }
}
