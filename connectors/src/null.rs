//! A sink that keeps nothing and counts: for benchmarks.
//!
//! Called by the sink task through `engine::sink`. One lock a batch, shared by all subtasks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use riverrun_engine::Result;
use riverrun_engine::checkpoint::CheckpointId;
use riverrun_engine::clock::Clock;
use riverrun_engine::context::TaskContext;
use riverrun_engine::data::Data;
use riverrun_engine::element::Batch;
use riverrun_engine::sink::{Rehearsal, Sink, SinkWriter};

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    records: u64,
    /// On the monotonic clock.
    first: Option<Duration>,
    last: Option<Duration>,
}

/// Counts records; clones share the count.
#[derive(Clone, Debug, Default)]
pub struct Null {
    seen: Arc<Mutex<Seen>>,
}

fn enter(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Null {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Null::default()
    }

    /// How many records came.
    #[must_use]
    pub fn records(&self) -> u64 {
        enter(&self.seen).records
    }

    /// Records a second between the first batch and the last; 0 when they came within one
    /// millisecond.
    #[must_use]
    pub fn records_per_s(&self) -> f64 {
        let seen = *enter(&self.seen);
        match (seen.first, seen.last) {
            (Some(first), Some(last)) if last > first => {
                seen.records as f64 / (last - first).as_secs_f64()
            }
            _ => 0.0,
        }
    }
}

/// The writer of one subtask.
pub struct NullWriter {
    seen: Arc<Mutex<Seen>>,
    clock: Arc<dyn Clock>,
}

impl<T: Data> Sink<T> for Null {
    type Writer = NullWriter;

    fn rehearsal(&self) -> Rehearsal {
        Rehearsal::Nothing
    }

    async fn open(&self, ctx: TaskContext) -> Result<NullWriter> {
        Ok(NullWriter { seen: self.seen.clone(), clock: ctx.clock })
    }
}

impl<T: Data> SinkWriter<T> for NullWriter {
    type Committable = ();

    async fn write(&mut self, batch: Batch<T>) -> Result<()> {
        let now = self.clock.monotonic();
        let mut seen = enter(&self.seen);
        seen.records += batch.len() as u64;
        seen.first.get_or_insert(now);
        seen.last = Some(now);
        Ok(())
    }

    fn prepare(&mut self, _: CheckpointId) -> BoxFuture<'static, Result<Option<()>>> {
        Box::pin(async { Ok(None) })
    }
}

#[cfg(test)]
mod tests {
    use riverrun_engine::time::Timestamp;

    use super::*;
    use crate::testing::{block_on, context};

    #[test]
    fn counts_what_all_subtasks_write() {
        let null = Null::new();
        for subtask in 0..2 {
            let opened = Sink::<u8>::open(&null, context("null", subtask, 2, "a"));
            let mut writer = block_on(opened).expect("opens");
            let mut batch = Batch::default();
            (0..5_u8).for_each(|i| batch.push(i, Timestamp::MIN));
            block_on(writer.write(batch)).expect("writes");
        }
        assert_eq!(null.records(), 10);
    }
}
