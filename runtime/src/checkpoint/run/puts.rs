//! Rows that are only put, of several sections, in order: what most sections are.
//!
//! Called wherever sections are squashed or merged; an [`Overlay`](super::Overlay) does the same
//! for sections that take rows away as well, at several times the cost.

use std::cmp::Ordering;

use riverrun_engine::state::entry::{self, Entry, Op};

/// A put by what most comparisons need, without a look at its bytes.
#[derive(Clone, Copy, Debug)]
struct Ordered {
    /// The beginning of its namespace and key, as a number that orders as they do: the namespaces
    /// of a state are all of one length.
    begins: u128,
    /// How long the two are.
    len: u32,
    /// Its place among all.
    number: u32,
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
            self.order.push(Ordered {
                begins: beginning(&entry),
                len: u32::try_from(entry.namespace.len() + entry.key.len())?,
                number: u32::try_from(self.entries.len())?,
            });
            self.entries.push(entry);
        }
        Ok(true)
    }

    /// The last put of each row, rising by namespace and key.
    pub fn rising(&mut self) -> impl Iterator<Item = Entry<'a>> {
        let Puts { entries, order } = self;
        let entries = &*entries;
        order.sort_unstable_by(|a, b| by_row(entries, a, b).then(a.number.cmp(&b.number)));
        let order = &*order;
        let is_last = move |at: usize| {
            let next = order.get(at + 1);
            next.is_none_or(|next| by_row(entries, &order[at], next) != Ordering::Equal)
        };
        let last = (0..order.len()).filter(move |at| is_last(*at));
        last.map(move |at| entries[order[at].number as usize])
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
    a.begins.cmp(&b.begins).then_with(|| {
        if a.len.max(b.len) as usize <= BEGINS {
            // What is equal but for zeros at its end rises with its length.
            return a.len.cmp(&b.len);
        }
        let place = |number: u32| {
            let entry = &entries[number as usize];
            (entry.namespace, entry.key)
        };
        place(a.number).cmp(&place(b.number))
    })
}

fn beginning(entry: &Entry<'_>) -> u128 {
    let mut bytes = [0; BEGINS];
    let namespace = entry.namespace.len().min(BEGINS);
    bytes[..namespace].copy_from_slice(&entry.namespace[..namespace]);
    let key = entry.key.len().min(BEGINS - namespace);
    bytes[namespace..namespace + key].copy_from_slice(&entry.key[..key]);
    u128::from_be_bytes(bytes)
}
