//! All chance of a simulation: numbers that follow from a seed and nothing else.

/// A row of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

/// Mixes the bits of `n` (splitmix64).
pub(crate) fn mixed(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

impl Chance {
    pub(crate) fn of(seed: u64) -> Self {
        Chance(mixed(seed ^ 0x5249_5645_5252_554E))
    }

    /// Another row, which what is drawn from this one does not disturb.
    pub(crate) fn branch(&self, name: &str) -> Self {
        Chance(name.bytes().fold(self.0, |sum, byte| mixed(sum ^ u64::from(byte))))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.0)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// A place in a list of `len`, which must not be empty.
    pub(crate) fn place(&mut self, len: usize) -> usize {
        (self.next() % len as u64) as usize
    }

    /// One of these.
    pub(crate) fn of_these<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.place(these.len())]
    }

    /// True `part` times of `of`.
    pub(crate) fn happens(&mut self, part: u64, of: u64) -> bool {
        self.next() % of < part
    }
}
