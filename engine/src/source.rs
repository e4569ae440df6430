//! Where records come from: a [`Source`] knows its splits, a [`SourceReader`] reads the splits of
//! one subtask, batch by batch.
//!
//! The reader is called by one task, in this order: `assign` for each split, then `next` and
//! `offset` at will. `next` never waits; `ready` only waits, so that dropping its future at any
//! moment loses nothing. What `next` put into a batch is part of the next checkpoint; `offset` says
//! where to go on after it. Splits that come up while it reads are `found` by the reader, which is
//! then assigned them; after a checkpoint is complete it is told (`committed`).

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::context::TaskContext;
use crate::data::Data;
use crate::element::Batch;
use crate::operator::Result;
use crate::outside::{About, Outside};
use crate::rehearsal::Slicing;
use crate::time::Timestamp;
use crate::watermark::Watermarks;

/// A source's unit of assignment: a partition, a file, a range.
pub trait Split: Data {
    /// The permanent id: what the checkpoint knows the split by.
    fn id(&self) -> String;
}

/// The number of a split within its reader, in the order of the calls to `assign`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SplitIndex(pub usize);

/// What one call of [`SourceReader::next`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Records of one split were added to the batch (none, if all of them were skipped).
    Records {
        /// Of this split.
        split: SplitIndex,
        /// The position of the first record: an offset, a line, a number.
        first: u64,
        /// The position of the last.
        last: u64,
    },
    /// Nothing was added: nothing lies past the position of this split, for now.
    CaughtUp(SplitIndex),
    /// Nothing was added: nothing will ever come from this split again.
    Ended(SplitIndex),
    /// Nothing was added: wait for [`SourceReader::ready`].
    Pending,
}

/// Reads the splits of one subtask.
pub trait SourceReader: Send + 'static {
    /// What is read.
    type Item: Data;
    /// What is assigned.
    type Split: Split;
    /// A place in a split: the next to read.
    type Offset: Data + fmt::Debug;

    /// Reads `split` too, from `offset` or from its beginning.
    ///
    /// # Errors
    /// When the split or the offset is not there any more: never go on from another place.
    fn assign(
        &mut self,
        split: Self::Split,
        offset: Option<Self::Offset>,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Adds records of one split to `out`, which is empty, at most `records_max`, without waiting.
    /// Timestamps of records without one are [`Timestamp::MIN`].
    ///
    /// # Errors
    /// A record that cannot be read, with its place; a split that is gone.
    fn next(&mut self, out: &mut Batch<Self::Item>, records_max: usize) -> Result<Progress>;

    /// Waits until `next` may have something. Cancel-safe: it only waits.
    fn ready(&mut self) -> impl Future<Output = ()> + Send;

    /// Where to go on in `split` after all that `next` returned; `None` before the first record.
    fn offset(&self, split: SplitIndex) -> Option<Self::Offset>;

    /// Splits that came up while reading and are this subtask's: each is assigned next, without an
    /// offset, and is not returned again. No other subtask may find them, and no `assign` of this
    /// attempt may have had them. Called often: it neither waits nor costs.
    ///
    /// # Errors
    /// When looking for them failed in a way that reading on would hide.
    fn found(&mut self) -> Result<Vec<Self::Split>> {
        Ok(Vec::new())
    }

    /// The checkpoint is complete for which `offsets` were the latest told: for showing them
    /// outside. Neither waits nor fails.
    fn committed(&mut self, offsets: &[(SplitIndex, Self::Offset)]) {
        let _nowhere = offsets;
    }
}

/// Where records come from.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source",
    note = "sources are made by connectors, e.g. `Datagen::new(..)` or `Files::json_lines(..)`; a \
            source of your own implements `Source`"
)]
pub trait Source: Send + Sync + Sized + 'static {
    /// What is read.
    type Item: Data;
    /// Its unit of assignment.
    type Split: Split;
    /// Its reader.
    type Reader: SourceReader<Item = Self::Item, Split = Self::Split>;

    /// Whether the source ends by itself.
    fn is_bounded(&self) -> bool;

    /// All splits there are now, with ids that never change.
    ///
    /// # Errors
    /// When they cannot be listed: an incomplete list is an error, not a shorter list.
    fn discover(&self, ctx: &TaskContext) -> impl Future<Output = Result<Vec<Self::Split>>> + Send;

    /// All splits there are now, for a source that goes on from a checkpoint: those which the
    /// checkpoint does not have came up since, and begin at their first record.
    ///
    /// # Errors
    /// As with `discover`.
    fn discover_again(
        &self,
        ctx: &TaskContext,
    ) -> impl Future<Output = Result<Vec<Self::Split>>> + Send {
        self.discover(ctx)
    }

    /// A reader without splits.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn open(&self, ctx: TaskContext) -> impl Future<Output = Result<Self::Reader>> + Send;

    /// What can be said before a run: files that do not exist, settings that contradict.
    ///
    /// # Errors
    /// What `check` shows to the user.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// What it reaches outside the job; `None`: nothing that could be looked at.
    fn outside(&self, about: &About) -> Option<Box<dyn Outside>> {
        let _ = about;
        None
    }

    /// For drills of the job `job`: fixes what is read, where input may come or go. In a drill its
    /// splits are those of [`TaskContext::slice`], and it ends. `None`: it always reads the same.
    fn slicing(&self, job: &str) -> Option<Box<dyn Slicing>> {
        let _ = job;
        None
    }

    /// The clock of the source's records, if it has one.
    fn clock(&self) -> Option<EventClock<Self::Item>> {
        None
    }

    /// Gives the records their timestamps and the source its watermarks, one clock per split.
    fn event_time<F>(self, timestamp: F, watermarks: Watermarks) -> Timed<Self>
    where
        F: Fn(&Self::Item) -> Timestamp + Send + Sync + 'static,
    {
        Timed { source: self, clock: EventClock::new(timestamp, watermarks) }
    }
}

type StampAll<T> = Arc<dyn Fn(&[T], &mut Vec<Timestamp>) + Send + Sync>;

/// Reads timestamps off records and makes watermarks of them.
pub struct EventClock<T> {
    stamp: StampAll<T>,
    /// How the watermarks are made.
    pub watermarks: Watermarks,
}

impl<T> Clone for EventClock<T> {
    fn clone(&self) -> Self {
        EventClock { stamp: self.stamp.clone(), watermarks: self.watermarks.clone() }
    }
}

impl<T> fmt::Debug for EventClock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventClock").field("watermarks", &self.watermarks).finish_non_exhaustive()
    }
}

impl<T: 'static> EventClock<T> {
    /// A clock that reads `timestamp` off each record.
    pub fn new(
        timestamp: impl Fn(&T) -> Timestamp + Send + Sync + 'static,
        watermarks: Watermarks,
    ) -> Self {
        let stamp = move |items: &[T], out: &mut Vec<Timestamp>| {
            out.clear();
            out.extend(items.iter().map(&timestamp));
        };
        EventClock { stamp: Arc::new(stamp), watermarks }
    }

    /// A clock that goes by the timestamps the reader gives.
    pub fn given(watermarks: Watermarks) -> Self {
        EventClock { stamp: Arc::new(|_, _| {}), watermarks }
    }

    /// Fills in the timestamps of a batch: one virtual call for all of them.
    pub fn stamp(&self, batch: &mut Batch<T>) {
        (self.stamp)(&batch.items, &mut batch.timestamps);
    }
}

/// A source with a clock: made by [`Source::event_time`].
#[derive(Debug)]
pub struct Timed<S: Source> {
    source: S,
    clock: EventClock<S::Item>,
}

impl<S: Source> Source for Timed<S> {
    type Item = S::Item;
    type Split = S::Split;
    type Reader = S::Reader;

    fn is_bounded(&self) -> bool {
        self.source.is_bounded()
    }
    fn discover(&self, ctx: &TaskContext) -> impl Future<Output = Result<Vec<S::Split>>> + Send {
        self.source.discover(ctx)
    }
    fn discover_again(
        &self,
        ctx: &TaskContext,
    ) -> impl Future<Output = Result<Vec<S::Split>>> + Send {
        self.source.discover_again(ctx)
    }
    fn open(&self, ctx: TaskContext) -> impl Future<Output = Result<S::Reader>> + Send {
        self.source.open(ctx)
    }
    fn check(&self) -> Result<()> {
        self.source.check()
    }
    fn outside(&self, about: &About) -> Option<Box<dyn Outside>> {
        self.source.outside(about)
    }
    fn slicing(&self, job: &str) -> Option<Box<dyn Slicing>> {
        self.source.slicing(job)
    }
    fn clock(&self) -> Option<EventClock<S::Item>> {
        Some(self.clock.clone())
    }
}
