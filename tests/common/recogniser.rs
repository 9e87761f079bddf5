//! A stand-in for a recogniser, in both protocols. It hears numbered frames exactly: each is a word of its own, said while it sounds.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callgate::engine::audio::g711;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::numbered;

/// Frames that it knows.
const KNOWN: u64 = 6_000;

/// How it behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    /// As it should.
    Faithful,
    /// It takes the handshake, reads nothing and says nothing.
    Stuck,
    /// It answers with what is no message.
    Babbles,
    /// It answers with three megabytes.
    Floods,
    /// It says everything at its end, and nothing before.
    Mumbles,
    /// It hears all, and never says that it is done.
    NeverEnds,
    /// It tells of words before the stream and long after it, and backwards.
    Lies,
    /// It hangs up after so many messages, every time.
    HangsUpAfter(usize),
    /// It babbles to its first so many connections, and is faithful to the rest.
    SobersUpAfter(usize),
}

pub struct Recogniser {
    pub address: SocketAddr,
    /// Paths of the handshakes, and the authorization they came with.
    pub handshakes: Arc<Mutex<Vec<(String, String)>>>,
    /// The text messages it was sent.
    pub told: Arc<Mutex<Vec<String>>>,
    /// The numbers of the frames that it was sent.
    pub heard: Arc<Mutex<Vec<u64>>>,
    serving: AbortHandle,
}

/// One connection.
#[derive(Clone)]
struct Stream {
    mood: Mood,
    ears: Ears,
    told: Arc<Mutex<Vec<String>>>,
}

/// What tells frames from each other, whatever protocol they came by.
#[derive(Clone)]
pub struct Ears {
    known: Arc<HashMap<Vec<u8>, u64>>,
    said: Arc<HashMap<u64, &'static str>>,
    pub heard: Arc<Mutex<Vec<u64>>>,
}

/// A word, and when it was said, in seconds.
pub type Spoken = (String, f64, f64);

/// The word of a frame: letters only, so that it is no number.
pub fn word(n: u64) -> String {
    let letters: String = format!("{n:04}").bytes().map(|digit| char::from(digit - b'0' + b'a')).collect();
    format!("frame{letters}")
}

impl Recogniser {
    /// Frames of these numbers are said as these words instead of their own.
    pub async fn start(mood: Mood, said: &[(u64, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (handshakes, told) = (Arc::default(), Arc::default());
        let ears = Ears::new(said);
        let heard = Arc::clone(&ears.heard);
        let stream = Stream { mood, ears, told: Arc::clone(&told) };
        let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::clone(&handshakes);
        let count = Arc::new(AtomicUsize::new(0));
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (seen, mut stream) = (Arc::clone(&seen), stream.clone());
                let nth = count.fetch_add(1, Ordering::SeqCst);
                if let Mood::SobersUpAfter(drunk) = stream.mood {
                    stream.mood = if nth < drunk { Mood::Babbles } else { Mood::Faithful };
                }
                tokio::spawn(async move {
                    #[expect(clippy::result_large_err, reason = "tungstenite's own")]
                    let note = |request: &Request, response: Response| {
                        let key = request.headers().get("authorization").map_or("", |key| key.to_str().unwrap());
                        seen.lock().unwrap().push((request.uri().to_string(), key.to_owned()));
                        Ok(response)
                    };
                    if let Ok(web) = tokio_tungstenite::accept_hdr_async(socket, note).await {
                        stream.listen(web).await;
                    }
                });
            }
        });
        Self { address, handshakes, told, heard, serving: serving.abort_handle() }
    }

    pub fn vosk(&self) -> String {
        format!("vosk+ws://{}", self.address)
    }

    pub fn deepgram(&self) -> String {
        format!("deepgram+ws://{}", self.address)
    }
}

impl Drop for Recogniser {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Ears {
    pub fn new(said: &[(u64, &'static str)]) -> Self {
        let known = (1..=KNOWN).map(|n| (numbered(n).iter().map(|code| g711::encode(g711::decode(*code))).collect(), n)).collect();
        Self { known: Arc::new(known), said: Arc::new(said.iter().copied().collect()), heard: Arc::default() }
    }

    /// The words of what comes next in a stream that has come so far.
    pub fn hear(&self, codes: &[u8], position: &mut f64) -> Vec<Spoken> {
        let mut words = Vec::new();
        for frame in codes.chunks(160) {
            let (start, end) = (*position, *position + frame.len() as f64 / 8_000.0);
            *position = end;
            if let Some(n) = self.known.get(frame) {
                self.heard.lock().unwrap().push(*n);
                words.push((self.said.get(n).map_or_else(|| word(*n), |said| (*said).to_owned()), start, end));
            }
        }
        words
    }
}

impl Stream {
    async fn listen(self, mut web: WebSocketStream<TcpStream>) {
        if self.mood == Mood::Stuck {
            tokio::time::sleep(Duration::from_secs(600)).await;
            return;
        }
        let (mut is_vosk, mut position, mut messages) = (false, 0.0, 0);
        let mut all = Vec::new();
        while let Some(Ok(message)) = web.next().await {
            messages += 1;
            if matches!(self.mood, Mood::HangsUpAfter(most) if messages > most) {
                return;
            }
            let answer = match message {
                Message::Text(text) => {
                    self.told.lock().unwrap().push(text.as_str().to_owned());
                    let order: Value = serde_json::from_str(&text).unwrap();
                    is_vosk |= order["config"].is_object();
                    if self.mood == Mood::NeverEnds || (order["eof"].is_null() && order["type"] != "CloseStream") {
                        continue;
                    }
                    if self.mood == Mood::Mumbles {
                        let _ = web.send(Message::text(self.answer(&all, is_vosk, &mut position))).await;
                    }
                    let last = if is_vosk { json!({ "text": "" }) } else { json!({ "type": "Metadata", "duration": position }) };
                    let _ = web.send(Message::text(last.to_string())).await;
                    let _ = web.close(None).await;
                    continue;
                }
                Message::Binary(bytes) if self.mood == Mood::Mumbles => {
                    all.extend_from_slice(&bytes);
                    continue;
                }
                Message::Binary(bytes) => self.answer(&bytes, is_vosk, &mut position),
                _ => continue,
            };
            if web.send(Message::text(answer)).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, bytes: &[u8], is_vosk: bool, position: &mut f64) -> String {
        let codes: Vec<u8> = if is_vosk {
            bytes.chunks(2).map(|sample| g711::encode(i16::from_le_bytes([sample[0], sample[1]]))).collect()
        } else {
            bytes.iter().map(|code| g711::encode(g711::decode(*code))).collect()
        };
        let begins = *position;
        let mut words = self.ears.hear(&codes, position);
        match self.mood {
            Mood::Babbles => return "{\"oh\": well".to_owned(),
            Mood::Floods => return json!({ "text": "flood ".repeat(500_000) }).to_string(),
            Mood::Lies => {
                let lie = |n: u64, start: f64, end: f64| (format!("lie{}", word(n)), start, end);
                words = vec![lie(1, -5.0, -4.0), lie(2, 9_000.0, 9_001.0), lie(3, 1.0, 0.5), lie(4, f64::MAX, f64::MAX)];
            }
            Mood::Faithful | Mood::Mumbles | Mood::NeverEnds | Mood::Stuck | Mood::HangsUpAfter(_) | Mood::SobersUpAfter(_) => {}
        }
        let text = words.iter().map(|(word, ..)| word.as_str()).collect::<Vec<_>>().join(" ");
        let told: Vec<Value> = words
            .iter()
            .map(|(word, start, end)| match is_vosk {
                true => json!({ "word": word, "start": start, "end": end, "conf": 0.9 }),
                false => json!({ "word": word, "start": start, "end": end, "confidence": 0.9 }),
            })
            .collect();
        let answer = match (is_vosk, words.is_empty()) {
            (true, true) => json!({ "partial": "" }),
            (true, false) => json!({ "result": told, "text": text }),
            (false, _) => json!({ "type": "Results", "is_final": true, "start": begins, "duration": *position - begins,
                "channel": { "alternatives": [{ "transcript": text, "confidence": 0.9, "words": told }] } }),
        };
        answer.to_string()
    }
}
