//! Checkpoints that fail, one after the other: what they cut is in the next one that completes.

use std::sync::Arc;

use object_store::memory::InMemory;
use riverrun_engine::checkpoint::{Section, StateSnapshot};
use riverrun_engine::key::{KeyGroup, KeyGroupRange};
use riverrun_engine::state::entry::{self, Entry, Op};

use super::*;
use crate::checkpoint::StateReader;
use crate::checkpoint::testing::{FailingStore, block_on, files_in};
use crate::plan::TaskId;

const GROUPS: u16 = 4;

fn writer(store: &CheckpointStore) -> Writer {
    let names = (Arc::from("cards"), Arc::from("a"));
    let base = Some(Chain::new(GROUPS));
    Writer::new(store.clone(), names, &Graph::default(), GROUPS, BTreeMap::new(), base)
}

fn subtask(index: u32) -> Subtask {
    Subtask { task: TaskId(0), index }
}

/// The part of a subtask, which owns key group `index`: one row.
fn part(index: u32, key: u8, value: &str) -> Part {
    let mut bytes = Vec::new();
    let entry = Entry { op: Op::Put, namespace: &[], key: &[key], value: value.as_bytes() };
    entry::write(&mut bytes, entry).expect("short");
    let sections = vec![Section { group: KeyGroup(index as u16), entries: 1, bytes: bytes.into() }];
    let states = vec![StateSnapshot { state: "sum".into(), sections, turnover: None }];
    let snapshot = OperatorSnapshot { watermark: Timestamp::MIN, states };
    Part { operators: vec![(Uid::new("spend"), snapshot)], ..Part::default() }
}

fn parts(key: u8, value: &str) -> BTreeMap<Subtask, Part> {
    (0..2).map(|index| (subtask(index), part(index, key, value))).collect()
}

fn barrier(writer: &mut Writer, id: u64, kind: CheckpointKind) -> Barrier {
    let barrier = Barrier { checkpoint: CheckpointId(id), kind, mode: writer.mode(kind) };
    writer.begun(barrier);
    barrier
}

async fn write(
    writer: &mut Writer,
    barrier: Barrier,
    parts: BTreeMap<Subtask, Part>,
) -> Result<Manifest, StoreError> {
    let written = writer.write(barrier, Timestamp::MIN, parts, PreparedBy::new(), None).await;
    written.map(|(manifest, _)| manifest)
}

async fn rows(store: &CheckpointStore, manifest: &Manifest) -> Vec<String> {
    let reader = StateReader::open(store, manifest.clone()).await.expect("whole");
    let mut rows = reader.rows(&Uid::new("spend"), "sum", KeyGroupRange::all(GROUPS));
    let mut read = Vec::new();
    while let Some(row) = rows.next().await.expect("whole") {
        let value = String::from_utf8_lossy(&row.value).into_owned();
        read.push(format!("{}/{}={value}", row.group.0, row.key[0]));
    }
    read
}

const PERIODIC: CheckpointKind = CheckpointKind::Periodic;

#[test]
fn what_a_failed_checkpoint_cut_is_in_the_next_one() {
    // The third file is the second segment.
    let failing = FailingStore::new(Arc::new(InMemory::new()), 3, false);
    let store = CheckpointStore::on_certain(failing);
    block_on(async {
        let mut writer = writer(&store);
        let first = barrier(&mut writer, 1, PERIODIC);
        assert_eq!(first.mode, SnapshotMode::Delta);
        write(&mut writer, first, parts(1, "a")).await.expect("writes");
        let second = barrier(&mut writer, 2, PERIODIC);
        write(&mut writer, second, parts(2, "b")).await.expect_err("the disk is full");

        // The third times out: one part is there, the other comes late, behind the next barrier.
        let third = barrier(&mut writer, 3, PERIODIC);
        writer.failed(third, [(subtask(0), part(0, 3, "c"))].into());
        let fourth = barrier(&mut writer, 4, PERIODIC);
        assert_eq!(fourth.mode, SnapshotMode::Delta, "nothing is lost");
        writer.carry(third.checkpoint, part(1, 3, "c"));
        let manifest = write(&mut writer, fourth, parts(2, "d")).await.expect("writes");
        let all = ["0/1=a", "0/2=d", "0/3=c", "1/1=a", "1/2=d", "1/3=c"];
        assert_eq!(rows(&store, &manifest).await, all);
        assert_eq!(manifest.segments.len(), 2);

        let fifth = barrier(&mut writer, 5, PERIODIC);
        let manifest = write(&mut writer, fifth, parts(9, "e")).await.expect("writes");
        assert_eq!(manifest.segments[2].entries, 2, "what was carried is written once");
    });
}

#[test]
fn a_segment_grows_as_parts_come_and_begins_anew_where_an_earlier_one_comes_late() {
    // The fifth file is the third segment.
    let failing = FailingStore::new(Arc::new(InMemory::new()), 5, false);
    let store = CheckpointStore::on_certain(failing);
    block_on(async {
        let mut writer = writer(&store);
        let first = barrier(&mut writer, 1, PERIODIC);
        let parts_of_first = parts(1, "a");
        for (subtask, part) in parts_of_first.iter().rev() {
            writer.arrived(*subtask, part).await;
        }
        let manifest = write(&mut writer, first, parts_of_first).await.expect("writes");
        assert_eq!(rows(&store, &manifest).await, ["0/1=a", "1/1=a"]);

        // Nothing has come of the second when its time is over.
        let second = barrier(&mut writer, 2, PERIODIC);
        writer.failed(second, BTreeMap::new());
        let third = barrier(&mut writer, 3, PERIODIC);
        writer.arrived(subtask(1), &part(1, 2, "c")).await;
        assert!(writer.growing.is_some());
        writer.carry(second.checkpoint, part(0, 9, "b"));
        assert!(writer.growing.is_none(), "what comes late comes first");
        writer.arrived(subtask(0), &part(0, 2, "c")).await;
        let manifest = write(&mut writer, third, parts(2, "c")).await.expect("writes");
        let all = ["0/1=a", "0/2=c", "0/9=b", "1/1=a", "1/2=c"];
        assert_eq!(rows(&store, &manifest).await, all);

        // The storage refuses what has grown; what it held is in the next.
        let fourth = barrier(&mut writer, 4, PERIODIC);
        for (subtask, part) in &parts(3, "d") {
            writer.arrived(*subtask, part).await;
        }
        write(&mut writer, fourth, parts(3, "d")).await.expect_err("the disk is full");
        let fifth = barrier(&mut writer, 5, PERIODIC);
        let manifest = write(&mut writer, fifth, parts(4, "e")).await.expect("writes");
        let all = ["0/1=a", "0/2=c", "0/3=d", "0/4=e", "0/9=b"];
        let all = [&all[..], &["1/1=a", "1/2=c", "1/3=d", "1/4=e"]].concat();
        assert_eq!(rows(&store, &manifest).await, all);
    });
}

#[test]
fn in_a_folder_what_has_come_is_written_before_the_rest_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = CheckpointStore::open(folder.path().to_str().expect("text")).expect("opens");
    let segments = || files_in(&folder.path().join("segments"));
    block_on(async {
        let mut writer = writer(&store);
        let first = barrier(&mut writer, 1, PERIODIC);
        let much = parts(1, &"x".repeat(200 << 10));
        writer.arrived(subtask(1), &much[&subtask(1)]).await;
        while !segments().iter().any(|file| file.ends_with("#1")) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        writer.arrived(subtask(0), &much[&subtask(0)]).await;
        assert!(writer.growing.as_ref().expect("grows").is_of(first.checkpoint, &much));
        let manifest = write(&mut writer, first, much).await.expect("writes");
        assert_eq!(rows(&store, &manifest).await.len(), 2);
        assert_eq!(segments().len(), 1);
        assert!(manifest.segments[0].file.ends_with(&segments()[0]), "{manifest:?}");
    });
}

#[test]
fn a_part_with_two_sections_of_a_key_group_waits_for_all() {
    let store = CheckpointStore::on_certain(Arc::new(InMemory::new()));
    block_on(async {
        let mut writer = writer(&store);
        let first = barrier(&mut writer, 1, PERIODIC);
        let mut twice = part(0, 1, "a");
        let more = part(0, 2, "b").operators.remove(0).1.states.remove(0).sections;
        twice.operators[0].1.states[0].sections.extend(more);
        writer.arrived(subtask(0), &twice).await;
        assert!(writer.growing.is_none());
        let parts = [(subtask(0), twice)].into();
        let manifest = write(&mut writer, first, parts).await.expect("writes");
        assert_eq!(rows(&store, &manifest).await, ["0/1=a", "0/2=b"]);
    });
}

#[test]
fn a_savepoint_names_its_own_file_only_and_a_failed_one_is_followed_by_everything() {
    let failing = FailingStore::new(Arc::new(InMemory::new()), 3, false);
    let store = CheckpointStore::on_certain(failing);
    block_on(async {
        let mut writer = writer(&store);
        let first = barrier(&mut writer, 1, PERIODIC);
        write(&mut writer, first, parts(1, "a")).await.expect("writes");
        let second = barrier(&mut writer, 2, CheckpointKind::Savepoint);
        assert_eq!(second.mode, SnapshotMode::Full);
        write(&mut writer, second, parts(1, "b")).await.expect_err("the disk is full");
        let third = barrier(&mut writer, 3, PERIODIC);
        assert_eq!(third.mode, SnapshotMode::Full, "tables count as written");
        writer.carry(second.checkpoint, part(0, 7, "of the savepoint that failed"));
        write(&mut writer, third, parts(1, "c")).await.expect("writes");
        let fourth = barrier(&mut writer, 4, CheckpointKind::Savepoint);
        let manifest = write(&mut writer, fourth, parts(1, "d")).await.expect("writes");
        assert_eq!(rows(&store, &manifest).await, ["0/1=d", "1/1=d"]);
        assert_eq!((manifest.runs.len(), manifest.segments.len()), (0, 1));
        assert!(manifest.segments[0].file.contains("00004-a"), "{manifest:?}");
    });
}

#[test]
fn a_delta_without_what_was_given_up_is_refused() {
    let store = CheckpointStore::on_certain(Arc::new(InMemory::new()));
    block_on(async {
        let mut writer = writer(&store);
        let first = barrier(&mut writer, 1, PERIODIC);
        let second = barrier(&mut writer, 2, PERIODIC);
        let much = "x".repeat(300 << 20);
        writer.failed(first, [(subtask(0), part(0, 1, &much))].into());
        let error = write(&mut writer, second, parts(1, "b")).await.expect_err("incomplete");
        assert!(error.to_string().contains("given up"), "{error}");
        let third = barrier(&mut writer, 3, PERIODIC);
        assert_eq!(third.mode, SnapshotMode::Full);
    });
}

#[test]
fn a_thousand_checkpoints_of_a_sum_take_little_room_and_few_files() {
    let objects = Arc::new(InMemory::new());
    let store = CheckpointStore::on_certain(objects.clone());
    block_on(async {
        let mut writer = writer(&store);
        let mut storage = StorageStatus::default();
        let value = "0123456789".repeat(1000);
        for id in 1..=1000 {
            let barrier = barrier(&mut writer, id, PERIODIC);
            let parts = (0..2).map(|index| {
                let mut all = part(index, 0, &value);
                let sections = &mut all.operators[0].1.states[0].sections;
                for key in 1..20 {
                    let next = part(index, key, &format!("{id} {value}"));
                    sections.extend(next.operators[0].1.states[0].sections.clone());
                }
                (subtask(index), all)
            });
            let parts = parts.collect();
            let written =
                writer.write(barrier, Timestamp::MIN, parts, PreparedBy::new(), None).await;
            storage = written.expect("writes").1.storage;
            store.retain(3, CheckpointId(id), "a").await.expect("retains");
            // Merges run beside: give them time, or a thousand checkpoints are over before one.
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        assert!(storage.merges > 10 && storage.merges_failed == 0, "{storage:?}");
        let written = storage.delta_bytes + storage.merge_bytes;
        assert!(written < 5 * storage.delta_bytes, "{storage:?}");
        assert!(storage.named_files < 80, "{storage:?}");
        let manifest = store.read_manifest(CheckpointId(1000)).await.expect("is there");
        let all = rows(&store, &manifest).await;
        assert_eq!(all.len(), 40);
        assert!(all.iter().filter(|row| row.contains("=1000 ")).count() == 38);
        drop(writer);
        store.retain(1, CheckpointId(1000), "a").await.expect("retains");
        let report = store.verify(CheckpointId(1000)).await.expect("is there");
        assert!(report.is_good(), "{report:?}");
    });
}

/// Both subtasks' rows of so many keys, a kilobyte each.
fn many(keys: u16, value: u64, turnover: Option<Turnover>) -> BTreeMap<Subtask, Part> {
    let value = format!("{value} {}", "v".repeat(1000));
    let of = |index: u32| {
        let mut bytes = Vec::new();
        for key in 0..keys {
            let (key, value) = (&key.to_be_bytes()[..], value.as_bytes());
            let entry = Entry { op: Op::Put, namespace: &[], key, value };
            entry::write(&mut bytes, entry).expect("short");
        }
        let mut part = part(index, 0, "");
        let group = KeyGroup(index as u16);
        let (entries, bytes) = (keys.into(), bytes.into());
        let sections = vec![Section { group, entries, bytes }];
        part.operators[0].1.states[0] = StateSnapshot { state: "sum".into(), sections, turnover };
        (subtask(index), part)
    };
    (0..2).map(of).collect()
}

#[test]
fn where_half_of_everything_changes_everything_is_written() {
    let store = CheckpointStore::on_certain(Arc::new(InMemory::new()));
    block_on(async {
        let mut writer = writer(&store);
        let mut next = 1;
        // So many of 1,000 entries change before each of some checkpoints.
        let mut step = async |changed: Option<u16>, kind, count: usize| {
            let mut modes = String::new();
            for _ in 0..count {
                let barrier = barrier(&mut writer, next, kind);
                let full = barrier.mode == SnapshotMode::Full;
                let keys = if full { 1000 } else { changed.unwrap_or(1000) };
                let changed = changed.map(u64::from);
                let turnover = changed.map(|changed| Turnover { changed, entries: 1000 });
                write(&mut writer, barrier, many(keys, next, turnover)).await.expect("writes");
                next += 1;
                modes.push(if full { 'F' } else { 'D' });
            }
            modes
        };
        assert_eq!(step(Some(400), CheckpointKind::Savepoint, 1).await, "F");
        assert_eq!(step(Some(400), PERIODIC, 3).await, "DDD", "less than half");
        assert_eq!(step(Some(600), PERIODIC, 20).await, format!("D{}", "F".repeat(19)));
        assert_eq!(step(Some(400), PERIODIC, 3).await, "FDD", "too little again");
        assert_eq!(step(None, PERIODIC, 3).await, "DDD", "it is not known");
        assert_eq!(step(Some(600), PERIODIC, 2).await, "DF");
        assert_eq!(step(Some(0), PERIODIC, 3).await, "FDD", "nothing changes any more");
    });
}

#[test]
fn bytes_say_whether_everything_is_written_not_entries() {
    let state = |name: &str, (rows, row_bytes): (u64, usize), changed, entries| StateSnapshot {
        state: name.to_owned(),
        sections: vec![Section {
            group: KeyGroup(0),
            entries: rows,
            bytes: vec![0; rows as usize * row_bytes].into(),
        }],
        turnover: Some(Turnover { changed, entries }),
    };
    let (mut rows, uid) = (RowBytes::default(), Uid::new("spend"));
    let counts = rows.bytes_of(&uid, &state("count", (100_000, 16), 100_000, 100_000));
    let counts = counts.expect("rows were written");
    assert_eq!(counts, Turnover { changed: 1_600_000, entries: 1_600_000 });
    assert!(is_worth_rewriting(counts));
    assert_eq!(rows.bytes_of(&uid, &state("text", (0, 0), 0, 1_000)), None, "how long are they?");
    rows.bytes_of(&uid, &state("text", (1_000, 10_000), 1_000, 1_000)).expect("rows were written");
    let texts = rows.bytes_of(&uid, &state("text", (0, 0), 0, 1_000)).expect("is known");
    assert_eq!(texts, Turnover { changed: 0, entries: 10_000_000 });
    assert!(!is_worth_rewriting(counts.and(texts)), "few changes of long rows");
    let of = |changed, entries| is_worth_rewriting(Turnover { changed, entries });
    assert!(!of(0, 100 << 20) && !of(0, 0), "nothing changes");
    assert!(!of(100 << 20, 200 << 20), "it is too much");
    assert!(of(1 << 20, 2 << 20) && !of(1 << 20, (2 << 20) + 1));
}
