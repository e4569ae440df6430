//! The resident tier: decoded entries in one hash table per key group, each listing what changed
//! since the last snapshot.
//!
//! Called by the state handles and the windowed operators. Invariants: an entry is listed at most
//! once between two snapshots (`listed_at` is the number of the snapshot it will go into), and
//! again only when it was removed meanwhile; a key that is listed and absent was removed.

use hashbrown::HashTable;

use super::codec::ValueCodec;
use super::entry::{self, Entry, Op};
use crate::checkpoint::{Section, SnapshotMode};
use crate::data::Key;
use crate::key::{self, KeyGroup, KeyGroupRange, KeyHash};

struct Slot<K, V> {
    hash: KeyHash,
    key: K,
    value: V,
    listed_at: u32,
}

struct Group<K, V> {
    slots: HashTable<Slot<K, V>>,
    listed: Vec<(KeyHash, K)>,
    /// Removals since the list was last free of doubles.
    removed: usize,
}

/// The values of one state by key, for the key groups of one subtask.
pub struct Table<K, V> {
    range: KeyGroupRange,
    groups: Vec<Group<K, V>>,
    /// The number of the next snapshot; 0 while nothing is listed because none will be taken.
    snapshot: u32,
}

impl<K: Key, V: Send + 'static> Table<K, V> {
    /// An empty table for the keys of `range`; lists changes when `tracked`.
    #[must_use]
    pub fn new(range: KeyGroupRange, tracked: bool) -> Self {
        let group = || Group { slots: HashTable::new(), listed: Vec::new(), removed: 0 };
        Table {
            range,
            groups: (0..range.len()).map(|_| group()).collect(),
            snapshot: u32::from(tracked),
        }
    }

    /// The value of a key.
    #[inline]
    #[must_use]
    pub fn get(&self, hash: KeyHash, key: &K) -> Option<&V> {
        let group = &self.groups[self.range.position(hash)];
        group.slots.find(hash.0, |slot| slot.key == *key).map(|slot| &slot.value)
    }

    /// The value of a key, to be changed.
    #[inline]
    pub fn get_mut(&mut self, hash: KeyHash, key: &K) -> Option<&mut V> {
        let snapshot = self.snapshot;
        let Group { slots, listed, .. } = &mut self.groups[self.range.position(hash)];
        let slot = slots.find_mut(hash.0, |slot| slot.key == *key)?;
        if slot.listed_at != snapshot {
            slot.listed_at = snapshot;
            listed.push((hash, slot.key.clone()));
        }
        Some(&mut slot.value)
    }

    /// The value of a key, to be changed, made by `new` where there is none.
    #[inline]
    pub fn or_insert_with(&mut self, hash: KeyHash, key: &K, new: impl FnOnce() -> V) -> &mut V {
        let snapshot = self.snapshot;
        let Group { slots, listed, removed } = &mut self.groups[self.range.position(hash)];
        let found = slots.entry(hash.0, |slot| slot.key == *key, |slot| slot.hash.0);
        let slot = match found {
            hashbrown::hash_table::Entry::Occupied(slot) => slot.into_mut(),
            hashbrown::hash_table::Entry::Vacant(vacant) => {
                if *removed > 64 && *removed > listed.len() / 2 {
                    // Removed and set again, again and again: listed once is enough.
                    listed.sort_unstable_by_key(|(hash, _)| *hash);
                    listed.dedup_by(|a, b| a.0 == b.0 && a.1 == b.1);
                    *removed = 0;
                }
                vacant
                    .insert(Slot { hash, key: key.clone(), value: new(), listed_at: 0 })
                    .into_mut()
            }
        };
        if slot.listed_at != snapshot {
            slot.listed_at = snapshot;
            listed.push((hash, slot.key.clone()));
        }
        &mut slot.value
    }

    /// Sets the value of a key and returns the one before.
    #[inline]
    pub fn insert(&mut self, hash: KeyHash, key: &K, value: V) -> Option<V> {
        let mut value = Some(value);
        let mut fresh = false;
        let held = self.or_insert_with(hash, key, || {
            fresh = true;
            value.take().unwrap_or_else(|| unreachable!("called at most once"))
        });
        match value {
            Some(value) if !fresh => Some(std::mem::replace(held, value)),
            _ => None,
        }
    }

    /// Removes a key.
    pub fn remove(&mut self, hash: KeyHash, key: &K) -> Option<V> {
        let snapshot = self.snapshot;
        let Group { slots, listed, removed } = &mut self.groups[self.range.position(hash)];
        let found = slots.find_entry(hash.0, |slot| slot.key == *key).ok()?;
        let (slot, _) = found.remove();
        *removed += 1;
        if slot.listed_at != snapshot {
            listed.push((hash, slot.key));
        }
        Some(slot.value)
    }

    /// Every key with its hash and value, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (KeyHash, &K, &V)> {
        let slots = self.groups.iter().flat_map(|group| group.slots.iter());
        slots.map(|slot| (slot.hash, &slot.key, &slot.value))
    }

    /// The keys of one key group of the range, by its position: for walking in slices.
    pub fn iter_group(&self, position: usize) -> impl Iterator<Item = (KeyHash, &K, &V)> {
        let slots = self.groups[position].slots.iter();
        slots.map(|slot| (slot.hash, &slot.key, &slot.value))
    }

    /// How many key groups the table has.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// How many keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.iter().map(|group| group.slots.len()).sum()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.iter().all(|group| group.slots.is_empty())
    }

    /// Takes out the decoded value of an entry read from a checkpoint.
    pub(super) fn apply(&mut self, entry: &Entry<'_>, codec: &ValueCodec<V>) -> anyhow::Result<()> {
        let key: K = key::decode(entry.key)?;
        let hash = key::hash_bytes(entry.key);
        let tracked = std::mem::take(&mut self.snapshot);
        match entry.op {
            Op::Put => {
                self.insert(hash, &key, codec.decode(entry.value)?);
            }
            Op::Delete => {
                self.remove(hash, &key);
            }
            Op::Drop => anyhow::bail!("a namespace is dropped in a state without namespaces"),
        }
        self.snapshot = tracked;
        Ok(())
    }
}

impl<K: Key, V: Send + 'static> Table<K, V> {
    /// Appends the entries of this table to `sections`, one for each key group of the range, and
    /// begins to list anew.
    pub(super) fn snapshot(
        &mut self,
        mode: SnapshotMode,
        namespace: &[u8],
        codec: &ValueCodec<V>,
        sections: &mut [Section],
    ) -> anyhow::Result<()> {
        let mut writer = Writer { namespace, codec, key: Vec::new(), value: Vec::new() };
        for (group, section) in self.groups.iter_mut().zip(sections) {
            match mode {
                SnapshotMode::Full => {
                    for slot in &group.slots {
                        writer.put(&slot.key, &slot.value, section)?;
                    }
                }
                SnapshotMode::Delta => {
                    for (hash, key) in &group.listed {
                        match group.slots.find(hash.0, |slot| slot.key == *key) {
                            Some(slot) => writer.put(key, &slot.value, section)?,
                            None => writer.delete(key, section)?,
                        }
                    }
                }
            }
            group.listed.clear();
            group.removed = 0;
        }
        if self.snapshot > 0 {
            self.snapshot = self.snapshot.wrapping_add(1).max(1);
        }
        Ok(())
    }
}

struct Writer<'a, V> {
    namespace: &'a [u8],
    codec: &'a ValueCodec<V>,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<V: 'static> Writer<'_, V> {
    fn put<K: Key>(&mut self, key: &K, value: &V, section: &mut Section) -> anyhow::Result<()> {
        self.value.clear();
        self.codec.encode(value, &mut self.value)?;
        self.write(Op::Put, key, section)
    }

    fn delete<K: Key>(&mut self, key: &K, section: &mut Section) -> anyhow::Result<()> {
        self.value.clear();
        self.write(Op::Delete, key, section)
    }

    fn write<K: Key>(&mut self, op: Op, key: &K, section: &mut Section) -> anyhow::Result<()> {
        self.key.clear();
        key::encode(key, &mut self.key)?;
        section.entries += 1;
        let entry = Entry { op, namespace: self.namespace, key: &self.key, value: &self.value };
        entry::write(&mut section.bytes, entry)
    }
}

/// One empty section for each key group of `range`.
pub(super) fn sections_of(range: KeyGroupRange) -> Vec<Section> {
    range
        .iter()
        .map(|group| Section { group: KeyGroup(group), entries: 0, bytes: Vec::new() })
        .collect()
}
