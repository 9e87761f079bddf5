//! A call is handed over: bot to agent, agent to agent. Consent goes along: a refusal stays a refusal, a grant goes on without a second
//! question if what the client was told covers the new party; else nothing is captured until a party comes whom it covers.
//!
//! From the moment of the decision until the new party's stream begins nothing is taken in, whoever is on the line meanwhile. It is
//! a pause that the gateway itself holds, so it is in the recording's manifest with its times.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::outbox::Effect;
use super::pause::Holder;
use super::{Call, Now, Outbox, State, StreamNo};
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

/// What asking for a transfer comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handing {
    /// It may be asked for at Twilio; the new party is captured in a stream of its own.
    Captured,
    /// It may be asked for, and no stream need be opened for a capture.
    Uncaptured,
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
    /// The last one's new party has not come: it has until then.
    by: Option<Tick>,
}

struct Done {
    party: Party,
    view: TransferView,
    /// It comes with a stream of its own.
    brings_stream: bool,
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

    pub(super) const fn is_pending(&self) -> bool {
        self.by.is_some()
    }

    pub(super) const fn by(&self) -> Option<Tick> {
        self.by
    }

    /// Whether the party on the line is covered: the one the call began with is.
    fn is_covered(&self) -> bool {
        self.done.last().is_none_or(|last| last.view.captured)
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
        Ok(if open { Handing::Captured } else { Handing::Uncaptured })
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
        if !matches!(self.handing(&to), Ok(Handing::Captured | Handing::Uncaptured)) {
            return;
        }
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
        self.transfers.done.push(Done { party: to, view, brings_stream: open, is_missing: false });
        self.transfers.by = Some(now.tick.plus_ms(HANDED_WITHIN_MS));
        if open {
            self.hold(now, Holder::Transfer, Actor::System, TRANSFER.to_owned(), out);
        }
        out.effects.push(Effect::Changed);
    }

    /// Twilio did not hand it over: the party that was there is there.
    pub(super) fn not_transferred(&mut self, now: Now, out: &mut Outbox) {
        if self.transfers.by.take().is_none() {
            return;
        }
        self.transfers.done.pop();
        self.audit(now, EventKind::TransferFailed, json!({}), out);
        self.goes_on_with_party(now, out);
        out.effects.push(Effect::Changed);
    }

    /// A stream begins in a call that was handed over: it is the new party's.
    pub(super) fn party_came(&mut self, now: Now, out: &mut Outbox) {
        self.transfers.by = None;
        self.goes_on_with_party(now, out);
    }

    /// No stream came for the new party. What there is carries whoever is on the line.
    pub(super) fn party_never_came(&mut self, now: Now, out: &mut Outbox) {
        self.transfers.by = None;
        if let Some(last) = self.transfers.done.last_mut() {
            last.is_missing = last.brings_stream;
        }
        self.goes_on_with_party(now, out);
        out.effects.push(Effect::Changed);
    }

    fn goes_on_with_party(&mut self, now: Now, out: &mut Outbox) {
        if self.transfers.is_covered() {
            self.lift(now, Actor::System, |holder| *holder == Holder::Transfer, out);
        }
    }

    /// Whether the end of a stream is the end of the call: not if somebody else is about to come.
    pub(super) fn goes_on_after(&self, stream: StreamNo) -> bool {
        self.transfers.is_pending() || (self.told && self.was_relayed(stream))
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Party({:?})", self.kind)
    }
}
