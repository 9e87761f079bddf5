//! What comes in on a stream: where its audio belongs, what is heard in it, and the keys, told by Twilio or heard.

use super::ear::Tone;
use super::timeline::{Placed, stamp};
use super::{Call, Now, Outbox, State};
use crate::engine::audio::frame::{Channel, FRAME_SAMPLES, Frame, Place, StreamNo};
use crate::engine::audio::key::Key;
use crate::engine::consent::Actor;
use crate::engine::consent::keys::Heard;
use crate::engine::time::{MediaTime, SAMPLES_PER_MS};
use crate::engine::twilio::message::Track;

impl Call {
    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(super) fn media(
        &mut self,
        now: Now,
        no: StreamNo,
        track: Track,
        sequence: u64,
        chunk: u64,
        timestamp: MediaTime,
        codes: &[u8],
        out: &mut Outbox,
    ) {
        let index = usize::from(no.0);
        let side = track.index();
        let Some(stream) = self.streams.get_mut(index).filter(|stream| stream.live) else { return };
        let channel = stream.channel(side);
        stream.last_media = now.tick;
        stream.sequence = stream.sequence.max(sequence);
        let Some(ear) = &mut stream.ears[side] else {
            self.withheld[channel.index()] += 1; // a track that `start` did not announce
            return;
        };
        let placed = ear.place(chunk, timestamp, codes.len() as u64);
        let (at, is_next) = match placed {
            Placed::Next(at) => (at, true),
            Placed::Late(at) => (at, false),
            Placed::Repeat => return,
        };
        if side == 0 || stream.ears[0].is_none() {
            stream.clock = stream.clock.max(at.plus(codes.len() as u64));
        }
        let timestamp = stamp(at, timestamp);
        let client = channel == Channel::Client;
        let mut taken = 0;
        for (piece, codes) in codes.chunks(FRAME_SAMPLES).enumerate() {
            let offset = (piece * FRAME_SAMPLES) as u64;
            let stamp = timestamp + offset / SAMPLES_PER_MS;
            let frame = Frame::new(channel, no, at.plus(offset), stamp, codes);
            let ear = self.streams[index].ears[side].as_mut();
            if ear.is_some_and(|ear| !ear.hear(&frame)) {
                self.withheld[channel.index()] += 1; // too late to be heard
                continue;
            }
            taken += codes.len() as u64;
            if let (State::Asking(asking), true, true) = (&mut self.state, client, is_next) {
                asking.listen(frame.end(), codes);
            }
            self.take_tones(now, no, side, out);
            if let (Some(relay), true) = (&mut self.relay, client) {
                relay.hear(no, frame.at, stamp, codes, out);
            }
            self.capture(frame, out);
        }
        self.wait_no_longer(now, no, at.plus(codes.len() as u64), out);
        if client && taken > 0 {
            self.media_passed(now, no, taken, out);
        }
    }

    /// A stream has come to `to`, on either track: what waits on any for something that is missing may have waited long enough.
    fn wait_no_longer(&mut self, now: Now, no: StreamNo, to: Place, out: &mut Outbox) {
        for side in 0..2 {
            if let Some(ear) = &mut self.streams[usize::from(no.0)].ears[side] {
                ear.passed(to);
                self.take_tones(now, no, side, out);
            }
        }
    }

    /// Nothing more is coming, for now or at all: what waits to be heard is heard before anything is decided.
    pub(super) fn hear_out(&mut self, now: Now, out: &mut Outbox) {
        for index in 0..self.streams.len() {
            let Ok(no) = u8::try_from(index).map(StreamNo) else { continue };
            for side in 0..2 {
                if let Some(ear) = &mut self.streams[index].ears[side] {
                    ear.hear_out();
                    self.take_tones(now, no, side, out);
                }
            }
        }
    }

    pub(super) fn take_tones(&mut self, now: Now, no: StreamNo, side: usize, out: &mut Outbox) {
        let index = usize::from(no.0);
        let channel = self.streams[index].channel(side);
        while let Some(tone) = self.streams[index].ears[side].as_mut().and_then(|ear| ear.take_tone()) {
            match tone {
                Tone::Began(key, onset) => {
                    if let State::Open(open) = &mut self.state {
                        open.gate.tone_began(no, channel, onset);
                    }
                    if channel == Channel::Client {
                        self.pressed(now, no, key, Heard::Tone, onset, out);
                    }
                }
                Tone::Ended(end) => {
                    if let State::Open(open) = &mut self.state {
                        open.gate.tone_ended(no, channel, end);
                    }
                }
            }
        }
    }

    pub(super) fn dtmf(&mut self, now: Now, no: StreamNo, sequence: u64, key: Key, out: &mut Outbox) {
        let Some(stream) = self.streams.get_mut(usize::from(no.0)).filter(|stream| stream.live) else { return };
        stream.sequence = stream.sequence.max(sequence);
        if stream.leg != Channel::Client {
            return; // the client's keys are pressed on the client's leg
        }
        let at = stream.clock;
        // In stream order the key came before what was taken for the answer: it decides, not the handling.
        if let Some(relay) = &mut self.relay {
            relay.pressed(no, key);
        }
        let before_decision = match &self.state {
            State::Open(open) => !open.prior && open.decided_at.is_some_and(|(on, decided)| on == no && sequence > 0 && sequence < decided),
            State::Created | State::Asking(_) | State::Sealing(_) | State::Refused(_) | State::Over => false,
        };
        if before_decision && key.symbol() == '2' {
            self.decline_after_all(now, no, at, out);
        } else {
            self.pressed(now, no, key, Heard::Event, at, out);
        }
    }

    fn pressed(&mut self, now: Now, no: StreamNo, key: Key, heard: Heard, at: Place, out: &mut Outbox) {
        // Whatever is open on another stream was its last word: a stream is left for the next one.
        if self.keys_pending_on().is_some_and(|pending| pending != no) {
            self.settle_keys(now, out);
        }
        let new = self.streams[usize::from(no.0)].presses.is_new(key, heard, at);
        match &self.state {
            State::Asking(_) if new => self.answered(now, no, key, out),
            State::Sealing(_) if new && key.symbol() == '2' => {
                self.refuse(now, Actor::Client { id: self.identity.client_id.clone() }, None, out)
            }
            State::Open(_) => self.pressed_in_talk(now, no, key, heard, at, new, out),
            State::Refused(_) if new => self.listen_on(now, out, |keys| keys.pressed(now.tick, no, key, at, at)),
            State::Created | State::Asking(_) | State::Sealing(_) | State::Refused(_) | State::Over => {}
        }
    }
}
