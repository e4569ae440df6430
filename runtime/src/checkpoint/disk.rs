//! The door to the local disk for everything around checkpoints that `object_store` does not do:
//! the folder itself, its lock, files that grow, and what writes that died left behind.
//!
//! Called by [`super::location`], [`super::lock`] and [`super::put`]. Invariant: what is created or
//! published here is on disk, with its folder's entry, when the call returns.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Makes `folder` and those above it. Each is synced before anything is made in it, and one that is
/// there is synced too: who made it may have died before.
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    let Some(above) = folder.parent() else { return Ok(()) };
    if folder.is_dir() {
        return match sync_folder(above) {
            // It was made by somebody with more rights, and not just now.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        };
    }
    create_folder(above)?;
    match fs::create_dir(folder) {
        // Another run was quicker.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        created => created?,
    }
    sync_folder(above)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    let here = folder.as_os_str().is_empty();
    File::open(if here { Path::new(".") } else { folder })?.sync_all()
}

/// Folders cannot be opened here.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Makes the names in `folder` survive a crash, if there is such a folder.
pub(super) fn sync_names(folder: &Path) -> io::Result<()> {
    if folder.is_dir() { sync_folder(folder) } else { Ok(()) }
}

/// Opens `file` for locking, empty if it was absent.
pub(super) fn open_lock(file: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(file)
}

/// The text of `file`, if there is one.
pub(super) fn read_text(file: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Replaces `file` by `text` in one step, readable by its owner only.
pub(super) fn replace_private(file: &Path, text: &str) -> io::Result<()> {
    let new = file.with_extension("new");
    remove(&new)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    private(&mut options);
    let mut out = options.open(&new)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(&new, file)
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

/// The folder's own rights apply.
#[cfg(not(unix))]
fn private(_options: &mut OpenOptions) {}

/// Removes `file`; that there is none is no error.
pub(super) fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Removes from `folder` what writes that were killed left there: [`Staged`] files, which
/// `object_store` does not list. Returns the names.
pub(super) fn remove_staged(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut removed = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let staged = name.rsplit_once('#').is_some_and(|(_, n)| n.parse::<u32>().is_ok());
        if staged {
            remove(&folder.join(&name))?;
            removed.push(name);
        }
    }
    Ok(removed)
}

/// A file that is written under a name of its own until it is whole, as `object_store` does it:
/// `NAME` is `NAME#1` before. Dropped before, it is removed.
#[derive(Debug)]
pub(super) struct Staged {
    out: File,
    written: u64,
    name: StagedName,
}

/// Where the bytes of such a file lie, and where they shall.
#[derive(Debug)]
struct StagedName {
    at: PathBuf,
    whole: PathBuf,
}

/// So many bytes are on their way to the disk while the next are written.
const PIECE: usize = 512 << 10;

impl Staged {
    /// Begins the file at `whole`, in folders that are made where they are absent.
    pub(super) fn create(whole: &Path) -> io::Result<Staged> {
        let mut n = 1_u32;
        loop {
            let mut at = whole.as_os_str().to_owned();
            at.push(format!("#{n}"));
            let at = PathBuf::from(at);
            match OpenOptions::new().write(true).create_new(true).open(&at) {
                Ok(out) => {
                    let name = StagedName { at, whole: whole.to_owned() };
                    return Ok(Staged { out, written: 0, name });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => n += 1,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    create_folder(whole.parent().unwrap_or(whole))?;
                }
                Err(e) => return Err(e),
            }
        }
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
        let Staged { out, name, .. } = self;
        out.sync_all()?;
        // There are file systems that take what was written only now.
        drop(out);
        fs::hard_link(&name.at, &name.whole)?;
        let folder = name.whole.parent().map(Path::to_path_buf);
        drop(name);
        folder.map_or(Ok(()), |folder| sync_folder(&folder))
    }
}

impl Drop for StagedName {
    fn drop(&mut self) {
        // Whoever starts next removes what is left.
        drop(remove(&self.at));
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

/// Waits for another process, for at most a few hundredths of a second.
pub(super) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
