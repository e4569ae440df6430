//! How a job runs: [`mod@plan`] places its graph, [`task`]s move its records, an [`attempt`]'s
//! coordinator cuts [`checkpoint`]s, [`run`] starts attempts until the job has ended, [`cli`] is
//! its command line.

pub mod attempt;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod control;
pub mod doors;
pub mod drill;
pub mod live;
pub mod logs;
pub mod plan;
pub mod run;
pub mod state;
pub mod status;
pub mod task;
pub mod value;
