//! Writing records with Kafka's console producer. It reads one record a line, and reports a record
//! that the broker refuses in its log only: any error in there is a failure here.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::config;
use super::install::Kafka;
use super::node::Node;
use super::process;
use super::wire::Wire;

/// How long the tool may take once it has all records: Kafka's own limit for a record is 120 s.
const LIMIT: Duration = Duration::from_secs(180);

/// What stands between key and value, and for a missing one: in no text that a test writes.
const SEPARATOR: &str = "\u{1f}<value>";
const NULL: &str = "\u{1a}<null>";

/// Writes `records`; they are on the broker when this returns.
pub(crate) fn records(
    node: &Node,
    topic: &str,
    records: &[(Option<&str>, Option<&str>)],
) -> Result<()> {
    let lines = lines(records)?;
    let address = node.address()?;
    let known = Wire::connect(address)?.topic(topic)?;
    ensure!(known.is_some(), "there is no topic `{topic}`");
    let mut tool = tool(node.kafka(), node.folder(), &address.to_string(), topic);
    tool.args(["--property", "parse.key=true"]);
    tool.args(["--property", &format!("key.separator={SEPARATOR}")]);
    tool.args(["--property", &format!("null.marker={NULL}")]);
    tool.stdin(Stdio::piped()).stdout(Stdio::null());
    let scratch = tempfile::NamedTempFile::new_in(node.folder()).context("no file for a log")?;
    tool.stderr(scratch.reopen().context("the tool's log cannot be opened twice")?);
    let mut tool = tool.spawn().context("Java cannot be started")?;
    let mut input = tool.stdin.take().context("the producer has no standard input")?;
    let written = input.write_all(lines.as_bytes());
    drop(input);
    let ended = process::end_of(&mut tool, LIMIT, "Kafka's console producer");
    let said = process::tail(scratch.path(), 0);
    let tail = || format!("the console producer failed; it said:\n{said}");
    ensure!(ended.with_context(tail)?.success(), tail());
    written.with_context(tail)?;
    ensure!(!said.lines().any(config::is_error), tail());
    Ok(())
}

/// Has the console producer write what it reads from `input`: lines, each a value, or with a
/// `separator` a key and a value. Its output is passed through; whether it wrote everything.
pub(crate) fn pass_through(
    mut tool: Command,
    separator: Option<&str>,
    input: Stdio,
) -> Result<bool> {
    if let Some(separator) = separator {
        tool.args(["--property", "parse.key=true"]);
        tool.args(["--property", &format!("key.separator={separator}")]);
    }
    let mut tool =
        tool.stdin(input).stderr(Stdio::piped()).spawn().context("Java cannot be started")?;
    let errors = tool.stderr.take().context("the producer has no standard error")?;
    let mut refused = false;
    for line in BufReader::new(errors).lines() {
        let line = line.context("the producer's words cannot be read")?;
        refused |= config::is_error(&line);
        eprintln!("{line}");
    }
    let status = tool.wait().context("the producer is lost")?;
    Ok(status.success() && !refused)
}

/// The console producer for a topic of the broker at `address`.
pub(crate) fn tool(kafka: &Kafka, folder: &Path, address: &str, topic: &str) -> Command {
    let mut tool = kafka.tool(folder, kafka.console_producer());
    tool.args(["--bootstrap-server", address, "--topic", topic]);
    tool
}

/// The records as the tool reads them.
fn lines(records: &[(Option<&str>, Option<&str>)]) -> Result<String> {
    let mut lines = String::new();
    for (key, value) in records {
        for text in [key, value].into_iter().flatten() {
            if text.contains(['\n', '\r']) || text.contains(SEPARATOR) || text.contains(NULL) {
                bail!("the console producer cannot write {text:?}: it reads lines");
            }
        }
        let [key, value] = [key, value].map(|text| text.unwrap_or(NULL));
        lines.extend([key, SEPARATOR, value, "\n"]);
    }
    Ok(lines)
}

#[test]
fn a_record_is_a_line() {
    let good = [(Some("k"), Some("v w")), (None, Some("")), (Some("gone"), None)];
    let wanted = format!("k{SEPARATOR}v w\n{NULL}{SEPARATOR}\ngone{SEPARATOR}{NULL}\n");
    assert_eq!(lines(&good).unwrap(), wanted);
    for bad in ["two\nlines", "a\rb", "\u{1a}<null>", "x\u{1f}<value>y"] {
        assert!(lines(&[(None, Some(bad))]).is_err(), "{bad:?}");
    }
}
