//! What state says that it takes in memory, beside what the allocator says: `memory` is kept by
//! estimates, and here they are held to what is really taken. A binary of its own, since all of it
//! runs on a counting allocator; one test, since two at once would count each other's bytes.
//!
//! The truth: the bytes that were asked for and not given back, and [`OVERHEAD`] for each time. The
//! tolerance: an estimate is between [`LEAST`] and [`MOST`] times the truth. Beyond the first
//! a process would outgrow its `memory`, beyond the second it would waste it.

use std::alloc::System;
use std::sync::Arc;

use riverrun_engine::checkpoint::SnapshotMode;
use riverrun_engine::data::{Data, Key, Rmp};
use riverrun_engine::graph::Uid;
use riverrun_engine::key::{KEY_GROUPS, KeyGroupRange, KeyHash, KeyHasher};
use riverrun_engine::state::{Declare, Keyed, ResidentMemory, Scope, StateStore};
use riverrun_engine::time::Timestamp;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LEAST: f64 = 0.85;
const MOST: f64 = 1.3;
/// Looks at the size of some entries: as many as some seconds of a job take.
const LOOKS: usize = 4096;

/// Bytes that a system's allocator adds to an allocation, on average: its own word, and rounding.
const OVERHEAD: usize = 16;

fn live_bytes() -> usize {
    let stats = COUNTING.stats();
    let allocations = stats.allocations - stats.deallocations;
    stats.bytes_allocated - stats.bytes_deallocated + allocations * OVERHEAD
}

struct At<'a, K> {
    key: K,
    hash: KeyHash,
    state: &'a mut StateStore,
}

impl<K: Key> Keyed for At<'_, K> {
    type Key = K;
    fn scope(&mut self) -> Scope<'_, K> {
        let timestamp = Timestamp::MIN;
        Scope { key: &self.key, hash: self.hash, state: self.state, timestamp }
    }
}

fn at<K: Key>(state: &mut StateStore, key: K) -> At<'_, K> {
    let hash = KeyHasher::default().hash(&key).expect("has a hash");
    At { key, hash, state }
}

fn declare<K: Key>() -> Declare<K> {
    Declare::new(KeyGroupRange::all(KEY_GROUPS), true)
}

/// What the store says it takes, after a checkpoint, as a part of what it takes; with its name.
fn estimate(what: &str, fill: impl FnOnce() -> StateStore) -> (String, f64) {
    let before = live_bytes();
    let mut store = fill();
    drop(store.snapshot(SnapshotMode::Delta).expect("encodes"));
    let memory = Arc::new(ResidentMemory::new(usize::MAX));
    store.limit(memory.clone(), None, (&Uid::new("test"), 0));
    (0..LOOKS).for_each(|_| store.relieve().expect("it fits"));
    let taken = live_bytes() - before;
    let said = memory.taken();
    (format!("{what}: says {said}, takes {taken}"), said as f64 / taken as f64)
}

fn numbers() -> StateStore {
    let mut op = declare::<u64>();
    let value = op.value::<u64>("value");
    let mut store = op.finish().0;
    (0..200_000_u64).for_each(|k| value.set(&mut at(&mut store, k), k).expect("sets"));
    store
}

fn texts(bytes: usize) -> StateStore {
    let mut op = declare::<u64>();
    let value = op.value::<String>("value");
    let mut store = op.finish().0;
    (0..50_000_u64)
        .for_each(|k| value.set(&mut at(&mut store, k), "x".repeat(bytes)).expect("sets"));
    store
}

fn long_keys(bytes: usize) -> StateStore {
    let mut op = declare::<String>();
    let value = op.value_as::<(u64, u64), _>("value", Rmp);
    let mut store = op.finish().0;
    for k in 0..50_000_u64 {
        value.set(&mut at(&mut store, format!("{k:0bytes$}")), (k, k)).expect("sets");
    }
    store
}

fn lists<V: Data>(pushes: u64, value: impl Fn(u64) -> V) -> StateStore {
    let mut op = declare::<u64>();
    let list = op.list::<V>("list");
    let mut store = op.finish().0;
    for n in 0..pushes {
        for k in 0..5_000_u64 {
            list.push(&mut at(&mut store, k), value(n)).expect("pushes");
        }
    }
    store
}

fn maps(pairs: u64) -> StateStore {
    let mut op = declare::<u64>();
    let map = op.map::<String, u64>("map");
    let mut store = op.finish().0;
    for n in 0..pairs {
        for k in 0..5_000_u64 {
            map.insert(&mut at(&mut store, k), format!("item {n:06}"), n).expect("inserts");
        }
    }
    store
}

fn slices() -> StateStore {
    let mut op = declare::<u64>();
    let slices = op.sliced::<(u64, u64)>("slices");
    let mut store = op.finish().0;
    for slice in 0..10 {
        let held = store.get_mut(slices).slice_mut(Timestamp::from_millis(slice * 1000));
        let hash = |k: &u64| KeyHasher::default().hash(k).expect("has a hash");
        let items: Vec<(u64, u64)> = (0..20_000).map(|k| (k, k)).collect();
        let hashes: Vec<KeyHash> = items.iter().map(|(k, _)| hash(k)).collect();
        let both = |held: &mut (u64, u64), k: &u64| *held = (*k, *k);
        held.each_or_insert_with(&hashes, &mut items.iter(), || (0, 0), both).expect("inserts");
    }
    store
}

/// Due within so many milliseconds.
fn timers<K: Key>(within: u64, key: impl Fn(u64) -> K) -> StateStore {
    let mut op = declare::<K>();
    let timers = op.timers();
    let mut store = op.finish().0;
    for n in 0..100_000_u64 {
        let key = key(n);
        let hash = KeyHasher::default().hash(&key).expect("has a hash");
        let due = Timestamp::from_millis((n * 7919 % within) as i64);
        store.get_mut(timers.event).set(due, hash, &key).expect("sets");
    }
    store
}

#[test]
fn what_state_says_it_takes_is_what_it_takes() {
    let estimates = [
        estimate("numbers", numbers),
        estimate("short texts", || texts(5)),
        estimate("texts", || texts(100)),
        estimate("long texts", || texts(4000)),
        estimate("keys that are texts", || long_keys(12)),
        estimate("long keys", || long_keys(300)),
        estimate("short lists", || lists(3, |n| n)),
        estimate("lists", || lists(60, |n| n)),
        estimate("lists of texts", || lists(20, |n| format!("text {n:030}"))),
        estimate("small maps", || maps(2)),
        estimate("maps", || maps(40)),
        estimate("slices", slices),
        estimate("timers", || timers(3_600_000, |n| n)),
        estimate("timers that are due together", || timers(60, |n| n)),
        estimate("timers of texts", || timers(3_600_000, |n| format!("{n:020}"))),
    ];
    let wrong = |(_, ratio): &&(String, f64)| !(LEAST..=MOST).contains(ratio);
    let wrong: Vec<_> = estimates.iter().filter(wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
