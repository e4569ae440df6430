//! Rows that are only put, of several sections, held to be found by row: what an
//! [`Overlay`](super::Overlay) is for sections that take rows away as well.
//!
//! Called by [`crate::checkpoint::layers`]. Invariant: of each row the newest put is known, in the
//! order of rows.

use std::cmp::Ordering;
use std::ops::Bound;

use bytes::Bytes;
use riverrun_engine::state::entry::{self, Entry, Op};

use super::overlay::Place;
use super::puts::{BEGINS, Row, beginning};

/// A put by what most comparisons need, without a look at its bytes.
#[derive(Clone, Copy, Debug)]
struct Ordered {
    /// The beginning of its namespace and key.
    begins: u128,
    /// How long the two are.
    len: usize,
    /// Where it begins among the bytes of all.
    at: usize,
}

impl Ordered {
    fn new((namespace, key): Row<'_>, at: usize) -> Ordered {
        Ordered { begins: beginning((namespace, key)), len: namespace.len() + key.len(), at }
    }

    /// The order of two rows; `rows` says them where that needs their bytes.
    #[inline]
    fn by_row<'a>(&self, other: &Ordered, rows: impl FnOnce() -> (Row<'a>, Row<'a>)) -> Ordering {
        self.begins.cmp(&other.begins).then_with(|| {
            if self.len.max(other.len) <= BEGINS {
                // What is equal but for zeros at its end rises with its length.
                return self.len.cmp(&other.len);
            }
            let (own, other) = rows();
            own.cmp(&other)
        })
    }
}

/// Sections on their way to [`HeldPuts`].
#[derive(Debug, Default)]
pub struct HeldPutsBuilder {
    bytes: Vec<u8>,
    /// Each with where it begins in `bytes`.
    order: Vec<Ordered>,
}

impl HeldPutsBuilder {
    /// Adds the entries of `section`, which come over those before. Where one of them takes rows
    /// away nothing is added, and `false` said.
    ///
    /// # Errors
    /// Bytes that are not entries.
    pub fn add(&mut self, section: &[u8]) -> anyhow::Result<bool> {
        let (before, base) = (self.order.len(), self.bytes.len());
        let mut rest = section;
        loop {
            let at = base + section.len() - rest.len();
            let Some(entry) = entry::read(&mut rest)? else { break };
            if entry.op != Op::Put {
                self.order.truncate(before);
                return Ok(false);
            }
            self.order.push(Ordered::new((entry.namespace, entry.key), at));
        }
        self.bytes.extend_from_slice(section);
        Ok(true)
    }

    /// The newest put of each row; `None` where there is none.
    #[must_use]
    pub fn held(self) -> Option<HeldPuts> {
        let HeldPutsBuilder { mut bytes, mut order } = self;
        let row = |ordered: &Ordered| row_of(&put_at(&bytes, ordered.at));
        order.sort_unstable_by(|a, b| a.by_row(b, || (row(a), row(b))).then(b.at.cmp(&a.at)));
        // The first of equal ones stays.
        order.dedup_by(|a, b| a.by_row(b, || (row(a), row(b))) == Ordering::Equal);
        order.shrink_to_fit();
        bytes.shrink_to_fit();
        (!order.is_empty()).then(|| HeldPuts { bytes: bytes.into(), order })
    }
}

/// Puts in memory.
#[derive(Debug)]
pub struct HeldPuts {
    bytes: Bytes,
    order: Vec<Ordered>,
}

impl HeldPuts {
    /// The value that one row is given, if it is.
    #[must_use]
    pub fn put(&self, (namespace, key): &Place) -> Option<Bytes> {
        let row = (&namespace[..], &key[..]);
        let at = self.order.get(self.from(row))?;
        let put = put_at(&self.bytes, at.at);
        (row_of(&put) == row).then(|| self.bytes.slice_ref(put.value))
    }

    /// The rows it puts, rising.
    pub fn puts(&self) -> impl Iterator<Item = Entry<'_>> {
        self.order.iter().map(|at| put_at(&self.bytes, at.at))
    }

    /// Key and value of the lowest row without a namespace that it puts, of those from a key on.
    #[must_use]
    pub fn put_from(&self, key: Bound<Bytes>) -> Option<(Bytes, Bytes)> {
        let above = |at: usize, key: &Bytes| {
            let same = |at: &Ordered| row_of(&put_at(&self.bytes, at.at)) == (&[], &key[..]);
            at + usize::from(self.order.get(at).is_some_and(same))
        };
        let at = match &key {
            Bound::Included(key) => self.from((&[], key)),
            Bound::Excluded(key) => above(self.from((&[], key)), key),
            Bound::Unbounded => 0,
        };
        let put = put_at(&self.bytes, self.order.get(at)?.at);
        let own = |bytes| self.bytes.slice_ref(bytes);
        put.namespace.is_empty().then(|| (own(put.key), own(put.value)))
    }

    /// The position of the first row that is not below one.
    fn from(&self, row: Row<'_>) -> usize {
        let sought = Ordered::new(row, 0);
        let below = |at: &Ordered| {
            let rows = || (row_of(&put_at(&self.bytes, at.at)), row);
            at.by_row(&sought, rows) == Ordering::Less
        };
        self.order.partition_point(below)
    }

    /// How many bytes of memory it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bytes.len() + self.order.len() * size_of::<Ordered>()
    }
}

/// The entry that begins at `at`, where one was read before.
fn put_at(bytes: &[u8], at: usize) -> Entry<'_> {
    let read = entry::read(&mut &bytes[at..]);
    read.ok().flatten().expect("an entry begins here")
}

fn row_of<'a>(put: &Entry<'a>) -> Row<'a> {
    (put.namespace, put.key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Keys that differ early, late, behind what is compared as a number, or only in length.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        let begins = prop::sample::select(vec![0_usize, 2, 15, 16, 19]);
        (begins, prop::collection::vec(0..3_u8, 0..4))
            .prop_map(|(begins, end)| std::iter::repeat_n(0, begins).chain(end).collect())
    }

    fn puts() -> impl Strategy<Value = Vec<(Vec<u8>, u8)>> {
        prop::collection::vec((key(), any::<u8>()), 0..40)
    }

    fn section(puts: &[(Vec<u8>, u8)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in puts {
            let put = Entry { op: Op::Put, namespace: &[], key, value: &[*value] };
            entry::write(&mut bytes, put).expect("short");
        }
        bytes
    }

    proptest! {
        #[test]
        fn the_newest_put_of_each_row_is_held(
            sections in prop::collection::vec(puts(), 0..4),
            others in prop::collection::vec(key(), 8),
        ) {
            let mut builder = HeldPutsBuilder::default();
            for puts in &sections {
                prop_assert!(builder.add(&section(puts)).expect("entries"));
            }
            let model: BTreeMap<_, _> = sections.iter().flatten().cloned().collect();
            let held = builder.held();
            prop_assert_eq!(held.is_none(), model.is_empty());
            let Some(held) = held else { return Ok(()) };
            let rows = held.puts().map(|put| (put.key.to_vec(), put.value[0]));
            prop_assert!(rows.eq(model.clone()));
            for key in model.keys().chain(&others) {
                let place = (Bytes::new(), Bytes::copy_from_slice(key));
                let value = held.put(&place).map(|value| value[0]);
                prop_assert_eq!(value, model.get(key).copied());
                for from in [Bound::Included(key), Bound::Excluded(key)] {
                    let next = held.put_from(from.cloned().map(Bytes::from));
                    let next = next.map(|(key, value)| (key.to_vec(), value[0]));
                    let expected = model.range::<Vec<u8>, _>((from, Bound::Unbounded)).next();
                    prop_assert_eq!(next, expected.map(|(key, value)| (key.clone(), *value)));
                }
            }
        }
    }

    #[test]
    fn a_section_that_takes_rows_away_is_left_out_whole() {
        let mut builder = HeldPutsBuilder::default();
        assert!(builder.add(&section(&[(vec![1], 1)])).expect("entries"));
        let mut removes = section(&[(vec![1], 2), (vec![2], 2)]);
        let delete = Entry { op: Op::Delete, namespace: &[], key: &[1], value: &[] };
        entry::write(&mut removes, delete).expect("short");
        assert!(!builder.add(&removes).expect("entries"));
        assert!(builder.add(&section(&[(vec![3], 3)])).expect("entries"));
        let held = builder.held().expect("two rows");
        let rows: Vec<_> = held.puts().map(|put| (put.key[0], put.value[0])).collect();
        assert_eq!(rows, [(1, 1), (3, 3)]);
    }
}
