//! Every file of a checkpoint, damaged in every way: refused, by name, before anything begins (P8,
//! P9).

#![allow(clippy::disallowed_methods, reason = "tests have folders of their own")]

use std::fs;
use std::path::Path;

use riverrun_engine::checkpoint::{CheckpointId, CheckpointName};

use super::compaction::Order;
use super::restore::begin;
use super::run::merge::{Merged, Task, merge};
use super::testing::{block_on, take};
use super::{CheckpointStore, Manifest, RestoreError};
use crate::config::RunOptions;

const NEWEST: CheckpointId = CheckpointId(2);

/// What is done to a file: its name, and what becomes of its bytes (`None`: it goes).
type Damage = (&'static str, fn(&[u8], &Path) -> Option<Vec<u8>>);

fn flipped(bytes: &[u8], at: usize) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x10;
    Some(bytes)
}

/// The bytes of the same file of checkpoint 1, or another file of the chain.
fn exchanged(_: &[u8], file: &Path) -> Option<Vec<u8>> {
    let folder = file.parent().expect("has one");
    let others = fs::read_dir(folder).expect("lists").map(|entry| entry.expect("lists").path());
    let mut others: Vec<_> = others.filter(|other| other != file).collect();
    others.sort();
    Some(fs::read(&others[0]).expect("reads"))
}

const DAMAGES: &[Damage] = &[
    ("missing", |_, _| None),
    ("cut by one byte", |bytes, _| Some(bytes[..bytes.len() - 1].to_vec())),
    ("cut in half", |bytes, _| Some(bytes[..bytes.len() / 2].to_vec())),
    ("empty", |_, _| Some(Vec::new())),
    ("grown", |bytes, _| Some([bytes, b"x"].concat())),
    ("flipped at the start", |bytes, _| flipped(bytes, 0)),
    ("flipped early", |bytes, _| flipped(bytes, 20)),
    ("flipped in the middle", |bytes, _| flipped(bytes, bytes.len() / 2)),
    ("flipped at the end", |bytes, _| flipped(bytes, bytes.len() - 1)),
    ("zeroed", |bytes, _| Some(vec![0; bytes.len()])),
    ("exchanged", exchanged),
];

async fn check(what: &str, file: &str, folder: &Path) {
    let path = folder.to_str().expect("text");
    let store = CheckpointStore::open(path).expect("opens");
    let manifest_gone = what == "missing" && file.starts_with("checkpoints");
    let committed = CheckpointName { checkpoint: NEWEST, attempt: "a".to_owned() };
    let begun = begin(&store, "cards", &RunOptions::default(), Some(Some(committed))).await;
    let error = begun.expect_err(&format!("{file} {what}"));
    if manifest_gone {
        assert!(matches!(error, RestoreError::DecidedAbsent { .. }), "{error}");
        return;
    }
    let text = error.to_string();
    assert!(matches!(error, RestoreError::Unreadable { checkpoint: NEWEST, .. }), "{text}");
    assert!(text.contains(file) && text.contains("--from"), "{file} {what}: {text}");
    if what == "exchanged" {
        assert!(text.contains("belongs to another checkpoint"), "{text}");
    }
    let alone = begin(&store, "cards", &RunOptions::default(), None).await;
    alone.expect_err("never an older one by itself");
    let report = store.verify(NEWEST).await.expect("is there");
    let bad: Vec<_> = report.files.iter().filter(|file| file.problem.is_some()).collect();
    assert_eq!(bad.len(), 1, "{report:?}");
    assert_eq!(bad[0].file, file);
}

/// Damages every file that the newest checkpoint of `folder` names.
fn check_all(folder: &Path, newest: &Manifest) {
    let files = newest.files().map(|file| file.file.to_owned());
    let manifest = "checkpoints/00000000000000000002.manifest".to_owned();
    for file in files.chain([manifest]) {
        let place = folder.join(&file);
        let whole = fs::read(&place).expect("reads");
        for (what, damage) in DAMAGES {
            match damage(&whole, &place) {
                Some(bytes) => fs::write(&place, bytes).expect("writes"),
                None => fs::remove_file(&place).expect("removes"),
            }
            block_on(check(what, &file, folder));
            fs::write(&place, &whole).expect("writes");
        }
    }
    let store = CheckpointStore::open(folder.to_str().expect("text")).expect("opens");
    let begun = block_on(begin(&store, "cards", &RunOptions::default(), None));
    begun.expect("whole again");
}

#[test]
fn every_damaged_segment_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = CheckpointStore::open(folder.path().to_str().expect("text")).expect("opens");
    let newest = block_on(async {
        let first = take(&store, 1, "a", None).await.expect("writes");
        take(&store, 2, "a", Some(&first)).await.expect("writes")
    });
    check_all(folder.path(), &newest);
}

#[test]
fn every_damaged_run_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = CheckpointStore::open(folder.path().to_str().expect("text")).expect("opens");
    let newest = block_on(async {
        let first = take(&store, 1, "a", None).await.expect("writes");
        let task = Task {
            prompt: false,
            order: Order::Merge { first: 0, last: 127, groups_a_run: 2 },
            groups: 128,
            runs: Vec::new(),
            segments: first.segments.clone(),
            upto: CheckpointId(1),
            attempt: "a".to_owned(),
            number: 0,
        };
        let merged = merge(&store, &task, &mut store.pin([])).await.expect("merges");
        let Merged::Runs(runs) = merged else { panic!("as it was asked for") };
        assert_eq!(runs.len(), 64, "one for every two key groups");
        let between = Manifest { segments: Vec::new(), runs: runs[..2].to_vec(), ..first };
        take(&store, 2, "a", Some(&between)).await.expect("writes")
    });
    assert_eq!((newest.runs.len(), newest.segments.len()), (2, 1));
    check_all(folder.path(), &newest);
}
