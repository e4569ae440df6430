//! For the unit tests of this crate: a job with a source that is never opened, and the operator a
//! stream ends in, driven by the engine's harness.

use riverrun_engine::Result;
use riverrun_engine::context::TaskContext;
use riverrun_engine::data::{Data, Key};
use riverrun_engine::element::Batch;
use riverrun_engine::graph::{Graph, NodeKind, OpenOperator};
use riverrun_engine::key::KeyHasher;
use riverrun_engine::source::{EventClock, Progress, Source, SourceReader, Split, SplitIndex};
use riverrun_engine::testing::OperatorHarness;
use riverrun_engine::time::Timestamp;
use riverrun_engine::watermark::Watermarks;
use serde::{Deserialize, Serialize};

use crate::job::Job;
use crate::stream::Stream;

/// A job to write a few steps into.
pub(crate) struct Sketch(pub(crate) Job);

impl Sketch {
    pub(crate) fn new() -> Self {
        Sketch(Job::default())
    }

    /// A stream with a clock.
    #[track_caller]
    pub(crate) fn stream<T: Data>(&self) -> Stream<T> {
        self.0.source("source", Nothing::<T> { clocked: true, item: std::marker::PhantomData })
    }

    /// A stream without a clock.
    #[track_caller]
    pub(crate) fn unclocked<T: Data>(&self) -> Stream<T> {
        self.0.source("source", Nothing::<T> { clocked: false, item: std::marker::PhantomData })
    }
}

/// How to open the operator that `stream` is the output of.
pub(crate) fn open_of<T>(stream: &Stream<T>) -> OpenOperator {
    let mut found = None;
    stream.graph.change(stream.node, |node| {
        if let NodeKind::Operator(open) = &node.kind {
            found = Some(open.clone());
        }
    });
    found.expect("the stream ends in an operator")
}

/// The operator that `stream` is the output of, with empty state.
pub(crate) fn harness_of<T>(stream: &Stream<T>) -> OperatorHarness {
    OperatorHarness::open(&open_of(stream))
}

/// A batch of `records`.
pub(crate) fn batch_of<T>(records: impl IntoIterator<Item = (T, Timestamp)>) -> Batch<T> {
    let (items, timestamps) = records.into_iter().unzip();
    Batch { items, timestamps, ..Batch::default() }
}

/// A batch of keyed `records`.
pub(crate) fn keyed_batch<K: Key, T>(
    records: impl IntoIterator<Item = (K, T, Timestamp)>,
) -> Batch<(K, T)> {
    let mut hasher = KeyHasher::default();
    let mut batch = Batch::default();
    for (key, item, timestamp) in records {
        let hash = hasher.hash(&key).expect("hashes");
        batch.push_keyed((key, item), timestamp, hash);
    }
    batch
}

/// What the last operator before `stream` makes of `records`.
pub(crate) fn run<T: Data, U: Data>(
    stream: Stream<U>,
    records: impl IntoIterator<Item = (T, Timestamp)>,
) -> Vec<(U, Timestamp)> {
    let mut harness = harness_of(&stream);
    harness.process(batch_of(records)).expect("processes");
    harness.take()
}

/// The graph of `sketch`, and the uids of its nodes.
pub(crate) fn uids(graph: &Graph) -> Vec<String> {
    graph.nodes().map(|(_, node)| node.uid.to_string()).collect()
}

struct Nothing<T> {
    clocked: bool,
    item: std::marker::PhantomData<fn() -> T>,
}

#[derive(Clone, Serialize, Deserialize)]
struct NoSplit;

impl Split for NoSplit {
    fn id(&self) -> String {
        "none".to_owned()
    }
}

struct NoReader<T>(std::marker::PhantomData<fn() -> T>);

impl<T: Data> Source for Nothing<T> {
    type Item = T;
    type Split = NoSplit;
    type Reader = NoReader<T>;

    fn is_bounded(&self) -> bool {
        true
    }
    async fn discover(&self, _ctx: &TaskContext) -> Result<Vec<NoSplit>> {
        Ok(Vec::new())
    }
    async fn open(&self, _ctx: TaskContext) -> Result<NoReader<T>> {
        Ok(NoReader(std::marker::PhantomData))
    }
    fn clock(&self) -> Option<EventClock<T>> {
        self.clocked.then(|| EventClock::new(|_| Timestamp::MIN, Watermarks::monotonic()))
    }
}

impl<T: Data> SourceReader for NoReader<T> {
    type Item = T;
    type Split = NoSplit;
    type Offset = u64;

    async fn assign(&mut self, _split: NoSplit, _offset: Option<u64>) -> Result<()> {
        Ok(())
    }
    fn next(&mut self, _out: &mut Batch<T>, _records_max: usize) -> Result<Progress> {
        Ok(Progress::Pending)
    }
    async fn ready(&mut self) {}
    fn offset(&self, _split: SplitIndex) -> Option<u64> {
        None
    }
}
