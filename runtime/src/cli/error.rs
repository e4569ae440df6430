//! Why a command did not do its work; each error knows its exit code.

use std::io;

use riverrun_engine::compat::CompatError;
use riverrun_engine::error::GraphError;
use riverrun_engine::graph::Uid;
use thiserror::Error;

use super::exit::Exit;
use super::state::StateError;
use crate::checkpoint::{LockError, StoreError};
use crate::config::ConfigError;
use crate::control::ControlError;
use crate::drill::DrillError;
use crate::logs::LogError;
use crate::run::RunError;

/// A command that failed.
#[derive(Debug, Error)]
pub(super) enum CliError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The user's function.
    #[error("RR0330: the pipeline cannot be built: {0:#}")]
    Pipeline(anyhow::Error),
    /// Everything that is wrong with the graph.
    #[error("the graph is wrong")]
    Graph(Vec<GraphError>),
    /// Everything that cannot be restored.
    #[error("the checkpoint does not fit")]
    Compat(Vec<CompatError>),
    /// The run.
    #[error(transparent)]
    Run(Box<RunError>),
    /// The checkpoints.
    #[error(transparent)]
    Store(Box<StoreError>),
    /// The lock.
    #[error(transparent)]
    Lock(Box<LockError>),
    /// An order to a run.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Nobody to give an order to.
    #[error(
        "RR0331: no run holds the checkpoints in '{path}': there is nothing to stop; if the job \
         runs with another `checkpoint.path` or from another folder, give this command the same"
    )]
    NoRun {
        /// Where it was looked for.
        path: String,
    },
    /// A run that takes no orders.
    #[error("RR0332: the run in process {pid} takes no orders: send it SIGTERM to stop it")]
    NoDoor {
        /// Its process.
        pid: u32,
    },
    /// No checkpoint where one is needed.
    #[error("RR0333: there is no checkpoint in '{path}' yet; `run` makes them")]
    NoCheckpoint {
        /// Where it was looked for.
        path: String,
    },
    /// No name of a checkpoint.
    #[error(
        "RR0334: '{text}' names no checkpoint: give a number (`checkpoint ls` shows them), \
         `newest`, or `PATH#NUMBER` for another store"
    )]
    NotACheckpoint {
        /// As given.
        text: String,
    },
    /// Checkpoints that are not whole.
    #[error(
        "RR0335: damaged: checkpoint {checkpoints}; bring the files back, or begin at another with \
         `run --from NUMBER`"
    )]
    Damaged {
        /// Which.
        checkpoints: String,
    },
    /// A look into state.
    #[error(transparent)]
    State(Box<StateError>),
    /// A drill.
    #[error(transparent)]
    Drill(Box<DrillError>),
    /// The control port.
    #[error("RR0336: the run cannot listen for orders on 127.0.0.1: {0}")]
    Door(io::Error),
    /// Standard output.
    #[error("RR0337: the output cannot be written: {0}")]
    Output(#[from] io::Error),
    /// A job that cannot be called so.
    #[error(
        "RR0338: '{job}' cannot name a job, its checkpoints lie under that name: use letters, \
         digits, '-', '_' and '.', at most 100, beginning with a letter or digit"
    )]
    JobName {
        /// The name.
        job: String,
    },
    /// Something outside that the run would fail on.
    #[error(
        "RR0339: outside this job {count} {} not as it must be: see the lines marked FAIL above",
        if *count == 1 { "thing is" } else { "things are" }
    )]
    Outside {
        /// How many things.
        count: usize,
    },
    /// A source or sink that could not ask.
    #[error("RR0340: '{uid}': {error:#}")]
    Asking {
        /// Which.
        uid: Uid,
        /// Why.
        error: anyhow::Error,
    },
    /// A run that would be ended.
    #[error("RR0341: process {pid} runs this job: `stop` it first, then nothing of it is open")]
    Runs {
        /// Its process.
        pid: u32,
    },
    /// The logs.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        CliError::Run(Box::new(error))
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        CliError::Store(Box::new(error))
    }
}

impl From<StateError> for CliError {
    fn from(error: StateError) -> Self {
        CliError::State(Box::new(error))
    }
}

impl From<DrillError> for CliError {
    fn from(error: DrillError) -> Self {
        CliError::Drill(Box::new(error))
    }
}

impl From<LockError> for CliError {
    fn from(error: LockError) -> Self {
        CliError::Lock(Box::new(error))
    }
}

impl CliError {
    /// The exit code.
    pub(super) fn exit(&self) -> Exit {
        match self {
            CliError::Config(_) | CliError::Pipeline(_) | CliError::Log(_) => Exit::Usage,
            CliError::NotACheckpoint { .. } | CliError::JobName { .. } => Exit::Usage,
            CliError::Graph(_) => Exit::Graph,
            CliError::Compat(_) | CliError::NoCheckpoint { .. } => Exit::Checkpoint,
            CliError::Damaged { .. } => Exit::Checkpoint,
            CliError::State(error) => error.exit(),
            CliError::Drill(error) => match **error {
                DrillError::Interrupted => Exit::Aborted,
                _ => Exit::Usage,
            },
            CliError::Run(error) => Exit::of_run(error),
            CliError::Store(error) => Exit::of_store(error),
            CliError::Lock(error) => Exit::of_lock(error),
            CliError::Control(_) | CliError::NoRun { .. } | CliError::NoDoor { .. } => Exit::Failed,
            CliError::Door(_) | CliError::Output(_) | CliError::Asking { .. } => Exit::Failed,
            CliError::Outside { .. } => Exit::Outside,
            CliError::Runs { .. } => Exit::Held,
        }
    }

    /// One text for each thing that is wrong.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            CliError::Graph(errors) => errors.iter().map(ToString::to_string).collect(),
            CliError::Compat(errors) => errors.iter().map(ToString::to_string).collect(),
            CliError::Run(error) => match &**error {
                RunError::Compat(errors) => errors.iter().map(ToString::to_string).collect(),
                error => vec![error.to_string()],
            },
            error => vec![error.to_string()],
        }
    }
}
