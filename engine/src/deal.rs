//! Dealing keyed records out: each to the subtask that owns its key.
//!
//! Called by the erased batches. Records keep their order. What owns nothing is copied column by
//! column, which needs no look at the room that is left for each record, and the part of the
//! nearest subtask stays where it is: what would be written anew for it need not leave the caches.
//! All else is moved, record by record.

use crate::data::Data;
use crate::element::Batch;
use crate::key::{KeyHash, Owners};

/// The part of each subtask; some may be empty.
pub(crate) fn deal<T: Data>(batch: Batch<T>, owners: &Owners) -> Vec<Batch<T>> {
    if std::mem::needs_drop::<T>() { moved(batch, owners) } else { copied(batch, owners) }
}

fn moved<T>(batch: Batch<T>, owners: &Owners) -> Vec<Batch<T>> {
    let Batch { items, timestamps, hashes, origins } = batch;
    // A quarter more than each gets on average: rarely does one have to grow.
    let room = items.len() / owners.parallelism() * 5 / 4 + 16;
    let part = |_| Batch {
        origins: origins.clone(),
        hashes: Vec::with_capacity(room),
        ..Batch::with_capacity(room)
    };
    let mut parts: Vec<Batch<T>> = (0..owners.parallelism()).map(part).collect();
    for ((item, timestamp), hash) in items.into_iter().zip(timestamps).zip(hashes) {
        parts[owners.of(hash)].push_keyed(item, timestamp, hash);
    }
    parts
}

fn copied<T: Clone>(batch: Batch<T>, owners: &Owners) -> Vec<Batch<T>> {
    let Batch { mut items, mut timestamps, mut hashes, origins } = batch;
    let (near, far) = parted(&hashes, owners);
    let mut lists = vec![Vec::new(); owners.parallelism()];
    if owners.parallelism() == 2 {
        lists[1 - owners.nearest()] = far;
    } else {
        far.iter().for_each(|at| lists[owners.of(hashes[*at as usize])].push(*at));
    }
    let picked_of = |list: &Vec<u32>| Batch {
        items: picked(&items, list),
        timestamps: picked(&timestamps, list),
        hashes: picked(&hashes, list),
        origins: origins.clone(),
    };
    let mut parts: Vec<Batch<T>> = lists.iter().map(picked_of).collect();
    keep(&mut items, &near);
    keep(&mut timestamps, &near);
    keep(&mut hashes, &near);
    parts[owners.nearest()] = Batch { items, timestamps, hashes, origins };
    parts
}

/// The places of the records of the nearest subtask, and those of all others.
///
/// Which it is of the two cannot be foretold, so both are written and one of them stays: a jump
/// taken the wrong way costs more.
fn parted(hashes: &[KeyHash], owners: &Owners) -> (Vec<u32>, Vec<u32>) {
    let (mut near, mut far) = (vec![0; hashes.len()], vec![0; hashes.len()]);
    let (mut nears, mut fars) = (0, 0);
    for (at, hash) in hashes.iter().enumerate() {
        let is_near = owners.of(*hash) == owners.nearest();
        near[nears] = at as u32;
        far[fars] = at as u32;
        nears += usize::from(is_near);
        fars += usize::from(!is_near);
    }
    near.truncate(nears);
    far.truncate(fars);
    (near, far)
}

fn picked<C: Clone>(column: &[C], list: &[u32]) -> Vec<C> {
    list.iter().map(|at| column[*at as usize].clone()).collect()
}

/// A column that keeps less than this part of its room gives it back.
const KEPT_PART: usize = 8;

/// Only those at the places of `list`, which rise, stay.
fn keep<C: Clone>(column: &mut Vec<C>, list: &[u32]) {
    if list.len() < column.capacity() / KEPT_PART {
        *column = picked(column, list);
        return;
    }
    for (to, from) in list.iter().enumerate() {
        column[to] = column[*from as usize].clone();
    }
    column.truncate(list.len());
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

    proptest! {
        #[test]
        fn each_owner_gets_its_records_in_their_order(
            keys in proptest::collection::vec(0_u64..50, 0..200),
            (parallelism, from) in (1_u32..6, 0_u32..8),
        ) {
            let owners = Owners::new(parallelism, KEY_GROUPS).seen_from(from);
            let numbers = batch_of((0..keys.len() as u64).collect(), &keys);
            let texts = numbers.clone().map_items(|n| n.to_string());
            let own = |to: usize| -> Vec<usize> {
                (0..keys.len()).filter(|at| owners.of(numbers.hashes[*at]) == to).collect()
            };
            let own: Vec<Vec<usize>> = (0..parallelism as usize).map(own).collect();
            let plain = deal(numbers.clone(), &owners);
            let moved = deal(texts, &owners);
            for (to, own) in own.iter().enumerate() {
                let at: Vec<_> = own.iter().map(|at| numbers.timestamps[*at]).collect();
                let hashes: Vec<_> = own.iter().map(|at| numbers.hashes[*at]).collect();
                let text = |at: &usize| at.to_string();
                prop_assert!(plain[to].items.iter().copied().eq(own.iter().map(|at| *at as u64)));
                prop_assert!(moved[to].items.iter().cloned().eq(own.iter().map(text)));
                prop_assert!(plain[to].timestamps == at && moved[to].timestamps == at);
                prop_assert!(plain[to].hashes == hashes && moved[to].hashes == hashes);
            }
        }
    }
}
