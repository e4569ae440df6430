//! Where a run may begin, as tables; and what reaches which subtask.

use std::collections::{BTreeMap, BTreeSet};

use riverrun_engine::compat::Restored;
use riverrun_engine::state::entry;

use super::*;
use crate::checkpoint::testing::{block_on, manifest, segment, spec, take};

const STORED: &[CheckpointId] = &[CheckpointId(3), CheckpointId(5), CheckpointId(8)];

fn named(text: &str) -> From {
    From::Checkpoint(text.to_owned())
}

fn code(from: &From, accept: bool, stored: &[CheckpointId], decided: Decided) -> String {
    match choose(from, accept, stored, decided) {
        Ok(Choice::Beginning) => "beginning".into(),
        Ok(Choice::Own(id)) => id.to_string(),
        Ok(Choice::Other { path, checkpoint }) => format!("{path}#{checkpoint}"),
        Err(error) => error.to_string()[..6].to_owned(),
    }
}

fn at(id: u64) -> Decided {
    Some(Some(CheckpointId(id)))
}

#[test]
fn the_newest_is_what_is_committed_and_never_less() {
    let newest = |stored, decided| code(&From::Newest, false, stored, decided);
    assert_eq!(newest(&[], None), "beginning");
    assert_eq!(newest(STORED, None), "8");
    assert_eq!(newest(&[], Some(None)), "beginning");
    assert_eq!(newest(STORED, Some(None)), "RR0234", "the marker was lost");
    assert_eq!(newest(STORED, at(5)), "5", "8 was never committed");
    assert_eq!(newest(STORED, at(4)), "RR0233");
    assert_eq!(newest(&[], at(5)), "RR0233", "another store");
    assert_eq!(newest(&STORED[..1], at(0)), "beginning", "3 was never committed");
}

#[test]
fn going_back_needs_the_users_word() {
    let refused = |from: &str, decided| code(&named(from), false, STORED, decided);
    let accepted = |from: &str, decided| code(&named(from), true, STORED, decided);
    assert_eq!(refused("5", None), "RR0232");
    assert_eq!(accepted("5", None), "5");
    assert_eq!(refused("8", None), "8");
    assert_eq!(refused("8", at(5)), "RR0235");
    assert_eq!(accepted("8", at(5)), "RR0235", "that would lose output, not double it");
    assert_eq!(refused("3", at(5)), "RR0232");
    assert_eq!(refused("4", None), "RR0231");
    assert_eq!(accepted("3", Some(None)), "3");
    assert_eq!(refused("3", Some(None)), "RR0234");
    assert_eq!(code(&From::Beginning, false, STORED, None), "RR0232");
    assert_eq!(code(&From::Beginning, true, STORED, None), "beginning");
    assert_eq!(code(&From::Beginning, false, &[], None), "beginning");
    assert_eq!(code(&From::Beginning, false, &[], at(4)), "RR0232");
    let error = choose(&named("5"), false, STORED, None).expect_err("older").to_string();
    assert!(error.contains("appear twice") && error.contains("--accept-duplicates"), "{error}");
}

#[test]
fn another_store_is_for_a_job_without_a_past() {
    let other = |accept, stored, decided| code(&named("/a#b#7"), accept, stored, decided);
    assert_eq!(other(false, &[], None), "/a#b#7");
    assert_eq!(other(false, STORED, None), "RR0232", "the second start with the same command");
    assert_eq!(other(true, STORED, None), "/a#b#7");
    assert_eq!(other(false, &[], at(7)), "/a#b#7", "the store was moved");
    assert_eq!(other(false, &[], at(9)), "RR0232");
    for wrong in ["", "x", "#7", "a#", "a#x", "-1"] {
        assert_eq!(code(&named(wrong), true, STORED, None), "RR0230", "'{wrong}'");
    }
}

#[test]
fn a_run_begins_where_the_store_says_and_counts_on() {
    let store = CheckpointStore::open("memory://begin").expect("opens");
    let options = RunOptions::default();
    block_on(async {
        let begun = begin(&store, "cards", &options, None).await.expect("empty");
        assert!(matches!(begun.start, Start::Beginning));
        assert_eq!(begun.next, CheckpointId(1));
        let first = take(&store, 1, "a", None).await.expect("writes");
        take(&store, 2, "a", Some(&first)).await.expect("writes");

        let one_of = |attempt: &str| {
            let (checkpoint, attempt) = (CheckpointId(1), attempt.to_owned());
            Some(Some(CheckpointName { checkpoint, attempt }))
        };
        let other = begin(&store, "cards", &options, one_of("b")).await.expect_err("another's 1");
        assert!(other.to_string().starts_with("RR0237"), "{other}");
        let begun = begin(&store, "cards", &options, one_of("a")).await.expect("whole");
        let Start::Restored(state) = begun.start else { panic!("there is one") };
        assert_eq!(state.manifest, first);
        assert_eq!(begun.next, CheckpointId(3), "2 is taken, though void");
        let other = begin(&store, "sessions", &options, None).await.expect_err("another job");
        assert!(other.to_string().starts_with("RR0210"), "{other}");

        let mut last = manifest(3, "a");
        last.kind = CheckpointKind::End;
        store.write_manifest(&last).await.expect("writes");
        let begun = begin(&store, "cards", &options, None).await.expect("whole");
        let Start::Finished(state) = begun.start else { panic!("the job had ended") };
        assert_eq!(state.manifest.checkpoint, CheckpointId(3));

        let elsewhere = CheckpointStore::open("memory://begin-elsewhere").expect("opens");
        let from = named("memory://begin#2");
        let options = RunOptions { from, ..RunOptions::default() };
        let begun = begin(&elsewhere, "cards", &options, None).await.expect("whole");
        let Start::Restored(state) = begun.start else { panic!("there is one") };
        assert!(!state.own);
        assert_eq!(begun.next, CheckpointId(3));
    });
}

fn plan(uid: &str) -> RestorePlan {
    let to = Restored { uid: Uid::new(uid), migrate_from: None };
    [((Uid::new("spend"), "sum".to_owned()), to)].into()
}

async fn state(name: &str) -> RestoredState {
    let store = CheckpointStore::open(&format!("memory://{name}")).expect("opens");
    let first = take(&store, 1, "a", None).await.expect("writes");
    take(&store, 2, "a", Some(&first)).await.expect("writes");
    RestoredState::load(&store, CheckpointId(2), "cards", true).await.expect("whole")
}

async fn all(mut sections: Sections) -> Vec<(String, KeyGroup, Bytes)> {
    let mut read = Vec::new();
    while let Some(next) = sections.next().await.expect("whole") {
        read.push(next);
    }
    read
}

#[test]
fn each_entry_reaches_one_subtask_in_order_at_any_parallelism() {
    let state = block_on(state("sections"));
    let (plan, uid) = (plan("total"), Uid::new("total"));
    for parallelism in [1, 2, 3, 128] {
        let mut seen = BTreeSet::new();
        for index in 0..parallelism {
            let range = KeyGroupRange::of_subtask(index, parallelism, 128);
            let mut order: BTreeMap<String, usize> = BTreeMap::new();
            let sections =
                block_on(all(state.sections_for(&plan, &uid, range, &[]).expect("open")));
            for (at, (name, _, bytes)) in sections.into_iter().enumerate() {
                assert_eq!(name, "sum");
                let entry = entry::read(&mut &bytes[..]).expect("entries").expect("one");
                let text = String::from_utf8(entry.value.to_vec()).expect("text");
                order.insert(text.clone(), at);
                assert!(seen.insert(text.clone()), "{text} twice");
                if let Some(group) = text.strip_prefix("entry 2 of ") {
                    let base = order.get(&format!("entry 1 of {group}"));
                    assert!(base.is_some_and(|base| *base < at), "deltas follow");
                }
            }
        }
        assert_eq!(seen.len(), 8);
    }
    let all = KeyGroupRange::all(128);
    let empty = |plan: &RestorePlan, uid: &Uid| {
        state.sections_for(plan, uid, all, &[]).expect("open").is_empty()
    };
    assert!(empty(&plan, &Uid::new("spend")), "was renamed");
    assert!(empty(&RestorePlan::new(), &uid), "was given up");
    state.files.close();
    assert!(state.sections_for(&plan, &uid, all, &[]).is_none());
}

#[test]
fn deltas_follow_only_what_did_not_change() {
    let mut state = block_on(state("continue"));
    let declared: BTreeMap<_, _> = [(Uid::new("spend"), vec![spec()])].into();
    assert!(state.may_continue(&plan("spend"), &declared));
    assert!(!state.may_continue(&plan("total"), &declared), "renamed");
    assert!(!state.may_continue(&RestorePlan::new(), &declared), "given up");
    let mut migrated = plan("spend");
    for to in migrated.values_mut() {
        to.migrate_from = Some(TypeShape::of::<u8>());
    }
    assert!(!state.may_continue(&migrated, &declared));
    assert_eq!(migrations_for(&migrated, &Uid::new("spend")).count(), 1);
    assert_eq!(migrations_for(&plan("spend"), &Uid::new("spend")).count(), 0);
    state.own = false;
    assert!(!state.may_continue(&plan("spend"), &declared), "lies elsewhere");
}

#[test]
fn a_key_group_beyond_the_last_is_refused() {
    let store = CheckpointStore::open("memory://groups").expect("opens");
    let error = block_on(async {
        let (bytes, entries) = segment(126..130, 1);
        let (id, mode) = (CheckpointId(1), riverrun_engine::checkpoint::SnapshotMode::Full);
        let entry = store.write_segment(id, "a", bytes, mode, entries).await.expect("writes");
        let mut manifest = manifest(1, "a");
        manifest.segments.push(entry);
        store.write_manifest(&manifest).await.expect("writes");
        RestoredState::load(&store, id, "cards", true).await.expect_err("no subtask owns it")
    });
    assert!(error.to_string().contains("key group 128"), "{error}");
}

/// The state of checkpoint 2 of a new store, opened and not read.
async fn lazy_state(name: &str) -> RestoredState {
    let store = CheckpointStore::open(&format!("memory://{name}")).expect("opens").lazy_from(1);
    let first = take(&store, 1, "a", None).await.expect("writes");
    take(&store, 2, "a", Some(&first)).await.expect("writes");
    RestoredState::load(&store, CheckpointId(2), "cards", true).await.expect("whole")
}

#[test]
fn what_is_read_later_holds_no_more_than_there_is_memory_for() {
    let state = block_on(lazy_state("read-later"));
    let (uid, range) = (Uid::new("spend"), KeyGroupRange::all(128));
    let held = state.files.get().expect("open").weight("spend", "sum", range).held;
    let later = |held_max| state.states_to_read_later(&uid, range, held_max).len();
    assert!(held > 100);
    assert_eq!((later(held - 1), later(held)), (0, 1));
    let half = KeyGroupRange { start: 0, end: 2, groups: 128 };
    assert_eq!(state.states_to_read_later(&uid, half, held / 2).len(), 1);
    let none = KeyGroupRange { start: 64, end: 128, groups: 128 };
    assert_eq!(state.states_to_read_later(&uid, none, held).len(), 0, "no rows there");
}

#[test]
fn what_is_held_of_files_goes_with_the_last_page_of_its_key_group() {
    use riverrun_engine::graph::Graph;
    use riverrun_engine::state::stored::{StoredPage, StoredRows, Wait};

    let state = block_on(lazy_state("held"));
    let range = KeyGroupRange { start: 0, end: 4, groups: 128 };
    let later = [ReadLater { name: "sum".to_owned(), kind: StateKind::Value }];
    let status = crate::status::JobStatus::of("cards", &Graph::default());
    let files = (state.files.get().expect("open"), CheckpointId(2));
    let mut rows =
        crate::checkpoint::lazy::read_later(files, "spend", &later, range, || status.one_cold());
    let rows = &mut rows[0];
    let ask = |rows: &mut crate::checkpoint::lazy::FileRows, group: u16| {
        let key = format!("k{group}");
        let found = rows.read(&[(KeyGroup(group), key.as_bytes())]).expect("whole");
        assert_eq!(found, [Some(format!("entry 2 of {group}").into_bytes())], "the newest");
        rows.bytes()
    };
    let one = ask(rows, 3);
    assert!(one > 0);
    assert!(ask(rows, 0) > one, "two key groups");
    let (mut whole, mut seen) = (0, 0);
    loop {
        match rows.page(Wait::Yes).expect("whole") {
            StoredPage::Rows(..) => seen += 1,
            StoredPage::Whole(_) => whole += 1,
            StoredPage::End => break,
            StoredPage::Later => unreachable!("it waits"),
        }
    }
    assert_eq!((whole, seen), (4, 4));
    assert_eq!(rows.bytes(), 0);
    // The table may still ask about a key group whose last page it has not taken.
    assert_eq!((ask(rows, 1), ask(rows, 3)), (0, 0));
}
