//! Whatever a file looks like, each of its records is read once, also across restarts.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::{ByHand, Folder, fs, numbers};
use crate::file::{Files, RawLines};
use crate::testing::{check_source, read_all};
use riverrun_engine::source::{Progress, Source, SplitIndex};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("packed");
    encoder.finish().expect("packed")
}

fn zstd(text: &str) -> Vec<u8> {
    compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)
}

#[test]
fn json_lines_keep_the_contract_whole_and_in_ranges() {
    let folder = Folder::new();
    let path = folder.write("n.jsonl", numbers(6000) + "\r\n\n7\r\n8");
    check_source(&Files::json_lines::<u32>(&path)).expect("whole");
    for size in [1000, 5000, 1 << 20] {
        let ranges = Files::json_lines::<u32>(&path).split_bytes(size);
        check_source(&ranges).unwrap_or_else(|e| panic!("ranges of {size}: {e:#}"));
    }
    check_source(&Files::json_lines::<u32>(&path).follow()).expect("followed");
}

#[test]
fn ranges_of_any_size_hold_every_line_once() {
    let folder = Folder::new();
    for text in ["", "\n", "a", "a\n", "a\n\nbcd\r\n\n", "long line\nx\n\ny", "\n\n\nq"] {
        let path = folder.write("lines.txt", text);
        let whole = read_all(&Files::lines(&path)).expect("read").concat();
        for size in 1..12 {
            let ranges = Files::lines(&path).split_bytes(size);
            assert_eq!(read_all(&ranges).expect("read").concat(), whole, "{text:?} by {size}");
        }
    }
}

#[test]
fn csv_keeps_the_contract() {
    let folder = Folder::new();
    let rows = (0..3000).map(|i| format!("{i},\"name\r\nof \"\"{i}\"\"\"\r\n"));
    let text = "n,name\r\n".to_owned() + &rows.collect::<String>() + "7,last";
    let source = Files::csv::<(u32, String)>(folder.write("rows.csv", &text));
    check_source(&source).expect("plain");
    let items = read_all(&source).expect("read").concat();
    assert_eq!((items[1].1.as_str(), items.len()), ("name\r\nof \"1\"", 3001));
    let packed = folder.write("rows.csv.gz", gzip(&text));
    check_source(&Files::csv::<(u32, String)>(packed)).expect("packed");
}

#[test]
fn packed_files_of_several_parts_keep_the_contract() {
    let folder = Folder::new();
    let (one, two) = (numbers(3000), "3000\n".to_owned());
    let gz = folder.write("n.jsonl.gz", [gzip(&one), gzip(&two)].concat());
    check_source(&Files::json_lines::<u32>(&gz)).expect("gzip");
    let skippable = [0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let zst = [zstd(&one), skippable.to_vec(), zstd(&two)].concat();
    let zst = folder.write("n.jsonl.zst", zst);
    check_source(&Files::json_lines::<u32>(&zst)).expect("zstd");
    let all: Vec<u32> = (0..=3000).collect();
    assert_eq!(read_all(&Files::json_lines::<u32>(&gz)).expect("read").concat(), all);
    assert_eq!(read_all(&Files::json_lines::<u32>(&zst)).expect("read").concat(), all);
}

#[test]
fn a_packed_file_that_is_cut_off_is_an_error() {
    let folder = Folder::new();
    for (name, bytes) in [("n.gz", gzip(&numbers(9000))), ("n.zst", zstd(&numbers(9000)))] {
        let path = folder.write(name, &bytes[..bytes.len() - 9]);
        let error = read_all(&Files::json_lines::<u32>(path)).expect_err(name);
        let error = format!("{error:#}");
        assert!(error.contains(name) && error.contains("damaged or incomplete"), "{error}");
    }
}

#[test]
fn an_empty_file_ends_at_once() {
    let folder = Folder::new();
    for name in ["a.jsonl", "a.csv"] {
        let path = folder.write(name, "");
        assert_eq!(read_all(&Files::json_lines::<u32>(&path)).expect("read")[0].len(), 0);
        assert_eq!(read_all(&Files::csv::<(u32,)>(&path)).expect("read")[0].len(), 0);
        assert_eq!(read_all(&Files::lines(&path).follow()).expect("read")[0].len(), 0);
    }
}

#[test]
fn a_path_is_a_file_a_folder_or_a_glob() {
    let folder = Folder::new();
    for name in ["b.txt", "a.txt", ".hidden.txt", "c.log"] {
        folder.write(name, name);
    }
    fs::create_dir(folder.path("sub.txt")).expect("a folder");
    let read = |path| read_all(&Files::lines(path)).map(|splits| splits.concat());
    assert_eq!(read(folder.path("b.txt")).expect("file"), ["b.txt"]);
    assert_eq!(read(folder.path("")).expect("folder"), ["a.txt", "b.txt", "c.log"]);
    assert_eq!(read(folder.path("*.txt")).expect("glob"), ["a.txt", "b.txt"]);
    let empty = read(folder.path("sub.txt")).expect_err("an empty folder").to_string();
    assert!(empty.contains("RR0512") && empty.contains("sub.txt"), "{empty}");
    let nothing = Files::lines(folder.path("*.csv")).check().expect_err("no match").to_string();
    assert!(nothing.contains("RR0511") && nothing.contains("*.csv"), "{nothing}");
}

#[test]
fn many_files_are_read_in_turn() {
    let folder = Folder::new();
    for i in 0..100 {
        folder.write(&format!("{i:03}.jsonl"), numbers(i));
    }
    let splits = read_all(&Files::json_lines::<usize>(folder.path(""))).expect("read");
    assert_eq!(splits.iter().map(Vec::len).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_followed_file_is_read_line_by_line_as_it_grows() {
    let folder = Folder::new();
    let path = folder.write("log.txt", "one\ntw");
    let source = Files::lines(&path).follow();
    let mut reader: ByHand<String, RawLines> = ByHand::open(&source, None).expect("opens");
    assert!(!source.is_bounded());
    assert_eq!(reader.next(9).expect("reads").1, ["one"]);
    let split = SplitIndex(0);
    assert_eq!(reader.next(9).expect("reads").0, Progress::CaughtUp(split));
    folder.append("log.txt", "o\n");
    let (progress, items) = reader.next(9).expect("reads");
    assert_eq!(
        (progress, items),
        (Progress::Records { split, first: 2, last: 2 }, vec!["two".to_owned()])
    );
    assert_eq!(reader.next(9).expect("reads").0, Progress::CaughtUp(split));
}

#[test]
fn a_followed_csv_waits_for_the_end_of_a_quoted_field() {
    let folder = Folder::new();
    let path = folder.write("rows.csv", "n,name\n1,\"a\n");
    let source = Files::csv::<(u32, String)>(&path).follow();
    let mut reader = ByHand::open(&source, None).expect("opens");
    assert_eq!(reader.rest().expect("reads"), []);
    folder.append("rows.csv", "b\"\n2,c\n");
    let rows = [(1, "a\nb".to_owned()), (2, "c".to_owned())];
    assert_eq!(reader.rest().expect("reads"), rows);
}
