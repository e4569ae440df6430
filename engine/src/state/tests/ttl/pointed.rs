//! What must be so of a time to live in particular.

use super::plain::{Change, Subtask, TTL_MS};
use crate::checkpoint::{SnapshotMode, StateSnapshot};
use crate::key::KeyGroupRange;
use crate::state::Ttl;
use crate::state::tests::model::GROUPS;
use crate::time::{Timestamp, millis};

fn ttl(length: i64) -> Ttl {
    Ttl::since_write(millis(length.unsigned_abs()))
}

fn subtask(ttl: Ttl) -> Subtask {
    Subtask::new(KeyGroupRange::all(GROUPS), ttl)
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn sweep(subtask: &mut Subtask, now: i64, calls: usize) {
    subtask.store.reach(at(now));
    (0..calls).for_each(|_| subtask.store.sweep().expect("sweeps"));
}

fn delta(subtask: &mut Subtask) -> Vec<StateSnapshot> {
    subtask.store.snapshot(SnapshotMode::Delta).expect("encodes")
}

fn rows(snapshot: &[StateSnapshot]) -> u64 {
    snapshot.iter().flat_map(|state| &state.sections).map(|section| section.entries).sum()
}

fn restore(subtask: &mut Subtask, stored: &[StateSnapshot]) {
    for state in stored {
        for section in &state.sections {
            let done = subtask.store.restore(&state.state, section.group, &section.bytes);
            done.expect("what was written can be read");
        }
    }
}

#[test]
fn looking_leaves_no_mark() {
    let mut subtask = subtask(ttl(TTL_MS));
    for key in 0..200 {
        subtask.call(key, &Change::Set(1), at(0));
        subtask.call(key, &Change::Push(1), at(0));
        subtask.call(key, &Change::PutPair(1, 1), at(0));
    }
    delta(&mut subtask);
    sweep(&mut subtask, TTL_MS - 1, 100);
    assert_eq!(rows(&delta(&mut subtask)), 0);
    assert_eq!(subtask.entries(), 600);
}

#[test]
fn a_pair_that_ended_goes_from_checkpoints_while_its_map_lives() {
    let mut subtask = subtask(ttl(TTL_MS));
    let mut stored = Vec::new();
    for pair in 0..100 {
        let now = i64::from(pair) * TTL_MS / 4;
        subtask.store.reach(at(now));
        subtask.call(7, &Change::PutPair(pair, 1), at(now));
        sweep(&mut subtask, now, 20);
        stored.extend(delta(&mut subtask));
    }
    let mut restored = self::subtask(ttl(TTL_MS));
    restore(&mut restored, &stored);
    // Nothing is visible of a pair that ended, so it is counted among the rows.
    let all = restored.store.snapshot(SnapshotMode::Full).expect("encodes");
    assert!(rows(&all) <= 6, "{} rows", rows(&all));
}

#[test]
fn what_was_added_unread_may_end_before_what_it_was_added_to() {
    let mut subtask = subtask(ttl(TTL_MS));
    (0..50).for_each(|key| drop(subtask.call(key, &Change::Push(1), at(30))));
    subtask.store.evict(1, usize::MAX);
    (0..50).for_each(|key| drop(subtask.call(key, &Change::Push(2), at(0))));
    sweep(&mut subtask, TTL_MS + 10, 200);
    for key in 0..50 {
        assert_eq!(subtask.call(key, &Change::Iter, at(0)), [(0, 1)], "{key}");
    }
    sweep(&mut subtask, TTL_MS + 30, 200);
    assert_eq!(subtask.entries(), 0);
}

#[test]
fn a_list_is_not_written_anew_for_every_value_that_ends() {
    let mut subtask = subtask(ttl(TTL_MS * 100));
    let mut written = 0;
    for n in 0..20_000 {
        subtask.store.reach(at(n));
        subtask.call(7, &Change::Push(1), at(n));
        sweep(&mut subtask, n, 1);
        if n % 10 == 0 {
            let bytes = |s: StateSnapshot| s.sections.iter().map(|s| s.bytes.len()).sum::<usize>();
            written += delta(&mut subtask).into_iter().map(bytes).sum::<usize>();
        }
    }
    assert!(written < 20_000 * 40, "{written} bytes for 20000 values");
    assert_eq!(subtask.call(7, &Change::Len, at(0)), [(0, (TTL_MS * 100) as u64)]);
}

#[test]
fn however_fast_they_come_those_that_ended_are_not_many_more_than_those_that_live() {
    const BATCH: u16 = 500;
    let mut subtask = subtask(ttl(TTL_MS));
    let (mut most, mut key) = (0, 0_u16);
    for now in 0..400 {
        subtask.store.reach(at(now));
        for _ in 0..BATCH {
            subtask.call(key, &Change::Set(1), at(now));
            key = key.wrapping_add(1);
        }
        sweep(&mut subtask, now, 1);
        most = most.max(subtask.entries());
    }
    let live = usize::from(BATCH) * TTL_MS as usize;
    assert!(most < live * 5 / 2, "{most} entries where {live} live");
}

#[test]
fn a_shorter_time_to_live_is_that_of_what_is_written_from_then_on() {
    let mut before = subtask(ttl(1000));
    before.call(1, &Change::Set(1), at(0));
    let stored = delta(&mut before);
    let mut subtask = subtask(ttl(TTL_MS));
    restore(&mut subtask, &stored);
    sweep(&mut subtask, 1, 20);
    subtask.call(2, &Change::Set(2), at(1));
    sweep(&mut subtask, TTL_MS + 1, 20);
    assert_eq!(subtask.entries(), 1);
    assert_eq!(subtask.call(1, &Change::Get, at(0)), [(0, 1)]);
    sweep(&mut subtask, 1000, 20);
    assert_eq!(subtask.entries(), 0);
}

#[test]
fn a_longer_time_to_live_brings_back_nothing() {
    let mut before = subtask(ttl(TTL_MS));
    before.call(1, &Change::Set(1), at(0));
    before.store.reach(at(TTL_MS));
    let stored = delta(&mut before);
    assert_eq!(before.entries(), 1, "it was not swept");
    let mut subtask = subtask(ttl(1000));
    restore(&mut subtask, &stored);
    subtask.store.reach(at(TTL_MS));
    assert_eq!(subtask.call(1, &Change::Get, at(0)), []);
}
