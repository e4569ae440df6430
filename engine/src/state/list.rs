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
use super::ttl::{Ttl, Until};
use crate::data::{Data, Key};
use crate::operator::Result;
use crate::time::Timestamp;

/// The values of one key.
pub(crate) struct ListEntries<V> {
    pub(super) values: Vec<V>,
    /// How many of them are written.
    written: usize,
    /// Whether what was written before is no longer the beginning of the list.
    replaced: bool,
    /// The beginning of it that lies in the spill tier, if that is known.
    spilled: Option<Spilled>,
    /// The rows that were absorbed.
    rows: usize,
}

/// What of a list lies in the spill tier.
#[derive(Clone, Copy, Debug)]
struct Spilled {
    values: usize,
    rows: usize,
}

impl<V> Default for ListEntries<V> {
    fn default() -> Self {
        let (written, replaced) = (0, false);
        ListEntries { values: Vec::new(), written, replaced, spilled: None, rows: 0 }
    }
}

impl<V> ListEntries<V> {
    /// What was written before is no longer the beginning of the list.
    pub(super) fn rewrite(&mut self) {
        self.replaced |= self.written > 0;
        self.written = 0;
        self.spilled = None;
    }

    fn replace(&mut self, values: Vec<V>) {
        self.values = values;
        self.rewrite();
    }
}

/// How many values the size of a list is judged by.
const SAMPLED: usize = 16;
/// What a value's allocation costs beside its contents.
const HEAP_OVERHEAD: usize = 16;

/// The most values of one row.
const RUN_MAX: usize = 512;
/// With so many rows in the spill tier, and fewer values in each, a list is written there anew.
const ROWS_MAX: usize = 64;
const VALUES_MIN: usize = 16;

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

impl<V: Data> ListLayout<V> {
    /// Writes the values from number `from` on.
    fn write_from<K: Key>(
        &mut self,
        key: &K,
        list: &ListEntries<V>,
        mut from: usize,
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        let len = encoded(key, &mut self.key)?.len();
        while from < list.values.len() {
            let run = &list.values[from..list.values.len().min(from + RUN_MAX)];
            self.key.truncate(len);
            self.key.extend_from_slice(&u32::try_from(from)?.to_be_bytes());
            self.value.clear();
            rmp_serde::encode::write_named(&mut self.value, run)?;
            sink.put(&[], &self.key, &self.value)?;
            from += run.len();
        }
        Ok(())
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
        if list.replaced {
            sink.delete(&[], encoded(key, &mut self.key)?)?;
        }
        let whole = list.replaced || rows == Rows::All;
        self.write_from(key, list, if whole { 0 } else { list.written }, sink)?;
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
        list.rows += 1;
        Ok(fresh.then_some(made))
    }

    fn size(&mut self, list: &ListEntries<V>) -> usize {
        let own = list.values.capacity() * size_of::<V>();
        if !std::mem::needs_drop::<V>() {
            return own;
        }
        let some = &list.values[..list.values.len().min(SAMPLED)];
        self.value.clear();
        // One that cannot be encoded is named when it is written.
        let written = rmp_serde::encode::write_named(&mut self.value, some);
        let heap = written.map_or(0, |()| self.value.len()) + some.len() * HEAP_OVERHEAD;
        own + heap * list.values.len() / some.len().max(1)
    }

    fn retract(&self, _held: &mut ListEntries<V>, _rest: &[u8]) -> Result<bool> {
        anyhow::bail!("a part of a list is deleted, which no list does")
    }

    fn has_parts(&self) -> bool {
        true
    }

    fn fetched(&self, list: &mut ListEntries<V>) {
        list.spilled = Some(Spilled { values: list.values.len(), rows: list.rows });
    }

    fn is_known_in_spill(&self, list: &ListEntries<V>) -> bool {
        let many_rows = |it: Spilled| it.rows > ROWS_MAX && it.values / it.rows < VALUES_MIN;
        list.spilled.is_some_and(|spilled| !many_rows(spilled))
    }

    fn write_unspilled(
        &mut self,
        key: &K,
        list: &mut ListEntries<V>,
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        let from = list.spilled.take().map_or(0, |spilled| spilled.values);
        self.write_from(key, list, from, sink)
    }

    fn read_as(&mut self, _stored: &TypeShape) {}
}

/// A list per key, in the order of its pushes.
pub struct ListState<V> {
    index: usize,
    name: &'static str,
    ttl: Option<Ttl>,
    value: PhantomData<fn() -> V>,
}

handle!(ListState<V>);

impl<V: Data> ListState<V> {
    /// Appends a value.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn push(&self, ctx: &mut impl Keyed, value: V) -> Result<()> {
        let scope = ctx.scope();
        if let Some(ttl) = self.ttl {
            let life = scope.life(ttl);
            let (table, hash, key) = scope.table::<ListEntries<Until<V>>>(self.index);
            table.wrote();
            let list = table.or_insert_with(hash, key, ListEntries::default)?;
            list.values.push((life.until, value));
        } else {
            let (table, hash, key) = scope.table::<ListEntries<V>>(self.index);
            table.or_insert_with(hash, key, ListEntries::default)?.values.push(value);
        }
        Ok(())
    }

    /// The values, oldest first.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn iter<'c>(
        &self,
        ctx: &'c mut impl Keyed,
    ) -> Result<impl DoubleEndedIterator<Item = &'c V> + Clone> {
        if self.ttl.is_some_and(Ttl::is_since_read) {
            self.read_all(ctx)?;
        }
        self.live(ctx)
    }

    /// As [`ListState::iter`], of a list whose values end with their last write.
    fn live<'c>(
        &self,
        ctx: &'c mut impl Keyed,
    ) -> Result<impl DoubleEndedIterator<Item = &'c V> + Clone> {
        let scope = ctx.scope();
        let (mut lasting, mut ending, mut now) = (&[][..], &[][..], Timestamp::MIN);
        if let Some(ttl) = self.ttl {
            now = scope.life(ttl).now;
            let (table, hash, key) = scope.table::<ListEntries<Until<V>>>(self.index);
            ending = table.get(hash, key)?.map_or(ending, |list| &list.values[..]);
        } else {
            let (table, hash, key) = scope.table::<ListEntries<V>>(self.index);
            lasting = table.get(hash, key)?.map_or(lasting, |list| &list.values[..]);
        }
        let ending = ending.iter().filter(move |(until, _)| now < *until).map(|(_, value)| value);
        Ok(lasting.iter().chain(ending))
    }

    /// Every value that is there lives on.
    fn read_all(&self, ctx: &mut impl Keyed) -> Result<()> {
        let scope = ctx.scope();
        let Some(ttl) = self.ttl else { return Ok(()) };
        let life = scope.life(ttl);
        let (table, hash, key) = scope.table::<ListEntries<Until<V>>>(self.index);
        let renews = |(until, _): &Until<V>| life.sees(*until) && *until < life.until;
        if !table.get(hash, key)?.is_some_and(|list| list.values.iter().any(renews)) {
            return Ok(());
        }
        table.wrote();
        let Some(list) = table.get_mut(hash, key)? else { return Ok(()) };
        list.values.retain(|(until, _)| life.sees(*until));
        list.values.iter_mut().for_each(|value| life.renew(value));
        list.rewrite();
        Ok(())
    }

    /// How many values.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn len(&self, ctx: &mut impl Keyed) -> Result<usize> {
        Ok(self.live(ctx)?.count())
    }

    /// Whether there is no value.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn is_empty(&self, ctx: &mut impl Keyed) -> Result<bool> {
        Ok(self.live(ctx)?.next().is_none())
    }

    /// Replaces the whole list; an empty one removes it.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn set(&self, ctx: &mut impl Keyed, values: Vec<V>) -> Result<()> {
        if values.is_empty() {
            return self.clear(ctx);
        }
        let scope = ctx.scope();
        if let Some(ttl) = self.ttl {
            let life = scope.life(ttl);
            let (table, hash, key) = scope.table::<ListEntries<Until<V>>>(self.index);
            table.wrote();
            let list = table.or_insert_with(hash, key, ListEntries::default)?;
            list.replace(values.into_iter().map(|value| (life.until, value)).collect());
        } else {
            let (table, hash, key) = scope.table::<ListEntries<V>>(self.index);
            table.or_insert_with(hash, key, ListEntries::default)?.replace(values);
        }
        Ok(())
    }

    /// Removes and returns all values.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn take(&self, ctx: &mut impl Keyed) -> Result<Vec<V>> {
        let scope = ctx.scope();
        let Some(ttl) = self.ttl else {
            let (table, hash, key) = scope.table::<ListEntries<V>>(self.index);
            return Ok(table.remove(hash, key)?.map(|list| list.values).unwrap_or_default());
        };
        let life = scope.life(ttl);
        let (table, hash, key) = scope.table::<ListEntries<Until<V>>>(self.index);
        let values = table.remove(hash, key)?.map(|list| list.values).unwrap_or_default();
        Ok(values.into_iter().filter_map(|held| life.taken(held)).collect())
    }

    /// Removes all values.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn clear(&self, ctx: &mut impl Keyed) -> Result<()> {
        self.take(ctx).map(drop)
    }
}
