//! The manifest beside a recording: what it is, what allowed it, what is in it and what is not.

use std::sync::Arc;

use serde::Serialize;

use super::layout::{Beep, Cut, Pause, Silenced, Stretch, Transfer};
use super::{Encoded, Plan};
use crate::engine::consent::ConsentRecord;
use crate::engine::time::SAMPLES_PER_MS;
use crate::io::spool::{Lead, PauseGaps, RecordingHead};

/// Written as JSON beside the audio.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The recording's id.
    pub recording_id: String,
    /// Its call.
    pub call_id: String,
    /// Twilio's id of the call.
    pub call_sid: String,
    /// The client.
    pub client_id: String,
    /// The organisation.
    pub org_id: String,
    /// When it began.
    pub started_at: String,
    /// `wav` or `opus`.
    pub format: String,
    /// 8000.
    pub sample_rate_hz: u32,
    /// What is on which channel, left first.
    pub channels: [&'static str; 2],
    /// Its length.
    pub duration_ms: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// SHA-256 of the audio.
    pub sha256: String,
    /// Frames captured of the client and of the other party.
    pub frames: [u64; 2],
    /// What was captured of which stream, in Twilio's own timestamps.
    pub segments: Vec<Stretch>,
    /// Where the gate was shut as of an earlier moment: what had been captured behind it was taken back.
    pub cuts: Vec<Cut>,
    /// The pauses in it.
    pub pauses: Vec<Pause>,
    /// To whom the call was handed over meanwhile, in order.
    pub transfers: Vec<Transfer>,
    /// Whether they are silence in it, or left out.
    pub pause_gaps: PauseGaps,
    /// The tones that told of the recording: 1400 Hz, 200 ms, at these times sent to the client, and not part of the audio.
    pub beeps: Vec<Beep>,
    /// What was silenced in it, on both channels, by the words of its transcript.
    pub redactions: Vec<Silenced>,
    /// Whether that is all: `false` if not everything was heard by its recogniser, null where recordings are not silenced.
    pub redactions_complete: Option<bool>,
    /// Our own prompt at its beginning.
    pub prompt: Option<ManifestLead>,
    /// The consent record it rests on, and its place in the chain.
    pub consent: ManifestConsent,
    /// Whether the call ended it, or a crash of ours.
    pub complete: bool,
    /// What could not be read of it.
    pub damage: Option<String>,
    /// What made it.
    pub software: String,
}

/// Our own prompt.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestLead {
    #[serde(flatten)]
    lead: Lead,
    lead_ms: u64,
}

/// What allowed it.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestConsent {
    ledger_seq: u64,
    record: Arc<ConsentRecord>,
}

impl Manifest {
    /// Of what was encoded.
    #[must_use]
    pub fn of(head: &RecordingHead, plan: &Plan, encoded: &Encoded) -> Self {
        Self {
            recording_id: head.recording_id.clone(),
            call_id: head.call_id.clone(),
            call_sid: head.call_sid.clone(),
            client_id: head.client_id.clone(),
            org_id: head.org_id.clone(),
            started_at: head.started_at.clone(),
            format: head.format.clone(),
            sample_rate_hz: 8_000,
            channels: ["client", "other"],
            duration_ms: plan.samples / SAMPLES_PER_MS,
            bytes: encoded.bytes,
            sha256: encoded.sha256.clone(),
            frames: plan.frames,
            segments: plan.segments.clone(),
            cuts: plan.cut_at(),
            pauses: plan.pauses.clone(),
            transfers: plan.transfers.clone(),
            pause_gaps: head.pauses,
            beeps: plan.beeps.clone(),
            redactions: plan.silences(),
            redactions_complete: plan.all_silenced,
            prompt: head.lead.clone().map(|lead| ManifestLead { lead_ms: lead.samples / SAMPLES_PER_MS, lead }),
            consent: ManifestConsent { ledger_seq: head.grant_seq, record: Arc::clone(&head.consent) },
            complete: plan.sealed,
            damage: plan.damage.clone(),
            software: concat!("callgate ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// As it is stored.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}
