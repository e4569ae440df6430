//! An event as the 24 bytes of a record: three numbers, little-endian.

use crate::work::Event;

/// Topics have as many partitions; an event lies in that of its key.
pub(crate) const PARTITIONS: u32 = 4;
/// Distinct keys.
pub(crate) const KEYS: u64 = 100_000;

/// A record's value.
pub(crate) type Bytes = [u8; 24];

/// The partition of `key`.
pub(crate) fn partition_of(key: u64) -> i32 {
    (key % u64::from(PARTITIONS)) as i32
}

/// Three numbers as a value.
pub(crate) fn encode(parts: [u64; 3]) -> Bytes {
    let mut bytes = [0; 24];
    for (to, part) in bytes.chunks_exact_mut(8).zip(parts) {
        to.copy_from_slice(&part.to_le_bytes());
    }
    bytes
}

/// The numbers of a value; `None`: another length.
pub(crate) fn decode(bytes: &[u8]) -> Option<[u64; 3]> {
    let whole: &Bytes = bytes.try_into().ok()?;
    let mut parts = [0; 3];
    for (part, from) in parts.iter_mut().zip(whole.chunks_exact(8)) {
        *part = u64::from_le_bytes(from.try_into().ok()?);
    }
    Some(parts)
}

/// An event as numbers.
pub(crate) fn parts(event: &Event) -> [u64; 3] {
    [event.key, event.at as u64, event.price]
}

/// Numbers as an event.
pub(crate) fn event([key, at, price]: [u64; 3]) -> Event {
    Event { key, at: at as i64, price }
}
