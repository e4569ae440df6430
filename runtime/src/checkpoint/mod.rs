//! Checkpoints on storage: what a manifest says, where files lie, what may go, where a run begins.
//!
//! Called by the coordinator (writes), by the run (begins) and by the command line (reads). The
//! files of a store, but for the lock all created once and never overwritten:
//!
//! ```text
//! checkpoints/<20 digits>.manifest              the list that makes a checkpoint whole
//! segments/<20 digits>-<attempt>.seg            the state that was written behind one barrier
//! LOCK, LOCK.info                               who runs on it (S3: LOCK alone, rewritten)
//! ```
//!
//! One checkpoint, in this order:
//!
//! 1. [`pending`] collects the parts of all subtasks; [`segment`] makes one file of them.
//! 2. [`CheckpointStore::write_segment`]: durable, and invisible as long as no manifest names it.
//! 3. [`CheckpointStore::write_manifest`]: with its return the checkpoint is complete.
//! 4. The deciding participant commits (none: step 3 was the decision).
//! 5. [`CheckpointStore::retain`]: older manifests go first, then what no manifest names any more.
//!
//! A crash before 3 leaves an orphan, which [`CheckpointStore::remove_orphans`] takes away at the
//! next start; a crash after 3 leaves a complete checkpoint, and at worst files that a later step 5
//! removes.

pub mod choose;
mod disk;
pub mod error;
pub mod inspect;
mod lease;
mod location;
pub mod lock;
pub mod manifest;
mod manifest_text;
mod names;
pub mod pending;
pub mod restore;
pub mod retain;
#[cfg_attr(feature = "s3", path = "s3.rs")]
#[cfg_attr(not(feature = "s3"), path = "s3_absent.rs")]
mod s3;
pub mod segment;
pub mod store;
pub mod verify;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod testing;

pub use choose::{Choice, Decided, RestoreError};
pub use error::{Damage, StoreError};
pub use inspect::InspectReport;
pub use lease::{Fence, Fenced};
pub use lock::{LockError, LockInfo, StoreLock};
pub use manifest::{Manifest, OperatorEntry, SegmentEntry};
pub use pending::{AckError, Decision, Pending};
pub use restore::{Begin, RestoredState, Start};
pub use segment::{SectionRef, Segment, SegmentError, SegmentWriter};
pub use store::{CheckpointStore, Removed};
pub use verify::{FileReport, VerifyReport};
