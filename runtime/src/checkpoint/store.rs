//! Checkpoints in a folder, in memory or in a bucket, behind `object_store`, but for the writing of
//! files in a folder ([`super::put`]).
//!
//! Called by the coordinator, by [`super::restore`] and by the command line. Invariants: a file is
//! created, and never overwritten while it has its name; what was written is durable when the call
//! returns; a manifest is only written when everything it names is durable; nothing read is
//! believed before length and checksum were right.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use riverrun_engine::checkpoint::{CheckpointId, SnapshotMode};
use riverrun_engine::crash_point;
use riverrun_engine::key::KeyGroup;
use tokio::sync::RwLock;

use super::error::{Damage, StoreError, hint};
use super::lease::{Fence, Fenced};
use super::location::{IfAbsent, Location, SyncNames};
use super::manifest::{Manifest, RunEntry, SegmentEntry};
use super::pins::{Pinned, Pins};
use super::put::{Finished, Put, generic};
use super::retain::{Complete, Facts, Removal, decide};
use super::staged::Spare;
use super::{disk, frame, manifest_text, names};
use crate::doors;

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Checkpoints that are no more.
    pub checkpoints: Vec<CheckpointId>,
    /// Files that no checkpoint needed.
    pub files: Vec<String>,
}

/// Where a store's files lie, as far as it matters here.
#[derive(Debug)]
enum Medium {
    /// A folder, and the segment in it that may be written over.
    Folder(PathBuf, Arc<Spare>),
    Memory(Option<SyncNames>),
    Remote,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) objects: Arc<dyn ObjectStore>,
    path: String,
    medium: Medium,
    /// What retention must know of each manifest, as they never change: bounded by retention
    /// itself.
    known: Mutex<BTreeMap<CheckpointId, Complete>>,
    pins: Pins,
    /// Read by each write that is on its way.
    writing: Arc<RwLock<()>>,
    /// Whether damage was found: from then on everything is read before anything is believed.
    damaged: AtomicBool,
}

/// What a file may be written over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    /// The spare segment, if there is one.
    Spare,
    Nothing,
}

/// A file that was just made durable.
struct Made {
    bytes: u64,
    checksum: String,
    index: String,
}

/// A place for checkpoints; clones are the same place.
#[derive(Clone, Debug)]
pub struct CheckpointStore {
    pub(super) inner: Arc<Inner>,
    fence: Option<Fence>,
    /// From how many bytes of state on a checkpoint is restored lazily.
    lazy_from: u64,
}

impl CheckpointStore {
    /// Opens `path`: a folder (made if absent), `memory://NAME` (one for all of this process), or
    /// with the feature `s3` `s3://BUCKET/PATH`.
    ///
    /// # Errors
    /// A path that is none, a folder that cannot be made.
    pub fn open(path: &str) -> Result<Self, StoreError> {
        Self::open_if(path, IfAbsent::Create)
    }

    /// Opens `path` for reading: a folder that is not there is an error and is not made.
    ///
    /// # Errors
    /// A path that is none, a folder that is not there.
    pub fn open_existing(path: &str) -> Result<Self, StoreError> {
        Self::open_if(path, IfAbsent::Refuse)
    }

    fn open_if(path: &str, absent: IfAbsent) -> Result<Self, StoreError> {
        let location = Location::parse(path)?;
        let objects = location.open(absent)?;
        let syncs = location.syncs();
        let medium = match location {
            Location::Folder(folder) => Medium::Folder(folder, Arc::default()),
            Location::Memory(_) => Medium::Memory(syncs),
            Location::Remote(_) => Medium::Remote,
        };
        Ok(Self::of(objects, path, medium))
    }

    /// Any other storage, called `path` in messages.
    #[must_use]
    pub fn on(objects: Arc<dyn ObjectStore>, path: &str) -> Self {
        Self::of(objects, path, Medium::Remote)
    }

    /// Storage of a test, whose failed writes have certainly not arrived.
    #[cfg(test)]
    pub(crate) fn on_certain(objects: Arc<dyn ObjectStore>) -> Self {
        Self::of(objects, "test", Medium::Memory(None))
    }

    fn of(objects: Arc<dyn ObjectStore>, path: &str, medium: Medium) -> Self {
        let known = Mutex::new(BTreeMap::new());
        let (path, pins) = (path.to_owned(), Pins::default());
        let (writing, damaged) = (Arc::default(), AtomicBool::new(false));
        let inner = Inner { objects, path, medium, known, pins, writing, damaged };
        CheckpointStore { inner: Arc::new(inner), fence: None, lazy_from: u64::MAX }
    }

    /// A checkpoint of at least so many bytes of state is restored lazily.
    #[must_use]
    pub fn lazy_from(self, bytes: u64) -> Self {
        CheckpointStore { lazy_from: bytes, ..self }
    }

    /// From how many bytes of state on a checkpoint is restored lazily.
    #[must_use]
    pub fn lazy_from_bytes(&self) -> u64 {
        self.lazy_from
    }

    /// Whether a checkpoint with so many bytes of state is restored lazily: never again once any
    /// damage was found here, so that it is refused by name before a record is read.
    #[must_use]
    pub(super) fn restores_lazily(&self, bytes: u64) -> bool {
        bytes >= self.lazy_from && !self.inner.damaged.load(Ordering::Relaxed)
    }

    /// Writes manifests only while `fence` says that the lock is held.
    #[must_use]
    pub fn fenced(self, fence: Option<Fence>) -> Self {
        CheckpointStore { fence, ..self }
    }

    /// The path it was opened with.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.inner.path
    }

    /// The complete checkpoints, rising.
    ///
    /// # Errors
    /// When the storage cannot be listed.
    pub async fn list(&self) -> Result<Vec<CheckpointId>, StoreError> {
        let names = self.names_in(names::CHECKPOINTS).await?;
        let mut ids: Vec<_> = names.iter().filter_map(|n| names::parse_manifest(n)).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    async fn names_in(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let listed = self.inner.objects.list(Some(&Path::from(folder)));
        let listed = listed.map_ok(|meta| meta.location.to_string()).try_collect().await;
        listed.map_err(|source| self.unread(folder, source))
    }

    pub(super) fn unread(&self, file: &str, source: object_store::Error) -> StoreError {
        let (file, path) = (file.to_owned(), self.inner.path.clone());
        StoreError::Read { file, path, source: source.into() }
    }

    pub(super) fn damaged(&self, id: CheckpointId, file: &str, damage: Damage) -> StoreError {
        self.inner.damaged.store(true, Ordering::Relaxed);
        let (file, path) = (file.to_owned(), self.inner.path.clone());
        StoreError::Damaged { checkpoint: id, file, path, damage }
    }

    /// The bytes of `file`, if there is such a file.
    pub(super) async fn read(&self, file: &str) -> Result<Option<Bytes>, StoreError> {
        let bytes = async { self.inner.objects.get(&Path::from(file)).await?.bytes().await };
        match bytes.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.unread(file, source)),
        }
    }

    /// The manifest of `id`; whether it is the right job's is for [`Manifest::check_job`].
    ///
    /// # Errors
    /// No such checkpoint; a manifest that is damaged, or of another version.
    pub async fn read_manifest(&self, id: CheckpointId) -> Result<Manifest, StoreError> {
        let file = names::manifest(id);
        let Some(text) = self.read(&file).await? else {
            return Err(StoreError::NoCheckpoint { checkpoint: id, path: self.inner.path.clone() });
        };
        manifest_text::read(id, &text).map_err(|damage| self.damaged(id, &file, damage))
    }

    /// Begins the state of `id`.
    ///
    /// # Errors
    /// A name that is none.
    pub fn begin_segment(&self, id: CheckpointId, attempt: &str) -> Result<Put, StoreError> {
        Ok(self.put(&names::segment(id, attempt)?, Over::Spare))
    }

    /// Ends the state of `id` with its last pieces, of which the very last holds the index: durable
    /// when this returns, invisible until a manifest names it.
    ///
    /// # Errors
    /// A second segment of one attempt for one checkpoint; storage that is full or fails. The
    /// checkpoint has failed then, what was there before is untouched.
    pub async fn end_segment(
        &self,
        id: CheckpointId,
        put: Put,
        last: Vec<Bytes>,
        mode: SnapshotMode,
        entries: u64,
    ) -> Result<SegmentEntry, StoreError> {
        let file = put.file().to_owned();
        let Made { bytes, checksum, index } = self.end(put, last).await?;
        Ok(SegmentEntry { file, checkpoint: id, mode, bytes, checksum, index, entries })
    }

    /// Writes what a merge has made of several segments up to `id`: durable when this returns.
    ///
    /// # Errors
    /// As [`CheckpointStore::end_segment`].
    pub async fn write_squashed(
        &self,
        file: String,
        checkpoint: CheckpointId,
        pieces: Vec<Bytes>,
        entries: u64,
    ) -> Result<SegmentEntry, StoreError> {
        let Made { bytes, checksum, index } = self.make(&file, pieces).await?;
        let mode = SnapshotMode::Delta;
        Ok(SegmentEntry { file, checkpoint, mode, bytes, checksum, index, entries })
    }

    /// Writes the run of key groups `groups` at `upto`: durable when this returns.
    ///
    /// # Errors
    /// As [`CheckpointStore::end_segment`].
    pub async fn write_run(
        &self,
        file: String,
        upto: CheckpointId,
        groups: RangeInclusive<KeyGroup>,
        (bytes, entries): (Vec<u8>, u64),
    ) -> Result<RunEntry, StoreError> {
        let Made { bytes, checksum, index } = self.make(&file, vec![bytes.into()]).await?;
        let (first, last) = groups.into_inner();
        Ok(RunEntry { file, first, last, upto, bytes, checksum, index, entries })
    }

    async fn make(&self, file: &str, pieces: Vec<Bytes>) -> Result<Made, StoreError> {
        self.end(self.put(file, Over::Nothing), pieces).await
    }

    /// Begins a file.
    fn put(&self, file: &str, over: Over) -> Put {
        let Inner { objects, medium, writing, .. } = &*self.inner;
        let folder = match medium {
            Medium::Folder(folder, spare) => Some((folder, (over == Over::Spare).then_some(spare))),
            Medium::Memory(_) | Medium::Remote => None,
        };
        Put::new(file, objects, folder, writing)
    }

    /// Ends a file with its last pieces, of which the very last holds the index.
    async fn end(&self, put: Put, last: Vec<Bytes>) -> Result<Made, StoreError> {
        let file = put.file().to_owned();
        let index = frame::index_checksum(last.last().map_or(&[], |last| last));
        match put.finish(last).await {
            Ok(Finished { len, checksum }) => Ok(Made {
                bytes: len,
                checksum: manifest_text::hex_of(checksum),
                index: format!("{index:016x}"),
            }),
            Err(object_store::Error::AlreadyExists { .. }) => {
                Err(StoreError::FileExists { file, path: self.inner.path.clone() })
            }
            Err(source) => Err(self.unwritten(file, source)),
        }
    }

    /// Waits until no write of this process is on its way any more: what is not there then will
    /// not come, and nothing lies about for the next.
    pub async fn written(&self) {
        drop(self.inner.writing.write().await);
        if let Medium::Folder(_, spare) = &self.inner.medium {
            spare.clear();
        }
    }

    /// Makes what is seen of checkpoints survive any crash: who wrote them may have died before.
    /// To be called before anything is committed because a checkpoint is there.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn settle(&self) -> Result<(), StoreError> {
        let folder = names::CHECKPOINTS;
        let synced = match &self.inner.medium {
            Medium::Folder(root, _) => disk::sync_names(&root.join(folder)),
            Medium::Memory(Some(syncs)) => syncs.sync(folder),
            // What others can see there, they will see.
            Medium::Memory(None) | Medium::Remote => Ok(()),
        };
        synced.map_err(|e| self.unwritten(folder.to_owned(), generic("disk", e)))
    }

    fn unwritten(&self, file: String, source: object_store::Error) -> StoreError {
        let hint = hint(&source);
        StoreError::Write { file, path: self.inner.path.clone(), source: source.into(), hint }
    }

    /// Makes a checkpoint complete: durable when this returns.
    ///
    /// # Errors
    /// When there is a checkpoint of this number already. When the storage fails: ask
    /// [`StoreError::in_doubt`]; if so, the attempt must end, otherwise only this checkpoint
    /// failed.
    pub async fn write_manifest(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let id = manifest.checkpoint;
        let (file, path) = (names::manifest(id), self.inner.path.clone());
        let text = manifest_text::write(manifest)?;
        self.still_held(id)?;
        match self.put(&file, Over::Nothing).finish(vec![text.into()]).await {
            Ok(_) => {
                self.known(|known| known.insert(id, manifest.into()));
                Ok(())
            }
            Err(object_store::Error::AlreadyExists { .. }) => {
                Err(StoreError::Exists { checkpoint: id, path })
            }
            Err(source) if self.certainly_absent(&file).await => Err(self.unwritten(file, source)),
            Err(source) => Err(StoreError::InDoubt { checkpoint: id, path, source: source.into() }),
        }
    }

    /// Whether the lock is certainly held: before anything is done, for checkpoint `id`, that would
    /// harm whoever holds it otherwise.
    ///
    /// # Errors
    /// Another holds it, or may hold it by now.
    pub fn still_held(&self, id: CheckpointId) -> Result<(), StoreError> {
        let path = self.inner.path.clone();
        match self.fence.as_ref().map(Fence::check) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(Fenced::Lost { holder })) => {
                Err(StoreError::Fenced { checkpoint: id, path, holder })
            }
            Some(Err(Fenced::Unsure { silent_ms })) => {
                Err(StoreError::LockUnsure { checkpoint: id, path, silent_ms })
            }
        }
    }

    /// Whether `file`, after its write failed, does not exist and never will. In a folder the name
    /// can be there although its fsync failed; a request to a remote storage can still arrive.
    async fn certainly_absent(&self, file: &str) -> bool {
        let absent = matches!(self.read(file).await, Ok(None));
        absent && !matches!(self.inner.medium, Medium::Remote)
    }

    fn known<R>(&self, f: impl FnOnce(&mut BTreeMap<CheckpointId, Complete>) -> R) -> R {
        f(&mut self.inner.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps `files` from being removed as long as what is returned lives.
    #[must_use]
    pub fn pin(&self, files: impl IntoIterator<Item = String>) -> Pinned {
        self.inner.pins.pin(files)
    }

    /// Removes what is no longer needed: see [`super::retain`]. `committed` is the newest
    /// checkpoint that the deciding participant has acknowledged (without one, the newest
    /// complete).
    ///
    /// # Errors
    /// A manifest that cannot be read: nothing is removed then. A file that cannot be removed: the
    /// next call tries again.
    pub async fn retain(
        &self,
        keep: usize,
        committed: CheckpointId,
        attempt: &str,
    ) -> Result<Removed, StoreError> {
        let mut files = self.names_in(names::SEGMENTS).await?;
        files.extend(self.names_in(names::RUNS).await?);
        let complete = self.complete().await?;
        // Asked after the listing: what is written meanwhile is pinned, or was not listed.
        let (complete, files, pinned) = (&complete, &files, &self.inner.pins.names());
        let facts = Facts { complete, files, pinned, keep, committed, attempt };
        self.remove(decide(&facts)).await
    }

    /// Removes what attempts that died left behind; call at the start, with the lock held.
    ///
    /// # Errors
    /// As [`CheckpointStore::retain`].
    pub async fn remove_orphans(&self, attempt: &str) -> Result<Removed, StoreError> {
        let mut removed = self.retain(usize::MAX, CheckpointId(u64::MAX), attempt).await?;
        let Medium::Folder(folder, spare) = &self.inner.medium else { return Ok(removed) };
        spare.clear();
        for within in [names::CHECKPOINTS, names::SEGMENTS, names::RUNS] {
            let staged = disk::remove_staged(&folder.join(within)).map_err(|source| {
                StoreError::Open { path: folder.join(within).display().to_string(), source }
            })?;
            removed.files.extend(staged.into_iter().map(|name| format!("{within}/{name}")));
        }
        Ok(removed)
    }

    /// What retention must know of every manifest there is; reads only those it has not seen yet.
    async fn complete(&self) -> Result<BTreeMap<CheckpointId, Complete>, StoreError> {
        let ids = self.list().await?;
        let mut complete = BTreeMap::new();
        for id in ids {
            let known = self.known(|known| known.get(&id).cloned());
            let one = match known {
                Some(one) => one,
                None => Complete::from(&self.read_manifest(id).await?),
            };
            complete.insert(id, one);
        }
        self.known(|known| known.clone_from(&complete));
        Ok(complete)
    }

    async fn remove(&self, removal: Removal) -> Result<Removed, StoreError> {
        let mut removed = Removed::default();
        let newest = self.known(|known| known.keys().next_back().copied()).unwrap_or_default();
        if !removal.checkpoints.is_empty() || !removal.files.is_empty() {
            crash_point!("clean.listed");
        }
        for id in removal.checkpoints {
            self.still_held(newest)?;
            self.delete(&names::manifest(id)).await?;
            crash_point!("clean.manifest.removed");
            self.known(|known| known.remove(&id));
            removed.checkpoints.push(id);
        }
        if !removal.files.is_empty() {
            // No manifest may come back that names what is gone.
            self.settle()?;
        }
        for file in removal.files {
            self.still_held(newest)?;
            self.delete_state(&file).await?;
            crash_point!("clean.file.removed");
            removed.files.push(file);
        }
        Ok(removed)
    }

    /// Deletes a segment or run; a segment may be written over then.
    async fn delete_state(&self, file: &str) -> Result<(), StoreError> {
        match &self.inner.medium {
            Medium::Folder(folder, spare) if file.starts_with(names::SEGMENTS) => {
                let (spare, file_path) = (spare.clone(), folder.join(file));
                let removed = doors::blocking(move || spare.remove(&file_path)).ended().await;
                let panicked = || std::io::Error::other("what removes files has panicked");
                let removed = removed.ok_or_else(panicked).flatten();
                removed.map_err(|e| self.unremoved(file, generic("disk", e)))
            }
            _ => self.delete(file).await,
        }
    }

    async fn delete(&self, file: &str) -> Result<(), StoreError> {
        match self.inner.objects.delete(&Path::from(file)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.unremoved(file, source)),
        }
    }

    fn unremoved(&self, file: &str, source: object_store::Error) -> StoreError {
        let (file, path) = (file.to_owned(), self.inner.path.clone());
        StoreError::Remove { file, path, source: source.into() }
    }
}
