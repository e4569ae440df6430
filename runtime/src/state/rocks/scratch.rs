//! The scratch folder of an attempt: `DIR/riverrun-JOB-ATTEMPT`, made, locked, and removed with all
//! that is in it when the attempt ends. The door to the local disk for spilled state.
//!
//! Called by [`super`] at the start of an attempt. What a killed run of the job left is removed
//! then, but never a folder in use: its holder has the lock of the file `IN-USE` in it, the
//! operating system's, which ends with the process.
//!
//! 1. Sweep: every folder of the job whose lock can be had is removed while the lock is held.
//! 2. Make the folder, make the file, lock it.
//! 3. Look whether the file is still there: a sweep between 2's steps would have removed it. Then
//!    begin again at 2.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

const IN_USE: &str = "IN-USE";
/// How often a sweep of another process can come between before that is an error.
const TRIES: u32 = 8;

/// A folder that is ours until this is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes the folder of an attempt, after removing those that killed runs of the job left.
    ///
    /// # Errors
    /// When the disk fails; when another run has a folder of the same name.
    pub(super) fn claim(dir: &Path, job: &str, attempt: &str) -> io::Result<Scratch> {
        fs::create_dir_all(dir)?;
        let prefix = format!("riverrun-{job}-");
        sweep(dir, &prefix)?;
        let folder = dir.join(format!("{prefix}{attempt}"));
        for _ in 0..TRIES {
            if let Some(lock) = make(&folder)? {
                return Ok(Scratch { folder, _lock: lock });
            }
        }
        Err(io::Error::new(ErrorKind::ResourceBusy, "another process keeps removing it"))
    }

    /// Where the rows go.
    pub(super) fn rows(&self) -> PathBuf {
        self.folder.join("rows")
    }

    /// For messages.
    pub(super) fn name(&self) -> String {
        self.folder.display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), %error, "spilled state is left behind");
        }
    }
}

/// Makes and locks; `None` when a sweep came between.
fn make(folder: &Path) -> io::Result<Option<File>> {
    let mut builder = DirBuilder::new();
    private(&mut builder);
    builder.create(folder)?;
    let file = folder.join(IN_USE);
    let lock = match OpenOptions::new().write(true).create_new(true).open(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match lock.try_lock() {
        Ok(()) if file.exists() => Ok(Some(lock)),
        // The sweep removes the folder: wait until it is done with it.
        Ok(()) | Err(TryLockError::WouldBlock) => lock.lock().map(|()| None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(unix)]
fn private(builder: &mut DirBuilder) {
    std::os::unix::fs::DirBuilderExt::mode(builder, 0o700);
}

/// The folder's own rights apply.
#[cfg(not(unix))]
fn private(_builder: &mut DirBuilder) {}

/// Removes the job's folders that nobody uses. One that cannot be removed is left: it is in no
/// one's way.
fn sweep(dir: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let ours = entry.file_name().to_string_lossy().starts_with(prefix);
        if !ours || !entry.file_type()?.is_dir() {
            continue;
        }
        let folder = entry.path();
        if let Err(error) = remove_unused(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "a left-over cannot be removed");
        }
    }
    Ok(())
}

fn remove_unused(folder: &Path) -> io::Result<()> {
    let lock = match OpenOptions::new().write(true).open(folder.join(IN_USE)) {
        // Being made this moment, or left so by a kill: gone only if it is empty.
        Err(error) if error.kind() == ErrorKind::NotFound => return absent(fs::remove_dir(folder)),
        opened => opened?,
    };
    match lock.try_lock() {
        Ok(()) => absent(fs::remove_dir_all(folder)),
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// What another process has removed, or filled, is none of our business.
fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) =>
        {
            Ok(())
        }
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("reads");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("reads").file_name();
        let mut names: Vec<_> =
            entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_is_its_holders_and_goes_with_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path().join("made");
        let first = Scratch::claim(&dir, "fraud", "1").expect("claims");
        fs::create_dir_all(first.rows()).expect("makes");
        let second = Scratch::claim(&dir, "fraud", "2").expect("claims");
        assert_eq!(names(&dir), ["riverrun-fraud-1", "riverrun-fraud-2"]);
        let error = Scratch::claim(&dir, "fraud", "2").expect_err("in use");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        drop((first, second));
        assert!(names(&dir).is_empty());
    }

    #[test]
    fn what_killed_runs_of_the_job_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path();
        for left in ["riverrun-fraud-1", "riverrun-fraud-2", "riverrun-other-1"] {
            fs::create_dir_all(dir.join(left).join("rows")).expect("makes");
            fs::write(dir.join(left).join(IN_USE), "").expect("writes");
        }
        fs::create_dir(dir.join("riverrun-fraud-empty")).expect("makes");
        fs::create_dir_all(dir.join("riverrun-fraud-notes/of a user")).expect("makes");
        fs::write(dir.join("riverrun-fraud-file"), "").expect("writes");
        let used = File::open(dir.join("riverrun-fraud-2").join(IN_USE)).expect("opens");
        used.lock().expect("locks");
        let scratch = Scratch::claim(dir, "fraud", "3").expect("claims");
        let expected = [
            "riverrun-fraud-2",
            "riverrun-fraud-3",
            "riverrun-fraud-file",
            "riverrun-fraud-notes",
            "riverrun-other-1",
        ];
        assert_eq!(names(dir), expected);
        drop(scratch);
        assert!(!names(dir).contains(&"riverrun-fraud-3".to_owned()));
    }

    #[test]
    fn many_may_claim_at_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for round in 0..50 {
                        let attempt = format!("{thread}.{round}");
                        let scratch = Scratch::claim(dir, "fraud", &attempt).expect("claims");
                        fs::create_dir(scratch.rows()).expect("nobody removes it");
                    }
                });
            }
        });
        assert!(names(dir).is_empty());
    }
}
