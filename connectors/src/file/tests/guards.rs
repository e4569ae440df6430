//! What is wrong with a file is said, with its place, and never passed over in silence.

use riverrun_engine::bad::{BadRecord, Parsed};
use riverrun_engine::source::{Source, SourceReader, SplitIndex};

use super::{ByHand, Folder, fs, numbers};
use crate::file::{FileOffset, Files, OnBad};
use crate::testing::read_all;

fn says(error: anyhow::Error, parts: &[&str]) {
    let error = format!("{error:#}");
    for part in parts {
        assert!(error.contains(part), "no {part:?} in: {error}");
    }
}

#[test]
fn a_bad_record_fails_with_file_and_line_after_the_good_ones() {
    let folder = Folder::new();
    let path = folder.write("n.jsonl", "1\n2\n{\n4\n");
    let mut reader = ByHand::open(&Files::json_lines::<u32>(&path), None).expect("opens");
    assert_eq!(reader.next(1024).expect("reads").1, [1, 2]);
    let error = reader.next(1024).expect_err("line 3 is bad");
    says(error, &["RR0520", "n.jsonl:3: no JSON", "OnBad::Skip", ".or_bad()"]);
}

#[test]
fn bad_records_are_skipped_and_counted_once() {
    let folder = Folder::new();
    let path = folder.write("n.jsonl", "x\n1\n\ny\n2\nz");
    let source = Files::json_lines::<u32>(&path).on_bad(OnBad::Skip);
    let mut reader = ByHand::open(&source, None).expect("opens");
    assert_eq!(reader.next(1).expect("reads").1, [1]);
    assert_eq!(reader.ctx.metrics.skipped.get(), 1, "what was read ahead does not count yet");
    assert_eq!(reader.rest().expect("reads"), [2]);
    assert_eq!(reader.ctx.metrics.skipped.get(), 3);
}

#[test]
fn bad_records_are_items_where_the_job_wants_them() {
    let folder = Folder::new();
    let path = folder.write("n.csv", "n\n1\n\"a\nb\"\n3\n");
    let items = read_all(&Files::csv::<(u32,)>(&path).or_bad()).expect("reads").concat();
    let [Parsed::Good((1,)), Parsed::Bad(bad), Parsed::Good((3,))] = &items[..] else {
        panic!("{items:?}")
    };
    let split = path.to_str().expect("a name").to_owned();
    let BadRecord { position: line, reason, text, .. } = bad;
    assert_eq!((bad.split.as_str(), *line, text.as_str()), (split.as_str(), 3, "\"a\nb\""));
    assert!(reason.contains("column 'n'"), "{reason}");
}

#[test]
fn bytes_that_are_no_text_are_bad_records() {
    let folder = Folder::new();
    let path = folder.write("n", b"\"a\"\n\"\xff\"\n");
    let bad = "n:2: byte 1 of the line is not UTF-8 (0xff)";
    says(read_all(&Files::lines(&path)).expect_err("raw"), &[bad]);
    says(read_all(&Files::json_lines::<String>(&path)).expect_err("JSON"), &[bad]);
    let csv = folder.write("n.csv", b"n\na\n\xff\n");
    says(read_all(&Files::csv::<(String,)>(csv)).expect_err("CSV"), &["n.csv:3:", "UTF-8"]);
}

#[test]
fn a_line_beyond_the_limit_is_a_bad_record() {
    let folder = Folder::new();
    let path = folder.write("n.jsonl", format!("1\n{}\n3\n", "2".repeat(1 << 20)));
    let source = Files::json_lines::<u32>(&path).max_line_bytes(100);
    let error = read_all(&source).expect_err("line 2 is too long");
    says(error, &["n.jsonl:2", "longer than 100 bytes", "`.max_line_bytes(100)`"]);
    let skipping = source.clone().on_bad(OnBad::Skip);
    assert_eq!(read_all(&skipping).expect("reads").concat(), [1, 3]);
    let items = read_all(&source.or_bad()).expect("reads").concat();
    let Parsed::Bad(bad) = &items[1] else { panic!("{items:?}") };
    assert!(bad.text.len() <= 1024 && bad.text.starts_with("222"), "{bad}");
    let fits = folder.write("fits", "12345\n12345");
    assert_eq!(read_all(&Files::lines(&fits).max_line_bytes(5)).expect("reads")[0].len(), 2);
    assert!(read_all(&Files::lines(&fits).max_line_bytes(4)).is_err());
}

#[test]
fn a_quote_that_is_never_closed_is_a_bad_record() {
    let folder = Folder::new();
    let path = folder.write("n.csv", "n\n1\n\"2\n3\n");
    let error = read_all(&Files::csv::<(u32,)>(&path)).expect_err("an open quote");
    says(error, &["n.csv:3:", "never closed"]);
    let limited = Files::csv::<(u32,)>(&path).max_line_bytes(2);
    says(read_all(&limited).expect_err("too long"), &["n.csv:3:", "is a quote not closed?"]);
}

#[test]
fn a_bad_record_of_a_range_names_its_byte() {
    let folder = Folder::new();
    let path = folder.write("n.jsonl", "1\n2\n3\nx\n");
    let error = read_all(&Files::json_lines::<u32>(path).split_bytes(4)).expect_err("bad");
    says(error, &["n.jsonl, byte 6 (line 2 of the part from byte 4)"]);
}

/// Reads two records of a file of ten, and says where that is.
fn begun(folder: &Folder) -> FileOffset {
    let path = folder.write("n.jsonl", numbers(10));
    let mut reader = ByHand::open(&Files::json_lines::<u32>(&path), None).expect("opens");
    assert_eq!(reader.next(2).expect("reads").1, [0, 1]);
    let offset = reader.reader.offset(SplitIndex(0)).expect("read");
    assert_eq!(format!("{offset:?}"), "line 2, byte 4 (file of 20 bytes)");
    assert_eq!(reader.splits.len(), 1);
    offset
}

#[test]
fn a_file_that_shrank_or_was_replaced_is_never_gone_on_with() {
    let folder = Folder::new();
    let offset = begun(&folder);
    let source = Files::json_lines::<u32>(folder.path("n.jsonl"));
    let resume = || ByHand::open(&source, Some(offset)).and_then(|mut reader| reader.rest());
    assert_eq!(resume().expect("reads"), (2..10).collect::<Vec<_>>());
    folder.write("n.jsonl", numbers(9));
    says(resume().expect_err("shrank"), &["RR0517", "n.jsonl", "20 to 18 bytes", "line 2"]);
    folder.write("n.jsonl", numbers(20).replace('0', "7"));
    says(resume().expect_err("replaced"), &["RR0518", "n.jsonl", "first 20 bytes"]);
    fs::remove_file(folder.path("n.jsonl")).expect("removed");
    assert!(resume().is_err());
}

#[test]
fn a_file_that_vanishes_or_shrinks_while_it_is_read_is_an_error() {
    let folder = Folder::new();
    let path = folder.write("n.jsonl", numbers(50_000));
    let source = Files::json_lines::<u32>(&path);
    let mut reader = ByHand::open(&source, None).expect("opens");
    reader.next(10).expect("reads");
    fs::remove_file(&path).expect("removed");
    says(reader.rest().expect_err("vanished"), &["RR0516", "n.jsonl"]);

    folder.write("n.jsonl", numbers(50_000));
    let mut reader = ByHand::open(&source, None).expect("opens");
    reader.next(10).expect("reads");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("opens");
    file.set_len(150_000).expect("cut");
    says(reader.rest().expect_err("shrank"), &["n.jsonl"]);
}

#[test]
fn a_followed_file_that_is_replaced_is_an_error() {
    let folder = Folder::new();
    let path = folder.write("log", "one\n");
    let mut reader = ByHand::open(&Files::lines(&path).follow(), None).expect("opens");
    assert_eq!(reader.rest().expect("reads"), ["one"]);
    folder.write("log", "two\nthree\n");
    says(reader.next(9).expect_err("replaced"), &["RR0518", "log"]);
}

#[test]
fn a_last_line_that_grew_after_it_was_read_is_an_error() {
    let folder = Folder::new();
    let path = folder.write("n.jsonl", "1\n2");
    let source = Files::json_lines::<u32>(&path);
    let mut reader = ByHand::open(&source, None).expect("opens");
    assert_eq!(reader.rest().expect("reads"), [1, 2]);
    let offset = reader.reader.offset(SplitIndex(0));
    folder.append("n.jsonl", "2\n");
    let error = ByHand::open(&source, offset).err().expect("the line grew");
    says(error, &["RR0519", "line 2", "`.follow()`"]);
}

#[test]
fn settings_that_contradict_are_refused_before_a_run() {
    let folder = Folder::new();
    let plain = folder.write("n.jsonl", "1\n");
    let packed = folder.write("n.gz", "");
    let refused = |source: &dyn Fn() -> anyhow::Result<()>| source().expect_err("refused");
    says(refused(&|| Files::lines(&plain).split_bytes(9).follow().check()), &["contradict"]);
    says(refused(&|| Files::csv::<(u32,)>(&plain).split_bytes(9).check()), &["split_bytes"]);
    says(refused(&|| Files::lines(&plain).split_bytes(0).check()), &["split_bytes(0)"]);
    says(refused(&|| Files::lines(&plain).max_line_bytes(0).check()), &["max_line_bytes(0)"]);
    says(refused(&|| Files::lines(&packed).follow().check()), &["n.gz", "unpack"]);
    says(refused(&|| Files::lines(folder.path("absent")).check()), &["RR0511", "absent"]);
}

#[test]
fn other_ranges_than_the_checkpoints_are_refused() {
    let folder = Folder::new();
    let path = folder.write("n.jsonl", numbers(9));
    let ranges = ByHand::open(&Files::lines(&path).split_bytes(4), None).expect("opens");
    let mut whole = ByHand::open(&Files::lines(&path), None).expect("opens");
    let split = ranges.splits[1].clone();
    let refused = crate::testing::block_on(whole.reader.assign(split, None));
    says(refused.expect_err("another range"), &["`.split_bytes(4)`"]);
}
