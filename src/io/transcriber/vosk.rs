//! The protocol of vosk-server: a configuration, 16-bit PCM, and for each message of it one answer.

use serde::Deserialize;
use serde_json::json;

use super::{Message, Nonsense, Said, SaidWord, unit};

/// Said first. Servers leave alone what they do not know, such as the language.
pub(super) fn greeting(language: &str) -> String {
    json!({ "config": { "sample_rate": 8_000, "words": 1, "language": language } }).to_string()
}

/// Said last: what was sent is answered in full, then the server hangs up.
pub(super) const FAREWELL: &str = r#"{"eof" : 1}"#;

#[derive(Deserialize)]
struct Answer {
    partial: Option<serde::de::IgnoredAny>,
    text: Option<String>,
    #[serde(default)]
    result: Vec<Spoken>,
    alternatives: Option<Vec<Alternative>>,
}

#[derive(Deserialize)]
struct Alternative {
    #[serde(default)]
    confidence: f32,
    #[serde(default)]
    result: Vec<Spoken>,
    text: String,
}

#[derive(Deserialize)]
struct Spoken {
    word: String,
    start: f64,
    end: f64,
    #[serde(default = "sure")]
    conf: f32,
}

const fn sure() -> f32 {
    1.0
}

pub(super) fn parse(text: &str) -> Result<Message, Nonsense> {
    let answer: Answer = serde_json::from_str(text).map_err(|_| Nonsense)?;
    if let Some(alternatives) = answer.alternatives {
        let mut alternatives = alternatives.into_iter();
        let Some(first) = alternatives.next() else { return Ok(Message::Passing) };
        let others = alternatives.map(|other| (other.text, words(other.result), unit(other.confidence))).collect();
        return Ok(Message::Final(Said { text: first.text, between: None, words: words(first.result), alternatives: others }));
    }
    match (answer.text, answer.partial) {
        (Some(text), _) => Ok(Message::Final(Said { text, between: None, words: words(answer.result), alternatives: Vec::new() })),
        (None, Some(_)) => Ok(Message::Passing),
        (None, None) => Err(Nonsense),
    }
}

fn words(spoken: Vec<Spoken>) -> Vec<SaidWord> {
    let word = |Spoken { word, start, end, conf }| SaidWord { text: word, start, end, confidence: unit(conf) };
    spoken.into_iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_answers_are_read() {
        let spoken = r#"{"result":[{"conf":0.98,"end":1.11,"start":0.87,"word":"green"},{"conf":1.0,"end":1.5,"start":1.11,"word":"lighthouse"}],"text":"green lighthouse"}"#;
        let Ok(Message::Final(said)) = parse(spoken) else { panic!("no final") };
        assert_eq!((said.text.as_str(), said.words.len(), said.words[1].start), ("green lighthouse", 2, 1.11));
        assert!(matches!(parse(r#"{"partial" : "green"}"#), Ok(Message::Passing)));
        let Ok(Message::Final(silence)) = parse(r#"{"text" : ""}"#) else { panic!("no final") };
        assert!(silence.words.is_empty());
        let several = r#"{"alternatives":[{"confidence":213.5,"text":"green lighthouse","result":[]},{"confidence":210.0,"text":"green light house"}]}"#;
        let Ok(Message::Final(said)) = parse(several) else { panic!("no final") };
        assert_eq!(
            (said.text.as_str(), said.alternatives[0].0.as_str(), said.alternatives[0].2),
            ("green lighthouse", "green light house", 1.0)
        );
    }

    #[test]
    fn nonsense_is_nonsense() {
        for wrong in ["", "hello", "[]", "{}", r#"{"result":[]}"#, r#"{"text":7}"#, r#"{"text":"a","result":[{"word":"a"}]}"#] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
