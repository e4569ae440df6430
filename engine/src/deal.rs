//! Dealing keyed records out: each to the subtask that owns its key.
//!
//! Called by the erased batches. Records keep their order. What owns nothing is copied column by
//! column, which needs no look at the room that is left for each record. All else is moved, record
//! by record.

use std::ops::Index;

use crate::data::Data;
use crate::element::{Batch, Origins};
use crate::key::{KeyHash, Owners};
use crate::time::Timestamp;

/// The part of each subtask; some may be empty.
pub(crate) fn deal<T: Data>(batch: Batch<T>, owners: &Owners) -> Vec<Batch<T>> {
    if std::mem::needs_drop::<T>() || is_small(batch.len(), owners) {
        let Batch { items, timestamps, hashes, origins } = batch;
        return moved(items.into_iter(), (timestamps, hashes, origins), owners);
    }
    copied(&batch, owners, |list, out| list.pick(&batch.items, out))
}

/// As [`deal`], of items whose keys still are in a column of their own.
pub(crate) fn deal_keyed<K: Data, T: Data>(
    keys: Vec<K>,
    batch: Batch<T>,
    owners: &Owners,
) -> Vec<Batch<(K, T)>> {
    if std::mem::needs_drop::<(K, T)>() || is_small(batch.len(), owners) {
        let Batch { items, timestamps, hashes, origins } = batch;
        return moved(keys.into_iter().zip(items), (timestamps, hashes, origins), owners);
    }
    copied(&batch, owners, |list, out| match (list.whole(&keys), list.whole(&batch.items)) {
        (Some(keys), Some(items)) => out.extend(list.of(keys).zip(list.of(items))),
        _ => {
            let (keys, items) = (list.last(&keys), list.last(&batch.items));
            out.extend(list.of(keys).zip(list.of(items)));
        }
    })
}

/// Each item with its key.
pub(crate) fn paired<K, T>(keys: Vec<K>, batch: Batch<T>) -> Batch<(K, T)> {
    let Batch { items, timestamps, hashes, origins } = batch;
    Batch { items: keys.into_iter().zip(items).collect(), timestamps, hashes, origins }
}

/// With fewer records a part than this, most parts are hardly worth what setting them up costs.
const SMALL: usize = 8;

fn is_small(records: usize, owners: &Owners) -> bool {
    records < owners.parallelism() * SMALL
}

/// Empty parts with a quarter more room than each needs on average: rarely does one have to grow.
/// None for a small batch, of which many get nothing.
fn parts<T>(records: usize, origins: &Origins, owners: &Owners) -> Vec<Batch<T>> {
    let room = match is_small(records, owners) {
        true => 0,
        false => records / owners.parallelism() * 5 / 4 + 16,
    };
    let part = |_| Batch {
        origins: origins.clone(),
        hashes: Vec::with_capacity(room),
        ..Batch::with_capacity(room)
    };
    (0..owners.parallelism()).map(part).collect()
}

fn moved<T>(
    items: impl ExactSizeIterator<Item = T>,
    (timestamps, hashes, origins): (Vec<Timestamp>, Vec<KeyHash>, Origins),
    owners: &Owners,
) -> Vec<Batch<T>> {
    assert_eq!(items.len(), hashes.len(), "what is dealt out has the hash of every key");
    let mut parts = parts(items.len(), &origins, owners);
    for ((item, timestamp), hash) in items.zip(timestamps).zip(hashes) {
        parts[owners.of(hash)].push_keyed(item, timestamp, hash);
    }
    parts
}

/// So many records are dealt out at a time: a place among these is a byte, and any byte is a place,
/// so that nobody need ask whether it is one.
const STRETCH: usize = 256;

/// The places of the records of one subtask within one stretch.
struct List<'l> {
    stretch: usize,
    places: &'l [u8],
}

impl List<'_> {
    /// The stretch of a column, if it is one of full length.
    fn whole<'c, C>(&self, column: &'c [C]) -> Option<&'c [C; STRETCH]> {
        column.as_chunks().0.get(self.stretch)
    }

    /// The last stretch, which is shorter.
    fn last<'c, C>(&self, column: &'c [C]) -> &'c [C] {
        &column[self.stretch * STRETCH..]
    }

    /// What stands at these places.
    #[inline]
    fn of<C: Clone>(
        &self,
        stretch: &(impl Index<usize, Output = C> + ?Sized),
    ) -> impl Iterator<Item = C> {
        self.places.iter().map(|at| stretch[usize::from(*at)].clone())
    }

    fn pick<C: Clone>(&self, column: &[C], out: &mut Vec<C>) {
        match self.whole(column) {
            Some(stretch) => out.extend(self.of(stretch)),
            None => out.extend(self.of(self.last(column))),
        }
    }
}

fn copied<T, U>(
    batch: &Batch<T>,
    owners: &Owners,
    pick_items: impl Fn(&List<'_>, &mut Vec<U>),
) -> Vec<Batch<U>> {
    assert_eq!(batch.len(), batch.hashes.len(), "what is dealt out has the hash of every key");
    let mut parts = parts(batch.len(), &batch.origins, owners);
    let mut places = vec![[0; STRETCH]; owners.parallelism()];
    let mut lengths = vec![0; owners.parallelism()];
    for (stretch, hashes) in batch.hashes.chunks(STRETCH).enumerate() {
        sort_out(hashes, owners, &mut places, &mut lengths);
        for ((part, places), length) in parts.iter_mut().zip(&places).zip(&lengths) {
            let list = List { stretch, places: &places[..*length] };
            pick_items(&list, &mut part.items);
            list.pick(&batch.timestamps, &mut part.timestamps);
            list.pick(&batch.hashes, &mut part.hashes);
        }
    }
    parts
}

/// The places of the records of each subtask in a stretch, and how many they are.
///
/// Whose a record is cannot be foretold. So of two lists both are written, and one of them is
/// longer for it: a jump taken the wrong way costs more.
fn sort_out(
    hashes: &[KeyHash],
    owners: &Owners,
    places: &mut [[u8; STRETCH]],
    lengths: &mut [usize],
) {
    if let ([first, second], [firsts, seconds]) = (&mut *places, &mut *lengths) {
        let mut second_ones = 0;
        for (at, hash) in hashes.iter().enumerate() {
            first[usize::from((at - second_ones) as u8)] = at as u8;
            second[usize::from(second_ones as u8)] = at as u8;
            second_ones += owners.of(*hash);
        }
        (*firsts, *seconds) = (hashes.len() - second_ones, second_ones);
        return;
    }
    lengths.fill(0);
    for (at, hash) in hashes.iter().enumerate() {
        let to = owners.of(*hash);
        places[to][usize::from(lengths[to] as u8)] = at as u8;
        lengths[to] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KEY_GROUPS, KeyHasher};
    use crate::time::at;
    use proptest::prelude::*;

    fn batch_of<T>(items: Vec<T>, keys: &[u64]) -> Batch<T> {
        let mut hasher = KeyHasher::default();
        let hashes: Vec<KeyHash> =
            keys.iter().map(|key| hasher.hash(key).expect("a key")).collect();
        let timestamps = (0..keys.len() as i64).map(at).collect();
        Batch { items, timestamps, hashes, ..Batch::default() }
    }

    /// Any, and those that end with a stretch.
    fn batch_length() -> impl Strategy<Value = usize> {
        prop_oneof![4 => 0..900_usize, 1 => Just(256), 1 => Just(512), 1 => Just(1024)]
    }

    proptest! {
        #[test]
        fn each_owner_gets_its_records_in_their_order(
            keys in batch_length().prop_flat_map(|n| proptest::collection::vec(0_u64..50, n)),
            parallelism in 1_u32..6,
        ) {
            let owners = Owners::new(parallelism, KEY_GROUPS);
            let numbers = batch_of((0..keys.len() as u64).collect(), &keys);
            let texts = numbers.clone().map_items(|n| n.to_string());
            let own = |to: usize| -> Vec<usize> {
                (0..keys.len()).filter(|at| owners.of(numbers.hashes[*at]) == to).collect()
            };
            let own: Vec<Vec<usize>> = (0..parallelism as usize).map(own).collect();
            let plain = deal(numbers.clone(), &owners);
            let moved = deal(texts.clone(), &owners);
            let plain_keyed = deal_keyed(keys.clone(), numbers.clone(), &owners);
            let moved_keyed = deal_keyed(keys.clone(), texts, &owners);
            for (to, own) in own.iter().enumerate() {
                let at: Vec<_> = own.iter().map(|at| numbers.timestamps[*at]).collect();
                let hashes: Vec<_> = own.iter().map(|at| numbers.hashes[*at]).collect();
                let text = |at: &usize| at.to_string();
                prop_assert!(plain[to].items.iter().copied().eq(own.iter().map(|at| *at as u64)));
                prop_assert!(moved[to].items.iter().cloned().eq(own.iter().map(text)));
                prop_assert!(plain[to].timestamps == at && moved[to].timestamps == at);
                prop_assert!(plain[to].hashes == hashes && moved[to].hashes == hashes);
                let keyed = |at: &usize| (keys[*at], *at as u64);
                prop_assert!(plain_keyed[to].items.iter().copied().eq(own.iter().map(keyed)));
                let keyed = |at: &usize| (keys[*at], at.to_string());
                prop_assert!(moved_keyed[to].items.iter().cloned().eq(own.iter().map(keyed)));
                prop_assert!(plain_keyed[to].timestamps == at && moved_keyed[to].hashes == hashes);
            }
        }
    }
}
