//! Out of the conversation, or never into it: a key, a word through the API, a revocation, a machine that Twilio names late, a disk
//! that fails. The gate goes first of all; what it held is told apart at the cut; then the no is written.

use serde_json::json;

use super::outbox::{Effect, Reach, RecordingEnd};
use super::talk::{Open, Refused, Shut};
use super::{Call, Mode, NotSealed, Now, OnOptOut, Outbox, RecordingState, State, StreamNo};
use crate::engine::audio::frame::{Channel, Place};
use crate::engine::audio::key::Key;
use crate::engine::audio::prompts::Line;
use crate::engine::consent::keys::{Conversation, Heard, Verdict};
use crate::engine::consent::{Actor, ConsentRecord, ConsentStatus, Cut, DELAY_LINE_MS, GrantSeq, Method, UnrecordedReason};
use crate::engine::ledger::EventKind;
use crate::engine::time::{MediaTime, SAMPLES_PER_MS, Tick, WallTime};

/// Why a yes by silence was none.
pub(super) const A_MACHINE_ANSWERED: &str = "a machine answered the call: its silence was no consent";
/// After a key that only Twilio's event tells of, its tone is looked for so long.
const EVENT_LOOK_MS: u64 = 300;

impl Call {
    pub(super) fn pressed_in_talk(&mut self, now: Now, no: StreamNo, key: Key, heard: Heard, at: Place, new: bool, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else { return };
        if !new {
            if heard == Heard::Tone {
                let verdict = open.keys.onset_is(no, at);
                self.act_on(now, no, verdict, out);
            }
            return;
        }
        let cut = match heard {
            Heard::Tone => at,
            Heard::Event => {
                open.gate.look_for(no, Channel::Client, key, at.plus_ms(EVENT_LOOK_MS));
                at.minus_ms(DELAY_LINE_MS)
            }
        };
        if open.closing.is_some() && !open.prior && key.symbol() == '2' {
            // "1, then 2": the question was still open in the client's ear.
            self.decline_after_all(now, no, cut, out);
        } else {
            let verdict = open.keys.pressed(now.tick, no, key, at, cut);
            self.act_on(now, no, verdict, out);
        }
    }

    fn keys(&self) -> Option<&Conversation> {
        match &self.state {
            State::Open(open) => Some(&open.keys),
            State::Refused(refused) => Some(&refused.keys),
            State::Created | State::Asking(_) | State::Sealing(_) | State::Over => None,
        }
    }

    /// The stream on which it is open what the client's last keys come to.
    pub(super) fn keys_pending_on(&self) -> Option<StreamNo> {
        self.keys().and_then(Conversation::pending_on)
    }

    /// By then it is open no more.
    pub(super) fn keys_due(&self) -> Option<Tick> {
        self.keys().and_then(Conversation::due)
    }

    /// No key follows on the stream of the last one: a 2 stood alone, and is a no before anything else is decided.
    pub(super) fn settle_keys(&mut self, now: Now, out: &mut Outbox) {
        let Some(no) = self.keys_pending_on() else { return };
        match &mut self.state {
            State::Open(open) => {
                let verdict = open.keys.ended();
                self.act_on(now, no, verdict, out);
            }
            State::Created | State::Asking(_) | State::Sealing(_) | State::Refused(_) | State::Over => {
                self.listen_on(now, out, Conversation::ended);
            }
        }
    }

    pub(super) fn act_on(&mut self, now: Now, no: StreamNo, verdict: Verdict, out: &mut Outbox) {
        let State::Open(open) = &mut self.state else { return };
        match verdict {
            Verdict::Nothing => {}
            Verdict::Hold(at) => open.gate.hold(at),
            Verdict::Release => open.gate.release(),
            Verdict::OptOut(at) => {
                let actor = Actor::Client { id: self.identity.client_id.clone() };
                self.shut(now, no, at, self.settings.on_opt_out, out);
                self.announce(Line::Stopped, out);
                self.write_refusal(now, Method::Keypress, actor, None, out);
            }
        }
    }

    /// The client's keys where nothing is captured: nothing is left to cut, and a no is a no.
    pub(super) fn listen_on(&mut self, now: Now, out: &mut Outbox, hear: impl FnOnce(&mut Conversation) -> Verdict) {
        let State::Refused(Refused { keys, .. }) = &mut self.state else { return };
        if matches!(hear(keys), Verdict::OptOut(_)) && self.consent.status != ConsentStatus::Revoked {
            self.refuse_late(now, Method::Keypress, Actor::Client { id: self.identity.client_id.clone() }, None, None, out);
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
                self.state = State::Refused(Refused { closing, keys: self.listening() });
            }
        }
        let actor = Actor::Client { id: self.identity.client_id.clone() };
        self.write_refusal(now, Method::Keypress, actor, None, out);
    }

    /// The gate goes, whoever it is that shuts it; the client's keys go on being listened to, in the midst of one as well.
    pub(super) fn take_gate(&mut self) -> Option<Shut> {
        let state = std::mem::replace(&mut self.state, State::Over);
        let State::Open(open) = state else {
            self.state = state;
            return None;
        };
        let Open { gate, begun, recorded, keys, .. } = *open;
        self.state = State::Refused(Refused { closing: None, keys });
        Some(Shut { gate, begun, recorded })
    }

    /// Ears for the client's keys, of which none has been pressed yet.
    const fn listening(&self) -> Conversation {
        Conversation::new(self.settings.opt_out_keys)
    }

    /// The gate goes, first of all; then what it held is told apart at the cut.
    pub(super) fn shut(&mut self, now: Now, no: StreamNo, at: Place, then: OnOptOut, out: &mut Outbox) {
        let Some(Shut { gate, begun, recorded }) = self.take_gate() else { return };
        // Another stream's time line says nothing about this one: then nothing that waits is let out.
        let (on, at) = match recorded {
            Some(recorded) if recorded != no => (gate.stream(), gate.line_start()),
            Some(_) | None => (no, at),
        };
        let before = out.captured.len();
        let cut = gate.cut(on, at, &mut out.captured);
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
    pub(super) fn go_back(&mut self, cut: Cut, out: &mut Outbox) {
        let Some((stream, at)) = cut.back_to else { return };
        out.effects.push(Effect::CutBack { stream, at });
        if let Some((_, to)) = self.captured_to.as_mut().filter(|(last, _)| *last == stream) {
            *to = at.min(*to);
        }
        for (channel, back) in cut.let_out.into_iter().enumerate() {
            self.captured[channel] -= back;
            self.withheld[channel] += back;
        }
        // Segments are told in Twilio's timestamps, which drift against places: the distance holds, not the place.
        let sid = &self.streams[usize::from(stream.0)].sid;
        let Some(last) = self.segments.last().filter(|last| last.stream_sid == *sid) else { return };
        let end = MediaTime(last.end_ms.0.saturating_sub(cut.past.div_ceil(SAMPLES_PER_MS)));
        // It may reach back over pauses: what lies behind it whole is gone, but one trace of the recording is left.
        while self.segments.len() > 1 && self.segments.last().is_some_and(|last| last.stream_sid == *sid && last.start_ms >= end) {
            self.segments.pop();
        }
        if let Some(last) = self.segments.last_mut().filter(|last| last.stream_sid == *sid) {
            last.end_ms = last.end_ms.min(end).max(last.start_ms);
        }
    }

    pub(super) fn write_refusal(&mut self, now: Now, method: Method, actor: Actor, reason: Option<String>, out: &mut Outbox) {
        self.write_answer(now, method, actor, reason, None, Reach::Cut, out);
    }

    /// A no when the recording has ended already, for a reason of ours or by an earlier no. It may be stored, and nobody can cut it any
    /// more. If the no, which holds from that place on, reaches into it, or if a no is to leave nothing of a call, then all of it goes:
    /// it is queued for deletion by the commit that writes the no. A no that was said before and reaches no farther is not written again.
    pub(super) fn refuse_late(
        &mut self,
        now: Now,
        method: Method,
        actor: Actor,
        reason: Option<String>,
        from: Option<(StreamNo, Place)>,
        out: &mut Outbox,
    ) {
        let reaches = match (self.captured_to, from) {
            _ if self.taken_back || self.captured == [0; 2] || self.recording == RecordingState::Discarded => false,
            (Some((last, to)), Some((no, at))) if self.settings.on_opt_out == OnOptOut::KeepConsented => {
                no < last || (no == last && at < to)
            }
            (Some(_) | None, Some(_) | None) => self.settings.on_opt_out == OnOptOut::DiscardCall,
        };
        if reaches {
            self.taken_back = true;
            let (no, at) = from.or(self.captured_to).unwrap_or((StreamNo(0), Place(0)));
            self.concerned = Some(no);
            let detail = json!({ "cutAtMs": at.media_time(), "capturedUpToMs": self.captured_up_to(), "carriedOut": false });
            self.audit(now, EventKind::RecordingHalted, detail, out);
        } else if self.consent.status == ConsentStatus::Revoked {
            return;
        }
        self.write_answer(now, method, actor, reason, None, if reaches { Reach::Recording } else { Reach::Cut }, out);
    }

    /// `told`: what the client had been told when the no came.
    fn write_answer(
        &mut self,
        now: Now,
        method: Method,
        actor: Actor,
        reason: Option<String>,
        told: Option<(&'static str, serde_json::Value)>,
        reach: Reach,
        out: &mut Outbox,
    ) {
        let mut evidence = json!({ "position": self.position(), "language": self.language.code() });
        if let Some((name, told)) = told {
            evidence[name] = told;
        }
        let mut record = self.record(now, ConsentStatus::Revoked, method, actor, evidence);
        record.reason = reason;
        out.effects.push(Effect::Refuse(Box::new(record), reach));
        self.withdrawn(now, method, out);
    }

    /// Consent is withdrawn, as others see the call.
    pub(super) fn withdrawn(&mut self, now: Now, method: Method, out: &mut Outbox) {
        self.consent.status = ConsentStatus::Revoked;
        self.consent.method = Some(method);
        self.consent.granted_at = None;
        self.holds_from(now.wall);
        self.reason = Some(UnrecordedReason::ClientOptOut);
        self.connected_at = self.connected_at.or(Some(now.wall));
        out.effects.push(Effect::Changed);
    }

    /// The client said no to the question.
    pub(super) fn refuse(&mut self, now: Now, actor: Actor, reason: Option<String>, out: &mut Outbox) {
        let told = self.prompt_told().map(|prompt| ("prompt", prompt));
        self.refuse_told(now, actor, reason, told, out);
    }

    /// The same, with what the client had been told under its name in the evidence.
    pub(super) fn refuse_told(
        &mut self,
        now: Now,
        actor: Actor,
        reason: Option<String>,
        told: Option<(&'static str, serde_json::Value)>,
        out: &mut Outbox,
    ) {
        let method = if matches!(actor, Actor::Client { .. }) { Method::Keypress } else { Method::Verbal };
        self.decline_aloud(now, out);
        self.write_answer(now, method, actor, reason, told, Reach::Cut, out);
        self.rest(now);
    }

    pub(super) fn decline_aloud(&mut self, now: Now, out: &mut Outbox) {
        let closing = self.stream_that_plays().map(|no| self.play(now, no, Line::Declined, out));
        self.state = State::Refused(Refused { closing, keys: self.listening() });
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
        let mut detail = json!({ "reason": reason, "why": why, "heard": evidence, "answeredBy": self.answered_by });
        if let Some(prompt) = self.prompt_told() {
            detail["prompt"] = prompt;
        }
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
        self.state = State::Refused(Refused { closing, keys: self.listening() });
        self.audit(now, EventKind::CallUnrecorded, detail, out);
        if silent {
            self.hand_back(out);
        }
        out.effects.push(Effect::Changed);
        self.rest(now);
    }

    /// Somebody who may tells us that the client said no: now, or `since` some moment ago.
    pub(super) fn opt_out(&mut self, now: Now, actor: Actor, reason: Option<String>, since: Option<WallTime>, out: &mut Outbox) {
        let since = since.filter(|since| *since < now.wall);
        // Said before, from a moment as early: nothing of after it is kept.
        let is_new = self.consent.effective_at.is_none_or(|from| since.is_some_and(|since| since < from));
        if !matches!(self.state, State::Over) {
            self.holds_from(since.unwrap_or(now.wall));
        }
        match &self.state {
            State::Asking(asking) => {
                out.effects.push(Effect::Clear { stream: asking.stream });
                self.refuse(now, actor, reason, out);
            }
            State::Created | State::Sealing(_) => self.refuse(now, actor, reason, out),
            State::Open(_) => match since {
                Some(since) => {
                    self.shut_since(now, since, out);
                    self.announce(Line::Stopped, out);
                    self.write_refusal(now, Method::Verbal, actor, reason, out);
                    self.rest(now);
                }
                None => self.stop_here(now, Method::Verbal, actor, reason, out),
            },
            State::Refused(_) if is_new => {
                let last = self.captured_to.map(|(no, _)| no);
                let from = since.zip(last).map(|(since, no)| (no, self.place_at(now, since, no)));
                self.refuse_late(now, Method::Verbal, actor, reason, from, out);
                out.effects.push(Effect::Changed);
            }
            State::Refused(_) | State::Over => {}
        }
    }

    /// The no of this call holds from this moment on, if from none earlier.
    fn holds_from(&mut self, from: WallTime) {
        self.consent.effective_at = Some(self.consent.effective_at.map_or(from, |earlier| earlier.min(from)));
    }

    /// Where in a stream a moment lies that is past. Frames reach us after they were spoken, so it is rather too early than too late.
    fn place_at(&self, now: Now, since: WallTime, no: StreamNo) -> Place {
        let ago_ms = now.wall.0.saturating_sub(since.0).unsigned_abs();
        let at = |stream: &super::Stream| stream.clock.minus_ms(ago_ms.saturating_sub(now.tick.ms_since(stream.last_media)));
        self.streams.get(usize::from(no.0)).map_or(Place(0), at)
    }

    fn shut_at_once(&mut self, now: Now, out: &mut Outbox) {
        let no = self.heard_on();
        let at = self.streams.get(usize::from(no.0)).map_or(Place(0), |stream| stream.clock);
        self.shut(now, no, at, self.settings.on_opt_out, out);
    }

    /// The stream that is captured, or was last: between two streams the recording ends in the one before. Until one is, the newest
    /// one that lives.
    fn heard_on(&self) -> StreamNo {
        let live = || u8::try_from(self.streams.iter().rposition(|stream| stream.live)?).ok().map(StreamNo);
        self.concerned.or_else(live).unwrap_or(StreamNo(0))
    }

    /// As it holds from `since` on: what was received from then on leaves every sink. Nobody can tell where in an earlier stream the moment
    /// lies, nor what was consented to when it lies before the yes: then the whole recording goes.
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
        let at = self.place_at(now, since, no);
        self.shut(now, no, at, self.settings.on_opt_out, out);
    }

    /// The client said no on another way than a stream: the cut falls where the captured stream stands.
    pub(super) fn stop_here(&mut self, now: Now, method: Method, actor: Actor, reason: Option<String>, out: &mut Outbox) {
        self.shut_at_once(now, out);
        self.announce(Line::Stopped, out);
        self.write_refusal(now, method, actor, reason, out);
        self.rest(now);
    }

    /// Consent was withdrawn outside this call. Decline wins (P2): whatever was about to become a yes is none any more. Once
    /// the revocation stands in the chain, versions are compared and not times: a newer yes is an answer to it.
    pub(super) fn revoked(&mut self, now: Now, entry: Option<GrantSeq>, out: &mut Outbox) {
        self.withdrawn_at = self.withdrawn_at.max(entry);
        match &mut self.state {
            State::Open(open) if entry.is_some_and(|entry| open.gate.seq() > entry) => return,
            State::Open(_) => self.shut_at_once(now, out),
            // The ledger refuses what they ask for, unless they have seen the revocation. What it granted before is refused by `sealed`.
            State::Created | State::Asking(_) | State::Sealing(_) if entry.is_some() => return,
            State::Asking(asking) => {
                out.effects.push(Effect::Clear { stream: asking.stream });
                self.decline_aloud(now, out);
            }
            State::Created | State::Sealing(_) => self.decline_aloud(now, out),
            State::Refused(_) if self.consent.status != ConsentStatus::Revoked => {}
            State::Refused(_) | State::Over => return,
        }
        self.withdrawn(now, Method::Written, out);
        self.rest(now);
    }

    /// A yes by silence that this call asked for is durable, whatever has become of the call meanwhile.
    pub(super) fn note_silence(&mut self, now: Now, record: &ConsentRecord, out: &mut Outbox) {
        if record.method == Method::SilenceTimeout && record.call_id.as_deref() == Some(&*self.identity.call_id) {
            self.silent_yes = Some(record.id.clone());
            if self.is_screened_out() {
                self.annul(now, out);
            }
        }
    }

    /// The yes of this call was none, and so it is none for the next one: its client stands as if never asked (design 6.5).
    fn annul(&mut self, now: Now, out: &mut Outbox) {
        let Some(yes) = self.silent_yes.take() else { return };
        let evidence = json!({ "position": self.position(), "annuls": yes, "answeredBy": self.answered_by });
        let record = self.record(now, ConsentStatus::Pending, Method::SilenceTimeout, Actor::System, evidence);
        out.effects.push(Effect::Annul(Box::new(record)));
        if self.consent.status == ConsentStatus::Granted {
            self.consent.status = ConsentStatus::Pending;
            self.consent.method = None;
            self.consent.granted_at = None;
            out.effects.push(Effect::Changed);
        }
    }

    /// Twilio may know late that nobody listened: a silence that was taken for a yes was none, and nothing of it is kept.
    pub(super) fn answered_by(&mut self, now: Now, by: &str, out: &mut Outbox) {
        self.answered_by = Some(by.to_owned());
        if !self.is_screened_out() || self.silent_yes.is_none() {
            return;
        }
        if !matches!(self.state, State::Open(_)) {
            self.annul(now, out);
            return;
        }
        let no = StreamNo(u8::try_from(self.streams.len().saturating_sub(1)).unwrap_or(0));
        self.shut(now, no, Place(0), OnOptOut::DiscardCall, out);
        self.reason = Some(UnrecordedReason::SystemError);
        self.annul(now, out);
        let detail = json!({ "reason": UnrecordedReason::SystemError, "why": A_MACHINE_ANSWERED });
        self.audit(now, EventKind::CallUnrecorded, detail, out);
        self.rest(now);
    }

    /// The disk is full or stuck: the recording stops, the call does not (P6).
    pub(super) fn capture_fails(&mut self, now: Now, why: &str, out: &mut Outbox) {
        if self.objection_stands(now, out) {
            return;
        }
        let Some(Shut { gate, .. }) = self.take_gate() else { return };
        for (withheld, waiting) in self.withheld.iter_mut().zip(gate.waiting()) {
            *withheld += waiting;
        }
        self.recording = RecordingState::Failed;
        self.reason = Some(UnrecordedReason::SystemError);
        self.audit(now, EventKind::RecordingFailed, json!({ "why": why }), out);
        out.effects.extend([Effect::RecordingEnds(RecordingEnd::Keep), Effect::Changed]);
    }

    /// Others may have withdrawn what this call's gate rests on, and could not tell us (design 7).
    pub(super) fn lease_lost(&mut self, now: Now, out: &mut Outbox) {
        self.not_sealed(now, NotSealed::Unavailable, out);
        self.capture_fails(now, "this gateway lost its lease: it was cut off from the database", out);
    }

    /// Another gateway has the call, and whoever withdraws consent is answered by that one: here nothing of it is captured any more, nor
    /// is anybody asked.
    pub(super) fn disowned(&mut self, now: Now, out: &mut Outbox) {
        const WHY: &str = "another gateway has taken this call over";
        match &self.state {
            // It rings: whoever has it answers for it.
            State::Created => {
                self.state = State::Over;
                out.effects.push(Effect::Over);
            }
            State::Asking(_) => self.go_unrecorded(now, UnrecordedReason::SystemError, WHY, None, out),
            State::Sealing(_) | State::Open(_) | State::Refused(_) | State::Over => {
                self.not_sealed(now, NotSealed::Unavailable, out);
                self.capture_fails(now, WHY, out);
            }
        }
    }
}
