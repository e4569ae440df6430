//! What a reader thread brings: records of one split in order, each with the place after it.

use super::error::FileError;
use super::split::{Place, Seen};

/// A chunk is full with so many records, or
const CHUNK_RECORDS: usize = 4096;
/// with so many bytes of lines (and one record more).
const CHUNK_BYTES: u64 = 1024 * 1024;

/// Where the reader stands after one record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// The record's first line, from 1.
    pub(super) line: u64,
    /// After it.
    pub(super) place: Place,
    /// Records of the chunk that were skipped before it.
    pub(super) skipped: u64,
}

/// What follows a chunk.
#[derive(Debug)]
pub(super) enum After {
    /// More of this split.
    More,
    /// Nothing, for now.
    CaughtUp,
    /// Nothing, ever.
    Ended,
    /// An error.
    Failed(FileError),
}

/// Records of one split, in order.
#[derive(Debug)]
pub(super) struct Chunk<T> {
    /// The records.
    pub(super) items: Vec<T>,
    /// One for each.
    pub(super) marks: Vec<Mark>,
    /// After everything in the chunk; `None` while nothing was read of the split.
    pub(super) place: Option<Place>,
    /// What the file looks like.
    pub(super) seen: Seen,
    /// Records that were skipped, all in all.
    pub(super) skipped: u64,
    /// How many bytes of lines were read.
    pub(super) bytes: u64,
    /// What follows.
    pub(super) after: After,
}

impl<T> Chunk<T> {
    /// Nothing read yet.
    pub(super) fn new() -> Self {
        Chunk {
            items: Vec::new(),
            marks: Vec::new(),
            place: None,
            seen: Seen::default(),
            skipped: 0,
            bytes: 0,
            after: After::More,
        }
    }

    /// Whether it holds as much as it may.
    pub(super) fn is_full(&self) -> bool {
        self.items.len() >= CHUNK_RECORDS || self.bytes >= CHUNK_BYTES
    }

    /// Adds a record that begins in `line` and ends at `place`.
    pub(super) fn push(&mut self, item: T, line: u64, place: Place) {
        self.marks.push(Mark { line, place, skipped: self.skipped });
        self.items.push(item);
    }
}
