//! Stops, savepoints, ends and second runs.

use std::time::Duration;

use riverrun::connectors::memory::{MemoryOutput, MemorySource};
use riverrun::prelude::*;
use riverrun::runtime::config::From as Begin;
use riverrun::runtime::control::{CommandKind, Control};
use riverrun::runtime::run::Outcome;

use crate::world::{World, give};

fn pipeline(job: &Job, source: &MemorySource<u64>, output: &MemoryOutput<u64>) {
    job.source("numbers", source.clone())
        .key_by(|n| n % 7)
        .scan("sum", |sum: &mut u64, n| {
            *sum += n;
            *sum
        })
        .sink("out", output.sink());
}

fn bounded() -> MemorySource<u64> {
    MemorySource::new(vec![(0..500).collect(), (500..900).collect()])
}

#[test]
fn an_ended_job_says_so_and_does_nothing() {
    let (world, output, source) = (World::new(), MemoryOutput::new(), bounded());
    let run = || world.run(|job| pipeline(job, &source, &output)).expect("it runs");
    let Outcome::Ended { checkpoint } = run() else { panic!("it ends") };
    let before = output.items().len();
    assert_eq!(run(), Outcome::AlreadyEnded { checkpoint });
    assert_eq!((before, output.items().len()), (900, 900));
}

#[test]
fn a_savepoint_is_pinned_and_a_run_may_begin_there_knowingly() {
    let (mut world, output) = (World::new(), MemoryOutput::new());
    let (source, input) = MemorySource::live(1);
    (0..100).for_each(|n| input.push(0, n));
    let (control, orders) = Control::by_hand();
    let order = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        let savepoint = give(&orders, CommandKind::Savepoint).expect("runs").expect("is taken");
        std::thread::sleep(Duration::from_millis(300));
        give(&orders, CommandKind::Stop { savepoint: true }).expect("runs").expect("stops");
        savepoint
    });
    world.start(|job| pipeline(job, &source, &output), control).0.expect("it stops");
    let savepoint = order.join().expect("ordered");
    assert_eq!(output.items().len(), 100);
    input.close();
    world.options.from = Begin::Checkpoint(savepoint.to_string());
    let error = world.error(|job| pipeline(job, &source, &output));
    assert!(error.contains("RR0232") && error.contains("--accept-duplicates"), "{error}");
    world.options.accept_duplicates = true;
    world.run(|job| pipeline(job, &source, &output)).expect("it goes back knowingly");
}

#[test]
fn a_second_run_is_refused_while_the_first_lives() {
    let (world, output) = (World::new(), MemoryOutput::new());
    let (source, input) = MemorySource::live(1);
    input.push(0, 1);
    let (control, orders) = Control::by_hand();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| world.start(|job| pipeline(job, &source, &output), control).0);
        std::thread::sleep(Duration::from_millis(200));
        let other = MemoryOutput::new();
        let error = world.error(|job| pipeline(job, &bounded(), &other));
        assert!(error.contains(&std::process::id().to_string()), "names the process: {error}");
        assert!(other.items().is_empty());
        give(&orders, CommandKind::Stop { savepoint: false }).expect("runs").expect("stops");
        first.join().expect("no panic").expect("it stops");
    });
}

#[test]
fn without_an_interval_the_end_still_commits() {
    let (mut world, output) = (World::new(), MemoryOutput::new());
    world.config.checkpoint.interval = Duration::ZERO;
    world.run(|job| pipeline(job, &bounded(), &output)).expect("it ends");
    assert_eq!(output.items().len(), 900);
}
