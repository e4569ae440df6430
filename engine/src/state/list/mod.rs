//! [`ListState`]: a list per key, which lies as rows ([`rows`]) wherever it is not in memory.

mod rows;

use std::fmt;
use std::marker::PhantomData;

pub(crate) use rows::{ListEntries, ListLayout};

use super::handle::{Keyed, handle};
use super::ttl::{Ttl, Until};
use crate::data::Data;
use crate::operator::Result;
use crate::time::Timestamp;

/// A list per key, in the order of its pushes.
pub struct ListState<V> {
    index: usize,
    name: &'static str,
    ttl: Option<Ttl>,
    value: PhantomData<fn() -> V>,
}

handle!(ListState<V>);

impl<V: Data> ListState<V> {
    /// Appends a value. Reads nothing, wherever the list is.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn push(&self, ctx: &mut impl Keyed, value: V) -> Result<()> {
        let scope = ctx.scope();
        if let Some(ttl) = self.ttl {
            let life = scope.life(ttl);
            let (table, hash, key) = scope.table::<ListEntries<Until<V>>>(self.index);
            table.wrote();
            table.adding(hash, key, ListEntries::added)?.values.push((life.until, value));
        } else {
            let (table, hash, key) = scope.table::<ListEntries<V>>(self.index);
            table.adding(hash, key, ListEntries::added)?.values.push(value);
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
