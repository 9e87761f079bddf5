//! A live call: the engine's machine, and what its effects mean here. Decides nothing about consent.

use std::sync::Arc;

use subtle::ConstantTimeEq;
use tokio::sync::oneshot;

use super::bridge::{self, Party as OtherParty};
use super::ids;
use super::media::{MediaHandle, SocketKey, ToMedia};
use super::metrics;
use super::noes::Held;
use super::registry::{Announced, LiveCall, Registry};
use super::relay;
use super::scribe::{ScribeBehind, ScribeFeed};
use super::socket::{Heard, Word};
use super::world::World;
use crate::engine::audio::beep;
use crate::engine::audio::frame::{Channel, StreamNo};
use crate::engine::audio::prompts::Language;
use crate::engine::call::{
    BotSaid, Call, CallIdentity, Effect, Handing, Input, Mode, NotHanded, NotSealed, Outbox, Party, Phase, Reach, RecordingEnd,
    RecordingState, Standing, StreamStart, ToBot, Told, TransferNo,
};
use crate::engine::consent::keys::Answer;
use crate::engine::consent::{Actor, ConsentRecord, ConsentStatus, Direction, Queues, UnrecordedReason};
use crate::engine::ledger::{Event, EventKind};
use crate::engine::policy::{Places, Ruling};
use crate::engine::time::Tick;
use crate::engine::twilio::message::{Start, Track};
use crate::io::database::{LedgerFull, RecordingRow, Revocation, Work};
use crate::io::relay::BotLine;
use crate::io::spool::{Lead, RecordingHead, SpoolFeed, SpoolStalled, SpooledTransfer};

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
    /// The transcript's, if there is a recogniser. It costs nobody else anything when it fails.
    scribe: Option<ScribeFeed>,
    head: Option<Arc<RecordingHead>>,
    /// The socket of each stream.
    sockets: Vec<SocketKey>,
    deadline: Option<Tick>,
    last: Told,
    /// Twilio's id of it is written.
    is_named: bool,
    /// The bot that serves the client.
    bot: Option<BotLine>,
    /// What it is told first.
    bot_start: Option<Start>,
    /// The client's stream, once the other party is wanted on a leg of its own; and that party, once it has come.
    bridged: Option<StreamNo>,
    party: Option<OtherParty>,
    /// Twilio's id of the call to that party, as soon as Twilio has placed it.
    party_sid: Option<String>,
    /// That party and the client meet in the conference, and not here.
    meets_elsewhere: bool,
    /// The client's leg was hung up, and not only lost.
    hung_up: bool,
    wants_party: bool,
    /// Who waits until what the keypad question brought is durable.
    waiting: Vec<oneshot::Sender<()>>,
    /// Nobody can tell yet whether the call is this gateway's: no yes opens its gate.
    nobodys: bool,
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
    if told("orgId").is_some_and(|org| !ids::is_org(org)) {
        return Err(format!("its orgId is not {}", ids::ORG_MEANT));
    }
    if !matches!(told("mode"), None | Some("consent" | "stay" | "capture" | "party")) {
        return Err("its mode is none of consent, stay, capture, party".into());
    }
    if told("mode") == Some("party") {
        return party(told("callId").unwrap_or_default(), told("token").unwrap_or_default(), registry, world);
    }
    if told("bridge").is_some() && (told("mode") != Some("stay") || told("relay").is_some()) {
        return Err("it is to be bridged, and its mode is not stay, or a bot is to serve it".into());
    }
    match told("relay") {
        Some(_) if told("mode") != Some("stay") => return Err("it names a relay, and its mode is not stay".into()),
        Some(name) if world.relays.get(name).is_none() => return Err("its relay is none of the configuration's".into()),
        Some(_) | None => {}
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
    if world.is_draining() && registry.id_of(&start.call_sid).is_none() {
        return Err("it is of a new call, and the gateway is stopping".into());
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

/// Whose other party a stream is.
fn party(call_id: &str, token: &str, registry: &Registry, world: &World) -> Result<CallIdentity, String> {
    if let Some(announced) = registry.announced(call_id) {
        let same: bool = token.as_bytes().ct_eq(announced.party_token.as_bytes()).into();
        return if same { Ok(announced.identity) } else { Err("its token is not the one its TwiML was given".into()) };
    }
    let live = registry.get(call_id).filter(|_| world.unannounced);
    live.map(|live| live.identity.clone()).ok_or_else(|| "it is the other party of no call of this gateway".into())
}

/// What a stream's call is held to, if no webhook has told of it: its parameters may say where the client lives.
pub(super) fn ruling(start: Option<&Start>, world: &World) -> Ruling {
    let client_region = start.and_then(|start| start.parameters.get("clientRegion")).map(String::as_str);
    world.ruling(Places { client_region, ..Places::default() })
}

impl Live {
    pub(super) fn new(
        identity: CallIdentity,
        standing: Standing,
        ruling: Ruling,
        announced: Option<&Announced>,
        world: &World,
        me: &MediaHandle,
    ) -> Self {
        let now = world.clocks.now();
        let is_named = !identity.call_sid.is_empty();
        let call = Call::new(identity, world.settings, standing, now).under(ruling);
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
            scribe: None,
            head: None,
            sockets: Vec::with_capacity(2),
            // A call that was made may never be heard of again.
            deadline: call.deadline(),
            call,
            last,
            is_named,
            bot: None,
            bot_start: None,
            bridged: None,
            party: None,
            party_sid: None,
            meets_elsewhere: false,
            hung_up: false,
            wants_party: false,
            waiting: Vec::new(),
            nobodys: false,
        }
    }

    pub(super) const fn is_nobodys(&mut self) {
        self.nobodys = true;
    }

    pub(super) const fn is_ours(&mut self) {
        self.nobodys = false;
    }

    pub(super) const fn may_capture(&self) -> bool {
        !self.nobodys
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

    /// Hands the call over, if it may be and was not before: what that comes to.
    pub(super) fn transfer(
        &mut self,
        world: &World,
        outbox: &mut Outbox,
        by: Actor,
        to: Party,
    ) -> (Result<Handing, NotHanded>, Option<Outcome>) {
        let handing = self.call.handing(&to);
        (handing, self.step(world, outbox, Input::Transfer { by, to }))
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
    pub(super) fn missed(&mut self, stream: StreamNo, frames: [u64; 2]) {
        self.call.missed(stream, frames);
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
        let bot = told("relay").and_then(|name| world.relays.get(name)).map(|relay| relay.bot.clone());
        if bot.is_some() {
            self.bot_start = Some(start.clone());
        }
        let bridged = told("bridge").is_some_and(|bridge| !bridge.is_empty());
        let transfer = told("transfer").and_then(|no| no.parse().ok()).map(TransferNo);
        let begins = StreamStart { stream_sid: start.stream_sid.clone(), mode, tracks, leg, answered_by, bot, bridged, transfer };
        self.step(world, outbox, Input::StreamStarted(begins))
    }

    pub(super) fn hear(&mut self, world: &World, outbox: &mut Outbox, stream: StreamNo, heard: &Heard, codes: &[u8]) -> Option<Outcome> {
        let input = match *heard {
            Heard::Media(track, sequence, chunk, timestamp) => Input::Media { stream, track, sequence, chunk, timestamp, codes },
            Heard::Dtmf { sequence, key } => Input::Dtmf { stream, sequence, key },
            Heard::Mark(play) => Input::Mark { stream, play },
            Heard::Stop => {
                self.hung_up |= self.bridged == Some(stream);
                Input::Stopped(stream)
            }
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
            self.transcribe(|scribe| scribe.push(now.tick, &outbox.captured));
            outbox.captured.clear();
        }
        let (captured, withheld) = self.call.counts();
        self.shared.count(captured, withheld, self.call.captured_up_to().0);
        if outbox.effects.is_empty() && outbox.to_bot.is_empty() && !stalled {
            return None;
        }
        let mut outcome = Outcome { words: Vec::new(), over: false };
        let mut effects = std::mem::take(&mut outbox.effects);
        for effect in effects.drain(..) {
            stalled |= self.perform(world, effect, now.tick, &mut outcome).is_err();
        }
        outbox.effects = effects;
        // After the effects: they may be what calls the bot.
        match &mut self.party {
            Some(party) => {
                for message in outbox.to_bot.drain(..) {
                    match message {
                        ToBot::Audio(piece) => party.hear(piece.codes()),
                        ToBot::Line(codes) => party.speak_over(codes),
                        ToBot::Key(_) | ToBot::Mark(_) => {}
                    }
                }
                let socket = party.socket;
                party.due(now.tick, |said| outcome.words.push((socket, Word::Say(said))));
            }
            None => relay::tell(self.bot.as_ref(), &mut outbox.to_bot, world),
        }
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
        let row = RecordingRow { reason: Some(why.clone()), ..row(head, RecordingState::Failed, world.spool_id.as_deref()) };
        submit(world, Work::Recording(Box::new(row), None));
        self.shared.conclude(RecordingState::Failed, Some(why));
    }

    pub(super) fn is_due(&mut self, now: Tick) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    pub(super) fn tick(&mut self, now: Tick) -> Result<(), SpoolStalled> {
        self.transcribe(|scribe| scribe.tick(now));
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
            Effect::Beep { stream, at } => {
                self.say(stream, Word::Play(beep::codes()), outcome);
                if let Some(feed) = &mut self.feed {
                    feed.beeped(now, stream, at);
                }
            }
            Effect::Beeped { stream, at } => {
                if let Some(feed) = &mut self.feed {
                    feed.beeped(now, stream, at);
                }
            }
            Effect::Say { stream, said } => self.say(stream, Word::Say(said), outcome),
            Effect::RelayBegins { stream, bot } => {
                let (seen, start) = (self.call.snapshot(), self.bot_start.take());
                self.bot = start.and_then(|start| relay::call(world, &bot, &seen, &start, stream, &self.me));
            }
            Effect::PartyWanted { stream, here } => {
                // A stream of that party's that comes where nobody joins it is closed: so it falls into the conference.
                self.bridged = here.then_some(stream);
                self.meets_elsewhere = !here;
                self.wants_party = true;
            }
            Effect::RelayEnds => {
                self.bot = None;
                self.let_party_go(world, outcome);
            }
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
                submit(world, Work::Recall { org_id, client_id, call_id: identity.call_id.clone(), then: self.answer() });
            }
            Effect::Refuse(record, reach) => {
                tracing::info!(call.id = %self.shared.identity.call_id, "call: the client said no");
                refuse(world, *record, reach, std::mem::take(&mut self.waiting));
            }
            Effect::Annul(record) => {
                tracing::info!(call.id = %self.shared.identity.call_id, "call: the client's silence was a machine's: it was no yes");
                drop(world.noes.keep(Revocation { record: *record, queues: Queues::Nothing })); // it is written whoever waits for it
            }
            Effect::Audit(event) => submit(world, Work::Audit(*event, None)),
            Effect::RecordingBegins { grant, record, lead } => {
                let lead = lead.map(|(prompt, samples)| Lead {
                    language: prompt.language.code().to_owned(),
                    version: prompt.version.clone(),
                    sha256: prompt.sha256.clone(),
                    samples: samples as u64,
                });
                let head = Arc::new(self.new_head(world, grant.0, record, lead));
                self.head = Some(Arc::clone(&head));
                submit(world, Work::Recording(Box::new(row(&head, RecordingState::Active, world.spool_id.as_deref())), None));
                submit(
                    world,
                    Work::Audit(event(&head, EventKind::RecordingStarted, serde_json::json!({ "recordingId": head.recording_id })), None),
                );
                if let Some(scribes) = &world.scribes {
                    self.scribe = Some(scribes.begin(world, &head, &self.shared, &self.me, now));
                }
                self.feed = Some(world.spool.begin(head, now)?);
            }
            Effect::RecordedStream { stream, stream_sid } => {
                self.transcribe(|scribe| scribe.stream_began(now, stream, stream_sid.clone()));
                if let Some(feed) = &mut self.feed {
                    feed.stream_began(now, stream, stream_sid);
                }
            }
            Effect::Paused { stream, at, reason } => {
                self.transcribe(ScribeFeed::paused);
                if let Some(feed) = &mut self.feed {
                    feed.paused(now, stream, at, Some(reason));
                }
            }
            Effect::Resumed { stream, at } => {
                self.transcribe(|scribe| scribe.resumed(stream, at));
                if let Some(feed) = &mut self.feed {
                    feed.paused(now, stream, at, None);
                }
            }
            Effect::Transferred { stream, at, view } => {
                if let Some(feed) = &mut self.feed {
                    let (time, to, captured) = (view.at.to_string(), view.kind, view.captured);
                    feed.transferred(now, &SpooledTransfer { stream: stream.0, at: at.0, time, to, captured });
                }
            }
            Effect::CutBack { stream, at } => {
                self.transcribe(|scribe| scribe.cut_back(stream, at));
                if let Some(feed) = &mut self.feed {
                    feed.cut_back(stream, at)?;
                }
            }
            Effect::RecordingEnds(end) => {
                if let Some(scribe) = self.scribe.take() {
                    // One that is gone has told its failure.
                    let _ = scribe.end(end);
                }
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

    /// Whether the other party must be called now.
    pub(super) fn wants_party(&mut self) -> bool {
        std::mem::take(&mut self.wants_party)
    }

    /// The other party's socket. `false` if it comes too early, too late, or a second time.
    pub(super) fn join(&mut self, world: &World, outbox: &mut Outbox, socket: SocketKey, start: &Start) -> Option<Option<Outcome>> {
        let stream = self.bridged.filter(|_| self.party.is_none())?;
        tracing::info!(call.id = %self.shared.identity.call_id, stream.sid = %start.stream_sid, "call: the other party has come");
        self.party = Some(OtherParty::new(socket, start.call_sid.clone(), world.clocks.now().tick));
        Some(self.step(world, outbox, Input::Bot { stream, said: BotSaid::HasCome }))
    }

    /// What the other party's stream says.
    pub(super) fn party_said(&mut self, world: &World, outbox: &mut Outbox, heard: &Heard, codes: &[u8]) -> Option<Outcome> {
        let (stream, party) = (self.bridged?, self.party.as_mut()?);
        match *heard {
            Heard::Media(Track::Inbound, _, chunk, timestamp) => {
                let new = party.media(world.clocks.now().tick, chunk, timestamp, codes.len());
                new.then(|| self.step(world, outbox, Input::Bot { stream, said: BotSaid::Audio(codes) }))?
            }
            Heard::Stop => {
                // It hung up, and so does the client's leg.
                (self.party, self.party_sid) = (None, None);
                bridge::hang_up(&world.tokio, world.bridging.as_ref(), &self.call.identity().call_sid);
                self.step(world, outbox, Input::Bot { stream, said: BotSaid::Closed })
            }
            Heard::Media(Track::Outbound, ..) | Heard::Dtmf { .. } | Heard::Mark(_) | Heard::Start(_) => None,
        }
    }

    /// The other party was not reached, or its leg is gone without a word.
    pub(super) fn party_gone(&mut self, world: &World, outbox: &mut Outbox, why: &'static str) -> Option<Outcome> {
        if std::mem::take(&mut self.meets_elsewhere) {
            // Nobody will come to where the client waits.
            self.party_sid = None;
            bridge::hang_up(&world.tokio, world.bridging.as_ref(), &self.call.identity().call_sid);
            return None;
        }
        let stream = self.bridged?;
        self.party_sid = None;
        if self.party.take().is_none() {
            // Nobody ever came: there is nobody to talk with in a conference.
            bridge::hang_up(&world.tokio, world.bridging.as_ref(), &self.call.identity().call_sid);
        }
        self.step(world, outbox, Input::Bot { stream, said: BotSaid::Lost(why) })
    }

    /// Twilio has placed the call to the other party. If the client has hung up meanwhile, nobody is wanted any more.
    pub(super) fn party_called(&mut self, world: &World, call_sid: String) {
        if self.bridged.is_some() || (self.meets_elsewhere && !self.hung_up) {
            self.party_sid = Some(call_sid);
        } else if self.hung_up {
            bridge::hang_up(&world.tokio, world.bridging.as_ref(), &call_sid);
        }
    }

    /// Twilio says that the client's leg is over, perhaps before its stream does.
    pub(super) fn client_hung_up(&mut self, world: &World) {
        self.hung_up = true;
        if self.meets_elsewhere
            && let Some(call_sid) = self.party_sid.take()
        {
            bridge::hang_up(&world.tokio, world.bridging.as_ref(), &call_sid); // it may only ring yet
        }
    }

    /// The client's leg is over. Hung up, the party's is hung up as well, though it may only ring yet; only lost, both go on in the
    /// conference.
    fn let_party_go(&mut self, world: &World, outcome: &mut Outcome) {
        self.bridged = None;
        let mut called = self.party_sid.take();
        if let Some(party) = self.party.take() {
            world.metrics.bridge_dropped.inc_by(party.dropped());
            outcome.words.push((party.socket, Word::Close));
            called = Some(party.call_sid);
        }
        if let (true, Some(call_sid)) = (self.hung_up, called) {
            bridge::hang_up(&world.tokio, world.bridging.as_ref(), &call_sid);
        }
    }

    /// A scribe that takes no more is let go: it tells of its failure itself.
    fn transcribe(&mut self, tell: impl FnOnce(&mut ScribeFeed) -> Result<(), ScribeBehind>) {
        if self.scribe.as_mut().is_some_and(|scribe| tell(scribe).is_err()) {
            self.scribe = None;
        }
    }

    fn say(&self, stream: StreamNo, word: Word, outcome: &mut Outcome) {
        if let Some(socket) = self.sockets.get(usize::from(stream.0)) {
            outcome.words.push((*socket, word));
        }
    }

    fn answer(&self) -> crate::io::database::Then<Result<crate::engine::consent::Receipt<crate::engine::consent::Grant>, NotSealed>> {
        let (me, call_id) = (self.me.clone(), self.shared.identity.call_id.clone());
        Box::new(move |receipt| me.send(ToMedia::Sealed(call_id, Box::new(receipt))))
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

    fn new_head(&self, world: &World, grant_seq: u64, consent: Arc<ConsentRecord>, lead: Option<Lead>) -> RecordingHead {
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

/// A recording's row as it begins, or as it is once its spool, in `spool_id`, has something of it.
pub(super) fn row(head: &RecordingHead, state: RecordingState, spool_id: Option<&str>) -> RecordingRow {
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
        spool_id: spool_id.map(str::to_owned),
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
    let held = if let Work::Grant(grant, _) = &work {
        world.noes.holds(&grant.record.org_id, &grant.record.client_id)
    } else if let Work::Recall { org_id, client_id, .. } = &work {
        world.noes.holds(org_id, client_id)
    } else {
        None
    };
    let work = match (held, work) {
        // A no that is not in the ledger yet is a no (P2).
        (Some(Held::No), Work::Grant(_, then) | Work::Recall { then, .. }) => return then(Err(NotSealed::Superseded)),
        // And a yes that was none is none.
        (Some(Held::NoYes), Work::Recall { then, .. }) => return then(Err(NotSealed::Annulled)),
        (_, work) => work,
    };
    if let Err(LedgerFull(work)) = world.database.ledger().append(work) {
        world.metrics.ledger_full.inc();
        tracing::error!("ledger: queue full; the database cannot keep up");
        match *work {
            Work::Grant(_, then) | Work::Recall { then, .. } => then(Err(NotSealed::Unavailable)),
            Work::Audit(_, Some(then)) | Work::Recording(_, Some(then)) => then(false),
            Work::Act(_, then) => then(None),
            Work::Place(_, then) => then(None),
            Work::Outbox(work) => work.refuse(),
            Work::Audit(_, None)
            | Work::Recording(_, None)
            | Work::Call(_)
            | Work::Answer(_)
            | Work::Checkpoint(_)
            | Work::Transcript(_) => {}
        }
    }
}

/// A no is written until it is written; the gate is shut already. What it queues for deletion is queued by the same commit. Whoever
/// is `waiting` hears of it then.
fn refuse(world: &World, record: ConsentRecord, reach: Reach, waiting: Vec<oneshot::Sender<()>>) {
    let queues = match (Queues::of(&record, world.decline_queues), reach) {
        (queues, Reach::Cut) => queues,
        (queues, Reach::Recording) => queues.and_this_call(),
    };
    let written = world.noes.keep(Revocation { record, queues });
    if !waiting.is_empty() {
        world.tokio.spawn(async move {
            let _ = written.await;
            drop(waiting);
        });
    }
}
