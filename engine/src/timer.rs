//! Timers kept as state: set once per (moment, key), fired in the order (moment, key).

use std::collections::BTreeMap;

use crate::checkpoint::{Section, SnapshotMode};
use crate::data::Key;
use crate::key::{self, KeyGroupRange, KeyHash};
use crate::operator::Result;
use crate::state::Slot;
use crate::state::entry::{self, Entry, Op};
use crate::time::Timestamp;

/// A timer that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// The moment it was set for.
    pub at: Timestamp,
    /// Which clock reached it.
    pub domain: TimeDomain,
}

/// Which clock a timer follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeDomain {
    /// The watermark: the same in every run.
    Event,
    /// The wall clock.
    Processing,
}

/// The two queues of a keyed operator.
#[derive(Debug)]
pub struct Timers<K> {
    /// Fired by the watermark.
    pub event: Slot<TimerQueue<K>>,
    /// Fired by the wall clock.
    pub processing: Slot<TimerQueue<K>>,
}

impl<K> Clone for Timers<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Timers<K> {}

type Due = (Timestamp, Vec<u8>);

/// The timers of one domain, ordered by moment and encoded key.
pub struct TimerQueue<K> {
    range: KeyGroupRange,
    tracked: bool,
    queue: BTreeMap<Due, K>,
    /// Set or deleted since the last snapshot; whether it is set now is what the queue says.
    changed: BTreeMap<Due, ()>,
}

impl<K: Key> TimerQueue<K> {
    /// No timers, for the keys of `range`.
    #[must_use]
    pub fn new(range: KeyGroupRange, tracked: bool) -> Self {
        TimerQueue { range, tracked, queue: BTreeMap::new(), changed: BTreeMap::new() }
    }

    fn due(at: Timestamp, key: &K) -> Result<Due> {
        let mut bytes = Vec::new();
        key::encode(key, &mut bytes)?;
        Ok((at, bytes))
    }

    fn mark(&mut self, due: &Due) {
        if self.tracked {
            self.changed.insert(due.clone(), ());
        }
    }

    /// Sets the timer of `key` at `at`; setting it twice is setting it once.
    ///
    /// # Errors
    /// When the key has no encoding.
    pub fn set(&mut self, at: Timestamp, key: &K) -> Result<()> {
        let due = Self::due(at, key)?;
        self.mark(&due);
        self.queue.entry(due).or_insert_with(|| key.clone());
        Ok(())
    }

    /// Deletes the timer of `key` at `at`, if it is set.
    ///
    /// # Errors
    /// When the key has no encoding.
    pub fn delete(&mut self, at: Timestamp, key: &K) -> Result<()> {
        let due = Self::due(at, key)?;
        if self.queue.remove(&due).is_some() {
            self.mark(&due);
        }
        Ok(())
    }

    /// The moment of the first timer.
    #[must_use]
    pub fn first(&self) -> Option<Timestamp> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the first timer that is due at `now`, with the hash of its key.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, K, KeyHash)> {
        if self.first()? > now {
            return None;
        }
        let (due, key) = self.queue.pop_first()?;
        self.mark(&due);
        let hash = key::hash_bytes(&due.1);
        Some((due.0, key, hash))
    }

    /// How many timers are set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn apply_entry(&mut self, entry: &Entry<'_>) -> Result<()> {
        let at = <[u8; 8]>::try_from(entry.namespace)
            .map_err(|_| anyhow::anyhow!("a timer's moment has 8 bytes"))?;
        let due = (Timestamp::from_millis(i64::from_be_bytes(at)), entry.key.to_vec());
        match entry.op {
            Op::Put => drop(self.queue.insert(due, key::decode(entry.key)?)),
            Op::Delete => drop(self.queue.remove(&due)),
            Op::Drop => anyhow::bail!("timers are not dropped by namespace"),
        }
        Ok(())
    }

    pub(crate) fn write_snapshot(
        &mut self,
        mode: SnapshotMode,
        sections: &mut [Section],
    ) -> Result<()> {
        let changed = std::mem::take(&mut self.changed);
        match mode {
            SnapshotMode::Full => {
                self.queue.keys().try_for_each(|due| write(self.range, due, Op::Put, sections))
            }
            SnapshotMode::Delta => changed.keys().try_for_each(|due| {
                let op = if self.queue.contains_key(due) { Op::Put } else { Op::Delete };
                write(self.range, due, op, sections)
            }),
        }
    }
}

fn write(range: KeyGroupRange, due: &Due, op: Op, sections: &mut [Section]) -> Result<()> {
    let section = &mut sections[range.position(key::hash_bytes(&due.1))];
    section.entries += 1;
    let namespace = due.0.as_millis().to_be_bytes();
    entry::write(&mut section.bytes, Entry { op, namespace: &namespace, key: &due.1, value: &[] })
}
