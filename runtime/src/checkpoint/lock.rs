//! One run on one checkpoint folder: the lock, and what other processes may know of its holder.
//!
//! Called by the run (acquires) and the command line (finds the control port). The lock is the
//! operating system's, on the file `LOCK`: it ends with its process, however that ends. `LOCK.info`
//! says who holds it; alone it means nothing. `LOCK` itself is never removed: who removes a lock
//! file may remove another's.
//!
//! `memory://` is locked within its process, `s3://` by a [`super::lease`]: the second run on a
//! prefix is refused; a run that was killed blocks it for ten seconds more; one that was cut off
//! and replaced finds out before it writes its next manifest.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use riverrun_engine::planted;
use riverrun_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::disk;
use super::error::StoreError;
use super::lease::{self, Fence, Fenced, Lease};
use super::location::{IfAbsent, Location};

/// How often a lock that is held is tried again: a reader of [`LockInfo::read`] holds it for a
/// moment.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// Who holds a lock.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockInfo {
    /// Its process.
    pub pid: u32,
    /// Its job.
    pub job: String,
    /// Its attempt.
    pub attempt: String,
    /// Since when.
    pub since: Timestamp,
    /// Where it takes orders, on localhost.
    pub control_port: Option<u16>,
    /// What proves the right to give them.
    pub control_token: String,
}

impl std::fmt::Debug for LockInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LockInfo(process {}, job {}, since {})", self.pid, self.job, self.since)
    }
}

/// A lock that cannot be had or read.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another run holds it.
    #[error(
        "RR0220: '{path}' is in use by {holder}: two runs on one folder would destroy each other's \
         checkpoints; stop the other (`stop`), or set another `checkpoint.path`"
    )]
    Held {
        /// The folder.
        path: String,
        /// Who, as far as is known.
        holder: String,
    },
    /// The file system does not lock, or does not let us.
    #[error("RR0221: the lock '{file}' cannot be taken: {source}")]
    Io {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// Object storage that does not answer, or has something else under the lock's name.
    #[error(
        "RR0222: the lock of '{path}' (its object `LOCK`) cannot be taken: {reason}; the storage \
         must know conditional writes (`If-Match`, `If-None-Match`)"
    )]
    Lease {
        /// The place.
        path: String,
        /// Why.
        reason: String,
    },
    /// Another run took the lock while this one could not renew it.
    #[error(
        "RR0223: '{path}' was taken over by {holder}, while this run could not renew its lock: it \
         ends, and what it had not committed is the other's now"
    )]
    Lost {
        /// The place.
        path: String,
        /// Who has it.
        holder: String,
    },
    /// A path that is none.
    #[error(transparent)]
    Path(#[from] StoreError),
}

static MEMORY: Mutex<BTreeMap<String, LockInfo>> = Mutex::new(BTreeMap::new());

fn memory<R>(f: impl FnOnce(&mut BTreeMap<String, LockInfo>) -> R) -> R {
    f(&mut MEMORY.lock().unwrap_or_else(PoisonError::into_inner))
}

#[derive(Debug)]
enum Held {
    /// The open file is the lock.
    Folder {
        folder: PathBuf,
        _lock: File,
    },
    Memory(String),
    Remote {
        path: String,
        lease: Lease,
    },
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct StoreLock {
    held: Held,
}

fn lock_file(folder: &Path) -> PathBuf {
    folder.join("LOCK")
}

fn info_file(folder: &Path) -> PathBuf {
    folder.join("LOCK.info")
}

fn failed(file: &Path) -> impl FnOnce(io::Error) -> LockError {
    let file = file.display().to_string();
    move |source| LockError::Io { file, source }
}

/// How a holder is told.
pub(super) fn describe(info: &LockInfo) -> String {
    let millis = u64::try_from(info.since.as_millis()).unwrap_or(0);
    let since = UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH);
    let since = humantime::format_rfc3339_seconds(since);
    format!("process {} (job '{}', since {since})", info.pid, info.job)
}

impl StoreLock {
    /// Takes the lock of `path`. Blocks: in object storage up to eleven seconds, where a holder
    /// does not give a sign of life.
    ///
    /// # Errors
    /// When another run holds it, with its process and since when; when the disk or storage fails.
    pub fn acquire(path: &str, info: &LockInfo) -> Result<StoreLock, LockError> {
        let held = match Location::parse(path)? {
            Location::Folder(folder) => lock_folder(path, folder)?,
            Location::Memory(name) => lock_memory(path, name, info)?,
            Location::Remote(url) => {
                let open = move || Location::Remote(url).open(IfAbsent::Create);
                let lease = Lease::acquire(open, path, info, lease::TIMES)?;
                Held::Remote { path: path.to_owned(), lease }
            }
        };
        let lock = StoreLock { held };
        lock.update(info)?;
        Ok(lock)
    }

    /// Says anew who holds it.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn update(&self, info: &LockInfo) -> Result<(), LockError> {
        match &self.held {
            Held::Folder { folder, .. } => {
                let file = info_file(folder);
                let text = serde_json::to_string_pretty(info).map_err(io::Error::other);
                let written = text.and_then(|text| disk::replace_private(&file, &text));
                written.map_err(failed(&file))
            }
            Held::Memory(name) => {
                memory(|held| held.insert(name.clone(), info.clone()));
                Ok(())
            }
            Held::Remote { lease, .. } => {
                lease.update(info);
                Ok(())
            }
        }
    }

    /// What to ask before a manifest is written; nothing where the lock cannot be lost.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        match &self.held {
            Held::Remote { lease, .. } => Some(lease.fence()),
            Held::Folder { .. } | Held::Memory(_) => None,
        }
    }

    /// Whether it was lost to another run for good.
    ///
    /// # Errors
    /// To whom.
    pub fn check(&self) -> Result<(), LockError> {
        match &self.held {
            Held::Remote { path, lease } => match lease.fence().check() {
                Err(Fenced::Lost { holder }) => Err(LockError::Lost { path: path.clone(), holder }),
                Err(Fenced::Unsure { .. }) | Ok(()) => Ok(()),
            },
            Held::Folder { .. } | Held::Memory(_) => Ok(()),
        }
    }
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        match &self.held {
            // While the lock is still held: nobody else's can be there. A failure leaves a text
            // that means nothing without the lock.
            Held::Folder { folder, .. } => drop(disk::remove(&info_file(folder))),
            Held::Memory(name) => drop(memory(|held| held.remove(name))),
            // The lease gives itself back.
            Held::Remote { .. } => {}
        }
    }
}

fn lock_folder(path: &str, folder: PathBuf) -> Result<Held, LockError> {
    let name = lock_file(&folder);
    disk::create_folder(&folder).map_err(failed(&folder))?;
    let file = disk::open_lock(&name).map_err(failed(&name))?;
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(Held::Folder { folder, _lock: file }),
            Err(TryLockError::WouldBlock) if planted!("lock.ignored") => {
                return Ok(Held::Folder { folder, _lock: file });
            }
            Err(TryLockError::WouldBlock) => disk::pause(BETWEEN_TRIES),
            Err(TryLockError::Error(source)) => return Err(failed(&name)(source)),
        }
    }
    let holder = read_info(&folder)?.map_or("another process".to_owned(), |info| describe(&info));
    Err(LockError::Held { path: path.to_owned(), holder })
}

fn lock_memory(path: &str, name: String, info: &LockInfo) -> Result<Held, LockError> {
    memory(|held| match held.get(&name) {
        Some(other) => Err(LockError::Held { path: path.to_owned(), holder: describe(other) }),
        None => {
            held.insert(name.clone(), info.clone());
            Ok(Held::Memory(name))
        }
    })
}

/// What `LOCK.info` says; a text that cannot be read counts as none, the lock alone decides.
fn read_info(folder: &Path) -> Result<Option<LockInfo>, LockError> {
    let file = info_file(folder);
    let text = disk::read_text(&file).map_err(failed(&file))?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

impl LockInfo {
    /// Who runs on `path` now; `None` when nobody does. In object storage whoever was killed is
    /// named until another takes its place.
    ///
    /// # Errors
    /// A path that is none; when the disk fails.
    pub fn read(path: &str) -> Result<Option<LockInfo>, LockError> {
        match Location::parse(path)? {
            Location::Folder(folder) if lock_file(&folder).exists() => {
                let name = lock_file(&folder);
                let file = disk::open_lock(&name).map_err(failed(&name))?;
                match file.try_lock_shared() {
                    Ok(()) => Ok(None),
                    Err(TryLockError::WouldBlock) => read_info(&folder),
                    Err(TryLockError::Error(source)) => Err(failed(&name)(source)),
                }
            }
            Location::Memory(name) => Ok(memory(|held| held.get(&name).cloned())),
            Location::Remote(url) => {
                lease::read(move || Location::Remote(url).open(IfAbsent::Create), path)
            }
            Location::Folder(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = "RIVERRUN_TEST_LOCK_FOLDER";

    fn info(pid: u32) -> LockInfo {
        LockInfo {
            pid,
            job: "cards".into(),
            attempt: "a".into(),
            since: Timestamp::from_millis(0),
            control_port: Some(4),
            control_token: "secret".into(),
        }
    }

    fn second_is_refused(path: &str) {
        assert_eq!(LockInfo::read(path).expect("reads"), None);
        let first = StoreLock::acquire(path, &info(7)).expect("free");
        let refused = StoreLock::acquire(path, &info(8)).expect_err("held").to_string();
        assert!(refused.contains("process 7"), "{refused}");
        assert!(refused.contains("since 1970-01-01"), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
        first.update(&LockInfo { control_port: Some(5), ..info(7) }).expect("writes");
        let read = LockInfo::read(path).expect("reads").expect("held");
        assert_eq!(read.control_port, Some(5));
        drop(first);
        assert_eq!(LockInfo::read(path).expect("reads"), None);
        StoreLock::acquire(path, &info(8)).expect("free again");
    }

    #[test]
    fn the_second_run_on_a_folder_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        second_is_refused(folder.path().join("new").to_str().expect("text"));
    }

    #[test]
    fn the_second_run_on_memory_is_refused() {
        second_is_refused("memory://lock-test");
    }

    /// Does nothing, unless it is the process that the next test kills.
    #[test]
    fn hold() {
        let Ok(folder) = std::env::var(FOLDER) else { return };
        let _lock = StoreLock::acquire(&folder, &info(std::process::id())).expect("free");
        disk::pause(Duration::from_secs(60));
    }

    #[test]
    fn a_killed_run_leaves_the_way_free() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_str().expect("text");
        let mut child = std::process::Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "checkpoint::lock::tests::hold"])
            .env(FOLDER, path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("starts");
        let held = |_: &u32| {
            disk::pause(Duration::from_millis(20));
            LockInfo::read(path).expect("reads").is_some()
        };
        let held = (0..500).find(held);
        let refused = StoreLock::acquire(path, &info(1));
        child.kill().expect("SIGKILL");
        child.wait().expect("is dead");
        assert!(held.is_some(), "the child takes the lock");
        let refused = refused.expect_err("held").to_string();
        assert!(refused.contains(&format!("process {}", child.id())), "{refused}");
        assert_eq!(LockInfo::read(path).expect("reads"), None, "what it left means nothing");
        StoreLock::acquire(path, &info(1)).expect("free");
    }
}
