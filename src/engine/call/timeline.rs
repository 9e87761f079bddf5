//! Where a frame belongs: Twilio's timestamps are not sample-exact, and messages go missing, come twice or late.
//!
//! Position is counted in bytes; the timestamp only notices holes (Twilio's own steps average 19.97 ms, the first
//! value is not 0). Repeats are dropped, a late frame goes into its hole, everything else follows on.

use crate::engine::audio::frame::Place;
use crate::engine::time::MediaTime;

/// Timestamp and byte count may differ by this much before it counts as a hole.
pub const TOLERANCE_MS: u64 = 40;
/// The same when chunk numbers show that something is missing.
pub const SKIPPED_MS: u64 = 10;
/// Timestamps may be off by this much: what is nearly a whole number of messages is one.
const JITTER_MS: u64 = 6;
/// Holes remembered, so that a late frame finds its own.
const HOLES_MAX: usize = 4;

/// Where a message's audio goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placed {
    /// It follows what came before, or begins after a hole of that many samples.
    Next {
        /// Place of the first sample.
        at: Place,
        /// Samples missing before it.
        hole: u64,
    },
    /// It fills a hole that was noticed before.
    Late(Place),
    /// It was here already.
    Repeat,
}

/// One track's time line.
#[derive(Default)]
pub struct Timeline {
    next: Option<Place>,
    newest: (u64, MediaTime),
    holes: [Option<(Place, Place)>; HOLES_MAX],
}

impl Timeline {
    /// Places a message of `samples` samples.
    pub fn place(&mut self, chunk: u64, timestamp: MediaTime, samples: u64) -> Placed {
        let told = Place::of(timestamp);
        let tolerance = Place::default().plus_ms(TOLERANCE_MS).0;
        let Some(next) = self.next else {
            self.next = Some(told.plus(samples));
            self.newest = (chunk, timestamp);
            return Placed::Next { at: told, hole: 0 };
        };
        let newer = if chunk == 0 || self.newest.0 == 0 { timestamp > self.newest.1 } else { chunk > self.newest.0 };
        // Both tracks may share one chunk counter, or a sender may restart it: a timestamp well ahead is new anyway.
        if !newer && told.0 <= next.0 + tolerance {
            return self.late(told, samples);
        }
        // A chunk number left out makes a small gap a hole; where both tracks share the counter there is no gap.
        let skipped = chunk > self.newest.0 + 1 && self.newest.0 > 0;
        let noticed = Place::default().plus_ms(if skipped { SKIPPED_MS } else { TOLERANCE_MS }).0;
        self.newest = (chunk.max(self.newest.0), timestamp.max(self.newest.1));
        let gap = told.0.saturating_sub(next.0);
        let hole = if gap > noticed { whole_messages(gap, samples) } else { 0 };
        let at = next.plus(hole);
        if hole > 0 {
            self.holes.rotate_right(1);
            self.holes[0] = Some((next, at));
        }
        self.next = Some(at.plus(samples));
        Placed::Next { at, hole }
    }

    fn late(&mut self, told: Place, samples: u64) -> Placed {
        let slack = Place::default().plus_ms(TOLERANCE_MS / 2).0;
        for slot in &mut self.holes {
            if let Some((from, to)) = *slot {
                let at = told.max(from);
                if told.0 + slack >= from.0 && at.0 + samples <= to.0 + slack {
                    let at = if at.0 + samples > to.0 { to.minus(samples).max(from) } else { at };
                    // What lies before a late frame in its hole is given up for lost.
                    let left = at.plus(samples);
                    *slot = (left < to).then_some((left, to));
                    return Placed::Late(at);
                }
            }
        }
        Placed::Repeat
    }
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
        assert_eq!(line.place(1, MediaTime(155), 160), Placed::Next { at: ms(155), hole: 0 });
        // Steps of 19 and 21 ms do not move a sample.
        assert_eq!(line.place(2, MediaTime(174), 160), Placed::Next { at: ms(175), hole: 0 });
        assert_eq!(line.place(3, MediaTime(196), 160), Placed::Next { at: ms(195), hole: 0 });
        // Two frames lost.
        assert_eq!(line.place(6, MediaTime(255), 160), Placed::Next { at: ms(255), hole: 320 });
        // One of them comes late, then once more.
        assert_eq!(line.place(5, MediaTime(235), 160), Placed::Late(ms(235)));
        assert_eq!(line.place(5, MediaTime(235), 160), Placed::Repeat);
        assert_eq!(line.place(6, MediaTime(255), 160), Placed::Repeat);
        assert_eq!(line.place(7, MediaTime(275), 160), Placed::Next { at: ms(275), hole: 0 });
        // One frame lost, told a little off.
        assert_eq!(line.place(9, MediaTime(316), 160), Placed::Next { at: ms(315), hole: 160 });
    }

    #[test]
    fn a_clock_that_runs_slow_loses_nothing() {
        let mut line = Timeline::default();
        for frame in 0..5_000u64 {
            let told = MediaTime(frame * 1_997 / 100);
            let placed = line.place(frame + 1, told, 160);
            assert_eq!(placed, Placed::Next { at: Place(frame * 160), hole: 0 });
        }
    }
}
