//! Verbs of somebody else: what the main app answers when it is asked where a call goes. Only well-formed TwiML gets
//! through, and of it only what is known to leave the call's audio on the call (P5): one `<Record>` there would keep what a
//! client refused, one `<Connect><Stream>` carry it to whoever listens. What Twilio invents later stays out until it is known here.

use quick_xml::Writer;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// TwiML nests three deep; no document of the main app is nested deeper.
const DEPTH_MAX: usize = 16;
/// Verbs, and the nouns in them, by which people are called, asked by key and spoken to. Not `<Record>`; not `<Start>` and `<Connect>`,
/// which hold `<Stream>`, `<Siprec>`, `<Transcription>`, `<ConversationRelay>`, `<VirtualAgent>` and their like; nor `<Stop>`, which ends such.
const KNOWN: &str = "Application Client Conference Dial Enqueue Gather Hangup Identity Leave Number Parameter Pause Pay Play Prompt Queue \
                     Redirect Refer ReferSip Reject Say Sim Sip Sms Task WhatsApp";
/// Marks of speech within `<Say>` (SSML), without their prefix.
const SPOKEN: &str = "auto-breaths break breath domain effect emphasis lang mark p phoneme prosody s say-as sub w";
/// How what is taken out can be had by consent.
pub const INSTEAD: &str = "callgate alone lets a call's audio out, by consent: leave recording to it, set CALLGATE_TRANSCRIBER for what is \
                           said, and CALLGATE_INBOUND_ROUTE=relay:NAME, or a transfer, for a bot (docs/relay.md)";

/// Verbs that may follow ours. Only [`Verbs::parse`] makes them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verbs {
    xml: Vec<u8>,
    taken_out: Vec<String>,
}

/// Why an answer is not followed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotVerbs {
    /// No XML, or not whole.
    #[error("it is not well-formed XML: {0}")]
    Malformed(String),
    /// XML, but something else.
    #[error("it is no TwiML: one <Response> is expected")]
    NoResponse,
    /// DTDs can blow up or reach elsewhere; TwiML has none.
    #[error("it has a document type declaration, which TwiML never has")]
    DocType,
    /// An answer that would only end the call.
    #[error("its <Response> is empty; to end a call, say <Hangup/>")]
    Empty,
    /// All that it asks for is to record, or to carry the audio away.
    #[error("all it asks for would take the call's audio elsewhere ({0}); {instead}", instead = INSTEAD)]
    OnlyListens(String),
}

impl Verbs {
    /// Reads a TwiML document.
    ///
    /// # Errors
    /// [`NotVerbs`] says what is wrong with it, and nothing of what it says.
    pub fn parse(document: &str) -> Result<Self, NotVerbs> {
        let mut reader = Reader::from_str(document.trim_start_matches('\u{feff}'));
        let mut out = Writer::new(Vec::new());
        let (mut depth, mut seen, mut taken_out) = (0, false, Vec::new());
        loop {
            let event = reader.read_event().map_err(malformed)?;
            match &event {
                Event::Eof if depth > 0 => return Err(NotVerbs::Malformed("it ends before </Response>".to_owned())),
                Event::Eof => break,
                Event::DocType(_) => return Err(NotVerbs::DocType),
                Event::Start(tag) | Event::Empty(tag) if depth == 0 => {
                    if seen || tag.name().as_ref() != "Response" {
                        return Err(NotVerbs::NoResponse);
                    }
                    seen = true;
                    depth += usize::from(matches!(event, Event::Start(_)));
                }
                Event::Start(tag) | Event::Empty(tag) if !is_known(tag) => {
                    taken_out.push(format!("<{}>", tag.name().as_ref()));
                    if matches!(event, Event::Start(_)) {
                        reader.read_to_end(tag.name()).map_err(malformed)?;
                    }
                }
                Event::Start(tag) => {
                    depth += 1;
                    if depth > DEPTH_MAX {
                        return Err(NotVerbs::Malformed(format!("it is nested deeper than {DEPTH_MAX}")));
                    }
                    write(&mut out, Event::Start(without_listening(tag, &mut taken_out)?))?;
                }
                Event::Empty(tag) => write(&mut out, Event::Empty(without_listening(tag, &mut taken_out)?))?,
                Event::End(_) => {
                    depth -= 1;
                    if depth > 0 {
                        write(&mut out, event)?;
                    }
                }
                Event::GeneralRef(name) => {
                    let known = name.is_char_ref() || ["lt", "gt", "amp", "apos", "quot"].contains(&name.as_ref());
                    if !known || depth == 0 {
                        return Err(NotVerbs::Malformed("it has an entity that XML does not know".to_owned()));
                    }
                    write(&mut out, event)?;
                }
                Event::Text(text) if depth == 0 && !text.trim().is_empty() => return Err(NotVerbs::NoResponse),
                Event::Text(_) | Event::CData(_) if depth > 0 => write(&mut out, event)?,
                Event::Text(_) | Event::CData(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            }
        }
        let xml = out.into_inner();
        if !seen {
            Err(NotVerbs::NoResponse)
        } else if xml.contains(&b'<') {
            Ok(Self { xml, taken_out })
        } else if taken_out.is_empty() {
            Err(NotVerbs::Empty)
        } else {
            Err(NotVerbs::OnlyListens(taken_out.join(", ")))
        }
    }

    /// What was taken out because it would have taken the call's audio elsewhere, or may, by name; [`INSTEAD`] says what to do.
    #[must_use]
    pub fn taken_out(&self) -> &[String] {
        &self.taken_out
    }

    pub(super) fn xml(&self) -> &[u8] {
        &self.xml
    }
}

fn is_known(tag: &BytesStart<'_>) -> bool {
    let name = tag.local_name();
    KNOWN.split(' ').chain(SPOKEN.split(' ')).any(|known| name.as_ref().eq_ignore_ascii_case(known))
}

/// The tag without the attributes by which `<Dial>` and `<Conference>` record and transcribe. What `<Gather>` asks for is keys: what is
/// said to it would be heard by Twilio's recogniser.
fn without_listening(tag: &BytesStart<'_>, taken_out: &mut Vec<String>) -> Result<BytesStart<'static>, NotVerbs> {
    let mut kept = BytesStart::new(tag.name().as_ref().to_owned());
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(malformed)?;
        unescape(&attribute.value).map_err(malformed)?;
        let name = attribute.key.as_ref();
        let lower = name.to_ascii_lowercase();
        if lower.starts_with("record") || lower.starts_with("transcri") {
            if !["do-not-record", "false"].contains(&attribute.value.as_ref()) {
                taken_out.push(format!("{name} of <{}>", tag.name().as_ref()));
            }
        } else if lower == "input" && &*attribute.value != "dtmf" {
            // Whatever else it says, and however it is escaped.
            taken_out.push(format!("all but dtmf in {name} of <{}>", tag.name().as_ref()));
            kept.push_attribute((name, "dtmf"));
        } else {
            kept.push_attribute(attribute);
        }
    }
    Ok(kept)
}

fn write(out: &mut Writer<Vec<u8>>, event: Event<'_>) -> Result<(), NotVerbs> {
    out.write_event(event).map_err(malformed)
}

fn malformed(why: impl std::fmt::Display) -> NotVerbs {
    NotVerbs::Malformed(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, NotVerbs> {
        Verbs::parse(text).map(|verbs| String::from_utf8(verbs.xml).unwrap())
    }

    #[test]
    fn verbs_come_through_as_they_were_said() {
        let said = r#"<Say voice="Polly.Joanna">Bread &amp; roses &#233;</Say><Dial timeout="20"><Queue>support</Queue></Dial>"#;
        assert_eq!(parsed(&format!("<?xml version=\"1.0\"?>\n<!-- ours -->\n<Response>{said}</Response>\n")).as_deref(), Ok(said));
        assert_eq!(parsed("\u{feff}<Response><Hangup/></Response>").as_deref(), Ok("<Hangup/>"));
    }

    #[test]
    fn what_is_no_twiml_is_refused_by_name() {
        for (text, why) in [
            ("", NotVerbs::NoResponse),
            ("Not found", NotVerbs::NoResponse),
            ("<html><body>502</body></html>", NotVerbs::NoResponse),
            ("<Response><Hangup/></Response><Response/>", NotVerbs::NoResponse),
            ("<Response/>", NotVerbs::Empty),
            ("<Response> </Response>", NotVerbs::Empty),
            ("<!DOCTYPE r [<!ENTITY a \"b\">]><Response><Say>&a;</Say></Response>", NotVerbs::DocType),
        ] {
            assert_eq!(parsed(text), Err(why), "{text}");
        }
        for text in [
            "<Response><Say>",
            "<Response><Say></Response>",
            "<Response><Say>&nbsp;</Say></Response>",
            "<Response><Dial a=\"1\" a=\"2\"/></Response>",
            "<Response><Dial timeout=20/></Response>",
            "<Response><Dial a=\"&x;\"/></Response>",
            "{\"redirect\": true}<Response>",
            "<Response>&amp</Response>",
            &format!("<Response>{}", "<Say>".repeat(10_000)),
            &format!("<Response>{}", "<a>".repeat(10_000)),
        ] {
            assert!(matches!(parsed(text), Err(NotVerbs::Malformed(_) | NotVerbs::NoResponse)), "{text:.80}");
        }
    }

    #[test]
    fn nothing_in_it_records_past_the_gate() {
        let sly = r#"<Response><Start><Stream url="wss://x"/></Start><Say>Hello</Say><Dial record="record-from-answer-dual" recordingStatusCallback="https://x" timeout="9"><Conference record="record-from-start" transcribe="true">room</Conference></Dial><record/></Response>"#;
        let verbs = Verbs::parse(sly).unwrap();
        assert_eq!(String::from_utf8_lossy(verbs.xml()), r#"<Say>Hello</Say><Dial timeout="9"><Conference>room</Conference></Dial>"#);
        assert_eq!(
            verbs.taken_out(),
            [
                "<Start>",
                "record of <Dial>",
                "recordingStatusCallback of <Dial>",
                "record of <Conference>",
                "transcribe of <Conference>",
                "<record>"
            ]
        );
        assert!(Verbs::parse(r#"<Response><Dial record="do-not-record">+1</Dial></Response>"#).unwrap().taken_out().is_empty());
        let only = parsed("<Response><Record/></Response>");
        assert_eq!(only, Err(NotVerbs::OnlyListens("<Record>".into())));
        let said = only.unwrap_err().to_string();
        assert!(said.contains("(<Record>)") && said.contains("CALLGATE_INBOUND_ROUTE=relay:NAME"), "{said}");
    }

    #[test]
    fn nothing_in_it_carries_the_audio_past_the_gate() {
        for carried in [
            r#"<Connect><Stream url="wss://x"/></Connect>"#,
            r#"<Connect action="/a"><ConversationRelay url="wss://x"><Language code="en"/></ConversationRelay></Connect>"#,
            r#"<connect><VirtualAgent connectorName="x"/></connect>"#,
            r#"<Connect><Conversation serviceInstanceSid="IS1"/></Connect>"#,
            r#"<x:Connect><Room>r</Room></x:Connect>"#,
            r#"<Start><Siprec/></Start>"#,
            r#"<Stop><Stream name="a"/></Stop>"#,
            r#"<OfTomorrow url="wss://x"><Say>Listen</Say></OfTomorrow>"#,
        ] {
            let document = format!("<Response>{carried}<Dial><Client>anna</Client></Dial></Response>");
            let verbs = Verbs::parse(&document).unwrap();
            assert_eq!(String::from_utf8_lossy(verbs.xml()), "<Dial><Client>anna</Client></Dial>", "{carried}");
            assert_eq!(verbs.taken_out().len(), 1, "{carried}: {:?}", verbs.taken_out());
            assert!(matches!(parsed(&format!("<Response>{carried}</Response>")), Err(NotVerbs::OnlyListens(_))), "{carried}");
        }
        // As a noun in a verb that is known, too.
        let within = parsed(r#"<Response><Dial>+16175550123<Stream url="wss://x"/><Siprec/></Dial></Response>"#);
        assert_eq!(within.as_deref(), Ok("<Dial>+16175550123</Dial>"));
        assert!(INSTEAD.contains("relay:NAME") && !INSTEAD.contains("  "), "{INSTEAD}");
    }

    #[test]
    fn what_it_gathers_is_keys_and_not_speech() {
        let gather = |input: &str| parsed(&format!(r#"<Response><Gather input="{input}" action="/x"><Say>Yes?</Say></Gather></Response>"#));
        for input in ["speech", "dtmf speech", "speech dtmf", "&#115;peech", "SPEECH", ""] {
            assert_eq!(gather(input).as_deref(), Ok(r#"<Gather input="dtmf" action="/x"><Say>Yes?</Say></Gather>"#), "{input}");
        }
        let keys = Verbs::parse(r#"<Response><Gather input="dtmf"/><Gather numDigits="1"/></Response>"#).unwrap();
        assert!(keys.taken_out().is_empty(), "keys are no audio: {:?}", keys.taken_out());
        let spoken =
            r#"<Say>A <break time="1s"/><amazon:effect name="whispered"><say-as interpret-as="date">1/2</say-as></amazon:effect></Say>"#;
        assert_eq!(parsed(&format!("<Response>{spoken}</Response>")).as_deref(), Ok(spoken), "how it is spoken is nobody's to hear");
    }
}
