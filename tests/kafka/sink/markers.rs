//! Cases 17 to 20 (16 is `RR0237`, tested where it is decided, in the runtime): markers and
//! checkpoints that do not belong together, and a topic that is not as it must be. Nothing starts,
//! and the message says what to do.

use std::fs;
use std::time::Duration;

use riverrun::connectors::kafka::Kafka;
use riverrun::connectors::memory::MemorySource;
use riverrun::prelude::*;
use riverrun::runtime::config::From;

use crate::rig::{BROKER, World, visible};

fn pipeline(job: &Job) {
    let kafka = Kafka::brokers(&BROKER.address().to_string());
    let numbers = MemorySource::new(vec![(0..10).collect::<Vec<u64>>()]);
    job.source("numbers", numbers).sink("out", kafka.write_json("markers"));
}

/// A job that has run once, with its output in the topic `markers`.
fn ran(name: &str) -> World {
    if !BROKER.topics().expect("lists").iter().any(|topic| topic.name == "markers") {
        // Two tests may see that it is missing; the second then sees that it is there.
        let _there = BROKER.create_topic("markers", 1, &[]);
    }
    let world = World::new(name);
    world.run(pipeline).expect("ends well");
    world
}

fn holds(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
}

#[test]
fn case_17_the_marker_topic_is_gone_while_there_are_checkpoints() {
    let mut world = ran("case17");
    BROKER.delete_topic("case17-commit").expect("deletes");
    std::thread::sleep(Duration::from_secs(1));
    holds(&world.error(pipeline), &["RR0234", "no marker", "--accept-duplicates"]);
    // The user's word: then the output appears twice.
    let newest = fs::read_dir(world.folder.path().join("checkpoints")).expect("reads").count();
    world.options.from = From::Checkpoint(newest.to_string());
    world.options.accept_duplicates = true;
    world.run(pipeline).expect("goes on");
    world.options = riverrun::runtime::config::RunOptions::default();
    world.run(pipeline).expect("has its marker again");
}

#[test]
fn case_18_the_marker_names_a_checkpoint_that_the_store_does_not_have_or_cannot_read() {
    let world = ran("case18");
    let elsewhere = World::new("case18");
    holds(&elsewhere.error(pipeline), &["RR0233", "checkpoint.path"]);
    for entry in fs::read_dir(world.folder.path().join("checkpoints")).expect("reads") {
        let path = entry.expect("reads").path();
        let bytes = fs::read(&path).expect("reads");
        fs::write(&path, &bytes[..bytes.len() / 2]).expect("writes");
    }
    holds(&world.error(pipeline), &["RR0236", "nothing was started"]);
}

#[test]
fn case_19_a_marker_topic_of_the_wrong_shape() {
    BROKER.create_topic("case19a-commit", 2, &[("cleanup.policy", "compact")]).expect("makes");
    holds(&World::new("case19a").error(pipeline), &["RR0743", "case19a-commit", "2 partitions"]);
    BROKER.create_topic("case19b-commit", 1, &[("cleanup.policy", "delete")]).expect("makes");
    holds(&World::new("case19b").error(pipeline), &["RR0743", "cleanup.policy=compact"]);
}

#[test]
fn case_20_a_stranger_writes_to_the_marker_topic() {
    let world = ran("case20");
    let before = visible(&BROKER, "markers").len();
    BROKER.produce("case20-commit", &[(Some("0"), Some("hello"))]).expect("writes");
    holds(&world.error(pipeline), &["RR0752", "case20-commit", "hello"]);
    assert!(visible(&BROKER, "markers").len() >= before);
}
