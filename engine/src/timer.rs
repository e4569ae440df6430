//! Timers kept as state: set once per (moment, key), fired in the order (moment, key).
//!
//! Which timers are set is a [`Table`] like any other state; in which order they are due is kept
//! beside it and made anew at restore. Invariant: every timer that is set is in the order; one in
//! the order that is not set (any more) is passed over.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Section, SnapshotMode, Turnover};
use crate::data::Key;
use crate::key::{self, KeyGroupRange, KeyHash};
use crate::operator::Result;
use crate::state::entry::{Entry, Op};
use crate::state::{
    Budget, Bytes, Layout, RowKey, RowSink, Rows, Slot, Table, TypeShape, encoded, moment_of,
    namespace_of,
};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

/// A timer as the table knows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "K: Key")]
struct Set<K> {
    at: Timestamp,
    key: K,
}

/// Its place in the table: the key group and segment of its key, else spread by its moment.
fn table_hash(at: Timestamp, hash: KeyHash) -> KeyHash {
    let mixed = (at.as_millis() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    KeyHash(hash.0 ^ mixed)
}

/// A timer in the order, before its turn comes near.
struct Far<K> {
    at: Timestamp,
    hash: KeyHash,
    key: K,
}

/// A timer whose turn is near.
struct Near<K> {
    bytes: Box<[u8]>,
    far: Far<K>,
}

impl<K> Near<K> {
    fn place(&self) -> (Timestamp, &[u8]) {
        (self.far.at, &self.bytes)
    }
}

impl<K> PartialEq for Near<K> {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}
impl<K> Eq for Near<K> {}
impl<K> PartialOrd for Near<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Near<K> {
    /// The earliest is the greatest, as [`BinaryHeap`] has it.
    fn cmp(&self, other: &Self) -> Ordering {
        other.place().cmp(&self.place())
    }
}

/// How many milliseconds lie in one heap of [`Order::far`]: sorted only when their turn comes.
const NEAR_MS: i64 = 64;

/// What a heap of [`Order::far`] takes beside its timers: its place in the tree, an allocation.
const HEAP_BYTES: usize = 80;
/// What the encoded key of a near timer takes.
const NEAR_BYTES: usize = 32;

/// The order in which timers are due.
struct Order<K> {
    /// Every timer up to `near_until`, sorted.
    near: BinaryHeap<Near<K>>,
    near_until: i64,
    /// The later ones, by moment divided by [`NEAR_MS`].
    far: BTreeMap<i64, Vec<Far<K>>>,
    len: usize,
}

impl<K: Key> Order<K> {
    fn new() -> Self {
        Order { near: BinaryHeap::new(), near_until: i64::MIN, far: BTreeMap::new(), len: 0 }
    }

    fn push(&mut self, timer: Far<K>) -> Result<()> {
        self.len += 1;
        let place = timer.at.as_millis().div_euclid(NEAR_MS);
        if place <= self.near_until {
            return self.push_near(timer);
        }
        self.far.entry(place).or_default().push(timer);
        Ok(())
    }

    fn push_near(&mut self, far: Far<K>) -> Result<()> {
        let mut bytes = Vec::new();
        key::encode(&far.key, &mut bytes)?;
        self.near.push(Near { bytes: bytes.into(), far });
        Ok(())
    }

    /// The first of the order, brought near if need be.
    fn first(&mut self) -> Result<Option<&Near<K>>> {
        if self.near.is_empty()
            && let Some((place, timers)) = self.far.pop_first()
        {
            self.near_until = place;
            timers.into_iter().try_for_each(|timer| self.push_near(timer))?;
        }
        Ok(self.near.peek())
    }

    /// About how many bytes of memory it takes, without what keys have on the heap.
    fn bytes(&self) -> usize {
        let far = (self.len - self.near.len()) * size_of::<Far<K>>();
        let near = self.near.capacity() * size_of::<Near<K>>() + self.near.len() * NEAR_BYTES;
        // Lists that grow have a third of their room free on average.
        near + far + far / 2 + self.far.len() * HEAP_BYTES
    }

    fn pop(&mut self) -> Option<Far<K>> {
        let popped = self.near.pop();
        self.len -= usize::from(popped.is_some());
        popped.map(|near| near.far)
    }
}

/// The timers of one domain, ordered by moment and encoded key.
pub struct TimerQueue<K> {
    set: Table<Set<K>, ()>,
    order: Order<K>,
}

impl<K: Key> TimerQueue<K> {
    /// No timers, for the keys of `range`.
    #[must_use]
    pub fn new(range: KeyGroupRange, tracked: bool) -> Self {
        let layout = Box::new(TimerLayout { key: Vec::new() });
        TimerQueue { set: Table::new(range, tracked, layout), order: Order::new() }
    }

    /// Sets the timer of `key`, whose hash is `hash`, at `at`; setting it twice is setting it once.
    ///
    /// # Errors
    /// When the key has no encoding.
    pub fn set(&mut self, at: Timestamp, hash: KeyHash, key: &K) -> Result<()> {
        let timer = Set { at, key: key.clone() };
        let mut new = false;
        self.set.or_insert_with(table_hash(at, hash), &timer, || new = true)?;
        if new {
            self.order.push(Far { at, hash, key: timer.key })?;
            self.forget_unset()?;
        }
        Ok(())
    }

    /// Deletes the timer of `key`, whose hash is `hash`, at `at`, if it is set.
    ///
    /// # Errors
    /// When the key has no encoding.
    pub fn delete(&mut self, at: Timestamp, hash: KeyHash, key: &K) -> Result<()> {
        self.set.remove(table_hash(at, hash), &Set { at, key: key.clone() }).map(drop)
    }

    /// Makes the order anew when most of it is no longer set, so that it stays bounded.
    fn forget_unset(&mut self) -> Result<()> {
        if self.order.len <= 1024 + 2 * self.set.len() {
            return Ok(());
        }
        let mut order = Order::new();
        // Deleted and set again it is there more than once, and must be only once.
        let mut seen = HashTable::<(KeyHash, Set<K>)>::new();
        let Order { near, far, .. } = std::mem::replace(&mut self.order, Order::new());
        let near = near.into_iter().map(|near| near.far);
        for timer in near.chain(far.into_values().flatten()) {
            let Far { at, hash, key } = timer;
            let (place, set) = (table_hash(at, hash), Set { at, key });
            let again = seen.find(place.0, |(_, seen)| *seen == set).is_some();
            if !again && self.set.get(place, &set)?.is_some() {
                order.push(Far { at, hash, key: set.key.clone() })?;
                seen.insert_unique(place.0, (place, set), |(place, _)| place.0);
            }
        }
        self.order = order;
        Ok(())
    }

    /// The moment of the first timer.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn first(&mut self) -> Result<Option<Timestamp>> {
        while let Some(near) = self.order.first()? {
            let Far { at, hash, key } = &near.far;
            let (at, hash) = (*at, *hash);
            if self.set.get(table_hash(at, hash), &Set { at, key: key.clone() })?.is_some() {
                return Ok(Some(at));
            }
            self.order.pop();
        }
        Ok(None)
    }

    /// Takes the first timer that is due at `now`, with the hash of its key.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn pop_due(&mut self, now: Timestamp) -> Result<Option<(Timestamp, K, KeyHash)>> {
        while self.order.first()?.is_some_and(|near| near.far.at <= now) {
            let Some(Far { at, hash, key }) = self.order.pop() else { break };
            let set = Set { at, key };
            if self.set.remove(table_hash(at, hash), &set)?.is_some() {
                return Ok(Some((at, set.key, hash)));
            }
        }
        Ok(None)
    }

    /// How many timers are set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether none is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    pub(crate) fn apply(&mut self, entry: &Entry<'_>) -> Result<()> {
        let before = self.set.len();
        self.set.apply(entry)?;
        if entry.op == Op::Put && self.set.len() > before && !crate::planted!("timer.unordered") {
            let at = moment_of(entry.namespace)?;
            let (key, hash) = (key::decode(entry.key)?, key::hash_bytes(entry.key));
            self.order.push(Far { at, hash, key })?;
        }
        Ok(())
    }

    /// Looks at the size of some timers' keys.
    pub(crate) fn sample(&mut self) {
        self.set.sample();
    }

    pub(crate) fn bytes(&self) -> usize {
        let has_heap = std::mem::needs_drop::<K>();
        let keys = if has_heap { self.order.len * self.set.heap_per_entry() } else { 0 };
        self.set.bytes() + self.order.bytes() + keys
    }

    pub(crate) fn cut(&mut self, mode: SnapshotMode) {
        self.set.cut(mode);
    }

    pub(crate) fn write_some(&mut self, budget: &mut Budget) -> Result<bool> {
        self.set.write_some(budget)
    }

    pub(crate) fn turnover(&self) -> Option<Turnover> {
        self.set.turnover()
    }

    pub(crate) fn take_sections(&mut self) -> Vec<Section> {
        self.set.take_sections()
    }
}

/// A timer as a row: the moment is the namespace, there is no value.
struct TimerLayout {
    key: Vec<u8>,
}

impl<K: Key> Layout<Set<K>, ()> for TimerLayout {
    fn write(
        &mut self,
        timer: &Set<K>,
        (): &mut (),
        _: Rows,
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        sink.put(&namespace_of(timer.at), encoded(&timer.key, &mut self.key)?, &[])
    }

    fn delete(&mut self, timer: &Set<K>, sink: &mut dyn RowSink) -> Result<()> {
        if crate::planted!("timer.fired.kept") {
            return Ok(());
        }
        sink.delete(&namespace_of(timer.at), encoded(&timer.key, &mut self.key)?)
    }

    fn row_key<'a>(&self, entry: &Entry<'a>) -> Result<RowKey<'a, Set<K>>> {
        let at = moment_of(entry.namespace)?;
        let key = Set { at, key: key::decode(entry.key)? };
        Ok(RowKey { key, hash: table_hash(at, key::hash_bytes(entry.key)), rest: &[] })
    }

    fn absorb(&self, held: Option<&mut ()>, _: &[u8], _: &[u8], _: Bytes) -> Result<Option<()>> {
        Ok(held.is_none().then_some(()))
    }

    fn size(&mut self, (): &()) -> usize {
        0
    }

    fn retract(&self, (): &mut (), _: &[u8]) -> Result<bool> {
        anyhow::bail!("a timer has no parts")
    }

    fn read_as(&mut self, _stored: &TypeShape) {}
}
