//! The side of the run: what a drill's child does beside what every run does.
//!
//! Called by the command `run`. What it writes is led into the life's folder, under a name of its
//! own ([`lead_into`]). Crash points are armed where `RIVERRUN_CRASH` says so
//! ([`riverrun_engine::crash`]); with `RIVERRUN_DRILL_TALLY` a run that ends says how often it came
//! by each. A run with a scratch folder ends with the drill that started it: it holds the other
//! end of its standard input.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use riverrun_engine::clock;
use riverrun_engine::crash::{self, Action, CrashOrder};
use riverrun_engine::rehearsal::{RUN_PREFIX, Scratch};

use super::disk;
use super::error::DrillError;
use super::fault;
use super::process;
use super::site::{OUTPUT, SLICES};
use crate::config::Config;
use crate::doors;

/// What is to happen at which points.
pub(super) const CRASH: &str = "RIVERRUN_CRASH";
/// Which mistake a build with planted bugs makes.
pub(super) const PLANTED: &str = "RIVERRUN_DRILL_PLANTED";
/// Where to say how often each point was passed.
pub(super) const TALLY: &str = "RIVERRUN_DRILL_TALLY";

/// Leads all that a run writes below `folder`, its checkpoints into `checkpoints` there; `job` is
/// the name that the run gives its job.
///
/// # Errors
/// A name that a job of the user's could have; slices that cannot be read.
pub fn lead_into(
    job: &str,
    folder: &Path,
    checkpoints: &str,
    config: &mut Config,
) -> Result<(), DrillError> {
    if !job.starts_with(RUN_PREFIX) {
        return Err(DrillError::Name { name: job.to_owned() });
    }
    let below = |name: &str| folder.join(name).to_string_lossy().into_owned();
    config.checkpoint.path = below(checkpoints);
    config.spill.dir = below("spill");
    let text = disk::read(&folder.join(SLICES))?;
    let slices = serde_json::from_str(&text).map_err(|error| DrillError::Disk {
        doing: "understand",
        path: folder.join(SLICES),
        source: error.into(),
    })?;
    config.scratch = Some(Arc::new(Scratch { folder: folder.join(OUTPUT), slices }));
    Ok(())
}

/// Arms the crash points of this process, if its environment says so.
///
/// # Errors
/// Orders that are none.
pub fn arm() -> Result<(), DrillError> {
    let orders = std::env::var(CRASH).ok();
    if orders.is_none() && tally_file().is_none() {
        return Ok(());
    }
    let orders = CrashOrder::parse_all(&orders.unwrap_or_default())?;
    crash::arm(orders, act);
    Ok(())
}

fn act(action: Action) {
    let told = fault::told(action);
    if !told.is_empty() {
        tracing::warn!("{told}");
    }
    match action {
        Action::Kill => process::kill_this(),
        Action::Stop => process::stop_this(),
        Action::Sleep { ms } => doors::pause(Duration::from_millis(ms)),
        Action::Clock { ms } => clock::jump(ms),
        Action::Crowd { threads } => (0..threads).for_each(|_| crowd()),
        // Said to the point itself.
        Action::Error => {}
    }
}

/// A thread of somebody else's: wants a CPU until the process is over.
fn crowd() {
    drop(doors::spawn_thread("crowd", || {
        loop {
            std::hint::spin_loop();
        }
    }));
}

fn tally_file() -> Option<PathBuf> {
    std::env::var_os(TALLY).map(PathBuf::from)
}

/// The run is over: says how often it came by each point, if a drill wants to know.
///
/// # Errors
/// When that cannot be written.
pub fn tell() -> Result<(), DrillError> {
    let Some(file) = tally_file() else { return Ok(()) };
    let passings: BTreeMap<_, _> = crash::passings().into_iter().collect();
    let text = serde_json::to_string(&passings).unwrap_or_else(|_| "{}".to_owned());
    disk::write(&file, &text)
}

/// Ends this process when the drill that started it is gone.
pub fn end_with_the_drill() {
    drop(doors::spawn_thread("drill", || {
        let mut nothing = Vec::new();
        drop(std::io::stdin().read_to_end(&mut nothing));
        process::kill_this();
    }));
}
