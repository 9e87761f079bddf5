//! A call that a voice bot serves: what comes in goes to the bot, what the bot says is the outbound track.
//!
//! The bot is a party to the conversation and no sink: it serves a client who said no as well. One that keeps what it hears is a
//! sink too, and hears what the gate lets out and silence otherwise (P5). It comes when the question is answered, one way or
//! the other; the keys of the question are not its own, nor is a key that opts out. What it says is played as prompts are, a
//! second ahead of the media clock at most, and captured where it was played.

use std::fmt;

use serde_json::json;

use super::ear::{Ear, Tone};
use super::leg::ring;
use super::outbox::Effect;
use super::voice::{Manner, Voice};
use super::{Call, Now, Outbox, State, Stream};
use crate::engine::audio::frame::{Channel, FRAME_SAMPLES, Frame, Place, StreamNo};
use crate::engine::audio::g711;
use crate::engine::audio::key::Key;
use crate::engine::consent::{ConsentStatus, DELAY_LINE_MS};
use crate::engine::ledger::EventKind;
use crate::engine::time::{MediaTime, SAMPLES_PER_MS, Tick};

/// A bot whose client's line carries nothing is looked after this often.
const STALLED_EVERY_MS: u64 = 100;
/// Keys of which it is open whether they opt out.
const KEYS_HELD_MAX: usize = 16;
/// A hole longer than this is not filled for a bot that hears the gate: its time goes on without.
const FILL_MAX_MS: u64 = 2_000;

/// A voice bot, as the configuration names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bot {
    /// Its name.
    pub name: String,
    /// Whether it keeps what it hears.
    pub captures: bool,
}

/// What a bot says, or that it says nothing more.
#[derive(Clone, PartialEq, Eq)]
pub enum BotSaid<'a> {
    /// mu-law, of any length.
    Audio(&'a [u8]),
    /// A mark, which is told when what was said before it has been played.
    Mark(String),
    /// What it said and nobody has heard yet is taken back.
    Clear,
    /// Of another party: it is on the line.
    HasCome,
    /// It hung up.
    Closed,
    /// It cannot be reached, or not any more.
    Lost(&'static str),
}

/// Something for the bot of a call.
#[derive(Clone, PartialEq, Eq)]
pub enum ToBot {
    /// Audio of the client.
    Audio(Piece),
    /// A key of the client, and the bot's business.
    Key(Key),
    /// What the bot had said before this mark has been played, or taken back.
    Mark(String),
    /// Of another party, and of no bot: a line of ours, mu-law, over what the client says.
    Line(&'static [u8]),
}

/// Up to 20 ms for a bot.
#[derive(Clone, PartialEq, Eq)]
pub struct Piece {
    /// Milliseconds since the bot was called.
    pub timestamp: MediaTime,
    len: u8,
    codes: [u8; FRAME_SAMPLES],
}

/// A bot and its call.
pub(super) struct Relay {
    bot: Bot,
    stream: StreamNo,
    stage: Stage,
    /// No bot at all: a person on a leg of its own.
    is_party: bool,
    /// Of a party: has come. Until then it rings, and so far it has rung.
    has_come: bool,
    rung: u64,
    /// Where its time begins.
    base: Place,
    /// Up to where it was told of the client's audio.
    told: Place,
    /// The client's newest message: its place, and Twilio's timestamp of it.
    anchor: (Place, MediaTime),
    voice: Voice,
    /// Key tones are kept out of a recording on this side as well.
    ear: Ear,
    heard_to: Place,
    held: Vec<Key>,
    revoked: bool,
    looked_at: Tick,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The client is being asked.
    Waits,
    /// It has the word.
    Serves,
    /// It is gone, or its stream is.
    Over,
}

impl Relay {
    /// The bot of a stream that begins.
    pub(super) fn new(bot: Bot, stream: StreamNo) -> Self {
        Self {
            bot,
            stream,
            stage: Stage::Waits,
            is_party: false,
            has_come: true,
            rung: 0,
            base: Place(0),
            told: Place(0),
            anchor: (Place(0), MediaTime(0)),
            voice: Voice::new(Manner::BOT),
            ear: Ear::new(false),
            heard_to: Place(0),
            held: Vec::new(),
            revoked: false,
            looked_at: Tick(0),
        }
    }

    /// The other party of a stream that begins.
    pub(super) fn party(stream: StreamNo) -> Self {
        let nobody = Bot { name: String::new(), captures: false };
        Self { is_party: true, has_come: false, voice: Voice::new(Manner::PERSON), ..Self::new(nobody, stream) }
    }

    fn serves(&self, stream: StreamNo) -> bool {
        self.stage == Stage::Serves && self.stream == stream
    }

    /// The client's audio as it came. A bot that keeps what it hears is served from the gate instead.
    pub(super) fn hear(&mut self, stream: StreamNo, at: Place, timestamp: MediaTime, codes: &[u8], out: &mut Outbox) {
        if self.stream != stream {
            return;
        }
        self.anchor = (at, timestamp);
        if self.stage == Stage::Serves && self.has_come && !self.bot.captures && at >= self.told {
            self.tell(at, codes, out);
        }
    }

    /// Whether what this stream is sent goes by here.
    pub(super) fn speaks_into(&self, stream: StreamNo) -> bool {
        self.stream == stream
    }

    /// Whether a conversation goes on that a tone can be put into.
    pub(super) fn is_in_talk(&self) -> bool {
        self.stage == Stage::Serves && self.has_come && !self.voice.is_spoken_over()
    }

    /// A line of ours, to the client and to the other party, if that is a person who is there. Tells where the client hears it.
    pub(super) fn speak_over(&mut self, codes: &'static [u8], clock: Place, out: &mut Outbox) -> Option<Place> {
        if self.is_party && self.has_come && self.stage == Stage::Serves {
            out.to_bot.push(ToBot::Line(codes));
        }
        self.voice.speak_over(codes, clock)
    }

    fn tell(&mut self, at: Place, codes: &[u8], out: &mut Outbox) {
        self.told = at.plus(codes.len() as u64);
        out.to_bot.push(ToBot::Audio(Piece::new(Place(at.0.saturating_sub(self.base.0)).media_time(), codes)));
    }

    /// Silence up to `to`.
    fn tell_nothing(&mut self, to: Place, out: &mut Outbox) {
        self.told = self.told.max(to.minus_ms(FILL_MAX_MS));
        while self.told < to {
            let span = usize::try_from(to.0 - self.told.0).unwrap_or(FRAME_SAMPLES).min(FRAME_SAMPLES);
            self.tell(self.told, &[g711::SILENCE; FRAME_SAMPLES][..span], out);
        }
    }

    /// A key that Twilio told of; whether it opts out shows when the machine has heard it.
    pub(super) fn pressed(&mut self, stream: StreamNo, key: Key) {
        if self.serves(stream) && self.held.len() < KEYS_HELD_MAX {
            self.held.push(key);
        }
    }

    /// When the bot must be looked after although no media comes.
    pub(super) fn deadline(&self, streams: &[Stream]) -> Option<Tick> {
        let stream = streams.get(usize::from(self.stream.0)).filter(|_| self.stage == Stage::Serves && !self.voice.is_still())?;
        Some(stream.last_media.plus_ms(self.voice.stalled_ms()).max(self.looked_at.plus_ms(STALLED_EVERY_MS)))
    }
}

impl Call {
    /// What a bot says; heard only while its stream lives.
    pub(super) fn bot_said(&mut self, now: Now, stream: StreamNo, said: BotSaid<'_>, out: &mut Outbox) {
        let Some(relay) = self.relay.as_mut().filter(|relay| relay.serves(stream)) else { return };
        match said {
            BotSaid::Audio(codes) if relay.has_come => relay.voice.take(codes),
            BotSaid::Audio(_) => {}
            BotSaid::HasCome if relay.has_come => {}
            BotSaid::HasCome => {
                relay.has_come = true;
                relay.told = self.streams[usize::from(stream.0)].clock;
                relay.voice.clear(stream, relay.told, &mut out.effects); // it rings no more
                self.audit(now, EventKind::CallBridged, json!({}), out);
            }
            BotSaid::Mark(name) => relay.voice.mark(name),
            BotSaid::Clear => relay.voice.clear(stream, self.streams[usize::from(stream.0)].clock, &mut out.effects),
            BotSaid::Closed => self.bot_left(now, stream, None, out),
            BotSaid::Lost(why) => self.bot_left(now, stream, Some(why), out),
        }
    }

    /// The call goes on with the next verb of its TwiML (P6).
    fn bot_left(&mut self, now: Now, stream: StreamNo, lost: Option<&'static str>, out: &mut Outbox) {
        let Some(relay) = &mut self.relay else { return };
        relay.stage = Stage::Over;
        let bot = relay.bot.name.clone();
        let (kind, detail) = match (lost, relay.is_party) {
            (None, true) => (EventKind::BridgeEnded, json!({})),
            (Some(why), true) => (EventKind::BridgeEnded, json!({ "why": why })),
            (None, false) => (EventKind::RelayEnded, json!({ "bot": bot })),
            (Some(why), false) => (EventKind::RelayLost, json!({ "bot": bot, "why": why })),
        };
        let parted = relay.is_party && relay.has_come;
        self.audit(now, kind, detail, out);
        if let (true, Some(why)) = (parted, lost) {
            self.meet_elsewhere(now, stream, why, out);
        }
        out.effects.extend([Effect::RelayEnds, Effect::Close { stream }]);
    }

    /// Whether this stream is joined with the other party's leg, or will be as soon as it is there.
    pub(super) fn joins(&self, stream: StreamNo) -> bool {
        self.relay.as_ref().is_some_and(|relay| relay.is_party && relay.serves(stream))
    }

    /// Whether the other party is to be called to this stream, and was not yet.
    pub(super) fn awaits_party(&self, stream: StreamNo) -> bool {
        self.relay.as_ref().is_some_and(|relay| relay.is_party && relay.stage == Stage::Waits && relay.stream == stream)
    }

    /// Whether this bot has the client, or is about to.
    pub(super) fn is_served_by(&self, name: &str) -> bool {
        self.relay.as_ref().is_some_and(|relay| !relay.is_party && relay.stage != Stage::Over && relay.bot.name == name)
    }

    /// The stream that the bot served is over.
    pub(super) fn relayed_stream_ended(&mut self, stream: StreamNo, out: &mut Outbox) {
        if let Some(relay) = self.relay.as_mut().filter(|relay| relay.stream == stream && relay.stage != Stage::Over) {
            relay.stage = Stage::Over;
            out.effects.push(Effect::RelayEnds);
        }
    }

    /// Whether a bot served this stream: when it is over the call goes on with somebody else.
    pub(super) fn was_relayed(&self, stream: StreamNo) -> bool {
        self.relay.as_ref().is_some_and(|relay| relay.stream == stream && !relay.is_party)
    }

    /// Whether this stream was joined with the other party's leg, or was to be.
    pub(super) fn was_joined(&self, stream: StreamNo) -> bool {
        self.relay.as_ref().is_some_and(|relay| relay.stream == stream && relay.is_party)
    }

    /// A mark came back; of a bot's own it is told.
    pub(super) fn bot_marked(&mut self, stream: StreamNo, number: u32, out: &mut Outbox) {
        if let Some(relay) = self.relay.as_mut().filter(|relay| relay.serves(stream))
            && let Some(name) = relay.voice.marked(number)
        {
            out.to_bot.push(ToBot::Mark(name));
        }
    }

    /// After every step of a call that a bot serves, or will.
    pub(super) fn relay_on(&mut self, now: Now, out: &mut Outbox) {
        let Some(mut relay) = self.relay.take() else { return };
        self.bot_begins_if_due(now, &mut relay, out);
        if relay.stage == Stage::Serves
            && let Some(stream) = self.streams.get(usize::from(relay.stream.0))
        {
            let clock = stream.clock;
            let age_ms = now.tick.ms_since(stream.last_media);
            relay.looked_at = now.tick;
            while let Some((at, len, codes)) = relay.voice.played(clock) {
                // Ring-back is nobody's voice.
                if relay.has_come {
                    self.bot_was_heard(&mut relay, at, &codes[..len], out);
                }
            }
            if !relay.has_come && relay.voice.says_nothing() {
                let mut codes = [g711::SILENCE; FRAME_SAMPLES];
                ring(relay.rung, &mut codes);
                relay.rung += FRAME_SAMPLES as u64;
                relay.voice.take(&codes);
            }
            relay.voice.send(relay.stream, relay.voice.ear(clock, age_ms), &mut out.effects);
            self.tell_bot(&mut relay, clock, out);
            self.pass_keys(&mut relay, out);
        }
        self.relay = Some(relay);
    }

    fn bot_begins_if_due(&mut self, now: Now, relay: &mut Relay, out: &mut Outbox) {
        let answered = match &self.state {
            State::Open(open) => open.closing.is_none(),
            State::Refused(refused) => refused.closing.is_none(),
            State::Created | State::Asking(_) | State::Sealing(_) | State::Over => false,
        };
        let Some(stream) = self.streams.get(usize::from(relay.stream.0)).filter(|stream| stream.live) else { return };
        // Who has hung up is not called together with anybody.
        if relay.stage != Stage::Waits || !answered || self.hung_up_by.is_some() {
            return;
        }
        relay.stage = Stage::Serves;
        (relay.base, relay.told, relay.voice.from) = (stream.clock, stream.clock, stream.clock);
        relay.heard_to = stream.clock;
        relay.revoked = self.consent.status == ConsentStatus::Revoked;
        if relay.is_party {
            out.effects.push(Effect::PartyWanted { stream: relay.stream, here: true });
            return;
        }
        self.audit(now, EventKind::CallRelayed, json!({ "bot": relay.bot.name, "capture": relay.bot.captures }), out);
        out.effects.push(Effect::RelayBegins { stream: relay.stream, bot: relay.bot.name.clone() });
    }

    /// A piece of what the bot said has been played: it is the outbound track.
    fn bot_was_heard(&mut self, relay: &mut Relay, at: Place, codes: &[u8], out: &mut Outbox) {
        relay.ear.listen(at, at.0.saturating_sub(relay.heard_to.0), codes);
        relay.heard_to = at.plus(codes.len() as u64);
        while let Some(tone) = relay.ear.take_tone() {
            if let State::Open(open) = &mut self.state {
                match tone {
                    Tone::Began(_, onset) => open.gate.tone_began(relay.stream, Channel::Other, onset),
                    Tone::Ended(end) => open.gate.tone_ended(relay.stream, Channel::Other, end),
                }
            }
        }
        let (place, stamp) = relay.anchor;
        // Twilio's timestamps drift against places: near the newest message they agree.
        let stamp = if at >= place {
            MediaTime(stamp.0 + (at.0 - place.0) / SAMPLES_PER_MS)
        } else {
            MediaTime(stamp.0.saturating_sub((place.0 - at.0) / SAMPLES_PER_MS))
        };
        self.capture(Frame::new(Channel::Other, relay.stream, at, stamp, codes), out);
    }

    /// A bot that keeps what it hears: what the gate let out in this step, and silence where it lets nothing out.
    fn tell_bot(&mut self, relay: &mut Relay, clock: Place, out: &mut Outbox) {
        if !relay.bot.captures {
            return;
        }
        let captured = std::mem::take(&mut out.captured);
        for admitted in &captured {
            let is_clients = admitted.channel() == Channel::Client && admitted.stream() == relay.stream;
            if is_clients && admitted.at() >= relay.told {
                relay.tell_nothing(admitted.at(), out);
                relay.tell(admitted.at(), admitted.codes(), out);
            }
        }
        out.captured = captured;
        let ripe = clock.minus_ms(DELAY_LINE_MS);
        let to = match &self.state {
            State::Open(open) if open.recorded == Some(relay.stream) => ripe.min(open.gate.line_start()),
            State::Open(_) | State::Refused(_) | State::Created | State::Asking(_) | State::Sealing(_) | State::Over => ripe,
        };
        relay.tell_nothing(to, out);
    }

    /// Keys are the bot's, less those that opted out, and less those of a pause if it keeps what it is told.
    fn pass_keys(&mut self, relay: &mut Relay, out: &mut Outbox) {
        let refuses = self.consent.status == ConsentStatus::Revoked && !relay.revoked;
        relay.revoked |= refuses;
        if relay.held.is_empty() {
            return;
        }
        let (pending, paused) = match &self.state {
            State::Open(open) => (open.keys.pending_on().is_some(), open.pauses.in_force()),
            State::Refused(refused) => (self.consent.status != ConsentStatus::Revoked && refused.keys.pending_on().is_some(), false),
            State::Created | State::Asking(_) | State::Sealing(_) | State::Over => (false, false),
        };
        // Keys of the client act on the client's leg alone.
        if refuses || relay.is_party || (paused && relay.bot.captures) {
            relay.held.clear();
        } else if !pending {
            out.to_bot.extend(relay.held.drain(..).map(ToBot::Key));
        }
    }
}

/// What is said into a stream. Shows its length only (P11).
pub struct Speech(pub Vec<u8>);

impl Piece {
    fn new(timestamp: MediaTime, codes: &[u8]) -> Self {
        let mut piece = Self { timestamp, len: 0, codes: [g711::SILENCE; FRAME_SAMPLES] };
        for (slot, code) in piece.codes.iter_mut().zip(codes) {
            *slot = *code;
            piece.len += 1;
        }
        piece
    }

    /// mu-law.
    #[must_use]
    pub fn codes(&self) -> &[u8] {
        &self.codes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Speech({} samples)", self.0.len())
    }
}

impl fmt::Debug for ToBot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Audio(piece) => write!(f, "Audio(at {} len {})", piece.timestamp.0, piece.len),
            Self::Key(_) => f.write_str("Key"),
            Self::Mark(_) => f.write_str("Mark"),
            Self::Line(codes) => write!(f, "Line({} samples)", codes.len()),
        }
    }
}

impl fmt::Debug for BotSaid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Audio(codes) => write!(f, "Audio({} samples)", codes.len()),
            Self::Mark(_) => f.write_str("Mark"),
            Self::Clear => f.write_str("Clear"),
            Self::HasCome => f.write_str("HasCome"),
            Self::Closed => f.write_str("Closed"),
            Self::Lost(why) => write!(f, "Lost({why})"),
        }
    }
}
