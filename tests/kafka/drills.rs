//! Drills of a job on Kafka: killed at every point there is for Kafka, thought dead while another
//! run takes over, and refused where nothing can be told; the user's topics stay as they are.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::rig::{BROKER, LIMIT, visible};

const JOB: &str = env!("CARGO_BIN_EXE_kafka-drill-job");

/// The topics of the drill job, filled.
static TOPICS: LazyLock<()> = LazyLock::new(|| {
    for (topic, partitions) in [("drill-numbers", 3), ("drill-windows", 2)] {
        BROKER.create_topic(topic, partitions, &[]).expect("makes");
    }
    for (topic, events) in [("drill-in", "1500"), ("drill-more", "375")] {
        BROKER.create_topic(topic, 3, &[]).expect("makes");
        let brokers = BROKER.address().to_string();
        let fill = Command::new(JOB).args(["fill", &brokers, topic, events]).status();
        assert!(fill.expect("starts").success());
    }
});

/// A drill that has ended.
struct Drill {
    code: Option<i32>,
    said: String,
    report: Value,
    _folder: TempDir,
}

fn command(folder: &Path, further: &[&str]) -> Command {
    LazyLock::force(&TOPICS);
    let seed = std::env::var("DRILL_SEED").unwrap_or_else(|_| "1".to_owned());
    let mut drill = Command::new(JOB);
    drill.arg("drill").args(["--seed", &seed, "--json", "report.json", "--rescale", "1,2"]);
    drill.args(["--set", &format!("brokers={}", BROKER.address())]);
    drill.arg("--scratch").arg(folder.join("scratch"));
    drill.args(further).current_dir(folder);
    drill
}

fn drill(further: &[&str]) -> Drill {
    let folder = tempfile::tempdir().expect("a folder");
    let output = command(folder.path(), further).output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stderr) + &text(&output.stdout);
    let report = std::fs::read_to_string(folder.path().join("report.json"));
    let report = report.map_or(Value::Null, |text| serde_json::from_str(&text).expect("JSON"));
    Drill { code: output.status.code(), said, report, _folder: folder }
}

impl Drill {
    fn exact(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.said);
        assert!(self.said.contains("VERDICT: exact"), "{}", self.said);
        self
    }

    fn refused(self, code: i32, with: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.said);
        for part in with {
            assert!(self.said.contains(part), "{part} in {}", self.said);
        }
    }
}

/// Topics that begin as those of rehearsed runs of `job` do.
fn scratch_topics() -> Vec<String> {
    let topics = BROKER.topics().expect("answers").into_iter().map(|topic| topic.name);
    topics.filter(|name| name.starts_with("riverrun-drill-drill-kafka-")).collect()
}

#[test]
fn every_point_of_kafka_is_reached_and_changes_nothing() {
    let listed = Command::new(JOB).args(["drill", "--list-points"]).output().expect("starts");
    let listed = String::from_utf8(listed.stdout).expect("text");
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    let kafka: BTreeSet<&str> = names.filter(|name| name.starts_with("kafka.")).collect();
    assert!(kafka.len() > 10, "{kafka:?}");
    let points: Vec<&str> = kafka.iter().copied().collect();
    let drill = drill(&["--points", &points.join(","), "--stretch", "800ms"]).exact();
    let reached = drill.report["points"].as_object().expect("points");
    let missed: Vec<_> = kafka.iter().filter(|point| !reached.contains_key(**point)).collect();
    assert!(missed.is_empty(), "no life came by {missed:?}: {}", drill.said);
    assert!(drill.report["recovery"]["kills"].as_u64() > Some(0), "{}", drill.said);
    // Nothing of the user's own was touched.
    for topic in ["drill-numbers", "drill-windows"] {
        assert_eq!(visible(&BROKER, topic), [], "{topic}");
    }
    let topics = BROKER.topics().expect("answers");
    assert!(!topics.iter().any(|topic| topic.name == "drill-kafka-commit"), "no marker is made");
}

#[test]
fn a_run_thought_dead_is_taken_over_from_and_changes_nothing() {
    let points = "kafka.flushed,kafka.commit,commit.decided,source.batch";
    // Kills come first in each round, then zombies.
    let drill = drill(&["--points", points, "--zombie", "--kills", "14"]).exact();
    assert!(drill.report["zombies"].as_u64() >= Some(2), "{}", drill.said);
    assert!(drill.said.contains("taken over"), "{}", drill.said);
}

#[test]
fn an_interrupted_drill_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut drill = command(folder.path(), &["--set", "to=gone", "--random"]);
    BROKER.create_topic("gone-numbers", 1, &[]).expect("makes");
    BROKER.create_topic("gone-windows", 1, &[]).expect("makes");
    let mut drill = drill.stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("starts");
    let own = || scratch_topics().into_iter().filter(|name| name.contains(".gone-")).count();
    let until = Instant::now() + LIMIT;
    while own() < 2 {
        assert!(Instant::now() < until, "no topics are made");
        std::thread::sleep(Duration::from_millis(20));
    }
    kill_process(Pid::from_child(&drill), Signal::INT).expect("it lives");
    let status = drill.wait().expect("ends");
    assert_eq!(status.code(), Some(130), "interrupted");
    // The broker answers before a topic is gone.
    let until = Instant::now() + Duration::from_secs(10);
    while own() > 0 {
        assert!(Instant::now() < until, "topics stay: {:?}", scratch_topics());
        std::thread::sleep(Duration::from_millis(20));
    }
    let left = std::fs::read_dir(folder.path().join("scratch")).map_or(0, Iterator::count);
    assert_eq!(left, 0);
}

#[test]
fn what_cannot_be_told_is_refused_and_what_may_repeat_is_said() {
    drill(&["--set", "to=nowhere"]).refused(2, &["RR0824", "nowhere-numbers", "numbers"]);
    drill(&["--set", "input=nothing"]).refused(2, &["RR0823", "'nothing'", "events"]);
    BROKER.create_topic("drill-empty", 1, &[]).expect("makes");
    let empty = ["--set", "input=drill-empty", "--set", "at_least_once=true"];
    drill(&empty).refused(2, &["RR0813", "input empty"]);
    let points = "commit.told,kafka.commit";
    drill(&["--set", "at_least_once=true", "--points", points]).refused(2, &["RR0816"]);
    let args = ["--set", "at_least_once=true", "--points", "commit.told", "--first"];
    let repeats = drill(&args).exact();
    assert!(repeats.said.contains("at least once: numbers"), "{}", repeats.said);
    assert_eq!(repeats.report["repeats"], serde_json::json!(["numbers"]));
}
