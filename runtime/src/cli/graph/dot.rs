//! The graph in the language of Graphviz: `job graph --dot | dot -Tsvg > graph.svg`.

use std::fmt::Write as _;

use riverrun_engine::graph::NodeKind;

use super::{Drawn, label};

/// A digraph, left to right.
pub(in crate::cli) fn dot(drawn: &Drawn<'_>) -> String {
    let mut text = format!("digraph {} {{\n  rankdir=LR;\n", quoted(drawn.job));
    for (id, node) in drawn.graph.nodes() {
        let shape = match node.kind {
            NodeKind::Source(_) | NodeKind::Sink(_) => "cylinder",
            NodeKind::Operator(_) => "box",
        };
        let name = format!("{}\n{} x{}", node.uid, node.step, drawn.parallelism(id));
        _ = writeln!(text, "  n{} [shape={shape}, label={}];", id.0, quoted(&name));
    }
    for edge in drawn.graph.edges() {
        let label = quoted(&label(edge));
        _ = writeln!(text, "  n{} -> n{} [label={label}];", edge.from.0, edge.to.0);
    }
    text.push_str("}\n");
    text
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
