//! How many records may be made now: a decision without I/O, in whole numbers, so that no record is
//! gained or lost by rounding.
//!
//! Credit grows with the clock and is spent by records; it is kept below one second's worth.

use std::time::Duration;

use riverrun_engine::time::{Timestamp, millis_of};

/// Paces the records of one subtask, which has `share` of the `of` splits.
#[derive(Debug)]
pub(super) struct Pace {
    rate: u64,
    share: u64,
    of: u64,
    last: Timestamp,
    /// In units of which a record costs `1000 * of`.
    credit: u128,
}

impl Pace {
    /// `rate` is in records a second over all `of` splits; 0 is no limit.
    pub(super) fn new(rate: u64, of: u32, now: Timestamp) -> Self {
        Pace { rate, share: 0, of: u64::from(of), last: now, credit: 0 }
    }

    /// One more split is paced.
    pub(super) fn add_split(&mut self) {
        self.share += 1;
    }

    fn cost(&self) -> u128 {
        1000 * u128::from(self.of)
    }

    fn per_ms(&self) -> u128 {
        u128::from(self.rate) * u128::from(self.share)
    }

    /// How many records may be made at `now`. A clock that goes back gives no credit.
    pub(super) fn allowed(&mut self, now: Timestamp) -> u64 {
        if self.rate == 0 {
            return u64::MAX;
        }
        let elapsed_ms = millis_of(now - self.last).unsigned_abs();
        self.last = now;
        let most = (self.per_ms() * 1000).max(self.cost());
        self.credit = most.min(self.credit + self.per_ms() * u128::from(elapsed_ms));
        u64::try_from(self.credit / self.cost()).unwrap_or(u64::MAX)
    }

    /// `records` were made.
    pub(super) fn spend(&mut self, records: u64) {
        let cost = self.cost() * u128::from(records);
        self.credit = self.credit.saturating_sub(cost);
    }

    /// How long until the next record may be made; `None`: there will be none.
    pub(super) fn wait(&self) -> Option<Duration> {
        if self.rate == 0 {
            return Some(Duration::ZERO);
        }
        let missing = self.cost().saturating_sub(self.credit);
        (self.share > 0).then(|| {
            let ms = missing.div_ceil(self.per_ms()).max(1);
            Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn the_rate_is_met_exactly_and_shared_by_splits() {
        let mut pace = Pace::new(300, 4, at(0));
        pace.add_split();
        let mut made = 0;
        for ms in 1..=4000 {
            let allowed = pace.allowed(at(ms));
            pace.spend(allowed);
            made += allowed;
        }
        assert_eq!(made, 300, "a quarter of 300 a second, for 4 s");
    }

    #[test]
    fn a_pause_is_made_up_for_by_one_second_and_a_clock_that_goes_back_by_nothing() {
        let mut pace = Pace::new(10, 1, at(0));
        pace.add_split();
        assert_eq!(pace.wait(), Some(Duration::from_millis(100)));
        assert_eq!(pace.allowed(at(60_000)), 10);
        pace.spend(10);
        assert_eq!(pace.allowed(at(-60_000)), 0);
        assert_eq!(pace.allowed(at(-59_900)), 1);
    }
}
