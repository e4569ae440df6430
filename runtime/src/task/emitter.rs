//! A task's outputs: routes each batch to the subtasks that take it, and waits while there is no
//! room.
//!
//! A keyed batch is dealt out by key group; parts too small to travel alone wait for the next
//! batch, for the input to go idle, or for any control element, never for a timer.

use riverrun_engine::element::Element;
use riverrun_engine::erased::AnyBatch;
use riverrun_engine::graph::Partitioning;
use riverrun_engine::key::Owners;
use riverrun_engine::metrics::OperatorMetrics;
use riverrun_engine::output::Port;
use riverrun_engine::planted;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::failure::Stopped;
use crate::doors;

/// A part of a batch travels alone from this many records on.
pub const PART_RECORDS: usize = 256;

/// A source whose batches are dealt out reads so much more at once that each part is as large as a
/// batch, for so many parts.
const PARTS_FULL: usize = 4;

/// How many records a source reads at once whose batches are dealt out in `parts`, or not: in one;
/// `batch` is the size of a batch elsewhere.
#[must_use]
pub fn read_records(batch: usize, parts: usize) -> usize {
    batch * parts.min(PARTS_FULL)
}

/// One edge out of a subtask.
#[derive(Debug)]
pub struct Route {
    port: Port,
    partitioning: Partitioning,
    senders: Vec<Sender<Element>>,
    waiting: Vec<Option<AnyBatch>>,
    owners: Owners,
    part_records: usize,
    next: usize,
}

impl Route {
    /// A route to `senders`, one for each subtask that may take records.
    #[must_use]
    pub fn new(
        port: Port,
        partitioning: Partitioning,
        senders: Vec<Sender<Element>>,
        groups: u16,
    ) -> Self {
        let subtasks = u32::try_from(senders.len()).expect("at most one for each key group");
        let owners = Owners::new(subtasks, groups);
        let waiting = senders.iter().map(|_| None).collect();
        let part_records = doors::sizes().part_records;
        Route { port, partitioning, senders, waiting, owners, part_records, next: 0 }
    }

    async fn records(&mut self, batch: AnyBatch, at_once: bool, metrics: &OperatorMetrics) -> Sent {
        match self.partitioning {
            Partitioning::Hash if self.senders.len() > 1 => {
                self.deal(batch, at_once, metrics).await
            }
            Partitioning::Rebalance => {
                self.next = (self.next + 1) % self.senders.len();
                send(&self.senders[self.next], Element::Batch(batch), metrics).await
            }
            Partitioning::Broadcast => {
                for sender in &self.senders {
                    send(sender, Element::Batch(batch.duplicate()), metrics).await?;
                }
                Ok(())
            }
            Partitioning::Hash | Partitioning::Forward => {
                send(&self.senders[0], Element::Batch(batch), metrics).await
            }
        }
    }

    async fn deal(&mut self, batch: AnyBatch, at_once: bool, metrics: &OperatorMetrics) -> Sent {
        let parts = batch.scatter(&self.owners);
        for (target, part) in parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty()) {
            let waiting = &mut self.waiting[target];
            let part = match waiting.take() {
                Some(mut first) => match first.append(part) {
                    Ok(()) => first,
                    // Another type under the same port: both go, each by itself.
                    Err(part) => {
                        send(&self.senders[target], Element::Batch(first), metrics).await?;
                        part
                    }
                },
                None => part,
            };
            if at_once || part.len() >= self.part_records {
                send(&self.senders[target], Element::Batch(part), metrics).await?;
            } else {
                *waiting = Some(part);
            }
        }
        Ok(())
    }

    async fn flush(&mut self, metrics: &OperatorMetrics) -> Sent {
        for (sender, waiting) in self.senders.iter().zip(&mut self.waiting) {
            if let Some(part) = waiting.take() {
                send(sender, Element::Batch(part), metrics).await?;
            }
        }
        Ok(())
    }
}

/// Done, or the receiver is gone because the attempt is over.
type Sent = Result<(), Stopped>;

async fn send(to: &Sender<Element>, element: Element, metrics: &OperatorMetrics) -> Sent {
    match to.try_send(element) {
        Ok(()) => Ok(()),
        Err(TrySendError::Closed(_)) => Err(Stopped::Cancelled),
        Err(TrySendError::Full(element)) => {
            let began = doors::monotonic();
            let sent = to.send(element).await.map_err(|_| Stopped::Cancelled);
            let waited = (doors::monotonic() - began).as_nanos();
            metrics.blocked_ns.add(u64::try_from(waited).unwrap_or(u64::MAX));
            sent
        }
    }
}

/// All edges out of a subtask.
#[derive(Debug, Default)]
pub struct Emitter {
    routes: Vec<Route>,
}

fn copy_of(element: &Element) -> Element {
    match element {
        Element::Batch(batch) => Element::Batch(batch.duplicate()),
        Element::Watermark(watermark) => Element::Watermark(*watermark),
        Element::Barrier(barrier) => Element::Barrier(*barrier),
        Element::Idle => Element::Idle,
        Element::End => Element::End,
    }
}

impl Emitter {
    /// Of these routes.
    #[must_use]
    pub fn new(routes: Vec<Route>) -> Self {
        Emitter { routes }
    }

    /// Into how many parts a batch may be dealt.
    #[must_use]
    pub fn parts(&self) -> usize {
        let dealing = self.routes.iter().filter(|route| route.partitioning == Partitioning::Hash);
        dealing.map(|route| route.senders.len()).max().unwrap_or(1)
    }

    /// Sends records to everyone who reads `port`; with `at_once` no part waits.
    ///
    /// # Errors
    /// When the attempt is over.
    pub async fn records(
        &mut self,
        port: Port,
        batch: AnyBatch,
        at_once: bool,
        metrics: &OperatorMetrics,
    ) -> Sent {
        let mut readers = self.routes.iter_mut().filter(|route| route.port == port).peekable();
        let mut batch = Some(batch);
        while let Some(route) = readers.next() {
            let last = readers.peek().is_none();
            let part = if last { batch.take() } else { batch.as_ref().map(AnyBatch::duplicate) };
            if let Some(part) = part {
                route.records(part, at_once, metrics).await?;
            }
        }
        if let (Some(unread), Port::Side(_)) = (batch, port) {
            metrics.side_unread.add(unread.len() as u64);
        }
        Ok(())
    }

    /// Sends whatever waits.
    ///
    /// # Errors
    /// When the attempt is over.
    pub async fn flush(&mut self, metrics: &OperatorMetrics) -> Sent {
        for route in &mut self.routes {
            route.flush(metrics).await?;
        }
        Ok(())
    }

    /// Sends anything but records, to everyone, behind what waits.
    ///
    /// # Errors
    /// When the attempt is over.
    pub async fn control(&mut self, element: Element, metrics: &OperatorMetrics) -> Sent {
        if !(planted!("emitter.behind.barrier") && matches!(element, Element::Barrier(_))) {
            self.flush(metrics).await?;
        }
        for sender in self.routes.iter().flat_map(|route| &route.senders) {
            send(sender, copy_of(&element), metrics).await?;
        }
        Ok(())
    }
}
