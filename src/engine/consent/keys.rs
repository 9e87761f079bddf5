//! What a key means: before the decision, and in the middle of a conversation.
//!
//! A press may be told twice, by Twilio's `dtmf` event and by its tone in the audio; [`Presses`] makes one of the
//! two. [`Conversation`] tells a lone 2 ("people were told: press 2") from a 2 in a card number. Places are on the
//! stream they are told with, in samples of media time, and no two streams have one time line; no clock is read. A key that nothing
//! follows, because the media have stopped, is settled by the wall.

use crate::engine::audio::frame::{Place, StreamNo};
use crate::engine::audio::key::Key;
use crate::engine::audio::prompts::{Language, PromptLibrary};
use crate::engine::time::Tick;

/// No other key this long before and after: then a 2 stands alone.
pub const LONE_WITHIN_MS: u64 = 1_500;
/// Where the media clock of its stream does not tell, because the track went no further, the wall does: so long after the key was
/// told. Media that go on may come in bursts; they tell it first.
pub const LONE_BY_WALL_MS: u64 = LONE_WITHIN_MS + 500;
/// How far apart the event and the tone of one press may lie.
pub const SAME_PRESS_MS: u64 = 1_500;
/// Unmatched presses remembered; more are a key storm, in which the oldest is forgotten.
const UNMATCHED_MAX: usize = 8;

/// How a press was heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Twilio's event. It has no time: its place is where the media stood when it came.
    Event,
    /// Its tone in the audio, from its first sample.
    Tone,
}

/// What a key means while the client is being asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// 1, once the sentence that names it has begun to play.
    Accept,
    /// 2, from the first instant of the call on.
    Decline,
    /// 9, or another key that the question offers: play this language from the start.
    Speak(Language),
    /// Any other key, and a 1 that nobody had been told of.
    Nothing,
}

/// What `key` answers to a question of `prompts`. `accept_named`: the sentence that names 1 has begun to play.
#[must_use]
pub fn answer(key: Key, accept_named: bool, prompts: &PromptLibrary) -> Answer {
    match key.symbol() {
        '2' => Answer::Decline,
        '1' if accept_named => Answer::Accept,
        symbol => prompts.language_of(symbol).map_or(Answer::Nothing, Answer::Speak),
    }
}

/// Joins the two tellings of one press on one stream.
#[derive(Default)]
pub struct Presses {
    unmatched: Vec<(Key, Heard, Place)>,
}

impl Presses {
    /// Whether this telling is a press of its own; the other telling of a press already told is not.
    pub fn is_new(&mut self, key: Key, heard: Heard, at: Place) -> bool {
        let window = Place::default().plus_ms(SAME_PRESS_MS).0;
        self.unmatched.retain(|(_, _, told)| at.0.saturating_sub(told.0) <= window);
        let twin = self.unmatched.iter().position(|(told, by, _)| *told == key && *by != heard);
        if let Some(twin) = twin {
            self.unmatched.remove(twin);
            return false;
        }
        if self.unmatched.len() == UNMATCHED_MAX {
            self.unmatched.remove(0);
        }
        self.unmatched.push((key, heard, at));
        true
    }
}

/// Which keys opt out in the middle of a conversation (`CALLGATE_OPT_OUT_KEYS`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OptOutKeys {
    /// A 2 with no other key within [`LONE_WITHIN_MS`].
    pub lone_2: bool,
    /// `*` and then 2.
    pub star_2: bool,
}

impl OptOutKeys {
    /// Both.
    pub const ALL: Self = Self { lone_2: true, star_2: true };

    /// Reads `lone-2,*2`, either, or `none`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut keys = Self { lone_2: false, star_2: false };
        if text.trim() == "none" {
            return Some(keys);
        }
        for word in text.split(',') {
            match word.trim() {
                "lone-2" => keys.lone_2 = true,
                "*2" => keys.star_2 = true,
                _ => return None,
            }
        }
        Some(keys)
    }
}

/// What the conversation's keys come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing to do.
    Nothing,
    /// It is open whether this opts out: let nothing out from here on.
    Hold(Place),
    /// It does not: what was held may go.
    Release,
    /// The client said no; the cut falls here.
    OptOut(Place),
}

/// Listens for an opt-out among the keys of a conversation.
pub struct Conversation {
    rules: OptOutKeys,
    last: Option<(StreamNo, Place)>,
    pending: Option<Pending>,
}

#[derive(Clone, Copy)]
struct Pending {
    what: Maybe,
    stream: StreamNo,
    cut: Place,
    until: Place,
    by: Tick,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Maybe {
    Lone2,
    Star,
}

impl Conversation {
    /// Starts with no key pressed: the key that granted is not one of the conversation.
    #[must_use]
    pub const fn new(rules: OptOutKeys) -> Self {
        Self { rules, last: None, pending: None }
    }

    /// The stream on which it is open what the last keys come to.
    #[must_use]
    pub fn pending_on(&self) -> Option<StreamNo> {
        self.pending.map(|pending| pending.stream)
    }

    /// By then [nothing follows](Self::ended) any more, whatever the media clock says.
    #[must_use]
    pub fn due(&self) -> Option<Tick> {
        self.pending.map(|pending| pending.by)
    }

    /// A key was pressed on `stream` at `at`, and told `now`; if it opts out the cut falls at `cut`. What is pending on another stream has
    /// [ended](Self::ended) before.
    pub fn pressed(&mut self, now: Tick, stream: StreamNo, key: Key, at: Place, cut: Place) -> Verdict {
        let near = |last: Place| at.0.saturating_sub(last.0) <= Place::default().plus_ms(LONE_WITHIN_MS).0;
        let alone = self.last.is_none_or(|(on, last)| on != stream || !near(last));
        self.last = Some((stream, at));
        let pending = self.pending.take();
        let (until, by) = (at.plus_ms(LONE_WITHIN_MS), now.plus_ms(LONE_BY_WALL_MS));
        match (key.symbol(), pending) {
            ('2', Some(pending)) if pending.what == Maybe::Star => Verdict::OptOut(pending.cut),
            // A second 2 does not take the first one back.
            ('2', Some(pending)) if pending.what == Maybe::Lone2 => {
                self.pending = Some(pending);
                Verdict::Nothing
            }
            ('2', _) if alone && self.rules.lone_2 => {
                self.pending = Some(Pending { what: Maybe::Lone2, stream, cut, until, by });
                Verdict::Hold(cut)
            }
            ('*', _) if self.rules.star_2 => {
                self.pending = Some(Pending { what: Maybe::Star, stream, cut, until, by });
                // A hold of an earlier key ends here.
                Verdict::Hold(cut)
            }
            (_, Some(_)) => Verdict::Release,
            (_, None) => Verdict::Nothing,
        }
    }

    /// The tone of a press told by event turns up, or a better onset: the cut moves to the earlier place.
    pub fn onset_is(&mut self, stream: StreamNo, cut: Place) -> Verdict {
        match &mut self.pending {
            Some(pending) if pending.stream == stream && cut < pending.cut => {
                pending.cut = cut;
                Verdict::Hold(cut)
            }
            _ => Verdict::Nothing,
        }
    }

    /// The media clock of `stream` has come to `now`.
    pub fn passed(&mut self, stream: StreamNo, now: Place) -> Verdict {
        match self.pending {
            Some(pending) if pending.stream == stream && now > pending.until => {
                self.pending = None;
                match pending.what {
                    Maybe::Lone2 => Verdict::OptOut(pending.cut),
                    Maybe::Star => Verdict::Release,
                }
            }
            _ => Verdict::Nothing,
        }
    }

    /// Its stream is over, or the call: a 2 after which nothing came stood alone.
    pub fn ended(&mut self) -> Verdict {
        match self.pending.take() {
            Some(pending) if pending.what == Maybe::Lone2 => Verdict::OptOut(pending.cut),
            Some(_) => Verdict::Release,
            None => Verdict::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(symbol: char) -> Key {
        Key::from_symbol(symbol).unwrap()
    }

    const ON: StreamNo = StreamNo(0);
    const NOW: Tick = Tick(0);

    fn at(ms: u64) -> Place {
        Place::default().plus_ms(ms)
    }

    /// Plays `(ms, key)` presses, letting the clock pass between them, and tells every verdict that is not `Nothing`.
    fn verdicts(rules: OptOutKeys, presses: &[(u64, char)]) -> Vec<(u64, Verdict)> {
        let mut conversation = Conversation::new(rules);
        let mut seen = Vec::new();
        let mut presses = presses.iter().peekable();
        for ms in 0..20_000 {
            let mut said = vec![conversation.passed(ON, at(ms))];
            while let Some((_, symbol)) = presses.next_if(|(when, _)| *when == ms) {
                said.push(conversation.pressed(NOW, ON, key(*symbol), at(ms), at(ms)));
            }
            seen.extend(said.into_iter().filter(|verdict| *verdict != Verdict::Nothing).map(|verdict| (ms, verdict)));
        }
        seen
    }

    #[test]
    fn a_lone_two_opts_out_at_its_own_place() {
        let seen = verdicts(OptOutKeys::ALL, &[(5_000, '2')]);
        assert_eq!(seen, [(5_000, Verdict::Hold(at(5_000))), (6_501, Verdict::OptOut(at(5_000)))]);
        let twice = verdicts(OptOutKeys::ALL, &[(5_000, '2'), (5_400, '2')]);
        assert_eq!(twice.last(), Some(&(6_501, Verdict::OptOut(at(5_000)))), "an impatient finger still means no");
    }

    #[test]
    fn a_card_number_is_not_an_opt_out() {
        let digits = "4222221234567892";
        let presses: Vec<_> = (0u64..).map(|n| 1_000 + n * 700).zip(digits.chars()).collect();
        assert!(verdicts(OptOutKeys::ALL, &presses).iter().all(|(_, verdict)| !matches!(verdict, Verdict::OptOut(_))));
        let starts_with_two = verdicts(OptOutKeys::ALL, &[(1_000, '2'), (1_600, '5'), (2_200, '2')]);
        assert_eq!(starts_with_two, [(1_000, Verdict::Hold(at(1_000))), (1_600, Verdict::Release)]);
    }

    #[test]
    fn star_two_always_opts_out_at_the_star() {
        let seen = verdicts(OptOutKeys::ALL, &[(1_000, '5'), (1_500, '*'), (2_000, '2')]);
        assert_eq!(seen, [(1_500, Verdict::Hold(at(1_500))), (2_000, Verdict::OptOut(at(1_500)))]);
        let star_alone = verdicts(OptOutKeys::ALL, &[(1_500, '*')]);
        assert_eq!(star_alone, [(1_500, Verdict::Hold(at(1_500))), (3_001, Verdict::Release)]);
    }

    #[test]
    fn only_the_configured_keys_opt_out() {
        let none = OptOutKeys::parse("none").unwrap();
        assert!(verdicts(none, &[(1_000, '2'), (9_000, '*'), (9_500, '2')]).is_empty());
        let star = OptOutKeys::parse("*2").unwrap();
        assert!(verdicts(star, &[(1_000, '2')]).is_empty());
        assert_eq!(OptOutKeys::parse("lone-2, *2"), Some(OptOutKeys::ALL));
        assert_eq!(OptOutKeys::parse("2"), None);
    }

    #[test]
    fn hanging_up_after_a_two_is_an_opt_out() {
        let mut conversation = Conversation::new(OptOutKeys::ALL);
        conversation.pressed(NOW, ON, key('2'), at(100), at(90));
        assert_eq!(conversation.ended(), Verdict::OptOut(at(90)));
    }

    #[test]
    fn a_two_on_a_new_stream_stands_alone_whatever_was_pressed_on_the_last() {
        let mut conversation = Conversation::new(OptOutKeys::ALL);
        conversation.pressed(NOW, ON, key('5'), at(300_000), at(300_000));
        let next = StreamNo(1);
        assert_eq!(conversation.pressed(NOW, next, key('2'), at(4_000), at(4_000)), Verdict::Hold(at(4_000)));
        assert_eq!(conversation.passed(ON, at(310_000)), Verdict::Nothing, "the old stream's clock says nothing about it");
        assert_eq!(conversation.passed(next, at(5_501)), Verdict::OptOut(at(4_000)));
    }

    #[test]
    fn event_and_tone_of_one_press_are_one_key() {
        let mut presses = Presses::default();
        assert!(presses.is_new(key('2'), Heard::Tone, at(1_000)));
        assert!(!presses.is_new(key('2'), Heard::Event, at(1_300)));
        assert!(presses.is_new(key('2'), Heard::Tone, at(1_600)), "the next press is another key");
        assert!(presses.is_new(key('2'), Heard::Tone, at(2_000)), "and so is one more");
        assert!(!presses.is_new(key('2'), Heard::Event, at(2_100)));
        assert!(!presses.is_new(key('2'), Heard::Event, at(2_200)));
        assert!(presses.is_new(key('2'), Heard::Event, at(9_000)));
        assert!(presses.is_new(key('1'), Heard::Tone, at(9_000)));
    }
}
