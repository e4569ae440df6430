//! Batches of raw records: key, value, headers, timestamp and place as ranges over shared bytes.
//!
//! Filled by [`crate::fetch`], or by a sink for [`crate::send`]. A batch is cleared and filled
//! again, so that a record costs no allocation. Invariant: every range lies within `bytes`.

use std::ops::Range;

/// A header's name and value; a value may be absent, and names may repeat.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// Records, in order. Those of one partition when fetched; to any partition when sent.
#[derive(Clone, Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    headers: Vec<HeaderEntry>,
    /// For [`Records::group`].
    order: Vec<u64>,
    grouped: Vec<Entry>,
}

/// The value follows the key.
#[derive(Clone, Copy, Debug)]
struct Entry {
    place: Place,
    start: usize,
    /// [`ABSENT`] is none.
    key_len: usize,
    /// [`ABSENT`] is none.
    value_len: usize,
    headers: (usize, usize),
}

/// No bytes are that many.
const ABSENT: usize = usize::MAX;

#[derive(Clone, Debug)]
struct HeaderEntry {
    name: Range<usize>,
    value: Option<Range<usize>>,
}

/// Where a record stands, or is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of a fetched record.
    pub offset: i64,
    /// Milliseconds since 1970. `None`: the record has none; when sent, the time of sending.
    pub timestamp: Option<i64>,
    /// Where a record to be sent goes; `None`: by its key.
    pub partition: Option<i32>,
}

/// One record of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    records: &'a Records,
    entry: &'a Entry,
}

impl<'a> Record<'a> {
    /// Where it stands, or is to go.
    #[must_use]
    pub fn place(&self) -> Place {
        self.entry.place
    }

    /// Its key; absent and empty are two things.
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        let Entry { start, key_len, .. } = *self.entry;
        (key_len != ABSENT).then(|| &self.records.bytes[start..start + key_len])
    }

    /// Its value; absent (a tombstone) and empty are two things.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        let Entry { start, key_len, value_len, .. } = *self.entry;
        let start = if key_len == ABSENT { start } else { start + key_len };
        (value_len != ABSENT).then(|| &self.records.bytes[start..start + value_len])
    }

    /// Its headers, in order.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = Header<'a>> + use<'a> {
        let (records, (first, end)) = (self.records, self.entry.headers);
        records.headers[first..end].iter().map(move |header| {
            let name = std::str::from_utf8(&records.bytes[header.name.clone()]);
            let value = header.value.clone().map(|range| &records.bytes[range]);
            (name.expect("was text when it was added"), value)
        })
    }
}

impl Records {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Records::default()
    }

    /// Adds a record.
    pub fn push<'h>(
        &mut self,
        place: Place,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = Header<'h>>,
    ) {
        let first = self.headers.len();
        for (name, value) in headers {
            let name = self.keep(name.as_bytes());
            let value = value.map(|bytes| self.keep(bytes));
            self.headers.push(HeaderEntry { name, value });
        }
        let headers = (first, self.headers.len());
        let start = self.bytes.len();
        let mut keep = |bytes: Option<&[u8]>| {
            self.bytes.extend_from_slice(bytes.unwrap_or_default());
            bytes.map_or(ABSENT, <[u8]>::len)
        };
        let (key_len, value_len) = (keep(key), keep(value));
        self.entries.push(Entry { place, start, key_len, value_len, headers });
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// The record `i`.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<Record<'_>> {
        self.entries.get(i).map(|entry| Record { records: self, entry })
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.entries.iter().map(|entry| Record { records: self, entry })
    }

    /// Orders the records from the `first` on by the partition they go to; those of one partition
    /// keep their order. So they are sent in few calls. Where one of them goes by its key, all stay
    /// where they are: it may go to the partition of another.
    pub fn group(&mut self, first: usize) {
        let Some(rest) = self.entries.get(first..) else { return };
        // Numbers are sorted in place of records: the partition, then where the record stands.
        let number = |(at, entry): (usize, &Entry)| {
            let (partition, at) = (entry.place.partition?, u32::try_from(at).ok()?);
            Some(u64::from(u32::try_from(partition).ok()?) << 32 | u64::from(at))
        };
        self.order.clear();
        for numbered in rest.iter().enumerate().map(number) {
            let Some(numbered) = numbered else { return };
            self.order.push(numbered);
        }
        if self.order.is_sorted() {
            return;
        }
        self.order.sort_unstable();
        let place = |numbered: &u64| rest[(numbered & u64::from(u32::MAX)) as usize];
        self.grouped.clear();
        self.grouped.extend(self.order.iter().map(place));
        self.entries[first..].copy_from_slice(&self.grouped);
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes of keys, values and headers.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Removes all records, keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.headers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_empty_and_repeated_stay_what_they_are() {
        let place = Place { offset: 7, timestamp: Some(0), partition: None };
        let mut records = Records::new();
        records.push(
            place,
            None,
            Some(b""),
            [("a", None), ("a", Some(&b"1"[..])), ("", Some(b""))],
        );
        records.push(Place { offset: 9, ..place }, Some(b""), None, []);
        let first = records.get(0).expect("there");
        assert_eq!((first.key(), first.value(), first.place()), (None, Some(&b""[..]), place));
        let headers: Vec<_> = first.headers().collect();
        assert_eq!(headers, [("a", None), ("a", Some(&b"1"[..])), ("", Some(&b""[..]))]);
        let second = records.get(1).expect("there");
        assert_eq!((second.key(), second.value()), (Some(&b""[..]), None));
        assert_eq!(second.headers().len(), 0);
        records.clear();
        assert!(records.is_empty() && records.size_bytes() == 0);
    }

    #[test]
    fn grouped_records_keep_their_order_within_a_partition() {
        let to = |partition| Place { offset: 0, timestamp: None, partition };
        let mut records = Records::new();
        for (i, partition) in [2, 1, 2, 0, 1, 2].into_iter().enumerate() {
            records.push(to(Some(partition)), None, Some(&[i as u8]), []);
        }
        let order = |records: &Records| -> Vec<u8> {
            records.iter().map(|record| record.value().expect("has one")[0]).collect()
        };
        records.group(1);
        assert_eq!(order(&records), [0, 3, 1, 4, 2, 5], "the first was sent");
        records.push(to(None), Some(b"key"), Some(&[6]), []);
        records.push(to(Some(0)), None, Some(&[7]), []);
        records.group(0);
        assert_eq!(order(&records), [0, 3, 1, 4, 2, 5, 6, 7], "one goes by its key");
    }
}
