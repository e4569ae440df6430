//! One state's rows in one key group, by key: which of its files' layers decides, and what of each
//! must be read for that.
//!
//! Called by [`super::state_reader`] for single keys and by lazy restores ([`super::lazy`]) for
//! those of a batch and for warming; [`super::walk`] goes through entries of many rows. The layers
//! of a key group are the sections of its segments, the newest first, and at last its run.
//! Invariants: the newest layer that puts or removes a row decides; of what is sorted only blocks
//! are read that may hold a row, and only removals and filters are kept; sections that are not
//! sorted are short, and kept.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use riverrun_engine::key::{KeyGroup, KeyHash, hash_bytes};
use riverrun_engine::state::entry::{self, Entry, Op};

use super::error::StoreError;
use super::run::format::BLOCK_BYTES;
use super::run::overlay::Place;
use super::run::{Overlay, filter};
use super::segment::BlockKind;
use super::view::{SPAN_BLOCKS, StateFiles};

/// How many blocks are read at once.
const READS_AT_ONCE: usize = 16;

/// Which file sorted blocks lie in, by its position among those of [`StateFiles`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// A segment.
    Segment(usize),
    /// A run.
    Run(usize),
}

#[derive(Debug)]
pub(super) enum Layer {
    /// Sections without an order, one after the other.
    Held(Overlay),
    /// A sorted section of a segment, or the rows of a run.
    Sorted { at: At, removals: Overlay, blocks: Range<usize>, filter: Bytes },
}

impl Layer {
    fn bytes(&self) -> usize {
        match self {
            Layer::Held(overlay) => overlay.memory(),
            Layer::Sorted { removals, filter, .. } => removals.memory() + filter.len(),
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
    /// The layers of a state in a key group: reads what is kept of them.
    ///
    /// # Errors
    /// A block that is damaged; storage that does not answer.
    pub async fn layers(
        &self,
        group: KeyGroup,
        uid: &str,
        state: &str,
    ) -> Result<Layers, StoreError> {
        let mut layers = Vec::new();
        if let Some((at, blocks)) = self.run_blocks(group, uid, state) {
            let (at, removals) = (At::Run(at), Overlay::default());
            layers.push(self.sorted(at, removals, blocks).await?);
        }
        let mut places = self.sections_of(group, uid, state).iter().peekable();
        while let Some((segment, block)) = places.next().copied() {
            if self.kind(segment, block) == BlockKind::AsAdded {
                let mut held = match layers.pop() {
                    Some(Layer::Held(held)) => held,
                    Some(other) => {
                        layers.push(other);
                        Overlay::default()
                    }
                    None => Overlay::default(),
                };
                self.add_block(&mut held, segment, block).await?;
                layers.push(Layer::Held(held));
                continue;
            }
            let mut removals = Overlay::default();
            let mut blocks = block..block + 1;
            if self.kind(segment, block) == BlockKind::Removals {
                self.add_block(&mut removals, segment, block).await?;
                blocks.start += 1;
            }
            let goes_on = |place: &&(usize, usize), end| **place == (segment, end);
            while let Some((_, block)) = places.next_if(|place| goes_on(place, blocks.end)) {
                blocks.end = block + 1;
            }
            layers.push(self.sorted(At::Segment(segment), removals, blocks).await?);
        }
        layers.reverse();
        let bytes = layers.iter().map(Layer::bytes).sum();
        Ok(Layers { layers, bytes })
    }

    async fn sorted(
        &self,
        at: At,
        removals: Overlay,
        blocks: Range<usize>,
    ) -> Result<Layer, StoreError> {
        let filter = self.filter(at, &blocks).await?.unwrap_or_default();
        Ok(Layer::Sorted { at, removals, blocks, filter })
    }

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
            let removals = match layer {
                Layer::Held(overlay) => {
                    for at in &open {
                        found[*at] = overlay.put(&keys[*at].place).cloned();
                    }
                    overlay
                }
                Layer::Sorted { at, removals, blocks, filter } => {
                    self.find_in(*at, (blocks, filter), (&keys, &open), &mut found).await?;
                    removals
                }
            };
            open.retain(|at| {
                let (namespace, key) = &keys[*at].place;
                found[*at].is_none() && !removals.removes(namespace, key)
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

    /// A part of a key group's rows, as entries; `None` behind the last. See [`Sweep`].
    ///
    /// # Errors
    /// A block that is damaged; storage that does not answer.
    pub async fn next_part(
        &self,
        layers: &Layers,
        sweep: &mut Sweep,
    ) -> Result<Option<Bytes>, StoreError> {
        loop {
            if let Some(part) = sweep.ready.pop() {
                return Ok(Some(part));
            }
            let newer = &layers.layers[..sweep.layer.min(layers.layers.len())];
            let Some(layer) = layers.layers.get(sweep.layer) else { return Ok(None) };
            match layer {
                Layer::Held(overlay) => {
                    let rows = overlay.puts().map(|(namespace, key, value)| {
                        let (namespace, key, value) = (&namespace[..], &key[..], &value[..]);
                        Entry { op: Op::Put, namespace, key, value }
                    });
                    sweep.ready = parts(rows, newer);
                    sweep.layer += 1;
                }
                Layer::Sorted { at, blocks, .. } => {
                    let start = blocks.start + sweep.blocks;
                    let span = start..blocks.end.min(start + SPAN_BLOCKS);
                    sweep.blocks += span.len();
                    if span.end == blocks.end {
                        (sweep.layer, sweep.blocks) = (sweep.layer + 1, 0);
                    }
                    let read = self.read_blocks(*at, span).await?;
                    sweep.ready =
                        read.into_iter().flat_map(|block| without(block, newer)).collect();
                }
            }
            // It is taken from the end.
            sweep.ready.reverse();
        }
    }
}

/// How far a key group's rows were gone through: layer by layer, the newest first. Rows that a
/// newer layer has removed are left out; a row that a newer one has put comes again, behind that.
#[derive(Debug, Default)]
pub struct Sweep {
    layer: usize,
    /// Blocks of the layer that were read.
    blocks: usize,
    /// Read and not handed out, the next one last: at most [`SPAN_BLOCKS`], or what is kept of
    /// sections without an order.
    ready: Vec<Bytes>,
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
    let removals = newer.iter().map(|layer| match layer {
        Layer::Held(removals) | Layer::Sorted { removals, .. } => removals,
    });
    let mut removals = removals.filter(|removals| removals.has_removals()).peekable();
    if removals.peek().is_none() {
        return false;
    }
    let (namespace, key) = (Bytes::copy_from_slice(row.namespace), Bytes::copy_from_slice(row.key));
    removals.any(|removals| removals.removes(&namespace, &key))
}

/// Rows as entries in parts of about a block, without those that newer layers remove.
fn parts<'a>(rows: impl Iterator<Item = Entry<'a>>, newer: &[Layer]) -> Vec<Bytes> {
    let (mut parts, mut part) = (Vec::new(), Vec::new());
    for row in rows.filter(|row| !is_removed(newer, row)) {
        entry::write(&mut part, row).expect("what was read fits an entry");
        if part.len() >= BLOCK_BYTES {
            parts.push(Bytes::from(std::mem::take(&mut part)));
        }
    }
    if !part.is_empty() {
        parts.push(part.into());
    }
    parts
}

/// The rows of a block, without those that newer layers remove.
fn without(block: Bytes, newer: &[Layer]) -> Vec<Bytes> {
    let removes = |layer: &Layer| match layer {
        Layer::Held(removals) | Layer::Sorted { removals, .. } => removals.has_removals(),
    };
    if !newer.iter().any(removes) {
        return vec![block];
    }
    let mut rest = &block[..];
    let rows = std::iter::from_fn(|| entry::read(&mut rest).ok().flatten());
    parts(rows, newer)
}
