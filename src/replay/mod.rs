//! The load tester, and the demo: a gateway seen from outside, as Twilio and the main app see it.
//!
//! [`scenario`] is what a call should do and what should come of it, [`line`] the caller's end as frames, [`twilio`] the
//! other end of the socket, [`check`] the look into the recording itself, [`report`] what people read. Nothing here
//! shares state with the gateway: all it is given is a URL and a token.

mod check;
mod demo;
mod line;
mod report;
mod scenario;
mod twilio;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;

pub use demo::demo;
pub use report::table;
pub use scenario::{Scenario, ScenarioError};

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
    /// Calls in all
    #[arg(long, default_value_t = 1)]
    calls: usize,
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

/// What one call came to.
pub struct CallOutcome {
    /// Which scenario.
    pub scenario: Arc<Scenario>,
    /// What was seen at the socket.
    pub seen: twilio::Seen,
    /// What was found afterwards.
    pub found: check::Found,
    /// Expectations that did not come true, a sentence each.
    pub failures: Vec<String>,
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
    let (url, token, auth_token) = (args.url.clone(), args.token.clone(), args.auth_token.clone());
    let target = Target { url, api, token, auth_token, speed: args.speed, seed: args.seed };
    let bar = ProgressBar::new(args.calls as u64).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} calls, {elapsed} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let outcomes = play(&target, &scenarios, args.calls, args.ramp, args.inspect, |done, failed| {
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
    for line in summary.failures() {
        eprintln!("{line}");
    }
    Ok(summary.failures().is_empty())
}

/// Plays `calls` calls, scenarios in turn, and looks at what came of each.
pub async fn play(
    target: &Target,
    scenarios: &[Arc<Scenario>],
    calls: usize,
    ramp: f64,
    inspect: usize,
    progress: impl Fn(usize, usize),
) -> Vec<CallOutcome> {
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
        let (target, scenario) = (target.clone(), Arc::clone(&scenarios[n % scenarios.len()]));
        tasks.spawn(async move { (n, one(&target, scenario, n, n < inspect).await) });
    }
    while let Some(finished) = tasks.join_next().await {
        if let Ok((n, outcome)) = finished {
            note(n, outcome);
        }
    }
    outcomes.into_iter().flatten().collect()
}

async fn one(target: &Target, scenario: Arc<Scenario>, n: usize, inspect: bool) -> CallOutcome {
    let seed = target.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(n as u64);
    let seen = twilio::call(target, &scenario, n, seed, inspect).await;
    let found = check::look(target, &seen, inspect).await;
    let failures = check::failures(&scenario, &seen, &found, target.token.is_some());
    CallOutcome { scenario, seen, found, failures }
}
