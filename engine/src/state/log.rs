//! The rows of one key group on their way into a snapshot, and the door by which a state writes
//! them.
//!
//! Called by the tables. Invariant: what removes rows goes in front of what puts them, so the order
//! in which entries of one interval are written does not matter: a row that is put was there at the
//! barrier.

use super::entry::{self, Entry, Op};
use crate::checkpoint::Section;
use crate::key::KeyGroup;
use crate::operator::Result;

/// Where a state writes its rows: into a snapshot or into the spill tier.
pub(crate) trait RowSink {
    /// The row has this value.
    fn put(&mut self, namespace: &[u8], key: &[u8], value: &[u8]) -> Result<()>;
    /// Every row whose key begins with `key` is gone.
    fn delete(&mut self, namespace: &[u8], key: &[u8]) -> Result<()>;
}

/// What one key group adds to one snapshot.
#[derive(Debug, Default)]
pub(crate) struct Log {
    gone: Vec<u8>,
    puts: Vec<u8>,
    entries: u64,
}

impl Log {
    /// Every row of the namespace is gone.
    pub(crate) fn drop_namespace(&mut self, namespace: &[u8]) -> Result<()> {
        self.entries += 1;
        entry::write(&mut self.gone, Entry { op: Op::Drop, namespace, key: &[], value: &[] })
    }

    /// Takes what was written.
    pub(crate) fn take(&mut self) -> Log {
        std::mem::take(self)
    }

    /// Whether nothing was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Takes in what `other` holds of other rows.
    pub(crate) fn append(&mut self, other: Log) {
        self.entries += other.entries;
        append(&mut self.gone, other.gone);
        append(&mut self.puts, other.puts);
    }

    /// This as the section of `group`.
    pub(crate) fn into_section(self, group: KeyGroup) -> Section {
        let mut bytes = self.gone;
        append(&mut bytes, self.puts);
        Section { group, entries: self.entries, bytes }
    }
}

fn append(to: &mut Vec<u8>, from: Vec<u8>) {
    if to.is_empty() {
        *to = from;
    } else {
        to.extend_from_slice(&from);
    }
}

impl RowSink for Log {
    fn put(&mut self, namespace: &[u8], key: &[u8], value: &[u8]) -> Result<()> {
        self.entries += 1;
        entry::write(&mut self.puts, Entry { op: Op::Put, namespace, key, value })
    }

    fn delete(&mut self, namespace: &[u8], key: &[u8]) -> Result<()> {
        self.entries += 1;
        entry::write(&mut self.gone, Entry { op: Op::Delete, namespace, key, value: &[] })
    }
}
