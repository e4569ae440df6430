//! Whether a run, or a sorted section of a segment, may hold a key: a bloom filter over the hashes
//! of its row keys, and how an index names it.
//!
//! Built by the writers of both, asked by their readers before a block is read. At least ten bits
//! a row and seven probes: of the keys that are not there fewer than one in a hundred passes. A
//! probe `i` looks at bit `(h + i * d) mod bits`, where `h` is the key's hash and `d` its upper
//! half, made odd; bit `b` is bit `b mod 8` of byte `b / 8`. Frozen with the formats of both.

use std::ops::Range;

use bytes::Bytes;
use riverrun_engine::key::{KeyGroup, KeyHash};
use xxhash_rust::xxh3::xxh3_64;

use crate::checkpoint::StoreError;
use crate::checkpoint::file::StoredFile;
use crate::checkpoint::frame::{Cursor, FormatError};

const BITS_A_ROW: usize = 10;
const PROBES: u64 = 7;
const BYTES_MIN: usize = 8;
/// Bytes of a filter's place in an index.
pub(in crate::checkpoint) const PLACE_BYTES: usize = 32;

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

/// Where a filter lies.
#[derive(Debug)]
pub(in crate::checkpoint) struct FilterPlace {
    /// Of which key group, and which name of the file.
    pub(in crate::checkpoint) at: (KeyGroup, u32),
    /// Its bytes.
    pub(in crate::checkpoint) stored: Range<u64>,
    checksum: u64,
}

/// Appends the place of `filter`, whose bytes begin at `offset`.
pub(in crate::checkpoint) fn put_place(
    out: &mut Vec<u8>,
    (group, name): (KeyGroup, u32),
    offset: u64,
    filter: &[u8],
) {
    out.extend_from_slice(&name.to_le_bytes());
    out.extend_from_slice(&group.0.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    for number in [offset, filter.len() as u64, xxh3_64(filter)] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

impl FilterPlace {
    /// The next place of an index; `None` where it is none.
    pub(in crate::checkpoint) fn take(index: &mut Cursor<'_>) -> Option<FilterPlace> {
        let (name, group, zero) = (index.u32()?, index.u16()?, index.u16()?);
        let (offset, len, checksum) = (index.u64()?, index.u64()?, index.u64()?);
        let stored = offset..offset.checked_add(len)?;
        let right = zero == 0 && len >= BYTES_MIN as u64 && len.is_power_of_two();
        right.then_some(FilterPlace { at: (KeyGroup(group), name), stored, checksum })
    }
}

/// Reads and checks the filters with these places.
pub(in crate::checkpoint) async fn read(
    file: &StoredFile,
    places: &[&FilterPlace],
) -> Result<Vec<Bytes>, StoreError> {
    let ranges: Vec<_> = places.iter().map(|place| place.stored.clone()).collect();
    let filters = file.ranges(&ranges).await?;
    for (place, filter) in places.iter().zip(&filters) {
        if xxh3_64(filter) != place.checksum {
            let part = format!("filter at byte {}", place.stored.start);
            return Err(file.damaged(FormatError::Checksum { part }));
        }
    }
    Ok(filters)
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
