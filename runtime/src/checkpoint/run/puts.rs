//! Rows that are only put, of several sections, in order: what most sections are.
//!
//! Called wherever sections are sorted, squashed or merged; an [`Overlay`](super::Overlay) does the
//! same for sections that take rows away as well, at several times the cost. [`super::held`] keeps
//! what is looked up in the same order.
//!
//! Sorted are numbers, one for each put: the bits of its row's beginning from the first on in which
//! any two rows differ to the last, then its place. Where those are 64 bits together, half as much
//! is moved. Rows alike in these bits are put in order by themselves.

use std::fmt::Debug;

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

/// A put with its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    /// What it says.
    pub entry: Entry<'a>,
    /// How it lies in its section.
    pub bytes: &'a [u8],
}

impl<'a> Put<'a> {
    /// The one that `bytes` begin with.
    ///
    /// # Panics
    /// When they were not read before, and are no entries.
    #[inline]
    pub fn first_of(bytes: &'a [u8]) -> Put<'a> {
        let mut rest = bytes;
        let entry = entry::read_put_again(&mut rest);
        Put { entry, bytes: &bytes[..bytes.len() - rest.len()] }
    }

    /// Namespace and key.
    pub(super) fn row(&self) -> Row<'a> {
        (self.entry.namespace, self.entry.key)
    }
}

/// Puts on their way into order.
#[derive(Debug)]
pub struct Puts<'a> {
    sections: Vec<&'a [u8]>,
    count: usize,
    /// Of the beginnings of all rows: the bits that any has, and those that all have.
    any: u128,
    all: u128,
}

impl Default for Puts<'_> {
    fn default() -> Self {
        Puts { sections: Vec::new(), count: 0, any: 0, all: u128::MAX }
    }
}

impl<'a> Puts<'a> {
    /// Adds the entries of `section`, which come over those before; whether all of them are puts.
    /// Where they are not, this is not to be used any more.
    ///
    /// # Errors
    /// Bytes that are not entries.
    pub fn add(&mut self, section: &'a [u8]) -> anyhow::Result<bool> {
        let mut rest = section;
        while let Some(entry) = entry::read(&mut rest)? {
            if entry.op != Op::Put {
                return Ok(false);
            }
            let begins = beginning((entry.namespace, entry.key));
            (self.any, self.all) = (self.any | begins, self.all & begins);
            self.count += 1;
        }
        self.sections.push(section);
        Ok(true)
    }

    /// How long all of them are, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.sections.iter().map(|section| section.len()).sum()
    }

    /// The last put of each row, rising by namespace and key.
    #[must_use]
    pub fn rising(self) -> Rising<'a> {
        let shape = self.shape();
        let numbers = match shape.place_bits() + shape.bits {
            ..=64 => Numbers::Short(self.sorted(shape)),
            _ => Numbers::Long(self.sorted(shape)),
        };
        Rising { sections: self.sections, shape, numbers, next: 0 }
    }

    /// Appends the last put of each row, rising; how many.
    pub fn write(self, out: &mut Vec<u8>) -> u64 {
        let puts = self.rising().inspect(|put| out.extend_from_slice(put.bytes));
        puts.count() as u64
    }

    fn shape(&self) -> Shape {
        let bits_of = |most: usize| usize::BITS - most.leading_zeros();
        let longest = self.sections.iter().map(|section| section.len()).max().unwrap_or(0);
        let (section_bits, at_bits) = (bits_of(self.sections.len()), bits_of(longest));
        let differs = self.any & !self.all;
        let lead = differs.leading_zeros();
        let width = u128::BITS - (lead + differs.trailing_zeros()).min(u128::BITS);
        let bits = width.min(u128::BITS - section_bits - at_bits);
        Shape { section_bits, at_bits, lead, bits }
    }

    /// A number for each put, in the order of rows, of equal ones in that of puts.
    fn sorted<N: Number>(&self, shape: Shape) -> Vec<N> {
        let mut numbers = Vec::with_capacity(self.count);
        for (number, section) in self.sections.iter().enumerate() {
            let mut at = 0;
            while at < section.len() {
                let put = Put::first_of(&section[at..]);
                numbers.push(N::of(shape.number(put.row(), (number, at))));
                at += put.bytes.len();
            }
        }
        numbers.sort_unstable();
        let put = |number: N| put_at(&self.sections, shape, number.all());
        for alike in numbers.chunk_by_mut(|a, b| shape.is_alike(a.all(), b.all())) {
            if alike.len() > 1 {
                // Read once: where keys begin alike these are all of them.
                let mut rows: Vec<_> = alike.iter().map(|n| (put(*n).row(), *n)).collect();
                rows.sort_by_key(|(row, _)| *row);
                alike.iter_mut().zip(rows).for_each(|(at, (_, number))| *at = number);
            }
        }
        numbers
    }
}

#[inline]
fn put_at<'a>(sections: &[&'a [u8]], shape: Shape, number: u128) -> Put<'a> {
    let (section, at) = shape.place(number);
    Put::first_of(&sections[section][at..])
}

/// Of what bits a number is made: those of the row's beginning above those of its place.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Which section.
    section_bits: u32,
    /// Where in it.
    at_bits: u32,
    /// How many bits all beginnings share at first.
    lead: u32,
    /// How many are kept behind them.
    bits: u32,
}

impl Shape {
    fn place_bits(self) -> u32 {
        self.section_bits + self.at_bits
    }

    fn number(self, row: Row<'_>, (section, at): (usize, usize)) -> u128 {
        let kept = match self.bits {
            0 => 0,
            bits => (beginning(row) << self.lead) >> (u128::BITS - bits),
        };
        (kept << self.place_bits()) | ((section as u128) << self.at_bits) | at as u128
    }

    fn place(self, number: u128) -> (usize, usize) {
        let low = |bits: u32| (1 << bits) - 1;
        let section = (number >> self.at_bits) & low(self.section_bits);
        (section as usize, (number & low(self.at_bits)) as usize)
    }

    /// Whether two numbers do not tell the order of their rows.
    fn is_alike(self, a: u128, b: u128) -> bool {
        a >> self.place_bits() == b >> self.place_bits()
    }
}

trait Number: Copy + Ord {
    fn of(all: u128) -> Self;
    fn all(self) -> u128;
}

impl Number for u64 {
    fn of(all: u128) -> Self {
        all as u64
    }
    fn all(self) -> u128 {
        self.into()
    }
}

impl Number for u128 {
    fn of(all: u128) -> Self {
        all
    }
    fn all(self) -> u128 {
        self
    }
}

#[derive(Debug)]
enum Numbers {
    Short(Vec<u64>),
    Long(Vec<u128>),
}

impl Numbers {
    fn get(&self, at: usize) -> Option<u128> {
        match self {
            Numbers::Short(numbers) => numbers.get(at).map(|number| number.all()),
            Numbers::Long(numbers) => numbers.get(at).copied(),
        }
    }
}

/// The last put of each row, rising: made by [`Puts::rising`].
#[derive(Debug)]
pub struct Rising<'a> {
    sections: Vec<&'a [u8]>,
    shape: Shape,
    numbers: Numbers,
    next: usize,
}

/// At so many puts is looked at once.
const AHEAD: usize = 16;

impl Rising<'_> {
    /// Whether the next put is of another row.
    #[inline]
    fn is_last_of_row(&self, number: u128) -> bool {
        let next = self.numbers.get(self.next);
        next.is_none_or(|next| !self.shape.is_alike(next, number) || !self.is_same(next, number))
    }

    #[inline(never)]
    fn is_same(&self, a: u128, b: u128) -> bool {
        let row = |number| put_at(&self.sections, self.shape, number).row();
        row(a) == row(b)
    }

    /// Looks at the puts that come next, which lie anywhere: so several are waited for at once.
    fn look_ahead(&self) {
        let ahead = (self.next..self.next + AHEAD).map_while(|at| self.numbers.get(at));
        let seen = ahead.fold(0, |seen, number| {
            let (section, at) = self.shape.place(number);
            seen ^ self.sections[section][at]
        });
        std::hint::black_box(seen);
    }
}

impl<'a> Iterator for Rising<'a> {
    type Item = Put<'a>;

    #[inline]
    fn next(&mut self) -> Option<Put<'a>> {
        loop {
            let number = self.numbers.get(self.next)?;
            if self.next.is_multiple_of(AHEAD) {
                self.look_ahead();
            }
            self.next += 1;
            if self.is_last_of_row(number) {
                return Some(put_at(&self.sections, self.shape, number));
            }
        }
    }
}
