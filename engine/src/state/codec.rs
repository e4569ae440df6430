//! The codec of one declared state with its type erased to two functions, and the shape of that
//! type as the manifest keeps it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_reflection::{ContainerFormat, Tracer, TracerConfig};

use crate::data::{Codec, Data};

type Encode<V> = Arc<dyn Fn(&V, &mut Vec<u8>) -> anyhow::Result<()> + Send + Sync>;
type Decode<V> = Arc<dyn Fn(&[u8]) -> anyhow::Result<V> + Send + Sync>;

/// Whose bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// A checkpoint's, perhaps of an older version of the job.
    Stored,
    /// What this attempt has written: the spill's.
    Own,
}

/// Encodes and decodes the values of one state.
pub struct ValueCodec<V> {
    encode: Encode<V>,
    decode: Decode<V>,
    /// For what a checkpoint holds, which may be of a type before.
    stored: Decode<V>,
    migrations: Vec<(TypeShape, Decode<V>)>,
}

impl<V> Clone for ValueCodec<V> {
    fn clone(&self) -> Self {
        ValueCodec {
            encode: self.encode.clone(),
            decode: self.decode.clone(),
            stored: self.stored.clone(),
            migrations: self.migrations.clone(),
        }
    }
}

impl<V> fmt::Debug for ValueCodec<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueCodec").finish_non_exhaustive()
    }
}

impl<V: 'static> ValueCodec<V> {
    /// Of `codec`.
    pub fn new<C: Codec<V> + Sync>(codec: C) -> Self {
        let decoder = codec.clone();
        let decode: Decode<V> = Arc::new(move |bytes| decoder.decode(bytes));
        ValueCodec {
            encode: Arc::new(move |value, out| codec.encode(value, out)),
            stored: decode.clone(),
            decode,
            migrations: Vec::new(),
        }
    }

    /// Also reads values of `Old`, through `f`.
    pub fn migrate<Old: Data, C: Codec<Old> + Sync>(
        &mut self,
        codec: C,
        f: impl Fn(Old) -> V + Send + Sync + 'static,
    ) {
        self.migrations
            .push((TypeShape::of::<Old>(), Arc::new(move |bytes| Ok(f(codec.decode(bytes)?)))));
    }

    /// The shapes of the types that are migrated from.
    pub fn migrates_from(&self) -> impl Iterator<Item = &TypeShape> {
        self.migrations.iter().map(|(shape, _)| shape)
    }

    /// Reads from now on what a checkpoint with this shape holds.
    pub fn read_as(&mut self, stored: &TypeShape) {
        if let Some((_, decode)) = self.migrations.iter().find(|(shape, _)| shape.same(stored)) {
            self.stored = decode.clone();
        }
    }

    /// Appends the bytes of `value`.
    pub(crate) fn encode(&self, value: &V, out: &mut Vec<u8>) -> anyhow::Result<()> {
        (self.encode)(value, out)
    }

    /// Reads one value.
    pub(crate) fn decode(&self, bytes: &[u8], source: Bytes) -> anyhow::Result<V> {
        match source {
            Bytes::Stored => (self.stored)(bytes),
            Bytes::Own => (self.decode)(bytes),
        }
    }
}

/// The shape of a type as serde sees it: what decides whether old state can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeShape {
    /// Rust's name of the type: for people.
    pub name: String,
    /// The outermost format; `None` where the type cannot be traced (it then counts by its name).
    pub root: Option<serde_json::Value>,
    /// The structs and enums in it, by name.
    pub containers: BTreeMap<String, serde_json::Value>,
}

impl TypeShape {
    /// Traces `T` by asking its `Deserialize` what it expects.
    #[must_use]
    pub fn of<T: Data>() -> TypeShape {
        let name = std::any::type_name::<T>().to_owned();
        let mut tracer = Tracer::new(TracerConfig::default());
        let traced = tracer.trace_simple_type::<T>().ok().and_then(|(root, _)| {
            let json = |(name, format)| Some((name, serde_json::to_value(format).ok()?));
            let containers: Option<_> = tracer.registry().ok()?.into_iter().map(json).collect();
            Some((serde_json::to_value(root).ok()?, containers?))
        });
        match traced {
            Some((root, containers)) => TypeShape { name, root: Some(root), containers },
            None => TypeShape { name, root: None, containers: BTreeMap::new() },
        }
    }

    /// Whether both are the same, whatever Rust calls the type.
    #[must_use]
    pub fn same(&self, other: &TypeShape) -> bool {
        match (&self.root, &other.root) {
            (Some(a), Some(b)) => a == b && self.containers == other.containers,
            (None, None) => self.name == other.name,
            _ => false,
        }
    }

    /// Whether `stored` can be read as `self` without loss: the same, or only with added fields and
    /// variants. Whether an added field has a default shows when the first value is decoded.
    #[must_use]
    pub fn reads(&self, stored: &TypeShape) -> bool {
        let (Some(new), Some(old)) = (&self.root, &stored.root) else { return self.same(stored) };
        new == old
            && stored.containers.iter().all(|(name, old)| {
                self.containers.get(name).is_some_and(|new| container_reads(new, old))
            })
    }
}

fn container(json: &serde_json::Value) -> Option<ContainerFormat> {
    serde_json::from_value(json.clone()).ok()
}

fn container_reads(new: &serde_json::Value, old: &serde_json::Value) -> bool {
    match (container(new), container(old)) {
        (Some(ContainerFormat::Struct(new)), Some(ContainerFormat::Struct(old))) => {
            old.iter().all(|field| new.contains(field))
        }
        (Some(ContainerFormat::Enum(new)), Some(ContainerFormat::Enum(old))) => {
            old.values().all(|old| new.values().any(|new| new == old))
        }
        _ => new == old,
    }
}

impl fmt::Display for TypeShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.name.rsplit("::").next().unwrap_or(&self.name);
        if self.name.contains('<') || self.containers.is_empty() {
            f.write_str(&self.name)?;
        } else {
            f.write_str(short)?;
        }
        if let Some(ContainerFormat::Struct(fields)) =
            self.containers.get(short).and_then(container)
        {
            f.write_str(" { ")?;
            for (i, field) in fields.iter().enumerate() {
                let comma = if i == 0 { "" } else { ", " };
                write!(
                    f,
                    "{comma}{}: {}",
                    field.name,
                    format!("{:?}", field.value).to_lowercase()
                )?;
            }
            f.write_str(" }")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    mod v1 {
        #[derive(Clone, serde::Serialize, serde::Deserialize)]
        pub(super) struct Spend {
            pub(super) count: u64,
        }
    }
    mod v2 {
        #[derive(Clone, serde::Serialize, serde::Deserialize)]
        pub(super) struct Spend {
            #[serde(default)]
            pub(super) cents: i64,
            pub(super) count: u64,
        }
    }
    mod v3 {
        #[derive(Clone, serde::Serialize, serde::Deserialize)]
        pub(super) struct Spend {
            pub(super) count: String,
        }
    }

    #[test]
    fn added_fields_are_read_and_changed_ones_are_not() {
        let (v1, v2) = (TypeShape::of::<v1::Spend>(), TypeShape::of::<v2::Spend>());
        let v3 = TypeShape::of::<v3::Spend>();
        assert!(v1.root.is_some(), "structs can be traced");
        assert!(v2.reads(&v1));
        assert!(!v1.reads(&v2), "a removed field would be lost");
        assert!(!v3.reads(&v1));
        assert_eq!(v1.to_string(), "Spend { count: u64 }");
    }
}
