//! Long drills of the drill job, and the figures they leave: one line a run in
//! `tests/drills.jsonl`, one row in `tests/DRILLS.md`. Only what a run really did is written.
//!
//! A run is a drill of some minutes with a seed of its own. First a calm one, for the one point at
//! which busy jobs never are: squashed deltas. Then in turn: kills at all points; and these, kills
//! at random, zombies, full and slow disks, clocks that jump, lazy restores. Each of these at every
//! parallelism from 1 to 6 after every other; on Kafka the broker dies too, and some lives are
//! judged by Kafka's own consumer besides. Each is written when it has ended.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use xtask::say::Progress;

use super::bugs::Job;
use super::faults::{self, Beside, Faults};
use super::jobs::{self, Built};
use crate::cargo;
use crate::tools;

/// How long one run of a campaign goes on, at most.
const RUN: Duration = Duration::from_secs(20 * 60);
/// Runs of a life that are disturbed, and how long a run would take undisturbed: so much must find
/// room in it.
const DEATHS: &str = "6";
const STRETCH: &str = "4s";
/// Of so many lives Kafka's own consumer judges one; the drill itself compares them all.
const JUDGE_EVERY: u64 = 3;
/// However little state there is, it is read on demand.
const LAZILY: [&str; 2] = ["--conf", "checkpoint.lazy_from=0B"];
/// Parallelisms: each after each other.
const MOST: u32 = 6;
/// What `tests/DRILLS.md` begins with.
const HEAD: &str = "# Drills

Figures of real runs of `cargo xtask drill --campaign HOURS`: of the drill job, killed, restored and
compared with an undisturbed run; on Kafka the broker is killed as well, and of some lives Kafka's
own consumer says the same. A row is one run; everything of it stands in `drills.jsonl`.

| commit | target | kills | points (fewest kills) | zombies | broker kills (past timeout) | \
rescale pairs | seed | lost | doubled | changed | reordered | failed | lives | minutes |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// A calm run: how often it is killed, and how long it goes on undisturbed.
const CALM: [&str; 10] = [
    "--points",
    "merge.squashed",
    "--kills",
    "10",
    "--rescale",
    "1",
    "--deaths",
    DEATHS,
    "--stretch",
    "30s",
];

/// What a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Calm,
    Points,
    All,
}

impl Turn {
    fn next(self) -> Turn {
        if self == Turn::Points { Turn::All } else { Turn::Points }
    }
}

/// Drills `job` for so many hours.
pub(super) fn run(hours: f64, job: Job, target: &str) -> Result<bool> {
    let commit = commit()?;
    tools::ensure(jobs::needs(job), &Progress::start())?;
    let mut built = Built::new(job, false, &cargo::target().join("drill-campaign"))?;
    // The hours are those of the runs.
    let progress = Progress::start();
    let whole = Duration::try_from_secs_f64(hours * 3600.0).context("so many hours are none")?;
    let (mut exact, mut turn) = (true, Turn::Calm);
    while progress.elapsed() < whole {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?.as_secs();
        let length = RUN.min(whole.saturating_sub(progress.elapsed())).max(Duration::from_secs(1));
        progress.say(&format!("a run of {} s, seed {seed}", length.as_secs()));
        let (report, faults) = one(&mut built, seed % 1_000_000, (length, turn), &progress)?;
        turn = turn.next();
        let line = line(&commit, target, &report, faults);
        append(&cargo::root().join("tests"), &line)?;
        exact &= clean(&line);
        println!("{line}");
    }
    Ok(exact)
}

/// One run: its report, and what was done to the broker.
fn one(
    built: &mut Built,
    seed: u64,
    (length, turn): (Duration, Turn),
    progress: &Progress,
) -> Result<(Value, Faults)> {
    let mut drill = built.drill();
    let pairs: Vec<String> = each_after_each(MOST).iter().map(u32::to_string).collect();
    match turn {
        Turn::Calm => drill.args(CALM).args(built.calm()?),
        Turn::Points => drill.args(["--points", "all"]),
        Turn::All => {
            drill.args(["--points", "all", "--random", "--zombie", "--faults"]).args(LAZILY)
        }
    };
    if turn != Turn::Calm {
        drill.args(["--rescale", &pairs.join(","), "--deaths", DEATHS, "--stretch", STRETCH]);
        drill.args(["--duration", &format!("{}s", length.as_secs())]);
    }
    drill.args(["--limit", "5m", "--seed", &seed.to_string()]).stdout(Stdio::null());
    let (code, faults) = match built.broker {
        // What a calm job writes is not what the verifier expects of the whole one.
        Some(_) if turn != Turn::Calm => {
            let beside = Beside { seed, disturbs: true, judge_every: JUDGE_EVERY };
            faults::run(built, drill, beside, progress)?
        }
        _ => (drill.status().context("the drill does not start")?.code(), Faults::default()),
    };
    match code {
        Some(0 | 1) => Ok((built.reported()?, faults)),
        code => bail!("the drill said nothing about the job (exit code {code:?})"),
    }
}

/// Numbers from 1 to `most` in an order in which each stands once behind each (read in a ring).
fn each_after_each(most: u32) -> Vec<u32> {
    (1..=most)
        .flat_map(|a| std::iter::once(a).chain((a + 1..=most).flat_map(move |b| [a, b])))
        .collect()
}

/// What is known of the sources that are drilled.
fn commit() -> Result<String> {
    let git = |words: &[&str]| {
        let said = Command::new("git").args(words).current_dir(cargo::root()).output();
        said.context("git cannot be started")
            .map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let (commit, changed) = (git(&["rev-parse", "--short=10", "HEAD"])?, git(&["status", "-s"])?);
    let sources = changed.lines().any(|line| !line.contains("tests/"));
    Ok(if sources { format!("{commit}+changes") } else { commit })
}

/// A run as it is kept.
fn line(commit: &str, target: &str, report: &Value, faults: Faults) -> Value {
    json!({
        "commit": commit,
        "target": target,
        "kills": report["kills"],
        "points": report["points"],
        "zombies": report["zombies"],
        "broker_kills": faults.kills,
        "broker_kills_past_timeout": faults.past_timeout,
        "rescale_pairs": report["rescale_pairs"],
        "seeds": 1,
        "seed": report["seed"],
        "lost": report["lost"],
        "doubled": report["doubled"],
        "changed": report["changed"],
        "reordered": report["reordered"],
        "failed": report["failed"],
        "lives": report["lives"],
        "judged": faults.judged,
        "random_kills": report["random_kills"],
        "errors": report["errors"],
        "faults": report["faults"],
        "recovery": report["recovery"],
        "seconds": report["seconds"],
        "findings": findings(report),
    })
}

/// What was found, without the paths of the machine: commit, seed and life find it again.
fn findings(report: &Value) -> Vec<Value> {
    let kept = ["life", "told", "failed", "difference"];
    let of = |finding: &Value| kept.iter().map(|key| (*key, finding[*key].clone())).collect();
    report["findings"].as_array().into_iter().flatten().map(of).collect()
}

/// Whether nothing was found.
fn clean(line: &Value) -> bool {
    ["lost", "doubled", "changed", "reordered", "failed"].iter().all(|what| line[*what] == 0)
}

fn row(line: &Value) -> String {
    let points = line["points"].as_object();
    let fewest = points.and_then(|points| points.values().filter_map(Value::as_u64).min());
    let cells = [
        line["commit"].as_str().unwrap_or_default().to_owned(),
        line["target"].as_str().unwrap_or_default().to_owned(),
        line["kills"].to_string(),
        format!("{} ({})", points.map_or(0, serde_json::Map::len), fewest.unwrap_or(0)),
        line["zombies"].to_string(),
        format!("{} ({})", line["broker_kills"], line["broker_kills_past_timeout"]),
        line["rescale_pairs"].as_array().map_or(0, Vec::len).to_string(),
        line["seed"].to_string(),
        line["lost"].to_string(),
        line["doubled"].to_string(),
        line["changed"].to_string(),
        line["reordered"].to_string(),
        line["failed"].to_string(),
        line["lives"].to_string(),
        line["seconds"].as_u64().unwrap_or(0).div_ceil(60).to_string(),
    ];
    format!("| {} |\n", cells.join(" | "))
}

/// Writes one run behind the others in `folder`.
fn append(folder: &Path, line: &Value) -> Result<()> {
    let add = |name: &str, text: &str| -> Result<()> {
        let path = folder.join(name);
        let file = OpenOptions::new().append(true).create(true).open(&path);
        let mut file = file.with_context(|| format!("cannot open {}", path.display()))?;
        file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
    };
    add("drills.jsonl", &format!("{line}\n"))?;
    if !folder.join("DRILLS.md").exists() {
        add("DRILLS.md", HEAD)?;
    }
    add("DRILLS.md", &row(line))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_parallelism_comes_after_every_other() {
        let ring = each_after_each(6);
        assert_eq!(ring.len(), 36);
        let next = ring.iter().cycle().skip(1);
        let pairs: BTreeSet<_> = ring.iter().zip(next).collect();
        assert_eq!(pairs.len(), 36);
    }

    #[test]
    fn a_run_is_written_behind_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let report = json!({
            "kills": 7, "points": {"a.b": 3, "c.d": 2}, "zombies": 1, "seed": 9, "lost": 0,
            "rescale_pairs": [[1, 2], [2, 1]], "doubled": 0, "changed": 0, "reordered": 0,
            "failed": 0, "lives": 4, "seconds": 61,
            "findings": [{"life": 3, "told": "killed", "failed": null, "kept": "x"}]
        });
        let faults = Faults { kills: 2, past_timeout: 1, judged: 4 };
        let line = line("abc", "kafka", &report, faults);
        assert!(clean(&line));
        for _ in 0..2 {
            append(folder.path(), &line).expect("writes");
        }
        let text = std::fs::read_to_string(folder.path().join("DRILLS.md")).expect("is there");
        let row = "| abc | kafka | 7 | 2 (2) | 1 | 2 (1) | 2 | 9 | 0 | 0 | 0 | 0 | 0 | 4 | 2 |\n";
        assert!(text.ends_with(&format!("{row}{row}")) && text.starts_with("# Drills"), "{text}");
        let lines = std::fs::read_to_string(folder.path().join("drills.jsonl")).expect("is there");
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.contains(r#""life":3"#) && !lines.contains("kept"), "{lines}");
    }
}
