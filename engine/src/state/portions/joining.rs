//! Joining portions: those of a place become one row a key, in the spill and in the snapshots.
//!
//! 1. All that lies there is read, the oldest first, and merged by key; the first time, what the
//!    slice held before anything left memory goes with it.
//! 2. A place with more keys than can be joined without a pause becomes several.
//! 3. The blocks that were read are replaced in one write. In the next snapshot the rows of a key
//!    are replaced where there were several: a delete takes them all, the put follows.
//!
//! Invariant: nothing is joined while a cut is written, so no row of the interval before is deleted
//! before it is there.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::blocks::BLOCK_BYTES;
use super::layout::join;
use super::{PortionSink, Portions};
use crate::data::Key;
use crate::key::KeyHash;
use crate::operator::Result;
use crate::state::layout::{Layout, Rows};
use crate::state::log::RowSink;
use crate::state::segment::{DEPTH_MAX, kept, sub_group};
use crate::state::table::Table;

/// Portions that one call joins, and the rest of the last place: about a millisecond.
const JOINED_A_CALL: usize = 4096;
/// A place with more keys becomes two.
pub(in crate::state) const KEYS_MAX: usize = 2048;

/// What was read of a key.
struct Joined<K, V> {
    hash: KeyHash,
    key: K,
    value: V,
    /// Whether snapshots hold more than one row of it, or none yet.
    rewritten: bool,
}

impl<K: Key, V: Clone + Send + 'static> Portions<K, V> {
    /// Joins some of what is worth it. `base` is what the slice held before.
    pub(in crate::state) fn join_due(&mut self, base: &mut Table<K, V>) -> Result<()> {
        if self.is_writing() || base.is_writing() {
            return Ok(());
        }
        let mut joined = 0;
        while joined < JOINED_A_CALL {
            let Some(place) = self.places.due() else { break };
            joined += self.join_place(base, place, KEYS_MAX)?;
        }
        Ok(())
    }

    /// Joins all places, those with more than `keys_max` keys in several.
    #[cfg(test)]
    pub(in crate::state) fn join_all(
        &mut self,
        base: &mut Table<K, V>,
        keys_max: usize,
    ) -> Result<()> {
        if self.is_writing() || base.is_writing() {
            return Ok(());
        }
        let mut place = 0;
        while self.places.get(place).is_some() {
            self.join_place(base, place, keys_max)?;
            place += 1;
        }
        Ok(())
    }

    /// Joins a place; returns how many portions were read.
    fn join_place(&mut self, base: &mut Table<K, V>, place: u32, keys_max: usize) -> Result<usize> {
        let Some(found) = self.places.get(place) else { return Ok(0) };
        let (position, divided) = (usize::from(found.group), found.depth > 0);
        let mut all: HashTable<Joined<K, V>> = HashTable::new();
        let mut read = 0;
        if !divided {
            base.walk_part(position, (0, 1), |hash, key, value| {
                read += 1;
                let (key, value) = (key.clone(), value.clone());
                let joined = Joined { hash, key, value, rewritten: true };
                all.insert_unique(kept(hash), joined, |held| kept(held.hash));
            })?;
            base.forget_group(position)?;
        }
        let merge = self.layout.merge();
        let blocks = self.see_blocks(place, |hash, key, value| {
            read += 1;
            match all.entry(kept(hash), |held| held.key == key, |held| kept(held.hash)) {
                Entry::Occupied(held) => {
                    let held = held.into_mut();
                    join(merge, &mut held.value, value);
                    held.rewritten = true;
                }
                Entry::Vacant(free) => {
                    free.insert(Joined { hash, key, value, rewritten: false });
                }
            }
        })?;
        blocks.iter().for_each(|block| self.blocks.delete(block));
        let mut open = vec![(place, all.into_iter().collect::<Vec<_>>())];
        while let Some((place, all)) = open.pop() {
            let depth = self.places.get(place).map_or(0, |place| u32::from(place.depth));
            if all.len() <= keys_max || depth >= DEPTH_MAX {
                self.put_joined(place, all)?;
                continue;
            }
            let new = self.places.split(place);
            let set = |joined: &Joined<K, V>| (sub_group(joined.hash.0) >> depth) & 1 == 1;
            let (there, here) = all.into_iter().partition(set);
            open.extend([(new, there), (place, here)]);
        }
        self.blocks.flush()?;
        Ok(read)
    }

    /// Writes all that a place holds.
    fn put_joined(&mut self, place: u32, all: Vec<Joined<K, V>>) -> Result<()> {
        self.places.is_joined(place, all.len());
        let Portions { layout, blocks, logs, places, tracked, .. } = self;
        let group = places.get(place).map_or(0, |place| usize::from(place.group));
        let mut early = logs[group].now.early();
        let (mut block, mut row) = (Vec::new(), Vec::new());
        for Joined { key, mut value, rewritten, .. } in all {
            let rewritten = rewritten && *tracked;
            if rewritten {
                layout.delete(&key, &mut early)?;
            }
            let log = rewritten.then_some(&mut early as &mut dyn RowSink);
            let mut sink = PortionSink { block: &mut block, log, number: 0, key: &mut row };
            layout.write(&key, &mut value, Rows::All, &mut sink)?;
            if block.len() >= BLOCK_BYTES {
                blocks.put(place, 0, &block)?;
                block.clear();
            }
        }
        if !block.is_empty() {
            blocks.put(place, 0, &block)?;
        }
        Ok(())
    }
}
