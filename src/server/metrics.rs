//! What is counted, for `GET /metrics`. A registry of its own for every gateway, so that several fit in a process.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

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
        let decisions = Family::default();
        let recordings = Family::default();
        let posts = Family::default();
        let opt_outs = Histogram::new(OPT_OUT_BUCKETS_S);
        registry.register(
            "opt_out_seconds",
            "From an opt-out's request read to its call's gate shut; if another gateway has the call, from when that one took it up",
            opt_outs.clone(),
        );
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

    /// As OpenMetrics text, with what is only known now.
    #[must_use]
    pub fn text(&self, sockets: usize, live: usize, commits: u64, figures: &str) -> String {
        let mut text = String::new();
        let _ = encode(&mut text, &self.registry);
        let now = format!(
            "# HELP callgate_media_sockets Media sockets now.\n# TYPE callgate_media_sockets gauge\ncallgate_media_sockets {sockets}\n\
             # HELP callgate_calls_live Calls now.\n# TYPE callgate_calls_live gauge\ncallgate_calls_live {live}\n\
             # HELP callgate_ledger_commits Transactions of the ledger.\n# TYPE callgate_ledger_commits counter\ncallgate_ledger_commits_total {commits}\n"
        );
        let end = text.rfind("# EOF").unwrap_or(text.len());
        text.insert_str(end, figures);
        text.insert_str(end, &now);
        text
    }
}
