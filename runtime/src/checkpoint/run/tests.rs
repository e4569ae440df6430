//! Runs and overlays against plain maps; every byte of a run against damage.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use riverrun_engine::checkpoint::Section;
use riverrun_engine::graph::Uid;
use riverrun_engine::key::{KeyGroup, hash_bytes};
use riverrun_engine::state::entry::{self, Entry, Op};

use super::*;
use crate::checkpoint::frame::index_checksum;
use crate::checkpoint::testing::{block_on, stored};
use crate::checkpoint::{SegmentWriter, StoreError};

type Model = BTreeMap<(Vec<u8>, Vec<u8>), Vec<u8>>;

/// What is done to which namespace, key, with which value.
type Operation = (Op, Vec<u8>, Vec<u8>, Vec<u8>);

/// An operation on rows whose keys have few letters, so that prefixes meet.
fn operation() -> impl Strategy<Value = Operation> {
    let op = prop_oneof![8 => Just(Op::Put), 3 => Just(Op::Delete), 1 => Just(Op::Drop)];
    let letters = |n: std::ops::Range<usize>| prop::collection::vec(0..3_u8, n);
    (op, letters(1..2), letters(0..4), letters(0..3)).prop_map(|(op, namespace, key, value)| {
        match op {
            Op::Put => (op, namespace, key, value),
            Op::Delete => (op, namespace, key, Vec::new()),
            Op::Drop => (op, namespace, Vec::new(), Vec::new()),
        }
    })
}

fn bytes_of(operations: &[Operation]) -> Bytes {
    let mut bytes = Vec::new();
    for (op, namespace, key, value) in operations {
        entry::write(&mut bytes, Entry { op: *op, namespace, key, value }).expect("short");
    }
    bytes.into()
}

/// What the format says of entries, word by word.
fn apply(model: &mut Model, bytes: &[u8]) {
    let mut rest = bytes;
    while let Some(entry) = entry::read(&mut rest).expect("entries") {
        let (namespace, key) = (entry.namespace.to_vec(), entry.key.to_vec());
        match entry.op {
            Op::Put => drop(model.insert((namespace, key), entry.value.to_vec())),
            Op::Delete => model.retain(|(n, k), _| *n != namespace || !k.starts_with(&key)),
            Op::Drop => model.retain(|(n, _), _| *n != namespace),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn an_overlay_does_what_its_entries_do(
        before in prop::collection::vec(operation(), 0..20),
        after in prop::collection::vec(operation(), 0..40),
        cut in 0..40_usize,
    ) {
        let mut model = Model::new();
        apply(&mut model, &bytes_of(&before));
        let mut overlay = Overlay::default();
        let (first, second) = after.split_at(cut.min(after.len()));
        overlay.add(&bytes_of(first)).expect("entries");
        overlay.add(&bytes_of(second)).expect("entries");
        let mut squashed = Vec::new();
        overlay.write(&mut squashed).expect("short");

        let section = |operations| Section {
            group: KeyGroup(1),
            entries: 0,
            bytes: bytes_of(operations),
        };
        let sections = [section(first), section(second)];
        let sorted = sorted(KeyGroup(1), &sections).expect("entries");
        let mut over_sorted = model.clone();
        apply(&mut over_sorted, &sorted.bytes);

        let mut over_within = model.clone();
        apply(&mut over_within, &bytes_of(first));
        let mut expected = model.clone();
        apply(&mut expected, &bytes_of(&after));
        prop_assert_eq!(&over_sorted, &expected);
        let mut writer = SegmentWriter::new();
        writer.add_sorted(&Uid::new("spend"), "sum", &sorted).expect("it is in order");
        let mut over_before = model.clone();
        apply(&mut over_before, &squashed);
        prop_assert_eq!(&over_before, &expected);
        apply(&mut over_within, &squashed);
        prop_assert_eq!(&over_within, &expected, "applied again over a part of it");

        let mut kept = Model::new();
        for ((namespace, key), value) in model {
            if !overlay.removes(&namespace.clone().into(), &key.clone().into()) {
                kept.insert((namespace, key), value);
            }
        }
        while let Some(((namespace, key), value)) = overlay.pop_put() {
            kept.insert((namespace.to_vec(), key.to_vec()), value.to_vec());
        }
        prop_assert_eq!(&kept, &expected);
    }
}

proptest! {
    #[test]
    fn what_removes_first_and_then_puts_does_the_same_sorted(
        before in prop::collection::vec(operation(), 0..20),
        after in prop::collection::vec(operation(), 0..40),
        cut in 0..40_usize,
    ) {
        let mut model = Model::new();
        apply(&mut model, &bytes_of(&before));
        let (mut first, second): (Vec<_>, Vec<_>) =
            after.into_iter().enumerate().partition(|(at, (op, ..))| *at < cut || *op != Op::Put);
        first.sort_by_key(|(_, (op, ..))| *op == Op::Put);
        let section = |operations: Vec<(usize, Operation)>| {
            let operations: Vec<_> = operations.into_iter().map(|(_, own)| own).collect();
            let (group, entries) = (KeyGroup(1), operations.len() as u64);
            Section { group, entries, bytes: bytes_of(&operations) }
        };
        let sections = [section(first), section(second)];
        let sorted = sorted(KeyGroup(1), &sections).expect("entries");
        let mut expected = model.clone();
        sections.iter().for_each(|section| apply(&mut expected, &section.bytes));
        apply(&mut model, &sorted.bytes);
        prop_assert_eq!(model, expected);
        let mut writer = SegmentWriter::new();
        writer.add_sorted(&Uid::new("spend"), "sum", &sorted).expect("it is in order");
        let mut rest = &sorted.bytes[..];
        let entries = std::iter::from_fn(|| entry::read(&mut rest).expect("entries"));
        prop_assert_eq!(entries.count() as u64, sorted.entries);
    }

    #[test]
    fn puts_rise_and_the_last_of_each_row_counts(
        drawn in prop::collection::vec((0..2_u8, 0..3_usize, 0..40_u8, any::<u8>()), 0..80),
        cut in 0..80_usize,
        short: bool,
    ) {
        // Keys that end before, at and behind what is compared first; or all of them short, so that
        // smaller numbers are sorted.
        let put = |(namespace, long, key, value): &(u8, usize, u8, u8)| {
            let (namespace, long) = if short { (0, 0) } else { (*namespace, *long) };
            let key = [vec![9; [0, 13, 30][long]], vec![*key; usize::from(*key % 4)]].concat();
            (Op::Put, vec![namespace; 2], key, vec![*value])
        };
        let all: Vec<Operation> = drawn.iter().map(put).collect();
        let (first, second) = all.split_at(cut.min(all.len()));
        let (first, second) = (bytes_of(first), bytes_of(second));
        let mut puts = Puts::default();
        prop_assert!(puts.add(&first).expect("entries") && puts.add(&second).expect("entries"));
        let rising: Vec<_> = puts.rising().map(|put| put.entry).collect();
        prop_assert!(rising.is_sorted_by(|a, b| (a.namespace, a.key) < (b.namespace, b.key)));
        let (mut expected, mut found) = (Model::new(), Model::new());
        apply(&mut expected, &bytes_of(&all));
        for put in rising {
            found.insert((put.namespace.to_vec(), put.key.to_vec()), put.value.to_vec());
        }
        prop_assert_eq!(found, expected);
        let removal = bytes_of(&[(Op::Delete, vec![0], vec![], vec![])]);
        let mut puts = Puts::default();
        prop_assert!(!puts.add(&removal).expect("entries"), "it is not only puts");
    }
}

type Rows = BTreeMap<(u16, u32, Vec<u8>, Vec<u8>), Vec<u8>>;

fn names() -> Vec<(String, String)> {
    let name = |uid: &str, state: &str| (uid.to_owned(), state.to_owned());
    vec![name("spend", "sum"), name("spend", "timers"), name("éte", "sum")]
}

fn written(rows: &Rows) -> Vec<u8> {
    let mut writer = RunWriter::new(&names()).expect("rising");
    for ((group, name, namespace, key), value) in rows {
        writer.add((KeyGroup(*group), *name), (namespace, key), value).expect("rising");
    }
    let (bytes, entries) = writer.finish().expect("short");
    assert_eq!(entries, rows.len() as u64);
    bytes
}

async fn opened(bytes: Vec<u8>, index: u64) -> Result<RunReader, StoreError> {
    let run = RunReader::open(stored(bytes), index).await?;
    run.check().await?;
    Ok(run)
}

/// The value of one row: the filter is asked first, then one block.
async fn found(
    run: &RunReader,
    (group, uid, state): (KeyGroup, &str, &str),
    (namespace, key): (&[u8], &[u8]),
) -> Option<Bytes> {
    let blocks = run.blocks(group, uid, state);
    if blocks.is_empty() {
        return None;
    }
    let filter = run.filters(&[blocks.start]).await.expect("whole").remove(0);
    if !filter::may_hold(&filter, hash_bytes(key)) {
        return None;
    }
    let block = run.from(blocks, namespace, key).start;
    let rows = run.rows(block..block + 1).await.expect("whole");
    let found = rows.into_iter().find(|row| (&*row.namespace, &*row.key) == (namespace, key));
    found.map(|row| row.value)
}

fn check(rows: &Rows) {
    let bytes = written(rows);
    let index = index_checksum(&bytes);
    block_on(async {
        let run = opened(bytes, index).await.expect("whole");
        let mut read = Rows::new();
        for group in 0..8 {
            for (number, (uid, state)) in names().iter().enumerate() {
                for span in run.spans(run.blocks(KeyGroup(group), uid, state)) {
                    for row in run.rows(span).await.expect("whole") {
                        let at = (group, number as u32, row.namespace.to_vec(), row.key.to_vec());
                        assert!(read.insert(at, row.value.to_vec()).is_none());
                    }
                }
            }
        }
        assert_eq!(read, *rows);
        for ((group, name, namespace, key), value) in rows {
            let (uid, state) = &names()[*name as usize];
            let at = (KeyGroup(*group), uid.as_str(), state.as_str());
            let read = found(&run, at, (namespace, key)).await;
            assert_eq!(read.as_deref(), Some(value.as_slice()));
            let absent = [key.as_slice(), b"x"].concat();
            let there = rows.get(&(*group, *name, namespace.clone(), absent.clone()));
            let read = found(&run, at, (namespace, &absent)).await;
            assert_eq!(read.as_deref(), there.map(Vec::as_slice));
        }
        assert_eq!(found(&run, (KeyGroup(0), "no", "sum"), (b"", b"")).await, None);
    });
}

proptest! {
    #[test]
    fn what_is_written_is_read_row_by_row_and_key_by_key(
        rows in prop::collection::btree_map(
            (0..8_u16, 0..3_u32, prop::collection::vec(0..2_u8, 0..2),
                prop::collection::vec(any::<u8>(), 0..6)),
            prop::collection::vec(any::<u8>(), 0..9), 0..60),
    ) {
        check(&rows);
    }
}

#[test]
fn rows_of_all_lengths_cross_blocks() {
    let mut rows = Rows::new();
    for key in 0..3000_u32 {
        let value = match key % 500 {
            7 => key.to_be_bytes().repeat(30_000),
            n => vec![key as u8; n as usize % 90],
        };
        rows.insert((3, key % 3, vec![key as u8 / 64], key.to_be_bytes().to_vec()), value);
    }
    check(&rows);
}

#[test]
fn rows_out_of_order_are_refused() {
    let mut writer = RunWriter::new(&names()).expect("rising");
    let at = |group, name| (KeyGroup(group), name);
    writer.add(at(3, 1), (b"n", b"k"), b"v").expect("the first");
    writer.add(at(3, 1), (b"n", b"k"), b"v").expect_err("twice");
    writer.add(at(3, 1), (b"m", b"z"), b"v").expect_err("a namespace before");
    writer.add(at(3, 0), (b"z", b"z"), b"v").expect_err("a name before");
    writer.add(at(2, 2), (b"z", b"z"), b"v").expect_err("a group before");
    writer.add(at(3, 3), (b"z", b"z"), b"v").expect_err("no such name");
    writer.add(at(3, 2), (b"", b""), b"").expect("rises");
    let mut falling = names();
    falling.reverse();
    RunWriter::new(&falling).expect_err("names must rise");
}

fn example() -> Vec<u8> {
    let mut rows = Rows::new();
    for key in 0..9_u8 {
        let value = if key % 2 == 0 { vec![b'a'; 40] } else { vec![key] };
        rows.insert((u16::from(key / 3), u32::from(key % 2), vec![], vec![key]), value);
    }
    written(&rows)
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_run_is_found() {
    let whole = example();
    let index = index_checksum(&whole);
    let check = |bytes| block_on(opened(bytes, index));
    check(whole.clone()).expect("whole");
    for at in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        assert!(check(damaged).is_err(), "bit {at}");
    }
    for len in 0..whole.len() {
        assert!(check(whole[..len].to_vec()).is_err(), "cut at {len}");
    }
    assert!(check([&whole[..], &[0]].concat()).is_err(), "grown");
    let other = written(&Rows::new());
    let error = check(other).expect_err("another run");
    assert!(error.to_string().contains("another file"), "{error}");
}

#[test]
fn version_1_of_runs_never_changes() {
    let checksum = xxhash_rust::xxh3::xxh3_128(&example());
    let expected = "f8f0f154656a92b4e667f0d607d7a7e5";
    assert_eq!(format!("{checksum:032x}"), expected, "the format of runs has changed");
}
