//! The ledger: grants made durable when a thousand calls decide at once, one alone, and the verification of a long chain.
//! On SQLite, and on a PostgreSQL server of its own with fsync on, if this machine has one.
//! `cargo bench --bench ledger`. Budgets: a thousand calls that decide within one second know it after 25 ms at the median; a thousand waiting grants within a second; a million entries verified in 20 s
//! and 200 MiB. `CALLGATE_BENCH_ENTRIES=1000000` tries that very size; each round then tells its peak of memory.

use std::time::{Duration, Instant};

use callgate::engine::call::NotSealed;
use callgate::engine::consent::{Actor, ConsentRecord, ConsentStatus, Grant, Method, Receipt};
use callgate::engine::ledger::{Event, EventKind};
use callgate::engine::time::WallTime;
use callgate::io::database::{Database, LEDGER_QUEUE_MAX, VerifyReport, Work};
use divan::counter::ItemsCount;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

#[path = "../tests/common/databases.rs"]
#[allow(dead_code, reason = "the benchmark uses its own part")]
mod databases;

use databases::Cluster;

fn main() {
    divan::main();
}

fn grant(n: u64) -> Grant {
    let record = ConsentRecord {
        id: format!("record-{n}"),
        org_id: "org".into(),
        client_id: format!("client-{n}"),
        call_id: Some(format!("call-{n}")),
        status: ConsentStatus::Granted,
        method: Method::Keypress,
        language_code: "en".into(),
        prompt_version: "v1".into(),
        actor: Actor::Client { id: format!("client-{n}") },
        at: WallTime(1_790_000_000_000),
        reason: None,
        evidence:
            serde_json::json!({ "position": { "streamSid": "MZ0123456789abcdef0123456789abcdef", "sequence": n, "timestampMs": 4_200 },
            "promptSha256": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "heardDb": -41.5 })
            .into(),
        policy_version: None,
        policy_basis: None,
    };
    Grant { record: record.into(), seen: 0 }
}

struct Bench {
    runtime: Runtime,
    database: Database,
    url: String,
    next: u64,
    _folder: tempfile::TempDir,
    _server: Option<Cluster>,
}

impl Bench {
    /// On `sqlite` or on `postgres`.
    fn new(backend: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let server = (backend == "postgres").then(|| runtime.block_on(Cluster::start(&["fsync=on"])));
        let url = match &server {
            Some(server) => server.url("postgres"),
            None => format!("sqlite://{}/b.db", folder.path().display()),
        };
        let database = runtime.block_on(Database::open(&url)).unwrap();
        Self { runtime, database, url, next: 0, _folder: folder, _server: server }
    }

    fn grants(&mut self, count: u64) {
        let answers: Vec<_> = (self.next..self.next + count).map(|n| self.hand_in(n)).collect();
        self.next += count;
        self.runtime.block_on(async {
            for answer in answers {
                answer.await.unwrap();
            }
        });
    }

    /// Hands a grant in; tells how long its receipt took.
    fn hand_in(&self, n: u64) -> oneshot::Receiver<Duration> {
        let (done, answer) = oneshot::channel();
        let began = Instant::now();
        let then = Box::new(move |receipt: Result<Receipt<Grant>, NotSealed>| {
            assert!(receipt.is_ok());
            let _ = done.send(began.elapsed());
        });
        self.database.ledger().append(Work::Grant(grant(n), then)).unwrap();
        answer
    }
}

/// The backends that this machine has.
fn backends() -> Vec<&'static str> {
    if databases::is_here() { vec!["sqlite", "postgres"] } else { vec!["sqlite"] }
}

fn each(counts: &[u64]) -> Vec<(&'static str, u64)> {
    backends().into_iter().flat_map(|backend| counts.iter().map(move |count| (backend, *count))).collect()
}

/// From handing in to the last receipt, fsync and all.
#[divan::bench(args = each(&[1, 1_000]), sample_count = 20, sample_size = 1)]
fn durable_grants(bencher: divan::Bencher<'_, '_>, (backend, waiting): (&str, u64)) {
    let mut bench = Bench::new(backend);
    bencher.counter(ItemsCount::new(waiting)).bench_local(|| bench.grants(waiting));
}

/// A thousand calls that decide one after the other within one second; each tells how long it waited for its receipt.
#[divan::bench(args = backends(), sample_count = 3, sample_size = 1)]
fn a_second_of_decisions(bencher: divan::Bencher<'_, '_>, backend: &str) {
    let mut bench = Bench::new(backend);
    let mut waits = Vec::new();
    bencher.bench_local(|| {
        let began = Instant::now();
        let answers: Vec<_> = (0..1_000)
            .map(|n| {
                std::thread::sleep((began + Duration::from_millis(n)).saturating_duration_since(Instant::now()));
                bench.hand_in(bench.next + n)
            })
            .collect();
        bench.next += 1_000;
        for answer in answers {
            waits.push(bench.runtime.block_on(answer).unwrap());
        }
    });
    waits.sort_unstable();
    let at = |share: usize| waits[(waits.len() - 1) * share / 100];
    println!("{backend}: {:?} at the median, {:?} at p99, {:?} at most", at(50), at(99), at(100));
}

/// A tenth of the entries are grants with their records, as in a life of calls.
#[divan::bench(args = backends(), sample_count = 5, sample_size = 1)]
fn verify(bencher: divan::Bencher<'_, '_>, backend: &str) {
    let entries: u64 = std::env::var("CALLGATE_BENCH_ENTRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let mut bench = Bench::new(backend);
    let mut written = 0;
    while written < entries {
        let some = (entries - written).min(LEDGER_QUEUE_MAX as u64 / 2);
        let grants = some / 10;
        bench.grants(grants);
        for n in grants..some {
            let event = Event {
                org_id: "org".into(),
                kind: EventKind::RecordingStarted,
                actor: Actor::System,
                call_id: Some(format!("call-{n}")),
                client_id: Some(format!("client-{n}")),
                at: WallTime(1_790_000_000_000),
                position: None,
                detail: serde_json::json!({ "recordingId": format!("recording-{n}") }),
            };
            bench.database.ledger().append(Work::Audit(event, None)).unwrap();
        }
        bench.runtime.block_on(bench.database.ledger().flush());
        written += some;
    }
    let before = peak_kib();
    bencher.counter(ItemsCount::new(entries)).bench_local(|| {
        let report = bench.runtime.block_on(VerifyReport::of(&bench.url)).unwrap();
        assert_eq!((report.entries, report.broken), (entries, None));
    });
    println!("peak memory {} MiB after verifying, {} MiB before", peak_kib() / 1_024, before / 1_024);
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).and_then(|rest| rest.split_whitespace().next());
    peak.and_then(|text| text.parse().ok()).unwrap_or(0)
}
