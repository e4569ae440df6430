//! A job that writes numbers, in a process of its own that can be stopped and killed.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use riverrun::connectors::datagen::Datagen;
use riverrun::connectors::kafka::Kafka;
use riverrun::prelude::*;
use riverrun::runtime::config::RunOptions;
use riverrun::runtime::control::Control;
use rustix::process::{Pid, Signal, kill_process};
use xtask::kafka::Broker;

use crate::rig::{World, child, config, given, run, visible};

/// Some five seconds' worth.
pub(super) const RECORDS: u64 = 20_000;

/// Writes the numbers below `count`, 4,000 a second.
pub(super) fn pipeline(job: &Job, address: &str, out: &str, count: u64) {
    let numbers = Datagen::new(|i, _| i).count(count).splits(2).rate(4_000);
    let kafka = Kafka::brokers(address);
    let sink = kafka.write_json::<u64>(out).transaction_timeout(Duration::from_secs(10));
    job.source("numbers", numbers).sink("out", sink);
}

#[test]
#[ignore = "the process that tests stop and kill"]
fn numbers_job() {
    let (name, out, address) = (given("JOB"), given("OUT"), given("ADDRESS"));
    let config = config(&name, &given("FOLDER"));
    let build = |job: &Job| pipeline(job, &address, &out, RECORDS);
    let ended = run(&name, &config, &RunOptions::default(), build, Control::detached());
    ended.unwrap_or_else(|error| panic!("{error}"));
}

/// Starts it at the broker that `address` leads to.
pub(super) fn start(address: &str, world: &World, out: &str) -> Child {
    let variables = [
        ("JOB", world.job.clone()),
        ("OUT", out.to_owned()),
        ("FOLDER", world.folder.path().display().to_string()),
        ("ADDRESS", address.to_owned()),
    ];
    child("sink::numbers::numbers_job", &variables)
}

/// Every number below `count` is there once.
pub(super) fn check(broker: &Broker, out: &str, count: u64) {
    let mut seen: Vec<u64> = visible(broker, out)
        .iter()
        .map(|record| record.value_text().expect("JSON").parse().expect("a number"))
        .collect();
    seen.sort_unstable();
    assert!(seen.iter().copied().eq(0..count), "{} records, or others", seen.len());
}

/// Sends a signal.
pub(super) fn signal(process: &Child, signal: Signal) {
    kill_process(Pid::from_child(process), signal).expect("it lives");
}

/// Copies a folder: what a second machine would have of the checkpoints.
pub(super) fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("reads") {
        let entry = entry.expect("reads");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("reads").is_dir() {
            fs::create_dir_all(&target).expect("makes");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copies");
        }
    }
}
