//! `state export`: one state as a Parquet or Arrow (IPC) file, one row for each entry.
//!
//! Called by the command line in jobs with the feature `export`. Rows go through in batches; the
//! file gets its name when it is whole ([`disk`]). [`columns`] says what stands in it.

mod columns;
mod disk;
mod error;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_ipc::writer::FileWriter;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use riverrun_engine::graph::Uid;
use riverrun_engine::key::KeyGroupRange;
use riverrun_engine::state::StateSpec;

pub(in crate::cli) use error::ExportError;

use super::rows::shown;
use super::{Opened, StateError};
use crate::cli::args::ExportArgs;
use crate::cli::error::CliError;
use crate::cli::out;
use crate::value::Layout;
use columns::Columns;
use disk::Part;

/// How many rows are held before they go to the writer.
const BATCH_ROWS: usize = 8192;
/// A row group of Parquet ends after so many rows or bytes; its writer holds no more than one.
const GROUP_ROWS: usize = 1 << 17;
const GROUP_BYTES: usize = 64 << 20;

/// The kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileFormat {
    Parquet,
    Arrow,
}

/// Writes one state of a checkpoint to a file.
pub(super) async fn export(path: &str, args: &ExportArgs) -> Result<(), CliError> {
    let format = FileFormat::of(&args.to)?;
    let opened = Opened::at(path, &args.from).await?;
    let (uid, spec) = opened.one(&args.uid, &args.state)?;
    let name = args.to.display();
    let part = Part::create(&args.to, args.force).map_err(|e| refused(&args.to, e))?;
    let file = part.file().map_err(|e| refused(&args.to, e))?;
    let rows = Export { opened: &opened, uid: &uid, spec: &spec, to: &args.to };
    let rows = rows.write(format, file).await?;
    part.publish().map_err(|e| refused(&args.to, e))?;
    let (state, id) = (&spec.name, opened.checkpoint());
    Ok(out::print(&format!("{rows} rows of {uid}/{state} of checkpoint {id} in '{name}'\n"))?)
}

impl FileFormat {
    fn of(file: &Path) -> Result<Self, StateError> {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("parquet") => Ok(FileFormat::Parquet),
            Some("arrow") => Ok(FileFormat::Arrow),
            _ => Err(ExportError::Format { file: file.display().to_string() }.into()),
        }
    }
}

fn refused(to: &Path, source: io::Error) -> StateError {
    let file = to.display().to_string();
    StateError::Export(match source.kind() {
        io::ErrorKind::AlreadyExists => ExportError::Exists { file },
        _ => ExportError::File { file, source },
    })
}

/// What is exported, and where to.
struct Export<'a> {
    opened: &'a Opened,
    uid: &'a Uid,
    spec: &'a StateSpec,
    to: &'a Path,
}

impl Export<'_> {
    /// Writes all rows and returns their number.
    async fn write(&self, format: FileFormat, file: File) -> Result<u64, CliError> {
        let (uid, spec, manifest) = (self.uid, self.spec, self.opened.reader.manifest());
        let layout = Layout::of(spec);
        let about = [
            ("job", manifest.job.clone()),
            ("checkpoint", manifest.checkpoint.to_string()),
            ("uid", uid.to_string()),
            ("state", spec.name.clone()),
        ];
        let mut columns = Columns::of(&layout, about);
        let mut table = Table::new(format, file, columns.schema()).map_err(|e| self.table(&e))?;
        let groups = KeyGroupRange::all(manifest.key_groups);
        let mut rows = self.opened.reader.rows(uid, &spec.name, groups);
        let mut written = 0;
        while let Some(row) = rows.next().await? {
            let in_words = layout.show(&row.namespace, &row.key, &row.value);
            let pushed = columns.push(&in_words, &row.value);
            pushed.map_err(|misplaced| {
                StateError::Export(ExportError::Column {
                    uid: uid.clone(),
                    state: spec.name.clone(),
                    key: shown(&in_words.key),
                    column: misplaced.column,
                    found: misplaced.found,
                })
            })?;
            written += 1;
            if columns.rows() == BATCH_ROWS {
                let batch = columns.take().map_err(|e| self.table(&e))?;
                table.write(&batch).map_err(|e| self.table(&*e))?;
            }
        }
        let batch = columns.take().map_err(|e| self.table(&e))?;
        table.write(&batch).map_err(|e| self.table(&*e))?;
        table.finish().map_err(|e| self.table(&*e))?;
        Ok(written)
    }

    fn table(&self, reason: &dyn std::fmt::Display) -> StateError {
        let (file, reason) = (self.to.display().to_string(), reason.to_string());
        ExportError::Table { file, reason }.into()
    }
}

/// A file's writer.
enum Table {
    Parquet(Box<ArrowWriter<File>>),
    Arrow(Box<FileWriter<BufWriter<File>>>),
}

type Written<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl Table {
    fn new(format: FileFormat, file: File, schema: SchemaRef) -> Written<Table> {
        Ok(match format {
            FileFormat::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::SNAPPY)
                    .set_max_row_group_row_count(Some(GROUP_ROWS))
                    .set_max_row_group_bytes(Some(GROUP_BYTES))
                    .build();
                Table::Parquet(Box::new(ArrowWriter::try_new(file, schema, Some(properties))?))
            }
            FileFormat::Arrow => {
                Table::Arrow(Box::new(FileWriter::try_new_buffered(file, &schema)?))
            }
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Written<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        match self {
            Table::Parquet(writer) => Ok(writer.write(batch)?),
            Table::Arrow(writer) => Ok(writer.write(batch)?),
        }
    }

    fn finish(self) -> Written<()> {
        match self {
            Table::Parquet(mut writer) => drop(writer.finish()?),
            Table::Arrow(mut writer) => writer.finish()?,
        }
        Ok(())
    }
}
