//! What of the developer's commands others use too: `kafka::Broker` is the real Kafka of the tests.
//! The binary beside it holds the commands themselves.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to a developer")]
#![allow(clippy::disallowed_methods, reason = "it is no part of a job, so it needs no doors")]

pub mod kafka;
pub mod say;
