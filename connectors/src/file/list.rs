//! From what the user wrote to the files it means: a file, the visible files of a folder, or a
//! glob.
//!
//! Called when splits are discovered and by `check`. A path that leads to a file or folder is never
//! taken for a pattern; a pattern without files is an error.

use std::path::{Path, PathBuf};

use super::disk::{self, Kind};
use super::error::FileError;

fn is_visible(path: &Path) -> bool {
    path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'))
}

/// The files that `path` means, sorted by name.
pub(super) fn files(path: &Path) -> Result<Vec<String>, FileError> {
    let found = match disk::kind(path)? {
        Kind::File => vec![path.to_owned()],
        Kind::Folder => {
            let mut found = disk::names(path)?;
            found.retain(|path| is_visible(path));
            if found.is_empty() {
                return Err(FileError::EmptyFolder { path: path.to_owned() });
            }
            found
        }
        Kind::Nothing => matching(path)?,
    };
    let name = |path: PathBuf| match path.to_str() {
        Some(name) => Ok(name.to_owned()),
        None => Err(FileError::Name { path }),
    };
    found.into_iter().map(name).collect()
}

fn matching(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let text = path.to_str().ok_or_else(|| FileError::Name { path: path.to_owned() })?;
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let matches = glob::glob_with(text, options)
        .map_err(|e| FileError::Pattern { path: text.to_owned(), reason: e.to_string() })?;
    let mut found = Vec::new();
    for entry in matches {
        let path = entry.map_err(|e| {
            let path = e.path().to_owned();
            FileError::Io { doing: "list", path, error: e.into() }
        })?;
        if disk::kind(&path)? == Kind::File {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(FileError::NoMatch { path: text.to_owned() });
    }
    found.sort();
    Ok(found)
}
