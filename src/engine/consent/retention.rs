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
    /// All.
    Everything,
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
    }

    #[test]
    fn it_is_thirty_days_over_the_end_of_a_month() {
        let at = WallTime::parse("2026-11-26T08:15:00.123Z").unwrap_or_default();
        assert_eq!(due(at).to_string(), "2026-12-26T08:15:00.123Z");
    }
}
