//! Bugs planted on purpose, one at a time, and the drill that must catch each.
//!
//! They stand in [`super::bugs`]. The jobs are built with all of them; a drill whose environment
//! names one makes it in its disturbed runs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use xtask::say::{Progress, spoken};

use super::bugs::{BUGS, Job, Planted};
use super::jobs::{self, Built};
use crate::cargo;
use crate::tools::{self, Tool};

/// Lives are lived until one is not as it should be, or so many runs were killed.
const KILLS: &str = "24";

/// Proves that the drills catch every planted bug of the jobs `of` whose name begins with `only`.
pub(super) fn run(only: Option<&str>, of: &[Job]) -> Result<bool> {
    let progress = Progress::start();
    let folder = cargo::target().join("drill-planted");
    let wanted = |bug: &&Planted| {
        of.contains(&bug.job) && only.is_none_or(|only| bug.name.starts_with(only))
    };
    let bugs: Vec<&Planted> = BUGS.iter().filter(wanted).collect();
    let needs: Vec<Tool> = bugs.iter().flat_map(|bug| jobs::needs(bug.job)).copied().collect();
    tools::ensure(&needs, &progress)?;
    let mut built: BTreeMap<Job, Built> = BTreeMap::new();
    let mut missed = Vec::new();
    for bug in &bugs {
        let built = match built.entry(bug.job) {
            Entry::Occupied(built) => built.into_mut(),
            Entry::Vacant(place) => {
                progress.say("building a job with the planted bugs");
                place.insert(Built::new(bug.job, true, &folder)?)
            }
        };
        match caught(bug, built)? {
            Some(by) => progress.say(&format!("caught  {}: {}; {by}", bug.name, bug.what)),
            None => {
                progress.say(&format!("MISSED  {}: {}", bug.name, bug.what));
                missed.push(bug.name);
            }
        }
    }
    let caught = bugs.len() - missed.len();
    println!("planted bugs caught: {caught} of {}, in {}", bugs.len(), spoken(progress.elapsed()));
    if !missed.is_empty() {
        println!("not caught, so a hole in the drills: {}", missed.join(", "));
    }
    Ok(missed.is_empty())
}

/// By which check the drill caught the bug, if it did.
fn caught(bug: &Planted, built: &Built) -> Result<Option<String>> {
    let mut drill = built.drill();
    drill.args(bug.drill.split_whitespace()).args(["--first", "--seed", "1", "--kills", KILLS]);
    drill.env("RIVERRUN_DRILL_PLANTED", bug.name).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = drill.output().context("the drill does not start")?;
    let said = || {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("the drill of {} ended with {}: {said}", bug.name, output.status)
    };
    match output.status.code() {
        Some(0) => Ok(None),
        Some(1) => Ok(Some(checks(&built.reported().with_context(said)?))),
        _ => bail!("{}", said()),
    }
}

/// The checks that saw something, with what they counted.
fn checks(report: &Value) -> String {
    let counted = |check: &str| report[check].as_u64().unwrap_or_default();
    let names = ["lost", "doubled", "changed", "reordered"];
    let mut seen: Vec<String> = names
        .iter()
        .filter(|check| counted(check) > 0)
        .map(|check| format!("{check} {}", counted(check)))
        .collect();
    if let Some(failed) = report["findings"][0]["failed"].as_str() {
        let last = failed.lines().last().unwrap_or_default();
        seen.push(format!("a run failed: {}", last.chars().take(120).collect::<String>()));
    }
    seen.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checks_that_saw_something_are_named() {
        let report = serde_json::json!({
            "lost": 2, "doubled": 0, "changed": 1, "findings": [{"failed": "a\nb"}]
        });
        assert_eq!(checks(&report), "lost 2, changed 1, a run failed: b");
    }
}
