//! Files in a folder that grow under a name of their own until they are whole.
//!
//! Called by [`super::put`]. Invariant: what is published here is on disk, with its folder's entry,
//! when the call returns.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

mod spare;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use spare::Spare;

use super::disk::{create_folder, remove, sync_folder};

/// A file that is written under a name of its own until it is whole, as `object_store` does it:
/// `NAME` is `NAME#1` before. Written over a file that is no longer needed it is `OLD#0`. Dropped
/// before it is whole, it is removed.
#[derive(Debug)]
pub(super) struct Staged {
    out: File,
    at: StagedName,
    whole: PathBuf,
    written: u64,
    /// Where it is one of a kind that is written again and again.
    spare: Option<Arc<Spare>>,
}

/// Where the bytes of such a file lie. Dropped, this name is removed.
#[derive(Debug)]
struct StagedName(PathBuf);

/// So many bytes are on their way to the disk while the next are written.
const PIECE: usize = 512 << 10;

/// Name number `n` for what is to be `whole`.
fn staged_path(whole: &Path, n: u32) -> PathBuf {
    let mut at = whole.as_os_str().to_owned();
    at.push(format!("#{n}"));
    PathBuf::from(at)
}

impl Drop for StagedName {
    fn drop(&mut self) {
        // Whoever starts next removes what is left.
        drop(remove(&self.0));
    }
}

impl Staged {
    /// Begins the file at `whole`, in folders that are made where they are absent, over what
    /// `spare` has, if anything.
    pub(super) fn create(whole: &Path, spare: Option<Arc<Spare>>) -> io::Result<Staged> {
        let over = spare.as_ref().and_then(|spare| spare.take());
        let (out, at) = over.map_or_else(|| create_new(whole), Ok)?;
        Ok(Staged { out, at, whole: whole.to_owned(), written: 0, spare })
    }

    /// Writes `bytes` behind those before.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PIECE) {
            self.out.write_all(piece)?;
            begin_writeback(&self.out, (self.written, piece.len() as u64));
            self.written += piece.len() as u64;
        }
        Ok(())
    }

    /// Makes it durable, then gives it its name, where that is free.
    pub(super) fn publish(self) -> io::Result<()> {
        let Staged { out, at, whole, written, spare } = self;
        if out.metadata()?.len() > written {
            out.set_len(written)?;
        }
        out.sync_all()?;
        // There are file systems that take what was written only now.
        drop(out);
        fs::hard_link(&at.0, &whole)?;
        drop(at);
        if let Some(spare) = spare {
            spare.published(written);
        }
        whole.parent().map_or(Ok(()), sync_folder)
    }
}

fn create_new(whole: &Path) -> io::Result<(File, StagedName)> {
    let mut n = 1_u32;
    loop {
        let mut options = OpenOptions::new();
        let path = staged_path(whole, n);
        match options.write(true).create_new(true).open(&path) {
            Ok(out) => return Ok((out, StagedName(path))),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => n += 1,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                create_folder(whole.parent().unwrap_or(whole))?;
            }
            Err(e) => return Err(e),
        }
    }
}

/// Tells the system that these bytes of `file`, from so many on so many, may go to the disk at
/// once. Only a hint: what fails in it fails again when the file is synced.
#[cfg(target_os = "linux")]
fn begin_writeback(file: &File, (from, len): (u64, u64)) {
    // Linux begins to write what is to leave its cache; what is not written yet stays there.
    let len = std::num::NonZeroU64::new(len);
    let _hint = rustix::fs::fadvise(file, from, len, rustix::fs::Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
fn begin_writeback(_file: &File, _bytes: (u64, u64)) {}
