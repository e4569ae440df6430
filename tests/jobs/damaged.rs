//! Damaged checkpoints: refused by the name of the file before any record is read; never an empty
//! start, never an older checkpoint unless the user says so.

use std::path::{Path, PathBuf};
use std::time::Duration;

use riverrun::connectors::memory::{MemoryOutput, MemorySource};
use riverrun::prelude::*;
use riverrun::runtime::control::CommandKind;

use crate::world::World;

fn pipeline(job: &Job, source: &MemorySource<u64>, output: &MemoryOutput<u64>) {
    job.source("numbers", source.clone())
        .key_by(|n| n % 7)
        .scan("sum", |sum: &mut u64, n| {
            *sum += n;
            *sum
        })
        .sink("out", output.sink());
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let in_folder = |name: &str| {
        let entries = std::fs::read_dir(folder.join(name)).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()
    };
    let mut all = [in_folder("checkpoints"), in_folder("segments")].concat();
    all.sort();
    all
}

#[test]
fn every_file_damaged_in_every_way_is_refused_by_name() {
    let (world, output) = (World::new(), MemoryOutput::new());
    let (source, input) = MemorySource::live(1);
    (0..300).for_each(|n| input.push(0, n));
    let stop = CommandKind::Stop { savepoint: false };
    let pause = Duration::from_millis(150);
    let stopped = world.run_and_order(|job| pipeline(job, &source, &output), stop, pause);
    stopped.expect("it stops");
    (300..400).for_each(|n| input.push(0, n));
    input.close();
    let newest = files(world.folder.path());
    let manifest = newest.iter().rfind(|file| file.extension().is_some_and(|e| e == "manifest"));
    let segment = newest.iter().rfind(|file| file.extension().is_some_and(|e| e == "seg"));
    let visible = output.items().len();
    for file in [manifest.expect("one"), segment.expect("one")] {
        let good = std::fs::read(file).expect("it is there");
        let mut flipped = good.clone();
        flipped[good.len() / 2] ^= 0x10;
        let cut = good[..good.len() - 3].to_vec();
        let exchanged =
            newest.iter().find(|other| *other != file && other.extension() == file.extension());
        let other = exchanged.map(|other| std::fs::read(other).expect("it is there"));
        // Two idle moments look alike: then the exchange changes nothing.
        let other = other.filter(|other| *other != good);
        let damages = [Some(flipped), Some(cut), Some(Vec::new()), other];
        for damaged in damages.into_iter().flatten() {
            std::fs::write(file, damaged).expect("writes");
            refused(&world, file, &source, &output);
            std::fs::write(file, &good).expect("writes");
        }
        if file.extension().is_some_and(|e| e == "seg") {
            std::fs::remove_file(file).expect("removes");
            refused(&world, file, &source, &output);
            std::fs::write(file, &good).expect("writes");
        }
    }
    assert_eq!(output.items().len(), visible, "no record was read");
    world.run(|job| pipeline(job, &source, &output)).expect("whole again, it goes on");
    assert_eq!(output.items().len(), 400);
}

fn refused(world: &World, file: &Path, source: &MemorySource<u64>, output: &MemoryOutput<u64>) {
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    let error = world.error(|job| pipeline(job, source, output));
    assert!(error.contains(&name), "'{name}' is not in: {error}");
}

#[test]
fn another_jobs_checkpoint_is_refused() {
    let (world, output) = (World::new(), MemoryOutput::new());
    let source = MemorySource::new(vec![vec![1, 2, 3]]);
    world.run(|job| pipeline(job, &source, &output)).expect("it ends");
    let job = Job::new(serde_json::Value::Null);
    pipeline(&job, &source, &output);
    let graph = job.into_graph();
    let status = std::sync::Arc::new(riverrun::runtime::status::JobStatus::of("other", &graph));
    let control = riverrun::runtime::control::Control::detached();
    let (config, options) = (&world.config, &world.options);
    let ended = riverrun::runtime::run::run_job("other", graph, config, options, status, control);
    let error = ended.expect_err("must be refused").to_string();
    assert!(
        error.contains("RR0210") && error.contains("'test'") && error.contains("'other'"),
        "{error}"
    );
}
