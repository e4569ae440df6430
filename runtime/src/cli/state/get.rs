//! `state get`: all that a state holds for one key, looked up in the key's group only.

use super::rows::{json, table};
use super::{Opened, StateError};
use crate::cli::args::GetArgs;
use crate::cli::error::CliError;
use crate::cli::out;
use crate::value::Layout;

/// Shows the rows of one key.
pub(super) async fn get(opened: &Opened, args: &GetArgs) -> Result<(), CliError> {
    Ok(out::print(&found(opened, args).await?)?)
}

/// What is printed.
pub(in crate::cli) async fn found(opened: &Opened, args: &GetArgs) -> Result<String, CliError> {
    let (uid, spec) = opened.one(&args.uid, &args.state)?;
    let layout = Layout::of(&spec);
    let key = layout.key_bytes(&args.key);
    let key = key.map_err(|misfit| StateError::key(&uid, &spec, &args.key, misfit))?;
    let rows = opened.reader.get(&uid, &spec.name, &key).await?;
    if rows.is_empty() {
        let (state, key) = (spec.name, args.key.clone());
        let checkpoint = opened.checkpoint();
        return Err(StateError::NoValue { uid, state, key, checkpoint }.into());
    }
    let shown = rows.iter().map(|row| layout.show(&row.namespace, &row.key, &row.value));
    let shown: Vec<_> = shown.collect();
    if !args.json {
        return Ok(table(&shown, usize::MAX));
    }
    let lines =
        rows.iter().zip(&shown).map(|(row, shown)| json(&uid, &spec.name, row.group, shown));
    Ok(lines.collect())
}
