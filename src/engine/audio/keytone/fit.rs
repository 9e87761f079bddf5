//! The fine look: two sinusoids fitted by least squares, with their frequencies (Gauss-Newton on six numbers).

use super::look::{HIGH_HZ, LOW_HZ, Suspect};

/// A standing tone's parts may differ by this share, and by this many times what white noise of the same power does:
/// the echo of a prompt is not white.
const STEADY: f32 = 0.10;
const STEADY_NOISES: f32 = 3.5;

/// Two sinusoids fitted to a span.
pub(super) struct Fit {
    pub(super) span: usize,
    pub(super) frequencies: [f32; 2],
    /// Cosine and sine parts of the low and the high tone, about the span's middle.
    parts: [[f32; 2]; 2],
    /// Share of the span's energy that the two do not explain.
    pub(super) left_over: f32,
}

impl Fit {
    /// Fits `samples`, beginning at the frequencies in `guess`; nothing if more than `hopeless` is left over.
    pub(super) fn of(samples: &[f32], guess: [f32; 2], hopeless: f32) -> Option<Self> {
        let span = samples.len();
        let energy: f32 = samples.iter().map(|x| x * x).sum();
        if energy < 1.0 {
            return None;
        }
        let mut fit = Self { span, frequencies: guess, parts: [[0.0; 2]; 2], left_over: 1.0 };
        // What a least-squares fit explains is its solution times its right-hand side.
        fit.left_over = 1.0 - fit.solve(samples, false)? / energy;
        if fit.left_over > hopeless {
            return None;
        }
        fit.solve(samples, true)?;
        fit.left_over = 1.0 - fit.solve(samples, true)? / energy;
        (fit.left_over <= hopeless).then_some(fit)
    }

    /// Amplitudes of the low and the high tone.
    pub(super) fn amplitudes(&self) -> [f32; 2] {
        self.parts.map(|[cosine, sine]| cosine.hypot(sine))
    }

    /// Whether both frequencies are within `off` of those of the suspected key.
    pub(super) fn is_on(&self, suspect: &Suspect, off: f32) -> bool {
        let near = |hz: f32, nominal: f32| (hz - nominal).abs() <= nominal * off;
        near(self.frequencies[0], LOW_HZ[suspect.row]) && near(self.frequencies[1], HIGH_HZ[suspect.column])
    }

    /// How far both frequencies together are off those of the suspected key.
    pub(super) fn off(&self, suspect: &Suspect) -> f32 {
        (self.frequencies[0] / LOW_HZ[suspect.row] - 1.0).hypot(self.frequencies[1] / HIGH_HZ[suspect.column] - 1.0)
    }

    /// Whether both tones are as strong, and in step, in every quarter of the span. Voices are not.
    pub(super) fn stands_still(&self, samples: &[f32]) -> bool {
        let quarter = self.span / 4;
        let mut parts = [[[0.0f32; 2]; 2]; 4];
        self.waves(|n, waves| {
            let part = &mut parts[(n / quarter).min(3)];
            for (tone, (cosine, sine)) in waves.into_iter().enumerate() {
                part[tone][0] += samples[n] * cosine;
                part[tone][1] += samples[n] * sine;
            }
        });
        // Along the fitted phase a standing tone has its amplitude; across it, nothing; but for what noise does.
        let energy: f32 = samples.iter().map(|x| x * x).sum();
        let noise = (2.0 * self.left_over * energy / samples.len() as f32 / quarter as f32).sqrt();
        (0..2).all(|tone| {
            let [cosine, sine] = self.parts[tone];
            let amplitude = cosine.hypot(sine);
            let limit = STEADY + STEADY_NOISES * noise / amplitude;
            (0..4).all(|n| {
                let [real, imaginary] = parts[n][tone].map(|sum| sum * 2.0 / quarter as f32 / amplitude);
                let along = (real * cosine + imaginary * sine) / amplitude;
                let across = (imaginary * cosine - real * sine) / amplitude;
                (along - 1.0).abs() < limit && across.abs() < limit
            })
        })
    }

    /// The share of the fitted tones, carried on beyond the span, that `samples` hold. Their first lies at `from`,
    /// counted from the span's first sample; mostly before it.
    pub(super) fn share(&self, samples: &[f32], from: i32) -> f32 {
        let half = self.span as f32 / 2.0;
        let (mut along, mut own) = (0.0f32, 0.0f32);
        let mut waves = [(0.0f32, 0.0f32); 2];
        let mut steps = [(0.0f32, 0.0f32); 2];
        for tone in 0..2 {
            let turn = self.frequencies[tone] * std::f32::consts::TAU / 8_000.0;
            let (sine, cosine) = (turn * (from as f32 + 0.5 - half)).sin_cos();
            waves[tone] = (cosine, sine);
            steps[tone] = turn.sin_cos();
        }
        for x in samples {
            let mut said = 0.0;
            for tone in 0..2 {
                let (cosine, sine) = waves[tone];
                said += self.parts[tone][0] * cosine + self.parts[tone][1] * sine;
                let (step_sine, step_cosine) = steps[tone];
                waves[tone] = (cosine * step_cosine - sine * step_sine, sine * step_cosine + cosine * step_sine);
            }
            along += x * said;
            own += said * said;
        }
        along / own.max(1.0)
    }

    /// One least-squares step: amplitudes alone, or amplitudes and frequencies.
    /// Tells the energy that is explained.
    fn solve(&mut self, samples: &[f32], frequencies_too: bool) -> Option<f32> {
        let size = if frequencies_too { 6 } else { 4 };
        let mut normal = [[0.0f64; 7]; 6];
        let half = self.span as f32 / 2.0;
        let mut rows = [[0.0f32; 7]; 6];
        let parts = self.parts;
        self.waves(|n, [low, high]| {
            let mut row = [low.0, low.1, high.0, high.1, 0.0, 0.0];
            if frequencies_too {
                // The slope of each tone by its frequency, scaled to the span so that all columns weigh alike.
                let m = (n as f32 - half + 0.5) / half;
                row[4] = m * (parts[0][1] * low.0 - parts[0][0] * low.1);
                row[5] = m * (parts[1][1] * high.0 - parts[1][0] * high.1);
            }
            for i in 0..size {
                for j in i..size {
                    rows[i][j] += row[i] * row[j];
                }
                rows[i][6] += row[i] * samples[n];
            }
        });
        for i in 0..size {
            for j in 0..size {
                normal[i][j] = f64::from(if j >= i { rows[i][j] } else { rows[j][i] });
            }
            normal[i][6] = f64::from(rows[i][6]);
        }
        let solution = solve(&mut normal, size)?;
        #[expect(clippy::cast_possible_truncation, reason = "single precision is what the samples have")]
        {
            self.parts = [[solution[0] as f32, solution[1] as f32], [solution[2] as f32, solution[3] as f32]];
            if frequencies_too {
                for tone in 0..2 {
                    let shift = solution[4 + tone] as f32 / half * 8_000.0 / std::f32::consts::TAU;
                    // A step of more than 3 % is a fit gone astray.
                    let limit = self.frequencies[tone] * 0.03;
                    self.frequencies[tone] += shift.clamp(-limit, limit);
                }
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "single precision is what the samples have")]
        let explained = (0..size).map(|i| solution[i] * f64::from(rows[i][6])).sum::<f64>() as f32;
        Some(explained)
    }

    /// Calls `each` with every sample's number and both tones' (cosine, sine) there.
    fn waves(&self, mut each: impl FnMut(usize, [(f32, f32); 2])) {
        let half = self.span as f32 / 2.0;
        let turn = self.frequencies.map(|hz| hz * std::f32::consts::TAU / 8_000.0);
        let mut waves = turn.map(|turn| {
            let (sine, cosine) = (turn * (0.5 - half)).sin_cos();
            (cosine, sine)
        });
        let steps = turn.map(f32::sin_cos);
        for n in 0..self.span {
            each(n, waves);
            for (wave, (sine, cosine)) in waves.iter_mut().zip(steps) {
                *wave = (wave.0 * cosine - wave.1 * sine, wave.1 * cosine + wave.0 * sine);
            }
        }
    }
}

/// Amplitudes of two tones of known frequencies in a short span, each with the other taken into account.
pub(super) fn levels(samples: &[f32], frequencies: [f32; 2]) -> [f32; 2] {
    let mut fit = Fit { span: samples.len(), frequencies, parts: [[0.0; 2]; 2], left_over: 1.0 };
    if fit.solve(samples, false).is_none() {
        return [0.0; 2];
    }
    fit.amplitudes()
}

/// Gauss with pivots, on at most six unknowns.
fn solve(rows: &mut [[f64; 7]; 6], size: usize) -> Option<[f64; 6]> {
    for column in 0..size {
        let pivot = (column..size).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        if rows[pivot][column].abs() < 1e-9 {
            return None;
        }
        rows.swap(column, pivot);
        for row in column + 1..size {
            let factor = rows[row][column] / rows[column][column];
            let pivot_row = rows[column];
            for (cell, above) in rows[row].iter_mut().zip(pivot_row).skip(column) {
                *cell -= factor * above;
            }
        }
    }
    let mut solution = [0.0; 6];
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|at| rows[row][at] * solution[at]).sum();
        solution[row] = (rows[row][6] - known) / rows[row][row];
    }
    Some(solution)
}
