//! Output is visible exactly once, complete, or not at all.

use riverrun_engine::Result;
use riverrun_engine::checkpoint::{CheckpointId, Prepared};
use riverrun_engine::data::{from_bytes, to_bytes};
use riverrun_engine::element::Batch;
use riverrun_engine::graph::Uid;
use riverrun_engine::sink::{Sink, SinkWriter};
use riverrun_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Folder, fs};
use crate::file::{Encode, FilePart, FileSink, Files};
use crate::testing::{Destination, block_on, check_sink, context, read_all};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    n: u64,
    name: String,
}

fn row(n: u64) -> Row {
    Row { n, name: format!("row, \"{n}\"\r\n") }
}

fn names(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.path("")).expect("listed");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("listed").file_name();
    let mut names: Vec<_> =
        entries.map(|entry| name(entry).into_string().expect("a name")).collect();
    names.sort();
    names
}

enum Written {
    Json(Folder),
    Csv(Folder),
}

impl Destination<Row> for Written {
    fn visible(&self) -> Result<Vec<Row>> {
        let (Written::Json(folder) | Written::Csv(folder)) = self;
        if names(folder).iter().all(|name| name.starts_with('.')) {
            return Ok(Vec::new());
        }
        let read = match self {
            Written::Json(folder) => read_all(&Files::json_lines(folder.path(""))),
            Written::Csv(folder) => read_all(&Files::csv(folder.path(""))),
        };
        Ok(read?.concat())
    }

    fn left_over(&self) -> Result<Vec<String>> {
        let (Written::Json(folder) | Written::Csv(folder)) = self;
        Ok(names(folder).into_iter().filter(|name| name.starts_with('.')).collect())
    }
}

#[test]
fn keeps_the_contract() {
    let json = || {
        let folder = Folder::new();
        (Files::write_json_lines(folder.path("")), Written::Json(folder))
    };
    check_sink(json, row).expect("JSON lines");
    let rolled = || {
        let folder = Folder::new();
        (Files::write_csv(folder.path("")).roll_bytes(100), Written::Csv(folder))
    };
    check_sink(rolled, row).expect("CSV, rolled");
}

fn prepared<F: Encode<Row>>(sink: &FileSink<F>, uid: &str, rows: u64) -> Result<Prepared> {
    block_on(async {
        let mut writer = Sink::<Row>::open(sink, context(uid, 2, 3, "a")).await?;
        for n in 0..rows {
            let mut batch = Batch::default();
            batch.push(row(n), Timestamp::MIN);
            writer.write(batch).await?;
        }
        let part = SinkWriter::<Row>::prepare(&mut writer, CheckpointId(7)).await?;
        let committable = to_bytes(&part.expect("rows were written"))?;
        Ok(Prepared { sink: Uid::new(uid), subtask: 2, committable })
    })
}

fn commit<F: Encode<Row>>(sink: &FileSink<F>, uid: &str, part: &Prepared) -> Result<()> {
    let participant = Sink::<Row>::participant(sink, &context(uid, 0, 3, "a"));
    let (_, mut participant) = participant.expect("exactly once");
    block_on(participant.commit(CheckpointId(7), vec![part.clone()]))
}

#[test]
fn names_tell_sink_checkpoint_and_subtask() {
    let folder = Folder::new();
    let sink = Files::write_json_lines(folder.path("")).roll_bytes(60);
    let part = prepared(&sink, "out", 3).expect("prepared");
    let hidden = [".part+test+out+a+2+1.inprogress", ".part+test+out+a+2+2.inprogress"];
    assert_eq!(names(&folder), hidden);
    commit(&sink, "out", &part).expect("committed");
    let visible = ["part-out-0000000007-002-0.jsonl", "part-out-0000000007-002-1.jsonl"];
    assert_eq!(names(&folder), visible);
}

#[test]
fn two_sinks_in_one_folder_stay_apart() {
    let folder = Folder::new();
    let sink = Files::write_json_lines(folder.path(""));
    let (a, ab) = (prepared(&sink, "a", 1).expect("a"), prepared(&sink, "a-b", 2).expect("a-b"));
    let (_, mut participant) =
        Sink::<Row>::participant(&sink, &context("a", 0, 1, "b")).expect("exactly once");
    block_on(participant.recover(None, Vec::new())).expect("recovers");
    commit(&sink, "a-b", &ab).expect("the other sink's file was not touched");
    let lost = commit(&sink, "a", &a).expect_err("removed: no checkpoint named it").to_string();
    assert!(lost.contains("RR0521") && lost.contains("part-a-0000000007-002-0.jsonl"), "{lost}");
}

#[test]
fn a_visible_file_is_never_overwritten() {
    let folder = Folder::new();
    let sink = Files::write_json_lines(folder.path(""));
    let part = prepared(&sink, "out", 2).expect("prepared");
    let visible = folder.write("part-out-0000000007-002-0.jsonl", "another run's\n");
    let error = commit(&sink, "out", &part).expect_err("differs").to_string();
    assert!(error.contains("RR0522") && error.contains("14 bytes"), "{error}");
    assert_eq!(fs::read_to_string(&visible).expect("read"), "another run's\n");
}

#[test]
fn the_committable_says_what_the_file_holds() {
    let folder = Folder::new();
    let part = prepared(&Files::write_csv(folder.path("")), "out", 1).expect("prepared");
    let FilePart { files, .. } = from_bytes(&part.committable).expect("decodes");
    let bytes = fs::read(folder.path(&files[0].hidden)).expect("read");
    assert_eq!(String::from_utf8_lossy(&bytes), "n,name\n0,\"row, \"\"0\"\"\r\n\"\n");
    assert_eq!(files[0].bytes, bytes.len() as u64);
    assert_eq!(files[0].xxh3, xxhash_rust::xxh3::xxh3_64(&bytes));
}

#[test]
fn a_folder_that_cannot_be_written_ends_the_attempt_with_its_name() {
    let folder = Folder::new();
    let file = folder.write("file", "");
    let check = Sink::<Row>::check(&Files::write_csv(&file)).expect_err("a file").to_string();
    assert!(check.contains("is a file"), "{check}");
    let gone = folder.path("gone");
    let sink = Files::write_json_lines(&gone);
    let error = block_on(async {
        let mut writer = Sink::<Row>::open(&sink, context("out", 0, 1, "a")).await?;
        fs::remove_dir(&gone).expect("removed");
        let mut batch = Batch::default();
        batch.push(row(1), Timestamp::MIN);
        writer.write(batch).await?;
        SinkWriter::<Row>::prepare(&mut writer, CheckpointId(1)).await
    });
    let error = error.expect_err("the folder is gone").to_string();
    assert!(error.contains("RR0510: cannot create") && error.contains("gone/.part"), "{error}");
}
