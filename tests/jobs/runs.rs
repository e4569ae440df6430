//! Base runs under a whole job: they are made while it runs, a restart goes on from them, and
//! writes only what changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    // How often each key of a third was pushed.
    let times = Arc::new([const { AtomicU64::new(1) }; 3]);
    let feed = {
        let (input, runs) = (input.clone(), world.folder.path().join("runs"));
        let times = times.clone();
        move || {
            (0..KEYS).for_each(|n| input.push(0, n));
            std::thread::sleep(Duration::from_millis(400));
            // A merge takes as long as the machine makes it; the next manifest takes it up. Where
            // half of everything changes nothing need be merged: so a third at a time.
            let merged = || std::fs::read_dir(&runs).is_ok_and(|files| files.count() > 0);
            for third in (0..3).cycle().take(150) {
                let done = merged();
                (third..KEYS).step_by(3).for_each(|n| input.push(0, n));
                times[third as usize].fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(400));
                if done {
                    break;
                }
            }
        }
    };
    let first = run(&world, &source, &output, feed).storage();
    assert!(first.merges > 0 && first.merges_failed == 0, "{first:?}");
    assert!(world.folder.path().join("runs").is_dir());
    let times = times.each_ref().map(|times| times.load(Ordering::Relaxed));
    let pushed = (0..KEYS).map(|n| times[n as usize % 3]).sum::<u64>();
    assert_eq!(output.items().len() as u64, pushed);

    for times in times[0] + 1..times[0] + 3 {
        let input = input.clone();
        let feed = move || {
            (0..300).step_by(3).for_each(|n| input.push(0, n));
            std::thread::sleep(Duration::from_millis(200));
        };
        let again = run(&world, &source, &output, feed).storage();
        assert!(again.delta_bytes < first.delta_bytes / 50, "{again:?} after {first:?}");
        let items = output.items();
        let last = &items[items.len() - 100..];
        assert!(last.iter().all(|n| *n == times), "restored and counted on: {last:?}");
    }
}
