//! A call's life, as a pure machine: `step(now, input, &mut outbox) -> next deadline`.
//!
//! ```text
//! Created ─▶ Asking ─▶ Sealing ─▶ Open ─────▶ Over
//!              │          │        │ opt-out
//!              ▼          ▼        ▼
//!           (hang-up)   Refused ◀──┘          a prior grant enters at Sealing, a prior refusal at Refused
//! ```
//!
//! One struct a phase, holding only what that phase may know. Everything an input causes is in the outbox; a media
//! frame allocates nothing. The machine never waits, never reads a clock, and cannot open the gate: it can only
//! be handed a receipt. Start at [`Call::step`]; `hear` is where audio and keys come in, `ask` the prompt and its ten
//! seconds, `talk` the conversation, `reach` what Twilio tells of a call beside its streams.

mod ask;
mod ear;
mod hear;
mod input;
mod joined;
mod leg;
mod news;
mod objection;
mod outbox;
mod pause;
mod playback;
mod reach;
mod refusal;
mod relay;
mod snapshot;
mod talk;
pub mod timeline;
mod transfer;
mod voice;

#[cfg(test)]
mod tests;

pub use ask::PROMPT_PLAYS_MAX;
pub use input::{CallIdentity, Clock, Input, Mode, NotSealed, Now, OnOptOut, Settings, Standing, StreamStart, Unreached};
pub use leg::Leg;
pub use news::{News, is_over};
pub use outbox::{Effect, Outbox, Reach, RecordingEnd};
pub use pause::{OPT_OUT_HEARD, PAUSE_MAX_MS, PAUSERS_MAX, PauseView};
pub use reach::{HEARD_WITHIN_MS, Initiation, TALK_MAX_MS};
pub use relay::{Bot, BotSaid, Piece, Speech, ToBot};
pub use snapshot::{ConsentView, Frames, Phase, RecordingState, Segment, Snapshot, Told};
pub use transfer::{Covers, HANDED_WITHIN_MS, Handing, NotHanded, Party, PartyKind, TRANSFER, TransferNo, TransferView};

use ask::Asking;
use ear::Ear;
use playback::Playback;
use relay::Relay;
use talk::{Open, Refused};
use transfer::Transfers;

use crate::engine::audio::frame::{Channel, Place, StreamNo};
use crate::engine::audio::prompts::{Language, Line, Prompt};
use crate::engine::consent::keys::Presses;
use crate::engine::consent::{Actor, ConsentRecord, ConsentStatus, Direction, GrantSeq, Method, UnrecordedReason};
use crate::engine::ledger::{Event, EventKind, Position};
use crate::engine::policy::Ruling;
use crate::engine::time::{MediaTime, Tick, WallTime};

/// So long without media, by the wall, is a line that stopped: nothing is captured of it, and nobody is asked on it.
pub const DEAD_AFTER_MS: u64 = 2_500;
/// So long without media a conversation's socket is given up for lost (Twilio's own RTP timeout).
pub const LOST_AFTER_MS: u64 = 60_000;
/// The ledger must answer within this, or the call goes on unrecorded.
pub const SEAL_WITHIN_MS: u64 = 3_000;
/// After the consent stream was handed back, the capture fork must begin within this.
pub const FORK_WITHIN_MS: u64 = 30_000;
/// Once Twilio has said that the call is over, its streams may say for so long what they still have to say.
pub const LAST_WORDS_MS: u64 = 1_000;
/// A stream has stopped. That is a hang-up, or new TwiML under which the people talk on: Twilio says which within this.
pub const WORD_WITHIN_MS: u64 = 10_000;
/// Streams a call may have in its life; one more is closed at once.
pub const STREAMS_MAX: usize = 8;
/// A gap longer than this begins a new segment.
const SEGMENT_GAP_MS: u64 = 1_000;

/// One call.
pub struct Call {
    identity: CallIdentity,
    settings: Settings,
    standing: Standing,
    state: State,
    streams: Vec<Stream>,
    answered_by: Option<String>,
    language: Language,
    plays: u32,
    records: u32,
    lead: Option<(&'static Prompt, usize)>,
    /// What the call is held to, if anybody has said.
    ruling: Option<Ruling>,
    consent: ConsentView,
    recording: RecordingState,
    reason: Option<UnrecordedReason>,
    captured: [u64; 2],
    withheld: [u64; 2],
    segments: Vec<Segment>,
    /// The record of a yes by silence that this call has made durable: taken back if a machine turns out to have kept it.
    silent_yes: Option<String>,
    /// The newest withdrawal of the client's consent that this call was told of.
    withdrawn_at: Option<GrantSeq>,
    /// The stream that is captured, or was last.
    concerned: Option<StreamNo>,
    /// Where the newest of what was captured ends.
    captured_to: Option<(StreamNo, Place)>,
    /// A no reaches into a recording that had ended, and could be cut no more: all of it is to be deleted.
    taken_back: bool,
    /// Where capturing began again after a pause: a new segment, however short the pause was.
    resumed_at: Option<(StreamNo, Place)>,
    started_at: WallTime,
    connected_at: Option<WallTime>,
    ended_at: Option<WallTime>,
    abandoned: bool,
    /// Twilio's webhooks tell of this call: it is over when they say so, and not when its last stream is.
    told: bool,
    /// Twilio has said that the call is over. Until then its streams are heard out.
    hung_up_by: Option<Tick>,
    /// This gateway made the call: by then something must be heard of it.
    heard_by: Option<Tick>,
    /// Refused, and people talk on without a stream: by then they have ended.
    ends_by: Option<Tick>,
    /// The newest stream that a bot serves, or is to serve.
    relay: Option<Box<Relay>>,
    transfers: Transfers,
}

enum State {
    Created,
    Asking(Asking),
    Sealing(Sealing),
    Open(Box<Open>),
    Refused(Refused),
    Over,
}

/// A yes was heard, and is not durable yet: nothing is captured.
struct Sealing {
    by: Tick,
    prior: bool,
    /// The stream and the sequence number of the message that decided, if one did.
    decided_at: Option<(StreamNo, u64)>,
}

struct Stream {
    sid: String,
    mode: Mode,
    leg: Channel,
    /// Boxed: most streams have one, and a detector is 3 KiB.
    ears: [Option<Box<Ear>>; 2],
    /// The newest end of audio on the track of the client, or else on any.
    clock: Place,
    /// Keys told on it.
    presses: Presses,
    sequence: u64,
    last_media: Tick,
    live: bool,
    /// No media for a while: what comes next begins a new segment.
    silent: bool,
}

impl Call {
    /// A call about which nothing has been heard yet.
    #[must_use]
    pub fn new(identity: CallIdentity, settings: Settings, standing: Standing, now: Now) -> Self {
        let language = Language::EN;
        let version = settings.prompts.prompt(language, Line::Consent).version.clone();
        Self {
            identity,
            settings,
            standing,
            state: State::Created,
            streams: Vec::with_capacity(1),
            answered_by: None,
            language,
            plays: 0,
            records: 0,
            lead: None,
            ruling: None,
            consent: ConsentView {
                status: standing.status,
                method: None,
                prior: false,
                granted_at: None,
                effective_at: None,
                language_code: language.code(),
                prompt_version: version,
            },
            recording: RecordingState::NotStarted,
            reason: None,
            captured: [0; 2],
            withheld: [0; 2],
            segments: Vec::new(),
            silent_yes: None,
            withdrawn_at: None,
            concerned: None,
            captured_to: None,
            taken_back: false,
            resumed_at: None,
            started_at: now.wall,
            connected_at: None,
            ended_at: None,
            abandoned: false,
            told: false,
            hung_up_by: None,
            heard_by: None,
            ends_by: None,
            relay: None,
            transfers: Transfers::default(),
        }
    }

    /// The same call, held to what the policy of its place says.
    #[must_use]
    pub fn under(mut self, ruling: Ruling) -> Self {
        self.ruling = Some(ruling);
        self
    }

    /// Whether staying on the line may be taken for a yes where this call is.
    fn takes_silence(&self) -> bool {
        self.ruling.as_ref().is_none_or(Ruling::takes_silence)
    }

    /// Who it is.
    #[must_use]
    pub const fn identity(&self) -> &CallIdentity {
        &self.identity
    }

    /// The number the next stream will have.
    #[must_use]
    pub fn next_stream(&self) -> Option<StreamNo> {
        u8::try_from(self.streams.len()).ok().filter(|_| self.streams.len() < STREAMS_MAX).map(StreamNo)
    }

    /// Frames of a stream's inbound and outbound track that came before anybody could be asked where the client stands: withheld.
    pub fn missed(&mut self, stream: StreamNo, frames: [u64; 2]) {
        for (side, missed) in frames.into_iter().enumerate() {
            let channel = self.streams.get(usize::from(stream.0)).map_or(side, |stream| stream.channel(side).index());
            self.withheld[channel] += missed;
        }
    }

    /// Frames captured and withheld so far, client's and other party's: cheap, for counters that others read.
    #[must_use]
    pub const fn counts(&self) -> ([u64; 2], [u64; 2]) {
        (self.captured, self.withheld)
    }

    /// The end of the newest segment, for the same.
    #[must_use]
    pub fn captured_up_to(&self) -> MediaTime {
        self.segments.last().map_or(MediaTime(0), |segment| segment.end_ms)
    }

    /// Handles one input and says when to come back with [`Input::Wake`] if nothing else happens.
    pub fn step(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) -> Option<Tick> {
        match input {
            Input::StreamStarted(start) => self.stream_started(now, start, out),
            Input::Media { stream, track, sequence, chunk, timestamp, codes } => {
                self.media(now, stream, track, sequence, chunk, timestamp, codes, out);
            }
            Input::Dtmf { stream, sequence, key } => self.dtmf(now, stream, sequence, key, out),
            Input::Mark { stream, play } => self.marked(stream, play, out),
            Input::Bot { stream, said } => self.bot_said(now, stream, said, out),
            Input::Stopped(stream) => self.stream_ended(now, stream, out),
            Input::Lost(stream) => self.stream_lost(now, stream, "the client's stream broke", out),
            Input::Garbled(stream) => self.garbled(now, stream, out),
            Input::Sealed(receipt) => self.sealed(now, receipt, out),
            Input::NotSealed(why) => self.not_sealed(now, why, out),
            Input::OptOut { actor, reason, since } => self.opt_out(now, actor, reason, since, out),
            Input::Revoked { entry } => self.revoked(now, entry, out),
            Input::Objected { stream, at } => self.objected(now, stream, at, out),
            Input::Pause { by, reason } => self.pause(now, by, reason, out),
            Input::Resume { by, reason } => self.resume(now, &by, reason.as_deref(), out),
            Input::Transfer { by, to } => self.transfer(now, by, to, out),
            Input::NotTransferred(no) => self.not_transferred(now, no, out),
            Input::SinkFailed => self.capture_fails(now, "the spool could not take the audio", out),
            Input::LeaseLost => self.lease_lost(now, out),
            Input::Disowned => self.disowned(now, out),
            Input::AnsweredBy(by) => self.answered_by(now, by, out),
            Input::Named(call_sid) => self.named(call_sid, out),
            Input::PutThrough => {
                self.put_through(now, out);
                out.effects.push(Effect::Changed);
            }
            Input::Pad { language, answer } => self.pad_answered(now, language, answer, out),
            Input::Unreached(why) => self.unreached(now, why, out),
            Input::PassedOn(why) => self.passed_on(now, why, out),
            Input::HungUp => self.hung_up(now, out),
            Input::Shutdown => self.shut_down(now, out),
            Input::Wake => self.wake(now, out),
        }
        if self.relay.is_some() {
            self.relay_on(now, out);
        }
        self.deadline()
    }

    /// The call as others see it.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let phase = match &self.state {
            State::Created => Phase::Created,
            State::Asking(asking) if asking.waits_for_answer() => Phase::AwaitingResponse,
            State::Asking(_) => Phase::Prompting,
            State::Sealing(_) | State::Open(_) | State::Refused(_) => Phase::Connected,
            State::Over if self.abandoned => Phase::Abandoned,
            State::Over => Phase::Ended,
        };
        // The client's voice is on the inbound track unless the first stream is the other party's leg.
        let swapped = self.streams.first().is_some_and(|stream| stream.leg == Channel::Other);
        let frames = |count: [u64; 2]| Frames { inbound: count[usize::from(swapped)], outbound: count[usize::from(!swapped)] };
        let kept = self.recording != RecordingState::Discarded;
        let pauses = if let State::Open(open) = &self.state { open.pauses.views() } else { Vec::new() };
        let paused = self.recording == RecordingState::Active && !pauses.is_empty();
        Snapshot {
            identity: self.identity.clone(),
            phase,
            consent: self.consent.clone(),
            is_recorded: kept && (self.recording == RecordingState::Active || self.captured != [0; 2]),
            unrecorded_reason: self.reason,
            recording: if paused { RecordingState::Paused } else { self.recording },
            pauses,
            transfers: self.transfers.views(),
            captured: if kept { frames(self.captured) } else { Frames::default() },
            withheld: frames(self.withheld),
            segments: if kept { self.segments.clone() } else { Vec::new() },
            taken_back: self.taken_back,
            started_at: self.started_at,
            connected_at: self.connected_at,
            ended_at: self.ended_at,
        }
    }

    // === streams ===

    fn stream_started(&mut self, now: Now, start: StreamStart, out: &mut Outbox) {
        let Some(no) = self.next_stream() else { return };
        let StreamStart { stream_sid, mode, mut tracks, leg, answered_by, bot, bridged, transfer } = start;
        if let Some(by) = answered_by {
            self.answered_by(now, &by, out);
        }
        if let Some(bot) = bot {
            tracks[1] = false; // what the bot says is the outbound track
            self.relay = Some(Box::new(Relay::new(bot, no)));
        } else if bridged {
            tracks[1] = false; // and so is what the other party says on its own leg
            self.relay = Some(Box::new(Relay::party(no)));
        }
        // One line of delay, one time line: a call is captured from one stream at a time.
        let rival = self.streams.iter().position(|stream| stream.live && stream.mode != Mode::Consent);
        let asked = mode != Mode::Capture;
        let ear = |track: usize| tracks[track].then(|| Box::new(Ear::new(asked && track == 0)));
        self.streams.push(Stream {
            sid: stream_sid,
            mode,
            leg,
            ears: [ear(0), ear(1)],
            clock: Place(0),
            presses: Presses::default(),
            sequence: 0,
            last_media: now.tick,
            live: true,
            silent: false,
        });
        let handed = mode != Mode::Consent && self.transfers.awaits(transfer);
        // While the party that replaced it is awaited it is a stream like any other: whoever is on the line, nothing of them is taken in.
        let is_past = !self.transfers.is_pending() && self.transfers.is_past(transfer);
        if handed {
            self.party_came(now, out);
        }
        match (&self.state, mode) {
            (State::Over, _) => out.effects.push(Effect::Close { stream: no }),
            (State::Open(_), Mode::Capture | Mode::Stay) => match rival {
                _ if is_past => self.turn_away(now, usize::from(no.0), out),
                Some(rival) if !self.streams[rival].silent && !handed => self.turn_away(now, usize::from(no.0), out),
                Some(rival) => {
                    self.turn_away(now, rival, out);
                    self.recording_goes_on(now, no, out);
                }
                None => self.recording_goes_on(now, no, out),
            },
            // A second consent stream of a decided call: nobody is asked twice.
            (State::Open(_) | State::Refused(_) | State::Sealing(_), Mode::Consent) => out.effects.push(Effect::Close { stream: no }),
            (State::Refused(_) | State::Sealing(_), Mode::Capture | Mode::Stay) => {}
            (State::Created | State::Asking(_), _) => self.first_stream(now, no, mode, out),
        }
        out.effects.push(Effect::Changed);
    }

    /// A stream that nothing is wanted of: its socket is closed, and whatever it still says is not heard.
    fn turn_away(&mut self, now: Now, index: usize, out: &mut Outbox) {
        let Ok(no) = u8::try_from(index).map(StreamNo) else { return };
        self.fall_silent(now, no, out);
        out.effects.push(Effect::Close { stream: no });
    }

    /// Nothing more is heard on a stream. What was pressed on it last is its last word.
    fn fall_silent(&mut self, now: Now, no: StreamNo, out: &mut Outbox) {
        let index = usize::from(no.0);
        self.streams[index].live = false;
        for track in 0..2 {
            if let Some(ear) = &mut self.streams[index].ears[track] {
                ear.finish();
            }
            self.take_tones(now, no, track, out);
        }
        self.streams[index].ears = [None, None];
        self.relayed_stream_ended(no, out);
        if self.keys_pending_on() == Some(no) {
            self.settle_keys(now, out);
        }
    }

    fn first_stream(&mut self, now: Now, no: StreamNo, mode: Mode, out: &mut Outbox) {
        let prompted = self.identity.direction == Direction::Inbound;
        match self.standing.status {
            ConsentStatus::Granted | ConsentStatus::Revoked if !prompted => self.put_through(now, out),
            ConsentStatus::Granted | ConsentStatus::Revoked | ConsentStatus::Pending => match mode {
                // A fork of a call that nobody decided: no gate.
                Mode::Capture => self.go_unrecorded(now, UnrecordedReason::SystemError, "a fork of a call without a decision", None, out),
                // Twilio asked for the TwiML twice: the second stream kills the first, so the question moves.
                Mode::Consent | Mode::Stay => self.ask(now, no, out),
            },
        }
    }

    fn stream_ended(&mut self, now: Now, no: StreamNo, out: &mut Outbox) {
        let index = usize::from(no.0);
        if !self.streams.get(index).is_some_and(|stream| stream.live) {
            return;
        }
        self.fall_silent(now, no, out);
        let mode = self.streams[index].mode;
        match &mut self.state {
            _ if self.hung_up_by.is_some() => self.part_without_streams(now, out),
            State::Asking(asking) if asking.stream == no && self.told => asking.word_by = Some(now.tick.plus_ms(WORD_WITHIN_MS)),
            State::Asking(asking) if asking.stream == no => self.abandoned_by(now, out),
            State::Asking(_) | State::Created | State::Over => {}
            State::Sealing(_) => {}
            State::Open(_) => self.talk_ended(now, no, mode, out),
            State::Refused(_) => self.over_without_streams(now, out),
        }
        out.effects.push(Effect::Changed);
    }

    /// We close, not the client: that is no hang-up, and the rest of the call goes unrecorded (P6).
    fn garbled(&mut self, now: Now, no: StreamNo, out: &mut Outbox) {
        let why = "the stream carried what no media stream carries";
        if self.told || self.joins(no) {
            self.stream_lost(now, no, why, out);
            return;
        }
        match &self.state {
            State::Asking(asking) if asking.stream == no => self.go_unrecorded(now, UnrecordedReason::SystemError, why, None, out),
            State::Open(open) if open.recorded == Some(no) => {
                self.reason = Some(UnrecordedReason::SystemError);
                self.audit(now, EventKind::CallUnrecorded, serde_json::json!({ "reason": UnrecordedReason::SystemError, "why": why }), out);
            }
            State::Created | State::Asking(_) | State::Sealing(_) | State::Open(_) | State::Refused(_) | State::Over => {}
        }
        self.stream_ended(now, no, out);
    }

    // === what every phase needs ===

    fn marked(&mut self, no: StreamNo, play: u32, out: &mut Outbox) {
        self.bot_marked(no, play, out);
        let Some(clock) = self.streams.get(usize::from(no.0)).map(|stream| stream.clock) else { return };
        if let Some(playback) = self.playback() {
            playback.marked(play, clock);
        }
    }

    fn playback(&mut self) -> Option<&mut Playback> {
        match &mut self.state {
            State::Asking(asking) => Some(&mut asking.playback),
            State::Open(open) => open.closing.as_mut(),
            State::Refused(refused) => refused.closing.as_mut(),
            State::Created | State::Sealing(_) | State::Over => None,
        }
    }

    fn play(&mut self, now: Now, no: StreamNo, line: Line, out: &mut Outbox) -> Playback {
        self.plays += 1;
        let prompt = self.settings.prompts.prompt(self.language, line);
        let stream = &self.streams[usize::from(no.0)];
        let clock = (stream.clock != Place(0)).then_some(stream.clock);
        Playback::begin(prompt, self.plays, no, clock, now.tick, &mut out.effects)
    }

    /// Closing lines are played where the client listens; a one-way fork cannot play.
    fn stream_that_plays(&self) -> Option<StreamNo> {
        let index = self.streams.iter().rposition(|stream| stream.live && stream.mode != Mode::Capture && !stream.silent)?;
        u8::try_from(index).ok().map(StreamNo)
    }

    fn record(&mut self, now: Now, status: ConsentStatus, method: Method, actor: Actor, evidence: serde_json::Value) -> ConsentRecord {
        self.records += 1;
        ConsentRecord {
            id: format!("{}-c{}", self.identity.call_id, self.records),
            org_id: self.identity.org_id.clone(),
            client_id: self.identity.client_id.clone(),
            call_id: Some(self.identity.call_id.clone()),
            status,
            method,
            language_code: self.language.code().to_owned(),
            prompt_version: self.consent.prompt_version.clone(),
            actor,
            at: now.wall,
            reason: None,
            evidence: evidence.into(),
            policy_version: self.ruling.as_ref().map(|ruling| ruling.version.clone()),
            policy_basis: self.ruling.as_ref().map(|ruling| ruling.basis.clone()),
        }
    }

    fn audit(&self, now: Now, kind: EventKind, detail: serde_json::Value, out: &mut Outbox) {
        self.audit_by(now, kind, Actor::System, detail, out);
    }

    fn audit_by(&self, now: Now, kind: EventKind, actor: Actor, detail: serde_json::Value, out: &mut Outbox) {
        out.effects.push(Effect::Audit(Box::new(Event {
            org_id: self.identity.org_id.clone(),
            kind,
            actor,
            call_id: Some(self.identity.call_id.clone()),
            client_id: Some(self.identity.client_id.clone()),
            at: now.wall,
            position: self.position(),
            detail,
        })));
    }

    fn position(&self) -> Option<Position> {
        // The one that is captured, or was; before that, the newest that anything is wanted of.
        let concerned = self.concerned.and_then(|no| self.streams.get(usize::from(no.0)));
        let stream = concerned.or_else(|| self.streams.iter().rfind(|stream| stream.live)).or(self.streams.last())?;
        Some(Position { stream_sid: stream.sid.clone(), sequence: stream.sequence, timestamp_ms: stream.clock.media_time().0 })
    }

    fn over(&mut self, now: Now, out: &mut Outbox) {
        if matches!(self.state, State::Over) {
            return;
        }
        self.state = State::Over;
        self.hung_up_by = None;
        self.ended_at = Some(now.wall);
        self.turn_all_away(now, out);
        out.effects.extend([Effect::Changed, Effect::Over]);
    }

    fn turn_all_away(&mut self, now: Now, out: &mut Outbox) {
        for index in 0..self.streams.len() {
            if self.streams[index].live {
                self.turn_away(now, index, out);
            }
        }
    }

    /// Twilio says that the call is over. Its word may overtake what the streams still carry, and the client's last key is in that (P2).
    fn hung_up(&mut self, now: Now, out: &mut Outbox) {
        self.hung_up_by.get_or_insert(now.tick.plus_ms(LAST_WORDS_MS));
        self.part_without_streams(now, out);
    }

    /// Hung up, and the last stream has been heard out.
    fn part_without_streams(&mut self, now: Now, out: &mut Outbox) {
        if self.streams.iter().any(|stream| stream.live) {
            return;
        }
        self.hear_out(now, out);
        self.settle_keys(now, out);
        match &self.state {
            State::Asking(_) => self.abandoned_by(now, out),
            State::Open(open) => {
                if self.told && open.recorded.is_none() && !open.begun {
                    self.reason = Some(UnrecordedReason::SystemError);
                }
                self.end_recording_with_everything(now, out);
                self.over(now, out);
            }
            // Twilio calls `completed` what was answered: somebody was there, and was never heard to answer the question.
            State::Created if self.told => self.abandoned_by(now, out),
            State::Sealing(_) if self.told => {
                self.reason = Some(UnrecordedReason::SystemError);
                self.over(now, out);
            }
            State::Created | State::Sealing(_) | State::Refused(_) | State::Over => self.over(now, out),
        }
    }

    fn shut_down(&mut self, now: Now, out: &mut Outbox) {
        if matches!(self.state, State::Created) && self.heard_by.is_some() {
            // It still rings, or waits at Twilio: the next process answers for it.
            out.effects.push(Effect::Over);
            return;
        }
        self.hear_out(now, out);
        self.settle_keys(now, out);
        if matches!(self.state, State::Open(_)) {
            self.end_recording_with_everything(now, out);
        } else if !matches!(self.state, State::Over | State::Refused(_)) {
            self.reason = Some(UnrecordedReason::SystemError);
            self.audit(now, EventKind::CallUnrecorded, serde_json::json!({ "reason": "SYSTEM_ERROR", "why": "the gateway stopped" }), out);
        }
        self.over(now, out);
    }

    fn wake(&mut self, now: Now, out: &mut Outbox) {
        if self.hung_up_by.is_some_and(|by| now.tick >= by) {
            self.turn_all_away(now, out);
            self.part_without_streams(now, out);
        }
        if self.keys_due().is_some_and(|by| now.tick >= by) {
            self.hear_out(now, out);
            self.settle_keys(now, out);
        }
        for index in 0..self.streams.len() {
            let stream = &mut self.streams[index];
            let quiet_ms = now.tick.ms_since(stream.last_media);
            if !stream.live || quiet_ms < DEAD_AFTER_MS {
                continue;
            }
            let newly = !stream.silent;
            stream.silent = true;
            let Ok(no) = u8::try_from(index) else { continue };
            if newly {
                self.line_went_dead(now, StreamNo(no), out);
            }
            if quiet_ms >= LOST_AFTER_MS {
                out.effects.push(Effect::Close { stream: StreamNo(no) });
                self.stream_lost(now, StreamNo(no), "the client's stream carried nothing any more", out);
            }
        }
        match &self.state {
            State::Sealing(sealing) if now.tick >= sealing.by => self.not_sealed(now, NotSealed::Unavailable, out),
            State::Asking(asking) if asking.word_by.is_some_and(|by| now.tick >= by) => self.abandoned_by(now, out),
            State::Open(open) if open.fork_by.is_some_and(|by| now.tick >= by) => self.fork_never_came(now, out),
            State::Open(open) if open.pauses.ends_by().is_some_and(|by| now.tick >= by) => self.pauses_expire(now, out),
            State::Open(_) | State::Refused(_) if self.transfers.by().is_some_and(|by| now.tick >= by) => self.party_never_came(now, out),
            State::Created if self.heard_by.is_some_and(|by| now.tick >= by) => self.unreached(now, Unreached::Unheard, out),
            State::Refused(_) if self.rests_until().is_some_and(|by| now.tick >= by) => self.over(now, out),
            State::Created | State::Asking(_) | State::Sealing(_) | State::Open(_) | State::Refused(_) | State::Over => {}
        }
    }

    fn line_went_dead(&mut self, now: Now, no: StreamNo, out: &mut Outbox) {
        self.hear_out(now, out);
        match &mut self.state {
            State::Asking(asking) if asking.stream == no => {
                let why = "the line went dead while the client was being asked";
                self.called_elsewhere(now, no, why, out);
                if matches!(self.state, State::Asking(_)) {
                    self.go_unrecorded(now, UnrecordedReason::SystemError, why, None, out);
                }
                out.effects.push(Effect::Close { stream: no });
            }
            // Nothing more is coming that could turn out to be a no: what waits may go.
            State::Open(_) => self.line_is_quiet(now, out),
            State::Refused(_) | State::Sealing(_) | State::Asking(_) | State::Created | State::Over => {}
        }
        out.effects.push(Effect::Changed);
    }

    /// When to come back with [`Input::Wake`] if nothing else happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Tick> {
        let streams = self
            .streams
            .iter()
            .filter(|stream| stream.live)
            .map(|stream| stream.last_media.plus_ms(if stream.silent { LOST_AFTER_MS } else { DEAD_AFTER_MS }));
        let phase = match &self.state {
            State::Sealing(sealing) => Some(sealing.by),
            State::Open(open) => open.fork_by.into_iter().chain(open.pauses.ends_by()).min(),
            State::Created => self.heard_by,
            State::Refused(_) => self.rests_until(),
            State::Asking(asking) => asking.word_by,
            State::Over => None,
        };
        let relay = self.relay.as_ref().and_then(|relay| relay.deadline(&self.streams));
        streams.chain(phase).chain(relay).chain(self.transfers.by()).chain(self.hung_up_by).chain(self.keys_due()).min()
    }
}

impl Stream {
    /// Whose voice a track of this stream carries.
    const fn channel(&self, side: usize) -> Channel {
        match (self.leg, side) {
            (Channel::Client, 0) | (Channel::Other, 1) => Channel::Client,
            (Channel::Client | Channel::Other, _) => Channel::Other,
        }
    }
}
