//! Where records go, and how they become visible exactly once.
//!
//! A [`SinkWriter`] writes the records of one subtask. A sink that promises exactly-once also has a
//! [`Participant`], one per job (or shared by all sinks of one broker), which takes part in the
//! commit. For each checkpoint N, in this order:
//!
//! 1. each writer gets `prepare(N)` when the barrier reaches it: what it wrote before belongs to N,
//!    what it writes after does not; the returned future ends when N's part is safe but hidden;
//! 2. when all have, each participant gets `prepared(N)`;
//! 3. the snapshot of N is made durable;
//! 4. the decision: the participant that [`Role::Decides`] commits N (a Kafka transaction that
//!    holds
//!    the marker). Without such a participant the manifest of N, once stored, is the decision;
//! 5. every participant that [`Role::Follows`] commits N: idempotent, repeated after a crash.
//!
//! At recovery the deciding participant says which checkpoint holds; that one is restored; then
//! each participant gets `recover(N, what N prepared)` before any record is written: it commits
//! that again, and removes everything of other attempts that no checkpoint named.

use std::future::Future;

use futures::future::BoxFuture;

use thiserror::Error;

use crate::checkpoint::{CheckpointId, CheckpointName, Prepared};
use crate::context::TaskContext;
use crate::data::Data;
use crate::element::Batch;
use crate::operator::Result;
use crate::outside::{About, Outside};
use crate::rehearsal::Stage;

/// Writes the records of one subtask.
pub trait SinkWriter<T: Data>: Send + 'static {
    /// What describes a prepared part to the participant, in this attempt or a later one.
    type Committable: Data;

    /// Writes records, waiting while there is no room.
    ///
    /// # Errors
    /// Ends the attempt. A refused record is an error, never skipped.
    fn write(&mut self, batch: Batch<T>) -> impl Future<Output = Result<()>> + Send;

    /// Cuts: all that was written belongs to `checkpoint`. The future ends when that part will
    /// survive a crash; it may run beside further writes. `None`: there is nothing to commit.
    ///
    /// # Errors
    /// Ends the attempt.
    fn prepare(
        &mut self,
        checkpoint: CheckpointId,
    ) -> BoxFuture<'static, Result<Option<Self::Committable>>>;
}

/// Who decides that a checkpoint holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This participant's own commit is the decision; at most one of a job.
    Decides,
    /// Commits what was decided elsewhere, however often it is told.
    Follows,
}

/// Another run of the job has taken over its output: this run must end, and begin no further
/// attempt, or the two would fence each other for ever.
#[derive(Clone, Debug, Error)]
#[error(
    "RR0404: another run of this job has taken over its output ({0}): this one ends. If that was \
     not meant, look for a second copy of the job, or for another job with its name"
)]
pub struct Superseded(pub String);

/// Takes part in the commit, for all subtasks of its sinks. Called on a thread of its own.
pub trait Participant: Send + 'static {
    /// Whether it decides or follows.
    fn role(&self) -> Role;

    /// Deciding only, before [`Participant::decided`]: what can be seen of the last decision
    /// without fencing anybody, so that a run which could not go on ends no other. The inner
    /// `None`: there was none; the outer: that cannot be told.
    ///
    /// # Errors
    /// When nobody answers.
    fn visible(&mut self) -> BoxFuture<'_, Result<Option<Option<CheckpointName>>>> {
        Box::pin(async { Ok(None) })
    }

    /// Deciding only: fences every earlier attempt, then says which checkpoint was decided last;
    /// `None` when there was none; number 0 when nothing is committed yet.
    ///
    /// # Errors
    /// When that cannot be known for certain; [`Superseded`] when another run of the job has taken
    /// over its output meanwhile.
    fn decided(&mut self) -> BoxFuture<'_, Result<Option<CheckpointName>>> {
        Box::pin(async { Ok(None) })
    }

    /// The job goes on from `checkpoint` (or from the beginning), which prepared this: commits it
    /// again, and removes what earlier attempts left behind.
    ///
    /// # Errors
    /// Ends the attempt before any record is read.
    fn recover(
        &mut self,
        checkpoint: Option<CheckpointName>,
        prepared: Vec<Prepared>,
    ) -> BoxFuture<'_, Result<()>>;

    /// All writers have prepared `checkpoint`.
    ///
    /// # Errors
    /// Ends the attempt.
    fn prepared(
        &mut self,
        checkpoint: CheckpointId,
        prepared: &[Prepared],
    ) -> BoxFuture<'_, Result<()>> {
        let _ = (checkpoint, prepared);
        Box::pin(async { Ok(()) })
    }

    /// Makes `checkpoint` visible. Idempotent. Who decides may take as long as it needs: nobody
    /// else can tell whether it has happened. A subtask may have prepared several parts: what it
    /// prepared for checkpoints that failed since is committed with this one.
    ///
    /// # Errors
    /// Ends the attempt; the recovery will find out what became of it.
    fn commit(
        &mut self,
        checkpoint: CheckpointId,
        prepared: Vec<Prepared>,
    ) -> BoxFuture<'_, Result<()>>;
}

/// What becomes of a sink's output while a drill rehearses crashes of the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rehearsal {
    /// It goes below the folder of [`TaskContext::scratch`], and is compared.
    Scratch,
    /// It goes where [`Sink::stage`] says, under the name of the run's job, and is compared.
    Staged {
        /// Whether records may come again after a crash: then only what is lost or changed tells
        /// anything.
        repeats: bool,
    },
    /// Nothing of it outlives the process, so there is nothing to compare.
    Nothing,
    /// It would go where it belongs: no drill runs a job with such a sink.
    Refused {
        /// Why, and what can be done.
        reason: String,
    },
}

/// Where records go.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not accept `{T}`",
    label = "this sink takes other items",
    note = "`map` the stream to what the sink takes, or use a sink for `{T}`"
)]
pub trait Sink<T: Data>: Send + Sync + 'static {
    /// Its writer.
    type Writer: SinkWriter<T>;

    /// A writer for one subtask.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn open(&self, ctx: TaskContext) -> impl Future<Output = Result<Self::Writer>> + Send;

    /// The participant in the commit and its name; sinks whose participants have one name share the
    /// first. `None`: at least once.
    fn participant(&self, ctx: &TaskContext) -> Option<(String, Box<dyn Participant>)> {
        let _ = ctx;
        None
    }

    /// What can be said before a run.
    ///
    /// # Errors
    /// What `check` shows to the user.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// What it reaches outside the job; `None`: nothing that could be looked at.
    fn outside(&self, about: &About) -> Option<Box<dyn Outside>> {
        let _ = about;
        None
    }

    /// What becomes of its output in a drill. A sink that does not say so is never rehearsed: a
    /// drill must not write where output belongs.
    fn rehearsal(&self) -> Rehearsal {
        let reason = "it does not say where it would write in a drill; a sink of your own says it \
                      by `Sink::rehearsal`";
        Rehearsal::Refused { reason: reason.to_owned() }
    }

    /// Where its output goes in a drill whose runs call the job `job`, if it is
    /// [`Rehearsal::Staged`].
    fn stage(&self, job: &str) -> Option<Box<dyn Stage>> {
        let _ = job;
        None
    }
}
