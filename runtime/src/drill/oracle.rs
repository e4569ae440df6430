//! The undisturbed runs: what must come, whether it can be compared, and how a run passes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::child::{Ended, Program, Start};
use super::compare::{Difference, ordered};
use super::disk;
use super::error::DrillError;
use super::interrupt::Interrupt;
use super::output::{Fields, Output};
use super::site::{Site, Sites};
use crate::doors;

/// How long an undisturbed run may take.
const LIMIT: Duration = Duration::from_secs(600);
/// The longest rest after each batch.
const PACE_MS_MAX: u64 = 250;

/// What undisturbed runs tell.
pub(super) struct Oracle {
    /// What must come.
    pub(super) output: Output,
    /// The sinks for which the order within a key counts.
    pub(super) ordered: BTreeSet<String>,
    /// How often a slowed run comes by each point.
    pub(super) passings: BTreeMap<String, u64>,
    /// How long a slowed run takes.
    pub(super) run_ms: u64,
    /// What slows a run: how long its sources rest after each batch.
    pub(super) pace: Duration,
    /// How long a disturbed run may take before it counts as hung.
    pub(super) limit: Duration,
}

/// One run to its end; how long it took.
fn run(
    program: &Program,
    site: &Site,
    start: &Start<'_>,
    interrupt: &Interrupt,
) -> Result<u64, DrillError> {
    let mut running = program.start(site, 0, start)?;
    let ended = running.wait(LIMIT, interrupt, |_| Ok(()))?;
    let took = doors::monotonic().saturating_sub(running.began);
    match ended {
        Ended::Well => Ok(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        Ended::Hung { after } => Err(DrillError::Endless { after }),
        Ended::Badly { ref said, .. } => {
            Err(DrillError::Undisturbed { ended: ended.told(), said: said.clone() })
        }
        Ended::Killed => {
            Err(DrillError::Undisturbed { ended: "killed".to_owned(), said: String::new() })
        }
    }
}

fn tallied(file: &Path) -> Result<BTreeMap<String, u64>, DrillError> {
    Ok(serde_json::from_str(&disk::read(file)?).unwrap_or_default())
}

/// Runs the job twice: at 1 and, stretched, at `most`. `limit` is how long a run may take, if that
/// is given.
pub(super) fn consult(
    program: &Program,
    sites: &Sites<'_>,
    fields: &Fields,
    (most, stretch): (u32, Duration),
    limit: Option<Duration>,
    interrupt: &Interrupt,
) -> Result<Oracle, DrillError> {
    let mut first = sites.make("oracle")?;
    let tally = sites.folder.join("tally.json");
    let start = Start { parallelism: 1, tally: Some(&tally), honest: true, ..Start::default() };
    let took = run(program, &first, &start, interrupt)?;
    let output = first.read(fields)?;
    if output.len() == 0 {
        return Err(DrillError::Nothing { sinks: sites.rehearsed.unseen.join(", ") });
    }
    first.clear()?;
    let batches = tallied(&tally)?.get("source.batch").copied().unwrap_or(0);
    let stretch_ms = u64::try_from(stretch.as_millis()).unwrap_or(u64::MAX);
    let pace_ms = match batches {
        0 => 0,
        batches => (stretch_ms.saturating_sub(took) / batches).min(PACE_MS_MAX),
    };
    let pace = Duration::from_millis(pace_ms);
    let start = Start { parallelism: most, pace, ..start };
    let mut second = sites.make("undisturbed")?;
    let run_ms = run(program, &second, &start, interrupt)?;
    let again = second.read(fields)?;
    second.clear()?;
    let none = BTreeSet::new();
    let difference = Difference::between(&output, &again, &none, &none);
    if !difference.is_exact() {
        return Err(DrillError::Differs {
            parallelisms: (1, most),
            missing: difference.lost,
            more: difference.doubled + difference.changed,
            first: difference.first.first().cloned().unwrap_or_default(),
        });
    }
    let ordered = ordered(&output, &again);
    let passings = tallied(&tally)?;
    disk::remove_folder(first.folder())?;
    disk::remove_folder(second.folder())?;
    let by_run = Duration::from_millis(20_000 + 20 * run_ms.max(took));
    let limit = limit.unwrap_or(by_run);
    Ok(Oracle { output, ordered, passings, run_ms, pace, limit })
}
