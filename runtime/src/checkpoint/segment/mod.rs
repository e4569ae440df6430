//! The file of state of one checkpoint, format version 2: what all subtasks wrote behind one
//! barrier, or the last of several that were squashed.
//!
//! Written by the coordinator from the parts of a [`super::pending::Pending`] and by merges, read
//! through [`super::view`]. All numbers are little-endian; `xxh3` is XXH3-64 with seed 0.
//!
//! ```text
//! file    = header block* filter* index footer
//! header  = as in [`super::frame`], with magic "RRUNSEGM" and version 2
//! block   = entries in the format of riverrun_engine::state::entry
//! filter  = as in run::filter, over the hashes of the keys of a sorted section's puts
//! index   = names:u32 name{names}  filters:u32 filter_place{filters}  place{blocks}
//! name    = uid_len:u16 state_len:u16 uid state      UTF-8; places name them by position, from 0
//! filter_place
//!         = name:u32 group:u16 zero:u16 offset:u64 len:u64 xxh3:u64 (of the filter)      32 bytes
//! place   = offset:u64 (of the block in the file) len:u64 (of the block) entries:u64
//!           name:u32 group:u16 kind:u16 xxh3:u64 (of the block) first:u64 (length of the next)
//!           then, where kind is 2, the first entry without its value: a put with an empty value
//! kind    = 0 a section as it was written | 1 the drops and deletes of a sorted section
//!           | 2 puts of a sorted section, rising by namespace and key
//! footer  = as in [`super::frame`], with magic "RRUNSEGE"
//! ```
//!
//! Version 1, still read, has no filters and no number of them, `kind` is zero, and a place ends
//! with its checksum.
//!
//! Invariants:
//!
//! 1. Blocks of one state and key group apply in their order, whatever their kind.
//! 2. A sorted section is at most one block of kind 1, then blocks of kind 2 whose rows rise over
//!    block ends too; a new one begins after [`run::format::BLOCK_BYTES`] of entries. It is the
//!    only section of its state and key group in the file, and has one filter if it has puts.
//! 3. Blocks lie without gaps after the header, filters without gaps after the blocks, the index
//!    without a gap before the footer. Checksums form a tree: the manifest holds that of the index,
//!    the index those of blocks and filters. So no byte of the file is outside a check, a flipped
//!    bit or a cut anywhere is found, and a reader of ranges takes the index first and then
//!    believes each block it fetches by itself.
//!
//! [`run::format::BLOCK_BYTES`]: super::run::format::BLOCK_BYTES

mod reader;
mod writer;

pub use reader::{BlockKind, SectionRef, Segment};
pub use writer::SegmentWriter;

use super::frame::Kind;

pub(super) const KIND: Kind =
    Kind { name: "segment", header: b"RRUNSEGM", footer: b"RRUNSEGE", version: 2, oldest: 1 };
/// The shortest place.
const PLACE_BYTES: usize = 40;
/// The version without sorted sections.
const UNSORTED_VERSION: u32 = 1;

/// A section of so many bytes is worth sorting when it is written: a smaller one is as quickly read
/// whole.
pub const SORTED_FROM: usize = 128 << 10;

/// Of a section that lies as it was added.
const AS_ADDED: u16 = 0;
/// Of the drops and deletes of a sorted section.
const REMOVALS: u16 = 1;
/// Of puts of a sorted section.
const PUTS: u16 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use riverrun_engine::checkpoint::Section;
    use riverrun_engine::graph::Uid;
    use riverrun_engine::key::{KeyGroup, hash_bytes};
    use riverrun_engine::state::entry::{self, Entry, Op};

    use super::*;
    use crate::checkpoint::frame::index_checksum;
    use crate::checkpoint::run::filter::may_hold;
    use crate::checkpoint::testing::{block_on, finished, stored};
    use crate::checkpoint::{FormatError, StoreError};

    /// Reads `bytes` where the manifest means `whole`.
    fn check(whole: &[u8], bytes: Vec<u8>) -> Result<(), StoreError> {
        let index = index_checksum(whole);
        block_on(async { Segment::open(stored(bytes), index).await?.check().await })
    }

    fn section(group: u16, bytes: Vec<u8>) -> Section {
        Section { group: KeyGroup(group), entries: 1 + u64::from(group), bytes: bytes.into() }
    }

    fn example() -> Vec<u8> {
        let mut writer = SegmentWriter::new();
        assert!(writer.is_empty());
        let states = [("spend", "sum", 0), ("spend", "timers", 9), ("été", "sum", 9)];
        for (uid, state, group) in states {
            let section = section(group, format!("{uid}/{state}").into_bytes());
            writer.add(&Uid::new(uid), state, &section).expect("short names");
        }
        let sorted = sorted(7, 12);
        writer.add_sorted(&Uid::new("spend"), "sum", &sorted).expect("in order");
        finished(writer).0
    }

    /// Two deletes, then puts of the even numbers below `below`.
    fn sorted(group: u16, below: u32) -> Section {
        let (mut bytes, mut entries) = (Vec::new(), 0);
        let mut write = |op, key: u32, value: &[u8]| {
            let key = &key.to_be_bytes()[..];
            entry::write(&mut bytes, Entry { op, namespace: &[], key, value }).expect("short");
            entries += 1;
        };
        write(Op::Delete, 3, &[]);
        write(Op::Delete, 5, &[]);
        (0..below).step_by(2).for_each(|key| write(Op::Put, key, &[7; 60]));
        Section { group: KeyGroup(group), entries, bytes: bytes.into() }
    }

    #[test]
    fn a_sorted_section_is_found_by_key() {
        let mut writer = SegmentWriter::new();
        let (uid, section) = (Uid::new("spend"), sorted(2, 10_000));
        writer.add_sorted(&uid, "sum", &section).expect("in order");
        let (bytes, entries) = finished(writer);
        assert_eq!(entries, section.entries);
        block_on(async {
            let index = index_checksum(&bytes);
            let segment = Segment::open(stored(bytes), index).await.expect("whole");
            segment.check().await.expect("whole");
            let kinds: Vec<_> = segment.sections().map(|block| block.kind).collect();
            assert_eq!(kinds[0], BlockKind::Removals);
            assert!(kinds.len() > 5 && kinds[1..].iter().all(|kind| *kind == BlockKind::Puts));
            let mut read = Vec::new();
            for block in 0..kinds.len() {
                read.extend_from_slice(&segment.read(block).await.expect("whole"));
            }
            assert_eq!(read, section.bytes, "what applies in order is what was added");
            let puts = 1..kinds.len();
            let filter = segment.filters(&[puts.start]).await.expect("whole").remove(0);
            for key in [0_u32, 2, 3, 4_444, 9_998, 9_999] {
                let key = key.to_be_bytes();
                let block = segment.from(puts.clone(), &[], &key).start;
                let block = segment.read(block).await.expect("whole");
                let (mut rest, mut held) = (&block[..], false);
                while let Some(entry) = entry::read(&mut rest).expect("entries") {
                    held |= entry.key == key;
                }
                assert_eq!(held, u32::from_be_bytes(key).is_multiple_of(2));
                assert!(!held || may_hold(&filter, hash_bytes(&key)));
            }
        });
    }

    #[test]
    fn what_does_not_rise_is_no_sorted_section() {
        let mut section = sorted(0, 4);
        section.bytes = section.bytes.repeat(2).into();
        let error = SegmentWriter::new().add_sorted(&Uid::new("a"), "b", &section);
        assert!(matches!(error, Err(FormatError::Order { .. })), "{error:?}");
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
        bytes[8] = 3;
        let error = check(&example(), bytes).expect_err("newer");
        let version = FormatError::Version { kind: "segment", found: 3, known: 2 };
        assert!(error.to_string().contains(&version.to_string()), "{error}");
    }

    #[test]
    fn version_2_never_changes() {
        let checksum = xxhash_rust::xxh3::xxh3_128(&example());
        let expected = "e451a662563cd63e9dc4d7044446c545";
        assert_eq!(format!("{checksum:032x}"), expected, "the format of segments has changed");
    }

    #[test]
    fn a_file_taken_in_pieces_is_the_same() {
        let (mut whole, mut taken) = (SegmentWriter::new(), SegmentWriter::new());
        let mut pieces = Vec::new();
        for group in 0..4 {
            let uid = Uid::new("spend");
            for writer in [&mut whole, &mut taken] {
                writer.add(&uid, "timers", &section(group, vec![7; 9])).expect("short names");
                writer.add(&uid, "long", &section(group, vec![8; 9_000])).expect("short names");
                writer.add_sorted(&uid, "sum", &sorted(group, 2_000)).expect("in order");
            }
            pieces.append(&mut taken.take());
            assert_eq!(taken.waiting(), 0);
        }
        let (whole, (mut last, entries)) = (finished(whole), taken.finish());
        pieces.append(&mut last);
        assert!(whole == (pieces.concat(), entries));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_in_however_many_pieces_it_was_taken(
            parts: Vec<(String, String, u16, Vec<u8>, prop::sample::Index, bool)>
        ) {
            let (mut writer, mut pieces) = (SegmentWriter::new(), Vec::new());
            let mut expected = Vec::new();
            for (uid, state, group, mut bytes, longer, taken) in parts {
                // Some are copied, some are not.
                bytes.resize(bytes.len() + longer.index(3) * 2_500, group as u8);
                let section = section(group, bytes);
                writer.add(&Uid::new(&uid), &state, &section).expect("short names");
                expected.push((uid, state, section));
                if taken {
                    pieces.append(&mut writer.take());
                }
            }
            let (mut last, entries) = writer.finish();
            pieces.append(&mut last);
            let bytes = pieces.concat();
            prop_assert_eq!(entries, expected.iter().map(|(_, _, s)| s.entries).sum::<u64>());
            let read: Vec<_> = block_on(async {
                let index = index_checksum(&bytes);
                let segment = Segment::open(stored(bytes), index).await.expect("whole");
                let mut read = Vec::new();
                for (index, s) in segment.sections().enumerate() {
                    let bytes = segment.read(index).await.expect("whole");
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
