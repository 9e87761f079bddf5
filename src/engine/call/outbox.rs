//! Everything a call can cause. If it is not in [`Effect`], the engine cannot do it.

use std::sync::Arc;

use super::relay::{Speech, ToBot};
use super::transfer::TransferView;
use crate::engine::audio::frame::{Place, StreamNo};
use crate::engine::audio::prompts::Prompt;
use crate::engine::consent::{Batch, ConsentRecord, Grant, GrantSeq};
use crate::engine::ledger::Event;

/// What one step causes, in order: `captured` first, then `effects`, then `to_bot`. The caller owns and reuses it.
#[derive(Default)]
pub struct Outbox {
    /// Frames that consent covers, for the sinks.
    pub captured: Batch,
    /// Everything else.
    pub effects: Vec<Effect>,
    /// For the bot that serves the call.
    pub to_bot: Vec<ToBot>,
}

/// One thing the world is asked to do.
#[derive(Debug)]
pub enum Effect {
    /// Play samples `from..to` of a prompt into a stream.
    Play {
        /// Into which.
        stream: StreamNo,
        /// Of which.
        prompt: &'static Prompt,
        /// First sample.
        from: usize,
        /// Just past the last.
        to: usize,
    },
    /// Play the tone that tells that the call is recorded.
    Beep {
        /// Into which stream.
        stream: StreamNo,
        /// Its clock.
        at: Place,
    },
    /// The same tone was put into what is said into a stream.
    Beeped {
        /// Into which.
        stream: StreamNo,
        /// Where its listener hears it.
        at: Place,
    },
    /// Label what was sent so far; it comes back when played.
    Mark {
        /// On which stream.
        stream: StreamNo,
        /// Number of the play it ends.
        play: u32,
    },
    /// Throw away what is buffered for playing.
    Clear {
        /// On which stream.
        stream: StreamNo,
    },
    /// Play what a bot said.
    Say {
        /// Into which stream.
        stream: StreamNo,
        /// mu-law.
        said: Speech,
    },
    /// The bot's turn has come: it is called, as by Twilio.
    RelayBegins {
        /// Which stream it serves.
        stream: StreamNo,
        /// Its name in the configuration.
        bot: String,
    },
    /// The other party is called: the client hears it ring.
    PartyWanted {
        /// The client's stream.
        stream: StreamNo,
        /// Whether it is to be joined with that stream; else that is over, and the two meet in the conference behind it.
        here: bool,
    },
    /// The bot, or the other party, is hung up on.
    RelayEnds,
    /// Close the socket: the call goes on with the next verb of its TwiML.
    Close {
        /// Of which stream.
        stream: StreamNo,
    },
    /// Make this grant durable and answer with its receipt.
    Seal(Grant),
    /// Find the durable record this client's standing consent rests on, and answer with its receipt.
    Recall,
    /// Make this refusal durable. The gate is shut already.
    Refuse(Box<ConsentRecord>, Reach),
    /// Make durable that a yes of this call was none: its client stands as if never asked. Nothing is captured by it any more.
    Annul(Box<ConsentRecord>),
    /// A line for the audit chain.
    Audit(Box<Event>),
    /// A recording begins: `captured` may follow from the next step on.
    RecordingBegins {
        /// The ledger entry that allows it.
        grant: GrantSeq,
        /// The consent record it rests on.
        record: Arc<ConsentRecord>,
        /// Samples of the consent prompt that were played, to lead the recording.
        lead: Option<(&'static Prompt, usize)>,
    },
    /// A stream that may be captured begins or goes on after a gap.
    RecordedStream {
        /// Its number within the call.
        stream: StreamNo,
        /// Twilio's id of it.
        stream_sid: String,
    },
    /// Frames of this stream at or past this place must leave every sink again.
    CutBack {
        /// Which stream.
        stream: StreamNo,
        /// From where on.
        at: Place,
    },
    /// From here on nothing is captured for a while.
    Paused {
        /// Which stream is captured.
        stream: StreamNo,
        /// Its clock.
        at: Place,
        /// `PAYMENT`, `IDENTITY`, `MEDICAL` or `OTHER`.
        reason: &'static str,
    },
    /// Here it goes on.
    Resumed {
        /// Which stream is captured.
        stream: StreamNo,
        /// Its clock.
        at: Place,
    },
    /// The call was handed over while it was recorded.
    Transferred {
        /// Which stream was captured.
        stream: StreamNo,
        /// Its clock.
        at: Place,
        /// To what.
        view: TransferView,
    },
    /// The recording is over.
    RecordingEnds(RecordingEnd),
    /// The call's state as others see it has changed.
    Changed,
    /// Nothing more will come of this call.
    Over,
}

/// What a refusal takes away of its own call's recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// What was cut of it, if anything: the rest was consented to.
    Cut,
    /// All of it. It had ended, may be stored, and can be cut no more.
    Recording,
}

/// What becomes of a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordingEnd {
    /// Seal what was captured and store it.
    Keep,
    /// Destroy it before anything reaches the store.
    Discard,
}
