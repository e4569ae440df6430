//! What segments and runs have in common: header, footer, and the errors of their bytes.
//!
//! Called by [`super::segment`] and [`super::run`]. All numbers are little-endian; `xxh3` is
//! XXH3-64 with seed 0.
//!
//! ```text
//! file    = header .. index footer
//! header  = magic[8] version:u32 zero:u32                                            16 bytes
//! footer  = index_offset:u64 blocks:u64 entries:u64 index_xxh3:u64
//!           xxh3:u64 of the footer before it  magic[8]                               48 bytes
//! ```
//!
//! Invariant: nothing of an index is believed before footer and index had the right checksums.

use bytes::Bytes;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::error::{Damage, StoreError};
use super::file::StoredFile;

/// The length of a header, where the first block begins.
pub(super) const HEADER_BYTES: usize = 16;
const FOOTER_BYTES: usize = 48;
/// The end of a file that is read at once: most indices lie within.
const TAIL_BYTES: u64 = 64 << 10;

/// A kind of file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) header: &'static [u8; 8],
    pub(super) footer: &'static [u8; 8],
    /// The version this engine writes.
    pub(super) version: u32,
    /// The oldest it still reads.
    pub(super) oldest: u32,
}

/// What is wrong with the bytes of a segment or a run.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FormatError {
    /// Shorter than the shortest.
    #[error("{bytes} bytes are no {kind}")]
    Short {
        /// What it should be.
        kind: &'static str,
        /// How many there are.
        bytes: u64,
    },
    /// Another kind of file.
    #[error("it is no {kind}: its {part} does not begin or end as one")]
    Magic {
        /// What it should be.
        kind: &'static str,
        /// Header or footer.
        part: &'static str,
    },
    /// Another version.
    #[error("it is a {kind} of format version {found}, this engine reads up to version {known}")]
    Version {
        /// What it is.
        kind: &'static str,
        /// As the file says.
        found: u32,
        /// As this engine reads.
        known: u32,
    },
    /// A checksum that does not fit.
    #[error("the checksum of its {part} is wrong")]
    Checksum {
        /// Which part.
        part: String,
    },
    /// Checksums fit, but the parts do not fit together.
    #[error("its {part} contradicts the rest of the file")]
    Inconsistent {
        /// Which part.
        part: String,
    },
    /// A name that cannot be written.
    #[error("the name of state '{state}' of '{uid}' is longer than 65535 bytes")]
    NameLength {
        /// The operator.
        uid: String,
        /// The state.
        state: String,
    },
    /// A row that cannot be written.
    #[error("a row of {bytes} bytes is too long for a block")]
    RowLength {
        /// Its length.
        bytes: usize,
    },
    /// Rows that do not rise.
    #[error("rows of {part} are not in order")]
    Order {
        /// Where.
        part: String,
    },
}

/// The error for a part that contradicts the rest.
pub(super) fn inconsistent(part: impl Into<String>) -> FormatError {
    FormatError::Inconsistent { part: part.into() }
}

/// What the footer says, and the index.
#[derive(Debug)]
pub(super) struct Framed {
    pub(super) version: u32,
    pub(super) index_offset: u64,
    pub(super) blocks: u64,
    pub(super) entries: u64,
    pub(super) index: Bytes,
}

/// The checksum of the index of a file that ends so, as its entry in the manifest holds it.
pub(super) fn index_checksum(last: &[u8]) -> u64 {
    let footer = last.len().saturating_sub(FOOTER_BYTES);
    let at = last.get(footer + 24..).map(|rest| Cursor { rest }.u64());
    at.flatten().expect("the writer of a file has ended it with a footer")
}

/// Begins a file.
pub(super) fn begin(kind: &Kind) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    out.extend_from_slice(kind.header);
    out.extend_from_slice(&kind.version.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out
}

/// Appends the footer; the index begins at `index` of what of the file lies in `out`, behind
/// `before` bytes.
pub(super) fn end(
    kind: &Kind,
    (before, out): (u64, &mut Vec<u8>),
    index: usize,
    blocks: u64,
    entries: u64,
) {
    let index_checksum = xxh3_64(&out[index..]);
    let footer = out.len();
    for number in [before + index as u64, blocks, entries, index_checksum] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let checksum = xxh3_64(&out[footer..]);
    out.extend_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(kind.footer);
}

/// Reads and checks header, footer and index, whose checksum must be `expected`: so it is the file
/// that the checkpoint means.
pub(super) async fn open(
    kind: &Kind,
    file: &StoredFile,
    expected: u64,
) -> Result<Framed, StoreError> {
    let len = file.len();
    if len < (HEADER_BYTES + FOOTER_BYTES) as u64 {
        return Err(file.damaged(FormatError::Short { kind: kind.name, bytes: len }));
    }
    let header = file.range(0..HEADER_BYTES as u64).await?;
    let version = check_header(kind, &header).map_err(|e| file.damaged(e))?;
    let tail_start = len.saturating_sub(TAIL_BYTES).max(HEADER_BYTES as u64);
    let tail = file.range(tail_start..len).await?;
    let at = tail.len() - FOOTER_BYTES;
    let footer = Footer::read(kind, &tail[at..]).map_err(|e| file.damaged(e))?;
    let end = len - FOOTER_BYTES as u64;
    if !(HEADER_BYTES as u64..=end).contains(&footer.index_offset) {
        return Err(file.damaged(inconsistent("footer")));
    }
    let index = match footer.index_offset.checked_sub(tail_start) {
        Some(start) => tail.slice(start as usize..at),
        None => file.range(footer.index_offset..end).await?,
    };
    if xxh3_64(&index) != footer.index_checksum {
        return Err(file.damaged(FormatError::Checksum { part: "index".to_owned() }));
    }
    if footer.index_checksum != expected {
        let (expected, found) =
            (format!("{expected:016x}"), format!("{:016x}", footer.index_checksum));
        return Err(file.damaged(Damage::Index { expected, found }));
    }
    let Footer { index_offset, blocks, entries, .. } = footer;
    Ok(Framed { version, index_offset, blocks, entries, index })
}

/// The version of the file.
fn check_header(kind: &Kind, header: &[u8]) -> Result<u32, FormatError> {
    let (magic, rest) = header.split_at(8);
    let wrong = || FormatError::Magic { kind: kind.name, part: "header" };
    if magic != kind.header {
        return Err(wrong());
    }
    let mut rest = Cursor { rest };
    let (found, zero) = rest.u32().zip(rest.u32()).ok_or_else(wrong)?;
    if !(kind.oldest..=kind.version).contains(&found) {
        return Err(FormatError::Version { kind: kind.name, found, known: kind.version });
    }
    if zero == 0 { Ok(found) } else { Err(wrong()) }
}

struct Footer {
    index_offset: u64,
    blocks: u64,
    entries: u64,
    index_checksum: u64,
}

impl Footer {
    /// Of exactly [`FOOTER_BYTES`].
    fn read(kind: &Kind, footer: &[u8]) -> Result<Footer, FormatError> {
        let wrong = || FormatError::Magic { kind: kind.name, part: "footer" };
        if footer[FOOTER_BYTES - 8..] != *kind.footer {
            return Err(wrong());
        }
        let mut rest = Cursor { rest: footer };
        let mut next = || rest.u64().ok_or_else(wrong);
        let (index_offset, blocks, entries) = (next()?, next()?, next()?);
        let (index_checksum, checksum) = (next()?, next()?);
        if xxh3_64(&footer[..32]) != checksum {
            return Err(FormatError::Checksum { part: "footer".to_owned() });
        }
        Ok(Footer { index_offset, blocks, entries, index_checksum })
    }
}

/// Takes numbers and bytes from the front; `None` where they end too early.
pub(super) struct Cursor<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The table of names: see `segment` and `run`.
    pub(super) fn names(&mut self) -> Option<Vec<(String, String)>> {
        let count = self.u32()?;
        let mut names = Vec::new();
        for _ in 0..count {
            let (uid, state) = (self.u16()?, self.u16()?);
            let (uid, state) = (self.take(uid.into())?, self.take(state.into())?);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
            names.push((text(uid)?, text(state)?));
        }
        Some(names)
    }
}

/// Appends one name of the table of names.
pub(super) fn put_name(out: &mut Vec<u8>, uid: &str, state: &str) -> Result<(), FormatError> {
    let too_long = |_| FormatError::NameLength { uid: uid.to_owned(), state: state.to_owned() };
    out.extend_from_slice(&u16::try_from(uid.len()).map_err(too_long)?.to_le_bytes());
    out.extend_from_slice(&u16::try_from(state.len()).map_err(too_long)?.to_le_bytes());
    out.extend_from_slice(uid.as_bytes());
    out.extend_from_slice(state.as_bytes());
    Ok(())
}
