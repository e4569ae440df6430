//! Keys of many types: what is decoded without the type is what serde writes as JSON of it, and
//! what is given as text has the bytes that the engine gives the key.

use proptest::prelude::*;
use riverrun_engine::data::Key;
use riverrun_engine::key::encode as engine_encode;
use riverrun_engine::state::TypeShape;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Shape, Undecodable, hex, key, text};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct User {
    country: String,
    id: u64,
    parent: Option<Box<Part>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part(i16, char);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Name(String);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Nothing;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Plain,
    Of(u8),
    Pair(u8, i64),
    Named { a: Option<bool>, b: Name },
    Another,
}

/// Bytes as serde has them, not as a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Blob(Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = Blob;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, v: &[u8]) -> Result<Blob, E> {
                Ok(Blob(v.to_vec()))
            }
        }
        d.deserialize_byte_buf(Bytes)
    }
}

fn shape<K: Key>() -> Shape {
    Shape::of(&TypeShape::of::<K>()).expect("traced")
}

fn bytes<K: Key>(key: &K) -> Vec<u8> {
    let mut out = Vec::new();
    engine_encode(key, &mut out).expect("a key");
    out
}

/// Both ways, followed by another key.
fn holds<K: Key + std::fmt::Debug>(one: &K, json: Value) -> Result<(), TestCaseError> {
    let (shape, bytes) = (shape::<K>(), bytes(one));
    let followed = [&bytes[..], &[0, 9]].concat();
    let mut rest = &followed[..];
    prop_assert_eq!(key::decode(&shape, &mut rest), Ok(json.clone()));
    prop_assert_eq!(rest, &[0, 9]);
    prop_assert_eq!(text::key(&shape, &json.to_string()), Ok(bytes.clone()));
    prop_assert_eq!(
        text::prefix(&shape, &json.to_string()).map(|p| bytes.starts_with(&p)),
        Ok(true)
    );
    // About 64 cuts: every one of a long key would take its time squared.
    for len in (0..bytes.len()).step_by(1 + bytes.len() / 64) {
        let cut = key::decode(&shape, &mut &bytes[..len]);
        prop_assert!(matches!(cut, Err(Undecodable::Cut { .. })), "cut at {}: {:?}", len, cut);
    }
    Ok(())
}

fn as_serde<K: Key + std::fmt::Debug>(key: &K) -> Result<(), TestCaseError> {
    holds(key, serde_json::to_value(key).expect("JSON"))
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Plain),
        any::<u8>().prop_map(Kind::Of),
        any::<(u8, i64)>().prop_map(|(a, b)| Kind::Pair(a, b)),
        any::<(Option<bool>, String)>().prop_map(|(a, b)| Kind::Named { a, b: Name(b) }),
        Just(Kind::Another),
    ]
}

proptest! {
    #[test]
    fn numbers(a: (u8, u16, u32, u64), b: (i8, i16, i32, i64), c: (bool, char, ())) {
        as_serde(&a)?;
        as_serde(&b)?;
        as_serde(&c)?;
        as_serde(&a.3)?;
        as_serde(&b.3)?;
    }

    #[test]
    fn wide_numbers(a: u128, b: i128, small: u32) {
        let json = |n: &dyn ToString| json!(n.to_string());
        holds(&(a | 1 << 64), json(&(a | 1 << 64)))?;
        holds(&(b | 1 << 64), if i64::try_from(b | 1 << 64).is_ok() {
            json!((b | 1 << 64) as i64)
        } else {
            json(&(b | 1 << 64))
        })?;
        as_serde(&u128::from(small))?;
        as_serde(&(-i128::from(small)))?;
    }

    #[test]
    fn texts_and_sequences(
        a: String, b: Vec<String>, c: Vec<Option<u16>>, d: [i32; 3], e in ".{0,40}",
    ) {
        as_serde(&a)?;
        as_serde(&Name(a))?;
        as_serde(&b)?;
        as_serde(&c)?;
        as_serde(&d)?;
        as_serde(&e)?;
        as_serde(&(e, 7_u8))?;
    }

    #[test]
    fn structs(country: String, id: u64, parent: Option<(i16, char)>) {
        let parent = parent.map(|(a, b)| Box::new(Part(a, b)));
        as_serde(&User { country, id, parent })?;
        as_serde(&Nothing)?;
    }

    #[test]
    fn variants(kind in kind()) {
        as_serde(&kind)?;
    }

    #[test]
    fn blobs(blob: Vec<u8>) {
        holds(&Blob(blob.clone()), json!(hex(&blob)))?;
    }

    #[test]
    fn plain_text_needs_no_quotes(a: String, n: i64, e in "[a-zA-Z0-9 ]{0,20}") {
        prop_assert_eq!(text::key(&shape::<i64>(), &n.to_string()), Ok(bytes(&n)));
        prop_assert_eq!(text::key(&shape::<String>(), &e), Ok(bytes(&e)));
        prop_assert_eq!(text::key(&shape::<Name>(), &n.to_string()), Ok(bytes(&n.to_string())));
        if !a.starts_with('"') {
            prop_assert_eq!(text::key(&shape::<String>(), &a), Ok(bytes(&a)));
        }
    }

    #[test]
    fn a_prefix_finds_just_the_texts_that_begin_with_it(
        text in "[ab]{0,20}", begin in "[ab]{0,20}", len in 0_usize..20,
    ) {
        let shape = shape::<String>();
        for begin in [&begin[..], &text[..len.min(text.len())]] {
            let prefix = text::prefix(&shape, begin).expect("fits");
            let found = bytes(&text).starts_with(&prefix);
            prop_assert_eq!(found, text.starts_with(begin), "{} of {}", begin, text);
        }
    }

    #[test]
    fn wild_bytes_are_never_too_wild(wild: Vec<u8>) {
        drop(key::decode(&shape::<User>(), &mut &wild[..]));
        drop(key::decode(&shape::<Kind>(), &mut &wild[..]));
        drop(key::decode(&shape::<(char, Vec<Blob>, Total)>(), &mut &wild[..]));
    }
}

/// Floats are no keys by themselves, but types around them can be.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Total(f64, f32);

impl PartialEq for Total {
    fn eq(&self, other: &Self) -> bool {
        self.0.total_cmp(&other.0).is_eq() && self.1.total_cmp(&other.1).is_eq()
    }
}
impl Eq for Total {}

#[test]
fn floats() {
    for n in [0.0, -0.0, 1.5, -1.5, f64::MIN, f64::MAX, f64::MIN_POSITIVE] {
        holds(&Total(n, 0.1), json!([if n == 0.0 { 0.0 } else { n }, 0.1_f32])).expect("holds");
    }
    holds(&Total(f64::NAN, f32::INFINITY), json!(["NaN", "inf"])).expect("holds");
    holds(&Total(f64::NEG_INFINITY, f32::NAN), json!(["-inf", "NaN"])).expect("holds");
}

#[test]
fn a_prefix_of_a_tuple_is_its_first_values() {
    let shape = shape::<User>();
    let user = User { country: "de".into(), id: 7, parent: None };
    for (given, found) in [(r#"["de"]"#, true), (r#"["de",7]"#, true), (r#"["d"]"#, false)] {
        let prefix = text::prefix(&shape, given).expect("fits");
        assert_eq!(bytes(&user).starts_with(&prefix), found, "{given}");
    }
    let refused = text::prefix(&shape, r#"["de","x"]"#).expect_err("no number").to_string();
    assert_eq!(refused, r#"at `[1]` expected a number (u64), found "x""#);
}

#[test]
fn what_does_not_fit_is_named_with_its_place() {
    let misfit = |shape: Shape, given: &str| text::key(&shape, given).expect_err(given).to_string();
    assert_eq!(misfit(shape::<u8>(), "256"), "expected a number (u8), found 256");
    assert_eq!(misfit(shape::<u64>(), "-1"), "expected a number (u64), found -1");
    assert_eq!(misfit(shape::<u64>(), "abc"), r#"expected a number (u64), found "abc""#);
    assert_eq!(misfit(shape::<char>(), "ab"), r#"expected one character, found "ab""#);
    assert_eq!(misfit(shape::<(u8, u8)>(), "[1]"), "expected an array of 2 values, found [1]");
    assert_eq!(
        misfit(shape::<Kind>(), "Plan"),
        r#"expected one of Plain, Of, Pair, Named, Another, found "Plan""#
    );
    assert_eq!(
        misfit(shape::<Kind>(), r#"{"Named":{"a":1,"b":"x"}}"#),
        "at `.Named.a` expected true or false, found 1"
    );
    assert_eq!(
        misfit(shape::<User>(), r#"{"country":"de"}"#),
        r#"expected an object with country, id, parent, found {"country":"de"}"#
    );
    assert_eq!(text::key(&shape::<Kind>(), "Plain"), Ok(bytes(&Kind::Plain)));
    assert_eq!(text::key(&shape::<Option<String>>(), "7"), Ok(bytes(&Some("7".to_owned()))));
    assert_eq!(text::key(&shape::<Option<String>>(), "null"), Ok(bytes(&None::<String>)));
    assert_eq!(text::key(&shape::<u128>(), &u128::MAX.to_string()), Ok(bytes(&u128::MAX)));
}
