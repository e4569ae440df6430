//! State by slice of event time: one table per slice, so that firing is a walk and purging a drop.

use std::collections::BTreeMap;

use super::codec::ValueCodec;
use super::entry::{self, Entry, Op};
use super::table::Table;
use crate::checkpoint::{Section, SnapshotMode};
use crate::data::Key;
use crate::key::KeyGroupRange;
use crate::time::Timestamp;

struct Slice<K, V> {
    table: Table<K, V>,
    /// Whether a snapshot holds this slice, so that its end must be written too.
    written: bool,
}

/// The values of one windowed state: per slice start a [`Table`].
pub struct SliceTable<K, V> {
    range: KeyGroupRange,
    tracked: bool,
    slices: BTreeMap<Timestamp, Slice<K, V>>,
    dropped: Vec<Timestamp>,
}

impl<K: Key, V: Send + 'static> SliceTable<K, V> {
    /// No slices yet, for the keys of `range`.
    #[must_use]
    pub fn new(range: KeyGroupRange, tracked: bool) -> Self {
        SliceTable { range, tracked, slices: BTreeMap::new(), dropped: Vec::new() }
    }

    /// The table of the slice that starts at `start`, made where there is none.
    pub fn slice_mut(&mut self, start: Timestamp) -> &mut Table<K, V> {
        let (range, tracked) = (self.range, self.tracked);
        let new = || Slice { table: Table::new(range, tracked), written: false };
        &mut self.slices.entry(start).or_insert_with(new).table
    }

    /// The table of the slice that starts at `start`.
    #[must_use]
    pub fn slice(&self, start: Timestamp) -> Option<&Table<K, V>> {
        self.slices.get(&start).map(|slice| &slice.table)
    }

    /// The starts of all slices, rising.
    pub fn starts(&self) -> impl DoubleEndedIterator<Item = Timestamp> {
        self.slices.keys().copied()
    }

    /// The slices that start in `start..end`, rising.
    pub fn between(&self, start: Timestamp, end: Timestamp) -> impl Iterator<Item = &Table<K, V>> {
        self.slices.range(start..end).map(|(_, slice)| &slice.table)
    }

    /// Drops every slice that starts before `start`.
    pub fn drop_before(&mut self, start: Timestamp) {
        let kept = self.slices.split_off(&start);
        for (start, slice) in std::mem::replace(&mut self.slices, kept) {
            if slice.written {
                self.dropped.push(start);
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

    pub(super) fn apply(&mut self, entry: &Entry<'_>, codec: &ValueCodec<V>) -> anyhow::Result<()> {
        let start = <[u8; 8]>::try_from(entry.namespace)
            .map_err(|_| anyhow::anyhow!("a slice's start has 8 bytes"))?;
        let start = Timestamp::from_millis(u64::from_be_bytes(start) as i64 ^ i64::MIN);
        if entry.op == Op::Drop {
            self.slices.remove(&start);
            return Ok(());
        }
        self.slice_mut(start).apply(entry, codec)?;
        if let Some(slice) = self.slices.get_mut(&start) {
            slice.written = true;
        }
        Ok(())
    }

    pub(super) fn snapshot(
        &mut self,
        mode: SnapshotMode,
        codec: &ValueCodec<V>,
        sections: &mut [Section],
    ) -> anyhow::Result<()> {
        let dropped = std::mem::take(&mut self.dropped);
        if mode == SnapshotMode::Delta {
            for start in dropped {
                for section in &mut *sections {
                    let namespace = namespace_of(start);
                    let entry = Entry { op: Op::Drop, namespace: &namespace, key: &[], value: &[] };
                    section.entries += 1;
                    entry::write(&mut section.bytes, entry)?;
                }
            }
        }
        for (start, slice) in &mut self.slices {
            slice.table.snapshot(mode, &namespace_of(*start), codec, sections)?;
            slice.written = true;
        }
        Ok(())
    }
}

/// Big-endian with the sign flipped, so that bytes sort as time does.
fn namespace_of(start: Timestamp) -> [u8; 8] {
    ((start.as_millis() ^ i64::MIN) as u64).to_be_bytes()
}
