//! Writes a segment into memory. Called by the coordinator with the parts of all subtasks.

use std::collections::HashMap;

use riverrun_engine::checkpoint::Section;
use riverrun_engine::graph::Uid;
use xxhash_rust::xxh3::xxh3_64;

use super::{BLOCK_HEAD_BYTES, CHECKSUM_BYTES, FOOTER_MAGIC, HEADER_MAGIC, SegmentError, VERSION};

/// Writes a segment, section by section.
#[derive(Debug)]
pub struct SegmentWriter {
    out: Vec<u8>,
    names: HashMap<Uid, HashMap<String, u32>>,
    name_bytes: Vec<u8>,
    name_count: u32,
    places: Vec<u8>,
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
        let mut out = Vec::with_capacity(4096);
        out.extend_from_slice(HEADER_MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        SegmentWriter {
            out,
            names: HashMap::new(),
            name_bytes: Vec::new(),
            name_count: 0,
            places: Vec::new(),
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
    pub fn add(&mut self, uid: &Uid, state: &str, section: &Section) -> Result<(), SegmentError> {
        let name = self.name(uid, state)?;
        let (start, len) = (self.out.len(), section.bytes.len() as u64);
        self.out.reserve(BLOCK_HEAD_BYTES + section.bytes.len() + CHECKSUM_BYTES);
        put_what(&mut self.out, name, section);
        self.out.extend_from_slice(&len.to_le_bytes());
        self.out.extend_from_slice(&section.bytes);
        let checksum = xxh3_64(&self.out[start..]);
        self.out.extend_from_slice(&checksum.to_le_bytes());
        self.places.extend_from_slice(&(start as u64).to_le_bytes());
        self.places.extend_from_slice(&len.to_le_bytes());
        put_what(&mut self.places, name, section);
        self.blocks += 1;
        self.entries += section.entries;
        Ok(())
    }

    fn name(&mut self, uid: &Uid, state: &str) -> Result<u32, SegmentError> {
        if let Some(name) = self.names.get(uid).and_then(|states| states.get(state)) {
            return Ok(*name);
        }
        let too_long =
            |_| SegmentError::NameLength { uid: uid.to_string(), state: state.to_owned() };
        let uid_len = u16::try_from(uid.0.len()).map_err(too_long)?;
        let state_len = u16::try_from(state.len()).map_err(too_long)?;
        self.name_bytes.extend_from_slice(&uid_len.to_le_bytes());
        self.name_bytes.extend_from_slice(&state_len.to_le_bytes());
        self.name_bytes.extend_from_slice(uid.0.as_bytes());
        self.name_bytes.extend_from_slice(state.as_bytes());
        let name = self.name_count;
        self.name_count += 1;
        self.names.entry(uid.clone()).or_default().insert(state.to_owned(), name);
        Ok(name)
    }

    /// The file's bytes, and the number of entries in it.
    #[must_use]
    pub fn finish(mut self) -> (Vec<u8>, u64) {
        let index = self.out.len();
        self.out.extend_from_slice(&self.name_count.to_le_bytes());
        self.out.extend_from_slice(&self.name_bytes);
        self.out.extend_from_slice(&self.places);
        let index_checksum = xxh3_64(&self.out[index..]);
        let footer = self.out.len();
        for number in [index as u64, self.blocks, self.entries, index_checksum] {
            self.out.extend_from_slice(&number.to_le_bytes());
        }
        let checksum = xxh3_64(&self.out[footer..]);
        self.out.extend_from_slice(&checksum.to_le_bytes());
        self.out.extend_from_slice(FOOTER_MAGIC);
        (self.out, self.entries)
    }
}

fn put_what(out: &mut Vec<u8>, name: u32, section: &Section) {
    out.extend_from_slice(&name.to_le_bytes());
    out.extend_from_slice(&section.group.0.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&section.entries.to_le_bytes());
}
