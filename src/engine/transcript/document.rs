//! A transcript as it is stored: JSON beside the recording it is of, its times those of the recording.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::redact::{Confidence, Entity, Policy, Span, Speaker};

/// How a version came to be masked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub enum Redaction {
    /// By the rules, before anything was stored. Nothing is stored otherwise.
    Redacted,
    /// Somebody saw what the version before still showed.
    Reviewed,
    /// By the rules of a later day, over the version before.
    RedactedAgain,
}

impl Redaction {
    /// The word that stands in rows and in the chain.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Redacted => "REDACTED",
            Self::Reviewed => "REVIEWED",
            Self::RedactedAgain => "REDACTED_AGAIN",
        }
    }
}

/// One version of a transcript.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Document {
    /// The transcript's id; all its versions have it.
    pub transcript_id: String,
    /// 1 is the first.
    pub version: u32,
    /// How it was masked: what was said reaches no store otherwise.
    pub redaction: Redaction,
    /// What was masked.
    pub policy: PolicyView,
    /// The recording it is of.
    pub recording_id: String,
    /// Its call.
    pub call_id: String,
    /// The client.
    pub client_id: String,
    /// The organisation.
    pub org_id: String,
    /// The ledger entry that allows it.
    pub ledger_seq: u64,
    /// The language that was asked for.
    pub language_code: String,
    /// Which protocol the recogniser spoke.
    pub recogniser: String,
    /// When it was made.
    pub created_at: String,
    /// Whether everything that was captured was transcribed.
    pub complete: bool,
    /// What was not.
    pub missed: Vec<Missed>,
    /// What was said, in order.
    pub utterances: Vec<Line>,
}

/// What one of them said in one go.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Line {
    /// `client` or `other`.
    #[serde(serialize_with = "spoken_by", deserialize_with = "speaker_of")]
    #[cfg_attr(feature = "server", schema(value_type = String))]
    pub speaker: Speaker,
    /// In the recording.
    pub start_ms: u64,
    /// In the recording.
    pub end_ms: u64,
    /// All of it, masked.
    pub text: String,
    /// Word by word, masked.
    pub words: Vec<SpokenWord>,
    /// What it may have been instead, masked.
    pub alternatives: Vec<UnsureText>,
    /// What was masked in it.
    pub masked: Vec<MaskedSpan>,
}

/// What one of them said, while the call goes on. Shows nothing of itself in a log (P11).
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Caption {
    /// `client` or `other`.
    #[serde(serialize_with = "spoken_by")]
    #[cfg_attr(feature = "server", schema(value_type = String))]
    pub speaker: Speaker,
    /// In the call.
    pub start_ms: u64,
    /// In the call.
    pub end_ms: u64,
    /// All of it, masked.
    pub text: String,
}

/// A word.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct SpokenWord {
    /// Masked, if it is to be.
    pub text: String,
    /// In the recording.
    pub start_ms: u64,
    /// In the recording.
    pub end_ms: u64,
    /// 0 to 1.
    pub confidence: f32,
}

/// Another thing that may have been said.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct UnsureText {
    /// All of it, masked.
    pub text: String,
    /// 0 to 1.
    pub confidence: f32,
}

/// Something that was masked, and where in the recording it sounds.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct MaskedSpan {
    /// What it is.
    pub entity: String,
    /// How sure that is: `SHAPE`, `CUE`, `CHECKSUM`, or `REVIEWED` if somebody said so.
    pub confidence: String,
    /// In the recording.
    pub start_ms: u64,
    /// In the recording.
    pub end_ms: u64,
}

/// Captured, and not transcribed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Missed {
    /// Whose words.
    #[serde(serialize_with = "spoken_by", deserialize_with = "speaker_of")]
    #[cfg_attr(feature = "server", schema(value_type = String))]
    pub speaker: Speaker,
    /// From where.
    pub start_ms: u64,
    /// To where.
    pub end_ms: u64,
}

/// What was masked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct PolicyView {
    /// These entities.
    pub entities: Vec<String>,
    /// And each run of three digits or more.
    pub strict: bool,
}

impl PolicyView {
    /// Of a policy.
    #[must_use]
    pub fn of(policy: Policy) -> Self {
        let entities = Entity::ALL.into_iter().filter(|entity| *entity != Entity::Number && policy.entities.has(*entity));
        Self { entities: entities.map(|entity| entity.code().to_owned()).collect(), strict: policy.strict }
    }
}

impl MaskedSpan {
    pub(super) fn of(span: &Span, start_ms: u64, end_ms: u64) -> Self {
        Self { entity: span.entity.code().to_owned(), confidence: sure(span.confidence).to_owned(), start_ms, end_ms }
    }
}

/// The word for how sure the rules are.
pub(super) const fn sure(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Shape => "SHAPE",
        Confidence::Cue => "CUE",
        Confidence::Checksum => "CHECKSUM",
    }
}

impl Document {
    /// As it is stored.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// As it was stored.
    ///
    /// # Errors
    /// If it is no transcript.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

fn spoken_by<S: Serializer>(speaker: &Speaker, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match speaker {
        Speaker::Client => "client",
        Speaker::Other => "other",
    })
}

fn speaker_of<'de, D: Deserializer<'de>>(from: D) -> Result<Speaker, D::Error> {
    match &*String::deserialize(from)? {
        "client" => Ok(Speaker::Client),
        "other" => Ok(Speaker::Other),
        _ => Err(serde::de::Error::custom("a speaker is `client` or `other`")),
    }
}

impl std::fmt::Debug for Document {
    /// How much, never what (P11).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({} v{}, {} utterances)", self.transcript_id, self.version, self.utterances.len())
    }
}
