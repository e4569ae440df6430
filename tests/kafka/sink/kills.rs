//! Cases 1 to 5, 7, 10, 15, 36: a job is killed at random moments, also during its recovery, and
//! started again at another parallelism; in the end everything is there once.

use std::collections::BTreeMap;
use std::time::Duration;

use riverrun::connectors::datagen::Datagen;
use riverrun::connectors::kafka::Kafka;
use riverrun::prelude::*;
use riverrun::runtime::config::RunOptions;
use riverrun::runtime::control::Control;

use crate::rig::{BROKER, World, child, config, end_of, given, run, visible};

const RECORDS: u64 = 12_000;
const KEYS: u64 = 37;

/// Numbers by key, each with its place among those of its key.
fn pipeline(job: &Job, address: &str, out: &str, rate: u64) {
    let numbers = Datagen::new(|i, _| i).seed(7).count(RECORDS).splits(3).rate(rate);
    let kafka = Kafka::brokers(address);
    let placed = job.source("numbers", numbers).key_by(|n| n % KEYS).scan(
        "placed",
        |count: &mut u64, n: u64| {
            *count += 1;
            (n % KEYS, *count)
        },
    );
    let key = |(key, _): &(u64, u64)| key.to_string();
    placed.sink("out", kafka.write_json::<(u64, u64)>(out).key(key));
}

/// Every key's places are 1, 2, 3, .. in the order of the records, and nothing is missing.
fn check(out: &str) {
    let mut places: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for record in visible(&BROKER, out) {
        let text = record.value_text().expect("JSON");
        let (key, place): (u64, u64) = serde_json::from_str(text).expect("a pair");
        places.entry(key).or_default().push(place);
    }
    for (key, places) in &places {
        let expected: Vec<u64> = (1..=places.len() as u64).collect();
        assert_eq!(*places, expected, "key {key}");
    }
    assert_eq!(places.values().map(Vec::len).sum::<usize>() as u64, RECORDS);
}

#[test]
#[ignore = "the process that the test below kills"]
fn killed_job() {
    let (name, out) = (given("JOB"), given("OUT"));
    let mut config = config(&name, &given("FOLDER"));
    config.parallelism = given("PARALLELISM").parse().expect("a number");
    let address = given("ADDRESS");
    let build = |job: &Job| pipeline(job, &address, &out, 6_000);
    let ended = run(&name, &config, &RunOptions::default(), build, Control::detached());
    ended.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn cases_1_to_5_7_10_15_36_killed_at_any_moment() {
    let world = World::new("killed");
    BROKER.create_topic("killed-out", 3, &[]).expect("makes");
    let variables = |parallelism: u32| {
        [
            ("JOB", world.job.clone()),
            ("OUT", "killed-out".to_owned()),
            ("FOLDER", world.config.checkpoint.path.clone()),
            ("ADDRESS", BROKER.address().to_string()),
            ("PARALLELISM", parallelism.to_string()),
        ]
    };
    let seed: u64 = std::env::var("KILL_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    eprintln!("KILL_SEED={seed}");
    let mut random = seed;
    for kill in 0..200_u32 {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // From within the recovery to well into the run.
        let pause = Duration::from_millis(200 + (random >> 33) % 1_300);
        let pause = if kill < 10 { pause } else { Duration::from_secs(60) };
        let process = child("sink::kills::killed_job", &variables(1 + kill % 4));
        match end_of(process, pause) {
            (None, _) => {}
            (Some(true), _) => break,
            (Some(false), said) => panic!("kill {kill}: it failed by itself: {said}"),
        }
    }
    check("killed-out");
}
