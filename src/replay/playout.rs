//! What Twilio does with what a gateway sends it, without the socket: audio is queued and played at the media's pace, a
//! mark comes back when the audio before it has been played, or at once if nothing is queued; a `clear` empties the
//! queue and brings every mark back (Twilio, "Media Streams – WebSocket Messages").

use std::collections::VecDeque;

use crate::engine::audio::g711;

/// One stream's queue.
#[derive(Default)]
pub(super) struct Playout {
    queue: VecDeque<Queued>,
    /// Samples of what is queued, for the echo.
    echo: Option<VecDeque<i16>>,
    played: u64,
}

enum Queued {
    Audio(usize),
    Mark(String),
}

impl Playout {
    /// Nothing queued. With `echo`, what is played can be heard.
    pub(super) fn new(echo: bool) -> Self {
        Self { echo: echo.then(VecDeque::new), ..Self::default() }
    }

    /// Audio comes.
    pub(super) fn media(&mut self, codes: &[u8]) {
        if let Some(echo) = &mut self.echo {
            echo.extend(codes.iter().map(|code| g711::decode(*code)));
        }
        if !codes.is_empty() {
            self.queue.push_back(Queued::Audio(codes.len()));
        }
    }

    /// A mark comes; it is answered at once if nothing is before it.
    pub(super) fn mark(&mut self, name: String) -> Option<String> {
        if self.queue.is_empty() {
            return Some(name);
        }
        self.queue.push_back(Queued::Mark(name));
        None
    }

    /// Forgets what was not played yet. These marks come back, and nobody heard what was before them.
    pub(super) fn clear(&mut self) -> Vec<String> {
        if let Some(echo) = &mut self.echo {
            echo.clear();
        }
        self.played = 0;
        self.queue.drain(..).filter_map(|queued| if let Queued::Mark(name) = queued { Some(name) } else { None }).collect()
    }

    /// So many samples of time pass: what of them sounds goes to `sounds`, marks that are reached are returned.
    pub(super) fn play(&mut self, samples: usize, sounds: &mut Vec<i16>) -> Vec<String> {
        let mut left = samples;
        let mut marks = Vec::new();
        while let Some(first) = self.queue.front_mut() {
            match first {
                Queued::Audio(count) if *count > left => {
                    *count -= left;
                    left = 0;
                    break;
                }
                Queued::Audio(count) => {
                    left -= *count;
                    self.queue.pop_front();
                }
                Queued::Mark(name) => {
                    marks.push(std::mem::take(name));
                    self.queue.pop_front();
                }
            }
        }
        let count = samples - left;
        self.played += count as u64;
        if let Some(echo) = &mut self.echo {
            sounds.extend(echo.drain(..count.min(echo.len())));
        }
        marks
    }

    /// Samples played since the start or the last `clear`.
    pub(super) fn played(&self) -> u64 {
        self.played
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(playout: &mut Playout, samples: usize) -> (usize, Vec<String>) {
        let mut sounds = Vec::new();
        let marks = playout.play(samples, &mut sounds);
        (sounds.len(), marks)
    }

    #[test]
    fn a_mark_comes_back_with_the_last_sample_before_it_and_not_sooner() {
        let mut playout = Playout::new(true);
        playout.media(&[0; 400]);
        assert_eq!(playout.mark("a".into()), None);
        playout.media(&[0; 100]);
        assert_eq!(playout.mark("b".into()), None);
        assert_eq!(play(&mut playout, 160), (160, vec![]));
        assert_eq!(play(&mut playout, 160), (160, vec![]));
        assert_eq!(play(&mut playout, 80), (80, vec!["a".into()]), "the 400th sample has sounded");
        assert_eq!(play(&mut playout, 160), (100, vec!["b".into()]), "what is not queued does not sound");
        assert_eq!(playout.played(), 500);
    }

    #[test]
    fn a_clear_brings_every_mark_back_and_nothing_sounds_any_more() {
        let mut playout = Playout::new(true);
        playout.media(&[0; 800]);
        assert_eq!(playout.mark("a".into()), None);
        playout.media(&[0; 800]);
        assert_eq!(playout.mark("b".into()), None);
        play(&mut playout, 160);
        assert_eq!(playout.clear(), ["a", "b"]);
        assert_eq!(play(&mut playout, 160), (0, vec![]));
        assert_eq!(playout.played(), 0);
    }

    #[test]
    fn a_mark_on_an_empty_queue_is_answered_at_once_and_two_in_a_row_together() {
        let mut playout = Playout::new(false);
        assert_eq!(playout.mark("at once".into()), Some("at once".into()));
        playout.media(&[0; 160]);
        assert_eq!((playout.mark("a".into()), playout.mark("b".into())), (None, None));
        assert_eq!(play(&mut playout, 160), (0, vec!["a".into(), "b".into()]));
    }
}
