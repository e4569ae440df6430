//! Cases 25 and 28: what a transaction holds is what its checkpoint holds, and a checkpoint that
//! cannot be stored is neither left out nor decided.

use std::collections::BTreeSet;
use std::time::Duration;

use riverrun::connectors::kafka::{End, Kafka};
use riverrun::engine::crash::{self, CrashOrder};
use riverrun::engine::graph::Uid;
use riverrun::prelude::*;
use riverrun::runtime::checkpoint::CheckpointStore;
use riverrun::runtime::config::RunOptions;
use riverrun::runtime::control::Control;
use riverrun::runtime::logs;

use crate::rig::{BROKER, LIMIT, World, child, config, end_of, given, run, visible};

/// Records of each input topic: some forty batches, and twenty.
const RECORDS: [usize; 2] = [40_000, 20_000];

/// Two topics of one partition each, so that it is known which subtask is slow.
fn fill(name: &str) -> [String; 2] {
    let topics = [0, 1].map(|n| format!("{name}-{n}"));
    for (n, (topic, count)) in topics.iter().zip(RECORDS).enumerate() {
        BROKER.create_topic(topic, 1, &[]).expect("makes");
        let values: Vec<String> = (0..count).map(|i| format!("{n}:{i}")).collect();
        let records: Vec<_> = values.iter().map(|value| (None, Some(value.as_str()))).collect();
        BROKER.produce(topic, &records).expect("writes");
    }
    topics
}

fn partition_of(text: &str) -> i32 {
    i32::from(text.starts_with('1'))
}

/// Copies; a batch takes one subtask 100 ms, and the other 200.
fn copy(job: &Job, address: &str, from: [String; 2], to: &str) {
    let kafka = Kafka::brokers(address);
    let slow = |text: String| {
        let ms = if partition_of(&text) == 0 { 10 } else { 20 };
        if text.ends_with("00") {
            std::thread::sleep(Duration::from_millis(ms));
        }
        text
    };
    let texts = job.source("texts", kafka.read_text(from.to_vec()).until(End::Latest));
    let out = kafka.write_text(to).partition(|text: &String| Some(partition_of(text)));
    texts.map(slow).sink("out", out);
}

/// How many records of `partition` were written when each of its transactions was over: two
/// producers take turns, so that the next begins where the producer changes. Kafka's own view.
fn steps(topic: &str, partition: i32) -> BTreeSet<usize> {
    let mut tool = BROKER.tool("kafka.tools.DumpLogSegments");
    tool.arg("--files").arg(BROKER.log_of(topic, partition));
    let printed = tool.output().expect("starts");
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    let (mut steps, mut count, mut before) = (BTreeSet::new(), 0, None);
    for batch in printed.lines().filter(|line| line.starts_with("baseOffset: ")) {
        let words: Vec<&str> = batch.split_whitespace().collect();
        let after = |name: &str| words[words.iter().position(|w| *w == name).expect("there") + 1];
        assert_eq!(after("isTransactional:"), "true", "{batch}");
        if after("isControl:") == "true" {
            continue;
        }
        let producer = Some(after("producerId:").to_owned());
        if before.is_some() && before != producer {
            steps.insert(count);
        }
        before = producer;
        count += after("count:").parse::<usize>().expect("a number");
    }
    steps.insert(count);
    steps
}

#[test]
fn case_25_a_transaction_holds_exactly_what_its_checkpoint_has_read() {
    let from = fill("case25");
    BROKER.create_topic("case25-out", 2, &[]).expect("makes");
    let mut world = World::new("case25");
    world.config.checkpoint.retain = 1_000;
    let address = BROKER.address().to_string();
    // The first transactions of a new broker take seconds.
    BROKER.create_topic("case25-first", 2, &[]).expect("makes");
    let first = World::new("case25-first");
    first.run(|job| copy(job, &address, from.clone(), "case25-first")).expect("ends well");
    world.run(|job| copy(job, &address, from.clone(), "case25-out")).expect("ends well");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut read = [BTreeSet::new(), BTreeSet::new()];
    runtime.block_on(async {
        let store = CheckpointStore::open_existing(&world.config.checkpoint.path).expect("there");
        for id in store.list().await.expect("lists") {
            let manifest = store.read_manifest(id).await.expect("whole");
            for split in &manifest.sources[&Uid::new("texts")] {
                let partition = usize::from(split.id.starts_with("case25-1"));
                // "offset 7", or "begin".
                let next = split.offset_text.strip_prefix("offset ");
                read[partition].extend(next.map(|n| n.parse::<usize>().expect("a number")));
            }
        }
    });
    for (partition, mut read) in read.into_iter().enumerate() {
        // Where a partition brought nothing between two barriers there is nothing to see.
        read.remove(&0);
        let seen = steps("case25-out", partition as i32);
        assert!(seen.len() > 3, "too few transactions to tell anything: {seen:?}");
        assert_eq!(seen, read, "partition {partition}");
        assert_eq!(seen.last(), Some(&RECORDS[partition]));
    }
}

#[test]
#[ignore = "the process that the test below starts"]
fn job_with_failing_storage() {
    crash::arm(CrashOrder::parse_all(&given("ORDERS")).expect("orders"), |_| {});
    let mut config = config("case28", &given("FOLDER"));
    config.checkpoint.timeout = Duration::from_secs(2);
    logs::start(&config.log, None).expect("a filter");
    let from = || [0, 1].map(|n| format!("case28-{n}"));
    let build = |job: &Job| copy(job, &given("ADDRESS"), from(), "case28-out");
    let ended = run("case28", &config, &RunOptions::default(), build, Control::detached());
    ended.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn case_28_a_checkpoint_that_cannot_be_stored_is_tried_again_and_never_left_out() {
    fill("case28");
    BROKER.create_topic("case28-out", 2, &[]).expect("makes");
    let world = World::new("case28");
    let life = |orders: &str| {
        let variables = [
            ("ORDERS", orders.to_owned()),
            ("FOLDER", world.config.checkpoint.path.clone()),
            ("ADDRESS", BROKER.address().to_string()),
        ];
        end_of(child("sink::cuts::job_with_failing_storage", &variables), LIMIT)
    };
    let prefix = || {
        let records = visible(&BROKER, "case28-out");
        let mut next = [0; 2];
        for record in &records {
            let text = record.value_text().expect("text");
            let partition = partition_of(text) as usize;
            assert_eq!(text, format!("{partition}:{}", next[partition]), "in order, once");
            next[partition] += 1;
        }
        next
    };
    // Storage that fails for good from the fourth file on: three attempts, then it gives up.
    let orders: Vec<_> = (4..2_000).map(|n| format!("storage.write:{n}:error")).collect();
    let (ended, said) = life(&orders.join(","));
    assert_eq!(ended, Some(false), "it cannot have ended: {said}");
    for part in ["RR0401", "cannot be left out", "storage.write"] {
        assert!(said.contains(part), "'{part}' is not in: {said}");
    }
    let before = prefix();
    assert!(before < RECORDS && before[0] > 0, "some, not all: {before:?}");
    // Twice, then it answers again: the same checkpoint goes through, and the job never notices.
    let (ended, said) = life("storage.write:2:error,storage.write:3:error");
    assert_eq!(ended, Some(true), "{said}");
    assert!(!said.contains("attempt failed"), "{said}");
    assert_eq!(prefix(), RECORDS);
}
