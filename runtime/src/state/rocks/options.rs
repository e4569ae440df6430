//! How RocksDB is set up for spilled state: no log, no syncing for the sake of a crash, and reads
//! by key of rows that are nearly always there and lie far from each other.
//!
//! It has no cache of blocks. What is used often is in memory as an entry, and takes less there; a
//! block that was read for one row is not asked for again soon, but had to push out another. What
//! is left of the budget by write buffers is for indexes and filters, which stay in memory whole: a
//! hundredth of the rows, with long keys some hundredths. Where that is more than the budget,
//! resident state has less ([`Database::excess_bytes`](super::database::Database::excess_bytes)).

use rocksdb::{
    BlockBasedOptions, DBCompressionType, DataBlockIndexType, Env, LogLevel, Options,
    WriteBufferManager,
};

use crate::config::Bytes;

/// Of the budget, one part in so many is one write buffer; there are at most three.
const WRITE_BUFFER_PART: u64 = 8;
const WRITE_BUFFERS_MAX: i32 = 3;
/// Larger ones would be merged for minutes, by one thread.
const WRITE_BUFFER_BYTES_MAX: u64 = 512 << 20;
/// Bits in a write buffer that say which keys it has, as a part of its size: most keys that are
/// asked for it has not.
const BUFFER_FILTER_PART: f64 = 0.1;
/// Range deletes slow every read down until they are merged: with so many, merge.
const RANGE_DELETES_MAX: u32 = 64;
/// Bits of a filter for each key, in the upper levels only.
const FILTER_BITS: f64 = 10.0;
/// A block is read whole for each row that is asked for, and rows that are asked for together lie
/// in different ones: what is copied, checked and (were it compressed) unpacked of one should be
/// little.
const BLOCK_BYTES: usize = 4 << 10;
/// The uppermost sorted level has room for so many write buffers, as many as are merged into it at
/// once: were it larger, each merge would write all of it again for few new rows.
const LEVEL_BUFFERS: u64 = 4;
/// Files hold about so many write buffers. In few and large ones, more of a batch's keys lie in the
/// same; of many and small ones, a dropped prefix covers more whole.
const FILE_BUFFERS: u64 = 4;
const FILE_BYTES_MAX: u64 = 32 << 20;
/// Bytes of RocksDB's own log, of which there is one.
const LOG_BYTES_MAX: usize = 1 << 20;

/// The options, for so much memory.
pub(super) fn options(memory: Bytes) -> Result<Options, rocksdb::Error> {
    // Set by name, as the crate has no method for them; first, as the result is another object.
    let named = format!(
        "avoid_flush_during_shutdown=true;memtable_max_range_deletions={RANGE_DELETES_MAX}"
    );
    let mut options = Options::default().get_options_from_string(named)?;
    options.create_if_missing(true);
    options.set_error_if_exists(true);
    let write_buffer = write_buffer(memory);
    bound_buffers(&mut options, memory, write_buffer);
    shape_files(&mut options, write_buffer);

    // One thread flushes, one merges. Neither gives way to the workers: where those take all
    // cores, files would pile up unmerged, and every read go through all of them.
    let mut env = Env::new()?;
    env.set_high_priority_background_threads(1);
    env.set_background_threads(1);
    options.set_env(&env);
    options.set_max_background_jobs(2);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(1);
    options.set_max_log_file_size(LOG_BYTES_MAX);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    Ok(options)
}

/// Bytes of all write buffers, when they are full.
pub(super) fn buffers_max(memory: Bytes) -> u64 {
    write_buffer(memory) * WRITE_BUFFERS_MAX as u64
}

fn write_buffer(memory: Bytes) -> u64 {
    (memory.0 / WRITE_BUFFER_PART).min(WRITE_BUFFER_BYTES_MAX)
}

/// Lets the process open as many files as it may. What it begins with is often little, for the sake
/// of programs that wait for files by `select`; one that does not may raise that. Every file of the
/// database stays open: looking for one that is not takes longer than reading a row.
#[cfg(unix)]
pub(super) fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if raised != limit
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        let Rlimit { current, maximum } = limit;
        tracing::warn!(%error, ?current, ?maximum, "the limit of open files stays as it is");
    }
}

/// There is no such limit here.
#[cfg(not(unix))]
pub(super) fn raise_open_files() {}

fn bound_buffers(options: &mut Options, memory: Bytes, write_buffer: u64) {
    // It never stalls writers itself: a stall would outlast a full disk. What stops them is the
    // number of write buffers, and that wait ends with an error.
    let half = usize::try_from(memory.0 / 2).unwrap_or(usize::MAX);
    let buffers = WriteBufferManager::new_write_buffer_manager(half, false);
    options.set_write_buffer_manager(&buffers);
    options.set_write_buffer_size(usize::try_from(write_buffer).unwrap_or(usize::MAX));
    options.set_max_write_buffer_number(WRITE_BUFFERS_MAX);
    options.set_memtable_whole_key_filtering(true);
    options.set_memtable_prefix_bloom_ratio(BUFFER_FILTER_PART);
}

fn shape_files(options: &mut Options, write_buffer: u64) {
    let mut table = BlockBasedOptions::default();
    table.disable_cache();
    table.set_block_size(BLOCK_BYTES);
    table.set_bloom_filter(FILTER_BITS, false);
    table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    table.set_data_block_hash_ratio(0.75);
    options.set_block_based_table_factory(&table);
    // The last level holds nine rows in ten, and who asks for a row mostly knows that it is there.
    options.set_optimize_filters_for_hits(true);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_max_bytes_for_level_base(write_buffer.saturating_mul(LEVEL_BUFFERS));
    options
        .set_target_file_size_base(write_buffer.saturating_mul(FILE_BUFFERS).min(FILE_BYTES_MAX));
    options.set_compression_type(DBCompressionType::None);
}
