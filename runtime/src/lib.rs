//! How a job runs: [`mod@plan`] places its graph, [`task`]s move its records, an [`attempt`]'s
//! coordinator cuts [`checkpoint`]s, [`run`] starts attempts until the job has ended, [`cli`] is its
//! command line.

pub mod checkpoint;
pub mod config;
pub mod status;
pub mod doors;
