//! The one door to the users' files. Every error names the file and what was attempted.
//!
//! Called by sources and sinks on threads for blocking work, never by a task itself.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::error::FileError;

type Result<T> = std::result::Result<T, FileError>;

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Nothing,
}

/// What lies at `path`; links are followed.
pub(super) fn kind(path: &Path) -> Result<Kind> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(Kind::Folder),
        Ok(_) => Ok(Kind::File),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Kind::Nothing),
        Err(e) => Err(FileError::io("look at", path)(e)),
    }
}

/// The length of a file in bytes; `None` when there is none.
pub(super) fn length(path: &Path) -> Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(FileError::io("look at", path)(e)),
    }
}

/// The names of the files in `folder`, sorted; subfolders are left out.
pub(super) fn names(folder: &Path) -> Result<Vec<PathBuf>> {
    let told = || FileError::io("list", folder);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(told())? {
        let path = entry.map_err(told())?.path();
        if kind(&path)? == Kind::File {
            names.push(path);
        }
    }
    names.sort();
    Ok(names)
}

/// Opens a file for reading, with its length; `None` when there is none.
pub(super) fn open(path: &Path) -> Result<Option<(File, u64)>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(FileError::io("open", path)(e)),
    };
    let length = file.metadata().map_err(FileError::io("look at", path))?.len();
    Ok(Some((file, length)))
}

/// Reads `buffer` full from `position` on.
pub(super) fn read_at(file: &mut File, path: &Path, at: u64, buffer: &mut [u8]) -> Result<()> {
    let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(buffer));
    read.map_err(FileError::io("read", path))
}

/// Goes to `position`.
pub(super) fn seek(file: &mut File, path: &Path, position: u64) -> Result<()> {
    file.seek(SeekFrom::Start(position)).map(drop).map_err(FileError::io("read", path))
}

/// Creates a file for writing; one that exists is an error.
pub(super) fn create(path: &Path) -> Result<File> {
    let created = OpenOptions::new().write(true).create_new(true).open(path);
    created.map_err(FileError::io("create", path))
}

/// Makes what was written to `file` survive a crash. An error means that nobody knows what did:
/// never try again.
pub(super) fn sync(file: &File, path: &Path) -> Result<()> {
    file.sync_all().map_err(FileError::io("sync", path))
}

/// Makes the names in `folder` survive a crash.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(FileError::io("sync the folder", folder))
}

/// Creates a folder and those above it.
pub(super) fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(FileError::io("create the folder", folder))
}

/// Gives a file another name.
pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(FileError::io("make visible", from))
}

/// Removes a file.
pub(super) fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(FileError::io("remove", path))
}

/// The folder that relative paths begin at.
pub(super) fn working_folder() -> String {
    std::env::current_dir().map_or_else(|e| e.to_string(), |path| path.display().to_string())
}
