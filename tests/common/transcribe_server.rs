//! A stand-in for Amazon Transcribe's streams: event-stream messages over HTTP, the request's signature and every message's checked.
//! It hears what the other recognisers' stand-in hears, and tells partial results, which are wrong, before those that stand.

use std::sync::{Arc, Mutex};

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder, read_message_from, write_headers_to, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::BytesMut;
use callgate::engine::audio::g711;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::recogniser::{Ears, Spoken};
use super::sigv4::{Signed, signed};

const ACCESS_KEY: &str = "AKIDTRANSCRIBETEST";
const SECRET_KEY: &str = "another secret of the tests alone";
const PATH: &str = "/stream-transcription";

/// How it behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    Faithful,
    /// The caller may not.
    Denies,
    /// In its first stream it breaks off in the middle of a message, after so many of audio.
    BreaksOnceAfter(usize),
    /// Every stream ends with an exception.
    Fails,
}

pub struct TranscribeServer {
    pub endpoint: String,
    pub state: Arc<Transcribe>,
}

pub struct Transcribe {
    mood: Mood,
    pub ears: Ears,
    /// What each stream was asked for: its headers.
    pub asked: Mutex<Vec<HeaderMap>>,
    /// Streams that were ended as they should be.
    pub ended: Mutex<usize>,
    /// What a caller did that Amazon would not have taken.
    pub wrong: Mutex<Vec<String>>,
}

impl TranscribeServer {
    pub async fn start(mood: Mood, said: &[(u64, &'static str)]) -> Self {
        let state = Transcribe { mood, ears: Ears::new(said), asked: Mutex::default(), ended: Mutex::default(), wrong: Mutex::default() };
        let state = Arc::new(state);
        let router = Router::new().route(PATH, post(answer)).with_state(Arc::clone(&state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, state }
    }

    /// What a gateway needs to find it. No region: the configuration names it.
    pub fn environment(&self) -> Vec<(&str, &str)> {
        vec![
            ("AWS_ENDPOINT_URL_TRANSCRIBE_STREAMING", &self.endpoint),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("CALLGATE_TRANSCRIBER", "aws://eu-west-1"),
        ]
    }
}

async fn answer(State(server): State<Arc<Transcribe>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let nth = {
        let mut asked = server.asked.lock().unwrap();
        asked.push(parts.headers.clone());
        asked.len()
    };
    let Some(signed) = signed("transcribe", PATH, &parts.headers, b"", ACCESS_KEY, SECRET_KEY) else {
        return refused("InvalidSignatureException");
    };
    if server.mood == Mood::Denies {
        return refused("AccessDeniedException");
    }
    let (tell, mut told) = unbounded_channel();
    tokio::spawn(async move {
        if let Err(wrong) = server.hear(body, signed, nth, &tell).await {
            server.wrong.lock().unwrap().push(wrong);
        }
    });
    let events = Body::from_stream(futures_util::stream::poll_fn(move |context| told.poll_recv(context)));
    ([("content-type", "application/vnd.amazon.eventstream")], events).into_response()
}

impl Transcribe {
    /// A stream to its end, or what was wrong with it.
    async fn hear(&self, body: Body, mut signed: Signed, nth: usize, tell: &UnboundedSender<std::io::Result<Bytes>>) -> Result<(), String> {
        let say = |bytes: Bytes| drop(tell.send(Ok(bytes)));
        let (mut body, mut decoder, mut buffer) = (body.into_data_stream(), MessageFrameDecoder::new(), BytesMut::new());
        let (mut position, mut messages, mut held) = (0.0, 0, Vec::new());
        loop {
            let DecodedFrame::Complete(wrapper) = decoder.decode_frame(&mut buffer).map_err(|why| why.to_string())? else {
                match body.next().await {
                    Some(Ok(bytes)) => buffer.extend_from_slice(&bytes),
                    Some(Err(_)) => return Ok(()),
                    None => return Err("the request ended without an empty message".into()),
                }
                continue;
            };
            if !is_next(&mut signed, &wrapper) {
                return Err("a message's signature is not the next".into());
            }
            if wrapper.payload().is_empty() {
                *self.ended.lock().unwrap() += 1;
                say(event(&results(&held, false)));
                return Ok(());
            }
            let inner = read_message_from(wrapper.payload().clone()).map_err(|why| why.to_string())?;
            if text(&inner, ":event-type") != "AudioEvent" || text(&inner, ":content-type") != "application/octet-stream" {
                return Err(format!("no audio: {:?}", inner.headers()));
            }
            messages += 1;
            match self.mood {
                Mood::BreaksOnceAfter(most) if nth == 1 && messages > most => {
                    say(event(&results(&held, false)).slice(..40));
                    let _ = tell.send(Err(std::io::Error::other("as the test wants it")));
                    return Ok(());
                }
                Mood::Fails => {
                    let kind = [(":message-type", "exception"), (":exception-type", "LimitExceededException")];
                    say(message(&kind, &json!({ "Message": "framebcde was one too many" })));
                    // Over HTTP/1.1 whoever hangs up with something unread takes back what was said.
                    while body.next().await.is_some() {}
                    return Ok(());
                }
                Mood::Faithful | Mood::Denies | Mood::BreaksOnceAfter(_) => {}
            }
            // What it heard stands when it has heard what follows.
            let before = std::mem::take(&mut held);
            let codes = inner.payload().chunks(2).map(|sample| g711::encode(i16::from_le_bytes([sample[0], sample[1]])));
            held = self.ears.hear(&codes.collect::<Vec<_>>(), &mut position);
            say(event(&results(&before, false)));
            let guess: Vec<_> = held.iter().map(|(_, start, end)| ("partialguess".to_owned(), *start, *end)).collect();
            say(event(&results(&guess, true)));
        }
    }
}

/// The signature of a wrapper, and what is signed of it.
fn is_next(signed: &mut Signed, wrapper: &Message) -> bool {
    let value = |name: &str| wrapper.headers().iter().find(|header| header.name().as_str() == name).map(|header| header.value().clone());
    let (Some(HeaderValue::ByteArray(signature)), Some(HeaderValue::Timestamp(date))) = (value(":chunk-signature"), value(":date")) else {
        return false;
    };
    let mut header = Vec::new();
    write_headers_to(&[Header::new(":date", HeaderValue::Timestamp(date))], &mut header).unwrap();
    let at = time::OffsetDateTime::from_unix_timestamp(date.secs()).unwrap();
    let (day, clock) = (at.date(), at.time());
    let date_time = format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        day.year(),
        u8::from(day.month()),
        day.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    );
    signed.goes_on(&signature, &date_time, &header, wrapper.payload())
}

fn text(message: &Message, name: &str) -> String {
    let header = message.headers().iter().find(|header| header.name().as_str() == name);
    header.and_then(|header| header.value().as_string().ok()).map(|text| text.as_str().to_owned()).unwrap_or_default()
}

fn results(words: &[Spoken], is_partial: bool) -> Value {
    let (Some((_, start, _)), Some((.., end))) = (words.first(), words.last()) else { return json!([]) };
    let said = words.iter().map(|(word, ..)| word.as_str()).collect::<Vec<_>>().join(" ");
    let items: Vec<_> = words
        .iter()
        .map(|(word, start, end)| {
            json!({ "Content": word, "StartTime": start, "EndTime": end, "Type": "pronunciation", "Confidence": 0.9,
                    "Stable": !is_partial, "VocabularyFilterMatch": false })
        })
        .collect();
    json!([{ "ResultId": "r", "ChannelId": "ch_0", "StartTime": start, "EndTime": end, "IsPartial": is_partial,
             "Alternatives": [{ "Transcript": said, "Items": items }] }])
}

fn event(results: &Value) -> Bytes {
    let kind = [(":message-type", "event"), (":event-type", "TranscriptEvent")];
    message(&kind, &json!({ "Transcript": { "Results": results } }))
}

fn message(kind: &[(&'static str, &'static str)], payload: &Value) -> Bytes {
    let header = |(name, value): (&'static str, &'static str)| Header::new(name, HeaderValue::String(value.into()));
    let mut message = Message::new(payload.to_string().into_bytes());
    for kind in kind.iter().copied().chain([(":content-type", "application/json")]) {
        message = message.add_header(header(kind));
    }
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).unwrap();
    bytes.into()
}

fn refused(code: &'static str) -> Response {
    let told = json!({ "Message": "as the test wants it" }).to_string();
    (StatusCode::FORBIDDEN, [("x-amzn-errortype", code), ("content-type", "application/x-amz-json-1.1")], told).into_response()
}
