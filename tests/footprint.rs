//! What sealing costs in memory, counted by an allocator. A binary of its own: nobody else may allocate meanwhile.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use callgate::engine::audio::frame::{Channel, Place, StreamNo};
use callgate::io::recording::Plan;
use callgate::io::spool::{Record, SpooledFrame, SpooledStream};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
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
    let before = LIVE.load(Ordering::SeqCst);
    PEAK.store(before, Ordering::SeqCst);
    let plan = Plan::of(|| Ok(spool(4)), 0, None).unwrap();
    let peak = PEAK.load(Ordering::SeqCst) - before;
    println!("{peak} bytes at most");
    assert_eq!((plan.frames, plan.sealed), ([4 * 3_600 * 50 - 250; 2], true));
    assert!(peak < 8 * 1024, "{peak} bytes for a call of four hours");
}
