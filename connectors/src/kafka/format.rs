//! Bytes to items and back: [`Decode`] for sources, [`Encode`] for sinks, and the usual formats.
//!
//! Called once a record, on the worker. A format sees values only: keys, headers and timestamps
//! are the source's and the sink's.

use std::marker::PhantomData;

use anyhow::Context as _;
use riverrun_engine::Result;
use riverrun_engine::bad::BadRecord;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads items from the values of records.
pub trait Decode: Clone + Send + Sync + 'static {
    /// What is read.
    type Item;

    /// Reads one value.
    ///
    /// # Errors
    /// When the bytes are not such an item: the record is bad.
    fn decode(&self, value: &[u8]) -> Result<Self::Item>;
}

/// Writes items as the values of records.
pub trait Encode<T>: Clone + Send + Sync + 'static {
    /// Appends the bytes of `item` to `out`.
    ///
    /// # Errors
    /// When the item has no such form: the attempt ends.
    fn encode(&self, item: &T, out: &mut Vec<u8>) -> Result<()>;
}

/// JSON.
#[derive(Debug)]
pub struct Json<T>(PhantomData<fn() -> T>);

/// MessagePack with field names.
#[derive(Debug)]
pub struct Rmp<T>(PhantomData<fn() -> T>);

/// UTF-8 text, as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Text;

/// Bytes, as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bytes;

impl<T> Clone for Json<T> {
    fn clone(&self) -> Self {
        Json::default()
    }
}

impl<T> Default for Json<T> {
    fn default() -> Self {
        Json(PhantomData)
    }
}

impl<T> Clone for Rmp<T> {
    fn clone(&self) -> Self {
        Rmp::default()
    }
}

impl<T> Default for Rmp<T> {
    fn default() -> Self {
        Rmp(PhantomData)
    }
}

impl<T: DeserializeOwned + 'static> Decode for Json<T> {
    type Item = T;

    fn decode(&self, value: &[u8]) -> Result<T> {
        serde_json::from_slice(value).context("not the JSON that is read here")
    }
}

impl<T: Serialize + 'static> Encode<T> for Json<T> {
    fn encode(&self, item: &T, out: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(out, item).context("has no form in JSON")
    }
}

impl<T: DeserializeOwned + 'static> Decode for Rmp<T> {
    type Item = T;

    fn decode(&self, value: &[u8]) -> Result<T> {
        let mut reader = value;
        let item = rmp_serde::decode::from_read(&mut reader);
        let item = item.context("not the MessagePack that is read here")?;
        anyhow::ensure!(reader.is_empty(), "{} bytes follow the value", reader.len());
        Ok(item)
    }
}

impl<T: Serialize + 'static> Encode<T> for Rmp<T> {
    fn encode(&self, item: &T, out: &mut Vec<u8>) -> Result<()> {
        rmp_serde::encode::write_named(out, item).context("has no form in MessagePack")
    }
}

impl Decode for Text {
    type Item = String;

    fn decode(&self, value: &[u8]) -> Result<String> {
        Ok(std::str::from_utf8(value).context("not UTF-8")?.to_owned())
    }
}

impl Encode<String> for Text {
    fn encode(&self, item: &String, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(item.as_bytes());
        Ok(())
    }
}

/// Records that could not be read, as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsRead;

impl Encode<BadRecord> for AsRead {
    fn encode(&self, item: &BadRecord, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(item.bytes());
        Ok(())
    }
}

impl Decode for Bytes {
    type Item = Vec<u8>;

    fn decode(&self, value: &[u8]) -> Result<Vec<u8>> {
        Ok(value.to_vec())
    }
}

impl Encode<Vec<u8>> for Bytes {
    fn encode(&self, item: &Vec<u8>, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(item);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_reads_what_it_writes_and_refuses_the_rest() {
        fn round<T: PartialEq + std::fmt::Debug, F>(format: &F, item: T)
        where
            F: Decode<Item = T> + Encode<T>,
        {
            let mut bytes = Vec::new();
            format.encode(&item, &mut bytes).expect("encodes");
            assert_eq!(format.decode(&bytes).expect("decodes"), item);
        }
        round(&Json::default(), vec![Some(1), None]);
        round(&Rmp::default(), ("a".to_owned(), 7_u8));
        round(&Text, "häß".to_owned());
        round(&Bytes, vec![0, 255]);
        assert!(Json::<u8>::default().decode(b"1 2").is_err());
        assert!(Rmp::<u8>::default().decode(&[1, 2]).is_err());
        assert!(Text.decode(&[0xff]).is_err());
    }
}
