//! The door to the disk for drills: the scratch folder, what runs wrote into it, and the reports.
//!
//! Invariant: nothing is written or removed but below the scratch folder, and the two reports where
//! the user wants them.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::error::DrillError;

type Result<T> = std::result::Result<T, DrillError>;

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DrillError {
    let path = path.to_owned();
    move |source| DrillError::Disk { doing, path, source }
}

/// Makes a folder that was not there.
pub(super) fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(failed("create the folder", folder))
}

/// Copies a folder of the drill with all that is in it.
pub(super) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    create_folder(to)?;
    for entry in fs::read_dir(from).map_err(failed("list", from))? {
        let entry = entry.map_err(failed("list", from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let is_folder = entry.file_type().map_err(failed("look at", &path))?.is_dir();
        match is_folder {
            true => copy_folder(&path, &target)?,
            false => drop(fs::copy(&path, &target).map_err(failed("copy", &path))?),
        }
    }
    Ok(())
}

/// Removes a folder of the drill with all that is in it.
pub(super) fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove the folder", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Creates a file for what a run says.
pub(super) fn create(file: &Path) -> Result<File> {
    File::create(file).map_err(failed("create", file))
}

/// Writes a whole file.
///
/// # Errors
/// When the disk does not take it.
pub fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).map_err(failed("write", file))
}

/// The text of a file; what is no UTF-8 is shown as such.
pub(super) fn read(file: &Path) -> Result<String> {
    let bytes = fs::read(file).map_err(failed("read", file))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What lies in `folder` and is not hidden; nothing where there is no folder.
pub(super) fn visible(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("list", folder))?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("list", folder))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
