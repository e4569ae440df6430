//! The live rows of one state in one key group, rising: all of them, or those whose keys begin with
//! a prefix. What [`super::layers`] is for single rows, this is for entries of many: lists, maps.
//!
//! Called by [`super::lazy`] for warming and for what a task asks for, and by
//! [`super::state_reader`].
//!
//! 1. Of each layer stands one row, the lowest that was not said. The lowest of those is next; of
//!    equal ones that of the newest layer.
//! 2. It is said unless a layer newer than its own removes it.
//! 3. Where a layer's blocks are used up the next are read, of all such layers side by side.
//!
//! Invariants: each row is said once; of sorted layers about [`SPAN_BLOCKS`] blocks are in memory,
//! at least one of each. Lists and maps have no namespaces.

use std::collections::VecDeque;
use std::ops::{Bound, Range};

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use riverrun_engine::state::entry::{self, Entry, Op};
use riverrun_engine::state::spill::prefix_end;

use super::error::StoreError;
use super::layers::{At, Layer, Layers, is_removed};
use super::run::format::BLOCK_BYTES;
use super::view::{SPAN_BLOCKS, StateFiles};

/// How many layers are read at once.
const READS_AT_ONCE: usize = 16;
/// Bytes of rows after which a part ends that was asked for.
const PART_BYTES: usize = 1 << 20;

/// How far rows were gone through.
#[derive(Debug)]
pub struct Walk {
    prefix: Bytes,
    after: Option<Bytes>,
    part_bytes: usize,
    /// One for each layer, the newest first; `None` before the first part.
    cursors: Option<Vec<Cursor>>,
}

/// Where a walk stands in one layer.
#[derive(Debug)]
struct Cursor {
    place: Place,
    /// Key and value of the row that is next; `None` at the end, and where blocks must be read.
    head: Option<(Bytes, Bytes)>,
}

#[derive(Debug)]
enum Place {
    /// Among rows that are held: from where on.
    Held(Bound<Bytes>),
    /// In sorted blocks: those that are not read, how many are read next, the rest of what was.
    Sorted { at: At, blocks: Range<usize>, span: usize, read: VecDeque<Bytes> },
}

impl Walk {
    /// Through every row, in parts of about a block.
    #[must_use]
    pub fn whole() -> Walk {
        Walk { part_bytes: BLOCK_BYTES, ..Walk::of(Bytes::new(), None) }
    }

    /// Through the rows whose keys begin with `prefix` and are above `after`, in parts of about
    /// 1 MiB.
    #[must_use]
    pub fn of(prefix: Bytes, after: Option<Bytes>) -> Walk {
        Walk { prefix, after, part_bytes: PART_BYTES, cursors: None }
    }

    fn cursors(&self, files: &StateFiles, layers: &[Layer]) -> Vec<Cursor> {
        let from = (Bytes::new(), self.after.as_ref().unwrap_or(&self.prefix).clone());
        let end = prefix_end(&self.prefix).map(|end| (Bytes::new(), Bytes::from(end)));
        let place = |layer: &Layer| match layer {
            Layer::Puts(_) | Layer::Held(_) => Place::Held(match &self.after {
                Some(after) => Bound::Excluded(after.clone()),
                None => Bound::Included(self.prefix.clone()),
            }),
            Layer::Sorted { at, blocks, .. } => {
                let mut own = files.from(*at, blocks.clone(), &from);
                if let Some(end) = &end {
                    // The last block that may hold a row of the prefix.
                    own.end = own.end.min(files.from(*at, blocks.clone(), end).start + 1);
                }
                Place::Sorted { at: *at, blocks: own, span: 1, read: VecDeque::new() }
            }
        };
        layers.iter().map(|layer| Cursor { place: place(layer), head: None }).collect()
    }

    /// Whether a row is one of those that are said.
    fn holds(&self, key: &Bytes) -> bool {
        key.starts_with(&self.prefix) && self.after.as_ref().is_none_or(|after| key > after)
    }

    /// Moves a cursor to its next row, as far as that is in memory.
    fn advance(&self, cursor: &mut Cursor, layer: &Layer) {
        cursor.head = None;
        match &mut cursor.place {
            Place::Held(from) => {
                cursor.head = layer.put_from(from.clone()).filter(|(key, _)| self.holds(key));
                if let Some((key, _)) = &cursor.head {
                    *from = Bound::Excluded(key.clone());
                }
            }
            Place::Sorted { read, .. } => {
                while let Some(block) = read.front_mut() {
                    let mut rest = &block[..];
                    // It was checked, so it is of rows to its end.
                    let Ok(Some(row)) = entry::read(&mut rest) else {
                        read.pop_front();
                        continue;
                    };
                    let (key, value) = (block.slice_ref(row.key), block.slice_ref(row.value));
                    *block = block.slice_ref(rest);
                    if self.holds(&key) {
                        cursor.head = Some((key, value));
                        return;
                    }
                }
            }
        }
    }
}

impl Cursor {
    /// Whether its next row is in a block that was not read.
    fn is_short(&self) -> bool {
        match &self.place {
            Place::Sorted { blocks, read, .. } => {
                self.head.is_none() && read.is_empty() && !blocks.is_empty()
            }
            Place::Held(_) => false,
        }
    }

    /// The blocks that must be read before the next row is known, at most `span_max`; they count as
    /// read.
    fn wants(&mut self, span_max: usize) -> Option<(At, Range<usize>)> {
        let is_short = self.is_short();
        match &mut self.place {
            Place::Sorted { at, blocks, span, .. } if is_short => {
                let wanted = blocks.start..blocks.end.min(blocks.start + *span);
                (blocks.start, *span) = (wanted.end, (*span * 2).min(span_max));
                Some((*at, wanted))
            }
            _ => None,
        }
    }
}

impl StateFiles {
    /// The next rows of a walk, as entries; `None` behind the last.
    ///
    /// # Errors
    /// A block that is damaged; storage that does not answer.
    pub async fn next_rising(
        &self,
        layers: &Layers,
        walk: &mut Walk,
    ) -> Result<Option<Bytes>, StoreError> {
        let layers = layers.all();
        let mut cursors = match walk.cursors.take() {
            Some(cursors) => cursors,
            None => {
                let mut cursors = walk.cursors(self, layers);
                for (cursor, layer) in cursors.iter_mut().zip(layers) {
                    walk.advance(cursor, layer);
                }
                self.fill(&mut cursors, layers, walk).await?;
                cursors
            }
        };
        let mut part = Vec::new();
        while part.len() < walk.part_bytes {
            let heads = cursors.iter().enumerate();
            let heads = heads.filter_map(|(at, cursor)| Some((&cursor.head.as_ref()?.0, at)));
            let Some((_, newest)) = heads.min() else { break };
            let Some((key, value)) = cursors[newest].head.take() else { break };
            let row = Entry { op: Op::Put, namespace: &[], key: &key, value: &value };
            if !is_removed(&layers[..newest], &row) {
                entry::write(&mut part, row).expect("what was read fits an entry");
            }
            walk.advance(&mut cursors[newest], &layers[newest]);
            for (cursor, layer) in cursors.iter_mut().zip(layers).skip(newest + 1) {
                if cursor.head.as_ref().is_some_and(|(other, _)| *other == key) {
                    walk.advance(cursor, layer);
                }
            }
            if cursors.iter().any(Cursor::is_short) {
                self.fill(&mut cursors, layers, walk).await?;
            }
        }
        walk.cursors = Some(cursors);
        Ok((!part.is_empty()).then(|| part.into()))
    }

    /// Reads the blocks without which the next rows of layers are not known.
    async fn fill(
        &self,
        cursors: &mut [Cursor],
        layers: &[Layer],
        walk: &Walk,
    ) -> Result<(), StoreError> {
        let sorted = cursors.iter().filter(|cursor| matches!(cursor.place, Place::Sorted { .. }));
        let span_max = (SPAN_BLOCKS / sorted.count().max(1)).max(1);
        loop {
            let all = cursors.iter_mut().enumerate();
            let wanted: Vec<_> =
                all.filter_map(|(n, cursor)| Some((n, cursor.wants(span_max)?))).collect();
            if wanted.is_empty() {
                return Ok(());
            }
            let read = async |(n, (at, blocks)): (usize, (At, Range<usize>))| {
                Ok::<_, StoreError>((n, self.read_blocks(at, blocks).await?))
            };
            let mut read = stream::iter(wanted).map(read).buffered(READS_AT_ONCE);
            while let Some((n, blocks)) = read.try_next().await? {
                if let Place::Sorted { read, .. } = &mut cursors[n].place {
                    read.extend(blocks);
                }
                walk.advance(&mut cursors[n], &layers[n]);
            }
        }
    }
}
