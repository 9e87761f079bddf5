//! The media threads: plain threads, each the only owner of some calls and of their sockets.
//!
//! A frame costs one `read` and the engine's step: no task to wake, no lock, no channel. When many sockets are live a
//! thread pauses for [`PAUSE`] between looks, so that one wake-up serves a whole batch of them. What the world
//! answers (a receipt, a standing, a command) comes through the thread's inbox; a `mio` waker tells of it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};
use slotmap::{Key as _, KeyData, SlotMap, new_key_type};

use super::live::{Live, Outcome};
use super::registry::Registry;
use super::socket::{Heard, Socket};
use super::world::World;
use crate::engine::audio::frame::StreamNo;
use crate::engine::call::{CallIdentity, Input, NotSealed, Outbox, Standing};
use crate::engine::consent::{Actor, ConsentStatus, Grant, Receipt};
use crate::engine::twilio::message::Start;

/// With more sockets than this a thread gathers events before it looks.
const BATCH_FROM: usize = 32;
/// How long it gathers: bounds what a key waits before its gate shuts.
const PAUSE: Duration = Duration::from_micros(500);
/// Deadlines and spools are looked after this often.
const SWEEP: Duration = Duration::from_millis(50);
const EVENTS_AT_ONCE: usize = 1_024;
const WAKER: Token = Token(usize::MAX);

new_key_type! {
    /// A socket of a media thread. Never used twice: an answer that comes too late finds nobody.
    pub(super) struct SocketKey;
    /// A call of a media thread.
    struct CallKey;
}

// The poller's tokens are as wide as our keys.
const _: () = assert!(usize::BITS == u64::BITS, "callgate is for 64-bit machines");

#[expect(clippy::cast_possible_truncation, reason = "asserted above")]
impl From<SocketKey> for Token {
    fn from(key: SocketKey) -> Self {
        Self(key.data().as_ffi() as usize)
    }
}

impl From<Token> for SocketKey {
    fn from(token: Token) -> Self {
        KeyData::from_ffi(token.0 as u64).into()
    }
}

/// Something for a media thread.
pub(super) enum ToMedia {
    /// A socket, past its handshake.
    Socket(Box<Socket>),
    /// A socket whose `start` named a call that this thread owns.
    Adopt(Box<Socket>, Start),
    /// The database told where the client of a new call stands.
    Standing(SocketKey, Box<(Start, CallIdentity)>, Standing),
    /// The ledger answered.
    Sealed(String, Result<Receipt<Grant>, NotSealed>),
    /// Somebody with the right to says that the client said no. Answered when the gate is shut.
    OptOut(String, Actor, Option<String>, tokio::sync::oneshot::Sender<()>),
    /// Twilio says, late, that a machine answered.
    Machine(String),
    /// Twilio says that the call is over.
    HungUp(String),
    /// Seal everything; the gateway stops.
    Shutdown,
}

/// A way to a media thread, for everybody else.
#[derive(Clone)]
pub struct MediaHandle {
    index: usize,
    inbox: Sender<ToMedia>,
    waker: Arc<Waker>,
}

impl MediaHandle {
    pub(super) fn send(&self, message: ToMedia) {
        // A thread that is gone has sealed its calls; there is nobody to tell.
        if self.inbox.send(message).is_ok() {
            let _ = self.waker.wake();
        }
    }
}

/// All media threads of a gateway.
#[derive(Clone)]
pub struct MediaThreads {
    handles: Arc<[MediaHandle]>,
    next: Arc<AtomicUsize>,
}

impl MediaThreads {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// If the system gives no thread or no poller.
    pub fn start(count: usize, world: &World, registry: &Arc<Registry>) -> io::Result<Self> {
        let mut handles = Vec::new();
        for index in 0..count {
            let poll = Poll::new()?;
            let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
            let (inbox, messages) = channel();
            let handle = MediaHandle { index, inbox, waker };
            let thread = Thread {
                poll,
                messages,
                me: handle.clone(),
                world: world.clone(),
                registry: Arc::clone(registry),
                sockets: SlotMap::with_key(),
                calls: SlotMap::with_key(),
                by_id: HashMap::new(),
                outbox: Outbox::default(),
                talkative: Vec::new(),
                codes: Vec::with_capacity(1_024),
                stopping: false,
            };
            std::thread::Builder::new().name(format!("media-{index}")).spawn(move || thread.run())?;
            handles.push(handle);
        }
        Ok(Self { handles: handles.into(), next: Arc::default() })
    }

    pub(super) fn take(&self, socket: Socket) {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len();
        self.handles[next].send(ToMedia::Socket(Box::new(socket)));
    }

    /// Every call is sealed and every socket closed.
    pub fn shut_down(&self) {
        for handle in self.handles.iter() {
            handle.send(ToMedia::Shutdown);
        }
    }
}

struct Thread {
    poll: Poll,
    messages: Receiver<ToMedia>,
    me: MediaHandle,
    world: World,
    registry: Arc<Registry>,
    /// Boxed, as calls are: the map's own room is then small, and grows without moving them.
    sockets: SlotMap<SocketKey, Box<Connection>>,
    calls: SlotMap<CallKey, Box<Live>>,
    by_id: HashMap<String, CallKey>,
    /// What a step causes, reused for every step of every call.
    outbox: Outbox,
    /// Sockets that had more to say than fits a turn.
    talkative: Vec<SocketKey>,
    /// Decoded payload, reused for every frame of every call.
    codes: Vec<u8>,
    stopping: bool,
}

struct Connection {
    socket: Socket,
    stage: Stage,
}

enum Stage {
    /// `start` has not come.
    Fresh,
    /// The database is being asked; what comes meanwhile is withheld, keys are kept.
    Asking { early: Vec<Heard>, missed: u64 },
    /// It belongs to a call.
    Streaming { call: CallKey, stream: StreamNo },
    /// It is being closed.
    Closing,
}

/// Messages kept while the database is asked where a client stands: two seconds of one track and some keys.
const EARLY_MAX: usize = 128;

impl Thread {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_AT_ONCE);
        let mut swept = Instant::now();
        loop {
            let patience = if self.talkative.is_empty() { SWEEP } else { Duration::ZERO };
            if let Err(why) = self.poll.poll(&mut events, Some(patience)) {
                if why.kind() != io::ErrorKind::Interrupted {
                    tracing::error!(error = %why, "media: the poller failed");
                    std::thread::sleep(SWEEP);
                }
                continue;
            }
            for event in &events {
                if event.token() == WAKER {
                    continue;
                }
                let socket = SocketKey::from(event.token());
                if let Some(connection) = self.sockets.get_mut(socket) {
                    connection.socket.is_ready(event.is_read_closed());
                    if event.is_writable() {
                        connection.socket.flush();
                    }
                }
                self.read(socket);
            }
            for key in std::mem::take(&mut self.talkative) {
                self.read(key);
            }
            while let Ok(message) = self.messages.try_recv() {
                self.handle(message);
            }
            if swept.elapsed() >= SWEEP {
                swept = Instant::now();
                self.sweep();
            }
            if self.stopping && self.calls.is_empty() && self.sockets.is_empty() {
                return;
            }
            if self.sockets.len() > BATCH_FROM {
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn handle(&mut self, message: ToMedia) {
        match message {
            ToMedia::Socket(socket) => {
                if let Some(key) = self.register(*socket) {
                    self.read(key);
                }
            }
            ToMedia::Adopt(socket, start) => {
                if let Some(key) = self.register(*socket) {
                    self.started(key, start);
                    self.read(key);
                }
            }
            ToMedia::Standing(key, who, standing) => self.standing(key, &who.0, who.1, standing),
            ToMedia::Sealed(call_id, receipt) => {
                let input = match receipt {
                    Ok(receipt) => Input::Sealed(receipt),
                    Err(why) => Input::NotSealed(why),
                };
                self.step_named(&call_id, input);
            }
            ToMedia::OptOut(call_id, actor, reason, done) => {
                self.step_named(&call_id, Input::OptOut { actor, reason });
                let _ = done.send(());
            }
            ToMedia::Machine(call_id) => self.step_named(&call_id, Input::Machine),
            ToMedia::HungUp(call_id) => self.step_named(&call_id, Input::HungUp),
            ToMedia::Shutdown => {
                self.stopping = true;
                for call in self.calls.keys().collect::<Vec<_>>() {
                    self.step(call, Input::Shutdown);
                }
                for connection in self.sockets.values_mut() {
                    connection.socket.close();
                    connection.stage = Stage::Closing;
                }
            }
        }
    }

    fn register(&mut self, socket: Socket) -> Option<SocketKey> {
        let key = self.sockets.insert(Box::new(Connection { socket, stage: Stage::Fresh }));
        let socket = &mut self.sockets[key].socket;
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(why) = self.poll.registry().register(socket.source(), key.into(), interest) {
            tracing::error!(error = %why, "media: a socket cannot be watched; are descriptors used up?");
            self.sockets.remove(key);
            return None;
        }
        socket.is_ready(false);
        Some(key)
    }

    /// Takes what a socket has to say; one that never stops talking gets its next turn after the others.
    fn read(&mut self, key: SocketKey) {
        if let Some(connection) = self.sockets.get_mut(key) {
            connection.socket.takes_its_turn();
        }
        loop {
            let Some(connection) = self.sockets.get_mut(key) else { return };
            let heard = connection.socket.read(&mut self.codes);
            match (&mut connection.stage, heard) {
                (_, Ok(None)) => {
                    if connection.socket.has_more() {
                        self.talkative.push(key);
                    }
                    return;
                }
                (_, Err(why)) if why.is_ours() => {
                    self.given_up(key, why);
                    return;
                }
                (_, Err(why)) => {
                    self.gone(key, why);
                    return;
                }
                (Stage::Closing, Ok(Some(_))) => {}
                (Stage::Fresh, Ok(Some(Heard::Start(start)))) => self.started(key, *start),
                (Stage::Fresh, Ok(Some(Heard::Media(..) | Heard::Dtmf { .. } | Heard::Mark(_) | Heard::Stop))) => {
                    self.world.metrics.malformed.inc();
                }
                (Stage::Asking { early, missed }, Ok(Some(heard))) => match heard {
                    Heard::Media(..) => *missed += 1,
                    heard if early.len() < EARLY_MAX => early.push(heard),
                    Heard::Start(_) | Heard::Dtmf { .. } | Heard::Mark(_) | Heard::Stop => {}
                },
                (Stage::Streaming { call, stream }, Ok(Some(heard))) => {
                    let (call, stream) = (*call, *stream);
                    let Some(live) = self.calls.get_mut(call) else { continue };
                    let outcome = live.hear(&self.world, &mut self.outbox, stream, &heard, &self.codes);
                    self.act(call, outcome);
                }
            }
        }
    }

    /// A stream tells who it is.
    fn started(&mut self, key: SocketKey, start: Start) {
        let Some(connection) = self.sockets.get_mut(key) else { return };
        let known = super::live::who(&start, &self.registry, &self.world);
        let identity = match known {
            Ok(identity) => identity,
            Err(why) => {
                tracing::warn!(call.sid = %start.call_sid, stream.sid = %start.stream_sid, "media: stream refused: {why}");
                self.world.metrics.refused.inc();
                connection.socket.close();
                connection.stage = Stage::Closing;
                return;
            }
        };
        let owner = self.registry.claim(&identity, &self.me);
        if owner.index != self.me.index {
            // One owner a call: the socket moves to where its call lives.
            if let Some(mut connection) = self.sockets.remove(key) {
                let _ = self.poll.registry().deregister(connection.socket.source());
                owner.send(ToMedia::Adopt(Box::new(connection.socket), start));
            }
            return;
        }
        if let Some(call) = self.by_id.get(&identity.call_id) {
            self.attach(key, *call, &start);
            return;
        }
        connection.stage = Stage::Asking { early: Vec::new(), missed: 0 };
        let (database, me) = (self.world.database.clone(), self.me.clone());
        self.world.tokio.spawn(async move {
            let standing = match database.standing(&identity.org_id, &identity.client_id).await {
                Ok(row) => Standing { status: row.status, seen: row.seen },
                Err(why) => {
                    tracing::error!(error = %why, "media: nobody can tell where a client stands; asking");
                    // A grant that rests on this would be refused by the ledger if there was a revocation.
                    Standing { status: ConsentStatus::Pending, seen: 0 }
                }
            };
            me.send(ToMedia::Standing(key, Box::new((start, identity)), standing));
        });
    }

    fn standing(&mut self, key: SocketKey, start: &Start, identity: CallIdentity, standing: Standing) {
        // A socket that is gone meanwhile is not found.
        if !self.sockets.get(key).is_some_and(|connection| matches!(connection.stage, Stage::Asking { .. })) {
            return;
        }
        let known = self.by_id.get(&identity.call_id).copied();
        let call = known.unwrap_or_else(|| {
            let call_id = identity.call_id.clone();
            let live = Live::new(identity, standing, &self.world, &self.me);
            self.registry.insert(live.shared());
            let call = self.calls.insert(Box::new(live));
            self.by_id.insert(call_id, call);
            call
        });
        self.attach(key, call, start);
    }

    /// Makes a socket one of a call's streams.
    fn attach(&mut self, key: SocketKey, call: CallKey, start: &Start) {
        let Some(connection) = self.sockets.get_mut(key) else { return };
        let (Some(live), false) = (self.calls.get_mut(call), self.stopping) else {
            connection.socket.close();
            connection.stage = Stage::Closing;
            return;
        };
        let early = match std::mem::replace(&mut connection.stage, Stage::Closing) {
            Stage::Asking { early, missed } => {
                live.missed(missed);
                early
            }
            Stage::Fresh | Stage::Streaming { .. } | Stage::Closing => Vec::new(),
        };
        let Some(stream) = live.begin(key) else {
            connection.socket.close();
            return;
        };
        connection.stage = Stage::Streaming { call, stream };
        connection.socket.is_stream(start.stream_sid.clone());
        let outcome = live.start(&self.world, &mut self.outbox, start);
        self.act(call, outcome);
        for heard in early {
            if let Some(live) = self.calls.get_mut(call) {
                let outcome = live.hear(&self.world, &mut self.outbox, stream, &heard, &[]);
                self.act(call, outcome);
            }
        }
    }

    fn step(&mut self, call: CallKey, input: Input<'_>) {
        if let Some(live) = self.calls.get_mut(call) {
            let outcome = live.step(&self.world, &mut self.outbox, input);
            self.act(call, outcome);
        }
    }

    fn step_named(&mut self, call_id: &str, input: Input<'_>) {
        if let Some(call) = self.by_id.get(call_id) {
            self.step(*call, input);
        }
    }

    /// Does what a step caused that only this thread can do: words to sockets, and the end of a call.
    fn act(&mut self, call: CallKey, outcome: Option<Outcome>) {
        let Some(outcome) = outcome else { return };
        for (key, word) in outcome.words {
            let Some(connection) = self.sockets.get_mut(key) else { continue };
            if word.is_close() {
                connection.socket.close();
            } else if !connection.socket.say(&word) {
                self.gone(key, Gone::Stuck);
            }
        }
        if outcome.over
            && let Some(live) = self.calls.remove(call)
        {
            self.by_id.remove(live.call_id());
            live.finish(&self.world, &self.registry);
        }
    }

    /// What came was no media stream: the call goes on without us, and the socket stays until the other side knows why.
    fn given_up(&mut self, key: SocketKey, why: Gone) {
        let Some(connection) = self.sockets.get_mut(key) else { return };
        match std::mem::replace(&mut connection.stage, Stage::Closing) {
            Stage::Streaming { call, stream } => {
                if let Some(live) = self.calls.get(call) {
                    tracing::warn!(call.id = live.call_id(), "media: stream closed: {why}");
                }
                self.step(call, Input::Garbled(stream));
            }
            Stage::Fresh | Stage::Asking { .. } | Stage::Closing => tracing::warn!("media: socket closed before its stream began: {why}"),
        }
    }

    /// A socket is over: its stream ends, its place is free.
    fn gone(&mut self, key: SocketKey, why: Gone) {
        let Some(mut connection) = self.sockets.remove(key) else { return };
        let _ = self.poll.registry().deregister(connection.socket.source());
        match connection.stage {
            Stage::Streaming { call, stream } => {
                if let Some(live) = self.calls.get(call) {
                    tracing::debug!(call.id = live.call_id(), "media: socket over: {why}");
                }
                self.step(call, Input::Lost(stream));
            }
            Stage::Fresh | Stage::Asking { .. } | Stage::Closing => {
                tracing::debug!("media: socket over before its stream began: {why}");
            }
        }
    }

    fn sweep(&mut self) {
        let now = self.world.clocks.now();
        let due: Vec<_> = self.calls.iter_mut().filter_map(|(call, live)| live.is_due(now.tick).then_some(call)).collect();
        for call in due {
            self.step(call, Input::Wake);
        }
        let stuck: Vec<_> = self.calls.iter_mut().filter_map(|(call, live)| live.tick(now.tick).is_err().then_some(call)).collect();
        for call in stuck {
            self.step(call, Input::SinkFailed);
        }
        let expired: Vec<_> =
            self.sockets.iter().filter(|(_, connection)| connection.socket.is_expired(now.tick)).map(|(key, _)| key).collect();
        for key in expired {
            self.gone(key, Gone::Closed);
        }
    }
}

/// Why a socket is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Gone {
    /// A close frame, or the end of the connection.
    #[error("it was closed")]
    Closed,
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
    /// A message larger than any of Twilio's.
    #[error("a message is larger than 64 KiB")]
    TooLarge,
    /// A text message that is none.
    #[error("a text message is not UTF-8")]
    NotText,
    /// What came was no WebSocket.
    #[error("what came was no WebSocket frame")]
    Protocol,
    /// The other side does not read.
    #[error("the other side does not read")]
    Stuck,
}

impl Gone {
    /// Whether it is we who close.
    const fn is_ours(self) -> bool {
        matches!(self, Self::TooLarge | Self::NotText | Self::Protocol)
    }
}
