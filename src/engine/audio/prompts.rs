//! Prompts: what a caller hears, with the proof of which bytes they were.
//!
//! The shipped ones are embedded, so shared between all calls and never missing. A deployment may bring others, made to the same
//! manifest, and in more languages: every call is told which by its settings. The question says which key asks for which.

use std::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// A language that prompts may be spoken in: a line of [`LANGUAGES`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Language(&'static Spoken);

/// What is known of one: where no prompt can be played, Twilio and Amazon Polly speak it themselves.
#[derive(PartialEq, Eq)]
struct Spoken {
    /// ISO 639-1.
    code: &'static str,
    /// A voice of Amazon Polly's, neural.
    voice: &'static str,
    /// What it speaks.
    locale: &'static str,
}

/// Another language is another line here, and a folder of prompts in it (`docs/prompts.md`).
static LANGUAGES: [Spoken; 3] = [
    Spoken { code: "en", voice: "Joanna", locale: "en-US" },
    Spoken { code: "es", voice: "Lupe", locale: "es-US" },
    Spoken { code: "fr", voice: "Lea", locale: "fr-FR" },
];

/// No prompt is longer: a caller who has to wait for so long has hung up.
pub const PROMPT_MS_MAX: usize = 60_000;
/// Samples of that.
pub const PROMPT_SAMPLES_MAX: usize = PROMPT_MS_MAX * 8;

/// What is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// The question.
    Consent,
    /// "Thank you. Your call is being connected."
    Granted,
    /// "Understood. Your call will not be recorded."
    Declined,
    /// "Recording has stopped."
    Stopped,
    /// "Recording is paused."
    Paused,
    /// "Recording has resumed."
    Resumed,
}

/// One prompt, ready to be played.
#[derive(PartialEq, Eq)]
pub struct Prompt {
    /// The language it is spoken in.
    pub language: Language,
    /// The version of its script, "v1".
    pub version: String,
    /// What it says.
    pub line: Line,
    /// Its audio, 8 kHz mu-law.
    pub codes: &'static [u8],
    /// SHA-256 of `codes`, in hex.
    pub sha256: String,
    /// Its sentences in order.
    pub sentences: Vec<Sentence>,
}

/// One sentence of a prompt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sentence {
    /// The key it names.
    pub key: Option<char>,
    /// Its words.
    pub text: String,
    /// The sample at which it begins.
    pub sample: usize,
    /// The language that its key asks for, if it asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
}

/// A line of a manifest: a prompt, and the file it lies in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PromptRow {
    /// Below the manifest's folder.
    pub file: String,
    /// The language it is spoken in.
    pub language: Language,
    /// The version of its script.
    pub version: String,
    /// What it says.
    pub line: Line,
    /// Its length.
    pub samples: usize,
    /// SHA-256 of its audio, in hex.
    pub sha256: String,
    /// Its sentences in order.
    pub sentences: Vec<Sentence>,
}

/// All prompts, checked against their manifest.
#[derive(PartialEq, Eq)]
pub struct PromptLibrary {
    prompts: Vec<Prompt>,
    /// Which key asks for which language.
    choices: Vec<(char, Language)>,
}

/// Why a set of prompts is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// The manifest is not what it should be.
    #[error("prompt manifest cannot be read: {0}")]
    Manifest(String),
    /// A file of the manifest is not there.
    #[error("prompt file {0} is missing")]
    Missing(String),
    /// A language does not say everything that a call may have to say.
    #[error("prompt {0} is missing; every language needs consent, granted, declined, stopped, paused and resumed")]
    Incomplete(String),
    /// Nobody could tell which of them is meant.
    #[error("prompt {0} is there twice")]
    Twice(String),
    /// Nothing, or more than anybody listens to.
    #[error("prompt file {0} is empty, or longer than {PROMPT_MS_MAX} ms")]
    Length(String),
    /// Audio and manifest do not belong together.
    #[error("prompt file {0} is not the audio its manifest describes")]
    Digest(String),
    /// A sentence's offset, or the keys named, make no sense.
    #[error("prompt file {0} names its keys wrongly: sentences in order, within the audio, and in a consent prompt 1, 2, and in English 9")]
    Keys(String),
    /// A key that asks for a language means something else, or asks for two, or for one that nobody speaks.
    #[error("prompt file {0} offers a language wrongly: one key of 3 to 8, 0 or (Spanish alone) 9 for each, and prompts in it")]
    Choice(String),
}

impl Line {
    /// Every line that a language has.
    pub const ALL: [Self; 6] = [Self::Consent, Self::Granted, Self::Declined, Self::Stopped, Self::Paused, Self::Resumed];

    /// Its word in file names and manifests.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::Granted => "granted",
            Self::Declined => "declined",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
        }
    }
}

impl Language {
    /// English: what a call begins with.
    pub const EN: Self = Self(&LANGUAGES[0]);
    /// Spanish: what a 9 asks for.
    pub const ES: Self = Self(&LANGUAGES[1]);

    /// ISO 639-1.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.0.code
    }

    /// The voice of Amazon Polly's that speaks it.
    #[must_use]
    pub const fn voice(self) -> &'static str {
        self.0.voice
    }

    /// Language and country of that voice.
    #[must_use]
    pub const fn locale(self) -> &'static str {
        self.0.locale
    }

    /// By its ISO 639-1 code.
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        LANGUAGES.iter().find(|language| language.code == code).map(Self)
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Language {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Language {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::of_code(&code).ok_or_else(|| de::Error::custom(format!("{code:?} is no language that callgate knows")))
    }
}

impl Prompt {
    /// The sample at which the sentence that names `key` begins.
    #[must_use]
    pub fn key_named_at(&self, key: char) -> Option<usize> {
        self.sentences.iter().find(|sentence| sentence.key == Some(key)).map(|sentence| sentence.sample)
    }
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prompt({:?} {} {:?})", self.language, self.version, self.line)
    }
}

impl PromptLibrary {
    /// Checks a manifest against its files.
    ///
    /// # Errors
    /// [`PromptError`] names the file that is wrong.
    pub fn checked(manifest: &str, file: impl Fn(&str) -> Option<&'static [u8]>) -> Result<Self, PromptError> {
        let rows: Vec<PromptRow> = serde_json::from_str(manifest).map_err(|why| PromptError::Manifest(why.to_string()))?;
        let mut prompts: Vec<Prompt> = Vec::with_capacity(rows.len());
        for row in rows {
            let codes = file(&row.file).ok_or_else(|| PromptError::Missing(row.file.clone()))?;
            if codes.is_empty() || codes.len() > PROMPT_SAMPLES_MAX {
                return Err(PromptError::Length(row.file));
            }
            if sha256(codes) != row.sha256 || codes.len() != row.samples {
                return Err(PromptError::Digest(row.file));
            }
            let ascending = row.sentences.windows(2).all(|pair| pair[0].sample < pair[1].sample);
            let inside = row.sentences.iter().all(|sentence| sentence.sample < codes.len());
            let named = |key: char| row.sentences.iter().any(|sentence| sentence.key == Some(key));
            let names_its_keys = named('1') && named('2') && (row.language != Language::EN || named('9'));
            if !ascending || !inside || (row.line == Line::Consent && !names_its_keys) {
                return Err(PromptError::Keys(row.file));
            }
            if prompts.iter().any(|prompt| prompt.language == row.language && prompt.line == row.line) {
                return Err(PromptError::Twice(format!("{}/{}", row.language.code(), row.line.word())));
            }
            let PromptRow { language, version, line, sha256, sentences, .. } = row;
            prompts.push(Prompt { language, version, line, codes, sha256, sentences });
        }
        let spoken = prompts.iter().map(|prompt| prompt.language);
        for language in [Language::EN, Language::ES].into_iter().chain(spoken) {
            for line in Line::ALL {
                if !prompts.iter().any(|prompt| prompt.language == language && prompt.line == line) {
                    return Err(PromptError::Incomplete(format!("{}/{}", language.code(), line.word())));
                }
            }
        }
        let choices = choices(&prompts)?;
        Ok(Self { prompts, choices })
    }

    /// The language that a key asks for, while the client is being asked.
    #[must_use]
    pub fn language_of(&self, key: char) -> Option<Language> {
        self.choices.iter().find(|(choice, _)| *choice == key).map(|(_, language)| *language)
    }

    /// The language of this code, if everything can be said in it.
    #[must_use]
    pub fn language(&self, code: &str) -> Option<Language> {
        Language::of_code(code).filter(|language| self.prompts.iter().any(|prompt| prompt.language == *language))
    }

    /// The prompt that says `line` in `language`.
    #[must_use]
    pub fn prompt(&self, language: Language, line: Line) -> &Prompt {
        let found = self.prompts.iter().find(|prompt| prompt.language == language && prompt.line == line);
        found.unwrap_or(&self.prompts[0]) // `checked` saw that every line is there
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Prompt> {
        self.prompts.iter()
    }

    /// The prompt whose audio has this digest, here or among the shipped ones: what is recorded today may be stored when
    /// other prompts are in force.
    #[must_use]
    pub fn of_digest(&'static self, sha256: &str) -> Option<&'static Prompt> {
        self.iter().chain(library().iter()).find(|prompt| prompt.sha256 == sha256)
    }
}

/// What the questions offer. A 9 asks for Spanish whether or not its sentence says so.
fn choices(prompts: &[Prompt]) -> Result<Vec<(char, Language)>, PromptError> {
    let mut choices = vec![('9', Language::ES)];
    for prompt in prompts {
        for sentence in &prompt.sentences {
            let Some(language) = sentence.language else { continue };
            let wrong = || PromptError::Choice(format!("{}/{}", prompt.language.code(), prompt.line.word()));
            let key = sentence.key.filter(|key| matches!(key, '3'..='9' | '0')).ok_or_else(wrong)?;
            let spoken = prompts.iter().any(|prompt| prompt.language == language);
            if prompt.line != Line::Consent || !spoken {
                return Err(wrong());
            }
            match choices.iter().find(|(choice, offered)| *choice == key || *offered == language) {
                Some(known) if *known == (key, language) => {}
                Some(_) => return Err(wrong()),
                None => choices.push((key, language)),
            }
        }
    }
    Ok(choices)
}

impl fmt::Debug for PromptLibrary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PromptLibrary({} prompts)", self.prompts.len())
    }
}

/// SHA-256 of a prompt's audio, as it stands in manifests.
#[must_use]
pub fn sha256(codes: &[u8]) -> String {
    Sha256::digest(codes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The prompts that are part of the program.
#[must_use]
pub fn library() -> &'static PromptLibrary {
    static LIBRARY: OnceLock<PromptLibrary> = OnceLock::new();
    #[expect(clippy::expect_used, reason = "what is embedded is checked by a test of this module")]
    LIBRARY.get_or_init(|| PromptLibrary::checked(MANIFEST, embedded).expect("the embedded prompts are whole"))
}

const MANIFEST: &str = include_str!("../../../assets/prompts/prompts.json");

macro_rules! embed {
    ($($path:literal)*) => { &[$(($path, include_bytes!(concat!("../../../assets/prompts/", $path)))),*] };
}

const EMBEDDED: &[(&str, &[u8])] = embed! {
    "en/v1/consent.ulaw" "en/v1/granted.ulaw" "en/v1/declined.ulaw" "en/v1/stopped.ulaw" "en/v1/paused.ulaw" "en/v1/resumed.ulaw"
    "es/v1/consent.ulaw" "es/v1/granted.ulaw" "es/v1/declined.ulaw" "es/v1/stopped.ulaw" "es/v1/paused.ulaw" "es/v1/resumed.ulaw"
};

fn embedded(path: &str) -> Option<&'static [u8]> {
    EMBEDDED.iter().find(|(name, _)| *name == path).map(|(_, codes)| *codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_prompts_are_what_their_manifest_says() {
        let library = PromptLibrary::checked(MANIFEST, embedded).unwrap();
        let english = library.prompt(Language::EN, Line::Consent);
        assert_eq!((english.codes.len(), english.key_named_at('1'), english.key_named_at('9')), (97_962, Some(33_581), Some(76_773)));
        assert_eq!(library.prompt(Language::ES, Line::Consent).key_named_at('2'), Some(65_376));
    }

    #[test]
    fn audio_that_is_not_its_manifests_is_refused() {
        let wrong = MANIFEST.replace("727c6bf6", "00000000");
        assert_eq!(PromptLibrary::checked(&wrong, embedded).err(), Some(PromptError::Digest("en/v1/consent.ulaw".into())));
        let missing = PromptLibrary::checked(MANIFEST, |path| (!path.starts_with("es")).then(|| embedded(path)).flatten());
        assert_eq!(missing.err(), Some(PromptError::Missing("es/v1/consent.ulaw".into())));
        for key in ['1', '2', '9'] {
            let unnamed = MANIFEST.replacen(&format!("\"key\": \"{key}\""), "\"key\": null", 1);
            assert_eq!(PromptLibrary::checked(&unnamed, embedded).err(), Some(PromptError::Keys("en/v1/consent.ulaw".into())), "{key}");
        }
        assert!(matches!(PromptLibrary::checked("{}", embedded).err(), Some(PromptError::Manifest(_))));
    }

    #[test]
    fn a_question_offers_a_language_that_is_spoken_by_a_key_that_means_nothing_else() {
        let rows: Vec<PromptRow> = serde_json::from_str(MANIFEST).unwrap();
        let french = rows
            .iter()
            .filter(|row| row.language == Language::ES)
            .map(|row| PromptRow { language: Language::of_code("fr").unwrap(), ..row.clone() });
        let rows: Vec<PromptRow> = rows.iter().cloned().chain(french).collect();
        let offering = |key: Option<char>, language: &str| {
            let mut rows = rows.clone();
            let (sample, language) = (rows[0].samples - 1, Language::of_code(language));
            rows[0].sentences.push(Sentence { key, text: "offered".into(), sample, language });
            PromptLibrary::checked(&serde_json::to_string(&rows).unwrap(), embedded)
        };
        let library = offering(Some('3'), "fr").unwrap();
        assert_eq!((library.language_of('3'), library.language("fr")), (Language::of_code("fr"), Language::of_code("fr")));
        assert_eq!((library.language_of('9'), library.language_of('4')), (Some(Language::ES), None));
        assert_eq!(super::library().language("fr"), None, "nobody speaks it unless a deployment brings it");
        let wrong = Some(PromptError::Choice("en/consent".into()));
        for (key, language) in [(Some('1'), "fr"), (Some('2'), "fr"), (Some('*'), "fr"), (None, "fr"), (Some('9'), "fr"), (Some('3'), "es")]
        {
            assert_eq!(offering(key, language).err(), wrong, "{key:?} {language}");
        }
        let unknown = MANIFEST.replacen("\"language\": \"es\"", "\"language\": \"xx\"", 1);
        let Some(PromptError::Manifest(why)) = PromptLibrary::checked(&unknown, embedded).err() else { panic!("taken") };
        assert!(why.contains("\"xx\" is no language"), "{why}");
        let mut unspoken: Vec<PromptRow> = serde_json::from_str(MANIFEST).unwrap();
        unspoken[0].sentences[3].language = Language::of_code("fr");
        assert_eq!(PromptLibrary::checked(&serde_json::to_string(&unspoken).unwrap(), embedded).err(), wrong);
    }

    #[test]
    fn a_language_that_cannot_say_everything_is_refused_and_so_is_one_that_says_it_twice() {
        let rows: Vec<PromptRow> = serde_json::from_str(MANIFEST).unwrap();
        let refused = |rows: &[PromptRow]| PromptLibrary::checked(&serde_json::to_string(rows).unwrap(), embedded).err();
        assert_eq!(refused(&rows), None);
        for (left_out, row) in rows.iter().enumerate() {
            let rest: Vec<_> = rows.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, row)| row.clone()).collect();
            assert_eq!(refused(&rest), Some(PromptError::Incomplete(format!("{}/{}", row.language.code(), row.line.word()))));
        }
        let twice = [rows.as_slice(), &rows[3..4]].concat();
        assert_eq!(refused(&twice), Some(PromptError::Twice(format!("{}/{}", rows[3].language.code(), rows[3].line.word()))));
        let long: &'static [u8] = vec![0xFF; PROMPT_SAMPLES_MAX + 1].leak();
        for codes in [long, &[]] {
            let refused = PromptLibrary::checked(MANIFEST, |_| Some(codes)).err();
            assert_eq!(refused, Some(PromptError::Length("en/v1/consent.ulaw".into())));
        }
    }
}
