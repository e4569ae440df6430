//! The one database of a process, opened by the first row that is spilled: a job that never spills
//! pays for a folder and nothing else.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use riverrun_engine::state::spill::SpillError;
use rocksdb::{
    ColumnFamily, DB, ErrorKind, Options, WriteBatch, WriteOptions,
    properties::{self, PropName},
};

use super::SpillPlace;
use super::options::{buffers_max, options, raise_open_files};
use super::scratch::Scratch;
use crate::config::Bytes;

/// What the rows of one state of one subtask begin with. Never given twice; four billion of them
/// outlast any process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpaceId(pub(super) u32);

impl SpaceId {
    /// In the order of the numbers.
    pub(super) fn bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

/// The database and its folder.
pub(super) struct Database {
    // Fields are dropped in this order: the files are closed before their folder is removed.
    db: OnceLock<DB>,
    options: Options,
    memory: Bytes,
    /// So much more indexes and filters may take; whether it was said that it is too little.
    lent: Bytes,
    warned: AtomicBool,
    /// Bytes of indexes and filters, when last looked at, and all writes until now.
    indexes: AtomicU64,
    writes: AtomicU32,
    scratch: Scratch,
    opening: Mutex<()>,
    spaces: AtomicU32,
}

/// Writes from one look at the size of indexes and filters to the next: they grow as rows do.
const LOOK_EVERY: u32 = 64;

impl Database {
    /// Not opened yet.
    pub(super) fn in_folder(scratch: Scratch, place: &SpillPlace) -> Result<Database, SpillError> {
        let SpillPlace { memory, lent, .. } = *place;
        let options = options(memory).map_err(|error| SpillError::Io {
            folder: scratch.name(),
            doing: "setting it up",
            reason: error.into_string(),
        })?;
        Ok(Database {
            db: OnceLock::new(),
            options,
            memory,
            lent,
            warned: AtomicBool::new(false),
            indexes: AtomicU64::new(0),
            writes: AtomicU32::new(0),
            scratch,
            opening: Mutex::new(()),
            spaces: AtomicU32::new(0),
        })
    }

    /// A space of its own for a state of a subtask.
    pub(super) fn space(&self) -> SpaceId {
        SpaceId(self.spaces.fetch_add(1, Ordering::Relaxed))
    }

    /// So many bytes of indexes, filters and write buffers are beyond what it was given. Buffers
    /// count as full: what comes and goes with each would make entries come and go.
    pub(super) fn excess_bytes(&self) -> u64 {
        let indexes = self.indexes.load(Ordering::Relaxed);
        indexes.saturating_sub(self.memory.0.saturating_sub(buffers_max(self.memory)))
    }

    /// The database where something was spilled; else there is no row to be found.
    pub(super) fn opened(&self) -> Option<&DB> {
        self.db.get()
    }

    /// The database, opened by the first who asks.
    pub(super) fn open(&self) -> Result<&DB, SpillError> {
        let _opening = match self.db.get() {
            Some(db) => return Ok(db),
            None => self.opening.lock().unwrap_or_else(PoisonError::into_inner),
        };
        if let Some(db) = self.db.get() {
            return Ok(db);
        }
        raise_open_files();
        let rows = [(rocksdb::DEFAULT_COLUMN_FAMILY_NAME, self.options.clone())];
        let opened = DB::open_cf_with_opts(&self.options, self.scratch.rows(), rows);
        let opened = opened.map_err(|error| self.failed("opening it", error))?;
        Ok(self.db.get_or_init(|| opened))
    }

    /// The one column family, which reads in batches ask for.
    pub(super) fn rows(db: &DB) -> &ColumnFamily {
        db.cf_handle(rocksdb::DEFAULT_COLUMN_FAMILY_NAME).expect("it was opened with this family")
    }

    /// Writes `batch`. Nothing in here outlives the process, so nothing is logged.
    pub(super) fn write(&self, db: &DB, batch: WriteBatch) -> Result<(), SpillError> {
        let mut unlogged = WriteOptions::default();
        unlogged.disable_wal(true);
        db.write_opt(batch, &unlogged).map_err(|error| self.failed("writing", error))?;
        if self.writes.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOK_EVERY) {
            let bytes = self.size_of(db, properties::ESTIMATE_TABLE_READERS_MEM)?;
            self.indexes.store(bytes, Ordering::Relaxed);
            self.warn();
        }
        Ok(())
    }

    /// Where indexes and filters take more than they may, nothing counts it: that is said once.
    fn warn(&self) {
        let excess = self.excess_bytes();
        if excess > self.lent.0 && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                given = %self.memory,
                excess = %Bytes(excess),
                lent = %self.lent,
                "indexes and filters of spilled state take more memory than is left to them, and \
                 the process more than `memory`: raise it"
            );
        }
    }

    /// What RocksDB says of a size.
    pub(super) fn size_of(&self, db: &DB, property: &PropName) -> Result<u64, SpillError> {
        let bytes = db.property_int_value(property);
        let bytes = bytes.map_err(|error| self.failed("looking at its size", error))?;
        bytes.ok_or_else(|| SpillError::Io {
            folder: self.scratch.name(),
            doing: "looking at its size",
            reason: format!("RocksDB does not say '{}'", property.as_str()),
        })
    }

    /// What an error of RocksDB means here.
    pub(super) fn failed(&self, doing: &'static str, error: rocksdb::Error) -> SpillError {
        let (folder, kind, reason) = (self.scratch.name(), error.kind(), error.into_string());
        // The crate hands on the words of the system, not its number.
        let full = ["No space left", "Disk quota exceeded", "File too large"];
        if full.iter().any(|words| reason.contains(words)) {
            return SpillError::Full { folder, reason };
        }
        match kind {
            ErrorKind::Corruption => SpillError::Damaged { folder, reason },
            _ => SpillError::Io { folder, doing, reason },
        }
    }
}
