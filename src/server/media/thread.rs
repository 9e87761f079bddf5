//! A media thread: its sockets, its calls, and the round it makes among them.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll};
use slotmap::{SlotMap, new_key_type};

use super::{MediaHandle, SocketKey, ToMedia, WAKER};
use crate::engine::audio::frame::StreamNo;
use crate::engine::call::{CallIdentity, Input, NotSealed, Outbox, Standing};
use crate::engine::consent::ConsentStatus;
use crate::engine::time::Tick;
use crate::engine::twilio::message::Start;
use crate::server::bridge;
use crate::server::live::{self, Live, Outcome};
use crate::server::nodes::{self, Streams};
use crate::server::registry::Registry;
use crate::server::relay;
use crate::server::socket::{Desk, Gone, Heard, Socket};
use crate::server::world::World;

/// With more sockets than this a thread gathers events before it looks.
const BATCH_FROM: usize = 32;
/// How long it gathers: bounds what a key waits before its gate shuts.
const PAUSE: Duration = Duration::from_micros(200);
/// The kernel lets a sleeper wait for company by 50 µs unless told otherwise (`prctl(2)`, `PR_SET_TIMERSLACK`).
const SLACK_NS: u64 = 1_000;
/// Each call's deadlines and spool are looked after this often; a few calls each turn, for all at once would keep a key waiting.
const SWEEP: Duration = Duration::from_millis(50);
/// Sockets whose time is up are looked for this often.
const EXPIRE_EVERY_MS: u64 = 500;
const EVENTS_AT_ONCE: usize = 1_024;

new_key_type! {
    /// A call of a media thread.
    struct CallKey;
}

pub(super) struct Thread {
    poll: Poll,
    messages: Receiver<ToMedia>,
    me: MediaHandle,
    world: World,
    registry: Arc<Registry>,
    /// Boxed, as calls are: the map's own room is then small, and grows without moving them.
    sockets: SlotMap<SocketKey, Box<Connection>>,
    calls: SlotMap<CallKey, Box<Live>>,
    by_id: HashMap<String, CallKey>,
    /// In which order calls are looked after, and whose turn it is.
    rota: Vec<CallKey>,
    next: usize,
    /// Up to when the rota has been followed.
    swept: Instant,
    /// What a step causes, reused for every step of every call.
    outbox: Outbox,
    /// Sockets that had more to say than fits a turn.
    talkative: Vec<SocketKey>,
    /// Where every socket is read and written, one at a time.
    desk: Desk,
    /// Decoded payload, reused for every frame of every call.
    codes: Vec<u8>,
    stopping: bool,
    /// The lease held at the last look.
    leased: bool,
    /// Sockets that said nothing are looked for next.
    expires_at: Tick,
}

struct Connection {
    socket: Socket,
    stage: Stage,
}

impl Connection {
    const fn is_over(&self) -> bool {
        matches!(&self.stage, Stage::Asking(early) if early.over)
    }
}

enum Stage {
    /// `start` has not come.
    Fresh,
    /// The database is being asked. What comes meanwhile waits.
    Asking(Early),
    /// It belongs to a call.
    Streaming { call: CallKey, stream: StreamNo },
    /// It is the other party's, of this call.
    Party { call: CallKey },
    /// It is being closed.
    Closing,
}

/// Messages of audio kept while the database is asked where a client stands: two tracks, for as long as it may take.
const EARLY_MEDIA_MAX: usize = 256;
/// Keys, marks and the stream's end kept meanwhile: a hundred times what a hand can press.
const EARLY_WORDS_MAX: usize = 1_024;

/// What a stream said before anybody could tell where its client stands. Audio lies beside its message, for a key in it is a key; it
/// falls out where it is too much, and a key never does.
#[derive(Default)]
struct Early {
    said: Vec<(Heard, Box<[u8]>)>,
    media: usize,
    missed: [u64; 2],
    /// Its socket is gone; what it said is still to be heard.
    over: bool,
}

impl Early {
    /// `false` if no stream says so much: then nothing is left out, and nobody goes on with it.
    fn keep(&mut self, heard: Heard, codes: &[u8]) -> bool {
        match heard {
            Heard::Media(track, ..) if self.media == EARLY_MEDIA_MAX => self.missed[track.index()] += 1,
            Heard::Media(..) => {
                self.media += 1;
                self.said.push((heard, codes.into()));
            }
            Heard::Start(_) => {}
            Heard::Dtmf { .. } | Heard::Mark(_) | Heard::Stop if self.said.len() - self.media == EARLY_WORDS_MAX => return false,
            Heard::Dtmf { .. } | Heard::Mark(_) | Heard::Stop => self.said.push((heard, Box::default())),
        }
        true
    }
}

impl Thread {
    pub(super) fn new(poll: Poll, messages: Receiver<ToMedia>, me: MediaHandle, world: World, registry: Arc<Registry>) -> Self {
        Self {
            poll,
            messages,
            me,
            world,
            registry,
            sockets: SlotMap::with_key(),
            calls: SlotMap::with_key(),
            by_id: HashMap::new(),
            rota: Vec::new(),
            next: 0,
            swept: Instant::now(),
            outbox: Outbox::default(),
            talkative: Vec::new(),
            desk: Desk::new(),
            codes: Vec::with_capacity(1_024),
            stopping: false,
            leased: true,
            expires_at: Tick(0),
        }
    }

    pub(super) fn run(mut self) {
        #[cfg(target_os = "linux")]
        if let Err(why) = rustix::thread::set_current_timer_slack(NonZeroU64::new(SLACK_NS)) {
            tracing::debug!(error = %why, "media: pauses are as long as the kernel likes");
        }
        let mut events = Events::with_capacity(EVENTS_AT_ONCE);
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
            self.sweep();
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
            ToMedia::Standing(key, who, standing, whose) => self.standing(key, &who.0, who.1, standing, &whose),
            ToMedia::IsOurs(call_id) => {
                if let Some(live) = self.by_id.get(&call_id).and_then(|call| self.calls.get_mut(*call)) {
                    live.is_ours();
                }
            }
            ToMedia::Sealed(call_id, receipt) => {
                let ours = self.by_id.get(&call_id).and_then(|call| self.calls.get(*call)).is_some_and(|live| live.may_capture());
                let input = match *receipt {
                    // A gate that others do not know to be open must not open.
                    Ok(_) if !ours || !self.world.lease.holds(self.world.clocks.tick()) => Input::NotSealed(NotSealed::Unavailable),
                    Ok(receipt) => Input::Sealed(receipt),
                    Err(why) => Input::NotSealed(why),
                };
                self.step_named(&call_id, input);
                if let Some(live) = self.by_id.get(&call_id).and_then(|call| self.calls.get_mut(*call)) {
                    live.is_settled();
                }
            }
            ToMedia::OptOut(call_id, actor, reason, since, done) => {
                self.step_named(&call_id, Input::OptOut { actor, reason, since });
                let _ = done.send(());
            }
            ToMedia::Objected(call_id, stream, at) => self.step_named(&call_id, Input::Objected { stream, at }),
            ToMedia::Pause(call_id, by, reason, done) => {
                self.step_named(&call_id, Input::Pause { by, reason });
                let _ = done.send(());
            }
            ToMedia::Resume(call_id, by, reason, done) => {
                self.step_named(&call_id, Input::Resume { by, reason });
                let _ = done.send(());
            }
            ToMedia::Revoked(call_id, entry, done) => {
                self.step_named(&call_id, Input::Revoked { entry });
                let _ = done.send(());
            }
            // Twilio asks again, and then another process answers.
            ToMedia::Open(_) if self.stopping => {}
            ToMedia::Open(call) => {
                let (identity, standing) = *call;
                self.open(identity, standing, None);
            }
            ToMedia::AnsweredBy(call_id, by) => self.step_named(&call_id, Input::AnsweredBy(&by)),
            ToMedia::Named(call_id, call_sid) => self.step_named(&call_id, Input::Named(&call_sid)),
            ToMedia::PutThrough(call_id, done) => {
                self.step_named(&call_id, Input::PutThrough);
                let _ = done.send(());
            }
            ToMedia::Pad(call_id, language, answer, done) => {
                if let Some(call) = self.by_id.get(&call_id).copied()
                    && let Some(live) = self.calls.get_mut(call)
                {
                    let outcome = live.pad(&self.world, &mut self.outbox, language, answer, done);
                    self.act(call, outcome);
                }
            }
            ToMedia::Unreached(call_id, why) => self.over_at_twilio(&call_id, Input::Unreached(why)),
            ToMedia::HungUp(call_id) => self.over_at_twilio(&call_id, Input::HungUp),
            ToMedia::LeaseLost => self.lose_lease(),
            ToMedia::Disowned(call_id) => self.step_named(&call_id, Input::Disowned),
            ToMedia::Bot(call_id, stream, heard) => {
                self.step_named(&call_id, Input::Bot { stream, said: relay::said(&heard) });
                // Only now may the next thing be read from it.
                drop(heard);
            }
            ToMedia::Transfer(call_id, by, to, done) => {
                if let Some(call) = self.by_id.get(&call_id).copied()
                    && let Some(live) = self.calls.get_mut(call)
                {
                    let (handing, outcome) = live.transfer(&self.world, &mut self.outbox, by, to);
                    self.act(call, outcome);
                    let _ = done.send(handing);
                }
            }
            ToMedia::PartyCalled(call_id, call_sid) => {
                if let Some(live) = self.by_id.get(&call_id).and_then(|call| self.calls.get_mut(*call)) {
                    live.party_called(&self.world, call_sid);
                } else if !self.stopping {
                    bridge::hang_up(&self.world.tokio, self.world.bridging.as_ref(), &call_sid); // the client was faster
                }
            }
            ToMedia::PartyGone(call_id, why) => {
                if let Some(call) = self.by_id.get(&call_id).copied() {
                    self.party_gone(call, why);
                }
            }
            ToMedia::NotTransferred(call_id, no) => self.step_named(&call_id, Input::NotTransferred(no)),
            ToMedia::Shutdown => {
                self.stopping = true;
                for call in self.calls.keys().collect::<Vec<_>>() {
                    self.step(call, Input::Shutdown);
                }
                for connection in self.sockets.values_mut() {
                    connection.socket.close(&mut self.desk);
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
            connection.socket.takes_its_turn(&mut self.desk);
        }
        loop {
            let Some(connection) = self.sockets.get_mut(key).filter(|connection| !connection.is_over()) else { return };
            let heard = connection.socket.read(&mut self.desk, &mut self.codes);
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
                (Stage::Asking(early), Ok(Some(heard))) => {
                    if !early.keep(heard, &self.codes) {
                        let why = connection.socket.give_up(Gone::Flooded, &mut self.desk);
                        self.given_up(key, why);
                        return;
                    }
                }
                (Stage::Party { call }, Ok(Some(heard))) => {
                    let call = *call;
                    let Some(live) = self.calls.get_mut(call) else { continue };
                    let outcome = live.party_said(&self.world, &mut self.outbox, &heard, &self.codes);
                    self.act(call, outcome);
                }
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
        if !self.sockets.contains_key(key) {
            return;
        }
        let known = live::who(&start, &self.registry, &self.world);
        let identity = match known {
            Ok(identity) => identity,
            Err(why) => {
                tracing::warn!(call.sid = %start.call_sid, stream.sid = %start.stream_sid, "media: stream refused: {why}");
                self.refuse(key);
                return;
            }
        };
        let owner = self.registry.claim(&identity, &self.me);
        if owner.index != self.me.index {
            // One owner a call: the socket moves to where its call lives.
            if let Some(mut connection) = self.sockets.remove(key) {
                let _ = self.poll.registry().deregister(connection.socket.source());
                connection.socket.moves(&mut self.desk);
                owner.send(ToMedia::Adopt(Box::new(connection.socket), start));
            }
            return;
        }
        if start.parameters.get("mode").is_some_and(|mode| mode == "party") {
            self.join(key, &identity, &start);
            return;
        }
        if let Some(call) = self.by_id.get(&identity.call_id) {
            self.attach(key, *call, &start);
            return;
        }
        let Some(connection) = self.sockets.get_mut(key) else { return };
        connection.stage = Stage::Asking(Early::default());
        let (world, me) = (self.world.clone(), self.me.clone());
        let announced = self.registry.announced(&identity.call_id).is_some();
        self.world.tokio.spawn(async move {
            let whose = async {
                let told = start.parameters.get("callId").map_or("", String::as_str);
                if announced { Streams::Here } else { nodes::streams(&world, told, &identity).await }
            };
            let (whose, standing) = tokio::join!(whose, world.standing(&identity.org_id, &identity.client_id));
            let standing = match standing {
                Ok(standing) => standing,
                Err(why) => {
                    tracing::error!(error = %why, "media: nobody can tell where a client stands; asking");
                    // A grant that rests on this would be refused by the ledger if there was a revocation.
                    Standing { status: ConsentStatus::Pending, seen: 0 }
                }
            };
            me.send(ToMedia::Standing(key, Box::new((start, identity)), standing, whose));
        });
    }

    /// A stream that is not served: its call goes on without us.
    fn refuse(&mut self, key: SocketKey) {
        self.world.metrics.refused.inc();
        if let Some(connection) = self.sockets.get_mut(key) {
            connection.socket.close(&mut self.desk);
            connection.stage = Stage::Closing;
        }
    }

    /// The other party comes on a leg of its own.
    fn join(&mut self, key: SocketKey, identity: &CallIdentity, start: &Start) {
        let Some(connection) = self.sockets.get_mut(key) else { return };
        let call = self.by_id.get(&identity.call_id).copied();
        let joined = call.and_then(|call| self.calls.get_mut(call)).and_then(|live| live.join(&self.world, &mut self.outbox, key, start));
        match (call, joined) {
            (Some(call), Some(outcome)) => {
                connection.stage = Stage::Party { call };
                connection.socket.is_stream(start.stream_sid.clone());
                self.act(call, outcome);
            }
            (_, _) => {
                tracing::warn!(call.id = %identity.call_id, stream.sid = %start.stream_sid, "media: stream refused: no call waits for this other party");
                self.refuse(key);
            }
        }
    }

    fn standing(&mut self, key: SocketKey, start: &Start, identity: CallIdentity, standing: Standing, whose: &Streams) {
        // One that is being closed is nobody's stream.
        if !self.sockets.get(key).is_some_and(|connection| matches!(connection.stage, Stage::Asking(_))) {
            return;
        }
        if let Streams::There(node_id) = whose {
            nodes::strayed(&identity.call_sid, node_id);
            if !self.by_id.contains_key(&identity.call_id) {
                self.registry.forget(&identity.call_id, &identity.call_sid);
            }
            self.refuse(key);
            return;
        }
        let is_new = !self.by_id.contains_key(&identity.call_id);
        let call = self.open(identity.clone(), standing, Some(start));
        if let Some(live) = self.calls.get_mut(call) {
            match whose {
                Streams::Unknown if is_new => {
                    live.is_nobodys();
                    let told = start.parameters.get("callId").cloned().unwrap_or_default();
                    let (world, registry, me) = (self.world.clone(), Arc::clone(&self.registry), self.me.clone());
                    self.world.tokio.spawn(nodes::streams_at_last(world, registry, told, identity, me));
                }
                Streams::Here => live.is_ours(),
                Streams::Unknown | Streams::There(_) => {}
            }
        }
        self.attach(key, call, start);
    }

    /// The call with this identity: as it is, or new.
    fn open(&mut self, identity: CallIdentity, standing: Standing, start: Option<&Start>) -> CallKey {
        if let Some(call) = self.by_id.get(&identity.call_id) {
            return *call;
        }
        let call_id = identity.call_id.clone();
        let announced = self.registry.announced(&call_id);
        let ruling = announced.as_ref().map_or_else(|| live::ruling(start, &self.world), |announced| announced.ruling.clone());
        let live = Live::new(identity, standing, ruling, announced.as_ref(), &self.world, &self.me);
        self.registry.insert(live.shared());
        let call = self.calls.insert(Box::new(live));
        self.by_id.insert(call_id, call);
        self.rota.push(call);
        call
    }

    /// Makes a socket one of a call's streams.
    fn attach(&mut self, key: SocketKey, call: CallKey, start: &Start) {
        let Some(connection) = self.sockets.get_mut(key) else { return };
        let (Some(live), false) = (self.calls.get_mut(call), self.stopping) else {
            connection.socket.close(&mut self.desk);
            connection.stage = Stage::Closing;
            return;
        };
        let early = match std::mem::replace(&mut connection.stage, Stage::Closing) {
            Stage::Asking(early) => early,
            Stage::Fresh | Stage::Streaming { .. } | Stage::Party { .. } | Stage::Closing => Early::default(),
        };
        let Some(stream) = live.begin(key) else {
            connection.socket.close(&mut self.desk);
            return;
        };
        connection.stage = Stage::Streaming { call, stream };
        connection.socket.is_stream(start.stream_sid.clone());
        let outcome = live.start(&self.world, &mut self.outbox, start);
        live.missed(stream, early.missed);
        self.act(call, outcome);
        for (heard, codes) in early.said {
            if let Some(live) = self.calls.get_mut(call) {
                let outcome = live.hear(&self.world, &mut self.outbox, stream, &heard, &codes);
                self.act(call, outcome);
            }
        }
        if early.over {
            self.gone(key, Gone::Closed);
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

    /// Twilio's webhook may overtake what the socket still says: the machine hears that out.
    fn over_at_twilio(&mut self, call_id: &str, input: Input<'_>) {
        if let Some(live) = self.by_id.get(call_id).and_then(|call| self.calls.get_mut(*call)) {
            live.client_hung_up(&self.world);
        } else if self.registry.get(call_id).is_none() {
            self.registry.forget(call_id, ""); // its stream broke before anything could be made of it
        }
        self.step_named(call_id, input);
    }

    /// Does what a step caused that only this thread can do: words to sockets, and the end of a call.
    fn act(&mut self, call: CallKey, outcome: Option<Outcome>) {
        let Some(outcome) = outcome else { return };
        if let Some(live) = self.calls.get_mut(call)
            && live.wants_party()
        {
            bridge::call(&self.world.tokio, self.world.bridging.as_ref(), &self.registry, live.call_id(), &self.me);
        }
        for words in outcome.words.chunk_by(|(socket, _), (next, _)| socket == next) {
            let key = words[0].0;
            let Some(connection) = self.sockets.get_mut(key) else { continue };
            if !connection.socket.say(words.iter().map(|(_, word)| word), &mut self.desk) {
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
            Stage::Party { call } => self.party_gone(call, "its leg carried what no media stream carries"),
            Stage::Fresh | Stage::Asking(_) | Stage::Closing => tracing::warn!("media: socket closed before its stream began: {why}"),
        }
    }

    /// A socket is over: its stream ends, its place is free. One whose call is not known yet is heard out first.
    fn gone(&mut self, key: SocketKey, why: Gone) {
        if let Some(Connection { socket, stage: Stage::Asking(early) }) = self.sockets.get_mut(key).map(|connection| &mut **connection)
            && !std::mem::replace(&mut early.over, true)
        {
            let _ = self.poll.registry().deregister(socket.source());
            socket.is_gone();
            return;
        }
        let Some(mut connection) = self.sockets.remove(key) else { return };
        let _ = self.poll.registry().deregister(connection.socket.source());
        match connection.stage {
            Stage::Streaming { call, stream } => {
                if let Some(live) = self.calls.get(call) {
                    tracing::debug!(call.id = live.call_id(), "media: socket over: {why}");
                }
                self.step(call, Input::Lost(stream));
            }
            Stage::Party { call } => self.party_gone(call, "its leg broke"),
            Stage::Fresh | Stage::Asking(_) | Stage::Closing => {
                tracing::debug!("media: socket over before its stream began: {why}");
            }
        }
    }

    fn party_gone(&mut self, call: CallKey, why: &'static str) {
        if let Some(live) = self.calls.get_mut(call) {
            let outcome = live.party_gone(&self.world, &mut self.outbox, why);
            self.act(call, outcome);
        }
    }

    fn lose_lease(&mut self) {
        for call in self.calls.keys().collect::<Vec<_>>() {
            self.step(call, Input::LeaseLost);
        }
    }

    /// Looks after the lease, and after those calls whose turn it is.
    fn sweep(&mut self) {
        let now = self.world.clocks.now();
        let holds = self.world.lease.holds(now.tick);
        if self.leased && !holds {
            tracing::error!("nodes: the lease is lost: every gate shuts, and calls go on unrecorded; look at the database");
            self.lose_lease();
        }
        self.leased = holds;
        for _ in 0..self.turns() {
            let Some(call) = self.rota.get(self.next).copied() else {
                self.next = 0;
                continue;
            };
            // One visit: with a thousand calls, none of what it touches is in a cache.
            let Some(live) = self.calls.get_mut(call) else {
                self.rota.swap_remove(self.next);
                continue;
            };
            self.next += 1;
            let is_due = live.is_due(now.tick);
            let is_stuck = live.tick(now.tick).is_err();
            if is_due {
                self.step(call, Input::Wake);
            }
            if is_stuck {
                self.step(call, Input::SinkFailed);
            }
        }
        if now.tick >= self.expires_at {
            self.expires_at = now.tick.plus_ms(EXPIRE_EVERY_MS);
            let expired: Vec<_> =
                self.sockets.iter().filter(|(_, connection)| connection.socket.is_expired(now.tick)).map(|(key, _)| key).collect();
            for key in expired {
                self.gone(key, Gone::Closed);
            }
        }
    }

    /// How many places of the rota have come due since it was last followed; one more than there are calls, for its end is a place.
    fn turns(&mut self) -> u32 {
        let places = u32::try_from(self.rota.len() + 1).unwrap_or(u32::MAX);
        let (since, place) = (self.swept.elapsed(), SWEEP / places);
        let due = u32::try_from(since.as_nanos() / place.as_nanos().max(1)).unwrap_or(u32::MAX);
        // What was missed while the thread was busy is not made up for: each call gets one turn.
        if due >= places {
            self.swept += since;
            return places;
        }
        self.swept += place * due;
        due
    }
}
