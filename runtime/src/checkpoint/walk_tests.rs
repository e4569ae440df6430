//! Walks through layers of many blocks, against a plain map; how little a short one reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use proptest::prelude::*;
use riverrun_engine::checkpoint::{CheckpointId, Section, SnapshotMode};
use riverrun_engine::graph::Uid;
use riverrun_engine::key::KeyGroup;
use riverrun_engine::state::entry::{self, Entry, Op};

use crate::checkpoint::run::sorted;
use crate::checkpoint::testing::{FailingStore, block_on, finished};
use crate::checkpoint::view::Trust;
use crate::checkpoint::walk::Walk;
use crate::checkpoint::{CheckpointStore, SegmentEntry, SegmentWriter, StateFiles};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A put of a row, or the removal of all whose keys begin so.
type Change = (Op, Vec<u8>);

/// Sixteen rows fill a block.
const VALUE_BYTES: usize = 2 << 10;

/// Layers, the oldest first; whether each is sorted.
fn layers() -> impl Strategy<Value = Vec<(bool, Vec<Change>)>> {
    let op = prop_oneof![12 => Just(Op::Put), 1 => Just(Op::Delete)];
    let key = (0..3_u8, prop::option::weighted(0.95, 0..60_u8));
    let key = key.prop_map(|(a, b)| std::iter::once(a).chain(b).collect());
    let change = (op, key).prop_filter("a row has two letters", |(op, key): &Change| {
        *op == Op::Delete || key.len() == 2
    });
    let changes = prop::collection::vec(change, 1..120);
    prop::collection::vec((any::<bool>(), changes), 1..5)
}

async fn written(
    store: &CheckpointStore,
    id: u64,
    (is_sorted, changes): &(bool, Vec<Change>),
    model: &mut Model,
) -> SegmentEntry {
    let (mut entries, mut bytes) = (0, Vec::new());
    for (at, (op, key)) in changes.iter().enumerate() {
        let mut value = vec![id as u8; VALUE_BYTES];
        value[0] = at as u8;
        match op {
            Op::Put => drop(model.insert(key.clone(), value.clone())),
            _ => model.retain(|row, _| !row.starts_with(key)),
        }
        let value = if *op == Op::Put { &value[..] } else { &[] };
        let entry = Entry { op: *op, namespace: &[], key, value };
        entry::write(&mut bytes, entry).expect("short");
        entries += 1;
    }
    let section = Section { group: KeyGroup(0), entries, bytes: bytes.into() };
    let (uid, mut writer) = (Uid::new("spend"), SegmentWriter::new());
    if *is_sorted {
        let section = sorted(section.group, &[section]).expect("entries");
        writer.add_sorted(&uid, "list", &section).expect("in order");
    } else {
        writer.add(&uid, "list", &section).expect("short names");
    }
    let (bytes, entries) = finished(writer);
    let (id, mode) = (CheckpointId(id), SnapshotMode::Delta);
    store.write_segment(id, "a", bytes, mode, entries).await.expect("writes")
}

fn store() -> CheckpointStore {
    CheckpointStore::on_certain(FailingStore::new(Arc::new(InMemory::new()), u32::MAX, false))
}

async fn files(store: &CheckpointStore, layers: &[(bool, Vec<Change>)]) -> (StateFiles, Model) {
    let (mut model, mut segments) = (Model::new(), Vec::new());
    for (id, layer) in (1..).zip(layers) {
        segments.push(written(store, id, layer, &mut model).await);
    }
    let named = (&[][..], segments.as_slice());
    let id = CheckpointId(layers.len() as u64);
    let files = StateFiles::open(store, id, named, 1, Trust::Blockwise).await;
    (files.expect("whole"), model)
}

/// The rows of a walk, and the bytes of its longest part.
async fn walked(files: &StateFiles, mut walk: Walk) -> (Vec<(Vec<u8>, Vec<u8>)>, usize) {
    let opened = files.layers(&[KeyGroup(0)], "spend", "list").await;
    let layers = &opened.expect("whole")[0];
    let (mut rows, mut longest) = (Vec::new(), 0);
    while let Some(part) = files.next_rising(layers, &mut walk).await.expect("whole") {
        longest = longest.max(part.len());
        let mut rest = &part[..];
        while let Some(row) = entry::read(&mut rest).expect("entries") {
            rows.push((row.key.to_vec(), row.value.to_vec()));
        }
    }
    (rows, longest)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_walk_says_each_live_row_once_and_rising(
        layers in layers(),
        first in 0..4_u8,
        second in 0..61_u8,
    ) {
        block_on(async {
            let store = store();
            let (files, model) = files(&store, &layers).await;
            let (all, longest) = walked(&files, Walk::whole()).await;
            let expected: Vec<_> = model.clone().into_iter().collect();
            assert!(all == expected, "all of it");
            assert!(longest < 40 << 10, "{longest} bytes at once");
            for prefix in [vec![], vec![first], vec![first, second]] {
                for after in [None, Some(vec![first, second])] {
                    let own = model.iter().filter(|(key, _)| {
                        key.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after)
                    });
                    let own: Vec<_> = own.map(|(k, v)| (k.clone(), v.clone())).collect();
                    let walk = Walk::of(prefix.clone().into(), after.clone().map(Bytes::from));
                    let (some, _) = walked(&files, walk).await;
                    assert!(some == own, "{prefix:?} behind {after:?}");
                }
            }
        });
    }
}
