//! What a record looks like in Kafka, and where it goes.

use riverrun::connectors::kafka::{End, Kafka};
use riverrun::connectors::memory::MemorySource;
use riverrun::prelude::*;
use riverrun::runtime::config::RunOptions;
use riverrun::runtime::control::Control;
use riverrun::runtime::logs;

use crate::rig::{BROKER, LIMIT, World, child, config, end_of, given, run, visible};

fn kafka() -> Kafka {
    Kafka::brokers(&BROKER.address().to_string())
}

fn numbers(job: &Job) -> Stream<u64> {
    job.source("numbers", MemorySource::new(vec![(0..20).collect()]))
}

#[test]
fn case_41_key_headers_timestamp_tombstones_and_topics_by_record() {
    for topic in ["shapes-even", "shapes-odd"] {
        BROKER.create_topic(topic, 2, &[]).expect("makes");
    }
    let topic = |n: &u64| if n.is_multiple_of(2) { "shapes-even" } else { "shapes-odd" };
    let headers = |n: &u64| {
        let value = |n: u64| Some(n.to_string().into_bytes());
        vec![("n".to_owned(), value(*n)), ("n".to_owned(), None)]
    };
    World::new("shapes")
        .run(|job| {
            let sink = kafka().write_json::<u64>("shapes-even").topic_by(topic).headers(headers);
            let sink = sink.key(|n| n.to_string()).partition(|n| Some((*n % 4 / 2) as i32));
            let sink = sink.timestamp(|n| Timestamp::from_millis(1_000 + *n as i64));
            numbers(job).sink("out", sink.tombstone_if(|n| *n >= 18));
        })
        .expect("ends well");
    let even = visible(&BROKER, "shapes-even");
    let odd = visible(&BROKER, "shapes-odd");
    assert_eq!((even.len(), odd.len()), (10, 10));
    for record in even.iter().chain(&odd) {
        let n: u64 = record.key_text().expect("has a key").parse().expect("a number");
        let text = n.to_string();
        let value = (n < 18).then_some(text.as_str());
        assert_eq!(record.value_text(), value);
        assert_eq!(record.timestamp, Some(1_000 + n as i64));
        assert_eq!(record.partition, (n % 4 / 2) as i32);
        let headers = [("n".to_owned(), Some(text.into_bytes())), ("n".to_owned(), None)];
        assert_eq!(record.headers, headers);
    }
}

#[test]
#[ignore = "the process that the test below starts"]
fn job_with_past_timestamps() {
    let folder = given("FOLDER");
    let build = |job: &Job| {
        let kafka = Kafka::brokers(&given("ADDRESS"));
        let old = Timestamp::from_millis(1_000);
        let numbers = numbers(job).event_time(move |_| old, Watermarks::monotonic());
        let sink = kafka.write_json(given("TOPIC").as_str());
        let sink = if given("TOPIC") == "stamped-now" { sink.timestamp_of_sending() } else { sink };
        numbers.sink("out", sink);
    };
    let config = config(&given("TOPIC"), &folder);
    logs::start(&config.log, None).expect("a filter");
    let ended = run(&given("TOPIC"), &config, &RunOptions::default(), build, Control::detached());
    ended.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn records_older_than_a_topic_keeps_are_warned_of_and_may_bear_the_time_of_sending() {
    let began = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let began = began.expect("after 1970").as_millis() as i64;
    for topic in ["stamped-then", "stamped-now"] {
        BROKER.create_topic(topic, 1, &[("retention.ms", "3600000")]).expect("makes");
        let folder = tempfile::tempdir().expect("a folder");
        let variables = [
            ("TOPIC", topic.to_owned()),
            ("FOLDER", folder.path().to_str().expect("text").to_owned()),
            ("ADDRESS", BROKER.address().to_string()),
        ];
        let process = child("sink::shapes::job_with_past_timestamps", &variables);
        let (ended, said) = end_of(process, LIMIT);
        assert_eq!(ended, Some(true), "{said}");
        assert_eq!(said.contains("RR0756"), topic == "stamped-then", "{said}");
        let now = |at: Option<i64>| at.is_some_and(|at| at >= began);
        let all = visible(&BROKER, topic);
        assert!(all.iter().all(|r| now(r.timestamp) == (topic == "stamped-now")), "{all:?}");
        assert!(all.len() == 20 || topic == "stamped-then", "{all:?}");
    }
}

/// What no compression makes small.
fn noise() -> String {
    let mix = |n: u64| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20).wrapping_mul(n);
    (1..2_000).map(|n| format!("{:x}", mix(n))).collect()
}

#[test]
fn case_23_a_record_too_large_ends_the_run_and_nothing_of_its_checkpoint_is_visible() {
    BROKER.create_topic("large", 1, &[("max.message.bytes", "2000")]).expect("makes");
    let error = World::new("large").error(|job| {
        let texts = job.source("texts", MemorySource::new(vec![vec![noise()]]));
        texts.sink("out", kafka().write_text("large"));
    });
    for part in ["large", "max.message.bytes"] {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
    assert!(visible(&BROKER, "large").is_empty());
}

#[test]
fn case_23_a_batch_is_never_larger_than_the_topic_takes_and_a_missing_topic_is_named() {
    BROKER.create_topic("small", 1, &[("max.message.bytes", "2000")]).expect("makes");
    let world = World::new("small");
    let notes: Vec<String> = (0..500).map(|n| format!("{n}{}", &noise()[..90])).collect();
    let build = |topic: &'static str| {
        let notes = notes.clone();
        move |job: &Job| {
            let notes = job.source("notes", MemorySource::new(vec![notes.clone()]));
            notes.sink("out", kafka().property("compression.type", "none").write_text(topic));
        }
    };
    let error = world.error(build("smal"));
    assert!(error.contains("RR0713") && error.contains("'smal'"), "{error}");
    world.run(build("small")).expect("ends well");
    assert_eq!(visible(&BROKER, "small").len(), notes.len());
}

#[test]
fn dead_letters_are_as_they_were_read_and_say_from_where_and_why() {
    for topic in ["dead-in", "dead-out", "dead-bad"] {
        BROKER.create_topic(topic, 1, &[]).expect("makes");
    }
    let records = [(None, Some("7")), (None, Some("seven")), (None, Some("8"))];
    BROKER.produce("dead-in", &records).expect("writes");
    let world = World::new("dead");
    for _ in 0..2 {
        // The second run goes on behind the last record: nothing comes twice.
        let ended = world.run(|job| {
            let numbers = kafka().read_json::<u64>("dead-in").until(End::Latest).or_bad();
            let numbers = job.source("numbers", numbers);
            let good = numbers.dead_letter("bad", kafka().write_bad("dead-bad"));
            good.sink("out", kafka().write_json("dead-out"));
        });
        ended.expect("ends well");
    }
    let good = visible(&BROKER, "dead-out");
    assert_eq!(good.iter().filter_map(|r| r.value_text()).collect::<Vec<_>>(), ["7", "8"]);
    let bad = visible(&BROKER, "dead-bad");
    assert_eq!((bad.len(), bad[0].value_text()), (1, Some("seven")));
    let header = |name: &str| {
        let (_, value) = bad[0].headers.iter().find(|(known, _)| known == name).expect("there");
        String::from_utf8(value.clone().expect("has a value")).expect("text")
    };
    assert_eq!(header("riverrun.split"), "dead-in/0");
    assert_eq!(header("riverrun.position"), "1");
    assert!(header("riverrun.reason").contains("JSON"), "{}", header("riverrun.reason"));
}

#[test]
fn several_sinks_share_one_transaction_and_at_least_once_needs_none() {
    for topic in ["both-a", "both-b", "both-c"] {
        BROKER.create_topic(topic, 1, &[]).expect("makes");
    }
    World::new("shared")
        .run(|job| {
            let numbers = numbers(job);
            numbers.clone().sink("a", kafka().write_json("both-a"));
            numbers.clone().sink("b", kafka().write_rmp("both-b"));
            numbers.sink("c", kafka().write_json("both-c").at_least_once());
        })
        .expect("ends well");
    for topic in ["both-a", "both-b", "both-c"] {
        assert_eq!(visible(&BROKER, topic).len(), 20, "{topic}");
    }
}
