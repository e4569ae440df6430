//! What a channel carries: an [`Element`] is a batch of records, a watermark, a barrier, idle or
//! end.
//!
//! Grammar of one channel: `(Batch | Watermark | Idle | Barrier)* End`. Watermarks rise, barriers
//! come with rising checkpoint ids, nothing follows the end. A batch or watermark after `Idle`
//! makes the channel active again.

use std::fmt;
use std::sync::Arc;

use crate::checkpoint::Barrier;
use crate::erased::AnyBatch;
use crate::key::KeyHash;
use crate::time::Timestamp;

/// The number of records after which a batch is full.
pub const BATCH_RECORDS: usize = 1024;

/// What a channel carries, erased: the batch knows its type.
pub enum Element {
    /// Records, in order.
    Batch(AnyBatch),
    /// No record with an earlier timestamp is expected.
    Watermark(Timestamp),
    /// A checkpoint's mark: everything before it belongs to the checkpoint, nothing after it does.
    Barrier(Barrier),
    /// This channel has nothing to say for now: do not wait for its watermark.
    Idle,
    /// Nothing follows.
    End,
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Batch(batch) => write!(f, "Batch({})", batch.len()),
            Element::Watermark(at) => write!(f, "Watermark({at})"),
            Element::Barrier(barrier) => write!(f, "Barrier({})", barrier.checkpoint),
            Element::Idle => f.write_str("Idle"),
            Element::End => f.write_str("End"),
        }
    }
}

/// Where records came from: a range of positions of one split. Kept per batch, so that an error far
/// from the source can still name the records it may have come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The uid of the source.
    pub source: Arc<str>,
    /// The id of the split.
    pub split: Arc<str>,
    /// The position of the first record.
    pub first: u64,
    /// The position of the last record.
    pub last: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}] ", self.source, self.split)?;
        if self.first == self.last {
            write!(f, "at {}", self.first)
        } else {
            write!(f, "at {}..={}", self.first, self.last)
        }
    }
}

/// The origins of one batch. Bounded: past [`Origins::MAX`] splits only "and others" is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    known: Vec<Origin>,
    others: bool,
}

impl Origins {
    /// How many splits are told apart.
    pub const MAX: usize = 8;

    /// Adds a range, widening the one already known of that split.
    pub fn add(&mut self, origin: Origin) {
        let same = |o: &&mut Origin| o.split == origin.split && o.source == origin.source;
        if let Some(known) = self.known.iter_mut().find(same) {
            known.first = known.first.min(origin.first);
            known.last = known.last.max(origin.last);
        } else if self.known.len() < Self::MAX {
            self.known.push(origin);
        } else {
            self.others = true;
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Origins) {
        for origin in &other.known {
            self.add(origin.clone());
        }
        self.others |= other.others;
    }

    /// The known ranges.
    #[must_use]
    pub fn known(&self) -> &[Origin] {
        &self.known
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, origin) in self.known.iter().enumerate() {
            write!(f, "{}{origin}", if i == 0 { "" } else { ", " })?;
        }
        if self.others {
            f.write_str(" and others")?;
        }
        Ok(())
    }
}

/// Records in columns: items, their timestamps and, behind a `key_by`, the hashes of their keys.
///
/// Invariant: `timestamps` is as long as `items`; `hashes` too, or empty.
#[derive(Clone, Debug)]
pub struct Batch<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// When each happened; [`Timestamp::MIN`] where the stream has no clock.
    pub timestamps: Vec<Timestamp>,
    /// The hash of each item's key, or nothing.
    pub hashes: Vec<KeyHash>,
    /// Where the records came from.
    pub origins: Origins,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Batch {
            items: Vec::new(),
            timestamps: Vec::new(),
            hashes: Vec::new(),
            origins: Origins::default(),
        }
    }
}

impl<T> Batch<T> {
    /// An empty batch with room for `records`.
    #[must_use]
    pub fn with_capacity(records: usize) -> Self {
        Batch {
            items: Vec::with_capacity(records),
            timestamps: Vec::with_capacity(records),
            ..Batch::default()
        }
    }

    /// How many records.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Appends a record without a key.
    #[inline]
    pub fn push(&mut self, item: T, timestamp: Timestamp) {
        self.items.push(item);
        self.timestamps.push(timestamp);
    }

    /// Appends a record with the hash of its key.
    #[inline]
    pub fn push_keyed(&mut self, item: T, timestamp: Timestamp, hash: KeyHash) {
        self.items.push(item);
        self.timestamps.push(timestamp);
        self.hashes.push(hash);
    }

    /// Replaces every item, keeping timestamps, hashes and origins.
    pub fn map_items<U>(self, f: impl FnMut(T) -> U) -> Batch<U> {
        Batch {
            items: self.items.into_iter().map(f).collect(),
            timestamps: self.timestamps,
            hashes: self.hashes,
            origins: self.origins,
        }
    }
}
