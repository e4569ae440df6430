//! The graph in the language of Mermaid, which Markdown pages draw.

use std::fmt::Write as _;

use riverrun_engine::graph::NodeKind;

use super::{Drawn, label};

/// A flowchart, left to right.
pub(in crate::cli) fn mermaid(drawn: &Drawn<'_>) -> String {
    let mut text = "flowchart LR\n".to_owned();
    for (id, node) in drawn.graph.nodes() {
        let (uid, step) = (escaped(&node.uid.0), escaped(node.step));
        let name = format!("\"{uid}<br/>{step} x{}\"", drawn.parallelism(id));
        _ = match node.kind {
            NodeKind::Source(_) | NodeKind::Sink(_) => writeln!(text, "  n{}[({name})]", id.0),
            NodeKind::Operator(_) => writeln!(text, "  n{}[{name}]", id.0),
        };
    }
    for edge in drawn.graph.edges() {
        let label = escaped(&label(edge));
        _ = writeln!(text, "  n{} -->|\"{label}\"| n{}", edge.from.0, edge.to.0);
    }
    text
}

/// Mermaid takes entity codes with `#` for `&`.
fn escaped(text: &str) -> String {
    let code = |c: char| match c {
        '"' | '#' | '<' | '>' | '&' | '`' | '\\' | '\n' | '|' => format!("#{};", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(code).collect()
}
