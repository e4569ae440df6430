//! Keys as people type them: JSON, or plain text where the key is a text or a number.
//!
//! Called by [`super::layout`].

use serde_json::Value;
use serde_reflection::Format;

use super::Misfit;
use super::key::{encode, text_prefix};
use super::shape::{Node, Scalar, Shape};

/// The bytes of the key that `text` says.
pub(super) fn key(shape: &Shape, text: &str) -> Result<Vec<u8>, Misfit> {
    let mut bytes = Vec::new();
    encode(shape, &parse(shape, text), &mut bytes)?;
    Ok(bytes)
}

/// What the bytes of all keys that begin with `text` begin with. A text's prefix is any beginning
/// of it, that of a tuple or struct an array of its first values; any other key is only its own.
pub(super) fn prefix(shape: &Shape, text: &str) -> Result<Vec<u8>, Misfit> {
    let fields: Vec<&Format> = match shape.root_node() {
        Node::Scalar(Scalar::Str) => {
            let value = parse(shape, text);
            return Ok(text_prefix(value.as_str().unwrap_or(text)));
        }
        Node::Tuple(fields) => fields,
        Node::Struct(fields) => fields.iter().map(|field| &field.value).collect(),
        _ => return key(shape, text),
    };
    let Ok(Value::Array(values)) = serde_json::from_str(text) else { return key(shape, text) };
    if values.len() > fields.len() {
        return key(shape, text);
    }
    let mut bytes = Vec::new();
    for (i, (field, value)) in fields.iter().zip(&values).enumerate() {
        let part = encode(&shape.within(field), value, &mut bytes);
        part.map_err(|misfit| Misfit { at: format!("[{i}]{}", misfit.at), ..misfit })?;
    }
    Ok(bytes)
}

/// The value that `text` says. It need not fit the type, [`encode`] says so.
fn parse(shape: &Shape, text: &str) -> Value {
    let plain = || Value::String(text.to_owned());
    let json = serde_json::from_str(text).ok();
    let mut node = shape.root_node();
    let mut optional = false;
    while let Node::Option(inner) = node {
        (node, optional) = (shape.node(inner), true);
    }
    let Node::Scalar(scalar) = node else { return json.unwrap_or_else(plain) };
    match (scalar, json) {
        (_, Some(Value::Null)) if optional => Value::Null,
        (Scalar::Str | Scalar::Char, Some(Value::String(text))) => Value::String(text),
        (Scalar::Str | Scalar::Char, _) => plain(),
        // Of a number beyond 64 bits JSON would keep a float.
        (Scalar::I128 | Scalar::U128, Some(Value::Number(n))) if n.is_f64() => plain(),
        (_, json) => json.unwrap_or_else(plain),
    }
}
