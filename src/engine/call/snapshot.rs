//! A call as others see it: the JSON of `GET /api/calls/{callId}` less what only the world knows.

use serde::Serialize;

use super::{CallIdentity, PauseView, TransferView};
use crate::engine::consent::{ConsentStatus, Method, UnrecordedReason};
use crate::engine::time::{MediaTime, WallTime};

/// Where a call is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    /// Made, no stream yet.
    Created,
    /// The prompt is playing.
    Prompting,
    /// The prompt is over, the ten seconds run.
    AwaitingResponse,
    /// Decided; people talk, or are about to.
    Connected,
    /// Over.
    Ended,
    /// The client hung up while being asked.
    Abandoned,
}

/// Where a recording is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, serde::Deserialize, Hash)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RecordingState {
    /// Nothing captured yet, and perhaps nothing ever will be.
    NotStarted,
    /// The gate is open.
    Active,
    /// Open, and a pause holds it.
    Paused,
    /// An opt-out stopped it; what consent covered is kept.
    Halted,
    /// Stored, and proven to be.
    Finished,
    /// Destroyed before anything reached the store.
    Discarded,
    /// Lost, or not stored yet; the spool is kept.
    Failed,
}

/// Consent as it stands on this call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConsentView {
    /// Granted, revoked, or pending.
    pub status: ConsentStatus,
    /// How it was given or withdrawn on this call.
    pub method: Option<Method>,
    /// Whether it was given before this call.
    pub prior: bool,
    /// When.
    pub granted_at: Option<WallTime>,
    /// From when on the no that was said on this call holds: nothing of after that moment is kept.
    pub effective_at: Option<WallTime>,
    /// The language last asked in.
    pub language_code: &'static str,
    /// The version of the prompt.
    pub prompt_version: String,
}

/// A stretch of one stream that was captured without a gap of more than a second.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// Twilio's id of the stream.
    pub stream_sid: String,
    /// Twilio's timestamp of the first frame captured.
    pub start_ms: MediaTime,
    /// Just past the last.
    pub end_ms: MediaTime,
}

/// Frames of the two parties' tracks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Frames {
    /// What Twilio receives from the client's leg.
    pub inbound: u64,
    /// What it plays there.
    pub outbound: u64,
}

/// The whole of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Who and what.
    pub identity: CallIdentity,
    /// Where in its life.
    pub phase: Phase,
    /// Consent.
    pub consent: ConsentView,
    /// Whether anything of it is, or will be, in a recording.
    pub is_recorded: bool,
    /// Why not.
    pub unrecorded_reason: Option<UnrecordedReason>,
    /// The machine's own view of the recording.
    pub recording: RecordingState,
    /// Pauses in force.
    pub pauses: Vec<PauseView>,
    /// To whom it was handed over, in order.
    pub transfers: Vec<TransferView>,
    /// Frames captured.
    pub captured: Frames,
    /// Frames heard and not captured.
    pub withheld: Frames,
    /// What was captured of which stream.
    pub segments: Vec<Segment>,
    /// Whether a no reaches into the recording that came when it could be cut no more: all of it is to be deleted.
    pub taken_back: bool,
    /// When its first stream began.
    pub started_at: WallTime,
    /// When it was decided.
    pub connected_at: Option<WallTime>,
    /// When it was over.
    pub ended_at: Option<WallTime>,
}

/// What makes a state another one. Counters do not: they move with every frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    /// Where the call is in its life.
    pub phase: Phase,
    /// Where consent stands.
    pub consent: ConsentStatus,
    /// Where the recording is.
    pub recording: RecordingState,
    method: Option<Method>,
    effective_at: Option<WallTime>,
    language_code: &'static str,
    is_recorded: bool,
    unrecorded_reason: Option<UnrecordedReason>,
    pauses: usize,
    transfers: usize,
}

impl Snapshot {
    /// What others are told when it changes.
    #[must_use]
    pub const fn told(&self) -> Told {
        Told {
            phase: self.phase,
            consent: self.consent.status,
            recording: self.recording,
            method: self.consent.method,
            effective_at: self.consent.effective_at,
            language_code: self.consent.language_code,
            is_recorded: self.is_recorded,
            unrecorded_reason: self.unrecorded_reason,
            pauses: self.pauses.len(),
            transfers: self.transfers.len(),
        }
    }
}
