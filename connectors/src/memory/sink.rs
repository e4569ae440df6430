//! Keeps what a job wrote, for tests to look at: exactly once, as a real sink would.
//!
//! A writer buffers; `prepare` hands its items over as the committable; the commit makes them
//! visible. Invariant: a part (sink, checkpoint, subtask) becomes visible at most once, however
//! often its commit is told.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use riverrun_engine::Result;
use riverrun_engine::checkpoint::{CheckpointId, CheckpointName, Prepared};
use riverrun_engine::context::TaskContext;
use riverrun_engine::data::{Data, from_bytes};
use riverrun_engine::element::Batch;
use riverrun_engine::graph::Uid;
use riverrun_engine::sink::{Participant, Rehearsal, Role, Sink, SinkWriter};
use serde::{Deserialize, Serialize};

struct Shared<T> {
    items: Vec<T>,
    parts: BTreeSet<(Uid, CheckpointId, u32)>,
    committed: BTreeSet<CheckpointId>,
}

/// What a job wrote to its [`MemorySink`]s. Unbounded: it is for tests.
pub struct MemoryOutput<T> {
    shared: Arc<Mutex<Shared<T>>>,
}

impl<T> Clone for MemoryOutput<T> {
    fn clone(&self) -> Self {
        MemoryOutput { shared: self.shared.clone() }
    }
}

impl<T> Default for MemoryOutput<T> {
    fn default() -> Self {
        let (items, parts, committed) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        MemoryOutput { shared: Arc::new(Mutex::new(Shared { items, parts, committed })) }
    }
}

impl<T> fmt::Debug for MemoryOutput<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryOutput({} items)", self.enter().items.len())
    }
}

impl<T> MemoryOutput<T> {
    fn enter(&self) -> MutexGuard<'_, Shared<T>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Data> MemoryOutput<T> {
    /// Nothing written yet.
    #[must_use]
    pub fn new() -> Self {
        MemoryOutput::default()
    }

    /// A sink that writes here exactly once.
    #[must_use]
    pub fn sink(&self) -> MemorySink<T> {
        MemorySink { output: self.clone(), guarantee: Guarantee::ExactlyOnce }
    }

    /// Everything visible, in the order in which it became so.
    #[must_use]
    pub fn items(&self) -> Vec<T> {
        self.enter().items.clone()
    }

    /// The checkpoints whose commit was told, rising.
    #[must_use]
    pub fn committed(&self) -> Vec<CheckpointId> {
        self.enter().committed.iter().copied().collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guarantee {
    ExactlyOnce,
    AtLeastOnce,
}

/// Writes to a [`MemoryOutput`].
#[derive(Clone)]
pub struct MemorySink<T> {
    output: MemoryOutput<T>,
    guarantee: Guarantee,
}

impl<T> fmt::Debug for MemorySink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemorySink({:?})", self.guarantee)
    }
}

impl<T> MemorySink<T> {
    /// Items are visible at once, and again after a restart.
    #[must_use]
    pub fn at_least_once(mut self) -> Self {
        self.guarantee = Guarantee::AtLeastOnce;
        self
    }
}

impl<T: Data> Sink<T> for MemorySink<T> {
    type Writer = MemoryWriter<T>;

    fn rehearsal(&self) -> Rehearsal {
        Rehearsal::Nothing
    }

    async fn open(&self, _ctx: TaskContext) -> Result<MemoryWriter<T>> {
        let (output, guarantee) = (self.output.clone(), self.guarantee);
        Ok(MemoryWriter { output, guarantee, buffer: Vec::new() })
    }

    fn participant(&self, ctx: &TaskContext) -> Option<(String, Box<dyn Participant>)> {
        let participant = MemoryParticipant { output: self.output.clone() };
        let name = format!("memory:{}", ctx.uid);
        (self.guarantee == Guarantee::ExactlyOnce)
            .then(|| (name, Box::new(participant) as Box<dyn Participant>))
    }
}

/// What one subtask prepared: the items themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPart<T> {
    /// The one it was prepared for; it may be committed with a later one.
    checkpoint: CheckpointId,
    items: Vec<T>,
}

/// Writes the items of one subtask.
pub struct MemoryWriter<T> {
    output: MemoryOutput<T>,
    guarantee: Guarantee,
    buffer: Vec<T>,
}

impl<T: Data> SinkWriter<T> for MemoryWriter<T> {
    type Committable = MemoryPart<T>;

    async fn write(&mut self, batch: Batch<T>) -> Result<()> {
        match self.guarantee {
            Guarantee::ExactlyOnce => self.buffer.extend(batch.items),
            Guarantee::AtLeastOnce => self.output.enter().items.extend(batch.items),
        }
        Ok(())
    }

    fn prepare(
        &mut self,
        checkpoint: CheckpointId,
    ) -> BoxFuture<'static, Result<Option<MemoryPart<T>>>> {
        let items = std::mem::take(&mut self.buffer);
        let part = (!items.is_empty()).then_some(MemoryPart { checkpoint, items });
        Box::pin(async { Ok(part) })
    }
}

/// Makes prepared items visible.
pub struct MemoryParticipant<T> {
    output: MemoryOutput<T>,
}

impl<T: Data> MemoryParticipant<T> {
    fn show(&self, checkpoint: CheckpointId, prepared: Vec<Prepared>) -> Result<()> {
        let mut shared = self.output.enter();
        shared.committed.insert(checkpoint);
        for part in prepared {
            let own = from_bytes::<MemoryPart<T>>(&part.committable)?;
            let MemoryPart { checkpoint, items } = own;
            if shared.parts.insert((part.sink, checkpoint, part.subtask)) {
                shared.items.extend(items);
            }
        }
        Ok(())
    }
}

impl<T: Data> Participant for MemoryParticipant<T> {
    fn role(&self) -> Role {
        Role::Follows
    }

    fn recover(
        &mut self,
        checkpoint: Option<CheckpointName>,
        prepared: Vec<Prepared>,
    ) -> BoxFuture<'_, Result<()>> {
        let shown = checkpoint.map_or(Ok(()), |name| self.show(name.checkpoint, prepared));
        Box::pin(async { shown })
    }

    fn commit(
        &mut self,
        checkpoint: CheckpointId,
        prepared: Vec<Prepared>,
    ) -> BoxFuture<'_, Result<()>> {
        let shown = self.show(checkpoint, prepared);
        Box::pin(async { shown })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Destination, check_sink};

    impl Destination<u64> for MemoryOutput<u64> {
        fn visible(&self) -> Result<Vec<u64>> {
            Ok(self.items())
        }
    }

    #[test]
    fn keeps_the_contract() {
        let fresh = || {
            let output = MemoryOutput::new();
            (output.sink(), output)
        };
        check_sink(fresh, |i| i).expect("exactly once");
        let fresh = || {
            let output = MemoryOutput::new();
            (output.sink().at_least_once(), output)
        };
        check_sink(fresh, |i| i).expect("at least once");
    }
}
