//! The simulated disk as the file connectors see it.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use riverrun::connectors::file::lent::{Disk, LentFile};

use super::SimDisk;
use super::tree::Node;

/// The disk for files.
pub(crate) struct Files(pub(crate) SimDisk);

struct Open {
    disk: SimDisk,
    node: Node,
    path: PathBuf,
    /// Shared by all holds on it.
    position: Arc<Mutex<u64>>,
}

impl Files {
    fn held(&self, node: Node, path: &Path) -> Box<dyn LentFile> {
        let (disk, path) = (self.0.clone(), path.to_owned());
        Box::new(Open { disk, node, path, position: Arc::default() })
    }
}

impl Disk for Files {
    fn look(&self, path: &Path) -> io::Result<(bool, u64)> {
        self.0.reads("look", path, |tree| tree.look(path))
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.0.reads("names", folder, |tree| tree.names(folder))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn LentFile>> {
        self.0.reads("open", path, |tree| tree.find(path)).map(|node| self.held(node, path))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn LentFile>> {
        self.0.writes("create", path, |tree| tree.create(path)).map(|node| self.held(node, path))
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.0.writes("create folder", folder, |tree| tree.create_one(folder))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.0.writes("sync folder", folder, |tree| {
            let node = tree.find(folder)?;
            tree.sync(node);
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.writes("rename", from, |tree| tree.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.writes("remove", path, |tree| tree.remove(path))
    }
}

impl Read for Open {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        let read = self.disk.reads("read", &self.path, |tree| {
            let bytes = tree.bytes(self.node);
            let from = usize::try_from(*position).unwrap_or(usize::MAX).min(bytes.len());
            let len = buffer.len().min(bytes.len() - from);
            buffer[..len].copy_from_slice(&bytes[from..from + len]);
            Ok(len)
        })?;
        *position += read as u64;
        Ok(read)
    }
}

impl Seek for Open {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        let length = self.disk.enter().tree.length(self.node) as u64;
        let moved = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => length.checked_add_signed(by),
            SeekFrom::Current(by) => position.checked_add_signed(by),
        };
        *position = moved.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(*position)
    }
}

/// What is written goes to the end: nobody writes elsewhere.
impl Write for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.writes("write", &self.path, |tree| {
            tree.append(self.node, bytes);
            Ok(bytes.len())
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LentFile for Open {
    fn sync(&self) -> io::Result<()> {
        self.disk.writes("sync", &self.path, |tree| {
            tree.sync(self.node);
            Ok(())
        })
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.enter().tree.length(self.node) as u64)
    }

    fn another(&self) -> io::Result<Box<dyn LentFile>> {
        let (disk, path) = (self.disk.clone(), self.path.clone());
        Ok(Box::new(Open { disk, node: self.node, path, position: self.position.clone() }))
    }
}
