//! One stored file, read by ranges; a small one may be held whole.
//!
//! Called by [`super::segment`] and [`super::run`], which check what they read. Invariant: a range
//! comes back whole or is an error that names the file and its checkpoint.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use riverrun_engine::checkpoint::CheckpointId;

use super::error::{Damage, StoreError};
use super::store::CheckpointStore;

/// A file of at most so many bytes is read by one request and held: its ranges cost nothing then.
pub(super) const HELD_BYTES_MAX: u64 = 1 << 20;

/// Two ranges with at most so many bytes between them are read by one request.
const GAP_MAX: u64 = 64 << 10;
/// No request grows beyond so many bytes for that.
const SPAN_MAX: u64 = 1 << 20;
/// How many requests are under way at once.
const READS_AT_ONCE: usize = 4;

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

    /// The bytes of each of `ranges`, in their order; those that lie near each other are read by
    /// one request.
    ///
    /// # Errors
    /// As [`StoredFile::range`].
    pub async fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        if self.held.is_some() {
            return stream::iter(ranges.iter().cloned())
                .then(|range| self.range(range))
                .try_collect()
                .await;
        }
        let mut rising: Vec<usize> = (0..ranges.len()).collect();
        rising.sort_unstable_by_key(|at| ranges[*at].start);
        // Each with how many of the rising ones lie in it.
        let mut spans: Vec<(Range<u64>, usize)> = Vec::new();
        for range in rising.iter().map(|at| &ranges[*at]) {
            match spans.last_mut() {
                Some((span, count))
                    if range.start <= span.end.saturating_add(GAP_MAX)
                        && range.end.saturating_sub(span.start) <= SPAN_MAX =>
                {
                    span.end = span.end.max(range.end);
                    *count += 1;
                }
                _ => spans.push((range.clone(), 1)),
            }
        }
        let read = async |(span, count): (Range<u64>, usize)| {
            Ok::<_, StoreError>((span.start, count, self.range(span).await?))
        };
        let mut read = stream::iter(spans).map(read).buffered(READS_AT_ONCE);
        let (mut all, mut rising) = (vec![Bytes::new(); ranges.len()], rising.into_iter());
        while let Some((start, count, bytes)) = read.try_next().await? {
            for at in rising.by_ref().take(count) {
                let (from, to) = (ranges[at].start - start, ranges[at].end - start);
                let own = bytes.slice(from as usize..to as usize);
                // What is kept of one must not keep what lies beside it.
                all[at] = if count == 1 { own } else { Bytes::copy_from_slice(&own) };
            }
        }
        Ok(all)
    }

    /// The error for `damage` of this file.
    pub(super) fn damaged(&self, damage: impl Into<Damage>) -> StoreError {
        self.store.damaged(self.checkpoint, &self.name, damage.into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use object_store::memory::InMemory;
    use object_store::path::Path;
    use object_store::{ObjectStore, ObjectStoreExt};
    use proptest::prelude::*;

    use super::*;
    use crate::checkpoint::testing::block_on;

    static BYTES: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..6_100_000_u32).map(|at| (at / 7) as u8).collect());

    /// A file of these bytes that is said to be `longer` than it is, held or not.
    async fn file(longer: u64, held: bool) -> StoredFile {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        objects.put(&Path::from("a"), BYTES.clone().into()).await.expect("in memory");
        let store = CheckpointStore::on(objects, "here");
        let file = StoredFile::new(&store, CheckpointId(1), "a", BYTES.len() as u64 + longer);
        if held { file.with(BYTES.clone().into()) } else { file }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn ranges_come_in_their_order_whatever_lies_between(
            ranges in prop::collection::vec((0..3_000_000_u64, 0..90_000_u64), 0..40),
            held: bool,
        ) {
            let ranges: Vec<_> = ranges.into_iter().map(|(at, len)| at..at + len).collect();
            let read = block_on(async { file(0, held).await.ranges(&ranges).await });
            let read = read.expect("within the file");
            prop_assert_eq!(read.len(), ranges.len());
            for (range, read) in ranges.iter().zip(read) {
                prop_assert!(read[..] == BYTES[range.start as usize..range.end as usize]);
            }
        }
    }

    #[test]
    fn a_file_that_is_shorter_than_it_should_be_is_damaged() {
        let end = BYTES.len() as u64;
        for held in [false, true] {
            let read =
                block_on(async { file(10, held).await.ranges(&[0..5, end - 3..end + 4]).await });
            let length = Damage::Length { expected: end + 4, found: end };
            let error = read.expect_err("too short").to_string();
            assert!(held || error.contains(&length.to_string()), "{error}");
        }
    }
}
