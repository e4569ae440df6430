//! Formats made of lines: how records are read off lines and written as lines.
//!
//! A [`Decode`] is fed whole lines, with their ends, in order; it never sees a file. [`Encode`]
//! writes records into a buffer. A format of your own implements [`Format`] or [`Encode`].

use std::marker::PhantomData;
use std::str;

use riverrun_engine::bad::{BadRecord, Parsed};
use riverrun_engine::data::Data;

use super::error::FileError;

/// What a line was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded<T> {
    /// The (last) line of a record.
    Record(T),
    /// The (last) line of a record that cannot be read, and why.
    Bad(String),
    /// No record: an empty line, a header.
    Nothing,
    /// The record goes on in the next line.
    More,
}

/// Reads records off the lines of one split.
pub trait Decode<T>: Send + 'static {
    /// Takes the next line, with its end.
    fn line(&mut self, line: &[u8]) -> Decoded<T>;

    /// Whether the next line fed must be the first of the file, even when reading starts later.
    fn wants_header(&self) -> bool {
        false
    }

    /// Forgets a record that was begun: the next line starts another.
    fn forget(&mut self) {}

    /// Makes an item of a record that cannot be read; `None`: the source decides.
    fn keep(&self, bad: &BadRecord) -> Option<T> {
        let _ = bad;
        None
    }
}

/// How records are read.
pub trait Format<T>: Clone + Send + Sync + 'static {
    /// Reads the lines of one split.
    type Decoder: Decode<T>;

    /// Whether reading can start at any line.
    const RANGES: bool;

    /// A decoder at the beginning of a file.
    fn decoder(&self) -> Self::Decoder;
}

/// How records are written.
pub trait Encode<T>: Clone + Send + Sync + 'static {
    /// The extension of its files.
    const EXTENSION: &'static str;

    /// Appends `items` to `out`; `first`: the file begins with them.
    ///
    /// # Errors
    /// An item the format cannot hold.
    fn encode(&self, items: &[T], first: bool, out: &mut Vec<u8>) -> Result<(), FileError>;
}

/// The line without its end: `\n` or `\r\n`.
pub(super) fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn text(line: &[u8]) -> Result<&str, String> {
    str::from_utf8(without_end(line)).map_err(|e| {
        format!(
            "byte {} of the line is not UTF-8 (0x{:02x})",
            e.valid_up_to(),
            line[e.valid_up_to()]
        )
    })
}

/// One JSON value a line. Empty lines are no records; a byte order mark is passed over.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonLines;

impl<T: Data> Format<T> for JsonLines {
    type Decoder = JsonLines;
    const RANGES: bool = true;

    fn decoder(&self) -> JsonLines {
        JsonLines
    }
}

impl<T: Data> Decode<T> for JsonLines {
    #[inline]
    fn line(&mut self, line: &[u8]) -> Decoded<T> {
        let text = match text(line) {
            Ok(text) => text.trim_start_matches('\u{feff}'),
            Err(reason) => return Decoded::Bad(reason),
        };
        if text.trim_ascii().is_empty() {
            return Decoded::Nothing;
        }
        match serde_json::from_str(text) {
            Ok(item) => Decoded::Record(item),
            Err(e) => Decoded::Bad(format!("no JSON of the expected form: {e}")),
        }
    }
}

impl<T: Data> Encode<T> for JsonLines {
    const EXTENSION: &'static str = "jsonl";

    fn encode(&self, items: &[T], _first: bool, out: &mut Vec<u8>) -> Result<(), FileError> {
        for item in items {
            let written = serde_json::to_writer(&mut *out, item);
            let reason = |e: serde_json::Error| e.to_string();
            written.map_err(|e| FileError::Item { format: "JSON", reason: reason(e) })?;
            out.push(b'\n');
        }
        Ok(())
    }
}

/// Each line is a record, empty ones too; strict UTF-8, without its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct RawLines;

impl Format<String> for RawLines {
    type Decoder = RawLines;
    const RANGES: bool = true;

    fn decoder(&self) -> RawLines {
        RawLines
    }
}

impl Decode<String> for RawLines {
    #[inline]
    fn line(&mut self, line: &[u8]) -> Decoded<String> {
        match text(line) {
            Ok(text) => Decoded::Record(text.to_owned()),
            Err(reason) => Decoded::Bad(reason),
        }
    }
}

/// Reads [`Parsed`] items: records that cannot be read are items too.
#[derive(Clone, Copy, Debug, Default)]
pub struct OrBad<F>(pub(super) F);

/// The decoder of [`OrBad`].
pub struct OrBadDecoder<T, D> {
    inner: D,
    item: PhantomData<fn() -> T>,
}

impl<T: Data, F: Format<T>> Format<Parsed<T>> for OrBad<F> {
    type Decoder = OrBadDecoder<T, F::Decoder>;
    const RANGES: bool = F::RANGES;

    fn decoder(&self) -> Self::Decoder {
        OrBadDecoder { inner: self.0.decoder(), item: PhantomData }
    }
}

impl<T: Data, D: Decode<T>> Decode<Parsed<T>> for OrBadDecoder<T, D> {
    fn line(&mut self, line: &[u8]) -> Decoded<Parsed<T>> {
        match self.inner.line(line) {
            Decoded::Record(item) => Decoded::Record(Parsed::Good(item)),
            Decoded::Bad(reason) => Decoded::Bad(reason),
            Decoded::Nothing => Decoded::Nothing,
            Decoded::More => Decoded::More,
        }
    }

    fn wants_header(&self) -> bool {
        self.inner.wants_header()
    }

    fn forget(&mut self) {
        self.inner.forget();
    }

    fn keep(&self, bad: &BadRecord) -> Option<Parsed<T>> {
        Some(Parsed::Bad(bad.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_lines() {
        let read = |line: &[u8]| Decode::<u32>::line(&mut JsonLines, line);
        assert_eq!(read(b"7\r\n"), Decoded::Record(7));
        assert_eq!(read(b"\xef\xbb\xbf7"), Decoded::Record(7));
        assert_eq!(read(b" \r\n"), Decoded::Nothing);
        let Decoded::Bad(reason) = read(b"\"a\"\n") else { panic!("a text is no number") };
        assert!(reason.contains("invalid type: string"), "{reason}");
    }

    #[test]
    fn raw_lines_are_strict() {
        let mut lines = RawLines;
        assert_eq!(lines.line(b"\r\n"), Decoded::Record(String::new()));
        let bad = "byte 2 of the line is not UTF-8 (0xff)".to_owned();
        assert_eq!(lines.line(b"ab\xff\n"), Decoded::Bad(bad));
    }
}
