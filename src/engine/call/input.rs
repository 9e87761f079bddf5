//! What a deployment has chosen, who a call is, and everything that can happen to it.

use serde::Serialize;

use super::relay::{Bot, BotSaid};
use super::transfer::{Covers, Party, TransferNo};
use crate::engine::audio::frame::{Channel, Place, StreamNo};
use crate::engine::audio::key::Key;
use crate::engine::audio::prompts::{Language, PromptLibrary, library};
use crate::engine::consent::keys::{Answer, OptOutKeys};
use crate::engine::consent::{Actor, ConsentStatus, Direction, Grant, GrantSeq, Receipt};
use crate::engine::time::{MediaTime, Tick, WallTime};
use crate::engine::twilio::message::Track;

/// Which clock the ten seconds are counted on (`CALLGATE_CLOCK`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    /// They must pass in received media and on the wall.
    Strict,
    /// In received media alone: accelerated replay.
    Media,
}

/// What a mid-call opt-out does with audio captured before it (`CALLGATE_ON_OPT_OUT`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnOptOut {
    /// What consent covered is kept.
    KeepConsented,
    /// The whole recording is destroyed.
    DiscardCall,
}

/// What a deployment has chosen. The same for every call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// On which clock the ten seconds run.
    pub clock: Clock,
    /// Whether a line of exact digital silence may grant by silence: not while this is set.
    pub silence_needs_noise_floor: bool,
    /// Which keys opt out in the middle of a conversation.
    pub opt_out_keys: OptOutKeys,
    /// What happens to what was captured before an opt-out.
    pub on_opt_out: OnOptOut,
    /// Whether a recording begins with our own prompt.
    pub prompt_in_recording: bool,
    /// So often a tone tells that the call is recorded, where one can be played.
    pub beep_every_ms: Option<u64>,
    /// Whether a short line tells that a recording has stopped, paused or gone on, where one can be played.
    pub announces: bool,
    /// Whom what the client was told covers, when the call is handed over.
    pub transfer_covers: Covers,
    /// What is played.
    pub prompts: &'static PromptLibrary,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clock: Clock::Strict,
            silence_needs_noise_floor: true,
            opt_out_keys: OptOutKeys::ALL,
            on_opt_out: OnOptOut::KeepConsented,
            prompt_in_recording: true,
            beep_every_ms: None,
            announces: false,
            transfer_covers: Covers::ALL,
            prompts: library(),
        }
    }
}

/// Who and what a call is: fixed when it is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallIdentity {
    /// Ours, opaque, unique.
    pub call_id: String,
    /// Twilio's, `CA…`; empty until Twilio tells.
    pub call_sid: String,
    /// The client.
    pub client_id: String,
    /// The case manager, if one is known.
    pub case_manager_id: String,
    /// The organisation.
    pub org_id: String,
    /// Who called whom.
    pub direction: Direction,
}

/// Where the client stood in the ledger when the call began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Granted, revoked, or pending.
    pub status: ConsentStatus,
    /// How many consent records that was read from.
    pub seen: u64,
}

/// What a stream is for (`mode` of `customParameters`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Prompt, decide, hand the call back.
    Consent,
    /// Prompt, decide, and go on capturing on the same socket.
    Stay,
    /// A fork of a call already decided.
    Capture,
}

/// A stream that begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamStart {
    /// `MZ…`
    pub stream_sid: String,
    /// What it is for.
    pub mode: Mode,
    /// Whether the inbound and the outbound track come.
    pub tracks: [bool; 2],
    /// Whose leg it is: whose voice the inbound track carries.
    pub leg: Channel,
    /// Twilio's `AnsweredBy`, if the call was screened for machines.
    pub answered_by: Option<String>,
    /// The voice bot that serves the client on this stream, once the question is answered.
    pub bot: Option<Bot>,
    /// Whether the other party comes on a leg of its own, which is joined to this one here.
    pub bridged: bool,
    /// The transfer whose party it brings, if it is one's.
    pub transfer: Option<TransferNo>,
}

/// The instants at which an input is handled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// For waiting.
    pub tick: Tick,
    /// For people.
    pub wall: WallTime,
}

/// Why a call that this gateway made reached nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Unreached {
    /// The line was busy.
    Busy,
    /// It rang, and nobody answered.
    NoAnswer,
    /// The network could not complete it.
    Failed,
    /// It was taken back before anybody answered.
    Canceled,
    /// Twilio did not place it, and named its reason by this code (0: by none).
    Refused(u32),
    /// Twilio could not be asked.
    NotAsked,
    /// Nothing was ever heard of it again.
    Unheard,
}

/// Why the ledger made no receipt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotSealed {
    /// The client has revoked since the call began.
    Superseded,
    /// What the client stood by turned out to be no yes.
    Annulled,
    /// The database is full, gone, or slow.
    Unavailable,
}

/// What can happen to a call.
#[derive(Debug)]
pub enum Input<'a> {
    /// A stream begins; its number is the count of streams before it.
    StreamStarted(StreamStart),
    /// Audio came.
    Media {
        /// On which stream.
        stream: StreamNo,
        /// On which track.
        track: Track,
        /// Its sequence number.
        sequence: u64,
        /// Its chunk number, 0 if none was told.
        chunk: u64,
        /// Its timestamp.
        timestamp: MediaTime,
        /// mu-law.
        codes: &'a [u8],
    },
    /// Twilio tells of a key.
    Dtmf {
        /// On which stream.
        stream: StreamNo,
        /// Its sequence number: its only place.
        sequence: u64,
        /// The key.
        key: Key,
    },
    /// A mark came back.
    Mark {
        /// On which stream.
        stream: StreamNo,
        /// The play it ends.
        play: u32,
    },
    /// The bot that serves a stream said something.
    Bot {
        /// Which stream.
        stream: StreamNo,
        /// What.
        said: BotSaid<'a>,
    },
    /// Twilio says that the stream is over. The call may go on without it.
    Stopped(StreamNo),
    /// The socket is gone without a word: nobody has hung up.
    Lost(StreamNo),
    /// What came on the socket was no media stream any more; it is closed, and the call goes on without us.
    Garbled(StreamNo),
    /// The grant is durable.
    Sealed(Receipt<Grant>),
    /// It is not, and will not be.
    NotSealed(NotSealed),
    /// The client said no, as somebody with the right to say so tells us.
    OptOut {
        /// Who tells.
        actor: Actor,
        /// In what words.
        reason: Option<String>,
        /// From when on it holds, if it was said earlier than now.
        since: Option<WallTime>,
    },
    /// Consent was withdrawn, and not on this call: the record of it is not this call's to write.
    Revoked {
        /// The revocation's place in the chain, once it has one: then a gate on a newer grant stays.
        entry: Option<GrantSeq>,
    },
    /// A recogniser has heard the client say no.
    Objected {
        /// On which stream.
        stream: StreamNo,
        /// From where on.
        at: Place,
    },
    /// Nobody is asked, and nothing more of it will be heard here: the people were put through past us, for this reason.
    PassedOn(&'static str),
    /// What comes now must not be captured.
    Pause {
        /// Who holds the pause.
        by: Actor,
        /// `PAYMENT`, `IDENTITY`, `MEDICAL`, or what they said.
        reason: String,
    },
    /// A holder lets go.
    Resume {
        /// Who.
        by: Actor,
        /// Of what they hold for this reason, or of all that they hold. What the client was heard to say is let go of only by its name.
        reason: Option<String>,
    },
    /// The call is handed over, if it may be; see [`super::Call::handing`].
    Transfer {
        /// By whom.
        by: Actor,
        /// To whom.
        to: Party,
    },
    /// Twilio did not hand it over this time.
    NotTransferred(TransferNo),
    /// The spool cannot take any more.
    SinkFailed,
    /// This gateway can no longer be told of a revocation: nothing may stay open, and nothing open now.
    LeaseLost,
    /// Another gateway has the call from here on.
    Disowned,
    /// Twilio's screening says, late, who answered: its own word (`AnsweredBy`).
    AnsweredBy(&'a str),
    /// Twilio tells its own id of a call that this gateway made.
    Named(&'a str),
    /// The call goes to the other party: without a question, or since the question's stream is over.
    PutThrough,
    /// Twilio asked by keypad, since no stream could be opened.
    Pad {
        /// In this language.
        language: Language,
        /// What was pressed, if anything.
        answer: Answer,
    },
    /// A call that this gateway made reached nobody.
    Unreached(Unreached),
    /// Twilio says that the call itself is over, perhaps before its streams have said everything.
    HungUp,
    /// The gateway stops; what is captured must be sealed.
    Shutdown,
    /// The deadline has come.
    Wake,
}
