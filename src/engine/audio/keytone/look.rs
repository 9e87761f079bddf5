//! The cheap look: what runs on every sample, and the suspicion that warrants a fine one.

/// 5 ms.
pub(super) const BLOCK: usize = 40;
/// Nominal frequencies, low group then high (ITU-T Q.23).
pub(super) const LOW_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
pub(super) const HIGH_HZ: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
/// Blocks looked at together: 25 ms.
const SPAN: usize = 5;
/// At least this share of the energy must lie in the two strongest tones...
const SHARE_MIN: f32 = 0.30;
/// ...each of which has this mean power at least (-40 dBm0).
const POWER_MIN: f32 = 25_000.0;
/// Off by more than this in the cheap estimate is not worth a fine one.
const OFF_MAX: f32 = 0.055;
/// The blocks of a tone turn evenly; of a voice they do not.
const EVEN_MIN: f32 = 0.55;

/// A fourth-order elliptic high-pass: 0.3 dB above 640 Hz, hum and 350 Hz down by 36 dB, 440 Hz by 27.
const SECTIONS: [[f32; 5]; 2] = [
    [0.548_101_8, -1.085_608_4, 0.548_101_8, -1.096_190_7, 0.391_724_93],
    [1.0, -1.907_464_3, 1.0, -1.668_903_8, 0.878_222_7],
];

/// Two tones that may be a key.
pub(super) struct Suspect {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) low_hz: f32,
    pub(super) high_hz: f32,
}

/// The last blocks, as eight correlations each.
pub(super) struct Look {
    state: [[f32; 2]; 2],
    block: [f32; BLOCK],
    filled: usize,
    newest: usize,
    energy: [f32; SPAN],
    /// Real parts of the eight, then imaginary.
    real: [[f32; 8]; SPAN],
    imaginary: [[f32; 8]; SPAN],
}

impl Look {
    pub(super) const fn new() -> Self {
        Self {
            state: [[0.0; 2]; 2],
            block: [0.0; BLOCK],
            filled: 0,
            newest: 0,
            energy: [0.0; SPAN],
            real: [[0.0; 8]; SPAN],
            imaginary: [[0.0; 8]; SPAN],
        }
    }

    /// Takes a sample; gives it high-passed.
    #[inline]
    pub(super) fn filter(&mut self, sample: i16) -> i16 {
        let mut x = f32::from(sample);
        for ([b0, b1, b2, a1, a2], [s1, s2]) in SECTIONS.iter().zip(&mut self.state) {
            let y = b0 * x + *s1;
            *s1 = b1 * x - a1 * y + *s2;
            *s2 = b2 * x - a2 * y;
            x = y;
        }
        self.block[self.filled] = x;
        self.filled += 1;
        #[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
        {
            x as i16
        }
    }

    /// Whether the last sample completed a block; if so it is taken in.
    #[inline]
    pub(super) fn is_block(&mut self) -> bool {
        if self.filled < BLOCK {
            return false;
        }
        self.filled = 0;
        self.newest = (self.newest + 1) % SPAN;
        let energy: f32 = self.block.iter().map(|x| x * x).sum();
        self.energy[self.newest] = energy;
        // Silence costs nothing more; denormals never arise.
        if energy < POWER_MIN * BLOCK as f32 {
            self.real[self.newest] = [0.0; 8];
            self.imaginary[self.newest] = [0.0; 8];
            if energy < 1.0 {
                self.state = [[0.0; 2]; 2];
            }
            return true;
        }
        let (mut real, mut imaginary) = ([0.0f32; 8], [0.0f32; 8]);
        for (x, (cosines, sines)) in self.block.iter().zip(&TABLE) {
            for tone in 0..8 {
                real[tone] += x * cosines[tone];
                imaginary[tone] += x * sines[tone];
            }
        }
        self.real[self.newest] = real;
        self.imaginary[self.newest] = imaginary;
        true
    }

    /// Two tones that hold most of the last 25 ms and turn at about a key's frequencies.
    pub(super) fn suspect(&self) -> Option<Suspect> {
        let energy: f32 = self.energy.iter().sum();
        if energy < POWER_MIN * 2.0 * (BLOCK * SPAN) as f32 {
            return None;
        }
        let mut power = [0.0f32; 8];
        for (real, imaginary) in self.real.iter().zip(&self.imaginary) {
            for tone in 0..8 {
                power[tone] += real[tone] * real[tone] + imaginary[tone] * imaginary[tone];
            }
        }
        let strongest = |from: usize| (from..from + 4).fold(from, |best, tone| if power[tone] > power[best] { tone } else { best });
        let (low, high) = (strongest(0), strongest(4));
        // A tone of energy E has a correlation of power E times half a block.
        let scale = 2.0 / BLOCK as f32;
        if (power[low] + power[high]) * scale < SHARE_MIN * energy {
            return None;
        }
        let low_hz = self.turns(low, power[low])?;
        let high_hz = self.turns(high, power[high])?;
        let row = nearest(&LOW_HZ, low_hz)?;
        let column = nearest(&HIGH_HZ, high_hz)?;
        Some(Suspect { row, column, low_hz, high_hz })
    }

    /// The frequency at which a correlation turns from block to block, if it turns evenly.
    fn turns(&self, tone: usize, power: f32) -> Option<f32> {
        let (mut real, mut imaginary) = (0.0f32, 0.0f32);
        for pair in 0..SPAN - 1 {
            let (before, after) = ((self.newest + 1 + pair) % SPAN, (self.newest + 2 + pair) % SPAN);
            let (a, b) = (self.real[before][tone], self.imaginary[before][tone]);
            let (c, d) = (self.real[after][tone], self.imaginary[after][tone]);
            // after times the conjugate of before; the table's sines are negative, as a Fourier transform's are.
            real += c * a + d * b;
            imaginary += d * a - c * b;
        }
        let even = real.hypot(imaginary) / (power * (SPAN - 1) as f32 / SPAN as f32);
        if even < EVEN_MIN {
            return None;
        }
        // Relative to what the nominal frequency turns in a block.
        let (sine, cosine) = ADVANCE[tone];
        let angle = (imaginary * cosine - real * sine).atan2(real * cosine + imaginary * sine);
        let nominal = if tone < 4 { LOW_HZ[tone] } else { HIGH_HZ[tone - 4] };
        Some(nominal + angle / std::f32::consts::TAU * 8_000.0 / BLOCK as f32)
    }
}

/// The nominal frequency that `hz` is near to.
fn nearest(nominal: &[f32; 4], hz: f32) -> Option<usize> {
    (0..4).find(|n| (hz - nominal[*n]).abs() < nominal[*n] * OFF_MAX.min(0.045))
}

/// cos and -sin of the eight nominal frequencies over a block.
static TABLE: [([f32; 8], [f32; 8]); BLOCK] = table();
/// sin and cos of what each nominal frequency turns in a block.
static ADVANCE: [(f32, f32); 8] = advance();

const fn table() -> [([f32; 8], [f32; 8]); BLOCK] {
    let mut table = [([0.0; 8], [0.0; 8]); BLOCK];
    let mut n = 0;
    while n < BLOCK {
        let mut tone = 0;
        while tone < 8 {
            let (sine, cosine) = sin_cos(turn(tone) * n as f64);
            table[n].0[tone] = cosine as f32;
            table[n].1[tone] = -sine as f32;
            tone += 1;
        }
        n += 1;
    }
    table
}

const fn advance() -> [(f32, f32); 8] {
    let mut advance = [(0.0, 0.0); 8];
    let mut tone = 0;
    while tone < 8 {
        let (sine, cosine) = sin_cos(turn(tone) * BLOCK as f64);
        advance[tone] = (sine as f32, cosine as f32);
        tone += 1;
    }
    advance
}

/// Radians a sample of a nominal frequency.
const fn turn(tone: usize) -> f64 {
    let hz = if tone < 4 { LOW_HZ[tone] } else { HIGH_HZ[tone - 4] };
    hz as f64 * std::f64::consts::TAU / 8_000.0
}

/// Sine and cosine at compile time: the angle brought near zero, then Taylor's series.
const fn sin_cos(angle: f64) -> (f64, f64) {
    let turns = (angle / std::f64::consts::TAU) as i64 as f64;
    let mut x = angle - turns * std::f64::consts::TAU;
    if x > std::f64::consts::PI {
        x -= std::f64::consts::TAU;
    }
    let (mut sine, mut cosine) = (0.0, 0.0);
    let (mut term, mut n) = (1.0, 0);
    while n < 30 {
        match n % 4 {
            0 => cosine += term,
            1 => sine += term,
            2 => cosine -= term,
            _ => sine -= term,
        }
        n += 1;
        term *= x / n as f64;
    }
    (sine, cosine)
}
