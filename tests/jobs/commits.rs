//! Between the manifest and the commit: what was decided is committed in the end, also when the
//! last checkpoint was the job's very last. A panic that no step can be blamed for ends the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use riverrun::connectors::memory::{MemoryOutput, MemorySink, MemorySource};
use riverrun::engine::checkpoint::{CheckpointId, CheckpointName, Prepared};
use riverrun::engine::context::TaskContext;
use riverrun::engine::sink::{Participant, Role, Sink};
use riverrun::prelude::*;
use riverrun::runtime::run::Outcome;

use crate::world::World;

/// A sink whose first commit fails after the decision.
struct FailsOnce {
    sink: MemorySink<u64>,
    failed: Arc<AtomicBool>,
}

struct FailsOnceParticipant {
    inner: Box<dyn Participant>,
    failed: Arc<AtomicBool>,
}

impl Sink<u64> for FailsOnce {
    type Writer = <MemorySink<u64> as Sink<u64>>::Writer;

    fn open(&self, ctx: TaskContext) -> impl Future<Output = Result<Self::Writer>> + Send {
        self.sink.open(ctx)
    }

    fn participant(&self, ctx: &TaskContext) -> Option<(String, Box<dyn Participant>)> {
        let (name, inner) = self.sink.participant(ctx)?;
        let failed = self.failed.clone();
        Some((name, Box::new(FailsOnceParticipant { inner, failed })))
    }
}

impl Participant for FailsOnceParticipant {
    fn role(&self) -> Role {
        self.inner.role()
    }

    fn recover(
        &mut self,
        checkpoint: Option<CheckpointName>,
        prepared: Vec<Prepared>,
    ) -> BoxFuture<'_, Result<()>> {
        self.inner.recover(checkpoint, prepared)
    }

    fn commit(
        &mut self,
        checkpoint: CheckpointId,
        prepared: Vec<Prepared>,
    ) -> BoxFuture<'_, Result<()>> {
        if !self.failed.swap(true, Ordering::SeqCst) {
            return Box::pin(async { anyhow::bail!("the commit did not get through") });
        }
        self.inner.commit(checkpoint, prepared)
    }
}

#[test]
fn the_last_output_is_committed_after_a_failed_commit() {
    for interval in [Duration::ZERO, Duration::from_millis(20)] {
        let (mut world, output) = (World::new(), MemoryOutput::new());
        world.config.checkpoint.interval = interval;
        let failed = Arc::new(AtomicBool::new(false));
        let ended = world.run(|job| {
            let source = MemorySource::new(vec![(0..500).collect()]);
            let sink = FailsOnce { sink: output.sink(), failed: failed.clone() };
            job.source("numbers", source).map(|n| n + 1).sink("out", sink);
        });
        assert!(matches!(ended, Ok(Outcome::Ended { .. } | Outcome::AlreadyEnded { .. })));
        assert!(failed.load(Ordering::SeqCst));
        let mut items = output.items();
        items.sort_unstable();
        assert_eq!(items, (1..=500).collect::<Vec<u64>>());
    }
}

#[derive(Serialize, Deserialize)]
struct Unclonable(u64);

impl Clone for Unclonable {
    fn clone(&self) -> Self {
        assert!(self.0 != 70, "no copies of {}", self.0);
        Unclonable(self.0)
    }
}

#[test]
fn a_panic_in_a_clone_ends_the_run() {
    let world = World::new();
    let error = world.error(|job| {
        let numbers = job.source("numbers", MemorySource::new(vec![(0..100_u64).collect()]));
        let items = numbers.map(Unclonable);
        items.clone().sink("one", MemoryOutput::new().sink());
        items.sink("two", MemoryOutput::new().sink());
        let (forever, _input) = MemorySource::<u64>::live(1);
        job.source("forever", forever).sink("three", MemoryOutput::new().sink());
    });
    assert!(error.contains("RR0401") && error.contains("no copies of 70"), "{error}");
}
