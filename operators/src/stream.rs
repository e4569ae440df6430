//! A [`Stream`]: the output of one step, waiting for the next step to be written.
//!
//! Every operator's method lies in the operator's own file; here is what they share. Invariants:
//! the batches of a `Stream` carry no hashes, those of a `KeyedStream` always do; a stream says how
//! its records reach the next step, and the next step uses that up.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use riverrun_engine::Result;
use riverrun_engine::data::{Data, Key};
use riverrun_engine::element::Batch;
use riverrun_engine::erased::open_operator;
use riverrun_engine::graph::{NodeId, NodeKind, Partitioning, Uid};
use riverrun_engine::operator::{Operator, OperatorContext};
use riverrun_engine::output::Port;
use riverrun_engine::state::Declare;

use crate::job::{Input, SharedGraph, Step};

/// Records of type `T` on their way from one step to the next.
///
/// A stream names its item and nothing else, so a step of your own is written as
/// `fn enrich(transactions: Stream<Transaction>) -> Stream<Rich>`. A clone is read beside the
/// original: both readers get every record.
#[must_use = "a stream goes nowhere: end it with `.sink(\"name\", ..)`"]
pub struct Stream<T> {
    pub(crate) graph: SharedGraph,
    pub(crate) node: NodeId,
    pub(crate) port: Port,
    pub(crate) partitioning: Partitioning,
    item: PhantomData<fn() -> T>,
}

impl<T> Clone for Stream<T> {
    fn clone(&self) -> Self {
        let (graph, item) = (self.graph.clone(), PhantomData);
        Stream { graph, node: self.node, port: self.port, partitioning: self.partitioning, item }
    }
}

impl<T> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stream { node, port, partitioning, .. } = self;
        write!(f, "Stream<{}>", std::any::type_name::<T>())?;
        write!(f, "(node {}, {port}, {partitioning})", node.0)
    }
}

impl<T> Stream<T> {
    /// The main output of `node`.
    pub(crate) fn new(graph: SharedGraph, node: NodeId) -> Self {
        let (port, partitioning) = (Port::Main, Partitioning::Forward);
        Stream { graph, node, port, partitioning, item: PhantomData }
    }

    /// The same records, reaching the next step by `partitioning`.
    pub(crate) fn partitioned(self, partitioning: Partitioning) -> Self {
        Stream { partitioning, ..self }
    }

    /// The output `port` of the same step, which has items of another type.
    pub(crate) fn other_port<U>(&self, port: Port) -> Stream<U> {
        Stream { port, ..Stream::new(self.graph.clone(), self.node) }
    }

    pub(crate) fn input(&self) -> Input {
        (self.node, self.port, self.partitioning)
    }

    /// How many copies of the step just written run side by side, 1 to the number of key groups;
    /// otherwise as many as the job has.
    pub fn parallelism(self, n: u32) -> Self {
        let exchanged =
            matches!(self.partitioning, Partitioning::Rebalance | Partitioning::Broadcast);
        let name = self.partitioning;
        self.graph.change(self.node, |node| {
            node.parallelism = Some(n);
            if exchanged {
                node.problems.push(format!(
                    "`.parallelism({n})` stands behind an exchange ({name}), which has none: write \
                     it before the exchange or behind the next step"
                ));
            }
        });
        self
    }

    /// The step just written was called `uid` before: its state is restored from under that name.
    pub fn formerly(self, uid: &str) -> Self {
        self.graph.change(self.node, |node| node.formerly.push(Uid::new(uid)));
        self
    }
}

impl<T: Data> Stream<T> {
    /// Writes down an operator behind this stream.
    pub(crate) fn operator<K, Op, F>(self, step: Step, open: F) -> Stream<Op::Out>
    where
        K: Key,
        Op: Operator<In = T>,
        F: Fn(&mut Declare<K>) -> Op + Send + Sync + 'static,
    {
        let kind = NodeKind::Operator(open_operator(open));
        let node = self.graph.add(step, kind, &[self.input()]);
        Stream::new(self.graph, node)
    }

    /// Writes down an operator with a second input of the same type. Streams of two jobs are a
    /// problem of the step, not a panic.
    pub(crate) fn operator_of_two<K, Op, F>(
        self,
        other: &Stream<T>,
        mut step: Step,
        open: F,
    ) -> Stream<Op::Out>
    where
        K: Key,
        Op: Operator<In = T>,
        F: Fn(&mut Declare<K>) -> Op + Send + Sync + 'static,
    {
        let mut inputs = vec![self.input()];
        if self.graph.is(&other.graph) {
            inputs.push(other.input());
        } else {
            let reason = "the two streams belong to two jobs: make both from one `job`";
            step.problems.push(reason.to_owned());
        }
        let node = self.graph.add(step, NodeKind::Operator(open_operator(open)), &inputs);
        Stream::new(self.graph, node)
    }

    /// Writes down an operator without state: a closure over whole batches, shared by all subtasks.
    pub(crate) fn each_batch<U: Data, F>(self, step: Step, f: F) -> Stream<U>
    where
        F: Fn(Batch<T>, &mut OperatorContext<'_, U>) -> Result<()> + Send + Sync + 'static,
    {
        let f = Arc::new(f);
        self.operator(step, move |_: &mut Declare| EachBatch { f: f.clone(), types: PhantomData })
    }
}

/// An operator without state.
struct EachBatch<T, U, F> {
    f: Arc<F>,
    types: PhantomData<fn(T) -> U>,
}

impl<T: Data, U: Data, F> Operator for EachBatch<T, U, F>
where
    F: Fn(Batch<T>, &mut OperatorContext<'_, U>) -> Result<()> + Send + Sync + 'static,
{
    type In = T;
    type Out = U;

    fn process(&mut self, batch: Batch<T>, ctx: &mut OperatorContext<'_, U>) -> Result<()> {
        (self.f)(batch, ctx)
    }
}
