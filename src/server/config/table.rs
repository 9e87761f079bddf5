//! The configuration in force, as `callgate config` prints it and as it enters the chain at start.

use super::*;

impl Config {
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
            InboundRoute::Ask(url) => url.shown(),
            InboundRoute::Relay(name) => format!("relay:{name}"),
        });
        let (jwt_secret, jwks_file) = match &self.tokens {
            TokenSource::Development => (none(), none()),
            TokenSource::Secret(_) => ("(masked)".to_owned(), none()),
            TokenSource::KeySet(path) => (none(), path.display().to_string()),
        };
        let prompts_dir = self.prompts_dir.as_ref().map_or_else(none, |dir| dir.display().to_string());
        let kms_key = self.spool_kms.as_ref().map_or_else(none, |kms| kms.key.clone());
        let kms_refresh = self.spool_kms.as_ref().map_or_else(none, |kms| kms.refresh.as_secs().to_string());
        let mut rows = vec![
            ("CALLGATE_LISTEN", self.listen.to_string(), "address of HTTP and WebSocket"),
            ("CALLGATE_PUBLIC_URL", self.seen_as(self.listen), "how Twilio sees this gateway; signatures and TwiML are built from it"),
            (
                "CALLGATE_STREAM_URL",
                self.streams_at(self.listen),
                "how Twilio's media streams reach this very gateway, where several share PUBLIC_URL",
            ),
            ("CALLGATE_DATA_DIR", self.data_dir.display().to_string(), "spool, embedded database and object store, development keys"),
            ("CALLGATE_DATABASE_URL", self.database_url.to_string(), "where consent, the audit chain and calls are kept"),
            ("CALLGATE_OBJECTS", self.objects.url.clone(), "where recordings go"),
            ("CALLGATE_S3_ENDPOINT", text(&self.objects.endpoint), "endpoint of an S3-compatible store"),
            ("CALLGATE_S3_SSE", sse, "server-side encryption of the store"),
            ("CALLGATE_SPOOL_KMS_KEY", kms_key, "key of AWS KMS that wraps the spool's keys; none: keys/spool.key in DATA_DIR does"),
            (
                "CALLGATE_SPOOL_KMS_REFRESH_SECONDS",
                kms_refresh,
                "a data key from AWS KMS is replaced after so long, and used four times as long if it cannot be",
            ),
            ("CALLGATE_TWILIO_ACCOUNT_SID", text(&self.twilio_account_sid), "Twilio's account"),
            ("CALLGATE_TWILIO_AUTH_TOKEN", secret(&self.twilio_auth_token), "its auth token; without one: loopback only"),
            ("CALLGATE_TWILIO_FROM", text(&self.twilio_from), "the number that calls to clients come from"),
            ("CALLGATE_TWILIO_API_URL", self.twilio_api_url.as_str().to_owned(), "base of Twilio's REST API"),
            ("CALLGATE_TWILIO_VALIDATE", self.twilio_validate.to_string(), "check X-Twilio-Signature"),
            ("CALLGATE_JWT_SECRET", jwt_secret, "secret of HS256 API tokens; neither it nor a key set: a generated one in DATA_DIR"),
            ("CALLGATE_JWKS_FILE", jwks_file, "key set of RS256, ES256 and EdDSA API tokens"),
            (
                "CALLGATE_INBOUND_ROUTE",
                route,
                "where an inbound call goes after the prompt: dialled, to a voice bot, or the main app is asked",
            ),
            (
                "CALLGATE_FALLBACK_URL",
                self.fallback_url.as_ref().map_or_else(none, AppUrl::shown),
                "what Twilio asks when it cannot ask this gateway, for calls that it places",
            ),
            (
                "CALLGATE_TOPOLOGY",
                if self.bridges { "bridge" } else { "fork" }.to_owned(),
                "fork: Twilio joins two people, callgate listens; bridge: callgate joins them",
            ),
            (
                "CALLGATE_WEBHOOK_URL",
                self.webhook.as_ref().map_or_else(none, |(url, _)| url.shown()),
                "where events are posted, signed by the Standard Webhooks scheme",
            ),
            ("CALLGATE_WEBHOOK_SECRET", if self.webhook.is_some() { "(masked)".to_owned() } else { none() }, "what they are signed with"),
            ("CALLGATE_CAPTURE_FORMAT", self.format.word().to_owned(), "wav or opus; client left, other party right"),
            (
                "CALLGATE_PAUSE_GAPS",
                match self.pause_gaps {
                    PauseGaps::Silence => "silence".to_owned(),
                    PauseGaps::Cut => "cut".to_owned(),
                },
                "what a pause leaves in a recording",
            ),
            ("CALLGATE_TRANSCRIBER", self.transcriber.as_ref().map_or_else(none, TranscriberSpec::shown), "which recogniser transcribes"),
            (
                "CALLGATE_DEEPGRAM_KEY",
                self.transcriber.as_ref().filter(|spec| spec.has_a_key()).map_or_else(none, |_| "(masked)".to_owned()),
                "Deepgram's API key",
            ),
            ("CALLGATE_REDACT_AUDIO", self.redact_audio.to_string(), "recordings are silenced where their transcripts are masked"),
            ("CALLGATE_REDACT", self.redaction.shown(), "what is masked in transcripts before anything of them is stored"),
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
            (
                "CALLGATE_RATE_LIMIT",
                self.rate_limit.map_or_else(none, |limit| limit.to_string()),
                "what one bearer may ask of the API: requests a second / at once",
            ),
            ("CALLGATE_SILENCE_NEEDS_NOISE_FLOOR", settings.silence_needs_noise_floor.to_string(), "exact digital silence does not grant"),
            ("CALLGATE_PROMPT_IN_RECORDING", settings.prompt_in_recording.to_string(), "a recording begins with our own prompt"),
            (
                "CALLGATE_BEEP_SECONDS",
                settings.beep_every_ms.map_or_else(|| "off".to_owned(), |every_ms| (every_ms / 1_000).to_string()),
                "seconds between the tones that tell that a call is recorded",
            ),
            ("CALLGATE_ANNOUNCE", settings.announces.to_string(), "a short line tells that a recording has stopped, paused or gone on"),
            (
                "CALLGATE_TRANSFER_COVERS",
                match (settings.transfer_covers.agent, settings.transfer_covers.bot) {
                    (true, true) => "agent,bot",
                    (true, false) => "agent",
                    (false, true) => "bot",
                    (false, false) => "none",
                }
                .to_owned(),
                "whom what the client was told covers when a call is handed over; of others nothing is captured",
            ),
            ("CALLGATE_PROMPTS_DIR", prompts_dir, "folder of the prompts that are played; none: the shipped ones"),
            (
                "CALLGATE_POLICY_FILE",
                self.policy_file.as_ref().map_or_else(none, |file| file.display().to_string()),
                "the policy by place; none: the shipped one",
            ),
            ("CALLGATE_PLACE", self.place.map_or_else(none, |place| place.code().to_owned()), "where the case managers sit"),
            ("CALLGATE_OPT_OUT_KEYS", keys.to_owned(), "what opts out in the middle of a conversation"),
            (
                "CALLGATE_DECLINE_QUEUES_RECORDINGS",
                self.decline_queues_recordings.to_string(),
                "a client's own 2 queues recordings of earlier calls for deletion",
            ),
            ("CALLGATE_UNANNOUNCED", self.unannounced.to_string(), "accept streams without a call made by this gateway"),
            ("CALLGATE_MEDIA_THREADS", self.media_threads.to_string(), "threads that own media sockets"),
            (
                "CALLGATE_DRAIN_SECONDS",
                self.drain_seconds.to_string(),
                "seconds that calls under way have to end after SIGTERM; they are served until then",
            ),
            ("CALLGATE_LOG", self.log.clone(), "tracing filter"),
            ("CALLGATE_LOG_FORMAT", if self.log_json { "json" } else { "text" }.to_owned(), "text for people, json for machines"),
        ];
        rows.extend(self.relays.rows());
        rows
    }
}
