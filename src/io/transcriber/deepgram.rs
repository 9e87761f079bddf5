//! Deepgram's live audio: mu-law as it comes, results as JSON, the key in the handshake.

use reqwest::Url;
use serde::Deserialize;

use super::{Message, Nonsense, Said, SaidWord, unit};

/// Said last: what was sent is answered in full, then the server hangs up.
pub(super) const FAREWELL: &str = r#"{"type":"CloseStream"}"#;

/// What is asked for, unless the configured address asks otherwise.
const ASKED: [(&str, &str); 7] = [
    ("model", "nova-3"),
    ("encoding", "mulaw"),
    ("sample_rate", "8000"),
    ("channels", "1"),
    ("interim_results", "false"),
    ("punctuate", "true"),
    // Deepgram's own model improvement programme would keep the audio.
    ("mip_opt_out", "true"),
];

/// The address of a stream of this language.
pub(super) fn address(configured: &Url, language: &str) -> Url {
    let mut url = configured.clone();
    if matches!(url.path(), "" | "/") {
        url.set_path("/v1/listen");
    }
    let given: Vec<String> = url.query_pairs().map(|(key, _)| key.into_owned()).collect();
    for (key, value) in ASKED.into_iter().chain([("language", language)]) {
        if !given.iter().any(|known| known == key) {
            url.query_pairs_mut().append_pair(key, value);
        }
    }
    url
}

#[derive(Deserialize)]
struct Answer {
    r#type: String,
    #[serde(default)]
    is_final: bool,
    start: Option<f64>,
    duration: Option<f64>,
    channel: Option<Heard>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Heard {
    Words {
        alternatives: Vec<Alternative>,
    },
    /// Other messages name a channel by its numbers.
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Alternative {
    transcript: String,
    #[serde(default)]
    confidence: f32,
    #[serde(default)]
    words: Vec<Spoken>,
}

#[derive(Deserialize)]
struct Spoken {
    word: String,
    start: f64,
    end: f64,
    #[serde(default)]
    confidence: f32,
    punctuated_word: Option<String>,
}

pub(super) fn parse(text: &str) -> Result<Message, Nonsense> {
    let answer: Answer = serde_json::from_str(text).map_err(|_| Nonsense)?;
    if answer.r#type == "Error" {
        return Err(Nonsense);
    }
    if answer.r#type != "Results" || !answer.is_final {
        return Ok(Message::Passing);
    }
    let (Some(start), Some(duration), Some(Heard::Words { alternatives })) = (answer.start, answer.duration, answer.channel) else {
        return Err(Nonsense);
    };
    let mut alternatives = alternatives.into_iter();
    let Some(first) = alternatives.next() else { return Ok(Message::Passing) };
    let others = alternatives.map(|other| (other.transcript, words(other.words), unit(other.confidence))).collect();
    let between = Some((start, start + duration));
    Ok(Message::Final(Said { text: first.transcript, between, words: words(first.words), alternatives: others }))
}

fn words(spoken: Vec<Spoken>) -> Vec<SaidWord> {
    let word = |Spoken { word, start, end, confidence, punctuated_word }| SaidWord {
        text: punctuated_word.unwrap_or(word),
        start,
        end,
        confidence: unit(confidence),
    };
    spoken.into_iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_results_are_read() {
        let spoken = r#"{"type":"Results","channel_index":[0,1],"duration":1.5,"start":3.0,"is_final":true,"speech_final":true,"channel":{"alternatives":[
            {"transcript":"Green lighthouse.","confidence":0.99,"words":[{"word":"green","start":3.1,"end":3.5,"confidence":0.98,"punctuated_word":"Green"},
            {"word":"lighthouse","start":3.5,"end":4.2,"confidence":1.0,"punctuated_word":"lighthouse."}]}]},"metadata":{"request_id":"r"},"from_finalize":false}"#;
        let Ok(Message::Final(said)) = parse(spoken) else { panic!("no final") };
        assert_eq!((said.text.as_str(), said.words[1].text.as_str(), said.between), ("Green lighthouse.", "lighthouse.", Some((3.0, 4.5))));
        for passing in [
            r#"{"type":"Metadata","request_id":"r","duration":4.5,"channels":1}"#,
            r#"{"type":"UtteranceEnd","channel":[0,1],"last_word_end":4.2}"#,
            r#"{"type":"SpeechStarted","channel":[0],"timestamp":3.0}"#,
            &spoken.replace("\"is_final\":true", "\"is_final\":false"),
        ] {
            assert!(matches!(parse(passing), Ok(Message::Passing)), "{passing}");
        }
        for wrong in ["", "hello", "{}", r#"{"type":"Error","description":"no"}"#, r#"{"type":"Results","is_final":true}"#] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_address_asks_for_what_twilio_sends_and_keeps_what_it_was_given() {
        let url = address(&Url::parse("wss://api.deepgram.com").unwrap(), "es");
        assert!(url.as_str().starts_with("wss://api.deepgram.com/v1/listen?model=nova-3&encoding=mulaw&sample_rate=8000"), "{url}");
        assert!(url.as_str().ends_with("language=es"), "{url}");
        let url = address(&Url::parse("wss://speech.example.com/listen?model=nova-2&language=multi").unwrap(), "es");
        assert!(url.as_str().starts_with("wss://speech.example.com/listen?model=nova-2&language=multi&encoding=mulaw"), "{url}");
        assert!(!url.as_str().contains("language=es"), "{url}");
    }
}
