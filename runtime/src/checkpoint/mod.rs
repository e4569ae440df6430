//! Checkpoints on storage: what a manifest says, where files lie, what may go, where a run begins.
//!
//! Called by the coordinator (writes), by the run (begins) and by the command line (reads). The
//! files of a store, but for the lock all created once and never overwritten while they have a
//! name:
//!
//! ```text
//! checkpoints/<20 digits>.manifest              the list that makes a checkpoint whole
//! segments/<20 digits>-<attempt>.seg            what changed before one barrier
//! segments/<20 digits>-<attempt>.<n>.seg        several of them, squashed
//! runs/<20 digits>-<attempt>.<n>.run            the state of some key groups, merged
//! LOCK, LOCK.info                               who runs on it (S3: LOCK alone, rewritten)
//! ```
//!
//! One checkpoint, in this order:
//!
//! 1. [`pending`] collects the parts of all subtasks; [`segment`] makes one file of them, which is
//!    on its way as they come ([`Put`]).
//! 2. [`CheckpointStore::end_segment`]: durable, and invisible as long as no manifest names it.
//! 3. [`CheckpointStore::write_manifest`]: with its return the checkpoint is complete.
//! 4. The deciding participant commits (none: step 3 was the decision).
//! 5. [`CheckpointStore::retain`]: older manifests go first, then what no manifest names any more.
//!    In a folder the next segment may be written over one that went ([`staged`]).
//! 6. [`compaction`] says whether a merge is worth it; [`run::merge`] makes its files, pinned and
//!    invisible; the next step 3 names them in the place of what was merged ([`chain`]).
//!
//! A crash before 3, or in 6, leaves an orphan, which [`CheckpointStore::remove_orphans`] takes
//! away at the next start; a crash after 3 leaves a complete checkpoint, and at worst files that a
//! later step 5 removes.

pub mod chain;
mod changes;
pub mod choose;
pub mod compaction;
mod disk;
pub mod error;
pub mod file;
mod frame;
pub mod inspect;
pub mod layers;
pub mod lazy;
mod lease;
mod location;
pub mod lock;
pub mod manifest;
mod manifest_text;
mod names;
pub mod pending;
mod pins;
mod put;
mod read;
pub mod restore;
pub mod retain;
pub mod run;
#[cfg_attr(feature = "s3", path = "s3.rs")]
#[cfg_attr(not(feature = "s3"), path = "s3_absent.rs")]
mod s3;
pub mod segment;
pub mod sizes;
mod staged;
pub mod state_reader;
pub mod store;
pub mod verify;
pub mod view;
pub mod walk;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod walk_tests;

pub use chain::Chain;
pub use choose::{Choice, Decided, RestoreError};
pub use error::{Damage, StoreError};
pub use file::StoredFile;
pub use frame::FormatError;
pub use inspect::InspectReport;
pub use lease::{Fence, Fenced};
pub use location::{Mounted, SyncNames, mount};
pub use lock::{LockError, LockInfo, StoreLock};
pub use manifest::{Manifest, OperatorEntry, RunEntry, SegmentEntry};
pub use pending::{AckError, Decision, Pending};
pub use pins::Pinned;
pub use put::Put;
pub use restore::{Begin, RestoredState, Start};
pub use run::{Row, RunReader, RunWriter};
pub use segment::{SectionRef, Segment, SegmentWriter};
pub use state_reader::StateReader;
pub use store::{CheckpointStore, Removed};
pub use verify::{FileReport, VerifyReport};
pub use view::{Rows, StateFiles};
