//! Starts drills and reads their reports.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::binary::binary;

/// A drill that has ended.
pub(crate) struct Drill {
    /// Its exit code.
    pub(crate) code: Option<i32>,
    /// All it said.
    pub(crate) said: String,
    folder: TempDir,
}

/// What it found.
pub(crate) struct Found {
    /// The whole report.
    pub(crate) value: Value,
}

/// Drills the drill job over an input of its own.
pub(crate) fn drill_job(further: &[&str]) -> Drill {
    let folder = tempfile::tempdir().expect("a folder");
    let mut fill = Command::new(binary("drill_job"));
    let filled = fill.arg("fill").arg(folder.path().join("input")).status().expect("it starts");
    assert!(filled.success(), "the input is written");
    run("drill_job", folder, further)
}

/// Drills an example.
pub(crate) fn example(name: &str, further: &[&str]) -> Drill {
    run(name, tempfile::tempdir().expect("a folder"), further)
}

fn run(name: &str, folder: TempDir, further: &[&str]) -> Drill {
    let here: &Path = folder.path();
    let seed = std::env::var("DRILL_SEED").unwrap_or_else(|_| "1".to_owned());
    let mut command = Command::new(binary(name));
    command.arg("drill").args(["--seed", &seed, "--json", "report.json"]);
    command.arg("--scratch").arg(here.join("scratch"));
    if name == "drill_job" {
        command.args(["--set", "input=input"]);
    }
    let output = command.args(further).current_dir(here).output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stderr) + &text(&output.stdout);
    // Empty once the drill has removed its own folder within.
    drop(std::fs::remove_dir(here.join("scratch")));
    Drill { code: output.status.code(), said, folder }
}

/// The points a job lists.
pub(crate) fn listed(name: &str) -> BTreeSet<String> {
    let output = Command::new(binary(name)).args(["drill", "--list-points"]).output();
    let text = String::from_utf8(output.expect("it starts").stdout).expect("text");
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

impl Drill {
    /// Its report; fails unless its verdict is that nothing was lost, doubled or changed.
    pub(crate) fn exact(&self) -> Found {
        assert_eq!(self.code, Some(0), "{}", self.said);
        assert!(self.said.contains("VERDICT: exact"), "{}", self.said);
        let text = std::fs::read_to_string(self.folder.path().join("report.json"));
        Found { value: serde_json::from_str(&text.expect("a report")).expect("JSON") }
    }

    /// What lies where it was started.
    pub(crate) fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("a folder").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Found {
    /// Points at which runs were killed.
    pub(crate) fn reached(&self) -> BTreeSet<String> {
        let points = self.value["points"].as_object().expect("points");
        points.keys().cloned().collect()
    }

    /// A number of the report.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.value[name].as_u64().unwrap_or_default()
    }
}
