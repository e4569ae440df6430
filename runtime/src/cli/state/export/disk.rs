//! The door to the local disk for exported files.
//!
//! Called by [`super`]. Invariants: the file has its name only when it is whole and on disk; what
//! was there before is replaced only when that was asked for; what fails leaves nothing behind.
//!
//! 1. [`Part::create`] begins a file beside it, under a name of its own.
//! 2. The caller writes.
//! 3. [`Part::publish`] syncs it, takes the name and renames.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    at: PathBuf,
    to: PathBuf,
    replace: bool,
}

impl Part {
    /// Begins to write what will be `to`.
    ///
    /// # Errors
    /// `AlreadyExists` when `to` is there and is not to be replaced; what the folder says.
    pub(super) fn create(to: &Path, replace: bool) -> io::Result<Part> {
        if !replace && to.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let mut name = to.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.part", std::process::id()));
        let at = to.with_file_name(name);
        let file = File::create(&at)?;
        Ok(Part { file, at, to: to.to_owned(), replace })
    }

    /// Where to write.
    pub(super) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// As [`Part::create`]: another may have made the file meanwhile.
    pub(super) fn publish(self) -> io::Result<()> {
        self.file.sync_all()?;
        if !self.replace {
            // Whoever creates it first has the name.
            File::create_new(&self.to)?;
        }
        fs::rename(&self.at, &self.to)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After `publish` there is nothing under this name any more.
        drop(fs::remove_file(&self.at));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let to = folder.path().join("a.parquet");
        let names = || {
            let entries = fs::read_dir(folder.path()).expect("a folder");
            entries.map(|e| e.expect("an entry").file_name()).collect::<Vec<_>>()
        };
        let write = |text: &str, replace| {
            let part = Part::create(&to, replace)?;
            part.file()?.write_all(text.as_bytes())?;
            part.publish()
        };
        drop(Part::create(&to, false).expect("begins"));
        assert!(names().is_empty(), "given up");
        write("one", false).expect("writes");
        let refused = write("two", false).expect_err("is there");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&to).expect("is there"), "one");
        write("two", true).expect("replaces");
        assert_eq!(fs::read_to_string(&to).expect("is there"), "two");
        assert_eq!(names(), ["a.parquet"]);
    }

    #[test]
    fn who_comes_first_keeps_the_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let to = folder.path().join("a.parquet");
        let part = Part::create(&to, false).expect("begins");
        fs::write(&to, "another's").expect("writes");
        assert_eq!(part.publish().expect_err("late").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&to).expect("is there"), "another's");
    }
}
