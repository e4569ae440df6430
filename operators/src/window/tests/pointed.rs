//! The moments at which window operators usually go wrong, one by one.

use riverrun_engine::erased::open_operator;
use riverrun_engine::graph::OpenOperator;
use riverrun_engine::key::{KEY_GROUPS, KeyHasher};
use riverrun_engine::output::SideOutput;
use riverrun_engine::state::Declare;
use riverrun_engine::testing::OperatorHarness;
use riverrun_engine::time::{Timestamp, hours};

use super::Items;
use super::driver::{Driver, Record, Room, batch};
use crate::window::slices::Grid;
use crate::window::{Count, Late, SessionOperator, SlicedOperator, Windowed};

const LATE: SideOutput<i64> = SideOutput::new("late");

fn sliced(size: i64, step: i64, side: Option<SideOutput<i64>>) -> OpenOperator {
    let grid = Grid::new(size, step, 0);
    open_operator::<u64, _, _>(move |declare: &mut Declare<u64>| {
        SlicedOperator::<u64, i64, Items>::open(declare, grid, Late::new(side))
    })
}

fn sessions(gap: i64, side: Option<SideOutput<i64>>) -> OpenOperator {
    open_operator::<u64, _, _>(move |declare: &mut Declare<u64>| {
        SessionOperator::<u64, i64, Items>::open(declare, gap, Late::new(side))
    })
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

/// Hands over records of key 7; the item is the timestamp.
fn push(harness: &mut OperatorHarness, moments: &[i64]) {
    let records: Vec<Record> = moments.iter().map(|ms| (7, *ms, *ms)).collect();
    harness.process(batch(&records)).expect("takes records");
}

/// Moves event time; what fires, as `[start, end) items`.
fn fired(harness: &mut OperatorHarness, watermark: i64) -> Vec<String> {
    harness.watermark(at(watermark)).expect("fires");
    let results = harness.take::<Windowed<u64, Items>>().into_iter();
    results.map(|(r, _)| format!("{} {:?}", r.window, r.value.0)).collect()
}

#[test]
fn a_window_ends_before_its_end_and_fires_at_it() {
    let mut harness = OperatorHarness::open(&sliced(10, 10, None));
    push(&mut harness, &[0, 9, 10, -1]);
    assert_eq!(fired(&mut harness, -1), Vec::<String>::new());
    assert_eq!(fired(&mut harness, 0), ["[-10, 0) [-1]"]);
    assert_eq!(fired(&mut harness, 9), Vec::<String>::new());
    assert_eq!(fired(&mut harness, 10), ["[0, 10) [0, 9]"]);
    assert_eq!(fired(&mut harness, 10), Vec::<String>::new());
    push(&mut harness, &[9]);
    assert_eq!(harness.metrics().late_dropped.get(), 1);
    assert_eq!(fired(&mut harness, 20), ["[10, 20) [10]"]);
}

#[test]
fn a_record_that_is_late_for_some_windows_reaches_the_others() {
    let mut harness = OperatorHarness::open(&sliced(30, 10, Some(LATE)));
    push(&mut harness, &[5]);
    assert_eq!(fired(&mut harness, 10), ["[-20, 10) [5]"]);
    push(&mut harness, &[6]);
    assert_eq!(fired(&mut harness, 29), ["[-10, 20) [5, 6]"]);
    push(&mut harness, &[7]);
    assert_eq!(fired(&mut harness, 30), ["[0, 30) [5, 6, 7]"]);
    push(&mut harness, &[8]);
    assert_eq!(harness.take_side(LATE), [(8, at(8))]);
    assert_eq!(harness.metrics().late_side.get(), 1);
    assert_eq!(harness.metrics().late_dropped.get(), 0);
}

#[test]
fn what_has_fired_does_not_fire_again_after_a_restore() {
    let open = sliced(30, 10, None);
    let mut harness = OperatorHarness::open(&open);
    push(&mut harness, &[5]);
    let mut snapshot = harness.snapshot().expect("encodes");
    assert_eq!(fired(&mut harness, 12).len(), 1);
    harness.extend(&mut snapshot).expect("encodes");
    let mut harness = OperatorHarness::restore(&open, &snapshot).expect("restores");
    assert_eq!(fired(&mut harness, i64::MAX), ["[-10, 20) [5]", "[0, 30) [5]"]);
}

#[test]
fn a_leap_over_years_to_the_end_of_time_visits_only_what_is_there() {
    let year = i64::try_from(hours(24 * 365).as_millis()).expect("fits");
    let mut harness = OperatorHarness::open(&sliced(4, 2, None));
    push(&mut harness, &[1, year, 290_000_000 * year, i64::MAX, i64::MIN]);
    assert_eq!(fired(&mut harness, i64::MAX).len(), 2 + 2 + 2 + 2 + 1);
    assert_eq!(harness.state_size("slices-2ms"), 0);

    let mut harness = OperatorHarness::open(&sessions(4, None));
    push(&mut harness, &[1, year, 290_000_000 * year, i64::MAX, i64::MIN]);
    let last = format!("[max, max) [{}]", i64::MAX);
    let rows = fired(&mut harness, i64::MAX);
    assert_eq!((rows.len(), rows.last()), (5, Some(&last)));
}

#[test]
fn windows_that_end_at_and_after_the_last_moment_are_told_apart() {
    let open = sliced(2, 1, None);
    let mut harness = OperatorHarness::open(&open);
    push(&mut harness, &[i64::MAX, i64::MAX - 1]);
    let (last, before) = (i64::MAX, i64::MAX - 1);
    let wanted = [
        format!("[{}, max) [{before}]", before - 1),
        format!("[{before}, max) [{before}, {last}]"),
        format!("[max, max) [{last}]"),
    ];
    assert_eq!(fired(&mut harness, i64::MAX), wanted);
    let snapshot = harness.snapshot().expect("encodes");
    let mut harness = OperatorHarness::restore(&open, &snapshot).expect("restores");
    assert_eq!(fired(&mut harness, i64::MAX), Vec::<String>::new());
}

#[test]
fn firing_comes_in_parts() {
    let open = open_operator::<u64, _, _>(|declare: &mut Declare<u64>| {
        SlicedOperator::<u64, i64, Count>::open(declare, Grid::new(60, 10, 0), Late::new(None))
    });
    let mut driver = Driver::open(&open, 1, Room::Plenty);
    let records: Vec<Record> = (0..20_000).map(|key| (key, 0, 0)).collect();
    driver.process(&records);
    assert_eq!(driver.watermark::<Count>(i64::MAX).len(), 6 * 20_000);
    assert!(driver.most_batches <= 6, "{} batches in one call", driver.most_batches);

    let mut driver = Driver::open(&sessions(10, None), 1, Room::Plenty);
    driver.process(&records);
    assert_eq!(driver.watermark::<Items>(i64::MAX).len(), 20_000);
    assert!(driver.most_batches <= 1, "{} batches in one call", driver.most_batches);
}

#[test]
fn records_exactly_a_gap_apart_are_one_session() {
    let mut harness = OperatorHarness::open(&sessions(10, None));
    push(&mut harness, &[0, 10, 21]);
    assert_eq!(fired(&mut harness, 19), Vec::<String>::new());
    assert_eq!(fired(&mut harness, 20), ["[0, 20) [0, 10]"]);
    assert_eq!(fired(&mut harness, 31), ["[21, 31) [21]"]);
    assert_eq!(harness.state_size("sessions"), 0);
    assert_eq!(harness.state_size("#event-timers"), 0);
}

#[test]
fn a_late_record_opens_no_session_but_may_fuse_two() {
    let mut harness = OperatorHarness::open(&sessions(10, Some(LATE)));
    push(&mut harness, &[100, 118]);
    assert_eq!(harness.state_size("#event-timers"), 2);
    assert_eq!(fired(&mut harness, 105), Vec::<String>::new());
    push(&mut harness, &[80, 95, 109]);
    assert_eq!(harness.take_side(LATE), [(80, at(80))]);
    assert_eq!(harness.state_size("#event-timers"), 1);
    assert_eq!(fired(&mut harness, 127), Vec::<String>::new());
    assert_eq!(fired(&mut harness, 128), ["[95, 128) [95, 100, 109, 118]"]);
    push(&mut harness, &[118]);
    assert_eq!(harness.take_side(LATE), [(118, at(118))]);
    assert_eq!(harness.state_size("sessions"), 0);
}

#[test]
fn a_session_survives_a_restore_with_its_timer() {
    let open = sessions(10, None);
    let mut harness = OperatorHarness::open(&open);
    push(&mut harness, &[0]);
    let mut snapshot = harness.snapshot().expect("encodes");
    push(&mut harness, &[9]);
    assert_eq!(fired(&mut harness, 10), Vec::<String>::new());
    harness.extend(&mut snapshot).expect("encodes");
    let mut harness = OperatorHarness::restore(&open, &snapshot).expect("restores");
    assert_eq!(fired(&mut harness, 18), Vec::<String>::new());
    assert_eq!(fired(&mut harness, 19), ["[0, 19) [0, 9]"]);
}

#[test]
fn a_window_that_is_evicted_while_it_fires_loses_nothing() {
    // So many keys of one key group that they lie in several segments and fire in several calls.
    let mut hasher = KeyHasher::default();
    let mut hash = |key: &u64| hasher.hash(key).expect("integers are keys");
    let keys: Vec<u64> =
        (0..).filter(|key| hash(key).group(KEY_GROUPS).0 == 3).take(20_000).collect();
    for (size, step) in [(10, 10), (20, 10)] {
        let mut harness = OperatorHarness::open(&sliced(size, step, None));
        let records: Vec<Record> = keys.iter().map(|key| (*key, 1, 1)).collect();
        records.chunks(1000).for_each(|part| harness.process(batch(part)).expect("takes records"));
        harness.limit(100_000);
        harness.watermark(at(100)).expect("fires");
        let results = harness.take::<Windowed<u64, Items>>().len();
        assert_eq!(results, keys.len() * usize::try_from(size / step).expect("small"));
    }
}
