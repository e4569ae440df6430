//! The file of state of one checkpoint, format version 1: what all subtasks wrote behind one
//! barrier.
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
//! outside a check, and a flipped bit or a cut anywhere is found. A reader of ranges (object
//! storage) takes footer and index first and then checks each block it fetches by itself.

mod reader;
mod writer;

use thiserror::Error;

pub use reader::{SectionRef, Segment};
pub use writer::SegmentWriter;

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use riverrun_engine::checkpoint::Section;
    use riverrun_engine::graph::Uid;
    use riverrun_engine::key::KeyGroup;

    use super::*;

    fn section(group: u16, bytes: Vec<u8>) -> Section {
        Section { group: KeyGroup(group), entries: 1 + u64::from(group), bytes }
    }

    fn example() -> Vec<u8> {
        let mut writer = SegmentWriter::new();
        assert!(writer.is_empty());
        let states = [("spend", "sum", 0), ("spend", "timers", 9), ("été", "sum", 9)];
        for (uid, state, group) in states {
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
        let expected = "540c81356088c62a9d85f1df3f7b4256";
        assert_eq!(format!("{checksum:032x}"), expected, "the format of segments has changed");
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
