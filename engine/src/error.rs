//! What can be wrong with a job before it runs. Each error has a code, says where, and what to do.

use std::panic::Location;

use thiserror::Error;

use crate::graph::Uid;

/// A job that cannot run as it is written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum GraphError {
    /// Two steps have one name.
    #[error(
        "RR0001: the uid '{uid}' is used twice, at {first} and at {second}; a uid names one step \
         for \
         good: give one of them another"
    )]
    UidTwice {
        /// The name.
        uid: Uid,
        /// The first use.
        first: &'static Location<'static>,
        /// The second.
        second: &'static Location<'static>,
    },
    /// A uid that cannot be a name.
    #[error(
        "RR0002: the uid '{uid}' at {at} is not a name: use letters, digits, '-', '_' and '.', at \
         most 100, beginning with a letter or digit"
    )]
    UidName {
        /// The name.
        uid: String,
        /// Where.
        at: &'static Location<'static>,
    },
    /// An event-time step without a clock upstream.
    #[error(
        "RR0003: '{uid}' at {at} needs event time, but no clock is upstream: give the source one \
         with `.event_time(|item| item.at, Watermarks::bounded_out_of_orderness(secs(5)))`"
    )]
    NoClock {
        /// The step.
        uid: Uid,
        /// Where.
        at: &'static Location<'static>,
    },
    /// A parallelism that is none.
    #[error(
        "RR0004: the parallelism of '{step}' at {at} is {parallelism}: it must be 1 to {groups} \
         (the \
         number of key groups)"
    )]
    Parallelism {
        /// The step.
        step: String,
        /// Where.
        at: &'static Location<'static>,
        /// What was asked for.
        parallelism: u32,
        /// The highest.
        groups: u16,
    },
    /// A state name used twice in one operator.
    #[error("RR0005: '{uid}' at {at} declares the state '{state}' twice: give one another name")]
    StateTwice {
        /// The operator.
        uid: Uid,
        /// Where.
        at: &'static Location<'static>,
        /// The state.
        state: String,
    },
    /// State that ends by a clock that is not there.
    #[error(
        "RR0010: the state '{state}' of '{uid}' at {at} has a time to live in event time, but no \
         clock is upstream: give the source one with `.event_time(|item| item.at, \
         Watermarks::bounded_out_of_orderness(secs(5)))`, or the state \
         `op.ttl(Ttl::since_write(..).processing_time())`"
    )]
    TtlClock {
        /// The operator.
        uid: Uid,
        /// Where.
        at: &'static Location<'static>,
        /// The state.
        state: String,
    },
    /// Nothing to run.
    #[error("RR0006: the job has no source: begin with `job.source(\"name\", ..)`")]
    NoSource,
    /// A stream that goes nowhere.
    #[error(
        "RR0007: nothing reads the stream of '{step}' at {at}: end it with `.sink(\"name\", ..)` \
         or \
         remove it"
    )]
    NoSink {
        /// The step.
        step: String,
        /// Where.
        at: &'static Location<'static>,
    },
    /// A source or sink that cannot work as set up.
    #[error("RR0008: '{uid}' at {at}: {reason}")]
    Check {
        /// The source or sink.
        uid: Uid,
        /// Where.
        at: &'static Location<'static>,
        /// What it says.
        reason: String,
    },
    /// A setting of a step that makes no sense.
    #[error("RR0009: '{step}' at {at}: {reason}")]
    Setting {
        /// The step.
        step: String,
        /// Where.
        at: &'static Location<'static>,
        /// What is wrong and what to write.
        reason: String,
    },
}
