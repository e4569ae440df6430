//! What a drill found: as text, as JSON, as JUnit XML.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use riverrun_engine::crash::Action;
use serde::Serialize;

use super::compare::Difference;
use super::life::Lived;

/// How long it took from a kill to the next output that became visible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// How many kills it was measured at.
    pub kills: u64,
    /// Of half of them.
    pub p50_ms: u64,
    /// Of all but a hundredth.
    pub p99_ms: u64,
}

/// A life that was not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its number.
    pub life: u32,
    /// What was done to it.
    pub told: String,
    /// A run that failed.
    pub failed: Option<String>,
    /// How the output differs.
    pub difference: Difference,
    /// What repeats it.
    pub command: String,
    /// Where all that was written lies.
    pub kept: String,
}

/// All a drill found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The job.
    pub job: String,
    /// What everything was drawn from.
    pub seed: u64,
    /// Lives lived.
    pub lives: u64,
    /// Runs killed.
    pub kills: u64,
    /// Of these, at random moments.
    pub random_kills: u64,
    /// Runs that stood still while another was started.
    pub zombies: u64,
    /// Kills by point.
    pub points: BTreeMap<String, u64>,
    /// Failures by fault point.
    pub errors: BTreeMap<String, u64>,
    /// Runs disturbed otherwise, by what: "slow disk", "full disk", "clock ahead", "clock back",
    /// "crowd".
    pub faults: BTreeMap<String, u64>,
    /// Points that were asked for and that the job did not come by.
    pub unreached: Vec<String>,
    /// Parallelisms before and after a kill.
    pub rescale_pairs: BTreeSet<(u32, u32)>,
    /// Records each life was compared with.
    pub records: u64,
    /// Records missing, in all lives.
    pub lost: u64,
    /// Records too many.
    pub doubled: u64,
    /// Records that nobody expected.
    pub changed: u64,
    /// Keys whose records came in another order.
    pub reordered: u64,
    /// Records that came again from sinks that promise no more than at least once.
    pub repeated: u64,
    /// Lives in which a run failed or hung.
    pub failed: u64,
    /// From a kill to the next visible output.
    pub recovery: Recovery,
    /// Sinks whose output outlives no process: nothing is proved of them.
    pub unseen: Vec<String>,
    /// Sinks whose records may come again: of them it is only proved that none is lost or changed.
    pub repeats: Vec<String>,
    /// Sinks for which the order within a key was compared.
    pub ordered: Vec<String>,
    /// Lives that were not as they should be.
    pub findings: Vec<Finding>,
    /// What it took.
    pub seconds: u64,
    #[serde(skip)]
    pub(super) recoveries: Vec<Duration>,
}

impl Report {
    /// Whether every life was as it should be.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.findings.is_empty()
    }

    /// Takes in a life.
    pub(super) fn add(&mut self, lived: &Lived) {
        self.lives += 1;
        self.kills += lived.kills;
        self.random_kills += lived.random_kills;
        self.zombies += lived.zombies;
        for (point, action) in &lived.reached {
            let tally = match action {
                Action::Kill => &mut self.points,
                Action::Error => &mut self.errors,
                _ => continue,
            };
            *tally.entry((*point).to_owned()).or_default() += 1;
        }
        for fault in &lived.faults {
            *self.faults.entry((*fault).to_owned()).or_default() += 1;
        }
        self.rescale_pairs.extend(&lived.pairs);
        self.lost += lived.difference.lost;
        self.doubled += lived.difference.doubled;
        self.changed += lived.difference.changed;
        self.reordered += lived.difference.reordered;
        self.repeated += lived.difference.repeated;
        self.failed += u64::from(lived.failed.is_some());
        self.recoveries.extend(&lived.recoveries);
    }

    /// Sums up once all lives are in.
    pub(super) fn close(&mut self) {
        self.recoveries.sort();
        let at = |percent: usize| {
            let place =
                (self.recoveries.len() * percent / 100).min(self.recoveries.len().max(1) - 1);
            let took = self.recoveries.get(place).copied().unwrap_or_default();
            u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
        };
        let kills = self.recoveries.len() as u64;
        self.recovery = Recovery { kills, p50_ms: at(50), p99_ms: at(99) };
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let Recovery { kills, p50_ms, p99_ms } = self.recovery;
        _ = writeln!(
            text,
            "\n{}: {} lives, {} kills ({} at random moments) at {} points, {} failures, {} zombies",
            self.job,
            self.lives,
            self.kills,
            self.random_kills,
            self.points.len(),
            self.errors.values().sum::<u64>(),
            self.zombies
        );
        if !self.faults.is_empty() {
            let faults = self.faults.iter().map(|(fault, runs)| format!("{fault} {runs}"));
            let faults: Vec<String> = faults.collect();
            _ = writeln!(text, "  runs with {}", faults.join(", "));
        }
        _ = writeln!(text, "  records  {:>8} in each life", self.records);
        _ = writeln!(text, "  lost     {:>8}", self.lost);
        _ = writeln!(text, "  doubled  {:>8}", self.doubled);
        _ = writeln!(text, "  changed  {:>8}", self.changed);
        _ = writeln!(
            text,
            "  reordered{:>8}   keys, of sinks: {}",
            self.reordered,
            names(&self.ordered)
        );
        _ = writeln!(text, "  failed   {:>8}   lives in which a run failed or hung", self.failed);
        _ = writeln!(
            text,
            "  recovery p50 {p50_ms} ms, p99 {p99_ms} ms, from kill to next visible output, of \
             {kills} kills"
        );
        if !self.unreached.is_empty() {
            _ = writeln!(text, "  not reached by this job: {}", self.unreached.join(", "));
        }
        if !self.unseen.is_empty() {
            let unseen = self.unseen.join(", ");
            _ = writeln!(text, "  nothing is proved of what leaves no trace: {unseen}");
        }
        if !self.repeats.is_empty() {
            let (repeated, repeats) = (self.repeated, self.repeats.join(", "));
            _ = writeln!(
                text,
                "  at least once: {repeats}: {repeated} records came again, as they may; nothing \
                 is proved but that none was lost or changed"
            );
        }
        for finding in &self.findings {
            _ = writeln!(text, "\n  life {}: {}", finding.life, finding.told);
            for line in finding.failed.iter().chain(&finding.difference.first) {
                _ = writeln!(text, "    {line}");
            }
            _ = writeln!(text, "    again:   {}", finding.command);
            _ = writeln!(text, "    written: {}", finding.kept);
        }
        let verdict = if self.is_exact() { "exact" } else { "NOT EXACT" };
        _ = writeln!(text, "\nVERDICT: {verdict} (seed {}, {} s)", self.seed, self.seconds);
        text
    }

    /// For build servers: a case for each point, one for each finding.
    #[must_use]
    pub fn junit(&self) -> String {
        let cases = self.points.len() + self.findings.len();
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"drill {}\" \
             tests=\"{cases}\" failures=\"{}\" time=\"{}\">\n",
            escaped(&self.job),
            self.findings.len(),
            self.seconds
        );
        for (point, kills) in &self.points {
            _ = writeln!(text, "  <testcase classname=\"kill\" name=\"{point} ({kills})\"/>");
        }
        for finding in &self.findings {
            let lines = finding.failed.iter().chain(&finding.difference.first);
            let lines: Vec<String> = lines.map(|line| escaped(line)).collect();
            _ = writeln!(
                text,
                "  <testcase classname=\"life\" name=\"{}\"><failure message=\"{}\">{}\nagain: \
                 {}</failure></testcase>",
                finding.life,
                escaped(&finding.told),
                lines.join("\n"),
                escaped(&finding.command)
            );
        }
        text.push_str("</testsuite>\n");
        text
    }
}

fn names(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// As text within XML; what no XML may hold is left out.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() && !matches!(c, '\n' | '\t') => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_counted_and_told() {
        let mut report = Report { job: "a<b".to_owned(), ..Report::default() };
        let difference =
            Difference { lost: 2, first: vec!["lost: s: \"x\"".into()], ..Difference::default() };
        let lived = Lived {
            reached: vec![("source.batch", Action::Kill), ("storage.write", Action::Error)],
            kills: 1,
            faults: vec!["slow disk", "slow disk"],
            recoveries: [30, 10, 20].map(Duration::from_millis).into(),
            difference: difference.clone(),
            ..Lived::default()
        };
        report.add(&lived);
        report.close();
        assert_eq!(report.recovery, Recovery { kills: 3, p50_ms: 20, p99_ms: 30 });
        assert_eq!((report.points["source.batch"], report.errors["storage.write"]), (1, 1));
        assert!(report.is_exact() && report.text().contains("VERDICT: exact"));
        assert!(report.text().contains("runs with slow disk 2\n"), "{}", report.text());
        let (told, command, kept) =
            ("killed".to_owned(), "drill --life 0".to_owned(), String::new());
        report.findings.push(Finding { life: 0, told, failed: None, difference, command, kept });
        assert!(report.text().contains("NOT EXACT") && report.text().contains("--life 0"));
        let xml = report.junit();
        assert!(xml.contains("drill a&lt;b") && xml.contains("s: &quot;x&quot;"), "{xml}");
    }

    #[test]
    fn nothing_measured_is_no_time() {
        let mut report = Report::default();
        report.close();
        assert_eq!(report.recovery, Recovery::default());
    }
}
