//! The recorder warning tone: 1400 Hz, a fifth of a second, as loud as people talk.
//!
//! The frequency is the one of FS-1037C's definition, between 1260 and 1540 Hz; it lies between two key frequencies (1336 and
//! 1477 Hz), so it has no second tone that could make it a key, and what it may hide of one is measured in `docs/policy.md`.

use std::f64::consts::TAU;
use std::sync::OnceLock;

use super::g711;
use crate::engine::time::{SAMPLE_RATE_HZ, SAMPLES_PER_MS};

/// Its frequency.
pub const BEEP_HZ: u64 = 1_400;
/// Its length.
pub const BEEP_MS: u64 = 200;
/// Its level against a full-scale square wave: where the prompts' speech sits.
const LEVEL_DBOV: f64 = -20.0;
/// It swells and fades for so long, or it would click.
const EDGE_MS: u64 = 5;

/// Its audio, 8 kHz mu-law.
#[must_use]
pub fn codes() -> &'static [u8] {
    static CODES: OnceLock<Vec<u8>> = OnceLock::new();
    CODES.get_or_init(|| {
        let peak = 32_768.0 * 10f64.powf(LEVEL_DBOV / 20.0) * std::f64::consts::SQRT_2;
        let (length, edge) = (BEEP_MS * SAMPLES_PER_MS, (EDGE_MS * SAMPLES_PER_MS) as f64);
        let sample = |at: u64| {
            let swell = ((at as f64 / edge).min((length - at) as f64 / edge)).min(1.0);
            peak * swell * (TAU * BEEP_HZ as f64 * at as f64 / SAMPLE_RATE_HZ as f64).sin()
        };
        #[expect(clippy::cast_possible_truncation, reason = "its peak is 4,634")]
        (0..length).map(|at| g711::encode(sample(at).round() as i16)).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::audio::key::Key;
    use crate::engine::audio::keytone::{Detector, Heard};

    fn samples() -> Vec<f64> {
        codes().iter().map(|code| f64::from(g711::decode(*code))).collect()
    }

    #[test]
    fn it_is_what_it_says() {
        let samples = samples();
        assert_eq!(samples.len(), 1_600);
        let level = 10.0 * (samples.iter().map(|sample| sample * sample).sum::<f64>() / 1_600.0 / (32_768.0 * 32_768.0)).log10();
        assert!((-20.6..-19.8).contains(&level), "{level}");
        let crossings = samples.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
        assert!((278..=280).contains(&crossings), "1400 Hz for 0.2 s: {crossings}");
        assert!(samples[0].abs() < 10.0 && samples[1_599].abs() < 200.0, "no click");
    }

    /// Keys heard while an echo of the tone sounds over the whole of them, so many dB below each of the key's two tones.
    fn keys_heard_under(echo_db: f64) -> usize {
        let mut heard_keys = 0;
        for symbol in "123A456B789C*0#D".chars() {
            let (rows, columns) = ([697.0, 770.0, 852.0, 941.0], [1209.0, 1336.0, 1477.0, 1633.0]);
            let at = "123A456B789C*0#D".find(symbol).unwrap();
            let (low, high): (f64, f64) = (rows[at / 4], columns[at % 4]);
            let (peak, gain) = (2_000.0, 2_000.0 / (32_768.0 * 0.1 * std::f64::consts::SQRT_2) * 10f64.powf(-echo_db / 20.0));
            let mut line = vec![0i16; 1_600];
            line.extend(samples().iter().enumerate().map(|(n, echo)| {
                let t = n as f64 / 8_000.0;
                let key = if (400..1_200).contains(&n) { peak * ((TAU * low * t).sin() + (TAU * high * t).sin()) } else { 0.0 };
                (key + echo * gain) as i16
            }));
            line.extend([0i16; 1_600]);
            let (mut detector, mut heard) = (Detector::new(), Vec::new());
            let mut hear = |told| {
                if let Heard::Began { key, .. } = told {
                    heard.push(key);
                }
            };
            for piece in line.chunks(160) {
                let coded: Vec<i16> = piece.iter().map(|sample| g711::decode(g711::encode(*sample))).collect();
                detector.feed(&coded, &mut hear);
            }
            detector.finish(&mut hear);
            heard_keys += usize::from(heard == [Key::from_symbol(symbol).unwrap()]);
        }
        heard_keys
    }

    #[test]
    fn it_is_no_key_and_its_echo_hides_none() {
        let (mut detector, mut heard) = (Detector::new(), 0);
        for _ in 0..3 {
            for piece in samples().chunks(160) {
                let piece: Vec<i16> = piece.iter().map(|sample| *sample as i16).collect();
                detector.feed(&piece, |_| heard += 1);
            }
        }
        detector.finish(|_| heard += 1);
        assert_eq!(heard, 0);
        // A line returns what we send at least 6 dB weaker (ITU-T G.168); keys are pressed on our side of that.
        for echo_db in [20.0, 15.0, 10.0] {
            assert_eq!(keys_heard_under(echo_db), 16, "echo {echo_db} dB below each tone");
        }
    }
}
