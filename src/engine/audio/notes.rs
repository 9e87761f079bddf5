//! Notes that hold still: music on hold, ringback, busy and dial tones. Nobody who listens makes them.
//!
//! Every 16 ms a spectrum of 64 ms is taken. A partial that stands out of its neighbourhood and keeps its frequency within
//! [`STILL_BINS`] for [`HELD_HOPS`] is a held note: a voice's harmonics glide, more so the higher they are, and noise stands out
//! for a moment only. How much of a stretch lies under held notes tells the two apart: `docs/line-tones.md` has the figures.

use microfft::real::rfft_512;

/// 64 ms: bins of 15.6 Hz.
const SPECTRUM: usize = 512;
/// 16 ms.
const HOP: usize = 128;
/// 300 to 3300 Hz. Below, mains hum and a voice's steadiest harmonics lie.
const BINS: std::ops::Range<usize> = 20..212;
/// Neighbours on each side that a partial must stand out of.
const AROUND: usize = 10;
/// 15 dB over the median of its neighbours.
const STANDS_OUT: f32 = 31.6;
/// Weaker partials (mean square; -50 dBov) are nothing that somebody plays.
const POWER_MIN: f32 = 10_700.0;
/// A note may stray by 5.5 Hz from its own mean.
const STILL_BINS: f32 = 0.35;
/// 240 ms.
const HELD_HOPS: u32 = 15;
/// Hops over which a note's mean is taken.
const MEAN_HOPS: u32 = 8;
/// Partials followed at once; the strongest come in music of a few notes.
const TRACKS_MAX: usize = 48;

/// Listens for held notes.
pub struct HeldNotes {
    samples: [f32; SPECTRUM],
    filled: usize,
    taper: [f32; SPECTRUM],
    tracks: Vec<Track>,
    next: Vec<Track>,
    /// Which of the last 32 hops lie under a note, the newest lowest. A note is known when it has lasted, and reaches back.
    recent: u32,
    /// Hops under a note that are older.
    older: u64,
}

#[derive(Clone, Copy)]
struct Track {
    /// Mean place, in bins.
    mean: f32,
    hops: u32,
    /// A partial of this hop has gone on from it.
    taken: bool,
}

impl Default for HeldNotes {
    fn default() -> Self {
        Self::new()
    }
}

impl HeldNotes {
    /// Has heard nothing.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "small constants")]
    pub fn new() -> Self {
        // A Hann taper, scaled so that a bin's square is the mean square of the sine in it.
        let taper = std::array::from_fn(|n| {
            let turn = std::f32::consts::TAU * n as f32 / SPECTRUM as f32;
            (1.0 - turn.cos()) * std::f32::consts::SQRT_2 / SPECTRUM as f32
        });
        Self {
            samples: [0.0; SPECTRUM],
            filled: 0,
            taper,
            tracks: Vec::with_capacity(TRACKS_MAX),
            next: Vec::with_capacity(TRACKS_MAX),
            recent: 0,
            older: 0,
        }
    }

    /// Listens on; any way of cutting the samples into calls comes to the same.
    pub fn feed(&mut self, samples: &[i16]) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(SPECTRUM - self.filled));
            for (slot, sample) in self.samples[self.filled..].iter_mut().zip(now) {
                *slot = f32::from(*sample);
            }
            self.filled += now.len();
            if self.filled == SPECTRUM {
                self.hop();
                self.samples.copy_within(HOP.., 0);
                self.filled = SPECTRUM - HOP;
            }
            rest = later;
        }
    }

    /// How much of what was heard lies under held notes, in samples.
    #[must_use]
    pub fn held_samples(&self) -> u64 {
        (self.older + u64::from(self.recent.count_ones())) * HOP as u64
    }

    fn hop(&mut self) {
        self.older += u64::from(self.recent >> 31);
        self.recent <<= 1;
        let mut spectrum: [f32; SPECTRUM] = std::array::from_fn(|n| self.samples[n] * self.taper[n]);
        let bins = rfft_512(&mut spectrum);
        let mut power = [0.0f32; SPECTRUM / 2];
        for (power, bin) in power.iter_mut().zip(bins.iter()) {
            *power = bin.re * bin.re + bin.im * bin.im;
        }
        self.next.clear();
        for at in BINS {
            let here = power[at];
            if here > POWER_MIN && here > power[at - 1] && here >= power[at + 1] && stands_out(&power, at) {
                self.follow(at, &power);
            }
        }
        std::mem::swap(&mut self.tracks, &mut self.next);
    }

    /// A partial: it goes on from the nearest track, or begins one.
    #[expect(clippy::cast_precision_loss, reason = "at most 256")]
    fn follow(&mut self, at: usize, power: &[f32]) {
        if self.next.len() == TRACKS_MAX {
            return;
        }
        // The top of the parabola through three logarithms.
        let [left, top, right] = [power[at - 1], power[at], power[at + 1]].map(|power| (power + 1e-6).ln());
        let place = at as f32 + 0.5 * (left - right) / (left - 2.0 * top + right);
        let near = |track: &&mut Track| !track.taken && (track.mean - place).abs() < STILL_BINS;
        let nearest =
            self.tracks.iter_mut().filter(near).min_by(|one, other| (one.mean - place).abs().total_cmp(&(other.mean - place).abs()));
        let Some(track) = nearest else {
            self.next.push(Track { mean: place, hops: 1, taken: false });
            return;
        };
        track.taken = true;
        let hops = track.hops + 1;
        let mean = track.mean + (place - track.mean) / hops.min(MEAN_HOPS) as f32;
        self.next.push(Track { mean, hops, taken: false });
        if hops >= HELD_HOPS {
            self.recent |= (1 << HELD_HOPS) - 1;
        }
    }
}

fn stands_out(power: &[f32], at: usize) -> bool {
    let mut around = [0.0f32; 2 * AROUND + 1];
    around.copy_from_slice(&power[at - AROUND..=at + AROUND]);
    let (_, median, _) = around.select_nth_unstable_by(AROUND, f32::total_cmp);
    power[at] > *median * STANDS_OUT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::audio::g711;

    fn heard(samples: &[f64]) -> f64 {
        let line: Vec<i16> = samples.iter().map(|x| g711::decode(g711::encode(*x as i16))).collect();
        let mut notes = HeldNotes::new();
        for frame in line.chunks(160) {
            notes.feed(frame);
        }
        notes.held_samples() as f64 / line.len() as f64
    }

    fn chord(hz: &[f64], ms: usize) -> Vec<f64> {
        (0..ms * 8).map(|n| hz.iter().map(|hz| 2_000.0 * (std::f64::consts::TAU * hz * n as f64 / 8_000.0).sin()).sum()).collect()
    }

    #[test]
    fn ringback_busy_and_dial_tones_are_held() {
        let ringback = [chord(&[440.0, 480.0], 2_000), vec![0.0; 32_000], chord(&[440.0, 480.0], 2_000), vec![0.0; 16_000]].concat();
        assert!((0.35..0.45).contains(&heard(&ringback)), "{}", heard(&ringback));
        let busy = [chord(&[480.0, 620.0], 500), vec![0.0; 4_000]].concat().repeat(10);
        assert!(heard(&busy) > 0.4, "{}", heard(&busy));
        assert!(heard(&chord(&[350.0, 440.0], 10_000)) > 0.95);
        assert!(heard(&chord(&[425.0], 10_000)) > 0.95);
    }

    #[test]
    fn a_tune_is_held_and_a_gliding_voice_is_not() {
        let tune: Vec<f64> = [523.0, 659.0, 784.0, 1_046.0].repeat(8).iter().flat_map(|hz| chord(&[*hz, *hz * 1.5], 300)).collect();
        assert!(heard(&tune) > 0.5, "{}", heard(&tune));
        // Harmonics of a pitch that moves by a tenth twice a second, as a voice's does.
        let mut phase = 0.0f64;
        let voice: Vec<f64> = (0..80_000)
            .map(|n| {
                phase += 120.0 * (1.0 + 0.1 * (std::f64::consts::TAU * 2.0 * f64::from(n) / 8_000.0).sin()) / 8_000.0;
                (1..25).map(|harmonic| 600.0 * (std::f64::consts::TAU * phase * f64::from(harmonic)).sin()).sum()
            })
            .collect();
        assert!(heard(&voice) < 0.02, "{}", heard(&voice));
    }

    #[test]
    fn noise_and_mains_hum_are_not_held() {
        let mut seed = 1u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 40) as f64 / (1u64 << 23) as f64 - 1.0
        };
        let noise: Vec<f64> = (0..80_000).map(|_| 3_000.0 * random()).collect();
        assert!(heard(&noise) < 0.01, "{}", heard(&noise));
        let hum: Vec<f64> = chord(&[60.0, 120.0, 180.0], 10_000).iter().map(|x| x + 100.0 * random()).collect();
        assert!(heard(&hum) < 0.01, "{}", heard(&hum));
        assert!(heard(&vec![0.0; 80_000]) == 0.0);
    }
}
