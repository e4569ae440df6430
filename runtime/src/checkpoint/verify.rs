//! Reads everything a checkpoint consists of and says of each file whether it is whole.
//!
//! Called by the command line (`checkpoint verify`). Invariant: goes on after the first damage.

use riverrun_engine::checkpoint::CheckpointId;
use serde::Serialize;

use super::error::StoreError;
use super::names;
use super::store::CheckpointStore;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// Its files, the manifest first.
    pub files: Vec<FileReport>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Its name within the store.
    pub file: String,
    /// Its length as it is; `None` where it is missing or cannot be read.
    pub bytes: Option<u64>,
    /// What is wrong with it.
    pub problem: Option<String>,
}

impl VerifyReport {
    /// Whether the checkpoint is whole.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.files.iter().all(|file| file.problem.is_none())
    }
}

impl CheckpointStore {
    /// Reads all of checkpoint `id`. Damage is part of the report, not an error.
    ///
    /// # Errors
    /// When there is no such checkpoint.
    pub async fn verify(&self, id: CheckpointId) -> Result<VerifyReport, StoreError> {
        let file = names::manifest(id);
        let bytes = self.length(&file).await;
        let manifest = match self.read_manifest(id).await {
            Ok(manifest) => manifest,
            Err(e @ StoreError::NoCheckpoint { .. }) => return Err(e),
            Err(e) => {
                let files = vec![FileReport { file, bytes, problem: Some(problem(&e)) }];
                return Ok(VerifyReport { checkpoint: id, files });
            }
        };
        let mut files = vec![FileReport { file, bytes, problem: None }];
        for entry in &manifest.segments {
            let problem = self.load_segment(id, entry).await.err().map(|e| problem(&e));
            let bytes = match problem {
                None => Some(entry.bytes),
                Some(_) => self.length(&entry.file).await,
            };
            files.push(FileReport { file: entry.file.clone(), bytes, problem });
        }
        Ok(VerifyReport { checkpoint: id, files })
    }

    async fn length(&self, file: &str) -> Option<u64> {
        self.read(file).await.ok().flatten().map(|bytes| bytes.len() as u64)
    }
}

fn problem(error: &StoreError) -> String {
    match error {
        StoreError::Damaged { damage, .. } => damage.to_string(),
        other => other.to_string(),
    }
}
