//! All rows of one state in one key group, as they lie: for warming values, which need no order.

use bytes::Bytes;
use riverrun_engine::state::entry::{self, Entry, Op};

use super::{Layer, Layers, is_removed};
use crate::checkpoint::error::StoreError;
use crate::checkpoint::run::format::BLOCK_BYTES;
use crate::checkpoint::view::{SPAN_BLOCKS, StateFiles};

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

impl StateFiles {
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
                Layer::Puts(puts) => {
                    sweep.ready = parts(puts.puts(), newer);
                    sweep.layer += 1;
                }
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
    if !newer.iter().any(|layer| layer.removals().is_some()) {
        return vec![block];
    }
    let mut rest = &block[..];
    let rows = std::iter::from_fn(|| entry::read(&mut rest).ok().flatten());
    parts(rows, newer)
}
