//! What is exported is what is scanned.

#![allow(clippy::disallowed_methods, reason = "reads its own files")]

use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::cli::args::StateOrder;
use crate::cli::error::CliError;
use crate::cli::state::print_rows;
use crate::cli::tests::held::{Held, opened, order, spent, user, usual};
use crate::cli::wait_for;

/// One state in a folder, to be exported.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn with(held: &Held) -> Self {
        let world = World { folder: tempfile::tempdir().expect("a folder") };
        held.write(world.path(), 1, None);
        world
    }

    fn path(&self) -> &str {
        self.folder.path().to_str().expect("text")
    }

    fn export(&self, state: &str, file: &str, more: &[&str]) -> Result<RecordBatch, CliError> {
        let to = self.folder.path().join(file);
        let line = ["export", "spend", state, "--to", to.to_str().expect("text")];
        let StateOrder::Export(args) = order(&[&line, more].concat()) else { panic!("export") };
        wait_for(super::export(self.path(), &args))?;
        Ok(read(&to))
    }

    /// The keys and values that a scan shows, in the same order.
    fn scanned(&self, state: &str) -> Vec<Value> {
        let line = ["scan", "spend", state, "--limit", "0", "--json"];
        let StateOrder::Scan(args) = order(&line) else { panic!("scan") };
        let mut lines = Vec::new();
        let mut print = |text: &str| {
            lines.extend(text.lines().map(|l| serde_json::from_str(l).expect("JSON")));
            Ok(true)
        };
        let opened = opened(self.path(), "newest");
        assert!(!wait_for(print_rows(&opened, &args, &mut print)).expect("scans"));
        lines
    }
}

fn read(file: &Path) -> RecordBatch {
    let bytes = File::open(file).expect("is there");
    let (schema, batches): (_, Vec<RecordBatch>) = match file.extension() {
        Some(extension) if extension == "parquet" => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("Parquet");
            let schema = reader.schema().clone();
            let reader = reader.build().expect("Parquet");
            (schema, reader.map(|batch| batch.expect("whole")).collect())
        }
        _ => {
            let reader = arrow_ipc::reader::FileReader::try_new(bytes, None).expect("Arrow");
            (reader.schema(), reader.map(|batch| batch.expect("whole")).collect())
        }
    };
    assert_eq!(schema.metadata().get("riverrun.checkpoint").map(String::as_str), Some("1"));
    assert!(batches.len() <= 1, "tests are small");
    batches.into_iter().next().unwrap_or_else(|| RecordBatch::new_empty(schema))
}

/// A cell as JSON.
fn cell(batch: &RecordBatch, column: &str, row: usize) -> Value {
    let array = batch.column_by_name(column).expect(column);
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt64 => json!(array.as_primitive::<UInt64Type>().value(row)),
        DataType::Float64 => json!(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::Binary => json!(crate::value::hex(array.as_binary::<i32>().value(row))),
        DataType::Timestamp(..) => {
            json!(array.as_primitive::<TimestampMillisecondType>().value(row))
        }
        other => panic!("no column of type {other}"),
    }
}

fn names(batch: &RecordBatch) -> Vec<String> {
    batch.schema().fields().iter().map(|field| field.name().clone()).collect()
}

#[test]
fn a_struct_is_a_column_for_each_field_and_every_number_exact() {
    let world = World::with(&usual());
    for file in ["a.parquet", "a.arrow"] {
        let batch = world.export("total", file, &[]).expect("exports");
        let expected = [
            "key.country",
            "key.id",
            "value.count",
            "value.cents",
            "value.mean",
            "value.name",
            "value.open",
        ];
        assert_eq!(names(&batch), expected);
        let scanned = world.scanned("total");
        assert_eq!((batch.num_rows(), scanned.len()), (3, 3));
        for (row, line) in scanned.iter().enumerate() {
            for name in expected {
                let (part, field) = name.split_once('.').expect("a field");
                assert_eq!(cell(&batch, name, row), line[part][field], "{name} of row {row}");
            }
        }
        let counts: Vec<_> = (0..3).map(|row| cell(&batch, "value.count", row)).collect();
        assert!(counts.contains(&json!(u64::MAX)), "{counts:?}");
        assert_eq!(cell(&batch, "value.cents", 0), json!(i64::MIN));
        let nulls = batch.column_by_name("value.mean").expect("a column").null_count();
        assert_eq!(nulls, 1);
    }
}

#[test]
fn slices_timers_and_collections() {
    let world = World::with(&usual());
    let columns = |state: &str| {
        let file = format!("{}.parquet", state.trim_start_matches('#'));
        let batch = world.export(state, &file, &[]).expect("exports");
        let rows = 0..batch.num_rows();
        let names = names(&batch);
        let row = |row| names.iter().map(|name| cell(&batch, name, row)).collect::<Vec<_>>();
        let mut rows: Vec<Value> = rows.map(|at| json!(row(at))).collect();
        rows.sort_by_key(Value::to_string);
        (names.join(" "), json!(rows))
    };
    let (names, rows) = columns("per-minute");
    assert_eq!(names, "key window_start portion value");
    assert_eq!(rows, json!([["shop", -60_000, null, 4], ["shop", 60_000, null, 5]]));
    assert_eq!(columns("#event-timers"), ("key at".to_owned(), json!([["shop", 61_001]])));
    let (names, rows) = columns("tags");
    assert_eq!(names, "key chunk added_generation added_run value");
    let rows_of = |row: &Value| rows.as_array().is_some_and(|rows| rows.contains(row));
    assert!(rows_of(&json!([1, 0, null, null, "[\"a\",\"b\"]"])), "{rows}");
    assert!(rows_of(&json!([1, null, 3, 5, "[\"d\"]"])), "{rows}");
    assert!(rows_of(&json!([2, 512, null, null, "[\"c\"]"])), "{rows}");
    let (names, rows) = columns("by-day");
    assert_eq!(names, "key map_key value");
    assert_eq!(rows, json!([[1, "20", "-5"], [2, "21", "6"]]));
    assert_eq!(columns("own"), ("key value".to_owned(), json!([[1, "0x010203"]])));
    assert_eq!(columns("nothing"), ("key value".to_owned(), json!([])));
}

#[test]
fn more_rows_than_a_batch_go_through() {
    let mut held = Held::default();
    let rows = super::BATCH_ROWS + 5;
    for n in 0..rows as i64 {
        held = held.put("nothing", &(n - 7), &(n as u64));
    }
    let world = World::with(&held);
    let to = world.folder.path().join("n.parquet");
    let line = ["export", "spend", "nothing", "--to", to.to_str().expect("text")];
    let StateOrder::Export(args) = order(&line) else { panic!("export") };
    wait_for(super::export(world.path(), &args)).expect("exports");
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&to).expect("is there"));
    let reader = reader.expect("Parquet").build().expect("Parquet");
    let mut keys = Vec::new();
    for batch in reader {
        let batch = batch.expect("whole");
        for row in 0..batch.num_rows() {
            let key = cell(&batch, "key", row).as_i64().expect("a number");
            assert_eq!(cell(&batch, "value", row), json!(key + 7));
            keys.push(key);
        }
    }
    keys.sort_unstable();
    assert_eq!(keys, (-7..rows as i64 - 7).collect::<Vec<_>>());
}

#[test]
fn no_file_is_lost_and_none_is_left_half() {
    let world = World::with(&usual());
    world.export("total", "a.parquet", &[]).expect("exports");
    let refused = |file: &str, more: &[&str]| {
        world.export("total", file, more).expect_err("refused").to_string()
    };
    assert!(refused("a.parquet", &[]).starts_with("RR0607"));
    assert!(refused("a.csv", &[]).starts_with("RR0606"));
    assert!(refused("nowhere/a.parquet", &[]).starts_with("RR0608"));
    let batch = world.export("nothing", "a.parquet", &["--force"]).expect("replaces");
    assert_eq!(batch.num_rows(), 0);

    let text = rmp(&json!({"count": "many", "cents": 1, "mean": null, "name": "", "open": true}));
    let key = crate::cli::tests::held::encoded(&user("de", 7));
    let wrong = Held::default().put("total", &user("fr", 1), &spent(1));
    let world = World::with(&wrong.put_row("total", &key, &[], &text));
    let error = world.export("total", "a.parquet", &[]).expect_err("no number").to_string();
    assert!(error.starts_with("RR0609") && error.contains("'value.count' \"many\""), "{error}");
    let files = std::fs::read_dir(world.folder.path()).expect("a folder");
    let files = files.map(|file| file.expect("a file").file_name());
    assert!(files.into_iter().all(|name| !name.to_string_lossy().contains("parquet")));
}

fn rmp(value: &Value) -> Vec<u8> {
    riverrun_engine::data::to_bytes(value).expect("a value")
}
