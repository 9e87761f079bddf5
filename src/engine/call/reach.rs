//! What Twilio tells of a call beside its streams: its name, that it was put through, what the keypad question brought, that
//! nobody was reached. And what asking for a call leads to, before there is one.

use serde_json::json;

use super::outbox::Effect;
use super::{Call, FORK_WITHIN_MS, Now, Outbox, SEAL_WITHIN_MS, Sealing, State, Unreached};
use crate::engine::audio::prompts::{Language, Line};
use crate::engine::consent::keys::Answer;
use crate::engine::consent::{Actor, ConsentStatus, Direction, Grant, Method, UnrecordedReason};
use crate::engine::ledger::EventKind;
use crate::engine::time::{Tick, WallTime};

/// Of a call that was made something must be heard within this: it may wait in Twilio's own queue before it rings.
pub const HEARD_WITHIN_MS: u64 = 60 * 60 * 1_000;
/// No conversation is longer; Twilio ends calls after four hours.
pub const TALK_MAX_MS: u64 = 4 * 60 * 60 * 1_000;

/// What asking for a call to a client leads to (PX-735 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Initiation {
    /// The client opted out: whoever asks is warned, and no call is placed.
    Warn,
    /// The client is called and asked.
    Ask,
    /// The client has answered before and is not asked again.
    PutThrough,
}

impl Initiation {
    /// For a client who stands so. `acknowledged`: the warning was seen, and the call is wanted unrecorded.
    #[must_use]
    pub const fn of(standing: ConsentStatus, acknowledged: bool) -> Self {
        match standing {
            ConsentStatus::Pending => Self::Ask,
            ConsentStatus::Granted => Self::PutThrough,
            ConsentStatus::Revoked if acknowledged => Self::PutThrough,
            ConsentStatus::Revoked => Self::Warn,
        }
    }
}

impl Call {
    /// Twilio's webhooks tell of this call: it is over when they say so.
    #[must_use]
    pub fn told_of(mut self) -> Self {
        self.told = true;
        self
    }

    /// This gateway made it, at `at`: Twilio tells of it, screens it for machines, and must be heard of again.
    #[must_use]
    pub fn made(mut self, at: WallTime, now: Now) -> Self {
        let gone_ms = u64::try_from(now.wall.0 - at.0).unwrap_or(0);
        self.started_at = at;
        self.heard_by = Some(now.tick.plus_ms(HEARD_WITHIN_MS.saturating_sub(gone_ms)));
        self.told_of()
    }

    /// Whether a yes is on its way into the ledger.
    #[must_use]
    pub const fn is_sealing(&self) -> bool {
        matches!(self.state, State::Sealing(_))
    }

    pub(super) fn named(&mut self, call_sid: &str, out: &mut Outbox) {
        if self.identity.call_sid.is_empty() {
            call_sid.clone_into(&mut self.identity.call_sid);
            out.effects.push(Effect::Changed);
        }
    }

    /// Nobody is asked: what the client said before this call holds. Asked twice, nothing more happens. Who was being asked has not hung
    /// up: their stream is over, and Twilio connects them.
    pub(super) fn put_through(&mut self, now: Now, out: &mut Outbox) {
        if matches!(self.state, State::Asking(_)) {
            let why = "the question's stream was over before it was answered";
            self.go_unrecorded(now, UnrecordedReason::SystemError, why, None, out);
            return;
        }
        if !matches!(self.state, State::Created) {
            return;
        }
        let outbound = self.identity.direction == Direction::Outbound;
        match self.standing.status {
            ConsentStatus::Granted if outbound => {
                self.state = State::Sealing(Sealing { by: now.tick.plus_ms(SEAL_WITHIN_MS), prior: true, decided_at: None });
                out.effects.push(Effect::Recall);
            }
            ConsentStatus::Revoked if outbound => {
                self.go_unrecorded(now, UnrecordedReason::PriorOptOut, "the client opted out before this call", None, out);
            }
            ConsentStatus::Granted | ConsentStatus::Revoked | ConsentStatus::Pending => {
                self.go_unrecorded(now, UnrecordedReason::SystemError, "the call was put through unasked", None, out);
            }
        }
    }

    /// A key on Twilio's own keypad question. Silence there proves no listener, so it grants nothing (P4).
    pub(super) fn pad_answered(&mut self, now: Now, language: Language, answer: Answer, out: &mut Outbox) {
        let client = Actor::Client { id: self.identity.client_id.clone() };
        if matches!(self.state, State::Created | State::Asking(_)) {
            self.language = language;
            self.consent.language_code = language.code();
            self.consent.prompt_version.clone_from(&self.settings.prompts.prompt(language, Line::Consent).version);
        }
        // The figures count by it who was asked so.
        let keypad = json!({ "language": language.code(), "version": self.consent.prompt_version });
        match (&self.state, answer) {
            (State::Created | State::Asking(_), Answer::Accept) => {
                let evidence = json!({ "keypad": keypad, "answeredBy": self.answered_by });
                let record = self.record(now, ConsentStatus::Granted, Method::Keypress, client, evidence);
                self.state = State::Sealing(Sealing { by: now.tick.plus_ms(SEAL_WITHIN_MS), prior: false, decided_at: None });
                out.effects.extend([Effect::Seal(Grant { record: record.into(), seen: self.standing.seen }), Effect::Changed]);
            }
            (State::Created | State::Asking(_), Answer::Speak(_) | Answer::Nothing) => {
                let why = "the keypad question was not answered: nobody is known to have heard it";
                self.go_unrecorded(now, UnrecordedReason::SystemError, why, Some(&json!({ "keypad": keypad })), out);
            }
            (State::Created, Answer::Decline) => self.refuse_told(now, client, None, Some(("keypad", keypad)), out),
            (State::Asking(_) | State::Sealing(_), Answer::Decline) => self.refuse(now, client, None, out),
            (State::Open(_), Answer::Decline) => self.stop_here(now, Method::Keypress, client, None, out),
            (State::Refused(_), Answer::Decline) if self.consent.status != ConsentStatus::Revoked => {
                self.write_refusal(now, Method::Keypress, client, None, out);
            }
            (State::Sealing(_) | State::Open(_) | State::Refused(_) | State::Over, _) => {}
        }
    }

    /// Nobody answered: there was no conversation, so there is nothing to record and nothing to document.
    pub(super) fn unreached(&mut self, now: Now, why: Unreached, out: &mut Outbox) {
        if !self.streams.is_empty() || matches!(self.state, State::Over) {
            self.hung_up(now, out);
            return;
        }
        let ours = match why {
            Unreached::Refused(_) | Unreached::NotAsked | Unreached::Unheard => true,
            Unreached::Busy | Unreached::NoAnswer | Unreached::Failed | Unreached::Canceled => false,
        };
        self.reason = ours.then_some(UnrecordedReason::SystemError);
        self.connected_at = None;
        let detail = match why {
            Unreached::Refused(code) => json!({ "why": "REFUSED", "twilioCode": code }),
            Unreached::Busy | Unreached::NoAnswer | Unreached::Failed | Unreached::Canceled | Unreached::NotAsked | Unreached::Unheard => {
                json!({ "why": why })
            }
        };
        self.audit(now, EventKind::CallUnreached, detail, out);
        self.over(now, out);
    }

    /// People talk, and we have no part in it: that it was so, unrecorded, is all that will ever be known here (P6).
    pub(super) fn passed_on(&mut self, now: Now, why: &'static str, out: &mut Outbox) {
        if matches!(self.state, State::Created) {
            self.go_unrecorded(now, UnrecordedReason::SystemError, why, None, out);
            self.over(now, out);
        }
    }

    /// Consent stands, and no stream came that could be captured: people talk on unrecorded (P6).
    pub(super) fn fork_never_came(&mut self, now: Now, out: &mut Outbox) {
        let State::Open(open) = &self.state else { return };
        let why =
            if open.begun { "the captured stream stopped, and no other began" } else { "the stream that was to be captured never began" };
        self.unrecorded_from_here(now, why, out);
    }

    /// Without a stream a refused call is over, unless Twilio tells when it is: people may talk on for long.
    pub(super) fn over_without_streams(&mut self, now: Now, out: &mut Outbox) {
        if self.told {
            self.rest(now);
        } else if !self.streams.iter().any(|stream| stream.live) {
            self.over(now, out);
        }
    }

    /// Refused, perhaps between two streams: nothing need ever be heard of it again, so it ends by itself at last.
    pub(super) fn rest(&mut self, now: Now) {
        self.ends_by.get_or_insert(now.tick.plus_ms(if self.told { TALK_MAX_MS } else { FORK_WITHIN_MS }));
    }

    /// When a refused call without a stream ends by itself.
    pub(super) fn rests_until(&self) -> Option<Tick> {
        self.ends_by.filter(|_| !self.streams.iter().any(|stream| stream.live))
    }

    /// Twilio says that no person answered, or that it cannot tell.
    pub(super) fn is_screened_out(&self) -> bool {
        self.answered_by.as_deref().is_some_and(|by| by.starts_with("machine") || by == "fax" || by == "unknown")
    }
}
