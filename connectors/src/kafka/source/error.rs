//! What can go wrong with a Kafka source: each error has a code, names topic, partition and
//! offset, and says what to do.

use riverrun_kafka::cluster::{ClusterError, Partition, Reach};
use riverrun_kafka::fetch::FetchError;
use thiserror::Error;

/// How to go on where offsets of the checkpoint cannot be used.
const GIVE_UP: &str = "to go on without those records, give up the offsets of this source with \
                       `--drop-state UID/#splits`: it begins as `.from(..)` says, beside the state \
                       as it is";

/// A Kafka source that cannot read as the job asks.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KafkaSourceError {
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Fetching.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Settings that contradict.
    #[error("RR0720: {reason}")]
    Setting {
        /// What, and what to write.
        reason: String,
    },
    /// A pattern without topics.
    #[error(
        "RR0721: no topic at '{brokers}' matches '{pattern}' as a whole; a name that begins with \
         `__` is Kafka's own and is not matched; check the pattern, the cluster, and whether this \
         connection may DESCRIBE the topics"
    )]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// The brokers, as given.
        brokers: String,
    },
    /// Records that were to be read next are deleted.
    #[error(
        "RR0722: {partition} was to be read from offset {saved}, but its first record is {} (it \
         ends at {}): the {} records between were deleted, by retention or by hand, and have not \
         been read. If they are elsewhere, read them from there first; {GIVE_UP}",
        reach.low, reach.end, reach.low - saved
    )]
    Lost {
        /// Which.
        partition: Partition,
        /// The next to read.
        saved: i64,
        /// What is there.
        reach: Reach,
    },
    /// The partition ends before what was read of it.
    #[error(
        "RR0723: {partition} was read up to offset {saved}, but ends at {} (its first record is \
         {}): it was cut off (an unclean leader election), or the topic was deleted and created \
         again; other records will stand at offsets that were read already. Find out which; \
         {GIVE_UP}",
        reach.end, reach.low
    )]
    Ahead {
        /// Which.
        partition: Partition,
        /// The next to read.
        saved: i64,
        /// What is there.
        reach: Reach,
    },
    /// Another topic of the same name.
    #[error(
        "RR0724: the topic of {partition} was deleted and created again: its id was '{saved}' and \
         is '{is}' now. Offset {offset} of the old topic means nothing in the new one, which \
         reaches from {} to {}; {GIVE_UP}",
        reach.low, reach.end
    )]
    OtherTopic {
        /// Which.
        partition: Partition,
        /// The id in the checkpoint.
        saved: String,
        /// The id now.
        is: String,
        /// The next to read.
        offset: i64,
        /// What is there.
        reach: Reach,
    },
    /// Another cluster.
    #[error(
        "RR0725: the checkpoint's offset {offset} of {partition} belongs to the Kafka cluster \
         '{saved}', but '{brokers}' is the cluster '{is}'. Name the brokers of the old one; \
         offsets of a mirror are others, {GIVE_UP}"
    )]
    OtherCluster {
        /// Which.
        partition: Partition,
        /// The next to read.
        offset: i64,
        /// The id in the checkpoint.
        saved: String,
        /// The id now.
        is: String,
        /// The brokers, as given.
        brokers: String,
    },
    /// A record that cannot be read.
    #[error(
        "RR0726: offset {offset} of {partition}: {reason}; skip such records with \
         `.on_bad(OnBad::Skip)`, or take them as items with `.or_bad()`"
    )]
    Bad {
        /// Which.
        partition: Partition,
        /// The record.
        offset: i64,
        /// Why.
        reason: String,
    },
    /// A partition of the checkpoint that the source has not.
    #[error(
        "RR0727: the checkpoint has offset {offset} of {partition}, which this source does not \
         read: its topic was deleted or is not among the source's topics any more. Name the topic \
         again, or {GIVE_UP}"
    )]
    Missing {
        /// Which.
        partition: Partition,
        /// The next to read.
        offset: i64,
    },
    /// The thread is gone.
    #[error("RR0728: the thread that fetches from Kafka has ended: it panicked, and said why")]
    ThreadEnded,
}
