//! What the disk alone takes of a checkpoint: files as large as its two are written, synced and
//! named one after the other, in the steps of `runtime/src/checkpoint/staged` but each at once, and
//! nothing else.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;

use super::draw::{Draw, Keys};
use super::gauge::sizes;

/// How many checkpoints are kept.
const KEPT: usize = 2;

/// The files of one round after the other.
#[derive(Debug)]
pub(crate) struct BareDisk {
    segments: PathBuf,
    manifests: PathBuf,
    segment: Vec<u8>,
    manifest: Vec<u8>,
    /// The segment that is written over.
    over: Option<PathBuf>,
    round: usize,
}

impl BareDisk {
    /// With files as large as the largest that checkpoints wrote in `folder`, beside them.
    pub(crate) fn beside(folder: &Path) -> anyhow::Result<BareDisk> {
        let bare = |name: &str| -> anyhow::Result<(PathBuf, Vec<u8>)> {
            let largest = sizes(&folder.join(name))?.into_iter().max();
            let largest = largest.with_context(|| format!("no checkpoint wrote into {name}"))?;
            let bare = folder.with_file_name("bare").join(name);
            fs::create_dir_all(&bare)?;
            Ok((bare, random(largest)))
        };
        let ((segments, segment), (manifests, manifest)) =
            (bare("segments")?, bare("checkpoints")?);
        Ok(BareDisk { segments, manifests, segment, manifest, over: None, round: 0 })
    }

    /// How many milliseconds the next round takes; what is no longer needed goes afterwards.
    pub(crate) fn round(&mut self) -> anyhow::Result<f64> {
        let (now, over) = (self.round.to_string(), self.over.take());
        let began = Instant::now();
        publish(&self.segments, &now, (&self.segment, Name::First), over)?;
        publish(&self.manifests, &now, (&self.manifest, Name::Last), None)?;
        let took = began.elapsed().as_secs_f64() * 1e3;
        if let Some(old) = self.round.checked_sub(KEPT) {
            fs::remove_file(self.manifests.join(old.to_string()))?;
            File::open(&self.manifests)?.sync_all()?;
            let spare = self.segments.join(format!("{old}#0"));
            fs::rename(self.segments.join(old.to_string()), &spare)?;
            self.over = Some(spare);
        }
        self.round += 1;
        Ok(took)
    }
}

/// What no file system makes smaller.
fn random(bytes: u64) -> Vec<u8> {
    let mut draw = Draw::new(256, Keys::Uniform);
    (0..bytes).map(|_| draw.next_key() as u8).collect()
}

/// When a file gets its name: before its bytes are synced, or then.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    First,
    Last,
}

/// Writes `bytes`, over the file `over` if that is given.
fn publish(
    folder: &Path,
    name: &str,
    (bytes, named): (&[u8], Name),
    over: Option<PathBuf>,
) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(over.is_none());
    let staged = over.unwrap_or_else(|| folder.join(format!("{name}#1")));
    let mut out = options.open(&staged)?;
    out.write_all(bytes)?;
    if named == Name::Last {
        out.sync_all()?;
    }
    fs::hard_link(&staged, folder.join(name))?;
    fs::remove_file(&staged)?;
    if named == Name::First {
        out.sync_all()?;
    }
    drop(out);
    File::open(folder)?.sync_all()?;
    Ok(())
}
