//! The work: which events there are, what is computed, how results are compared.

use serde::{Deserialize, Serialize};

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Events whose key is a multiple of 123: sum of their prices.
    Filter,
    /// Count per key in tumbling windows of 10 s.
    Tumbling,
    /// Count per key in windows of 60 s every 10 s.
    Sliding,
    /// Running sum of the price per key, emitted when its low ten bits are 0.
    Running,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// What.
    pub(crate) work: Work,
    /// Distinct keys.
    pub(crate) keys: u64,
    /// Workers and subtasks.
    pub(crate) parallelism: u32,
    /// Interval; 0 is off.
    pub(crate) checkpoint_ms: u64,
    /// Events.
    pub(crate) events: u64,
}

/// One event.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    /// Who.
    pub(crate) key: u64,
    /// How much.
    pub(crate) price: u64,
    /// When, in milliseconds.
    pub(crate) at: i64,
}

/// As in a topic whose records are partitioned by their keys, the events of a key are all in one
/// partition: event `i` is in partition `i` mod so many.
pub(crate) const PARTITIONS: u64 = 4;

/// Event `i` of all that have `keys` keys, a multiple of [`PARTITIONS`] (the mixing step is
/// splitmix64's).
#[inline]
pub(crate) fn event(i: u64, keys: u64) -> Event {
    let mut z = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let r = z ^ (z >> 31);
    let key = (r % keys) & !(PARTITIONS - 1) | i & (PARTITIONS - 1);
    Event { key, price: (r >> 40) & 0xf_ffff, at: (i / 100) as i64 }
}

/// Results, in whatever order they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// How many.
    pub(crate) count: u64,
    /// The sum of their hashes.
    pub(crate) checksum: u64,
}

impl Tally {
    /// Adds a result made of these numbers.
    #[inline]
    pub(crate) fn add(&mut self, parts: [u64; 3]) {
        let mix = |hash: u64, part: u64| {
            (hash ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31)
        };
        self.count += 1;
        self.checksum = self.checksum.wrapping_add(parts.into_iter().fold(1, mix));
    }
}
