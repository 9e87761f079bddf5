//! The frame path: the text of a media message in, an admitted frame handed to the spool out, and its parts.
//! `cargo bench --bench frame_path`. Budget: 2 µs a frame on one core; that it allocates nothing, `tests/footprint.rs` asserts.

use std::cell::RefCell;

use callgate::engine::audio::g711;
use callgate::engine::audio::keytone::Detector;
use callgate::engine::twilio::message::{self, Incoming, Track};

#[path = "../tests/common/recorded.rs"]
mod recorded;

use recorded::{Recorded, codes, text};

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

// A second of it: shorter runs are over before the machine has found its pace.
#[divan::bench(sample_count = 5000, sample_size = 100)]
fn whole(bencher: divan::Bencher) {
    let recorded = RefCell::new(Recorded::new([true, false]));
    let next = || recorded.borrow_mut().next(Track::Inbound);
    // Faster than real time by five orders of magnitude: the disk may not keep up, and is not what is measured.
    bencher.with_inputs(next).bench_local_refs(|text| recorded.borrow_mut().frame(text));
}

#[divan::bench(sample_count = 300, sample_size = 100)]
fn part_1_parse(bencher: divan::Bencher) {
    let text = text(1_000, Track::Inbound);
    bencher.bench(|| matches!(message::parse(divan::black_box(&text), ""), Ok(Incoming::Media(_))));
}

#[divan::bench(sample_count = 300, sample_size = 100)]
fn part_2_base64(bencher: divan::Bencher) {
    let payload = base64_simd::STANDARD.encode_to_string(codes(7));
    let codes = RefCell::new(Vec::with_capacity(1_024));
    bencher.bench_local(|| message::decode_payload(divan::black_box(&payload), &mut codes.borrow_mut()));
}

#[divan::bench(sample_count = 300, sample_size = 100)]
fn part_3_key_tones(bencher: divan::Bencher) {
    let detector = RefCell::new(Detector::new());
    let n = RefCell::new(0);
    let next = || {
        *n.borrow_mut() += 1;
        codes(*n.borrow()).map(g711::decode)
    };
    bencher.with_inputs(next).bench_local_refs(|samples| detector.borrow_mut().feed(samples, |_| ()));
}
