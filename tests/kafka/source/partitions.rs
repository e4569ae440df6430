//! Partitions that come up, brokers that go and come back.

use std::time::Duration;

use riverrun::connectors::kafka::{End, Start, Topics};
use riverrun::connectors::memory::MemoryOutput;

use super::{Live, copy, numbers, read, world};
use crate::cluster::{Cluster, await_that};

#[test]
fn case_32_partitions_that_come_up_are_read_from_their_first_record() {
    let cluster = Cluster::take();
    cluster.create("grows", 1);
    let sender = cluster.producer();
    sender.numbers("grows", 0, 0..10);
    sender.flush();
    let (output, source) = (MemoryOutput::new(), numbers(&cluster.kafka(), "grows"));
    let source = source.from(Start::Latest).discover_every(Duration::from_millis(200));
    let (to, from) = (output.clone(), source.clone());
    let live = Live::start(world(), move |job| copy(job, from.clone(), &to));
    live.checkpoint();
    cluster.grow("grows", 4);
    // Another producer: this one keeps what it knows of the topic.
    let grown = cluster.producer();
    for partition in 0..4 {
        let first = 100 * (partition as u64 + 1);
        grown.numbers("grows", partition, first..first + 50);
    }
    grown.flush();
    await_that("four partitions", || read(&output).len() == 200);
    let world = live.stop().at(3);
    cluster.grow("grows", 6);
    let again = cluster.producer();
    for partition in 0..6 {
        let first = 1000 * (partition as u64 + 1);
        again.numbers("grows", partition, first..first + 50);
    }
    again.flush();
    let bounded = source.until(End::Latest);
    world.run(|job| copy(job, bounded.clone(), &output)).expect("runs");
    let mut expected: Vec<u64> = (1..5).flat_map(|n| n * 100..n * 100 + 50).collect();
    expected.extend((1..7).flat_map(|n| n * 1000..n * 1000 + 50));
    assert_eq!(read(&output), expected);
}

#[test]
fn topics_that_match_are_found_also_while_reading() {
    let cluster = Cluster::take();
    for topic in ["match-a", "match-b", "matchless"] {
        cluster.create(topic, 1);
    }
    let sender = cluster.producer();
    sender.numbers("match-a", 0, 0..10);
    sender.numbers("match-b", 0, 10..20);
    sender.numbers("matchless", 0, 90..99);
    sender.flush();
    let output = MemoryOutput::new();
    let source = cluster.kafka().read_json::<u64>(Topics::matching("match-[a-z]"));
    let source = source.discover_every(Duration::from_millis(200));
    let to = output.clone();
    let live = Live::start(world(), move |job| copy(job, source.clone(), &to));
    await_that("two topics", || read(&output).len() == 20);
    cluster.create("match-c", 2);
    sender.numbers("match-c", 1, 20..30);
    sender.flush();
    await_that("three topics", || read(&output).len() == 30);
    live.stop();
    assert_eq!(read(&output), (0..30).collect::<Vec<_>>());
}

#[test]
fn a_broker_that_is_away_for_a_while_ends_nothing() {
    let mut cluster = Cluster::take();
    cluster.create("away", 1);
    let sender = cluster.producer();
    sender.numbers("away", 0, 0..10);
    sender.flush();
    let (output, source) = (MemoryOutput::new(), numbers(&cluster.kafka(), "away"));
    let to = output.clone();
    let live = Live::start(world(), move |job| copy(job, source.clone(), &to));
    await_that("ten numbers", || read(&output).len() == 10);
    cluster.broker().kill();
    std::thread::sleep(Duration::from_secs(1));
    live.checkpoint();
    cluster.broker().restart().expect("comes back");
    let sender = cluster.producer();
    sender.numbers("away", 0, 10..20);
    sender.flush();
    await_that("twenty numbers", || read(&output).len() == 20);
    live.stop();
}

#[test]
fn case_42_a_thousand_partitions_are_read_to_their_end_and_restored() {
    let cluster = Cluster::take();
    cluster.create("wide", 1000);
    let sender = cluster.producer();
    for partition in 0..1000 {
        let first = 3 * partition as u64;
        sender.numbers("wide", partition, first..first + 3);
    }
    sender.flush();
    let output = MemoryOutput::new();
    let source = numbers(&cluster.kafka(), "wide");
    let (to, from) = (output.clone(), source.clone());
    let live = Live::start(world(), move |job| copy(job, from.clone(), &to));
    await_that("all partitions", || read(&output).len() == 3000);
    let world = live.stop().at(3);
    sender.numbers("wide", 999, 3000..3010);
    sender.flush();
    let bounded = source.until(End::Latest);
    world.run(|job| copy(job, bounded.clone(), &output)).expect("runs");
    assert_eq!(read(&output), (0..3010).collect::<Vec<_>>());
}
