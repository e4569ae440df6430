//! [`MapState`]: a map per key, walked in the order of its encoded map keys. In checkpoints a row
//! for each pair, so a change writes one:
//!
//! ```text
//! key   = the encoded key, then the encoded map key
//! value = the value in MessagePack with field names
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use super::codec::{Bytes, TypeShape, ValueCodec};
use super::handle::{Keyed, handle};
use super::layout::{Layout, Rows, encoded};
use super::log::RowSink;
use super::table::Table;
use super::ttl::{Ttl, Until};
use crate::data::{Data, Key, Rmp};
use crate::key::{self, KeyHash};
use crate::operator::Result;
use crate::time::Timestamp;

/// Pairs by encoded map key.
type Pairs<M, V> = BTreeMap<Vec<u8>, (M, V)>;

/// The pairs of one key's map.
pub(crate) struct MapEntries<M, V> {
    pub(super) pairs: Pairs<M, V>,
    /// Encoded map keys of what changed since it was last written.
    changed: BTreeSet<Vec<u8>>,
    /// Of what changed since it came from the spill tier, where the rest still lies; `None` where
    /// it never did, or that was not noted.
    unspilled: Option<BTreeSet<Vec<u8>>>,
}

impl<M, V> MapEntries<M, V> {
    /// The pair under `map_key` changes.
    pub(super) fn note(&mut self, map_key: &Vec<u8>) {
        if !self.changed.contains(map_key) {
            self.changed.insert(map_key.clone());
        }
        self.note_unspilled(map_key);
    }

    fn note_unspilled(&mut self, map_key: &[u8]) {
        if let Some(unspilled) = &mut self.unspilled
            && !unspilled.contains(map_key)
        {
            unspilled.insert(map_key.to_vec());
        }
    }
}

impl<M, V> Default for MapEntries<M, V> {
    fn default() -> Self {
        MapEntries { pairs: BTreeMap::new(), changed: BTreeSet::new(), unspilled: None }
    }
}

/// How many pairs the size of a map is judged by.
const SAMPLED: usize = 16;
/// The pairs that one node of the tree has room for, and those that it holds where keys come in
/// their order, which is when it holds least.
const NODE_PAIRS: usize = 11;
const NODE_FILLED: usize = 5;
/// What an allocation costs beside its contents.
const HEAP_OVERHEAD: usize = 16;

/// A map as rows.
pub(crate) struct MapLayout<M, V> {
    codec: ValueCodec<V>,
    key: Vec<u8>,
    value: Vec<u8>,
    map_key: PhantomData<fn() -> M>,
}

impl<M, V: Data> MapLayout<M, V> {
    pub(crate) fn new() -> Self {
        let (key, value) = (Vec::new(), Vec::new());
        MapLayout { codec: ValueCodec::new(Rmp), key, value, map_key: PhantomData }
    }

    /// Writes the pairs under `map_keys`; those that are not there, as gone.
    fn write_pairs<'m, K: Key>(
        &mut self,
        key: &K,
        map: &MapEntries<M, V>,
        map_keys: impl Iterator<Item = &'m Vec<u8>>,
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        let len = encoded(key, &mut self.key)?.len();
        for map_key in map_keys {
            self.key.truncate(len);
            self.key.extend_from_slice(map_key);
            let Some((_, value)) = map.pairs.get(map_key) else {
                sink.delete(&[], &self.key)?;
                continue;
            };
            self.value.clear();
            self.codec.encode(value, &mut self.value)?;
            sink.put(&[], &self.key, &self.value)?;
        }
        Ok(())
    }
}

impl<K: Key, M: Key, V: Data> Layout<K, MapEntries<M, V>> for MapLayout<M, V> {
    fn write(
        &mut self,
        key: &K,
        map: &mut MapEntries<M, V>,
        rows: Rows,
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        match rows {
            Rows::All => self.write_pairs(key, map, map.pairs.keys(), sink)?,
            Rows::Changed => self.write_pairs(key, map, map.changed.iter(), sink)?,
        }
        map.changed.clear();
        Ok(())
    }

    fn delete(&mut self, key: &K, sink: &mut dyn RowSink) -> Result<()> {
        sink.delete(&[], encoded(key, &mut self.key)?)
    }

    fn absorb(
        &self,
        held: Option<&mut MapEntries<M, V>>,
        rest: &[u8],
        value: &[u8],
        source: Bytes,
    ) -> Result<Option<MapEntries<M, V>>> {
        let pair = (key::decode(rest)?, self.codec.decode(value, source)?);
        let mut made = MapEntries::default();
        let fresh = held.is_none();
        let map = held.unwrap_or(&mut made);
        map.note_unspilled(rest);
        map.pairs.insert(rest.to_vec(), pair);
        Ok(fresh.then_some(made))
    }

    fn size(&mut self, map: &MapEntries<M, V>) -> usize {
        self.value.clear();
        let pairs = map.pairs.len();
        let (mut keys, mut sampled) = (0, 0);
        for (map_key, (_, value)) in map.pairs.iter().take(SAMPLED) {
            // It grew by doubling when it was encoded.
            keys += map_key.len().next_power_of_two() + HEAP_OVERHEAD;
            sampled += 1;
            if std::mem::needs_drop::<V>() {
                self.value.resize(self.value.len() + HEAP_OVERHEAD, 0);
                // One that cannot be encoded is named when it is written.
                _ = self.codec.encode(value, &mut self.value);
            }
        }
        // A map key that has a part on the heap has about its encoding there, a second time.
        let copies = 1 + usize::from(std::mem::needs_drop::<M>());
        let heap = (keys * copies + self.value.len()) * pairs / sampled.max(1);
        // Every twelfth node is one of nodes, and somewhat larger.
        let node = NODE_PAIRS * (size_of::<Vec<u8>>() + size_of::<(M, V)>()) + HEAP_OVERHEAD;
        heap + pairs.div_ceil(NODE_FILLED) * node * 13 / 12
    }

    fn retract(&self, held: &mut MapEntries<M, V>, rest: &[u8]) -> Result<bool> {
        held.note_unspilled(rest);
        held.pairs.remove(rest);
        Ok(!held.pairs.is_empty())
    }

    fn has_parts(&self) -> bool {
        true
    }

    fn fetched(&self, map: &mut MapEntries<M, V>) {
        map.unspilled = Some(BTreeSet::new());
    }

    fn is_known_in_spill(&self, map: &MapEntries<M, V>) -> bool {
        map.unspilled.is_some()
    }

    fn write_unspilled(
        &mut self,
        key: &K,
        map: &mut MapEntries<M, V>,
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        let unspilled = map.unspilled.take().unwrap_or_default();
        self.write_pairs(key, map, unspilled.iter(), sink)
    }

    fn read_as(&mut self, stored: &TypeShape) {
        self.codec.read_as(stored);
    }
}

/// A map per key.
pub struct MapState<M, V> {
    index: usize,
    name: &'static str,
    ttl: Option<Ttl>,
    value: PhantomData<fn() -> (M, V)>,
}

handle!(MapState<M, V>);

fn bytes_of<M: Key>(map_key: &M) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    key::encode(map_key, &mut bytes)?;
    Ok(bytes)
}

/// The pairs of a key, of which the one under `map_key` is going to change.
fn changing<'c, K: Key, M: Key, V: Send + 'static>(
    (table, hash, key): (&'c mut Table<K, MapEntries<M, V>>, KeyHash, &K),
    map_key: &Vec<u8>,
) -> Result<&'c mut Pairs<M, V>> {
    let tracked = table.is_tracked();
    table.wrote();
    let map = table.or_insert_with(hash, key, MapEntries::default)?;
    if tracked {
        map.note(map_key);
    }
    Ok(&mut map.pairs)
}

/// Removes the pair under `map_key`, and with the last one the map.
fn removed<K: Key, M: Key, V: Send + 'static>(
    (table, hash, key): (&mut Table<K, MapEntries<M, V>>, KeyHash, &K),
    map_key: &Vec<u8>,
) -> Result<Option<V>> {
    if !table.get(hash, key)?.is_some_and(|map| map.pairs.contains_key(map_key)) {
        return Ok(None);
    }
    let pairs = changing((&mut *table, hash, key), map_key)?;
    let removed = pairs.remove(map_key).map(|(_, value)| value);
    if pairs.is_empty() {
        table.remove(hash, key)?;
    }
    Ok(removed)
}

impl<M: Key, V: Data> MapState<M, V> {
    /// The value under `map_key`, if there is one.
    ///
    /// # Errors
    /// When the map key has no encoding; when the state cannot be read.
    pub fn get<'c>(&self, ctx: &'c mut impl Keyed, map_key: &M) -> Result<Option<&'c V>> {
        let (bytes, scope) = (bytes_of(map_key)?, ctx.scope());
        let Some(ttl) = self.ttl else {
            let (table, hash, key) = scope.table::<MapEntries<M, V>>(self.index);
            let map = table.get(hash, key)?;
            return Ok(map.and_then(|map| map.pairs.get(&bytes)).map(|(_, value)| value));
        };
        let life = scope.life(ttl);
        let (table, hash, key) = scope.table::<MapEntries<M, Until<V>>>(self.index);
        if ttl.is_since_read() {
            let held = table.get(hash, key)?.and_then(|map| map.pairs.get(&bytes));
            if held.is_some_and(|(_, (until, _))| life.sees(*until) && *until < life.until)
                && let Some((_, held)) = changing((&mut *table, hash, key), &bytes)?.get_mut(&bytes)
            {
                life.renew(held);
            }
        }
        let held = table.get(hash, key)?.and_then(|map| map.pairs.get(&bytes));
        Ok(held.and_then(|(_, held)| life.live(held)))
    }

    /// The value under `map_key` to be changed in place, the default where there is none.
    ///
    /// # Errors
    /// When the map key has no encoding; when the state cannot be read.
    pub fn or_default<'c>(&self, ctx: &'c mut impl Keyed, map_key: &M) -> Result<&'c mut V>
    where
        V: Default,
    {
        let (bytes, scope) = (bytes_of(map_key)?, ctx.scope());
        let Some(ttl) = self.ttl else {
            let pairs = changing(scope.table::<MapEntries<M, V>>(self.index), &bytes)?;
            return Ok(&mut pairs
                .entry(bytes)
                .or_insert_with(|| (map_key.clone(), V::default()))
                .1);
        };
        let life = scope.life(ttl);
        let pairs = changing(scope.table::<MapEntries<M, Until<V>>>(self.index), &bytes)?;
        let new = || (map_key.clone(), (life.until, V::default()));
        Ok(life.renewed(&mut pairs.entry(bytes).or_insert_with(new).1))
    }

    /// Sets the value under `map_key` and returns the one before.
    ///
    /// # Errors
    /// When the map key has no encoding; when the state cannot be read.
    pub fn insert(&self, ctx: &mut impl Keyed, map_key: M, value: V) -> Result<Option<V>> {
        let (bytes, scope) = (bytes_of(&map_key)?, ctx.scope());
        let Some(ttl) = self.ttl else {
            let pairs = changing(scope.table::<MapEntries<M, V>>(self.index), &bytes)?;
            return Ok(pairs.insert(bytes, (map_key, value)).map(|(_, before)| before));
        };
        let life = scope.life(ttl);
        let pairs = changing(scope.table::<MapEntries<M, Until<V>>>(self.index), &bytes)?;
        let held = pairs.get(&bytes).map_or(life.until, |(_, (until, _))| life.until.max(*until));
        let before = pairs.insert(bytes, (map_key, (held, value)));
        Ok(before.and_then(|(_, before)| life.taken(before)))
    }

    /// Removes and returns the value under `map_key`.
    ///
    /// # Errors
    /// When the map key has no encoding; when the state cannot be read.
    pub fn remove(&self, ctx: &mut impl Keyed, map_key: &M) -> Result<Option<V>> {
        let (bytes, scope) = (bytes_of(map_key)?, ctx.scope());
        let Some(ttl) = self.ttl else {
            return removed(scope.table::<MapEntries<M, V>>(self.index), &bytes);
        };
        let life = scope.life(ttl);
        let held = removed(scope.table::<MapEntries<M, Until<V>>>(self.index), &bytes)?;
        Ok(held.and_then(|held| life.taken(held)))
    }

    /// All pairs, in the order of the encoded map keys.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn iter<'c>(&self, ctx: &'c mut impl Keyed) -> Result<impl Iterator<Item = (&'c M, &'c V)>>
    where
        M: 'c,
        V: 'c,
    {
        if self.ttl.is_some_and(Ttl::is_since_read) {
            self.read_all(ctx)?;
        }
        self.live(ctx)
    }

    /// As [`MapState::iter`], of a map whose values end with their last write.
    fn live<'c>(&self, ctx: &'c mut impl Keyed) -> Result<impl Iterator<Item = (&'c M, &'c V)>>
    where
        M: 'c,
        V: 'c,
    {
        let scope = ctx.scope();
        let (mut lasting, mut ending, mut now) = (None, None, Timestamp::MIN);
        if let Some(ttl) = self.ttl {
            now = scope.life(ttl).now;
            let (table, hash, key) = scope.table::<MapEntries<M, Until<V>>>(self.index);
            ending = table.get(hash, key)?;
        } else {
            let (table, hash, key) = scope.table::<MapEntries<M, V>>(self.index);
            lasting = table.get(hash, key)?;
        }
        let lasting = lasting.into_iter().flat_map(|map| map.pairs.values());
        let ending = ending.into_iter().flat_map(|map| map.pairs.values());
        let live = ending.filter(move |(_, (until, _))| now < *until);
        Ok(lasting.map(|(map_key, value)| (map_key, value)).chain(live.map(|(k, (_, v))| (k, v))))
    }

    /// Every pair that is there lives on.
    fn read_all(&self, ctx: &mut impl Keyed) -> Result<()> {
        let scope = ctx.scope();
        let Some(ttl) = self.ttl else { return Ok(()) };
        let life = scope.life(ttl);
        let (table, hash, key) = scope.table::<MapEntries<M, Until<V>>>(self.index);
        let renews = |until: Timestamp| life.sees(until) && until < life.until;
        let mut pairs = table.get(hash, key)?.into_iter().flat_map(|map| map.pairs.values());
        if !pairs.any(|(_, (until, _))| renews(*until)) {
            return Ok(());
        }
        table.wrote();
        let tracked = table.is_tracked();
        let Some(map) = table.get_mut(hash, key)? else { return Ok(()) };
        let mut renewed = Vec::new();
        for (map_key, (_, held)) in map.pairs.iter_mut().filter(|(_, (_, held))| renews(held.0)) {
            life.renew(held);
            if tracked {
                renewed.push(map_key.clone());
            }
        }
        renewed.iter().for_each(|map_key| map.note(map_key));
        Ok(())
    }

    /// How many pairs.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn len(&self, ctx: &mut impl Keyed) -> Result<usize> {
        Ok(self.live(ctx)?.count())
    }

    /// Whether there is no pair.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn is_empty(&self, ctx: &mut impl Keyed) -> Result<bool> {
        Ok(self.live(ctx)?.next().is_none())
    }

    /// Removes all pairs.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn clear(&self, ctx: &mut impl Keyed) -> Result<()> {
        let scope = ctx.scope();
        if self.ttl.is_some() {
            let (table, hash, key) = scope.table::<MapEntries<M, Until<V>>>(self.index);
            table.remove(hash, key).map(drop)
        } else {
            let (table, hash, key) = scope.table::<MapEntries<M, V>>(self.index);
            table.remove(hash, key).map(drop)
        }
    }
}
