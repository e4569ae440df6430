//! A job that is slower than its topic keeps only what was allowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use riverrun::connectors::memory::MemoryOutput;

use super::{Live, world};
use crate::cluster::{Cluster, Record, await_that};

/// What this process has in memory, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("is told");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("is in it");
    let kilobytes = line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok());
    kilobytes.expect("a number") * 1024
}

#[test]
fn case_34_a_slow_job_reads_ahead_no_more_than_it_may() {
    const RECORDS: usize = 100_000;
    let cluster = Cluster::take();
    cluster.create("large", 4);
    let sender = cluster.producer();
    let value = vec![b'x'; 2000];
    for i in 0..RECORDS {
        sender.send(Record::to("large").partition((i % 4) as i32).payload(&value).key(&[][..]));
    }
    sender.flush();
    drop(sender);
    let before = resident();
    let open = Arc::new(AtomicBool::new(false));
    let (output, gate) = (MemoryOutput::new(), open.clone());
    let source = cluster.kafka().read_bytes("large").buffer_bytes(4 * 1024 * 1024);
    let to = output.clone();
    let live = Live::start(world(), move |job| {
        let gate = gate.clone();
        job.source("large", source.clone())
            .map(move |value| {
                while !gate.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                value.len() as u64
            })
            .sink("out", to.sink());
    });
    std::thread::sleep(Duration::from_secs(3));
    let grown = resident().saturating_sub(before) / (1024 * 1024);
    // 200 MB lie there. Two subtasks have 4 MiB in the client, which counts the fetch under way
    // on top, and 4 MiB and one call's worth on their way.
    assert!(grown < 80, "{grown} MiB");
    open.store(true, Ordering::Relaxed);
    await_that("all of it", || output.items().len() == RECORDS);
    live.stop();
}
