//! What flows and what is kept: [`Data`], [`Key`], and the [`Codec`] that turns a value into bytes.
//!
//! Called by every crate. Invariant: a value that was encoded by a codec is decoded by the codec of
//! the same [`Codec::NAME`] to an equal value, in this and in every later version of the engine.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Whatever flows through a stream or is kept in state.
///
/// Implemented for every type that is `Clone + Send + 'static` and serializable both ways.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot flow through a stream",
    label = "not a stream item",
    note = "everything that flows must be `Clone + Send + 'static` and serializable: add \
            `#[derive(Clone, Serialize, Deserialize)]` to `{Self}`"
)]
pub trait Data: Clone + Send + Serialize + DeserializeOwned + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Serialize + DeserializeOwned + 'static> Data for T {}

/// What records are grouped by: [`Data`] with an equality that equal bytes imply.
///
/// Floating-point numbers are no keys: `NaN != NaN`, and `0.0 == -0.0` have different bytes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "not a key",
    note = "a key must be `Clone + Eq + Send + 'static` and serializable: add \
            `#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]`, or key by an id or a \
            string; \
            floating-point numbers have no total equality"
)]
pub trait Key: Data + Eq {}

#[diagnostic::do_not_recommend]
impl<T: Data + Eq> Key for T {}

/// How the values of one state are written into checkpoints.
///
/// The name is kept in the manifest: a state whose codec changed is refused at restore.
pub trait Codec<V>: Clone + Send + 'static {
    /// The name in the manifest. Frozen: another byte format is another name.
    const NAME: &'static str;

    /// Appends the bytes of `value` to `out`.
    ///
    /// # Errors
    /// What the type's own `Serialize` reports.
    fn encode(&self, value: &V, out: &mut Vec<u8>) -> anyhow::Result<()>;

    /// Reads one value from exactly `bytes`.
    ///
    /// # Errors
    /// When the bytes are not such a value, or more than one.
    fn decode(&self, bytes: &[u8]) -> anyhow::Result<V>;
}

/// MessagePack with field names, the codec of all state unless another is chosen: fields may be
/// added with `#[serde(default)]`, reordered, and renamed with an alias.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rmp;

impl<V: Serialize + DeserializeOwned> Codec<V> for Rmp {
    const NAME: &'static str = "rmp-named";

    fn encode(&self, value: &V, out: &mut Vec<u8>) -> anyhow::Result<()> {
        Ok(rmp_serde::encode::write_named(out, value)?)
    }

    fn decode(&self, bytes: &[u8]) -> anyhow::Result<V> {
        let mut reader = bytes;
        let value = rmp_serde::decode::from_read(&mut reader)?;
        anyhow::ensure!(reader.is_empty(), "{} bytes follow the value", reader.len());
        Ok(value)
    }
}

/// Encodes one value with [`Rmp`] into a vector of its own: for splits, offsets and committables.
///
/// # Errors
/// What the type's own `Serialize` reports.
pub fn to_bytes<V: Serialize>(value: &V) -> anyhow::Result<Vec<u8>> {
    Ok(rmp_serde::to_vec_named(value)?)
}

/// Decodes what [`to_bytes`] wrote.
///
/// # Errors
/// When the bytes are not such a value.
pub fn from_bytes<V: DeserializeOwned>(bytes: &[u8]) -> anyhow::Result<V> {
    Ok(rmp_serde::from_slice(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_after_a_value_are_an_error() {
        let mut bytes = Vec::new();
        Rmp.encode(&7_u64, &mut bytes).expect("encodes");
        assert_eq!(Codec::<u64>::decode(&Rmp, &bytes).expect("decodes"), 7);
        bytes.push(0);
        assert!(Codec::<u64>::decode(&Rmp, &bytes).is_err());
    }
}
