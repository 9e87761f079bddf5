//! What must hold of a sealed recording: everything in its place, the same bytes every time.

use std::io::Cursor;

use super::*;
use crate::engine::audio::frame::{Channel, Place, StreamNo};
use crate::engine::audio::g711;
use crate::engine::audio::prompts::{Language, Line, library};
use crate::io::spool::tests::{Bench, canary, head};
use crate::io::spool::{Lead, PauseGaps, Record, SpooledFrame, SpooledPause, SpooledStream};

fn stream(stream: u8, offset_ms: u64) -> io::Result<Record> {
    Ok(Record::Stream(SpooledStream { stream, stream_sid: format!("MZ{stream}"), offset_ms }))
}

fn frame(stream: u8, channel: Channel, at_ms: u64, n: u64) -> io::Result<Record> {
    let timestamp_ms = u32::try_from(at_ms).unwrap();
    Ok(Record::Frame(SpooledFrame { stream: StreamNo(stream), channel, at: Place(at_ms * 8), timestamp_ms, codes: canary(n) }))
}

fn again(records: &[io::Result<Record>]) -> Vec<io::Result<Record>> {
    records.iter().map(|record| Ok(record.as_ref().unwrap().clone())).collect()
}

fn laid_out(records: &[io::Result<Record>], lead: &[u8]) -> (Plan, Vec<[i16; 2]>) {
    let plan = Plan::of(|| Ok(again(records).into_iter()), lead.len() as u64, None).unwrap();
    let mut samples = Vec::new();
    layout::lay_out(&plan, lead, again(records).into_iter(), |piece| {
        samples.extend_from_slice(piece);
        Ok(())
    })
    .unwrap();
    assert_eq!(samples.len() as u64, plan.samples);
    (plan, samples)
}

fn is_at(samples: &[[i16; 2]], side: usize, at_ms: usize, n: u64) -> bool {
    samples[at_ms * 8..at_ms * 8 + 160].iter().map(|pair| pair[side]).eq(canary(n).iter().map(|code| g711::decode(*code)))
}

#[test]
fn frames_lie_where_media_time_says_and_holes_are_silent() {
    let (client, other) = (Channel::Client, Channel::Other);
    let records = [
        stream(0, 0),
        frame(0, client, 500, 1),
        frame(0, other, 500, 2),
        frame(0, client, 520, 3),
        frame(0, other, 560, 5), // one lost before it
        frame(0, client, 560, 4),
        frame(0, client, 540, 6),   // late
        frame(0, client, 4_000, 7), // a long gap
        stream(1, 10_000),
        frame(1, client, 80, 8),
    ];
    let (plan, samples) = laid_out(&records, &[]);
    for (side, at_ms, n) in [(0, 0, 1), (1, 0, 2), (0, 20, 3), (1, 60, 5), (0, 60, 4), (0, 40, 6), (0, 3_500, 7), (0, 10_000, 8)] {
        assert!(is_at(&samples, side, at_ms, n), "frame {n}");
    }
    assert!(samples[20 * 8..60 * 8].iter().all(|pair| pair[1] == 0) && samples[80 * 8..3_500 * 8].iter().all(|pair| *pair == [0, 0]));
    assert_eq!(plan.frames, [6, 2]);
    let segments: Vec<_> = plan.segments.iter().map(|part| (part.stream_sid.as_str(), part.start_ms, part.end_ms, part.at_ms)).collect();
    assert_eq!(segments, [("MZ0", 500, 580, 0), ("MZ0", 4_000, 4_020, 3_500), ("MZ1", 80, 100, 10_000)]);
}

#[test]
fn a_frame_without_room_is_told_of_and_takes_no_other_along() {
    let client = Channel::Client;
    let six_hours = 6 * 3_600_000;
    let records = [
        stream(0, 0),
        frame(0, client, 500, 1),
        frame(0, client, 480, 2), // before the first
        frame(0, client, 520 + six_hours, 3),
        frame(0, client, 520, 4),
        frame(0, client, 5_000, 5),
        frame(0, client, 540, 6), // long written
        Ok(Record::Sealed),
    ];
    let (plan, samples) = laid_out(&records, &[]);
    assert_eq!((plan.frames, plan.sealed, plan.samples), ([3, 0], true, 4_520 * 8));
    assert_eq!(plan.damage.as_deref(), Some("there is no room in the recording for 3 of its frames"));
    for (at_ms, n) in [(0, 1), (20, 4), (4_500, 5)] {
        assert!(is_at(&samples, 0, at_ms, n), "frame {n}");
    }
}

#[test]
fn a_stream_that_began_by_the_wall_in_what_is_written_already_loses_nothing() {
    let client = Channel::Client;
    let mut records = vec![stream(0, 0)];
    records.extend((0..500).map(|n| frame(0, client, n * 20, n)));
    records.push(stream(1, 1_000)); // ten seconds of media in one of the wall
    records.extend((0..100).map(|n| frame(1, client, n * 20, 1_000 + n)));
    let (plan, samples) = laid_out(&records, &[]);
    assert_eq!((plan.frames, plan.damage.as_deref()), ([600, 0], None));
    let begins = usize::try_from(plan.segments[1].at_ms).unwrap();
    assert!((0..100).all(|n| is_at(&samples, 0, begins + n * 20, 1_000 + n as u64)), "each frame of the second is heard");
}

#[test]
fn our_own_prompt_leads_on_the_right_and_nothing_of_the_client() {
    let lead = vec![0x20; 1_600];
    let (_, samples) = laid_out(&[stream(0, 0), frame(0, Channel::Client, 700, 1)], &lead);
    assert!(samples[..1_600].iter().all(|pair| *pair == [0, g711::decode(0x20)]));
    assert!(is_at(&samples, 0, 200, 1));
}

#[test]
fn a_cut_back_takes_what_lies_past_it() {
    let client = Channel::Client;
    let records = [
        stream(0, 0),
        frame(0, client, 0, 1),
        frame(0, client, 20, 2),
        frame(0, client, 40, 3),
        Ok(Record::Cut(StreamNo(0), Place(30 * 8))),
    ];
    let (plan, samples) = laid_out(&records, &[]);
    assert_eq!((plan.frames, samples.len()), ([1, 0], 160));
    let told: Vec<_> = plan.cut_at().into_iter().map(|cut| (cut.stream_sid, cut.stream_ms, cut.at_ms)).collect();
    assert_eq!(told, [("MZ0".to_owned(), 30, 20)], "where the gate was shut, and where the recording ends");
}

fn encoded(bench: &Bench, head: &RecordingHead) -> (Vec<u8>, Manifest) {
    let file = bench.sealed(&head.recording_id, 150);
    let lead = head.lead.as_ref().map_or(0, |lead| lead.samples);
    let prompt = head.lead.as_ref().and_then(|lead| library().of_digest(&lead.sha256));
    let once = || {
        let plan = Plan::of(|| file.records(&bench.keys), lead, None).unwrap();
        let (to, mut from) = mpsc::channel(1_000);
        let encoded = encode(&file, &bench.keys, head, prompt, &plan, &to).unwrap();
        drop(to);
        let mut bytes = Vec::new();
        while let Ok(piece) = from.try_recv() {
            bytes.extend_from_slice(&piece.unwrap());
        }
        assert_eq!(encoded.bytes, bytes.len() as u64);
        (bytes, Manifest::of(head, &plan, &encoded))
    };
    let (first, second) = (once(), once());
    assert!(first.0 == second.0 && first.1.to_json() == second.1.to_json(), "the same spool, the same bytes");
    first
}

#[test]
fn a_wav_is_what_hound_reads_and_begins_with_the_prompt() {
    let bench = Bench::new();
    let prompt = library().prompt(Language::EN, Line::Consent);
    let lead = Lead { language: "en".into(), version: prompt.version.clone(), sha256: prompt.sha256.clone(), samples: 8_000 };
    let (bytes, manifest) = encoded(&bench, &RecordingHead { lead: Some(lead), ..head("wav") });
    let reader = hound::WavReader::new(Cursor::new(&bytes)).unwrap();
    assert_eq!((reader.spec().channels, reader.spec().sample_rate, reader.duration()), (2, 8_000, 8_000 + 150 * 160));
    let right: Vec<i16> = reader.into_samples::<i16>().map(Result::unwrap).skip(1).step_by(2).take(8_000).collect();
    assert!(right.iter().eq(prompt.codes[..8_000].iter().map(|code| g711::decode(*code)).collect::<Vec<_>>().iter()));
    assert_eq!((manifest.frames, manifest.duration_ms, manifest.complete), ([150, 0], 4_000, true));
}

#[test]
fn opus_decodes_to_exactly_its_length() {
    let bench = Bench::new();
    let (bytes, _) = encoded(&bench, &RecordingHead { format: "opus".into(), ..head("opus") });
    let mut packets = ogg::PacketReader::new(Cursor::new(bytes));
    let mut decoder = audiopus::coder::Decoder::new(audiopus::SampleRate::Hz8000, audiopus::Channels::Stereo).unwrap();
    let (mut decoded, mut last) = (0, 0);
    let mut pcm = vec![0i16; 960 * 2];
    let mut number = 0;
    while let Some(packet) = packets.read_packet().unwrap() {
        if number >= 2 {
            decoded +=
                decoder.decode(Some(packet.data.as_slice().try_into().unwrap()), pcm.as_mut_slice().try_into().unwrap(), false).unwrap();
            last = packet.absgp_page();
        }
        number += 1;
    }
    let pre_skip = 312;
    assert_eq!(last, pre_skip + 150 * 160 * 6);
    assert!(decoded as u64 * 6 >= last, "nothing is missing at the end");
}

#[test]
fn a_pause_is_silence_as_long_as_it_was_or_is_left_out_and_the_manifest_tells() {
    let client = Channel::Client;
    let pause =
        |at_ms: u64, reason: Option<&str>| Ok(Record::Pause(SpooledPause { stream: 0, at: at_ms * 8, reason: reason.map(str::to_owned) }));
    let of = |pauses: PauseGaps| {
        [
            Ok(Record::Head(Box::new(RecordingHead { pauses, ..head("rec") }))),
            stream(0, 0),
            frame(0, client, 100, 1),
            pause(160, Some("PAYMENT")),
            frame(0, client, 120, 2), // it waited in the line
            frame(0, client, 140, 3),
            pause(560, None),
            frame(0, client, 560, 4),
            frame(0, client, 580, 5),
        ]
    };
    for (gaps, after_ms) in [(PauseGaps::Silence, 460), (PauseGaps::Cut, 60)] {
        let (plan, samples) = laid_out(&of(gaps), &[]);
        for (at_ms, n) in [(0, 1), (20, 2), (40, 3), (after_ms, 4), (after_ms + 20, 5)] {
            assert!(is_at(&samples, 0, at_ms, n), "{gaps:?}: frame {n}");
        }
        assert_eq!(samples.len(), (after_ms + 40) * 8, "{gaps:?}");
        let segments: Vec<_> = plan.segments.iter().map(|part| (part.start_ms, part.end_ms, part.at_ms)).collect();
        assert_eq!(segments, [(100, 160, 0), (560, 600, after_ms as u64)], "a segment of its own");
        let pauses: Vec<_> = plan.pauses.iter().map(|pause| (pause.start_ms, pause.end_ms, pause.reason.as_str(), pause.at_ms)).collect();
        assert_eq!(pauses, [(160, Some(560), "PAYMENT", 60)]);
    }
}

#[test]
fn the_manifest_tells_when_the_tone_sounded_and_not_of_one_that_was_cut_off_with_its_audio() {
    let beep = |at_ms: u64| Ok(Record::Beep(StreamNo(0), Place(at_ms * 8)));
    // The first is sent before any frame has left the line.
    let mut records = vec![stream(0, 0), beep(90)];
    records.extend((0..50).map(|n| frame(0, Channel::Client, 100 + n * 20, n)));
    records.extend([beep(600), beep(1_000)]);
    let beeps = |records: &[io::Result<Record>], lead: &[u8]| {
        let (plan, _) = laid_out(records, lead);
        plan.beeps.iter().map(|beep| (beep.stream_sid.clone(), beep.start_ms, beep.at_ms)).collect::<Vec<_>>()
    };
    let at = |start_ms, at_ms| ("MZ0".to_owned(), start_ms, at_ms);
    assert_eq!(beeps(&records, &[0xFF; 8_000]), [at(90, 1_000), at(600, 1_500), at(1_000, 1_900)]);
    records.push(Ok(Record::Cut(StreamNo(0), Place(800 * 8))));
    assert_eq!(beeps(&records, &[]), [at(90, 0), at(600, 500)]);
}
