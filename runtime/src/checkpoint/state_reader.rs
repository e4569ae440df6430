//! The state of a checkpoint for whoever has no job, only a manifest: the command line.
//!
//! Invariant: blocks are checked when they are read; rows come as they lie, keys and values
//! encoded.

use bytes::Bytes;
use riverrun_engine::graph::Uid;
use riverrun_engine::key::{KeyGroup, KeyGroupRange, hash_bytes};
use riverrun_engine::state::{StateKind, StateSpec, entry};

use super::error::StoreError;
use super::layers::Layers;
use super::manifest::{Manifest, OperatorEntry};
use super::run::Row;
use super::store::CheckpointStore;
use super::view::{Rows, StateFiles, Trust};
use super::walk::Walk;

/// The state of one checkpoint, without a job.
#[derive(Debug)]
pub struct StateReader {
    manifest: Manifest,
    files: StateFiles,
}

impl StateReader {
    /// Opens what `manifest` names; blocks are read and checked as they are asked for.
    ///
    /// # Errors
    /// A file that is missing, damaged or another's, by name.
    pub async fn open(store: &CheckpointStore, manifest: Manifest) -> Result<Self, StoreError> {
        let named = (manifest.runs.as_slice(), manifest.segments.as_slice());
        let (id, groups) = (manifest.checkpoint, manifest.key_groups);
        let files = StateFiles::open(store, id, named, groups, Trust::Blockwise).await?;
        Ok(StateReader { manifest, files })
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &StateFiles {
        &self.files
    }

    /// All states, rising by operator.
    #[must_use]
    pub fn states(&self) -> Vec<(Uid, StateSpec)> {
        let operators = self.manifest.operators.iter();
        let of = |(uid, entry): (&Uid, &OperatorEntry)| {
            entry.states.iter().map(|state| (uid.clone(), state.clone())).collect::<Vec<_>>()
        };
        operators.flat_map(of).collect()
    }

    /// The live rows of a state in `groups`, by key group, namespace and key. Not known: no rows.
    #[must_use]
    pub fn rows(&self, uid: &Uid, state: &str, groups: KeyGroupRange) -> Rows<'_> {
        self.files.rows(&uid.0, state, groups)
    }

    /// All rows of the key with these encoded bytes, in every namespace: those whose key begins
    /// with them. Where a state has no namespaces, only the blocks that may hold them are read.
    ///
    /// # Errors
    /// A file that is damaged; storage that does not answer.
    pub async fn get(&self, uid: &Uid, state: &str, key: &[u8]) -> Result<Vec<Row>, StoreError> {
        let groups = self.manifest.key_groups;
        let group = hash_bytes(key).group(groups);
        let entry = self.manifest.operators.get(uid);
        let mut specs = entry.into_iter().flat_map(|entry| &entry.states);
        let kind = specs.find(|spec| spec.name == state).map(|spec| spec.kind);
        let key_bytes = Bytes::copy_from_slice(key);
        match kind {
            Some(StateKind::Value) => {
                let layers = self.layers(group, uid, state).await?;
                let found = self.files.find(&layers, &Bytes::new(), [key_bytes.clone()]).await?;
                let (namespace, key) = (Bytes::new(), key_bytes);
                let row =
                    |value| Row { group, namespace: namespace.clone(), key: key.clone(), value };
                return Ok(found.into_iter().flatten().map(row).collect());
            }
            Some(StateKind::List | StateKind::Map) => {
                let layers = self.layers(group, uid, state).await?;
                return self.walked(group, &layers, Walk::of(key_bytes, None)).await;
            }
            Some(StateKind::Sliced | StateKind::Timers) | None => {}
        }
        let own = KeyGroupRange { start: group.0, end: group.0 + 1, groups };
        let mut rows = self.rows(uid, state, own);
        let mut found = Vec::new();
        while let Some(row) = rows.next().await? {
            if row.key.starts_with(key) {
                found.push(row);
            }
        }
        Ok(found)
    }

    async fn layers(&self, group: KeyGroup, uid: &Uid, state: &str) -> Result<Layers, StoreError> {
        let mut layers = self.files.layers(&[group], &uid.0, state).await?;
        Ok(layers.pop().expect("those of one key group"))
    }

    async fn walked(
        &self,
        group: KeyGroup,
        layers: &Layers,
        mut walk: Walk,
    ) -> Result<Vec<Row>, StoreError> {
        let mut found = Vec::new();
        while let Some(part) = self.files.next_rising(layers, &mut walk).await? {
            let mut rest = &part[..];
            while let Ok(Some(row)) = entry::read(&mut rest) {
                let (key, value) = (part.slice_ref(row.key), part.slice_ref(row.value));
                found.push(Row { group, namespace: Bytes::new(), key, value });
            }
        }
        Ok(found)
    }
}
