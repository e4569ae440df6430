//! Whole jobs on the real runtime within this process: failures and what they say, stops, restores
//! at every parallelism, changed jobs, damaged checkpoints.
#![allow(clippy::disallowed_methods, reason = "a test of files and threads")]

mod begins;
mod changed;
mod commits;
mod damaged;
mod fixtures;
mod graphs;
mod idle;
mod large;
mod lazy;
mod lives;
mod panics;
#[cfg(feature = "rocksdb")]
mod portions;
mod reads;
mod rescale;
mod resumes;
mod runs;
mod seen;
#[cfg(feature = "rocksdb")]
mod spill;
mod stops;
mod storage;
mod uneven;
mod world;
