//! What `state` and `checkpoint inspect` find in a checkpoint.

use serde_json::{Value, json};

use super::held::{Held, encoded, opened, order, spent, user, usual};
use crate::checkpoint::CheckpointStore;
use crate::cli::args::StateOrder;
use crate::cli::error::CliError;
use crate::cli::state::{found, print_rows};
use crate::cli::{Exit, inspect, wait_for};

fn folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("text").to_owned();
    (folder, path)
}

fn get(path: &str, line: &[&str]) -> Result<String, CliError> {
    let StateOrder::Get(args) = order(&[&["get"], line].concat()) else { panic!("get") };
    wait_for(found(&opened(path, &args.from.checkpoint), &args))
}

/// What is printed, and whether there is more.
fn scan(path: &str, line: &[&str]) -> Result<(String, bool), CliError> {
    let StateOrder::Scan(args) = order(&[&["scan"], line].concat()) else { panic!("scan") };
    let mut text = String::new();
    let opened = opened(path, &args.from.checkpoint);
    let mut print = |part: &str| {
        text.push_str(part);
        Ok(true)
    };
    let more = wait_for(print_rows(&opened, &args, &mut print))?;
    Ok((text, more))
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn one_key_of_every_kind_of_state() {
    let (_folder, path) = folder();
    usual().write(&path, 1, None);
    let one = |line: &[&str]| {
        let rows = lines(&get(&path, &[line, &["--json"]].concat()).expect("found"));
        rows.into_iter()
            .map(|mut row| {
                for gone in ["uid", "state", "group"] {
                    row.as_object_mut().expect("an object").remove(gone).expect("told");
                }
                row
            })
            .collect::<Vec<_>>()
    };
    let key = json!({"country": "de", "id": 8});
    let value = json!({"count": u64::MAX, "cents": i64::MIN, "mean": 0.5,
        "name": "n18446744073709551615", "open": true});
    let found = one(&["spend", "total", &key.to_string()]);
    assert_eq!(found, [json!({"key": key, "value": value})]);
    assert_eq!(
        one(&["spend", "per-minute", "shop"]),
        [
            json!({"key": "shop", "window_start": -60_000, "value": 4}),
            json!({"key": "shop", "window_start": 60_000, "value": 5}),
        ]
    );
    let timer = json!({"key": "shop", "at": 61_001, "value": null});
    assert_eq!(one(&["spend", "#event-timers", "shop"]), [timer]);
    let whole = json!({"key": 1, "chunk": 0, "value": ["a", "b"]});
    let added = json!({"key": 1, "added": "3.5", "value": ["d"]});
    assert_eq!(one(&["spend", "tags", "1"]), [whole, added]);
    assert_eq!(one(&["spend", "tags", "2"]), [json!({"key": 2, "chunk": 512, "value": ["c"]})]);
    assert_eq!(one(&["spend", "by-day", "1"]), [json!({"key": 1, "map_key": 20, "value": -5})]);
    assert_eq!(one(&["spend", "by-day", "2"]), [json!({"key": 2, "map_key": 21, "value": 6})]);
    let own = json!({"key": 1, "value": "0x010203", "note": "the value is in codec 'mine'"});
    assert_eq!(one(&["spend", "own", "1"]), [own]);
    let table = get(&path, &["spend", "per-minute", "shop"]).expect("found");
    let expected = "key   window start              value\n\
                    shop  -60000                    4\n\
                    shop  1970-01-01T00:01:00.000Z  5\n";
    assert_eq!(table, expected);
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let (_folder, path) = folder();
    usual().write(&path, 1, None);
    let refused = |line: &[&str]| {
        let error = get(&path, line).expect_err("refused");
        (error.to_string(), error.exit())
    };
    let (text, exit) = refused(&["spent", "total", "1"]);
    assert!(text.starts_with("RR0601") && text.contains("did you mean `spend`?"), "{text}");
    assert_eq!(exit, Exit::Usage);
    let (text, exit) = refused(&["spend", "by-days", "1"]);
    assert!(text.starts_with("RR0602") && text.contains("did you mean `by-day`?"), "{text}");
    assert!(text.contains("there is: #event-timers, by-day, nothing, own"), "{text}");
    assert_eq!(exit, Exit::Usage);
    let (text, exit) = refused(&["spend", "total", "de"]);
    assert!(
        text.starts_with("RR0603") && text.contains("User { country: str, id: u64 }"),
        "{text}"
    );
    assert_eq!(exit, Exit::Usage);
    let (text, exit) = refused(&["spend", "nothing", "-5"]);
    assert!(text.starts_with("RR0604"), "{text}");
    assert_eq!(exit, Exit::Failed);
    let gone = refused(&["spend", "total", r#"{"country":"it","id":1}"#]);
    assert!(gone.0.starts_with("RR0604"), "{gone:?}");
    let (text, _) = refused(&["spend", "per-minute", "sho"]);
    assert!(text.starts_with("RR0604"), "a beginning is no key: {text}");
}

#[test]
fn a_scan_shows_what_a_checkpoint_holds_at_its_time() {
    let (_folder, path) = folder();
    let first = usual().write(&path, 1, None);
    let second = Held::default()
        .delete("total", &user("de", 7))
        .put("total", &user("es", 9), &spent(5))
        .put("nothing", &-5_i64, &1_u64);
    second.write(&path, 2, Some(&first));
    let users = |line: &[&str]| {
        let (text, more) = scan(&path, &[line, &["--json"]].concat()).expect("scans");
        let keys = lines(&text).into_iter().map(|row| {
            let key = &row["key"];
            format!("{}{}", key["country"].as_str().expect("a text"), key["id"])
        });
        let mut keys: Vec<_> = keys.collect();
        keys.sort();
        (keys.join(" "), more)
    };
    let told = |keys: &str| (keys.to_owned(), false);
    assert_eq!(users(&["spend", "total"]), told("de8 es9 fr7"));
    assert_eq!(users(&["spend", "total", "--checkpoint", "1"]), told("de7 de8 fr7"));
    assert_eq!(users(&["spend", "total", "--limit", "0"]), told("de8 es9 fr7"));
    assert_eq!(users(&["spend", "total", "--limit", "3"]), told("de8 es9 fr7"));
    assert!(users(&["spend", "total", "--limit", "2"]).1, "one more");
    let prefix = |text: &str| users(&["spend", "total", "--checkpoint", "1", "--prefix", text]);
    assert_eq!(prefix(r#"["de"]"#), told("de7 de8"));
    assert_eq!(prefix(r#"["de",8]"#), told("de8"));
    assert_eq!(prefix(r#"["d"]"#), told(""));
    let (text, _) = scan(&path, &["spend", "per-minute", "--prefix", "sh"]).expect("scans");
    assert_eq!(text.lines().count(), 3, "{text}");
    let (text, _) = scan(&path, &[]).expect("scans");
    for title in ["spend/total\n", "\n\nspend/per-minute\n", "\n\nspend/nothing\n"] {
        assert!(text.contains(title), "{title} in {text}");
    }
    let (text, _) = scan(&path, &["--json", "--limit", "0"]).expect("scans");
    assert_eq!(lines(&text).len(), 13);
    let wrong = scan(&path, &["spend", "own", "--prefix", "x"]).expect_err("no number");
    assert!(wrong.to_string().starts_with("RR0603"), "{wrong}");
}

#[test]
fn a_report_says_sizes_growth_and_the_largest() {
    let (_folder, path) = folder();
    let first = usual().write(&path, 1, None);
    let long = "x".repeat(5000);
    let second = Held::default()
        .put_row("by-day", &encoded(&2_u64), &encoded(&22_u32), &[7])
        .put_row(
            "tags",
            &encoded(&3_u64),
            &[],
            &riverrun_engine::data::to_bytes(&[long]).expect("ok"),
        )
        .put("nothing", &-5_i64, &1_u64);
    second.write(&path, 3, Some(&first));
    let report = wait_for(async {
        let store = CheckpointStore::open_existing(&path).expect("opens");
        store.inspect(riverrun_engine::checkpoint::CheckpointId(3)).await.expect("whole")
    });
    let state = |name: &str| {
        let mut states = report.operators[0].states.iter();
        states.find(|state| state.name == name).expect("told").clone()
    };
    let days = state("by-day");
    // Three rows with a key of 8 and 4 bytes and a value of one.
    assert_eq!((days.size.entries, days.size.bytes), (3, 3 * 13));
    assert_eq!(days.largest.len(), 2);
    assert_eq!((&days.largest[0].key, days.largest[0].size.bytes), (&json!(2), 26));
    let growth = days.growth.expect("there is one before");
    assert_eq!((growth.entries, growth.bytes), (1, 13));
    assert_eq!(growth.entries_per_minute, Some(0.5));
    assert_eq!((days.ranges.len(), days.ranges[1].first, days.ranges[15].last), (16, 8, 127));
    assert_eq!(days.ranges.iter().map(|range| range.size.bytes).sum::<u64>(), 39);
    let skew = state("tags").skew.expect("there is state");
    assert!(skew.times_mean > 100.0 && skew.size.bytes > 5000, "{skew:?}");
    assert_eq!(state("nothing").growth.expect("before").entries, 1);
    let since = report.since.as_ref().expect("there is one before");
    assert_eq!((since.checkpoint.0, since.growth.entries), (1, 3));
    assert_eq!(report.size.entries, report.operators[0].size.entries);
    let text = inspect::content(&report);
    for said in [
        "since checkpoint 1 of 1970-01-01T00:01:00Z: +3 entries, +",
        "; a minute +1.5 entries, +",
        "    by-day: map, u64 -> ",
        "largest keys  2  2 entries, 26 B",
        "      key groups       0-7:  0  0 B ",
        "x the mean",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
}

#[test]
fn damage_is_told_by_name() {
    let (folder, path) = folder();
    let manifest = usual().write(&path, 1, None);
    let file = folder.path().join(&manifest.segments[0].file);
    let mut bytes = std::fs::read(&file).expect("is there");
    bytes[100] ^= 1;
    std::fs::write(&file, bytes).expect("writes");
    let error = scan(&path, &[]).expect_err("damaged");
    assert!(error.to_string().contains(&manifest.segments[0].file), "{error}");
    assert_eq!(error.exit(), Exit::Checkpoint);
}
