//! What do the parts cost, a record? Key hash, table update, window update and firing, snapshot.
//! `cargo xtask bench kernels`.
#![allow(missing_docs, reason = "criterion makes functions of its own")]
#![allow(clippy::disallowed_methods, reason = "a bench measures")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use riverrun_engine::checkpoint::SnapshotMode;
use riverrun_engine::data::Rmp;
use riverrun_engine::element::{BATCH_RECORDS, Batch};
use riverrun_engine::key::{KEY_GROUPS, KeyGroupRange, KeyHash, KeyHasher, Owners};
use riverrun_engine::state::{Declare, Slot, StateStore, Table};
use riverrun_engine::time::at;

const KEYS: u64 = 100_000;

/// A million records in no order, of so many keys.
fn records(keys: u64) -> Vec<(u64, KeyHash)> {
    let mut hasher = KeyHasher::default();
    let key = |i: u64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) % keys;
    (0..1_000_000).map(|i| (key(i), hasher.hash(&key(i)).expect("integers are keys"))).collect()
}

fn store() -> (StateStore, Slot<Table<u64, u64>>) {
    let mut declare = Declare::<u64>::new(KeyGroupRange::all(KEY_GROUPS), true);
    let slot = declare.table::<u64, _>("sum", Rmp);
    (declare.finish().0, slot)
}

fn hash(c: &mut Criterion) {
    let mut group = c.benchmark_group("key");
    group.throughput(Throughput::Elements(1));
    let (mut hasher, mut i) = (KeyHasher::default(), 0_u64);
    group.bench_function("hash_u64", |b| {
        b.iter(|| {
            i += 1;
            hasher.hash(black_box(&i)).expect("integers are keys")
        });
    });
    group.finish();
}

fn table(c: &mut Criterion) {
    let mut group = c.benchmark_group("state");
    group.sample_size(20);
    for (named, keys) in [("100k", KEYS), ("1m", 10 * KEYS)] {
        let records = records(keys);
        let hashes: Vec<KeyHash> = records.iter().map(|(_, hash)| *hash).collect();
        let items: Vec<(u64, u64)> = records.iter().map(|(key, _)| (*key, 1)).collect();
        group.throughput(Throughput::Elements(records.len() as u64));
        let (mut state, slot) = store();
        // Each key by itself, and the keys of a batch asked for ahead: what that brings.
        group.bench_function(format!("update_{named}_keys"), |b| {
            b.iter(|| {
                let table = state.get_mut(slot);
                for (key, hash) in &records {
                    *table.or_insert_with(*hash, key, || 0).expect("resident") += 1;
                }
            });
        });
        group.bench_function(format!("update_{named}_keys_in_batches"), |b| {
            b.iter(|| {
                let batches = hashes.chunks(BATCH_RECORDS).zip(items.chunks(BATCH_RECORDS));
                for (hashes, items) in batches {
                    let (table, add) = (state.get_mut(slot), |sum: &mut u64, n: &u64| *sum += n);
                    let updated = table.each_or_insert_with(hashes, &mut items.iter(), || 0, add);
                    updated.expect("resident");
                }
            });
        });
    }
    let keys = records(KEYS);
    group.throughput(Throughput::Elements(KEYS));
    group.bench_function("delta_100k_changed", |b| {
        b.iter_custom(|rounds| (0..rounds).map(|_| one_delta(&keys)).sum());
    });
    group.finish();
}

/// The time of one delta over entries that have all changed.
fn one_delta(keys: &[(u64, KeyHash)]) -> std::time::Duration {
    let (mut state, slot) = store();
    for (key, hash) in keys {
        *state.get_mut(slot).or_insert_with(*hash, key, || 0).expect("resident") += 1;
    }
    let began = std::time::Instant::now();
    black_box(state.snapshot(SnapshotMode::Delta).expect("integers encode"));
    began.elapsed()
}

fn batches(c: &mut Criterion) {
    let keys = records(KEYS);
    let mut group = c.benchmark_group("batch");
    group.throughput(Throughput::Elements(BATCH_RECORDS as u64));
    let batch = || {
        let mut batch = Batch::with_capacity(BATCH_RECORDS);
        for (key, hash) in &keys[..BATCH_RECORDS] {
            batch.push_keyed(*key, at(0), *hash);
        }
        riverrun_engine::erased::AnyBatch::new(batch)
    };
    let owners = Owners::new(2, KEY_GROUPS);
    group.bench_function("scatter_to_two", |b| {
        b.iter_batched(batch, |batch| batch.scatter(&owners), BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group!(benches, hash, table, batches);
criterion_main!(benches);
