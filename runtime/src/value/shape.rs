//! [`Shape`]: a type as the manifest keeps it, ready to be walked.
//!
//! Called by [`super::key`] for keys and by the export for columns. Invariant: [`Shape::node`] goes
//! through names and newtypes, which have no bytes of their own, so no caller meets one.

use std::collections::BTreeMap;

use riverrun_engine::state::TypeShape;
use serde_reflection::{ContainerFormat, Format, Named, VariantFormat};

/// How deep values may nest, and names lead to names.
pub(super) const DEPTH_MAX: usize = 128;

/// A traced type.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    root: Format,
    containers: BTreeMap<String, ContainerFormat>,
}

/// One value without parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in Rust")]
pub enum Scalar {
    Unit,
    Bool,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    Char,
    Str,
    Bytes,
}

/// One place in a type, with names and newtypes out of the way.
#[derive(Clone, Debug, PartialEq)]
pub enum Node<'a> {
    /// A value without parts.
    Scalar(Scalar),
    /// A value or none.
    Option(&'a Format),
    /// Any number of values.
    Seq(&'a Format),
    /// A fixed number of values.
    Tuple(Vec<&'a Format>),
    /// Named values.
    Struct(&'a [Named<Format>]),
    /// One of several, by number.
    Enum(&'a BTreeMap<u32, Named<VariantFormat>>),
    /// Pairs; keys cannot hold them.
    Map,
    /// What the manifest does not say.
    Unknown,
}

impl Shape {
    /// Of a type in a manifest; `None` where it could not be traced.
    #[must_use]
    pub fn of(stored: &TypeShape) -> Option<Shape> {
        let root = serde_json::from_value(stored.root.clone()?).ok()?;
        let container = |(name, json): (&String, &serde_json::Value)| {
            Some((name.clone(), serde_json::from_value(json.clone()).ok()?))
        };
        let containers: Option<_> = stored.containers.iter().map(container).collect();
        Some(Shape { root, containers: containers? })
    }

    /// The outermost format.
    #[must_use]
    pub fn root(&self) -> &Format {
        &self.root
    }

    /// The same names, another outermost format.
    #[must_use]
    pub fn within(&self, root: &Format) -> Shape {
        Shape { root: root.clone(), containers: self.containers.clone() }
    }

    /// What `format` is.
    #[must_use]
    pub fn node<'a>(&'a self, format: &'a Format) -> Node<'a> {
        let mut format = format;
        for _ in 0..DEPTH_MAX {
            let Format::TypeName(name) = format else { return plain(format) };
            match self.containers.get(name) {
                Some(ContainerFormat::NewTypeStruct(inner)) => format = inner,
                Some(ContainerFormat::UnitStruct) => return Node::Scalar(Scalar::Unit),
                Some(ContainerFormat::TupleStruct(fields)) => {
                    return Node::Tuple(fields.iter().collect());
                }
                Some(ContainerFormat::Struct(fields)) => return Node::Struct(fields),
                Some(ContainerFormat::Enum(variants)) => return Node::Enum(variants),
                None => return Node::Unknown,
            }
        }
        Node::Unknown
    }

    /// What the whole is.
    #[must_use]
    pub fn root_node(&self) -> Node<'_> {
        self.node(&self.root)
    }
}

fn plain(format: &Format) -> Node<'_> {
    Node::Scalar(match format {
        Format::Unit => Scalar::Unit,
        Format::Bool => Scalar::Bool,
        Format::I8 => Scalar::I8,
        Format::I16 => Scalar::I16,
        Format::I32 => Scalar::I32,
        Format::I64 => Scalar::I64,
        Format::I128 => Scalar::I128,
        Format::U8 => Scalar::U8,
        Format::U16 => Scalar::U16,
        Format::U32 => Scalar::U32,
        Format::U64 => Scalar::U64,
        Format::U128 => Scalar::U128,
        Format::F32 => Scalar::F32,
        Format::F64 => Scalar::F64,
        Format::Char => Scalar::Char,
        Format::Str => Scalar::Str,
        Format::Bytes => Scalar::Bytes,
        Format::Option(inner) => return Node::Option(inner),
        Format::Seq(inner) => return Node::Seq(inner),
        Format::Tuple(fields) => return Node::Tuple(fields.iter().collect()),
        Format::TupleArray { content, size } => return Node::Tuple(vec![content; *size]),
        Format::Map { .. } => return Node::Map,
        Format::TypeName(_) | Format::Variable(_) => return Node::Unknown,
    })
}

impl Scalar {
    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scalar::Unit => "null",
            Scalar::Bool => "true or false",
            Scalar::I8 => "a number (i8)",
            Scalar::I16 => "a number (i16)",
            Scalar::I32 => "a number (i32)",
            Scalar::I64 => "a number (i64)",
            Scalar::I128 => "a number (i128)",
            Scalar::U8 => "a number (u8)",
            Scalar::U16 => "a number (u16)",
            Scalar::U32 => "a number (u32)",
            Scalar::U64 => "a number (u64)",
            Scalar::U128 => "a number (u128)",
            Scalar::F32 => "a number (f32)",
            Scalar::F64 => "a number (f64)",
            Scalar::Char => "one character",
            Scalar::Str => "a text",
            Scalar::Bytes => "bytes (0x..)",
        }
    }
}
