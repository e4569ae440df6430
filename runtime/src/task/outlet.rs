//! Where a subtask's results go: to other tasks through an [`Emitter`], or out of the job through a
//! sink's writer. Also sends the subtask's parts of checkpoints, in the order of the barriers.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use futures::FutureExt;
use futures::stream::{FuturesOrdered, StreamExt};
use riverrun_engine::checkpoint::{Barrier, CheckpointId, OperatorSnapshot, Prepared};
use riverrun_engine::element::{Element, Origins};
use riverrun_engine::erased::ErasedWriter;
use riverrun_engine::graph::Uid;
use riverrun_engine::metrics::OperatorMetrics;
use riverrun_engine::operator::Firing;
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

/// What a sink prepared for a checkpoint.
pub type SinkPart = (CheckpointId, Option<Prepared>);

type Preparing = Pin<Box<dyn Future<Output = Result<SinkPart, Stopped>> + Send>>;

/// A part between its barrier and its report.
struct InFlight {
    checkpoint: CheckpointId,
    part: Part,
    /// Whether the operators' state is written.
    written: bool,
    /// Whether the sink, if there is one, has prepared.
    prepared: bool,
}

/// The parts in flight, oldest first: at most one for each checkpoint in flight.
#[derive(Default)]
struct Parts(VecDeque<InFlight>);

impl Parts {
    fn prepared(&mut self, (checkpoint, prepared): SinkPart) {
        if let Some(flight) = self.0.iter_mut().find(|flight| flight.checkpoint == checkpoint) {
            flight.part.prepared = prepared;
            flight.prepared = true;
        }
    }

    /// Reports what is complete, in the order of the barriers.
    async fn report(
        &mut self,
        subtask: Subtask,
        reports: &mpsc::Sender<Report>,
    ) -> Result<(), Stopped> {
        while let Some(flight) = self.0.pop_front_if(|flight| flight.written && flight.prepared) {
            let report = Report::Snapshot(subtask, flight.checkpoint, Box::new(flight.part));
            reports.send(report).await.map_err(|_| Stopped::Cancelled)?;
        }
        Ok(())
    }
}

/// The end of one subtask.
pub struct Outlet {
    subtask: Subtask,
    tail: Tail,
    /// The counters of the last operator: whoever waits for room is its task.
    metrics: Arc<OperatorMetrics>,
    reports: mpsc::Sender<Report>,
    /// What the sink is still preparing; at most one for each checkpoint in flight.
    preparing: FuturesOrdered<Preparing>,
    parts: Parts,
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
        let (preparing, parts) = (FuturesOrdered::new(), Parts::default());
        Outlet { subtask, tail, metrics, reports, preparing, parts, alone }
    }

    /// Into how many parts a batch that leaves may be dealt.
    #[must_use]
    pub fn parts(&self) -> usize {
        match &self.tail {
            Tail::Emitter(emitter) => emitter.parts(),
            Tail::Sink { .. } => 1,
        }
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
            if chain.step()? == Firing::More {
                // A long firing must let the others of its worker in, and the end of the attempt.
                tokio::task::yield_now().await;
            }
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
                        Some(prepared) = self.preparing.next() => {
                            self.parts.prepared(prepared?);
                            self.parts.report(self.subtask, &self.reports).await?;
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

    /// The barrier has passed the chain: marks the stream. `part` is reported once the operators'
    /// state is [written](Outlet::written) and the sink, if there is one, has prepared its own.
    ///
    /// # Errors
    /// When the attempt is over.
    pub async fn barrier(&mut self, barrier: Barrier, part: Part) -> Result<(), Stopped> {
        let checkpoint = barrier.checkpoint;
        let prepared = matches!(self.tail, Tail::Emitter(_));
        self.parts.0.push_back(InFlight { checkpoint, part, written: false, prepared });
        match &mut self.tail {
            Tail::Emitter(emitter) => {
                emitter.control(Element::Barrier(barrier), &self.metrics).await
            }
            Tail::Sink { guard, writer, .. } => {
                let none = Origins::default();
                let prepare = guard
                    .call("preparing a checkpoint", &none, || Ok(writer.prepare(checkpoint)))?;
                let (guard, subtask) = (guard.clone(), self.subtask.index);
                self.preparing.push_back(Box::pin(async move {
                    let doing = "preparing a checkpoint";
                    let prepared = guard.wait(doing, &Origins::default(), prepare).await?;
                    let sink = guard.uid.clone();
                    let of_sink = |committable| Prepared { sink, subtask, committable };
                    Ok((checkpoint, prepared.map(of_sink)))
                }));
                Ok(())
            }
        }
    }

    /// The operators' state of the newest barrier is written.
    ///
    /// # Errors
    /// When the attempt is over.
    pub async fn written(
        &mut self,
        operators: Vec<(Uid, OperatorSnapshot)>,
    ) -> Result<(), Stopped> {
        if let Some(flight) = self.parts.0.back_mut() {
            flight.part.operators = operators;
            flight.written = true;
        }
        self.parts.report(self.subtask, &self.reports).await
    }

    /// Ends when the sink has prepared its part of the oldest checkpoint; never while there is
    /// none. Cancel-safe.
    pub async fn prepared(&mut self) -> Result<SinkPart, Stopped> {
        match self.preparing.next().await {
            Some(prepared) => prepared,
            None => std::future::pending().await,
        }
    }

    /// Takes in what [`Outlet::prepared`] brought.
    ///
    /// # Errors
    /// When the attempt is over.
    pub async fn acknowledge(&mut self, prepared: SinkPart) -> Result<(), Stopped> {
        self.parts.prepared(prepared);
        self.parts.report(self.subtask, &self.reports).await
    }

    /// Takes in what is prepared by now, without waiting for the others.
    ///
    /// # Errors
    /// A failure, or the end of the attempt.
    pub async fn acknowledge_prepared(&mut self) -> Result<(), Stopped> {
        while !self.preparing.is_empty() {
            let Some(prepared) = self.preparing.next().now_or_never().flatten() else { break };
            self.acknowledge(prepared?).await?;
        }
        Ok(())
    }

    /// Waits for every part that is still being prepared: before the task ends.
    ///
    /// # Errors
    /// A failure, or the end of the attempt.
    pub async fn finish(&mut self) -> Result<(), Stopped> {
        while !self.preparing.is_empty() {
            let prepared = self.prepared().await?;
            self.acknowledge(prepared).await?;
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
