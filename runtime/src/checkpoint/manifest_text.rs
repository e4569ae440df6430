//! A manifest as the text of its file, both ways.
//!
//! ```text
//! riverrun-manifest 1 <XXH3-128 of the body, 32 hex digits> <length of the body in bytes>\n
//! <body: the manifest as JSON, objects over several lines, arrays on one>\n
//! ```
//!
//! Called by [`super::store`]. Invariant: nothing of the body is interpreted before its checksum
//! was right, and nothing of the checksum before the version was known.

use std::io;

use bytes::Bytes;
use riverrun_engine::checkpoint::CheckpointId;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};
use xxhash_rust::xxh3::xxh3_128;

use super::error::{Damage, StoreError};
use super::manifest::{FORMAT_VERSION, Manifest};

const MAGIC: &str = "riverrun-manifest";

/// XXH3-128 as the manifest writes it.
pub(super) fn checksum(bytes: &[u8]) -> String {
    hex_of(xxh3_128(bytes))
}

/// An XXH3-128 as the manifest has it.
pub(super) fn hex_of(checksum: u128) -> String {
    format!("{checksum:032x}")
}

/// The text of `manifest`.
pub(super) fn write(manifest: &Manifest) -> Result<Vec<u8>, StoreError> {
    let mut body = Vec::with_capacity(4096);
    let mut json = serde_json::Serializer::with_formatter(&mut body, ObjectLines::default());
    manifest.serialize(&mut json).map_err(|e| StoreError::Unwritable {
        checkpoint: manifest.checkpoint,
        reason: e.to_string(),
    })?;
    body.push(b'\n');
    let first = format!("{MAGIC} {FORMAT_VERSION} {} {}\n", checksum(&body), body.len());
    Ok([first.as_bytes(), &body].concat())
}

/// The manifest of `id` in `text`.
pub(super) fn read(id: CheckpointId, text: &Bytes) -> Result<Manifest, Damage> {
    let end = text.iter().position(|b| *b == b'\n').ok_or(Damage::Header)?;
    let first = std::str::from_utf8(&text[..end]).map_err(|_| Damage::Header)?;
    let mut words = first.split(' ');
    if words.next() != Some(MAGIC) {
        return Err(Damage::Header);
    }
    let version = words.next().and_then(|word| word.parse().ok()).ok_or(Damage::Header)?;
    if version != FORMAT_VERSION {
        return Err(Damage::Version { found: version, known: FORMAT_VERSION });
    }
    let (expected, len) = words.next().zip(words.next()).ok_or(Damage::Header)?;
    let len: u64 = len.parse().map_err(|_| Damage::Header)?;
    let body = &text[end + 1..];
    if body.len() as u64 != len {
        return Err(Damage::Length { expected: len, found: body.len() as u64 });
    }
    let found = checksum(body);
    if found != expected || words.next().is_some() {
        return Err(Damage::Checksum { expected: expected.to_owned(), found });
    }
    let manifest: Manifest =
        serde_json::from_slice(body).map_err(|e| Damage::Json { reason: e.to_string() })?;
    if manifest.version != FORMAT_VERSION {
        return Err(Damage::Version { found: manifest.version, known: FORMAT_VERSION });
    }
    if manifest.checkpoint != id {
        let owner = format!("it is the manifest of checkpoint {}", manifest.checkpoint);
        return Err(Damage::Exchanged { owner });
    }
    Ok(manifest)
}

/// Objects over several lines, arrays on one: offsets are arrays of bytes.
#[derive(Default)]
struct ObjectLines {
    objects: PrettyFormatter<'static>,
}

impl Formatter for ObjectLines {
    fn begin_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.objects.begin_object(out)
    }
    fn end_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.objects.end_object(out)
    }
    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.objects.begin_object_key(out, first)
    }
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.objects.begin_object_value(out)
    }
    fn end_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.objects.end_object_value(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::testing::manifest;

    #[test]
    fn a_manifest_comes_back_and_reads_well() {
        let written = manifest(7, "a");
        let text = write(&written).expect("writes");
        let lines = String::from_utf8(text.clone()).expect("text");
        assert!(lines.starts_with("riverrun-manifest 1 "), "{lines}");
        assert!(lines.contains("\n  \"job\": \"cards\",\n"), "{lines}");
        assert_eq!(read(CheckpointId(7), &text.into()).expect("reads"), written);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let text = write(&manifest(7, "a")).expect("writes");
        for at in 0..text.len() * 8 {
            let mut damaged = text.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            assert!(read(CheckpointId(7), &damaged.into()).is_err(), "bit {at}");
        }
        for len in 0..text.len() {
            assert!(read(CheckpointId(7), &text[..len].to_vec().into()).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn another_version_and_another_number_are_refused_by_name() {
        let text = write(&manifest(7, "a")).expect("writes");
        let other = read(CheckpointId(8), &text.clone().into()).expect_err("another number");
        assert!(matches!(other, Damage::Exchanged { .. }), "{other}");
        let newer = String::from_utf8(text).expect("text").replacen(" 1 ", " 2 ", 1);
        let newer = read(CheckpointId(7), &newer.into()).expect_err("newer");
        assert_eq!(newer, Damage::Version { found: 2, known: FORMAT_VERSION });
    }
}
