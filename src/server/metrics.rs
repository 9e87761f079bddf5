//! What is counted, for `GET /metrics`. A registry of its own for every gateway, so that several fit in a process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::engine::figures::{GroupedFigures, target};

/// How a question was decided, or a recording ended.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Outcome {
    /// `granted`, `declined`, `none`, `abandoned`; or `finished`, `discarded`, `failed`.
    pub outcome: &'static str,
}

/// Around the 5 ms that an opt-out may take.
const OPT_OUT_BUCKETS_S: [f64; 14] = [0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 1.0, 5.0];

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    sockets: Gauge,
    live: Gauge,
    commits: Counter,
    /// Calls begun.
    pub calls: Counter,
    /// Calls by how they were decided.
    pub decisions: Family<Outcome, Counter>,
    /// Recordings by how they ended.
    pub recordings: Family<Outcome, Counter>,
    /// Tries to post an event, by what became of them: `delivered`, `again`, `failed`.
    pub posts: Family<Outcome, Counter>,
    /// Frames captured, of calls that are over.
    pub captured: Counter,
    /// Frames withheld, of calls that are over.
    pub withheld: Counter,
    /// Messages that were let pass because they could not be understood.
    pub malformed: Counter,
    /// Handshakes and streams refused.
    pub refused: Counter,
    /// What voice bots were too slow to take.
    pub relay_dropped: Counter,
    /// Samples of bridged calls that came too fast to be passed on in time.
    pub bridge_dropped: Counter,
    /// Seconds from the moment when an opt-out's request had been read to the moment when its call's gate is known to be shut.
    pub opt_outs: Histogram,
    /// Pieces of work the ledger's queue had no room for.
    pub ledger_full: Counter,
    /// Noes that the database did not take at once, and that are being written.
    pub noes_unwritten: Gauge,
    /// Artifacts whose owners have not confirmed that they are deleted, a day after they were due; at the last look.
    pub artifacts_overdue: Gauge,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("callgate");
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let calls = counter("calls", "Calls begun");
        let captured = counter("frames_captured", "Frames captured, of calls that are over");
        let withheld = counter("frames_withheld", "Frames withheld, of calls that are over");
        let malformed = counter("messages_malformed", "Messages let pass because they could not be understood");
        let refused = counter("streams_refused", "Handshakes and streams refused");
        let relay_dropped = counter("relay_dropped", "Messages for voice bots that had no room, and were thrown away");
        let bridge_dropped =
            counter("bridge_dropped_samples", "Samples of bridged calls thrown away so that delay does not grow, of calls that are over");
        let ledger_full = counter("ledger_full", "Pieces of work the ledger's queue had no room for");
        let commits = counter("ledger_commits", "Transactions of the ledger");
        let decisions = Family::default();
        let recordings = Family::default();
        let posts = Family::default();
        let opt_outs = Histogram::new(OPT_OUT_BUCKETS_S);
        registry.register(
            "opt_out_seconds",
            "From an opt-out's request read to its call's gate shut; if another gateway has the call, from when that one took it up",
            opt_outs.clone(),
        );
        let (sockets, live) = (Gauge::default(), Gauge::default());
        registry.register("media_sockets", "Media sockets now", sockets.clone());
        registry.register("calls_live", "Calls now", live.clone());
        let artifacts_overdue = Gauge::default();
        let noes_unwritten = Gauge::default();
        registry.register(
            "noes_unwritten",
            "Noes of clients that the database did not take at once, and that are being written",
            noes_unwritten.clone(),
        );
        registry.register(
            "artifacts_overdue",
            "Artifacts not confirmed deleted a day after they were due, at the last look",
            artifacts_overdue.clone(),
        );
        registry.register("webhook_posts", "Tries to post an event, by what became of them", posts.clone());
        registry.register("decisions", "Calls by how they were decided", decisions.clone());
        registry.register("recordings", "Recordings by how they ended", recordings.clone());
        Arc::new(Self {
            registry,
            sockets,
            live,
            commits,
            calls,
            decisions,
            recordings,
            posts,
            captured,
            withheld,
            malformed,
            refused,
            relay_dropped,
            ledger_full,
            noes_unwritten,
            artifacts_overdue,
            bridge_dropped,
            opt_outs,
        })
    }

    /// As OpenMetrics text, with what is only known now, and what [`of_consent`] told.
    #[must_use]
    pub fn text(&self, sockets: usize, live: usize, commits: u64, figures: &str) -> String {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.sockets.set(gauge(sockets));
        self.live.set(gauge(live));
        self.commits.inner().store(commits, Ordering::Relaxed);
        let mut text = String::new();
        let written = encode_registry(&mut text, &self.registry).and_then(|()| {
            text.push_str(figures);
            encode_eof(&mut text)
        });
        written.map(|()| text).unwrap_or_default() // a String takes everything
    }
}

/// Whose calls a series is of.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfGroup {
    org: String,
    language: String,
    prompt_version: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfFigure {
    figure: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfWait {
    of: &'static str,
}

type Real = Gauge<f64, AtomicU64>;

/// PX-735's figures as OpenMetrics series, without an end: each by group, as a ratio and as the two counts that it is of, so that groups
/// can be added up; and what it is held against. What there is no figure of is left out.
#[must_use]
pub fn of_consent(figures: &GroupedFigures) -> String {
    let mut registry = Registry::with_prefix("callgate");
    let (ratio, part, whole): (Family<_, Real>, Family<_, Gauge>, Family<_, Gauge>) = Default::default();
    let (waits, targets, longest): (Family<_, Real>, Family<_, Real>, Real) = Default::default();
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    for (group, figures) in figures.bounded() {
        let group = OfGroup { org: group.org_id, language: group.language, prompt_version: group.prompt_version };
        for (figure, share) in figures.shares() {
            let labels = (OfFigure { figure }, group.clone());
            part.get_or_create(&labels).set(count(share.part));
            whole.get_or_create(&labels).set(count(share.whole));
            if let Some(rate) = share.rate() {
                ratio.get_or_create(&labels).set(rate);
            }
        }
        if let Some((mean, median)) = figures.time_to_conversation() {
            for (of, seconds) in [("mean", mean), ("median", median)] {
                waits.get_or_create(&(OfWait { of }, group.clone())).set(seconds);
            }
        }
    }
    for (figure, target) in [
        ("grant_rate", target::GRANT_RATE),
        ("abandonment", target::ABANDONMENT),
        ("compliance", target::COMPLIANCE),
        ("documentation", target::DOCUMENTATION),
    ] {
        targets.get_or_create(&OfFigure { figure }).set(target);
    }
    longest.set(target::TIME_TO_CONVERSATION_S);
    registry.register("consent_ratio", "PX-735's figures, over the last 30 days", ratio);
    registry.register("consent_part", "So many count for the figure", part);
    registry.register("consent_whole", "Of so many", whole);
    registry.register("time_to_conversation_seconds", "From a call's start to its conversation, over the last 30 days", waits);
    registry.register("consent_target", "What they are held against", targets);
    registry.register("time_to_conversation_target_seconds", "What the mean is held against", longest);
    let mut text = String::new();
    encode_registry(&mut text, &registry).map(|()| text).unwrap_or_default() // a String takes everything
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::figures::{CallFact, Figures, GROUPS_MAX, Group};

    fn call(granted: bool, abandoned: bool, waited_ms: Option<u64>) -> CallFact {
        CallFact { prompted: true, granted, abandoned, waited_ms }
    }

    fn group(org: &str) -> Group {
        Group { org_id: org.into(), language: "en".into(), prompt_version: "v1".into() }
    }

    #[test]
    fn every_series_names_whose_calls_it_is_of() {
        let mut one = Figures::default();
        one.add(call(true, false, Some(10_000)));
        one.add(call(false, true, None));
        let told = of_consent(&GroupedFigures(BTreeMap::from([(group("a\"b\\c\nd"), one)])));
        let labels = r#"org="a\"b\\c\nd",language="en",prompt_version="v1""#;
        for series in [
            format!(r#"callgate_consent_ratio{{figure="grant_rate",{labels}}} 0.5"#),
            format!(r#"callgate_consent_part{{figure="abandonment",{labels}}} 1"#),
            format!(r#"callgate_consent_whole{{figure="abandonment",{labels}}} 2"#),
            format!(r#"callgate_time_to_conversation_seconds{{of="mean",{labels}}} 10.0"#),
        ] {
            assert!(told.lines().any(|line| line == series), "{series}: {told}");
        }
        assert!(!told.contains(r#"callgate_consent_ratio{figure="compliance""#), "a figure of nothing is none");
    }

    #[test]
    fn organisations_without_end_have_series_with_an_end_and_lose_no_call() {
        let mut groups = GroupedFigures::default();
        for n in 0..GROUPS_MAX + 50 {
            let figures = groups.0.entry(group(&format!("org-{n:04}"))).or_default();
            for _ in 0..=n {
                figures.add(call(true, false, None));
            }
        }
        let told = of_consent(&groups);
        let prompts: Vec<_> = told.lines().filter(|line| line.starts_with(r#"callgate_consent_whole{figure="grant_rate""#)).collect();
        assert_eq!(prompts.len(), GROUPS_MAX + 1);
        assert!(!told.contains("org-0049") && told.contains("org-0050"), "the ones with the fewest calls are the others");
        let sum: u64 = prompts.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
        assert_eq!(sum, groups.total().grants().whole);
    }
}
