//! [`AnyState`]: a state as [`super::StateStore`] sees it, whatever its kind.

use std::any::Any;

use super::codec::TypeShape;
use super::cold::OpenSpill;
use super::cut::Budget;
use super::entry::Entry;
use super::slices::SliceTable;
use super::stored::{StoredRows, Wait, Warmth};
use super::table::Table;
use super::ttl::Times;
use crate::checkpoint::{Section, SnapshotMode, Turnover};
use crate::data::Key;
use crate::key::KeyGroup;
use crate::operator::Result;
use crate::timer::TimerQueue;

/// A state as the store sees it.
pub(crate) trait AnyState: Send {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    /// The barrier is here: what is written from now on is the state of this moment.
    fn cut(&mut self, mode: SnapshotMode) -> Result<()>;
    /// Writes a part of what was cut; whether all of it is written.
    fn write_some(&mut self, budget: &mut Budget) -> Result<bool>;
    /// Takes what was written.
    fn take_sections(&mut self) -> Vec<Section>;
    /// Of the interval before the last cut, if it is known.
    fn turnover(&self) -> Option<Turnover>;
    fn apply(&mut self, group: KeyGroup, entry: &Entry<'_>) -> Result<()>;
    fn read_as(&mut self, stored: &TypeShape);
    fn entries(&self) -> usize;
    /// Looks at the size of some entries.
    fn sample(&mut self);
    /// About how many bytes of memory it takes.
    fn bytes(&self) -> usize;
    /// Moves about `bytes` out of memory; for how many entries that makes room.
    fn evict(&mut self, bytes: usize) -> Result<usize>;
    /// Memory is nearly all taken: moves entries out of it rather than take more, also some of what
    /// `rests`.
    fn thin(&mut self, _rests: bool) -> Result<()> {
        Ok(())
    }
    fn spill_to(&mut self, open: OpenSpill);
    /// Whether what does not fit into memory is spilled.
    fn is_spilled(&self) -> bool {
        true
    }
    /// What says which keys were spilled may take so many bytes.
    fn bound_filters(&mut self, bytes_max: usize) {
        let _ = bytes_max;
    }
    /// The state is what `rows` hold, to be read later.
    fn restore_from(&mut self, rows: Box<dyn StoredRows>) -> Result<()> {
        drop(rows);
        anyhow::bail!("a state of this kind is restored at once")
    }
    /// Reads some of what such a restore has left.
    fn warm(&mut self, wait: Wait) -> Result<Warmth> {
        let _ = wait;
        Ok(Warmth::Warm)
    }
    /// Removes some of what has ended.
    fn sweep(&mut self, times: Times) -> Result<()> {
        let _ = times;
        Ok(())
    }
    /// Joins some of what lies in portions.
    fn tidy(&mut self) -> Result<()> {
        Ok(())
    }
}

impl<K: Key, V: Send + 'static> AnyState for Table<K, V> {
    fn bound_filters(&mut self, bytes_max: usize) {
        Table::bound_filter(self, bytes_max);
    }
    fn restore_from(&mut self, rows: Box<dyn StoredRows>) -> Result<()> {
        Table::restore_from(self, rows)
    }
    fn warm(&mut self, wait: Wait) -> Result<Warmth> {
        Table::warm(self, wait)
    }
    fn sweep(&mut self, times: Times) -> Result<()> {
        Table::sweep(self, times)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
    fn cut(&mut self, mode: SnapshotMode) -> Result<()> {
        Table::cut(self, mode);
        Ok(())
    }
    fn write_some(&mut self, budget: &mut Budget) -> Result<bool> {
        Table::write_some(self, budget)
    }
    fn take_sections(&mut self) -> Vec<Section> {
        Table::take_sections(self)
    }
    fn turnover(&self) -> Option<Turnover> {
        let rows_are_known =
            |turnover: &Turnover| turnover.entries == 0 || !self.layout.has_parts();
        Table::turnover(self).filter(rows_are_known)
    }
    fn apply(&mut self, _group: KeyGroup, entry: &Entry<'_>) -> Result<()> {
        Table::apply(self, entry)
    }
    fn read_as(&mut self, stored: &TypeShape) {
        Table::read_as(self, stored);
    }
    fn entries(&self) -> usize {
        self.len()
    }
    fn sample(&mut self) {
        Table::sample(self);
    }
    fn bytes(&self) -> usize {
        Table::bytes(self)
    }
    fn evict(&mut self, bytes: usize) -> Result<usize> {
        Table::evict(self, self.entries_of(bytes))
    }
    fn thin(&mut self, rests: bool) -> Result<()> {
        Table::thin(self, rests)
    }
    fn spill_to(&mut self, open: OpenSpill) {
        self.open_spill = Some(open);
    }
}

impl<K: Key, V: Clone + Send + 'static> AnyState for SliceTable<K, V> {
    fn bound_filters(&mut self, bytes_max: usize) {
        SliceTable::bound_filters(self, bytes_max);
    }
    fn tidy(&mut self) -> Result<()> {
        SliceTable::tidy(self)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
    fn cut(&mut self, mode: SnapshotMode) -> Result<()> {
        SliceTable::cut(self, mode)
    }
    fn write_some(&mut self, budget: &mut Budget) -> Result<bool> {
        SliceTable::write_some(self, budget)
    }
    fn take_sections(&mut self) -> Vec<Section> {
        SliceTable::take_sections(self)
    }
    fn turnover(&self) -> Option<Turnover> {
        SliceTable::turnover(self)
    }
    fn apply(&mut self, group: KeyGroup, entry: &Entry<'_>) -> Result<()> {
        SliceTable::apply(self, group, entry)
    }
    fn read_as(&mut self, stored: &TypeShape) {
        SliceTable::read_as(self, stored);
    }
    fn entries(&self) -> usize {
        self.len()
    }
    fn sample(&mut self) {
        SliceTable::sample(self);
    }
    fn bytes(&self) -> usize {
        SliceTable::bytes(self)
    }
    fn evict(&mut self, bytes: usize) -> Result<usize> {
        SliceTable::evict(self, bytes)
    }
    fn thin(&mut self, rests: bool) -> Result<()> {
        SliceTable::thin(self, rests)
    }
    fn spill_to(&mut self, open: OpenSpill) {
        SliceTable::spill_to(self, &open);
    }
}

impl<K: Key> AnyState for TimerQueue<K> {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
    fn cut(&mut self, mode: SnapshotMode) -> Result<()> {
        TimerQueue::cut(self, mode);
        Ok(())
    }
    fn write_some(&mut self, budget: &mut Budget) -> Result<bool> {
        TimerQueue::write_some(self, budget)
    }
    fn take_sections(&mut self) -> Vec<Section> {
        TimerQueue::take_sections(self)
    }
    fn turnover(&self) -> Option<Turnover> {
        TimerQueue::turnover(self)
    }
    fn apply(&mut self, _group: KeyGroup, entry: &Entry<'_>) -> Result<()> {
        TimerQueue::apply(self, entry)
    }
    fn read_as(&mut self, _stored: &TypeShape) {}
    fn entries(&self) -> usize {
        self.len()
    }
    fn sample(&mut self) {
        TimerQueue::sample(self);
    }
    fn bytes(&self) -> usize {
        TimerQueue::bytes(self)
    }
    fn is_spilled(&self) -> bool {
        false
    }
    fn evict(&mut self, _bytes: usize) -> Result<usize> {
        // Timers stay: what is due next must be known at any time.
        Ok(0)
    }
    fn spill_to(&mut self, _open: OpenSpill) {}
}
