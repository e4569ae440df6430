//! [`Slice`]: the values of one slice of event time, by key. Where values can be merged and memory
//! pressure has moved some out, what is added is added without reading them.
//!
//! Called by [`super::SliceTable`] and the windowed operators. Invariants: as long as nothing was
//! moved out, and wherever values cannot be merged, a slice is a table and no more; from then on
//! that table only gets smaller.

use super::codec::ValueCodec;
use super::cold::OpenSpill;
use super::cut::Budget;
use super::each::KeyedItems;
use super::entry::Entry;
use super::layout::{Layout, ValueLayout};
use super::log::Log;
use super::portions::{Merge, PortionLayout, Portions};
use super::table::Table;
use crate::checkpoint::{SnapshotMode, Turnover};
use crate::data::Key;
use crate::key::{KeyGroupRange, KeyHash};
use crate::operator::Result;

/// The values of one slice.
pub struct Slice<K, V> {
    table: Table<K, V>,
    /// Makes what portions are merged by, where values can be.
    portioned: Option<PortionLayout<V>>,
    portions: Option<Box<Portions<K, V>>>,
    tracked: bool,
    open_spill: Option<OpenSpill>,
    /// Whether a snapshot holds this slice, so that its end must be written too.
    pub(super) stored: bool,
}

impl<K: Key, V: Clone + Send + 'static> Slice<K, V> {
    pub(super) fn new(
        (range, tracked): (KeyGroupRange, bool),
        namespace: &[u8],
        (codec, merge): (&ValueCodec<V>, Option<Merge<V>>),
        open_spill: Option<OpenSpill>,
    ) -> Self {
        let portioned = merge.map(|merge| PortionLayout::new(namespace, codec.clone(), merge));
        let layout: Box<dyn Layout<K, V>> = match &portioned {
            Some(portioned) => Box::new(portioned.again::<K>()),
            None => Box::new(ValueLayout::new(namespace, codec.clone())),
        };
        let mut table = Table::new(range, tracked, layout);
        table.open_spill.clone_from(&open_spill);
        Slice { table, portioned, portions: None, tracked, open_spill, stored: false }
    }

    /// It is likely to become as large as `other`.
    pub(super) fn expect_like(&mut self, other: &Self) {
        self.table.expect_like(&other.table);
    }

    /// As [`Table::each_or_insert_with`]. Where values can be merged, what `step` gets may be a
    /// portion of the value: what is to be merged into the rest.
    ///
    /// # Errors
    /// When the state cannot be read; when the value as of the last barrier cannot be written.
    #[inline]
    pub fn each_or_insert_with<I: KeyedItems<K>>(
        &mut self,
        hashes: &[KeyHash],
        items: &mut I,
        new: impl Fn() -> V,
        step: impl FnMut(&mut V, I::Item),
    ) -> Result<()> {
        let table = match &mut self.portions {
            None => &mut self.table,
            Some(portions) => portions.current(),
        };
        table.each_or_insert_with(hashes, items, new, step)
    }

    /// Whether [`Slice::walk_part`] may show a key several times.
    #[must_use]
    pub fn is_in_portions(&self) -> bool {
        self.portions.is_some()
    }

    /// How many key groups it has.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.table.group_count()
    }

    /// How many parts the entries of a key group, by its position, are best walked in.
    #[must_use]
    pub fn parts(&self, position: usize) -> usize {
        match &self.portions {
            None => self.table.parts(position),
            Some(portions) => portions.parts(position),
        }
    }

    /// The entries of one of `parts` parts (a power of two) of a key group. Where they are in
    /// portions, those of a key come one by one, the oldest first: merged they are its value.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn walk_part(
        &mut self,
        position: usize,
        part: (usize, usize),
        mut see: impl FnMut(KeyHash, &K, &V),
    ) -> Result<()> {
        self.table.walk_part(position, part, &mut see)?;
        match &mut self.portions {
            None => Ok(()),
            Some(portions) => portions.walk(position, part, see),
        }
    }

    /// How many entries; each portion of one counts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len() + self.portions.as_ref().map_or(0, |portions| portions.len())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn apply(&mut self, entry: &Entry<'_>) -> Result<()> {
        self.table.apply(entry)
    }

    pub(super) fn forget_group(&mut self, position: usize) -> Result<()> {
        self.table.forget_group(position)
    }

    pub(super) fn spill_to(&mut self, open: &OpenSpill) {
        (self.open_spill, self.table.open_spill) = (Some(open.clone()), Some(open.clone()));
    }

    pub(super) fn sample(&mut self) {
        match &mut self.portions {
            None => self.table.sample(),
            Some(portions) => portions.sample(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.table.bytes() + self.portions.as_ref().map_or(0, |portions| portions.bytes())
    }

    pub(super) fn filter_bytes(&self) -> usize {
        self.table.cold.as_ref().map_or(0, |cold| cold.filter_bytes())
    }

    pub(super) fn bound_filter(&mut self, bytes_max: usize) {
        self.table.bound_filter(bytes_max);
    }

    /// How many entries of `bytes` to evict are about as many.
    pub(super) fn entries_of(&self, bytes: usize) -> usize {
        self.table.entries_of(bytes)
    }

    /// Moves entries out of memory, until there is room for about `entries` more; returns for how
    /// many. None while a full snapshot is being written.
    pub(super) fn evict(&mut self, entries: usize) -> Result<usize> {
        let (Some(portioned), Some(open)) = (&self.portioned, &self.open_spill) else {
            return self.table.evict(entries);
        };
        if self.is_writing_all() || self.is_empty() {
            return Ok(0);
        }
        if self.portions.is_none() {
            let (of, layout) = ((self.table.range(), self.tracked), portioned.again::<K>());
            self.portions = Some(Box::new(Portions::new(layout, of, open()?)));
        }
        let evicted = self.table.evict(entries)?;
        match &mut self.portions {
            Some(portions) if evicted < entries => {
                let restored = self.table.layout.highest_portion();
                Ok(evicted + portions.evict(entries - evicted, restored)?)
            }
            _ => Ok(evicted),
        }
    }

    /// Moves entries out of memory rather than take more, also some of what `rests`, where they
    /// leave one by one.
    pub(super) fn thin(&mut self, rests: bool) -> Result<()> {
        if self.portioned.is_some() { Ok(()) } else { self.table.thin(rests) }
    }

    /// Joins some of the portions.
    pub(super) fn tidy(&mut self) -> Result<()> {
        match &mut self.portions {
            None => Ok(()),
            Some(portions) => portions.join_due(&mut self.table),
        }
    }

    #[cfg(test)]
    pub(super) fn join_all(&mut self, keys_max: usize) -> Result<()> {
        match &mut self.portions {
            None => Ok(()),
            Some(portions) => portions.join_all(&mut self.table, keys_max),
        }
    }

    pub(super) fn cut(&mut self, mode: SnapshotMode) -> Result<()> {
        self.table.cut(mode);
        let restored = self.table.layout.highest_portion();
        match &mut self.portions {
            None => Ok(()),
            Some(portions) => portions.cut(mode, restored),
        }
    }

    pub(super) fn write_some(&mut self, budget: &mut Budget) -> Result<bool> {
        if !self.table.write_some(budget)? {
            return Ok(false);
        }
        match &mut self.portions {
            None => Ok(true),
            Some(portions) => portions.write_some(budget),
        }
    }

    /// As of the last cut, where all entries were in memory.
    pub(super) fn turnover(&self) -> Option<Turnover> {
        if self.portions.is_some() { None } else { self.table.turnover() }
    }

    /// Whether the last cut is still to be written, in part or whole.
    pub(super) fn is_writing(&self) -> bool {
        self.table.is_writing() || self.portions.as_ref().is_some_and(|it| it.is_writing())
    }

    fn is_writing_all(&self) -> bool {
        let portions = self.portions.as_ref();
        self.table.writing_all || portions.is_some_and(|portions| portions.is_writing_all())
    }

    /// Adds to `logs` what was written for the last cut, by position of the key group.
    pub(super) fn take_logs(&mut self, logs: &mut [Log]) {
        // What became of the table is older than what became of portions: joining ends it.
        logs.iter_mut().zip(self.table.take_logs()).for_each(|(log, own)| log.append(own));
        if let Some(portions) = &mut self.portions {
            logs.iter_mut().zip(portions.take_logs()).for_each(|(log, own)| log.append(own));
        }
    }
}
