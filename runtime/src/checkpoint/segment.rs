//! The file of state of one checkpoint, format version 1: what all subtasks wrote behind one barrier.
//!
//! Written by the coordinator from the parts of a [`super::pending::Pending`], read by
//! [`super::restore`]. All numbers are little-endian; `xxh3` is XXH3-64 with seed 0.
//!
//! ```text
//! file    = header block* index footer
//! header  = "RRUNSEGM" version:u32 (1) zero:u32                                      16 bytes
//! block   = name:u32 group:u16 zero:u16 entries:u64 len:u64                          24 bytes
//!           len bytes in the entry format of riverrun_engine::state::entry
//!           xxh3:u64 of everything in the block before it
//! index   = names:u32 name{names} place{blocks}
//! name    = uid_len:u16 state_len:u16 uid state      UTF-8; blocks name them by position, from 0
//! place   = offset:u64 (of the block in the file) len:u64 (of the block's entries)
//!           name:u32 group:u16 zero:u16 entries:u64                                  32 bytes
//! footer  = index_offset:u64 blocks:u64 entries:u64 index_xxh3:u64
//!           xxh3:u64 of the footer before it  "RRUNSEGE"                             48 bytes
//! ```
//!
//! Invariants: blocks lie without gaps between header and index, the index without gaps before the
//! footer, and every block says of itself what the index says of it. So no byte of the file is
//! outside a check, and a flipped bit or a cut anywhere is found. A reader of ranges (object storage)
//! takes footer and index first and then checks each block it fetches by itself.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use riverrun_engine::checkpoint::Section;
use riverrun_engine::graph::Uid;
use riverrun_engine::key::KeyGroup;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

const VERSION: u32 = 1;
const HEADER_MAGIC: &[u8; 8] = b"RRUNSEGM";
const FOOTER_MAGIC: &[u8; 8] = b"RRUNSEGE";
const HEADER_BYTES: usize = 16;
const BLOCK_HEAD_BYTES: usize = 24;
const CHECKSUM_BYTES: usize = 8;
const PLACE_BYTES: usize = 32;
const FOOTER_BYTES: usize = 48;

/// What is wrong with a segment's bytes.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SegmentError {
    /// Shorter than the shortest.
    #[error("{bytes} bytes are no segment")]
    Short {
        /// How many there are.
        bytes: usize,
    },
    /// Another kind of file.
    #[error("it is no segment: its {part} does not begin or end as one")]
    Magic {
        /// Header or footer.
        part: &'static str,
    },
    /// Another version.
    #[error("it is a segment of format version {found}, this engine reads version {VERSION}")]
    Version {
        /// As the file says.
        found: u32,
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
}

/// Writes a segment, section by section.
#[derive(Debug)]
pub struct SegmentWriter {
    out: Vec<u8>,
    names: HashMap<Uid, HashMap<String, u32>>,
    name_bytes: Vec<u8>,
    name_count: u32,
    places: Vec<u8>,
    blocks: u64,
    entries: u64,
}

impl Default for SegmentWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl SegmentWriter {
    /// An empty segment.
    #[must_use]
    pub fn new() -> Self {
        let mut out = Vec::with_capacity(4096);
        out.extend_from_slice(HEADER_MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        SegmentWriter {
            out,
            names: HashMap::new(),
            name_bytes: Vec::new(),
            name_count: 0,
            places: Vec::new(),
            blocks: 0,
            entries: 0,
        }
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks == 0
    }

    /// Appends one section of state `state` of operator `uid`.
    ///
    /// # Errors
    /// A name that is too long.
    pub fn add(&mut self, uid: &Uid, state: &str, section: &Section) -> Result<(), SegmentError> {
        let name = self.name(uid, state)?;
        let (start, len) = (self.out.len(), section.bytes.len() as u64);
        self.out.reserve(BLOCK_HEAD_BYTES + section.bytes.len() + CHECKSUM_BYTES);
        put_what(&mut self.out, name, section);
        self.out.extend_from_slice(&len.to_le_bytes());
        self.out.extend_from_slice(&section.bytes);
        let checksum = xxh3_64(&self.out[start..]);
        self.out.extend_from_slice(&checksum.to_le_bytes());
        self.places.extend_from_slice(&(start as u64).to_le_bytes());
        self.places.extend_from_slice(&len.to_le_bytes());
        put_what(&mut self.places, name, section);
        self.blocks += 1;
        self.entries += section.entries;
        Ok(())
    }

    fn name(&mut self, uid: &Uid, state: &str) -> Result<u32, SegmentError> {
        if let Some(name) = self.names.get(uid).and_then(|states| states.get(state)) {
            return Ok(*name);
        }
        let too_long =
            |_| SegmentError::NameLength { uid: uid.to_string(), state: state.to_owned() };
        let uid_len = u16::try_from(uid.0.len()).map_err(too_long)?;
        let state_len = u16::try_from(state.len()).map_err(too_long)?;
        self.name_bytes.extend_from_slice(&uid_len.to_le_bytes());
        self.name_bytes.extend_from_slice(&state_len.to_le_bytes());
        self.name_bytes.extend_from_slice(uid.0.as_bytes());
        self.name_bytes.extend_from_slice(state.as_bytes());
        let name = self.name_count;
        self.name_count += 1;
        self.names.entry(uid.clone()).or_default().insert(state.to_owned(), name);
        Ok(name)
    }

    /// The file's bytes, and the number of entries in it.
    #[must_use]
    pub fn finish(mut self) -> (Vec<u8>, u64) {
        let index = self.out.len();
        self.out.extend_from_slice(&self.name_count.to_le_bytes());
        self.out.extend_from_slice(&self.name_bytes);
        self.out.extend_from_slice(&self.places);
        let index_checksum = xxh3_64(&self.out[index..]);
        let footer = self.out.len();
        for number in [index as u64, self.blocks, self.entries, index_checksum] {
            self.out.extend_from_slice(&number.to_le_bytes());
        }
        let checksum = xxh3_64(&self.out[footer..]);
        self.out.extend_from_slice(&checksum.to_le_bytes());
        self.out.extend_from_slice(FOOTER_MAGIC);
        (self.out, self.entries)
    }
}

fn put_what(out: &mut Vec<u8>, name: u32, section: &Section) {
    out.extend_from_slice(&name.to_le_bytes());
    out.extend_from_slice(&section.group.0.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&section.entries.to_le_bytes());
}

/// One section, borrowed from its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionRef<'a> {
    /// The operator.
    pub uid: &'a str,
    /// The state.
    pub state: &'a str,
    /// The key group.
    pub group: KeyGroup,
    /// How many entries.
    pub entries: u64,
    /// The entries.
    pub bytes: &'a [u8],
}

#[derive(Debug)]
struct Place {
    name: usize,
    group: KeyGroup,
    entries: u64,
    bytes: Range<usize>,
}

/// A segment whose every byte was checked.
#[derive(Debug)]
pub struct Segment {
    bytes: Bytes,
    names: Vec<(String, String)>,
    places: Vec<Place>,
}

impl Segment {
    /// Checks everything.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(bytes: Bytes) -> Result<Segment, SegmentError> {
        let footer = Footer::read(&bytes)?;
        let mut index = Reader { rest: &bytes[footer.index.clone()], part: "index" };
        let names = index.names()?;
        let mut places = Vec::with_capacity(index.rest.len() / PLACE_BYTES);
        let (mut at, mut entries) = (HEADER_BYTES, 0_u64);
        for number in 0..footer.blocks {
            let (place, end) = index.place(&bytes[..footer.index.start], at, number)?;
            if place.name >= names.len() {
                return Err(inconsistent(format!("block {number}")));
            }
            entries = entries.wrapping_add(place.entries);
            at = end;
            places.push(place);
        }
        if !index.rest.is_empty() || at != footer.index.start || entries != footer.entries {
            return Err(inconsistent("index".to_owned()));
        }
        Ok(Segment { bytes, names, places })
    }

    /// The sections, in the order in which they were added.
    pub fn sections(&self) -> impl ExactSizeIterator<Item = SectionRef<'_>> {
        self.places.iter().map(|place| self.section_at(place))
    }

    /// Section number `index`.
    pub(super) fn section(&self, index: usize) -> SectionRef<'_> {
        self.section_at(&self.places[index])
    }

    fn section_at(&self, place: &Place) -> SectionRef<'_> {
        let (uid, state) = &self.names[place.name];
        let bytes = &self.bytes[place.bytes.clone()];
        SectionRef { uid, state, group: place.group, entries: place.entries, bytes }
    }
}

fn inconsistent(part: String) -> SegmentError {
    SegmentError::Inconsistent { part }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let number = bytes[at..].first_chunk().expect("the caller has checked the length");
    u64::from_le_bytes(*number)
}

struct Footer {
    index: Range<usize>,
    blocks: u64,
    entries: u64,
}

impl Footer {
    fn read(bytes: &[u8]) -> Result<Footer, SegmentError> {
        if bytes.len() < HEADER_BYTES + FOOTER_BYTES {
            return Err(SegmentError::Short { bytes: bytes.len() });
        }
        if &bytes[..8] != HEADER_MAGIC {
            return Err(SegmentError::Magic { part: "header" });
        }
        let (version, zero) = (u64_at(bytes, 8) as u32, u64_at(bytes, 8) >> 32);
        if version != VERSION {
            return Err(SegmentError::Version { found: version });
        }
        if zero != 0 {
            return Err(SegmentError::Magic { part: "header" });
        }
        let end = bytes.len() - FOOTER_BYTES;
        let footer = &bytes[end..];
        if &footer[FOOTER_BYTES - 8..] != FOOTER_MAGIC {
            return Err(SegmentError::Magic { part: "footer" });
        }
        if xxh3_64(&footer[..32]) != u64_at(footer, 32) {
            return Err(SegmentError::Checksum { part: "footer".to_owned() });
        }
        let start = usize::try_from(u64_at(footer, 0)).ok();
        let start = start.filter(|start| (HEADER_BYTES..=end).contains(start));
        let index = start.ok_or_else(|| inconsistent("footer".to_owned()))?..end;
        if xxh3_64(&bytes[index.clone()]) != u64_at(footer, 24) {
            return Err(SegmentError::Checksum { part: "index".to_owned() });
        }
        Ok(Footer { index, blocks: u64_at(footer, 8), entries: u64_at(footer, 16) })
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    part: &'static str,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], SegmentError> {
        let (taken, rest) =
            self.rest.split_at_checked(len).ok_or_else(|| inconsistent(self.part.to_owned()))?;
        self.rest = rest;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], SegmentError> {
        let bytes = self.take(N)?;
        Ok(*bytes.first_chunk().expect("as many as were asked for"))
    }

    fn names(&mut self) -> Result<Vec<(String, String)>, SegmentError> {
        let count = u32::from_le_bytes(self.number()?);
        let mut names = Vec::new();
        for _ in 0..count {
            let uid_len = u16::from_le_bytes(self.number()?);
            let state_len = u16::from_le_bytes(self.number()?);
            let (uid, state) = (self.take(uid_len.into())?, self.take(state_len.into())?);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
            let name = text(uid).and_then(|uid| Ok((uid, text(state)?)));
            names.push(name.map_err(|_| inconsistent(self.part.to_owned()))?);
        }
        Ok(names)
    }

    /// The next place, whose block is checked and must begin at `at`; and where the block ends.
    fn place(
        &mut self,
        file: &[u8],
        at: usize,
        number: u64,
    ) -> Result<(Place, usize), SegmentError> {
        let place = self.take(PLACE_BYTES)?;
        let wrong = || inconsistent(format!("block {number}"));
        let len = usize::try_from(u64_at(place, 8)).map_err(|_| wrong())?;
        let whole = len.checked_add(BLOCK_HEAD_BYTES + CHECKSUM_BYTES).ok_or_else(wrong)?;
        let block = file.get(at..).and_then(|rest| rest.get(..whole)).ok_or_else(wrong)?;
        let (body, checksum) = block.split_at(whole - CHECKSUM_BYTES);
        if xxh3_64(body) != u64_at(checksum, 0) {
            let part = format!("block {number} at byte {at}");
            return Err(SegmentError::Checksum { part });
        }
        let (what, zero) = (&place[16..PLACE_BYTES], &place[22..24]);
        let same = u64_at(place, 0) == at as u64
            && body[..16] == *what
            && u64_at(body, 16) == len as u64
            && zero == [0; 2];
        if !same {
            return Err(wrong());
        }
        let start = at + BLOCK_HEAD_BYTES;
        let name = *what.first_chunk().expect("sixteen bytes");
        let group = *what[4..].first_chunk().expect("sixteen bytes");
        let place = Place {
            name: u32::from_le_bytes(name) as usize,
            group: KeyGroup(u16::from_le_bytes(group)),
            entries: u64_at(what, 8),
            bytes: start..start + len,
        };
        Ok((place, at + whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn section(group: u16, bytes: Vec<u8>) -> Section {
        Section { group: KeyGroup(group), entries: 1 + u64::from(group), bytes }
    }

    fn example() -> Vec<u8> {
        let mut writer = SegmentWriter::new();
        assert!(writer.is_empty());
        for (uid, state, group) in [("spend", "sum", 0), ("spend", "timers", 9), ("été", "sum", 9)]
        {
            let section = section(group, format!("{uid}/{state}").into_bytes());
            writer.add(&Uid::new(uid), state, &section).expect("short names");
        }
        writer.finish().0
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let whole = example();
        Segment::parse(whole.clone().into()).expect("whole");
        for at in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            assert!(Segment::parse(damaged.into()).is_err(), "bit {at}");
        }
        for len in 0..whole.len() {
            assert!(Segment::parse(whole[..len].to_vec().into()).is_err(), "cut at {len}");
        }
        let longer = [&whole[..], &[0]].concat();
        assert!(Segment::parse(longer.into()).is_err(), "grown");
    }

    #[test]
    fn a_newer_version_is_refused_by_number() {
        let mut bytes = example();
        bytes[8] = 2;
        let error = Segment::parse(bytes.into()).expect_err("newer");
        assert_eq!(error, SegmentError::Version { found: 2 });
    }

    #[test]
    fn version_1_never_changes() {
        let checksum = xxhash_rust::xxh3::xxh3_128(&example());
        assert_eq!(format!("{checksum:032x}"), "540c81356088c62a9d85f1df3f7b4256", "the format of segments has changed");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            parts: Vec<(String, String, u16, Vec<u8>)>
        ) {
            let mut writer = SegmentWriter::new();
            let mut expected = Vec::new();
            for (uid, state, group, bytes) in parts {
                let section = section(group, bytes);
                writer.add(&Uid::new(&uid), &state, &section).expect("short names");
                expected.push((uid, state, section));
            }
            let (bytes, entries) = writer.finish();
            prop_assert_eq!(entries, expected.iter().map(|(_, _, s)| s.entries).sum::<u64>());
            let segment = Segment::parse(bytes.into()).expect("whole");
            let read: Vec<_> = segment
                .sections()
                .map(|s| {
                    let section =
                        Section { group: s.group, entries: s.entries, bytes: s.bytes.to_vec() };
                    (s.uid.to_owned(), s.state.to_owned(), section)
                })
                .collect();
            prop_assert_eq!(read, expected);
        }
    }
}
