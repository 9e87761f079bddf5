//! Asking: the prompt plays, a key is awaited, and after it ten seconds of staying on the line.
//!
//! Silence needs a listener (P4): the ten seconds begin only when the whole prompt was heard, count in received
//! media, and grant only if the line carried media, no machine was heard, no music or call progress tone filled it, there
//! was a noise floor to be silent in, and the policy of the call's place takes silence for an answer.

use serde_json::json;

use super::outbox::Effect;
use super::playback::Playback;
use super::{Call, Clock, Now, Outbox, SEAL_WITHIN_MS, Sealing, State, StreamNo};
use crate::engine::audio::frame::Place;
use crate::engine::audio::greeting::Greeting;
use crate::engine::audio::key::Key;
use crate::engine::audio::prompts::Line;
use crate::engine::consent::keys::{Answer, answer};
use crate::engine::consent::{Actor, ConsentStatus, Direction, Grant, Method, UnrecordedReason};
use crate::engine::ledger::EventKind;
use crate::engine::time::{SAMPLES_PER_MS, Tick};

/// Staying on the line this long after the prompt accepts (PX-735 §4.5).
pub const WINDOW_MS: u64 = 10_000;
/// Plays of the consent prompt, all languages together.
pub const PROMPT_PLAYS_MAX: u32 = 3;
/// Of the window's audio, this share must have come.
const MEDIA_SHARE_PERCENT: u64 = 90;
/// A window with this share of exact digital silence has no noise floor.
const DIGITAL_SILENCE_PERCENT: u64 = 98;
/// Why a call under such a policy goes on unrecorded.
pub(super) const SILENCE_IS_NO_CONSENT: &str = "silence is no consent under the policy of this call's place";
/// After the prompt's length its mark must come within this; else nobody can say that it was heard.
const MARK_WITHIN_MS: u64 = 5_000;

/// The question is open.
pub(super) struct Asking {
    pub(super) playback: Playback,
    pub(super) stream: StreamNo,
    window: Option<Window>,
    asked_again: bool,
    /// The sentence that names 1 has begun to play in an earlier play, to whoever hears this one.
    is_named: bool,
    /// Whom we call may be a machine. Who calls us is not greeted by one.
    greeting: Option<Box<Greeting>>,
    /// Its stream has stopped: by then whoever was asked has hung up.
    pub(super) word_by: Option<Tick>,
}

struct Window {
    from: Place,
    from_tick: Tick,
    samples: u64,
}

impl Asking {
    pub(super) const fn waits_for_answer(&self) -> bool {
        self.window.is_some()
    }

    /// Whether the sentence that names 1 has begun to play by `clock` of its stream.
    fn names_yes_by(&mut self, clock: Place) -> bool {
        let played = self.playback.played(clock);
        self.waits_for_answer() || self.playback.prompt.key_named_at('1').is_some_and(|at| played >= at as u64)
    }

    /// The client's audio up to `clock`, and what was played to it.
    pub(super) fn listen(&mut self, clock: Place, codes: &[u8]) {
        if let Some(greeting) = &mut self.greeting {
            greeting.feed(codes, self.playback.played_in(clock, codes.len()));
        }
    }
}

impl Call {
    pub(super) fn ask(&mut self, now: Now, no: StreamNo, out: &mut Outbox) {
        let (asked_again, greeting, named) = match &mut self.state {
            State::Asking(asking) => {
                let clock = self.streams.get(usize::from(asking.stream.0)).map_or(Place(0), |stream| stream.clock);
                let named = (asking.is_named || asking.names_yes_by(clock)).then_some((asking.stream, asking.playback.prompt));
                (asking.asked_again, asking.greeting.take(), named)
            }
            State::Created | State::Sealing(_) | State::Open(_) | State::Refused(_) | State::Over => {
                (false, (self.identity.direction == Direction::Outbound).then(Box::default), None)
            }
        };
        let playback = self.play(now, no, Line::Consent, out);
        // Another language's sentence, or one played to another stream, told this listener nothing.
        let is_named = named.is_some_and(|(stream, prompt)| stream == no && std::ptr::eq(prompt, playback.prompt));
        self.consent.language_code = self.language.code();
        self.consent.prompt_version.clone_from(&playback.prompt.version);
        self.state = State::Asking(Asking { playback, stream: no, window: None, asked_again, is_named, greeting, word_by: None });
        out.effects.push(Effect::Changed);
    }

    /// A key while the question is open. One that counts stops the prompt at once.
    pub(super) fn answered(&mut self, now: Now, no: StreamNo, key: Key, out: &mut Outbox) {
        let State::Asking(asking) = &mut self.state else { return };
        let asked_on = asking.stream;
        let clock = self.streams[usize::from(no.0)].clock;
        // On a stream that the question has left, nobody is told anything any more; a no is a no wherever it is pressed.
        let named = asked_on == no && (asking.is_named || asking.names_yes_by(clock));
        match answer(key, named, self.settings.prompts) {
            Answer::Accept => {
                out.effects.push(Effect::Clear { stream: no });
                self.grant(now, no, Method::Keypress, None, out);
            }
            Answer::Decline => {
                out.effects.push(Effect::Clear { stream: asked_on });
                self.refuse(now, Actor::Client { id: self.identity.client_id.clone() }, None, out);
            }
            Answer::Speak(language) if asked_on == no && self.plays < PROMPT_PLAYS_MAX => {
                out.effects.push(Effect::Clear { stream: no });
                self.language = language;
                self.ask(now, no, out);
            }
            Answer::Speak(_) | Answer::Nothing => {}
        }
    }

    /// The media clock moved: the prompt goes on, the window opens, or the ten seconds are over.
    pub(super) fn asking_passed(&mut self, now: Now, no: StreamNo, samples: u64, out: &mut Outbox) {
        let clock = self.streams[usize::from(no.0)].clock;
        let State::Asking(asking) = &mut self.state else { return };
        if asking.stream != no {
            return;
        }
        asking.playback.advance(clock, &mut out.effects);
        if let Some(window) = &mut asking.window {
            window.samples += samples;
            let media = clock.0.saturating_sub(window.from.0) >= WINDOW_MS * SAMPLES_PER_MS;
            let wall = self.settings.clock == Clock::Media || now.tick.ms_since(window.from_tick) >= WINDOW_MS;
            if media && wall {
                self.window_passed(now, no, out);
            }
        } else if asking.playback.is_heard(clock) {
            asking.window = Some(Window { from: clock, from_tick: now.tick, samples: 0 });
            if let Some(line) = self.streams[usize::from(no.0)].ears[0].as_mut().and_then(|ear| ear.line()) {
                line.restart_window();
            }
            out.effects.push(Effect::Changed);
        } else if asking.playback.is_unbelievable() || asking.playback.is_overdue(clock, MARK_WITHIN_MS) {
            // It may still have been heard, so a key still counts; silence does not. People must not wait for ever.
            let over = asking.playback.is_overdue(clock, WINDOW_MS);
            if over {
                self.go_unrecorded(now, UnrecordedReason::SystemError, "the prompt was not played to its end", None, out);
            }
        }
    }

    fn window_passed(&mut self, now: Now, no: StreamNo, out: &mut Outbox) {
        let machine = self.is_screened_out();
        let untold = self.heard_by.is_some() && self.answered_by.is_none();
        let takes_silence = self.takes_silence();
        let clock = self.streams[usize::from(no.0)].clock;
        let State::Asking(asking) = &mut self.state else { return };
        let Some(window) = &asking.window else { return };
        let expected = clock.0.saturating_sub(window.from.0);
        let enough = window.samples * 100 >= expected * MEDIA_SHARE_PERCENT;
        let asked_again = asking.asked_again;
        let greeted = asking.greeting.as_ref().is_some_and(|greeting| greeting.is_heard());
        let line = self.streams[usize::from(no.0)].ears[0].as_mut().and_then(|ear| ear.line());
        let (tone, heard) = line.map_or((None, None), |line| (line.tone(), Some(line.window())));
        let digital = heard.is_some_and(|heard| heard.digital_silence_samples * 100 >= heard.samples * DIGITAL_SILENCE_PERCENT);
        let held = heard.is_some_and(|heard| heard.is_played());
        let evidence = heard.map(|heard| {
            let ms = |samples: u64| samples / SAMPLES_PER_MS;
            json!({ "windowMs": ms(expected), "receivedMs": ms(window.samples), "speechMs": ms(heard.speech_samples),
                    "digitalSilenceMs": ms(heard.digital_silence_samples), "heldNotesMs": ms(heard.held_samples), "levelDbov": heard.level_dbov.round() })
        });
        let why = if !enough {
            "too little of the ten seconds was received"
        } else if machine {
            "a machine answered the call"
        } else if untold {
            "Twilio has not told whether a person answered the call"
        } else if tone.is_some() {
            "a machine was heard on the line"
        } else if greeted {
            "whoever answered talked on from the first moment, as machines do"
        } else if held || (digital && self.settings.silence_needs_noise_floor) || !takes_silence {
            // Somebody may yet come to the telephone, or to a decision.
            if !asked_again && self.plays < PROMPT_PLAYS_MAX {
                asking.asked_again = true;
                self.ask(now, no, out);
                return;
            }
            if held {
                "music or call progress tones filled the wait: nobody can be heard to listen"
            } else if takes_silence {
                "the line was digitally silent: nobody can be heard to listen"
            } else {
                SILENCE_IS_NO_CONSENT
            }
        } else {
            self.grant(now, no, Method::SilenceTimeout, evidence.as_ref(), out);
            return;
        };
        self.go_unrecorded(now, UnrecordedReason::SystemError, why, evidence.as_ref(), out);
    }

    /// What the client has been told while the question is open: which prompt, and how much of it can have been played at most.
    pub(super) fn prompt_told(&self) -> Option<serde_json::Value> {
        let State::Asking(asking) = &self.state else { return None };
        let clock = self.streams.get(usize::from(asking.stream.0)).map_or(Place(0), |stream| stream.clock);
        let (prompt, played) = (asking.playback.prompt, asking.playback.played_at_most(clock));
        Some(json!({ "language": self.language.code(), "version": prompt.version, "sha256": prompt.sha256,
                     "playedMs": played as u64 / SAMPLES_PER_MS, "plays": self.plays }))
    }

    /// A yes: it opens nothing yet.
    fn grant(&mut self, now: Now, no: StreamNo, method: Method, window: Option<&serde_json::Value>, out: &mut Outbox) {
        let stream = &self.streams[usize::from(no.0)];
        let (clock, decided_at) = (stream.clock, Some((no, stream.sequence)));
        let State::Asking(asking) = &self.state else { return };
        let (prompt, played) = (asking.playback.prompt, asking.playback.played_at_most(clock));
        self.lead = Some((prompt, played));
        let evidence = json!({
            "position": self.position(),
            "prompt": self.prompt_told(),
            "window": window,
            "answeredBy": self.answered_by,
        });
        let actor = Actor::Client { id: self.identity.client_id.clone() };
        let record = self.record(now, ConsentStatus::Granted, method, actor, evidence);
        self.state = State::Sealing(Sealing { by: now.tick.plus_ms(SEAL_WITHIN_MS), prior: false, decided_at });
        out.effects.extend([Effect::Seal(Grant { record: record.into(), seen: self.standing.seen }), Effect::Changed]);
    }

    /// The client hung up while being asked: consent stays where it was, whatever it was (US-8).
    pub(super) fn abandoned_by(&mut self, now: Now, out: &mut Outbox) {
        self.abandoned = true;
        let mut detail = json!({ "languageCode": self.language.code(), "plays": self.plays });
        if let Some(prompt) = self.prompt_told() {
            detail["prompt"] = prompt;
        }
        if self.identity.direction == Direction::Outbound {
            // Whoever asked for the call is to be told that it brought no answer.
            detail["caseManagerId"] = json!(self.identity.case_manager_id);
        }
        self.audit(now, EventKind::ConsentAbandoned, detail, out);
        self.over(now, out);
    }
}
