//! Ogg/Opus by audiopus (libopus) and ogg: RFC 6716 packets of 20 ms in RFC 7845 pages.

use std::io;

use audiopus::coder::Encoder;
use audiopus::{Application, Bitrate, Channels, SampleRate};
use ogg::PacketWriteEndInfo;
use ogg::writing::PacketWriter;
use sha2::{Digest, Sha256};

use super::{Out, Plan, layout};
use crate::io::spool::Record;

/// Both channels together.
const BITRATE: i32 = 32_000;
const FRAME: usize = 160;
/// Opus counts time at 48 kHz, whatever went in.
const PER_SAMPLE: u64 = 6;
/// Pages of a second: enough for seeking, few enough for overhead.
const PACKETS_A_PAGE: u64 = 50;
const PACKET_MAX: usize = 4_000;

pub(super) fn encode(
    recording_id: &str,
    plan: &Plan,
    lead: &[u8],
    records: impl Iterator<Item = io::Result<Record>>,
    out: &mut Out<'_>,
) -> io::Result<()> {
    let mut encoder = Encoder::new(SampleRate::Hz8000, Channels::Stereo, Application::Voip).map_err(told)?;
    encoder.set_bitrate(Bitrate::BitsPerSecond(BITRATE)).map_err(told)?;
    let look_ahead = u64::from(encoder.lookahead().map_err(told)?);
    let pre_skip = look_ahead * PER_SAMPLE;
    let serial: [u8; 32] = Sha256::digest(recording_id.as_bytes()).into();
    let serial = u32::from_le_bytes([serial[0], serial[1], serial[2], serial[3]]);
    let mut stream = Stream { pages: PacketWriter::new(Vec::new()), serial, encoder, packet: vec![0; PACKET_MAX], packets: 0 };

    let head_skip = u16::try_from(pre_skip).map_err(io::Error::other)?.to_le_bytes();
    let head = [b"OpusHead".as_slice(), &[1, 2], &head_skip, &8_000u32.to_le_bytes(), &[0, 0, 0]].concat();
    stream.page(head, PacketWriteEndInfo::EndPage, 0)?;
    let vendor = b"callgate";
    let tags = [b"OpusTags".as_slice(), &8u32.to_le_bytes(), vendor, &0u32.to_le_bytes()].concat();
    stream.page(tags, PacketWriteEndInfo::EndPage, 0)?;

    // What the encoder looks ahead comes out late: silence pushes the last of it through.
    let total = plan.samples + look_ahead;
    let packets = total.div_ceil(FRAME as u64).max(1);
    let last_granule = pre_skip + plan.samples * PER_SAMPLE;
    let mut pending: Vec<i16> = Vec::with_capacity(FRAME * 4);
    layout::lay_out(plan, lead, records, |samples| {
        pending.extend(samples.iter().flatten());
        let whole = pending.len() / (FRAME * 2) * FRAME * 2;
        for frame in pending[..whole].chunks_exact(FRAME * 2) {
            stream.frame(frame, packets, last_granule, out)?;
        }
        pending.drain(..whole);
        Ok(())
    })?;
    while stream.packets < packets {
        pending.resize(FRAME * 2, 0);
        let frame = std::mem::take(&mut pending);
        stream.frame(&frame, packets, last_granule, out)?;
    }
    stream.drain(out)
}

struct Stream {
    pages: PacketWriter<'static, Vec<u8>>,
    serial: u32,
    encoder: Encoder,
    packet: Vec<u8>,
    packets: u64,
}

impl Stream {
    fn frame(&mut self, samples: &[i16], packets: u64, last_granule: u64, out: &mut Out<'_>) -> io::Result<()> {
        let len = self.encoder.encode(samples, &mut self.packet).map_err(told)?;
        self.packets += 1;
        let granule = (self.packets * FRAME as u64 * PER_SAMPLE).min(last_granule);
        let end = if self.packets == packets {
            PacketWriteEndInfo::EndStream
        } else if self.packets.is_multiple_of(PACKETS_A_PAGE) {
            PacketWriteEndInfo::EndPage
        } else {
            PacketWriteEndInfo::NormalPacket
        };
        let packet = self.packet[..len].to_vec();
        self.page(packet, end, granule)?;
        self.drain(out)
    }

    fn page(&mut self, packet: Vec<u8>, end: PacketWriteEndInfo, granule: u64) -> io::Result<()> {
        self.pages.write_packet(packet, self.serial, end, granule)
    }

    fn drain(&mut self, out: &mut Out<'_>) -> io::Result<()> {
        let pages = self.pages.inner_mut();
        if pages.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(pages);
        out.put(&bytes)
    }
}

fn told(why: audiopus::Error) -> io::Error {
    io::Error::other(format!("opus: {why}"))
}
