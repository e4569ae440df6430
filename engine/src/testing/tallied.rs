//! A spill that says how much it was asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::spill::MemorySpill;
use crate::graph::Uid;
use crate::state::spill::{Spill, SpillBatch, SpillDoor, SpillError, SpillRow};

/// Opens spills in memory that count their calls, all of them together. A clone counts with it.
#[derive(Clone, Debug, Default)]
pub struct TalliedSpillDoor(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    rows: AtomicUsize,
    bytes: AtomicUsize,
    reads: AtomicUsize,
    walks: AtomicUsize,
}

impl TalliedSpillDoor {
    /// How many rows were written, removals among them.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.0.rows.load(Ordering::Relaxed)
    }

    /// How many bytes of keys and values were written.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// How often rows were read by their keys.
    #[must_use]
    pub fn reads(&self) -> usize {
        self.0.reads.load(Ordering::Relaxed)
    }

    /// How often rows were read in their order.
    #[must_use]
    pub fn walks(&self) -> usize {
        self.0.walks.load(Ordering::Relaxed)
    }
}

impl SpillDoor for TalliedSpillDoor {
    fn open(&self, _: &Uid, _: u32, _: &str) -> Result<Box<dyn Spill>, SpillError> {
        Ok(Box::new(Tallied { spill: MemorySpill::default(), counts: Arc::clone(&self.0) }))
    }

    fn excess_bytes(&self) -> u64 {
        0
    }
}

struct Tallied {
    spill: MemorySpill,
    counts: Arc<Counts>,
}

impl Spill for Tallied {
    fn read(&mut self, keys: &[&[u8]], out: &mut Vec<Option<Vec<u8>>>) -> Result<(), SpillError> {
        self.counts.reads.fetch_add(1, Ordering::Relaxed);
        self.spill.read(keys, out)
    }

    fn write(&mut self, rows: &SpillBatch) -> Result<(), SpillError> {
        self.counts.rows.fetch_add(rows.len(), Ordering::Relaxed);
        self.counts.bytes.fetch_add(rows.bytes(), Ordering::Relaxed);
        self.spill.write(rows)
    }

    fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        rows_max: usize,
        out: &mut Vec<SpillRow>,
    ) -> Result<(), SpillError> {
        self.counts.walks.fetch_add(1, Ordering::Relaxed);
        self.spill.scan(prefix, after, rows_max, out)
    }

    fn drop_prefix(&mut self, prefix: &[u8]) -> Result<(), SpillError> {
        self.spill.drop_prefix(prefix)
    }
}
