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
use serde_json::value::RawValue;

use crate::engine::audio::key::Key;

/// A track of a stream, as `media.track` names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Track {
    /// What Twilio receives from the party on this leg.
    Inbound,
    /// What Twilio plays to that leg.
    Outbound,
}

impl Track {
    /// Both, in the order of their indices.
    pub const BOTH: [Self; 2] = [Self::Inbound, Self::Outbound];

    /// 0 for inbound, 1 for outbound.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Inbound => 0,
            Self::Outbound => 1,
        }
    }
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
    /// It names another stream than the one whose socket it came on: nothing is done by it.
    Elsewhere,
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
    /// The payload is empty: it is no sign of a line that carries anything.
    #[error("media payload is empty")]
    Empty,
    /// A sequence number, chunk or timestamp that no stream reaches.
    #[error("message has a number above {NUMBER_MAX}")]
    Number,
}

/// Bytes of audio in one message at most: what fits a 64 KiB WebSocket message.
pub const PAYLOAD_MAX: usize = 48 * 1024;

/// No sequence number, chunk or timestamp is larger: 49 days in milliseconds, which is also what a spool can tell.
pub const NUMBER_MAX: u64 = u32::MAX as u64;

/// Reads one text message that came on the socket of `stream_sid`; empty while that is not known.
///
/// # Errors
/// [`Malformed`], never with content.
pub fn parse<'a>(text: &'a str, stream_sid: &str) -> Result<Incoming<'a>, Malformed> {
    let (meant, sid) = match media_by_template(text) {
        Some((media, sid)) => (Incoming::Media(media), Some(Cow::Borrowed(sid))),
        None => by_serde(text)?,
    };
    if !stream_sid.is_empty() && sid.is_some_and(|sid| sid != stream_sid) {
        return Ok(Incoming::Elsewhere);
    }
    Ok(meant)
}

/// The slow way, which decides what a message is.
fn by_serde(text: &str) -> Result<(Incoming<'_>, Option<Cow<'_, str>>), Malformed> {
    let raw: Raw<'_> = serde_json::from_str(text).map_err(|_| Malformed::Json)?;
    raw.meant()
}

/// Decodes a payload into `codes`, which is cleared first.
///
/// # Errors
/// [`Malformed::Payload`], [`Malformed::TooLong`] or [`Malformed::Empty`]; then `codes` is empty.
pub fn decode_payload(payload: &str, codes: &mut Vec<u8>) -> Result<(), Malformed> {
    codes.clear();
    if payload.is_empty() {
        return Err(Malformed::Empty);
    }
    let bytes = payload.len() / 4 * 3;
    if bytes > PAYLOAD_MAX {
        return Err(Malformed::TooLong);
    }
    codes.resize(bytes + 3, 0);
    let decoded = base64_simd::STANDARD.decode(payload.as_bytes(), base64_simd::Out::from_slice(codes)).map(|decoded| decoded.len());
    codes.truncate(*decoded.as_ref().unwrap_or(&0));
    decoded.map(|_| ()).map_err(|_| Malformed::Payload)
}

/// The usual shape of a media message, in either of the two key orders that are documented and seen.
fn media_by_template(text: &str) -> Option<(Media<'_>, &str)> {
    let rest = text.strip_prefix(r#"{"event":"media","sequenceNumber":""#)?;
    let (sequence, rest) = digits(rest)?;
    let rest = rest.strip_prefix(r#"","#)?;
    let (rest, first_sid) = match rest.strip_prefix(r#""streamSid":""#) {
        Some(rest) => {
            let (sid, rest) = plain(rest)?;
            (rest.strip_prefix(r#"","#)?, Some(sid))
        }
        None => (rest, None),
    };
    let rest = rest.strip_prefix(r#""media":{"track":""#)?;
    let (track, rest) = match rest.strip_prefix("inbound") {
        Some(rest) => (Track::Inbound, rest),
        None => (Track::Outbound, rest.strip_prefix("outbound")?),
    };
    let (chunk, rest) = digits(rest.strip_prefix(r#"","chunk":""#)?)?;
    let (timestamp_ms, rest) = digits(rest.strip_prefix(r#"","timestamp":""#)?)?;
    let (payload, rest) = plain(rest.strip_prefix(r#"","payload":""#)?)?;
    let sid = match first_sid {
        Some(sid) => (rest == r#""}}"#).then_some(sid)?,
        None => {
            let (sid, rest) = plain(rest.strip_prefix(r#""},"streamSid":""#)?)?;
            (rest == r#""}"#).then_some(sid)?
        }
    };
    Some((Media { track, sequence, chunk, timestamp_ms, payload: Cow::Borrowed(payload) }, sid))
}

/// Decimal digits of a number that is surely small enough, and what follows them.
fn digits(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit())?;
    if end == 0 || end > 9 {
        return None;
    }
    let value = text.as_bytes()[..end].iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    Some((value, &text[end..]))
}

/// The inside of a JSON string without escapes, and what follows it, closing quote included.
fn plain(text: &str) -> Option<(&str, &str)> {
    let end = text.find('"')?;
    let (inside, rest) = text.split_at(end);
    // Looking at every byte, found or not, is what compilers make fast.
    let special = inside.bytes().fold(false, |found, byte| found | (byte == b'\\') | (byte < b' '));
    (!special).then_some((inside, rest))
}

// === the shapes on the wire ===

/// What belongs to an event is looked at once it is known which: the rest may be of any shape.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(default, borrow)]
    sequence_number: Option<&'a RawValue>,
    #[serde(default, borrow)]
    stream_sid: Option<&'a RawValue>,
    #[serde(default, borrow)]
    start: Option<&'a RawValue>,
    #[serde(default, borrow)]
    media: Option<&'a RawValue>,
    #[serde(default, borrow)]
    dtmf: Option<&'a RawValue>,
    #[serde(default, borrow)]
    mark: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawNumber(#[serde(deserialize_with = "number")] Option<u64>);

#[derive(Deserialize)]
struct RawText<'a>(#[serde(borrow)] Cow<'a, str>);

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
    fn meant(self) -> Result<(Incoming<'a>, Option<Cow<'a, str>>), Malformed> {
        let meant = match &*self.event {
            "connected" => return Ok((Incoming::Connected, None)),
            "start" => {
                let start: RawStart<'_> = part(self.start)?;
                return Ok((Incoming::Start(Box::new(start.meant(self.sid()?)?)), None));
            }
            "media" => {
                let media: RawMedia<'_> = part(self.media)?;
                let track = match media.track.as_deref() {
                    Some("inbound") | None => Track::Inbound,
                    Some("outbound") => Track::Outbound,
                    Some(_) => return Err(Malformed::Field),
                };
                let (sequence, chunk) = (self.sequence()?, small(media.chunk.unwrap_or(0))?);
                let timestamp_ms = small(media.timestamp.ok_or(Malformed::Field)?)?;
                Incoming::Media(Media { track, sequence, chunk, timestamp_ms, payload: media.payload })
            }
            "dtmf" => {
                let digit = part::<RawDtmf<'_>>(self.dtmf)?.digit;
                let mut symbols = digit.chars();
                let key = symbols.next().filter(|_| symbols.next().is_none()).and_then(|c| Key::from_symbol(c.to_ascii_uppercase()));
                // A no with a broken number is a no: without one it stands where it came.
                Incoming::Dtmf { sequence: self.sequence().unwrap_or(0), key }
            }
            "mark" => Incoming::Mark { name: part::<RawMark<'_>>(self.mark)?.name },
            "stop" => Incoming::Stop,
            _ => return Ok((Incoming::Unknown, None)),
        };
        Ok((meant, self.sid()?))
    }

    fn sequence(&self) -> Result<u64, Malformed> {
        let Some(raw) = self.sequence_number else { return Ok(0) };
        let RawNumber(number) = serde_json::from_str(raw.get()).map_err(|_| Malformed::Json)?;
        small(number.unwrap_or(0))
    }

    fn sid(&self) -> Result<Option<Cow<'a, str>>, Malformed> {
        let Some(raw) = self.stream_sid else { return Ok(None) };
        let RawText(sid) = serde_json::from_str(raw.get()).map_err(|_| Malformed::Json)?;
        Ok(Some(sid))
    }
}

/// The object that an event is about.
fn part<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Result<T, Malformed> {
    serde_json::from_str(raw.ok_or(Malformed::Field)?.get()).map_err(|_| Malformed::Json)
}

fn small(number: u64) -> Result<u64, Malformed> {
    if number <= NUMBER_MAX { Ok(number) } else { Err(Malformed::Number) }
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
mod tests;
