//! The counters of one operator's subtask. Written by the task that owns it (relaxed, once a batch
//! where possible), read by whoever shows them. Balance: `in = out of its function + late +
//! skipped`.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::time::Timestamp;

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one subtask of one operator has done in this process.
#[derive(Debug)]
pub struct OperatorMetrics {
    /// Records taken.
    pub records_in: Counter,
    /// Records emitted to the main output.
    pub records_out: Counter,
    /// Records behind the watermark, dropped.
    pub late_dropped: Counter,
    /// Records behind the watermark, sent to a side output.
    pub late_side: Counter,
    /// Records that could not be read and were skipped as the job asked.
    pub skipped: Counter,
    /// Records that could not be read and went to the dead letters.
    pub dead_letters: Counter,
    /// Records emitted to a side output that nothing reads.
    pub side_unread: Counter,
    /// Records whose timestamp lies too far in the future to move the watermark.
    pub future: Counter,
    /// Timers fired.
    pub timers_fired: Counter,
    /// Nanoseconds spent waiting for room downstream.
    pub blocked_ns: Counter,
    /// Nanoseconds spent working.
    pub busy_ns: Counter,
    lag: AtomicU64,
    watermark: AtomicI64,
}

impl Default for OperatorMetrics {
    fn default() -> Self {
        let zero = Counter::default;
        OperatorMetrics {
            records_in: zero(),
            records_out: zero(),
            late_dropped: zero(),
            late_side: zero(),
            skipped: zero(),
            dead_letters: zero(),
            side_unread: zero(),
            future: zero(),
            timers_fired: zero(),
            blocked_ns: zero(),
            busy_ns: zero(),
            lag: AtomicU64::new(0),
            watermark: AtomicI64::new(i64::MIN),
        }
    }
}

impl OperatorMetrics {
    /// Shows how many records a source has still before it, as far as it knows.
    pub fn set_lag(&self, records: u64) {
        self.lag.store(records, Ordering::Relaxed);
    }

    /// How many records a source has still before it, as far as it knows.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.lag.load(Ordering::Relaxed)
    }

    /// Shows the operator's watermark.
    pub fn set_watermark(&self, watermark: Timestamp) {
        self.watermark.store(watermark.as_millis(), Ordering::Relaxed);
    }

    /// The operator's watermark.
    #[must_use]
    pub fn watermark(&self) -> Timestamp {
        Timestamp::from_millis(self.watermark.load(Ordering::Relaxed))
    }
}
