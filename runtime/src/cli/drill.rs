//! `drill`: rehearses crashes of the job, and says whether they change its output.

use std::path::PathBuf;

use riverrun_engine::clock::{Clock as _, SystemClock};
use riverrun_engine::crash::{POINTS, points_of};
use riverrun_engine::rehearsal::RUN_PREFIX;

use super::args::DrillArgs;
use super::error::CliError;
use super::{Context, Exit, out};
use crate::drill::{DrillError, Rehearsed, Settings, Wanted, drill as rehearse};

/// Drills the job.
pub(super) fn drill(context: &Context<'_>, args: &DrillArgs) -> Result<Exit, CliError> {
    if args.list_points {
        out::print(&list())?;
        return Ok(Exit::Done);
    }
    let config = context.config()?.config;
    let graph = context.graph(&config)?;
    let problems = graph.problems(config.key_groups);
    if !problems.is_empty() {
        return Err(CliError::Graph(problems));
    }
    let rehearsed = Rehearsed::of(&graph)?;
    let settings = settings(context, args, config.key_groups, rehearsed.decides)?;
    drop(graph);
    let seed = settings.wanted.seed;
    out::tell(&format!("drill of '{}', seed {seed}", context.job));
    let report = rehearse(&settings, &rehearsed, &mut out::tell)?;
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?;
        crate::drill::write_report(file, &format!("{text}\n"))?;
    }
    if let Some(file) = &args.junit {
        crate::drill::write_report(file, &report.junit())?;
    }
    out::print(&report.text())?;
    Ok(if report.is_exact() { Exit::Done } else { Exit::Failed })
}

fn settings(
    context: &Context<'_>,
    args: &DrillArgs,
    key_groups: u16,
    to_kafka: bool,
) -> Result<Settings, DrillError> {
    let random = args.random || args.faults;
    let points = match &args.points {
        Some(list) if list != "all" => points_of(list)?,
        None if random => Vec::new(),
        _ => POINTS.iter().filter(|point| to_kafka || !point.when.is_kafka()).collect(),
    };
    let now = SystemClock.now().as_millis();
    let seed = args.seed.unwrap_or(now.unsigned_abs() % 1_000_000);
    let rescale = parallelisms(&args.rescale, key_groups)?;
    let (zombie, faults, deaths) = (args.zombie, args.faults, args.deaths);
    let wanted = Wanted { points, random, zombie, faults, deaths, rescale, seed };
    let name = format!("{RUN_PREFIX}{}-{}-{now}", context.job, std::process::id());
    let below = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
    Ok(Settings {
        job: context.job.to_owned(),
        flags: context.flags.clone(),
        wanted,
        kills: args.kills,
        duration: args.duration.map(|duration| *duration),
        life: args.life,
        first: args.first,
        ignore: args.ignore.clone(),
        key: args.key.clone(),
        records: args.records,
        limit: args.limit.map(|limit| *limit),
        verify: args.verify.clone(),
        interval: *args.interval,
        stretch: *args.stretch,
        scratch: absolute(below).join(name),
        command: repeat(),
    })
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

fn parallelisms(text: &str, key_groups: u16) -> Result<Vec<u32>, DrillError> {
    let wrong = || DrillError::Rescale { text: text.to_owned(), most: key_groups };
    let numbers = text.split(',').map(|n| n.trim().parse::<u32>().map_err(|_| wrong()));
    let numbers: Vec<u32> = numbers.collect::<Result<_, _>>()?;
    let fits = numbers.iter().all(|n| (1..=u32::from(key_groups)).contains(n));
    if fits { Ok(numbers) } else { Err(wrong()) }
}

/// The arguments of this process, but for those that a repetition sets itself.
fn repeat() -> String {
    let mut words = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(word) = arguments.next() {
        match word.as_str() {
            "--seed" | "--life" | "--kills" | "--duration" | "--json" | "--junit" => {
                drop(arguments.next());
            }
            word if word.starts_with("--seed=") || word.starts_with("--life=") => {}
            word if word.contains([' ', '"', '*']) => words.push(format!("'{word}'")),
            word => words.push(word.to_owned()),
        }
    }
    words.join(" ")
}

fn list() -> String {
    let mut text = String::new();
    for point in &POINTS {
        let fails = if point.fails { " (can also fail)" } else { "" };
        text.push_str(&format!("{:<28} {}{fails}\n", point.name, point.what));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallelisms_are_numbers_up_to_the_key_groups() {
        assert_eq!(parallelisms("1, 2,4", 128).expect("numbers"), [1, 2, 4]);
        for bad in ["", "0", "1,x", "129"] {
            assert!(matches!(parallelisms(bad, 128), Err(DrillError::Rescale { .. })), "{bad}");
        }
    }

    #[test]
    fn every_point_is_listed_with_what_it_is() {
        assert_eq!(list().lines().count(), POINTS.len());
    }
}
