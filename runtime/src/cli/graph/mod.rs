//! `graph`: the job's operators and edges, as a tree for people, for Graphviz, for Mermaid.

mod dot;
mod mermaid;
#[cfg(test)]
mod tests;
mod tree;

use riverrun_engine::graph::{Edge, Graph, NodeId};
use riverrun_engine::output::Port;

use super::args::GraphArgs;
use super::error::CliError;
use super::{Context, Exit, out};
use crate::plan::parallelism_of;

/// Prints the graph, also one that `check` would refuse.
pub(super) fn graph(context: &Context<'_>, args: &GraphArgs) -> Result<Exit, CliError> {
    let config = context.config()?.config;
    let graph = context.graph(&config)?;
    let drawn = Drawn { job: context.job, graph: &graph, parallelism: config.parallelism };
    out::print(&match (args.dot, args.mermaid) {
        (true, _) => dot::dot(&drawn),
        (false, true) => mermaid::mermaid(&drawn),
        (false, false) => tree::tree(&drawn),
    })?;
    Ok(Exit::Done)
}

/// What is drawn.
struct Drawn<'a> {
    job: &'a str,
    graph: &'a Graph,
    parallelism: u32,
}

impl Drawn<'_> {
    fn parallelism(&self, id: NodeId) -> u32 {
        parallelism_of(self.graph, id, self.parallelism)
    }
}

/// How records take an edge: `hash`, `forward, side output 'late'`.
fn label(edge: &Edge) -> String {
    match edge.port {
        Port::Main => edge.partitioning.to_string(),
        port @ Port::Side(_) => format!("{}, {port}", edge.partitioning),
    }
}
