//! From files to layers: what is kept of those of several key groups is read at once, file by file,
//! for it lies side by side there.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use riverrun_engine::key::KeyGroup;

use super::{At, Layer, Layers, READS_AT_ONCE};
use crate::checkpoint::error::StoreError;
use crate::checkpoint::run::{HeldPutsBuilder, Overlay};
use crate::checkpoint::segment::BlockKind;
use crate::checkpoint::view::StateFiles;

/// What a layer is made of.
enum Plan {
    /// Sections without an order, the oldest first: segment and block.
    AsAdded(Vec<(usize, usize)>),
    /// Sorted blocks of puts, and before them a block of removals.
    Sorted { at: At, removals: Option<usize>, blocks: Range<usize> },
}

/// What must be read of one file.
#[derive(Default)]
struct Wanted {
    blocks: Vec<usize>,
    /// Filters, each by a block of its section.
    filters: Vec<usize>,
}

/// What was read: blocks, and filters by the first of their blocks.
#[derive(Default)]
struct Read {
    blocks: HashMap<(At, usize), Bytes>,
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
            let removals = is_removals.then_some(block);
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
        let mut wanted: BTreeMap<At, Wanted> = BTreeMap::new();
        for plan in plans {
            match plan {
                Plan::AsAdded(sections) => {
                    for (segment, block) in sections {
                        wanted.entry(At::Segment(*segment)).or_default().blocks.push(*block);
                    }
                }
                Plan::Sorted { at, removals, blocks } => {
                    let wanted = wanted.entry(*at).or_default();
                    wanted.blocks.extend(removals);
                    wanted.filters.extend((!blocks.is_empty()).then_some(blocks.start));
                }
            }
        }
        let one = async |(at, Wanted { blocks, filters }): (At, Wanted)| {
            let (read, read_filters) = self.read_some(at, &blocks, &filters).await?;
            Ok::<_, StoreError>((
                at,
                blocks.into_iter().zip(read),
                filters.into_iter().zip(read_filters),
            ))
        };
        let mut all = Read::default();
        let mut files = stream::iter(wanted).map(one).buffered(READS_AT_ONCE);
        while let Some((at, blocks, filters)) = files.try_next().await? {
            all.blocks.extend(blocks.map(|(block, bytes)| ((at, block), bytes)));
            all.filters.extend(filters.map(|(block, bytes)| ((at, block), bytes)));
        }
        Ok(all)
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
                        self.add_to(&mut removals, (at, block), &read.blocks[&(at, block)])?;
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

    /// Layers of sections without an order: the quick one as long as rows are only put.
    fn held(
        &self,
        sections: &[(usize, usize)],
        read: &mut Read,
        layers: &mut Vec<Layer>,
    ) -> Result<(), StoreError> {
        let (mut puts, mut overlay) = (HeldPutsBuilder::default(), None);
        for (segment, block) in sections {
            let at = (At::Segment(*segment), *block);
            let bytes = read.blocks.remove(&at).expect("it was read");
            if let Some(overlay) = &mut overlay {
                self.add_to(overlay, at, &bytes)?;
                continue;
            }
            let only_puts = puts.add(&bytes);
            if !only_puts.map_err(|error| self.no_entries(*segment, *block, &error))? {
                self.add_to(overlay.insert(Overlay::default()), at, &bytes)?;
            }
        }
        layers.extend(puts.held().map(Layer::Puts));
        layers.extend(overlay.map(Layer::Held));
        Ok(())
    }

    fn add_to(
        &self,
        overlay: &mut Overlay,
        (at, block): (At, usize),
        bytes: &Bytes,
    ) -> Result<(), StoreError> {
        let At::Segment(segment) = at else { return Ok(()) };
        overlay.add(bytes).map_err(|error| self.no_entries(segment, block, &error))
    }
}
