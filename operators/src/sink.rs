//! The end of a stream: `sink`, and [`Placed`], the sink just written.

use std::fmt;

use riverrun_engine::data::Data;
use riverrun_engine::erased::erase_sink;
use riverrun_engine::graph::{NodeId, NodeKind, Uid};
use riverrun_engine::sink::Sink;

use crate::job::{SharedGraph, Step};
use crate::stream::Stream;

impl<T: Data> Stream<T> {
    /// Writes the records to `sink`. The uid is permanent: what the sink prepared is kept under it.
    #[track_caller]
    pub fn sink<S: Sink<T>>(self, uid: &str, sink: S) -> Placed {
        let kind = NodeKind::Sink(erase_sink::<T, S>(sink));
        let node = self.graph.add(Step::named("sink", uid), kind, &[self.input()]);
        Placed { graph: self.graph, node }
    }
}

/// A sink in its place. It may be dropped: the sink stays.
#[derive(Clone)]
pub struct Placed {
    graph: SharedGraph,
    node: NodeId,
}

impl fmt::Debug for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Placed(node {})", self.node.0)
    }
}

impl Placed {
    /// How many copies of the sink write side by side, 1 to the number of key groups; otherwise as
    /// many as the job has.
    pub fn parallelism(self, n: u32) -> Self {
        self.graph.change(self.node, |node| node.parallelism = Some(n));
        self
    }

    /// The sink was called `uid` before.
    pub fn formerly(self, uid: &str) -> Self {
        self.graph.change(self.node, |node| node.formerly.push(Uid::new(uid)));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::Sketch;
    use futures::future::BoxFuture;
    use riverrun_engine::Result;
    use riverrun_engine::checkpoint::CheckpointId;
    use riverrun_engine::context::TaskContext;
    use riverrun_engine::element::Batch;
    use riverrun_engine::error::GraphError;
    use riverrun_engine::key::KEY_GROUPS;
    use riverrun_engine::sink::SinkWriter;

    struct Drain;

    impl SinkWriter<u64> for Drain {
        type Committable = ();
        async fn write(&mut self, _batch: Batch<u64>) -> Result<()> {
            Ok(())
        }
        fn prepare(&mut self, _checkpoint: CheckpointId) -> BoxFuture<'static, Result<Option<()>>> {
            Box::pin(async { Ok(None) })
        }
    }

    impl Sink<u64> for Drain {
        type Writer = Drain;
        async fn open(&self, _ctx: TaskContext) -> Result<Drain> {
            Ok(Drain)
        }
    }

    #[test]
    fn a_uid_used_twice_names_both_lines_of_the_user() {
        let sketch = Sketch::new();
        let stream = sketch.stream::<u64>();
        let first = line!() + 1;
        stream.clone().sink("out", Drain).parallelism(2).formerly("old");
        stream.sink("out", Drain).parallelism(129);
        let problems = sketch.0.graph().problems(KEY_GROUPS);
        let [GraphError::UidTwice { first: a, second: b, .. }, GraphError::Parallelism { .. }] =
            problems.as_slice()
        else {
            panic!("found {problems:?}")
        };
        assert!(a.file().ends_with("sink.rs") && b.file().ends_with("sink.rs"));
        assert_eq!((a.line(), b.line()), (first, first + 1));
    }
}
