//! The gateway: wiring, no decisions. [`Gateway::start`] opens the world and the door; [`Gateway::drain`] closes them.

mod api;
mod auth;
mod config;
mod http;
mod ids;
mod key_set;
mod live;
mod media;
mod metrics;
mod notary;
mod poster;
mod problem;
mod recover;
mod registry;
mod seal;
mod socket;
mod webhooks;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

pub use auth::{Claims, MintError, TokenKey, TokenKeyError, TokenSource};
pub use config::{Config, Given, InboundRoute, Wrong};
pub use key_set::KeySetError;
pub use notary::{checkpoint_key, open_checkpoint_key};

use crate::engine::consent::Actor;
use crate::engine::ledger::{Event, EventKind};
use crate::io::clock::{Clocks, wall};
use crate::io::database::{Database, DatabaseError, Work};
use crate::io::lock::{FolderLock, NotLocked};
use crate::io::main_app::MainApp;
use crate::io::objects::{ObjectError, ObjectStore};
use crate::io::spool::{KeyFile, SpoolWriters};
use crate::io::webhook::Webhook;

/// Threads that write spools.
const SPOOL_THREADS: usize = 1;
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
    stop: Option<oneshot::Sender<()>>,
    accepting: tokio::task::JoinHandle<()>,
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
        let database = Database::open(config.database_url.as_str()).await?;
        let objects = Arc::new(ObjectStore::open(&config.objects).await?);
        let keys = Arc::new(KeyFile::open(&config.data_dir.join("keys/spool.key")).map_err(local("the spool's key cannot be opened"))?);
        let signer = notary::signer(&config.data_dir).map_err(local("the key of checkpoints cannot be opened"))?;
        let tokens = TokenKey::open(&config.tokens, &config.data_dir)?;
        let main_app = match &config.inbound_route {
            Some(InboundRoute::Ask(url)) => Some(MainApp::new(url.clone()).map_err(local("CALLGATE_INBOUND_ROUTE cannot be asked"))?),
            Some(InboundRoute::Dial(_)) | None => None,
        };
        let folder = config.data_dir.join("spool");
        let (report, ends) = mpsc::unbounded_channel();
        let spool = SpoolWriters::start(&folder, &keys, SPOOL_THREADS, move |head, end| drop(report.send((head, end))))
            .map_err(local(&format!("the spool in {} cannot be made", folder.display())))?;
        let registry = Arc::default();
        let world = world::World {
            settings: config.settings,
            format: config.format,
            unannounced: config.unannounced,
            clocks: Clocks::default(),
            database,
            spool,
            metrics: metrics::Metrics::new(),
            tokio: tokio::runtime::Handle::current(),
        };
        let poster = match &config.webhook {
            Some((url, secret)) => {
                let webhook =
                    Webhook::new(url.as_str(), secret.clone()).map_err(local("what is in CALLGATE_WEBHOOK_URL cannot be posted to"))?;
                let poster = poster::Poster::new(world.clone(), webhook);
                // Before anything is written that is to be posted.
                poster.begin();
                Some(poster)
            }
            None => None,
        };
        let sealer = seal::Sealer::new(world.clone(), Arc::clone(&objects), keys, Arc::clone(&registry));
        sealer.close_left_open().await.map_err(local("calls of before cannot be closed"))?;
        sealer.recover(folder).await.map_err(local("what a crash left in the spool cannot be read"))?;
        tokio::spawn(sealer.clone().run(ends));
        let media =
            media::MediaThreads::start(config.media_threads, &world, &registry).map_err(local("a media thread cannot be started"))?;
        let listener =
            TcpListener::bind(config.listen).await.map_err(local(&format!("CALLGATE_LISTEN {} cannot be listened on", config.listen)))?;
        let address = listener.local_addr().map_err(local("the address listened on is not known"))?;
        let public_url = config.seen_as(address).into();
        let app = http::App {
            world,
            registry,
            media,
            objects,
            tokens,
            main_app,
            config: Arc::new(config),
            public_url,
            draining: Arc::new(AtomicBool::new(false)),
            figures: Arc::default(),
        };
        app.note_configuration();
        let (stop, stopped) = watch::channel(false);
        let notary = notary::Notary::new(app.world.clone(), Arc::clone(&app.objects), signer);
        let notary = (tokio::spawn(notary.run(stopped)), stop);
        let poster = poster.map(|poster| {
            let (stop, stopped) = watch::channel(false);
            tokio::spawn(Arc::clone(&poster).run(stopped));
            (poster, stop)
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let accepting = tokio::spawn(http::accept(listener, app.clone(), async move {
            let _ = stopped.await;
        }));
        Ok(Self { address, app, sealer, poster, notary, stop: Some(stop), accepting, _lock: lock })
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

    /// Stops: no new calls; live ones have `bound` to end, then they are sealed; what is sealed has a while to be stored.
    pub async fn drain(mut self, bound: Duration) {
        self.app.draining.store(true, Ordering::Relaxed);
        let deadline = tokio::time::Instant::now() + bound;
        while self.app.registry.places() > 0 && tokio::time::Instant::now() < deadline {
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
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = self.accepting.await;
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
    }
}

impl http::App {
    /// The configuration in force goes into the chain, secrets masked: a regulator may ask what rules were in force.
    fn note_configuration(&self) {
        let rows: serde_json::Map<_, _> = self.config.table().into_iter().map(|(key, value, _)| (key.to_owned(), json!(value))).collect();
        let event = Event {
            org_id: "callgate".to_owned(),
            kind: EventKind::ConfigInForce,
            actor: Actor::System,
            call_id: None,
            client_id: None,
            at: wall(),
            position: None,
            detail: json!({ "version": env!("CARGO_PKG_VERSION"), "configuration": rows }),
        };
        live::submit(&self.world, Work::Audit(event, None));
    }
}
