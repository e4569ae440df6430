//! The drill itself: oracle, lives, report.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use riverrun_engine::crash::Action;

use super::child::Program;
use super::disk;
use super::error::DrillError;
use super::interrupt::Interrupt;
use super::life::{Lived, Stage, live};
use super::oracle::{Oracle, consult};
use super::output::Fields;
use super::plan::{Blow, Life, Plan, Wanted};
use super::rehearsed::Rehearsed;
use super::report::{Finding, Report};
use super::site::Sites;
use crate::config::Flags;
use crate::doors;

/// What a drill is asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The job.
    pub job: String,
    /// The user's flags, for every run.
    pub flags: Flags,
    /// What is to happen.
    pub wanted: Wanted,
    /// Runs to kill; without it every point once, and again what was not reached.
    pub kills: Option<u64>,
    /// How long to go on, in place of a number of kills.
    pub duration: Option<Duration>,
    /// Only the life of this number.
    pub life: Option<u32>,
    /// Whether to end with the first finding.
    pub first: bool,
    /// Fields left out of the comparison, and the key.
    pub ignore: Vec<String>,
    /// The field whose equal values keep their order.
    pub key: Option<String>,
    /// How many records are read at most of each source whose input may move.
    pub records: u64,
    /// How long a run may take; `None`: as its undisturbed runs suggest.
    pub limit: Option<Duration>,
    /// A check of the user's own, run after each life.
    pub verify: Option<String>,
    /// The interval between the runs' checkpoints.
    pub interval: Duration,
    /// About how long a disturbed run takes at least.
    pub stretch: Duration,
    /// A folder that is not there yet, for everything that is written; its name begins as that of
    /// rehearsed runs must.
    pub scratch: PathBuf,
    /// The command that repeats the drill, but for seed and life.
    pub command: String,
}

/// Removes the scratch folder, unless something in it is to be looked at.
struct Scratch {
    folder: PathBuf,
    keep: bool,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep {
            // What is left of it does no harm, and there is nobody to tell.
            drop(disk::remove_folder(&self.folder));
        }
    }
}

/// More lives than this for each kill that was asked for are not lived: the job does not come by
/// what it should die at.
const LIVES_A_KILL: u64 = 20;

/// Drills the job whose graph is `rehearsed`, telling its progress to `tell`.
///
/// # Errors
/// Why nothing can be said of the job; what is wrong with the job itself stands in the report.
pub fn drill(
    settings: &Settings,
    rehearsed: &Rehearsed,
    tell: &mut dyn FnMut(&str),
) -> Result<Report, DrillError> {
    let kafka = settings.wanted.points.iter().find(|point| point.when.is_kafka());
    if let Some(point) = kafka.filter(|_| !rehearsed.decides) {
        return Err(DrillError::NotRehearsed { point: point.name });
    }
    let began = doors::monotonic();
    let interrupt = Interrupt::listen();
    let program = Program::this(&settings.flags, settings.interval)?;
    disk::create_folder(&settings.scratch)?;
    let mut scratch = Scratch { folder: settings.scratch.clone(), keep: false };
    let fields = Fields { ignore: settings.ignore.clone(), key: settings.key.clone() };
    let slices = rehearsed.slices(&settings.job, settings.records, tell)?;
    let slices = serde_json::to_string(&slices).unwrap_or_else(|_| "{}".to_owned());
    let sites = Sites { rehearsed, folder: scratch.folder.clone(), slices };
    let most = settings.wanted.rescale.iter().copied().max().unwrap_or(1);
    tell("undisturbed runs");
    let shape = (most, settings.stretch);
    let oracle = consult(&program, &sites, &fields, shape, settings.limit, &interrupt)?;
    tell(&format!(
        "{} records; a run takes about {} ms, {} sinks keep the order of keys",
        oracle.output.len(),
        oracle.run_ms,
        oracle.ordered.len()
    ));
    let stage = Stage {
        program: &program,
        oracle: &oracle,
        fields: &fields,
        repeats: &rehearsed.repeats,
        decides: rehearsed.decides,
        verify: settings.verify.as_deref(),
        interrupt: &interrupt,
    };
    let plan = Plan::new(settings.wanted.clone(), oracle.passings.clone(), oracle.run_ms);
    let mut report = begun(settings, rehearsed, &oracle);
    let mut course = Course { settings, plan: &plan, reached: BTreeSet::new(), next: 0 };
    while let Some(life) = course.next(&report, doors::monotonic().saturating_sub(began)) {
        let mut site = sites.make(&format!("life-{}", life.number))?;
        let lived = live(&stage, &mut site, &life)?;
        site.clear()?;
        let folder = site.folder();
        tell(&told(&life, &lived));
        course
            .reached
            .extend(lived.reached.iter().map(|(point, action)| (*point, is_kill(*action))));
        report.add(&lived);
        if lived.is_exact() {
            disk::remove_folder(folder)?;
        } else {
            scratch.keep = true;
            report.findings.push(finding(settings, &program, &life, lived, folder));
        }
    }
    let unreached = settings.wanted.points.iter().filter(|p| !report.points.contains_key(p.name));
    if settings.life.is_none() {
        report.unreached = unreached.map(|point| point.name.to_owned()).collect();
    }
    report.seconds = doors::monotonic().saturating_sub(began).as_secs();
    report.close();
    Ok(report)
}

/// The report of a drill that has not lived yet.
fn begun(settings: &Settings, rehearsed: &Rehearsed, oracle: &Oracle) -> Report {
    Report {
        job: settings.job.clone(),
        seed: settings.wanted.seed,
        records: oracle.output.len(),
        unseen: rehearsed.unseen.clone(),
        repeats: rehearsed.repeats.iter().cloned().collect(),
        ordered: oracle.ordered.iter().cloned().collect(),
        ..Report::default()
    }
}

fn is_kill(action: Action) -> bool {
    action == Action::Kill
}

/// Which lives are lived.
struct Course<'a> {
    settings: &'a Settings,
    plan: &'a Plan,
    /// Points that acted, and whether by a kill.
    reached: BTreeSet<(&'static str, bool)>,
    next: u32,
}

impl Course<'_> {
    fn next(&mut self, report: &Report, took: Duration) -> Option<Life> {
        if let Some(number) = self.settings.life {
            self.next += 1;
            return (self.next == 1).then(|| self.plan.life(number));
        }
        if self.settings.first && !report.is_exact() {
            return None;
        }
        loop {
            let number = self.next;
            let enough = match (self.settings.kills, self.settings.duration) {
                (_, Some(duration)) => took >= duration,
                (Some(kills), None) => {
                    let most = LIVES_A_KILL * kills.max(u64::from(self.plan.round()));
                    report.kills >= kills || u64::from(number) >= most
                }
                (None, None) => number >= 3 * self.plan.round(),
            };
            if enough {
                return None;
            }
            self.next += 1;
            let life = self.plan.life(number);
            let again = self.settings.kills.is_none() && self.settings.duration.is_none();
            if again && number >= self.plan.round() && !self.has_news(&life) {
                continue;
            }
            return Some(life);
        }
    }

    /// Whether something may be reached that was not yet.
    fn has_news(&self, life: &Life) -> bool {
        life.deaths.iter().any(|death| match death.blow {
            Blow::Point(order) => {
                !self.reached.contains(&(order.point.name, is_kill(order.action)))
            }
            Blow::Killed { .. } => false,
        })
    }
}

fn told(life: &Life, lived: &Lived) -> String {
    let verdict = if lived.is_exact() { "exact" } else { "NOT EXACT" };
    format!("life {}: {}: {verdict}", life.number, lived.told.join(", "))
}

fn finding(
    settings: &Settings,
    program: &Program,
    life: &Life,
    lived: Lived,
    folder: &std::path::Path,
) -> Finding {
    let (exe, command) = (program.exe().display(), &settings.command);
    let seed = settings.wanted.seed;
    Finding {
        life: life.number,
        told: lived.told.join(", "),
        failed: lived.failed,
        difference: lived.difference,
        command: format!("{exe} {command} --seed {seed} --life {}", life.number),
        kept: folder.display().to_string(),
    }
}
