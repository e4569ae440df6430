//! Keys of any traced type, from their frozen bytes to JSON and back.
//!
//! Called by [`super::layout`]. The bytes are those of `riverrun_engine::key`; here they are read
//! and written by [`Shape`] instead of by type:
//!
//! ```text
//! unsigned   big-endian               bool, variant number, tag of an option   one byte
//! signed     the same, top bit flipped            char      its number as u32
//! float      all bits flipped if negative, else the top bit set
//! text, bytes   0 if empty; else 1, then chunks of 8 bytes (the last filled up with zeros), each
//!            followed by 9, the last by the number of its bytes, 1 to 8
//! sequence   1 before each element, 0 at the end
//! struct, tuple   one field after the other
//! ```
//!
//! Invariant: a reader never passes the end of its bytes, whatever they are.

use serde_json::{Map, Value};
use serde_reflection::{Format, Named, VariantFormat};

use super::shape::{DEPTH_MAX, Node, Scalar, Shape};
use super::{Misfit, Undecodable, from_hex, hex};

/// Reads one key of `shape` from the beginning of `rest` and moves past it.
pub(super) fn decode(shape: &Shape, rest: &mut &[u8]) -> Result<Value, Undecodable> {
    let mut reader = Reader { shape, rest, depth: 0 };
    let value = reader.value(shape.root())?;
    let read = rest.len() - reader.rest.len();
    *rest = &rest[read..];
    Ok(value)
}

/// Appends the bytes of `value` as a key of `shape`.
pub(super) fn encode(shape: &Shape, value: &Value, out: &mut Vec<u8>) -> Result<(), Misfit> {
    Writer { shape, out, at: String::new() }.value(shape.root(), value)
}

struct Reader<'a> {
    shape: &'a Shape,
    rest: &'a [u8],
    depth: usize,
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Undecodable> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Undecodable::Cut { what })?;
        self.rest = rest;
        Ok(*taken)
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, Undecodable> {
        Ok(u8::from_be_bytes(self.take(what)?))
    }

    /// A byte that is 0 or 1.
    fn flag(&mut self, what: &'static str) -> Result<bool, Undecodable> {
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(Undecodable::Wrong { what, found: found.into() }),
        }
    }

    fn value(&mut self, format: &'a Format) -> Result<Value, Undecodable> {
        if self.depth == DEPTH_MAX {
            return Err(Undecodable::Deep);
        }
        self.depth += 1;
        let value = match self.shape.node(format) {
            Node::Scalar(scalar) => self.scalar(scalar)?,
            Node::Option(inner) => {
                if self.flag("an option")? {
                    self.value(inner)?
                } else {
                    Value::Null
                }
            }
            Node::Seq(inner) => {
                let mut elements = Vec::new();
                while self.flag("a sequence")? {
                    elements.push(self.value(inner)?);
                }
                Value::Array(elements)
            }
            Node::Tuple(fields) => self.tuple(fields)?,
            Node::Struct(fields) => self.fields(fields)?,
            Node::Enum(variants) => {
                let index = self.byte("a variant's number")?;
                let wrong = Undecodable::Wrong { what: "variant's number", found: index.into() };
                let variant = variants.get(&u32::from(index)).ok_or(wrong)?;
                match self.variant(&variant.value)? {
                    None => Value::String(variant.name.clone()),
                    Some(value) => Value::Object(Map::from_iter([(variant.name.clone(), value)])),
                }
            }
            Node::Map | Node::Unknown => {
                return Err(Undecodable::Type { name: format!("{format:?}") });
            }
        };
        self.depth -= 1;
        Ok(value)
    }

    fn tuple(
        &mut self,
        fields: impl IntoIterator<Item = &'a Format>,
    ) -> Result<Value, Undecodable> {
        fields.into_iter().map(|field| self.value(field)).collect()
    }

    fn fields(&mut self, fields: &'a [Named<Format>]) -> Result<Value, Undecodable> {
        let mut object = Map::new();
        for field in fields {
            object.insert(field.name.clone(), self.value(&field.value)?);
        }
        Ok(Value::Object(object))
    }

    fn variant(&mut self, variant: &'a VariantFormat) -> Result<Option<Value>, Undecodable> {
        Ok(Some(match variant {
            VariantFormat::Unit => return Ok(None),
            VariantFormat::NewType(inner) => self.value(inner)?,
            VariantFormat::Tuple(fields) => self.tuple(fields)?,
            VariantFormat::Struct(fields) => self.fields(fields)?,
            VariantFormat::Variable(_) => {
                return Err(Undecodable::Type { name: "a variant not traced".to_owned() });
            }
        }))
    }

    fn scalar(&mut self, scalar: Scalar) -> Result<Value, Undecodable> {
        let what = scalar.name();
        Ok(match scalar {
            Scalar::Unit => Value::Null,
            Scalar::Bool => Value::Bool(self.flag(what)?),
            Scalar::U8 => Value::from(self.byte(what)?),
            Scalar::U16 => Value::from(u16::from_be_bytes(self.take(what)?)),
            Scalar::U32 => Value::from(u32::from_be_bytes(self.take(what)?)),
            Scalar::U64 => Value::from(u64::from_be_bytes(self.take(what)?)),
            Scalar::U128 => wide(u128::from_be_bytes(self.take(what)?)),
            Scalar::I8 => Value::from(i8::from_be_bytes(self.take(what)?) ^ i8::MIN),
            Scalar::I16 => Value::from(i16::from_be_bytes(self.take(what)?) ^ i16::MIN),
            Scalar::I32 => Value::from(i32::from_be_bytes(self.take(what)?) ^ i32::MIN),
            Scalar::I64 => Value::from(i64::from_be_bytes(self.take(what)?) ^ i64::MIN),
            Scalar::I128 => wide(i128::from_be_bytes(self.take(what)?) ^ i128::MIN),
            Scalar::F32 => {
                let bits = u32::from_be_bytes(self.take(what)?);
                let bits = if bits >> 31 == 1 { bits ^ (1 << 31) } else { !bits };
                float(f32::from_bits(bits).into())
            }
            Scalar::F64 => {
                let bits = u64::from_be_bytes(self.take(what)?);
                float(f64::from_bits(if bits >> 63 == 1 { bits ^ (1 << 63) } else { !bits }))
            }
            Scalar::Char => {
                let number = u32::from_be_bytes(self.take(what)?);
                let wrong = Undecodable::Wrong { what: "character", found: number.into() };
                Value::String(char::from_u32(number).ok_or(wrong)?.into())
            }
            Scalar::Str => {
                let text = String::from_utf8(self.bytes(what)?);
                Value::String(text.map_err(|_| Undecodable::Text)?)
            }
            Scalar::Bytes => Value::String(hex(&self.bytes(what)?)),
        })
    }

    fn bytes(&mut self, what: &'static str) -> Result<Vec<u8>, Undecodable> {
        let mut bytes = Vec::new();
        if !self.flag(what)? {
            return Ok(bytes);
        }
        loop {
            let chunk: [u8; 9] = self.take(what)?;
            match chunk[8] {
                len @ 1..=8 => {
                    bytes.extend_from_slice(&chunk[..len.into()]);
                    return Ok(bytes);
                }
                9 => bytes.extend_from_slice(&chunk[..8]),
                found => {
                    let what = "length of a chunk";
                    return Err(Undecodable::Wrong { what, found: found.into() });
                }
            }
        }
    }
}

/// A number where JSON has it exactly, else its digits.
fn wide<N: Copy + ToString + TryInto<u64> + TryInto<i64>>(number: N) -> Value {
    match (TryInto::<u64>::try_into(number), TryInto::<i64>::try_into(number)) {
        (Ok(number), _) => Value::from(number),
        (_, Ok(number)) => Value::from(number),
        _ => Value::String(number.to_string()),
    }
}

/// A number where JSON has it, else its name.
pub(super) fn float(number: f64) -> Value {
    let text =
        || Value::String(if number.is_nan() { "NaN".to_owned() } else { number.to_string() });
    serde_json::Number::from_f64(number).map_or_else(text, Value::Number)
}

struct Writer<'a, 'b> {
    shape: &'a Shape,
    out: &'b mut Vec<u8>,
    /// Where in the value, for [`Misfit`].
    at: String,
}

impl<'a> Writer<'a, '_> {
    fn misfit(&self, expected: impl Into<String>, found: &Value) -> Misfit {
        Misfit { at: self.at.clone(), expected: expected.into(), found: found.to_string() }
    }

    /// Writes a part of the value, found at `step`.
    fn part(&mut self, step: &str, format: &'a Format, value: &Value) -> Result<(), Misfit> {
        let before = self.at.len();
        self.at.push_str(step);
        self.value(format, value)?;
        self.at.truncate(before);
        Ok(())
    }

    fn value(&mut self, format: &'a Format, value: &Value) -> Result<(), Misfit> {
        match self.shape.node(format) {
            Node::Scalar(scalar) => {
                self.scalar(scalar, value).ok_or_else(|| self.misfit(scalar.name(), value))
            }
            Node::Option(_) if value.is_null() => {
                self.out.push(0);
                Ok(())
            }
            Node::Option(inner) => {
                self.out.push(1);
                self.value(inner, value)
            }
            Node::Seq(inner) => {
                let elements = value.as_array().ok_or_else(|| self.misfit("an array", value))?;
                for (i, element) in elements.iter().enumerate() {
                    self.out.push(1);
                    self.part(&format!("[{i}]"), inner, element)?;
                }
                self.out.push(0);
                Ok(())
            }
            Node::Tuple(fields) => self.tuple(&fields, value),
            Node::Struct(fields) => self.fields(fields, value),
            Node::Enum(variants) => {
                let (name, content) = named(value);
                let known = variants.iter().find(|(_, v)| name.is_some_and(|n| *n == v.name));
                let index =
                    known.and_then(|(index, variant)| Some((u8::try_from(*index).ok()?, variant)));
                let Some((index, variant)) = index else {
                    let names: Vec<_> = variants.values().map(|v| v.name.as_str()).collect();
                    return Err(self.misfit(format!("one of {}", names.join(", ")), value));
                };
                self.out.push(index);
                self.variant(&variant.name, &variant.value, content, value)
            }
            Node::Map | Node::Unknown => Err(self.misfit("a type that keys can hold", value)),
        }
    }

    fn tuple(&mut self, fields: &[&'a Format], value: &Value) -> Result<(), Misfit> {
        let n = fields.len();
        let wrong = || self.misfit(format!("an array of {n} values"), value);
        let values = value.as_array().filter(|values| values.len() == n).ok_or_else(wrong)?;
        for (i, (field, value)) in fields.iter().zip(values).enumerate() {
            self.part(&format!("[{i}]"), field, value)?;
        }
        Ok(())
    }

    fn fields(&mut self, fields: &'a [Named<Format>], value: &Value) -> Result<(), Misfit> {
        let names = || {
            let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
            format!("an object with {}", names.join(", "))
        };
        let object = value.as_object().filter(|object| object.len() == fields.len());
        let object = object.ok_or_else(|| self.misfit(names(), value))?;
        for field in fields {
            let found = object.get(&field.name).ok_or_else(|| self.misfit(names(), value))?;
            self.part(&format!(".{}", field.name), &field.value, found)?;
        }
        Ok(())
    }

    fn variant(
        &mut self,
        name: &str,
        variant: &'a VariantFormat,
        content: Option<&Value>,
        whole: &Value,
    ) -> Result<(), Misfit> {
        let step = format!(".{name}");
        match (variant, content) {
            (VariantFormat::Unit, None) => Ok(()),
            (VariantFormat::NewType(inner), Some(value)) => self.part(&step, inner, value),
            (VariantFormat::Tuple(fields), Some(value)) => {
                self.at.push_str(&step);
                self.tuple(&fields.iter().collect::<Vec<_>>(), value)?;
                self.at.truncate(self.at.len() - step.len());
                Ok(())
            }
            (VariantFormat::Struct(fields), Some(value)) => {
                self.at.push_str(&step);
                self.fields(fields, value)?;
                self.at.truncate(self.at.len() - step.len());
                Ok(())
            }
            (VariantFormat::Unit, Some(_)) => Err(self.misfit(format!("{name:?} alone"), whole)),
            (_, _) => Err(self.misfit(format!("{{{name:?}: ..}}"), whole)),
        }
    }

    fn scalar(&mut self, scalar: Scalar, value: &Value) -> Option<()> {
        let out = &mut *self.out;
        match scalar {
            Scalar::Unit => value.as_null()?,
            Scalar::Bool => out.push(value.as_bool()?.into()),
            Scalar::U8 => out.extend(u8::try_from(value.as_u64()?).ok()?.to_be_bytes()),
            Scalar::U16 => out.extend(u16::try_from(value.as_u64()?).ok()?.to_be_bytes()),
            Scalar::U32 => out.extend(u32::try_from(value.as_u64()?).ok()?.to_be_bytes()),
            Scalar::U64 => out.extend(value.as_u64()?.to_be_bytes()),
            Scalar::U128 => out.extend(digits::<u128>(value)?.to_be_bytes()),
            Scalar::I8 => {
                out.extend((i8::try_from(value.as_i64()?).ok()? ^ i8::MIN).to_be_bytes());
            }
            Scalar::I16 => {
                out.extend((i16::try_from(value.as_i64()?).ok()? ^ i16::MIN).to_be_bytes());
            }
            Scalar::I32 => {
                out.extend((i32::try_from(value.as_i64()?).ok()? ^ i32::MIN).to_be_bytes());
            }
            Scalar::I64 => out.extend((value.as_i64()? ^ i64::MIN).to_be_bytes()),
            Scalar::I128 => out.extend((digits::<i128>(value)? ^ i128::MIN).to_be_bytes()),
            Scalar::F32 => {
                let bits = (plain_zero(number(value)?) as f32).to_bits();
                out.extend((if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }).to_be_bytes());
            }
            Scalar::F64 => {
                let bits = plain_zero(number(value)?).to_bits();
                out.extend((if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }).to_be_bytes());
            }
            Scalar::Char => {
                let mut chars = value.as_str()?.chars();
                let one = chars.next().filter(|_| chars.as_str().is_empty())?;
                out.extend(u32::from(one).to_be_bytes());
            }
            Scalar::Str => put_bytes(value.as_str()?.as_bytes(), out),
            Scalar::Bytes => put_bytes(&bytes_of(value)?, out),
        }
        Some(())
    }
}

/// The variant a value names, and its content.
fn named(value: &Value) -> (Option<&String>, Option<&Value>) {
    match value {
        Value::String(name) => (Some(name), None),
        Value::Object(object) if object.len() == 1 => {
            let one = object.iter().next();
            (one.map(|(name, _)| name), one.map(|(_, content)| content))
        }
        _ => (None, None),
    }
}

fn digits<N: std::str::FromStr>(value: &Value) -> Option<N> {
    match value {
        Value::Number(number) if !number.is_f64() => number.to_string().parse().ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) if matches!(text.as_str(), "NaN" | "inf" | "-inf") => text.parse().ok(),
        value => value.as_f64(),
    }
}

/// Both zeros are one key, and so are all NaNs.
fn plain_zero(number: f64) -> f64 {
    match number {
        n if n.is_nan() => f64::NAN,
        0.0 => 0.0,
        n => n,
    }
}

fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => from_hex(text),
        Value::Array(bytes) => bytes.iter().map(|b| u8::try_from(b.as_u64()?).ok()).collect(),
        _ => None,
    }
}

/// Text or bytes, in chunks of 8.
fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(u8::from(!bytes.is_empty()));
    let mut rest = bytes;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(8));
        out.extend_from_slice(chunk);
        out.extend(std::iter::repeat_n(0, 8 - chunk.len()));
        out.push(if after.is_empty() { chunk.len() as u8 } else { 9 });
        rest = after;
    }
}

/// What the bytes of every text that begins with `text` begin with.
pub(super) fn text_prefix(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    if text.is_empty() {
        return out;
    }
    out.push(1);
    let mut rest = text.as_bytes();
    while rest.len() > 8 {
        let (chunk, after) = rest.split_at(8);
        out.extend_from_slice(chunk);
        out.push(9);
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}
