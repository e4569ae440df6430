//! One partition as the checkpoint knows it: whose it is, from where and to where it is read.

use std::fmt;

use riverrun_engine::source::Split;
use riverrun_kafka::cluster::Partition;
use serde::{Deserialize, Serialize};

/// A partition of a topic of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaSplit {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The cluster's id.
    pub cluster: String,
    /// The topic's id: what tells it from one of the same name that was deleted. `None` where
    /// brokers do not tell.
    pub topic_id: Option<String>,
    /// The first offset to read.
    pub start: i64,
    /// One past the last offset to read; `None`: all there will ever be.
    pub end: Option<i64>,
}

impl KafkaSplit {
    pub(super) fn place(&self) -> Partition {
        Partition { topic: self.topic.as_str().into(), number: self.partition }
    }
}

impl Split for KafkaSplit {
    fn id(&self) -> String {
        format!("{}/{}", self.topic, self.partition)
    }
}

/// A place in a partition.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaOffset {
    /// The next to read: one past the last that was handed out.
    pub next: i64,
}

impl fmt::Debug for KafkaOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {}", self.next)
    }
}
