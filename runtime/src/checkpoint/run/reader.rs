//! Reads a run by ranges: the index at once, blocks and filters as they are asked for, each checked
//! before it is believed. Called by [`crate::checkpoint::view`].

use std::cmp::Ordering;
use std::ops::Range;

use bytes::Bytes;
use riverrun_engine::key::KeyGroup;
use riverrun_engine::state::entry::{self, Op};
use xxhash_rust::xxh3::xxh3_64;

use super::filter;
use super::filter::FilterPlace;
use super::format::{AS_IS, KIND, LZ4, PLACE_BYTES};
use super::writer::Name;
use crate::checkpoint::StoreError;
use crate::checkpoint::file::StoredFile;
use crate::checkpoint::frame::{self, Cursor, FormatError, HEADER_BYTES, inconsistent};

/// Stored bytes of neighbouring blocks that are read by one request, if they are not one block.
const SPAN_BYTES: u64 = 1 << 20;

/// One row of a state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Its key group.
    pub group: KeyGroup,
    /// Its namespace, or nothing.
    pub namespace: Bytes,
    /// Its encoded key.
    pub key: Bytes,
    /// Its encoded value.
    pub value: Bytes,
}

#[derive(Debug)]
struct Place {
    at: (KeyGroup, u32),
    packed: bool,
    stored: Range<u64>,
    raw: u32,
    entries: u32,
    checksum: u64,
    /// Namespace and key of the first row.
    first: (Bytes, Bytes),
}

/// A run whose index was checked. Its memory is the index: about 60 bytes and a key for each block.
#[derive(Debug)]
pub struct RunReader {
    file: StoredFile,
    names: Vec<Name>,
    filters: Vec<FilterPlace>,
    places: Vec<Place>,
    entries: u64,
}

impl RunReader {
    /// Reads and checks header, footer and index.
    ///
    /// The index must have the checksum `index`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn open(file: StoredFile, index: u64) -> Result<RunReader, StoreError> {
        let framed = frame::open(&KIND, &file, index).await?;
        let mut index = Cursor { rest: &framed.index };
        let wrong = |part: &str| file.damaged(inconsistent(part));
        let names = index.names().ok_or_else(|| wrong("names"))?;
        let count = index.u32().ok_or_else(|| wrong("filters"))?;
        let mut filters = Vec::with_capacity((index.rest.len() / filter::PLACE_BYTES).min(1 << 16));
        for _ in 0..count {
            filters.push(FilterPlace::take(&mut index).ok_or_else(|| wrong("filters"))?);
        }
        let mut places = Vec::with_capacity(index.rest.len() / PLACE_BYTES);
        let (mut at, mut entries) = (HEADER_BYTES as u64, 0_u64);
        for number in 0..framed.blocks {
            let place = place(&mut index, at, &framed.index);
            let place = place.ok_or_else(|| wrong(&format!("block {number}")))?;
            entries = entries.wrapping_add(place.entries.into());
            at = place.stored.end;
            places.push(place);
        }
        let rise = |a: &Place, b: &Place| a.at < b.at || (a.at == b.at && a.first < b.first);
        let mut named = places.iter().map(|place| place.at).collect::<Vec<_>>();
        named.dedup();
        let filtered = named.iter().eq(filters.iter().map(|filter| &filter.at));
        let known = names.is_sorted_by(|a, b| a < b)
            && named.iter().all(|(_, name)| (*name as usize) < names.len());
        if !index.rest.is_empty() || !known || !filtered || !places.is_sorted_by(rise) {
            return Err(wrong("index"));
        }
        for filter in &filters {
            if filter.stored.start != at {
                return Err(wrong("filters"));
            }
            at = filter.stored.end;
        }
        if at != framed.index_offset || entries != framed.entries {
            return Err(wrong("index"));
        }
        Ok(RunReader { file, names, filters, places, entries })
    }

    /// How many rows it has.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Operators and states that may have rows, rising.
    #[must_use]
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// Rows and their bytes by key group and name, rising.
    pub fn sizes(&self) -> impl Iterator<Item = (KeyGroup, &Name, u64, u64)> {
        self.places.iter().map(|place| {
            let (group, name) = place.at;
            (group, &self.names[name as usize], place.entries.into(), place.raw.into())
        })
    }

    /// The file it lies in.
    #[must_use]
    pub fn file(&self) -> &StoredFile {
        &self.file
    }

    /// The blocks of a state in a key group.
    #[must_use]
    pub fn blocks(&self, group: KeyGroup, uid: &str, state: &str) -> Range<usize> {
        let name = |name: &Name| (name.0.as_str(), name.1.as_str()).cmp(&(uid, state));
        let Ok(name) = self.names.binary_search_by(name) else { return 0..0 };
        let at = (group, name as u32);
        let start = self.places.partition_point(|place| place.at < at);
        start..start + self.places[start..].partition_point(|place| place.at == at)
    }

    /// Of `blocks`, those that may hold a row not below (`namespace`, `key`).
    #[must_use]
    pub fn from(&self, blocks: Range<usize>, namespace: &[u8], key: &[u8]) -> Range<usize> {
        let below = |place: &Place| (&*place.first.0, &*place.first.1) <= (namespace, key);
        let at = self.places[blocks.clone()].partition_point(below);
        blocks.start + at.saturating_sub(1)..blocks.end
    }

    /// `blocks` in parts that are read by one request each.
    pub fn spans(&self, mut blocks: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        std::iter::from_fn(move || {
            let first = self.places.get(blocks.start).filter(|_| !blocks.is_empty())?;
            let near = |place: &Place| place.stored.end - first.stored.start <= SPAN_BYTES;
            let count = self.places[blocks.clone()].partition_point(near).max(1);
            let span = blocks.start..blocks.start + count;
            blocks.start = span.end;
            Some(span)
        })
    }

    /// The rows of each of `blocks` in the entry format, checked; one request.
    ///
    /// # Errors
    /// A block that is damaged; storage that does not answer.
    ///
    /// # Panics
    /// When there are no such blocks.
    pub async fn read(&self, blocks: Range<usize>) -> Result<Vec<Bytes>, StoreError> {
        let places = &self.places[blocks.clone()];
        let (Some(first), Some(last)) = (places.first(), places.last()) else {
            return Ok(Vec::new());
        };
        let start = first.stored.start;
        let stored = self.file.range(start..last.stored.end).await?;
        let own = |place: &Place| {
            stored.slice((place.stored.start - start) as usize..(place.stored.end - start) as usize)
        };
        blocks.zip(places).map(|(index, place)| self.unpacked(index, own(place))).collect()
    }

    fn unpacked(&self, index: usize, stored: Bytes) -> Result<Bytes, StoreError> {
        let place = &self.places[index];
        if xxh3_64(&stored) != place.checksum {
            return Err(self.file.damaged(FormatError::Checksum { part: self.part(index) }));
        }
        if !place.packed {
            return Ok(stored);
        }
        let rows = lz4_flex::block::decompress(&stored, place.raw as usize);
        match rows {
            Ok(rows) if rows.len() == place.raw as usize => Ok(rows.into()),
            _ => Err(self.file.damaged(inconsistent(self.part(index)))),
        }
    }

    fn part(&self, index: usize) -> String {
        format!("block {index} at byte {}", self.places[index].stored.start)
    }

    /// The rows of `blocks`, in order.
    ///
    /// # Errors
    /// As [`RunReader::read`]; bytes that are no rows.
    ///
    /// # Panics
    /// When there are no such blocks.
    pub async fn rows(&self, blocks: Range<usize>) -> Result<Vec<Row>, StoreError> {
        let mut all = Vec::new();
        for (index, block) in blocks.clone().zip(self.read(blocks).await?) {
            let place = &self.places[index];
            let rows = rows_of(place.at.0, &block).filter(|rows| {
                let first = rows.first().map(|row| (&row.namespace, &row.key));
                let begins = first == Some((&place.first.0, &place.first.1));
                rows.len() == place.entries as usize && begins
            });
            let wrong = || self.file.damaged(inconsistent(self.part(index)));
            all.append(&mut rows.ok_or_else(wrong)?);
        }
        Ok(all)
    }

    /// How many rows `blocks` hold.
    ///
    /// # Panics
    /// When there are no such blocks.
    #[must_use]
    pub fn entries_in(&self, blocks: Range<usize>) -> u64 {
        self.places[blocks].iter().map(|place| u64::from(place.entries)).sum()
    }

    /// The filters of the states and key groups to which these blocks belong.
    ///
    /// # Errors
    /// A filter that is damaged; storage that does not answer.
    ///
    /// # Panics
    /// When there is no such block.
    pub async fn filters(&self, blocks: &[usize]) -> Result<Vec<Bytes>, StoreError> {
        let place = |block: &usize| {
            let at = self.places[*block].at;
            let found = self.filters.binary_search_by(|filter| filter.at.cmp(&at));
            &self.filters[found.expect("every name with blocks has a filter")]
        };
        filter::read(&self.file, &blocks.iter().map(place).collect::<Vec<_>>()).await
    }

    /// Reads and checks every block and every filter, and that rows rise within blocks too.
    ///
    /// # Errors
    /// The first that is damaged.
    pub async fn check(&self) -> Result<(), StoreError> {
        for index in 0..self.places.len() {
            let rows = self.rows(index..index + 1).await?;
            let next = self.places.get(index + 1).filter(|next| next.at == self.places[index].at);
            let order = |a: &Row, b: &Row| (&a.namespace, &a.key).cmp(&(&b.namespace, &b.key));
            let rise = rows.is_sorted_by(|a, b| order(a, b) == Ordering::Less);
            let last = rows.last().map(|row| (&row.namespace, &row.key));
            let before = next.is_none_or(|next| last < Some((&next.first.0, &next.first.1)));
            if !rise || !before {
                return Err(self.file.damaged(inconsistent(format!("block {index}"))));
            }
        }
        for place in &self.filters {
            filter::read(&self.file, &[place]).await?;
        }
        Ok(())
    }
}

fn rows_of(group: KeyGroup, block: &Bytes) -> Option<Vec<Row>> {
    let mut rest = &block[..];
    let mut rows = Vec::new();
    while let Some(entry) = entry::read(&mut rest).ok()? {
        if entry.op != Op::Put {
            return None;
        }
        let (namespace, key) = (block.slice_ref(entry.namespace), block.slice_ref(entry.key));
        rows.push(Row { group, namespace, key, value: block.slice_ref(entry.value) });
    }
    Some(rows)
}

/// The next place of `whole`, whose block begins at `at`.
fn place(index: &mut Cursor<'_>, at: u64, whole: &Bytes) -> Option<Place> {
    let (name, group, packing) = (index.u32()?, index.u16()?, index.u16()?);
    let offset = index.u64()?;
    let (stored, raw, entries, first) = (index.u32()?, index.u32()?, index.u32()?, index.u32()?);
    let checksum = index.u64()?;
    let mut row = index.take(first as usize)?;
    let first = entry::read(&mut row).ok()??;
    let right = offset == at
        && entries > 0
        && row.is_empty()
        && first.op == Op::Put
        && first.value.is_empty()
        && (packing == LZ4 || (packing == AS_IS && stored == raw));
    let first = (whole.slice_ref(first.namespace), whole.slice_ref(first.key));
    let stored = offset..offset.checked_add(stored.into())?;
    let (at, packed) = ((KeyGroup(group), name), packing == LZ4);
    right.then_some(Place { at, packed, stored, raw, entries, checksum, first })
}
