//! The key-tone (DTMF) detector: it decides whether a person's no is heard.
//!
//! Three looks, each only if the one before warrants it:
//!
//! 1. [`look`] runs on every 5 ms block: a high-pass against hum and dial tone, eight short correlations, and the
//!    question whether most of the energy lies in one low and one high tone. A few nanoseconds a sample.
//! 2. The phase advance between blocks gives both frequencies; voices mostly fail here.
//! 3. [`fit`] fits two sinusoids by least squares to the last 30 to 120 ms. What is left over decides: the shorter the
//!    evidence, the purer it must be. Voices leave 5 to 15 %, and they wander; noise and the echo of a
//!    prompt leave more, but the two tones under them stand still for as long as the finger does.
//!
//! Then the fit is followed backwards to where the tone began, so that a cut can fall at the finger. Figures of
//! ITU-T Q.23/Q.24, AT&T and MT8870; what is measured stands in `docs/keytone.md`.

mod fit;
mod look;

use super::key::Key;
use fit::Fit;
use look::{BLOCK, Look, Suspect};

/// What the detector says. Places count samples from its first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// A key is known to sound.
    Began {
        /// Which.
        key: Key,
        /// Where it began: up to 15 ms before the tone, at most 2 ms after.
        onset: u64,
    },
    /// It is over.
    Ended {
        /// Which.
        key: Key,
        /// Where it began.
        onset: u64,
        /// Where it ended.
        end: u64,
    },
}

/// Hears the key tones of one channel.
pub struct Detector {
    look: Look,
    /// The newest samples, high-passed; a ring.
    ring: [i16; RING],
    position: u64,
    pressed: Option<Pressed>,
}

/// A key that is being held.
#[derive(Clone, Copy)]
struct Pressed {
    key: Key,
    row: usize,
    column: usize,
    onset: u64,
    frequencies: [f32; 2],
    amplitudes: [f32; 2],
    /// Just past the last block in which both tones were there.
    present_to: u64,
    absent_blocks: u32,
}

/// 160 ms: the longest evidence, and room to look for its beginning.
const RING: usize = 1_280;
/// Spans of evidence in samples, and what may be left over by the fit of each.
const EVIDENCE: [(usize, f32); 9] = [
    (240, 0.020),
    (280, 0.040),
    (320, 0.070),
    (360, 0.105),
    (400, 0.140),
    (480, 0.210),
    (560, 0.290),
    (720, 0.420),
    (960, 0.560),
];
/// More than this left over needs tones that stand still, too.
const STEADY_FROM: f32 = 0.05;
/// Off frequency by more than this is no key (must hear 1.5 % and 2 Hz; must not hear 3.5 %).
const OFF_MAX: f32 = 0.0215;
/// High against low, in power: 9 dB either way.
const TWIST_MAX: f32 = 8.0;
/// Amplitude of the weaker tone: -39 dBm0.
const AMPLITUDE_MIN: f32 = 250.0;
/// Blocks without the tones that end a press: a gap of 28 ms and more.
const ABSENT_BLOCKS: u32 = 6;
/// While held, a tone is there if it has this share of its amplitude.
const PRESENT_SHARE: f32 = 0.45;

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl Detector {
    /// Has heard nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { look: Look::new(), ring: [0; RING], position: 0, pressed: None }
    }

    /// Listens on. Any way of cutting the samples into calls comes to the same.
    pub fn feed(&mut self, samples: &[i16], mut heard: impl FnMut(Heard)) {
        for &sample in samples {
            let filtered = self.look.filter(sample);
            self.ring[(self.position % RING as u64) as usize] = filtered;
            self.position += 1;
            if self.look.is_block() {
                self.block(&mut heard);
            }
        }
    }

    /// Samples fed so far.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The key that is being held, and where it began.
    #[must_use]
    pub fn active(&self) -> Option<(Key, u64)> {
        self.pressed.map(|pressed| (pressed.key, pressed.onset))
    }

    /// The stream is over: a key in progress ends.
    pub fn finish(&mut self, mut heard: impl FnMut(Heard)) {
        if let Some(Pressed { key, onset, present_to, .. }) = self.pressed.take() {
            heard(Heard::Ended { key, onset, end: present_to.max(onset) });
        }
    }

    fn block(&mut self, heard: &mut impl FnMut(Heard)) {
        if self.pressed.is_some() && self.is_held(heard) {
            return;
        }
        let Some(suspect) = self.look.suspect() else { return };
        if let Some(pressed) = self.pressed {
            if suspect.row == pressed.row && suspect.column == pressed.column {
                return;
            }
        }
        let Some(fit) = self.evidence(&suspect) else { return };
        let onset = self.onset(&fit);
        let key = Key::at(suspect.row, suspect.column);
        self.finish(&mut *heard);
        self.pressed = Some(Pressed {
            key,
            row: suspect.row,
            column: suspect.column,
            onset,
            frequencies: fit.frequencies,
            amplitudes: fit.amplitudes(),
            present_to: self.position,
            absent_blocks: 0,
        });
        heard(Heard::Began { key, onset });
    }

    /// The shortest span of evidence that is pure enough for its length.
    fn evidence(&self, suspect: &Suspect) -> Option<Fit> {
        let mut guess = [suspect.low_hz, suspect.high_hz];
        for (span, left_over_max) in EVIDENCE {
            if (self.position as usize) < span {
                return None;
            }
            let fit = Fit::of(&self.last::<RING>(span)[..span], guess)?;
            // What even a long look could not excuse.
            if fit.left_over > 0.75 {
                return None;
            }
            if fit.left_over > left_over_max {
                guess = if fit.is_on(suspect, OFF_MAX * 2.0) { fit.frequencies } else { guess };
                continue;
            }
            let [low, high] = fit.amplitudes();
            let twist = (high / low) * (high / low);
            let allowed = fit.is_on(suspect, OFF_MAX) && low.min(high) >= AMPLITUDE_MIN && (1.0 / TWIST_MAX..=TWIST_MAX).contains(&twist);
            if !allowed {
                return None;
            }
            if fit.left_over > STEADY_FROM && !fit.stands_still(&self.last::<RING>(span)[..span]) {
                continue;
            }
            return Some(fit);
        }
        None
    }

    /// Follows the fit backwards to where the tones began.
    fn onset(&self, fit: &Fit) -> u64 {
        const STEP: usize = 20;
        /// Steps without the tone that may lie inside it: an interruption of 15 ms.
        const MISSES_MAX: usize = 6;
        /// A share of the fitted tones' own energy.
        const THERE: f32 = 0.4;
        let samples = self.last::<{ RING }>(RING);
        let steps = RING.min(self.position as usize) / STEP;
        let (mut first, mut misses, mut run) = (0, 0, 0);
        for step in 0..steps {
            let to = RING - step * STEP;
            let from = (to - STEP) as i32 - (RING - fit.span) as i32;
            if fit.share(&samples[to - STEP..to], from) > THERE {
                run += 1;
                // After a gap, one step alone may be an accident.
                if misses == 0 || run >= 3 {
                    first = step;
                    misses = 0;
                }
            } else {
                run = 0;
                misses += 1;
                if misses > MISSES_MAX {
                    break;
                }
            }
        }
        // The step before may hold the first samples; the filter delays by about a millisecond.
        let back = ((first + 1) * STEP + STEP + 8) as u64;
        self.position.saturating_sub(back)
    }

    /// Follows a key that is being held; `false` once it is over or another one may sound.
    fn is_held(&mut self, heard: &mut impl FnMut(Heard)) -> bool {
        const SPAN: usize = 80;
        let samples = self.last::<SPAN>(SPAN);
        let Some(pressed) = &mut self.pressed else { return false };
        let levels = fit::levels(&samples, pressed.frequencies);
        let there = levels.iter().zip(pressed.amplitudes).all(|(level, amplitude)| *level > amplitude * PRESENT_SHARE);
        if there {
            pressed.absent_blocks = 0;
            pressed.present_to = self.position;
            return true;
        }
        pressed.absent_blocks += 1;
        if pressed.absent_blocks < ABSENT_BLOCKS {
            return false;
        }
        let Pressed { key, onset, present_to, .. } = *pressed;
        self.pressed = None;
        // The last span that still had half of the tone ended half a span late.
        heard(Heard::Ended { key, onset, end: present_to.saturating_sub(SPAN as u64 / 4).max(onset) });
        false
    }

    /// The newest `count` samples in order, from the array's start; zeros for what came before the first.
    fn last<const N: usize>(&self, count: usize) -> [f32; N] {
        let mut samples = [0.0; N];
        let from = self.position.saturating_sub(count as u64);
        let missing = count as u64 - (self.position - from);
        for (at, sample) in samples[missing as usize..count].iter_mut().enumerate() {
            *sample = f32::from(self.ring[((from + at as u64) % RING as u64) as usize]);
        }
        samples
    }
}

const _: () = assert!(RING % BLOCK == 0 && size_of::<Detector>() <= 4_096);
