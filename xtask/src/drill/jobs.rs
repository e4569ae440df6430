//! The jobs that are drilled: built, their input written, and, for the one on Kafka, a broker of
//! the drill's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use xtask::kafka::{Broker, BrokerOptions};

use super::bugs::Job;
use crate::cargo;
use crate::tools::{self, Tool};

/// After how long the broker gives up a transaction of the drill job: outages are to be longer.
pub(super) const TIMEOUT_MS: u64 = 10_000;
/// What the drill job on Kafka reads, with the events in each of the three partitions.
const INPUTS: [(&str, &str); 2] = [("drill-in", "2000"), ("drill-more", "500")];
/// What it reads when it is calm: many batches.
const CALM: (&str, &str) = ("drill-calm", "40000");
/// What it writes, with the number of partitions.
const OUTPUTS: [(&str, u32); 2] = [("drill-numbers", 3), ("drill-windows", 2)];

/// What building and drilling a job takes.
pub(super) fn needs(job: Job) -> &'static [Tool] {
    match job {
        Job::Files | Job::Clicks => &[],
        Job::Spilling => &tools::ROCKSDB,
        Job::Kafka => &tools::KAFKA,
    }
}

/// A job that can be drilled.
pub(super) struct Built {
    job: Job,
    binary: PathBuf,
    /// Where drills of it are started.
    pub(super) folder: PathBuf,
    /// For the job on Kafka.
    pub(super) broker: Option<Broker>,
}

impl Built {
    /// Builds `job`, with the planted bugs if asked for, and writes its input below `folder`.
    pub(super) fn new(job: Job, planted: bool, folder: &Path) -> Result<Built> {
        let folder = folder.join(format!("{job:?}").to_lowercase());
        if folder.exists() {
            std::fs::remove_dir_all(&folder).context("the folder of an earlier drill stays")?;
        }
        std::fs::create_dir_all(&folder).context("no folder for the drills")?;
        // A copy: the next job may be the same program, built otherwise.
        let binary = folder.join("job");
        std::fs::copy(build(job, planted)?, &binary).context("the job cannot be copied")?;
        let broker = match job {
            Job::Kafka => Some(Broker::start(&BrokerOptions::default())?),
            Job::Files | Job::Clicks | Job::Spilling => None,
        };
        let built = Built { job, binary, folder, broker };
        built.fill()?;
        Ok(built)
    }

    fn fill(&self) -> Result<()> {
        if let Some(broker) = &self.broker {
            for (topic, partitions) in OUTPUTS {
                broker.create_topic(topic, partitions, &[])?;
            }
            INPUTS.into_iter().try_for_each(|input| self.fill_topic(broker, input))?;
        }
        match self.job {
            Job::Files | Job::Spilling => self.filled(["fill", "input"]),
            Job::Kafka | Job::Clicks => Ok(()),
        }
    }

    fn fill_topic(&self, broker: &Broker, (topic, events): (&str, &str)) -> Result<()> {
        broker.create_topic(topic, 3, &[])?;
        self.filled(["fill", &broker.address().to_string(), topic, events])
    }

    fn filled<const N: usize>(&self, words: [&str; N]) -> Result<()> {
        let mut fill = Command::new(&self.binary);
        let ended = fill.args(words).current_dir(&self.folder).status();
        if !ended.context("the drill job does not start")?.success() {
            bail!("the drill job's input cannot be written");
        }
        Ok(())
    }

    /// `JOB drill ..`, not yet started; it writes its report to [`Built::report`].
    pub(super) fn drill(&self) -> Command {
        let report = self.report();
        // There is none before the first drill.
        drop(std::fs::remove_file(&report));
        let mut drill = Command::new(&self.binary);
        drill.arg("drill").arg("--json").arg(report);
        drill.arg("--scratch").arg(self.folder.join("scratch")).current_dir(&self.folder);
        let settings = match (&self.broker, self.job) {
            (Some(broker), _) => {
                vec![format!("brokers={}", broker.address()), format!("timeout_ms={TIMEOUT_MS}")]
            }
            (None, Job::Files | Job::Spilling) => vec!["input=input".to_owned()],
            (None, _) => vec!["events=60000".to_owned()],
        };
        for setting in settings {
            drill.args(["--set", &setting]);
        }
        drill
    }

    /// Options of a drill of the calm job, whose input is written.
    pub(super) fn calm(&self) -> Result<Vec<String>> {
        let mut settings = vec!["calm=true".to_owned()];
        if let Some(broker) = &self.broker {
            self.fill_topic(broker, CALM)?;
            settings.push(format!("input={}", CALM.0));
        }
        Ok(settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]).collect())
    }

    /// Where the report of a drill lies.
    pub(super) fn report(&self) -> PathBuf {
        self.folder.join("report.json")
    }

    /// The report of the last drill.
    pub(super) fn reported(&self) -> Result<serde_json::Value> {
        let text = std::fs::read_to_string(self.report()).context("the drill left no report")?;
        serde_json::from_str(&text).context("the report is no JSON")
    }
}

fn build(job: Job, planted: bool) -> Result<PathBuf> {
    let (kind, name, mut features) = match job {
        Job::Files => ("--example", "drill_job", Vec::new()),
        Job::Spilling => ("--example", "drill_job", vec!["rocksdb"]),
        Job::Clicks => ("--example", "click_sessions", Vec::new()),
        Job::Kafka => {
            ("--bin", "kafka-drill-job", vec!["riverrun-connectors/kafka", "riverrun/kafka"])
        }
    };
    let mut words = vec!["build", "--no-default-features", kind, name];
    if job == Job::Kafka {
        // The packages that tests on Kafka name, so that nothing is compiled once more.
        for package in
            ["riverrun-kafka", "riverrun-connectors", "riverrun-kafka-tests", "riverrun", "xtask"]
        {
            words.extend(["--package", package]);
        }
    }
    if planted {
        features.push("riverrun-engine/planted");
    }
    let features = features.join(",");
    words.extend(["--features", &features]);
    let built = cargo::command(&words).status().context("cargo could not be started")?;
    if !built.success() {
        bail!("`{name}` does not build; cargo's words are above");
    }
    let place = if kind == "--bin" { "debug" } else { "debug/examples" };
    Ok(cargo::target().join(place).join(name))
}
