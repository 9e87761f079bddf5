//! Machines on the line: a voicemail's beep, fax, text telephones. And what a silence was like.
//!
//! Runs only until the decision, on the client's track. Every 10 ms block gets a cheap look by the two-term recurrence
//! `x[n-1] + x[n+1] = 2·cos(w)·x[n]`, which a pure tone obeys exactly but which noise soon hides. What may be a tone is then
//! fitted with one sinusoid in each half of the block: the halves' phases give the frequency within a few Hz, and what
//! is left over says how pure it is, in noise too. Voices and key tones leave too much over, or do not hold still.
//! Figures and how to measure them again: `docs/line-tones.md`.

use super::notes::HeldNotes;
use crate::engine::time::SAMPLE_RATE_HZ;

/// What was heard that no person makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineTone {
    /// A steady single tone of 400–2000 Hz after some sound: a voicemail's beep.
    Beep,
    /// CNG, 1100 Hz: a fax calls.
    FaxCalling,
    /// CED or ANSam, 2100 Hz: a fax or a modem answers.
    FaxAnswer,
    /// Baudot at 1400 and 1800 Hz: a text telephone. A person, but one who did not hear the prompt.
    Tty,
}

/// What a stretch of line was like.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LineWindow {
    /// Samples received.
    pub samples: u64,
    /// Of these, exact digital silence.
    pub digital_silence_samples: u64,
    /// Of these, in blocks that stood out of the noise as speech does.
    pub speech_samples: u64,
    /// Of these, under notes that hold still, as in music and call progress tones.
    pub held_samples: u64,
    /// Mean power, dB relative to a full-scale square wave; -99 for silence.
    pub level_dbov: f64,
}

impl LineWindow {
    /// Whether held notes fill so much of it that it is music, ringback or a busy line, and nobody who listens.
    #[must_use]
    pub const fn is_played(&self) -> bool {
        self.samples > 0 && self.held_samples * 100 >= self.samples * PLAYED_PERCENT
    }
}

/// Listens to one line.
pub struct LineListener {
    block: [f32; BLOCK + 2],
    filled: usize,
    run: Run,
    /// The last blocks as a text telephone would make them: 0 neither, 1 mark, 2 space.
    tty: [u8; TTY_BLOCKS],
    tty_at: usize,
    sound_blocks: u32,
    floor: f32,
    blocks: u64,
    tone: Option<(LineTone, u64)>,
    window: Sums,
    /// Only in a window: nobody asks elsewhere, and it costs more than all the rest.
    notes: Option<Box<HeldNotes>>,
}

#[derive(Clone, Copy, Default)]
struct Run {
    frequency_hz: f32,
    power: f32,
    blocks: u32,
    misses: u32,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    samples: u64,
    zeros: u64,
    speech: u64,
    power: f64,
}

/// Speech has less than this under held notes, music and tones have more: `docs/line-tones.md`.
const PLAYED_PERCENT: u64 = 5;
/// 10 ms.
const BLOCK: usize = 80;
const HALF: usize = BLOCK / 2;
const LANES: usize = 8;
/// Noise leaves `(2 + 4·cos²w)` times its own power over in the recurrence. Up to this share of noise a fit is worth its while.
const WORTH_A_FIT_NOISE: f32 = 0.075;
/// Only what looks like this is fitted, as the cosine of radians a sample: about 360 to 2350 Hz.
const WORTH_A_FIT: std::ops::Range<f32> = -0.271..0.960;
/// Left over by the fit, against the power of the block: pure below this, which is noise 12 dB under the tone. The weaker of
/// a key's two tones leaves as much up to a twist of 12 dB.
const PURE_MAX: f32 = 0.06;
/// Left over by the first fit, at a frequency still some 30 Hz off: above this a second one is in vain.
const HOPELESS: f32 = 0.25;
/// By how much the second fit may still move, in radians a sample (12 Hz): a tone's does not.
const SETTLED: f32 = 0.0094;
/// Quieter than this (mean square; -50 dBov) is no tone anybody sends.
const TONE_POWER_MIN: f32 = 10_700.0;
/// Louder than this (-45 dBov) counts as sound before a beep.
const SOUND_POWER_MIN: f32 = 34_000.0;
/// A tone may wander by this much, in Hz, and stay the same tone.
const STEADY_HZ: f32 = 12.0;
/// 0.2 s: the shortest beep.
const BEEP_BLOCKS: u32 = 20;
/// 0.4 s: enough of a fax's tone.
const FAX_BLOCKS: u32 = 40;
/// 0.3 s of sound must come before a beep.
const SOUND_BLOCKS_MIN: u32 = 30;
/// 0.6 s of text telephone.
const TTY_BLOCKS: usize = 60;

impl Default for LineListener {
    fn default() -> Self {
        Self::new()
    }
}

impl LineListener {
    /// Has heard nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            block: [0.0; BLOCK + 2],
            filled: 2,
            run: Run { frequency_hz: 0.0, power: 0.0, blocks: 0, misses: 0 },
            tty: [0; TTY_BLOCKS],
            tty_at: 0,
            sound_blocks: 0,
            floor: 1.0e9,
            blocks: 0,
            tone: None,
            window: Sums { samples: 0, zeros: 0, speech: 0, power: 0.0 },
            notes: None,
        }
    }

    /// Listens on; any way of cutting the samples into calls comes to the same.
    pub fn feed(&mut self, samples: &[i16]) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(BLOCK + 2 - self.filled));
            for (slot, sample) in self.block[self.filled..].iter_mut().zip(now) {
                *slot = f32::from(*sample);
            }
            self.window.zeros += now.iter().map(|sample| u64::from(*sample == 0)).sum::<u64>();
            self.filled += now.len();
            if self.filled == BLOCK + 2 {
                self.block_is_full();
                self.block[0] = self.block[BLOCK];
                self.block[1] = self.block[BLOCK + 1];
                self.filled = 2;
            }
            rest = later;
        }
        self.window.samples += samples.len() as u64;
        if let Some(notes) = &mut self.notes {
            notes.feed(samples);
        }
    }

    /// The first machine heard, if any was.
    #[must_use]
    pub fn tone(&self) -> Option<LineTone> {
        self.tone.map(|(tone, _)| tone)
    }

    /// Where it was known, in samples fed since the start; a multiple of 10 ms.
    #[must_use]
    pub fn tone_known_at(&self) -> Option<u64> {
        self.tone.map(|(_, blocks)| blocks * BLOCK as u64)
    }

    /// What the line was like since [`Self::restart_window`].
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a level in dB")]
    pub fn window(&self) -> LineWindow {
        let Sums { samples, zeros, speech, power } = self.window;
        let level_dbov = if power > 0.0 { 10.0 * (power / samples as f64 / (32_768.0 * 32_768.0)).log10() } else { -99.0 };
        let held_samples = self.notes.as_ref().map_or(0, |notes| notes.held_samples());
        LineWindow { samples, digital_silence_samples: zeros, speech_samples: speech, held_samples, level_dbov }
    }

    /// Begins a new window; machines heard stay heard.
    pub fn restart_window(&mut self) {
        self.window = Sums::default();
        self.notes = Some(Box::default());
    }

    #[expect(clippy::cast_precision_loss, reason = "small constants")]
    fn block_is_full(&mut self) {
        // Sums in lanes: the compiler may not reorder additions of floats, so the order is chosen to suit it.
        let (mut centres, mut crosses, mut outers) = ([0.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
        for at in (0..BLOCK).step_by(LANES) {
            for lane in 0..LANES {
                let n = at + lane;
                let (x, neighbours) = (self.block[n + 1], self.block[n] + self.block[n + 2]);
                centres[lane] += x * x;
                crosses[lane] += x * neighbours;
                outers[lane] += neighbours * neighbours;
            }
        }
        let sum = |lanes: [f32; LANES]| lanes.iter().sum::<f32>();
        let (centre, cross, outer) = (sum(centres), sum(crosses), sum(outers));
        let power = centre / BLOCK as f32;
        self.window.power += f64::from(power) * BLOCK as f64;
        // The floor follows the quietest blocks down at once and up by 3 dB in two seconds.
        self.floor = if power < self.floor { power.max(100.0) } else { self.floor * 1.003_5 };
        if power > self.floor * 8.0 && power > 3_400.0 {
            self.window.speech += BLOCK as u64;
        }
        self.blocks += 1;
        let looks = self.tone.is_none() && power > TONE_POWER_MIN;
        let pure_hz = if looks { self.pure_tone(centre, cross, outer) } else { None };
        let (pure, frequency_hz) = (pure_hz.is_some(), pure_hz.unwrap_or(0.0));
        if !pure && power > SOUND_POWER_MIN {
            self.sound_blocks = self.sound_blocks.saturating_add(1);
        }
        self.follow_tone(pure, frequency_hz, power);
        self.follow_tty(pure, frequency_hz);
    }

    /// The frequency of the one tone that this block is, if it is one.
    #[expect(clippy::cast_precision_loss, reason = "small constants")]
    fn pure_tone(&self, energy: f32, cross: f32, outer: f32) -> Option<f32> {
        let cosine = first_look(energy, cross, outer);
        let left = outer - cross * cross / energy;
        if !WORTH_A_FIT.contains(&cosine) || left > WORTH_A_FIT_NOISE * (2.0 + 4.0 * cosine * cosine) * energy {
            return None;
        }
        let (mut w, mut moved, mut explained) = (cosine.acos(), 0.0f32, 0.0f32);
        for _ in 0..2 {
            let [(before, first), (after, second)] = halves_fit(&self.block[1..=BLOCK], w);
            let turns = (after - before - HALF as f32 * w) / std::f32::consts::TAU;
            moved = (turns - turns.round()) * std::f32::consts::TAU / HALF as f32;
            w += moved;
            explained = first + second;
            if energy - explained > HOPELESS * energy {
                return None;
            }
        }
        let pure = moved.abs() < SETTLED && energy - explained < PURE_MAX * energy;
        pure.then_some(w * SAMPLE_RATE_HZ as f32 / std::f32::consts::TAU)
    }

    #[expect(clippy::cast_precision_loss, reason = "at most 20")]
    fn follow_tone(&mut self, pure: bool, frequency_hz: f32, power: f32) {
        let steady = pure
            && (frequency_hz - self.run.frequency_hz).abs() < STEADY_HZ
            && power < self.run.power * 2.5
            && power > self.run.power * 0.4;
        if steady {
            self.run.blocks += 1;
            self.run.misses = 0;
            self.run.frequency_hz += (frequency_hz - self.run.frequency_hz) / (self.run.blocks.min(20) as f32);
        } else if self.run.blocks > 4 && self.run.misses == 0 {
            self.run.misses = 1; // a phase reversal of ANSam, or one lost packet's edge
            return;
        } else {
            self.run = Run { frequency_hz, power, blocks: u32::from(pure), misses: 0 };
        }
        let frequency = self.run.frequency_hz;
        let heard = if (frequency - 2_100.0).abs() < 25.0 {
            (self.run.blocks >= FAX_BLOCKS).then_some(LineTone::FaxAnswer)
        } else if (frequency - 1_100.0).abs() < 45.0 && self.run.blocks >= FAX_BLOCKS {
            Some(LineTone::FaxCalling)
        } else {
            let beep = (400.0..=2_000.0).contains(&frequency) && self.run.blocks >= BEEP_BLOCKS && self.sound_blocks >= SOUND_BLOCKS_MIN;
            beep.then_some(LineTone::Beep)
        };
        self.tone = self.tone.or(heard.map(|tone| (tone, self.blocks)));
    }

    fn follow_tty(&mut self, pure: bool, frequency_hz: f32) {
        let code = match frequency_hz {
            f if pure && (f - 1_400.0).abs() < 60.0 => 1,
            f if pure && (f - 1_800.0).abs() < 60.0 => 2,
            _ => 0,
        };
        self.tty[self.tty_at] = code;
        self.tty_at = (self.tty_at + 1) % TTY_BLOCKS;
        if code == 0 || self.tone.is_some() {
            return;
        }
        let count = |wanted: u8| self.tty.iter().filter(|code| **code == wanted).count();
        let changes = (1..TTY_BLOCKS)
            .filter(|n| {
                let before = self.tty[(self.tty_at + n - 1) % TTY_BLOCKS];
                let after = self.tty[(self.tty_at + n) % TTY_BLOCKS];
                after != 0 && before != after
            })
            .count();
        let (marks, spaces) = (count(1), count(2));
        if marks >= 9 && spaces >= 9 && marks + spaces >= 36 && changes >= 6 {
            self.tone = Some((LineTone::Tty, self.blocks));
        }
    }
}

/// The cosine of the frequency by Pisarenko's formula, which white noise does not bend.
fn first_look(centre: f32, cross: f32, outer: f32) -> f32 {
    let (one, two) = (cross / 2.0, outer / 2.0 - centre);
    if one == 0.0 { 0.0 } else { ((two + (two * two + 8.0 * one * one).sqrt()) / (4.0 * one)).clamp(-1.0, 1.0) }
}

/// The best sinusoid of frequency `w` in each half of a block: its phase at the half's middle, and the energy that it explains.
///
/// About the middle, cosine and sine are at right angles, so each is fitted alone; and both halves share one oscillator.
#[expect(clippy::cast_precision_loss, reason = "small constants")]
fn halves_fit(block: &[f32], w: f32) -> [(f32, f32); 2] {
    let (turn_sin, turn_cos) = w.sin_cos();
    let (mut sin, mut cos) = (-w * (HALF as f32 - 1.0) / 2.0).sin_cos();
    let mut sums = [(0.0f32, 0.0f32); 2];
    let (earlier, later) = block.split_at(HALF);
    for (x, y) in earlier.iter().zip(later) {
        for (sum, sample) in sums.iter_mut().zip([x, y]) {
            sum.0 += sample * cos;
            sum.1 += sample * sin;
        }
        (sin, cos) = (sin * turn_cos + cos * turn_sin, cos * turn_cos - sin * turn_sin);
    }
    let lean = (HALF as f32 * w).sin() / (2.0 * turn_sin);
    sums.map(|(in_phase, quadrature)| {
        let (a, b) = (in_phase / (HALF as f32 / 2.0 + lean), quadrature / (HALF as f32 / 2.0 - lean));
        ((-b).atan2(a), a * in_phase + b * quadrature)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::audio::g711;
    use crate::engine::audio::prompts::{Language, Line, library};

    /// A seeded source of noise.
    struct Noise(u64);
    impl Noise {
        fn next(&mut self) -> f32 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((self.0 >> 40) as f32 / (1u64 << 23) as f32) - 1.0
        }
    }

    fn tone(hz: f32, ms: usize, amplitude: f32) -> Vec<f32> {
        (0..ms * 8).map(|n| amplitude * (std::f32::consts::TAU * hz * n as f32 / 8_000.0).sin()).collect()
    }

    fn noise(seed: u64, ms: usize, amplitude: f32) -> Vec<f32> {
        let mut source = Noise(seed);
        (0..ms * 8).map(|_| amplitude * source.next()).collect()
    }

    fn prompt(gain: f32) -> Vec<f32> {
        library().prompt(Language::EN, Line::Consent).codes.iter().map(|code| gain * f32::from(g711::decode(*code))).collect()
    }

    fn hears(parts: &[Vec<f32>]) -> Option<LineTone> {
        let mut listener = LineListener::new();
        let mut floor = Noise(7);
        let line: Vec<i16> = parts.concat().iter().map(|x| g711::decode(g711::encode((x + 12.0 * floor.next()) as i16))).collect();
        for piece in line.chunks(160) {
            listener.feed(piece);
        }
        let mut other = LineListener::new();
        for piece in line.chunks(37) {
            other.feed(piece);
        }
        assert_eq!(listener.tone(), other.tone(), "cutting into pieces changes nothing");
        listener.tone()
    }

    #[test]
    fn a_voicemail_beep_after_a_greeting_is_a_machine() {
        for hz in [440.0, 660.0, 1_000.0, 1_400.0, 1_950.0] {
            for ms in [250, 500, 1_000] {
                assert_eq!(hears(&[prompt(0.6), tone(hz, ms, 6_000.0), noise(3, 500, 10.0)]), Some(LineTone::Beep), "{hz} Hz, {ms} ms");
            }
        }
    }

    #[test]
    fn fax_and_text_telephones_are_machines() {
        let cng = [noise(1, 400, 10.0), tone(1_100.0, 500, 4_000.0), noise(2, 3_000, 10.0)];
        assert_eq!(hears(&cng), Some(LineTone::FaxCalling));
        let ansam: Vec<f32> = (0..16_000)
            .map(|n| {
                let t = n as f32 / 8_000.0;
                let sign = if ((t / 0.45) as u32).is_multiple_of(2) { 1.0 } else { -1.0 };
                sign * 5_000.0 * (1.0 + 0.2 * (std::f32::consts::TAU * 15.0 * t).sin()) * (std::f32::consts::TAU * 2_100.0 * t).sin()
            })
            .collect();
        assert_eq!(hears(&[noise(1, 400, 10.0), ansam]), Some(LineTone::FaxAnswer));
        let mut bits = Noise(11);
        let (mut phase, mut baudot) = (0.0f32, Vec::new());
        for n in 0..16_000 {
            if n % 176 == 0 && bits.next() > -2.0 {
                bits.0 ^= 1;
            }
            let hz = if (n / 176) % 7 == 0 || (bits.0 >> ((n / 176) % 60)) & 1 == 0 { 1_800.0 } else { 1_400.0 };
            phase += std::f32::consts::TAU * hz / 8_000.0;
            baudot.push(5_000.0 * phase.sin());
        }
        assert_eq!(hears(&[noise(1, 400, 10.0), baudot]), Some(LineTone::Tty));
    }

    #[test]
    fn a_noisy_line_does_not_hide_a_machine() {
        // -45 dBov of noise, the machine 15 dB above it.
        let noisy = |mut sound: Vec<f32>| {
            let mut source = Noise(29);
            sound.iter_mut().for_each(|x| *x += 320.0 * source.next());
            sound
        };
        for hz in [450.0, 1_000.0, 1_900.0] {
            assert_eq!(hears(&[prompt(0.6), noisy(tone(hz, 400, 1_500.0))]), Some(LineTone::Beep), "{hz} Hz");
        }
        assert_eq!(hears(&[noisy(vec![0.0; 4_000]), noisy(tone(1_100.0, 500, 1_500.0))]), Some(LineTone::FaxCalling));
        assert_eq!(hears(&[noisy(vec![0.0; 4_000]), noisy(tone(2_100.0, 900, 1_500.0))]), Some(LineTone::FaxAnswer));
    }

    #[test]
    fn where_a_machine_was_known_is_told() {
        let mut listener = LineListener::new();
        listener.feed(&[0; 4_000]);
        assert_eq!(listener.tone_known_at(), None);
        listener.feed(&tone(1_100.0, 500, 4_000.0).iter().map(|x| *x as i16).collect::<Vec<_>>());
        let after_ms = (listener.tone_known_at().unwrap() - 4_000) / 8;
        assert!((400..=430).contains(&after_ms), "{after_ms} ms after it began");
    }

    #[test]
    fn voices_keys_hum_and_noise_are_not() {
        for gain in [0.03, 0.2, 1.0] {
            assert_eq!(hears(&[prompt(gain)]), None);
        }
        let spanish = library().prompt(Language::ES, Line::Consent).codes;
        assert_eq!(hears(&[spanish.iter().map(|code| f32::from(g711::decode(*code))).collect()]), None);
        let key: Vec<f32> = tone(770.0, 400, 4_000.0).iter().zip(tone(1_336.0, 400, 4_000.0)).map(|(low, high)| low + high).collect();
        assert_eq!(hears(&[prompt(0.5), key]), None);
        assert_eq!(hears(&[prompt(0.5), tone(60.0, 3_000, 3_000.0)]), None);
        assert_eq!(hears(&[noise(5, 5_000, 3_000.0)]), None);
        let ringback: Vec<f32> =
            tone(440.0, 2_000, 3_000.0).iter().zip(tone(480.0, 2_000, 3_000.0)).map(|(low, high)| low + high).collect();
        assert_eq!(hears(&[ringback]), None);
    }

    #[test]
    fn a_window_tells_digital_silence_from_a_quiet_room() {
        let mut listener = LineListener::new();
        listener.feed(&[0; 8_000]);
        let silence = listener.window();
        assert_eq!((silence.digital_silence_samples, silence.speech_samples, silence.level_dbov), (8_000, 0, -99.0));
        listener.restart_window();
        let room: Vec<i16> = noise(3, 1_000, 30.0).iter().map(|x| *x as i16).collect();
        listener.feed(&room);
        let room = listener.window();
        assert!(room.digital_silence_samples < 800 && room.level_dbov < -55.0, "{room:?}");
        listener.restart_window();
        let speech: Vec<i16> = prompt(0.5).iter().map(|x| *x as i16).collect();
        listener.feed(&speech);
        assert!(listener.window().speech_samples * 2 > listener.window().samples);
    }
}
