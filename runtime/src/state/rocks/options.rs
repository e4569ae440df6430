//! How RocksDB is set up for spilled state: all its memory in one budget, no log, no syncing for
//! the sake of a crash, and reads by key of rows that are nearly always there.

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DataBlockIndexType, Env,
    LogLevel, Options, WriteBufferManager,
};

use crate::config::Bytes;

/// Of the budget, one part in so many is one write buffer; there are at most three.
const WRITE_BUFFER_PART: u64 = 8;
const WRITE_BUFFERS_MAX: i32 = 3;
/// Range deletes slow every read down until they are merged: with so many, merge.
const RANGE_DELETES_MAX: u32 = 64;
/// Bits of a filter for each key, in the upper levels only.
const FILTER_BITS: f64 = 10.0;
/// A block is read whole for each row that is asked for, and rows that are asked for together lie
/// in different ones: what is copied, checked and (were it compressed) unpacked of one should be
/// little.
const BLOCK_BYTES: usize = 4 << 10;
/// Part of an index or filter that is read at once, so that the cache need not hold whole ones.
const PARTITION_BYTES: usize = 4 << 10;
/// Files of this size: many enough that a dropped prefix covers whole ones.
const FILE_BYTES: u64 = 32 << 20;
/// Bytes of RocksDB's own log, of which there is one.
const LOG_BYTES_MAX: usize = 1 << 20;

/// The options, and the cache that counts all of the memory.
pub(super) fn options(memory: Bytes) -> Result<(Options, Cache), rocksdb::Error> {
    // Set by name, as the crate has no method for them; first, as the result is another object.
    let named = format!(
        "avoid_flush_during_shutdown=true;memtable_max_range_deletions={RANGE_DELETES_MAX}"
    );
    let mut options = Options::default().get_options_from_string(named)?;
    options.create_if_missing(true);
    options.set_error_if_exists(true);
    let cache = bound_memory(&mut options, memory);
    shape_files(&mut options, &cache);

    // One thread flushes, one merges; the merging one gives way to the workers.
    let mut env = Env::new()?;
    env.set_high_priority_background_threads(1);
    env.set_background_threads(1);
    env.lower_thread_pool_cpu_priority();
    options.set_env(&env);
    options.set_max_background_jobs(2);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(1);
    options.set_max_log_file_size(LOG_BYTES_MAX);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    Ok((options, cache))
}

/// Write buffers, indexes and filters are all charged to the cache: it is the whole budget.
fn bound_memory(options: &mut Options, memory: Bytes) -> Cache {
    let bytes = usize::try_from(memory.0).unwrap_or(usize::MAX);
    let write_buffer = usize::try_from(memory.0 / WRITE_BUFFER_PART).unwrap_or(usize::MAX);
    let cache = Cache::new_hyper_clock_cache(bytes, 0);
    // It never stalls writers itself: a stall would outlast a full disk. What stops them is the
    // number of write buffers, and that wait ends with an error.
    let charged =
        WriteBufferManager::new_write_buffer_manager_with_cache(bytes / 2, false, cache.clone());
    options.set_write_buffer_manager(&charged);
    options.set_write_buffer_size(write_buffer);
    options.set_max_write_buffer_number(WRITE_BUFFERS_MAX);
    cache
}

fn shape_files(options: &mut Options, cache: &Cache) {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(BLOCK_BYTES);
    table.set_bloom_filter(FILTER_BITS, false);
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(PARTITION_BYTES);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_pin_top_level_index_and_filter(true);
    table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    table.set_data_block_hash_ratio(0.75);
    options.set_block_based_table_factory(&table);
    // The last level holds nine rows in ten, and who asks for a row mostly knows that it is there.
    options.set_optimize_filters_for_hits(true);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_target_file_size_base(FILE_BYTES);
    options.set_compression_type(DBCompressionType::None);
}
