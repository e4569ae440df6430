//! Sinks with their types erased: batches in, committables as bytes out.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::AnyBatch;
use crate::checkpoint::CheckpointId;
use crate::context::TaskContext;
use crate::data::{Data, to_bytes};
use crate::operator::Result;
use crate::outside::{About, Outside};
use crate::rehearsal::Stage;
use crate::sink::{Participant, Rehearsal, Sink, SinkWriter};

/// Ends when a subtask's part of a checkpoint is safe; with the encoded committable, if any.
pub type PrepareFuture = BoxFuture<'static, Result<Option<Vec<u8>>>>;

/// A sink as the runtime sees it.
pub trait ErasedSink: Send + Sync {
    /// What can be said before a run.
    ///
    /// # Errors
    /// The sink's own.
    fn check(&self) -> Result<()>;
    /// What it reaches outside the job.
    fn outside(&self, about: &About) -> Option<Box<dyn Outside>>;
    /// What becomes of its output in a drill.
    fn rehearsal(&self) -> Rehearsal;
    /// Where its output goes in a drill, if that is no folder.
    fn stage(&self, job: &str) -> Option<Box<dyn Stage>>;
    /// A writer for one subtask.
    fn open(&self, ctx: TaskContext) -> BoxFuture<'_, Result<Box<dyn ErasedWriter>>>;
    /// The participant in the commit and its name.
    fn participant(&self, ctx: &TaskContext) -> Option<(String, Box<dyn Participant>)>;
}

/// A sink's writer as the runtime sees it.
pub trait ErasedWriter: Send {
    /// Writes records, waiting while there is no room.
    fn write(&mut self, batch: AnyBatch) -> BoxFuture<'_, Result<()>>;
    /// Cuts at a checkpoint.
    fn prepare(&mut self, checkpoint: CheckpointId) -> PrepareFuture;
}

struct Erased<T, S> {
    sink: S,
    item: std::marker::PhantomData<fn(T)>,
}

/// Erases a sink.
pub fn erase_sink<T: Data, S: Sink<T>>(sink: S) -> Arc<dyn ErasedSink> {
    Arc::new(Erased { sink, item: std::marker::PhantomData })
}

impl<T: Data, S: Sink<T>> ErasedSink for Erased<T, S> {
    fn check(&self) -> Result<()> {
        self.sink.check()
    }
    fn outside(&self, about: &About) -> Option<Box<dyn Outside>> {
        self.sink.outside(about)
    }
    fn rehearsal(&self) -> Rehearsal {
        self.sink.rehearsal()
    }
    fn stage(&self, job: &str) -> Option<Box<dyn Stage>> {
        self.sink.stage(job)
    }
    fn open(&self, ctx: TaskContext) -> BoxFuture<'_, Result<Box<dyn ErasedWriter>>> {
        Box::pin(async move {
            let writer = self.sink.open(ctx).await?;
            let writer = TypedWriter { writer, item: std::marker::PhantomData };
            Ok(Box::new(writer) as Box<dyn ErasedWriter>)
        })
    }
    fn participant(&self, ctx: &TaskContext) -> Option<(String, Box<dyn Participant>)> {
        self.sink.participant(ctx)
    }
}

struct TypedWriter<T, W> {
    writer: W,
    item: std::marker::PhantomData<fn(T)>,
}

impl<T: Data, W: SinkWriter<T>> ErasedWriter for TypedWriter<T, W> {
    fn write(&mut self, batch: AnyBatch) -> BoxFuture<'_, Result<()>> {
        match batch.expect::<T>() {
            Ok(batch) => Box::pin(self.writer.write(batch)),
            Err(e) => Box::pin(async { Err(e) }),
        }
    }

    fn prepare(&mut self, checkpoint: CheckpointId) -> PrepareFuture {
        let prepared = self.writer.prepare(checkpoint);
        Box::pin(async move { prepared.await?.as_ref().map(to_bytes).transpose() })
    }
}
