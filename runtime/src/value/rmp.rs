//! Values in the codec `rmp-named` (MessagePack with field names) as JSON.
//!
//! Called by [`super::layout`]. The bytes say themselves what they are, so no [`super::Shape`] is
//! needed: structs and maps are objects, tuples and sequences arrays, variants as `serde_json` has
//! them, bytes hex. A map key that is no text is shown as its JSON.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::key::float;
use super::{Undecodable, hex};

/// The codec whose values can be read.
pub(super) const CODEC: &str = "rmp-named";

/// The value in exactly `bytes`.
pub(super) fn decode(bytes: &[u8]) -> Result<Value, Undecodable> {
    let mut reader = bytes;
    let Json(value) = rmp_serde::decode::from_read(&mut reader)
        .map_err(|error| Undecodable::MessagePack { reason: error.to_string() })?;
    match reader.len() {
        0 => Ok(value),
        bytes => Err(Undecodable::Longer { bytes }),
    }
}

struct Json(Value);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any).map(Json)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(float(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_bytes<E>(self, v: &[u8]) -> Result<Value, E> {
        Ok(Value::String(hex(v)))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(Json(element)) = seq.next_element()? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((Json(key), Json(value))) = map.next_entry()? {
            let name = match key {
                Value::String(text) => text,
                other => other.to_string(),
            };
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use riverrun_engine::data::to_bytes;
    use serde::Serialize;
    use serde_json::json;

    use super::*;

    #[derive(Serialize)]
    enum Kind {
        Plain,
        Of(u8),
        Pair(u8, i64),
        Named { a: Option<bool> },
    }

    #[derive(Serialize)]
    struct Whole {
        large: u64,
        small: i64,
        text: String,
        none: Option<u8>,
        by_number: BTreeMap<i32, f64>,
        kinds: Vec<Kind>,
        unit: (),
    }

    #[test]
    fn what_serde_writes_as_json_is_shown_as_that_json() {
        let kinds = vec![
            Kind::Plain,
            Kind::Of(7),
            Kind::Pair(1, i64::MIN),
            Kind::Named { a: Some(true) },
            Kind::Named { a: None },
        ];
        let whole = Whole {
            large: u64::MAX,
            small: i64::MIN,
            text: "é\"\n".to_owned(),
            none: None,
            by_number: [(-1, 0.5), (7, -0.0)].into(),
            kinds,
            unit: (),
        };
        let expected = serde_json::to_value(&whole).expect("JSON");
        assert_eq!(decode(&to_bytes(&whole).expect("bytes")), Ok(expected));
    }

    #[test]
    fn what_json_has_not_is_text() {
        let floats = (f64::NAN, f32::INFINITY, f64::NEG_INFINITY);
        let shown = decode(&to_bytes(&floats).expect("bytes"));
        assert_eq!(shown, Ok(json!(["NaN", "inf", "-inf"])));
        assert_eq!(decode(&[0xc4, 2, 1, 0xff]), Ok(json!("0x01ff")), "binary");
        assert_eq!(decode(&[0xd4, 5, 9]), Ok(json!([5, "0x09"])), "an extension");
    }

    #[test]
    fn no_bytes_are_too_wild() {
        assert!(matches!(decode(&[]), Err(Undecodable::MessagePack { .. })));
        assert_eq!(decode(&[1, 2]), Err(Undecodable::Longer { bytes: 1 }));
        assert!(decode(&[0x91; 100_000]).is_err(), "nested without end");
        assert!(decode(&[0xdd, 0xff, 0xff, 0xff, 0xff]).is_err(), "a length beyond the bytes");
    }
}
