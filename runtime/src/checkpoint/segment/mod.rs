//! The file of state of one checkpoint, format version 1: what all subtasks wrote behind one
//! barrier.
//!
//! Written by the coordinator from the parts of a [`super::pending::Pending`], read by
//! [`super::restore`]. All numbers are little-endian; `xxh3` is XXH3-64 with seed 0.
//!
//! ```text
//! file    = header block* index footer
//! header  = as in [`super::frame`], with magic "RRUNSEGM" and version 1
//! block   = entries in the format of riverrun_engine::state::entry
//! index   = names:u32 name{names} place{blocks}
//! name    = uid_len:u16 state_len:u16 uid state      UTF-8; places name them by position, from 0
//! place   = offset:u64 (of the block in the file) len:u64 (of the block) entries:u64
//!           name:u32 group:u16 zero:u16 xxh3:u64 (of the block)                      40 bytes
//! footer  = as in [`super::frame`], with magic "RRUNSEGE"
//! ```
//!
//! Invariants: blocks lie without gaps between header and index, the index without gaps before the
//! footer. Checksums form a tree: the manifest holds that of the index, the index those of the
//! blocks. So no byte of the file is outside a check, a flipped bit or a cut anywhere is found, and
//! a reader of ranges takes the index first and then believes each block it fetches by itself.
//! Blocks of one state and key group apply in their order.

mod reader;
mod writer;

pub use reader::{SectionRef, Segment};
pub use writer::SegmentWriter;

use super::frame::Kind;

pub(super) const KIND: Kind =
    Kind { name: "segment", header: b"RRUNSEGM", footer: b"RRUNSEGE", version: 1 };
const PLACE_BYTES: usize = 40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use riverrun_engine::checkpoint::Section;
    use riverrun_engine::graph::Uid;
    use riverrun_engine::key::KeyGroup;

    use super::*;
    use crate::checkpoint::frame::index_checksum;
    use crate::checkpoint::testing::{block_on, stored};
    use crate::checkpoint::{FormatError, StoreError};

    /// Reads `bytes` where the manifest means `whole`.
    fn check(whole: &[u8], bytes: Vec<u8>) -> Result<(), StoreError> {
        let index = index_checksum(whole);
        block_on(async { Segment::open(stored(bytes), index).await?.check().await })
    }

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
        check(&whole, whole.clone()).expect("whole");
        for at in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            assert!(check(&whole, damaged).is_err(), "bit {at}");
        }
        for len in 0..whole.len() {
            assert!(check(&whole, whole[..len].to_vec()).is_err(), "cut at {len}");
        }
        let longer = [&whole[..], &[0]].concat();
        assert!(check(&whole, longer).is_err(), "grown");
    }

    #[test]
    fn a_newer_version_is_refused_by_number() {
        let mut bytes = example();
        bytes[8] = 2;
        let error = check(&example(), bytes).expect_err("newer");
        let version = FormatError::Version { kind: "segment", found: 2, known: 1 };
        assert!(error.to_string().contains(&version.to_string()), "{error}");
    }

    #[test]
    fn version_1_never_changes() {
        let checksum = xxhash_rust::xxh3::xxh3_128(&example());
        let expected = "6e8312852567e0627cc5fdf0e6e284df";
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
            let read: Vec<_> = block_on(async {
                let index = index_checksum(&bytes);
                let segment = Segment::open(stored(bytes), index).await.expect("whole");
                let mut read = Vec::new();
                for (index, s) in segment.sections().enumerate() {
                    let bytes = segment.read(index).await.expect("whole").to_vec();
                    assert_eq!(bytes.len() as u64, s.bytes);
                    let section = Section { group: s.group, entries: s.entries, bytes };
                    read.push((s.uid.to_owned(), s.state.to_owned(), section));
                }
                read
            });
            prop_assert_eq!(read, expected);
        }
    }
}
