//! `graph`: the job's operators and edges, as a tree for people, for Graphviz, for Mermaid.

pub(super) mod dot;
pub(super) mod mermaid;
pub(super) mod tree;

use std::collections::BTreeMap;

use riverrun_engine::graph::{Edge, Graph, NodeId};
use riverrun_engine::output::Port;

use super::args::GraphArgs;
use super::error::CliError;
use super::{Context, Exit, out};
use crate::plan::parallelisms;

/// Prints the graph, also one that `check` would refuse.
pub(super) fn graph(context: &Context<'_>, args: &GraphArgs) -> Result<Exit, CliError> {
    let config = context.config()?.config;
    let graph = context.graph(&config)?;
    let parallelisms = parallelisms(&graph, config.parallelism);
    let drawn = Drawn { job: context.job, graph: &graph, parallelisms };
    out::print(&match (args.dot, args.mermaid) {
        (true, _) => dot::dot(&drawn),
        (false, true) => mermaid::mermaid(&drawn),
        (false, false) => tree::tree(&drawn),
    })?;
    Ok(Exit::Done)
}

/// What is drawn.
pub(super) struct Drawn<'a> {
    pub(super) job: &'a str,
    pub(super) graph: &'a Graph,
    pub(super) parallelisms: BTreeMap<NodeId, u32>,
}

impl Drawn<'_> {
    fn parallelism(&self, id: NodeId) -> u32 {
        self.parallelisms[&id]
    }
}

/// How records take an edge: `hash`, `forward, side output 'late'`.
fn label(edge: &Edge) -> String {
    match edge.port {
        Port::Main => edge.partitioning.to_string(),
        port @ Port::Side(_) => format!("{}, {port}", edge.partitioning),
    }
}
