//! What happens in a life: facts and a seed in, deaths out, no I/O.
//!
//! Called by [`super::rig`]. A life has a death while it runs and one while it starts again, or
//! several such pairs, then runs to its end, each run at the next of the parallelisms. The points
//! take turns, one of each kind in each pair; in the first round at a passing drawn by chance, from
//! then on at the first, and in another order each round: some points end the job for good, and
//! would otherwise keep the same ones behind them in their life from ever being reached.

use std::collections::BTreeMap;

use riverrun_engine::crash::{Action, CrashOrder, Passing, Point, When, point};

use super::chance::Chance;
use super::fault::Fault;
use crate::control::CommandKind;

/// What a drill is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The points to die at.
    pub points: Vec<&'static Point>,
    /// Whether runs are also killed at moments drawn by chance.
    pub random: bool,
    /// Whether runs are also stopped while a second one is started, and then go on.
    pub zombie: bool,
    /// Whether every other run that is killed at random is disturbed otherwise before.
    pub faults: bool,
    /// How many runs of a life are disturbed: in turn one that runs and one that starts again.
    pub deaths: u32,
    /// The parallelisms of the runs, in turn; at least one.
    pub rescale: Vec<u32>,
    /// What chance is drawn from.
    pub seed: u64,
}

/// How a run is disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// At a crash point.
    Point(CrashOrder),
    /// Killed from outside.
    Killed {
        /// So long after it began.
        after_ms: u64,
    },
}

/// One run of a life that is to be disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Death {
    pub(super) blow: Blow,
    pub(super) parallelism: u32,
    /// An order it is given, so long after it has begun.
    pub(super) order: Option<(CommandKind, u64)>,
    /// Where it dies later: what a failure leaves shows at a restore only.
    pub(super) later: Option<CrashOrder>,
    /// What else disturbs it.
    pub(super) fault: Option<Fault>,
}

/// One life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) number: u32,
    pub(super) deaths: Vec<Death>,
    /// The parallelism of the run that goes to the end.
    pub(super) last: u32,
}

/// Draws lives.
pub(super) struct Plan {
    wanted: Wanted,
    /// What can happen while a job runs.
    running: Vec<(&'static Point, Action)>,
    /// What can happen while it starts again.
    starting: Vec<(&'static Point, Action)>,
    /// How often an undisturbed run comes by each point.
    passings: BTreeMap<String, u64>,
    /// How long it takes.
    run_ms: u64,
}

/// A run comes by a point later in the second half only if nothing disturbs it before.
const EARLY_PERCENT: u64 = 60;

/// Where a run dies that has survived a failure.
const LATER: &str = "commit.told";

/// One of each kind after the other, so that a short drill sees all kinds.
fn in_turn<T>(kinds: [Vec<T>; 3]) -> Vec<T> {
    let mut kinds = kinds.map(Vec::into_iter);
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(kinds.iter_mut().filter_map(Iterator::next));
        if all.len() == before {
            return all;
        }
    }
}

impl Plan {
    pub(super) fn new(wanted: Wanted, passings: BTreeMap<String, u64>, run_ms: u64) -> Self {
        use When::{Kafka, KafkaStart, Rescaled, Restored, Running, Start};
        let starts = |when| matches!(when, Start | Restored | Rescaled | KafkaStart);
        let points = wanted.points.iter().copied();
        let (starting, kills): (Vec<_>, Vec<_>) =
            points.map(|point| (point, Action::Kill)).partition(|(point, _)| starts(point.when));
        let failing = wanted.points.iter().filter(|point| point.fails);
        let errors = failing.map(|point| (*point, Action::Error)).collect();
        let plain = wanted.points.iter().filter(|point| matches!(point.when, Running | Kafka));
        let stops = plain.filter(|_| wanted.zombie).map(|point| (*point, Action::Stop)).collect();
        let running = in_turn([kills, stops, errors]);
        Plan { wanted, running, starting, passings, run_ms }
    }

    /// How many lives it takes until everything had its turn.
    pub(super) fn round(&self) -> u32 {
        let most = self.running.len().max(self.starting.len());
        // Every second life is one of chance, every fourth has a fault.
        let random = match (self.wanted.random, self.wanted.faults) {
            (_, true) => 20.max(2 * most),
            (true, false) => 10.max(2 * most),
            (false, false) => most,
        };
        u32::try_from(random).unwrap_or(u32::MAX).div_ceil(self.pairs())
    }

    /// How many deaths of each kind a life has, the last one perhaps without its second.
    fn pairs(&self) -> u32 {
        self.wanted.deaths.div_ceil(2).max(1)
    }

    /// The life of this number, counted from 0.
    pub(super) fn life(&self, number: u32) -> Life {
        let mut chance = Chance::of(self.wanted.seed, number.into());
        let later = number >= self.round();
        let at = |run: usize| {
            let all = &self.wanted.rescale;
            all[(number as usize + run) % all.len()]
        };
        let of = |i: u32| number * self.pairs() + i / 2;
        let deaths = (0..self.wanted.deaths).map(|i| {
            let death = match i % 2 {
                0 => self.while_it_runs(of(i), later, &mut chance),
                _ => self.while_it_starts(of(i), &mut chance),
            };
            Death { parallelism: at(i as usize), ..death }
        });
        Life { number, deaths: deaths.collect(), last: at(self.wanted.deaths as usize) }
    }

    fn while_it_runs(&self, turn: u32, later: bool, chance: &mut Chance) -> Death {
        let by_point = !self.wanted.random || turn.is_multiple_of(2);
        let turn = if self.wanted.random { turn / 2 } else { turn } as usize;
        match self.running_at(turn) {
            Some(point) if by_point => self.at_point(point, later, chance),
            _ => {
                let fault = (self.wanted.faults && !turn.is_multiple_of(2))
                    .then(|| Fault::drawn(turn / 2, &self.passings, chance))
                    .flatten();
                // It must have been met first.
                let earliest = fault.map_or(0, |_| self.run_ms / 4);
                Death { fault, ..self.at_random(earliest, chance) }
            }
        }
    }

    /// Whose turn it is while the job runs.
    fn running_at(&self, turn: usize) -> Option<(&'static Point, Action)> {
        let len = self.running.len().max(1);
        let (round, at) = (turn / len, turn % len);
        let at = match round {
            0 => at,
            // Low rows of chance belong to lives.
            round => Chance::of(self.wanted.seed, u64::MAX - round as u64).order(len)[at],
        };
        self.running.get(at).copied()
    }

    fn while_it_starts(&self, turn: u32, chance: &mut Chance) -> Death {
        match self.starting.get(turn as usize % self.starting.len().max(1)) {
            Some(point) => self.at_point(*point, true, chance),
            None => self.at_random(0, chance),
        }
    }

    fn at_point(
        &self,
        (point, action): (&'static Point, Action),
        at_once: bool,
        chance: &mut Chance,
    ) -> Death {
        let seen = self.passings.get(point.name).copied().unwrap_or(0);
        let drawn = 1 + chance.below(seen * EARLY_PERCENT / 100 / u64::from(self.pairs()));
        let nth = if at_once { 1 } else { drawn };
        let passing = Passing::Nth(nth);
        let after = chance.below(self.run_ms / 2);
        let order = match point.when {
            When::Savepoint => Some((CommandKind::Savepoint, after)),
            When::Stop => Some((CommandKind::Stop { savepoint: after.is_multiple_of(2) }, after)),
            _ => None,
        };
        let order_at = CrashOrder { point, passing, action };
        let later = (action == Action::Error).then(|| self.later(nth, seen)).flatten();
        Death { blow: Blow::Point(order_at), parallelism: 0, order, later, fault: None }
    }

    fn at_random(&self, earliest_ms: u64, chance: &mut Chance) -> Death {
        let after_ms = earliest_ms + chance.below(self.run_ms * 8 / 10 / u64::from(self.pairs()));
        let blow = Blow::Killed { after_ms };
        Death { blow, parallelism: 0, order: None, later: None, fault: None }
    }

    /// A kill some checkpoints after the `nth` of `seen` passings.
    fn later(&self, nth: u64, seen: u64) -> Option<CrashOrder> {
        let told = self.passings.get(LATER).copied().unwrap_or(0);
        let passing = Passing::Nth(3 + nth * told / seen.max(1));
        Some(CrashOrder { point: point(LATER)?, passing, action: Action::Kill })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use riverrun_engine::crash::POINTS;

    fn plan(random: bool, zombie: bool) -> Plan {
        let points = POINTS.iter().collect();
        let rescale = vec![1, 2, 4];
        let wanted = Wanted { points, random, zombie, faults: random, deaths: 2, rescale, seed: 7 };
        let passings = POINTS.iter().map(|point| (point.name.to_owned(), 50)).collect();
        Plan::new(wanted, passings, 1000)
    }

    fn names(plan: &Plan, lives: std::ops::Range<u32>) -> Vec<&'static str> {
        let deaths = lives.flat_map(|number| plan.life(number).deaths);
        let named = deaths.filter_map(|death| match death.blow {
            Blow::Point(order) => Some(order.point.name),
            Blow::Killed { .. } => None,
        });
        named.collect()
    }

    #[test]
    fn a_round_comes_by_every_point_and_the_next_does_so_at_once() {
        let plan = plan(false, false);
        let hit = names(&plan, 0..plan.round());
        for point in &POINTS {
            assert!(hit.contains(&point.name), "{}", point.name);
        }
        for number in plan.round()..2 * plan.round() {
            for death in plan.life(number).deaths {
                let Blow::Point(order) = death.blow else { continue };
                assert_eq!(order.passing, Passing::Nth(1));
            }
        }
    }

    #[test]
    fn points_have_other_neighbours_in_each_round() {
        let mut plan = plan(false, false);
        plan.wanted.deaths = 6;
        let mut beside = BTreeMap::<_, BTreeSet<_>>::new();
        for number in 0..8 * plan.round() {
            let lived: BTreeSet<_> = names(&plan, number..number + 1).into_iter().collect();
            for name in &lived {
                beside.entry(*name).or_default().extend(lived.iter().copied());
            }
        }
        assert!(beside["end.committed"].len() > 10, "{:?}", beside["end.committed"]);
    }

    #[test]
    fn a_life_is_the_same_whenever_it_is_drawn_and_changes_its_parallelism() {
        let (a, b) = (plan(true, true), plan(true, true));
        for number in [5, 0, 17, 5] {
            assert_eq!(a.life(number), b.life(number));
        }
        let life = a.life(3);
        assert_ne!(life.deaths[0].parallelism, life.deaths[1].parallelism);
        assert_ne!(life.deaths[1].parallelism, life.last);
    }

    #[test]
    fn a_round_with_chance_comes_by_every_point_too() {
        let plan = plan(true, true);
        let hit = names(&plan, 0..plan.round());
        for point in POINTS.iter().filter(|point| point.when != When::Kafka) {
            assert!(hit.contains(&point.name), "{}", point.name);
        }
    }

    #[test]
    fn more_deaths_in_a_life_come_by_every_point_in_fewer_lives() {
        let (short, mut long) = (plan(true, true), plan(true, true));
        long.wanted.deaths = 6;
        assert_eq!(long.round(), short.round().div_ceil(3));
        let hit = names(&long, 0..long.round());
        for point in POINTS.iter().filter(|point| point.when != When::Kafka) {
            assert!(hit.contains(&point.name), "{}", point.name);
        }
        let life = long.life(5);
        assert_eq!(life.deaths.len(), 6);
        assert_ne!(life.deaths[5].parallelism, life.last);
    }

    #[test]
    fn chance_kills_and_zombies_have_their_share() {
        let plan = plan(true, true);
        let deaths: Vec<_> = (0..60).flat_map(|number| plan.life(number).deaths).collect();
        let random = deaths.iter().filter(|death| matches!(death.blow, Blow::Killed { .. }));
        assert!(random.count() > 10);
        let stops = |death: &&Death| {
            matches!(death.blow, Blow::Point(CrashOrder { action: Action::Stop, .. }))
        };
        assert!(deaths.iter().filter(stops).count() > 3);
        let faults = deaths.iter().filter_map(|death| death.fault);
        let faults: BTreeSet<_> = faults.map(Fault::name).collect();
        assert_eq!(faults.len(), 5, "{faults:?}");
    }
}
