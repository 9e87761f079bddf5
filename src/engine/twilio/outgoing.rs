//! Messages to Twilio. Exactly three shapes are accepted on the wire (warning 31951 for anything else, reported once
//! a stream, so only the first fault would ever be seen): `media`, `mark`, `clear`.

use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    event: &'static str,
    stream_sid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<Name<'a>>,
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

/// Audio to play, in mu-law of any length. Written by hand, as it is what is said most: base64 needs no escapes, the stream's name may.
#[must_use]
pub fn media(stream_sid: &str, codes: &[u8]) -> String {
    let mut text = String::with_capacity(128 + codes.len().div_ceil(3) * 4);
    text.push_str(r#"{"event":"media","streamSid":"#);
    text.push_str(&serde_json::to_string(stream_sid).unwrap_or_default());
    text.push_str(r#","media":{"payload":""#);
    base64_simd::STANDARD.encode_append(codes, &mut text);
    text.push_str(r#""}}"#);
    text
}

/// A mark, which comes back once what was sent before it has been played, or cleared.
#[must_use]
pub fn mark(stream_sid: &str, name: &str) -> String {
    text(&Envelope { event: "mark", stream_sid, mark: Some(Name { name }) })
}

/// Empties the play-out buffer; all pending marks come back.
#[must_use]
pub fn clear(stream_sid: &str) -> String {
    text(&Envelope { event: "clear", stream_sid, mark: None })
}

fn text(envelope: &Envelope<'_>) -> String {
    // Strings only: serde_json cannot fail on them.
    serde_json::to_string(envelope).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_three_shapes_are_exact() {
        assert_eq!(super::media("MZ1", &[0xFF, 0x7F]), r#"{"event":"media","streamSid":"MZ1","media":{"payload":"/38="}}"#);
        assert!(super::media("M\"Z", &[]).contains(r#""M\"Z""#), "a name is escaped");
        assert_eq!(super::mark("MZ1", "a\"b"), r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"a\"b"}}"#);
        assert_eq!(super::clear("MZ1"), r#"{"event":"clear","streamSid":"MZ1"}"#);
    }
}
