//! State that is large in one way or another: a map of very many pairs, a list of as many values,
//! a value of 16 MB, very many timers.

use std::sync::Arc;

use crate::checkpoint::{SnapshotMode, StateSnapshot};
use crate::graph::Uid;
use crate::key::{KeyGroupRange, KeyHash};
use crate::state::cut::Budget;
use crate::state::tests::model::{GROUPS, hash_of};
use crate::state::{
    Declare, Keyed, ListState, MapState, ResidentMemory, Scope, StateStore, ValueState,
};
use crate::testing::TalliedSpillDoor;
use crate::time::Timestamp;
use crate::timer::Timers;

const MANY: u64 = 300_000;
const TEXT_BYTES: usize = 16 << 20;
const KEY: u16 = 7;

struct Large {
    spilled: TalliedSpillDoor,
    store: StateStore,
    text: ValueState<String>,
    map: MapState<u64, u64>,
    list: ListState<u64>,
    timers: Timers<u16>,
}

struct At<'a>(&'a mut StateStore);

impl Keyed for At<'_> {
    type Key = u16;
    fn scope(&mut self) -> Scope<'_, u16> {
        let (key, hash, timestamp) = (&KEY, hash_of(KEY), Timestamp::MIN);
        Scope { key, hash, state: self.0, timestamp }
    }
}

impl Large {
    fn new(range: KeyGroupRange) -> Large {
        let mut op = Declare::<u16>::new(range, true);
        let (text, map, list) = (op.value("text"), op.map("map"), op.list("list"));
        let timers = op.timers();
        let mut store = op.finish().0;
        let (memory, spilled) =
            (Arc::new(ResidentMemory::new(usize::MAX)), TalliedSpillDoor::default());
        store.limit(memory, Some(Arc::new(spilled.clone())), (&Uid::new("test"), 0));
        Large { spilled, store, text, map, list, timers }
    }

    fn whole() -> Large {
        Large::new(KeyGroupRange::all(GROUPS))
    }

    fn delta(&mut self) -> Vec<StateSnapshot> {
        self.store.snapshot(SnapshotMode::Delta).expect("encodes")
    }

    fn restored(range: KeyGroupRange, stored: &[StateSnapshot]) -> Large {
        let mut large = Large::new(range);
        for state in stored {
            for section in state.sections.iter().filter(|s| range.contains(s.group)) {
                let done = large.store.restore(&state.state, section.group, &section.bytes);
                done.expect("what was written can be read");
            }
        }
        large
    }
}

fn bytes(snapshot: &[StateSnapshot]) -> usize {
    snapshot.iter().flat_map(|state| &state.sections).map(|section| section.bytes.len()).sum()
}

/// Length and sum of the map, then of the list.
fn walked(large: &mut Large) -> [(u64, u64); 2] {
    let add = |(len, sum): (u64, u64), n: &u64| (len + 1, sum + n);
    let at = &mut At(&mut large.store);
    let map = large.map.iter(at).expect("reads").map(|(_, n)| n).fold((0, 0), add);
    let list = large.list.iter(at).expect("reads").fold((0, 0), add);
    [map, list]
}

#[test]
fn a_change_of_very_many_is_a_small_write_and_they_are_walked_when_spilled() {
    let mut large = Large::whole();
    let at = &mut At(&mut large.store);
    for n in 0..MANY {
        large.map.insert(at, n, n).expect("inserts");
    }
    large.list.set(at, (0..MANY).collect()).expect("sets");
    large.text.set(at, "riverrun".repeat(TEXT_BYTES / 8)).expect("sets");
    let mut stored = large.delta();
    assert!(bytes(&stored) > TEXT_BYTES);
    (0..3).for_each(|state| large.store.evict(state, usize::MAX));
    let at = &mut At(&mut large.store);
    large.map.insert(at, 5, 6).expect("inserts");
    large.map.insert(at, MANY, 1).expect("inserts");
    large.list.push(at, 9).expect("pushes");
    let changes = large.delta();
    assert!(bytes(&changes) < 100, "{} bytes", bytes(&changes));
    stored.extend(changes);
    let sum = MANY * (MANY - 1) / 2;
    let wanted = [(MANY + 1, sum + 2), (MANY + 1, sum + 9)];
    let before = large.spilled.bytes();
    (0..3).for_each(|state| large.store.evict(state, usize::MAX));
    let spilled = large.spilled.bytes() - before;
    assert!(spilled < 100, "{spilled} bytes are spilled anew");
    assert_eq!(walked(&mut large), wanted, "back from the spill");
    let mut restored = Large::restored(KeyGroupRange::all(GROUPS), &stored);
    assert_eq!(walked(&mut restored), wanted, "restored");
    let at = &mut At(&mut restored.store);
    assert_eq!(restored.text.get(at).expect("reads").map(String::len), Some(TEXT_BYTES));
}

/// Moment and key of timer `n`: a few at one moment, many moments, in no order.
fn timer(n: u64) -> (Timestamp, u16, KeyHash) {
    let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let (moment, key) = (mixed % 40_000, (n % 1_000) as u16);
    (Timestamp::from_millis(moment as i64), key, hash_of(key))
}

fn fire(large: &mut Large, until: Timestamp) -> Vec<(Timestamp, u16)> {
    let timers = large.store.get_mut(large.timers.event);
    let pop = || timers.pop_due(until).expect("reads");
    std::iter::from_fn(pop).map(|(at, key, _)| (at, key)).collect()
}

#[test]
fn a_list_that_is_read_and_spilled_after_every_push_stays_in_few_rows() {
    let mut large = Large::whole();
    let rows = |large: &mut Large| {
        let before = large.spilled.bytes();
        large.store.evict(2, usize::MAX);
        large.spilled.bytes() - before
    };
    large.list.set(&mut At(&mut large.store), (0..500).collect()).expect("sets");
    let whole = rows(&mut large);
    let mut written = 0;
    for n in 0..1_000 {
        let at = &mut At(&mut large.store);
        large.list.push(at, n).expect("pushes");
        assert_eq!(large.list.len(at).expect("reads"), 501 + n as usize);
        written += rows(&mut large);
    }
    let anew = written / whole;
    assert!((3..60).contains(&anew), "written anew {anew} times, not each time and not never");
    assert_eq!(walked(&mut large)[1].0, 1_500);
}

#[test]
fn a_list_that_has_left_memory_is_added_to_without_being_read() {
    const ADDED: u64 = 100;
    let mut large = Large::whole();
    large.list.set(&mut At(&mut large.store), (0..MANY).collect()).expect("sets");
    let mut stored = large.delta();
    large.store.evict(2, usize::MAX);
    let before = large.spilled.bytes();
    let asked = |large: &Large| (large.spilled.reads(), large.spilled.walks());
    let before_asked = asked(&large);
    for n in 0..ADDED {
        large.list.push(&mut At(&mut large.store), MANY + n).expect("pushes");
        // In memory for two more, for the next checkpoint, and gone before that.
        if n % 3 == 1 {
            large.store.evict(2, usize::MAX);
        }
        if n % 7 == 6 {
            let changes = large.delta();
            assert!(bytes(&changes) < 7 * 50, "{} bytes", bytes(&changes));
            stored.extend(changes);
        }
    }
    stored.extend(large.delta());
    large.store.evict(2, usize::MAX);
    assert_eq!(asked(&large), before_asked, "nothing is read");
    let written = large.spilled.bytes() - before;
    assert!(written < 50 * ADDED as usize, "{written} bytes");
    let sizes: Vec<usize> = large.store.sizes().map(|(_, entries)| entries).collect();
    assert_eq!(sizes[2], 1, "it is one list");
    let in_order = |large: &mut Large| {
        let at = &mut At(&mut large.store);
        let mut values = large.list.iter(at).expect("reads").copied();
        (0..MANY + ADDED).all(|n| values.next() == Some(n)) && values.next().is_none()
    };
    assert!(in_order(&mut large), "put together");
    large.store.evict(2, usize::MAX);
    assert!(in_order(&mut large), "from the spill");
    let mut restored = Large::restored(KeyGroupRange::all(GROUPS), &stored);
    assert!(in_order(&mut restored), "restored");
    let full = large.store.snapshot(SnapshotMode::Full).expect("encodes");
    let mut restored = Large::restored(KeyGroupRange::all(GROUPS), &full);
    assert!(in_order(&mut restored), "restored from all");
}

#[test]
fn very_many_timers_fire_in_order_through_a_restore_at_two_subtasks() {
    const TIMERS: u64 = 300_000;
    let mut large = Large::whole();
    let set = |large: &mut Large, timers: std::ops::Range<u64>| {
        for (at, key, hash) in timers.map(timer) {
            large.store.get_mut(large.timers.event).set(at, hash, &key).expect("sets");
        }
    };
    set(&mut large, 0..TIMERS / 3);
    let mut stored = large.delta();
    set(&mut large, TIMERS / 3..2 * TIMERS / 3);
    let mut fired = fire(&mut large, Timestamp::from_millis(20_000));
    large.store.cut(SnapshotMode::Delta).expect("encodes");
    let (mut steps, mut next) = (0, 2 * TIMERS / 3);
    while !large.store.write_within(&mut Budget { entries: 512 }).expect("encodes") {
        // What is set behind the barrier is no part of it.
        let until = TIMERS.min(next + 100);
        set(&mut large, next..until);
        (steps, next) = (steps + 1, until);
    }
    assert!(steps > 50, "written in {steps} steps");
    stored.extend(large.store.take_snapshot());
    let before = (0..2 * TIMERS / 3).map(timer);
    let mut wanted: Vec<_> = before.map(|(at, key, _)| (at, key)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    for subtask in 0..2 {
        let range = KeyGroupRange::of_subtask(subtask, 2, GROUPS);
        let rest = fire(&mut Large::restored(range, &stored), Timestamp::MAX);
        assert!(rest.is_sorted(), "by moment, then by key");
        fired.extend(rest);
    }
    fired.sort_unstable();
    assert!(fired == wanted, "each that was set before the barrier fires once");
}
