//! Files in a folder that grow under a name of their own until they are whole.
//!
//! Called by [`super::put`]. Invariant: what is published here is on disk, with its folder's entry,
//! when the call returns.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

mod spare;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
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
    /// What waits until it is a whole page, and how much that is.
    waiting: VecDeque<Bytes>,
    waits: usize,
    written: u64,
    /// Where it is one of a kind that is written again and again.
    spare: Option<Arc<Spare>>,
}

/// Where the bytes of such a file lie. Dropped, this name is removed.
#[derive(Debug)]
struct StagedName(PathBuf);

/// What is written begins and ends with pages, as most systems have them: of a part of a page that
/// is written over, the rest would be read first.
const PAGE: usize = 4 << 10;
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
        let (whole, waiting) = (whole.to_owned(), VecDeque::new());
        Ok(Staged { out, at, whole, waiting, waits: 0, written: 0, spare })
    }

    /// Writes `pieces` behind those before, all whole pages of them at once.
    pub(super) fn append(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        self.waiting.extend(pieces.iter().cloned());
        self.waits += pieces.iter().map(Bytes::len).sum::<usize>();
        while self.waits >= PAGE {
            self.write(PIECE.min(self.waits / PAGE * PAGE))?;
        }
        Ok(())
    }

    /// Writes so many bytes of those that wait.
    fn write(&mut self, bytes: usize) -> io::Result<()> {
        let (mut pieces, mut left) = (Vec::new(), bytes);
        while left > 0 {
            let mut piece = self.waiting.pop_front().expect("so many bytes wait");
            if piece.len() > left {
                self.waiting.push_front(piece.split_off(left));
            }
            left -= piece.len();
            pieces.push(piece);
        }
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = &mut slices[..];
        // Empty ones are passed.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match self.out.write_vectored(left)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut left, written),
            }
        }
        begin_writeback(&self.out, (self.written, bytes as u64));
        self.written += bytes as u64;
        self.waits -= bytes;
        Ok(())
    }

    /// Writes all that waits, and nothing else is in the file then.
    fn end(&mut self) -> io::Result<()> {
        let (bytes, there) = (self.written + self.waits as u64, self.out.metadata()?.len());
        if there > self.written && self.waits > 0 {
            self.append(&[Bytes::from_static(&[0; PAGE]).slice(self.waits % PAGE..)])?;
        }
        if self.waits > 0 {
            self.write(self.waits)?;
        }
        if there.max(self.written) > bytes {
            self.out.set_len(bytes)?;
        }
        self.written = bytes;
        Ok(())
    }

    /// Makes it durable under its name, where that is free. A name that is believed by itself comes
    /// when the bytes are durable. One of a kind that is written again and again is believed once
    /// a manifest has it: that comes first, and the disk takes both in one step.
    pub(super) fn publish(mut self) -> io::Result<()> {
        self.end()?;
        let Staged { out, at, whole, written, spare, .. } = self;
        if let Some(spare) = spare {
            fs::hard_link(&at.0, &whole)?;
            drop(at);
            if let Err(error) = out.sync_all() {
                // What is left of it is removed with all that no manifest has.
                drop(remove(&whole));
                return Err(error);
            }
            spare.published(written);
        } else {
            out.sync_all()?;
            // There are file systems that take what was written only now.
            drop(out);
            fs::hard_link(&at.0, &whole)?;
            drop(at);
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
