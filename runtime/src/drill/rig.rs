//! The drill itself: oracle, lives, report.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use riverrun_engine::crash::{Action, When};
use riverrun_engine::graph::{Graph, NodeKind};
use riverrun_engine::sink::Rehearsal;

use super::child::Program;
use super::disk;
use super::error::DrillError;
use super::interrupt::Interrupt;
use super::life::{Lived, Stage, live};
use super::oracle::consult;
use super::output::Fields;
use super::plan::{Blow, Life, Plan, Wanted};
use super::report::{Finding, Report};
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
    /// The interval between the runs' checkpoints.
    pub interval: Duration,
    /// About how long a disturbed run takes at least.
    pub stretch: Duration,
    /// A folder that is not there yet, for everything that is written.
    pub scratch: PathBuf,
    /// The command that repeats the drill, but for seed and life.
    pub command: String,
}

/// What a graph lets a drill see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rehearsed {
    /// Sinks whose output is compared.
    pub compared: Vec<String>,
    /// Sinks that leave no trace.
    pub unseen: Vec<String>,
}

impl Rehearsed {
    /// Whether `graph` can be rehearsed.
    ///
    /// # Errors
    /// The first source or sink that cannot.
    pub fn of(graph: &Graph) -> Result<Rehearsed, DrillError> {
        let mut rehearsed = Rehearsed::default();
        for (_, node) in graph.nodes() {
            let name = || node.uid.to_string();
            match &node.kind {
                NodeKind::Source(source) if !source.is_bounded() => {
                    return Err(DrillError::Unbounded { uid: node.uid.clone() });
                }
                NodeKind::Sink(sink) => match sink.rehearsal() {
                    Rehearsal::Scratch => rehearsed.compared.push(name()),
                    Rehearsal::Nothing => rehearsed.unseen.push(name()),
                    Rehearsal::Refused { reason } => {
                        return Err(DrillError::Sink { uid: node.uid.clone(), reason });
                    }
                },
                NodeKind::Source(_) | NodeKind::Operator(_) => {}
            }
        }
        Ok(rehearsed)
    }
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
    if let Some(point) = settings.wanted.points.iter().find(|point| point.when == When::Kafka) {
        return Err(DrillError::NotRehearsed { point: point.name });
    }
    let began = doors::monotonic();
    let interrupt = Interrupt::listen();
    let program = Program::this(&settings.flags, settings.interval)?;
    disk::create_folder(&settings.scratch)?;
    let mut scratch = Scratch { folder: settings.scratch.clone(), keep: false };
    let fields = Fields { ignore: settings.ignore.clone(), key: settings.key.clone() };
    let most = settings.wanted.rescale.iter().copied().max().unwrap_or(1);
    tell("undisturbed runs");
    let unseen = rehearsed.unseen.join(", ");
    let oracle =
        consult(&program, &scratch.folder, &fields, (most, settings.stretch), &interrupt, &unseen)?;
    tell(&format!(
        "{} records; a run takes about {} ms, {} files see the order of keys",
        oracle.output.len(),
        oracle.run_ms,
        oracle.ordered.len()
    ));
    let stage =
        Stage { program: &program, oracle: &oracle, fields: &fields, interrupt: &interrupt };
    let plan = Plan::new(settings.wanted.clone(), oracle.passings.clone(), oracle.run_ms);
    let mut report = Report {
        job: settings.job.clone(),
        seed: settings.wanted.seed,
        records: oracle.output.len(),
        unseen: rehearsed.unseen.clone(),
        ordered: oracle.ordered.iter().cloned().collect(),
        ..Report::default()
    };
    let mut course = Course { settings, plan: &plan, reached: BTreeSet::new(), next: 0 };
    while let Some(life) = course.next(&report, doors::monotonic().saturating_sub(began)) {
        let folder = scratch.folder.join(format!("life-{}", life.number));
        let lived = live(&stage, &folder, &life)?;
        tell(&told(&life, &lived));
        course
            .reached
            .extend(lived.reached.iter().map(|(point, action)| (*point, is_kill(*action))));
        report.add(&lived);
        if lived.is_exact() {
            disk::remove_folder(&folder)?;
        } else {
            scratch.keep = true;
            report.findings.push(finding(settings, &program, &life, lived, &folder));
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
