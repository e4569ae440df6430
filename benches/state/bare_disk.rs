//! What the disk alone takes of a checkpoint: files as large as its two are written, synced and
//! named one after the other, in the steps of `runtime/src/checkpoint/disk.rs`, and nothing else.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::draw::{Draw, Keys};
use super::gauge::sizes;

/// How the files of a checkpoint are divided, in the order they are written.
const FOLDERS: [&str; 2] = ["segments", "checkpoints"];
const ROUNDS: usize = 200;
/// From one round to the next, so that the disk has nothing left to do.
const PAUSE: Duration = Duration::from_millis(30);

/// The milliseconds of each round, with files as large as the largest that checkpoints wrote in
/// `folder`.
pub(crate) fn durations(folder: &Path) -> anyhow::Result<Vec<f64>> {
    let bare = folder.join("bare");
    let mut contents = Vec::new();
    for name in FOLDERS {
        let largest = sizes(&folder.join(name))?.into_iter().max();
        let largest = largest.with_context(|| format!("no checkpoint wrote into {name}"))?;
        contents.push(random(largest));
        fs::create_dir_all(bare.join(name))?;
    }
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        std::thread::sleep(PAUSE);
        let began = Instant::now();
        for (name, bytes) in FOLDERS.iter().zip(&contents) {
            publish(&bare.join(name), &round.to_string(), bytes)?;
        }
        all.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(all)
}

/// What no file system makes smaller.
fn random(bytes: u64) -> Vec<u8> {
    let mut draw = Draw::new(256, Keys::Uniform);
    (0..bytes).map(|_| draw.next_key() as u8).collect()
}

fn publish(folder: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let staged = folder.join(format!("{name}#1"));
    let mut out = File::create_new(&staged)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    drop(out);
    fs::hard_link(&staged, folder.join(name))?;
    fs::remove_file(&staged)?;
    File::open(folder)?.sync_all()?;
    Ok(())
}
