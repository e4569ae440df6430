//! One state's rows in one key group, by key: which of its files' layers decides, and what of each
//! must be read for that.
//!
//! Called by [`super::state_reader`] for single keys and by lazy restores ([`super::lazy`]) for
//! those of a batch and for warming; [`open`] makes them of files, [`sweep`] goes through all rows,
//! [`super::walk`] through entries of many rows. The layers of a key group are the sections of its
//! segments, the newest first, and at last its run. Invariants: the newest layer that puts or
//! removes a row decides; of what is sorted only blocks are read that may hold a row, and only
//! removals and filters are kept; sections that are not sorted are kept.

mod open;
mod sweep;

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use riverrun_engine::key::{KeyHash, hash_bytes};
use riverrun_engine::state::entry::{self, Entry};

use super::error::StoreError;
use super::run::overlay::Place;
use super::run::{HeldPuts, Overlay, filter};
use super::view::StateFiles;
pub use sweep::Sweep;

/// How many blocks are read at once.
const READS_AT_ONCE: usize = 16;

/// Which file sorted blocks lie in, by its position among those of [`StateFiles`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum At {
    /// A segment.
    Segment(usize),
    /// A run.
    Run(usize),
}

#[derive(Debug)]
pub(super) enum Layer {
    /// Sections without an order that only put, one after the other.
    Puts(HeldPuts),
    /// The same where one takes rows away.
    Held(Overlay),
    /// A sorted section of a segment, or the rows of a run.
    Sorted { at: At, removals: Overlay, blocks: Range<usize>, filter: Bytes },
}

impl Layer {
    fn bytes(&self) -> usize {
        match self {
            Layer::Puts(puts) => puts.memory(),
            Layer::Held(overlay) => overlay.memory(),
            Layer::Sorted { removals, filter, .. } => removals.memory() + filter.len(),
        }
    }

    /// What takes rows of older layers away, if anything does.
    fn removals(&self) -> Option<&Overlay> {
        match self {
            Layer::Puts(_) => None,
            Layer::Held(removals) | Layer::Sorted { removals, .. } => {
                removals.has_removals().then_some(removals)
            }
        }
    }

    /// Key and value of the lowest row without a namespace that it puts, of those from a key on.
    ///
    /// # Panics
    /// When its rows are not in memory.
    pub(super) fn put_from(&self, key: Bound<Bytes>) -> Option<(Bytes, Bytes)> {
        match self {
            Layer::Puts(puts) => puts.put_from(key),
            Layer::Held(overlay) => {
                overlay.put_from(key).map(|(key, value)| (key.clone(), value.clone()))
            }
            Layer::Sorted { .. } => unreachable!("its rows are in blocks"),
        }
    }
}

/// The layers of a state in a key group, the newest first.
#[derive(Debug, Default)]
pub struct Layers {
    layers: Vec<Layer>,
    /// About how many bytes of memory they take.
    bytes: usize,
}

impl Layers {
    /// About how many bytes of memory they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn all(&self) -> &[Layer] {
        &self.layers
    }
}

/// A row that is looked for.
struct Sought {
    place: Place,
    hash: KeyHash,
}

impl StateFiles {
    /// The values of rows of one namespace by their keys, each where there is one.
    ///
    /// # Errors
    /// A block that is damaged; storage that does not answer.
    pub async fn find(
        &self,
        layers: &Layers,
        namespace: &Bytes,
        keys: impl IntoIterator<Item = Bytes>,
    ) -> Result<Vec<Option<Bytes>>, StoreError> {
        let sought =
            |key: Bytes| Sought { hash: hash_bytes(&key), place: (namespace.clone(), key) };
        let keys: Vec<Sought> = keys.into_iter().map(sought).collect();
        let mut found = vec![None; keys.len()];
        // Those that no layer has decided yet.
        let mut open: Vec<usize> = (0..keys.len()).collect();
        for layer in &layers.layers {
            match layer {
                Layer::Puts(puts) => {
                    open.iter().for_each(|at| found[*at] = puts.put(&keys[*at].place));
                }
                Layer::Held(overlay) => {
                    open.iter().for_each(|at| found[*at] = overlay.put(&keys[*at].place).cloned());
                }
                Layer::Sorted { at, blocks, filter, .. } => {
                    self.find_in(*at, (blocks, filter), (&keys, &open), &mut found).await?;
                }
            }
            let removals = layer.removals();
            open.retain(|at| {
                let (namespace, key) = &keys[*at].place;
                let removed = removals.is_some_and(|removals| removals.removes(namespace, key));
                found[*at].is_none() && !removed
            });
            if open.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    /// Looks for the keys that are `open` in sorted blocks, each of which is read once.
    async fn find_in(
        &self,
        at: At,
        (blocks, filter): (&Range<usize>, &Bytes),
        (keys, open): (&[Sought], &[usize]),
        found: &mut [Option<Bytes>],
    ) -> Result<(), StoreError> {
        let mut wanted: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for sought in open {
            let Sought { place, hash } = &keys[*sought];
            if !blocks.is_empty() && filter::may_hold(filter, *hash) {
                let block = self.from(at, blocks.clone(), place).start;
                wanted.entry(block).or_default().push(*sought);
            }
        }
        let read = async |(block, sought): (usize, Vec<usize>)| {
            let bytes = self.read_blocks(at, block..block + 1).await?;
            Ok::<_, StoreError>((bytes, sought))
        };
        let mut read = stream::iter(wanted).map(read).buffered(READS_AT_ONCE);
        while let Some((blocks, sought)) = read.try_next().await? {
            for block in blocks {
                let sought = sought.iter().map(|at| (&keys[*at].place, *at)).collect();
                pick(&block, sought, found);
            }
        }
        Ok(())
    }
}

/// Takes the values of the keys sought out of a block of rising rows.
fn pick(block: &Bytes, mut sought: Vec<(&Place, usize)>, found: &mut [Option<Bytes>]) {
    sought.sort_unstable();
    let mut sought = sought.into_iter().peekable();
    let mut rest = &block[..];
    while let Ok(Some(row)) = entry::read(&mut rest) {
        let here = (row.namespace, row.key);
        while sought.next_if(|((space, key), _)| (&space[..], &key[..]) < here).is_some() {}
        while let Some((_, at)) = sought.next_if(|((space, key), _)| (&space[..], &key[..]) == here)
        {
            found[at] = Some(block.slice_ref(row.value));
        }
        if sought.peek().is_none() {
            return;
        }
    }
}

/// Whether one of these layers removes a row of an older one.
pub(super) fn is_removed(newer: &[Layer], row: &Entry<'_>) -> bool {
    let mut removals = newer.iter().filter_map(Layer::removals).peekable();
    if removals.peek().is_none() {
        return false;
    }
    let (namespace, key) = (Bytes::copy_from_slice(row.namespace), Bytes::copy_from_slice(row.key));
    removals.any(|removals| removals.removes(&namespace, &key))
}
