//! The one door to the clock. Everything that asks what time it is asks a [`Clock`], so that a
//! test, a simulation or a drill can hold time in its hand.
//!
//! The wall clock jumps: somebody sets it, a machine wakes up, a leap is made up for. So it is
//! asked for what has to do with the time of day and with the timestamps of records; how long
//! something takes is told by [`Clock::monotonic`], which passes evenly.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::time::{Timestamp, millis_of};

/// Tells the time. Called by sources, watermarks and processing-time timers.
pub trait Clock: Send + Sync + 'static {
    /// Now, by the wall clock, which may jump in both directions.
    fn now(&self) -> Timestamp;

    /// Time since a moment that stays the same while the process lives: never jumps or goes back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// How far a drill has put the wall clock of this process, in milliseconds.
static JUMPED: AtomicI64 = AtomicI64::new(0);

/// Puts the wall clock of this process by `ms`, forwards or backwards: what a drill rehearses. Time
/// passes on as before.
pub fn jump(ms: i64) {
    JUMPED.fetch_add(ms, Ordering::Relaxed);
}

#[allow(clippy::disallowed_methods, reason = "this is the door")]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let ms = since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        Timestamp::from_millis(ms.saturating_add(JUMPED.load(Ordering::Relaxed)))
    }

    fn monotonic(&self) -> Duration {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        BEGAN.get_or_init(Instant::now).elapsed()
    }
}

/// A clock that stands still until told to move.
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    now_ms: Arc<AtomicI64>,
    passed_ms: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let clock = ManualClock::default();
        clock.jump(now);
        clock
    }

    /// It becomes `now`: time passes until then. Where it is later already, it is put back, and no
    /// time passes.
    pub fn set(&self, now: Timestamp) {
        let passed = millis_of(now - self.now()).unsigned_abs();
        self.passed_ms.fetch_add(passed, Ordering::SeqCst);
        self.jump(now);
    }

    /// Puts the wall clock, forwards or backwards: no time passes.
    pub fn jump(&self, now: Timestamp) {
        self.now_ms.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.passed_ms.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::at;

    #[test]
    fn a_wall_clock_that_jumps_lets_no_time_pass() {
        let clock = ManualClock::new(at(1000));
        clock.set(at(1010));
        assert_eq!((clock.now(), clock.monotonic()), (at(1010), Duration::from_secs(10)));
        clock.jump(at(90_000));
        clock.set(at(500));
        assert_eq!((clock.now(), clock.monotonic()), (at(500), Duration::from_secs(10)));
    }

    #[test]
    fn a_drill_puts_the_wall_clock_of_the_process_only() {
        let (before, passed) = (SystemClock.now(), SystemClock.monotonic());
        jump(3_600_000);
        let shown = SystemClock.now() - before;
        jump(-3_600_000);
        assert!(shown >= Duration::from_secs(3600), "{shown:?}");
        assert!(SystemClock.monotonic() - passed < Duration::from_secs(3600));
    }
}
