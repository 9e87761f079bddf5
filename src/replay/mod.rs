//! The load tester, and the demo: a gateway seen from outside, as Twilio and the main app see it.
//!
//! [`scenario`] is what a call should do and what should come of it, [`line`] the caller's end as frames, [`twilio`] the
//! other end of the socket with its [`playout`] queue, [`seen`] what was sent and seen there; [`recording`] finds the sent
//! frames in a recording, [`check`] holds both against the scenario, [`report`] and [`page`] are what people read. Nothing
//! here shares state with the gateway: all it is given is a URL and a token; in the demo, whose gateway runs on this machine, also
//! the folder, in which [`disk`] looks for what must not be there.

mod check;
mod demo;
mod disk;
mod line;
mod page;
mod playout;
mod recording;
mod report;
mod scenario;
mod seen;
mod twilio;

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use check::Found;
pub use demo::demo;
pub use recording::Contents;
pub use report::table;
pub use scenario::{Count, Expect, Scenario, ScenarioError, Step};
pub use seen::{Press, Seen, Spoken};

/// What `callgate replay` is told.
#[derive(Args)]
pub struct ReplayArgs {
    /// Scenarios: files, folders, or names of built-in ones (`all` for every one)
    #[arg(required = true)]
    scenarios: Vec<String>,
    /// The media socket
    #[arg(long, default_value = "ws://127.0.0.1:8080/twilio/media")]
    url: String,
    /// The API [default: http(s)://HOST of --url]
    #[arg(long)]
    api: Option<String>,
    /// An API token: with one, recordings are opened and searched
    #[arg(long, env = "CALLGATE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Twilio's auth token, if the gateway checks signatures
    #[arg(long, env = "CALLGATE_TWILIO_AUTH_TOKEN", hide_env_values = true)]
    auth_token: Option<String>,
    /// Calls in all [default: one of each scenario]
    #[arg(long)]
    calls: Option<NonZeroUsize>,
    /// Times real time; above 1 the gateway needs CALLGATE_CLOCK=media
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Calls begun a second
    #[arg(long, default_value_t = 100.0)]
    ramp: f64,
    /// Seed of everything that varies
    #[arg(long, default_value_t = 735)]
    seed: u64,
    /// Of so many calls the recording is opened and searched
    #[arg(long, default_value_t = 50)]
    inspect: usize,
    /// A call that is not over after so many seconds is given up, and has failed
    #[arg(long, default_value_t = 300)]
    timeout: u64,
    /// The URL that Twilio would sign, where a proxy stands before the gateway [default: --url]
    #[arg(long)]
    public_url: Option<String>,
    /// A custom parameter of the stream, NAME=VALUE, such as callId and token; may be given several times
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// A recording must be stored within so many seconds after its call
    #[arg(long, default_value_t = 30)]
    stored_within: u64,
    /// Write a summary as JSON; `-` is standard output
    #[arg(long)]
    json: Option<String>,
    /// Write a report as an HTML page that opens offline
    #[arg(long)]
    html: Option<PathBuf>,
}

/// Why a replay could not be done at all. A call that came out wrong is not among these.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A scenario cannot be used.
    #[error("{0}")]
    Scenario(#[from] ScenarioError),
    /// A report cannot be written.
    #[error("{path} cannot be written: {source}")]
    Write {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The demo's folder cannot be looked into.
    #[error("what lies in {path} cannot be read: {source}")]
    Look {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The arguments make no sense.
    #[error("{0}")]
    Arguments(String),
}

/// Where calls go.
#[derive(Clone)]
pub struct Target {
    /// The media socket's URL.
    pub url: String,
    /// The API's.
    pub api: String,
    /// A token for it.
    pub token: Option<String>,
    /// Twilio's auth token, for signing the handshake.
    pub auth_token: Option<String>,
    /// Times real time.
    pub speed: f64,
    /// Of everything that varies.
    pub seed: u64,
}

/// A target, and what all its calls share.
struct Trunk {
    target: Target,
    client: reqwest::Client,
    timeout: Duration,
    stored_within: Duration,
    public_url: Option<String>,
    parameters: Vec<(String, String)>,
    /// One recording is searched at a time: many at once would make the calls late that are still being played.
    searching: Semaphore,
}

/// An expectation that did not come true.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Of what.
    pub what: &'static str,
    /// What the scenario says.
    pub expected: String,
    /// What was seen.
    pub seen: String,
}

impl Failure {
    fn new(what: &'static str, expected: impl fmt::Display, seen: impl fmt::Display) -> Self {
        Self { what, expected: expected.to_string(), seen: seen.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, seen {}", self.what, self.expected, self.seen)
    }
}

/// What one call came to.
pub struct CallOutcome {
    /// Which scenario.
    pub scenario: Arc<Scenario>,
    /// What was seen at the socket.
    pub seen: Arc<Seen>,
    /// What was found afterwards.
    pub found: Found,
    /// Expectations that did not come true.
    pub failures: Vec<Failure>,
}

/// Runs the load tester; `true` if every expectation came true.
///
/// # Errors
/// [`ReplayError`].
pub async fn run(args: ReplayArgs) -> Result<bool, ReplayError> {
    if !(args.speed > 0.0 && args.ramp > 0.0) {
        return Err(ReplayError::Arguments("--speed and --ramp must be greater than 0".into()));
    }
    let scenarios = scenario::find(&args.scenarios)?;
    let api = args.api.clone().unwrap_or_else(|| {
        let http = args.url.replacen("ws", "http", 1);
        let host_from = http.find("://").map_or(0, |at| at + 3);
        http[host_from..].find('/').map_or(http.clone(), |at| http[..host_from + at].to_owned())
    });
    let calls = args.calls.map_or(scenarios.len(), NonZeroUsize::get);
    let (url, token, auth_token) = (args.url.clone(), args.token.clone(), args.auth_token.clone());
    let target = Target { url, api, token, auth_token, speed: args.speed, seed: args.seed };
    let bar = ProgressBar::new(calls as u64).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} calls, {elapsed} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let (timeout, stored_within) = (Duration::from_secs(args.timeout), Duration::from_secs(args.stored_within));
    let (public_url, parameters, searching) = (args.public_url, args.parameters, Semaphore::new(1));
    let trunk = Trunk { target, client: client(), timeout, stored_within, public_url, parameters, searching };
    let outcomes = play_over(trunk, &scenarios, calls, args.ramp, args.inspect, |done, failed| {
        bar.set_position(done as u64);
        if failed > 0 {
            bar.set_message(format!("{failed} failed"));
        }
    })
    .await;
    bar.finish_and_clear();
    let summary = report::Summary::of(&outcomes, args.speed);
    let write = |path: &str, text: &str| std::fs::write(path, text).map_err(|source| ReplayError::Write { path: path.to_owned(), source });
    match args.json.as_deref() {
        Some("-") => println!("{}", summary.json()),
        Some(path) => write(path, &summary.json())?,
        None => {}
    }
    if let Some(path) = &args.html {
        write(&path.display().to_string(), &summary.html())?;
    }
    if args.json.as_deref() != Some("-") {
        println!("{}", summary.text());
    }
    for line in summary.failure_lines() {
        eprintln!("{line}");
    }
    Ok(summary.passed())
}

fn parameter(text: &str) -> Result<(String, String), String> {
    text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| "NAME=VALUE is wanted".to_owned())
}

/// One for all calls: each of its own would read the system's certificates again.
fn client() -> reqwest::Client {
    reqwest::Client::new()
}

/// How long a call that says nothing of it may last.
const TIMEOUT: Duration = Duration::from_secs(300);
/// How long after its call a recording must be stored, if nothing is said of it.
const STORED_WITHIN: Duration = Duration::from_secs(30);

/// Plays `calls` calls, scenarios in turn, and looks at what came of each.
pub async fn play(
    target: &Target,
    scenarios: &[Arc<Scenario>],
    calls: usize,
    ramp: f64,
    inspect: usize,
    progress: impl Fn(usize, usize),
) -> Vec<CallOutcome> {
    let trunk = Trunk {
        target: target.clone(),
        client: client(),
        timeout: TIMEOUT,
        stored_within: STORED_WITHIN,
        public_url: None,
        parameters: Vec::new(),
        searching: Semaphore::new(1),
    };
    play_over(trunk, scenarios, calls, ramp, inspect, progress).await
}

async fn play_over(
    trunk: Trunk,
    scenarios: &[Arc<Scenario>],
    calls: usize,
    ramp: f64,
    inspect: usize,
    progress: impl Fn(usize, usize),
) -> Vec<CallOutcome> {
    if scenarios.is_empty() {
        return Vec::new();
    }
    let trunk = Arc::new(trunk);
    let mut tasks = JoinSet::new();
    let mut outcomes: Vec<Option<CallOutcome>> = (0..calls).map(|_| None).collect();
    let (mut done, mut failed) = (0, 0);
    let mut note = |n: usize, outcome: CallOutcome| {
        done += 1;
        failed += usize::from(!outcome.failures.is_empty());
        progress(done, failed);
        outcomes[n] = Some(outcome);
    };
    let began = tokio::time::Instant::now();
    for n in 0..calls {
        let start = began + Duration::from_secs_f64(n as f64 / ramp);
        while let Ok(finished) = tokio::time::timeout_at(start, tasks.join_next()).await {
            match finished {
                Some(Ok((n, outcome))) => note(n, outcome),
                Some(Err(_)) => {}
                None => {
                    tokio::time::sleep_until(start).await;
                    break;
                }
            }
        }
        let (trunk, scenario) = (Arc::clone(&trunk), Arc::clone(&scenarios[n % scenarios.len()]));
        tasks.spawn(async move { (n, one(&trunk, scenario, n, n < inspect).await) });
    }
    while let Some(finished) = tasks.join_next().await {
        if let Ok((n, outcome)) = finished {
            note(n, outcome);
        }
    }
    // A call whose task was lost is one that failed, not one that never was.
    let lost = |n: usize| CallOutcome {
        scenario: Arc::clone(&scenarios[n % scenarios.len()]),
        seen: Arc::default(),
        found: Found::default(),
        failures: vec![Failure::new("the call", "played to its end", "the load tester itself failed")],
    };
    outcomes.into_iter().enumerate().map(|(n, outcome)| outcome.unwrap_or_else(|| lost(n))).collect()
}

async fn one(trunk: &Trunk, scenario: Arc<Scenario>, n: usize, inspect: bool) -> CallOutcome {
    let seed = trunk.target.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(n as u64);
    let seen = Arc::new(twilio::call(trunk, &scenario, n, seed, inspect).await);
    let found = check::look(trunk, &scenario, &seen, inspect).await;
    let failures = check::failures(&scenario, &seen, &found, trunk.target.token.is_some());
    CallOutcome { scenario, seen, found, failures }
}
