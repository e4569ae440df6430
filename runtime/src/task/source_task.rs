//! The loop that reads: reader, chain, outlet.
//!
//! 1. An order of the coordinator goes first: a barrier is marked behind everything fetched so far.
//!    Splits that came up are assigned; the next barrier has them.
//! 2. Fetch a batch, push it through the chain, deliver, say the watermark.
//! 3. Nothing to fetch: send what waits, then wait for the reader, an order or the clock.
//! 4. Every split has ended: say the final watermark, report it, and go on marking barriers until
//!    the coordinator sends the last one; so no checkpoint ever lacks a part.

use std::sync::Arc;
use std::time::Duration;

use riverrun_engine::clock::Clock;
use riverrun_engine::crash_point;
use riverrun_engine::element::{Element, Origin, Origins};
use riverrun_engine::erased::{ErasedReader, Fetched};
use riverrun_engine::metrics::OperatorMetrics;
use riverrun_engine::planted;
use riverrun_engine::state::stored::Warmth;
use riverrun_engine::time::Timestamp;
use riverrun_engine::watermark::SourceWatermark;
use tokio::sync::mpsc;

use super::chain::Chain;
use super::failure::{Guard, Stopped};
use super::operator_task::{quiet, snapshot, until, write_all, write_some};
use super::outlet::Outlet;
use super::report::{Order, Part, Report};

/// How often a waiting source asks whether the wall clock moves its watermark.
const WATERMARK_TICK: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Reading,
    /// All splits have ended; barriers still come.
    Drained,
    /// The last barrier is marked.
    Over,
}

/// What those downstream were told of event time.
struct Said {
    last: SourceWatermark,
    /// That it is idle, and no record went out since.
    idle: bool,
}

/// One subtask that reads from outside.
pub struct SourceTask {
    /// Who it is.
    pub guard: Guard,
    /// What it reads with.
    pub reader: Box<dyn ErasedReader>,
    /// Its operators.
    pub chain: Chain,
    /// Where results go.
    pub outlet: Outlet,
    /// What the coordinator wants.
    pub orders: mpsc::UnboundedReceiver<Order>,
    /// The source's counters.
    pub metrics: Arc<OperatorMetrics>,
    /// The most records of a batch.
    pub records_max: usize,
    /// How long it rests after each batch: only in a drill.
    pub pace: Duration,
    /// Records among which one failed the attempt before: up to there every record goes alone.
    pub suspects: Vec<Origin>,
}

impl std::fmt::Debug for SourceTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceTask").field("uid", &self.guard.uid).finish_non_exhaustive()
    }
}

impl SourceTask {
    /// Runs until the last barrier is marked.
    ///
    /// # Errors
    /// A failure, or the end of the attempt.
    pub async fn run(mut self, clock: Arc<dyn Clock>) -> Result<(), Stopped> {
        let mut life = Life::Reading;
        let mut said = Said { last: SourceWatermark::At(Timestamp::MIN), idle: false };
        self.chain.announce();
        self.outlet.deliver(&mut self.chain).await?;
        // The restored clock speaks before the first record.
        self.say_watermark(&mut said).await?;
        while life != Life::Over {
            match self.orders.try_recv() {
                Ok(order) => {
                    life = self.obey(order, life).await?;
                    continue;
                }
                Err(mpsc::error::TryRecvError::Disconnected) => return Err(Stopped::Cancelled),
                Err(mpsc::error::TryRecvError::Empty) => {}
            }
            let fetched = match life {
                Life::Reading => {
                    self.assign_found().await?;
                    self.fetch()?
                }
                _ => Fetched::Pending,
            };
            write_some(&mut self.chain, &mut self.outlet).await?;
            self.chain.warm()?;
            match fetched {
                Fetched::Batch(batch) => {
                    crash_point!("source.batch");
                    self.metrics.records_out.add(batch.len() as u64);
                    if std::mem::take(&mut said.idle) {
                        // Everyone must count this input again before its first record.
                        let resumed = Element::Watermark(self.chain.passed());
                        self.outlet.control(resumed).await?;
                    }
                    self.chain.records(batch)?;
                    self.outlet.deliver(&mut self.chain).await?;
                    self.say_watermark(&mut said).await?;
                    self.outlet.acknowledge_prepared().await?;
                    // Others of this worker get their turn after each batch.
                    self.rest().await;
                }
                Fetched::Moved => {
                    self.say_watermark(&mut said).await?;
                    self.outlet.acknowledge_prepared().await?;
                    tokio::task::yield_now().await;
                }
                Fetched::Pending => {
                    if life == Life::Reading {
                        self.say_watermark(&mut said).await?;
                    }
                    self.outlet.flush().await?;
                    life = self.wait(&clock, life).await?;
                }
                Fetched::Ended => {
                    self.chain.watermark(Timestamp::MAX);
                    self.outlet.deliver(&mut self.chain).await?;
                    self.metrics.set_watermark(Timestamp::MAX);
                    let subtask = self.outlet.subtask();
                    self.outlet.report(Report::SourceEnded(subtask)).await?;
                    life = Life::Drained;
                }
            }
        }
        write_all(&mut self.chain, &mut self.outlet).await?;
        self.outlet.finish().await
    }

    async fn rest(&self) {
        match self.pace {
            Duration::ZERO => tokio::task::yield_now().await,
            pace => tokio::time::sleep(pace).await,
        }
    }

    async fn assign_found(&mut self) -> Result<(), Stopped> {
        let SourceTask { guard, reader, .. } = self;
        let none = Origins::default();
        for split in guard.call("looking for splits", &none, || reader.found())? {
            tracing::info!(source = %guard.uid, split = split.id, "a split came up");
            guard.wait("assigning a split", &none, reader.assign(split, None)).await?;
        }
        Ok(())
    }

    fn fetch(&mut self) -> Result<Fetched, Stopped> {
        let records_max = if self.suspects.is_empty() { self.records_max } else { 1 };
        let SourceTask { guard, reader, .. } = self;
        let fetched = guard.call("reading", &Origins::default(), || reader.fetch(records_max))?;
        if let Fetched::Batch(batch) = &fetched
            && !self.suspects.is_empty()
        {
            let read = batch.origins().known();
            let passed = |suspect: &Origin| {
                read.iter().any(|o| o.split == suspect.split && o.first > suspect.last)
            };
            self.suspects.retain(|suspect| !passed(suspect));
            self.outlet.alone = !self.suspects.is_empty();
        }
        Ok(fetched)
    }

    async fn obey(&mut self, order: Order, life: Life) -> Result<Life, Stopped> {
        let Order::Barrier(barrier) = order else {
            self.reader.committed();
            return Ok(life);
        };
        let SourceTask { guard, reader, .. } = self;
        let splits = guard.call("saving its offsets", &Origins::default(), || reader.snapshot())?;
        let part = Part { splits: Some((guard.uid.clone(), splits)), ..Part::default() };
        crash_point!("source.offsets");
        if planted!("stop.ends.input") && barrier.kind.is_last() {
            self.chain.watermark(Timestamp::MAX);
            self.outlet.deliver(&mut self.chain).await?;
        }
        snapshot(barrier, &mut self.chain, &mut self.outlet, part).await?;
        if barrier.kind.is_last() {
            self.outlet.control(Element::End).await?;
            return Ok(Life::Over);
        }
        Ok(life)
    }

    async fn wait(&mut self, clock: &Arc<dyn Clock>, life: Life) -> Result<Life, Stopped> {
        let timer = self.chain.next_wall_clock();
        let reading = life == Life::Reading;
        let warmth = self.chain.warmth();
        let busy = self.chain.is_writing() || warmth != Warmth::Warm;
        tokio::select! {
            biased;
            order = self.orders.recv() => match order {
                Some(order) => return self.obey(order, life).await,
                None => return Err(Stopped::Cancelled),
            },
            acked = self.outlet.prepared() => self.outlet.acknowledge(acked?).await?,
            () = self.reader.ready(), if reading => {}
            () = until(timer, clock) => self.chain.wall_clock(),
            () = tokio::time::sleep(WATERMARK_TICK), if reading => {}
            () = quiet(warmth), if busy => {}
        }
        self.outlet.deliver(&mut self.chain).await?;
        Ok(life)
    }

    async fn say_watermark(&mut self, said: &mut Said) -> Result<(), Stopped> {
        let Some(now) = self.reader.watermark() else { return Ok(()) };
        if now == said.last {
            return Ok(());
        }
        said.last = now;
        if let SourceWatermark::At(watermark) | SourceWatermark::Idle(Some(watermark)) = now {
            self.metrics.set_watermark(watermark);
            self.chain.watermark(watermark);
            self.outlet.deliver(&mut self.chain).await?;
        }
        match now {
            SourceWatermark::Idle(_) => {
                said.idle = true;
                self.outlet.control(Element::Idle).await
            }
            // Those who got no record of it still take it for idle.
            SourceWatermark::At(_) => Ok(()),
        }
    }
}
