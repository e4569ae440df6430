//! The counters of one operator's subtask. Written by the task that owns it (relaxed, once a batch
//! where possible), read by whoever shows them. Balance: `in = out of its function + late +
//! skipped`.

mod meters;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use meters::{SplitMeter, TransactionMeter};

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
    /// Of a sink that writes in transactions.
    pub transactions: TransactionMeter,
    /// By name; as many as the subtask reads.
    splits: Mutex<BTreeMap<String, Arc<SplitMeter>>>,
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
            transactions: TransactionMeter::default(),
            splits: Mutex::default(),
            watermark: AtomicI64::new(i64::MIN),
        }
    }
}

impl OperatorMetrics {
    /// The splits that a source reads from now on: none yet.
    pub fn forget_splits(&self) {
        self.splits.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The meter of one more split.
    #[must_use]
    pub fn split(&self, name: &str) -> Arc<SplitMeter> {
        let mut splits = self.splits.lock().unwrap_or_else(PoisonError::into_inner);
        splits.entry(name.to_owned()).or_default().clone()
    }

    /// The meters of all splits, by name.
    #[must_use]
    pub fn splits(&self) -> Vec<(String, Arc<SplitMeter>)> {
        let splits = self.splits.lock().unwrap_or_else(PoisonError::into_inner);
        splits.iter().map(|(name, meter)| (name.clone(), meter.clone())).collect()
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
