//! "I don't want this recorded": what a client says, in English or Spanish, that means stop.
//!
//! Hears the client's final words one after the other, however the recogniser cuts them into utterances. A no has three parts: what
//! refuses ("I don't want", "you have no right", "could you not"), small words in any number, and a word of recording that is about
//! this call. A phrase that is denied ("don't stop recording"), told of others ("they don't record") or about something else ("my
//! hours") is none. Heard wrongly it costs a pause that a case manager lifts; not heard, the keys and the case manager remain.

use std::collections::VecDeque;
use std::sync::LazyLock;

use crate::engine::redact::{Word, plain};

/// Words looked back at: more than the longest phrase has.
const WORDS_KEPT: usize = 24;
/// Two words further apart than this are not of one phrase.
const GAP_MAX_MS: u64 = 3_000;
/// Small words between two parts of a phrase.
const GLUE_MAX: usize = 9;
/// A denial is looked for over so many words.
const DENIAL_MAX: usize = 6;
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

/// What a phrase is made of.
enum Slot {
    /// One of these words.
    One(Vec<&'static str>),
    /// One of these, or nothing.
    Perhaps(Vec<&'static str>),
    /// Small words of the language, [`GLUE_MAX`] at most.
    Glue,
    /// Whatever is not recorded elsewhere.
    Thing,
}

/// What must not stand before a phrase.
enum Before {
    Anything,
    /// One of these, as the word before it.
    Unless(&'static str),
    /// A denial, over words that carry it on: "I don't want you to …".
    Denied,
}

/// What may stand behind a phrase.
enum After {
    Anything,
    /// One of these, or nothing.
    Only(&'static str),
    /// Nothing that is recorded elsewhere, or of something else.
    ThisCall,
}

struct Phrase {
    slots: Vec<Slot>,
    before: Before,
    after: After,
}

/// The small words of a language, and its phrases.
struct Tongue {
    glue: &'static str,
    /// Words that deny what comes after them, and those between that carry it on.
    denied: &'static str,
    carries: &'static str,
    /// Articles and the like, after which a thing is named.
    articles: &'static str,
    /// Things of this call.
    ours: &'static str,
    /// Things that are recorded elsewhere.
    elsewhere: &'static str,
    phrases: LazyLock<Vec<Phrase>>,
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
        let found = (0..words.len()).find(|start| [&ENGLISH, &SPANISH].into_iter().any(|tongue| tongue.says_no(words, *start)));
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
            } else if folded == "not"
                && let Some((_, joined)) = JOINED.iter().find(|(verb, _)| *verb == last.folded)
            {
                (*joined).clone_into(&mut last.folded);
                last.end_ms = end_ms;
                return;
            }
        }
        if !FILLERS.contains(&folded.as_str()) {
            self.words.push_back(Said { folded, start_ms, end_ms });
        }
    }
}

impl Tongue {
    /// Whether a phrase that means "stop" begins here.
    fn says_no(&self, words: &[Said], start: usize) -> bool {
        self.phrases.iter().any(|phrase| {
            let before = match phrase.before {
                Before::Anything => true,
                Before::Unless(those) => start.checked_sub(1).is_none_or(|before| !words[before].is(those)),
                Before::Denied => !self.denies(&words[..start]),
            };
            before && self.fits(&phrase.slots, words, start, &phrase.after)
        })
    }

    fn fits(&self, slots: &[Slot], words: &[Said], at: usize, after: &After) -> bool {
        let Some((slot, rest)) = slots.split_first() else { return self.may_follow(words, at, after) };
        let is = |choices: &[&str]| words.get(at).is_some_and(|said| choices.contains(&said.folded.as_str()));
        match slot {
            Slot::One(choices) => is(choices) && self.fits(rest, words, at + 1, after),
            Slot::Perhaps(choices) => (is(choices) && self.fits(rest, words, at + 1, after)) || self.fits(rest, words, at, after),
            Slot::Thing => words.get(at).is_some_and(|said| !said.is(self.elsewhere)) && self.fits(rest, words, at + 1, after),
            Slot::Glue => {
                let run = words.iter().skip(at).take(GLUE_MAX).take_while(|said| said.is(self.glue)).count();
                (at..=at + run).any(|next| self.fits(rest, words, next, after))
            }
        }
    }

    fn may_follow(&self, words: &[Said], end: usize, after: &After) -> bool {
        let rest = &words[end..];
        match after {
            After::Anything => true,
            After::Only(those) => rest.first().is_none_or(|next| next.is(those)),
            // "I don't want a record": of what?
            After::ThisCall if is_noun(&words[..end]) => {
                rest.first().is_some_and(|of| of.is("of"))
                    && rest.get(1).is_some_and(|this| this.is("this it me us the our my"))
                    && self.is_ours(rest)
            }
            After::ThisCall => self.is_ours(rest),
        }
    }

    /// Whether what comes after a word of recording leaves it about this call. Unless it is known to be about something else, it is.
    fn is_ours(&self, rest: &[Said]) -> bool {
        let Some((first, rest)) = rest.split_first() else { return true };
        let next = rest.first();
        if first.is("as como") || first.is(self.elsewhere) {
            false
        } else if first.is("on in into to under en") {
            // "in my file"; and "the recording to stop".
            !rest.iter().take(2).any(|said| said.is("file files chart record system account stop end expediente archivo"))
        } else if first.is("of about de del") {
            self.is_ours(rest)
        } else if first.is(self.articles) {
            next.is_none_or(|thing| thing.is(self.ours))
        } else {
            !(first.is("this that esta este ese esa") && next.is_some_and(|thing| thing.is(self.elsewhere)))
        }
    }

    /// Whether what stands before it denies a phrase: "don't …", "I don't want you to …", "did you …".
    fn denies(&self, before: &[Said]) -> bool {
        for (at, said) in before.iter().enumerate().rev().take(DENIAL_MAX) {
            if said.is(self.denied) {
                // "If you don't stop …", "until you stop …", "why don't you stop …": then nobody denies it.
                let threat = before[..at].iter().rev().take(2).any(|said| said.is("if why si hasta"));
                let plain = said.is("dont no");
                let waits = said.is("until unless") && before.get(at + 1).is_some_and(|who| who.is("you"));
                return !(waits || (threat && plain));
            }
            if !said.is(self.carries) {
                return false;
            }
        }
        false
    }
}

/// Whether the last of these words is a record, and not to record.
fn is_noun(words: &[Said]) -> bool {
    matches!(words, [.., article, record] if record.is("record tape") && article.is("a any my the no your on"))
}

impl Said {
    /// Whether it is one of these words, with a space between each.
    fn is(&self, words: &str) -> bool {
        words.split(' ').any(|word| word == self.folded)
    }
}

/// Lower case without accents and apostrophes, one word each.
fn folded(text: &str) -> Vec<String> {
    let text: String = text.chars().flat_map(char::to_lowercase).filter_map(plain).collect();
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| if word == "cannot" { "cant".to_owned() } else { word.to_owned() })
        .collect()
}

const FILLERS: [&str; 11] = ["uh", "um", "erm", "hmm", "please", "just", "really", "eh", "este", "pues", "favor"];

/// What "do not" and its like are taken for.
#[rustfmt::skip]
const JOINED: [(&str, &str); 18] = [
    ("do", "dont"), ("did", "didnt"), ("does", "doesnt"), ("can", "cant"), ("could", "couldnt"), ("should", "shouldnt"), ("would", "wouldnt"),
    ("must", "mustnt"), ("may", "maynt"), ("will", "wont"), ("have", "havent"), ("has", "hasnt"), ("had", "hadnt"), ("is", "isnt"),
    ("are", "arent"), ("was", "wasnt"), ("were", "werent"), ("am", "amnt"),
];

/// Words that stand for each other in a phrase, by the name that it has for them.
const CLASSES: &[(&str, &str)] = &[
    ("REC", "record|recorded|recording|recordings|tape|taped|taping|transcribe|transcribed|transcribing"),
    ("RECORDING", "recording|recordings|taping|transcribing"),
    ("RECORDER", "recording|recorder|tape"),
    ("NOT", "dont|didnt|wouldnt|wont|havent|hasnt|cant|isnt|arent|amnt|not|never"),
    ("WANT", "want|wanted|wish|wanna|like"),
    ("CONSENT", "consent|consented|consenting|agree|agreed|agreeing|allow|allowing|let|permit|permitting|authorize|approve|accept"),
    ("GIVE", "give|gave|given|giving|grant|granted|have|has|had|got|get"),
    ("PERMISSION", "permission|consent|authorization|approval|right|rights|authority"),
    ("FINE", "okay|ok|comfortable|happy|fine|cool|good|alright|right"),
    ("RATHER", "rather|prefer|preferred|appreciate|like|want|love|wish|better|okay|ok|fine|possible|mind|lets|possibly|way"),
    ("NO", "not|cant|dont|didnt|wasnt|isnt|werent|arent|wouldnt|couldnt|no|without"),
    ("CANT", "cant|maynt|shouldnt|mustnt|couldnt"),
    ("CAN", "can|could|would|will|may"),
    ("TALK", "talk|speak|continue|go|do|this|on|chat|proceed|discuss"),
    ("GRABEN", "graben|grabe|grabes|grabaran|grabara|grabaras|grabando|graban|graba|grave|graven|transcriban|transcriba"),
    ("GRABAR", "grabar|grabarme|grabarnos|grabarlo|grabarla|transcribir"),
    ("GRABADO", "grabado|grabada|grabados|grabadas"),
    ("GRABACION", "grabacion|grabaciones|grabadora"),
    ("PERMISO", "permiso|consentimiento|autorizacion|derecho|permisos"),
    ("QUIERO", "quiero|queremos|deseo|deseamos|quisiera|quisieramos|gusta|gustaria|queria"),
    ("ACEPTO", "acepto|acepte|aceptamos|aceptado|autorizo|autorice|autorizado|consiento|consenti|permito|permitire|apruebo"),
    ("PUEDE", "puede|pueden|puedes|podria|podrian|podemos|podriamos"),
    (
        "PARE",
        "pare|paren|detenga|detengan|apague|apaguen|quite|quiten|corte|corten|suspenda|cancele|cancelen|termine|desactive|desactiven|interrumpa|apaga|borre|borren|borra|elimine|eliminen|parar|detener|apagar|quitar|cortar|suspender|desactivar|borrar|eliminar|apagara|apagaran|parara|pararan|detuviera|detuvieran|quitara|quitaran",
    ),
];

const TOLD_OF_SOMEBODY: &str = "i we they you he she who people it usually normally that why";
const TOLD_OF: &str = "was is theres had has have got with found heard were are";
const CLOSING: &str = "thanks thank sorry ok okay sir maam and so goodbye bye por gracias y";

static ENGLISH: Tongue = Tongue {
    glue: "i im me us we were you youre guys they theyre them it its this that these my our your the a any all anything anyone anybody somebody call calls conversation conversations phone voice line audio to be being been get getting have having is are was for of with about if on in by go going keep keeping continue start ever right now here today at should would could can will",
    denied: "dont not never didnt doesnt wont shouldnt wouldnt havent did when if unless until they he she why",
    carries: "to you me us them want wants need have has like going ever would should we the",
    articles: "my the a an his her their some any those these every your our",
    ours: "call calls conversation conversations voice voices words phone audio line discussion interview session chat talk thing things part rest whole entire private personal information info details name life business answer answers side of more kind way mother mom father dad son daughter child children kid kids baby wife husband family",
    elsewhere: "hours payment payments deposit message messages mileage miles appointment appointments medication medications medicine meeting meetings show shows music song songs album steps weight sugar blood temperature symptoms receipt receipts expenses income transaction transactions shift shifts visit visits game movie video videos label contract",
    phrases: LazyLock::new(|| {
        phrases([
            // What somebody wants, allows and likes.
            ("[i|we] NOT WANT ~ REC", Before::Anything, After::ThisCall),
            ("[i|we] NOT WANT ~ my|our THING recorded|taped|transcribed", Before::Anything, After::ThisCall),
            ("[i|we] NOT WANT ~ my|our THING THING recorded|taped|transcribed", Before::Anything, After::ThisCall),
            (
                "[i|im|we] NOT [going|gonna|want|wanna] [to] talk|talking|speak|speaking|say|discuss ~ on|while|if|when|over ~ REC",
                Before::Anything,
                After::ThisCall,
            ),
            ("[i] NOT think ~ WANT ~ REC", Before::Anything, After::ThisCall),
            ("[i] NOT think you|this|we|it should ~ REC", Before::Anything, After::ThisCall),
            ("[i|we] NOT CONSENT ~ REC", Before::Anything, After::ThisCall),
            ("[i|we] NOT consent|consented", Before::Unless("they he she"), After::Only(CLOSING)),
            ("[i|we|you] NOT GIVE ~ PERMISSION ~ REC", Before::Anything, After::ThisCall),
            ("you NOT have my PERMISSION", Before::Anything, After::Only(CLOSING)),
            ("nobody|noone|who GIVE ~ PERMISSION ~ REC", Before::Anything, After::ThisCall),
            ("no PERMISSION ~ REC", Before::Anything, After::ThisCall),
            ("REC ~ without ~ PERMISSION", Before::Anything, After::Only(CLOSING)),
            ("[i|im|its] NOT [feel|feeling] FINE ~ REC", Before::Anything, After::ThisCall),
            ("hate|refuse|decline|object|forbid|oppose|against|uncomfortable ~ REC", Before::Denied, After::ThisCall),
            ("i do mind ~ REC", Before::Denied, After::ThisCall),
            ("i|we wont be REC", Before::Anything, After::ThisCall),
            ("RATHER ~ NO ~ REC", Before::Denied, After::ThisCall),
            ("RATHER ~ NO ~ GIVE ~ REC", Before::Denied, After::ThisCall),
            ("told|asked|asking|telling|begging you|them ~ not ~ REC", Before::Denied, After::ThisCall),
            ("REC [me|us|this|it] [i|id|we] RATHER you didnt|not", Before::Denied, After::Only(CLOSING)),
            ("changed|changing my mind about ~ REC", Before::Denied, After::ThisCall),
            ("withdraw|revoke|cancel|retract|rescind my consent|permission", Before::Denied, After::Anything),
            ("take|taking|took back my consent|permission", Before::Denied, After::Anything),
            ("opt [me] out of ~ REC", Before::Denied, After::ThisCall),
            ("TALK ~ without ~ REC", Before::Anything, After::ThisCall),
            // What somebody else may not, and is asked not to.
            ("you CANT ~ REC", Before::Unless("why if"), After::ThisCall),
            ("i|we|this|that|it|call|conversation CANT be ~ REC", Before::Anything, After::ThisCall),
            ("NOT|better allowed|permitted|authorized|supposed|entitled|not ~ REC", Before::Anything, After::ThisCall),
            ("nobody|noone ~ allowed|permitted|authorized ~ REC", Before::Anything, After::ThisCall),
            ("CAN you|we|i|this|it|call not ~ REC", Before::Anything, After::ThisCall),
            (
                "dont|never [you] [dare|ever|be|start|keep|even] [to] record|recording|tape|taping|transcribe",
                Before::Unless(TOLD_OF_SOMEBODY),
                After::ThisCall,
            ),
            ("no RECORDING", Before::Unless(TOLD_OF), After::Only("allowed today thanks thank ok okay i and on of this now here sir maam")),
            // What is to end.
            (
                "stop|quit|end|cease|cancel|discontinue|pause|halt [the|this|that|your|my|all|with] [the] [call] RECORDING",
                Before::Denied,
                After::ThisCall,
            ),
            ("turn|switch|shut off [the|that|this|your] RECORDER", Before::Denied, After::Anything),
            ("turn|switch|shut the|that|this|your RECORDER off", Before::Denied, After::Anything),
            (
                "WANT|have|need|get the|this|that|your RECORDER stopped|off|ended|paused|deleted|erased|turned|switched|shut",
                Before::Denied,
                After::Anything,
            ),
            ("get rid of the|this|that recording|recordings", Before::Denied, After::ThisCall),
            ("take|keep|leave ~ off the|this|that|your recording", Before::Denied, After::ThisCall),
            ("delete|erase|destroy this|that|the|my recording|recordings", Before::Denied, After::ThisCall),
            ("recording [me|us|this|it] stop [it|that|now]", Before::Anything, After::Only(CLOSING)),
        ])
    }),
};

static SPANISH: Tongue = Tongue {
    glue: "que me nos se lo la los le les te el esta esto mi su una ninguna ningun usted ustedes nadie ser sea siga sigan estar esten estan estes seguir salir siendo quede queden llamada conversacion voz de a para con en ya mas si al sigue siguen",
    denied: "no nunca cuando si hasta sin",
    carries: "que quiero queremos quisiera hace falta tiene tienen necesita necesario es me se la de usted ustedes puede pueden debe deben hay",
    articles: "mi mis el la los las su sus un una unos unas",
    ours: "llamada llamadas conversacion conversaciones voz platica charla audio entrevista sesion informacion datos vida cosas nombre hijo hija hijos mama papa esposo esposa familia resto parte que",
    elsewhere: "horas pago pagos mensaje mensajes cita citas numero medicina medicinas recibo recibos",
    phrases: LazyLock::new(|| {
        phrases([
            ("no [me|nos] QUIERO ~ GRABEN|GRABAR|GRABADO|GRABACION", Before::Anything, After::ThisCall),
            ("QUIERO|prefiero|preferiria|preferimos ~ no ~ GRABEN|GRABAR|GRABADO", Before::Anything, After::ThisCall),
            (
                "no|nunca|nadie [le|les|te|yo] [he|hemos|ha|estoy|estamos] doy|di|damos|dimos|dado|dio|dando ~ PERMISO ~ GRABEN|GRABAR|GRABADO|GRABACION",
                Before::Anything,
                After::ThisCall,
            ),
            ("no|nunca [le|les|te|yo] [he|hemos|ha] doy|di|dado mi PERMISO", Before::Anything, After::Only(CLOSING)),
            ("no|nunca [le|les|lo|los|la|las|te] [he|hemos] ACEPTO ~ GRABEN|GRABAR|GRABADO|GRABACION", Before::Anything, After::ThisCall),
            ("que no ~ grabe|graben|grabes|grabara|grabaran|grabado|grabada", Before::Unless("puede posible"), After::ThisCall),
            ("no [voy|vamos] [a] hablo|hablar|hablamos|digo|decir ~ si|mientras ~ GRABEN|GRABADO", Before::Anything, After::ThisCall),
            ("no tiene|tienen|tienes ~ PERMISO ~ GRABEN|GRABAR|GRABADO|GRABACION", Before::Anything, After::ThisCall),
            ("no tiene|tienen|tienes mi PERMISO", Before::Anything, After::Only(CLOSING)),
            ("GRABEN|GRABAR ~ sin [mi|nuestro|su|ningun] PERMISO", Before::Anything, After::Only(CLOSING)),
            ("no [me|nos|se|lo|la] PUEDE ~ GRABAR", Before::Anything, After::ThisCall),
            ("PUEDE|manera|forma|posible ~ no ~ GRABAR", Before::Anything, After::ThisCall),
            ("me|nos niego|negamos|opongo|oponemos ~ GRABEN|GRABAR|GRABADO|GRABACION", Before::Denied, After::ThisCall),
            ("rechazo ~ GRABEN|GRABAR|GRABADO|GRABACION", Before::Denied, After::ThisCall),
            ("no estoy|estamos de acuerdo ~ GRABEN|GRABAR|GRABADO|GRABACION", Before::Anything, After::ThisCall),
            (
                "no [me|nos] siento|sentimos|estoy|estamos comodo|comoda|comodos|bien|tranquilo|tranquila ~ GRABEN|GRABAR|GRABADO|GRABACION",
                Before::Anything,
                After::ThisCall,
            ),
            ("no me|nos|lo|la|esto|se [esten|este|siga|sigan] grabe|graben|grabes|grabeis|grabando", Before::Anything, After::ThisCall),
            (
                "no grabe|graben|grabes [mas]",
                Before::Anything,
                After::Only("esto esta la el mi nada mas gracias por ahora lo que y eso me"),
            ),
            ("deje|dejen|deja|dejes|dejar|dejara|dejaran|pare|paren|para|parar|basta de GRABAR|grabando", Before::Denied, After::ThisCall),
            ("PARE [ya] la|esta|esa|su|el|mi GRABACION", Before::Denied, After::Anything),
            ("hablar|hablamos|seguir|continuar|hablemos|platicar sin ~ GRABEN|GRABAR|GRABADO|GRABACION", Before::Anything, After::ThisCall),
            ("sin grabar|grabacion", Before::Unless("quede quedo estaba esta fue quedamos"), After::Only("por gracias")),
            ("retiro|revoco|cancelo mi consentimiento|permiso|autorizacion", Before::Denied, After::Anything),
            ("cambie|cambiado de opinion|idea|parecer sobre|con|acerca ~ GRABAR|GRABACION", Before::Denied, After::ThisCall),
        ])
    }),
};

/// `a|b` one of them, `[a|b]` perhaps one of them, `~` small words, `THING` any one; what else is in capitals is of [`CLASSES`].
fn phrases<const N: usize>(told: [(&'static str, Before, After); N]) -> Vec<Phrase> {
    told.into_iter().map(|(text, before, after)| Phrase { slots: text.split(' ').map(slot).collect(), before, after }).collect()
}

fn slot(text: &'static str) -> Slot {
    let choices = |text: &'static str| {
        let class = |word: &'static str| CLASSES.iter().find(|(name, _)| *name == word).map_or(word, |(_, words)| words);
        text.split('|').flat_map(|word| class(word).split('|')).collect()
    };
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        _ if text == "~" => Slot::Glue,
        _ if text == "THING" => Slot::Thing,
        Some(text) => Slot::Perhaps(choices(text)),
        None => Slot::One(choices(text)),
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

    fn sentences(text: &'static str) -> impl Iterator<Item = &'static str> {
        text.lines().filter(|line| !line.starts_with('#') && !line.is_empty())
    }

    #[test]
    fn a_no_is_heard_in_english_and_in_spanish() {
        let unheard: Vec<_> = sentences(include_str!("../../../fixtures/objections/no.txt")).filter(|text| no_at(text).is_none()).collect();
        assert!(unheard.is_empty(), "{unheard:#?}");
        // Of two sentences neither says it alone.
        assert_eq!(no_at("i wasn't told you'd be recording i don't want that"), None);
    }

    #[test]
    fn ordinary_talk_and_a_yes_are_no_no() {
        let heard: Vec<_> = sentences(include_str!("../../../fixtures/objections/talk.txt")).filter(|text| no_at(text).is_some()).collect();
        assert!(heard.is_empty(), "{heard:#?}");
        // Taken back in the same breath, it is heard all the same: a case manager lifts the pause.
        assert!(no_at("i don't like my voice on recordings but it's fine").is_some());
    }

    #[test]
    fn capitals_and_punctuation_change_nothing() {
        for text in [
            "I do NOT want this call to be recorded.",
            "Hey, you can't record me!",
            "No quiero que se grabe esta llamada.",
            "¿Puede no grabar esto?",
        ] {
            assert!(no_at(text).is_some(), "{text}");
        }
    }

    #[test]
    fn every_class_that_a_phrase_names_there_is() {
        let capitals = |choices: &[&str]| choices.iter().any(|word| word.chars().any(char::is_uppercase));
        for phrase in ENGLISH.phrases.iter().chain(SPANISH.phrases.iter()) {
            for slot in &phrase.slots {
                if let Slot::One(choices) | Slot::Perhaps(choices) = slot {
                    assert!(!capitals(choices), "a class that there is none of: {choices:?}");
                }
            }
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
