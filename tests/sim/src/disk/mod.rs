//! A simulated disk: what disks promise, and no more.
//!
//! A file's bytes survive a loss of power once the file was synced, a name once its folder was;
//! what was not synced survives in part: of a file some of its end is missing or zero, of a
//! folder's changes the last ones are undone. A process that is only killed loses nothing that it
//! wrote. Operations may fail, before or after they had their effect, and at a chosen one the run
//! dies: from then on nothing has an effect any more.
//!
//! [`Objects`] stands on it as `object_store`'s local storage does on a real one; for the file
//! connectors it is a [`Disk`](riverrun::connectors::file::lent::Disk).

mod files;
mod objects;
mod tree;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use files::Files;
pub(crate) use objects::Objects;

use crate::chance::{Chance, mixed};
use tree::Tree;

/// What every error says that the simulation made.
pub(crate) const SIMULATED: &str = "simulated fault";

/// How a disk behaves during one life.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// Of 10,000 operations so many fail.
    pub(crate) fails: u64,
    /// Of 10,000 so many are slow, where that can be waited for.
    pub(crate) slow: u64,
    /// How slow, in milliseconds, at most.
    pub(crate) slow_ms: u64,
    /// At this operation of the life, from 1, the run dies.
    pub(crate) dies_at: Option<u64>,
}

struct Inner {
    tree: Tree,
    chance: Chance,
    weather: Weather,
    operations: u64,
    dead: bool,
    trace: u64,
    told: bool,
}

/// A disk; clones are the same one.
#[derive(Clone)]
pub(crate) struct SimDisk(Arc<Mutex<Inner>>);

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimDisk")
    }
}

/// How far an operation comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Done,
    /// It has its effect, and says that it has none.
    DoneAndFails,
}

fn fault() -> io::Error {
    io::Error::other(SIMULATED)
}

impl SimDisk {
    pub(crate) fn new(chance: Chance, told: bool) -> Self {
        let inner = Inner {
            tree: Tree::default(),
            chance,
            weather: Weather::default(),
            operations: 0,
            dead: false,
            trace: 0,
            told,
        };
        SimDisk(Arc::new(Mutex::new(inner)))
    }

    fn enter(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A life begins.
    pub(crate) fn begin(&self, weather: Weather) {
        let mut inner = self.enter();
        inner.weather = weather;
        inner.operations = 0;
        inner.dead = false;
    }

    /// From here on nothing has an effect.
    pub(crate) fn freeze(&self) {
        self.enter().dead = true;
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.enter().dead
    }

    /// The machine loses its power, and with it what was not synced.
    pub(crate) fn lose_power(&self) {
        let Inner { tree, chance, .. } = &mut *self.enter();
        tree.lose_power(chance);
    }

    /// A hash over all operations.
    pub(crate) fn trace(&self) -> u64 {
        self.enter().trace
    }

    /// Writes a file that is there before anything is simulated.
    pub(crate) fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut inner = self.enter();
        inner.tree.put(path, bytes);
    }

    /// All files below `folder` with their content, by path.
    pub(crate) fn all(&self, folder: &Path) -> Vec<(String, Vec<u8>)> {
        let inner = self.enter();
        let files = inner.tree.files(folder).into_iter();
        files.map(|path| (path.display().to_string(), inner.tree.content(&path))).collect()
    }

    /// An operation that reads.
    fn reads<R>(
        &self,
        what: &str,
        path: &Path,
        effect: impl FnOnce(&mut Tree) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut inner = self.enter();
        match inner.fate(what, path)? {
            Fate::Done => effect(&mut inner.tree),
            Fate::DoneAndFails => Err(fault()),
        }
    }

    /// An operation that changes something: when it fails it may have had its effect.
    fn writes<R>(
        &self,
        what: &str,
        path: &Path,
        effect: impl FnOnce(&mut Tree) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut inner = self.enter();
        let fate = inner.fate(what, path)?;
        let done = effect(&mut inner.tree)?;
        if fate == Fate::Done { Ok(done) } else { Err(fault()) }
    }

    /// For how many milliseconds the next operation keeps one waiting; `None`: not at all.
    fn slowness(&self) -> Option<u64> {
        let Inner { chance, weather, .. } = &mut *self.enter();
        let slow = chance.happens(weather.slow, 10_000);
        slow.then(|| chance.within(1, weather.slow_ms.max(1)))
    }

    fn drawn(&self, low: u64, high: u64) -> u64 {
        self.enter().chance.within(low, high)
    }
}

impl Inner {
    fn fate(&mut self, what: &str, path: &Path) -> io::Result<Fate> {
        self.operations += 1;
        if self.weather.dies_at == Some(self.operations) {
            self.dead = true;
        }
        let name = path.as_os_str().as_encoded_bytes().iter().chain(what.as_bytes());
        self.trace = name.fold(mixed(self.trace), |sum, byte| {
            sum.rotate_left(5).wrapping_mul(0x0100_0000_01B3) ^ u64::from(*byte)
        });
        if self.told {
            let dead = if self.dead { " (dead)" } else { "" };
            println!("{:>7} disk: {what} {}{dead}", self.operations, path.display());
        }
        if self.dead {
            return Err(fault());
        }
        let fails = self.chance.happens(self.weather.fails, 10_000);
        match fails && self.chance.happens(1, 2) {
            _ if !fails => Ok(Fate::Done),
            true => Ok(Fate::DoneAndFails),
            false => Err(fault()),
        }
    }
}
