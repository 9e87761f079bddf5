//! What people and scripts read of a replay: tables, JSON. The page with plots is [`super::page`].

use std::collections::BTreeMap;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use serde_json::{Value, json};

use super::{CallOutcome, Failure};

/// What a replay came to.
pub(super) struct Summary {
    pub(super) calls: usize,
    pub(super) speed: f64,
    /// By scenario: calls, and how many of them failed.
    pub(super) scenarios: BTreeMap<String, (usize, usize)>,
    pub(super) latencies: Vec<Latency>,
    pub(super) failures: Vec<(String, String, Failure)>,
    /// Recordings that were opened and searched.
    pub(super) opened: usize,
    /// Calls of which the API says that there is no recording. Nobody has looked whether there is one.
    pub(super) unrecorded: usize,
}

/// One thing that takes time, in milliseconds.
pub(super) struct Latency {
    /// In tables.
    pub(super) name: &'static str,
    /// In JSON.
    pub(super) key: &'static str,
    pub(super) what: &'static str,
    /// Ascending.
    pub(super) values: Vec<f64>,
}

/// A table as all commands print them.
pub fn table<const N: usize>(head: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_header(head);
    table
}

impl Latency {
    fn of<V: IntoIterator<Item = f64>>(
        outcomes: &[CallOutcome],
        name: &'static str,
        key: &'static str,
        what: &'static str,
        values: impl Fn(&CallOutcome) -> V,
    ) -> Self {
        let mut values: Vec<f64> = outcomes.iter().flat_map(values).collect();
        values.sort_by(f64::total_cmp);
        Self { name, key, what, values }
    }

    /// The smallest value that so large a part of all does not exceed.
    pub(super) fn quantile(&self, q: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let at = ((self.values.len().saturating_sub(1)) as f64 * q).round() as usize;
        self.values.get(at).copied().unwrap_or(f64::NAN)
    }
}

impl Summary {
    pub(super) fn of(outcomes: &[CallOutcome], speed: f64) -> Self {
        let mut scenarios: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        let mut failures = Vec::new();
        for outcome in outcomes {
            let counts = scenarios.entry(outcome.scenario.name.clone()).or_default();
            counts.0 += 1;
            counts.1 += usize::from(!outcome.failures.is_empty());
            let named = |failure: &Failure| (outcome.scenario.name.clone(), outcome.seen.call_sid.clone(), failure.clone());
            failures.extend(outcome.failures.iter().map(named));
        }
        let of = |name, key, what, value: fn(&CallOutcome) -> Option<f64>| Latency::of(outcomes, name, key, what, value);
        let latencies = vec![
            of("handshake", "handshake", "until the socket is open", |outcome| outcome.seen.handshake_ms),
            of("first audio", "firstAudio", "from start to the prompt's first message", |outcome| outcome.seen.first_audio_ms),
            of("decision", "decision", "from the key to the gateway's clear, closing line or close", |outcome| outcome.seen.decision_ms),
            of("cut", "cut", "media time from the last captured frame's end to the key's first sample", cut_ms),
            Latency::of(
                outcomes,
                "own lateness",
                "ownLateness",
                "how late this end was with a frame; nothing above is more exact",
                |outcome| outcome.seen.late_ms.clone(),
            ),
        ];
        let opened = outcomes.iter().filter(|outcome| outcome.found.contents.is_some()).count();
        let is_unrecorded =
            |outcome: &&CallOutcome| outcome.found.call.as_ref().is_some_and(|call| call["recording"]["state"] != "FINISHED");
        let unrecorded = outcomes.iter().filter(is_unrecorded).count();
        Self { calls: outcomes.len(), speed, scenarios, latencies, failures, opened, unrecorded }
    }

    pub(super) fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// How much is known of calls without a recording: a gateway behind a URL is believed.
    pub(super) fn believed(&self) -> Option<String> {
        (self.unrecorded > 0).then(|| {
            format!(
                "{} calls without a recording by the API's word alone: what lies on the gateway's disk and in its store is not seen from here",
                self.unrecorded
            )
        })
    }

    pub(super) fn failed(&self) -> usize {
        self.scenarios.values().map(|(_, failed)| failed).sum()
    }

    /// A line a failure: scenario, call, expected, seen.
    pub(super) fn failure_lines(&self) -> impl Iterator<Item = String> + '_ {
        self.failures.iter().map(|(scenario, call, failure)| format!("{scenario} ({call}): {failure}"))
    }

    pub(super) fn text(&self) -> String {
        let mut by_scenario = table(["scenario", "calls", "failed"]);
        for (name, (calls, failed)) in &self.scenarios {
            by_scenario.add_row([name.clone(), calls.to_string(), failed.to_string()]);
        }
        let mut by_latency = table(["ms", "what", "n", "p50", "p90", "p99", "max"]);
        for latency in self.latencies.iter().filter(|latency| !latency.values.is_empty()) {
            let q = |q| format!("{:.2}", latency.quantile(q));
            let count = latency.values.len().to_string();
            by_latency.add_row([latency.name.to_owned(), latency.what.to_owned(), count, q(0.5), q(0.9), q(0.99), q(1.0)]);
        }
        let believed = self.believed().map(|believed| format!("\n{believed}")).unwrap_or_default();
        format!("{by_scenario}\n{by_latency}\n{} recordings opened and searched{believed}", self.opened)
    }

    /// `{calls, failed, opened, unrecorded, speed, scenarios: {NAME: {calls, failed}},
    /// latencyMs: {handshake|firstAudio|decision|cut|ownLateness: {n, p50, p90, p99, max}},
    /// failures: [{scenario, callSid, what, expected, seen}]}`; a latency that nobody had is `null` in each place but `n`.
    /// `unrecorded` is by the API's word alone.
    pub(super) fn json(&self) -> String {
        let latencies: serde_json::Map<String, Value> = self
            .latencies
            .iter()
            .map(|latency| {
                let q = |q| if latency.values.is_empty() { Value::Null } else { json!(latency.quantile(q)) };
                let told = json!({ "n": latency.values.len(), "p50": q(0.5), "p90": q(0.9), "p99": q(0.99), "max": q(1.0) });
                (latency.key.to_owned(), told)
            })
            .collect();
        let scenarios: serde_json::Map<String, Value> =
            self.scenarios.iter().map(|(name, (calls, failed))| (name.clone(), json!({ "calls": calls, "failed": failed }))).collect();
        let failure = |(scenario, call, failure): &(String, String, Failure)| json!({ "scenario": scenario, "callSid": call, "what": failure.what, "expected": failure.expected, "seen": failure.seen });
        let failures: Vec<Value> = self.failures.iter().map(failure).collect();
        let all = json!({ "calls": self.calls, "failed": self.failed(), "opened": self.opened,
                          "unrecorded": self.unrecorded, "speed": self.speed,
                          "scenarios": scenarios, "latencyMs": latencies, "failures": failures });
        serde_json::to_string_pretty(&all).unwrap_or_default()
    }
}

/// From the end of the last captured frame to the first sample of the key that withdrew, in milliseconds of media.
pub(super) fn cut_ms(outcome: &CallOutcome) -> Option<f64> {
    let press = outcome.seen.presses.get(outcome.scenario.expect.cut_at_key?.checked_sub(1)?)?;
    let (last, _) = outcome.found.contents.as_ref()?.whole[0].last()?;
    Some((press.at as f64 - (*last as f64 + 1.0)) * 20.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::replay::{Found, Scenario, Seen};

    pub(in crate::replay) fn outcome(name: &str, first_audio_ms: f64, failures: Vec<Failure>) -> CallOutcome {
        let scenario = Scenario::read("x.toml", &format!("name = '{name}'\nstep = []\n[expect]")).unwrap();
        let seen = Seen { call_sid: "CA1".into(), first_audio_ms: Some(first_audio_ms), late_ms: vec![1.5], ..Seen::default() };
        CallOutcome { scenario: Arc::new(scenario), seen: Arc::new(seen), found: Found::default(), failures }
    }

    #[test]
    fn the_json_has_the_shape_that_is_documented() {
        let failure = Failure::new("consent", "GRANTED", "PENDING");
        let mut outcomes = [outcome("a", 3.0, vec![]), outcome("a", 1.0, vec![failure]), outcome("b", 2.0, vec![])];
        outcomes[2].found.call = Some(json!({ "recording": { "state": "NOT_STARTED" } }));
        let summary = Summary::of(&outcomes, 4.0);
        let nobody = json!({ "n": 0, "p50": null, "p90": null, "p99": null, "max": null });
        let expected = json!({
            "calls": 3, "failed": 1, "opened": 0, "unrecorded": 1, "speed": 4.0,
            "scenarios": { "a": { "calls": 2, "failed": 1 }, "b": { "calls": 1, "failed": 0 } },
            "latencyMs": {
                "handshake": nobody, "decision": nobody, "cut": nobody,
                "firstAudio": { "n": 3, "p50": 2.0, "p90": 3.0, "p99": 3.0, "max": 3.0 },
                "ownLateness": { "n": 3, "p50": 1.5, "p90": 1.5, "p99": 1.5, "max": 1.5 },
            },
            "failures": [{ "scenario": "a", "callSid": "CA1", "what": "consent", "expected": "GRANTED", "seen": "PENDING" }],
        });
        assert_eq!(serde_json::from_str::<Value>(&summary.json()).unwrap(), expected);
        assert!(summary.text().contains("1 calls without a recording by the API's word alone"), "{}", summary.text());
        assert_eq!(summary.failure_lines().collect::<Vec<_>>(), ["a (CA1): consent: expected GRANTED, seen PENDING"]);
    }
}
