//! Whole histories of checkpoints and merges on storage that fails, against a plain map.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::memory::InMemory;
use proptest::prelude::*;
use riverrun_engine::checkpoint::Section;
use riverrun_engine::compat::{RestorePlan, Restored};
use riverrun_engine::graph::Uid;
use riverrun_engine::key::KeyGroupRange;
use riverrun_engine::state::entry::{self, Entry, Op};

use super::*;
use crate::checkpoint::layers::Sweep;
use crate::checkpoint::restore::RestoredState;
use crate::checkpoint::run::merge::merge;
use crate::checkpoint::run::sorted;
use crate::checkpoint::testing::{FailingStore, block_on, finished, manifest};
use crate::checkpoint::walk::Walk;
use crate::checkpoint::{CheckpointStore, Manifest, SegmentWriter, StateReader, StoreError};

/// So few, so that every step meets every kind of range.
const GROUPS: u16 = 4;

type Operation = (u16, Op, u8, Vec<u8>);
type Model = BTreeMap<(u16, Vec<u8>, Vec<u8>), Vec<u8>>;

#[derive(Clone, Debug)]
enum Step {
    /// A checkpoint with these changes.
    Take(Vec<Operation>),
    /// A full one, if there is anything.
    Full,
    /// Runs of these key groups.
    Merge(u16, u16, u16),
    /// One segment of several.
    Squash(usize, usize),
    /// What no checkpoint needs goes.
    Retain,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let op = prop_oneof![6 => Just(Op::Put), 2 => Just(Op::Delete), 1 => Just(Op::Drop)];
    let key = prop::collection::vec(0..3_u8, 0..4);
    let changes = prop::collection::vec((0..GROUPS, op, 0..2_u8, key), 0..12);
    let step = prop_oneof![
        6 => changes.prop_map(Step::Take),
        1 => Just(Step::Full),
        3 => (0..GROUPS, 0..GROUPS, 1..=GROUPS).prop_map(|(a, b, n)| Step::Merge(a, b, n)),
        2 => (0..6_usize, 0..6_usize).prop_map(|(a, b)| Step::Squash(a, b)),
        1 => Just(Step::Retain),
    ];
    prop::collection::vec(step, 1..25)
}

struct World {
    store: CheckpointStore,
    chain: Chain,
    model: Model,
    /// The newest complete checkpoint, and the state then.
    complete: Option<(Manifest, Model)>,
    next: u64,
    number: u64,
}

impl World {
    fn apply(&mut self, changes: &[Operation]) -> Vec<Section> {
        let mut written = vec![(0, Vec::new()); GROUPS.into()];
        for (at, (group, op, namespace, key)) in changes.iter().enumerate() {
            let (namespace, value) = (vec![*namespace], format!("{} {at}", self.next));
            let (group, in_group) = (*group, |place: &(u16, Vec<u8>, Vec<u8>)| {
                place.0 == *group && place.1 == namespace
            });
            match op {
                Op::Put => {
                    let place = (group, namespace.clone(), key.clone());
                    self.model.insert(place, value.clone().into_bytes());
                }
                Op::Delete => {
                    self.model.retain(|p, _| !(in_group(p) && p.2.starts_with(key)));
                }
                Op::Drop => self.model.retain(|p, _| !in_group(p)),
            }
            let (key, value) = match op {
                Op::Put => (key.as_slice(), value.as_bytes()),
                Op::Delete => (key.as_slice(), &[][..]),
                Op::Drop => (&[][..], &[][..]),
            };
            let (entries, bytes) = &mut written[usize::from(group)];
            let entry = Entry { op: *op, namespace: &namespace, key, value };
            entry::write(bytes, entry).expect("short");
            *entries += 1;
        }
        (0..).zip(written).map(|(group, written)| section(group, written)).collect()
    }

    /// Everything, as a full segment holds it.
    fn all(&self) -> Vec<Section> {
        let of = |group| {
            let (mut entries, mut bytes) = (0, Vec::new());
            for ((_, namespace, key), value) in self.model.iter().filter(|(p, _)| p.0 == group) {
                let entry = Entry { op: Op::Put, namespace, key, value };
                entry::write(&mut bytes, entry).expect("short");
                entries += 1;
            }
            section(group, (entries, bytes))
        };
        (0..GROUPS).map(of).collect()
    }

    async fn take(&mut self, mode: SnapshotMode, sections: &[Section]) -> Result<(), StoreError> {
        let id = CheckpointId(self.next);
        self.next += 1;
        let mut writer = SegmentWriter::new();
        let uid = Uid::new("spend");
        for section in sections.iter().filter(|section| section.entries > 0) {
            // Every other one is sorted, as if it were long.
            if (id.0 + u64::from(section.group.0)).is_multiple_of(2) {
                let section = sorted(section.group, std::slice::from_ref(section));
                writer.add_sorted(&uid, "sum", &section.expect("entries")).expect("in order");
            } else {
                writer.add(&uid, "sum", section).expect("short names");
            }
            let flat = flat(section);
            if (id.0 + u64::from(section.group.0)).is_multiple_of(3) {
                let flat = sorted(flat.group, std::slice::from_ref(&flat)).expect("entries");
                writer.add_sorted(&uid, "flat", &flat).expect("in order");
            } else {
                writer.add(&uid, "flat", &flat).expect("short names");
            }
        }
        let (bytes, entries) = finished(writer);
        let entry = self.store.write_segment(id, "a", bytes, mode, entries).await?;
        let mut chain = self.chain.clone();
        let mut by_group = vec![0; GROUPS.into()];
        for section in sections {
            by_group[usize::from(section.group.0)] += section.bytes.len() as u64;
        }
        chain.push(entry, by_group);
        let mut manifest = manifest(id.0, "a");
        manifest.key_groups = GROUPS;
        manifest.runs = chain.runs().to_vec();
        manifest.segments = chain.segments().cloned().collect();
        self.store.write_manifest(&manifest).await?;
        self.chain = chain;
        self.complete = Some((manifest, self.model.clone()));
        Ok(())
    }

    /// As the writer does: the result is visible with the next manifest only.
    async fn merge(&mut self, order: Order) {
        let Some(task) = self.chain.task_for(order, "a", self.number) else { return };
        self.number += u64::from(GROUPS);
        let mut pinned = self.store.pin([]);
        let merged = merge(&self.store, &task, &mut pinned).await;
        let keep = self.complete.as_ref().map(|(manifest, _)| manifest.checkpoint);
        // A retention meanwhile touches neither what is read nor what was made.
        self.store.retain(1, keep.unwrap_or_default(), "a").await.expect("retains");
        if let Ok(merged) = merged {
            let before = self.chain.clone();
            assert!(self.chain.apply(&task, merged), "nothing has come between");
            // Until then the pins hold; here the next step may fail first.
            if self.take(SnapshotMode::Delta, &[]).await.is_err() {
                self.chain = before;
            }
        }
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Take(changes) => {
                let (before, sections) = (self.model.clone(), self.apply(changes));
                if self.take(SnapshotMode::Delta, &sections).await.is_err() {
                    self.model = before;
                }
            }
            Step::Full => {
                let all = self.all();
                _ = self.take(SnapshotMode::Full, &all).await;
            }
            Step::Merge(a, b, groups_a_run) => {
                let (mut first, mut last) = (*a.min(b), *a.max(b));
                for run in self.chain.runs() {
                    if run.first.0 <= last && run.last.0 >= first {
                        (first, last) = (first.min(run.first.0), last.max(run.last.0));
                    }
                }
                let groups_a_run = *groups_a_run;
                self.merge(Order::Merge { first, last, groups_a_run }).await;
            }
            Step::Squash(a, b) => {
                let full = self.chain.segments().filter(|s| s.mode == SnapshotMode::Full).count();
                let (first, last) = (full + *a.min(b), full + *a.max(b));
                if last < self.chain.segments().len() {
                    self.merge(Order::Squash { first, last }).await;
                }
            }
            Step::Retain => {
                let id = CheckpointId(self.next - 1);
                self.store.retain(1, id, "a").await.expect("retains");
            }
        }
    }

    /// The newest complete checkpoint holds the state of its moment, however it is read.
    async fn check(&self) {
        let Some((manifest, model)) = &self.complete else { return };
        let report = self.store.verify(manifest.checkpoint).await.expect("is there");
        assert!(report.is_good(), "{report:?}");
        let reader = StateReader::open(&self.store, manifest.clone()).await.expect("whole");
        let uid = Uid::new("spend");
        let mut rows = reader.rows(&uid, "sum", KeyGroupRange::all(GROUPS));
        let mut read = Vec::new();
        while let Some(row) = rows.next().await.expect("whole") {
            let place = (row.group.0, row.namespace.to_vec(), row.key.to_vec());
            read.push((place, row.value.to_vec()));
        }
        let expected: Vec<_> = model.iter().map(|(p, v)| (p.clone(), v.clone())).collect();
        assert_eq!(read, expected, "as rows");
        self.check_by_key(reader.files(), model).await;
        assert_eq!(self.restored(manifest.checkpoint).await, *model, "as a restore applies it");
    }

    /// Each row is found by its key, all of them by a sweep, and those of a prefix by a walk.
    async fn check_by_key(&self, files: &StateFiles, model: &Model) {
        let letters = || [vec![], vec![0], vec![1], vec![2]].into_iter();
        let pairs = letters().flat_map(|a: Vec<u8>| letters().map(move |b| [&a[..], &b].concat()));
        let keys: Vec<_> =
            pairs.flat_map(|a| letters().map(move |b| [&a[..], &b].concat())).collect();
        let groups: Vec<_> = (0..GROUPS).map(KeyGroup).collect();
        let sums = files.layers(&groups, "spend", "sum").await.expect("whole");
        let flats = files.layers(&groups, "spend", "flat").await.expect("whole");
        for (group, (layers, flat)) in (0..GROUPS).zip(sums.iter().zip(&flats)) {
            for namespace in [vec![0], vec![1]] {
                let sought = keys.iter().map(|key| key.clone().into());
                let found = files.find(layers, &namespace.clone().into(), sought).await;
                for (key, value) in keys.iter().zip(found.expect("whole")) {
                    let place = (group, namespace.clone(), key.clone());
                    let expected = model.get(&place).map(Vec::as_slice);
                    assert_eq!(value.as_deref(), expected, "{place:?}");
                }
            }
            let (mut swept, mut sweep) = (Model::new(), Sweep::default());
            while let Some(part) = files.next_part(layers, &mut sweep).await.expect("whole") {
                let mut rest = &part[..];
                while let Some(entry) = entry::read(&mut rest).expect("entries") {
                    assert_eq!(entry.op, Op::Put);
                    let place = (group, entry.namespace.to_vec(), entry.key.to_vec());
                    swept.entry(place).or_insert_with(|| entry.value.to_vec());
                }
            }
            let own = model.iter().filter(|(place, _)| place.0 == group);
            assert!(swept.iter().eq(own), "a sweep shows the newest of each row first");
            for prefix in &keys {
                let mut walk = Walk::of(prefix.clone().into(), None);
                let mut walked = Vec::new();
                while let Some(part) = files.next_rising(flat, &mut walk).await.expect("whole") {
                    let mut rest = &part[..];
                    while let Some(row) = entry::read(&mut rest).expect("entries") {
                        walked.push((row.key.to_vec(), row.value.to_vec()));
                    }
                }
                let own = model.iter().filter(|((own, namespace, key), _)| {
                    *own == group && *namespace == [0] && key.starts_with(prefix)
                });
                let own = own.map(|((_, _, key), value)| (key.clone(), value.clone()));
                assert_eq!(walked, own.collect::<Vec<_>>(), "a walk of {prefix:?}");
            }
        }
    }

    async fn restored(&self, id: CheckpointId) -> Model {
        let state = RestoredState::load(&self.store, id, "cards", true).await.expect("whole");
        let to = Restored { uid: Uid::new("spend"), migrate_from: None };
        let plan: RestorePlan = [((Uid::new("spend"), "sum".to_owned()), to)].into();
        let mut restored = Model::new();
        for group in 0..GROUPS {
            let own = KeyGroupRange { start: group, end: group + 1, groups: GROUPS };
            let sections = state.sections_for(&plan, &Uid::new("spend"), own, &[]);
            let mut sections = sections.expect("open");
            while let Some((_, _, bytes)) = sections.next().await.expect("whole") {
                let mut rest = &bytes[..];
                while let Some(entry) = entry::read(&mut rest).expect("entries") {
                    let (namespace, key) = (entry.namespace.to_vec(), entry.key);
                    let own = |p: &(u16, Vec<u8>, Vec<u8>)| p.0 == group && p.1 == namespace;
                    match entry.op {
                        Op::Put => {
                            let place = (group, namespace.clone(), key.to_vec());
                            restored.insert(place, entry.value.to_vec());
                        }
                        Op::Delete => restored.retain(|p, _| !(own(p) && p.2.starts_with(key))),
                        Op::Drop => panic!("would drop the namespace of other key groups"),
                    }
                }
            }
        }
        restored
    }
}

/// What a section does in namespace 0, as if there were none: to lists or maps, that is.
fn flat(section: &Section) -> Section {
    let (mut entries, mut bytes) = (0, Vec::new());
    let mut rest = &section.bytes[..];
    while let Some(entry) = entry::read(&mut rest).expect("entries") {
        if entry.namespace == [0] {
            entry::write(&mut bytes, Entry { namespace: &[], ..entry }).expect("short");
            entries += 1;
        }
    }
    Section { group: section.group, entries, bytes: bytes.into() }
}

fn section(group: u16, (entries, bytes): (u64, Vec<u8>)) -> Section {
    Section { group: KeyGroup(group), entries, bytes: bytes.into() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_step_and_no_failure_loses_or_brings_back_a_row(
        steps in steps(),
        fail_at in 1..60_u32,
    ) {
        let failing = FailingStore::new(Arc::new(InMemory::new()), fail_at, false);
        let store = CheckpointStore::on_certain(failing);
        let (chain, model) = (Chain::new(GROUPS), Model::new());
        let mut world = World { store, chain, model, complete: None, next: 1, number: 0 };
        block_on(async {
            for step in &steps {
                world.step(step).await;
                world.check().await;
            }
            // A restart takes up just these files, and leaves no other.
            let Some((manifest, _)) = world.complete.clone() else { return };
            let named = (manifest.runs.as_slice(), manifest.segments.as_slice());
            let (id, trust) = (manifest.checkpoint, crate::checkpoint::view::Trust::Blockwise);
            let files = StateFiles::open(&world.store, id, named, GROUPS, trust).await;
            let chain = Chain::of(&files.expect("whole"), GROUPS);
            assert_eq!(chain.runs(), &manifest.runs);
            assert!(chain.segments().eq(&manifest.segments));
            world.store.remove_orphans("b").await.expect("removes");
            world.check().await;
        });
    }
}

#[test]
fn a_merge_is_overdue_where_segments_pile_up() {
    let mut chain = Chain::new(GROUPS);
    let limit = doors::sizes().segments;
    for id in 1..=2 * limit as u64 + 1 {
        let entry = SegmentEntry {
            file: format!("segments/{id}.seg"),
            checkpoint: CheckpointId(id),
            mode: SnapshotMode::Delta,
            bytes: 1000,
            checksum: String::new(),
            index: String::new(),
            entries: 10,
        };
        chain.push(entry, vec![10; GROUPS.into()]);
        let overdue = chain.task("a", 0).map(|task| task.prompt);
        let expected = (id as usize > limit).then_some(id as usize > 2 * limit);
        assert_eq!(overdue, expected, "{id} segments");
    }
    let mut chain = Chain::new(GROUPS);
    for (id, bytes, expected) in [(1, 1 << 20, false), (2, 1 << 20, false), (3, 1, true)] {
        let (file, checkpoint, mode) = (id.to_string(), CheckpointId(id), SnapshotMode::Delta);
        let (checksum, index, entries) = (String::new(), String::new(), 1);
        let entry = SegmentEntry { file, checkpoint, mode, bytes, checksum, index, entries };
        chain.push(entry, vec![bytes; GROUPS.into()]);
        assert_eq!(chain.is_overdue(), expected, "{} bytes of deltas", chain.bytes());
    }
}
