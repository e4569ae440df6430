//! Files of state as they are read: whole and checked, or by range.
//!
//! Called by [`super::file`], [`super::view`] and [`super::verify`]. Invariant: what does not fit
//! the manifest is an error that names the file and, where the bytes are another file's, that.

use std::ops::Range;

use bytes::Bytes;
use futures::stream::StreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use riverrun_engine::checkpoint::CheckpointId;
use xxhash_rust::xxh3::Xxh3;

use super::error::{Damage, StoreError};
use super::file::{HELD_BYTES_MAX, StoredFile};
use super::manifest::FileRef;
use super::store::CheckpointStore;

impl CheckpointStore {
    /// Reads all of a file of checkpoint `id` and checks its length and its checksum. Small ones
    /// are held by what is returned.
    ///
    /// # Errors
    /// A file that is missing, cut, changed or another checkpoint's, by name.
    pub(super) async fn checked(
        &self,
        id: CheckpointId,
        entry: FileRef<'_>,
    ) -> Result<StoredFile, StoreError> {
        let damaged = |damage| self.damaged(id, entry.file, damage);
        let (mut len, mut hash, mut held) = (0, Xxh3::new(), Vec::new());
        let got = match self.inner.objects.get(&Path::from(entry.file)).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Err(damaged(Damage::Missing)),
            Err(source) => return Err(self.unread(entry.file, source)),
        };
        let mut chunks = got.into_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|source| self.unread(entry.file, source))?;
            len += chunk.len() as u64;
            hash.update(&chunk);
            if len <= HELD_BYTES_MAX {
                held.extend_from_slice(&chunk);
            }
        }
        let checksum = format!("{:032x}", hash.digest128());
        if len == entry.bytes && checksum == entry.checksum {
            let file = StoredFile::new(self, id, entry.file, len);
            return Ok(if len <= HELD_BYTES_MAX { file.with(held.into()) } else { file });
        }
        if let Some(owner) = self.owner(len, &checksum).await {
            return Err(damaged(Damage::Exchanged { owner }));
        }
        if len != entry.bytes {
            return Err(damaged(Damage::Length { expected: entry.bytes, found: len }));
        }
        Err(damaged(Damage::Checksum { expected: entry.checksum.to_owned(), found: checksum }))
    }

    /// The bytes of `range` of `file`, fewer where it ends earlier, if there is such a file.
    pub(super) async fn read_range(
        &self,
        file: &str,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, StoreError> {
        match self.inner.objects.get_range(&Path::from(file), range).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.unread(file, source)),
        }
    }

    /// Which file of which checkpoint these bytes are, if any: only asked to name a damage.
    async fn owner(&self, len: u64, checksum: &str) -> Option<String> {
        for id in self.list().await.ok()? {
            let Ok(manifest) = self.read_manifest(id).await else { continue };
            let same = |entry: &FileRef<'_>| entry.bytes == len && entry.checksum == checksum;
            if let Some(entry) = manifest.files().find(same) {
                return Some(format!("these are the bytes of '{}' of checkpoint {id}", entry.file));
            }
        }
        None
    }
}
