//! Configuration: a TOML file, over which the environment wins, over which flags win. Every key has a default that
//! works on one machine with nothing installed; a wrong value is refused with the key's name and what is allowed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;
use serde::Deserialize;

use super::auth::TokenSource;
use crate::engine::call::{Clock, OnOptOut, Settings};
use crate::engine::consent::keys::OptOutKeys;
use crate::engine::twilio::twiml::Route;
use crate::engine::webhook::WebhookSecret;
use crate::io::database::DatabaseUrl;
use crate::io::main_app::AppUrl;
use crate::io::objects::{ObjectsSpec, Sse};
use crate::io::recording::Format;

/// Every key as it was given, or not.
#[derive(Args, Deserialize, Default, Clone)]
#[serde(default, deny_unknown_fields)]
pub struct Given {
    /// Address of HTTP and WebSocket; port 0 picks a free one [default: 127.0.0.1:8080]
    #[arg(long, env = "CALLGATE_LISTEN")]
    pub listen: Option<String>,
    /// How Twilio sees this gateway [default: http://LISTEN]
    #[arg(long, env = "CALLGATE_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// Spool, embedded database, embedded object store, development keys [default: ./callgate-data]
    #[arg(long, env = "CALLGATE_DATA_DIR")]
    pub data_dir: Option<String>,
    /// sqlite://PATH for one gateway, postgres://USER:PASSWORD@HOST:PORT/DATABASE for many [default: sqlite://DATA_DIR/callgate.db]
    #[arg(long, env = "CALLGATE_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// file://PATH or s3://BUCKET/PREFIX [default: file://DATA_DIR/objects]
    #[arg(long, env = "CALLGATE_OBJECTS")]
    pub objects: Option<String>,
    /// Endpoint of an S3-compatible store, path style
    #[arg(long, env = "CALLGATE_S3_ENDPOINT")]
    pub s3_endpoint: Option<String>,
    /// AES256 or aws:kms[:KEY_ID]
    #[arg(long, env = "CALLGATE_S3_SSE")]
    pub s3_sse: Option<String>,
    /// AC…
    #[arg(long, env = "CALLGATE_TWILIO_ACCOUNT_SID")]
    pub twilio_account_sid: Option<String>,
    /// The account's primary auth token; without one the gateway listens on loopback only
    #[arg(long, env = "CALLGATE_TWILIO_AUTH_TOKEN", hide_env_values = true)]
    pub twilio_auth_token: Option<String>,
    /// Check X-Twilio-Signature [default: true if there is a token]
    #[arg(long, env = "CALLGATE_TWILIO_VALIDATE")]
    pub twilio_validate: Option<String>,
    /// Secret of HS256 API tokens [default: a generated one under DATA_DIR, loopback only]
    #[arg(long, env = "CALLGATE_JWT_SECRET", hide_env_values = true)]
    pub jwt_secret: Option<String>,
    /// Key set of RS256, ES256 and EdDSA API tokens, instead of a secret
    #[arg(long, env = "CALLGATE_JWKS_FILE")]
    pub jwks_file: Option<String>,
    /// Where an inbound call goes after the prompt: a number, client:ID, or the https:// URL of the main app, which answers with TwiML
    #[arg(long, env = "CALLGATE_INBOUND_ROUTE")]
    pub inbound_route: Option<String>,
    /// Where events are posted: https://, or http:// on loopback
    #[arg(long, env = "CALLGATE_WEBHOOK_URL")]
    pub webhook_url: Option<String>,
    /// What posted events are signed with: whsec_ and base64 of 24 to 64 bytes
    #[arg(long, env = "CALLGATE_WEBHOOK_SECRET", hide_env_values = true)]
    pub webhook_secret: Option<String>,
    /// wav or opus [default: wav]
    #[arg(long, env = "CALLGATE_CAPTURE_FORMAT")]
    pub capture_format: Option<String>,
    /// keep-consented or discard-call [default: keep-consented]
    #[arg(long, env = "CALLGATE_ON_OPT_OUT")]
    pub on_opt_out: Option<String>,
    /// strict or media [default: strict]
    #[arg(long, env = "CALLGATE_CLOCK")]
    pub clock: Option<String>,
    /// Calls at once; one more is refused with 503 [default: 4000]
    #[arg(long, env = "CALLGATE_MAX_CALLS")]
    pub max_calls: Option<String>,
    /// A line of exact digital silence does not grant by silence [default: true]
    #[arg(long, env = "CALLGATE_SILENCE_NEEDS_NOISE_FLOOR")]
    pub silence_needs_noise_floor: Option<String>,
    /// A granted recording begins with our own prompt [default: true]
    #[arg(long, env = "CALLGATE_PROMPT_IN_RECORDING")]
    pub prompt_in_recording: Option<String>,
    /// What opts out in the middle of a conversation: lone-2,*2 or one of them or none [default: lone-2,*2]
    #[arg(long, env = "CALLGATE_OPT_OUT_KEYS")]
    pub opt_out_keys: Option<String>,
    /// Accept streams without a call made by this gateway [default: true while no Twilio token is set]
    #[arg(long, env = "CALLGATE_UNANNOUNCED")]
    pub unannounced: Option<String>,
    /// Threads that own media sockets [default: half the cores, at least one]
    #[arg(long, env = "CALLGATE_MEDIA_THREADS")]
    pub media_threads: Option<String>,
    /// Seconds that live calls have to end after SIGTERM [default: 30]
    #[arg(long, env = "CALLGATE_DRAIN_SECONDS")]
    pub drain_seconds: Option<String>,
    /// tracing filter [default: info]
    #[arg(long, env = "CALLGATE_LOG")]
    pub log: Option<String>,
    /// text or json [default: text]
    #[arg(long, env = "CALLGATE_LOG_FORMAT")]
    pub log_format: Option<String>,
}

/// Configuration in force.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How Twilio sees it, if told.
    pub public_url: Option<String>,
    /// Where what is local lies.
    pub data_dir: PathBuf,
    /// The database.
    pub database_url: DatabaseUrl,
    /// The object store.
    pub objects: ObjectsSpec,
    /// Twilio's account.
    pub twilio_account_sid: Option<String>,
    /// Its auth token.
    pub twilio_auth_token: Option<SecretString>,
    /// Whether signatures are checked.
    pub twilio_validate: bool,
    /// What API tokens are checked by.
    pub tokens: TokenSource,
    /// Where inbound calls go.
    pub inbound_route: Option<InboundRoute>,
    /// Where events are posted, and what they are signed with.
    pub webhook: Option<(AppUrl, WebhookSecret)>,
    /// How recordings are encoded.
    pub format: Format,
    /// What every call is told.
    pub settings: Settings,
    /// Calls at once.
    pub max_calls: usize,
    /// Whether streams without an announced call are taken.
    pub unannounced: bool,
    /// Threads of media sockets.
    pub media_threads: usize,
    /// Seconds to end in.
    pub drain_seconds: u64,
    /// tracing filter.
    pub log: String,
    /// Logs for machines.
    pub log_json: bool,
}

/// Where an inbound call goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InboundRoute {
    /// Somebody is dialled.
    Dial(Route),
    /// The main app is asked.
    Ask(AppUrl),
}

impl InboundRoute {
    fn parse(text: &str) -> Option<Self> {
        Route::parse(text).map(Self::Dial).or_else(|| AppUrl::parse(text).map(Self::Ask))
    }
}

/// A value that is not allowed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{key}: {value:?} is not allowed; {allowed}")]
pub struct Wrong {
    key: &'static str,
    value: String,
    allowed: String,
}

impl Given {
    /// Reads a TOML file, in which numbers and truths may stand as such.
    ///
    /// # Errors
    /// What toml says, or the name of a key that does not exist.
    pub fn from_toml(text: &str) -> Result<Self, toml::de::Error> {
        let mut table: toml::Table = toml::from_str(text)?;
        for (_, value) in &mut table {
            if matches!(value, toml::Value::Integer(_) | toml::Value::Boolean(_)) {
                *value = toml::Value::String(value.to_string());
            }
        }
        table.try_into()
    }

    /// What is not given here is taken from `below`.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        macro_rules! first { ($($key:ident),*) => { Self { $($key: self.$key.or(below.$key)),* } } }
        first!(
            listen,
            public_url,
            data_dir,
            database_url,
            objects,
            s3_endpoint,
            s3_sse,
            twilio_account_sid,
            twilio_auth_token,
            twilio_validate,
            jwt_secret,
            jwks_file,
            inbound_route,
            webhook_url,
            webhook_secret,
            capture_format,
            on_opt_out,
            clock,
            max_calls,
            silence_needs_noise_floor,
            prompt_in_recording,
            opt_out_keys,
            unannounced,
            media_threads,
            drain_seconds,
            log,
            log_format
        )
    }

    /// Parses every key, once.
    ///
    /// # Errors
    /// [`Wrong`] names the first key whose value is not allowed.
    pub fn meant(self) -> Result<Config, Wrong> {
        let listen: SocketAddr =
            parsed("CALLGATE_LISTEN", self.listen, "127.0.0.1:8080", "an address like 127.0.0.1:8080", |text| text.parse().ok())?;
        let data_dir = self.data_dir.filter(|dir| !dir.is_empty()).unwrap_or_else(|| "./callgate-data".to_owned());
        let has_token = self.twilio_auth_token.as_deref().is_some_and(|token| !token.is_empty());
        let public_url = self.public_url.filter(|url| !url.is_empty());
        if let Some(url) = &public_url
            && !(url.starts_with("https://") || url.starts_with("http://"))
        {
            return Err(wrong("CALLGATE_PUBLIC_URL", url, "a URL that begins with https:// (or http:// in development)"));
        }
        let sse = match self.s3_sse.filter(|sse| !sse.is_empty()) {
            None => None,
            Some(sse) => Some(Sse::parse(&sse).ok_or_else(|| wrong("CALLGATE_S3_SSE", &sse, "AES256 or aws:kms[:KEY_ID]"))?),
        };
        let objects = self.objects.unwrap_or_else(|| format!("file://{data_dir}/objects"));
        if !(objects.starts_with("file://") || objects.starts_with("s3://")) {
            return Err(wrong("CALLGATE_OBJECTS", &objects, "file://PATH or s3://BUCKET/PREFIX"));
        }
        let database_url = self.database_url.unwrap_or_else(|| format!("sqlite://{data_dir}/callgate.db"));
        let database_url =
            DatabaseUrl::parse(&database_url).ok_or_else(|| wrong("CALLGATE_DATABASE_URL", "(masked)", DatabaseUrl::ALLOWED))?;
        let settings =
            Settings {
                clock: parsed("CALLGATE_CLOCK", self.clock, "strict", "strict or media", |text| match text {
                    "strict" => Some(Clock::Strict),
                    "media" => Some(Clock::Media),
                    _ => None,
                })?,
                on_opt_out: parsed("CALLGATE_ON_OPT_OUT", self.on_opt_out, "keep-consented", "keep-consented or discard-call", |text| {
                    match text {
                        "keep-consented" => Some(OnOptOut::KeepConsented),
                        "discard-call" => Some(OnOptOut::DiscardCall),
                        _ => None,
                    }
                })?,
                silence_needs_noise_floor: truth("CALLGATE_SILENCE_NEEDS_NOISE_FLOOR", self.silence_needs_noise_floor, true)?,
                prompt_in_recording: truth("CALLGATE_PROMPT_IN_RECORDING", self.prompt_in_recording, true)?,
                opt_out_keys: parsed(
                    "CALLGATE_OPT_OUT_KEYS",
                    self.opt_out_keys,
                    "lone-2,*2",
                    "lone-2, *2, both with a comma, or none",
                    OptOutKeys::parse,
                )?,
            };
        let whole = "a whole number from 1 on";
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let media_threads = (cores / 2).max(1).to_string();
        let config = Config {
            listen,
            public_url,
            objects: ObjectsSpec { url: objects, endpoint: self.s3_endpoint.filter(|url| !url.is_empty()), sse },
            database_url,
            data_dir: data_dir.into(),
            twilio_account_sid: self.twilio_account_sid.filter(|sid| !sid.is_empty()),
            twilio_validate: truth("CALLGATE_TWILIO_VALIDATE", self.twilio_validate, has_token)?,
            twilio_auth_token: self.twilio_auth_token.filter(|token| !token.is_empty()).map(SecretString::from),
            tokens: tokens(self.jwt_secret, self.jwks_file)?,
            inbound_route: match self.inbound_route.filter(|route| !route.is_empty()) {
                None => None,
                Some(route) => Some(InboundRoute::parse(&route).ok_or_else(|| {
                    let allowed = "a number like +16175550123, client:ID, or an https:// URL (http:// on loopback) without a user name";
                    wrong("CALLGATE_INBOUND_ROUTE", &route, allowed)
                })?),
            },
            webhook: webhook(self.webhook_url, self.webhook_secret)?,
            format: parsed("CALLGATE_CAPTURE_FORMAT", self.capture_format, "wav", "wav or opus", Format::parse)?,
            settings,
            max_calls: parsed("CALLGATE_MAX_CALLS", self.max_calls, "4000", whole, |text| text.parse().ok().filter(|calls| *calls > 0))?,
            unannounced: truth("CALLGATE_UNANNOUNCED", self.unannounced, !has_token)?,
            media_threads: parsed("CALLGATE_MEDIA_THREADS", self.media_threads, &media_threads, "1 to 256", |text| {
                text.parse().ok().filter(|threads| (1..=256).contains(threads))
            })?,
            drain_seconds: parsed("CALLGATE_DRAIN_SECONDS", self.drain_seconds, "30", "a whole number of seconds", |text| {
                text.parse().ok()
            })?,
            log: self.log.unwrap_or_else(|| "info".to_owned()),
            log_json: parsed("CALLGATE_LOG_FORMAT", self.log_format, "text", "text or json", |text| match text {
                "text" => Some(false),
                "json" => Some(true),
                _ => None,
            })?,
        };
        config.check()
    }
}

impl Config {
    /// What only makes sense together.
    fn check(self) -> Result<Self, Wrong> {
        let loopback = self.listen.ip().is_loopback();
        let listen = self.listen.to_string();
        if !loopback && self.twilio_auth_token.is_none() {
            return Err(wrong("CALLGATE_LISTEN", &listen, "without CALLGATE_TWILIO_AUTH_TOKEN only a loopback address is"));
        }
        if !loopback && matches!(self.tokens, TokenSource::Development) {
            return Err(wrong("CALLGATE_LISTEN", &listen, "without CALLGATE_JWT_SECRET or CALLGATE_JWKS_FILE only a loopback address is"));
        }
        if !loopback && self.settings.clock == Clock::Media {
            return Err(wrong("CALLGATE_CLOCK", "media", "beyond loopback only strict is"));
        }
        if self.twilio_validate && self.twilio_auth_token.is_none() {
            return Err(wrong("CALLGATE_TWILIO_VALIDATE", "true", "without CALLGATE_TWILIO_AUTH_TOKEN there is nothing to validate with"));
        }
        Ok(self)
    }

    /// The URL under which Twilio sees this gateway, which listens on `bound`.
    #[must_use]
    pub fn seen_as(&self, bound: SocketAddr) -> String {
        self.public_url.clone().unwrap_or_else(|| format!("http://{bound}")).trim_end_matches('/').to_owned()
    }

    /// Every key with its value in force and its meaning, secrets masked.
    #[must_use]
    pub fn table(&self) -> Vec<(&'static str, String, &'static str)> {
        let secret = |secret: &Option<SecretString>| if secret.is_some() { "(masked)".to_owned() } else { "none".to_owned() };
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
        let settings = &self.settings;
        let keys = match (settings.opt_out_keys.lone_2, settings.opt_out_keys.star_2) {
            (true, true) => "lone-2,*2",
            (true, false) => "lone-2",
            (false, true) => "*2",
            (false, false) => "none",
        };
        let sse = match &self.objects.sse {
            None => "none".to_owned(),
            Some(Sse::Aes256) => "AES256".to_owned(),
            Some(Sse::Kms(None)) => "aws:kms".to_owned(),
            Some(Sse::Kms(Some(key))) => format!("aws:kms:{key}"),
        };
        let none = || "none".to_owned();
        let route = self.inbound_route.as_ref().map_or_else(none, |route| match route {
            InboundRoute::Dial(Route::Number(number)) => number.clone(),
            InboundRoute::Dial(Route::Client(id)) => format!("client:{id}"),
            InboundRoute::Ask(url) => url.as_str().to_owned(),
        });
        let (jwt_secret, jwks_file) = match &self.tokens {
            TokenSource::Development => (none(), none()),
            TokenSource::Secret(_) => ("(masked)".to_owned(), none()),
            TokenSource::KeySet(path) => (none(), path.display().to_string()),
        };
        vec![
            ("CALLGATE_LISTEN", self.listen.to_string(), "address of HTTP and WebSocket"),
            ("CALLGATE_PUBLIC_URL", self.seen_as(self.listen), "how Twilio sees this gateway; signatures and TwiML are built from it"),
            ("CALLGATE_DATA_DIR", self.data_dir.display().to_string(), "spool, embedded database and object store, development keys"),
            ("CALLGATE_DATABASE_URL", self.database_url.to_string(), "where consent, the audit chain and calls are kept"),
            ("CALLGATE_OBJECTS", self.objects.url.clone(), "where recordings go"),
            ("CALLGATE_S3_ENDPOINT", text(&self.objects.endpoint), "endpoint of an S3-compatible store"),
            ("CALLGATE_S3_SSE", sse, "server-side encryption of the store"),
            ("CALLGATE_TWILIO_ACCOUNT_SID", text(&self.twilio_account_sid), "Twilio's account"),
            ("CALLGATE_TWILIO_AUTH_TOKEN", secret(&self.twilio_auth_token), "its auth token; without one: loopback only"),
            ("CALLGATE_TWILIO_VALIDATE", self.twilio_validate.to_string(), "check X-Twilio-Signature"),
            ("CALLGATE_JWT_SECRET", jwt_secret, "secret of HS256 API tokens; neither it nor a key set: a generated one in DATA_DIR"),
            ("CALLGATE_JWKS_FILE", jwks_file, "key set of RS256, ES256 and EdDSA API tokens"),
            ("CALLGATE_INBOUND_ROUTE", route, "where an inbound call goes after the prompt: dialled, or the main app is asked"),
            (
                "CALLGATE_WEBHOOK_URL",
                self.webhook.as_ref().map_or_else(none, |(url, _)| url.shown()),
                "where events are posted, signed by the Standard Webhooks scheme",
            ),
            ("CALLGATE_WEBHOOK_SECRET", if self.webhook.is_some() { "(masked)".to_owned() } else { none() }, "what they are signed with"),
            ("CALLGATE_CAPTURE_FORMAT", self.format.word().to_owned(), "wav or opus; client left, other party right"),
            (
                "CALLGATE_ON_OPT_OUT",
                match settings.on_opt_out {
                    OnOptOut::KeepConsented => "keep-consented".to_owned(),
                    OnOptOut::DiscardCall => "discard-call".to_owned(),
                },
                "what a mid-call opt-out does with audio captured before it",
            ),
            (
                "CALLGATE_CLOCK",
                match settings.clock {
                    Clock::Strict => "strict".to_owned(),
                    Clock::Media => "media".to_owned(),
                },
                "what the ten seconds of silence are counted on",
            ),
            ("CALLGATE_MAX_CALLS", self.max_calls.to_string(), "calls at once"),
            ("CALLGATE_SILENCE_NEEDS_NOISE_FLOOR", settings.silence_needs_noise_floor.to_string(), "exact digital silence does not grant"),
            ("CALLGATE_PROMPT_IN_RECORDING", settings.prompt_in_recording.to_string(), "a recording begins with our own prompt"),
            ("CALLGATE_OPT_OUT_KEYS", keys.to_owned(), "what opts out in the middle of a conversation"),
            ("CALLGATE_UNANNOUNCED", self.unannounced.to_string(), "accept streams without a call made by this gateway"),
            ("CALLGATE_MEDIA_THREADS", self.media_threads.to_string(), "threads that own media sockets"),
            ("CALLGATE_DRAIN_SECONDS", self.drain_seconds.to_string(), "seconds that live calls have to end after SIGTERM"),
            ("CALLGATE_LOG", self.log.clone(), "tracing filter"),
            ("CALLGATE_LOG_FORMAT", if self.log_json { "json" } else { "text" }.to_owned(), "text for people, json for machines"),
        ]
    }
}

fn tokens(secret: Option<String>, key_set: Option<String>) -> Result<TokenSource, Wrong> {
    match (secret.filter(|secret| !secret.is_empty()), key_set.filter(|path| !path.is_empty())) {
        (None, None) => Ok(TokenSource::Development),
        (Some(secret), None) if secret.len() < 32 => Err(wrong("CALLGATE_JWT_SECRET", "(masked)", "at least 32 characters are needed")),
        (Some(secret), None) => Ok(TokenSource::Secret(secret.into())),
        (None, Some(path)) => Ok(TokenSource::KeySet(path.into())),
        (Some(_), Some(path)) => {
            let why = "with CALLGATE_JWT_SECRET set as well nobody can tell which of the two lets people in: one of them needs to be unset";
            Err(wrong("CALLGATE_JWKS_FILE", &path, why))
        }
    }
}

fn webhook(url: Option<String>, secret: Option<String>) -> Result<Option<(AppUrl, WebhookSecret)>, Wrong> {
    match (url.filter(|url| !url.is_empty()), secret.filter(|secret| !secret.is_empty())) {
        (None, None) => Ok(None),
        (Some(url), Some(secret)) => {
            let allowed = "an https:// URL (http:// on loopback) without a user name";
            let url = AppUrl::parse(&url).ok_or_else(|| wrong("CALLGATE_WEBHOOK_URL", &url, allowed))?;
            let secret = WebhookSecret::parse(&secret)
                .ok_or_else(|| wrong("CALLGATE_WEBHOOK_SECRET", "(masked)", "whsec_ and base64 of 24 to 64 bytes"))?;
            Ok(Some((url, secret)))
        }
        (Some(url), None) => Err(wrong("CALLGATE_WEBHOOK_URL", &url, "to sign what is posted there CALLGATE_WEBHOOK_SECRET is needed")),
        (None, Some(_)) => Err(wrong("CALLGATE_WEBHOOK_SECRET", "(masked)", "without CALLGATE_WEBHOOK_URL there is nothing to sign")),
    }
}

fn parsed<T>(
    key: &'static str,
    given: Option<String>,
    default: &str,
    allowed: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, Wrong> {
    let text = given.filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned());
    parse(text.trim()).ok_or_else(|| wrong(key, &text, allowed))
}

fn truth(key: &'static str, given: Option<String>, default: bool) -> Result<bool, Wrong> {
    parsed(key, given, if default { "true" } else { "false" }, "true or false", |text| match text {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    })
}

fn wrong(key: &'static str, value: &str, allowed: &str) -> Wrong {
    let allowed = if allowed.ends_with(" is") || allowed.contains("need") || allowed.contains("nothing") {
        allowed.to_owned()
    } else {
        format!("allowed is {allowed}")
    };
    Wrong { key, value: value.to_owned(), allowed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(given: Given) -> String {
        given.meant().map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn every_default_works_on_one_machine_with_nothing_installed() {
        let config = Given::default().meant().unwrap();
        assert_eq!(config.database_url.as_str(), "sqlite://./callgate-data/callgate.db");
        assert!(config.unannounced && !config.twilio_validate && config.listen.ip().is_loopback());
        assert_eq!(config.table().len(), 27);
    }

    #[test]
    fn a_wrong_value_names_its_key_and_what_is_allowed() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            refusal(Given { clock: some("fast"), ..Given::default() }),
            r#"CALLGATE_CLOCK: "fast" is not allowed; allowed is strict or media"#
        );
        assert!(refusal(Given { listen: some("0.0.0.0:80"), ..Given::default() }).contains("without CALLGATE_TWILIO_AUTH_TOKEN"));
        let short = refusal(Given { jwt_secret: some("hunter2"), ..Given::default() });
        assert!(short.contains("CALLGATE_JWT_SECRET") && !short.contains("hunter2"), "{short}");
        let both = Given { jwt_secret: some("0123456789abcdef0123456789abcdef"), jwks_file: some("keys.json"), ..Given::default() };
        let both = refusal(both);
        assert!(both.contains("CALLGATE_JWKS_FILE") && both.contains("one of them needs to be unset") && !both.contains("0123"), "{both}");
        let other = refusal(Given { database_url: some("mysql://u:hunter2@h/d"), ..Given::default() });
        assert!(other.contains("(masked)") && other.contains("postgres://") && !other.contains("hunter2"), "{other}");
        assert!(refusal(Given { max_calls: some("0"), ..Given::default() }).contains("CALLGATE_MAX_CALLS"));
        let whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let webhook = |url: &str, secret: &str| refusal(Given { webhook_url: some(url), webhook_secret: some(secret), ..Given::default() });
        assert!(webhook("http://app.example.com/events", whsec).contains("CALLGATE_WEBHOOK_URL"), "plain http leaves this machine");
        assert!(webhook("https://app.example.com/events", "").contains("CALLGATE_WEBHOOK_SECRET is needed"));
        let short = webhook("https://app.example.com/events", "whsec_aHVudGVyMg==");
        assert!(short.contains("CALLGATE_WEBHOOK_SECRET") && !short.contains("aHVud"), "{short}");
        assert!(webhook("", whsec).contains("nothing to sign"));
        assert!(Given::from_toml("lissten = \"x\"").is_err(), "unknown keys are refused");
    }

    #[test]
    fn secrets_are_masked_in_the_table_and_in_debug() {
        let given = Given {
            twilio_auth_token: Some("supersecrettoken".into()),
            database_url: Some("postgres://callgate:supersecrettoken@db.example/calls".into()),
            webhook_url: Some("https://app.example.com/events?key=supersecretkey".into()),
            webhook_secret: Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()),
            ..Given::default()
        };
        let config = given.meant().unwrap();
        let table = format!("{:?}", config.table());
        let shown = format!("{table} {config:?}");
        assert!(!shown.contains("supersecrettoken") && shown.contains("postgres://db.example:5432/calls"), "{shown}");
        assert!(!shown.contains("MfKQ9r8GK") && !table.contains("supersecretkey"), "{shown}");
        assert!(config.twilio_validate && !config.unannounced);
    }

    #[test]
    fn what_is_given_above_wins() {
        let file = Given::from_toml("listen = \"127.0.0.1:1\"\nclock = \"media\"\nmax_calls = 7\nunannounced = false").unwrap();
        let above = Given { listen: Some("127.0.0.1:2".into()), ..Given::default() };
        let config = above.over(file).meant().unwrap();
        assert_eq!((config.listen.port(), config.settings.clock), (2, Clock::Media));
    }
}
