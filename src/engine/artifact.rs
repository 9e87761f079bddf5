//! What else is made of a call, by whatever tool: may it be made now, and on what basis (P5: the same consent as the recording).
//!
//! A summary, a sentiment, a score, a CRM's copy are the call's words in another form: they may be made while what they are made
//! of may be kept and used, and no longer. A person's own notes are not made of the recording; PX-735 asks for them just where there is none.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::time::WallTime;

/// What can be made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ArtifactKind {
    /// The audio itself.
    Recording,
    /// What was said, as text.
    Transcript,
    /// The same in short.
    Summary,
    /// How it was said.
    Sentiment,
    /// How well the call was handled.
    QaScore,
    /// What the case manager writes down.
    AgentNotes,
    /// A copy of any of it in another system.
    CrmSync,
}

/// Why it may be made, or may not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Basis {
    /// It may: the client consented to being recorded.
    Consent,
    /// It may: it is made of nothing that was recorded.
    NoConsentNeeded,
    /// It may not: nobody has talked yet, or ever will.
    NotConnected,
    /// It may not: the client has not consented.
    NoConsent,
    /// It may not: the client has withdrawn.
    ConsentWithdrawn,
    /// It may not: a stretch is going on that must not be captured.
    Paused,
    /// It may not: there is nothing captured to make it of.
    NotCaptured,
    /// It may not: the call is over, and its recording made.
    CallOver,
    /// It may not: what it would be made of is queued for deletion. A later yes takes nothing out of the queue.
    DeletionQueued,
    /// It may not: what it would be made of was deleted.
    Deleted,
}

/// May it be made now?
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Ruling {
    /// Whether it may.
    pub allowed: bool,
    /// Why, or why not.
    pub reason: Basis,
    /// Since when that is so, if there is a moment to name.
    #[cfg_attr(feature = "server", schema(format = DateTime))]
    pub since: Option<String>,
}

/// What is known besides the call's own state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Since {
    /// The client's newest word is a no.
    pub withdrawn: bool,
    /// When the client last said no, if ever.
    pub withdrawn_at: Option<WallTime>,
    /// When the recording was queued for deletion, if it is or was.
    pub queued_at: Option<WallTime>,
    /// When the recording was deleted.
    pub deleted_at: Option<WallTime>,
}

impl ArtifactKind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Recording, Self::Transcript, Self::Summary, Self::Sentiment, Self::QaScore, Self::AgentNotes, Self::CrmSync];

    /// Whether it is made of what was recorded, and so goes when that goes.
    #[must_use]
    pub const fn is_derived(self) -> bool {
        match self {
            Self::Recording | Self::Transcript | Self::Summary | Self::Sentiment | Self::QaScore | Self::CrmSync => true,
            Self::AgentNotes => false,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Recording => "RECORDING",
            Self::Transcript => "TRANSCRIPT",
            Self::Summary => "SUMMARY",
            Self::Sentiment => "SENTIMENT",
            Self::QaScore => "QA_SCORE",
            Self::AgentNotes => "AGENT_NOTES",
            Self::CrmSync => "CRM_SYNC",
        }
    }

    /// Whether it may be made of a call now; `call` is the JSON of `GET /api/calls/{callId}`.
    #[must_use]
    pub fn may_be_made(self, call: &Value, since: Since) -> Ruling {
        if self.is_derived() { derived(self, call, since) } else { notes(call) }
    }
}

impl fmt::Display for Basis {
    /// The rest of a sentence that begins with "it may not be made:".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Consent => "the client consented",
            Self::NoConsentNeeded => "it needs no consent",
            Self::NotConnected => "nobody has talked on this call",
            Self::NoConsent => "the client has not consented to this call being recorded",
            Self::ConsentWithdrawn => "the client has withdrawn consent",
            Self::Paused => "capture is paused",
            Self::NotCaptured => "nothing of the call is captured that it could be made of",
            Self::CallOver => "the call is over, and its recording is made",
            Self::DeletionQueued => "the recording is queued for deletion",
            Self::Deleted => "the recording was deleted",
        })
    }
}

/// A person's own notes: of any call on which people talked.
fn notes(call: &Value) -> Ruling {
    match text(call, "/connectedAt") {
        Some(at) => Ruling { allowed: true, reason: Basis::NoConsentNeeded, since: Some(at.to_owned()) },
        None => no(Basis::NotConnected, text(call, "/endedAt")),
    }
}

/// What rests on the recording's consent. Every doubt is a no.
fn derived(kind: ArtifactKind, call: &Value, since: Since) -> Ruling {
    let time = |at: Option<WallTime>| at.map(|at| at.to_string());
    let consent = text(call, "/consent/status");
    if since.withdrawn || consent == Some("REVOKED") {
        return no(Basis::ConsentWithdrawn, time(since.withdrawn_at).as_deref());
    }
    if since.deleted_at.is_some() {
        return no(Basis::Deleted, time(since.deleted_at).as_deref());
    }
    if since.queued_at.is_some() {
        return no(Basis::DeletionQueued, time(since.queued_at).as_deref());
    }
    let granted_at = text(call, "/consent/grantedAt");
    if consent != Some("GRANTED") {
        return no(Basis::NoConsent, text(call, "/startedAt"));
    }
    let over = matches!(text(call, "/phase"), Some("ENDED" | "ABANDONED"));
    match text(call, "/recording/state") {
        Some("PAUSED") => no(Basis::Paused, text(call, "/recording/pauses/0/since")),
        Some("ACTIVE") => yes(granted_at),
        Some("FINISHED") if kind == ArtifactKind::Recording => no(Basis::CallOver, text(call, "/endedAt")),
        Some("FINISHED") => yes(granted_at),
        // A forgotten pause ended it: what was captured before stands on the consent that was given.
        Some("HALTED") if kind != ArtifactKind::Recording => yes(granted_at),
        // Not begun, destroyed, or not stored.
        Some(_) | None => no(Basis::NotCaptured, if over { text(call, "/endedAt") } else { None }),
    }
}

fn yes(since: Option<&str>) -> Ruling {
    Ruling { allowed: true, reason: Basis::Consent, since: since.map(str::to_owned) }
}

fn no(reason: Basis, since: Option<&str>) -> Ruling {
    Ruling { allowed: false, reason, since: since.map(str::to_owned) }
}

fn text<'a>(call: &'a Value, pointer: &str) -> Option<&'a str> {
    call.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GRANTED_AT: &str = "2026-11-26T08:00:10.000Z";

    fn call(phase: &str, consent: &str, recording: &str) -> Value {
        let granted = (consent == "GRANTED").then_some(GRANTED_AT);
        let connected = (phase == "CONNECTED" || phase == "ENDED").then_some("2026-11-26T08:00:11.000Z");
        let ended = (phase == "ENDED" || phase == "ABANDONED").then_some("2026-11-26T08:05:00.000Z");
        json!({ "phase": phase, "consent": { "status": consent, "grantedAt": granted }, "startedAt": "2026-11-26T08:00:00.000Z",
                "connectedAt": connected, "endedAt": ended,
                "recording": { "state": recording, "pauses": [{ "since": "2026-11-26T08:01:00.000Z" }] } })
    }

    #[test]
    fn what_is_made_of_the_recording_stands_and_falls_with_its_consent() {
        let never = Since::default();
        for (phase, consent, recording, allowed, reason) in [
            ("PROMPTING", "PENDING", "NOT_STARTED", false, Basis::NoConsent),
            ("CONNECTED", "GRANTED", "NOT_STARTED", false, Basis::NotCaptured),
            ("CONNECTED", "GRANTED", "ACTIVE", true, Basis::Consent),
            ("CONNECTED", "GRANTED", "PAUSED", false, Basis::Paused),
            ("CONNECTED", "REVOKED", "HALTED", false, Basis::ConsentWithdrawn),
            ("ENDED", "REVOKED", "FINISHED", false, Basis::ConsentWithdrawn),
            ("ENDED", "GRANTED", "HALTED", true, Basis::Consent),
            ("ENDED", "GRANTED", "FINISHED", true, Basis::Consent),
            ("ENDED", "GRANTED", "DISCARDED", false, Basis::NotCaptured),
            ("ENDED", "GRANTED", "FAILED", false, Basis::NotCaptured),
            ("ENDED", "PENDING", "NOT_STARTED", false, Basis::NoConsent),
            ("ABANDONED", "PENDING", "NOT_STARTED", false, Basis::NoConsent),
            ("TELEPORTED", "SOMETHING", "ELSE", false, Basis::NoConsent),
        ] {
            for kind in ArtifactKind::ALL.into_iter().filter(|kind| kind.is_derived() && *kind != ArtifactKind::Recording) {
                let ruling = kind.may_be_made(&call(phase, consent, recording), never);
                assert_eq!((ruling.allowed, ruling.reason), (allowed, reason), "{kind:?} of {phase} {consent} {recording}");
                assert!(!allowed || ruling.since.as_deref() == Some(GRANTED_AT), "{ruling:?}");
            }
            // What allows any of it allows a recording, or did.
            let recording_ruling = ArtifactKind::Recording.may_be_made(&call(phase, consent, recording), never);
            assert_eq!(recording_ruling.allowed, recording == "ACTIVE" && consent == "GRANTED", "{phase} {consent} {recording}");
        }
    }

    #[test]
    fn a_no_that_came_after_the_call_ends_it_for_all_of_them() {
        let at = WallTime::parse("2026-11-27T09:00:00.000Z");
        let ended = call("ENDED", "GRANTED", "FINISHED");
        let ruling = ArtifactKind::Summary.may_be_made(&ended, Since { withdrawn: true, withdrawn_at: at, ..Since::default() });
        assert_eq!(ruling, Ruling { allowed: false, reason: Basis::ConsentWithdrawn, since: at.map(|at| at.to_string()) });
        // A later yes, on another call, gives back what that no queued nothing of (a key: see `Queues`), and nothing that it did.
        let later_yes = Since { withdrawn_at: at, ..Since::default() };
        assert!(ArtifactKind::Summary.may_be_made(&ended, later_yes).allowed);
        let queued = Since { queued_at: at, ..later_yes };
        for kind in ArtifactKind::ALL {
            let ruling = kind.may_be_made(&ended, queued);
            let expected = if kind.is_derived() { (false, Basis::DeletionQueued) } else { (true, Basis::NoConsentNeeded) };
            assert_eq!((ruling.allowed, ruling.reason), expected, "{kind:?}");
        }
        let ruling = ArtifactKind::Summary.may_be_made(&ended, queued);
        assert_eq!(ruling.since, at.map(|at| at.to_string()));
        let ruling = ArtifactKind::Summary.may_be_made(&ended, Since { deleted_at: at, ..queued });
        assert_eq!((ruling.allowed, ruling.reason), (false, Basis::Deleted));
    }

    #[test]
    fn notes_are_a_persons_own_and_wanted_where_nothing_was_recorded() {
        let no = Since { withdrawn: true, ..Since::default() };
        for (phase, consent) in [("CONNECTED", "REVOKED"), ("ENDED", "REVOKED"), ("ENDED", "GRANTED")] {
            let ruling = ArtifactKind::AgentNotes.may_be_made(&call(phase, consent, "NOT_STARTED"), no);
            assert_eq!((ruling.allowed, ruling.reason), (true, Basis::NoConsentNeeded), "{phase} {consent}");
        }
        let ruling = ArtifactKind::AgentNotes.may_be_made(&call("ABANDONED", "PENDING", "NOT_STARTED"), no);
        assert_eq!((ruling.allowed, ruling.reason), (false, Basis::NotConnected));
    }

    #[test]
    fn a_kind_has_one_word() {
        for kind in ArtifactKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
            assert_eq!(serde_json::from_value::<ArtifactKind>(kind.word().into()).unwrap(), kind);
        }
    }
}
