//! The one door to the users' files. Every error names the file and what was attempted.
//!
//! Called by sources and sinks on threads for blocking work, never by a task itself. Where a
//! simulation has lent the thread a disk ([`lent`](super::lent)), that is the one.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::error::FileError;
use super::lent::{self, LentFile};

type Result<T> = std::result::Result<T, FileError>;

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Nothing,
}

/// An open file.
pub(super) enum File {
    Own(fs::File),
    Lent(Box<dyn LentFile>),
}

impl File {
    /// Another hold on the same open file.
    pub(super) fn try_clone(&self) -> io::Result<File> {
        match self {
            File::Own(file) => file.try_clone().map(File::Own),
            File::Lent(file) => file.another().map(File::Lent),
        }
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            File::Own(file) => file.read(buffer),
            File::Lent(file) => file.read(buffer),
        }
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            File::Own(file) => file.seek(to),
            File::Lent(file) => file.seek(to),
        }
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            File::Own(file) => file.write(bytes),
            File::Lent(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            File::Own(file) => file.flush(),
            File::Lent(file) => file.flush(),
        }
    }
}

/// Whether `path` leads to a folder, and its length.
fn look(path: &Path) -> Result<Option<(bool, u64)>> {
    let found = match lent::disk() {
        Some(disk) => disk.look(path),
        None => fs::metadata(path).map(|metadata| (metadata.is_dir(), metadata.len())),
    };
    match found {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(FileError::io("look at", path)(e)),
    }
}

/// What lies at `path`; links are followed.
pub(super) fn kind(path: &Path) -> Result<Kind> {
    Ok(match look(path)? {
        Some((true, _)) => Kind::Folder,
        Some((false, _)) => Kind::File,
        None => Kind::Nothing,
    })
}

/// The length of a file in bytes; `None` when there is none.
pub(super) fn length(path: &Path) -> Result<Option<u64>> {
    Ok(look(path)?.map(|(_, length)| length))
}

/// The names of the files in `folder`, sorted; subfolders are left out.
pub(super) fn names(folder: &Path) -> Result<Vec<PathBuf>> {
    let told = || FileError::io("list", folder);
    let all = match lent::disk() {
        Some(disk) => disk.names(folder).map_err(told())?,
        None => {
            let entries = fs::read_dir(folder).map_err(told())?;
            let paths = entries.map(|entry| Ok(entry.map_err(told())?.path()));
            paths.collect::<Result<_>>()?
        }
    };
    let mut names = Vec::new();
    for path in all {
        if kind(&path)? == Kind::File {
            names.push(path);
        }
    }
    names.sort();
    Ok(names)
}

/// Opens a file for reading, with its length; `None` when there is none.
pub(super) fn open(path: &Path) -> Result<Option<(File, u64)>> {
    let opened = match lent::disk() {
        Some(disk) => disk.open(path).map(File::Lent),
        None => fs::File::open(path).map(File::Own),
    };
    let file = match opened {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(FileError::io("open", path)(e)),
    };
    let length = match &file {
        File::Own(file) => file.metadata().map(|metadata| metadata.len()),
        File::Lent(file) => file.length(),
    };
    Ok(Some((file, length.map_err(FileError::io("look at", path))?)))
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
    let created = match lent::disk() {
        Some(disk) => disk.create(path).map(File::Lent),
        None => OpenOptions::new().write(true).create_new(true).open(path).map(File::Own),
    };
    created.map_err(FileError::io("create", path))
}

/// Makes what was written to `file` survive a crash. An error means that nobody knows what did:
/// never try again.
pub(super) fn sync(file: &File, path: &Path) -> Result<()> {
    let synced = match file {
        File::Own(file) => file.sync_all(),
        File::Lent(file) => file.sync(),
    };
    synced.map_err(FileError::io("sync", path))
}

/// Makes the names in `folder` survive a crash.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    let synced = match lent::disk() {
        Some(disk) => disk.sync_folder(folder),
        None => fs::File::open(folder).and_then(|folder| folder.sync_all()),
    };
    synced.map_err(FileError::io("sync the folder", folder))
}

/// Creates a folder and those above it; all of them survive a crash. Each is synced before anything
/// is made in it, and one that is there is synced too: who made it may have died before.
pub(super) fn create_folder(folder: &Path) -> Result<()> {
    let Some(above) = folder.parent() else { return Ok(()) };
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    if kind(folder)? == Kind::Folder {
        return match sync_folder(above) {
            // It was made by somebody with more rights, and not just now.
            Err(FileError::Io { error, .. }) if error.kind() == ErrorKind::PermissionDenied => {
                Ok(())
            }
            synced => synced,
        };
    }
    create_folder(above)?;
    let created = match lent::disk() {
        Some(disk) => disk.create_folder(folder),
        None => fs::create_dir(folder),
    };
    match created {
        // Another subtask's sink was quicker.
        Err(e) if e.kind() == ErrorKind::AlreadyExists && kind(folder)? == Kind::Folder => {}
        created => created.map_err(FileError::io("create the folder", folder))?,
    }
    sync_folder(above)
}

/// Gives a file another name.
pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    let renamed = match lent::disk() {
        Some(disk) => disk.rename(from, to),
        None => fs::rename(from, to),
    };
    renamed.map_err(FileError::io("make visible", from))
}

/// Removes a file.
pub(super) fn remove(path: &Path) -> Result<()> {
    let removed = match lent::disk() {
        Some(disk) => disk.remove(path),
        None => fs::remove_file(path),
    };
    removed.map_err(FileError::io("remove", path))
}

/// The folder that relative paths begin at.
pub(super) fn working_folder() -> String {
    std::env::current_dir().map_or_else(|e| e.to_string(), |path| path.display().to_string())
}
