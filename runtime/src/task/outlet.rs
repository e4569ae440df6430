//! Where a subtask's results go: to other tasks through an [`Emitter`], or out of the job through a
//! sink's writer. Also sends the subtask's parts of checkpoints, in the order of the barriers.

use std::pin::Pin;
use std::sync::Arc;

use futures::FutureExt;
use futures::stream::{FuturesOrdered, StreamExt};
use riverrun_engine::checkpoint::{Barrier, CheckpointId, Prepared};
use riverrun_engine::element::{Element, Origins};
use riverrun_engine::erased::ErasedWriter;
use riverrun_engine::metrics::OperatorMetrics;
use tokio::sync::mpsc;

use super::chain::{Chain, Leaving};
use super::emitter::Emitter;
use super::failure::{Guard, Stopped};
use super::report::{Part, Report, Subtask};

/// What stands at the end of a chain.
pub enum Tail {
    /// Other tasks.
    Emitter(Emitter),
    /// A sink.
    Sink {
        /// Who it is.
        guard: Guard,
        /// Its writer.
        writer: Box<dyn ErasedWriter>,
        /// Its counters.
        metrics: Arc<OperatorMetrics>,
    },
}

type Acked = Pin<Box<dyn Future<Output = Result<(CheckpointId, Part), Stopped>> + Send>>;

/// The end of one subtask.
pub struct Outlet {
    subtask: Subtask,
    tail: Tail,
    /// The counters of the last operator: whoever waits for room is its task.
    metrics: Arc<OperatorMetrics>,
    reports: mpsc::Sender<Report>,
    /// Parts whose sink is still preparing; at most one for each checkpoint in flight.
    preparing: FuturesOrdered<Acked>,
    /// Whether every record travels alone, to find the one that fails.
    pub alone: bool,
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet").field("subtask", &self.subtask).finish_non_exhaustive()
    }
}

impl Outlet {
    /// The outlet of `subtask`.
    #[must_use]
    pub fn new(
        subtask: Subtask,
        tail: Tail,
        metrics: Arc<OperatorMetrics>,
        reports: mpsc::Sender<Report>,
        alone: bool,
    ) -> Self {
        Outlet { subtask, tail, metrics, reports, preparing: FuturesOrdered::new(), alone }
    }

    /// Delivers everything the chain has to give, firing what is due, piece by piece.
    ///
    /// # Errors
    /// A failure, or the end of the attempt.
    pub async fn deliver(&mut self, chain: &mut Chain) -> Result<(), Stopped> {
        loop {
            while let Some(leaving) = chain.take() {
                self.leave(leaving).await?;
            }
            if !chain.is_firing() {
                return Ok(());
            }
            chain.step()?;
            // A long firing must let the others of its worker in, and the end of the attempt.
            tokio::task::yield_now().await;
        }
    }

    async fn leave(&mut self, leaving: Leaving) -> Result<(), Stopped> {
        match (&mut self.tail, leaving) {
            (Tail::Emitter(emitter), Leaving::Records(port, batch)) => {
                emitter.records(port, batch, self.alone, &self.metrics).await
            }
            (Tail::Emitter(emitter), Leaving::Watermark(watermark)) => {
                emitter.control(Element::Watermark(watermark), &self.metrics).await
            }
            (Tail::Sink { guard, writer, metrics }, Leaving::Records(_, batch)) => {
                metrics.records_in.add(batch.len() as u64);
                let origins = batch.origins().clone();
                let write = guard.wait("writing records", &origins, writer.write(batch));
                let mut write = std::pin::pin!(write);
                // A writer may wait for room that one of its own prepared parts will give back.
                loop {
                    tokio::select! {
                        biased;
                        written = &mut write => return written,
                        Some(acked) = self.preparing.next() => {
                            let (checkpoint, part) = acked?;
                            let part = Box::new(part);
                            let report = Report::Snapshot(self.subtask, checkpoint, part);
                            let sent = self.reports.send(report).await;
                            sent.map_err(|_| Stopped::Cancelled)?;
                        }
                    }
                }
            }
            (Tail::Sink { metrics, .. }, Leaving::Watermark(watermark)) => {
                metrics.set_watermark(watermark);
                Ok(())
            }
        }
    }

    /// The input has nothing more for now: sends what waits.
    ///
    /// # Errors
    /// When the attempt is over.
    pub async fn flush(&mut self) -> Result<(), Stopped> {
        match &mut self.tail {
            Tail::Emitter(emitter) => emitter.flush(&self.metrics).await,
            Tail::Sink { .. } => Ok(()),
        }
    }

    /// Sends an idle mark or the end.
    ///
    /// # Errors
    /// When the attempt is over.
    pub async fn control(&mut self, element: Element) -> Result<(), Stopped> {
        match &mut self.tail {
            Tail::Emitter(emitter) => emitter.control(element, &self.metrics).await,
            Tail::Sink { .. } => Ok(()),
        }
    }

    /// The barrier has passed the chain: marks the stream, and reports `part` once the sink, if
    /// there is one, has prepared its own.
    ///
    /// # Errors
    /// When the attempt is over.
    pub async fn barrier(&mut self, barrier: Barrier, part: Part) -> Result<(), Stopped> {
        let checkpoint = barrier.checkpoint;
        match &mut self.tail {
            Tail::Emitter(emitter) => {
                emitter.control(Element::Barrier(barrier), &self.metrics).await?;
                self.report(Report::Snapshot(self.subtask, checkpoint, Box::new(part))).await
            }
            Tail::Sink { guard, writer, .. } => {
                let none = Origins::default();
                let prepare = guard
                    .call("preparing a checkpoint", &none, || Ok(writer.prepare(checkpoint)))?;
                let (guard, subtask) = (guard.clone(), self.subtask.index);
                self.preparing.push_back(Box::pin(async move {
                    let mut part = part;
                    let doing = "preparing a checkpoint";
                    let prepared = guard.wait(doing, &Origins::default(), prepare).await?;
                    let sink = guard.uid.clone();
                    part.prepared =
                        prepared.map(|committable| Prepared { sink, subtask, committable });
                    Ok((checkpoint, part))
                }));
                Ok(())
            }
        }
    }

    /// Ends when a sink has prepared its part of the oldest checkpoint, which is then reported;
    /// never while there is none. Cancel-safe up to the report.
    pub async fn prepared(&mut self) -> Result<(CheckpointId, Part), Stopped> {
        match self.preparing.next().await {
            Some(acked) => acked,
            None => std::future::pending().await,
        }
    }

    /// Reports what [`Outlet::prepared`] brought.
    ///
    /// # Errors
    /// When the attempt is over.
    pub async fn acknowledge(
        &mut self,
        (checkpoint, part): (CheckpointId, Part),
    ) -> Result<(), Stopped> {
        self.report(Report::Snapshot(self.subtask, checkpoint, Box::new(part))).await
    }

    /// Reports the parts that are prepared by now, without waiting for the others.
    ///
    /// # Errors
    /// A failure, or the end of the attempt.
    pub async fn acknowledge_prepared(&mut self) -> Result<(), Stopped> {
        while !self.preparing.is_empty() {
            let Some(acked) = self.preparing.next().now_or_never().flatten() else { break };
            self.acknowledge(acked?).await?;
        }
        Ok(())
    }

    /// Waits for every part that is still being prepared: before the task ends.
    ///
    /// # Errors
    /// A failure, or the end of the attempt.
    pub async fn finish(&mut self) -> Result<(), Stopped> {
        while !self.preparing.is_empty() {
            let acked = self.prepared().await?;
            self.acknowledge(acked).await?;
        }
        self.report(Report::Finished(self.subtask)).await
    }

    /// Tells the coordinator.
    ///
    /// # Errors
    /// When the attempt is over.
    pub async fn report(&mut self, report: Report) -> Result<(), Stopped> {
        self.reports.send(report).await.map_err(|_| Stopped::Cancelled)
    }

    /// Which subtask this is.
    #[must_use]
    pub fn subtask(&self) -> Subtask {
        self.subtask
    }
}
