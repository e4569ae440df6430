//! [`SpillFilter`]: which keys were never spilled. It answers "never" for certain and without
//! a read of the disk, and "perhaps" wrongly for less than one key in fifty while it has room.
//!
//! Entries could have that room, so it is bounded: where it may not grow, its last layer takes more
//! keys than it is meant for, and "perhaps" is wrong for up to one key in three; beyond that it
//! says "perhaps" of every key and takes nothing. So it does where its bound falls below half of
//! what it takes.
//!
//! A blocked bloom filter (Putze, Sanders, Singler 2007: all bits of a key within one cache line)
//! in layers, each four times as large as the one before, so that growing moves nothing. A wrong
//! "perhaps" of any layer is one of the whole, so the small layers take more bits a key than the
//! large, in which nearly all keys are.
//!
//! Called by the tables of [`super`] beside a [`super::spill::Spill`]. Keys cannot be taken out: of
//! those that are gone it says "perhaps".

use crate::key::KeyHash;

/// Bits of one block: a cache line.
const BLOCK_BITS: usize = 512;
/// Bits set for a key; nine bits of a hash choose each, so seven is all that one hash can.
const PROBES: u32 = 7;
/// Keys of the first layer.
const FIRST_KEYS: usize = 1 << 14;
/// How many times as many keys a layer takes as the one before.
const GROWTH: usize = 4;
/// Up to this many keys a layer is small.
const SMALL_KEYS: usize = 1 << 20;
const SMALL_BITS_PER_KEY: usize = 16;
const LARGE_BITS_PER_KEY: usize = 12;
/// So many times the keys it is meant for are too many for a layer.
const CROWDED: usize = 3;

#[derive(Clone, Debug)]
#[repr(align(64))]
struct Block([u64; BLOCK_BITS / 64]);

#[derive(Clone, Debug)]
struct Layer {
    blocks: Vec<Block>,
    keys: usize,
    keys_max: usize,
}

/// Says of a key that it was never inserted, or that it may have been.
#[derive(Clone, Debug, Default)]
pub struct SpillFilter {
    /// The newest last.
    layers: Vec<Layer>,
    /// How many bytes it may take; any number if nothing is said.
    bytes_max: Option<usize>,
    /// Any key may have been inserted: there were too many to tell.
    any: bool,
}

impl SpillFilter {
    /// Adds a key. A key that is there already, as far as can be told, takes no room.
    #[inline]
    pub fn insert(&mut self, hash: KeyHash) {
        if self.may_hold(hash) {
            return;
        }
        if self.layers.last().is_none_or(|layer| layer.keys >= layer.keys_max) {
            self.grow();
        }
        if let Some(layer) = self.layers.last_mut() {
            layer.insert(hash);
        }
    }

    /// It does not grow beyond so many bytes from now on; where it takes twice as many, it forgets.
    pub fn bound(&mut self, bytes_max: usize) {
        self.bytes_max = Some(bytes_max);
        if self.bytes() / 2 > bytes_max {
            self.give_up();
        }
    }

    /// A layer of four times the keys, or of as many as there is room for.
    #[cold]
    fn grow(&mut self) {
        let (before, crowded) = self.layers.last().map_or((FIRST_KEYS / GROWTH, true), |last| {
            (last.keys_max, last.keys >= last.keys_max * CROWDED)
        });
        let keys_max = before * GROWTH;
        let small = keys_max <= SMALL_KEYS;
        let bits_per_key = if small { SMALL_BITS_PER_KEY } else { LARGE_BITS_PER_KEY };
        let room = self.bytes_max.map_or(usize::MAX, |max| max.saturating_sub(self.bytes()));
        let keys_max = keys_max.min(room.saturating_mul(8) / bits_per_key);
        if keys_max >= before {
            let blocks = keys_max * bits_per_key / BLOCK_BITS;
            let blocks = vec![Block([0; BLOCK_BITS / 64]); blocks];
            self.layers.push(Layer { blocks, keys: 0, keys_max });
        } else if crowded {
            self.give_up();
        }
    }

    fn give_up(&mut self) {
        (self.layers, self.any) = (Vec::new(), true);
    }

    /// Whether the key may have been inserted; `false` is certain.
    #[inline]
    #[must_use]
    pub fn may_hold(&self, hash: KeyHash) -> bool {
        self.any || self.layers.iter().rev().any(|layer| layer.may_hold(hash))
    }

    /// How many keys, as far as can be told: none where there were too many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layers.iter().map(|layer| layer.keys).sum()
    }

    /// Whether no key was inserted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty() && !self.any
    }

    /// Forgets every key and gives back the room.
    pub fn clear(&mut self) {
        (self.layers, self.any) = (Vec::new(), false);
    }

    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.blocks.len() * size_of::<Block>()).sum()
    }
}

impl Layer {
    fn insert(&mut self, hash: KeyHash) {
        let block = self.block_of(hash);
        for (word, bit) in bits_of(hash) {
            self.blocks[block].0[word] |= bit;
        }
        self.keys += 1;
    }

    fn may_hold(&self, hash: KeyHash) -> bool {
        let block = &self.blocks[self.block_of(hash)];
        bits_of(hash).all(|(word, bit)| block.0[word] & bit != 0)
    }

    /// By multiplication: the hash's middle bits chose the key group, so all bits must matter.
    fn block_of(&self, hash: KeyHash) -> usize {
        let mixed = (hash.0 ^ (hash.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let block = (u128::from(mixed) * self.blocks.len() as u128) >> 64;
        block as usize
    }
}

/// The words of a block and the bits in them that stand for a key.
fn bits_of(hash: KeyHash) -> impl Iterator<Item = (usize, u64)> {
    let mixed = (hash.0 ^ (hash.0 >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (0..PROBES).map(move |probe| {
        let nine = (mixed >> (probe * 9 + 1)) as usize & (BLOCK_BITS - 1);
        (nine / 64, 1_u64 << (nine % 64))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::hash_bytes;

    fn hash(key: u64) -> KeyHash {
        hash_bytes(&key.to_le_bytes())
    }

    /// One wrong "perhaps" in so many keys that were never inserted.
    fn wrong_in(filter: &SpillFilter, strangers: impl Iterator<Item = KeyHash>) -> f64 {
        let (mut wrong, mut all) = (0_u32, 0_u32);
        for hash in strangers {
            all += 1;
            wrong += u32::from(filter.may_hold(hash));
        }
        f64::from(wrong) / f64::from(all)
    }

    #[test]
    fn it_is_wrong_for_less_than_one_key_in_fifty_at_any_size() {
        let mut filter = SpillFilter::default();
        let mut key = 0;
        for keys in [100, FIRST_KEYS, 100_000, 350_000, 1_390_000, 5_500_000] {
            while key < keys as u64 {
                filter.insert(hash(key));
                key += 1;
            }
            let wrong = wrong_in(&filter, (1 << 40..(1 << 40) + 200_000).map(hash));
            assert!(wrong < 0.02, "{wrong} of the strangers at {keys} keys");
            let counted = filter.len() as f64 / keys as f64;
            assert!((0.98..=1.0).contains(&counted), "{} of {keys}", filter.len());
            // The largest layer is at worst as good as empty.
            let bytes_max = keys.max(FIRST_KEYS) * (GROWTH + 1) * SMALL_BITS_PER_KEY / 8;
            assert!(filter.bytes() <= bytes_max, "{} bytes at {keys} keys", filter.bytes());
        }
    }

    #[test]
    fn one_key_group_alone_is_told_apart_too() {
        let mut of_group = (0..).map(hash).filter(|hash| hash.group(128).0 == 5);
        let mut filter = SpillFilter::default();
        of_group.by_ref().take(20_000).for_each(|hash| filter.insert(hash));
        let wrong = wrong_in(&filter, of_group.take(20_000));
        assert!(wrong < 0.02, "{wrong}");
    }

    #[test]
    fn it_stays_within_its_room_and_then_says_perhaps_of_all() {
        let mut filter = SpillFilter::default();
        filter.bound(1 << 20);
        let strangers = || (1 << 40..(1 << 40) + 100_000).map(hash);
        let mut inserted = 0;
        for (keys, wrong_max) in [(400_000, 0.02), (800_000, 0.4), (3_000_000, 1.0)] {
            (inserted..keys).for_each(|key| filter.insert(hash(key)));
            inserted = keys;
            let wrong = wrong_in(&filter, strangers());
            assert!(wrong <= wrong_max, "{wrong} of the strangers at {keys} keys");
            assert!(filter.bytes() <= 1 << 20, "{} bytes at {keys} keys", filter.bytes());
            assert!((0..keys).step_by(77).all(|key| filter.may_hold(hash(key))));
        }
        assert_eq!((filter.bytes(), wrong_in(&filter, strangers())), (0, 1.0));
        filter.clear();
        assert!(wrong_in(&filter, strangers()) < 0.1);
    }

    proptest! {
        #[test]
        fn what_was_inserted_is_never_denied(
            keys in prop::collection::vec(any::<u64>(), 0..2_000),
            more in 0_u64..40_000,
            bytes_max in prop::option::of(0_usize..400_000),
        ) {
            let mut filter = SpillFilter::default();
            bytes_max.into_iter().for_each(|bytes_max| filter.bound(bytes_max));
            prop_assert!(keys.iter().all(|key| !filter.may_hold(KeyHash(*key))));
            keys.iter().for_each(|key| filter.insert(KeyHash(*key)));
            (0..more).for_each(|key| filter.insert(hash(key)));
            prop_assert!(keys.iter().all(|key| filter.may_hold(KeyHash(*key))));
            prop_assert!((0..more).all(|key| filter.may_hold(hash(key))));
            filter.clear();
            prop_assert!(filter.is_empty() && filter.bytes() == 0);
        }
    }
}
