//! The door to the local disk for everything around checkpoints that `object_store` does not do:
//! the folder itself, its lock, and what writes that died left behind; files that grow are
//! [`super::staged`]'s.
//!
//! Called by [`super::location`], [`super::lock`] and [`super::staged`]. Invariant: a folder that
//! is created here is on disk, with its own folder's entry, when the call returns.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
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
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    let here = folder.as_os_str().is_empty();
    File::open(if here { Path::new(".") } else { folder })?.sync_all()
}

/// Folders cannot be opened here.
#[cfg(not(unix))]
pub(super) fn sync_folder(_folder: &Path) -> io::Result<()> {
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

/// Removes from `folder` what writes that were killed left there: staged files
/// ([`super::staged`]), which `object_store` does not list. Returns the names.
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

/// Waits for another process, for at most a few hundredths of a second.
pub(super) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
