//! The fine look: two sinusoids fitted by least squares, with their frequencies (Gauss-Newton on six numbers).
//!
//! Time is counted from the span's middle, where a cosine is even and a sine odd: the samples are folded there, half the
//! products do, and every mixed sum is nothing. Four samples go side by side.

use super::look::{HIGH_HZ, LOW_HZ, Suspect, energy_of};

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
        let energy = energy_of(samples);
        if energy < 1.0 {
            return None;
        }
        let mut fit = Self { span, frequencies: guess, parts: [[0.0; 2]; 2], left_over: 1.0 };
        // What a least-squares fit explains is its solution times its right-hand side.
        fit.left_over = 1.0 - fit.amplitudes_of(samples)? / energy;
        if fit.left_over > hopeless {
            return None;
        }
        fit.step(samples)?;
        fit.left_over = 1.0 - fit.step(samples)? / energy;
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

    /// Whether both tones are as strong, and in step, in every quarter of the span, and no weaker or stronger in its second
    /// half. Voices are not, and notes that were struck or bowed die away or swell.
    pub(super) fn stands_still(&self, samples: &[f32]) -> bool {
        let quarter = self.span / 4;
        let mut parts = [[[0.0f32; 2]; 2]; 4];
        let mut waves = self.frequencies.map(|hz| Wave::at(hz, 0.5 - self.span as f32 / 2.0));
        for (samples, part) in samples.chunks_exact(quarter).zip(&mut parts) {
            for x in samples {
                for (wave, part) in waves.iter_mut().zip(&mut *part) {
                    part[0] += x * wave.cosine;
                    part[1] += x * wave.sine;
                    wave.advance();
                }
            }
        }
        // Along the fitted phase a standing tone has its amplitude; across it, nothing; but for what noise does.
        let energy = energy_of(samples);
        let noise = (2.0 * self.left_over * energy / samples.len() as f32 / quarter as f32).sqrt();
        (0..2).all(|tone| {
            let [cosine, sine] = self.parts[tone];
            let amplitude = cosine.hypot(sine);
            let limit = STEADY + STEADY_NOISES * noise / amplitude;
            let quarters = parts.map(|part| {
                let [real, imaginary] = part[tone].map(|sum| sum * 2.0 / quarter as f32 / amplitude);
                [(real * cosine + imaginary * sine) / amplitude, (imaginary * cosine - real * sine) / amplitude]
            });
            // Noise does to half the difference of two halves what it does to a quarter.
            let [first, second] = [quarters[0][0] + quarters[1][0], quarters[2][0] + quarters[3][0]];
            ((second - first) / 2.0).abs() < limit
                && quarters.iter().all(|[along, across]| (along - 1.0).abs() < limit && across.abs() < limit)
        })
    }

    /// The share of the fitted tones, carried on beyond the span, that `samples` hold. Their first lies at `from`,
    /// counted from the span's first sample; mostly before it.
    pub(super) fn share(&self, samples: &[f32], from: i32) -> f32 {
        let mut waves = self.frequencies.map(|hz| Wave::at(hz, from as f32 + 0.5 - self.span as f32 / 2.0));
        let (mut along, mut own) = (0.0f32, 0.0f32);
        for x in samples {
            let mut said = 0.0;
            for (wave, [cosine, sine]) in waves.iter_mut().zip(self.parts) {
                said += cosine * wave.cosine + sine * wave.sine;
                wave.advance();
            }
            along += x * said;
            own += said * said;
        }
        along / own.max(1.0)
    }

    /// Fits the amplitudes alone. Tells the energy that is explained.
    fn amplitudes_of(&mut self, samples: &[f32]) -> Option<f32> {
        let sums = Sums::of::<false>(samples, self.frequencies);
        // Cosines and sines have nothing to do with each other: two equations each.
        let pair = |[low, both, high]: [f32; 3], [x_low, x_high]: [f32; 2]| {
            let whole = low * high - both * both;
            (whole.abs() > 1e-6).then(|| [(x_low * high - x_high * both) / whole, (x_high * low - x_low * both) / whole])
        };
        let cosines = pair(sums.cos_cos, sums.x_cos)?;
        let sines = pair(sums.sin_sin, sums.x_sin)?;
        self.parts = [[cosines[0], sines[0]], [cosines[1], sines[1]]];
        Some((0..2).map(|tone| cosines[tone] * sums.x_cos[tone] + sines[tone] * sums.x_sin[tone]).sum())
    }

    /// One step of Gauss and Newton: amplitudes and frequencies. Tells the energy that is explained.
    fn step(&mut self, samples: &[f32]) -> Option<f32> {
        let sums = Sums::of::<true>(samples, self.frequencies);
        let [low, high] = self.parts;
        let [[ll, lh], [hl, hh]] = sums.m_cos_sin;
        let along = |a: [f32; 2], b: [f32; 2], at: usize| a[1] * b[1] * sums.mm_cos_cos[at] + a[0] * b[0] * sums.mm_sin_sin[at];
        // The low tone's cosine and sine, the high one's, and the slope of each by its frequency, `m (sine part · cosine -
        // cosine part · sine)`, with m from -1 to 1 so that all columns weigh alike.
        let upper = [
            [sums.cos_cos[0], 0.0, sums.cos_cos[1], 0.0, -low[0] * ll, -high[0] * lh],
            [0.0, sums.sin_sin[0], 0.0, sums.sin_sin[1], low[1] * ll, high[1] * hl],
            [0.0, 0.0, sums.cos_cos[2], 0.0, -low[0] * hl, -high[0] * hh],
            [0.0, 0.0, 0.0, sums.sin_sin[2], low[1] * lh, high[1] * hh],
            [0.0, 0.0, 0.0, 0.0, along(low, low, 0), along(low, high, 1)],
            [0.0, 0.0, 0.0, 0.0, 0.0, along(high, high, 2)],
        ];
        let slope = |[cosine, sine]: [f32; 2], tone: usize| sine * sums.xm_cos[tone] - cosine * sums.xm_sin[tone];
        let right = [sums.x_cos[0], sums.x_sin[0], sums.x_cos[1], sums.x_sin[1], slope(low, 0), slope(high, 1)].map(f64::from);
        let mut rows = [[0.0f64; 7]; 6];
        for i in 0..6 {
            for j in 0..6 {
                rows[i][j] = f64::from(if j >= i { upper[i][j] } else { upper[j][i] });
            }
            rows[i][6] = right[i];
        }
        let solution = solve(&mut rows)?;
        #[expect(clippy::cast_possible_truncation, reason = "single precision is what the samples have")]
        {
            self.parts = [[solution[0] as f32, solution[1] as f32], [solution[2] as f32, solution[3] as f32]];
            for tone in 0..2 {
                let shift = solution[4 + tone] as f32 / (self.span as f32 / 2.0) * 8_000.0 / std::f32::consts::TAU;
                // A step of more than 3 % is a fit gone astray.
                let limit = self.frequencies[tone] * 0.03;
                self.frequencies[tone] += shift.clamp(-limit, limit);
            }
            Some(solution.iter().zip(right).map(|(x, right)| x * right).sum::<f64>() as f32)
        }
    }
}

/// A cosine and a sine that go on from sample to sample.
#[derive(Clone, Copy)]
struct Wave {
    cosine: f32,
    sine: f32,
    step: (f32, f32),
}

impl Wave {
    /// As they are at `time`, counted in samples from where the cosine is 1.
    fn at(hz: f32, time: f32) -> Self {
        let turn = hz * std::f32::consts::TAU / 8_000.0;
        let (sine, cosine) = (turn * time).sin_cos();
        Self { cosine, sine, step: turn.sin_cos() }
    }

    fn advance(&mut self) {
        let (sine, cosine) = self.step;
        (self.cosine, self.sine) = (self.cosine * cosine - self.sine * sine, self.sine * cosine + self.cosine * sine);
    }
}

/// Samples side by side.
const LANES: usize = 4;
type Lanes = [f32; LANES];

/// Two waves, four samples at a time.
struct Waves {
    cosine: [Lanes; 2],
    sine: [Lanes; 2],
    step: [(f32, f32); 2],
}

impl Waves {
    /// From half a sample after the middle on.
    fn new(frequencies: [f32; 2]) -> Self {
        let mut waves = Self { cosine: [[0.0; LANES]; 2], sine: [[0.0; LANES]; 2], step: [(0.0, 0.0); 2] };
        for (tone, hz) in frequencies.into_iter().enumerate() {
            let mut wave = Wave::at(hz, 0.5);
            for lane in 0..LANES {
                waves.cosine[tone][lane] = wave.cosine;
                waves.sine[tone][lane] = wave.sine;
                wave.advance();
            }
            // Twice doubled: four samples on.
            let (sine, cosine) = wave.step;
            let (sine, cosine) = (2.0 * sine * cosine, cosine * cosine - sine * sine);
            waves.step[tone] = (2.0 * sine * cosine, cosine * cosine - sine * sine);
        }
        waves
    }

    fn advance(&mut self) {
        for tone in 0..2 {
            let (step_sine, step_cosine) = self.step[tone];
            for lane in 0..LANES {
                let (cosine, sine) = (self.cosine[tone][lane], self.sine[tone][lane]);
                self.cosine[tone][lane] = cosine * step_cosine - sine * step_sine;
                self.sine[tone][lane] = sine * step_cosine + cosine * step_sine;
            }
        }
    }
}

/// What least squares needs of a span: sums over it of products of the low and the high wave (of low and low, low and high,
/// high and high where three stand together), the samples `x`, and `m`, the time from the middle, -1 to 1.
struct Sums {
    x_cos: [f32; 2],
    x_sin: [f32; 2],
    cos_cos: [f32; 3],
    sin_sin: [f32; 3],
    xm_cos: [f32; 2],
    xm_sin: [f32; 2],
    m_cos_sin: [[f32; 2]; 2],
    mm_cos_cos: [f32; 3],
    mm_sin_sin: [f32; 3],
}

impl Sums {
    /// An odd last sample is left out. Without `TIMES` there are no sums with m.
    fn of<const TIMES: bool>(samples: &[f32], frequencies: [f32; 2]) -> Self {
        const PAIRS: [(usize, usize); 3] = [(0, 0), (0, 1), (1, 1)];
        let zero = [0.0f32; LANES];
        let (mut x_cos, mut x_sin, mut xm_cos, mut xm_sin) = ([zero; 2], [zero; 2], [zero; 2], [zero; 2]);
        let (mut cos_cos, mut sin_sin, mut mm_cos_cos, mut mm_sin_sin) = ([zero; 3], [zero; 3], [zero; 3], [zero; 3]);
        let mut m_cos_sin = [[zero; 2]; 2];
        let half = samples.len() / 2;
        let (early, late) = samples[..half * 2].split_at(half);
        let mut waves = Waves::new(frequencies);
        let mut at = 0;
        while at < half {
            let (mut even, mut odd) = (zero, zero);
            if at + LANES <= half {
                let (early, late) = (&early[half - at - LANES..half - at], &late[at..at + LANES]);
                for lane in 0..LANES {
                    even[lane] = late[lane] + early[LANES - 1 - lane];
                    odd[lane] = late[lane] - early[LANES - 1 - lane];
                }
            } else {
                // Where the span is over there is neither sample nor wave.
                for lane in 0..LANES {
                    if at + lane < half {
                        even[lane] = late[at + lane] + early[half - 1 - at - lane];
                        odd[lane] = late[at + lane] - early[half - 1 - at - lane];
                    } else {
                        waves.cosine.iter_mut().chain(&mut waves.sine).for_each(|wave| wave[lane] = 0.0);
                    }
                }
            }
            for tone in 0..2 {
                add(&mut x_cos[tone], even, waves.cosine[tone]);
                add(&mut x_sin[tone], odd, waves.sine[tone]);
            }
            for (pair, (a, b)) in PAIRS.into_iter().enumerate() {
                add(&mut cos_cos[pair], waves.cosine[a], waves.cosine[b]);
                add(&mut sin_sin[pair], waves.sine[a], waves.sine[b]);
            }
            if TIMES {
                let mut m = zero;
                for (lane, m) in m.iter_mut().enumerate() {
                    *m = ((at + lane) as f32 + 0.5) / half as f32;
                }
                let cosine = waves.cosine.map(|wave| times(wave, m));
                let sine = waves.sine.map(|wave| times(wave, m));
                for a in 0..2 {
                    add(&mut xm_cos[a], odd, cosine[a]);
                    add(&mut xm_sin[a], even, sine[a]);
                    for (sum, wave) in m_cos_sin[a].iter_mut().zip(waves.sine) {
                        add(sum, cosine[a], wave);
                    }
                }
                for (pair, (a, b)) in PAIRS.into_iter().enumerate() {
                    add(&mut mm_cos_cos[pair], cosine[a], cosine[b]);
                    add(&mut mm_sin_sin[pair], sine[a], sine[b]);
                }
            }
            waves.advance();
            at += LANES;
        }
        // The samples were folded, the waves were not: of them there is a second half like the first.
        let once = |lanes: Lanes| lanes.iter().sum::<f32>();
        let twice = |lanes: Lanes| 2.0 * once(lanes);
        Self {
            x_cos: x_cos.map(once),
            x_sin: x_sin.map(once),
            cos_cos: cos_cos.map(twice),
            sin_sin: sin_sin.map(twice),
            xm_cos: xm_cos.map(once),
            xm_sin: xm_sin.map(once),
            m_cos_sin: m_cos_sin.map(|row| row.map(twice)),
            mm_cos_cos: mm_cos_cos.map(twice),
            mm_sin_sin: mm_sin_sin.map(twice),
        }
    }
}

fn add(to: &mut Lanes, a: Lanes, b: Lanes) {
    for lane in 0..LANES {
        to[lane] += a[lane] * b[lane];
    }
}

fn times(mut a: Lanes, b: Lanes) -> Lanes {
    for lane in 0..LANES {
        a[lane] *= b[lane];
    }
    a
}

/// Amplitudes of two tones of known frequencies in a short span, each with the other taken into account.
pub(super) fn levels(samples: &[f32], frequencies: [f32; 2]) -> [f32; 2] {
    let mut fit = Fit { span: samples.len(), frequencies, parts: [[0.0; 2]; 2], left_over: 1.0 };
    if fit.amplitudes_of(samples).is_none() {
        return [0.0; 2];
    }
    fit.amplitudes()
}

/// Gauss with pivots.
fn solve(rows: &mut [[f64; 7]; 6]) -> Option<[f64; 6]> {
    for column in 0..6 {
        let pivot = (column..6).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        if rows[pivot][column].abs() < 1e-9 {
            return None;
        }
        rows.swap(column, pivot);
        let above = rows[column];
        for row in &mut rows[column + 1..] {
            let factor = row[column] / above[column];
            for (cell, above) in row.iter_mut().zip(above).skip(column) {
                *cell -= factor * above;
            }
        }
    }
    let mut solution = [0.0; 6];
    for row in (0..6).rev() {
        let known: f64 = (row + 1..6).map(|at| rows[row][at] * solution[at]).sum();
        solution[row] = (rows[row][6] - known) / rows[row][row];
    }
    Some(solution)
}
