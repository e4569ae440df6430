//! How long after a start the first record comes out, when there is a lot of state; and how long
//! until all of it is read, while records of every key come as fast as they can.

use std::time::Duration;

use anyhow::Context as _;

use super::Size;
use super::job::{Running, STOP, Work};
use super::row::{Row, Target};

const GB: u64 = 1_000_000_000;
const TEXT_BYTES: usize = 100;
/// Bytes of a key's row: its text, and its sum, lengths and key beside it.
const ROW_BYTES: u64 = TEXT_BYTES as u64 + 16;
/// So seldom that only the last checkpoint counts.
const INTERVAL: Duration = Duration::from_secs(3600);

/// Measures and prints.
pub(crate) fn rows(size: Size) -> anyhow::Result<()> {
    let sizes = match size {
        Size::Small => [GB / 4, GB],
        Size::Full => [GB, 10 * GB],
    };
    sizes.into_iter().try_for_each(restore)
}

fn restore(bytes: u64) -> anyhow::Result<()> {
    let keys = bytes / ROW_BYTES;
    let work = Work { keys, text_bytes: TEXT_BYTES, answers: true, interval: INTERVAL };
    let folder = tempfile::tempdir()?;
    let run = Running::start(work, folder.path());
    run.feed.open_to(keys);
    run.until(|run| run.feed.answered() >= keys)?;
    let status = run.status.clone();
    run.stop(STOP)?;
    let bytes = status.last_checkpoint().context("a last one was taken")?.bytes;

    let run = Running::start(work, folder.path());
    run.feed.open_to(2 * keys);
    let first = run.first_answer()?;
    run.until(|run| run.status.cold_states() == 0)?;
    let warm = run.age();
    run.stop(STOP)?;
    let row = |what: &str, time: Duration, target| Row {
        work: format!("{what} of {} MB of state", bytes / 1_000_000),
        keys,
        checkpoint_ms: 0,
        value: time.as_secs_f64(),
        unit: "s",
        target,
    };
    row("first record after restore", first, Target::AtMost(1.0)).print()?;
    row("all is warm after restore", warm, Target::Nothing).print()
}
