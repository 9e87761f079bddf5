//! Twilio's REST API: a call is placed. Placing is not idempotent, so it is tried again only where Twilio cannot have
//! placed one: when nothing was sent, and when Twilio says that it took nothing (429).

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

/// A connection is made within this.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// One question is answered within this.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Before the second try.
const PAUSE: Duration = Duration::from_millis(500);
/// An answer is a few kilobytes.
const ANSWER_MAX: usize = 64 * 1024;
/// It rings so long, in seconds.
const RING_S: &str = "60";
/// Who answered is known within this, in seconds: before the prompt and its ten seconds are over.
const SCREEN_WITHIN_S: &str = "15";

/// What of a call Twilio tells us.
const EVENTS: [&str; 4] = ["initiated", "ringing", "answered", "completed"];

/// Twilio's account, as it is asked.
#[derive(Clone)]
pub struct TwilioRest {
    client: Client,
    calls: Url,
    account: String,
    token: SecretString,
    from: String,
}

/// A call to be placed.
#[derive(Clone, Copy, Debug)]
pub struct NewCall<'a> {
    /// A number, or `client:ID`.
    pub to: &'a str,
    /// Asked what to do when somebody answers.
    pub voice_url: &'a str,
    /// Asked if that, or what its TwiML names, cannot be.
    pub fallback_url: Option<&'a str>,
    /// Told how the call fares.
    pub status_url: &'a str,
    /// Whether Twilio listens for machines, and tells `status_url` while the call goes on.
    pub screened: bool,
}

/// Why there is no call, or nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Twilio said no.
    #[error("Twilio refused the call (status {status}, code {code}): {message}")]
    Refused {
        /// HTTP's.
        status: u16,
        /// Twilio's; 0 if it named none.
        code: u32,
        /// Twilio's words. They may hold a number: for whoever asked, not for a log.
        message: String,
    },
    /// Nothing was sent.
    #[error("Twilio cannot be reached: {0}")]
    Unreachable(String),
    /// Something was sent, and no answer says what came of it.
    #[error("Twilio gave no answer that tells whether the call was placed: {0}")]
    Unknown(String),
}

impl CallError {
    /// What kind it is, without Twilio's words: for a log.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Self::Refused { status, code, .. } => format!("Twilio refused with status {status}, code {code}"),
            Self::Unreachable(_) | Self::Unknown(_) => self.to_string(),
        }
    }
}

#[derive(Deserialize)]
struct Created {
    sid: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Refusal {
    code: u32,
    message: String,
}

impl TwilioRest {
    /// Nothing is sent yet. `base` is `https://api.twilio.com`, or a stand-in's.
    ///
    /// # Errors
    /// If the base is no URL with a path, or the machine's TLS roots cannot be used.
    pub fn new(base: &str, account: String, token: SecretString, from: String) -> std::io::Result<Self> {
        let mut calls = Url::parse(base).map_err(std::io::Error::other)?;
        calls.path_segments_mut().map_err(|()| std::io::Error::other("it has no path"))?.pop_if_empty().extend([
            "2010-04-01",
            "Accounts",
            &account,
            "Calls.json",
        ]);
        let client = Client::builder().redirect(Policy::none()).connect_timeout(CONNECT_WITHIN).timeout(ANSWER_WITHIN);
        Ok(Self { client: client.build().map_err(std::io::Error::other)?, calls, account, token, from })
    }

    /// Places a call and tells Twilio's id of it. Answers within twice [`ANSWER_WITHIN`] and a pause.
    ///
    /// # Errors
    /// [`CallError`]; after [`CallError::Unknown`] the call may be under way.
    pub async fn call(&self, call: NewCall<'_>) -> Result<String, CallError> {
        match self.try_call(call).await {
            Err(CallError::Unreachable(_) | CallError::Refused { status: 429, .. }) => {
                tokio::time::sleep(PAUSE).await;
                self.try_call(call).await
            }
            answered => answered,
        }
    }

    /// Hands a live call new TwiML: what it does now is over, and the new verbs run. Asked again only where nothing was sent or taken.
    ///
    /// # Errors
    /// [`CallError`]; after [`CallError::Unknown`] it may have been done. A call that is over is refused with code 20404 or 21220.
    pub async fn update(&self, call_sid: &str, twiml: &str) -> Result<(), CallError> {
        self.change(call_sid, &[("Twiml", twiml)]).await
    }

    /// Hangs up on a live call.
    ///
    /// # Errors
    /// [`CallError`], as for [`Self::update`].
    pub async fn complete(&self, call_sid: &str) -> Result<(), CallError> {
        self.change(call_sid, &[("Status", "completed")]).await
    }

    async fn change(&self, call_sid: &str, form: &[(&str, &str)]) -> Result<(), CallError> {
        let mut url = self.calls.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop().extend(["Calls", &format!("{call_sid}.json")]);
        }
        match self.ask(&url, form).await {
            Err(CallError::Unreachable(_) | CallError::Refused { status: 429, .. }) => {
                tokio::time::sleep(PAUSE).await;
                self.ask(&url, form).await.map(|_| ())
            }
            answered => answered.map(|_| ()),
        }
    }

    async fn try_call(&self, call: NewCall<'_>) -> Result<String, CallError> {
        let mut form = vec![
            ("To", call.to),
            ("From", &self.from),
            ("Url", call.voice_url),
            ("Method", "POST"),
            ("StatusCallback", call.status_url),
            ("StatusCallbackMethod", "POST"),
            ("Timeout", RING_S),
        ];
        form.extend(EVENTS.map(|event| ("StatusCallbackEvent", event)));
        if let Some(url) = call.fallback_url {
            form.extend([("FallbackUrl", url), ("FallbackMethod", "POST")]);
        }
        if call.screened {
            form.extend([
                ("MachineDetection", "Enable"),
                ("MachineDetectionTimeout", SCREEN_WITHIN_S),
                ("AsyncAmd", "true"),
                ("AsyncAmdStatusCallback", call.status_url),
                ("AsyncAmdStatusCallbackMethod", "POST"),
            ]);
        }
        self.ask(&self.calls, &form).await
    }

    /// Asks, and tells the id of the call that the answer is about.
    async fn ask(&self, url: &Url, form: &[(&str, &str)]) -> Result<String, CallError> {
        let request = self.client.post(url.clone()).basic_auth(&self.account, Some(self.token.expose_secret())).form(form);
        let mut answer = request.send().await.map_err(|why| {
            // A connection that was never made has carried nothing.
            if why.is_connect() { CallError::Unreachable(cause(why)) } else { CallError::Unknown(cause(why)) }
        })?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|why| CallError::Unknown(cause(why)))? {
            if body.len() + piece.len() > ANSWER_MAX {
                return Err(CallError::Unknown(format!("its answer is longer than {ANSWER_MAX} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        if status.is_success() {
            let created: Created = serde_json::from_slice(&body).map_err(|_| CallError::Unknown("its answer names no call".to_owned()))?;
            return Ok(created.sid);
        }
        let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT {
            return Err(CallError::Refused { status: status.as_u16(), code: refusal.code, message: refusal.message });
        }
        Err(CallError::Unknown(format!("it answered with status {}", status.as_u16())))
    }
}

fn cause(why: reqwest::Error) -> String {
    if why.is_timeout() && !why.is_connect() {
        return format!("it did not answer within {ANSWER_WITHIN:?}");
    }
    super::http::cause(why)
}
