//! What may go: facts in, decision out, no I/O. Called by [`super::CheckpointStore::retain`].
//!
//! Rules:
//!
//! 1. Savepoints stay, those that stopped the job too.
//! 2. Of the others the newest `keep` (at least one) up to the committed one stay, and all newer
//!    ones: after a crash the deciding participant may still name any of them.
//! 3. A segment or run stays as long as a manifest that stays names it: deltas need what they
//!    follow.
//! 4. A segment or run that no manifest names goes if it is not newer than the newest manifest, or
//!    was written by another attempt. So one that is being written now is never touched, nor the
//!    one of a checkpoint that failed after it: the next manifest may name it.
//! 5. A file that is pinned stays: a merge reads it, or has written it for the next manifest.
//! 6. A file whose name is not ours stays.

use std::collections::{BTreeMap, BTreeSet};

use riverrun_engine::checkpoint::{CheckpointId, CheckpointKind};
use riverrun_engine::planted;

use super::manifest::Manifest;
use super::names;

/// What retention must know of a complete checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complete {
    /// Its kind.
    pub kind: CheckpointKind,
    /// The files it names.
    pub files: Vec<String>,
}

impl From<&Manifest> for Complete {
    fn from(manifest: &Manifest) -> Self {
        let files = manifest.files().map(|file| file.file.to_owned());
        Complete { kind: manifest.kind, files: files.collect() }
    }
}

/// What lies in a store, and what is wished.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// All manifests.
    pub complete: &'a BTreeMap<CheckpointId, Complete>,
    /// All files under `segments/` and `runs/`.
    pub files: &'a [String],
    /// Those that a merge reads or has written.
    pub pinned: &'a BTreeSet<String>,
    /// How many checkpoints stay, beside savepoints.
    pub keep: usize,
    /// The newest checkpoint whose output is known to be committed.
    pub committed: CheckpointId,
    /// The attempt that runs.
    pub attempt: &'a str,
}

/// What goes: manifests first, then files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Their manifests go.
    pub checkpoints: Vec<CheckpointId>,
    /// These files go.
    pub files: Vec<String>,
}

/// Decides what goes.
#[must_use]
pub fn decide(facts: &Facts<'_>) -> Removal {
    let candidates = facts.complete.range(..=facts.committed);
    let ordinary = candidates.filter(|(_, c)| !c.kind.is_pinned());
    let mut checkpoints: Vec<CheckpointId> =
        ordinary.rev().skip(facts.keep.max(1)).map(|(id, _)| *id).collect();
    checkpoints.reverse();
    let stays = |id: &CheckpointId| checkpoints.binary_search(id).is_err();
    let named: BTreeSet<&str> = facts
        .complete
        .iter()
        .filter(|(id, _)| stays(id))
        .flat_map(|(_, complete)| complete.files.iter().map(String::as_str))
        .collect();
    let newest = facts.complete.keys().next_back();
    let goes = |file: &&String| {
        let eager = planted!("clean.named.removed") && file.starts_with(names::SEGMENTS);
        (eager || !named.contains(file.as_str()))
            && !facts.pinned.contains(*file)
            && names::parse_state(file).is_some_and(|(id, attempt)| {
                newest.is_some_and(|newest| id <= *newest) || attempt != facts.attempt
            })
    };
    let files = facts.files.iter().filter(goes).cloned().collect();
    Removal { checkpoints, files }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn complete(kinds: &[(u64, CheckpointKind)]) -> BTreeMap<CheckpointId, Complete> {
        let one = |(id, kind): &(u64, CheckpointKind)| {
            (CheckpointId(*id), Complete { kind: *kind, files: Vec::new() })
        };
        kinds.iter().map(one).collect()
    }

    static NONE: BTreeSet<String> = BTreeSet::new();

    fn facts_of(
        complete: &BTreeMap<CheckpointId, Complete>,
        keep: usize,
        committed: CheckpointId,
    ) -> Facts<'_> {
        Facts { complete, files: &[], pinned: &NONE, keep, committed, attempt: "a" }
    }

    #[test]
    fn what_is_not_yet_committed_does_not_push_out_what_is() {
        let all = [(1, CheckpointKind::Periodic), (2, CheckpointKind::Periodic)];
        let all = complete(&all);
        let mut facts = facts_of(&all, 1, CheckpointId(1));
        assert_eq!(decide(&facts), Removal::default(), "a crash now may have to restore 1");
        facts.committed = CheckpointId(2);
        assert_eq!(decide(&facts).checkpoints, vec![CheckpointId(1)]);
        facts.keep = 0;
        assert_eq!(decide(&facts).checkpoints, vec![CheckpointId(1)], "one always stays");
    }

    #[test]
    fn savepoints_stay_and_do_not_count() {
        use CheckpointKind::{End, Periodic, Savepoint, Stop};
        let all = complete(&[(1, Savepoint), (2, Stop), (3, Periodic), (4, Savepoint), (5, End)]);
        let facts = facts_of(&all, 2, CheckpointId(5));
        assert_eq!(decide(&facts).checkpoints, vec![CheckpointId(2)]);
    }

    fn kinds() -> impl Strategy<Value = CheckpointKind> {
        prop_oneof![
            4 => Just(CheckpointKind::Periodic),
            1 => Just(CheckpointKind::Savepoint),
            1 => Just(CheckpointKind::StopSavepoint),
            1 => Just(CheckpointKind::Stop),
        ]
    }

    /// Segments and runs of attempts `a0` to `a2`.
    fn file(id: u64, attempt: u8) -> String {
        let (id, name) = (CheckpointId(id), format!("a{attempt}"));
        let file = match id.0 % 3 {
            0 => names::run(id, &name, 7),
            1 => names::squashed(id, &name, 7),
            _ => names::segment(id, &name),
        };
        file.expect("a name")
    }

    proptest! {
        #[test]
        fn nothing_named_goes_and_no_orphan_stays(
            written in prop::collection::btree_map(
                1..30_u64, (kinds(), prop::collection::vec((1..30_u64, 0..3_u8), 0..6)), 0..12),
            orphans in prop::collection::vec((1..40_u64, 0..3_u8), 0..12),
            pins in prop::collection::vec((1..40_u64, 0..3_u8), 0..4),
            keep in 0..5_usize,
            committed in 0..35_u64,
        ) {
            let complete: BTreeMap<_, _> = written.iter().map(|(id, (kind, chain))| {
                let files = chain.iter().map(|(id, attempt)| file(*id, *attempt)).collect();
                (CheckpointId(*id), Complete { kind: *kind, files })
            }).collect();
            let named = complete.values().flat_map(|c| c.files.clone());
            let all: BTreeSet<_> =
                named.chain(orphans.iter().map(|(id, attempt)| file(*id, *attempt))).collect();
            let foreign = "segments/notes.txt".to_owned();
            let files: Vec<_> = all.into_iter().chain([foreign.clone()]).collect();
            let committed = CheckpointId(committed);
            let (complete, files) = (&complete, &files);
            let pinned = &pins.iter().map(|(id, attempt)| file(*id, *attempt)).collect();
            let facts = Facts { complete, files, pinned, keep, committed, attempt: "a1" };
            let removal = decide(&facts);

            let kept: BTreeMap<_, _> =
                complete.iter().filter(|(id, _)| !removal.checkpoints.contains(id)).collect();
            for (id, one) in &kept {
                for segment in &one.files {
                    prop_assert!(!removal.files.contains(segment), "{id} needs {segment}");
                }
            }
            for (id, one) in complete {
                let pinned = one.kind.is_pinned() || *id > committed;
                prop_assert!(!pinned || kept.contains_key(id), "{id} was pinned");
            }
            prop_assert!(complete.is_empty() || !kept.is_empty());
            prop_assert!(!removal.files.contains(&foreign));
            let newest = complete.keys().next_back().map_or(0, |id| id.0);
            for (id, attempt) in &orphans {
                let file = file(*id, *attempt);
                let needed = kept.values().any(|c| c.files.contains(&file));
                let writing = *id > newest && *attempt == 1;
                let stays = needed || writing || pinned.contains(&file);
                prop_assert_eq!(removal.files.contains(&file), !stays);
            }
        }
    }
}
