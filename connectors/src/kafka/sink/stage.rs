//! Scratch topics: where this sink writes in a drill, how they are made, read and removed.
//!
//! Made for the command `drill`, once for each life; its runs find the same name by
//! [`scratch_topic`]. Reading goes on while runs write, so that the moment is seen in which output
//! becomes visible; only committed records are read. Invariant: a topic is written, made or deleted
//! here only if its name begins with that of a rehearsed run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use riverrun_engine::Result;
use riverrun_engine::rehearsal::{Order, RUN_PREFIX, Shown, Stage};
use riverrun_kafka::cluster::{Cluster, Isolation, NewTopic, Partition, Reach, Topic};
use riverrun_kafka::connection::Connection;
use riverrun_kafka::fetch::{FetchSettings, Fetched, Fetcher};
use riverrun_kafka::records::Record;

use super::marker;
use super::slots::rest;

/// How long each question may take: a broker that was killed is back by then.
const ANSWER: Duration = Duration::from_secs(60);
/// How long it may take to see what is visible.
const MOMENT: Duration = Duration::from_secs(2);
/// How long a transaction may stay open behind a run that has ended well.
const CLOSED: Duration = Duration::from_secs(10);
/// Between two looks at what must change by itself.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes of records that wait in the client.
const BUFFER_BYTES: u64 = 4 << 20;
/// What of the user's topic decides which records are taken, and how.
const COPIED: [&str; 2] = ["max.message.bytes", "message.timestamp.type"];

/// The topic that stands for `topic` in runs that call their job `job`.
pub(super) fn scratch_topic(job: &str, topic: &str) -> String {
    format!("{job}.{topic}")
}

/// The scratch topic of one sink in one life.
pub(super) struct KafkaStage {
    connection: Connection,
    job: String,
    /// The user's topic, which is only looked at.
    of: Arc<str>,
    topic: Arc<str>,
    tail: Option<Tail>,
}

impl KafkaStage {
    pub(super) fn new(connection: Connection, job: &str, of: Arc<str>) -> Self {
        let topic = scratch_topic(job, &of).into();
        KafkaStage { connection, job: job.to_owned(), of, topic, tail: None }
    }

    fn cluster(&self) -> Result<Cluster> {
        Ok(Cluster::connect(&self.connection, Isolation::Committed, ANSWER)?)
    }

    /// Whether what is to be changed is this drill's own.
    fn ensure_own(&self) -> Result<()> {
        anyhow::ensure!(
            self.job.starts_with(RUN_PREFIX),
            "'{}' is no name of a rehearsed run",
            self.job
        );
        Ok(())
    }

    fn partitions(&self, count: i32) -> Vec<Partition> {
        (0..count).map(|number| Partition { topic: self.topic.clone(), number }).collect()
    }

    /// A client that knows the partitions of the topic. One that asked for them too early goes on
    /// saying that there are none, so it is made anew until it knows them.
    fn knowing(
        &self,
        isolation: Isolation,
        partitions: &[Partition],
        limit: Duration,
    ) -> Result<Cluster> {
        let until = after(ANSWER);
        loop {
            let mut cluster = Cluster::connect(&self.connection, isolation, limit)?;
            match cluster.reach(partitions) {
                Ok(_) => return Ok(cluster),
                Err(error) if passed(until) => return Err(error.into()),
                Err(_) => rest(LOOK),
            }
        }
    }

    /// Waits until nothing is open; where the partitions end then.
    fn closed(&self, partitions: &[Partition]) -> Result<Vec<Reach>> {
        let mut all = self.knowing(Isolation::Uncommitted, partitions, ANSWER)?;
        let mut committed = self.knowing(Isolation::Committed, partitions, ANSWER)?;
        let until = after(CLOSED);
        loop {
            let ends = all.reach(partitions)?;
            let stable = committed.reach(partitions)?;
            let open = ends.iter().zip(&stable).position(|(end, stable)| stable.end < end.end);
            let Some(open) = open else { return Ok(stable) };
            anyhow::ensure!(
                !passed(until),
                "a transaction was left open: {} can be read up to offset {} only, and ends at {}",
                partitions[open],
                stable[open].end,
                ends[open].end
            );
            rest(LOOK);
        }
    }
}

impl Stage for KafkaStage {
    fn make(&mut self) -> Result<()> {
        self.ensure_own()?;
        let mut cluster = self.cluster()?;
        let described = cluster.describe(&[self.of.to_string()])?;
        let Topic { partitions, replicas, .. } =
            described.first().expect("an answer for each topic asked about");
        let told = cluster.settings(&self.of)?;
        let copied = COPIED.iter().filter_map(|name| {
            let value = told.get(*name)?;
            Some(((*name).to_owned(), value.clone()))
        });
        // Records carry their event time, which may be long ago.
        let for_ever = ("retention.ms".to_owned(), "-1".to_owned());
        let new = NewTopic {
            name: self.topic.to_string(),
            partitions: *partitions,
            replicas: i32::try_from(*replicas).ok().filter(|replicas| *replicas > 0),
            settings: copied.chain([for_ever]).collect(),
        };
        cluster.create(&new)?;
        drop(cluster);
        let partitions = self.partitions(*partitions);
        let cluster = self.knowing(Isolation::Committed, &partitions, MOMENT)?;
        self.tail = Some(Tail::open(&self.connection, &self.job, cluster, partitions)?);
        Ok(())
    }

    fn visible(&mut self) -> Result<u64> {
        let Some(tail) = &mut self.tail else { return Ok(0) };
        tail.take(Duration::ZERO)?;
        Ok(tail.seen.len() as u64)
    }

    fn settled(&mut self) -> Result<u64> {
        if let Some(tail) = &mut self.tail
            && let Ok(ends) = tail.cluster.reach(&tail.partitions)
        {
            let until = after(MOMENT);
            while !tail.has_seen(&ends) && !passed(until) {
                tail.take(LOOK)?;
            }
        }
        self.visible()
    }

    fn read(&mut self) -> Result<Vec<Shown>> {
        let Some(mut tail) = self.tail.take() else { return Ok(Vec::new()) };
        let ends = self.closed(&tail.partitions)?;
        let until = after(ANSWER);
        while !tail.has_seen(&ends) {
            anyhow::ensure!(!passed(until), "topic '{}' cannot be read to its end", self.topic);
            tail.take(LOOK)?;
        }
        Ok(tail.seen)
    }

    fn remove(&mut self) -> Result<()> {
        self.ensure_own()?;
        self.tail = None;
        let mut cluster = self.cluster()?;
        for topic in [&*self.topic, &marker::topic(&self.job)] {
            cluster.delete(topic)?;
        }
        Ok(())
    }
}

/// Reads a topic from its beginning on, as far as it is committed.
struct Tail {
    fetcher: Fetcher,
    /// To be asked where the partitions end.
    cluster: Cluster,
    partitions: Vec<Partition>,
    /// By partition, the next offset to be seen.
    next: Vec<i64>,
    /// All of it: the input of a drill is bounded.
    seen: Vec<Shown>,
}

impl Tail {
    fn open(
        connection: &Connection,
        job: &str,
        cluster: Cluster,
        partitions: Vec<Partition>,
    ) -> Result<Self> {
        let settings = FetchSettings {
            group: job.to_owned(),
            isolation: Isolation::Committed,
            buffer_bytes: BUFFER_BYTES,
            headers: true,
        };
        let mut fetcher = Fetcher::open(connection, &settings)?;
        fetcher.add(partitions.iter().map(|partition| (partition.clone(), 0)).collect())?;
        let next = vec![0; partitions.len()];
        Ok(Tail { fetcher, cluster, partitions, next, seen: Vec::new() })
    }

    fn has_seen(&self, ends: &[Reach]) -> bool {
        self.next.iter().zip(ends).all(|(next, end)| *next >= end.end)
    }

    /// Takes in what is there; waits for it at most `patience`.
    fn take(&mut self, patience: Duration) -> Result<()> {
        let mut fetched = Vec::new();
        self.fetcher.fetch(patience, &mut fetched)?;
        for fetched in fetched {
            match fetched {
                Fetched::Records { partition, records, .. } => {
                    let alone = self.partitions.len() == 1;
                    let number = self.partitions[partition.0].number;
                    for record in records.iter() {
                        self.next[partition.0] = record.place().offset + 1;
                        self.seen.push(shown(&record, number, alone));
                    }
                    self.fetcher.recycle(records);
                }
                Fetched::End { partition, offset, .. } => {
                    let next = &mut self.next[partition.0];
                    *next = offset.max(*next);
                }
                Fetched::Failed(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// What a run decides of `record`: where it has no key, its partition is anybody's choice.
fn shown(record: &Record<'_>, partition: i32, alone: bool) -> Shown {
    let key = record.key().map(text);
    let mut about = match &key {
        Some(key) => format!("{partition} {key}"),
        None => String::new(),
    };
    for (name, value) in record.headers() {
        about.push_str(&format!(" {name}={}", value.map_or_else(|| "(none)".to_owned(), text)));
    }
    let order = match key {
        Some(key) => Order::Within(format!("{partition} {key}")),
        None if alone => Order::Shown,
        None => Order::None,
    };
    if record.value().is_none() {
        about.push_str(" (no value)");
    }
    let value = record.value().map_or_else(|| "null".to_owned(), text);
    Shown { about, value, order }
}

fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a limit of waiting is told by the machine's clock")]
fn after(limit: Duration) -> Instant {
    Instant::now() + limit
}

fn passed(until: Instant) -> bool {
    after(Duration::ZERO) >= until
}

#[cfg(test)]
mod tests {
    use riverrun_kafka::records::{Place, Records};

    use super::*;

    #[test]
    fn a_record_is_shown_with_what_a_run_decides() {
        let place = Place { offset: 3, timestamp: Some(1), partition: None };
        let mut records = Records::new();
        records.push(place, Some(b"k"), Some(b"{}"), [("h", Some(&b"\xff"[..]))]);
        records.push(place, None, None, []);
        let seen = |alone| -> Vec<Shown> {
            records.iter().map(|record| shown(&record, 2, alone)).collect()
        };
        let about = |about: &str, value: &str, order| Shown {
            about: about.to_owned(),
            value: value.to_owned(),
            order,
        };
        let keyed = about("2 k h=\\xff", "{}", Order::Within("2 k".to_owned()));
        assert_eq!(seen(false), [keyed.clone(), about(" (no value)", "null", Order::None)]);
        assert_eq!(seen(true), [keyed, about(" (no value)", "null", Order::Shown)]);
    }

    #[test]
    fn only_topics_of_rehearsed_runs_are_made_or_deleted() {
        let stage =
            |job: &str| KafkaStage::new(Connection::new("127.0.0.1:1"), job, "orders".into());
        for refused in [stage("orders").make(), stage("orders").remove()] {
            assert!(refused.expect_err("refused").to_string().contains("rehearsed"));
        }
        assert_eq!(&*stage("riverrun-drill-a-1").topic, "riverrun-drill-a-1.orders");
    }
}
