//! Reads a segment by ranges, checking every byte before it is believed. Called by the store,
//! by [`crate::checkpoint::view`] and by merges.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use riverrun_engine::key::KeyGroup;
use riverrun_engine::state::entry::{self, Op};
use xxhash_rust::xxh3::xxh3_64;

use super::{AS_ADDED, KIND, PLACE_BYTES, PUTS, REMOVALS, UNSORTED_VERSION};
use crate::checkpoint::StoreError;
use crate::checkpoint::file::StoredFile;
use crate::checkpoint::frame::{self, Cursor, FormatError, HEADER_BYTES, inconsistent};
use crate::checkpoint::run::filter::{self, FilterPlace};

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// A section as it was added: all of it must be read to know what it does to one key.
    AsAdded,
    /// The drops and deletes of a sorted section.
    Removals,
    /// Puts of a sorted section, rising.
    Puts,
}

/// What the index says of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionRef<'a> {
    /// The operator.
    pub uid: &'a str,
    /// The state.
    pub state: &'a str,
    /// The key group.
    pub group: KeyGroup,
    /// What it is of its section.
    pub kind: BlockKind,
    /// How many entries.
    pub entries: u64,
    /// How many bytes they take.
    pub bytes: u64,
}

#[derive(Debug)]
struct Place {
    name: u32,
    group: KeyGroup,
    kind: BlockKind,
    entries: u64,
    block: Range<u64>,
    checksum: u64,
    /// Namespace and key of the first row of sorted puts.
    first: (Bytes, Bytes),
}

/// A segment whose index was checked; its blocks are checked as they are read.
#[derive(Debug)]
pub struct Segment {
    file: StoredFile,
    names: Vec<(String, String)>,
    filters: BTreeMap<(KeyGroup, u32), FilterPlace>,
    places: Vec<Place>,
}

impl Segment {
    /// Reads and checks everything but blocks and filters.
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
        let sorted = framed.version != UNSORTED_VERSION;
        let filter_places = match sorted {
            true => filter_places(&mut index).ok_or_else(wrong)?,
            false => Vec::new(),
        };
        let mut places = Vec::with_capacity(index.rest.len() / PLACE_BYTES);
        let (mut at, mut entries) = (HEADER_BYTES as u64, 0_u64);
        for number in 0..framed.blocks {
            let place = place(&mut index, at, sorted.then_some(&framed.index)).filter(|place| {
                (place.name as usize) < names.len() && place.block.end <= framed.index_offset
            });
            let place =
                place.ok_or_else(|| file.damaged(inconsistent(format!("block {number}"))))?;
            entries = entries.wrapping_add(place.entries);
            at = place.block.end;
            places.push(place);
        }
        for filter in &filter_places {
            if filter.stored.start != at {
                return Err(file.damaged(inconsistent("filters")));
            }
            at = filter.stored.end;
        }
        if !index.rest.is_empty() || at != framed.index_offset || entries != framed.entries {
            return Err(wrong());
        }
        if !are_sorted(&places, &filter_places) {
            return Err(file.damaged(inconsistent("sorted sections")));
        }
        let filters = filter_places.into_iter().map(|filter| (filter.at, filter)).collect();
        Ok(Segment { file, names, filters, places })
    }

    /// The blocks, in the order in which they were added: of one state and key group each.
    pub fn sections(&self) -> impl ExactSizeIterator<Item = SectionRef<'_>> {
        self.places.iter().map(|place| {
            let (uid, state) = &self.names[place.name as usize];
            let bytes = place.block.end - place.block.start;
            let Place { group, kind, entries, .. } = *place;
            SectionRef { uid, state, group, kind, entries, bytes }
        })
    }

    /// What block number `index` holds.
    ///
    /// # Panics
    /// When there is no such block.
    #[must_use]
    pub fn kind(&self, index: usize) -> BlockKind {
        self.places[index].kind
    }

    /// The same, how many bytes its entries take, and how many they are.
    ///
    /// # Panics
    /// When there is no such block.
    #[must_use]
    pub fn weight(&self, index: usize) -> (BlockKind, u64, u64) {
        let Place { kind, block, entries, .. } = &self.places[index];
        (*kind, block.end - block.start, *entries)
    }

    /// Of `blocks` of a sorted section's puts, those that may hold a row not below (`namespace`,
    /// `key`).
    #[must_use]
    pub fn from(&self, blocks: Range<usize>, namespace: &[u8], key: &[u8]) -> Range<usize> {
        let below = |place: &Place| (&*place.first.0, &*place.first.1) <= (namespace, key);
        let at = self.places[blocks.clone()].partition_point(below);
        blocks.start + at.saturating_sub(1)..blocks.end
    }

    /// The filters of the sorted sections to which these blocks of puts belong.
    ///
    /// # Errors
    /// A filter that is damaged; storage that does not answer.
    ///
    /// # Panics
    /// When there is no such block of puts.
    pub async fn filters(&self, blocks: &[usize]) -> Result<Vec<Bytes>, StoreError> {
        let place = |block: &usize| {
            let Place { group, name, .. } = &self.places[*block];
            self.filters.get(&(*group, *name)).expect("every sorted section of puts has a filter")
        };
        filter::read(&self.file, &blocks.iter().map(place).collect::<Vec<_>>()).await
    }

    /// The entries of block number `index`, checked.
    ///
    /// # Errors
    /// A block that is damaged; storage that does not answer.
    ///
    /// # Panics
    /// When there is no such block.
    pub async fn read(&self, index: usize) -> Result<Bytes, StoreError> {
        let block = self.file.range(self.places[index].block.clone()).await?;
        self.checked(index, block)
    }

    /// The entries of each of `blocks`, checked; those near each other by one request.
    ///
    /// # Errors
    /// As [`Segment::read`].
    ///
    /// # Panics
    /// When there are no such blocks.
    pub async fn read_some(&self, blocks: &[usize]) -> Result<Vec<Bytes>, StoreError> {
        let ranges: Vec<_> = blocks.iter().map(|at| self.places[*at].block.clone()).collect();
        let read = self.file.ranges(&ranges).await?;
        blocks.iter().zip(read).map(|(at, block)| self.checked(*at, block)).collect()
    }

    /// The entries of each of `blocks`, which are neighbours, checked; one request.
    ///
    /// # Errors
    /// As [`Segment::read`].
    ///
    /// # Panics
    /// When there are no such blocks.
    pub async fn read_all(&self, blocks: Range<usize>) -> Result<Vec<Bytes>, StoreError> {
        let places = &self.places[blocks.clone()];
        let (Some(first), Some(last)) = (places.first(), places.last()) else {
            return Ok(Vec::new());
        };
        let start = first.block.start;
        let stored = self.file.range(start..last.block.end).await?;
        let checked = |(index, place): (usize, &Place)| {
            let (from, to) = (place.block.start - start, place.block.end - start);
            self.checked(index, stored.slice(from as usize..to as usize))
        };
        blocks.zip(places).map(checked).collect()
    }

    fn checked(&self, index: usize, block: Bytes) -> Result<Bytes, StoreError> {
        let place = &self.places[index];
        if xxh3_64(&block) == place.checksum {
            return Ok(block);
        }
        let part = format!("block {index} at byte {}", place.block.start);
        Err(self.file.damaged(FormatError::Checksum { part }))
    }

    /// Reads and checks every block and every filter, and that sorted rows rise.
    ///
    /// # Errors
    /// The first that is damaged.
    pub async fn check(&self) -> Result<(), StoreError> {
        for (index, place) in self.places.iter().enumerate() {
            let block = self.read(index).await?;
            let next = self.places.get(index + 1);
            let next = next.filter(|next| is_next(place, next)).map(|next| &next.first);
            if place.kind == BlockKind::Puts && !rises(&block, place, next) {
                return Err(self.file.damaged(inconsistent(format!("block {index}"))));
            }
        }
        for place in self.filters.values() {
            filter::read(&self.file, &[place]).await?;
        }
        Ok(())
    }

    /// The file it lies in.
    #[must_use]
    pub fn file(&self) -> &StoredFile {
        &self.file
    }
}

fn filter_places(index: &mut Cursor<'_>) -> Option<Vec<FilterPlace>> {
    let count = index.u32()?;
    let mut places = Vec::with_capacity((index.rest.len() / filter::PLACE_BYTES).min(1 << 16));
    for _ in 0..count {
        places.push(FilterPlace::take(index)?);
    }
    Some(places)
}

/// The next place, whose block begins at `at`; `whole` is the index where it knows sorted sections.
fn place(index: &mut Cursor<'_>, at: u64, whole: Option<&Bytes>) -> Option<Place> {
    let (offset, len, entries) = (index.u64()?, index.u64()?, index.u64()?);
    let (name, group, kind) = (index.u32()?, index.u16()?, index.u16()?);
    let checksum = index.u64()?;
    let block = offset..offset.checked_add(len)?;
    let kind = match kind {
        AS_ADDED => BlockKind::AsAdded,
        REMOVALS if whole.is_some() => BlockKind::Removals,
        PUTS if whole.is_some() => BlockKind::Puts,
        _ => return None,
    };
    let mut left = match whole {
        Some(_) => {
            let len = usize::try_from(index.u64()?).ok()?;
            index.take(len)?
        }
        None => &[],
    };
    let first = match (kind, whole) {
        (BlockKind::Puts, Some(whole)) => {
            let row = entry::read(&mut left).ok()??;
            let bare = row.op == Op::Put && row.value.is_empty();
            bare.then(|| (whole.slice_ref(row.namespace), whole.slice_ref(row.key)))?
        }
        _ => (Bytes::new(), Bytes::new()),
    };
    let has_entries = kind == BlockKind::AsAdded || entries > 0;
    let right = offset == at && has_entries && left.is_empty();
    right.then_some(Place { name, group: KeyGroup(group), kind, entries, block, checksum, first })
}

/// Whether `place`, which follows `before`, goes on with a sorted section that is under way there.
fn is_next(before: &Place, place: &Place) -> bool {
    let same = (before.group, before.name) == (place.group, place.name);
    same && place.kind == BlockKind::Puts && before.kind != BlockKind::AsAdded
}

/// Whether sorted sections are as the invariants of [`super`] say.
fn are_sorted(places: &[Place], filters: &[FilterPlace]) -> bool {
    let mut filters = filters.iter();
    // Whether the section that a state and key group has is a sorted one.
    let mut sections = BTreeMap::new();
    let mut before: Option<&Place> = None;
    for place in places {
        let goes_on = before.filter(|before| is_next(before, place));
        if goes_on.is_none() {
            let sorted = place.kind != BlockKind::AsAdded;
            let other = sections.insert((place.group, place.name), sorted);
            if other.is_some_and(|other| other || sorted) {
                return false;
            }
        }
        if place.kind == BlockKind::Puts {
            match goes_on.filter(|before| before.kind == BlockKind::Puts) {
                Some(before) if before.first >= place.first => return false,
                Some(_) => {}
                None if filters.next().map(|f| f.at) != Some((place.group, place.name)) => {
                    return false;
                }
                None => {}
            }
        }
        before = Some(place);
    }
    filters.next().is_none()
}

/// Whether `block` holds just the rows that `place` and the first row of the block behind it say.
fn rises(block: &[u8], place: &Place, next: Option<&(Bytes, Bytes)>) -> bool {
    let (mut rest, mut count) = (block, 0);
    let mut last: Option<(&[u8], &[u8])> = None;
    while let Ok(Some(entry)) = entry::read(&mut rest) {
        let row = (entry.namespace, entry.key);
        let above = match last {
            Some(last) => last < row,
            None => row == (&*place.first.0, &*place.first.1),
        };
        if entry.op != Op::Put || !above {
            return false;
        }
        (last, count) = (Some(row), count + 1);
    }
    let next = next.map(|(namespace, key)| (&**namespace, &**key));
    rest.is_empty() && count == place.entries && next.is_none_or(|next| last < Some(next))
}
