//! The cheap look: what runs on every sample, and the suspicion that warrants a fine one.

/// 5 ms.
pub(super) const BLOCK: usize = 40;
/// Nominal frequencies, low group then high (ITU-T Q.23).
pub(super) const LOW_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
pub(super) const HIGH_HZ: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
/// Blocks looked at together: 25 ms.
pub(super) const SPAN: usize = 5;
/// At least this share of the energy must lie in the two strongest tones...
const SHARE_MIN: f32 = 0.38;
/// ...each of which has this mean power at least (-40 dBm0).
const POWER_MIN: f32 = 25_000.0;
/// Off by more than this in the cheap estimate is not worth a fine one.
const OFF_MAX: f32 = 0.032;
/// The blocks of a tone turn evenly; of a voice they do not.
const EVEN_MIN: f32 = 0.75;

/// A fourth-order elliptic high-pass: 0.3 dB above 640 Hz, hum and 350 Hz down by 36 dB, 440 Hz by 27.
const SECTIONS: [[f32; 5]; 2] =
    [[0.548_101_8, -1.085_608_4, 0.548_101_8, -1.096_190_7, 0.391_724_93], [1.0, -1.907_464_3, 1.0, -1.668_903_8, 0.878_222_7]];

/// Two tones that may be a key.
pub(super) struct Suspect {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) low_hz: f32,
    pub(super) high_hz: f32,
}

/// The last blocks, as eight correlations each.
pub(super) struct Look {
    state: [f32; 6],
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
            state: [0.0; 6],
            block: [0.0; BLOCK],
            filled: 0,
            newest: 0,
            energy: [0.0; SPAN],
            real: [[0.0; 8]; SPAN],
            imaginary: [[0.0; 8]; SPAN],
        }
    }

    /// Takes samples up to the end of a block; tells how many, and leaves them high-passed in `ring` from `at` on.
    pub(super) fn take(&mut self, samples: &[i16], ring: &mut [i16]) -> usize {
        let count = samples.len().min(BLOCK - self.filled);
        let [x1, x2, mut y1, mut y2, mut z1, mut z2] = self.state;
        let [a, b] = SECTIONS;
        // What needs no output before it is done side by side, and only the rest one after the other.
        let mut x = [0.0f32; BLOCK + 2];
        (x[0], x[1]) = (x2, x1);
        for (x, sample) in x[2..].iter_mut().zip(&samples[..count]) {
            *x = f32::from(*sample);
        }
        let mut ahead = [0.0f32; BLOCK];
        for (n, ahead) in ahead.iter_mut().enumerate() {
            *ahead = a[0] * x[n + 2] + a[1] * x[n + 1] + a[2] * x[n];
        }
        let block = &mut self.block[self.filled..self.filled + count];
        for (out, ahead) in block.iter_mut().zip(&ahead) {
            // Direct form: the chain from one output to the next is a product and a difference, no more.
            let y = (ahead - a[4] * y2) - a[3] * y1;
            let z = (b[0] * y + b[1] * y1 + b[2] * y2 - b[4] * z2) - b[3] * z1;
            (y2, y1, z2, z1) = (y1, y, z1, z);
            *out = z;
        }
        for (kept, z) in ring.iter_mut().zip(&*block) {
            *kept = rounded(*z);
        }
        self.state = [x[count + 1], x[count], y1, y2, z1, z2];
        self.filled += count;
        count
    }

    /// Whether a block is complete; if so it is taken in.
    pub(super) fn is_block(&mut self) -> bool {
        if self.filled < BLOCK {
            return false;
        }
        self.filled = 0;
        self.newest = (self.newest + 1) % SPAN;
        let energy = energy_of(&self.block);
        self.energy[self.newest] = energy;
        // Silence costs nothing more; denormals never arise.
        if energy < POWER_MIN * BLOCK as f32 {
            self.real[self.newest] = [0.0; 8];
            self.imaginary[self.newest] = [0.0; 8];
            if energy < 1.0 {
                self.state = [0.0; 6];
            }
            return true;
        }
        // About the block's middle a cosine is even and a sine odd: half the products do.
        let (mut real, mut imaginary) = ([0.0f32; 8], [0.0f32; 8]);
        let (early, late) = self.block.split_at(BLOCK / 2);
        for ((early, late), (cosines, sines)) in early.iter().rev().zip(late).zip(&TABLE) {
            let (even, odd) = (late + early, late - early);
            for tone in 0..8 {
                real[tone] += even * cosines[tone];
                imaginary[tone] += odd * sines[tone];
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
        let (low_hz, high_hz) = self.turns(low, high)?;
        let row = nearest(&LOW_HZ, low_hz)?;
        let column = nearest(&HIGH_HZ, high_hz)?;
        Some(Suspect { row, column, low_hz, high_hz })
    }

    /// The frequencies at which two correlations turn from block to block, if they turn evenly.
    fn turns(&self, low: usize, high: usize) -> Option<(f32, f32)> {
        // In a block as short as this each tone leaks into the other's correlation; by how much is known.
        let leak = LEAKS[low][high - 4];
        let whole = 1.0 - leak * leak;
        let mut before = [[0.0f32; 2]; 2];
        let mut turned = [[0.0f32; 2]; 2];
        let mut power = [0.0f32; 2];
        for n in 0..SPAN {
            let at = (self.newest + 1 + n) % SPAN;
            let [a, b] = [self.real[at][low], self.imaginary[at][low]];
            let [c, d] = [self.real[at][high], self.imaginary[at][high]];
            let own = [[(a - leak * c) / whole, (b - leak * d) / whole], [(c - leak * a) / whole, (d - leak * b) / whole]];
            for tone in 0..2 {
                let [real, imaginary] = own[tone];
                let [was_real, was_imaginary] = before[tone];
                power[tone] += real * real + imaginary * imaginary;
                if n > 0 {
                    // This one times the conjugate of the one before.
                    turned[tone][0] += real * was_real + imaginary * was_imaginary;
                    turned[tone][1] += imaginary * was_real - real * was_imaginary;
                }
            }
            before = own;
        }
        let hz = |tone: usize, table: usize| {
            let [real, imaginary] = turned[tone];
            let even = real.hypot(imaginary) / (power[tone] * (SPAN - 1) as f32 / SPAN as f32);
            if even < EVEN_MIN {
                return None;
            }
            // Relative to what the nominal frequency turns in a block.
            let (sine, cosine) = ADVANCE[table];
            let angle = (imaginary * cosine - real * sine).atan2(real * cosine + imaginary * sine);
            let nominal = if table < 4 { LOW_HZ[table] } else { HIGH_HZ[table - 4] };
            Some(nominal + angle / std::f32::consts::TAU * 8_000.0 / BLOCK as f32)
        };
        Some((hz(0, low)?, hz(1, high)?))
    }
}

/// The nominal frequency that `hz` is near to.
fn nearest(nominal: &[f32; 4], hz: f32) -> Option<usize> {
    (0..4).find(|n| (hz - nominal[*n]).abs() < nominal[*n] * OFF_MAX)
}

/// The nearest whole number, by way of the last bits of a float so large that it counts in ones: a cast asks each sample
/// whether it is a number at all.
fn rounded(z: f32) -> i16 {
    const COUNTS_IN_ONES: f32 = 12_582_912.0;
    #[expect(clippy::cast_possible_truncation, reason = "the low half of the bits is the number")]
    {
        (z.clamp(-32_768.0, 32_767.0) + COUNTS_IN_ONES).to_bits() as i16
    }
}

/// Energy, summed in eight lanes: one after the other would wait for each sum.
pub(super) fn energy_of(samples: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let mut eights = samples.chunks_exact(8);
    for eight in &mut eights {
        for (lane, x) in lanes.iter_mut().zip(eight) {
            *lane += x * x;
        }
    }
    let rest: f32 = eights.remainder().iter().map(|x| x * x).sum();
    lanes.iter().sum::<f32>() + rest
}

/// cos and -sin of the eight nominal frequencies over the second half of a block, from its middle on.
static TABLE: [([f32; 8], [f32; 8]); BLOCK / 2] = table();
/// sin and cos of what each nominal frequency turns in a block.
static ADVANCE: [(f32, f32); 8] = advance();

/// What a tone of unit correlation at each high frequency leaves in the correlation at each low one, and the other way round.
static LEAKS: [[f32; 4]; 4] = leaks();

const fn leaks() -> [[f32; 4]; 4] {
    let mut leaks = [[0.0; 4]; 4];
    let mut low = 0;
    while low < 4 {
        let mut high = 0;
        while high < 4 {
            let apart = turn(high + 4) - turn(low);
            let (mut sum, mut n) = (0.0, 0);
            while n < BLOCK / 2 {
                sum += sin_cos(apart * (n as f64 + 0.5)).1;
                n += 1;
            }
            leaks[low][high] = (sum * 2.0 / BLOCK as f64) as f32;
            high += 1;
        }
        low += 1;
    }
    leaks
}

const fn table() -> [([f32; 8], [f32; 8]); BLOCK / 2] {
    let mut table = [([0.0; 8], [0.0; 8]); BLOCK / 2];
    let mut n = 0;
    while n < BLOCK / 2 {
        let mut tone = 0;
        while tone < 8 {
            let (sine, cosine) = sin_cos(turn(tone) * (n as f64 + 0.5));
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
