//! What `check --online` says of a sink, and what `txn` shows and ends.
//!
//! Looking fences nobody: the right to transactions is tried with an id that no run uses.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use riverrun_engine::Result;
use riverrun_engine::outside::{About, Finding, HeldBack, Outside};
use riverrun_kafka::cluster::{Cluster, ClusterError, Isolation, Partition, Right, Topic};
use riverrun_kafka::connection::Connection;
use riverrun_kafka::marker::{MarkerError, check_shape};
use riverrun_kafka::send::{Producer, SendError};

use super::{marker, slots};
use crate::kafka::outside::{ANSWER, Needed, hidden, kept, refused, rights, said};

/// How often a producer's id is asked for: each time takes up to five seconds.
const TRIES: usize = 6;
const WRITES: [Right; 2] = [Right::Write, Right::Describe];
const MARKS: [Right; 4] = [Right::Read, Right::Write, Right::Describe, Right::DescribeConfigs];

pub(super) struct SinkOutside {
    pub(super) connection: Connection,
    /// `None`: chosen record by record.
    pub(super) topic: Option<Arc<str>>,
    /// Of transactions; `None`: none are made.
    pub(super) timeout: Option<Duration>,
    pub(super) by_event_time: bool,
    pub(super) about: About,
}

impl SinkOutside {
    fn connect(&self, isolation: Isolation) -> Result<Cluster, ClusterError> {
        Cluster::connect(&self.connection, isolation, ANSWER)
    }

    fn described(cluster: &mut Cluster, topic: &str) -> Result<Topic, ClusterError> {
        let mut topics = cluster.describe(&[topic.to_owned()])?;
        Ok(topics.remove(0))
    }

    fn topic(&self, cluster: &mut Cluster, name: &str, findings: &mut Vec<Finding>) {
        let topic = match SinkOutside::described(cluster, name) {
            Ok(topic) => topic,
            Err(ClusterError::NoTopic { .. }) => {
                let brokers = self.connection.brokers();
                return findings.push(Finding::bad(
                    format!("topic '{name}' does not exist, or may not be seen"),
                    format!(
                        "kafka-topics.sh --bootstrap-server {brokers} --create --topic {name} \
                         --partitions 6"
                    ),
                ));
            }
            Err(error) => {
                let resource = format!("--topic {name}");
                let brokers = self.connection.brokers();
                let needed = Needed { brokers, resource, rights: &WRITES };
                return findings.push(refused(&error, &[needed]));
            }
        };
        findings.push(Finding::good(format!("topic '{name}' has {} partitions", topic.partitions)));
        findings.push(rights(&topic, self.connection.brokers(), &WRITES));
        match cluster.settings(name) {
            Err(error) => findings.push(Finding::bad(error.to_string(), "")),
            Ok(settings) if settings.is_empty() => {
                findings.push(hidden(name, self.connection.brokers()));
            }
            Ok(settings) => {
                findings.extend(replicas(&topic, settings.get("min.insync.replicas")));
                if let (true, Some(kept)) = (self.by_event_time, kept(&settings)) {
                    findings.push(Finding::doubtful(
                        format!(
                            "topic '{name}' deletes records {} after their timestamp, which is \
                             their event time: what happened earlier is gone soon after it was \
                             written",
                            said(kept)
                        ),
                        "for old data set `retention.ms=-1`, or give records another timestamp: \
                         `.timestamp_of_sending()`",
                    ));
                }
            }
        }
    }

    fn markers(&self, cluster: &mut Cluster) -> Vec<Finding> {
        let topic = marker::topic(&self.about.job);
        let brokers = self.connection.brokers();
        match check_shape(cluster, &topic) {
            Ok(()) => {}
            Err(MarkerError::Cluster(ClusterError::NoTopic { .. })) => {
                return vec![Finding::good(format!(
                    "topic '{topic}' is not there yet: the first run makes it, with the right \
                     Create; otherwise make it with one partition and cleanup.policy=compact"
                ))];
            }
            Err(MarkerError::Cluster(error)) => {
                let resource = format!("--topic {topic}");
                return vec![refused(&error, &[Needed { brokers, resource, rights: &MARKS }])];
            }
            Err(error) => return vec![Finding::bad(error.to_string(), "")],
        }
        match SinkOutside::described(cluster, &topic) {
            Err(error) => vec![Finding::bad(error.to_string(), "")],
            Ok(topic) => {
                vec![rights(&topic, brokers, &MARKS)]
            }
        }
    }

    fn transactions(&self, timeout: Duration) -> Vec<Finding> {
        let mut findings: Vec<_> = self.interval(timeout).into_iter().collect();
        let id = format!("{}-check", self.about.job);
        let prefix = format!("{}-", self.about.job);
        let needed = Needed {
            brokers: self.connection.brokers(),
            resource: format!("--transactional-id {prefix} --resource-pattern-type prefixed"),
            rights: &[Right::Write, Right::Describe],
        };
        findings.push(match initialised(&self.connection, &id, timeout) {
            Ok(_) => Finding::good(format!(
                "transactions of ids '{prefix}*' with a timeout of {}",
                said(timeout)
            )),
            Err(SendError::NotAllowed(reason)) => Finding::bad(
                format!("missing right: transactional ids '{prefix}*' ({reason})"),
                needed.command(needed.rights),
            ),
            Err(error) => Finding::bad(
                format!("no transaction with a timeout of {}: {error}", said(timeout)),
                "the broker's `transaction.max.timeout.ms` bounds the timeout: raise it, or lower \
                 `.transaction_timeout(..)`",
            ),
        });
        findings
    }

    /// A transaction is open from the barrier before its own to its commit.
    fn interval(&self, timeout: Duration) -> Option<Finding> {
        let interval = self.about.checkpoint_interval?;
        (timeout < interval * 2).then(|| {
            let what = format!(
                "a transaction expires after {}, and lasts for a checkpoint's interval ({}) and \
                 what the checkpoint takes",
                said(timeout),
                said(interval)
            );
            let remedy = "lower `checkpoint.interval`, or raise `.transaction_timeout(..)` (and \
                          the broker's `transaction.max.timeout.ms`)";
            match timeout <= interval {
                true => Finding::bad(what, remedy),
                false => Finding::doubtful(what, remedy),
            }
        })
    }

    /// What is known to be written to.
    fn topics(&self) -> BTreeSet<String> {
        let markers = self.timeout.map(|_| marker::topic(&self.about.job));
        self.topic.iter().map(ToString::to_string).chain(markers).collect()
    }
}

fn replicas(topic: &Topic, in_sync: Option<&String>) -> Option<Finding> {
    let in_sync: usize = in_sync?.parse().ok()?;
    let (name, replicas) = (&topic.name, topic.replicas);
    if replicas < in_sync {
        return Some(Finding::bad(
            format!("topic '{name}' wants {in_sync} replicas in sync, and has {replicas}"),
            "lower `min.insync.replicas`, or add replicas: nothing can be written",
        ));
    }
    (in_sync == 1 && replicas > 1).then(|| {
        Finding::doubtful(
            format!("topic '{name}' has {replicas} replicas, and takes a record when one has it"),
            "set `min.insync.replicas=2`: a broker that is lost takes such records with it",
        )
    })
}

/// A producer with this id; whoever had it before is fenced.
fn initialised(
    connection: &Connection,
    id: &str,
    timeout: Duration,
) -> Result<Producer, SendError> {
    let id = Some(id.to_owned());
    let settings = slots::settings(connection, id, timeout, slots::BATCH_BYTES);
    let made = Producer::new(&settings);
    let producer = made.map_err(|error| SendError::Failed(error.to_string()))?;
    let mut tries = TRIES;
    loop {
        match producer.init() {
            Err(SendError::Again(_)) if tries > 1 => tries -= 1,
            Err(error) => return Err(error),
            Ok(()) => return Ok(producer),
        }
    }
}

impl Outside for SinkOutside {
    fn look(&mut self) -> Vec<Finding> {
        let mut cluster = match self.connect(Isolation::Committed) {
            Ok(cluster) => cluster,
            Err(error) => return vec![Finding::bad(error.to_string(), "")],
        };
        if let Err(error) = cluster.id() {
            return vec![Finding::bad(error.to_string(), "")];
        }
        let mut findings = Vec::new();
        match self.topic.clone() {
            Some(topic) => self.topic(&mut cluster, &topic, &mut findings),
            None => findings.push(Finding::doubtful(
                "its topics are chosen record by record, and were not looked at",
                "",
            )),
        }
        if let Some(timeout) = self.timeout {
            findings.extend(self.markers(&mut cluster));
            findings.extend(self.transactions(timeout));
        }
        findings
    }

    fn held_back(&mut self) -> Result<Vec<HeldBack>> {
        let mut all = self.connect(Isolation::Uncommitted)?;
        let mut committed = self.connect(Isolation::Committed)?;
        let mut found = Vec::new();
        for name in self.topics() {
            let topic = match SinkOutside::described(&mut all, &name) {
                Err(ClusterError::NoTopic { .. }) => continue,
                topic => topic?,
            };
            let partition = |number| Partition { topic: topic.name.clone(), number };
            let partitions: Vec<_> = (0..topic.partitions).map(partition).collect();
            let ends = all.reach(&partitions)?;
            let stable = committed.reach(&partitions)?;
            for ((place, end), stable) in partitions.iter().zip(ends).zip(stable) {
                if stable.end < end.end {
                    found.push(HeldBack {
                        place: place.to_string(),
                        from: u64::try_from(stable.end)?,
                        count: u64::try_from(end.end - stable.end)?,
                    });
                }
            }
        }
        Ok(found)
    }

    fn abort(&mut self) -> Result<Vec<String>> {
        let Some(timeout) = self.timeout else { return Ok(Vec::new()) };
        let ids = (0..slots::SLOTS).map(|slot| slots::transactional_id(&self.about.job, slot));
        let mut ended = Vec::new();
        for id in ids {
            initialised(&self.connection, &id, timeout)
                .with_context(|| format!("'{id}' cannot be taken over"))?;
            ended.push(id);
        }
        Ok(ended)
    }
}
