//! A telephone line, Twilio's play-out buffer and a ledger for one call: enough world to drive the machine.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::golden::Golden;
use crate::engine::audio::frame::{Channel, StreamNo};
use crate::engine::audio::g711;
use crate::engine::audio::key::Key;
use crate::engine::audio::prompts::{Language, Line, library};
use crate::engine::call::{
    Bot, Call, CallIdentity, Effect, Handing, Input, LAST_WORDS_MS, Mode, NotSealed, Now, Outbox, Reach, Settings, Snapshot, Standing,
    StreamStart, ToBot, TransferNo,
};
use crate::engine::consent::{ConsentRecord, ConsentStatus, Direction, Grant, Method, Receipt};
use crate::engine::ledger::Committed;
use crate::engine::time::{MediaTime, Tick, WallTime};
use crate::engine::twilio::message::Track;

/// A line of ours, in English.
pub(super) fn prompt(line: Line) -> &'static [u8] {
    library().prompt(Language::EN, line).codes
}

/// How the ledger behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LedgerMood {
    Prompt,
    SlowMs(u64),
    Fails,
    Silent,
}

pub(crate) struct Rig {
    pub(crate) call: Call,
    pub(crate) out: Outbox,
    pub(crate) trace: String,
    /// (frame number sent, channel) in the order captured, and the codes.
    pub(crate) captured: Vec<(Channel, u64, Vec<u8>)>,
    pub(crate) closed: bool,
    pub(crate) over: bool,
    pub(crate) grants: u64,
    pub(crate) refusals: u64,
    /// What took a yes back that was none.
    pub(crate) annulled: Vec<ConsentRecord>,
    /// Frames captured while no grant was durable: must stay empty.
    pub(crate) too_early: u64,
    /// Frames captured that were said before the grant was durable, or in a pause, by their place: must stay empty.
    pub(crate) misplaced: u64,
    /// How far the two tracks of the newest stream have come, in samples, as its timestamps tell it.
    reached: [u64; 2],
    /// What must not be captured: of which stream, from and to where on its tracks. The last one is a pause in force, if one is.
    shut: Vec<(StreamNo, [u64; 2], [u64; 2])>,
    pub(crate) discarded: bool,
    /// How often sinks had to give back what they had been given.
    pub(crate) cut_backs: u64,
    pub(crate) mood: LedgerMood,
    pub(crate) marks_lie: bool,
    /// How a client who stands as granted came to it.
    pub(crate) standing_by: Method,
    /// Who serves the next stream.
    pub(crate) bot: Option<Bot>,
    /// Whether the other party comes on a leg of its own.
    pub(crate) bridged: bool,
    /// The transfer that the next stream names: the newest one that was asked for.
    pub(crate) transfer: Option<TransferNo>,
    /// What was said into streams since somebody looked, and how many samples in all.
    pub(crate) said: Vec<u8>,
    pub(crate) spoken: u64,
    /// What it was told.
    pub(crate) to_bot: Vec<ToBot>,
    now_us: u64,
    started: bool,
    pub(crate) sequence: u64,
    chunk: u64,
    pub(crate) media_ms: u64,
    queue: VecDeque<Queued>,
    pending: Vec<(u64, Grant)>,
    deadline: Option<Tick>,
    noise: u64,
    /// Everything that the machine put out, for traces that are kept.
    pub(crate) golden: Golden,
}

enum Queued {
    Audio(u64),
    Mark(u32),
}

impl Rig {
    pub(crate) fn new(settings: Settings, direction: Direction, status: ConsentStatus) -> Self {
        let identity = CallIdentity {
            call_id: "call".into(),
            call_sid: "CA1".into(),
            client_id: "client".into(),
            case_manager_id: "cm".into(),
            org_id: "org".into(),
            direction,
        };
        let now = Now { tick: Tick(1_000_000), wall: WallTime(1_790_000_000_000) };
        let standing = Standing { status, seen: u64::from(status != ConsentStatus::Pending) };
        Self {
            call: Call::new(identity, settings, standing, now),
            out: Outbox::default(),
            trace: String::new(),
            captured: Vec::new(),
            closed: false,
            over: false,
            grants: 0,
            refusals: 0,
            annulled: Vec::new(),
            too_early: 0,
            misplaced: 0,
            reached: [0; 2],
            shut: Vec::new(),
            discarded: false,
            cut_backs: 0,
            mood: LedgerMood::Prompt,
            marks_lie: false,
            standing_by: Method::Keypress,
            bot: None,
            bridged: false,
            transfer: None,
            said: Vec::new(),
            spoken: 0,
            to_bot: Vec::new(),
            now_us: now.tick.0,
            started: false,
            sequence: 1,
            chunk: 0,
            media_ms: 155,
            queue: VecDeque::new(),
            pending: Vec::new(),
            deadline: None,
            noise: 99,
            golden: Golden::default(),
        }
    }

    /// A call to a client, which this gateway has made.
    pub(crate) fn made(status: ConsentStatus) -> Self {
        Self::made_with(Settings::default(), status)
    }

    pub(crate) fn made_with(settings: Settings, status: ConsentStatus) -> Self {
        let mut rig = Self::new(settings, Direction::Outbound, status);
        let standing = Standing { status, seen: u64::from(status != ConsentStatus::Pending) };
        let call = Call::new(rig.call.identity().clone(), settings, standing, rig.now());
        rig.call = call.made(rig.now().wall, rig.now());
        rig.deadline = rig.call.deadline();
        rig
    }

    /// A call that a client makes, of which Twilio's webhooks tell.
    pub(crate) fn told(status: ConsentStatus) -> Self {
        let mut rig = Self::new(Settings::default(), Direction::Inbound, status);
        let standing = Standing { status, seen: u64::from(status != ConsentStatus::Pending) };
        rig.call = Call::new(rig.call.identity().clone(), Settings::default(), standing, rig.now()).told_of();
        rig
    }

    pub(crate) fn now(&self) -> Now {
        Now { tick: Tick(self.now_us), wall: WallTime(1_790_000_000_000 + (self.now_us / 1_000) as i64) }
    }

    pub(crate) fn state(&self) -> Snapshot {
        self.call.snapshot()
    }

    pub(crate) fn start(&mut self, mode: Mode) -> &mut Self {
        self.start_with(mode, [true, false], None)
    }

    pub(crate) fn start_with(&mut self, mode: Mode, tracks: [bool; 2], answered_by: Option<&str>) -> &mut Self {
        self.started = true;
        self.closed = false;
        // Each stream has a time line and numbers of its own.
        (self.sequence, self.chunk, self.media_ms) = (1, 0, 155);
        self.reached = [0; 2];
        let stream_sid = format!("MZ{}", self.call.next_stream().unwrap().0);
        let bot = self.bot.take();
        self.step(Input::StreamStarted(StreamStart {
            stream_sid,
            mode,
            tracks,
            leg: Channel::Client,
            answered_by: answered_by.map(str::to_owned),
            bot,
            bridged: self.bridged,
            transfer: self.transfer,
        }));
        self
    }

    /// The number of the client's newest chunk.
    pub(crate) fn chunk(&self) -> u64 {
        self.chunk
    }

    fn stream(&self) -> StreamNo {
        StreamNo(self.call.next_stream().map_or(7, |no| no.0 - 1))
    }

    /// A frame of the quiet noise a real line has.
    pub(crate) fn floor(&mut self) -> Vec<u8> {
        (0..160)
            .map(|_| {
                self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                g711::encode(((self.noise >> 33) % 61) as i16 - 30)
            })
            .collect()
    }

    /// `ms` of a quiet room, in frames of 20 ms in real time.
    pub(crate) fn quiet(&mut self, ms: u64) -> &mut Self {
        for _ in 0..ms / 20 {
            let codes = self.floor();
            self.frame(&codes);
        }
        self
    }

    pub(crate) fn say(&mut self, codes: &[u8]) -> &mut Self {
        for piece in codes.chunks(160) {
            self.frame(piece);
        }
        self
    }

    /// 20 ms pass on the wall and on the line; what is due of the play-out and of the ledger happens.
    pub(crate) fn frame(&mut self, codes: &[u8]) {
        self.pass(20);
        self.media(codes, Track::Inbound);
        self.play_out(20);
    }

    pub(crate) fn media(&mut self, codes: &[u8], track: Track) {
        self.sequence += 1;
        if track == Track::Inbound {
            self.chunk += 1;
        }
        let (sequence, chunk, timestamp) = (self.sequence, self.chunk, MediaTime(self.media_ms));
        if track == Track::Inbound {
            self.media_ms += codes.len() as u64 / 8;
        }
        self.raw(sequence, chunk, timestamp, codes, track);
    }

    pub(crate) fn raw(&mut self, sequence: u64, chunk: u64, timestamp: MediaTime, codes: &[u8], track: Track) {
        let stream = self.stream();
        let reached = &mut self.reached[track.index()];
        *reached = timestamp.0.saturating_mul(8).saturating_add(codes.len() as u64).max(*reached);
        self.step(Input::Media { stream, track, sequence, chunk, timestamp, codes });
    }

    /// Frames that never arrive: the media clock goes on without them.
    pub(crate) fn lose(&mut self, ms: u64) -> &mut Self {
        self.pass(ms);
        self.media_ms += ms;
        self.chunk += ms / 20;
        self.sequence += ms / 20;
        self.play_out(ms);
        self
    }

    /// Time passes on the wall alone.
    pub(crate) fn pass(&mut self, ms: u64) -> &mut Self {
        let until = self.now_us + ms * 1_000;
        while let Some(deadline) = self.deadline.filter(|deadline| deadline.0 <= until) {
            self.now_us = self.now_us.max(deadline.0);
            let before = self.deadline;
            self.step(Input::Wake);
            if self.deadline == before {
                break;
            }
        }
        self.now_us = until;
        let due: Vec<_> = self.pending.extract_if(.., |(at, _)| *at <= until).collect();
        for (_, grant) in due {
            self.answer(grant);
        }
        self
    }

    pub(crate) fn key(&mut self, symbol: char) -> &mut Self {
        self.sequence += 1;
        let sequence = self.sequence;
        self.key_at(sequence, symbol)
    }

    pub(crate) fn key_at(&mut self, sequence: u64, symbol: char) -> &mut Self {
        let stream = self.stream();
        self.step(Input::Dtmf { stream, sequence, key: Key::from_symbol(symbol).unwrap() });
        self
    }

    pub(crate) fn stop(&mut self) -> &mut Self {
        let stream = self.stream();
        self.step(Input::Stopped(stream));
        self
    }

    /// Twilio says that the call is over, and its streams say nothing more.
    pub(crate) fn hang_up(&mut self) -> &mut Self {
        self.step(Input::HungUp);
        self.pass(LAST_WORDS_MS)
    }

    pub(crate) fn step(&mut self, input: Input<'_>) {
        if let Input::Transfer { to, .. } = &input
            && let Ok(Handing::Captured(no) | Handing::Uncaptured(no)) = self.call.handing(to)
        {
            self.transfer = Some(no);
        }
        let now = self.now();
        let mut out = std::mem::take(&mut self.out);
        self.deadline = self.call.step(now, input, &mut out);
        let fresh: Vec<_> = out.captured.iter().map(|admitted| (admitted.channel(), admitted.at().0, admitted.codes().to_vec())).collect();
        for admitted in &out.captured {
            self.golden.captured(self.media_ms, admitted);
        }
        // A hole is taken for whole messages: half of one may lie between a place and what its timestamp says.
        const OFF: u64 = 80;
        self.misplaced += out
            .captured
            .iter()
            .filter(|admitted| {
                let (channel, at, end) = (admitted.channel().index(), admitted.at().0, admitted.at().0 + admitted.codes().len() as u64);
                self.shut.iter().any(|(stream, from, to)| {
                    *stream == admitted.stream() && end.saturating_sub(OFF) > from[channel] && at + OFF < to[channel]
                })
            })
            .count() as u64;
        if self.grants == 0 {
            self.too_early += fresh.len() as u64;
        }
        self.captured.extend(fresh);
        out.captured.clear();
        let effects = std::mem::take(&mut out.effects);
        self.to_bot.append(&mut out.to_bot);
        self.out = out;
        for effect in effects {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        let at = self.media_ms;
        self.golden.effect(at, &effect, &self.call);
        match effect {
            Effect::Play { from, to, prompt, .. } => {
                if from == 0 {
                    let _ = writeln!(self.trace, "{at:>6} plays {} {:?}", prompt.language.code(), prompt.line);
                }
                self.queue.push_back(Queued::Audio((to - from) as u64));
            }
            Effect::Beeped { .. } => {
                let _ = writeln!(self.trace, "{at:>6} beeps");
            }
            Effect::Say { said, .. } => {
                self.said.extend(&said.0);
                self.spoken += said.0.len() as u64;
                self.queue.push_back(Queued::Audio(said.0.len() as u64));
            }
            Effect::Beep { .. } => {
                let _ = writeln!(self.trace, "{at:>6} beeps");
                self.queue.push_back(Queued::Audio(1_600));
            }
            Effect::RelayBegins { bot, .. } => {
                let _ = writeln!(self.trace, "{at:>6} calls bot {bot}");
            }
            Effect::PartyWanted { here, .. } => {
                let _ = writeln!(self.trace, "{at:>6} calls the other party{}", if here { "" } else { " elsewhere" });
            }
            Effect::RelayEnds => {
                let _ = writeln!(self.trace, "{at:>6} hangs up on the bot");
            }
            Effect::Mark { play, .. } => self.queue.push_back(Queued::Mark(play)),
            Effect::Clear { .. } => {
                let _ = writeln!(self.trace, "{at:>6} clears");
                let marks: Vec<_> =
                    self.queue.drain(..).filter_map(|queued| if let Queued::Mark(play) = queued { Some(play) } else { None }).collect();
                for play in marks {
                    self.mark(play);
                }
            }
            Effect::Close { stream } => {
                let _ = writeln!(self.trace, "{at:>6} closes");
                self.closed = true;
                // As Twilio does: the stream stops. If the machine has ended it already, it does not mind.
                self.step(Input::Stopped(stream));
            }
            Effect::Seal(grant) => {
                let _ = writeln!(self.trace, "{at:>6} seals {:?}", grant.record.method);
                match self.mood {
                    LedgerMood::Prompt => self.answer(grant),
                    LedgerMood::SlowMs(ms) => self.pending.push((self.now_us + ms * 1_000, grant)),
                    LedgerMood::Fails => self.step(Input::NotSealed(NotSealed::Unavailable)),
                    LedgerMood::Silent => {}
                }
            }
            Effect::Recall => {
                let _ = writeln!(self.trace, "{at:>6} recalls");
                let (method, call_id) = (self.standing_by, Some("an earlier one".into()));
                let record = ConsentRecord { method, call_id, ..crate::engine::consent::testing::record("prior") };
                self.answer(Grant { record: record.into(), seen: 1 });
            }
            Effect::Refuse(record, reach) => {
                let and = if reach == Reach::Recording { ", and takes the recording back" } else { "" };
                let _ = writeln!(self.trace, "{at:>6} refuses {:?}{and}", record.method);
                self.refusals += 1;
            }
            Effect::Annul(record) => {
                let _ = writeln!(self.trace, "{at:>6} annuls {}", record.evidence.told()["annuls"].as_str().unwrap());
                self.annulled.push(*record);
            }
            Effect::Audit(event) => {
                let why = event.detail.get("why").and_then(serde_json::Value::as_str).unwrap_or_default();
                let _ = writeln!(self.trace, "{at:>6} audits {} {why}", event.kind.word());
            }
            Effect::RecordingBegins { .. } => {
                let _ = writeln!(self.trace, "{at:>6} records");
            }
            Effect::Paused { stream, reason, .. } => {
                self.shut.push((stream, self.reached, [u64::MAX; 2]));
                let _ = writeln!(self.trace, "{at:>6} pauses {reason}");
            }
            Effect::Transferred { view, .. } => {
                let _ = writeln!(self.trace, "{at:>6} transfers to {:?}", view.kind);
            }
            Effect::Resumed { .. } => {
                let now = self.now_on_the_line();
                if let Some((_, _, to)) = self.shut.last_mut() {
                    *to = now;
                }
                let _ = writeln!(self.trace, "{at:>6} resumes");
            }
            Effect::RecordedStream { .. } | Effect::Changed => {}
            Effect::CutBack { at: place, .. } => {
                self.cut_backs += 1;
                self.captured.retain(|(_, at, codes)| at + codes.len() as u64 <= place.0);
            }
            Effect::RecordingEnds(end) => {
                let _ = writeln!(self.trace, "{at:>6} ends {end:?}");
                if end == crate::engine::call::RecordingEnd::Discard {
                    self.discarded = true;
                    self.captured.clear();
                }
            }
            Effect::Over => {
                let _ = writeln!(self.trace, "{at:>6} over");
                self.over = true;
            }
        }
    }

    /// Of a track that is behind, the client's tells what is now.
    fn now_on_the_line(&self) -> [u64; 2] {
        [self.reached[0], self.reached[1].max(self.reached[0])]
    }

    fn answer(&mut self, grant: Grant) {
        self.grants += 1;
        if self.started {
            self.shut.push((self.stream(), [0; 2], self.now_on_the_line()));
        }
        let commit = Committed::after_fsync(self.grants, Some(grant.record.id.clone()));
        let receipt = Receipt::of(grant, &commit).unwrap();
        self.step(Input::Sealed(receipt));
    }

    fn play_out(&mut self, ms: u64) {
        let mut budget = ms * 8;
        while let Some(first) = self.queue.front_mut() {
            match first {
                Queued::Audio(left) if *left > budget && !self.marks_lie => {
                    *left -= budget;
                    return;
                }
                Queued::Audio(left) => {
                    budget = budget.saturating_sub(*left);
                    self.queue.pop_front();
                }
                Queued::Mark(play) => {
                    let play = *play;
                    self.queue.pop_front();
                    self.mark(play);
                }
            }
        }
    }

    fn mark(&mut self, play: u32) {
        self.sequence += 1;
        let stream = self.stream();
        self.step(Input::Mark { stream, play });
    }
}
