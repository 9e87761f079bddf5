//! The gateway: wiring, no decisions. [`Gateway::start`] opens the world and the door; [`Gateway::drain`] closes them.

mod api;
mod artifacts;
mod auth;
mod bridge;
mod config;
mod denial;
mod evidence;
mod handover;
mod http;
mod ids;
mod key_set;
mod limits;
mod live;
mod media;
mod metrics;
mod nodes;
mod noes;
mod notary;
mod placing;
mod poster;
mod problem;
mod recover;
mod registry;
mod relay;
mod retention;
mod revocation;
mod scribe;
mod seal;
mod socket;
mod unjudged;
mod unserved;
mod webhooks;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

pub use artifacts::ArtifactsDue;
pub use auth::{Claims, MintError, PERMISSIONS, TokenKey, TokenKeyError, TokenSource};
pub use config::{Config, Given, GivenRelay, InboundRoute, Wrong};
pub use key_set::KeySetError;
pub use limits::RequestLimit;
pub use notary::{checkpoint_key, open_checkpoint_key};
pub use retention::{SweepOutcome, Swept, SweptLine, sweep};

use crate::engine::audio::prompts::library;
use crate::engine::call::Settings;
use crate::engine::consent::Actor;
use crate::engine::ledger::{Event, EventKind};
use crate::io::clock::{Clocks, wall};
use crate::io::database::{Database, DatabaseError, Work};
use crate::io::lock::{FolderLock, NotLocked};
use crate::io::main_app::MainApp;
use crate::io::objects::{ObjectError, ObjectStore};
use crate::io::policy::{self, PolicyFileError};
use crate::io::prompts::{self, PromptsError};
use crate::io::spool::{KeysError, SpoolKeys, SpoolWriters, spool_id};
use crate::io::transcriber::Transcriber;
use crate::io::twilio_rest::TwilioRest;
use crate::io::webhook::Webhook;

/// Threads that write spools.
const SPOOL_THREADS: usize = 1;
/// A no has at least so long to be written once its call is over: what the ledger may take for an answer.
const NO_WITHIN: Duration = Duration::from_secs(6);
/// After the calls are sealed, what is being stored has so long to get there; what does not is stored at the next start.
const STORE_WITHIN: Duration = Duration::from_secs(20);

/// What is due to be posted then has so long; what is not posted is at the next start.
const POST_WITHIN: Duration = Duration::from_secs(3);

/// And the chains' last checkpoints so long to be signed and stored.
const SIGN_WITHIN: Duration = Duration::from_secs(5);

/// A running gateway.
pub struct Gateway {
    address: SocketAddr,
    app: http::App,
    sealer: seal::Sealer,
    poster: Option<(Arc<poster::Poster>, watch::Sender<bool>)>,
    notary: (tokio::task::JoinHandle<()>, watch::Sender<bool>),
    /// Among others on the database.
    nodes: Option<(tokio::task::JoinHandle<()>, watch::Sender<bool>)>,
    door: http::Door,
    sweeping: [tokio::task::AbortHandle; 3],
    _lock: FolderLock,
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error("{0}")]
    Database(#[from] DatabaseError),
    /// The object store.
    #[error("{0}")]
    Objects(#[from] ObjectError),
    /// The data folder is in use.
    #[error("CALLGATE_DATA_DIR {folder}: {source}")]
    Folder {
        /// Which.
        folder: String,
        /// By whom.
        source: NotLocked,
    },
    /// The prompts.
    #[error("CALLGATE_PROMPTS_DIR {0}")]
    Prompts(PromptsError),
    /// The policy by place.
    #[error("CALLGATE_POLICY_FILE {0}")]
    Policy(PolicyFileError),
    /// The spool's keys.
    #[error("{0}")]
    Keys(KeysError),
    /// What API tokens are checked by.
    #[error("{0}")]
    Tokens(#[from] TokenKeyError),
    /// A folder, a key file, a thread.
    #[error("{what}: {source}")]
    Local {
        /// What was tried.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl StartError {
    fn spool_id(source: std::io::Error) -> Self {
        Self::Local { what: "spool.id in CALLGATE_DATA_DIR, the name of its spool, cannot be read or made".to_owned(), source }
    }
}

impl Gateway {
    /// Opens everything and accepts calls.
    ///
    /// # Errors
    /// [`StartError`] says what to mend.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let local = |what: &str| {
            let what = what.to_owned();
            move |source| StartError::Local { what, source }
        };
        // A thousand calls are a thousand sockets and a thousand spools.
        let wanted = config.max_calls as u64 * 3 + 256;
        if let Ok((soft, hard)) = rlimit::getrlimit(rlimit::Resource::NOFILE)
            && soft < wanted
            && rlimit::setrlimit(rlimit::Resource::NOFILE, wanted.min(hard), hard).is_err()
        {
            tracing::warn!("the limit of open files cannot be raised; CALLGATE_MAX_CALLS may be out of reach");
        }
        std::fs::create_dir_all(&config.data_dir)
            .map_err(local(&format!("CALLGATE_DATA_DIR {} cannot be made", config.data_dir.display())))?;
        let lock = FolderLock::take(&config.data_dir)
            .map_err(|source| StartError::Folder { folder: config.data_dir.display().to_string(), source })?;
        let prompts = config.prompts_dir.as_deref().map_or_else(|| Ok(library()), prompts::open).map_err(StartError::Prompts)?;
        // On a thread of the runtime: SQLite's own threads stand where the one stands that starts them, and give way with it.
        let (url, runtime) = (config.database_url.clone(), tokio::runtime::Handle::current());
        let opened = tokio::task::spawn_blocking(move || runtime.block_on(Database::open(url.as_str()))).await;
        let database = opened.map_err(|why| local("the database cannot be opened")(std::io::Error::other(why)))??;
        let objects = Arc::new(ObjectStore::open(&config.objects).await?);
        let policy = config.policy_file.as_deref().map_or_else(policy::shipped, policy::open).map_err(StartError::Policy)?;
        let keys =
            Arc::new(SpoolKeys::open(&config.data_dir.join("keys/spool.key"), config.spool_kms.as_ref()).await.map_err(StartError::Keys)?);
        let signer = notary::signer(&config.data_dir).map_err(local("the key of checkpoints cannot be opened"))?;
        let tokens = TokenKey::open(&config.tokens, &config.data_dir)?;
        let main_app = match &config.inbound_route {
            Some(InboundRoute::Ask(url)) => Some(MainApp::new(url.clone()).map_err(local("CALLGATE_INBOUND_ROUTE cannot be asked"))?),
            Some(InboundRoute::Dial(_) | InboundRoute::Relay(_)) | None => None,
        };
        let twilio = match config.twilio_account() {
            Ok((account, token, from)) => Ok(TwilioRest::new(config.twilio_api_url.as_str(), account, token, from)
                .map_err(local("Twilio's REST API (CALLGATE_TWILIO_API_URL) cannot be asked"))?),
            Err(missing) => Err(missing),
        };
        let folder = config.data_dir.join("spool");
        let (report, ends) = mpsc::unbounded_channel();
        let spool = SpoolWriters::start(&folder, &keys, SPOOL_THREADS, move |head, end| drop(report.send((head, end))))
            .map_err(local(&format!("the spool in {} cannot be made", folder.display())))?;
        let clocks = Clocks::default();
        let nodes = database.nodes().await?;
        let (node, lease) = match nodes.clone() {
            Some(nodes) => {
                let (node, lease) = nodes::Node::enter(nodes, &config.data_dir, || clocks.tick()).await?;
                (Some(node), lease)
            }
            None => (None, nodes::Lease::for_ever()),
        };
        // One gateway has one spool: it needs no name.
        let spool_id = node.as_ref().map(|_| spool_id(&config.data_dir)).transpose().map_err(StartError::spool_id)?;
        let registry: Arc<registry::Registry> = Arc::default();
        let scribes = config.transcriber.as_ref().map(|spec| {
            scribe::Scribes::new(
                Transcriber::new(spec.clone()),
                config.redaction,
                config.redact_audio,
                Arc::clone(&objects),
                Arc::clone(&registry),
            )
        });
        let metrics = metrics::Metrics::new();
        let noes = noes::Noes::new(database.clone(), Arc::clone(&keys), &folder, Arc::clone(&metrics), noes::NOES_MAX);
        let mut world = world::World {
            lease,
            nodes,
            draining: Arc::default(),
            noes,
            settings: Settings { prompts, ..config.settings },
            format: config.format,
            pause_gaps: config.pause_gaps,
            unannounced: config.unannounced,
            decline_queues: config.decline_queues_recordings,
            policy: Arc::new(policy),
            place: config.place,
            relays: Arc::new(config.relays.clone()),
            bridging: None, // once the address is known under which Twilio asks
            twilio_token: config.twilio_auth_token.clone(),
            clocks,
            spool_id: spool_id.map(Into::into),
            database,
            spool,
            scribes,
            metrics,
            tokio: tokio::runtime::Handle::current(),
        };
        let mut owners = None;
        let poster = match &config.webhook {
            Some((url, secret)) => {
                let webhook =
                    Webhook::new(url.as_str(), secret.clone()).map_err(local("what is in CALLGATE_WEBHOOK_URL cannot be posted to"))?;
                owners = Some(webhook.clone());
                let poster = poster::Poster::new(world.clone(), webhook);
                // Before anything is written that is to be posted.
                poster.begin();
                Some(poster)
            }
            None => None,
        };
        let sealer = seal::Sealer::new(world.clone(), Arc::clone(&objects), keys, Arc::clone(&registry));
        if node.is_none() {
            sealer.close_left_open(None).await.map_err(local("calls of before cannot be closed"))?;
            let open = sealer.world.database.transcripts_left_open(None).await?;
            scribe::close_left_open(&sealer.world, open).await;
        }
        tokio::spawn(sealer.clone().run(ends));
        let listener =
            TcpListener::bind(config.listen).await.map_err(local(&format!("CALLGATE_LISTEN {} cannot be listened on", config.listen)))?;
        let address = listener.local_addr().map_err(local("the address listened on is not known"))?;
        let (public_url, stream_url): (Arc<str>, Arc<str>) = (config.seen_as(address).into(), config.streams_at(address).into());
        if let (true, Ok(twilio)) = (config.bridges, &twilio) {
            let route = match &config.inbound_route {
                Some(InboundRoute::Dial(route)) => Some(route.clone()),
                Some(InboundRoute::Ask(_) | InboundRoute::Relay(_)) | None => None,
            };
            let (twilio, public_url, fallback) = (twilio.clone(), Arc::clone(&public_url), config.fallback_url.clone());
            world.bridging = Some(Arc::new(bridge::Bridging { twilio, public_url, route, fallback }));
        }
        let media =
            media::MediaThreads::start(config.media_threads, &world, &registry).map_err(local("a media thread cannot be started"))?;
        let (notary, desk) = notary::Notary::new(world.clone(), Arc::clone(&objects), signer);
        let limits = Arc::new(limits::Limits::new(config.rate_limit));
        let app = http::App {
            world,
            registry,
            media,
            node,
            objects,
            tokens,
            main_app,
            twilio,
            config: Arc::new(config),
            public_url,
            stream_url,
            figures: Arc::default(),
            exports: evidence::Exports::new(desk),
            limits,
        };
        app.note_configuration();
        if let Some(node) = &app.node {
            // Calls of whoever had this folder before; what others left is closed when their leases are over.
            node.close_gone(&app, &sealer).await?;
        }
        sealer.recover(folder).await.map_err(local("what a crash left in the spool cannot be read"))?;
        let spools = retention::Spools::Ours(Arc::clone(&app.registry), sealer.in_hand.clone());
        let sweeper = retention::Sweeper::new(app.world.database.clone(), Arc::clone(&app.objects), &app.config.data_dir, spools);
        let sweeper = sweeper.map_err(StartError::spool_id)?;
        let owners = artifacts::Owners::new(app.world.database.clone(), owners, Arc::clone(&app.world.metrics));
        let unserved = unserved::sweep(app.clone());
        let sweeping = [tokio::spawn(sweeper.run()), tokio::spawn(owners.run()), tokio::spawn(unserved)].map(|task| task.abort_handle());
        if app.node.is_none() {
            placing::reopen(&app, None).await?;
        }
        let nodes = app.node.as_ref().map(|node| {
            let (stop, stopped) = watch::channel(false);
            (tokio::spawn(Arc::clone(node).run(app.clone(), sealer.clone(), stopped)), stop)
        });
        let (stop, stopped) = watch::channel(false);
        let notary = (tokio::spawn(notary.run(stopped)), stop);
        let poster = poster.map(|poster| {
            let (stop, stopped) = watch::channel(false);
            tokio::spawn(Arc::clone(&poster).run(stopped));
            (poster, stop)
        });
        let door = http::Door::open(listener, app.clone()).map_err(local("no threads to serve HTTP"))?;
        Ok(Self { address, app, sealer, poster, notary, nodes, door, sweeping, _lock: lock })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The key of its API tokens.
    #[must_use]
    pub const fn tokens(&self) -> &TokenKey {
        &self.app.tokens
    }

    /// Stops: no new calls; those that live or were announced have `bound` to end, and are served until then, streams, webhooks and all;
    /// what is left is sealed; what is sealed has a while to be stored, and a no that is not written until the end of `bound`.
    pub async fn drain(mut self, bound: Duration) {
        self.app.world.draining.store(true, Ordering::Relaxed);
        // A recording whose deletion this interrupts is still in the queue.
        self.sweeping.iter().for_each(tokio::task::AbortHandle::abort);
        let deadline = tokio::time::Instant::now() + bound;
        let no_by = deadline;
        // Sockets of calls that are over, or of none of ours, hold up nobody.
        while self.app.registry.expects_any() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.app.media.shut_down();
        let deadline = tokio::time::Instant::now() + STORE_WITHIN;
        // Calls leave the registry when their last state is written and their recording is stored.
        while !self.app.registry.all().is_empty() || self.sealer.pending() > 0 {
            if tokio::time::Instant::now() >= deadline {
                tracing::warn!("not everything is stored; the rest is at the next start");
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The door stays open meanwhile: who asks is told.
        self.app.world.noes.finish(no_by.max(tokio::time::Instant::now() + NO_WITHIN)).await;
        self.door.shut().await;
        self.app.world.database.ledger().flush().await;
        if let Some((poster, stop)) = &self.poster {
            poster.finish(POST_WITHIN).await;
            let _ = stop.send(true);
        }
        let (signing, stop) = self.notary;
        let _ = stop.send(true);
        if tokio::time::timeout(SIGN_WITHIN, signing).await.is_err() {
            tracing::warn!("checkpoint: not everything is signed; the rest is at the next start");
        }
        self.app.world.database.ledger().flush().await;
        // Last of all: until here others leave our calls to us.
        if let Some((running, stop)) = self.nodes {
            let _ = stop.send(true);
            let _ = running.await;
        }
    }
}

impl http::App {
    /// The configuration in force goes into the gateway's own chain, secrets masked: a regulator may ask what rules were in force.
    fn note_configuration(&self) {
        let rows: serde_json::Map<_, _> = self.config.table().into_iter().map(|(key, value, _)| (key.to_owned(), json!(value))).collect();
        let policy = self.world.policy.version();
        let event = Event {
            org_id: ids::GATEWAY.to_owned(),
            kind: EventKind::ConfigInForce,
            actor: Actor::System,
            call_id: None,
            client_id: None,
            at: wall(),
            position: None,
            detail: json!({ "version": env!("CARGO_PKG_VERSION"), "configuration": rows, "policyVersion": policy }),
        };
        live::submit(&self.world, Work::Audit(event, None));
    }
}
