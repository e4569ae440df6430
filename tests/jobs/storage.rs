//! Storage that fails while the job runs: that checkpoint fails and is shown, the job goes on, and
//! what was prepared for it is committed with the next one.

use std::time::Duration;

use riverrun::connectors::memory::{MemoryOutput, MemorySource};
use riverrun::prelude::*;
use riverrun::runtime::control::{CommandKind, Control};

use crate::world::{World, give};

#[test]
fn a_checkpoint_that_cannot_be_written_fails_alone() {
    let (world, output) = (World::new(), MemoryOutput::new());
    let (source, input) = MemorySource::live(1);
    let (control, orders) = Control::by_hand();
    let segments = world.folder.path().join("segments");
    let breaker = std::thread::spawn(move || {
        let pause = || std::thread::sleep(Duration::from_millis(150));
        let away = segments.with_extension("away");
        (0..100).for_each(|n| input.push(0, n));
        pause();
        // Where the folder was is a file: nothing can be written there, as on a full disk.
        std::fs::rename(&segments, &away).expect("moves");
        std::fs::write(&segments, "").expect("writes");
        (100..200).for_each(|n| input.push(0, n));
        pause();
        let savepoint = give(&orders, CommandKind::Savepoint).expect("the job runs");
        std::fs::remove_file(&segments).expect("removes");
        std::fs::rename(&away, &segments).expect("moves back");
        (200..300).for_each(|n| input.push(0, n));
        pause();
        give(&orders, CommandKind::Stop { savepoint: false }).expect("runs").expect("stops");
        savepoint
    });
    let pipeline = |job: &Job| {
        let sums = job.source("numbers", source.clone()).key_by(|n| n % 3);
        sums.scan("sum", |_: &mut u64, n| n).sink("out", output.sink());
    };
    let (ended, status) = world.start(pipeline, control);
    ended.expect("it stops well");
    let savepoint = breaker.join().expect("no panic");
    let reason = savepoint.expect_err("a savepoint cannot be written either");
    assert!(reason.contains("RR0206"), "{reason}");
    let (completed, failed) = status.checkpoints();
    assert!(completed > 2 && failed > 2, "{completed} completed, {failed} failed");
    assert_eq!(status.attempt(), 1, "the attempt went on");
    let mut items = output.items();
    items.sort_unstable();
    assert_eq!(items, (0..300).collect::<Vec<u64>>());
}
