//! PX-735 §6: what is measured of the asking, from facts about calls. Every figure stands beside the target it is held
//! against; a figure of nothing is none, not zero.

use std::collections::BTreeMap;

use serde::Serialize;

/// Targets of PX-735 §6.
pub mod target {
    /// Granted of all prompts, at least.
    pub const GRANT_RATE: f64 = 0.85;
    /// Hang-ups during the prompt of all prompts, at most.
    pub const ABANDONMENT: f64 = 0.10;
    /// Seconds from a call's start to its conversation, on average, at most.
    pub const TIME_TO_CONVERSATION_S: f64 = 20.0;
    /// Recorded calls that rest on consent of all recorded calls.
    pub const COMPLIANCE: f64 = 1.0;
    /// Documentation tasks completed of all that were made, at least.
    pub const DOCUMENTATION: f64 = 0.90;
}

/// What counts of one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CallFact {
    /// The prompt began to play.
    pub prompted: bool,
    /// The client said yes to it.
    pub granted: bool,
    /// The client hung up while being asked.
    pub abandoned: bool,
    /// From the call's start to its conversation.
    pub waited_ms: Option<u64>,
}

/// How many of how many.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Share {
    /// So many.
    pub part: u64,
    /// Of so many.
    pub whole: u64,
}

/// Figures over some calls.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    prompts: u64,
    granted: u64,
    abandoned: u64,
    /// In milliseconds; sorted only when asked.
    waits: Vec<u32>,
    /// Recorded calls, and those of them that rest on a consent record.
    pub recorded: Share,
    /// Documentation tasks, and those of them that are done.
    pub documented: Share,
}

/// Whose calls, last asked in what language and by which version of the prompt; empty where nobody was asked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Group {
    /// The organisation.
    pub org_id: String,
    /// Its code.
    pub language: String,
    /// Of the prompt.
    pub prompt_version: String,
}

/// Figures by whose calls they are of.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GroupedFigures(pub BTreeMap<Group, Figures>);

/// So many groups have series of their own; those with the fewest calls beyond are one, whose labels all say [`OTHER`]. A
/// monitoring system keeps each series for ever, and organisations are as many as tokens name.
pub const GROUPS_MAX: usize = 200;
/// What stands in the labels of the groups that have no series of their own.
pub const OTHER: &str = "_other";

impl GroupedFigures {
    /// Of all groups together.
    #[must_use]
    pub fn total(&self) -> Figures {
        let mut total = Figures::default();
        self.0.values().for_each(|figures| total.merge(figures));
        total
    }

    /// At most [`GROUPS_MAX`] groups, and what all the others came to.
    #[must_use]
    pub fn bounded(&self) -> BTreeMap<Group, Figures> {
        let mut by_calls: Vec<_> = self.0.iter().collect();
        by_calls.sort_by_key(|(_, figures)| std::cmp::Reverse(figures.calls()));
        let mut kept: BTreeMap<Group, Figures> = BTreeMap::new();
        for (n, (group, figures)) in by_calls.into_iter().enumerate() {
            let other = || Group { org_id: OTHER.into(), language: OTHER.into(), prompt_version: OTHER.into() };
            kept.entry(if n < GROUPS_MAX { group.clone() } else { other() }).or_default().merge(figures);
        }
        kept
    }
}

impl Share {
    /// As a number from 0 to 1; `None` of nothing.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "nobody makes 2^52 calls")]
    pub fn rate(self) -> Option<f64> {
        (self.whole > 0).then(|| self.part as f64 / self.whole as f64)
    }
}

impl Figures {
    /// One call more.
    pub fn add(&mut self, call: CallFact) {
        if call.prompted {
            self.prompts += 1;
            self.granted += u64::from(call.granted);
            self.abandoned += u64::from(call.abandoned);
        }
        self.waits.extend(call.waited_ms.map(|ms| u32::try_from(ms).unwrap_or(u32::MAX)));
    }

    /// Granted of prompts.
    #[must_use]
    pub const fn grants(&self) -> Share {
        Share { part: self.granted, whole: self.prompts }
    }

    /// Abandoned of prompts.
    #[must_use]
    pub const fn abandonment(&self) -> Share {
        Share { part: self.abandoned, whole: self.prompts }
    }

    /// Mean and median seconds from a call's start to its conversation.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "nobody makes 2^52 calls")]
    pub fn time_to_conversation(&self) -> Option<(f64, f64)> {
        let mut waits = self.waits.clone();
        let count = waits.len();
        if count == 0 {
            return None;
        }
        let mean = waits.iter().map(|ms| f64::from(*ms)).sum::<f64>() / count as f64;
        let (below, upper, _) = waits.select_nth_unstable(count / 2);
        let upper = f64::from(*upper);
        let lower = if count.is_multiple_of(2) { below.iter().max().map_or(upper, |lower| f64::from(*lower)) } else { upper };
        Some((mean / 1_000.0, f64::midpoint(lower, upper) / 1_000.0))
    }

    /// How many calls count in it.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.prompts.max(self.waits.len() as u64)
    }

    /// What both came to together.
    pub fn merge(&mut self, other: &Self) {
        self.prompts += other.prompts;
        self.granted += other.granted;
        self.abandoned += other.abandoned;
        self.waits.extend(&other.waits);
        for (share, more) in [(&mut self.recorded, other.recorded), (&mut self.documented, other.documented)] {
            share.part += more.part;
            share.whole += more.whole;
        }
    }

    /// By the name of each figure: how many of how many.
    #[must_use]
    pub const fn shares(&self) -> [(&'static str, Share); 4] {
        [
            ("grant_rate", self.grants()),
            ("abandonment", self.abandonment()),
            ("compliance", self.recorded),
            ("documentation", self.documented),
        ]
    }

    /// Each figure beside its target.
    #[must_use]
    pub fn beside_targets(&self) -> BesideTargets {
        let (grants, abandonment) = (self.grants(), self.abandonment());
        let wait = self.time_to_conversation();
        BesideTargets {
            grant_rate: GrantRate { rate: Rate::at_least(grants, target::GRANT_RATE), granted: grants.part, prompts: grants.whole },
            abandonment: Abandonment {
                rate: Rate::at_most(abandonment, target::ABANDONMENT),
                abandoned: abandonment.part,
                prompts: abandonment.whole,
            },
            time_to_conversation: TimeToConversation {
                mean_seconds: wait.map(|(mean, _)| mean),
                median_seconds: wait.map(|(_, median)| median),
                target_seconds: target::TIME_TO_CONVERSATION_S,
                meets_target: wait.map(|(mean, _)| mean <= target::TIME_TO_CONVERSATION_S),
                calls: self.waits.len() as u64,
            },
            compliance: Compliance {
                rate: Rate::at_least(self.recorded, target::COMPLIANCE),
                with_consent: self.recorded.part,
                recorded: self.recorded.whole,
            },
            documentation: Documentation {
                rate: Rate::at_least(self.documented, target::DOCUMENTATION),
                completed: self.documented.part,
                created: self.documented.whole,
            },
        }
    }
}

/// A rate beside its target; of nothing there is none.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// From 0 to 1.
    pub value: Option<f64>,
    /// What it is held against.
    pub target: f64,
    /// Whether it is met.
    pub meets_target: Option<bool>,
}

impl Rate {
    fn at_least(share: Share, target: f64) -> Self {
        Self { value: share.rate(), target, meets_target: share.rate().map(|rate| rate >= target) }
    }

    fn at_most(share: Share, target: f64) -> Self {
        Self { value: share.rate(), target, meets_target: share.rate().map(|rate| rate <= target) }
    }
}

/// Yeses of all prompts.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct GrantRate {
    /// The rate.
    #[serde(flatten)]
    pub rate: Rate,
    /// So many said yes.
    pub granted: u64,
    /// Of so many asked.
    pub prompts: u64,
}

/// Hang-ups during the prompt of all prompts.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Abandonment {
    /// The rate.
    #[serde(flatten)]
    pub rate: Rate,
    /// So many hung up.
    pub abandoned: u64,
    /// Of so many asked.
    pub prompts: u64,
}

/// From a call's start to its conversation.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TimeToConversation {
    /// On average.
    pub mean_seconds: Option<f64>,
    /// Half of them sooner.
    pub median_seconds: Option<f64>,
    /// What the average is held against.
    pub target_seconds: f64,
    /// Whether it is met.
    pub meets_target: Option<bool>,
    /// Of so many calls.
    pub calls: u64,
}

/// Recorded calls that rest on consent.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Compliance {
    /// The rate.
    #[serde(flatten)]
    pub rate: Rate,
    /// So many rest on a consent record.
    pub with_consent: u64,
    /// Of so many recorded.
    pub recorded: u64,
}

/// Documentation tasks that are done.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Documentation {
    /// The rate.
    #[serde(flatten)]
    pub rate: Rate,
    /// So many are done.
    pub completed: u64,
    /// Of so many made.
    pub created: u64,
}

/// PX-735's figures, each beside its target.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct BesideTargets {
    /// How many say yes.
    pub grant_rate: GrantRate,
    /// How many hang up on the prompt.
    pub abandonment: Abandonment,
    /// How long people wait.
    pub time_to_conversation: TimeToConversation,
    /// Whether every recording rests on consent.
    pub compliance: Compliance,
    /// Whether unrecorded calls are written down.
    pub documentation: Documentation,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(granted: bool, abandoned: bool, waited_ms: Option<u64>) -> CallFact {
        CallFact { prompted: true, granted, abandoned, waited_ms }
    }

    #[test]
    fn figures_are_what_the_specification_divides() {
        let mut figures = Figures::default();
        for waited in [10_000, 12_000, 20_000] {
            figures.add(call(true, false, Some(waited)));
        }
        figures.add(call(false, false, Some(18_000)));
        figures.add(call(false, true, None));
        // Of prior consent: nobody was asked, and people talk at once.
        figures.add(CallFact { waited_ms: Some(1_000), ..CallFact::default() });
        figures.recorded = Share { part: 3, whole: 4 };
        let told = json!(figures.beside_targets());
        assert_eq!(
            (&told["grantRate"]["value"], &told["grantRate"]["target"], &told["grantRate"]["meetsTarget"]),
            (&json!(0.6), &json!(0.85), &json!(false))
        );
        assert_eq!((&told["abandonment"]["value"], &told["abandonment"]["meetsTarget"]), (&json!(0.2), &json!(false)));
        let wait = &told["timeToConversation"];
        assert_eq!((&wait["meanSeconds"], &wait["medianSeconds"], &wait["calls"]), (&json!(12.2), &json!(12.0), &json!(5)));
        assert_eq!(wait["meetsTarget"], true);
        assert_eq!((&told["compliance"]["value"], &told["compliance"]["meetsTarget"]), (&json!(0.75), &json!(false)));
        figures.add(call(true, false, Some(13_000)));
        assert_eq!(figures.time_to_conversation().unwrap().1, 12.5, "of an even number, between the two in the middle");
    }

    #[test]
    fn of_nothing_there_is_no_figure() {
        let told = json!(Figures::default().beside_targets());
        for figure in ["grantRate", "abandonment", "compliance", "documentation"] {
            assert!(
                told[figure]["value"].is_null() && told[figure]["meetsTarget"].is_null() && told[figure]["target"].is_number(),
                "{figure}"
            );
        }
        assert!(told["timeToConversation"]["meanSeconds"].is_null());
        let done = json!(Figures { documented: Share { part: 9, whole: 10 }, ..Figures::default() }.beside_targets());
        assert_eq!((&done["documentation"]["value"], &done["documentation"]["meetsTarget"]), (&json!(0.9), &json!(true)));
    }
}
