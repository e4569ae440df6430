//! What runs wrote, as records: the visible files of every sink below a scratch folder, and what
//! sinks showed whose scratch output lies elsewhere.
//!
//! A record is a line, without the fields that are left out; the first line of a CSV file is its
//! heads and no record. All of it is in memory: a drill's input is bounded. Order: a key's records
//! come from one subtask in a checkpoint, so files in the order of checkpoint, subtask and number
//! hold them in the order in which they were written.

use std::collections::BTreeMap;
use std::path::Path;

use riverrun_engine::rehearsal::{Order, Shown};
use serde_json::Value;

use super::disk;
use super::error::DrillError;
use super::site::OUTPUT;

/// Which fields of a record say what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// Left out of the comparison; a dot goes into an object.
    pub(super) ignore: Vec<String>,
    /// What orders records: those with one value of it must come in the same order.
    pub(super) key: Option<String>,
}

/// Where records have their key, unless told: results of windows and of most jobs.
const KEY: &str = "key";

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) text: String,
    pub(super) key: Option<String>,
}

/// All records, by sink, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) by_sink: BTreeMap<String, Vec<Record>>,
}

impl Output {
    /// How many records.
    pub(super) fn len(&self) -> u64 {
        self.by_sink.values().map(|records| records.len() as u64).sum()
    }
}

/// Checkpoint, subtask and number of a file, from its name.
fn place(file: &Path) -> (u64, u64, u64) {
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut parts = name.rsplitn(4, '-').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    let (number, subtask, checkpoint) = (next(), next(), next());
    (checkpoint, subtask, number)
}

/// Reads all that is visible below `folder`.
pub(super) fn read(folder: &Path, fields: &Fields) -> Result<Output, DrillError> {
    let mut output = Output::default();
    for sink in disk::visible(&folder.join(OUTPUT))? {
        let name = sink.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut files = disk::visible(&sink)?;
        files.sort_by_key(|file| place(file));
        let mut records = Vec::new();
        for file in files {
            let csv = file.extension().is_some_and(|extension| extension == "csv");
            let text = disk::read(&file)?;
            for line in text.lines().skip(usize::from(csv)) {
                records.push(record(&name, line, fields)?);
            }
        }
        output.by_sink.insert(name, records);
    }
    Ok(output)
}

/// How many files are visible: grows with each commit that shows anything.
pub(super) fn files(folder: &Path) -> Result<u64, DrillError> {
    let mut files = 0;
    for sink in disk::visible(&folder.join(OUTPUT))? {
        files += disk::visible(&sink)?.len() as u64;
    }
    Ok(files)
}

/// The records that a sink showed.
pub(super) fn shown(
    sink: &str,
    shown: Vec<Shown>,
    fields: &Fields,
) -> Result<Vec<Record>, DrillError> {
    let one = |Shown { about, value, order }: Shown| {
        let Record { text, key } = record(sink, &value, fields)?;
        let key = match order {
            Order::Shown => key,
            Order::Within(key) => Some(key),
            Order::None => None,
        };
        let text = if about.is_empty() { text } else { format!("{about}: {text}") };
        Ok(Record { text, key })
    };
    shown.into_iter().map(one).collect()
}

fn record(sink: &str, line: &str, fields: &Fields) -> Result<Record, DrillError> {
    let told = !fields.ignore.is_empty() || fields.key.is_some();
    let plain = || Record { text: line.to_owned(), key: None };
    if !told && !line.contains("\"key\"") {
        return Ok(plain());
    }
    let Ok(mut value) = serde_json::from_str::<Value>(line) else {
        return match told {
            true => Err(DrillError::NoFields { sink: sink.to_owned(), line: line.to_owned() }),
            false => Ok(plain()),
        };
    };
    let key = fields.key.as_deref().unwrap_or(KEY);
    let key = value.pointer(&pointer(key)).map(Value::to_string);
    if fields.ignore.is_empty() {
        return Ok(Record { text: line.to_owned(), key });
    }
    for field in &fields.ignore {
        leave_out(&mut value, field);
    }
    Ok(Record { text: value.to_string(), key })
}

fn pointer(field: &str) -> String {
    format!("/{}", field.replace('.', "/"))
}

fn leave_out(value: &mut Value, field: &str) {
    let (within, name) = field.rsplit_once('.').unwrap_or(("", field));
    let object = match within {
        "" => Some(value),
        within => value.pointer_mut(&pointer(within)),
    };
    if let Some(Value::Object(fields)) = object {
        fields.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_in_the_order_they_were_written() {
        let mut names = [
            "part-a-b-0000000010-000-2.jsonl",
            "part-a-b-0000000009-001-0.jsonl",
            "part-a-b-0000000010-000-10.jsonl",
            "part-a-b-0000000009-000-11.jsonl",
        ];
        names.sort_by_key(|name| place(Path::new(name)));
        let places: Vec<_> = names.iter().map(|name| place(Path::new(name))).collect();
        assert_eq!(places, [(9, 0, 11), (9, 1, 0), (10, 0, 2), (10, 0, 10)]);
    }

    #[test]
    fn what_a_sink_shows_keeps_the_order_it_says() {
        let shown = |order| Shown { about: "0 k".into(), value: r#"{"key":7}"#.into(), order };
        let all = vec![shown(Order::Shown), shown(Order::Within("k".into())), shown(Order::None)];
        let records = super::shown("s", all, &Fields::default()).expect("records");
        let keys: Vec<_> = records.iter().map(|record| record.key.as_deref()).collect();
        assert_eq!(keys, [Some("7"), Some("k"), None]);
        assert_eq!(records[0].text, r#"0 k: {"key":7}"#);
    }

    #[test]
    fn fields_are_left_out_and_keys_are_found() {
        let line = r#"{"key":7,"at":{"wall":1,"event":2}}"#;
        let plain = record("s", line, &Fields::default()).expect("a record");
        assert_eq!((plain.text.as_str(), plain.key.as_deref()), (line, Some("7")));
        let fields =
            Fields { ignore: vec!["at.wall".into(), "no".into()], key: Some("at.event".into()) };
        let cut = record("s", line, &fields).expect("a record");
        assert_eq!(cut.text, r#"{"at":{"event":2},"key":7}"#);
        assert_eq!(cut.key.as_deref(), Some("2"));
        assert!(matches!(record("s", "a,b", &fields), Err(DrillError::NoFields { .. })));
        assert_eq!(record("s", "a,b", &Fields::default()).expect("a line").key, None);
    }
}
