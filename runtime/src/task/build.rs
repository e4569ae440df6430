//! Makes the task of one subtask on the worker that will run it: opens its operators, restores
//! their state, opens its source or sink.

use std::sync::Arc;
use std::time::Duration;

use riverrun_engine::checkpoint::RestoredTime;
use riverrun_engine::clock::Clock;
use riverrun_engine::context::{Sleep, TaskContext, Threads};
use riverrun_engine::crash_point;
use riverrun_engine::element::{Element, Origin, Origins};
use riverrun_engine::erased::{ErasedSource, OperatorEnv};
use riverrun_engine::graph::{Graph, Node, NodeKind};
use riverrun_engine::key::KeyGroupRange;
use riverrun_engine::metrics::OperatorMetrics;
use riverrun_engine::rehearsal::Scratch;
use riverrun_engine::testing::checked;
use riverrun_engine::time::Timestamp;
use tokio::sync::mpsc;

use super::chain::{Chain, Link};
use super::emitter::{Emitter, Route, read_records};
use super::failure::{Guard, Stopped};
use super::gate::Gate;
use super::inbox::Inbox;
use super::operator_task::OperatorTask;
use super::outlet::{Outlet, Tail};
use super::report::{Order, Report, Subtask};
use super::source_task::SourceTask;
use crate::attempt::memory::StateMemory;
use crate::attempt::restore::Restore;
use crate::doors;
use crate::plan::Task;
use crate::status::JobStatus;

/// The most records of a batch in a drill: barriers fall between batches, and the input of a drill
/// is short.
const REHEARSED_RECORDS: usize = 128;

/// What all subtasks of an attempt share.
pub struct Shared {
    /// The job.
    pub job: Arc<str>,
    /// The attempt's unique name.
    pub attempt: Arc<str>,
    /// The graph.
    pub graph: Arc<Graph>,
    /// The number of key groups.
    pub key_groups: u16,
    /// Whether deltas will be asked for.
    pub tracked: bool,
    /// How often checkpoints are taken.
    pub checkpoint_interval: Option<Duration>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Threads for blocking work.
    pub threads: Arc<dyn Threads>,
    /// Waiting.
    pub sleep: Arc<dyn Sleep>,
    /// In a drill: where sinks write, and what is read.
    pub scratch: Option<Arc<Scratch>>,
    /// In a drill: how long a source rests after each batch.
    pub pace: Duration,
    /// The live numbers.
    pub status: Arc<JobStatus>,
    /// To the coordinator.
    pub reports: mpsc::Sender<Report>,
    /// Where the attempt begins.
    pub restore: Restore,
    /// Records among which one failed the attempt before.
    pub suspects: Vec<Origin>,
    /// The memory of all states.
    pub memory: StateMemory,
}

impl Shared {
    /// The context of one subtask of a source or sink.
    #[must_use]
    pub fn context(&self, node: &Node, subtask: u32, parallelism: u32) -> TaskContext {
        TaskContext {
            job: self.job.clone(),
            uid: node.uid.clone(),
            subtask,
            parallelism,
            attempt: self.attempt.clone(),
            checkpoint_interval: self.checkpoint_interval,
            clock: self.clock.clone(),
            threads: self.threads.clone(),
            sleep: self.sleep.clone(),
            scratch: self.scratch.clone(),
            metrics: self.status.metrics(&node.uid, subtask),
        }
    }
}

/// One channel into a subtask.
pub struct Input {
    /// Its receiving end.
    pub channel: mpsc::Receiver<Element>,
    /// Whether nothing is to come at first: from a source's subtask that has no split, or from what
    /// reads only from such.
    pub idle: bool,
}

/// What one subtask is made of.
pub struct SubtaskSpec {
    /// Which.
    pub subtask: Subtask,
    /// Its task.
    pub task: Task,
    /// Its channels in.
    pub inputs: Vec<Input>,
    /// Its edges out.
    pub routes: Vec<Route>,
    /// Orders, for a source.
    pub orders: Option<mpsc::UnboundedReceiver<Order>>,
}

/// A task ready to run.
#[derive(Debug)]
pub enum Built {
    /// Reads from outside.
    Source(Box<SourceTask>),
    /// Reads from other tasks.
    Operator(Box<OperatorTask>),
}

impl Built {
    /// Runs it to its end.
    ///
    /// # Errors
    /// A failure, or the end of the attempt.
    pub async fn run(self, clock: Arc<dyn Clock>) -> Result<(), Stopped> {
        match self {
            Built::Source(task) => task.run(clock).await,
            Built::Operator(task) => task.run(clock).await,
        }
    }
}

impl SubtaskSpec {
    /// Opens and restores everything.
    ///
    /// # Errors
    /// The failure, naming who failed.
    pub async fn build(self, shared: &Shared) -> Result<Built, Stopped> {
        let index = self.subtask.index;
        let nodes: Vec<&Node> = self.task.nodes.iter().map(|id| shared.graph.node(*id)).collect();
        let mut links = Vec::new();
        for node in &nodes {
            if let NodeKind::Operator(open) = &node.kind {
                links.push(self.link(node, open, shared).await?);
            }
        }
        let last = nodes.last().map(|node| shared.status.metrics(&node.uid, index));
        let last: Arc<OperatorMetrics> = last.unwrap_or_default();
        let restored = match nodes.first() {
            Some(node) => self.time(node, shared).watermark,
            None => Timestamp::MIN,
        };
        let chain = Chain::new(links);
        let alone = !shared.suspects.is_empty();
        let tail = match nodes.last().map(|node| (&node.kind, *node)) {
            Some((NodeKind::Sink(sink), node)) => {
                let guard = Guard { uid: node.uid.clone(), subtask: index };
                let ctx = shared.context(node, index, self.task.parallelism);
                let none = Origins::default();
                let writer = guard.wait("opening the sink", &none, sink.open(ctx)).await?;
                Tail::Sink { guard, writer, metrics: last.clone() }
            }
            _ => Tail::Emitter(Emitter::new(self.routes)),
        };
        let outlet = Outlet::new(self.subtask, tail, last, shared.reports.clone(), alone);
        if let (Some(NodeKind::Source(source)), Some(node), Some(orders)) =
            (nodes.first().map(|node| &node.kind), nodes.first(), self.orders)
        {
            let parallelism = self.task.parallelism;
            let task =
                source_task(source, node, (index, parallelism), chain, outlet, orders, shared)
                    .await?;
            return Ok(Built::Source(Box::new(task)));
        }
        let mut gate = Gate::new(self.inputs.len(), restored);
        let idle = self.inputs.iter().enumerate().filter(|(_, input)| input.idle);
        idle.for_each(|(input, _)| gate.starts_idle(input));
        let inbox = Inbox::new(self.inputs.into_iter().map(|input| input.channel).collect());
        Ok(Built::Operator(Box::new(OperatorTask { inbox, gate, chain, outlet })))
    }

    fn time(&self, node: &Node, shared: &Shared) -> RestoredTime {
        shared.restore.time(&node.uid, (self.subtask.index, self.task.parallelism))
    }

    async fn link(
        &self,
        node: &Node,
        open: &riverrun_engine::graph::OpenOperator,
        shared: &Shared,
    ) -> Result<Link, Stopped> {
        let index = self.subtask.index;
        let range = KeyGroupRange::of_subtask(index, self.task.parallelism, shared.key_groups);
        let guard = Guard { uid: node.uid.clone(), subtask: index };
        let none = Origins::default();
        let time = self.time(node, shared);
        let opened = async {
            let mut operator = checked(&node.uid.0, open(range, shared.tracked).operator);
            let StateMemory { resident, door, held_max, .. } = shared.memory.clone();
            operator.limit(resident, door, (&node.uid, index));
            let (restore, status) = (&shared.restore, &shared.status);
            restore.apply((&node.uid, range), operator.as_mut(), held_max, status).await?;
            operator.restored(&time)?;
            Ok(operator)
        };
        let operator = guard.wait("opening", &none, opened).await?;
        let behind = time.is_uneven().then_some(time.watermark);
        let passed = behind.map_or_else(|| operator.watermark_out(), |_| Timestamp::MIN);
        let metrics = shared.status.metrics(&node.uid, index);
        let env = OperatorEnv { metrics, clock: shared.clock.clone() };
        Ok(Link { guard, operator, env, behind, passed })
    }
}

async fn source_task(
    source: &Arc<dyn ErasedSource>,
    node: &Node,
    (index, parallelism): (u32, u32),
    chain: Chain,
    outlet: Outlet,
    orders: mpsc::UnboundedReceiver<Order>,
    shared: &Shared,
) -> Result<SourceTask, Stopped> {
    let guard = Guard { uid: node.uid.clone(), subtask: index };
    let none = Origins::default();
    let ctx = shared.context(node, index, parallelism);
    let mut reader = guard.wait("opening the source", &none, source.open(ctx)).await?;
    let splits = shared.restore.splits_of(&node.uid, index, parallelism);
    let suspect = |origin: &&Origin| {
        let mut own = splits.iter();
        origin.source == node.uid.0 && own.any(|(split, _)| *split.id == *origin.split)
    };
    let suspects: Vec<Origin> = shared.suspects.iter().filter(suspect).cloned().collect();
    for (split, restored) in splits {
        let goes_on = restored.is_some();
        guard.wait("assigning a split", &none, reader.assign(split, restored)).await?;
        if goes_on {
            crash_point!("restore.assigned");
        }
    }
    let metrics = shared.status.metrics(&node.uid, index);
    let most = read_records(doors::sizes().batch_records, outlet.parts());
    let records_max = if shared.scratch.is_some() { REHEARSED_RECORDS.min(most) } else { most };
    let pace = shared.pace;
    let task =
        SourceTask { guard, reader, chain, outlet, orders, metrics, records_max, pace, suspects };
    Ok(task)
}
