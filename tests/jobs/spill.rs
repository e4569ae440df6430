//! State that does not fit into its memory: spilled, snapshot, restored at another parallelism, and
//! never wrong.

use std::collections::BTreeMap;

use riverrun::connectors::memory::{MemoryOutput, MemorySource};
use riverrun::prelude::*;
use riverrun::runtime::config::Bytes;
use riverrun::runtime::control::{CommandKind, Control};

use crate::world::{World, await_running, give};

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
    let items = KEYS * ROUNDS;
    let output = MemoryOutput::new();
    let (source, input) = MemorySource::live(1);
    let mut world = World::new().at(2);
    world.config.memory = Bytes::mib(24);
    world.config.spill.dir = world.folder.path().join("spill").display().to_string();
    let (control, orders) = Control::by_hand();
    let feeder = {
        let input = input.clone();
        std::thread::spawn(move || {
            await_running(&orders);
            for n in 0..items / 2 {
                input.push(0, n);
            }
            std::thread::sleep(std::time::Duration::from_millis(1500));
            give(&orders, CommandKind::Stop { savepoint: false })
        })
    };
    world.start(|job| pipeline(job, &source, &output), control).0.expect("it stops");
    feeder.join().expect("it feeds").expect("it was stopped").expect("with a checkpoint");
    for n in items / 2..items {
        input.push(0, n);
    }
    input.close();
    let world = world.at(3);
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

#[test]
fn a_job_that_cannot_fit_says_so_at_start() {
    let mut world = World::new();
    world.config.memory = Bytes::mib(4);
    let output = MemoryOutput::new();
    let source = MemorySource::new(vec![vec![1]]);
    let said = world.error(|job| pipeline(job, &source, &output));
    assert!(said.starts_with("RR0345") && said.contains("raise `memory`"), "{said}");
}
