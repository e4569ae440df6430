//! Reads a segment by ranges, checking every byte before it is believed. Called by the store,
//! by [`crate::checkpoint::view`] and by merges.

use std::ops::Range;

use bytes::Bytes;
use riverrun_engine::key::KeyGroup;
use xxhash_rust::xxh3::xxh3_64;

use super::{KIND, PLACE_BYTES};
use crate::checkpoint::StoreError;
use crate::checkpoint::file::StoredFile;
use crate::checkpoint::frame::{self, Cursor, FormatError, HEADER_BYTES, inconsistent};

/// What the index says of one section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionRef<'a> {
    /// The operator.
    pub uid: &'a str,
    /// The state.
    pub state: &'a str,
    /// The key group.
    pub group: KeyGroup,
    /// How many entries.
    pub entries: u64,
    /// How many bytes they take.
    pub bytes: u64,
}

#[derive(Debug)]
struct Place {
    name: u32,
    group: KeyGroup,
    entries: u64,
    block: Range<u64>,
    checksum: u64,
}

/// A segment whose index was checked; its blocks are checked as they are read.
#[derive(Debug)]
pub struct Segment {
    file: StoredFile,
    names: Vec<(String, String)>,
    places: Vec<Place>,
}

impl Segment {
    /// Reads and checks everything but the blocks.
    ///
    /// The index must have the checksum `index`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn open(file: StoredFile, index: u64) -> Result<Segment, StoreError> {
        let framed = frame::open(&KIND, &file, index).await?;
        let mut index = Cursor { rest: &framed.index };
        let wrong = || file.damaged(inconsistent("index"));
        let names = index.names().ok_or_else(wrong)?;
        let mut places = Vec::with_capacity(index.rest.len() / PLACE_BYTES);
        let (mut at, mut entries) = (HEADER_BYTES as u64, 0_u64);
        for number in 0..framed.blocks {
            let place = place(&mut index, at).filter(|place| {
                (place.name as usize) < names.len() && place.block.end <= framed.index_offset
            });
            let place =
                place.ok_or_else(|| file.damaged(inconsistent(format!("block {number}"))))?;
            entries = entries.wrapping_add(place.entries);
            at = place.block.end;
            places.push(place);
        }
        if !index.rest.is_empty() || at != framed.index_offset || entries != framed.entries {
            return Err(wrong());
        }
        Ok(Segment { file, names, places })
    }

    /// The sections, in the order in which they were added.
    pub fn sections(&self) -> impl ExactSizeIterator<Item = SectionRef<'_>> {
        self.places.iter().map(|place| {
            let (uid, state) = &self.names[place.name as usize];
            let bytes = place.block.end - place.block.start;
            SectionRef { uid, state, group: place.group, entries: place.entries, bytes }
        })
    }

    /// The entries of section number `index`, checked.
    ///
    /// # Errors
    /// A block that is damaged; storage that does not answer.
    ///
    /// # Panics
    /// When there is no such section.
    pub async fn read(&self, index: usize) -> Result<Bytes, StoreError> {
        let place = &self.places[index];
        let block = self.file.range(place.block.clone()).await?;
        if xxh3_64(&block) == place.checksum {
            return Ok(block);
        }
        let part = format!("block {index} at byte {}", place.block.start);
        Err(self.file.damaged(FormatError::Checksum { part }))
    }

    /// Reads and checks every block.
    ///
    /// # Errors
    /// The first that is damaged.
    pub async fn check(&self) -> Result<(), StoreError> {
        for index in 0..self.places.len() {
            self.read(index).await?;
        }
        Ok(())
    }

    /// The file it lies in.
    #[must_use]
    pub fn file(&self) -> &StoredFile {
        &self.file
    }
}

/// The next place, whose block begins at `at`.
fn place(index: &mut Cursor<'_>, at: u64) -> Option<Place> {
    let (offset, len, entries) = (index.u64()?, index.u64()?, index.u64()?);
    let (name, group, zero) = (index.u32()?, index.u16()?, index.u16()?);
    let checksum = index.u64()?;
    let block = offset..offset.checked_add(len)?;
    let right = offset == at && zero == 0;
    right.then_some(Place { name, group: KeyGroup(group), entries, block, checksum })
}
