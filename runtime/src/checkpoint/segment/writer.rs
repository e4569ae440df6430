//! Writes a segment into memory. Called by the coordinator with the parts of all subtasks.

use std::collections::HashMap;

use riverrun_engine::checkpoint::Section;
use riverrun_engine::graph::Uid;
use xxhash_rust::xxh3::xxh3_64;

use super::KIND;
use crate::checkpoint::frame::{self, FormatError};

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
        SegmentWriter {
            out: frame::begin(&KIND),
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
    pub fn add(&mut self, uid: &Uid, state: &str, section: &Section) -> Result<(), FormatError> {
        let name = self.name(uid, state)?;
        let (start, len) = (self.out.len() as u64, section.bytes.len() as u64);
        self.out.extend_from_slice(&section.bytes);
        for number in [start, len, section.entries] {
            self.places.extend_from_slice(&number.to_le_bytes());
        }
        self.places.extend_from_slice(&name.to_le_bytes());
        self.places.extend_from_slice(&section.group.0.to_le_bytes());
        self.places.extend_from_slice(&[0; 2]);
        self.places.extend_from_slice(&xxh3_64(&section.bytes).to_le_bytes());
        self.blocks += 1;
        self.entries += section.entries;
        Ok(())
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
        let index = self.out.len();
        self.out.extend_from_slice(&self.name_count.to_le_bytes());
        self.out.extend_from_slice(&self.name_bytes);
        self.out.extend_from_slice(&self.places);
        frame::end(&KIND, &mut self.out, index, self.blocks, self.entries);
        (self.out, self.entries)
    }
}
