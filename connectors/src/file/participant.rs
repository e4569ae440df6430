//! Makes prepared files visible, and removes what dead attempts left.
//!
//! Called once a checkpoint is decided, and at recovery, possibly again for the same checkpoint.
//! Invariants: a file becomes visible by one rename, complete; a visible file is never overwritten;
//! committed output that is gone is an error, not an empty result.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use riverrun_engine::Result;
use riverrun_engine::checkpoint::{CheckpointId, CheckpointName, Prepared};
use riverrun_engine::context::TaskContext;
use riverrun_engine::data::from_bytes;
use riverrun_engine::sink::{Participant, Role};
use riverrun_engine::{crash_point, fault_point, planted};
use xxhash_rust::xxh3::Xxh3;

use super::disk::{self, Kind};
use super::error::FileError;
use super::part::{FilePart, PartFile, hidden_prefix};

/// Commits the files of one sink.
pub struct FileParticipant {
    folder: PathBuf,
    ctx: TaskContext,
}

/// The xxh3 of a file's content.
fn content(path: &Path) -> Result<Option<u64>, FileError> {
    let Some((mut file, mut left)) = disk::open(path)? else { return Ok(None) };
    let (mut hash, mut buffer, mut at) = (Xxh3::new(), vec![0; 1 << 16], 0);
    while left > 0 {
        let bytes = left.min(buffer.len() as u64);
        let part = &mut buffer[..bytes as usize];
        disk::read_at(&mut file, path, at, part)?;
        hash.update(part);
        (left, at) = (left - bytes, at + bytes);
    }
    Ok(Some(hash.digest()))
}

/// Makes one file visible.
fn show(folder: &Path, file: &PartFile, checkpoint: CheckpointId) -> Result<(), FileError> {
    let (hidden, visible) = (folder.join(&file.hidden), folder.join(&file.visible));
    let differs = |visible: PathBuf, is| {
        let (bytes, checkpoint) = (file.bytes, checkpoint.0);
        Err(FileError::OutputDiffers { visible, is, bytes, checkpoint })
    };
    match (disk::length(&hidden)?, disk::length(&visible)?) {
        (Some(is), None) if is == file.bytes => {
            let fault = fault_point!("file.rename");
            fault.map_err(|fault| FileError::io("make visible", &hidden)(fault.into()))?;
            disk::rename(&hidden, &visible)?;
            crash_point!("file.renamed");
            Ok(())
        }
        (Some(is), None) => differs(hidden, is),
        (Some(_), Some(is)) => {
            if is != file.bytes || content(&visible)? != Some(file.xxh3) {
                return differs(visible, is);
            }
            disk::remove(&hidden)
        }
        (None, Some(is)) if is == file.bytes => Ok(()),
        (None, Some(is)) => differs(visible, is),
        (None, None) => Err(FileError::OutputLost {
            visible,
            hidden: file.hidden.clone(),
            bytes: file.bytes,
            checkpoint: checkpoint.0,
        }),
    }
}

fn show_all(checkpoint: CheckpointId, prepared: &[Prepared]) -> Result<()> {
    let mut folders = BTreeSet::new();
    let most = if planted!("commit.one.part") { 1 } else { usize::MAX };
    for part in prepared.iter().take(most) {
        let FilePart { folder, files } = from_bytes(&part.committable)?;
        let folder = PathBuf::from(folder);
        files.iter().try_for_each(|file| show(&folder, file, checkpoint))?;
        folders.insert(folder);
    }
    // Also where nothing was renamed: who did it may have died before it synced.
    for folder in folders {
        disk::sync_folder(&folder)?;
    }
    crash_point!("file.committed");
    Ok(())
}

/// Removes the hidden files that begin with `prefix`: those of dead attempts of this sink.
fn remove_left_overs(folder: &Path, prefix: &str) -> Result<()> {
    if disk::kind(folder)? != Kind::Folder {
        return Ok(());
    }
    for path in disk::names(folder)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(prefix) && planted!("sink.left_over.shown") {
            let shown = format!("part-{}-0000000000-000-0.jsonl", name.len());
            disk::rename(&path, &folder.join(shown))?;
        } else if name.starts_with(prefix) {
            disk::remove(&path)?;
            crash_point!("file.left_over.removed");
        }
    }
    Ok(())
}

impl FileParticipant {
    pub(super) fn new(folder: PathBuf, ctx: TaskContext) -> Self {
        FileParticipant { folder, ctx }
    }
}

impl Participant for FileParticipant {
    fn role(&self) -> Role {
        Role::Follows
    }

    fn recover(
        &mut self,
        checkpoint: Option<CheckpointName>,
        prepared: Vec<Prepared>,
    ) -> BoxFuture<'_, Result<()>> {
        let (folder, prefix) = (self.folder.clone(), hidden_prefix(&self.ctx));
        Box::pin(self.ctx.blocking(move || {
            let again = !planted!("commit.not.repeated");
            if let Some(checkpoint) = checkpoint.filter(|_| again) {
                show_all(checkpoint.checkpoint, &prepared)?;
                crash_point!("file.recovered");
            }
            remove_left_overs(&folder, &prefix)
        }))
    }

    fn commit(
        &mut self,
        checkpoint: CheckpointId,
        prepared: Vec<Prepared>,
    ) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.ctx.blocking(move || show_all(checkpoint, &prepared)))
    }
}
