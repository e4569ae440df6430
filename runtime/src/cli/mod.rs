//! The command line of every job: `run`, `check`, `graph`, `checkpoint`, `state`, `drill`,
//! `savepoint`, `stop`, `config`. Called by the facade's `main`; one file a command.
//!
//! Results go to standard output; what is told beside them, and every error, to standard error.
//! Invariant: the exit code is one of [`Exit`], whatever happens.

mod args;
mod check;
mod checkpoint;
mod config;
mod drill;
mod error;
mod exit;
mod graph;
mod inspect;
mod online;
mod out;
mod run;
mod savepoint;
mod state;
mod stop;
mod stored;
#[cfg(test)]
mod tests;
mod txn;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use riverrun_engine::graph::Graph;

use crate::config::{Config, ConfigSources, Flags, LoadedConfig};
use args::{Arguments, Order};
use error::CliError;
pub use exit::Exit;

/// Writes the graph of a job with these settings.
pub type Build<'a> = &'a dyn Fn(&serde_json::Value) -> anyhow::Result<Graph>;

/// What every command works on.
struct Context<'a> {
    job: &'a str,
    build: Build<'a>,
    flags: Flags,
}

/// Does what the arguments of this process say for the job `job_name`.
#[must_use]
pub fn main(job_name: &str, build: Build<'_>) -> ExitCode {
    main_with(job_name, build, std::env::args_os()).into()
}

/// The same with other arguments, the program's name first.
#[must_use]
pub fn main_with(
    job_name: &str,
    build: Build<'_>,
    arguments: impl IntoIterator<Item = OsString>,
) -> Exit {
    let about = format!("The job '{job_name}': runs it, checks it, shows it, looks after it");
    let parsed = Arguments::command().about(about).try_get_matches_from(arguments);
    let parsed = match parsed.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(parsed) => parsed,
        Err(error) => {
            drop(error.print());
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    let context = Context { job: job_name, build, flags: parsed.flags };
    let done = match parsed.order {
        Order::Run(args) => run::run(&context, &args),
        Order::Check(args) => check::check(&context, &args),
        Order::Graph(args) => graph::graph(&context, &args),
        Order::Checkpoint { order } => checkpoint::checkpoint(&context, &order),
        Order::State { order } => state::state(&context, &order),
        Order::Drill(args) => drill::drill(&context, &args),
        Order::Savepoint => savepoint::savepoint(&context),
        Order::Stop(args) => stop::stop(&context, &args),
        Order::Txn { order } => txn::txn(&context, &order),
        Order::Config { order } => config::config(&context, &order),
    };
    done.unwrap_or_else(|error| {
        out::errors(&error.lines());
        error.exit()
    })
}

impl Context<'_> {
    fn config(&self) -> Result<LoadedConfig, CliError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let begins = self.job.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || self.job.len() > 100 || !self.job.chars().all(plain) {
            return Err(CliError::JobName { job: self.job.to_owned() });
        }
        Ok(Config::load(self.job, &ConfigSources::read(self.flags.clone())?)?)
    }

    fn graph(&self, config: &Config) -> Result<Graph, CliError> {
        (self.build)(&config.settings).map_err(CliError::Pipeline)
    }
}

/// Runs what reads checkpoints.
fn wait_for<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(work)
}
