//! Twilio's end of the socket: one call, played to a gateway at so many times real time.
//!
//! Counters are strings, `connected` comes before `start`, timestamps begin somewhere and step by 19 to 21 ms, one sequence
//! counts all messages. What the gateway sends goes to the [play-out queue](super::playout). Steps happen in media time:
//! a tick is 20 ms of it, whether a frame is sent in it, lost, or none exists because the line is dead.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::Trunk;
use super::line::{FRAME, Frames, fixture, sound, tone_ms};
use super::playout::Playout;
use super::scenario::{Scenario, Step};
use super::seen::{Press, Seen, Spoken};
use crate::engine::audio::prompts::{Language, Line, library};
use crate::engine::twilio::message::Track;
use crate::engine::twilio::signature;

type Web = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Waiting for the gateway, in media time, at most.
const UNTIL_MAX_FRAMES: u64 = 60 * 50;
/// Without it a second small message waits 40 ms for the other side's acknowledgement, and that is what would be measured.
const NO_DELAY: bool = true;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// A gateway that reads nothing for so long is stuck.
const SENT_WITHIN: Duration = Duration::from_secs(5);
const TICK_MS: u64 = 20;
/// Of so many frames, the lateness of one is kept.
const LATENESS_EVERY: u64 = 64;

struct Caller<'a> {
    web: Web,
    trunk: &'a Trunk,
    scenario: &'a Scenario,
    seen: Seen,
    playout: Playout,
    frames: Frames,
    sequence: u64,
    chunk: [u64; 2],
    began: Instant,
    until: Instant,
    ticks: u64,
    /// Marks that came back because what was before them was played.
    marks_back: usize,
    marks_at_decision: usize,
    started: bool,
    cleared: bool,
    start_sent: Instant,
    key_sent: Option<Instant>,
    keep: bool,
    open: bool,
    double: u64,
    swap: u64,
    held: Option<String>,
    stall: u64,
    stalled: Vec<String>,
    /// Events that come after their tones began: at which frame, and the key.
    events: Vec<(u64, char)>,
    echo: Vec<i16>,
    language: Language,
}

/// Plays one call.
pub(super) async fn call(trunk: &Trunk, scenario: &Scenario, n: usize, seed: u64, keep: bool) -> Seen {
    let (call_sid, stream_sid) = (format!("CA{seed:016x}{n:016x}"), format!("MZ{seed:016x}{n:016x}"));
    let mut seen = Seen { call_sid, stream_sid, speed: trunk.target.speed, ..Seen::default() };
    let began = Instant::now();
    let web = match connect(trunk).await {
        Ok(web) => web,
        Err(why) => {
            seen.refused = Some(why);
            return seen;
        }
    };
    seen.handshake_ms = Some(began.elapsed().as_secs_f64() * 1_000.0);
    seen.first_timestamp_ms = 100 + seed % 90;
    let now = Instant::now();
    let mut caller = Caller {
        web,
        trunk,
        scenario,
        seen,
        playout: Playout::new(scenario.echo_db.is_some()),
        frames: Frames::new(seed, scenario.digital_silence),
        sequence: 0,
        chunk: [0; 2],
        began: now,
        until: now + trunk.timeout,
        ticks: 0,
        marks_back: 0,
        marks_at_decision: 0,
        started: false,
        cleared: false,
        start_sent: now,
        key_sent: None,
        keep,
        open: true,
        double: 0,
        swap: 0,
        held: None,
        stall: 0,
        stalled: Vec::new(),
        events: Vec::new(),
        echo: Vec::new(),
        language: Language::EN,
    };
    caller.begin(n).await;
    for step in &scenario.steps {
        if caller.open {
            caller.step(step).await;
        }
    }
    caller.end().await
}

async fn connect(trunk: &Trunk) -> Result<Web, String> {
    let mut request = trunk.target.url.as_str().into_client_request().map_err(|why| why.to_string())?;
    if let Some(token) = &trunk.target.auth_token {
        let none: &[(&str, &str)] = &[];
        let signed = signature::sign(token, trunk.public_url.as_deref().unwrap_or(&trunk.target.url), none);
        request.headers_mut().insert("x-twilio-signature", HeaderValue::from_str(&signed).map_err(|why| why.to_string())?);
    }
    // Small buffers: the default of 128 KiB is cleared at every read, and a thousand calls would not fit a cache.
    let small = WebSocketConfig::default().read_buffer_size(4_096).write_buffer_size(0);
    match timeout(HANDSHAKE_WITHIN, tokio_tungstenite::connect_async_with_config(request, Some(small), NO_DELAY)).await {
        Ok(Ok((web, _))) => Ok(web),
        Ok(Err(tungstenite::Error::Http(answer))) => Err(format!("handshake refused: {}", answer.status())),
        Ok(Err(why)) => Err(why.to_string()),
        Err(_) => Err("handshake not answered".into()),
    }
}

impl Caller<'_> {
    async fn begin(&mut self, n: usize) {
        self.send(&json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" })).await;
        let (stream_sid, call_sid) = (self.seen.stream_sid.clone(), self.seen.call_sid.clone());
        let tracks: &[&str] = if self.scenario.tracks == 2 { &["inbound", "outbound"] } else { &["inbound"] };
        let mut parameters = json!({
            "clientId": format!("client-{call_sid}"), "caseManagerId": "case-manager-1", "orgId": "default",
            "direction": self.scenario.direction, "mode": self.scenario.mode, "replay": n.to_string(),
        });
        if let Some(by) = &self.scenario.answered_by {
            parameters["answeredBy"] = json!(by);
        }
        for (name, value) in &self.trunk.parameters {
            parameters[name] = json!(value);
        }
        let sequence = self.next_sequence();
        self.start_sent = Instant::now();
        self.send(&json!({
            "event": "start", "sequenceNumber": sequence, "streamSid": stream_sid,
            "start": {
                "accountSid": "AC00000000000000000000000000000000", "streamSid": stream_sid, "callSid": call_sid, "tracks": tracks,
                "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 }, "customParameters": parameters,
            },
        }))
        .await;
        self.began = Instant::now();
    }

    async fn step(&mut self, step: &Step) {
        let from = self.sent();
        if let Some(key) = step.key {
            self.press(key, step).await;
        }
        let (samples, other) = (sound(step), step.other_says.as_deref().map(fixture).unwrap_or_default());
        let quiet = usize::try_from(step.quiet_ms.unwrap_or(0) / TICK_MS).unwrap_or(0) * FRAME;
        for at in (0..samples.len().max(other.len()).max(quiet)).step_by(FRAME) {
            self.frame(piece(&samples, at), piece(&other, at)).await;
        }
        for (track, name, length) in [(Track::Inbound, &step.say, samples.len()), (Track::Outbound, &step.other_says, other.len())] {
            if let Some(name) = name {
                let to = self.sent().min(from + length.div_ceil(FRAME));
                self.seen.spoken.push(Spoken { fixture: name.clone(), track, from, to });
            }
        }
        let exact = self.frames.exact;
        self.frames.exact |= step.silent_ms.is_some();
        for _ in 0..step.silent_ms.unwrap_or(0) / TICK_MS {
            self.frame(&[], &[]).await;
        }
        self.frames.exact = exact;
        if let Some(until) = &step.until {
            for _ in 0..UNTIL_MAX_FRAMES {
                if !self.open || self.is(until) {
                    break;
                }
                self.frame(&[], &[]).await;
            }
        }
        for _ in 0..step.lose_frames.unwrap_or(0) {
            self.lose().await;
        }
        self.double += step.double_frames.unwrap_or(0);
        self.swap += step.swap_frames.unwrap_or(0);
        self.stall = self.stall.max(step.burst_frames.unwrap_or(0));
        // A dead line is dead by the wall, which is what watchdogs go by: so much more media time passes in it.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of ticks")]
        let dead = (step.dead_ms.unwrap_or(0) as f64 * self.trunk.target.speed / TICK_MS as f64) as u64;
        for _ in 0..dead {
            self.tick().await;
            self.play_out().await;
        }
        if step.hang_up && self.open {
            self.seen.hung_up = true;
            let (sequence, stream_sid) = (self.next_sequence(), self.seen.stream_sid.clone());
            let stop = json!({ "accountSid": "AC00000000000000000000000000000000", "callSid": self.seen.call_sid });
            self.unstall().await;
            self.send(&json!({ "event": "stop", "sequenceNumber": sequence, "streamSid": stream_sid, "stop": stop })).await;
            self.open = false;
            let _ = timeout(SENT_WITHIN, self.web.close(None)).await;
        }
        if step.drop_socket {
            self.seen.dropped = true;
            self.open = false;
        }
    }

    async fn press(&mut self, key: char, step: &Step) {
        let tone_samples = if step.by() == "event" { 0 } else { usize::try_from(tone_ms(step) * 8).unwrap_or(0) };
        self.seen.presses.push(Press { key, at: self.sent(), tone_samples });
        self.key_sent = Some(Instant::now());
        self.seen.decided_at = None;
        if key == '9' {
            self.language = Language::ES;
        }
        match step.by() {
            "tone" => {}
            _ if step.event_delay_ms.unwrap_or(0) >= TICK_MS => {
                self.events.push((self.seen.sent + step.event_delay_ms.unwrap_or(0) / TICK_MS, key));
            }
            _ => self.dtmf(key).await,
        }
    }

    /// A frame of each track with these samples on it.
    async fn frame(&mut self, samples: &[i16], other: &[i16]) {
        if !self.open {
            return;
        }
        self.tick().await;
        self.play_out().await;
        let timestamp = self.seen.timestamp_of_tick(self.ticks - 1);
        let codes = self.frames.frame(samples, &self.echo);
        self.seen.note(Track::Inbound, self.ticks - 1, codes, self.keep);
        let text = self.media("inbound", 0, timestamp, &codes);
        if self.swap > 0 {
            match self.held.take() {
                None => self.held = Some(text),
                Some(earlier) => {
                    self.swap -= 1;
                    self.say(text).await;
                    self.say(earlier).await;
                }
            }
        } else if self.double > 0 {
            self.double -= 1;
            self.say(text.clone()).await;
            self.say(text).await;
        } else {
            self.say(text).await;
        }
        if self.scenario.tracks == 2 {
            let codes = self.frames.frame(other, &[]);
            self.seen.note(Track::Outbound, self.ticks - 1, codes, self.keep);
            let text = self.media("outbound", 1, timestamp, &codes);
            self.say(text).await;
        }
        while let Some(at) = self.events.iter().position(|(due, _)| *due <= self.seen.sent) {
            let (_, key) = self.events.swap_remove(at);
            self.dtmf(key).await;
        }
        if self.stall > 0 {
            self.stall -= 1;
            if self.stall == 0 {
                self.unstall().await;
            }
        }
    }

    /// A frame of each track that never arrives.
    async fn lose(&mut self) {
        self.tick().await;
        self.play_out().await;
        self.seen.lost.push(self.sent());
        for (track, side) in [(Track::Inbound, 0), (Track::Outbound, 1)].into_iter().take(usize::from(self.scenario.tracks)) {
            let codes = self.frames.frame(&[], &[]);
            self.seen.note(track, self.ticks - 1, codes, self.keep);
            self.chunk[side] += 1;
            self.sequence += 1;
        }
    }

    fn media(&mut self, track: &str, side: usize, timestamp: u64, codes: &[u8]) -> String {
        use std::fmt::Write as _;
        self.sequence += 1;
        self.chunk[side] += 1;
        let (sequence, chunk, sid) = (self.sequence, self.chunk[side], &self.seen.stream_sid);
        let mut text = String::with_capacity(448);
        let _ = write!(
            text,
            r#"{{"event":"media","sequenceNumber":"{sequence}","media":{{"track":"{track}","chunk":"{chunk}","timestamp":"{timestamp}","payload":""#
        );
        base64_simd::STANDARD.encode_append(codes, &mut text);
        let _ = write!(text, r#""}},"streamSid":"{sid}"}}"#);
        text
    }

    /// 20 ms pass: what the gateway says meanwhile is taken in.
    async fn tick(&mut self) {
        self.ticks += 1;
        let due = self.began + Duration::from_secs_f64(self.ticks as f64 * 0.02 / self.trunk.target.speed);
        self.listen(due).await;
        let now = Instant::now();
        if self.ticks.is_multiple_of(LATENESS_EVERY) {
            self.seen.late_ms.push(now.saturating_duration_since(due).as_secs_f64() * 1_000.0);
        }
        if now > self.until && self.open {
            self.seen.overdue = true;
            self.open = false;
        }
    }

    async fn listen(&mut self, until: Instant) {
        while self.open {
            match tokio::time::timeout_at(until, self.web.next()).await {
                Err(_) => return,
                Ok(Some(Ok(Message::Text(text)))) => self.heard(&text).await,
                Ok(Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {}
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => self.closed(),
            }
        }
    }

    fn closed(&mut self) {
        self.open = false;
        self.seen.closed_by_gateway = true;
        self.decided();
    }

    async fn heard(&mut self, text: &str) {
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            self.seen.faults += 1;
            return;
        };
        match message["event"].as_str() {
            Some("media") => {
                self.seen.first_audio_ms.get_or_insert(self.start_sent.elapsed().as_secs_f64() * 1_000.0);
                let payload = message["media"]["payload"].as_str().unwrap_or_default();
                // After the whole prompt, or after a clear, what comes is the closing line.
                if self.started && (self.cleared || self.marks_back > 0) {
                    self.decided();
                }
                self.started = true;
                match base64_simd::STANDARD.decode_to_vec(payload) {
                    Ok(codes) => self.playout.media(&codes),
                    Err(_) => self.seen.faults += 1,
                }
            }
            Some("mark") => {
                if let Some(name) = self.playout.mark(message["mark"]["name"].as_str().unwrap_or_default().to_owned()) {
                    self.mark(&name).await;
                }
            }
            Some("clear") => {
                self.cleared = true;
                self.decided();
                for name in self.playout.clear() {
                    self.mark(&name).await;
                }
            }
            // Twilio takes nothing else (warning 31951).
            _ => self.seen.faults += 1,
        }
    }

    /// The gateway reacted.
    fn decided(&mut self) {
        self.seen.reacted = true;
        if let Some(sent) = self.key_sent.take() {
            self.seen.decision_ms.get_or_insert(sent.elapsed().as_secs_f64() * 1_000.0);
        }
        if self.seen.decided_at.is_none() {
            self.seen.decided_at = Some(self.sent());
            self.marks_at_decision = self.marks_back;
        }
    }

    /// 20 ms of what is queued are played; what of it comes back into the line is left in `echo`.
    async fn play_out(&mut self) {
        self.echo.clear();
        let marks = self.playout.play(FRAME, &mut self.echo);
        let gain = 10f64.powf(-self.scenario.echo_db.unwrap_or(0.0) / 20.0);
        for sample in &mut self.echo {
            #[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
            let quieter = (f64::from(*sample) * gain) as i16;
            *sample = quieter;
        }
        self.marks_back += marks.len();
        if !marks.is_empty() && self.seen.decided_at.is_none() {
            self.seen.prompt_heard_at = Some(self.sent());
        }
        for name in marks {
            self.mark(&name).await;
        }
    }

    async fn mark(&mut self, name: &str) {
        let (sequence, stream_sid) = (self.next_sequence(), self.seen.stream_sid.clone());
        self.send(&json!({ "event": "mark", "sequenceNumber": sequence, "streamSid": stream_sid, "mark": { "name": name } })).await;
    }

    async fn dtmf(&mut self, key: char) {
        let (sequence, stream_sid) = (self.next_sequence(), self.seen.stream_sid.clone());
        let dtmf = json!({ "track": "inbound_track", "digit": key.to_string() });
        self.send(&json!({ "event": "dtmf", "streamSid": stream_sid, "sequenceNumber": sequence, "dtmf": dtmf })).await;
    }

    /// Whether what is waited for has happened.
    fn is(&self, until: &str) -> bool {
        match until {
            "key-named" => {
                let named = library().prompt(self.language, Line::Consent).key_named_at('1').unwrap_or(0);
                self.playout.played() >= named as u64
            }
            "prompt-heard" => self.marks_back > 0,
            "decided" => self.seen.decided_at.is_some(),
            "closing-heard" => self.seen.decided_at.is_some() && self.marks_back > self.marks_at_decision,
            _ => false, // `closed`: the loop ends with the socket
        }
    }

    /// What the gateway still has to say, then the end.
    async fn end(mut self) -> Seen {
        if self.seen.dropped {
            return self.seen;
        }
        self.unstall().await;
        if let Some(held) = self.held.take() {
            self.say(held).await;
        }
        if self.open {
            self.listen(Instant::now() + Duration::from_millis(100)).await;
        }
        if self.open {
            let _ = timeout(SENT_WITHIN, self.web.close(None)).await;
        }
        // The gateway's own close frame, so that the handshake of closing is complete.
        let _ = timeout(Duration::from_millis(500), async { while let Some(Ok(_)) = self.web.next().await {} }).await;
        self.seen
    }

    fn next_sequence(&mut self) -> String {
        self.sequence += 1;
        self.sequence.to_string()
    }

    fn sent(&self) -> usize {
        usize::try_from(self.seen.sent).unwrap_or(usize::MAX)
    }

    async fn send(&mut self, message: &Value) {
        self.say(message.to_string()).await;
    }

    /// A message goes out, or waits with all others until the way is free again.
    async fn say(&mut self, text: String) {
        if self.stall > 0 {
            self.stalled.push(text);
        } else {
            self.put(text).await;
        }
    }

    async fn unstall(&mut self) {
        self.stall = 0;
        for text in std::mem::take(&mut self.stalled) {
            self.put(text).await;
        }
    }

    async fn put(&mut self, text: String) {
        if !self.open {
            return;
        }
        match timeout(SENT_WITHIN, self.web.send(Message::text(text))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => self.closed(),
            Err(_) => {
                self.seen.stuck = true;
                self.open = false;
            }
        }
    }
}

fn piece(samples: &[i16], at: usize) -> &[i16] {
    samples.get(at..).map_or(&[], |rest| &rest[..rest.len().min(FRAME)])
}
