//! What the drill job reads: three files, each with keys of its own, in order of time but for a few
//! seconds. First many keys, so that there is state to merge; then a few only, so that there are
//! small deltas in a row.

use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use riverrun::prelude::*;

use crate::steps::Event;

const FILES: u64 = 3;
const EVENTS: u64 = 9_000;
const KEYS: u64 = 1_500;
const FEW: u64 = 2;

fn mixed(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 16
}

/// Event `n` of a file.
pub(crate) fn event(file: u64, n: u64) -> Event {
    let chance = mixed(1 + file + n * FILES);
    let keys = if n < EVENTS / 3 { KEYS } else { FEW };
    // Most of a key's events follow each other within seconds, some after minutes.
    let key = file + FILES * ((n / 3 + chance % 4 * 37) % keys);
    let late_ms = (chance >> 8) % 4_000;
    let ms = 1_700_000_000_000 + n * 250 + 4_000 - late_ms;
    Event { key, n, at: Timestamp::from_millis(ms.cast_signed()), value: (chance >> 20) % 100 }
}

/// Writes the input into `folder`.
pub(crate) fn fill(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for file in 0..FILES {
        let path = folder.join(format!("{file}.jsonl"));
        let mut out = BufWriter::new(std::fs::File::create(path)?);
        for n in 0..EVENTS {
            serde_json::to_writer(&mut out, &event(file, n))?;
            out.write_all(b"\n")?;
        }
        out.flush()?;
    }
    Ok(())
}
