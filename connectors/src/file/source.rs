//! Reads files: which, and how.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use riverrun_engine::Result;
use riverrun_engine::bad::{OnBad, Parsed};
use riverrun_engine::context::TaskContext;
use riverrun_engine::data::Data;
use riverrun_engine::source::Source;

use super::disk;
use super::error::FileError;
use super::format::{Format, OrBad};
use super::input::Packing;
use super::list;
use super::reader::FileReader;
use super::split::FileSplit;

/// The longest line, unless said otherwise.
const MAX_LINE_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Clone, Copy, Debug)]
pub(super) struct ReadSettings {
    pub(super) on_bad: OnBad,
    pub(super) follow: bool,
    pub(super) max_line_bytes: u64,
    pub(super) split_bytes: Option<u64>,
}

/// A source of the records in files. Made by [`super::Files`].
#[derive(Clone)]
pub struct FileSource<T, F> {
    path: PathBuf,
    format: F,
    settings: ReadSettings,
    item: PhantomData<fn() -> T>,
}

impl<T, F> fmt::Debug for FileSource<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileSource({}, {:?})", self.path.display(), self.settings)
    }
}

impl<T: Data, F: Format<T>> FileSource<T, F> {
    pub(super) fn new(path: PathBuf, format: F) -> Self {
        let settings = ReadSettings {
            on_bad: OnBad::Fail,
            follow: false,
            max_line_bytes: MAX_LINE_BYTES,
            split_bytes: None,
        };
        FileSource { path, format, settings, item: PhantomData }
    }

    /// What becomes of records that cannot be read; [`OnBad::Fail`] unless said otherwise.
    #[must_use]
    pub fn on_bad(mut self, on_bad: OnBad) -> Self {
        self.settings.on_bad = on_bad;
        self
    }

    /// Reads records that cannot be read too, as [`Parsed::Bad`].
    #[must_use]
    pub fn or_bad(self) -> FileSource<Parsed<T>, OrBad<F>> {
        let FileSource { path, format, settings, .. } = self;
        FileSource { path, format: OrBad(format), settings, item: PhantomData }
    }

    /// Waits for more at the end of each file: the source never ends. Files must be plain and may
    /// only grow; a last line is read once its end is there. New files are found at the next start.
    #[must_use]
    pub fn follow(mut self) -> Self {
        self.settings.follow = true;
        self
    }

    /// Cuts plain files of JSON or raw lines into ranges of `n` bytes, a split each, so that
    /// several subtasks read one file. A range has the lines that start in it. A checkpoint holds
    /// the number: it cannot change later.
    #[must_use]
    pub fn split_bytes(mut self, n: u64) -> Self {
        self.settings.split_bytes = Some(n);
        self
    }

    /// The longest line (CSV: record) that is read, in bytes: 64 MiB unless said otherwise. A
    /// longer one is a bad record.
    #[must_use]
    pub fn max_line_bytes(mut self, n: u64) -> Self {
        self.settings.max_line_bytes = n;
        self
    }

    fn refuse(reason: &str) -> FileError {
        FileError::Setting { reason: reason.to_owned() }
    }

    fn list(&self) -> Result<Vec<String>, FileError> {
        let ReadSettings { follow, max_line_bytes, split_bytes, .. } = self.settings;
        if max_line_bytes == 0 {
            return Err(Self::refuse("`.max_line_bytes(0)` allows no line: write 1 or more"));
        }
        if split_bytes == Some(0) {
            return Err(Self::refuse("`.split_bytes(0)` makes no ranges: write 1 or more"));
        }
        if split_bytes.is_some() && follow {
            let reason = "`.split_bytes(..)` and `.follow()` contradict: the end of a growing file \
                          belongs to no range; remove one of them";
            return Err(Self::refuse(reason));
        }
        if split_bytes.is_some() && !F::RANGES {
            let reason = "this format cannot be read from its middle: remove `.split_bytes(..)`, \
                          or write JSON lines";
            return Err(Self::refuse(reason));
        }
        let files = list::files(&self.path)?;
        let packed = files.iter().find(|file| Packing::of(file) != Packing::Plain);
        match packed {
            Some(file) if follow => {
                let reason =
                    format!("'{file}' is packed and cannot be followed as it grows: unpack");
                Err(Self::refuse(&format!("{reason} it, or remove `.follow()`")))
            }
            _ => Ok(files),
        }
    }
}

/// The splits of one file: itself, or its ranges of `size` bytes.
fn splits_of(path: String, size: Option<u64>) -> Result<Vec<FileSplit>, FileError> {
    let size = size.filter(|_| Packing::of(&path) == Packing::Plain);
    let Some(size) = size else {
        return Ok(vec![FileSplit { path, start: 0, size: None }]);
    };
    let length = disk::length(path.as_ref())?;
    let length = length.ok_or_else(|| FileError::NoMatch { path: path.clone() })?;
    let ranges = length.div_ceil(size).max(1);
    let range = |i| FileSplit { path: path.clone(), start: i * size, size: Some(size) };
    Ok((0..ranges).map(range).collect())
}

impl<T: Data, F: Format<T>> Source for FileSource<T, F> {
    type Item = T;
    type Split = FileSplit;
    type Reader = FileReader<T, F>;

    fn is_bounded(&self) -> bool {
        !self.settings.follow
    }

    async fn discover(&self, ctx: &TaskContext) -> Result<Vec<FileSplit>> {
        let source = self.clone();
        let listed = ctx.blocking(move || {
            let mut splits = Vec::new();
            for path in source.list()? {
                splits.extend(splits_of(path, source.settings.split_bytes)?);
            }
            Ok(splits)
        });
        listed.await
    }

    async fn open(&self, ctx: TaskContext) -> Result<FileReader<T, F>> {
        Ok(FileReader::new(self.format.clone(), self.settings, ctx))
    }

    fn check(&self) -> Result<()> {
        self.list()?;
        Ok(())
    }
}
