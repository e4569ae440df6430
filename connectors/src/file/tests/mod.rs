//! The file connectors on files of their own.

#![allow(clippy::disallowed_methods, reason = "tests make and break files by hand")]

mod guards;
mod reading;
mod writing;

use std::fs;
use std::path::PathBuf;

use riverrun_engine::Result;
use riverrun_engine::context::TaskContext;
use riverrun_engine::data::Data;
use riverrun_engine::element::Batch;
use riverrun_engine::source::{Progress, Source, SourceReader};
use tempfile::TempDir;

use super::{FileOffset, FileReader, FileSource, FileSplit, Format};
use crate::testing::{block_on, context};

/// A folder that goes with the test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("written");
        path
    }

    fn append(&self, name: &str, bytes: &str) {
        let mut all = fs::read(self.path(name)).unwrap_or_default();
        all.extend_from_slice(bytes.as_bytes());
        self.write(name, all);
    }
}

/// A reader of all splits of a source, driven by hand.
struct ByHand<T: Data, F: Format<T>> {
    ctx: TaskContext,
    reader: FileReader<T, F>,
    splits: Vec<FileSplit>,
}

impl<T: Data, F: Format<T>> ByHand<T, F> {
    fn open(source: &FileSource<T, F>, offset: Option<FileOffset>) -> Result<Self> {
        block_on(async {
            let ctx = context("files", 0, 1, "a");
            let splits = source.discover(&ctx).await?;
            let mut reader = source.open(ctx.clone()).await?;
            for split in &splits {
                reader.assign(split.clone(), offset).await?;
            }
            Ok(ByHand { ctx, reader, splits })
        })
    }

    /// The next answer that is not "wait".
    fn next(&mut self, records_max: usize) -> Result<(Progress, Vec<T>)> {
        loop {
            let mut out = Batch::default();
            match self.reader.next(&mut out, records_max)? {
                Progress::Pending => block_on(self.reader.ready()),
                progress => return Ok((progress, out.items)),
            }
        }
    }

    /// Reads until something other than records comes.
    fn rest(&mut self) -> Result<Vec<T>> {
        let mut all = Vec::new();
        loop {
            match self.next(1024)? {
                (Progress::Records { .. }, items) => all.extend(items),
                _ => return Ok(all),
            }
        }
    }
}

fn numbers(n: usize) -> String {
    (0..n).map(|i| format!("{i}\n")).collect()
}
