//! `cargo xtask bench state`: what state should reach, and beside it what it reaches on this
//! machine. What is measured, and how, stands in `benches/jobs` and `benches/state`.
//!
//! 1. Both benches are built once, with everything a job is delivered with.
//! 2. `benches/jobs` runs the engine beside the hand-written loop; its lines become rows here.
//! 3. `benches/state` prints rows itself, a process for each group.
//!
//! A row that is not met is no failure, and says so; a measurement that breaks off is one.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::cargo;
use crate::say::{Progress, spoken};
use crate::tools;

/// The groups of rows of `benches/state`.
const GROUPS: [&str; 8] =
    ["cut", "checkpoints", "rocksdb", "spilled", "restores", "recovery", "history", "timers"];
/// Runs of `benches/jobs`: keys, milliseconds from checkpoint to checkpoint, events.
const JOBS: [(&str, &str, &str); 2] =
    [("100000", "0,100", "40000000"), ("10000000", "1000,100", "20000000")];

/// What `cargo xtask bench state` can be told.
#[derive(Clone, Copy)]
struct Asked {
    json: bool,
    full: bool,
}

/// Measures and prints all rows; whether every measurement came to its end.
pub(crate) fn run(words: &[String], progress: &Progress) -> Result<bool> {
    let mut asked = Asked { json: false, full: false };
    for word in words {
        match word.as_str() {
            "--json" => asked.json = true,
            "--full" => asked.full = true,
            _ => bail!("bench state {word}: there is --json, and --full for the real sizes"),
        }
    }
    tools::ensure(&tools::ROCKSDB, progress)?;
    progress.say("building benches `jobs` and `state` for speed: RocksDB takes minutes once");
    let words = ["bench", "--package", "riverrun", "--bench", "jobs", "--bench", "state"];
    let built = cargo::command(&words).arg("--no-run").status();
    if !built.context("could not start cargo")?.success() {
        return Ok(false);
    }
    if !asked.json {
        println!("{}", head());
    }
    let mut all = Vec::new();
    let mut whole = true;
    for (keys, checkpoint_ms, events) in JOBS {
        progress.say(&format!("measuring jobs with {keys} keys"));
        let words = ["--work", "running,tumbling", "--parallelism", "2", "--json", "--keys", keys];
        let more = ["--checkpoint-ms", checkpoint_ms, "--events", events];
        let mut lines = Vec::new();
        whole &= lines_of("jobs", &[&words[..], &more].concat(), |line| lines.push(line))?;
        for row in job_rows(&lines) {
            print(&row, asked);
            all.push(row);
        }
    }
    for group in GROUPS {
        progress.say(&format!("measuring {group}"));
        let words = ["rows", group, "--full"];
        let words = if asked.full { &words[..] } else { &words[..2] };
        whole &= lines_of("state", words, |row| {
            print(&row, asked);
            all.push(row);
        })?;
    }
    let with_target = all.iter().filter(|row| row["met"].is_boolean()).count();
    let met = all.iter().filter(|row| row["met"] == true).count();
    let took = spoken(progress.elapsed());
    progress.say(&format!("{met} of {with_target} targets are met; done in {took}"));
    Ok(whole)
}

/// Runs a bench and hands on each JSON line; whether it came to its end.
fn lines_of(bench: &str, words: &[&str], mut each: impl FnMut(Value)) -> Result<bool> {
    let mut command =
        cargo::command(&["bench", "--quiet", "--package", "riverrun", "--bench", bench, "--"]);
    let mut child =
        command.args(words).stdout(Stdio::piped()).spawn().context("could not start cargo")?;
    let output = child.stdout.take().context("the bench has no output")?;
    for line in BufReader::new(output).lines() {
        let line = line.context("the bench's output cannot be read")?;
        if let Ok(value) = serde_json::from_str::<Value>(&line) {
            each(value);
        }
    }
    Ok(child.wait().context("the bench did not end")?.success())
}

/// What the engine should reach of the hand-written loop's speed, where anything is asked of it.
fn job_target(keys: u64, checkpoint_ms: u64) -> Option<f64> {
    match (keys, checkpoint_ms) {
        (_, 0) => None,
        (100_000, _) | (_, 1_000) => Some(0.8),
        _ => Some(0.6),
    }
}

fn row(work: String, line: &Value, value: f64, unit: &str, least: Option<f64>) -> Value {
    json!({
        "work": work,
        "keys": line["keys"],
        "checkpoint_ms": line["checkpoint_ms"],
        "value": value,
        "unit": unit,
        "target": least.map(|least| format!(">= {least}")),
        "met": least.map(|least| value >= least),
    })
}

/// The rows that the lines of `benches/jobs` make: the engine's beside the hand-written loop's, and
/// those with checkpoints beside those without.
fn job_rows(lines: &[Value]) -> Vec<Value> {
    let engine: Vec<&Value> = lines.iter().filter(|line| line["system"] == "engine").collect();
    let ratio = |line: &Value| line["ratio_to_oracle"].as_f64().unwrap_or(0.0);
    let mut rows = Vec::new();
    for line in &engine {
        let work = match line["work"].as_str() {
            Some("running") => "keyed running sum",
            Some("tumbling") => "tumbling count",
            _ => continue,
        };
        let number = |name: &str| line[name].as_u64().unwrap_or(0);
        let least = job_target(number("keys"), number("checkpoint_ms"));
        let name = format!("{work}, two workers");
        rows.push(row(name, line, ratio(line), "x the hand loop", least));
        let without = engine.iter().find(|other| {
            other["checkpoint_ms"] == 0
                && other["work"] == line["work"]
                && other["keys"] == line["keys"]
        });
        // Both ratios are to a loop that ran in the same minutes.
        if let Some(without) = without.filter(|_| number("checkpoint_ms") > 0) {
            let name = format!("{work}, with checkpoints beside none");
            rows.push(row(name, line, ratio(line) / ratio(without), "x without", Some(0.95)));
        }
    }
    rows
}

fn head() -> String {
    columns(["work", "keys", "checkpoint_ms", "reached", "target", "met"])
}

fn columns([work, keys, checkpoint_ms, reached, target, met]: [&str; 6]) -> String {
    format!("{work:<66} {keys:>9} {checkpoint_ms:>13}  {reached:<22} {target:<8} {met}")
}

fn print(row: &Value, asked: Asked) {
    match asked.json {
        true => println!("{row}"),
        false => println!("{}", table_line(row)),
    }
}

fn table_line(row: &Value) -> String {
    let text = |name: &str| row[name].as_str().unwrap_or("").to_owned();
    let value = row["value"].as_f64().unwrap_or(0.0);
    let value = if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") };
    let met = match row["met"].as_bool() {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    };
    columns([
        &text("work"),
        &row["keys"].to_string(),
        &row["checkpoint_ms"].to_string(),
        &format!("{value} {}", text("unit")),
        &text("target"),
        met,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(system: &str, checkpoint_ms: u64, ratio: f64) -> Value {
        json!({"work": "running", "keys": 100_000, "checkpoint_ms": checkpoint_ms,
               "system": system, "events_per_s": 1.0, "ratio_to_oracle": ratio})
    }

    #[test]
    fn jobs_are_beside_the_loop_and_beside_themselves_without_checkpoints() {
        let lines = [line("oracle", 0, 1.0), line("engine", 0, 0.5), line("engine", 100, 0.49)];
        let rows = job_rows(&lines);
        let facts =
            |row: &Value| (row["value"].as_f64(), row["target"].clone(), row["met"].clone());
        assert_eq!(facts(&rows[0]), (Some(0.5), Value::Null, Value::Null));
        assert_eq!(facts(&rows[1]), (Some(0.49), json!(">= 0.8"), json!(false)));
        assert_eq!(facts(&rows[2]), (Some(0.98), json!(">= 0.95"), json!(true)));
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn many_keys_may_cost_more_when_checkpoints_are_dense() {
        assert_eq!(job_target(10_000_000, 100), Some(0.6));
        assert_eq!(job_target(10_000_000, 1_000), Some(0.8));
    }

    #[test]
    fn a_row_is_a_line_of_the_table() {
        let row = json!({"work": "cut", "keys": 7, "checkpoint_ms": 0, "value": 12.4,
                         "unit": "us", "target": "<= 50", "met": true});
        let words: Vec<String> = table_line(&row).split_whitespace().map(str::to_owned).collect();
        assert_eq!(words, ["cut", "7", "0", "12", "us", "<=", "50", "yes"]);
    }
}
