//! Configuration: a TOML file, over which the environment wins, over which flags win. Every key has a default that
//! works on one machine with nothing installed; a wrong value is refused with the key's name and what is allowed.

mod relays;
mod table;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;
use serde::Deserialize;

use super::auth::TokenSource;
pub use relays::{GivenRelay, Relays};

use super::limits::RequestLimit;
use crate::engine::audio::prompts::library;
use crate::engine::call::{Clock, Covers, OnOptOut, Settings};
use crate::engine::consent::keys::OptOutKeys;
use crate::engine::policy::Region;
use crate::engine::redact::Policy;
use crate::engine::twilio::twiml::Route;
use crate::engine::webhook::WebhookSecret;
use crate::io::database::DatabaseUrl;
use crate::io::main_app::AppUrl;
use crate::io::objects::{ObjectsSpec, Sse};
use crate::io::recording::Format;
use crate::io::spool::{KmsSpec, PauseGaps};
use crate::io::transcriber::TranscriberSpec;

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
    /// How Twilio's media streams reach this very gateway, where several share PUBLIC_URL [default: PUBLIC_URL]
    #[arg(long, env = "CALLGATE_STREAM_URL")]
    pub stream_url: Option<String>,
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
    /// Id, ARN or alias of the key of AWS KMS under which the spool is encrypted [default: a key file under DATA_DIR]
    #[arg(long, env = "CALLGATE_SPOOL_KMS_KEY")]
    pub spool_kms_key: Option<String>,
    /// Seconds after which a data key from AWS KMS is replaced; without KMS it is used for four times as long [default: 3600]
    #[arg(long, env = "CALLGATE_SPOOL_KMS_REFRESH_SECONDS")]
    pub spool_kms_refresh_seconds: Option<String>,
    /// AC…
    #[arg(long, env = "CALLGATE_TWILIO_ACCOUNT_SID")]
    pub twilio_account_sid: Option<String>,
    /// The account's primary auth token; without one the gateway listens on loopback only
    #[arg(long, env = "CALLGATE_TWILIO_AUTH_TOKEN", hide_env_values = true)]
    pub twilio_auth_token: Option<String>,
    /// The number that calls to clients come from, in E.164; without one no call can be placed
    #[arg(long, env = "CALLGATE_TWILIO_FROM")]
    pub twilio_from: Option<String>,
    /// Base of Twilio's REST API [default: https://api.twilio.com]
    #[arg(long, env = "CALLGATE_TWILIO_API_URL")]
    pub twilio_api_url: Option<String>,
    /// Check X-Twilio-Signature [default: true if there is a token]
    #[arg(long, env = "CALLGATE_TWILIO_VALIDATE")]
    pub twilio_validate: Option<String>,
    /// Secret of HS256 API tokens [default: a generated one under DATA_DIR, loopback only]
    #[arg(long, env = "CALLGATE_JWT_SECRET", hide_env_values = true)]
    pub jwt_secret: Option<String>,
    /// Key set of RS256, ES256 and EdDSA API tokens, instead of a secret
    #[arg(long, env = "CALLGATE_JWKS_FILE")]
    pub jwks_file: Option<String>,
    /// Where an inbound call goes after the prompt: a number, client:ID, relay:NAME, or the https:// URL of the main app, which answers with TwiML
    #[arg(long, env = "CALLGATE_INBOUND_ROUTE")]
    pub inbound_route: Option<String>,
    /// What Twilio asks when it cannot ask this gateway: the https:// URL of a TwiML Bin or of anything else that is not this gateway (docs/fallback.md)
    #[arg(long, env = "CALLGATE_FALLBACK_URL")]
    pub fallback_url: Option<String>,
    /// How two people talk: fork (Twilio joins them, callgate listens) or bridge (callgate joins them) [default: fork]
    #[arg(long, env = "CALLGATE_TOPOLOGY")]
    pub topology: Option<String>,
    /// The voice bot `default`, a Media Streams application: wss://, or ws:// on loopback
    #[arg(long, env = "CALLGATE_RELAY_URL")]
    pub relay_url: Option<String>,
    /// Whether it keeps what it hears: then it hears what consent covers [default: false]
    #[arg(long, env = "CALLGATE_RELAY_CAPTURE")]
    pub relay_capture: Option<String>,
    /// Where the call goes when it is gone: a number or client:ID [default: the call ends]
    #[arg(long, env = "CALLGATE_RELAY_THEN")]
    pub relay_then: Option<String>,
    /// More bots, by name; in the file alone.
    #[arg(skip)]
    pub relay: BTreeMap<String, GivenRelay>,
    /// Where events are posted: https://, or http:// on loopback
    #[arg(long, env = "CALLGATE_WEBHOOK_URL")]
    pub webhook_url: Option<String>,
    /// What posted events are signed with: whsec_ and base64 of 24 to 64 bytes
    #[arg(long, env = "CALLGATE_WEBHOOK_SECRET", hide_env_values = true)]
    pub webhook_secret: Option<String>,
    /// wav or opus [default: wav]
    #[arg(long, env = "CALLGATE_CAPTURE_FORMAT")]
    pub capture_format: Option<String>,
    /// What a pause leaves in a recording: silence or cut [default: silence]
    #[arg(long, env = "CALLGATE_PAUSE_GAPS")]
    pub pause_gaps: Option<String>,
    /// keep-consented or discard-call [default: keep-consented]
    #[arg(long, env = "CALLGATE_ON_OPT_OUT")]
    pub on_opt_out: Option<String>,
    /// Who transcribes: none, vosk+ws://HOST:PORT, vosk+wss://HOST, deepgram+wss://HOST, aws://REGION (Amazon Transcribe) [default: none]
    #[arg(long, env = "CALLGATE_TRANSCRIBER")]
    pub transcriber: Option<String>,
    /// Deepgram's API key
    #[arg(long, env = "CALLGATE_DEEPGRAM_KEY", hide_env_values = true)]
    pub deepgram_key: Option<String>,
    /// What is masked in transcripts: all, or names like CARD_NUMBER with commas; -NAME takes one out of all, strict masks every number [default: all]
    #[arg(long, env = "CALLGATE_REDACT")]
    pub redact: Option<String>,
    /// Recordings are silenced where their transcripts are masked [default: false]
    #[arg(long, env = "CALLGATE_REDACT_AUDIO")]
    pub redact_audio: Option<String>,
    /// strict or media [default: strict]
    #[arg(long, env = "CALLGATE_CLOCK")]
    pub clock: Option<String>,
    /// Calls at once; one more is refused with 503 [default: 4000]
    #[arg(long, env = "CALLGATE_MAX_CALLS")]
    pub max_calls: Option<String>,
    /// What one bearer may ask of the API: requests a second / at once, or none [default: 50/200]
    #[arg(long, env = "CALLGATE_RATE_LIMIT")]
    pub rate_limit: Option<String>,
    /// A line of exact digital silence does not grant by silence [default: true]
    #[arg(long, env = "CALLGATE_SILENCE_NEEDS_NOISE_FLOOR")]
    pub silence_needs_noise_floor: Option<String>,
    /// A granted recording begins with our own prompt [default: true]
    #[arg(long, env = "CALLGATE_PROMPT_IN_RECORDING")]
    pub prompt_in_recording: Option<String>,
    /// Seconds between the tones that tell that a call is recorded, 5 to 60, or off; where callgate speaks to the client alone [default: off]
    #[arg(long, env = "CALLGATE_BEEP_SECONDS")]
    pub beep_seconds: Option<String>,
    /// A short line tells the client that the recording has stopped, paused or gone on; where callgate speaks to the client alone [default: false]
    #[arg(long, env = "CALLGATE_ANNOUNCE")]
    pub announce: Option<String>,
    /// Whom what the client was told covers when a call is handed over: agent,bot or one of them or none [default: agent,bot]
    #[arg(long, env = "CALLGATE_TRANSFER_COVERS")]
    pub transfer_covers: Option<String>,
    /// A folder with prompts.json and its files, instead of the shipped prompts
    #[arg(long, env = "CALLGATE_PROMPTS_DIR")]
    pub prompts_dir: Option<String>,
    /// A policy by place, TOML [default: the shipped one, docs/policy.md]
    #[arg(long, env = "CALLGATE_POLICY_FILE")]
    pub policy_file: Option<String>,
    /// Where the case managers sit: a country of ISO 3166 (FR), or an American state (US-CA) [default: unknown]
    #[arg(long, env = "CALLGATE_PLACE")]
    pub place: Option<String>,
    /// What opts out in the middle of a conversation: lone-2,*2 or one of them or none [default: lone-2,*2]
    #[arg(long, env = "CALLGATE_OPT_OUT_KEYS")]
    pub opt_out_keys: Option<String>,
    /// A client's own 2 queues recordings of earlier calls for deletion as well [default: false]
    #[arg(long, env = "CALLGATE_DECLINE_QUEUES_RECORDINGS")]
    pub decline_queues_recordings: Option<String>,
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
    /// How Twilio's streams reach it, if otherwise.
    pub stream_url: Option<String>,
    /// Where what is local lies.
    pub data_dir: PathBuf,
    /// The database.
    pub database_url: DatabaseUrl,
    /// The object store.
    pub objects: ObjectsSpec,
    /// The key of AWS KMS that wraps the spool's keys.
    pub spool_kms: Option<KmsSpec>,
    /// Twilio's account.
    pub twilio_account_sid: Option<String>,
    /// Its auth token.
    pub twilio_auth_token: Option<SecretString>,
    /// The number that calls to clients come from.
    pub twilio_from: Option<String>,
    /// Base of its REST API.
    pub twilio_api_url: AppUrl,
    /// Whether signatures are checked.
    pub twilio_validate: bool,
    /// What API tokens are checked by.
    pub tokens: TokenSource,
    /// Where inbound calls go.
    pub inbound_route: Option<InboundRoute>,
    /// What Twilio asks when it cannot ask us.
    pub fallback_url: Option<AppUrl>,
    /// Whether callgate joins two people itself.
    pub bridges: bool,
    /// The voice bots that calls can be relayed to.
    pub relays: Relays,
    /// Where events are posted, and what they are signed with.
    pub webhook: Option<(AppUrl, WebhookSecret)>,
    /// How recordings are encoded.
    pub format: Format,
    /// What a pause leaves in a recording.
    pub pause_gaps: PauseGaps,
    /// Who transcribes, if anybody does.
    pub transcriber: Option<TranscriberSpec>,
    /// What is masked in transcripts.
    pub redaction: Policy,
    /// Whether recordings are silenced where their transcripts are masked.
    pub redact_audio: bool,
    /// What every call is told.
    pub settings: Settings,
    /// Whether a client's own 2 queues recordings of earlier calls for deletion.
    pub decline_queues_recordings: bool,
    /// Where the prompts lie, if not the shipped ones are played.
    pub prompts_dir: Option<PathBuf>,
    /// Where the policy by place lies, if not the shipped one is in force.
    pub policy_file: Option<PathBuf>,
    /// Where the case managers sit.
    pub place: Option<Region>,
    /// Calls at once.
    pub max_calls: usize,
    /// What one bearer may ask of the API, if there is a limit.
    pub rate_limit: Option<RequestLimit>,
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
    /// A voice bot serves the caller.
    Relay(String),
}

impl InboundRoute {
    fn parse(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix("relay:") {
            return Some(Self::Relay(name.to_owned()));
        }
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
        let relay = below.relay.into_iter().chain(self.relay).collect();
        macro_rules! first { ($($key:ident),*) => { Self { $($key: self.$key.or(below.$key)),*, relay } } }
        first!(
            listen,
            public_url,
            stream_url,
            data_dir,
            database_url,
            objects,
            s3_endpoint,
            s3_sse,
            spool_kms_key,
            spool_kms_refresh_seconds,
            twilio_account_sid,
            twilio_auth_token,
            twilio_from,
            twilio_api_url,
            twilio_validate,
            jwt_secret,
            jwks_file,
            inbound_route,
            fallback_url,
            topology,
            relay_url,
            relay_capture,
            relay_then,
            webhook_url,
            webhook_secret,
            capture_format,
            on_opt_out,
            pause_gaps,
            transcriber,
            deepgram_key,
            redact,
            redact_audio,
            clock,
            max_calls,
            rate_limit,
            silence_needs_noise_floor,
            prompt_in_recording,
            beep_seconds,
            announce,
            transfer_covers,
            prompts_dir,
            policy_file,
            place,
            opt_out_keys,
            decline_queues_recordings,
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
        let seen = |key, url: Option<String>| match url.filter(|url| !url.is_empty()) {
            Some(url) if !(url.starts_with("https://") || url.starts_with("http://")) => {
                Err(wrong(key, &url, "a URL that begins with https:// (or http:// in development)"))
            }
            url => Ok(url),
        };
        let public_url = seen("CALLGATE_PUBLIC_URL", self.public_url)?;
        let stream_url = seen("CALLGATE_STREAM_URL", self.stream_url)?;
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
                prompts: library(),
                prompt_in_recording: truth("CALLGATE_PROMPT_IN_RECORDING", self.prompt_in_recording, true)?,
                beep_every_ms: parsed("CALLGATE_BEEP_SECONDS", self.beep_seconds, "off", "off, or 5 to 60", |text| match text {
                    "off" => Some(None),
                    seconds => seconds.parse().ok().filter(|seconds| (5..=60).contains(seconds)).map(|seconds: u64| Some(seconds * 1_000)),
                })?,
                announces: truth("CALLGATE_ANNOUNCE", self.announce, false)?,
                transfer_covers: parsed(
                    "CALLGATE_TRANSFER_COVERS",
                    self.transfer_covers,
                    "agent,bot",
                    "agent, bot, both with a comma, or none",
                    Covers::parse,
                )?,
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
            stream_url,
            objects: ObjectsSpec { url: objects, endpoint: self.s3_endpoint.filter(|url| !url.is_empty()), sse },
            spool_kms: spool_kms(self.spool_kms_key, self.spool_kms_refresh_seconds)?,
            database_url,
            data_dir: data_dir.into(),
            twilio_account_sid: self.twilio_account_sid.filter(|sid| !sid.is_empty()),
            twilio_from: match self.twilio_from.filter(|from| !from.is_empty()) {
                None => None,
                Some(from) if matches!(Route::parse(&from), Some(Route::Number(_))) => Some(from),
                Some(from) => return Err(wrong("CALLGATE_TWILIO_FROM", &from, "a number like +16175550123")),
            },
            twilio_api_url: parsed(
                "CALLGATE_TWILIO_API_URL",
                self.twilio_api_url,
                "https://api.twilio.com",
                "an https:// URL (http:// on loopback) without a user name",
                AppUrl::parse,
            )?,
            twilio_validate: truth("CALLGATE_TWILIO_VALIDATE", self.twilio_validate, has_token)?,
            twilio_auth_token: self.twilio_auth_token.filter(|token| !token.is_empty()).map(SecretString::from),
            tokens: tokens(self.jwt_secret, self.jwks_file)?,
            inbound_route: match self.inbound_route.filter(|route| !route.is_empty()) {
                None => None,
                Some(route) => Some(InboundRoute::parse(&route).ok_or_else(|| {
                    let allowed =
                        "a number like +16175550123, client:ID, relay:NAME, or an https:// URL (http:// on loopback) without a user name";
                    wrong("CALLGATE_INBOUND_ROUTE", &route, allowed)
                })?),
            },
            fallback_url: match self.fallback_url.filter(|url| !url.is_empty()) {
                None => None,
                Some(url) => Some(
                    AppUrl::parse(&url)
                        .ok_or_else(|| wrong("CALLGATE_FALLBACK_URL", &url, "an https:// URL (http:// on loopback) without a user name"))?,
                ),
            },
            bridges: parsed("CALLGATE_TOPOLOGY", self.topology, "fork", "fork or bridge", |text| match text {
                "fork" => Some(false),
                "bridge" => Some(true),
                _ => None,
            })?,
            relays: Relays::meant(self.relay, self.relay_url, self.relay_capture, self.relay_then)?,
            webhook: webhook(self.webhook_url, self.webhook_secret)?,
            format: parsed("CALLGATE_CAPTURE_FORMAT", self.capture_format, "wav", "wav or opus", Format::parse)?,
            pause_gaps: parsed("CALLGATE_PAUSE_GAPS", self.pause_gaps, "silence", "silence or cut", |text| match text {
                "silence" => Some(PauseGaps::Silence),
                "cut" => Some(PauseGaps::Cut),
                _ => None,
            })?,
            transcriber: transcriber(self.transcriber, self.deepgram_key)?,
            redact_audio: truth("CALLGATE_REDACT_AUDIO", self.redact_audio, false)?,
            redaction: parsed("CALLGATE_REDACT", self.redact, "all", Policy::ALLOWED, Policy::parse)?,
            settings,
            decline_queues_recordings: truth("CALLGATE_DECLINE_QUEUES_RECORDINGS", self.decline_queues_recordings, false)?,
            prompts_dir: self.prompts_dir.filter(|dir| !dir.is_empty()).map(PathBuf::from),
            policy_file: self.policy_file.filter(|file| !file.is_empty()).map(PathBuf::from),
            place: match self.place.filter(|place| !place.is_empty()) {
                None => None,
                Some(place) => {
                    let allowed = "a country of ISO 3166 like FR, or an American state like US-CA";
                    Some(Region::parse(&place).ok_or_else(|| wrong("CALLGATE_PLACE", &place, allowed))?)
                }
            },
            max_calls: parsed("CALLGATE_MAX_CALLS", self.max_calls, "4000", whole, |text| text.parse().ok().filter(|calls| *calls > 0))?,
            rate_limit: parsed(
                "CALLGATE_RATE_LIMIT",
                self.rate_limit,
                "50/200",
                "requests a second / at once, such as 50/200, or none",
                |text| if text == "none" { Some(None) } else { RequestLimit::parse(text).map(Some) },
            )?,
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
        if let Some(InboundRoute::Relay(name)) = &self.inbound_route
            && self.relays.get(name).is_none()
        {
            let needed = "relay:NAME needs a table [relay.NAME] in the file, or CALLGATE_RELAY_URL for relay:default";
            return Err(wrong("CALLGATE_INBOUND_ROUTE", &format!("relay:{name}"), needed));
        }
        if let (Some(fallback), Some(own)) = (&self.fallback_url, &self.public_url)
            && fallback.as_str().starts_with(own.trim_end_matches('/'))
        {
            let needed = "what Twilio asks when this gateway is gone needs to be something else, such as a TwiML Bin";
            return Err(wrong("CALLGATE_FALLBACK_URL", &fallback.shown(), needed));
        }
        if let (true, Err(missing)) = (self.bridges, self.twilio_account()) {
            return Err(wrong("CALLGATE_TOPOLOGY", "bridge", &format!("to call the other party {missing} is needed")));
        }
        if self.twilio_validate && self.twilio_auth_token.is_none() {
            return Err(wrong("CALLGATE_TWILIO_VALIDATE", "true", "without CALLGATE_TWILIO_AUTH_TOKEN there is nothing to validate with"));
        }
        Ok(self)
    }

    /// What Twilio's REST API is asked with: account, auth token, and the number that calls come from.
    ///
    /// # Errors
    /// What is missing, by its key.
    pub fn twilio_account(&self) -> Result<(String, SecretString, String), &'static str> {
        let account = self.twilio_account_sid.clone().ok_or("CALLGATE_TWILIO_ACCOUNT_SID")?;
        let token = self.twilio_auth_token.clone().ok_or("CALLGATE_TWILIO_AUTH_TOKEN")?;
        let from = self.twilio_from.clone().ok_or("CALLGATE_TWILIO_FROM")?;
        // Twilio itself cannot reach an address that only this machine knows.
        if self.public_url.is_none() && self.twilio_api_url.as_str().starts_with("https://") {
            return Err("CALLGATE_PUBLIC_URL");
        }
        Ok((account, token, from))
    }

    /// The URL under which Twilio sees this gateway, which listens on `bound`.
    #[must_use]
    pub fn seen_as(&self, bound: SocketAddr) -> String {
        self.public_url.clone().unwrap_or_else(|| format!("http://{bound}")).trim_end_matches('/').to_owned()
    }

    /// The URL under which its media socket is reached.
    #[must_use]
    pub fn streams_at(&self, bound: SocketAddr) -> String {
        self.stream_url.as_ref().map_or_else(|| self.seen_as(bound), |url| url.trim_end_matches('/').to_owned())
    }
}

/// An hour: a key in memory opens what an hour's recordings left in the spool, and KMS is asked 24 times a day.
const KMS_REFRESH_SECONDS: &str = "3600";

fn spool_kms(key: Option<String>, refresh: Option<String>) -> Result<Option<KmsSpec>, Wrong> {
    let name = "CALLGATE_SPOOL_KMS_KEY";
    let refresh = parsed("CALLGATE_SPOOL_KMS_REFRESH_SECONDS", refresh, KMS_REFRESH_SECONDS, "1 to 86400", |text| {
        text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds)).map(Duration::from_secs)
    })?;
    match key.filter(|key| !key.is_empty()) {
        None => Ok(None),
        Some(key) if !cfg!(feature = "kms") => Err(wrong(name, &key, "this callgate was built without AWS KMS: --features kms is needed")),
        Some(key) if key.len() > 2_048 || key.chars().any(|c| c.is_whitespace() || c.is_control()) => {
            Err(wrong(name, &key, "the id, the ARN or the alias (alias/NAME) of a key of AWS KMS"))
        }
        Some(key) => Ok(Some(KmsSpec { key, refresh })),
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

fn transcriber(text: Option<String>, key: Option<String>) -> Result<Option<TranscriberSpec>, Wrong> {
    let name = "CALLGATE_TRANSCRIBER";
    let key = key.filter(|key| !key.is_empty()).map(SecretString::from);
    let Some(text) = text.filter(|text| !text.is_empty() && text != "none") else { return Ok(None) };
    let text = text.trim();
    // What is wrong with it may be a key in the wrong place. What can only be meant as a region is named.
    let is_harmless = |region: &str| region.len() <= 20 && region.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    let shown = if text.strip_prefix("aws://").is_some_and(is_harmless) { text } else { "(masked)" };
    let spec = TranscriberSpec::parse(text, key).ok_or_else(|| wrong(name, shown, TranscriberSpec::ALLOWED))?;
    if !spec.is_built() {
        return Err(wrong(name, &spec.shown(), "this callgate was built without Amazon Transcribe: --features transcribe is needed"));
    }
    if !spec.has_its_key() {
        return Err(wrong(name, &spec.shown(), "with CALLGATE_DEEPGRAM_KEY set as well"));
    }
    Ok(Some(spec))
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
mod tests;
