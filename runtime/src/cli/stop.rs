//! `stop`: the running job takes a last checkpoint, commits it and ends.

use super::args::StopArgs;
use super::error::CliError;
use super::savepoint::order;
use super::{Context, Exit, out};
use crate::control::CommandKind;

/// Stops the running job.
pub(super) fn stop(context: &Context<'_>, args: &StopArgs) -> Result<Exit, CliError> {
    let config = context.config()?.config;
    let checkpoint = order(&config, CommandKind::Stop { savepoint: args.savepoint })?;
    let what = if args.savepoint { "savepoint" } else { "checkpoint" };
    out::print(&format!("stopped with {what} {checkpoint}; `run` goes on from there\n"))?;
    Ok(Exit::Done)
}
