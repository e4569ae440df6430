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
use crate::data::{Data, Key, Rmp};
use crate::key;
use crate::operator::Result;

/// Pairs by encoded map key.
type Pairs<M, V> = BTreeMap<Vec<u8>, (M, V)>;

/// The pairs of one key's map.
pub(crate) struct MapEntries<M, V> {
    pairs: Pairs<M, V>,
    /// Encoded map keys of what changed since it was last written.
    changed: BTreeSet<Vec<u8>>,
}

impl<M, V> Default for MapEntries<M, V> {
    fn default() -> Self {
        MapEntries { pairs: BTreeMap::new(), changed: BTreeSet::new() }
    }
}

/// How many pairs the size of a map is judged by.
const SAMPLED: usize = 16;
/// What a pair takes beside its encoded key and value.
const PAIR_BYTES: usize = 64;

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
}

impl<K: Key, M: Key, V: Data> Layout<K, MapEntries<M, V>> for MapLayout<M, V> {
    fn write(
        &mut self,
        key: &K,
        map: &mut MapEntries<M, V>,
        rows: Rows,
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        let len = encoded(key, &mut self.key)?.len();
        let mut write = |map_key: &[u8], pair: Option<&(M, V)>| {
            self.key.truncate(len);
            self.key.extend_from_slice(map_key);
            let Some((_, value)) = pair else { return sink.delete(&[], &self.key) };
            self.value.clear();
            self.codec.encode(value, &mut self.value)?;
            sink.put(&[], &self.key, &self.value)
        };
        match rows {
            Rows::All => map.pairs.iter().try_for_each(|(key, pair)| write(key, Some(pair)))?,
            Rows::Changed => map.changed.iter().try_for_each(|k| write(k, map.pairs.get(k)))?,
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
        held.unwrap_or(&mut made).pairs.insert(rest.to_vec(), pair);
        Ok(fresh.then_some(made))
    }

    fn size(&mut self, map: &MapEntries<M, V>) -> usize {
        self.value.clear();
        let mut keys = 0;
        for (map_key, (_, value)) in map.pairs.iter().take(SAMPLED) {
            keys += map_key.len() + PAIR_BYTES;
            // One that cannot be encoded is named when it is written.
            _ = self.codec.encode(value, &mut self.value);
        }
        let bytes = keys + self.value.len();
        bytes * map.pairs.len() / map.pairs.len().clamp(1, SAMPLED)
    }

    fn retract(&self, held: &mut MapEntries<M, V>, rest: &[u8]) -> Result<bool> {
        held.pairs.remove(rest);
        Ok(!held.pairs.is_empty())
    }

    fn has_parts(&self) -> bool {
        true
    }

    fn read_as(&mut self, stored: &TypeShape) {
        self.codec.read_as(stored);
    }
}

/// A map per key.
pub struct MapState<M, V> {
    index: usize,
    name: &'static str,
    value: PhantomData<fn() -> (M, V)>,
}

handle!(MapState<M, V>);

fn bytes_of<M: Key>(map_key: &M) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    key::encode(map_key, &mut bytes)?;
    Ok(bytes)
}

impl<M: Key, V: Data> MapState<M, V> {
    fn held<'c>(&self, ctx: &'c mut impl Keyed) -> Result<Option<&'c Pairs<M, V>>> {
        let (table, hash, key) = ctx.scope().table::<MapEntries<M, V>>(self.index);
        Ok(table.get(hash, key)?.map(|map| &map.pairs))
    }

    /// The pairs, in which the one under `map_key` is going to change.
    fn changing<'c>(
        &self,
        ctx: &'c mut impl Keyed,
        map_key: &Vec<u8>,
    ) -> Result<&'c mut Pairs<M, V>> {
        let (table, hash, key) = ctx.scope().table::<MapEntries<M, V>>(self.index);
        let tracked = table.is_tracked();
        let map = table.or_insert_with(hash, key, MapEntries::default)?;
        if tracked && !map.changed.contains(map_key) {
            map.changed.insert(map_key.clone());
        }
        Ok(&mut map.pairs)
    }

    /// The value under `map_key`, if there is one.
    ///
    /// # Errors
    /// When the map key has no encoding; when the state cannot be read.
    pub fn get<'c>(&self, ctx: &'c mut impl Keyed, map_key: &M) -> Result<Option<&'c V>> {
        let bytes = bytes_of(map_key)?;
        Ok(self.held(ctx)?.and_then(|pairs| pairs.get(&bytes)).map(|(_, value)| value))
    }

    /// The value under `map_key` to be changed in place, the default where there is none.
    ///
    /// # Errors
    /// When the map key has no encoding; when the state cannot be read.
    pub fn or_default<'c>(&self, ctx: &'c mut impl Keyed, map_key: &M) -> Result<&'c mut V>
    where
        V: Default,
    {
        let bytes = bytes_of(map_key)?;
        let pairs = self.changing(ctx, &bytes)?;
        Ok(&mut pairs.entry(bytes).or_insert_with(|| (map_key.clone(), V::default())).1)
    }

    /// Sets the value under `map_key` and returns the one before.
    ///
    /// # Errors
    /// When the map key has no encoding; when the state cannot be read.
    pub fn insert(&self, ctx: &mut impl Keyed, map_key: M, value: V) -> Result<Option<V>> {
        let bytes = bytes_of(&map_key)?;
        let pairs = self.changing(ctx, &bytes)?;
        Ok(pairs.insert(bytes, (map_key, value)).map(|(_, before)| before))
    }

    /// Removes and returns the value under `map_key`.
    ///
    /// # Errors
    /// When the map key has no encoding; when the state cannot be read.
    pub fn remove(&self, ctx: &mut impl Keyed, map_key: &M) -> Result<Option<V>> {
        let bytes = bytes_of(map_key)?;
        if !self.held(ctx)?.is_some_and(|pairs| pairs.contains_key(&bytes)) {
            return Ok(None);
        }
        let pairs = self.changing(ctx, &bytes)?;
        let removed = pairs.remove(&bytes).map(|(_, value)| value);
        if pairs.is_empty() {
            self.clear(ctx)?;
        }
        Ok(removed)
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
        let pairs = self.held(ctx)?.into_iter().flat_map(BTreeMap::values);
        Ok(pairs.map(|(map_key, value)| (map_key, value)))
    }

    /// How many pairs.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn len(&self, ctx: &mut impl Keyed) -> Result<usize> {
        Ok(self.held(ctx)?.map_or(0, BTreeMap::len))
    }

    /// Whether there is no pair.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn is_empty(&self, ctx: &mut impl Keyed) -> Result<bool> {
        Ok(self.len(ctx)? == 0)
    }

    /// Removes all pairs.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn clear(&self, ctx: &mut impl Keyed) -> Result<()> {
        let (table, hash, key) = ctx.scope().table::<MapEntries<M, V>>(self.index);
        table.remove(hash, key).map(drop)
    }
}
