//! Small graphs that only have to be looked at.

use std::panic::Location;
use std::sync::Arc;

use futures::future::BoxFuture;
use riverrun_engine::Result;
use riverrun_engine::context::TaskContext;
use riverrun_engine::element::Batch;
use riverrun_engine::erased::{
    ErasedReader, ErasedSink, ErasedSource, ErasedSplit, ErasedWriter, open_operator,
};
use riverrun_engine::graph::{Graph, Node, NodeId, NodeKind, Partitioning, Uid};
use riverrun_engine::operator::{Operator, OperatorContext};
use riverrun_engine::output::Port;
use riverrun_engine::outside::{About, Finding, HeldBack, Outside};
use riverrun_engine::rehearsal::{Slicing, Stage};
use riverrun_engine::sink::{Participant, Rehearsal};
use riverrun_engine::state::Declare;

struct Source;

impl ErasedSource for Source {
    fn is_bounded(&self) -> bool {
        true
    }
    fn has_clock(&self) -> bool {
        true
    }
    fn check(&self) -> Result<()> {
        Ok(())
    }
    fn outside(&self, _: &About) -> Option<Box<dyn Outside>> {
        None
    }
    fn slicing(&self, _: &str) -> Option<Box<dyn Slicing>> {
        None
    }
    fn discover<'a>(
        &'a self,
        _: &'a TaskContext,
        _: bool,
    ) -> BoxFuture<'a, Result<Vec<ErasedSplit>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn open(&self, _: TaskContext) -> BoxFuture<'_, Result<Box<dyn ErasedReader>>> {
        Box::pin(async { anyhow::bail!("only to be looked at") })
    }
}

/// With what it would find outside, if anything.
struct Sink(Vec<Finding>);

impl ErasedSink for Sink {
    fn check(&self) -> Result<()> {
        Ok(())
    }
    fn outside(&self, _: &About) -> Option<Box<dyn Outside>> {
        let found = || Box::new(Found(self.0.clone())) as Box<dyn Outside>;
        (!self.0.is_empty()).then(found)
    }

    fn rehearsal(&self) -> Rehearsal {
        Rehearsal::Nothing
    }
    fn stage(&self, _: &str) -> Option<Box<dyn Stage>> {
        None
    }
    fn open(&self, _: TaskContext) -> BoxFuture<'_, Result<Box<dyn ErasedWriter>>> {
        Box::pin(async { anyhow::bail!("only to be looked at") })
    }
    fn participant(&self, _: &TaskContext) -> Option<(String, Box<dyn Participant>)> {
        None
    }
}

struct Found(Vec<Finding>);

impl Outside for Found {
    fn look(&mut self) -> Vec<Finding> {
        self.0.clone()
    }
    fn held_back(&mut self) -> Result<Vec<HeldBack>> {
        Ok(vec![HeldBack { place: "out/0".to_owned(), from: 7, count: 2 }])
    }
    fn abort(&mut self) -> Result<Vec<String>> {
        Ok(vec!["card-fraud-0".to_owned()])
    }
}

struct Sum;

impl Operator for Sum {
    type In = u64;
    type Out = u64;
    fn process(&mut self, _: Batch<u64>, _: &mut OperatorContext<'_, u64>) -> Result<()> {
        Ok(())
    }
}

pub(super) fn source() -> NodeKind {
    NodeKind::Source(Arc::new(Source))
}

pub(super) fn sink() -> NodeKind {
    NodeKind::Sink(Arc::new(Sink(Vec::new())))
}

/// A source and two sinks that find this outside.
pub(super) fn reaching(findings: &[Finding]) -> Graph {
    let mut graph = Graph::default();
    let cards = graph.add(node("cards", "source", source()), &[]);
    for uid in ["first", "second"] {
        let sink = NodeKind::Sink(Arc::new(Sink(findings.to_vec())));
        let input = (cards, Port::Main, Partitioning::Forward);
        graph.add(node(uid, "sink", sink), &[input]);
    }
    graph
}

/// An operator with one value per key, of type `u64`.
pub(super) fn sum(state: &'static str) -> NodeKind {
    NodeKind::Operator(open_operator(move |declare: &mut Declare<u64>| {
        declare.value::<u64>(state);
        Sum
    }))
}

pub(super) fn node(uid: &str, step: &'static str, kind: NodeKind) -> Node {
    Node {
        uid: Uid::new(uid),
        named: true,
        formerly: Vec::new(),
        step,
        at: Location::caller(),
        parallelism: None,
        kind,
        has_clock: true,
        needs_clock: false,
        problems: Vec::new(),
    }
}

/// Two sources, joined in `spend` by key; its results go to one sink, its late records to another.
pub(super) fn spend() -> Graph {
    let mut graph = Graph::default();
    let main = |from: NodeId, how| (from, Port::Main, how);
    let cards = graph.add(node("cards", "source", source()), &[]);
    let refunds = graph.add(node("refunds", "source", source()), &[]);
    let inputs = [main(cards, Partitioning::Hash), main(refunds, Partitioning::Hash)];
    let spend = graph.add(node("spend", "process", sum("total")), &inputs);
    let mut one = node("suspicions", "sink", sink());
    one.parallelism = Some(1);
    graph.add(one, &[main(spend, Partitioning::Forward)]);
    let late = (spend, Port::Side("late"), Partitioning::Forward);
    graph.add(node("late", "sink", sink()), &[late]);
    graph
}
