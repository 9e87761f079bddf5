//! What a no does to recordings that exist already: which of them enter the deletion queue, and when they are due.
//!
//! A client's own key does not destroy the past, since a caller id can be spoofed; a person of the organisation who
//! revokes for the client does queue it (PX-735 US-7).

use serde::{Deserialize, Serialize};

use super::record::{Actor, ConsentRecord};
use crate::engine::time::WallTime;

/// How long a queued recording is kept (PX-735 §9: fixed).
pub const RETENTION_DAYS: i64 = 30;

/// Which recordings of a client a revocation queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Queues {
    /// None.
    Nothing,
    /// Those of other calls: what becomes of this one's is `CALLGATE_ON_OPT_OUT`'s to say.
    OtherCalls,
    /// That of this call alone.
    ThisCall,
    /// All.
    Everything,
}

/// Whose recordings those are. No call has an empty id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueuedCalls<'a> {
    /// Not this one's.
    pub spared: &'a str,
    /// This one's alone, if it is not empty.
    pub only: &'a str,
}

impl Queues {
    /// What `record`, a revocation, queues. `decline_queues`: the client's own no does so too.
    #[must_use]
    pub const fn of(record: &ConsentRecord, decline_queues: bool) -> Self {
        match (&record.actor, &record.call_id) {
            (Actor::User { .. }, None) => Self::Everything,
            (Actor::User { .. }, Some(_)) => Self::OtherCalls,
            (Actor::Client { .. }, _) if decline_queues => Self::OtherCalls,
            (Actor::Client { .. } | Actor::System, _) => Self::Nothing,
        }
    }

    /// And this call's recording besides, which the no came too late to cut.
    #[must_use]
    pub const fn and_this_call(self) -> Self {
        match self {
            Self::Nothing | Self::ThisCall => Self::ThisCall,
            Self::OtherCalls | Self::Everything => Self::Everything,
        }
    }

    /// The one call whose recording is spared, or the only one whose is not; of a record `of` this call.
    #[must_use]
    pub const fn calls(self, of: Option<&str>) -> Option<QueuedCalls<'_>> {
        match (self, of) {
            (Self::Nothing, _) | (Self::ThisCall, None) => None,
            (Self::OtherCalls, Some(call_id)) => Some(QueuedCalls { spared: call_id, only: "" }),
            (Self::ThisCall, Some(call_id)) => Some(QueuedCalls { spared: "", only: call_id }),
            (Self::OtherCalls, None) | (Self::Everything, _) => Some(QueuedCalls { spared: "", only: "" }),
        }
    }
}

/// When what was queued at `queued_at` is due.
#[must_use]
pub const fn due(queued_at: WallTime) -> WallTime {
    queued_at.plus_days(RETENTION_DAYS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::consent::testing;

    #[test]
    fn a_key_destroys_no_past_and_a_person_who_revokes_queues_it() {
        let by = |actor: Actor, call: Option<&str>| ConsentRecord { actor, call_id: call.map(str::to_owned), ..testing::record("r") };
        let client = || Actor::Client { id: "c".into() };
        let user = || Actor::User { id: "u".into(), name: "U".into() };
        assert_eq!(Queues::of(&by(client(), Some("call")), false), Queues::Nothing);
        assert_eq!(Queues::of(&by(client(), Some("call")), true), Queues::OtherCalls);
        assert_eq!(Queues::of(&by(user(), Some("call")), false), Queues::OtherCalls);
        assert_eq!(Queues::of(&by(user(), None), false), Queues::Everything);
        assert_eq!(Queues::of(&by(Actor::System, None), true), Queues::Nothing);
        // What came too late to cut this call's recording takes that along, and no other.
        let late = |actor: Actor, decline_queues| Queues::of(&by(actor, Some("call")), decline_queues).and_this_call();
        assert_eq!(
            (late(client(), false), late(client(), true), late(user(), false)),
            (Queues::ThisCall, Queues::Everything, Queues::Everything)
        );
    }

    #[test]
    fn it_is_thirty_days_over_the_end_of_a_month() {
        let at = WallTime::parse("2026-11-26T08:15:00.123Z").unwrap_or_default();
        assert_eq!(due(at).to_string(), "2026-12-26T08:15:00.123Z");
    }
}
