//! What a record becomes.

use rdkafka::message::{Header, OwnedHeaders};
use riverrun::connectors::kafka::{End, KafkaRecord, OnBad};
use riverrun::connectors::memory::MemoryOutput;
use riverrun::prelude::*;

use super::{numbers, says, world};
use crate::cluster::{Cluster, Record};

#[test]
fn case_41_time_nothing_empty_and_repeated_headers_come_as_they_are() {
    let cluster = Cluster::take();
    cluster.create("whole", 1);
    let sender = cluster.producer();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "h", value: Some(&b"1"[..]) })
        .insert(Header { key: "h", value: None::<&[u8]> })
        .insert(Header { key: "", value: Some(&b""[..]) });
    // librdkafka takes a timestamp of 0 for "now"; 1 is as near as it goes.
    sender.send(Record::to("whole").timestamp(1).headers(headers));
    sender.send(Record::to("whole").timestamp(2).key(&b""[..]).payload(&b""[..]));
    sender.flush();
    let output = MemoryOutput::<(Timestamp, KafkaRecord<Vec<u8>>)>::new();
    let source = cluster.kafka().read_bytes("whole").until(End::Latest).with_metadata();
    let source = source.kafka_time(Watermarks::monotonic());
    world()
        .run(|job| {
            let records = job.source("whole", source.clone());
            records.map(|r| (r.timestamp.unwrap_or(Timestamp::MIN), r)).sink("out", output.sink());
        })
        .expect("runs");
    let items = output.items();
    let (one, two) = (&items[0].1, &items[1].1);
    assert_eq!((&one.key, &one.value), (&None, &None));
    assert_eq!((&two.key, &two.value), (&Some(vec![]), &Some(vec![])));
    let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
    let expected = [header("h", Some(b"1")), header("h", None), header("", Some(b""))];
    assert_eq!(one.headers, expected);
    assert_eq!(items[0].0, Timestamp::from_millis(1));
    assert_eq!((&*two.topic, two.partition, two.offset), ("whole", 0, 1));
}

#[test]
fn windows_go_by_kafkas_own_timestamps() {
    let cluster = Cluster::take();
    cluster.create("timed", 2);
    let sender = cluster.producer();
    for n in 0..40_i64 {
        let value = n.to_string();
        let record = Record::to("timed").partition((n % 2) as i32).timestamp(1 + n * 100);
        sender.send(record.payload(value.as_bytes()).key(&[][..]));
    }
    sender.flush();
    let output = MemoryOutput::new();
    let source = numbers(&cluster.kafka(), "timed").until(End::Latest);
    let source = source.kafka_time(Watermarks::monotonic());
    world()
        .run(|job| {
            let keyed = job.source("timed", source.clone()).key_by(|_| 0_u8);
            let counts = keyed.window(Tumbling::of(secs(1))).aggregate::<Count>("count");
            counts.map(|w| (w.window.start.as_millis(), w.value.0)).sink("out", output.sink());
        })
        .expect("runs");
    let mut counts = output.items();
    counts.sort_unstable();
    assert_eq!(counts, [(0, 10), (1000, 10), (2000, 10), (3000, 10)]);
}

#[test]
fn bad_records_fail_are_skipped_or_go_to_the_dead_letters() {
    let cluster = Cluster::take();
    cluster.create("bad", 1);
    let sender = cluster.producer();
    sender.numbers("bad", 0, 0..3);
    sender.send(Record::to("bad").payload(&b"no number"[..]).key(&[][..]));
    sender.send(Record::to("bad").key(&b"tombstone"[..]));
    sender.send(Record::to("bad").payload(&[0xff][..]).key(&[][..]));
    sender.numbers("bad", 0, 3..5);
    sender.flush();
    let source = numbers(&cluster.kafka(), "bad").until(End::Latest);
    let output = MemoryOutput::new();
    let copy = |job: &Job| {
        job.source("bad", source.clone()).sink("out", output.sink());
    };
    says(&world().error(copy), &["RR0726", "offset 3 of bad/0", "OnBad::Skip", ".or_bad()"]);
    let output = MemoryOutput::new();
    let skipping = source.clone().on_bad(OnBad::Skip);
    let copy = |job: &Job| {
        job.source("bad", skipping.clone()).sink("out", output.sink());
    };
    world().run(copy).expect("runs");
    assert_eq!(output.items(), [0, 1, 2, 3, 4]);
    let (good, bad) = (MemoryOutput::new(), MemoryOutput::new());
    let parsed = source.clone().or_bad();
    world()
        .run(|job| {
            let all = job.source("bad", parsed.clone());
            all.dead_letter("letters", bad.sink()).sink("out", good.sink());
        })
        .expect("runs");
    assert_eq!(good.items(), [0, 1, 2, 3, 4]);
    let letters: Vec<BadRecord> = bad.items();
    let places: Vec<_> = letters.iter().map(|b| (b.split.as_str(), b.position)).collect();
    assert_eq!(places, [("bad/0", 3), ("bad/0", 4), ("bad/0", 5)]);
    assert_eq!((letters[0].bytes(), letters[2].bytes()), (&b"no number"[..], &[0xff][..]));
    says(&letters[1].reason, &["tombstone"]);
}
