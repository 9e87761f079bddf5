//! The three times of a call, never mixed: [`Tick`] for waiting, [`WallTime`] for people and records,
//! [`MediaTime`] for placing audio. All arrive as arguments; nothing in the engine reads a clock.

use std::fmt;
use std::ops::{Add, Sub};

use ::time::OffsetDateTime;
use ::time::macros::format_description;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Samples a second, everywhere: Twilio sends 8 kHz mu-law and nothing else.
pub const SAMPLE_RATE_HZ: u64 = 8_000;
/// Samples in a millisecond.
pub const SAMPLES_PER_MS: u64 = SAMPLE_RATE_HZ / 1_000;

/// A monotonic instant, in microseconds since some start of the process's choosing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// The instant `ms` milliseconds later.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0 + ms * 1_000)
    }

    /// Whole milliseconds since `earlier`; zero if that lies in the future.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000
    }
}

/// Twilio's `media.timestamp`: milliseconds since that stream began, by the media's own clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema), schema(value_type = u64))]
#[serde(transparent)]
pub struct MediaTime(pub u64);

impl MediaTime {
    /// Whole milliseconds since `earlier`; zero if that lies in the future.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for MediaTime {
    type Output = Self;
    fn add(self, ms: u64) -> Self {
        Self(self.0 + ms)
    }
}

impl Sub<u64> for MediaTime {
    type Output = Self;
    fn sub(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }
}

/// Milliseconds since 1970 in UTC: for people and records, never for waiting.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema), schema(value_type = String, format = DateTime))]
pub struct WallTime(pub i64);

impl WallTime {
    /// Reads an RFC 3339 time of any offset; digits past the millisecond are dropped.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &::time::format_description::well_known::Rfc3339).ok()?;
        i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).ok().map(Self)
    }

    /// So many days of 24 hours later.
    #[must_use]
    pub const fn plus_days(self, days: i64) -> Self {
        Self(self.0.saturating_add(days.saturating_mul(86_400_000)))
    }

    /// Year, month and day in UTC, as object keys need them.
    #[must_use]
    pub fn date(self) -> (i32, u8, u8) {
        let at = self.offset();
        (at.year(), u8::from(at.month()), at.day())
    }

    fn offset(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl fmt::Display for WallTime {
    /// RFC 3339 in UTC with milliseconds: `2026-11-26T08:15:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        f.write_str(&self.offset().format(&shape).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WallTime {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("expected an RFC 3339 time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_reads_what_it_writes_and_any_offset() {
        let at = WallTime::parse("2026-11-26T09:15:00.123456+01:00").unwrap();
        assert_eq!(at.to_string(), "2026-11-26T08:15:00.123Z");
        assert_eq!(WallTime::parse(&at.to_string()), Some(at));
        assert_eq!(at.date(), (2026, 11, 26));
        assert_eq!(WallTime::parse("yesterday"), None);
    }
}
