//! Ten thousand checkpoints as numbers: what is written, how many files, how much space.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const GROUPS: u16 = 128;

/// A job whose every row takes the same bytes: in a delta, and (packed) in a run.
struct Sim {
    row: u64,
    packed: u64,
    live: BTreeSet<u64>,
    runs: Vec<RunFact>,
    /// Each with the rows it holds.
    segments: Vec<(SegmentFact, BTreeSet<u64>)>,
    taken: u64,
    delta_bytes: u64,
    merge_bytes: u64,
    most_files: usize,
    /// The most bytes beyond twice and three times the state.
    most_bytes: u64,
}

fn group(row: u64) -> u16 {
    (riverrun_engine::key::hash_bytes(&row.to_be_bytes()).group(GROUPS)).0
}

impl Sim {
    fn new(row: u64, packed: u64) -> Self {
        Sim {
            row,
            packed,
            live: BTreeSet::new(),
            runs: Vec::new(),
            segments: Vec::new(),
            taken: 0,
            delta_bytes: 0,
            merge_bytes: 0,
            most_files: 0,
            most_bytes: 0,
        }
    }

    fn fact(&self, checkpoint: u64, full: bool, rows: &BTreeSet<u64>) -> SegmentFact {
        let mut by_group = vec![0; GROUPS.into()];
        for row in rows {
            by_group[usize::from(group(*row))] += self.row;
        }
        SegmentFact { checkpoint: CheckpointId(checkpoint), full, by_group }
    }

    fn upto(&self, group: u16) -> u64 {
        let run = self.runs.iter().find(|run| (run.first..=run.last).contains(&group));
        run.map_or(0, |run| run.upto.0)
    }

    /// A checkpoint that holds `rows`, then at most one merge.
    fn take(&mut self, full: bool, rows: BTreeSet<u64>) {
        self.taken += 1;
        self.live.extend(&rows);
        self.delta_bytes += rows.len() as u64 * self.row;
        if full {
            self.runs.clear();
            self.segments.clear();
        }
        self.segments.push((self.fact(self.taken, full, &rows), rows));
        let segments: Vec<_> = self.segments.iter().map(|(fact, _)| fact.clone()).collect();
        let (groups, small_min, segments_max) = (GROUPS, SMALL_MIN, SEGMENTS_MAX);
        let facts =
            Facts { runs: &self.runs, segments: &segments, groups, small_min, segments_max };
        match decide(&facts) {
            Some(Order::Merge { first, last, groups_a_run }) => {
                self.merge(first, last, groups_a_run);
            }
            Some(Order::Squash { first, last }) => self.squash(first, last),
            None => {}
        }
        self.forget();
        let files = self.runs.len() + self.segments.len();
        self.most_files = self.most_files.max(files);
        self.most_bytes = self.most_bytes.max(self.bytes());
    }

    fn bytes(&self) -> u64 {
        let segments = self.segments.iter().map(|(fact, _)| fact.by_group.iter().sum::<u64>());
        self.runs.iter().map(|run| run.bytes).sum::<u64>() + segments.sum::<u64>()
    }

    fn merge(&mut self, first: u16, last: u16, groups_a_run: u16) {
        let crosses = |run: &RunFact| {
            let inside = run.first >= first && run.last <= last;
            !inside && run.first <= last && run.last >= first
        };
        assert!(!self.runs.iter().any(crosses), "a run crosses {first}..={last}");
        self.runs.retain(|run| run.first > last || run.last < first);
        let mut rows = BTreeMap::<u16, u64>::new();
        for row in &self.live {
            *rows.entry(group(*row)).or_default() += 1;
        }
        let mut from = first;
        for at in first..=last {
            if at == last || (at + 1) % groups_a_run == 0 {
                let rows: u64 = rows.range(from..=at).map(|(_, rows)| rows).sum();
                let (upto, bytes) = (CheckpointId(self.taken), rows * self.packed);
                self.runs.push(RunFact { first: from, last: at, upto, bytes });
                self.merge_bytes += bytes;
                from = at + 1;
            }
        }
        self.runs.sort_by_key(|run| run.first);
    }

    fn squash(&mut self, first: usize, last: usize) {
        let window: Vec<_> = self.segments.drain(first..=last).collect();
        let mut rows = BTreeSet::new();
        for (fact, held) in &window {
            assert!(!fact.full, "a full segment is no delta");
            let lives = |row: &&u64| self.upto(group(**row)) < fact.checkpoint.0;
            rows.extend(held.iter().filter(lives));
        }
        let last = window.last().map_or(0, |(fact, _)| fact.checkpoint.0);
        let fact = self.fact(last, false, &rows);
        self.merge_bytes += fact.by_group.iter().sum::<u64>();
        self.segments.insert(first, (fact, rows));
    }

    /// What no key group needs is not named any more.
    fn forget(&mut self) {
        let upto: Vec<_> = (0..GROUPS).map(|group| self.upto(group)).collect();
        self.segments.retain(|(fact, _)| {
            let mut groups = fact.by_group.iter().zip(&upto);
            groups.any(|(bytes, upto)| *bytes > 0 && *upto < fact.checkpoint.0)
        });
    }

    fn check(&self, what: &str, amplification_max: f64) {
        let amplification = (self.delta_bytes + self.merge_bytes) as f64 / self.delta_bytes as f64;
        let live = self.live.len() as u64 * self.row;
        assert!(amplification <= amplification_max, "{what}: amplification {amplification}");
        assert!(self.most_files <= SEGMENTS_MAX + 20, "{what}: {} files", self.most_files);
        let (most, bound) = (self.most_bytes, 3 * live + (2 << 20));
        assert!(most <= bound, "{what}: {most} bytes, {live} live");
    }
}

/// Numbers without a pattern that matters, the same every time.
fn chance(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn hot_keys_of_a_large_state() {
    let mut sim = Sim::new(1000, 700);
    sim.take(true, (0..50_000).collect());
    for _ in 0..10_000 {
        sim.take(false, (0..100).collect());
    }
    sim.check("hot keys", 5.0);
    let rate = sim.merge_bytes as f64 / (sim.delta_bytes - 50_000_000) as f64;
    assert!(rate < 1.5, "hot keys are squashed, the base is left alone: {rate}");
}

#[test]
fn keys_all_over_a_large_state() {
    let (mut sim, mut state) = (Sim::new(1000, 700), 1);
    sim.take(true, (0..40_000).collect());
    for _ in 0..10_000 {
        sim.take(false, (0..50).map(|_| chance(&mut state) % 40_000).collect());
    }
    sim.check("all over", 5.0);
}

#[test]
fn a_hot_range_beside_cold_ones() {
    let (mut sim, mut state) = (Sim::new(1000, 1000), 1);
    sim.take(true, (0..40_000).collect());
    let hot: Vec<u64> = (0..40_000).filter(|row| group(*row) < 8).collect();
    for _ in 0..10_000 {
        let mut rows: BTreeSet<u64> =
            (0..40).map(|_| hot[chance(&mut state) as usize % hot.len()]).collect();
        rows.insert(chance(&mut state) % 40_000);
        sim.take(false, rows);
    }
    sim.check("a hot range", 5.0);
}

#[test]
fn a_small_sum_whose_every_key_changes() {
    let mut sim = Sim::new(100, 60);
    for _ in 0..10_000 {
        sim.take(false, (0..1000).collect());
    }
    sim.check("a small sum", 5.0);
}

#[test]
fn a_state_that_grows_from_nothing() {
    let mut sim = Sim::new(2000, 1500);
    for checkpoint in 0..10_000 {
        sim.take(false, (checkpoint * 5..checkpoint * 5 + 5).collect());
    }
    sim.check("growing", 6.0);
}

#[test]
fn full_segments_are_merged_away_in_the_end() {
    let (mut sim, mut state) = (Sim::new(1000, 700), 1);
    for savepoint in 0..10 {
        sim.take(true, (0..30_000).collect());
        for _ in 0..300 {
            sim.take(false, (0..100).map(|_| chance(&mut state) % 30_000).collect());
        }
        assert!(!sim.segments.is_empty(), "savepoint {savepoint}");
    }
    sim.check("savepoints", 5.0);
}
