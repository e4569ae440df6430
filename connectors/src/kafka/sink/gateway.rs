//! All Kafka sinks of an attempt share one transaction: the gateway orders who sends when.
//!
//! Made by the participant, found by every writer of the attempt. Two producers, the slots, take
//! turns. At barrier N:
//!
//! 1. each writer [passes](Gateway::pass): it sends nothing more to N's transaction, and holds back
//!    what follows;
//! 2. when the last has passed, on a thread of its own: what writers still held, then the marker of
//!    N go out, and one flush waits for all acknowledgements;
//! 3. only then the other slot's transaction begins, and the writers go on: a clean cut, so that
//!    the commit of N makes all of N visible;
//! 4. when the checkpoint is stored, [`Gateway::commit`] commits N, called again until it is done.
//!
//! Invariants: no record outside an open transaction; every transaction, also an empty one, ends
//! with its marker; a slot begins anew only after its last transaction is acknowledged; after
//! anything that leaves a doubt the attempt ends, and the recovery finds out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use riverrun_engine::Result;
use riverrun_engine::checkpoint::{CheckpointId, CheckpointName};
use riverrun_engine::context::TaskContext;
use riverrun_engine::crash_point;
use riverrun_engine::metrics::TransactionMeter;
use riverrun_engine::planted;
use riverrun_kafka::connection::Connection;
use riverrun_kafka::records::Records;
use riverrun_kafka::send::{Producer, SendError};

use super::marker::{self, Marker};
use super::memory::Memory;
use super::slots;

/// One of the producers that take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(pub(super) usize);

/// What lies between two barriers, counted from the beginning of the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval(pub(super) u64);

/// Records for a topic that a writer had not sent when its barrier came.
pub(super) type Held = (Arc<str>, Records);

/// Between two tries while the queue is full.
pub(super) const FULL_PAUSE: Duration = Duration::from_millis(1);

/// What all writers of an attempt share.
pub(super) struct Gateway {
    pub(super) ctx: TaskContext,
    pub(super) connection: Connection,
    pub(super) timeout: Duration,
    pub(super) memory: Arc<Memory>,
    closed: AtomicBool,
    /// What is known to be written to, and for how long records are kept there.
    topics: Mutex<BTreeMap<Arc<str>, Option<Duration>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    slots: Vec<Arc<Producer>>,
    /// The slot whose transaction takes records.
    open: Option<Slot>,
    interval: u64,
    writers: usize,
    passed: Vec<Passed>,
    /// Flushed, not yet committed.
    flushed: Option<(CheckpointId, Slot)>,
    waiting: Vec<oneshot::Sender<()>>,
    failed: Option<SendError>,
}

impl State {
    fn wake(&mut self) {
        for wake in self.waiting.drain(..) {
            // A writer whose attempt has ended does not wait.
            let _gone = wake.send(());
        }
    }
}

/// A writer that has passed the barrier.
struct Passed {
    held: Vec<Held>,
    done: oneshot::Sender<Result<()>>,
}

/// Whether a writer may send.
pub(super) enum Turn {
    Now(Arc<Producer>),
    Later,
}

impl Gateway {
    pub(super) fn new(
        ctx: TaskContext,
        connection: Connection,
        timeout: Duration,
        memory: Arc<Memory>,
    ) -> Self {
        let (closed, topics, state) = (AtomicBool::new(false), Mutex::default(), Mutex::default());
        Gateway { ctx, connection, timeout, memory, closed, topics, state }
    }

    /// A sink writes to `topic`.
    pub(super) fn writes_to(&self, topic: &Arc<str>) {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.clone(), None);
    }

    /// What is known to be written to; topics chosen record by record are not.
    pub(super) fn topics(&self) -> Vec<Arc<str>> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.keys().cloned().collect()
    }

    /// Records of `topic` are deleted so long after their timestamp; `None`: never, or unknown.
    pub(super) fn keeps(&self, topic: &Arc<str>, kept: Option<Duration>) {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.insert(topic.clone(), kept);
    }

    /// What [`Gateway::keeps`] was told.
    pub(super) fn kept(&self, topic: &str) -> Option<Duration> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        *topics.get(topic)?
    }

    fn enter(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The attempt has ended: whoever waits for Kafka gives up.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.meter().set_open(None);
    }

    fn meter(&self) -> &TransactionMeter {
        &self.ctx.metrics.transactions
    }

    /// A transaction begins to take records.
    fn opened_now(&self) {
        self.memory.began(self.ctx.clock.monotonic());
        self.meter().set_open(Some(self.ctx.clock.now()));
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// One more writer, which begins with interval 0. All are there before the first record.
    pub(super) fn register(&self) {
        self.enter().writers += 1;
    }

    /// Whether a writer in `interval` may send now.
    pub(super) fn turn(&self, interval: Interval) -> Result<Turn> {
        let state = self.enter();
        if let Some(failed) = &state.failed {
            return Err(failed.clone().into());
        }
        Ok(match state.open {
            Some(slot) if state.interval == interval.0 => Turn::Now(state.slots[slot.0].clone()),
            _ => Turn::Later,
        })
    }

    /// Ends when a writer in `interval` should ask again whether it may send.
    pub(super) async fn opened(&self, interval: Interval) {
        let opened = {
            let mut state = self.enter();
            let open = state.open.is_some() && state.interval == interval.0;
            if open || state.failed.is_some() {
                return;
            }
            let (wake, opened) = oneshot::channel();
            state.waiting.push(wake);
            opened
        };
        // Not told: the gateway is gone with the attempt.
        let _ended = opened.await;
    }

    /// A writer has passed the barrier of `checkpoint`; `held` is what it has not sent. The future
    /// ends when all of the interval, marker included, is acknowledged.
    pub(super) fn pass(
        self: &Arc<Self>,
        checkpoint: CheckpointId,
        held: Vec<Held>,
    ) -> BoxFuture<'static, Result<()>> {
        let (done, acknowledged) = oneshot::channel();
        let all = {
            let mut state = self.enter();
            state.passed.push(Passed { held, done });
            let all = state.passed.len() == state.writers;
            all.then(|| std::mem::take(&mut state.passed))
        };
        if let Some(all) = all {
            let gateway = self.clone();
            let work = move || gateway.cut(checkpoint, all);
            self.ctx.threads.run("kafka-flush", Box::new(work));
        }
        Box::pin(async {
            acknowledged.await.unwrap_or_else(|_| Err(anyhow::anyhow!("the attempt has ended")))
        })
    }

    /// Steps 2 and 3.
    fn cut(&self, checkpoint: CheckpointId, all: Vec<Passed>) {
        let (held, done): (Vec<_>, Vec<_>) =
            all.into_iter().map(|passed| (passed.held, passed.done)).unzip();
        let result = self.flush(checkpoint, held.into_iter().flatten());
        if let Err(error) = &result {
            self.fail(error);
        }
        for done in done {
            let told = result.as_ref().copied().map_err(again);
            // A writer whose attempt has ended does not wait.
            drop(done.send(told));
        }
    }

    fn flush(&self, checkpoint: CheckpointId, held: impl Iterator<Item = Held>) -> Result<()> {
        let (slot, slots) = {
            let mut state = self.enter();
            anyhow::ensure!(state.flushed.is_none(), "a transaction before is not committed yet");
            let slot = state.open.take().context("no transaction is open")?;
            (slot, state.slots.clone())
        };
        crash_point!("kafka.passed");
        let producer = &slots[slot.0];
        for (topic, records) in held {
            self.send_all(producer, &topic, &records)?;
        }
        crash_point!("kafka.held.sent");
        let attempt = self.ctx.attempt.to_string();
        let name = CheckpointName { checkpoint, attempt };
        self.mark(producer, slot, Some(&name))?;
        crash_point!("kafka.flushed");
        if planted!("kafka.commit.early") {
            self.until_done(self.timeout, || producer.commit())?;
        }
        let next = Slot((slot.0 + 1) % slots.len());
        slots[next.0].begin()?;
        crash_point!("kafka.opened");
        let mut state = self.enter();
        state.flushed = Some((checkpoint, slot));
        state.open = Some(next);
        state.interval += 1;
        self.opened_now();
        state.wake();
        Ok(())
    }

    /// Sends the marker and waits until all that was sent to `producer` is acknowledged.
    fn mark(&self, producer: &Producer, slot: Slot, name: Option<&CheckpointName>) -> Result<()> {
        let marker = Marker::new(name, &self.ctx.attempt);
        let topic: Arc<str> = marker::topic(&self.ctx.job).into();
        if !planted!("kafka.marker.unsent") {
            self.send_all(producer, &topic, &marker.record(slot)?)?;
        }
        crash_point!("kafka.marker.sent");
        // Not for longer than the transaction can live.
        self.until_done(self.timeout, || producer.flush(slots::CALL))?;
        Ok(())
    }

    fn send_all(
        &self,
        producer: &Producer,
        topic: &Arc<str>,
        records: &Records,
    ) -> Result<(), SendError> {
        let topic = producer.topic(topic)?;
        let mut sent = 0;
        while sent < records.len() {
            sent += topic.send(records, sent)?;
            if sent < records.len() {
                if self.is_closed() {
                    return Err(SendError::Failed("the attempt has ended".to_owned()));
                }
                slots::rest(FULL_PAUSE);
            }
        }
        Ok(())
    }

    /// Calls Kafka until it has done it, fails for good, or `limit` is over.
    pub(super) fn until_done(
        &self,
        limit: Duration,
        call: impl FnMut() -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        slots::until_done(&self.ctx, limit, || self.is_closed(), call)
    }

    /// Recovery: the slots are fenced, `name` is what holds. Commits its marker again in a
    /// transaction of its own, so that this attempt is seen to own the job, and opens the first
    /// interval.
    pub(super) fn begin(
        &self,
        slots: Vec<Arc<Producer>>,
        name: Option<&CheckpointName>,
    ) -> Result<()> {
        let first = Slot(0);
        slots[first.0].begin()?;
        self.mark(&slots[first.0], first, name)?;
        crash_point!("kafka.marker.again");
        self.until_done(self.timeout, || slots[first.0].commit())?;
        crash_point!("kafka.begun");
        self.memory.marked(Marker::new(name, &self.ctx.attempt));
        self.meter().committed.add(1);
        let next = Slot(1);
        slots[next.0].begin()?;
        self.opened_now();
        let mut state = self.enter();
        state.slots = slots;
        state.open = Some(next);
        Ok(())
    }

    /// Step 4. Blocks until Kafka has answered for good; only the end of the attempt ends it.
    pub(super) fn commit(&self, checkpoint: CheckpointId) -> Result<()> {
        let (slot, producer) = {
            let state = self.enter();
            let flushed = state.flushed.filter(|(flushed, _)| *flushed == checkpoint);
            let (_, slot) = flushed.context("no transaction was flushed for this checkpoint")?;
            (slot, state.slots[slot.0].clone())
        };
        // What failed before is over: only trouble from here on leaves a request on its way.
        producer.was_troubled();
        crash_point!("kafka.commit");
        let early = planted!("kafka.commit.early");
        let commit = || if early { Ok(()) } else { producer.commit() };
        let committed = self.until_done(Duration::MAX, commit);
        committed.inspect_err(|error| self.fail_with(error.clone()))?;
        self.meter().committed.add(1);
        crash_point!("kafka.committed");
        let attempt = self.ctx.attempt.to_string();
        let name = CheckpointName { checkpoint, attempt };
        self.memory.marked(Marker::new(Some(&name), &self.ctx.attempt));
        if producer.was_troubled() {
            tracing::info!(slot = slot.0, "the connection failed during a commit: a new producer");
            drop(producer);
            let batch_bytes = slots::batch_bytes(self)?;
            let fresh = slots::fenced(self, slot, batch_bytes)?;
            self.enter().slots[slot.0] = fresh;
        }
        self.enter().flushed = None;
        Ok(())
    }

    fn fail(&self, error: &anyhow::Error) {
        let failed = error.downcast_ref::<SendError>().cloned();
        self.fail_with(failed.unwrap_or_else(|| SendError::Failed(format!("{error:#}"))));
    }

    /// Nothing more is sent in this attempt.
    pub(super) fn fail_with(&self, error: SendError) {
        let fenced = matches!(error, SendError::Fenced(_));
        if fenced {
            self.memory.fenced(self.ctx.clock.monotonic());
        }
        let mut state = self.enter();
        if state.failed.is_none() {
            let lost = usize::from(state.open.is_some()) + usize::from(state.flushed.is_some());
            self.meter().aborted.add(lost as u64);
            self.meter().fenced.add(u64::from(fenced));
            self.meter().set_open(None);
        }
        state.open = None;
        state.failed.get_or_insert(error);
        state.wake();
    }
}

/// The same error once more.
fn again(error: &anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<SendError>() {
        Some(known) => known.clone().into(),
        None => anyhow::anyhow!("{error:#}"),
    }
}
