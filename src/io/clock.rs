//! The clocks: the only place that reads them.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::engine::call::Now;
use crate::engine::time::{Tick, WallTime};

/// Clocks of this process.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    start: Instant,
}

impl Default for Clocks {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clocks {
    /// Both clocks, read once.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { tick: self.tick(), wall: wall() }
    }

    /// The monotonic clock alone.
    #[must_use]
    pub fn tick(&self) -> Tick {
        // A second is added so that "long ago" is never before the start.
        Tick(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX) + 1_000_000)
    }
}

/// The time people read.
#[must_use]
pub fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
