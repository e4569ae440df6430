//! `savepoint`: an order to the running job. Also how [`super::stop`] gives its order.

use std::time::Duration;

use riverrun_engine::checkpoint::CheckpointId;

use super::error::CliError;
use super::{Context, Exit, out};
use crate::checkpoint::LockInfo;
use crate::config::Config;
use crate::control::{CommandKind, ControlAddress, call};

/// Beyond the checkpoint's own timeout: for the checkpoint under way, and the commit.
const PATIENCE: Duration = Duration::from_secs(30);

/// Has the running job take a savepoint.
pub(super) fn savepoint(context: &Context<'_>) -> Result<Exit, CliError> {
    let config = context.config()?.config;
    let checkpoint = order(&config, CommandKind::Savepoint)?;
    let path = &config.checkpoint.path;
    out::print(&format!(
        "savepoint {checkpoint} in '{path}'; begin from it with `run --from {checkpoint}`\n"
    ))?;
    Ok(Exit::Done)
}

/// Gives an order to the run that holds the checkpoints of `config`, and waits for its answer.
pub(super) fn order(config: &Config, kind: CommandKind) -> Result<CheckpointId, CliError> {
    let path = &config.checkpoint.path;
    let missing = || CliError::NoRun { path: path.clone() };
    let holder = LockInfo::read(path)?.ok_or_else(missing)?;
    let port = holder.control_port.ok_or(CliError::NoDoor { pid: holder.pid })?;
    let address = ControlAddress { port, token: holder.control_token };
    let wait = config.checkpoint.timeout.saturating_mul(2).saturating_add(PATIENCE);
    Ok(call(&address, kind, wait)?)
}
