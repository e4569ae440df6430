//! A record as Kafka's console consumer prints it for `consume`: every part of it, between marks
//! that no test writes, so that keys and values may hold any other bytes.

use std::process::Command;

use anyhow::{Context as _, Result, anyhow};

/// Marks in what the consumer prints. A record ends in a line's end, so that lines can be read.
const FIELD: &str = "\u{1f}<field>";
const HEADER: &str = "\u{1d}<header>";
const NULL: &str = "\u{1a}<null>";
pub(crate) const RECORD: &str = "\u{1e}<record>\n";

/// A record as the console consumer printed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// Its partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// Milliseconds since 1970; none when the topic keeps none.
    pub timestamp: Option<i64>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; none deletes the key in a compacted topic.
    pub value: Option<Vec<u8>>,
}

impl ConsumedRecord {
    /// The key as text; none when there is none, or it is no text.
    #[must_use]
    pub fn key_text(&self) -> Option<&str> {
        std::str::from_utf8(self.key.as_deref()?).ok()
    }

    /// The value as text; none when there is none, or it is no text.
    #[must_use]
    pub fn value_text(&self) -> Option<&str> {
        std::str::from_utf8(self.value.as_deref()?).ok()
    }
}

/// Tells the console consumer to print records so that `parse` reads them.
pub(crate) fn print(tool: &mut Command) {
    for part in ["timestamp", "partition", "offset", "headers", "key", "value"] {
        tool.args(["--property", &format!("print.{part}=true")]);
    }
    let marks = [
        ("key.separator", FIELD),
        ("line.separator", RECORD),
        ("headers.separator", HEADER),
        ("null.literal", NULL),
    ];
    for (name, mark) in marks {
        tool.args(["--property", &format!("{name}={mark}")]);
    }
}

/// A record from its print.
pub(crate) fn parse(bytes: &[u8]) -> Result<ConsumedRecord> {
    let fields = fields(bytes, FIELD.as_bytes());
    let print = || format!("not a record's print: {:?}", String::from_utf8_lossy(bytes));
    let [timestamp, partition, offset, headers, key, value] = fields[..] else {
        return Err(anyhow!(print()));
    };
    let number = |field: &[u8], name: &str| -> Option<i64> {
        std::str::from_utf8(field).ok()?.strip_prefix(name)?.parse().ok()
    };
    let timestamp =
        number(timestamp, "CreateTime:").or_else(|| number(timestamp, "LogAppendTime:"));
    let partition = number(partition, "Partition:").and_then(|p| i32::try_from(p).ok());
    Ok(ConsumedRecord {
        partition: partition.with_context(print)?,
        offset: number(offset, "Offset:").with_context(print)?,
        timestamp,
        headers: parse_headers(headers).with_context(print)?,
        key: present(key),
        value: present(value),
    })
}

fn parse_headers(field: &[u8]) -> Option<Vec<(String, Option<Vec<u8>>)>> {
    if field == b"NO_HEADERS" {
        return Some(Vec::new());
    }
    let headers = fields(field, HEADER.as_bytes()).into_iter().map(|header| {
        let colon = header.iter().position(|byte| *byte == b':')?;
        let key = String::from_utf8_lossy(&header[..colon]).into_owned();
        Some((key, present(&header[colon + 1..])))
    });
    headers.collect()
}

/// What was printed, unless it stands for nothing.
fn present(field: &[u8]) -> Option<Vec<u8>> {
    (field != NULL.as_bytes()).then(|| field.to_vec())
}

/// The parts of `bytes` between the marks.
fn fields<'a>(bytes: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let mut fields = Vec::new();
    let mut begin = 0;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(mark) {
            fields.push(&bytes[begin..at]);
            at += mark.len();
            begin = at;
        } else {
            at += 1;
        }
    }
    fields.push(&bytes[begin..]);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(parts: [&str; 6]) -> Vec<u8> {
        parts.join(FIELD).into_bytes()
    }

    #[test]
    fn a_print_is_read() {
        let headers = format!("a:1{HEADER}b:{NULL}{HEADER}c:x:y");
        let print = print(["CreateTime:17", "Partition:2", "Offset:40", &headers, NULL, "v\n\tw"]);
        let record = parse(&print).unwrap();
        assert_eq!((record.partition, record.offset, record.timestamp), (2, 40, Some(17)));
        let header = |key: &str, value: Option<&str>| (key.to_owned(), value.map(Vec::from));
        assert_eq!(
            record.headers,
            [header("a", Some("1")), header("b", None), header("c", Some("x:y"))]
        );
        assert_eq!((record.key_text(), record.value_text()), (None, Some("v\n\tw")));
    }

    #[test]
    fn a_print_of_another_shape_is_refused() {
        let good = ["NO_TIMESTAMP", "Partition:0", "Offset:1", "NO_HEADERS", "", ""];
        let record = parse(&print(good)).unwrap();
        assert_eq!((record.timestamp, record.key_text()), (None, Some("")));
        for (nth, bad) in [(1, "Offset:1"), (2, "Offset:x"), (3, "no colon"), (4, FIELD)] {
            let mut parts = good;
            parts[nth] = bad;
            assert!(parse(&print(parts)).is_err(), "{bad}");
        }
    }
}
