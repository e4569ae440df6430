//! From files to layers: what is kept of those of several key groups is read at once, file by file,
//! for it lies side by side there.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use riverrun_engine::key::KeyGroup;

use super::{At, Layer, Layers};
use crate::checkpoint::error::StoreError;
use crate::checkpoint::run::{HeldPutsBuilder, Overlay};
use crate::checkpoint::segment::BlockKind;
use crate::checkpoint::view::StateFiles;

/// How many files are read at once.
const FILES_AT_ONCE: usize = 8;

/// What a layer is made of.
enum Plan {
    /// Sections without an order, the oldest first: segment and block.
    AsAdded(Vec<(usize, usize)>),
    /// Sorted blocks of puts, and before them a block of removals: its segment, and which.
    Sorted { at: At, removals: Option<(usize, usize)>, blocks: Range<usize> },
}

/// What was read: blocks of segments, and filters by the first of their blocks.
struct Read {
    blocks: HashMap<(usize, usize), Bytes>,
    filters: HashMap<(At, usize), Bytes>,
}

impl StateFiles {
    /// The layers of a state in each of `groups`: reads what is kept of them.
    ///
    /// # Errors
    /// A block that is damaged; storage that does not answer.
    pub async fn layers(
        &self,
        groups: &[KeyGroup],
        uid: &str,
        state: &str,
    ) -> Result<Vec<Layers>, StoreError> {
        let plans: Vec<_> = groups.iter().map(|group| self.planned(*group, uid, state)).collect();
        let mut read = self.read_for(plans.iter().flatten()).await?;
        plans.into_iter().map(|plans| self.made(plans, &mut read)).collect()
    }

    /// What the layers of a key group are made of, the oldest first.
    fn planned(&self, group: KeyGroup, uid: &str, state: &str) -> Vec<Plan> {
        let mut plans = Vec::new();
        if let Some((run, blocks)) = self.run_blocks(group, uid, state) {
            plans.push(Plan::Sorted { at: At::Run(run), removals: None, blocks });
        }
        let mut places = self.sections_of(group, uid, state).iter().copied().peekable();
        while let Some((segment, block)) = places.next() {
            if self.kind(segment, block) == BlockKind::AsAdded {
                match plans.last_mut() {
                    Some(Plan::AsAdded(sections)) => sections.push((segment, block)),
                    _ => plans.push(Plan::AsAdded(vec![(segment, block)])),
                }
                continue;
            }
            let is_removals = self.kind(segment, block) == BlockKind::Removals;
            let removals = is_removals.then_some((segment, block));
            let mut blocks = block + usize::from(is_removals)..block + 1;
            while places.next_if_eq(&(segment, blocks.end)).is_some() {
                blocks.end += 1;
            }
            plans.push(Plan::Sorted { at: At::Segment(segment), removals, blocks });
        }
        plans
    }

    async fn read_for<'a>(
        &self,
        plans: impl Iterator<Item = &'a Plan>,
    ) -> Result<Read, StoreError> {
        let mut blocks: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut filters: BTreeMap<At, Vec<usize>> = BTreeMap::new();
        for plan in plans {
            let held = match plan {
                Plan::AsAdded(sections) => &sections[..],
                Plan::Sorted { at, removals, blocks } => {
                    if !blocks.is_empty() {
                        filters.entry(*at).or_default().push(blocks.start);
                    }
                    removals.as_slice()
                }
            };
            for (segment, block) in held {
                blocks.entry(*segment).or_default().push(*block);
            }
        }
        let of_segment = async |(segment, blocks): (usize, Vec<usize>)| {
            let read = self.segment(segment).read_some(&blocks).await?;
            Ok::<_, StoreError>(blocks.into_iter().map(move |at| (segment, at)).zip(read))
        };
        let of_file = async |(at, sections): (At, Vec<usize>)| {
            let read = self.filters(at, &sections).await?;
            Ok::<_, StoreError>(sections.into_iter().map(move |first| (at, first)).zip(read))
        };
        let mut read = Read { blocks: HashMap::new(), filters: HashMap::new() };
        let mut files = stream::iter(blocks).map(of_segment).buffered(FILES_AT_ONCE);
        while let Some(blocks) = files.try_next().await? {
            read.blocks.extend(blocks);
        }
        let mut files = stream::iter(filters).map(of_file).buffered(FILES_AT_ONCE);
        while let Some(filters) = files.try_next().await? {
            read.filters.extend(filters);
        }
        Ok(read)
    }

    /// The layers, the newest first.
    fn made(&self, plans: Vec<Plan>, read: &mut Read) -> Result<Layers, StoreError> {
        let mut layers = Vec::new();
        for plan in plans {
            match plan {
                Plan::AsAdded(sections) => self.held(&sections, read, &mut layers)?,
                Plan::Sorted { at, removals: block, blocks } => {
                    let mut removals = Overlay::default();
                    if let Some(block) = block {
                        self.add_to(&mut removals, block, &read.blocks[&block])?;
                    }
                    let filter = match blocks.is_empty() {
                        false => read.filters.remove(&(at, blocks.start)).expect("it was read"),
                        true => Bytes::new(),
                    };
                    layers.push(Layer::Sorted { at, removals, blocks, filter });
                }
            }
        }
        layers.reverse();
        let bytes = layers.iter().map(Layer::bytes).sum();
        Ok(Layers { layers, bytes })
    }

    /// Layers of sections without an order: quick ones, and one for neighbours that take rows away.
    fn held(
        &self,
        sections: &[(usize, usize)],
        read: &mut Read,
        layers: &mut Vec<Layer>,
    ) -> Result<(), StoreError> {
        let (mut puts, mut overlay) = (HeldPutsBuilder::default(), None);
        for at in sections {
            let bytes = read.blocks.remove(at).expect("it was read");
            let only_puts = puts.add(&bytes);
            if only_puts.map_err(|error| self.no_entries(at.0, at.1, &error))? {
                layers.extend(overlay.take().map(Layer::Held));
                continue;
            }
            layers.extend(std::mem::take(&mut puts).held().map(Layer::Puts));
            self.add_to(overlay.get_or_insert_default(), *at, &bytes)?;
        }
        layers.extend(overlay.map(Layer::Held));
        layers.extend(puts.held().map(Layer::Puts));
        Ok(())
    }

    fn add_to(
        &self,
        overlay: &mut Overlay,
        (segment, block): (usize, usize),
        bytes: &Bytes,
    ) -> Result<(), StoreError> {
        overlay.add(bytes).map_err(|error| self.no_entries(segment, block, &error))
    }
}
