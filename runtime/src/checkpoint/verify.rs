//! Reads everything a checkpoint consists of and says of each file whether it is whole.
//!
//! Called by the command line (`checkpoint verify`). Invariant: goes on after the first damage.

use riverrun_engine::checkpoint::CheckpointId;
use serde::Serialize;

use super::error::StoreError;
use super::frame::inconsistent;
use super::manifest::{FileRef, RunEntry, SegmentEntry};
use super::names;
use super::run::RunReader;
use super::segment::Segment;
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
        for run in &manifest.runs {
            files.push(self.report(run.stored(), self.verify_run(id, run).await).await);
        }
        for segment in &manifest.segments {
            let verified = self.verify_segment(id, segment).await;
            files.push(self.report(segment.stored(), verified).await);
        }
        Ok(VerifyReport { checkpoint: id, files })
    }

    async fn verify_run(&self, id: CheckpointId, entry: &RunEntry) -> Result<(), StoreError> {
        let file = self.checked(id, entry.stored()).await?;
        let run = RunReader::open(file, entry.stored().index()).await?;
        run.check().await?;
        let mut sizes = run.sizes();
        if run.entries() != entry.entries || !sizes.all(|(group, ..)| entry.holds(group)) {
            return Err(run.file().damaged(inconsistent("range of key groups")));
        }
        Ok(())
    }

    async fn verify_segment(
        &self,
        id: CheckpointId,
        entry: &SegmentEntry,
    ) -> Result<(), StoreError> {
        let file = self.checked(id, entry.stored()).await?;
        Segment::open(file, entry.stored().index()).await?.check().await
    }

    async fn report(&self, file: FileRef<'_>, verified: Result<(), StoreError>) -> FileReport {
        let bytes = match &verified {
            Ok(()) => Some(file.bytes),
            Err(_) => self.length(file.file).await,
        };
        let problem = verified.err().map(|e| problem(&e));
        FileReport { file: file.file.to_owned(), bytes, problem }
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
