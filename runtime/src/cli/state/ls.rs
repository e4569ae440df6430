//! `state ls`: every state of a checkpoint with its types and its size.

use riverrun_engine::graph::Uid;
use serde::Serialize;

use super::Opened;
use crate::checkpoint::sizes::{Size, measure};
use crate::cli::error::CliError;
use crate::cli::out;
use crate::live::aligned;
use crate::live::text::bytes;

/// One line.
#[derive(Debug, Serialize)]
struct Line {
    uid: Uid,
    state: String,
    kind: String,
    key: String,
    value: String,
    codec: String,
    #[serde(flatten)]
    size: Size,
}

/// Lists the states.
pub(super) async fn ls(opened: &Opened, json: bool) -> Result<(), CliError> {
    let mut lines = Vec::new();
    for (uid, spec) in opened.reader.states() {
        let size = measure(opened.reader.files(), &uid, &spec, opened.key_groups()).await?.total;
        lines.push(Line {
            uid,
            kind: format!("{:?}", spec.kind).to_lowercase(),
            key: spec.key.to_string(),
            value: spec.value.to_string(),
            state: spec.name,
            codec: spec.codec,
            size,
        });
    }
    if json {
        return Ok(out::print_json(&lines)?);
    }
    if lines.is_empty() {
        let id = opened.checkpoint();
        return Ok(out::print(&format!("no operator has state in checkpoint {id}\n"))?);
    }
    Ok(out::print(&table(&lines))?)
}

fn table(lines: &[Line]) -> String {
    let title = ["operator", "state", "kind", "key", "value", "entries", "bytes"];
    let cells = lines.iter().map(|line| {
        let size = [line.size.entries.to_string(), bytes(line.size.bytes)];
        let what = [&*line.uid.0, &line.state, &line.kind, &line.key, &line.value];
        what.into_iter().map(str::to_owned).chain(size).collect()
    });
    let title = title.map(str::to_owned).to_vec();
    let all: Vec<Vec<String>> = std::iter::once(title).chain(cells).collect();
    aligned(&all, 5).join("\n") + "\n"
}
