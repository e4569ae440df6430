//! The handles a user function holds: [`ValueState`] here, [`super::ListState`] and
//! [`super::MapState`] in files of their own. A handle is a slot; the key comes from the context it
//! is used with, the value lies decoded in its table, so a reference costs nothing.

use std::fmt;
use std::marker::PhantomData;

use super::store::{Slot, StateStore};
use super::table::Table;
use crate::data::{Data, Key};
use crate::key::KeyHash;
use crate::operator::Result;

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
}

impl<'a, K: Key> Scope<'a, K> {
    pub(super) fn table<V: Send + 'static>(
        self,
        index: usize,
    ) -> (&'a mut Table<K, V>, KeyHash, &'a K) {
        (self.state.get_mut(Slot::at(index)), self.hash, self.key)
    }
}

macro_rules! handle {
    ($name:ident < $($p:ident),+ >) => {
        impl<$($p),+> $name<$($p),+> {
            pub(crate) fn new(index: usize, name: &'static str) -> Self {
                $name { index, name, value: PhantomData }
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
    value: PhantomData<fn() -> V>,
}

handle!(ValueState<V>);

impl<V: Data> ValueState<V> {
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The value, if there is one.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn get<'c>(&self, ctx: &'c mut impl Keyed) -> Result<Option<&'c V>> {
        let (table, hash, key) = ctx.scope().table::<V>(self.index);
        table.get(hash, key)
    }

    /// The value, if there is one, to be changed in place.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn get_mut<'c>(&self, ctx: &'c mut impl Keyed) -> Result<Option<&'c mut V>> {
        let (table, hash, key) = ctx.scope().table::<V>(self.index);
        table.get_mut(hash, key)
    }

    /// The value to be changed in place, the default where there is none.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn or_default<'c>(&self, ctx: &'c mut impl Keyed) -> Result<&'c mut V>
    where
        V: Default,
    {
        let (table, hash, key) = ctx.scope().table::<V>(self.index);
        table.or_insert_with(hash, key, V::default)
    }

    /// Sets the value.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn set(&self, ctx: &mut impl Keyed, value: V) -> Result<()> {
        let (table, hash, key) = ctx.scope().table::<V>(self.index);
        table.insert(hash, key, value)?;
        Ok(())
    }

    /// Removes and returns the value.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn take(&self, ctx: &mut impl Keyed) -> Result<Option<V>> {
        let (table, hash, key) = ctx.scope().table::<V>(self.index);
        table.remove(hash, key)
    }

    /// Removes the value.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn clear(&self, ctx: &mut impl Keyed) -> Result<()> {
        self.take(ctx).map(drop)
    }
}
