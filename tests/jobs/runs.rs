//! Base runs under a whole job: they are made while it runs, a restart goes on from them, and
//! writes only what changes.

use std::sync::Arc;
use std::time::Duration;

use riverrun::connectors::memory::{MemoryOutput, MemorySource};
use riverrun::prelude::*;
use riverrun::runtime::control::{CommandKind, Control};
use riverrun::runtime::status::JobStatus;

use crate::world::{World, give};

const KEYS: u64 = 40_000;

/// Runs the job while `feed` pushes records, then stops it.
fn run(
    world: &World,
    source: &MemorySource<u64>,
    output: &MemoryOutput<u64>,
    feed: impl FnOnce() + Send + 'static,
) -> Arc<JobStatus> {
    let (control, orders) = Control::by_hand();
    let feeder = std::thread::spawn(move || {
        feed();
        give(&orders, CommandKind::Stop { savepoint: false }).expect("runs").expect("stops");
    });
    let pipeline = |job: &Job| {
        let times = job.source("numbers", source.clone()).key_by(|n| *n);
        let counted = times.scan("times", |times: &mut u64, _| {
            *times += 1;
            *times
        });
        counted.sink("out", output.sink());
    };
    let (ended, status) = world.start(pipeline, control);
    ended.expect("it stops well");
    feeder.join().expect("no panic");
    status
}

#[test]
fn a_restart_goes_on_from_runs_and_writes_only_what_changes() {
    let (world, output) = (World::new(), MemoryOutput::new());
    let (source, input) = MemorySource::live(1);
    let feed = {
        let (input, runs) = (input.clone(), world.folder.path().join("runs"));
        move || {
            for _ in 0..5 {
                (0..KEYS).for_each(|n| input.push(0, n));
                std::thread::sleep(Duration::from_millis(400));
            }
            // A merge takes as long as the machine makes it; the next manifest takes it up.
            let merged = || std::fs::read_dir(&runs).is_ok_and(|files| files.count() > 0);
            for _ in 0..600 {
                std::thread::sleep(Duration::from_millis(100));
                if merged() {
                    break;
                }
            }
            (0..KEYS).for_each(|n| input.push(0, n));
            std::thread::sleep(Duration::from_millis(400));
        }
    };
    let first = run(&world, &source, &output, feed).storage();
    assert!(first.merges > 0 && first.merges_failed == 0, "{first:?}");
    assert!(world.folder.path().join("runs").is_dir());
    assert_eq!(output.items().len() as u64, 6 * KEYS);

    for times in 7..9 {
        let input = input.clone();
        let feed = move || {
            (0..100).for_each(|n| input.push(0, n));
            std::thread::sleep(Duration::from_millis(200));
        };
        let again = run(&world, &source, &output, feed).storage();
        assert!(again.delta_bytes < first.delta_bytes / 50, "{again:?} after {first:?}");
        let items = output.items();
        let last = &items[items.len() - 100..];
        assert!(last.iter().all(|n| *n == times), "restored and counted on: {last:?}");
    }
}
