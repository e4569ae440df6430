//! Writes a segment into memory. Called by the coordinator with the parts of all subtasks, and by
//! merges.
//!
//! A section is added as it is ([`SegmentWriter::add`]) or, where it is long and was sorted, so
//! that it can be read by key ([`SegmentWriter::add_sorted`]).

use std::collections::HashMap;

use riverrun_engine::checkpoint::Section;
use riverrun_engine::graph::Uid;
use riverrun_engine::key::{KeyGroup, hash_bytes};
use riverrun_engine::state::entry::{self, Entry, Op};
use xxhash_rust::xxh3::xxh3_64;

use super::{AS_ADDED, KIND, PUTS, REMOVALS};
use crate::checkpoint::frame::{self, FormatError};
use crate::checkpoint::run::filter;
use crate::checkpoint::run::format::BLOCK_BYTES;

/// Writes a segment, section by section.
#[derive(Debug)]
pub struct SegmentWriter {
    out: Vec<u8>,
    names: HashMap<Uid, HashMap<String, u32>>,
    name_bytes: Vec<u8>,
    name_count: u32,
    places: Vec<u8>,
    filters: Vec<(KeyGroup, u32, Vec<u8>)>,
    blocks: u64,
    entries: u64,
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
            out: frame::begin(&KIND),
            names: HashMap::new(),
            name_bytes: Vec::new(),
            name_count: 0,
            places: Vec::new(),
            filters: Vec::new(),
            blocks: 0,
            entries: 0,
        }
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks == 0
    }

    /// Appends one section of state `state` of operator `uid`.
    ///
    /// # Errors
    /// A name that is too long.
    pub fn add(&mut self, uid: &Uid, state: &str, section: &Section) -> Result<(), FormatError> {
        let name = self.name(uid, state)?;
        let at = (name, section.group, AS_ADDED);
        self.block(at, &section.bytes, section.entries, &[]);
        Ok(())
    }

    /// Appends a section whose entries are drops and deletes, then puts that rise by namespace and
    /// key: the only one of its state and key group.
    ///
    /// # Errors
    /// A name that is too long; entries that are not in this order.
    pub fn add_sorted(
        &mut self,
        uid: &Uid,
        state: &str,
        section: &Section,
    ) -> Result<(), FormatError> {
        let order = || FormatError::Order { part: format!("key group {}", section.group.0) };
        let (name, group, bytes) = (self.name(uid, state)?, section.group, &section.bytes[..]);
        let (mut hashes, mut rest) = (Vec::new(), bytes);
        let (mut start, mut count) = (0, 0);
        // Of the block under way: its first row without the value. None in removals.
        let mut first: Option<Vec<u8>> = None;
        let mut last: Option<(&[u8], &[u8])> = None;
        loop {
            let at = bytes.len() - rest.len();
            let entry = entry::read(&mut rest).map_err(|_| order())?;
            let begins_puts = first.is_none() && entry.is_some_and(|entry| entry.op == Op::Put);
            let full = first.is_some() && at - start >= BLOCK_BYTES;
            if entry.is_none() || begins_puts || full {
                let kind = if first.is_some() { PUTS } else { REMOVALS };
                if count > 0 {
                    let first = first.as_deref().unwrap_or_default();
                    self.block((name, group, kind), &bytes[start..at], count, first);
                }
                (start, count) = (at, 0);
            }
            let Some(entry) = entry else { break };
            if entry.op == Op::Put {
                let row = (entry.namespace, entry.key);
                if last.is_some_and(|last| last >= row) {
                    return Err(order());
                }
                if count == 0 {
                    let mut bytes = Vec::new();
                    let bytes_of = Entry { value: &[], ..entry };
                    entry::write(&mut bytes, bytes_of).map_err(|_| order())?;
                    first = Some(bytes);
                }
                hashes.push(hash_bytes(entry.key));
                last = Some(row);
            } else if first.is_some() {
                return Err(order());
            }
            count += 1;
        }
        if !hashes.is_empty() {
            self.filters.push((group, name, filter::build(&hashes)));
        }
        Ok(())
    }

    fn block(
        &mut self,
        (name, group, kind): (u32, KeyGroup, u16),
        bytes: &[u8],
        entries: u64,
        first: &[u8],
    ) {
        let (start, len) = (self.out.len() as u64, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
        for number in [start, len, entries] {
            self.places.extend_from_slice(&number.to_le_bytes());
        }
        self.places.extend_from_slice(&name.to_le_bytes());
        self.places.extend_from_slice(&group.0.to_le_bytes());
        self.places.extend_from_slice(&kind.to_le_bytes());
        self.places.extend_from_slice(&xxh3_64(bytes).to_le_bytes());
        // Its parts were read with lengths of 32 bits.
        self.places.extend_from_slice(&(first.len() as u64).to_le_bytes());
        self.places.extend_from_slice(first);
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

    /// The file's bytes, and the number of entries in it.
    #[must_use]
    pub fn finish(mut self) -> (Vec<u8>, u64) {
        let mut filter_places = Vec::new();
        for (group, name, filter) in &self.filters {
            filter::put_place(&mut filter_places, (*group, *name), self.out.len(), filter);
            self.out.extend_from_slice(filter);
        }
        let index = self.out.len();
        self.out.extend_from_slice(&self.name_count.to_le_bytes());
        self.out.extend_from_slice(&self.name_bytes);
        self.out.extend_from_slice(&(self.filters.len() as u32).to_le_bytes());
        self.out.extend_from_slice(&filter_places);
        self.out.extend_from_slice(&self.places);
        frame::end(&KIND, &mut self.out, index, self.blocks, self.entries);
        (self.out, self.entries)
    }
}
