//! Drives one reader as the source task does, and checks each answer on the way.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::FutureExt;
use futures::future::{Either, select};
use riverrun_engine::Result;
use riverrun_engine::context::TaskContext;
use riverrun_engine::data::{from_bytes, to_bytes};
use riverrun_engine::element::Batch;
use riverrun_engine::source::{Progress, Source, SourceReader, SplitIndex};

/// How long a reader may leave a driver without news.
const PATIENCE: Duration = Duration::from_secs(20);

/// A split between two attempts, as a checkpoint would hold it: in bytes.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) split: Vec<u8>,
    pub(super) offset: Option<Vec<u8>>,
}

struct Lane<T> {
    kept: usize,
    items: Vec<T>,
    last: Option<u64>,
    over: bool,
}

/// A reader and what it read so far.
pub(super) struct Drive<S: Source> {
    ctx: TaskContext,
    reader: S::Reader,
    lanes: Vec<Lane<S::Item>>,
}

impl<S: Source> Drive<S> {
    /// Opens a reader of the splits `kept[i]` for each `i` of `own`.
    pub(super) async fn open(
        source: &S,
        ctx: TaskContext,
        kept: &[Kept],
        own: impl Iterator<Item = usize>,
    ) -> Result<Self> {
        let mut reader = source.open(ctx.clone()).await.context("the reader does not open")?;
        let mut lanes = Vec::new();
        for i in own {
            let offset = kept[i].offset.as_deref().map(from_bytes).transpose()?;
            let assigned = reader.assign(from_bytes(&kept[i].split)?, offset).await;
            assigned.with_context(|| format!("split number {i} is not accepted"))?;
            lanes.push(Lane { kept: i, items: Vec::new(), last: None, over: false });
        }
        Ok(Drive { ctx, reader, lanes })
    }

    /// Reads one batch; how many records it held, or `None` when every split is over.
    pub(super) async fn step(&mut self, records_max: usize) -> Result<Option<usize>> {
        loop {
            if self.lanes.iter().all(|lane| lane.over) {
                return Ok(None);
            }
            // Asked once and dropped: it must only have waited.
            let _ = self.reader.ready().now_or_never();
            let mut out = Batch::default();
            match self.reader.next(&mut out, records_max)? {
                Progress::Records { split, first, last } => {
                    let records = out.len();
                    ensure!(records <= records_max, "{records} records, {records_max} allowed");
                    self.take(split, first, last, out)?;
                    if records > 0 {
                        return Ok(Some(records));
                    }
                }
                Progress::CaughtUp(split) | Progress::Ended(split) => {
                    ensure!(out.is_empty(), "records together with caught up or ended");
                    let lane = self.lanes.get_mut(split.0).context("no such split")?;
                    lane.over = true;
                }
                Progress::Pending => {
                    ensure!(out.is_empty(), "records together with pending");
                    self.wait().await?;
                }
            }
        }
    }

    async fn wait(&mut self) -> Result<()> {
        if self.lanes.iter().all(|lane| lane.over) {
            return Ok(());
        }
        let patience = self.ctx.sleep.sleep(PATIENCE);
        let ready = Box::pin(self.reader.ready());
        match select(ready, patience).await {
            Either::Left(_) => Ok(()),
            Either::Right(_) => bail!("`ready` did not end within {PATIENCE:?}"),
        }
    }

    fn take(
        &mut self,
        split: SplitIndex,
        first: u64,
        last: u64,
        out: Batch<S::Item>,
    ) -> Result<()> {
        let lane = self.lanes.get_mut(split.0).context("no such split")?;
        ensure!(first <= last, "positions {first} to {last} fall");
        ensure!(lane.last.is_none_or(|before| before < first), "position {first} is not new");
        ensure!(out.timestamps.len() == out.items.len(), "timestamps and items differ in number");
        let offset = self.reader.offset(split);
        ensure!(offset.is_some(), "no offset after records");
        lane.last = Some(last);
        lane.over = false;
        lane.items.extend(out.items);
        Ok(())
    }

    /// Puts down where each split is and what was read of it.
    pub(super) fn put_down(self, kept: &mut [Kept], read: &mut [Vec<S::Item>]) -> Result<()> {
        for (i, lane) in self.lanes.into_iter().enumerate() {
            if let Some(offset) = self.reader.offset(SplitIndex(i)) {
                kept[lane.kept].offset = Some(to_bytes(&offset)?);
            }
            read[lane.kept].extend(lane.items);
        }
        Ok(())
    }
}
