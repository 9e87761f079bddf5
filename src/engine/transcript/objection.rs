//! "I don't want this recorded": what a client says, in English or Spanish, that means stop.
//!
//! Hears the client's final words one after the other, however the recogniser cuts them into utterances. A phrase that is denied
//! ("don't stop recording") or told of others ("they don't record") is none. Heard wrongly it costs a pause that a case manager
//! lifts; not heard, the keys and the case manager remain.

use std::collections::VecDeque;
use std::sync::LazyLock;

use crate::engine::redact::Word;

/// Words looked back at: more than the longest phrase has.
const WORDS_KEPT: usize = 24;
/// Two words further apart than this are not of one phrase.
const GAP_MAX_MS: u64 = 3_000;
/// How much earlier than its first word's told time a phrase may begin: recognisers are off by so much.
pub const PHRASE_LEAD_MS: u64 = 500;

/// Hears one client.
#[derive(Default)]
pub struct Objections {
    words: VecDeque<Said>,
}

struct Said {
    folded: String,
    start_ms: u64,
    end_ms: u64,
}

/// A word, words of which one must come, or one that may.
enum Slot {
    One(Vec<&'static str>),
    Perhaps(Vec<&'static str>),
}

struct Phrase {
    slots: Vec<Slot>,
    /// Words that turn it into something else when one of the last two before it is among them.
    unless_before: &'static [&'static str],
    /// If not empty: what may come after it, where anything does.
    only_before: &'static [&'static str],
}

impl Objections {
    /// Takes the words of a final utterance. Tells where a phrase begins that means "stop", the first there is.
    pub fn hear(&mut self, words: &[Word]) -> Option<u64> {
        for word in words {
            for folded in folded(&word.text) {
                self.take(folded, word.start_ms, word.end_ms);
            }
        }
        let words = self.words.make_contiguous();
        let found = (0..words.len()).find(|start| PHRASES.iter().any(|phrase| phrase.is_at(words, *start)));
        let at = found.map(|start| words[start].start_ms);
        if at.is_some() {
            // Told once: it is a no again when it is said again.
            self.words.clear();
        }
        while self.words.len() > WORDS_KEPT {
            self.words.pop_front();
        }
        at
    }

    fn take(&mut self, folded: String, start_ms: u64, end_ms: u64) {
        if let Some(last) = self.words.back_mut() {
            if start_ms.saturating_sub(last.end_ms) > GAP_MAX_MS {
                self.words.clear();
            } else if folded == "not" && matches!(last.folded.as_str(), "do" | "did" | "can" | "will") {
                let joined = match last.folded.as_str() {
                    "do" => "dont",
                    "did" => "didnt",
                    "can" => "cant",
                    _ => "wont",
                };
                joined.clone_into(&mut last.folded);
                last.end_ms = end_ms;
                return;
            }
        }
        if !FILLERS.contains(&folded.as_str()) {
            self.words.push_back(Said { folded, start_ms, end_ms });
        }
    }
}

impl Phrase {
    fn is_at(&self, words: &[Said], start: usize) -> bool {
        let before = &words[start.saturating_sub(2)..start];
        if before.iter().any(|said| self.unless_before.contains(&said.folded.as_str())) {
            return false;
        }
        let fits =
            |end: usize| self.only_before.is_empty() || words.get(end).is_none_or(|next| self.only_before.contains(&next.folded.as_str()));
        matched(&self.slots, words, start).is_some_and(fits)
    }
}

fn matched(slots: &[Slot], words: &[Said], at: usize) -> Option<usize> {
    let Some((slot, rest)) = slots.split_first() else { return Some(at) };
    let is = |choices: &[&str]| words.get(at).is_some_and(|said| choices.contains(&said.folded.as_str()));
    match slot {
        Slot::One(choices) if is(choices) => matched(rest, words, at + 1),
        Slot::One(_) => None,
        Slot::Perhaps(choices) if is(choices) => matched(rest, words, at + 1).or_else(|| matched(rest, words, at)),
        Slot::Perhaps(_) => matched(rest, words, at),
    }
}

/// Lower case without accents and apostrophes, one word each.
fn folded(text: &str) -> Vec<String> {
    let plain = |c: char| match c {
        'á' | 'à' => 'a',
        'é' | 'è' => 'e',
        'í' => 'i',
        'ó' => 'o',
        'ú' | 'ü' => 'u',
        'ñ' => 'n',
        other => other,
    };
    let text: String = text.chars().filter(|c| !matches!(c, '\'' | '’')).flat_map(char::to_lowercase).map(plain).collect();
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

const FILLERS: [&str; 11] = ["uh", "um", "erm", "hmm", "please", "just", "really", "eh", "este", "pues", "favor"];

const DENIED: &[&str] = &["dont", "not", "never", "didnt", "doesnt", "wont", "did", "when", "if", "unless", "they", "he", "she", "until"];
const SOMEBODY: &[&str] = &["i", "we", "they", "you", "he", "she", "who", "people", "it", "usually", "normally", "that", "why"];
const TOLD_OF: &[&str] = &["was", "is", "theres", "had", "has", "have", "got", "with", "found", "heard", "were", "are"];
const NEGADO: &[&str] = &["no", "nunca", "cuando", "si", "hasta"];
const AFTER: &[&str] = &[
    "this",
    "that",
    "me",
    "us",
    "it",
    "my",
    "our",
    "the",
    "anything",
    "any",
    "now",
    "here",
    "what",
    "anymore",
    "and",
    "ok",
    "okay",
    "thanks",
    "thank",
    "i",
    "or",
    "because",
    "call",
    "conversation",
    "today",
    "so",
    "no",
    "stop",
    "sir",
    "madam",
    "maam",
];
const NOBODY: &[&str] = &[];

/// `a|b` one of them, `[a|b]` perhaps one of them.
static PHRASES: LazyLock<Vec<Phrase>> = LazyLock::new(|| {
    [
        (
            "[i|we] dont|didnt want|wish|wanna|like [to] [be|get|being|have] [this|that|it|me|us|my|the|our|any|a|anything|your|you] [call|conversation|voice|phone] [call] [to] [be|being|get|getting] recorded|recording|recordings|taped|transcribed",
            NOBODY,
            NOBODY,
        ),
        ("[i|we] dont|wont want|let|allow|permit you|them|anyone|anybody|to|this [to] [be] record|recording|tape|transcribe", NOBODY, NOBODY),
        ("stop|quit|end|cease|cancel|discontinue [the|this|that|your|my|all|with] [the] recording|recordings|taping|transcribing", DENIED, NOBODY),
        ("turn|switch|shut off [the|that|this|your] recording|recorder|tape", DENIED, NOBODY),
        ("turn|switch|shut the|that|this|your recording|recorder|tape off", DENIED, NOBODY),
        ("dont|never record|tape|transcribe", SOMEBODY, AFTER),
        ("no recording|recordings|taping", TOLD_OF, &["allowed", "today", "thanks", "thank", "ok", "okay", "i", "and", "on", "of", "this", "now", "here", "sir", "maam"]),
        (
            "[i|we] dont|didnt|never|not|cant|wont|cannot consent|consented|agree|agreed|consenting|agreeing to [being|be|have|having|the|this|that|a|my|any] [call|it|conversation] [being|be] record|recorded|recording|taped|recordings",
            NOBODY,
            NOBODY,
        ),
        (
            "not|isnt okay|ok|fine|comfortable|happy|cool|good|alright [with|to|about] being|this|the|it|that|you [call|conversation] [being] recorded|recording|taped",
            NOBODY,
            NOBODY,
        ),
        ("refuse|decline|object [to] [be|being|the|this|any|a] [call] recorded|recording|taped", DENIED, NOBODY),
        ("withdraw|revoke|cancel|retract my consent", DENIED, NOBODY),
        ("take|taking back my consent", DENIED, NOBODY),
        ("rather|prefer not [to] [be|have] [this|it|me|the] [call|conversation] [be] record|recorded|recording|taped", NOBODY, NOBODY),
        ("rather|prefer [that] you|this|it|they didnt|dont|not|wasnt|werent|isnt [be] record|recorded|recording|tape|taped", NOBODY, NOBODY),
        ("talk|speak|continue|go|do|this|on without [being|the|a|this|any|you] [call] recording|recorded|taped", NOBODY, NOBODY),
        ("opt out of [the|this|being|any|call] [call] recording|recorded|recordings", DENIED, NOBODY),
        (
            "no quiero|queremos|deseo|quisiera que [usted|ustedes|nadie] [me|nos|se|lo|la|esto|esta|mi|el] [lo|la|me|llamada|conversacion|voz] [sea|este|siga|sigan|esten|estes] graben|grabe|grabes|grabando|grabada|grabado|graban|graba|grave|graven|transcriban|transcriba",
            NOBODY,
            NOBODY,
        ),
        ("no quiero|deseo|quisiera ser|estar|seguir|salir [siendo] grabado|grabada|grabados", NOBODY, NOBODY),
        ("no quiero|queremos|deseo [ninguna|una|la|esta|mas|que] grabacion|grabaciones|grabar", NOBODY, NOBODY),
        ("no me|nos|lo|la|esto|se grabe|graben|grabes|grabeis", NOBODY, NOBODY),
        ("no grabe|graben|grabes [mas]", NOBODY, &["esto", "esta", "la", "el", "mi", "nada", "mas", "gracias", "por", "ahora", "lo", "que", "y", "eso", "me"]),
        ("deje|dejen|deja|dejes|pare|paren|para de grabar|grabarme|grabarnos|grabando", NEGADO, NOBODY),
        (
            "pare|paren|detenga|detengan|apague|apaguen|quite|quiten|corte|corten|suspenda|cancele|cancelen|termine|desactive|desactiven|interrumpa|apaga [ya] la|esta|esa|su|el grabacion|grabadora|grabaciones",
            NEGADO,
            NOBODY,
        ),
        (
            "no doy|di [mi|el|ningun] [permiso|consentimiento|autorizacion] [para|de|a] [que|ser|la|esta|una] [me|nos|se|llamada|lo|la] graben|grabe|grabar|grabarme|grabado|grabada|grabacion",
            NOBODY,
            NOBODY,
        ),
        (
            "no autorizo|acepto|consiento|permito|apruebo [que|a|ser|la|esta|con|una|en] [me|nos|se|lo|la|esta|ser] [llamada|la] [sea] graben|grabe|grabar|grabado|grabada|grabacion|grabando",
            NOBODY,
            NOBODY,
        ),
        ("no estoy de acuerdo con|en|que [que|la|esta|ser] [me|se|nos] graben|grabe|grabado|grabada|grabacion", NOBODY, NOBODY),
        ("hablar|hablamos|seguir|continuar|hablemos sin [ser|la|que|ninguna] [me|se|nos] grabar|grabarme|grabacion|grabado|grabada|graben", NOBODY, NOBODY),
        ("retiro|revoco|cancelo mi consentimiento|permiso|autorizacion", NEGADO, NOBODY),
        ("prefiero que no [me|se|lo|la|nos] graben|grabe|grabes", NOBODY, NOBODY),
        ("prefiero no ser grabado|grabada", NOBODY, NOBODY),
    ]
    .into_iter()
    .map(|(text, unless_before, only_before)| Phrase { slots: text.split(' ').map(slot).collect(), unless_before, only_before })
    .collect()
});

fn slot(text: &'static str) -> Slot {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(choices) => Slot::Perhaps(choices.split('|').collect()),
        None => Slot::One(text.split('|').collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a text, each 400 ms long, from a second on.
    fn said(text: &str) -> Vec<Word> {
        let word = |(n, text): (u64, &str)| Word { text: text.into(), start_ms: 1_000 + n * 400, end_ms: 1_400 + n * 400, confidence: 1.0 };
        (0..).zip(text.split_whitespace()).map(word).collect()
    }

    /// The number of the word at which a no begins.
    fn no_at(text: &str) -> Option<u64> {
        Objections::default().hear(&said(text)).map(|ms| (ms - 1_000) / 400)
    }

    #[test]
    fn a_no_is_heard_in_english_and_in_spanish() {
        for text in [
            "I don't want this recorded",
            "I do not want this call to be recorded",
            "I don't want to be recorded",
            "I don't want you to record this",
            "I really don't want my voice recorded",
            "please stop recording",
            "stop the recording now",
            "could you turn off the recording please",
            "turn that recorder off",
            "don't record this",
            "hey do not record me",
            "don't record",
            "no recording please",
            "I do not consent to being recorded",
            "I'm not comfortable with being recorded",
            "I withdraw my consent",
            "I'd rather not be recorded",
            "I'd rather you didn't record this",
            "can we talk without being recorded",
            "no quiero que me graben",
            "No quiero que se grabe esta llamada.",
            "no quiero ser grabada",
            "por favor no me grabe",
            "deje de grabar",
            "pare la grabación por favor",
            "apague esa grabadora",
            "no doy mi permiso para que me graben",
            "no autorizo que se grabe",
            "prefiero que no me graben",
            "podemos hablar sin grabar",
        ] {
            assert!(no_at(text).is_some(), "{text}");
        }
    }

    #[test]
    fn ordinary_talk_and_a_yes_are_no_no() {
        for text in [
            "don't stop recording",
            "please do not stop the recording",
            "I don't mind being recorded",
            "yes you can record this",
            "I don't want this on my record",
            "they don't record the meetings there",
            "you don't record this do you",
            "there was no recording of it",
            "did you stop recording already",
            "I don't want a record of a thousand dollars",
            "my medical record says otherwise",
            "this call is being recorded",
            "stop calling me",
            "I don't want this",
            "I don't want the green one",
            "no me grabé el número",
            "quiero que me graben",
            "no deje de grabar",
            "no quiero esperar",
            "no pare la grabación",
            "de acuerdo pueden grabar",
            "he said when they stop recording it is over",
        ] {
            // "grabé" and "grabe" fold to one word: told of oneself it is taken for a no, rather than the other way round.
            let expected = text == "no me grabé el número";
            assert_eq!(no_at(text).is_some(), expected, "{text}");
        }
    }

    #[test]
    fn it_begins_at_its_first_word() {
        assert_eq!(no_at("well my name is Ann and I don't want this recorded thanks"), Some(6));
        assert_eq!(no_at("so yes stop recording"), Some(2));
    }

    #[test]
    fn however_the_recogniser_cuts_it() {
        let words = said("oh um I do not want uh this call to be recorded");
        for cut in 0..words.len() {
            let mut heard = Objections::default();
            let first = heard.hear(&words[..cut]);
            let second = heard.hear(&words[cut..]);
            assert_eq!(first.or(second), Some(1_000 + 2 * 400), "cut before word {cut}");
        }
    }

    #[test]
    fn it_is_told_once_and_again_when_it_is_said_again() {
        let mut heard = Objections::default();
        assert!(heard.hear(&said("stop recording")).is_some());
        assert!(heard.hear(&said("and another thing")).is_none());
        assert!(heard.hear(&said("stop recording")).is_some());
    }

    #[test]
    fn words_far_apart_are_of_no_phrase() {
        let mut words = said("stop recording");
        words[1].start_ms += 10_000;
        words[1].end_ms += 10_000;
        assert_eq!(Objections::default().hear(&words), None);
    }
}
