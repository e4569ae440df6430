//! The file of a run, format version 1. All numbers are little-endian; `xxh3` is XXH3-64 with
//! seed 0; header and footer are those of [`crate::checkpoint::frame`].
//!
//! ```text
//! file    = header block* filter* index footer
//! header  = with magic "RRUNBASE" and version 1
//! block   = stored bytes: lz4 (one block, no frame) of the rows, or the rows as they are
//! rows    = entries of riverrun_engine::state::entry, puts only
//! filter  = a power of two of bytes, at least 8: see run::filter
//! index   = names:u32 name{names}  filters:u32 filter_place{filters}  place{blocks}
//! name    = uid_len:u16 state_len:u16 uid state        UTF-8, rising by (uid, state); places name
//!                                                      them by position, from 0
//! filter_place
//!         = name:u32 group:u16 zero:u16 offset:u64 len:u64 xxh3:u64 (of the filter)      32 bytes
//! place   = name:u32 group:u16 packing:u16 (0 as it is | 1 lz4) offset:u64
//!           stored:u32 (bytes in the file) raw:u32 (bytes of its rows) entries:u32
//!           first:u32 (length of the next) xxh3:u64 (of the stored bytes)                40 bytes
//!           then the first row's entry without its value: a put with an empty value
//! footer  = with magic "RRUNBASF"; its entries are the number of rows
//! ```
//!
//! Invariants:
//!
//! 1. Rows rise by (key group, name, namespace, key), over block ends too; no two are alike.
//! 2. A block holds rows of one key group and one name, and ends after [`BLOCK_BYTES`] of rows.
//! 3. Each (key group, name) that has rows has one filter over the hashes of its row keys.
//! 4. Blocks lie without gaps after the header, filters without gaps after the blocks, the index
//!    without a gap before the footer. Checksums form a tree: the footer holds that of the index,
//!    the index those of all blocks and filters. So no byte of the file is outside a check, and
//!    any block can be read and believed alone.

use crate::checkpoint::frame::Kind;

/// The length of a block's rows at which the next block begins; a longer row has one of its own.
pub const BLOCK_BYTES: usize = 32 << 10;

pub(super) const KIND: Kind =
    Kind { name: "run", header: b"RRUNBASE", footer: b"RRUNBASF", version: 1, oldest: 1 };
pub(super) const PLACE_BYTES: usize = 40;

/// The block holds its rows as they are.
pub(super) const AS_IS: u16 = 0;
/// The block holds its rows packed.
pub(super) const LZ4: u16 = 1;
