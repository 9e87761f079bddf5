//! Two legs that are joined here, and one of them breaks. Nobody hung up: behind both streams stands the same conference, where
//! the two talk on, and nothing of that is captured (P6). So the call goes on, unrecorded, until Twilio says that it is over; the chain
//! says why, and a no that somebody tells of later is taken as in any other call. If the client's stream breaks before they are joined,
//! while the client is asked or thanked, the other party is called all the same and meets the client there.

use serde_json::json;

use super::outbox::Effect;
use super::talk::Refused;
use super::{Call, Now, Outbox, RecordingState, State, StreamNo};
use crate::engine::consent::UnrecordedReason;
use crate::engine::ledger::EventKind;

impl Call {
    /// A stream's socket is gone, and nobody said that it would be.
    pub(super) fn stream_lost(&mut self, now: Now, no: StreamNo, why: &'static str, out: &mut Outbox) {
        if self.hung_up_by.is_some() {
            // It was said: that is how the call ended.
        } else if self.joins(no) {
            self.meet_elsewhere(now, no, why, out);
        } else {
            self.called_elsewhere(now, no, why, out);
        }
        self.stream_ended(now, no, out);
    }

    /// The client's stream is over before the other party was called, and the client was not hung up on: Twilio leads them into the
    /// conference, so that party is called there, whatever the client has said. Without Twilio's word nobody would tell when they part.
    pub(super) fn called_elsewhere(&mut self, now: Now, no: StreamNo, why: &'static str, out: &mut Outbox) {
        if !self.told || self.hung_up_by.is_some() || !self.awaits_party(no) {
            return;
        }
        // The last key on it may turn out to be a no.
        self.fall_silent(now, no, out);
        match &self.state {
            State::Asking(asking) if asking.stream == no => self.go_unrecorded(now, UnrecordedReason::SystemError, why, None, out),
            State::Sealing(_) => self.go_unrecorded(now, UnrecordedReason::SystemError, why, None, out),
            State::Open(_) => self.meet_elsewhere(now, no, why, out),
            State::Refused(_) => self.rest(now),
            State::Created | State::Asking(_) | State::Over => {}
        }
        if !matches!(self.state, State::Over) {
            out.effects.push(Effect::PartyWanted { stream: no, here: false });
        }
    }

    /// The client, on this stream, and the other party go on without us.
    pub(super) fn meet_elsewhere(&mut self, now: Now, no: StreamNo, why: &'static str, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else { return }; // unrecorded already, and the chain says why
        let verdict = open.keys.ended();
        self.act_on(now, no, verdict, out);
        // Without Twilio's word nobody would ever tell when they part: then it ends with the stream.
        if self.told {
            self.end_recording_with_everything(now, out);
        }
        if !matches!(self.state, State::Open(_)) {
            return; // the last key, or what was heard before, turned out to be a no
        }
        if self.told {
            if self.recording == RecordingState::Active {
                self.recording = RecordingState::Halted;
            }
            self.state = State::Refused(Refused::default());
            self.rest(now);
        }
        self.reason = Some(UnrecordedReason::SystemError);
        self.audit(now, EventKind::CallUnrecorded, json!({ "reason": UnrecordedReason::SystemError, "why": why }), out);
        out.effects.push(Effect::Changed);
    }
}
