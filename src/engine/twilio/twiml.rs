//! TwiML: what Twilio is told to do next, so that a call lives on when we do not (P6). Facts are from Twilio's `<Stream>`, `<Connect>`,
//! `<Dial>` and `<Gather>` pages.
//!
//! Where a verb has an `action`, Twilio asks that and goes no further by itself; if it cannot be asked, Twilio asks the fallback URL
//! of the call or of the number, which must not be ours (`CALLGATE_FALLBACK_URL`, docs/fallback.md). What stands behind such a verb all the
//! same is [`Otherwise`]: never a URL of ours where the other party is known, since that would be as dead as the `action`.

use std::io;

use quick_xml::Writer;
use quick_xml::events::BytesText;

use super::verbs::Verbs;
use crate::engine::audio::prompts::{Language, Prompt};

/// Where a call goes after the prompt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Route {
    /// A telephone number.
    Number(String),
    /// A Twilio client.
    Client(String),
}

impl Route {
    /// Reads a number in E.164, or `client:ID`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(id) = text.strip_prefix("client:") {
            return (!id.is_empty()).then(|| Self::Client(id.to_owned()));
        }
        let digits = text.strip_prefix('+')?;
        ((7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| Self::Number(text.to_owned()))
    }
}

/// What a stream is connected with.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    /// `wss://…`, without a query: Twilio drops those.
    pub url: &'a str,
    /// Parameters, name and value; each pair under 500 characters.
    pub parameters: &'a [(&'a str, &'a str)],
    /// Where its status is told.
    pub status_url: &'a str,
}

type Xml = Writer<Vec<u8>>;

/// What comes if we cannot be asked what comes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Otherwise {
    /// The other party is dialled, unrecorded.
    Dial(Route),
    /// Who knows where the call goes is asked.
    Ask(String),
}

impl Otherwise {
    fn write(&self, xml: &mut Xml) -> io::Result<()> {
        match self {
            Self::Dial(route) => dial(xml, route),
            Self::Ask(url) => redirect(xml, url),
        }
    }
}

/// Connects the consent stream; when it ends, or never began, Twilio asks `action`.
#[must_use]
pub fn connect(stream: &Stream<'_>, action: &str, otherwise: &Otherwise) -> String {
    document(|xml| write_connect(xml, stream, action, otherwise))
}

fn write_connect(xml: &mut Xml, stream: &Stream<'_>, action: &str, otherwise: &Otherwise) -> io::Result<()> {
    xml.create_element("Connect").with_attribute(("action", action)).write_inner_content(|xml| stream.write(xml, "inbound_track"))?;
    otherwise.write(xml)
}

/// What a call does once the decision has fallen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// Dials the other party.
    Dial(Route),
    /// Does what the main app says.
    Verbs(Verbs),
    /// Stays with a stream of ours.
    Connect(Box<Connect>),
    /// Meets the call's other leg in the conference of this name.
    Meet(String),
    /// Says nothing more.
    HangUp,
    /// Asks this URL itself: the main app could not be asked by us, so Twilio tries, with its own patience and fallback.
    Ask(String),
    /// There is nobody to connect to: says so, and ends.
    Nobody,
}

/// A stream to stay with, and who is asked when it is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connect {
    /// `wss://…`
    pub url: String,
    /// Parameters, name and value.
    pub parameters: Vec<(&'static str, String)>,
    /// Where its status is told.
    pub status_url: String,
    /// What comes when it is over, or never began.
    pub after: After,
}

/// What comes after a stream that a call stays with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum After {
    /// This URL is asked; or else what comes without it.
    Ask(String, Otherwise),
    /// The call goes on in the conference of this name, and ends with whoever leaves it: nobody need be asked.
    Conference(String),
}

impl Connect {
    fn write(&self, xml: &mut Xml) -> io::Result<()> {
        let parameters: Vec<(&str, &str)> = self.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let stream = Stream { url: &self.url, parameters: &parameters, status_url: &self.status_url };
        match &self.after {
            After::Ask(action, otherwise) => write_connect(xml, &stream, action, otherwise),
            After::Conference(name) => {
                xml.create_element("Connect").write_inner_content(|xml| stream.write(xml, "inbound_track"))?;
                meet(xml, name)
            }
        }
    }
}

/// After the decision: a closing line by Polly, if the prompt was Polly's too; the capture fork, if consent stands; then what is next.
#[must_use]
pub fn proceed(closing: Option<&Prompt>, fork: Option<&Stream<'_>>, next: &Next) -> String {
    document(|xml| {
        for sentence in closing.map_or(&[][..], |prompt| &prompt.sentences) {
            say(xml, closing.map_or(Language::EN, |prompt| prompt.language), &sentence.text)?;
        }
        if let Some(stream) = fork {
            xml.create_element("Start").write_inner_content(|xml| stream.write(xml, "both_tracks"))?;
        }
        match next {
            Next::Dial(route) => dial(xml, route),
            Next::Verbs(verbs) => {
                xml.get_mut().extend_from_slice(verbs.xml());
                Ok(())
            }
            Next::Connect(connect) => connect.write(xml),
            Next::Meet(name) => meet(xml, name),
            Next::HangUp => xml.create_element("Hangup").write_empty().map(|_| ()),
            Next::Ask(url) => redirect(xml, url),
            Next::Nobody => {
                say(xml, Language::EN, "We are sorry. Nobody can take your call right now.")?;
                xml.create_element("Hangup").write_empty().map(|_| ())
            }
        }
    })
}

/// The keypad fallback of PX-735 §4.3, for when the stream could not be opened: asks by Polly, answers to `action`.
#[must_use]
pub fn gather(question: &Prompt, action: &str, otherwise: &Otherwise) -> String {
    document(|xml| {
        xml.create_element("Gather")
            .with_attributes([("numDigits", "1"), ("timeout", "10"), ("actionOnEmptyResult", "true"), ("action", action)])
            .write_inner_content(|xml| {
                for sentence in &question.sentences {
                    say(xml, question.language, &sentence.text)?;
                }
                Ok(())
            })?;
        otherwise.write(xml)
    })
}

impl Stream<'_> {
    fn write(&self, xml: &mut Xml, track: &str) -> io::Result<()> {
        xml.create_element("Stream")
            .with_attributes([("url", self.url), ("track", track), ("statusCallback", self.status_url)])
            .write_inner_content(|xml| {
                for (name, value) in self.parameters {
                    xml.create_element("Parameter").with_attributes([("name", *name), ("value", *value)]).write_empty()?;
                }
                Ok(())
            })
            .map(|_| ())
    }
}

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Response>"#;

fn document(body: impl FnOnce(&mut Xml) -> io::Result<()>) -> String {
    let mut xml = Writer::new(HEAD.as_bytes().to_vec());
    // Writing to memory cannot fail; if it did, an empty answer makes Twilio take its fallback.
    if body(&mut xml).is_err() {
        return format!("{HEAD}</Response>");
    }
    let mut text = String::from_utf8(xml.into_inner()).unwrap_or_default();
    text.push_str("</Response>");
    text
}

fn say(xml: &mut Xml, language: Language, text: &str) -> io::Result<()> {
    let (voice, language) = (format!("Polly.{}", language.voice()), language.locale());
    xml.create_element("Say")
        .with_attributes([("voice", voice.as_str()), ("language", language)])
        .write_text_content(BytesText::new(text))
        .map(|_| ())
}

fn dial(xml: &mut Xml, route: &Route) -> io::Result<()> {
    let (noun, text) = match route {
        Route::Number(number) => ("Number", number),
        Route::Client(id) => ("Client", id),
    };
    let to = |xml: &mut Xml| xml.create_element(noun).write_text_content(BytesText::new(text)).map(|_| ());
    xml.create_element("Dial").write_inner_content(to).map(|_| ())
}

fn meet(xml: &mut Xml, name: &str) -> io::Result<()> {
    let room = |xml: &mut Xml| {
        xml.create_element("Conference")
            .with_attributes([("beep", "false"), ("startConferenceOnEnter", "true"), ("endConferenceOnExit", "true")])
            .write_text_content(BytesText::new(name))
            .map(|_| ())
    };
    xml.create_element("Dial").write_inner_content(room).map(|_| ())
}

fn redirect(xml: &mut Xml, to: &str) -> io::Result<()> {
    xml.create_element("Redirect").write_text_content(BytesText::new(to)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::audio::prompts::{Line, library};

    #[test]
    fn what_stands_behind_a_question_needs_us_no_more_where_the_other_party_is_known() {
        let stream = Stream { url: "wss://g/m", parameters: &[], status_url: "https://x/s" };
        let maria = Otherwise::Dial(Route::Client("maria".into()));
        let asked = connect(&stream, "https://x/connected", &maria);
        assert!(asked.ends_with("</Connect><Dial><Client>maria</Client></Dial></Response>"), "{asked}");
        let stays = Connect {
            url: "wss://g/m".into(),
            parameters: Vec::new(),
            status_url: "https://x/s".into(),
            after: After::Ask("https://x/connected".into(), maria.clone()),
        };
        let served = proceed(None, None, &Next::Connect(Box::new(stays)));
        assert!(served.ends_with("</Connect><Dial><Client>maria</Client></Dial></Response>"), "{served}");
        let keypad = gather(library().prompt(Language::EN, Line::Consent), "https://x/consent", &maria);
        assert!(keypad.ends_with("</Gather><Dial><Client>maria</Client></Dial></Response>"), "{keypad}");
    }

    #[test]
    fn a_consent_stream_is_followed_by_a_safe_verb_and_everything_is_escaped() {
        let stream = Stream {
            url: "wss://gate.example.com/twilio/media",
            parameters: &[("callId", "a&b<\"c'>"), ("token", "t")],
            status_url: "https://x/s",
        };
        assert_eq!(
            connect(&stream, "https://x/connected?callId=1&n=2", &Otherwise::Ask("https://app/route?callId=1&n=2".into())),
            concat!(
                r#"<?xml version="1.0" encoding="UTF-8"?><Response><Connect action="https://x/connected?callId=1&amp;n=2">"#,
                r#"<Stream url="wss://gate.example.com/twilio/media" track="inbound_track" statusCallback="https://x/s">"#,
                r#"<Parameter name="callId" value="a&amp;b&lt;&quot;c&apos;&gt;"/><Parameter name="token" value="t"/></Stream></Connect>"#,
                r#"<Redirect>https://app/route?callId=1&amp;n=2</Redirect></Response>"#
            )
        );
    }

    #[test]
    fn the_fork_comes_before_the_dial_and_only_with_consent() {
        let stream = Stream { url: "wss://g/m", parameters: &[("mode", "capture")], status_url: "https://x/s" };
        let next = Next::Dial(Route::Number("+16175550123".into()));
        let with = proceed(None, Some(&stream), &next);
        assert!(
            with.contains(r#"<Start><Stream url="wss://g/m" track="both_tracks""#)
                && with.ends_with("<Dial><Number>+16175550123</Number></Dial></Response>"),
            "{with}"
        );
        assert!(!proceed(None, None, &Next::Dial(Route::Client("cm-1".into()))).contains("Stream"));
        let verbs = Verbs::parse("<Response><Say>Hello</Say><Dial><Queue>q</Queue></Dial></Response>").unwrap();
        let asked = proceed(None, Some(&stream), &Next::Verbs(verbs));
        assert!(asked.ends_with("</Start><Say>Hello</Say><Dial><Queue>q</Queue></Dial></Response>"), "{asked}");
        let fallback = proceed(None, Some(&stream), &Next::Ask("https://app/route?a=1&b=2".into()));
        assert!(fallback.ends_with("</Start><Redirect>https://app/route?a=1&amp;b=2</Redirect></Response>"), "{fallback}");
    }

    #[test]
    fn the_fallback_speaks_the_scripts_with_twilios_voices() {
        let maria = Otherwise::Dial(Route::Client("maria".into()));
        let english = gather(library().prompt(Language::EN, Line::Consent), "https://x/consent", &maria);
        assert!(english.contains(r#"<Say voice="Polly.Joanna" language="en-US">Press 2 to opt out of recording.</Say>"#), "{english}");
        assert!(
            gather(library().prompt(Language::ES, Line::Consent), "https://x", &maria)
                .contains(r#"<Say voice="Polly.Lupe" language="es-US">Esta llamada"#)
        );
        let closing =
            proceed(Some(library().prompt(Language::EN, Line::Declined)), None, &Next::Dial(Route::Number("+16175550123".into())));
        assert!(closing.contains("Your call will not be recorded.</Say><Dial>"), "{closing}");
    }

    #[test]
    fn routes_are_numbers_or_clients() {
        assert_eq!(Route::parse("+16175550123"), Some(Route::Number("+16175550123".into())));
        assert_eq!(Route::parse("client:maria"), Some(Route::Client("maria".into())));
        for wrong in ["6175550123", "+1", "client:", "+1617555o123", "https://x"] {
            assert_eq!(Route::parse(wrong), None, "{wrong}");
        }
    }
}
