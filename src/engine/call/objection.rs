//! The client says no in words, and a recogniser has heard it: seconds later, and perhaps wrongly.
//!
//! It closes first: everything from the phrase on leaves every sink, and nothing more is taken in. Then a case manager either
//! confirms it (an opt-out like any other) or reopens (resumes). If nobody does either before the call or the longest pause is over,
//! it was a no.

use serde_json::json;

use super::outbox::Effect;
use super::pause::{Holder, OPT_OUT_HEARD};
use super::{Call, Now, Outbox, State};
use crate::engine::audio::frame::{Place, StreamNo};
use crate::engine::audio::prompts::Line;
use crate::engine::consent::{Actor, ConsentStatus, Method};
use crate::engine::ledger::EventKind;

impl Call {
    /// The client was heard to say no, from this place of this stream on.
    pub(super) fn objected(&mut self, now: Now, stream: StreamNo, at: Place, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else {
            // It was we who failed, and a no is a no.
            if matches!(self.state, State::Refused(_)) && self.consent.status == ConsentStatus::Granted {
                self.refuse_late(now, Method::Verbal, Actor::Client { id: self.identity.client_id.clone() }, None, Some((stream, at)), out);
            }
            return;
        };
        if open.pauses.is_held_by(&Holder::Objection) || usize::from(stream.0) >= self.streams.len() {
            return;
        }
        let recorded = open.recorded.unwrap_or(stream);
        let silenced = open.pauses.in_force();
        // What came on a later stream than the phrase came after it.
        let cut_at = if recorded == stream { at } else { Place(0) };
        let before = out.captured.len();
        let cut = open.gate.cut_back(recorded, cut_at, &mut out.captured);
        open.pauses.object(now);
        if !silenced {
            // Taken back, the recording is told where it goes on.
            open.paused_on = Some(recorded);
        }
        self.count(before, out);
        for (withheld, dropped) in self.withheld.iter_mut().zip(cut.dropped) {
            *withheld += dropped;
        }
        if recorded != stream {
            out.effects.push(Effect::CutBack { stream, at });
        }
        self.go_back(cut, out);
        if recorded != stream {
            self.captured_to = Some((stream, at));
        }
        if !silenced {
            out.effects.push(Effect::Paused { stream: recorded, at: cut_at, reason: OPT_OUT_HEARD });
            self.announce(Line::Paused, out);
        }
        let detail = json!({ "reason": OPT_OUT_HEARD, "cutAtMs": cut_at.media_time() });
        self.audit_by(now, EventKind::RecordingPaused, Actor::System, detail, out);
        out.effects.push(Effect::Changed);
    }

    /// Nobody took back what the client was heard to say: it was a no, and is written as one. Tells whether it was.
    pub(super) fn objection_stands(&mut self, now: Now, out: &mut Outbox) -> bool {
        if !matches!(&self.state, State::Open(open) if open.pauses.is_held_by(&Holder::Objection)) {
            return false;
        }
        self.stop_here(now, Method::Verbal, Actor::Client { id: self.identity.client_id.clone() }, None, out);
        true
    }
}
