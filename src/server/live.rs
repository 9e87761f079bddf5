//! A live call: the engine's machine, and what its effects mean here. Decides nothing about consent.

use std::sync::Arc;

use subtle::ConstantTimeEq;
use tokio::sync::oneshot;

use super::ids;
use super::media::{MediaHandle, SocketKey, ToMedia};
use super::metrics;
use super::registry::{Announced, LiveCall, Registry};
use super::revocation;
use super::socket::{Heard, Word};
use super::world::World;
use crate::engine::audio::frame::{Channel, StreamNo};
use crate::engine::audio::prompts::Language;
use crate::engine::call::{
    Call, CallIdentity, Effect, Input, Mode, NotSealed, Outbox, Phase, RecordingEnd, RecordingState, Standing, StreamStart, Told,
};
use crate::engine::consent::keys::Answer;
use crate::engine::consent::{Actor, ConsentRecord, ConsentStatus, Direction, Queues, UnrecordedReason};
use crate::engine::ledger::{Event, EventKind};
use crate::engine::time::Tick;
use crate::engine::twilio::message::Start;
use crate::io::database::{LedgerFull, RecordingRow, Revocation, Work};
use crate::io::spool::{Lead, RecordingHead, SpoolFeed, SpoolStalled};

/// What only the thread can do.
pub(super) struct Outcome {
    /// Words for the call's sockets, in order.
    pub(super) words: Vec<(SocketKey, Word)>,
    /// The call is over.
    pub(super) over: bool,
}

pub(super) struct Live {
    call: Call,
    shared: Arc<LiveCall>,
    me: MediaHandle,
    feed: Option<SpoolFeed>,
    head: Option<Arc<RecordingHead>>,
    /// The socket of each stream.
    sockets: Vec<SocketKey>,
    deadline: Option<Tick>,
    last: Told,
    /// Twilio's id of it is written.
    is_named: bool,
    /// Who waits until what the keypad question brought is durable.
    waiting: Vec<oneshot::Sender<()>>,
}

/// Who a stream belongs to.
pub(super) fn who(start: &Start, registry: &Registry, world: &World) -> Result<CallIdentity, String> {
    if let Some(format) = &start.foreign_format {
        return Err(format!("its audio is {format}; only audio/x-mulaw at 8000 Hz is understood"));
    }
    let told = |name: &str| start.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let named = ["callId", "clientId", "caseManagerId", "orgId"].map(|name| (name, told(name).unwrap_or_default()));
    let mut named = named.into_iter().chain([("callSid", &*start.call_sid), ("streamSid", &*start.stream_sid)]);
    if let Some((name, _)) = named.find(|(_, id)| !ids::is_fit(id)) {
        return Err(format!("its {name} is longer than {} bytes, or has control characters", ids::ID_MAX));
    }
    if told("orgId").is_some_and(|org| !ids::is_key_part(org)) {
        return Err("its orgId cannot be part of an object's key".into());
    }
    if !matches!(told("mode"), None | Some("consent" | "stay" | "capture")) {
        return Err("its mode is none of consent, stay, capture".into());
    }
    if let Some(call_id) = told("callId") {
        if let Some(announced) = registry.announced(call_id) {
            let same: bool = told("token").unwrap_or_default().as_bytes().ct_eq(announced.token.as_bytes()).into();
            let same_call = announced.identity.call_sid.is_empty() || announced.identity.call_sid == start.call_sid;
            if !same || !same_call {
                return Err("its token is not the one its TwiML was given".into());
            }
            return Ok(CallIdentity { call_sid: start.call_sid.clone(), ..announced.identity });
        }
        if !world.unannounced {
            return Err("its callId is of no call of this gateway; was the gateway restarted?".into());
        }
    } else if !world.unannounced {
        return Err("it carries no callId and token, and CALLGATE_UNANNOUNCED is false".into());
    }
    let direction = match told("direction") {
        None | Some("INBOUND") => Direction::Inbound,
        Some("OUTBOUND") => Direction::Outbound,
        Some(_) => return Err("its direction is neither INBOUND nor OUTBOUND".into()),
    };
    if start.call_sid.is_empty() {
        return Err("its start names no callSid".into());
    }
    let call_id = registry.name(&start.call_sid, || ids::fresh("call"));
    if let Some(live) = registry.get(&call_id) {
        return Ok(live.identity.clone());
    }
    let text = |name: &str, default: &str| told(name).unwrap_or(default).to_owned();
    Ok(CallIdentity {
        call_id,
        call_sid: start.call_sid.clone(),
        client_id: text("clientId", &format!("unknown-{}", start.call_sid)),
        case_manager_id: text("caseManagerId", ""),
        org_id: text("orgId", "default"),
        direction,
    })
}

impl Live {
    pub(super) fn new(identity: CallIdentity, standing: Standing, announced: Option<&Announced>, world: &World, me: &MediaHandle) -> Self {
        let now = world.clocks.now();
        let is_named = !identity.call_sid.is_empty();
        let call = Call::new(identity, world.settings, standing, now);
        let call = match announced {
            None => call,
            Some(Announced { made: None, .. }) => call.told_of(),
            Some(Announced { made: Some(made), .. }) => call.made(made.at, now),
        };
        let snapshot = call.snapshot();
        let last = snapshot.told();
        world.metrics.calls.inc();
        Self {
            shared: Arc::new(LiveCall::new(snapshot, me.clone())),
            me: me.clone(),
            feed: None,
            head: None,
            sockets: Vec::with_capacity(2),
            // A call that was made may never be heard of again.
            deadline: call.deadline(),
            call,
            last,
            is_named,
            waiting: Vec::new(),
        }
    }

    /// What the keypad question brought. Whoever waits is told when it is durable, or when nothing of it needs to be.
    pub(super) fn pad(
        &mut self,
        world: &World,
        outbox: &mut Outbox,
        language: Language,
        answer: Answer,
        done: oneshot::Sender<()>,
    ) -> Option<Outcome> {
        self.waiting.push(done);
        let outcome = self.step(world, outbox, Input::Pad { language, answer });
        if !self.call.is_sealing() {
            self.waiting.clear();
        }
        outcome
    }

    /// The ledger has answered for a yes.
    pub(super) fn is_settled(&mut self) {
        self.waiting.clear();
    }

    pub(super) fn shared(&self) -> Arc<LiveCall> {
        Arc::clone(&self.shared)
    }

    pub(super) fn call_id(&self) -> &str {
        &self.shared.identity.call_id
    }

    /// Frames that came while the database was asked.
    pub(super) fn missed(&mut self, frames: u64) {
        self.call.missed(frames);
    }

    /// A socket becomes the call's next stream.
    pub(super) fn begin(&mut self, socket: SocketKey) -> Option<StreamNo> {
        let no = self.call.next_stream()?;
        self.sockets.push(socket);
        Some(no)
    }

    pub(super) fn start(&mut self, world: &World, outbox: &mut Outbox, start: &Start) -> Option<Outcome> {
        let told = |name: &str| start.parameters.get(name).map(String::as_str);
        let mode = match told("mode") {
            Some("stay") => Mode::Stay,
            Some("capture") => Mode::Capture,
            Some(_) | None => Mode::Consent,
        };
        let leg = if told("leg") == Some("other") { Channel::Other } else { Channel::Client };
        let answered_by = told("answeredBy").filter(|by| !by.is_empty()).map(str::to_owned);
        let tracks = if mode == Mode::Capture { start.tracks } else { [true, start.tracks[1]] };
        tracing::info!(call.id = %self.shared.identity.call_id, stream.sid = %start.stream_sid, ?mode, "call: stream begins");
        let begins = StreamStart { stream_sid: start.stream_sid.clone(), mode, tracks, leg, answered_by };
        self.step(world, outbox, Input::StreamStarted(begins))
    }

    pub(super) fn hear(&mut self, world: &World, outbox: &mut Outbox, stream: StreamNo, heard: &Heard, codes: &[u8]) -> Option<Outcome> {
        let input = match *heard {
            Heard::Media(track, sequence, chunk, timestamp) => Input::Media { stream, track, sequence, chunk, timestamp, codes },
            Heard::Dtmf { sequence, key } => Input::Dtmf { stream, sequence, key },
            Heard::Mark(play) => Input::Mark { stream, play },
            Heard::Stop => Input::Stopped(stream),
            Heard::Start(_) => return None,
        };
        self.step(world, outbox, input)
    }

    /// One input: the machine decides, this performs. `None` if nothing is left for the thread to do.
    pub(super) fn step(&mut self, world: &World, outbox: &mut Outbox, input: Input<'_>) -> Option<Outcome> {
        let now = world.clocks.now();
        self.deadline = self.call.step(now, input, outbox);
        let mut stalled = false;
        if !outbox.captured.is_empty() {
            if let Some(feed) = &mut self.feed {
                stalled = feed.push(now.tick, &outbox.captured).is_err();
            }
            outbox.captured.clear();
        }
        let (captured, withheld) = self.call.counts();
        self.shared.count(captured, withheld, self.call.captured_up_to().0);
        if outbox.effects.is_empty() && !stalled {
            return None;
        }
        let mut outcome = Outcome { words: Vec::new(), over: false };
        let mut effects = std::mem::take(&mut outbox.effects);
        for effect in effects.drain(..) {
            stalled |= self.perform(world, effect, now.tick, &mut outcome).is_err();
        }
        outbox.effects = effects;
        if stalled {
            self.feed = None;
            self.give_up_recording(world);
            if let Some(more) = self.step(world, outbox, Input::SinkFailed) {
                outcome.words.extend(more.words);
                outcome.over |= more.over;
            }
        }
        Some(outcome)
    }

    /// The spool takes no more: what it has stays on disk and is stored when the call is over.
    fn give_up_recording(&self, world: &World) {
        let Some(head) = &self.head else { return };
        let why = "the spool could not take the audio; what it has is kept and stored".to_owned();
        let mut row = row(head, RecordingState::Failed);
        row.reason = Some(why.clone());
        submit(world, Work::Recording(Box::new(row), None));
        self.shared.conclude(RecordingState::Failed, Some(why));
    }

    pub(super) fn is_due(&mut self, now: Tick) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    pub(super) fn tick(&mut self, now: Tick) -> Result<(), SpoolStalled> {
        self.feed.as_mut().map_or(Ok(()), |feed| feed.tick(now))
    }

    /// The call is over: its last state is written; what is recorded of it lives on until it is stored.
    pub(super) fn finish(self, world: &World, registry: &Arc<Registry>) {
        let (captured, withheld) = self.call.counts();
        world.metrics.captured.inc_by(captured[0] + captured[1]);
        world.metrics.withheld.inc_by(withheld[0] + withheld[1]);
        let settled = self.shared.let_go();
        write(world, &self.shared);
        if settled {
            let (registry, ledger, shared) = (Arc::clone(registry), world.database.ledger().clone(), self.shared());
            world.tokio.spawn(async move {
                ledger.flush().await;
                registry.remove(&shared);
            });
        }
    }

    fn perform(&mut self, world: &World, effect: Effect, now: Tick, outcome: &mut Outcome) -> Result<(), SpoolStalled> {
        match effect {
            Effect::Play { stream, prompt, from, to } => self.say(stream, Word::Play(&prompt.codes[from..to]), outcome),
            Effect::Mark { stream, play } => self.say(stream, Word::Mark(play), outcome),
            Effect::Clear { stream } => self.say(stream, Word::Clear, outcome),
            Effect::Close { stream } => self.say(stream, Word::Close, outcome),
            Effect::Seal(grant) => {
                let then = self.answer();
                submit(world, Work::Grant(grant, then));
            }
            Effect::Recall => {
                let identity = &self.shared.identity;
                let (org_id, client_id) = (identity.org_id.clone(), identity.client_id.clone());
                submit(world, Work::Recall { org_id, client_id, then: self.answer() });
            }
            Effect::Refuse(record) => {
                tracing::info!(call.id = %self.shared.identity.call_id, "call: the client said no");
                refuse(world, *record, std::mem::take(&mut self.waiting));
            }
            Effect::Audit(event) => submit(world, Work::Audit(*event, None)),
            Effect::RecordingBegins { grant, record, lead } => {
                let lead = lead.map(|(prompt, samples)| Lead {
                    language: prompt.language.code().to_owned(),
                    version: prompt.version.clone(),
                    sha256: prompt.sha256.clone(),
                    samples: samples as u64,
                });
                let head = Arc::new(self.new_head(world, grant.0, *record, lead));
                self.head = Some(Arc::clone(&head));
                submit(world, Work::Recording(Box::new(row(&head, RecordingState::Active)), None));
                submit(
                    world,
                    Work::Audit(event(&head, EventKind::RecordingStarted, serde_json::json!({ "recordingId": head.recording_id })), None),
                );
                self.feed = Some(world.spool.begin(head, now)?);
            }
            Effect::RecordedStream { stream, stream_sid } => {
                if let Some(feed) = &mut self.feed {
                    feed.stream_began(now, stream, stream_sid);
                }
            }
            Effect::Paused { stream, at, reason } => {
                if let Some(feed) = &mut self.feed {
                    feed.paused(now, stream, at, Some(reason));
                }
            }
            Effect::Resumed { stream, at } => {
                if let Some(feed) = &mut self.feed {
                    feed.paused(now, stream, at, None);
                }
            }
            Effect::CutBack { stream, at } => {
                if let Some(feed) = &mut self.feed {
                    feed.cut_back(stream, at)?;
                }
            }
            Effect::RecordingEnds(end) => {
                if let Some(feed) = self.feed.take() {
                    match end {
                        RecordingEnd::Keep => feed.seal()?,
                        RecordingEnd::Discard => feed.discard()?,
                    }
                }
            }
            Effect::Changed => self.publish(world),
            Effect::Over => {
                self.publish(world);
                outcome.over = true;
            }
        }
        Ok(())
    }

    fn say(&self, stream: StreamNo, word: Word, outcome: &mut Outcome) {
        if let Some(socket) = self.sockets.get(usize::from(stream.0)) {
            outcome.words.push((*socket, word));
        }
    }

    fn answer(&self) -> crate::io::database::Then<Result<crate::engine::consent::Receipt<crate::engine::consent::Grant>, NotSealed>> {
        let (me, call_id) = (self.me.clone(), self.shared.identity.call_id.clone());
        Box::new(move |receipt| me.send(ToMedia::Sealed(call_id, receipt)))
    }

    fn publish(&mut self, world: &World) {
        let snapshot = self.call.snapshot();
        let seen = snapshot.told();
        let decided = |outcome| {
            world.metrics.decisions.get_or_create(&metrics::Outcome { outcome }).inc();
        };
        if seen != self.last {
            tracing::info!(call.id = %self.shared.identity.call_id, phase = ?seen.phase, consent = ?seen.consent, recording = ?seen.recording, "call: changed");
            match (self.last.phase, seen.phase, seen.consent) {
                (Phase::Prompting | Phase::AwaitingResponse | Phase::Created, Phase::Connected, ConsentStatus::Revoked)
                    if snapshot.unrecorded_reason != Some(UnrecordedReason::PriorOptOut) =>
                {
                    decided("declined")
                }
                (_, Phase::Abandoned, _) => decided("abandoned"),
                (_, Phase::Connected, ConsentStatus::Granted) if self.last.consent != ConsentStatus::Granted => decided("granted"),
                (Phase::Prompting | Phase::AwaitingResponse, Phase::Connected, ConsentStatus::Pending)
                    if snapshot.unrecorded_reason.is_some() =>
                {
                    decided("none");
                }
                _ => {}
            }
        }
        let is_named = !snapshot.identity.call_sid.is_empty();
        let is_new = seen != self.last || is_named != self.is_named;
        (self.last, self.is_named) = (seen, is_named);
        self.shared.publish(snapshot, self.head.as_ref().map(|head| head.recording_id.as_str()));
        if is_new {
            write(world, &self.shared);
        }
    }

    fn new_head(&self, world: &World, grant_seq: u64, consent: ConsentRecord, lead: Option<Lead>) -> RecordingHead {
        let identity = &self.shared.identity;
        RecordingHead {
            recording_id: ids::fresh("rec"),
            call_id: identity.call_id.clone(),
            call_sid: self.call.identity().call_sid.clone(),
            client_id: identity.client_id.clone(),
            org_id: identity.org_id.clone(),
            grant_seq,
            consent,
            format: world.format.word().to_owned(),
            started_at: world.clocks.now().wall.to_string(),
            lead,
            pauses: world.pause_gaps,
        }
    }
}

/// A recording's row as it begins.
pub(super) fn row(head: &RecordingHead, state: RecordingState) -> RecordingRow {
    RecordingRow {
        id: head.recording_id.clone(),
        call_id: head.call_id.clone(),
        org_id: head.org_id.clone(),
        client_id: head.client_id.clone(),
        state,
        grant_seq: head.grant_seq,
        object_key: None,
        format: head.format.clone(),
        sha256: None,
        bytes: None,
        duration_ms: None,
        reason: None,
        created_at: head.started_at.clone(),
        finished_at: None,
    }
}

/// A line about a recording.
pub(super) fn event(head: &RecordingHead, kind: EventKind, detail: serde_json::Value) -> Event {
    Event {
        org_id: head.org_id.clone(),
        kind,
        actor: Actor::System,
        call_id: Some(head.call_id.clone()),
        client_id: Some(head.client_id.clone()),
        at: crate::io::clock::wall(),
        position: None,
        detail,
    }
}

/// A call's newest state on its way to the database, and the event that it is, if it tells something new.
pub(super) fn write(world: &World, call: &LiveCall) {
    call.hand_over(|row| submit(world, Work::Call(Box::new(row))));
}

/// Hands work to the ledger. If its queue is full, whoever waits is told so at once: capture fails closed.
pub(super) fn submit(world: &World, work: Work) {
    if let Err(LedgerFull(work)) = world.database.ledger().append(work) {
        world.metrics.ledger_full.inc();
        tracing::error!("ledger: queue full; the database cannot keep up");
        match *work {
            Work::Grant(_, then) | Work::Recall { then, .. } => then(Err(NotSealed::Unavailable)),
            Work::Audit(_, Some(then)) | Work::Recording(_, Some(then)) => then(false),
            Work::Act(_, then) => then(None),
            Work::Place(_, then) => then(None),
            Work::Outbox(work) => work.refuse(),
            Work::Audit(_, None) | Work::Recording(_, None) | Work::Call(_) | Work::Answer(_) | Work::Checkpoint(_) => {}
        }
    }
}

/// A no is written until it is written; the gate is shut already. What it queues for deletion is queued by the same commit. Whoever
/// is `waiting` hears of it then.
fn refuse(world: &World, record: ConsentRecord, waiting: Vec<oneshot::Sender<()>>) {
    let queues = Queues::of(&record, world.decline_queues);
    let (world, tokio) = (world.clone(), world.tokio.clone());
    tokio.spawn(async move {
        revocation::write(&world, Revocation { record, queues }).await;
        drop(waiting);
    });
}
