//! The names of output files, and what a checkpoint keeps of them.
//!
//! Hidden: `.part+<job>+<sink>+<attempt>+<subtask>+<n>.inprogress`. `+` is in none of the parts, so
//! that the left-overs of one sink are never taken for another's. Visible:
//! `part-<sink>-<checkpoint, 10 digits>-<subtask, 3 digits>-<n>.<extension>`.

use riverrun_engine::checkpoint::CheckpointId;
use riverrun_engine::context::TaskContext;
use serde::{Deserialize, Serialize};

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFile {
    /// Its name until the commit.
    pub hidden: String,
    /// Its name after it.
    pub visible: String,
    /// Its length.
    pub bytes: u64,
    /// The xxh3 of its content.
    pub xxh3: u64,
}

/// What one subtask prepared for a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePart {
    /// Where the files are.
    pub folder: String,
    /// The files, in the order they were written.
    pub files: Vec<PartFile>,
}

fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    name.chars().map(plain).collect()
}

/// What the hidden files of a sink begin with, in every attempt.
pub(super) fn hidden_prefix(ctx: &TaskContext) -> String {
    format!(".part+{}+{}+", plain(&ctx.job), plain(&ctx.uid.0))
}

/// The name of the hidden file number `n` of a subtask.
pub(super) fn hidden_name(ctx: &TaskContext, n: u64) -> String {
    let (prefix, attempt) = (hidden_prefix(ctx), plain(&ctx.attempt));
    format!("{prefix}{attempt}+{}+{n}.inprogress", ctx.subtask)
}

/// The name of file number `n` of a subtask in a checkpoint.
pub(super) fn visible_name(
    ctx: &TaskContext,
    checkpoint: CheckpointId,
    n: usize,
    extension: &str,
) -> String {
    let (uid, subtask) = (plain(&ctx.uid.0), ctx.subtask);
    format!("part-{uid}-{:010}-{subtask:03}-{n}.{extension}", checkpoint.0)
}
