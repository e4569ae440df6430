//! State by slice of event time: one table per slice, so that firing is a walk and purging a drop.
//!
//! Called by the windowed operators. Invariants: a slice that goes before a snapshot holds it
//! leaves no trace; one that goes while it is still to be written for the last cut is kept aside
//! until it is.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::codec::{TypeShape, ValueCodec};
use super::cold::OpenSpill;
use super::cut::{Budget, sections};
use super::entry::{Entry, Op};
use super::log::Log;
use super::portions::Merge;
use super::slice::Slice;
use crate::checkpoint::{Section, SnapshotMode, Turnover};
use crate::data::Key;
use crate::key::{KeyGroup, KeyGroupRange};
use crate::operator::Result;
use crate::time::Timestamp;

/// The values of one windowed state: per slice start a [`Slice`].
pub struct SliceTable<K, V> {
    range: KeyGroupRange,
    tracked: bool,
    codec: ValueCodec<V>,
    /// How values are merged, if they can be.
    merge: Option<Merge<V>>,
    slices: BTreeMap<Timestamp, Slice<K, V>>,
    /// Those that went while they were still to be written for the last cut.
    leaving: Vec<Slice<K, V>>,
    /// The stored ones that went since the last cut.
    dropped: Vec<Timestamp>,
    /// What is written for the last cut, by position of the key group.
    logs: Vec<Log>,
    /// Whether the last cut is not written whole.
    writing: bool,
    /// As of the last cut, where all entries were in memory.
    turnover: Option<Turnover>,
    open_spill: Option<OpenSpill>,
}

impl<K: Key, V: Clone + Send + 'static> SliceTable<K, V> {
    /// No slices yet, for the keys of `range`.
    pub(super) fn new(
        range: KeyGroupRange,
        tracked: bool,
        codec: ValueCodec<V>,
        merge: Option<Merge<V>>,
    ) -> Self {
        SliceTable {
            range,
            tracked,
            codec,
            merge,
            slices: BTreeMap::new(),
            leaving: Vec::new(),
            dropped: Vec::new(),
            logs: Vec::new(),
            writing: false,
            turnover: None,
            open_spill: None,
        }
    }

    /// The slice that starts at `start`, made where there is none.
    pub fn slice_mut(&mut self, start: Timestamp) -> &mut Slice<K, V> {
        if !self.slices.contains_key(&start) {
            self.add(start);
        }
        self.slices.get_mut(&start).expect("it was there, or was added")
    }

    fn add(&mut self, start: Timestamp) {
        let (of, codec) = ((self.range, self.tracked), (&self.codec, self.merge));
        let mut slice = Slice::new(of, &namespace_of(start), codec, self.open_spill.clone());
        if let Some((_, before)) = self.slices.range(..start).next_back() {
            slice.expect_like(before);
        }
        self.slices.insert(start, slice);
    }

    /// The slice that starts at `start`.
    pub fn existing(&mut self, start: Timestamp) -> Option<&mut Slice<K, V>> {
        self.slices.get_mut(&start)
    }

    /// The starts of all slices, rising.
    pub fn starts(&self) -> impl DoubleEndedIterator<Item = Timestamp> {
        self.slices.keys().copied()
    }

    /// The slices that start in `start..end`, or `start..=end`, rising.
    pub fn between(
        &mut self,
        start: Timestamp,
        end: Timestamp,
        inclusive: bool,
    ) -> Vec<&mut Slice<K, V>> {
        let end = if inclusive { Bound::Included(end) } else { Bound::Excluded(end) };
        let slices = self.slices.range_mut((Bound::Included(start), end));
        slices.map(|(_, slice)| slice).collect()
    }

    /// Drops every slice that starts before `start`.
    pub fn drop_before(&mut self, start: Timestamp) {
        let kept = self.slices.split_off(&start);
        for (start, slice) in std::mem::replace(&mut self.slices, kept) {
            let pending = slice.is_writing();
            if slice.stored || pending {
                self.dropped.push(start);
            }
            if pending {
                self.leaving.push(slice);
            }
        }
    }

    /// How many entries all slices hold; each portion of one counts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slices.values().map(Slice::len).sum()
    }

    /// Whether no slice holds an entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn read_as(&mut self, stored: &TypeShape) {
        self.codec.read_as(stored);
    }

    pub(super) fn apply(&mut self, group: KeyGroup, entry: &Entry<'_>) -> Result<()> {
        let start = moment_of(entry.namespace)?;
        if entry.op == Op::Drop {
            if let Some(slice) = self.slices.get_mut(&start) {
                slice.forget_group(usize::from(group.0 - self.range.start))?;
                if slice.is_empty() {
                    self.slices.remove(&start);
                }
            }
            return Ok(());
        }
        self.slice_mut(start).apply(entry)?;
        if let Some(slice) = self.slices.get_mut(&start) {
            slice.stored = true;
        }
        Ok(())
    }

    pub(super) fn spill_to(&mut self, open: &OpenSpill) {
        self.open_spill = Some(open.clone());
        for slice in self.slices.values_mut() {
            slice.spill_to(open);
        }
    }

    /// Looks at the size of some entries of the newest slices.
    pub(super) fn sample(&mut self) {
        self.slices.values_mut().rev().take(4).for_each(Slice::sample);
    }

    pub(super) fn bytes(&self) -> usize {
        self.slices.values().chain(&self.leaving).map(Slice::bytes).sum()
    }

    /// The filters of all slices may take so many bytes together.
    pub(super) fn bound_filters(&mut self, bytes_max: usize) {
        let taken: usize = self.slices.values().map(Slice::filter_bytes).sum();
        let room = bytes_max.saturating_sub(taken) / self.slices.len().max(1);
        for slice in self.slices.values_mut() {
            slice.bound_filter(slice.filter_bytes() + room);
        }
    }

    /// Moves about `bytes` out of memory, of every slice in proportion.
    pub(super) fn evict(&mut self, bytes: usize) -> Result<usize> {
        let all = self.bytes().max(1);
        let mut evicted = 0;
        for slice in self.slices.values_mut() {
            let share = (bytes as u128 * slice.bytes() as u128 / all as u128) as usize;
            if share > 0 {
                evicted += slice.evict(slice.entries_of(share))?;
            }
        }
        Ok(evicted)
    }

    /// Moves entries out of memory rather than take more, also some of what `rests`.
    pub(super) fn thin(&mut self, rests: bool) -> Result<()> {
        self.slices.values_mut().try_for_each(|slice| slice.thin(rests))
    }

    /// Joins some portions.
    pub(super) fn tidy(&mut self) -> Result<()> {
        self.slices.values_mut().try_for_each(Slice::tidy)
    }

    /// Moves so many entries of each slice out of memory, and some more.
    #[cfg(test)]
    pub(super) fn squeeze(&mut self, entries: usize) {
        let mut slices = self.slices.values_mut();
        slices.try_for_each(|slice| slice.evict(entries).map(drop)).expect("evicts");
    }

    /// Joins all portions, in places of at most so many keys.
    #[cfg(test)]
    pub(super) fn join_all(&mut self, keys_max: usize) {
        let mut slices = self.slices.values_mut();
        slices.try_for_each(|slice| slice.join_all(keys_max)).expect("joins");
    }

    pub(super) fn cut(&mut self, mode: SnapshotMode) -> Result<()> {
        self.logs = (0..self.range.len()).map(|_| Log::default()).collect();
        let dropped = std::mem::take(&mut self.dropped);
        if mode == SnapshotMode::Delta {
            for start in dropped {
                let namespace = namespace_of(start);
                self.logs.iter_mut().try_for_each(|log| log.drop_namespace(&namespace))?;
            }
        }
        self.turnover = Some(Turnover::default());
        for slice in self.slices.values_mut() {
            slice.cut(mode)?;
            slice.stored = true;
            let own = slice.turnover();
            self.turnover = self.turnover.and_then(|all| Some(all.and(own?)));
        }
        self.writing = true;
        Ok(())
    }

    pub(super) fn write_some(&mut self, budget: &mut Budget) -> Result<bool> {
        if !self.writing {
            return Ok(true);
        }
        for slice in self.slices.values_mut().chain(&mut self.leaving) {
            if !slice.is_writing() {
                continue;
            }
            if !slice.write_some(budget)? {
                return Ok(false);
            }
            slice.take_logs(&mut self.logs);
        }
        self.leaving.clear();
        self.writing = false;
        Ok(true)
    }

    pub(super) fn turnover(&self) -> Option<Turnover> {
        self.turnover
    }

    pub(super) fn take_sections(&mut self) -> Vec<Section> {
        sections(self.range.iter().zip(std::mem::take(&mut self.logs)))
    }
}

/// Big-endian with the sign flipped, so that bytes sort as time does.
pub(crate) fn namespace_of(start: Timestamp) -> [u8; 8] {
    ((start.as_millis() ^ i64::MIN) as u64).to_be_bytes()
}

/// The moment of a namespace that [`namespace_of`] made.
pub(crate) fn moment_of(namespace: &[u8]) -> Result<Timestamp> {
    let bytes = <[u8; 8]>::try_from(namespace).map_err(|_| {
        anyhow::anyhow!("a slice's start or a timer's moment has 8 bytes, not {}", namespace.len())
    })?;
    Ok(Timestamp::from_millis(u64::from_be_bytes(bytes) as i64 ^ i64::MIN))
}
