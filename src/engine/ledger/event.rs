//! What is written into an organisation's chain: PX-735 §5.1's rows, and what else a regulator may ask for.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::consent::{Actor, ConsentStatus};
use crate::engine::time::WallTime;

/// What happened. The words are stable: they stand in chains for years.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// Consent was given.
    #[serde(rename = "consent.granted")]
    ConsentGranted,
    /// It was withdrawn, before or during a call.
    #[serde(rename = "consent.revoked")]
    ConsentRevoked,
    /// A yes turned out to be none: nobody had listened.
    #[serde(rename = "consent.annulled")]
    ConsentAnnulled,
    /// It was, and the database took the record only later. The gate was shut all the while.
    #[serde(rename = "consent.revocation_late")]
    RevocationLate,
    /// The client hung up while being asked.
    #[serde(rename = "consent.abandoned")]
    ConsentAbandoned,
    /// Somebody looked at where a client stands.
    #[serde(rename = "consent.viewed")]
    ConsentViewed,
    /// Somebody asked for a call to a client, and Twilio is asked to place it.
    #[serde(rename = "call.placed")]
    CallPlaced,
    /// A call that was placed reached nobody.
    #[serde(rename = "call.unreached")]
    CallUnreached,
    /// A voice bot serves the call.
    #[serde(rename = "call.relayed")]
    CallRelayed,
    /// The bot hung up; the call goes on with whoever is next.
    #[serde(rename = "call.relay_ended")]
    RelayEnded,
    /// The bot could not be reached, or broke off; the call goes on with whoever is next.
    #[serde(rename = "call.relay_lost")]
    RelayLost,
    /// The other party has come, on a leg of its own.
    #[serde(rename = "call.bridged")]
    CallBridged,
    /// It is gone: it hung up, or could not be reached, or its leg broke.
    #[serde(rename = "call.bridge_ended")]
    BridgeEnded,
    /// Somebody hands the call over.
    #[serde(rename = "call.transferred")]
    CallTransferred,
    /// Twilio did not do it: whoever was there is there.
    #[serde(rename = "call.transfer_failed")]
    TransferFailed,
    /// A recording began.
    #[serde(rename = "recording.started")]
    RecordingStarted,
    /// A recording is stored, and proven to be.
    #[serde(rename = "recording.finished")]
    RecordingFinished,
    /// An opt-out stopped a recording.
    #[serde(rename = "recording.halted")]
    RecordingHalted,
    /// A recording was destroyed before anything reached the store.
    #[serde(rename = "recording.discarded")]
    RecordingDiscarded,
    /// A recording could not be kept; what there is of it stays in the spool.
    #[serde(rename = "recording.failed")]
    RecordingFailed,
    /// Somebody holds a recording up: what follows must not be captured.
    #[serde(rename = "recording.paused")]
    RecordingPaused,
    /// A holder of a pause let go.
    #[serde(rename = "recording.resumed")]
    RecordingResumed,
    /// A pause was forgotten: its recording is over. An alarm.
    #[serde(rename = "recording.pause_expired")]
    PauseExpired,
    /// A recording was described or heard.
    #[serde(rename = "recording.read")]
    RecordingRead,
    /// A recording's words are being taken down.
    #[serde(rename = "transcription.started")]
    TranscriptionStarted,
    /// A transcript is stored, redacted.
    #[serde(rename = "transcription.finished")]
    TranscriptionFinished,
    /// A transcript, or a part of it, is lost; its recording is not.
    #[serde(rename = "transcription.failed")]
    TranscriptionFailed,
    /// A transcript was dropped with its recording.
    #[serde(rename = "transcription.discarded")]
    TranscriptionDiscarded,
    /// More of a transcript is masked, in a version of its own.
    #[serde(rename = "transcript.redacted")]
    TranscriptRedacted,
    /// Recordings of a client wait for deletion.
    #[serde(rename = "recording.queued")]
    RecordingQueued,
    /// A recording was deleted, and a fresh look found nothing of it.
    #[serde(rename = "recording.deleted")]
    RecordingDeleted,
    /// A dispute keeps a client's recordings from deletion.
    #[serde(rename = "hold.placed")]
    HoldPlaced,
    /// It does so no more.
    #[serde(rename = "hold.lifted")]
    HoldLifted,
    /// An unrecorded call that was connected is over; its metadata is kept, and its case manager has a task.
    #[serde(rename = "interaction.logged")]
    InteractionLogged,
    /// A documentation task is done.
    #[serde(rename = "task.completed")]
    TaskCompleted,
    /// A call, or the rest of one, goes on unrecorded.
    #[serde(rename = "call.unrecorded")]
    CallUnrecorded,
    /// A spool without a durable grant was destroyed after a restart.
    #[serde(rename = "spool.destroyed")]
    SpoolDestroyed,
    /// Somebody made something of a call in another system, and said so.
    #[serde(rename = "artifact.registered")]
    ArtifactRegistered,
    /// Artifacts wait for deletion.
    #[serde(rename = "artifact.queued")]
    ArtifactQueued,
    /// An artifact's owner has taken the request to delete it.
    #[serde(rename = "artifact.asked")]
    ArtifactAsked,
    /// An artifact's owner has not confirmed that it is deleted. An alarm.
    #[serde(rename = "artifact.overdue")]
    ArtifactOverdue,
    /// An artifact is deleted, by its owner's word.
    #[serde(rename = "artifact.deleted")]
    ArtifactDeleted,
    /// A call's evidence was handed out; its detail commits to what was.
    #[serde(rename = "evidence.exported")]
    EvidenceExported,
    /// Somebody asked for what is not theirs.
    #[serde(rename = "access.denied")]
    AccessDenied,
    /// The configuration with which the gateway started.
    #[serde(rename = "config.in_force")]
    ConfigInForce,
}

/// What was done to the thing the event is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Action {
    /// It came to be.
    Create,
    /// Somebody looked at it.
    View,
    /// It changed.
    Update,
    /// It was withdrawn or deleted.
    Delete,
}

/// How much it matters to who reads the audit log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Severity {
    /// Routine.
    Low,
    /// A decision.
    Medium,
    /// A withdrawal, a loss, a denial.
    High,
}

/// Where in a call's media something happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// Twilio's id of the stream.
    pub stream_sid: String,
    /// Sequence number of the message.
    pub sequence: u64,
    /// Twilio's timestamp, in milliseconds since that stream began.
    pub timestamp_ms: u64,
}

/// One line for a chain, before it has a place in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Whose chain.
    pub org_id: String,
    /// What happened.
    pub kind: EventKind,
    /// Who did it.
    pub actor: Actor,
    /// On which call.
    pub call_id: Option<String>,
    /// About which client, by opaque id: names and numbers never enter a link.
    pub client_id: Option<String>,
    /// When, for people; the order is the chain's.
    pub at: WallTime,
    /// Where in the media.
    pub position: Option<Position>,
    /// What else there is to say: no audio, no digits, no transcript.
    pub detail: Value,
}

impl EventKind {
    /// The word that stands in the chain.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ConsentGranted => "consent.granted",
            Self::ConsentRevoked => "consent.revoked",
            Self::ConsentAnnulled => "consent.annulled",
            Self::RevocationLate => "consent.revocation_late",
            Self::ConsentAbandoned => "consent.abandoned",
            Self::ConsentViewed => "consent.viewed",
            Self::CallPlaced => "call.placed",
            Self::CallUnreached => "call.unreached",
            Self::CallRelayed => "call.relayed",
            Self::RelayEnded => "call.relay_ended",
            Self::RelayLost => "call.relay_lost",
            Self::CallBridged => "call.bridged",
            Self::BridgeEnded => "call.bridge_ended",
            Self::CallTransferred => "call.transferred",
            Self::TransferFailed => "call.transfer_failed",
            Self::RecordingStarted => "recording.started",
            Self::RecordingFinished => "recording.finished",
            Self::RecordingHalted => "recording.halted",
            Self::RecordingDiscarded => "recording.discarded",
            Self::RecordingFailed => "recording.failed",
            Self::RecordingPaused => "recording.paused",
            Self::RecordingResumed => "recording.resumed",
            Self::PauseExpired => "recording.pause_expired",
            Self::RecordingRead => "recording.read",
            Self::TranscriptionStarted => "transcription.started",
            Self::TranscriptionFinished => "transcription.finished",
            Self::TranscriptionFailed => "transcription.failed",
            Self::TranscriptionDiscarded => "transcription.discarded",
            Self::TranscriptRedacted => "transcript.redacted",
            Self::RecordingQueued => "recording.queued",
            Self::RecordingDeleted => "recording.deleted",
            Self::HoldPlaced => "hold.placed",
            Self::HoldLifted => "hold.lifted",
            Self::InteractionLogged => "interaction.logged",
            Self::TaskCompleted => "task.completed",
            Self::CallUnrecorded => "call.unrecorded",
            Self::SpoolDestroyed => "spool.destroyed",
            Self::ArtifactRegistered => "artifact.registered",
            Self::ArtifactQueued => "artifact.queued",
            Self::ArtifactAsked => "artifact.asked",
            Self::ArtifactOverdue => "artifact.overdue",
            Self::ArtifactDeleted => "artifact.deleted",
            Self::EvidenceExported => "evidence.exported",
            Self::AccessDenied => "access.denied",
            Self::ConfigInForce => "config.in_force",
        }
    }

    /// Of a decision on a client's consent, which stands in the chain with its record or not at all.
    #[must_use]
    pub const fn of_decision(status: ConsentStatus) -> Self {
        match status {
            ConsentStatus::Granted => Self::ConsentGranted,
            ConsentStatus::Revoked => Self::ConsentRevoked,
            ConsentStatus::Pending => Self::ConsentAnnulled,
        }
    }

    /// Whether it is one of those.
    #[must_use]
    pub const fn is_decision(self) -> bool {
        matches!(self, Self::ConsentGranted | Self::ConsentRevoked | Self::ConsentAnnulled)
    }

    /// PX-735 §5.1's action.
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Self::ConsentGranted
            | Self::RecordingStarted
            | Self::TranscriptionStarted
            | Self::CallPlaced
            | Self::CallUnrecorded
            | Self::InteractionLogged
            | Self::ConsentAbandoned
            | Self::HoldPlaced
            | Self::ArtifactRegistered
            | Self::ConfigInForce => Action::Create,
            Self::ConsentViewed | Self::RecordingRead | Self::EvidenceExported | Self::AccessDenied => Action::View,
            Self::CallUnreached
            | Self::RevocationLate
            | Self::CallRelayed
            | Self::RelayEnded
            | Self::RelayLost
            | Self::CallBridged
            | Self::BridgeEnded
            | Self::CallTransferred
            | Self::TransferFailed
            | Self::RecordingFinished
            | Self::RecordingHalted
            | Self::RecordingPaused
            | Self::RecordingResumed
            | Self::PauseExpired
            | Self::RecordingFailed
            | Self::TranscriptionFinished
            | Self::TranscriptionFailed
            | Self::TranscriptRedacted
            | Self::ArtifactAsked
            | Self::ArtifactOverdue
            | Self::TaskCompleted => Action::Update,
            Self::ConsentRevoked
            | Self::ConsentAnnulled
            | Self::RecordingDiscarded
            | Self::TranscriptionDiscarded
            | Self::RecordingQueued
            | Self::RecordingDeleted
            | Self::HoldLifted
            | Self::ArtifactQueued
            | Self::ArtifactDeleted
            | Self::SpoolDestroyed => Action::Delete,
        }
    }

    /// PX-735 §5.1's severity.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::ConsentViewed
            | Self::RecordingRead
            | Self::EvidenceExported
            | Self::ArtifactAsked
            | Self::CallPlaced
            | Self::CallUnreached
            | Self::CallRelayed
            | Self::RelayEnded
            | Self::CallBridged
            | Self::BridgeEnded
            | Self::ConsentAbandoned
            | Self::TaskCompleted
            | Self::ConfigInForce => Severity::Low,
            Self::ConsentGranted
            | Self::RelayLost
            | Self::CallTransferred
            | Self::TransferFailed
            | Self::RecordingStarted
            | Self::RecordingPaused
            | Self::RecordingResumed
            | Self::RecordingFinished
            | Self::TranscriptionStarted
            | Self::TranscriptionFinished
            | Self::TranscriptRedacted
            | Self::CallUnrecorded
            | Self::ArtifactRegistered
            | Self::InteractionLogged => Severity::Medium,
            Self::ConsentRevoked
            | Self::ConsentAnnulled
            | Self::RevocationLate
            | Self::RecordingQueued
            | Self::RecordingDeleted
            | Self::HoldPlaced
            | Self::HoldLifted
            | Self::RecordingHalted
            | Self::PauseExpired
            | Self::RecordingDiscarded
            | Self::RecordingFailed
            | Self::TranscriptionFailed
            | Self::TranscriptionDiscarded
            | Self::SpoolDestroyed
            | Self::ArtifactQueued
            | Self::ArtifactOverdue
            | Self::ArtifactDeleted
            | Self::AccessDenied => Severity::High,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_rows_have_its_action_and_severity() {
        for (kind, action, severity) in [
            (EventKind::ConsentGranted, Action::Create, Severity::Medium), // by keypress or by timeout
            (EventKind::ConsentRevoked, Action::Delete, Severity::High),
            (EventKind::RecordingStarted, Action::Create, Severity::Medium),
            (EventKind::CallUnrecorded, Action::Create, Severity::Medium),
            (EventKind::ConsentViewed, Action::View, Severity::Low),
        ] {
            assert_eq!((kind.action(), kind.severity()), (action, severity), "{}", kind.word());
        }
    }
}
