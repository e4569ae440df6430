//! Bugs planted on purpose, one at a time, and the drill that must catch each.
//!
//! Taken from what went wrong in other engines. Each is a line or two behind `planted!` in the
//! sources, compiled in only with the feature `planted` of the engine, made only by the disturbed
//! runs of a drill whose environment names it. Invariant: this table and the sources name the same
//! bugs; the test below reads both.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use xtask::say::{Progress, spoken};

use crate::cargo;

/// A planted bug.
struct Planted {
    name: &'static str,
    /// What goes wrong.
    what: &'static str,
    /// The job that comes by it.
    job: &'static str,
    /// The drill that must catch it.
    drill: &'static str,
}

const fn bug(
    name: &'static str,
    what: &'static str,
    job: &'static str,
    drill: &'static str,
) -> Planted {
    Planted { name, what, job, drill }
}

const DRILL: &str = "drill_job";

/// Lives are lived until one is not as it should be, or so many runs were killed.
const KILLS: &str = "24";

/// All of them.
#[rustfmt::skip]
static BUGS: [Planted; 34] = [
    bug("commit.before.stored", "output becomes visible before its checkpoint is complete",
        DRILL, "--points checkpoint.delta.synced,checkpoint.prepared"),
    bug("commit.not.repeated", "a restored checkpoint's output is not committed again",
        DRILL, "--points checkpoint.manifest.written"),
    bug("commit.one.part", "only the first subtask's files are committed",
        DRILL, "--points commit.told"),
    bug("commit.at.end.skipped", "the last checkpoint's output is not committed",
        DRILL, "--points checkpoint.cut"),
    bug("commit.failed.forgotten", "what a failed checkpoint had prepared is forgotten",
        DRILL, "--points storage.write"),
    bug("delta.failed.forgotten", "what a failed checkpoint had cut is forgotten",
        DRILL, "--points storage.write"),
    bug("segment.unwritten", "a manifest names a segment that was never written",
        DRILL, "--points checkpoint.manifest.written"),
    bug("clean.named.removed", "cleaning removes segments that manifests name",
        DRILL, "--points clean.done"),
    bug("merge.upto.ahead", "a run claims changes it does not hold",
        DRILL, "--points clean.done,merge.named --stretch 3s"),
    bug("squash.removal.lost", "a squash forgets removals",
        DRILL, "--set calm=true --random --stretch 12s --rescale 1"),
    bug("choose.older", "an older checkpoint is restored than the newest",
        DRILL, "--points commit.told"),
    bug("choose.nothing", "a run begins anew beside its checkpoints",
        DRILL, "--points commit.told"),
    bug("restore.last.group.lost", "a subtask does not restore its last key group",
        DRILL, "--points commit.told"),
    bug("operator.watermark.reset", "a restored operator's watermark begins anew",
        DRILL, "--points commit.told"),
    bug("operator.watermark.ahead", "a restored operator's watermark is ahead",
        DRILL, "--points commit.told"),
    bug("split.clock.ahead", "a restored split's clock is ahead",
        DRILL, "--points commit.told"),
    bug("window.cursor.reset", "windows forget which of them have fired",
        DRILL, "--points commit.told"),
    bug("splits.read.twice", "restored splits belong to several subtasks",
        DRILL, "--points commit.told"),
    bug("splits.short.list", "a restored split belongs to nobody",
        DRILL, "--points commit.told"),
    bug("offset.before.last", "the offset saved is the last record's, not the next",
        DRILL, "--points commit.told"),
    bug("offset.of.chunk", "the offset saved is that of what is buffered",
        DRILL, "--points commit.told"),
    bug("gate.unaligned", "records behind a barrier get in before it",
        DRILL, "--points commit.told"),
    bug("emitter.behind.barrier", "records that wait are sent behind the barrier",
        DRILL, "--points commit.told"),
    bug("state.change.unlisted", "a changed entry is in no delta",
        DRILL, "--points commit.told"),
    bug("state.removal.unlogged", "a removed entry comes back",
        DRILL, "--points commit.told"),
    bug("state.touched.while.written", "an entry that changes while it is written is missed",
        DRILL, "--points commit.told --interval 300ms --stretch 2s --rescale 1"),
    bug("timer.fired.kept", "timers that fired come back",
        DRILL, "--points commit.told"),
    bug("timer.unordered", "restored timers never fire",
        DRILL, "--points commit.told"),
    bug("session.late.ends.batch", "a late record drops the rest of its batch",
        "click_sessions", "--points commit.told"),
    bug("session.merge.lost", "sessions that become one lose the later one's value",
        DRILL, "--points commit.told"),
    bug("stop.ends.input", "a stop fires windows as the end would",
        DRILL, "--points stop.committed,stop.stored"),
    bug("lock.ignored", "two runs share their checkpoints",
        DRILL, "--zombie --points checkpoint.cut,commit.told"),
    bug("sink.buffer.kept", "what a sink holds back at a barrier belongs to the next",
        DRILL, "--points commit.told"),
    bug("sink.left_over.shown", "what a dead attempt left becomes visible",
        DRILL, "--points file.created,file.synced"),
];

/// Proves that the drills catch every planted bug whose name begins with `only`.
pub(super) fn run(only: Option<&str>) -> Result<bool> {
    let progress = Progress::start();
    progress.say("building the jobs with the planted bugs");
    let folder = cargo::target().join("drill-planted");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).context("the folder of an earlier drill stays")?;
    }
    std::fs::create_dir_all(&folder).context("no folder for the drills")?;
    let bugs: Vec<&Planted> =
        BUGS.iter().filter(|bug| only.is_none_or(|only| bug.name.starts_with(only))).collect();
    let (drill, clicks) = (build("drill_job")?, build("click_sessions")?);
    let filled = Command::new(&drill).arg("fill").arg(folder.join("input")).status();
    if !filled.context("the drill job does not start")?.success() {
        bail!("the drill job's input cannot be written");
    }
    let mut missed = Vec::new();
    for bug in &bugs {
        let job = if bug.job == DRILL { &drill } else { &clicks };
        match caught(bug, job, &folder)? {
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

fn build(name: &str) -> Result<PathBuf> {
    let words = ["build", "--no-default-features", "--features", "riverrun-engine/planted"];
    let built = cargo::command(&words).args(["--example", name]).status();
    if !built.context("cargo could not be started")?.success() {
        bail!("`{name}` does not build with planted bugs; cargo's words are above");
    }
    Ok(cargo::target().join("debug/examples").join(name))
}

/// By which check the drill caught the bug, if it did.
fn caught(bug: &Planted, job: &Path, folder: &Path) -> Result<Option<String>> {
    let report = folder.join("report.json");
    drop(std::fs::remove_file(&report));
    let mut drill = Command::new(job);
    drill.arg("drill").args(bug.drill.split_whitespace());
    drill.args(["--first", "--seed", "1", "--kills", KILLS, "--json"]).arg(&report);
    drill.arg("--scratch").arg(folder.join("scratch")).current_dir(folder);
    match bug.job {
        DRILL => drill.args(["--set", "input=input"]),
        _ => drill.args(["--set", "events=60000"]),
    };
    drill.env("RIVERRUN_DRILL_PLANTED", bug.name).stdout(Stdio::null()).stderr(Stdio::null());
    let status = drill.status().context("the drill does not start")?;
    let Some(1) = status.code() else {
        return if status.success() { Ok(None) } else { bail!("the drill failed: {status}") };
    };
    let text = std::fs::read_to_string(&report).context("the drill left no report")?;
    let report: Value = serde_json::from_str(&text).context("the report is no JSON")?;
    Ok(Some(checks(&report)))
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
    use std::collections::BTreeSet;

    use super::*;

    fn planted_in(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                planted_in(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("text");
                let names =
                    text.split("planted!(\"").skip(1).filter_map(|rest| rest.split('"').next());
                found.extend(names.map(str::to_owned));
            }
        }
    }

    #[test]
    fn table_and_sources_name_the_same_bugs() {
        let mut placed = BTreeSet::new();
        for member in ["engine", "operators", "connectors", "runtime"] {
            planted_in(&cargo::root().join(member).join("src"), &mut placed);
        }
        let listed: BTreeSet<String> = BUGS.iter().map(|bug| bug.name.to_owned()).collect();
        assert_eq!(listed.len(), BUGS.len(), "no name is used twice");
        assert_eq!(listed, placed);
        assert!(listed.len() >= 30);
    }

    #[test]
    fn the_checks_that_saw_something_are_named() {
        let report = serde_json::json!({
            "lost": 2, "doubled": 0, "changed": 1, "findings": [{"failed": "a\nb"}]
        });
        assert_eq!(checks(&report), "lost 2, changed 1, a run failed: b");
    }
}
