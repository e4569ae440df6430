//! The handles a user function holds: [`ValueState`] here, [`super::ListState`] and
//! [`super::MapState`] in files of their own. A handle is a slot; the key comes from the context it
//! is used with, the value lies decoded in its table, so a reference costs nothing.

use std::fmt;
use std::marker::PhantomData;

use super::store::{Slot, StateStore};
use super::table::Table;
use super::ttl::{Life, Ttl, Until};
use crate::data::{Data, Key};
use crate::key::KeyHash;
use crate::operator::Result;
use crate::time::Timestamp;

/// What speaks for one key: the context of a process function, of a timer, of the harness.
pub trait Keyed {
    /// The type of the key.
    type Key: Key;

    /// The key, and the store that holds its state.
    fn scope(&mut self) -> Scope<'_, Self::Key>;
}

/// One key and the state of its operator.
#[derive(Debug)]
pub struct Scope<'a, K> {
    /// The key.
    pub key: &'a K,
    /// Its hash.
    pub hash: KeyHash,
    /// The states.
    pub state: &'a mut StateStore,
    /// The timestamp of the record or event-time timer; [`Timestamp::MIN`] where there is none.
    pub timestamp: Timestamp,
}

impl<'a, K: Key> Scope<'a, K> {
    pub(super) fn table<V: Send + 'static>(
        self,
        index: usize,
    ) -> (&'a mut Table<K, V>, KeyHash, &'a K) {
        (self.state.get_mut(Slot::at(index)), self.hash, self.key)
    }

    /// What this call sees of states with this time to live.
    pub(super) fn life(&self, ttl: Ttl) -> Life {
        ttl.life(self.state.times(), self.timestamp)
    }
}

macro_rules! handle {
    ($name:ident < $($p:ident),+ >) => {
        impl<$($p),+> $name<$($p),+> {
            pub(crate) fn new(index: usize, name: &'static str, ttl: Option<Ttl>) -> Self {
                $name { index, name, ttl, value: PhantomData }
            }

            /// The name of the state.
            #[must_use]
            pub fn name(&self) -> &'static str {
                self.name
            }
        }

        impl<$($p),+> fmt::Debug for $name<$($p),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.name)
            }
        }
    };
}
pub(super) use handle;

/// One value per key.
pub struct ValueState<V> {
    index: usize,
    name: &'static str,
    ttl: Option<Ttl>,
    value: PhantomData<fn() -> V>,
}

handle!(ValueState<V>);

impl<V: Data> ValueState<V> {
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn ttl(&self) -> Option<Ttl> {
        self.ttl
    }

    /// The value, if there is one.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn get<'c>(&self, ctx: &'c mut impl Keyed) -> Result<Option<&'c V>> {
        let scope = ctx.scope();
        let Some(ttl) = self.ttl else {
            let (table, hash, key) = scope.table::<V>(self.index);
            return table.get(hash, key);
        };
        let life = scope.life(ttl);
        let (table, hash, key) = scope.table::<Until<V>>(self.index);
        if ttl.is_since_read() {
            let until = table.get(hash, key)?.map(|held| held.0);
            if until.is_some_and(|until| life.sees(until) && until < life.until)
                && let Some(held) = table.get_mut(hash, key)?
            {
                life.renew(held);
                table.wrote();
            }
        }
        Ok(table.get(hash, key)?.and_then(|held| life.live(held)))
    }

    /// The value, if there is one, to be changed in place.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn get_mut<'c>(&self, ctx: &'c mut impl Keyed) -> Result<Option<&'c mut V>> {
        let scope = ctx.scope();
        let Some(ttl) = self.ttl else {
            let (table, hash, key) = scope.table::<V>(self.index);
            return table.get_mut(hash, key);
        };
        let life = scope.life(ttl);
        let (table, hash, key) = scope.table::<Until<V>>(self.index);
        if table.get(hash, key)?.and_then(|held| life.live(held)).is_none() {
            return Ok(None);
        }
        table.wrote();
        Ok(table.get_mut(hash, key)?.map(|held| {
            life.renew(held);
            &mut held.1
        }))
    }

    /// The value to be changed in place, the default where there is none.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn or_default<'c>(&self, ctx: &'c mut impl Keyed) -> Result<&'c mut V>
    where
        V: Default,
    {
        let scope = ctx.scope();
        let Some(ttl) = self.ttl else {
            let (table, hash, key) = scope.table::<V>(self.index);
            return table.or_insert_with(hash, key, V::default);
        };
        let life = scope.life(ttl);
        let (table, hash, key) = scope.table::<Until<V>>(self.index);
        table.wrote();
        let held = table.or_insert_with(hash, key, || (life.until, V::default()))?;
        Ok(life.renewed(held))
    }

    /// Sets the value.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn set(&self, ctx: &mut impl Keyed, value: V) -> Result<()> {
        let scope = ctx.scope();
        let Some(ttl) = self.ttl else {
            let (table, hash, key) = scope.table::<V>(self.index);
            return table.insert(hash, key, value).map(drop);
        };
        let life = scope.life(ttl);
        let (table, hash, key) = scope.table::<Until<V>>(self.index);
        table.wrote();
        let mut value = Some(value);
        let new = || (life.until, value.take().expect("called at most once"));
        let held = table.or_insert_with(hash, key, new)?;
        if let Some(value) = value {
            held.1 = value;
            life.renew(held);
        }
        Ok(())
    }

    /// Removes and returns the value.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn take(&self, ctx: &mut impl Keyed) -> Result<Option<V>> {
        let scope = ctx.scope();
        let Some(ttl) = self.ttl else {
            let (table, hash, key) = scope.table::<V>(self.index);
            return table.remove(hash, key);
        };
        let life = scope.life(ttl);
        let (table, hash, key) = scope.table::<Until<V>>(self.index);
        Ok(table.remove(hash, key)?.and_then(|held| life.taken(held)))
    }

    /// Removes the value.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn clear(&self, ctx: &mut impl Keyed) -> Result<()> {
        self.take(ctx).map(drop)
    }
}
