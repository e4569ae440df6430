//! What state costs. Two uses:
//!
//! - `rows GROUP [--full]`: the rows of one group of `cargo xtask bench state`, a JSON line each. A
//!   group is a process of its own, so that none inherits the memory of another.
//! - anything else: a running sum over RocksDB used directly, `cargo xtask bench rocksdb`.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench prints and measures")]

mod bare_disk;
mod checkpoints;
mod cut;
mod direct;
mod draw;
mod gauge;
mod history;
mod job;
mod recovery;
mod restores;
mod rocks_direct;
mod row;
mod silence;
mod spilled;
mod sums;
mod threads;
mod timers;

/// At which size the rows are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// What a small machine does in minutes; the row names it where it is not the real one.
    Small,
    /// The real one.
    Full,
}

fn rows(mut words: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let (mut size, mut group) = (Size::Small, String::new());
    for word in &mut words {
        match word.as_str() {
            "--full" => size = Size::Full,
            _ => group = word,
        }
    }
    match group.as_str() {
        "cut" => cut::rows(),
        "checkpoints" => checkpoints::rows(),
        "rocksdb" => spilled::resident_rows(),
        "spilled" => spilled::rows(size),
        "restores" => restores::rows(size),
        "recovery" => recovery::rows(),
        "history" => history::rows(size),
        "timers" => timers::rows(),
        _ => anyhow::bail!(
            "rows {group}: there is cut, checkpoints, rocksdb, spilled, restores, recovery, \
             history, timers"
        ),
    }
}

fn main() -> anyhow::Result<()> {
    // `--bench` is what cargo adds by itself.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench").peekable();
    match words.next_if(|word| word == "rows" || word == recovery::CHILD).as_deref() {
        Some("rows") => rows(words),
        Some(_) => recovery::child(words.next().unwrap_or_default().as_ref()),
        None => direct::run(words),
    }
}
