//! Cases 21, 22, 88: the broker is killed and comes back, at any moment.

use std::time::Duration;

use riverrun::connectors::datagen::Datagen;
use riverrun::connectors::kafka::Kafka;

use crate::rig::{World, broker, visible};

const RECORDS: u64 = 30_000;

#[test]
fn cases_21_and_22_the_broker_is_killed_and_comes_back() {
    let mut broker = broker(&[]);
    broker.create_topic("out", 2, &[]).expect("makes");
    let mut world = World::new("brokers");
    world.config.restart.attempts = 20;
    world.config.restart.backoff_max = Duration::from_secs(1);
    let address = broker.address().to_string();
    let run = std::thread::spawn(move || {
        let ended = world.run(|job| {
            let numbers = Datagen::new(|i, _| i).count(RECORDS).splits(2).rate(2_000);
            let sink = Kafka::brokers(&address).write_json::<u64>("out");
            job.source("numbers", numbers).sink("out", sink);
        });
        ended.map(drop)
    });
    for pause in [1_500, 300, 2_100] {
        std::thread::sleep(Duration::from_millis(pause));
        broker.kill();
        std::thread::sleep(Duration::from_millis(pause));
        broker.restart().expect("comes back");
    }
    run.join().expect("no panic").unwrap_or_else(|error| panic!("{error}"));
    let mut seen: Vec<u64> = visible(&broker, "out")
        .iter()
        .map(|record| record.value_text().expect("JSON").parse().expect("a number"))
        .collect();
    seen.sort_unstable();
    assert!(seen.iter().copied().eq(0..RECORDS), "{} records, or others", seen.len());
}
