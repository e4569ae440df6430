//! From a graph to tasks: which operators are fused in one chain, how many subtasks each has, which
//! subtask talks to which. Decisions without I/O.
//!
//! An edge is fused when nothing else leaves its producer, nothing else enters its consumer, it is
//! forward and both have the same parallelism. A forward edge between unequal parallelisms deals
//! batches out in turn.

use std::collections::BTreeMap;

use riverrun_engine::graph::{Edge, Graph, NodeId, NodeKind, Partitioning};
use riverrun_engine::output::Port;

/// The number of a task in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub usize);

/// Fused operators that run as one, `parallelism` times.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its operators, first to last. A source is always first, a sink always last.
    pub nodes: Vec<NodeId>,
    /// How many subtasks.
    pub parallelism: u32,
    /// What comes in; none for a source.
    pub inputs: Vec<Link>,
    /// What goes out; none for a sink.
    pub outputs: Vec<Link>,
}

/// An edge between two tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The number of the edge in the plan.
    pub number: usize,
    /// The producer.
    pub from: TaskId,
    /// Which of its outputs.
    pub port: Port,
    /// The consumer.
    pub to: TaskId,
    /// Who takes which record.
    pub partitioning: Partitioning,
}

/// The tasks of a job, producers before consumers.
#[derive(Clone, Debug)]
pub struct Plan {
    /// By task id.
    pub tasks: Vec<Task>,
}

/// The parallelism of every node: its own; without one, that of its forward inputs where they
/// agree (so that a record's order is kept and steps fuse); otherwise `default`.
#[must_use]
pub fn parallelisms(graph: &Graph, default: u32) -> BTreeMap<NodeId, u32> {
    let mut all: BTreeMap<NodeId, u32> = BTreeMap::new();
    for (id, node) in graph.nodes() {
        let mut inherited = graph.inputs(id).map(|edge| match edge.partitioning {
            Partitioning::Forward => all.get(&edge.from).copied(),
            _ => None,
        });
        let first = inherited.next().flatten().filter(|n| inherited.all(|other| other == Some(*n)));
        all.insert(id, node.parallelism.or(first).unwrap_or(default));
    }
    all
}

fn is_fused(graph: &Graph, edge: &Edge, parallelism: &BTreeMap<NodeId, u32>) -> bool {
    edge.partitioning == Partitioning::Forward
        && edge.port == Port::Main
        && graph.outputs(edge.from).count() == 1
        && graph.inputs(edge.to).count() == 1
        && parallelism[&edge.from] == parallelism[&edge.to]
}

/// Places `graph`, with `default` subtasks for every node that sets no parallelism itself.
#[must_use]
pub fn plan(graph: &Graph, default: u32) -> Plan {
    let parallelism = parallelisms(graph, default);
    let mut tasks: Vec<Task> = Vec::new();
    let mut task_of: BTreeMap<NodeId, TaskId> = BTreeMap::new();
    for (id, _) in graph.nodes() {
        let fused = graph.inputs(id).find(|edge| is_fused(graph, edge, &parallelism));
        let task = match fused.and_then(|edge| task_of.get(&edge.from)) {
            Some(task) => *task,
            None => {
                let parallelism = parallelism[&id];
                let (nodes, inputs, outputs) = (Vec::new(), Vec::new(), Vec::new());
                tasks.push(Task { nodes, parallelism, inputs, outputs });
                TaskId(tasks.len() - 1)
            }
        };
        tasks[task.0].nodes.push(id);
        task_of.insert(id, task);
    }
    let crossing = graph.edges().iter().filter(|edge| !is_fused(graph, edge, &parallelism));
    for (number, edge) in crossing.enumerate() {
        let (from, to) = (task_of[&edge.from], task_of[&edge.to]);
        let equal = tasks[from.0].parallelism == tasks[to.0].parallelism;
        let partitioning = match edge.partitioning {
            Partitioning::Forward if !equal => Partitioning::Rebalance,
            other => other,
        };
        let link = Link { number, from, port: edge.port, to, partitioning };
        tasks[from.0].outputs.push(link);
        tasks[to.0].inputs.push(link);
    }
    Plan { tasks }
}

impl Plan {
    /// All subtasks, by task.
    pub fn subtasks(&self) -> impl Iterator<Item = (TaskId, u32)> {
        let of = |(i, task): (usize, &Task)| (0..task.parallelism).map(move |s| (TaskId(i), s));
        self.tasks.iter().enumerate().flat_map(of)
    }

    /// Whether the task reads from outside.
    #[must_use]
    pub fn is_source(graph: &Graph, task: &Task) -> bool {
        let first = task.nodes.first().map(|id| &graph.node(*id).kind);
        matches!(first, Some(NodeKind::Source(_)))
    }
}
