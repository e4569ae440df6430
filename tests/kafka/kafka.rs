//! Whole jobs on a real broker, which the tests start from its jars and stop: needs Java and, once,
//! Maven. The cases are those of a commit protocol's life: each names the crash, the fault or the
//! record it is about.
#![allow(clippy::disallowed_methods, reason = "a test of processes, files and threads")]
#![allow(clippy::print_stderr, reason = "a child's logs go to the test's")]

mod cluster;
mod drills;
mod proxy;
mod rig;
mod sink;
mod source;
#[path = "../jobs/world.rs"]
#[allow(dead_code, reason = "shared with the tests of jobs")]
mod world;
