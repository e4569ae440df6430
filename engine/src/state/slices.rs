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
use super::layout::ValueLayout;
use super::log::Log;
use super::table::Table;
use crate::checkpoint::{Section, SnapshotMode};
use crate::data::Key;
use crate::key::{KeyGroup, KeyGroupRange};
use crate::operator::Result;
use crate::time::Timestamp;

struct Slice<K, V> {
    table: Table<K, V>,
    /// Whether a snapshot holds this slice, so that its end must be written too.
    stored: bool,
}

/// The values of one windowed state: per slice start a [`Table`].
pub struct SliceTable<K, V> {
    range: KeyGroupRange,
    tracked: bool,
    codec: ValueCodec<V>,
    slices: BTreeMap<Timestamp, Slice<K, V>>,
    /// Those that went while they were still to be written for the last cut.
    leaving: Vec<Table<K, V>>,
    /// The stored ones that went since the last cut.
    dropped: Vec<Timestamp>,
    /// What is written for the last cut, by position of the key group.
    logs: Vec<Log>,
    /// Whether the last cut is not written whole.
    writing: bool,
    open_spill: Option<OpenSpill>,
}

impl<K: Key, V: Send + 'static> SliceTable<K, V> {
    /// No slices yet, for the keys of `range`.
    pub(crate) fn new(range: KeyGroupRange, tracked: bool, codec: ValueCodec<V>) -> Self {
        SliceTable {
            range,
            tracked,
            codec,
            slices: BTreeMap::new(),
            leaving: Vec::new(),
            dropped: Vec::new(),
            logs: Vec::new(),
            writing: false,
            open_spill: None,
        }
    }

    /// The table of the slice that starts at `start`, made where there is none.
    pub fn slice_mut(&mut self, start: Timestamp) -> &mut Table<K, V> {
        if !self.slices.contains_key(&start) {
            self.add(start);
        }
        &mut self.slices.get_mut(&start).expect("it was there, or was added").table
    }

    fn add(&mut self, start: Timestamp) {
        let layout = ValueLayout::new(&namespace_of(start), self.codec.clone());
        let mut table = Table::new(self.range, self.tracked, Box::new(layout));
        table.open_spill.clone_from(&self.open_spill);
        if let Some((_, before)) = self.slices.range(..start).next_back() {
            table.expect_like(&before.table);
        }
        self.slices.insert(start, Slice { table, stored: false });
    }

    /// The table of the slice that starts at `start`.
    pub fn existing(&mut self, start: Timestamp) -> Option<&mut Table<K, V>> {
        self.slices.get_mut(&start).map(|slice| &mut slice.table)
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
    ) -> Vec<&mut Table<K, V>> {
        let end = if inclusive { Bound::Included(end) } else { Bound::Excluded(end) };
        let slices = self.slices.range_mut((Bound::Included(start), end));
        slices.map(|(_, slice)| &mut slice.table).collect()
    }

    /// Drops every slice that starts before `start`.
    pub fn drop_before(&mut self, start: Timestamp) {
        let kept = self.slices.split_off(&start);
        for (start, slice) in std::mem::replace(&mut self.slices, kept) {
            let pending = slice.table.is_writing();
            if slice.stored || pending {
                self.dropped.push(start);
            }
            if pending {
                self.leaving.push(slice.table);
            }
        }
    }

    /// How many entries all slices hold.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slices.values().map(|slice| slice.table.len()).sum()
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
                slice.table.forget_group(usize::from(group.0 - self.range.start))?;
                if slice.table.is_empty() {
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
            slice.table.open_spill = Some(open.clone());
        }
    }

    /// Looks at the size of some entries of the newest slices.
    pub(super) fn sample(&mut self) {
        self.slices.values_mut().rev().take(4).for_each(|slice| slice.table.sample());
    }

    pub(super) fn bytes(&self) -> usize {
        let tables = self.slices.values().map(|slice| &slice.table).chain(&self.leaving);
        tables.map(Table::bytes).sum()
    }

    /// Moves about `bytes` out of memory, of every slice in proportion.
    pub(super) fn evict(&mut self, bytes: usize) -> Result<usize> {
        let all = self.bytes().max(1);
        let mut evicted = 0;
        for slice in self.slices.values_mut() {
            let table = &mut slice.table;
            let share = (bytes as u128 * table.bytes() as u128 / all as u128) as usize;
            if share > 0 {
                evicted += table.evict(table.entries_of(share))?;
            }
        }
        Ok(evicted)
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
        for slice in self.slices.values_mut() {
            slice.table.cut(mode);
            slice.stored = true;
        }
        self.writing = true;
        Ok(())
    }

    pub(super) fn write_some(&mut self, budget: &mut Budget) -> Result<bool> {
        if !self.writing {
            return Ok(true);
        }
        let slices = self.slices.values_mut().map(|slice| &mut slice.table);
        for table in slices.chain(&mut self.leaving) {
            if !table.is_writing() {
                continue;
            }
            if !table.write_some(budget)? {
                return Ok(false);
            }
            for (log, written) in self.logs.iter_mut().zip(table.take_logs()) {
                log.append(written);
            }
        }
        self.leaving.clear();
        self.writing = false;
        Ok(true)
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
