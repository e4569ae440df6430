//! Whether a run may hold a key: a bloom filter over the hashes of its row keys.
//!
//! Built by [`super::writer`], asked by [`super::reader`] before a block is read. At least ten bits
//! a row and seven probes: of the keys that are not there fewer than one in a hundred passes. A
//! probe `i` looks at bit `(h + i * d) mod bits`, where `h` is the key's hash and `d` its upper
//! half, made odd; bit `b` is bit `b mod 8` of byte `b / 8`. Frozen with the format of runs.

use riverrun_engine::key::KeyHash;

const BITS_A_ROW: usize = 10;
const PROBES: u64 = 7;
const BYTES_MIN: usize = 8;

fn probes(hash: KeyHash, bytes: usize) -> impl Iterator<Item = (usize, u8)> {
    let (start, step) = (hash.0, (hash.0 >> 32) | 1);
    (0..PROBES).map(move |i| {
        let bit = start.wrapping_add(i.wrapping_mul(step)) as usize & (bytes * 8 - 1);
        (bit / 8, 1 << (bit % 8))
    })
}

/// The filter of rows whose keys have these hashes.
#[must_use]
pub fn build(hashes: &[KeyHash]) -> Vec<u8> {
    let bytes = (hashes.len() * BITS_A_ROW).div_ceil(8).next_power_of_two().max(BYTES_MIN);
    let mut filter = vec![0; bytes];
    for hash in hashes {
        probes(*hash, bytes).for_each(|(byte, bit)| filter[byte] |= bit);
    }
    filter
}

/// Whether `filter` has a length that a filter can have.
pub(super) fn is_filter_len(len: u64) -> bool {
    len >= BYTES_MIN as u64 && len.is_power_of_two()
}

/// Whether a key with this hash may be there; `false` is certain.
#[must_use]
pub fn may_hold(filter: &[u8], hash: KeyHash) -> bool {
    probes(hash, filter.len()).all(|(byte, bit)| filter[byte] & bit != 0)
}

#[cfg(test)]
mod tests {
    use riverrun_engine::key::hash_bytes;

    use super::*;

    fn hash(key: u32) -> KeyHash {
        hash_bytes(&key.to_be_bytes())
    }

    #[test]
    fn what_is_there_passes_and_almost_nothing_else() {
        for rows in [0, 1, 5, 1000, 20_000] {
            let filter = build(&(0..rows).map(hash).collect::<Vec<_>>());
            assert!((0..rows).all(|key| may_hold(&filter, hash(key))));
            let others = 1_000_000..1_020_000;
            let passed = others.filter(|key| may_hold(&filter, hash(*key))).count();
            assert!(passed < 300, "{passed} of 20000 passed beside {rows} rows");
        }
    }
}
