//! `callgate dtmf FILE`: the very detector that the gateway runs, fed 160 samples at a time.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufWriter, Cursor, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use callgate::engine::audio::g711;
use callgate::engine::audio::key::Key;
use callgate::engine::audio::keytone::{Detector, Heard};

/// Samples the gateway's detector gets at a time.
const FEED: usize = 160;
/// WAV's word for mu-law (RFC 2361).
const WAVE_FORMAT_MULAW: u16 = 7;

/// Prints a line a press, in order of report.
pub(crate) fn print(file: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut detector = Detector::new();
    // Known and not over: key, when it was known, where it began.
    let mut open: VecDeque<(Key, u64, u64)> = VecDeque::new();
    let mut lines = Vec::new();
    let mut feed = |samples: &[i16], last: bool| {
        let known_at = detector.position() + samples.len() as u64;
        let mut heard = |heard| match heard {
            Heard::Began { key, onset } => open.push_back((key, known_at, onset)),
            Heard::Ended { end, .. } => {
                if let Some((key, known_at, onset)) = open.pop_front() {
                    lines.push((key, known_at, onset, end));
                }
            }
        };
        if last { detector.finish(&mut heard) } else { detector.feed(samples, &mut heard) }
    };
    match samples(&bytes).with_context(|| file.display().to_string())? {
        Sound::Mulaw(codes) => {
            let mut samples = [0; FEED];
            for piece in codes.chunks(FEED) {
                for (sample, code) in samples.iter_mut().zip(piece) {
                    *sample = g711::decode(*code);
                }
                feed(&samples[..piece.len()], false);
            }
        }
        Sound::Linear(samples) => samples.chunks(FEED).for_each(|piece| feed(piece, false)),
    }
    feed(&[], true);
    for (key, known_at, onset, end) in lines {
        writeln!(out, "{} {known_at} {onset} {end}", key.symbol())?;
    }
    Ok(out.flush()?)
}

enum Sound<'a> {
    Mulaw(&'a [u8]),
    Linear(Vec<i16>),
}

fn samples(bytes: &[u8]) -> anyhow::Result<Sound<'_>> {
    if !(bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WAVE")) {
        return Ok(Sound::Mulaw(bytes));
    }
    if let Some((channels, rate, codes)) = mulaw(bytes) {
        if channels != 1 || rate != 8_000 {
            bail!("a WAV of {channels} channels at {rate} Hz; one channel at 8000 Hz is needed (sox IN -r 8000 -c 1 OUT.wav)");
        }
        return Ok(Sound::Mulaw(codes));
    }
    let reader = hound::WavReader::new(Cursor::new(bytes)).context("a WAV that cannot be read")?;
    let spec = reader.spec();
    if spec.channels != 1 || spec.sample_rate != 8_000 {
        bail!(
            "a WAV of {} channels at {} Hz; one channel at 8000 Hz is needed (sox IN -r 8000 -c 1 OUT.wav)",
            spec.channels,
            spec.sample_rate
        );
    }
    let samples: Result<Vec<i16>, _> = match (spec.sample_format, spec.bits_per_sample) {
        (hound::SampleFormat::Int, 16) => reader.into_samples::<i16>().collect(),
        (hound::SampleFormat::Int, bits) => {
            let scaled = |sample: i32| if bits > 16 { sample >> (bits - 16) } else { sample << (16 - bits) };
            #[expect(clippy::cast_possible_truncation, reason = "scaled to 16 bits")]
            reader.into_samples::<i32>().map(|sample| sample.map(|sample| scaled(sample) as i16)).collect()
        }
        #[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
        (hound::SampleFormat::Float, _) => {
            reader.into_samples::<f32>().map(|sample| sample.map(|sample| (sample * 32_767.0) as i16)).collect()
        }
    };
    Ok(Sound::Linear(samples.context("a WAV that ends too early")?))
}

/// Channels, rate and data of a mu-law WAV, which hound does not read.
fn mulaw(bytes: &[u8]) -> Option<(u16, u32, &[u8])> {
    let (mut rest, mut format) = (bytes.get(12..)?, None);
    while let Some((head, body)) = rest.split_at_checked(8) {
        let length = u32::from_le_bytes(head[4..].try_into().ok()?) as usize;
        match &head[..4] {
            b"fmt " => {
                let word = |at: usize| body.get(at..at + 2).and_then(|word| word.try_into().ok()).map(u16::from_le_bytes);
                if word(0)? != WAVE_FORMAT_MULAW {
                    return None;
                }
                format = Some((word(2)?, u32::from_le_bytes(body.get(4..8)?.try_into().ok()?)));
            }
            b"data" => {
                let (channels, rate) = format?;
                return Some((channels, rate, &body[..length.min(body.len())]));
            }
            _ => {}
        }
        rest = body.get(length + (length & 1)..)?;
    }
    None
}
