//! A small topic whose last committed record counts: made, checked, and read to its end.
//!
//! Called by the sink's participant for the topic of markers. The topic has one partition and is
//! compacted, so that its records never expire. Reading, in this order (the caller has fenced all
//! its own writers before, so that nothing of theirs is open):
//!
//! 1. the partition's end, and its last stable offset; wait until they are equal: what lies between
//!    them may still become visible;
//! 2. fetch from an offset a little before the end;
//! 3. read until the end of the partition is reported: only that proves that all was read. A
//!    client without the right to read gets neither records nor an error nor that report.

mod error;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use self::error::MarkerError;
use crate::cluster::{Cluster, ClusterError, Isolation, NewTopic, Partition, Reach};
use crate::connection::Connection;
use crate::fetch::{FetchSettings, Fetched, Fetcher};

/// How far before the end reading begins; ten times as far when nothing was found there.
const BACK: i64 = 1000;
/// Markers are small, and a thousand of them are read.
const BUFFER_BYTES: u64 = 1 << 20;
/// Between two looks at what must change by itself.
const LOOK: Duration = Duration::from_millis(50);

/// One committed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// Where it stands.
    pub offset: i64,
    /// Its value; a tombstone's is empty.
    pub value: Vec<u8>,
}

/// Makes `topic` unless it is there; checks that it has one partition and is compacted. Ends within
/// `limit`.
///
/// # Errors
/// When it cannot be made, or is not as it must be.
pub fn ensure(connection: &Connection, topic: &str, limit: Duration) -> Result<(), MarkerError> {
    let until = after(limit);
    let mut cluster = Cluster::connect(connection, Isolation::Committed, limit)?;
    let new = NewTopic {
        name: topic.to_owned(),
        partitions: 1,
        replicas: None,
        settings: BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]),
    };
    let names = [topic.to_owned()];
    let described = match cluster.describe(&names) {
        Err(ClusterError::NoTopic { .. }) => {
            cluster.create(&new)?;
            loop {
                match cluster.describe(&names) {
                    Err(ClusterError::NoTopic { .. }) if !passed(until) => look_again(),
                    described => break described,
                }
            }
        }
        described => described,
    };
    described?;
    check_shape(&mut cluster, topic)
}

/// Whether `topic` has one partition and is compacted.
///
/// # Errors
/// When it is not there, or not as it must be.
pub fn check_shape(cluster: &mut Cluster, topic: &str) -> Result<(), MarkerError> {
    let described = cluster.describe(&[topic.to_owned()])?;
    let partitions = described.first().map_or(0, |topic| topic.partitions);
    let shape = |what: String, remedy| MarkerError::Shape { topic: topic.to_owned(), what, remedy };
    if partitions != 1 {
        return Err(shape(
            format!("has {partitions} partitions"),
            "the order of markers needs exactly one; make it anew, compacted, before the first run",
        ));
    }
    match cluster.settings(topic)?.get("cleanup.policy").map(String::as_str) {
        Some("compact") => Ok(()),
        Some(other) => Err(shape(
            format!("has cleanup.policy={other}"),
            "its records must never expire: set `cleanup.policy=compact`",
        )),
        None => Err(shape(
            "does not show its settings".to_owned(),
            "give the job the right DESCRIBE_CONFIGS on it: a topic that deletes its records would \
             lose what is committed",
        )),
    }
}

/// Reads the last committed records of `topic`, rising; empty only if there is none at all. Ends
/// within `limit`.
///
/// # Errors
/// When the end cannot be reached: then nothing is known.
pub fn read(
    connection: &Connection,
    topic: &str,
    limit: Duration,
) -> Result<Vec<Last>, MarkerError> {
    let until = after(limit);
    let mut all = Cluster::connect(connection, Isolation::Uncommitted, limit)?;
    let mut committed = Cluster::connect(connection, Isolation::Committed, limit)?;
    loop {
        let end = reach(&mut all, topic)?.end;
        let stable = reach(&mut committed, topic)?;
        if stable.end >= end {
            return read_back(connection, topic, stable, until);
        }
        if passed(until) {
            let (topic, open) = (topic.to_owned(), end - stable.end);
            return Err(MarkerError::Open { topic, open });
        }
        look_again();
    }
}

/// As [`read`], but only what is visible by now: what is open may belong to others.
///
/// # Errors
/// As [`read`].
pub fn read_visible(
    connection: &Connection,
    topic: &str,
    limit: Duration,
) -> Result<Vec<Last>, MarkerError> {
    let mut committed = Cluster::connect(connection, Isolation::Committed, limit)?;
    // Whether it is there: its offsets would be asked for until the limit.
    committed.describe(&[topic.to_owned()])?;
    let stable = reach(&mut committed, topic)?;
    read_back(connection, topic, stable, after(limit))
}

fn partition(topic: &str) -> Partition {
    Partition { topic: topic.into(), number: 0 }
}

fn reach(cluster: &mut Cluster, topic: &str) -> Result<Reach, ClusterError> {
    let reach = cluster.reach(&[partition(topic)])?;
    Ok(*reach.first().expect("an answer for each partition asked about"))
}

fn read_back(
    connection: &Connection,
    topic: &str,
    Reach { low, end }: Reach,
    until: Instant,
) -> Result<Vec<Last>, MarkerError> {
    let mut back = BACK;
    loop {
        let from = low.max(end.saturating_sub(back));
        let found = read_from(connection, topic, (from, end), until)?;
        if !found.is_empty() || from == low {
            return Ok(found);
        }
        back = back.saturating_mul(10);
    }
}

fn read_from(
    connection: &Connection,
    topic: &str,
    (from, end): (i64, i64),
    until: Instant,
) -> Result<Vec<Last>, MarkerError> {
    let settings = FetchSettings {
        group: topic.to_owned(),
        isolation: Isolation::Committed,
        buffer_bytes: BUFFER_BYTES,
        headers: false,
    };
    let mut fetcher = Fetcher::open(connection, &settings)?;
    fetcher.add(vec![(partition(topic), from)])?;
    let (mut found, mut fetched) = (Vec::new(), Vec::new());
    while !passed(until) {
        fetcher.fetch(LOOK, &mut fetched)?;
        for fetched in fetched.drain(..) {
            match fetched {
                Fetched::Records { records, .. } => {
                    found.extend(records.iter().map(|record| Last {
                        offset: record.place().offset,
                        value: record.value().unwrap_or_default().to_vec(),
                    }));
                    fetcher.recycle(records);
                }
                Fetched::End { offset, .. } if offset >= end => return Ok(found),
                Fetched::End { .. } => {}
                Fetched::Failed(error) => return Err(error.into()),
            }
        }
    }
    Err(MarkerError::NotRead { topic: topic.to_owned(), end })
}

#[expect(clippy::disallowed_methods, reason = "everything here blocks a thread of its own")]
fn look_again() {
    std::thread::sleep(LOOK);
}

#[expect(clippy::disallowed_methods, reason = "a limit of waiting is told by the machine's clock")]
fn after(limit: Duration) -> Instant {
    Instant::now() + limit
}

fn passed(until: Instant) -> bool {
    after(Duration::ZERO) >= until
}
