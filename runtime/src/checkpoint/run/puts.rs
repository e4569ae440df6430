//! Rows that are only put, of several sections, in order: what most sections are.
//!
//! Called wherever sections are squashed or merged; an [`Overlay`](super::Overlay) does the same
//! for sections that take rows away as well, at several times the cost. [`super::held`] keeps what
//! is looked up in the same order.

use std::cmp::Ordering;

use riverrun_engine::state::entry::{self, Entry, Op};

/// A put by what most comparisons need, without a look at its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ordered {
    /// The beginning of its namespace and key, as a number that orders as they do: the namespaces
    /// of a state are all of one length.
    begins: u128,
    /// How long the two are.
    len: usize,
    /// Its place: among all puts, or among the bytes of all.
    pub(super) at: usize,
}

/// Namespace and key.
pub(super) type Row<'a> = (&'a [u8], &'a [u8]);

impl Ordered {
    pub(super) fn new((namespace, key): Row<'_>, at: usize) -> Ordered {
        Ordered { begins: beginning(namespace, key), len: namespace.len() + key.len(), at }
    }

    /// The order of two rows; `rows` says them where that needs their bytes.
    #[inline]
    pub(super) fn by_row<'a>(
        &self,
        other: &Ordered,
        rows: impl FnOnce() -> (Row<'a>, Row<'a>),
    ) -> Ordering {
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

/// How many bytes of namespace and key are compared as one number.
const BEGINS: usize = size_of::<u128>();

/// Puts on their way into order.
#[derive(Debug, Default)]
pub struct Puts<'a> {
    entries: Vec<Entry<'a>>,
    order: Vec<Ordered>,
}

impl<'a> Puts<'a> {
    /// Adds the entries of `section`, which come over those before; whether all of them are puts.
    ///
    /// # Errors
    /// Bytes that are not entries.
    pub fn add(&mut self, section: &'a [u8]) -> anyhow::Result<bool> {
        let mut rest = section;
        while let Some(entry) = entry::read(&mut rest)? {
            if entry.op != Op::Put {
                return Ok(false);
            }
            let row = (entry.namespace, entry.key);
            self.order.push(Ordered::new(row, self.entries.len()));
            self.entries.push(entry);
        }
        Ok(true)
    }

    /// The last put of each row, rising by namespace and key.
    pub fn rising(&mut self) -> impl Iterator<Item = Entry<'a>> {
        let Puts { entries, order } = self;
        let entries = &*entries;
        order.sort_unstable_by(|a, b| by_row(entries, a, b).then(a.at.cmp(&b.at)));
        let order = &*order;
        let is_last = move |at: usize| {
            let next = order.get(at + 1);
            next.is_none_or(|next| by_row(entries, &order[at], next) != Ordering::Equal)
        };
        let last = (0..order.len()).filter(move |at| is_last(*at));
        last.map(move |at| entries[order[at].at])
    }

    /// Appends the last put of each row, rising; how many.
    ///
    /// # Errors
    /// A part that is longer than 4 GiB.
    pub fn write(&mut self, out: &mut Vec<u8>) -> anyhow::Result<u64> {
        let mut entries = 0;
        for put in self.rising() {
            entry::write(out, put)?;
            entries += 1;
        }
        Ok(entries)
    }
}

#[inline]
fn by_row(entries: &[Entry<'_>], a: &Ordered, b: &Ordered) -> Ordering {
    let row = |ordered: &Ordered| {
        let entry = &entries[ordered.at];
        (entry.namespace, entry.key)
    };
    a.by_row(b, || (row(a), row(b)))
}

fn beginning(namespace: &[u8], key: &[u8]) -> u128 {
    let mut bytes = [0; BEGINS];
    let split = namespace.len().min(BEGINS);
    bytes[..split].copy_from_slice(&namespace[..split]);
    let len = key.len().min(BEGINS - split);
    bytes[split..split + len].copy_from_slice(&key[..len]);
    u128::from_be_bytes(bytes)
}
