//! The key-tone (DTMF) detector: it decides whether a person's no is heard.
//!
//! Three looks, each only if the one before warrants it:
//!
//! 1. [`look`] runs on every 5 ms block: a high-pass against hum and dial tone, eight short correlations, and the
//!    question whether most of the energy lies in one low and one high tone. A few nanoseconds a sample.
//! 2. The phase advance between blocks gives both frequencies; voices mostly fail here.
//! 3. [`fit`] fits two sinusoids by least squares to the last 30 to 120 ms. What is left over decides: the shorter the
//!    evidence, the purer it must be. Voices leave 5 to 15 %, and they wander; noise and the echo of a
//!    prompt leave more, but the two tones under them stand still for as long as the finger does, begin together,
//!    and lie near a keypad's nominal ones.
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
    /// The key suspected last, and for how many blocks: long spans are only worth a fit after long suspicion.
    suspected: (usize, usize, usize),
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
const EVIDENCE: [(usize, f32); 10] = [
    (240, 0.020),
    (280, 0.040),
    (320, 0.065),
    (360, 0.095),
    (400, 0.125),
    (480, 0.160),
    (560, 0.190),
    (640, 0.230),
    (720, 0.270),
    (960, 0.400),
];
/// More than this left over needs tones that stand still, too.
const STEADY_FROM: f32 = 0.05;
/// Off frequency by more than this is no key (must hear 1.5 % and 2 Hz; must not hear 3.5 %).
const OFF_MAX: f32 = 0.0215;
/// High against low, in power: 9 dB either way.
const TWIST_MAX: f32 = 8.0;
/// The more is left over, the nearer to a telephone's keypad the tones must be: left over from, both off together (root of
/// the squares) at most, twist at most. Notes of music lie 0.1 to 1.8 % off, harmonics of a voice anywhere; telephones
/// count crystals.
const NEARNESS: [(f32, f32, f32); 6] = [
    (0.25, 0.0125, 3.2),
    (0.125, 0.0135, 4.0),
    (0.09, 0.016, 5.7),
    (STEADY_FROM, 0.0215, 7.1),
    (0.02, 0.0225, TWIST_MAX),
    (-1.0, 0.0258, TWIST_MAX),
];
/// Weak evidence must have begun at once: each tone's share of its amplitude just before the onset, and just after it.
const ONSET_SPAN: usize = 120;
/// The onset is told up to 5 ms early.
const ONSET_SLACK: usize = 32;
const WAS_MAX: f32 = 0.45;
const IS_MIN: f32 = 0.6;
/// From so much left over on, tones so far off (together) that sound for longer than is remembered are a chord that rings: a
/// finger's would have been known when it began, or be purer, or be nearer.
const RINGING: (f32, f32) = (0.03, 0.0125);
/// With no more than this left over, the onset is looked for behind pieces of other phase, too: there they are no accident.
const GAPS_MAX: f32 = 0.16;
/// What even a long look could not excuse.
const HOPELESS: f32 = 0.75;
/// Blocks in a row that must suspect the same key before it is worth a fit.
const SUSPECT_BLOCKS_MIN: usize = 2;
/// The first block of a tone may come this much before the first suspicion.
const SUSPECT_SLACK_BLOCKS: usize = 3;
const EVIDENCE_MAX: usize = 960;
/// What a longer span may take off what is left over.
const LONGER_IS_PURER: f32 = 0.7;
/// Amplitude of the weaker tone: -39 dBm0.
const AMPLITUDE_MIN: f32 = 250.0;
/// Blocks without the tones that end a press: a gap of 28 ms and more.
const ABSENT_BLOCKS: u32 = 6;
/// While held, a tone is there if it has this share of its amplitude.
const PRESENT_SHARE: f32 = 0.45;

/// Whether a short piece may hold a fragment of this key's tone, cut too short to be known as a key. For when something
/// else has told of the key (Twilio's event): then its two frequencies are looked for, and little proof is asked.
#[must_use]
pub fn is_fragment(key: Key, samples: &[i16]) -> bool {
    /// Share of the energy that the two tones together must hold.
    const SHARE: f32 = 0.4;
    let Some(at) = (0..16).find(|n| Key::at(n / 4, n % 4) == key) else { return false };
    let mut piece = [0.0f32; 160];
    let count = samples.len().min(160);
    for (to, from) in piece.iter_mut().zip(samples) {
        *to = f32::from(*from);
    }
    let energy: f32 = piece[..count].iter().map(|x| x * x).sum();
    let [low, high] = fit::levels(&piece[..count], [look::LOW_HZ[at / 4], look::HIGH_HZ[at % 4]]);
    low.min(high) > AMPLITUDE_MIN / 4.0 && (low * low + high * high) / 2.0 * count as f32 > SHARE * energy
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl Detector {
    /// Has heard nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { look: Look::new(), ring: [0; RING], position: 0, pressed: None, suspected: (0, 0, 0) }
    }

    /// Listens on. Any way of cutting the samples into calls comes to the same.
    pub fn feed(&mut self, mut samples: &[i16], mut heard: impl FnMut(Heard)) {
        while !samples.is_empty() {
            // Blocks never straddle the ring's end.
            let at = (self.position % RING as u64) as usize;
            let taken = self.look.take(samples, &mut self.ring[at..]);
            samples = &samples[taken..];
            self.position += taken as u64;
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
        let Some(suspect) = self.look.suspect() else {
            self.suspected.2 = self.suspected.2.saturating_sub(1);
            return;
        };
        let (row, column, blocks) = self.suspected;
        let blocks = if (row, column) == (suspect.row, suspect.column) { blocks + 1 } else { 1 };
        self.suspected = (suspect.row, suspect.column, blocks);
        if blocks < SUSPECT_BLOCKS_MIN {
            return;
        }
        if let Some(pressed) = self.pressed
            && suspect.row == pressed.row
            && suspect.column == pressed.column
        {
            return;
        }
        let Some(fit) = self.evidence(&suspect) else { return };
        let onset = if fit.left_over < GAPS_MAX { self.onset_through_gaps(&fit) } else { self.onset(&fit) };
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
        let mut samples = [0.0; EVIDENCE_MAX];
        let mut needed = 0.0;
        let suspected_for = (self.suspected.2 + look::SPAN + SUSPECT_SLACK_BLOCKS) * BLOCK;
        for (span, left_over_max) in EVIDENCE {
            if (self.position as usize) < span || suspected_for < span {
                return None;
            }
            if left_over_max < needed {
                continue;
            }
            let samples = &mut samples[..span];
            self.last(samples);
            let fit = Fit::of(samples, guess, HOPELESS)?;
            if fit.left_over > left_over_max {
                // A longer look will not find it much purer: the spans between are not worth a fit.
                needed = fit.left_over * LONGER_IS_PURER;
                guess = if fit.is_on(suspect, OFF_MAX * 2.0) { fit.frequencies } else { guess };
                continue;
            }
            let weak = fit.left_over > STEADY_FROM;
            let [low, high] = fit.amplitudes();
            let twist = (high / low) * (high / low);
            let (_, together_max, twist_max) = NEARNESS.into_iter().find(|(from, ..)| fit.left_over >= *from)?;
            let is_key = fit.is_on(suspect, OFF_MAX)
                && fit.off(suspect) <= together_max
                && low.min(high) >= AMPLITUDE_MIN
                && (1.0 / twist_max..=twist_max).contains(&twist);
            if is_key && self.is_struck(&fit, suspect, samples) {
                return Some(fit);
            }
            if !weak {
                return None;
            }
        }
        None
    }

    /// What else is asked of less pure evidence: a finger on it, and not a chord.
    fn is_struck(&self, fit: &Fit, suspect: &Suspect, samples: &[f32]) -> bool {
        if fit.left_over > STEADY_FROM {
            return fit.stands_still(samples) && self.began_at_once(fit);
        }
        let (left_over_from, off_from) = RINGING;
        fit.left_over <= left_over_from || fit.off(suspect) <= off_from || self.position - self.onset(fit) < (RING - ONSET_SPAN) as u64
    }

    /// Whether both tones began together, and suddenly, as a finger's do. The notes of music ring on into each other, and a
    /// voice swells.
    fn began_at_once(&self, fit: &Fit) -> bool {
        let before = (self.position - self.onset(fit)) as usize + 4;
        if !(ONSET_SLACK + ONSET_SPAN..=RING - ONSET_SPAN).contains(&before) {
            return false;
        }
        let mut samples = [0.0; RING];
        self.last(&mut samples);
        let at = RING - before;
        let was = fit::levels(&samples[at - ONSET_SPAN..at], fit.frequencies);
        let is = fit::levels(&samples[at + ONSET_SLACK..at + ONSET_SLACK + ONSET_SPAN], fit.frequencies);
        let amplitudes = fit.amplitudes();
        (0..2).all(|tone| was[tone] < amplitudes[tone] * WAS_MAX && is[tone] > amplitudes[tone] * IS_MIN)
    }

    /// Follows the fit backwards to where the tones began.
    fn onset(&self, fit: &Fit) -> u64 {
        const STEP: usize = 20;
        /// Steps without the tone that may lie inside it: an interruption of 15 ms.
        const MISSES_MAX: usize = 8;
        /// A share of the fitted tones' own energy.
        const THERE: f32 = 0.4;
        let mut samples = [0.0; RING];
        self.last(&mut samples);
        let steps = RING.min(self.position as usize) / STEP;
        let (mut first, mut misses, mut run) = (0, 0, 0);
        for step in 0..steps {
            let to = RING - step * STEP;
            let from = (to - STEP) as i32 - (RING - fit.span) as i32;
            if fit.share(&samples[to - STEP..to], from) > THERE {
                run += 1;
                // After a gap, one step alone may be an accident.
                if misses == 0 || run >= 2 {
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

    /// Follows the tones on back through what broke their phase: a frame that was lost and concealed, a piece too short for
    /// the high-pass to have settled before an interruption. Only where both are there, in whatever phase.
    fn onset_through_gaps(&self, fit: &Fit) -> u64 {
        const STEP: usize = 20;
        const WINDOW: usize = 40;
        /// Of its amplitude in the evidence; a concealed frame has half.
        const THERE: f32 = 0.35;
        /// Steps without the tones: an interruption of 15 ms, not a pause of 30.
        const MISSES_MAX: usize = 8;
        let onset = self.onset(fit);
        let mut samples = [0.0; RING];
        self.last(&mut samples);
        let amplitudes = fit.amplitudes();
        // The onset is told a little early: the first window is the one that ends where the tones are known to be.
        let from = RING.saturating_sub((self.position - onset) as usize);
        let (mut at, mut first, mut misses) = (from, from, 0);
        while at >= STEP && misses <= MISSES_MAX {
            at -= STEP;
            let levels = fit::levels(&samples[at..at + WINDOW], fit.frequencies);
            if (0..2).all(|tone| levels[tone] > amplitudes[tone] * THERE) {
                (first, misses) = (at, 0);
            } else {
                misses += 1;
            }
        }
        onset.saturating_sub((from - first) as u64)
    }

    /// Follows a key that is being held; `false` once it is over or another one may sound.
    fn is_held(&mut self, heard: &mut impl FnMut(Heard)) -> bool {
        const SPAN: usize = 80;
        let mut samples = [0.0; SPAN];
        self.last(&mut samples);
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

    /// The newest samples in order; zeros for what came before the first.
    fn last(&self, samples: &mut [f32]) {
        let (newer, older) = self.ring.split_at((self.position % RING as u64) as usize);
        let (before, after) = samples.split_at_mut(samples.len().saturating_sub(newer.len()));
        let kept = [&older[older.len() - before.len()..], &newer[newer.len() - after.len()..]];
        for (samples, kept) in [before, after].into_iter().zip(kept) {
            for (sample, kept) in samples.iter_mut().zip(kept) {
                *sample = f32::from(*kept);
            }
        }
    }
}

const _: () = assert!(RING.is_multiple_of(BLOCK) && size_of::<Detector>() <= 4_096);
