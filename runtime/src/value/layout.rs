//! [`Layout`]: what the parts of a state's rows mean, by the state's kind. Nothing else here or in
//! the command line looks into them.
//!
//! ```text
//! kind     namespace            row key                            row value
//! value    empty                key                                value
//! sliced   start of the slice   key                                value, or its beginning
//!          start of the slice   key, u32 of the portion            a portion of the value
//! timers   moment               key                                empty
//! list     empty                key, u32 of the chunk's first      the chunk's elements
//!          empty                key, u48 generation, u48 run       elements that were added
//! map      empty                key, map key                       value
//! ```
//!
//! A slice's start and a timer's moment are big-endian with the top bit flipped. Portions are what
//! came to a value that had left memory: merged in their order, as only the job can, they are it.
//! What was added to a list lies behind its chunks, in the order of the numbers; the top bit of the
//! generation is set and is no part of it.

use riverrun_engine::state::{StateKind, StateSpec};
use riverrun_engine::time::Timestamp;
use serde_json::Value;

use super::shape::Shape;
use super::{Misfit, Undecodable, from_hex, hex, key, rmp, text};

/// How the rows of one state are read.
#[derive(Clone, Debug)]
pub struct Layout {
    kind: StateKind,
    codec: String,
    key: Option<Shape>,
    key_name: String,
    map_key: Option<Shape>,
    value: Option<Shape>,
}

/// A row in words.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownRow {
    /// The key.
    pub key: Value,
    /// Its namespace, where there is one.
    pub place: Option<Place>,
    /// Where in the key's collection, for collections in several rows.
    pub within: Option<Within>,
    /// The value.
    pub value: Value,
    /// Why a part is shown as hex.
    pub note: Option<String>,
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The start of a slice of event time.
    WindowStart(Timestamp),
    /// The moment of a timer.
    At(Timestamp),
    /// Neither, as hex.
    Bytes(String),
}

/// A part of a collection.
#[derive(Clone, Debug, PartialEq)]
pub enum Within {
    /// The key in a map.
    MapKey(Value),
    /// The number of the first element in a list's chunk.
    Chunk(u32),
    /// The numbers of elements that were added to a list: generation, run.
    Added(u64, u64),
    /// The number of a portion of a value.
    Portion(u32),
    /// Neither, as hex.
    Bytes(String),
}

impl Layout {
    /// Of a state in a manifest.
    #[must_use]
    pub fn of(spec: &StateSpec) -> Layout {
        Layout {
            kind: spec.kind,
            codec: spec.codec.clone(),
            key: Shape::of(&spec.key),
            key_name: spec.key.to_string(),
            map_key: spec.map_key.as_ref().and_then(Shape::of),
            value: Shape::of(&spec.value),
        }
    }

    /// What is kept for each key.
    #[must_use]
    pub fn kind(&self) -> StateKind {
        self.kind
    }

    /// The type of keys, if it could be traced.
    #[must_use]
    pub fn key(&self) -> Option<&Shape> {
        self.key.as_ref()
    }

    /// The type of a row's value, if it could be traced and its codec can be read. Rows of a list
    /// hold several.
    #[must_use]
    pub fn value(&self) -> Option<&Shape> {
        let one = self.codec == rmp::CODEC && self.kind != StateKind::List;
        self.value.as_ref().filter(|_| one)
    }

    /// Whether the codec of values can be read.
    #[must_use]
    pub fn reads_values(&self) -> bool {
        self.codec == rmp::CODEC
    }

    /// The bytes of the key that `text` says: JSON, or plain text for texts and numbers. A key of a
    /// type that could not be traced is given as hex.
    ///
    /// # Errors
    /// When it does not fit the type.
    pub fn key_bytes(&self, text: &str) -> Result<Vec<u8>, Misfit> {
        match &self.key {
            Some(shape) => text::key(shape, text),
            None => self.untraced(text),
        }
    }

    /// What the bytes of all keys that begin with `text` begin with: of a text any beginning, of a
    /// tuple or struct an array of its first values, else the key itself.
    ///
    /// # Errors
    /// When it does not fit the type.
    pub fn prefix_bytes(&self, text: &str) -> Result<Vec<u8>, Misfit> {
        match &self.key {
            Some(shape) => text::prefix(shape, text),
            None => self.untraced(text),
        }
    }

    fn untraced(&self, text: &str) -> Result<Vec<u8>, Misfit> {
        from_hex(text).ok_or_else(|| Misfit {
            at: String::new(),
            expected: format!("0x.., the encoded key ({} is not described)", self.key_name),
            found: text.to_owned(),
        })
    }

    /// How many bytes of a row's key are the key itself. The rest is its place in a collection.
    #[must_use]
    pub fn key_len(&self, row_key: &[u8]) -> usize {
        match (self.kind, &self.key) {
            (StateKind::List | StateKind::Map | StateKind::Sliced, Some(shape)) => {
                let mut rest = row_key;
                let decoded = key::decode(shape, &mut rest);
                decoded.map_or(row_key.len(), |_| row_key.len() - rest.len())
            }
            _ => row_key.len(),
        }
    }

    /// The row in words.
    #[must_use]
    pub fn show(&self, namespace: &[u8], row_key: &[u8], value: &[u8]) -> ShownRow {
        let mut note = None;
        let (key, rest) = self.split_key(row_key, &mut note);
        let within = self.within(rest, &mut note);
        let place = self.place(namespace);
        let value = self.show_value(value, &mut note);
        ShownRow { key, place, within, value, note }
    }

    /// The key alone, and why it is shown as hex.
    #[must_use]
    pub fn show_key(&self, row_key: &[u8]) -> (Value, Option<String>) {
        let mut note = None;
        let (key, _) = self.split_key(row_key, &mut note);
        (key, note)
    }

    fn split_key<'a>(&self, row_key: &'a [u8], note: &mut Option<String>) -> (Value, &'a [u8]) {
        let mut rest = row_key;
        let decoded = match &self.key {
            Some(shape) => key::decode(shape, &mut rest),
            None => Err(Undecodable::Type { name: self.key_name.clone() }),
        };
        let whole = matches!(self.kind, StateKind::Value | StateKind::Timers);
        let decoded = decoded.and_then(|key| match rest.len() {
            bytes @ 1.. if whole => Err(Undecodable::Longer { bytes }),
            _ => Ok(key),
        });
        match decoded {
            Ok(key) => (key, rest),
            Err(why) => (hexed("key", row_key, &why, note), &[]),
        }
    }

    fn within(&self, rest: &[u8], note: &mut Option<String>) -> Option<Within> {
        if rest.is_empty() {
            return None;
        }
        let decoded = match (self.kind, &self.map_key) {
            (StateKind::List, _) => match (rest.try_into(), <[u8; 12]>::try_from(rest)) {
                (Ok(first), _) => Ok(Within::Chunk(u32::from_be_bytes(first))),
                (_, Ok(added)) => Ok(within_added(&added)),
                _ => Err(Undecodable::Cut { what: "a chunk's number" }),
            },
            (StateKind::Sliced, _) => match rest.try_into() {
                Ok(number) => Ok(Within::Portion(u32::from_be_bytes(number))),
                Err(_) => Err(Undecodable::Cut { what: "a portion's number" }),
            },
            (_, Some(shape)) => exact(shape, rest).map(Within::MapKey),
            (_, None) => Err(Undecodable::Type { name: "map key".to_owned() }),
        };
        Some(decoded.unwrap_or_else(|why| {
            hexed("map key", rest, &why, note);
            Within::Bytes(hex(rest))
        }))
    }

    fn place(&self, namespace: &[u8]) -> Option<Place> {
        if namespace.is_empty() {
            return None;
        }
        let number = <[u8; 8]>::try_from(namespace).map(i64::from_be_bytes);
        Some(match (self.kind, number) {
            (StateKind::Sliced, Ok(n)) => Place::WindowStart(Timestamp::from_millis(n ^ i64::MIN)),
            (StateKind::Timers, Ok(n)) => Place::At(Timestamp::from_millis(n ^ i64::MIN)),
            _ => Place::Bytes(hex(namespace)),
        })
    }

    fn show_value(&self, value: &[u8], note: &mut Option<String>) -> Value {
        if self.kind == StateKind::Timers && value.is_empty() {
            return Value::Null;
        }
        if !self.reads_values() {
            note.get_or_insert_with(|| format!("the value is in codec '{}'", self.codec));
            return Value::String(hex(value));
        }
        rmp::decode(value).unwrap_or_else(|why| hexed("value", value, &why, note))
    }
}

fn within_added(number: &[u8; 12]) -> Within {
    let (generation, run) = number.split_at(6);
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    Within::Added(number(generation) & !(1 << 47), number(run))
}

fn exact(shape: &Shape, bytes: &[u8]) -> Result<Value, Undecodable> {
    let mut rest = bytes;
    let value = key::decode(shape, &mut rest)?;
    match rest.len() {
        0 => Ok(value),
        bytes => Err(Undecodable::Longer { bytes }),
    }
}

fn hexed(what: &str, bytes: &[u8], why: &Undecodable, note: &mut Option<String>) -> Value {
    note.get_or_insert_with(|| format!("the {what} cannot be decoded: {why}"));
    Value::String(hex(bytes))
}

#[cfg(test)]
mod tests {
    use riverrun_engine::data::{Data, Key, to_bytes};
    use riverrun_engine::key::encode;
    use riverrun_engine::state::TypeShape;
    use serde_json::json;

    use super::*;

    fn spec<K: Key, V: Data>(kind: StateKind) -> StateSpec {
        StateSpec {
            name: "s".into(),
            kind,
            codec: "rmp-named".into(),
            key: TypeShape::of::<K>(),
            map_key: None,
            value: TypeShape::of::<V>(),
            ttl: None,
            migrates_from: Vec::new(),
        }
    }

    fn encoded(key: &impl Key) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(key, &mut bytes).expect("a key");
        bytes
    }

    #[test]
    fn namespaces_are_moments() {
        for ms in [i64::MIN, -1, 0, 7, i64::MAX] {
            let moment = Timestamp::from_millis(ms);
            let layout = Layout::of(&spec::<u8, u8>(StateKind::Sliced));
            let namespace = ((ms ^ i64::MIN) as u64).to_be_bytes();
            let row = layout.show(&namespace, &[7], &[3]);
            assert_eq!(row.place, Some(Place::WindowStart(moment)));
            assert_eq!((row.key, row.value, row.note), (json!(7), json!(3), None));
            let layout = Layout::of(&spec::<u8, ()>(StateKind::Timers));
            let row = layout.show(&namespace, &[7], &[]);
            assert_eq!(
                (row.place, row.value, row.note),
                (Some(Place::At(moment)), json!(null), None)
            );
        }
        let layout = Layout::of(&spec::<u8, u8>(StateKind::Value));
        assert_eq!(layout.show(&[], &[7], &[3]).place, None);
        assert_eq!(layout.show(&[1], &[7], &[3]).place, Some(Place::Bytes("0x01".into())));
    }

    #[test]
    fn collections_lie_in_many_rows() {
        let key = "a long name".to_owned();
        let list = Layout::of(&spec::<String, u64>(StateKind::List));
        let row_key = [encoded(&key), 512_u32.to_be_bytes().to_vec()].concat();
        let chunk = list.show(&[], &row_key, &to_bytes(&[3_u64]).expect("bytes"));
        assert_eq!((chunk.key, chunk.within), (json!(key), Some(Within::Chunk(512))));
        assert_eq!((chunk.value, chunk.note), (json!([3]), None));
        assert_eq!(list.key_len(&row_key), encoded(&key).len());
        let number = [0x80, 0, 0, 0, 1, 7, 0, 0, 0, 0, 2, 3];
        let added = [encoded(&key), number.to_vec()].concat();
        let added = list.show(&[], &added, &to_bytes(&[3_u64]).expect("bytes"));
        assert_eq!((added.key, added.within), (json!(key), Some(Within::Added(263, 515))));
        let cut = list.show(&[], &row_key[..row_key.len() - 1], &[3]);
        assert!(cut.note.expect("a note").contains("chunk"));
        let sliced = Layout::of(&spec::<String, u64>(StateKind::Sliced));
        let portion = sliced.show(&[0; 8], &row_key, &to_bytes(&3_u64).expect("bytes"));
        assert_eq!((portion.key, portion.within), (json!(key), Some(Within::Portion(512))));
        assert_eq!((portion.value, portion.note), (json!(3), None));
        assert_eq!(sliced.key_len(&row_key), encoded(&key).len());
        assert_eq!(sliced.show(&[0; 8], &encoded(&key), &[3]).within, None);
        let cut = sliced.show(&[0; 8], &row_key[..row_key.len() - 1], &[3]);
        assert!(cut.note.expect("a note").contains("portion"));

        let map_key = Some(TypeShape::of::<(u8, bool)>());
        let map = StateSpec { map_key, ..spec::<String, i64>(StateKind::Map) };
        let map = Layout::of(&map);
        let row_key = [encoded(&key), encoded(&(1_u8, true))].concat();
        let pair = map.show(&[], &row_key, &to_bytes(&-5_i64).expect("bytes"));
        assert_eq!(pair.within, Some(Within::MapKey(json!([1, true]))));
        assert_eq!((pair.value, pair.note), (json!(-5), None));
        assert_eq!(map.key_len(&row_key), encoded(&key).len());
    }

    #[test]
    fn what_cannot_be_decoded_is_hex_with_a_note() {
        let mut other = spec::<u8, u8>(StateKind::Value);
        other.codec = "mine".into();
        let row = Layout::of(&other).show(&[], &[7], &[3, 4]);
        assert_eq!((row.key, row.value), (json!(7), json!("0x0304")));
        assert_eq!(row.note.as_deref(), Some("the value is in codec 'mine'"));

        let layout = Layout::of(&spec::<u8, u8>(StateKind::Value));
        let row = layout.show(&[], &[7, 8], &[3]);
        assert_eq!((row.key, row.value), (json!("0x0708"), json!(3)));
        assert!(row.note.expect("a note").contains("1 bytes follow"));
        assert_eq!(layout.show(&[], &[7], &[3, 4]).value, json!("0x0304"));

        let mut untraced = spec::<u8, u8>(StateKind::Value);
        untraced.key =
            TypeShape { name: "x::K".into(), root: None, containers: Default::default() };
        let layout = Layout::of(&untraced);
        assert_eq!(layout.show(&[], &[7], &[3]).key, json!("0x07"));
        assert_eq!(layout.key_bytes("0x07"), Ok(vec![7]));
        let refused = layout.key_bytes("7").expect_err("no hex").to_string();
        assert_eq!(refused, "expected 0x.., the encoded key (x::K is not described), found 7");
    }
}
