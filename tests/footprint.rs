//! What sealing costs in memory, and that a frame costs none, counted by an allocator of this binary's own. Each thread counts for
//! itself: what the spool's writers and other tests do is not the frame path's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;

use callgate::engine::audio::frame::{Channel, Place, StreamNo};
use callgate::engine::twilio::message::Track;
use callgate::io::recording::Plan;
use callgate::io::spool::{Record, SpooledFrame, SpooledStream};

#[path = "common/recorded.rs"]
mod recorded;

use recorded::{Recorded, TICKS_A_CHUNK};

struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// A thread that is ending has nothing left to count with.
fn count(size: usize) {
    let live = LIVE.try_with(|live| {
        live.set(live.get() + size.cast_signed());
        live.get()
    });
    let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.unwrap_or(0))));
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: everything is passed on to the system's allocator unchanged. A buffer that grows is one that is allocated, by the
// trait's own `realloc`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let _ = LIVE.try_with(|live| live.set(live.get() - layout.size().cast_signed()));
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Two tracks of `hours`, as a spool gives them, with a cut five seconds before the end.
fn spool(hours: u64) -> impl Iterator<Item = io::Result<Record>> {
    let frame = |n: u64, channel| {
        let at_ms = n * 20;
        let codes = vec![0x55; 160];
        Ok(Record::Frame(SpooledFrame { stream: StreamNo(0), channel, at: Place(at_ms * 8), timestamp_ms: at_ms as u32, codes }))
    };
    let stream = SpooledStream { stream: 0, stream_sid: "MZ1".into(), offset_ms: 0 };
    let frames = hours * 3_600 * 50;
    std::iter::once(Ok(Record::Stream(stream)))
        .chain((0..frames).flat_map(move |n| [frame(n, Channel::Client), frame(n, Channel::Other)]))
        .chain([Ok(Record::Cut(StreamNo(0), Place((frames - 250) * 160))), Ok(Record::Sealed)])
}

#[test]
fn a_call_of_four_hours_is_measured_in_the_memory_of_a_short_one() {
    let before = LIVE.get();
    PEAK.set(before);
    let plan = Plan::of(|| Ok(spool(4)), 0, None).unwrap();
    let peak = PEAK.get() - before;
    println!("{peak} bytes at most");
    assert_eq!((plan.frames, plan.sealed), ([4 * 3_600 * 50 - 250; 2], true));
    assert!(peak < 8 * 1024, "{peak} bytes for a call of four hours");
}

/// Ticks of 20 ms that are counted: a minute and a half of a call.
const TICKS: u64 = 4_500;

#[test]
fn a_frame_allocates_nothing_from_the_text_of_its_message_to_the_spool() {
    for tracks in [[true, false], [true, true]] {
        let mut recorded = Recorded::new(tracks);
        let (mut allocations, mut worst, mut captured) = (0, None, 0);
        let mut written = recorded.written_beyond(0);
        for tick in 0..TICKS {
            for (track, _) in Track::BOTH.into_iter().zip(tracks).filter(|(_, is_sent)| *is_sent) {
                let text = recorded.next(track);
                let before = ALLOCATIONS.get();
                let handed = recorded.frame(&text);
                let more = ALLOCATIONS.get() - before;
                captured += handed.expect("the spool keeps up");
                allocations += more;
                worst = worst.or((more > 0).then_some((tick, track)));
            }
            if tick % TICKS_A_CHUNK == TICKS_A_CHUNK - 1 {
                written = recorded.written_beyond(written);
            }
        }
        let sent = TICKS * tracks.iter().filter(|is_sent| **is_sent).count() as u64;
        assert_eq!(captured as u64, sent, "every frame was admitted and handed to the spool");
        assert_eq!(allocations, 0, "of {sent} frames of tracks {tracks:?}, the first that allocates is {worst:?}");
    }
}

#[test]
fn the_counter_sees_a_single_allocation() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![0u8; 160]));
    assert_eq!(ALLOCATIONS.get() - before, 1, "or zero above would mean nothing");
}
