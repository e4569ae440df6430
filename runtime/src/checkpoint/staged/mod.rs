//! Files in a folder that grow under a name of their own until they are whole.
//!
//! Called by [`super::put`]. Invariant: what is published here is on disk, with its folder's entry,
//! when the call returns.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

mod pages;
mod spare;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use pages::Pages;
use riverrun_engine::fault_point;
pub(super) use spare::Spare;

use super::disk::{create_folder, remove, sync_folder};

/// A file that is written under a name of its own until it is whole, as `object_store` does it:
/// `NAME` is `NAME#1` before. Written over a file that is no longer needed it is `OLD#0`. Dropped
/// before it is whole, it is removed.
#[derive(Debug)]
pub(super) struct Staged {
    pages: Pages,
    at: StagedName,
    whole: PathBuf,
    /// Where it is one of a kind that is written again and again.
    spare: Option<Arc<Spare>>,
}

/// Where the bytes of such a file lie. Dropped, this name is removed.
#[derive(Debug)]
struct StagedName(PathBuf);

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
        Ok(Staged { pages: Pages::over(out), at, whole: whole.to_owned(), spare })
    }

    /// Writes `pieces` behind those before.
    pub(super) fn append(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        self.pages.append(pieces)
    }

    /// Makes it durable under its name, where that is free. A file that is believed by its name
    /// gets it when its bytes are durable. One of a kind that is written again and again is
    /// believed once a manifest has it: it gets its name first, so that a journal can take both in
    /// one step.
    pub(super) fn publish(self) -> io::Result<()> {
        let Staged { pages, at, whole, spare } = self;
        let (file, written) = pages.end()?;
        let sync_names = || whole.parent().map_or(Ok(()), sync_folder);
        let Some(spare) = spare else {
            file.sync_all()?;
            // There are file systems that take what was written only now.
            drop(file);
            fs::hard_link(&at.0, &whole)?;
            drop(at);
            return sync_names();
        };
        fs::hard_link(&at.0, &whole)?;
        drop(at);
        let synced = fault_point!("segment.sync").map_err(io::Error::other);
        let synced = synced.and_then(|()| file.sync_all());
        drop(file);
        match synced.and_then(|()| sync_names()) {
            Ok(()) => {
                spare.published(written);
                Ok(())
            }
            Err(error) => {
                // So that it can be written anew. Where even that fails, the name goes with all
                // that no manifest has.
                drop(remove(&whole));
                Err(error)
            }
        }
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
