//! Whole drills: the drill job and the examples are killed at every crash point there is, restored
//! at other parallelisms, and must have written what an undisturbed run writes.
//!
//! `DRILL_SEED=7` draws other lives; a failure prints the command that repeats it.

#![allow(clippy::disallowed_methods, reason = "a test of processes")]

#[path = "../examples/binary.rs"]
mod binary;
mod rig;

use std::collections::BTreeSet;

use rig::{Drill, drill_job, example};

#[test]
fn every_point_of_files_is_reached_and_changes_nothing() {
    let mut reached = drill_job(&[]).exact().reached();
    // Many small deltas in a row: a run must last.
    let calm = ["--set", "calm=true", "--stretch", "10s", "--rescale", "1"];
    let squashes = drill_job(&[&calm[..], &["--points", "merge.squashed"]].concat());
    reached.extend(squashes.exact().reached());
    // Files go a few checkpoints after a merge only.
    let cleans = drill_job(&["--points", "clean.file.removed", "--stretch", "5s"]);
    reached.extend(cleans.exact().reached());
    let listed: BTreeSet<String> = rig::listed("drill_job");
    assert!(listed.len() > 40, "{listed:?}");
    let files = listed.iter().filter(|point| !point.starts_with("kafka."));
    let missed: Vec<&String> = files.filter(|point| !reached.contains(*point)).collect();
    assert!(missed.is_empty(), "no drill came by {missed:?}");
}

#[test]
fn random_kills_and_zombies_change_nothing() {
    let points = "checkpoint.cut,commit.decided,file.rename,storage.write";
    let drill = drill_job(&["--random", "--zombie", "--points", points, "--kills", "16"]);
    let report = drill.exact();
    assert!(report.number("random_kills") > 0 && report.number("zombies") > 0, "{}", drill.said);
    assert!(report.value["recovery"]["kills"].as_u64() > Some(0), "{}", drill.said);
}

#[test]
fn disks_clocks_and_cpus_that_misbehave_change_nothing() {
    let drill = drill_job(&["--faults"]);
    let report = drill.exact();
    let met = report.value["faults"].as_object().expect("faults");
    let met: Vec<&str> = met.keys().map(String::as_str).collect();
    assert_eq!(met, ["clock ahead", "clock back", "crowd", "full disk", "slow disk"]);
}

#[test]
fn the_examples_pass_their_drills() {
    let points = "checkpoint.delta.synced,checkpoint.manifest.written,restore.applied,file.rename";
    for (name, settings) in [
        ("card_fraud", &["events=60000", "seed=11"][..]),
        ("click_sessions", &["events=40000", "seed=11"]),
        ("sensor_alerts", &[]),
    ] {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let further: Vec<&str> = settings.chain(["--points", points]).collect();
        let drill = example(name, &further);
        assert!(drill.exact().number("kills") >= 3, "{name}: {}", drill.said);
    }
}

#[test]
fn nothing_but_the_scratch_folder_is_written() {
    let drill = drill_job(&["--points", "file.renamed"]);
    drill.exact();
    assert_eq!(drill.left(), ["input", "report.json"], "scratch, output and checkpoints are gone");
}

#[test]
fn what_cannot_be_rehearsed_is_refused_with_the_reason() {
    let refused = |drill: &Drill, code: &str| {
        assert_eq!(drill.code, Some(2), "{}", drill.said);
        assert!(drill.said.contains(code), "{code}: {}", drill.said);
    };
    refused(&drill_job(&["--points", "nope"]), "RR0802");
    refused(&drill_job(&["--points", "kafka.commit"]), "RR0816");
    refused(&drill_job(&["--rescale", "0"]), "RR0817");
    let nothing = example("click_sessions", &["--set", "events=0"]);
    refused(&nothing, "RR0813");
    assert_eq!(nothing.left(), [""; 0], "nothing is left of a drill that was refused");
}
