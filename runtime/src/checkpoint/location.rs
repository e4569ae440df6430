//! From the text of `checkpoint.path` to a place: a folder, memory, or (feature `s3`) a bucket.
//!
//! Called by [`super::store`] and [`super::lock`], so that both mean the same place.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use super::error::StoreError;
use super::{disk, s3};

/// Where checkpoints lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// On the local disk.
    Folder(PathBuf),
    /// In this process, under this name, for its life.
    Memory(String),
    /// In object storage, under this URL.
    Remote(String),
}

/// What is done about a place that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfAbsent {
    /// It is made.
    Create,
    /// It is an error.
    Refuse,
}

type SyncFolder = dyn Fn(&str) -> io::Result<()> + Send + Sync;

/// What makes the names in a folder of a storage survive a crash.
#[derive(Clone)]
pub struct SyncNames(Arc<SyncFolder>);

impl std::fmt::Debug for SyncNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SyncNames")
    }
}

impl SyncNames {
    pub(super) fn sync(&self, folder: &str) -> io::Result<()> {
        (self.0)(folder)
    }
}

/// What lies under a name in memory.
struct Place {
    objects: Arc<dyn ObjectStore>,
    /// Of a storage that stands for a folder.
    syncs: Option<SyncNames>,
}

static MEMORY: Mutex<BTreeMap<String, Place>> = Mutex::new(BTreeMap::new());

/// A storage that was put under a name, as long as this lives.
#[derive(Debug)]
pub struct Mounted(String);

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(MEMORY.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0));
    }
}

/// Puts a storage of the caller's own, which stands for a folder, under `memory://NAME`; `syncs`
/// makes the names in a folder of it survive a crash. A write to it that failed must be there or
/// not, as a read then tells: it may not arrive later.
#[must_use]
pub fn mount(
    name: &str,
    objects: Arc<dyn ObjectStore>,
    syncs: impl Fn(&str) -> io::Result<()> + Send + Sync + 'static,
) -> Mounted {
    let place = Place { objects, syncs: Some(SyncNames(Arc::new(syncs))) };
    drop(MEMORY.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), place));
    Mounted(name.to_owned())
}

impl Location {
    /// Reads `path`.
    pub(super) fn parse(path: &str) -> Result<Location, StoreError> {
        let refuse = |reason: &str| {
            Err(StoreError::Path { path: path.to_owned(), reason: reason.to_owned() })
        };
        match path.split_once("://") {
            None if path.trim().is_empty() => refuse("it is empty"),
            None => Ok(Location::Folder(PathBuf::from(path))),
            Some(("memory" | "s3", "")) => refuse("its name is missing"),
            Some(("memory", name)) => Ok(Location::Memory(name.to_owned())),
            Some(("s3", _)) => Ok(Location::Remote(path.to_owned())),
            Some((scheme, _)) => refuse(&format!("'{scheme}://' is not known")),
        }
    }

    /// Opens it.
    pub(super) fn open(&self, absent: IfAbsent) -> Result<Arc<dyn ObjectStore>, StoreError> {
        match self {
            Location::Folder(folder) => open_folder(folder, absent),
            Location::Memory(name) => open_memory(name, absent),
            Location::Remote(url) => s3::open(url),
        }
    }

    /// What syncs names, where a storage of somebody's own stands for a folder.
    pub(super) fn syncs(&self) -> Option<SyncNames> {
        let Location::Memory(name) = self else { return None };
        let places = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
        places.get(name).and_then(|place| place.syncs.clone())
    }
}

fn open_folder(folder: &Path, absent: IfAbsent) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let failed = |source| StoreError::Open { path: folder.display().to_string(), source };
    match absent {
        IfAbsent::Create => disk::create_folder(folder).map_err(failed)?,
        IfAbsent::Refuse if folder.is_dir() => {}
        IfAbsent::Refuse => return Err(failed(io::ErrorKind::NotFound.into())),
    }
    let opened = LocalFileSystem::new_with_prefix(folder);
    let opened = opened.map_err(|e| failed(io::Error::other(e)))?;
    // Files come to a folder through `staged::Staged`, which syncs them.
    Ok(Arc::new(opened))
}

fn open_memory(name: &str, absent: IfAbsent) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let mut stores = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    if absent == IfAbsent::Refuse && !stores.contains_key(name) {
        let (path, source) = (format!("memory://{name}"), io::ErrorKind::NotFound.into());
        return Err(StoreError::Open { path, source });
    }
    let made = || Place { objects: Arc::new(InMemory::new()), syncs: None };
    Ok(stores.entry(name.to_owned()).or_insert_with(made).objects.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_are_no_place_are_refused() {
        for path in ["", " ", "memory://", "s3://", "gs://bucket/x"] {
            assert!(matches!(Location::parse(path), Err(StoreError::Path { .. })), "'{path}'");
        }
        assert_eq!(Location::parse("a/b").expect("a folder"), Location::Folder("a/b".into()));
    }
}
