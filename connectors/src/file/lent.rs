//! A disk that a simulation lends to the files of its thread, in the place of the machine's.
//!
//! Asked by the door [`super::disk`] whenever something is opened, looked at or renamed; never for
//! each record. Under simulation what reads and writes runs on the thread that the disk was lent
//! to. Globs see the machine's disk only.

use std::cell::RefCell;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What stands for a disk. Errors are those of `std::fs`.
pub trait Disk {
    /// Whether `path` leads to a folder, and its length in bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`]; storage that fails.
    fn look(&self, path: &Path) -> io::Result<(bool, u64)>;
    /// What lies in `folder`.
    ///
    /// # Errors
    /// As [`Disk::look`].
    fn names(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
    /// Opens a file for reading.
    ///
    /// # Errors
    /// As [`Disk::look`].
    fn open(&self, path: &Path) -> io::Result<Box<dyn LentFile>>;
    /// Creates a file for writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`]; storage that fails.
    fn create(&self, path: &Path) -> io::Result<Box<dyn LentFile>>;
    /// Creates a folder in one that is there.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`]; as [`Disk::look`].
    fn create_folder(&self, folder: &Path) -> io::Result<()>;
    /// Makes the names in `folder` survive a crash.
    ///
    /// # Errors
    /// As [`Disk::look`].
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Gives a file another name, in the place of a file that has it.
    ///
    /// # Errors
    /// As [`Disk::look`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As [`Disk::look`].
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// An open file of such a disk.
pub trait LentFile: Read + Write + Seek + Send {
    /// Makes what was written survive a crash.
    ///
    /// # Errors
    /// Storage that fails.
    fn sync(&self) -> io::Result<()>;
    /// Its length in bytes.
    ///
    /// # Errors
    /// Storage that fails.
    fn length(&self) -> io::Result<u64>;
    /// Another hold on the same open file.
    ///
    /// # Errors
    /// Storage that fails.
    fn another(&self) -> io::Result<Box<dyn LentFile>>;
}

thread_local! {
    static DISK: RefCell<Option<Arc<dyn Disk>>> = const { RefCell::new(None) };
}

/// A disk is lent as long as this lives.
#[derive(Debug)]
pub struct Lent(());

impl Drop for Lent {
    fn drop(&mut self) {
        DISK.with_borrow_mut(Option::take);
    }
}

/// Lends `disk` to this thread.
///
/// # Panics
/// When it has one already.
#[must_use]
pub fn lend(disk: Arc<dyn Disk>) -> Lent {
    let before = DISK.with_borrow_mut(|place| place.replace(disk));
    assert!(before.is_none(), "this thread was lent a disk already");
    Lent(())
}

pub(super) fn disk() -> Option<Arc<dyn Disk>> {
    DISK.with_borrow(Clone::clone)
}
