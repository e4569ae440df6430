//! Numbers, texts and lists as Kafka's protocol has them, without tagged fields: big-endian, each
//! text behind its length in 16 bits, each list behind its count in 32. For `wire` alone.

use anyhow::{Context as _, Result, bail};

/// What a broker answered, read from the front.
pub(crate) struct Answer {
    bytes: Vec<u8>,
    at: usize,
}

impl Answer {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Answer { bytes, at: 0 }
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&[u8]> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else { bail!("the broker's answer is cut off") };
        let read = &self.bytes[self.at..end];
        self.at = end;
        Ok(read)
    }

    pub(crate) fn int16(&mut self) -> Result<i16> {
        let read = self.bytes(2)?;
        Ok(i16::from_be_bytes([read[0], read[1]]))
    }

    pub(crate) fn int32(&mut self) -> Result<i32> {
        let read = self.bytes(4)?;
        Ok(i32::from_be_bytes([read[0], read[1], read[2], read[3]]))
    }

    pub(crate) fn int64(&mut self) -> Result<i64> {
        let high = i64::from(self.int32()?) << 32;
        Ok(high | i64::from(self.int32()?.cast_unsigned()))
    }

    /// A text that may be missing.
    pub(crate) fn text(&mut self) -> Result<Option<String>> {
        let Ok(length) = usize::try_from(self.int16()?) else { return Ok(None) };
        Ok(Some(String::from_utf8_lossy(self.bytes(length)?).into_owned()))
    }

    pub(crate) fn string(&mut self) -> Result<String> {
        self.text()?.context("the broker's answer lacks a name")
    }

    /// How many elements follow; a missing list has none.
    pub(crate) fn count(&mut self) -> Result<usize> {
        Ok(usize::try_from(self.int32()?).unwrap_or(0))
    }

    /// Steps over a list of numbers.
    pub(crate) fn numbers(&mut self) -> Result<()> {
        let count = self.count()?;
        self.bytes(4 * count).map(drop)
    }
}

pub(crate) fn int16(to: &mut Vec<u8>, value: i16) {
    to.extend(value.to_be_bytes());
}

pub(crate) fn int32(to: &mut Vec<u8>, value: i32) {
    to.extend(value.to_be_bytes());
}

/// A text; what is longer than Kafka's longest, 32767 bytes, is cut there and refused by name.
pub(crate) fn string(to: &mut Vec<u8>, value: &str) {
    let length = i16::try_from(value.len()).unwrap_or(i16::MAX);
    int16(to, length);
    to.extend(value.bytes().take(usize::from(length.cast_unsigned())));
}

pub(crate) fn array<T>(to: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    int32(to, i32::try_from(items.len()).unwrap_or(i32::MAX));
    for item in items {
        write(to, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut bytes = Vec::new();
        int16(&mut bytes, -2);
        int32(&mut bytes, 70_000);
        bytes.extend((-3_i64 << 33).to_be_bytes());
        string(&mut bytes, "orders");
        int16(&mut bytes, -1);
        array(&mut bytes, &[1, 2, 3], |to, item| int32(to, *item));
        let mut answer = Answer::new(bytes);
        assert_eq!(answer.int16().unwrap(), -2);
        assert_eq!(answer.int32().unwrap(), 70_000);
        assert_eq!(answer.int64().unwrap(), -3 << 33);
        assert_eq!(answer.string().unwrap(), "orders");
        assert_eq!(answer.text().unwrap(), None);
        answer.numbers().unwrap();
        assert!(answer.int16().is_err());
    }

    #[test]
    fn an_answer_that_is_cut_off_is_an_error() {
        let mut bytes = Vec::new();
        string(&mut bytes, "orders");
        for length in 0..bytes.len() {
            let mut answer = Answer::new(bytes[..length].to_vec());
            assert!(answer.string().is_err(), "{length}");
        }
        let mut endless = Answer::new(i32::MAX.to_be_bytes().to_vec());
        assert!(endless.numbers().is_err());
    }
}
