//! Twilio's end of the socket: one call, played to a gateway at so many times real time.
//!
//! Counters are strings, `connected` comes before `start`, timestamps begin somewhere and step by 19 to 21 ms; what the
//! gateway sends is queued and played at the media's pace, a mark comes back when what was before it has been
//! played, a `clear` empties the queue and brings all marks back (Twilio, "Media Streams – WebSocket Messages").

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::Target;
use super::line::{FRAME, Frames, sound};
use super::scenario::{Scenario, Step};
use crate::engine::audio::g711;
use crate::engine::twilio::signature;

type Web = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Waiting for the gateway, in media time, at most.
const UNTIL_MAX_FRAMES: u64 = 60 * 50;
/// Without it a second small message waits 40 ms for the other side's acknowledgement, and that is what would be measured.
const NO_DELAY: bool = true;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// What was seen of a call at its socket.
#[derive(Default)]
pub struct Seen {
    /// Twilio's id of it.
    pub call_sid: String,
    /// Of its stream.
    pub stream_sid: String,
    /// Why it did not take place.
    pub refused: Option<String>,
    /// The handshake took so long.
    pub handshake_ms: Option<f64>,
    /// From `start` to the first audio.
    pub first_audio_ms: Option<f64>,
    /// From the deciding key to the gateway's reaction, in milliseconds of the wall.
    pub decision_ms: Option<f64>,
    /// Whether the gateway closed the socket.
    pub closed_by_gateway: bool,
    /// Frames of the inbound track in the order sent.
    pub frames: Vec<[u8; FRAME]>,
    /// How many there were, also where they were not kept.
    pub sent: u64,
    /// Frames lost on the way, by their number in `frames`.
    pub lost: Vec<usize>,
    /// Frame at which each key was pressed, and whether a tone was on the line.
    pub presses: Vec<(usize, bool, u64)>,
    /// Frame at which the whole prompt had been played.
    pub prompt_heard_at: Option<usize>,
    /// Frame at which the gateway's closing line, or its close, was first seen.
    pub decided_at: Option<usize>,
    /// Timestamp of the first frame.
    pub first_timestamp_ms: u64,
}

struct Play {
    queue: VecDeque<Queued>,
    /// Samples of what is playing, for the echo.
    playing: VecDeque<i16>,
    marks_back: usize,
    started: bool,
    marks_at_decision: usize,
    cleared: bool,
}

enum Queued {
    Audio(usize),
    Mark(String),
}

struct Caller<'a> {
    web: Web,
    target: &'a Target,
    scenario: &'a Scenario,
    seen: Seen,
    play: Play,
    frames: Frames,
    sequence: u64,
    chunk: [u64; 2],
    began: Instant,
    ticks: u64,
    start_sent: Instant,
    key_sent: Option<Instant>,
    keep: bool,
    open: bool,
    double: u64,
    swap: u64,
    held: Option<String>,
}

/// Plays one call.
pub(super) async fn call(target: &Target, scenario: &Scenario, n: usize, seed: u64, keep: bool) -> Seen {
    let mut seen = Seen { call_sid: format!("CA{seed:016x}{n:016x}"), stream_sid: format!("MZ{seed:016x}{n:016x}"), ..Seen::default() };
    let began = Instant::now();
    let web = match connect(target).await {
        Ok(web) => web,
        Err(why) => {
            seen.refused = Some(why);
            return seen;
        }
    };
    seen.handshake_ms = Some(began.elapsed().as_secs_f64() * 1_000.0);
    seen.first_timestamp_ms = 100 + seed % 90;
    let play =
        Play { queue: VecDeque::new(), playing: VecDeque::new(), marks_back: 0, started: false, marks_at_decision: 0, cleared: false };
    let now = Instant::now();
    let frames = Frames::new(seed, scenario.digital_silence);
    let mut caller = Caller {
        web,
        target,
        scenario,
        seen,
        play,
        frames,
        sequence: 0,
        chunk: [0; 2],
        began: now,
        ticks: 0,
        start_sent: now,
        key_sent: None,
        keep,
        open: true,
        double: 0,
        swap: 0,
        held: None,
    };
    caller.begin(n).await;
    for step in &scenario.steps {
        if caller.open {
            caller.step(step).await;
        }
    }
    caller.end().await;
    caller.seen
}

async fn connect(target: &Target) -> Result<Web, String> {
    let mut request = target.url.as_str().into_client_request().map_err(|why| why.to_string())?;
    if let Some(token) = &target.auth_token {
        let none: &[(&str, &str)] = &[];
        let signed = signature::sign(token, &target.url, none);
        request.headers_mut().insert("x-twilio-signature", HeaderValue::from_str(&signed).map_err(|why| why.to_string())?);
    }
    match timeout(HANDSHAKE_WITHIN, tokio_tungstenite::connect_async_with_config(request, None, NO_DELAY)).await {
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
        let samples = sound(step);
        if let Some(key) = step.key {
            let by = step.by.as_deref().unwrap_or("event");
            self.seen.presses.push((self.sent(), by != "event", step.tone_ms.unwrap_or(120)));
            if by != "tone" {
                self.dtmf(key).await;
            }
            self.key_sent = Some(Instant::now());
            self.seen.decided_at = None;
        }
        for piece in samples.chunks(FRAME) {
            if self.open {
                self.frame(piece).await;
            }
        }
        for _ in 0..step.quiet_ms.unwrap_or(0) / 20 {
            if self.open {
                self.frame(&[]).await;
            }
        }
        if let Some(until) = &step.until {
            for _ in 0..UNTIL_MAX_FRAMES {
                if !self.open || self.is(until) {
                    break;
                }
                self.frame(&[]).await;
            }
        }
        for _ in 0..step.lose_frames.unwrap_or(0) {
            self.tick().await;
            let lost = self.frames.frame(&[], &[]);
            self.seen.lost.push(self.sent());
            self.note(lost);
            self.chunk[0] += 1;
            self.sequence += 1;
        }
        self.double += step.double_frames.unwrap_or(0);
        self.swap += step.swap_frames.unwrap_or(0);
        if let Some(ms) = step.dead_ms {
            // A dead line is dead on the wall: no media clock runs.
            self.listen(Duration::from_millis(ms)).await;
        }
        if step.hang_up && self.open {
            let (sequence, stream_sid) = (self.next_sequence(), self.seen.stream_sid.clone());
            let stop = json!({ "accountSid": "AC00000000000000000000000000000000", "callSid": self.seen.call_sid });
            self.send(&json!({ "event": "stop", "sequenceNumber": sequence, "streamSid": stream_sid, "stop": stop })).await;
            self.open = false;
            let _ = self.web.close(None).await;
        }
        if step.drop_socket {
            self.open = false;
        }
    }

    /// A frame with these samples on it.
    async fn frame(&mut self, samples: &[i16]) {
        self.tick().await;
        let (echo, marks) = self.play_out();
        let codes = self.frames.frame(samples, &echo);
        let timestamp = self.seen.first_timestamp_ms + self.seen.sent * 20 + [0, 1, 0, 0][usize::try_from(self.seen.sent % 4).unwrap_or(0)];
        self.note(codes);
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
        } else {
            self.say(text.clone()).await;
            if self.double > 0 {
                self.double -= 1;
                self.say(text).await;
            }
        }
        for name in marks {
            self.mark(&name).await;
        }
        if self.scenario.tracks == 2 {
            let other = self.frames.frame(&[], &[]);
            let text = self.media("outbound", 1, timestamp, &other);
            self.say(text).await;
        }
    }

    fn media(&mut self, track: &str, side: usize, timestamp: u64, codes: &[u8]) -> String {
        self.sequence += 1;
        self.chunk[side] += 1;
        let (sequence, chunk, sid) = (self.sequence, self.chunk[side], &self.seen.stream_sid);
        let payload = base64_simd::STANDARD.encode_to_string(codes);
        format!(
            r#"{{"event":"media","sequenceNumber":"{sequence}","media":{{"track":"{track}","chunk":"{chunk}","timestamp":"{timestamp}","payload":"{payload}"}},"streamSid":"{sid}"}}"#
        )
    }

    /// 20 ms pass: what the gateway says meanwhile is taken in.
    async fn tick(&mut self) {
        self.ticks += 1;
        let due = self.began + Duration::from_secs_f64(self.ticks as f64 * 0.02 / self.target.speed);
        let left = due.saturating_duration_since(Instant::now());
        self.listen(left).await;
    }

    async fn listen(&mut self, span: Duration) {
        let until = Instant::now() + span;
        while self.open {
            match tokio::time::timeout_at(until, self.web.next()).await {
                Err(_) => return,
                Ok(Some(Ok(Message::Text(text)))) => self.heard(&text).await,
                Ok(Some(Ok(Message::Close(_))) | None) => {
                    self.closed();
                    return;
                }
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(_))) => {
                    self.closed();
                    return;
                }
            }
        }
        tokio::time::sleep_until(until.min(Instant::now() + Duration::from_millis(1))).await;
    }

    fn closed(&mut self) {
        self.open = false;
        self.seen.closed_by_gateway = true;
        self.decided();
    }

    async fn heard(&mut self, text: &str) {
        let Ok(message) = serde_json::from_str::<Value>(text) else { return };
        match message["event"].as_str() {
            Some("media") => {
                if self.seen.first_audio_ms.is_none() {
                    self.seen.first_audio_ms = Some(self.start_sent.elapsed().as_secs_f64() * 1_000.0);
                }
                let codes =
                    base64_simd::STANDARD.decode_to_vec(message["media"]["payload"].as_str().unwrap_or_default()).unwrap_or_default();
                // After the whole prompt, or after a clear, what comes is the closing line.
                if self.play.started && (self.play.cleared || self.play.marks_back > 0) {
                    self.decided();
                }
                self.play.started = true;
                if self.scenario.echo_db.is_some() {
                    self.play.playing.extend(codes.iter().map(|code| g711::decode(*code)));
                }
                self.play.queue.push_back(Queued::Audio(codes.len()));
            }
            Some("mark") => self.play.queue.push_back(Queued::Mark(message["mark"]["name"].as_str().unwrap_or_default().to_owned())),
            Some("clear") => {
                let marks: Vec<String> = self
                    .play
                    .queue
                    .drain(..)
                    .filter_map(|queued| if let Queued::Mark(name) = queued { Some(name) } else { None })
                    .collect();
                self.play.playing.clear();
                self.play.cleared = true;
                self.decided();
                for name in marks {
                    self.mark(&name).await;
                }
            }
            _ => {}
        }
    }

    /// The gateway reacted.
    fn decided(&mut self) {
        if let Some(sent) = self.key_sent.take() {
            self.seen.decision_ms.get_or_insert(sent.elapsed().as_secs_f64() * 1_000.0);
        }
        if self.seen.decided_at.is_none() {
            self.seen.decided_at = Some(self.sent());
            self.play.marks_at_decision = self.play.marks_back;
        }
    }

    /// 20 ms of what is queued are played; what of it comes back into the line is the answer.
    fn play_out(&mut self) -> (Vec<i16>, Vec<String>) {
        let mut budget = FRAME;
        let mut marks = Vec::new();
        while let Some(first) = self.play.queue.front_mut() {
            match first {
                Queued::Audio(left) if *left > budget => {
                    *left -= budget;
                    break;
                }
                Queued::Audio(left) => {
                    budget -= *left;
                    self.play.queue.pop_front();
                }
                Queued::Mark(name) => {
                    marks.push(name.clone());
                    self.play.queue.pop_front();
                }
            }
        }
        self.play.marks_back += marks.len();
        if !marks.is_empty() && self.seen.decided_at.is_none() {
            self.seen.prompt_heard_at = Some(self.sent());
        }
        let Some(db) = self.scenario.echo_db else { return (Vec::new(), marks) };
        let gain = 10f64.powf(-db / 20.0);
        let count = self.play.playing.len().min(FRAME);
        #[expect(clippy::cast_possible_truncation, reason = "quieter than it was")]
        let echo = self.play.playing.drain(..count).map(|sample| (f64::from(sample) * gain) as i16).collect();
        (echo, marks)
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
            "prompt-heard" => self.play.marks_back > 0,
            "decided" => self.seen.decided_at.is_some(),
            "closing-heard" => self.seen.decided_at.is_some() && self.play.marks_back > self.play.marks_at_decision,
            _ => false, // `closed`: the loop ends with the socket
        }
    }

    /// What the gateway still has to say, then the end.
    async fn end(&mut self) {
        if self.open {
            self.listen(Duration::from_millis(100)).await;
        }
        if self.open {
            let _ = self.web.close(None).await;
        }
        // The gateway's own close frame, so that the handshake of closing is complete.
        let _ = timeout(Duration::from_millis(500), async { while let Some(Ok(_)) = self.web.next().await {} }).await;
    }

    fn next_sequence(&mut self) -> String {
        self.sequence += 1;
        self.sequence.to_string()
    }

    fn sent(&self) -> usize {
        usize::try_from(self.seen.sent).unwrap_or(usize::MAX)
    }

    fn note(&mut self, codes: [u8; FRAME]) {
        self.seen.sent += 1;
        if self.keep {
            self.seen.frames.push(codes);
        }
    }

    async fn send(&mut self, message: &Value) {
        self.say(message.to_string()).await;
    }

    async fn say(&mut self, text: String) {
        if self.open && self.web.send(Message::text(text)).await.is_err() {
            self.closed();
        }
    }
}
