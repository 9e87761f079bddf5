//! After the decision: the gate open, frames on their way through it, and the end of the conversation. How a gate is shut
//! before that is in `refusal`.

use std::sync::Arc;

use serde_json::json;

use super::ask::SILENCE_IS_NO_CONSENT;
use super::outbox::{Effect, RecordingEnd};
use super::pause::Pauses;
use super::playback::{Playback, play_at_once};
use super::refusal::A_MACHINE_ANSWERED;
use super::{Call, FORK_WITHIN_MS, Mode, NotSealed, Now, Outbox, RecordingState, SEGMENT_GAP_MS, Segment, State, StreamNo};
use crate::engine::audio::beep;
use crate::engine::audio::frame::{Frame, Place};
use crate::engine::audio::prompts::Line;
use crate::engine::consent::keys::Conversation;
use crate::engine::consent::{ConsentStatus, Gate, Grant, Method, Receipt, UnrecordedReason};
use crate::engine::ledger::EventKind;
use crate::engine::time::{SAMPLES_PER_MS, Tick};

/// After a closing line's length its mark is waited for this long.
const CLOSING_SLACK_MS: u64 = 1_500;
/// By the wall, a closing line is over after its length and this, media or no media.
const CLOSING_WALL_SLACK_MS: u64 = 4_000;

/// Consent stands, and is durable.
pub(super) struct Open {
    pub(super) gate: Gate,
    pub(super) prior: bool,
    /// The stream and the sequence number of the message that decided, if one did.
    pub(super) decided_at: Option<(StreamNo, u64)>,
    /// "Thank you…": while it plays, a 2 still answers the question.
    pub(super) closing: Option<Playback>,
    /// The consent stream was handed back; the fork must come by then.
    pub(super) fork_by: Option<Tick>,
    pub(super) keys: Conversation,
    pub(super) begun: bool,
    pub(super) pauses: Pauses,
    /// The next tone is due there.
    pub(super) beep_at: Place,
    /// The stream that is captured. Frames of any other are withheld.
    pub(super) recorded: Option<StreamNo>,
    /// Since when.
    pub(super) recorded_at: Option<Tick>,
    /// The stream in which the recording was told of the pause in force.
    pub(super) paused_on: Option<StreamNo>,
}

/// No consent, or no more, or it was we who failed. The call goes on without us.
pub(super) struct Refused {
    pub(super) closing: Option<Playback>,
    /// Whatever came before, the client's no is still listened for: the next call is not to be recorded unasked (design 6.1).
    pub(super) keys: Conversation,
}

/// What is left of [`Open`] when its gate goes.
pub(super) struct Shut {
    pub(super) gate: Gate,
    pub(super) begun: bool,
    pub(super) recorded: Option<StreamNo>,
}

impl Call {
    // === into the conversation ===

    pub(super) fn sealed(&mut self, now: Now, receipt: Receipt<Grant>, out: &mut Outbox) {
        self.note_silence(now, receipt.record(), out);
        let State::Sealing(sealing) = &self.state else { return }; // refused meanwhile: decline wins
        let (prior, decided_at) = (sealing.prior, sealing.decided_at);
        if self.withdrawn_at.is_some_and(|entry| receipt.seq() < entry) {
            // It was committed before the withdrawal, and told after it (P2).
            self.not_sealed(now, NotSealed::Superseded, out);
            return;
        }
        let record = receipt.record();
        if !prior && record.method == Method::SilenceTimeout && self.is_screened_out() {
            self.go_unrecorded(now, UnrecordedReason::SystemError, A_MACHINE_ANSWERED, None, out);
            return;
        }
        if record.method == Method::SilenceTimeout && !self.takes_silence() {
            // A yes of before, given where silence was one.
            self.go_unrecorded(now, UnrecordedReason::SystemError, SILENCE_IS_NO_CONSENT, None, out);
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
                    if let (Some(onset), Ok(no)) = (ear.sounding(), u8::try_from(index)) {
                        gate.tone_began(StreamNo(no), channel, onset);
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
            beep_at: Place(0),
            recorded: None,
            recorded_at: None,
            paused_on: None,
        }));
        if let Some(no) = stays {
            self.recording_goes_on(now, no, out);
        } else if prior {
            self.hand_back(out);
        }
        if awaits_fork && !self.told && !self.streams.is_empty() && self.streams.iter().all(|stream| stream.mode == Mode::Stay) {
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
            NotSealed::Annulled => {
                self.go_unrecorded(
                    now,
                    UnrecordedReason::SystemError,
                    "the consent of before turned out to be a machine's silence",
                    None,
                    out,
                );
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
        self.concerned = Some(no);
        open.beep_at = Place(0);
        open.recorded_at = Some(now.tick);
        if !open.begun {
            open.begun = true;
            self.recording = RecordingState::Active;
            let lead = self.lead.filter(|_| self.settings.prompt_in_recording);
            out.effects.push(Effect::RecordingBegins { grant: open.gate.seq(), record: Arc::clone(open.gate.record()), lead });
        }
        out.effects.push(Effect::RecordedStream { stream: no, stream_sid: self.streams[usize::from(no.0)].sid.clone() });
        let paused =
            if let State::Open(open) = &mut self.state { open.pauses.reason().inspect(|_| open.paused_on = Some(no)) } else { None };
        if let Some(reason) = paused {
            out.effects.push(Effect::Paused { stream: no, at: self.streams[usize::from(no.0)].clock, reason });
        }
        self.take_in_from_here();
        out.effects.push(Effect::Changed);
    }

    // === frames ===

    /// From where the captured stream stands on, frames are taken in. What has not come yet of what was said before then is not.
    pub(super) fn take_in_from_here(&mut self) {
        let State::Open(open) = &mut self.state else { return };
        let Some(no) = open.recorded else { return };
        let stream = &self.streams[usize::from(no.0)];
        // One track may be ahead of the other; of one that is behind, or has not begun, the stream's clock tells what is now.
        let mut from = [stream.clock; 2];
        for side in 0..2 {
            let reached = stream.ears[side].as_ref().and_then(|ear| ear.reached());
            let from = &mut from[stream.channel(side).index()];
            *from = reached.map_or(*from, |reached| reached.max(*from));
        }
        open.gate.take_from(no, from);
    }

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
            let to = admitted.at().plus(admitted.codes().len() as u64);
            self.captured_to = match self.captured_to {
                Some((stream, before)) if stream == admitted.stream() => Some((stream, before.max(to))),
                Some(_) | None => Some((admitted.stream(), to)),
            };
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
                let verdict = open.keys.passed(no, clock);
                self.act_on(now, no, verdict, out);
                if closed {
                    self.hand_back(out);
                }
                self.beep(no, out);
            }
            State::Refused(refused) => {
                let closed = closing_passed(&mut refused.closing, clock, now.tick, out);
                self.listen_on(now, out, |keys| keys.passed(no, clock));
                if closed {
                    self.hand_back(out);
                }
            }
            State::Created | State::Sealing(_) | State::Over => {}
        }
    }

    /// Both people are told once more that they are recorded: at the beginning, and then at regular intervals. Only where what the client hears
    /// is ours to send, which a fork is not, and where nobody rings; not into a key, and not in a pause, when nobody is recorded.
    fn beep(&mut self, no: StreamNo, out: &mut Outbox) {
        let Some(every_ms) = self.settings.beep_every_ms else { return };
        let stream = &self.streams[usize::from(no.0)];
        let State::Open(open) = &mut self.state else { return };
        let pressed = open.gate.is_holding() || stream.ears[0].as_ref().is_some_and(|ear| ear.sounding().is_some());
        let recorded = stream.mode == Mode::Stay && open.recorded == Some(no) && !open.pauses.in_force();
        if !recorded || open.closing.is_some() || pressed || stream.clock < open.beep_at {
            return;
        }
        match &mut self.relay {
            Some(relay) if relay.speaks_into(no) => {
                let at = if relay.is_in_talk() { relay.speak_over(beep::codes(), stream.clock, out) } else { None };
                let Some(at) = at else { return };
                out.effects.push(Effect::Beeped { stream: no, at });
            }
            Some(_) | None => out.effects.push(Effect::Beep { stream: no, at: stream.clock }),
        }
        open.beep_at = stream.clock.plus_ms(every_ms);
    }

    /// Who listens to us is told what has become of the recording, if the configuration wants it, and where [`Self::beep`] could tell it;
    /// of two people who are joined here both are.
    pub(super) fn announce(&mut self, line: Line, out: &mut Outbox) {
        let Some(no) = self.stream_that_plays().filter(|_| self.settings.announces) else { return };
        let (stream, prompt) = (&self.streams[usize::from(no.0)], self.settings.prompts.prompt(self.language, line));
        match &mut self.relay {
            _ if stream.mode != Mode::Stay => {}
            Some(relay) if relay.speaks_into(no) => {
                relay.speak_over(prompt.codes, stream.clock, out);
            }
            Some(_) | None => play_at_once(prompt, no, &mut out.effects),
        }
    }

    /// Consent streams have done their work: the call goes on with the next verb of its TwiML.
    pub(super) fn hand_back(&mut self, out: &mut Outbox) {
        for (index, stream) in self.streams.iter().enumerate() {
            if let (true, Mode::Consent, Ok(no)) = (stream.live, stream.mode, u8::try_from(index)) {
                out.effects.push(Effect::Close { stream: StreamNo(no) });
            }
        }
    }

    // === to its end ===

    /// A captured stream, or the consent stream that was handed back, is over.
    pub(super) fn talk_ended(&mut self, now: Now, no: StreamNo, mode: Mode, out: &mut Outbox) {
        let goes_on_ms = self.goes_on_for_ms(no);
        match (&mut self.state, mode, goes_on_ms) {
            // Another one is captured.
            (State::Open(open), Mode::Stay | Mode::Capture, _) if open.recorded.is_some_and(|recorded| recorded != no) => {}
            (State::Open(open), Mode::Consent, _) => {
                open.closing = None;
                if !open.begun {
                    open.fork_by = Some(now.tick.plus_ms(FORK_WITHIN_MS));
                }
            }
            // Somebody else may go on, and is captured in a stream of their own.
            (State::Open(open), Mode::Stay | Mode::Capture, Some(ms)) => {
                let before = out.captured.len();
                open.gate.let_out_all(&mut out.captured);
                open.recorded = None;
                open.fork_by = Some(now.tick.plus_ms(ms));
                self.count(before, out);
            }
            (State::Open(_), Mode::Stay | Mode::Capture, None) => {
                self.end_recording_with_everything(now, out);
                self.over(now, out);
            }
            _ => {}
        }
    }

    /// People talk on, and from here on it is we who have no part in it: the chain says why (P6), and the client's no is still one.
    pub(super) fn unrecorded_from_here(&mut self, now: Now, why: &'static str, out: &mut Outbox) {
        self.settle_keys(now, out);
        self.end_recording_with_everything(now, out);
        if self.take_gate().is_none() {
            return; // unrecorded already, or what was heard last turned out to be a no
        }
        if self.recording == RecordingState::Active {
            self.recording = RecordingState::Halted;
        }
        self.reason = Some(UnrecordedReason::SystemError);
        self.audit(now, EventKind::CallUnrecorded, json!({ "reason": UnrecordedReason::SystemError, "why": why }), out);
        out.effects.push(Effect::Changed);
        self.over_without_streams(now, out);
    }

    /// The line went quiet: whatever waits was consented to, unless a key says otherwise.
    pub(super) fn line_is_quiet(&mut self, now: Now, out: &mut Outbox) {
        self.settle_keys(now, out);
        if let State::Open(open) = &mut self.state {
            let before = out.captured.len();
            open.gate.let_out_all(&mut out.captured);
            self.count(before, out);
        }
    }

    pub(super) fn end_recording_with_everything(&mut self, now: Now, out: &mut Outbox) {
        if self.objection_stands(now, out) {
            return;
        }
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
