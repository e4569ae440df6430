//! Reads one split, chunk by chunk, on a thread for blocking work.
//!
//! 1. Open the file, having made sure that it is still the same one; go to the place.
//! 2. Read lines until the chunk is full, the range is over or the file ends.
//! 3. At the end of the file make sure again that it is the same one and nothing of it was lost.
//!
//! Invariants: the place is always between two records; a record that is not complete yet is never
//! read (`follow`), and is complete at the end of the file otherwise.

use std::path::PathBuf;

use riverrun_engine::bad::{BadRecord, OnBad};
use riverrun_engine::source::Split;

use super::chunk::{After, Chunk};
use super::disk::{self, File};
use super::error::FileError;
use super::format::{Decode, Decoded, Format};
use super::input::{Input, Line, Packing};
use super::source::ReadSettings;
use super::split::{FileOffset, FileSplit, Place, Seen};

/// How much is shown of a record beyond the limit.
const TEXT_BYTES: usize = 1024;

const UNCLOSED: &str = "a quoted field that opens in this record is never closed";

struct Opened<D> {
    input: Input,
    decoder: D,
}

/// One split, how far it was read, and its open file.
pub(super) struct Cursor<D> {
    split: FileSplit,
    path: PathBuf,
    packing: Packing,
    place: Option<Place>,
    seen: Option<Seen>,
    opened: Option<Opened<D>>,
    /// The length of the file when all of it had been read (`follow`).
    read_up: Option<u64>,
}

/// The record being read: its lines so far.
#[derive(Default)]
struct Begun {
    lines: u64,
    bytes: u64,
    /// Kept only for records of several lines, at most `max_line_bytes`.
    text: Vec<u8>,
}

impl<D> Cursor<D> {
    /// Reads `split` from `offset` on.
    pub(super) fn new(split: FileSplit, offset: Option<FileOffset>) -> Self {
        let (path, packing) = (PathBuf::from(&split.path), Packing::of(&split.path));
        let (place, seen) = (offset.map(|offset| offset.place), offset.map(|offset| offset.seen));
        Cursor { split, path, packing, place, seen, opened: None, read_up: None }
    }

    fn told(&self) -> impl FnOnce(std::io::Error) -> FileError {
        FileError::io("read", &self.path)
    }

    /// Makes sure that the file is there and, if it was read before, the same; opens it.
    pub(super) fn look(&mut self) -> Result<File, FileError> {
        let line = self.place.unwrap_or_default().line;
        let (mut file, seen) = Seen::open(self.seen, &self.path, line)?;
        self.seen = Some(seen);
        let grown = |place: &Place| place.bytes > 0 && place.bytes < seen.length();
        if self.packing == Packing::Plain && self.place.as_ref().is_some_and(grown) {
            let mut before = [0];
            let bytes = self.place.unwrap_or_default().bytes;
            disk::read_at(&mut file, &self.path, bytes - 1, &mut before)?;
            if before != *b"\n" {
                return Err(FileError::LineGrew { path: self.path.clone(), line });
            }
        }
        Ok(file)
    }

    /// Feeds the file's header to a decoder that will start behind it.
    fn header<T>(&self, file: &File, decoder: &mut D) -> Result<(), FileError>
    where
        D: Decode<T>,
    {
        let before = self.place.unwrap_or_default().bytes;
        if before == 0 || !decoder.wants_header() {
            return Ok(());
        }
        let mut file = file.try_clone().map_err(self.told())?;
        disk::seek(&mut file, &self.path, 0)?;
        let mut input = Input::new(file, self.packing);
        while decoder.wants_header() {
            match input.read(before).map_err(self.told())? {
                Line::Whole | Line::Unterminated => {
                    let _ = decoder.line(input.line());
                }
                Line::TooLong | Line::End => break,
            }
        }
        Ok(())
    }

    /// From the beginning of `file` to the place.
    fn go(&mut self, mut file: File) -> Result<Input, FileError> {
        let start = self.split.start;
        let from = match (self.place, self.packing) {
            // The line that begins before the range is another's.
            (None, Packing::Plain) => start.saturating_sub(1),
            (Some(place), Packing::Plain) => place.bytes,
            _ => 0,
        };
        disk::seek(&mut file, &self.path, from)?;
        let mut input = Input::new(file, self.packing);
        match (self.place, self.packing) {
            (None, Packing::Plain) if start > 0 => {
                let (skipped, _) = input.skip_line().map_err(self.told())?;
                self.place = Some(Place { bytes: from + skipped, line: 0 });
            }
            (None, _) => self.place = Some(Place::default()),
            (Some(_), Packing::Plain) => {}
            (Some(Place { bytes, line }), _) => {
                let is = input.skip(bytes).map_err(self.told())?;
                if is < bytes {
                    return Err(FileError::Shrank {
                        path: self.path.clone(),
                        was: bytes,
                        is,
                        line,
                    });
                }
            }
        }
        Ok(input)
    }

    fn caught_up(&mut self) -> After {
        self.read_up = self.seen.map(|seen| seen.length());
        After::CaughtUp
    }

    /// The file ended where it should have.
    fn ended(&mut self) -> Result<After, FileError> {
        let Place { bytes, line } = self.place.unwrap_or_default();
        let was = self.seen.map_or(0, |seen| seen.length());
        if self.packing == Packing::Plain && bytes < was {
            return Err(FileError::Shrank { path: self.path.clone(), was, is: bytes, line });
        }
        self.look()?;
        Ok(After::Ended)
    }

    fn advance(&mut self, begun: &Begun) -> Place {
        let Place { bytes, line } = self.place.unwrap_or_default();
        let place = Place { bytes: bytes + begun.bytes, line: line + begun.lines };
        self.place = Some(place);
        place
    }

    /// Where the record at the place is, for people.
    fn at(&self) -> String {
        let Place { bytes, line } = self.place.unwrap_or_default();
        let (path, line) = (&self.split.path, line + 1);
        match self.split.start {
            0 => format!("{path}:{line}"),
            start => format!("{path}, byte {bytes} (line {line} of the part from byte {start})"),
        }
    }

    /// The item to take for a record that cannot be read, if any; an error if the job is to fail.
    fn judge<T>(
        &self,
        settings: &ReadSettings,
        decoder: &D,
        reason: String,
        text: &[u8],
    ) -> Result<Option<T>, FileError>
    where
        D: Decode<T>,
    {
        let text = String::from_utf8_lossy(text).trim_end_matches(['\n', '\r']).to_owned();
        let line = self.place.unwrap_or_default().line + 1;
        let bad = BadRecord { split: self.split.id(), position: line, reason, text, raw: None };
        match decoder.keep(&bad) {
            None if settings.on_bad == OnBad::Fail => {
                Err(FileError::Bad { at: self.at(), reason: bad.reason })
            }
            kept => Ok(kept),
        }
    }
}

impl<D> Cursor<D> {
    /// The next chunk. After [`After::CaughtUp`] it may be asked for again.
    pub(super) fn read<T, F>(&mut self, settings: &ReadSettings, format: &F) -> Chunk<T>
    where
        D: Decode<T>,
        F: Format<T, Decoder = D>,
    {
        let mut chunk = Chunk::new();
        match self.fill(settings, format, &mut chunk) {
            Ok(after) => chunk.after = after,
            Err(error) => chunk.after = After::Failed(error),
        }
        chunk.place = self.place;
        chunk.seen = self.seen.unwrap_or_default();
        chunk
    }

    fn fill<T, F>(
        &mut self,
        settings: &ReadSettings,
        format: &F,
        chunk: &mut Chunk<T>,
    ) -> Result<After, FileError>
    where
        D: Decode<T>,
        F: Format<T, Decoder = D>,
    {
        let mut opened = match self.opened.take() {
            Some(opened) => opened,
            None => {
                let file = self.look()?;
                let length = self.seen.map(|seen| seen.length());
                if settings.follow && self.read_up == length {
                    return Ok(After::CaughtUp);
                }
                let mut decoder = format.decoder();
                self.header(&file, &mut decoder)?;
                Opened { input: self.go(file)?, decoder }
            }
        };
        let after = self.lines(settings, &mut opened, chunk)?;
        if matches!(after, After::More) {
            self.opened = Some(opened);
        }
        Ok(after)
    }

    fn lines<T>(
        &mut self,
        settings: &ReadSettings,
        opened: &mut Opened<D>,
        chunk: &mut Chunk<T>,
    ) -> Result<After, FileError>
    where
        D: Decode<T>,
    {
        let mut begun = Begun::default();
        loop {
            if begun.lines == 0 {
                let at = self.place.unwrap_or_default().bytes;
                if self.split.end().is_some_and(|end| at >= end) {
                    return Ok(After::Ended);
                }
                if chunk.is_full() {
                    return Ok(After::More);
                }
            }
            let room = settings.max_line_bytes.saturating_sub(begun.bytes);
            let line = opened.input.read(room).map_err(self.told())?;
            let text = opened.input.line();
            let decoded = match line {
                Line::End | Line::Unterminated if settings.follow => return Ok(self.caught_up()),
                Line::End if begun.lines == 0 => return self.ended(),
                Line::End => Decoded::Bad(UNCLOSED.to_owned()),
                Line::TooLong => Decoded::Bad(too_long(settings, &begun)),
                Line::Whole | Line::Unterminated => opened.decoder.line(text),
            };
            begun.bytes += text.len() as u64;
            begun.lines += u64::from(line != Line::End);
            if begun.lines > 1 || matches!(decoded, Decoded::More) {
                begun.text.extend_from_slice(text);
            }
            let first = self.place.unwrap_or_default().line + 1;
            match decoded {
                Decoded::More => continue,
                Decoded::Nothing => {
                    self.advance(&begun);
                }
                Decoded::Record(item) => chunk.push(item, first, self.advance(&begun)),
                Decoded::Bad(reason) => {
                    let all = if begun.lines > 1 { &begun.text } else { text };
                    let shown = if line == Line::TooLong { TEXT_BYTES } else { all.len() };
                    let all = &all[..all.len().min(shown)];
                    opened.decoder.forget();
                    let kept = self.judge(settings, &opened.decoder, reason, all)?;
                    if line == Line::TooLong {
                        let (rest, complete) = opened.input.skip_line().map_err(self.told())?;
                        if settings.follow && !complete {
                            return Ok(self.caught_up());
                        }
                        begun.bytes += rest;
                    }
                    let place = self.advance(&begun);
                    match kept {
                        Some(item) => chunk.push(item, first, place),
                        None => chunk.skipped += 1,
                    }
                }
            }
            chunk.bytes += begun.bytes;
            begun = Begun::default();
        }
    }
}

fn too_long(settings: &ReadSettings, begun: &Begun) -> String {
    let limit = settings.max_line_bytes;
    let within = if begun.lines > 0 { " (is a quote not closed?)" } else { "" };
    format!(
        "the record is longer than {limit} bytes{within}: if it is right, raise \
         `.max_line_bytes({limit})`"
    )
}
