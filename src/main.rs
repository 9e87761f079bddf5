//! Arguments → configuration → run. Every command of the binary, and nothing that decides.

mod dtmf;
#[cfg(feature = "polly")]
mod synth;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use callgate::engine::evidence::{BYTES_MAX, verify};
use callgate::engine::ledger::{Checkpoint, NotProven, NoteVerifier};
use callgate::engine::time::WallTime;
use callgate::io::bundle::unpack;
use callgate::io::database::VerifyReport;
use callgate::io::priority::give_way;
use callgate::replay;
use callgate::server::{
    Claims, Config, Gateway, Given, PERMISSIONS, SweepOutcome, Swept, TokenKey, checkpoint_key, open_checkpoint_key, sweep,
};
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

/// A thousand calls begin and end in one process, and what their questions took is to be there for the next ones: glibc's allocator leaves
/// it in holes between what lives on (docs/gateway.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A consent gate for the live audio of telephone calls (Twilio Media Streams).
#[derive(Parser)]
#[command(version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway; SIGTERM drains it
    Serve(Configured),
    /// Show the main job: a gateway on loopback, fixture calls through real WebSockets, a table, the verified chain
    Demo(DemoArgs),
    /// Replay scenarios against a gateway: the load tester
    Replay(Box<replay::ReplayArgs>),
    /// Print the key presses heard in a WAV or raw mu-law file: DIGIT REPORTED_SAMPLE ONSET_SAMPLE END_SAMPLE
    Dtmf {
        /// A WAV, known by its header, or else raw 8 kHz mu-law
        file: PathBuf,
    },
    /// Mint an API token for development and scripts
    Token(TokenArgs),
    /// The audit chain
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Evidence of calls
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Recordings that wait for deletion
    #[command(subcommand)]
    Retention(RetentionCommand),
    /// Prompts of a voice of your own
    #[command(subcommand)]
    Prompts(PromptsCommand),
    /// Print the configuration in force, secrets masked
    Config(Configured),
}

#[derive(Subcommand)]
enum RetentionCommand {
    /// Delete what is due; `serve` does the same every hour. Exit code 1 if something due could not be deleted
    Sweep(SweepArgs),
}

#[derive(Args)]
struct SweepArgs {
    /// As if it were that time (RFC 3339) [default: now]
    #[arg(long, value_parser = moment)]
    as_of: Option<WallTime>,
    /// Delete nothing; say what would be
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    configured: Configured,
}

#[derive(Subcommand)]
enum PromptsCommand {
    /// Have the shipped scripts spoken by Amazon Polly (Joanna, Lupe), as a folder for CALLGATE_PROMPTS_DIR
    Synth {
        /// Who speaks
        #[arg(long, value_enum, default_value_t = Voice::Polly)]
        voice: Voice,
        /// Where the prompts go
        #[arg(long, default_value = "prompts")]
        out: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Voice {
    /// Amazon Polly, neural; credentials and region by the AWS SDK's usual chain
    Polly,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Check the whole hash chain of the configured database
    Verify(VerifyArgs),
    /// Print the public key by which the gateway's checkpoints are verified; made if there is none
    Key(Configured),
}

#[derive(Subcommand)]
enum EvidenceCommand {
    /// Check a bundle of GET /api/calls/{callId}/evidence, with nothing but the file and the public key
    Verify {
        /// The zip
        file: PathBuf,
        /// A public key that may have signed it, as `callgate audit key` prints it at the gateway; several gateways may have one each
        /// [default: the bundle's own word]
        #[arg(long)]
        key: Vec<String>,
    },
}

#[derive(Args)]
struct VerifyArgs {
    /// A checkpoint that was copied out of the object store: the chain must still hold what it was signed for
    #[arg(long)]
    checkpoint: Vec<PathBuf>,
    /// A public key that may have signed it, as `callgate audit key` prints it; several gateways may have one each
    /// [default: that of the data folder]
    #[arg(long)]
    key: Vec<String>,
    #[command(flatten)]
    configured: Configured,
}

#[derive(Args)]
struct Configured {
    /// A TOML file [default: callgate.toml in the working folder, if there is one]
    #[arg(long)]
    config: Option<PathBuf>,
    #[command(flatten)]
    given: Box<Given>,
}

#[derive(Args)]
struct TokenArgs {
    /// The person's id
    #[arg(long)]
    sub: String,
    /// What the person may, separated by commas
    #[arg(long, value_delimiter = ',', required = true, value_parser = PossibleValuesParser::new(PERMISSIONS))]
    permissions: Vec<String>,
    /// Ids of assigned clients, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "*")]
    clients: Vec<String>,
    /// The organisation
    #[arg(long, default_value = "default")]
    org: String,
    /// The person's name
    #[arg(long, default_value = "")]
    name: String,
    /// Hours until it is void
    #[arg(long, default_value_t = 12)]
    hours: u64,
    #[command(flatten)]
    configured: Configured,
}

#[derive(Args)]
struct DemoArgs {
    /// Keep the demo's data folder and say where it is
    #[arg(long)]
    keep: bool,
}

/// The command line, or the configuration, is wrong.
const WRONG: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("callgate: another TLS provider was installed first");
        return ExitCode::from(WRONG);
    }
    match run(arguments.command) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("callgate: {why:#}");
            ExitCode::from(WRONG)
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(configured) => {
            let config = configured.meant()?;
            let _log = log(&config)?;
            runtime()?.block_on(serve(config))
        }
        Command::Demo(args) => runtime()?.block_on(demo(args)),
        Command::Replay(args) => {
            let passed = runtime()?.block_on(replay::run(*args))?;
            Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        Command::Dtmf { file } => dtmf::print(&file).map(|()| ExitCode::SUCCESS),
        Command::Token(args) => {
            let config = args.configured.meant()?;
            let key = TokenKey::open(&config.tokens, &config.data_dir)?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
            let exp = now + args.hours * 3_600;
            let claims =
                Claims { sub: args.sub, name: args.name, org: args.org, permissions: args.permissions, clients: args.clients, exp };
            if let Some(why) = claims.unfit() {
                anyhow::bail!("{why}");
            }
            println!("{}", key.mint(&claims)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Audit(AuditCommand::Verify(args)) => {
            let config = args.configured.meant()?;
            let checkpoints = match checkpoints(&args.checkpoint, &args.key, &config)? {
                Ok(checkpoints) => checkpoints,
                Err(forged) => {
                    println!("{forged}");
                    return Ok(ExitCode::from(1));
                }
            };
            let report = runtime()?.block_on(VerifyReport::against(config.database_url.as_str(), &checkpoints))?;
            let code = told(&report);
            if report.broken.is_none() {
                for (org, checkpoint) in &checkpoints {
                    println!("the checkpoint of {org} at {} entries holds, root {}", checkpoint.size, checkpoint.root);
                }
            }
            Ok(code)
        }
        Command::Audit(AuditCommand::Key(configured)) => {
            println!("{}", open_checkpoint_key(&configured.meant()?.data_dir)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Evidence(EvidenceCommand::Verify { file, key }) => evidence(&file, &key),
        Command::Retention(RetentionCommand::Sweep(args)) => {
            let config = args.configured.meant()?;
            let _log = log(&config)?;
            let as_of = args.as_of.unwrap_or_else(callgate::io::clock::wall);
            let swept = runtime()?.block_on(sweep(&config, as_of, args.dry_run))?;
            Ok(swept_out(&swept))
        }
        Command::Prompts(PromptsCommand::Synth { voice: Voice::Polly, out }) => synth(&out),
        Command::Config(configured) => {
            let config = configured.meant()?;
            let mut table = replay::table(["key", "value", "meaning"]);
            for (key, value, meaning) in config.table() {
                table.add_row([key, &value, meaning]);
            }
            println!("{table}");
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Tells whether a bundle is whole, and whose.
fn evidence(file: &Path, keys: &[String]) -> anyhow::Result<ExitCode> {
    let shown = file.display();
    let given = verifiers(keys)?;
    let length = std::fs::metadata(file).with_context(|| format!("{shown} cannot be read"))?.len();
    anyhow::ensure!(length <= BYTES_MAX, "{shown} is larger than any bundle that callgate writes");
    let zip = std::fs::read(file).with_context(|| format!("{shown} cannot be read"))?;
    let verified = unpack(&zip).map_err(|why| why.to_string()).and_then(|files| verify(&files, &given).map_err(|why| why.to_string()));
    let verified = match verified {
        Ok(verified) => verified,
        Err(why) => {
            println!("not verified: {why}");
            return Ok(ExitCode::from(1));
        }
    };
    println!(
        "verified {} entries of {} about call {}, handed out {}; the chain had {} entries, root {}",
        verified.entries, verified.org_id, verified.call_id, verified.exported_at, verified.checkpoint.size, verified.checkpoint.root
    );
    if given.is_empty() {
        println!(
            "signed, by the bundle's own word, with {}: compare it with `callgate audit key` at the gateway, or give it by --key",
            verified.key
        );
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "polly")]
fn synth(out: &Path) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(synth::run(out))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(not(feature = "polly"))]
fn synth(out: &Path) -> anyhow::Result<ExitCode> {
    anyhow::bail!("nothing is written to {}: this callgate was built without Amazon Polly; build with --features polly", out.display())
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let bound = Duration::from_secs(config.drain_seconds);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let gateway = Gateway::start(config).await?;
    println!("listening on http://{}", gateway.address());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining: no new calls; live ones have {bound:?} to end");
    gateway.drain(bound).await;
    Ok(ExitCode::SUCCESS)
}

async fn demo(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let folder = std::env::temp_dir().join(format!("callgate-demo-{}", std::process::id()));
    let text = |text: &str| Some(text.to_owned());
    let given = Given {
        listen: text("127.0.0.1:0"),
        data_dir: Some(folder.display().to_string()),
        clock: text("media"),
        log: text("warn"),
        ..Given::default()
    };
    let config = given.meant()?;
    let _log = log(&config)?;
    let database_url = config.database_url.clone();
    let gateway = Gateway::start(config).await?;
    println!("gateway on http://{}, data in {}", gateway.address(), folder.display());
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let permissions = ["canViewClients", "canViewRecordings", "canViewAuditLogs"].map(str::to_owned).to_vec();
    let claims =
        Claims { sub: "demo".into(), name: "Demo".into(), org: "default".into(), permissions, clients: vec!["*".into()], exp: now + 3_600 };
    let token = gateway.tokens().mint(&claims)?;
    let passed = replay::demo(gateway.address(), token, &folder).await?;
    gateway.drain(Duration::from_secs(5)).await;
    let report = VerifyReport::of(database_url.as_str()).await?;
    let chain = told(&report);
    if args.keep {
        println!("kept: {}", folder.display());
    } else {
        std::fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    Ok(if passed { chain } else { ExitCode::from(1) })
}

fn verifiers(keys: &[String]) -> anyhow::Result<Vec<NoteVerifier>> {
    keys.iter().map(|key| NoteVerifier::parse(key).context("--key")).collect()
}

/// Checkpoints that are signed by one of the keys, with their organisations; or which of them was forged.
fn checkpoints(files: &[PathBuf], keys: &[String], config: &Config) -> anyhow::Result<Result<Vec<(String, Checkpoint)>, String>> {
    if files.is_empty() {
        anyhow::ensure!(keys.is_empty(), "--key verifies a --checkpoint, and none is given");
        return Ok(Ok(Vec::new()));
    }
    let mut keys = verifiers(keys)?;
    if keys.is_empty() {
        let own = checkpoint_key(&config.data_dir)?;
        keys.push(own.with_context(|| format!("{} has no checkpoint key: give the gateway's by --key", config.data_dir.display()))?);
    }
    let mut checkpoints = Vec::new();
    for file in files {
        let shown = file.display();
        let note = std::fs::read_to_string(file).with_context(|| format!("{shown} cannot be read"))?;
        match opened(&note, &keys) {
            Ok((checkpoint, key)) => {
                let org = checkpoint.org(key.name()).with_context(|| format!("{shown}: its origin is not one of {}", key.name()))?;
                checkpoints.push((org, checkpoint));
            }
            Err(why @ NotProven::Forged(_)) => return Ok(Err(format!("{shown}: {why}"))),
            Err(why @ (NotProven::Malformed(_) | NotProven::Unknown(_) | NotProven::Key)) => anyhow::bail!("{shown}: {why}"),
        }
    }
    Ok(Ok(checkpoints))
}

/// A checkpoint, and which of the keys signed it.
fn opened<'k>(note: &str, keys: &'k [NoteVerifier]) -> Result<(Checkpoint, &'k NoteVerifier), NotProven> {
    let mut unknown = NotProven::Key;
    for key in keys {
        match Checkpoint::open(note, key) {
            Ok(checkpoint) => return Ok((checkpoint, key)),
            Err(why @ NotProven::Unknown(_)) => unknown = why,
            Err(why @ (NotProven::Malformed(_) | NotProven::Forged(_) | NotProven::Key)) => return Err(why),
        }
    }
    Err(unknown)
}

fn told(report: &VerifyReport) -> ExitCode {
    match &report.broken {
        None => {
            println!("verified {} entries, head {}", report.entries, report.head());
            ExitCode::SUCCESS
        }
        Some(broken) => {
            println!("broken after {} entries: {broken}", report.entries);
            ExitCode::from(1)
        }
    }
}

/// Tells what a sweep did.
fn swept_out(swept: &Swept) -> ExitCode {
    if !swept.lines.is_empty() {
        let mut table = replay::table(["recording", "client", "due", "outcome"]);
        for line in &swept.lines {
            let outcome = match &line.outcome {
                SweepOutcome::Deleted => "deleted".to_owned(),
                SweepOutcome::Held => "kept: legal hold".to_owned(),
                SweepOutcome::WouldDelete => "would be deleted".to_owned(),
                SweepOutcome::Failed(why) => format!("NOT DELETED: {why}"),
            };
            table.add_row([&line.recording_id, &line.client_id, &line.due_at, &outcome]);
        }
        println!("{table}");
    }
    let deleted = swept.count(|outcome| *outcome == SweepOutcome::Deleted);
    let would = swept.count(|outcome| *outcome == SweepOutcome::WouldDelete);
    let held = swept.count(|outcome| *outcome == SweepOutcome::Held);
    println!("due {}: deleted {deleted}, would be deleted {would}, held {held}, not deleted {}", swept.lines.len(), swept.failed());
    let artifacts = swept.artifacts;
    if artifacts.due > 0 {
        println!(
            "artifacts due {}: asked {}, not asked {}, overdue {}",
            artifacts.due, artifacts.asked, artifacts.not_asked, artifacts.overdue
        );
    }
    if swept.failed() == 0 && artifacts.not_asked == 0 && artifacts.overdue == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn moment(text: &str) -> Result<WallTime, String> {
    WallTime::parse(text).ok_or_else(|| "give an RFC 3339 time like 2026-12-26T00:00:00Z".to_owned())
}

impl Configured {
    fn meant(self) -> anyhow::Result<Config> {
        let (path, must) = match self.config {
            Some(path) => (path, true),
            None => (PathBuf::from("callgate.toml"), false),
        };
        let file = match std::fs::read_to_string(&path) {
            Ok(text) => Given::from_toml(&text).with_context(|| format!("{} is not a configuration", path.display()))?,
            Err(why) if !must && why.kind() == std::io::ErrorKind::NotFound => Given::default(),
            Err(why) => return Err(why).with_context(|| format!("{} cannot be read", path.display())),
        };
        Ok(self.given.over(file).meant()?)
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().on_thread_start(give_way).build()
}

/// Lines leave by a thread of their own: whoever does not read them holds up nobody's call. Past 128,000 that wait they are
/// thrown away. What is left is written when the guard goes.
fn log(config: &Config) -> anyhow::Result<WorkerGuard> {
    let mut filter = EnvFilter::try_new(&config.log).with_context(|| format!("CALLGATE_LOG: {:?} is not a tracing filter", config.log))?;
    // These would write what they carry: audio, words and keys (P11). No filter makes them.
    let quiet = [
        "tungstenite=warn",
        "tokio_tungstenite=warn",
        "hyper=info",
        "aws_sigv4=info",
        "aws_smithy_http=info",
        "aws_smithy_runtime=info",
        "aws_smithy_runtime_api=info",
    ];
    for quiet in quiet {
        filter = filter.add_directive(quiet.parse()?);
    }
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    if config.log_json {
        lines.json().init()
    } else {
        lines.init()
    }
    Ok(guard)
}
