//! We as Twilio: what a voice bot is told on its WebSocket, shape for shape, and what it says there. A bot that was written for
//! Twilio's media streams needs no change but its address.
//!
//! Counters are strings, rate and channels numbers; `connected` has neither `streamSid` nor a sequence number, and one counter
//! numbers everything after it. (Twilio, "Media Streams – WebSocket Messages".)

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::message::Malformed;
use crate::engine::audio::key::Key;
use crate::engine::time::MediaTime;

/// Audio in one message of a bot at most: a minute and a half.
pub const BOT_PAYLOAD_MAX: usize = 720 * 1024;

/// Writes the messages of one stream.
#[derive(Clone, Debug)]
pub struct Speaker {
    stream_sid: String,
    call_sid: String,
    account_sid: String,
    sequence: u64,
    chunk: u64,
}

/// What a bot says.
#[derive(PartialEq, Eq)]
pub enum FromBot<'a> {
    /// Audio, still in base64.
    Media(Cow<'a, str>),
    /// A mark.
    Mark(Cow<'a, str>),
    /// What it said is taken back.
    Clear,
    /// About another stream, or nothing that Twilio would know: let pass.
    Unknown,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Connected {
    event: &'static str,
    protocol: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a, T: Serialize> {
    event: &'static str,
    sequence_number: String,
    #[serde(flatten)]
    about: T,
    stream_sid: &'a str,
}

#[derive(Serialize)]
struct AboutStart<'a> {
    start: StartPart<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StartPart<'a> {
    account_sid: &'a str,
    stream_sid: &'a str,
    call_sid: &'a str,
    tracks: [&'static str; 1],
    media_format: Format,
    custom_parameters: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Format {
    encoding: &'static str,
    sample_rate: u32,
    channels: u32,
}

#[derive(Serialize)]
struct AboutMedia {
    media: MediaPart,
}

#[derive(Serialize)]
struct MediaPart {
    track: &'static str,
    chunk: String,
    timestamp: String,
    payload: String,
}

#[derive(Serialize)]
struct AboutDtmf {
    dtmf: DtmfPart,
}

#[derive(Serialize)]
struct DtmfPart {
    track: &'static str,
    digit: String,
}

#[derive(Serialize)]
struct AboutMark<'a> {
    mark: Name<'a>,
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct AboutStop<'a> {
    stop: StopPart<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StopPart<'a> {
    account_sid: &'a str,
    call_sid: &'a str,
}

impl Speaker {
    /// For the stream that Twilio calls so.
    #[must_use]
    pub const fn new(stream_sid: String, call_sid: String, account_sid: String) -> Self {
        Self { stream_sid, call_sid, account_sid, sequence: 0, chunk: 0 }
    }

    /// The stream's id, which everything that a bot says must name.
    #[must_use]
    pub fn stream_sid(&self) -> &str {
        &self.stream_sid
    }

    /// The first message.
    #[must_use]
    pub fn connected() -> String {
        text(&Connected { event: "connected", protocol: "Call", version: "1.0.0" })
    }

    /// The second.
    #[must_use]
    pub fn start(&mut self, parameters: &BTreeMap<String, String>) -> String {
        let sequence_number = self.next();
        let start = StartPart {
            account_sid: &self.account_sid,
            stream_sid: &self.stream_sid,
            call_sid: &self.call_sid,
            tracks: ["inbound"],
            media_format: Format { encoding: "audio/x-mulaw", sample_rate: 8_000, channels: 1 },
            custom_parameters: parameters,
        };
        text(&Envelope { event: "start", sequence_number, about: AboutStart { start }, stream_sid: &self.stream_sid })
    }

    /// Audio of the inbound track.
    #[must_use]
    pub fn media(&mut self, timestamp: MediaTime, codes: &[u8]) -> String {
        self.chunk += 1;
        let media = MediaPart {
            track: "inbound",
            chunk: self.chunk.to_string(),
            timestamp: timestamp.0.to_string(),
            payload: base64_simd::STANDARD.encode_to_string(codes),
        };
        self.about("media", AboutMedia { media })
    }

    /// A key.
    #[must_use]
    pub fn dtmf(&mut self, key: Key) -> String {
        self.about("dtmf", AboutDtmf { dtmf: DtmfPart { track: "inbound_track", digit: key.symbol().to_string() } })
    }

    /// A mark comes back.
    #[must_use]
    pub fn mark(&mut self, name: &str) -> String {
        self.about("mark", AboutMark { mark: Name { name } })
    }

    /// The last message.
    #[must_use]
    pub fn stop(&mut self) -> String {
        let sequence_number = self.next();
        let stop = StopPart { account_sid: &self.account_sid, call_sid: &self.call_sid };
        text(&Envelope { event: "stop", sequence_number, about: AboutStop { stop }, stream_sid: &self.stream_sid })
    }

    fn about<T: Serialize>(&mut self, event: &'static str, about: T) -> String {
        let sequence_number = self.next();
        text(&Envelope { event, sequence_number, about, stream_sid: &self.stream_sid })
    }

    fn next(&mut self) -> String {
        self.sequence += 1;
        self.sequence.to_string()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(default, borrow)]
    stream_sid: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    media: Option<&'a RawValue>,
    #[serde(default, borrow)]
    mark: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawMedia<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Deserialize)]
struct RawMark<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// Reads one text message of the bot that serves `stream_sid`. Twilio knows three; it warns of any other, and goes on.
///
/// # Errors
/// [`Malformed`], never with content.
pub fn parse<'a>(message: &'a str, stream_sid: &str) -> Result<FromBot<'a>, Malformed> {
    let raw: Raw<'a> = serde_json::from_str(message).map_err(|_| Malformed::Json)?;
    if raw.stream_sid.as_deref() != Some(stream_sid) {
        return Ok(FromBot::Unknown);
    }
    let part = |raw: Option<&'a RawValue>| raw.ok_or(Malformed::Field).map(RawValue::get);
    match &*raw.event {
        "media" => {
            let RawMedia { payload } = serde_json::from_str(part(raw.media)?).map_err(|_| Malformed::Json)?;
            Ok(FromBot::Media(payload))
        }
        "mark" => {
            let RawMark { name } = serde_json::from_str(part(raw.mark)?).map_err(|_| Malformed::Json)?;
            Ok(FromBot::Mark(name))
        }
        "clear" => Ok(FromBot::Clear),
        _ => Ok(FromBot::Unknown),
    }
}

/// The audio of a bot's message.
///
/// # Errors
/// [`Malformed::Payload`] or [`Malformed::TooLong`].
pub fn decode(payload: &str) -> Result<Vec<u8>, Malformed> {
    if payload.len() / 4 * 3 > BOT_PAYLOAD_MAX {
        return Err(Malformed::TooLong);
    }
    base64_simd::STANDARD.decode_to_vec(payload).map_err(|_| Malformed::Payload)
}

fn text(message: &impl Serialize) -> String {
    // Strings and numbers only: serde_json cannot fail on them.
    serde_json::to_string(message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::twilio::message::{self, Incoming};

    #[test]
    fn every_message_is_twilios_own_shape() {
        let mut speaker = Speaker::new("MZ1".into(), "CA1".into(), "AC1".into());
        let parameters = BTreeMap::from([("callId".to_owned(), "call_1".to_owned())]);
        assert_eq!(Speaker::connected(), r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
        assert_eq!(
            speaker.start(&parameters),
            concat!(
                r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1","tracks":["inbound"],"#,
                r#""mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"callId":"call_1"}},"streamSid":"MZ1"}"#
            )
        );
        let media = speaker.media(MediaTime(20), &[0xFF, 0x7F]);
        assert_eq!(
            media,
            r#"{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1","timestamp":"20","payload":"/38="},"streamSid":"MZ1"}"#
        );
        assert!(matches!(message::parse(&media, "MZ1"), Ok(Incoming::Media(_))), "we would understand it ourselves");
        assert_eq!(
            speaker.dtmf(Key::from_symbol('#').unwrap()),
            r##"{"event":"dtmf","sequenceNumber":"3","dtmf":{"track":"inbound_track","digit":"#"},"streamSid":"MZ1"}"##
        );
        assert_eq!(speaker.mark("a\"b"), r#"{"event":"mark","sequenceNumber":"4","mark":{"name":"a\"b"},"streamSid":"MZ1"}"#);
        assert_eq!(
            speaker.stop(),
            r#"{"event":"stop","sequenceNumber":"5","stop":{"accountSid":"AC1","callSid":"CA1"},"streamSid":"MZ1"}"#
        );
    }

    #[test]
    fn a_bot_is_understood_as_twilio_understands_it() {
        let told = |text: &'static str| parse(text, "MZ1");
        assert!(told(r#"{"event":"media","streamSid":"MZ1","media":{"payload":"/38="}}"#) == Ok(FromBot::Media("/38=".into())));
        assert!(told(r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"a\"b"}}"#) == Ok(FromBot::Mark("a\"b".into())));
        assert!(told(r#"{"event":"clear","streamSid":"MZ1"}"#) == Ok(FromBot::Clear));
        assert!(told(r#"{"event":"clear","streamSid":"MZ2"}"#) == Ok(FromBot::Unknown), "another stream's");
        assert!(told(r#"{"event":"clear"}"#) == Ok(FromBot::Unknown), "no stream's");
        assert!(told(r#"{"event":"hello","streamSid":"MZ1"}"#) == Ok(FromBot::Unknown));
        assert!(told(r#"{"event":"mark","streamSid":"MZ1"}"#) == Err(Malformed::Field));
        assert!(told(r#"{"event":"media","streamSid":"MZ1","media":{"payload":7}}"#) == Err(Malformed::Json));
        assert!(told("{").is_err());
        assert_eq!(decode("/38="), Ok(vec![0xFF, 0x7F]));
        assert_eq!(decode("?"), Err(Malformed::Payload));
        assert_eq!(decode(&"A".repeat(BOT_PAYLOAD_MAX * 2)), Err(Malformed::TooLong));
    }
}
