//! One stored file, read by ranges; a small one may be held whole.
//!
//! Called by [`super::segment`] and [`super::run`], which check what they read. Invariant: a range
//! comes back whole or is an error that names the file and its checkpoint.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use riverrun_engine::checkpoint::CheckpointId;

use super::error::{Damage, StoreError};
use super::store::CheckpointStore;

/// A file of at most so many bytes is read by one request and held: its ranges cost nothing then.
pub(super) const HELD_BYTES_MAX: u64 = 1 << 20;

/// A file that a checkpoint names.
#[derive(Clone, Debug)]
pub struct StoredFile {
    store: CheckpointStore,
    checkpoint: CheckpointId,
    name: Arc<str>,
    len: u64,
    held: Option<Bytes>,
}

impl StoredFile {
    /// File `name` of `len` bytes, which `checkpoint` names. Nothing is read yet.
    #[must_use]
    pub fn new(store: &CheckpointStore, checkpoint: CheckpointId, name: &str, len: u64) -> Self {
        StoredFile { store: store.clone(), checkpoint, name: name.into(), len, held: None }
    }

    /// The same with its content at hand.
    pub(super) fn with(mut self, held: Bytes) -> Self {
        self.held = Some(held);
        self
    }

    /// Reads it whole now if it is small.
    ///
    /// # Errors
    /// As [`StoredFile::range`].
    pub async fn held_if_small(mut self) -> Result<Self, StoreError> {
        if self.held.is_none() && self.len <= HELD_BYTES_MAX {
            self.held = Some(self.range(0..self.len).await?);
        }
        Ok(self)
    }

    /// Its length in bytes, as the checkpoint says.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no byte, which no whole file is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its name within the store.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes of `range`.
    ///
    /// # Errors
    /// A file that is missing or shorter; storage that does not answer.
    pub async fn range(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        let short = || self.damaged(Damage::Length { expected: range.end, found: self.len });
        if range.start > range.end || range.end > self.len {
            return Err(short());
        }
        if let Some(held) = &self.held {
            let (start, end) = (range.start as usize, range.end as usize);
            return if end <= held.len() { Ok(held.slice(start..end)) } else { Err(short()) };
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let read = self.store.read_range(&self.name, range.clone()).await?;
        let read = read.ok_or_else(|| self.damaged(Damage::Missing))?;
        let found = read.len() as u64;
        if found != range.end - range.start {
            let found = range.start + found;
            return Err(self.damaged(Damage::Length { expected: range.end, found }));
        }
        Ok(read)
    }

    /// The error for `damage` of this file.
    pub(super) fn damaged(&self, damage: impl Into<Damage>) -> StoreError {
        self.store.damaged(self.checkpoint, &self.name, damage.into())
    }
}
