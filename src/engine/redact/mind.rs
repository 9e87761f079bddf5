//! What is known of one speaker between two words: those held back, those just decided, what was begun and given.

use std::collections::VecDeque;

use super::ahead::{Ahead, Held, REST_MS, Told};
use super::cue::{CUE_WORDS_MAX, Cue, Cues, Said, Strength, TOPIC_WORDS_MAX, asks, ended_by, tells_of_something};
use super::entity::{Entity, Policy};
use super::mask::Form;
use super::names::{NAME_CHARS_MIN, NAMES_MAX};
use super::rules::{Decision, Match, PAST_WORDS_MAX, Past, Scene};
use super::token::Token;
use super::{Confidence, Speaker};

/// Silence begins so long before the first word: recognisers are not that exact.
pub const SILENCE_PAD_MS: u64 = 150;
/// Silence ends at the next word, and after so long if none comes.
pub const SILENCE_TAIL_MS_MAX: u64 = 1_000;

/// From when to when the audio is silenced for words from `start_ms` to `end_ms`, if the speaker's next begins at `next_ms`.
pub(in crate::engine) fn silenced(start_ms: u64, end_ms: u64, next_ms: Option<u64>) -> (u64, u64) {
    let latest = end_ms + SILENCE_TAIL_MS_MAX;
    (start_ms.saturating_sub(SILENCE_PAD_MS), next_ms.map_or(latest, |next| next.clamp(end_ms, latest)))
}

/// What both speakers know.
#[derive(Clone)]
pub(super) struct Shared {
    policy: Policy,
    cues: Cues,
    names: VecDeque<String>,
    seq: u64,
    /// The digits that either said last, by [`Speaker::index`].
    told: [Told; 2],
    last_speaker: Option<Speaker>,
}

impl Shared {
    pub(super) const fn new(policy: Policy) -> Self {
        Self { policy, cues: Cues::NONE, names: VecDeque::new(), seq: 0, told: [Told::NONE; 2], last_speaker: None }
    }

    fn remember(&mut self, words: &[Held]) {
        for held in words.iter().filter(|held| held.token.is_free() && held.token.folded.len() >= NAME_CHARS_MIN) {
            if self.names.contains(&held.token.folded) {
                continue;
            }
            if self.names.len() == NAMES_MAX {
                self.names.pop_front();
            }
            self.names.push_back(held.token.folded.clone());
        }
    }
}

/// What was decided on one word.
#[derive(Clone)]
pub(super) struct Decided {
    pub(super) masked: Option<Entity>,
    /// It is the first word of something: from when to when the audio is silenced, and how many words it has.
    pub(super) begins: Option<Begins>,
}

/// A span, as its first word knows it.
#[derive(Clone)]
pub(super) struct Begins {
    pub(super) confidence: Confidence,
    pub(super) start_ms: u64,
    pub(super) end_ms: u64,
    pub(super) words: u64,
}

/// One speaker's.
#[derive(Clone)]
pub(super) struct Mind {
    speaker: Speaker,
    held: Vec<Held>,
    past: VecDeque<Past>,
    /// The last words heard, decided or not: a cue may end with the next one.
    tail: VecDeque<String>,
    begun: Cues,
    given: Cues,
    /// The last word heard: its place in the call, and its end.
    last: Option<(u64, u64)>,
    /// Of the turn, so far.
    turn_words: usize,
    turn: Turn,
}

/// What a turn has been, so far.
#[derive(Clone, Default)]
struct Turn {
    /// Words since it began, or since what it asked for.
    since_cue: usize,
    /// It began as a question, tells what of, names something that cues know, and has a figure in it.
    asks: bool,
    cued: bool,
    tells: bool,
    figures: bool,
}

/// A whole question has so many words.
const QUESTION_WORDS_MIN: usize = 4;

impl Mind {
    pub(super) fn new(speaker: Speaker) -> Self {
        Self {
            speaker,
            held: Vec::new(),
            past: VecDeque::new(),
            tail: VecDeque::new(),
            begun: Cues::NONE,
            given: Cues::NONE,
            last: None,
            turn_words: 0,
            turn: Turn::default(),
        }
    }

    pub(super) const fn held_words(&self) -> usize {
        self.held.len()
    }

    pub(super) fn last_end_ms(&self) -> Option<u64> {
        self.held.last().map(|held| held.end_ms)
    }

    /// Takes in the next word.
    pub(super) fn hear(&mut self, shared: &mut Shared, token: Token, start_ms: u64, end_ms: u64) {
        shared.seq += 1;
        let seq = shared.seq;
        let rested = self.last.is_none_or(|(_, end)| start_ms.saturating_sub(end) > REST_MS);
        let asked = self.last.is_some_and(|(last, _)| shared.cues.came_from(self.speaker.other(), last));
        let turns = rested || shared.last_speaker != Some(self.speaker);
        shared.last_speaker = Some(self.speaker);
        self.turn_words = if turns { 1 } else { self.turn_words + 1 };
        self.last = Some((seq, end_ms));
        if self.turn_words == 2 && token.is_any(&["ive", "i", "we", "weve"]) {
            shared.cues.retract(self.speaker, seq);
        }
        if turns {
            self.turn = Turn::default();
        }
        let asks = asks(&token.folded, self.turn_words);
        let says = |cue| Said { cue, speaker: self.speaker, seq, end_ms, strength: Strength::Named, told: 0 };
        self.turn.since_cue += 1;
        if asks || self.turn.since_cue == TOPIC_WORDS_MAX {
            shared.cues.add(says(Cue::Else));
        }
        let mut cue = None;
        if !token.folded.is_empty() {
            if self.tail.len() == CUE_WORDS_MAX {
                self.tail.pop_front();
            }
            if turns {
                self.tail.clear();
            }
            self.tail.push_back(token.folded.clone());
            let ended = ended_by(&self.tail.iter().map(String::as_str));
            cue = ended.map(|(cue, _)| cue);
            if let Some((cue, strength)) = ended {
                (self.turn.since_cue, self.turn.cued) = (0, true);
                shared.cues.add(Said { cue, speaker: self.speaker, seq, end_ms, strength, told: 0 });
            }
        }
        self.turn.asks |= asks;
        self.turn.tells |= tells_of_something(&token);
        self.turn.figures |= token.may_be_numeric();
        if self.turn.asks && self.turn.tells && !self.turn.figures && !self.turn.cued && self.turn_words == QUESTION_WORDS_MIN {
            shared.cues.add(says(Cue::Turned));
        }
        let (me, other) = (self.speaker.index(), self.speaker.other().index());
        let (own, others) = (shared.told[me], shared.told[other]);
        shared.told[me].hear(&token, end_ms);
        self.held.push(Held { token, seq, start_ms, end_ms, cue, rested, asked, others, own });
    }

    /// Decides on what can be decided. `whole`: nothing more comes that could belong to what is held.
    pub(super) fn settle(&mut self, shared: &mut Shared, whole: bool) -> Vec<Decided> {
        let mut decided = Vec::new();
        let mut done = 0;
        while done < self.held.len() {
            let ahead = Ahead::new(&self.held[done..], whole);
            let scene = Scene {
                past: &self.past,
                ahead,
                cues: &shared.cues,
                begun: &self.begun,
                given: &self.given,
                names: &shared.names,
                speaker: self.speaker,
                policy: shared.policy,
            };
            let Ok(decision) = scene.decide() else { break };
            let (words, found) = match decision {
                Decision::Clear(words) => (words, None),
                Decision::Mask(found) => (found.words, Some(found)),
            };
            let words = words.clamp(1, self.held.len() - done);
            let begins = found.as_ref().map(|found| self.begins(found, done, words));
            if let Some(found) = &found {
                self.learn(shared, found, done, words);
            }
            for n in 0..words {
                let held = &self.held[done + n];
                let masked = found.as_ref().map(|found| found.entity);
                if self.past.len() == PAST_WORDS_MAX {
                    self.past.pop_front();
                }
                self.past.push_back(Past {
                    token: held.token.clone(),
                    masked,
                    seq: held.seq,
                    cue: held.cue,
                    rested: held.rested || held.asked,
                });
                decided.push(Decided { masked, begins: begins.clone().filter(|_| n == 0) });
            }
            done += words;
        }
        self.held.drain(..done);
        decided
    }

    fn begins(&self, found: &Match, from: usize, words: usize) -> Begins {
        let (first, last) = (&self.held[from], &self.held[from + words - 1]);
        let next_ms = self.held.get(from + words).map(|next| next.start_ms);
        let (start_ms, end_ms) = silenced(first.start_ms, last.end_ms, next_ms);
        Begins { confidence: found.confidence, start_ms, end_ms, words: words as u64 }
    }

    fn learn(&mut self, shared: &mut Shared, found: &Match, from: usize, words: usize) {
        let last = &self.held[from + words - 1];
        let said =
            |cue| Said { cue, speaker: self.speaker, seq: last.seq, end_ms: last.end_ms, strength: Strength::Begun, told: found.told };
        if let Some(cue) = found.begins {
            self.begun.add(said(cue));
        }
        if let Some(cue) = found.gives {
            self.given.add(said(cue));
        }
        if found.entity == Entity::Name {
            shared.remember(&self.held[from..from + words]);
        }
    }

    /// What would be decided on these words if they came next and nothing after them. Nothing is learnt of it.
    pub(super) fn imagine(&self, shared: &Shared, form: &Form) -> Vec<Decided> {
        let (mut mind, mut shared) = (self.clone(), shared.clone());
        let mut decided = Vec::new();
        for heard in &form.tokens {
            mind.hear(&mut shared, heard.token.clone(), heard.start_ms, heard.end_ms);
            decided.extend(mind.settle(&mut shared, false));
        }
        decided.extend(mind.settle(&mut shared, true));
        decided.split_off(self.held.len().min(decided.len()))
    }
}
