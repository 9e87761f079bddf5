//! What is new about a call, told from two of its states as others see them (`GET /api/calls/{callId}`). So every way in
//! which a state comes to be written tells the same, also that of a call which died with its gateway.

use serde_json::Value;

/// What can be new. The words stand in stored events and in webhooks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// Its state is another one. True of all news, and always the first.
    CallUpdated,
    /// The client said yes on this call.
    ConsentGranted,
    /// The client said no on this call, or somebody said it for the client.
    ConsentRevoked,
    /// The client hung up while being asked.
    ConsentAbandoned,
    /// The call was connected, is over, and nothing of it is recorded.
    CallUnrecorded,
    /// Its recording is stored, and proven to be.
    RecordingFinished,
    /// Its recording was destroyed.
    RecordingDiscarded,
    /// A pause that nobody ended has ended its recording: somebody forgot to resume.
    RecordingPauseExpired,
    /// Its recording could not be kept, or not yet.
    RecordingFailed,
    /// Its transcript is stored.
    TranscriptionFinished,
    /// Its transcript, or a part of it, is lost.
    TranscriptionFailed,
}

/// What makes a state another one. Counters do not: they move with every frame.
const TOLD: [&str; 14] = [
    "/callSid",
    "/phase",
    "/consent/status",
    "/consent/method",
    "/consent/grantedAt",
    "/consent/effectiveAt",
    "/consent/languageCode",
    "/isRecorded",
    "/unrecordedReason",
    "/recording/state",
    "/recording/recordingId",
    "/recording/pauses",
    "/transcription/state",
    "/transfers",
];

impl News {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::CallUpdated,
        Self::ConsentGranted,
        Self::ConsentRevoked,
        Self::ConsentAbandoned,
        Self::CallUnrecorded,
        Self::RecordingFinished,
        Self::RecordingDiscarded,
        Self::RecordingPauseExpired,
        Self::RecordingFailed,
        Self::TranscriptionFinished,
        Self::TranscriptionFailed,
    ];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::CallUpdated => "call.updated",
            Self::ConsentGranted => "consent.granted",
            Self::ConsentRevoked => "consent.revoked",
            Self::ConsentAbandoned => "consent.abandoned",
            Self::CallUnrecorded => "call.unrecorded",
            Self::RecordingFinished => "recording.finished",
            Self::RecordingDiscarded => "recording.discarded",
            Self::RecordingPauseExpired => "recording.pause_expired",
            Self::RecordingFailed => "recording.failed",
            Self::TranscriptionFinished => "transcription.finished",
            Self::TranscriptionFailed => "transcription.failed",
        }
    }

    /// What `after` tells that `before` did not; nothing if they tell the same.
    #[must_use]
    pub fn between(before: Option<&Value>, after: &Value) -> Vec<Self> {
        if before.is_some_and(|before| TOLD.iter().all(|pointer| before.pointer(pointer) == after.pointer(pointer))) {
            return Vec::new();
        }
        Self::ALL
            .into_iter()
            .filter(|news| news.is_so(after) && (*news == Self::CallUpdated || !before.is_some_and(|before| news.is_so(before))))
            .collect()
    }

    fn is_so(self, state: &Value) -> bool {
        let is = |pointer: &str, word: &str| told(state, pointer) == Some(word);
        match self {
            Self::CallUpdated => true,
            Self::ConsentGranted => {
                told(state, "/consent/grantedAt").is_some() && state.pointer("/consent/prior").and_then(Value::as_bool) == Some(false)
            }
            Self::ConsentRevoked => is("/consent/status", "REVOKED") && is("/unrecordedReason", "CLIENT_OPT_OUT"),
            Self::ConsentAbandoned => is("/phase", "ABANDONED"),
            Self::CallUnrecorded => {
                is("/phase", "ENDED")
                    && told(state, "/connectedAt").is_some()
                    && state.pointer("/isRecorded").and_then(Value::as_bool) == Some(false)
            }
            Self::RecordingFinished => is("/recording/state", "FINISHED"),
            Self::RecordingDiscarded => is("/recording/state", "DISCARDED"),
            Self::RecordingPauseExpired => is("/recording/state", "HALTED") && is("/unrecordedReason", "MANUAL_OVERRIDE"),
            Self::RecordingFailed => is("/recording/state", "FAILED"),
            Self::TranscriptionFinished => is("/transcription/state", "FINISHED"),
            Self::TranscriptionFailed => is("/transcription/state", "FAILED"),
        }
    }
}

/// Whether nothing more is expected of a call: it is over, and its recording and its transcript, if there are any, have come to an end.
#[must_use]
pub fn is_over(state: &Value) -> bool {
    let over = matches!(told(state, "/phase"), Some("ENDED" | "ABANDONED"));
    let settled = matches!(told(state, "/recording/state"), Some("FINISHED" | "DISCARDED" | "FAILED"));
    let told_all = !matches!(told(state, "/transcription/state"), Some("ACTIVE" | "PAUSED" | "HALTED"));
    over && told_all && (settled || told(state, "/recording/recordingId").is_none())
}

fn told<'a>(state: &'a Value, pointer: &str) -> Option<&'a str> {
    state.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state(phase: &str, consent: &str, recording: &str) -> Value {
        json!({ "phase": phase, "consent": { "status": consent, "prior": false, "grantedAt": null }, "isRecorded": false,
                "unrecordedReason": null, "connectedAt": null, "recording": { "state": recording, "recordingId": null, "framesWithheld": 0 } })
    }

    fn words(before: &Value, after: &Value) -> String {
        News::between(Some(before), after).into_iter().map(News::word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_change_is_told_once_and_counters_are_no_change() {
        let asking = state("PROMPTING", "PENDING", "NOT_STARTED");
        let mut later = asking.clone();
        later["recording"]["framesWithheld"] = json!(900);
        assert_eq!(words(&asking, &later), "");
        assert_eq!(words(&asking, &state("AWAITING_RESPONSE", "PENDING", "NOT_STARTED")), "call.updated");
        let mut granted = state("CONNECTED", "GRANTED", "ACTIVE");
        granted["consent"]["grantedAt"] = json!("2026-11-26T08:00:00.000Z");
        assert_eq!(words(&asking, &granted), "call.updated consent.granted");
        let mut prior = granted.clone();
        prior["consent"]["prior"] = json!(true);
        assert_eq!(words(&asking, &prior), "call.updated", "a yes of an earlier call is no news");
        let mut paused = granted.clone();
        paused["recording"]["pauses"] = json!([{ "reason": "OPT_OUT_HEARD" }]);
        assert_eq!(words(&granted, &paused), "call.updated", "whoever looks on sees that there is something to judge");
        let mut forgotten = state("CONNECTED", "GRANTED", "HALTED");
        forgotten["consent"]["grantedAt"] = granted["consent"]["grantedAt"].clone();
        forgotten["unrecordedReason"] = json!("MANUAL_OVERRIDE");
        assert_eq!(words(&paused, &forgotten), "call.updated recording.pause_expired");
        let mut no = state("CONNECTED", "REVOKED", "HALTED");
        no["unrecordedReason"] = json!("CLIENT_OPT_OUT");
        assert_eq!(words(&granted, &no), "call.updated consent.revoked");
        let revoked_before = state("PROMPTING", "REVOKED", "NOT_STARTED");
        assert_eq!(words(&revoked_before, &no), "call.updated consent.revoked", "a no is said again by who had said it before");
        assert_eq!(words(&asking, &state("ABANDONED", "PENDING", "NOT_STARTED")), "call.updated consent.abandoned");
        assert_eq!(News::between(None, &asking), [News::CallUpdated], "the first state is news");
    }

    #[test]
    fn an_unrecorded_call_is_told_when_it_is_over_and_only_if_people_talked() {
        let mut talk = state("CONNECTED", "REVOKED", "NOT_STARTED");
        talk["connectedAt"] = json!("2026-11-26T08:00:00.000Z");
        let mut over = talk.clone();
        over["phase"] = json!("ENDED");
        assert_eq!(words(&talk, &over), "call.updated call.unrecorded");
        let mut nobody = over.clone();
        nobody["connectedAt"] = Value::Null;
        assert_eq!(words(&talk, &nobody), "call.updated");
        let mut recorded = over.clone();
        recorded["isRecorded"] = json!(true);
        recorded["recording"]["state"] = json!("FAILED");
        assert_eq!(words(&talk, &recorded), "call.updated recording.failed");
        recorded["recording"]["state"] = json!("FINISHED");
        assert_eq!(words(&over, &recorded), "call.updated recording.finished");
    }

    #[test]
    fn a_call_is_over_when_its_recording_is_settled_as_well() {
        let mut call = state("ENDED", "GRANTED", "ACTIVE");
        assert!(is_over(&call), "nothing was ever recorded");
        call["recording"]["recordingId"] = json!("rec_1");
        assert!(!is_over(&call));
        for settled in ["FINISHED", "DISCARDED", "FAILED"] {
            call["recording"]["state"] = json!(settled);
            assert!(is_over(&call), "{settled}");
        }
        call["phase"] = json!("CONNECTED");
        assert!(!is_over(&call));
    }
}
