//! Fetching from librdkafka's own mock cluster: enough for what needs no transactions.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

use super::*;
use crate::cluster::Cluster;
use crate::records::Place;

type Mock = MockCluster<'static, DefaultProducerContext>;

fn cluster(topic: &str, partitions: i32) -> (Mock, Connection) {
    let mock = MockCluster::new(1).expect("a cluster");
    mock.create_topic(topic, partitions, 1).expect("a topic");
    let connection = Connection::new(&mock.bootstrap_servers());
    (mock, connection)
}

fn producer(connection: &Connection) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", connection.brokers());
    config.create().expect("a producer")
}

fn send(producer: &BaseProducer, record: BaseRecord<'_, [u8], [u8]>) {
    producer.send(record).map_err(|(error, _)| error).expect("is taken");
}

fn flush(producer: &BaseProducer) {
    producer.flush(Duration::from_secs(10)).expect("is delivered");
}

fn settings() -> FetchSettings {
    let group = "job".to_owned();
    FetchSettings { group, isolation: Isolation::Committed, buffer_bytes: 1 << 20, headers: true }
}

fn part(topic: &str, number: i32) -> Partition {
    Partition { topic: topic.into(), number }
}

/// Fetches until `done`, at most ten seconds.
fn fetch_until(fetcher: &mut Fetcher, done: impl Fn(&[Fetched]) -> bool) -> Vec<Fetched> {
    let mut out = Vec::new();
    for _ in 0..200 {
        fetcher.fetch(Duration::from_millis(50), &mut out).expect("fetches");
        if done(&out) {
            return out;
        }
    }
    panic!("did not come: {out:?}");
}

fn ends(out: &[Fetched]) -> usize {
    out.iter().filter(|fetched| matches!(fetched, Fetched::End { .. })).count()
}

#[test]
fn records_come_whole_in_order_and_by_partition() {
    let (_mock, connection) = cluster("t", 2);
    let producer = producer(&connection);
    for i in 0..5000_i32 {
        let (key, value) = (i.to_be_bytes(), vec![7; (i % 9) as usize]);
        send(&producer, BaseRecord::to("t").partition(i % 2).key(&key[..]).payload(&value[..]));
    }
    flush(&producer);
    let mut fetcher = Fetcher::open(&connection, &settings()).expect("opens");
    fetcher.add(vec![(part("t", 0), 0), (part("t", 1), 100)]).expect("adds");
    let out = fetch_until(&mut fetcher, |out| ends(out) == 2);
    let mut next = [0, 100];
    for fetched in out {
        match fetched {
            Fetched::Records { partition, records, high } => {
                assert!(records.len() <= RECORDS_MAX && high == 2500);
                for record in records.iter() {
                    let expected = &mut next[partition.0];
                    assert_eq!(record.place().offset, *expected);
                    let i = *expected as i32 * 2 + partition.0 as i32;
                    assert_eq!(record.key(), Some(&i.to_be_bytes()[..]));
                    assert_eq!(record.value().map(<[u8]>::len), Some((i % 9) as usize));
                    *expected += 1;
                }
                fetcher.recycle(records);
            }
            Fetched::End { offset, high, .. } => assert_eq!((offset, high), (2500, 2500)),
            Fetched::Failed(error) => panic!("{error}"),
        }
    }
    assert_eq!(next, [2500, 2500]);
}

#[test]
fn absent_empty_and_repeated_come_as_they_were_sent() {
    let (_mock, connection) = cluster("t", 1);
    let producer = producer(&connection);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "a", value: None::<&[u8]> })
        .insert(Header { key: "a", value: Some(&b"1"[..]) });
    send(&producer, BaseRecord::to("t").key(&b""[..]).timestamp(5).headers(headers));
    send(&producer, BaseRecord::to("t").payload(&b""[..]).timestamp(7));
    flush(&producer);
    let mut fetcher = Fetcher::open(&connection, &settings()).expect("opens");
    fetcher.add(vec![(part("t", 0), 0)]).expect("adds");
    let out = fetch_until(&mut fetcher, |out| ends(out) == 1);
    let Some(Fetched::Records { records, .. }) = out.first() else { panic!("{out:?}") };
    let (one, two) = (records.get(0).expect("there"), records.get(1).expect("there"));
    assert_eq!((one.key(), one.value()), (Some(&b""[..]), None));
    assert_eq!(one.headers().collect::<Vec<_>>(), [("a", None), ("a", Some(&b"1"[..]))]);
    assert_eq!((two.key(), two.value()), (None, Some(&b""[..])));
    assert_eq!(two.place(), Place { offset: 1, timestamp: Some(7), partition: None });
}

#[test]
fn an_offset_that_is_gone_names_its_partition_and_stops_only_that() {
    let (_mock, connection) = cluster("t", 2);
    let producer = producer(&connection);
    send(&producer, BaseRecord::to("t").partition(1).payload(&b"x"[..]));
    flush(&producer);
    let mut fetcher = Fetcher::open(&connection, &settings()).expect("opens");
    fetcher.add(vec![(part("t", 0), 99), (part("t", 1), 0)]).expect("adds");
    let failed = |out: &[Fetched]| out.iter().any(|f| matches!(f, Fetched::Failed(_)));
    let out = fetch_until(&mut fetcher, |out| failed(out) && ends(out) == 1);
    let error = out.iter().find_map(|fetched| match fetched {
        Fetched::Failed(error) => Some(error.to_string()),
        _ => None,
    });
    let error = error.expect("failed");
    assert!(error.contains("RR0716") && error.contains("t/0") && error.contains("99"), "{error}");
}

#[test]
fn partitions_come_and_go_while_others_are_fetched() {
    let (_mock, connection) = cluster("t", 2);
    let producer = producer(&connection);
    let mut fetcher = Fetcher::open(&connection, &settings()).expect("opens");
    fetcher.add(vec![(part("t", 0), 0)]).expect("adds");
    fetch_until(&mut fetcher, |out| ends(out) == 1);
    fetcher.add(vec![(part("t", 1), 0)]).expect("adds");
    fetch_until(&mut fetcher, |out| {
        let one = |f: &Fetched| matches!(f, Fetched::End { partition: PartitionIndex(1), .. });
        out.iter().any(one)
    });
    fetcher.remove(PartitionIndex(0)).expect("removes");
    for partition in [0, 1] {
        send(&producer, BaseRecord::to("t").partition(partition).payload(&b"x"[..]));
    }
    flush(&producer);
    let out = fetch_until(&mut fetcher, |out| !out.is_empty());
    let of = |fetched: &Fetched| {
        matches!(fetched, Fetched::Records { partition, .. }
        if *partition == PartitionIndex(1))
    };
    assert!(out.iter().any(of), "{out:?}");
}

#[test]
fn a_cluster_tells_topics_and_how_far_they_reach() {
    let (_mock, connection) = cluster("t", 3);
    let producer = producer(&connection);
    send(&producer, BaseRecord::to("t").partition(2).payload(&b"x"[..]));
    flush(&producer);
    let limit = Duration::from_secs(10);
    let mut cluster = Cluster::connect(&connection, Isolation::Committed, limit).expect("connects");
    assert!(cluster.topics().expect("answers").contains(&"t".to_owned()));
    assert!(!cluster.id().expect("answers").is_empty());
    let all = [part("t", 0), part("t", 2)];
    let reach = cluster.reach(&all).expect("answers");
    assert_eq!(reach.iter().map(|r| (r.low, r.end)).collect::<Vec<_>>(), [(0, 0), (0, 1)]);
}

#[test]
fn nobody_there_is_an_error_within_the_limit_that_says_what_to_look_at() {
    let connection = Connection::new("127.0.0.1:1");
    let limit = Duration::from_millis(500);
    let mut cluster = Cluster::connect(&connection, Isolation::Committed, limit).expect("connects");
    let error = cluster.topics().expect_err("nobody is there").to_string();
    for part in ["RR0711", "127.0.0.1:1", "sasl", "security.protocol", "for its topics"] {
        assert!(error.contains(part), "{error}");
    }
}
