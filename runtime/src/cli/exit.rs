//! [`Exit`]: every exit code of a job, and what it means.

use std::process::ExitCode;

use crate::checkpoint::{LockError, StoreError};
use crate::run::RunError;

/// How a command ended. The codes are part of the interface: scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked for.
    Done,
    /// The job failed for good, or an order was not carried out.
    Failed,
    /// Usage, configuration or settings are wrong.
    Usage,
    /// The job's graph is wrong.
    Graph,
    /// The checkpoint cannot be restored or read.
    Checkpoint,
    /// Another run holds the checkpoints, or the output.
    Held,
    /// What the job reaches is not as it must be.
    Outside,
    /// Ended at once by a second signal.
    Aborted,
}

/// What `--help` says of them.
pub(super) const HELP: &str = "\
Exit codes:
  0    the job ended, or stopped as asked; the command did its work
  1    the job failed and gave up, or an order was not carried out
  2    usage, configuration or settings are wrong
  3    the job's graph is wrong (`check` shows everything)
  4    the checkpoint cannot be restored or read
  5    another run holds the checkpoints, or has taken over the output
  6    topics, rights or limits outside the job are not as it needs them (`check --online`)
  130  ended at once by a second signal, without a last checkpoint";

impl Exit {
    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Graph => 3,
            Exit::Checkpoint => 4,
            Exit::Held => 5,
            Exit::Outside => 6,
            Exit::Aborted => 130,
        }
    }

    /// After a run that ended badly.
    #[must_use]
    pub fn of_run(error: &RunError) -> Self {
        match error {
            RunError::GaveUp { .. } | RunError::StoppedBetween { .. } => Exit::Failed,
            RunError::Sinks(_) => Exit::Graph,
            RunError::Memory(_) => Exit::Usage,
            RunError::Compat(_) | RunError::Restore(_) => Exit::Checkpoint,
            RunError::Store(error) => Exit::of_store(error),
            RunError::Lock(error) => Exit::of_lock(error),
            RunError::Superseded(_) => Exit::Held,
        }
    }

    pub(super) fn of_store(error: &StoreError) -> Self {
        match error {
            StoreError::Path { .. } => Exit::Usage,
            _ => Exit::Checkpoint,
        }
    }

    pub(super) fn of_lock(error: &LockError) -> Self {
        match error {
            LockError::Held { .. } => Exit::Held,
            LockError::Path(error) => Exit::of_store(error),
            _ => Exit::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
