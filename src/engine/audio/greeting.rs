//! A machine's greeting: whoever is called and talks on and on from the first moment is a voicemail, an announcement or a
//! screening service. A person says "hello?" and listens.
//!
//! The measure is Twilio's own for answering machines: speech of 2.4 s or more (`MachineDetectionSpeechThreshold`,
//! <https://www.twilio.com/docs/voice/answering-machine-detection>). Our prompt plays meanwhile, and its echo comes back; but
//! an echo rises and falls with what was played, up to [`ECHO_BLOCKS`] before, and another voice does not. The figures in
//! `docs/line-tones.md` say how well that tells them apart.

use super::g711;

/// 20 ms.
const BLOCK: usize = 160;
/// 2.4 s of speech.
const LONG_BLOCKS: usize = 120;
/// 0.5 s: a shorter pause is a breath.
const PAUSE_BLOCKS: usize = 25;
/// 3 s: what begins later is no greeting.
const BEGINS_WITHIN_BLOCKS: usize = 150;
/// 0.8 s: an echo comes back within this.
const ECHO_BLOCKS: usize = 40;
/// Levels kept; the longest run and the longest echo before it, and a power of two.
const KEPT: usize = 256;
/// Of half a run, this share follows the prompt in an echo: of echoes of -6 to -30 dB at least 0.77 does, of other voices over
/// such echoes 0.69 at most, and 0.5 in most. A "hello?" into an echo fills one half only.
const ECHO_SHARE: f32 = 0.6;
/// An echo follows the prompt's level this closely, in dB, once its delay and its loss are taken off.
const ECHO_WITHIN: f32 = 4.0;
/// Levels of the prompt below this, in dBov, have no echo that can be heard.
const PLAYED_MIN: f32 = -50.0;
/// Levels of the line below this, in dBov, are neither.
const HEARD_MIN: f32 = -55.0;
/// Too few levels to tell an echo by.
const PAIRS_MIN: usize = 20;
/// Stands out of the noise by 9 dB, as for [`super::line::LineWindow::speech_samples`].
const OVER_FLOOR: f32 = 8.0;
/// Quieter than this (mean square; -55 dBov) is not speech.
const SPEECH_POWER_MIN: f32 = 3_400.0;
/// Levels below this, in dBov, are all alike.
const LEVEL_MIN: f32 = -60.0;

/// Listens to the first seconds of a line that was called.
pub struct Greeting {
    heard: Levels,
    played: Levels,
    blocks: usize,
    floor: f32,
    run: Option<Run>,
    found: bool,
}

struct Run {
    from: usize,
    last: usize,
}

/// Levels of one side, block by block.
struct Levels {
    dbov: [f32; KEPT],
    energy: f32,
    samples: usize,
}

impl Default for Greeting {
    fn default() -> Self {
        Self::new()
    }
}

impl Greeting {
    /// Has heard nothing.
    #[must_use]
    pub const fn new() -> Self {
        let silent = Levels { dbov: [LEVEL_MIN; KEPT], energy: 0.0, samples: 0 };
        let also = Levels { dbov: [LEVEL_MIN; KEPT], energy: 0.0, samples: 0 };
        Self { heard: silent, played: also, blocks: 0, floor: 1.0e9, run: None, found: false }
    }

    /// Whether a machine's greeting was heard.
    #[must_use]
    pub const fn is_heard(&self) -> bool {
        self.found
    }

    /// Listens on: what came, and what was played to the line in the same time (less of it is silence at its end). mu-law.
    pub fn feed(&mut self, came: &[u8], played: &[u8]) {
        for (n, code) in came.iter().enumerate() {
            if self.found || (self.run.is_none() && self.blocks > BEGINS_WITHIN_BLOCKS) {
                return;
            }
            self.played.take(played.get(n).map_or(0, |code| g711::decode(*code)), self.blocks);
            if let Some(power) = self.heard.take(g711::decode(*code), self.blocks) {
                self.block(power);
            }
        }
    }

    fn block(&mut self, power: f32) {
        let now = self.blocks;
        self.blocks += 1;
        self.floor = if power < self.floor { power.max(100.0) } else { self.floor * 1.007 };
        let speech = power > self.floor * OVER_FLOOR && power > SPEECH_POWER_MIN;
        if self.run.as_ref().is_some_and(|run| now - run.last > PAUSE_BLOCKS) {
            self.run = None;
        }
        if !speech {
            return;
        }
        let run = self.run.get_or_insert(Run { from: now, last: now });
        run.last = now;
        let from = run.from;
        if from > BEGINS_WITHIN_BLOCKS {
            self.run = None;
        } else if now - from >= LONG_BLOCKS {
            self.found = !self.is_echo(from, now);
            self.run = None;
        }
    }

    /// Whether one half of these blocks is what was played, some time before.
    fn is_echo(&self, from: usize, to: usize) -> bool {
        let middle = usize::midpoint(from, to);
        [(from, middle), (middle, to)]
            .into_iter()
            .any(|(from, to)| (0..=ECHO_BLOCKS.min(from)).any(|lag| self.echo_share(from, to, lag) > ECHO_SHARE))
    }

    /// The share of what was heard whose level is that of `lag` blocks before, less one and the same loss.
    #[expect(clippy::cast_precision_loss, reason = "at most 256")]
    fn echo_share(&self, from: usize, to: usize, lag: usize) -> f32 {
        let heard = (from..=to).filter(|n| self.heard.at(*n) > HEARD_MIN);
        let (mut losses, mut count, mut pairs) = ([0.0f32; KEPT], 0, 0);
        for n in heard {
            count += 1;
            if self.played.at(n - lag) > PLAYED_MIN {
                losses[pairs] = self.heard.at(n) - self.played.at(n - lag);
                pairs += 1;
            }
        }
        let losses = &mut losses[..pairs];
        if pairs < PAIRS_MIN {
            return 1.0; // hardly anything is heard: no voice that talks on
        }
        losses.sort_unstable_by(f32::total_cmp);
        let within = |first: usize| losses[first..].partition_point(|loss| *loss <= losses[first] + 2.0 * ECHO_WITHIN);
        (0..pairs).map(within).max().unwrap_or(0) as f32 / count as f32
    }
}

impl Levels {
    /// One more sample; the power of the block that it ends.
    #[expect(clippy::cast_precision_loss, reason = "160")]
    fn take(&mut self, sample: i16, block: usize) -> Option<f32> {
        self.energy += f32::from(sample) * f32::from(sample);
        self.samples += 1;
        if self.samples < BLOCK {
            return None;
        }
        let power = self.energy / BLOCK as f32;
        self.dbov[block % KEPT] = (10.0 * (power / (32_768.0 * 32_768.0)).log10()).max(LEVEL_MIN);
        (self.energy, self.samples) = (0.0, 0);
        Some(power)
    }

    const fn at(&self, block: usize) -> f32 {
        self.dbov[block % KEPT]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::audio::prompts::{Language, Line, library};

    fn prompt() -> &'static [u8] {
        library().prompt(Language::EN, Line::Consent).codes
    }

    /// Another voice, other words: the Spanish prompt, which plays on for seconds.
    fn other_voice() -> Vec<i16> {
        library().prompt(Language::ES, Line::Consent).codes.iter().map(|code| g711::decode(*code)).collect()
    }

    /// What a line that is played the prompt hears: its echo at `gain`, `lag_ms` late, and `voice` with it.
    fn is_greeting(gain: f32, lag_ms: usize, voice: &[i16]) -> bool {
        let mut greeting = Greeting::new();
        let lag = lag_ms * 8;
        let line: Vec<u8> = (0..10 * 8_000)
            .map(|n: usize| {
                let echo = n.checked_sub(lag).and_then(|n| prompt().get(n)).map_or(0.0, |code| f32::from(g711::decode(*code)) * gain);
                let noise = if n.is_multiple_of(2) { 20.0 } else { -20.0 };
                g711::encode((echo + noise + f32::from(voice.get(n).copied().unwrap_or(0))) as i16)
            })
            .collect();
        for (n, frame) in line.chunks(160).enumerate() {
            let from = (n * 160).min(prompt().len());
            greeting.feed(frame, &prompt()[from..(from + 160).min(prompt().len())]);
        }
        greeting.is_heard()
    }

    #[test]
    fn the_echo_of_our_own_prompt_is_no_greeting() {
        for gain in [0.5, 0.3, 0.1, 0.03] {
            for lag_ms in [10, 90, 250, 430, 700] {
                assert!(!is_greeting(gain, lag_ms, &[]), "gain {gain}, {lag_ms} ms");
            }
        }
    }

    #[test]
    fn who_talks_on_is_a_greeting_over_any_echo() {
        for gain in [0.0, 0.03, 0.1] {
            for lag_ms in [10, 250, 700] {
                assert!(is_greeting(gain, lag_ms, &other_voice()), "gain {gain}, {lag_ms} ms");
            }
        }
    }

    #[test]
    fn hello_and_hello_again_is_a_person() {
        let voice = other_voice();
        let hello = &voice[..6_400];
        assert!(!is_greeting(0.1, 100, hello));
        let twice = [hello, &[0; 6_400], hello].concat();
        assert!(!is_greeting(0.0, 100, &twice));
    }

    #[test]
    fn what_begins_late_is_no_greeting() {
        let late = [&[0; 8_000 * 4], &other_voice()[..]].concat();
        assert!(!is_greeting(0.0, 100, &late));
    }
}
