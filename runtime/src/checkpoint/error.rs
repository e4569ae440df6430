//! What can go wrong with a checkpoint's files: RR0201 to RR0219. Each error names the file and
//! says what to do.
//!
//! Returned by [`super::CheckpointStore`]; a caller that writes manifests asks
//! [`StoreError::in_doubt`], everybody else only shows them.

use std::error::Error as _;
use std::io;

use riverrun_engine::checkpoint::CheckpointId;
use thiserror::Error;

use super::frame::FormatError;

/// What is wrong with one file.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Damage {
    /// It is not there.
    #[error("it is missing")]
    Missing,
    /// It has another length.
    #[error("it is cut or grown: {found} bytes instead of {expected}")]
    Length {
        /// As the checkpoint says.
        expected: u64,
        /// As it is.
        found: u64,
    },
    /// Its bytes changed.
    #[error("its bytes changed: checksum {found} instead of {expected}")]
    Checksum {
        /// As the checkpoint says.
        expected: String,
        /// As it is.
        found: String,
    },
    /// It is the file of another checkpoint.
    #[error("it belongs to another checkpoint: {owner}")]
    Exchanged {
        /// Whose it is.
        owner: String,
    },
    /// Its first line is none.
    #[error("its first line is not `riverrun-manifest VERSION CHECKSUM LENGTH`")]
    Header,
    /// Another version of the format.
    #[error(
        "it has format version {found}, this engine reads version {known}: use the engine that \
         wrote it, or a newer one"
    )]
    Version {
        /// As the file says.
        found: u32,
        /// As this engine reads.
        known: u32,
    },
    /// Its checksum is right and yet it is no manifest.
    #[error("it is whole, but no manifest: {reason}")]
    Json {
        /// What the reader says.
        reason: String,
    },
    /// Its index is another's.
    #[error("it is another file, or its index changed: checksum {found} instead of {expected}")]
    Index {
        /// As the checkpoint says.
        expected: String,
        /// As it is.
        found: String,
    },
    /// It is no segment and no run.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Its entries cannot be read.
    #[error("its {part} holds what are no entries: {reason}")]
    Entries {
        /// Where.
        part: String,
        /// What is wrong.
        reason: String,
    },
}

/// A checkpoint store that cannot do what it was asked for.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A path that is none.
    #[error(
        "RR0201: '{path}' is no place for checkpoints: {reason}; give a folder, `memory://NAME` or \
         `s3://BUCKET/PATH`"
    )]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder cannot be made or opened.
    #[error("RR0202: the checkpoint folder '{path}' cannot be opened: {source}")]
    Open {
        /// The folder.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// No such checkpoint.
    #[error(
        "RR0203: there is no checkpoint {checkpoint} in '{path}'; `checkpoint ls` shows those that \
         are there"
    )]
    NoCheckpoint {
        /// The number.
        checkpoint: CheckpointId,
        /// The store.
        path: String,
    },
    /// A file that is not what the checkpoint says.
    #[error("RR0204: file '{file}' of checkpoint {checkpoint} in '{path}' is damaged: {damage}")]
    Damaged {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The file.
        file: String,
        /// The store.
        path: String,
        /// What is wrong.
        damage: Damage,
    },
    /// The storage does not answer as it should.
    #[error("RR0205: file '{file}' in '{path}' cannot be read: {source}")]
    Read {
        /// The file or folder.
        file: String,
        /// The store.
        path: String,
        /// Why.
        source: Box<object_store::Error>,
    },
    /// A file could not be written.
    #[error("RR0206: file '{file}' in '{path}' cannot be written: {source}; {hint}")]
    Write {
        /// The file.
        file: String,
        /// The store.
        path: String,
        /// Why.
        source: Box<object_store::Error>,
        /// What to do.
        hint: &'static str,
    },
    /// A checkpoint of this number is there already.
    #[error(
        "RR0207: checkpoint {checkpoint} is in '{path}' already and is never overwritten: another \
         run writes into the same store; give each job a path of its own and stop one of the two"
    )]
    Exists {
        /// The number.
        checkpoint: CheckpointId,
        /// The store.
        path: String,
    },
    /// A segment or run of this name is there already.
    #[error(
        "RR0208: file '{file}' is in '{path}' already and is never overwritten: an attempt writes \
         each file once"
    )]
    FileExists {
        /// The file.
        file: String,
        /// The store.
        path: String,
    },
    /// A write of a manifest of which nobody knows whether it arrived.
    #[error(
        "RR0209: whether checkpoint {checkpoint} is complete in '{path}' is not known, its \
         manifest could not be written for certain: {source}; this attempt ends, the next one \
         finds out"
    )]
    InDoubt {
        /// The number.
        checkpoint: CheckpointId,
        /// The store.
        path: String,
        /// Why.
        source: Box<object_store::Error>,
    },
    /// A checkpoint of another job.
    #[error(
        "RR0210: checkpoint {checkpoint} belongs to job '{stored}', this job is '{job}': give each \
         job a path of its own (`checkpoint.path`)"
    )]
    OtherJob {
        /// The number.
        checkpoint: CheckpointId,
        /// The job that wrote it.
        stored: String,
        /// This one.
        job: String,
    },
    /// Another number of key groups.
    #[error(
        "RR0211: checkpoint {checkpoint} has {stored} key groups, this run is set to {configured}: \
         the number is fixed by a job's first checkpoint, set `key_groups = {stored}`"
    )]
    KeyGroups {
        /// The number.
        checkpoint: CheckpointId,
        /// As in the checkpoint.
        stored: u16,
        /// As configured.
        configured: u16,
    },
    /// An attempt's name that cannot be part of a file's.
    #[error("RR0212: '{attempt}' cannot name an attempt: 1 to 40 of a-z, 0-9 and '-'")]
    Attempt {
        /// The name.
        attempt: String,
    },
    /// A manifest that cannot be written as text.
    #[error("RR0213: the manifest of checkpoint {checkpoint} cannot be written: {reason}")]
    Unwritable {
        /// The number.
        checkpoint: CheckpointId,
        /// Why.
        reason: String,
    },
    /// Another run has the lock now.
    #[error(
        "RR0215: checkpoint {checkpoint} was not completed: '{path}' was taken over by {holder}, \
         this run has to end"
    )]
    Fenced {
        /// The number.
        checkpoint: CheckpointId,
        /// The store.
        path: String,
        /// Who has it.
        holder: String,
    },
    /// Another run may have the lock now.
    #[error(
        "RR0216: checkpoint {checkpoint} was not completed: the lock of '{path}' could not be \
         renewed for {silent_ms} ms; see why the storage does not answer, the next checkpoint \
         tries again"
    )]
    LockUnsure {
        /// The number.
        checkpoint: CheckpointId,
        /// The store.
        path: String,
        /// For how long, in milliseconds.
        silent_ms: u64,
    },
    /// What is no longer needed could not be removed.
    #[error("RR0214: file '{file}' in '{path}' cannot be removed: {source}; it only takes room")]
    Remove {
        /// The file.
        file: String,
        /// The store.
        path: String,
        /// Why.
        source: Box<object_store::Error>,
    },
}

impl StoreError {
    /// Whether trying again later may help: storage that did not answer, not files that are wrong.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, StoreError::Read { .. })
    }

    /// Whether a checkpoint may have become complete although its writer saw an error, or another
    /// run may have written one of this number. Then the
    /// attempt must end: to go on would be to abort output that a restart would believe in.
    #[must_use]
    pub fn in_doubt(&self) -> bool {
        matches!(self, StoreError::InDoubt { .. } | StoreError::Fenced { .. })
    }
}

/// What to do about a failed write.
pub(super) fn hint(error: &object_store::Error) -> &'static str {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "the disk is full: free space or keep fewer checkpoints (`checkpoint.retain`)"
                }
                io::ErrorKind::PermissionDenied => "give this user the right to write there",
                io::ErrorKind::ReadOnlyFilesystem => "the disk is mounted read-only",
                _ => "look at the disk's health and the system's log",
            };
        }
        cause = error.source();
    }
    "look at the storage's health and its log"
}
