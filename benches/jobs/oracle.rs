//! The same work by hand: one thread, one loop, hash maps. What a careful programmer would write
//! who needs no restart, no late records and no second core.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::work::{Tally, Work, event};

/// Does `work` over `events` events with `keys` keys.
pub(crate) fn run(work: Work, events: u64, keys: u64) -> Tally {
    match work {
        Work::Filter => filter(events, keys),
        Work::Tumbling => windows(events, keys, 1),
        Work::Sliding => windows(events, keys, 6),
        Work::Running => running(events, keys),
    }
}

fn filter(events: u64, keys: u64) -> Tally {
    let mut tally = Tally::default();
    for event in (0..events).map(|i| event(i, keys)).filter(|event| event.key % 123 == 0) {
        tally.add([event.price, 0, 0]);
    }
    tally
}

fn running(events: u64, keys: u64) -> Tally {
    let (mut tally, mut sums) = (Tally::default(), HashMap::<u64, u64>::new());
    for event in (0..events).map(|i| event(i, keys)) {
        let sum = sums.entry(event.key).or_default();
        *sum = sum.wrapping_add(event.price);
        if *sum & 0x3ff == 0 {
            tally.add([event.key, *sum, 0]);
        }
    }
    tally
}

const SLICE_MS: i64 = 10_000;

/// Counts per key in windows of `slices` slices that begin at every slice. Time rises with `i`, so
/// a slice is over when the next begins.
fn windows(events: u64, keys: u64, slices: i64) -> Tally {
    let (mut tally, mut open) = (Tally::default(), BTreeMap::<i64, HashMap<u64, u64>>::new());
    let mut fire = |open: &mut BTreeMap<i64, HashMap<u64, u64>>, end: i64| {
        let start = end - slices * SLICE_MS;
        let mut all: HashMap<u64, u64> = HashMap::new();
        let counts = open.range(start..end).flat_map(|(_, counts)| counts);
        if slices == 1 {
            counts.for_each(|(key, count)| tally.add([*key, start as u64, *count]));
        } else {
            counts.for_each(|(key, count)| *all.entry(*key).or_default() += count);
            all.iter().for_each(|(key, count)| tally.add([*key, start as u64, *count]));
        }
        *open = open.split_off(&(start + SLICE_MS));
    };
    let mut now = 0;
    let mut counts = HashMap::new();
    for event in (0..events).map(|i| event(i, keys)) {
        if event.at >= now + SLICE_MS {
            open.insert(now, std::mem::take(&mut counts));
            now += SLICE_MS;
            fire(&mut open, now);
        }
        *counts.entry(event.key).or_default() += 1;
    }
    open.insert(now, counts);
    for further in 1..=slices {
        fire(&mut open, now + further * SLICE_MS);
    }
    tally
}
