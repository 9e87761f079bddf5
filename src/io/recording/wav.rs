//! 16-bit PCM by hound, streamed: the plan tells the length, so the header is right before the first sample is.

use std::io::{self, Seek, SeekFrom, Write};

use super::{Out, Plan, layout};
use crate::io::spool::Record;

/// hound's header of 16-bit PCM.
const HEADER: usize = 44;
/// Where the header tells the RIFF's length and the data's.
const RIFF_LENGTH: usize = 4;
const DATA_LENGTH: usize = 40;

pub(super) fn encode(plan: &Plan, lead: &[u8], records: impl Iterator<Item = io::Result<Record>>, out: &mut Out<'_>) -> io::Result<()> {
    let data = u32::try_from(plan.samples * 4).map_err(|_| io::Error::other("a recording is too long for WAV"))?;
    let spec = hound::WavSpec { channels: 2, sample_rate: 8_000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let sink = Streamed { out, header: [0; HEADER], at: 0, emitted: false, data };
    let mut writer = hound::WavWriter::new(sink, spec).map_err(told)?;
    layout::lay_out(plan, lead, records, |samples| {
        let mut block = writer.get_i16_writer(u32::try_from(samples.len() * 2).map_err(io::Error::other)?);
        for [left, right] in samples {
            block.write_sample(*left);
            block.write_sample(*right);
        }
        block.flush().map_err(told)
    })?;
    writer.finalize().map_err(told)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of another crate, not ours")]
fn told(why: hound::Error) -> io::Error {
    match why {
        hound::Error::IoError(why) => why,
        other => io::Error::other(other.to_string()),
    }
}

/// A stream that looks to hound like a file: it may go back to its header, and must write there what we foretold.
struct Streamed<'a, 'b> {
    out: &'a mut Out<'b>,
    header: [u8; HEADER],
    at: usize,
    emitted: bool,
    data: u32,
}

impl Streamed<'_, '_> {
    fn foretell(&mut self) -> io::Result<()> {
        self.header[RIFF_LENGTH..RIFF_LENGTH + 4].copy_from_slice(&(self.data + 36).to_le_bytes());
        self.header[DATA_LENGTH..].copy_from_slice(&self.data.to_le_bytes());
        self.emitted = true;
        self.out.put(&self.header)
    }
}

impl Write for Streamed<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.at >= HEADER {
            self.out.put(bytes)?;
            self.at += bytes.len();
            return Ok(bytes.len());
        }
        let count = bytes.len().min(HEADER - self.at);
        let place = &mut self.header[self.at..self.at + count];
        if self.emitted {
            if place != &bytes[..count] {
                return Err(io::Error::other("a WAV header is not what was foretold"));
            }
        } else {
            place.copy_from_slice(&bytes[..count]);
        }
        self.at += count;
        if self.at == HEADER && !self.emitted {
            self.foretell()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Streamed<'_, '_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Start(at) => self.at = usize::try_from(at).map_err(io::Error::other)?,
            SeekFrom::Current(by) => self.at = self.at.checked_add_signed(isize::try_from(by).map_err(io::Error::other)?).unwrap_or(0),
            SeekFrom::End(_) => return Err(io::Error::other("the end of a stream is not known")),
        }
        Ok(self.at as u64)
    }
}
