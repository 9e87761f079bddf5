//! Pauses: stretches of a conversation that must not be captured, such as a card number or an examination.
//!
//! Whoever asks for a pause holds it, for the reason that they gave: one's resuming does not lift another's, nor their own for another
//! reason. Asked for twice it is one, and lifted twice it is lifted. Consent stands all the while, and the client's keys are heard. A
//! pause that is forgotten ends *closed*: after [`PAUSE_MAX_MS`] nothing more of the call is captured, and that is an alarm.

use serde_json::json;

use super::outbox::{Effect, RecordingEnd};
use super::talk::Shut;
use super::transfer::TRANSFER;
use super::{Call, Now, Outbox, RecordingState, State};
use crate::engine::audio::prompts::Line;
use crate::engine::consent::{Actor, UnrecordedReason};
use crate::engine::ledger::EventKind;
use crate::engine::time::{Tick, WallTime};

/// The longest pause.
pub const PAUSE_MAX_MS: u64 = 15 * 60 * 1_000;
/// Pauses that people may hold at once, each one person's for one reason; one more is refused.
pub const PAUSERS_MAX: usize = 8;

/// The client was heard to say no: whether it was one, a case manager says.
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

impl PauseView {
    /// The same for what is kept and sent: of what they said in words of their own, `OTHER`.
    #[must_use]
    pub fn in_a_word(self) -> Self {
        Self { reason: kind(&self.reason).to_owned(), ..self }
    }
}

/// Who lets go of a pause, and nobody else does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Holder {
    /// Whoever asked for it, by their id, since a name may be spelt otherwise in the next token; and what for.
    Person { id: String, reason: String },
    /// The client was heard to say no; any case manager judges it, who must name it.
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
}

/// Who asks through the API.
fn id_of(by: &Actor) -> &str {
    match by {
        Actor::User { id, .. } | Actor::Client { id } => id,
        Actor::System => "",
    }
}

/// What of a reason may be kept: a word of ours, never free text.
fn kind(reason: &str) -> &'static str {
    match reason {
        "PAYMENT" => "PAYMENT",
        "IDENTITY" => "IDENTITY",
        OPT_OUT_HEARD => OPT_OUT_HEARD,
        "MEDICAL" => "MEDICAL",
        TRANSFER => TRANSFER,
        _ => "OTHER",
    }
}

impl Call {
    /// Somebody asks that nothing more be taken in until they resume. Without an open gate there is nothing to pause.
    pub(super) fn pause(&mut self, now: Now, by: Actor, reason: String, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else { return };
        let people = open.pauses.held.iter().filter(|held| matches!(held.holder, Holder::Person { .. })).count();
        if people < PAUSERS_MAX {
            self.hold(now, Holder::Person { id: id_of(&by).to_owned(), reason: reason.clone() }, by, reason, out);
        }
    }

    /// Somebody lets go of what they hold for this reason, or without one of all that they hold. What the client was heard to say is any
    /// case manager's to judge, and only by its name: whoever ends a pause of their own has judged nothing.
    pub(super) fn resume(&mut self, now: Now, by: &Actor, reason: Option<&str>, out: &mut Outbox) {
        let who = id_of(by);
        let lets_go = |holder: &Holder| match holder {
            Holder::Person { id, reason: held } => id == who && reason.is_none_or(|reason| reason == held),
            Holder::Objection => reason == Some(OPT_OUT_HEARD),
            Holder::Transfer => false,
        };
        self.lift(now, by, lets_go, out);
    }

    /// Nothing is taken in until each holder lets go.
    pub(super) fn hold(&mut self, now: Now, holder: Holder, by: Actor, reason: String, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else { return };
        if open.pauses.is_held_by(&holder) {
            return;
        }
        let (word, first) = (kind(&reason), !open.pauses.in_force());
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

    /// Who lets go lets go; what is captured begins again with the last of all.
    pub(super) fn lift(&mut self, now: Now, by: &Actor, lets_go: impl Fn(&Holder) -> bool, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else { return };
        let lifted: Vec<_> = open.pauses.held.extract_if(.., |held| lets_go(&held.holder)).map(|held| kind(&held.view.reason)).collect();
        if lifted.is_empty() {
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
        for (n, word) in lifted.iter().enumerate() {
            let captured = over && n + 1 == lifted.len();
            self.audit_by(now, EventKind::RecordingResumed, by.clone(), json!({ "reason": word, "captured": captured }), out);
        }
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
