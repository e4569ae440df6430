//! What a seed means: the job, its input, and the lives it is to live. Drawn at once, so that what
//! a life does changes nothing of the plan.

use std::time::Duration;

use riverrun::runtime::config::{Bytes, Config};
use riverrun::runtime::control::CommandKind;
use riverrun::runtime::doors::Sizes;

use crate::chance::Chance;
use crate::disk::Weather;
use crate::job::{Output, events};
use crate::steps::Event;

/// Everything a seed decides before anything runs.
pub(crate) struct Plan {
    pub(crate) splits: Vec<Vec<Event>>,
    /// How the events are read.
    pub(crate) feed: Feed,
    pub(crate) outputs: Vec<Output>,
    pub(crate) key_groups: u16,
    /// The last one is undisturbed.
    pub(crate) lives: Vec<Life>,
}

/// How the events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feed {
    /// All are there from the beginning.
    Memory,
    /// One after the other, with pauses.
    Live,
    /// In files.
    Files,
}

/// One run of the job.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) parallelism: u32,
    pub(crate) workers: u32,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) min_pause: Duration,
    pub(crate) retain: usize,
    pub(crate) attempts: u32,
    /// How long a source rests after each batch.
    pub(crate) pace: Duration,
    pub(crate) sizes: Sizes,
    /// Whether tasks go by rank.
    pub(crate) ranked: bool,
    pub(crate) weather: Weather,
    /// After so many steps it is killed.
    pub(crate) killed_at: Option<u64>,
    /// Whether power is lost with its death.
    pub(crate) power: bool,
    /// Orders and when they are given.
    pub(crate) orders: Vec<(Duration, CommandKind)>,
    /// When the wall clock jumps, and by how many milliseconds.
    pub(crate) jumps: Vec<(Duration, i64)>,
}

const LIVES_MAX: u64 = 6;
const DAY_MS: i64 = 86_400_000;

impl Plan {
    pub(crate) fn of(seed: u64) -> Plan {
        let mut chance = Chance::of(seed).branch("plan");
        let splits = events(&mut chance);
        let feed = chance.of_these(&[Feed::Memory, Feed::Live, Feed::Files]);
        let mut outputs: Vec<Output> = Output::ALL.to_vec();
        outputs.retain(|_| chance.happens(3, 8));
        if outputs.is_empty() {
            outputs.push(chance.of_these(&Output::ALL));
        }
        let key_groups = chance.of_these(&[4, 8, 16, 64]);
        let count = chance.within(1, LIVES_MAX);
        let lives = (1..=count).map(|life| Life::drawn(&mut chance, life == count)).collect();
        Plan { splits, feed, outputs, key_groups, lives }
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Life {
    fn drawn(chance: &mut Chance, last: bool) -> Life {
        let sizes = Sizes {
            channel_batches: chance.of_these(&[1, 2, 3, 8]),
            batch_records: chance.of_these(&[1, 2, 7, 32, 1024]),
            part_records: chance.of_these(&[1, 4, 256]),
            merge_bytes: chance.of_these(&[1, 200, 2_000, 256 << 10]),
            segments: chance.of_these(&[1, 3, 16, 64]),
            rewritten_min: chance.of_these(&[1, 256 << 10, 256 << 10]),
        };
        let mut life = Life {
            parallelism: chance.within(1, 4) as u32,
            workers: chance.within(1, 3) as u32,
            interval: ms(chance.of_these(&[0, 1, 3, 10, 30, 100, 1_000])),
            timeout: ms(chance.of_these(&[200, 2_000, 60_000])),
            min_pause: ms(chance.of_these(&[0, 0, 5, 50])),
            retain: chance.within(1, 3) as usize,
            attempts: chance.within(1, 5) as u32,
            pace: ms(chance.of_these(&[0, 1, 5, 20])),
            sizes,
            ranked: chance.happens(1, 2),
            weather: Weather::default(),
            killed_at: None,
            power: chance.happens(1, 2),
            orders: Vec::new(),
            jumps: Vec::new(),
        };
        for _ in 0..chance.of_these(&[0, 0, 1, 2]) {
            let longest = chance.of_these(&[10, 100, 1_000]);
            let by = chance.of_these(&[-DAY_MS, -5_000, 5_000, DAY_MS]);
            life.jumps.push((ms(chance.within(0, longest)), by));
        }
        if last {
            life.timeout = ms(600_000);
            life.attempts = 1;
            return life;
        }
        if chance.happens(1, 3) {
            life.weather.fails = chance.of_these(&[20, 100, 500]);
        }
        if chance.happens(1, 3) {
            life.weather.slow = chance.of_these(&[100, 1_000, 5_000]);
            life.weather.slow_ms = chance.of_these(&[5, 50, 1_000]);
        }
        match chance.within(0, 9) {
            0 => {}
            1 => life.weather.dies_at = Some(chance.within(1, 40)),
            2..=4 => life.weather.dies_at = Some(chance.within(1, 400)),
            5 => life.weather.dies_at = Some(chance.within(1, 2_000)),
            6 => life.killed_at = Some(chance.within(1, 60)),
            7..=8 => life.killed_at = Some(chance.within(1, 1_500)),
            _ => life.killed_at = Some(chance.within(1, 10_000)),
        }
        for _ in 0..chance.of_these(&[0, 0, 1, 2]) {
            let longest = chance.of_these(&[10, 100, 1_000]);
            let at = ms(chance.within(0, longest));
            let kinds = [
                CommandKind::Savepoint,
                CommandKind::Savepoint,
                CommandKind::Stop { savepoint: false },
                CommandKind::Stop { savepoint: true },
            ];
            life.orders.push((at, chance.of_these(&kinds)));
        }
        life
    }

    /// Whether its storage may fail or dawdle.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.weather.fails > 0 || self.weather.slow > 0
    }

    /// The settings of its run, with checkpoints at `path`.
    pub(crate) fn config(&self, path: &str, key_groups: u16) -> Config {
        let mut config = Config::for_job("sim");
        config.parallelism = self.parallelism;
        config.workers = self.workers;
        config.key_groups = key_groups;
        config.memory = Bytes::mib(4096);
        config.checkpoint.path = path.to_owned();
        config.checkpoint.interval = self.interval;
        config.checkpoint.timeout = self.timeout;
        config.checkpoint.min_pause = self.min_pause;
        config.checkpoint.retain = self.retain;
        config.restart.attempts = self.attempts;
        config.restart.backoff = ms(10);
        config.pace = self.pace;
        config
    }
}
