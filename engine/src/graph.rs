//! The graph: a job's nodes and edges before placement, built by the language, read by the runtime.
//!
//! Invariant: a node's inputs have smaller ids than the node, so the order of ids is a topological
//! order, and graphs have no cycles.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::erased::{ErasedOperator, ErasedSink, ErasedSource};
use crate::error::GraphError;
use crate::key::KeyGroupRange;
use crate::output::Port;
use crate::state::{StateSpec, Ttl};
use crate::timer::TimeDomain;

/// The permanent name of an operator: labels graph, metrics, logs and checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub Arc<str>);

impl Uid {
    /// The uid `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Uid(name.into())
    }

    fn is_name(&self) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        self.0.len() <= 100
            && self.0.starts_with(|c: char| c.is_ascii_alphanumeric())
            && self.0.chars().all(plain)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A node's number in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// How the records of an edge find the subtask that takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitioning {
    /// Subtask i to subtask i: chained where possible.
    Forward,
    /// By the key group of the record's hash.
    Hash,
    /// In turn.
    Rebalance,
    /// Every record to every subtask.
    Broadcast,
}

impl fmt::Display for Partitioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Partitioning::Forward => "forward",
            Partitioning::Hash => "hash",
            Partitioning::Rebalance => "rebalance",
            Partitioning::Broadcast => "broadcast",
        })
    }
}

/// Opens an operator for the keys of a range; changes are listed for deltas when `tracked`.
pub type OpenOperator = Arc<dyn Fn(KeyGroupRange, bool) -> Opened + Send + Sync>;

/// An opened operator and what it declared.
pub struct Opened {
    /// The operator, with empty state.
    pub operator: Box<dyn ErasedOperator>,
    /// Its states.
    pub states: Vec<StateSpec>,
    /// Names declared more than once.
    pub declared_twice: Vec<String>,
}

/// What a node does.
#[derive(Clone)]
pub enum NodeKind {
    /// Reads.
    Source(Arc<dyn ErasedSource>),
    /// Transforms.
    Operator(OpenOperator),
    /// Writes.
    Sink(Arc<dyn ErasedSink>),
}

/// One node of the graph.
#[derive(Clone)]
pub struct Node {
    /// Its name; nodes without state of their own get one from what they do and where they stand.
    pub uid: Uid,
    /// Whether the name was given by the user, and so is permanent.
    pub named: bool,
    /// Earlier names, under which checkpoints may hold its state.
    pub formerly: Vec<Uid>,
    /// What kind of step: `map`, `aggregate`, `source`.
    pub step: &'static str,
    /// The user's line.
    pub at: &'static Location<'static>,
    /// Its own parallelism, where one was set.
    pub parallelism: Option<u32>,
    /// What it does.
    pub kind: NodeKind,
    /// Whether its output has timestamps and watermarks.
    pub has_clock: bool,
    /// Whether it needs them on its input.
    pub needs_clock: bool,
    /// Settings the language found wrong.
    pub problems: Vec<String>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} {})", self.step, self.uid)
    }
}

/// Records of one output of `from` flow to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The producer.
    pub from: NodeId,
    /// Which of its outputs.
    pub port: Port,
    /// The consumer.
    pub to: NodeId,
    /// Who takes which record.
    pub partitioning: Partitioning,
}

/// A job's nodes and edges.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

impl Graph {
    /// Adds a node with its inputs.
    pub fn add(&mut self, node: Node, inputs: &[(NodeId, Port, Partitioning)]) -> NodeId {
        let id = NodeId(self.nodes.len());
        self.nodes.push(node);
        let edge = |(from, port, partitioning): &(NodeId, Port, Partitioning)| Edge {
            from: *from,
            port: *port,
            to: id,
            partitioning: *partitioning,
        };
        self.edges.extend(inputs.iter().map(edge));
        id
    }

    /// The node `id`.
    ///
    /// # Panics
    /// When it is another graph's.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The node `id`, to be changed.
    ///
    /// # Panics
    /// When it is another graph's.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0]
    }

    /// All nodes, producers before consumers.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(i, node)| (NodeId(i), node))
    }

    /// All edges.
    #[must_use]
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// The edges into `id`.
    pub fn inputs(&self, id: NodeId) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.to == id)
    }

    /// The edges out of `id`.
    pub fn outputs(&self, id: NodeId) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.from == id)
    }

    /// The states each named operator declares, by opening it dry.
    #[must_use]
    pub fn states(&self, groups: u16) -> BTreeMap<Uid, Vec<StateSpec>> {
        let open = |node: &Node| match &node.kind {
            NodeKind::Operator(open) => open(KeyGroupRange::all(groups), false).states,
            _ => Vec::new(),
        };
        self.nodes.iter().map(|node| (node.uid.clone(), open(node))).collect()
    }

    /// Everything that is wrong with the graph, in the order of its nodes.
    #[must_use]
    pub fn problems(&self, groups: u16) -> Vec<GraphError> {
        let mut found = Vec::new();
        if !self.nodes.iter().any(|node| matches!(node.kind, NodeKind::Source(_))) {
            found.push(GraphError::NoSource);
        }
        let mut seen: BTreeMap<&Uid, &Node> = BTreeMap::new();
        for (id, node) in self.nodes() {
            let (uid, at) = (node.uid.clone(), node.at);
            if let Some(first) = seen.insert(&node.uid, node) {
                found.push(GraphError::UidTwice { uid: uid.clone(), first: first.at, second: at });
            }
            if !node.uid.is_name() {
                found.push(GraphError::UidName { uid: uid.to_string(), at });
            }
            self.node_problems(id, node, groups, &mut found);
        }
        found
    }

    fn node_problems(&self, id: NodeId, node: &Node, groups: u16, found: &mut Vec<GraphError>) {
        let (uid, at) = (node.uid.clone(), node.at);
        let step = uid.to_string();
        for reason in &node.problems {
            let (step, reason) = (step.clone(), reason.clone());
            found.push(GraphError::Setting { step, at, reason });
        }
        let clocked = self.inputs(id).all(|edge| self.node(edge.from).has_clock);
        if node.needs_clock && !clocked {
            found.push(GraphError::NoClock { uid: uid.clone(), at });
        }
        if let Some(parallelism) = node.parallelism
            && !(1..=u32::from(groups)).contains(&parallelism)
        {
            found.push(GraphError::Parallelism { step: step.clone(), at, parallelism, groups });
        }
        if !matches!(node.kind, NodeKind::Sink(_)) && self.outputs(id).next().is_none() {
            found.push(GraphError::NoSink { step, at });
        }
        let checked = match &node.kind {
            NodeKind::Source(source) => source.check(),
            NodeKind::Sink(sink) => sink.check(),
            NodeKind::Operator(open) => {
                let opened = open(KeyGroupRange::all(groups), false);
                let error = |state| GraphError::StateTwice { uid: uid.clone(), at, state };
                found.extend(opened.declared_twice.into_iter().map(error));
                let by_event = |ttl: Ttl| ttl.time() == TimeDomain::Event;
                let ends = |spec: &StateSpec| !clocked && spec.ttl.is_some_and(by_event);
                let ending = opened.states.into_iter().filter(ends).map(|spec| spec.name);
                let error = |state| GraphError::TtlClock { uid: uid.clone(), at, state };
                found.extend(ending.map(error));
                Ok(())
            }
        };
        if let Err(reason) = checked {
            found.push(GraphError::Check { uid, at, reason: format!("{reason:#}") });
        }
    }
}
