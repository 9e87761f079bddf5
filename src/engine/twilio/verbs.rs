//! Verbs of somebody else: what the main app answers when it is asked where a call goes. Only well-formed TwiML gets
//! through, and nothing that would record past the gate (P5): one `<Record>` there would keep what a client refused.

use quick_xml::Writer;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// TwiML nests three deep; no document of the main app is nested deeper.
const DEPTH_MAX: usize = 16;
/// Verbs that listen in on a call beside the conversation: `<Start>` holds `<Stream>`, `<Recording>`, `<Transcription>`, `<Siprec>`.
const LISTENERS: [&str; 2] = ["Record", "Start"];

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
    /// All that it asks for is to record.
    #[error("all it asks for is to record or to listen in ({0}), which callgate alone does, by consent")]
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
                Event::Start(tag) | Event::Empty(tag) if is_listener(tag) => {
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
                    write(&mut out, Event::Start(without_recording(tag, &mut taken_out)?))?;
                }
                Event::Empty(tag) => write(&mut out, Event::Empty(without_recording(tag, &mut taken_out)?))?,
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

    /// What was taken out because it would have recorded, by name.
    #[must_use]
    pub fn taken_out(&self) -> &[String] {
        &self.taken_out
    }

    pub(super) fn xml(&self) -> &[u8] {
        &self.xml
    }
}

fn is_listener(tag: &BytesStart<'_>) -> bool {
    LISTENERS.iter().any(|verb| tag.name().as_ref().eq_ignore_ascii_case(verb))
}

/// The tag without the attributes by which `<Dial>` and `<Conference>` record.
fn without_recording(tag: &BytesStart<'_>, taken_out: &mut Vec<String>) -> Result<BytesStart<'static>, NotVerbs> {
    let mut kept = BytesStart::new(tag.name().as_ref().to_owned());
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(malformed)?;
        unescape(&attribute.value).map_err(malformed)?;
        let name = attribute.key.as_ref();
        if name.to_ascii_lowercase().starts_with("record") {
            if !["do-not-record", "false"].contains(&attribute.value.as_ref()) {
                taken_out.push(format!("{name} of <{}>", tag.name().as_ref()));
            }
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
            &format!("<Response>{}", "<a>".repeat(10_000)),
        ] {
            assert!(matches!(parsed(text), Err(NotVerbs::Malformed(_) | NotVerbs::NoResponse)), "{text:.80}");
        }
    }

    #[test]
    fn nothing_in_it_records_past_the_gate() {
        let sly = r#"<Response><Start><Stream url="wss://x"/></Start><Say>Hello</Say><Dial record="record-from-answer-dual" recordingStatusCallback="https://x" timeout="9"><Conference record="record-from-start">room</Conference></Dial><record/></Response>"#;
        let verbs = Verbs::parse(sly).unwrap();
        assert_eq!(String::from_utf8_lossy(verbs.xml()), r#"<Say>Hello</Say><Dial timeout="9"><Conference>room</Conference></Dial>"#);
        assert_eq!(
            verbs.taken_out(),
            ["<Start>", "record of <Dial>", "recordingStatusCallback of <Dial>", "record of <Conference>", "<record>"]
        );
        assert!(Verbs::parse(r#"<Response><Dial record="do-not-record">+1</Dial></Response>"#).unwrap().taken_out().is_empty());
        assert_eq!(parsed("<Response><Record/></Response>"), Err(NotVerbs::OnlyListens("<Record>".into())));
    }
}
