//! Deterministic chance: splitmix64 (Steele, Lea, Flood 2014; Vigna's public-domain constants).
//!
//! Invariant: the numbers drawn for a seed and a record number never change, in any version: golden
//! outputs of examples and drills stand on them.

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A small deterministic generator, one for each record.
#[derive(Clone, Debug)]
pub struct Chance(u64);

#[inline]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Chance {
    /// The generator of record `number` under `seed`.
    #[inline]
    #[must_use]
    pub fn new(seed: u64, number: u64) -> Self {
        Chance(mix(seed.wrapping_add(GOLDEN)) ^ mix(number.wrapping_mul(GOLDEN).wrapping_add(1)))
    }

    /// The next number, any of 2^64.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number from 0 to `n` - 1; 0 when `n` is 0.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// A number from 0 to just below 1.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with probability `p` (0 to 1).
    #[inline]
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_never_change() {
        let mut chance = Chance(0);
        assert_eq!(chance.next_u64(), 0xE220_A839_7B1D_CDAF, "splitmix64 of seed 0");
        assert_eq!(chance.next_u64(), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn numbers_keep_their_bounds_and_spread() {
        let mut seen = [0_u32; 6];
        for i in 0..6_000 {
            let mut chance = Chance::new(7, i);
            seen[chance.below(6) as usize] += 1;
            assert!((0.0..1.0).contains(&chance.unit()));
        }
        assert!(seen.iter().all(|n| (800..1200).contains(n)), "{seen:?}");
        let mut chance = Chance::new(1, 1);
        assert_eq!(chance.below(0), 0);
        assert!(chance.chance(1.0) && !chance.chance(0.0));
    }
}
