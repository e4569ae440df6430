//! Jobs on a real Kafka broker, started from its jars: needs Java and, once, Maven.
#![allow(clippy::disallowed_methods, reason = "a test of threads and time")]

mod cluster;
mod source;
#[path = "../jobs/world.rs"]
#[allow(dead_code, reason = "shared with the tests of jobs")]
mod world;
