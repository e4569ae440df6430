//! Where a process keeps its state: how its memory is divided ([`memory`]), and the room on disk
//! for what does not fit ([`spill_door`]), which the feature `rocksdb` brings.
//!
//! Called when an attempt starts. Invariant: RocksDB is named in the folder `rocks/` and nowhere
//! else; without the feature [`SPILLING`] says so, and state must fit its memory.

pub mod memory;
#[cfg_attr(feature = "rocksdb", path = "rocks/mod.rs")]
#[cfg_attr(not(feature = "rocksdb"), path = "absent.rs")]
mod rocks;

use std::path::PathBuf;

pub use rocks::{SPILLING, spill_door};

use crate::config::Bytes;

/// Whether this build has room for state that does not fit into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spilling {
    /// It was built with RocksDB.
    Present,
    /// It was not: a job that needs more memory than it has fails.
    Absent,
}

/// Where the spilled state of an attempt lies.
#[derive(Clone, Debug)]
pub struct SpillPlace {
    /// `spill.dir`: a folder on a local disk; it is made where it is missing.
    pub dir: PathBuf,
    /// The job's name.
    pub job: String,
    /// What tells this attempt from any other of the job.
    pub attempt: String,
    /// Memory for its indexes, filters and write buffers: [`memory::MemoryPlan::spill`].
    pub memory: Bytes,
    /// How much more indexes and filters may take, of what was for resident state.
    pub lent: Bytes,
}
