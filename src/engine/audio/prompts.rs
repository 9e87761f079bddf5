//! The shipped prompts: what a caller hears, with the proof of which bytes they were.
//!
//! Embedded, so shared between all calls and never missing. A language is its files and a line in [`EMBEDDED`].

use std::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A language that prompts exist in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Language {
    /// English, `en`.
    #[serde(rename = "en")]
    En,
    /// Spanish, `es`.
    #[serde(rename = "es")]
    Es,
}

/// What is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Deserialize)]
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
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Sentence {
    /// The key it names.
    pub key: Option<char>,
    /// Its words.
    pub text: String,
    /// The sample at which it begins.
    pub sample: usize,
}

/// All prompts, checked against their manifest.
pub struct PromptLibrary {
    prompts: Vec<Prompt>,
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
    /// Audio and manifest do not belong together.
    #[error("prompt file {0} is not the audio its manifest describes")]
    Digest(String),
    /// A sentence's offset, or the keys named, make no sense.
    #[error("prompt file {0} names its keys wrongly")]
    Keys(String),
}

impl Language {
    /// Every language, the default first.
    pub const ALL: [Self; 2] = [Self::En, Self::Es];

    /// ISO 639-1.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Es => "es",
        }
    }

    /// By its ISO 639-1 code.
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
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
        #[derive(Deserialize)]
        struct Row {
            file: String,
            language: Language,
            version: String,
            line: Line,
            samples: usize,
            sha256: String,
            sentences: Vec<Sentence>,
        }
        let rows: Vec<Row> = serde_json::from_str(manifest).map_err(|why| PromptError::Manifest(why.to_string()))?;
        let mut prompts = Vec::with_capacity(rows.len());
        for row in rows {
            let codes = file(&row.file).ok_or_else(|| PromptError::Missing(row.file.clone()))?;
            let digest: String = Sha256::digest(codes).iter().map(|byte| format!("{byte:02x}")).collect();
            if digest != row.sha256 || codes.len() != row.samples {
                return Err(PromptError::Digest(row.file));
            }
            let ascending = row.sentences.windows(2).all(|pair| pair[0].sample < pair[1].sample);
            let inside = row.sentences.iter().all(|sentence| sentence.sample < codes.len());
            let named = |key: char| row.sentences.iter().any(|sentence| sentence.key == Some(key));
            let names_its_keys = named('1') && named('2') && (row.language != Language::En || named('9'));
            if !ascending || !inside || (row.line == Line::Consent && !names_its_keys) {
                return Err(PromptError::Keys(row.file));
            }
            let Row { language, version, line, sha256, sentences, .. } = row;
            prompts.push(Prompt { language, version, line, codes, sha256, sentences });
        }
        for language in Language::ALL {
            for line in [Line::Consent, Line::Granted, Line::Declined, Line::Stopped] {
                if !prompts.iter().any(|prompt| prompt.language == language && prompt.line == line) {
                    return Err(PromptError::Missing(format!("{}/{line:?}", language.code())));
                }
            }
        }
        Ok(Self { prompts })
    }

    /// The prompt that says `line` in `language`.
    #[must_use]
    pub fn prompt(&self, language: Language, line: Line) -> &Prompt {
        let found = self.prompts.iter().find(|prompt| prompt.language == language && prompt.line == line);
        found.unwrap_or(&self.prompts[0]) // `checked` saw that every line a call plays is there
    }
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
        let english = library.prompt(Language::En, Line::Consent);
        assert_eq!((english.codes.len(), english.key_named_at('1'), english.key_named_at('9')), (97_962, Some(33_581), Some(76_773)));
        assert_eq!(library.prompt(Language::Es, Line::Consent).key_named_at('2'), Some(65_376));
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
}
