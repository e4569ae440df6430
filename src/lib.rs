#![doc = include_str!("../README.md")]
//!
//! # The crates
//!
//! This facade joins four: [`engine`] (the contracts), [`operators`] (the language), [`connectors`]
//! (sources and sinks) and [`runtime`] (executor, checkpoints, command line). A job needs only the
//! [`prelude`] and [`main`].

pub mod prelude;

use std::process::ExitCode;

pub use riverrun_connectors as connectors;
pub use riverrun_engine as engine;
pub use riverrun_operators as operators;
pub use riverrun_runtime as runtime;

use riverrun_operators::Job;

/// What user code returns: any error, with context.
pub type Result<T, E = anyhow::Error> = std::result::Result<T, E>;

/// The main function of a job binary: gives it the commands `run`, `check`, `graph`, `checkpoint`,
/// `savepoint`, `stop` and `config`. `name` is the job's for good: its checkpoints carry it.
pub fn main(name: &str, pipeline: impl Fn(&Job) -> Result<()>) -> ExitCode {
    runtime::cli::main(name, &|settings| {
        let job = Job::new(settings.clone());
        pipeline(&job)?;
        Ok(job.into_graph())
    })
}
