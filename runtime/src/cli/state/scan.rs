//! `state scan`: rows of one state or of many, as they lie: by key group, then by namespace and
//! key.

use std::io;

use riverrun_engine::graph::Uid;
use riverrun_engine::key::KeyGroupRange;
use riverrun_engine::state::StateSpec;

use super::rows::{json, table};
use super::{Opened, StateError};
use crate::cli::args::ScanArgs;
use crate::cli::error::CliError;
use crate::cli::out;
use crate::value::{Layout, ShownRow};

/// How many rows are held at once, and aligned with each other.
const PAGE_ROWS: usize = 1000;
/// How much of a cell is shown in a table.
const CELL_MAX: usize = 100;

/// Shows rows.
pub(super) async fn scan(opened: &Opened, args: &ScanArgs) -> Result<(), CliError> {
    let more = print_rows(opened, args, &mut out::print_on).await?;
    if more {
        out::tell(&format!("more than {} rows; `--limit 0` shows all", args.limit));
    }
    Ok(())
}

/// Gives the rows to `print`, which says whether it wants more; whether there are more than the
/// limit.
pub(in crate::cli) async fn print_rows(
    opened: &Opened,
    args: &ScanArgs,
    print: &mut dyn FnMut(&str) -> io::Result<bool>,
) -> Result<bool, CliError> {
    let states = opened.select(args.uid.as_deref(), args.state.as_deref())?;
    let mut left = if args.limit == 0 { u64::MAX } else { args.limit };
    for (i, (uid, spec)) in states.iter().enumerate() {
        let layout = Layout::of(spec);
        let prefix = match &args.prefix {
            Some(prefix) => layout.prefix_bytes(prefix),
            None => Ok(Vec::new()),
        };
        let given = args.prefix.as_deref().unwrap_or_default();
        let prefix = prefix.map_err(|misfit| StateError::key(uid, spec, given, misfit))?;
        let mut page = Page::new(uid, spec, args.json, states.len() > 1, i == 0);
        let groups = KeyGroupRange::all(opened.key_groups());
        let mut rows = opened.reader.rows(uid, &spec.name, groups);
        while let Some(row) = rows.next().await? {
            if !row.key.starts_with(&prefix) {
                continue;
            }
            if left == 0 {
                page.print(print)?;
                return Ok(true);
            }
            left -= 1;
            let shown = layout.show(&row.namespace, &row.key, &row.value);
            if args.json {
                page.lines.push_str(&json(uid, &spec.name, row.group, &shown));
            }
            page.rows.push(shown);
            if page.rows.len() == PAGE_ROWS && !page.print(print)? {
                return Ok(false);
            }
        }
        if !page.print(print)? {
            return Ok(false);
        }
    }
    Ok(false)
}

/// Rows of one state that wait to be printed.
struct Page {
    title: String,
    json: bool,
    rows: Vec<ShownRow>,
    lines: String,
}

impl Page {
    fn new(uid: &Uid, spec: &StateSpec, json: bool, many: bool, first: bool) -> Self {
        let gap = if first { "" } else { "\n" };
        let title = if many { format!("{gap}{uid}/{}\n", spec.name) } else { String::new() };
        Page { title, json, rows: Vec::new(), lines: String::new() }
    }

    /// Prints what there is; whether more is wanted.
    fn print(&mut self, print: &mut dyn FnMut(&str) -> io::Result<bool>) -> Result<bool, CliError> {
        if self.rows.is_empty() {
            return Ok(true);
        }
        let title = std::mem::take(&mut self.title);
        let rows = std::mem::take(&mut self.rows);
        let lines = std::mem::take(&mut self.lines);
        Ok(print(&if self.json { lines } else { title + &table(&rows, CELL_MAX) })?)
    }
}
