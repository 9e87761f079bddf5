//! A stream breaks, and nobody hung up: the people talk on past us, and nothing of that is captured (P6). Two legs that are joined here meet
//! in the conference that stands behind both streams; beside a fork the two talk anyway; after the question Twilio connects them. So the
//! call goes on, unrecorded, until Twilio says that it is over; the chain says why, and a no is taken as in any other call. If the
//! client's stream breaks before two legs are joined, while the client is asked or thanked, the other party is called all the same and
//! meets the client there. Of a call that Twilio does not tell of nobody would say when it is over: it ends with its stream.

use serde_json::json;

use super::outbox::Effect;
use super::{Call, Now, Outbox, State, StreamNo};
use crate::engine::consent::UnrecordedReason;
use crate::engine::ledger::EventKind;

impl Call {
    /// A stream's socket is gone, and nobody said that it would be.
    pub(super) fn stream_lost(&mut self, now: Now, no: StreamNo, why: &'static str, out: &mut Outbox) {
        if self.hung_up_by.is_some() || !self.streams.get(usize::from(no.0)).is_some_and(|stream| stream.live) {
            // It was said, or we closed it.
        } else if self.joins(no) {
            self.meet_elsewhere(now, no, why, out);
        } else if self.awaits_party(no) {
            self.called_elsewhere(now, no, why, out);
        } else if self.told && !self.was_joined(no) {
            self.talked_past(now, no, why, out);
        }
        self.stream_ended(now, no, out);
    }

    /// It carried the question, or the talk of two people, or what goes before it.
    fn talked_past(&mut self, now: Now, no: StreamNo, why: &'static str, out: &mut Outbox) {
        // The last key on it may turn out to be an answer.
        self.fall_silent(now, no, out);
        match &self.state {
            State::Asking(asking) if asking.stream == no => self.go_unrecorded(now, UnrecordedReason::SystemError, why, None, out),
            State::Open(open) if open.recorded == Some(no) && !self.has_successor(no) => self.unrecorded_from_here(now, why, out),
            State::Open(_) => self.talk_ended(now, no, self.streams[usize::from(no.0)].mode, out),
            State::Refused(_) => self.rest(now),
            State::Created | State::Asking(_) | State::Sealing(_) | State::Over => {}
        }
        out.effects.push(Effect::Changed);
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
        if self.told {
            self.unrecorded_from_here(now, why, out);
            return;
        }
        // Without Twilio's word nobody would ever tell when they part: it ends with the stream.
        let State::Open(open) = &mut self.state else { return }; // unrecorded already, and the chain says why
        let verdict = open.keys.ended();
        self.act_on(now, no, verdict, out);
        if !matches!(self.state, State::Open(_)) {
            return; // the last key, or what was heard before, turned out to be a no
        }
        self.reason = Some(UnrecordedReason::SystemError);
        self.audit(now, EventKind::CallUnrecorded, json!({ "reason": UnrecordedReason::SystemError, "why": why }), out);
        out.effects.push(Effect::Changed);
    }
}
