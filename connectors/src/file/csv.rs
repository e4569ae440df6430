//! CSV with a header row: fields are found by name. Quoted fields may hold line ends.
//!
//! Lines are fed to `csv_core` one by one, so that it, and not a guess about quotes, says where a
//! record ends; the `csv` crate makes items of fields. Ends of lines are `\n` or `\r\n`.

use csv::{ByteRecord, StringRecord};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use riverrun_engine::data::Data;

use super::error::FileError;
use super::format::{Decode, Decoded, Encode, Format, without_end};

/// CSV with a header row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Csv;

/// The fields of the record being read.
struct Fields {
    reader: Reader,
    /// Their bytes, one after another. Grows to the longest record, which `max_line_bytes` bounds.
    bytes: Vec<u8>,
    used: usize,
    ends: Vec<usize>,
    count: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Between,
    Within,
}

impl Fields {
    fn new() -> Self {
        // `\r` is stripped by hand: a lone one within a field is data.
        let reader = ReaderBuilder::new().terminator(Terminator::Any(b'\n')).build();
        let (bytes, ends) = (vec![0; 1024], vec![0; 32]);
        Fields { reader, bytes, used: 0, ends, count: 0, state: State::Between }
    }

    fn forget(&mut self) {
        self.reader.reset();
        (self.used, self.count, self.state) = (0, 0, State::Between);
    }

    /// Takes a line; whether the record is complete.
    fn line(&mut self, line: &[u8]) -> bool {
        let (mut rest, mut ended) = (line, line.ends_with(b"\n"));
        loop {
            let (result, read, written, ends) = self.reader.read_record(
                rest,
                &mut self.bytes[self.used..],
                &mut self.ends[self.count..],
            );
            rest = &rest[read..];
            self.used += written;
            self.count += ends;
            match result {
                ReadRecordResult::OutputFull => self.bytes.resize(self.bytes.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty if ended => {
                    self.state = State::Within;
                    return false;
                }
                // The last line of a file may lack its end.
                ReadRecordResult::InputEmpty => (rest, ended) = (b"\n", true),
                ReadRecordResult::Record | ReadRecordResult::End => return true,
            }
        }
    }

    /// The complete record into `record`; `crlf`: its line ended in `\r\n`.
    fn take(&mut self, crlf: bool, record: &mut ByteRecord) {
        record.clear();
        let mut from = 0;
        for (i, end) in self.ends[..self.count].iter().enumerate() {
            let mut field = &self.bytes[from..*end];
            if crlf && i + 1 == self.count {
                field = field.strip_suffix(b"\r").unwrap_or(field);
            }
            record.push_field(field);
            from = *end;
        }
        (self.used, self.count, self.state) = (0, 0, State::Between);
    }
}

/// Reads the records of one CSV file.
pub struct CsvDecoder {
    fields: Fields,
    record: StringRecord,
    header: Option<StringRecord>,
    /// Why no record can be read: the header is bad.
    refused: Option<String>,
}

fn header_of(record: StringRecord) -> Result<StringRecord, String> {
    for (i, name) in record.iter().enumerate() {
        if record.iter().take(i).any(|before| before == name) {
            return Err(format!("the header names the column '{name}' twice"));
        }
    }
    Ok(record)
}

impl<T: Data> Format<T> for Csv {
    type Decoder = CsvDecoder;
    const RANGES: bool = false;

    fn decoder(&self) -> CsvDecoder {
        let (fields, record) = (Fields::new(), StringRecord::new());
        CsvDecoder { fields, record, header: None, refused: None }
    }
}

impl CsvDecoder {
    fn item<T: Data>(&self) -> Decoded<T> {
        let (record, Some(header)) = (&self.record, &self.header) else { return Decoded::Nothing };
        if record.len() != header.len() {
            let (found, wanted) = (record.len(), header.len());
            return Decoded::Bad(format!("the record has {found} fields, the header {wanted}"));
        }
        match record.deserialize(Some(header)) {
            Ok(item) => Decoded::Record(item),
            Err(e) => Decoded::Bad(match e.kind() {
                csv::ErrorKind::Deserialize { err, .. } => {
                    let column = err.field().and_then(|field| header.get(field as usize));
                    column.map_or(err.to_string(), |name| format!("{err} (column '{name}')"))
                }
                _ => e.to_string(),
            }),
        }
    }
}

impl<T: Data> Decode<T> for CsvDecoder {
    fn line(&mut self, line: &[u8]) -> Decoded<T> {
        if self.fields.state == State::Between && without_end(line).is_empty() {
            return Decoded::Nothing;
        }
        if !self.fields.line(line) {
            return Decoded::More;
        }
        let mut bytes = std::mem::take(&mut self.record).into_byte_record();
        self.fields.take(line.ends_with(b"\r\n"), &mut bytes);
        self.record = match StringRecord::from_byte_record(bytes) {
            Ok(record) => record,
            Err(e) => {
                let reason = format!("the record is not UTF-8: {}", e.utf8_error());
                if self.header.is_none() {
                    self.refused.get_or_insert(reason.clone());
                }
                return Decoded::Bad(reason);
            }
        };
        if let Some(reason) = &self.refused {
            return Decoded::Bad(reason.clone());
        }
        if self.header.is_some() {
            return self.item();
        }
        match header_of(std::mem::take(&mut self.record)) {
            Ok(header) => {
                self.header = Some(header);
                Decoded::Nothing
            }
            Err(reason) => {
                self.refused = Some(reason.clone());
                Decoded::Bad(reason)
            }
        }
    }

    fn wants_header(&self) -> bool {
        self.header.is_none() && self.refused.is_none()
    }

    fn forget(&mut self) {
        self.fields.forget();
    }
}

impl<T: Data> Encode<T> for Csv {
    const EXTENSION: &'static str = "csv";

    fn encode(&self, items: &[T], first: bool, out: &mut Vec<u8>) -> Result<(), FileError> {
        let mut writer = csv::WriterBuilder::new().has_headers(first).from_writer(out);
        let told = |reason: String| FileError::Item { format: "CSV", reason };
        for item in items {
            writer.serialize(item).map_err(|e| told(e.to_string()))?;
        }
        writer.flush().map_err(|e| told(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (String, u32);

    fn read(text: &str) -> Vec<Decoded<Row>> {
        let mut decoder = Format::<Row>::decoder(&Csv);
        let lines = text.as_bytes().split_inclusive(|byte| *byte == b'\n');
        lines.map(|line| decoder.line(line)).collect()
    }

    fn row(name: &str, n: u32) -> Decoded<Row> {
        Decoded::Record((name.to_owned(), n))
    }

    #[test]
    fn records_end_where_csv_says() {
        use Decoded::{More, Nothing};
        assert_eq!(read("name,n\na,1\n\nb,2"), [Nothing, row("a", 1), Nothing, row("b", 2)]);
        assert_eq!(read("name,n\r\na,1\r\n"), [Nothing, row("a", 1)]);
        assert_eq!(read("name,n\n\"a\r\n\"\"b\",1\n"), [Nothing, More, row("a\r\n\"b", 1)]);
        assert_eq!(read("name,n\n5\" pipe,3\n"), [Nothing, row("5\" pipe", 3)]);
        assert_eq!(read("name,n\n\"a\"\"\r\n"), [Nothing, More]);
        assert_eq!(read("\u{feff}name,n\r\n"), [Nothing]);
        let long = "x".repeat(5000);
        assert_eq!(read(&format!("name,n\n{long},1\n")), [Nothing, row(&long, 1)]);
    }

    #[test]
    fn bad_records_say_why() {
        let reason = |text: &str| match read(text).pop() {
            Some(Decoded::Bad(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason("name,n\na\n"), "the record has 1 fields, the header 2");
        assert!(reason("name,n\na,x\n").contains("column 'n'"));
        assert!(reason("n,n\n").contains("'n' twice"));
        assert!(reason("n,n\na,1\n").contains("'n' twice"), "every record, not only the header");
    }

    #[test]
    fn what_is_written_is_read_back() {
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        struct Row {
            name: String,
            n: u32,
        }
        let rows = [Row { name: "a,\"b\r\nc".to_owned(), n: 1 }, Row { name: String::new(), n: 2 }];
        let mut out = Vec::new();
        Csv.encode(&rows[..1], true, &mut out).expect("encodes");
        Csv.encode(&rows[1..], false, &mut out).expect("encodes");
        let mut decoder = Format::<Row>::decoder(&Csv);
        let mut read: Vec<Row> = Vec::new();
        for line in out.split_inclusive(|byte| *byte == b'\n') {
            if let Decoded::Record(row) = decoder.line(line) {
                read.push(row);
            }
        }
        assert_eq!(read, rows);
    }
}
