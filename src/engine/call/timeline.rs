//! Where a frame belongs: Twilio's timestamps are not sample-exact, and messages go missing, come twice or late.
//!
//! Position is counted in bytes; the timestamp only notices holes (Twilio's own steps average 19.97 ms, the first
//! value is not 0). Repeats are dropped, a late frame goes into its hole, everything else follows on, and so does a frame
//! whose timestamp is none: one that leaps further than a stream can be silent and live.

use super::LOST_AFTER_MS;
use crate::engine::audio::frame::Place;
use crate::engine::time::MediaTime;

/// Timestamp and byte count may differ by this much before it counts as a hole.
pub const TOLERANCE_MS: u64 = 40;
/// The same when chunk numbers show that something is missing: half a message of the usual length.
pub const SKIPPED_MS: u64 = 10;
/// Timestamps may be off by this much: what is nearly a whole number of messages is one.
const JITTER_MS: u64 = 6;
/// No hole is longer: by then the stream would have been given up. A timestamp beyond it tells no time, nor does any that lies so far
/// from the place that its bytes have.
const HOLE_MAX_MS: u64 = LOST_AFTER_MS;
/// Holes remembered, so that a late frame finds its own.
const HOLES_MAX: usize = 4;

/// Where a message's audio goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placed {
    /// It follows what came before, there or behind a hole.
    Next(Place),
    /// It fills a hole that was noticed before.
    Late(Place),
    /// It was here already.
    Repeat,
}

/// One track's time line.
#[derive(Default)]
pub struct Timeline {
    next: Option<Place>,
    /// Number of the newest message, and a place shortly before its end: what begins behind that repeats nothing of it.
    newest: (u64, Place),
    holes: [Option<Hole>; HOLES_MAX],
}

/// Something is missing between two places.
#[derive(Clone, Copy)]
struct Hole {
    from: Place,
    to: Place,
    /// Where its timestamp puts what follows at `to`. Timestamps drift against places, not against each other.
    told: Place,
}

impl Timeline {
    /// Places a message of `samples` samples.
    pub fn place(&mut self, chunk: u64, timestamp: MediaTime, samples: u64) -> Placed {
        let told = Place::of(timestamp);
        let nearly_over = told.plus(samples.saturating_sub(samples.div_ceil(2).min(Place::default().plus_ms(SKIPPED_MS).0)));
        let Some(next) = self.next else {
            self.next = Some(told.plus(samples));
            self.newest = (chunk, nearly_over);
            return Placed::Next(told);
        };
        // Either alone may leap, or start anew; what comes late is behind by both.
        let newer = told > self.newest.1 || (self.newest.0 > 0 && chunk > self.newest.0);
        if !newer {
            return self.late(told, samples);
        }
        // A chunk number left out makes a small gap a hole; where both tracks share the counter there is no gap.
        let skipped = chunk > self.newest.0 + 1 && self.newest.0 > 0;
        let noticed = Place::default().plus_ms(if skipped { SKIPPED_MS } else { TOLERANCE_MS }).0;
        let gap = told.0.saturating_sub(next.0);
        let leaps = gap > Place::default().plus_ms(HOLE_MAX_MS).0;
        self.newest = (chunk.max(self.newest.0), if leaps { self.newest.1 } else { nearly_over.max(self.newest.1) });
        let hole = if gap > noticed && !leaps { whole_messages(gap, samples) } else { 0 };
        let at = next.plus(hole);
        if hole > 0 {
            self.remember(Hole { from: next, to: at, told });
        }
        self.next = Some(at.plus(samples));
        Placed::Next(at)
    }

    /// Where the next message belongs if nothing is missing before it.
    pub const fn reached(&self) -> Option<Place> {
        self.next
    }

    fn remember(&mut self, hole: Hole) {
        // What is filled needs no place.
        let free = self.holes.iter().position(Option::is_none).unwrap_or(HOLES_MAX - 1);
        self.holes[..=free].rotate_right(1);
        self.holes[0] = Some(hole);
    }

    fn late(&mut self, told: Place, samples: u64) -> Placed {
        // Less than half a message: what was there before the hole does not go into it once more.
        let slack = Place::default().plus_ms(JITTER_MS).0.min(samples.saturating_sub(1) / 2);
        for n in 0..HOLES_MAX {
            let Some(hole) = self.holes[n] else { continue };
            let Some(back) = hole.told.0.checked_sub(told.0) else { continue };
            let at = hole.to.minus(back);
            if at.0 + slack >= hole.from.0 && at.0 + samples <= hole.to.0 + slack {
                let at = at.min(hole.to.minus(samples)).max(hole.from);
                let left = at.plus(samples);
                self.holes[n] = (left < hole.to).then_some(Hole { from: left, ..hole });
                if hole.from < at {
                    self.remember(Hole { to: at, told, ..hole });
                }
                return Placed::Late(at);
            }
        }
        Placed::Repeat
    }
}

/// What of a message at `at` is to be told in Twilio's timestamps: its own, if it is one.
pub fn stamp(at: Place, timestamp: MediaTime) -> MediaTime {
    let off = Place::of(timestamp).0.abs_diff(at.0);
    if off > Place::default().plus_ms(HOLE_MAX_MS).0 { at.media_time() } else { timestamp }
}

/// Lost messages were as long as their neighbours.
fn whole_messages(gap: u64, samples: u64) -> u64 {
    let whole = (gap + samples / 2) / samples.max(1) * samples;
    if whole.abs_diff(gap) <= Place::default().plus_ms(JITTER_MS).0 { whole } else { gap }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(at: u64) -> Place {
        Place::of(MediaTime(at))
    }

    #[test]
    fn bytes_place_and_timestamps_only_notice_holes() {
        let mut line = Timeline::default();
        assert_eq!(line.place(1, MediaTime(155), 160), Placed::Next(ms(155)));
        // Steps of 19 and 21 ms do not move a sample.
        assert_eq!(line.place(2, MediaTime(174), 160), Placed::Next(ms(175)));
        assert_eq!(line.place(3, MediaTime(196), 160), Placed::Next(ms(195)));
        // Two frames lost.
        assert_eq!(line.place(6, MediaTime(255), 160), Placed::Next(ms(255)));
        // One of them comes late, then once more.
        assert_eq!(line.place(3, MediaTime(196), 160), Placed::Repeat, "what lies before the hole is not what is missing");
        assert_eq!(line.place(5, MediaTime(236), 160), Placed::Late(ms(235)));
        assert_eq!(line.place(5, MediaTime(236), 160), Placed::Repeat);
        assert_eq!(line.place(6, MediaTime(255), 160), Placed::Repeat);
        assert_eq!(line.place(7, MediaTime(275), 160), Placed::Next(ms(275)));
        // One frame lost, told a little off.
        assert_eq!(line.place(9, MediaTime(316), 160), Placed::Next(ms(315)));
    }

    #[test]
    fn what_is_missing_finds_its_place_in_whatever_order_it_comes() {
        for order in [[2, 3, 4, 5], [5, 4, 3, 2], [4, 2, 5, 3]] {
            let mut line = Timeline::default();
            line.place(1, MediaTime(100), 160);
            assert_eq!(line.place(6, MediaTime(200), 160), Placed::Next(ms(200)));
            for chunk in order {
                assert_eq!(line.place(chunk, MediaTime(80 + chunk * 20), 160), Placed::Late(ms(80 + chunk * 20)), "{order:?}");
            }
            assert_eq!(line.place(3, MediaTime(140), 160), Placed::Repeat);
        }
    }

    #[test]
    fn a_timestamp_that_leaps_makes_no_hole_and_takes_no_frame_after_it_along() {
        let mut line = Timeline::default();
        line.place(1, MediaTime(155), 160);
        assert_eq!(line.place(2, MediaTime(30_000_000), 160), Placed::Next(ms(175)));
        assert_eq!(stamp(ms(175), MediaTime(30_000_000)), MediaTime(175));
        assert_eq!(line.place(3, MediaTime(195), 160), Placed::Next(ms(195)));
        // Without chunk numbers the newest timestamp tells what is new: it is not the one that leapt.
        assert_eq!(line.place(0, MediaTime(40_000_000), 160), Placed::Next(ms(215)));
        assert_eq!(line.place(0, MediaTime(235), 160), Placed::Next(ms(235)));
        // As long as a stream can be silent and live is a hole.
        assert_eq!(line.place(0, MediaTime(60_255), 160), Placed::Next(ms(60_255)));
        // A clock that starts anew tells no time either; everything follows on.
        assert_eq!(line.place(4, MediaTime(0), 160), Placed::Next(ms(60_275)));
        assert_eq!(stamp(ms(60_275), MediaTime(0)), MediaTime(60_275));
    }

    #[test]
    fn a_chunk_number_that_leaps_or_starts_anew_loses_no_frame_after_it() {
        let mut line = Timeline::default();
        for (n, chunk) in (0..).zip([1, 2, 3_000_000, 4, 5, 1, 2, 0, 3]) {
            assert_eq!(line.place(chunk, MediaTime(155 + n * 20), 160), Placed::Next(ms(155 + n * 20)), "chunk {chunk}");
        }
        assert_eq!(line.place(3, MediaTime(315), 160), Placed::Repeat);
        assert_eq!(line.place(6, MediaTime(335), 1_600), Placed::Next(ms(335)));
        assert_eq!(line.place(3, MediaTime(375), 160), Placed::Repeat, "of what was in the long one");
        assert_eq!(line.place(3, MediaTime(515), 160), Placed::Repeat, "however near its end");
    }

    #[test]
    fn a_clock_that_runs_slow_loses_nothing() {
        let mut line = Timeline::default();
        for frame in 0..5_000u64 {
            let told = MediaTime(frame * 1_997 / 100);
            let placed = line.place(frame + 1, told, 160);
            assert_eq!(placed, Placed::Next(Place(frame * 160)));
        }
    }
}
