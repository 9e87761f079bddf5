//! A conversation on two tracks, with keys in it: made from seeds, spoken by the fixtures, sent to a gateway as Twilio does.
#![allow(dead_code, reason = "every user takes its own part")]

use std::net::SocketAddr;

use callgate::engine::audio::g711;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub const KEYS: &str = "123A456B789C*0#D";
pub const FRAME: usize = 160;
/// Twilio's timestamp of the first frame.
pub const FIRST_MS: u64 = 100;
const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

/// Numbers from a seed (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    pub fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound as u64) as usize
    }
}

/// A key's tone on a track.
#[derive(Clone, Copy, Debug)]
pub struct Press {
    pub key: char,
    /// Its first sample.
    pub at: usize,
    pub samples: usize,
    /// Of the low tone and of the high one.
    pub dbm0: [f64; 2],
    /// How far off their frequencies are, as factors.
    pub off: [f64; 2],
}

impl Press {
    pub const fn end(&self) -> usize {
        self.at + self.samples
    }

    /// Adds its two tones to what is there, with a handset's ramps of 1 ms.
    pub fn sound_on(&self, track: &mut [f64]) {
        let which = KEYS.find(self.key).unwrap();
        let hz = [ROWS[which / 4] * self.off[0], COLUMNS[which % 4] * self.off[1]];
        let turn = std::f64::consts::TAU / 8_000.0;
        for n in 0..self.samples {
            let ramp = (n.min(self.samples - 1 - n) as f64 / 8.0).min(1.0);
            let tones = (0..2).map(|tone| amplitude(self.dbm0[tone]) * (turn * hz[tone] * n as f64 + 0.3 + tone as f64).sin());
            track[self.at + n] += ramp * tones.sum::<f64>();
        }
    }
}

/// The peak of a sine of this level; mu-law's full scale is 3.17 dBm0.
fn amplitude(dbm0: f64) -> f64 {
    32_124.0 * 10f64.powf((dbm0 - 3.17) / 20.0)
}

/// A fixture over and over, from some sample on, at a gain in dB; and the noise of a line under it, so that no frame is silent.
pub fn voice(names: &[&str], from: usize, samples: usize, gain_db: f64, random: &mut Random) -> Vec<f64> {
    let mut said = Vec::new();
    for name in names {
        let codes = std::fs::read(format!("{}/fixtures/audio/{name}.ulaw", env!("CARGO_MANIFEST_DIR"))).unwrap();
        said.extend(codes.into_iter().map(|code| f64::from(g711::decode(code))));
    }
    let gain = 10f64.powf(gain_db / 20.0);
    (0..samples).map(|n| said[(from + n) % said.len()] * gain + random.between(-30.0, 30.0)).collect()
}

/// As it goes over the wire.
pub fn coded(track: &[f64]) -> Vec<u8> {
    track.iter().map(|sample| g711::encode(sample.clamp(-32_600.0, 32_600.0) as i16)).collect()
}

/// One call's stream with both tracks.
pub struct Talk {
    web: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
    sid: String,
    sequence: u64,
    /// Frames of each track so far.
    pub frames: u64,
}

impl Talk {
    pub async fn begin(address: SocketAddr, call_sid: &str) -> Self {
        let (web, _) = tokio_tungstenite::connect_async(format!("ws://{address}/twilio/media")).await.unwrap();
        let sid = format!("MZ{call_sid}");
        let mut talk = Self { web, sid: sid.clone(), sequence: 1, frames: 0 };
        talk.say(json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" })).await;
        talk.say(json!({ "event": "start", "sequenceNumber": "1", "streamSid": sid, "start": {
            "accountSid": "AC1", "streamSid": sid, "callSid": call_sid, "tracks": ["inbound", "outbound"],
            "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
            "customParameters": { "mode": "stay", "clientId": format!("client-{call_sid}") } } }))
            .await;
        talk
    }

    async fn say(&mut self, message: serde_json::Value) {
        self.web.send(Message::text(message.to_string())).await.unwrap();
    }

    /// 20 ms of both tracks. What the gateway plays is read and forgotten.
    pub async fn frame(&mut self, client: &[u8], other: &[u8]) {
        self.frames += 1;
        let (chunk, timestamp) = (self.frames.to_string(), (FIRST_MS + (self.frames - 1) * 20).to_string());
        for (track, codes) in [("inbound", client), ("outbound", other)] {
            self.sequence += 1;
            let payload = base64_simd::STANDARD.encode_to_string(codes);
            self.say(json!({ "event": "media", "sequenceNumber": self.sequence.to_string(), "streamSid": self.sid,
                             "media": { "track": track, "chunk": chunk, "timestamp": timestamp, "payload": payload } }))
                .await;
        }
        while let Ok(Some(_)) = tokio::time::timeout(std::time::Duration::ZERO, self.web.next()).await {}
    }

    /// All frames of two tracks of one length.
    pub async fn frames(&mut self, client: &[u8], other: &[u8]) {
        for (client, other) in client.chunks(FRAME).zip(other.chunks(FRAME)) {
            self.frame(client, other).await;
        }
    }

    /// A key, by Twilio's event.
    pub async fn key(&mut self, digit: &str) {
        self.sequence += 1;
        let sequence = self.sequence.to_string();
        self.say(json!({ "event": "dtmf", "streamSid": self.sid, "sequenceNumber": sequence,
                         "dtmf": { "track": "inbound_track", "digit": digit } }))
            .await;
    }

    pub async fn stop(mut self, call_sid: &str) {
        self.sequence += 1;
        let sequence = self.sequence.to_string();
        self.say(json!({ "event": "stop", "sequenceNumber": sequence, "streamSid": self.sid, "stop": { "accountSid": "AC1", "callSid": call_sid } }))
            .await;
        // As Twilio does: it is whoever streams that closes.
        let _ = self.web.send(Message::Close(None)).await;
        while let Some(Ok(message)) = self.web.next().await {
            if matches!(message, Message::Close(_)) {
                return;
            }
        }
    }
}

/// The two channels of a WAV.
pub fn channels(wav: &[u8]) -> [Vec<i16>; 2] {
    let samples: Vec<i16> = hound::WavReader::new(std::io::Cursor::new(wav)).unwrap().into_samples().map(Result::unwrap).collect();
    [0, 1].map(|channel| samples.iter().skip(channel).step_by(2).copied().collect())
}
