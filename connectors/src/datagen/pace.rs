//! How many records may be made now: a decision without I/O, in whole numbers, so that no record is
//! gained or lost by rounding.
//!
//! Credit grows with the clock and is spent by records; it is kept below one second's worth.

use std::time::Duration;

/// Paces the records of one subtask, which has `share` of the `of` splits.
#[derive(Debug)]
pub(super) struct Pace {
    rate: u64,
    share: u64,
    of: u64,
    /// Whole milliseconds of the monotonic clock: what is less comes with the next.
    last_ms: u128,
    /// In units of which a record costs `1000 * of`.
    credit: u128,
}

impl Pace {
    /// `rate` is in records a second over all `of` splits; 0 is no limit.
    pub(super) fn new(rate: u64, of: u32, now: Duration) -> Self {
        Pace { rate, share: 0, of: u64::from(of), last_ms: now.as_millis(), credit: 0 }
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

    /// How many records may be made at `now` of the monotonic clock.
    pub(super) fn allowed(&mut self, now: Duration) -> u64 {
        if self.rate == 0 {
            return u64::MAX;
        }
        let elapsed_ms = now.as_millis().saturating_sub(self.last_ms);
        self.last_ms = now.as_millis();
        let most = (self.per_ms() * 1000).max(self.cost());
        self.credit = most.min(self.credit + self.per_ms() * elapsed_ms);
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

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
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
    fn a_pause_is_made_up_for_by_one_second_and_fractions_are_kept() {
        let mut pace = Pace::new(10, 1, at(0));
        pace.add_split();
        assert_eq!(pace.wait(), Some(Duration::from_millis(100)));
        assert_eq!(pace.allowed(at(60_000)), 10);
        pace.spend(10);
        let halves = (1..=200).map(|half| at(60_000) + Duration::from_micros(500) * half);
        assert_eq!(halves.map(|now| pace.allowed(now)).last(), Some(1));
    }
}
