//! [`Blocks`]: portions in the spill, many in each row, so that handing out costs little for each.
//!
//! ```text
//! key   = place: u32, number of the portions: u32, number of the block: u32; all big-endian
//! value = puts in the format of `entry`, without a namespace
//! ```
//!
//! Invariant: within a place the blocks come in the order in which their portions were made.

use crate::operator::Result;
use crate::state::spill::{Spill, SpillBatch, SpillRow};

/// A block of so many bytes is long enough.
pub(super) const BLOCK_BYTES: usize = 64 << 10;
/// Bytes of blocks that are written at once.
const WRITE_BYTES: usize = 256 << 10;
/// How many blocks one scan reads.
const PAGE_BLOCKS: usize = 16;

/// The blocks of one slice.
pub(super) struct Blocks {
    spill: Box<dyn Spill>,
    batch: SpillBatch,
    next: u32,
}

impl Blocks {
    pub(super) fn new(spill: Box<dyn Spill>) -> Self {
        Blocks { spill, batch: SpillBatch::default(), next: 0 }
    }

    /// Puts a block; [`Blocks::flush`] makes it so.
    pub(super) fn put(&mut self, place: u32, number: u32, entries: &[u8]) -> Result<()> {
        let key = [place, number, self.next].map(u32::to_be_bytes).concat();
        // Those of one place and number are far fewer than four billion.
        self.next = self.next.wrapping_add(1);
        self.batch.put(&key, entries);
        if self.batch.bytes() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    /// Removes a block; [`Blocks::flush`] makes it so.
    pub(super) fn delete(&mut self, key: &[u8]) {
        self.batch.delete(key);
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> Result<()> {
        if !self.batch.is_empty() {
            self.spill.write(&self.batch)?;
            self.batch.clear();
        }
        Ok(())
    }

    /// The blocks of a place behind the key `after`, and whether there may be more.
    pub(super) fn page(&mut self, place: u32, after: Option<&[u8]>) -> Result<Page> {
        self.flush()?;
        let mut blocks = Vec::new();
        self.spill.scan(&place.to_be_bytes(), after, PAGE_BLOCKS, &mut blocks)?;
        let next = blocks.last().filter(|_| blocks.len() == PAGE_BLOCKS);
        Ok(Page { next: next.map(|(key, _)| key.clone()), blocks })
    }
}

/// Some blocks of a place.
pub(super) struct Page {
    pub(super) blocks: Vec<SpillRow>,
    /// The key behind which more may lie.
    pub(super) next: Option<Vec<u8>>,
}

/// The number of the portions in the block with this key; 0 where they are joined.
pub(super) fn number_of(key: &[u8]) -> u32 {
    let number = key.get(4..8).and_then(|number| number.try_into().ok());
    u32::from_be_bytes(number.expect("the key of a block has three numbers"))
}
