//! `checkpoint ls`, `inspect` and `verify`: what lies in the store, without a run.

use std::fmt::Write as _;
use std::io::ErrorKind;

use riverrun_engine::checkpoint::{CheckpointId, CheckpointKind};
use serde::Serialize;

use super::args::CheckpointOrder;
use super::error::CliError;
use super::inspect::content;
use super::{Context, Exit, out, stored, wait_for};
use crate::checkpoint::{CheckpointStore, Manifest, StoreError, VerifyReport};
use crate::live::aligned;
use crate::live::text::{bytes, moment};

/// One row of `ls`.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    checkpoint: CheckpointId,
    /// `None` where the manifest is damaged.
    kind: Option<CheckpointKind>,
    created: Option<String>,
    job: Option<String>,
    bytes: Option<u64>,
    files: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Shows or verifies checkpoints.
pub(super) fn checkpoint(context: &Context<'_>, order: &CheckpointOrder) -> Result<Exit, CliError> {
    let path = context.config()?.config.checkpoint.path;
    match order {
        CheckpointOrder::Ls { json } => {
            let rows = wait_for(list(&path))?;
            if *json { out::print_json(&rows)? } else { out::print(&table(&path, &rows))? }
        }
        CheckpointOrder::Inspect { checkpoint, json } => {
            let name = checkpoint.as_deref().unwrap_or("newest");
            let report = wait_for(async {
                let (store, id) = stored::find(&path, name).await?;
                Ok::<_, CliError>(store.inspect(id).await?)
            })?;
            if *json { out::print_json(&report)? } else { out::print(&content(&report))? }
        }
        CheckpointOrder::Verify { checkpoint, json } => {
            let reports = wait_for(verify(&path, checkpoint.as_deref()))?;
            if *json {
                out::print_json(&reports)?
            } else {
                out::print(&verdicts(&reports))?
            }
            let bad = reports.iter().filter(|report| !report.is_good());
            let bad: Vec<String> = bad.map(|report| report.checkpoint.to_string()).collect();
            if !bad.is_empty() {
                return Err(CliError::Damaged { checkpoints: bad.join(", ") });
            }
        }
    }
    Ok(Exit::Done)
}

async fn list(path: &str) -> Result<Vec<Row>, CliError> {
    let mut rows = Vec::new();
    let store = match CheckpointStore::open_existing(path) {
        // The first run makes it.
        Err(StoreError::Open { source, .. }) if source.kind() == ErrorKind::NotFound => {
            return Ok(rows);
        }
        store => store?,
    };
    for id in store.list().await? {
        rows.push(row(id, store.read_manifest(id).await));
    }
    Ok(rows)
}

fn row(checkpoint: CheckpointId, manifest: Result<Manifest, StoreError>) -> Row {
    match manifest {
        Ok(manifest) => Row {
            checkpoint,
            kind: Some(manifest.kind),
            created: Some(moment(manifest.created)),
            bytes: Some(manifest.bytes()),
            files: Some(manifest.runs.len() + manifest.segments.len()),
            job: Some(manifest.job),
            problem: None,
        },
        Err(error) => Row {
            checkpoint,
            kind: None,
            created: None,
            job: None,
            bytes: None,
            files: None,
            problem: Some(error.to_string()),
        },
    }
}

fn table(path: &str, rows: &[Row]) -> String {
    if rows.is_empty() {
        return format!("there is no checkpoint in '{path}' yet; `run` makes them\n");
    }
    let title = ["checkpoint", "kind", "taken", "state", "files"].map(str::to_owned).to_vec();
    let cells = |row: &Row| match &row.problem {
        Some(_) => vec![row.checkpoint.to_string(), "damaged".to_owned()],
        None => vec![
            row.checkpoint.to_string(),
            row.kind.map(kind).unwrap_or_default().to_owned(),
            row.created.clone().unwrap_or_default(),
            row.bytes.map(bytes).unwrap_or_default(),
            row.files.map(|n| n.to_string()).unwrap_or_default(),
        ],
    };
    let rows_of_cells: Vec<_> = std::iter::once(title).chain(rows.iter().map(cells)).collect();
    let mut text = aligned(&rows_of_cells, 3).join("\n") + "\n";
    for problem in rows.iter().filter_map(|row| row.problem.as_ref()) {
        _ = writeln!(text, "{problem}");
    }
    text
}

/// A kind in words.
pub(super) fn kind(kind: CheckpointKind) -> &'static str {
    match kind {
        CheckpointKind::Periodic => "periodic",
        CheckpointKind::Savepoint => "savepoint",
        CheckpointKind::Stop => "stop",
        CheckpointKind::StopSavepoint => "stop, savepoint",
        CheckpointKind::End => "end of the job",
    }
}

async fn verify(path: &str, checkpoint: Option<&str>) -> Result<Vec<VerifyReport>, CliError> {
    let (store, ids) = match checkpoint {
        Some(name) => {
            let (store, id) = stored::find(path, name).await?;
            (store, vec![id])
        }
        None => {
            let store = CheckpointStore::open_existing(path)?;
            let ids = store.list().await?;
            (store, ids)
        }
    };
    if ids.is_empty() {
        return Err(CliError::NoCheckpoint { path: path.to_owned() });
    }
    let mut reports = Vec::new();
    for id in ids {
        reports.push(store.verify(id).await?);
    }
    Ok(reports)
}

fn verdicts(reports: &[VerifyReport]) -> String {
    let mut text = String::new();
    for report in reports {
        let verdict = if report.is_good() { "good" } else { "DAMAGED" };
        _ = writeln!(text, "checkpoint {}: {verdict}", report.checkpoint);
        for file in &report.files {
            let size = file.bytes.map_or_else(|| "missing".to_owned(), bytes);
            let problem = file.problem.as_deref().unwrap_or("good");
            _ = writeln!(text, "  {}  {size}  {problem}", file.file);
        }
    }
    text
}
