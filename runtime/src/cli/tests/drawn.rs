//! What `graph` prints.

use riverrun_engine::graph::Graph;

use super::graphs::{node, sink, source, spend};
use crate::cli::graph::{Drawn, dot, mermaid, tree};
use crate::plan::parallelisms;

fn drawn<'a>(job: &'a str, graph: &'a Graph) -> Drawn<'a> {
    Drawn { job, graph, parallelisms: parallelisms(graph, 2) }
}

#[test]
fn a_tree() {
    let expected = "\
card-fraud

source cards  x2
└─ hash ─ process spend  x2
   ├─ forward ─ sink suspicions  x1
   └─ forward, side output 'late' ─ sink late  x2

source refunds  x2
└─ hash ─ process spend  x2  (drawn above)
";
    assert_eq!(tree::tree(&drawn("card-fraud", &spend())), expected);
    assert_eq!(tree::tree(&drawn("nothing", &Graph::default())), "nothing\n");
}

#[test]
fn for_graphviz() {
    let expected = r#"digraph "card-fraud" {
  rankdir=LR;
  n0 [shape=cylinder, label="cards\nsource x2"];
  n1 [shape=cylinder, label="refunds\nsource x2"];
  n2 [shape=box, label="spend\nprocess x2"];
  n3 [shape=cylinder, label="suspicions\nsink x1"];
  n4 [shape=cylinder, label="late\nsink x2"];
  n0 -> n2 [label="hash"];
  n1 -> n2 [label="hash"];
  n2 -> n3 [label="forward"];
  n2 -> n4 [label="forward, side output 'late'"];
}
"#;
    assert_eq!(dot::dot(&drawn("card-fraud", &spend())), expected);
}

#[test]
fn for_mermaid() {
    let expected = r#"flowchart LR
  n0[("cards<br/>source x2")]
  n1[("refunds<br/>source x2")]
  n2["spend<br/>process x2"]
  n3[("suspicions<br/>sink x1")]
  n4[("late<br/>sink x2")]
  n0 -->|"hash"| n2
  n1 -->|"hash"| n2
  n2 -->|"forward"| n3
  n2 -->|"forward, side output 'late'"| n4
"#;
    assert_eq!(mermaid::mermaid(&drawn("card-fraud", &spend())), expected);
}

#[test]
fn names_are_escaped() {
    let mut graph = Graph::default();
    graph.add(node("a\"b\\c\n<d>#|", "source", source()), &[]);
    graph.add(node("x]", "sink", sink()), &[]);
    let text = dot::dot(&drawn("j\"ob", &graph));
    assert!(text.contains(r#"digraph "j\"ob" {"#), "{text}");
    assert!(text.contains(r#"label="a\"b\\c\n<d>#|\nsource x2""#), "{text}");
    let text = mermaid::mermaid(&drawn("job", &graph));
    assert!(text.contains("a#34;b#92;c#10;#60;d#62;#35;#124;<br/>source"), "{text}");
}
