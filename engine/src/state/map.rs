//! [`MapState`]: a map per key, walked in the order of its encoded map keys.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::handle::{Keyed, handle};
use crate::data::{Data, Key};
use crate::key;
use crate::operator::Result;

/// The entries of one key's map, by encoded map key. In checkpoints a sequence of pairs.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Vec<(M, V)>", into = "Vec<(M, V)>", bound = "M: Key, V: Data")]
pub struct MapEntries<M: Key, V: Data>(BTreeMap<Vec<u8>, (M, V)>);

impl<M: Key, V: Data> TryFrom<Vec<(M, V)>> for MapEntries<M, V> {
    type Error = anyhow::Error;

    fn try_from(pairs: Vec<(M, V)>) -> Result<Self> {
        let pairs = pairs.into_iter().map(|pair| Ok((bytes_of(&pair.0)?, pair)));
        pairs.collect::<Result<_>>().map(MapEntries)
    }
}

impl<M: Key, V: Data> From<MapEntries<M, V>> for Vec<(M, V)> {
    fn from(entries: MapEntries<M, V>) -> Self {
        entries.0.into_values().collect()
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
    fn entries<'c>(&self, ctx: &'c mut impl Keyed) -> Option<&'c BTreeMap<Vec<u8>, (M, V)>> {
        let (table, hash, key) = ctx.scope().table::<MapEntries<M, V>>(self.index);
        table.get(hash, key).map(|entries| &entries.0)
    }

    fn entries_mut<'c>(&self, ctx: &'c mut impl Keyed) -> &'c mut BTreeMap<Vec<u8>, (M, V)> {
        let (table, hash, key) = ctx.scope().table::<MapEntries<M, V>>(self.index);
        &mut table.or_insert_with(hash, key, || MapEntries(BTreeMap::new())).0
    }

    /// The value under `map_key`, if there is one.
    ///
    /// # Errors
    /// When the map key has no encoding.
    pub fn get<'c>(&self, ctx: &'c mut impl Keyed, map_key: &M) -> Result<Option<&'c V>> {
        let bytes = bytes_of(map_key)?;
        Ok(self.entries(ctx).and_then(|entries| entries.get(&bytes)).map(|(_, value)| value))
    }

    /// The value under `map_key` to be changed in place, the default where there is none.
    ///
    /// # Errors
    /// When the map key has no encoding.
    pub fn or_default<'c>(&self, ctx: &'c mut impl Keyed, map_key: &M) -> Result<&'c mut V>
    where
        V: Default,
    {
        let bytes = bytes_of(map_key)?;
        let entries = self.entries_mut(ctx);
        Ok(&mut entries.entry(bytes).or_insert_with(|| (map_key.clone(), V::default())).1)
    }

    /// Sets the value under `map_key` and returns the one before.
    ///
    /// # Errors
    /// When the map key has no encoding.
    pub fn insert(&self, ctx: &mut impl Keyed, map_key: M, value: V) -> Result<Option<V>> {
        let bytes = bytes_of(&map_key)?;
        Ok(self.entries_mut(ctx).insert(bytes, (map_key, value)).map(|(_, before)| before))
    }

    /// Removes and returns the value under `map_key`.
    ///
    /// # Errors
    /// When the map key has no encoding.
    pub fn remove(&self, ctx: &mut impl Keyed, map_key: &M) -> Result<Option<V>> {
        let bytes = bytes_of(map_key)?;
        if self.entries(ctx).is_none() {
            return Ok(None);
        }
        let entries = self.entries_mut(ctx);
        let removed = entries.remove(&bytes).map(|(_, value)| value);
        if entries.is_empty() {
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
        let pairs = self.entries(ctx).into_iter().flat_map(BTreeMap::values);
        Ok(pairs.map(|(map_key, value)| (map_key, value)))
    }

    /// How many pairs.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn len(&self, ctx: &mut impl Keyed) -> Result<usize> {
        Ok(self.entries(ctx).map_or(0, BTreeMap::len))
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
        table.remove(hash, key);
        Ok(())
    }
}
