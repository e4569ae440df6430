//! Where restored state lies that is not read yet: the door through which a table asks the files of
//! the checkpoint it was restored from. What stands behind the door is the runtime's business.
//!
//! Called by the tables of [`super`], on the thread of their subtask, between two batches.
//!
//! 1. Keys of a batch that are neither in memory nor spilled nor removed since are asked for at
//!    once: [`StoredRows::read`]. An entry of many rows is read part by part:
//!    [`StoredRows::read_part`].
//! 2. Between batches the table takes pages ([`StoredRows::page`]), and places of them what it does
//!    not know better. Of a row that comes several times the first counts: so whoever reads needs
//!    no memory of what it has said. Rows of lists and maps come once, rising, since an entry must
//!    be whole before it is placed.
//! 3. [`StoredPage::Whole`] ends a key group, [`StoredPage::End`] all of them; then the door is
//!    dropped.

use crate::checkpoint::CheckpointId;
use crate::key::KeyGroup;
use crate::operator::Result;

/// The rows of one state of a subtask, as a checkpoint holds them.
pub trait StoredRows: Send {
    /// Whose rows they are.
    fn checkpoint(&self) -> CheckpointId;

    /// About how many rows there are.
    fn rows(&self) -> u64;

    /// About how many bytes of memory it takes itself at the moment.
    fn bytes(&self) -> usize;

    /// Reads the rows of encoded keys: one answer a key, in order. Waits for storage.
    ///
    /// # Errors
    /// When a file is damaged or the storage fails.
    fn read(&mut self, keys: &[(KeyGroup, &[u8])]) -> Result<Vec<Option<Vec<u8>>>>;

    /// Reads rows of one entry of a list or map, those whose keys begin with its encoded key and
    /// are above the row key `after`, rising: about 1 MiB of puts in the format of
    /// [`super::entry`], none where there are no more. Waits for storage.
    ///
    /// # Errors
    /// As [`StoredRows::read`].
    fn read_part(&mut self, entry: (KeyGroup, &[u8]), after: Option<&[u8]>) -> Result<Vec<u8>>;

    /// The next page, key group by key group; waits for one only if told so.
    ///
    /// # Errors
    /// As [`StoredRows::read`].
    fn page(&mut self, wait: Wait) -> Result<StoredPage>;
}

/// Whether to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// For as long as it takes.
    Yes,
    /// Not at all.
    No,
}

/// A piece of what is not read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredPage {
    /// None is at hand.
    Later,
    /// Rows of a key group, as puts in the format of [`super::entry`].
    Rows(KeyGroup, Vec<u8>),
    /// The key group has no more.
    Whole(KeyGroup),
    /// Nothing is left of any.
    End,
}

/// How far the reading of what a lazy restore left is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warmth {
    /// Nothing is left to read.
    Warm,
    /// The next page is not at hand yet.
    Later,
    /// There may be more at hand.
    More,
}
