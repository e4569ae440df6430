//! Prints records to standard output, one JSON line each: to see what a job does.
//!
//! At least once: lines appear at once, and again after a restart. Lines of one batch stay
//! together, and above what the run shows of itself on the same terminal. Called by the sink task
//! through `engine::sink`; the writing happens on a thread of its own.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;

use anyhow::Context as _;
use futures::future::BoxFuture;
use riverrun_engine::Result;
use riverrun_engine::checkpoint::CheckpointId;
use riverrun_engine::console;
use riverrun_engine::context::TaskContext;
use riverrun_engine::data::Data;
use riverrun_engine::element::Batch;
use riverrun_engine::sink::{Rehearsal, Sink, SinkWriter};

/// Prints records.
#[derive(Clone, Debug)]
pub struct Print {
    prefix: Arc<str>,
}

impl Print {
    /// One JSON line for each record.
    #[must_use]
    pub fn lines() -> Self {
        Print { prefix: "".into() }
    }

    /// Begins every line with `prefix`.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.into();
        self
    }

    fn text<T: Data>(&self, items: &[T]) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        for item in items {
            text.extend_from_slice(self.prefix.as_bytes());
            let written = serde_json::to_writer(&mut text, item);
            written.context("RR0505: the item has no JSON form: `map` it to one that has")?;
            text.push(b'\n');
        }
        Ok(text)
    }
}

/// Prints the records of one subtask.
pub struct PrintWriter {
    print: Print,
    ctx: TaskContext,
}

impl<T: Data> Sink<T> for Print {
    type Writer = PrintWriter;

    fn rehearsal(&self) -> Rehearsal {
        Rehearsal::Nothing
    }

    async fn open(&self, ctx: TaskContext) -> Result<PrintWriter> {
        Ok(PrintWriter { print: self.clone(), ctx })
    }
}

impl<T: Data> SinkWriter<T> for PrintWriter {
    type Committable = ();

    async fn write(&mut self, batch: Batch<T>) -> Result<()> {
        let text = self.print.text(&batch.items)?;
        let written = self.ctx.blocking(move || {
            let mut write = || {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&text).and_then(|()| stdout.flush())
            };
            // Elsewhere than on the terminal the lines meet nothing.
            if io::stdout().is_terminal() {
                console::around(&mut write)?
            } else {
                write()?
            }
            Ok(())
        });
        written.await.context("RR0506: cannot print to standard output")
    }

    fn prepare(&mut self, _: CheckpointId) -> BoxFuture<'static, Result<Option<()>>> {
        Box::pin(async { Ok(None) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_line() {
        let text = Print::lines().prefix("> ").text(&[(1, "a\nb".to_owned())]).expect("prints");
        assert_eq!(String::from_utf8_lossy(&text), "> [1,\"a\\nb\"]\n");
    }
}
