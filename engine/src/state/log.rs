//! The rows of one key group on their way into a snapshot, and the door by which a state writes
//! them.
//!
//! Called by the tables. Invariant: first comes, in its order, what happened before the barrier:
//! rows that went, and rows written early because their entry left memory. Behind it come the rows
//! as they were at the barrier, whose order does not matter, and at last those that were added to
//! entries whose other rows may be among them.

use super::entry::{self, Entry, Op};
use crate::checkpoint::Section;
use crate::key::KeyGroup;
use crate::operator::Result;

/// Where a state writes its rows: into a snapshot or into the spill tier.
pub(crate) trait RowSink {
    /// The row has this value.
    fn put(&mut self, namespace: &[u8], key: &[u8], value: &[u8]) -> Result<()>;
    /// Where a row is written in place of [`RowSink::put`], as [`entry`] has it; `None` where that
    /// is no place in memory. Whoever asks writes one row.
    fn place(&mut self) -> Option<&mut Vec<u8>> {
        None
    }
    /// As [`RowSink::put`], behind all rows of its entry that are put otherwise.
    fn put_behind(&mut self, namespace: &[u8], key: &[u8], value: &[u8]) -> Result<()> {
        self.put(namespace, key, value)
    }
    /// Every row whose key begins with `key` is first.
    fn delete(&mut self, namespace: &[u8], key: &[u8]) -> Result<()>;
}

/// What one key group adds to one snapshot.
#[derive(Debug, Default)]
pub(crate) struct Log {
    first: Vec<u8>,
    puts: Vec<u8>,
    behind: Vec<u8>,
    entries: u64,
}

impl Log {
    /// Every row of the namespace is first.
    pub(crate) fn drop_namespace(&mut self, namespace: &[u8]) -> Result<()> {
        self.entries += 1;
        entry::write(&mut self.first, Entry { op: Op::Drop, namespace, key: &[], value: &[] })
    }

    /// Where an entry is written to that leaves memory before the barrier.
    pub(crate) fn early(&mut self) -> Early<'_> {
        Early(self)
    }

    /// Where one row is written that is put.
    #[inline]
    pub(super) fn place_put(&mut self) -> &mut Vec<u8> {
        self.entries += 1;
        &mut self.puts
    }

    /// Takes what was written.
    pub(crate) fn take(&mut self) -> Log {
        std::mem::take(self)
    }

    /// Whether nothing was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Bytes written so far.
    pub(crate) fn bytes(&self) -> usize {
        self.first.len() + self.puts.len() + self.behind.len()
    }

    /// Takes in what `other` holds of other rows.
    pub(crate) fn append(&mut self, other: Log) {
        self.entries += other.entries;
        append(&mut self.first, other.first);
        append(&mut self.puts, other.puts);
        append(&mut self.behind, other.behind);
    }

    /// This as the section of `group`.
    pub(crate) fn into_section(self, group: KeyGroup) -> Section {
        let mut bytes = self.first;
        append(&mut bytes, self.puts);
        append(&mut bytes, self.behind);
        Section { group, entries: self.entries, bytes: bytes.into() }
    }
}

fn append(to: &mut Vec<u8>, from: Vec<u8>) {
    if to.is_empty() {
        *to = from;
    } else {
        to.extend_from_slice(&from);
    }
}

/// Writes rows among what happened before the barrier.
pub(crate) struct Early<'a>(&'a mut Log);

impl RowSink for Early<'_> {
    fn put(&mut self, namespace: &[u8], key: &[u8], value: &[u8]) -> Result<()> {
        self.0.entries += 1;
        entry::write(&mut self.0.first, Entry { op: Op::Put, namespace, key, value })
    }

    fn delete(&mut self, namespace: &[u8], key: &[u8]) -> Result<()> {
        self.0.delete(namespace, key)
    }
}

impl RowSink for Log {
    fn put(&mut self, namespace: &[u8], key: &[u8], value: &[u8]) -> Result<()> {
        self.entries += 1;
        entry::write(&mut self.puts, Entry { op: Op::Put, namespace, key, value })
    }

    fn place(&mut self) -> Option<&mut Vec<u8>> {
        Some(self.place_put())
    }

    fn put_behind(&mut self, namespace: &[u8], key: &[u8], value: &[u8]) -> Result<()> {
        self.entries += 1;
        entry::write(&mut self.behind, Entry { op: Op::Put, namespace, key, value })
    }

    fn delete(&mut self, namespace: &[u8], key: &[u8]) -> Result<()> {
        self.entries += 1;
        entry::write(&mut self.first, Entry { op: Op::Delete, namespace, key, value: &[] })
    }
}
