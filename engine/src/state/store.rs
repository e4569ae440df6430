//! All states of one operator's subtask, erased in one list, found by [`Slot`].

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;

use super::codec::{TypeShape, ValueCodec};
use super::entry::{self, Entry};
use super::slices::SliceTable;
use super::table::{Table, sections_of};
use crate::checkpoint::{Section, SnapshotMode, StateSnapshot};
use crate::data::Key;
use crate::key::KeyGroupRange;
use crate::timer::TimerQueue;

/// Where a state of type `S` lies in its store.
pub struct Slot<S> {
    index: usize,
    state: PhantomData<fn() -> S>,
}

impl<S> Clone for Slot<S> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S> Copy for Slot<S> {}

impl<S> fmt::Debug for Slot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", self.index)
    }
}

impl<S> Slot<S> {
    pub(crate) fn at(index: usize) -> Self {
        Slot { index, state: PhantomData }
    }

    pub(crate) fn index(self) -> usize {
        self.index
    }
}

/// A state as the store sees it.
pub(crate) trait AnyState: Send {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    /// The state with its codec, not only its table.
    fn whole_mut(&mut self) -> &mut dyn Any;
    fn snapshot(&mut self, mode: SnapshotMode, sections: &mut [Section]) -> anyhow::Result<()>;
    fn apply(&mut self, entry: &Entry<'_>) -> anyhow::Result<()>;
    fn read_as(&mut self, stored: &TypeShape);
    fn entries(&self) -> usize;
}

pub(crate) struct TableState<K, V> {
    pub(crate) table: Table<K, V>,
    pub(crate) codec: ValueCodec<V>,
}

pub(crate) struct SliceState<K, V> {
    pub(crate) slices: SliceTable<K, V>,
    pub(crate) codec: ValueCodec<V>,
}

impl<K: Key, V: Send + 'static> AnyState for TableState<K, V> {
    fn as_any(&self) -> &dyn Any {
        &self.table
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        &mut self.table
    }
    fn whole_mut(&mut self) -> &mut dyn Any {
        self
    }
    fn snapshot(&mut self, mode: SnapshotMode, sections: &mut [Section]) -> anyhow::Result<()> {
        self.table.snapshot(mode, &[], &self.codec, sections)
    }
    fn apply(&mut self, entry: &Entry<'_>) -> anyhow::Result<()> {
        self.table.apply(entry, &self.codec)
    }
    fn read_as(&mut self, stored: &TypeShape) {
        self.codec.read_as(stored);
    }
    fn entries(&self) -> usize {
        self.table.len()
    }
}

impl<K: Key, V: Send + 'static> AnyState for SliceState<K, V> {
    fn as_any(&self) -> &dyn Any {
        &self.slices
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        &mut self.slices
    }
    fn whole_mut(&mut self) -> &mut dyn Any {
        self
    }
    fn snapshot(&mut self, mode: SnapshotMode, sections: &mut [Section]) -> anyhow::Result<()> {
        self.slices.snapshot(mode, &self.codec, sections)
    }
    fn apply(&mut self, entry: &Entry<'_>) -> anyhow::Result<()> {
        self.slices.apply(entry, &self.codec)
    }
    fn read_as(&mut self, stored: &TypeShape) {
        self.codec.read_as(stored);
    }
    fn entries(&self) -> usize {
        self.slices.len()
    }
}

impl<K: Key> AnyState for TimerQueue<K> {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
    fn whole_mut(&mut self) -> &mut dyn Any {
        self
    }
    fn snapshot(&mut self, mode: SnapshotMode, sections: &mut [Section]) -> anyhow::Result<()> {
        self.write_snapshot(mode, sections)
    }
    fn apply(&mut self, entry: &Entry<'_>) -> anyhow::Result<()> {
        self.apply_entry(entry)
    }
    fn read_as(&mut self, _stored: &TypeShape) {}
    fn entries(&self) -> usize {
        self.len()
    }
}

/// The states of one operator's subtask.
pub struct StateStore {
    range: KeyGroupRange,
    tracked: bool,
    states: Vec<(String, Box<dyn AnyState>)>,
}

impl fmt::Debug for StateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.states.iter().map(|(name, _)| name).collect();
        f.debug_struct("StateStore").field("range", &self.range).field("states", &names).finish()
    }
}

impl StateStore {
    /// An empty store for the keys of `range`; lists changes for deltas when `tracked`.
    #[must_use]
    pub fn new(range: KeyGroupRange, tracked: bool) -> Self {
        StateStore { range, tracked, states: Vec::new() }
    }

    /// The key groups of this subtask.
    #[must_use]
    pub fn range(&self) -> KeyGroupRange {
        self.range
    }

    pub(crate) fn tracked(&self) -> bool {
        self.tracked
    }

    pub(crate) fn add(&mut self, name: &str, state: Box<dyn AnyState>) -> usize {
        self.states.push((name.to_owned(), state));
        self.states.len() - 1
    }

    pub(crate) fn value_state_mut<K: Key, V: Send + 'static>(
        &mut self,
        index: usize,
    ) -> Option<&mut TableState<K, V>> {
        let (_, state) = self.states.get_mut(index)?;
        state.whole_mut().downcast_mut()
    }

    /// The state in `slot`: resolve it once a batch, not once a record.
    ///
    /// # Panics
    /// When the slot is another operator's.
    #[inline]
    pub fn get_mut<S: 'static>(&mut self, slot: Slot<S>) -> &mut S {
        let state = self.states.get_mut(slot.index()).map(|(_, state)| state.as_any_mut());
        state.and_then(|state| state.downcast_mut()).expect("a handle is used in its own operator")
    }

    /// The state in `slot`.
    ///
    /// # Panics
    /// When the slot is another operator's.
    #[must_use]
    pub fn get<S: 'static>(&self, slot: Slot<S>) -> &S {
        let state = self.states.get(slot.index()).map(|(_, state)| state.as_any());
        state.and_then(|state| state.downcast_ref()).expect("a handle is used in its own operator")
    }

    /// The number of entries of each state, by name.
    pub fn sizes(&self) -> impl Iterator<Item = (&str, usize)> {
        self.states.iter().map(|(name, state)| (name.as_str(), state.entries()))
    }

    /// Writes every state: all of it, or what changed since the last call.
    ///
    /// # Errors
    /// A value that does not encode, with the state's name.
    pub fn snapshot(&mut self, mode: SnapshotMode) -> anyhow::Result<Vec<StateSnapshot>> {
        let range = self.range;
        let snapshot = |(name, state): &mut (String, Box<dyn AnyState>)| {
            let mut sections = sections_of(range);
            let written = state.snapshot(mode, &mut sections);
            written.map_err(|e| e.context(format!("state '{name}' cannot be written")))?;
            sections.retain(|section| section.entries > 0);
            Ok(StateSnapshot { state: name.clone(), sections })
        };
        self.states.iter_mut().map(snapshot).collect()
    }

    /// The values of state `name` are stored in this shape; call before [`StateStore::restore`].
    pub fn read_as(&mut self, name: &str, stored: &TypeShape) {
        if let Some((_, state)) = self.states.iter_mut().find(|(n, _)| n == name) {
            state.read_as(stored);
        }
    }

    /// Applies the entries of one section to state `name`, over what was applied before.
    ///
    /// # Errors
    /// No such state; entries or values that cannot be read.
    pub fn restore(&mut self, name: &str, section: &[u8]) -> anyhow::Result<()> {
        let state = self.states.iter_mut().find(|(n, _)| n == name);
        let Some((_, state)) = state else { anyhow::bail!("no state '{name}' is declared") };
        let mut rest = section;
        while let Some(entry) = entry::read(&mut rest)? {
            state.apply(&entry).map_err(|e| e.context(format!("state '{name}' cannot be read")))?;
        }
        Ok(())
    }
}
