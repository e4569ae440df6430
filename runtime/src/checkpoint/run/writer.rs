//! Writes a run into memory. Called by [`super::merge`], which begins the next run before one
//! grows too large: object storage can put a file that must not exist yet only as a whole.

use riverrun_engine::key::{KeyGroup, KeyHash, hash_bytes};
use riverrun_engine::state::entry::{self, Entry, Op};
use xxhash_rust::xxh3::xxh3_64;

use super::filter;
use super::format::{AS_IS, BLOCK_BYTES, KIND, LZ4};
use crate::checkpoint::frame::{self, FormatError};

/// One name of a run: operator and state.
pub type Name = (String, String);

/// Writes a run, row by row, in order.
#[derive(Debug)]
pub struct RunWriter {
    out: Vec<u8>,
    names: Vec<u8>,
    name_count: u32,
    places: Vec<u8>,
    filters: Vec<(KeyGroup, u32, Vec<u8>)>,
    blocks: u64,
    entries: u64,
    /// The key group and name of the rows under way.
    at: Option<(KeyGroup, u32)>,
    block: Vec<u8>,
    block_entries: u32,
    /// The first row of the block under way, without its value.
    first: Vec<u8>,
    /// Namespace and key of the last row.
    last: (Vec<u8>, Vec<u8>),
    /// Of the rows of this key group and name.
    hashes: Vec<KeyHash>,
}

impl RunWriter {
    /// An empty run whose rows will be of `names`, which rise.
    ///
    /// # Errors
    /// A name that is too long; names that do not rise.
    pub fn new(names: &[Name]) -> Result<Self, FormatError> {
        if !names.is_sorted_by(|a, b| a < b) {
            return Err(FormatError::Order { part: "names".to_owned() });
        }
        let mut bytes = Vec::new();
        for (uid, state) in names {
            frame::put_name(&mut bytes, uid, state)?;
        }
        Ok(RunWriter {
            out: frame::begin(&KIND),
            names: bytes,
            name_count: names.len() as u32,
            places: Vec::new(),
            filters: Vec::new(),
            blocks: 0,
            entries: 0,
            at: None,
            block: Vec::new(),
            block_entries: 0,
            first: Vec::new(),
            last: (Vec::new(), Vec::new()),
            hashes: Vec::new(),
        })
    }

    /// Appends a row of name number `name`.
    ///
    /// # Errors
    /// A row that does not follow the one before; one that is too long.
    pub fn add(
        &mut self,
        (group, name): (KeyGroup, u32),
        (namespace, key): (&[u8], &[u8]),
        value: &[u8],
    ) -> Result<(), FormatError> {
        let order = || FormatError::Order { part: format!("key group {}", group.0) };
        let last = (self.last.0.as_slice(), self.last.1.as_slice());
        match self.at {
            Some(at) if at == (group, name) => {
                if last >= (namespace, key) {
                    return Err(order());
                }
                if self.block.len() >= BLOCK_BYTES {
                    self.end_block()?;
                }
            }
            at => {
                if name >= self.name_count || at >= Some((group, name)) {
                    return Err(order());
                }
                self.end_name()?;
                self.at = Some((group, name));
            }
        }
        let too_long = |_| {
            let bytes = namespace.len() + key.len() + value.len();
            FormatError::RowLength { bytes }
        };
        let row = Entry { op: Op::Put, namespace, key, value };
        if self.block_entries == 0 {
            self.first.clear();
            entry::write(&mut self.first, Entry { value: &[], ..row }).map_err(too_long)?;
        }
        entry::write(&mut self.block, row).map_err(too_long)?;
        self.block_entries += 1;
        self.entries += 1;
        self.hashes.push(hash_bytes(key));
        self.last.0.clear();
        self.last.0.extend_from_slice(namespace);
        self.last.1.clear();
        self.last.1.extend_from_slice(key);
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), FormatError> {
        let Some((group, name)) = self.at.filter(|_| self.block_entries > 0) else {
            return Ok(());
        };
        let packed = lz4_flex::block::compress(&self.block);
        let (packing, stored) =
            if packed.len() < self.block.len() { (LZ4, &packed) } else { (AS_IS, &self.block) };
        let length = |len: usize| {
            u32::try_from(len).map_err(|_| FormatError::RowLength { bytes: self.block.len() })
        };
        self.places.extend_from_slice(&name.to_le_bytes());
        self.places.extend_from_slice(&group.0.to_le_bytes());
        self.places.extend_from_slice(&packing.to_le_bytes());
        self.places.extend_from_slice(&(self.out.len() as u64).to_le_bytes());
        let (raw, first) = (length(self.block.len())?, length(self.first.len())?);
        for number in [length(stored.len())?, raw, self.block_entries, first] {
            self.places.extend_from_slice(&number.to_le_bytes());
        }
        self.places.extend_from_slice(&xxh3_64(stored).to_le_bytes());
        self.places.extend_from_slice(&self.first);
        self.out.extend_from_slice(stored);
        self.blocks += 1;
        self.block.clear();
        self.block_entries = 0;
        Ok(())
    }

    fn end_name(&mut self) -> Result<(), FormatError> {
        self.end_block()?;
        if let Some((group, name)) = self.at {
            self.filters.push((group, name, filter::build(&self.hashes)));
        }
        self.hashes.clear();
        Ok(())
    }

    /// How many bytes it takes so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.out.len() + self.block.len() + self.places.len()
    }

    /// How many rows it has.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The file's bytes, and the number of rows in it.
    ///
    /// # Errors
    /// As [`RunWriter::add`].
    pub fn finish(mut self) -> Result<(Vec<u8>, u64), FormatError> {
        self.end_name()?;
        let mut filter_places = Vec::new();
        for (group, name, filter) in &self.filters {
            let offset = self.out.len() as u64;
            filter::put_place(&mut filter_places, (*group, *name), offset, filter);
            self.out.extend_from_slice(filter);
        }
        let index = self.out.len();
        self.out.extend_from_slice(&self.name_count.to_le_bytes());
        self.out.extend_from_slice(&self.names);
        self.out.extend_from_slice(&(self.filters.len() as u32).to_le_bytes());
        self.out.extend_from_slice(&filter_places);
        self.out.extend_from_slice(&self.places);
        frame::end(&KIND, (0, &mut self.out), index, self.blocks, self.entries);
        Ok((self.out, self.entries))
    }
}
