//! A list as rows, in snapshots and in the spill: one for each run of values that was pushed before
//! it was written, so a push writes the tail only. Called by the tables of [`crate::state`].
//!
//! ```text
//! key   = the encoded key, then the number of the run
//! value = MessagePack array of the values
//! number
//!       = place:u32            where the list was written whole: the place of the run's first
//!                              value, from 0 on and below 2^31
//!       | generation:u48 run:u48   of what was added since, the top bit set
//! ```
//!
//! All big-endian, so a list is its rows in the order of their keys. What is added gets a number
//! that needs no knowledge of what is there, so a list that has left memory, or was not read since
//! a restore, is added to in a *tail* of its own, whose beginning lies elsewhere until somebody
//! reads it. A header per key with a count would have to be kept for every key there is, in memory.
//!
//! Invariants: within an attempt the numbers of a table's runs rise; its generation is above all in
//! the checkpoint it restored, and at most one above that checkpoint's number, which rises through
//! the life of a job. So a run that is added comes behind all that were there, in the files and in
//! the spill, whatever subtask of whatever attempt wrote those.

use std::cell::Cell;
use std::marker::PhantomData;

use crate::checkpoint::CheckpointId;
use crate::data::{Data, Key};
use crate::operator::Result;
use crate::state::codec::{Bytes, TypeShape};
use crate::state::layout::{Layout, Rows, encoded};
use crate::state::log::RowSink;

/// The values of one key.
pub(crate) struct ListEntries<V> {
    pub(in crate::state) values: Vec<V>,
    /// Whether values before these may lie elsewhere: in the spill tier, in the files.
    tail: bool,
    /// How many of them are written.
    written: usize,
    /// Whether what was written before is no longer the beginning of the list.
    replaced: bool,
    /// The beginning of it that lies in the spill tier, if that is known.
    spilled: Option<Spilled>,
    /// The rows that were absorbed.
    rows: usize,
}

/// What of a list lies in the spill tier.
#[derive(Clone, Copy, Debug)]
struct Spilled {
    values: usize,
    rows: usize,
}

impl<V> Default for ListEntries<V> {
    fn default() -> Self {
        let (tail, written, replaced) = (false, 0, false);
        ListEntries { values: Vec::new(), tail, written, replaced, spilled: None, rows: 0 }
    }
}

impl<V> ListEntries<V> {
    /// Of what is added; a tail where the list may lie elsewhere.
    pub(super) fn added(elsewhere: bool) -> Self {
        ListEntries { tail: elsewhere, ..ListEntries::default() }
    }

    /// What was written before is no longer the beginning of the list.
    pub(in crate::state) fn rewrite(&mut self) {
        self.tail = false;
        self.replaced |= self.written > 0;
        self.written = 0;
        self.spilled = None;
    }

    /// What it is lies in the spill tier just so.
    fn lies_in_spill(&mut self) {
        self.spilled = Some(Spilled { values: self.values.len(), rows: self.rows });
    }

    pub(super) fn replace(&mut self, values: Vec<V>) {
        self.values = values;
        self.rewrite();
    }
}

/// How many values the size of a list is judged by.
const SAMPLED: usize = 16;
/// What a value's allocation costs beside its contents.
const HEAP_OVERHEAD: usize = 16;

/// The most values of one row.
const RUN_MAX: usize = 512;
/// With so many rows in the spill tier, and fewer values in each, a list is written there anew.
const ROWS_MAX: usize = 64;
const VALUES_MIN: usize = 16;

/// The number of a run that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Added {
    generation: u64,
    run: u64,
}

impl Added {
    const BYTES: usize = 12;
    /// Bits of each part. The top one of a generation tells it from a place.
    const BITS: u32 = 48;
    const MARK: u64 = 1 << (Self::BITS - 1);

    fn write(self, key: &mut Vec<u8>) -> Result<()> {
        let Added { generation, run } = self;
        anyhow::ensure!(generation < Self::MARK && run < 1 << Self::BITS, "{self:?} is no number");
        let number = u128::from(generation | Self::MARK) << Self::BITS | u128::from(run);
        key.extend_from_slice(&number.to_be_bytes()[size_of::<u128>() - Self::BYTES..]);
        Ok(())
    }

    fn read(rest: &[u8; Self::BYTES]) -> Result<Self> {
        let (mut generation, mut run) = ([0; 8], [0; 8]);
        generation[2..].copy_from_slice(&rest[..6]);
        run[2..].copy_from_slice(&rest[6..]);
        let (generation, run) = (u64::from_be_bytes(generation), u64::from_be_bytes(run));
        anyhow::ensure!(generation & Self::MARK != 0, "the number of a run has no mark");
        Ok(Added { generation: generation & !Self::MARK, run })
    }
}

/// How many values a list may have that is written whole: places lie below the numbers of runs.
const PLACES_MAX: u32 = 1 << 31;

/// A list as rows.
pub(crate) struct ListLayout<V> {
    key: Vec<u8>,
    value: Vec<u8>,
    /// That of the runs which are added; above all that were restored.
    generation: Cell<u64>,
    /// The number of the next one.
    run: u64,
    values: PhantomData<fn() -> V>,
}

impl<V> ListLayout<V> {
    pub(crate) fn new() -> Self {
        let (key, value) = (Vec::new(), Vec::new());
        ListLayout { key, value, generation: Cell::new(0), run: 0, values: PhantomData }
    }
}

impl<V: Data> ListLayout<V> {
    /// Writes the whole list.
    fn write_whole<K: Key>(
        &mut self,
        key: &K,
        list: &ListEntries<V>,
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        let len = encoded(key, &mut self.key)?.len();
        for (number, values) in list.values.chunks(RUN_MAX).enumerate() {
            let place = u32::try_from(number * RUN_MAX).ok().filter(|at| *at < PLACES_MAX);
            let place = place.ok_or_else(|| anyhow::anyhow!("more than 2^31 values in a list"))?;
            self.key.truncate(len);
            self.key.extend_from_slice(&place.to_be_bytes());
            self.value.clear();
            rmp_serde::encode::write_named(&mut self.value, values)?;
            sink.put(&[], &self.key, &self.value)?;
        }
        Ok(())
    }

    /// Writes the values from `from` on behind whatever is there.
    fn write_added<K: Key>(
        &mut self,
        key: &K,
        (list, from): (&ListEntries<V>, usize),
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        let len = encoded(key, &mut self.key)?.len();
        for values in list.values[from..].chunks(RUN_MAX) {
            self.key.truncate(len);
            Added { generation: self.generation.get(), run: self.run }.write(&mut self.key)?;
            self.run += 1;
            self.value.clear();
            rmp_serde::encode::write_named(&mut self.value, values)?;
            sink.put_behind(&[], &self.key, &self.value)?;
        }
        Ok(())
    }

    /// Numbers go on behind those of this generation.
    fn go_on_behind(&self, generation: u64) {
        self.generation.set(self.generation.get().max(generation + 1));
    }
}

impl<K: Key, V: Data> Layout<K, ListEntries<V>> for ListLayout<V> {
    fn write(
        &mut self,
        key: &K,
        list: &mut ListEntries<V>,
        rows: Rows,
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        if list.replaced {
            sink.delete(&[], encoded(key, &mut self.key)?)?;
        }
        let whole = list.replaced || list.written == 0 || rows == Rows::All;
        match (list.tail, rows) {
            (true, Rows::All) => self.write_added(key, (list, 0), sink)?,
            (true, Rows::Changed) => self.write_added(key, (list, list.written), sink)?,
            (false, _) if whole => self.write_whole(key, list, sink)?,
            (false, _) => self.write_added(key, (list, list.written), sink)?,
        }
        (list.written, list.replaced) = (list.values.len(), false);
        Ok(())
    }

    fn delete(&mut self, key: &K, sink: &mut dyn RowSink) -> Result<()> {
        sink.delete(&[], encoded(key, &mut self.key)?)
    }

    fn absorb(
        &self,
        held: Option<&mut ListEntries<V>>,
        rest: &[u8],
        value: &[u8],
        source: Bytes,
    ) -> Result<Option<ListEntries<V>>> {
        let place = match (<[u8; 4]>::try_from(rest), <[u8; Added::BYTES]>::try_from(rest)) {
            (Ok(place), _) => Some(u32::from_be_bytes(place) as usize),
            (_, Ok(added)) => {
                let added = Added::read(&added)?;
                if source == Bytes::Stored {
                    self.go_on_behind(added.generation);
                }
                None
            }
            _ => anyhow::bail!("the number of a list's run has 4 or 12 bytes"),
        };
        let values: Vec<V> = rmp_serde::from_slice(value)?;
        let mut made = ListEntries::default();
        let fresh = held.is_none();
        let list = held.unwrap_or(&mut made);
        let there = list.values.len();
        if let Some(place) = place {
            anyhow::ensure!(place == there, "values {there}..{place} of a list are missing");
        }
        list.values.extend(values);
        list.written = list.values.len();
        list.rows += 1;
        Ok(fresh.then_some(made))
    }

    fn size(&mut self, list: &ListEntries<V>) -> usize {
        let own = list.values.capacity() * size_of::<V>();
        if !std::mem::needs_drop::<V>() {
            return own;
        }
        let some = &list.values[..list.values.len().min(SAMPLED)];
        self.value.clear();
        // One that cannot be encoded is named when it is written.
        let written = rmp_serde::encode::write_named(&mut self.value, some);
        let heap = written.map_or(0, |()| self.value.len()) + some.len() * HEAP_OVERHEAD;
        own + heap * list.values.len() / some.len().max(1)
    }

    fn retract(&self, _held: &mut ListEntries<V>, _rest: &[u8]) -> Result<bool> {
        anyhow::bail!("a part of a list is deleted, which no list does")
    }

    fn has_parts(&self) -> bool {
        true
    }

    fn fetched(&self, list: &mut ListEntries<V>) {
        list.lies_in_spill();
    }

    fn is_known_in_spill(&self, list: &ListEntries<V>) -> bool {
        let many_rows = |it: Spilled| it.rows > ROWS_MAX && it.values / it.rows < VALUES_MIN;
        list.tail || list.spilled.is_some_and(|spilled| !many_rows(spilled))
    }

    fn write_unspilled(
        &mut self,
        key: &K,
        list: &mut ListEntries<V>,
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        let from = list.spilled.take().map_or(0, |spilled| spilled.values);
        self.write_added(key, (list, from), sink)
    }

    fn is_tail(&self, list: &ListEntries<V>) -> bool {
        list.tail
    }

    fn join(&self, tail: &mut ListEntries<V>, beginning: Option<ListEntries<V>>, spilled: bool) {
        let mut list = beginning.unwrap_or_default();
        if spilled {
            list.lies_in_spill();
        }
        list.written = list.values.len() + tail.written;
        list.values.append(&mut tail.values);
        *tail = list;
    }

    fn begins(&self, rest: &[u8]) -> bool {
        rest == [0; 4]
    }

    fn follow(&self, checkpoint: CheckpointId) {
        self.go_on_behind(checkpoint.0);
    }

    fn read_as(&mut self, _stored: &TypeShape) {}
}
