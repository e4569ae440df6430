//! [`PortionLayout`]: one value that may lie in several rows, each what some of its records made.
//!
//! ```text
//! key   = the encoded key                         the value as it was at first, or as joined
//!       | the encoded key, then u32 big-endian    a portion: what was added later
//! value = in the state's codec
//! ```
//!
//! The value of a key is what its rows make when they are merged in the order of their keys. A
//! portion's number is never given twice to one key, and no portion is written twice.

use std::cell::Cell;

use crate::data::Key;
use crate::operator::Result;
use crate::state::codec::{Bytes, TypeShape, ValueCodec};
use crate::state::layout::{Layout, Rows, ValueLayout};
use crate::state::log::RowSink;

/// Takes what a later value has seen into an earlier one.
pub(in crate::state) type Merge<V> = fn(&mut V, V);

/// Rows of values that can be merged.
pub(in crate::state) struct PortionLayout<V> {
    value: ValueLayout<V>,
    merge: Merge<V>,
    highest: Cell<u32>,
}

impl<V: 'static> PortionLayout<V> {
    pub(in crate::state) fn new(namespace: &[u8], codec: ValueCodec<V>, merge: Merge<V>) -> Self {
        PortionLayout { value: ValueLayout::new(namespace, codec), merge, highest: Cell::new(0) }
    }

    /// One more of the same state and namespace.
    pub(in crate::state) fn again<K: Key>(&self) -> Self
    where
        V: Send,
    {
        let namespace = Layout::<K, V>::namespace(&self.value);
        PortionLayout::new(namespace, self.value.codec.clone(), self.merge)
    }

    /// Reads what this attempt has written.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<V> {
        self.value.codec.decode(bytes, Bytes::Own)
    }

    pub(super) fn merge(&self) -> Merge<V> {
        self.merge
    }
}

/// Takes a later portion into what is held.
pub(super) fn join<V>(merge: Merge<V>, held: &mut V, later: V) {
    if crate::planted!("state.portion.replaces") {
        *held = later;
    } else {
        merge(held, later);
    }
}

impl<K: Key, V: Send + 'static> Layout<K, V> for PortionLayout<V> {
    fn write(&mut self, key: &K, value: &mut V, rows: Rows, sink: &mut dyn RowSink) -> Result<()> {
        self.value.write(key, value, rows, sink)
    }

    fn delete(&mut self, key: &K, sink: &mut dyn RowSink) -> Result<()> {
        Layout::<K, V>::delete(&mut self.value, key, sink)
    }

    fn absorb(
        &self,
        held: Option<&mut V>,
        rest: &[u8],
        value: &[u8],
        source: Bytes,
    ) -> Result<Option<V>> {
        if !rest.is_empty() {
            let number = <[u8; 4]>::try_from(rest)
                .map_err(|_| anyhow::anyhow!("the number of a portion has 4 bytes"))?;
            self.highest.set(self.highest.get().max(u32::from_be_bytes(number)));
        }
        let value = self.value.codec.decode(value, source)?;
        match held {
            None => return Ok(Some(value)),
            Some(held) if rest.is_empty() => *held = value,
            Some(held) => join(self.merge, held, value),
        }
        Ok(None)
    }

    fn size(&mut self, value: &V) -> usize {
        Layout::<K, V>::size(&mut self.value, value)
    }

    fn retract(&self, _held: &mut V, _rest: &[u8]) -> Result<bool> {
        anyhow::bail!("a single portion is deleted")
    }

    fn is_portion(&self, rest: &[u8]) -> bool {
        !rest.is_empty()
    }

    fn highest_portion(&self) -> u32 {
        self.highest.get()
    }

    fn read_as(&mut self, stored: &TypeShape) {
        self.value.codec.read_as(stored);
    }

    fn codec_mut(&mut self) -> Option<&mut ValueCodec<V>> {
        Some(&mut self.value.codec)
    }

    fn namespace(&self) -> &[u8] {
        Layout::<K, V>::namespace(&self.value)
    }
}
