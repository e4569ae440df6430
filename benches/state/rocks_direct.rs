//! A running sum over RocksDB as one would write it by hand: get, add, put; no log, a bloom filter,
//! caches and write buffers in one budget.

use anyhow::Context as _;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Options, WaitForCompactOptions, WriteOptions,
};
use tempfile::TempDir;

use super::threads::side_by_side;

/// The sums of all keys.
pub(crate) struct Direct {
    db: DB,
    unlogged: WriteOptions,
    _folder: TempDir,
}

impl Direct {
    /// Empty, in a folder of its own.
    pub(crate) fn open(memory_bytes: u64) -> anyhow::Result<Direct> {
        let memory = usize::try_from(memory_bytes)?;
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&Cache::new_hyper_clock_cache(memory / 2, 0));
        table.set_bloom_filter(10.0, false);
        table.set_block_size(16 << 10);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&table);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_write_buffer_size(memory / 8);
        options.set_max_write_buffer_number(4);
        options.set_max_background_jobs(2);
        let folder = tempfile::tempdir()?;
        let db = DB::open(&options, folder.path())?;
        let mut unlogged = WriteOptions::default();
        unlogged.disable_wal(true);
        Ok(Direct { db, unlogged, _folder: folder })
    }

    /// Adds 1 to the sum of each of `keys`; so many threads, each with keys of its own, do it side
    /// by side. Answers the sum of the sums.
    pub(crate) fn add_all(&self, keys: &[u64], threads: u64) -> anyhow::Result<u64> {
        side_by_side(0..threads, |thread| {
            let own = keys.iter().filter(|key| **key % threads == thread);
            own.map(|key| self.add(*key, 1)).try_fold(0, |sum: u64, new| Ok(sum.wrapping_add(new?)))
        })
    }

    /// Waits until nothing is left to merge, so that what came before burdens nobody.
    pub(crate) fn settle(&self) -> anyhow::Result<()> {
        Ok(self.db.wait_for_compact(&WaitForCompactOptions::default())?)
    }

    /// Adds to the sum of `key`, and answers what it is then.
    pub(crate) fn add(&self, key: u64, amount: u64) -> anyhow::Result<u64> {
        // Spread over the key space, as hashed keys are.
        let key = key.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let sum = match self.db.get_pinned(key)? {
            Some(bytes) => u64::from_le_bytes(bytes.as_ref().try_into().context("eight bytes")?),
            None => 0,
        };
        let sum = sum.wrapping_add(amount);
        self.db.put_opt(key, sum.to_le_bytes(), &self.unlogged)?;
        Ok(sum)
    }
}
