//! From a key to its bytes, its hash and its key group. All three are frozen: they decide which
//! part of a checkpoint holds which key, so a change would lose state.
//!
//! - bytes: memcomparable, positional and order-preserving (crate `memcomparable`, the encoding of
//!   MyRocks and RisingWave);
//! - hash: XXH3 64 bit, seed 0, of those bytes (<https://xxhash.com>);
//! - key group: bits 32.. of the hash, modulo the number of groups, a power of two. The hash tables
//!   take their position from the low bits and their tag from the top seven, so the middle is free.

use std::any::Any;
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::data::Key;

/// The number of key groups of a job unless it says otherwise, and so its highest parallelism.
pub const KEY_GROUPS: u16 = 128;

/// One fixed slice of the key space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyGroup(pub u16);

/// The hash of a key, computed once at `key_by` and carried with its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHash(pub u64);

impl KeyHash {
    /// The key group of a key with this hash; `groups` is a power of two.
    #[inline]
    #[must_use]
    pub fn group(self, groups: u16) -> KeyGroup {
        debug_assert!(groups.is_power_of_two());
        KeyGroup(((self.0 >> 32) as u16) & (groups - 1))
    }
}

/// Appends the frozen bytes of `key` to `out`.
///
/// # Errors
/// When the key's type holds what has no such encoding (a map, for instance).
#[inline]
pub fn encode<K: Key>(key: &K, out: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut serializer = memcomparable::Serializer::new(out);
    key.serialize(&mut serializer)
        .map_err(|e| anyhow::anyhow!("key of type {}: {e}", std::any::type_name::<K>()))
}

/// Reads a key back from exactly `bytes`.
///
/// # Errors
/// When the bytes are not one key of type `K`.
pub fn decode<K: Key>(bytes: &[u8]) -> anyhow::Result<K> {
    let mut rest = bytes;
    let key = decode_first(&mut rest)?;
    anyhow::ensure!(rest.is_empty(), "bytes follow the key");
    Ok(key)
}

/// Reads the key that `bytes` begin with, and moves past it.
///
/// # Errors
/// When they do not begin with a key of type `K`.
pub fn decode_first<K: Key>(bytes: &mut &[u8]) -> anyhow::Result<K> {
    let mut deserializer = memcomparable::Deserializer::new(*bytes);
    let key = K::deserialize(&mut deserializer)
        .map_err(|e| anyhow::anyhow!("key of type {}: {e}", std::any::type_name::<K>()))?;
    *bytes = deserializer.into_inner();
    Ok(key)
}

/// Hashes keys, with a buffer of its own so that hashing allocates nothing. Of numbers it knows the
/// bytes by heart.
#[derive(Debug, Default)]
pub struct KeyHasher {
    buffer: Vec<u8>,
}

impl KeyHasher {
    /// The frozen hash of `key`.
    ///
    /// # Errors
    /// As [`encode`].
    #[inline]
    pub fn hash<K: Key>(&mut self, key: &K) -> anyhow::Result<KeyHash> {
        // The type is known when this is compiled, and so is which of these returns.
        let any: &dyn Any = key;
        if let Some(n) = any.downcast_ref::<u64>() {
            return Ok(hash_bytes(&n.to_be_bytes()));
        }
        if let Some(n) = any.downcast_ref::<i64>() {
            return Ok(hash_bytes(&(n ^ i64::MIN).to_be_bytes()));
        }
        if let Some(n) = any.downcast_ref::<u32>() {
            return Ok(hash_bytes(&n.to_be_bytes()));
        }
        self.buffer.clear();
        encode(key, &mut self.buffer)?;
        Ok(hash_bytes(&self.buffer))
    }

    /// The frozen hash of each of `keys`, in order.
    ///
    /// # Errors
    /// As [`encode`].
    pub fn hash_all<K: Key>(&mut self, keys: &[K]) -> anyhow::Result<Vec<KeyHash>> {
        let mut hashes = vec![KeyHash(0); keys.len()];
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.hash(key)?;
        }
        Ok(hashes)
    }
}

/// The frozen hash of a key's bytes.
#[inline]
#[must_use]
pub fn hash_bytes(bytes: &[u8]) -> KeyHash {
    KeyHash(xxhash_rust::xxh3::xxh3_64(bytes))
}

/// The key groups one subtask owns: `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyGroupRange {
    /// The first group.
    pub start: u16,
    /// One past the last.
    pub end: u16,
    /// All groups of the job, a power of two.
    pub groups: u16,
}

impl KeyGroupRange {
    /// Every group of a job with `groups` of them.
    #[must_use]
    pub fn all(groups: u16) -> Self {
        KeyGroupRange { start: 0, end: groups, groups }
    }

    /// The part of subtask `index` of `parallelism`: contiguous, and together exactly all groups.
    #[must_use]
    pub fn of_subtask(index: u32, parallelism: u32, groups: u16) -> Self {
        let at = |i: u32| {
            u16::try_from(u64::from(i) * u64::from(groups) / u64::from(parallelism))
                .unwrap_or(groups)
        };
        KeyGroupRange { start: at(index), end: at(index + 1), groups }
    }

    /// The subtask of `parallelism` that owns `group`.
    #[must_use]
    pub fn owner(group: KeyGroup, parallelism: u32, groups: u16) -> u32 {
        ((u64::from(group.0) + 1) * u64::from(parallelism)).div_ceil(u64::from(groups)) as u32 - 1
    }

    /// Whether `group` is one of these.
    #[inline]
    #[must_use]
    pub fn contains(&self, group: KeyGroup) -> bool {
        (self.start..self.end).contains(&group.0)
    }

    /// How many groups these are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.end - self.start)
    }

    /// Whether there is none (a subtask beyond the number of groups).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The groups as numbers.
    #[must_use]
    pub fn iter(&self) -> Range<u16> {
        self.start..self.end
    }

    /// The position of the group of `hash` within this range.
    ///
    /// # Panics
    /// When the record was routed to the wrong subtask: the state of another would be written.
    #[inline]
    #[must_use]
    pub fn position(&self, hash: KeyHash) -> usize {
        let group = hash.group(self.groups);
        let position = group.0.wrapping_sub(self.start);
        if position >= self.end.wrapping_sub(self.start) {
            self.misrouted(group);
        }
        usize::from(position)
    }

    /// Apart and by value, so that nothing on the way of a record need have an address.
    #[cold]
    #[inline(never)]
    fn misrouted(self, group: KeyGroup) -> ! {
        panic!("record of {group:?} routed to the owner of {self}")
    }
}

/// Which subtask of a parallelism owns each key group.
#[derive(Clone, Debug)]
pub struct Owners {
    of_group: Vec<u32>,
    parallelism: u32,
}

impl Owners {
    /// Of `groups` key groups, a power of two, among `parallelism` subtasks.
    #[must_use]
    pub fn new(parallelism: u32, groups: u16) -> Self {
        let owner = |group| KeyGroupRange::owner(KeyGroup(group), parallelism, groups);
        Owners { of_group: (0..groups).map(owner).collect(), parallelism }
    }

    /// How many subtasks.
    #[must_use]
    pub fn parallelism(&self) -> usize {
        self.parallelism as usize
    }

    /// The subtask that keys with this hash belong to.
    #[inline]
    #[must_use]
    pub fn of(&self, hash: KeyHash) -> usize {
        self.of_group[usize::from(hash.group(self.of_group.len() as u16).0)] as usize
    }
}

impl fmt::Display for KeyGroupRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key groups {}..{} of {}", self.start, self.end, self.groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hash_and_group_of_known_keys_never_change() {
        let mut hasher = KeyHasher::default();
        let hash = hasher.hash(&7_u64).expect("hashes");
        assert_eq!(hash, hash_bytes(&7_u64.to_be_bytes()));
        let all: u64 = (0..1000_u64)
            .map(|key| hasher.hash(&key).expect("hashes").0)
            .fold(0, |sum, hash| sum.rotate_left(5) ^ hash);
        assert_eq!(all, 0xf17b_d141_4836_184f, "the frozen hash of integers has changed");
        let text = hasher.hash(&("SE".to_owned(), 3_u32)).expect("hashes");
        assert_eq!(text.0, 0x3fe2_8491_a8e6_c4fc, "the frozen hash of tuples has changed");
    }

    type Composed = (i64, String, Option<u32>);

    proptest! {
        #[test]
        fn the_hash_is_that_of_the_frozen_bytes(a: u64, b: i64, c: u32, d: i32, e: Composed) {
            fn holds<K: Key>(key: &K) -> bool {
                let mut bytes = Vec::new();
                encode(key, &mut bytes).expect("encodes");
                KeyHasher::default().hash(key).expect("hashes") == hash_bytes(&bytes)
            }
            prop_assert!(holds(&a) && holds(&b) && holds(&c) && holds(&d) && holds(&e));
        }

        #[test]
        fn keys_come_back_and_keep_their_order(a: Composed, b: Composed) {
            let bytes = |key: &Composed| {
                let mut out = Vec::new();
                encode(key, &mut out).expect("encodes");
                out
            };
            prop_assert_eq!(&decode::<Composed>(&bytes(&a)).expect("decodes"), &a);
            prop_assert_eq!(bytes(&a).cmp(&bytes(&b)), a.cmp(&b));
        }

        #[test]
        fn every_group_has_one_owner(parallelism in 1_u32..=128, group in 0_u16..128) {
            let owners: Vec<u32> = (0..parallelism)
                .filter(|i| {
                    let range = KeyGroupRange::of_subtask(*i, parallelism, 128);
                    range.contains(KeyGroup(group))
                })
                .collect();
            prop_assert_eq!(&owners, &[KeyGroupRange::owner(KeyGroup(group), parallelism, 128)]);
            let hash = KeyHash(u64::from(group) << 32);
            prop_assert_eq!(Owners::new(parallelism, 128).of(hash), owners[0] as usize);
        }
    }
}
