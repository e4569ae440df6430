//! Cases 11 to 13, 26, 35: transactions that expire, runs that were thought dead.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use riverrun::connectors::datagen::Datagen;
use riverrun::connectors::kafka::Kafka;
use riverrun::prelude::*;
use riverrun::runtime::config::RunOptions;
use riverrun::runtime::control::Control;

use crate::rig::{BROKER, LIMIT, World, child, config, end_of, given, run, visible};

const RECORDS: u64 = 20_000;

fn pipeline(job: &Job, address: &str, out: &str) {
    let numbers = Datagen::new(|i, _| i).count(RECORDS).splits(2).rate(4_000);
    let kafka = Kafka::brokers(address);
    let sink = kafka.write_json::<u64>(out).transaction_timeout(Duration::from_secs(10));
    job.source("numbers", numbers).sink("out", sink);
}

#[test]
#[ignore = "the process that the tests below stop and kill"]
fn stopped_job() {
    let (name, out, address) = (given("JOB"), given("OUT"), given("ADDRESS"));
    let config = config(&name, &given("FOLDER"));
    let build = |job: &Job| pipeline(job, &address, &out);
    let ended = run(&name, &config, &RunOptions::default(), build, Control::detached());
    ended.unwrap_or_else(|error| panic!("{error}"));
}

fn start(job: &str, out: &str, folder: &Path) -> Child {
    let variables = [
        ("JOB", job.to_owned()),
        ("OUT", out.to_owned()),
        ("FOLDER", folder.display().to_string()),
        ("ADDRESS", BROKER.address().to_string()),
    ];
    child("sink::zombies::stopped_job", &variables)
}

/// Waits until the job has committed a few checkpoints.
fn await_checkpoints(folder: &Path) {
    let until = Instant::now() + LIMIT;
    let committed = || fs::read_dir(folder.join("checkpoints")).map_or(0, Iterator::count);
    while committed() < 3 {
        assert!(Instant::now() < until, "no checkpoints");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(process: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &process.id().to_string()]).status();
    assert!(sent.expect("kill is there").success());
}

fn check(out: &str) {
    let mut seen: Vec<u64> = visible(&BROKER, out)
        .iter()
        .map(|record| record.value_text().expect("JSON").parse().expect("a number"))
        .collect();
    seen.sort_unstable();
    assert!(seen.iter().copied().eq(0..RECORDS), "{} records, or others", seen.len());
}

fn copy(from: &Path, to: &Path) {
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

#[test]
fn case_13_a_run_thought_dead_wakes_up_after_another_took_over() {
    BROKER.create_topic("zombie-out", 2, &[]).expect("makes");
    let (first, second) = (World::new("zombie"), World::new("zombie"));
    let zombie = start("zombie", "zombie-out", first.folder.path());
    await_checkpoints(first.folder.path());
    signal(&zombie, "-STOP");
    copy(first.folder.path(), second.folder.path());
    let owner = start("zombie", "zombie-out", second.folder.path());
    await_more(second.folder.path());
    signal(&zombie, "-CONT");
    let (ended, said) = end_of(zombie, LIMIT);
    assert_eq!(ended, Some(false), "it must not go on");
    assert!(said.contains("RR0404") && said.contains("taken over"), "{said}");
    let (ended, said) = end_of(owner, LIMIT);
    assert_eq!(ended, Some(true), "{said}");
    check("zombie-out");
}

/// Waits until the newest checkpoint is newer than those copied.
fn await_more(folder: &Path) {
    let names = || -> Vec<_> {
        let read = fs::read_dir(folder.join("checkpoints")).expect("reads");
        read.map(|entry| entry.expect("reads").file_name()).collect()
    };
    let (before, until) = (names(), Instant::now() + LIMIT);
    while names().iter().filter(|name| !before.contains(name)).count() < 3 {
        assert!(Instant::now() < until, "the second run does not go on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn cases_11_and_12_a_transaction_expires_while_the_job_stands_still_or_is_down() {
    BROKER.create_topic("expired-out", 2, &[]).expect("makes");
    let world = World::new("expired");
    let process = start("expired", "expired-out", world.folder.path());
    await_checkpoints(world.folder.path());
    // While it stands still.
    signal(&process, "-STOP");
    std::thread::sleep(Duration::from_secs(14));
    signal(&process, "-CONT");
    await_more(world.folder.path());
    // While it is down.
    let (ended, _) = end_of(process, Duration::ZERO);
    assert_eq!(ended, None);
    std::thread::sleep(Duration::from_secs(14));
    let (ended, said) = end_of(start("expired", "expired-out", world.folder.path()), LIMIT);
    assert_eq!(ended, Some(true), "{said}");
    check("expired-out");
}
