//! The store as a whole: what is written is read, nothing is overwritten, crashes and full disks.

#![allow(clippy::disallowed_methods, reason = "tests have folders of their own")]

use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use riverrun_engine::checkpoint::{CheckpointId, CheckpointKind, Section, SnapshotMode};
use riverrun_engine::graph::Uid;
use riverrun_engine::key::{KeyGroup, KeyGroupRange};

use super::testing::{FailingStore, block_on, files_in, finished, manifest, segment, take};
use super::{CheckpointStore, Manifest, RunWriter, SegmentWriter, StateReader, StoreError};

fn ids(numbers: &[u64]) -> Vec<CheckpointId> {
    numbers.iter().copied().map(CheckpointId).collect()
}

/// The values of `spend/sum` in `manifest`, which must be whole.
async fn rows_of(store: &CheckpointStore, manifest: &Manifest) -> Vec<String> {
    let reader = StateReader::open(store, manifest.clone()).await.expect("whole");
    let mut rows = reader.rows(&Uid::new("spend"), "sum", KeyGroupRange::all(128));
    let mut values = Vec::new();
    while let Some(row) = rows.next().await.expect("whole") {
        values.push(String::from_utf8(row.value.to_vec()).expect("text"));
    }
    values
}

async fn round_trip(path: &str) {
    let store = CheckpointStore::open(path).expect("opens");
    assert_eq!(store.list().await.expect("lists"), ids(&[]));
    let first = take(&store, 9, "a", None).await.expect("writes");
    let second = take(&store, 10, "a", Some(&first)).await.expect("writes");

    let store = CheckpointStore::open_existing(path).expect("opens again");
    assert_eq!(store.list().await.expect("lists"), ids(&[9, 10]));
    let read = store.read_manifest(CheckpointId(10)).await.expect("reads");
    assert_eq!(read, second);
    assert_eq!(
        rows_of(&store, &read).await,
        ["entry 10 of 0", "entry 10 of 1", "entry 10 of 2", "entry 10 of 3"]
    );
    let report = store.verify(CheckpointId(10)).await.expect("is there");
    assert!(report.is_good(), "{report:?}");
    assert_eq!(report.files.len(), 3);
    let report = store.inspect(CheckpointId(10)).await.expect("is there");
    assert_eq!(report.operators[0].states[0].size.entries, 4);
    assert_eq!(report.splits[0].offset, "line 3");
    assert_eq!(report.prepared[0].bytes, 4);
    let absent = store.read_manifest(CheckpointId(11)).await.expect_err("absent");
    assert!(matches!(absent, StoreError::NoCheckpoint { .. }), "{absent}");
}

#[test]
fn what_is_written_to_a_folder_is_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a/b");
    block_on(round_trip(path.to_str().expect("text")));
}

#[test]
fn what_is_written_to_memory_is_read_back_by_name() {
    block_on(round_trip("memory://round-trip"));
    let other = CheckpointStore::open("memory://another").expect("opens");
    assert_eq!(block_on(other.list()).expect("lists"), ids(&[]));
}

#[test]
fn a_reader_does_not_make_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("typo");
    let refused = CheckpointStore::open_existing(path.to_str().expect("text"));
    assert!(matches!(refused, Err(StoreError::Open { .. })));
    assert!(!path.exists());
}

#[test]
fn nothing_is_ever_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("text");
    block_on(async {
        let (store, other) = (CheckpointStore::open(path), CheckpointStore::open(path));
        let (store, other) = (store.expect("opens"), other.expect("opens"));
        let first = take(&store, 1, "a", None).await.expect("writes");
        let refused = take(&other, 1, "b", None).await.expect_err("is there");
        assert!(matches!(refused, StoreError::Exists { .. }), "{refused}");
        let refused = take(&other, 1, "a", None).await.expect_err("is there");
        assert!(matches!(refused, StoreError::FileExists { .. }), "{refused}");
        assert_eq!(store.read_manifest(CheckpointId(1)).await.expect("reads"), first);
        rows_of(&store, &first).await;
    });
}

#[test]
fn a_full_disk_fails_one_checkpoint_and_not_the_next() {
    for fail_at in 3..=4 {
        let store = FailingStore::new(Arc::new(InMemory::new()), fail_at, false);
        let store = CheckpointStore::on_certain(store);
        block_on(async {
            let first = take(&store, 1, "a", None).await.expect("writes");
            let error = take(&store, 2, "a", Some(&first)).await.expect_err("full");
            assert!(error.to_string().contains("free space"), "{error}");
            assert!(!error.in_doubt());
            assert_eq!(store.list().await.expect("lists"), ids(&[1]));
            rows_of(&store, &first).await;
            let third = take(&store, 3, "a", Some(&first)).await.expect("writes");
            rows_of(&store, &third).await;
            store.retain(1, CheckpointId(3), "a").await.expect("retains");
            assert!(store.verify(CheckpointId(3)).await.expect("is there").is_good());
        });
    }
}

#[test]
fn a_manifest_that_arrived_despite_an_error_is_in_doubt() {
    let store = FailingStore::new(Arc::new(InMemory::new()), 2, true);
    let store = CheckpointStore::on_certain(store);
    let error = block_on(take(&store, 1, "a", None)).expect_err("fails");
    assert!(error.in_doubt(), "{error}");
    let remote = FailingStore::new(Arc::new(InMemory::new()), 2, false);
    let remote = CheckpointStore::on(remote, "remote");
    let error = block_on(take(&remote, 1, "a", None)).expect_err("fails");
    assert!(error.in_doubt(), "a request may still arrive: {error}");
}

#[test]
fn a_crash_leaves_nothing_or_a_checkpoint_and_orphans_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("text");
    block_on(async {
        let store = CheckpointStore::open(path).expect("opens");
        let first = take(&store, 1, "a", None).await.expect("writes");
        // Dies between segment and manifest, and within a write.
        let (bytes, entries) = segment(0..1, 2);
        let mode = SnapshotMode::Delta;
        let orphan = store.write_segment(CheckpointId(2), "a", bytes, mode, entries).await;
        let orphan = orphan.expect("writes").file;
        // A merge that no manifest has taken up.
        let written = RunWriter::new(&[]).expect("no names").finish().expect("no rows");
        let run = "runs/00000000000000000001-a.7.run".to_owned();
        let groups = KeyGroup(0)..=KeyGroup(127);
        let made = store.write_run(run.clone(), CheckpointId(1), groups, written).await;
        made.expect("writes");
        let torn = "segments/00000000000000000002-a.seg#1".to_owned();
        std::fs::write(folder.path().join(&torn), "half").expect("writes");
        assert_eq!(store.list().await.expect("lists"), ids(&[1]), "invisible");

        let store = CheckpointStore::open(path).expect("opens");
        let removed = store.remove_orphans("b").await.expect("removes");
        assert_eq!(removed.checkpoints, ids(&[]));
        assert_eq!(removed.files, vec![orphan, run, torn]);
        let second = take(&store, 2, "b", Some(&first)).await.expect("the number is free");

        // Dies between manifest and retention: both are whole.
        let store = CheckpointStore::open(path).expect("opens");
        assert_eq!(store.remove_orphans("c").await.expect("removes"), Default::default());
        rows_of(&store, &first).await;
        rows_of(&store, &second).await;
    });
}

#[test]
fn retention_keeps_chains_and_what_is_being_written() {
    let store = CheckpointStore::open("memory://retention").expect("opens");
    block_on(async {
        let mut last = take(&store, 1, "a", None).await.expect("writes");
        for id in 2..=5 {
            last = take(&store, id, "a", Some(&last)).await.expect("writes");
        }
        let full = take(&store, 6, "a", None).await.expect("writes");
        let (bytes, entries) = segment(0..1, 7);
        let mode = SnapshotMode::Delta;
        let writing = store.write_segment(CheckpointId(7), "a", bytes, mode, entries).await;
        let removed = store.retain(1, CheckpointId(5), "a").await.expect("retains");
        assert_eq!(removed.checkpoints, ids(&[1, 2, 3, 4]), "6 is not yet committed");
        assert!(removed.files.is_empty(), "5 needs all before it");
        let removed = store.retain(1, CheckpointId(6), "a").await.expect("retains");
        assert_eq!(removed.checkpoints, ids(&[5]));
        assert_eq!(removed.files.len(), 5);
        rows_of(&store, &full).await;
        let mut seventh = manifest(7, "a");
        seventh.kind = CheckpointKind::Savepoint;
        seventh.segments = vec![full.segments[0].clone(), writing.expect("writes")];
        store.write_manifest(&seventh).await.expect("writes");
        rows_of(&store, &seventh).await;
    });
}

/// A checkpoint over `base` with a segment of about so many bytes.
async fn take_large(
    store: &CheckpointStore,
    (id, kind): (u64, CheckpointKind),
    bytes: usize,
    base: Option<&Manifest>,
) -> Manifest {
    let mut writer = SegmentWriter::new();
    let section = Section { group: KeyGroup(3), entries: 1, bytes: vec![id as u8; bytes].into() };
    writer.add(&Uid::new("spend"), "sum", &section).expect("short names");
    let (bytes, entries) = finished(writer);
    let mode = base.map_or(SnapshotMode::Full, |_| SnapshotMode::Delta);
    let written = store.write_segment(CheckpointId(id), "a", bytes, mode, entries).await;
    let mut manifest = manifest(id, "a");
    manifest.kind = kind;
    manifest.segments = base.map(|base| base.segments.clone()).unwrap_or_default();
    manifest.segments.push(written.expect("writes"));
    store.write_manifest(&manifest).await.expect("writes");
    manifest
}

/// The inode of the file in `folder` whose name ends so.
#[cfg(unix)]
fn inode_of(folder: &std::path::Path, end: &str) -> Option<u64> {
    let name = files_in(folder).into_iter().find(|name| name.ends_with(end))?;
    let meta = std::fs::metadata(folder.join(name)).expect("is there");
    Some(std::os::unix::fs::MetadataExt::ino(&meta))
}

#[test]
#[cfg(unix)]
fn what_stays_is_as_it_was_though_segments_are_written_over() {
    use CheckpointKind::{Periodic, Savepoint};

    let folder = tempfile::tempdir().expect("a folder");
    let store = CheckpointStore::open(folder.path().to_str().expect("text")).expect("opens");
    let segments = folder.path().join("segments");
    block_on(async {
        let (mut base, mut pinned): (Option<Manifest>, _) = (None, Vec::new());
        let mut written_over = 0;
        for id in 1..=60_u64 {
            let kind = if id.is_multiple_of(7) { Savepoint } else { Periodic };
            let bytes = 70_000 + (id as usize * 7_919) % 60_000;
            // Chains of one to four segments, and now and then a merge reads one of them.
            base = base.filter(|base| !id.is_multiple_of(5) && base.segments.len() < 4);
            let spare = inode_of(&segments, "#0");
            let taken = take_large(&store, (id, kind), bytes, base.as_ref()).await;
            let of_taken = inode_of(&segments, &format!("{id:020}-a.seg"));
            written_over += u32::from(spare.is_some() && spare == of_taken);
            if id.is_multiple_of(11) {
                pinned = vec![(store.pin([taken.segments[0].file.clone()]), taken.clone())];
            }
            base = Some(taken);
            store.retain(2, CheckpointId(id), "a").await.expect("retains");
            for there in store.list().await.expect("lists") {
                let report = store.verify(there).await.expect("is there");
                assert!(report.is_good(), "checkpoint {there} after {id}: {report:?}");
            }
            for (_, manifest) in &pinned {
                let of = &manifest.segments[0];
                let bytes = store.read(&of.file).await.expect("reads").expect("is there");
                assert_eq!(bytes.len() as u64, of.bytes);
                let index = crate::checkpoint::frame::index_checksum(&bytes);
                assert_eq!(format!("{index:016x}"), of.index);
            }
        }
        assert!(written_over > 10, "{written_over} of 60 segments were written over others");
        drop(pinned);
        store.retain(2, CheckpointId(60), "a").await.expect("retains");
        store.written().await;
        assert!(files_in(&segments).iter().all(|name| name.ends_with(".seg")));
    });
}

#[test]
fn retention_removes_nothing_when_it_cannot_know() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("text");
    block_on(async {
        let store = CheckpointStore::open(path).expect("opens");
        for id in 1..=3 {
            take(&store, id, "a", None).await.expect("writes");
        }
        let damaged = "checkpoints/00000000000000000002.manifest";
        std::fs::write(folder.path().join(damaged), "").expect("writes");
        let store = CheckpointStore::open(path).expect("opens");
        let error = store.retain(1, CheckpointId(3), "b").await.expect_err("what does 2 need?");
        assert!(error.to_string().contains(damaged), "{error}");
        assert_eq!(store.list().await.expect("lists"), ids(&[1, 2, 3]));
    });
}

#[test]
fn what_is_put_in_pieces_is_there_once_it_is_whole_or_never() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = || files_in(&folder.path().join("segments"));
    block_on(async {
        let store = CheckpointStore::open(folder.path().to_str().expect("text")).expect("opens");
        let (bytes, entries) = segment(0..40, 1);
        let (id, mode) = (CheckpointId(1), SnapshotMode::Delta);
        let in_pieces = |last: usize| {
            let mut put = store.begin_segment(id, "a").expect("a name");
            let (first, last) = bytes.split_at(bytes.len() - last);
            let copies = |pieces: &[&[u8]]| {
                pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect()
            };
            for pieces in first.chunks(100).collect::<Vec<_>>().chunks(3) {
                put.append(copies(pieces));
            }
            (put, copies(&[last]))
        };
        let (put, _) = in_pieces(1_000);
        while files().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        drop(put);
        while !files().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        // The index is in the last piece.
        let (put, last) = in_pieces(bytes.len() / 2 + 1_000);
        let entry = store.end_segment(id, put, last, mode, entries).await.expect("writes");
        assert_eq!(files().len(), 1);
        assert_eq!(std::fs::read(folder.path().join(&entry.file)).expect("is there"), bytes);
        let whole = super::manifest_text::checksum(&bytes);
        assert_eq!((entry.bytes, entry.checksum), (bytes.len() as u64, whole));

        let (put, last) = in_pieces(bytes.len() / 2 + 1_000);
        let again = store.end_segment(id, put, last, mode, entries).await;
        assert!(matches!(again, Err(StoreError::FileExists { .. })), "{again:?}");
        assert_eq!(files().len(), 1, "the one before");
    });
}
