//! PX-735 §6: what is measured of the asking, from facts about calls. Every figure stands beside the target it is held
//! against; a figure of nothing is none, not zero.

use serde_json::{Value, json};

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
    /// Documentation tasks, and those of them that are done; `None` where there are no tasks.
    pub documented: Option<Share>,
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

    /// As OpenMetrics series, each figure beside its target. What there is no figure of is left out.
    #[must_use]
    pub fn to_openmetrics(&self) -> String {
        let rates = [
            ("grant_rate", self.grants().rate(), target::GRANT_RATE),
            ("abandonment", self.abandonment().rate(), target::ABANDONMENT),
            ("compliance", self.recorded.rate(), target::COMPLIANCE),
            ("documentation", self.documented.and_then(Share::rate), target::DOCUMENTATION),
        ];
        let mut lines = vec![
            "# HELP callgate_consent_ratio PX-735's figures, over the last 30 days.".to_owned(),
            "# TYPE callgate_consent_ratio gauge".to_owned(),
        ];
        lines.extend(rates.iter().filter_map(|(name, rate, _)| Some(format!("callgate_consent_ratio{{figure=\"{name}\"}} {}", (*rate)?))));
        lines.push("# HELP callgate_consent_target What they are held against.".to_owned());
        lines.push("# TYPE callgate_consent_target gauge".to_owned());
        lines.extend(rates.iter().map(|(name, _, target)| format!("callgate_consent_target{{figure=\"{name}\"}} {target}")));
        lines.push(
            "# HELP callgate_time_to_conversation_seconds From a call's start to its conversation, over the last 30 days.".to_owned(),
        );
        lines.push("# TYPE callgate_time_to_conversation_seconds gauge".to_owned());
        if let Some((mean, median)) = self.time_to_conversation() {
            lines.push(format!("callgate_time_to_conversation_seconds{{of=\"mean\"}} {mean}"));
            lines.push(format!("callgate_time_to_conversation_seconds{{of=\"median\"}} {median}"));
        }
        lines.push("# HELP callgate_time_to_conversation_target_seconds What the mean is held against.".to_owned());
        lines.push("# TYPE callgate_time_to_conversation_target_seconds gauge".to_owned());
        lines.push(format!("callgate_time_to_conversation_target_seconds {}", target::TIME_TO_CONVERSATION_S));
        lines.join("\n") + "\n"
    }

    /// Each figure beside its target.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let rate = |share: Share, target: f64, meets: fn(f64, f64) -> bool, names: [&str; 2]| {
            let value = share.rate();
            json!({ "value": value, "target": target, "meetsTarget": value.map(|value| meets(value, target)),
                    names[0]: share.part, names[1]: share.whole })
        };
        let least: fn(f64, f64) -> bool = |value, target| value >= target;
        let most: fn(f64, f64) -> bool = |value, target| value <= target;
        let wait = self.time_to_conversation();
        let documentation = match self.documented {
            Some(share) => rate(share, target::DOCUMENTATION, least, ["completed", "created"]),
            None => json!({ "value": null, "target": target::DOCUMENTATION, "meetsTarget": null, "completed": null, "created": null,
                            "reason": "this gateway makes no documentation tasks" }),
        };
        json!({
            "grantRate": rate(self.grants(), target::GRANT_RATE, least, ["granted", "prompts"]),
            "abandonment": rate(self.abandonment(), target::ABANDONMENT, most, ["abandoned", "prompts"]),
            "timeToConversation": {
                "meanSeconds": wait.map(|(mean, _)| mean),
                "medianSeconds": wait.map(|(_, median)| median),
                "targetSeconds": target::TIME_TO_CONVERSATION_S,
                "meetsTarget": wait.map(|(mean, _)| mean <= target::TIME_TO_CONVERSATION_S),
                "calls": self.waits.len(),
            },
            "compliance": rate(self.recorded, target::COMPLIANCE, least, ["withConsent", "recorded"]),
            "documentation": documentation,
        })
    }
}

#[cfg(test)]
mod tests {
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
        let told = figures.to_json();
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
        let told = Figures::default().to_json();
        for figure in ["grantRate", "abandonment", "compliance", "documentation"] {
            assert!(
                told[figure]["value"].is_null() && told[figure]["meetsTarget"].is_null() && told[figure]["target"].is_number(),
                "{figure}"
            );
        }
        assert!(told["timeToConversation"]["meanSeconds"].is_null());
        assert!(told["documentation"]["reason"].is_string());
        let done = Figures { documented: Some(Share { part: 9, whole: 10 }), ..Figures::default() }.to_json();
        assert_eq!((&done["documentation"]["value"], &done["documentation"]["meetsTarget"]), (&json!(0.9), &json!(true)));
    }
}
