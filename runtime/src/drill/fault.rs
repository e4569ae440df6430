//! What disturbs a run without killing it: a disk that is slow or full for a while, a clock that
//! jumps, CPUs that others want too. None of it may change what comes out.
//!
//! Drawn by [`super::plan`] for a run that is killed at a moment of chance besides; carried out by
//! the run itself, at a crash point ([`super::arm`]).

use std::collections::BTreeMap;

use riverrun_engine::crash::{self, Action, CrashOrder, Passing, point};

use super::chance::Chance;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Each file of a checkpoint takes long to be written.
    SlowDisk,
    /// For a while no file of a checkpoint can be written.
    FullDisk,
    /// The wall clock is put a day forwards.
    ClockAhead,
    /// The wall clock is put a day backwards.
    ClockBack,
    /// Others want the CPUs too.
    Crowd,
}

const KINDS: [Kind; 5] =
    [Kind::SlowDisk, Kind::FullDisk, Kind::ClockAhead, Kind::ClockBack, Kind::Crowd];
const DAY_MS: i64 = 86_400_000;
/// How long a slow disk takes for a file.
const SLOW_MS: (u64, u64) = (20, 300);
/// How many files in a row a full disk refuses.
const REFUSED: (u64, u64) = (2, 10);
/// Threads of others: some for each CPU of most machines.
const CROWD: u32 = 16;
/// A run comes by a point so early, whatever delays it.
const EARLY_PERCENT: u64 = 20;

/// A fault and what brings it about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    kind: Kind,
    pub(super) order: CrashOrder,
}

impl Fault {
    /// One of each kind in turn; `passings` says how often an undisturbed run comes by each point.
    pub(super) fn drawn(
        turn: usize,
        passings: &BTreeMap<String, u64>,
        chance: &mut Chance,
    ) -> Option<Fault> {
        let kind = KINDS[turn % KINDS.len()];
        let within = |chance: &mut Chance, (least, most)| least + chance.below(most - least);
        let (at, action) = match kind {
            Kind::SlowDisk => ("storage.write", Action::Sleep { ms: within(chance, SLOW_MS) }),
            Kind::FullDisk => ("storage.write", Action::Error),
            Kind::ClockAhead => ("source.batch", Action::Clock { ms: DAY_MS }),
            Kind::ClockBack => ("source.batch", Action::Clock { ms: -DAY_MS }),
            Kind::Crowd => ("start.locked", Action::Crowd { threads: CROWD }),
        };
        let seen = passings.get(at).copied().unwrap_or(0);
        let first = 1 + chance.below(seen * EARLY_PERCENT / 100);
        let passing = match kind {
            Kind::SlowDisk => Passing::Each,
            Kind::FullDisk => Passing::Span(first, first + within(chance, REFUSED)),
            Kind::ClockAhead | Kind::ClockBack => Passing::Nth(first),
            Kind::Crowd => Passing::Nth(1),
        };
        Some(Fault { kind, order: CrashOrder { point: point(at)?, passing, action } })
    }

    /// What it is called in reports.
    pub(super) fn name(self) -> &'static str {
        match self.kind {
            Kind::SlowDisk => "slow disk",
            Kind::FullDisk => "full disk",
            Kind::ClockAhead => "clock ahead",
            Kind::ClockBack => "clock back",
            Kind::Crowd => "crowd",
        }
    }

    /// Whether the run that has `said` this has met it.
    pub(super) fn is_met(self, said: &str) -> bool {
        match self.order.action {
            Action::Error => has_failed(self.order.point.name, said),
            action => said.contains(&told(action)),
        }
    }
}

/// Whether the run that has `said` this was told to fail at the point.
pub(super) fn has_failed(point: &'static str, said: &str) -> bool {
    said.contains(&crash::Fault { point }.to_string())
}

/// How a run tells that it was disturbed.
pub(super) fn told(action: Action) -> String {
    match action {
        Action::Sleep { ms } => format!("a drill lets it wait for {ms} ms"),
        Action::Clock { ms } => format!("a drill puts its clock by {ms} ms"),
        Action::Crowd { threads } => format!("a drill starts {threads} threads that spin"),
        Action::Kill | Action::Stop | Action::Error => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_turn_and_an_order_that_can_be_given() {
        let passings = [("storage.write".to_owned(), 40), ("source.batch".to_owned(), 400)].into();
        let mut names = Vec::new();
        for turn in 0..2 * KINDS.len() {
            let mut chance = Chance::of(7, turn as u64);
            let fault = Fault::drawn(turn, &passings, &mut chance).expect("a fault");
            let text = fault.order.to_string();
            assert_eq!(CrashOrder::parse_all(&text), Ok(vec![fault.order]), "{text}");
            names.push(fault.name());
        }
        assert_eq!(names[..KINDS.len()], names[KINDS.len()..]);
    }

    #[test]
    fn a_fault_is_met_when_the_run_says_so() {
        let passings = BTreeMap::new();
        let mut chance = Chance::of(1, 1);
        let full = Fault::drawn(1, &passings, &mut chance).expect("a fault");
        assert!(full.is_met("RR0801: a drill made 'storage.write' fail") && !full.is_met("well"));
        let ahead = Fault::drawn(2, &passings, &mut chance).expect("a fault");
        assert!(ahead.is_met("WARN a drill puts its clock by 86400000 ms"));
        let back = Fault::drawn(3, &passings, &mut chance).expect("a fault");
        assert!(!back.is_met("WARN a drill puts its clock by 86400000 ms"));
    }
}
