//! After the decision: the gate open, or refused, and the two ways from the one to the other.

use serde_json::json;

use super::outbox::{Effect, RecordingEnd};
use super::pause::Pauses;
use super::playback::Playback;
use super::{Call, FORK_WITHIN_MS, Mode, NotSealed, Now, OnOptOut, Outbox, RecordingState, SEGMENT_GAP_MS, Segment, State, StreamNo};
use crate::engine::audio::frame::{Channel, Frame, Place};
use crate::engine::audio::key::Key;
use crate::engine::audio::prompts::Line;
use crate::engine::consent::keys::{Conversation, Heard, Verdict};
use crate::engine::consent::{Actor, ConsentStatus, Cut, DELAY_LINE_MS, Gate, Grant, GrantSeq, Method, Receipt, UnrecordedReason};
use crate::engine::ledger::EventKind;
use crate::engine::time::{MediaTime, SAMPLES_PER_MS, Tick, WallTime};

/// After a key that only Twilio's event tells of, its tone is looked for so long.
const EVENT_LOOK_MS: u64 = 300;
/// After a closing line's length its mark is waited for this long.
const CLOSING_SLACK_MS: u64 = 1_500;
/// By the wall, a closing line is over after its length and this, media or no media.
const CLOSING_WALL_SLACK_MS: u64 = 4_000;

/// Consent stands, and is durable.
pub(super) struct Open {
    pub(super) gate: Gate,
    pub(super) prior: bool,
    pub(super) decided_at: u64,
    /// "Thank you…": while it plays, a 2 still answers the question.
    pub(super) closing: Option<Playback>,
    /// The consent stream was handed back; the fork must come by then.
    pub(super) fork_by: Option<Tick>,
    pub(super) keys: Conversation,
    pub(super) begun: bool,
    pub(super) pauses: Pauses,
    /// The stream that is captured. Frames of any other are withheld.
    pub(super) recorded: Option<StreamNo>,
    /// Since when.
    recorded_at: Option<Tick>,
}

/// No consent, or no more. The call goes on without us.
#[derive(Default)]
pub(super) struct Refused {
    pub(super) closing: Option<Playback>,
    /// Consent stands and it is we who failed: the client's no is still listened for.
    pub(super) keys: Option<Conversation>,
}

impl Call {
    // === into the conversation ===

    pub(super) fn sealed(&mut self, now: Now, receipt: Receipt<Grant>, out: &mut Outbox) {
        let State::Sealing(sealing) = &self.state else { return }; // refused meanwhile: decline wins
        let (prior, decided_at) = (sealing.prior, sealing.decided_at);
        let record = receipt.record();
        if !prior && record.method == Method::SilenceTimeout && self.is_screened_out() {
            let why = "a machine answered the call: its silence was no consent";
            self.go_unrecorded(now, UnrecordedReason::SystemError, why, None, out);
            return;
        }
        self.consent.status = ConsentStatus::Granted;
        self.consent.method = Some(record.method);
        self.consent.prior = prior;
        self.consent.granted_at = Some(record.at);
        self.connected_at = Some(now.wall);
        let mut gate = Gate::open(receipt);
        let mut stays = None;
        for (index, stream) in self.streams.iter_mut().enumerate() {
            for side in 0..2 {
                let channel = stream.channel(side);
                if let Some(ear) = &mut stream.ears[side] {
                    ear.stop_listening_for_machines();
                    if let Some(onset) = ear.sounding() {
                        gate.tone_began(channel, onset);
                    }
                }
            }
            if stream.live && stream.mode != Mode::Consent {
                stays = u8::try_from(index).ok().map(StreamNo);
            }
        }
        let closing = self.stream_that_plays().filter(|_| !prior).map(|no| self.play(now, no, Line::Granted, out));
        let awaits_fork = stays.is_none() && !self.streams.iter().any(|stream| stream.live);
        self.state = State::Open(Box::new(Open {
            gate,
            prior,
            decided_at,
            closing,
            fork_by: awaits_fork.then(|| now.tick.plus_ms(FORK_WITHIN_MS)),
            keys: Conversation::new(self.settings.opt_out_keys),
            begun: false,
            pauses: Pauses::default(),
            recorded: None,
            recorded_at: None,
        }));
        if let Some(no) = stays {
            self.recording_goes_on(now, no, out);
        } else if prior {
            self.hand_back(out);
        }
        if awaits_fork && !self.streams.is_empty() && self.streams.iter().all(|stream| stream.mode == Mode::Stay) {
            self.over(now, out); // hung up while the grant was being written
        }
        out.effects.push(Effect::Changed);
    }

    pub(super) fn not_sealed(&mut self, now: Now, why: NotSealed, out: &mut Outbox) {
        if !matches!(self.state, State::Sealing(_)) {
            return;
        }
        match why {
            NotSealed::Superseded => {
                self.go_unrecorded(now, UnrecordedReason::PriorOptOut, "consent was revoked while the client was being asked", None, out);
            }
            NotSealed::Unavailable => {
                self.go_unrecorded(now, UnrecordedReason::SystemError, "the grant could not be made durable", None, out)
            }
        }
    }

    /// A stream that may be captured: the recording begins, or goes on in it.
    pub(super) fn recording_goes_on(&mut self, now: Now, no: StreamNo, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else { return };
        open.fork_by = None;
        open.recorded = Some(no);
        open.recorded_at = Some(now.tick);
        if !open.begun {
            open.begun = true;
            self.recording = RecordingState::Active;
            let lead = self.lead.filter(|_| self.settings.prompt_in_recording);
            out.effects.push(Effect::RecordingBegins { grant: open.gate.seq(), record: Box::new(open.gate.record().clone()), lead });
        }
        out.effects.push(Effect::RecordedStream { stream: no, stream_sid: self.streams[usize::from(no.0)].sid.clone() });
        let paused = if let State::Open(open) = &self.state { open.pauses.reason() } else { None };
        if let Some(reason) = paused {
            out.effects.push(Effect::Paused { stream: no, at: self.streams[usize::from(no.0)].clock, reason });
        }
        out.effects.push(Effect::Changed);
    }

    // === frames ===

    /// Every frame ends here: in the gate, if there is one and its stream is one to be captured.
    pub(super) fn capture(&mut self, frame: Frame, out: &mut Outbox) {
        let channel = frame.channel.index();
        match &mut self.state {
            State::Open(open) if open.recorded == Some(frame.stream) && open.pauses.in_force() => {
                self.withheld[channel] += 1;
                let before = out.captured.len();
                open.gate.pass(frame.stream, frame.end(), &mut out.captured);
                self.count(before, out);
            }
            State::Open(open) if open.recorded == Some(frame.stream) => {
                let before = out.captured.len();
                self.withheld[channel] += open.gate.admit(frame, &mut out.captured);
                self.count(before, out);
            }
            State::Created | State::Asking(_) | State::Sealing(_) | State::Open(_) | State::Refused(_) | State::Over => {
                self.withheld[channel] += 1;
            }
        }
    }

    pub(super) fn count(&mut self, before: usize, out: &Outbox) {
        for admitted in out.captured.iter().skip(before) {
            // What waited through a pause belongs before it.
            let resumed = self.resumed_at.is_some_and(|(stream, at)| stream == admitted.stream() && admitted.at() >= at);
            if resumed {
                self.resumed_at = None;
            }
            self.captured[admitted.channel().index()] += 1;
            let sid = &self.streams[usize::from(admitted.stream().0)].sid;
            let end = admitted.timestamp() + admitted.codes().len() as u64 / SAMPLES_PER_MS;
            match self.segments.last_mut() {
                Some(last) if !resumed && last.stream_sid == *sid && admitted.timestamp().ms_since(last.end_ms) <= SEGMENT_GAP_MS => {
                    last.end_ms = last.end_ms.max(end);
                }
                _ => self.segments.push(Segment { stream_sid: sid.clone(), start_ms: admitted.timestamp(), end_ms: end }),
            }
        }
    }

    /// The client's media clock moved.
    pub(super) fn media_passed(&mut self, now: Now, no: StreamNo, samples: u64, out: &mut Outbox) {
        let stream = &mut self.streams[usize::from(no.0)];
        let clock = stream.clock;
        if stream.silent {
            stream.silent = false;
            out.effects.push(Effect::Changed);
        }
        match &mut self.state {
            State::Asking(_) => self.asking_passed(now, no, samples, out),
            State::Open(open) => {
                let closed = closing_passed(&mut open.closing, clock, now.tick, out);
                let verdict = open.keys.passed(clock);
                self.act_on(now, no, verdict, out);
                if closed {
                    self.hand_back(out);
                }
            }
            State::Refused(refused) => {
                let closed = closing_passed(&mut refused.closing, clock, now.tick, out);
                self.listen_on(now, out, |keys| keys.passed(clock));
                if closed {
                    self.hand_back(out);
                }
            }
            State::Created | State::Sealing(_) | State::Over => {}
        }
    }

    /// Consent streams have done their work: the call goes on with the next verb of its TwiML.
    fn hand_back(&mut self, out: &mut Outbox) {
        for (index, stream) in self.streams.iter().enumerate() {
            if let (true, Mode::Consent, Ok(no)) = (stream.live, stream.mode, u8::try_from(index)) {
                out.effects.push(Effect::Close { stream: StreamNo(no) });
            }
        }
    }

    // === out of it ===

    pub(super) fn pressed_in_talk(&mut self, now: Now, no: StreamNo, key: Key, heard: Heard, at: Place, new: bool, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else { return };
        if !new {
            if heard == Heard::Tone {
                let verdict = open.keys.onset_is(at);
                self.act_on(now, no, verdict, out);
            }
            return;
        }
        let cut = match heard {
            Heard::Tone => at,
            Heard::Event => {
                open.gate.look_for(Channel::Client, key, at.plus_ms(EVENT_LOOK_MS));
                at.minus_ms(DELAY_LINE_MS)
            }
        };
        if open.closing.is_some() && !open.prior && key.symbol() == '2' {
            // "1, then 2": the question was still open in the client's ear.
            self.decline_after_all(now, no, cut, out);
        } else {
            let verdict = open.keys.pressed(key, at, cut);
            self.act_on(now, no, verdict, out);
        }
    }

    fn act_on(&mut self, now: Now, no: StreamNo, verdict: Verdict, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else { return };
        match verdict {
            Verdict::Nothing => {}
            Verdict::Hold(at) => open.gate.hold(at),
            Verdict::Release => open.gate.release(),
            Verdict::OptOut(at) => {
                let actor = Actor::Client { id: self.identity.client_id.clone() };
                self.shut(now, no, at, self.settings.on_opt_out, out);
                self.write_refusal(now, Method::Keypress, actor, None, out);
            }
        }
    }

    /// The client's keys where consent stood and it was we who failed: nothing is left to cut, and a no is a no.
    pub(super) fn listen_on(&mut self, now: Now, out: &mut Outbox, hear: impl FnOnce(&mut Conversation) -> Verdict) {
        let State::Refused(Refused { keys: Some(keys), .. }) = &mut self.state else { return };
        if matches!(hear(keys), Verdict::OptOut(_)) && self.consent.status != ConsentStatus::Revoked {
            self.write_refusal(now, Method::Keypress, Actor::Client { id: self.identity.client_id.clone() }, None, out);
        }
    }

    /// A 2 that belongs to the question, heard after the gate had opened: nothing of this call is kept.
    pub(super) fn decline_after_all(&mut self, now: Now, no: StreamNo, at: Place, out: &mut Outbox) {
        if let State::Open(open) = &self.state {
            if open.closing.is_some() {
                out.effects.push(Effect::Clear { stream: no });
            }
            self.shut(now, no, at, OnOptOut::DiscardCall, out);
            if let Some(no) = self.stream_that_plays() {
                let closing = Some(self.play(now, no, Line::Declined, out));
                self.state = State::Refused(Refused { closing, keys: None });
            }
        }
        let actor = Actor::Client { id: self.identity.client_id.clone() };
        self.write_refusal(now, Method::Keypress, actor, None, out);
    }

    /// The gate goes, first of all; then what it held is told apart at the cut.
    fn shut(&mut self, now: Now, no: StreamNo, at: Place, then: OnOptOut, out: &mut Outbox) {
        let state = std::mem::replace(&mut self.state, State::Refused(Refused::default()));
        let State::Open(open) = state else { return };
        let begun = open.begun;
        // Another stream's time line says nothing about this one: then nothing that waits is let out.
        let at = if open.recorded.is_none_or(|recorded| recorded == no) { at } else { open.gate.line_start() };
        let before = out.captured.len();
        let cut = open.gate.cut(at, &mut out.captured);
        self.count(before, out);
        for channel in 0..2 {
            self.withheld[channel] += cut.dropped[channel];
        }
        self.go_back(cut, out);
        self.reason = Some(UnrecordedReason::ClientOptOut);
        if begun {
            let end = match then {
                OnOptOut::KeepConsented => RecordingEnd::Keep,
                OnOptOut::DiscardCall => RecordingEnd::Discard,
            };
            self.recording = match end {
                RecordingEnd::Keep => RecordingState::Halted,
                RecordingEnd::Discard => RecordingState::Discarded,
            };
            let kind = match end {
                RecordingEnd::Keep => EventKind::RecordingHalted,
                RecordingEnd::Discard => EventKind::RecordingDiscarded,
            };
            self.audit(now, kind, json!({ "cutAtMs": at.media_time(), "capturedUpToMs": self.captured_up_to() }), out);
            out.effects.push(Effect::RecordingEnds(end));
        }
        if self.streams.get(usize::from(no.0)).is_some_and(|stream| stream.mode == Mode::Consent) {
            self.hand_back(out);
        }
        out.effects.push(Effect::Changed);
    }

    /// Frames that had left the line already: counted back as far as the cut reaches, each channel by its own.
    fn go_back(&mut self, cut: Cut, out: &mut Outbox) {
        let Some((stream, at)) = cut.back_to else { return };
        out.effects.push(Effect::CutBack { stream, at });
        for (channel, back) in cut.let_out.into_iter().enumerate() {
            self.captured[channel] -= back;
            self.withheld[channel] += back;
        }
        // Segments are told in Twilio's timestamps, which drift against places: the distance holds, not the place.
        let sid = &self.streams[usize::from(stream.0)].sid;
        if let Some(last) = self.segments.last_mut().filter(|last| last.stream_sid == *sid) {
            let past_ms = cut.past.div_ceil(SAMPLES_PER_MS);
            last.end_ms = MediaTime(last.end_ms.0.saturating_sub(past_ms)).max(last.start_ms);
        }
    }

    pub(super) fn write_refusal(&mut self, now: Now, method: Method, actor: Actor, reason: Option<String>, out: &mut Outbox) {
        let evidence = json!({ "position": self.position(), "language": self.language.code() });
        let mut record = self.record(now, ConsentStatus::Revoked, method, actor, evidence);
        record.reason = reason;
        out.effects.push(Effect::Refuse(Box::new(record)));
        self.withdrawn(now, method, out);
    }

    /// Consent is withdrawn, as others see the call.
    fn withdrawn(&mut self, now: Now, method: Method, out: &mut Outbox) {
        self.consent.status = ConsentStatus::Revoked;
        self.consent.method = Some(method);
        self.consent.granted_at = None;
        self.reason = Some(UnrecordedReason::ClientOptOut);
        self.connected_at = self.connected_at.or(Some(now.wall));
        out.effects.push(Effect::Changed);
    }

    /// The client said no to the question.
    pub(super) fn refuse(&mut self, now: Now, actor: Actor, reason: Option<String>, out: &mut Outbox) {
        let method = if matches!(actor, Actor::Client { .. }) { Method::Keypress } else { Method::Verbal };
        self.decline_aloud(now, out);
        self.write_refusal(now, method, actor, reason, out);
        self.rest(now);
    }

    fn decline_aloud(&mut self, now: Now, out: &mut Outbox) {
        let closing = self.stream_that_plays().map(|no| self.play(now, no, Line::Declined, out));
        self.state = State::Refused(Refused { closing, keys: None });
    }

    /// No consent that can be trusted; nothing is written for the client, and the record says why (P6).
    pub(super) fn go_unrecorded(
        &mut self,
        now: Now,
        reason: UnrecordedReason,
        why: &'static str,
        evidence: Option<&serde_json::Value>,
        out: &mut Outbox,
    ) {
        self.reason = Some(reason);
        self.connected_at = Some(now.wall);
        if reason == UnrecordedReason::PriorOptOut {
            self.consent.status = ConsentStatus::Revoked;
        } else if !matches!(self.state, State::Created) {
            self.consent.status = ConsentStatus::Pending;
        }
        let asked = matches!(self.state, State::Asking(_) | State::Sealing(_));
        if asked
            && matches!(self.state, State::Asking(_))
            && let Some(no) = self.stream_that_plays()
        {
            out.effects.push(Effect::Clear { stream: no });
        }
        let closing = self.stream_that_plays().filter(|_| asked).map(|no| self.play(now, no, Line::Declined, out));
        let silent = closing.is_none();
        self.state = State::Refused(Refused { closing, keys: None });
        self.audit(
            now,
            EventKind::CallUnrecorded,
            json!({ "reason": reason, "why": why, "heard": evidence, "answeredBy": self.answered_by }),
            out,
        );
        if silent {
            self.hand_back(out);
        }
        out.effects.push(Effect::Changed);
        self.rest(now);
    }

    /// Somebody who may tells us that the client said no: now, or `since` some moment ago.
    pub(super) fn opt_out(&mut self, now: Now, actor: Actor, reason: Option<String>, since: Option<WallTime>, out: &mut Outbox) {
        match &self.state {
            State::Asking(asking) => {
                out.effects.push(Effect::Clear { stream: asking.stream });
                self.refuse(now, actor, reason, out);
            }
            State::Created | State::Sealing(_) => self.refuse(now, actor, reason, out),
            State::Open(_) => match since.filter(|since| *since < now.wall) {
                Some(since) => {
                    self.shut_since(now, since, out);
                    self.write_refusal(now, Method::Verbal, actor, reason, out);
                    self.rest(now);
                }
                None => self.stop_here(now, Method::Verbal, actor, reason, out),
            },
            State::Refused(_) if self.consent.status != ConsentStatus::Revoked => {
                self.write_refusal(now, Method::Verbal, actor, reason, out)
            }
            State::Refused(_) | State::Over => {}
        }
    }

    fn shut_at_once(&mut self, now: Now, out: &mut Outbox) {
        let no = self.heard_on();
        let at = self.streams.get(usize::from(no.0)).map_or(Place(0), |stream| stream.clock);
        self.shut(now, no, at, self.settings.on_opt_out, out);
    }

    /// The stream that is captured, or else the newest one that lives.
    fn heard_on(&self) -> StreamNo {
        let recorded = if let State::Open(open) = &self.state { open.recorded } else { None };
        let live = || u8::try_from(self.streams.iter().rposition(|stream| stream.live)?).ok().map(StreamNo);
        recorded.or_else(live).unwrap_or(StreamNo(0))
    }

    /// As it holds from `since` on: what was received from then on leaves every sink. Frames reach us after they were spoken, so
    /// the cut falls rather too early than too late. Nobody can tell where in an earlier stream the moment lies, nor what was
    /// consented to when it lies before the yes: then the whole recording goes.
    fn shut_since(&mut self, now: Now, since: WallTime, out: &mut Outbox) {
        let ago_ms = now.wall.0.saturating_sub(since.0).unsigned_abs();
        let no = self.heard_on();
        let State::Open(open) = &self.state else { return };
        let (in_stream, prior) = (open.recorded_at.is_some_and(|at| now.tick.ms_since(at) >= ago_ms), open.prior);
        let before_yes = !prior && self.consent.granted_at.is_some_and(|granted| since <= granted);
        let sid = self.streams.get(usize::from(no.0)).map(|stream| stream.sid.as_str());
        let other_streams = self.segments.iter().any(|segment| Some(segment.stream_sid.as_str()) != sid);
        if before_yes || (!in_stream && other_streams) {
            self.shut(now, no, Place(0), OnOptOut::DiscardCall, out);
            return;
        }
        let at = self
            .streams
            .get(usize::from(no.0))
            .map_or(Place(0), |stream| stream.clock.minus_ms(ago_ms.saturating_sub(now.tick.ms_since(stream.last_media))));
        self.shut(now, no, at, self.settings.on_opt_out, out);
    }

    /// The client said no on another way than a stream: the cut falls where the captured stream stands.
    pub(super) fn stop_here(&mut self, now: Now, method: Method, actor: Actor, reason: Option<String>, out: &mut Outbox) {
        self.shut_at_once(now, out);
        self.write_refusal(now, method, actor, reason, out);
        self.rest(now);
    }

    /// Consent was withdrawn outside this call. Decline wins (P2): whatever was about to become a yes is none any more. Once
    /// the revocation stands in the chain, versions are compared and not times: a newer yes is an answer to it.
    pub(super) fn revoked(&mut self, now: Now, entry: Option<GrantSeq>, out: &mut Outbox) {
        match &mut self.state {
            State::Open(open) if entry.is_some_and(|entry| open.gate.seq() > entry) => return,
            State::Open(_) => self.shut_at_once(now, out),
            // The ledger refuses what they ask for, unless they have seen the revocation.
            State::Created | State::Asking(_) | State::Sealing(_) if entry.is_some() => return,
            State::Asking(asking) => {
                out.effects.push(Effect::Clear { stream: asking.stream });
                self.decline_aloud(now, out);
            }
            State::Created | State::Sealing(_) => self.decline_aloud(now, out),
            // It was we who failed; the client's no need not be listened for any more.
            State::Refused(refused) if self.consent.status != ConsentStatus::Revoked => refused.keys = None,
            State::Refused(_) | State::Over => return,
        }
        self.withdrawn(now, Method::Written, out);
        self.rest(now);
    }

    /// Twilio may know late that nobody listened: a silence that was taken for a yes was none, and nothing of it is kept.
    pub(super) fn answered_by(&mut self, now: Now, by: &str, out: &mut Outbox) {
        self.answered_by = Some(by.to_owned());
        if !self.is_screened_out()
            || !matches!(self.state, State::Open(_))
            || self.consent.method != Some(Method::SilenceTimeout)
            || self.consent.prior
        {
            return;
        }
        let no = StreamNo(u8::try_from(self.streams.len().saturating_sub(1)).unwrap_or(0));
        self.shut(now, no, Place(0), OnOptOut::DiscardCall, out);
        self.reason = Some(UnrecordedReason::SystemError);
        self.consent.status = ConsentStatus::Pending;
        self.consent.method = None;
        let why = "a machine answered the call: its silence was no consent";
        self.audit(now, EventKind::CallUnrecorded, json!({ "reason": UnrecordedReason::SystemError, "why": why }), out);
        self.rest(now);
    }

    /// The disk is full or stuck: the recording stops, the call does not (P6).
    pub(super) fn sink_failed(&mut self, now: Now, out: &mut Outbox) {
        let state = std::mem::replace(&mut self.state, State::Refused(Refused::default()));
        let State::Open(open) = state else {
            self.state = state;
            return;
        };
        let waiting = open.gate.waiting();
        for (withheld, waiting) in self.withheld.iter_mut().zip(waiting) {
            *withheld += waiting;
        }
        self.state = State::Refused(Refused { closing: None, keys: Some(open.keys) });
        self.recording = RecordingState::Failed;
        self.reason = Some(UnrecordedReason::SystemError);
        self.audit(now, EventKind::RecordingFailed, json!({ "why": "the spool could not take the audio" }), out);
        out.effects.extend([Effect::RecordingEnds(RecordingEnd::Keep), Effect::Changed]);
    }

    /// A captured stream, or the consent stream that was handed back, is over.
    pub(super) fn talk_ended(&mut self, now: Now, no: StreamNo, mode: Mode, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else { return };
        let verdict = open.keys.ended();
        self.act_on(now, no, verdict, out);
        match (&mut self.state, mode) {
            (State::Open(open), Mode::Consent) => {
                open.closing = None;
                if !open.begun {
                    open.fork_by = Some(now.tick.plus_ms(FORK_WITHIN_MS));
                }
            }
            (State::Open(_), Mode::Stay | Mode::Capture) => {
                self.end_recording_with_everything(out);
                self.over(now, out);
            }
            // The last key turned out to be a no.
            _ => self.over_without_streams(now, out),
        }
    }

    /// The line went quiet: whatever waits was consented to, unless a key says otherwise.
    pub(super) fn line_is_quiet(&mut self, now: Now, no: StreamNo, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else { return };
        let verdict = open.keys.ended();
        self.act_on(now, no, verdict, out);
        if let State::Open(open) = &mut self.state {
            let before = out.captured.len();
            open.gate.let_out_all(&mut out.captured);
            self.count(before, out);
        }
    }

    pub(super) fn end_recording_with_everything(&mut self, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else { return };
        let before = out.captured.len();
        open.gate.let_out_all(&mut out.captured);
        let begun = open.begun;
        self.count(before, out);
        if begun {
            out.effects.push(Effect::RecordingEnds(RecordingEnd::Keep));
        }
    }
}

/// Moves a closing line on; tells whether it is over.
fn closing_passed(closing: &mut Option<Playback>, clock: Place, now: Tick, out: &mut Outbox) -> bool {
    let Some(playback) = closing else { return false };
    playback.advance(clock, &mut out.effects);
    let length_ms = playback.prompt.codes.len() as u64 / SAMPLES_PER_MS;
    let over = playback.is_heard(clock)
        || playback.is_overdue(clock, CLOSING_SLACK_MS)
        || playback.age_ms(now) > length_ms + CLOSING_WALL_SLACK_MS;
    if over {
        *closing = None;
    }
    over
}
