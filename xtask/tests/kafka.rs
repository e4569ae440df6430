//! The broker of the tests, drilled: what was written is there after a kill, and a broker that is
//! stopped does not answer. Needs Java and, the first time, Maven: it fails where they are missing,
//! and says so. Some 40 s.
//!
//! `cargo test -p xtask --test kafka`

#![allow(clippy::disallowed_methods, reason = "a test waits as it likes")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use xtask::kafka::{Broker, BrokerOptions, ConsumedRecord, Until};

const LIMIT: Duration = Duration::from_secs(60);

/// Partition, key and value of each record, in order.
fn seen(records: &[ConsumedRecord]) -> Vec<(i32, Option<String>, Option<String>)> {
    let text = |bytes: &Option<Vec<u8>>| {
        bytes.as_ref().map(|bytes| String::from_utf8(bytes.clone()).expect("a text"))
    };
    let mut seen: Vec<_> =
        records.iter().map(|r| (r.partition, text(&r.key), text(&r.value))).collect();
    seen.sort();
    seen
}

#[test]
fn a_broker_keeps_its_records_through_its_death() {
    let mut broker = Broker::start(&BrokerOptions::default()).expect("a broker");
    let address = broker.address();
    broker.create_topic("orders", 2, &[("cleanup.policy", "compact")]).expect("a topic");
    broker.create_topic("empty", 1, &[]).expect("a topic");
    let again = broker.create_topic("orders", 2, &[]).expect_err("it exists").to_string();
    assert!(again.contains("exists already"), "{again}");
    let wrong = broker.create_topic("bad", 1, &[("cleanup.policy", "burn")]);
    assert!(wrong.is_err(), "a policy that Kafka does not know");

    let records = [
        (Some("a"), Some("1")),
        (Some("b"), Some("tab\tand space ")),
        (None, Some("no key")),
        (Some("a"), None),
        (Some(""), Some("")),
    ];
    let refused = broker.produce("orders", &records).expect_err("compaction wants keys");
    assert!(format!("{refused:#}").contains("ERROR"), "{refused:#}");
    broker.create_topic("log", 2, &[]).expect("a topic");
    broker.produce("log", &records).expect("records are written");
    let before = broker.consume_committed("log", Until::End, LIMIT).expect("records are read");
    let mut wanted: Vec<_> =
        records.iter().map(|(k, v)| (k.map(str::to_owned), v.map(str::to_owned))).collect();
    wanted.sort();
    let mut got: Vec<_> = seen(&before).into_iter().map(|(_, k, v)| (k, v)).collect();
    got.sort();
    assert_eq!(got, wanted);
    for record in &before {
        assert!(record.timestamp.is_some_and(|ms| ms > 1_600_000_000_000), "{record:?}");
        assert!(record.offset < 5 && record.headers.is_empty(), "{record:?}");
    }
    assert_eq!(broker.consume_committed("empty", Until::End, LIMIT).expect("it is read"), []);

    broker.kill();
    assert!(TcpStream::connect(address).is_err(), "it is dead");
    broker.restart().expect("it comes back");
    assert_eq!(broker.address(), address);
    let after = broker.consume_committed("log", Until::Count(5), LIMIT).expect("records are read");
    assert_eq!(seen(&after), seen(&before));

    broker.delete_topic("empty").expect("it is deleted");
    assert!(!broker.topics().expect("topics").iter().any(|topic| topic.name == "empty"));
    assert!(broker.delete_topic("empty").is_err());
    assert!(broker.consume_committed("empty", Until::End, LIMIT).is_err());

    broker.stop_signal().expect("it is stopped");
    assert!(!answers(&broker), "a broker that is stopped");
    broker.continue_signal().expect("it goes on");
    assert!(answers(&broker), "a broker that goes on");
    broker.stop().expect("it ends");
    assert!(TcpStream::connect(address).is_err(), "it has ended");
    assert!(broker.stop_signal().is_err());
    let log = broker.log();
    assert!(log.is_file());
    drop(broker);
    assert!(!log.exists(), "its folder is removed");
}

/// In Kafka's log a transaction ends with a record that no consumer shows.
#[test]
fn the_end_lies_behind_the_last_commit() {
    let broker = Broker::start(&BrokerOptions::default()).expect("a broker");
    broker.create_topic("sums", 2, &[]).expect("a topic");
    let address = broker.address().to_string();
    let mut tool = broker.tool("org.apache.kafka.tools.ProducerPerformance");
    tool.args(["--topic", "sums", "--num-records", "300", "--record-size", "10"]);
    tool.args(["--throughput", "-1", "--transactional-id", "t", "--transaction-duration-ms", "1"]);
    tool.args(["--producer-props", &format!("bootstrap.servers={address}")]);
    let ran = tool.output().expect("Java runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let records = broker.consume_committed("sums", Until::End, LIMIT).expect("records are read");
    assert_eq!(records.len(), 300);
    for partition in 0..2 {
        let offsets = records.iter().filter(|r| r.partition == partition).map(|r| r.offset);
        assert!(offsets.is_sorted(), "partition {partition}");
    }
    let few = broker.consume_committed("sums", Until::Count(301), Duration::from_secs(5));
    let few = format!("{:#}", few.expect_err("there are 300"));
    assert!(few.contains("more than 300 of the topic's records"), "{few}");
}

/// The test below runs itself in a process of its own, which finds this set.
const VICTIM: &str = "RIVERRUN_BROKER_VICTIM";

#[test]
fn a_broker_dies_with_its_process() {
    if std::env::var_os(VICTIM).is_some() {
        let broker = Broker::start(&BrokerOptions::default()).expect("a broker");
        println!("\n{VICTIM} {} {}", broker.address(), broker.log().display());
        std::thread::sleep(LIMIT);
        return;
    }
    let itself = std::env::current_exe().expect("this test's program");
    let mut victim = Command::new(itself)
        .args(["--exact", "a_broker_dies_with_its_process", "--nocapture"])
        .env(VICTIM, "yes")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test runs again");
    let output = BufReader::new(victim.stdout.take().expect("its output"));
    let said = output.lines().map_while(Result::ok).find(|line| line.starts_with(VICTIM));
    victim.kill().expect("it is killed");
    victim.wait().expect("it is dead");
    let said = said.expect("its broker is ready");
    let [_, address, log] = said.split(' ').collect::<Vec<_>>()[..] else { panic!("{said}") };
    let begun = Instant::now();
    while TcpStream::connect(address).is_ok() || Path::new(log).exists() {
        assert!(begun.elapsed() < LIMIT, "{address} or {log} outlives its process");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether the broker answers within two seconds which versions it speaks.
fn answers(broker: &Broker) -> bool {
    let mut stream = TcpStream::connect(broker.address()).expect("a stopped broker still accepts");
    stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255]).expect("it is sent");
    stream.read_exact(&mut [0; 8]).is_ok()
}
