//! Room for rows that do not fit into memory: the door through which a table hands out what memory
//! pressure evicts, and asks for it again. What stands behind the door is the runtime's business;
//! [`crate::testing::MemorySpillDoor`] is its plain twin.
//!
//! Called by the tables of [`super`], on the thread of their subtask, between two batches. A row's
//! key is `key group (u16 big-endian) namespace key`, its value the bytes of a snapshot's entry.
//!
//! Invariants: a spill is local and disposable, nothing in it outlives its attempt, so nothing is
//! synced and nothing restored from it; what was written is read back by the same spill at once;
//! a spill that failed once may have lost rows, so its attempt ends.

use thiserror::Error;

use crate::graph::Uid;

/// A row: its full key, its value.
pub type SpillRow = (Vec<u8>, Vec<u8>);

/// The rows of one state of a subtask.
pub trait Spill: Send {
    /// Reads rows by their full keys. `out` is emptied and gets one answer a key, in order.
    /// Quickest when all misses of a batch are asked for at once; keys may repeat and come in any
    /// order.
    ///
    /// # Errors
    /// When the disk fails.
    fn read(&mut self, keys: &[&[u8]], out: &mut Vec<Option<Vec<u8>>>) -> Result<(), SpillError>;

    /// Writes the puts and deletes of `rows`, a later one over an earlier one, all or nothing.
    ///
    /// # Errors
    /// When the disk fails or is full.
    fn write(&mut self, rows: &SpillBatch) -> Result<(), SpillError>;

    /// Reads the rows with the prefix whose key is above `after`, in the order of their keys, at
    /// most `rows_max`. `out` is emptied first; fewer than `rows_max` rows: there are no more.
    ///
    /// # Errors
    /// When the disk fails.
    fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        rows_max: usize,
        out: &mut Vec<SpillRow>,
    ) -> Result<(), SpillError>;

    /// Removes every row with the prefix; with an empty one, every row there is. Where
    /// few rows were spilled, deleting those by key is cheaper.
    ///
    /// # Errors
    /// When the disk fails or is full.
    fn drop_prefix(&mut self, prefix: &[u8]) -> Result<(), SpillError>;
}

/// Gives each state of a subtask room of its own. One for a process, shared by its subtasks.
pub trait SpillDoor: Send + Sync {
    /// An empty spill; its rows go when it is dropped.
    ///
    /// # Errors
    /// When the disk fails.
    fn open(&self, operator: &Uid, subtask: u32, state: &str)
    -> Result<Box<dyn Spill>, SpillError>;

    /// Bytes of memory that it takes beyond what it was given: so much less is there for entries.
    fn excess_bytes(&self) -> u64;
}

/// Rows on their way into a spill: one allocation for all, used again after [`clear`](Self::clear).
#[derive(Clone, Debug, Default)]
pub struct SpillBatch {
    bytes: Vec<u8>,
    rows: Vec<Row>,
}

/// Where a row lies: it begins where the one before ends.
#[derive(Clone, Copy, Debug)]
struct Row {
    key_end: usize,
    end: usize,
    op: RowOp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowOp {
    Put,
    Delete,
}

impl SpillBatch {
    /// Adds a row; it replaces an earlier one of the same key.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.push(key, value, RowOp::Put);
    }

    /// Adds the removal of a row; that there is none is no error.
    pub fn delete(&mut self, key: &[u8]) {
        self.push(key, &[], RowOp::Delete);
    }

    fn push(&mut self, key: &[u8], value: &[u8], op: RowOp) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.rows.push(Row { key_end, end: self.bytes.len(), op });
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many bytes of keys and values: write when it is some hundred KiB.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the rows and keeps their room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }

    /// The rows in their order: the key, and its value or `None` where it is removed.
    pub fn rows(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut start = 0;
        self.rows.iter().map(move |row| {
            let key = &self.bytes[start..row.key_end];
            start = row.end;
            (key, (row.op == RowOp::Put).then(|| &self.bytes[row.key_end..row.end]))
        })
    }
}

/// The end of a prefix's range: the first key above every key with the prefix; `None` where every
/// key above the prefix has it (it is empty, or nothing but `0xff`).
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// What can go wrong with a spill. State itself is safe: the checkpoints hold all of it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SpillError {
    /// No space is left on the disk.
    #[error(
        "RR0340: no space is left for spilled state in '{folder}' ({reason}); free some there, set \
         `spill.dir` to a larger disk, or raise `memory` so that less is spilled"
    )]
    Full {
        /// The folder.
        folder: String,
        /// What the system says.
        reason: String,
    },
    /// A file there is not what was written.
    #[error(
        "RR0341: spilled state in '{folder}' is damaged ({reason}): check that disk, or set \
         `spill.dir` to another; the checkpoints are whole, the job goes on from the newest"
    )]
    Damaged {
        /// The folder.
        folder: String,
        /// Which file, and what is wrong with it.
        reason: String,
    },
    /// The disk fails in another way.
    #[error(
        "RR0342: spilling to '{folder}' failed, {doing}: {reason}; check the disk and the rights \
         of the folder, or set `spill.dir` to another"
    )]
    Io {
        /// The folder.
        folder: String,
        /// `opening it`, `reading`, `writing`.
        doing: &'static str,
        /// What the system says.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_its_rows_and_can_be_used_again() {
        let mut batch = SpillBatch::default();
        for round in 0..2_u8 {
            batch.put(b"k", &[round]);
            batch.put(b"", b"");
            batch.delete(b"gone");
            let rows: Vec<_> = batch.rows().collect();
            let value = [round];
            assert_eq!(rows, [(&b"k"[..], Some(&value[..])), (b"", Some(b"")), (b"gone", None)]);
            assert_eq!((batch.len(), batch.bytes()), (3, 6));
            batch.clear();
            assert!(batch.is_empty());
        }
    }

    #[test]
    fn the_end_of_a_prefix_is_above_all_its_keys() {
        assert_eq!(prefix_end(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(prefix_end(&[1, 0xff]), Some(vec![2]));
        assert_eq!(prefix_end(&[0xff, 0xff]), None);
        assert_eq!(prefix_end(b""), None);
    }
}
