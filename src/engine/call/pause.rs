//! Pauses: stretches of a conversation that must not be captured, such as a card number or an examination.
//!
//! Whoever asks for a pause holds it: one's resuming does not lift another's. Consent stands all the while, and the client's keys are
//! heard. A pause that is forgotten ends *closed*: after [`PAUSE_MAX_MS`] nothing more of the call is captured, and that is an alarm.

use serde_json::json;

use super::outbox::{Effect, RecordingEnd};
use super::talk::Refused;
use super::{Call, Now, Outbox, RecordingState, State};
use crate::engine::consent::{Actor, UnrecordedReason};
use crate::engine::ledger::EventKind;
use crate::engine::time::{Tick, WallTime};

/// The longest pause.
pub const PAUSE_MAX_MS: u64 = 15 * 60 * 1_000;
/// People who may hold a pause at once; one more is refused.
pub const PAUSERS_MAX: usize = 8;

/// A pause in force, as others see it.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct PauseView {
    /// Who holds it.
    pub by: Actor,
    /// `PAYMENT`, `IDENTITY`, `MEDICAL`, or what they said.
    pub reason: String,
    /// Since when.
    pub since: WallTime,
}

/// The pauses in force.
#[derive(Default)]
pub(super) struct Pauses {
    held: Vec<(PauseView, Tick)>,
}

impl Pauses {
    pub(super) fn in_force(&self) -> bool {
        !self.held.is_empty()
    }

    /// Of the oldest one, in a word.
    pub(super) fn reason(&self) -> Option<&'static str> {
        self.held.first().map(|(pause, _)| kind(&pause.reason))
    }

    pub(super) fn ends_by(&self) -> Option<Tick> {
        self.held.iter().map(|(_, until)| *until).min()
    }

    pub(super) fn views(&self) -> Vec<PauseView> {
        self.held.iter().map(|(pause, _)| pause.clone()).collect()
    }

    fn of(&mut self, holder: &Actor) -> Option<&mut PauseView> {
        self.held.iter_mut().map(|(pause, _)| pause).find(|pause| is_same(&pause.by, holder))
    }
}

/// People are told apart by their ids: a name may be spelt otherwise in the next token.
fn is_same(one: &Actor, other: &Actor) -> bool {
    match (one, other) {
        (Actor::User { id: one, .. }, Actor::User { id: other, .. }) | (Actor::Client { id: one }, Actor::Client { id: other }) => {
            one == other
        }
        (Actor::System, Actor::System) => true,
        (Actor::User { .. } | Actor::Client { .. } | Actor::System, _) => false,
    }
}

/// What of a reason may stand in the chain: a word of ours, never free text.
fn kind(reason: &str) -> &'static str {
    match reason {
        "PAYMENT" => "PAYMENT",
        "IDENTITY" => "IDENTITY",
        "MEDICAL" => "MEDICAL",
        _ => "OTHER",
    }
}

impl Call {
    /// Nothing more is taken in until everybody who asked for it resumes. Without an open gate there is nothing to pause.
    pub(super) fn pause(&mut self, now: Now, by: Actor, reason: String, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else { return };
        let word = kind(&reason);
        if let Some(pause) = open.pauses.of(&by) {
            pause.reason = reason;
            out.effects.push(Effect::Changed);
            return;
        }
        if open.pauses.held.len() == PAUSERS_MAX {
            return;
        }
        let first = !open.pauses.in_force();
        let view = PauseView { by: by.clone(), reason, since: now.wall };
        open.pauses.held.push((view, now.tick.plus_ms(PAUSE_MAX_MS)));
        if let (true, true, Some(stream)) = (first, open.begun, open.recorded) {
            let clock = self.streams[usize::from(stream.0)].clock;
            out.effects.push(Effect::Paused { stream, at: clock, reason: word });
        }
        self.audit_by(now, EventKind::RecordingPaused, by, json!({ "reason": word }), out);
        out.effects.push(Effect::Changed);
    }

    /// One holder lets go; what is captured begins again with the last of them.
    pub(super) fn resume(&mut self, now: Now, by: Actor, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else { return };
        let before = open.pauses.held.len();
        open.pauses.held.retain(|(pause, _)| !is_same(&pause.by, &by));
        if open.pauses.held.len() == before {
            return;
        }
        let over = !open.pauses.in_force();
        if let (true, true, Some(stream)) = (over, open.begun, open.recorded) {
            let clock = self.streams[usize::from(stream.0)].clock;
            self.resumed_at = Some((stream, clock));
            out.effects.push(Effect::Resumed { stream, at: clock });
        }
        self.audit_by(now, EventKind::RecordingResumed, by, json!({ "captured": over }), out);
        out.effects.push(Effect::Changed);
    }

    /// Somebody forgot to resume: nobody can say any more what may be captured, so nothing is.
    pub(super) fn pauses_expire(&mut self, now: Now, out: &mut Outbox) {
        if let State::Open(open) = &mut self.state {
            let before = out.captured.len();
            open.gate.let_out_all(&mut out.captured);
            self.count(before, out);
        }
        let state = std::mem::replace(&mut self.state, State::Refused(Refused::default()));
        let State::Open(open) = state else {
            self.state = state;
            return;
        };
        let (begun, keys) = (open.begun, open.keys);
        self.state = State::Refused(Refused { closing: None, keys: Some(keys) });
        self.rest(now);
        self.reason = Some(UnrecordedReason::ManualOverride);
        self.audit(now, EventKind::PauseExpired, json!({ "afterMs": PAUSE_MAX_MS, "capturedUpToMs": self.captured_up_to() }), out);
        if begun {
            self.recording = RecordingState::Halted;
            out.effects.push(Effect::RecordingEnds(RecordingEnd::Keep));
        }
        out.effects.push(Effect::Changed);
    }
}
