//! Rows as they are printed: a JSON object a line for programs, a table for people.

use std::time::{Duration, UNIX_EPOCH};

use riverrun_engine::graph::Uid;
use riverrun_engine::key::KeyGroup;
use riverrun_engine::time::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::live::aligned;
use crate::value::{Place, ShownRow, Within};

/// The end of the year 9999: later moments are shown as milliseconds.
const FORMATTED_MS_END: i64 = 253_402_300_800_000;

/// A row as one line of JSON; moments are milliseconds since 1970.
#[derive(Debug, Serialize)]
struct JsonRow<'a> {
    uid: &'a Uid,
    state: &'a str,
    group: KeyGroup,
    key: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_start: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    map_key: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    portion: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    within: Option<&'a str>,
    value: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

/// One row as one line of JSON.
pub(super) fn json(uid: &Uid, state: &str, group: KeyGroup, row: &ShownRow) -> String {
    let mut json = JsonRow {
        uid,
        state,
        group,
        key: &row.key,
        window_start: None,
        at: None,
        namespace: None,
        map_key: None,
        chunk: None,
        added: None,
        portion: None,
        within: None,
        value: &row.value,
        note: row.note.as_deref(),
    };
    match &row.place {
        Some(Place::WindowStart(at)) => json.window_start = Some(*at),
        Some(Place::At(at)) => json.at = Some(*at),
        Some(Place::Bytes(hex)) => json.namespace = Some(hex),
        None => {}
    }
    match &row.within {
        Some(Within::MapKey(key)) => json.map_key = Some(key),
        Some(Within::Chunk(first)) => json.chunk = Some(*first),
        Some(added @ Within::Added(..)) => json.added = Some(part(added)),
        Some(Within::Portion(number)) => json.portion = Some(*number),
        Some(Within::Bytes(hex)) => json.within = Some(hex),
        None => {}
    }
    let line = serde_json::to_string(&json);
    line.expect("all of it is JSON already") + "\n"
}

/// Rows of one state under each other, with a title, each cell cut after `cell_max` characters.
pub(super) fn table(rows: &[ShownRow], cell_max: usize) -> String {
    let placed = rows.iter().find_map(|row| row.place.as_ref());
    let within = rows.iter().find_map(|row| row.within.as_ref());
    let noted = rows.iter().any(|row| row.note.is_some());
    let mut title = vec!["key"];
    title.extend(placed.map(|place| match place {
        Place::WindowStart(_) => "window start",
        Place::At(_) => "at",
        Place::Bytes(_) => "namespace",
    }));
    title.extend(within.map(|within| match within {
        Within::MapKey(_) => "map key",
        Within::Chunk(_) => "from element",
        Within::Added(..) => "added",
        Within::Portion(_) => "portion",
        Within::Bytes(_) => "within",
    }));
    title.push("value");
    title.extend(noted.then_some("note"));
    let cells = rows.iter().map(|row| {
        let mut cells = vec![shown(&row.key)];
        cells.extend(placed.map(|_| row.place.as_ref().map(place).unwrap_or_default()));
        cells.extend(within.map(|_| row.within.as_ref().map(part).unwrap_or_default()));
        cells.push(shown(&row.value));
        cells.extend(noted.then(|| row.note.clone().unwrap_or_default()));
        cells.into_iter().map(|cell| cut(cell, cell_max)).collect()
    });
    let title = title.into_iter().map(str::to_owned).collect();
    let all: Vec<Vec<String>> = std::iter::once(title).chain(cells).collect();
    aligned(&all, usize::MAX).join("\n") + "\n"
}

/// A value for people: text as it is where nothing in it needs quotes, else JSON.
pub(in crate::cli) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if plain(text) => text.clone(),
        other => other.to_string(),
    }
}

fn plain(text: &str) -> bool {
    let quiet = |c: char| !c.is_control();
    !text.is_empty()
        && !text.starts_with(['"', ' '])
        && !text.ends_with(' ')
        && text.chars().all(quiet)
}

fn place(place: &Place) -> String {
    match place {
        Place::WindowStart(at) | Place::At(at) => exactly(*at),
        Place::Bytes(hex) => hex.clone(),
    }
}

fn part(within: &Within) -> String {
    match within {
        Within::MapKey(key) => shown(key),
        Within::Added(generation, run) => format!("{generation}.{run}"),
        Within::Chunk(number) | Within::Portion(number) => number.to_string(),
        Within::Bytes(hex) => hex.clone(),
    }
}

/// `2026-11-21T04:05:06.789Z`, or milliseconds outside of the years 1970 to 9999.
fn exactly(at: Timestamp) -> String {
    match at.as_millis() {
        ms @ 0..FORMATTED_MS_END => {
            let at = UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs());
            humantime::format_rfc3339_millis(at).to_string()
        }
        _ => at.to_string(),
    }
}

fn cut(cell: String, max: usize) -> String {
    match cell.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &cell[..end]),
        None => cell,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(key: Value, value: Value) -> ShownRow {
        ShownRow { key, place: None, within: None, value, note: None }
    }

    #[test]
    fn a_table_has_the_columns_its_rows_need() {
        let mut rows = vec![row(json!("de"), json!({"n": 1})), row(json!(7), json!("a\nb"))];
        assert_eq!(table(&rows, 80), "key  value\nde   {\"n\":1}\n7    \"a\\nb\"\n");
        assert_eq!(table(&rows[..1], 3), "key  value\nde   {\"n…\n");
        rows[0].place = Some(Place::WindowStart(Timestamp::from_millis(1_001)));
        rows[1].note = Some("odd".to_owned());
        let expected = "key  window start              value    note\n\
                        de   1970-01-01T00:00:01.001Z  {\"n\":1}\n\
                        7                              \"a\\nb\"   odd\n";
        assert_eq!(table(&rows, 80), expected);
    }

    #[test]
    fn a_line_of_json_says_everything_exactly() {
        let mut one = row(json!([1, "x"]), json!(u64::MAX));
        let uid = Uid::new("spend");
        let line = json(&uid, "sum", KeyGroup(9), &one);
        let expected =
            r#"{"uid":"spend","state":"sum","group":9,"key":[1,"x"],"value":18446744073709551615}"#;
        assert_eq!(line, format!("{expected}\n"));
        one.place = Some(Place::At(Timestamp::from_millis(-5)));
        one.within = Some(Within::Chunk(512));
        one.note = Some("n".to_owned());
        let line: Value =
            serde_json::from_str(&json(&uid, "sum", KeyGroup(9), &one)).expect("JSON");
        assert_eq!(
            (&line["at"], &line["chunk"], &line["note"]),
            (&json!(-5), &json!(512), &json!("n"))
        );
        one.within = Some(Within::Added(7, 12));
        assert!(json(&uid, "sum", KeyGroup(9), &one).contains(r#""added":"7.12""#));
        one.within = Some(Within::Portion(3));
        assert!(json(&uid, "sum", KeyGroup(9), &one).contains(r#""portion":3"#));
    }
}
