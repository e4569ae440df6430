//! Records a second and CPU time a record, engine and bare loop in turns.

use anyhow::{Result, ensure};
use clap::ValueEnum as _;

use super::{Row, median};
use crate::child::{self, Job, Spent};
use crate::expected::Work;
use crate::reader;
use crate::setup::{INPUT, Options, Setup};
use crate::work::Tally;

/// The engine's intervals, in milliseconds, with the share of the bare loop they should reach. The
/// bare loop always commits each second.
fn intervals(work: Work) -> &'static [(u64, f64)] {
    match work {
        Work::Copy => &[(1000, 0.8), (100, 0.75)],
        Work::Running | Work::Tumbling => &[(1000, 0.75)],
    }
}

/// How much more CPU time than the bare loop the engine may take.
const CPU_MOST: f64 = 1.25;

struct Measured {
    rates: Vec<f64>,
    cpu_us: Vec<f64>,
}

impl Measured {
    fn new() -> Self {
        Measured { rates: Vec::new(), cpu_us: Vec::new() }
    }

    fn add(&mut self, spent: Spent, records: u64) {
        self.rates.push(records as f64 / spent.wall.as_secs_f64());
        self.cpu_us.push(spent.cpu.as_secs_f64() * 1e6 / records as f64);
    }
}

pub(super) fn measure(setup: &Setup, options: &Options) -> Result<()> {
    setup.filled(options.records)?;
    let asked = if options.work.is_empty() { Work::value_variants() } else { &options.work };
    for work in asked {
        one(setup, options, *work)?;
    }
    setup.broker.delete_topic(INPUT)
}

/// Runs one of them into a topic of its own and reads what it wrote.
fn into_topic(
    setup: &Setup,
    (system, expected): (&str, Tally),
    start: impl FnOnce(&str) -> Result<std::process::Child>,
) -> Result<Spent> {
    let output = format!("{system}-out");
    setup.topic(&output)?;
    let spent = child::timed(|| start(&output))?;
    let got = reader::tally(setup.address(), &output)?;
    ensure!(got == expected, "{system}: wrote {got:?}, by hand {expected:?}");
    setup.broker.delete_topic(&output)?;
    Ok(spent)
}

fn one(setup: &Setup, options: &Options, work: Work) -> Result<()> {
    let expected = work.expected(options.records);
    let all = intervals(work);
    let mut bare = Measured::new();
    let mut engine: Vec<Measured> = all.iter().map(|_| Measured::new()).collect();
    for round in 0..options.rounds {
        eprintln!("{}: round {} of {}", work.name(), round + 1, options.rounds);
        let start = |output: &str| child::bare(setup, work, INPUT, output);
        bare.add(
            into_topic(setup, (&format!("bare-{}-{round}", work.name()), expected), start)?,
            options.records,
        );
        for ((interval, _), measured) in all.iter().zip(&mut engine) {
            let name = format!("engine-{}-{round}-{interval}", work.name());
            let start = |output: &str| {
                let (parallelism, checkpoint_ms) = (options.parallelism, *interval);
                let (input, output) = (INPUT.to_owned(), output.to_owned());
                Job { work, input, output, parallelism, checkpoint_ms, to_end: true }.start(setup)
            };
            measured.add(into_topic(setup, (&name, expected), start)?, options.records);
        }
    }
    let line = |system: &str, interval, measured: &Measured| {
        Row::of(work.name(), interval, system)
            .with("records_per_s", median(measured.rates.clone()))
            .with("cpu_us_per_record", median(measured.cpu_us.clone()))
    };
    line("bare", 1000, &bare).with("ratio_to_bare", 1.0).print(options.json);
    for ((interval, least), measured) in all.iter().zip(&engine) {
        let each = |of: fn(&Measured) -> &Vec<f64>| {
            let pairs = of(measured).iter().zip(of(&bare));
            median(pairs.map(|(engine, bare)| engine / bare).collect())
        };
        let (ratio, cpu) = (each(|m| &m.rates), each(|m| &m.cpu_us));
        line("engine", *interval, measured)
            .with("ratio_to_bare", ratio)
            .with("cpu_ratio_to_bare", cpu)
            .target(&format!("ratio {least}, cpu {CPU_MOST}"), ratio >= *least && cpu <= CPU_MOST)
            .print(options.json);
    }
    Ok(())
}
