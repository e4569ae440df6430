//! One life of the job: disturbed, restored, disturbed again, run to its end, compared.
//!
//! Called by [`super::rig`]. A run that ends otherwise than it should is a finding as much as an
//! output that differs.

use std::collections::BTreeSet;
use std::time::Duration;

use riverrun_engine::crash::Action;

use super::child::{Ended, Program, Running, Start};
use super::compare::Difference;
use super::disk;
use super::error::DrillError;
use super::fault;
use super::interrupt::Interrupt;
use super::oracle::Oracle;
use super::output::Fields;
use super::plan::{Blow, Death, Life};
use super::site::Site;
use super::takeover::{SETTLES, at_rest, held_off, taken_over, until_it_writes};
use super::verify::verify;
use crate::checkpoint::LockInfo;
use crate::control::{CommandKind, ControlAddress, ControlError, call};
use crate::doors;

/// Where a life's checkpoints lie below its folder: the run's `--scratch` says the same.
pub(crate) const CHECKPOINTS: &str = "checkpoints";
/// How long an order may take to be answered.
const ANSWER: Duration = Duration::from_secs(60);
/// How long after a refusal it is given again.
const AGAIN: Duration = Duration::from_millis(20);

/// What every life needs.
pub(super) struct Stage<'a> {
    pub(super) program: &'a Program,
    pub(super) oracle: &'a Oracle,
    pub(super) fields: &'a Fields,
    /// Sinks whose records may come again.
    pub(super) repeats: &'a BTreeSet<String>,
    /// Whether a second run can take over from one that stands still.
    pub(super) decides: bool,
    /// A check of the user's own.
    pub(super) verify: Option<&'a str>,
    pub(super) interrupt: &'a Interrupt,
}

/// What happened in a life.
#[derive(Debug, Default)]
pub(super) struct Lived {
    /// What was done to it, run by run.
    pub(super) told: Vec<String>,
    /// Crash points that acted, and how.
    pub(super) reached: Vec<(&'static str, Action)>,
    /// Kills at points and at random.
    pub(super) kills: u64,
    /// Of these, at random.
    pub(super) random_kills: u64,
    /// Runs that stood still while another was started.
    pub(super) zombies: u64,
    /// What else disturbed runs.
    pub(super) faults: Vec<&'static str>,
    /// From a kill to the next output that became visible.
    pub(super) recoveries: Vec<Duration>,
    /// Parallelisms before and after each kill.
    pub(super) pairs: Vec<(u32, u32)>,
    /// How the output differs.
    pub(super) difference: Difference,
    /// A run that did not do what it should.
    pub(super) failed: Option<String>,
}

impl Lived {
    /// Whether nothing is wrong.
    pub(super) fn is_exact(&self) -> bool {
        self.failed.is_none() && self.difference.is_exact()
    }
}

/// Since the last kill: when it was, what was visible then, and how many subtasks ran.
struct Killed {
    at: Duration,
    visible: u64,
    parallelism: u32,
}

struct Living<'a> {
    stage: &'a Stage<'a>,
    site: &'a mut Site,
    lived: Lived,
    killed: Option<Killed>,
    runs: usize,
    /// When the last run was started.
    began: Duration,
    /// Below which folder of the life its checkpoints lie.
    checkpoints: String,
    /// The run that has taken over from one that stood still, and that one's checkpoints.
    second: Option<(Running, String)>,
}

/// Lives `life` on `site`.
pub(super) fn live(stage: &Stage<'_>, site: &mut Site, life: &Life) -> Result<Lived, DrillError> {
    let (lived, checkpoints) = (Lived::default(), CHECKPOINTS.to_owned());
    let (began, second) = (doors::monotonic(), None);
    let mut living = Living {
        stage,
        site: &mut *site,
        lived,
        killed: None,
        runs: 0,
        began,
        checkpoints,
        second,
    };
    for death in &life.deaths {
        living.disturbed(death)?;
        if living.lived.failed.is_some() {
            return Ok(living.lived);
        }
    }
    living.go_to_the_end(life.last)?;
    let mut lived = living.lived;
    if lived.failed.is_some() {
        return Ok(lived);
    }
    match site.read(stage.fields) {
        Ok(output) => {
            let Oracle { output: expected, ordered, .. } = stage.oracle;
            lived.difference = Difference::between(expected, &output, ordered, stage.repeats);
        }
        // Output that stays open is a finding, not the end of the drill.
        Err(error @ DrillError::Stage { .. }) => lived.failed = Some(error.to_string()),
        Err(error) => return Err(error),
    }
    if let (Some(command), None) = (stage.verify, &lived.failed) {
        lived.failed = verify(command, site)?;
    }
    Ok(lived)
}

impl Living<'_> {
    fn start(
        &mut self,
        parallelism: u32,
        pace: Duration,
        crash: String,
    ) -> Result<Running, DrillError> {
        let number = self.runs;
        (self.runs, self.began) = (self.runs + 1, doors::monotonic());
        if let Some(killed) = &self.killed {
            self.lived.pairs.push((killed.parallelism, parallelism));
        }
        let checkpoints = match self.checkpoints.as_str() {
            CHECKPOINTS => "",
            other => other,
        };
        let start = Start { parallelism, pace, crash, checkpoints, ..Start::default() };
        self.stage.program.start(self.site, number, &start)
    }

    /// Notes how long it took until output became visible again.
    fn watch(&mut self) -> Result<(), DrillError> {
        let Some(killed) = &mut self.killed else { return Ok(()) };
        let visible = self.site.visible()?;
        let up = doors::monotonic().saturating_sub(self.began);
        if self.stage.decides && up < SETTLES {
            // Committed before the kill: no run has output as soon as that behind a transaction.
            killed.visible = visible;
        } else if visible > killed.visible {
            let took = doors::monotonic().saturating_sub(killed.at);
            self.lived.recoveries.push(took);
            self.killed = None;
        }
        Ok(())
    }

    fn go_to_the_end(&mut self, parallelism: u32) -> Result<(), DrillError> {
        let mut running = self.start(parallelism, Duration::ZERO, String::new())?;
        let (limit, interrupt) = (self.stage.oracle.limit, self.stage.interrupt);
        let ended = running.wait(limit, interrupt, |_| self.watch())?;
        self.watch()?;
        if ended == Ended::Well {
            self.lived.told.push(format!("to its end x{parallelism}"));
        } else {
            self.failed("the run to the end", &ended);
        }
        Ok(())
    }

    fn disturbed(&mut self, death: &Death) -> Result<(), DrillError> {
        let Death { blow, parallelism, order, later, fault } = *death;
        let at = match blow {
            Blow::Point(order) => Some(order.to_string()),
            Blow::Killed { .. } => None,
        };
        let later = later.map(|order| order.to_string());
        let fault = fault.map(|fault| fault.order.to_string());
        let crash: Vec<String> = [at, later, fault].into_iter().flatten().collect();
        let pace = self.stage.oracle.pace;
        let mut running = self.start(parallelism, pace, crash.join(","))?;
        let (mut ordered, mut stood_still) = (false, false);
        let (limit, interrupt) = (self.stage.oracle.limit, self.stage.interrupt);
        let ended = running.wait(limit, interrupt, |running| {
            self.watch()?;
            let ms = doors::monotonic().saturating_sub(running.began).as_millis();
            match blow {
                Blow::Killed { after_ms } if ms >= u128::from(after_ms) => running.kill(),
                Blow::Point(_) if !stood_still && running.is_stopped() => {
                    stood_still = true;
                    match self.stage.decides {
                        true => self.take_over(parallelism)?,
                        false => self.second(parallelism)?,
                    }
                    running.go_on();
                }
                _ => {}
            }
            if let Some((kind, after_ms)) = order
                && !ordered
                && ms >= u128::from(after_ms)
            {
                ordered = self.order(kind, running);
            }
            Ok(())
        })?;
        self.over(death, &ended, stood_still)?;
        match self.second.take() {
            Some((second, own)) => self.owner(second, (&ended, own), parallelism),
            None => Ok(()),
        }
    }

    fn over(&mut self, death: &Death, ended: &Ended, stood_still: bool) -> Result<(), DrillError> {
        let at = match death.blow {
            Blow::Point(order) => match death.later {
                Some(later) => format!("{order}, {later}"),
                None => order.to_string(),
            },
            Blow::Killed { after_ms } => format!("at {after_ms} ms"),
        };
        let fault = death.fault.map_or_else(String::new, |fault| format!("{}, ", fault.name()));
        let told = |what: &str| format!("{fault}{what} {at} x{}", death.parallelism);
        if let Some(fault) = death.fault
            && fault.is_met(&self.said()?)
        {
            self.lived.faults.push(fault.name());
        }
        match (ended, death.blow) {
            (Ended::Killed, blow) => {
                self.lived.kills += 1;
                match (blow, death.later) {
                    (Blow::Killed { .. }, _) => self.lived.random_kills += 1,
                    (Blow::Point(order), None) => {
                        self.lived.reached.push((order.point.name, order.action));
                    }
                    (Blow::Point(order), Some(later)) => {
                        self.failing(order.point.name)?;
                        self.lived.reached.push((later.point.name, later.action));
                    }
                }
                self.lived.told.push(told("killed"));
                let (at, visible) = (doors::monotonic(), self.site.settled()?);
                self.killed = Some(Killed { at, visible, parallelism: death.parallelism });
            }
            (ended, Blow::Point(order)) if stood_still && self.may_end_so(ended) => {
                self.lived.zombies += 1;
                self.lived.reached.push((order.point.name, order.action));
                self.lived.told.push(told("stood still"));
            }
            (Ended::Well, Blow::Point(order)) if order.action == Action::Error => {
                self.failing(order.point.name)?;
                self.lived.told.push(told("failed"));
            }
            (Ended::Well, _) => self.lived.told.push(told("not reached:")),
            (ended, _) => self.failed(&told("the run with"), ended),
        }
        Ok(())
    }

    /// What the last run said.
    fn said(&self) -> Result<String, DrillError> {
        disk::read(&self.site.folder().join(format!("run-{}.log", self.runs - 1)))
    }

    /// Counts a failure, if the last run says that it had it.
    fn failing(&mut self, point: &'static str) -> Result<(), DrillError> {
        if fault::has_failed(point, &self.said()?) {
            self.lived.reached.push((point, Action::Error));
        }
        Ok(())
    }

    /// While a run stands still it holds the checkpoints: a second one must be refused.
    fn second(&mut self, parallelism: u32) -> Result<(), DrillError> {
        let mut second = self.start(parallelism, Duration::ZERO, String::new())?;
        let (limit, interrupt) = (self.stage.oracle.limit, self.stage.interrupt);
        let ended = second.wait(limit, interrupt, |_| Ok(()))?;
        if !held_off(&ended) {
            let ended = ended.told();
            let text = format!("a second run was not refused while the first stood still: {ended}");
            self.lived.failed = Some(text);
        }
        Ok(())
    }

    /// While a run stands still another takes over, with a copy of its checkpoints.
    fn take_over(&mut self, parallelism: u32) -> Result<(), DrillError> {
        let from = self.site.folder().join(&self.checkpoints);
        let copy = format!("{CHECKPOINTS}-{}", self.runs);
        let own = std::mem::replace(&mut self.checkpoints, copy);
        disk::copy_folder(&from, &self.site.folder().join(&self.checkpoints))?;
        let before = at_rest(self.site)?;
        let mut second = self.start(parallelism, self.stage.oracle.pace, String::new())?;
        let (limit, interrupt) = (self.stage.oracle.limit, self.stage.interrupt);
        match until_it_writes(&mut second, self.site, before, limit, interrupt)? {
            None => self.second = Some((second, own)),
            Some(Ended::Well) => {}
            Some(ended) => self.failed("the run that took over", &ended),
        }
        Ok(())
    }

    /// Whether a run that stood still may have ended so: one that had nothing left to do does not
    /// notice that another has taken over.
    fn may_end_so(&self, ended: &Ended) -> bool {
        *ended == Ended::Well || (self.stage.decides && taken_over(ended))
    }

    /// The run that took over goes on to its end; or to where the `first`, which thought that its
    /// transaction had expired, has taken over again: then the checkpoints of the first hold.
    fn owner(
        &mut self,
        mut second: Running,
        (first, checkpoints): (&Ended, String),
        parallelism: u32,
    ) -> Result<(), DrillError> {
        let (limit, interrupt) = (self.stage.oracle.limit, self.stage.interrupt);
        let told = match second.wait(limit, interrupt, |_| self.site.visible().map(drop))? {
            Ended::Well => "taken over",
            ended if self.may_end_so(first) && taken_over(&ended) => {
                self.checkpoints = checkpoints;
                "taken back"
            }
            ended => {
                self.failed("the run that took over", &ended);
                return Ok(());
            }
        };
        self.lived.told.push(format!("{told} x{parallelism}"));
        Ok(())
    }

    /// Gives the run an order once it takes orders; whether it does.
    fn order(&self, kind: CommandKind, running: &Running) -> bool {
        let path = self.site.folder().join(&self.checkpoints);
        let Ok(Some(holder)) = LockInfo::read(&path.to_string_lossy()) else { return false };
        // What a run that was killed has left there is nobody's address any more.
        let Some(port) = holder.control_port.filter(|_| holder.pid == running.pid()) else {
            return false;
        };
        let address = ControlAddress { port, token: holder.control_token };
        // It ends with the run at the latest; what becomes of the run says all there is to know.
        drop(doors::spawn_thread("order", move || {
            let give = |kind| {
                while let Err(ControlError::Refused { .. }) = call(&address, kind, ANSWER) {
                    doors::pause(AGAIN);
                }
            };
            // A run that only begins refuses a savepoint, and would end at once if told to stop.
            give(CommandKind::Savepoint);
            if kind != CommandKind::Savepoint {
                give(kind);
            }
        }));
        true
    }

    fn failed(&mut self, what: &str, ended: &Ended) {
        let said = match ended {
            Ended::Badly { said, .. } => said.as_str(),
            _ => "",
        };
        self.lived.failed = Some(format!("{what} ended badly, {}: {said}", ended.told()));
    }
}
