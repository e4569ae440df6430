//! Sources with their types erased: splits and offsets as bytes, batches stamped by the source's
//! clock, the clocks of the splits merged.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::AnyBatch;
use crate::checkpoint::SplitSnapshot;
use crate::context::TaskContext;
use crate::data::{from_bytes, to_bytes};
use crate::element::{BATCH_RECORDS, Batch, Origin};
use crate::operator::Result;
use crate::outside::{About, Outside};
use crate::rehearsal::Slicing;
use crate::source::{EventClock, Progress, Source, SourceReader, Split, SplitIndex};
use crate::time::Timestamp;
use crate::watermark::{SourceWatermark, SplitClocks, Watermarks};

/// A split as the runtime assigns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasedSplit {
    /// Its permanent id.
    pub id: String,
    /// Itself, encoded.
    pub split: Vec<u8>,
}

/// A source as the runtime sees it.
pub trait ErasedSource: Send + Sync {
    /// Whether it ends by itself.
    fn is_bounded(&self) -> bool;
    /// Whether its records have timestamps.
    fn has_clock(&self) -> bool;
    /// What can be said before a run.
    ///
    /// # Errors
    /// The source's own.
    fn check(&self) -> Result<()>;
    /// What it reaches outside the job.
    fn outside(&self, about: &About) -> Option<Box<dyn Outside>>;
    /// Fixes what the runs of a drill of the job `job` read.
    fn slicing(&self, job: &str) -> Option<Box<dyn Slicing>>;
    /// All splits there are now. `restored`: the checkpoint knows splits of this source.
    fn discover<'a>(
        &'a self,
        ctx: &'a TaskContext,
        restored: bool,
    ) -> BoxFuture<'a, Result<Vec<ErasedSplit>>>;
    /// A reader without splits.
    fn open(&self, ctx: TaskContext) -> BoxFuture<'_, Result<Box<dyn ErasedReader>>>;
}

/// What one fetch brought.
#[derive(Debug)]
pub enum Fetched {
    /// Records of one split.
    Batch(AnyBatch),
    /// A split caught up or ended, or all records were skipped: ask for the watermark, then again.
    Moved,
    /// Nothing for now: wait for `ready`.
    Pending,
    /// Every split has ended (or there was none, and there will be none).
    Ended,
}

/// The reader of one subtask as the runtime sees it.
pub trait ErasedReader: Send {
    /// Reads this split too, from where the checkpoint says or from the beginning.
    fn assign(
        &mut self,
        split: ErasedSplit,
        restored: Option<SplitSnapshot>,
    ) -> BoxFuture<'_, Result<()>>;
    /// The next records, without waiting.
    ///
    /// # Errors
    /// The reader's own.
    fn fetch(&mut self, records_max: usize) -> Result<Fetched>;
    /// Waits until `fetch` may bring something. Cancel-safe.
    fn ready(&mut self) -> BoxFuture<'_, ()>;
    /// What the splits' clocks say; `None` when the source has no clock.
    fn watermark(&mut self) -> Option<SourceWatermark>;
    /// The splits for the checkpoint.
    ///
    /// # Errors
    /// An offset that does not encode.
    fn snapshot(&mut self) -> Result<Vec<SplitSnapshot>>;
    /// Splits that came up: each is to be assigned.
    ///
    /// # Errors
    /// The reader's own; a split that does not encode.
    fn found(&mut self) -> Result<Vec<ErasedSplit>>;
    /// The checkpoint of the last [`ErasedReader::snapshot`] is complete.
    fn committed(&mut self);
}

struct Erased<S: Source>(Arc<S>);

/// Erases a source.
pub fn erase_source<S: Source>(source: S) -> Arc<dyn ErasedSource> {
    Arc::new(Erased(Arc::new(source)))
}

impl<S: Source> ErasedSource for Erased<S> {
    fn is_bounded(&self) -> bool {
        self.0.is_bounded()
    }

    fn has_clock(&self) -> bool {
        self.0.clock().is_some()
    }

    fn check(&self) -> Result<()> {
        self.0.check()
    }

    fn outside(&self, about: &About) -> Option<Box<dyn Outside>> {
        self.0.outside(about)
    }

    fn slicing(&self, job: &str) -> Option<Box<dyn Slicing>> {
        self.0.slicing(job)
    }

    fn discover<'a>(
        &'a self,
        ctx: &'a TaskContext,
        restored: bool,
    ) -> BoxFuture<'a, Result<Vec<ErasedSplit>>> {
        Box::pin(async move {
            let splits = match restored {
                true => self.0.discover_again(ctx).await?,
                false => self.0.discover(ctx).await?,
            };
            splits.iter().map(erase_split).collect()
        })
    }

    fn open(&self, ctx: TaskContext) -> BoxFuture<'_, Result<Box<dyn ErasedReader>>> {
        Box::pin(async move {
            let reader = self.0.open(ctx.clone()).await?;
            let clock = self.0.clock();
            let strategy =
                clock.as_ref().map_or_else(Watermarks::monotonic, |c| c.watermarks.clone());
            // Whatever is read in a drill has an end.
            let bounded = self.0.is_bounded() || ctx.scratch.is_some();
            let clocks = SplitClocks::new(strategy, bounded);
            let reader = ClockedReader {
                reader,
                clock,
                clocks,
                splits: Vec::new(),
                cut: Vec::new(),
                bounded,
                ctx,
            };
            Ok(Box::new(reader) as Box<dyn ErasedReader>)
        })
    }
}

/// Records are read in batches of more than [`BATCH_RECORDS`] only while they are so few bytes.
const LARGE_BATCH_BYTES: usize = 128 << 10;

/// How many records a batch may have at most; what lies outside of them may be any size.
fn read_max<T>() -> usize {
    if std::mem::needs_drop::<T>() {
        return BATCH_RECORDS;
    }
    (LARGE_BATCH_BYTES / size_of::<T>().max(1)).max(BATCH_RECORDS)
}

fn erase_split<S: Split>(split: &S) -> Result<ErasedSplit> {
    Ok(ErasedSplit { id: split.id(), split: to_bytes(split)? })
}

struct AssignedSplit {
    split: ErasedSplit,
    id: Arc<str>,
    ended: bool,
}

struct ClockedReader<R: SourceReader> {
    reader: R,
    clock: Option<EventClock<R::Item>>,
    clocks: SplitClocks,
    splits: Vec<AssignedSplit>,
    /// The offsets of the last snapshot.
    cut: Vec<(SplitIndex, R::Offset)>,
    bounded: bool,
    ctx: TaskContext,
}

impl<R: SourceReader> ClockedReader<R> {
    fn records(
        &mut self,
        mut batch: Batch<R::Item>,
        at: SplitIndex,
        first: u64,
        last: u64,
    ) -> Fetched {
        if batch.is_empty() {
            return Fetched::Moved;
        }
        if let Some(clock) = &self.clock {
            clock.stamp(&mut batch);
            let now = self.ctx.clock.now();
            let future = self.clocks.on_records(at.0, &batch.timestamps, now);
            if future > 0 {
                self.ctx.metrics.future.add(future);
            }
        }
        let (source, split) = (self.ctx.uid.0.clone(), self.splits[at.0].id.clone());
        batch.origins.add(Origin { source, split, first, last });
        Fetched::Batch(AnyBatch::new(batch))
    }
}

impl<R: SourceReader> ErasedReader for ClockedReader<R> {
    fn assign(
        &mut self,
        split: ErasedSplit,
        restored: Option<SplitSnapshot>,
    ) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let offset = restored.as_ref().and_then(|snapshot| snapshot.offset.as_deref());
            let offset = offset.map(from_bytes::<R::Offset>).transpose()?;
            let ahead = u64::from(crate::planted!("split.clock.ahead")) * 600;
            let clock =
                restored.as_ref().map(|snapshot| snapshot.clock + Duration::from_secs(ahead));
            self.clocks.add(clock);
            let id: Arc<str> = split.id.as_str().into();
            let typed: R::Split = from_bytes(&split.split)?;
            self.splits.push(AssignedSplit { split, id, ended: false });
            self.reader.assign(typed, offset).await
        })
    }

    fn fetch(&mut self, records_max: usize) -> Result<Fetched> {
        if self.bounded && self.splits.iter().all(|split| split.ended) {
            return Ok(Fetched::Ended);
        }
        let records_max = records_max.min(read_max::<R::Item>());
        let mut batch = Batch::with_capacity(records_max);
        Ok(match self.reader.next(&mut batch, records_max)? {
            Progress::Records { split, first, last } => self.records(batch, split, first, last),
            Progress::CaughtUp(split) => {
                self.clocks.on_caught_up(split.0, self.ctx.clock.monotonic());
                Fetched::Moved
            }
            Progress::Ended(split) => {
                self.clocks.on_ended(split.0);
                self.splits[split.0].ended = true;
                Fetched::Moved
            }
            Progress::Pending => Fetched::Pending,
        })
    }

    fn ready(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.reader.ready())
    }

    fn watermark(&mut self) -> Option<SourceWatermark> {
        if self.clock.is_none() {
            // Without a split there is nothing to wait for, whoever makes the watermarks.
            return self.splits.is_empty().then_some(SourceWatermark::Idle(None));
        }
        Some(self.clocks.watermark(self.ctx.clock.monotonic()))
    }

    fn found(&mut self) -> Result<Vec<ErasedSplit>> {
        self.reader.found()?.iter().map(erase_split).collect()
    }

    fn committed(&mut self) {
        self.reader.committed(&self.cut);
    }

    fn snapshot(&mut self) -> Result<Vec<SplitSnapshot>> {
        let splits = (0..self.splits.len()).map(SplitIndex);
        let cut = splits.filter_map(|split| Some((split, self.reader.offset(split)?)));
        self.cut = cut.collect();
        let one = |(i, assigned): (usize, &AssignedSplit)| {
            let offset = self.reader.offset(SplitIndex(i));
            Ok(SplitSnapshot {
                id: assigned.split.id.clone(),
                split: assigned.split.split.clone(),
                offset_text: offset.as_ref().map_or("begin".to_owned(), |o| format!("{o:?}")),
                offset: offset.as_ref().map(to_bytes).transpose()?,
                clock: self.clock.as_ref().map_or(Timestamp::MIN, |_| self.clocks.state(i)),
                ended: assigned.ended,
            })
        };
        self.splits.iter().enumerate().map(one).collect()
    }
}
