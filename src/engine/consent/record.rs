//! What the ledger keeps of a consent decision, in PX-735's own names.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::engine::policy::Basis;
use crate::engine::time::WallTime;

/// Where a client stands (PX-735 §3.3). `Pending` is also the answer for a client never asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsentStatus {
    /// Recording, transcription and storage are allowed.
    Granted,
    /// The client, or a case manager for the client, said no.
    Revoked,
    /// Nobody has said anything that counts, or what was taken for a yes was none.
    Pending,
}

/// How consent was given or withdrawn (PX-735 `ConsentCollectionMethod`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Method {
    /// A key, by Twilio's event or by its tone in the audio.
    Keypress,
    /// Ten seconds on the line after the whole prompt.
    SilenceTimeout,
    /// Said aloud.
    Verbal,
    /// On paper, or through the main app.
    Written,
}

/// Who called whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Direction {
    /// The client called the organisation.
    Inbound,
    /// A case manager called the client.
    Outbound,
}

/// Why a call, or the rest of one, went unrecorded (PX-735 §4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UnrecordedReason {
    /// The client pressed 2, or said no during this call.
    ClientOptOut,
    /// The client had revoked consent before this call.
    PriorOptOut,
    /// No answer that can be trusted, or something of ours broke.
    SystemError,
    /// The case manager chose not to record.
    ManualOverride,
}

/// Who did it: the client on the line, a person of the organisation, or callgate itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Actor {
    /// The client, on the line.
    Client {
        /// The client's opaque id.
        id: String,
    },
    /// Somebody with a token.
    User {
        /// The token's `sub`.
        id: String,
        /// The token's `name`, as it is shown to people.
        name: String,
    },
    /// callgate, by a rule.
    System,
}

impl Actor {
    /// Whether it is the same person, whatever they are called now.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::User { id, .. }, Self::User { id: other, .. }) => id == other,
            (_, _) => self == other,
        }
    }
}

/// What a decision was seen in, a JSON value. Kept as text: as a tree it takes several times the room, for as long as its call lives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Circumstances(Box<str>);

impl Circumstances {
    /// The value.
    #[must_use]
    pub fn told(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl From<Value> for Circumstances {
    fn from(told: Value) -> Self {
        Self(told.to_string().into())
    }
}

impl Serialize for Circumstances {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.told().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Circumstances {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

/// One line of a client's consent history. Append-only: superseded, never changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsentRecord {
    /// Opaque, unique.
    pub id: String,
    /// The organisation, whose chain this is part of.
    pub org_id: String,
    /// The client.
    pub client_id: String,
    /// The call it came from, if it came from one.
    pub call_id: Option<String>,
    /// `Granted` or `Revoked`; `Pending` where a yes was none after all, and where there is no record.
    pub status: ConsentStatus,
    /// How.
    pub method: Method,
    /// The language the prompt was last played in, "en" or "es".
    pub language_code: String,
    /// The version of the prompt's script, "v1".
    pub prompt_version: String,
    /// Who.
    pub actor: Actor,
    /// When, for people.
    pub at: WallTime,
    /// Free text given with a revocation.
    pub reason: Option<String>,
    /// What the decision was seen in: stream, place, prompt hash, levels. JSON, no audio and no digits but the meaning.
    pub evidence: Circumstances,
    /// The version of the policy by place that the call was held to; without a call, as for a revocation through the API, of the
    /// one in force. None only in records of before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<String>,
    /// The class that it gave the call, and what that was decided from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_basis: Option<Basis>,
}
