//! Writes files, exactly once.
//!
//! 1. Records go into a hidden file of the attempt. It is rolled by size, and by each checkpoint.
//! 2. `prepare` writes what is left, syncs file and folder, and names the files for the checkpoint;
//!    the next record begins another file.
//! 3. The participant gives the files their visible names once the checkpoint is decided.
//!
//! Invariant: after an error the writer writes nothing more: what a failed write or sync left on
//! the disk is not known, and is never tried again.

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use futures::future::BoxFuture;
use riverrun_engine::Result;
use riverrun_engine::checkpoint::CheckpointId;
use riverrun_engine::context::TaskContext;
use riverrun_engine::data::Data;
use riverrun_engine::element::Batch;
use riverrun_engine::sink::{Participant, Rehearsal, Sink, SinkWriter};
use riverrun_engine::{crash_point, fault_point, planted};
use xxhash_rust::xxh3::Xxh3;

use super::disk::{self, File, Kind};
use super::error::FileError;
use super::format::Encode;
use super::part::{FilePart, PartFile, hidden_name, visible_name};
use super::participant::FileParticipant;

/// Encoded bytes that are kept before they are written to the hidden file.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Writes files into a folder. Made by [`super::Files`].
#[derive(Clone, Debug)]
pub struct FileSink<F> {
    folder: PathBuf,
    format: F,
    roll_bytes: Option<u64>,
}

impl<F> FileSink<F> {
    pub(super) fn new(folder: PathBuf, format: F) -> Self {
        FileSink { folder, format, roll_bytes: None }
    }

    /// Begins another file when one has `n` bytes, and up to a batch more. Without it, each subtask
    /// writes one file a checkpoint.
    #[must_use]
    pub fn roll_bytes(mut self, n: u64) -> Self {
        self.roll_bytes = Some(n);
        self
    }
}

impl<T: Data, F: Encode<T>> Sink<T> for FileSink<F> {
    type Writer = FileWriter<F>;

    async fn open(&self, ctx: TaskContext) -> Result<FileWriter<F>> {
        let sink = FileSink { folder: ctx.output_folder(&self.folder), ..self.clone() };
        let folder = sink.folder.clone();
        let created = ctx.blocking(move || Ok(disk::create_folder(&folder)?));
        created.await?;
        Ok(FileWriter {
            sink,
            ctx,
            buffer: Vec::new(),
            open: None,
            written: Vec::new(),
            files: 0,
            life: Life::Writing,
        })
    }

    fn participant(&self, ctx: &TaskContext) -> Option<(String, Box<dyn Participant>)> {
        let name = format!("files:{}", ctx.uid);
        let participant = FileParticipant::new(ctx.output_folder(&self.folder), ctx.clone());
        Some((name, Box::new(participant)))
    }

    fn check(&self) -> Result<()> {
        let folder = self.folder.display();
        if self.folder.to_str().is_none() {
            return Err(FileError::Name { path: self.folder.clone() }.into());
        }
        if disk::kind(&self.folder)? == Kind::File {
            let reason = format!("'{folder}' is a file: output goes into a folder, name one");
            return Err(FileError::Setting { reason }.into());
        }
        if self.roll_bytes == Some(0) {
            let reason = "`.roll_bytes(0)` makes no files: write 1 or more".to_owned();
            return Err(FileError::Setting { reason }.into());
        }
        Ok(())
    }

    fn rehearsal(&self) -> Rehearsal {
        Rehearsal::Scratch
    }
}

/// A hidden file being written.
struct Hidden {
    file: File,
    path: PathBuf,
    name: String,
    bytes: u64,
    xxh3: Xxh3,
}

/// A hidden file that is complete and synced.
struct Written {
    name: String,
    bytes: u64,
    xxh3: u64,
}

impl Hidden {
    fn create(folder: PathBuf, name: String) -> Result<Self, FileError> {
        let path = folder.join(&name);
        let file = disk::create(&path)?;
        crash_point!("file.created");
        Ok(Hidden { file, path, name, bytes: 0, xxh3: Xxh3::new() })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let fault = fault_point!("file.write");
        fault.map_err(|fault| FileError::io("write", &self.path)(fault.into()))?;
        self.file.write_all(bytes).map_err(FileError::io("write", &self.path))?;
        self.xxh3.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn finish(self) -> Result<Written, FileError> {
        disk::sync(&self.file, &self.path)?;
        crash_point!("file.synced");
        Ok(Written { name: self.name, bytes: self.bytes, xxh3: self.xxh3.digest() })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Writing,
    /// A write is under way, or failed.
    Busy,
}

/// Writes the files of one subtask.
pub struct FileWriter<F> {
    sink: FileSink<F>,
    ctx: TaskContext,
    /// At most [`BUFFER_BYTES`] and one batch.
    buffer: Vec<u8>,
    open: Option<Hidden>,
    /// Of the current checkpoint. Bounded by what a checkpoint's interval writes.
    written: Vec<Written>,
    /// How many hidden files this attempt began.
    files: u64,
    life: Life,
}

/// What goes to the thread that writes, and comes back.
struct Rest {
    open: Option<Hidden>,
    buffer: Vec<u8>,
    folder: PathBuf,
    name: String,
}

impl Rest {
    /// Writes the buffer, beginning the file if need be.
    fn flush(&mut self) -> Result<(), FileError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut hidden = match self.open.take() {
            Some(hidden) => hidden,
            None => Hidden::create(self.folder.clone(), std::mem::take(&mut self.name))?,
        };
        hidden.append(&self.buffer)?;
        self.buffer.clear();
        self.open = Some(hidden);
        Ok(())
    }
}

impl<F> FileWriter<F> {
    fn rest(&mut self) -> Result<Rest> {
        if self.life == Life::Busy {
            bail!("RR0524: a write to '{}' failed before", self.sink.folder.display());
        }
        if self.open.is_none() {
            self.files += 1;
        }
        let (open, buffer) = (self.open.take(), std::mem::take(&mut self.buffer));
        let name = hidden_name(&self.ctx, self.files);
        Ok(Rest { open, buffer, folder: self.sink.folder.clone(), name })
    }

    fn is_full(&self) -> bool {
        let bytes = self.open.as_ref().map_or(0, |open| open.bytes) + self.buffer.len() as u64;
        self.sink.roll_bytes.is_some_and(|roll| bytes >= roll)
    }

    async fn flush(&mut self) -> Result<()> {
        let full = self.is_full();
        let mut rest = self.rest()?;
        self.life = Life::Busy;
        let flushed = self.ctx.blocking(move || {
            rest.flush()?;
            let hidden = if full { rest.open.take() } else { None };
            Ok((rest, hidden.map(Hidden::finish).transpose()?))
        });
        let (rest, written) = flushed.await?;
        (self.open, self.buffer) = (rest.open, rest.buffer);
        self.written.extend(written);
        self.life = Life::Writing;
        Ok(())
    }
}

impl<T: Data, F: Encode<T>> SinkWriter<T> for FileWriter<F> {
    type Committable = FilePart;

    async fn write(&mut self, batch: Batch<T>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let first = self.open.is_none() && self.buffer.is_empty();
        self.sink.format.encode(&batch.items, first, &mut self.buffer)?;
        if self.is_full() || self.buffer.len() >= BUFFER_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    fn prepare(
        &mut self,
        checkpoint: CheckpointId,
    ) -> BoxFuture<'static, Result<Option<FilePart>>> {
        let mut rest = match self.rest() {
            Ok(rest) => rest,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        let mut written = std::mem::take(&mut self.written);
        if planted!("sink.buffer.kept") && rest.open.is_none() {
            self.buffer = std::mem::take(&mut rest.buffer);
        }
        if rest.open.is_none() && rest.buffer.is_empty() && written.is_empty() {
            return Box::pin(async { Ok(None) });
        }
        let ctx = self.ctx.clone();
        Box::pin(self.ctx.blocking(move || {
            rest.flush()?;
            if let Some(hidden) = rest.open.take() {
                written.push(hidden.finish()?);
            }
            disk::sync_folder(&rest.folder)?;
            crash_point!("file.prepared");
            let name = |n| visible_name(&ctx, checkpoint, n, F::EXTENSION);
            let part = |(n, Written { name: hidden, bytes, xxh3 })| PartFile {
                hidden,
                visible: name(n),
                bytes,
                xxh3,
            };
            let files = written.into_iter().enumerate().map(part).collect();
            let folder = rest.folder.to_str().map(str::to_owned);
            let folder = folder.ok_or(FileError::Name { path: rest.folder })?;
            Ok(Some(FilePart { folder, files }))
        }))
    }
}
