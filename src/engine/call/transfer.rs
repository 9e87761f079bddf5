//! A call is handed over: bot to agent, agent to agent. Consent goes along: a refusal stays a refusal, a grant goes on without a second
//! question if what the client was told covers the new party; else nothing is captured until a party comes whom it covers.
//!
//! From the moment of the decision until the new party's stream begins nothing is taken in, whoever is on the line meanwhile. It is
//! a pause that the gateway itself holds, so it is in the recording's manifest with its times.
//!
//! Each transfer has a number, which its party's stream brings along: who was asked for by mistake, and replaced a moment later, may
//! have answered meanwhile. Their stream is not taken for that of the party asked for last, and its end not for the end of the call.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::outbox::Effect;
use super::pause::Holder;
use super::{Call, FORK_WITHIN_MS, Now, Outbox, State, StreamNo, WORD_WITHIN_MS};
use crate::engine::audio::frame::Place;
use crate::engine::consent::Actor;
use crate::engine::ledger::EventKind;
use crate::engine::time::{Tick, WallTime};

/// The new party's stream begins within this, or what there is goes on without it.
pub const HANDED_WITHIN_MS: u64 = 30_000;
/// Why nothing is captured meanwhile.
pub const TRANSFER: &str = "TRANSFER";

/// What somebody is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PartyKind {
    /// A voice bot of the configuration.
    Bot,
    /// A person.
    Agent,
}

/// Whom a call is handed to. Shows what it is, and not the number (P11).
#[derive(Clone, PartialEq, Eq)]
pub struct Party {
    /// What it is.
    pub kind: PartyKind,
    /// A number, `client:ID`, or a bot's name.
    pub to: String,
}

/// Which parties are covered by what the client was told (`CALLGATE_TRANSFER_COVERS`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Covers {
    /// People.
    pub agent: bool,
    /// Voice bots.
    pub bot: bool,
}

/// Which transfer of its call, counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransferNo(pub u32);

/// What asking for a transfer comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handing {
    /// It may be asked for at Twilio, under this number; the new party is captured in a stream of its own.
    Captured(TransferNo),
    /// It may be asked for, and no stream need be opened for a capture.
    Uncaptured(TransferNo),
    /// It was asked for before.
    Again,
}

/// Why a call is not handed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotHanded {
    /// The question is open.
    #[error("the client is still being asked; hand the call over once it is connected")]
    Unanswered,
    /// There is no call any more.
    #[error("the call is over")]
    Over,
    /// Each party has a stream of its own.
    #[error("the call was handed over too often: it has no stream left")]
    TooOften,
}

/// A transfer, as others see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TransferView {
    /// When.
    pub at: WallTime,
    /// To what.
    pub kind: PartyKind,
    /// Whether the new party is captured: consent stands, and covers it.
    pub captured: bool,
}

/// The transfers of a call.
#[derive(Default)]
pub(super) struct Transfers {
    done: Vec<Done>,
    /// How many were asked for, also of those that Twilio refused.
    asked: u32,
}

struct Done {
    no: TransferNo,
    party: Party,
    view: TransferView,
    /// It has not come: it has until then.
    by: Option<Tick>,
    /// It comes with a stream of its own.
    brings_stream: bool,
    /// Its stream came.
    has_come: bool,
    /// And no stream came: nobody knows whether it is there.
    is_missing: bool,
}

impl Covers {
    /// Everybody: "this call may be recorded" is said of the call, whoever is on it.
    pub const ALL: Self = Self { agent: true, bot: true };

    /// Reads `agent,bot`, either, or `none`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut covers = Self { agent: false, bot: false };
        if text.trim() == "none" {
            return Some(covers);
        }
        for word in text.split(',') {
            match word.trim() {
                "agent" => covers.agent = true,
                "bot" => covers.bot = true,
                _ => return None,
            }
        }
        Some(covers)
    }

    const fn covers(self, kind: PartyKind) -> bool {
        match kind {
            PartyKind::Agent => self.agent,
            PartyKind::Bot => self.bot,
        }
    }
}

impl Transfers {
    pub(super) fn views(&self) -> Vec<TransferView> {
        self.done.iter().map(|done| done.view.clone()).collect()
    }

    pub(super) fn is_pending(&self) -> bool {
        self.by().is_some()
    }

    pub(super) fn by(&self) -> Option<Tick> {
        self.done.last()?.by
    }

    /// Whether a stream that brings this number is that of the party asked for last, which may come late.
    pub(super) fn awaits(&self, brought: Option<TransferNo>) -> bool {
        self.done.last().is_some_and(|last| Some(last.no) == brought && !last.has_come)
    }

    /// Whether this number is of a party to whom the call was not handed after all, or that somebody else has replaced.
    pub(super) fn is_past(&self, brought: Option<TransferNo>) -> bool {
        brought.is_some() && self.done.last().map(|last| last.no) != brought
    }

    /// Whether whoever may be on the line is covered: the party that came last with its stream, and each that was asked for since. The
    /// one the call began with is.
    fn is_covered(&self) -> bool {
        let last_come = self.done.iter().rposition(|done| done.has_come).unwrap_or(0);
        self.done.iter().skip(last_come).all(|done| done.view.captured)
    }
}

impl Call {
    /// Whether the call may be handed over, and what that comes to.
    ///
    /// # Errors
    /// [`NotHanded`].
    pub fn handing(&self, to: &Party) -> Result<Handing, NotHanded> {
        let open = match &self.state {
            State::Created | State::Asking(_) | State::Sealing(_) => return Err(NotHanded::Unanswered),
            State::Over => return Err(NotHanded::Over),
            State::Open(_) => true,
            State::Refused(_) => false,
        };
        if self.has(to) {
            return Ok(Handing::Again);
        }
        if self.next_stream().is_none() {
            return Err(NotHanded::TooOften);
        }
        // A party that is not covered has a stream too: consent may come to cover whoever is next.
        let no = TransferNo(self.transfers.asked + 1);
        Ok(if open { Handing::Captured(no) } else { Handing::Uncaptured(no) })
    }

    /// Whether this party is on the call by the last transfer, or is about to be. A bot that has hung up is not: whoever came after it
    /// was no transfer.
    fn has(&self, party: &Party) -> bool {
        let Some(last) = self.transfers.done.last().filter(|last| last.party == *party) else { return false };
        let is_there = match party.kind {
            PartyKind::Bot => self.is_served_by(&party.to),
            PartyKind::Agent => !last.is_missing,
        };
        self.transfers.is_pending() || is_there
    }

    pub(super) fn transfer(&mut self, now: Now, by: Actor, to: Party, out: &mut Outbox) {
        let Ok(Handing::Captured(no) | Handing::Uncaptured(no)) = self.handing(&to) else { return };
        let open = matches!(self.state, State::Open(_));
        let captured = open && self.settings.transfer_covers.covers(to.kind);
        let detail = json!({ "kind": to.kind, "consentStatus": self.consent.status, "captured": captured });
        self.audit_by(now, EventKind::CallTransferred, by, detail, out);
        let view = TransferView { at: now.wall, kind: to.kind, captured };
        if let State::Open(open) = &self.state
            && open.begun
            && let Some(stream) = open.recorded
        {
            let at = self.streams.get(usize::from(stream.0)).map_or(Place(0), |stream| stream.clock);
            out.effects.push(Effect::Transferred { stream, at, view: view.clone() });
        }
        let by = Some(now.tick.plus_ms(HANDED_WITHIN_MS));
        self.transfers.asked = no.0;
        self.transfers.done.push(Done { no, party: to, view, by, brings_stream: open, has_come: false, is_missing: false });
        if open {
            self.hold(now, Holder::Transfer, Actor::System, TRANSFER.to_owned(), out);
        }
        out.effects.push(Effect::Changed);
    }

    /// Twilio did not hand it over: the party that was there is there, or is still awaited.
    pub(super) fn not_transferred(&mut self, now: Now, no: TransferNo, out: &mut Outbox) {
        let Some(failed) = self.transfers.done.iter().position(|done| done.no == no && done.by.is_some()) else { return };
        self.transfers.done.remove(failed);
        self.audit(now, EventKind::TransferFailed, json!({}), out);
        self.goes_on_with_party(now, out);
        out.effects.push(Effect::Changed);
    }

    /// The stream of the party that was asked for last begins.
    pub(super) fn party_came(&mut self, now: Now, out: &mut Outbox) {
        if let Some(last) = self.transfers.done.last_mut() {
            (last.by, last.has_come, last.is_missing) = (None, true, false);
        }
        self.goes_on_with_party(now, out);
    }

    /// No stream came for the new party. What there is carries whoever is on the line.
    pub(super) fn party_never_came(&mut self, now: Now, out: &mut Outbox) {
        if let Some(last) = self.transfers.done.last_mut() {
            (last.by, last.is_missing) = (None, last.brings_stream);
        }
        self.goes_on_with_party(now, out);
        out.effects.push(Effect::Changed);
    }

    fn goes_on_with_party(&mut self, now: Now, out: &mut Outbox) {
        if !self.transfers.is_pending() && self.transfers.is_covered() {
            self.lift(now, &Actor::System, |holder| *holder == Holder::Transfer, out);
        }
    }

    /// Whether somebody is about to come after this stream, in a stream of their own.
    pub(super) fn has_successor(&self, stream: StreamNo) -> bool {
        self.transfers.is_pending() || (self.told && self.was_relayed(stream))
    }

    /// For how long a call is waited for whose stream is over. Not at all if its end is the end of the call: nobody else tells of that, or who
    /// was joined here has hung up.
    pub(super) fn goes_on_for_ms(&self, stream: StreamNo) -> Option<u64> {
        if self.has_successor(stream) { Some(FORK_WITHIN_MS) } else { (self.told && !self.was_joined(stream)).then_some(WORD_WITHIN_MS) }
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Party({:?})", self.kind)
    }
}
