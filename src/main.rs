//! Arguments → configuration → run. Every command of the binary, and nothing that decides.

mod dtmf;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use callgate::engine::ledger::{Checkpoint, NotProven, NoteVerifier};
use callgate::io::database::VerifyReport;
use callgate::replay;
use callgate::server::{Claims, Config, Gateway, Given, TokenKey, checkpoint_key, open_checkpoint_key};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

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
    /// Print the configuration in force, secrets masked
    Config(Configured),
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Check the whole hash chain of the configured database
    Verify(VerifyArgs),
    /// Print the public key by which the gateway's checkpoints are verified; made if there is none
    Key(Configured),
}

#[derive(Args)]
struct VerifyArgs {
    /// A checkpoint that was copied out of the object store: the chain must still hold what it was signed for
    #[arg(long)]
    checkpoint: Vec<PathBuf>,
    /// The public key that signed it, as `callgate audit key` prints it [default: that of the data folder]
    #[arg(long)]
    key: Option<String>,
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
    #[arg(long, value_delimiter = ',', required = true)]
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
            log(&config)?;
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
            println!("{}", key.mint(&claims)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Audit(AuditCommand::Verify(args)) => {
            let config = args.configured.meant()?;
            let checkpoints = match checkpoints(&args.checkpoint, args.key.as_deref(), &config)? {
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
    log(&config)?;
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

/// Checkpoints that are signed by the key, with their organisations; or which of them was forged.
fn checkpoints(files: &[PathBuf], key: Option<&str>, config: &Config) -> anyhow::Result<Result<Vec<(String, Checkpoint)>, String>> {
    if files.is_empty() {
        anyhow::ensure!(key.is_none(), "--key verifies a --checkpoint, and none is given");
        return Ok(Ok(Vec::new()));
    }
    let key = match key {
        Some(key) => NoteVerifier::parse(key).context("--key")?,
        None => checkpoint_key(&config.data_dir)?
            .with_context(|| format!("{} has no checkpoint key: give the gateway's by --key", config.data_dir.display()))?,
    };
    let mut checkpoints = Vec::new();
    for file in files {
        let shown = file.display();
        let note = std::fs::read_to_string(file).with_context(|| format!("{shown} cannot be read"))?;
        match Checkpoint::open(&note, &key) {
            Ok(checkpoint) => {
                let org = checkpoint.org(key.name()).with_context(|| format!("{shown}: its origin is not one of {}", key.name()))?;
                checkpoints.push((org, checkpoint));
            }
            Err(why @ NotProven::Forged(_)) => return Ok(Err(format!("{shown}: {why}"))),
            Err(why @ (NotProven::Malformed(_) | NotProven::Unknown(_) | NotProven::Key)) => anyhow::bail!("{shown}: {why}"),
        }
    }
    Ok(Ok(checkpoints))
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
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

fn log(config: &Config) -> anyhow::Result<()> {
    let mut filter = EnvFilter::try_new(&config.log).with_context(|| format!("CALLGATE_LOG: {:?} is not a tracing filter", config.log))?;
    // These would write what they carry: audio and keys (P11). No filter makes them.
    for quiet in ["tungstenite=warn", "tokio_tungstenite=warn", "hyper=info", "aws_smithy_runtime=info", "aws_smithy_runtime_api=info"] {
        filter = filter.add_directive(quiet.parse()?);
    }
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if config.log_json {
        lines.json().init()
    } else {
        lines.init()
    }
    Ok(())
}
