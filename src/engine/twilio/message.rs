//! Messages from Twilio, `Raw → Meant`: strings that hold numbers become numbers, unknown events and fields are
//! let pass, a broken message is an error that never quotes its content (P11).
//!
//! A media message comes 50 times a second a track, always in the same shape; [`media_by_template`] reads that
//! shape with a few comparisons and gives everything else to serde, so that the fast way can only ever
//! be an abbreviation of the slow one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::engine::audio::key::Key;

/// A track of a stream, as `media.track` names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Track {
    /// What Twilio receives from the party on this leg.
    Inbound,
    /// What Twilio plays to that leg.
    Outbound,
}

/// One message, understood.
#[derive(Debug, PartialEq)]
pub enum Incoming<'a> {
    /// The socket speaks. Carries nothing of use: do not pin its version.
    Connected,
    /// The stream begins.
    Start(Box<Start>),
    /// Audio.
    Media(Media<'a>),
    /// A key, by event. Without time: its place is its sequence number.
    Dtmf {
        /// Place among the stream's messages.
        sequence: u64,
        /// The key; `None` when the digit is none of the sixteen.
        key: Option<Key>,
    },
    /// Our own mark comes back: played, flushed by a `clear`, or never buffered at all.
    Mark {
        /// The name we gave it.
        name: Cow<'a, str>,
    },
    /// The stream is over. The call need not be.
    Stop,
    /// An event that Twilio may add one day.
    Unknown,
}

/// A media message, its payload still in base64.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Media<'a> {
    /// Which track.
    pub track: Track,
    /// Place among the stream's messages.
    pub sequence: u64,
    /// Counts media messages from 1; whether per track is not documented.
    pub chunk: u64,
    /// Milliseconds since the stream began.
    pub timestamp_ms: u64,
    /// Standard base64 of raw mu-law.
    pub payload: Cow<'a, str>,
}

/// What `start` tells.
#[derive(Debug, PartialEq, Eq, Clone, Default)]
pub struct Start {
    /// `MZ…`
    pub stream_sid: String,
    /// `CA…`
    pub call_sid: String,
    /// `AC…`
    pub account_sid: String,
    /// Whether the inbound and the outbound track are sent.
    pub tracks: [bool; 2],
    /// As written in the TwiML's `<Parameter>`s.
    pub parameters: BTreeMap<String, String>,
    /// Encoding, rate and channels, when they are not mu-law, 8000 and 1: a stream we cannot read.
    pub foreign_format: Option<String>,
}

/// Why a message was not understood. Says nothing of its content.
#[derive(Debug, PartialEq, Eq, Clone, Copy, thiserror::Error)]
pub enum Malformed {
    /// Not JSON, or a field of the wrong type.
    #[error("message is not valid JSON of a media stream")]
    Json,
    /// An event without the object or field it is about.
    #[error("message lacks a field its event needs")]
    Field,
    /// The payload is not standard base64.
    #[error("media payload is not standard base64")]
    Payload,
    /// The payload is larger than any message may be.
    #[error("media payload is longer than {PAYLOAD_MAX} bytes")]
    TooLong,
}

/// Bytes of audio in one message at most: what fits a 64 KiB WebSocket message.
pub const PAYLOAD_MAX: usize = 48 * 1024;

/// Reads one text message.
///
/// # Errors
/// [`Malformed`], never with content.
pub fn parse(text: &str) -> Result<Incoming<'_>, Malformed> {
    if let Some(media) = media_by_template(text) {
        return Ok(Incoming::Media(media));
    }
    let raw: Raw<'_> = serde_json::from_str(text).map_err(|_| Malformed::Json)?;
    raw.meant()
}

/// Decodes a payload into `codes`, which is cleared first.
///
/// # Errors
/// [`Malformed::Payload`] or [`Malformed::TooLong`].
pub fn decode_payload(payload: &str, codes: &mut Vec<u8>) -> Result<(), Malformed> {
    codes.clear();
    let bytes = payload.len() / 4 * 3;
    if bytes > PAYLOAD_MAX {
        return Err(Malformed::TooLong);
    }
    codes.resize(bytes + 3, 0);
    let decoded =
        base64_simd::STANDARD.decode(payload.as_bytes(), base64_simd::Out::from_slice(codes)).map_err(|_| Malformed::Payload)?.len();
    codes.truncate(decoded);
    Ok(())
}

/// The usual shape of a media message, in either of the two key orders that are documented and seen.
fn media_by_template(text: &str) -> Option<Media<'_>> {
    let rest = text.strip_prefix(r#"{"event":"media","sequenceNumber":""#)?;
    let (sequence, rest) = digits(rest)?;
    let rest = rest.strip_prefix(r#"","#)?;
    let (rest, sid_first) = match rest.strip_prefix(r#""streamSid":""#) {
        Some(rest) => (plain(rest)?.1.strip_prefix(r#"","#)?, true),
        None => (rest, false),
    };
    let rest = rest.strip_prefix(r#""media":{"track":""#)?;
    let (track, rest) = match rest.strip_prefix("inbound") {
        Some(rest) => (Track::Inbound, rest),
        None => (Track::Outbound, rest.strip_prefix("outbound")?),
    };
    let (chunk, rest) = digits(rest.strip_prefix(r#"","chunk":""#)?)?;
    let (timestamp_ms, rest) = digits(rest.strip_prefix(r#"","timestamp":""#)?)?;
    let (payload, rest) = plain(rest.strip_prefix(r#"","payload":""#)?)?;
    let whole = if sid_first { rest == r#""}}"# } else { plain(rest.strip_prefix(r#""},"streamSid":""#)?)?.1 == r#""}"# };
    whole.then_some(Media { track, sequence, chunk, timestamp_ms, payload: Cow::Borrowed(payload) })
}

/// Decimal digits that fit, and what follows them.
fn digits(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit())?;
    if end == 0 || end > 18 {
        return None;
    }
    let value = text.as_bytes()[..end].iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    Some((value, &text[end..]))
}

/// The inside of a JSON string without escapes, and what follows it, closing quote included.
fn plain(text: &str) -> Option<(&str, &str)> {
    let end = text.find('"')?;
    let (inside, rest) = text.split_at(end);
    (!inside.as_bytes().contains(&b'\\')).then_some((inside, rest))
}

// === the shapes on the wire ===

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(default, deserialize_with = "number")]
    sequence_number: Option<u64>,
    #[serde(default, borrow)]
    stream_sid: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    start: Option<RawStart<'a>>,
    #[serde(default, borrow)]
    media: Option<RawMedia<'a>>,
    #[serde(default, borrow)]
    dtmf: Option<RawDtmf<'a>>,
    #[serde(default, borrow)]
    mark: Option<RawMark<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawStart<'a> {
    #[serde(default, borrow)]
    stream_sid: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    account_sid: Cow<'a, str>,
    #[serde(default, borrow)]
    call_sid: Cow<'a, str>,
    #[serde(default)]
    tracks: Vec<String>,
    #[serde(default)]
    media_format: Option<RawFormat>,
    #[serde(default)]
    custom_parameters: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawFormat {
    #[serde(default)]
    encoding: String,
    #[serde(default, deserialize_with = "number")]
    sample_rate: Option<u64>,
    #[serde(default, deserialize_with = "number")]
    channels: Option<u64>,
}

#[derive(Deserialize)]
struct RawMedia<'a> {
    #[serde(default, borrow)]
    track: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "number")]
    chunk: Option<u64>,
    #[serde(default, deserialize_with = "number")]
    timestamp: Option<u64>,
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Deserialize)]
struct RawDtmf<'a> {
    #[serde(borrow)]
    digit: Cow<'a, str>,
}

#[derive(Deserialize)]
struct RawMark<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

impl<'a> Raw<'a> {
    fn meant(self) -> Result<Incoming<'a>, Malformed> {
        let sequence = self.sequence_number.unwrap_or(0);
        Ok(match &*self.event {
            "connected" => Incoming::Connected,
            "start" => Incoming::Start(Box::new(self.start.ok_or(Malformed::Field)?.meant(self.stream_sid)?)),
            "media" => {
                let media = self.media.ok_or(Malformed::Field)?;
                let track = match media.track.as_deref() {
                    Some("inbound") | None => Track::Inbound,
                    Some("outbound") => Track::Outbound,
                    Some(_) => return Err(Malformed::Field),
                };
                let timestamp_ms = media.timestamp.ok_or(Malformed::Field)?;
                Incoming::Media(Media { track, sequence, chunk: media.chunk.unwrap_or(0), timestamp_ms, payload: media.payload })
            }
            "dtmf" => {
                let digit = self.dtmf.ok_or(Malformed::Field)?.digit;
                let mut symbols = digit.chars();
                let key = symbols.next().filter(|_| symbols.next().is_none()).and_then(|c| Key::from_symbol(c.to_ascii_uppercase()));
                Incoming::Dtmf { sequence, key }
            }
            "mark" => Incoming::Mark { name: self.mark.ok_or(Malformed::Field)?.name },
            "stop" => Incoming::Stop,
            _ => Incoming::Unknown,
        })
    }
}

impl RawStart<'_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of another crate, not ours")]
    fn meant(self, outer_sid: Option<Cow<'_, str>>) -> Result<Start, Malformed> {
        let stream_sid = self.stream_sid.filter(|sid| !sid.is_empty()).or(outer_sid).ok_or(Malformed::Field)?.into_owned();
        let foreign_format = self.media_format.and_then(|format| {
            let mulaw = format.encoding.eq_ignore_ascii_case("audio/x-mulaw");
            let (rate, channels) = (format.sample_rate.unwrap_or(8000), format.channels.unwrap_or(1));
            (!mulaw || rate != 8000 || channels != 1).then(|| format!("{} at {rate} Hz, {channels} channels", format.encoding))
        });
        let has = |name: &str| self.tracks.iter().any(|track| track == name);
        let parameters = self.custom_parameters.unwrap_or_default();
        Ok(Start {
            stream_sid,
            call_sid: self.call_sid.into_owned(),
            account_sid: self.account_sid.into_owned(),
            tracks: [has("inbound") || self.tracks.is_empty(), has("outbound")],
            parameters: parameters
                .into_iter()
                .map(|(name, value)| {
                    let value = match value {
                        serde_json::Value::String(text) => text,
                        other => other.to_string(),
                    };
                    (name, value)
                })
                .collect(),
            foreign_format,
        })
    }
}

/// A number, or a string that holds one: Twilio's pages show strings, its own sample types them as numbers.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    struct Either;
    impl de::Visitor<'_> for Either {
        type Value = Option<u64>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a whole number, or a string that holds one")
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
            Ok(Some(value))
        }
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
            u64::try_from(value).map(Some).map_err(|_| E::custom("negative number"))
        }
        fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be whole and small")]
            if value.fract() == 0.0 && (0.0..1e15).contains(&value) { Ok(Some(value as u64)) } else { Err(E::custom("not a whole number")) }
        }
        fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
            value.parse().map(Some).map_err(|_| E::custom("not a number"))
        }
        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }
    from.deserialize_any(Either)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media<'a>(text: &'a str) -> Media<'a> {
        match parse(text).unwrap() {
            Incoming::Media(media) => media,
            other => panic!("not media: {other:?}"),
        }
    }

    #[test]
    fn the_template_and_serde_read_the_same() {
        let usual = r#"{"event":"media","sequenceNumber":"4","media":{"track":"inbound","chunk":"2","timestamp":"155","payload":"//9/fw=="},"streamSid":"MZ1"}"#;
        let documented = r#"{"event":"media","sequenceNumber":"4","streamSid":"MZ1","media":{"track":"inbound","chunk":"2","timestamp":"155","payload":"//9/fw=="}}"#;
        let spaced = r#"{ "event": "media", "sequenceNumber": 4, "streamSid": "MZ1", "extra": [1], "media": { "track": "inbound", "chunk": 2, "timestamp": "155", "payload": "\/\/9\/fw==", "more": {} } }"#;
        assert!(media_by_template(usual).is_some() && media_by_template(documented).is_some() && media_by_template(spaced).is_none());
        assert_eq!(media(usual), media(documented));
        assert_eq!(media(usual), media(spaced));
    }

    #[test]
    fn what_the_template_takes_serde_takes_too() {
        // Truncations and one-byte edits of a template message: whoever accepts, both read the same.
        let usual = r#"{"event":"media","sequenceNumber":"4","media":{"track":"outbound","chunk":"2","timestamp":"155","payload":"/w=="},"streamSid":"MZ1"}"#;
        for at in 0..usual.len() {
            for with in ['"', '\\', '0', 'x', '}', ' '] {
                let mut edited = usual.to_owned();
                edited.replace_range(at..=at, &with.to_string());
                if let Some(fast) = media_by_template(&edited) {
                    let slow: Raw<'_> = serde_json::from_str(&edited).unwrap_or_else(|why| panic!("{edited}: {why}"));
                    assert_eq!(Incoming::Media(fast), slow.meant().unwrap(), "{edited}");
                }
            }
            assert!(media_by_template(&usual[..at]).is_none());
        }
    }

    #[test]
    fn start_takes_strings_and_numbers_and_unknown_fields() {
        let text = r#"{"event":"start","sequenceNumber":"1","streamSid":"MZ1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"callId":"c1","n":7},"future":true}}"#;
        let Incoming::Start(start) = parse(text).unwrap() else { panic!() };
        assert_eq!((start.stream_sid.as_str(), start.call_sid.as_str(), start.tracks), ("MZ1", "CA1", [true, false]));
        assert_eq!(start.parameters["callId"], "c1");
        assert_eq!(start.parameters["n"], "7");
        assert_eq!(start.foreign_format, None);
        let foreign = text.replace("audio/x-mulaw", "audio/l16").replace("8000", "\"16000\"");
        let Incoming::Start(start) = parse(&foreign).unwrap() else { panic!() };
        assert_eq!(start.foreign_format.as_deref(), Some("audio/l16 at 16000 Hz, 1 channels"));
    }

    #[test]
    fn keys_marks_stops_and_the_unknown() {
        let dtmf = |digit: &str| {
            parse(&format!(
                r#"{{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"5","dtmf":{{"track":"inbound_track","digit":"{digit}"}}}}"#
            ))
            .map(|m| format!("{m:?}"))
        };
        assert_eq!(dtmf("2").unwrap(), "Dtmf { sequence: 5, key: Some(Key(•)) }");
        assert_eq!(dtmf("22").unwrap(), "Dtmf { sequence: 5, key: None }");
        assert_eq!(
            parse(r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"m"}}"#).unwrap(),
            Incoming::Mark { name: "m".into() }
        );
        assert_eq!(
            parse(r#"{"event":"stop","sequenceNumber":"5","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#).unwrap(),
            Incoming::Stop
        );
        assert_eq!(parse(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#).unwrap(), Incoming::Connected);
        assert_eq!(parse(r#"{"event":"transcription"}"#).unwrap(), Incoming::Unknown);
    }

    #[test]
    fn what_is_broken_says_so_without_quoting_itself() {
        assert_eq!(parse("5551234"), Err(Malformed::Json));
        assert_eq!(parse(r#"{"event":"media"}"#), Err(Malformed::Field));
        assert_eq!(parse(r#"{"event":"media","media":{"track":"inbound","payload":"/w=="}}"#), Err(Malformed::Field));
        assert_eq!(parse(r#"{"event":"mark"}"#), Err(Malformed::Field));
        let mut codes = Vec::new();
        assert_eq!(decode_payload("a?b=", &mut codes), Err(Malformed::Payload));
        assert_eq!(decode_payload(&"A".repeat(PAYLOAD_MAX * 2), &mut codes), Err(Malformed::TooLong));
        decode_payload("//9/fw==", &mut codes).unwrap();
        assert_eq!(codes, [0xFF, 0xFF, 0x7F, 0x7F]);
    }
}
