//! Drills: rehearsed crashes of the user's own job, and the proof that they change nothing.
//!
//! Called by the command `drill`; the runs it starts are processes of the same binary, which write
//! nowhere but into a scratch folder ([`arm`] is their side). In order:
//!
//! 1. Refuse what cannot be rehearsed: sinks that have no scratch output, sources without an end.
//!    Settle what is read where input may come or go ([`rehearsed`]).
//! 2. The oracle: the job runs undisturbed at parallelism 1; what it writes is what must come.
//! 3. It runs again, slowed down, at another parallelism: an output that differs already cannot be
//!    compared. How often it comes by each crash point is counted.
//! 4. [`life`] after life, as [`plan`] draws them from the seed: started, killed, restored at
//!    another parallelism, killed, run to its end; [`compare`] says whether it wrote the same.
//!
//! Each of them is a [`site`] of its own: a folder, topics, a name of the job.
//!
//! Invariants: nothing of the user's is written; a life is drawn from the seed and its number
//! alone, so each can be repeated by itself; whatever happens to a drill, its children end.

pub mod arm;
mod chance;
mod child;
mod compare;
mod disk;
mod error;
mod fault;
mod interrupt;
mod life;
mod oracle;
mod output;
mod plan;
mod process;
mod rehearsed;
mod report;
mod rig;
mod site;
mod takeover;
mod verify;

pub use disk::write as write_report;
pub use error::DrillError;
pub(crate) use life::CHECKPOINTS;
pub use plan::Wanted;
pub use rehearsed::Rehearsed;
pub use report::Report;
pub use rig::{Settings, drill};
