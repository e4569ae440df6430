//! [`ListState`]: a list per key. In checkpoints a row for each run of values that was pushed in
//! one interval, so a push writes the tail only:
//!
//! ```text
//! key   = the encoded key, then the number of the run's first value: u32 big-endian
//! value = MessagePack array of the values
//! ```

use std::fmt;
use std::marker::PhantomData;

use super::codec::{Bytes, TypeShape};
use super::handle::{Keyed, handle};
use super::layout::{Layout, Rows, encoded};
use super::log::RowSink;
use crate::data::{Data, Key};
use crate::operator::Result;

/// The values of one key.
pub(crate) struct ListEntries<V> {
    values: Vec<V>,
    /// How many of them are written.
    written: usize,
    /// Whether what was written before is no longer the beginning of the list.
    replaced: bool,
}

impl<V> Default for ListEntries<V> {
    fn default() -> Self {
        ListEntries { values: Vec::new(), written: 0, replaced: false }
    }
}

/// How many values the size of a list is judged by.
const SAMPLED: usize = 16;

/// The most values of one row.
const RUN_MAX: usize = 512;

/// A list as rows.
pub(crate) struct ListLayout<V> {
    key: Vec<u8>,
    value: Vec<u8>,
    values: PhantomData<fn() -> V>,
}

impl<V> ListLayout<V> {
    pub(crate) fn new() -> Self {
        ListLayout { key: Vec::new(), value: Vec::new(), values: PhantomData }
    }
}

impl<K: Key, V: Data> Layout<K, ListEntries<V>> for ListLayout<V> {
    fn write(
        &mut self,
        key: &K,
        list: &mut ListEntries<V>,
        rows: Rows,
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        let len = encoded(key, &mut self.key)?.len();
        if list.replaced {
            sink.delete(&[], &self.key)?;
        }
        let whole = list.replaced || rows == Rows::All;
        let mut from = if whole { 0 } else { list.written };
        while from < list.values.len() {
            let run = &list.values[from..list.values.len().min(from + RUN_MAX)];
            self.key.truncate(len);
            self.key.extend_from_slice(&u32::try_from(from)?.to_be_bytes());
            self.value.clear();
            rmp_serde::encode::write_named(&mut self.value, run)?;
            sink.put(&[], &self.key, &self.value)?;
            from += run.len();
        }
        (list.written, list.replaced) = (list.values.len(), false);
        Ok(())
    }

    fn delete(&mut self, key: &K, sink: &mut dyn RowSink) -> Result<()> {
        sink.delete(&[], encoded(key, &mut self.key)?)
    }

    fn absorb(
        &self,
        held: Option<&mut ListEntries<V>>,
        rest: &[u8],
        value: &[u8],
        _source: Bytes,
    ) -> Result<Option<ListEntries<V>>> {
        let first = <[u8; 4]>::try_from(rest)
            .map_err(|_| anyhow::anyhow!("the number of a list's value has 4 bytes"))?;
        let first = u32::from_be_bytes(first) as usize;
        let values: Vec<V> = rmp_serde::from_slice(value)?;
        let mut made = ListEntries::default();
        let fresh = held.is_none();
        let list = held.unwrap_or(&mut made);
        let there = list.values.len();
        anyhow::ensure!(first == there, "values {there}..{first} of a list are missing");
        list.values.extend(values);
        list.written = list.values.len();
        Ok(fresh.then_some(made))
    }

    fn size(&mut self, list: &ListEntries<V>) -> usize {
        let some = &list.values[..list.values.len().min(SAMPLED)];
        self.value.clear();
        let written = rmp_serde::encode::write_named(&mut self.value, some);
        let bytes = written.map_or(0, |()| self.value.len());
        bytes * list.values.len() / some.len().max(1)
    }

    fn retract(&self, _held: &mut ListEntries<V>, _rest: &[u8]) -> Result<bool> {
        anyhow::bail!("a part of a list is deleted, which no list does")
    }

    fn has_parts(&self) -> bool {
        true
    }

    fn read_as(&mut self, _stored: &TypeShape) {}
}

/// A list per key, in the order of its pushes.
pub struct ListState<V> {
    index: usize,
    name: &'static str,
    value: PhantomData<fn() -> V>,
}

handle!(ListState<V>);

impl<V: Data> ListState<V> {
    /// Appends a value.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn push(&self, ctx: &mut impl Keyed, value: V) -> Result<()> {
        let (table, hash, key) = ctx.scope().table::<ListEntries<V>>(self.index);
        table.or_insert_with(hash, key, ListEntries::default)?.values.push(value);
        Ok(())
    }

    /// The values, oldest first.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn iter<'c>(&self, ctx: &'c mut impl Keyed) -> Result<std::slice::Iter<'c, V>> {
        let (table, hash, key) = ctx.scope().table::<ListEntries<V>>(self.index);
        let list = table.get(hash, key)?;
        Ok(list.map(|list| list.values.as_slice()).unwrap_or_default().iter())
    }

    /// How many values.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn len(&self, ctx: &mut impl Keyed) -> Result<usize> {
        Ok(self.iter(ctx)?.len())
    }

    /// Whether there is no value.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn is_empty(&self, ctx: &mut impl Keyed) -> Result<bool> {
        Ok(self.len(ctx)? == 0)
    }

    /// Replaces the whole list; an empty one removes it.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn set(&self, ctx: &mut impl Keyed, values: Vec<V>) -> Result<()> {
        if values.is_empty() {
            return self.clear(ctx);
        }
        let (table, hash, key) = ctx.scope().table::<ListEntries<V>>(self.index);
        let list = table.or_insert_with(hash, key, ListEntries::default)?;
        *list = ListEntries { values, written: 0, replaced: list.replaced || list.written > 0 };
        Ok(())
    }

    /// Removes and returns all values.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn take(&self, ctx: &mut impl Keyed) -> Result<Vec<V>> {
        let (table, hash, key) = ctx.scope().table::<ListEntries<V>>(self.index);
        Ok(table.remove(hash, key)?.map(|list| list.values).unwrap_or_default())
    }

    /// Removes all values.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn clear(&self, ctx: &mut impl Keyed) -> Result<()> {
        self.take(ctx).map(drop)
    }
}
