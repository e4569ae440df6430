//! Event time: [`Timestamp`], [`Window`], and durations that read well.
//!
//! All arithmetic saturates: a record from the year 292 million must not wrap into the past.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment in milliseconds since 1970-01-01T00:00:00Z; may be negative.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Before every record: a watermark that promises nothing.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// After every record: the watermark of an ended stream.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// The moment `ms` milliseconds after (or before) 1970.
    #[must_use]
    pub const fn from_millis(ms: i64) -> Self {
        Timestamp(ms)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The greatest multiple of `step_ms` (shifted by `offset_ms`) not after this moment.
    #[must_use]
    pub fn align(self, step_ms: i64, offset_ms: i64) -> Timestamp {
        let past = (i128::from(self.0) - i128::from(offset_ms)).rem_euclid(i128::from(step_ms));
        Timestamp(i64::try_from(i128::from(self.0) - past).unwrap_or(i64::MIN))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;
    fn add(self, rhs: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(millis_of(rhs)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;
    fn sub(self, rhs: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(millis_of(rhs)))
    }
}

/// How long from `rhs` to `self`; zero when `rhs` is later.
impl Sub<Timestamp> for Timestamp {
    type Output = Duration;
    fn sub(self, rhs: Timestamp) -> Duration {
        let ms = i128::from(self.0) - i128::from(rhs.0);
        Duration::from_millis(u64::try_from(ms.max(0)).unwrap_or(u64::MAX))
    }
}

impl From<i64> for Timestamp {
    fn from(ms: i64) -> Self {
        Timestamp(ms)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Timestamp::MIN => f.write_str("min"),
            Timestamp::MAX => f.write_str("max"),
            Timestamp(ms) => write!(f, "{ms}"),
        }
    }
}

/// The whole milliseconds of a duration, at most `i64::MAX`.
#[must_use]
pub fn millis_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// `n` milliseconds.
#[must_use]
pub const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `n` seconds.
#[must_use]
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `n` minutes.
#[must_use]
pub const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

/// `n` hours.
#[must_use]
pub const fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

/// The moment `seconds` after 1970: for tests and examples.
#[must_use]
pub const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

/// A span of event time, `start` inclusive, `end` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// The first moment inside.
    pub start: Timestamp,
    /// The first moment after.
    pub end: Timestamp,
}

impl Window {
    /// The window from `start` to before `end`.
    #[must_use]
    pub const fn new(start: Timestamp, end: Timestamp) -> Self {
        Window { start, end }
    }

    /// Whether no record of this window is expected any more.
    #[must_use]
    pub fn is_over(&self, watermark: Timestamp) -> bool {
        self.end <= watermark
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_saturate() {
        assert_eq!(Timestamp::MAX + secs(1), Timestamp::MAX);
        assert_eq!(Timestamp::MIN - secs(1), Timestamp::MIN);
        assert_eq!(Timestamp::MIN.align(1000, 0), Timestamp::MIN);
        assert_eq!(Timestamp::MIN - Timestamp::MAX, Duration::ZERO);
    }

    #[test]
    fn moments_before_1970_align_downwards() {
        assert_eq!(Timestamp::from_millis(-1).align(10_000, 0), at(-10));
        assert_eq!(Timestamp::from_millis(0).align(10_000, 0), at(0));
        assert_eq!(Timestamp::from_millis(9_999).align(10_000, 0), at(0));
        assert_eq!(Timestamp::from_millis(12_000).align(10_000, 3_000), at(3));
    }
}
