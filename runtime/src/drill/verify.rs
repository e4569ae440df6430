//! The user's own check of what a life wrote: a command that is run beside the comparison, for
//! what no comparison with another run of the same binary can see.

use std::process::{Command, Stdio};

use super::error::DrillError;
use super::site::Site;

/// How much of what it said is told.
const SAID_LINES: usize = 8;

/// Runs `command` with the folder of the life and the name of its job behind its own words; what it
/// said if it failed.
///
/// # Errors
/// A command that cannot be started.
pub(super) fn verify(command: &str, site: &Site) -> Result<Option<String>, DrillError> {
    let mut words = command.split_whitespace();
    let failed = |reason: String| DrillError::Verify { command: command.to_owned(), reason };
    let program = words.next().ok_or_else(|| failed("it names no program".to_owned()))?;
    let mut check = Command::new(program);
    check.args(words).arg(site.folder()).arg(site.job()).stdin(Stdio::null());
    let ended = check.output().map_err(|error| failed(error.to_string()))?;
    if ended.status.success() {
        return Ok(None);
    }
    let said = [ended.stderr, ended.stdout].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(SAID_LINES)..].join("\n");
    Ok(Some(format!("`--verify` says no ({}): {last}", ended.status)))
}
