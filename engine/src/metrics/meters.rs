//! What a source shows of each of its splits, and a sink of its transactions. Written by the
//! connector (relaxed), read by whoever shows them; each number is true by itself, two of them
//! only about the same moment.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::Counter;
use crate::time::Timestamp;

/// Where a source stands in one split: offsets, or whatever counts its records.
#[derive(Debug, Default)]
pub struct SplitMeter {
    next: AtomicU64,
    end: AtomicU64,
}

impl SplitMeter {
    /// `next` is what is read next, `end` what would be next if all were read, as far as known.
    pub fn set(&self, next: u64, end: u64) {
        self.next.store(next, Ordering::Relaxed);
        self.end.store(end, Ordering::Relaxed);
    }

    /// What is read next, and what would be if all were read.
    #[must_use]
    pub fn get(&self) -> (u64, u64) {
        (self.next.load(Ordering::Relaxed), self.end.load(Ordering::Relaxed))
    }

    /// How much is still before the source.
    #[must_use]
    pub fn behind(&self) -> u64 {
        let (next, end) = self.get();
        end.saturating_sub(next)
    }
}

/// What has become of a sink's transactions.
#[derive(Debug)]
pub struct TransactionMeter {
    /// Committed.
    pub committed: Counter,
    /// Given up: what they held is written again by the next attempt.
    pub aborted: Counter,
    /// How often another producer, or the broker's own limit, has ended this one's.
    pub fenced: Counter,
    open_since: AtomicI64,
}

impl Default for TransactionMeter {
    fn default() -> Self {
        let zero = Counter::default;
        let open_since = AtomicI64::new(i64::MIN);
        TransactionMeter { committed: zero(), aborted: zero(), fenced: zero(), open_since }
    }
}

impl TransactionMeter {
    /// The newest transaction is open since `at`; `None`: none is open.
    pub fn set_open(&self, since: Option<Timestamp>) {
        self.open_since.store(since.map_or(i64::MIN, Timestamp::as_millis), Ordering::Relaxed);
    }

    /// Since when the newest transaction is open.
    #[must_use]
    pub fn open_since(&self) -> Option<Timestamp> {
        let since = self.open_since.load(Ordering::Relaxed);
        (since != i64::MIN).then(|| Timestamp::from_millis(since))
    }
}
