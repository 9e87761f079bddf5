//! The door: one port for the media socket, the API and the probes. Own accept loop, for a header timeout, TCP_NODELAY
//! and the raw TCP stream behind an upgraded WebSocket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use secrecy::ExposeSecret as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tungstenite::handshake::derive_accept_key;

use super::api;
use super::auth::TokenKey;
use super::evidence::Exports;
use super::limits::Limits;
use super::media::MediaThreads;
use super::nodes::Node;
use super::problem::Problem;
use super::registry::{Place, Registry};
use super::socket::Socket;
use super::world::World;
use super::{Config, webhooks};
use crate::engine::twilio::signature;
use crate::io::main_app::MainApp;
use crate::io::objects::ObjectStore;
use crate::io::twilio_rest::TwilioRest;

/// A client has so long to send its request's head.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Once the gateway ends, a connection has so long to do so.
const END_WITHIN: Duration = Duration::from_secs(5);
/// A question waits so long for what was handed to the ledger before it; then the answer goes without it.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);
/// No body of the API comes near.
const BODY_MAX: usize = 64 * 1024;
/// The path of the media socket.
const MEDIA: &str = "/twilio/media";
/// Headers by which a request shows that it came through a proxy.
const FORWARDING: [&str; 4] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

/// What handlers reach.
#[derive(Clone)]
pub struct App {
    pub(super) world: World,
    pub(super) registry: Arc<Registry>,
    pub(super) media: MediaThreads,
    /// This gateway among others; none if the database is its alone.
    pub(super) node: Option<Arc<Node>>,
    pub(super) objects: Arc<ObjectStore>,
    pub(super) tokens: TokenKey,
    pub(super) main_app: Option<MainApp>,
    /// Twilio's REST API; or the key that must be set before it can be asked.
    pub(super) twilio: Result<TwilioRest, &'static str>,
    pub(super) config: Arc<Config>,
    pub(super) public_url: Arc<str>,
    /// Where its own media socket is: whoever is given TwiML here streams here.
    pub(super) stream_url: Arc<str>,
    /// The figures of consent as `/metrics` shows them, and when they were counted.
    pub(super) figures: Arc<tokio::sync::Mutex<Option<(std::time::Instant, String)>>>,
    /// Where evidence is made.
    pub(super) exports: Exports,
    /// What each bearer has taken of the API.
    pub(super) limits: Arc<Limits>,
}

impl App {
    pub(super) fn world_objects(&self) -> &ObjectStore {
        &self.objects
    }

    pub(super) fn is_draining(&self) -> bool {
        self.world.is_draining()
    }

    /// What was handed to the ledger until now is written, or [`FLUSH_WITHIN`] is over: whoever saw a call end finds what it left.
    pub(super) async fn settled(&self) {
        let _ = tokio::time::timeout(FLUSH_WITHIN, self.world.database.ledger().flush()).await;
    }
}

/// Ends the connection on which a request came, also one that takes nothing and so would never end by itself.
#[derive(Clone, Default)]
pub(super) struct HangUp(Arc<Notify>);

impl HangUp {
    pub(super) fn now(&self) {
        self.0.notify_one();
    }
}

/// All routes.
pub(super) fn router(app: App) -> Router {
    let webhooks = Router::new()
        .route(webhooks::VOICE, post(webhooks::voice))
        .route(webhooks::CONNECTED, post(webhooks::connected))
        .route(webhooks::CONSENT, post(webhooks::consent))
        .route(webhooks::STATUS, post(webhooks::status))
        .route(webhooks::PARTY, post(webhooks::party))
        .route(webhooks::PARTY_STATUS, post(webhooks::party_status))
        .layer(middleware::from_fn_with_state(app.clone(), webhooks::signed));
    Router::new()
        .route(MEDIA, get(media))
        .merge(api::routes())
        .merge(webhooks)
        .fallback(|| async { Problem::not_found("route") })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "the route has other methods; Allow names them")
        })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(app.clone(), refuse_proxies_in_development))
        .with_state(app)
}

/// Threads that serve the door.
const DOOR_THREADS: usize = 2;

/// The open door. It has threads of its own, which give way to nobody as the gateway's other work does: a client's no comes through here.
/// Once it is gone, so is what was begun here and goes on without its request.
pub(super) struct Door {
    accepting: JoinHandle<()>,
    stop: watch::Sender<()>,
    _threads: Threads,
}

/// A runtime that may be let go of inside another one.
struct Threads(Option<Runtime>);

impl Door {
    /// # Errors
    /// If the system gives no thread or no poller.
    pub(super) fn open(listener: TcpListener, app: App) -> io::Result<Self> {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(DOOR_THREADS).thread_name("door").enable_all().build()?;
        let handle = runtime.handle().clone();
        let threads = Threads(Some(runtime));
        let (stop, mut stopped) = watch::channel(());
        let listener = {
            let _here = handle.enter();
            TcpListener::from_std(listener.into_std()?)?
        };
        let accepting = handle.spawn(accept(listener, app, async move { drop(stopped.changed().await) }));
        Ok(Self { accepting, stop, _threads: threads })
    }

    /// Takes nobody more, and lets who is there have their answer.
    pub(super) async fn shut(&mut self) {
        self.stop.send_replace(());
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Takes connections until told to stop; then those that are open end with the answer they are giving, or within [`END_WITHIN`].
async fn accept(listener: TcpListener, app: App, stop: impl Future<Output = ()>) {
    let service = router(app);
    let mut connections = JoinSet::new();
    let (ending, ends) = watch::channel(());
    tokio::pin!(stop);
    loop {
        let stream = tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(why) => {
                    // Most often: no descriptors left. Waiting lets some go.
                    tracing::warn!(error = %why, "http: a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        connections.spawn(serve(stream, service.clone(), ends.clone()));
    }
    drop(ending);
    let over = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(END_WITHIN, over).await.is_err() {
        tracing::warn!("http: connections that did not end are cut");
    }
}

/// One connection. When the gateway ends, `ends` does.
async fn serve(stream: TcpStream, service: Router, mut ends: watch::Receiver<()>) {
    let (service, hang_up) = (TowerToHyperService::new(service), HangUp::default());
    let told = hang_up.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(told.clone());
        service.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = hang_up.0.notified() => return,
        _ = ends.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(why) = served {
        tracing::debug!(error = %why, "http: connection over");
    }
}

/// Without a Twilio token this is a development gateway on loopback: what a proxy brings comes from elsewhere.
async fn refuse_proxies_in_development(State(app): State<App>, request: Request, next: Next) -> Response {
    let proxied = FORWARDING.iter().any(|name| request.headers().contains_key(*name));
    if proxied && app.config.twilio_auth_token.is_none() {
        tracing::warn!("http: request through a proxy refused: set CALLGATE_TWILIO_AUTH_TOKEN to serve others than this machine");
        return Problem::new(StatusCode::FORBIDDEN, "a gateway without a Twilio token serves its own machine only").into_response();
    }
    next.run(request).await
}

/// `GET /twilio/media`: refused here, before the upgrade, or not at all.
async fn media(State(app): State<App>, mut request: Request) -> Response {
    let admitted = admit(&app, request.headers());
    let (accept, place) = match admitted {
        Ok(admitted) => admitted,
        Err((status, why)) => {
            app.world.metrics.refused.inc();
            tracing::warn!(status = status.as_u16(), "media: handshake refused: {why}");
            return Problem::new(status, why).into_response();
        }
    };
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return Problem::new(StatusCode::BAD_REQUEST, "the connection cannot be upgraded").into_response();
    };
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => hand_over(&app, upgraded, place),
            Err(why) => tracing::debug!(error = %why, "media: the upgrade was not completed"),
        }
    });
    let headers =
        [(header::CONNECTION, "Upgrade".to_owned()), (header::UPGRADE, "websocket".to_owned()), (header::SEC_WEBSOCKET_ACCEPT, accept)];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

fn admit(app: &App, headers: &HeaderMap) -> Result<(String, Place), (StatusCode, &'static str)> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let has = |name, word: &str| text(name).split(',').any(|part| part.trim().eq_ignore_ascii_case(word));
    if !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") || text(header::SEC_WEBSOCKET_VERSION) != "13" {
        return Err((StatusCode::UPGRADE_REQUIRED, "this is a WebSocket, version 13"));
    }
    let key = text(header::SEC_WEBSOCKET_KEY);
    if key.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing"));
    }
    if let (true, Some(token)) = (app.config.twilio_validate, &app.config.twilio_auth_token) {
        let signature = headers.get("x-twilio-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !signature::handshake_is_signed(token.expose_secret(), &app.stream_url, MEDIA, signature) {
            return Err((
                StatusCode::FORBIDDEN,
                "X-Twilio-Signature does not match; is CALLGATE_PUBLIC_URL (or CALLGATE_STREAM_URL) the address in the TwiML, and the auth token the account's primary one?",
            ));
        }
    }
    // Whose stream it is, only its `start` tells: while any call is expected, it may be one of that.
    if app.is_draining() && !app.registry.expects_any() {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping"));
    }
    let place = app.registry.take_place(app.config.max_calls);
    let place = place.ok_or((StatusCode::SERVICE_UNAVAILABLE, "CALLGATE_MAX_CALLS calls are live already"))?;
    Ok((derive_accept_key(key.as_bytes()), place))
}

/// The TCP stream leaves tokio and goes to the thread that will own it.
fn hand_over(app: &App, upgraded: hyper::upgrade::Upgraded, place: Place) {
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        tracing::error!("media: an upgraded connection is no TCP stream");
        return;
    };
    let rest = parts.read_buf.to_vec();
    let socket = parts
        .io
        .into_inner()
        .into_std()
        .and_then(|stream| Socket::new(stream, rest, Arc::clone(&app.world.metrics), app.world.clocks, place));
    match socket {
        Ok(socket) => app.media.take(socket),
        Err(why) => tracing::error!(error = %why, "media: a socket cannot be handed over"),
    }
}
