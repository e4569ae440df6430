//! Questions to a cluster: which topics and partitions there are, from where to where they reach,
//! how they are set, who the cluster is. And creating a topic.
//!
//! Asked by sources and sinks before the first record, and by sources that look for new
//! partitions. Every question blocks, has a limit, and is asked again while a young or moving
//! cluster answers "not yet". Invariant: an answer is whole or an error; a setting that was not
//! told is unknown, never its default.

mod admin;
mod client;
mod error;
mod offsets;
mod rights;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;

pub(crate) use client::{Client, Event, Queue, millis, text};
pub use error::ClusterError;
pub use offsets::Reach;
pub use rights::{Right, Rights};

use crate::connection::Connection;

/// How long a young cluster gets between two answers "not yet".
const AGAIN: Duration = Duration::from_millis(100);
/// How many requests the limit has room for: one lost answer does not use it up.
const REQUESTS: u32 = 3;

/// One partition of a topic; shown as `topic/number`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The topic.
    pub topic: Arc<str>,
    /// The number, from 0.
    pub number: i32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

/// Which records are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Of committed transactions, and those without one.
    #[default]
    Committed,
    /// All, also those of transactions that are open or were aborted.
    Uncommitted,
}

impl Isolation {
    pub(crate) fn property(self) -> (&'static str, String) {
        let value = match self {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        };
        ("isolation.level", value.to_owned())
    }
}

/// A topic as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// What tells it from one of the same name that was deleted; `None` where brokers are too old
    /// to tell (before 3.1).
    pub id: Option<String>,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas the partition with the fewest has.
    pub replicas: usize,
    /// What may be done with it.
    pub rights: Rights,
}

/// A topic to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How many replicas; `None`: as the cluster is set.
    pub replicas: Option<i32>,
    /// Its settings: `cleanup.policy` and so on.
    pub settings: BTreeMap<String, String>,
}

/// What came of creating a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is there now.
    Now,
    /// It was there already, with whatever settings.
    Before,
}

/// A client for questions. Blocks: use it on a thread of its own.
pub struct Cluster {
    client: Client,
    limit: Duration,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("brokers", &self.client.brokers()).finish_non_exhaustive()
    }
}

/// What went wrong with one request.
struct Failed {
    code: Code,
    reason: String,
}

impl From<Code> for Failed {
    fn from(code: Code) -> Self {
        Failed { code, reason: code.to_string() }
    }
}

/// Whether the same request may succeed a moment later: young and moving clusters, lost
/// connections.
pub(crate) fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::NotCoordinator
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            // A broker that has come back leads anew: what is known of its lead is out of date.
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::OffsetNotAvailable
            | Code::WaitingForCoordinator
            | Code::NotController
            | Code::KafkaStorageError
            | Code::WaitCache
            | Code::Retry
            | Code::MessageTimedOut
            | Code::TimedOutQueue
    )
}

#[expect(clippy::disallowed_methods, reason = "a limit of waiting is told by the machine's clock")]
fn now() -> Instant {
    Instant::now()
}

impl Cluster {
    /// A client whose every question is answered within `limit` or fails. `isolation` decides what
    /// the end of a partition is.
    ///
    /// # Errors
    /// Settings that make no client. The cluster itself is not asked yet.
    pub fn connect(
        connection: &Connection,
        isolation: Isolation,
        limit: Duration,
    ) -> Result<Cluster, ClusterError> {
        let (name, level) = isolation.property();
        let ours = [(name, level), ("allow.auto.create.topics", "false".to_owned())];
        Ok(Cluster { client: Client::new(connection, &ours, &[])?, limit })
    }

    /// The brokers, as given.
    #[must_use]
    pub fn brokers(&self) -> &str {
        self.client.brokers()
    }

    /// The cluster's permanent id.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn id(&mut self) -> Result<String, ClusterError> {
        self.ask("for its id", |client, timeout| {
            let id = client.raw().fetch_cluster_id(timeout);
            id.ok_or_else(|| Code::OperationTimedOut.into())
        })
    }

    /// The names of all topics that can be seen, in order.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn topics(&mut self) -> Result<Vec<String>, ClusterError> {
        self.ask("for its topics", |client, timeout| {
            let all = client.raw().fetch_metadata(None, timeout).map_err(failed)?;
            let mut names: Vec<_> = all.topics().iter().map(|t| t.name().to_owned()).collect();
            names.sort_unstable();
            Ok(names)
        })
    }

    /// These topics as they are now, in this order.
    ///
    /// # Errors
    /// A topic that is not there or may not be read.
    pub fn describe(&mut self, topics: &[String]) -> Result<Vec<Topic>, ClusterError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let asked = format!("about the topics {topics:?}");
        let described =
            self.ask(&asked, |client, timeout| admin::describe_topics(client, topics, timeout))?;
        let mut found = BTreeMap::new();
        for (name, topic) in described {
            found.insert(name, topic);
        }
        let one = |name: &String| match found.remove(name) {
            Some(Ok(topic)) => Ok(topic),
            Some(Err(error)) if !is_unknown(error.code) => {
                Err(self.told(&format!("about the topic '{name}'"), error))
            }
            _ => Err(self.no_topic(name)),
        };
        topics.iter().map(one).collect()
    }

    /// The settings of a topic. Without DESCRIBE_CONFIGS on it the answer is empty: a setting that
    /// is not in it is unknown.
    ///
    /// # Errors
    /// A topic that is not there; when nobody answers.
    pub fn settings(&mut self, topic: &str) -> Result<BTreeMap<String, String>, ClusterError> {
        let asked = format!("for the settings of the topic '{topic}'");
        let told = self.ask(&asked, |client, timeout| admin::settings(client, topic, timeout))?;
        match told {
            Ok(settings) => Ok(settings),
            Err(error) if is_unknown(error.code) => Err(self.no_topic(topic)),
            Err(error) if is_refusal(error.code) => Ok(BTreeMap::new()),
            Err(error) => Err(self.told(&asked, error)),
        }
    }

    /// What may be done with a consumer group.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn group_rights(&mut self, group: &str) -> Result<Rights, ClusterError> {
        let asked = format!("about the group '{group}'");
        self.ask(&asked, |client, timeout| rights::of_group(client, group, timeout))
    }

    /// Creates a topic, unless one of its name is there.
    ///
    /// # Errors
    /// What the cluster says against it.
    pub fn create(&mut self, topic: &NewTopic) -> Result<Created, ClusterError> {
        let asked = format!("to create the topic '{}'", topic.name);
        let answer = self.ask(&asked, |client, timeout| admin::create(client, topic, timeout))?;
        match answer {
            Ok(()) => Ok(Created::Now),
            Err(error) if error.code == Code::TopicAlreadyExists => Ok(Created::Before),
            Err(error) => Err(self.told(&asked, error)),
        }
    }

    /// Deletes a topic; one that is not there stays so.
    ///
    /// # Errors
    /// What the cluster says against it.
    pub fn delete(&mut self, topic: &str) -> Result<(), ClusterError> {
        let asked = format!("to delete the topic '{topic}'");
        match self.ask(&asked, |client, timeout| admin::delete(client, topic, timeout))? {
            Err(error) if !is_unknown(error.code) => Err(self.told(&asked, error)),
            _ => Ok(()),
        }
    }

    /// Asks until there is an answer that is not "not yet", or the limit is reached.
    fn ask<R>(
        &mut self,
        asked: &str,
        mut request: impl FnMut(&Client, Duration) -> Result<R, Failed>,
    ) -> Result<R, ClusterError> {
        let until = now() + self.limit;
        let mut trouble = None;
        loop {
            let left = until.saturating_duration_since(now());
            let answer = request(&self.client, left.min(self.limit / REQUESTS).max(AGAIN));
            self.client.serve(Duration::ZERO);
            let login = trouble.take_if(|(code, _)| is_login(*code));
            trouble = login.or_else(|| self.client.trouble()).or(trouble);
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) if !passes(error.code) => return Err(self.told(asked, error)),
                // A refused login is refused again and again: no reason to wait for the limit.
                Err(_) if trouble.as_ref().is_some_and(|(code, _)| is_login(*code)) => {
                    let (code, reason) = trouble.unwrap_or((Code::Authentication, String::new()));
                    return Err(self.told(asked, Failed { code, reason }));
                }
                Err(error) if now() >= until => return Err(self.silent(asked, &error, trouble)),
                Err(_) => self.client.serve(AGAIN),
            }
        }
    }

    fn silent(&self, asked: &str, error: &Failed, trouble: Option<(Code, String)>) -> ClusterError {
        let said = trouble.map_or_else(|| error.reason.clone(), |(_, said)| said);
        ClusterError::Unreachable {
            brokers: self.brokers().to_owned(),
            asked: asked.to_owned(),
            seconds: self.limit.as_secs(),
            said: format!(": {said}"),
        }
    }

    fn told(&self, asked: &str, Failed { code, reason }: Failed) -> ClusterError {
        let (brokers, asked) = (self.brokers().to_owned(), asked.to_owned());
        if is_refusal(code) || is_login(code) {
            return ClusterError::Refused { brokers, asked, reason };
        }
        ClusterError::Answer { brokers, asked, reason }
    }

    fn no_topic(&self, topic: &str) -> ClusterError {
        ClusterError::NoTopic { topic: topic.to_owned(), brokers: self.brokers().to_owned() }
    }
}

fn is_unknown(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::NoEnt
    )
}

fn is_refusal(code: Code) -> bool {
    matches!(code, Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)
}

fn is_login(code: Code) -> bool {
    matches!(code, Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL)
}

fn failed(error: rdkafka::error::KafkaError) -> Failed {
    let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
    Failed { code, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_came_back_is_asked_again_and_a_refusal_is_not() {
        let moved =
            [Code::FencedLeaderEpoch, Code::UnknownLeaderEpoch, Code::NotLeaderForPartition];
        assert!(moved.into_iter().all(passes));
        let refused = [Code::TopicAuthorizationFailed, Code::UnknownTopic, Code::InvalidRequest];
        assert!(!refused.into_iter().any(passes));
    }
}
