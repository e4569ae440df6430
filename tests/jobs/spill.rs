//! State that does not fit into its memory: spilled, snapshot, restored at another parallelism, and
//! never wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use riverrun::connectors::memory::{MemoryOutput, MemorySource};
use riverrun::prelude::*;
use riverrun::runtime::config::Bytes;
use riverrun::runtime::control::{CommandKind, Control};

use crate::seen::wait;
use crate::world::{World, await_running};

const KEYS: u64 = 40_000;
const ROUNDS: u64 = 4;

/// Keys in another order each round, so that no two of a key come close together.
fn key(n: u64) -> u64 {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % KEYS
}

/// Texts that grow, and a tag list: some tens of megabytes for all keys.
fn pipeline(job: &Job, source: &MemorySource<u64>, output: &MemoryOutput<(u64, usize, u64)>) {
    let numbers = job.source("numbers", source.clone()).key_by(|n| key(*n));
    let texts = numbers.scan("texts", |text: &mut (String, u64), n| {
        text.0.push_str(&"0123456789abcdef".repeat(20));
        text.1 = text.1.wrapping_mul(31).wrapping_add(n);
        (key(n), text.0.len(), text.1)
    });
    texts.sink("out", output.sink());
}

fn expected(items: u64) -> BTreeMap<u64, (usize, u64)> {
    let mut all: BTreeMap<u64, (usize, u64)> = BTreeMap::new();
    for n in 0..items {
        let (len, sum) = all.entry(key(n)).or_default();
        (*len, *sum) = (*len + 320, sum.wrapping_mul(31).wrapping_add(n));
    }
    all
}

#[test]
fn state_beyond_its_memory_is_spilled_and_restored() {
    spilled_and_restored(Bytes::mib(1 << 20));
}

#[test]
fn state_beyond_its_memory_is_restored_lazily() {
    spilled_and_restored(Bytes::default());
}

fn spilled_and_restored(lazy_from: Bytes) {
    let items = KEYS * ROUNDS;
    let output = MemoryOutput::new();
    let (source, input) = MemorySource::live(1);
    let mut world = World::new().at(2);
    world.config.memory = Bytes::mib(24);
    world.config.spill.dir = world.folder.path().join("spill").display().to_string();
    let feed = {
        let (input, output) = (input.clone(), output.clone());
        move || {
            (0..items / 2).for_each(|n| input.push(0, n));
            let half = (items / 2) as usize;
            wait("the first half is summed", || output.items().len() == half);
        }
    };
    let stop = CommandKind::Stop { savepoint: false };
    world.run_fed(|job| pipeline(job, &source, &output), stop, feed);
    for n in items / 2..items {
        input.push(0, n);
    }
    input.close();
    let mut world = world.at(3);
    world.config.checkpoint.lazy_from = lazy_from;
    world.run(|job| pipeline(job, &source, &output)).expect("it restores and ends");
    let mut got: BTreeMap<u64, (usize, u64)> = BTreeMap::new();
    let mut seen = 0;
    for (key, len, sum) in output.items() {
        let last = got.insert(key, (len, sum));
        assert!(last.is_none_or(|(before, _)| before < len), "each record of a key adds once");
        seen += 1;
    }
    assert_eq!(seen, items);
    assert!(got == expected(items), "every sum is that of a plain map");
}

/// The files of spilled rows under `folder`.
fn spilled_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let files =
        paths.flat_map(|path| if path.is_dir() { spilled_files(&path) } else { vec![path] });
    files.filter(|file| file.extension().is_some_and(|e| e == "sst")).collect()
}

fn has_checkpoint(folder: &Path) -> bool {
    std::fs::read_dir(folder.join("checkpoints")).is_ok_and(|mut entries| entries.next().is_some())
}

/// Waits until something is spilled to files and a checkpoint is there; the attempt's folder.
fn spilled(world: &Path, spill: &Path) -> PathBuf {
    let began = Instant::now();
    while spilled_files(spill).is_empty() || !has_checkpoint(world) {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing is spilled to files");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut folders = std::fs::read_dir(spill).expect("reads").flatten();
    folders.next().expect("one of the attempt").path()
}

/// Overwrites every file of spilled rows but its end.
fn damage(folder: &Path) {
    for file in spilled_files(folder) {
        // The file stays the same one, so whoever has it open reads the damage.
        let Ok(mut out) = std::fs::OpenOptions::new().write(true).open(&file) else { continue };
        let len = out.metadata().map_or(0, |file| file.len());
        let noise = vec![0x5a; (len - len / 8) as usize];
        std::io::Write::write_all(&mut out, &noise).expect("writes");
    }
}

#[test]
fn a_spill_damaged_while_running_is_named_and_the_checkpoint_goes_on() {
    let items = KEYS * ROUNDS;
    let output = MemoryOutput::new();
    let (source, input) = MemorySource::live(1);
    let mut world = World::new().at(2);
    world.config.memory = Bytes::mib(24);
    let folder = world.folder.path().to_owned();
    let spill = folder.join("spill");
    world.config.spill.dir = spill.display().to_string();
    let (control, orders) = Control::by_hand();
    let feeder = std::thread::spawn(move || {
        await_running(&orders);
        (0..items * 3 / 4).for_each(|n| input.push(0, n));
        let attempt = spilled(&folder, &spill);
        let mut next = items * 3 / 4;
        // Files come and go: it goes on until some row was read that is no longer there.
        while attempt.exists() && next < items {
            damage(&attempt);
            (next..items).take(500).for_each(|n| input.push(0, n));
            next = items.min(next + 500);
            std::thread::sleep(Duration::from_millis(20));
        }
        (next..items).for_each(|n| input.push(0, n));
        input.close();
    });
    let (ended, status) = world.start(|job| pipeline(job, &source, &output), control);
    feeder.join().expect("it feeds");
    ended.expect("it goes on from a checkpoint, and ends");
    let failure = status.last_failure().expect("an attempt failed");
    assert!(failure.contains("RR0341") && failure.contains("spill"), "{failure}");
    assert!(status.attempt() > 1 && status.restored_from().is_some(), "restored");
    let mut got: BTreeMap<u64, (usize, u64)> = BTreeMap::new();
    for (key, len, sum) in output.items() {
        let last = got.insert(key, (len, sum));
        assert!(last.is_none_or(|(before, _)| before < len), "each record of a key adds once");
    }
    assert_eq!(output.items().len() as u64, items);
    assert!(got == expected(items), "every sum is that of a plain map");
}

#[test]
fn a_job_that_cannot_fit_says_so_at_start() {
    let mut world = World::new();
    world.config.memory = Bytes::mib(4);
    let output = MemoryOutput::new();
    let source = MemorySource::new(vec![vec![1]]);
    let said = world.error(|job| pipeline(job, &source, &output));
    assert!(said.starts_with("RR0345") && said.contains("raise `memory`"), "{said}");
}
