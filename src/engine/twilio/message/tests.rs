//! What must hold of reading Twilio's messages: both ways read the same, nothing panics, nothing is quoted.

use proptest::prelude::*;

use super::*;

fn media<'a>(text: &'a str) -> Media<'a> {
    match parse(text, "").unwrap() {
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

/// What a message comes to in the end: audio and where it lies, or why not.
fn come_to(read: Result<Incoming<'_>, Malformed>) -> Result<String, Malformed> {
    Ok(match read? {
        Incoming::Media(media) => {
            let mut codes = vec![7; 9];
            decode_payload(&media.payload, &mut codes)?;
            format!("{:?} {} {} {} {codes:?}", media.track, media.sequence, media.chunk, media.timestamp_ms)
        }
        other => format!("{other:?}"),
    })
}

fn agree(text: &str) {
    let slow = by_serde(text);
    if let Some((fast, sid)) = media_by_template(text) {
        assert_eq!(slow, Ok((Incoming::Media(fast), Some(Cow::Borrowed(sid)))), "{text}");
    }
    for own in ["", "MZ1"] {
        let meant = by_serde(text).map(|(meant, sid)| match sid {
            Some(sid) if !own.is_empty() && sid != own => Incoming::Elsewhere,
            _ => meant,
        });
        assert_eq!(come_to(parse(text, own)), come_to(meant), "{text}");
    }
}

#[test]
fn what_the_template_takes_serde_takes_too() {
    // Truncations and one-byte edits of a template message: whoever accepts, both read the same.
    let usual = r#"{"event":"media","sequenceNumber":"4","media":{"track":"outbound","chunk":"2","timestamp":"155","payload":"/w=="},"streamSid":"MZ1"}"#;
    for at in 0..usual.len() {
        for with in ['"', '\\', '0', 'x', '}', ' ', '\n', '\u{1}', 'ü', '☎'] {
            let mut edited = usual.to_owned();
            edited.replace_range(at..=at, &with.to_string());
            agree(&edited);
        }
        assert!(media_by_template(&usual[..at]).is_none());
        agree(&usual[..at]);
    }
}

/// A number as it may be written, well or badly.
fn number_text() -> impl Strategy<Value = String> {
    let whole = prop_oneof![0u64..200, any::<u32>().prop_map(u64::from), any::<u64>()];
    prop_oneof![
        8 => whole.clone().prop_map(|n| format!("\"{n}\"")),
        4 => whole.prop_map(|n| n.to_string()),
        1 => any::<i64>().prop_map(|n| n.to_string()),
        1 => any::<f64>().prop_map(|n| n.to_string()),
        1 => "[0-9]{1,40}".prop_map(|n| format!("\"{n}\"")),
        1 => prop::sample::select(vec!["null", "true", "\"\"", "\"+5\"", "\"-1\"", "\"0x10\"", "1e3", "\"1e3\"", "[]", "{}", "\" 5\""])
            .prop_map(str::to_owned),
    ]
}

fn payload_text() -> impl Strategy<Value = String> {
    let encode = |bytes: Vec<u8>| base64_simd::STANDARD.encode_to_string(bytes);
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 1..400).prop_map(encode),
        2 => (1usize..65_536).prop_map(move |length| encode(vec![0x7F; length])),
        2 => prop::collection::vec(any::<u8>(), 1..40).prop_map(move |bytes| encode(bytes).replace('/', r"\/")),
        1 => prop::collection::vec(any::<u8>(), 1..40).prop_map(move |bytes| encode(bytes).replace('=', "")),
        2 => "[A-Za-z0-9+/=]{0,12}",
        1 => "[A-Za-z0-9+/= _-]{0,12}",
        1 => "\\PC{0,12}".prop_map(|text| text.replace(['"', '\\'], "")),
        1 => Just(String::new()),
    ]
}

/// What turns a message into another, or into none.
fn edit_symbol() -> impl Strategy<Value = char> {
    prop_oneof![1 => any::<char>(), 2 => prop::sample::select("\"\\\n\u{1}0 ,}x".chars().collect::<Vec<_>>())]
}

/// A media message: in either of the usual orders, or any, with and without what nobody has asked for.
fn media_text() -> impl Strategy<Value = String> {
    let track = prop_oneof![8 => Just("\"inbound\""), 4 => Just("\"outbound\""), 1 => Just("\"both\""), 1 => Just("null"), 1 => Just(r#""in\u0062ound""#)];
    let sid = prop_oneof![8 => Just("\"MZ1\"".to_owned()), 1 => Just("\"MZ2\"".to_owned()), 1 => Just("5".to_owned()), 1 => "\\PC{0,6}".prop_map(|text| format!("{text:?}"))];
    let parts = (number_text(), sid, track, number_text(), number_text(), payload_text());
    (parts, 0u8..4, any::<bool>()).prop_map(|((sequence, sid, track, chunk, timestamp, payload), order, more)| {
        let more = if more && order > 1 { r#","future":{"payload":"/w==","deep":[[{}]]}"# } else { "" };
        let media = format!(r#""media":{{"track":{track},"chunk":{chunk},"timestamp":{timestamp},"payload":"{payload}"{more}}}"#);
        let (sequence, sid) = (format!(r#""sequenceNumber":{sequence}"#), format!(r#""streamSid":{sid}"#));
        match order {
            0 => format!(r#"{{"event":"media",{sequence},{media},{sid}}}"#),
            1 => format!(r#"{{"event":"media",{sequence},{sid},{media}}}"#),
            2 => format!("{{\t{media} ,{sid}, \n{sequence}, \"event\" : \"media\"{more} }}\r\n"),
            _ => format!(r#"{{"event":"m\u0065dia",{media}{more}}}"#),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn both_ways_agree_on_every_message_that_either_takes(
        text in media_text(), edit in prop::option::weighted(0.4, (any::<prop::sample::Index>(), edit_symbol())), cut in prop::option::weighted(0.1, any::<prop::sample::Index>())
    ) {
        let mut symbols: Vec<char> = text.chars().collect();
        if let Some((at, with)) = edit {
            let at = at.index(symbols.len());
            symbols[at] = with;
        }
        if let Some(cut) = cut {
            symbols.truncate(cut.index(symbols.len()));
        }
        agree(&symbols.into_iter().collect::<String>());
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}", event in "start|media|dtmf|mark|stop|connected|future", value in "[0-9]|null|\\{\\}|\\[\\]|\"x\"") {
        agree(&text);
        agree(&format!(r#"{{"event":"{event}","{event}":{value}}}"#));
        agree(&format!(r#"{{"event":"{event}","start":{value},"media":{value},"dtmf":{value},"mark":{value},"sequenceNumber":{value}}}"#));
    }

    #[test]
    fn payloads_are_what_another_decoder_says(payload in payload_text()) {
        use base64::Engine as _;
        let mut codes = vec![1, 2, 3];
        let ours = decode_payload(&payload, &mut codes);
        match base64::engine::general_purpose::STANDARD.decode(&payload) {
            Ok(bytes) if bytes.is_empty() => prop_assert_eq!(ours, Err(Malformed::Empty)),
            Ok(bytes) if bytes.len() > PAYLOAD_MAX => prop_assert_eq!(ours, Err(Malformed::TooLong)),
            Ok(bytes) => prop_assert!(ours.is_ok() && codes == bytes),
            Err(_) => prop_assert!(ours.is_err() && codes.is_empty()),
        }
    }
}

#[test]
fn what_an_event_is_not_about_may_be_of_any_shape() {
    assert_eq!(
        parse(r#"{"event":"future","start":5,"media":"x","dtmf":[],"sequenceNumber":{},"streamSid":7}"#, "MZ1"),
        Ok(Incoming::Unknown)
    );
    assert_eq!(parse(r#"{"event":"stop","media":5}"#, "MZ1"), Ok(Incoming::Stop));
}

#[test]
fn a_message_of_another_stream_does_nothing_here() {
    for text in [
        r#"{"event":"media","sequenceNumber":"4","media":{"track":"inbound","chunk":"2","timestamp":"155","payload":"/w=="},"streamSid":"MZ2"}"#,
        r#"{"event":"dtmf","streamSid":"MZ2","sequenceNumber":"5","dtmf":{"digit":"1"}}"#,
        r#"{"event":"mark","streamSid":"MZ2","mark":{"name":"m"}}"#,
        r#"{"event":"stop","streamSid":"MZ2"}"#,
    ] {
        assert_eq!(parse(text, "MZ1"), Ok(Incoming::Elsewhere), "{text}");
        assert_ne!(parse(text, "MZ2"), Ok(Incoming::Elsewhere), "{text}");
        assert_ne!(parse(text, ""), Ok(Incoming::Elsewhere), "{text}");
    }
}

#[test]
fn a_number_that_no_stream_reaches_is_refused_but_a_key_is_a_key() {
    let media = |n: &str| format!(r#"{{"event":"media","media":{{"chunk":1,"timestamp":{n},"payload":"/w=="}}}}"#);
    assert!(parse(&media("4294967295"), "").is_ok());
    for n in ["4294967296", "\"18446744073709551615\"", "1e14"] {
        assert_eq!(parse(&media(n), ""), Err(Malformed::Number), "{n}");
    }
    let key = Key::from_symbol('2');
    for sequence in ["\"18446744073709551615\"", "{}", "\"x\"", "null"] {
        let text = format!(r#"{{"event":"dtmf","sequenceNumber":{sequence},"dtmf":{{"digit":"2"}}}}"#);
        assert_eq!(parse(&text, ""), Ok(Incoming::Dtmf { sequence: 0, key }), "{sequence}");
    }
}

#[test]
fn start_takes_strings_and_numbers_and_unknown_fields() {
    let text = r#"{"event":"start","sequenceNumber":"1","streamSid":"MZ1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"callId":"c1","n":7},"future":true}}"#;
    let Incoming::Start(start) = parse(text, "").unwrap() else { panic!() };
    assert_eq!((start.stream_sid.as_str(), start.call_sid.as_str(), start.tracks), ("MZ1", "CA1", [true, false]));
    assert_eq!(start.parameters["callId"], "c1");
    assert_eq!(start.parameters["n"], "7");
    assert_eq!(start.foreign_format, None);
    let foreign = text.replace("audio/x-mulaw", "audio/l16").replace("8000", "\"16000\"");
    let Incoming::Start(start) = parse(&foreign, "").unwrap() else { panic!() };
    assert_eq!(start.foreign_format.as_deref(), Some("audio/l16 at 16000 Hz, 1 channels"));
}

#[test]
fn keys_marks_stops_and_the_unknown() {
    let dtmf = |digit: &str| {
        parse(
            &format!(r#"{{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"5","dtmf":{{"track":"inbound_track","digit":"{digit}"}}}}"#),
            "",
        )
        .map(|m| format!("{m:?}"))
    };
    assert_eq!(dtmf("2").unwrap(), "Dtmf { sequence: 5, key: Some(Key(•)) }");
    assert_eq!(dtmf("22").unwrap(), "Dtmf { sequence: 5, key: None }");
    assert_eq!(
        parse(r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"m"}}"#, "").unwrap(),
        Incoming::Mark { name: "m".into() }
    );
    assert_eq!(
        parse(r#"{"event":"stop","sequenceNumber":"5","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#, "").unwrap(),
        Incoming::Stop
    );
    assert_eq!(parse(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#, "").unwrap(), Incoming::Connected);
    assert_eq!(parse(r#"{"event":"transcription"}"#, "").unwrap(), Incoming::Unknown);
}

#[test]
fn what_is_broken_says_so_without_quoting_itself() {
    assert_eq!(parse("5551234", ""), Err(Malformed::Json));
    assert_eq!(parse(r#"{"event":"media"}"#, ""), Err(Malformed::Field));
    assert_eq!(parse(r#"{"event":"media","media":{"track":"inbound","payload":"/w=="}}"#, ""), Err(Malformed::Field));
    assert_eq!(parse(r#"{"event":"mark"}"#, ""), Err(Malformed::Field));
    let mut codes = Vec::new();
    assert_eq!(decode_payload("", &mut codes), Err(Malformed::Empty));
    assert_eq!(decode_payload("a?b=", &mut codes), Err(Malformed::Payload));
    assert_eq!(decode_payload(&"A".repeat(PAYLOAD_MAX * 2), &mut codes), Err(Malformed::TooLong));
    decode_payload("//9/fw==", &mut codes).unwrap();
    assert_eq!(codes, [0xFF, 0xFF, 0x7F, 0x7F]);
}
