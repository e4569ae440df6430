//! Rows that are only put, of several sections, in order: what most sections are.
//!
//! Called wherever sections are squashed or merged; an [`Overlay`](super::Overlay) does the same
//! for sections that take rows away as well, at several times the cost. [`super::held`] keeps what
//! is looked up in the same order.
//!
//! Sorted are numbers, one for each put: the bits of its row's beginning from the first on in which
//! any two rows differ, and its place. Those alike in these bits are put in order by the rows
//! themselves.

use riverrun_engine::state::entry::{self, Entry, Op};

/// Namespace and key.
pub(super) type Row<'a> = (&'a [u8], &'a [u8]);

/// How many bytes of namespace and key are compared as one number.
pub(super) const BEGINS: usize = size_of::<u128>();

/// The beginning of a row, as a number that orders as rows do: the namespaces of a state are all of
/// one length.
pub(super) fn beginning((namespace, key): Row<'_>) -> u128 {
    let mut bytes = [0; BEGINS];
    let split = namespace.len().min(BEGINS);
    bytes[..split].copy_from_slice(&namespace[..split]);
    let len = key.len().min(BEGINS - split);
    bytes[split..split + len].copy_from_slice(&key[..len]);
    u128::from_be_bytes(bytes)
}

/// The bits of a number that say a put's place.
const PLACE: u128 = u32::MAX as u128;

/// Puts on their way into order.
#[derive(Debug, Default)]
pub struct Puts<'a> {
    /// The bytes of each.
    puts: Vec<&'a [u8]>,
    beginnings: Vec<u128>,
}

impl<'a> Puts<'a> {
    /// Adds the entries of `section`, which come over those before; whether all of them are puts.
    ///
    /// # Errors
    /// Bytes that are not entries; 4,294,967,296 puts.
    pub fn add(&mut self, section: &'a [u8]) -> anyhow::Result<bool> {
        let mut rest = section;
        loop {
            let from = rest;
            let Some(entry) = entry::read(&mut rest)? else { break };
            if entry.op != Op::Put {
                return Ok(false);
            }
            self.beginnings.push(beginning((entry.namespace, entry.key)));
            self.puts.push(&from[..from.len() - rest.len()]);
        }
        anyhow::ensure!(u32::try_from(self.puts.len()).is_ok(), "too many puts to be sorted");
        Ok(true)
    }

    /// The last put of each row, rising by namespace and key.
    pub fn rising(self) -> impl Iterator<Item = Entry<'a>> {
        self.last_of_rows().map(put_of)
    }

    /// Appends the last put of each row, rising; how many.
    pub fn write(self, out: &mut Vec<u8>) -> u64 {
        let mut entries = 0;
        for put in self.last_of_rows() {
            out.extend_from_slice(put);
            entries += 1;
        }
        entries
    }

    /// The bytes of the last put of each row, rising.
    fn last_of_rows(self) -> impl Iterator<Item = &'a [u8]> {
        let numbers = self.sorted();
        let puts = self.puts;
        let put = move |number: u128| puts[(number & PLACE) as usize];
        let mut numbers = numbers.into_iter().peekable();
        std::iter::from_fn(move || {
            loop {
                let (number, next) = (numbers.next()?, numbers.peek());
                let alike = next.filter(|next| **next | PLACE == number | PLACE);
                if alike.is_none_or(|next| row_of(put(*next)) != row_of(put(number))) {
                    return Some(put(number));
                }
            }
        })
    }

    /// A number for each put, in the order of rows, of equal ones in that of puts.
    fn sorted(&self) -> Vec<u128> {
        let (any, all) = self
            .beginnings
            .iter()
            .fold((0, u128::MAX), |(any, all), begins| (any | begins, all & begins));
        let alike = (any ^ all).leading_zeros().min(u128::BITS - 1);
        let number = |(place, begins)| (begins << alike) & !PLACE | place;
        let mut numbers: Vec<u128> = (0..).zip(&self.beginnings).map(number).collect();
        numbers.sort_unstable();
        let row = |number: &u128| row_of(self.puts[(number & PLACE) as usize]);
        for alike in numbers.chunk_by_mut(|a, b| a | PLACE == b | PLACE) {
            if alike.len() > 1 {
                // Read once: where keys begin alike these are all of them.
                let mut rows: Vec<_> = alike.iter().map(|number| (row(number), *number)).collect();
                rows.sort_by_key(|(row, _)| *row);
                alike.iter_mut().zip(rows).for_each(|(at, (_, number))| *at = number);
            }
        }
        numbers
    }
}

fn put_of(bytes: &[u8]) -> Entry<'_> {
    entry::read(&mut &*bytes).ok().flatten().expect("it was read before")
}

fn row_of(put: &[u8]) -> Row<'_> {
    let put = put_of(put);
    (put.namespace, put.key)
}
