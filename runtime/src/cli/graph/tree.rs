//! The graph as a tree of lines: what has several inputs is drawn under the first of them.

use std::collections::BTreeSet;

use riverrun_engine::graph::{Edge, NodeId};

use super::{Drawn, label};

/// Sources at the left edge, consumers below their producer.
pub(in crate::cli) fn tree(drawn: &Drawn<'_>) -> String {
    let mut tree = Tree { drawn, seen: BTreeSet::new(), text: format!("{}\n", drawn.job) };
    for (id, _) in drawn.graph.nodes() {
        if drawn.graph.inputs(id).next().is_none() {
            tree.text.push('\n');
            tree.node(id, "", "");
        }
    }
    tree.text
}

struct Tree<'a> {
    drawn: &'a Drawn<'a>,
    seen: BTreeSet<NodeId>,
    text: String,
}

impl Tree<'_> {
    /// `first` stands before the node itself, `rest` before everything below it.
    fn node(&mut self, id: NodeId, first: &str, rest: &str) {
        let (node, parallelism) = (self.drawn.graph.node(id), self.drawn.parallelism(id));
        let again = !self.seen.insert(id);
        let above = if again { "  (drawn above)" } else { "" };
        let line = format!("{first}{} {}  x{parallelism}{above}\n", node.step, node.uid);
        self.text.push_str(&line);
        if again {
            return;
        }
        let outputs: Vec<Edge> = self.drawn.graph.outputs(id).copied().collect();
        for (i, edge) in outputs.iter().enumerate() {
            let (corner, bar) =
                if i + 1 < outputs.len() { ("├─", "│  ") } else { ("└─", "   ") };
            let first = format!("{rest}{corner} {} ─ ", label(edge));
            self.node(edge.to, &first, &format!("{rest}{bar}"));
        }
    }
}
