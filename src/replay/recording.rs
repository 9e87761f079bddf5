//! The look into a recording: which of the frames that were sent lie in it, where, and which must not.
//!
//! Every frame sent was unlike every other, so every frame in the recording can be named, by pieces of 4 ms. What must not be
//! there is looked for at every sample of both channels, not only where a frame would lie. Key tones are
//! looked for a second time, by a Goertzel of this module's own: the gateway's detector is not asked, for what it
//! does not hear the gateway would not have blanked.

use std::collections::HashMap;
use std::io::Cursor;

use super::line::{COLUMNS_HZ, FRAME, ROWS_HZ};
use super::seen::{Press, Seen};
use crate::engine::audio::g711;
use crate::engine::twilio::message::Track;

/// So many samples name a frame.
pub(super) const PIECE: usize = 32;
/// A key tone is looked for in blocks of so many samples, so far apart.
const BLOCK: usize = 205;
const STEP: usize = 80;
/// This share of a block's power in one row and one column is a key tone: voices do not come near.
const PURE: f64 = 0.85;
/// Quieter than this is nobody's key: -50 dBov, mean square.
const QUIET: f64 = 32_768.0 * 32_768.0 * 1e-5;
/// One tone of a key is at most so much stronger than the other, as a ratio of power.
const TWIST: f64 = 16.0;
/// Frames may lie so far from their place: timestamps are not exact to the sample.
const OFF_PLACE_MAX: u64 = 40 * 8;

/// A piece of a frame: track, frame, which of its pieces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    pub(super) track: Track,
    pub(super) frame: usize,
    pub(super) piece: usize,
}

impl Piece {
    /// Whether a key's tone sounds in it.
    pub(super) fn sounds_in(&self, press: &Press) -> bool {
        let at = self.frame * FRAME + self.piece * PIECE;
        let onset = press.at * FRAME;
        at + PIECE > onset && at < onset + press.tone_samples
    }
}

/// What lies in a recording.
#[derive(Default, Debug)]
pub struct Contents {
    /// Of each track, the frames that lie whole in its own channel, and at which sample.
    pub whole: [Vec<(usize, usize)>; 2],
    /// Of each track, the frames of which at least a piece lies there, whichever channel.
    pub any: [Vec<usize>; 2],
    /// Frames of which a piece lies there that must not.
    pub foreign: Vec<(Track, usize)>,
    /// Frames of which a piece lies in the other party's channel.
    pub crossed: Vec<(Track, usize)>,
    /// Key tones, by channel and sample.
    pub tones: Vec<(usize, usize)>,
    /// The frame farthest from its place, if that is too far, and by how many samples.
    pub off_place: Option<(Track, usize, u64)>,
    /// Samples of each channel.
    pub samples: usize,
}

impl Contents {
    /// Opens a WAV and looks. `may` tells of each piece of each frame whether consent covers it.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn of(wav: &[u8], seen: &Seen, may: impl Fn(Piece) -> bool) -> Result<Self, String> {
        let reader = hound::WavReader::new(Cursor::new(wav)).map_err(|why| format!("the recording is no WAV: {why}"))?;
        let form = reader.spec();
        if (form.channels, form.sample_rate, form.bits_per_sample) != (2, 8_000, 16) {
            return Err(format!(
                "the recording has {} channels of {} bits at {} Hz",
                form.channels, form.bits_per_sample, form.sample_rate
            ));
        }
        let samples: Vec<i16> =
            reader.into_samples::<i16>().collect::<Result<_, _>>().map_err(|why| format!("the recording breaks off: {why}"))?;
        let owners = owners(seen);
        let mut contents = Self { samples: samples.len() / 2, ..Self::default() };
        for channel in 0..2 {
            let side: Vec<i16> = samples.iter().skip(channel).step_by(2).copied().collect();
            contents.tones.extend(key_tones(&side).into_iter().map(|at| (channel, at)));
            contents.search(channel, &side, &owners, &may);
        }
        for frames in &mut contents.any {
            frames.sort_unstable();
            frames.dedup();
        }
        for found in [&mut contents.foreign, &mut contents.crossed] {
            found.sort_unstable_by_key(|(track, frame)| (track.index(), *frame));
            found.dedup();
        }
        contents.off_place = contents.farthest(seen);
        Ok(contents)
    }

    fn search(&mut self, channel: usize, side: &[i16], owners: &HashMap<[u8; PIECE], Vec<Piece>>, may: &impl Fn(Piece) -> bool) {
        let codes: Vec<u8> = side.iter().map(|sample| g711::encode(*sample)).collect();
        // Of each frame, by where it would begin: which of its pieces lie there.
        let mut laid: HashMap<(usize, usize), u8> = HashMap::new();
        for (at, window) in codes.windows(PIECE).enumerate() {
            let Some(owners) = <&[u8; PIECE]>::try_from(window).ok().and_then(|piece| owners.get(piece)) else { continue };
            // A fixture said twice, or two presses of a key, may have pieces alike: one that may be there is no witness.
            if !owners.iter().any(|owner| may(*owner)) {
                self.foreign.extend(owners.iter().map(|owner| (owner.track, owner.frame)));
            }
            if owners.iter().all(|owner| owner.track.index() != channel) {
                self.crossed.extend(owners.iter().map(|owner| (owner.track, owner.frame)));
            }
            for owner in owners {
                self.any[owner.track.index()].push(owner.frame);
                if owner.track.index() == channel && at >= owner.piece * PIECE {
                    *laid.entry((owner.frame, at - owner.piece * PIECE)).or_default() |= 1 << owner.piece;
                }
            }
        }
        let mut expected: HashMap<usize, u8> = HashMap::new();
        for owner in owners.values().flatten().filter(|owner| owner.track.index() == channel) {
            *expected.entry(owner.frame).or_default() |= 1 << owner.piece;
        }
        let whole = &mut self.whole[channel];
        whole.extend(laid.into_iter().filter(|((frame, _), pieces)| expected.get(frame) == Some(pieces)).map(|(place, _)| place));
        whole.sort_unstable();
        whole.dedup_by_key(|(frame, _)| *frame);
    }

    /// Both channels are on one grid: as far apart as frames were sent, so far apart they lie.
    fn farthest(&self, seen: &Seen) -> Option<(Track, usize, u64)> {
        let tick = |frame: usize| seen.ticks.get(frame).copied().unwrap_or(frame as u64);
        let places = || {
            Track::BOTH.into_iter().flat_map(|track| self.whole[track.index()].iter().map(move |(frame, at)| (track, *frame, *at as u64)))
        };
        let (_, first, origin) = places().next()?;
        places()
            .map(|(track, frame, at)| {
                let expected = (origin + tick(frame) * FRAME as u64).saturating_sub(tick(first) * FRAME as u64);
                (track, frame, at.abs_diff(expected))
            })
            .max_by_key(|(_, _, off)| *off)
            .filter(|(_, _, off)| *off > OFF_PLACE_MAX)
    }
}

/// The pieces of every frame that can be told from silence.
fn owners(seen: &Seen) -> HashMap<[u8; PIECE], Vec<Piece>> {
    let mut owners: HashMap<[u8; PIECE], Vec<Piece>> = HashMap::new();
    for track in Track::BOTH {
        for (frame, codes) in seen.frames[track.index()].iter().enumerate() {
            for (piece, codes) in codes.as_chunks::<PIECE>().0.iter().enumerate() {
                // Positive and negative zero are one sample.
                let codes = codes.map(|code| g711::encode(g711::decode(code)));
                if codes.iter().any(|code| *code != g711::SILENCE) {
                    owners.entry(codes).or_default().push(Piece { track, frame, piece });
                }
            }
        }
    }
    owners
}

/// Where key tones of 40 ms and more begin, about.
fn key_tones(samples: &[i16]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut sounding: Option<(usize, u32)> = None;
    for (n, block) in samples.windows(BLOCK).step_by(STEP).enumerate() {
        match (key_in(block), &mut sounding) {
            (Some(key), Some((last, blocks))) if *last == key => {
                *blocks += 1;
                if *blocks == 2 {
                    found.push((n - 1) * STEP);
                }
            }
            (Some(key), _) => sounding = Some((key, 1)),
            (None, _) => sounding = None,
        }
    }
    found
}

/// Which key a block is nearly nothing but.
fn key_in(block: &[i16]) -> Option<usize> {
    let count = block.len() as f64;
    let power = block.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / count;
    if power < QUIET {
        return None;
    }
    let strongest = |frequencies: &[f64; 4]| {
        let powers = frequencies.map(|hz| goertzel(block, hz));
        (0..4).map(|n| (n, powers[n])).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
    };
    let ((row, low), (column, high)) = (strongest(&ROWS_HZ), strongest(&COLUMNS_HZ));
    let twisted = low > high * TWIST || high > low * TWIST;
    (low + high > PURE * power && !twisted).then_some(row * 4 + column)
}

/// Mean power of a sine of this frequency in a block.
fn goertzel(block: &[i16], hz: f64) -> f64 {
    let factor = 2.0 * (std::f64::consts::TAU * hz / 8_000.0).cos();
    let (mut one, mut two) = (0.0, 0.0);
    for sample in block {
        (one, two) = (factor * one - two + f64::from(*sample), one);
    }
    let count = block.len() as f64;
    2.0 * (one * one + two * two - factor * one * two) / (count * count)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::replay::line::{FIXTURES, Frames, fixture, tone};

    /// A WAV with these frames of the inbound track, one after the other, from a place on.
    pub(in crate::replay) fn wav(seen: &Seen, lead: usize, frames: impl IntoIterator<Item = usize>) -> Vec<u8> {
        let mut left = vec![0; lead];
        left.extend(frames.into_iter().flat_map(|frame| seen.frames[0][frame].map(g711::decode)));
        stereo(&left, &[])
    }

    fn stereo(left: &[i16], right: &[i16]) -> Vec<u8> {
        let form = hound::WavSpec { channels: 2, sample_rate: 8_000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
        let mut bytes = Vec::new();
        let mut writer = hound::WavWriter::new(Cursor::new(&mut bytes), form).unwrap();
        for at in 0..left.len().max(right.len()) {
            for side in [left, right] {
                writer.write_sample(side.get(at).copied().unwrap_or(0)).unwrap();
            }
        }
        writer.finalize().unwrap();
        bytes
    }

    /// So many frames of nobody saying anything, on both tracks.
    pub(in crate::replay) fn sent(count: usize, seed: u64) -> Seen {
        let mut seen = Seen::default();
        let mut frames = Frames::new(seed, false);
        for tick in 0..count as u64 {
            for track in Track::BOTH {
                seen.note(track, tick, frames.frame(&[], &[]), true);
            }
        }
        seen
    }

    fn frames(found: &[(usize, usize)]) -> Vec<usize> {
        found.iter().map(|(frame, _)| *frame).collect()
    }

    #[test]
    fn every_frame_is_named_wherever_it_lies() {
        let seen = sent(60, 7);
        let contents = Contents::of(&wav(&seen, 1_234, 10..50), &seen, |piece| (10..50).contains(&piece.frame)).unwrap();
        assert_eq!(frames(&contents.whole[0]), (10..50).collect::<Vec<_>>());
        assert_eq!((contents.whole[0][0], contents.foreign.len(), contents.off_place), ((10, 1_234), 0, None));
    }

    #[test]
    fn eight_milliseconds_of_a_foreign_frame_are_found_at_any_alignment_on_either_channel() {
        let seen = sent(60, 7);
        let clean: Vec<i16> = (10..50).flat_map(|frame| seen.frames[0][frame].map(g711::decode)).collect();
        for at in 0..FRAME {
            let leak = seen.frames[0][55].map(g711::decode);
            let from = at % (FRAME - 63);
            let mut left = clean.clone();
            left.resize(clean.len() + at, 0);
            left.extend(&leak[from..from + 63]);
            let may = |piece: Piece| (10..50).contains(&piece.frame);
            assert_eq!(Contents::of(&stereo(&left, &[]), &seen, may).unwrap().foreign, [(Track::Inbound, 55)], "{at}");
            let contents = Contents::of(&stereo(&clean, &left[clean.len()..]), &seen, may).unwrap();
            assert_eq!((contents.foreign, contents.crossed), (vec![(Track::Inbound, 55)], vec![(Track::Inbound, 55)]), "{at}");
        }
    }

    #[test]
    fn a_recorder_that_closes_up_holes_is_off_its_grid() {
        let seen = sent(60, 7);
        let contents = Contents::of(&wav(&seen, 0, (10..20).chain(25..50)), &seen, |_| true).unwrap();
        assert_eq!(contents.off_place, Some((Track::Inbound, 49, 5 * FRAME as u64)));
    }

    #[test]
    fn every_key_is_heard_and_no_voice_is_taken_for_one() {
        for key in "0123456789*#ABCD".chars() {
            let mut line = vec![0; 1_000];
            line.extend(tone(key, 60, -25.0));
            line.extend([0; 1_000]);
            let found = key_tones(&line);
            assert!(found.len() == 1 && found[0].abs_diff(1_000) < 200, "{key}: {found:?}");
        }
        for (name, _) in FIXTURES {
            assert_eq!(key_tones(&fixture(name)), Vec::<usize>::new(), "{name}");
        }
    }
}
