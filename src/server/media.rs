//! The media threads: plain threads, each the only owner of some calls and of their sockets.
//!
//! A frame costs one `read` and the engine's step: no task to wake, no lock, no channel. When many sockets are live a
//! thread pauses for half a millisecond between looks, so that one wake-up serves a whole batch of them. What the world
//! answers (a receipt, a standing, a command) comes through the thread's inbox; a `mio` waker tells of it. Here is the way to
//! the threads; what they do is in `thread`.

mod thread;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use mio::{Poll, Token, Waker};
use slotmap::{Key as _, KeyData, new_key_type};
use tokio::sync::oneshot;

use super::nodes::Streams;
use super::registry::Registry;
use super::socket::Socket;
use super::world::World;
use crate::engine::audio::frame::{Place, StreamNo};
use crate::engine::audio::prompts::Language;
use crate::engine::call::{CallIdentity, Handing, NotHanded, NotSealed, Party, Standing, TransferNo, Unreached};
use crate::engine::consent::keys::Answer;
use crate::engine::consent::{Actor, Grant, GrantSeq, Receipt};
use crate::engine::time::WallTime;
use crate::engine::twilio::message::Start;
use crate::io::relay::Heard;
use thread::Thread;

const WAKER: Token = Token(usize::MAX);

new_key_type! {
    /// A socket of a media thread. Never used twice: an answer that comes too late finds nobody.
    pub(super) struct SocketKey;
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
    /// The database told where the client of a new call stands, and whose the call is.
    Standing(SocketKey, Box<(Start, CallIdentity)>, Standing, Streams),
    /// The database told at last that a call is this gateway's.
    IsOurs(String),
    /// The ledger answered.
    Sealed(String, Box<Result<Receipt<Grant>, NotSealed>>),
    /// Somebody with the right to says that the client said no, now or at the time told. Answered when the gate is shut.
    OptOut(String, Actor, Option<String>, Option<WallTime>, oneshot::Sender<()>),
    /// A recogniser has heard the client say no, from this place of this stream on.
    Objected(String, StreamNo, Place),
    /// What follows must not be captured. Answered when nothing more is taken in.
    Pause(String, Actor, String, oneshot::Sender<()>),
    /// A holder of a pause lets go, of what it holds for this reason or of all. Answered when it is done.
    Resume(String, Actor, Option<String>, oneshot::Sender<()>),
    /// The client's consent was withdrawn, at this entry of the chain if it stands there yet. Answered when the gate is shut.
    Revoked(String, Option<GrantSeq>, oneshot::Sender<()>),
    /// A call that Twilio's webhooks tell of begins, before or without a stream.
    Open(Box<(CallIdentity, Standing)>),
    /// Twilio says who answered, in its own word.
    AnsweredBy(String, String),
    /// Twilio tells its own id of a call.
    Named(String, String),
    /// The call goes to the other party: without a question, or since the question's stream is over. Answered when the call knows.
    PutThrough(String, oneshot::Sender<()>),
    /// What Twilio's keypad question brought. Answered when it is durable.
    Pad(String, Language, Answer, oneshot::Sender<()>),
    /// Nobody was reached.
    Unreached(String, Unreached),
    /// Twilio says that the call is over.
    HungUp(String),
    /// Other gateways have taken this one for gone: every gate shuts.
    LeaseLost,
    /// Another gateway has the call.
    Disowned(String),
    /// The bot that serves this stream of a call said something.
    Bot(Arc<str>, StreamNo, Heard),
    /// Somebody hands the call over. Answered when nothing more is taken in, or with why not.
    Transfer(String, Actor, Party, oneshot::Sender<Result<Handing, NotHanded>>),
    /// Twilio did not do this one.
    NotTransferred(String, TransferNo),
    /// Twilio has placed the call to the other party of a bridged call, under this id.
    PartyCalled(String, String),
    /// The other party of a bridged call was not reached, or is gone.
    PartyGone(String, &'static str),
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
            let thread = Thread::new(poll, messages, handle.clone(), world.clone(), Arc::clone(registry));
            std::thread::Builder::new().name(format!("media-{index}")).spawn(move || thread.run())?;
            handles.push(handle);
        }
        Ok(Self { handles: handles.into(), next: Arc::default() })
    }

    pub(super) fn take(&self, socket: Socket) {
        self.next().send(ToMedia::Socket(Box::new(socket)));
    }

    /// The thread whose turn it is.
    pub(super) fn next(&self) -> &MediaHandle {
        &self.handles[self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()]
    }

    /// Every gate shuts; the calls go on.
    pub(super) fn lease_lost(&self) {
        for handle in self.handles.iter() {
            handle.send(ToMedia::LeaseLost);
        }
    }

    /// Every call is sealed and every socket closed.
    pub fn shut_down(&self) {
        for handle in self.handles.iter() {
            handle.send(ToMedia::Shutdown);
        }
    }
}
