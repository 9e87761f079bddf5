//! The caller's end of the line: frames of 20 ms, every one of them different, so that it can be told afterwards which
//! of them lie in a recording.

use super::scenario::Step;
use crate::engine::audio::g711;

macro_rules! fixtures {
    ($($name:literal)*) => { &[$(($name, include_bytes!(concat!("../../fixtures/audio/", $name, ".ulaw")))),*] };
}

/// Audio that scenarios can say.
pub(super) const FIXTURES: &[(&str, &[u8])] = fixtures! {
    "client-en" "client-es" "second-client-en" "agent-en" "agent-es" "canary-en" "refusal-en"
    "screener-en" "voicemail-en" "room-noise" "hold-music" "ringback" "fax-calling" "fax-answer" "tty"
};

/// Samples in a frame.
pub(super) const FRAME: usize = 160;
/// Loudest sample of the noise that makes frames different: about -63 dBov.
const NOISE: i32 = 40;
pub(super) const ROWS_HZ: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
pub(super) const COLUMNS_HZ: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
const KEYPAD: &str = "123A456B789C*0#D";

/// What a step puts on the line, as linear samples; empty for what only happens.
pub(super) fn sound(step: &Step) -> Vec<i16> {
    if let Some(name) = &step.say {
        return fixture(name);
    }
    match step.key {
        Some(key) if step.by() != "event" => tone(key, tone_ms(step), step.dbm0.unwrap_or(-8.0)),
        _ => Vec::new(),
    }
}

/// How long a step's key tone is.
pub(super) fn tone_ms(step: &Step) -> u64 {
    step.tone_ms.unwrap_or(120)
}

/// A fixture, as linear samples.
pub(super) fn fixture(name: &str) -> Vec<i16> {
    let codes = FIXTURES.iter().find(|(fixture, _)| *fixture == name).map_or(&[][..], |(_, codes)| *codes);
    codes.iter().map(|code| g711::decode(*code)).collect()
}

/// A key's two tones, with a handset's ramps of 1 ms.
pub(super) fn tone(key: char, ms: u64, dbm0: f64) -> Vec<i16> {
    let at = KEYPAD.find(key).unwrap_or(0);
    let amplitude = 32_124.0 * 10f64.powf((dbm0 - 3.17) / 20.0);
    let count = usize::try_from(ms * 8).unwrap_or(0);
    (0..count)
        .map(|n| {
            let t = n as f64 * std::f64::consts::TAU / 8_000.0;
            let ramp = (n.min(count - 1 - n) as f64 / 8.0).min(1.0);
            #[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
            let sample = (ramp * amplitude * ((t * ROWS_HZ[at / 4]).sin() + (t * COLUMNS_HZ[at % 4]).sin())) as i16;
            sample
        })
        .collect()
}

/// Makes frames.
pub(super) struct Frames {
    noise: u64,
    /// Where nobody speaks there is nothing at all.
    pub(super) exact: bool,
}

impl Frames {
    pub(super) const fn new(seed: u64, exact_silence: bool) -> Self {
        // Stirred (splitmix64), so that calls with seeds in a row do not sound alike; never 0.
        let stirred = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let stirred = (stirred ^ (stirred >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self { noise: if stirred == 0 { 1 } else { stirred }, exact: exact_silence }
    }

    /// A frame with these samples on it, and the echo of what is playing; no two frames are alike but exact silence.
    pub(super) fn frame(&mut self, samples: &[i16], echo: &[i16]) -> [u8; FRAME] {
        if self.exact && samples.is_empty() && echo.is_empty() {
            return [g711::SILENCE; FRAME];
        }
        let mut frame = [g711::SILENCE; FRAME];
        for (n, code) in frame.iter_mut().enumerate() {
            self.noise ^= self.noise << 13;
            self.noise ^= self.noise >> 7;
            self.noise ^= self.noise << 17;
            let noise = (self.noise >> 33) as i32 % (2 * NOISE + 1) - NOISE;
            let sample = |from: &[i16]| from.get(n).copied().map_or(0, i32::from);
            let mixed = (sample(samples) + sample(echo) + noise).clamp(-32_000, 32_000);
            *code = g711::encode(i16::try_from(mixed).unwrap_or(0));
        }
        frame
    }
}
