//! A file that is no longer needed, and over which the next of its kind is written: its blocks are
//! there, so that syncing it takes less (`bench state`, group `checkpoints`).
//!
//! Called by [`super::super::store`], which removes segments, and by [`super::Staged`]. Invariants:
//! what is written over has no name but a staged one, so that nobody comes upon it any more; there
//! is at most one, and it was about as long as the last that was written when it was kept.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::disk::remove;
use super::{StagedName, staged_path};

/// At most one file of a folder to be written over.
#[derive(Debug, Default)]
pub(in super::super) struct Spare {
    kept: Mutex<Option<StagedName>>,
    /// How long the last one was that was written.
    last: AtomicU64,
}

/// Longer files would be much that lies about.
const BYTES_MAX: u64 = 128 << 20;

impl Spare {
    /// Removes `file`, so that nobody comes upon it any more; that there is none is no error.
    pub(in super::super) fn remove(&self, file: &Path) -> io::Result<()> {
        if !self.wants(file) {
            return remove(file);
        }
        let at = staged_path(file, 0);
        match fs::rename(file, &at) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed?,
        }
        let former = self.kept().replace(StagedName(at));
        former.map_or(Ok(()), |former| remove(&former.0))
    }

    fn wants(&self, file: &Path) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let about = last.div_ceil(2)..=last.saturating_mul(2).min(BYTES_MAX);
        let is_wanted = |file: fs::Metadata| file.is_file() && about.contains(&file.len());
        fs::symlink_metadata(file).is_ok_and(is_wanted)
    }

    /// The file to write over, from its beginning.
    pub(super) fn take(&self) -> Option<(File, StagedName)> {
        let at = self.kept().take()?;
        // Where it cannot be opened a new one is as good.
        let out = OpenOptions::new().write(true).open(&at.0).ok()?;
        is_ours_alone(&out).then_some((out, at))
    }

    /// A file of so many bytes was written.
    pub(super) fn published(&self, bytes: u64) {
        self.last.store(bytes, Ordering::Relaxed);
    }

    /// Nothing is to be written over any more.
    pub(in super::super) fn clear(&self) {
        drop(self.kept().take());
    }

    fn kept(&self) -> MutexGuard<'_, Option<StagedName>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it has but one name: by another it is somebody's copy.
#[cfg(unix)]
fn is_ours_alone(file: &File) -> bool {
    let links = std::os::unix::fs::MetadataExt::nlink;
    file.metadata().is_ok_and(|file| file.is_file() && links(&file) == 1)
}

/// The names of a file cannot be counted here, so none is written over.
#[cfg(not(unix))]
fn is_ours_alone(_file: &File) -> bool {
    false
}
