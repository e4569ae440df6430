//! Why the topic of markers cannot be used.

use thiserror::Error;

use crate::cluster::ClusterError;
use crate::fetch::FetchError;

/// Why the topic of markers cannot be used.
#[derive(Debug, Error)]
pub enum MarkerError {
    /// A question to the cluster; the job needs CREATE for the topic if it shall make it itself.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Fetching from it.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Somebody else writes there.
    #[error(
        "RR0741: on the marker topic '{topic}' a transaction is open that is not this job's \
         ({open} records behind the last stable offset): the topic is this job's alone; end that \
         transaction (`kafka-transactions.sh --bootstrap-server .. list` names it) and start again"
    )]
    Open {
        /// The topic.
        topic: String,
        /// Offsets between the last stable one and the end.
        open: i64,
    },
    /// The end was not reported.
    #[error(
        "RR0742: the marker topic '{topic}' could not be read to its end at {end} in time: does \
         the job have the right to READ it, and are all its brokers there? Nothing was started, \
         since without the newest marker it is not known what is committed"
    )]
    NotRead {
        /// The topic.
        topic: String,
        /// Its last stable offset.
        end: i64,
    },
    /// Not as it must be.
    #[error("RR0743: the marker topic '{topic}' {what}: {remedy}")]
    Shape {
        /// The topic.
        topic: String,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
}
