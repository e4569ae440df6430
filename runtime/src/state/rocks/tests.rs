//! The spill in RocksDB: it does what every spill must, in its own range, within its memory, and
//! its errors say what happened.

#![allow(clippy::disallowed_methods, reason = "damages files, which no door does")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use riverrun_engine::state::spill::{SpillBatch, SpillRow};
use riverrun_engine::testing::{SpillStep, check_spill, walk};
use rocksdb::properties;

use super::*;
use crate::config::Bytes;

fn door(dir: &Path, memory: Bytes) -> RocksDoor {
    let (dir, job, attempt) = (dir.to_owned(), "fraud".to_owned(), "1".to_owned());
    RocksDoor::open(&SpillPlace { dir, job, attempt, memory, lent: memory }).expect("opens")
}

fn spill(door: &RocksDoor) -> RocksSpill {
    RocksSpill::new(Arc::clone(&door.database))
}

fn key(group: u16, key: u32) -> Vec<u8> {
    [&group.to_be_bytes()[..], &key.to_be_bytes()].concat()
}

/// Writes so many rows of `bytes` each to the key group.
fn fill(spill: &mut RocksSpill, group: u16, rows: u32, bytes: usize) -> Result<(), SpillError> {
    let mut batch = SpillBatch::default();
    for number in 0..rows {
        let value: Vec<u8> = (0..bytes).map(|at| (number as usize * 31 + at * at) as u8).collect();
        batch.put(&key(group, number), &value);
        if batch.bytes() > 1 << 16 || number + 1 == rows {
            spill.write(&batch)?;
            batch.clear();
        }
    }
    Ok(())
}

/// A spill that writes its rows to files every now and then, so that steps meet rows of all ages.
struct Flushed {
    spill: RocksSpill,
    writes: u32,
}

impl Spill for Flushed {
    fn read(&mut self, keys: &[&[u8]], out: &mut Vec<Option<Vec<u8>>>) -> Result<(), SpillError> {
        self.spill.read(keys, out)
    }

    fn write(&mut self, rows: &SpillBatch) -> Result<(), SpillError> {
        self.spill.write(rows)?;
        self.writes += 1;
        if self.writes.is_multiple_of(4) {
            self.spill.flush();
        }
        Ok(())
    }

    fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        rows_max: usize,
        out: &mut Vec<SpillRow>,
    ) -> Result<(), SpillError> {
        self.spill.scan(prefix, after, rows_max, out)
    }

    fn drop_prefix(&mut self, prefix: &[u8]) -> Result<(), SpillError> {
        self.spill.drop_prefix(prefix)
    }
}

#[test]
fn it_does_what_a_list_does_beside_others_of_its_database() {
    let dir = tempfile::tempdir().expect("a folder");
    let door = door(dir.path(), Bytes::mib(16));
    let numbers = prop::collection::vec(any::<u32>(), 0..30);
    let steps = prop::collection::vec((any::<u8>(), numbers), 0..40);
    let config = ProptestConfig { cases: 24, ..ProptestConfig::default() };
    proptest!(config, |(drawn in steps)| {
        let step = |(kind, numbers): &(u8, Vec<u32>)| SpillStep::drawn(*kind, numbers);
        let steps: Vec<SpillStep> = drawn.iter().map(step).collect();
        let mut before = spill(&door);
        fill(&mut before, 1, 20, 10).expect("writes");
        let mut checked = Flushed { spill: spill(&door), writes: 0 };
        let mut after = spill(&door);
        fill(&mut after, 1, 20, 10).expect("writes");
        check_spill(&mut checked, &steps).map_err(TestCaseError::fail)?;
        for neighbour in [&mut before, &mut after] {
            prop_assert_eq!(walk(neighbour, &[], 7).expect("reads").len(), 20);
        }
    });
}

#[test]
fn a_large_prefix_goes_as_a_range_and_can_be_filled_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let door = door(dir.path(), Bytes::mib(16));
    let mut spill = spill(&door);
    for group in [1, 2, 3] {
        fill(&mut spill, group, 5_000, 50).expect("writes");
    }
    spill.flush();
    spill.drop_prefix(&2_u16.to_be_bytes()).expect("drops");
    let count = |spill: &mut RocksSpill, prefix: &[u8]| walk(spill, prefix, 999).map(|r| r.len());
    assert_eq!(count(&mut spill, &2_u16.to_be_bytes()), Ok(0));
    assert_eq!(count(&mut spill, &[]), Ok(10_000));
    fill(&mut spill, 2, 600, 5).expect("writes");
    assert_eq!(count(&mut spill, &2_u16.to_be_bytes()), Ok(600));
    let (there, gone) = (key(2, 599), key(2, 600));
    let mut found = Vec::new();
    spill.read(&[&there, &gone, &there], &mut found).expect("reads");
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    spill.drop_prefix(&[]).expect("drops");
    assert_eq!(count(&mut spill, &[]), Ok(0));
}

#[test]
fn nothing_is_opened_before_the_first_row_and_nothing_left_behind() {
    let dir = tempfile::tempdir().expect("a folder");
    let door = door(dir.path(), Bytes::mib(16));
    let rows = dir.path().join("riverrun-fraud-1/rows");
    let mut spill = spill(&door);
    let mut found = Vec::new();
    spill.read(&[b"key"], &mut found).expect("reads");
    spill.drop_prefix(&[]).expect("drops");
    assert_eq!((found, walk(&mut spill, &[], 5)), (vec![None], Ok(vec![])));
    assert!(!rows.exists());
    fill(&mut spill, 0, 1, 1).expect("writes");
    assert!(rows.exists());
    drop(door);
    assert!(rows.exists(), "a spill is still there");
    drop(spill);
    assert_eq!(fs::read_dir(dir.path()).expect("reads").count(), 0);
}

/// What its write buffers, indexes and filters take.
fn memory_bytes(door: &RocksDoor) -> u64 {
    let db = door.database.open().expect("opens");
    let size = |property| door.database.size_of(db, property).expect("is known");
    size(properties::CUR_SIZE_ALL_MEM_TABLES) + size(properties::ESTIMATE_TABLE_READERS_MEM)
}

#[test]
fn what_indexes_take_beyond_its_memory_is_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let door = door(dir.path(), Bytes(512 << 10));
    assert_eq!(door.excess_bytes(), 0);
    let mut spill = spill(&door);
    for group in 0..40 {
        fill(&mut spill, group, 10_000, 150).expect("writes");
    }
    let excess = door.excess_bytes();
    assert!((256 << 10..4 << 20).contains(&excess), "{excess} bytes for 60 MB of rows");
}

#[test]
fn subtasks_share_it_and_stay_within_its_memory() {
    let dir = tempfile::tempdir().expect("a folder");
    let memory = Bytes::mib(16);
    let door = door(dir.path(), memory);
    std::thread::scope(|scope| {
        for subtask in 0..2_u16 {
            let (mut spill, door) = (spill(&door), &door);
            scope.spawn(move || {
                for group in 0..10 {
                    fill(&mut spill, group, 10_000, 150).expect("writes");
                    let used = memory_bytes(door);
                    assert!(used < memory.0 * 3 / 4, "{used} bytes");
                }
                let keys: Vec<Vec<u8>> = (0..5_000).map(|n| key(n % 10, n as u32 * 2)).collect();
                let asked: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
                let mut found = Vec::new();
                spill.read(&asked, &mut found).expect("reads");
                assert!(found.iter().all(Option::is_some), "of subtask {subtask}");
            });
        }
    });
}

fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("riverrun-fraud-1/rows")).expect("reads");
    let paths = entries.map(|entry| entry.expect("reads").path());
    paths.filter(|path| path.extension().is_some_and(|e| e == ending)).collect()
}

#[test]
fn a_damaged_file_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let door = door(dir.path(), Bytes::mib(16));
    let mut spill = spill(&door);
    fill(&mut spill, 1, 2_000, 100).expect("writes");
    spill.flush();
    for file in files(dir.path(), "sst") {
        let mut bytes = fs::read(&file).expect("reads");
        bytes[100..20_000].iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(&file, bytes).expect("writes");
    }
    let error = spill.read(&[&key(1, 5)], &mut Vec::new()).expect_err("damaged");
    assert!(matches!(error, SpillError::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("RR0341: ") && text.contains(".sst"), "{text}");
    let error = walk(&mut spill, &[], 100).expect_err("damaged");
    assert!(matches!(error, SpillError::Damaged { .. }), "{error}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("file");
    fs::write(&file, "").expect("writes");
    let place = SpillPlace {
        dir: file.join("spill"),
        job: "fraud".to_owned(),
        attempt: "1".to_owned(),
        memory: Bytes::mib(16),
        lent: Bytes(0),
    };
    let error = spill_door(&place).err().expect("a file is in the way");
    assert!(error.to_string().starts_with("RR0342: spilling to '"), "{error}");
}

/// The variable that makes the children below run, in this folder.
const CHILD: &str = "RIVERRUN_TEST_SPILL_CHILD";

/// Runs the test `name` in a process of its own, after `limits` of the shell.
#[cfg(unix)]
fn passes_within(limits: &str, name: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let this = std::env::current_exe().expect("this test's binary");
    let output = Command::new("sh")
        .args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")])
        .arg(this)
        .args(["--exact", &format!("state::rocks::tests::{name}"), "--nocapture"])
        .env(CHILD, dir.path())
        .output()
        .expect("runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Run by the test below, where no file may grow beyond some kilobytes, as on a full disk.
#[test]
fn full_disk_child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let door = door(Path::new(&dir), Bytes::mib(16));
    let mut spill = spill(&door);
    // The files are written behind our back, so that the error comes with a later write.
    let error = (0..40).find_map(|group| fill(&mut spill, group, 10_000, 150).err());
    let error = error.expect("the disk is full");
    assert!(matches!(error, SpillError::Full { .. }), "{error}");
    assert!(error.to_string().starts_with("RR0340: no space is left"), "{error}");
}

#[test]
#[cfg(unix)]
fn a_full_disk_is_named_and_ends_in_no_wait() {
    passes_within("trap '' XFSZ; ulimit -f 600", "full_disk_child");
}

/// Run by the test below, where the process begins with leave to open less than it may.
#[test]
fn many_files_child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let dir = Path::new(&dir);
    let door = door(dir, Bytes(512 << 10));
    let mut spill = spill(&door);
    (0..20).for_each(|group| fill(&mut spill, group, 10_000, 150).expect("writes"));
    assert!(files(dir, "sst").len() > 64);
    assert_eq!(walk(&mut spill, &[], 999).expect("reads").len(), 200_000);
}

#[test]
#[cfg(unix)]
fn it_opens_more_files_than_the_process_begins_with_leave_to() {
    passes_within("ulimit -S -n 64", "many_files_child");
}

impl RocksSpill {
    /// Moves what is in write buffers to files.
    fn flush(&self) {
        self.database.open().expect("opens").flush().expect("flushes");
    }
}
