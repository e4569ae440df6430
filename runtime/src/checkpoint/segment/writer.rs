//! Writes a segment into memory, from where it may be taken in pieces. Called by the coordinator
//! with parts as they come, and by merges.
//!
//! A section is added as it is, without a copy where it is long ([`SegmentWriter::add`]), or, where
//! it is longer and in order, so that it can be read by key ([`SegmentWriter::add_rising`]).

use std::collections::HashMap;

use bytes::Bytes;
use riverrun_engine::checkpoint::Section;
use riverrun_engine::graph::Uid;
use riverrun_engine::key::{KeyGroup, KeyHash, hash_bytes};
use riverrun_engine::state::entry::{self, Entry, Op};
use xxhash_rust::xxh3::xxh3_64;

use super::{AS_ADDED, KIND, PUTS, REMOVALS};
use crate::checkpoint::frame::{self, FormatError};
use crate::checkpoint::run::format::BLOCK_BYTES;
use crate::checkpoint::run::{Put, filter};

/// A section of so many bytes is not copied.
const SHARED_FROM: usize = 4 << 10;

/// Where bytes lie in a file, and their checksum.
struct Block {
    offset: u64,
    len: u64,
    checksum: u64,
}

impl Block {
    fn of(offset: u64, bytes: &[u8]) -> Block {
        Block { offset, len: bytes.len() as u64, checksum: xxh3_64(bytes) }
    }
}

/// Writes a segment, section by section.
#[derive(Debug)]
pub struct SegmentWriter {
    /// What was not taken yet, and behind it what still grows.
    pieces: Vec<Bytes>,
    out: Vec<u8>,
    /// So many bytes lie before `out`, and so many of them were taken.
    before: u64,
    taken: u64,
    names: HashMap<Uid, HashMap<String, u32>>,
    name_bytes: Vec<u8>,
    name_count: u32,
    places: Vec<u8>,
    filters: Vec<(KeyGroup, u32, Vec<u8>)>,
    blocks: u64,
    entries: u64,
    /// Of the keys of a section: room that is used again.
    hashes: Vec<KeyHash>,
}

impl Default for SegmentWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl SegmentWriter {
    /// An empty segment.
    #[must_use]
    pub fn new() -> Self {
        SegmentWriter {
            pieces: Vec::new(),
            out: frame::begin(&KIND),
            before: 0,
            taken: 0,
            names: HashMap::new(),
            name_bytes: Vec::new(),
            name_count: 0,
            places: Vec::new(),
            filters: Vec::new(),
            blocks: 0,
            entries: 0,
            hashes: Vec::new(),
        }
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks == 0
    }

    /// How many bytes wait to be taken.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.end() - self.taken
    }

    /// How long the file is so far.
    fn end(&self) -> u64 {
        self.before + self.out.len() as u64
    }

    /// Takes the file's bytes so far; those of [`SegmentWriter::finish`] follow them.
    pub fn take(&mut self) -> Vec<Bytes> {
        self.push(Bytes::new());
        self.taken = self.before;
        std::mem::take(&mut self.pieces)
    }

    /// Appends what is not copied.
    fn push(&mut self, piece: Bytes) {
        self.before = self.end() + piece.len() as u64;
        let grown = Bytes::from(std::mem::take(&mut self.out));
        self.pieces.extend([grown, piece].into_iter().filter(|piece| !piece.is_empty()));
    }

    /// Appends one section of state `state` of operator `uid`.
    ///
    /// # Errors
    /// A name that is too long.
    pub fn add(&mut self, uid: &Uid, state: &str, section: &Section) -> Result<(), FormatError> {
        let name = self.name(uid, state)?;
        let block = Block::of(self.end(), &section.bytes);
        if section.bytes.len() < SHARED_FROM {
            self.out.extend_from_slice(&section.bytes);
        } else {
            self.push(section.bytes.clone());
        }
        self.end_block((name, section.group, AS_ADDED), block, section.entries, None);
        Ok(())
    }

    /// Appends a section in order: `removed` drops and deletes, and the puts behind them, which
    /// rise by namespace and key. It is the only one of its state and key group. Answers how many
    /// bytes of entries it has.
    ///
    /// # Errors
    /// A name that is too long.
    pub fn add_rising<'a>(
        &mut self,
        (uid, state, group): (&Uid, &str, KeyGroup),
        (removed, removals): (u64, &[u8]),
        puts: impl Iterator<Item = Put<'a>>,
    ) -> Result<u64, FormatError> {
        let name = self.name(uid, state)?;
        let from = self.out.len();
        self.out.extend_from_slice(removals);
        if removed > 0 {
            self.end_block((name, group, REMOVALS), self.block(from), removed, None);
        }
        let mut hashes = std::mem::take(&mut self.hashes);
        let mut start = self.out.len();
        let (mut first, mut count) = (None, 0);
        for put in puts {
            if self.out.len() - start >= BLOCK_BYTES {
                self.end_block((name, group, PUTS), self.block(start), count, first.take());
                (start, count) = (self.out.len(), 0);
            }
            first.get_or_insert(put.entry);
            self.out.extend_from_slice(put.bytes);
            hashes.push(hash_bytes(put.entry.key));
            count += 1;
        }
        if count > 0 {
            self.end_block((name, group, PUTS), self.block(start), count, first);
            self.filters.push((group, name, filter::build(&hashes)));
        }
        hashes.clear();
        self.hashes = hashes;
        Ok((self.out.len() - from) as u64)
    }

    /// As [`SegmentWriter::add_rising`], of a section whose entries lie in this order.
    ///
    /// # Errors
    /// A name that is too long; entries that do not lie so.
    pub fn add_sorted(
        &mut self,
        uid: &Uid,
        state: &str,
        section: &Section,
    ) -> Result<(), FormatError> {
        let order = || FormatError::Order { part: format!("key group {}", section.group.0) };
        let bytes = &section.bytes[..];
        let (mut rest, mut removed, mut end) = (bytes, 0, 0);
        let mut last: Option<Entry<'_>> = None;
        while let Some(entry) = entry::read(&mut rest).map_err(|_| order())? {
            match (entry.op, last) {
                (Op::Put, Some(last))
                    if (last.namespace, last.key) >= (entry.namespace, entry.key) =>
                {
                    return Err(order());
                }
                (Op::Put, _) => last = Some(entry),
                (_, Some(_)) => return Err(order()),
                (_, None) => (removed, end) = (removed + 1, bytes.len() - rest.len()),
            }
        }
        let (removals, mut rest) = bytes.split_at(end);
        let puts = std::iter::from_fn(|| {
            let put = (!rest.is_empty()).then(|| Put::first_of(rest))?;
            rest = &rest[put.bytes.len()..];
            Some(put)
        });
        self.add_rising((uid, state, section.group), (removed, removals), puts).map(drop)
    }

    /// What has grown from `start` on.
    fn block(&self, start: usize) -> Block {
        Block::of(self.before + start as u64, &self.out[start..])
    }

    /// What was appended last is a block.
    fn end_block(
        &mut self,
        (name, group, kind): (u32, KeyGroup, u16),
        block: Block,
        entries: u64,
        first: Option<Entry<'_>>,
    ) {
        for number in [block.offset, block.len, entries] {
            self.places.extend_from_slice(&number.to_le_bytes());
        }
        self.places.extend_from_slice(&name.to_le_bytes());
        self.places.extend_from_slice(&group.0.to_le_bytes());
        self.places.extend_from_slice(&kind.to_le_bytes());
        self.places.extend_from_slice(&block.checksum.to_le_bytes());
        let mut row = Vec::new();
        if let Some(first) = first {
            entry::write(&mut row, Entry { value: &[], ..first })
                .expect("its parts were read with lengths of 32 bits");
        }
        self.places.extend_from_slice(&(row.len() as u64).to_le_bytes());
        self.places.extend_from_slice(&row);
        self.blocks += 1;
        self.entries += entries;
    }

    fn name(&mut self, uid: &Uid, state: &str) -> Result<u32, FormatError> {
        if let Some(name) = self.names.get(uid).and_then(|states| states.get(state)) {
            return Ok(*name);
        }
        frame::put_name(&mut self.name_bytes, &uid.0, state)?;
        let name = self.name_count;
        self.name_count += 1;
        self.names.entry(uid.clone()).or_default().insert(state.to_owned(), name);
        Ok(name)
    }

    /// The file's bytes, less those that were taken, and the number of entries in it. The last
    /// piece holds the index.
    #[must_use]
    pub fn finish(mut self) -> (Vec<Bytes>, u64) {
        let mut filter_places = Vec::new();
        for (group, name, filter) in &self.filters {
            let offset = self.end();
            filter::put_place(&mut filter_places, (*group, *name), offset, filter);
            self.out.extend_from_slice(filter);
        }
        let index = self.out.len();
        self.out.extend_from_slice(&self.name_count.to_le_bytes());
        self.out.extend_from_slice(&self.name_bytes);
        self.out.extend_from_slice(&(self.filters.len() as u32).to_le_bytes());
        self.out.extend_from_slice(&filter_places);
        self.out.extend_from_slice(&self.places);
        frame::end(&KIND, (self.before, &mut self.out), index, self.blocks, self.entries);
        (self.take(), self.entries)
    }
}
