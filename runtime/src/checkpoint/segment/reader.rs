//! Reads a segment, checking every byte before any is believed. Called by the store.

use std::ops::Range;

use bytes::Bytes;
use riverrun_engine::key::KeyGroup;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    BLOCK_HEAD_BYTES, CHECKSUM_BYTES, FOOTER_BYTES, FOOTER_MAGIC, HEADER_BYTES, HEADER_MAGIC,
    PLACE_BYTES, SegmentError, VERSION,
};

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
    pub(in crate::checkpoint) fn section(&self, index: usize) -> SectionRef<'_> {
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
