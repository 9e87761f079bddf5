//! Pauses: stretches of a conversation that must not be captured, such as a card number or an examination.
//!
//! Whoever asks for a pause holds it: one's resuming does not lift another's. Consent stands all the while, and the client's keys are
//! heard. A pause that is forgotten ends *closed*: after [`PAUSE_MAX_MS`] nothing more of the call is captured, and that is an alarm.

use serde_json::json;

use super::outbox::{Effect, RecordingEnd};
use super::talk::Shut;
use super::transfer::REASON;
use super::{Call, Now, Outbox, RecordingState, State};
use crate::engine::audio::prompts::Line;
use crate::engine::consent::{Actor, UnrecordedReason};
use crate::engine::ledger::EventKind;
use crate::engine::time::{Tick, WallTime};

/// The longest pause.
pub const PAUSE_MAX_MS: u64 = 15 * 60 * 1_000;
/// People who may hold a pause at once; one more is refused.
pub const PAUSERS_MAX: usize = 8;

/// The client was heard to say no: whether it was one, a case manager says. Reason of a pause that callgate holds.
pub const OPT_OUT_HEARD: &str = "OPT_OUT_HEARD";

/// A pause in force, as others see it.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct PauseView {
    /// Who holds it.
    pub by: Actor,
    /// `PAYMENT`, `IDENTITY`, `MEDICAL`, or what they said.
    pub reason: String,
    /// Since when.
    pub since: WallTime,
}

/// Who lets go of a pause, and nobody else does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Holder {
    /// Whoever asked for it, by their id: a name may be spelt otherwise in the next token.
    Person(String),
    /// The client was heard to say no; any case manager judges it.
    Objection,
    /// A party that has not come, or is not covered by what the client was told: the next one's coming.
    Transfer,
}

struct Held {
    holder: Holder,
    view: PauseView,
    /// It ends closed then.
    until: Tick,
}

/// The pauses in force.
#[derive(Default)]
pub(super) struct Pauses {
    held: Vec<Held>,
}

impl Pauses {
    pub(super) fn in_force(&self) -> bool {
        !self.held.is_empty()
    }

    /// Of the oldest one, in a word.
    pub(super) fn reason(&self) -> Option<&'static str> {
        self.held.first().map(|held| kind(&held.view.reason))
    }

    pub(super) fn ends_by(&self) -> Option<Tick> {
        self.held.iter().map(|held| held.until).min()
    }

    pub(super) fn views(&self) -> Vec<PauseView> {
        self.held.iter().map(|held| held.view.clone()).collect()
    }

    pub(super) fn is_held_by(&self, holder: &Holder) -> bool {
        self.held.iter().any(|held| held.holder == *holder)
    }

    /// Nothing is taken in until somebody says whether the client's no was one.
    pub(super) fn object(&mut self, now: Now) {
        let view = PauseView { by: Actor::System, reason: OPT_OUT_HEARD.to_owned(), since: now.wall };
        self.held.push(Held { holder: Holder::Objection, view, until: now.tick.plus_ms(PAUSE_MAX_MS) });
    }

    fn of(&mut self, holder: &Holder) -> Option<&mut PauseView> {
        self.held.iter_mut().find(|held| held.holder == *holder).map(|held| &mut held.view)
    }
}

impl Holder {
    /// Who asks through the API.
    fn asking(by: &Actor) -> Self {
        Self::Person(match by {
            Actor::User { id, .. } | Actor::Client { id } => id.clone(),
            Actor::System => String::new(),
        })
    }
}

/// What of a reason may stand in the chain: a word of ours, never free text.
fn kind(reason: &str) -> &'static str {
    match reason {
        "PAYMENT" => "PAYMENT",
        "IDENTITY" => "IDENTITY",
        OPT_OUT_HEARD => OPT_OUT_HEARD,
        "MEDICAL" => "MEDICAL",
        REASON => REASON,
        _ => "OTHER",
    }
}

impl Call {
    /// Somebody asks that nothing more be taken in until they resume. Without an open gate there is nothing to pause.
    pub(super) fn pause(&mut self, now: Now, by: Actor, reason: String, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else { return };
        let holder = Holder::asking(&by);
        let people = open.pauses.held.iter().filter(|held| matches!(held.holder, Holder::Person(_))).count();
        if people < PAUSERS_MAX || open.pauses.is_held_by(&holder) {
            self.hold(now, holder, by, reason, out);
        }
    }

    /// Somebody lets go of what they hold. What the client was heard to say is any case manager's to judge, once their own pause is over.
    pub(super) fn resume(&mut self, now: Now, by: Actor, out: &mut Outbox) {
        let State::Open(open) = &self.state else { return };
        let own = Holder::asking(&by);
        let lifted = if open.pauses.is_held_by(&own) { own } else { Holder::Objection };
        self.lift(now, &lifted, by, out);
    }

    /// Nothing is taken in until each holder lets go. Whoever holds one already has but its reason changed.
    pub(super) fn hold(&mut self, now: Now, holder: Holder, by: Actor, reason: String, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else { return };
        let word = kind(&reason);
        if let Some(pause) = open.pauses.of(&holder) {
            pause.reason = reason;
            out.effects.push(Effect::Changed);
            return;
        }
        let first = !open.pauses.in_force();
        // One of a transfer ends with the next party, or never: nobody has forgotten it.
        let until = if holder == Holder::Transfer { Tick(u64::MAX) } else { now.tick.plus_ms(PAUSE_MAX_MS) };
        open.pauses.held.push(Held { holder, view: PauseView { by: by.clone(), reason, since: now.wall }, until });
        if let (true, true, Some(stream)) = (first, open.begun, open.recorded) {
            let clock = self.streams[usize::from(stream.0)].clock;
            open.paused_on = Some(stream);
            out.effects.push(Effect::Paused { stream, at: clock, reason: word });
            self.announce(Line::Paused, out);
        }
        self.audit_by(now, EventKind::RecordingPaused, by, json!({ "reason": word }), out);
        out.effects.push(Effect::Changed);
    }

    /// One holder lets go; what is captured begins again with the last of them.
    pub(super) fn lift(&mut self, now: Now, holder: &Holder, by: Actor, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else { return };
        let before = open.pauses.held.len();
        open.pauses.held.retain(|held| held.holder != *holder);
        if open.pauses.held.len() == before {
            return;
        }
        let over = !open.pauses.in_force();
        // Its stream may be over: whoever was handed the call is heard on another one.
        if let (true, Some(stream)) = (over, open.paused_on) {
            open.paused_on = None;
            let clock = self.streams[usize::from(stream.0)].clock;
            self.resumed_at = Some((stream, clock));
            out.effects.push(Effect::Resumed { stream, at: clock });
            self.announce(Line::Resumed, out);
        }
        if over {
            self.take_in_from_here();
        }
        self.audit_by(now, EventKind::RecordingResumed, by, json!({ "captured": over }), out);
        out.effects.push(Effect::Changed);
    }

    /// Somebody forgot to resume: nobody can say any more what may be captured, so nothing is.
    pub(super) fn pauses_expire(&mut self, now: Now, out: &mut Outbox) {
        if self.objection_stands(now, out) {
            return;
        }
        self.settle_keys(now, out);
        if let State::Open(open) = &mut self.state {
            let before = out.captured.len();
            open.gate.let_out_all(&mut out.captured);
            self.count(before, out);
        }
        let Some(Shut { begun, .. }) = self.take_gate() else { return };
        self.rest(now);
        self.reason = Some(UnrecordedReason::ManualOverride);
        self.audit(now, EventKind::PauseExpired, json!({ "afterMs": PAUSE_MAX_MS, "capturedUpToMs": self.captured_up_to() }), out);
        if begun {
            self.recording = RecordingState::Halted;
            self.announce(Line::Stopped, out);
            out.effects.push(Effect::RecordingEnds(RecordingEnd::Keep));
        }
        out.effects.push(Effect::Changed);
    }
}
